--- The connections of paciolan.store.redis inside nginx: cosockets, driven by lua-resty-redis, which Debian's package
-- lua-nginx-redis names `nginx.redis`.
--
-- A cosocket belongs to the request that opened it. So an operation takes a connection from the pool of its worker, or
-- opens one, and gives it back at its end. A pool holds connections of one place, user, password and database only.
--
-- The client library waits for each piece of an answer anew and believes every length. So it gets its socket behind a
-- guard, which has one deadline for a whole command and a limit for what comes.
-- @module paciolan.store.redis_nginx
local core = require "paciolan.core"
local phases = require "paciolan.phases"

local redis_nginx = {}

local POOL_SIZE, IDLE_MS = 30, 60000
local LONGEST_LINE = 1024 -- of the protocol: a length, a number or the text of an error
local LONGEST_TEXT = 512 * 1024 * 1024 -- proto-max-bulk-len of Redis
local MOST_ELEMENTS = 4096
local PORTION = 65536

---- The guard ------------------------------------------------------------------------------------------------------

local Guard = {}
Guard.__index = Guard

-- Sets what is left of the time. False when nothing is.
local function has_time(self)
  local left_ms = math.floor(self.ends_at_ms - core.monotonic_ms())
  if left_ms < 1 then
    return false
  end
  self.socket:settimeouts(left_ms, left_ms, left_ms)
  return true
end

-- Takes what has come, waiting for at least a byte. Nginx begins its time anew with each byte of a longer read, so that
-- would not end at the deadline.
local function fetch(self)
  if not has_time(self) then
    return nil, "timeout"
  end
  return self.socket:receiveany(PORTION)
end

local function receive_line(self)
  while true do
    local ends = self.rest:find("\r\n", 1, true)
    if ends then
      local line = self.rest:sub(1, ends - 1)
      self.rest = self.rest:sub(ends + 2)
      local is_long = line:find("^%*") and (tonumber(line:sub(2)) or 0) > MOST_ELEMENTS
      return not is_long and line or nil, "protocol"
    elseif #self.rest > LONGEST_LINE then
      return nil, "protocol"
    end
    local data, problem = fetch(self)
    if not data then
      return nil, problem
    end
    self.rest = self.rest .. data
  end
end

