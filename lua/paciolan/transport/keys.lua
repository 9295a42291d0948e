--- Which keys a request has, whichever transport sends it, and the check of tables of options and requests.
-- @module paciolan.transport.keys
local errors = require "paciolan.errors"

local keys = {}

--- The keys of a request, as `paciolan.transport.curl` tells of them.
keys.REQUEST = {
  method = true, url = true, headers = true, body = true, connect_timeout_ms = true, timeout_ms = true,
  single_use = true, gzip = true,
}

--- Checks that something is a table with keys of a kind.
-- @param given
-- @tparam table allowed `{ [key] = true }`
-- @tparam string place for messages
-- @raise otherwise, at the line that called the function which calls this
function keys.check(given, allowed, place)
  if type(given) ~= "table" then
    error(place .. ": a table is expected", 3)
  end
  for key in pairs(given) do
    if not allowed[key] then
      error(("%s: unknown key %s"):format(place, errors.shown(key)), 3)
    end
  end
end

return keys
