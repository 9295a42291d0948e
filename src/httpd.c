/* httpd.c: paciolan.httpd, a small HTTP/1.1 server on libmicrohttpd for the
** sandbox, the receiver and specs.
**
** It has no thread of its own and no callback into Lua. libmicrohttpd runs
** inside server:next, which collects one complete request, parks its connection
** and returns the request as a table; the program answers now or later with
** server:reply, or ends the connection with server:drop. Any number of
** requests may wait for their answers at the same time.
**
** Ownership: the server userdata owns the daemon; the daemon owns connections;
** each connection owns one exchange, freed by the completion callback. A
** request table holds a handle that points at its exchange and is cut off when
** either side goes first. A handle that is collected unanswered drops its
** connection, so a forgotten request never hangs a client. */
#include <stdint.h>

#include "httpd_exchange.h"
#include "lpac_compat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#if MHD_VERSION < 0x00097400
#error "libmicrohttpd 0.9.74 or newer is needed (MHD_run_wait)"
#endif

#define SERVER_TYPE "paciolan.httpd.server"
#define HANDLE_TYPE "paciolan.httpd.request"

#define DEFAULT_MAX_BODY    (8 * 1024 * 1024) /* an SNS message has at most 256 KiB, a lock 100 tokens */
#define DEFAULT_MAX_HEADER  (64 * 1024)       /* request line, request headers and answer headers together */
#define MIN_MAX_HEADER      4096
#define IDLE_TIMEOUT_S      60
#define MAX_TIMEOUT_S       86400
#define DEFAULT_MAX_PENDING (64 * 1024 * 1024)
#define MAX_CONNECTIONS     1000
#define FEWEST_CONNECTIONS  8
#define MOST_CONNECTIONS    100000
#define MAX_GZIP_INPUT      (1024u * 1024 * 1024) /* zlib counts in unsigned int; larger bodies go out plain */
#define SIGNAL_SLICE_MS     200 /* a signal between the check and the wait is seen this late at most */

/* Signals belong to the process, so the request to stop does as well. */
static volatile sig_atomic_t stop_requested;

static void on_signal(int number) {
  (void)number;
  stop_requested = 1;
}

/* A write that would raise a signal fails with its own error then. In a program
** that is started from here the signal does again what it always does. */
static void on_write_signal(int number) {
  (void)number;
}

static void set_handler(int number, void (*handler)(int), struct sigaction *old) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, old);
}

static void watch_signals(server *s) {
  stop_requested = 0;
  set_handler(SIGINT, on_signal, &s->old_int);
  set_handler(SIGTERM, on_signal, &s->old_term);
  s->watches_signals = 1;
}

static void survive_writes(server *s) {
  set_handler(SIGPIPE, on_write_signal, &s->old_pipe);
  set_handler(SIGXFSZ, on_write_signal, &s->old_file_size);
  s->survives_writes = 1;
}

static void restore_signals(server *s) {
  if (s->watches_signals) {
    sigaction(SIGINT, &s->old_int, NULL);
    sigaction(SIGTERM, &s->old_term, NULL);
    s->watches_signals = 0;
  }
  if (s->survives_writes) {
    sigaction(SIGPIPE, &s->old_pipe, NULL);
    sigaction(SIGXFSZ, &s->old_file_size, NULL);
    s->survives_writes = 0;
  }
}

/* ---- the server object ---- */

static server *check_open(lua_State *L) {
  server *s = luaL_checkudata(L, 1, SERVER_TYPE);
  if (!s->daemon) {
    luaL_error(L, "the server is closed");
  }
  return s;
}

/* Answers that were given but not yet written get one chance to leave. */
static void server_shut(server *s) {
  if (!s->daemon) {
    return;
  }
  MHD_run(s->daemon);
  for (exchange *e = s->first; e; e = e->next) {
    e->delivery.pause_ms = 0; /* one that goes on must not suspend itself again */
  }
  httpd_exchange_continue(s, INT64_MAX); /* libmicrohttpd must not stop with a connection suspended */
  for (exchange *e = s->first; e; e = e->next) {
    if (e->state == EXCHANGE_READY || e->state == EXCHANGE_TAKEN) {
      httpd_exchange_resume(e, EXCHANGE_DROPPED);
    }
  }
  MHD_stop_daemon(s->daemon);
  s->daemon = NULL;
  restore_signals(s);
}

