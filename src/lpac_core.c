/* lpac_core.c: luaopen_paciolan_core, the table of contents of the glue. */
#include "lpac.h"

void lpac_register_type(lua_State *L, const char *name, const luaL_Reg *metamethods, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, metamethods, 0);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

LPAC_EXPORT int luaopen_paciolan_core(lua_State *L) {
  lua_newtable(L);
  lua_pushliteral(L, PAC_VERSION);
  lua_setfield(L, -2, "version");
  lpac_answer_register(L);
  lpac_basic_register(L);
  lpac_call_register(L);
  lpac_check_register(L);
  lpac_contract_register(L);
  lpac_http_register(L);
  lpac_http1_register(L);
  lpac_json_register(L);
  lpac_redact_register(L);
  lpac_rotation_register(L);
  lpac_sns_register(L);
  lpac_wire_register(L);
  return 1;
}
