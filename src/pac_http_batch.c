/* pac_http_batch.c: many requests at once over multi handles of libcurl.
** A request is an item; it stands in one of four lists: running (on a lane),
** ended, spare (its handle can be used again) or foreign (it runs in the parent
** process).
**
** There are two lanes. Over HTTP/2 a request would join any connection of the
** same multi handle, also one that a single-use request opened for itself, so
** these have a multi handle of their own, in which nothing is shared. */
#include "pac_http_batch.h"
#include "pac_http_parts.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <sys/select.h>
#include <unistd.h>

/* More would only be closed and opened again: no more requests run at once. */
#define MAX_KEPT_CONNECTIONS 1000L

typedef struct lane lane;

typedef struct item {
  pac_http_transfer transfer;
  pac_http_answer answer;
  const pac_http *session; /* whose request it is; compared only */
  int64_t id;
  lane *runs_on;
  bool is_foreign; /* its handle belongs to the parent process */
  struct item *next;
} item;

typedef struct items {
  item *first;
  item *last;
} items;

struct lane {
  CURLM *multi;     /* NULL until the first request, and after a fork */
  CURLM *inherited; /* of the parent, in a forked child: held, never used, never closed */
  items running;
};

enum { SHARING, SINGLE_USE, LANES };

struct pac_http_batch {
  lane lanes[LANES];
  pid_t opened_by; /* the process that owns the multi handles */
  items ended;
  items spare;
  items foreign;
  int64_t last_id;
};

/* ---- lists --------------------------------------------------------------- */

static void append(items *list, item *one) {
  one->next = NULL;
  if (list->last != NULL) {
    list->last->next = one;
  } else {
    list->first = one;
  }
  list->last = one;
}

static item *take_first(items *list) {
  item *one = list->first;
  if (one != NULL) {
    list->first = one->next;
    if (list->first == NULL) {
      list->last = NULL;
    }
  }
  return one;
}

static void take_out(items *list, const item *one) {
  item *before = NULL;
  item **link = &list->first;
  while (*link != one) {
    before = *link;
    link = &before->next;
  }
  *link = one->next;
  if (list->last == one) {
    list->last = before;
  }
}

/* ---- items --------------------------------------------------------------- */

/* One with a handle, or NULL. */
static item *new_item(pac_http_batch *batch) {
  item *one = take_first(&batch->spare);
  if (one == NULL) {
    one = calloc(1, sizeof *one);
  }
  if (one != NULL && one->transfer.easy == NULL) {
    one->transfer.easy = curl_easy_init();
  }
  if (one != NULL && one->transfer.easy == NULL) {
    free(one);
    one = NULL;
  }
  return one;
}

static void free_items(items *list) {
  for (item *one = take_first(list); one != NULL; one = take_first(list)) {
    pac_http_answer_reset(&one->answer);
    curl_slist_free_all(one->transfer.lines);
    curl_slist_free_all(one->transfer.routes);
    curl_easy_cleanup(one->transfer.easy);
    free(one);
  }
}

/* Ends a running item. The handle leaves the multi handle last, because with a
** connection that was cut off goes what libcurl measured. */
static void end_item(pac_http_batch *batch, item *one, CURLcode code) {
  take_out(&one->runs_on->running, one);
  pac_http_transfer_conclude(&one->transfer, code);
  (void)curl_multi_remove_handle(one->runs_on->multi, one->transfer.easy);
  pac_http_transfer_clear(&one->transfer);
  append(&batch->ended, one);
}

static void stop_item(pac_http_batch *batch, item *one, pac_http_kind kind, const char *text) {
  one->transfer.stop.kind = kind;
  one->transfer.stop.text = text;
  end_item(batch, one, CURLE_ABORTED_BY_CALLBACK);
}

/* ---- opening and closing ------------------------------------------------- */

pac_status pac_http_batch_new(pac_http_batch **out, pac_err *err) {
  *out = NULL;
  pac_status status = pac_http_start_libcurl(err);
  if (status == PAC_OK) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
      return pac_fail(err, PAC_NO_MEMORY, "out of memory");
    }
  }
  return status;
}

/* The child of a fork must neither use nor close what it shares with its
** parent, where the requests go on. */
static void leave_to_parent(pac_http_batch *batch, lane *on) {
  on->inherited = on->multi;
  on->multi = NULL;
  for (item *one = take_first(&on->running); one != NULL; one = take_first(&on->running)) {
    one->is_foreign = true;
    one->answer.phase = PAC_HTTP_UNKNOWN;
    one->transfer.stop.kind = PAC_HTTP_CANCELED;
    one->transfer.stop.text = "the process was forked; the request goes on in the parent";
    pac_http_transfer_fail(&one->transfer, CURLE_ABORTED_BY_CALLBACK);
    append(&batch->ended, one);
  }
}

