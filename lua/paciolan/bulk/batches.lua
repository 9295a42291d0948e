--- The payload of a bulk helper, cut into batches, and their check.
-- @module paciolan.bulk.batches
local call = require "paciolan.call"
local core = require "paciolan.core"

local batches = {}

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
  local made, prefix = {}, "/" .. table.concat(path, "/")
  for first = 1, count, size do
    local part = slice(list, first, math.min(first + size - 1, count))
    local items = {}
    for i, item in ipairs(part) do
      items[i] = { token = text_of(item) }
    end
    made[#made + 1] = { payload = with(payload, path, part), items = items,
      places = { { prefix, prefix, first - 1 } } }
  end
  return made
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

local function new_item(entry, name, value)
  if name == "barcodes" then
    return { barcode = text_of(value), accessId = text_of(rawget(entry, "accessId")) }
  end
  return { token = text_of(value) }
end

-- Packs entries one after another, each batch filled to the last place. `one_each`: a call takes a single entry.
local function cut_entries(payload, helper, entries, count, size, one_each)
  local made, batch, room = {}, nil, 0
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
        made[#made + 1] = batch
      end
      local last = math.min(position + room - 1, total)
      batch.entries[#batch.entries + 1] = with(entry, { name }, slice(list, position, last))
      batch.places[#batch.places + 1] = { ("%s/%d/%s"):format(prefix, #batch.entries - 1, name),
        ("%s/%d/%s"):format(prefix, e - 1, name), position - 1 }
      batch.places[#batch.places + 1] = { ("%s/%d"):format(prefix, #batch.entries - 1),
        ("%s/%d"):format(prefix, e - 1) }
      for i = position, last do
        batch.items[#batch.items + 1] = new_item(entry, name, rawget(list, i))
      end
      room, position = room - (last - position + 1), last + 1
    end
  end
  for _, one in ipairs(made) do
    one.payload = with(payload, helper.path, one.entries)
  end
  return made
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

--- Cuts a payload into batches: `{ payload, items, places }`. `items` are the rows of the account that a batch answers
-- for. A payload that cannot be cut is the only batch as it is, for the check to say what is wrong with it.
-- @tparam table payload it is left as it was
-- @tparam table helper a row of `paciolan.bulk`
-- @tparam table config the client's settings
-- @treturn table list of batches
function batches.cut(payload, helper, config)
  local list, size = at(payload, helper.path), size_of(helper)
  if helper.entries then
    list = as_entries(list, helper)
  end
  local count, made = length_of(list), nil
  if count and count > 0 and helper.entries then
    made = cut_entries(payload, helper, list, count, size, config.shapes.verify == "object")
  elseif count and count > 0 then
    made = cut_list(payload, helper.path, list, count, size)
  end
  return made or { { payload = payload, items = {}, places = {} } }
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
local function add_duplicates(found, helper, list)
  if call.operations[helper.operation].effect ~= "once" then
    return
  end
  local seen, index = {}, 0
  local prefix = "/" .. table.concat(helper.path, "/")
  for _, batch in ipairs(list) do
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

--- Checks every batch, and the places where two of them meet.
-- @tparam table helper a row of `paciolan.bulk`
-- @tparam table list of batches
-- @tparam table options as for `core.check`
-- @treturn table violations, their places in the caller's own payload; empty when nothing is wrong
function batches.check(helper, list, options)
  local found, seen = {}, {}
  for _, batch in ipairs(list) do
    local ok, violations = core.check(helper.operation, batch.payload, options)
    if not ok then
      add_violations(found, seen, batch, violations)
    end
  end
  add_duplicates(found, helper, list)
  return found
end

return batches
