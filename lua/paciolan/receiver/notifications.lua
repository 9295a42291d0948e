--- What a receiver does with a message that it believes: reads it, hands its items to the application, keeps what
-- cannot be used.
-- @module paciolan.receiver.notifications
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"
local messages = require "paciolan.messages"
local reports = require "paciolan.receiver.reports"

local notifications = {}

local UNUSABLE = "a message was believed, but cannot be used"

--- Asks the application to keep a body that is about to be refused for good.
-- @tparam ?function quarantine `(body, reason)`; it has failed when it raises, returns false, or nil and something
-- @tparam string body
-- @tparam string reason
-- @treturn boolean false when it could not be kept
function notifications.keep(quarantine, body, reason)
  if not quarantine then
    return true
  end
  local ok, kept, err = pcall(quarantine, body, reason)
  return ok and kept ~= false and (kept ~= nil or err == nil)
end

local ENVELOPE = "an SNS envelope came where messages are expected bare"

-- The type of an envelope. Only looked at once the body was refused as a message.
local function type_of_envelope(body)
  local decoded = json.decode(body)
  return type(decoded) == "table" and type(decoded.TopicArn) == "string" and type(decoded.Type) == "string"
    and decoded.Type or nil
end

--- Refuses an envelope where there should be none. Nobody has checked its signature, but it came with our credentials,
-- and may hold a message that never comes again; confirmations hold secrets and are not kept.
-- @tparam table self the receiver
-- @tparam string body
-- @tparam string type_name of the envelope
-- @tparam ?string topic
-- @treturn boolean whether this is over for good
-- @treturn number status of the answer
-- @treturn string reason
function notifications.refuse_envelope(self, body, type_name, topic)
  local quarantine = type_name == "Notification" and self._options.quarantine or nil
  if not notifications.keep(quarantine, body, ENVELOPE) then
    return false, 503, "quarantine_failed"
  end
  self._told:alarm("envelope_refused", ENVELOPE .. "; a subscription is confirmed in mode envelope before raw delivery"
    .. " is switched on", topic)
  return quarantine ~= nil, 400, "envelope_refused"
end

-- Signed, or sent with our credentials, but nobody could act on it. Kept, it is over for good.
local function refuse(self, body, err, context)
  local options, detail = self._options, errors.is(err) and err.message or nil
  local envelope_type = options.mode ~= "envelope" and type_of_envelope(body)
  if envelope_type then
    return notifications.refuse_envelope(self, body, envelope_type, context.topic)
  elseif not notifications.keep(options.quarantine, body, detail or UNUSABLE) then
    return false, 503, "quarantine_failed"
  end
  self._told:alarm("unusable_message", UNUSABLE .. (detail and ": " .. detail or ""), context.topic)
  return options.quarantine ~= nil, 400, "unusable_message", detail
end

local failures = {
  handler_raised = "a handler raised an error, so a message was not handled and has to come again: ",
  handler_refused = "a handler did not return true, so a message was not handled and has to come again: ",
}

-- Of what a handler returned, or raised: only true is done.
local function judge(ok, done, err)
  if not ok then
    return false, "handler_raised", reports.text(done)
  elseif done ~= true then
    return false, "handler_refused", err ~= nil and reports.text(err) or nil
  end
  return true
end

--- Calls a handler of the application. What fails is an alarm.
-- @tparam table self the receiver
-- @tparam ?string topic
-- @tparam function handler
-- @param first
-- @param second
-- @treturn boolean whether it is done
-- @treturn ?string reason
-- @treturn ?string detail
function notifications.call(self, topic, handler, first, second)
  local done, reason, detail = judge(pcall(handler, first, second))
  if not done then
    self._told:alarm(reason, failures[reason] .. (detail or "it gave no cause"), topic)
  end
  return done, reason, detail
end

local call = notifications.call

-- What was read, whatever a handler does to the list in its message. Of one item nothing is looked at after the call.
local function items_of(message)
  if #message.items == 1 then
    return message.items
  end
  local items = {}
  for i, item in ipairs(message.items) do
    items[i] = item
  end
  return items
end

-- One that fails does not keep the others from being handled; but it is one message, which then comes again as a whole.
local function hand_over(self, topic, handler, message)
  local items, first_reason, first_detail = items_of(message), nil, nil
  if #items == 0 then
    return true, 204, "empty"
  end
  for i = 1, #items do
    local done, reason, detail = call(self, topic, handler, items[i], message)
    if not done and not first_reason then
      first_reason, first_detail = reason, detail
    end
  end
  if first_reason then
    return false, 503, first_reason, first_detail
  end
  return true, 204, "done"
end

local handler_of = { events = "on_event", seats = "on_seat" }

-- Whether it is over, status, reason, detail.
local function dispatch(self, message, context)
  local options = self._options
  local handler = options[handler_of[message.entity]]
  if handler then
    return hand_over(self, context.topic, handler, message)
  elseif options.on_message then
    local done, reason, detail = call(self, context.topic, options.on_message, message)
    return done, done and 204 or 503, reason or "done", detail
  end
  self._told:alarm("no_handler", "messages of an entity without a handler are acknowledged and dropped", context.topic)
  return true, 204, "no_handler"
end

--- Hands a message to the application.
-- @function notifications.dispatch
-- @tparam table self the receiver: `_options`, `_told`
-- @tparam table message from `paciolan.messages.parse`
-- @tparam table context
-- @treturn boolean whether this is over for good
-- @treturn number status of the answer
-- @treturn string reason
-- @treturn ?string detail
notifications.dispatch = dispatch

--- Reads a message.
-- @tparam table self the receiver
-- @param source the text of a bare message, or a verified envelope
-- @tparam table context `topic`, `message_id`; its `entity` is set
-- @treturn table message
-- @treturn[2] nil
-- @treturn[2] boolean whether this is over for good, then status, reason and detail
function notifications.read(self, source, context)
  local message, err = messages.parse(source)
  if not message then
    return nil, refuse(self, type(source) == "table" and source.message or source, err, context)
  end
  context.entity = message.entity
  if type(source) == "string" then
    message.unsigned = { topic_arn = context.topic, message_id = context.message_id }
  end
  return message
end

--- Reads a message and hands it over.
-- @tparam table self the receiver
-- @param source the text of a bare message, or a verified envelope
-- @tparam table context
-- @treturn boolean whether this is over for good
-- @treturn number status of the answer
-- @treturn string reason
-- @treturn ?string detail
function notifications.handle(self, source, context)
  local message, is_over, status, reason, detail = notifications.read(self, source, context)
  if not message then
    return is_over, status, reason, detail
  end
  return dispatch(self, message, context)
end

--- The key under which a delivery of a topic is known.
-- @tparam string topic
-- @tparam string id
-- @treturn string
function notifications.key(topic, id)
  return "paciolan/seen/" .. topic .. "/" .. id
end

--- The key of a raw delivery. It cannot be that of a signed one: nobody vouches for it, so it must not make a signed
-- message look like one that was handled.
-- @tparam ?string topic
-- @tparam string id
-- @treturn string
function notifications.raw_key(topic, id)
  return "paciolan/seen/raw/" .. (topic or "") .. "/" .. id
end

--- The key of a delivery that the application has identified.
-- @tparam string id of any length
-- @treturn string
function notifications.own_key(id)
  return "paciolan/seen/direct/" .. core.fingerprint(id)
end

return notifications
