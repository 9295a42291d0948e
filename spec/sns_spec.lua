--- paciolan.sns.verify: the genuine deliveries, every signed byte of them, and misuse. Forged messages are in
-- `spec/receiver/attacks/`, forged certificates in `spec/sns/certificate_spec.lua`.
local cjson = require("cjson").new()
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local files = require "support.files"
local sns = require "paciolan.sns"

local FOLDER = "spec/fixtures/sns/"
local PEM = files.read(FOLDER .. "SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem")
local TOPIC = "arn:aws:sns:us-west-2:131990247566:dongie-standard-topic"
local GENUINE = {
  "notification-v1-no-subject-2026", "notification-v1-subject-2026", "notification-v2-2026",
  "subscription-confirmation-v1-2026", "unsubscribe-confirmation-v2-2026",
}

-- Which fields are signed, for each type (sns.md 1.1).
local SIGNED = {
  Notification = { "Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type" },
  SubscriptionConfirmation = { "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type" },
  UnsubscribeConfirmation = { "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type" },
}

local function sample(name)
  return files.read(FOLDER .. name .. ".json")
end

-- One second after it was sent.
local function sent_at(body)
  return core.parse_time(cjson.decode(body).Timestamp) / 1000 + 1
end

local function options(body, changes)
  local result = { topics = { TOPIC }, certificate = PEM, now = sent_at(body) }
  for name, value in pairs(changes or {}) do
    result[name] = value
  end
  return result
end

local function reason_of(body, given)
  local envelope, err = sns.verify(body, given)
  assert.is_nil(envelope)
  assert.is_true(errors.is(err))
  assert.equal("signature", err.kind)
  return err.reason, err
end

