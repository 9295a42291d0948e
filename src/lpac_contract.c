/* lpac_contract.c: the operation table as Lua sees it, and the two readers
** that every glue function begins with: an operation's name, an options table. */
#include <string.h>

#include "lpac.h"

const pac_operation *lpac_check_operation(lua_State *L, int index) {
  size_t length;
  const char *name = luaL_checklstring(L, index, &length);
  const pac_operation *op = pac_operation_find(name, length);
  if (op == NULL) {
    luaL_argerror(L, index, "no operation of that name; paciolan.operations() lists them");
  }
  return op;
}

static void read_shapes(lua_State *L, int index, pac_shapes *out) {
  pac_err err = { 0 };
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING) {
      luaL_error(L, "shapes must map names to choices");
    }
    if (pac_shapes_set(out, lua_tostring(L, -2), lua_tostring(L, -1), &err) != PAC_OK) {
      luaL_error(L, "%s", err.message);
    }
    lua_pop(L, 1);
  }
}

/* Borrows a text option. The access is raw, so the string is in the options
** table, which keeps it alive. */
static const char *read_text(lua_State *L, int index, const char *name) {
  const char *text = NULL;
  int type = lpac_rawgetfield(L, index, name);
  if (type == LUA_TSTRING) {
    size_t length;
    text = lua_tolstring(L, -1, &length);
    if (length == 0 || strlen(text) != length) {
      luaL_error(L, "option %s must not be empty or hold NUL", name);
    }
  } else if (type != LUA_TNIL) {
    luaL_error(L, "option %s must be a string", name);
  }
  lua_pop(L, 1);
  return text;
}

void lpac_options_read(lua_State *L, int index, lpac_options *out) {
  memset(out, 0, sizeof *out);
  if (lua_isnoneornil(L, index)) {
    return;
  }
  luaL_checktype(L, index, LUA_TTABLE);
  index = lua_absindex(L, index);
  out->distributor_code = read_text(L, index, "distributor_code");
  out->organization_id = read_text(L, index, "organization_id");
  out->path = read_text(L, index, "path");
  if (lpac_rawgetfield(L, index, "shapes") == LUA_TTABLE) {
    read_shapes(L, lua_gettop(L), &out->shapes);
  } else if (!lua_isnil(L, -1)) {
    luaL_error(L, "option shapes must be a table");
  }
  lua_pop(L, 1);
}

/* --- the table as Lua tables ----------------------------------------------------- */

static void push_fields(lua_State *L, const pac_field *fields);

static void set_text(lua_State *L, const char *key, const char *text) {
  if (text != NULL) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
  }
}

static void set_flag(lua_State *L, const char *key, int flag) {
  if (flag) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, key);
  }
}

static void set_count(lua_State *L, const char *key, uint32_t count) {
  if (count != 0) {
    lua_pushinteger(L, (lua_Integer)count);
    lua_setfield(L, -2, key);
  }
}

static void set_list(lua_State *L, const char *key, const char *const *values) {
  if (values != NULL) {
    lua_newtable(L);
    for (int i = 0; values[i] != NULL; i++) {
      lua_pushstring(L, values[i]);
      lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, key);
  }
}

static void set_rules(lua_State *L, const pac_rule *rules) {
  static const char *const kinds[] = {
    [PAC_REQUIRED_WHEN] = "required_when",
    [PAC_REQUIRED_WITH] = "required_with",
    [PAC_REQUIRED_WITHOUT_OPTION] = "required_without_option",
    [PAC_REQUIRED_BY_SWITCH] = "required_by_switch",
    [PAC_NEEDS_OPTION] = "needs_option",
    [PAC_ANY_OF] = "any_of",
    [PAC_ONE_OF] = "one_of",
    [PAC_AT_MOST_ONE_BY_SWITCH] = "at_most_one_by_switch",
    [PAC_AS_GIVEN_WHEN] = "as_given_when",
  };
  if (rules == NULL) {
    return;
  }
  lua_newtable(L);
  for (int i = 0; rules[i].kind != PAC_NO_RULE; i++) {
    lua_newtable(L);
    set_text(L, "kind", kinds[rules[i].kind]);
    set_text(L, "field", rules[i].field);
    set_text(L, "other", rules[i].other);
    set_list(L, "values", rules[i].values);
    set_text(L, "shape", pac_switches[rules[i].by].name);
    set_text(L, "source", rules[i].source);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "rules");
}

