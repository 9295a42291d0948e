-- Builds the checkout it lies in: luarocks make
--
-- build.type is "make", not "builtin", because the local server (libmicrohttpd) and the stores in SQLite and Redis
-- (hiredis) are built only where their libraries are, which "builtin" cannot express, and because pkg-config finds curl,
-- OpenSSL and zlib where they are on Debian (multiarch), Alpine and macOS without CURL_INCDIR and the like on the command
-- line. It needs GNU make, pkg-config and a C compiler. With Homebrew, let PKG_CONFIG_PATH name the directories of its
-- curl, openssl and zlib. For LuaJIT, which LuaRocks counts as 5.1 and which is the Lua of nginx and OpenResty:
--   luarocks --lua-version 5.1 make LUA_INCDIR=/usr/include/luajit-2.1
-- with lua_interpreter = "luajit" in the configuration of LuaRocks, for the command that it installs.
rockspec_format = "3.0"
package = "paciolan"
version = "dev-1"
source = {
  url = "git+file://.", -- never fetched: `luarocks make` takes the files that lie beside this one
}
description = {
  summary = "The Paciolan Link API for Lua, with a C core",
  detailed = [[
    A client for ticket marketplaces: payload rules checked before the wire, token rotation, retries that cannot sell a
    seat twice, and a sandbox that behaves like the service. For Lua 5.4 and LuaJIT, and inside nginx and OpenResty.
  ]],
  license = "MIT",
}
dependencies = {
  -- For LuaJIT, which LuaRocks counts as Lua 5.1; a dependency cannot tell the two apart. PUC Lua 5.1 itself is not
  -- supported: with its headers the build stops and says so.
  "lua >= 5.1",
  "lua-cjson >= 2.1.0",
  "argparse >= 0.7.0",
}
build = {
  type = "make",
  build_target = "rock",
  install_target = "rock-install",
  variables = {
    B = "build-rock",
  },
  build_variables = {
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA_INCDIR = "$(LUA_INCDIR)",
  },
  install_variables = {
    INST_LIBDIR = "$(LIBDIR)",
    INST_LUADIR = "$(LUADIR)",
  },
  install = {
    bin = { "bin/paciolan" },
  },
}
