--- A server that speaks the protocol of Redis badly, as a process of its own, started by support.redis:
--     lua redis_peer.lua MODE [UPSTREAM_PORT COUNT]
-- It prints its port on one line. Modes:
--
-- * `trickle`: an answer that is never whole, a byte at a time
-- * `double`: two answers to the first command of a connection, the second of them for nobody; then one to each
-- * `flood`: an answer that never ends, as fast as it goes
-- * `mute`: reads and never answers
-- * `lose`: passes everything on to a Redis and back, but ends the connection where the first COUNT answers should go
-- * `lose_later`: the same after COUNT answers that it passes back, with one answer
local socket = require("socket")

local IDLE_LIMIT_S = 120
local BLOCK = 65536

local server = assert(socket.bind("127.0.0.1", 0))
local modes = {}

-- What is there, or nil at the end.
local function receive(from)
  local data, problem, part = from:receive(BLOCK)
  data = data or part
  return (#data > 0 or problem == "timeout") and data or nil
end

local function send(to, data)
  to:settimeout(IDLE_LIMIT_S)
  local sent = to:send(data)
  to:settimeout(0)
  return sent ~= nil
end

local function wait_for(client)
  socket.select({ client }, nil, IDLE_LIMIT_S)
  return receive(client)
end

function modes.trickle(client)
  if wait_for(client) then
    local is_open = send(client, "$100000\r\n")
    while is_open do
      is_open = send(client, "x") and receive(client) ~= nil
      socket.sleep(0.02)
    end
  end
end

function modes.flood(client)
  if wait_for(client) then
    local is_open, part = send(client, "+"), ("x"):rep(BLOCK)
    while is_open do
      is_open = send(client, part)
    end
  end
end

function modes.double(client)
  local answer = "$5\r\nright\r\n$5\r\nwrong\r\n"
  while wait_for(client) and send(client, answer) do
    answer = "$5\r\nright\r\n"
  end
end

function modes.mute(client)
  while wait_for(client) do
    socket.sleep(0.01)
  end
end

local count = tonumber(arg[3] or 0)
local to_pass = arg[1] == "lose_later" and count or 0
local to_lose = arg[1] == "lose_later" and 1 or count

local function is_next_lost()
  if to_pass > 0 then
    to_pass = to_pass - 1
    return false
  end
  to_lose = to_lose - 1
  return to_lose >= 0
end

function modes.lose(client)
  local redis = assert(socket.connect("127.0.0.1", tonumber(arg[2])))
  redis:settimeout(0)
  local is_open = true
  while is_open do
    local ready = socket.select({ client, redis }, nil, IDLE_LIMIT_S)
    if ready[client] then
      local request = receive(client)
      is_open = request ~= nil and send(redis, request)
    end
    if is_open and ready[redis] then
      local answer = receive(redis)
      is_open = answer ~= nil and not is_next_lost() and send(client, answer)
    end
  end
  redis:close()
end

modes.lose_later = modes.lose

io.stdout:write("port ", (select(2, server:getsockname())), "\n")
io.stdout:flush()
server:settimeout(IDLE_LIMIT_S)
local client = server:accept()
while client do
  client:settimeout(0)
  client:setoption("tcp-nodelay", true)
  modes[arg[1]](client)
  client:close()
  client = server:accept()
end