static void push_field(lua_State *L, const pac_field *field) {
  static const char *const formats[] = {
    [PAC_ANY_TEXT] = NULL, [PAC_DIGITS] = "digits", [PAC_DATE] = "date", [PAC_CALLBACK_URL] = "callback_url"
  };
  lua_newtable(L);
  set_text(L, "name", field->name);
  set_text(L, "alias", field->alias);
  set_text(L, "type", pac_type_name(field->type));
  set_text(L, "format", formats[field->format]);
  set_flag(L, "required", field->flags & PAC_REQUIRED);
  set_flag(L, "nullable", field->flags & PAC_NULLABLE);
  set_flag(L, "personal", field->flags & PAC_PERSONAL);
  set_flag(L, "secret", field->flags & PAC_SECRET);
  set_count(L, "min_items", field->min_items);
  set_count(L, "max_items", field->max_items);
  set_count(L, "batch_items", field->batch_items);
  set_text(L, "shape", pac_switches[field->by].name);
  set_text(L, "option", field->option);
  set_list(L, "values", field->values);
  set_text(L, "doc", field->doc);
  set_text(L, "source", field->source);
  if (field->object != NULL) {
    set_text(L, "shorthand", field->object->shorthand);
    push_fields(L, field->object->fields);
    lua_setfield(L, -2, "fields");
    set_rules(L, field->object->rules);
  }
}

static void push_fields(lua_State *L, const pac_field *fields) {
  luaL_checkstack(L, 10, "operation table too deep");
  lua_newtable(L);
  for (int i = 0; fields != NULL && fields[i].name != NULL; i++) {
    push_field(L, &fields[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

static void set_object(lua_State *L, const char *key, const pac_object *object) {
  if (object != NULL) {
    lua_newtable(L);
    push_fields(L, object->fields);
    lua_setfield(L, -2, "fields");
    set_rules(L, object->rules);
    lua_setfield(L, -2, key);
  }
}

static void set_errors(lua_State *L, const pac_error_row *errors) {
  lua_newtable(L);
  for (int i = 0; errors != NULL && errors[i].type != NULL; i++) {
    lua_newtable(L);
    set_text(L, "type", errors[i].type);
    set_text(L, "app_error_code", errors[i].app_error_code);
    set_count(L, "status", (uint32_t)errors[i].status);
    lua_pushinteger(L, errors[i].retries);
    lua_setfield(L, -2, "retries");
    set_text(L, "action", errors[i].action);
    set_text(L, "meaning", errors[i].meaning);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "errors");
}

static void push_operation(lua_State *L, const pac_operation *op) {
  static const char *const effects[] = { [PAC_READ] = "read", [PAC_REPEATABLE] = "repeatable", [PAC_ONCE] = "once" };
  static const char *const organizations[] = {
    [PAC_ORGANIZATION_NEVER] = "never", [PAC_ORGANIZATION_OFFERED] = "offered", [PAC_ORGANIZATION_REQUIRED] = "required"
  };
  static const char *const payloads[] = {
    [PAC_PAYLOAD_BODY] = "body", [PAC_PAYLOAD_QUERY] = "query", [PAC_PAYLOAD_PATH] = "path"
  };
  lua_newtable(L);
  set_text(L, "name", op->name);
  set_text(L, "method", op->method);
  set_text(L, "path", op->path);
  set_text(L, "lua", op->lua);
  set_text(L, "payload", payloads[op->payload]);
  set_text(L, "effect", effects[op->effect]);
  set_text(L, "organization", organizations[op->organization]);
  set_flag(L, "anonymous", op->anonymous);
  set_text(L, "state", op->state);
  set_flag(L, "state_told", op->state_told);
  set_text(L, "answers", op->answers);
  set_text(L, "doc", op->doc);
  set_text(L, "source", op->source);
  push_fields(L, op->path_fields);
  lua_setfield(L, -2, "path_fields");
  push_fields(L, op->query);
  lua_setfield(L, -2, "query");
  set_object(L, "body", op->body);
  set_object(L, "answer", op->answer);
  lua_getfield(L, -1, "answer");
  set_flag(L, "list", op->answers_list);
  lua_pop(L, 1);
  set_errors(L, op->errors);
}

/* core.operations() -> list of operations in the order of their names. A new
** table each time: nobody can change what others see. */
static int operations(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; pac_operation_at(i) != NULL; i++) {
    push_operation(L, pac_operation_at(i));
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

/* core.messages() -> { events = { fields, doc, source }, seats = …,
** metadata = { fields } } */
static int messages(lua_State *L) {
  lua_newtable(L);
  for (const pac_message *message = pac_messages; message->name != NULL; message++) {
    set_object(L, message->name, message->item);
    lua_getfield(L, -1, message->name);
    set_text(L, "doc", message->doc);
    set_text(L, "source", message->source);
    lua_pop(L, 1);
  }
  set_object(L, "metadata", &pac_message_metadata);
  return 1;
}

/* core.shapes() -> { name = { choices = {…}, doc = … } }; the first choice is
** the default. */
static int shapes(lua_State *L) {
  lua_newtable(L);
  for (int s = 1; s < PAC_SWITCH_COUNT; s++) {
    lua_newtable(L);
    set_list(L, "choices", pac_switches[s].choices);
    set_text(L, "doc", pac_switches[s].doc);
    lua_setfield(L, -2, pac_switches[s].name);
  }
  return 1;
}

void lpac_contract_register(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "messages", messages }, { "operations", operations }, { "shapes", shapes }, { NULL, NULL }
  };
  luaL_setfuncs(L, functions, 0);
}