static int l_close(lua_State *L) {
  server_shut(luaL_checkudata(L, 1, SERVER_TYPE));
  return 0;
}

static unsigned int server_port(const server *s) {
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
  return info ? info->port : 0;
}

static int l_tostring(lua_State *L) {
  const server *s = luaL_checkudata(L, 1, SERVER_TYPE);
  if (s->daemon) {
    lua_pushfstring(L, "paciolan.httpd (open, port %d)", (int)server_port(s));
  } else {
    lua_pushliteral(L, "paciolan.httpd (closed)");
  }
  return 1;
}

static int l_port(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)server_port(check_open(L)));
  return 1;
}

/* Runs the daemon until a request is complete, the time is up or a signal
** asked to stop. One turn is always made, so a timeout of 0 does work. */
static exchange *server_wait(server *s, int64_t timeout_ms) {
  int64_t now = httpd_monotonic_ms(), deadline = now + timeout_ms;
  httpd_deadline_postpone(s, s->left_at_ms > 0 ? now - s->left_at_ms : 0);
  exchange *e = httpd_exchange_ready(s);
  while (!e && !(s->watches_signals && stop_requested)) {
    int64_t next = httpd_exchange_continue(s, now), due = httpd_deadline_enforce(s, now);
    next = due < next ? due : next;
    int64_t slice = (next < deadline ? next : deadline) - now;
    slice = slice > SIGNAL_SLICE_MS && s->watches_signals ? SIGNAL_SLICE_MS : slice;
    if (MHD_run_wait(s->daemon, (int)slice) != MHD_YES) {
      break;
    }
    e = httpd_exchange_ready(s);
    now = httpd_monotonic_ms();
    if (now >= deadline) {
      break;
    }
  }
  s->left_at_ms = httpd_monotonic_ms();
  return e;
}

/* Repeats of a header become one value, joined as RFC 9110 section 5.3 says. */
static void push_headers(lua_State *L, const text *headers) {
  lua_newtable(L);
  const char *at = headers->data, *end = headers->data + headers->length;
  while (headers->data && at < end) {
    const char *name = at, *value = at + strlen(at) + 1;
    at = value + strlen(value) + 1;
    if (lpac_getfield(L, -1, name) == LUA_TSTRING) {
      lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), value);
      lua_remove(L, -2);
    } else {
      lua_pop(L, 1);
      lua_pushstring(L, value);
    }
    lua_setfield(L, -2, name);
  }
}

/* The handle is linked before anything else is built: should memory run out
** half-way, its collection drops the connection. */
static void push_request(lua_State *L, exchange *e) {
  lua_createtable(L, 0, 6);
  handle *h = lua_newuserdatauv(L, sizeof *h, 0);
  h->exchange = NULL;
  luaL_setmetatable(L, HANDLE_TYPE);
  h->exchange = e;
  e->given = h;
  e->state = EXCHANGE_TAKEN;
  lua_setfield(L, -2, "handle");

  lua_pushstring(L, e->method);
  lua_setfield(L, -2, "method");
  const char *query = strchr(e->target, '?');
  lua_pushlstring(L, e->target, query ? (size_t)(query - e->target) : strlen(e->target));
  lua_setfield(L, -2, "path");
  lua_pushstring(L, query ? query + 1 : "");
  lua_setfield(L, -2, "query");
  push_headers(L, &e->headers);
  lua_setfield(L, -2, "headers");
  lua_pushlstring(L, e->body.data ? e->body.data : "", e->body.length);
  lua_setfield(L, -2, "body");
  httpd_exchange_release(e);
}

