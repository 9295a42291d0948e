/* lpac_json.c: the strict JSON reader, for Lua. */
#include "lpac.h"
#include "pac_json.h"

/* core.json_check(text, max_depth) -> true, or nil and where the text breaks
** which rule ("at byte 17: ..."). max_depth: levels of nesting, 1 to 64. */
static int json_check(lua_State *L) {
  size_t length;
  pac_err err;
  const char *text = luaL_checklstring(L, 1, &length);
  lua_Integer max_depth = luaL_checkinteger(L, 2);
  luaL_argcheck(L, max_depth >= 1 && max_depth <= PAC_JSON_MAX_DEPTH, 2, "must be from 1 to 64");
  if (pac_json_read(text, length, (int)max_depth, NULL, NULL, &err) == NULL) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, err.message);
  return 2;
}

void lpac_json_register(lua_State *L) {
  static const luaL_Reg functions[] = { { "json_check", json_check }, { NULL, NULL } };
  luaL_setfuncs(L, functions, 0);
}
