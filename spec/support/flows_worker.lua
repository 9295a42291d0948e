--- One of several processes that carry workflows on a store in a file: `flows_worker.lua PATH JOB …`. The settings of
-- its client are JSON in FLOWS_CLIENT, those of its workflows in FLOWS_OPTIONS. FLOWS_SHIFT_MS is added to its clock,
-- for the store too. What it found is JSON on standard output, one line each.
local core = require("paciolan.core")
local curl = require("paciolan.transport.curl")
local json = require("paciolan.json")
local paciolan = require("paciolan")
local socket = require("socket")

local path, job = arg[1], arg[2]
local shift_ms = tonumber(os.getenv("FLOWS_SHIFT_MS")) or 0

local function now_ms()
  return core.now_ms() + shift_ms
end

local function say(what, value)
  io.write(what, " ", json.encode(value), "\n")
  io.flush()
end

local function exists(name)
  local file = io.open(name)
  return file ~= nil and file:close()
end

local client = json.decode(os.getenv("FLOWS_CLIENT"))
local inner, transport, on_answer = curl.new(), {}, nil
function transport.send(_, request)
  local answer, failure = inner:send(request)
  if on_answer then
    on_answer(request.url:match("^%a+://[^/]+(/[^?]*)"))
  end
  return answer, failure
end
function transport.sleep(_, ms) inner:sleep(ms) end
function transport.close() inner:close() end
client.transport = transport
local link = paciolan.new(client)
local store = assert(paciolan.store.sqlite({ path = path, now_ms = now_ms }))
local options = json.decode(os.getenv("FLOWS_OPTIONS") or "{}")
options.store, options.now_ms = store, now_ms
local flows = link:workflows(options)

local function plain(err)
  return err and { kind = err.kind, outcome = err.outcome, message = err.message, run = err.run,
    text = tostring(err) } or nil
end

local jobs = {}

local function read(name)
  local file = assert(io.open(name, "rb"))
  local input = json.decode(file:read("*a"))
  file:close()
  return input
end

--- Buys what stands in a file.
function jobs.buy(name)
  local input = read(name)
  local result, err = flows:buy(input)
  say("bought", { result = result, err = plain(err) })
end

-- Writes until nothing goes into the store any more. What was refused may go in a moment later: the store cleans up.
local function fill()
  local number, refused = 0, 0
  while refused < 20 do
    number = number + 1
    local is_done = store:put("fill/" .. number, ("x"):rep(refused == 0 and 4000 or 10))
    refused = is_done and refused or refused + 1
  end
end

--- Buys what stands in a file, twice. Behind the answer from a path its disk is full, with an empty one from the start.
function jobs.buy_until_full(name, path_of_answer)
  local input = read(name)
  link.catalog:events()
  local sent = {}
  local function answered(where)
    sent[#sent + 1] = where
    if where == path_of_answer then
      fill()
    end
  end
  answered("")
  on_answer = answered
  for _ = 1, 2 do
    local result, err = flows:buy(input)
    say("bought", { result = result, err = plain(err) })
  end
  table.remove(sent, 1)
  say("sent", sent)
end

--- Resumes once, as soon as a file is there.
function jobs.resume(go)
  link.catalog:events() -- so that the token is there
  say("ready", {})
  while go and not exists(go) do
    socket.sleep(0.001)
  end
  for _, one in ipairs(assert(flows:resume())) do
    one.err = plain(one.err)
    say("resumed", one)
  end
end

local ok, problem = pcall(assert(jobs[job], "unknown job"), arg[3], arg[4])
if not ok then
  say("raised", { text = tostring(problem) })
end
say("end", {})
store:close()
link:close()
