--- Reads the options of a Redis store, checks them and fills in what is left out. What they mean is written in
-- paciolan.store.redis.
-- @module paciolan.store.redis_options
local errors = require "paciolan.errors"
local redis_url = require "paciolan.store.redis_url"

local redis_options = {}

local function a_text(value)
  return type(value) == "string" and value ~= "" and not value:find("%z"), "a text that is not empty"
end

-- No character that a URL has and a host has not: a URL in its place would show its password in messages.
local function a_host(value)
  return type(value) == "string" and value:find("^[%w._:%%-]+$") ~= nil, "a name or an address"
end

local function a_secret(value)
  return type(value) == "string" and value ~= "", "a text that is not empty"
end

local function a_prefix(value)
  return type(value) == "string" and value ~= "" and not value:find("/", 1, true) and #value <= 200,
    "a text of 1 to 200 bytes without a slash"
end

local function whole(low, high)
  return function(value)
    return type(value) == "number" and value >= low and value <= high and value == math.floor(value),
      ("a whole number from %d to %d"):format(low, high)
  end
end

local function a_tls(value)
  return value == true or type(value) == "table", "true or a table"
end

local known = {
  host = a_host, port = whole(1, 65535), socket = a_text, user = a_secret, password = a_secret,
  database = whole(0, 2 ^ 31 - 1), prefix = a_prefix, timeout_ms = whole(1, 3600000),
  connect_timeout_ms = whole(1, 3600000), tls = a_tls,
}
local known_tls = { ca_file = a_text, server_name = a_host, certificate_file = a_text, key_file = a_text }

-- What is wrong with a table of options, or nil.
local function problem_of(options, rules, before)
  for key, value in pairs(options) do
    if not rules[key] then
      return "unknown option " .. before .. errors.shown(key)
    end
    local ok, wanted = rules[key](value)
    if not ok then
      return ("option %s%s must be %s"):format(before, key, wanted)
    end
  end
end

local function problem_between(options, tls)
  if (options.host == nil) == (options.socket == nil) then
    return "give either host or socket"
  elseif options.socket and (options.port or tls) then
    return "port and tls go with host only"
  elseif options.user and not options.password then
    return "user needs a password"
  elseif tls and (tls.certificate_file == nil) ~= (tls.key_file == nil) then
    return "tls.certificate_file and tls.key_file go together"
  end
end

local function with_defaults(options, tls)
  local settings = {
    user = options.user, password = options.password, database = options.database or 0,
    prefix = options.prefix or "paciolan:", timeout_ms = options.timeout_ms or 1000,
    connect_timeout_ms = options.connect_timeout_ms or 1000,
  }
  local port = ("%d"):format(options.port or 6379)
  local address = { host = options.host, port = options.host and port, socket = options.socket, has_tls = tls ~= nil }
  for key, value in pairs(tls or {}) do
    address[key] = value
  end
  return settings, address, options.socket or options.host .. ":" .. port
end

--- Reads what a caller gave.
-- @tparam string|table options a URL, or a table of the options of paciolan.store.redis
-- @treturn[1] table the settings: `user`, `password`, `database`, `prefix`, `timeout_ms`, `connect_timeout_ms`
-- @treturn[1] table the address, as a driver takes it
-- @treturn[1] string the place, for messages
-- @treturn[2] nil
-- @treturn[2] string what is wrong, without any part of a URL
function redis_options.read(options)
  local problem
  if type(options) == "string" then
    options, problem = redis_url.read(options)
  elseif type(options) ~= "table" then
    problem = "give a URL or a table, not " .. type(options)
  end
  problem = problem or problem_of(options, known, "")
  local tls = not problem and options.tls and (options.tls == true and {} or options.tls) or nil
  problem = problem or (tls and problem_of(tls, known_tls, "tls.")) or problem_between(options, tls)
  if problem then
    return nil, problem
  end
  return with_defaults(options, tls)
end

return redis_options
