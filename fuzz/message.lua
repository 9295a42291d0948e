--- What message_fuzz.c demands of `paciolan.messages.parse`: a function that raises where a text shows it broken.
local errors = require "paciolan.errors"
local messages = require "paciolan.messages"

local ENVELOPE = { type = "Notification", topic_arn = "arn:aws:sns:us-west-2:123456789012:seats", message_id = "id",
  timestamp = "2026-03-06T20:00:26.893Z", timestamp_ms = 1772827226893 }

local ENTITIES = { events = "events", seats = "seats" }
local STATES = { LOCK = true, UNLOCK = true, unknown = true }

local function expect_error(count, message, err)
  assert(count == 2 and message == nil)
  assert(errors.is(err) and err.kind == "protocol" and err.retryable == false)
  assert(type(err.message) == "string" and #err.message < 300 and not err.message:find("%c"))
end

local function expect_item(message, i)
  local item = message.items[i]
  assert(type(item.accessId) == "string" and item.accessId ~= "")
  if message.entity == "seats" then
    assert(STATES[item.status])
    assert(item.row == nil or type(item.row) ~= "number")
    assert(item.seat == nil or type(item.seat) ~= "number")
  end
end

local function expect_problem(message, problem)
  local place, name = problem.path:match("^/data/seats/(%d+)/(%a+)$")
  local item = message.items[place + 1]
  if name == "status" then
    assert(problem.rule == "values" and item.status == "unknown")
  else
    assert(name == "seat" and problem.rule == "required" and (type(item.seat) ~= "string" or item.seat == ""))
  end
end

local function expect_message(count, message)
  assert(count == 1)
  assert(type(message.entity) == "string" and message.entity ~= "")
  assert(message.organization_id:find("^%d+$"))
  assert(message.request_id == nil or type(message.request_id) == "string")
  assert(ENTITIES[message.entity] or #message.items == 0)
  assert(not ENTITIES[message.entity] or #message.items == #message.data[message.entity])
  for i in ipairs(message.items) do
    expect_item(message, i)
  end
  for _, problem in ipairs(message.problems) do
    expect_problem(message, problem)
  end
end

return function(text)
  local message, err = messages.parse(text)
  local count = select("#", messages.parse(text))
  if message == nil then
    expect_error(count, message, err)
  else
    expect_message(count, message)
  end
  ENVELOPE.message = text
  local out_of_envelope, why = messages.parse(ENVELOPE)
  assert((out_of_envelope == nil) == (message == nil))
  if message then
    assert(out_of_envelope.entity == message.entity and #out_of_envelope.problems == #message.problems)
    assert(out_of_envelope.timestamp_ms == ENVELOPE.timestamp_ms)
  else
    assert(why.message == err.message)
  end
end