describe("paciolan.sns.verify", function()
  for _, name in ipairs(GENUINE) do
    it("verifies " .. name .. " at its own time, by the built-in chain", function()
      local body = sample(name)
      local wire, envelope = cjson.decode(body), assert(sns.verify(body, options(body)))
      assert.equal(wire.Type, envelope.type)
      assert.equal(wire.MessageId, envelope.message_id)
      assert.equal(wire.TopicArn, envelope.topic_arn)
      assert.equal(wire.Message, envelope.message)
      assert.equal(wire.Timestamp, envelope.timestamp)
      assert.equal(wire.Subject, envelope.subject)
      assert.equal(wire.Token, envelope.token)
      assert.equal(tonumber(wire.SignatureVersion), envelope.signature_version)
      assert.equal(wire.UnsubscribeURL, envelope.unsigned.unsubscribe_url)
      assert.equal(core.parse_time(wire.Timestamp), envelope.timestamp_ms)
    end)

    it("refuses " .. name .. " when one signed byte differs", function()
      local body = sample(name)
      local wire, given = cjson.decode(body), options(body)
      assert(sns.verify(cjson.encode(wire), given))
      for _, field in ipairs(SIGNED[wire.Type]) do
        local text = wire[field] or ""
        for i = 1, #text do
          local byte = text:byte(i)
          wire[field] = text:sub(1, i - 1) .. string.char(byte == 0x61 and 0x62 or 0x61) .. text:sub(i + 1)
          assert.is_nil((sns.verify(cjson.encode(wire), given)), field .. " byte " .. i)
        end
        wire[field] = wire[field] and text
      end
      assert(sns.verify(cjson.encode(wire), given))
    end)

    it("refuses " .. name .. " when a byte of its signature differs", function()
      local body = sample(name)
      local wire, given = cjson.decode(body), options(body)
      local text = wire.Signature
      for i = 1, #text do
        wire.Signature = text:sub(1, i - 1) .. (text:sub(i, i) == "A" and "B" or "A") .. text:sub(i + 1)
        assert.is_nil((sns.verify(cjson.encode(wire), given)), "byte " .. i)
      end
    end)
  end

  it("builds the URL that a genuine confirmation names", function()
    for _, name in ipairs { "subscription-confirmation-v1-2026", "unsubscribe-confirmation-v2-2026" } do
      local body = sample(name)
      local envelope = assert(sns.verify(body, options(body)))
      assert.equal(cjson.decode(body).SubscribeURL, envelope.confirm_url)
      assert.equal(envelope.subscribe_url, envelope.confirm_url)
    end
  end)

  it("says nothing of confirming in a notification", function()
    local body = sample("notification-v2-2026")
    local wire = cjson.decode(body)
    wire.SubscribeURL, wire.Token = "https://169.254.169.254/", "abc"
    local envelope = assert(sns.verify(cjson.encode(wire), options(body)))
    assert.is_nil(envelope.subscribe_url)
    assert.is_nil(envelope.token)
    assert.is_nil(envelope.confirm_url)
  end)

  it("does not sign a subject in, nor an empty one out", function()
    local without, with = sample("notification-v2-2026"), sample("notification-v1-subject-2026")
    local wire = cjson.decode(without)
    wire.Subject = "added"
    assert.equal("bad_signature", (reason_of(cjson.encode(wire), options(without))))
    wire.Subject = ""
    assert.equal("bad_subject", (reason_of(cjson.encode(wire), options(without))))
    wire = cjson.decode(with)
    wire.Subject = nil
    assert.equal("bad_signature", (reason_of(cjson.encode(wire), options(with))))
  end)

  it("trusts the versions of no message", function()
    for name, other in pairs { ["notification-v2-2026"] = "1", ["notification-v1-no-subject-2026"] = "2" } do
      local body = sample(name)
      local wire = cjson.decode(body)
      wire.SignatureVersion = other
      assert.equal("bad_signature", (reason_of(cjson.encode(wire), options(body))))
    end
  end)

  it("keeps what nobody signed under a name that says so", function()
    local body = sample("notification-v2-2026")
    local wire = cjson.decode(body)
    wire.UnsubscribeURL = "https://evil.example/"
    wire.MessageAttributes = { colour = { Type = "String", Value = "red" } }
    local envelope = assert(sns.verify(cjson.encode(wire), options(body)))
    assert.equal("https://evil.example/", envelope.unsigned.unsubscribe_url)
    assert.same(wire.MessageAttributes, cjson.decode(envelope.unsigned.attributes))
    assert.is_nil(envelope.unsubscribe_url)
  end)

  it("takes a certificate as it is where it is told to", function()
    local body = sample("notification-v2-2026")
    local later = options(body, { now = sent_at(body) + 3e7, max_age_s = 4e7 })
    assert.equal("certificate_dates", (reason_of(body, later)))
    later.trust = "leaf"
    assert(sns.verify(body, later))
  end)

  it("refuses SHA-1 where version 2 is the lowest", function()
    local old, new = sample("notification-v1-subject-2026"), sample("notification-v2-2026")
    assert.equal("version_refused", (reason_of(old, options(old, { min_version = 2 }))))
    assert(sns.verify(new, options(new, { min_version = 2 })))
  end)

  it("judges topic and time", function()
    local body = sample("notification-v2-2026")
    local sent = sent_at(body) - 1
    assert.equal("topic_not_allowed", (reason_of(body, options(body, { topics = { TOPIC .. "x", TOPIC:sub(1, -2) } }))))
    assert.equal("stale", (reason_of(body, options(body, { now = sent + 3901 }))))
    assert(sns.verify(body, options(body, { now = sent + 3899 })))
    assert.equal("early", (reason_of(body, options(body, { now = sent - 301 }))))
    assert(sns.verify(body, options(body, { now = sent - 299 })))
    assert.equal("stale", (reason_of(body, options(body, { now = sent + 62, max_age_s = 1, clock_skew_s = 60 }))))
    assert(sns.verify(body, options(body, { now = sent + 60, max_age_s = 1, clock_skew_s = 60 })))
    assert.equal("stale", (reason_of(body, { topics = { TOPIC }, certificate = PEM })))
  end)

  it("names place and rule, and never the value", function()
    local body = sample("notification-v2-2026")
    local wire = cjson.decode(body)
    wire.Timestamp = "secret-secret"
    local reason, err = reason_of(cjson.encode(wire), options(body))
    assert.equal("bad_timestamp", reason)
    assert.matches("^sns%.verify: /Timestamp must be", tostring(err))
    assert.is_nil(tostring(err):find("secret", 1, true))
    assert.is_false(err.retryable)
  end)

  it("reads a certificate once, and sees what is changed in the options", function()
    local body = sample("notification-v2-2026")
    local given = options(body)
    assert(sns.verify(body, given))
    given.topics[1] = TOPIC .. "-2"
    assert.equal("topic_not_allowed", (reason_of(body, given)))
    given.topics[2] = TOPIC
    assert(sns.verify(body, given))
    given.certificate = "-----BEGIN"
    assert.equal("bad_certificate", (reason_of(body, given)))
    given.certificate = PEM
    assert(sns.verify(body, given))
    given.min_version = 3
    assert.has_error(function() sns.verify(body, given) end)
    given.min_version = nil
    given.now = "12"
    assert.has_error(function() sns.verify(body, given) end)
  end)

  it("looks at the body before it looks at the certificate", function()
    local body = sample("notification-v2-2026")
    local given = options(body, { certificate = "junk" })
    assert.equal("bad_json", (reason_of("{", given)))
    assert.equal("topic_not_allowed", (reason_of(body, options(body, { certificate = "junk", topics = { "x" } }))))
    assert.equal("bad_certificate", (reason_of(body, given)))
    assert.equal("bad_certificate", (reason_of(body, given)))
  end)

  it("gives numbers that print the same on every Lua", function()
    local body = sample("notification-v2-2026")
    local envelope = assert(sns.verify(body, options(body)))
    assert.equal("2 1772827226893", envelope.signature_version .. " " .. envelope.timestamp_ms)
  end)

  it("refuses a body of 60 MiB before it makes copies of it", function()
    local body = (" "):rep(60 * 1024 * 1024)
    local given = options(sample("notification-v2-2026"))
    collectgarbage()
    local before = collectgarbage("count")
    assert.equal("too_large", (reason_of(body, given)))
    assert.is_true(collectgarbage("count") - before < 1024)
  end)

  it("forgets certificates when there are many", function()
    local body = sample("notification-v2-2026")
    for i = 1, 80 do
      assert(sns.verify(body, options(body, { intermediates = PEM:rep(i % 40 + 1) })))
    end
  end)

  it("raises for misuse, at the caller's line", function()
    local body = sample("notification-v2-2026")
    local function message_of(...)
      local arguments = { ... }
      local ok, message = pcall(function() sns.verify(arguments[1], arguments[2]) end)
      assert.is_false(ok, "nothing was raised")
      return message
    end
    assert.matches("sns_spec.lua:%d+: paciolan.sns.verify: the body must be a string", message_of(nil, options(body)))
    assert.matches("the options must be a table", message_of(body, nil))
    for expected, changes in pairs {
      ["unknown option topic"] = { topic = TOPIC },
      ["option certificate must be a string, not a number"] = { certificate = 5 },
      ["option trust must be chain or leaf"] = { trust = "none" },
      ["option min_version must be 1 or 2"] = { min_version = 3 },
      ["option now must be a number"] = { now = "now" },
      ["option topics must name at least one topic"] = { topics = {} },
      ["topics%[1%] must be a string"] = { topics = { 5 } },
      ["roots: must be self%-signed certificates in PEM"] = { roots = PEM },
      ["intermediates: must be certificates in PEM"] = { intermediates = "" },
      ["option now must be a time in seconds"] = { now = 0 / 0 },
      ["option max_age_s must be a span in seconds"] = { max_age_s = -1 },
      ["option clock_skew_s must be a span in seconds"] = { clock_skew_s = math.huge },
    } do
      assert.matches("sns_spec.lua:%d+: paciolan.sns.verify: " .. expected, message_of(body, options(body, changes)))
    end
    assert.matches("option topics must name", message_of(body, { certificate = PEM }))
    assert.matches("option certificate is required", message_of(body, { topics = { TOPIC } }))
  end)
end)
