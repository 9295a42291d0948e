/* paciolan.messages.parse. It never raises for a text, and what it returns is a
** message in its documented form or nil and an error. */
#include "fuzz.h"

#include "lua_state.h"

static const char chunk[] = "return dofile('fuzz/message.lua')\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  if (L == NULL) {
    L = fuzz_lua_open(chunk);
  }
  fuzz_lua_call(L, (const char *)data, size);
  return 0;
}
