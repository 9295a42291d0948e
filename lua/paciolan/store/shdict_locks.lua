--- The locks of paciolan.store.shdict: one for each key, held by one worker for the moment of a write.
--
-- A shared dict cannot compare and exchange, so a lock is an entry that only one can add. Its text is the pid of the
-- worker and a mark that is never used twice, and always as long. Nothing may yield while a lock is held. So a lock of
-- a process that is gone is lost, and so is one of this process that this Lua state does not know of.
--
-- All locks are as large, and one more entry of that size is kept in reserve: in a dict that is full, something must be
-- locked before it can be removed.
-- @module paciolan.store.shdict_locks
local core = require "paciolan.core"
local phases = require "paciolan.phases"

local locks = {}

local LOCK_S, PATIENCE_MS, PAUSE_MS, TRIES_IN_FULL = 60, 1000, 1, 20
local NO_SUCH_PROCESS = 3 -- ESRCH
local OWN = "%010d %s" -- the pid and the mark
local DIGITS = 64 -- of a fingerprint

--- How long a lock lasts whose worker stands still, in seconds.
locks.LOCK_S = LOCK_S

--- What is wrong when a lock did not come free.
locks.STALLED = "another worker has kept the key locked for a second, it is stopped or the host has too much to do"

local Locks = {}
Locks.__index = Locks

-- What this Lua state holds: a finalizer that uses the store in the middle of a write must not break its lock.
local held = {}

-- Another module may have declared it before, which is as good.
local function load_ffi()
  local ffi = require "ffi"
  if not pcall(function() return ffi.C.kill end) then
    ffi.cdef "int kill(int pid, int sig);"
  end
  return ffi
end

local function is_lost(self, name, holder)
  local pid = tonumber(holder:match("^(%d+) "))
  if pid == self.ngx.worker.pid() then
    return held[name] ~= holder
  end
  return pid ~= nil and self.ffi.C.kill(pid, 0) == -1 and self.ffi.errno() == NO_SUCH_PROCESS
end

-- Adds an entry, in a full dict in the room that is kept for that.
local function add(self, name, value)
  local ok, reason = self.add_entry(name, value, LOCK_S)
  if not ok and reason == "no memory" then
    self.dict:delete(self.reserve)
    ok, reason = self.add_entry(name, value, LOCK_S)
  end
  return ok, reason
end

-- Takes the place of a holder that is gone. Of several who want to, only one may: the first who says so under the name
-- of that holder. Both texts are as long, so the exchange needs no room.
local function break_lock(self, key, name, holder, own)
  local dict, broken = self.dict, self.broken .. holder
  if not add(self, broken, own) then
    -- Whoever wanted to before may have died over it.
    local breaker = dict:get(broken)
    if type(breaker) ~= "string" or not is_lost(self, nil, breaker) or not break_lock(self, key, broken, breaker, own)
    then
      return false
    end
  end
  if dict:get(name) ~= holder then
    return false
  end
  self.lost(key, holder:match(" (.*)$"))
  return dict:safe_set(name, own, LOCK_S)
end

local function pause(self)
  if phases.may_yield(phases.current()) then
    self.ngx.sleep(PAUSE_MS / 1000)
  else
    core.sleep(PAUSE_MS)
  end
end

--- Waits for the lock of a key and takes it, for a second at most.
-- @tparam string key
-- @treturn[1] table the lock: its `mark`, a text of 36 bytes, is used once and may name something else as well
-- @treturn[2] nil
-- @treturn[2] string `no memory`, or what is wrong in a sentence
function Locks:take(key)
  local mark, problem = core.request_id()
  if not mark then
    return nil, problem
  end
  local name, own = self.prefix .. core.fingerprint(key), OWN:format(self.ngx.worker.pid(), mark)
  local ends_at_ms, tries_in_full = core.monotonic_ms() + PATIENCE_MS, TRIES_IN_FULL
  self.ngx.update_time() -- after work that took long, the clock of this worker is behind, and so are all ends
  repeat
    local ok, reason = add(self, name, own)
    if reason == "no memory" and tries_in_full > 0 then
      tries_in_full = tries_in_full - 1 -- another worker may have the reserve, for a moment
    elseif not ok and reason ~= "exists" then
      return nil, reason
    end
    local holder = not ok and self.dict:get(name)
    if ok or (holder and is_lost(self, name, holder) and break_lock(self, key, name, holder, own)) then
      held[name] = own
      return { name = name, own = own, mark = mark }
    end
    pause(self)
  until core.monotonic_ms() >= ends_at_ms
  return nil, locks.STALLED
end

--- Gives a lock back. It does no harm to that of another, who has it because this one lasted too long.
-- @tparam table lock as `take` gave it
function Locks:give_back(lock)
  held[lock.name] = nil
  if self.dict:get(lock.name) == lock.own then
    self.dict:delete(lock.name)
  end
  self.dict:safe_add(self.reserve, ("-"):rep(#lock.own))
end

--- The locks of one store.
-- @tparam table settings `ngx`; `dict`; `prefix`: what the names of the locks begin with; `broken`: what the names of
-- those begin with that were broken; `add_entry`: a function `(name, value, ttl_s)` that adds an entry and evicts none;
-- `lost`: called with the key and the mark of a lock that is broken, before anybody else has it
-- @treturn table the locks
function locks.new(settings)
  return setmetatable({
    ngx = settings.ngx, dict = settings.dict, prefix = settings.prefix, broken = settings.broken,
    add_entry = settings.add_entry, lost = settings.lost, reserve = settings.prefix .. ("-"):rep(DIGITS),
    ffi = load_ffi(),
  }, Locks)
end

return locks
