/* redis_link.h: a stream of bytes to a Redis server, over TCP, a Unix socket or
** TLS. Pure C: no Lua here, and nothing of the protocol.
**
** Every wait ends at a moment that the caller gives, in monotonic milliseconds,
** however slowly bytes trickle in. No call raises SIGPIPE. */
#ifndef REDIS_LINK_H
#define REDIS_LINK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum redis_status {
  REDIS_DONE,
  REDIS_LATE, /* the moment came first */
  REDIS_GONE, /* the other side, or the network, ended it */
  REDIS_NO_MEMORY,
} redis_status;

typedef struct redis_tls redis_tls;

/* Where a server is. The strings are the caller's. */
typedef struct redis_target {
  const char *host;   /* name or address; NULL with a Unix socket */
  const char *port;   /* in digits */
  const char *socket; /* path; NULL with a host */
  int has_tls;
  const char *ca_file;          /* PEM; NULL: the authorities of the system */
  const char *server_name;      /* the name in the certificate */
  const char *certificate_file; /* PEM, of this client; NULL: none */
  const char *key_file;         /* PEM; given together with certificate_file */
} redis_target;

typedef struct redis_link {
  int fd;         /* -1: closed */
  pid_t pid;      /* the process that opened it; a child leaves it alone */
  redis_tls *tls; /* owned; NULL: plain */
  /* Why the other side refused the handshake of TLS, in the words of OpenSSL,
  ** which keeps them; NULL: it did not. By TLS 1.3 it may say so when this side
  ** has done with the handshake, but before it looks at what is sent. */
  const char *refusal;
} redis_link;

#define REDIS_MESSAGE_SIZE      256
#define REDIS_NO_MEMORY_MESSAGE "there is not enough memory"
#define REDIS_NO_FILES_MESSAGE  "no more files can be opened, raise the limit of the process (ulimit -n)"

int64_t redis_now_ms(void);

/* Connects, and with TLS also verifies the certificate and its name. The name
** is looked up by the system, in its own time, before the limit is looked at.
** Returns 1, or 0 with a message that says what to look after; the link is
** closed then. The link must be closed before. */
int redis_link_open(redis_link *link, const redis_target *target, int64_t ends_at_ms, char *message);

/* Ends the connection without a farewell, which a child process could not say
** in its parent's name. Idempotent. */
void redis_link_close(redis_link *link);

/* True when the connection still stands and nothing has arrived unasked, as the
** answer to an abandoned command or the end of the stream would. */
int redis_link_is_idle(redis_link *link);

/* Hands everything to the system. Until the last byte has been handed over the
** server has seen no whole command. */
redis_status redis_link_write(redis_link *link, const char *data, size_t length, int64_t ends_at_ms);

/* Reads what is there, at least one byte, at most `size`. */
redis_status redis_link_read(redis_link *link, char *data, size_t size, size_t *length, int64_t ends_at_ms);

/* ---- between redis_link.c and redis_tls.c ---- */

/* Bytes as they are on the wire. With `ends_at_ms` 0 nothing waits. */
redis_status redis_raw_write(redis_link *link, const char *data, size_t length, int64_t ends_at_ms);
redis_status redis_raw_read(redis_link *link, char *data, size_t size, size_t *length, int64_t ends_at_ms);

/* Makes link->tls and shakes hands. Returns 1, or 0 with a message. */
int redis_tls_open(redis_link *link, const redis_target *target, int64_t ends_at_ms, char *message);
void redis_tls_close(redis_link *link);
redis_status redis_tls_write(redis_link *link, const char *data, size_t length, int64_t ends_at_ms);
redis_status redis_tls_read(redis_link *link, char *data, size_t size, size_t *length, int64_t ends_at_ms);

#endif
