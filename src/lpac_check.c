/* lpac_check.c: a Lua value against the field table of an operation.
**
** The walk follows the table, not the value, so depth is bounded by the table
** whatever the value does (cycles, metatables, foreign keys). All access is
** raw. Every violation is reported, up to a limit, with the place as a
** JSON Pointer (RFC 6901, list items from 0) and the rule, never the value. */
#include <string.h>

#include "lpac_violation.h"
#include "pac_request.h"
#include "pac_time.h"
#include "pac_uri.h"

#define MAX_URL_VALUE 1024 /* percent-encoded; no documented code or id comes near */

static void check_object(lpac_checker *ck, const pac_object *object, int index);

/* --- scalars ---------------------------------------------------------------- */

static int all_digits(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') {
      return 0;
    }
  }
  return length > 0;
}

static int has_control(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F) {
      return 1;
    }
  }
  return 0;
}

static void check_callback(lpac_checker *ck, const char *text, size_t length) {
  pac_err err = { 0 };
  if (ck->options->shapes.choice[PAC_SWITCH_CALLBACK_URL] != 0) {
    if (pac_uri_check_callback(text, length, 1, &err) != PAC_OK) {
      lpac_report(ck, "format", "%s", err.message);
    }
  } else if (length == 0 || has_control(text, length)) {
    lpac_report(ck, "format", "must be a URL without control characters");
  }
}

static void check_format(lpac_checker *ck, const pac_field *field, const char *text, size_t length) {
  int64_t day;
  switch (field->format) {
  case PAC_ANY_TEXT:
    break;
  case PAC_DIGITS:
    if (!all_digits(text, length)) {
      lpac_report(ck, "format", "must hold digits only");
    }
    break;
  case PAC_DATE:
    if (pac_time_parse_date(text, length, &day) != PAC_OK) {
      lpac_report(ck, "format", "must be a day of the calendar, written YYYY-MM-DD");
    }
    break;
  case PAC_CALLBACK_URL:
    check_callback(ck, text, length);
    break;
  }
}

static void check_text(lpac_checker *ck, const pac_field *field, const char *text, size_t length) {
  if (!pac_utf8_valid(text, length)) {
    lpac_report(ck, "utf8", "must be valid UTF-8");
    return;
  }
  if (ck->as_given) {
    return;
  }
  if (length == 0 && (field->flags & PAC_REQUIRED)) {
    lpac_report(ck, "min_length", "must not be empty");
  } else if (field->values != NULL && !lpac_holds_one_of(field->values, text, length)) {
    char values[160];
    lpac_join_values(field->values, values, sizeof values);
    lpac_report(ck, "enum", "must be %s", values);
  } else {
    check_format(ck, field, text, length);
  }
}

static void check_string(lpac_checker *ck, const pac_field *field, int index) {
  size_t length;
  if (lua_type(ck->L, index) != LUA_TSTRING) {
    lpac_report_type(ck, "string", index);
    return;
  }
  const char *text = lua_tolstring(ck->L, index, &length);
  check_text(ck, field, text, length);
}

static void check_number(lpac_checker *ck, int index) {
  if (lua_type(ck->L, index) != LUA_TNUMBER) {
    lpac_report_type(ck, "number", index);
  } else if (!isfinite(lua_tonumber(ck->L, index))) {
    lpac_report(ck, "finite", "must be a finite number");
  } else if (!lpac_is_exact(ck->L, index)) {
    lpac_report(ck, "exact", "must be a number that JSON carries exactly: whole numbers up to 2^53");
  }
}

static void check_decimal(lpac_checker *ck, int index) {
  size_t length;
  if (lua_type(ck->L, index) != LUA_TSTRING) {
    check_number(ck, index);
    return;
  }
  const char *text = lua_tolstring(ck->L, index, &length);
  if (!pac_json_number_valid(text, length)) {
    lpac_report(ck, "format", "must be a number, or a string that spells one");
  } else if (!isfinite(lua_tonumber(ck->L, index))) {
    lpac_report(ck, "finite", "must spell a finite number");
  }
}

static void check_integer(lpac_checker *ck, int index) {
  int64_t value;
  if (lua_type(ck->L, index) != LUA_TNUMBER) {
    lpac_report_type(ck, "whole number", index);
  } else if (!lpac_to_integer(ck->L, index, &value)) {
    lpac_report(ck, "integer", "must be a whole number");
  }
}

static void check_label(lpac_checker *ck, const pac_field *field, int index) {
  if (lua_type(ck->L, index) == LUA_TSTRING) {
    check_string(ck, field, index);
  } else if (lua_type(ck->L, index) == LUA_TNUMBER) {
    check_integer(ck, index);
  } else {
    lpac_report_type(ck, "string or whole number", index);
  }
}

