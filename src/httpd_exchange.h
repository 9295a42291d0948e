/* httpd_exchange.h: what src/httpd.c and src/httpd_exchange.c show each other:
** the server, and one request on its way through it. Pure C: no Lua here. */
#ifndef HTTPD_EXCHANGE_H
#define HTTPD_EXCHANGE_H

#include <microhttpd.h>
#include <signal.h>
#include <stddef.h>

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
  text body;
  struct exchange *previous, *next; /* every exchange of the server, oldest first */
} exchange;

struct handle {
  exchange *exchange; /* NULL once answered, dropped or cut off by close */
};

struct server {
  struct MHD_Daemon *daemon; /* NULL: closed */
  exchange *first, *last;
  size_t max_body;
  int watches_signals;
  struct sigaction old_int, old_term;
};

/* The callbacks that httpd.c hands to libmicrohttpd. */
void *httpd_on_target(void *context, const char *target, struct MHD_Connection *connection);
enum MHD_Result httpd_on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *data, size_t *size, void **request);
void httpd_on_completed(void *context, struct MHD_Connection *connection, void **request,
                        enum MHD_RequestTerminationCode code);

/* The oldest request that is complete and not yet given to Lua, or NULL. */
exchange *httpd_exchange_ready(const server *s);

/* Forgets the memory of headers and body once Lua has its own copies. */
void httpd_exchange_release(exchange *e);

/* Cuts the handle off and lets libmicrohttpd go on with the connection. */
void httpd_exchange_resume(exchange *e, exchange_state state);

/* Resets the connection without an answer. */
void httpd_exchange_drop(exchange *e);

#endif
