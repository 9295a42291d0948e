--- What became of each token of a bulk helper, by the answers to its batches.
-- @module paciolan.bulk.account
local account = {}

local function text_or_nil(value)
  return type(value) == "string" and value or nil
end

-- What an answer says of single tokens: under a key of `key_of`, `{ state, error }`. Lists of what was done and lists
-- of failures stand at different depths (contract 2.4 to 2.7).
local FATE_DEPTH = 6

-- The same barcode may stand for two events.
local function key_of(name, value, access_id)
  return name == "token" and "token " .. value or ("barcode %s %s"):format(access_id or "", value)
end

-- An answer that says two things of a token says nothing.
local function note(fates, key, fate)
  local known = fates[key]
  fates[key] = known and known.state ~= fate.state and { state = "unknown" } or fate
end

local function fate_of(entry, state)
  if state == "done" then
    -- A failure entry names the state that the token was left in (contract 7 row 61).
    return { state = entry.status == "UNLOCK" and "unknown" or "done" }
  end
  return { state = state, error = { type = text_or_nil(entry.type), app_error_code = text_or_nil(entry.appErrorCode),
    developer_message = text_or_nil(entry.developerMessage) } }
end

-- found: `{ fates, names }`; `names` tells that there is a list of what was done.
local function read_fates(found, helper, value, state, access_id, depth)
  if type(value) ~= "table" or depth > FATE_DEPTH then
    return
  end
  access_id = text_or_nil(value.accessId) or access_id
  for _, name in ipairs(state and { "token", "barcode" } or {}) do
    if type(value[name]) == "string" then
      note(found.fates, key_of(name, value[name], access_id), fate_of(value, state))
    end
  end
  for key, item in pairs(value) do
    local is_done = key == helper.done_list
    found.names = found.names or (is_done and type(item) == "table")
    local below = key == "failure" and "failed" or is_done and "done" or state
    read_fates(found, helper, item, below, access_id, depth + 1)
  end
end

local function fate_in(found, item)
  return found.fates[key_of(item.token and "token" or "barcode", item.token or item.barcode, item.accessId)]
    or item.barcode and found.fates[key_of("barcode", item.barcode)]
end

-- What holds for a token that the answer does not name. A refused batch was refused as a whole; of a partial answer,
-- and of one that lists others, nothing follows for it (contract 7 row 42).
local function state_of_others(found, err)
  if not err then
    return found.names and "unknown" or "done"
  elseif err.kind == "partial" then
    return "unknown"
  elseif err.outcome then
    return err.outcome
  end
  return err.kind == "http" and err.status < 500 and "rejected" or "unknown"
end

-- What is told of a token is believed only as far as it fits the verdict on the whole answer: "done" in a refusal and
-- "failed" after an attempt whose fate is unknown leave it unknown.
local function settle_item(item, fate, err)
  local is_doubtful = err and ((fate.state == "done" and err.kind ~= "partial")
    or (fate.state == "failed" and err.kind == "partial" and err.outcome == "unknown"))
  item.state = is_doubtful and "unknown" or fate.state
  item.error = fate.error
end

--- Writes `state` and `error` into every item of a batch whose call has ended.
-- @tparam table helper a row of `paciolan.bulk`
-- @tparam table batch with `items`, and `result` or `err`
function account.settle(helper, batch)
  local found, err = { fates = {}, names = false }, batch.err
  read_fates(found, helper, err and err.body or batch.result, nil, nil, 1)
  local others = state_of_others(found, err)
  for _, item in ipairs(batch.items) do
    local fate = fate_in(found, item)
    if fate and (not err or err.kind == "partial" or others == "rejected") then
      settle_item(item, fate, err)
    else
      item.state = others
    end
  end
end

--- Puts the items of all batches into one list.
-- @tparam table list of batches
-- @treturn table the account
-- @treturn table how many are in each state
function account.of(list)
  local items, counts = {}, { done = 0, failed = 0, rejected = 0, not_sent = 0, unknown = 0 }
  for _, batch in ipairs(list) do
    for _, item in ipairs(batch.items) do
      items[#items + 1] = item
      counts[item.state] = counts[item.state] + 1
    end
  end
  return items, counts
end

return account
