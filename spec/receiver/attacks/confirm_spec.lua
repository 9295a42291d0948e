--- Attacks on subscribing and unsubscribing. The signatures are true: whoever may publish anything can have it signed.
local amazon = require("support.amazon")
local attack = require("support.attack")
local files = require("support.files")
local inbox = require("support.inbox")
local cjson = require("cjson").new()
local core = require("paciolan.core")

local HOST = "https://sns.us-west-2.amazonaws.com/"
local OTHER = "arn:aws:sns:us-west-2:123456789012:other"

describe("an attack on confirming", function()
  local aws, box

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)
  before_each(function()
    aws:reset_fetches()
    box = inbox.open(aws, { confirm_subscriptions = true })
  end)

  local function confirmation(fields)
    local all = { Type = "SubscriptionConfirmation", Timestamp = box.now_s, Token = ("2336412f37fb687f"):rep(8) }
    for name, value in pairs(fields or {}) do
      all[name] = value
    end
    return aws:request(all)
  end

  it("10. a signed SubscribeURL that is not Amazon's for topic and token -> never fetched, 400 and an alarm", function()
    local token = ("2336412f37fb687f"):rep(8)
    local query = "Action=ConfirmSubscription&TopicArn=" .. aws.topic .. "&Token=" .. token
    assert.equal(HOST .. "?" .. query, cjson.decode(confirmation().body).SubscribeURL)
    local first = true
    for _, url in ipairs {
      "http://169.254.169.254/latest/meta-data/iam/security-credentials/", "file:///etc/passwd",
      "http://sns.us-west-2.amazonaws.com/?" .. query, "https://sns.us-east-1.amazonaws.com/?" .. query,
      "https://evil.example/?" .. query, "https://sns.us-west-2.amazonaws.com.evil.example/?" .. query,
      "https://user@sns.us-west-2.amazonaws.com/?" .. query, "https://sns.us-west-2.amazonaws.com@evil.example/?"
      .. query,
      "https://sns.us-west-2.amazonaws.com:443/?" .. query, "https://sns.us-west-2.amazonaws.com./?" .. query,
      HOST .. "?Action=ConfirmSubscription&TopicArn=" .. OTHER .. "&Token=" .. token,
      HOST .. "?Action=ConfirmSubscription&TopicArn=" .. aws.topic .. "&Token=" .. ("0"):rep(128),
      HOST .. "?Action=ConfirmSubscription&TopicArn=" .. aws.topic .. "&Token=" .. token .. "0",
      HOST .. "?Action=DeleteTopic&TopicArn=" .. aws.topic .. "&Token=" .. token,
      HOST .. "?" .. query .. "&Action=DeleteTopic", HOST .. "?Action=DeleteTopic&" .. query,
      HOST .. "?" .. query .. "&AuthenticateOnUnsubscribe=false", HOST .. "?" .. query .. "#x", HOST .. "x?" .. query,
      HOST .. "?Token=" .. token .. "&Action=ConfirmSubscription&TopicArn=" .. aws.topic,
      HOST .. "?" .. query:gsub("ConfirmSubscription", "confirmsubscription"), HOST .. "?" .. query:gsub(":", "%%3A"),
      (HOST:upper()) .. "?" .. query, "//sns.us-west-2.amazonaws.com/?" .. query, "x",
    } do
      attack.refused(box, confirmation { SubscribeURL = url }, "foreign_subscribe_url",
        { fetches = first and 1 or 0, alarm = "foreign_subscribe_url", label = url })
      first = false
    end
    assert.same({ "foreign_subscribe_url" }, box:codes())
    assert.same({ code = "foreign_subscribe_url", topic_arn = aws.topic, message = box.alarms[1].message },
      box.alarms[1])
  end)

  it("10. a signed SubscribeURL or Token that is no URL or token at all -> 400, 0 fetches", function()
    for _, url in ipairs { "", " ", HOST .. "\n", HOST .. " ", HOST .. "\0", HOST .. "\195\164", ("x"):rep(2049) } do
      attack.refused(box, confirmation { SubscribeURL = url }, "bad_subscribe_url")
    end
    for _, token in ipairs { "", "a b", "a\n", "a&Action=DeleteTopic", "a%26", "a#", "../a", "\0", ("a"):rep(1025) } do
      attack.refused(box, confirmation { Token = token, SubscribeURL = HOST }, "bad_token", { label = token })
    end
    attack.refused(box, confirmation { SubscribeURL = 5 }, "not_string")
    attack.refused(box, confirmation { Token = 5, SubscribeURL = HOST }, "not_string")
    attack.refused(box, confirmation { Token = false, SubscribeURL = HOST }, "missing_field")
    attack.refused(box, confirmation { SubscribeURL = false }, "missing_field")
  end)

  it("10. the one that Amazon writes -> asked for once, however often it comes", function()
    local request = confirmation()
    assert.same({ 204, "confirmed" }, { (box:repost(request)), (box:reason()) })
    assert.same({ 204, "duplicate" }, { (box:repost(request)), (box:reason()) })
    -- The same token in another message.
    assert.same({ 204, "duplicate" }, { (box:repost(confirmation())), (box:reason()) })
    local asked = aws:confirmations()
    assert.equal(1, #asked)
    assert.same({ "/", aws.topic, ("2336412f37fb687f"):rep(8) }, { asked[1].path, asked[1].topic, asked[1].token })
  end)

  it("11. an unsigned SubscribeURL and Token in a Notification -> never read", function()
    local request, fields = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
    for _, url in ipairs { "http://169.254.169.254/", "", "\n", HOST .. "?Action=ConfirmSubscription" } do
      fields.SubscribeURL, fields.Token, fields.MessageId = url, "abc", core.request_id()
      fields.UnsubscribeURL = "https://evil.example/"
      request.body, request.headers = aws:encode(aws:sign(fields)), aws:headers(fields)
      assert.equal(204, (box:post(request)))
      local message = box.seats[#box.seats][2]
      for _, name in ipairs { "subscribe_url", "token", "confirm_url", "unsubscribe_url" } do
        assert.is_nil(message[name])
      end
    end
    assert.same({}, aws:confirmations())
    assert.equal(1, (aws:fetches()))
  end)

  it("12. header says SubscriptionConfirmation, body says Notification -> 400", function()
    local function mismatch(fields, header, value, more)
      fields.Timestamp = box.now_s
      local request = aws:request(fields)
      request.headers[header] = value
      attack.refused(box, request, "header_mismatch", more)
    end
    local notification = { Message = inbox.seats() }
    for _, word in ipairs { "SubscriptionConfirmation", "UnsubscribeConfirmation", "notification", "",
      "Notification " } do
      mismatch(notification, "x-amz-sns-message-type", word)
    end
    mismatch({ Type = "SubscriptionConfirmation" }, "x-amz-sns-message-type", "Notification")
    mismatch({ Type = "UnsubscribeConfirmation" }, "x-amz-sns-message-type", "SubscriptionConfirmation")
    mismatch(notification, "x-amz-sns-topic-arn", OTHER)
    mismatch(notification, "x-amz-sns-topic-arn", aws.topic .. "\0")
    mismatch(notification, "X-Amz-Sns-Topic-Arn", OTHER)
    mismatch(notification, "x-amz-sns-message-id", "0f1e2d3c-4b5a-4678-9abc-def012345678", { fetches = 1 })
    -- Two headers of one name are one with both values.
    mismatch(notification, "x-amz-sns-message-type", { "Notification", "SubscriptionConfirmation" })
    assert.same({}, aws:confirmations())
  end)

  it("43. a verified UnsubscribeConfirmation, also the genuine one -> 204 and an alarm, no outgoing request", function()
    assert.same({ 204, "unsubscribed" }, { (box:deliver { Type = "UnsubscribeConfirmation" }), (box:reason()) })
    assert.same({ { "unsubscribed" }, {} }, { box:codes(), aws:confirmations() })
    local folder = "spec/fixtures/sns/"
    local body = files.read(folder .. "unsubscribe-confirmation-v2-2026.json")
    local fields, asked = cjson.decode(body), {}
    local genuine = inbox.open(nil, { topics = { fields.TopicArn }, confirm_subscriptions = true,
      fetch_certificate = function(url)
        asked[#asked + 1] = url
        return files.read(folder .. url:match("[^/]*$"))
      end,
      confirm = function() error("nothing may be confirmed") end })
    genuine.now_s = core.parse_time(fields.Timestamp) / 1000
    local status = genuine:post(attack.request(body, aws:headers(fields)))
    assert.same({ 204, "unsubscribed", { "unsubscribed" } }, { status, genuine:reason(), genuine:codes() })
    assert.same({ fields.SigningCertURL }, asked)
    assert.equal(fields.TopicArn, genuine.alarms[1].topic_arn)
  end)

  it("44. a confirmation for a topic whose subscriptions are not confirmed -> 204, told, no outgoing request",
    function()
    box = inbox.open(aws, { confirm_subscriptions = false, topics = { aws.topic, { arn = OTHER, confirm = true } },
      certificate_warning_s = 60 })
    local request = confirmation()
    assert.same({ 204, "confirmation_waiting" }, { (box:repost(request)), (box:reason()) })
    assert.same({ { "confirmation_waiting" }, {} }, { box:codes(), aws:confirmations() })
    local warnings = box.receiver:watch()
    assert.same({ 1, "confirmation_waiting", aws.topic }, { #warnings, warnings[1].code, warnings[1].topic_arn })
    -- The other topic's are.
    assert.equal(204, (box:repost(confirmation { TopicArn = OTHER })))
    assert.same({ 1, OTHER }, { #aws:confirmations(), aws:confirmations()[1].topic })
  end)

  it("44. the confirm endpoint is down -> 503, and SNS's retry confirms", function()
    local request = confirmation()
    for _, answer in ipairs { { status = 503 }, { status = 404 }, { status = 302 }, { reset = true }, { body = "" },
      { body = "<SubscriptionArn>arn:aws:sns:us-west-2:999999999999:evil:0f1e</SubscriptionArn>" },
      { body = "<SubscriptionArn>" .. OTHER .. ":0f1e</SubscriptionArn>" },
      { body = "<SubscriptionArn>pending confirmation</SubscriptionArn>" } } do
      answer.times = 1
      aws:serve("/", answer)
      local asked = #aws:confirmations()
      assert.same({ 503, "confirmation_failed" }, { (box:repost(request)), (box:reason()) })
      assert.equal(asked + 1, #aws:confirmations())
    end
    assert.same({ 204, "confirmed" }, { (box:repost(request)), (box:reason()) })
  end)
end)
