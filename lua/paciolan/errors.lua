--- The one kind of error value that every operation returns as its second result.
--
-- An error is a table with `__tostring` and `__concat`. Its fields:
--
-- * `kind`: `validation` `auth` `network` `timeout` `http` `rate_limit` `partial` `protocol` `signature` `store`
--   `canceled`
-- * `outcome`, for writes: `not_sent`, `rejected` or `unknown`; nil for reads and for `partial`, where `body` tells
--   each token's fate
-- * `message`, `operation`, `status`, `request_id`, `attempts`: for people and support; never a payload value or a
--   secret. What the text of a transport or of a store holds of them by its shape is replaced by `[redacted]`
-- * `type`, `app_error_code`, `developer_message`, `process_id`: as the API answered
-- * `retryable`, `retry_after_ms`, `action` (`analyze` or `inform_provider`): by the documented error tables
-- * `fields`, for `validation`: every problem as `{ path =, rule =, message = }`, path as a JSON Pointer from 0
-- * `body`: the decoded answer, where there was one, the token call's aside
-- * `tokens`, `errors`: of the bulk helpers, the account of every token and the errors of the batches
-- * `response`: `{ status, headers, request_id, attempts, elapsed_ms, state, body }`, as a success returns it as its
--   third value; `body` is the raw text of an answer that was not JSON
-- @module paciolan.errors
local core = require "paciolan.core"

local errors = {}

local mt = { __name = "paciolan.error" }
mt.__index = mt

local function first_problem(err)
  local problem = err.fields and err.fields[1]
  if not problem then
    return ""
  end
  local more = #err.fields > 1 and (" (and %d more)"):format(#err.fields - 1) or ""
  local path = problem.path == "" and "the payload" or problem.path
  return (": %s %s%s"):format(path, problem.message, more)
end

-- Short, because nginx cuts a log line at 2048 bytes, and without developer_message, which is the server's own text.
-- Redacted once more, for fields may have been set after the error was made.
function mt.__tostring(err)
  local outcome = err.outcome and (", " .. err.outcome) or ""
  local id = err.request_id and (" [request " .. err.request_id .. "]") or ""
  local what = core.redact_text(tostring(err.message) .. first_problem(err))
  return ("%s: %s (%s%s)%s"):format(err.operation or "paciolan", what, err.kind, outcome, id)
end

function mt.__concat(left, right)
  return tostring(left) .. tostring(right)
end

--- Makes an error. What looks private in its message is replaced by `[redacted]`.
-- @tparam table fields at least the strings `kind` and `message`; the table becomes the error
-- @treturn table the error
function errors.new(fields)
  assert(type(fields.kind) == "string" and type(fields.message) == "string", "an error needs a kind and a message")
  fields.message = core.redact_text(fields.message)
  return setmetatable(fields, mt)
end

--- Is the value an error of this library?
-- @param value
-- @treturn boolean
function errors.is(value)
  return type(value) == "table" and getmetatable(value) == mt
end

--- Gives a copy of an error the look of an error, so that `tostring` and `errors.is` work on it.
-- @param value what was copied
-- @param copy of it; a table if `value` is an error
-- @return the copy
function errors.dress(value, copy)
  if errors.is(value) and type(copy) == "table" then
    return setmetatable(copy, mt)
  end
  return copy
end

--- A copy of an error that says something else as well.
-- @tparam table err
-- @tparam table changes fields to set
-- @treturn table the copy
function errors.with(err, changes)
  local copy = {}
  for name, value in pairs(err) do
    copy[name] = value
  end
  for name, value in pairs(changes) do
    copy[name] = value
  end
  return errors.new(copy)
end

-- "/listing/tokens/10" sorts behind "/listing/tokens/9". Filled up as text: a field name may end in more digits than
-- a number holds.
local function sort_key(problem)
  local path = problem.path:gsub("%d+", function(digits) return ("0"):rep(8 - #digits) .. digits end)
  return path .. "\0" .. problem.rule
end

--- Makes a validation error from the violations that the core found.
-- @tparam string operation
-- @tparam table violations list of `{ path, rule, message }`
-- @tparam ?string outcome `not_sent` for writes
-- @treturn table the error, its fields in the order of their places
function errors.validation(operation, violations, outcome)
  local keys = {}
  for _, problem in ipairs(violations) do
    keys[problem] = sort_key(problem)
  end
  table.sort(violations, function(a, b) return keys[a] < keys[b] end)
  return errors.new {
    kind = "validation", operation = operation, outcome = outcome, attempts = 0, retryable = false,
    message = "the payload breaks the contract", fields = violations,
  }
end

-- The same rule as for the places of a payload: letters, and at most one digit at the end.
local MAX_SHOWN = 40

--- A key that a caller wrote, for a message about misuse: itself where it looks like a name, else a question mark, for
-- a table keyed by tokens must not end up in a log.
-- @param key
-- @treturn string
function errors.shown(key)
  local is_name = type(key) == "string" and #key <= MAX_SHOWN and key:match("^[%a_.]+%d?$")
  return is_name and core.redact_text(key) or "?"
end

--- Makes an error about the caller's own store.
-- @tparam string message
-- @treturn table the error
function errors.store(message)
  return errors.new { kind = "store", message = message, retryable = false }
end

--- What to tell of a store that failed. One of the caller's own may answer with plain text, or raise it, and that may
-- quote what it was to keep.
-- @param err what came from the store
-- @treturn table err of kind `store`, or the store's own
function errors.of_store(err)
  return errors.is(err) and err or errors.store("the store failed, and gave no error of paciolan.errors.store")
end

return errors