static int64_t check_whole(lua_State *L, int index, const char *name, int64_t low, int64_t high) {
  int64_t value = 0;
  if (!lpac_to_integer(L, index, &value) || value < low || value > high) {
    luaL_error(L, "%s must be a whole number from %d to %d", name, (int)low, (int)high);
  }
  return value;
}

static int l_next(lua_State *L) {
  server *s = check_open(L);
  int64_t timeout_ms = lua_isnoneornil(L, 2) ? 0 : check_whole(L, 2, "timeout_ms", 0, INT32_MAX);
  exchange *e = server_wait(s, timeout_ms);
  if (e) {
    push_request(L, e);
    return 1;
  }
  lua_pushnil(L);
  if (s->watches_signals && stop_requested) {
    lua_pushliteral(L, "stopped");
    return 2;
  }
  return 1;
}

/* ---- answers ---- */

static handle *check_request(lua_State *L) {
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_getfield(L, 2, "handle");
  handle *h = luaL_testudata(L, -1, HANDLE_TYPE);
  luaL_argcheck(L, h != NULL, 2, "a request that server:next returned");
  luaL_argcheck(L, h->exchange != NULL, 2, "this request was answered already");
  return h;
}

static int is_header_name(const char *name, size_t length) {
  return length > 0 && strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == length;
}

static int has_line_break(const char *value, size_t length) {
  return memchr(value, '\r', length) || memchr(value, '\n', length) || memchr(value, '\0', length);
}

/* Raises unless every entry is a header that may be sent. */
static void check_headers(lua_State *L, int index) {
  if (lua_isnil(L, index)) {
    return;
  }
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING, index,
                  "header names and values must be strings");
    size_t name_length, value_length;
    const char *name = lua_tolstring(L, -2, &name_length);
    const char *value = lua_tolstring(L, -1, &value_length);
    luaL_argcheck(L, is_header_name(name, name_length), index, "a header name holds a forbidden character");
    luaL_argcheck(L, !has_line_break(value, value_length), index, "a header value holds CR, LF or NUL");
  }
}

/* Nothing here can raise: check_headers has seen the table. */
static int add_headers(lua_State *L, int index, struct MHD_Response *response) {
  int accepted = 1;
  if (lua_isnil(L, index)) {
    return 1;
  }
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    accepted &= MHD_add_response_header(response, lua_tostring(L, -2), lua_tostring(L, -1)) == MHD_YES;
  }
  return accepted;
}

static struct MHD_Response *gzip_response(const char *body, size_t length) {
  z_stream z;
  memset(&z, 0, sizeof z);
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return NULL;
  }
  size_t bound = deflateBound(&z, (uLong)length);
  char *packed = malloc(bound);
  struct MHD_Response *r = NULL;
  if (packed) {
    z.next_in = (Bytef *)(uintptr_t)body;
    z.avail_in = (uInt)length;
    z.next_out = (Bytef *)packed;
    z.avail_out = (uInt)bound;
    if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
      r = MHD_create_response_from_buffer(z.total_out, packed, MHD_RESPMEM_MUST_FREE);
    }
    if (!r) {
      free(packed);
    }
  }
  deflateEnd(&z);
  if (r) {
    MHD_add_response_header(r, "Content-Encoding", "gzip");
    MHD_add_response_header(r, "Vary", "Accept-Encoding");
  }
  return r;
}

/* What a reply may be asked for besides status, headers and body. */
typedef struct reply_options {
  int gzip;
  delivery delivery;
} reply_options;

static void check_reply_option(lua_State *L, int index, reply_options *o) {
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
  if (strcmp(name, "gzip") == 0) {
    o->gzip = lua_toboolean(L, -1);
  } else if (strcmp(name, "cut_after_bytes") == 0) {
    o->delivery.cut_after = (size_t)check_whole(L, -1, name, 0, INT32_MAX);
  } else if (strcmp(name, "piece_bytes") == 0) {
    o->delivery.piece = (size_t)check_whole(L, -1, name, 1, INT32_MAX);
  } else if (strcmp(name, "pause_ms") == 0) {
    o->delivery.pause_ms = check_whole(L, -1, name, 1, INT32_MAX);
  } else {
    luaL_argerror(L, index, "unknown option: known are cut_after_bytes, gzip, pause_ms, piece_bytes");
  }
}

