--- A loopback HTTP server that behaves, or misbehaves, by a list of steps. Runs as a process of its own, started by
-- support.peers, which documents the steps:  lua peer.lua STEPS_FILE RECORD_FILE
-- It prints its port on one line. Every connection is a coroutine, so that a kept one does not hold up the next.

local cjson = require("cjson")
local socket = require("socket")

-- A peer whose parent died must not stay for ever.
local IDLE_LIMIT_S = 120
local BLOCK = 64 * 1024

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local steps = cjson.decode(read_file(arg[1]))
local record = assert(io.open(arg[2], "ab"))
local counts = { requests = 0, connections = 0, open = 0 }

-- Written and flushed before anything is answered, so that whoever has the answer can read it.
local function note(event)
  record:write(cjson.encode(event), "\n")
  record:flush()
end

-- The step of the next request; the last one stays.
local function current_step()
  return steps[math.min(counts.requests + 1, #steps)]
end

---- Connections --------------------------------------------------------------------------------------------------

local Connection = {}
Connection.__index = Connection

-- Reads what is there; nil at the end of the stream.
function Connection:more()
  while true do
    local data, problem, part = self.socket:receive(BLOCK)
    data = data or part
    if data and #data > 0 then
      self.buffer = self.buffer .. data
      return true
    elseif problem ~= "timeout" then
      return nil
    end
    coroutine.yield({ read = self.socket })
  end
end

function Connection:take(bytes)
  while #self.buffer < bytes do
    if not self:more() then
      return nil
    end
  end
  local data = self.buffer:sub(1, bytes)
  self.buffer = self.buffer:sub(bytes + 1)
  return data
end

function Connection:head()
  local stop
  repeat
    stop = select(2, self.buffer:find("\r\n\r\n", 1, true))
    if not stop and not self:more() then
      return nil
    end
  until stop
  return self:take(stop)
end

-- False when the client is gone.
function Connection:write(data)
  local sent = 0
  while sent < #data do
    local last, problem, partial = self.socket:send(data, sent + 1, math.min(sent + BLOCK, #data))
    sent = last or partial
    if not last and problem ~= "timeout" then
      return false
    elseif not last then
      coroutine.yield({ write = self.socket })
    end
  end
  return true
end

local function pause(seconds)
  coroutine.yield({ at = socket.gettime() + seconds })
end

function Connection:read_request()
  local head = self:head()
  if not head then
    return nil
  end
  local method, path = head:match("^(%S+) (%S+) HTTP/")
  local request = { connection = self.number, method = method, path = path, headers = {}, header_lines = {}, body = "" }
  for line in head:gmatch("\r\n([^\r\n]+)") do
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    request.header_lines[#request.header_lines + 1] = line
    request.headers[name:lower()] = value
  end
  local length = tonumber(request.headers["content-length"])
  if length then
    request.body = self:take(length)
  end
  return request.body and request
end

---- Answers ------------------------------------------------------------------------------------------------------

local function body_of(step, request)
  if step.echo then
    return request.path .. " " .. request.body
  elseif step.body_file then
    return read_file(step.body_file)
  end
  return step.body_bytes and ("x"):rep(step.body_bytes) or step.body or ""
end

local function chunked(step)
  local parts = {}
  for _, chunk in ipairs(step.chunks) do
    parts[#parts + 1] = ("%x\r\n%s\r\n"):format(#chunk, chunk)
  end
  return table.concat(parts) .. (step.unended and "" or "0\r\n\r\n")
end

local function head_of(step, body)
  local lines = { ("HTTP/1.1 %d %s"):format(step.status or 200, step.reason or "Reason") }
  for _, header in ipairs(step.headers or {}) do
    lines[#lines + 1] = header[1] .. ": " .. header[2]
  end
  if step.header_bytes then
    lines[#lines + 1] = "X-Long: " .. ("h"):rep(step.header_bytes)
  end
  for i = 1, step.header_lines or 0 do
    lines[#lines + 1] = ("X-Line-%d: v"):format(i)
  end
  if step.chunks then
    lines[#lines + 1] = "Transfer-Encoding: chunked"
  elseif not step.no_length then
    lines[#lines + 1] = ("Content-Length: %d"):format(step.declared_length or #body)
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

function Connection:write_slowly(data, step)
  for first = 1, #data, step.piece_bytes do
    pause(step.pause_s)
    if not self:write(data:sub(first, first + step.piece_bytes - 1)) then
      return false
    end
  end
  return true
end

-- A reset instead of an orderly end.
function Connection:reset()
  self.socket:setoption("linger", { on = true, timeout = 0 })
end

-- True when the connection may carry another request.
function Connection:answer(step, request)
  if step.delay_s then
    pause(step.delay_s)
  end
  if step.raw then
    self:write(step.raw)
    return false
  end
  local body = step.chunks and chunked(step) or body_of(step, request)
  local head = head_of(step, body)
  local whole = request.method == "HEAD" and head or head .. body
  if step.pause_s and self:write(head) then
    return self:write_slowly(body, step)
  end
  local truncated = step.declared_length or step.unended or step.no_length
  local kept = self:write(whole) and not truncated and step.close ~= "after_answer"
  if step.reset_after then
    pause(0.1) -- what was written arrives first
    self:reset()
  end
  if kept and step.late then
    pause(0.1) -- a segment of its own, after the client has taken the answer
    self:write(step.late)
  end
  return kept
end

-- Holds a request back until that many have come.
local function gather(wanted)
  while counts.requests < wanted do
    pause(0.005)
  end
end

function Connection:serve()
  local first = current_step()
  if first.close == "before_read" or first.blurt then
    counts.requests = counts.requests + 1
    if first.blurt and self:more() then
      self:write(first.blurt)
    end
    return
  end
  local kept = true
  while kept do
    local request = self:read_request()
    if not request then
      return
    end
    local step = current_step()
    counts.requests = counts.requests + 1
    counts.open = counts.open + 1
    request.open = counts.open
    note(request)
    gather(step.gather or 0)
    if step.stall then
      pause(IDLE_LIMIT_S)
    end
    if step.close == "after_read" or step.close == "reset" then
      if step.close == "reset" then
        self:reset()
      end
      counts.open = counts.open - 1
      return
    end
    kept = self:answer(step, request)
    counts.open = counts.open - 1
  end
end

---- The loop -----------------------------------------------------------------------------------------------------

local tasks = {}

local function spawn(run, client)
  local routine = coroutine.create(run)
  local function resume()
    local alive, wanted = coroutine.resume(routine)
    if not alive then
      io.stderr:write("peer: ", tostring(wanted), "\n")
    end
    if coroutine.status(routine) == "dead" then
      client:close()
      return nil
    end
    return wanted
  end
  tasks[#tasks + 1] = { resume = resume, wanted = {}, due = true }
end

local function accept(server)
  local client = server:accept()
  if client then
    client:settimeout(0)
    client:setoption("tcp-nodelay", true)
    counts.connections = counts.connections + 1
    note({ accepted = counts.connections })
    local connection = setmetatable({ socket = client, buffer = "", number = counts.connections }, Connection)
    spawn(function()
      connection:serve()
      note({ closed = connection.number })
    end, client)
  end
end

local function run_due()
  local left = {}
  local now = socket.gettime()
  for _, task in ipairs(tasks) do
    if task.due or (task.wanted.at and task.wanted.at <= now) then
      task.due = false
      task.wanted = task.resume()
    end
    if task.wanted then
      left[#left + 1] = task
    end
  end
  tasks = left
end

-- Marks the tasks whose socket is ready; false after a long time without anything.
local function wait(server)
  local reads, writes, until_time = { server }, {}, socket.gettime() + IDLE_LIMIT_S
  for _, task in ipairs(tasks) do
    reads[#reads + 1] = task.wanted.read
    writes[#writes + 1] = task.wanted.write
    until_time = math.min(until_time, task.wanted.at or until_time)
  end
  local readable, writable = socket.select(reads, writes, math.max(0, until_time - socket.gettime()))
  for _, task in ipairs(tasks) do
    task.due = (task.wanted.read and readable[task.wanted.read]) or (task.wanted.write and writable[task.wanted.write])
  end
  if readable[server] then
    accept(server)
  end
  return #tasks > 0 or readable[server]
end

local server = assert(socket.bind("127.0.0.1", 0))
server:settimeout(0)
io.stdout:write(select(2, server:getsockname()), "\n")
io.stdout:flush()
while wait(server) do
  run_due()
end
