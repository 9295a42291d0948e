--- The receiver as a whole: what it hands over, what it keeps, and what it answers.

local amazon = require("support.amazon")
local concurrent = require("paciolan.concurrent")
local faulty_store = require("support.faulty_store")
local inbox = require("support.inbox")
local json = require("paciolan.json")

local TOPIC = amazon.TOPIC
local OTHER = "arn:aws:sns:us-west-2:123456789012:events"
local BASIC = inbox.BASIC

describe("paciolan.receiver", function()
  local aws

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)

  describe("handlers", function()
    it("get each item, and the whole message with its origin", function()
      local box = inbox.open(aws)
      local request, fields = aws:request { Message = inbox.seats(2), Timestamp = box.now_s }
      assert.equal(204, (box:post(request)))
      assert.same({ "1", "2" }, { box.seats[1][1].seat, box.seats[2][1].seat })
      local message = box.seats[1][2]
      assert.equal(message, box.seats[2][2])
      assert.same({ "seats", "999", fields.TopicArn, fields.MessageId, fields.Timestamp, box.now_s * 1000 },
        { message.entity, message.organization_id, message.topic_arn, message.message_id, message.timestamp,
          message.timestamp_ms })
    end)

    it("duty 19: that are full ask for it again, and nothing is left behind", function()
      local box = inbox.open(aws)
      box.answer = function() return nil, "the queue is full" end
      local status, reason, request = box:deliver()
      assert.same({ 503, "handler_refused", "the queue is full" }, { status, reason, box.reports[1].detail })
      assert.same({}, box.store:list("paciolan/seen/"))
      box.answer = nil
      assert.equal(204, (box:post(request)))
    end)

    it("get events", function()
      local box = inbox.open(aws)
      assert.equal(204, (box:deliver { Message = inbox.events() }))
      assert.same({ "TBD", json.null }, { box.events[1][1].startTime, box.events[1][1].endDate })
    end)

    it("get what the headers of a raw delivery say, as unsigned", function()
      local box = inbox.open(nil, { mode = "raw", basic_auth = BASIC })
      local id = "0f1e2d3c-4b5a-4678-9abc-def012345678"
      box:post(inbox.bare_request(inbox.seats(), { ["x-amz-sns-rawdelivery"] = "true", ["x-amz-sns-message-id"] = id,
        ["x-amz-sns-topic-arn"] = TOPIC }))
      local message = box.seats[1][2]
      assert.same({ topic_arn = TOPIC, message_id = id }, message.unsigned)
      assert.is_nil(message.topic_arn)
    end)

    it("for raw deliveries: of the configured topics only, if there are any", function()
      local box = inbox.open(nil, { mode = "raw", basic_auth = BASIC, topics = { TOPIC } })
      for _, row in ipairs {
        { OTHER, "topic_not_allowed" }, { nil, "topic_not_allowed" }, { TOPIC .. " ", "bad_topic" },
        { ("x"):rep(1000), "bad_topic" },
      } do
        local headers = { ["x-amz-sns-rawdelivery"] = "true", ["x-amz-sns-topic-arn"] = row[1] }
        assert.same({ 400, row[2] }, { (box:post(inbox.bare_request(inbox.seats(), headers))), box:reason() })
      end
      assert.equal(400, (box:post(inbox.bare_request(inbox.seats()))))
      assert.equal(0, #box.seats)
      local headers = { ["x-amz-sns-rawdelivery"] = "true", ["x-amz-sns-topic-arn"] = TOPIC }
      assert.equal(204, (box:post(inbox.bare_request(inbox.seats(), headers))))
    end)

    it("of an entity that nobody knows, and of those without a handler", function()
      local other = inbox.message("prices", { prices = { 1 } })
      local box = inbox.open(aws)
      assert.equal(204, (box:deliver { Message = other }))
      assert.same({ "prices", { prices = { 1 } } }, { box.messages[1][1].entity, box.messages[1][1].data })
      box = inbox.open(aws, { on_seat = false })
      assert.equal(204, (box:deliver()))
      assert.equal("seats", box.messages[1][1].entity)
      box.answer = function() return nil, "busy" end
      assert.same({ 503, "handler_refused" }, { (box:deliver()), box:reason() })
      box = inbox.open(aws, { on_message = false, on_event = false })
      for _, text in ipairs { other, inbox.events() } do
        assert.same({ 204, "no_handler" }, { (box:deliver { Message = text }), box:reason() })
      end
      assert.same({ { "no_handler" }, 2 }, { box:codes(), box:counted("no_handler") })
    end)

    it("may yield", function()
      local box = inbox.open(aws)
      local order = {}
      box.answer = function(item)
        order[#order + 1] = "in " .. item.seat
        concurrent.loop():sleep(5)
        order[#order + 1] = "out " .. item.seat
        return true
      end
      concurrent.run {
        function() box:deliver { Message = inbox.seats(1, { seat = "A" }) } end,
        function() box:deliver { Message = inbox.seats(1, { seat = "B" }) } end,
      }
      assert.same({ "in A", "in B", "out A", "out B" }, order)
    end)
  end)

  describe("messages that nobody could act on", function()
    local UNUSABLE = { "no JSON", "{}", inbox.seats(1, { status = false }), inbox.seats(1, { accessId = false }),
      inbox.message("seats", {}), "" }

    it("are kept before the final 400, and known when they come again", function()
      for i, text in ipairs(UNUSABLE) do
        local box = inbox.open(aws)
        local status, reason, request = box:deliver { Message = text }
        assert.same({ 400, "unusable_message" }, { status, reason }, "row " .. i)
        assert.same({ text, 1 }, { box.quarantined[1][1], #box.quarantined })
        assert.is_string(box.quarantined[1][2])
        assert.same({ "unusable_message" }, box:codes())
        assert.same({ 204, "duplicate", 1 }, { (box:post(request)), box:reason(), #box.quarantined })
      end
    end)

    it("come again while they cannot be kept", function()
      for _, keep in ipairs {
        function() return false end, function() return nil, "disk full" end, function() error("broken") end,
      } do
        local box = inbox.open(aws, { quarantine = keep })
        local status, reason, request = box:deliver { Message = "{}" }
        assert.same({ 503, "quarantine_failed" }, { status, reason })
        assert.same({ 503, "quarantine_failed" }, { (box:repost(request)), box:reason() })
        box.options.quarantine = function() end
        box:restart()
        assert.equal(400, (box:post(request)))
      end
    end)

    it("are only told of where nobody keeps them", function()
      local box = inbox.open(aws, { quarantine = false })
      local status, reason, request = box:deliver { Message = "{}" }
      assert.same({ 400, "unusable_message", { "unusable_message" } }, { status, reason, box:codes() })
      assert.equal(400, (box:post(request)))
    end)

    it("are kept in the other modes as well", function()
      for _, mode in ipairs { "raw", "direct" } do
        local box = inbox.open(nil, { mode = mode, basic_auth = BASIC })
        assert.same({ 400, "unusable_message" }, { (box:post(inbox.bare_request("{}"))), box:reason() })
        assert.equal("{}", box.quarantined[1][1])
      end
    end)
  end)

  describe("answers", function()
    it("have no body when all is well, and an empty object otherwise (row 45)", function()
      local box = inbox.open(aws)
      local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
      assert.same({ status = 204, headers = {}, body = "" }, box.receiver:handle(request))
      request.body = "{}"
      assert.same({ status = 400, headers = { ["Content-Type"] = "application/json" }, body = "{}" },
        box.receiver:handle(request))
    end)

    it("are the caller's own tables", function()
      local box = inbox.open(aws)
      local request = { method = "GET", path = "/" }
      box.receiver:handle(request).headers.Allow = "changed"
      assert.equal("POST", box.receiver:handle(request).headers.Allow)
    end)

    it("are 503 for everything that breaks inside", function()
      local box = inbox.open(aws, { clock = false })
      box.options.clock = function() error("no time") end
      assert.has_error(function() box:restart() end)
      local is_broken
      box.options.clock = function() return is_broken and error("no time") or box.now_s end
      box:restart()
      is_broken = true
      assert.equal(503, box.receiver:handle(aws:request { Message = inbox.seats() }).status)
      local store = faulty_store.new()
      box = inbox.open(aws, { store = store })
      store.watch(function() return "raise" end)
      assert.equal(503, (box:deliver()))
      box.receiver._deliveries.once = function() error("broken") end
      store.watch(nil)
      assert.same({ 503, "exception", "exception" }, { (box:deliver()), box:reason(), box:codes()[#box:codes()] })
    end)

    it("are 503 once it was closed", function()
      local box = inbox.open(aws)
      local _, _, request = box:deliver()
      assert.equal("paciolan.receiver (open)", tostring(box.receiver))
      box.receiver:close()
      box.receiver:close()
      assert.equal("paciolan.receiver (closed)", tostring(box.receiver))
      assert.same({ 503, "stopping" }, { (box:post(request)), box:reason() })
      assert.is_nil(box.store:get("x"))
    end)
  end)
end)
