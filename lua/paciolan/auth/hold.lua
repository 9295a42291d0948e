--- Who renews or writes a token set within a process takes a hold, and the other coroutines wait for its end.
--
-- The functions take the token keeper of a client (paciolan.auth), whose newest hold is in `_hold`.
-- @module paciolan.auth.hold
local call = require "paciolan.call"
local core = require "paciolan.core"
local errors = require "paciolan.errors"

local hold = {}

-- How often a coroutine looks whether another one has renewed the set.
local POLL_MS = 20
-- A hold is given up this long after its work should have ended: its coroutine was dropped.
local GRACE_MS = 1000

local function is_held(current)
  return current ~= nil and not current.is_over and core.monotonic_ms() < current.ends_at_ms
end

--- Is somebody in this process renewing or writing the set?
function hold.is_taken(self)
  return is_held(self._hold)
end

--- Keeps other coroutines from a second token call, and from writing the set, until `release`.
-- @tparam table self
-- @tparam number ends_at_ms when its work should have ended, in monotonic milliseconds
-- @treturn table the hold
function hold.take(self, ends_at_ms)
  self._hold = {}
  hold.extend(self._hold, ends_at_ms)
  return self._hold
end

--- Moves the end of a hold.
function hold.extend(current, ends_at_ms)
  current.ends_at_ms = ends_at_ms + GRACE_MS
end

--- Ends a hold. Those who waited get the error too. What anybody read from the store before this moment may be out of
-- date.
-- @tparam table self
-- @tparam table current the hold
-- @tparam ?table err
-- @tparam ?boolean is_refused whether a credential was refused for good, so that another one may be tried
function hold.release(self, current, err, is_refused)
  current.is_over, current.err, current.is_refused = true, err, is_refused
  self._renewals = self._renewals + 1
end

--- An error of a token call that was not made.
function hold.not_begun(kind, message)
  return errors.new {
    kind = kind, operation = "auth.token", outcome = "not_sent", attempts = 0, retryable = kind == "timeout",
    message = message,
  }
end

--- Waits once for somebody else's renewal.
-- @treturn ?table err when there is no time left to wait, or the client was closed meanwhile
function hold.wait_once(self, limits, ms)
  if core.monotonic_ms() + ms >= limits.ends_at_ms then
    return hold.not_begun("timeout", "another renewal of the access token did not end before the deadline")
  end
  self._config.transport:sleep(ms)
  return self._config.is_closed and hold.not_begun("canceled", "the client was closed") or nil
end

--- Waits for the end of the newest hold.
-- @treturn table the hold that ended: `err` and `is_refused` tell how
-- @treturn[2] nil
-- @treturn[2] table err
function hold.wait(self, limits)
  local current = self._hold
  if is_held(current) and call.is_in_hook(self._config) then
    return nil, hold.not_begun("auth", "the access token is being renewed, and a hook cannot wait for that")
  end
  while is_held(current) do
    local late = hold.wait_once(self, limits, POLL_MS)
    if late then
      return nil, late
    end
  end
  return current
end

--- A copy of an error. Each of those who waited gets a table of its own, for the error becomes part of a call.
function hold.copy_of(err)
  return errors.with(err, {})
end

return hold
