--- More tokens than one call takes: `lock_all`, `unlock_all`, `verify_all` and `print_all` of `link.tickets`.
--
-- A helper cuts the payload of the single call into batches of the size that the operation table tells, sends as few
-- requests as that allows, and puts the answers together again. Nothing is sent when any batch breaks the contract.
--
-- What became of each token stands in an account, a list in the order of the payload:
-- `{ token =, state =, error = }`, with `barcode` and `accessId` for a barcode. The states:
--
-- * `done`: the service did it
-- * `failed`: the service says of this token that it did not; `error` has its `type`, `app_error_code`,
--   `developer_message`
-- * `rejected`: the whole batch was refused, nothing of it was done
-- * `not_sent`: its batch never left
-- * `unknown`: it may have been done or not; of a verify: the answer does not name it
-- @module paciolan.bulk
local account = require "paciolan.bulk.account"
local batches = require "paciolan.bulk.batches"
local call = require "paciolan.call"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local bulk = {}

-- Where each payload holds its tokens, what one does with them in the words of a message, and which list of the answer
-- says so. `entries`: the payload holds a list of entries with tokens or barcodes.
local helpers = {
  lock_all = { operation = "tickets.lock", path = { "listing", "tokens" }, done = "locked", done_list = "success" },
  unlock_all = { operation = "tickets.unlock", path = { "tokens" }, done = "unlocked", done_list = "success" },
  verify_all = { operation = "tickets.verify", path = { "tickets" }, entries = { "tokens", "barcodes" },
    done = "verified", done_list = "success" },
  print_all = { operation = "tickets.print", path = { "tokens" }, done = "printed", done_list = "tickets" },
}

-- How many batches are under way at once. What must not be doubled goes step by step, so that a failure in the middle
-- leaves as little as possible in between.
local AT_ONCE, AT_ONCE_OF_ONCE = 16, 1

local function copy(object)
  local result = {}
  for key, value in next, object do
    result[key] = value
  end
  return result
end

-- --- merging ----------------------------------------------------------------------------------------------------

local merge

-- Seats of one event stand in one entry, as they do in the answer to a single call.
local function entry_like(list, item)
  if type(item) == "table" and type(item.accessId) == "string" then
    for _, known in ipairs(list) do
      if type(known) == "table" and known.accessId == item.accessId then
        return known
      end
    end
  end
end

local function has_text(list, item)
  for _, known in ipairs(type(item) == "string" and list or {}) do
    if known == item then
      return true
    end
  end
  return false
end

