/* lpac_http.c: the Lua face of pac_http and pac_http_batch, used by
** paciolan.transport.curl only. A userdata "paciolan.http" owns one session, a
** userdata "paciolan.http_batch" one batch. They are closed by close, by <close>
** and by the collector, and a closed one raises. Arguments are read before
** anything is acquired, and every string of a request stays anchored in the
** request until it was taken.
**
** Whatever allocates may run a finalizer, and that may close or use the same
** object. So each call has an answer of its own, in a userdata that owns it, and
** looks whether its object is open behind the last allocation before the use. */
#include "lpac_http.h"
#include "pac_http_batch.h"

#include <string.h>

#define TYPE_NAME        "paciolan.http"
#define BATCH_TYPE_NAME  "paciolan.http_batch"
#define ANSWER_TYPE_NAME "paciolan.http_answer"

/* Waiting longer brings nothing, and an int holds it. */
#define MAX_WAIT_MS 86400000

/* More would be a mistake, and the array of them is allocated at once. */
#define MAX_REQUEST_HEADERS 256

/* One for every region of a service, and more. */
#define MAX_ROUTES 64

#define DEFAULT_MAX_ANSWER_BYTES   (32 * 1024 * 1024)
#define DEFAULT_CONNECT_TIMEOUT_MS 5000
#define DEFAULT_TIMEOUT_MS         30000
/* Fits a size_t and a Lua number on every platform. */
#define LARGEST_MAX_ANSWER_BYTES 2147483647

typedef struct lpac_http {
  pac_http *session; /* NULL: closed */
} lpac_http;

typedef struct lpac_http_batch {
  pac_http_batch *batch; /* NULL: closed */
} lpac_http_batch;

static lpac_http *check_http(lua_State *L) {
  return luaL_checkudata(L, 1, TYPE_NAME);
}

/* The session at index, which must be open. */
static lpac_http *check_open(lua_State *L, int index) {
  lpac_http *self = luaL_checkudata(L, index, TYPE_NAME);
  if (self->session == NULL) {
    luaL_error(L, TYPE_NAME " is closed");
  }
  return self;
}

static lpac_http_batch *check_batch(lua_State *L) {
  return luaL_checkudata(L, 1, BATCH_TYPE_NAME);
}

static lpac_http_batch *check_open_batch(lua_State *L) {
  lpac_http_batch *self = check_batch(L);
  if (self->batch == NULL) {
    luaL_error(L, BATCH_TYPE_NAME " is closed");
  }
  return self;
}

/* ---- reading tables ------------------------------------------------------ */

/* All access is raw: no metamethod runs between two fields, and a string that
** was read is in its table. */

/* The string at the top of the stack, without NUL; NULL when absent. It stays
** on the stack, so that the pointer lives as long as the call. */
static const char *text_here(lua_State *L, const char *place, size_t *length) {
  if (lua_isnil(L, -1)) {
    return NULL;
  }
  if (lua_type(L, -1) != LUA_TSTRING) {
    luaL_error(L, "%s: a string is expected", place);
  }
  size_t bytes;
  const char *text = lua_tolstring(L, -1, &bytes);
  if (length != NULL) {
    *length = bytes;
  } else if (strlen(text) != bytes) {
    luaL_error(L, "%s: NUL is not allowed", place);
  }
  return text;
}

static const char *optional_text(lua_State *L, int table, const char *key) {
  lpac_rawgetfield(L, table, key);
  return text_here(L, key, NULL);
}

static const char *required_text(lua_State *L, int table, const char *key) {
  const char *text = optional_text(L, table, key);
  if (text == NULL) {
    luaL_error(L, "%s: a string is expected", key);
  }
  return text;
}

static int64_t optional_integer(lua_State *L, int table, const char *key, int64_t max, int64_t otherwise) {
  int64_t value = otherwise;
  lpac_rawgetfield(L, table, key);
  if (!lua_isnil(L, -1) && (!lpac_to_integer(L, -1, &value) || value < 1 || value > max)) {
    luaL_error(L, "%s: an integer from 1 to %d is expected", key, (int)max);
  }
  lua_pop(L, 1);
  return value;
}

