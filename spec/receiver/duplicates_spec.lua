--- Each message once: reserve, do, commit, and what becomes of it when one of them fails.

local amazon = require("support.amazon")
local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")
local faulty_store = require("support.faulty_store")
local folder = require("support.folder")
local inbox = require("support.inbox")
local paciolan = require("paciolan")

local OTHER = "arn:aws:sns:us-west-2:123456789012:events"
local BASIC = inbox.BASIC
local AUTHORIZATION = inbox.AUTHORIZATION

describe("the receiver's memory", function()
  local aws

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)

  it("duty 18: handles a message once, however often it comes", function()
    local box = inbox.open(aws)
    local status, reason, request = box:deliver()
    assert.same({ 204, "done" }, { status, reason })
    for _ = 1, 3 do
      assert.same({ 204, "duplicate", request }, { box:repost(request) })
    end
    assert.equal(1, #box.seats)
    assert.equal(3, box:counted("duplicate"))
  end)

  it("duty 18: knows a message by its topic and its id", function()
    local box = inbox.open(aws, { topics = { aws.topic, OTHER } })
    local id = "0f1e2d3c-4b5a-4678-9abc-def012345678"
    assert.equal(204, (box:deliver { MessageId = id }))
    assert.equal(204, (box:deliver { MessageId = id, TopicArn = OTHER }))
    assert.equal(2, #box.seats)
    local status, reason = box:deliver { MessageId = id, Message = inbox.seats(3) }
    assert.same({ 204, "duplicate", 2 }, { status, reason, #box.seats })
  end)

  it("duty 18: knows it still after a restart, and for as long as it could come again", function()
    local box = inbox.open(aws)
    local _, _, request = box:deliver()
    box:restart()
    assert.same({ 204, "duplicate" }, { (box:repost(request)), (box:reason()) })
    box.now_s = box.now_s + 3600 + 300
    assert.same({ 204, "duplicate" }, { (box:repost(request)), (box:reason()) })
    box.now_s = box.now_s + 1
    assert.same({ 400, "stale" }, { (box:repost(request)), (box:reason()) })
    assert.equal(1, #box.seats)
  end)

  it("duty 18: knows it in a file, whoever opens that", function()
    local path = folder.make() .. "/messages.db"
    local store = paciolan.store.sqlite(path)
    local box = inbox.open(aws, { store = store })
    local _, _, request = box:deliver()
    store:close()
    store = paciolan.store.sqlite(path)
    local other = inbox.open(aws, { store = store, fetch_certificate = function() return nil, "no network" end })
    assert.same({ 204, "duplicate" }, { (other:repost(request)), other:reason() })
    assert.same({ 204, "done" }, { (other:deliver()), other:reason() })
    assert.same({ 1, 1 }, { #box.seats, #other.seats })
    store:close()
  end)

  it("duty 18: asks a second delivery to come again while the first is being handled", function()
    local box = inbox.open(aws)
    local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
    local inner
    box.answer = function()
      inner = inner or { box:post(request), box:reason() }
      return true
    end
    assert.equal(204, (box:post(request)))
    assert.same({ 503, "in_flight" }, { inner[1], inner[#inner] })
    assert.equal(1, #box.seats)
  end)

  it("duty 18: keeps concurrent deliveries apart", function()
    local box = inbox.open(aws)
    local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
    box.answer = function()
      concurrent.loop():sleep(5)
      return true
    end
    local statuses, tasks = {}, {}
    for i = 1, 20 do
      tasks[i] = function()
        local status = box:post(request)
        statuses[status] = (statuses[status] or 0) + 1
      end
    end
    concurrent.run(tasks, { limit = 20 })
    assert.same({ [204] = 1, [503] = 19 }, statuses)
    assert.equal(1, #box.seats)
  end)

  it("duty 18: lets a message come again when its handler does not return true", function()
    local box = inbox.open(aws)
    local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
    for _, failing in ipairs {
      function() return nil, "busy" end, function() return false end, function() end, function() return "yes" end,
      function() return 1 end,
    } do
      box.answer = failing
      assert.same({ 503, "handler_refused" }, { (box:repost(request)), (box:reason()) })
    end
    box.answer = function() error("broken") end
    assert.same({ 503, "handler_raised" }, { (box:repost(request)), (box:reason()) })
    box.answer = nil
    assert.equal(204, (box:post(request)))
    assert.equal(7, #box.seats)
  end)

  it("takes the items of a message for one unit", function()
    local box = inbox.open(aws)
    local request = aws:request { Message = inbox.seats(3), Timestamp = box.now_s }
    box.answer = function(item) return item.seat ~= "2" end
    assert.equal(503, (box:post(request)))
    assert.equal(3, #box.seats)
    box.answer = nil
    assert.equal(204, (box:post(request)))
    local seen = {}
    for i, call in ipairs(box.seats) do
      seen[i] = call[1].seat
    end
    assert.same({ "1", "2", "3", "1", "2", "3" }, seen)
  end)

  it("tries all items of a message, and tells what became of the first that failed", function()
    local box = inbox.open(aws)
    box.answer = function(item)
      if item.seat == "2" then
        return nil, "busy"
      elseif item.seat == "3" then
        error("broken", 0)
      end
      return true
    end
    assert.same({ 503, "handler_refused" }, { (box:deliver { Message = inbox.seats(4) }), box:reason() })
    assert.same({ 4, "busy" }, { #box.seats, box.reports[1].detail })
    assert.same({ { "handler_refused", aws.topic }, { "handler_raised", aws.topic } },
      { { box.alarms[1].code, box.alarms[1].topic_arn }, { box.alarms[2].code, box.alarms[2].topic_arn } })
    assert.matches("busy", box.alarms[1].message, 1, true)
    assert.matches("broken", box.alarms[2].message, 1, true)
  end)

  it("hands over what was read, whatever a handler does to the message", function()
    for _, change in ipairs {
      function(message) table.remove(message.items, 1) end, function(message) message.items = {} end,
      function(message) message.items[2], message.items[3] = nil, nil end,
      function(message) message.items, message.entity = nil, nil end,
    } do
      local box = inbox.open(aws)
      box.answer = function(_, message)
        if message.items then
          change(message)
        end
        return true
      end
      assert.equal(204, (box:deliver { Message = inbox.seats(3) }))
      assert.same({ "1", "2", "3" }, { box.seats[1][1].seat, box.seats[2][1].seat, box.seats[3][1].seat })
    end
  end)

  it("counts a message without items apart", function()
    local box = inbox.open(aws)
    local status, reason, request = box:deliver { Message = inbox.message("seats", { seats = {} }) }
    assert.same({ 204, "empty", 0 }, { status, reason, #box.seats })
    assert.same({ 204, "duplicate", 1 }, { (box:repost(request)), box:reason(), box:counted("empty") })
  end)

  it("lets handlers that are at work when the receiver is closed write down their end", function()
    for _, is_inside in ipairs { true, false } do
      local one, statuses = nil, {}
      local box = inbox.open(aws, { store = false, on_seat = function()
        if is_inside then
          one:close()
        else
          coroutine.yield()
        end
        return true
      end })
      one = box.receiver
      local running = coroutine.create(function() statuses[1] = box:deliver() end)
      assert(coroutine.resume(running))
      one:close()
      if not is_inside then
        assert(coroutine.resume(running))
      end
      assert.same({ { 204 }, "done" }, { statuses, box:reason() })
    end
  end)

  it("duty 18: hands a message over again when its holder died", function()
    local box = inbox.open(aws)
    local key = "paciolan/seen/" .. aws.topic .. "/0f1e2d3c-4b5a-4678-9abc-def012345678"
    assert(box.store:add(key, "working of a dead process 1", { ttl_s = 20 }))
    local status, reason, request = box:deliver { MessageId = "0f1e2d3c-4b5a-4678-9abc-def012345678" }
    assert.same({ 503, "in_flight" }, { status, reason })
    box.now_s = box.now_s + 20
    assert.equal(204, (box:post(request)))
    assert.same({ 1, "done" }, { #box.seats, box.store:get(key) })
  end)

  it("says so when a handler took longer than its reservation", function()
    local box = inbox.open(aws)
    box.answer = function()
      box.now_s = box.now_s + 20
      return true
    end
    local status, _, request = box:deliver()
    assert.equal(204, status)
    assert.equal(1, box:counted("reservation_lost"))
    assert.equal("reservation_lost", box.receiver:watch()[1].code)
    assert.same({ 204, "duplicate" }, { (box:repost(request)), (box:reason()) })
  end)

  it("duty 18: writes down for good that a message is done", function()
    local calls = {}
    local box
    box = inbox.open(aws, { store = setmetatable({}, { __index = function(_, method)
      return function(_, ...)
        if method ~= "get" then
          calls[#calls + 1] = { method, select(select("#", ...), ...) }
        end
        return box.store[method](box.store, ...)
      end
    end }) })
    assert.equal(204, (box:deliver { SignatureVersion = "1" }))
    assert.same({ "add", { ttl_s = 20 } }, calls[#calls - 1])
    assert.same({ "replace", { ttl_s = 86400, durable = true } }, calls[#calls])
  end)

  describe("with a store that fails", function()
    local function is_seen(key) return key:find("^paciolan/seen/") ~= nil end

    for _, way in ipairs(faulty_store.WAYS) do
      for _, method in ipairs { "add", "replace" } do
        it(("duty 19: answers 503 when %s ends as %s, and loses nothing"):format(method, way), function()
          local store = faulty_store.new()
          local box = inbox.open(aws, { store = store })
          store.watch(function(called, key) return called == method and is_seen(key) and way or nil end)
          local status, reason, request = box:deliver()
          assert.same({ 503, "store_failed" }, { status, reason })
          assert.equal(method == "add" and 0 or 1, #box.seats)
          store.watch(nil)
          assert.equal(204, (box:post(request)))
          assert.is_true(#box.seats >= 1)
        end)
      end
    end

    it("takes a reservation back unless it is certain that there is none", function()
      for way, expected in pairs { fail = 0, lost = 1, lost_raise = 1, raise = 1 } do
        local store, removed = faulty_store.new(), 0
        local box = inbox.open(aws, { store = store })
        store.watch(function(called, key)
          removed = removed + (called == "remove" and is_seen(key) and 1 or 0)
          return called == "add" and is_seen(key) and way or nil
        end)
        assert.equal(503, (box:deliver()))
        assert.equal(expected, removed, way)
      end
    end)

    it("answers 503 when it cannot say who has a message", function()
      local store = faulty_store.new()
      local box = inbox.open(aws, { store = store })
      local _, _, request = box:deliver()
      store.watch(function(called, key) return called == "get" and is_seen(key) and "fail" or nil end)
      assert.same({ 503, "store_failed" }, { (box:repost(request)), (box:reason()) })
    end)

    it("answers 503 when even the reservation that ran out cannot be made good", function()
      local store = faulty_store.new()
      local box = inbox.open(aws, { store = store })
      box.answer = function()
        for _, pair in ipairs(store.inner:list("paciolan/seen/")) do
          store.inner:remove(pair[1])
        end
        store.watch(function(called, key) return called == "put" and is_seen(key) and "fail" or nil end)
        return true
      end
      local status, reason = box:deliver()
      assert.same({ 503, "store_failed" }, { status, reason })
    end)
  end)

  describe("of raw messages", function()
    local function raw(id, topic)
      return { method = "POST", path = "/", body = inbox.seats(), headers = { authorization = AUTHORIZATION,
        ["x-amz-sns-rawdelivery"] = "true", ["x-amz-sns-message-type"] = "Notification",
        ["x-amz-sns-message-id"] = id, ["x-amz-sns-topic-arn"] = topic } }
    end

    it("knows them by topic and message id", function()
      local box = inbox.open(nil, { mode = "raw", basic_auth = BASIC })
      local first, second = core.request_id(), core.request_id()
      for _, id in ipairs { first, first, second, second } do
        assert.equal(204, (box:post(raw(id, aws.topic))))
      end
      assert.equal(204, (box:post(raw(first, OTHER))))
      assert.equal(204, (box:post(raw(first))))
      assert.equal(204, (box:post(raw(first))))
      assert.same({ 4, 3 }, { #box.seats, box:counted("duplicate") })
    end)

    it("keeps them apart from signed ones, for which somebody vouches", function()
      local box = inbox.open(nil, { mode = "raw", basic_auth = BASIC })
      local signed = inbox.open(aws, { store = box.store })
      local id = core.request_id()
      assert.equal(204, (box:post(raw(id, aws.topic))))
      assert.same({ 204, "done" }, { (signed:deliver { MessageId = id }), signed:reason() })
    end)

    it("does not take those without an id for repetitions", function()
      local box = inbox.open(nil, { mode = "raw", basic_auth = BASIC })
      assert.equal(204, (box:post(raw(nil, aws.topic))))
      assert.equal(204, (box:post(raw(nil, aws.topic))))
      assert.equal(2, #box.seats)
    end)

    it("refuses an id in another spelling", function()
      local box = inbox.open(nil, { mode = "raw", basic_auth = BASIC })
      for _, id in ipairs { "0F1E2D3C-4B5A-4678-9ABC-DEF012345678", "x", "0f1e2d3c4b5a46789abcdef012345678",
        "0f1e2d3c-4b5a-4678-9abc-def012345678 " } do
        assert.same({ 400, "bad_message_id" }, { (box:post(raw(id, aws.topic))), (box:reason()) })
      end
      assert.equal(0, #box.seats)
    end)
  end)

  describe("of direct messages", function()
    local REQUEST = { method = "POST", path = "/", body = inbox.seats(), headers = { Authorization = AUTHORIZATION } }

    it("is what the application says", function()
      local asked = {}
      local box = inbox.open(nil, { mode = "direct", basic_auth = BASIC, duplicate_key = function(message, request)
        asked[#asked + 1] = { message.entity, request == REQUEST }
        return "the same"
      end })
      assert.same({ 204, 204 }, { (box:post(REQUEST)), (box:post(REQUEST)) })
      assert.same({ { "seats", true }, { "seats", true } }, asked)
      assert.equal(1, #box.seats)
    end)

    it("is none otherwise, for losing an UNLOCK is worse than handling it twice", function()
      for _, key in ipairs { false, function() return nil end } do
        local box = inbox.open(nil, { mode = "direct", basic_auth = BASIC, duplicate_key = key })
        assert.same({ 204, 204 }, { (box:post(REQUEST)), (box:post(REQUEST)) })
        assert.equal(2, #box.seats)
      end
    end)

    it("answers 503 when the application fails to say", function()
      for _, key in ipairs { function() error("broken") end, function() return 7 end } do
        local box = inbox.open(nil, { mode = "direct", basic_auth = BASIC, duplicate_key = key })
        assert.same({ 503, "exception" }, { (box:post(REQUEST)), (box:reason()) })
        assert.equal(0, #box.seats)
      end
    end)
  end)
end)
