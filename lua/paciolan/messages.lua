--- What the service pushes: messages about events and seats, read and checked (contract 5).
--
--     local message, err = require("paciolan").messages.parse(body)
--     if message and message.entity == "seats" then
--       for _, seat in ipairs(message.items) do … end
--     end
--
-- A message is read as it is shown in the documents: the JSON object itself. One in an SNS envelope is refused, never
-- unwrapped, because only a receiver that checks signatures may open an envelope (row 62).
-- @module paciolan.messages
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local messages = {}

-- What SNS delivers at most; a bare message has no reason to be larger.
local MAX_BYTES = 256 * 1024

-- Above this a double skips whole numbers, so an id would be another one.
local MAX_WHOLE = 2 ^ 53

local items_of = core.messages()
local metadata_fields = items_of.metadata.fields
items_of.metadata = nil

-- An entity that the documents do not know yet is told apart by the caller, so the list of those they know does not
-- bind.
for _, field in ipairs(metadata_fields) do
  if field.name == "messageEntity" then
    field.values = nil
  end
end

-- --- values -------------------------------------------------------------------------------------------------------

local function read_string(value)
  if type(value) == "string" then
    return value
  end
  return nil, "must be a string"
end

-- Ids and labels are texts, whichever way they came (rows 9 and 23).
local function digits_of(value)
  if type(value) == "number" and value >= 0 and value <= MAX_WHOLE and value % 1 == 0 then
    return ("%d"):format(value)
  end
  return nil
end

local function read_integer(value)
  local digits = digits_of(value) or (type(value) == "string" and value:match("^%d+$"))
  if digits then
    return digits
  end
  return nil, "must be a whole number from 0, as a number or in digits"
end

local function read_label(value)
  local label = digits_of(value) or (type(value) == "string" and value)
  if label then
    return label
  end
  return nil, "must be a string or a whole number from 0"
end

local readers = { string = read_string, integer = read_integer, ["string or integer"] = read_label }

local function is_one_of(values, value)
  for _, known in ipairs(values) do
    if known == value then
      return true
    end
  end
  return false
end

-- The value in the form in which it is handed on, or nil and the rule that it breaks. Null and absence are two
-- different values (row 29); either will do where a field is not required.
local function read_field(field, value)
  if value == nil or value == json.null then
    if field.required then
      return nil, value == nil and "is required" or "must not be null"
    end
    return value
  end
  local read, rule = readers[field.type](value)
  if rule then
    return nil, rule
  elseif field.required and read == "" then
    return nil, "must not be empty"
  elseif field.values and not is_one_of(field.values, read) then
    return nil, "must be " .. table.concat(field.values, " or ")
  end
  return read
end

-- --- objects ------------------------------------------------------------------------------------------------------

-- Decoded lists have the keys 1 to n and decoded objects have texts, so one key tells them apart. An empty table may
-- have been either.
local function is_object(value)
  return type(value) == "table" and type(next(value)) ~= "number"
end

local function is_list(value)
  return type(value) == "table" and type(next(value)) ~= "string"
end

-- A copy of the object with its documented fields read; the others are kept as they came. Or nil and the problem.
local function read_object(fields, object, place)
  if object == nil then
    return nil, place .. " is required"
  elseif not is_object(object) then
    return nil, place .. " must be an object"
  end
  local result = {}
  for name, value in pairs(object) do
    result[name] = value
  end
  for _, field in ipairs(fields) do
    local value, rule = read_field(field, object[field.name])
    if rule then
      return nil, ("%s/%s %s"):format(place, field.name, rule)
    end
    result[field.name] = value
  end
  return result
end

local function read_items(entity, data)
  local known, place = items_of[entity], "/data/" .. entity
  local list, items = data[entity], {}
  if list == nil then
    return nil, place .. " is required"
  elseif not is_list(list) then
    return nil, place .. " must be a list"
  end
  for i, entry in ipairs(list) do
    local item, problem = read_object(known.fields, entry, ("%s/%d"):format(place, i - 1))
    if problem then
      return nil, problem
    end
    items[i] = item
  end
  return items
