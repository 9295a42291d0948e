--- The torture of workflows: purchases and transfers against a sandbox that misbehaves, while the process that carries
-- them is killed again and again and another one resumes. At the end the journal and the sandbox's ledger must agree,
-- seat by seat.
--
--     local found = require("support.torture").run { runs = 60, seed = "1", store = "sqlite" }
--     for _, text in ipairs(found.violations) do print(text) end
--
-- `support.torture_plan` draws what happens, `support.torture_stage` lets it happen, `support.torture_worker` is the
-- process that is killed, and `support.torture_check` compares. Nobody waits for leases and deadlines: between two
-- processes the clocks of the workers, of the store and of the sandbox are moved ahead together.
-- @module support.torture
local cjson = require("cjson").new()
local core = require("paciolan.core")
local files = require("support.files")
local folder = require("support.folder")
local paciolan = require("paciolan")
local peers = require("support.peers")
local plan = require("support.torture_plan")
local program = require("support.program")
local redis = require("support.redis")
local sandboxes = require("paciolan.sandbox.child")
local socket = require("socket")
local torture_check = require("support.torture_check")

local torture = {}

local EVENT = "129:FB30:FB03"
local WORKER = debug.getinfo(1, "S").source:match("^@(.*)torture%.lua$") .. "torture_worker.lua"
local KILLED = 137 -- 128 and the number of SIGKILL, as a shell says it
local LONG_S = 10 * 365 * 86400
local LEAST_TIMEOUT_MS = 150
local REDIS_RESTART_S = 2
local REDELIVERY_TRIES = 100 -- a Redis that is being restarted must not cost a callback
local LAST_PASSES = 6
local PATIENCE_S = 30
local STUCK_AFTER = 60 -- processes that bring nothing forward

local Run = {}
Run.__index = Run

-- --- getting ready ------------------------------------------------------------------------------------------------

local function own_pid()
  return tonumber(files.read("/proc/self/stat"):match("^%d+"))
end

-- How long an answer takes here, under whatever slows this run down; the workers have a multiple of it.
local function measure(link)
  local slowest = 0
  for i = 1, 10 do
    local began = core.monotonic_ms()
    assert(link.catalog:events())
    slowest = i > 1 and math.max(slowest, core.monotonic_ms() - began) or 0
  end
  return math.max(LEAST_TIMEOUT_MS, math.ceil(slowest) * 10)
end

