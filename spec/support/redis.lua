--- A real redis-server for specs, on a free port of the loopback interface and on a Unix socket, in a folder of its
-- own. Everything started here is stopped, by pid, by `redis.stop_all()`: call it in a teardown.
local files = require("support.files")
local peers = require("support.peers")
local program = require("support.program")
local socket = require("socket")

local redis = {}

local started = {}

local Server = {}
Server.__index = Server

-- The settings of every server; what a spec gives comes behind and wins.
local SETTINGS = [[
bind 127.0.0.1
port %d
unixsocket "%s/socket"
unixsocketperm 700
dir "%s"
save ""
appendonly no
%s
]]

-- True once it answers, be it with an error: a server with a password does not say PONG. Nil when it ended instead.
local function wait_until_ready(self)
  for _ = 1, 600 do
    local client = socket.connect("127.0.0.1", self.port)
    if client then
      client:settimeout(5)
      client:send("PING\r\n")
      local line = client:receive("*l")
      client:close()
      if line and not line:find("^%-LOADING") then
        return true
      end
    elseif self._process:output():find("Failed listening", 1, true) then
      return nil
    end
    socket.sleep(0.02)
  end
  error("the Redis of a spec did not start: " .. self._process:output(), 0)
end

-- Starts the process, again on the same port when it had one. Without waiting for its answer.
local function launch(self)
  files.write(self.folder .. "/redis.conf",
    SETTINGS:format(self.port, self.folder, self.folder, self._settings:gsub("FOLDER", self.folder)))
  -- What a sanitized run preloads is not meant for it.
  self._process = program.start(program.words({
    "env", "-u", "LD_PRELOAD", "PATH=" .. os.getenv("PATH") .. ":/usr/sbin:/usr/local/sbin", "redis-server",
    self.folder .. "/redis.conf",
  }))
  self.pid = self._process.pid
end

--- Starts it again on the same port, with what it had saved, and waits until it answers.
function Server:start()
  launch(self)
  assert(wait_until_ready(self), "the port of a Redis was taken meanwhile")
end

--- Ends it; idempotent.
-- @tparam[opt="TERM"] string signal
function Server:stop(signal)
  if self._process then
    self:continue()
    self._process:stop(signal)
    self._process = nil
  end
end

--- Holds it: it takes connections and answers nothing, until `continue`.
function Server:pause()
  os.execute(("kill -STOP %d"):format(self.pid))
end

--- Lets a held one go on.
function Server:continue()
  os.execute(("kill -CONT %d 2>/dev/null"):format(self.pid))
end

--- Runs one command by its own connection, and returns what came: one line, or the text of a bulk.
-- @tparam string ... words
function Server:command(...)
  local client = assert(socket.connect("127.0.0.1", self.port))
  client:settimeout(10)
  local parts = { ("*%d\r\n"):format(select("#", ...)) }
  for _, word in ipairs({ ... }) do
    parts[#parts + 1] = ("$%d\r\n%s\r\n"):format(#word, word)
  end
  client:send(table.concat(parts))
  local line = assert(client:receive("*l"))
  local length = tonumber(line:match("^%$(%d+)"))
  local reply = length and client:receive(length) or line
  client:close()
  return reply
end

--- Lets time pass for what it keeps: takes it off every time to live, and off the ends that a store wrote down.
-- @tparam number ms
-- @tparam[opt=0] number database
function Server:advance(ms, database)
  assert(self:command("EVAL", [[
    redis.call("SELECT", ARGV[2])
    for _, key in ipairs(redis.call("KEYS", "*")) do
      local left_ms = redis.call("PTTL", key)
      if left_ms > 0 then
        redis.call("PEXPIRE", key, left_ms - ARGV[1])
      elseif key:find("/ends$") then
        for _, member in ipairs(redis.call("ZRANGE", key, 0, -1)) do
          redis.call("ZINCRBY", key, -ARGV[1], member)
        end
      end
    end
    return "done"]], "0", ("%d"):format(ms), ("%d"):format(database or 0)) == "done")
end

--- The URL of its port.
-- @tparam[opt=""] string more such as `/0?prefix=a:`
function Server:url(more)
  return ("redis://127.0.0.1:%d%s"):format(self.port, more or "")
end

--- Starts a server and waits until it answers.
-- @tparam[opt] string settings lines for its configuration; FOLDER in them is its folder
-- @treturn table with `port`, `socket` (a path), `folder`, `pid`, `url`, `command`, `stop`, `start`, `pause`,
-- `continue`
function redis.start(settings)
  local self = setmetatable({ folder = os.tmpname(), _settings = settings or "" }, Server)
  os.remove(self.folder)
  assert(os.execute("mkdir " .. self.folder))
  self.socket = self.folder .. "/socket"
  started[#started + 1] = self
  repeat
    self.port = peers.unused_port()
    launch(self)
  until wait_until_ready(self)
  return self
end

local PEER_SCRIPT = debug.getinfo(1, "S").source:match("^@(.*)redis%.lua$") .. "redis_peer.lua"

--- Starts a server that misbehaves, see support/redis_peer.lua.
-- @tparam string mode
-- @tparam[opt] table upstream a server of redis.start, for the mode `lose`
-- @tparam[opt=0] number count
-- @treturn number its port
function redis.misbehave(mode, upstream, count)
  local process = program.start(("env %s %s"):format(program.environment(), program.words({
    program.lua, PEER_SCRIPT, mode, ("%d"):format(upstream and upstream.port or 0), ("%d"):format(count or 0) })))
  started[#started + 1] = { stop = function() process:stop() end }
  process:wait_for("\n")
  return tonumber(process:output():match("^port (%d+)"))
end

--- Ends every server that was started, and removes what it left.
function redis.stop_all()
  for index = #started, 1, -1 do
    local server = started[index]
    server:stop()
    if server.folder then
      os.execute(program.words({ "rm", "-rf", server.folder }))
    end
    started[index] = nil
  end
end

return redis
