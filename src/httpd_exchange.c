/* httpd_exchange.c: a request from its first line to its end, as libmicrohttpd
** calls for it. A complete request is parked: its connection is suspended until
** httpd.c answers or drops it. */
#include "httpd_exchange.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FIRST_RESERVE ((size_t)64 * 1024) /* what is announced need not come */

static int text_reserve(text *t, size_t capacity) {
  if (capacity <= t->capacity) {
    return 1;
  }
  char *grown = realloc(t->data, capacity);
  if (!grown) {
    return 0;
  }
  t->data = grown;
  t->capacity = capacity;
  return 1;
}

static int text_append(text *t, const char *data, size_t length) {
  size_t needed = t->length + length;
  if (needed > t->capacity && !text_reserve(t, needed < 2 * t->capacity ? 2 * t->capacity : needed)) {
    return 0;
  }
  memcpy(t->data + t->length, data, length);
  t->length = needed;
  return 1;
}

static void text_free(text *t) {
  free(t->data);
  memset(t, 0, sizeof *t);
}

/* Until Lua has it, a body counts towards what strangers may make the server keep. */
static void body_forget(exchange *e) {
  e->owner->pending -= e->pending;
  e->pending = 0;
  text_free(&e->body);
}

static void exchange_free(exchange *e) {
  server *s = e->owner;
  body_forget(e);
  *(e->previous ? &e->previous->next : &s->first) = e->next;
  *(e->next ? &e->next->previous : &s->last) = e->previous;
  if (e->given) {
    e->given->exchange = NULL;
  }
  if (e->response) {
    MHD_destroy_response(e->response);
  }
  free(e->method);
  free(e->target);
  text_free(&e->headers);
  free(e);
}

/* First sight of a request. What it returns becomes the request's context. */
void *httpd_on_target(void *context, const char *target, struct MHD_Connection *connection) {
  server *s = context;
  exchange *e = calloc(1, sizeof *e);
  if (!e) {
    return NULL;
  }
  e->owner = s;
  e->connection = connection;
  e->target = strdup(target);
  e->previous = s->last;
  *(s->last ? &s->last->next : &s->first) = e;
  s->last = e;
  httpd_deadline_headers(s, connection);
  return e;
}

void httpd_on_completed(void *context, struct MHD_Connection *connection, void **request,
                        enum MHD_RequestTerminationCode code) {
  (void)code;
  if (*request) {
    exchange_free(*request);
    *request = NULL;
  }
  httpd_deadline_begin(context, connection);
}

static enum MHD_Result on_header(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
  (void)kind;
  text *headers = context;
  size_t start = headers->length, length = strlen(name) + 1;
  if (!text_append(headers, name, length)) {
    return MHD_NO;
  }
  for (size_t i = start; i < start + length; i++) {
    headers->data[i] = (char)tolower((unsigned char)headers->data[i]);
  }
  const char *kept = value ? value : "";
  return text_append(headers, kept, strlen(kept) + 1) ? MHD_YES : MHD_NO;
}

static enum MHD_Result refuse_large(struct MHD_Connection *connection) {
  struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
  if (!r) {
    return MHD_NO;
  }
  MHD_add_response_header(r, "Connection", "close");
  enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_CONTENT_TOO_LARGE, r);
  MHD_destroy_response(r);
  return queued;
}

/* The headers are there. A body that announces itself as too large is refused
** before it is read. */
static enum MHD_Result exchange_begin(exchange *e, const char *method) {
  e->method = strdup(method);
  if (!e->method || !e->target) {
    return MHD_NO;
  }
  int copied = MHD_get_connection_values(e->connection, MHD_HEADER_KIND, on_header, &e->headers);
  int wanted = MHD_get_connection_values(e->connection, MHD_HEADER_KIND, NULL, NULL);
  if (copied != wanted) {
    return MHD_NO;
  }
  e->state = EXCHANGE_READING;
  httpd_deadline_body(e->connection);
  const char *length = MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, "Content-Length");
  if (!length) {
    return MHD_YES;
  }
  unsigned long long announced = strtoull(length, NULL, 10);
  if (announced > e->owner->max_body) {
    return refuse_large(e->connection);
  }
  size_t likely = announced < FIRST_RESERVE ? (size_t)announced : FIRST_RESERVE;
  return text_reserve(&e->body, likely) ? MHD_YES : MHD_NO;
}

