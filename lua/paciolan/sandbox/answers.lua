--- The answers that are no success, in the shapes of the documents.
-- A handler returns `status, body`; a refusal is such a pair as a table
-- `{ status =, body = }`, so that it can travel as a second return value.
-- @module paciolan.sandbox.answers

local answers = {}

--- The error object of every operation but the token call.
-- @tparam number status HTTP status
-- @tparam string kind upper-case error type
-- @tparam string message for developers; names the place, never a value
-- @tparam[opt] string code defaults to `MS-<status>`
-- @treturn table `{ status =, body = { error = … } }`
function answers.refusal(status, kind, message, code)
  return { status = status, body = { error = {
    type = kind, appErrorCode = code or string.format("MS-%d", status), developerMessage = message,
  } } }
end

--- The error of the token call, which is plain text in the documents.
-- @tparam number status
-- @tparam string message
-- @treturn table
function answers.auth_refusal(status, message)
  return { status = status, body = { error = message } }
end

local FAILURES = {
  INVALID_TOKEN = { code = "MS-422", message = "Token is invalid" },
  TOKEN_NOT_FOUND = { code = "MS-404", message = "Token is not found" },
}

--- One entry of a `failure` list.
-- @tparam string key `token` or `barcode`
-- @tparam string value
-- @tparam string kind `INVALID_TOKEN` or `TOKEN_NOT_FOUND`
-- @tparam ?string owner_id
-- @tparam ?string detail why, when there is more to say than the fixed text
-- @treturn table
function answers.failure(key, value, kind, owner_id, detail)
  local row = FAILURES[kind]
  return { [key] = value, status = "UNLOCK", type = kind, appErrorCode = row.code, ownerId = owner_id,
    developerMessage = detail and row.message .. ": " .. detail or row.message }
end

--- The refusal when every token failed.
-- @tparam table failures
-- @tparam[opt] table extra more fields of the body
-- @treturn table
function answers.all_failed(failures, extra)
  local refusal = answers.refusal(422, "UNPROCESSABLE_ENTITY", "Unable to process the request.")
  refusal.body.failure = failures
  for key, value in pairs(extra or {}) do
    refusal.body[key] = value
  end
  return refusal
end

return answers
