/* lpac_wire.c: a checked payload as what goes over the wire: the target (path
** and query) and the JSON body.
**
** The body is written in the order of the field table, so the same payload
** always gives the same bytes, on every Lua. It is written from the table and
** not by a general encoder because only the table knows an empty list from an
** empty object, which number is a label, and which shape and spelling the
** caller chose (contract 7 rows 1, 2, 3, 5, 22, 23). */
#include <string.h>

#include "lpac.h"
#include "pac_uri.h"

#define TARGET_SIZE 4096 /* servers commonly refuse request lines beyond 8 KiB */
#define BUF_TYPE    "paciolan.buf"

static void write_object(lua_State *L, pac_buf *out, const pac_object *object, int index, const pac_shapes *shapes);

/* --- the buffer ---------------------------------------------------------------- */

static int buf_gc(lua_State *L) {
  pac_buf_free(luaL_checkudata(L, 1, BUF_TYPE));
  return 0;
}

pac_buf *lpac_buf_push(lua_State *L) {
  pac_buf *buf = lua_newuserdatauv(L, sizeof *buf, 0);
  pac_buf_init(buf);
  luaL_setmetatable(L, BUF_TYPE);
  return buf;
}

/* --- the body ------------------------------------------------------------------ */

/* The payload was checked before, but allocating may run a finalizer or clear a
** weak table, and so change it. What is no longer of its type is not read. */
static void expect(lua_State *L, int index, int type) {
  if (lua_type(L, index) != type) {
    luaL_error(L, "the payload was changed while it was encoded");
  }
}

static void write_string(lua_State *L, pac_buf *out, int index) {
  size_t length;
  expect(L, index, LUA_TSTRING);
  const char *text = lua_tolstring(L, index, &length);
  pac_buf_append_json_string(out, text, length);
}

/* Digits that survive the way to a number and back: no leading zero, exact. */
static int is_plain_integer(const char *text, size_t length) {
  if (length == 0 || length > 15 || (text[0] == '0' && length > 1)) {
    return 0;
  }
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') {
      return 0;
    }
  }
  return 1;
}

static void write_label(lua_State *L, pac_buf *out, int index) {
  size_t length;
  if (lua_type(L, index) == LUA_TNUMBER) {
    pac_buf_append_json_number(out, lua_tonumber(L, index));
    return;
  }
  expect(L, index, LUA_TSTRING);
  const char *text = lua_tolstring(L, index, &length);
  if (is_plain_integer(text, length)) {
    pac_buf_append(out, text, length);
  } else {
    pac_buf_append_json_string(out, text, length);
  }
}

static void write_decimal(lua_State *L, pac_buf *out, int index, int as_string) {
  const char *quote = as_string ? "\"" : "";
  size_t length;
  pac_buf_append_text(out, quote);
  if (lua_type(L, index) == LUA_TNUMBER) {
    pac_buf_append_json_number(out, lua_tonumber(L, index));
  } else {
    expect(L, index, LUA_TSTRING);
    const char *text = lua_tolstring(L, index, &length);
    pac_buf_append(out, text, length);
  }
  pac_buf_append_text(out, quote);
}

static void write_strings(lua_State *L, pac_buf *out, int index) {
  expect(L, index, LUA_TTABLE);
  int count = (int)lua_rawlen(L, index);
  for (int i = 1; i <= count; i++) {
    pac_buf_append_text(out, i == 1 ? "[" : ",");
    lpac_rawgeti(L, index, i);
    write_string(L, out, lua_gettop(L));
    lua_pop(L, 1);
  }
  pac_buf_append_text(out, count == 0 ? "[]" : "]");
}

static void write_item(lua_State *L, pac_buf *out, const pac_object *object, int index, const pac_shapes *shapes) {
  if (lua_type(L, index) == LUA_TSTRING && object->shorthand != NULL) {
    pac_buf_append_text(out, "{");
    pac_buf_append_json_string(out, object->shorthand, strlen(object->shorthand));
    pac_buf_append_text(out, ":");
    write_string(L, out, index);
    pac_buf_append_text(out, "}");
  } else {
    write_object(L, out, object, index, shapes);
  }
}

