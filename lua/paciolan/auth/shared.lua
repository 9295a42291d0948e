--- What all who use one store share of a token set: the set, the right to renew it, the latest failure, and which
-- credentials are spent. Processes and hosts meet here; what is kept in a process alone is in paciolan.auth.
--
-- Five kinds of keys, each followed by the service's address and the application id:
--
-- * `paciolan/token/…`: the set, as JSON
-- * `paciolan/lock/…`: the id of the one who renews the set now; ends by its time to live
-- * `paciolan/pause/…`: the latest renewal that failed, as JSON
-- * `paciolan/spent/…/<fingerprint>`: a credential that was used up; holds how and an id, never the credential
-- @module paciolan.auth.shared
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local shared = {}

-- A lock outlives the attempt that it is for by as long again, but within these limits: time to store what came of it.
local LEAST_GRACE_MS, MOST_GRACE_MS = 1000, 5000
-- How long a failure is remembered after its pause, so that the next pause can be longer.
local PAUSE_MEMORY_S = 60
-- A service that asks for more is asked again after a year; stores do not keep a time to live of any length.
local LONGEST_PAUSE_MS = 366 * 24 * 60 * 60 * 1000
-- How long it is known that a refresh token was sent, and for how long after its last failure a store is doubted.
local SENT_MEMORY_S, RECENTLY_MS = 3600, 5000
local SWAP_TRIES = 4
local DURABLE = { durable = true }

local Shared = {}
Shared.__index = Shared

local Lock = {}
Lock.__index = Lock

--- What to tell of a store that failed: see `paciolan.errors`.
shared.error_of = errors.of_store

-- When the store failed last is remembered.
local function failed(self, err)
  self._failed_at_ms = core.monotonic_ms()
  return nil, shared.error_of(err)
end

local function read(self, key)
  local value, err = self._store:get(key)
  if value == nil and err ~= nil then
    return failed(self, err)
  end
  return value
end

-- No put can be in vain: false is no answer of its.
local function write(self, method, ...)
  local done, err = self._store[method](self._store, ...)
  if done == nil or (not done and method == "put") then
    return failed(self, err)
  end
  return done
end

-- --- the set ----------------------------------------------------------------------------------------------------

--- @treturn ?string the stored set, or nil when there is none
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function Shared:read()
  return read(self, self._keys.token)
end

