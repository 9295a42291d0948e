/* pac_http.h: one HTTP session over libcurl. A session keeps its connections
** and TLS sessions alive between requests, sends one request at a time and
** says of every failure whether any byte of the request can have left. A batch
** (pac_http_batch.h) sends requests of sessions side by side.
** Pure C; not for two threads at once. */
#ifndef PAC_HTTP_H
#define PAC_HTTP_H

#include "pac.h"
#include "pac_buf.h"

#include <stdbool.h>

/* More than any gateway sends; libcurl itself stops a little above. */
#define PAC_HTTP_MAX_HEADER_BYTES (256u * 1024u)
/* Keeps the joining of repeated headers far from quadratic trouble. */
#define PAC_HTTP_MAX_HEADER_LINES 512u
/* 24 days: what fits a 32-bit long, which libcurl takes on some platforms. */
#define PAC_HTTP_MAX_TIMEOUT_MS 2147483647

typedef struct pac_http pac_http;

/* Requests for one place connect to another. The name that the certificate must
** bear, the Host header and the URL stay. */
typedef struct pac_http_route {
  const char *from; /* host:port as in the URL, the port written out */
  const char *to;   /* host:port */
} pac_http_route;

/* What holds for a whole session. Strings are copied by pac_http_new. */
typedef struct pac_http_config {
  const char *ca_file;     /* PEM file of trusted roots; NULL: the system's, unless ca_path is set */
  const char *ca_path;     /* hashed folder of trusted roots; NULL: the system's, unless ca_file is set */
  const char *proxy;       /* [scheme://]host[:port]; "" means none; NULL: the environment decides */
  size_t max_answer_bytes; /* cap on the body, counted after decoding */
  long connect_timeout_ms; /* resolve, connect and TLS together; used where a request names none */
  long timeout_ms;         /* the whole transfer; used where a request names none */
  const pac_http_route *routes;
  size_t route_count;
} pac_http_config;

typedef struct pac_http_header {
  const char *name;
  const char *value; /* may be empty; it is sent all the same */
} pac_http_header;

/* One request. Everything is borrowed until the function that takes it returns. */
typedef struct pac_http_request {
  const char *method; /* GET HEAD POST PUT PATCH DELETE */
  const char *url;    /* https, or http to a loopback host; ASCII, percent-encoded, no user name */
  const pac_http_header *headers;
  size_t header_count;
  const char *body; /* NULL: none; refused for GET and HEAD */
  size_t body_bytes;
  long connect_timeout_ms; /* 0: as the session says */
  long timeout_ms;         /* 0: as the session says */
  bool single_use;         /* a repeat would do harm: it gets a connection of its own, closed after it */
  bool gzip;               /* ask for, and decode, a compressed answer */
} pac_http_request;

typedef enum pac_http_kind {
  PAC_HTTP_ANSWERED = 0, /* a complete answer, whatever its status */
  PAC_HTTP_NETWORK,      /* resolve, connect, TLS, or a connection that broke */
  PAC_HTTP_TIMEOUT,      /* one of the two timeouts ran out */
  PAC_HTTP_PROTOCOL,     /* bytes came, but no acceptable HTTP answer */
  PAC_HTTP_CANCELED      /* ended by us, in a batch */
} pac_http_kind;

typedef enum pac_http_phase {
  PAC_HTTP_NOT_SENT = 0, /* certain: not one byte of the request left */
  PAC_HTTP_UNKNOWN       /* some or all of it may have arrived */
} pac_http_phase;

/* What became of one request. All zero is the empty answer; the memory behind
** it is freed by pac_http_answer_reset only, which the caller owes. */
typedef struct pac_http_answer {
  pac_http_kind kind;
  pac_http_phase phase; /* means something for failures only */
  int status;           /* 200..999 for PAC_HTTP_ANSWERED */
  int code;             /* libcurl's number, 0 for success */
  int64_t elapsed_ms;
  bool reused;       /* no new connection was opened */
  char message[256]; /* failures: what to check; never a header, a body or a query */
  pac_buf body;
  pac_buf headers; /* name NUL value NUL ..., names in lower case; read with pac_http_answer_next */

  bool head_complete;        /* the empty line after the last header came */
  size_t received_head_size; /* bytes of all header lines, interim answers and trailers included */
  size_t received_lines;
} pac_http_answer;

/* Checks what pac_http_new will take: timeouts of 1..PAC_HTTP_MAX_TIMEOUT_MS, a cap above 0, routes of host:port that
** end at a loopback host if they begin at one.
** Returns PAC_INVALID, and err names the rule. */
pac_status pac_http_config_check(const pac_http_config *config, pac_err *err) PAC_WARN_UNUSED;

/* Opens a session. No connection is made before the first request.
** Args: config, see pac_http_config_check.
** Returns PAC_OK and *out; PAC_INVALID, PAC_NO_MEMORY or PAC_FAILED (libcurl unusable) leave *out NULL.
** Owns: the caller frees *out with pac_http_free. */
pac_status pac_http_new(const pac_http_config *config, pac_http **out, pac_err *err) PAC_WARN_UNUSED;

/* Sends one request once and waits for the answer. libcurl's own repeat on a
** kept connection that died is suppressed: nothing is ever sent twice. (With
** a libcurl older than 7.80 that holds for everything but GET and HEAD.)
** In a forked child the connections of the parent are left alone.
** Args: http; request; answer, which is reset first.
** Returns PAC_INVALID when the request breaks a rule (nothing was sent, err names the rule); PAC_OK
** otherwise, and answer->kind tells the rest.
** Owns: the answer's memory is the caller's, see pac_http_answer_reset. */
pac_status pac_http_send(pac_http *http, const pac_http_request *request, pac_http_answer *answer,
                         pac_err *err) PAC_WARN_UNUSED;

/* Closes the session and its connections; NULL is fine. In a forked child the
** parent's connections stay open, for closing TLS there would end them here. */
void pac_http_free(pac_http *http);

/* Frees what the answer holds and empties it; safe on an empty answer. */
void pac_http_answer_reset(pac_http_answer *answer);

/* Walks the headers of a complete answer in the order of arrival.
** Args: cursor, 0 at first; name and value are set to strings inside the answer (valid until its reset).
** Returns false after the last one. */
bool pac_http_answer_next(const pac_http_answer *answer, size_t *cursor, const char **name, const char **value);

/* Takes one header line as it came, its line end included. A status line
** starts anew, so that interim answers leave nothing; trailers are dropped.
** Returns PAC_TOO_LONG over the limits above, PAC_INVALID for a NUL, PAC_NO_MEMORY. */
pac_status pac_http_answer_take_line(pac_http_answer *answer, const char *line, size_t bytes) PAC_WARN_UNUSED;

/* Appends bytes to the body. Returns PAC_TOO_LONG when it would pass
** max_bytes, PAC_NO_MEMORY; the body is unchanged then. */
pac_status pac_http_answer_take_body(pac_http_answer *answer, const char *data, size_t bytes,
                                     size_t max_bytes) PAC_WARN_UNUSED;

#endif
