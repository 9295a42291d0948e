/* lpac_redact.c: copies of Lua values that may stand in a log. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lpac.h"
#include "pac_redact.h"

#define MAX_DEPTH  32
#define MAX_VALUES 20000
#define MAX_TEXT   65536   /* bytes of one text; the rest is only counted */
#define MAX_BYTES  1048576 /* of all texts of a value */

/* How the value at hand is taken: by its shape, hidden with all that is below,
** or hidden where it is a text or a number. */
typedef enum view { SHOWN, HIDDEN, LEAVES_HIDDEN } view;

typedef struct redactor {
  lua_State *L;
  pac_redact_names names;
  int values;    /* seen so far */
  int depth;     /* tables around the value at hand */
  size_t bytes;  /* of texts seen so far */
  int ancestors; /* stack index of the set of tables that are being copied */
} redactor;

/* ---- texts --------------------------------------------------------------- */

/* Where a long text is cut: at a blank, so that half a key is not left. */
static size_t cut_of(const char *text, size_t length) {
  size_t cut = length;
  if (length > MAX_TEXT) {
    cut = MAX_TEXT;
    while (cut > 0 && strchr(" \t\r\n", text[cut - 1]) == NULL) {
      cut--;
    }
  }
  return cut;
}

/* Pushes the redacted copy of a text. */
static void push_redacted(lua_State *L, const char *text, size_t length) {
  pac_buf *out = lpac_buf_push(L);
  size_t cut = cut_of(text, length);
  pac_redact_text(out, text, cut);
  if (cut < length) {
    char rest[48];
    int size = snprintf(rest, sizeof rest, "[%zu bytes cut]", length - cut);
    pac_buf_append(out, rest, (size_t)size);
  }
  if (!pac_buf_ok(out)) {
    luaL_error(L, "not enough memory");
  }
  lua_pushlstring(L, out->length > 0 ? out->data : "", out->length);
  pac_buf_free(out);
  lua_remove(L, -2);
}

/* core.redact_text(text) -> the text without what looks private. */
static int redact_text(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  push_redacted(L, text, length);
  return 1;
}

/* ---- values -------------------------------------------------------------- */

static void push_value(redactor *r, int index, view how);

static void push_text(redactor *r, int index) {
  size_t length;
  const char *text = lua_tolstring(r->L, index, &length);
  r->bytes += length < MAX_TEXT ? length : MAX_TEXT;
  if (r->bytes > MAX_BYTES) {
    lua_pushliteral(r->L, "[cut]");
  } else {
    push_redacted(r->L, text, length);
  }
}

/* A number of that many digits may be a telephone or card number. */
static void push_number(lua_State *L, int index) {
  lua_Number n = lua_tonumber(L, index);
  if (!(fabs(n) >= 1e9 && fabs(n) < 1e20) || n != floor(n)) {
    lua_pushvalue(L, index);
    return;
  }
  char text[32];
  int size = snprintf(text, sizeof text, "%.0f", n);
  push_redacted(L, text, (size_t)size);
  if (strcmp(lua_tostring(L, -1), text) == 0) {
    lua_pop(L, 1);
    lua_pushvalue(L, index);
  }
}

/* 1 when the table at index has a field of that exact name. */
static int has_field(lua_State *L, int index, const char *name) {
  int found = lpac_rawgetfield(L, index, name) != LUA_TNIL;
  lua_pop(L, 1);
  return found;
}

/* A code beside a grant is an authorization code, and so is one among the
** settings of the authorisation. */
static int is_authorization(lua_State *L, int table) {
  static const char *const signs[] = { "grantType", "grant_type", "refresh_token", "access_token", "refreshToken" };
  for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
    if (has_field(L, table, signs[i])) {
      return 1;
    }
  }
  return 0;
}

static int is_open_code(lua_State *L, int index, int table) {
  if (is_authorization(L, table)) {
    return 0;
  }
  if (lua_type(L, index) != LUA_TSTRING) {
    return lua_type(L, index) == LUA_TNUMBER && fabs(lua_tonumber(L, index)) < 1e5;
  }
  size_t length;
  const char *text = lua_tolstring(L, index, &length);
  return pac_redact_code_open(text, length);
}

/* How the value at index is taken, by the name at key. A URL beside a token
** leads to the ticket and is as good as it (contract 2.7). */
static view view_of(redactor *r, int table, int key, int index) {
  size_t length;
  if (lua_type(r->L, key) != LUA_TSTRING) {
    return SHOWN;
  }
  const char *name = lua_tolstring(r->L, key, &length);
  if (length == 3 && memcmp(name, "url", 3) == 0) {
    return has_field(r->L, table, "token") ? HIDDEN : SHOWN;
  }
  switch (pac_redact_name(&r->names, name, length)) {
  case PAC_REDACT_CLOSED:
    return HIDDEN;
  case PAC_REDACT_LEAVES:
    return LEAVES_HIDDEN;
  case PAC_REDACT_CODE:
    return is_open_code(r->L, index, table) ? SHOWN : HIDDEN;
  default:
    return SHOWN;
  }
}

