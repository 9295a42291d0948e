--- Which transport a program gets that names none: in nginx the one over cosockets, everywhere else libcurl's.
-- @module paciolan.transport
local phases = require "paciolan.phases"

local transport = {}

-- What nginx decides for all cosockets, and no program can.
local elsewhere = {
  ca_file = "in nginx the trusted certificates come from the directive lua_ssl_trusted_certificate; leave ca_file out",
  proxy = "cosockets of nginx go through no proxy; leave proxy out, or give a curl transport with allow_blocking ="
    .. " true, which blocks the worker",
}

--- Opens the transport of this place.
-- @tparam table options `connect_timeout_ms`, `timeout_ms`, `max_answer_bytes`, `connect_to`, as of both transports;
-- `ca_file` and `proxy` as of `paciolan.transport.curl`. An empty `proxy`, which means none, is right in nginx too
-- @treturn table the transport
-- @raise for an option that has no meaning here
function transport.default(options)
  if not phases.nginx() then
    return require("paciolan.transport.curl").new(options)
  end
  local given = {}
  for name, value in pairs(options) do
    given[name] = value
  end
  if given.proxy == "" then
    given.proxy = nil
  end
  for name, advice in pairs(elsewhere) do
    if given[name] ~= nil then
      error(advice, 0)
    end
  end
  return require("paciolan.transport.nginx").new(given)
end

return transport