/* A chunked body that grows past the limit ends the connection: there is no
** place in the protocol to answer in the middle of an upload. So does one for
** which all bodies together leave no room. */
static enum MHD_Result exchange_read(exchange *e, const char *data, size_t *size) {
  server *s = e->owner;
  if (*size > s->max_body - e->body.length || *size > s->max_pending - s->pending ||
      !text_append(&e->body, data, *size)) {
    return MHD_NO;
  }
  e->pending += *size;
  s->pending += *size;
  *size = 0;
  return MHD_YES;
}

enum MHD_Result httpd_on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *data, size_t *size, void **request) {
  (void)context, (void)url, (void)version;
  exchange *e = *request;
  if (!e) {
    return MHD_NO;
  }
  switch (e->state) {
  case EXCHANGE_NEW:
    return exchange_begin(e, method);
  case EXCHANGE_READING:
    if (*size > 0) {
      return exchange_read(e, data, size);
    }
    e->state = EXCHANGE_READY;
    httpd_deadline_end(e->owner, connection);
    MHD_suspend_connection(connection);
    return MHD_YES;
  case EXCHANGE_ANSWERED:
    return MHD_queue_response(connection, e->status, e->response);
  case EXCHANGE_READY:
  case EXCHANGE_TAKEN:
  case EXCHANGE_DROPPED:
    break;
  }
  return MHD_NO;
}

void httpd_exchange_resume(exchange *e, exchange_state state) {
  e->state = state;
  if (e->given) {
    e->given->exchange = NULL;
    e->given = NULL;
  }
  MHD_resume_connection(e->connection);
}

static void reset_connection(const exchange *e) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(e->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  if (info) {
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    struct sockaddr nobody = { .sa_family = AF_UNSPEC };
    setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)!connect(info->connect_fd, &nobody, sizeof nobody);
  }
}

/* A linger time of zero turns the close into a reset; dissolving the
** association at once keeps libmicrohttpd's orderly shutdown from sending an
** end-of-stream first. */
void httpd_exchange_drop(exchange *e, int is_clean) {
  if (!is_clean) {
    reset_connection(e);
  }
  httpd_exchange_resume(e, EXCHANGE_DROPPED);
}

exchange *httpd_exchange_ready(const server *s) {
  exchange *e = s->first;
  while (e && e->state != EXCHANGE_READY) {
    e = e->next;
  }
  return e;
}

void httpd_exchange_release(exchange *e) {
  text_free(&e->headers);
  body_forget(e);
}

int64_t httpd_monotonic_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Is the next piece to wait? Then the connection sleeps, and 0 bytes are given
** for now. */
static int waits(exchange *e) {
  delivery *d = &e->delivery;
  if (d->pause_ms == 0) {
    return 0;
  }
  int64_t now_ms = httpd_monotonic_ms();
  if (d->due_at_ms == 0) {
    d->due_at_ms = now_ms + d->pause_ms;
  }
  if (d->due_at_ms > now_ms) {
    d->is_paused = 1;
    MHD_suspend_connection(e->connection);
    return 1;
  }
  d->due_at_ms = 0;
  return 0;
}

/* libmicrohttpd asks for the bytes from position on. The head has promised the
** whole body, so ending early is an error to it, and it closes. */
static ssize_t give_bytes(void *context, uint64_t position, char *buffer, size_t size) {
  exchange *e = context;
  size_t end = e->delivery.cut_after < e->body.length ? e->delivery.cut_after : e->body.length;
  if (position >= end) {
    return MHD_CONTENT_READER_END_WITH_ERROR;
  }
  if (waits(e)) {
    return 0;
  }
  size_t left = end - (size_t)position;
  size_t piece = e->delivery.piece > 0 && e->delivery.piece < left ? e->delivery.piece : left;
  piece = piece < size ? piece : size;
  memcpy(buffer, e->body.data + position, piece);
  return (ssize_t)piece;
}

#define DELIVERY_BLOCK 4096

struct MHD_Response *httpd_exchange_deliver(exchange *e, const char *body, size_t length) {
  text_free(&e->body);
  if (length > 0 && !text_append(&e->body, body, length)) {
    return NULL;
  }
  return MHD_create_response_from_callback(length, DELIVERY_BLOCK, give_bytes, e, NULL);
}

int64_t httpd_exchange_continue(const server *s, int64_t now_ms) {
  int64_t next_ms = INT64_MAX;
  for (exchange *e = s->first; e; e = e->next) {
    if (!e->delivery.is_paused) {
      continue;
    }
    if (e->delivery.due_at_ms <= now_ms) {
      e->delivery.is_paused = 0;
      MHD_resume_connection(e->connection);
    } else if (e->delivery.due_at_ms < next_ms) {
      next_ms = e->delivery.due_at_ms;
    }
  }
  return next_ms;
}
