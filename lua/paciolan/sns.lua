--- Messages of Amazon SNS: is this one genuine, meant for us, and of now?
--
--     local envelope, err = paciolan.sns.verify(body, {
--       topics = { "arn:aws:sns:us-west-2:123456789012:seats" }, certificate = pem,
--     })
--     if envelope then print(envelope.message) else print(err.reason) end
--
-- Nothing here opens a connection: the certificate is the caller's to bring. `paciolan.receiver` fetches and keeps
-- certificates, and does everything else that a receiver must do.
-- @module paciolan.sns
local core = require "paciolan.core"
local errors = require "paciolan.errors"

local sns = {}

-- SNS repeats a message for an hour at most (AWS, "Amazon SNS message delivery retries").
local MAX_AGE_S = 3600
local CLOCK_SKEW_S = 300

-- How many texts of roots are remembered as read.
local MAX_REMEMBERED = 16

-- What each reason that has no place in the message says to people.
local TEXTS = {
  bad_certificate = "the certificate is not one X.509 certificate in PEM and nothing else",
  weak_key = "the certificate's key is not RSA of 2048 to 4096 bits with an exponent of at least 65537",
  untrusted_certificate = "the certificate does not lead to a trusted root, or may not sign",
  certificate_name = "the certificate is not issued to the name of the topic's region",
  certificate_dates = "the certificate, or one above it, is outside its dates",
  bad_signature = "the signature does not fit the message",
  sha1_disabled = "the policy of this system lets nobody verify SHA-1 signatures, which the topic uses",
  system_failure = "the system had no memory, or its cryptography failed",
}

-- These say nothing of the message: the same one may pass later, or elsewhere.
local OUR_OWN = { sha1_disabled = true, system_failure = true }

--- Makes the error of a message that was refused.
-- @tparam string reason a fixed code
-- @tparam ?string text place and rule, where the reason has no text of its own
-- @tparam string operation
-- @treturn table err of kind `signature`
function sns.refusal(reason, text, operation)
  return errors.new {
    kind = "signature", reason = reason, operation = operation, message = TEXTS[reason] or text,
    retryable = OUR_OWN[reason] or false,
  }
end

-- --- options ------------------------------------------------------------------------------------------------------

local function is_time(value)
  return value >= -1e12 and value <= 1e12 -- neither NaN nor infinite
end

local function is_span(value)
  return value >= 0 and value <= 1e12
end

-- The type of each option, what else it must be, and that in words.
local KNOWN = {
  topics = { "table" }, certificate = { "string" }, intermediates = { "string" }, roots = { "string" },
  now = { "number", is_time, "a time in seconds" }, max_age_s = { "number", is_span, "a span in seconds" },
  clock_skew_s = { "number", is_span, "a span in seconds" },
  min_version = { "number", function(value) return value == 1 or value == 2 end, "1 or 2" },
  trust = { "string", function(value) return value == "chain" or value == "leaf" end, "chain or leaf" },
}

-- The level of whoever called the public function, from within `check`, which that function calls through `ready_of`
-- and `prepare`.
local CALLER = 6

local function misuse(text, level)
  error("paciolan.sns.verify: " .. text, level)
end

local function check(name, value, level)
  local known = KNOWN[name]
  if not known then
    misuse("unknown option " .. errors.shown(name), level)
  elseif type(value) ~= known[1] then
    misuse(("option %s must be a %s, not a %s"):format(name, known[1], type(value)), level)
  elseif known[2] and not known[2](value) then
    misuse(("option %s must be %s"):format(name, known[3]), level)
  end
end

-- The lowest signature version of each topic.
local function topics_of(options)
  local topics = {}
  for i, arn in ipairs(options.topics or {}) do
    if type(arn) ~= "string" then
      misuse(("topics[%d] must be a string, not a %s"):format(i, type(arn)), CALLER)
    end
    topics[arn] = options.min_version or 1
  end
  if next(topics) == nil then
    misuse("option topics must name at least one topic: anybody can publish to a topic of their own", CALLER)
  end
  return topics
end

-- --- what was read before -----------------------------------------------------------------------------------------

local NONE = {} -- in the place of a text that was not given

-- By the text of the roots and then that of the intermediates; all are forgotten when there are many. Reading the
-- built-in certificates and those of the caller costs as much as 50 verifications.
local trusts, trust_count = {}, 0

local function remember(options, trust)
  if trust_count >= MAX_REMEMBERED then
    trusts, trust_count = {}, 0
  end
  local roots = options.roots or NONE
  trusts[roots] = trusts[roots] or {}
  trusts[roots][options.intermediates or NONE] = trust
  trust_count = trust_count + 1
end

-- The trust of the caller's texts, or nil for one that has none.
local function trust_of(options)
  if options.trust == "leaf" then
    return nil
  end
  local by_roots = trusts[options.roots or NONE]
  local trust = by_roots and by_roots[options.intermediates or NONE]
  if not trust then
    local problem
    trust, problem = core.sns.trust(options.intermediates, options.roots)
    if not trust then
      misuse(problem, CALLER)
    end
    remember(options, trust)
  end
  return trust
end

-- --- a caller's options, made ready -------------------------------------------------------------------------------

-- By the caller's own table, as long as that lives. What is changed in it is noticed.
local prepared = setmetatable({}, { __mode = "k" })

local function has_other_topics(list, topics)
  for i = 1, #list + 1 do
    if list[i] ~= topics[i] then
      return true
    end
  end
  return false
