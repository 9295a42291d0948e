--- Deliveries that come again: at once, later, under another id, to a receiver that was killed or had no room.
local amazon = require("support.amazon")
local attack = require("support.attack")
local faulty_store = require("support.faulty_store")
local files = require("support.files")
local folder = require("support.folder")
local inbox = require("support.inbox")
local program = require("support.program")
local sqlite = require("paciolan.store.sqlite")

local OTHER = "arn:aws:sns:us-west-2:123456789012:other"

describe("a delivery that comes again", function()
  local aws, box

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)
  before_each(function()
    aws:reset_fetches()
    box = inbox.open(aws)
  end)
  after_each(program.stop_all)

  local function request(fields)
    local all = { Message = inbox.seats(), Timestamp = box.now_s }
    for name, value in pairs(fields or {}) do
      all[name] = value
    end
    return aws:request(all)
  end

  it("32. twice, one after the other -> 204, 204, one store", function()
    local one = request()
    attack.accepted(box, one, { fetches = 1 })
    for _ = 1, 3 do
      assert.same({ 204, "duplicate", 1 }, { (box:repost(one)), (box:reason()), #box.seats })
    end
    -- What nobody signed does not make another message of it.
    local headers = one.headers
    one.body = one.body:sub(1, -2) .. ',"MessageAttributes":{"a":1},"x":2}'
    one.headers = {}
    for name, value in pairs(headers) do
      one.headers[name:upper()] = value
    end
    assert.same({ 204, "duplicate", 1 }, { (box:repost(one)), (box:reason()), #box.seats })
  end)

  it("33. twice at once -> one store, the other gets 503 and then 204", function()
    local one, statuses = request(), {}
    box.answer = function()
      coroutine.yield()
      return true
    end
    local first = coroutine.create(function() statuses[1] = box:post(one) end)
    assert(coroutine.resume(first))
    statuses[2] = box:post(one)
    assert.equal("in_flight", box:reason())
    statuses[3] = box:post(one)
    assert(coroutine.resume(first))
    statuses[4] = box:post(one)
    assert.same({ 204, 503, 503, 204 }, statuses)
    assert.equal(1, #box.seats)
  end)

  it("34. the same UUID in capitals -> 400", function()
    local id = "0f1e2d3c-4b5a-4678-9abc-def012345678"
    attack.accepted(box, request { MessageId = id }, { fetches = 1 })
    for _, other in ipairs { id:upper(), (id:gsub("f", "F", 1)), "{" .. id .. "}", (id:gsub("-", "")), id .. " ", " "
      .. id,
      id .. "\n", id .. "\0", "urn:uuid:" .. id, id:sub(1, -2), "", (id:gsub("0", "\217\160", 1)) } do
      attack.refused(box, request { MessageId = other }, "bad_message_id", { label = other })
    end
    -- By its headers alone, in mode raw.
    local basic = { user = "sns", password = "secret of the spec" }
    local raw = inbox.open(nil, { mode = "raw", basic_auth = basic })
    local headers = { authorization = "Basic c25zOnNlY3JldCBvZiB0aGUgc3BlYw==", ["x-amz-sns-rawdelivery"] = "true",
      ["x-amz-sns-message-id"] = id, ["x-amz-sns-topic-arn"] = aws.topic }
    assert.equal(204, (raw:post(attack.request(inbox.seats(), headers))))
    headers["x-amz-sns-message-id"] = id:upper()
    attack.refused(raw, attack.request(inbox.seats(), headers), "bad_message_id")
  end)

  it("35. two hours old, two hours ahead, ten years old -> 400; at the window's edge, to the second", function()
    local now_s = box.now_s
    local function at(offset_s) return request { Timestamp = now_s + offset_s } end
    for _, offset_s in ipairs { -7200, -3901, -3900 - 0.001, -10 * 366 * 86400, -now_s } do
      attack.refused(box, at(offset_s), "stale", { alarm = "stale", label = offset_s })
    end
    for _, offset_s in ipairs { 7200, 301, 300.001, 10 * 366 * 86400 } do
      attack.refused(box, at(offset_s), "early", { alarm = "early", label = offset_s })
    end
    attack.accepted(box, at(-3900), { fetches = 1 })
    for _, offset_s in ipairs { -3899, -3600, -1, 0, 1, 299, 300 } do
      attack.accepted(box, at(offset_s), { label = offset_s })
    end
    -- One message, seen as time goes by: from too early to too late it is stored once.
    local one, seen = at(1000), {}
    for _, s in ipairs { 0, 699, 700, 1000, 4599, 4899, 4900, 4901, 86400, 90000, 200000 } do
      box.now_s = now_s + s
      box:post(one)
      seen[#seen + 1] = box:reason()
    end
    assert.same({ "early", "early", "done", "duplicate", "duplicate", "duplicate", "duplicate", "stale", "stale",
      "stale",
      "stale" }, seen)
  end)

  -- What a receiver in a process of its own needs, and the request that it is given.
  local function place()
    local path, one = folder.make(), request()
    files.write(path .. "/topic", aws.topic)
    files.write(path .. "/roots.pem", aws.roots)
    files.write(path .. "/leaf.pem", aws.leaf)
    files.write(path .. "/body", one.body)
    files.write(path .. "/sold", "")
    return path, one
  end

  local function command(path, job)
    return ("env %s %s"):format(program.environment(),
      program.words { program.lua, "spec/support/receiver_worker.lua", path, job })
  end

  local function killed(path, job)
    local worker = program.start(command(path, job))
    worker:wait_for("waiting")
    worker:stop("KILL")
    local store = assert(sqlite.new(path .. "/store.db"))
    box = inbox.open(aws, { store = store })
    -- An application that knows a message by its id.
    box.answer = function(_, message)
      local sold = files.read(path .. "/sold")
      if not sold:find(message.message_id, 1, true) then
        files.write(path .. "/sold", sold .. message.message_id .. "\n")
      end
      return true
    end
    return store
  end

  local function sold(path)
    return select(2, files.read(path .. "/sold"):gsub("\n", ""))
  end

  -- The store goes by the time of the system; a reservation ends as if it had passed.
  local function end_reservation(store)
    local items = assert(store:list("paciolan/seen/"))
    assert.equal(1, #items)
    assert.matches("^working ", items[1][2])
    assert.is_true(store:remove(items[1][1]))
  end

  it("36. killed between the commit and the answer, then SNS's retry -> 204, one store", function()
    local path, one = place()
    local store = killed(path, "stop_behind_commit")
    assert.equal(1, sold(path))
    assert.same({ 204, "duplicate" }, { (box:repost(one)), (box:reason()) })
    assert.same({ 1, 0, 0 }, { sold(path), #box.seats, (aws:fetches()) })
    store:close()
  end)

  it("36. killed in the handler, before or after its work -> 503 while reserved, then 204, one store", function()
    for job, count in pairs { stop_before_work = 0, stop_behind_work = 1 } do
      local path, one = place()
      local store = killed(path, job)
      assert.equal(count, sold(path))
      attack.refused(box, one, "in_flight", { status = 503 })
      end_reservation(store)
      assert.same({ 204, "done" }, { (box:repost(one)), (box:reason()) })
      assert.same({ 204, "duplicate" }, { (box:repost(one)), (box:reason()) })
      assert.same({ 1, 1 }, { sold(path), #box.seats })
      store:close()
    end
  end)

  it("36. a reservation of one who is dead ends by itself", function()
    local one = request()
    box.answer = function()
      coroutine.yield()
      return true
    end
    local dropped = coroutine.create(function() box:post(one) end)
    assert(coroutine.resume(dropped))
    box.answer = nil
    box.now_s = box.now_s + 19
    attack.refused(box, one, "in_flight", { status = 503 })
    box.now_s = box.now_s + 1
    attack.accepted(box, one)
    assert.equal("suspended", coroutine.status(dropped))
  end)

  it("37. no room on the disk -> 503, no record, nothing handled; with room again 204, 204, one store", function()
    local path, one = place()
    local code, output, problems = program.run("trap '' XFSZ; ulimit -f 600; exec " .. command(path, "fill"))
    assert.same({ 0, "" }, { code, problems })
    assert.equal("answer 503 store_failed\nanswer 503 store_failed\nend\n", output)
    assert.equal(0, sold(path))
    local store = assert(sqlite.new(path .. "/store.db"))
    assert.same({}, store:list("paciolan/seen/"))
    box = inbox.open(aws, { store = store })
    assert.same({ 204, "done" }, { (box:repost(one)), (box:reason()) })
    assert.same({ 204, "duplicate", 1 }, { (box:repost(one)), (box:reason()), #box.seats })
    store:close()
  end)

  it("37. a store that fails at any moment, in any way -> 503 or 204, handled at least once, no partial record",
    function()
    for _, way in ipairs(faulty_store.WAYS) do
      for number = 1, 12 do
        local store = faulty_store.new()
        box = inbox.open(aws, { store = store })
        store.watch(function(_, _, count) return count == number and way or nil end)
        local one = request()
        local status = box:post(one)
        assert.is_true(status == 204 or status == 503, way .. number)
        store.watch(nil)
        local before = #box.seats
        assert.is_true(status ~= 204 or before == 1, way .. number)
        -- A reservation that could not be taken back ends by its time.
        local tries = 0
        while box:post(one) ~= 204 and tries < 2 do
          assert.equal("in_flight", box:reason())
          store.inner:remove("paciolan/seen/" .. aws.topic .. "/" .. one.headers["x-amz-sns-message-id"])
          tries = tries + 1
        end
        assert.is_true(tries < 2 and #box.seats >= 1 and #box.seats <= 2, way .. number)
        assert.same({ 204, "duplicate" }, { (box:post(one)), (box:reason()) })
      end
    end
  end)

  it("37. a queue that is full -> 503, and later 204", function()
    local one, is_full = request { Message = inbox.seats(3) }, true
    local taken = {}
    box.answer = function(seat)
      if is_full and seat.seat == "2" then
        return nil, "the queue is full"
      end
      taken[#taken + 1] = seat.seat
      return true
    end
    for _ = 1, 2 do
      assert.same({ 503, "handler_refused" }, { (box:repost(one)), (box:reason()) })
    end
    assert.same({}, box.store:list("paciolan/seen/"))
    is_full = false
    assert.same({ 204, "done" }, { (box:repost(one)), (box:reason()) })
    assert.equal("1,3,1,3,1,2,3", table.concat(taken, ","))
    for _, answer in ipairs { function() error("broken") end, function() return false end, function() return nil end,
      function() return "true" end, function() return 1 end, function() error({}) end, function() error() end } do
      box.answer = answer
      local status = box:post(request())
      assert.is_true(status == 503 and box:reason():find("^handler_") ~= nil)
    end
  end)

  it("37. closed in the middle of a request -> that one ends, others get 503", function()
    local one, two = request(), request()
    box.answer = function()
      coroutine.yield()
      return true
    end
    local status
    local running = coroutine.create(function() status = box:post(one) end)
    assert(coroutine.resume(running))
    box.receiver:close()
    attack.refused(box, two, "stopping", { status = 503 })
    attack.refused(box, one, "stopping", { status = 503 })
    assert(coroutine.resume(running))
    assert.equal(204, status)
    box:restart()
    box.answer = nil
    assert.same({ 204, "duplicate" }, { (box:repost(one)), (box:reason()) })
    assert.same({ 204, "done" }, { (box:repost(two)), (box:reason()) })
  end)

  it("38. one MessageId on two allowed topics -> two stores", function()
    box = inbox.open(aws, { topics = { aws.topic, OTHER } })
    local id = "0f1e2d3c-4b5a-4678-9abc-def012345678"
    attack.accepted(box, request { MessageId = id }, { fetches = 1 })
    attack.accepted(box, request { MessageId = id, TopicArn = OTHER })
    for _, topic in ipairs { aws.topic, OTHER } do
      assert.same({ 204, "duplicate" }, { (box:repost(request { MessageId = id, TopicArn = topic })), (box:reason()) })
    end
    assert.same({ aws.topic, OTHER }, { box.seats[1][2].topic_arn, box.seats[2][2].topic_arn })
  end)
end)
