/* lpac_http1.c: the Lua face of pac_http1, used by paciolan.transport.nginx only. A
** userdata "paciolan.http1_reader" reads one answer; it holds memory only, which
** the collector gives back. */
#include "lpac_http.h"
#include "pac_http1.h"

#include <string.h>

#define TYPE_NAME "paciolan.http1_reader"

/* core.http1.settings(options) -> connect_timeout_ms, timeout_ms, max_answer_bytes,
** with the defaults. Takes the options of core.http.new, and raises for what that
** raises for. */
static int http1_settings(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  pac_http_config config;
  pac_err err;
  lpac_http_read_config(L, 1, &config);
  if (pac_http_config_check(&config, &err) != PAC_OK) {
    return luaL_error(L, "%s", err.message);
  }
  lua_pushnumber(L, (lua_Number)config.connect_timeout_ms);
  lua_pushnumber(L, (lua_Number)config.timeout_ms);
  lua_pushnumber(L, (lua_Number)config.max_answer_bytes);
  return 3;
}

static void set_text(lua_State *L, const char *key, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, key);
}

static void set_boolean(lua_State *L, const char *key, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, key);
}

/* core.http1.request(request) -> { head, host, port, is_tls, is_ipv6, is_loopback }:
** the bytes before the body, and where they go. Raises for a request that breaks a
** rule. */
static int http1_request(lua_State *L) {
  pac_http_request request;
  pac_http1_place place;
  pac_err err;
  lua_settop(L, 1);
  pac_buf *head = lpac_buf_push(L);
  lpac_http_read_request(L, 1, &request);
  if (pac_http1_write(&request, &place, head, &err) != PAC_OK) {
    return luaL_error(L, "%s", err.message);
  }
  lua_createtable(L, 0, 6);
  lua_pushlstring(L, head->data, head->length);
  lua_setfield(L, -2, "head");
  set_text(L, "host", place.host);
  lua_pushinteger(L, place.port);
  lua_setfield(L, -2, "port");
  set_boolean(L, "is_tls", place.is_tls);
  set_boolean(L, "is_ipv6", place.is_ipv6);
  set_boolean(L, "is_loopback", place.is_loopback);
  pac_buf_free(head);
  return 1;
}

static pac_http1_reader *check_reader(lua_State *L) {
  return luaL_checkudata(L, 1, TYPE_NAME);
}

/* core.http1.reader(is_head_request, wants_gzip, max_answer_bytes) -> reader of one
** answer. */
static int http1_reader(lua_State *L) {
  lua_Number max_bytes = luaL_checknumber(L, 3);
  luaL_argcheck(L, max_bytes >= 1 && max_bytes <= 2147483647, 3, "must be 1 to 2147483647 bytes");
  bool is_head_request = lua_toboolean(L, 1);
  bool wants_gzip = lua_toboolean(L, 2);
  pac_http1_reader *self = lua_newuserdatauv(L, sizeof *self, 0);
  pac_http1_reader_init(self, is_head_request, wants_gzip, (size_t)max_bytes);
  luaL_setmetatable(L, TYPE_NAME);
  return 1;
}

/* true once the answer is complete, false before; nil, kind, message otherwise. */
static int push_progress(lua_State *L, const pac_http1_reader *self, pac_status status, const pac_err *err) {
  if (status == PAC_OK) {
    lua_pushboolean(L, self->state == PAC_HTTP1_DONE);
    return 1;
  }
  luaL_pushfail(L);
  lua_pushstring(L, status == PAC_FAILED ? "network" : "protocol");
  lua_pushstring(L, err->message);
  return 3;
}

/* reader:feed(bytes) -> is_complete | nil, "protocol", message */
static int reader_feed(lua_State *L) {
  pac_http1_reader *self = check_reader(L);
  size_t length;
  const char *data = luaL_checklstring(L, 2, &length);
  pac_err err;
  pac_status status = pac_http1_reader_feed(self, data, length, &err);
  return push_progress(L, self, status, &err);
}

/* reader:finish() -> true | nil, "network" or "protocol", message: the connection
** was closed. */
static int reader_finish(lua_State *L) {
  pac_http1_reader *self = check_reader(L);
  pac_err err;
  pac_status status = pac_http1_reader_end(self, &err);
  return push_progress(L, self, status, &err);
}

/* reader:answer() -> answer, may_keep: the complete answer as a transport gives it,
** elapsed_ms and reused still to be set, and whether the connection may be used
** again. Raises before the answer is complete. Empties the reader. */
static int reader_answer(lua_State *L) {
  pac_http1_reader *self = check_reader(L);
  if (self->state != PAC_HTTP1_DONE) {
    return luaL_error(L, TYPE_NAME ": there is no complete answer");
  }
  (void)lpac_http_push_answer(L, &self->answer);
  lua_pushboolean(L, self->may_keep);
  pac_http1_reader_free(self);
  self->state = PAC_HTTP1_FAILED;
  return 2;
}

/* reader:close(): gives the memory back. Nothing can be read afterwards. */
static int reader_free(lua_State *L) {
  pac_http1_reader *self = check_reader(L);
  pac_http1_reader_free(self);
  self->state = PAC_HTTP1_FAILED;
  return 0;
}

static const luaL_Reg methods[] = {
  { "feed", reader_feed }, { "finish", reader_finish }, { "answer", reader_answer }, { "close", reader_free },
  { NULL, NULL },
};

static const luaL_Reg metamethods[] = {
  { "__gc", reader_free },
  { NULL, NULL },
};

static const luaL_Reg functions[] = {
  { "settings", http1_settings },
  { "request", http1_request },
  { "reader", http1_reader },
  { NULL, NULL },
};

void lpac_http1_register(lua_State *L) {
  lpac_register_type(L, TYPE_NAME, metamethods, methods);
  luaL_newlib(L, functions);
  lua_setfield(L, -2, "http1");
}