static void write_items(lua_State *L, pac_buf *out, const pac_field *field, int index, const pac_shapes *shapes) {
  expect(L, index, LUA_TTABLE);
  int count = (int)lua_rawlen(L, index);
  for (int i = 1; i <= count; i++) {
    pac_buf_append_text(out, i == 1 ? "[" : ",");
    lpac_rawgeti(L, index, i);
    write_item(L, out, field->object, lua_gettop(L), shapes);
    lua_pop(L, 1);
  }
  pac_buf_append_text(out, count == 0 ? "[]" : "]");
}

/* In the shape the caller chose, whichever of the two the value has. */
static void write_shaped(lua_State *L, pac_buf *out, const pac_field *field, int index, const pac_shapes *shapes) {
  const char *choice = pac_switches[field->by].choices[shapes->choice[field->by]];
  int as_list = strcmp(choice, "array") == 0;
  expect(L, index, LUA_TTABLE);
  int is_list = lua_rawlen(L, index) > 0;
  if (is_list && as_list) {
    write_items(L, out, field, index, shapes);
    return;
  }
  if (is_list) {
    lpac_rawgeti(L, index, 1);
  } else {
    lua_pushvalue(L, index);
  }
  pac_buf_append_text(out, as_list ? "[" : "");
  write_object(L, out, field->object, lua_gettop(L), shapes);
  pac_buf_append_text(out, as_list ? "]" : "");
  lua_pop(L, 1);
}

static void write_value(lua_State *L, pac_buf *out, const pac_field *field, int index, const pac_shapes *shapes) {
  if (lpac_is_null(L, index)) {
    pac_buf_append_text(out, "null");
    return;
  }
  if (lpac_is_shaped(field)) {
    write_shaped(L, out, field, index, shapes);
    return;
  }
  switch (field->type) {
  case PAC_STRING:
    write_string(L, out, index);
    break;
  case PAC_NUMBER:
  case PAC_INTEGER:
    expect(L, index, LUA_TNUMBER);
    pac_buf_append_json_number(out, lua_tonumber(L, index));
    break;
  case PAC_DECIMAL:
    write_decimal(L, out, index, lpac_is_switched(shapes, field));
    break;
  case PAC_LABEL:
    write_label(L, out, index);
    break;
  case PAC_BOOLEAN:
    pac_buf_append_text(out, lua_toboolean(L, index) ? "true" : "false");
    break;
  case PAC_OBJECT:
    write_object(L, out, field->object, index, shapes);
    break;
  case PAC_OBJECTS:
    write_items(L, out, field, index, shapes);
    break;
  case PAC_STRINGS:
    write_strings(L, out, index);
    break;
  }
}

static const char *wire_name(const pac_field *field, const pac_shapes *shapes) {
  int by_alias = field->by == PAC_SWITCH_TRANSFER_V1 && lpac_is_switched(shapes, field);
  return by_alias ? field->alias : field->name;
}

static void write_object(lua_State *L, pac_buf *out, const pac_object *object, int index, const pac_shapes *shapes) {
  const char *glue = "{";
  expect(L, index, LUA_TTABLE);
  luaL_checkstack(L, 10, "payload too deep");
  for (const pac_field *field = object->fields; field->name != NULL; field++) {
    if (lpac_push_field(L, index, field) != LUA_TNIL) {
      const char *name = wire_name(field, shapes);
      pac_buf_append_text(out, glue);
      pac_buf_append_json_string(out, name, strlen(name));
      pac_buf_append_text(out, ":");
      write_value(L, out, field, lua_gettop(L), shapes);
      glue = ",";
    }
    lua_pop(L, 1);
  }
  pac_buf_append_text(out, *glue == '{' ? "{}" : "}");
}

/* --- the target ---------------------------------------------------------------- */

typedef struct target {
  char text[TARGET_SIZE];
  size_t length;
  int failed;
} target;

static void put_text(target *out, const char *text, size_t length) {
  if (length > sizeof out->text - out->length) {
    out->failed = 1;
  } else {
    memcpy(out->text + out->length, text, length);
    out->length += length;
  }
}

