--- Where the sandbox may send something to: addresses of this machine, told by their spelling alone. Nothing is
-- resolved, so a name that points elsewhere never passes.
-- @module paciolan.sandbox.loopback

local text = require "paciolan.sandbox.text"

local loopback = {}

local MAX_URL_BYTES = 2000
local RULE = "must be an http or https URL of this machine: 127.0.0.1, localhost or [::1]"

local function is_octet(digits)
  return digits == "0" or (digits:find("^[1-9]%d?%d?$") and tonumber(digits) <= 255) or false
end

local function is_host(host)
  if host:lower() == "localhost" or host == "[::1]" then
    return true
  end
  local a, b, c = host:match("^127%.(%d+)%.(%d+)%.(%d+)$")
  return a ~= nil and is_octet(a) and is_octet(b) and is_octet(c)
end

local function is_port(port)
  local digits = port:match("^:([1-9]%d*)$")
  return port == "" or digits ~= nil and #digits <= 5 and tonumber(digits) <= 65535
end

local function split_user(authority)
  local user_information, rest = authority:match("^(.*)@([^@]*)$")
  if not user_information then
    return authority
  end
  local user, password = user_information:match("^([^:]*):?(.*)$")
  return rest, { user = text.decode(user), password = text.decode(password) }
end

--- Takes a URL of this machine apart.
-- @tparam string url maybe with user and password; no fragment
-- @treturn table `url`, without user and password, and the `user` and `password` that stood in it
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken, for the name of the field to stand before it
function loopback.read(url)
  local scheme, authority, path = url:match("^(%a+)://([^/?#]*)(.*)$")
  scheme = scheme and scheme:lower()
  if (scheme ~= "http" and scheme ~= "https") or #url > MAX_URL_BYTES or url:find("[^!-~]") or url:find("[\\#]") then
    return nil, RULE
  end
  local place, credentials = split_user(authority)
  local host, port = place:match("^(%[[%x:]*%])(.*)$")
  if not host then
    host, port = place:match("^([^:]*)(.*)$")
  end
  if not is_host(host) or not is_port(port) then
    return nil, RULE
  end
  credentials = credentials or {}
  return { url = scheme .. "://" .. host .. port .. path, user = credentials.user, password = credentials.password }
end

return loopback
