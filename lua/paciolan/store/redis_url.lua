--- Reads the URL of a Redis store into the options of paciolan.store.redis.
--
-- * `redis://[[user]:password@]host[:port][/database][?name=value&…]`
-- * `rediss://…`, the same over TLS
-- * `redis+unix:///path/of/the/socket[?name=value&…]`, the user and the password before the path or behind it
--
-- The names are those of the options, with those of `tls` among them. Each part is percent-decoded: a password with
-- `@`, `/`, `:` or `%` is written with `%40`, `%2F`, `%3A` or `%25`.
-- @module paciolan.store.redis_url
local errors = require "paciolan.errors"

local redis_url = {}

local TEXT, NUMBER = 1, 2
local query_names = {
  user = TEXT, password = TEXT, prefix = TEXT, database = NUMBER, timeout_ms = NUMBER, connect_timeout_ms = NUMBER,
}
local tls_names = { ca_file = TEXT, server_name = TEXT, certificate_file = TEXT, key_file = TEXT }

-- Nil where a percent sign is not followed by two hexadecimal digits, or where the character may not stand in a URL.
local function decode(text)
  if text:find("[%z\1-\32\127]") or text:gsub("%%%x%x", ""):find("%", 1, true) then
    return nil
  end
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function to_number(text)
  return text:find("^%d+$") and #text <= 10 and tonumber(text) or nil
end

-- Writes one pair of the query into the options. Returns nil and a message when it cannot.
local function take_pair(options, pair)
  local name, raw = pair:match("^([%w_]+)=(.*)$")
  local kind = query_names[name] or (options.tls and tls_names[name])
  if not kind then
    local is_tls = name and tls_names[name]
    return nil, is_tls and "the option " .. name .. " goes with rediss:// only"
      or "unknown option " .. errors.shown(name)
  end
  local value = decode(raw)
  if value and kind == NUMBER then
    value = to_number(value)
  end
  local place = tls_names[name] and options.tls or options
  if value == nil or value == "" then
    return nil, "the option " .. name .. " cannot be read"
  elseif place[name] ~= nil then
    return nil, "the option " .. name .. " is given twice"
  end
  place[name] = value
  return true
end

local function take_query(options, query)
  for pair in query:gmatch("[^&]+") do
    local ok, message = take_pair(options, pair)
    if not ok then
      return nil, message
    end
  end
  return options
end

-- `user:password`, `:password` or nothing at all.
local function take_user(options, text)
  if not text then
    return true
  end
  local user, password = text:match("^([^:]*):([^:]+)$")
  options.user = user and user ~= "" and decode(user) or nil
  options.password = password and decode(password)
  if not options.password or (user ~= "" and not options.user) then
    return nil, "what stands before the @ must be user:password or :password, percent-encoded"
  end
  return true
end

local function take_host(options, text)
  local host, port = text:match("^%[([%x:.]+)%](.*)$")
  if not host then
    host, port = text:match("^([^:%[%]]*)(.*)$")
  end
  options.host = host and decode(host)
  if not options.host or options.host == "" then
    return nil, "the host is missing or cannot be read"
  end
  if port ~= "" then
    options.port = to_number(port:match("^:(.*)$") or "")
    if not options.port then
      return nil, "the port must be a number"
    end
  end
  return true
end

local function take_database(options, path)
  if path ~= "" and path ~= "/" then
    options.database = to_number(path:sub(2))
    if not options.database then
      return nil, "the path must be the number of a database, such as /0"
    end
  end
  return true
end

local function take_socket(options, authority, path)
  options.socket = decode(path)
  if authority ~= "" or not options.socket or #path < 2 then
    return nil, "three slashes and the path of the socket must follow, as in redis+unix:///run/redis/redis.sock"
  end
  return true
end

--- Reads a URL.
-- @tparam string text
-- @treturn[1] table the options, not yet checked
-- @treturn[2] nil
-- @treturn[2] string what is wrong with it, without any part of it that could be a secret
function redis_url.read(text)
  local scheme, authority, path, query = text:match("^([%a+]+)://([^/?#]*)([^?#]*)%??([^#]*)$")
  scheme = scheme and scheme:lower()
  if scheme ~= "redis" and scheme ~= "rediss" and scheme ~= "redis+unix" then
    return nil, "the URL must begin with redis://, rediss:// or redis+unix:// and have no fragment"
  end
  local options = { tls = scheme == "rediss" and {} or nil }
  local user, host = authority:match("^(.*)@(.*)$")
  local ok, message = take_user(options, user)
  if ok and scheme == "redis+unix" then
    ok, message = take_socket(options, host or authority, path)
  elseif ok then
    ok, message = take_host(options, host or authority)
    if ok then
      ok, message = take_database(options, path)
    end
  end
  if not ok then
    return nil, message
  end
  return take_query(options, query)
end

return redis_url