local function largest_first(world)
  local listings = {}
  for _, listing in ipairs(world.listings) do
    listings[#listings + 1] = listing.accessId:find("^129:") and listing or nil
  end
  table.sort(listings, function(a, b)
    if #a.tokens ~= #b.tokens then
      return #a.tokens > #b.tokens
    end
    return a.listingId < b.listingId
  end)
  for i, listing in ipairs(listings) do
    listings[i] = listing.listingId
  end
  return listings
end

local function write_seats(self, world)
  local lines = {}
  for _, seat in ipairs(world.seats) do
    lines[#lines + 1] = seat.accessId == EVENT and ("%s %s"):format(seat.token, seat.barcode) or nil
  end
  files.write(self.folder .. "/seats", table.concat(lines, "\n") .. "\n")
end

local function open_store(self, name)
  if name == "redis" then
    self.redis = redis.start("appendonly yes\nappendfsync always")
    self.settings.redis = self.redis:url()
  else
    assert(name == "sqlite", "there is no such store")
  end
end

local function write_settings(self)
  files.write(self.folder .. "/settings", cjson.encode(self.settings))
end

local function wait_for_ready(process)
  process:wait_for("ready")
end

local function start(self, role)
  local environment = program.environment { TORTURE_FOLDER = self.folder, TORTURE_ROLE = role,
    TORTURE_PROCESS = ("%d"):format(self.process) }
  return program.start(("env %s %s"):format(environment, program.words { program.lua, WORKER }))
end

local function start_receiver(self)
  self.receiver = start(self, "receive")
  wait_for_ready(self.receiver)
  if plan.hears_messages(self.settings.seed) then
    self.box:subscribe { url = self.settings.receiver_url .. "/messages", topic = "seats", mode = "direct",
      user = "torture", password = "no secret" }
  end
end

local function prepare(self, options)
  local size = plan.size(options.runs)
  self.folder, self.process, self.offset_ms, self.began = folder.make(), 1, 0, socket.gettime()
  self.box = sandboxes.start { seed = "torture-" .. options.seed, extra_seats = size.seats,
    token_lifetime_s = LONG_S, redelivery_ms = 100, redelivery_tries = REDELIVERY_TRIES }
  local link = paciolan.new(self.box:client_options())
  local timeout_ms, token = measure(link), assert(link.auth:token())
  link:close()
  local world, box = self.box:control("GET", "/_sandbox/world"), self.box
  local port = peers.unused_port()
  local url = ("http://127.0.0.1:%d"):format(port)
  self.settings = { seed = options.seed, runs = options.runs, first = options.first or 1,
    last = math.min(options.last or size.slots, size.slots), accounts = math.min(8, math.ceil(options.runs / 20)),
    kill_share = options.kill_share, timeout_ms = timeout_ms, deadline_ms = math.max(1500, timeout_ms * 6),
    poll_ms = math.max(30, timeout_ms / 5), store_pause_ms = options.store == "redis" and 150 or 1,
    base_url = box.base_url, application_id = box.application_id,
    api_key = box.api_key, channel_code = box.channel_code, organization_id = box.organization_id,
    access_token = token.accessToken, access_id = EVENT, listings = largest_first(world), driver = own_pid(),
    receiver_port = port, receiver_url = url, callback_path = "/callbacks/of-the-torture-run",
    callback_url = url .. "/callbacks/of-the-torture-run",
    nowhere_url = url .. "/nobody" } -- where nothing without a password is taken
  write_seats(self, world)
  open_store(self, options.store)
  files.write(self.folder .. "/offset", "0")
  files.write(self.folder .. "/told", "")
  write_settings(self)
  self.settings.size = size
  start_receiver(self)
end

-- --- processes ----------------------------------------------------------------------------------------------------

local function is_alive(process)
  local file = io.open(("/proc/%d/stat"):format(process.pid), "r")
  return file ~= nil and (file:close() or true)
end

-- Waits for the end of processes. A Redis is restarted meanwhile, now and then.
local function wait_for(self, processes)
  for _, process in ipairs(processes) do
    while is_alive(process) do
      socket.sleep(0.004)
      if self.redis and socket.gettime() > self.redis_restart_at then
        self.redis:stop("KILL")
        self.redis:start()
        self.redis_restart_at = socket.gettime() + REDIS_RESTART_S
      end
    end
  end
  local codes = {}
  for i, process in ipairs(processes) do
    local code, _, problems = process:stop()
    codes[i] = code
    if code ~= 0 and code ~= KILLED then
      error(("process %d of the torture failed:\n%s"):format(self.process, problems), 0)
    end
  end
  return codes
end

local function run_process(self, role)
  return wait_for(self, { start(self, role) })[1]
end

-- Lets time pass for everybody.
local function pass(self, seconds)
  self.offset_ms = self.offset_ms + seconds * 1000
  files.write(self.folder .. "/offset", ("%d"):format(self.offset_ms))
  self.box:control("POST", "/_sandbox/clock", { advance_s = seconds })
  if self.redis then
    self.redis:advance(seconds * 1000)
  end
end

local function restart_redis(self)
  self.redis:stop("KILL")
  self.redis:start()
  self.redis_restart_at = socket.gettime() + REDIS_RESTART_S
end

local function resume_twice(self)
  local processes = {}
  for i = 1, 2 do
    self.process = self.process + 1
    processes[i] = start(self, "resume")
  end
  self.doubles = (self.doubles or 0) + 1
  wait_for(self, processes)
end

local function pause(self)
  local wish = plan.pause(self.settings, self.process)
  pass(self, wish.wait_s)
  if self.redis and wish.restarts then
    restart_redis(self)
  end
  if wish.is_double then
    resume_twice(self)
    pass(self, 10)
  end
  self.process = self.process + 1
end

local function slots_begun(self)
  return select(2, files.read(self.folder .. "/told"):gsub('"what":"begin"', ""))
end

local function work(self)
  local begun, last_progress = 0, 0
  while run_process(self, "work") == KILLED do
    local now_begun = slots_begun(self)
    last_progress = now_begun > begun and self.process or last_progress
    begun = now_begun
    assert(self.process - last_progress < STUCK_AFTER * 3, "the processes of the torture bring nothing forward")
    pause(self)
  end
end

-- Leaves runs in the middle, and lets two processes carry them on at once.
local function leave_to_two(self)
  assert(run_process(self, "leave") == 0)
  pass(self, 10)
  resume_twice(self)
end

local function wait_for_deliveries(self)
  local ends_at = socket.gettime() + PATIENCE_S
  while self.box:deliveries(0).waiting > 0 do
    assert(socket.gettime() < ends_at, "the deliveries of the sandbox do not end")
    socket.sleep(0.02)
  end
end

-- Nothing goes wrong any more, and time passes, until whatever can be known is known.
local function come_to_rest(self)
  pass(self, 10)
  self.settings.is_calm = true
  local size = self.settings.size
  self.settings.size = nil
  write_settings(self)
  self.settings.size = size
  for i = 1, LAST_PASSES do
    self.process = self.process + 1
    pass(self, i == 1 and plan.LATE_S or 1000)
    wait_for_deliveries(self)
    assert(run_process(self, "resume") == 0)
  end
  wait_for_deliveries(self)
  assert(run_process(self, "report") == 0)
end

-- --- the end ------------------------------------------------------------------------------------------------------

local function read_lines(path)
  local list = {}
  for line in io.lines(path) do
    list[#list + 1] = cjson.decode(line)
  end
  return list
end

local function stop(self)
  if self.folder then
    files.write(self.folder .. "/stop", "")
  end
  program.stop_all()
  redis.stop_all()
  if self.box then
    self.box:stop()
  end
  folder.remove_all()
end

local function count_faults(self)
  local sum = 0
  for _, count in pairs(self.box:control("GET", "/_sandbox/faults").applied) do
    sum = sum + count
  end
  return sum
end

local function torment(self, is_left)
  self.redis_restart_at = socket.gettime() + REDIS_RESTART_S
  if is_left then
    leave_to_two(self)
  else
    work(self)
  end
  come_to_rest(self)
  local found = torture_check.run { settings = self.settings, world = self.box:control("GET", "/_sandbox/world"),
    ledger = self.box:control("GET", "/_sandbox/ledger"), report = read_lines(self.folder .. "/report"),
    told = read_lines(self.folder .. "/told") }
  found.tallies.processes, found.tallies.faults = self.process, count_faults(self)
  found.tallies["two resumed at once"] = self.doubles or 0
  found.tallies.seconds = math.ceil(socket.gettime() - self.began)
  found.tallies["hours on the clock"] = math.floor(self.offset_ms / 3600000)
  return found
end

-- For whoever looks for the reason of a violation.
local function keep(self)
  local place = os.getenv("TORTURE_KEEP")
  if place and place ~= "" and self.folder then
    program.run(program.words { "cp", "-r", self.folder, place })
    local ledger = self.box:control("GET", "/_sandbox/ledger")
    files.write(place .. "/ledger", cjson.encode(ledger))
  end
end

--- Runs it. Whatever was started is stopped, also when it fails.
-- @tparam table options
--
-- * `runs`: purchases; a fifth as many transfers come on top
-- * `seed`: a text
-- * `store`: `sqlite` or `redis`
-- * `kill_share`: in how many of a hundred slots the process dies
-- * `first`, `last`: slots, all by default
-- * `is_left`: purchases are only begun, and two processes carry all of them on at once
-- @treturn table `violations`, `counts`, `tallies`
function torture.run(options)
  local self = setmetatable({}, Run)
  local ok, result = pcall(function()
    prepare(self, options)
    return torment(self, options.is_left)
  end)
  pcall(keep, self)
  stop(self)
  if not ok then
    error(result, 0)
  end
  return result
end

-- --- in words -----------------------------------------------------------------------------------------------------

local function sorted_names(set)
  local list = {}
  for name in pairs(set) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

--- The counts as lines.
-- @tparam table found as of `run`
-- @treturn string
function torture.table_of(found)
  local lines = {}
  for _, kind in ipairs(sorted_names(found.counts)) do
    local parts = {}
    for _, state in ipairs(sorted_names(found.counts[kind])) do
      parts[#parts + 1] = ("%s %d"):format(state, found.counts[kind][state])
    end
    lines[#lines + 1] = ("  %-20s %s"):format(kind, table.concat(parts, "   "))
  end
  for _, name in ipairs(sorted_names(found.tallies)) do
    lines[#lines + 1] = ("  %-20s %d"):format(name, found.tallies[name])
  end
  return table.concat(lines, "\n")
end

return torture