static void check_process(pac_http_batch *batch) {
  pid_t process = getpid();
  for (int i = 0; i < LANES && batch->opened_by != process; i++) {
    if (batch->lanes[i].multi != NULL) {
      leave_to_parent(batch, &batch->lanes[i]);
    }
  }
  batch->opened_by = process;
}

static bool open_lane(pac_http_batch *batch, int index) {
  lane *on = &batch->lanes[index];
  if (on->multi == NULL) {
    on->multi = curl_multi_init();
  }
  if (on->multi != NULL) {
    long sharing = index == SHARING ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING;
    (void)curl_multi_setopt(on->multi, CURLMOPT_PIPELINING, sharing);
    (void)curl_multi_setopt(on->multi, CURLMOPT_MAXCONNECTS, MAX_KEPT_CONNECTIONS);
  }
  return on->multi != NULL;
}

static void close_lane(pac_http_batch *batch, lane *on) {
  while (on->running.first != NULL) {
    stop_item(batch, on->running.first, PAC_HTTP_CANCELED, "the batch was closed");
  }
  (void)curl_multi_cleanup(on->multi); /* takes NULL too */
}

void pac_http_batch_free(pac_http_batch *batch) {
  if (batch == NULL) {
    return;
  }
  check_process(batch);
  pac_http_pipe pipe;
  pac_http_pipe_hold(&pipe);
  for (int i = 0; i < LANES; i++) {
    close_lane(batch, &batch->lanes[i]);
  }
  for (item *one = take_first(&batch->ended); one != NULL; one = take_first(&batch->ended)) {
    append(one->is_foreign ? &batch->foreign : &batch->spare, one);
  }
  free_items(&batch->spare);
  pac_http_pipe_release(&pipe);
  ERR_clear_error();
  free(batch);
}

/* ---- requests ------------------------------------------------------------ */

/* Hands a prepared item to libcurl. */
static CURLcode start(pac_http_batch *batch, item *one, int lane_index) {
  if (!open_lane(batch, lane_index)) {
    return CURLE_OUT_OF_MEMORY;
  }
  pac_http_pipe pipe;
  pac_http_pipe_hold(&pipe);
  one->runs_on = &batch->lanes[lane_index];
  CURLMcode code = curl_multi_add_handle(one->runs_on->multi, one->transfer.easy);
  pac_http_pipe_release(&pipe);
  return code == CURLM_OK ? CURLE_OK : CURLE_FAILED_INIT;
}

pac_status pac_http_batch_add(pac_http_batch *batch, const pac_http *http, const pac_http_request *request, int64_t *id,
                              pac_err *err) {
  bool loopback = false;
  pac_status status = pac_http_request_check(request, &loopback, err);
  if (status != PAC_OK) {
    return status;
  }
  check_process(batch);
  item *one = new_item(batch);
  if (one == NULL) {
    return pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  one->session = http;
  one->id = *id = ++batch->last_id;
  one->transfer.answer = &one->answer;
  one->transfer.parallel = true;
  CURLcode code = pac_http_transfer_prepare(&one->transfer, http, request, loopback);
  (void)curl_easy_setopt(one->transfer.easy, CURLOPT_PRIVATE, one);
  if (code == CURLE_OK) {
    code = start(batch, one, request->single_use ? SINGLE_USE : SHARING);
  }
  if (code == CURLE_OK) {
    append(&one->runs_on->running, one);
  } else {
    pac_http_transfer_fail(&one->transfer, code);
    pac_http_transfer_clear(&one->transfer);
    append(&batch->ended, one);
  }
  ERR_clear_error();
  return PAC_OK;
}

/* Takes over what libcurl has finished. */
static void collect(pac_http_batch *batch, const lane *on) {
  int left = 0;
  for (CURLMsg *message = curl_multi_info_read(on->multi, &left); message != NULL;
       message = curl_multi_info_read(on->multi, &left)) {
    item *one = NULL;
    CURLcode code = message->data.result; /* removing the handle ends the message's life */
    if (message->msg == CURLMSG_DONE &&
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&one) == CURLE_OK && one != NULL) {
      end_item(batch, one, code);
    }
  }
}

/* One round. A multi handle that fails does so for all of its requests. */
static void turn_lane(pac_http_batch *batch, const lane *on) {
  int running = 0;
  CURLMcode code = curl_multi_perform(on->multi, &running);
  collect(batch, on);
  while (code != CURLM_OK && on->running.first != NULL) {
    stop_item(batch, on->running.first, PAC_HTTP_NETWORK, "libcurl could not go on with the requests under way");
  }
}

