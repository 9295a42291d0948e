--- What the sandbox publishes and to whom, without sockets: subscriptions, messages, what happens by itself, and what
-- goes wrong on request. `delivery_spec.lua` has what arrives.

local cjson = require("cjson").new()
local desk = require "support.desk"
local messages = require "paciolan.messages"
local sns = require "paciolan.sandbox.sns"

local URL = "http://127.0.0.1:9/messages"

describe("the sandbox publishes", function()
  local here

  before_each(function()
    here = desk.open()
  end)

  local function control(method, path, payload)
    local status, body = here:call(method, "/_sandbox/" .. path, payload)
    return body, status
  end

  local function refused(method, path, payload)
    local body, status = control(method, path, payload)
    assert.equal(400, status)
    return body.error.developerMessage
  end

  local function subscribe(changes)
    local subscription = { url = URL, topic = "seats", mode = "direct" }
    for name, value in pairs(changes or {}) do
      subscription[name] = value ~= "none" and value or nil
    end
    return subscription
  end

  -- The messages so far, read as a receiver reads them.
  local function published()
    local list = {}
    for i, message in ipairs(control("GET", "messages?limit=10000").messages) do
      list[i] = assert(messages.parse(message.body))
    end
    return list
  end

  local function statuses_of(message)
    local found = {}
    for i, item in ipairs(message.items) do
      found[i] = item.status
    end
    return found
  end

  local function lock(tokens, listing_id)
    return here:call("PUT", "/v1/tickets/lock", desk.lock_payload(tokens, listing_id))
  end

  describe("to subscriptions,", function()
    it("which are shown without credentials and query", function()
      local view, status = control("POST", "subscriptions",
        subscribe { url = URL .. "?secret=hidden", user = "me", password = "hidden" })
      assert.equal(200, status)
      assert.equal(sns.TOPICS.seats .. ":" .. view.id, view.arn)
      assert.same({ id = view.id, arn = view.arn, url = URL, topic = "seats", mode = "direct", signature_version = 1,
        has_credentials = true, state = "live" }, view)
      assert.same({ view }, control("GET", "subscriptions").subscriptions)
      assert.same(view, (control("GET", "subscriptions/" .. view.id)))
    end)

    it("which take their credentials from the URL as well", function()
      assert.is_false(control("POST", "subscriptions", subscribe()).has_credentials)
      local view = control("POST", "subscriptions", subscribe { url = "http://me:hidden@127.0.0.1:9/messages" })
      assert.is_true(view.has_credentials)
      assert.equal(URL, view.url)
    end)

    it("which end once", function()
      local id = control("POST", "subscriptions", subscribe()).id
      assert.equal("ended", control("DELETE", "subscriptions/" .. id).state)
      assert.equal(404, select(2, control("DELETE", "subscriptions/" .. id)))
      assert.equal(404, select(2, control("GET", "subscriptions/" .. id)))
      assert.same({}, control("GET", "subscriptions").subscriptions)
    end)

    it("of which there are a hundred at most", function()
      for i = 1, 100 do
        assert.equal(200, select(2, control("POST", "subscriptions", subscribe { url = URL .. i })))
      end
      assert.truthy(refused("POST", "subscriptions", subscribe()):find("100"))
      assert.equal(200, select(2, control("POST", "subscriptions", subscribe { url = URL .. 1 })))
    end)

    it("of which one takes the place of another with its URL, topic and mode", function()
      local id = control("POST", "subscriptions", subscribe()).id
      control("POST", "publish", { topic = "seats", body = "x" })
      for _, changes in ipairs { { mode = "raw" }, { topic = "events" }, { url = URL .. "?a" }, {} } do
        assert.equal(200, select(2, control("POST", "subscriptions", subscribe(changes))))
      end
      assert.equal(4, #control("GET", "subscriptions").subscriptions)
      assert.equal(404, select(2, control("GET", "subscriptions/" .. id)))
      here.box.publisher:turn(0)
      assert.equal("dropped", control("GET", "deliveries").deliveries[1].state)
    end)

    it("which end with a message about it, or without one", function()
      for query, kinds in pairs { [""] = { "UnsubscribeConfirmation" }, ["?silent=1"] = {} } do
        local id = control("POST", "subscriptions", subscribe { mode = "envelope", confirmed = true }).id
        control("POST", "reset")
        assert.equal("ended", control("DELETE", "subscriptions/" .. id .. query).state)
        local found = {}
        for i, delivery in ipairs(control("GET", "deliveries").deliveries) do
          found[i] = delivery.kind
        end
        assert.same(kinds, found)
      end
      assert.equal("silent must be 1", refused("DELETE", "subscriptions/x?silent=yes"))
    end)

    for rule, changes in pairs {
      ["url is required"] = { url = "none" },
      ["url must be"] = { url = "https://example.com/" },
      ["topic must be"] = { topic = "patrons" },
      ["topic must be events or seats"] = { topic = "none" },
      ["mode must be"] = { mode = "json" },
      ["signature_version must be 1 or 2"] = { signature_version = 3 },
      ["user and password"] = { user = "me" },
      ["user and password go together"] = { password = "x" },
      ["user must not hold a colon"] = { user = "m:e", password = "x" },
      ["confirmed goes with"] = { confirmed = true },
      ["The keys are"] = { color = "red" },
      ["The keys are url"] = { url = 7 },
    } do
      it("but not when " .. rule, function()
        local message = refused("POST", "subscriptions", subscribe(changes))
        assert.truthy(message:find(rule, 1, true), message)
      end)
    end
  end)

  describe("when", function()
    it("seats are locked, once", function()
      local tokens, seats = here:free_tokens(2)
      assert.equal(200, (lock(tokens)))
      assert.equal(200, (lock(tokens)))
      local list = published()
      assert.equal(1, #list)
      assert.equal("seats", list[1].entity)
      assert.same({ "LOCK", "LOCK" }, statuses_of(list[1]))
      assert.equal(seats[1].access_id, list[1].items[1].accessId)
      assert.same({}, list[1].problems)
    end)

    it("seats are unlocked that were locked", function()
      local tokens = here:free_tokens(2)
      lock { tokens[1] }
      here:call("PUT", "/v1/tickets/unlock", { tokens = tokens })
      here:call("PUT", "/v1/tickets/unlock", { tokens = tokens })
      local list = published()
      assert.equal(2, #list)
      assert.same({ "UNLOCK" }, statuses_of(list[2]))
    end)

    it("seats are sold: their listings have to go", function()
      here:sell((here:free_tokens(2)))
      local list = published()
      assert.equal(2, #list)
      assert.same({ "UNLOCK", "UNLOCK" }, statuses_of(list[2]))
    end)

    it("an order is done, and not before", function()
      local tokens = here:free_tokens(1)
      lock(tokens)
      local _, body = here:call("POST", "/v1/cart/complete-order", desk.order_payload(tokens),
        { ["x-sandbox-pending"] = "1" })
      assert.equal(1, #published())
      for _ = 1, 2 do
        here:call("GET", "/v1/cart/complete-order/" .. body.processId)
      end
      assert.equal(2, #published())
    end)

    it("a transfer is accepted, and not while it waits", function()
      local seat = here.box.inventory.seats[100]
      local payload = desk.fixture("transfer-v2.request.seats")
      payload.asyncCallbackUrl = nil
      local entry = payload.transferRequests[1]
      entry.Sender = { patronId = seat.owner }
      local row = entry.Seats[1]
      row.season, row.event = seat.season, seat.item
      row.seatInfo.level, row.seatInfo.section = seat.level, seat.section_code
      row.seatInfo.row, row.seatInfo.seats = tonumber(seat.row), tonumber(seat.seat)
      local status, body = here:call("POST", "/v2/tickets/transfer?distributorCode=AMTX", payload)
      assert.equal(200, status, cjson.encode(body))
      assert.equal(0, #published())
      status = here:call("POST", "/v1/tickets/transfer/accept?distributorCode=AMTX", { transferId = body.transferId })
      assert.equal(200, status)
      local list = published()
      assert.same({ "UNLOCK" }, statuses_of(list[1]))
      assert.equal(seat.row, list[1].items[1].row)
    end)

    it("more than a hundred seats change, in several messages", function()
      local seats = {}
      for i = 1, 250 do
        seats[i] = here.box.inventory.seats[i]
      end
      here.box.publisher:seats_changed(seats, "LOCK")
      local list, count = published(), 0
      assert.equal(3, #list)
      for _, message in ipairs(list) do
        count = count + #message.items
      end
      assert.equal(250, count)
    end)

    it("seats of several organizations change, one message for each", function()
      local _, of_129 = here:free_tokens(1)
      local _, of_999 = here:free_tokens(1, "999:F30:F01")
      here.box.publisher:seats_changed({ of_129[1], of_999[1] }, "LOCK")
      local list = published()
      assert.equal("129", list[1].organization_id)
      assert.equal("999", list[2].organization_id)
    end)

    it("nothing changes: nothing", function()
      here.box.publisher:seats_changed({}, "LOCK")
      lock { "unknown" }
      assert.equal(0, #published())
    end)
  end)

  describe("on a trigger:", function()
    it("seats of the first listing, when nothing is said", function()
      local body, status = control("POST", "trigger", { what = "seats.unlock" })
      assert.equal(200, status)
      assert.equal(1, #body.messages)
      assert.equal(0, body.deliveries)
      assert.equal(2, #published()[1].items)
    end)

    it("a seat by its token, which the world shows as locked and unlocked", function()
      local tokens, seats = here:free_tokens(1)
      assert.equal(200, select(2, control("POST", "trigger", { what = "seats.lock", token = tokens[1] })))
      assert.equal("locked", here.box.inventory:state(seats[1]))
      assert.equal(422, (lock(tokens)))
      assert.truthy(refused("POST", "trigger", { what = "seats.lock", token = tokens[1] }):find("locked", 1, true))
      assert.equal(200, select(2, control("POST", "trigger", { what = "seats.unlock", token = tokens[1] })))
      assert.equal("open", here.box.inventory:state(seats[1]))
    end)

    it("a seat by its place", function()
      control("POST", "trigger",
        { what = "seats.lock", access_id = "129:FB30:FB01", section = "WS:12", row = "2", seat = "3" })
      local item = published()[1].items[1]
      assert.same({ "129:FB30:FB01", "WS:12", "2", "3" }, { item.accessId, item.section, item.row, item.seat })
    end)

    it("the seats that were locked for an own listing", function()
      lock(here:free_tokens(3), "L-9")
      assert.equal(200, select(2, control("POST", "trigger", { what = "seats.unlock", listing_id = "L-9" })))
      assert.same({ "UNLOCK", "UNLOCK", "UNLOCK" }, statuses_of(published()[2]))
    end)

    it("no seat that is being bought, or sold", function()
      control("POST", "options", { pending_polls = 5, pending_s = 30 })
      local tokens = here:free_tokens(3)
      lock(tokens, "L-9")
      local _, order = here:call("POST", "/v1/cart/complete-order", desk.order_payload({ tokens[1], tokens[2] }, "L-9"))
      assert.equal("PENDING", order.status)
      control("POST", "trigger", { what = "seats.unlock", listing_id = "L-9" })
      local list = published()
      assert.same({ 2, { "UNLOCK" } }, { #list, statuses_of(list[2]) })
      for _, state in ipairs { "ordered", "sold" } do
        assert.equal(state, here.box.inventory:state(here.box.inventory:seat(tokens[1])))
        local rule = refused("POST", "trigger", { what = "seats.unlock", token = tokens[1] })
        assert.truthy(rule:find("being bought", 1, true), rule)
        control("POST", "clock", { advance_s = 31 })
        here:call("GET", "/v1/listings/A3qnemZ")
      end
    end)

    it("an event, with another name and date", function()
      control("POST", "trigger",
        { what = "events.changed", access_id = "129:FB30:FB02", name = "New", date = "2030-10-01" })
      local message = published()[1]
      assert.equal("events", message.entity)
      assert.equal("New", message.items[1].itemName)
      local _, items = here:call("GET", "/v1/catalog/events")
      local found = {}
      for _, item in ipairs(items) do
        found[item.accessId] = item.startDate
      end
      assert.equal("2030-10-01", found["129:FB30:FB02"])
    end)

    for rule, payload in pairs {
      ["what must be one of events.changed, seats.lock, seats.unlock"] = { what = "seats.sell" },
      ["There is no such token"] = { what = "seats.lock", token = "none" },
      ["There is no such listing"] = { what = "seats.unlock", listing_id = "none" },
      ["There is no such seat"] = { what = "seats.unlock", access_id = "129:FB30:FB01", section = "ES:9" },
      ["There is no such event"] = { what = "events.changed", access_id = "129" },
      ["date must have the form"] = { what = "events.changed", date = "tomorrow" },
      ["exclude each other"] = { what = "seats.unlock", token = "a", listing_id = "b" },
      ["token must be a string"] = { what = "seats.unlock", token = 7 },
      ["the key colour is not known here"] = { what = "seats.unlock", colour = "red" },
      ["a key is not known here"] = { what = "seats.unlock", ["a secret"] = "red" },
      ["section, row and seat go with access_id"] = { what = "seats.unlock", row = "1" },
      ["tamper must be one of"] = { what = "seats.lock", tamper = "everything" },
    } do
      it("not when " .. rule, function()
        local message = refused("POST", "trigger", payload)
        assert.truthy(message:find(rule, 1, true), message)
        assert.equal(0, #published())
        assert.equal("open", here.box.inventory:state(here.box.inventory.seats[1]))
      end)
    end
  end)

  describe("what a call gives it:", function()
    it("items, with the metadata of the documents", function()
      local body, status = control("POST", "publish",
        { entity = "seats", items = { { accessId = "999:F30:F01", status = "LOCK" } }, organization_id = "999" })
      assert.equal(200, status)
      local message = published()[1]
      assert.equal(1, #body.messages)
      assert.equal("999", message.organization_id)
      assert.truthy(message.request_id:find("^%x%x%x%x%x%x$"))
    end)

    it("one body, as a text or an object", function()
      control("POST", "publish", { topic = sns.TOPICS.events, body = "any text", subject = "S" })
      control("POST", "publish", { topic = "events", body = { a = 1 } })
      local list = control("GET", "messages").messages
      assert.same({ "any text", '{"a":1}' }, { list[1].body, list[2].body })
      assert.same({ "S", "events" }, { list[1].subject, list[1].topic })
      assert.equal("2023-11-14T22:13:20.250Z", list[1].timestamp)
    end)

    it("a list of bodies", function()
      control("POST", "subscriptions", subscribe())
      local body = control("POST", "publish", { topic = "seats", bodies = { "a", "b", { c = 1 } } })
      assert.equal(3, #body.messages)
      assert.equal(3, body.deliveries)
      local view = control("GET", "deliveries/" .. body.messages[2])
      assert.equal(1, #view.deliveries)
      assert.equal("queued", view.deliveries[1].state)
      assert.equal(3, view.waiting)
    end)

    it("as many as may wait, and no more", function()
      for i = 1, 100 do
        control("POST", "subscriptions", subscribe { url = URL .. i })
      end
      local bodies = {}
      for i = 1, 501 do
        bodies[i] = "text"
      end
      assert.truthy(refused("POST", "publish", { topic = "seats", bodies = bodies }):find("50000", 1, true))
      assert.equal(0, control("GET", "deliveries").waiting)
    end)

    for rule, payload in pairs {
      ["topic must be events or seats"] = { body = "x" },
      ["topic must be events or seats, or"] = { topic = "other", body = "x" },
      ["One of body, bodies and items"] = { topic = "seats" },
      ["One of body, bodies and items must"] = { topic = "seats", body = "x", items = { {} } },
      ["A message must be a text that is not empty"] = { topic = "seats", body = "" },
      ["A message must be a text"] = { topic = "seats", bodies = { "x", 7 } },
      ["262144 bytes at most"] = { topic = "seats", body = ("x"):rep(262145) },
      ["subject must have 1 to 100"] = { topic = "seats", body = "x", subject = ("x"):rep(101) },
      ["subject must have"] = { topic = "seats", body = "x", subject = "a\nb" },
      ["subject must be a string"] = { topic = "seats", body = "x", subject = 7 },
      ["items must be a list"] = { topic = "seats", items = "x" },
      ["organization_id must be digits"] = { topic = "seats", items = {}, organization_id = "a" },
      ["duplicate must be a number from 0 to 10"] = { topic = "seats", body = "x", duplicate = 11 },
      ["reorder_ms must be a whole number"] = { topic = "seats", body = "x", reorder_ms = 1.5 },
      ["age_s must be a number"] = { topic = "seats", body = "x", age_s = "old" },
      ["the key late is not known here"] = { topic = "seats", body = "x", late = 1 },
    } do
      it("not when " .. rule, function()
        local message = refused("POST", "publish", payload)
        assert.truthy(message:find(rule, 1, true), message)
        assert.equal(0, control("GET", "messages").published)
      end)
    end

    it("a message of the largest size", function()
      assert.equal(200, select(2, control("POST", "publish", { topic = "seats", body = ("x"):rep(262144) })))
    end)
  end)

  describe("and lists the newest", function()
    it("as far as it is asked to", function()
      control("POST", "subscriptions", subscribe())
      for i = 1, 3 do
        control("POST", "publish", { topic = "seats", body = ("%d"):format(i) })
      end
      local view = control("GET", "messages?limit=2")
      assert.equal(3, view.published)
      assert.same({ "2", "3" }, { view.messages[1].body, view.messages[2].body })
      view = control("GET", "deliveries?limit=2")
      assert.same({ 2, 3 }, { view.deliveries[1].number, view.deliveries[2].number })
      assert.equal(3, view.counts.queued)
      assert.same({}, control("GET", "deliveries?limit=0").deliveries)
    end)

    it("and a thousand messages at most", function()
      local bodies = {}
      for i = 1, 1001 do
        bodies[i] = ("%d"):format(i)
      end
      control("POST", "publish", { topic = "seats", bodies = bodies })
      local view = control("GET", "messages?limit=10000")
      assert.equal(1000, #view.messages)
      assert.equal("1001", view.messages[1000].body)
    end)

    for _, limit in ipairs { "-1", "x", "10001", "1.5" } do
      it("but not with the limit " .. limit, function()
        refused("GET", "messages?limit=" .. limit)
        refused("GET", "deliveries?limit=" .. limit)
      end)
    end
  end)

  describe("wrongly, by a plan:", function()
    -- What a hundred messages become.
    local function play(plan)
      here = desk.open { seed = "plan" }
      assert.equal(200, select(2, control("POST", "publish/plan", plan)))
      control("POST", "subscriptions", subscribe { mode = "envelope", confirmed = true })
      local bodies = {}
      for i = 1, 100 do
        bodies[i] = "text"
      end
      control("POST", "publish", { topic = "seats", bodies = bodies })
      return control("GET", "deliveries?limit=10000").deliveries
    end

    local function count(list, key)
      local found = 0
      for _, delivery in ipairs(list) do
        found = found + (delivery[key] and 1 or 0)
      end
      return found
    end

    it("some twice", function()
      local copies = count(play { duplicate = 0.3 }, "isCopy")
      assert.is_true(copies > 15 and copies < 45)
      assert.equal(200, #play({ duplicate = 1 }))
      assert.equal(300, #play({ duplicate = 2 }))
      assert.equal(100, #play({}))
    end)

    it("some beside a stale one with an id of its own", function()
      local list = play { late = 0.5 }
      local late = count(list, "isLate")
      assert.is_true(late > 30 and late < 70)
      local seen = {}
      for _, delivery in ipairs(list) do
        assert.is_nil(seen[delivery.messageId])
        seen[delivery.messageId] = true
      end
    end)

    it("some beside a forged one of any kind", function()
      local kinds = {}
      for _, delivery in ipairs(play { tamper = 1 }) do
        kinds[delivery.tamper or "none"] = true
      end
      for _, kind in ipairs(sns.TAMPERINGS) do
        assert.is_true(kinds[kind], kind)
      end
    end)

    it("in the same way for the same seed", function()
      local plan = { duplicate = 0.3, late = 0.1, tamper = 0.1, reorder_ms = 50 }
      assert.same(play(plan), play(plan))
      plan.seed = "another"
      local other = play(plan)
      plan.seed = nil
      assert.not_same(other, play(plan))
    end)

    it("until it is taken back", function()
      play { duplicate = 1 }
      assert.same({ duplicate = 1 }, (control("GET", "publish/plan")))
      assert.same({}, (control("DELETE", "publish/plan")))
      assert.equal(1, control("POST", "publish", { topic = "seats", body = "x" }).deliveries)
    end)

    for rule, plan in pairs { ["late must be a number from 0 to 1"] = { late = 2 },
      ["seed must be a string"] = { seed = 1 },
      ["tamper must be a number from 0 to 1"] = { tamper = "message" },
      ["the key drop is not known here"] = { drop = 1 } } do
      it("not when " .. rule, function()
        assert.truthy(refused("POST", "publish/plan", plan):find(rule, 1, true))
      end)
    end
  end)

  it("with ids that follow from the seed and the time of the start", function()
    local function first_id(options)
      here = desk.open(options)
      return control("POST", "publish", { topic = "seats", body = "x" }).messages[1]
    end
    local id = first_id { seed = "a" }
    assert.truthy(id:find("^%x+%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$"))
    assert.equal(36, #id)
    assert.equal(id, first_id { seed = "a" })
    assert.not_equal(id, first_id { seed = "b" })
    assert.not_equal(id, first_id { seed = "a", clock = function() return desk.NOW + 1 end })
  end)

  it("and forgets messages with a reset, but neither subscriptions nor which ids it gave", function()
    local subscription = control("POST", "subscriptions", subscribe())
    control("POST", "publish/plan", { duplicate = 1 })
    local id = control("POST", "publish", { topic = "seats", body = "x" }).messages[1]
    control("POST", "reset")
    assert.same({ subscription }, control("GET", "subscriptions").subscriptions)
    assert.same({ duplicate = 1 }, (control("GET", "publish/plan")))
    assert.equal(0, control("GET", "messages").published)
    assert.equal(0, control("GET", "deliveries").waiting)
    assert.not_equal(id, control("POST", "publish", { topic = "seats", body = "x" }).messages[1])
  end)

  it("at the time of the machine, whatever control calls do to the clock", function()
    control("POST", "clock", { advance_s = 86400 })
    control("POST", "publish", { topic = "seats", body = "x" })
    assert.equal("2023-11-14T22:13:20.250Z", control("GET", "messages").messages[1].timestamp)
  end)

  it("without opening a port for what stands for Amazon SNS, as long as it has none itself", function()
    local view, status = control("GET", "sns")
    assert.equal(200, status)
    assert.is_nil(view.connectTo)
    assert.same(sns.TOPICS, view.topics)
    local url = control("POST", "sns/rotate").certificateUrl
    assert.not_equal(view.certificateUrl, url)
  end)
end)
