#include "lua_state.h"

#include "fuzz.h"
#include "lpac.h"

#include <lualib.h>

/* How many calls leave garbage behind before all of it is collected. */
#define COLLECT_EVERY 256

static void demand_ok(lua_State *L, int status) {
  if (status != 0) {
    fprintf(stderr, "raised: %s\n", lua_tostring(L, -1));
    abort();
  }
}

lua_State *fuzz_lua_open(const char *chunk) {
  lua_State *L = luaL_newstate();
  DEMAND(L != NULL);
  luaL_openlibs(L);
  luaL_requiref(L, "paciolan.core", luaopen_paciolan_core, 0);
  lua_settop(L, 0);
  demand_ok(L, luaL_dostring(L, "package.path = 'lua/?.lua;lua/?/init.lua;' .. package.path"));
  demand_ok(L, luaL_dostring(L, chunk));
  return L;
}

void fuzz_lua_call(lua_State *L, const char *text, size_t length) {
  static unsigned calls;
  lua_pushvalue(L, 1);
  lua_pushlstring(L, text, length);
  demand_ok(L, lua_pcall(L, 1, 0, 0));
  if (++calls % COLLECT_EVERY == 0) {
    lua_gc(L, LUA_GCCOLLECT, 0);
  }
}
