--- The whole trade as one run: when it is sold, everything of it is sold and printed; when it is not, nothing of it is
-- locked any more. Whatever happens in between.

local faulty_store = require("support.faulty_store")
local market = require("support.market")
local purchases = require("support.purchases")

-- Each of so many operations of the store fails once; a slowed-down run leaves some out.
local STRIDE = os.getenv("STORE_OPERATIONS") and 5 or 1
local LEASE_S, SETTLE_S = 120, 900

describe("a whole trade", function()
  local desk, flows, number, listings

  before_each(function()
    desk = purchases.open()
    flows, number = desk:flows(), 0
    listings = {}
    for _, listing in ipairs(desk.place.box:control("GET", "/_sandbox/world").listings) do
      listings[#listing.tokens] = listings[#listing.tokens] or listing
    end
  end)

  after_each(function()
    desk:close()
  end)

  local function with_order(input)
    number = number + 1
    input.external_listing_id, input.external_order_id = "L-" .. number, "F-" .. number
    input.price, input.total_fees = 50, 4
    input.buyer = market.order_payload({}, "", "").buyer
    input.settlement = { totalAmountPaid = 104, amountToSeller = 90 }
    return input, input.external_order_id
  end

  -- A trade with the seats of a MyAccount listing.
  local function of_listing(count)
    local listing = assert(listings[count], "no listing of that size")
    local input, id = with_order({ listing_id = listing.listingId })
    return input, listing.tokens, id
  end

  -- A trade of a broker with seats that nobody touched yet.
  local function of_broker(count)
    local tokens = desk.place:tokens(count)
    local input, id = with_order({ tokens = tokens, source = "BROKER", seller = market.seller() })
    return input, tokens, id
  end

  local function failed(input, kind, outcome)
    local result, err = flows:fulfil(input)
    return purchases.failed(result, err, kind, outcome)
  end

  local function state_of(id)
    return assert(flows:find(id)).state
  end

  local function expect_undone(tokens, id)
    assert.equal("failed", state_of(id))
    assert.equal("open", desk:state(tokens))
    assert.same({}, flows:unfinished())
    assert.equal("", desk:dump("paciolan/claim/") .. desk:dump("paciolan/open/"))
    assert.is_nil(purchases.personal_in(desk:dump()))
  end

  local function expect_sold(sold, tokens, id)
    assert.equal(id, sold.id)
    assert.same(tokens, sold.tokens)
    assert.equal(#tokens, #sold.tickets)
    assert.is_string(sold.tickets[#tokens].url)
    assert.equal("sold", desk:state(tokens))
    assert.equal(1, #desk:orders(id))
    assert.same({}, flows:unfinished())
    assert.is_nil(purchases.personal_in(desk:dump()))
  end

  it("lists, orders and prints what a MyAccount seller offers", function()
    local input, tokens, id = of_listing(2)
    expect_sold(assert(flows:fulfil(input)), tokens, id)
    local before = desk.place:ledger().requestCount
    expect_sold(assert(desk:flows():fulfil(input)), tokens, id)
    assert.equal(before, desk.place:ledger().requestCount)
    assert.equal("fulfil", flows:find(id).kind)
    assert.is_nil(flows:buy(market.order_payload(tokens, "L-1", id)))
  end)

  it("sells what a broker has, by tokens and by barcodes", function()
    local input, tokens, id = of_broker(3)
    expect_sold(assert(flows:fulfil(input)), tokens, id)
    local more, seats = desk.place:tokens(2)
    input, id = with_order({ barcodes = { seats[1].barcode, seats[2].barcode }, access_id = market.EVENT,
      source = "INDIVIDUAL", seller = market.seller() })
    expect_sold(assert(flows:fulfil(input)), more, id)
  end)

  it("takes more seats than one lock or one print does", function()
    local input, tokens, id = of_listing(120)
    expect_sold(assert(flows:fulfil(input)), tokens, id)
    assert.equal(2, desk:count("tickets.lock"))
    assert.equal(4, desk:count("tickets.print"))
  end)

  it("is not begun with what would be refused for certain", function()
    local input = of_listing(2)
    local before = desk.place:ledger().requestCount
    input.keep_partial = true
    local ok, problem = pcall(function() flows:fulfil(input) end)
    assert.is_false(ok)
    assert.matches("fulfil_spec.lua:%d+: workflows.fulfil: unknown option keep_partial; known are", problem)
    input.keep_partial, input.buyer = nil, { firstName = 1 }
    failed(input, "validation", "not_sent")
    input.buyer, input.external_order_id = nil, "F"
    ok, problem = pcall(function() flows:fulfil(input) end)
    assert.is_false(ok)
    assert.matches("fulfil_spec.lua:%d+: workflows.fulfil: buyer is required", problem)
    assert.equal(before, desk.place:ledger().requestCount)
    assert.equal("", desk:dump())
  end)

  it("unlocks everything when the order is refused", function()
    for _, fault in ipairs { "status=422", "error", "rate_limit=1" } do
      local input, tokens, id = of_broker(2)
      desk:fault(fault, "orders.complete", 20)
      failed(input, fault == "rate_limit=1" and "rate_limit" or "http", "rejected")
      desk:calm()
      expect_undone(tokens, id)
      failed(input, fault == "rate_limit=1" and "rate_limit" or "http", "rejected")
      assert.equal("open", desk:state(tokens))
    end
    local input, tokens, id = of_listing(120)
    desk:fault("status=422")
    failed(input, "http", "rejected")
    expect_undone(tokens, id)
    assert.equal(0, #desk:orders(id))
  end)

  it("unlocks everything when not all could be locked", function()
    local input, tokens, id = of_listing(120)
    assert(desk.link.tickets:lock(market.lock_payload({ tokens[119] }, "L-other")))
    failed(input, "partial", "not_sent")
    local others = {}
    for i, token in ipairs(tokens) do
      others[#others + 1] = i ~= 119 and token or nil
    end
    expect_undone(others, id)
    assert.equal("locked", desk:state({ tokens[119] }))
    assert.equal(0, desk:count())
  end)

  it("keeps an undo that fails, and resume ends it", function()
    local input, tokens, id = of_listing(120)
    desk:fault("status=422")
    desk:fault("status=503", "tickets.unlock", 50)
    local err = failed(input, "http", "rejected")
    assert.equal(422, err.status)
    assert.equal("undoing", err.run.state)
    local one = flows:unfinished()[1]
    assert.equal("undoing", one.state)
    assert.matches("Not sold; what was locked for it is being unlocked.", one.told, 1, true)
    assert.matches("HTTP 503", one.told, 1, true)
    one = flows:resume()[1]
    assert.equal("undoing", one.state)
    assert.equal("tickets.unlock", one.err.operation)
    desk:calm()
    assert.equal("failed", flows:resume()[1].state)
    expect_undone(tokens, id)
    assert.equal(422, failed(input, "http", "rejected").status)
  end)

  it("locks a broker's seat once more before an unlock whose answer is missing is sent again", function()
    local input, tokens, id = of_broker(2)
    desk:fault("status=422")
    desk:fault("reset=after", "tickets.unlock")
    failed(input, "http", "rejected")
    flows:resume()
    expect_undone(tokens, id)
    assert.equal(2, desk:count("tickets.lock"))
  end)

  it("unlocks what was not sold when a part of the order is", function()
    local input, tokens, id = of_broker(3)
    desk:fault("partial")
    local err = failed(input, "partial", nil)
    assert.same({ tokens[1], tokens[2] }, err.body.tokens)
    assert.equal(2, #err.body.tickets)
    assert.equal("done", state_of(id))
    assert.equal("sold", desk:state({ tokens[1], tokens[2] }))
    assert.equal("open", desk:state({ tokens[3] }))
    assert.same({}, flows:unfinished())
  end)

  it("says what was sold also when the rest cannot be unlocked, which resume does", function()
    local input, tokens, id = of_broker(3)
    desk:fault("partial")
    desk:fault("status=503", "tickets.unlock", 50)
    local err = failed(input, "partial", nil)
    assert.same({ tokens[1], tokens[2] }, err.body.tokens)
    assert.equal("undoing", err.run.state)
    assert.matches("A part was sold; the seats that were not are being unlocked.", err.run.told, 1, true)
    desk:calm()
    assert.equal("done", flows:resume()[1].state)
    assert.equal("open", desk:state({ tokens[3] }))
    assert.same(err.body.tokens, failed(input, "partial", nil).body.tokens)
    assert.equal(1, #desk:orders(id))
  end)

  it("keeps its seats as long as nobody knows whether they are sold, and unlocks them then", function()
    local input, tokens, id = of_broker(2)
    desk:fault("reset=before")
    failed(input, "network", "unknown")
    assert.equal("locked", desk:state(tokens))
    desk.clock:advance((SETTLE_S - 1) * 1000)
    assert.equal("in_doubt", flows:resume()[1].state)
    assert.equal("locked", desk:state(tokens))
    desk.clock:advance(1000)
    assert.equal("failed", flows:resume()[1].state)
    expect_undone(tokens, id)
  end)

  it("is found to be sold when the answer to its order is missing", function()
    local input, tokens, id = of_listing(120)
    desk:fault("reset=after")
    expect_sold(assert(flows:fulfil(input)), tokens, id)
  end)

  it("unlocks nothing that was sold meanwhile, and goes back into doubt", function()
    local input, tokens, id = of_broker(2)
    desk:options({ pending_polls = 100, pending_s = 86400 })
    desk:fault("reset=after")
    failed(input, "network", "unknown")
    desk.clock:advance(SETTLE_S * 1000)
    -- Unchanged owners, and still the order is being worked on: the unlock is refused, which tells.
    local one = flows:resume()[1]
    assert.equal("in_doubt", one.state, one.told)
    desk:advance_service(86400)
    assert.equal("done", flows:resume()[1].state)
    expect_sold(assert(flows:fulfil(input)), tokens, id)
  end)

  it("leaves no seat locked and no sale behind, wherever its journal fails", function()
    local function judge(place, input, tokens, id, result, err)
      local orders = desk:orders(id)
      assert.is_true(#orders <= 1, place)
      if result then
        assert.equal("COMPLETE", orders[1].status, place)
      elseif err and err.outcome == "not_sent" then
        assert.equal(0, #orders, place .. ": said not_sent")
      end
      desk.clock:advance((LEASE_S + SETTLE_S + 1) * 1000)
      local heir = desk:flows()
      for _ = 1, 6 do
        assert(heir:resume())
        desk.clock:advance(SETTLE_S * 1000)
      end
      assert.same({}, heir:unfinished(), place)
      local known, state = heir:find(id), desk:state(tokens)
      assert.equal(known and known.state == "done" and "sold" or "open", state, place)
      assert.is_true(#desk:orders(id) <= 1, place)
      if not known then
        assert.is_table(heir:fulfil(input), place)
      end
      assert.is_nil(purchases.personal_in(desk:dump()), place)
    end

    local function attempt(store, input)
      local trying = desk:flows({ store = store, lease_s = LEASE_S })
      local ok, result, err = pcall(trying.fulfil, trying, input)
      if ok then
        return result, err
      end
      assert.equal(faulty_store.RAISED, result)
      return nil, nil
    end

    local hooks = {
      fail = function(wanted) return function(_, _, count) return count == wanted and "fail" or nil end end,
      killed = function(wanted)
        return function(_, _, count) return count == wanted and "lost_raise" or count > wanted and "raise" or nil end
      end,
    }
    for _, fault in ipairs { "slow=1", "status=422", "reset=before" } do
      for name, hook_of in pairs(hooks) do
        local at, is_past = 1, false
        while not is_past do
          desk:renew_store()
          local store = faulty_store.new(desk.store)
          local input, tokens, id = of_broker(1)
          store.watch(hook_of(at))
          desk:fault(fault)
          local result, err = attempt(store, input)
          is_past, at = store.count < at, at + STRIDE
          desk:calm()
          judge(("%s, %s at operation %d"):format(fault, name, at - STRIDE), input, tokens, id, result, err)
        end
      end
    end
  end)
end)
