/* http_batch_test.c: what of pac_http_batch cannot be seen from Lua: forked
** processes, the signal mask, and who holds the memory of an answer. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pac_http_batch.h"

/* ---- a server that holds its answers back -------------------------------- */

/* Every request is read; a byte in the pipe lets one connection be answered. */
typedef struct server {
  int listener;
  int pipe[2];
  pid_t pid;
  char url[64];
} server;

/* Ends a server process whose test died before it could. */
#define SERVER_LIMIT_S 60

static void answer_when_told(int client, int told) {
  char input[4096];
  char token;
  static const char output[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  while (read(client, input, sizeof input) > 0 && read(told, &token, 1) == 1) {
    if (write(client, output, sizeof output - 1) != (ssize_t)(sizeof output - 1)) {
      break;
    }
  }
  close(client);
}

static void serve(const server *peer) {
  (void)signal(SIGCHLD, SIG_IGN);
  (void)alarm(SERVER_LIMIT_S);
  for (int client = accept(peer->listener, NULL, NULL); client >= 0; client = accept(peer->listener, NULL, NULL)) {
    if (fork() == 0) {
      (void)alarm(SERVER_LIMIT_S);
      close(peer->listener);
      answer_when_told(client, peer->pipe[0]);
      _exit(0);
    }
    close(client);
  }
}

static int start_server(void **state) {
  static server peer;
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  peer.listener = socket(AF_INET, SOCK_STREAM, 0);
  if (pipe(peer.pipe) != 0 || bind(peer.listener, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(peer.listener, 8) != 0 || getsockname(peer.listener, (struct sockaddr *)&address, &size) != 0) {
    return -1;
  }
  (void)snprintf(peer.url, sizeof peer.url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
  peer.pid = fork();
  if (peer.pid == 0) {
    close(peer.pipe[1]);
    serve(&peer);
    _exit(0);
  }
  *state = &peer;
  return peer.pid > 0 ? 0 : -1;
}

static int stop_server(void **state) {
  const server *peer = *state;
  close(peer->listener);
  close(peer->pipe[0]);
  close(peer->pipe[1]);
  kill(peer->pid, SIGTERM);
  waitpid(peer->pid, NULL, 0);
  return 0;
}

static void let_answer(const server *peer, int count) {
  for (int i = 0; i < count; i++) {
    assert_int_equal(write(peer->pipe[1], "!", 1), 1);
  }
}

/* ---- what the tests share ------------------------------------------------ */

static const pac_http_config config = { .max_answer_bytes = 1000, .connect_timeout_ms = 5000, .timeout_ms = 20000 };

typedef struct fixture {
  const server *peer;
  pac_http *http;
  pac_http_batch *batch;
} fixture;

static fixture open_all(void **state) {
  fixture all = { .peer = *state };
  pac_err err;
  assert_int_equal(pac_http_new(&config, &all.http, &err), PAC_OK);
  assert_int_equal(pac_http_batch_new(&all.batch, &err), PAC_OK);
  return all;
}

static void close_all(const fixture *all) {
  pac_http_batch_free(all->batch);
  pac_http_free(all->http);
}

static int64_t add(const fixture *all, bool single_use) {
  pac_http_request request = { .method = "PUT", .url = all->peer->url, .body = "x", .body_bytes = 1 };
  int64_t id = 0;
  pac_err err;
  request.single_use = single_use;
  assert_int_equal(pac_http_batch_add(all->batch, all->http, &request, &id, &err), PAC_OK);
  return id;
}

/* Waits for the next request that ends, and says how. */
static pac_http_kind next_kind(const fixture *all, int64_t *id, pac_http_phase *phase) {
  pac_http_answer answer = { 0 };
  while (!pac_http_batch_take(all->batch, id, &answer)) {
    pac_http_batch_wait(all->batch, 1000);
  }
  pac_http_kind kind = answer.kind;
  *phase = answer.phase;
  pac_http_answer_reset(&answer);
  return kind;
}

/* Gives the requests the time to be written. Nothing is asserted about it. */
static void proceed(const fixture *all) {
  for (int i = 0; i < 20; i++) {
    pac_http_batch_wait(all->batch, 20);
  }
}

/* ---- tests --------------------------------------------------------------- */

static void test_numbers_tell_requests_apart(void **state) {
  fixture all = open_all(state);
  int64_t sent[3] = { add(&all, false), add(&all, true), add(&all, false) };
  bool seen[3] = { false };
  let_answer(all.peer, 3);
  for (int i = 0; i < 3; i++) {
    int64_t id = 0;
    pac_http_phase phase;
    assert_int_equal(next_kind(&all, &id, &phase), PAC_HTTP_ANSWERED);
    for (int k = 0; k < 3; k++) {
      seen[k] = seen[k] || sent[k] == id;
    }
  }
  assert_true(seen[0] && seen[1] && seen[2]);
  close_all(&all);
}

static void test_a_wrong_request_is_not_taken_on(void **state) {
  fixture all = open_all(state);
  pac_http_request request = { .method = "GET", .url = "ftp://link.invalid/" };
  pac_http_answer answer = { 0 };
  int64_t id = 7;
  pac_err err;
  assert_int_equal(pac_http_batch_add(all.batch, all.http, &request, &id, &err), PAC_INVALID);
  pac_http_batch_wait(all.batch, 60000); /* returns, for there is nothing to wait for */
  assert_false(pac_http_batch_take(all.batch, &id, &answer));
  assert_int_equal(id, 7);
  close_all(&all);
}

static void test_the_request_need_not_live_on(void **state) {
  fixture all = open_all(state);
  char url[64];
  char body[] = "abc";
  pac_http_request request = { .method = "PUT", .url = url, .body = body, .body_bytes = 3 };
  int64_t id = 0;
  pac_http_phase phase;
  pac_err err;
  (void)snprintf(url, sizeof url, "%s", all.peer->url);
  assert_int_equal(pac_http_batch_add(all.batch, all.http, &request, &id, &err), PAC_OK);
  memset(url, 'x', sizeof url - 1);
  memset(body, 0, sizeof body);
  pac_http_free(all.http); /* nor the session */
  all.http = NULL;
  let_answer(all.peer, 1);
  assert_int_equal(next_kind(&all, &id, &phase), PAC_HTTP_ANSWERED);
  close_all(&all);
}

static void test_cancel_ends_one_sessions_requests(void **state) {
  fixture all = open_all(state);
  fixture other = all;
  pac_err err;
  int64_t id = 0;
  pac_http_phase phase;
  assert_int_equal(pac_http_new(&config, &other.http, &err), PAC_OK);
  int64_t canceled = add(&all, false);
  int64_t unsent = add(&all, true);
  int64_t kept = add(&other, false);
  pac_http_batch_cancel(all.batch, all.http);
  assert_int_equal(next_kind(&all, &id, &phase), PAC_HTTP_CANCELED);
  assert_int_equal(id, canceled);
  assert_int_equal(phase, PAC_HTTP_NOT_SENT);
  assert_int_equal(next_kind(&all, &id, &phase), PAC_HTTP_CANCELED);
  assert_int_equal(id, unsent);
  let_answer(all.peer, 1);
  assert_int_equal(next_kind(&all, &id, &phase), PAC_HTTP_ANSWERED);
  assert_int_equal(id, kept);
  pac_http_free(other.http);
  close_all(&all);
}

/* The child's view: both end as canceled and unknown; it can send anew. */
static int run_child(const fixture *all) {
  int64_t id = 0;
  pac_http_phase phase;
  for (int i = 0; i < 2; i++) {
    if (next_kind(all, &id, &phase) != PAC_HTTP_CANCELED || phase != PAC_HTTP_UNKNOWN) {
      return 1;
    }
  }
  int64_t own = add(all, false);
  let_answer(all->peer, 3); /* the parent's two as well: nobody can say who reads first */
  return next_kind(all, &id, &phase) == PAC_HTTP_ANSWERED && id == own ? 0 : 2;
}

static void test_fork_leaves_the_parents_requests_alone(void **state) {
  fixture all = open_all(state);
  int64_t id = 0;
  pac_http_phase phase;
  int status = 0;
  (void)add(&all, false);
  (void)add(&all, true);
  proceed(&all);
  pid_t pid = fork();
  if (pid == 0) {
    /* Ends with everything open, so that a leak checker finds what it inherited still in hand. */
    _exit(run_child(&all));
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_int_equal(next_kind(&all, &id, &phase), PAC_HTTP_ANSWERED);
  assert_int_equal(next_kind(&all, &id, &phase), PAC_HTTP_ANSWERED);
  close_all(&all);
}

static void test_signal_mask_is_as_before(void **state) {
  sigset_t before;
  sigset_t after;
  int64_t id = 0;
  pac_http_phase phase;
  pthread_sigmask(SIG_SETMASK, NULL, &before);
  fixture all = open_all(state);
  (void)add(&all, false);
  (void)add(&all, true);
  let_answer(all.peer, 1);
  (void)next_kind(&all, &id, &phase);
  pac_http_batch_cancel(all.batch, all.http);
  close_all(&all);
  pthread_sigmask(SIG_SETMASK, NULL, &after);
  for (int number = 1; number < 32; number++) {
    assert_int_equal(sigismember(&before, number), sigismember(&after, number));
  }
}

static void test_free_ends_what_is_under_way(void **state) {
  fixture all = open_all(state);
  (void)add(&all, false);
  (void)add(&all, true);
  proceed(&all);
  pac_http_batch_cancel(all.batch, all.http); /* ended, and never taken */
  (void)add(&all, false);
  close_all(&all);
  pac_http_batch_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_numbers_tell_requests_apart, start_server, stop_server),
    cmocka_unit_test_setup_teardown(test_a_wrong_request_is_not_taken_on, start_server, stop_server),
    cmocka_unit_test_setup_teardown(test_the_request_need_not_live_on, start_server, stop_server),
    cmocka_unit_test_setup_teardown(test_cancel_ends_one_sessions_requests, start_server, stop_server),
    cmocka_unit_test_setup_teardown(test_fork_leaves_the_parents_requests_alone, start_server, stop_server),
    cmocka_unit_test_setup_teardown(test_signal_mask_is_as_before, start_server, stop_server),
    cmocka_unit_test_setup_teardown(test_free_ends_what_is_under_way, start_server, stop_server),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
