--- The door: where a request belongs, and what is refused before its body is looked at (duties 1 to 3).
-- @module paciolan.receiver.admission
local core = require "paciolan.core"

local admission = {}

-- SNS sends about fifteen; what is between it and us may add some.
local MAX_HEADERS = 100

-- --- headers ------------------------------------------------------------------------------------------------------

-- A header that came twice is one whose value is a list (RFC 9110 section 5.3).
local function value_of(value)
  return type(value) == "table" and table.concat(value, ", ") or tostring(value)
end

local function lowered(headers)
  local result = {}
  for name, value in pairs(headers) do
    name = tostring(name):lower()
    result[name] = result[name] and result[name] .. ", " .. value_of(value) or value_of(value)
  end
  return result
end

-- The names that SNS and what stands before us send, so that they need not be looked through with every request.
local known = {}
for name in ([[accept-encoding authorization connection content-length content-type host user-agent x-amz-sns-message-id
  x-amz-sns-message-type x-amz-sns-rawdelivery x-amz-sns-subscription-arn x-amz-sns-topic-arn x-forwarded-for
  x-forwarded-proto x-real-ip]]):gmatch("%S+") do
  known[name] = true
end

local function is_lower(name)
  return known[name] or (type(name) == "string" and not name:find("%u"))
end

--- The headers by their names in lower case.
-- @tparam ?table headers names in any case; values are texts or lists of texts
-- @treturn table the same table where nothing is to be done
-- @treturn number how many there are
function admission.headers(headers)
  local count, is_plain = 0, true
  for name, value in pairs(headers or {}) do
    count = count + 1
    is_plain = is_plain and type(value) == "string" and is_lower(name)
  end
  if is_plain and headers then
    return headers, count
  end
  return lowered(headers or {}), count
end

-- --- routes -------------------------------------------------------------------------------------------------------

local function challenge(realm)
  return ('Basic realm="%s", charset="UTF-8"'):format(realm)
end

--- The places that a receiver answers.
-- @tparam table options of the receiver
-- @tparam function on_message `(self, body, headers, context, request)` → status, reason, detail
-- @tparam function on_callback the same
-- @treturn table `{ messages =, callback = }`
function admission.routes(options, on_message, on_callback)
  local routes = {
    path = options.path,
    messages = {
      handle = on_message, allow = "POST", methods = { POST = true }, basic = options.basic,
      challenge = challenge(options.realm),
    },
  }
  local callback = options.callback
  if callback then
    routes.callback = {
      handle = on_callback, allow = "POST, PUT", methods = { POST = true, PUT = true }, basic = callback.basic,
      challenge = challenge(options.realm),
    }
    routes.callback_path = core.fingerprint(callback.path)
  end
  return routes
end

--- Where a path leads. One that may be a secret is compared by digests, which take the same time whatever it is.
-- @tparam table routes
-- @param path of the request; a query is left aside
-- @treturn ?table the route
function admission.route(routes, path)
  path = type(path) == "string" and path:match("^[^?]*") or ""
  if routes.callback and core.fingerprint(path) == routes.callback_path then
    return routes.callback
  elseif routes.path == nil or routes.path == path then
    return routes.messages
  end
  return nil
end

-- --- the checks ---------------------------------------------------------------------------------------------------

--- May the request come in?
-- @tparam table route
-- @tparam table request
-- @tparam table headers names in lower case
-- @tparam number count of headers
-- @tparam number max_body_bytes
-- @treturn ?number status, nil when it may
-- @treturn string reason
function admission.refuse(route, request, headers, count, max_body_bytes)
  local coding, body = headers["content-encoding"], request.body
  if not route.methods[request.method or ""] then
    return 405, "method_not_allowed"
  elseif count > MAX_HEADERS then
    return 431, "too_many_headers"
  elseif route.basic and not route.basic:matches(headers.authorization) then
    return 401, "unauthorized"
  elseif coding and coding ~= "" and coding:lower() ~= "identity" then
    return 415, "content_encoding"
  elseif type(body) ~= "string" then
    -- A server that could not read a body is no sender who sent none.
    return 503, "no_body"
  elseif #body > max_body_bytes then
    return 413, "too_large"
  end
  return nil
end

return admission
