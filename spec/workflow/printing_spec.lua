--- The tickets of what is sold: whatever the service answers instead of them, it stays sold, and no ticket is lost.

local json = require("paciolan.json")
local market = require("support.market")
local purchases = require("support.purchases")

local failed = purchases.failed

local REFUSED = '{"error":{"type":"BAD_REQUEST","appErrorCode":"MS-400","developerMessage":"no"}}'

describe("the tickets of a purchase", function()
  local desk, flows

  setup(function()
    desk = purchases.open()
  end)

  teardown(function()
    desk:close()
  end)

  before_each(function()
    desk:renew_store()
    flows = desk:flows()
  end)

  after_each(function()
    desk:calm()
    desk:options({ pending_polls = 0, pending_s = 60 })
  end)

  -- How many print calls are made; their answers are what `change` says, or those of the service.
  local function prints(change)
    local seen = {}
    desk:answer("/print$", function(number, send, request)
      seen[number] = json.decode(request.body).tokens
      return change(number, send)
    end)
    return seen
  end

  local function expect_unprinted(input, count)
    local err = failed(nil, select(2, flows:buy(input)), "partial", nil)
    assert.is_true(err.retryable)
    assert.matches("the order is sold", err.message)
    assert.equal("running", err.run.state)
    assert.equal("print", err.run.step)
    assert.equal(count, #err.body.tickets)
    assert.equal(#input.listing.tokens, #err.body.tokens)
    assert.equal("COMPLETE", err.body.order.status)
    return err
  end

  local function expect_printed(input, tokens)
    local sold = assert(flows:buy(input))
    local printed = {}
    for _, ticket in ipairs(sold.tickets) do
      printed[ticket.token] = ticket.url
    end
    assert.equal(#tokens, #sold.tickets)
    for _, token in ipairs(tokens) do
      assert.is_string(printed[token])
    end
    assert.same({}, flows:unfinished())
  end

  for _, body in ipairs { '{}', '{"tickets":[]}', '{"tickets":"none"}', '{"tickets":[null,1,"x",{}]}',
    '{"tickets":[{"token":"another","url":"u"}]}' } do
    it("are asked for again where an answer is " .. body, function()
      local input, tokens = desk:input(2)
      local seen = prints(function() return purchases.answer(200, body) end)
      expect_unprinted(input, 0)
      assert.equal(1, #seen)
      desk:calm()
      assert.equal("done", flows:resume()[1].state)
      expect_printed(input, tokens)
    end)
  end

  it("are kept where an answer names some of them, and the others are asked for", function()
    local input, tokens, id = desk:input(3)
    local seen = prints(function(number)
      return number == 1 and purchases.answer(200, json.encode { tickets = { { token = tokens[2], url = "second" },
        { token = tokens[2], url = "twice" } } }) or nil
    end)
    expect_printed(input, tokens)
    assert.same({ tokens, { tokens[1], tokens[3] } }, seen)
    assert.equal("second", flows:find(id).result.tickets[1].url)
  end)

  it("are each printed once where the same ones are named for ever", function()
    local input, tokens = desk:input(2)
    local seen = prints(function()
      return purchases.answer(200, json.encode { tickets = { { token = tokens[1], url = "first" } } })
    end)
    expect_unprinted(input, 1)
    assert.same({ tokens, { tokens[2] } }, seen)
    assert.equal("running", flows:resume()[1].state)
    assert.equal(3, #seen)
    desk:calm()
    expect_printed(input, tokens)
  end)

  it("are kept where a part of them failed", function()
    local input, tokens = desk:input(3)
    local seen = prints(function(_, send)
      local answer = assert(send())
      local body = json.decode(answer.body)
      local failure = table.remove(body.tickets)
      body.failure = { { token = failure.token, status = "ERROR", type = "TOKEN_NOT_FOUND", appErrorCode = "MS-404" } }
      return purchases.answer(207, json.encode(body))
    end)
    expect_unprinted(input, 2)
    assert.equal(1, #seen)
    local summary = assert(flows:resume())[1]
    assert.equal(2, #summary.err.body.tickets)
    assert.same({ tokens[3] }, seen[2])
    desk:calm()
    expect_printed(input, tokens)
  end)

  describe("that are refused", function()
    local function refuse()
      prints(function() return purchases.answer(400, REFUSED) end)
    end

    it("can be given up by a person, and the seats are sold", function()
      local input, tokens, id = desk:input(3)
      prints(function(number)
        return number == 1 and purchases.answer(200, json.encode { tickets = { { token = tokens[1], url = "first" } } })
          or purchases.answer(400, REFUSED)
      end)
      expect_unprinted(input, 1)
      local settled = assert(flows:settle(id, { as = "done", because = "the box office prints them" }))
      assert.equal("done", settled.state)
      assert.same(tokens, settled.result.tokens)
      assert.equal(1, #settled.result.tickets)
      assert.matches("2 of its tickets could not be printed", settled.told, 1, true)
      assert.truthy(purchases.evidence(settled, "word_of_a_person"))
      assert.same(settled.result, assert(flows:buy(input)))
      assert.same({}, flows:unfinished())
      assert.equal("", desk:dump("paciolan/claim/"))
    end)

    it("stay for resume until a person says something", function()
      local input, tokens, id = desk:input(1)
      refuse()
      expect_unprinted(input, 0)
      for _ = 1, 3 do
        assert.equal("print", flows:resume()[1].step)
        assert.equal("running", flows:settle(id).state)
      end
      desk:calm()
      expect_printed(input, tokens)
    end)

    -- The service says COMPLETE of an order that it does not know of afterwards.
    local function pretend()
      desk:answer("complete%-order$", function()
        return purchases.answer(200, '{"status":"COMPLETE","processId":"P-pretended"}')
      end)
    end

    it("end as not sold on the word of a person, and hide the sale of nobody else", function()
      local input, tokens, id = desk:input(1)
      pretend()
      expect_unprinted(input, 0)
      desk:calm()
      assert.not_equal("", desk:dump("paciolan/sale/"))
      assert.equal("failed", flows:settle(id, { as = "failed", because = "the provider has no such order" }).state)
      failed(nil, select(2, flows:buy(input)), "canceled", "rejected")
      assert.equal("", desk:dump("paciolan/sale/") .. desk:dump("paciolan/claim/"))
      local other = market.order_payload(tokens, "L-" .. id, id .. "-other")
      assert.same(tokens, assert(flows:buy(other)).tokens)
    end)

    it("end a whole trade as not sold on the word of a person, and its seats are unlocked", function()
      local tokens = desk.place:tokens(2)
      local order = market.order_payload(tokens, "L", "F")
      pretend()
      failed(nil, select(2, flows:fulfil { tokens = tokens, source = "MY_ACCOUNT", external_listing_id = "L-F",
        external_order_id = "F-1", price = 50, buyer = order.buyer, settlement = order.settlement }), "partial", nil)
      desk:calm()
      assert.equal("locked", desk:state(tokens))
      assert.equal("failed", flows:settle("F-1", { as = "failed", because = "the provider has no such order" }).state)
      assert.equal("open", desk:state(tokens))
      assert.same({}, flows:unfinished())
    end)
  end)

  it("of a whole trade whose seats somebody else has by now end it on the word of a person, and nothing is unlocked",
    function()
      local tokens = desk.place:tokens(1)
      local order = market.order_payload(tokens, "L-G", "G-elsewhere")
      desk:fault("reset=before")
      failed(nil, select(2, flows:fulfil { tokens = tokens, source = "MY_ACCOUNT", external_listing_id = "L-G",
        external_order_id = "G-1", price = 50, buyer = order.buyer, settlement = order.settlement }), "network",
        "unknown")
      assert(desk.link.orders:complete(order))
      desk:fault("status=503", "tickets.print", 50)
      assert.equal("print", flows:resume()[1].step)
      desk:calm()
      local unlocks = desk:count("tickets.unlock")
      assert.equal("failed", flows:settle("G-1", { as = "failed", because = "sold to somebody else" }).state)
      assert.equal(unlocks, desk:count("tickets.unlock"))
      assert.equal("sold", desk:state(tokens))
      assert.same({}, flows:unfinished())
    end)

  it("of owners that have changed by something else leave nothing of a sale behind", function()
    local input, tokens, id = desk:input(1)
    desk:options({ pending_polls = 100, pending_s = 1000 })
    desk:fault("reset=before")
    failed(nil, select(2, flows:buy(input)), "network", "unknown")
    desk:options({ pending_polls = 0 })
    assert(desk.link.orders:complete(market.order_payload(tokens, "L-" .. id, id .. "-elsewhere")))
    flows:resume()
    local known = flows:find(id)
    assert.equal("in_doubt", known.state)
    assert.equal("settle", known.step)
    assert.truthy(purchases.evidence(known, "print_refused"))
    assert.equal("", desk:dump("paciolan/sale/"))
    assert.equal("failed", flows:settle(id, { as = "failed", because = "sold to somebody else" }).state)
    assert.same({}, flows:unfinished())
  end)
end)
