/* lpac_basic.c: the Lua face of pac_basic. A userdata "paciolan.basic" holds the
** digests of the accepted pairs, and no text of them. */
#include "lpac.h"
#include "pac_basic.h"

#include <string.h>

#define TYPE_NAME "paciolan.basic"

/* The string stays on the stack: a finalizer might take it out of its table. */
static const char *field_text(lua_State *L, int pair, const char *name, size_t *length) {
  if (lpac_rawgetfield(L, pair, name) != LUA_TSTRING) {
    luaL_error(L, "%s: a string is expected", name);
  }
  return lua_tolstring(L, -1, length);
}

static void check_keys(lua_State *L, int pair) {
  for (lua_pushnil(L); lua_next(L, pair); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (strcmp(key, "user") != 0 && strcmp(key, "password") != 0) {
      luaL_error(L, "a pair has no keys but user and password");
    }
  }
}

/* Adds the pair on top of the stack. */
static void add_pair(lua_State *L, pac_basic *basic) {
  int pair = lua_gettop(L);
  size_t user_length, password_length;
  pac_err err;
  if (!lua_istable(L, pair)) {
    luaL_error(L, "a pair { user, password } is expected");
  }
  check_keys(L, pair);
  const char *user = field_text(L, pair, "user", &user_length);
  const char *password = field_text(L, pair, "password", &password_length);
  if (pac_basic_add(basic, user, user_length, password, password_length, &err) != PAC_OK) {
    luaL_error(L, "%s", err.message);
  }
}

/* core.basic(pairs) -> basic. pairs: a list of one or two { user, password }.
** Raises for anything else, see pac_basic_add; a message never shows a value. */
static int basic_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  int count = lpac_list_length(L, 1);
  luaL_argcheck(L, count >= 1 && count <= PAC_BASIC_MAX_PAIRS, 1,
                "a list of one or two { user, password } is expected");
  pac_basic *basic = lua_newuserdatauv(L, sizeof *basic, 0);
  memset(basic, 0, sizeof *basic);
  luaL_setmetatable(L, TYPE_NAME);
  for (int i = 1; i <= count; i++) {
    lpac_rawgeti(L, 1, i);
    add_pair(L, basic);
    lua_settop(L, 2);
  }
  return 1;
}

/* basic:matches(header) -> boolean. header: the value of Authorization, or nil.
** Raises where nothing can be said of it. */
static int basic_matches(lua_State *L) {
  const pac_basic *basic = luaL_checkudata(L, 1, TYPE_NAME);
  size_t length = 0;
  const char *header = NULL;
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TSTRING);
    header = lua_tolstring(L, 2, &length);
  }
  bool is_match;
  if (pac_basic_match(basic, header, length, &is_match) != PAC_OK) {
    return luaL_error(L, "OpenSSL gives no SHA-256");
  }
  lua_pushboolean(L, is_match);
  return 1;
}

static int basic_gc(lua_State *L) {
  pac_basic_clear(luaL_checkudata(L, 1, TYPE_NAME));
  return 0;
}

static int basic_tostring(lua_State *L) {
  luaL_checkudata(L, 1, TYPE_NAME);
  lua_pushliteral(L, TYPE_NAME);
  return 1;
}

void lpac_basic_register(lua_State *L) {
  static const luaL_Reg functions[] = { { "basic", basic_new }, { NULL, NULL } };
  static const luaL_Reg methods[] = { { "matches", basic_matches }, { NULL, NULL } };
  static const luaL_Reg metamethods[] = { { "__gc", basic_gc }, { "__tostring", basic_tostring }, { NULL, NULL } };
  lpac_register_type(L, TYPE_NAME, metamethods, methods);
  luaL_setfuncs(L, functions, 0);
}
