--- Access tokens: taken from the store, refreshed in time, shared by all calls of a client.
--
-- The core decides (`pac_rotation`): use, use and refresh early, refresh, exchange the authorization code, or fail. A
-- refresh token is treated as single-use: the new pair is stored before it is used, and the old one kept until then.
-- Tokens never appear in errors, events or `tostring`.
--
-- Transports and stores may yield. Whoever renews or writes the set takes a hold, and all others wait for its end.
-- @module paciolan.auth
local call = require "paciolan.call"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local auth = {}

-- How often a coroutine looks whether another one has renewed the set.
local RENEWAL_POLL_MS = 20
-- A renewal that can wait is not begun by a call with less time left than this.
local LEAST_LEFT_MS = 1000
-- A hold is given up this long after its work should have ended: its coroutine was dropped.
local HOLD_GRACE_MS = 1000

local methods = {}
local mt = { __name = "paciolan.auth", __index = methods }

function mt.__tostring()
  return "paciolan.auth"
end

-- A token set holds wire names and must not show its tokens when somebody logs it.
local set_mt = { __name = "paciolan.token" }

function set_mt.__tostring(set)
  return ("paciolan.token (%s, until %s)"):format(set.tokenType or "Bearer", set.expiration or "revoked")
end

local function check_self(self, method)
  if type(self) ~= "table" or getmetatable(self) ~= mt then
    error(("call link.auth:%s() with a colon"):format(method), 3)
  elseif self._config.is_closed then
    error("the client is closed", 3)
  end
end

-- One token set per service and application; other clients of the same store and application share it.
local function key_of(config)
  return "paciolan/token/" .. config.base_url .. "/" .. config.application_id
end

-- --- the stored set ---------------------------------------------------------------------------------------------

-- A store of the caller's own may answer with plain text, which may quote what it was to keep.
local function store_error(err)
  return errors.is(err) and err or errors.store("the store failed, and gave no error of paciolan.errors.store")
end

local function save(self, record)
  local ok, err = self._config.store:put(self._key, json.encode(record), { durable = true })
  if not ok then
    return nil, store_error(err)
  end
  return true
end

-- --- one at a time ----------------------------------------------------------------------------------------------

local function is_held(hold)
  return hold ~= nil and not hold.is_over and core.monotonic_ms() < hold.ends_at_ms
end

local function is_renewing(self)
  return is_held(self._hold)
end

-- Keeps other coroutines from a second token call, and from writing the set, until `release`.
local function take(self, ends_at_ms)
  self._hold = { ends_at_ms = ends_at_ms + HOLD_GRACE_MS }
  return self._hold
end

-- Those who waited get the error too. What anybody read from the store before this moment may be out of date.
local function release(self, hold, err, is_refused)
  hold.is_over, hold.err, hold.is_refused = true, err, is_refused
  self._renewals = self._renewals + 1
end

local function own_limits(self)
  return { ends_at_ms = core.monotonic_ms() + self._config.deadline_ms }
end

local function not_begun(kind, message)
  return errors.new {
    kind = kind, operation = "auth.token", outcome = "not_sent", attempts = 0, retryable = kind == "timeout",
    message = message,
  }
end

-- Returns the hold that ended, or nil and an error.
local function wait_for_other(self, limits)
  local hold = self._hold
  if is_held(hold) and self._config.hooks.running > 0 then
    return nil, not_begun("auth", "the access token is being renewed, and a hook cannot wait for that")
  end
  while is_held(hold) do
    if core.monotonic_ms() + RENEWAL_POLL_MS >= limits.ends_at_ms then
      return nil, not_begun("timeout", "another renewal of the access token did not end before the deadline")
    end
    self._config.transport:sleep(RENEWAL_POLL_MS)
    if self._config.is_closed then
      return nil, not_begun("canceled", "the client was closed")
    end
  end
  return hold
end

-- Each of those who waited gets a table of its own, for the error becomes part of a call.
local function copy_of(err)
  local told = {}
  for name, value in pairs(err) do
    told[name] = value
  end
  return errors.new(told)
end

-- --- reading the set --------------------------------------------------------------------------------------------

local function save_pending(self, limits)
  local hold = take(self, limits.ends_at_ms)
  local ok, saved, err = pcall(save, self, self._pending)
  if ok and saved then
    self._pending = nil
  end
  release(self, hold, err)
  if not ok then
    error(saved, 0)
  end
  return saved, err
end

-- A pair that the store has not taken yet goes in before anything is read: its refresh token replaced one that is
-- spent.
local function settle(self, limits)
  while self._pending do
    if not is_renewing(self) then
      return save_pending(self, limits)
    end
    local ended, late = wait_for_other(self, limits)
    if not ended then
      return nil, late
    elseif ended.err and self._pending then
      return nil, copy_of(ended.err)
    end
  end
  return true
