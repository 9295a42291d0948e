--- POST /v1/auth/token.
-- @module paciolan.sandbox.api.auth

local answers = require "paciolan.sandbox.answers"
local text = require "paciolan.sandbox.text"

local auth = {}

--- Exchanges a code or rotates a refresh token. A skewed clock tells another
-- time of expiration than the one that holds.
function auth.token(box, call)
  local payload, options = call.payload, box.options
  local pair, message
  if payload.grantType == "refresh_token" then
    pair, message = box.tokens:rotate(payload.refreshToken, options.token_lifetime_s, options.refresh_token_lifetime_s)
  else
    pair, message = box.tokens:exchange(payload.code, options.token_lifetime_s, options.refresh_token_lifetime_s)
  end
  if not pair then
    return nil, answers.auth_refusal(401, message)
  end
  box.ledger:commit(call.request_id, call.operation, {})
  return 200, { accessToken = pair.access, refreshToken = pair.refresh, tokenType = "Bearer",
    expiration = text.nano_date(pair.expires_at + (call.skew_s or 0)) }
end

return auth
