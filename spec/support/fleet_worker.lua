--- One process of a fleet: makes calls side by side on the store of its environment, and writes down how they ended.
--
-- Environment, besides that of `paciolan.from_env`:
-- * FLEET_CALLS how many calls, all at once; FLEET_ROUNDS how often; FLEET_SECONDS instead: again and again so long
-- * FLEET_OPTIONS JSON, options of the client
-- * FLEET_GO a file; nothing is done before it is there
-- * FLEET_KILL the process kills itself with SIGKILL at this step of a renewal: `request` (before it is sent),
--   `response` (the answer is there), `stored` (the new pair is in the store, the lock still held), `rotation` (all is
--   done)
local cjson = require("cjson").new()
local paciolan = require("paciolan")
local core = require("paciolan.core")

local function number(name, default)
  return tonumber(os.getenv(name)) or default
end

local function die()
  local file = assert(io.open("/proc/self/stat", "r"))
  local pid = file:read("*a"):match("^%d+")
  file:close()
  os.execute("kill -9 " .. pid)
end

local function is_there(path)
  local file = io.open(path, "r")
  return file ~= nil and (file:close() or true)
end

-- The store of the environment, but the process dies when it holds a new token set.
local function fatal_store()
  local inner = paciolan.store.open(os.getenv("PACIOLAN_STORE"))
  local store = {}
  for _, name in ipairs { "get", "put", "add", "replace", "remove", "close" } do
    store[name] = function(_, key, ...)
      local value, err = inner[name](inner, key, ...)
      if value and (name == "replace" or name == "add") and key:find("^paciolan/token/") then
        die()
      end
      return value, err
    end
  end
  return store
end

local step = os.getenv("FLEET_KILL")
local options = cjson.decode(os.getenv("FLEET_OPTIONS") or "{}")
if step == "stored" then
  options.store = fatal_store()
elseif step then
  options.on_event = function(event)
    if event.type == step and event.operation == "auth.token" then
      die()
    end
  end
end
local link = paciolan.from_env(options)

local tally = { good = 0, kinds = {}, messages = {}, longest_ms = 0 }

local function count(result, err)
  if result then
    tally.good = tally.good + 1
  else
    tally.kinds[err.kind] = (tally.kinds[err.kind] or 0) + 1
    tally.messages[tostring(err.message)] = true
  end
end

local function round(calls)
  local tasks = {}
  for i = 1, calls do
    tasks[i] = function()
      local began = core.monotonic_ms()
      local result, err = link.catalog:events()
      tally.longest_ms = math.max(tally.longest_ms, core.monotonic_ms() - began)
      return result, err
    end
  end
  for _, entry in ipairs(paciolan.concurrent(tasks, { limit = calls })) do
    count(entry[1], entry[2])
  end
end

local go = os.getenv("FLEET_GO")
io.write("ready\n")
io.flush()
while go and not is_there(go) do
  core.sleep(5)
end

local calls, ends_at_ms = number("FLEET_CALLS", 16), core.monotonic_ms() + number("FLEET_SECONDS", 0) * 1000
for _ = 1, number("FLEET_ROUNDS", 1) do
  round(calls)
end
while core.monotonic_ms() < ends_at_ms do
  round(calls)
end

local messages = {}
for message in pairs(tally.messages) do
  messages[#messages + 1] = message
end
tally.messages = table.concat(messages, "\n")
io.write("done ", cjson.encode(tally), "\n")
link:close()
