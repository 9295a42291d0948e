--- What goes wrong around one process of a torture run, as `support.torture_plan` has drawn it: its network, the store
-- of its journal, and its death.
-- @module support.torture_stage
local cjson = require("cjson").new()
local curl = require("paciolan.transport.curl")
local errors = require("paciolan.errors")
local paciolan = require("paciolan")
local plan = require("support.torture_plan")

local stage = {}

local LONGEST_PAUSE_MS = 3

local scene, settings, told, process

--- Begins.
-- @tparam table options `folder`, `process` (a number), `settings`
function stage.open(options)
  settings, process = options.settings, options.process
  told = assert(io.open(options.folder .. "/told", "ab"))
  told:setvbuf("full", 65536)
  stage.set("start", nil, true)
end

--- Ends.
function stage.close()
  told:close()
end

--- Says what happens from now on.
-- @tparam string context which names the draws
-- @tparam ?table kill where this process dies: `where`, `side`, `at`
-- @tparam boolean is_clean nothing but PENDING goes wrong
-- @treturn table the scene; also to be set in it: `is_calm` (nothing at all), `loses_order` (each order is PENDING, and
-- the answer lost), `breaks_at` (the how manieth write is the last that the journal's store makes)
function stage.set(context, kill, is_clean)
  scene = { context = context, kill = kill, counts = {}, is_clean = is_clean }
  return scene
end

--- Writes a line to `told`. Every line is one write, so that it is whole or not there.
function stage.tell(entry)
  entry.process = process
  assert(told:write(cjson.encode(entry), "\n"))
  assert(told:flush())
end

local function count(what)
  scene.counts[what] = (scene.counts[what] or 0) + 1
  return scene.counts[what]
end

local function die()
  stage.tell { what = "kill", context = scene.context }
  local file = assert(io.open("/proc/self/stat", "r"))
  local pid = file:read("*a"):match("^%d+")
  file:close()
  os.execute("kill -9 " .. pid)
end

local function die_at(where, side, number)
  local kill = scene.kill
  if kill and kill.where == where and kill.side == side and kill.at == number then
    die()
  end
end

local PATTERNS = {}
for _, operation in ipairs(paciolan.operations()) do
  local pattern = "^" .. operation.path:gsub("%-", "%%-"):gsub("{%w+}", "[^/]+") .. "$"
  PATTERNS[#PATTERNS + 1] = { method = operation.method, pattern = pattern, name = operation.name }
end

-- A path without a value in it comes before one with, such as that of accept.
table.sort(PATTERNS, function(a, b)
  local is_plain, other = not a.pattern:find("[^/]+", 1, true), not b.pattern:find("[^/]+", 1, true)
  if is_plain ~= other then
    return is_plain
  end
  return a.name < b.name
end)

local function operation_of(request)
  local path = request.url:sub(#settings.base_url + 1):match("^[^?]*")
  for _, row in ipairs(PATTERNS) do
    if row.method == request.method and path:find(row.pattern) then
      return row.name
    end
  end
  error("no operation has this path")
end

local function with_headers(request, wish)
  local copy, list = {}, {}
  for name, value in pairs(request) do
    copy[name] = value
  end
  for i, header in ipairs(request.headers) do
    list[i] = header
  end
  local late = { LATE = ("%d"):format(math.floor(settings.timeout_ms * 1.3)),
    SOON = ("%d"):format(math.floor(settings.timeout_ms / 12)) }
  list[#list + 1] = wish.fault and { "X-Sandbox-Fault", (wish.fault:gsub("%u+", late)) } or nil
  list[#list + 1] = wish.pending and { "X-Sandbox-Pending", wish.pending } or nil
  list[#list + 1] = wish.outcome and { "X-Sandbox-Outcome", wish.outcome } or nil
  copy.headers = list
  return copy
end

local PIVOTS = { ["orders.complete"] = true, ["transfers.initiate"] = true }

--- The network as the plan has it; it does not wait between repetitions for long.
-- @treturn table a transport
function stage.network()
  local inner, transport = curl.new(), {}
  function transport.send(_, request)
    local operation, number = operation_of(request), count("requests")
    local wish = plan.treatment(settings.seed, scene.context, operation, count(operation), scene.is_clean)
    if scene.loses_order and operation == "orders.complete" then
      wish = { pending = "999", fault = "reset=after" }
    elseif scene.is_calm then
      wish = {}
    end
    local pivot = PIVOTS[operation] and count("pivots")
    die_at("request", "before", number)
    die_at("pivot", "before", pivot)
    local answer, failure = inner:send(with_headers(request, wish))
    die_at("request", "after", number)
    die_at("pivot", "after", pivot)
    return answer, failure
  end
  function transport.sleep(_, ms) inner:sleep(math.min(ms, LONGEST_PAUSE_MS)) end
  function transport.close() inner:close() end
  return transport
end

local IS_WRITE = { put = true, add = true, replace = true, remove = true }

local function failed_store(is_done)
  local err = errors.store("the store failed on purpose")
  err.outcome = not is_done and "not_sent" or nil
  return nil, err
end

--- The journal's store as the plan has it.
-- @tparam table inner a store
-- @treturn table
function stage.store(inner)
  local store = {}
  for _, method in ipairs { "get", "put", "add", "replace", "remove", "list" } do
    store[method] = function(_, ...)
      local how = plan.store_end(settings.seed, scene.context, count("operations"), scene.is_clean)
      local number = IS_WRITE[method] and count("writes") or 0
      if how == "fail" or (scene.breaks_at and (scene.counts.writes or 0) >= scene.breaks_at) then
        return failed_store(false)
      end
      die_at("write", "before", number)
      local value, err = inner[method](inner, ...)
      die_at("write", "after", number)
      if how == "lost" then
        return failed_store(true)
      end
      return value, err
    end
  end
  return store
end

return stage
