/* The strict JSON reader. What it accepts, lua-cjson decodes, and to the same
** names and strings; what lua-cjson writes, it accepts; and nothing can be put
** behind a text that is whole. */
#include "fuzz.h"

#include "lua_state.h"
#include "pac_buf.h"
#include "pac_json.h"

static const char chunk[] = "local cjson = require('cjson').new()\n"
                            "cjson.decode_max_depth(64)\n"
                            "cjson.decode_invalid_numbers(false)\n"
                            "encode = cjson.encode\n"
                            "return cjson.decode\n";

/* A shorter text cannot have as many members as are refused. */
#define FEW_MEMBERS ((size_t)4 * PAC_JSON_MAX_MEMBERS)

typedef struct comparison {
  lua_State *L; /* its stack: decode, the decoded text */
  int members;
} comparison;

/* Pushes the value of a string. */
static void push(lua_State *L, const pac_json_string *string) {
  char *text = exact_memory(string->raw.length);
  size_t length = pac_json_decode(string, text);
  DEMAND(length <= string->raw.length);
  DEMAND(string->has_escapes || length == string->raw.length);
  DEMAND(pac_utf8_valid(text, length));
  lua_pushlstring(L, text, length);
  free(text);
}

static int lua_type_of(const pac_json_member *member) {
  static const int types[] = { LUA_TTABLE, LUA_TTABLE, LUA_TSTRING, LUA_TNUMBER };
  if (member->kind != PAC_JSON_WORD) {
    return types[member->kind];
  }
  return member->value.raw.data[0] == 'n' ? LUA_TLIGHTUSERDATA : LUA_TBOOLEAN;
}

static const char *compare(void *context, const pac_json_member *member, pac_err *err) {
  comparison *c = context;
  lua_State *L = c->L;
  (void)err;
  push(L, &member->name);
  lua_rawget(L, 2);
  DEMAND(lua_type(L, -1) == lua_type_of(member));
  if (member->kind == PAC_JSON_STRING) {
    push(L, &member->value);
    DEMAND(lua_rawequal(L, -1, -2));
  }
  lua_settop(L, 2);
  c->members++;
  return NULL;
}

/* The decoded text stands at index 2. */
static void demand_same(lua_State *L, const char *text, size_t length) {
  comparison c = { L, 0 };
  int entries = 0;
  DEMAND(pac_json_read(text, length, PAC_JSON_MAX_DEPTH, compare, &c, NULL) == NULL);
  if (c.members > 0) {
    for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
      entries++;
    }
    DEMAND(entries == c.members);
  }
}

/* The other way round: what lua-cjson makes of a value, which it may have read
** from a text that is refused, is JSON. It cannot write infinity, and it writes
** what is no UTF-8 as it came. */
static void demand_written(lua_State *L) {
  size_t length;
  lua_getglobal(L, "encode");
  lua_pushvalue(L, 2);
  if (lua_pcall(L, 1, 1, 0) == 0) {
    const char *text = lua_tolstring(L, -1, &length);
    const char *reason = pac_json_read(text, length, PAC_JSON_MAX_DEPTH, NULL, NULL, NULL);
    DEMAND(reason == NULL || length > FEW_MEMBERS || !pac_utf8_valid(text, length));
  }
  lua_settop(L, 2);
}

static void demand_whole(const char *text, size_t length) {
  static const char behind[] = " {1\"\0";
  char *longer = exact_memory(length + 1);
  memcpy(longer, text, length);
  for (size_t i = 0; i < sizeof behind - 1; i++) {
    longer[length] = behind[i];
    const char *reason = pac_json_read(longer, length + 1, PAC_JSON_MAX_DEPTH, NULL, NULL, NULL);
    int goes_on = behind[i] == '1' && length > 0 && strchr("0123456789", text[length - 1]) != NULL;
    DEMAND(goes_on || (reason == NULL) == (behind[i] == ' '));
  }
  free(longer);
}

static void demand_reason(const char *reason, const pac_err *err) {
  static const char *const reasons[] = { "bad_utf8", "bad_json", "too_deep", "too_many_members", "duplicate_key" };
  int known = 0;
  for (size_t i = 0; i < COUNT(reasons); i++) {
    known |= strcmp(reason, reasons[i]) == 0;
  }
  DEMAND(known);
  DEMAND(strncmp(err->message, "at byte ", 8) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  const char *text = (const char *)data;
  pac_err err = { 0 };
  if (L == NULL) {
    L = fuzz_lua_open(chunk);
  }
  const char *reason = pac_json_read(text, size, PAC_JSON_MAX_DEPTH, NULL, NULL, &err);
  const char *shallow = pac_json_read(text, size, 4, NULL, NULL, NULL);
  lua_pushvalue(L, 1);
  lua_pushlstring(L, text, size);
  int is_decoded = lua_pcall(L, 1, 1, 0) == 0;
  if (is_decoded) {
    demand_written(L);
  }
  if (reason != NULL) {
    demand_reason(reason, &err);
    DEMAND(shallow != NULL);
  } else {
    DEMAND(shallow == NULL || strcmp(shallow, "too_deep") == 0);
    DEMAND(is_decoded && pac_utf8_valid(text, size));
    demand_same(L, text, size);
    demand_whole(text, size);
  }
  lua_settop(L, 1);
  return 0;
}
