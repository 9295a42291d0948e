--- Subscriptions that begin and end (duties 20 and 21). Nothing that a message says is ever followed: what is asked for
-- is built by the core from the pinned topic and the token, and a message whose own address differs from it is refused.
-- @module paciolan.receiver.confirmations
local core = require "paciolan.core"
local reports = require "paciolan.receiver.reports"

local confirmations = {}

local MAX_ARN_BYTES = 400

-- The ARN of the subscription in Amazon's answer. It begins with that of the topic.
local function read_arn(xml, topic)
  if type(xml) ~= "string" then
    return nil
  end
  local arn = xml:match("<SubscriptionArn>(arn:[%w:_%-]+)</SubscriptionArn>")
  if arn and #arn <= MAX_ARN_BYTES and arn:sub(1, #topic + 1) == topic .. ":" then
    return arn
  end
  return nil
end

local function not_confirmed(self, topic, detail)
  self._told:alarm("confirmation_failed", "a subscription could not be confirmed: " .. detail, topic)
  return false, 503, "confirmation_failed", detail
end

-- Whether it is over, status, reason, detail.
local function confirm(self, envelope, context)
  local ok, xml, problem = pcall(self._confirm, envelope.confirm_url)
  if not ok or not xml then
    return not_confirmed(self, envelope.topic_arn, reports.text(ok and (problem or "no answer") or xml))
  end
  local arn = read_arn(xml, envelope.topic_arn)
  if not arn then
    return not_confirmed(self, envelope.topic_arn, "the answer names no subscription of this topic")
  end
  self._told:set_waiting(envelope.topic_arn, false)
  self._told:alarm("confirmed", "a subscription was confirmed: " .. arn, envelope.topic_arn)
  context.subscription = arn
  return true, 204, "confirmed"
end

-- A token is used once. It is a secret, so the store gets its fingerprint.
local function key_of(envelope)
  return "paciolan/sns_token/" .. core.fingerprint(envelope.topic_arn .. "\n" .. envelope.token)
end

local WAITING = "a subscription waits for a person to confirm it; where that is wanted, let the receiver confirm this"
  .. " topic (confirm_subscriptions, or confirm = true of the topic) and request the confirmation once more"

local UNSUBSCRIBED = "a subscription to this topic was removed; unless another one is still live, no more of its"
  .. " messages will come. Anybody who has the UnsubscribeURL of a message can do that, unless"
  .. " AuthenticateOnUnsubscribe is set"

--- Answers a verified SubscriptionConfirmation.
-- @tparam table self the receiver
-- @tparam table envelope from the core
-- @tparam table context its `subscription` is set to the ARN that Amazon answers with
-- @treturn number status
-- @treturn string reason
-- @treturn ?string detail
function confirmations.subscribe(self, envelope, context)
  local topic = envelope.topic_arn
  if envelope.subscribe_url ~= envelope.confirm_url then
    self._told:alarm("foreign_subscribe_url", "a signed confirmation asks for an address that is not Amazon's for this"
      .. " topic and token; it was not followed", topic)
    return 400, "foreign_subscribe_url"
  elseif not self._options.confirms[topic] then
    self._told:set_waiting(topic, true)
    self._told:alarm("confirmation_waiting", WAITING, topic)
    return 204, "confirmation_waiting"
  end
  return self._deliveries:once(key_of(envelope), confirm, self, envelope, context)
end

--- Answers a verified UnsubscribeConfirmation. Its address would subscribe again, and is left alone.
-- @tparam table self the receiver
-- @tparam table envelope from the core
-- @treturn number status
-- @treturn string reason
function confirmations.unsubscribe(self, envelope)
  self._told:alarm("unsubscribed", UNSUBSCRIBED, envelope.topic_arn)
  return 204, "unsubscribed"
end

return confirmations
