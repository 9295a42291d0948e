--- One renewal of a token set: the lock in the store, the token call, and the new pair into the store.
--
-- The functions take the token keeper of a client (paciolan.auth).
-- @module paciolan.auth.renewal
local call = require "paciolan.call"
local core = require "paciolan.core"
local credentials = require "paciolan.auth.credentials"
local grant = require "paciolan.auth.grant"
local hold = require "paciolan.auth.hold"
local set = require "paciolan.auth.set"
local shared = require "paciolan.auth.shared"

local renewal = {}

-- How often the store is asked whether another process is done, and the jitter on top.
local POLL_MS, POLL_JITTER_MS = 40, 40
-- How often a new pair is offered to a store that fails, before the call that has it ends.
local SAVE_TRIES, SAVE_PAUSE_MS = 10, 200
-- How long somebody who has the pair may need to store it, when the store is there again.
local PAIR_GRACE_MS = 1000

-- --- under the lock ---------------------------------------------------------------------------------------------

-- What a failed call says about the credential that was sent: true when it was refused for good. A code stays spent
-- unless it is certain that the service never looked at it; a refresh token is worth another try.
local function note_failure(self, plan, credential, err)
  local is_code = credential.step == "exchange"
  if grant.is_refusal(err) then
    if not is_code then
      self._shared:spend(credential.token, "refused")
    end
    return true
  elseif is_code and err.outcome == "unknown" then
    err.message = err.message .. "; an authorization code is sent only once, so a new one is needed"
    err.retryable = false
  elseif is_code then
    self._shared:unspend(credential.token)
  end
  -- That its client was closed, or its lock lost, is no failure for others to share, nor is that of a code that
  -- somebody brought. The service's wish to wait is meant for all.
  if err.kind ~= "canceled" and (not plan.credentials or err.retry_after_ms) then
    self._shared:set_pause(err)
  end
  return false
end

-- Asked before each attempt: the lock must hold for it. A store that raises is told of when all is done.
local function keeper_of(self, lock, lost)
  return function()
    local ok, is_kept, err = pcall(lock.keep, lock, grant.attempt_ms(self._config))
    if ok and is_kept then
      return nil
    elseif not ok then
      lost.raised, err = { is_kept }, shared.error_of(nil)
    end
    lost.is_lost, lost.err = true, err
    return "the lock on the token set ran out, and another process may be renewing it"
  end
end

-- Without the outcome, which is that of an operation of the store, and not of the credential that went out.
local function about_the_store(err)
  if err then
    err.outcome = nil
  end
  return err
end

-- Not given up at the first failure: until the pair is stored, nobody else must send the old refresh token.
local function save(self, limits)
  local saved, err = set.save(self)
  for _ = 2, SAVE_TRIES do
    if saved or core.monotonic_ms() + SAVE_PAUSE_MS >= limits.ends_at_ms or self._config.is_closed then
      break
    end
    self._config.transport:sleep(SAVE_PAUSE_MS)
    saved, err = set.save(self)
  end
  return saved, err
end

-- The answer's pair into the store. A store that raises is told of when all is done.
local function keep(self, plan)
  local ok, saved, err = pcall(save, self, plan.limits)
  if not ok then
    return { err = shared.error_of(nil), raised = { saved } }
  elseif not saved then
    return { err = about_the_store(err) }
  end
  self._shared:clear_pause()
  self._rejected = nil
  local now, unread = set.look(self)
  return { view = now, err = about_the_store(unread) }
end

-- Waits once for somebody else's renewal, and looks what is stored then. Returns the view, or nil and an error.
local function wait_and_look(self, limits, ms)
  local late = hold.wait_once(self, limits, ms)
  if late then
    return nil, late
  end
  return set.look(self)
end

-- Somebody may have the pair of this refresh token already, and could not store it. Returns a result that needs no
-- token call, or nil.
local function wait_for_pair(self, plan, credential, view)
  local may_be_replaced, err = self._shared:may_be_replaced(credential.token)
  local ends_at_ms = core.monotonic_ms() + PAIR_GRACE_MS
  while may_be_replaced and core.monotonic_ms() < ends_at_ms do
    local now, problem = wait_and_look(self, plan.limits, POLL_MS)
    if problem or now.text ~= view.text then
      return { view = now, err = problem }
    end
  end
  return err and { err = err } or nil
end

-- What must be known before a refresh token goes out. Returns a result that needs no token call, or nil.
local function prepare(self, plan, credential, view)
  if credential.step == "exchange" then
    return nil
  end
  local result = wait_for_pair(self, plan, credential, view)
  if not result then
    local noted, err = self._shared:begin_sending(credential.token)
    result = not noted and { err = err } or nil
  end
  return result
end

