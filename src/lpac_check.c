/* lpac_check.c: a Lua value against the field table of an operation.
**
** The walk follows the table, not the value, so depth is bounded by the table
** whatever the value does (cycles, metatables, foreign keys). All access is
** raw. Every violation is reported, up to MAX_VIOLATIONS, with the place as a
** JSON Pointer (RFC 6901, list items from 0) and the rule, never the value. */
#include <stdio.h>
#include <string.h>

#include "lpac.h"
#include "pac_time.h"
#include "pac_uri.h"

#define MAX_DEPTH      12
#define MAX_VIOLATIONS 1000 /* a payload that is wrong in more places is no typing mistake */

typedef struct step {
  const char *name; /* NULL: a list item */
  size_t length;
  int index; /* from 0 */
} step;

typedef struct checker {
  lua_State *L;
  const lpac_options *options;
  int list; /* stack index of the violations */
  int count;
  int as_given; /* names and types only */
  int depth;
  step path[MAX_DEPTH];
} checker;

static void check_object(checker *ck, const pac_object *object, int index);

/* --- the place ------------------------------------------------------------- */

static void enter(checker *ck, const char *name, size_t length, int index) {
  if (ck->depth < MAX_DEPTH) {
    ck->path[ck->depth] = (step){ name, length, index };
  }
  ck->depth++;
}

static void enter_field(checker *ck, const char *name) {
  enter(ck, name, strlen(name), 0);
}

static void leave(checker *ck) {
  ck->depth--;
}

/* A key that a caller wrote is shown only when it looks like a field name: a
** table keyed by tokens or addresses must not end up in an error text. */
static int is_plain_name(const char *name, size_t length) {
  if (length == 0 || length > 40 || (name[0] >= '0' && name[0] <= '9')) {
    return 0;
  }
  for (size_t i = 0; i < length; i++) {
    char c = name[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) {
      return 0;
    }
  }
  return 1;
}

static void push_path(const checker *ck) {
  char text[MAX_DEPTH * 44];
  size_t length = 0;
  for (int i = 0; i < ck->depth && i < MAX_DEPTH; i++) {
    const step *s = &ck->path[i];
    int written;
    if (s->name == NULL) {
      written = snprintf(text + length, sizeof text - length, "/%d", s->index);
    } else if (is_plain_name(s->name, s->length)) {
      written = snprintf(text + length, sizeof text - length, "/%.*s", (int)s->length, s->name);
    } else {
      written = snprintf(text + length, sizeof text - length, "/?");
    }
    length += (size_t)written;
  }
  lua_pushlstring(ck->L, text, length);
}

static void report(checker *ck, const char *rule, const char *format, ...) PAC_PRINTF(3, 4);

static void report(checker *ck, const char *rule, const char *format, ...) {
  lua_State *L = ck->L;
  char message[256];
  va_list args;
  if (ck->count >= MAX_VIOLATIONS) {
    return;
  }
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  lua_createtable(L, 0, 3);
  push_path(ck);
  lua_setfield(L, -2, "path");
  lua_pushstring(L, rule);
  lua_setfield(L, -2, "rule");
  lua_pushstring(L, message);
  lua_setfield(L, -2, "message");
  lua_rawseti(L, ck->list, ++ck->count);
}

/* Reports at a field of the object that is being checked. */
static void report_at(checker *ck, const char *field, const char *rule, const char *message) {
  enter_field(ck, field);
  report(ck, rule, "%s", message);
  leave(ck);
}

static const char *type_of(lua_State *L, int index) {
  return lpac_is_null(L, index) ? "null" : luaL_typename(L, index);
}

static void report_type(checker *ck, const char *wanted, int index) {
  report(ck, "type", "must be a %s, not %s", wanted, type_of(ck->L, index));
}

/* --- scalars ---------------------------------------------------------------- */

/* "A, B or C" */
static void join_values(const char *const *values, char *out, size_t size) {
  size_t length = 0;
  out[0] = '\0';
  for (size_t i = 0; values[i] != NULL && length < size; i++) {
    const char *glue = i == 0 ? "" : values[i + 1] == NULL ? " or " : ", ";
    int written = snprintf(out + length, size - length, "%s%s", glue, values[i]);
    length += (size_t)written;
  }
}

