--- What the receiver believes, and what it refuses before it looks for a key.

local amazon = require("support.amazon")
local core = require("paciolan.core")
local faulty_store = require("support.faulty_store")
local files = require("support.files")
local inbox = require("support.inbox")
local json = require("paciolan.json")
local paciolan = require("paciolan")

local TOPIC = amazon.TOPIC
local OTHER = "arn:aws:sns:us-west-2:123456789012:events"

describe("the receiver", function()
  local aws

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)

  -- The counted fetches of a test.
  before_each(function() aws:reset_fetches() end)

  local function fetches()
    return (aws:fetches())
  end

  describe("envelopes", function()
    it("find a system that forbids SHA-1 before the first of them comes", function()
      local can_verify, asked = core.sns.can_verify, {}
      finally(function() core.sns.can_verify = can_verify end)
      core.sns.can_verify = function(version)
        asked[#asked + 1] = version
        return false
      end
      local box = inbox.open(aws, {})
      assert.same({ 1 }, asked)
      assert.equal("sha1_disabled", box.alarms[1].code)
      assert.equal("sha1_disabled", box.receiver:watch()[1].code)
      local newer = inbox.open(aws, { topics = { { arn = TOPIC, min_version = 2 } } })
      assert.same({}, newer.alarms)
      assert.same({}, newer.receiver:watch())
      core.sns.can_verify = can_verify
      assert.same({}, inbox.open(aws, {}).receiver:watch())
    end)

    it("genuine ones pass at their own time, with the built-in chain", function()
      local pem = files.read("spec/fixtures/sns/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem")
      for _, name in ipairs {
        "notification-v1-no-subject-2026", "notification-v1-subject-2026", "notification-v2-2026",
        "subscription-confirmation-v1-2026", "unsubscribe-confirmation-v2-2026",
      } do
        local body = files.read("spec/fixtures/sns/" .. name .. ".json")
        local fields = json.decode(body)
        local box = inbox.open(aws, { topics = { fields.TopicArn }, roots = false,
          fetch_certificate = function() return pem end })
        box.now_s = math.floor(paciolan.parse_time(fields.Timestamp) / 1000)
        local status, reason = box:repost { method = "POST", path = "/", headers = aws:headers(fields), body = body }
        local expected = { Notification = "unusable_message", SubscriptionConfirmation = "confirmation_waiting",
          UnsubscribeConfirmation = "unsubscribed" }
        assert.same({ fields.Type == "Notification" and 400 or 204, expected[fields.Type] }, { status, reason })
        if fields.Type == "Notification" then
          assert.equal(fields.Message, box.quarantined[1][1])
        end
      end
    end)

    it("duty 5: are read strictly", function()
      local box = inbox.open(aws)
      local fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
      local good = aws:encode(fields)
      local rows = {
        { "bad_json", "" }, { "not_object", "null" }, { "not_object", "[]" }, { "bad_json", good .. "{}" },
        { "bad_json", good:sub(1, -2) .. ",}" }, { "bad_json", good:sub(1, -2) },
        { "duplicate_key", good:sub(1, -2) .. ',"Type":"Notification"}' },
        { "duplicate_key", good:sub(1, -2) .. ',"\\u0054ype":"Notification"}' },
        { "bad_json", good:sub(1, -2) .. ',"x":"\\ud800"}' }, { "bad_utf8", good:sub(1, -2) .. ',"x":"\255"}' },
        { "not_string", (good:gsub('("SignatureVersion"[ :]+)"2"', "%12")) },
      }
      for i, row in ipairs(rows) do
        local status, reason = box:repost { method = "POST", path = "/", headers = {}, body = row[2] }
        assert.same({ 400, row[1] }, { status, reason }, "row " .. i)
      end
      assert.same({ 0, 0 }, { fetches(), #box.seats })
      assert.equal(204, (box:post { method = "POST", path = "/", headers = {}, body = good }))
    end)

    it("duty 6: have the HTTP spelling only", function()
      local box = inbox.open(aws)
      local body = aws:body { Message = inbox.seats(), Timestamp = box.now_s, SigningCertUrl = "x" }
      assert.same({ 400, "wrong_spelling" }, { (box:post { method = "POST", path = "/", headers = {}, body = body }),
        box:reason() })
    end)

    it("duty 7: say what their headers say", function()
      local box = inbox.open(aws, { topics = { TOPIC, OTHER } })
      local function with(name, value)
        local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
        request.headers[name] = value
        return { (box:post(request)), box:reason() }
      end
      for _, row in ipairs {
        { "x-amz-sns-message-type", "SubscriptionConfirmation" }, { "x-amz-sns-message-type", "" },
        { "x-amz-sns-topic-arn", OTHER }, { "x-amz-sns-message-id", "0f1e2d3c-4b5a-4678-9abc-def012345678" },
      } do
        assert.same({ 400, "header_mismatch" }, with(row[1], row[2]))
      end
      assert.equal(0, #box.seats)
      for _, name in ipairs { "x-amz-sns-message-type", "x-amz-sns-topic-arn", "x-amz-sns-message-id" } do
        assert.same({ 204, "done" }, with(name, nil))
      end
    end)

    it("duty 8: are believed for the configured topics only", function()
      local box = inbox.open(aws)
      for _, topic in ipairs {
        OTHER, TOPIC .. "s", TOPIC:sub(1, -2), (TOPIC:gsub("123456789012", "210987654321")),
        (TOPIC:gsub("us%-west%-2", "us-east-1")),
      } do
        assert.same({ 400, "topic_not_allowed" }, { (box:deliver { TopicArn = topic }), box:reason() })
      end
      for _, topic in ipairs { TOPIC:upper(), TOPIC .. "\n", TOPIC .. "\0", TOPIC .. ":1" } do
        assert.same({ 400, "bad_topic" }, { (box:deliver { TopicArn = topic }), box:reason() })
      end
      assert.same({ 0, 0 }, { fetches(), #box.seats })
    end)

    it("duty 9: have to be of now, to the second", function()
      local box = inbox.open(aws)
      for _, row in ipairs {
        { -3900, 204, "done" }, { -3901, 400, "stale" }, { 300, 204, "done" }, { 301, 400, "early" },
        { -7200, 400, "stale" }, { 7200, 400, "early" }, { -315360000, 400, "stale" },
      } do
        local status, reason = box:deliver { Timestamp = box.now_s + row[1] }
        assert.same({ row[2], row[3] }, { status, reason })
      end
      assert.same({ 3, 2 }, { box:counted("stale"), box:counted("early") })
    end)

    it("duty 9: of now as configured", function()
      local box = inbox.open(aws, { max_age_s = 60, clock_skew_s = 0 })
      assert.equal(204, (box:deliver { Timestamp = box.now_s - 60 }))
      assert.equal(400, (box:deliver { Timestamp = box.now_s - 61 }))
      assert.equal(400, (box:deliver { Timestamp = box.now_s + 1 }))
    end)

    it("duty 10: have at least the version of their topic", function()
      local box = inbox.open(aws, { topics = { { arn = TOPIC, min_version = 2 }, OTHER } })
      assert.same({ 400, "version_refused" }, { (box:deliver { SignatureVersion = "1" }), box:reason() })
      assert.equal(0, fetches())
      assert.same({ "version_refused" }, box:codes())
      assert.equal(204, (box:deliver { SignatureVersion = "2" }))
      assert.equal(204, (box:deliver { SignatureVersion = "1", TopicArn = OTHER }))
      assert.same({ 400, "bad_signature_version" }, { (box:deliver { SignatureVersion = "3" }), box:reason() })
    end)

    it("duty 10: never go back to version 1, in any process or after a restart", function()
      local box = inbox.open(aws, { topics = { TOPIC, OTHER } })
      local other = inbox.open(aws, { store = box.store })
      assert.equal(204, (other:deliver { SignatureVersion = "1" }))
      assert.equal(204, (box:deliver { SignatureVersion = "1" }))
      assert.equal(204, (box:deliver { SignatureVersion = "2" }))
      for _, one in ipairs { box, other } do
        assert.same({ 400, "version_refused" }, { (one:deliver { SignatureVersion = "1" }), one:reason() })
        assert.same({ "version_refused" }, one:codes())
      end
      box:restart()
      box.now_s = box.now_s + 90 * 86400
      box.options.fetch_certificate = function()
        return aws:certificate { not_after = box.now_s + 86400 }
      end
      box:restart()
      assert.same({ 400, "version_refused" }, { (box:deliver { SignatureVersion = "1" }), box:reason() })
      assert.same({ 204, "done" }, { (box:deliver { SignatureVersion = "1", TopicArn = OTHER }), box:reason() })
    end)

    it("duty 10: come again when the store cannot say, or keep, what a topic has shown", function()
      local store = faulty_store.new()
      local box = inbox.open(aws, { store = store })
      local function is_latch(key) return key:find("^paciolan/sns_version/") ~= nil end
      for _, way in ipairs { "fail", "raise" } do
        store.watch(function(_, key) return is_latch(key) and way or nil end)
        for _, version in ipairs { "1", "2" } do
          assert.same({ 503, "store_failed" }, { (box:deliver { SignatureVersion = version }), box:reason() })
        end
      end
      assert.equal(0, #box.seats)
      store.watch(nil)
      assert.equal(204, (box:deliver { SignatureVersion = "1" }))
    end)

    it("duty 11: name the certificate of their region, letter by letter", function()
      local box = inbox.open(aws)
      local right = aws:certificate_url()
      for _, url in ipairs {
        right:gsub("https", "http"), right:gsub("us%-west%-2", "eu-west-1"), right:gsub("us%-west%-2", "s3-us-west-2"),
        right:gsub("%.com/", ".com.example.com/"), right:gsub("https://", "https://user@"),
        right:gsub("%.com", ".com:443"), right .. "?x", right .. "#x", right .. "\n",
        right:gsub("%.pem", ".PEM"), right:gsub("%.com/", ".com//"),
        right:gsub("amazonaws%.com", "amazonaws.com.cn"), "", "x",
      } do
        assert.same({ 400, "bad_certificate_url" }, { (box:deliver { SigningCertURL = url }), box:reason() })
      end
      assert.same({ 0, 0 }, { fetches(), #box.seats })
    end)

    it("duty 16: have a signature in strict base64 that fits", function()
      local box = inbox.open(aws)
      local fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
      local right = fields.Signature
      for _, signature in ipairs { right .. "\n", " " .. right, right:sub(1, -5), right:gsub("=+$", ""), "" } do
        fields.Signature = signature
        assert.same({ 400 }, { (box:post { method = "POST", path = "/", headers = {}, body = aws:encode(fields) }) })
        assert.truthy(box:reason() == "bad_signature_form" or box:reason() == "bad_signature")
      end
      fields.Signature = aws:signature("another text")
      local status, reason = box:repost { method = "POST", path = "/", headers = {}, body = aws:encode(fields) }
      assert.same({ 400, "bad_signature", 0 }, { status, reason, #box.seats })
    end)

    it("duty 17: cost one reading of their certificate, however many they are", function()
      local certificate, count = core.sns.certificate, 0
      finally(function() core.sns.certificate = certificate end)
      core.sns.certificate = function(...)
        count = count + 1
        return certificate(...)
      end
      local box = inbox.open(aws)
      for _ = 1, 5 do
        assert.equal(204, (box:deliver()))
      end
      assert.equal(1, count)
    end)

    it("duty 22: hand over unsigned fields under a name that says so", function()
      local box = inbox.open(aws)
      box:deliver { SubscribeURL = "https://example.com/" }
      local message = box.seats[1][2]
      assert.is_nil(message.subscribe_url)
      assert.is_nil(message.unsubscribe_url)
      assert.equal(0, #aws:confirmations())
    end)

    it("our own trouble with OpenSSL is no fault of theirs", function()
      local check = core.sns.check
      finally(function() core.sns.check = check end)
      for _, reason in ipairs { "sha1_disabled", "system_failure" } do
        local box = inbox.open(aws)
        core.sns.check = function() return nil, reason end
        assert.same({ 503, reason, { reason } }, { (box:deliver()), box:reason(), box:codes() })
        core.sns.check = check
        assert.equal(204, (box:deliver()))
      end
    end)
  end)
end)
