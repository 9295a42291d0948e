/* lpac_compat.h: the one place that knows Lua versions apart. Every glue file
** includes it instead of lua.h and is written to the Lua 5.4 API.
** Supported: Lua 5.3, 5.4 and newer, LuaJIT 2.1 (OpenResty). */
#ifndef LPAC_COMPAT_H
#define LPAC_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdint.h>

#if LUA_VERSION_NUM == 501 && !defined(luaL_newlib)
#error "these are the headers of PUC Lua 5.1: point LUA_INCDIR at luajit-2.1"
#endif

#if LUA_VERSION_NUM < 502
#define lua_rawlen(L, i) lua_objlen((L), (i))
static inline int lua_absindex(lua_State *L, int i) {
  return (i > 0 || i <= LUA_REGISTRYINDEX) ? i : lua_gettop(L) + i + 1;
}
#endif

/* Typed getters: Lua 5.3 and newer return the type, LuaJIT returns nothing. */
#if LUA_VERSION_NUM < 503
static inline int lpac_getfield(lua_State *L, int i, const char *k) {
  lua_getfield(L, i, k);
  return lua_type(L, -1);
}
static inline int lpac_rawget(lua_State *L, int i) {
  lua_rawget(L, i);
  return lua_type(L, -1);
}
static inline int lpac_rawgeti(lua_State *L, int i, int n) {
  lua_rawgeti(L, i, n);
  return lua_type(L, -1);
}
#else
#define lpac_getfield(L, i, k) lua_getfield((L), (i), (k))
#define lpac_rawget(L, i)      lua_rawget((L), (i))
#define lpac_rawgeti(L, i, n)  lua_rawgeti((L), (i), (n))
#endif

#if LUA_VERSION_NUM < 504
#define lua_newuserdatauv(L, size, n) lua_newuserdata((L), (size))
#define luaL_pushfail(L)              lua_pushnil(L)
#endif

/* A field without metamethods: what it gives is in the table and stays there. */
static inline int lpac_rawgetfield(lua_State *L, int i, const char *k) {
  i = lua_absindex(L, i);
  lua_pushstring(L, k);
  return lpac_rawget(L, i);
}

/* The JSON null of lua-cjson and of ngx: a light userdata that holds NULL. */
static inline int lpac_is_null(lua_State *L, int i) {
  return lua_type(L, i) == LUA_TLIGHTUSERDATA && lua_touserdata(L, i) == NULL;
}

/* Exact integers only, never a string. Decoded JSON holds floats even for
** whole numbers, and LuaJIT has no integers, so the test is on the value. */
static inline int lpac_to_integer(lua_State *L, int i, int64_t *out) {
  if (lua_type(L, i) != LUA_TNUMBER) {
    return 0;
  }
#if LUA_VERSION_NUM >= 503
  if (lua_isinteger(L, i)) { /* beyond 2^53 the way through a double would change it */
    lua_Integer exact = lua_tointeger(L, i);
    *out = (int64_t)exact;
    return exact >= -(INT64_C(1) << 53) && exact <= (INT64_C(1) << 53);
  }
#endif
  lua_Number n = lua_tonumber(L, i);
  if (!(n >= -9007199254740992.0 && n <= 9007199254740992.0) || n != floor(n)) {
    return 0;
  }
  *out = (int64_t)n;
  return 1;
}

/* Pushes a whole number: an integer where there are integers, so that it prints
** without a ".0". LuaJIT prints it so anyway, up to 2^53. */
static inline void lpac_push_integer(lua_State *L, int64_t value) {
#if LUA_VERSION_NUM >= 503
  lua_pushinteger(L, (lua_Integer)value);
#else
  lua_pushnumber(L, (lua_Number)value);
#endif
}

/* Lua 5.3 and newer have integers that a double, and so JSON, cannot hold. */
static inline int lpac_is_exact(lua_State *L, int i) {
#if LUA_VERSION_NUM >= 503
  int64_t value;
  return !lua_isinteger(L, i) || lpac_to_integer(L, i, &value);
#else
  (void)L;
  (void)i;
  return 1;
#endif
}

/* The module's one exported symbol carries this mark; all else is hidden. */
#define LPAC_EXPORT __attribute__((visibility("default")))

#endif
