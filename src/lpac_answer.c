/* lpac_answer.c: one form for answers that the documents show in several.
**
** The walk follows the answer's field table, as the check of a payload does, so
** its depth is bounded by the table whatever the service sent. What the table
** does not name, and what has another type than any document shows, stays as it
** came (contract 7). */
#include <inttypes.h>
#include <stdio.h>

#include "lpac.h"

#define FRAME_SLOTS 8 /* what one level of the walk has on the Lua stack at most */

static void present_object(lua_State *L, const pac_object *object, int index);

/* Does the table hold a field that the documents name? */
static int is_known(lua_State *L, const pac_object *object, int index) {
  for (const pac_field *field = object->fields; field->name != NULL; field++) {
    int type = lpac_rawgetfield(L, index, field->name);
    lua_pop(L, 1);
    if (type != LUA_TNIL) {
      return 1;
    }
  }
  return 0;
}

static void present_items(lua_State *L, const pac_object *object, int count) {
  int list = lua_gettop(L);
  for (int i = 1; i <= count; i++) {
    if (lpac_rawgeti(L, list, i) == LUA_TTABLE) {
      present_object(L, object, lua_gettop(L));
    }
    lua_pop(L, 1);
  }
}

/* Replaces the table on top by the list of it, or, where it is a list, walks
** it. An object without a documented field is something else, such as an error
** where a list was expected, and stays. */
static void present_list(lua_State *L, const pac_object *object) {
  int count = lpac_list_length(L, -1);
  if (count >= 0) {
    present_items(L, object, count);
  } else if (is_known(L, object, -1)) {
    present_object(L, object, lua_gettop(L));
    lua_createtable(L, 1, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
  }
}

/* Replaces a list of one object on top by the object, and walks the object. */
static void present_single(lua_State *L, const pac_object *object) {
  if (lpac_list_length(L, -1) == 1) {
    if (lpac_rawgeti(L, -1, 1) != LUA_TTABLE) {
      lua_pop(L, 1);
      return;
    }
    lua_remove(L, -2);
  }
  present_object(L, object, lua_gettop(L));
}

/* A label is text, however its digits came (contract 7 rows 23 and 25). */
static void present_label(lua_State *L) {
  int64_t value;
  if (lpac_to_integer(L, -1, &value)) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    lua_pop(L, 1);
    lua_pushstring(L, text);
  }
}

/* Replaces the value on top by its one form. */
static void present_value(lua_State *L, const pac_field *field) {
  if (field->type == PAC_LABEL) {
    present_label(L);
  } else if (lua_type(L, -1) != LUA_TTABLE) {
    return;
  } else if (field->type == PAC_OBJECTS) {
    present_list(L, field->object);
  } else {
    present_single(L, field->object);
  }
}

static void present_object(lua_State *L, const pac_object *object, int index) {
  if (!lua_checkstack(L, FRAME_SLOTS)) {
    return;
  }
  for (const pac_field *field = object->fields; field->name != NULL; field++) {
    if (field->object == NULL && field->type != PAC_LABEL) {
      continue; /* has one form only */
    }
    lua_pushstring(L, field->name);
    lua_pushvalue(L, -1);
    if (lpac_rawget(L, index) == LUA_TNIL) {
      lua_pop(L, 2);
    } else {
      present_value(L, field);
      lua_rawset(L, index);
    }
  }
}

/* core.present(operation, body) -> body
**
** Gives a decoded answer its one form (contract 7, rows 6, 23 and 25), in
** place: a label that came as a whole number becomes text; an object where the
** documents have a list becomes a list of one, and the other way round, on top
** as well as below. Everything else stays, JSON null too. Any value may be
** given. Raises for an unknown operation only. */
static int present(lua_State *L) {
  lua_settop(L, 2);
  const pac_operation *op = lpac_check_operation(L, 1);
  if (op->answer != NULL && lua_type(L, 2) == LUA_TTABLE) {
    luaL_checkstack(L, FRAME_SLOTS, "answer too deep");
    if (op->answers_list) {
      present_list(L, op->answer);
    } else {
      present_single(L, op->answer);
    }
  }
  return 1;
}

void lpac_answer_register(lua_State *L) {
  lua_pushcfunction(L, present);
  lua_setfield(L, -2, "present");
}
