/* sqlite.c: paciolan.sqlite, the file behind paciolan.store.sqlite.
**
**   db = sqlite.open(path, busy_timeout_ms)      nil, message when it cannot be opened
**   db:get(key, now_ms)                          the value, or nil
**   db:put(key, value, expires_at_ms, durable, now_ms)                 true
**   db:add(key, value, expires_at_ms, durable, now_ms)                 true or false
**   db:replace(key, expected, value, expires_at_ms, durable, now_ms)   true or false
**   db:remove(key, expected, now_ms)                                   true or false
**   db:list(prefix, after, limit, now_ms)        list of { key, value }
**   db:begin(durable), db:commit(now_ms)         true; all writes in between are one
**   db:rollback(), db:close()                    nothing
**
** expires_at_ms, expected, after and limit may be nil. What fails returns nil and
** a text that says what to do and names no key and no value.
**
** Ownership: the db userdata owns the open file, and a texts userdata what was
** read. SQLite is done with a statement before Lua takes memory again: a
** finalizer that Lua runs then may use or close the same db. */
#include "sqlite_items.h"

#include "lpac_compat.h"

#include <string.h>

#define DB_TYPE    "paciolan.sqlite.db"
#define TEXTS_TYPE "paciolan.sqlite.texts"

/* The type of the list of open files, and where in the registry the one of this Lua state is. */
#define HANDLES_TYPE "paciolan.sqlite.handles"
#define HANDLES_NAME "paciolan.sqlite.handles.open"

static sqlite_file *check_open(lua_State *L) {
  sqlite_file *f = luaL_checkudata(L, 1, DB_TYPE);
  if (!f->db) {
    luaL_error(L, "the database is closed");
  }
  return f;
}

/* ---- arguments ---- */

/* No number passes: to make a text of it takes memory. */
static sqlite_text check_text(lua_State *L, int index) {
  sqlite_text text;
  luaL_checktype(L, index, LUA_TSTRING);
  text.data = lua_tolstring(L, index, &text.length);
  return text;
}

static sqlite_text opt_text(lua_State *L, int index) {
  sqlite_text none = { NULL, 0 };
  return lua_isnoneornil(L, index) ? none : check_text(L, index);
}

static int64_t check_whole(lua_State *L, int index, int64_t low) {
  int64_t value = 0;
  if (!lpac_to_integer(L, index, &value) || value < low) {
    luaL_argerror(L, index, "a whole number in its range is wanted");
  }
  return value;
}

static int64_t opt_end(lua_State *L, int index) {
  return lua_isnoneornil(L, index) ? SQLITE_NEVER : check_whole(L, index, 0);
}

/* ---- answers ---- */

static int push_failure(lua_State *L, const sqlite_file *f) {
  luaL_pushfail(L);
  lua_pushstring(L, f->failure);
  return 2;
}

/* What a function of sqlite_items.h or sqlite_file.h returned. */
static int push_done(lua_State *L, const sqlite_file *f, int is_done) {
  if (is_done < 0) {
    return push_failure(L, f);
  }
  lua_pushboolean(L, is_done);
  return 1;
}

static sqlite_texts *new_texts(lua_State *L) {
  sqlite_texts *texts = lua_newuserdatauv(L, sizeof *texts, 0);
  memset(texts, 0, sizeof *texts);
  luaL_setmetatable(L, TEXTS_TYPE);
  return texts;
}

static int l_texts_gc(lua_State *L) {
  sqlite_texts_free(luaL_checkudata(L, 1, TEXTS_TYPE));
  return 0;
}

/* ---- the database object ---- */

static int l_open(lua_State *L) {
  size_t length;
  const char *path = luaL_checklstring(L, 1, &length);
  luaL_argcheck(L, strlen(path) == length, 1, "a path holds no NUL");
  int64_t busy_timeout_ms = check_whole(L, 2, 0);
  luaL_argcheck(L, busy_timeout_ms <= INT32_MAX, 2, "out of range");
  lua_getfield(L, LUA_REGISTRYINDEX, HANDLES_NAME);
  sqlite_handles *handles = luaL_checkudata(L, -1, HANDLES_TYPE);
  sqlite_file *f = lua_newuserdatauv(L, sizeof *f, 0);
  memset(f, 0, sizeof *f);
  luaL_setmetatable(L, DB_TYPE);
  return sqlite_file_open(f, handles, path, (int)busy_timeout_ms) == 0 ? 1 : push_failure(L, f);
}

static int l_close(lua_State *L) {
  sqlite_file_close(luaL_checkudata(L, 1, DB_TYPE));
  return 0;
}

static int l_tostring(lua_State *L) {
  const sqlite_file *f = luaL_checkudata(L, 1, DB_TYPE);
  lua_pushstring(L, f->db ? "paciolan.sqlite (open)" : "paciolan.sqlite (closed)");
  return 1;
}

static int l_get(lua_State *L) {
  lua_settop(L, 3);
  sqlite_file *f = check_open(L);
  sqlite_text key = check_text(L, 2);
  int64_t now_ms = check_whole(L, 3, 0);
  sqlite_texts *texts = new_texts(L);
  check_open(L); /* a finalizer may have closed it meanwhile */
  int found = sqlite_items_get(f, key, now_ms, texts);
  if (found < 0) {
    return push_failure(L, f);
  }
  size_t at = 0;
  sqlite_text value = { NULL, 0 };
  if (found && sqlite_texts_next(texts, &at, &value)) {
    lua_pushlstring(L, value.data, value.length);
    sqlite_texts_free(texts);
  } else {
    lua_pushnil(L);
  }
  return 1;
}