end

-- --- the body -----------------------------------------------------------------------------------------------------

-- lua-cjson lets raw control characters stand in strings, where JSON wants them escaped (RFC 8259 section 7).
local function has_raw_control(body)
  if not body:find("[\1-\31]") then
    return false
  end
  for inside in body:gsub("\\.", ""):gmatch('"([^"]*)"') do
    if inside:find("[\1-\31]") then
      return true
    end
  end
  return false
end

-- The decoded object, or nil and the problem.
local function decode(body)
  if #body > MAX_BYTES then
    return nil, "the message is larger than 256 KiB"
  elseif not core.is_utf8(body) then
    return nil, "the message is not valid UTF-8"
  end
  local decoded = json.decode(body)
  if decoded == nil or has_raw_control(body) then
    return nil, "the message is not JSON, or nested deeper than 64 levels"
  elseif not is_object(decoded) then
    return nil, "the message must be an object"
  end
  return decoded
end

local envelope_types = { Notification = true, SubscriptionConfirmation = true, UnsubscribeConfirmation = true }

local function is_envelope(body)
  return body.data == nil and body.metadata == nil and envelope_types[body.Type] and body.TopicArn ~= nil
end

local function read_message(text)
  local body, problem = decode(text)
  if not body then
    return nil, problem
  elseif is_envelope(body) then
    return nil, ("the body is an SNS envelope (%s), and not a message itself"):format(body.Type)
  elseif body.data == nil then
    return nil, "/data is required"
  elseif not is_object(body.data) then
    return nil, "/data must be an object"
  end
  local metadata, items
  metadata, problem = read_object(metadata_fields, body.metadata, "/metadata")
  if not metadata then
    return nil, problem
  end
  if items_of[metadata.messageEntity] then
    items, problem = read_items(metadata.messageEntity, body.data)
    if not items then
      return nil, problem
    end
  end
  return {
    entity = metadata.messageEntity, organization_id = metadata.pacOrganizationId,
    request_id = metadata.requestId ~= json.null and metadata.requestId or nil,
    items = items or {}, data = body.data, metadata = body.metadata, body = body,
  }
end

--- Reads a message.
--
-- What is kept: fields that the documents do not name, in the items and beside them; null, which is `paciolan.null`,
-- `TBD` and absence as three different values (row 29); an item without `seat` (row 52). Nothing is compared with
-- anything: an `accessId` is opaque (row 53). `row` and `seat` are strings in the items (row 23), and so is the
-- organisation (row 9); `data`, `metadata` and `body` hold everything as it came.
--
-- What is refused, because nobody could act on it: a body that is no JSON object, is not UTF-8, is larger than 256 KiB
-- or nested deeper than 64 levels; a required field that is missing, null or empty; a value of a wrong type; a `status`
-- other than `LOCK` and `UNLOCK`; an SNS envelope (row 62).
--
-- An entity that the documents do not know is no error, so that one can be added: `entity` holds its name, `items` is
-- empty, and `data` has what came.
-- @tparam string body the JSON text, as it was posted
-- @treturn table message `{ entity, organization_id, request_id, items, data, metadata, body }`: `entity` is `events`,
-- `seats` or another name, `organization_id` a string of digits, `request_id` any string or nil, `items` the list of
-- events or seats under their wire names, `body` the decoded message and `data` and `metadata` its parts
-- @treturn[2] nil
-- @treturn[2] table err of kind `protocol`: its message names the place (JSON Pointer, items from 0) and the rule
-- @raise when the body is not a string
function messages.parse(body)
  if type(body) ~= "string" then
    error("paciolan.messages.parse takes the text of a message, not a " .. type(body), 2)
  end
  local message, problem = read_message(body)
  if message then
    return message
  end
  return nil, errors.new { kind = "protocol", operation = "messages.parse", message = problem, retryable = false }
end

return messages
