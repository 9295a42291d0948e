-- What the client adds to the bare transport, for the same GET over a kept connection (`make bench`).
local core = require "paciolan.core"
local measure = require "measure"
local paciolan = require "paciolan"
local sandbox = require "paciolan.sandbox.child"

local box = sandbox.start { seed = "bench" }
local link = paciolan.new(box:client_options())
local token = assert(link.auth:token())
local transport = require("paciolan.transport.curl").new()

local headers = core.headers("listings.get", {
  user_agent = box.user_agent, application_id = box.application_id, api_key = box.api_key,
  channel_code = box.channel_code, authorization = "Bearer " .. token.accessToken, request_id = core.request_id(),
})
local request = { method = "GET", url = box.base_url .. "/v1/listings/A3qnemZ", headers = headers, gzip = true }

measure.compare("listings.get", 1000, {
  { "transport:send", function() assert(transport:send(request)) end },
  { "link.listings:get", function() assert(link.listings:get("A3qnemZ")) end },
})

link:close()
transport:close()
box:stop()
