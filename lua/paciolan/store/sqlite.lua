--- A store in one file of a local disk, for all processes of a host. It keeps the contract of paciolan.store.contract.
--
-- What was written survives the end of the process, however it ends. What was written with `durable` survives a loss of
-- power as well: the call returns when the disk has it. Without `durable`, a loss of power may undo the newest writes,
-- but never leaves a part of one; so it is with `remove`, after which a loss of power may bring the old value back. A
-- durable write takes along all that was written before it.
--
-- Any number of processes may use the file at the same time, each with a store of its own. A write waits while another
-- process writes, and the whole program with it, which takes milliseconds as long as nobody stays in a group. A program
-- must not open the file by itself while it has a store on it, not even to read it: the system drops the locks of the
-- store when that is closed. The file, and the `-wal` and `-shm` files that stand beside it while it is open, belong
-- together: a copy is made with `sqlite3 FILE ".backup COPY"`. A network file system will not do.
--
-- A program that forks closes the store before, and opens it anew on both sides. A file that was open at the fork is no
-- more to be used in the child: every operation answers `nil, err`, also that of a store which is made there, because
-- the child would believe that it holds the locks of its parent. A store that another Lua state of the process had open
-- is not noticed.
-- @module paciolan.store.sqlite
local contract = require "paciolan.store.contract"
local core = require "paciolan.core"
local errors = require "paciolan.errors"

local sqlite = {}

local DEFAULT_BUSY_TIMEOUT_MS = 5000
local LONGEST_BUSY_TIMEOUT_MS = 24 * 60 * 60 * 1000

local new_store, methods = contract.class("paciolan.store.sqlite")

-- Seen from `operate`, which takes the place of a function of the backend, where the caller of a store's method is.
local METHOD = 3

-- LuaJIT has none, and nothing that would have to be closed.
local close_coroutine = rawget(coroutine, "close")

local backend = {}
backend.__index = backend

-- A file that cannot be opened now is tried again by the next operation. Returns nil and a message then.
local function open_file(self)
  if not self.db then
    local db, failure = self.module.open(self.path, self.busy_timeout_ms)
    if not db then
      return nil, failure
    end
    self.db = db
  end
  return self.db
end

-- Returns the open file, if no group has it for itself: what another task writes must not be undone with the group.
-- `level` is for the error.
local function open_db(self, level)
  if self.group and self.group ~= coroutine.running() then
    error("a group of this store is open in another coroutine: use the store when that has ended", level + 1)
  end
  return open_file(self)
end

-- The file stands behind what is wrong with it: before a colon its name could be taken for that of a secret.
local function describe(self, failure)
  return failure .. " (" .. self.path .. ")"
end

local function finish(self, is_certain, value, failure)
  if failure ~= nil then
    return nil, describe(self, failure), is_certain
  end
  return value
end

-- Called as `return operate(…)` only: a call in that place takes the caller's level. A write that failed was not made,
-- that `is_certain`, but a durable one may have been, and only its sync failed.
local function operate(self, is_certain, method, ...)
  local db, failure = open_db(self, METHOD)
  if not db then
    return finish(self, is_certain, nil, failure)
  end
  return finish(self, is_certain, db[method](db, ...))
end

function backend:get(key)
  return operate(self, false, "get", key, self.now_ms())
end

function backend:put(key, value, ttl_ms, durable)
  local now_ms = self.now_ms()
  return operate(self, not durable, "put", key, value, ttl_ms and now_ms + ttl_ms, durable, now_ms)
end

function backend:add(key, value, ttl_ms, durable)
  local now_ms = self.now_ms()
  return operate(self, not durable, "add", key, value, ttl_ms and now_ms + ttl_ms, durable, now_ms)
end

function backend:replace(key, expected, value, ttl_ms, durable)
  local now_ms = self.now_ms()
  return operate(self, not durable, "replace", key, expected, value, ttl_ms and now_ms + ttl_ms, durable, now_ms)
end

function backend:remove(key, expected)
  return operate(self, true, "remove", key, expected, self.now_ms())
end

function backend:list(prefix, after, limit)
  return operate(self, false, "list", prefix, after, limit, self.now_ms())
end

function backend:close()
  self.group = nil
  if self.db then
    self.db:close()
  end
end

local function check_group_arguments(self, run, options)
  local own = type(self) == "table" and rawget(self, "_backend")
  if type(self) ~= "table" or self.group ~= methods.group then
    error("call store methods with a colon: store:group(run)", 3)
  elseif not own then
    error("the store is closed", 3)
  elseif type(run) ~= "function" then
    error("group takes a function, not " .. type(run), 3)
  elseif options ~= nil and type(options) ~= "table" then
    error("options must be a table, not " .. type(options), 3)
  end
  for key, value in pairs(options or {}) do
    if key ~= "durable" then
      error("unknown option " .. errors.shown(key), 3)
    elseif type(value) ~= "boolean" then
      error("option durable must be a boolean", 3)
    end
  end
  return own
end

-- Ends a group whose function returned or, with a false `ok`, raised; what it returned decides.
local function end_group(own, now_ms, ok, first, second, ...)
  local is_own = own.group ~= nil
  own.group = nil
  if not ok or (first == nil and second ~= nil) then
    if is_own then
      own.db:rollback()
    end
    if not ok then
      error(first, 0)
    end
    return nil, second
  elseif not is_own then
    error("the store was closed in its group: nothing of it was written", 2)
  end
  local _, failure = finish(own, false, own.db:commit(now_ms))
  if failure then
    return nil, errors.store(failure)
  elseif first == nil then
    return true
  end
  return first, second, ...