/* --- lists and objects -------------------------------------------------------- */

int lpac_list_length(lua_State *L, int index) {
  size_t length = lua_rawlen(L, index);
  size_t keys = 0;
  int64_t key;
  index = lua_absindex(L, index);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pop(L, 1);
    if (++keys > length || !lpac_to_integer(L, -1, &key) || key < 1 || (uint64_t)key > length) {
      lua_pop(L, 1);
      return -1;
    }
  }
  return keys == length ? (int)length : -1;
}

int lpac_push_field(lua_State *L, int index, const pac_field *field) {
  index = lua_absindex(L, index);
  lua_pushstring(L, field->name);
  int type = lpac_rawget(L, index);
  if (type == LUA_TNIL && field->alias != NULL) {
    lua_pop(L, 1);
    lua_pushstring(L, field->alias);
    type = lpac_rawget(L, index);
  }
  return type;
}

int lpac_is_shaped(const pac_field *field) {
  return field->by == PAC_SWITCH_COMPLETE_ORDER || field->by == PAC_SWITCH_SELLER_CONTACT ||
         field->by == PAC_SWITCH_VERIFY;
}

int lpac_is_switched(const pac_shapes *shapes, const pac_field *field) {
  return shapes->choice[field->by] != 0;
}

static void check_count(lpac_checker *ck, const pac_field *field, int count) {
  if ((uint32_t)count < field->min_items) {
    lpac_report(ck, "min_items", "must hold at least %u item%s", field->min_items, field->min_items == 1 ? "" : "s");
  } else if (field->max_items != 0 && (uint32_t)count > field->max_items) {
    lpac_report(ck, "max_items", "must hold at most %u item%s", field->max_items, field->max_items == 1 ? "" : "s");
  }
}

/* Length of the list at index, or -1 after a report. */
static int check_list(lpac_checker *ck, const pac_field *field, int index) {
  if (lua_type(ck->L, index) != LUA_TTABLE) {
    lpac_report_type(ck, pac_type_name(field->type), index);
    return -1;
  }
  int count = lpac_list_length(ck->L, index);
  if (count < 0) {
    lpac_report(ck, "type", "must be a %s: keys 1 to n without holes", pac_type_name(field->type));
  } else {
    check_count(ck, field, count);
  }
  return count;
}

static void check_strings(lpac_checker *ck, const pac_field *field, int index) {
  const pac_field item = { .name = "", .type = PAC_STRING, .flags = PAC_REQUIRED };
  int count = check_list(ck, field, index);
  for (int i = 1; i <= count; i++) {
    lpac_rawgeti(ck->L, index, i);
    lpac_enter(ck, NULL, 0, i - 1);
    check_string(ck, &item, lua_gettop(ck->L));
    lpac_leave(ck);
    lua_pop(ck->L, 1);
  }
}

static void check_item(lpac_checker *ck, const pac_object *object, int index) {
  if (lua_type(ck->L, index) == LUA_TSTRING && object->shorthand != NULL) {
    const pac_field *field = pac_field_find(object->fields, object->shorthand, strlen(object->shorthand));
    check_string(ck, field, index);
  } else if (lua_type(ck->L, index) != LUA_TTABLE) {
    lpac_report_type(ck, "object", index);
  } else {
    check_object(ck, object, index);
  }
}

static void check_items(lpac_checker *ck, const pac_field *field, int index, int count) {
  for (int i = 1; i <= count; i++) {
    lpac_rawgeti(ck->L, index, i);
    lpac_enter(ck, NULL, 0, i - 1);
    check_item(ck, field->object, lua_gettop(ck->L));
    lpac_leave(ck);
    lua_pop(ck->L, 1);
  }
}

/* 1 when the field goes out as an object under the caller's switches. */
static int goes_out_as_object(const lpac_checker *ck, const pac_field *field) {
  const char *choice = pac_switches[field->by].choices[ck->options->shapes.choice[field->by]];
  return strcmp(choice, "object") == 0;
}

/* An object or a list of them, whichever the caller has. */
static void check_shaped(lpac_checker *ck, const pac_field *field, int index) {
  if (lua_type(ck->L, index) != LUA_TTABLE) {
    lpac_report_type(ck, pac_type_name(field->type), index);
    return;
  }
  int count = lpac_list_length(ck->L, index);
  if (count < 0 || (count == 0 && field->type == PAC_OBJECT)) {
    check_object(ck, field->object, index);
    return;
  }
  check_count(ck, field, count);
  if (count > 1 && goes_out_as_object(ck, field)) {
    lpac_report(ck, "max_items", "must hold one item while shapes.%s is \"object\"", pac_switches[field->by].name);
  }
  check_items(ck, field, index, count);
}

