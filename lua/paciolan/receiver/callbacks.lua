--- Posts to an `asyncCallbackUrl`: how an order or a transfer that was PENDING ended (contract 3). How they are sent is
-- not documented. So a POST or PUT with a JSON object is taken, the credentials or the secret path are ours, and what
-- is repeated is handed over again.
-- @module paciolan.receiver.callbacks
local core = require "paciolan.core"
local json = require "paciolan.json"
local notifications = require "paciolan.receiver.notifications"

local callbacks = {}

local MAX_DEPTH = 64
-- From here on a double skips whole numbers, so an id may have been another one.
local TOO_LARGE = 2 ^ 53

local function is_object(value)
  return type(value) == "table" and type(next(value)) ~= "number"
end

-- The decoded object; or nil and the problem.
local function decode(body)
  local ok, problem = core.json_check(body, MAX_DEPTH)
  local decoded = ok and json.decode(body)
  if not ok then
    return nil, problem
  elseif not is_object(decoded) then
    return nil, "the body must be an object"
  end
  return decoded
end

-- An id is a text, whichever way it came.
local function read_id(value)
  if type(value) == "number" and value >= 0 and value < TOO_LARGE and value % 1 == 0 then
    return ("%d"):format(value)
  end
  return type(value) == "string" and value ~= "" and value or nil
end

local function read_text(value)
  return type(value) == "string" and value or nil
end

local function read_result(body)
  local decoded, problem = decode(body)
  if not decoded then
    return nil, problem
  end
  local process_id = read_id(decoded.processId)
  if not process_id then
    return nil, "/processId must be a text that is not empty"
  end
  local transaction_status = read_text(decoded.transactionStatus)
  return {
    process_id = process_id, body = decoded, error = decoded.error ~= json.null and decoded.error or nil,
    state = read_text(decoded.status) or transaction_status, transaction_status = transaction_status,
  }
end

local function refuse(self, body, problem)
  if not notifications.keep(self._options.quarantine, body, problem) then
    return 503, "quarantine_failed"
  end
  self._told:alarm("unusable_callback", "a callback cannot be used: " .. problem)
  return 400, "unusable_callback", problem
end

--- Answers a callback.
-- @tparam table self the receiver
-- @tparam string body
-- @tparam table _ headers
-- @tparam table context
-- @tparam table request as it was given to the receiver
-- @treturn number status
-- @treturn string reason
-- @treturn ?string detail
function callbacks.handle(self, body, _, context, request)
  local result, problem = read_result(body)
  if not result then
    return refuse(self, body, problem)
  end
  context.entity = "callback"
  local done, reason, detail = notifications.call(self, nil, self._options.on_callback, result, request)
  if not done then
    return 503, reason, detail
  end
  return 204, "callback_done"
end

return callbacks
