--- `again = true` after an attempt of which nobody knows what became of it. That attempt may still be carried out, so
-- its doubt is not over when the next one fails, and what comes late about it counts.

local market = require("support.market")
local purchases = require("support.purchases")

local failed = purchases.failed

local REFUSED = '{"error":{"type":"UNPROCESSABLE_ENTITY","appErrorCode":"MS-422","developerMessage":"no"}}'
local WORD = "sent_again_on_the_word_of_the_caller"

describe("another attempt of a purchase", function()
  local desk, flows

  setup(function()
    desk = purchases.open()
  end)

  teardown(function()
    desk:close()
  end)

  before_each(function()
    desk:renew_store()
    desk:options({ pending_polls = 100, pending_s = 1000 })
    flows = desk:flows()
  end)

  after_each(function()
    desk:calm()
  end)

  -- A purchase whose order is done at the service after a thousand seconds, and whose answer is missing.
  local function lost(fault)
    local input, tokens, id = desk:input(1)
    desk:fault(fault or "reset=after")
    failed(nil, select(2, flows:buy(input)), "network", "unknown")
    assert.equal("in_doubt", flows:find(id).state)
    return input, tokens, id
  end

  local function insist(input)
    input.again = true
    local sold, err = flows:buy(input)
    input.again = nil
    return sold, err
  end

  -- The service does late what was asked for first, and says so.
  local function expect_sold_late(input, tokens, id)
    desk:pass(1000)
    assert.equal("sold", desk:state(tokens))
    assert(flows:on_callback(purchases.callback("P-late-" .. id, "COMPLETE", tokens)))
    flows:resume()
    local known = flows:find(id)
    assert.equal("done", known.state)
    assert.truthy(purchases.evidence(known, "callback_names_seats"))
    local orders = desk:count()
    assert.same(tokens, assert(flows:buy(input)).tokens)
    assert.equal(orders, desk:count())
    assert.equal(1, #desk:orders(id))
  end

  it("is not made when the one before turns out to be sold, be it after it was ended as not sold", function()
    local input, tokens, id = lost()
    desk:pass(905)
    flows:resume()
    assert.equal("failed", flows:find(id).state)
    desk:pass(200)
    local orders = desk:count()
    assert.same(tokens, assert(insist(input)).tokens)
    assert.equal(orders, desk:count())
    local known = flows:find(id)
    assert.equal("done", known.state)
    assert.equal(1, known.attempt)
    assert.is_nil(purchases.evidence(known, WORD))
  end)

  it("is made when nothing shows that the one before was sold, and the journal says on whose word", function()
    local input, tokens, id = lost("reset=before")
    desk:pass(905)
    flows:resume()
    assert.equal("failed", flows:find(id).state)
    desk:options({ pending_polls = 0 })
    assert.same(tokens, assert(insist(input)).tokens)
    local known = flows:find(id)
    assert.equal(2, known.attempt)
    assert.equal("done", known.state)
    assert.truthy(purchases.evidence(known.before[1], WORD))
    assert.equal(1, #desk:orders(id))
  end)

  local ENDS = {
    { name = "cannot read the owners", part = "verify", number = 2, answer = purchases.answer(422, REFUSED),
      kind = "http" },
    { name = "is refused", part = "complete%-order$", number = 1, answer = purchases.answer(422, REFUSED),
      kind = "http" },
    { name = "ends with ERROR", part = "complete%-order", is_always = true, kind = "http",
      answer = purchases.answer(200, '{"status":"ERROR","processId":"P-second"}') },
    { name = "sells nothing", part = "complete%-order", is_always = true, kind = "http",
      answer = purchases.answer(207, '{"status":"COMPLETE","processId":"P-second","failure":["TOKEN"]}') },
    { name = "cannot be sent", part = "complete%-order$", is_always = true, kind = "network",
      failure = { kind = "network", phase = "not_sent", message = "refused", elapsed_ms = 1, code = 7 } },
  }
  for _, case in ipairs(ENDS) do
    it("that " .. case.name .. " does not decide the one before", function()
      local input, tokens, id = lost()
      desk:pass(10)
      desk:answer(case.part, function(number)
        if number == case.number or case.is_always then
          local answer = case.answer
          return answer and purchases.answer(answer.status, (answer.body:gsub("TOKEN", tokens[1]))), case.failure
        end
      end)
      failed(nil, select(2, insist(input)), case.kind, "unknown")
      local known = flows:find(id)
      assert.equal("in_doubt", known.state)
      assert.equal(2, known.attempt)
      local orders = desk:count()
      failed(nil, select(2, flows:buy(input)), case.kind, "unknown")
      desk:calm()
      assert.equal(orders, desk:count(), "a plain repetition has sent an order")
      expect_sold_late(input, tokens, id)
    end)
  end

  it("that was ended by its evidence is opened again by a late callback about the one before", function()
    local input, tokens, id = lost()
    desk:pass(10)
    desk:answer("verify", function(number)
      return number == 2 and purchases.answer(422, REFUSED) or nil
    end)
    failed(nil, select(2, insist(input)), "http", "unknown")
    desk:calm()
    desk:pass(905)
    flows:resume()
    assert.equal("failed", flows:find(id).state)
    local orders = desk:count()
    failed(nil, select(2, flows:buy(input)), "http", "rejected")
    assert.equal(orders, desk:count(), "a plain repetition has sent an order")
    expect_sold_late(input, tokens, id)
  end)

  it("stops before its order when the one before is done meanwhile", function()
    local input, tokens, id = lost()
    desk:pass(100)
    local orders = desk:count()
    desk:answer("verify", function(number)
      if number == 2 then -- the first one has settled, the second one is to be the owners of before
        desk:advance_service(1000)
      end
    end)
    assert.same(tokens, assert(insist(input)).tokens)
    assert.equal(orders, desk:count())
    assert.equal("done", flows:find(id).state)
    assert.equal(1, #desk:orders(id))
  end)

  it("is not sold by the owners that the one before has changed, if that is not its own sale", function()
    local input, tokens, id = lost()
    desk:pass(100)
    desk:fault("reset=before")
    failed(nil, select(2, insist(input)), "network", "unknown")
    desk:pass(950)
    flows:resume()
    assert.equal("done", flows:find(id).state)
    assert.equal("sold", desk:state(tokens))
    assert.equal(1, #desk:orders(id))
  end)

  describe("of one whose process is known", function()
    local input, tokens, id, orders

    before_each(function()
      orders = desk:count() + 1
      input, tokens, id = desk:input(1)
      failed(nil, select(2, flows:buy(input)), "timeout", "unknown")
      assert.equal("in_doubt", flows:find(id).state)
    end)

    it("is refused while that says PENDING", function()
      local err = failed(nil, select(2, insist(input)), "timeout", "unknown")
      assert.equal("in_doubt", err.run.state)
      assert.equal(1, flows:find(id).attempt)
      assert.equal(orders, desk:count())
      desk:pass(1000)
      assert.same(tokens, assert(insist(input)).tokens)
      assert.equal(orders, desk:count())
    end)

    it("is refused while it cannot be asked for", function()
      desk:fault("status=500", "orders.status", 20)
      failed(nil, select(2, insist(input)), "timeout", "unknown")
      assert.equal(1, flows:find(id).attempt)
      assert.equal(orders, desk:count())
    end)

    it("goes on asking for it", function()
      desk:fault("status=404", "orders.status", 20)
      desk:answer("complete%-order$", function() return purchases.answer(422, REFUSED) end)
      failed(nil, select(2, insist(input)), "http", "unknown")
      desk:calm()
      assert.equal(2, flows:find(id).attempt)
      desk:pass(905)
      flows:resume()
      assert.equal("in_doubt", flows:find(id).state, "the process of the attempt before is still worked on")
      desk:pass(100)
      flows:resume()
      assert.equal("done", flows:find(id).state)
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.equal(orders, desk:count())
    end)
  end)

  it("has to be the same", function()
    local input, _, id = lost()
    local orders = desk:count()
    local function expect_refused(state)
      input.settlement.totalAmountPaid = input.settlement.totalAmountPaid + 1
      local err = failed(nil, select(2, insist(input)), "validation", "not_sent")
      assert.equal(state, err.run.state)
      assert.equal(state, flows:find(id).state)
    end
    expect_refused("in_doubt")
    desk:pass(905)
    flows:resume()
    expect_refused("failed")
    assert.equal(orders, desk:count())
  end)

  it("may differ where the one before was refused for certain", function()
    local input, tokens, id = desk:input(1)
    desk:answer("complete%-order$", function(number)
      return number == 1 and purchases.answer(422, REFUSED) or nil
    end)
    failed(nil, select(2, flows:buy(input)), "http", "rejected")
    desk:options({ pending_polls = 0 })
    input.settlement.totalAmountPaid = input.settlement.totalAmountPaid + 1
    assert.same(tokens, assert(insist(input)).tokens)
    assert.equal(2, flows:find(id).attempt)
  end)

  it("of a whole trade keeps the locks of the one before in mind", function()
    local tokens = desk.place:tokens(2)
    local order = market.order_payload(tokens, "L", "F")
    local input = { tokens = tokens, source = "MY_ACCOUNT", external_listing_id = "L-F", external_order_id = "F-1",
      price = 50, buyer = order.buyer, settlement = order.settlement }
    desk:fault("reset=before")
    failed(nil, select(2, flows:fulfil(input)), "network", "unknown")
    desk:pass(100)
    desk:answer("verify", function(number)
      return number == 2 and purchases.answer(422, REFUSED) or nil
    end)
    input.again = true
    failed(nil, select(2, flows:fulfil(input)), "http", "unknown")
    desk:calm()
    assert.equal("in_doubt", flows:find("F-1").state)
    assert.equal("locked", desk:state(tokens))
    desk:pass(905)
    flows:resume()
    assert.equal("failed", flows:find("F-1").state)
    assert.equal("open", desk:state(tokens))
    assert.same({}, flows:unfinished())
  end)
end)