end

-- Stored: the answer's own fields and `issued_at_ms`, our clock when the set arrived (0 for a configured one).
local function record_from(self, text)
  if text and text == self._loaded_text then
    return self._loaded -- decoding the same text again would cost every call
  end
  local record = text and json.decode(text)
  if type(record) == "table" then
    self._loaded_text, self._loaded = text, record
    return record
  end
  local seed = self._seed
  return { accessToken = seed.access_token, refreshToken = seed.refresh_token, expiration = seed.expiration,
    tokenType = "Bearer", issued_at_ms = 0 }
end

-- Reads again when the set was renewed while a store that yields was reading: the old refresh token is spent.
local function load(self, limits)
  while true do
    local settled, unsaved_err = settle(self, limits)
    if not settled then
      return nil, unsaved_err
    end
    local renewals = self._renewals
    local text, err = self._config.store:get(self._key)
    if renewals == self._renewals then
      if err then
        return nil, store_error(err)
      end
      return record_from(self, text)
    end
  end
end

-- The refresh token to send next. A refused one stays in the store, where it harms nobody and a person may look at it;
-- a configured one that was never sent takes its place.
local function refresh_token_of(self, record)
  local token, seed = record.refreshToken, self._seed.refresh_token
  if token and not self._refused[token] then
    return token
  end
  return not self._seed_spent and seed or nil
end

local function expires_at_ms(record)
  return record.expiration and core.parse_time(record.expiration) or 0
end

local function public(record)
  return setmetatable({
    accessToken = record.accessToken, expiration = record.expiration, refreshToken = record.refreshToken,
    tokenType = record.tokenType,
  }, set_mt)
end

-- --- the token call ---------------------------------------------------------------------------------------------

local function no_token(message)
  return errors.new { kind = "auth", operation = "auth.token", message = message, attempts = 0, retryable = false }
end

-- The answer as a record, or nil and an error when it is not one.
local function record_of(answer, response)
  if type(answer.accessToken) ~= "string" or not core.is_header_value("Bearer " .. answer.accessToken) then
    return nil, errors.new {
      kind = "protocol", operation = "auth.token", outcome = "unknown", status = response.status,
      request_id = response.request_id, attempts = response.attempts, retryable = false,
      message = "the answer holds no access token that can stand in a header",
    }
  end
  local function text(value)
    return type(value) == "string" and value or nil
  end
  return {
    accessToken = answer.accessToken, expiration = text(answer.expiration), refreshToken = text(answer.refreshToken),
    tokenType = text(answer.tokenType) or "Bearer", issued_at_ms = core.now_ms(),
  }
end

-- A token call must not be cut short.
local function least_timeout_ms(config)
  return math.min(config.timeout_ms, config.deadline_ms)
end

-- The client's settings for token calls. The deadline of the call that needs the token decides which attempts begin;
-- one that was sent may have spent a single-use credential, so it has the client's own time for its answer.
local function unhurried(config)
  local transport = {}
  function transport.send(_, request)
    local least_ms = least_timeout_ms(config)
    if request.timeout_ms < least_ms then
      request.timeout_ms = least_ms
      request.connect_timeout_ms = math.min(config.connect_timeout_ms, least_ms)
    end
    return config.transport:send(request)
  end
  function transport.sleep(_, ms)
    return config.transport:sleep(ms)
  end
  return setmetatable({ transport = transport }, { __index = config })
end

-- limits: `ends_at_ms` and `retries` of the call that needs the token. Returns the record, or nil and an error; the
-- response comes third in both cases.
local function request(self, payload, limits)
  local left_ms = math.max(1, limits.ends_at_ms - core.monotonic_ms())
  local options = { deadline_ms = left_ms, retries = limits.retries }
  local answer, err, response = call.run(self._token_config, "auth.token", payload, options)
  if not answer then
    return nil, err, err.response
  end
  local record, unusable = record_of(answer, response)
  return record, unusable, response
end

-- Refusals of the credential itself (RFC 6749 section 5.2; 422 is what this API answers to wrong input). A 403 or 404
-- speaks of the application or the path, and must not cost a refresh token that is still good.
local CREDENTIAL_REFUSED = { [400] = true, [401] = true, [422] = true }

-- What a failed call says about the credential that was sent: true when it was refused for good, else it is worth
-- another try.
local function note_failure(self, step, sent, err)
  if err.kind == "auth" and CREDENTIAL_REFUSED[err.status] then
    if step == "exchange" then
      self._code_spent = true
    else
      self._refused[sent] = true
    end
    return true
  end
  local now_ms, asked_ms = core.now_ms(), err.retry_after_ms
  self._failures = self._failures + 1
  self._retry_not_before_ms = now_ms + math.max(core.cool_off_ms(self._failures), asked_ms or 0)
  self._asked_not_before_ms = asked_ms and now_ms + asked_ms or nil
  return false