static void put_query(target *out, const char *name, const char *text, size_t length) {
  put_text(out, memchr(out->text, '?', out->length) == NULL ? "?" : "&", 1);
  put_text(out, name, strlen(name));
  put_text(out, "=", 1);
  if (pac_uri_append_query(out->text, sizeof out->text, &out->length, text, length) != PAC_OK) {
    out->failed = 1;
  }
}

/* Replaces the {placeholders} of the template by the path fields' values. */
static void put_path(lua_State *L, target *out, const pac_operation *op, const char *path, int index) {
  while (*path != '\0' && !out->failed) {
    const char *end = *path == '{' ? strchr(path, '}') : NULL;
    if (end == NULL) {
      put_text(out, path++, 1);
      continue;
    }
    const pac_field *field = pac_field_find(op->path_fields, path + 1, (size_t)(end - path - 1));
    size_t length = 0;
    const char *text = NULL;
    if (lua_type(L, index) == LUA_TSTRING) {
      text = lua_tolstring(L, index, &length);
    } else if (field != NULL && lpac_push_field(L, index, field) == LUA_TSTRING) {
      text = lua_tolstring(L, -1, &length);
      lua_pop(L, 1); /* the payload table keeps it alive */
    }
    if (text == NULL || pac_uri_append_segment(out->text, sizeof out->text, &out->length, text, length) != PAC_OK) {
      out->failed = 1;
    }
    path = end + 1;
  }
}

static void put_queries(lua_State *L, target *out, const pac_operation *op, int index, const lpac_options *options) {
  for (const pac_field *field = op->query; field != NULL && field->name != NULL; field++) {
    if (field->option != NULL) {
      if (options->distributor_code != NULL) {
        put_query(out, field->name, options->distributor_code, strlen(options->distributor_code));
      }
    } else if (lua_istable(L, index)) {
      size_t length;
      if (lpac_push_field(L, index, field) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, &length);
        put_query(out, field->name, text, length);
      }
      lua_pop(L, 1);
    }
  }
}

static int fail_with(lua_State *L) {
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

/* The one problem that no single field shows. */
static int fail_too_long(lua_State *L) {
  lua_createtable(L, 1, 0);
  lua_createtable(L, 0, 3);
  lua_pushliteral(L, "");
  lua_setfield(L, -2, "path");
  lua_pushliteral(L, "max_length");
  lua_setfield(L, -2, "rule");
  lua_pushliteral(L, "the values are too long for a URL together");
  lua_setfield(L, -2, "message");
  lua_rawseti(L, -2, 1);
  return fail_with(L);
}

/* core.encode(operation, payload, options) -> target, body (nil for none), or
** nil and the violations. Raises as core.check does. */
static int encode(lua_State *L) {
  lpac_options options;
  target out = { .length = 0 };
  lua_settop(L, 3);
  const pac_operation *op = lpac_check_operation(L, 1);
  lpac_options_read(L, 3, &options);
  if (lpac_check_payload(L, op, 2, &options) > 0) {
    return fail_with(L);
  }
  put_path(L, &out, op, options.path != NULL ? options.path : op->path, 2);
  put_queries(L, &out, op, 2, &options);
  if (out.failed) {
    return fail_too_long(L);
  }
  lua_pushlstring(L, out.text, out.length);
  if (op->body == NULL) {
    lua_pushnil(L);
    return 2;
  }
  pac_buf *body = lpac_buf_push(L);
  write_object(L, body, op->body, 2, &options.shapes);
  if (!pac_buf_ok(body)) {
    return luaL_error(L, "not enough memory");
  }
  lua_pushlstring(L, body->data, body->length);
  lua_remove(L, -2);
  return 2;
}

/* Metatables are filled whether they are new or not: a load that ran out of
** memory half-way leaves a half-built one behind for the next. */
void lpac_wire_register(lua_State *L) {
  luaL_newmetatable(L, BUF_TYPE);
  lua_pushcfunction(L, buf_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  lua_pushcfunction(L, encode);
  lua_setfield(L, -2, "encode");
}
