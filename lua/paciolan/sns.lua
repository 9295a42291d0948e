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

-- How many PEM texts are remembered as read. Who verifies with more of them has a cache of their own.
local MAX_REMEMBERED = 32

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

local KNOWN = {
  topics = "table", certificate = "string", now = "number", max_age_s = "number", clock_skew_s = "number",
  min_version = "number", trust = "string", intermediates = "string", roots = "string",
}

-- How far above a check of the options the caller of `verify` stands.
local CALLER = 6

local function misuse(text, level)
  error("paciolan.sns.verify: " .. text, level or CALLER)
end

local function check_options(options)
  for name, value in pairs(options) do
    if not KNOWN[name] then
      misuse("unknown option " .. errors.shown(name))
    elseif type(value) ~= KNOWN[name] then
      misuse(("option %s must be a %s, not a %s"):format(name, KNOWN[name], type(value)))
    end
  end
  if not options.certificate then
    misuse("option certificate is required")
  elseif options.trust and options.trust ~= "chain" and options.trust ~= "leaf" then
    misuse("option trust must be chain or leaf")
  elseif options.min_version and options.min_version ~= 1 and options.min_version ~= 2 then
    misuse("option min_version must be 1 or 2")
  end
end

-- The lowest signature version of each topic.
local function topics_of(options)
  local topics = {}
  for i, arn in ipairs(options.topics or {}) do
    if type(arn) ~= "string" then
      misuse(("topics[%d] must be a string, not a %s"):format(i, type(arn)))
    end
    topics[arn] = options.min_version or 1
  end
  if next(topics) == nil then
    misuse("option topics must name at least one topic: anybody can publish to a topic of their own")
  end
  return topics
end

-- --- what was read before ----------------------------------------------------------------------------------------

-- Reading a certificate and the chain above it costs as much as a dozen verifications. Every entry is a certificate
-- with the texts it was made of.
local remembered, count = {}, 0

local function recall(options)
  for _, entry in ipairs(remembered[options.certificate] or {}) do
    if entry.trust == options.trust and entry.intermediates == options.intermediates
      and entry.roots == options.roots then
      return entry.certificate
    end
  end
end

local function remember(options, certificate)
  if count >= MAX_REMEMBERED then
    remembered, count = {}, 0
  end
  local entries = remembered[options.certificate] or {}
  entries[#entries + 1] = { certificate = certificate, trust = options.trust, intermediates = options.intermediates,
    roots = options.roots }
  remembered[options.certificate], count = entries, count + 1
end

-- Returns the certificate, or nil and the reason.
local function read_certificate(options)
  local trust, problem
  if options.trust ~= "leaf" then
    trust, problem = core.sns.trust(options.intermediates, options.roots)
    if not trust then
      misuse(problem, CALLER + 1)
    end
  end
  return core.sns.certificate(options.certificate, trust)
end

local function certificate_of(options)
  local certificate, reason = recall(options), nil
  if not certificate then
    certificate, reason = read_certificate(options)
    if certificate then
      remember(options, certificate)
    end
  end
  return certificate, reason
end

-- --- a caller's options, made ready ------------------------------------------------------------------------------

-- By the caller's own table, as long as that lives. A value that is changed in it is noticed.
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

-- `read` is nil where the certificate cannot be used, for `reason`.
local function prepare(options)
  check_options(options)
  local ready = { lowest = topics_of(options), list = {} }
  for name in pairs(KNOWN) do
    ready[name] = options[name]
  end
  for i, arn in ipairs(options.topics) do
    ready.list[i] = arn
  end
  ready.read, ready.reason = certificate_of(options)
  return ready
end

local function ready_of(options)
  local ready = prepared[options]
  if not ready or has_changed(ready, options) then
    ready = prepare(options)
    prepared[options] = ready.read and ready or nil
  end
  return ready
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
-- * `intermediates`?, `roots`?: PEM texts, trusted beside the built-in ones of Amazon
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
-- @raise for misuse: a body that is no string, no topics, no certificate, unknown or wrong options, PEM texts of
-- `intermediates` or `roots` that are none
-- Source: sns.md 1, 4 and 5; AWS, "Verifying the signatures of Amazon SNS messages".
function sns.verify(body, options)
  if type(body) ~= "string" then
    error("paciolan.sns.verify: the body must be a string, not a " .. type(body), 2)
  elseif type(options) ~= "table" then
    error("paciolan.sns.verify: the options must be a table, not a " .. type(options), 2)
  end
  local ready, now = ready_of(options), options.now or os.time()
  local message, reason, text = core.sns.open(body, ready.lowest, now, options.max_age_s or MAX_AGE_S,
    options.clock_skew_s or CLOCK_SKEW_S)
  local envelope
  if message and ready.read then
    envelope, reason = core.sns.check(message, ready.read, now)
  elseif message then
    reason = ready.reason
  end
  if envelope then
    return envelope
  end
  return nil, sns.refusal(reason, text, "sns.verify")
end

return sns
