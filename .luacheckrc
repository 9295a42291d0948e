-- "min" is what Lua 5.1 to 5.4 and LuaJIT have in common, so that nothing slips in that only one of them knows.
std = "min"
max_line_length = 120
cache = false
self = false -- a method need not use the object that it is a method of
exclude_files = { "build*/" }
files["spec"] = {
  std = "+busted",
  read_globals = { package = { fields = { "searchpath" } } }, -- PUC 5.1 lacks it and is no target
}