end

local function emit_rotation(self, step, result)
  local err, response = result.err, result.response
  call.emit(self._config, {
    type = "rotation", operation = "auth.token", request_id = response.request_id, attempt = response.attempts,
    step = step, ok = err == nil, status = response.status, kind = err and err.kind or nil,
    outcome = err and err.outcome or nil, elapsed_ms = response.elapsed_ms,
  })
end

-- What goes out, and the refresh token in it.
local function credential_for(self, step, record)
  if step == "exchange" then
    return { grantType = "authorization_code", code = self._seed.code }
  end
  local refresh_token = refresh_token_of(self, record)
  self._seed_spent = self._seed_spent or refresh_token == self._seed.refresh_token
  return { grantType = "refresh_token", refreshToken = refresh_token }, refresh_token
end

-- The new pair is pending from its arrival until the store has it, whether `put` fails, yields or raises.
local function keep(self, fresh)
  self._pending = fresh
  local ok, saved, err = pcall(save, self, fresh)
  if ok and saved then
    self._pending = nil
    self._failures, self._retry_not_before_ms, self._asked_not_before_ms, self._rejected = 0, nil, nil, nil
    return { fresh = fresh }
  end
  return { err = ok and err or store_error(nil), raised = not ok and { saved } or nil }
end

-- Token call and store. Returns `{ fresh =, err =, response =, is_refused =, raised = }`; `raised` holds what the
-- store raised.
local function obtain(self, hold, step, record, limits)
  local payload, refresh_token = credential_for(self, step, record)
  local fresh, err, response = request(self, payload, limits)
  if not fresh then
    return { err = err, response = response, is_refused = note_failure(self, step, refresh_token, err) }
  end
  self._code_spent = self._code_spent or step == "exchange"
  -- Documented answers carry a new refresh token; one without leaves the old one in force (RFC 6749 section 6).
  fresh.refreshToken = fresh.refreshToken or refresh_token
  hold.ends_at_ms = core.monotonic_ms() + self._config.deadline_ms + HOLD_GRACE_MS
  local result = keep(self, fresh)
  result.response = response
  return result
end

-- Returns the new record, or nil, an error and whether the credential was refused for good. The hook is told when all
-- is done, so that it finds the new set.
local function renew(self, step, record, limits)
  local hold = take(self, math.max(limits.ends_at_ms, core.monotonic_ms()) + least_timeout_ms(self._config))
  local ok, result = pcall(obtain, self, hold, step, record, limits)
  if not ok then
    release(self, hold)
    error(result, 0)
  end
  release(self, hold, result.err, result.is_refused)
  emit_rotation(self, step, result)
  if result.raised then
    error(result.raised[1], 0)
  end
  return result.fresh, result.err, result.is_refused
end

-- --- the decision -----------------------------------------------------------------------------------------------

local function has_code(self)
  return self._seed.code ~= nil and not self._code_spent
end

local function can_renew(self, record)
  return refresh_token_of(self, record) ~= nil or has_code(self)
end

local function ask(self, record, retry_not_before_ms)
  return core.rotation({
    has_access = record.accessToken ~= nil, has_refresh = refresh_token_of(self, record) ~= nil,
    has_code = has_code(self),
    rejected = record.accessToken ~= nil and record.accessToken == self._rejected,
    issued_at_ms = record.issued_at_ms, expires_at_ms = expires_at_ms(record),
    retry_not_before_ms = retry_not_before_ms, now_ms = core.now_ms(),
  }, self._jitter, self._config.clock_skew_ms)
end

-- The pause after a failure is for renewals that can wait. Without a usable token every call tries, unless the service
-- itself asked to wait: one request for a call that would fail anyway is no flood, and the link works again at once.
local function decide(self, record)
  local step = ask(self, record, self._retry_not_before_ms)
  if step == "fail" then
    step = ask(self, record, self._asked_not_before_ms)
  end
  return step
end

local function explain(self, record)
  local wait_ms = self._asked_not_before_ms and self._asked_not_before_ms - core.now_ms() or 0
  if wait_ms > 0 then
    local err = no_token("the service asked to wait before the access token is renewed again")
    err.retryable, err.retry_after_ms = true, wait_ms
    return err
  elseif not record.accessToken and not self._seed.code then
    return no_token("nothing to authorise with: configure auth.code, auth.refresh_token or auth.access_token")
  end
  return no_token("nothing is left to renew the access token with; a new authorization code is needed")
end

-- The refusal of the last credential says what a person has to do.
local function give_up(step, err)
  local what = step == "exchange" and "the authorization code was refused (HTTP %d); each works once"
    or "the refresh token was refused (HTTP %d), and no authorization code is left"
  err.message = what:format(err.status) .. "; a new authorization code is needed"
  return nil, err
