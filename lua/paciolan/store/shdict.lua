--- A store in a `lua_shared_dict` of nginx, for all workers of one nginx. It keeps the contract of
-- paciolan.store.contract.
--
--     local store = shdict.new "paciolan"                       -- nginx.conf: lua_shared_dict paciolan 10m;
--     local store = shdict.new { dict = "paciolan", prefix = "tickets:" }
--
-- A dict is memory. What it holds survives a reload and the death of a worker, and not the end of nginx; `durable`
-- changes nothing about that. Nothing is ever evicted for a new value: a full dict answers `nil, err`, and the old
-- value stays. Give the store a dict of its own, for an ordinary `set` of another program evicts what is oldest.
--
-- `list` walks all keys of the dict and holds up every worker meanwhile, so journals of workflows belong elsewhere.
-- A time to live runs by the clock of the host; `get` and `list` take the time that nginx saw last. Keys have at most
-- 65,535 bytes, the prefix and seven more among them. A store must not be used inside of `ngx.run_worker_thread`: all
-- threads have one pid.
--
-- A write holds a lock for the moment that it takes and never yields meanwhile. A lock of a worker that died is broken
-- at once. One that is stopped keeps its lock for 60 s; others wait for a second and answer `nil, err` then. A worker
-- that was stopped for longer writes nothing when it goes on, save where it was stopped in the last steps of a write,
-- between `ttl` and `safe_set`: its value then replaces what others wrote since, and that is lost.
-- @module paciolan.store.shdict
local contract = require "paciolan.store.contract"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local locks = require "paciolan.store.shdict_locks"
local phases = require "paciolan.phases"

local shdict = {}

local new_store = contract.class("paciolan.store.shdict")

local LONGEST_NAME = 65535 -- of ngx_http_lua_shdict
local FLUSHED_AT_ONCE, FLUSH_PAUSE, LONGEST_FLUSH_PAUSE_MS = 1000, 50, 1000
local FEW_LOOKS = 1000
local STAYS, ENDS = 0, 1 -- flags of an entry: whether it has a time to live
local MARK_LENGTH = 36

local FOREIGN = "a key below the prefix is no value of this store, another program uses the same prefix"
local TOO_LONG = ("the key is too long, a shared dict takes %d bytes with the prefix"):format(LONGEST_NAME)
local OVERTAKEN = "the worker stood still for so long that its lock ended"

-- A value is two entries. Under `<prefix>/value/<key>` stands a mark, and under `<prefix>/data/<mark>` the bytes. A
-- dict drops the old bytes of an entry before it finds that there is no room for more; a mark is as long as the one
-- before it, and so takes its place in one step that cannot fail.

local backend = {}
backend.__index = backend

local function describe(self, problem)
  if problem == locks.STALLED then
    return problem
  elseif problem == "no memory" then
    return ("the shared dict %s is full, raise its size in lua_shared_dict"):format(self.dict_name)
  end
  return ("the shared dict %s failed (%s)"):format(self.dict_name, tostring(problem))
end

-- Looking for what has ended walks through the whole dict and keeps it locked meanwhile. When there was nothing, the
-- next look is fifty times as long away as this one took: at once in a small dict, and a second later in a large one.
local function make_room(self)
  local now_ms = core.monotonic_ms()
  if now_ms < (self.next_flush_ms or 0) then
    return false
  elseif self.dict:flush_expired(FLUSHED_AT_ONCE) == 0 then
    local ends_at_ms = core.monotonic_ms()
    self.next_flush_ms = ends_at_ms + math.min(FLUSH_PAUSE * (ends_at_ms - now_ms), LONGEST_FLUSH_PAUSE_MS)
    return false
  end
  return true
end

-- Writes an entry without evicting others; what has ended makes room. `method` is `safe_set` or `safe_add`.
local function store_entry(self, method, name, value, ttl_s, flags)
  local dict = self.dict
  local ok, problem = dict[method](dict, name, value, ttl_s, flags)
  if not ok and problem == "no memory" and make_room(self) then
    ok, problem = dict[method](dict, name, value, ttl_s, flags)
  end
  return ok, problem