end

local function has_changed(ready, options)
  return ready.topics ~= options.topics or ready.certificate ~= options.certificate
    or ready.max_age_s ~= options.max_age_s or ready.clock_skew_s ~= options.clock_skew_s
    or ready.min_version ~= options.min_version or ready.trust ~= options.trust
    or ready.intermediates ~= options.intermediates or ready.roots ~= options.roots
    or has_other_topics(ready.list, options.topics)
end

local function prepare(options)
  for name, value in pairs(options) do
    check(name, value, CALLER)
  end
  if not options.certificate then
    misuse("option certificate is required", CALLER - 1)
  end
  local ready = { lowest = topics_of(options), trusted = trust_of(options), list = {} }
  for name in pairs(KNOWN) do
    ready[name] = options[name]
  end
  for i, arn in ipairs(options.topics) do
    ready.list[i] = arn
  end
  return ready
end

local function ready_of(options)
  local ready = prepared[options]
  if not ready or has_changed(ready, options) then
    ready = prepare(options)
    prepared[options] = ready
  end
  return ready
end

-- The certificate is read when a message first needs it, for that costs more than to refuse the message. Its own
-- refusal is kept as well.
local function first_verify(ready, body, now, max_age_s, clock_skew_s)
  local message, reason, text = core.sns.open(body, ready.lowest, now, max_age_s, clock_skew_s)
  if not message then
    return nil, reason, text
  elseif not ready.reason then
    ready.read, ready.reason = core.sns.certificate(ready.certificate, ready.trusted)
  end
  if not ready.read then
    return nil, ready.reason
  end
  return core.sns.check(message, ready.read, now)
end

-- --- verifying ----------------------------------------------------------------------------------------------------

--- Verifies an SNS message, as it was posted. Pure: no I/O, and the time is the caller's.
--
-- The body is read strictly as JSON (RFC 8259), and every signed field but Message by a grammar that makes the signed
-- string unambiguous. Then the topic, the signature version, the time and the URL of the certificate are judged, and
-- only then the certificate and the signature.
--
-- Options (`?` may be left out):
--
-- * `topics`: list of the ARNs that are listened to, compared byte for byte
-- * `certificate`: the PEM text that stands at the message's SigningCertURL
-- * `now`?: unix seconds, `os.time()`
-- * `max_age_s`? 3600, `clock_skew_s`? 300: a message may be as old as both together, and as early as the second
-- * `min_version`? 1: the lowest SignatureVersion; 2 refuses SHA-1
-- * `trust`? `"chain"`: to Amazon's roots, issued to the name of the region, a server's, within its dates; `"leaf"`:
--   the certificate is trusted as it is
-- * `intermediates`?, `roots`?: PEM texts, used beside the built-in ones of Amazon; a root must have signed itself
--
-- Options are read once: a table that is given again costs nothing, and what was changed in it is noticed.
--
-- Reasons in the order in which they are found: `too_large` `bad_utf8` `bad_json` `too_deep` `too_many_members`
-- `duplicate_key` `not_object` `not_string` `wrong_spelling` `missing_field`, `bad_type` `bad_message_id` `bad_topic`
-- `bad_certificate_url` `bad_timestamp` `bad_subject` `bad_token` `bad_subscribe_url` `bad_signature_version`
-- `bad_signature_form`, `topic_not_allowed` `version_refused` `stale` `early`, `bad_certificate` `weak_key`,
-- `untrusted_certificate` `certificate_dates` `certificate_name`, `bad_signature`. And two that are not the message's
-- fault, with `err.retryable`: `sha1_disabled`, where the system's policy lets nobody verify SHA-1, and
-- `system_failure`.
-- @tparam string body the text that was posted
-- @tparam table options
-- @treturn table envelope `{ type, message_id, topic_arn, message, timestamp, timestamp_ms, signature_version,
-- subject }`: `type` is `Notification`, `SubscriptionConfirmation` or `UnsubscribeConfirmation`, `subject` nil where
-- there was none, `timestamp` the signed text. The two confirmations have `token`, `subscribe_url` (never to be
-- followed) and `confirm_url`, which was built from topic and token. `unsigned = { unsubscribe_url, attributes }` holds
-- what nobody vouches for
-- @treturn[2] nil
-- @treturn[2] table err of kind `signature`, with `err.reason`
-- @raise for misuse: a body that is no string, no topics, no certificate, unknown or wrong options, texts of
-- `intermediates` or `roots` that are no such certificates
-- Source: sns.md 1, 4 and 5; AWS, "Verifying the signatures of Amazon SNS messages".
function sns.verify(body, options)
  if type(body) ~= "string" then
    misuse("the body must be a string, not a " .. type(body), 3)
  elseif type(options) ~= "table" then
    misuse("the options must be a table, not a " .. type(options), 3)
  end
  local ready, now = ready_of(options), options.now
  if now == nil then
    now = os.time()
  else
    check("now", now, 4)
  end
  local max_age_s, clock_skew_s = ready.max_age_s or MAX_AGE_S, ready.clock_skew_s or CLOCK_SKEW_S
  local envelope, reason, text
  if ready.read then
    envelope, reason, text = core.sns.verify(body, ready.lowest, now, max_age_s, clock_skew_s, ready.read)
  else
    envelope, reason, text = first_verify(ready, body, now, max_age_s, clock_skew_s)
  end
  if envelope then
    return envelope
  end
  return nil, sns.refusal(reason, text, "sns.verify")
end

return sns
