--- Access tokens: taken from the store, refreshed in time, shared by all who use one store.
--
-- The core decides (`pac_rotation`): use, use and refresh early, refresh, exchange the authorization code, or fail. A
-- refresh token is treated as single-use: the new pair is stored before it is used, and the old one kept until then.
-- An authorization code goes out once. Tokens never appear in errors, events or `tostring`.
--
-- One renewal is under way at a time: within a process by a hold (paciolan.auth.hold), for transports and stores may
-- yield, and between processes and hosts by a lock in the store (paciolan.auth.shared). Who waits goes on with the new
-- set as soon as that is stored.
-- @module paciolan.auth
local call = require "paciolan.call"
local core = require "paciolan.core"
local credentials = require "paciolan.auth.credentials"
local errors = require "paciolan.errors"
local grant = require "paciolan.auth.grant"
local hold = require "paciolan.auth.hold"
local renewal = require "paciolan.auth.renewal"
local set = require "paciolan.auth.set"
local shared = require "paciolan.auth.shared"

local auth = {}

-- A renewal that can wait is not begun by a call with less time left than this.
local LEAST_LEFT_MS = 1000
local FINISH_POLL_MS = 20
-- What was deferred and is not heard of for so long was dropped.
local DEFERRAL_MS = 10000
-- Any pause will do to learn whether a renewal can wait.
local PAUSE_MS = 60000

local methods = {}
local mt = { __name = "paciolan.auth", __index = methods }

function mt.__tostring()
  return "paciolan.auth"
end

-- A token set holds wire names and must not show its tokens when somebody logs it.
local set_mt = { __name = "paciolan.token" }

function set_mt.__tostring(tokens)
  return ("paciolan.token (%s, until %s)"):format(tokens.tokenType or "Bearer", tokens.expiration or "revoked")
end

local function public(view)
  local record = view.record
  return setmetatable({
    accessToken = record.accessToken, expiration = record.expiration, refreshToken = record.refreshToken,
    tokenType = record.tokenType,
  }, set_mt)
end

local function check_self(self, method)
  if type(self) ~= "table" or getmetatable(self) ~= mt then
    error(("call link.auth:%s() with a colon"):format(method), 3)
  elseif self._config.is_closed then
    error("the client is closed", 3)
  end
end

local function own_limits(self)
  return { ends_at_ms = core.monotonic_ms() + self._config.deadline_ms }
end

-- --- the decision -----------------------------------------------------------------------------------------------

local function ask(self, record, retry_not_before_ms)
  local left = credentials.left(self, record)
  return core.rotation({
    has_access = record.accessToken ~= nil, has_refresh = left.refresh, has_code = left.exchange,
    rejected = record.accessToken ~= nil and record.accessToken == self._rejected,
    issued_at_ms = record.issued_at_ms,
    expires_at_ms = record.expiration and core.parse_time(record.expiration) or 0,
    retry_not_before_ms = retry_not_before_ms, now_ms = core.now_ms(),
  }, self._jitter, self._config.clock_skew_ms)
end

-- The pause after a failure is for renewals that can wait. Without a usable token every call tries, unless the service
-- itself asked to wait: one request for a call that would fail anyway is no flood, and the link works again at once.
-- Returns the step and the pause, or nil and an error.
local function decide(self, record)
  local step = ask(self, record)
  if step == "use" or step == "fail" then
    return step
  end
  local pause, err = self._shared:pause()
  if err then
    return nil, err
  elseif not pause then
    return step
  end
  local patient = ask(self, record, pause.until_ms)
  local is_asked = core.now_ms() < pause.asked_until_ms
  return patient == "fail" and not is_asked and step or patient, pause
end

-- Does the access token do without a renewal for now?
local function still_serves(self, record)
  return ask(self, record, core.now_ms() + PAUSE_MS) == "use"
end

local function no_token(message)
  return errors.new { kind = "auth", operation = "auth.token", message = message, attempts = 0, retryable = false }
end

local function explain(self, record, pause)
  local wait_ms = pause and pause.asked_until_ms - core.now_ms() or 0
  if wait_ms > 0 then
    local err = no_token("the service asked to wait before the access token is renewed again")
    err.retryable, err.retry_after_ms = true, wait_ms
    return err
  elseif not record.accessToken and #credentials.list(self, record) == 0 then
    return no_token("nothing to authorise with: configure auth.code, auth.refresh_token or auth.access_token, or store"
      .. " a set for this base_url and application_id with paciolan login")
  end
  return no_token("nothing is left to renew the access token with; a new authorization code is needed")
end

