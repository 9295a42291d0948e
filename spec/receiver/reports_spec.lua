--- What the receiver counts, reports and warns of.

local amazon = require("support.amazon")
local errors = require("paciolan.errors")
local inbox = require("support.inbox")

local TOPIC = amazon.TOPIC
local OTHER = "arn:aws:sns:us-west-2:123456789012:events"
local BASIC = inbox.BASIC
local AUTHORIZATION = inbox.AUTHORIZATION

describe("the receiver", function()
  local aws

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)

  describe("what is told", function()
    it("duty 23: one report for each request", function()
      local box = inbox.open(aws)
      local _, _, request = box:deliver()
      box:post(request)
      box:deliver { TopicArn = OTHER }
      box.answer = function() return nil, errors.new { kind = "http", message = "busy" } end
      box:deliver()
      local id = request.headers["x-amz-sns-message-id"]
      assert.same({ verdict = "accepted", reason = "done", status = 204, entity = "seats", topic = TOPIC,
        message_id = id }, box.reports[1])
      assert.same({ verdict = "accepted", reason = "duplicate", status = 204, topic = TOPIC, message_id = id },
        box.reports[2])
      assert.same({ "refused", "topic_not_allowed", 400 },
        { box.reports[3].verdict, box.reports[3].reason, box.reports[3].status })
      assert.same({ "postponed", "handler_refused", 503, "paciolan: busy (http)" },
        { box.reports[4].verdict, box.reports[4].reason, box.reports[4].status, box.reports[4].detail })
      assert.same({ 1, 1, 1, 1 }, { box:counted("done"), box:counted("duplicate"), box:counted("topic_not_allowed"),
        box:counted("handler_refused") })
    end)

    it("duty 23: is one short line without secrets, whatever came", function()
      local box = inbox.open(aws, { basic_auth = BASIC })
      local nasty = "\27[31m\nSet-Cookie: a=b\r\n\0" .. ("x"):rep(1024 * 1024)
      local requests = { inbox.bare_request(nasty), inbox.bare_request("{}", { ["x-amz-sns-rawdelivery"] = nasty }) }
      for _, name in ipairs { "Type", "TopicArn", "MessageId", "Timestamp", "SignatureVersion", "SigningCertURL" } do
        requests[#requests + 1] = aws:request { [name] = nasty, Message = "hunter2hunter2" }
        requests[#requests].headers.authorization = AUTHORIZATION
      end
      for i, request in ipairs(requests) do
        assert.is_true((box:post(request)) >= 400, "row " .. i)
      end
      box.answer = function() error(nasty .. " for jane.doe@example.com", 0) end
      local request = aws:request { Message = inbox.message(nasty:sub(1, 2000), {}), Timestamp = box.now_s }
      request.headers.authorization = AUTHORIZATION
      assert.equal(503, (box:post(request)))
      for _, told in ipairs { box.reports, box.alarms } do
        for _, event in ipairs(told) do
          for name, value in pairs(event) do
            if type(value) == "string" then
              assert.is_true(#value <= 400, name)
              assert.is_nil(value:find("[^\32-\126]"))
              assert.is_nil(value:find("hunter2hunter2", 1, true))
              assert.is_nil(value:find(AUTHORIZATION:sub(7), 1, true))
            end
          end
        end
      end
    end)

    it("an alarm of a kind comes once in five minutes, and is counted", function()
      local box = inbox.open(aws)
      local function raw() box:post(inbox.bare_request("{}", { ["x-amz-sns-rawdelivery"] = "true" })) end
      raw()
      raw()
      assert.same({ 1, 2 }, { #box.alarms, box:counted("alarm_raw_refused") })
      box.now_s = box.now_s + 299
      raw()
      assert.equal(1, #box.alarms)
      box.now_s = box.now_s + 1
      raw()
      assert.equal(2, #box.alarms)
    end)

    it("an alarm of one topic does not hide that of another", function()
      local box = inbox.open(aws, { topics = { TOPIC, OTHER } })
      for _, topic in ipairs { TOPIC, OTHER, TOPIC, OTHER } do
        box:deliver { Type = "UnsubscribeConfirmation", TopicArn = topic }
      end
      assert.same({ TOPIC, OTHER }, { box.alarms[1].topic_arn, box.alarms[2].topic_arn })
      assert.same({ 2, 4 }, { #box.alarms, box:counted("alarm_unsubscribed") })
    end)

    it("alarms of topics that nobody configured share one pause", function()
      local box = inbox.open(nil, { mode = "raw", basic_auth = BASIC })
      for i = 1, 3 do
        box:post(inbox.bare_request("{}", { ["x-amz-sns-rawdelivery"] = "true", ["x-amz-sns-topic-arn"] = TOPIC .. i }))
      end
      assert.same({ 1, 3, TOPIC .. "1" }, { #box.alarms, box:counted("alarm_unusable_message"),
        box.alarms[1].topic_arn })
    end)

    it("duty 9: a message out of time is an alarm, with its topic where there is only one", function()
      for _, row in ipairs { { -3901, "stale" }, { 301, "early" } } do
        for _, topics in ipairs { { TOPIC }, { TOPIC, OTHER } } do
          local box = inbox.open(aws, { topics = topics })
          assert.equal(400, (box:deliver { Timestamp = box.now_s + row[1] }))
          assert.same({ 1, row[2] }, { #box.alarms, box.alarms[1].code })
          assert.equal(#topics == 1 and TOPIC or nil, box.alarms[1].topic_arn)
          assert.matches("the clock of this host", box.alarms[1].message, 1, true)
        end
      end
    end)

    it("duty 10: the alarm of the latch says how to go back", function()
      local box = inbox.open(aws, { topics = { TOPIC } })
      box:deliver { SignatureVersion = "2" }
      box:deliver { SignatureVersion = "1" }
      assert.same({ "version_refused", TOPIC }, { box.alarms[1].code, box.alarms[1].topic_arn })
      assert.matches("remove paciolan/sns_version/<topic> from the store and restart", box.alarms[1].message, 1, true)
      assert.is_true(box.store:remove("paciolan/sns_version/" .. TOPIC))
      box:restart()
      assert.equal(204, (box:deliver { SignatureVersion = "1" }))
    end)

    it("to hooks that raise changes no answer", function()
      local box = inbox.open(aws, { on_report = function() error("broken") end,
        on_alarm = function() error("broken") end })
      assert.equal(204, (box.receiver:handle(aws:request { Message = inbox.seats(), Timestamp = box.now_s })).status)
      assert.equal(400, (box.receiver:handle(inbox.bare_request("{}", { ["x-amz-sns-rawdelivery"] = "true" }))).status)
      assert.equal(3, box:counted("hook_failed"))
    end)

    it("counters are a copy", function()
      local box = inbox.open(aws)
      box:deliver()
      box.receiver:counters().done = 7
      assert.equal(1, box:counted("done"))
    end)

    it("duty 24: warns of silence", function()
      local box = inbox.open(aws, { silence_s = 600, certificate_warning_s = 1 })
      assert.same({}, box.receiver:watch())
      assert.same({}, box.receiver:watch(box.now_s + 599))
      local warnings = box.receiver:watch(box.now_s + 600)
      assert.same({ { code = "silence", message = "no message for 10 minutes" } }, warnings)
      box.now_s = box.now_s + 599
      box:deliver()
      box:deliver { TopicArn = OTHER }
      box.now_s = box.now_s + 599
      assert.same({}, box.receiver:watch())
      box.now_s = box.now_s + 1
      assert.equal("silence", box.receiver:watch()[1].code)
      assert.same({}, inbox.open(aws).receiver:watch(box.now_s + 86400))
    end)

    it("duty 24: warns of deliveries that were put off, and what would save them", function()
      local box = inbox.open(aws, { certificate_warning_s = 1 })
      box.answer = function() return nil end
      box:deliver()
      local warnings = box.receiver:watch()
      assert.same({ 1, "postponed" }, { #warnings, warnings[1].code })
      assert.truthy(warnings[1].message:find("dead-letter queue", 1, true))
      assert.same({}, box.receiver:watch(box.now_s + 3600))
    end)

    it("duty 24: warns of what was refused for good, although it came for us", function()
      local function codes(box)
        local list = {}
        for i, warning in ipairs(box.receiver:watch()) do
          list[i] = warning.code
        end
        return list
      end
      local quiet = { certificate_warning_s = 1 }
      local now_s = os.time()
      for _, fields in ipairs { { Message = "{}" }, { Timestamp = now_s - 4000 }, { Timestamp = now_s + 400 } } do
        local box = inbox.open(aws, quiet)
        assert.equal(400, (box:deliver(fields)))
        assert.same({ "refused" }, codes(box))
        box.now_s = box.now_s + 3600
        assert.same({}, codes(box))
      end
      for _, body in ipairs { "{}", "no JSON" } do
        local box = inbox.open(aws, { certificate_warning_s = 1, basic_auth = BASIC })
        box:post(inbox.bare_request(body))
        assert.same({ "refused" }, codes(box))
        box = inbox.open(aws, quiet)
        assert.equal(400, (box:post(inbox.bare_request(body))))
        assert.same({}, codes(box))
      end
      local box = inbox.open(aws, quiet)
      assert.equal(400, (box:deliver { TopicArn = OTHER }))
      assert.same({}, codes(box))
    end)
  end)
end)
