--- Many calls at once: a scheduler for functions that call a link.
--
-- Every task runs in a coroutine of its own, and all of them in one thread. A task gives way where a transport waits,
-- and nowhere else, so the code of a call stays straight. Nothing here knows of HTTP: a transport brings a *poller*,
-- and the loop of a run holds three sorts of tasks: those that can go on, those that wait for something that the poller
-- will bring, and those that sleep.
--
-- For a transport. Inside `send` and `sleep`, `concurrent.loop()` is the loop of the task that is calling, or nil where
-- it must block. The loop has:
--
-- * `loop:poller(open)`: the poller of this run. The first caller's `open` makes it: it returns the poller and
--   `function(is_sound)`, which is called when the run has ended; `is_sound` is false when the run broke off and
--   something may still be under way. A poller has `wait(timeout_ms)`, which returns as soon as something has ended,
--   and `take()`, which returns the number of something that has ended and up to two values, or nil.
-- * `loop:wait_for(number, owner)`: lets other tasks run until the poller brings that number; returns the two values.
--   `owner` is kept from the collector until then.
-- * `loop:sleep(ms)`: lets other tasks run for that long.
--
-- In nginx there is no loop of ours: its light threads run the tasks, and whatever yields there lets the others go on.
-- @module paciolan.concurrent
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local phases = require "paciolan.phases"

local concurrent = {}

local DEFAULT_LIMIT = 16
-- Each task that waits may hold a socket, and processes have 1024 of them by default.
local LARGEST_LIMIT = 1000
-- The poller is asked at least this often.
local LONGEST_WAIT_MS = 60000

-- What a task yields to its loop. Anything else comes from the task's own code.
local PARKED = {}

local MISUSED_YIELD = "concurrent: task %d called coroutine.yield, which only coroutines of its own may do"

-- The task that is being resumed, in the innermost run.
local current

-- Since Lua 5.3, and in LuaJIT 2.1: false inside a function that C called, such as one given to string.gsub.
local is_yieldable = rawget(coroutine, "isyieldable") or function() return true end
-- Since Lua 5.4: closes what a coroutine that will never go on has marked as to be closed.
local close_thread = rawget(coroutine, "close") or function() end

-- --- groups: the tasks of one call of `concurrent` -----------------------------------------------------------