--- Stores a set in the place of the one that it replaces.
-- @tparam ?string expected the text that was read before, nil for none
-- @tparam string text
-- @treturn string what is stored now: `text`, or what somebody else stored meanwhile
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`; the set may have been stored all the same
function Shared:swap(expected, text)
  for _ = 1, SWAP_TRIES do
    local done, err
    if expected then
      done, err = write(self, "replace", self._keys.token, expected, text, DURABLE)
    else
      done, err = write(self, "add", self._keys.token, text, DURABLE)
    end
    if done == nil or done then
      return done and text, err
    end
    local found, unread = self:read()
    if unread then
      return nil, unread
    elseif found and found ~= expected then
      return found -- `text` itself where only the answer to an earlier try was lost
    end
    expected = found
  end
  return nil, errors.store("the token set in the store changed again and again")
end

-- --- the right to renew it --------------------------------------------------------------------------------------

local function grace_ms(least_ms)
  return math.max(LEAST_GRACE_MS, math.min(MOST_GRACE_MS, least_ms))
end

--- Takes the lock.
-- @tparam number least_ms how long one attempt may take
-- @treturn table the lock: `keep(least_ms)` and `release()`; or false when somebody else has it
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function Shared:lock(least_ms)
  local lock = setmetatable({ _shared = self, _owner = assert(core.request_id()) }, Lock)
  local ttl_ms = least_ms + grace_ms(least_ms)
  lock._ends_at_ms = core.monotonic_ms() + ttl_ms
  local ok, taken, err = pcall(write, self, "add", self._keys.lock, lock._owner, { ttl_s = ttl_ms / 1000 })
  if not ok or (taken == nil and err.outcome ~= "not_sent") then
    lock:release() -- it may have been made, and only the answer lost
  end
  if not ok then
    error(taken, 0)
  elseif taken == nil then
    return nil, err
  end
  return taken and lock
end

--- Makes sure that the lock holds for one more attempt.
-- @tparam number least_ms how long that may take
-- @treturn boolean false when the lock ran out and is another's or nobody's
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function Lock:keep(least_ms)
  local now_ms = core.monotonic_ms()
  if self._ends_at_ms - now_ms >= least_ms + grace_ms(least_ms) / 2 then
    return true
  end
  local ttl_ms = least_ms + grace_ms(least_ms)
  local kept, err = write(self._shared, "replace", self._shared._keys.lock, self._owner, self._owner,
    { ttl_s = ttl_ms / 1000 })
  if kept then
    self._ends_at_ms = now_ms + ttl_ms
  end
  return kept, err
end

--- Gives the lock back. A store that fails here keeps it until its time has passed.
function Lock:release()
  pcall(write, self._shared, "remove", self._shared._keys.lock, self._owner)
end

-- --- the latest failure -----------------------------------------------------------------------------------------

-- What others are told of it. No tokens: what the service answered is not part of it.
local function plain(err)
  return {
    kind = err.kind, message = err.message, operation = err.operation, outcome = err.outcome, status = err.status,
    request_id = err.request_id, attempts = err.attempts, retryable = err.retryable,
    retry_after_ms = err.retry_after_ms,
  }
end

--- Remembers a failed renewal. A store that fails here too has said so before.
-- @tparam table err
function Shared:set_pause(err)
  local ok, before = pcall(self.pause, self)
  local failures = (ok and before and before.failures or 0) + 1
  local wait_ms = math.min(LONGEST_PAUSE_MS, math.max(core.cool_off_ms(failures), err.retry_after_ms or 0))
  local text = json.encode {
    id = assert(core.request_id()), failures = failures, wait_ms = wait_ms, until_ms = core.now_ms() + wait_ms,
    asked_ms = err.retry_after_ms, error = plain(err),
  }
  pcall(write, self, "put", self._keys.pause, text, { ttl_s = 2 * wait_ms / 1000 + PAUSE_MEMORY_S })
end

local function is_from(value, least)
  return type(value) == "number" and value >= least and value <= 2 ^ 53
end

-- Anybody may have written into the store.
local function is_pause(value)
  local err = type(value) == "table" and value.error
  return type(err) == "table" and type(err.kind) == "string" and type(err.message) == "string"
    and is_from(value.failures, 1) and value.failures % 1 == 0 and value.failures < 2 ^ 31 - 1
    and is_from(value.wait_ms, 0) and is_from(value.until_ms, 0)
    and (value.asked_ms == nil or is_from(value.asked_ms, 0))
end

-- The clock of the host that wrote a pause may be ahead of ours: it ends no later than its wait after we saw it first.
local function ends_at_ms(self, pause)
  local seen = self._seen_pause
  if not seen or seen.id ~= pause.id then
    seen = { id = pause.id, until_ms = core.now_ms() + pause.wait_ms }
    self._seen_pause = seen
  end
  return math.min(pause.until_ms, seen.until_ms)
end

--- The latest failure since the last success.
-- @treturn ?table `{ id =, failures =, until_ms =, asked_until_ms =, error = }`: until when no renewal that can wait is
-- begun, and none at all, because the service asked for that
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function Shared:pause()
  local text, err = read(self, self._keys.pause)
  local pause = text and json.decode(text)
  if not is_pause(pause) then
    return nil, err
  end
  pause.until_ms = ends_at_ms(self, pause)
  pause.asked_until_ms = pause.until_ms - pause.wait_ms + math.min(pause.asked_ms or 0, pause.wait_ms)
  pause.error = errors.new(pause.error)
  return pause
end

--- Forgets the failure: a renewal succeeded.
function Shared:clear_pause()
  pcall(write, self, "remove", self._keys.pause)
end

-- --- refresh tokens on their way --------------------------------------------------------------------------------

local function sent_key(self, token)
  return self._keys.sent .. core.fingerprint(token)
end

--- Writes down that a refresh token goes out. Call it under the lock.
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function Shared:begin_sending(token)
  return write(self, "put", sent_key(self, token), "sent", { ttl_s = SENT_MEMORY_S })
end

--- Takes that back: its pair is stored, or there is none.
function Shared:end_sending(token)
  pcall(write, self, "remove", sent_key(self, token))
end

--- May somebody have a pair for this refresh token and wait for the store to take it? So it may be where one was sent
-- and did not come to its end, and where the store has just failed, which may have lost what it knew.
-- @treturn boolean
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function Shared:may_be_replaced(token)
  local sent, err = read(self, sent_key(self, token))
  if err then
    return nil, err
  end
  local failed_at_ms = self._failed_at_ms
  return sent ~= nil or (failed_at_ms ~= nil and core.monotonic_ms() - failed_at_ms < RECENTLY_MS)
end

-- --- spent credentials ------------------------------------------------------------------------------------------

-- The key of the API is in it: a host with a wrong one is refused, and must not spoil the credential for the others.
local function spent_key(self, credential)
  return self._keys.spent .. core.fingerprint(self._api_key .. "\n" .. credential)
end

--- Is it known here that a credential is spent? Asks no store.
function Shared:is_known_spent(credential)
  return self._known_spent[credential] ~= nil
end

--- Is a credential spent, by the word of the store?
-- @treturn boolean
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function Shared:is_spent(credential)
  if not self._known_spent[credential] then
    local how, err = read(self, spent_key(self, credential))
    if err then
      return nil, err
    end
    self._known_spent[credential] = how ~= nil or nil
  end
  return self:is_known_spent(credential)
end

--- Writes down that a credential is spent.
-- @tparam string credential
-- @tparam string how `sent`, `refused` or `replaced`
-- @treturn boolean false when it had been written down before
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`; it is known here all the same
function Shared:spend(credential, how)
  local text = how .. " " .. assert(core.request_id())
  self._known_spent[credential] = text
  return write(self, "add", spent_key(self, credential), text, DURABLE)
end

--- Takes back what was written down here: the service never looked at the credential. What another process has
-- written stays, and from here on the store is asked again.
function Shared:unspend(credential)
  local text = self._known_spent[credential]
  self._known_spent[credential] = nil
  if type(text) == "string" then
    pcall(write, self, "remove", spent_key(self, credential), text)
  end
end

--- Looks at what a store holds for a service and an application.
-- @tparam table config the client's settings: `store`, `base_url`, `application_id`, `api_key`
-- @treturn table
function shared.new(config)
  local whose = config.base_url .. "/" .. config.application_id
  return setmetatable({
    _store = config.store, _api_key = config.api_key, _known_spent = {},
    _keys = {
      token = "paciolan/token/" .. whose, lock = "paciolan/lock/" .. whose, pause = "paciolan/pause/" .. whose,
      sent = "paciolan/sent/" .. whose .. "/", spent = "paciolan/spent/" .. whose .. "/",
    },
  }, Shared)
end

return shared
