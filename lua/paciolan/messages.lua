--- What the service pushes: messages about events and seats, read and checked (contract 5).
--
--     local message, err = require("paciolan").messages.parse(body)
--     if message and message.entity == "seats" then
--       for _, seat in ipairs(message.items) do … end
--     end
--
-- A message is read as it is shown in the documents: the JSON object itself. An SNS envelope in the place of the text
-- is refused, never unwrapped, because its signature has to be checked first (row 62); what `paciolan.sns.verify` made
-- of it is taken.
-- @module paciolan.messages
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local messages = {}

-- What SNS delivers at most; a bare message has no reason to be larger.
local MAX_BYTES = 256 * 1024

local MAX_DEPTH = 64

-- From here on a double skips whole numbers, so an id may have been another one.
local TOO_LARGE = 2 ^ 53

local items_of = core.messages()
local metadata_fields = items_of.metadata.fields
items_of.metadata = nil

-- The list of values of a field, which then binds no more: what it does not hold is told apart below, or by the caller.
local function take_values(fields, name)
  for _, field in ipairs(fields) do
    if field.name == name then
      local values = field.values
      field.values = nil
      return values
    end
  end
end

-- An entity that the documents do not know yet is the caller's to see.
take_values(metadata_fields, "messageEntity")

local known_states = take_values(items_of.seats.fields, "status")
local STATE_RULE = "must be " .. table.concat(known_states, " or ")
local is_known_state = {}
for _, state in ipairs(known_states) do
  is_known_state[state] = true
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
  if type(value) == "number" and value >= 0 and value < TOO_LARGE and value % 1 == 0 then
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

local function copy_of(object)
  local copy = {}
  for name, value in pairs(object) do
    copy[name] = value
  end
  return copy
end

-- A text that is not empty is right in most fields, and stays as it is.
local is_read_at_once = { string = true, ["string or integer"] = true }

-- The object with its documented fields read, the others as they came: itself where reading changes nothing, else a
-- copy. Or nil and the problem, which begins behind the place of the object.
local function read_object(fields, object)
  if object == nil then
    return nil, " is required"
  elseif not is_object(object) then
    return nil, " must be an object"
  end
  local result = object
  for i = 1, #fields do
    local field = fields[i]
    local came = object[field.name]
    if type(came) ~= "string" or came == "" or field.values or not is_read_at_once[field.type] then
      local value, rule = read_field(field, came)
      if rule then
        return nil, ("/%s %s"):format(field.name, rule)
      elseif value ~= came then
        result = result == object and copy_of(object) or result
        result[field.name] = value
      end
    end
  end
  return result
end