end

-- Nil where nothing is, or where the name is too long; that is told by the third value.
local function name_of(self, key)
  local name = self.values .. key
  if #name > LONGEST_NAME then
    return nil, TOO_LONG
  end
  return name
end

-- Returns the value, its mark and the flags; nothing where there is none; or nil and a failure. A mark that others
-- replace between the two looks is read again.
local function look(self, name)
  local dict, before = self.dict, nil
  for _ = 1, FEW_LOOKS do
    local mark, flags = dict:get(name)
    if mark == nil and flags == nil then
      return nil
    elseif type(mark) ~= "string" or #mark ~= MARK_LENGTH then
      return nil, FOREIGN
    end
    local value = dict:get(self.data .. mark)
    if type(value) == "string" then
      return value, mark, flags or STAYS
    elseif mark == before then
      return nil
    end
    before = mark
  end
  return nil, locks.STALLED
end

---- Changes --------------------------------------------------------------------------------------------------------

-- Runs `change(self, place, ...)` alone among all workers. The place tells what stands under the key: its `name`, the
-- `value`, its `mark` and `flags`, and the `new_mark` that a new value gets.
local function alone(self, change, key, ...)
  local name, failure = name_of(self, key)
  if not name then
    return nil, failure, true
  end
  local lock, problem = self.locks:take(key)
  if not lock then
    return nil, describe(self, problem), true
  end
  local place, done = { name = name, new_mark = lock.mark }, nil
  place.value, place.mark, place.flags = look(self, name)
  if place.value == nil and place.mark then
    problem = place.mark
  else
    done, problem = change(self, place, ...)
  end
  self.locks:give_back(lock)
  return done, problem, true
end

-- The bytes go in with a time to live of their own, which also tells who stood still for longer than a lock lasts.
local function write(self, place, value, ttl_s)
  local dict, data = self.dict, self.data .. place.new_mark
  local ok, problem = store_entry(self, "safe_add", data, value, locks.LOCK_S)
  if not ok then
    return nil, describe(self, problem)
  end
  -- A worker that was stopped here finds its bytes ended by the true time; `expire` alone would bring them back. One
  -- that is stopped from here on for longer than a lock lasts may still overwrite what came since.
  self.ngx.update_time()
  local left_s = dict:ttl(data)
  -- The bytes end a little later than the mark, which decides.
  if not left_s or left_s <= 0 or not dict:expire(data, ttl_s and ttl_s + 1 or 0) then
    return nil, OVERTAKEN
  end
  ok, problem = store_entry(self, "safe_set", place.name, place.new_mark, ttl_s or 0, ttl_s and ENDS or STAYS)
  if not ok then
    dict:delete(data)
    return nil, describe(self, problem)
  end
  if place.mark then
    dict:delete(self.data .. place.mark)
  end
  return true
end

-- The dict cuts off what is less than a millisecond.
local function in_seconds(ttl_ms)
  return ttl_ms and (ttl_ms + 0.1) / 1000
end

local function put(self, place, value, ttl_ms)
  return write(self, place, value, in_seconds(ttl_ms))
end

local function add(self, place, value, ttl_ms)
  if place.value ~= nil then
    return false
  end
  return write(self, place, value, in_seconds(ttl_ms))
end

local function replace(self, place, expected, value, ttl_ms)
  if place.value ~= expected then
    return false
  end
  local ttl_s = in_seconds(ttl_ms)
  if not ttl_s and place.flags == ENDS then
    ttl_s = self.dict:ttl(place.name)
    if not ttl_s or ttl_s < 0.001 then
      return false -- it ends in this moment; a rest of 0 would mean that it stays
    end
  end
  return write(self, place, value, ttl_s)
end

local function remove(self, place, expected)
  if place.value == nil or (expected ~= nil and place.value ~= expected) then
    return false
  end
  self.dict:delete(place.name)
  self.dict:delete(self.data .. place.mark)
  return true
end

