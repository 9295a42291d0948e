--- Several processes that share one store: spec/support/fleet_worker.lua, started together.
-- They are ended by `program.stop_all()`: call it in a teardown.
local cjson = require("cjson").new()
local files = require("support.files")
local program = require("support.program")
local socket = require("socket")

local fleet = {}

local Worker = {}
Worker.__index = Worker

-- The environment of a worker for a sandbox and a store.
local function variables_of(box, store, more)
  local variables = {
    PACIOLAN_BASE_URL = box.base_url, PACIOLAN_APPLICATION_ID = box.application_id, PACIOLAN_API_KEY = box.api_key,
    PACIOLAN_CHANNEL_CODE = box.channel_code, PACIOLAN_ORGANIZATION_ID = box.organization_id, PACIOLAN_STORE = store,
  }
  for name, value in pairs(more or {}) do
    variables[name] = type(value) == "table" and cjson.encode(value) or tostring(value)
  end
  return variables
end

--- Starts one worker.
-- @tparam Box box the sandbox
-- @tparam string store as in `PACIOLAN_STORE`
-- @tparam ?table more variables; a table becomes JSON
-- @treturn Worker
function fleet.worker(box, store, more)
  local command = ("env %s %s"):format(program.environment(variables_of(box, store, more)),
    program.words { program.lua, "spec/support/fleet_worker.lua" })
  return setmetatable({ _process = program.start(command) }, Worker)
end

--- Starts several workers, and lets them begin at the same moment.
-- @tparam number size
-- @treturn table list of workers
function fleet.start(size, box, store, more)
  local go = os.tmpname()
  os.remove(go)
  local variables = { FLEET_GO = go }
  for name, value in pairs(more or {}) do
    variables[name] = value
  end
  local workers = {}
  for i = 1, size do
    workers[i] = fleet.worker(box, store, variables)
  end
  for _, worker in ipairs(workers) do
    worker._process:wait_for("ready")
  end
  files.write(go, "")
  workers.go = go
  return workers
end

--- Waits for a worker's end.
-- @treturn ?table what it counted: `good`, `kinds`, `messages`, `longest_ms`; nil when it was killed
-- @treturn string what it wrote to standard error
function Worker:join()
  local process = self._process
  while os.execute(("kill -0 %d 2>/dev/null"):format(process.pid)) == (program.is_jit and 0 or true) do
    local line = process:output():match("done ([^\n]*)\n")
    if line then
      break
    end
    socket.sleep(0.02)
  end
  local line = process:output():match("done ([^\n]*)\n")
  local _, _, problems = process:stop(line and "CONT" or nil)
  return line and cjson.decode(line) or nil, problems
end

--- Waits for the end of all, and adds up what they counted.
-- @treturn table `good`, `kinds` (by kind), `messages`, `longest_ms`, `killed`
function fleet.join(workers)
  local sum = { good = 0, kinds = {}, messages = "", longest_ms = 0, killed = 0 }
  for _, worker in ipairs(workers) do
    local tally, problems = worker:join()
    if not tally then
      sum.killed = sum.killed + 1
      sum.messages = sum.messages .. problems
    else
      sum.good = sum.good + tally.good
      sum.longest_ms = math.max(sum.longest_ms, tally.longest_ms)
      for kind, count in pairs(tally.kinds) do
        sum.kinds[kind] = (sum.kinds[kind] or 0) + count
      end
      sum.messages = sum.messages .. tally.messages
    end
  end
  if workers.go then
    os.remove(workers.go)
  end
  return sum
end

return fleet
