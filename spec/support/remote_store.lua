--- A store inside nginx, as an object of the spec's process: each of its methods runs inside a worker. So the contract
-- that every store keeps can be shown of those that exist in nginx only.
--
--     local store = remote_store.new(server, 'require("paciolan.store").shdict "name"')
--
-- A worker keeps the store that it opened, by the text that opens it.
local errors = require("paciolan.errors")

local remote_store = {}

local CALL = [[
  local opening, name, count, arguments = ...
  local stores = package.loaded["remote stores"] or {}
  package.loaded["remote stores"] = stores
  stores[opening] = stores[opening] or assert(loadstring("return " .. opening))()
  local values = {}
  for i = 1, count do
    values[i] = arguments[i].value
  end
  local value, err = stores[opening][name](stores[opening], unpack(values, 1, count))
  return value, err and { kind = err.kind, message = err.message, outcome = err.outcome } or nil
]]

local Store = {}
Store.__index = Store

function Store:__tostring()
  return "a remote store" .. (self.is_closed and " (closed)" or "")
end

-- The checks of arguments come from the store that answers.
for _, name in ipairs { "get", "put", "add", "replace", "remove", "list" } do
  Store[name] = function(self, ...)
    assert(getmetatable(self) == Store, "call it with a colon")
    assert(not self.is_closed, "the store is closed")
    local arguments = {}
    for i = 1, select("#", ...) do
      arguments[i] = { value = (select(i, ...)) }
    end
    local value, err = self.server:run(CALL, self.opening, name, select("#", ...), arguments)
    return value, err and errors.new(err) or nil
  end
end

function Store:close()
  self.is_closed = true
  return true
end

--- @tparam table server of support.openresty
-- @tparam string opening a Lua expression that gives the store, for the worker
-- @treturn table the store
function remote_store.new(server, opening)
  return setmetatable({ server = server, opening = opening }, Store)
end

return remote_store