end

-- Has another holder of the store renewed the set since the record was read?
local function has_moved_on(self, record, limits)
  local stored = load(self, limits)
  return stored ~= nil and stored.accessToken ~= nil and stored.accessToken ~= record.accessToken
end

local function is_something_left(self, limits)
  local record = load(self, limits)
  return record ~= nil and decide(self, record) ~= "fail"
end

-- Less than this is left to the call, so a renewal is not begun while the old token serves.
local function is_late(self, limits)
  return limits.ends_at_ms - core.monotonic_ms() < math.min(LEAST_LEFT_MS, least_timeout_ms(self._config))
end

-- A renewal that failed for one failed for all who waited for it: trying again for each would flood the service.
local function acquire_after_other(self, record, limits)
  local ended, late = wait_for_other(self, limits)
  if not ended then
    return nil, late
  elseif not ended.err or ended.is_refused then
    return methods.acquire(self, limits)
  elseif decide(self, record) == "use" then
    return public(record)
  end
  return nil, copy_of(ended.err)
end

local function acquire_anew(self, step, record, limits)
  if core.monotonic_ms() >= limits.ends_at_ms then
    return nil, not_begun("timeout", "the deadline passed before the access token could be renewed")
  end
  local fresh, failed, is_refused = renew(self, step, record, limits)
  if fresh then
    return public(fresh)
  elseif decide(self, record) == "use" then
    return public(record) -- it was early: the old token still serves
  elseif not is_refused then
    return nil, failed
  elseif has_moved_on(self, record, limits) or is_something_left(self, limits) then
    return methods.acquire(self, limits)
  end
  return give_up(step, failed)
end

--- A usable token set, renewed when it is due. A renewal that fails early does no harm: the old set still serves.
--
-- The deadline decides whether a token call begins, not how long it may take: each of its attempts has the client's
-- `timeout_ms` (its `deadline_ms` where that is shorter), for one that is cut short may cost the refresh token. So a
-- renewal that a call cannot do without may end after the call's deadline. One that can wait is not begun with less
-- than a second (or that time) left.
-- @tparam table limits of the call that needs it: `ends_at_ms` (monotonic milliseconds) and `retries`
-- @treturn table `{ accessToken, expiration, refreshToken, tokenType }`
-- @treturn[2] nil
-- @treturn[2] table err: `auth` when the credentials are refused or used up, `timeout` when the deadline passed before
-- a renewal began or another one ended, the error of another coroutine's renewal that this one waited for, else as any
-- call
-- @raise what the store raises; a new pair is then kept for the next call
function methods:acquire(limits)
  local record, err = load(self, limits)
  if not record then
    return nil, err
  end
  local step = decide(self, record)
  if step == "use" or (step == "use_and_refresh" and (is_renewing(self) or is_late(self, limits))) then
    return public(record)
  elseif step == "fail" then
    return nil, explain(self, record)
  elseif is_renewing(self) then
    return acquire_after_other(self, record, limits)
  end
  return acquire_anew(self, step == "exchange" and step or "refresh", record, limits)
end

--- Remembers that the service refused an access token, so that no call uses it again.
-- @tparam string access_token
function methods:reject(access_token)
  self._rejected = access_token
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

-- The record to renew, read when nobody else is renewing it.
local function load_alone(self, limits)
  while true do
    local record, err = load(self, limits)
    if not record or not is_renewing(self) then
      return record, err
    end
    local ended, late = wait_for_other(self, limits)
    if not ended then
      return nil, late
    elseif ended.err and not ended.is_refused then
      return nil, copy_of(ended.err)
    end
  end
end

--- Renews the token set now, whatever its age.
-- @treturn table the new set, as from `token`
-- @treturn[2] nil
-- @treturn[2] table err
function methods:rotate()
  check_self(self, "rotate")
  local limits = own_limits(self)
  local record, err = load_alone(self, limits)
  if not record then
    return nil, err
  elseif not can_renew(self, record) then
    return nil, explain(self, record)
  end
  local step = refresh_token_of(self, record) and "refresh" or "exchange"
  local fresh, failed, is_refused = renew(self, step, record, limits)
  if fresh then
    return public(fresh)
  elseif is_refused and not can_renew(self, load(self, limits) or record) then
    return give_up(step, failed)
  end
  return nil, failed
end

--- Makes the token keeper of a client.
-- @tparam table config the client's settings; `config.auth` will be set by the caller
-- @tparam table seed `{ code =, refresh_token =, access_token =, expiration = }`: used until the store holds a set
-- @treturn table
function auth.new(config, seed)
  return setmetatable({
    _config = config, _token_config = unhurried(config), _seed = seed, _key = key_of(config),
    _jitter = core.random() or 0, _failures = 0, _renewals = 0, _code_spent = false, _refused = {},
  }, mt)
end

return auth