end

-- Undoes a group whose function has yielded. Who waits there may never go on, and the lock on the file would stay.
local function give_up_group(own, thread)
  if close_coroutine then
    close_coroutine(thread) -- what is closed at its end may still use the store, and is undone too
  end
  if own.group then
    own.group = nil
    own.db:rollback()
  end
end

-- Takes what `coroutine.resume` returned. Called as `return leave_group(…)` only, as `operate` is.
local function leave_group(own, thread, now_ms, is_alive, ...)
  if not is_alive then
    return end_group(own, now_ms, false, ...)
  elseif coroutine.status(thread) == "dead" then
    return end_group(own, now_ms, ...)
  end
  give_up_group(own, thread)
  error("a group must not yield: nothing of it was written", 2)
end

--- Makes all writes of a function one: either all of them happen, or none does, and with `durable` they wait for the
-- disk once. Until it returns, every other process waits with its writes, so it should do nothing that takes long.
--
-- The function runs in a coroutine of its own. What other coroutines do with the store meanwhile raises, and so does
-- the group when its function yields.
--
-- All writes are undone when the function returns nil and an error, which are then returned, when it yields, when it
-- raises, which goes on, and when one of its writes failed, even if it paid no heed. A group in which one write is
-- durable is durable.
-- @function store:group
-- @tparam function run called with the store
-- @tparam ?table options `durable`: true, that the writes survive a loss of power
-- @return what the function returned, or true for nothing
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`, or what the function returned with nil
-- @raise for misuse, for a group inside of a group, and for a function that yields
function methods:group(run, options)
  local own = check_group_arguments(self, run, options)
  if own.group and own.group == coroutine.running() then
    error("a group of this store is open already", 2)
  end
  local now_ms = own.now_ms()
  local thread = coroutine.create(function() return pcall(run, self) end)
  local db, failure = open_db(own, 2)
  local begun
  if db then
    begun, failure = db:begin(options ~= nil and options.durable == true)
  end
  if not begun then
    return nil, errors.store(describe(own, failure))
  end
  own.group = thread
  return leave_group(own, thread, now_ms, coroutine.resume(thread))
end

local known = {
  path = function(value)
    return type(value) == "string" and value ~= "" and value ~= ":memory:" and not value:find("^file:")
      and not value:find("\0", 1, true), "the path of a file"
  end,
  busy_timeout_ms = function(value)
    return type(value) == "number" and value >= 0 and value <= LONGEST_BUSY_TIMEOUT_MS and value == math.floor(value),
      "a whole number of milliseconds, at most a day"
  end,
  now_ms = function(value) return type(value) == "function", "a function" end,
}

local function check_options(options)
  if type(options) == "string" then
    options = { path = options }
  elseif type(options) ~= "table" then
    error("sqlite.new takes a path or a table of options, not " .. type(options), 3)
  end
  for key, value in pairs(options) do
    if not known[key] then
      error("unknown option " .. errors.shown(key), 3)
    end
    local ok, wanted = known[key](value)
    if not ok then
      error(("option %s must be %s"):format(key, wanted), 3)
    end
  end
  if options.path == nil then
    error("option path is missing", 3)
  end
  return options
end

-- The numbers of the system, the same on all of them, for a file that is not there: ENOENT, EACCES, ENOTDIR.
local ABSENT = { [2] = true, [13] = true, [20] = true }

-- Why `require` finds no module: nil when there is none. It takes a file that cannot be opened now, because too many
-- are open, for one that is missing.
local function why_not_found()
  for template in package.cpath:gmatch("[^;]+") do
    local path = template:gsub("%?", "paciolan/sqlite")
    local file, problem, code = io.open(path, "rb")
    if file then
      file:close()
      return path .. " is there, but was not found"
    elseif not ABSENT[code] then
      return problem
    end
  end
end

-- The C module is there only if SQLite was when the library was built. What kept the system from loading it is told as
-- the system says it.
local function load_module()
  local ok, module = pcall(require, "paciolan.sqlite")
  if ok then
    return module
  end
  local reason = tostring(module)
  if reason:find("module 'paciolan.sqlite' not found", 1, true) then
    local problem = why_not_found()
    reason = problem and "the sqlite store cannot be loaded: " .. problem
      or "the sqlite store was not built: install SQLite with its headers (libsqlite3-dev on Debian), "
      .. "then build paciolan again"
  end
  error(reason, 3)
end

--- Opens a store, and makes the file, for this user only, if there is none.
--
-- A file that cannot be opened now, because its disk is full, its folder is missing, it is locked, damaged or no store,
-- makes a store all the same: each operation tries again to open it, and answers `nil, err` until it can. So a store
-- that stands in the settings of a client is never nil.
-- @tparam string|table options the path of the file, or `path`; `busy_timeout_ms`: how long a call may wait for other
-- processes, 5000; `now_ms`: a function that gives unix milliseconds, for tests
-- @treturn table the store
-- @treturn ?table err of kind `store`: why the file could not be opened now
-- @raise for misuse, and if the library was built without SQLite
-- @usage local store = paciolan.store.sqlite("paciolan.db")
function sqlite.new(options)
  local module = load_module()
  options = check_options(options)
  local self = setmetatable({
    module = module, path = options.path, busy_timeout_ms = options.busy_timeout_ms or DEFAULT_BUSY_TIMEOUT_MS,
    now_ms = options.now_ms or core.now_ms,
  }, backend)
  local db, failure = open_file(self)
  return new_store(self), not db and errors.store(describe(self, failure)) or nil
end

return sqlite
