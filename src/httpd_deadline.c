/* httpd_deadline.c: who connects and then takes too long to say what he wants.
** libmicrohttpd knows how long a connection was silent, which a byte now and
** then gets around; here the whole request has one deadline. */
#include "httpd_exchange.h"

#include <stdlib.h>
#include <sys/socket.h>

static int descriptor_of(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info ? info->connect_fd : -1;
}

static caller *caller_of(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info ? info->socket_context : NULL;
}

/* libmicrohttpd then finds the connection at its end, and frees what belongs to it. */
static void hang_up(struct MHD_Connection *connection) {
  int fd = descriptor_of(connection);
  if (fd >= 0) {
    shutdown(fd, SHUT_RDWR);
  }
}

static void begin_to_owe(server *s, caller *c) {
  c->owes = 1;
  c->previous = s->last_caller;
  c->next = NULL;
  *(s->last_caller ? &s->last_caller->next : &s->first_caller) = c;
  s->last_caller = c;
}

static void end_to_owe(server *s, caller *c) {
  if (c->owes) {
    c->owes = 0;
    *(c->previous ? &c->previous->next : &s->first_caller) = c->next;
    *(c->next ? &c->next->previous : &s->last_caller) = c->previous;
  }
}

static int64_t due_after(int64_t now_ms, int64_t deadline_ms) {
  return deadline_ms > 0 ? now_ms + deadline_ms : INT64_MAX;
}

static int64_t sooner(int64_t one, int64_t other) {
  return one < other ? one : other;
}

static void give_up(server *s, caller *c) {
  end_to_owe(s, c);
  hang_up(c->connection);
}

/* Some places are kept free, so that who comes now finds one until those that
** are ended here have left. */
static void make_room(server *s) {
  if (s->connections > s->max_connections - s->max_connections / 8 && s->first_caller) {
    give_up(s, s->first_caller);
  }
}

static void add_caller(server *s, struct MHD_Connection *connection, void **context) {
  caller *c = calloc(1, sizeof *c);
  if (!c) {
    hang_up(connection); /* nobody could count its time */
    return;
  }
  int64_t now_ms = httpd_monotonic_ms();
  c->connection = connection;
  c->due_at_ms = due_after(now_ms, s->request_deadline_ms);
  c->head_due_at_ms = sooner(due_after(now_ms, s->header_deadline_ms), c->due_at_ms);
  make_room(s);
  begin_to_owe(s, c);
  *context = c;
}

void httpd_on_connection(void *context, struct MHD_Connection *connection, void **own,
                         enum MHD_ConnectionNotificationCode code) {
  server *s = context;
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    s->connections++;
    add_caller(s, connection, own);
  } else if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
    s->connections--;
    if (*own) {
      end_to_owe(s, *own);
      free(*own);
      *own = NULL;
    }
  }
}

/* Between two requests a client may rest: only the whole deadline counts until
** the next one has begun. */
void httpd_deadline_begin(server *s, struct MHD_Connection *connection) {
  caller *c = caller_of(connection);
  if (c) {
    end_to_owe(s, c);
    begin_to_owe(s, c);
    c->due_at_ms = due_after(httpd_monotonic_ms(), s->request_deadline_ms);
    c->head_due_at_ms = c->due_at_ms;
  }
}

void httpd_deadline_headers(const server *s, struct MHD_Connection *connection) {
  caller *c = caller_of(connection);
  if (c) {
    c->head_due_at_ms = sooner(c->head_due_at_ms, due_after(httpd_monotonic_ms(), s->header_deadline_ms));
  }
}

void httpd_deadline_body(struct MHD_Connection *connection) {
  caller *c = caller_of(connection);
  if (c) {
    c->head_due_at_ms = c->due_at_ms;
  }
}

void httpd_deadline_end(server *s, struct MHD_Connection *connection) {
  caller *c = caller_of(connection);
  if (c) {
    end_to_owe(s, c);
  }
}

int64_t httpd_deadline_enforce(server *s, int64_t now_ms) {
  int64_t next_ms = INT64_MAX;
  for (caller *c = s->first_caller, *next; c; c = next) {
    next = c->next;
    if (c->head_due_at_ms <= now_ms) {
      give_up(s, c);
    } else {
      next_ms = sooner(next_ms, c->head_due_at_ms);
    }
  }
  return next_ms;
}

static int64_t later(int64_t due_at_ms, int64_t by_ms) {
  return due_at_ms == INT64_MAX ? INT64_MAX : due_at_ms + by_ms;
}

void httpd_deadline_postpone(const server *s, int64_t by_ms) {
  for (caller *c = s->first_caller; c; c = c->next) {
    c->due_at_ms = later(c->due_at_ms, by_ms);
    c->head_due_at_ms = later(c->head_due_at_ms, by_ms);
  }
}
