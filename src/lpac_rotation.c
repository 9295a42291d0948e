/* lpac_rotation.c: the rotation decision, and what else auth.lua asks of the core. */
#include "lpac.h"
#include "pac_digest.h"
#include "pac_random.h"
#include "pac_rotation.h"
#include "pac_time.h"

static int flag(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  int value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static int64_t time_of(lua_State *L, const char *name) {
  int64_t value;
  lua_getfield(L, 1, name);
  if (!lpac_to_integer(L, -1, &value)) {
    value = 0;
  }
  lua_pop(L, 1);
  return value;
}

/* core.rotation(state, jitter, clock_skew_ms) -> "use", "use_and_refresh",
** "refresh", "exchange" or "fail". state: has_access, has_refresh, has_code,
** rejected (booleans); issued_at_ms, expires_at_ms, retry_not_before_ms (unix
** milliseconds, nil or 0 for unknown); now_ms. jitter: this caller's draw from
** [0, 1), kept for its life. */
static int rotation(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  pac_rotation_policy policy = pac_rotation_default_policy(luaL_checknumber(L, 2));
  policy.clock_skew_ms = (int64_t)luaL_optnumber(L, 3, (lua_Number)policy.clock_skew_ms);
  pac_rotation_state state = {
    .has_access = flag(L, "has_access"),
    .has_refresh = flag(L, "has_refresh"),
    .has_code = flag(L, "has_code"),
    .issued_at_ms = time_of(L, "issued_at_ms"),
    .expires_at_ms = time_of(L, "expires_at_ms"),
    .retry_not_before_ms = time_of(L, "retry_not_before_ms"),
    .rejected = flag(L, "rejected"),
  };
  int64_t now_ms = time_of(L, "now_ms");
  lua_pushstring(L, pac_rotation_name(pac_rotation_decide(&state, &policy, now_ms)));
  return 1;
}

/* core.cool_off_ms(failures) -> the pause after that many failed refreshes. */
static int cool_off_ms(lua_State *L) {
  double draw = 0;
  int failures = (int)luaL_checkinteger(L, 1);
  if (pac_random_double(&draw) != PAC_OK) {
    draw = 0.5; /* without randomness: the middle */
  }
  lua_pushnumber(L, (lua_Number)pac_rotation_cool_off_ms(failures, draw));
  return 1;
}

/* core.fingerprint(text) -> SHA-256 in hex: a credential's name where it must
** not stand itself. Raises where OpenSSL cannot do it. */
static int fingerprint(lua_State *L) {
  char hex[PAC_FINGERPRINT_SIZE];
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  if (pac_digest_fingerprint(text, length, hex) != PAC_OK) {
    return luaL_error(L, "OpenSSL gives no SHA-256");
  }
  lua_pushstring(L, hex);
  return 1;
}

void lpac_rotation_register(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "cool_off_ms", cool_off_ms }, { "fingerprint", fingerprint }, { "rotation", rotation }, { NULL, NULL }
  };
  luaL_setfuncs(L, functions, 0);
}