-- Takes away the bytes that nothing leads to, because the worker died before.
local function clean_up(self, key, mark)
  if self.dict:get(self.values .. key) ~= mark then
    self.dict:delete(self.data .. mark)
  end
end

function backend:get(key)
  local name, failure = name_of(self, key)
  if not name then
    return nil, failure
  end
  local value, problem = look(self, name)
  if value == nil then
    return nil, problem
  end
  return value
end

function backend:put(key, value, ttl_ms)
  return alone(self, put, key, value, ttl_ms)
end

-- What is there needs no lock to be seen: a message that comes again costs a look.
function backend:add(key, value, ttl_ms)
  local name = name_of(self, key)
  self.ngx.update_time()
  if name and look(self, name) ~= nil then
    return false
  end
  return alone(self, add, key, value, ttl_ms)
end

function backend:replace(key, expected, value, ttl_ms)
  return alone(self, replace, key, expected, value, ttl_ms)
end

function backend:remove(key, expected)
  return alone(self, remove, key, expected)
end

function backend:list(prefix, after, limit)
  local from, names, found = self.values .. prefix, {}, {}
  local behind = after and self.values .. after
  for _, name in ipairs(self.dict:get_keys(0)) do
    if name:sub(1, #from) == from and (not behind or name > behind) then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value, problem = look(self, name)
    if value == nil and problem then
      return nil, problem
    elseif value ~= nil then
      found[#found + 1] = { name:sub(#self.values + 1), value }
    end
    if #found == limit then
      break
    end
  end
  return found
end

function backend:close()
  self.dict = nil
end

---- Settings -------------------------------------------------------------------------------------------------------

local known = {
  dict = function(value) return type(value) == "string" and value:find("^[%w_.-]+$") ~= nil, "the name of a dict" end,
  prefix = function(value)
    return type(value) == "string" and value ~= "" and #value <= 200 and not value:find("/", 1, true),
      "a text of 1 to 200 bytes without a slash"
  end,
}

local function check_options(options)
  if type(options) == "string" then
    options = { dict = options }
  elseif type(options) ~= "table" then
    error("paciolan.store.shdict: give the name of a dict or a table, not " .. type(options), 3)
  end
  for key, value in pairs(options) do
    local ok, wanted = false, nil
    if known[key] then
      ok, wanted = known[key](value)
    end
    if not ok then
      error("paciolan.store.shdict: " .. (wanted and ("option %s must be %s"):format(key, wanted)
        or "unknown option " .. errors.shown(key)), 3)
    end
  end
  if options.dict == nil then
    error("paciolan.store.shdict: option dict is missing", 3)
  end
  return options
end

--- Opens the store on a dict of nginx.conf. Nothing is read or written yet.
-- @tparam string|table options the name of the dict, or `dict` and `prefix` (`paciolan:`): what the names of all
-- entries begin with, without a slash. Stores with different prefixes never see each other
-- @treturn table the store
-- @raise for wrong options, outside of nginx, and for a dict that nginx.conf does not have
-- @usage local store = shdict.new "paciolan"
function shdict.new(options)
  options = check_options(options)
  local ngx = phases.nginx()
  local dict = ngx and ngx.shared and ngx.shared[options.dict]
  if not ngx then
    error("paciolan.store.shdict: a shared dict exists inside nginx only; use sqlite or redis elsewhere", 2)
  elseif not dict then
    error(("paciolan.store.shdict: nginx has no such dict, add \"lua_shared_dict %s 10m;\" to http { } of nginx.conf")
      :format(options.dict), 2)
  end
  local prefix = options.prefix or "paciolan:"
  local self = setmetatable({
    ngx = ngx, dict = dict, dict_name = options.dict, values = prefix .. "/value/", data = prefix .. "/data/",
  }, backend)
  self.locks = locks.new {
    ngx = ngx, dict = dict, prefix = prefix .. "/lock/", broken = prefix .. "/broken/",
    add_entry = function(...) return store_entry(self, "safe_add", ...) end,
    lost = function(...) return clean_up(self, ...) end,
  }
  return new_store(self)
end

return shdict
