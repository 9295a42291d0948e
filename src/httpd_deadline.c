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

static void add_caller(server *s, struct MHD_Connection *connection, void **context) {
  caller *c = calloc(1, sizeof *c);
  if (!c) {
    hang_up(connection); /* nobody could count its time */
    return;
  }
  c->connection = connection;
  c->due_at_ms = httpd_monotonic_ms() + s->request_deadline_ms;
  c->next = s->first_caller;
  c->link = &s->first_caller;
  if (c->next) {
    c->next->link = &c->next;
  }
  s->first_caller = c;
  *context = c;
}

static void remove_caller(caller *c) {
  *c->link = c->next;
  if (c->next) {
    c->next->link = c->link;
  }
  free(c);
}

void httpd_on_connection(void *context, struct MHD_Connection *connection, void **own,
                         enum MHD_ConnectionNotificationCode code) {
  server *s = context;
  if (code == MHD_CONNECTION_NOTIFY_STARTED && s->request_deadline_ms > 0) {
    add_caller(s, connection, own);
  } else if (code == MHD_CONNECTION_NOTIFY_CLOSED && *own) {
    remove_caller(*own);
    *own = NULL;
  }
}

void httpd_deadline_begin(const server *s, struct MHD_Connection *connection) {
  caller *c = s->request_deadline_ms > 0 ? caller_of(connection) : NULL;
  if (c) {
    c->due_at_ms = httpd_monotonic_ms() + s->request_deadline_ms;
  }
}

void httpd_deadline_end(const server *s, struct MHD_Connection *connection) {
  caller *c = s->request_deadline_ms > 0 ? caller_of(connection) : NULL;
  if (c) {
    c->due_at_ms = INT64_MAX;
  }
}

int64_t httpd_deadline_enforce(const server *s, int64_t now_ms) {
  int64_t next_ms = INT64_MAX;
  for (caller *c = s->first_caller; c; c = c->next) {
    if (c->due_at_ms <= now_ms) {
      c->due_at_ms = INT64_MAX;
      hang_up(c->connection);
    } else if (c->due_at_ms < next_ms) {
      next_ms = c->due_at_ms;
    }
  }
  return next_ms;
}

void httpd_deadline_postpone(const server *s, int64_t by_ms) {
  for (caller *c = s->first_caller; c; c = c->next) {
    if (c->due_at_ms != INT64_MAX) {
      c->due_at_ms += by_ms;
    }
  }
}
