--- Subscriptions: confirmed by a request of our own making, or by nobody; and removed.

local amazon = require("support.amazon")
local faulty_store = require("support.faulty_store")
local files = require("support.files")
local inbox = require("support.inbox")
local json = require("paciolan.json")

local OTHER = "arn:aws:sns:us-west-2:123456789012:events"

describe("the receiver", function()
  local aws

  before_each(function() aws = amazon.start {} end)
  after_each(amazon.stop_all)

  local function confirmation(changes)
    local fields = { Type = "SubscriptionConfirmation", Message = "You have chosen to subscribe.\nVisit the URL." }
    for name, value in pairs(changes or {}) do
      fields[name] = value
    end
    return fields
  end

  describe("confirming subscriptions", function()
    it("duty 20: asks for exactly what topic and token say, once", function()
      local box = inbox.open(aws, { confirm_subscriptions = true })
      local status, reason, request = box:deliver(confirmation())
      assert.same({ 204, "confirmed" }, { status, reason })
      local asked = aws:confirmations()
      assert.same({ 1, aws.topic }, { #asked, asked[1].topic })
      assert.equal(json.decode(request.body).Token, asked[1].token)
      assert.same({ 204, "duplicate" }, { (box:repost(request)), box:reason() })
      box:restart()
      assert.same({ 204, "duplicate" }, { (box:repost(request)), box:reason() })
      assert.equal(1, #aws:confirmations())
    end)

    it("duty 20: tells the ARN of the subscription", function()
      local box = inbox.open(aws, { confirm_subscriptions = true })
      box:deliver(confirmation())
      local arn = box.reports[1].subscription
      assert.equal(aws.topic .. ":", arn:sub(1, #aws.topic + 1))
      assert.same({ { "confirmed" }, aws.topic }, { box:codes(), box.alarms[1].topic_arn })
      assert.truthy(box.alarms[1].message:find(arn, 1, true))
    end)

    it("duty 20: asks nobody unless that is configured for the topic", function()
      local rows = {
        { {}, false }, { { confirm_subscriptions = false }, false }, { { confirm_subscriptions = true }, true },
        { { topics = { { arn = aws.topic, confirm = true } } }, true },
        { { topics = { { arn = aws.topic, confirm = false } }, confirm_subscriptions = true }, false },
        { { topics = { { arn = aws.topic }, { arn = OTHER, confirm = true } } }, false },
      }
      for i, row in ipairs(rows) do
        aws:reset_fetches()
        local box = inbox.open(aws, row[1])
        local status, reason = box:deliver(confirmation())
        assert.same({ 204, row[2] and "confirmed" or "confirmation_waiting" }, { status, reason }, "row " .. i)
        assert.equal(row[2] and 1 or 0, #aws:confirmations())
      end
    end)

    it("duty 20: tells a person who has to confirm, until it is done or messages come", function()
      local box = inbox.open(aws)
      box:deliver(confirmation())
      assert.same({ "confirmation_waiting" }, box:codes())
      assert.same({ "confirmation_waiting", aws.topic },
        { box.receiver:watch()[1].code, box.receiver:watch()[1].topic_arn })
      box:deliver()
      assert.same({}, box.receiver:watch())
    end)

    it("duty 20: refuses a signed address that is not the one it would build, and asks nobody", function()
      local box = inbox.open(aws, { confirm_subscriptions = true })
      local token = ("0a"):rep(64)
      local right = "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" .. aws.topic
        .. "&Token=" .. token
      for _, url in ipairs {
        "http://169.254.169.254/latest/meta-data/", right:gsub("us%-west%-2%.", "eu-west-1.", 1),
        right:gsub(":seats", ":other"), right .. "0", right .. "&Action=DeleteTopic",
        right:gsub("ConfirmSubscription", "DeleteTopic"), right:gsub("https://", "https://user@"),
        right:gsub("https", "http"), right .. "#x", " " .. right,
      } do
        local status, reason = box:deliver(confirmation { Token = token, SubscribeURL = url })
        assert.equal(400, status)
        assert.truthy(reason == "foreign_subscribe_url" or reason == "bad_subscribe_url", reason)
      end
      assert.same({ 0, 0 }, { #aws:confirmations(), box:counted("confirmed") })
      assert.same({ "foreign_subscribe_url" }, box:codes())
      assert.equal(204, (box:deliver(confirmation { Token = token, SubscribeURL = right })))
    end)

    it("duty 20: asks for the message again while Amazon does not confirm", function()
      local answers = {
        function() return nil, "status 503" end, function() error("broken") end, function() return nil end,
        function() return "" end, function() return "<SubscriptionArn>pending confirmation</SubscriptionArn>" end,
        function() return "<SubscriptionArn>" .. OTHER .. ":1</SubscriptionArn>" end,
        function() return 7 end,
        function() return "<SubscriptionArn>" .. aws.topic .. ":" .. ("1"):rep(400) .. "</SubscriptionArn>" end,
      }
      local number = 0
      local box = inbox.open(aws, { confirm_subscriptions = true, confirm = function()
        number = number + 1
        return answers[number]()
      end })
      local request = aws:request(confirmation { Timestamp = box.now_s })
      for _ = 1, #answers do
        assert.same({ 503, "confirmation_failed" }, { (box:repost(request)), box:reason() })
      end
      answers[#answers + 1] = function()
        return ("<a><SubscriptionArn>%s:12-ab</SubscriptionArn></a>"):format(aws.topic)
      end
      assert.same({ 204, "confirmed" }, { (box:repost(request)), box:reason() })
      assert.equal(9, number)
    end)

    it("duty 20: asks nobody when the store cannot remember the token", function()
      local store = faulty_store.new()
      local box = inbox.open(aws, { confirm_subscriptions = true, store = store })
      store.watch(function(method, key)
        return method == "add" and key:find("^paciolan/sns_token/") and "fail" or nil
      end)
      assert.same({ 503, "store_failed" }, { (box:deliver(confirmation())), box:reason() })
      assert.equal(0, #aws:confirmations())
    end)

    it("duty 20: keeps no token in the store, and tells none", function()
      local box = inbox.open(aws, { confirm_subscriptions = true })
      local _, _, request = box:deliver(confirmation())
      local token = json.decode(request.body).Token
      for _, pair in ipairs(box.store:list("")) do
        assert.is_nil(pair[1]:find(token, 1, true))
        assert.is_nil(pair[2]:find(token, 1, true))
      end
      local told = json.encode { box.alarms, box.reports, box.receiver:counters() }
      assert.is_nil(told:find(token:sub(1, 32), 1, true))
    end)

    it("duty 20: asks over TLS by default", function()
      local box = inbox.open(aws, { confirm_subscriptions = true, fetch_certificate = false, confirm = false,
        ca_file = aws.ca_file, connect_to = aws.connect_to })
      assert.same({ 204, "confirmed" }, { (box:deliver(confirmation())), box:reason() })
      assert.equal(1, #aws:confirmations())
      box.receiver:close()
    end)

    it("duty 20: never confirms with a message that has not passed everything before", function()
      local box = inbox.open(aws, { confirm_subscriptions = true, basic_auth = { user = "a", password = "b" } })
      local request = aws:request(confirmation { Timestamp = box.now_s })
      assert.equal(401, (box:post(request)))
      box = inbox.open(aws, { confirm_subscriptions = true })
      for _, change in ipairs {
        { TopicArn = OTHER }, { Timestamp = box.now_s - 7200 },
        { SigningCertURL = "https://example.com/SimpleNotificationService-" .. ("0"):rep(32) .. ".pem" },
      } do
        assert.equal(400, (box:deliver(confirmation(change))))
      end
      local fields = aws:message(confirmation { Timestamp = box.now_s })
      fields.Message = fields.Message .. " "
      assert.equal(400, (box:post { method = "POST", path = "/", headers = {}, body = aws:encode(fields) }))
      assert.equal(0, #aws:confirmations())
    end)
  end)

  describe("of subscriptions that are removed", function()
    it("duty 21: raises an alarm, answers 204 and asks nobody", function()
      local box = inbox.open(aws, { confirm_subscriptions = true })
      local status, reason = box:deliver { Type = "UnsubscribeConfirmation", Message = "You have chosen to leave." }
      assert.same({ 204, "unsubscribed" }, { status, reason })
      assert.same({ { "unsubscribed" }, aws.topic }, { box:codes(), box.alarms[1].topic_arn })
      assert.same({ 0, 0 }, { #aws:confirmations(), #box.seats })
    end)

    it("duty 21: does so for a genuine one", function()
      local body = files.read("spec/fixtures/sns/unsubscribe-confirmation-v2-2026.json")
      local fields = json.decode(body)
      local pem = files.read("spec/fixtures/sns/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem")
      local box = inbox.open(aws, { topics = { fields.TopicArn }, fetch_certificate = function() return pem end,
        confirm_subscriptions = true, roots = false, confirm = function() error("asked") end })
      box.now_s = math.floor(require("paciolan").parse_time(fields.Timestamp) / 1000)
      assert.equal(204, (box:post { method = "POST", path = "/", headers = aws:headers(fields), body = body }))
      assert.same({ "unsubscribed" }, box:codes())
    end)
  end)

  it("duty 7: goes by the signed type, whatever the headers say", function()
    local box = inbox.open(aws, { confirm_subscriptions = true })
    local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
    request.headers["x-amz-sns-message-type"] = "SubscriptionConfirmation"
    assert.same({ 400, "header_mismatch" }, { (box:repost(request)), box:reason() })
    assert.same({ 0, 0, 0 }, { #aws:confirmations(), #box.seats, (aws:fetches()) })
  end)
end)
