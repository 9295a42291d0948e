--- The JSON envelope of Amazon SNS, written a second time: what is signed, and the text that is sent. It follows the
-- facts about SNS and not the code under test, so that a mistake of one of the two shows.

local cjson = require("cjson").new()

local envelope = {}

local SIGNED = {
  Notification = { "Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type" },
  SubscriptionConfirmation = { "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type" },
  UnsubscribeConfirmation = { "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type" },
}

-- As SNS sends them.
local ORDER = { "Type", "MessageId", "Token", "TopicArn", "Subject", "Message", "SubscribeURL", "Timestamp",
  "SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL", "MessageAttributes" }

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
  ["\t"] = "\\t" }

local function escape(character)
  return ESCAPES[character] or ("\\u%04x"):format(character:byte())
end

--- A JSON string, with no escapes but those that JSON demands.
-- @tparam string text any bytes
-- @treturn string
function envelope.quote(text)
  return '"' .. text:gsub('[%z\1-\31"\\]', escape) .. '"'
end

--- The bytes that SNS signs: name and value of each signed field that is there, a line each.
-- @tparam table fields of a message; an unknown `Type` is taken for a Notification
-- @treturn string
function envelope.string_to_sign(fields)
  local lines = {}
  for _, name in ipairs(SIGNED[fields.Type] or SIGNED.Notification) do
    if fields[name] ~= nil then
      lines[#lines + 1] = name .. "\n" .. tostring(fields[name]) .. "\n"
    end
  end
  return table.concat(lines)
end

local function value_text(value)
  return type(value) == "string" and envelope.quote(value) or cjson.encode(value)
end

local function names_of(fields)
  local names, is_known = {}, {}
  for _, name in ipairs(ORDER) do
    is_known[name] = true
    if fields[name] ~= nil then
      names[#names + 1] = name
    end
  end
  local others = {}
  for name in pairs(fields) do
    if not is_known[name] then
      others[#others + 1] = name
    end
  end
  table.sort(others)
  for _, name in ipairs(others) do
    names[#names + 1] = name
  end
  return names
end

--- The JSON text: the known fields in the order of SNS, then the others by name. Values that are no strings are written
-- as lua-cjson does.
-- @tparam table fields
-- @treturn string
function envelope.encode(fields)
  local members = {}
  for _, name in ipairs(names_of(fields)) do
    members[#members + 1] = "  " .. envelope.quote(name) .. " : " .. value_text(fields[name])
  end
  return "{\n" .. table.concat(members, ",\n") .. "\n}"
end

return envelope
