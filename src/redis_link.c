/* redis_link.c: the socket of a connection to Redis. It never blocks: every
** wait is a poll with what is left of the caller's time. */
#include "redis_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Where there is no such flag, SO_NOSIGPIPE does the same for the socket. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#define KEEPALIVE_IDLE_S 60 /* a silent network is noticed some minutes later, long before the default of two hours */

int64_t redis_now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for one event. A socket in trouble counts as ready: the next call on it
** tells the trouble. */
static redis_status wait_for(const redis_link *link, short events, int64_t ends_at_ms) {
  for (;;) {
    int64_t left = ends_at_ms - redis_now_ms();
    struct pollfd p = { link->fd, events, 0 };
    if (left <= 0) {
      return REDIS_LATE;
    }
    int ready = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
    if (ready > 0) {
      return REDIS_DONE;
    }
    if (ready < 0 && errno != EINTR) {
      return REDIS_GONE;
    }
  }
}

static int is_would_block(int code) {
  return code == EAGAIN || code == EWOULDBLOCK;
}

/* The clock is looked at after each part: to a reader that is quick enough there is always room for one more. */
redis_status redis_raw_write(redis_link *link, const char *data, size_t length, int64_t ends_at_ms) {
  while (length > 0) {
    ssize_t sent = send(link->fd, data, length, MSG_NOSIGNAL);
    if (sent >= 0) {
      data += sent;
      length -= (size_t)sent;
      if (length > 0 && redis_now_ms() >= ends_at_ms) {
        return REDIS_LATE;
      }
    } else if (is_would_block(errno)) {
      redis_status status = wait_for(link, POLLOUT, ends_at_ms);
      if (status != REDIS_DONE) {
        return status;
      }
    } else if (errno != EINTR) {
      return REDIS_GONE;
    }
  }
  return REDIS_DONE;
}

redis_status redis_raw_read(redis_link *link, char *data, size_t size, size_t *length, int64_t ends_at_ms) {
  for (;;) {
    ssize_t got = recv(link->fd, data, size, 0);
    if (got > 0) {
      *length = (size_t)got;
      return REDIS_DONE;
    }
    if (got == 0 || (!is_would_block(errno) && errno != EINTR)) {
      return REDIS_GONE;
    }
    redis_status status = is_would_block(errno) ? wait_for(link, POLLIN, ends_at_ms) : REDIS_DONE;
    if (status != REDIS_DONE) {
      return status;
    }
  }
}

redis_status redis_link_write(redis_link *link, const char *data, size_t length, int64_t ends_at_ms) {
  return link->tls ? redis_tls_write(link, data, length, ends_at_ms) : redis_raw_write(link, data, length, ends_at_ms);
}

redis_status redis_link_read(redis_link *link, char *data, size_t size, size_t *length, int64_t ends_at_ms) {
  return link->tls ? redis_tls_read(link, data, size, length, ends_at_ms)
                   : redis_raw_read(link, data, size, length, ends_at_ms);
}

/* Over TLS there may be bytes that are no answer, such as a session ticket. */
int redis_link_is_idle(redis_link *link) {
  char byte;
  size_t length;
  return link->fd >= 0 && link->pid == getpid() && redis_link_read(link, &byte, 1, &length, 0) == REDIS_LATE;
}

void redis_link_close(redis_link *link) {
  redis_tls_close(link);
  if (link->fd >= 0) {
    close(link->fd);
    link->fd = -1;
  }
}

/* ---- connecting ---- */