static int holds_one_of(const char *const *values, const char *text, size_t length) {
  for (size_t i = 0; values[i] != NULL; i++) {
    if (strlen(values[i]) == length && memcmp(values[i], text, length) == 0) {
      return 1;
    }
  }
  return 0;
}

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

static void check_callback(checker *ck, const char *text, size_t length) {
  pac_err err = { 0 };
  if (ck->options->shapes.choice[PAC_SWITCH_CALLBACK_URL] != 0) {
    if (pac_uri_check_callback(text, length, 1, &err) != PAC_OK) {
      report(ck, "format", "%s", err.message);
    }
  } else if (length == 0 || has_control(text, length)) {
    report(ck, "format", "must be a URL without control characters");
  }
}

static void check_format(checker *ck, const pac_field *field, const char *text, size_t length) {
  int64_t day;
  switch (field->format) {
  case PAC_ANY_TEXT:
    break;
  case PAC_DIGITS:
    if (!all_digits(text, length)) {
      report(ck, "format", "must hold digits only");
    }
    break;
  case PAC_DATE:
    if (pac_time_parse_date(text, length, &day) != PAC_OK) {
      report(ck, "format", "must be a day of the calendar, written YYYY-MM-DD");
    }
    break;
  case PAC_CALLBACK_URL:
    check_callback(ck, text, length);
    break;
  }
}

static void check_text(checker *ck, const pac_field *field, const char *text, size_t length) {
  if (!pac_utf8_valid(text, length)) {
    report(ck, "utf8", "must be valid UTF-8");
    return;
  }
  if (ck->as_given) {
    return;
  }
  if (length == 0 && (field->flags & PAC_REQUIRED)) {
    report(ck, "min_length", "must not be empty");
  } else if (field->values != NULL && !holds_one_of(field->values, text, length)) {
    char values[160];
    join_values(field->values, values, sizeof values);
    report(ck, "enum", "must be %s", values);
  } else {
    check_format(ck, field, text, length);
  }
}

static void check_string(checker *ck, const pac_field *field, int index) {
  size_t length;
  if (lua_type(ck->L, index) != LUA_TSTRING) {
    report_type(ck, "string", index);
    return;
  }
  const char *text = lua_tolstring(ck->L, index, &length);
  check_text(ck, field, text, length);
}

static void check_number(checker *ck, int index) {
  if (lua_type(ck->L, index) != LUA_TNUMBER) {
    report_type(ck, "number", index);
  } else if (!isfinite(lua_tonumber(ck->L, index))) {
    report(ck, "finite", "must be a finite number");
  }
}

static void check_decimal(checker *ck, int index) {
  size_t length;
  if (lua_type(ck->L, index) != LUA_TSTRING) {
    check_number(ck, index);
    return;
  }
  const char *text = lua_tolstring(ck->L, index, &length);
  if (!pac_json_number_valid(text, length)) {
    report(ck, "format", "must be a number, or a string that spells one");
  }
}

static void check_integer(checker *ck, int index) {
  int64_t value;
  if (lua_type(ck->L, index) != LUA_TNUMBER) {
    report_type(ck, "whole number", index);
  } else if (!lpac_to_integer(ck->L, index, &value)) {
    report(ck, "integer", "must be a whole number");
  }
}

static void check_label(checker *ck, const pac_field *field, int index) {
  if (lua_type(ck->L, index) == LUA_TSTRING) {
    check_string(ck, field, index);
  } else if (lua_type(ck->L, index) == LUA_TNUMBER) {
    check_integer(ck, index);
  } else {
    report_type(ck, "string or whole number", index);
  }
}

/* --- lists and objects -------------------------------------------------------- */