/* Pushes the key of a copy: a text by its shape, since a table may be keyed by
** tokens; other keys that are no number as the name of their type. */
static void push_key(redactor *r, int key) {
  lua_State *L = r->L;
  if (lua_type(L, key) == LUA_TSTRING) {
    push_text(r, key);
  } else if (lua_type(L, key) == LUA_TNUMBER || lua_type(L, key) == LUA_TBOOLEAN) {
    lua_pushvalue(L, key);
  } else {
    lua_pushstring(L, luaL_typename(L, key));
  }
}

/* The number of items when the table is a list of texts and numbers, else -1. */
static int plain_list(lua_State *L, int index) {
  int count = lpac_list_length(L, index);
  for (int i = 1; i <= count; i++) {
    int type = lpac_rawgeti(L, index, i);
    lua_pop(L, 1);
    if (type != LUA_TSTRING && type != LUA_TNUMBER) {
      return -1;
    }
  }
  return count;
}

/* { "Authorization", "Bearer ..." }: a header as requests carry it. */
static int is_private_pair(redactor *r, int index) {
  lua_State *L = r->L;
  int is_private = 0;
  if (lpac_list_length(L, index) != 2) {
    return 0;
  }
  if (lpac_rawgeti(L, index, 1) == LUA_TSTRING) {
    size_t length;
    const char *name = lua_tolstring(L, -1, &length);
    is_private = pac_redact_name(&r->names, name, length) != PAC_REDACT_OPEN;
  }
  lua_pop(L, 1);
  return is_private;
}

/* The view of what is below a table. */
static view view_below(const redactor *r, view how, int key) {
  int is_item = lua_type(r->L, key) == LUA_TNUMBER;
  return how == HIDDEN || (how == LEAVES_HIDDEN && is_item) ? how : SHOWN;
}

static void copy_fields(redactor *r, int index, view how) {
  lua_State *L = r->L;
  int is_pair = is_private_pair(r, index);
  lua_newtable(L);
  int copy = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    if (r->values > MAX_VALUES) {
      lua_pushboolean(L, 1);
      lua_setfield(L, copy, "[cut]");
      break;
    }
    int value = lua_gettop(L);
    int key = value - 1;
    view below = view_below(r, how, key);
    if (below == SHOWN) {
      below = view_of(r, index, key, value);
    }
    if (is_pair && lua_type(L, key) == LUA_TNUMBER && lua_tonumber(L, key) == 2) {
      below = HIDDEN;
    }
    push_key(r, key);
    push_value(r, value, below);
    lua_rawset(L, copy);
    lua_settop(L, key);
  }
  lua_settop(L, copy);
}

/* A table that stands in itself is not copied again; one that stands in two
** places is, because its view may be another one there. */
static void push_table(redactor *r, int index, view how) {
  lua_State *L = r->L;
  lua_pushvalue(L, index);
  if (lpac_rawget(L, r->ancestors) != LUA_TNIL || r->depth >= MAX_DEPTH) {
    lua_pop(L, 1);
    lua_pushstring(L, r->depth >= MAX_DEPTH ? "[too deep]" : "[cycle]");
    return;
  }
  lua_pop(L, 1);
  int count = how == SHOWN ? -1 : plain_list(L, index);
  if (count > 0) {
    lua_pushfstring(L, "[redacted: %d]", count);
    return;
  }
  lua_pushvalue(L, index);
  lua_pushboolean(L, 1);
  lua_rawset(L, r->ancestors);
  r->depth++;
  copy_fields(r, index, how);
  r->depth--;
  lua_pushvalue(L, index);
  lua_pushnil(L);
  lua_rawset(L, r->ancestors);
}

static void push_value(redactor *r, int index, view how) {
  lua_State *L = r->L;
  luaL_checkstack(L, 12, "redact");
  r->values++;
  switch (lua_type(L, index)) {
  case LUA_TTABLE:
    push_table(r, index, how);
    return;
  case LUA_TSTRING:
  case LUA_TNUMBER:
    if (how != SHOWN) {
      lua_pushliteral(L, PAC_REDACT_MARK);
    } else if (lua_type(L, index) == LUA_TNUMBER) {
      push_number(L, index);
    } else {
      push_text(r, index);
    }
    return;
  default:
    if (lua_isnil(L, index) || lua_isboolean(L, index) || lpac_is_null(L, index)) {
      lua_pushvalue(L, index);
    } else {
      lua_pushstring(L, luaL_typename(L, index));
    }
  }
}

/* core.redact(value) -> a copy fit for logs, see paciolan.redact. */
static int redact(lua_State *L) {
  redactor r = { .L = L, .ancestors = 2 };
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  lua_newtable(L);
  pac_redact_names_init(&r.names);
  push_value(&r, 1, SHOWN);
  return 1;
}

void lpac_redact_register(lua_State *L) {
  static const luaL_Reg functions[] = { { "redact", redact }, { "redact_text", redact_text }, { NULL, NULL } };
  luaL_setfuncs(L, functions, 0);
}