/* The key at index 2, and from `index` on value, expires_at_ms, durable and now_ms. */
static sqlite_write check_write(lua_State *L, int index) {
  sqlite_write w = { .key = check_text(L, 2),
                     .value = check_text(L, index),
                     .expires_at_ms = opt_end(L, index + 1),
                     .durable = lua_toboolean(L, index + 2),
                     .now_ms = check_whole(L, index + 3, 0) };
  return w;
}

static int l_put(lua_State *L) {
  lua_settop(L, 6);
  sqlite_file *f = check_open(L);
  sqlite_write w = check_write(L, 3);
  return push_done(L, f, sqlite_items_put(f, &w) < 0 ? -1 : 1);
}

static int l_add(lua_State *L) {
  lua_settop(L, 6);
  sqlite_file *f = check_open(L);
  sqlite_write w = check_write(L, 3);
  return push_done(L, f, sqlite_items_add(f, &w));
}

static int l_replace(lua_State *L) {
  lua_settop(L, 7);
  sqlite_file *f = check_open(L);
  sqlite_write w = check_write(L, 4);
  w.expected = check_text(L, 3);
  return push_done(L, f, sqlite_items_replace(f, &w));
}

static int l_remove(lua_State *L) {
  lua_settop(L, 4);
  sqlite_file *f = check_open(L);
  sqlite_write w = {
    .key = check_text(L, 2), .expected = opt_text(L, 3), .expires_at_ms = SQLITE_NEVER, .now_ms = check_whole(L, 4, 0)
  };
  return push_done(L, f, sqlite_items_remove(f, &w));
}

/* Stack: ..., texts -> ..., texts, list */
static void push_pairs(lua_State *L, const sqlite_texts *texts) {
  size_t at = 0;
  int count = 0;
  sqlite_text text;
  lua_newtable(L);
  while (sqlite_texts_next(texts, &at, &text)) {
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, text.data, text.length);
    lua_rawseti(L, -2, 1);
    if (sqlite_texts_next(texts, &at, &text)) {
      lua_pushlstring(L, text.data, text.length);
      lua_rawseti(L, -2, 2);
    }
    lua_rawseti(L, -2, ++count);
  }
}

static int l_list(lua_State *L) {
  lua_settop(L, 5);
  sqlite_file *f = check_open(L);
  sqlite_text prefix = check_text(L, 2), after = opt_text(L, 3);
  int64_t limit = lua_isnil(L, 4) ? -1 : check_whole(L, 4, 1), now_ms = check_whole(L, 5, 0);
  sqlite_texts *texts = new_texts(L);
  check_open(L); /* as above */
  if (sqlite_items_list(f, prefix, after, limit, now_ms, texts) < 0) {
    return push_failure(L, f);
  }
  push_pairs(L, texts);
  sqlite_texts_free(texts);
  return 1;
}

/* ---- groups ---- */

static int l_begin(lua_State *L) {
  sqlite_file *f = check_open(L);
  if (f->group != GROUP_NONE) {
    return luaL_error(L, "a group is open already");
  }
  return push_done(L, f, sqlite_file_begin(f, lua_toboolean(L, 2)) < 0 ? -1 : 1);
}

static int l_commit(lua_State *L) {
  sqlite_file *f = check_open(L);
  int64_t now_ms = check_whole(L, 2, 0);
  if (f->group == GROUP_NONE) {
    return luaL_error(L, "no group is open");
  }
  int is_done = sqlite_file_commit(f) < 0 ? -1 : 1;
  if (is_done > 0) {
    sqlite_items_sweep(f, now_ms);
  }
  return push_done(L, f, is_done);
}

static int l_rollback(lua_State *L) {
  sqlite_file_rollback(check_open(L));
  return 0;
}

static const luaL_Reg methods[] = { { "get", l_get },           { "put", l_put },       { "add", l_add },
                                    { "replace", l_replace },   { "list", l_list },     { "remove", l_remove },
                                    { "begin", l_begin },       { "commit", l_commit }, { "close", l_close },
                                    { "rollback", l_rollback }, { NULL, NULL } };
static const luaL_Reg metamethods[] = {
  { "__gc", l_close }, { "__close", l_close }, { "__tostring", l_tostring }, { NULL, NULL }
};
static const luaL_Reg functions[] = { { "open", l_open }, { NULL, NULL } };

/* ---- the list of open files ---- */

static int l_handles_gc(lua_State *L) {
  sqlite_handles_free(luaL_checkudata(L, 1, HANDLES_TYPE));
  return 0;
}

/* A module that is loaded again goes on with the list that is there. */
static void make_handles(lua_State *L) {
  luaL_newmetatable(L, HANDLES_TYPE);
  lua_pushcfunction(L, l_handles_gc);
  lua_setfield(L, -2, "__gc");
  if (lpac_getfield(L, LUA_REGISTRYINDEX, HANDLES_NAME) == LUA_TNIL) {
    sqlite_handles *handles = lua_newuserdatauv(L, sizeof *handles, 0);
    memset(handles, 0, sizeof *handles);
    luaL_setmetatable(L, HANDLES_TYPE);
    lua_setfield(L, LUA_REGISTRYINDEX, HANDLES_NAME);
  }
  lua_pop(L, 2);
}

int luaopen_paciolan_sqlite(lua_State *L);

LPAC_EXPORT int luaopen_paciolan_sqlite(lua_State *L) {
  make_handles(L);
  luaL_newmetatable(L, TEXTS_TYPE);
  lua_pushcfunction(L, l_texts_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, DB_TYPE);
  luaL_setfuncs(L, metamethods, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
