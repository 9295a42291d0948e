--- A store in Redis, for processes on several hosts. It keeps the contract of paciolan.store.contract.
--
--     local store = redis.new "rediss://user:password@redis.example.com:6380/0?prefix=paciolan:"
--     local store = redis.new { socket = "/run/redis/redis-server.sock", database = 1 }
--
-- It needs Redis 6.0 or newer. Options, all of which may be left out but one of `host` and `socket`:
--
-- * `host`, `port` (6379), or `socket`: the path of a Unix socket
-- * `user`, `password`: a password alone is that of the default user. Without TLS it crosses the network in clear
-- * `database` (0)
-- * `prefix` (`paciolan:`): what the names of all keys begin with, without a slash. Stores with different prefixes
--   never see each other
-- * `connect_timeout_ms` (1000): for connecting, TLS, the password and the database together. The time that the system
--   takes to look up the name of a host comes on top
-- * `timeout_ms` (1000): for the answer to one command
-- * `tls`: true, or `{ ca_file =, server_name =, certificate_file =, key_file = }`, all of which may be left out. The
--   certificate of the server must be for `server_name` (the host) and come from an authority in `ca_file` (those of
--   the system). TLS 1.2 is the least
--
-- The first operation connects, so a program may start before its Redis. A connection that broke is replaced by the
-- next operation. One operation takes `connect_timeout_ms` and twice `timeout_ms` at most, a list so long for each of
-- the few commands that bring a hundred pairs. It holds up its thread meanwhile, with all tasks of paciolan.concurrent.
--
-- When a connection breaks after a command was sent, `get` and `list` are sent once more. `put`, `add`, `replace` and
-- `remove` are not: a second `put` could undo what another process changed meanwhile, and the answer to a second try of
-- the others would be about the first. They answer `nil, err`, and the message says that the change may have been made.
--
-- A finalizer may use and close the store. One that Lua runs while the store connects gets a connection of its own.
--
-- Inside nginx the same store sends over cosockets, by lua-resty-redis (`resty.redis`, in Debian's package
-- lua-nginx-redis `nginx.redis`): nothing blocks the worker. Each operation takes a connection from a pool of its
-- worker and gives it back, so operations of several requests run side by side. Names of hosts need a `resolver` in
-- nginx.conf, but `localhost` is 127.0.0.1. For TLS the authorities are those of `lua_ssl_trusted_certificate`, and
-- `ca_file`, `certificate_file` and `key_file` raise. In init_by_lua, where there are no cosockets, the store connects
-- for each operation by the module paciolan.redis, which blocks. Other phases without cosockets answer `nil, err`.
--
-- A value lives as long as Redis keeps it: with `appendfsync always` it survives a loss of power, with the defaults of
-- Redis the last seconds or minutes may be lost. `durable` changes nothing about that. The server must not evict keys
-- (`maxmemory-policy noeviction`), and a failover to a replica may lose the newest changes, locks among them.
--
-- A time to live runs by the clock of the server. In a Redis Cluster all keys of a store must be in one slot, and the
-- client follows no redirection: clusters are not supported.
--
-- A user of Redis needs the keys below the prefix and the commands `eval`, `get`, `mget`, `set`, `del`, `exists`,
-- `time`, `zadd`, `zrem`, `zrangebylex` and `zrangebyscore`, and `select` with a `database`.
-- @module paciolan.store.redis
local contract = require "paciolan.store.contract"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local phases = require "paciolan.phases"
local redis_nginx = require "paciolan.store.redis_nginx"
local redis_options = require "paciolan.store.redis_options"
local scripts = require "paciolan.store.redis_scripts"

local redis = {}

local unpack = rawget(_G, "unpack") or rawget(table, "unpack")

local new_store = contract.class("paciolan.store.redis")

local LIST_PORTION = 100

-- What the errors of Redis mean for whoever runs it. The server's own text is never shown, for it repeats arguments.
local CLUSTER = "this is a Redis Cluster, which the store does not support"
local OLD = "it does not know what the store needs, it must be Redis 6.0 or newer"
local advice = {
  ASK = CLUSTER,
  BUSY = "a script runs too long on it, end that with SCRIPT KILL",
  CLUSTERDOWN = CLUSTER,
  CROSSSLOT = CLUSTER,
  DENIED = "it is in protected mode, set a password there or let it listen where the client is",
  LOADING = "it is still loading its data, try again in a moment",
  MASTERDOWN = "it is a replica without its primary, point the store at the primary",
  MISCONF = "it cannot save its data and so takes no changes, look at its log and its disk",
  MOVED = CLUSTER,
  NOAUTH = "it asks for a password, give password and, where it has users, user",
  NOPERM = "its user lacks a permission, paciolan.store.redis lists what is needed",
  NOREPLICAS = "it takes no changes with so few replicas, see min-replicas-to-write",
  OOM = "its memory is full, raise maxmemory or remove data",
  READONLY = "it is a replica, which takes no changes, point the store at the primary",
  WRONGPASS = "it does not accept the user and the password",
  WRONGTYPE = "a key below the prefix is no text, another program uses the same prefix",
}

