--- A client's place in front of a sandbox without sockets: it is logged in,
-- sends complete headers and reads JSON. Specs change what they are about.
-- @module support.desk

local files = require "support.files"
local json = require "paciolan.sandbox.json"
local sandbox = require "paciolan.sandbox"

local desk = {}

local Desk = {}
Desk.__index = Desk

desk.NOW = 1700000000.25 -- the injected clock; 2023-11-14T22:13:20.25Z
desk.REQUEST_ID = "6f1c2a34-1111-4abc-8def-0123456789ab"

--- Reads a fixture as the sandbox reads JSON.
-- @tparam string name without `.json`
-- @treturn table
function desk.fixture(name)
  return assert(json.decode(files.read("spec/fixtures/" .. name .. ".json")))
end

--- Opens a sandbox and logs in.
-- @tparam[opt] table options for `sandbox.new`
-- @treturn Desk with `box`, `headers`, `tokens` (the answer to the login)
function desk.open(options)
  options = options or {}
  options.clock = options.clock or function() return desk.NOW end
  local self = setmetatable({ box = sandbox.new(options) }, Desk)
  local credentials = self.box:credentials()
  self.headers = {
    ["user-agent"] = credentials.user_agent, accept = "application/json", ["content-type"] = "application/json",
    ["request-id"] = desk.REQUEST_ID, ["pac-application-id"] = credentials.application_id,
    ["pac-api-key"] = credentials.api_key, ["pac-channel-code"] = credentials.channel_code,
    ["pac-organization-id"] = credentials.organization_id,
  }
  local _, tokens = self:call("POST", "/v1/auth/token",
    { grantType = "authorization_code", code = self.box.tokens.codes[1] })
  self.tokens = tokens
  self.headers.authorization = "Bearer " .. tokens.accessToken
  return self
end

--- Sends a request.
-- @tparam string method
-- @tparam string target path, with a query where there is one
-- @tparam[opt] table|string payload a string is sent as it is
-- @tparam[opt] table changes headers to replace; false leaves one out
-- @treturn number status
-- @treturn table decoded body
-- @treturn table the raw answer
function Desk:call(method, target, payload, changes)
  local headers = {}
  for name, value in pairs(self.headers) do
    headers[name] = value
  end
  for name, value in pairs(changes or {}) do
    headers[name] = value or nil
  end
  local path, query = target:match("^([^?]*)%??(.*)$")
  local body = type(payload) == "table" and json.encode(payload) or payload or ""
  local answer = self.box:handle { method = method, path = path, query = query, headers = headers, body = body }
  return answer.status, json.decode(answer.body), answer
end

--- Tokens of seats that nothing was done to yet.
-- @tparam number count
-- @tparam[opt="129:FB30:FB02"] string access_id
-- @treturn table strings
-- @treturn table the seats
function Desk:free_tokens(count, access_id)
  local list, seats = {}, {}
  for _, seat in ipairs(self.box.inventory.seats) do
    local is_free = self.box.inventory:state(seat) == "open"
    if #list < count and is_free and seat.access_id == (access_id or "129:FB30:FB02") then
      list[#list + 1] = seat.token
      seats[#seats + 1] = seat
    end
  end
  return list, seats
end

--- A lock payload for MyAccount seats.
function desk.lock_payload(tokens, listing_id)
  local rows = {}
  for i, token in ipairs(tokens) do
    rows[i] = { token = token, individualPrice = 7 }
  end
  return { source = "MY_ACCOUNT", listing = { externalListingId = listing_id or "L-1", tokens = rows } }
end

--- The order sample with these tokens in it.
function desk.order_payload(tokens, listing_id, order_id)
  local payload = desk.fixture("complete-order.request")
  local listing, row = payload.listing[1], payload.listing[1].tokens[1]
  listing.externalListingId, listing.externalOrderId = listing_id or "L-1", order_id or "O-1"
  payload.settlement[1].asyncCallbackUrl = nil
  listing.tokens = {}
  for i, token in ipairs(tokens) do
    listing.tokens[i] = { token = token, individualPrice = row.individualPrice, individualFees = row.individualFees }
  end
  return payload
end

--- Locks seats and buys them.
-- @treturn table the answer of the order
function Desk:sell(tokens, listing_id, order_id)
  assert(self:call("PUT", "/v1/tickets/lock", desk.lock_payload(tokens, listing_id)) == 200)
  local status, body = self:call("POST", "/v1/cart/complete-order", desk.order_payload(tokens, listing_id, order_id))
  assert(status == 200)
  return body
end

--- Compares names and types. The first entry of a sample list stands for all.
-- @param sample
-- @param got
-- @tparam[opt] table extra names that the sample lacks and the answer may have
-- @treturn ?string the first difference, nil when there is none
function desk.difference(sample, got, extra, path)
  path = path or ""
  if type(sample) ~= type(got) then
    return path .. " is a " .. type(got) .. " instead of a " .. type(sample)
  elseif type(sample) ~= "table" then
    return nil
  elseif sample[1] ~= nil then
    for i, entry in ipairs(got) do
      local wrong = desk.difference(sample[1], entry, extra, path .. "[" .. i .. "]")
      if wrong then
        return wrong
      end
    end
    return got[1] == nil and sample[1] ~= nil and type(sample[1]) == "table" and path .. " is empty" or nil
  end
  for name, value in pairs(sample) do
    local wrong = desk.difference(value, got[name], extra, path .. "." .. name)
    if wrong then
      return wrong
    end
  end
  for name in pairs(got) do
    if sample[name] == nil and not (extra or {})[name] then
      return path .. "." .. tostring(name) .. " is not in the sample"
    end
  end
  return nil
end

return desk
