--- More tokens than one call takes: `lock_all`, `unlock_all`, `verify_all` and `print_all` of `link.tickets`.
--
-- A helper cuts the payload of the single call into batches of the size that the operation table tells, sends as few
-- requests as that allows, and puts the answers together again. Nothing is sent when any batch breaks the contract.
--
-- What became of each token stands in an account, a list in the order of the payload:
-- `{ token = | barcode =, state =, error = }`. The states:
--
-- * `done`: the service did it
-- * `failed`: the service says of this token that it did not; `error` has its `type`, `app_error_code`,
--   `developer_message`
-- * `rejected`: the whole batch was refused, nothing of it was done
-- * `not_sent`: its batch never left
-- * `unknown`: it may have been done or not
-- @module paciolan.bulk
local call = require "paciolan.call"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local bulk = {}

-- Where each payload holds its tokens, and what one does with them in the words of a message. `entries`: a list of
-- entries that hold tokens or barcodes.
local helpers = {
  lock_all = { operation = "tickets.lock", path = { "listing", "tokens" }, done = "locked" },
  unlock_all = { operation = "tickets.unlock", path = { "tokens" }, done = "unlocked" },
  verify_all = { operation = "tickets.verify", path = { "tickets" }, entries = { "tokens", "barcodes" },
    done = "verified" },
  print_all = { operation = "tickets.print", path = { "tokens" }, done = "printed" },
}

-- How many batches are under way at once. What must not be doubled goes step by step, so that a failure in the middle
-- leaves as little as possible in between.
local AT_ONCE, AT_ONCE_OF_ONCE = 16, 1

-- --- cutting ----------------------------------------------------------------------------------------------------

-- The length of a list, or nil when it is none. Raw, like every reading of a payload.
local function length_of(value)
  if type(value) ~= "table" then
    return nil
  end
  local count = 0
  for _ in next, value do
    count = count + 1
  end
  for i = 1, count do
    if rawget(value, i) == nil then
      return nil
    end
  end
  return count
end

