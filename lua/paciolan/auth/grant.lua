--- The token call: one credential goes out, a token set comes back.
-- @module paciolan.auth.grant
local call = require "paciolan.call"
local core = require "paciolan.core"
local errors = require "paciolan.errors"

local grant = {}

--- A token call must not be cut short: the time that each of its attempts has.
-- @tparam table config the client's settings
-- @treturn number milliseconds
function grant.attempt_ms(config)
  return math.min(config.timeout_ms, config.deadline_ms)
end

-- The client's settings for a token call. The deadline of the call that needs the token decides which attempts begin;
-- one that was sent may have spent a single-use credential, so it has the client's own time for its answer.
-- `may_send` is asked before each attempt.
local function unhurried(config, may_send)
  local transport = {}
  function transport.send(_, request)
    local refusal = may_send()
    if refusal then
      return nil, { kind = "canceled", phase = "not_sent", message = refusal, elapsed_ms = 0, code = 0 }
    end
    local least_ms = grant.attempt_ms(config)
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

local function text_or_nil(value)
  return type(value) == "string" and value or nil
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
  return {
    accessToken = answer.accessToken, expiration = text_or_nil(answer.expiration),
    refreshToken = text_or_nil(answer.refreshToken), tokenType = text_or_nil(answer.tokenType) or "Bearer",
    issued_at_ms = core.now_ms(),
  }
end

--- Sends a credential.
-- @tparam table config the client's settings
-- @tparam table credential `{ step = "refresh" or "exchange", token = }`
-- @tparam table limits `ends_at_ms` and `retries` of the call that needs the token
-- @tparam function may_send called before each attempt; returns a text when that must not be made
-- @treturn table the record: `accessToken`, `expiration`, `refreshToken`, `tokenType`, and `issued_at_ms` by our clock
-- @treturn nil
-- @treturn table response
-- @treturn[2] nil
-- @treturn[2] table err
-- @treturn[2] table response
function grant.request(config, credential, limits, may_send)
  local payload = credential.step == "exchange"
    and { grantType = "authorization_code", code = credential.token }
    or { grantType = "refresh_token", refreshToken = credential.token }
  local left_ms = math.max(1, limits.ends_at_ms - core.monotonic_ms())
  local options = { deadline_ms = left_ms, retries = limits.retries }
  local answer, err, response = call.run(unhurried(config, may_send), "auth.token", payload, options)
  if not answer then
    return nil, err, err.response
  end
  local record, unusable = record_of(answer, response)
  return record, unusable, response
end

-- Refusals of the credential itself (RFC 6749 section 5.2; 422 is what this API answers to wrong input). A 403 or 404
-- speaks of the application or the path, and must not cost a credential that is still good.
local CREDENTIAL_REFUSED = { [400] = true, [401] = true, [422] = true }

--- Was the credential itself refused, for good?
-- @tparam table err of `grant.request`
-- @treturn boolean
function grant.is_refusal(err)
  return err.kind == "auth" and CREDENTIAL_REFUSED[err.status] == true
end

return grant
