--- A read of the catalog by the cosocket transport alone, as `link.catalog:events` makes it.
local core = require "paciolan.core"
local nginx = require "paciolan.transport.nginx"

local bare = {}

local transport

--- Sends the request and waits for the answer; raises for a failure.
-- @tparam string base_url
function bare.send(base_url)
  transport = transport or nginx.new {}
  local headers = core.headers("catalog.events", {
    user_agent = "Bench/1.0.0", application_id = "com.mycompany.bench", api_key = "key", channel_code = "bench",
    organization_id = "999", authorization = "Bearer token", request_id = core.request_id(),
  })
  assert(transport:send { method = "GET", url = base_url .. "/v1/catalog/events", headers = headers, gzip = true })
end

return bare