static void check_value(lpac_checker *ck, const pac_field *field, int index) {
  if (lpac_is_null(ck->L, index) && (field->flags & PAC_NULLABLE)) {
    return;
  }
  if (lpac_is_shaped(field)) {
    check_shaped(ck, field, index);
    return;
  }
  switch (field->type) {
  case PAC_STRING:
    check_string(ck, field, index);
    break;
  case PAC_NUMBER:
    check_number(ck, index);
    break;
  case PAC_DECIMAL:
    check_decimal(ck, index);
    break;
  case PAC_LABEL:
    check_label(ck, field, index);
    break;
  case PAC_INTEGER:
    check_integer(ck, index);
    break;
  case PAC_BOOLEAN:
    if (lua_type(ck->L, index) != LUA_TBOOLEAN) {
      lpac_report_type(ck, "boolean", index);
    }
    break;
  case PAC_OBJECT:
    check_item(ck, field->object, index);
    break;
  case PAC_OBJECTS:
    check_items(ck, field, index, check_list(ck, field, index));
    break;
  case PAC_STRINGS:
    check_strings(ck, field, index);
    break;
  }
}

/* --- objects ---------------------------------------------------------------------- */

static void check_field(lpac_checker *ck, const pac_object *object, int index, const pac_field *field) {
  lua_State *L = ck->L;
  int before = ck->as_given;
  int type = lpac_push_field(L, index, field);
  lpac_enter_field(ck, field->name);
  if (type == LUA_TNIL) {
    if ((field->flags & PAC_REQUIRED) && !ck->as_given) {
      lpac_report(ck, "required", "is required");
    }
  } else {
    ck->as_given = before || lpac_rules_as_given(ck, object, index, field);
    check_value(ck, field, lua_gettop(L));
    ck->as_given = before;
  }
  lpac_leave(ck);
  lua_pop(L, 1);
}

static void report_unknown(lpac_checker *ck, const pac_object *object, const char *name, size_t length) {
  const char *nearest = pac_field_nearest(object->fields, name, length);
  lpac_enter(ck, name, length, 0);
  if (nearest != NULL) {
    lpac_report(ck, "unknown", "is not a field of this object; did you mean %s?", nearest);
  } else {
    lpac_report(ck, "unknown", "is not a field of this object");
  }
  lpac_leave(ck);
}

/* A field under both of its spellings: which one would count? */
static void check_spelling(lpac_checker *ck, const pac_field *field, const char *name, int index) {
  if (field->alias != NULL && strcmp(name, field->alias) == 0) {
    lua_pushstring(ck->L, field->name);
    if (lpac_rawget(ck->L, index) != LUA_TNIL) {
      lpac_report_at(ck, field->alias, "duplicate", "is given a second time, in the other spelling");
    }
    lua_pop(ck->L, 1);
  }
}

static void check_names(lpac_checker *ck, const pac_object *object, int index) {
  lua_State *L = ck->L;
  int has_items = 0;
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING) {
      has_items = 1;
      continue;
    }
    size_t length;
    const char *name = lua_tolstring(L, -1, &length);
    const pac_field *field = pac_field_find(object->fields, name, length);
    if (field != NULL) {
      check_spelling(ck, field, name, index);
    } else if (!object->open) {
      report_unknown(ck, object, name, length);
    }
  }
  if (has_items) {
    lpac_report(ck, "type", "must be an object: all keys must be field names");
  }
}

static void check_object(lpac_checker *ck, const pac_object *object, int index) {
  luaL_checkstack(ck->L, 10, "payload too deep");
  for (const pac_field *field = object->fields; field->name != NULL; field++) {
    check_field(ck, object, index, field);
  }
  lpac_rules_check(ck, object, index);
  check_names(ck, object, index);
}

/* --- whole payloads ----------------------------------------------------------------- */

/* A value that enters the URL must fit there. The place is the field that was
** entered. */
static void check_url_text(lpac_checker *ck, const char *text, size_t length, int in_path) {
  char scratch[MAX_URL_VALUE];
  size_t used = 0;
  pac_status status = in_path ? pac_uri_append_segment(scratch, sizeof scratch, &used, text, length)
                              : pac_uri_append_query(scratch, sizeof scratch, &used, text, length);
  if (status == PAC_TOO_LONG) {
    lpac_report(ck, "max_length", "is too long for a URL");
  } else if (status != PAC_OK && in_path) {
    lpac_report(ck, "format", "must not be empty, a dot segment or hold control characters");
  } else if (status != PAC_OK) {
    lpac_report(ck, "format", "must not hold control characters");
  }
}

