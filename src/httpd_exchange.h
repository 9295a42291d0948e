/* httpd_exchange.h: what src/httpd.c, src/httpd_exchange.c and
** src/httpd_deadline.c show each other: the server, one connection, and one
** request on its way through it. Pure C: no Lua here. */
#ifndef HTTPD_EXCHANGE_H
#define HTTPD_EXCHANGE_H

#include <microhttpd.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

typedef enum exchange_state {
  EXCHANGE_NEW,     /* only the request line is there */
  EXCHANGE_READING, /* the body is arriving */
  EXCHANGE_READY,   /* complete and suspended, not yet given to Lua */
  EXCHANGE_TAKEN,   /* suspended, in the hands of Lua */
  EXCHANGE_ANSWERED,
  EXCHANGE_DROPPED
} exchange_state;

typedef struct text {
  char *data;
  size_t length, capacity;
} text;

typedef struct handle handle;
typedef struct server server;

/* How the body of an answer leaves when it is to misbehave. */
typedef struct delivery {
  size_t cut_after;  /* bytes that are sent of it; SIZE_MAX: all of it */
  size_t piece;      /* bytes that are sent at a time; 0: in one go */
  int64_t pause_ms;  /* before each piece */
  int64_t due_at_ms; /* monotonic; when the next piece may leave */
  int is_paused;     /* suspended until then */
} delivery;

/* One request on its way through the server. */
typedef struct exchange {
  server *owner;
  struct MHD_Connection *connection;
  handle *given;                 /* the Lua side, or NULL */
  struct MHD_Response *response; /* owned until it is queued */
  unsigned int status;
  exchange_state state;
  char *method, *target; /* owned; target still percent-encoded, query included */
  text headers;          /* name NUL value NUL …, names in lower case */
  text body;             /* of the request; later, where delivery needs it, of the answer */
  size_t pending;        /* bytes of the body that count towards max_pending */
  delivery delivery;
  struct exchange *previous, *next; /* every exchange of the server, oldest first */
} exchange;

struct handle {
  exchange *exchange; /* NULL once answered, dropped or cut off by close */
};

/* One connection. It owes a request from its first moment, and from the end of
** an answer, until a request is complete. */
typedef struct caller {
  struct MHD_Connection *connection;
  int64_t head_due_at_ms, due_at_ms; /* monotonic; when headers and request must be complete; INT64_MAX: never */
  int owes;
  struct caller *previous, *next; /* while it owes: every caller that does, the one that began first is first */
} caller;

struct server {
  struct MHD_Daemon *daemon; /* NULL: closed */
  exchange *first, *last;
  caller *first_caller, *last_caller;
  size_t max_body;
  size_t max_pending, pending; /* bytes of the bodies that are not yet given to Lua */
  unsigned int max_connections, connections;
  int64_t header_deadline_ms, request_deadline_ms; /* 0: none */
  int64_t left_at_ms;                              /* when the program was last given back the thread; 0: never yet */
  int watches_signals, survives_writes;
  struct sigaction old_int, old_term, old_pipe, old_file_size;
};

/* The callbacks that httpd.c hands to libmicrohttpd. */
void *httpd_on_target(void *context, const char *target, struct MHD_Connection *connection);
enum MHD_Result httpd_on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *data, size_t *size, void **request);
void httpd_on_completed(void *context, struct MHD_Connection *connection, void **request,
                        enum MHD_RequestTerminationCode code);

void httpd_on_connection(void *context, struct MHD_Connection *connection, void **own,
                         enum MHD_ConnectionNotificationCode code);

/* The next request of this connection has all of its time from now on. */
void httpd_deadline_begin(server *s, struct MHD_Connection *connection);

/* A request line is there: its headers have their time from now on. */
void httpd_deadline_headers(const server *s, struct MHD_Connection *connection);

/* The headers are complete: the body has what is left of the request's time. */
void httpd_deadline_body(struct MHD_Connection *connection);

/* A request is complete: its connection may take its time. */
void httpd_deadline_end(server *s, struct MHD_Connection *connection);

/* Ends the connections whose time is over, without an answer: a client that
** repeats what failed would take a status of 4xx for final.
** Returns: monotonic milliseconds of the next deadline, INT64_MAX for none. */
int64_t httpd_deadline_enforce(server *s, int64_t now_ms);

/* Moves all deadlines: while the program does something else, nothing that
** comes in is read. */
void httpd_deadline_postpone(const server *s, int64_t by_ms);

/* The oldest request that is complete and not yet given to Lua, or NULL. */
exchange *httpd_exchange_ready(const server *s);

/* Forgets the memory of headers and body once Lua has its own copies. */
void httpd_exchange_release(exchange *e);

/* Cuts the handle off and lets libmicrohttpd go on with the connection. */
void httpd_exchange_resume(exchange *e, exchange_state state);

/* Ends the connection without an answer: with a reset, or with an orderly
** close when is_clean. */
void httpd_exchange_drop(exchange *e, int is_clean);

/* Makes the answer that e->delivery describes.
** Args: body is copied. Returns: NULL when memory is short. */
struct MHD_Response *httpd_exchange_deliver(exchange *e, const char *body, size_t length);

/* Lets the paused answers go on whose time has come, all of them when now_ms
** is INT64_MAX. Returns: monotonic milliseconds of the next one, INT64_MAX for
** none. */
int64_t httpd_exchange_continue(const server *s, int64_t now_ms);

/* Milliseconds on a clock that only moves forward. */
int64_t httpd_monotonic_ms(void);

#endif
