--- Envelopes: from the posted text to a message that is believed, and what is done with each type of it.
--
-- The order is that of cost: whatever can be refused without the key is refused before it is looked for (duties 5 to
-- 11), so a stranger buys neither a fetch nor RSA time.
-- @module paciolan.receiver.envelopes
local confirmations = require "paciolan.receiver.confirmations"
local core = require "paciolan.core"
local notifications = require "paciolan.receiver.notifications"

local envelopes = {}

local alarms = {
  version_refused = "a message came with an older SignatureVersion than its topic has to have. If the owner went back"
    .. " on purpose, remove paciolan/sns_version/<topic> from the store and restart; min_version must allow it too",
  early = "a message is dated later than now, so it was refused for good: the clock of this host is slow, or somebody"
    .. " who knows the topic makes messages up",
  stale = "a message is older than max_age_s, so it was refused for good: the clock of this host is fast, or a message"
    .. " of former days is played again",
  untrusted_certificate = "a signing certificate does not lead to a root that is trusted; when Amazon uses a new"
    .. " issuer, give it as intermediates",
  certificate_name = "a signing certificate has not the name that belongs to its region",
  certificate_dates = "a signing certificate is not in date, or the clock of this host is wrong; anybody may name an"
    .. " old address of Amazon, so messages that are handled meanwhile say that all is well",
  sha1_disabled = "this host's policy for OpenSSL forbids SHA-1, so messages of SignatureVersion 1 cannot be verified:"
    .. " ask the owner of the topic for version 2, or allow it",
  system_failure = "there was no memory to verify a signature with, or OpenSSL failed",
}

-- All others stay wrong for ever. A certificate that will not do is none of them: it came from Amazon's own host.
local status_of = {
  too_large = 413, sha1_disabled = 503, system_failure = 503, untrusted_certificate = 503, certificate_name = 503,
  certificate_dates = 503,
}

-- What is only looked at once the topic was found to be one of ours.
local is_of_topic = { version_refused = true, early = true, stale = true }

local function refuse(self, reason, detail, topic)
  if alarms[reason] then
    self._told:alarm(reason, alarms[reason], topic)
  end
  return status_of[reason] or 400, reason, detail
end

-- The headers are not signed. Where they are there they have to say what the body says (duty 7).
local function differs(headers, name, value)
  return headers[name] ~= nil and headers[name] ~= value
end

-- --- the latch ----------------------------------------------------------------------------------------------------

local function latch_key(topic)
  return "paciolan/sns_version/" .. topic
end

-- Once a topic has shown version 2, version 1 is refused for good, by all who use the store (duty 10). The map of
-- floors is what this process knows of it. Returns true; or nil, status, reason, detail.
local function latch(self, envelope)
  local topic, floors = envelope.topic_arn, self._floors
  if envelope.signature_version == 2 then
    if floors[topic] == 2 then
      return true
    end
    local done, status, reason, detail = self._deliveries:mark(latch_key(topic))
    if done then
      floors[topic] = 2
    end
    return done, status, reason, detail
  end
  local has_shown, status, reason, detail = self._deliveries:is_marked(latch_key(topic))
  if has_shown == nil then
    return nil, status, reason, detail
  elseif has_shown then
    floors[topic] = 2
    return nil, refuse(self, "version_refused", nil, topic)
  end
  return true
end

-- --- the check ----------------------------------------------------------------------------------------------------

-- The verified envelope; or nil, status, reason, detail.
local function verify(self, message, now_s)
  local entry = self._certificates:get(message:certificate_url())
  if not entry then
    return nil, 503, "certificate_unavailable"
  end
  local envelope, reason = self._certificates:verify(entry, message, now_s)
  if not envelope then
    return nil, refuse(self, reason, nil, message:topic_arn())
  end
  return envelope
end

local function receive(self, envelope, context)
  if envelope.type == "Notification" then
    self._told:set_waiting(envelope.topic_arn, false)
    local key = notifications.key(envelope.topic_arn, envelope.message_id)
    return self._deliveries:once(key, notifications.handle, self, envelope, context)
  elseif envelope.type == "SubscriptionConfirmation" then
    return confirmations.subscribe(self, envelope, context)
  end
  return confirmations.unsubscribe(self, envelope)
end

--- Looks whether every signature that may come can be verified on this system, which on some forbids SHA-1.
-- @tparam table self the receiver
-- @treturn ?table a warning, nil when all is well
function envelopes.test_system(self)
  for topic, floor in pairs(self._floors) do
    if floor == 1 and not core.sns.can_verify(1) then
      self._told:alarm("sha1_disabled", alarms.sha1_disabled, topic)
      return { code = "sha1_disabled", message = alarms.sha1_disabled, topic_arn = topic }
    end
  end
  return nil
end

--- Answers a request in mode `envelope`.
-- @tparam table self the receiver
-- @tparam string body
-- @tparam table headers names in lower case
-- @tparam table context is filled with what is known for certain
-- @treturn number status
-- @treturn string reason
-- @treturn ?string detail
function envelopes.handle(self, body, headers, context)
  local options, now_s = self._options, self._options.clock()
  if headers["x-amz-sns-rawdelivery"] then
    self._told:alarm("raw_refused", "a raw delivery came where envelopes are expected: raw delivery was switched on for"
      .. " a subscription, or somebody tries to go round the signature")
    return 400, "raw_refused"
  end
  local message, refused, place = core.sns.open(body, self._floors, now_s, options.max_age_s, options.clock_skew_s)
  context.is_ours = context.is_ours or message ~= nil or is_of_topic[refused]
  if not message then
    return refuse(self, refused, place, is_of_topic[refused] and self._only_topic or nil)
  elseif differs(headers, "x-amz-sns-message-type", message:type())
      or differs(headers, "x-amz-sns-topic-arn", message:topic_arn()) then
    return 400, "header_mismatch"
  end
  local envelope, status, reason, detail = verify(self, message, now_s)
  if not envelope then
    return status, reason, detail
  elseif differs(headers, "x-amz-sns-message-id", envelope.message_id) then
    return 400, "header_mismatch"
  end
  context.topic, context.message_id = envelope.topic_arn, envelope.message_id
  local is_latched
  is_latched, status, reason, detail = latch(self, envelope)
  if not is_latched then
    return status, reason, detail
  end
  return receive(self, envelope, context)
end

return envelopes
