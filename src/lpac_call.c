/* lpac_call.c: the steps of one call that C decides: headers, verdict, waits. */
#include <string.h>
#include <time.h>

#include "lpac.h"
#include "pac_backoff.h"
#include "pac_outcome.h"
#include "pac_random.h"
#include "pac_request.h"
#include "pac_time.h"
#include "pac_uri.h"
#include "pac_uuid.h"

/* Borrows a text field of the table at index; anything but a string counts as
** not given. The table keeps it alive. */
static pac_text field_text(lua_State *L, int index, const char *name) {
  pac_text text = { NULL, 0 };
  if (lpac_rawgetfield(L, index, name) == LUA_TSTRING) {
    text.data = lua_tolstring(L, -1, &text.length);
  }
  lua_pop(L, 1);
  return text;
}

static int64_t field_integer(lua_State *L, int index, const char *name, int64_t otherwise) {
  int64_t value;
  lua_getfield(L, index, name);
  if (!lpac_to_integer(L, -1, &value)) {
    value = otherwise;
  }
  lua_pop(L, 1);
  return value;
}

static int field_boolean(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  int value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static int push_failure(lua_State *L, const char *message) {
  lua_pushnil(L);
  lua_pushstring(L, message);
  return 2;
}

/* core.headers(operation, identity) -> ordered list of { name, value }, or nil
** and a message that names the header. identity: user_agent, application_id,
** api_key, channel_code, organization_id, authorization, request_id. */
static int headers(lua_State *L) {
  pac_header list[PAC_REQUEST_MAX_HEADERS];
  size_t count = 0;
  pac_err err = { 0 };
  const pac_operation *op = lpac_check_operation(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  pac_identity identity = {
    .user_agent = field_text(L, 2, "user_agent"),
    .application_id = field_text(L, 2, "application_id"),
    .api_key = field_text(L, 2, "api_key"),
    .channel_code = field_text(L, 2, "channel_code"),
    .organization_id = field_text(L, 2, "organization_id"),
    .authorization = field_text(L, 2, "authorization"),
    .request_id = field_text(L, 2, "request_id"),
  };
  if (pac_request_headers(op, &identity, list, &count, &err) != PAC_OK) {
    return push_failure(L, err.message);
  }
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    lua_createtable(L, 2, 0);
    lua_pushstring(L, list[i].name);
    lua_rawseti(L, -2, 1);
    lua_pushlstring(L, list[i].value.data, list[i].value.length);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static pac_phase phase_of(pac_text name) {
  if (name.data == NULL) {
    return PAC_PHASE_ANSWERED;
  }
  return strcmp(name.data, "not_sent") == 0 ? PAC_PHASE_NOT_SENT : PAC_PHASE_UNKNOWN;
}

static pac_kind kind_of(lua_State *L, pac_text name) {
  for (int kind = PAC_KIND_AUTH; name.data != NULL && kind <= PAC_KIND_CANCELED; kind++) {
    if (strcmp(name.data, pac_kind_name((pac_kind)kind)) == 0) {
      return (pac_kind)kind;
    }
  }
  if (name.data != NULL) {
    luaL_error(L, "a transport gave a failure kind that does not exist");
  }
  return PAC_KIND_NONE;
}

static void set_text(lua_State *L, const char *key, const char *text) {
  if (text != NULL) {
    lua_pushstring(L, text);
    lua_setfield(L, -2, key);
  }
}

static void push_verdict(lua_State *L, const pac_verdict *verdict) {
  lua_createtable(L, 0, 6);
  set_text(L, "next", pac_next_name(verdict->next));
  set_text(L, "kind", pac_kind_name(verdict->kind));
  set_text(L, "outcome", pac_fate_name(verdict->fate));
  set_text(L, "action", verdict->action);
  lua_pushboolean(L, verdict->retryable);
  lua_setfield(L, -2, "retryable");
  if (verdict->retry_after_ms >= 0) {
    lpac_push_integer(L, verdict->retry_after_ms);
    lua_setfield(L, -2, "retry_after_ms");
  }
}

/* core.judge(operation, facts) -> { next, kind, outcome, retryable, action,
** retry_after_ms }. facts: phase and failure (from the transport, when nothing
** was answered); status, is_json, has_error, error_type, error_code,
** has_failure, has_success, state, retry_after (the header's text); retries, repeats,
** rotated. */
static int judge(lua_State *L) {
  const pac_operation *op = lpac_check_operation(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  pac_text type = field_text(L, 2, "error_type");
  pac_text code = field_text(L, 2, "error_code");
  pac_text state = field_text(L, 2, "state");
  pac_text retry_after = field_text(L, 2, "retry_after");
  pac_facts facts = {
    .phase = phase_of(field_text(L, 2, "phase")),
    .failure = kind_of(L, field_text(L, 2, "failure")),
    .status = (int)field_integer(L, 2, "status", 0),
    .is_json = field_boolean(L, 2, "is_json"),
    .has_error = field_boolean(L, 2, "has_error"),
    .error_type = type.data,
    .error_type_length = type.length,
    .error_code = code.data,
    .error_code_length = code.length,
    .has_failure = field_boolean(L, 2, "has_failure"),
    .has_success = field_boolean(L, 2, "has_success"),
    .state = state.data,
    .state_length = state.length,
    .retry_after_ms = -1,
    .retries = (int)field_integer(L, 2, "retries", 0),
    .repeats = (int)field_integer(L, 2, "repeats", 0),
    .rotated = field_boolean(L, 2, "rotated"),
  };
  int64_t wait_ms;
  if (retry_after.data != NULL &&
      pac_time_parse_retry_after(retry_after.data, retry_after.length, pac_time_now_ms(), &wait_ms) == PAC_OK) {
    facts.retry_after_ms = wait_ms;
  }
  pac_verdict verdict = pac_outcome_judge(op, &facts);
  push_verdict(L, &verdict);
  return 1;
}

/* --- small tools of a call ------------------------------------------------------- */

/* core.request_id() -> a new UUID v4, or nil and a message. */
static int request_id(lua_State *L) {
  char text[PAC_UUID_SIZE];
  if (pac_uuid_v4(text) != PAC_OK) {
    return push_failure(L, "the system gives no random bytes");
  }
  lua_pushstring(L, text);
  return 1;
}

/* core.backoff_ms(attempt) -> full-jitter wait before that repetition, from 1. */
static int backoff_ms(lua_State *L) {
  double draw = 0;
  int attempt = (int)luaL_checkinteger(L, 1);
  if (pac_random_double(&draw) != PAC_OK) {
    return push_failure(L, "the system gives no random bytes");
  }
  lpac_push_integer(L, pac_backoff_full_jitter_ms(attempt, PAC_BACKOFF_BASE_MS, PAC_BACKOFF_CAP_MS, draw));
  return 1;
}

/* core.random() -> a number in [0, 1) from the system's generator. */
static int random_double(lua_State *L) {
  double draw = 0;
  if (pac_random_double(&draw) != PAC_OK) {
    return push_failure(L, "the system gives no random bytes");
  }
  lua_pushnumber(L, draw);
  return 1;
}

/* core.sleep(ms): blocks the calling thread for that long. */
static int sleep_ms(lua_State *L) {
  lua_Number ms = luaL_checknumber(L, 1);
  luaL_argcheck(L, ms >= 0 && ms <= 86400000.0, 1, "must be 0 to one day, in milliseconds");
  struct timespec left = { .tv_sec = (time_t)(ms / 1000) };
  left.tv_nsec = (long)((ms - (lua_Number)left.tv_sec * 1000) * 1000000);
  while (nanosleep(&left, &left) != 0) {
  }
  return 0;
}

/* core.now_ms() -> unix time in milliseconds. */
static int now_ms(lua_State *L) {
  lpac_push_integer(L, pac_time_now_ms());
  return 1;
}

/* core.monotonic_ms() -> milliseconds of a clock that never goes back. */
static int monotonic_ms(lua_State *L) {
  lpac_push_integer(L, pac_time_monotonic_ms());
  return 1;
}

/* core.parse_time(text) -> unix milliseconds and whether a zone was written, or
** nil and a message. The forms are those of contract 7 row 28. */
static int parse_time(lua_State *L) {
  size_t length;
  pac_instant instant;
  const char *text = luaL_checklstring(L, 1, &length);
  if (pac_time_parse(text, length, &instant) != PAC_OK) {
    return push_failure(L, "not a time in one of the documented forms");
  }
  lpac_push_integer(L, instant.unix_ms);
  lua_pushboolean(L, instant.has_zone);
  return 2;
}

/* core.check_base_url(url) -> true, or nil and the rule that it breaks. */
static int check_base_url(lua_State *L) {
  size_t length;
  pac_err err = { 0 };
  const char *text = luaL_checklstring(L, 1, &length);
  if (pac_uri_check_base(text, length, &err) != PAC_OK) {
    return push_failure(L, err.message);
  }
  lua_pushboolean(L, 1);
  return 1;
}

typedef int (*text_test)(const char *text, size_t length);

static int push_test(lua_State *L, text_test test) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  lua_pushboolean(L, test(text, length));
  return 1;
}

static int is_header_name(lua_State *L) {
  return push_test(L, pac_request_name_valid);
}

static int is_header_value(lua_State *L) {
  return push_test(L, pac_request_value_valid);
}

static int is_reserved_header(lua_State *L) {
  return push_test(L, pac_request_name_reserved);
}

static int is_user_agent(lua_State *L) {
  return push_test(L, pac_request_user_agent_valid);
}

static int is_utf8(lua_State *L) {
  return push_test(L, pac_utf8_valid);
}

static int is_uuid_v4(lua_State *L) {
  return push_test(L, pac_uuid_is_v4);
}

void lpac_call_register(lua_State *L) {
  static const luaL_Reg functions[] = { { "backoff_ms", backoff_ms },
                                        { "check_base_url", check_base_url },
                                        { "headers", headers },
                                        { "is_header_name", is_header_name },
                                        { "is_header_value", is_header_value },
                                        { "is_reserved_header", is_reserved_header },
                                        { "is_user_agent", is_user_agent },
                                        { "is_utf8", is_utf8 },
                                        { "is_uuid_v4", is_uuid_v4 },
                                        { "judge", judge },
                                        { "monotonic_ms", monotonic_ms },
                                        { "now_ms", now_ms },
                                        { "parse_time", parse_time },
                                        { "random", random_double },
                                        { "request_id", request_id },
                                        { "sleep", sleep_ms },
                                        { NULL, NULL } };
  luaL_setfuncs(L, functions, 0);
}
