--- Messages without a signature, in the modes `raw` and `direct`. Their sender has shown our credentials, and that is
-- all that is known of him.
-- @module paciolan.receiver.bare
local notifications = require "paciolan.receiver.notifications"
local settings = require "paciolan.receiver.settings"

local bare = {}

local UUID = "^" .. ("%x"):rep(8) .. ("%-" .. ("%x"):rep(4)):rep(3) .. "%-" .. ("%x"):rep(12) .. "$"

-- As SNS writes them: a second spelling would be a second message.
local function is_message_id(text)
  return text:find(UUID) ~= nil and not text:find("%u")
end

-- What a raw delivery says of itself is in its headers. Returns the key, if there is one; or nil, status and reason.
local function read_headers(self, body, headers, context)
  local topic, id = headers["x-amz-sns-topic-arn"], headers["x-amz-sns-message-id"]
  local type_name = headers["x-amz-sns-message-type"]
  if type_name and not headers["x-amz-sns-rawdelivery"] then
    return notifications.refuse_envelope(self, body, type_name)
  elseif topic and not settings.is_topic(topic) then
    return nil, 400, "bad_topic"
  elseif self._floors and not (topic and self._floors[topic]) then
    return nil, 400, "topic_not_allowed"
  elseif id and not is_message_id(id) then
    return nil, 400, "bad_message_id"
  end
  context.topic, context.message_id = topic, id
  return id and notifications.raw_key(topic, id)
end

--- Answers a request in mode `raw`.
-- @tparam table self the receiver
-- @tparam string body
-- @tparam table headers names in lower case
-- @tparam table context is filled with what the headers say
-- @treturn number status
-- @treturn string reason
-- @treturn ?string detail
function bare.handle_raw(self, body, headers, context)
  local key, status, reason = read_headers(self, body, headers, context)
  if status then
    return status, reason
  end
  return self._deliveries:once(key, notifications.handle, self, body, context)
end

--- Answers a request in mode `direct`. Nothing in such a message identifies the delivery (its requestId is free form),
-- so only the application can say what a repetition is.
-- @tparam table self the receiver
-- @tparam string body
-- @tparam table _ headers
-- @tparam table context
-- @tparam table request as it was given to the receiver
-- @treturn number status
-- @treturn string reason
-- @treturn ?string detail
function bare.handle_direct(self, body, _, context, request)
  local message, _, status, reason, detail = notifications.read(self, body, context)
  if not message then
    return status, reason, detail
  end
  local identify = self._options.duplicate_key
  local id = identify and identify(message, request) or nil
  if id ~= nil and type(id) ~= "string" then
    error("duplicate_key must return a text or nil", 0)
  end
  return self._deliveries:once(id and notifications.own_key(id), notifications.dispatch, self, message, context)
end

return bare
