--- Runs that meet: one piece of work is undecided while another one is about the same seats, and what is said of the
-- one must not be taken for the end of the other.

local market = require("support.market")
local purchases = require("support.purchases")

local REFUSED = '{"error":{"type":"UNPROCESSABLE_ENTITY","appErrorCode":"MS-422","developerMessage":"no"}}'
local DIED = "the process died"

describe("runs that meet", function()
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
    desk.on_answer = nil
  end)

  local function offer_of(tokens, order_id, id)
    local payload = market.items_payload(desk.place:world()[tokens[1]].ownerId, order_id, tokens)
    payload.transferRequests[1].externalTransferId = id
    return payload
  end

  local function trade(tokens, listing_id, order_id)
    return { tokens = tokens, source = "BROKER", seller = market.seller(), external_listing_id = listing_id,
      external_order_id = order_id, price = 50, buyer = market.order_payload({}, "", "").buyer,
      settlement = { totalAmountPaid = 54, amountToSeller = 45 } }
  end

  it("an offer that was under way is not sent again after a cancellation that was refused", function()
    desk:options({ pending_polls = 0 })
    local tokens = desk.place:tokens(1)
    desk.place:sell(tokens, "O-offer")
    local input, before = offer_of(tokens, "O-offer", "T-offer"), desk:count("transfers.initiate")
    desk.on_answer = function(_, path)
      if path == "/v2/tickets/transfer" then
        error(DIED, 0)
      end
    end
    assert.is_false(pcall(flows.transfer, flows, input))
    desk.on_answer = nil
    desk:pass(130)
    for _ = 1, 2 do
      assert.is_nil((flows:cancel_transfer { external_transfer_id = "T-offer", confirmation_cd = "WRONG" }))
    end
    assert.equal("in_doubt", flows:resume()[1].state)
    assert.is_nil((flows:transfer(input)))
    assert.equal(before + 1, desk:count("transfers.initiate"))
    assert.equal("T-offer", flows:unfinished()[1].id)
  end)

  it("a late sale does not pass for the acceptance of an offer that was lost", function()
    local input, tokens, id = desk:input(1)
    local offer = offer_of(tokens, "O-before", "T-late")
    desk:fault("reset=after")
    flows:buy(input)
    desk:pass(905)
    flows:resume()
    assert.equal("failed", flows:find(id).state)
    desk:fault("reset=before", "transfers.initiate")
    flows:transfer(offer)
    desk:pass(1000)
    assert.equal("sold", desk:state(tokens))
    assert.equal("in_doubt", flows:resume()[1].state)
    assert.is_table(purchases.evidence(flows:find("T-late"), "another_offer"))
  end)

  it("a word about a lock does not decide what an earlier attempt has sold", function()
    local tokens = desk.place:tokens(1)
    local input = trade(tokens, "L-word", "F-word")
    desk:fault("reset=after")
    flows:fulfil(input)
    desk:pass(10)
    desk:fault("reset=after", "tickets.lock", 20)
    input.again = true
    flows:fulfil(input)
    input.again = nil
    local run = flows:find("F-word")
    assert.same({ "in_doubt", "lock" }, { run.state, run.step })
    assert.matches("nobody knows what became of the order of an earlier one", run.told, 1, true)
    desk:calm()
    desk:pass(1000)
    run = assert(flows:settle("F-word", { as = "failed", because = "the lock is not there" }))
    assert.equal("done", run.state)
    assert.equal(1, #desk:orders("F-word"))
    assert.same(tokens, assert(flows:fulfil(input)).tokens)
  end)

  it("a trade does not take the locks of a listing that is up", function()
    local tokens = desk.place:tokens(1)
    assert(flows:sell { tokens = tokens, source = "BROKER", seller = market.seller(), external_listing_id = "L-up",
      price = 50 })
    desk:answer("complete%-order$", function() return purchases.answer(422, REFUSED) end)
    local result, err = flows:fulfil(trade(tokens, "L-up", "F-up"))
    assert.is_nil(result)
    assert.same({ "validation", "not_sent" }, { err.kind, err.outcome })
    assert.equal("/external_listing_id", err.fields[1].path)
    assert.equal("locked", desk:state(tokens))
    assert.is_nil(flows:find("F-up"))
  end)

  it("runs that somebody else carries do not hide that the service is silent", function()
    for i = 1, 8 do
      local input, _, id = desk:input(1)
      desk:fault("reset=before")
      flows:buy(input)
      if i % 2 == 0 then
        assert(flows.journal:claim("order", id))
      end
    end
    desk.meddle = function()
      return nil, { kind = "timeout", phase = "receive", message = "silent" }
    end
    local asked = 0
    for _, run in ipairs(assert(flows:resume())) do
      asked = asked + (not (run.held or run.unvisited) and 1 or 0)
    end
    desk.meddle = nil
    assert.equal(3, asked)
  end)
end)
