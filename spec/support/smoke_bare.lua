--- What an installation without the optional libraries must do. Run by spec/install with the directory that everything
-- must come from.
local root = arg[1]
local paciolan = require("paciolan")

for name, package_name in pairs { sqlite = "libsqlite3-dev", redis = "libhiredis-dev" } do
  assert(not package.searchpath("paciolan." .. name, root .. "/lib/lua/5.4/?.so"), name .. " was built all the same")
  local ok, message = pcall(paciolan.store[name], name == "sqlite" and "x.db" or "redis://localhost")
  assert(not ok, name .. " works without its module")
  assert(message:find(package_name, 1, true), "not named: " .. package_name .. "; said was: " .. message)
end
local store = paciolan.store.open("memory")
assert(store:put("a", "1") and store:get("a") == "1")