local function merge_lists(into, list)
  for _, item in ipairs(list) do
    local known = entry_like(into, item)
    local is_group = known and (known.success or known.failure)
    if is_group then
      merge(known, item)
    elseif not has_text(into, item) then
      into[#into + 1] = item
    end
  end
end

function merge(into, object)
  for key, value in pairs(object) do
    local known = into[key]
    if known == nil or known == json.null then
      into[key] = value
    elseif type(known) == "table" and type(value) == "table" then
      if known[1] ~= nil or value[1] ~= nil then
        merge_lists(known, value)
      else
        merge(known, value)
      end
    end
  end
end

-- The answers themselves stay as they came: each stands in the error of its batch as well.
local function deep_copy(value)
  if type(value) ~= "table" then
    return value
  end
  local result = {}
  for key, item in pairs(value) do
    result[key] = deep_copy(item)
  end
  return result
end

-- One answer of the form of a single one: lists one after another, ids once each.
local function merged(list)
  local result
  for _, batch in ipairs(list) do
    local body = batch.result or (batch.err and batch.err.body)
    if type(body) == "table" then
      result = result or {}
      merge(result, deep_copy(body))
    end
  end
  return result
end

-- --- sending ----------------------------------------------------------------------------------------------------

local function deadline_error(helper)
  local is_write = call.operations[helper.operation].effect ~= "read"
  return errors.new {
    kind = "timeout", operation = helper.operation, outcome = is_write and "not_sent" or nil, attempts = 0,
    retryable = true, message = "the deadline passed before the batch was sent",
  }
end

-- A raise, such as that of a caller's own transport or store, must not cost the account of what is done already.
local function run_batch(config, helper, batch, options)
  local ok, result, err, response = pcall(call.run, config, helper.operation, batch.payload, options)
  if ok then
    batch.result, batch.err, batch.response = result, err, response
    return
  end
  local is_write = call.operations[helper.operation].effect ~= "read"
  batch.err = errors.new {
    kind = "canceled", operation = helper.operation, outcome = is_write and "unknown" or nil, attempts = 0,
    retryable = false, message = "the call raised: " .. tostring(result),
  }
end

local function send_all(config, helper, list, options, limit)
  local is_once = call.operations[helper.operation].effect == "once"
  local ends_at_ms = core.monotonic_ms() + (options.deadline_ms or config.deadline_ms)
  local has_failed = false
  local tasks = {}
  for i, batch in ipairs(list) do
    tasks[i] = function()
      if has_failed and is_once then
        return
      end
      local own = copy(options)
      own.deadline_ms = math.floor(ends_at_ms - core.monotonic_ms())
      if own.deadline_ms < 1 then
        batch.err = deadline_error(helper)
      else
        run_batch(config, helper, batch, own)
      end
      has_failed = has_failed or batch.err ~= nil
    end
  end
  require("paciolan.concurrent").run(tasks, { limit = limit })
end

local function settle_all(helper, list)
  for _, batch in ipairs(list) do
    if batch.result or batch.err then
      account.settle(helper, batch)
    else
      for _, item in ipairs(batch.items) do
        item.state = "not_sent"
      end
    end
  end
end

local function response_of(list, items, started_at_ms)
  local responses, attempts = {}, 0
  for _, batch in ipairs(list) do
    local response = batch.response or (batch.err and batch.err.response)
    if response then
      responses[#responses + 1] = response
      attempts = attempts + response.attempts
    end
  end
  return { batches = #list, responses = responses, attempts = attempts, tokens = items, headers = {},
    elapsed_ms = core.monotonic_ms() - started_at_ms }
end

-- --- the error --------------------------------------------------------------------------------------------------

local function message_of(helper, items, counts)
  local parts = { ("%d of %d are %s"):format(counts.done, #items, helper.done) }
  for _, state in ipairs { "failed", "rejected", "unknown", "not_sent" } do
    if counts[state] > 0 then
      parts[#parts + 1] = ("%d %s"):format(counts[state], (state:gsub("_", " ")))
    end
  end
  return table.concat(parts, ", ")
end

local function errors_of(list)
  local found = {}
  for _, batch in ipairs(list) do
    found[#found + 1] = batch.err
  end
  return found
end

local function worst_outcome(counts)
  for _, state in ipairs { "unknown", "rejected", "failed", "not_sent" } do
    if counts[state] > 0 then
      return state == "failed" and "rejected" or state
    end
  end
end

local function are_retryable(list)
  for _, err in ipairs(list) do
    if not err.retryable then
      return false
    end
  end
  return true
end

-- An answer of 200 that lists some of the tokens only: no batch has an error, and still nobody may take it for done.
local function unnamed_error(helper)
  return { kind = "partial", operation = helper.operation,
    message = "the service answered without naming every token" }
end

-- The first batch's own error where nothing at all was done, else a partial one. `body` is the merged answer and
-- `tokens` the account.
local function failure(helper, list, response, counts)
  local found = errors_of(list)
  local first = found[1] or unnamed_error(helper)
  local err = copy(first)
  local effect = call.operations[helper.operation].effect
  local is_write = effect ~= "read"
  if counts.done > 0 or first.kind == "partial" then
    err.kind, err.retryable, err.retry_after_ms = "partial", false, nil
    err.outcome = is_write and counts.unknown > 0 and "unknown" or nil
  else
    err.outcome = is_write and worst_outcome(counts) or nil
    err.retryable = are_retryable(found) and (effect ~= "once" or err.outcome ~= "unknown")
  end
  local more = #found > 1 and ("; the first of %d errors: "):format(#found) or ": "
  err.message = message_of(helper, response.tokens, counts) .. more .. first.message
  err.body, err.tokens, err.errors = merged(list), response.tokens, found
  err.attempts, err.response = response.attempts, response
  return errors.new(err)
end

-- --- the methods ------------------------------------------------------------------------------------------------

--- Runs one helper.
-- @tparam table config the client's settings
-- @tparam string name `lock_all`, `unlock_all`, `verify_all` or `print_all`
-- @tparam table payload as for the single call, with any number of tokens
-- @tparam ?table options checked by `paciolan.client`; `limit` is how many batches are under way at once
-- @treturn table the merged answer
-- @treturn nil
-- @treturn table response `{ batches, responses, attempts, elapsed_ms, tokens }`; `tokens` is the account
-- @treturn[2] nil
-- @treturn[2] table err: `err.tokens` is the account, `err.errors` the errors of the batches in their order
function bulk.run(config, name, payload, options)
  local helper = helpers[name]
  local operation = call.operations[helper.operation]
  local started_at_ms = core.monotonic_ms()
  options = copy(options or {})
  local limit = options.limit or (operation.effect == "once" and AT_ONCE_OF_ONCE or AT_ONCE)
  options.limit = nil
  local list = batches.cut(payload, helper, config)
  local violations = batches.check(helper, list, { shapes = config.shapes,
    organization_id = options.organization_id or config.organization_id })
  if #violations > 0 then
    local err = errors.validation(helper.operation, violations, operation.effect ~= "read" and "not_sent" or nil)
    err.response = response_of({}, {}, started_at_ms)
    return nil, err
  end
  send_all(config, helper, list, options, limit)
  settle_all(helper, list)
  local items, counts = account.of(list)
  local response = response_of(list, items, started_at_ms)
  local is_done = operation.effect == "read" or counts.done == #items
  if #errors_of(list) > 0 or not is_done then
    return nil, failure(helper, list, response, counts)
  end
  return merged(list), nil, response
end

--- The names of the helpers and the operation behind each.
bulk.operations = {}
for name, helper in pairs(helpers) do
  bulk.operations[name] = helper.operation
end

return bulk