local function receive_bytes(self, size)
  local parts, length = { self.rest }, #self.rest
  while length < size do
    local data, problem = fetch(self)
    if not data then
      return nil, problem
    end
    parts[#parts + 1], length = data, length + #data
  end
  local all = table.concat(parts)
  self.rest = all:sub(size + 1)
  return all:sub(1, size)
end

-- Without a size a line, as sockets have it. A problem counts only where nothing is returned.
function Guard:receive(size)
  if size == nil then
    return receive_line(self)
  elseif size > LONGEST_TEXT then
    return nil, "protocol"
  end
  return receive_bytes(self, size)
end

function Guard:send(data)
  if not has_time(self) then
    return nil, "timeout"
  end
  local sent, problem = self.socket:send(data)
  self.is_sent = sent ~= nil
  return sent, problem
end

-- All else goes to the socket as it is.
for _, name in ipairs { "connect", "close", "setkeepalive", "getreusedtimes", "sslhandshake", "settimeout",
  "settimeouts" } do
  Guard[name] = function(self, ...)
    return self.socket[name](self.socket, ...)
  end
end

---- A connection ---------------------------------------------------------------------------------------------------

local Connection = {}
Connection.__index = Connection

-- What the words of nginx for a connection that failed mean. The last row is for all others.
local connect_problems = {
  { "refused", "nothing answers there, start Redis or check where it listens" },
  { "timeout", "no answer in time, check the host, the port and the network" },
  { "no resolver", "nginx has no resolver, add \"resolver ADDRESS;\" to http { } of nginx.conf or give an address" },
  { "could not be resolved", "the name of the host was not found, check it, and resolver and resolver_timeout of"
    .. " nginx.conf" },
  { "no such file", "there is no such socket, start Redis or check its unixsocket setting" },
  { "permission denied", "no permission, check unixsocketperm and the folders above the socket" },
  { "too long", "the path of the socket is too long for this system" },
  { "too many", "the pool of the worker has too many connections" },
  { "", "nothing can be reached there" },
}

local tls_problems = {
  { "timeout", "no answer to TLS in time, check that the port speaks TLS" },
  { "host mismatch", "the certificate there is for another name, give its name in tls.server_name" },
  { "certificate has expired", "the certificate there has expired" },
  { "certificate", "the certificate there cannot be verified, name its authority in lua_ssl_trusted_certificate and "
    .. "raise lua_ssl_verify_depth where the chain is longer" },
  { "closed", "the certificate there cannot be verified or is for another name, see lua_ssl_trusted_certificate, "
    .. "lua_ssl_verify_depth and tls.server_name" },
  { "", "TLS failed, check that the port speaks TLS and, in lua_ssl_protocols, the versions" },
}

local function advice_for(rows, problem)
  problem = tostring(problem):lower()
  for _, row in ipairs(rows) do
    if problem:find(row[1], 1, true) then
      return row[2]
    end
  end
end

-- The driver of the cosockets, or nil and what is missing.
local function load_client()
  for _, name in ipairs { "resty.redis", "nginx.redis" } do
    local ok, client = pcall(require, name)
    if ok and type(client) == "table" then
      return client
    end
  end
  return nil, "the module resty.redis is not installed: OpenResty has it, on Debian install lua-nginx-redis"
end

local function make_client()
  local client, problem = load_client()
  local object = client and client:new()
  if not client then
    return nil, problem
  elseif not object or type(rawget(object, "_sock")) ~= "table" then
    return nil, "this version of resty.redis is not known to the store"
  end
  return object
end

-- localhost needs no resolver, and an address of IPv6 needs brackets.
local function target_of(address)
  if address.socket then
    return "unix:" .. address.socket
  elseif address.host:lower() == "localhost" then
    return "127.0.0.1"
  end
  return address.host:find(":", 1, true) and "[" .. address.host .. "]" or address.host
end

local function server_name(address)
  return address.server_name or address.host
end

local function open_socket(guard, address, pool, timeout_ms)
  local options = { pool = pool }
  guard.socket:settimeouts(timeout_ms, timeout_ms, timeout_ms)
  if address.socket then
    return guard.socket:connect(target_of(address), options)
  end
  return guard.socket:connect(target_of(address), tonumber(address.port), options)
end

-- Returns true, or nil and what is wrong. One from the pool was verified when it was new.
local function begin_tls(guard, address)
  if not has_time(guard) then
    return nil, advice_for(tls_problems, "timeout")
  end
  local ok, problem = guard.socket:sslhandshake(false, server_name(address), true)
  -- A handshake that failed without ever having to wait is told as a success, on a socket that is closed.
  if ok and not guard.socket:getreusedtimes() then
    ok, problem = nil, "closed"
  end
  if not ok then
    return nil, advice_for(tls_problems, problem)
  end
  return true
end

--- The name of the pool for a place and those who sign in there: one text for everything that tells a connection from
-- another. It holds no password, but what that leads to.
-- @tparam table address as of `connect`
-- @tparam table settings `user`, `password` and `database`
-- @treturn string
function redis_nginx.pool(address, settings)
  local secret = core.fingerprint(("%s\n%s"):format(settings.user or "", settings.password or ""))
  return table.concat({ "paciolan.redis", address.socket or address.host, address.port or "", secret,
    ("%d"):format(settings.database), address.has_tls and "tls " .. server_name(address) or "plain" }, "|")
end

--- What this driver needs of nginx and does not find now, or nil.
-- @treturn ?string
function redis_nginx.missing()
  local client, problem = load_client()
  return not client and problem or nil
end

--- Takes a connection from the pool of this worker, or opens one.
-- @tparam table address `host` and `port` (a text), or `socket`; `has_tls`, `server_name`; `timeout_ms`; `pool`: the
-- name of the pool
-- @tparam ?boolean is_fresh opens one in any case, which goes to no pool: those there may all have ended with a server
-- @treturn[1] table the connection
-- @treturn[2] nil
-- @treturn[2] string what is wrong, and what to do
function redis_nginx.connect(address, is_fresh)
  local phase = phases.current()
  if not phases.may_yield(phase) then
    return nil, ("nginx has no cosockets in the phase %s, use the store in one of requests before the answer or in a "
      .. "timer (ngx.timer.at)"):format(tostring(phase))
  end
  local timeout_ms = math.max(1, address.timeout_ms)
  local pool = address.pool .. (is_fresh and "|fresh" or "")
  local client, problem = make_client()
  if not client then
    return nil, problem
  end
  local guard = setmetatable({ socket = client._sock, rest = "", ends_at_ms = core.monotonic_ms() + timeout_ms }, Guard)
  client._sock = guard
  local ok, refusal = open_socket(guard, address, pool, timeout_ms)
  if not ok then
    return nil, advice_for(connect_problems, refusal)
  end
  local reused = guard.socket:getreusedtimes() or 0
  if reused == 0 and address.has_tls then
    ok, refusal = begin_tls(guard, address)
    if not ok then
      guard.socket:close()
      return nil, refusal
    end
  end
  return setmetatable({
    client = client, guard = guard, is_answered = reused > 0, is_reused = reused > 0, is_kept = not is_fresh,
  }, Connection)
end

-- The form that the C module gives: nil for nothing, and false for nothing in a list.
local function present(reply, null)
  if reply == null then
    return nil
  elseif type(reply) == "table" then
    for i, element in ipairs(reply) do
      if element == null then
        reply[i] = false
      end
    end
  end
  return reply
end

local function fail(self, problem)
  local guard = self.guard
  local reason = "closed"
  if problem == "timeout" or problem == "misplaced" then
    reason = problem
  elseif problem == nil or problem == "protocol" or tostring(problem):find("prefix", 1, true) then
    reason = "protocol"
  elseif not self.is_answered then
    reason = "unanswered"
  end
  self:close()
  return nil, reason, guard.is_sent or false
end

--- Sends a command and waits for its reply.
-- @tparam number timeout_ms for both together
-- @tparam string name of the command
-- @tparam string ... its words
-- @return the reply: a text, a number, a list with false for nothing, or nil
-- @treturn[2] nil
-- @treturn[2] string reason: `refused`, `closed`, `unanswered`, `timeout`, `misplaced` or `protocol`; but for the first
-- the connection is closed
-- @return what the server said, which may repeat arguments; else whether the whole command was sent
function Connection:command(timeout_ms, name, ...)
  local guard = self.guard
  if self.is_closed then
    return nil, "closed", false
  end
  guard.ends_at_ms, guard.is_sent = core.monotonic_ms() + timeout_ms, false
  local client = self.client
  local ok, reply, problem = pcall(client[name:lower()], client, ...)
  if not ok then
    local is_misplaced = tostring(reply):find("yield across", 1, true)
    return fail(self, is_misplaced and "misplaced" or "protocol") -- the latter for a length that is no number
  elseif reply == nil then
    return fail(self, problem)
  end
  self.is_answered = true
  if reply == false then
    return nil, "refused", tostring(problem)
  end
  return present(reply, phases.nginx().null)
end

--- Gives it back to its pool, for the next operation of any request. It must have no answer outstanding.
function Connection:give_back()
  if not self.is_kept or self.guard.rest ~= "" then
    self:close() -- what came behind the answer is for nobody
  elseif not self.is_closed then
    self.is_closed = true
    self.guard.socket:setkeepalive(IDLE_MS, POOL_SIZE)
  end
end

--- Closes it; idempotent.
function Connection:close()
  if not self.is_closed then
    self.is_closed = true
    self.guard.socket:close()
  end
end

return redis_nginx
