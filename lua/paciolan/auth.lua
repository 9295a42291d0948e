--- Access tokens: taken from the store, refreshed in time, shared by all calls of a client.
--
-- The core decides (`pac_rotation`): use, use and refresh early, refresh, exchange the authorization code, or fail. A
-- refresh token is treated as single-use: the new pair is stored before it is used, and the old one kept until then.
-- Tokens never appear in errors, events or `tostring`.
-- @module paciolan.auth
local call = require "paciolan.call"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local auth = {}

-- How often a coroutine looks whether another one has renewed the set.
local RENEWAL_POLL_MS = 20

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

-- A pair that the store could not take is kept for the next attempt: its refresh token replaced one that is spent.
local function save_pending(self)
  if self._pending then
    local ok, err = save(self, self._pending)
    if not ok then
      return nil, err
    end
    self._pending = nil
  end
  return true
end

-- Stored: the answer's own fields and `issued_at_ms`, our clock when the set arrived (0 for a configured one).
local function load(self)
  local saved, unsaved_err = save_pending(self)
  if not saved then
    return nil, unsaved_err
  end
  local text, err = self._config.store:get(self._key)
  if err then
    return nil, store_error(err)
  end
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

-- limits: `ends_at_ms` and `retries` of the call that needs the token; without them the client's own hold. Returns the
-- record, or nil and an error; the response comes third in both cases.
local function request(self, payload, limits)
  local left_ms = limits and math.max(1, limits.ends_at_ms - core.monotonic_ms())
  local options = { deadline_ms = left_ms, retries = limits and limits.retries }
  local answer, err, response = call.run(self._config, "auth.token", payload, options)
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

local function is_renewing(self)
  return self._renewing_until_ms ~= nil and core.monotonic_ms() < self._renewing_until_ms
end

local function end_of(self, limits)
  return limits and limits.ends_at_ms or core.monotonic_ms() + self._config.deadline_ms
end

-- Marks the time in which other coroutines must not send a second token call, for a transport may yield.
local function request_alone(self, payload, limits)
  self._renewing_until_ms = end_of(self, limits)
  local ok, fresh, err, response = pcall(request, self, payload, limits)
  self._renewing_until_ms = nil
  if not ok then
    error(fresh, 0)
  end
  return fresh, err, response
end

local function wait_for_other(self, limits)
  local ends_at_ms = end_of(self, limits)
  while is_renewing(self) do
    if core.monotonic_ms() + RENEWAL_POLL_MS >= ends_at_ms then
      return nil, errors.new {
        kind = "timeout", operation = "auth.token", outcome = "not_sent", attempts = 0, retryable = true,
        message = "another renewal of the access token did not end before the deadline",
      }
    end
    self._config.transport:sleep(RENEWAL_POLL_MS)
    if self._config.is_closed then
      return nil, errors.new {
        kind = "canceled", operation = "auth.token", outcome = "not_sent", attempts = 0, retryable = false,
        message = "the client was closed",
      }
    end
  end
  return true
end

local function emit_rotation(self, step, err, response)
  call.emit(self._config, {
    type = "rotation", operation = "auth.token", request_id = response.request_id, attempt = response.attempts,
    step = step, ok = err == nil, status = response.status, kind = err and err.kind or nil,
    outcome = err and err.outcome or nil, elapsed_ms = response.elapsed_ms,
  })
end

local function renew(self, step, record, limits)
  local refresh_token = refresh_token_of(self, record)
  local payload
  if step == "exchange" then
    payload = { grantType = "authorization_code", code = self._seed.code }
  else
    payload = { grantType = "refresh_token", refreshToken = refresh_token }
    self._seed_spent = self._seed_spent or refresh_token == self._seed.refresh_token
  end
  local fresh, err, response = request_alone(self, payload, limits)
  emit_rotation(self, step, err, response)
  if not fresh then
    return nil, err, note_failure(self, step, refresh_token, err)
  end
  -- Documented answers carry a new refresh token; one without leaves the old one in force (RFC 6749 section 6).
  fresh.refreshToken = fresh.refreshToken or refresh_token
  local ok, store_err = save(self, fresh)
  self._code_spent = self._code_spent or step == "exchange"
  if not ok then
    self._pending = fresh
    return nil, store_err
  end
  self._failures, self._retry_not_before_ms, self._asked_not_before_ms, self._rejected = 0, nil, nil, nil
  return fresh
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
local function has_moved_on(self, record)
  local stored = load(self)
  return stored ~= nil and stored.accessToken ~= nil and stored.accessToken ~= record.accessToken
end

local function is_something_left(self)
  local record = load(self)
  return record ~= nil and decide(self, record) ~= "fail"
end

--- A usable token set, renewed when it is due. A renewal that fails early does no harm: the old set still serves.
-- @tparam ?table limits of the call that needs it: `ends_at_ms` (monotonic milliseconds) and `retries`
-- @treturn table `{ accessToken, expiration, refreshToken, tokenType }`
-- @treturn[2] nil
-- @treturn[2] table err: `auth` when the credentials are refused or used up, else as any call
function methods:acquire(limits)
  local record, err = load(self)
  if not record then
    return nil, err
  end
  local step = decide(self, record)
  if step == "use" or (step == "use_and_refresh" and is_renewing(self)) then
    return public(record)
  elseif step == "fail" then
    return nil, explain(self, record)
  elseif is_renewing(self) then
    local ended, late = wait_for_other(self, limits)
    if not ended then
      return nil, late
    end
    return methods.acquire(self, limits)
  end
  step = step == "use_and_refresh" and "refresh" or step
  local fresh, failed, is_refused = renew(self, step, record, limits)
  if fresh then
    return public(fresh)
  elseif decide(self, record) == "use" then
    return public(record) -- it was early: the old token still serves
  elseif not is_refused then
    return nil, failed
  elseif has_moved_on(self, record) or is_something_left(self) then
    return methods.acquire(self, limits)
  end
  return give_up(step, failed)
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
  return methods.acquire(self)
end

--- Renews the token set now, whatever its age.
-- @treturn table the new set, as from `token`
-- @treturn[2] nil
-- @treturn[2] table err
function methods:rotate()
  check_self(self, "rotate")
  local record, err = load(self)
  if not record then
    return nil, err
  end
  if not can_renew(self, record) then
    return nil, explain(self, record)
  end
  local ended, late = wait_for_other(self)
  if not ended then
    return nil, late
  end
  local step = refresh_token_of(self, record) and "refresh" or "exchange"
  local fresh, failed, is_refused = renew(self, step, record)
  if fresh then
    return public(fresh)
  elseif is_refused and not can_renew(self, load(self) or record) then
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
    _config = config, _seed = seed, _key = key_of(config), _jitter = core.random() or 0, _failures = 0,
    _code_spent = false, _refused = {},
  }, mt)
end

return auth