local function is_over(group)
  return group.active == 0 and (group.has_failed or group.started == #group.tasks)
end

-- A text keeps the place where it was raised; any other value is raised again as it is.
local function explain(problem)
  return type(problem) == "string" and debug.traceback(problem, 2) or problem
end

local function run_task(group, index)
  local ok, first, second, third = xpcall(group.tasks[index], explain)
  if not ok and errors.is(first) then
    first, second, third = nil, first, nil
  elseif not ok then
    error(first, 0)
  end
  group.results[index] = { first, second, third }
end

local function new_task(group, index)
  local task = { group = group, index = index }
  task.thread = coroutine.create(function() run_task(group, index) end)
  return task
end

-- Starts as many tasks as the limit allows, and none after one has failed.
local function fill(loop, group)
  while not group.has_failed and group.active < group.limit and group.started < #group.tasks do
    group.started = group.started + 1
    group.active = group.active + 1
    loop:_wake(new_task(group, group.started))
  end
end

local function outcome_of(group)
  if group.has_failed then
    error(group.problem, 0)
  end
  return group.results
end

-- --- the loop of a run ---------------------------------------------------------------------------------------

local Loop = {}
Loop.__index = Loop

local function new_loop()
  return setmetatable({ _ready = {}, _sleeping = {}, _waiting = {}, _awaited = 0 }, Loop)
end

function Loop:_wake(task, first, second)
  task.first, task.second = first, second
  self._ready[#self._ready + 1] = task
end

local function fail(group, problem)
  if not group.has_failed then
    group.has_failed, group.problem = true, problem
  end
end

function Loop:_end_task(task)
  local group = task.group
  group.active = group.active - 1
  fill(self, group)
  if group.parent and is_over(group) then
    self:_wake(group.parent)
  end
end

-- Lets a task run until it waits or ends.
function Loop:_resume(task)
  local outer = current
  current = task
  task.loop = self
  local alive, yielded = coroutine.resume(task.thread, task.first, task.second)
  current = outer
  if alive and coroutine.status(task.thread) ~= "dead" then
    if yielded == PARKED then
      return
    end
    fail(task.group, MISUSED_YIELD:format(task.index))
    close_thread(task.thread)
  elseif not alive then
    fail(task.group, yielded)
  end
  self:_end_task(task)
end

function Loop:_wake_sleepers()
  local now_ms, left = core.monotonic_ms(), {}
  for _, task in ipairs(self._sleeping) do
    if task.wakes_at_ms <= now_ms then
      self:_wake(task)
    else
      left[#left + 1] = task
    end
  end
  self._sleeping = left
end

-- Milliseconds until something is to be done here, whatever the poller brings.
function Loop:_idle_ms()
  local idle_ms = #self._ready > 0 and 0 or LONGEST_WAIT_MS
  local now_ms = core.monotonic_ms()
  for _, task in ipairs(self._sleeping) do
    idle_ms = math.min(idle_ms, math.max(0, task.wakes_at_ms - now_ms))
  end
  return idle_ms
end

function Loop:_poll(timeout_ms)
  self._poller:wait(timeout_ms)
  local number, first, second = self._poller:take()
  while number do
    local task = self._waiting[number]
    if task then
      self._waiting[number], task.owner = nil, nil
      self._awaited = self._awaited - 1
      self:_wake(task, first, second)
    end
    number, first, second = self._poller:take()
  end
end

function Loop:_wait()
  local idle_ms = self:_idle_ms()
  if self._awaited > 0 then
    self:_poll(idle_ms)
  elseif idle_ms > 0 then
    core.sleep(idle_ms)
  end
  self:_wake_sleepers()
end

-- Every task that can go on does so once before the poller is asked again, so that none holds up the others for ever.
function Loop:_run(group)
  fill(self, group)
  while not is_over(group) do
    local ready = self._ready
    self._ready = {}
    for _, task in ipairs(ready) do
      self:_resume(task)
    end
    if not is_over(group) then
      self:_wait()
    end
  end
end

-- Gives way to the loop. The values are those with which the task is woken.
local function park()
  return coroutine.yield(PARKED)
end

--- The poller of this run.
-- @tparam function open makes it when the run has none yet, see the top of this file
-- @treturn table
function Loop:poller(open)
  if not self._poller then
    self._poller, self._release = open()
  end
  return self._poller
end

--- Lets other tasks run until the poller brings what has this number.
-- @tparam number number
-- @param[opt] owner what must outlive the wait; a stack does not keep it, as the compiler of LuaJIT drops what no code
-- uses any more
-- @return the first value that came with it
-- @return the second
function Loop:wait_for(number, owner)
  self._waiting[number], current.owner = current, owner
  self._awaited = self._awaited + 1
  return park()
end

--- Lets other tasks run for a time.
-- @tparam number ms milliseconds
function Loop:sleep(ms)
  current.wakes_at_ms = math.ceil(core.monotonic_ms() + ms)
  self._sleeping[#self._sleeping + 1] = current
  park()
end

--- The loop of the task that is running, for transports.
-- @treturn ?table nil outside of tasks, in a coroutine that a task made, and where C would have to give way
function concurrent.loop()
  local is_task = current ~= nil and current.thread == coroutine.running() and is_yieldable()
  return is_task and current.loop or nil
end

-- --- starting -----------------------------------------------------------------------------------------------

-- Errors of the caller point at the line that called the public function, which is a tail call and takes no level.
local CALLER = 3

local function check_tasks(tasks)
  if type(tasks) ~= "table" then
    error(("concurrent takes a list of functions, not %s"):format(type(tasks)), CALLER)
  end
  local list, count = {}, 0
  for key, task in pairs(tasks) do
    if type(task) ~= "function" then
      local place = type(key) == "number" and key or errors.shown(key)
      error(("concurrent: a function is expected at %s"):format(place), CALLER)
    end
    list[key], count = task, count + 1
  end
  if count ~= #list then
    error("concurrent: the tasks must be a list without holes", CALLER)
  end
  return list
end

local function check_limit(options)
  if options ~= nil and type(options) ~= "table" then
    error(("concurrent: the options must be a table, not %s"):format(type(options)), CALLER)
  end
  for name in pairs(options or {}) do
    if name ~= "limit" then
      error(("concurrent: unknown option %s; known is limit"):format(errors.shown(name)), CALLER)
    end
  end
  local limit = options and options.limit
  if limit == nil then
    return DEFAULT_LIMIT
  elseif type(limit) ~= "number" or limit < 1 or limit > LARGEST_LIMIT or limit ~= math.floor(limit) then
    error(("concurrent: limit must be a whole number from 1 to %d"):format(LARGEST_LIMIT), CALLER)
  end
  return limit
end

-- In a task: its tasks join the loop, and it waits for them.
local function run_within(loop, group)
  group.parent = current
  fill(loop, group)
  while not is_over(group) do
    park()
  end
end

local function run_alone(group)
  local loop = new_loop()
  local is_sound, problem = pcall(loop._run, loop, group)
  if loop._release then
    loop._release(is_sound)
  end
  if not is_sound then
    error(problem, 0)
  end
end

-- --- in nginx ------------------------------------------------------------------------------------------------

-- Light threads exist where cosockets do.
local function threads_of_nginx()
  return phases.may_yield(phases.current()) and phases.nginx().thread or nil
end

-- Takes one task after the other, until none is left or one has failed.
local function work(group)
  while not group.has_failed and group.started < #group.tasks do
    group.started = group.started + 1
    local ok, problem = pcall(run_task, group, group.started)
    if not ok then
      fail(group, problem)
    end
  end
end

-- The caller is one of those who work: a group of one needs no thread.
local function run_in_threads(threads, group)
  local spawned = {}
  for i = 2, math.min(group.limit, #group.tasks) do
    spawned[i - 1] = threads.spawn(work, group)
  end
  work(group)
  for _, thread in ipairs(spawned) do
    threads.wait(thread)
  end
end

--- Runs tasks side by side. `paciolan.concurrent` is this function and says more.
-- @tparam table tasks list of functions
-- @tparam ?table options `limit`
-- @treturn table
function concurrent.run(tasks, options)
  local group = {
    tasks = check_tasks(tasks), limit = check_limit(options), started = 0, active = 0, results = {}, has_failed = false,
  }
  local loop, threads = concurrent.loop(), threads_of_nginx()
  if threads then
    run_in_threads(threads, group)
  elseif loop then
    run_within(loop, group)
  else
    run_alone(group)
  end
  return outcome_of(group)
end

return concurrent
