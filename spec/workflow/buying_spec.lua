--- Every way in which a purchase can end, against the sandbox, whose ledger says what was sold.

local faulty_store = require("support.faulty_store")
local json = require("paciolan.json")
local market = require("support.market")
local paciolan = require("paciolan")
local purchases = require("support.purchases")

local failed = purchases.failed

local CALLBACK_URL = "https://marketplace.example/callbacks/0123456789abcdef0123456789abcdef"

describe("a purchase", function()
  local desk, flows

  setup(function()
    desk = purchases.open()
  end)

  teardown(function()
    desk:close()
  end)

  before_each(function()
    desk:renew_store()
    desk.events = {}
    flows = desk:flows()
  end)

  after_each(function()
    desk:calm()
    desk:options({ pending_polls = 0, pending_s = 60 })
  end)

  local function state_of(id)
    return assert(flows:find(id)).state
  end

  local function has_evidence(id, what)
    for _, entry in ipairs(assert(flows:find(id)).evidence) do
      if entry.what == what then
        return entry
      end
    end
    return nil
  end

  -- Brings a purchase into doubt by a fault of its order.
  local function doubtful(fault, count)
    local input, tokens, id = desk:input(count or 1)
    desk:fault(fault)
    failed(nil, select(2, flows:buy(input)), "network", "unknown")
    assert.equal("in_doubt", state_of(id))
    return input, tokens, id
  end

  local function pass(seconds)
    desk.clock:advance(seconds * 1000)
    desk:advance_service(seconds)
  end

  -- The callback of an order as the receiver hands it over.
  local function callback(process_id, state, tokens)
    local seats = {}
    for i, token in ipairs(tokens or {}) do
      seats[i] = { token = token }
    end
    local body = { processId = process_id, status = state,
      offers = tokens and { { event = { name = "Game", seats = seats } } } or nil }
    return { process_id = process_id, state = state, body = body }
  end

  local function seat_message(token, status)
    local seat = desk.place:world()[token]
    return { accessId = seat.accessId, section = seat.section, row = seat.row, seat = seat.seat, status = status }
  end

  describe("that is answered at once", function()
    it("returns the order and the tickets", function()
      local input, tokens, id = desk:input(2)
      local sold, err = flows:buy(input)
      assert.is_nil(err)
      assert.equal(id, sold.id)
      assert.same(tokens, sold.tokens)
      assert.equal("COMPLETE", sold.order.status)
      assert.equal(sold.order.processId, sold.process_id)
      for i, ticket in ipairs(sold.tickets) do
        assert.equal(tokens[i], ticket.token)
        assert.is_string(ticket.url)
      end
      assert.equal("sold", desk:state(tokens))
      assert.equal("done", state_of(id))
      assert.same({}, flows:unfinished())
      assert.equal("", desk:dump("paciolan/claim/") .. desk:dump("paciolan/open/") .. desk:dump("paciolan/carrier/"))
    end)

    it("is returned again by a repeated call, which sends nothing", function()
      local input = desk:input(2)
      local sold = assert(flows:buy(input))
      local before = desk.place:ledger().requestCount
      assert.same(sold, assert(flows:buy(input)))
      assert.same(sold, assert(desk:flows():buy(json.decode(json.encode(input)))))
      assert.equal(before, desk.place:ledger().requestCount)
    end)

    it("refuses another payload under the same id", function()
      local input, _, id = desk:input(2)
      assert(flows:buy(input))
      input.settlement.totalAmountPaid = input.settlement.totalAmountPaid + 0.01
      local err = failed(nil, select(2, flows:buy(input)), "validation", "not_sent")
      assert.equal("done", err.run.state)
      assert.equal(1, #desk:orders(id))
    end)

    it("takes listing, buyer and settlement as lists too", function()
      local input, tokens, id = desk:input(1)
      local sold = assert(flows:buy { listing = { input.listing }, buyer = { input.buyer },
        settlement = { input.settlement } })
      assert.equal(id, sold.id)
      assert.equal("sold", desk:state(tokens))
    end)

    it("prints in portions of thirty", function()
      local input, tokens, id = desk:input(35)
      local sold = assert(flows:buy(input))
      assert.equal(35, #sold.tickets)
      local sizes = {}
      for _, entry in ipairs(desk.place:ledger().prints) do
        sizes[#sizes + 1] = entry.externalOrderId == id and #entry.tokens or nil
      end
      assert.same({ 30, 5 }, sizes)
      assert.equal("sold", desk:state(tokens))
    end)

    it("prints those of each organization for themselves", function()
      local mixed, others = desk.place:tokens(3), desk.place:tokens(2, "999:F30:F01")
      mixed[#mixed + 1] = others[1]
      table.insert(mixed, 1, others[2])
      local input, tokens, id = desk:input(mixed)
      local sold = assert(flows:buy(input))
      assert.equal(5, #sold.tickets)
      assert.same(tokens, sold.tokens)
      local sizes = {}
      for _, entry in ipairs(desk.place:ledger().prints) do
        sizes[#sizes + 1] = entry.externalOrderId == id and #entry.tokens or nil
      end
      table.sort(sizes)
      assert.same({ 2, 3 }, sizes)
    end)
  end)

  describe("that is refused", function()
    it("before anything is sent, where its payload breaks the contract", function()
      local input = desk:input(1)
      local before = desk.place:ledger().requestCount
      input.listing.externalOrderId = nil
      failed(nil, select(2, flows:buy(input)), "validation", "not_sent")
      input = desk:input(1)
      before = before + 1
      input.listing.tokens[2] = input.listing.tokens[1]
      failed(nil, select(2, flows:buy(input)), "validation", "not_sent")
      input.listing.tokens = {}
      failed(nil, select(2, flows:buy(input)), "validation", "not_sent")
      input.listing = { input.listing, input.listing }
      failed(nil, select(2, flows:buy(input)), "validation", "not_sent")
      assert.equal(before, desk.place:ledger().requestCount)
      assert.equal("", desk:dump())
    end)

    it("with misuse at the line of the caller", function()
      for _, input in ipairs { false, {}, { listing = 1 }, { listing = {}, buyer = {}, settlement = {}, other = 1 },
        { listing = {}, buyer = {}, settlement = {}, again = "yes" } } do
        local ok, problem = pcall(function() flows:buy(input) end)
        assert.is_false(ok)
        assert.matches("buying_spec.lua:%d+: ", problem)
      end
      assert.equal("", desk:dump())
    end)

    it("where the service does not know a token, before the order is sent", function()
      local input, _, id = desk:input(1)
      input.listing.tokens[2] = { token = "129UNKNOWN0000000", individualPrice = 50 }
      failed(nil, select(2, flows:buy(input)), "partial", "not_sent")
      assert.equal("failed", state_of(id))
      assert.same({}, desk:orders(id))
      assert.equal("", desk:dump("paciolan/claim/"))
    end)

    it("by 422, and a repeated call may try once more only on the caller's word", function()
      local input, tokens, id = desk:input(1)
      assert(desk.link.tickets:unlock({ tokens = tokens }))
      local err = failed(nil, select(2, flows:buy(input)), "http", "rejected")
      assert.equal(422, err.status)
      assert.same({ id = id, kind = "buy", state = "failed", told = err.run.told }, err.run)
      local again = failed(nil, select(2, flows:buy(input)), "http", "rejected")
      assert.equal(422, again.status)
      assert.equal(1, #desk:orders(id))
      assert.equal("", desk:dump("paciolan/claim/"))
      assert(desk.link.tickets:lock(market.lock_payload(tokens, "L-" .. id)))
      input.again = true
      assert.same(tokens, assert(flows:buy(input)).tokens)
      local known = flows:find(id)
      assert.equal(2, known.attempt)
      assert.equal("failed", known.before[1].state)
    end)

    it("by ERROR, at once and after PENDING", function()
      for polls = 0, 2, 2 do
        local input, tokens, id = desk:input(1)
        desk:options({ pending_polls = polls })
        desk:fault("error")
        failed(nil, select(2, flows:buy(input)), "http", "rejected")
        assert.equal("failed", state_of(id))
        assert.equal("locked", desk:state(tokens))
        assert.equal(1, #desk:orders(id))
      end
    end)

    it("while the owners cannot be read, and is free to be called again", function()
      local input, tokens, id = desk:input(1)
      desk:fault("status=503", "tickets.verify", 20)
      failed(nil, select(2, flows:buy(input)), "http", "not_sent")
      assert.equal("failed", state_of(id))
      desk:calm()
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.equal(1, #desk:orders(id))
      assert.equal(2, flows:find(id).attempt)
    end)

    it("when the connection was never made, and the next call sends it", function()
      local input, tokens, id = desk:input(1)
      desk:fault("rate_limit=1", "orders.complete", 20)
      local err = failed(nil, select(2, flows:buy(input)), "rate_limit", "rejected")
      assert.equal("failed", err.run.state)
      assert.same({}, desk:orders(id))
      assert.equal("locked", desk:state(tokens))
    end)
  end)

  describe("of which a part is sold", function()
    local function expect_part(input, tokens, id)
      local err = failed(nil, select(2, flows:buy(input)), "partial", nil)
      assert.same({ tokens[1] }, err.body.tokens)
      assert.equal(tokens[1], err.body.tickets[1].token)
      assert.equal(1, #err.body.tickets)
      assert.equal("done", err.run.state)
      assert.equal("sold", desk:state({ tokens[1] }))
      assert.equal("locked", desk:state({ tokens[2] }))
      local again = failed(nil, select(2, flows:buy(input)), "partial", nil)
      assert.same(err.body, again.body)
      assert.equal(1, #desk:orders(id))
      assert.same({}, flows:unfinished())
    end

    it("by 207 that is COMPLETE", function()
      local input, tokens, id = desk:input(2)
      desk:fault("partial")
      expect_part(input, tokens, id)
    end)

    it("by 207 that is PENDING first", function()
      local input, tokens, id = desk:input(2)
      desk:options({ pending_polls = 2 })
      desk:fault("partial")
      expect_part(input, tokens, id)
    end)
  end)

  describe("that is PENDING", function()
    it("is asked for until it is COMPLETE, at growing pauses", function()
      local input, tokens, id = desk:input(2)
      desk:fault("pending=3")
      local slept, polls = 0, desk:count("orders.status")
      desk.on_sleep = function(ms) slept = slept + ms end
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.equal(4, desk:count("orders.status") - polls)
      assert.equal(2000 + 4000 + 8000 + 16000, slept)
      assert.equal(1, #desk:orders(id))
    end)

    -- The sandbox does not print before the order is done in its own book.
    local function ends_with_callback(bring)
      local input, tokens, id = desk:input(1)
      local polls = desk:count("orders.status")
      input.settlement.asyncCallbackUrl = CALLBACK_URL
      desk:fault("pending=100")
      local receiver, has_come = desk:flows(), false
      bring(function(times)
        for _ = 1, has_come and 0 or times do
          desk:advance_service(60)
          assert(receiver:on_callback(callback(desk:orders(id)[1].processId, "COMPLETE", tokens)))
        end
        has_come = true
        assert(receiver:on_callback(callback(desk:orders(id)[1].processId, "PENDING")))
      end)
      local sold, err = flows:buy(input)
      desk:calm()
      assert.same(tokens, assert(sold, tostring(err)).tokens)
      assert.equal(polls, desk:count("orders.status"))
      assert.equal(1, #desk:orders(id))
      assert.equal("done", state_of(id))
      assert(receiver:on_callback(callback(desk:orders(id)[1].processId, "COMPLETE", tokens)))
      assert.same({}, flows:unfinished())
    end

    it("ends with a callback that comes before the answer", function()
      ends_with_callback(function(deliver)
        desk.on_answer = function(_, path)
          if path == "/v1/cart/complete-order" then
            deliver(1)
          end
        end
      end)
    end)

    it("ends with a callback that comes while it waits, be it repeated", function()
      for times = 1, 2 do
        ends_with_callback(function(deliver)
          desk.on_sleep = function() deliver(times) end
        end)
      end
    end)

    it("ends with a callback that a receiver takes", function()
      local input, tokens, id = desk:input(1)
      desk:fault("pending=100")
      local receiver = paciolan.receiver { callback = { path = "/callbacks/0123456789abcdef0123456789abcdef" },
        mode = "direct", basic_auth = { user = "partner", password = "correct horse" }, store = desk.store,
        on_seat = function(item, message) return desk:flows():on_seat(item, message) end,
        on_callback = function(result, request) return desk:flows():on_callback(result, request) end }
      local status
      desk.on_sleep = function()
        desk:advance_service(60)
        local process_id = desk:orders(id)[1].processId
        status = receiver:handle({ method = "POST", path = "/callbacks/0123456789abcdef0123456789abcdef",
          headers = { ["content-type"] = "application/json" }, remote_address = "127.0.0.1",
          body = json.encode({ status = "COMPLETE", processId = process_id }) }).status
      end
      local polls = desk:count("orders.status")
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.equal(204, status)
      assert.equal(polls, desk:count("orders.status"))
    end)

    it("ends as not sold by a callback that says ERROR", function()
      local input, _, id = desk:input(1)
      desk:fault("pending=100")
      desk.on_sleep = function()
        desk:flows():on_callback(callback(desk:orders(id)[1].processId, "ERROR"))
      end
      failed(nil, select(2, flows:buy(input)), "http", "rejected")
      assert.equal("failed", state_of(id))
    end)

    it("does not listen to the callback of another process", function()
      local input, tokens, id = desk:input(1)
      desk:fault("pending=2")
      desk.on_sleep = function()
        assert(desk:flows():on_callback(callback("abcdef", "ERROR")))
        assert(desk:flows():on_callback(callback("abcdee", "COMPLETE", { "129SOMETHINGELSE0" })))
      end
      local polls = desk:count("orders.status")
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.equal(3, desk:count("orders.status") - polls)
      assert.equal(1, #desk:orders(id))
    end)

    it("is in doubt when the time has passed, and goes on from there", function()
      local input, tokens, id = desk:input(1)
      desk:fault("pending=100")
      local err = failed(nil, select(2, flows:buy(input)), "timeout", "unknown")
      assert.equal("in_doubt", err.run.state)
      assert.is_false(err.retryable)
      assert.equal(err.run.told, flows:unfinished()[1].told)
      assert.matches("works on it as process " .. desk:orders(id)[1].processId, err.run.told, 1, true)
      assert.equal("in_doubt", flows:resume()[1].state)
      pass(60)
      assert.equal("done", flows:resume()[1].state)
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.equal(1, #desk:orders(id))
    end)

    it("is not sold by unchanged owners while its process is known and cannot be asked", function()
      local input, tokens, id = desk:input(1)
      desk:fault("pending=999")
      desk:options({ pending_s = 86400 })
      failed(nil, select(2, flows:buy(input)), "timeout", "unknown")
      desk.clock:advance(3600 * 1000)
      desk:fault("status=503", "orders.status", 50)
      assert.equal("in_doubt", flows:resume()[1].state)
      desk:calm()
      assert.equal("in_doubt", flows:settle(id).state)
      desk:options({ pending_s = 60 })
      pass(86400)
      assert.equal("done", flows:settle(id).state)
      assert.equal("sold", desk:state(tokens))
    end)

    it("asks once and waits for nothing while it is resumed", function()
      local input, _, id = desk:input(1)
      desk:fault("pending=100")
      desk.on_sleep = function() error("killed", 0) end
      assert.is_false(pcall(flows.buy, flows, input))
      local slept = 0
      desk.on_sleep = function(ms) slept = slept + ms end
      local polls = desk:count("orders.status")
      local one = flows:resume()[1]
      assert.equal(id, one.id)
      assert.equal("in_doubt", one.state)
      assert.equal(0, slept)
      assert.equal(polls + 1, desk:count("orders.status"))
      pass(60)
      assert.equal("done", flows:resume()[1].state)
    end)
  end)

  describe("whose answer is missing", function()
    local AFTER = { "reset=after", "close=after", "truncate", "truncate=20", "status=503;after", "html=502;after",
      "empty=200;after" }
    local BEFORE = { "reset=before", "close=before" }

    it("is found to be sold by its owners at once, whichever way the answer got lost", function()
      for _, fault in ipairs(AFTER) do
        local input, tokens, id = desk:input(2)
        desk:fault(fault)
        local sold, err = flows:buy(input)
        assert.same(tokens, assert(sold, fault .. ": " .. tostring(err)).tokens)
        assert.is_string(sold.tickets[2].url)
        assert.is_table(has_evidence(id, "owners_changed"))
        assert.equal(1, #desk:orders(id))
        assert.equal("", desk:dump("paciolan/claim/"))
      end
    end)

    it("is found to be sold later, when nothing can be found out at first", function()
      local input, tokens, id = desk:input(2)
      desk.on_answer = function(_, path)
        if path == "/v1/cart/complete-order" then
          desk:fault("status=503", "tickets.verify", 50)
        end
      end
      desk:fault("reset=after")
      local err = failed(nil, select(2, flows:buy(input)), "network", "unknown")
      assert.is_false(err.retryable)
      assert.equal("in_doubt", err.run.state)
      assert.matches("nobody can say yet whether it was sold", err.run.told, 1, true)
      assert.matches("the owners could not be read", err.run.told, 1, true)
      assert.is_nil(purchases.personal_in(desk:dump()))
      desk:calm()
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.equal(1, #desk:orders(id))
    end)

    it("is not sold by unchanged owners before settle_after_s, and is from then on", function()
      for _, fault in ipairs(BEFORE) do
        local input, tokens, id = desk:input(1)
        desk:fault(fault)
        failed(nil, select(2, flows:buy(input)), "network", "unknown")
        assert.same({}, desk:orders(id))
        pass(899)
        assert.equal("in_doubt", flows:settle(id).state)
        assert.equal(2, has_evidence(id, "owners_unchanged").times)
        failed(nil, select(2, flows:buy(input)), "network", "unknown")
        pass(1)
        local decided = flows:settle(id)
        assert.equal("failed", decided.state)
        assert.equal(4, has_evidence(id, "owners_unchanged").times)
        assert.equal(900, has_evidence(id, "owners_unchanged").after_s)
        failed(nil, select(2, flows:buy(input)), "network", "rejected")
        assert.same({}, desk:orders(id))
        assert.equal("locked", desk:state(tokens))
        assert.same({}, flows:unfinished())
        assert.equal("", desk:dump("paciolan/claim/"))
      end
    end)

    it("is sold when an order that was lost while PENDING is committed later", function()
      local input, tokens, id = desk:input(2)
      desk:options({ pending_polls = 100 })
      desk:fault("reset=after")
      failed(nil, select(2, flows:buy(input)), "network", "unknown")
      assert.equal("ordered", desk:state(tokens))
      assert.equal("in_doubt", flows:resume()[1].state)
      pass(60)
      assert.equal("done", flows:resume()[1].state)
      assert.equal("sold", desk:state(tokens))
      assert.equal(1, #desk:orders(id))
      assert.same(tokens, assert(flows:buy(input)).tokens)
    end)

    it("stays undecided where the service names other owners for some seats only", function()
      local _, tokens, id = doubtful("reset=before", 2)
      desk.place.box:control("GET", "/_sandbox/world")
      assert(desk.link.tickets:unlock({ tokens = { tokens[2] } }))
      assert(desk.link.tickets:lock(market.lock_payload({ tokens[2] }, "L-other")))
      assert(desk.link.orders:complete(market.order_payload({ tokens[2] }, "L-other", "O-other-" .. id)))
      assert.equal("in_doubt", flows:settle(id).state)
      assert.is_table(has_evidence(id, "some_owners_changed"))
    end)

    it("goes back into doubt when owners changed by a sale of somebody else", function()
      local input, tokens, id = doubtful("reset=before", 1)
      assert(desk.link.tickets:unlock({ tokens = tokens }))
      assert(desk.link.tickets:lock(market.lock_payload(tokens, "L-thief")))
      assert(desk.link.orders:complete(market.order_payload(tokens, "L-thief", "O-thief")))
      assert.equal("in_doubt", flows:settle(id).state)
      assert.is_table(has_evidence(id, "print_refused"))
      failed(nil, select(2, flows:buy(input)), "network", "unknown")
      assert.same({}, desk:orders(id))
      -- A person's word that it is sold stands, whatever the print says.
      local decided = flows:settle(id, { as = "done", because = "the box office says so" })
      assert.equal("running", decided.state)
      assert.equal("print", decided.step)
      failed(nil, select(2, flows:buy(input)), "partial", nil)
      assert.equal("running", flows:resume()[1].state)
    end)

    it("is not sold on the word of a person where another order was the sale", function()
      local _, tokens, id = doubtful("reset=before", 1)
      assert(desk.link.tickets:unlock({ tokens = tokens }))
      assert(desk.link.tickets:lock(market.lock_payload(tokens, "L-thief-" .. id)))
      assert(desk.link.orders:complete(market.order_payload(tokens, "L-thief-" .. id, "O-thief-" .. id)))
      assert.equal("in_doubt", flows:settle(id).state)
      local decided = flows:settle(id, { as = "failed", because = "the box office says it was another order" })
      assert.equal("failed", decided.state)
      assert.equal("", desk:dump("paciolan/claim/"))
    end)

    it("is settled by a callback that names its seats", function()
      local input, tokens, id = desk:input(1)
      input.settlement.asyncCallbackUrl = CALLBACK_URL
      desk:options({ pending_polls = 100 })
      desk:fault("reset=after")
      failed(nil, select(2, flows:buy(input)), "network", "unknown")
      pass(60)
      local process_id = desk:orders(id)[1].processId
      assert(flows:on_callback(callback(process_id, "COMPLETE", tokens)))
      local decided = flows:settle(id)
      assert.equal("done", decided.state)
      assert.equal(process_id, decided.process_id)
      assert.is_table(has_evidence(id, "callback_names_seats"))
    end)

    it("is not settled by the callback of an earlier sale of the same seat", function()
      local input, tokens, id = desk:input(1)
      assert(flows:on_callback(callback("before", "COMPLETE", tokens)))
      desk.clock:advance(3600 * 1000)
      desk:fault("reset=before")
      failed(nil, select(2, flows:buy(input)), "network", "unknown")
      assert.equal("in_doubt", flows:settle(id).state)
      assert.is_nil(has_evidence(id, "callback_names_seats"))
    end)

    it("is opened again by a late callback or message, once it was ended as not sold", function()
      for _, what in ipairs { "callback", "seat" } do
        local input, tokens, id = desk:input(1)
        desk:options({ pending_polls = 100, pending_s = 86400 })
        desk:fault("reset=after")
        failed(nil, select(2, flows:buy(input)), "network", "unknown")
        desk.clock:advance(900 * 1000)
        assert.equal("failed", flows:settle(id).state)
        failed(nil, select(2, flows:buy(input)), "network", "rejected")
        desk:advance_service(86400) -- only now the service does it
        assert.equal("sold", desk:state(tokens))
        if what == "callback" then
          assert(flows:on_callback(callback(desk:orders(id)[1].processId, "COMPLETE", tokens)))
        else
          assert(flows:on_seat(seat_message(tokens[1], "UNLOCK")))
        end
        assert.equal(1, #flows:unfinished(), what)
        assert.equal("done", flows:resume()[1].state, what)
        assert.same(tokens, assert(flows:buy(input)).tokens)
        assert.equal(1, #desk:orders(id))
      end
    end)

    it("is not touched by callbacks and messages that do not concern it", function()
      local _, tokens, id = desk:input(1)
      local input = desk:input(1)
      assert(flows:buy(input))
      local before = desk:dump("paciolan/run/")
      assert(flows:on_callback(callback("123456", "COMPLETE", tokens)))
      assert(flows:on_seat(seat_message(tokens[1], "UNLOCK")))
      assert(flows:on_seat(seat_message(input.listing.tokens[1].token, "UNLOCK")))
      assert(flows:on_seat({ accessId = "129:FB30:FB01" }))
      assert.equal(before, desk:dump("paciolan/run/"))
      assert.is_nil(flows:find(id))
    end)

    it("is sent once more on the caller's word, unless it is found to be sold", function()
      local input, tokens, id = doubtful("reset=before")
      input.again = true
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.equal(1, #desk:orders(id))
      local known = flows:find(id)
      assert.equal(2, known.attempt)
      assert.equal("in_doubt", known.before[1].state)
      desk:options({ pending_polls = 100 })
      input, tokens, id = doubtful("reset=after")
      pass(60)
      input.again = true
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.equal(1, #desk:orders(id))
      assert.equal(1, flows:find(id).attempt)
    end)

    it("is decided by a person, with his reason in the evidence", function()
      local input, tokens, id = doubtful("reset=before")
      assert.has_error(function() flows:settle(id, { as = "done" }) end)
      assert.has_error(function() flows:settle(id, { as = "maybe", because = "x" }) end)
      local decided = flows:settle(id, { as = "failed", because = "seen at the box office" })
      assert.equal("failed", decided.state)
      local word = has_evidence(id, "word_of_a_person")
      assert.equal("failed", word.as)
      assert.equal("seen at the box office", word.because)
      failed(nil, select(2, flows:buy(input)), "canceled", "rejected")
      assert.equal("locked", desk:state(tokens))
      desk:options({ pending_polls = 100 })
      input, tokens, id = doubtful("reset=after")
      pass(60)
      assert.equal("done", flows:settle(id, { as = "done", because = "sold" }).state)
      assert.same(tokens, assert(flows:buy(input)).tokens)
    end)

    it("cannot be decided by a person when it is not in doubt", function()
      local input, _, id = desk:input(1)
      assert(flows:buy(input))
      assert.equal("done", flows:settle(id, { as = "failed", because = "x" }).state)
      local none, err = flows:settle("O-nowhere")
      failed(none, err, "validation", "not_sent")
    end)
  end)

  describe("that is being ended as not sold", function()
    -- The order is committed by the service after `settle_after_s`, just while its run is ended.
    local function end_while(prepare)
      local input, tokens, id = desk:input(1)
      desk:options({ pending_polls = 100, pending_s = 86400 })
      desk:fault("reset=after")
      failed(nil, select(2, flows:buy(input)), "network", "unknown")
      desk.clock:advance(900 * 1000)
      local store = faulty_store.new(desk.store)
      local heir = desk:flows({ store = store })
      local answers = {}
      local function deliver()
        store.after = nil
        desk:advance_service(86400)
        local result = callback(desk:orders(id)[1].processId, "COMPLETE", tokens)
        answers[1], answers[2] = desk:flows():on_callback(result)
        answers.again = function() return flows:on_callback(result) end
      end
      prepare(store, deliver)
      local decided = assert(heir:settle(id))
      return decided, answers, tokens, id
    end

    it("and opened again by who ends it, when the callback comes before that is written", function()
      local decided, answers, tokens, id = end_while(function(store, deliver)
        local writes = 0
        store.watch(function(method, key)
          writes = writes + (method == "replace" and key:find("^paciolan/run/") and 1 or 0)
          if writes == 2 then -- the first one is the step that reads the owners
            writes = 3
            deliver()
          end
        end)
      end)
      assert.is_true(answers[1])
      assert.equal("done", decided.state)
      assert.equal("sold", desk:state(tokens))
      assert.equal(1, #desk:orders(id))
      assert.is_table(has_evidence(id, "callback_came"))
    end)

    it("and refuses the callback for a moment, when it comes behind that", function()
      local decided, answers, tokens, id = end_while(function(store, deliver)
        local has_ended = false
        store.after = function(method, key)
          if has_ended and method == "get" and key:find("^paciolan/callback") then
            deliver() -- behind the last look at what has come meanwhile
          end
          has_ended = has_ended or (method == "remove" and key:find("^paciolan/open/") ~= nil)
        end
      end)
      assert.equal("failed", decided.state)
      assert.is_nil(answers[1])
      assert.equal("canceled", answers[2].kind)
      assert.is_true(answers.again())
      assert.equal("done", flows:resume()[1].state)
      assert.equal("sold", desk:state(tokens))
      assert.equal(1, #desk:orders(id))
    end)

    it("lets a message about its seat come again while it is carried", function()
      local _, tokens, id = doubtful("reset=before")
      local run = assert(flows.journal:claim("order", id))
      local done, err = flows:on_seat(seat_message(tokens[1], "UNLOCK"))
      failed(done, err, "canceled", "unknown")
      local settled, busy = flows:settle(id)
      failed(settled, busy, "canceled", "unknown")
      assert.equal(id, busy.run.id)
      run:release()
      assert.is_true(flows:on_seat(seat_message(tokens[1], "UNLOCK")))
      assert.equal("in_doubt", state_of(id))
      assert.equal(1, has_evidence(id, "seat_message").times)
    end)
  end)

  describe("whose tickets cannot be printed", function()
    it("says that it is sold, and is ended by resume", function()
      local input, tokens, id = desk:input(35)
      desk:fault("status=503", "tickets.print", 50)
      local err = failed(nil, select(2, flows:buy(input)), "partial", nil)
      assert.same(tokens, err.body.tokens)
      assert.equal("COMPLETE", err.body.order.status)
      assert.is_true(err.retryable)
      assert.matches("the order is sold", err.message)
      assert.equal("running", err.run.state)
      assert.equal("print", err.run.step)
      assert.matches("Sold; the tickets are being printed.", flows:unfinished()[1].told, 1, true)
      assert.matches("failed with http (HTTP 503)", flows:unfinished()[1].told, 1, true)
      desk:calm()
      assert.equal("done", flows:resume()[1].state)
      assert.equal(35, #assert(flows:buy(input)).tickets)
      assert.equal(1, #desk:orders(id))
    end)

    it("keeps those that were printed", function()
      local input, _, id = desk:input(35)
      local first = true
      desk.on_answer = function(_, path)
        if first and path == "/v1/tickets/print" then
          first = false
          desk:fault("reset=before", "tickets.print", 50)
        end
      end
      local err = failed(nil, select(2, flows:buy(input)), "partial", nil)
      assert.equal(30, #err.body.tickets)
      desk:calm()
      assert.equal(35, #assert(flows:buy(input)).tickets)
      local sizes = {}
      for _, entry in ipairs(desk.place:ledger().prints) do
        sizes[#sizes + 1] = entry.externalOrderId == id and #entry.tokens or nil
      end
      assert.same({ 30, 5 }, sizes)
    end)
  end)

  describe("beside another one", function()
    it("of the same seat is refused before its order, until the first has ended", function()
      local first, tokens, id = doubtful("reset=before")
      local second = market.order_payload(tokens, first.listing.externalListingId, "O-second-" .. id)
      local err = failed(nil, select(2, flows:buy(second)), "validation", "not_sent")
      assert.matches(id, err.message, 1, true)
      assert.same({}, desk:orders("O-second-" .. id))
      pass(900)
      assert.equal("failed", flows:settle(id).state)
      assert.same(tokens, assert(flows:buy(second)).tokens)
      assert.equal("", desk:dump("paciolan/claim/"))
    end)

    it("does not pass its sale for that of the other, which a late callback opens again", function()
      local first, tokens, id = doubtful("reset=before")
      pass(900)
      assert.equal("failed", flows:settle(id).state)
      local second = market.order_payload(tokens, first.listing.externalListingId, "O-second-" .. id)
      assert(flows:buy(second))
      assert(flows:on_seat(seat_message(tokens[1], "UNLOCK")))
      assert.equal("failed", flows:resume()[1].state)
      failed(nil, select(2, flows:buy(first)), "network", "rejected")
    end)

    it("is not looked at by owners while the other one is under way", function()
      local first, tokens, id = doubtful("reset=before")
      pass(900)
      assert.equal("failed", flows:settle(id).state)
      local second = market.order_payload(tokens, first.listing.externalListingId, "O-second-" .. id)
      desk:options({ pending_polls = 100 })
      desk:fault("reset=after")
      failed(nil, select(2, flows:buy(second)), "network", "unknown")
      pass(60)
      assert(flows:on_seat(seat_message(tokens[1], "UNLOCK")))
      assert.equal("in_doubt", flows:settle(id).state)
      assert.equal("O-second-" .. id, has_evidence(id, "seat_in_another_purchase").id)
      assert.is_nil(has_evidence(id, "print_refused"))
      assert.equal("done", flows:settle("O-second-" .. id).state)
      pass(900)
      assert.equal("failed", flows:settle(id).state)
      assert.is_nil(has_evidence(id, "print_refused"))
    end)

    it("runs in a task, and of two with the same id one carries it", function()
      local tasks, inputs = {}, {}
      for i = 1, 6 do
        inputs[i] = desk:input(1)
        tasks[2 * i - 1] = function() return flows:buy(inputs[i]) end
        tasks[2 * i] = tasks[2 * i - 1]
      end
      desk:options({ pending_polls = 2 })
      local kinds = {}
      for i, entry in ipairs(paciolan.concurrent(tasks, { limit = #tasks })) do
        local kind = entry[1] and "sold" or entry[2].kind
        kinds[math.ceil(i / 2)] = (kinds[math.ceil(i / 2)] or "") .. kind .. " "
      end
      for i = 1, 6 do
        assert.equal("sold canceled ", kinds[i])
        assert.equal(1, #desk:orders(inputs[i].listing.externalOrderId))
        assert.is_table(flows:buy(inputs[i]))
      end
    end)

    it("gives all its seats back when one of them is taken", function()
      local _, tokens, id = doubtful("reset=before")
      local input, more = desk:input(2)
      input.listing.tokens[3] = { token = tokens[1], individualPrice = 50 }
      failed(nil, select(2, flows:buy(input)), "validation", "not_sent")
      local claims = desk:dump("paciolan/claim/")
      assert.matches(tokens[1], claims, 1, true)
      assert.is_nil(claims:find(more[1], 1, true))
      assert.is_nil(claims:find(more[2], 1, true))
      assert.equal("in_doubt", state_of(id))
    end)
  end)

  describe("in the journal", function()
    it("is personal only until it is answered", function()
      local input, _, id = desk:input(1)
      local during
      desk.on_send = function(_, path)
        if path == "/v1/cart/complete-order" then
          during = desk:dump("paciolan/run/")
        end
      end
      desk:fault("pending=2")
      local waiting
      desk.on_sleep = function() waiting = desk:dump("paciolan/run/") end
      assert(flows:buy(input))
      assert.equal("Tony", purchases.personal_in(during))
      assert.is_nil(purchases.personal_in(waiting), "while PENDING")
      assert.is_nil(purchases.personal_in(desk:dump()))
      local known = flows:find(id)
      assert.is_nil(purchases.personal_in(json.encode(known)))
    end)

    it("puts nothing personal and no token of a seat into words, errors and events", function()
      local ends = { "reset=after", "reset=before", "status=503;after", "error", "partial", "pending=1", "truncate" }
      for _, fault in ipairs(ends) do
        local input, tokens = desk:input(2)
        desk:fault(fault)
        local _, err = flows:buy(input)
        flows:resume()
        local texts = { err and tostring(err) or "", err and json.encode(err.run or {}) or "" }
        for _, run in ipairs(flows:unfinished()) do
          texts[#texts + 1] = json.encode(run)
        end
        local id = input.listing.externalOrderId
        local known = flows:find(id)
        texts[#texts + 1] = known.told .. json.encode(known.evidence) .. json.encode(known.steps)
        texts[#texts + 1] = json.encode(desk.events)
        local all = table.concat(texts, "\n")
        assert.is_nil(purchases.personal_in(all), fault)
        for _, token in ipairs(tokens) do
          assert.is_nil(all:find(token, 1, true), fault)
        end
        assert.is_nil(all:find(desk.place.box.api_key, 1, true))
      end
    end)

    it("is found by its id for as long as keep_s", function()
      flows = desk:flows({ keep_s = 3600 })
      local input, _, id = desk:input(1)
      assert(flows:buy(input))
      assert.equal("done", flows:find(id).state)
      assert.equal("buy", flows:find(id, { kind = "buy" }).kind)
      assert.is_nil(flows:find(id, { kind = "fulfil" }))
      assert.is_nil(flows:find("O-nowhere"))
      assert.has_error(function() flows:find() end)
      assert.has_error(function() flows:find(id, { kind = "loan" }) end)
      pass(3600)
      assert.is_nil(flows:find(id))
    end)

    it("keeps its order in mind however often it is looked at", function()
      local input, _, id = doubtful("reset=before")
      desk:fault("status=404", "tickets.verify", 10000)
      for _ = 1, 250 do
        assert.equal("in_doubt", flows:settle(id).state)
      end
      desk:calm()
      local names = {}
      for _, entry in ipairs(flows:find(id).steps) do
        names[entry.name] = true
      end
      assert.is_true(names.order)
      assert.is_true(#flows:find(id).steps <= 200)
      pass(900)
      assert.equal("failed", flows:settle(id).state)
      failed(nil, select(2, flows:buy(input)), "network", "rejected")
      assert.same({}, desk:orders(id))
    end)
  end)

  it("that a dead process left before its order is sent by resume, but not when it is late", function()
    for _, seconds in ipairs { 3600, 3601 } do
      local input, tokens, id = desk:input(1)
      local store = faulty_store.new(desk.store)
      store.watch(function(method, key)
        return method == "replace" and key:find("^paciolan/run/") and "raise" or nil
      end)
      assert.has_error(function() desk:flows({ store = store }):buy(input) end)
      local one = flows:unfinished()[1]
      assert.equal("running", one.state)
      assert.matches("The owners of the seats are being read; the order was not sent.", one.told, 1, true)
      assert.equal("Tony", purchases.personal_in(desk:dump()))
      desk.clock:advance(seconds * 1000)
      one = flows:resume()[1]
      assert.equal(seconds == 3600 and "done" or "failed", one.state)
      assert.equal(seconds == 3600 and 1 or 0, #desk:orders(id))
      assert.equal(seconds == 3600 and "sold" or "locked", desk:state(tokens))
      assert.is_nil(purchases.personal_in(desk:dump()))
    end
  end)
end)