/* What is missing of these a connection can do without. */
static void set_options(int fd, int is_tcp) {
  int on = 1;
#ifdef SO_NOSIGPIPE
  setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  if (!is_tcp) {
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#ifdef TCP_KEEPIDLE
  int idle_s = KEEPALIVE_IDLE_S;
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
#endif
}

/* Returns 0, or the errno of what went wrong; the descriptor is closed then. */
static int connect_to(redis_link *link, int family, const struct sockaddr *address, socklen_t length,
                      int64_t ends_at_ms) {
  int code = 0;
  socklen_t size = sizeof code;
  link->fd = socket(family, SOCK_STREAM, 0);
  if (link->fd < 0) {
    return errno;
  }
  set_options(link->fd, family != AF_UNIX);
  if (fcntl(link->fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(link->fd, F_SETFL, O_NONBLOCK) != 0) {
    code = errno;
  } else if (connect(link->fd, address, length) != 0) {
    code = errno;
    if (code == EINPROGRESS || code == EINTR) {
      redis_status status = wait_for(link, POLLOUT, ends_at_ms);
      code = status == REDIS_LATE ? ETIMEDOUT : errno;
      if (status == REDIS_DONE && getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0) {
        code = errno;
      }
    }
  }
  if (code != 0) {
    close(link->fd);
    link->fd = -1;
  }
  return code;
}

static int is_file_limit(int code) {
  return code == EMFILE || code == ENFILE;
}

/* EAGAIN is how Linux says that a Unix socket's queue is full. */
static const char *reason_of(int code) {
  switch (code) {
  case EMFILE:
  case ENFILE:
    return REDIS_NO_FILES_MESSAGE;
  case ENOMEM:
  case ENOBUFS:
    return REDIS_NO_MEMORY_MESSAGE;
  case ECONNREFUSED:
    return "nothing answers there, start Redis or check where it listens";
  case ETIMEDOUT:
    return "no answer in time, check the host, the port and the network";
  case ENOENT:
    return "there is no such socket, start Redis or check its unixsocket setting";
  case EACCES:
    return "no permission, check unixsocketperm and the folders above the socket";
  case EAGAIN:
    return "Redis takes no connections at the moment";
  default:
    return strerror(code);
  }
}

static int connect_unix(redis_link *link, const char *path, int64_t ends_at_ms, char *message) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address.sun_path) {
    snprintf(message, REDIS_MESSAGE_SIZE, "the path of the socket is too long for this system");
    return 0;
  }
  memcpy(address.sun_path, path, strlen(path) + 1);
  int code = connect_to(link, AF_UNIX, (const struct sockaddr *)&address, sizeof address, ends_at_ms);
  if (code != 0) {
    snprintf(message, REDIS_MESSAGE_SIZE, "%s", reason_of(code));
  }
  return code == 0;
}

/* At the limit of open files the system can neither read its list of hosts nor
** ask a name server, and may well say that there is no such name. */
static int is_at_file_limit(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) {
    return is_file_limit(errno);
  }
  close(fd);
  return 0;
}

static int say_not_found(int problem, int code, char *message) {
  if (problem == EAI_MEMORY) {
    snprintf(message, REDIS_MESSAGE_SIZE, "%s", REDIS_NO_MEMORY_MESSAGE);
  } else if ((problem == EAI_SYSTEM && is_file_limit(code)) || is_at_file_limit()) {
    snprintf(message, REDIS_MESSAGE_SIZE, "%s", REDIS_NO_FILES_MESSAGE);
  } else {
    snprintf(message, REDIS_MESSAGE_SIZE, "the name of the host was not found (%s)", gai_strerror(problem));
  }
  return 0;
}

/* Each address gets an even share of what is left, so that a dead one does not
** use up the time of the next. */
static int connect_tcp(redis_link *link, const char *host, const char *port, int64_t ends_at_ms, char *message) {
  struct addrinfo hints, *found = NULL;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  int problem = getaddrinfo(host, port, &hints, &found), left = 0, code = ETIMEDOUT;
  if (problem != 0) {
    return say_not_found(problem, errno, message);
  }
  for (const struct addrinfo *a = found; a; a = a->ai_next) {
    left++;
  }
  for (const struct addrinfo *a = found; a && code != 0; a = a->ai_next, left--) {
    int64_t now = redis_now_ms();
    code = connect_to(link, a->ai_family, a->ai_addr, a->ai_addrlen, now + (ends_at_ms - now) / left);
  }
  freeaddrinfo(found);
  if (code != 0) {
    snprintf(message, REDIS_MESSAGE_SIZE, "%s", reason_of(code));
  }
  return code == 0;
}

int redis_link_open(redis_link *link, const redis_target *target, int64_t ends_at_ms, char *message) {
  int ok = target->socket ? connect_unix(link, target->socket, ends_at_ms, message)
                          : connect_tcp(link, target->host, target->port, ends_at_ms, message);
  link->pid = getpid();
  link->refusal = NULL;
  if (ok && target->has_tls && !redis_tls_open(link, target, ends_at_ms, message)) {
    redis_link_close(link);
    ok = 0;
  }
  return ok;
}