-- Of the errors that have no word of their own, by a part of their text.
local plain_advice = {
  { "max number of clients", "it takes no more connections, raise maxclients or use fewer" },
  { "invalid password", advice.WRONGPASS },
  { "without any password", "it has no password, leave password out or set one there" },
  { "DB index", "it has no database of this number" },
  { "unknown command", OLD },
  { "Unknown Redis command", OLD }, -- the same, inside a script
  { "The user executing the script", advice.NOPERM },
  { "syntax error", OLD }, -- of SET with KEEPTTL
  { "wrong number of arguments", OLD }, -- of AUTH with a user
}

-- After these a connection is of no use; a new one may meet another server.
local is_final = { DENIED = true, LOADING = true, MASTERDOWN = true, NOAUTH = true, READONLY = true }

-- Returns what an error of the server means, and whether the connection has to go. A script's error may stand inside.
local function read_refusal(text)
  local word = text:match("^(%u+)") or "?"
  if not advice[word] then
    local inner = text:match("%-(%u+) ")
    word = advice[inner] and inner or word
  end
  if advice[word] then
    return advice[word], is_final[word] or false
  end
  for _, entry in ipairs(plain_advice) do
    if text:find(entry[1], 1, true) then
      return entry[2], true
    end
  end
  return ("it refused the command (%s)"):format(errors.shown(word)), false
end

local backend = {}
backend.__index = backend

local function drop(self)
  if self.connection then
    self.connection:close()
    self.connection = nil
  end
end

local function left_ms(ends_at_ms)
  return math.max(0, math.floor(ends_at_ms - core.monotonic_ms()))
end

-- The place stands behind what is wrong: before a colon its name could be taken for that of a secret.
local function describe(self, what)
  return ("%s (Redis at %s)"):format(what, self.place)
end

local broken = {
  misplaced = "it was called where Lua cannot wait, such as in a function given to string.gsub or table.sort",
  closed = "the connection broke",
  memory = "there is not enough memory",
  protocol = "what answers there does not speak the protocol of Redis",
  timeout = "no answer in time",
  tls = "the connection broke",
  unanswered = "the connection broke without any answer",
}

-- What to look after where a server never answered. It says nothing at all to a client that does not speak TLS, and
-- over TLS 1.3 it ends the connection after the handshake where it does not like the client's certificate.
local function broken_advice(self, reason, alert)
  local what = broken[reason] .. (alert and (" (%s)"):format(alert) or "")
  if reason == "tls" or (reason == "unanswered" and self.address.has_tls) then
    return what .. ": check that a Redis listens there and, with tls-auth-clients, the client certificate"
  elseif reason == "unanswered" then
    return what .. ": check that a Redis listens there, and whether it wants tls (rediss://)"
  end
  return what
end

-- Closes a connection. The store may have another by now, which a finalizer made.
local function discard(self, connection)
  connection:close()
  if self.connection == connection then
    self.connection = nil
  end
end

-- Presents what a connection said of its failure. Unless the server just refused the command, the connection is over.
local function explain(self, connection, reason, detail, alert)
  local meaning, is_over
  if reason == "refused" then
    meaning, is_over = read_refusal(detail)
  else
    meaning, is_over = broken_advice(self, reason, alert), true
  end
  if is_over then
    discard(self, connection)
  end
  return describe(self, meaning)
end

-- One command of the beginning of a connection.
local function introduce(self, connection, ends_at_ms, ...)
  local _, reason, detail, alert = connection:command(left_ms(ends_at_ms), ...)
  if reason then
    local message = explain(self, connection, reason, detail, alert)
    connection:close()
    return nil, message
  end
  return true
end

local function sign_in(self, connection, ends_at_ms)
  local settings, ok, message = self.settings, true, nil
  if settings.user then
    ok, message = introduce(self, connection, ends_at_ms, "AUTH", settings.user, settings.password)
  elseif settings.password then
    ok, message = introduce(self, connection, ends_at_ms, "AUTH", settings.password)
  end
  if ok and settings.database ~= 0 then
    ok, message = introduce(self, connection, ends_at_ms, "SELECT", ("%d"):format(settings.database))
  end
  return ok, message
end

