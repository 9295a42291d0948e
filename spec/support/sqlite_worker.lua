--- One of several processes that use a sqlite store: `sqlite_worker.lua PATH JOB …`. Prints what its job found, and
-- what went wrong, on standard output.
local socket = require("socket")
local sqlite = require("paciolan.store.sqlite")

local path, job = arg[1], arg[2]
local jobs = {}

local function exists(name)
  local file = io.open(name)
  return file ~= nil and file:close()
end

-- So that several begin at the same moment.
local function wait_for_file(name)
  while not exists(name) do
    socket.sleep(0.001)
  end
end

local function say(...)
  io.write(table.concat({ ... }, " "), "\n")
  io.flush()
end

local function open()
  return assert(sqlite.new(path))
end

--- Opens the store at the moment that `go` appears, and writes one value.
function jobs.open(go, name)
  say("ready")
  wait_for_file(go)
  local store = open()
  assert(store:put("opened/" .. name, name))
  store:close()
end

local function increase(store, value)
  local is_done, err = store:replace("counter", value, ("%d"):format(value + 1))
  assert(err == nil, err)
  return is_done
end

--- Adds one to a counter, so many times.
function jobs.count(go, times)
  local store = open()
  say("ready")
  wait_for_file(go)
  for _ = 1, tonumber(times) do
    repeat
      local value = assert(store:get("counter"))
    until increase(store, value)
  end
  store:close()
end

--- Tries to be the first at so many keys; prints how often it was.
function jobs.add(go, times)
  local store, won = open(), 0
  say("ready")
  wait_for_file(go)
  for i = 1, tonumber(times) do
    local is_first, err = store:add("key/" .. i, "x")
    assert(err == nil, err)
    won = won + (is_first and 1 or 0)
  end
  store:close()
  say("won", won)
end

--- Writes so many values.
function jobs.write(go, times)
  local store = open()
  say("ready")
  wait_for_file(go)
  for i = 1, tonumber(times) do
    assert(store:put("key/" .. i % 5, ("x"):rep(300) .. i))
  end
  store:close()
end

--- Writes durable values and says each number once it is written, until the process is ended.
function jobs.write_for_ever()
  local store, i = open(), 0
  while true do
    i = i + 1
    assert(store:put("number/" .. i, ("value"):rep(i % 50), { durable = true }))
    say(i)
  end
end

--- Keeps the store locked, until the process is ended.
function jobs.lock()
  local store = open()
  store:group(function()
    assert(store:put("locked", "1"))
    say("locked")
    socket.sleep(600)
  end)
end

--- Writes until there is no room, makes room, and writes again.
function jobs.fill()
  local store, written = open(), 0
  local ok, err
  repeat
    written = written + 1
    ok, err = store:put("fill/" .. written, ("x"):rep(4000))
  until not ok
  say("failed", tostring(err.kind), tostring(err))
  local lost = 0
  for i = 1, written - 1 do
    lost = lost + (store:get("fill/" .. i) and 0 or 1)
  end
  say("lost", lost)
  local undone, why = store:group(function()
    for i = 1, 100 do
      store:put("group/" .. i, ("x"):rep(4000))
    end
    return true
  end)
  say("group", tostring(undone), tostring(why and why.kind), #assert(store:list("group/")))
  for i = 1, written - 1 do
    store:remove("fill/" .. i)
  end
  say("again", tostring(store:put("fill/1", "y")), tostring(store:get("fill/1")))
  store:close()
end

local ok, problem = pcall(assert(jobs[job], "unknown job"), arg[3], arg[4])
if not ok then
  say("problem", tostring(problem))
end
say("end")