local function send(self, plan, lock, view)
  if core.monotonic_ms() >= plan.limits.ends_at_ms then
    return { err = hold.not_begun("timeout", "the deadline passed before the access token could be renewed") }
  end
  local credential, err = credentials.pick(self, plan.credentials or credentials.list(self, view.record))
  if not credential then
    return { err = err, is_refused = err == nil }
  end
  local early = prepare(self, plan, credential, view)
  if early then
    return early
  end
  local is_refresh, lost = credential.step == "refresh", {}
  local fresh, failed, response = grant.request(self._config, credential, plan.limits, keeper_of(self, lock, lost))
  if not fresh then
    if is_refresh then
      self._shared:end_sending(credential.token)
    end
    local is_refused = note_failure(self, plan, credential, failed)
    local told = lost.err or failed
    told.outcome = told.outcome or failed.outcome
    return {
      err = told, response = response, credential = credential, is_refused = is_refused,
      is_lost = lost.is_lost and not lost.err, raised = lost.raised,
    }
  end
  -- Documented answers carry a new refresh token; one without leaves the old one in force (RFC 6749 section 6).
  local is_replaced = fresh.refreshToken ~= nil
  fresh.refreshToken = fresh.refreshToken or (is_refresh and credential.token or nil)
  hold.extend(plan.hold, core.monotonic_ms() + self._config.deadline_ms)
  local is_successor = is_refresh and credential.token == view.record.refreshToken
  set.expect(self, fresh, view, is_successor, plan.must_win)
  local result = keep(self, plan)
  if result.view and is_refresh then
    self._shared:end_sending(credential.token)
  end
  -- Others must not send it either where they will not find the new pair, or find it in their settings again.
  if is_refresh and is_replaced and (result.err or credential.is_configured) then
    pcall(self._shared.spend, self._shared, credential.token, "replaced")
  end
  result.response, result.credential = response, credential
  return result
end

-- --- the lock ---------------------------------------------------------------------------------------------------

-- Is the set another one than that which the plan is about? Then somebody else has renewed it.
local function is_done(plan, view)
  return not plan.is_forced and view.text ~= plan.view.text
end

-- pause_id: of the failure that was known when the wait for the lock began. Another one is that of the renewal that
-- was waited for: trying again for each who waited would flood the service. A code that somebody brought has nothing to
-- do with it.
local function send_if_due(self, plan, lock, has_waited, pause_id)
  local view, err = set.look(self)
  if err or is_done(plan, view) then
    return { view = view, err = err }
  end
  local pause = has_waited and not plan.credentials and self._shared:pause() or nil
  if pause and pause.id ~= pause_id then
    return { err = pause.error }
  end
  return send(self, plan, lock, view)
end

local function wait_for_lock(self, plan)
  local view, err = wait_and_look(self, plan.patience, POLL_MS + (core.random() or 0) * POLL_JITTER_MS)
  if err or is_done(plan, view) then
    return { view = view, err = err }
  end
  return nil
end

local function take_lock(self)
  return self._shared:lock(grant.attempt_ms(self._config))
end

local function obtain(self, plan)
  local lock, err = take_lock(self)
  local has_waited, pause_id = false, nil
  if lock == false and not plan.is_early then
    has_waited, pause_id = true, (self._shared:pause() or {}).id
  end
  while lock == false and not plan.is_early do
    local result = wait_for_lock(self, plan)
    if result then
      return result
    end
    lock, err = take_lock(self)
  end
  if not lock then
    return { err = err, is_busy = lock == false }
  end
  local ok, result = pcall(send_if_due, self, plan, lock, has_waited, pause_id)
  lock:release()
  if not ok then
    error(result, 0)
  end
  return result
end

local function emit_rotation(self, result)
  local err, response = result.err, result.response
  if response then
    call.emit(self._config, {
      type = "rotation", operation = "auth.token", request_id = response.request_id, attempt = response.attempts,
      step = result.credential.step, ok = err == nil, status = response.status, kind = err and err.kind or nil,
      outcome = err and err.outcome or nil, elapsed_ms = response.elapsed_ms,
    })
  end
end

-- What the failure says to those who waited: nothing where this one ran out of time, for they may have more of it, or
-- where it was about a code that somebody brought.
local function error_of_all(plan, result)
  local err = result.err
  local is_late = err ~= nil and err.kind == "timeout" and err.attempts == 0
  return not is_late and not plan.credentials and err or nil
end

-- Renews, gives the hold back and tells the hook. Returns whether nothing was raised, and the result or what was
-- raised.
local function carry_out(self, plan)
  local ok, result = pcall(obtain, self, plan)
  if not ok then
    hold.release(self, plan.hold)
    return false, result
  end
  hold.release(self, plan.hold, error_of_all(plan, result), result.is_refused)
  -- The hook is told when all is done, so that it finds the new set.
  emit_rotation(self, result)
  if result.raised then
    return false, result.raised[1]
  end
  return true, result
end

-- Outlives the caller: a function of its own makes it, which has returned when `run` is called.
local function task_of(self, plan)
  local task = {}
  function task.run()
    task.ok, task.result = carry_out(self, plan)
  end
  return task
end

--- Renews the set, or waits until another process has done so. Where the transport can see to it, this comes to its end
-- even when the caller does not: a request of nginx may be ended by its client, and a pair that nobody stores is lost.
-- @tparam table self
-- @tparam table plan
--
-- * `view`: the set that is due
-- * `limits`: `ends_at_ms` and `retries` of the call that needs the token; `patience`: the same for waiting
-- * `is_early`: the old set still serves, so nobody waits
-- * `is_forced`: whatever others do, a token call is made
-- * `must_win`, `credentials`: the pair replaces any other set; what to send instead of what is at hand
-- @treturn table `{ view =, err =, is_busy =, is_lost =, is_refused =, credential = }`: the set that is in force now;
-- or an error; or that another process is at it. `is_lost`: the lock ran out before the call was sent. `is_refused`: a
-- credential was refused for good, and another may be left
-- @raise what the store raised; a new pair is then kept for the next call
function renewal.run(self, plan)
  local now_ms = core.monotonic_ms()
  plan.hold = hold.take(self, math.max(plan.limits.ends_at_ms, now_ms) + grant.attempt_ms(self._config))
  local transport, task = self._config.transport, task_of(self, plan)
  if not (transport.detach and transport:detach(task.run)) then
    task.run()
  end
  if not task.ok then
    error(task.result, 0)
  end
  return task.result
end

return renewal