-- Returns a connection that is the store's from then on, or nil and a message. Before it is signed in nobody else may
-- have it: a finalizer that uses the store meanwhile would meet another user and another database. One of a pool is
-- signed in; `is_fresh` takes none of those.
local function connect(self, ends_at_ms, is_fresh)
  local address = self.address
  ends_at_ms = math.min(ends_at_ms, core.monotonic_ms() + self.settings.connect_timeout_ms)
  address.timeout_ms = left_ms(ends_at_ms)
  local connection, message = self.driver.connect(address, is_fresh)
  if not connection then
    return nil, describe(self, "no connection: " .. message)
  end
  if not connection.is_reused then
    local ok, problem = sign_in(self, connection, ends_at_ms)
    if not ok then
      return nil, problem
    end
  end
  drop(self)
  self.connection = connection
  return connection
end

-- Sends a command and returns its reply, or nil and a message. `how` is `repeatable` where a second time does no harm,
-- else `once`: then a lost answer ends the operation.
local function run(self, how, ...)
  local settings = self.settings
  local ends_at_ms = core.monotonic_ms() + settings.connect_timeout_ms + 2 * settings.timeout_ms
  for attempt = 1, 2 do
    local connection, problem = self.connection, nil
    if not connection and not self.is_closed then
      connection, problem = connect(self, ends_at_ms, attempt > 1)
    end
    if self.is_closed then
      drop(self)
      return nil, "the store was closed meanwhile", how == "once"
    elseif not connection then
      return nil, problem, how == "once"
    end
    local time_ms = math.min(settings.timeout_ms, left_ms(ends_at_ms))
    local reply, reason, detail, alert = connection:command(time_ms, ...)
    if reason == nil then
      return reply
    end
    local message = explain(self, connection, reason, detail, alert)
    local is_lost = reason ~= "refused" and detail and how == "once"
    local is_repeated = attempt == 1 and not is_lost and (reason == "closed" or reason == "unanswered")
    if is_lost then
      return nil, message .. "; the change may have been made"
    elseif not is_repeated then
      return nil, message, how == "once"
    end
  end
end

-- For a reply that came whole, but cannot be one of Redis to this command.
local function refuse_reply(self)
  drop(self)
  return describe(self, broken.protocol)
end

-- What a script answers for true and false.
local function to_boolean(self, reply, message, is_certain)
  if reply == nil and message then
    return nil, message, is_certain
  elseif reply ~= 0 and reply ~= 1 then
    return nil, refuse_reply(self)
  end
  return reply == 1
end

function backend:get(key)
  local reply, message = run(self, "repeatable", "GET", self.names.value(key))
  if reply ~= nil and type(reply) ~= "string" then
    return nil, refuse_reply(self)
  end
  return reply, message
end

local function write(self, key, value, ttl_ms, condition, expected)
  local names = self.names
  return to_boolean(self, run(self, "once", "EVAL", scripts.WRITE, "3", names.value(key), names.keys, names.ends,
    key, value, ttl_ms and ("%d"):format(ttl_ms) or "", condition, expected))
end

function backend:put(key, value, ttl_ms)
  return write(self, key, value, ttl_ms, "any", "")
end

function backend:add(key, value, ttl_ms)
  return write(self, key, value, ttl_ms, "absent", "")
end

function backend:replace(key, expected, value, ttl_ms)
  return write(self, key, value, ttl_ms, "equal", expected)
end

function backend:remove(key, expected)
  local names = self.names
  local words = { "EVAL", scripts.REMOVE, "3", names.value(key), names.keys, names.ends, key, expected }
  return to_boolean(self, run(self, "once", unpack(words)))
end

-- The first text behind all those that begin with the prefix, or nil when there is none.
local function text_behind(prefix)
  local kept = prefix:match("^(.-)\255*$")
  if kept == "" then
    return nil
  end
  return kept:sub(1, -2) .. string.char(kept:byte(-1) + 1)
end