-- The refusal of the last credential says what a person has to do.
local function give_up(self, view, result)
  local credential, err = result.credential, result.err
  if not credential then
    return nil, explain(self, view.record)
  end
  local what = credential.step == "exchange" and "the authorization code was refused (HTTP %d); each works once"
    or "the refresh token was refused (HTTP %d), and no authorization code is left"
  err.message = what:format(err.status) .. "; a new authorization code is needed"
  return nil, err
end

-- --- taking the set ---------------------------------------------------------------------------------------------

-- Has another holder of the store renewed the set since it was read?
local function has_moved_on(self, view, limits)
  local now = set.load(self, limits)
  return now ~= nil and now.text ~= view.text
end

local function is_something_left(self, limits)
  local view = set.load(self, limits)
  local step = view and decide(self, view.record)
  return step ~= nil and step ~= "fail"
end

-- Less than this is left to the call, so a renewal is not begun while the old token serves.
local function is_late(self, limits)
  return limits.ends_at_ms - core.monotonic_ms() < math.min(LEAST_LEFT_MS, grant.attempt_ms(self._config))
end

-- Who has a token that serves waits for half of the time that is left: the rest is for the call itself.
local function patience(self, view, limits)
  if not still_serves(self, view.record) then
    return limits
  end
  return { ends_at_ms = (core.monotonic_ms() + limits.ends_at_ms) / 2 }
end

-- A renewal that failed for one failed for all who waited for it: trying again for each would flood the service.
local function acquire_after_other(self, view, limits)
  local ended, late = hold.wait(self, patience(self, view, limits))
  if not ended and late.kind == "timeout" and still_serves(self, view.record) then
    return public(view)
  elseif not ended then
    return nil, late
  elseif not ended.err or ended.is_refused then
    return methods.acquire(self, limits)
  elseif still_serves(self, view.record) then
    return public(view)
  end
  return nil, hold.copy_of(ended.err)
end

-- An early renewal that nobody has to wait for, where the transport knows a place for it. Returns true then.
local function renew_later(self)
  local transport, now_ms = self._config.transport, core.monotonic_ms()
  if not transport.defer then
    return false
  elseif now_ms < (self._deferred_until_ms or 0) then
    return true
  end
  local is_deferred = transport:defer(function()
    if not self._config.is_closed then
      methods.acquire(self, own_limits(self), true)
    end
    self._deferred_until_ms = nil
  end)
  self._deferred_until_ms = is_deferred and now_ms + DEFERRAL_MS or nil
  return is_deferred
end

local function acquire_anew(self, step, view, limits)
  if core.monotonic_ms() >= limits.ends_at_ms then
    return nil, hold.not_begun("timeout", "the deadline passed before the access token could be renewed")
  end
  local result = renewal.run(self, {
    view = view, limits = limits, patience = patience(self, view, limits), is_early = step == "use_and_refresh",
  })
  if result.view and result.credential then
    return public(result.view)
  elseif result.view or result.is_lost then
    return methods.acquire(self, limits) -- another process renewed it, or is doing so
  elseif still_serves(self, view.record) then
    return public(view)
  elseif result.is_busy then
    return methods.acquire(self, limits) -- the old token was refused while it seemed to serve
  elseif not result.is_refused then
    return nil, result.err
  elseif has_moved_on(self, view, limits) or is_something_left(self, limits) then
    return methods.acquire(self, limits)
  end
  return give_up(self, view, result)
end

--- A usable token set, renewed when it is due. A renewal that fails early does no harm: the old set still serves.
--
-- The deadline decides whether a token call begins, not how long it may take: each of its attempts has the client's
-- `timeout_ms` (its `deadline_ms` where that is shorter), for one that is cut short may cost the refresh token. So a
-- renewal that a call cannot do without may end after the call's deadline. One that can wait is not begun with less
-- than a second (or that time) left. Another renewal is waited for up to the deadline, and for half of the time that is
-- left where the old token serves; if its process dies, its lock ends soon after the time of one attempt.
-- @tparam table limits of the call that needs it: `ends_at_ms` (monotonic milliseconds) and `retries`
-- @tparam ?boolean is_deferred nobody waits for it, so that an early renewal is made at once
-- @treturn table `{ accessToken, expiration, refreshToken, tokenType }`
-- @treturn[2] nil
-- @treturn[2] table err: `auth` when the credentials are refused or used up, `timeout` when the deadline passed before
-- a renewal began or another one ended, `store` when the store failed, the error of another renewal that this one
-- waited for, else as any call
-- @raise what the store raises; a new pair is then kept for the next call
function methods:acquire(limits, is_deferred)
  local view, err = set.load(self, limits)
  if not view then
    return nil, err
  end
  local step, pause = decide(self, view.record)
  if not step then
    return nil, pause
  elseif step == "use" or (step == "use_and_refresh" and (hold.is_taken(self) or is_late(self, limits))) then
    return public(view)
  elseif step == "use_and_refresh" and not is_deferred and renew_later(self) then
    return public(view)
  elseif hold.is_taken(self) then
    return acquire_after_other(self, view, limits)
  elseif step == "fail" then
    return nil, explain(self, view.record, pause)
  end
  return acquire_anew(self, step, view, limits)
