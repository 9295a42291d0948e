--- One delivery at a time under each key of the store: reserve, do the work, commit (duty 18).
--
-- * `paciolan/seen/…`, `paciolan/sns_token/<fingerprint>`: `working <id>` while somebody is at it,
--   which ends by its time to live, and `done` afterwards
--
-- The work counts as done only when `done` is in the store for good. A process that dies in between leaves a
-- reservation that runs out, and the next delivery of the same message is handled: nothing is lost, and what was
-- interrupted may be done twice.
-- @module paciolan.receiver.deliveries
local core = require "paciolan.core"
local errors = require "paciolan.errors"

local deliveries = {}

local DONE = "done"

local Deliveries = {}
Deliveries.__index = Deliveries

--- @tparam table options of the receiver: `store`, `reserve_s`, `remember_s`
-- @tparam table told the receiver's reports
-- @treturn table
function deliveries.new(options, told)
  return setmetatable({
    _store = options.store, _told = told, _owner = "working " .. assert(core.request_id()) .. " ", _last = 0,
    _reserved = { ttl_s = options.reserve_s }, _remembered = { ttl_s = options.remember_s, durable = true },
  }, Deliveries)
end

local function failed(err)
  return 503, "store_failed", errors.is(err) and err or "the store failed"
end

-- The answer to an earlier call may have been lost, so the reservation may be there.
local function release(self, key, mine)
  pcall(self._store.remove, self._store, key, mine)
end

-- Then a store that lets its callers wait, such as a locked file, is not asked once more for nothing.
local function was_not_sent(ok, err)
  return ok and errors.is(err) and err.outcome == "not_sent"
end

-- The mark of a reservation; or nil with status, reason and detail.
local function reserve(self, key)
  self._last = self._last + 1
  local mine = self._owner .. ("%d"):format(self._last)
  local ok, added, err = pcall(self._store.add, self._store, key, mine, self._reserved)
  if ok and added then
    return mine
  elseif not ok or added == nil then
    if not was_not_sent(ok, err) then
      release(self, key, mine)
    end
    return nil, failed(err)
  end
  local found
  ok, found, err = pcall(self._store.get, self._store, key)
  if not ok or (found == nil and err ~= nil) then
    return nil, failed(err)
  elseif found == DONE then
    return nil, 204, "duplicate"
  end
  return nil, 503, "in_flight", "the same message is being handled"
end

-- True; or nil, status, reason, detail.
local function commit(self, key, mine)
  local ok, done, err = pcall(self._store.replace, self._store, key, mine, DONE, self._remembered)
  if ok and done == false then
    self._told:count("reservation_lost")
    self._told:remember("reservation_lost")
    ok, done, err = pcall(self._store.put, self._store, key, DONE, self._remembered)
  end
  if ok and done then
    return true
  end
  release(self, key, mine)
  return nil, failed(err)
end

--- Does some work unless it has been done, or is being done, under this key.
-- @tparam ?string key nil: nothing identifies the work, so it is done whenever it comes
-- @tparam function work called with the other arguments; it may yield. Returns whether the work is over for good, and
-- status, reason and detail of the answer
-- @param first
-- @param second
-- @param third
-- @treturn number status
-- @treturn string reason
-- @treturn ?string detail
function Deliveries:once(key, work, first, second, third)
  if not key then
    local _, status, reason, detail = work(first, second, third)
    return status, reason, detail
  end
  local mine, status, reason, detail = reserve(self, key)
  if not mine then
    return status, reason, detail
  end
  local ok, is_over
  ok, is_over, status, reason, detail = pcall(work, first, second, third)
  if not ok or not is_over then
    release(self, key, mine)
    if not ok then
      error(is_over, 0)
    end
    return status, reason, detail
  end
  local committed, late_status, late_reason, late_detail = commit(self, key, mine)
  if not committed then
    return late_status, late_reason, late_detail
  end
  return status, reason, detail
end

--- Writes down for good that something is so.
-- @tparam string key
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] number 503
-- @treturn[2] string reason
-- @treturn[2] string detail
function Deliveries:mark(key)
  local ok, done, err = pcall(self._store.put, self._store, key, DONE, { durable = true })
  if ok and done then
    return true
  end
  return nil, failed(err)
end

--- Was it written down?
-- @tparam string key
-- @treturn boolean
-- @treturn[2] nil
-- @treturn[2] number 503
-- @treturn[2] string reason
-- @treturn[2] string detail
function Deliveries:is_marked(key)
  local ok, found, err = pcall(self._store.get, self._store, key)
  if not ok or (found == nil and err ~= nil) then
    return nil, failed(err)
  end
  return found ~= nil
end

return deliveries