static void turn(pac_http_batch *batch) {
  pac_http_pipe pipe;
  pac_http_pipe_hold(&pipe);
  for (int i = 0; i < LANES; i++) {
    if (batch->lanes[i].running.first != NULL) {
      turn_lane(batch, &batch->lanes[i]);
    }
  }
  pac_http_pipe_release(&pipe);
  ERR_clear_error();
}

/* ---- waiting ------------------------------------------------------------- */

/* What is waited for of another lane, whose sockets a poll may not show. */
#define BLIND_WAIT_MS 10

static bool is_shown(int fd, const fd_set *set) {
  return fd < FD_SETSIZE && FD_ISSET(fd, set);
}

/* Lists the sockets of a lane as libcurl wants them for another one, and
** shortens the wait to what the lane allows. Returns how many they are. */
static unsigned list_sockets(const lane *on, struct curl_waitfd *list, int *timeout_ms) {
  fd_set reads;
  fd_set writes;
  fd_set problems;
  int last = -1;
  long own_ms = -1;
  unsigned count = 0;
  FD_ZERO(&reads);
  FD_ZERO(&writes);
  FD_ZERO(&problems);
  (void)curl_multi_fdset(on->multi, &reads, &writes, &problems, &last);
  (void)curl_multi_timeout(on->multi, &own_ms);
  for (int fd = 0; fd <= last && fd < FD_SETSIZE; fd++) {
    int events = (is_shown(fd, &reads) ? CURL_WAIT_POLLIN : 0) | (is_shown(fd, &writes) ? CURL_WAIT_POLLOUT : 0);
    if (events != 0) {
      list[count].fd = fd;
      list[count].events = (short)events;
      list[count].revents = 0;
      count++;
    }
  }
  unsigned running = 0;
  for (const item *one = on->running.first; one != NULL; one = one->next) {
    running++;
  }
  if (count<running && * timeout_ms> BLIND_WAIT_MS) { /* resolving, or a socket beyond FD_SETSIZE */
    *timeout_ms = BLIND_WAIT_MS;
  }
  if (own_ms >= 0 && own_ms < *timeout_ms) {
    *timeout_ms = (int)own_ms;
  }
  return count;
}

/* Failing to wait is no reason to fail: the next round will tell. */
static void wait_for_sockets(const pac_http_batch *batch, int timeout_ms) {
  const lane *sharing = &batch->lanes[SHARING];
  const lane *single_use = &batch->lanes[SINGLE_USE];
  struct curl_waitfd others[FD_SETSIZE];
  if (single_use->running.first == NULL) {
    (void)curl_multi_poll(sharing->multi, NULL, 0, timeout_ms, NULL);
  } else if (sharing->running.first == NULL) {
    (void)curl_multi_poll(single_use->multi, NULL, 0, timeout_ms, NULL);
  } else {
    unsigned count = list_sockets(single_use, others, &timeout_ms);
    (void)curl_multi_poll(sharing->multi, others, count, timeout_ms, NULL);
  }
}

static bool must_wait(const pac_http_batch *batch) {
  bool running = batch->lanes[SHARING].running.first != NULL || batch->lanes[SINGLE_USE].running.first != NULL;
  return running && batch->ended.first == NULL;
}

void pac_http_batch_wait(pac_http_batch *batch, int timeout_ms) {
  check_process(batch);
  turn(batch);
  if (timeout_ms > 0 && must_wait(batch)) {
    wait_for_sockets(batch, timeout_ms);
    turn(batch);
  }
}

bool pac_http_batch_take(pac_http_batch *batch, int64_t *id, pac_http_answer *answer) {
  pac_http_answer_reset(answer);
  item *one = take_first(&batch->ended);
  if (one == NULL) {
    return false;
  }
  static const pac_http_answer nothing = { 0 };
  *id = one->id;
  *answer = one->answer;
  one->answer = nothing;
  append(one->is_foreign ? &batch->foreign : &batch->spare, one);
  return true;
}

static void cancel_lane(pac_http_batch *batch, const lane *on, const pac_http *http) {
  item *next = NULL;
  for (item *one = on->running.first; one != NULL; one = next) {
    next = one->next;
    if (one->session == http) {
      stop_item(batch, one, PAC_HTTP_CANCELED, "the transport was closed while the request was under way");
    }
  }
}

void pac_http_batch_cancel(pac_http_batch *batch, const pac_http *http) {
  check_process(batch);
  pac_http_pipe pipe;
  pac_http_pipe_hold(&pipe);
  for (int i = 0; i < LANES; i++) {
    cancel_lane(batch, &batch->lanes[i], http);
  }
  pac_http_pipe_release(&pipe);
  ERR_clear_error();
}