int lpac_list_length(lua_State *L, int index) {
  size_t length = lua_rawlen(L, index);
  size_t keys = 0;
  index = lua_absindex(L, index);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pop(L, 1);
    if (++keys > length || lua_type(L, -1) != LUA_TNUMBER) {
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

static void check_count(checker *ck, const pac_field *field, int count) {
  if ((uint32_t)count < field->min_items) {
    report(ck, "min_items", "must hold at least %u item%s", field->min_items, field->min_items == 1 ? "" : "s");
  } else if (field->max_items != 0 && (uint32_t)count > field->max_items) {
    report(ck, "max_items", "must hold at most %u item%s", field->max_items, field->max_items == 1 ? "" : "s");
  }
}

/* Length of the list at index, or -1 after a report. */
static int check_list(checker *ck, const pac_field *field, int index) {
  if (lua_type(ck->L, index) != LUA_TTABLE) {
    report_type(ck, pac_type_name(field->type), index);
    return -1;
  }
  int count = lpac_list_length(ck->L, index);
  if (count < 0) {
    report(ck, "type", "must be a %s: keys 1 to n without holes", pac_type_name(field->type));
  } else {
    check_count(ck, field, count);
  }
  return count;
}

static void check_strings(checker *ck, const pac_field *field, int index) {
  const pac_field item = { .name = "", .type = PAC_STRING, .flags = PAC_REQUIRED };
  int count = check_list(ck, field, index);
  for (int i = 1; i <= count; i++) {
    lpac_rawgeti(ck->L, index, i);
    enter(ck, NULL, 0, i - 1);
    check_string(ck, &item, lua_gettop(ck->L));
    leave(ck);
    lua_pop(ck->L, 1);
  }
}

static void check_item(checker *ck, const pac_object *object, int index) {
  if (lua_type(ck->L, index) == LUA_TSTRING && object->shorthand != NULL) {
    const pac_field *field = pac_field_find(object->fields, object->shorthand, strlen(object->shorthand));
    check_string(ck, field, index);
  } else if (lua_type(ck->L, index) != LUA_TTABLE) {
    report_type(ck, "object", index);
  } else {
    check_object(ck, object, index);
  }
}

static void check_items(checker *ck, const pac_field *field, int index, int count) {
  for (int i = 1; i <= count; i++) {
    lpac_rawgeti(ck->L, index, i);
    enter(ck, NULL, 0, i - 1);
    check_item(ck, field->object, lua_gettop(ck->L));
    leave(ck);
    lua_pop(ck->L, 1);
  }
}

/* 1 when the field goes out as an object under the caller's switches. */
static int goes_out_as_object(const checker *ck, const pac_field *field) {
  const char *choice = pac_switches[field->by].choices[ck->options->shapes.choice[field->by]];
  return strcmp(choice, "object") == 0;
}

/* An object or a list of them, whichever the caller has. */
static void check_shaped(checker *ck, const pac_field *field, int index) {
  if (lua_type(ck->L, index) != LUA_TTABLE) {
    report_type(ck, pac_type_name(field->type), index);
    return;
  }
  int count = lpac_list_length(ck->L, index);
  if (count < 0 || (count == 0 && field->type == PAC_OBJECT)) {
    check_object(ck, field->object, index);
    return;
  }
  check_count(ck, field, count);
  if (count > 1 && goes_out_as_object(ck, field)) {
    report(ck, "max_items", "must hold one item while shapes.%s is \"object\"", pac_switches[field->by].name);
  }
  check_items(ck, field, index, count);
}

static void check_value(checker *ck, const pac_field *field, int index) {
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
      report_type(ck, "boolean", index);
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

/* --- rules between fields ------------------------------------------------------ */

/* Is the field there, JSON null aside? */
static int is_present(checker *ck, const pac_object *object, int index, const char *name) {
  const pac_field *field = pac_field_find(object->fields, name, strlen(name));
  int type = lpac_push_field(ck->L, index, field);
  int present = type != LUA_TNIL && !lpac_is_null(ck->L, -1);
  lua_pop(ck->L, 1);
  return present;
}

/* Does the field named by rule->other hold one of rule->values? */
static int is_when(checker *ck, const pac_object *object, int index, const pac_rule *rule) {
  const pac_field *field = pac_field_find(object->fields, rule->other, strlen(rule->other));
  int holds = 0;
  if (lpac_push_field(ck->L, index, field) == LUA_TSTRING) {
    size_t length;
    const char *text = lua_tolstring(ck->L, -1, &length);
    holds = holds_one_of(rule->values, text, length);
  }
  lua_pop(ck->L, 1);
  return holds;
}

static int has_option(const checker *ck, const char *name) {
  const char *value =
      strcmp(name, "distributor_code") == 0 ? ck->options->distributor_code : ck->options->organization_id;
  return value != NULL;
}

static void require(checker *ck, const pac_object *object, int index, const pac_rule *rule, const char *message) {
  if (!is_present(ck, object, index, rule->field)) {
    report_at(ck, rule->field, "required", message);
  }
}

static void check_pair(checker *ck, const pac_object *object, int index, const pac_rule *rule) {
  char message[128];
  int first = is_present(ck, object, index, rule->field);
  int second = is_present(ck, object, index, rule->other);
  if (!first && !second) {
    snprintf(message, sizeof message, "%s or %s is required", rule->field, rule->other);
    report_at(ck, rule->field, "required", message);
  } else if (first && second && rule->kind == PAC_ONE_OF) {
    snprintf(message, sizeof message, "must not stand beside %s", rule->field);
    report_at(ck, rule->other, "exclusive", message);
  }
}

static void check_single_item(checker *ck, const pac_object *object, int index, const pac_rule *rule) {
  const pac_field *field = pac_field_find(object->fields, rule->field, strlen(rule->field));
  if (lpac_push_field(ck->L, index, field) == LUA_TTABLE && lua_rawlen(ck->L, -1) > 1) {
    report_at(ck, rule->field, "max_items", "must hold at most 1 item, as shapes asks");
  }
  lua_pop(ck->L, 1);
}

static void check_rule(checker *ck, const pac_object *object, int index, const pac_rule *rule) {
  char values[96], message[192];
  switch (rule->kind) {
  case PAC_REQUIRED_WHEN:
    if (is_when(ck, object, index, rule)) {
      join_values(rule->values, values, sizeof values);
      snprintf(message, sizeof message, "is required when %s is %s", rule->other, values);
      require(ck, object, index, rule, message);
    }
    break;
  case PAC_REQUIRED_WITH:
    if (is_present(ck, object, index, rule->other)) {
      snprintf(message, sizeof message, "is required with %s", rule->other);
      require(ck, object, index, rule, message);
    }
    break;
  case PAC_REQUIRED_WITHOUT_OPTION:
    if (!has_option(ck, rule->other)) {
      snprintf(message, sizeof message, "is required unless the option %s is given", rule->other);
      require(ck, object, index, rule, message);
    }
    break;
  case PAC_REQUIRED_BY_SWITCH:
    if (ck->options->shapes.choice[rule->by] != 0) {
      require(ck, object, index, rule, "is required, as shapes asks");
    }
    break;
  case PAC_NEEDS_OPTION:
    if (is_present(ck, object, index, rule->field) && !has_option(ck, rule->other)) {
      snprintf(message, sizeof message, "needs the option %s", rule->other);
      report_at(ck, rule->field, "option", message);
    }
    break;
  case PAC_ANY_OF:
  case PAC_ONE_OF:
    check_pair(ck, object, index, rule);
    break;
  case PAC_AT_MOST_ONE_BY_SWITCH:
    if (ck->options->shapes.choice[rule->by] != 0) {
      check_single_item(ck, object, index, rule);
    }
    break;
  case PAC_AS_GIVEN_WHEN:
  case PAC_NO_RULE:
    break;
  }
}

static int is_as_given(checker *ck, const pac_object *object, int index, const pac_field *field) {
  for (const pac_rule *rule = object->rules; rule != NULL && rule->kind != PAC_NO_RULE; rule++) {
    if (rule->kind == PAC_AS_GIVEN_WHEN && strcmp(rule->field, field->name) == 0) {
      return is_when(ck, object, index, rule);
    }
  }
  return 0;
}

/* --- objects ---------------------------------------------------------------------- */

static void check_field(checker *ck, const pac_object *object, int index, const pac_field *field) {
  lua_State *L = ck->L;
  int before = ck->as_given;
  int type = lpac_push_field(L, index, field);
  enter_field(ck, field->name);
  if (type == LUA_TNIL) {
    if ((field->flags & PAC_REQUIRED) && !ck->as_given) {
      report(ck, "required", "is required");
    }
  } else {
    ck->as_given = before || is_as_given(ck, object, index, field);
    check_value(ck, field, lua_gettop(L));
    ck->as_given = before;
  }
  leave(ck);
  lua_pop(L, 1);
}

static void report_unknown(checker *ck, const pac_object *object, const char *name, size_t length) {
  const char *nearest = pac_field_nearest(object->fields, name, length);
  enter(ck, name, length, 0);
  if (nearest != NULL) {
    report(ck, "unknown", "is not a field of this object; did you mean %s?", nearest);
  } else {
    report(ck, "unknown", "is not a field of this object");
  }
  leave(ck);
}

/* A field under both of its spellings: which one would count? */
static void check_spelling(checker *ck, const pac_field *field, const char *name, int index) {
  if (field->alias != NULL && strcmp(name, field->alias) == 0) {
    lua_pushstring(ck->L, field->name);
    if (lpac_rawget(ck->L, index) != LUA_TNIL) {
      report_at(ck, field->alias, "duplicate", "is given a second time, in the other spelling");
    }
    lua_pop(ck->L, 1);
  }
}

static void check_names(checker *ck, const pac_object *object, int index) {
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
    report(ck, "type", "must be an object: all keys must be field names");
  }
}

static void check_object(checker *ck, const pac_object *object, int index) {
  luaL_checkstack(ck->L, 10, "payload too deep");
  for (const pac_field *field = object->fields; field->name != NULL; field++) {
    check_field(ck, object, index, field);
  }
  for (const pac_rule *rule = object->rules; rule != NULL && rule->kind != PAC_NO_RULE && !ck->as_given; rule++) {
    check_rule(ck, object, index, rule);
  }
  check_names(ck, object, index);
}

/* --- whole payloads ----------------------------------------------------------------- */

/* A value that enters the URL must fit there. */
static void check_url_value(checker *ck, const pac_field *field, const char *text, size_t length, int in_path) {
  char scratch[1024];
  size_t used = 0;
  pac_status status = in_path ? pac_uri_append_segment(scratch, sizeof scratch, &used, text, length)
                              : pac_uri_append_query(scratch, sizeof scratch, &used, text, length);
  if (status == PAC_TOO_LONG) {
    report_at(ck, field->name, "max_length", "is too long for a URL");
  } else if (status != PAC_OK) {
    report_at(ck, field->name, "format", "must not be empty, a dot segment or hold control characters");
  }
}

static void check_url_fields(checker *ck, const pac_field *fields, int index, int in_path) {
  for (const pac_field *field = fields; field->name != NULL; field++) {
    if (lpac_push_field(ck->L, index, field) == LUA_TSTRING) {
      size_t length;
      const char *text = lua_tolstring(ck->L, -1, &length);
      if (length > 0 || in_path) {
        check_url_value(ck, field, text, length, in_path);
      }
    }
    lua_pop(ck->L, 1);
  }
}

static void check_url_payload(checker *ck, const pac_field *fields, int index, int in_path) {
  const pac_object object = { .fields = fields };
  size_t length;
  if (in_path && lua_type(ck->L, index) == LUA_TSTRING) {
    const char *text = lua_tolstring(ck->L, index, &length);
    check_url_value(ck, fields, text, length, 1);
    return;
  }
  if (lua_type(ck->L, index) != LUA_TTABLE) {
    report_type(ck, in_path ? "string" : "table", index);
    return;
  }
  check_object(ck, &object, index);
  check_url_fields(ck, fields, index, in_path);
}

int lpac_check_payload(lua_State *L, const pac_operation *op, int index, const lpac_options *options) {
  index = lua_absindex(L, index);
  lua_newtable(L);
  checker ck = { .L = L, .options = options, .list = lua_gettop(L) };
  if (op->payload == PAC_PAYLOAD_QUERY) {
    if (!lua_isnil(L, index)) {
      check_url_payload(&ck, op->query, index, 0);
    }
  } else if (op->payload == PAC_PAYLOAD_PATH) {
    check_url_payload(&ck, op->path_fields, index, 1);
  } else if (lua_type(L, index) != LUA_TTABLE) {
    report_type(&ck, "table", index);
  } else {
    check_object(&ck, op->body, index);
  }
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