static int misbehaves(const delivery *d) {
  return d->cut_after != SIZE_MAX || d->piece > 0 || d->pause_ms > 0;
}

static void check_reply_options(lua_State *L, int index, reply_options *o) {
  memset(o, 0, sizeof *o);
  o->delivery.cut_after = SIZE_MAX;
  if (lua_isnil(L, index)) {
    return;
  }
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    check_reply_option(L, index, o);
  }
  luaL_argcheck(L, !o->gzip || !misbehaves(&o->delivery), index, "gzip goes with no other option");
}

static struct MHD_Response *new_response(exchange *e, const reply_options *o, const char *body, size_t length) {
  if (misbehaves(&o->delivery) && length > 0) {
    e->delivery = o->delivery;
    return httpd_exchange_deliver(e, body, length);
  }
  if (o->gzip && length > 0 && length < MAX_GZIP_INPUT) {
    return gzip_response(body, length);
  }
  return MHD_create_response_from_buffer(length, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
}

static int l_reply(lua_State *L) {
  lua_settop(L, 6);
  check_open(L);
  handle *h = check_request(L);
  unsigned int status = (unsigned int)check_whole(L, 3, "status", 200, 599);
  check_headers(L, 4);
  size_t length = 0;
  const char *body = luaL_optlstring(L, 5, "", &length);
  int bodiless = status == MHD_HTTP_NO_CONTENT || status == MHD_HTTP_NOT_MODIFIED;
  luaL_argcheck(L, length == 0 || !bodiless, 5, "an answer with this status has no body");
  reply_options options;
  check_reply_options(L, 6, &options);
  luaL_checkstack(L, 4, "headers");

  struct MHD_Response *r = new_response(h->exchange, &options, body, length);
  if (!r) {
    return luaL_error(L, "not enough memory for the answer");
  }
  if (!add_headers(L, 4, r)) {
    MHD_destroy_response(r);
    return luaL_error(L, "a header of the answer cannot be set by the program");
  }
  h->exchange->status = status;
  h->exchange->response = r;
  httpd_exchange_resume(h->exchange, EXCHANGE_ANSWERED);
  return 0;
}

/* server:drop(request [, { close = true }]) */
static int l_drop(lua_State *L) {
  int is_clean = 0;
  lua_settop(L, 3);
  check_open(L);
  handle *h = check_request(L);
  if (!lua_isnil(L, 3)) {
    luaL_checktype(L, 3, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
      int is_known = lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "close") == 0;
      luaL_argcheck(L, is_known, 3, "unknown option: only close is known");
      is_clean = lua_toboolean(L, -1);
    }
  }
  httpd_exchange_drop(h->exchange, is_clean);
  return 0;
}

static int l_handle_gc(lua_State *L) {
  handle *h = luaL_checkudata(L, 1, HANDLE_TYPE);
  if (h->exchange) {
    httpd_exchange_drop(h->exchange, 0);
  }
  return 0;
}

/* ---- listen ---- */

typedef struct listen_options {
  struct sockaddr_storage address;
  socklen_t address_length;
  size_t max_body, max_header, max_pending;
  unsigned int max_connections, idle_timeout_s;
  int64_t header_deadline_ms, request_deadline_ms; /* 0: none */
  const char *certificate, *key;                   /* PEM text, held by the options table */
  int watches_signals, survives_writes;
} listen_options;

static void check_known(lua_State *L, int index, const char *const names[]) {
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    int i = 0;
    while (names[i] && strcmp(names[i], key) != 0) {
      i++;
    }
    if (!names[i]) {
      luaL_error(L, "unknown option of httpd.listen");
    }
  }
}

static int64_t option_whole(lua_State *L, const char *name, int64_t fallback, int64_t low, int64_t high) {
  lua_getfield(L, 1, name);
  int64_t value = lua_isnil(L, -1) ? fallback : check_whole(L, -1, name, low, high);
  lua_pop(L, 1);
  return value;
}