local function slice(list, first, last)
  local part = {}
  for i = first, last do
    part[#part + 1] = rawget(list, i)
  end
  return part
end

local function copy(object)
  local result = {}
  for key, value in next, object do
    result[key] = value
  end
  return result
end

-- A copy of the payload with another value at the path; everything beside the path is shared.
local function with(payload, path, value, depth)
  local key = path[depth or 1]
  if not key then
    return value
  end
  local result = copy(payload)
  result[key] = with(rawget(payload, key), path, value, (depth or 1) + 1)
  return result
end

local function at(payload, path)
  for _, key in ipairs(path) do
    payload = type(payload) == "table" and rawget(payload, key) or nil
  end
  return payload
end

local function text_of(item)
  if type(item) == "table" then
    item = rawget(item, "token")
  end
  return type(item) == "string" and item or nil
end

-- A batch is `{ payload, items, places }`: `items` are the rows of the account it answers for, `places` maps a list
-- in the batch to the same list in the caller's payload: `{ prefix, caller's prefix, offset }`.

local function cut_list(payload, path, list, count, size)
  local batches, prefix = {}, "/" .. table.concat(path, "/")
  for first = 1, count, size do
    local part = slice(list, first, math.min(first + size - 1, count))
    local items = {}
    for i, item in ipairs(part) do
      items[i] = { token = text_of(item) }
    end
    batches[#batches + 1] = { payload = with(payload, path, part), items = items,
      places = { { prefix, prefix, first - 1 } } }
  end
  return batches
end

-- The one list that an entry of verify holds, or nil when it is not so simple; then the check has the word.
local function list_of_entry(entry, names)
  local found
  for _, name in ipairs(names) do
    local list = type(entry) == "table" and rawget(entry, name) or nil
    if list ~= nil then
      if found or not length_of(list) or length_of(list) == 0 then
        return nil
      end
      found = name
    end
  end
  return found
end

-- Packs entries one after another, each batch filled to the last place. `one_each`: a call takes a single entry.
local function cut_entries(payload, helper, entries, count, size, one_each)
  local batches, batch, room = {}, nil, 0
  local prefix = "/" .. table.concat(helper.path, "/")
  for e = 1, count do
    local entry = rawget(entries, e)
    local name = list_of_entry(entry, helper.entries)
    if not name then
      return nil
    end
    local list, position = rawget(entry, name), 1
    local total = length_of(list)
    while position <= total do
      if room == 0 or (one_each and position == 1) or not batch then
        batch, room = { entries = {}, items = {}, places = {} }, size
        batches[#batches + 1] = batch
      end
      local last = math.min(position + room - 1, total)
      batch.entries[#batch.entries + 1] = with(entry, { name }, slice(list, position, last))
      batch.places[#batch.places + 1] = { ("%s/%d/%s"):format(prefix, #batch.entries - 1, name),
        ("%s/%d/%s"):format(prefix, e - 1, name), position - 1 }
      batch.places[#batch.places + 1] = { ("%s/%d"):format(prefix, #batch.entries - 1),
        ("%s/%d"):format(prefix, e - 1) }
      for i = position, last do
        batch.items[#batch.items + 1] = { [name == "barcodes" and "barcode" or "token"] = text_of(rawget(list, i)) }
      end
      room, position = room - (last - position + 1), last + 1
    end
  end
  for _, one in ipairs(batches) do
    one.payload = with(payload, helper.path, one.entries)
  end
  return batches
end

-- An object stands for a list of one where the documents disagree (contract 7 row 5).
local function as_entries(value, helper)
  if type(value) == "table" and list_of_entry(value, helper.entries) then
    return { value }
  end
  return value
end

local function field_at(fields, path, depth)
  for _, field in ipairs(fields) do
    if field.name == path[depth] then
      return path[depth + 1] and field_at(field.fields, path, depth + 1) or field
    end
  end
end

local function size_of(helper)
  local field = field_at(call.operations[helper.operation].body.fields, helper.path, 1)
  if helper.entries then
    field = field_at(field.fields, helper.entries, #helper.entries)
  end
  return field.batch_items
end

-- The batches; the payload as it is where it cannot be cut, for the check to say what is wrong with it.
local function cut(payload, helper, config)
  local list, size = at(payload, helper.path), size_of(helper)
  if helper.entries then
    list = as_entries(list, helper)
  end
  local count, batches = length_of(list), nil
  if count and count > 0 and helper.entries then
    batches = cut_entries(payload, helper, list, count, size, config.shapes.verify == "object")
  elseif count and count > 0 then
    batches = cut_list(payload, helper.path, list, count, size)
  end
  return batches or { { payload = payload, items = {}, places = {} } }
end

-- --- checking ---------------------------------------------------------------------------------------------------

-- "/listing/tokens/3/token" of the second batch is "/listing/tokens/103/token" of the payload.
local function place_in_payload(batch, path)
  for _, place in ipairs(batch.places) do
    local prefix, real, offset = place[1], place[2], place[3]
    if path:sub(1, #prefix) == prefix and (path:sub(#prefix + 1, #prefix + 1) == "/" or #path == #prefix) then
      local rest = path:sub(#prefix + 1)
      if offset then
        rest = rest:gsub("^/(%d+)", function(index) return ("/%d"):format(index + offset) end)
      end
      return real .. rest
    end
  end
  return path
end

local function add_violations(found, seen, batch, violations)
  for _, problem in ipairs(violations) do
    local path = place_in_payload(batch, problem.path)
    local key = path .. "\0" .. problem.rule
    if not seen[key] then
      seen[key] = true
      found[#found + 1] = { path = path, rule = problem.rule, message = problem.message }
    end
  end
end

-- A token that stands twice would fail in the second batch because of the first.
local function add_duplicates(found, helper, batches)
  if call.operations[helper.operation].effect ~= "once" then
    return
  end
  local seen, index = {}, 0
  local prefix = "/" .. table.concat(helper.path, "/")
  for _, batch in ipairs(batches) do
    for _, item in ipairs(batch.items) do
      if item.token and seen[item.token] then
        found[#found + 1] = { path = ("%s/%d"):format(prefix, index), rule = "unique",
          message = ("is the same token as item %d"):format(seen[item.token]) }
      elseif item.token then
        seen[item.token] = index
      end
      index = index + 1
    end
  end
end

local function check(helper, batches, options)
  local found, seen = {}, {}
  for _, batch in ipairs(batches) do
    local ok, violations = core.check(helper.operation, batch.payload, options)
    if not ok then
      add_violations(found, seen, batch, violations)
    end
  end
  add_duplicates(found, helper, batches)
  return found
end

-- --- the account ------------------------------------------------------------------------------------------------

local function text_or_nil(value)
  return type(value) == "string" and value or nil
end

-- What an answer says of single tokens: by token or barcode `{ state, error }`. Lists of what was done and lists of
-- failures stand at different depths (contract 2.4 to 2.7).
local FATE_DEPTH = 6

local function read_fates(value, fates, failed, depth)
  if type(value) ~= "table" or depth > FATE_DEPTH then
    return
  end
  for key, item in pairs(value) do
    read_fates(item, fates, failed or key == "failure", depth + 1)
  end
  for _, key in ipairs { "token", "barcode" } do
    local name = text_or_nil(value[key])
    if name and failed then
      fates[name] = { state = "failed", error = { type = text_or_nil(value.type),
        app_error_code = text_or_nil(value.appErrorCode), developer_message = text_or_nil(value.developerMessage) } }
    elseif name and not fates[name] then
      fates[name] = { state = "done" }
    end
  end
end

-- What holds for a token that the answer does not name. A refused batch was refused as a whole; in a partial answer
-- nothing can be said of it (contract 7 row 42).
local function state_of_others(err)
  if not err then
    return "done"
  elseif err.kind == "partial" then
    return "unknown"
  elseif err.outcome then
    return err.outcome
  end
  return err.kind == "http" and err.status < 500 and "rejected" or "unknown"
end

-- An answer is believed token by token when it was made for that: a partial one, or a refusal that lists failures.
local function settle(batch, result, err)
  local fates, others = {}, state_of_others(err)
  if err and (err.kind == "partial" or others == "rejected") then
    read_fates(err.body or result, fates, false, 1)
  end
  for _, item in ipairs(batch.items) do
    local fate = fates[item.token or item.barcode]
    if fate and (err.kind == "partial" or fate.state == "failed") then
      item.state, item.error = fate.state, fate.error
    else
      item.state = others
    end
  end
end

local function account_of(batches)
  local account, counts = {}, { done = 0, failed = 0, rejected = 0, not_sent = 0, unknown = 0 }
  for _, batch in ipairs(batches) do
    for _, item in ipairs(batch.items) do
      account[#account + 1] = item
      counts[item.state] = counts[item.state] + 1
    end
  end
  return account, counts
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
local function merged(batches)
  local result
  for _, batch in ipairs(batches) do
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

local function send_all(config, helper, batches, options, limit)
  local is_once = call.operations[helper.operation].effect == "once"
  local ends_at_ms = core.monotonic_ms() + (options.deadline_ms or config.deadline_ms)
  local has_failed = false
  local tasks = {}
  for i, batch in ipairs(batches) do
    tasks[i] = function()
      if has_failed and is_once then
        return
      end
      local own = copy(options)
      own.deadline_ms = math.floor(ends_at_ms - core.monotonic_ms())
      if own.deadline_ms < 1 then
        batch.err = deadline_error(helper)
      else
        batch.result, batch.err, batch.response = call.run(config, helper.operation, batch.payload, own)
      end
      has_failed = has_failed or batch.err ~= nil
    end
  end
  require("paciolan.concurrent").run(tasks, { limit = limit })
end

local function settle_all(batches)
  for _, batch in ipairs(batches) do
    if batch.result or batch.err then
      settle(batch, batch.result, batch.err)
    else
      for _, item in ipairs(batch.items) do
        item.state = "not_sent"
      end
    end
  end
end

local function response_of(batches, account, started_at_ms)
  local responses, attempts = {}, 0
  for _, batch in ipairs(batches) do
    local response = batch.response or (batch.err and batch.err.response)
    if response then
      responses[#responses + 1] = response
      attempts = attempts + response.attempts
    end
  end
  return { batches = #batches, responses = responses, attempts = attempts, tokens = account, headers = {},
    elapsed_ms = core.monotonic_ms() - started_at_ms }
end

-- --- the error --------------------------------------------------------------------------------------------------

local function message_of(helper, account, counts)
  local parts = { ("%d of %d are %s"):format(counts.done, #account, helper.done) }
  for _, state in ipairs { "failed", "rejected", "unknown", "not_sent" } do
    if counts[state] > 0 then
      parts[#parts + 1] = ("%d %s"):format(counts[state], (state:gsub("_", " ")))
    end
  end
  return table.concat(parts, ", ")
end

local function errors_of(batches)
  local list = {}
  for _, batch in ipairs(batches) do
    list[#list + 1] = batch.err
  end
  return list
end

local function worst_outcome(counts)
  for _, state in ipairs { "unknown", "rejected", "failed", "not_sent" } do
    if counts[state] > 0 then
      return state == "failed" and "rejected" or state
    end
  end
end

-- The first batch's own error where nothing at all was done, else a partial one. `body` is the merged answer and
-- `tokens` the account.
local function failure(helper, batches, response, counts)
  local list = errors_of(batches)
  local first = list[1]
  local err = {}
  for key, value in pairs(first) do
    err[key] = value
  end
  local is_write = call.operations[helper.operation].effect ~= "read"
  if counts.done > 0 or first.kind == "partial" then
    err.kind, err.retryable, err.retry_after_ms = "partial", false, nil
    err.outcome = is_write and counts.unknown > 0 and "unknown" or nil
  else
    err.outcome = is_write and worst_outcome(counts) or nil
    err.retryable = first.retryable and (not is_write or err.outcome == first.outcome)
  end
  err.message = message_of(helper, response.tokens, counts)
    .. (#batches > 1 and ("; the first of %d errors: "):format(#list) or ": ") .. first.message
  err.body, err.tokens, err.errors = merged(batches), response.tokens, list
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
  local batches = cut(payload, helper, config)
  local violations = check(helper, batches, { shapes = config.shapes,
    organization_id = options.organization_id or config.organization_id })
  if #violations > 0 then
    local err = errors.validation(helper.operation, violations, operation.effect ~= "read" and "not_sent" or nil)
    err.response = response_of({}, {}, started_at_ms)
    return nil, err
  end
  send_all(config, helper, batches, options, limit)
  settle_all(batches)
  local account, counts = account_of(batches)
  local response = response_of(batches, account, started_at_ms)
  if #errors_of(batches) > 0 then
    return nil, failure(helper, batches, response, counts)
  end
  return merged(batches), nil, response
end

--- The names of the helpers and the operation behind each.
bulk.operations = {}
for name, helper in pairs(helpers) do
  bulk.operations[name] = helper.operation
end

return bulk