static bool optional_boolean(lua_State *L, int table, const char *key) {
  lpac_rawgetfield(L, table, key);
  if (!lua_isnil(L, -1) && !lua_isboolean(L, -1)) {
    luaL_error(L, "%s: a boolean is expected", key);
  }
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

/* { name, value } at index pair of the stack; both strings stay in that table. */
static void read_header(lua_State *L, int pair, pac_http_header *header) {
  if (!lua_istable(L, pair)) {
    luaL_error(L, "headers: a list of { name, value } is expected");
  }
  lpac_rawgeti(L, pair, 1);
  header->name = text_here(L, "headers: name", NULL);
  lpac_rawgeti(L, pair, 2);
  header->value = text_here(L, "headers: value", NULL);
  if (header->name == NULL || header->value == NULL) {
    luaL_error(L, "headers: name and value must be strings");
  }
  lua_pop(L, 2);
}

/* Leaves the headers table and a userdata with the array on the stack. */
static void read_headers(lua_State *L, int table, pac_http_request *request) {
  lpac_rawgetfield(L, table, "headers");
  int list = lua_gettop(L);
  if (lua_isnil(L, list)) {
    return;
  }
  luaL_checktype(L, list, LUA_TTABLE);
  size_t count = lua_rawlen(L, list);
  if (count > MAX_REQUEST_HEADERS) {
    luaL_error(L, "headers: at most %d are allowed", MAX_REQUEST_HEADERS);
  }
  pac_http_header *headers = lua_newuserdatauv(L, (count + 1) * sizeof *headers, 0);
  for (size_t i = 0; i < count; i++) {
    lpac_rawgeti(L, list, (int)(i + 1));
    read_header(L, lua_gettop(L), &headers[i]);
    lua_pop(L, 1);
  }
  request->headers = headers;
  request->header_count = count;
}

/* The headers come last: behind their array nothing is allocated, so that no
** finalizer can take a string out of its table. */
void lpac_http_read_request(lua_State *L, int table, pac_http_request *request) {
  luaL_checktype(L, table, LUA_TTABLE);
  memset(request, 0, sizeof *request);
  request->connect_timeout_ms = (long)optional_integer(L, table, "connect_timeout_ms", PAC_HTTP_MAX_TIMEOUT_MS, 0);
  request->timeout_ms = (long)optional_integer(L, table, "timeout_ms", PAC_HTTP_MAX_TIMEOUT_MS, 0);
  request->single_use = optional_boolean(L, table, "single_use");
  request->gzip = optional_boolean(L, table, "gzip");
  request->method = required_text(L, table, "method");
  request->url = required_text(L, table, "url");
  lpac_rawgetfield(L, table, "body");
  request->body = text_here(L, "body", &request->body_bytes);
  read_headers(L, table, request);
}

/* ---- opening and closing ------------------------------------------------- */

/* { ["host:port"] = "host:port" }. Leaves all strings on the stack, behind a
** userdata with the array of them. */
static void read_routes(lua_State *L, int table, pac_http_config *config) {
  int count = 0;
  if (lpac_rawgetfield(L, table, "connect_to") == LUA_TNIL) {
    return;
  }
  int list = lua_gettop(L);
  if (!lua_istable(L, list)) {
    luaL_error(L, "connect_to: a table is expected");
  }
  pac_http_route *routes = lua_newuserdatauv(L, MAX_ROUTES * sizeof *routes, 0);
  luaL_checkstack(L, 2 * MAX_ROUTES + LUA_MINSTACK, "connect_to");
  for (lua_pushnil(L); lua_next(L, list); lua_pushvalue(L, -2)) {
    if (count == MAX_ROUTES) {
      luaL_error(L, "connect_to: at most %d are allowed", MAX_ROUTES);
    }
    if (lua_type(L, -2) != LUA_TSTRING) { /* before a number becomes text, which would lose lua_next its place */
      luaL_error(L, "connect_to: a string is expected");
    }
    routes[count].to = text_here(L, "connect_to", NULL);
    lua_pushvalue(L, -2);
    routes[count++].from = text_here(L, "connect_to", NULL);
    lua_pop(L, 1);
  }
  config->routes = routes;
  config->route_count = (size_t)count;
}

void lpac_http_read_config(lua_State *L, int table, pac_http_config *config) {
  memset(config, 0, sizeof *config);
  config->ca_file = optional_text(L, table, "ca_file");
  config->ca_path = optional_text(L, table, "ca_path");
  config->proxy = optional_text(L, table, "proxy");
  config->max_answer_bytes =
      (size_t)optional_integer(L, table, "max_answer_bytes", LARGEST_MAX_ANSWER_BYTES, DEFAULT_MAX_ANSWER_BYTES);
  config->connect_timeout_ms =
      (long)optional_integer(L, table, "connect_timeout_ms", PAC_HTTP_MAX_TIMEOUT_MS, DEFAULT_CONNECT_TIMEOUT_MS);
  config->timeout_ms = (long)optional_integer(L, table, "timeout_ms", PAC_HTTP_MAX_TIMEOUT_MS, DEFAULT_TIMEOUT_MS);
  read_routes(L, table, config);
}

/* core.http.new(options) -> session. Options: ca_file, ca_path, proxy (strings),
** connect_to (table of strings), max_answer_bytes, connect_timeout_ms, timeout_ms
** (integers from 1). No connection is made. Raises for wrong types and when
** memory or libcurl fails. */
static int http_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  pac_http_config config;
  lpac_http_read_config(L, 1, &config);
  lpac_http *self = lua_newuserdatauv(L, sizeof *self, 0);
  memset(self, 0, sizeof *self);
  luaL_setmetatable(L, TYPE_NAME);
  pac_err err;
  if (pac_http_new(&config, &self->session, &err) != PAC_OK) {
    return luaL_error(L, "%s", err.message);
  }
  return 1;
}

