--- A receiver in a process of its own: `receiver_worker.lua FOLDER JOB`. The folder holds `topic`, `roots.pem`,
-- `leaf.pem`, `body` (a signed message) and `store.db`. Handlers write the ids of messages to `sold` there.
local files = require("support.files")
local receiver = require("paciolan.receiver")
local socket = require("socket")
local sqlite = require("paciolan.store.sqlite")

local folder, job = arg[1], arg[2]

local function say(...)
  io.write(table.concat({ ... }, " "), "\n")
  io.flush()
end

-- Until the process is killed.
local function stay()
  say("waiting")
  socket.sleep(600)
end

local function sell(message)
  local file = assert(io.open(folder .. "/sold", "ab"))
  assert(file:write(message.message_id, "\n"))
  file:close()
end

-- A store that stops the process right behind an operation that was done.
local function stopping_behind(store, method)
  return setmetatable({}, { __index = function(_, name)
    return function(_, ...)
      local first, second = store[name](store, ...)
      if name == method then
        stay()
      end
      return first, second
    end
  end })
end

local function open(store, on_seat)
  local reasons = {}
  local made = receiver.new { topics = { files.read(folder .. "/topic") }, roots = files.read(folder .. "/roots.pem"),
    store = store, on_seat = on_seat, on_report = function(report) reasons[#reasons + 1] = report.reason end,
    fetch_certificate = function() return files.read(folder .. "/leaf.pem") end }
  return made, reasons
end

local function deliver(made, reasons)
  local answer = made:handle { method = "POST", path = "/", headers = {}, body = files.read(folder .. "/body") }
  say("answer", ("%d"):format(answer.status), reasons[#reasons])
end

local jobs = {}

--- Stops when the message is committed, before it is answered.
function jobs.stop_behind_commit()
  local store = stopping_behind(assert(sqlite.new(folder .. "/store.db")), "replace")
  deliver(open(store, function(_, message)
    sell(message)
    return true
  end))
end

--- Stops in the handler, before and after it has done its work.
function jobs.stop_before_work()
  deliver(open(assert(sqlite.new(folder .. "/store.db")), stay))
end

function jobs.stop_behind_work()
  deliver(open(assert(sqlite.new(folder .. "/store.db")), function(_, message)
    sell(message)
    stay()
  end))
end

-- Until nothing more fits, however small.
local function fill(store)
  for _, size in ipairs { 4000, 1000, 100, 1 } do
    local written = 0
    repeat
      written = written + 1
    until not store:put(("fill/%d/%d"):format(size, written), ("x"):rep(size))
  end
end

--- Delivers while there is no room left for the store.
function jobs.fill()
  local store = assert(sqlite.new(folder .. "/store.db"))
  local made, reasons = open(store, function(_, message)
    sell(message)
    return true
  end)
  -- What is known of the topic before the room ends.
  assert(store:put("paciolan/sns_version/" .. files.read(folder .. "/topic"), "done"))
  fill(store)
  deliver(made, reasons)
  deliver(made, reasons)
  store:close()
end

local ok, problem = pcall(assert(jobs[job], "unknown job"))
if not ok then
  say("problem", tostring(problem))
end
say("end")