static void check_url_value(lpac_checker *ck, const pac_field *field, const char *text, size_t length, int in_path) {
  lpac_enter_field(ck, field->name);
  check_url_text(ck, text, length, in_path);
  lpac_leave(ck);
}

/* An option that goes into the query stands outside the payload, so its place
** is named by the message alone. */
static void check_query_option(lpac_checker *ck, const pac_operation *op) {
  const char *text = ck->options->distributor_code;
  for (const pac_field *field = op->query; field != NULL && field->name != NULL; field++) {
    char scratch[MAX_URL_VALUE];
    size_t used = 0, length = text != NULL ? strlen(text) : 0;
    if (field->option != NULL && text != NULL &&
        (!pac_utf8_valid(text, length) ||
         pac_uri_append_query(scratch, sizeof scratch, &used, text, length) != PAC_OK)) {
      lpac_report(ck, "option", "needs the option %s to be short, valid UTF-8 without control characters",
                  field->option);
    }
  }
}

/* Where PAC-Organization-ID is demanded, its option is (contract 7 row 17). */
static void check_organization(lpac_checker *ck, const pac_operation *op) {
  const char *id = ck->options->organization_id;
  if (id == NULL && op->organization == PAC_ORGANIZATION_REQUIRED) {
    lpac_report(ck, "option", "needs the option organization_id");
  } else if (id != NULL && !pac_request_value_valid(id, strlen(id))) {
    lpac_report(ck, "option", "needs the option organization_id to be printable ASCII");
  }
}

static void check_url_fields(lpac_checker *ck, const pac_field *fields, int index, int in_path) {
  for (const pac_field *field = fields; field->name != NULL; field++) {
    if (lpac_push_field(ck->L, index, field) == LUA_TSTRING) {
      size_t length;
      const char *text = lua_tolstring(ck->L, -1, &length);
      if (length > 0) {
        check_url_value(ck, field, text, length, in_path);
      } else if (!(field->flags & PAC_REQUIRED) && field->format == PAC_ANY_TEXT) { /* others were reported already */
        lpac_report_at(ck, field->name, "min_length", "must not be empty");
      }
    }
    lua_pop(ck->L, 1);
  }
}

static void check_url_payload(lpac_checker *ck, const pac_field *fields, int index, int in_path) {
  const pac_object object = { .fields = fields };
  size_t length;
  if (in_path && lua_type(ck->L, index) == LUA_TSTRING) {
    const char *text = lua_tolstring(ck->L, index, &length);
    if (!pac_utf8_valid(text, length)) {
      lpac_report_at(ck, fields->name, "utf8", "must be valid UTF-8");
    } else {
      check_url_value(ck, fields, text, length, 1);
    }
    return;
  }
  if (lua_type(ck->L, index) != LUA_TTABLE) {
    lpac_report_type(ck, in_path ? "string" : "table", index);
    return;
  }
  check_object(ck, &object, index);
  check_url_fields(ck, fields, index, in_path);
}

int lpac_check_payload(lua_State *L, const pac_operation *op, int index, const lpac_options *options) {
  index = lua_absindex(L, index);
  lua_newtable(L);
  lpac_checker ck = { .L = L, .options = options, .list = lua_gettop(L) };
  if (op->payload == PAC_PAYLOAD_QUERY) {
    if (!lua_isnil(L, index)) {
      check_url_payload(&ck, op->query, index, 0);
    }
  } else if (op->payload == PAC_PAYLOAD_PATH) {
    check_url_payload(&ck, op->path_fields, index, 1);
  } else if (lua_type(L, index) != LUA_TTABLE) {
    lpac_report_type(&ck, "table", index);
  } else {
    check_object(&ck, op->body, index);
  }
  check_query_option(&ck, op);
  check_organization(&ck, op);
  lua_settop(L, ck.list);
  return ck.count;
}

/* core.check(operation, payload, options) -> true, or nil and the violations.
** Raises for an unknown operation and for options of a wrong type. */
static int check(lua_State *L) {
  lpac_options options;
  lua_settop(L, 3);
  const pac_operation *op = lpac_check_operation(L, 1);
  lpac_options_read(L, 3, &options);
  if (lpac_check_payload(L, op, 2, &options) == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

void lpac_check_register(lua_State *L) {
  lua_pushcfunction(L, check);
  lua_setfield(L, -2, "check");
}