/* session:close(): closes the connections; idempotent. Also __gc and __close. */
static int http_close(lua_State *L) {
  lpac_http *self = check_http(L);
  pac_http *session = self->session;
  self->session = NULL;
  pac_http_free(session);
  return 0;
}

static int http_tostring(lua_State *L) {
  lua_pushfstring(L, TYPE_NAME " (%s)", check_http(L)->session != NULL ? "open" : "closed");
  return 1;
}

/* ---- answers ------------------------------------------------------------- */

/* Pushes an empty answer, which holds memory only until the end of its push. */
static pac_http_answer *new_answer(lua_State *L) {
  pac_http_answer *answer = lua_newuserdatauv(L, sizeof *answer, 0);
  memset(answer, 0, sizeof *answer);
  luaL_setmetatable(L, ANSWER_TYPE_NAME);
  return answer;
}

static int answer_free(lua_State *L) {
  pac_http_answer_reset(luaL_checkudata(L, 1, ANSWER_TYPE_NAME));
  return 0;
}

static const char *kind_name(pac_http_kind kind) {
  switch (kind) {
  case PAC_HTTP_TIMEOUT:
    return "timeout";
  case PAC_HTTP_PROTOCOL:
    return "protocol";
  case PAC_HTTP_CANCELED:
    return "canceled";
  default:
    return "network";
  }
}

/* Repeated headers become one, joined as RFC 9110, 5.3 allows. */
static void push_headers(lua_State *L, const pac_http_answer *answer) {
  size_t cursor = 0;
  const char *name;
  const char *value;
  lua_newtable(L);
  while (pac_http_answer_next(answer, &cursor, &name, &value)) {
    lpac_getfield(L, -1, name);
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_pushstring(L, value);
    } else {
      lua_pushliteral(L, ", ");
      lua_pushstring(L, value);
      lua_concat(L, 3);
    }
    lua_setfield(L, -2, name);
  }
}

int lpac_http_push_answer(lua_State *L, const pac_http_answer *answer) {
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, answer->status);
  lua_setfield(L, -2, "status");
  push_headers(L, answer);
  lua_setfield(L, -2, "headers");
  lua_pushlstring(L, answer->body.length > 0 ? answer->body.data : "", answer->body.length);
  lua_setfield(L, -2, "body");
  lua_pushinteger(L, (lua_Integer)answer->elapsed_ms);
  lua_setfield(L, -2, "elapsed_ms");
  lua_pushboolean(L, answer->reused);
  lua_setfield(L, -2, "reused");
  return 1;
}

static int push_failure(lua_State *L, const pac_http_answer *answer) {
  luaL_pushfail(L);
  lua_createtable(L, 0, 5);
  lua_pushstring(L, kind_name(answer->kind));
  lua_setfield(L, -2, "kind");
  lua_pushstring(L, answer->phase == PAC_HTTP_NOT_SENT ? "not_sent" : "unknown");
  lua_setfield(L, -2, "phase");
  lua_pushstring(L, answer->message);
  lua_setfield(L, -2, "message");
  lua_pushinteger(L, (lua_Integer)answer->elapsed_ms);
  lua_setfield(L, -2, "elapsed_ms");
  lua_pushinteger(L, answer->code);
  lua_setfield(L, -2, "code");
  return 2;
}

/* Empties the answer, for its userdata may live on for long. */
static int push_outcome(lua_State *L, pac_http_answer *answer) {
  int results = answer->kind == PAC_HTTP_ANSWERED ? lpac_http_push_answer(L, answer) : push_failure(L, answer);
  pac_http_answer_reset(answer);
  return results;
}

/* ---- sending ------------------------------------------------------------- */

/* session:send(request) -> answer | nil, failure, as lua/paciolan/transport/curl.lua
** describes them. Raises for a request that breaks a rule, with nothing sent. */
static int http_send(lua_State *L) {
  pac_http_request request;
  pac_err err;
  (void)check_open(L, 1);
  lua_settop(L, 2);
  pac_http_answer *answer = new_answer(L);
  lpac_http_read_request(L, 2, &request);
  if (pac_http_send(check_open(L, 1)->session, &request, answer, &err) != PAC_OK) {
    return luaL_error(L, "%s", err.message);
  }
  return push_outcome(L, answer);
}