end

--- Remembers that the service refused an access token, so that no call uses it again.
-- @tparam string access_token
function methods:reject(access_token)
  self._rejected = access_token
end

--- Waits for the end of a renewal that another task has under way. Where nobody can wait, it does not.
function methods:finish()
  local transport = self._config.transport
  while hold.is_taken(self) and transport.gives_way and transport:gives_way() and not call.is_in_hook(self._config) do
    transport:sleep(FINISH_POLL_MS)
  end
end

--- The current token set, renewed first when it is due.
-- @treturn table `{ accessToken, expiration, refreshToken, tokenType }`, names as in contract 2.1; `tostring` shows
-- none of the tokens
-- @treturn[2] nil
-- @treturn[2] table err
function methods:token()
  check_self(self, "token")
  return methods.acquire(self, own_limits(self))
end

-- --- by hand ----------------------------------------------------------------------------------------------------

-- The set, read when nobody in this process is renewing it. The failure of another renewal is one of a rotation that
-- waited for it, but not of a code that somebody brings.
local function load_alone(self, limits, is_sharing)
  while true do
    local view, err = set.load(self, limits)
    if not view or not hold.is_taken(self) then
      return view, err
    end
    local ended, late = hold.wait(self, limits)
    if not ended then
      return nil, late
    elseif is_sharing and ended.err and not ended.is_refused then
      return nil, hold.copy_of(ended.err)
    end
  end
end

--- Renews the token set now, whatever its age and whoever else renews it.
-- @treturn table the new set, as from `token`
-- @treturn[2] nil
-- @treturn[2] table err
function methods:rotate()
  check_self(self, "rotate")
  local limits = own_limits(self)
  local view, err = load_alone(self, limits, true)
  if not view then
    return nil, err
  elseif next(credentials.left(self, view.record)) == nil then
    return nil, explain(self, view.record)
  end
  local result = renewal.run(self, { view = view, limits = limits, patience = limits, is_forced = true })
  if result.view then
    return public(result.view)
  end
  local now = set.load(self, limits) or view
  if result.is_refused and next(credentials.left(self, now.record)) == nil then
    return give_up(self, now, result)
  end
  return nil, result.err
end

--- Exchanges an authorization code now, in the place of whatever set is stored: all who use the store go on with the
-- new one. A code that was sent before, from here or by another process, is not sent again.
-- @tparam string code
-- @treturn table the new set, as from `token`
-- @treturn[2] nil
-- @treturn[2] table err: `auth` when the code was refused or sent before, `store` when it was not sent because the
-- store failed (`outcome` is `not_sent`), or when its pair could not be stored, which the next call of this client
-- tries again
function methods:exchange(code)
  check_self(self, "exchange")
  if type(code) ~= "string" or code == "" then
    error("link.auth:exchange(code): the code must be a string that is not empty", 2)
  end
  local limits = own_limits(self)
  local view, err = load_alone(self, limits)
  if not view then
    err.outcome = err.outcome or "not_sent"
    return nil, err
  end
  local credential = { step = "exchange", token = code, is_configured = true }
  local result = renewal.run(self, {
    view = view, limits = limits, patience = limits, is_forced = true, must_win = true, credentials = { credential },
  })
  if result.view then
    return public(result.view)
  elseif result.is_refused and not result.credential then
    return nil, no_token("this authorization code was sent before, and each works once; a new one is needed")
  elseif result.is_refused then
    return give_up(self, view, result)
  end
  result.err.outcome = result.err.outcome or (not result.response and "not_sent" or nil)
  return nil, result.err
end

--- Makes the token keeper of a client.
-- @tparam table config the client's settings; `config.auth` will be set by the caller
-- @tparam table seed `{ code =, refresh_token =, access_token =, expiration = }`: used until the store holds a set
-- @treturn table
function auth.new(config, seed)
  return setmetatable({
    _config = config, _seed = seed, _shared = shared.new(config), _jitter = core.random() or 0, _renewals = 0,
  }, mt)
end

return auth
