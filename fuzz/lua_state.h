/* lua_state.h: a Lua 5.4 for fuzzers of Lua code, with the core of the library
** linked in. */
#ifndef PAC_FUZZ_LUA_STATE_H
#define PAC_FUZZ_LUA_STATE_H

#include "lpac_compat.h"

/* Runs a chunk of Lua that returns a function; ends the program when it cannot.
** The Lua files of the library are found from the root of the checkout.
** Returns: a state with that function on top of its stack, for the life of the
** program. */
lua_State *fuzz_lua_open(const char *chunk);

/* Calls the function with the text; whatever it raises ends the program. */
void fuzz_lua_call(lua_State *L, const char *text, size_t length);

#endif