static void read_address(lua_State *L, listen_options *o) {
  uint16_t port = htons((uint16_t)option_whole(L, "port", 0, 0, 65535));
  lua_getfield(L, 1, "host");
  const char *host = lua_isnil(L, -1) ? "127.0.0.1" : luaL_checkstring(L, -1);
  host = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
  struct sockaddr_in *v4 = (struct sockaddr_in *)&o->address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&o->address;
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = port;
    o->address_length = sizeof *v4;
  } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = port;
    o->address_length = sizeof *v6;
  } else {
    luaL_error(L, "host must be a numeric address or localhost");
  }
  lua_pop(L, 1);
}

static const char *read_pem(lua_State *L, const char *name) {
  if (lpac_rawgetfield(L, -1, name) != LUA_TSTRING) {
    luaL_error(L, "tls.%s must be PEM text", name);
  }
  const char *pem = lua_tostring(L, -1);
  lua_pop(L, 1);
  return pem;
}

/* One body at least must have room. */
static void read_limits(lua_State *L, listen_options *o) {
  o->max_body = (size_t)option_whole(L, "max_body_bytes", DEFAULT_MAX_BODY, 0, MAX_GZIP_INPUT);
  o->max_header = (size_t)option_whole(L, "max_header_bytes", DEFAULT_MAX_HEADER, MIN_MAX_HEADER, 1 << 24);
  size_t fallback = o->max_body > DEFAULT_MAX_PENDING ? o->max_body : DEFAULT_MAX_PENDING;
  o->max_pending = (size_t)option_whole(L, "max_pending_bytes", (int64_t)fallback, 0, INT32_MAX);
  if (o->max_pending < o->max_body) {
    luaL_error(L, "max_pending_bytes must not be less than max_body_bytes");
  }
  o->max_connections =
      (unsigned int)option_whole(L, "max_connections", MAX_CONNECTIONS, FEWEST_CONNECTIONS, MOST_CONNECTIONS);
  o->idle_timeout_s = (unsigned int)option_whole(L, "idle_timeout_s", IDLE_TIMEOUT_S, 1, MAX_TIMEOUT_S);
  o->header_deadline_ms = 1000 * option_whole(L, "header_deadline_s", 0, 1, MAX_TIMEOUT_S);
  o->request_deadline_ms = 1000 * option_whole(L, "request_deadline_s", 0, 1, MAX_TIMEOUT_S);
}