/* ---- side by side -------------------------------------------------------- */

/* core.http.batch() -> batch, see pac_http_batch.h. Raises when memory or libcurl fails. */
static int batch_new(lua_State *L) {
  lpac_http_batch *self = lua_newuserdatauv(L, sizeof *self, 0);
  memset(self, 0, sizeof *self);
  luaL_setmetatable(L, BATCH_TYPE_NAME);
  pac_err err;
  if (pac_http_batch_new(&self->batch, &err) != PAC_OK) {
    return luaL_error(L, "%s", err.message);
  }
  return 1;
}

/* batch:add(session, request) -> number. Copies the request; raises for one
** that breaks a rule, and for a closed session. */
static int batch_add(lua_State *L) {
  pac_http_request request;
  pac_err err;
  int64_t id = 0;
  (void)check_open_batch(L);
  (void)check_open(L, 2);
  lua_settop(L, 3);
  lpac_http_read_request(L, 3, &request);
  const lpac_http_batch *self = check_open_batch(L);
  const lpac_http *http = check_open(L, 2);
  if (pac_http_batch_add(self->batch, http->session, &request, &id, &err) != PAC_OK) {
    return luaL_error(L, "%s", err.message);
  }
  lua_pushnumber(L, (lua_Number)id);
  return 1;
}

/* batch:wait(timeout_ms): until a request has ended or the time is over; 0
** only lets them proceed. May return early, see pac_http_batch_wait. */
static int batch_wait(lua_State *L) {
  lpac_http_batch *self = check_open_batch(L);
  lua_Number timeout_ms = luaL_checknumber(L, 2);
  luaL_argcheck(L, timeout_ms >= 0 && timeout_ms <= MAX_WAIT_MS, 2, "must be 0 to one day, in milliseconds");
  pac_http_batch_wait(self->batch, (int)timeout_ms);
  return 0;
}

/* batch:take() -> number, answer | number, nil, failure | nil when none has ended. */
static int batch_take(lua_State *L) {
  int64_t id = 0;
  pac_http_answer *answer = new_answer(L);
  if (!pac_http_batch_take(check_open_batch(L)->batch, &id, answer)) {
    luaL_pushfail(L);
    return 1;
  }
  lua_pushnumber(L, (lua_Number)id);
  return 1 + push_outcome(L, answer);
}

/* batch:cancel(session): ends what it has under way, see pac_http_batch_cancel.
** Does nothing when one of the two is closed. */
static int batch_cancel(lua_State *L) {
  lpac_http_batch *self = check_batch(L);
  lpac_http *http = luaL_checkudata(L, 2, TYPE_NAME);
  if (self->batch != NULL && http->session != NULL) {
    pac_http_batch_cancel(self->batch, http->session);
  }
  return 0;
}

/* batch:close(): closes the connections; idempotent. Also __gc and __close. */
static int batch_close(lua_State *L) {
  lpac_http_batch *self = check_batch(L);
  pac_http_batch *batch = self->batch;
  self->batch = NULL;
  pac_http_batch_free(batch);
  return 0;
}

static int batch_tostring(lua_State *L) {
  lua_pushfstring(L, BATCH_TYPE_NAME " (%s)", check_batch(L)->batch != NULL ? "open" : "closed");
  return 1;
}

/* ---- registration -------------------------------------------------------- */

static const luaL_Reg methods[] = {
  { "send", http_send },
  { "close", http_close },
  { NULL, NULL },
};

static const luaL_Reg metamethods[] = {
  { "__gc", http_close },
  { "__close", http_close },
  { "__tostring", http_tostring },
  { NULL, NULL },
};

static const luaL_Reg batch_methods[] = {
  { "add", batch_add },       { "wait", batch_wait },   { "take", batch_take },
  { "cancel", batch_cancel }, { "close", batch_close }, { NULL, NULL },
};

static const luaL_Reg batch_metamethods[] = {
  { "__gc", batch_close },
  { "__close", batch_close },
  { "__tostring", batch_tostring },
  { NULL, NULL },
};

static const luaL_Reg answer_metamethods[] = {
  { "__gc", answer_free },
  { NULL, NULL },
};

static const luaL_Reg answer_methods[] = {
  { NULL, NULL },
};

static const luaL_Reg functions[] = {
  { "new", http_new },
  { "batch", batch_new },
  { NULL, NULL },
};

void lpac_http_register(lua_State *L) {
  lpac_register_type(L, TYPE_NAME, metamethods, methods);
  lpac_register_type(L, BATCH_TYPE_NAME, batch_metamethods, batch_methods);
  lpac_register_type(L, ANSWER_TYPE_NAME, answer_metamethods, answer_methods);
  luaL_newlib(L, functions);
  lua_setfield(L, -2, "http");
}