-- By bytes, whatever the locale says.
local function is_behind(text, other)
  for i = 1, math.min(#text, #other) do
    local a, b = text:byte(i), other:byte(i)
    if a ~= b then
      return a > b
    end
  end
  return #text > #other
end

-- Takes keys off the index whose values have ended. It does not matter when it fails: the next list tries again.
local function forget(self, keys)
  local names = self.names
  local words = { "EVAL", scripts.FORGET, ("%d"):format(#keys + 2), names.keys, names.ends }
  for _, key in ipairs(keys) do
    words[#words + 1] = names.value(key)
  end
  for _, key in ipairs(keys) do
    words[#words + 1] = key
  end
  run(self, "repeatable", unpack(words))
end

-- Whether a reply is a list of texts, and where that is allowed of nils, of so many at most.
local function is_text_list(reply, most, may_be_nil)
  if type(reply) ~= "table" or #reply > most then
    return false
  end
  for _, element in ipairs(reply) do
    if type(element) ~= "string" and not (may_be_nil and element == false) then
      return false
    end
  end
  return true
end

-- Appends the pairs of these keys to what was found.
local function read_values(self, keys, found)
  local words, ended = { "MGET" }, {}
  for i, key in ipairs(keys) do
    words[i + 1] = self.names.value(key)
  end
  local values, message = run(self, "repeatable", unpack(words))
  if not is_text_list(values, #keys, true) or #values < #keys then
    return nil, message or refuse_reply(self)
  end
  for i, key in ipairs(keys) do
    if values[i] then
      found[#found + 1] = { key, values[i] }
    else
      ended[#ended + 1] = key
    end
  end
  if #ended > 0 then
    forget(self, ended)
  end
  return true
end

function backend:list(prefix, after, limit)
  local is_later = after and (after == prefix or is_behind(after, prefix))
  local from = is_later and "(" .. after or "[" .. prefix
  local behind, found = text_behind(prefix), {}
  local to = behind and "(" .. behind or "+"
  repeat
    local portion = math.min(LIST_PORTION, limit and limit - #found or LIST_PORTION)
    local keys, message = run(self, "repeatable", "ZRANGEBYLEX", self.names.keys, from, to, "LIMIT", "0",
      ("%d"):format(portion))
    if not is_text_list(keys, portion) then
      return nil, message or refuse_reply(self)
    end
    if #keys > 0 then
      local ok, problem = read_values(self, keys, found)
      if not ok then
        return nil, problem
      end
      from = "(" .. keys[#keys]
    end
  until #keys < portion or #found == limit
  return found
end

function backend:close()
  self.is_closed = true
  drop(self)
end

---- Inside nginx -----------------------------------------------------------------------------------------------------

local function load_driver()
  local ok, driver = pcall(require, "paciolan.redis")
  if ok then
    return driver
  end
  local missing = tostring(driver):find("module 'paciolan.redis' not found", 1, true)
  return nil, "the module paciolan.redis is not installed: install hiredis and OpenSSL with their headers "
    .. "(libhiredis-dev and libssl-dev on Debian) and build paciolan again"
    .. (missing and "" or " (" .. tostring(driver) .. ")")
end

-- An object for one operation, which has a connection of its own: neither the processes of nginx nor its requests may
-- share one. Returns nil and a message where there is no driver.
local function begin(self)
  local driver, problem = redis_nginx, nil
  if phases.current() == "init" then
    driver, problem = load_driver()
  end
  return driver and setmetatable({ driver = driver }, { __index = self }), problem
end

local function finish(operation, ...)
  local connection = operation.connection
  operation.connection = nil
  if connection and connection.give_back then
    connection:give_back()
  elseif connection then
    connection:close()
  end
  return ...
end

local is_write = { put = true, add = true, replace = true, remove = true }
for _, name in ipairs { "get", "put", "add", "replace", "remove", "list" } do
  local method = backend[name]
  backend[name] = function(self, ...)
    if not self.is_nginx then
      return method(self, ...)
    end
    local operation, problem = begin(self)
    if not operation then
      return nil, problem, is_write[name]
    end
    return finish(operation, method(operation, ...))
  end
end

---- Opening --------------------------------------------------------------------------------------------------------

-- What cosockets cannot do, and what to do instead; or nil.
local function problem_in_nginx(address)
  if address.ca_file then
    return "inside nginx leave tls.ca_file out and name the file in lua_ssl_trusted_certificate of nginx.conf"
  elseif address.certificate_file then
    return "inside nginx there are no client certificates, leave tls.certificate_file out and give user and password"
  end
  return redis_nginx.missing()
end

--- Opens a store. Nothing is sent yet.
-- @tparam string|table options a URL (see paciolan.store.redis_url) or a table of options, see the top
-- @treturn table the store
-- @raise for wrong options, and where the module paciolan.redis was not built; never with a part of a URL
-- @usage local store = redis.new "redis://localhost:6379/0"
function redis.new(options)
  local settings, address, place = redis_options.read(options)
  if not settings then
    error("paciolan.store.redis: " .. address, 2)
  end
  local is_nginx = phases.nginx() ~= nil
  local driver, problem
  if is_nginx then
    address.pool, problem = redis_nginx.pool(address, settings), problem_in_nginx(address)
  else
    driver, problem = load_driver()
  end
  if problem then
    error("paciolan.store.redis: " .. problem, 2)
  end
  return new_store(setmetatable({ settings = settings, address = address, place = place, driver = driver,
    is_nginx = is_nginx, names = scripts.names(settings.prefix) }, backend))
end

return redis