static int option_flag(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  int value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static void read_options(lua_State *L, listen_options *o) {
  static const char *const names[] = { "host",
                                       "port",
                                       "max_body_bytes",
                                       "max_header_bytes",
                                       "tls",
                                       "stop_on_signals",
                                       "idle_timeout_s",
                                       "request_deadline_s",
                                       "header_deadline_s",
                                       "max_connections",
                                       "max_pending_bytes",
                                       "survive_write_signals",
                                       NULL };
  static const char *const tls_names[] = { "certificate", "key", NULL };
  luaL_checktype(L, 1, LUA_TTABLE);
  check_known(L, 1, names);
  memset(o, 0, sizeof *o);
  read_address(L, o);
  read_limits(L, o);
  o->watches_signals = option_flag(L, "stop_on_signals");
  o->survives_writes = option_flag(L, "survive_write_signals");
  lua_getfield(L, 1, "tls");
  if (!lua_isnil(L, -1)) {
    luaL_argcheck(L, lua_istable(L, -1), 1, "tls must be a table of certificate and key");
    check_known(L, lua_gettop(L), tls_names);
    o->certificate = read_pem(L, "certificate");
    o->key = read_pem(L, "key");
  }
  lua_pop(L, 1);
}

static struct MHD_Daemon *start_daemon(server *s, const listen_options *o) {
  unsigned int flags = MHD_ALLOW_SUSPEND_RESUME;
  struct MHD_OptionItem tls[] = { { MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->certificate },
                                  { MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->key },
                                  { MHD_OPTION_END, 0, NULL } };
  flags |= MHD_is_feature_supported(MHD_FEATURE_EPOLL) == MHD_YES ? MHD_USE_EPOLL : 0;
  flags |= o->address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0;
  flags |= o->certificate ? MHD_USE_TLS : 0;
  return MHD_start_daemon(flags, 0, NULL, NULL, httpd_on_request, s, MHD_OPTION_SOCK_ADDR,
                          (const struct sockaddr *)&o->address, MHD_OPTION_URI_LOG_CALLBACK, httpd_on_target, s,
                          MHD_OPTION_NOTIFY_COMPLETED, httpd_on_completed, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                          o->max_header, MHD_OPTION_CONNECTION_TIMEOUT, o->idle_timeout_s, MHD_OPTION_NOTIFY_CONNECTION,
                          httpd_on_connection, s, MHD_OPTION_CONNECTION_LIMIT, o->max_connections, MHD_OPTION_ARRAY,
                          o->certificate ? tls : tls + 2, MHD_OPTION_END);
}

/* libmicrohttpd does not say why it could not start: ask the system again. */
static const char *start_failure(const listen_options *o, char *buffer, size_t size) {
  int fd = socket(o->address.ss_family, SOCK_STREAM, 0);
  int on = 1, code = 0;
  if (fd >= 0) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    code = bind(fd, (const struct sockaddr *)&o->address, o->address_length) == 0 ? 0 : errno;
    if (code == 0 && listen(fd, 1) != 0) {
      code = errno;
    }
    close(fd);
  }
  if (code == EADDRINUSE) {
    return "the port is in use by another program: choose another, or 0 for any free one";
  }
  if (code == 0 && o->certificate) {
    return "the server could not start: check that tls.certificate and tls.key are PEM and belong together";
  }
  snprintf(buffer, size, "the server could not listen on this address: %s", code ? strerror(code) : "unknown reason");
  return buffer;
}

static int l_listen(lua_State *L) {
  listen_options o;
  read_options(L, &o);
  if (o.certificate && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
    luaL_pushfail(L);
    lua_pushliteral(L, "this libmicrohttpd was built without TLS");
    return 2;
  }
  server *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  luaL_setmetatable(L, SERVER_TYPE);
  s->max_body = o.max_body;
  s->max_pending = o.max_pending;
  s->max_connections = o.max_connections;
  s->header_deadline_ms = o.header_deadline_ms;
  s->request_deadline_ms = o.request_deadline_ms;
  s->daemon = start_daemon(s, &o);
  if (!s->daemon) {
    char buffer[160];
    luaL_pushfail(L);
    lua_pushstring(L, start_failure(&o, buffer, sizeof buffer));
    return 2;
  }
  if (o.watches_signals) {
    watch_signals(s);
  }
  if (o.survives_writes) {
    survive_writes(s);
  }
  return 1;
}

/* A server that somebody started for himself compares this with the number he gave it: another one tells that he is
** gone, however he ended, since an orphan always gets a new parent. */
static int l_parent_pid(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)getppid());
  return 1;
}

/* For programs that answer later: what their times are measured with. */
static int l_monotonic_ms(lua_State *L) {
  lua_pushnumber(L, (lua_Number)httpd_monotonic_ms());
  return 1;
}

static const luaL_Reg methods[] = { { "next", l_next }, { "reply", l_reply }, { "drop", l_drop },
                                    { "port", l_port }, { "close", l_close }, { NULL, NULL } };
static const luaL_Reg metamethods[] = {
  { "__gc", l_close }, { "__close", l_close }, { "__tostring", l_tostring }, { NULL, NULL }
};
static const luaL_Reg functions[] = {
  { "listen", l_listen }, { "monotonic_ms", l_monotonic_ms }, { "parent_pid", l_parent_pid }, { NULL, NULL }
};

int luaopen_paciolan_httpd(lua_State *L);

LPAC_EXPORT int luaopen_paciolan_httpd(lua_State *L) {
  luaL_newmetatable(L, HANDLE_TYPE);
  lua_pushcfunction(L, l_handle_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, SERVER_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