-- A seat that cannot be told, or a state that nobody knows, must not cost the whole message: it is handed over with its
-- problem named (rows 52 and 61). Returns the item, or a copy that names its first problem and says that its state is
-- unknown.
local function judge_seat(item, index, problems)
  local has_seat = item.seat ~= nil and item.seat ~= json.null and item.seat ~= ""
  local has_state = is_known_state[item.status]
  if has_seat and has_state then
    return item
  end
  item = copy_of(item)
  item.problem = has_seat and "status is unknown" or "seat is required"
  if not has_seat then
    local path = ("/data/seats/%d/seat"):format(index)
    problems[#problems + 1] = { path = path, rule = "required", message = "is required" }
  end
  if not has_state then
    item.status = "unknown"
    local path = ("/data/seats/%d/status"):format(index)
    problems[#problems + 1] = { path = path, rule = "values", message = STATE_RULE }
  end
  return item
end

-- A field of this name is ours to write. What came under it is still in `data`.
local function without_problem(item)
  if item.problem == nil then
    return item
  end
  item = copy_of(item)
  item.problem = nil
  return item
end

-- The items and their problems, or nil and why there are none.
local function read_items(entity, data)
  local known, place = items_of[entity], "/data/" .. entity
  local list, items, problems = data[entity], {}, {}
  if list == nil then
    return nil, place .. " is required"
  elseif not is_list(list) then
    return nil, place .. " must be a list"
  end
  for i, entry in ipairs(list) do
    local item, problem = read_object(known.fields, entry)
    if problem then
      return nil, ("%s/%d%s"):format(place, i - 1, problem)
    end
    item = without_problem(item)
    items[i] = entity == "seats" and judge_seat(item, i - 1, problems) or item
  end
  return items, problems
end

-- --- the body -----------------------------------------------------------------------------------------------------

-- The decoded object, or nil and the problem. lua-cjson is not strict: it takes the last of two equal names, for one.
local function decode(text)
  if #text > MAX_BYTES then
    return nil, "the message is larger than 256 KiB"
  end
  local ok, problem = core.json_check(text, MAX_DEPTH)
  local decoded = ok and json.decode(text)
  if not ok then
    return nil, "the message is not strict JSON: " .. problem
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
  local metadata, items, problems
  metadata, problem = read_object(metadata_fields, body.metadata)
  if not metadata then
    return nil, "/metadata" .. problem
  end
  if items_of[metadata.messageEntity] then
    items, problems = read_items(metadata.messageEntity, body.data)
    if not items then
      return nil, problems
    end
  end
  return {
    entity = metadata.messageEntity, organization_id = metadata.pacOrganizationId,
    request_id = metadata.requestId ~= json.null and metadata.requestId or nil,
    items = items or {}, problems = problems or {}, data = body.data, metadata = body.metadata, body = body,
  }
end

-- Is it a table like those that `paciolan.sns.verify` returns? An envelope as it was posted has other names.
local function is_verified(envelope)
  return type(envelope) == "table" and type(envelope.message) == "string" and type(envelope.topic_arn) == "string"
    and envelope_types[envelope.type] == true
end

local function read_verified(envelope)
  if envelope.type ~= "Notification" then
    return nil, ("the envelope is a %s, which carries no message"):format(envelope.type)
  end
  local message, problem = read_message(envelope.message)
  if message then
    message.topic_arn, message.message_id = envelope.topic_arn, envelope.message_id
    message.timestamp, message.timestamp_ms = envelope.timestamp, envelope.timestamp_ms
  end
  return message, problem
end

--- Reads a message.
--
-- What is kept: fields that the documents do not name, in the items and beside them; null, which is `paciolan.null`,
-- `TBD` and absence as three different values (row 29). Nothing is compared with anything: an `accessId` is opaque
-- (row 53). `row` and `seat` are strings in the items (row 23), and so is the organisation (row 9); `data`, `metadata`
-- and `body` hold everything as it came. An item that came as it should be is the very table that is in `data`.
--
-- What is kept with its problem named, in `problems` and, as a short text, in the item's own `problem`: an item without
-- `seat`, with what stands in its place (row 52; `seat is required`); a `status` other than `LOCK` and `UNLOCK`, which
-- is `unknown` in the item (`status is unknown`). Nobody should act on such an item, but the others are good; they have
-- no `problem`, whatever came under that name.
--
-- What is refused, because nobody could act on it: a body that is no JSON object, by the letter of RFC 8259 and in
-- UTF-8, with no name twice in an object and at most 1,000 members in it and those around it; one that is larger than
-- 256 KiB or nested deeper than 64 levels; a required field that is missing, null or empty; a value of a wrong type; an
-- SNS envelope (row 62).
--
-- An entity that the documents do not know is no error, so that one can be added: `entity` holds its name, `items` is
-- empty, and `data` has what came.
-- @tparam string|table body the JSON text, as it was posted; or the envelope that `paciolan.sns.verify` returned, whose
-- `message` is read then
-- @treturn table message `{ entity, organization_id, request_id, items, problems, data, metadata, body }`: `entity` is
-- `events`, `seats` or another name, `organization_id` a string of digits, `request_id` any string or nil, `items` the
-- list of events or seats under their wire names, `problems` a list of `{ path, rule, message }` whose `path` is a JSON
-- Pointer with items from 0 (empty when nothing is wrong), `body` the decoded message and `data` and `metadata` its
-- parts. Out of an envelope also its `topic_arn`, `message_id`, `timestamp` and `timestamp_ms`
-- @treturn[2] nil
-- @treturn[2] table err of kind `protocol`: its message names the place (JSON Pointer, items from 0) and the rule
-- @raise when the body is neither a string nor such an envelope
function messages.parse(body)
  local message, problem
  if type(body) == "string" then
    message, problem = read_message(body)
  elseif is_verified(body) then
    message, problem = read_verified(body)
  else
    error("paciolan.messages.parse takes the text of a message or an envelope that was verified, and not "
      .. (type(body) == "table" and "another table" or "a " .. type(body)), 2)
  end
  if message then
    return message
  end
  return nil, errors.new { kind = "protocol", operation = "messages.parse", message = problem, retryable = false }
end

return messages
