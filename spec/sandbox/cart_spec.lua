local desk = require "support.desk"

describe("sandbox: orders", function()
  local here, tokens, seats

  before_each(function()
    here = desk.open()
    tokens, seats = here:free_tokens(2)
    here:call("PUT", "/v1/tickets/lock", desk.lock_payload(tokens))
  end)

  local function order(payload, changes)
    return here:call("POST", "/v1/cart/complete-order", payload or desk.order_payload(tokens), changes)
  end
  local function status_of(process_id)
    return here:call("GET", "/v1/cart/complete-order/" .. process_id)
  end
  local function ledger()
    local _, body = here:call("GET", "/_sandbox/ledger")
    return body
  end

  it("sells locked seats and answers the sample's shape", function()
    local before = seats[1].owner
    local status, body = order()
    assert.equal(200, status)
    assert.is_nil(desk.difference(desk.fixture("complete-order.response.200"), body))
    assert.equal(2, body.offers[1].quantity)
    assert.equal(52, body.paid)
    assert.not_equal(before, seats[1].owner)
    assert.equal(body.offers[1].event.seats[1].ownerId, seats[1].owner)
    assert.is_nil(seats[1].lock)
    assert.equal("sold", here.box.inventory:state(seats[1]))
  end)

  it("takes the object form of listing, buyer and settlement", function()
    local payload = desk.fixture("derived/complete-order.request.object-shape")
    payload.listing.externalListingId, payload.settlement.asyncCallbackUrl = "L-1", nil
    payload.listing.tokens[1].token = tokens[1]
    local status, body = order(payload)
    assert.equal(200, status)
    assert.equal(1, body.offers[1].quantity)
  end)

  it("groups seats of several events into offers, one transaction per season", function()
    local other = here:free_tokens(1, "999:F30:F02")
    here:call("PUT", "/v1/tickets/lock", desk.lock_payload(other))
    local _, body = order(desk.order_payload { tokens[1], other[1], tokens[2] })
    assert.same({ 2, 1 }, { body.offers[1].quantity, body.offers[2].quantity })
    assert.same({ "FB30", "F30" }, { body.transactions[1].season, body.transactions[2].season })
  end)

  it("gives the seats to the patron with the buyer's email", function()
    local payload = desk.order_payload(tokens)
    payload.buyer[1].emailAddress.email = "patron5@example.com"
    order(payload)
    assert.equal(here.box.inventory.patrons[5].id, seats[1].owner)
  end)

  it("answers 201 when the option says so", function()
    here:call("POST", "/_sandbox/options", { order_http_status = 201 })
    assert.equal(201, (order()))
  end)

  it("does not recognise a repeated order: it fails as sold and the ledger shows both calls", function()
    order()
    local status, body = order()
    assert.equal(422, status)
    assert.equal("INVALID_TOKEN", body.failure[1].type)
    local orders = ledger().orders
    assert.equal(2, #orders)
    assert.same({ "COMPLETE", "REFUSED" }, { orders[1].status, orders[2].status })
    assert.same(orders[1].tokens, orders[2].refused)
  end)

  it("refuses seats that are not locked, locked by another listing, or unknown", function()
    local free = here:free_tokens(1)
    assert.equal(422, (order(desk.order_payload(free))))
    assert.equal(422, (order(desk.order_payload(tokens, "L-2"))))
    local _, body = order(desk.order_payload { "unknown" })
    assert.equal("TOKEN_NOT_FOUND", body.failure[1].type)
  end)

  it("sells what it can and answers 207 with the rest", function()
    local free = here:free_tokens(1)
    local status, body = order(desk.order_payload { tokens[1], free[1], tokens[1] })
    assert.equal(207, status)
    assert.equal("COMPLETE", body.status)
    assert.equal(1, body.offers[1].quantity)
    assert.same({ free[1], tokens[1] }, { body.failure[1].token, body.failure[2].token })
    local _, later = status_of(body.processId)
    assert.equal(2, #later.failure)
  end)

  it("stays PENDING for as many polls as the header asks", function()
    local before = seats[1].owner
    local status, body = order(nil, { ["x-sandbox-pending"] = "2" })
    assert.equal(200, status)
    assert.is_nil(desk.difference(desk.fixture("complete-order-status.response.200.pending"), body))
    for _ = 1, 2 do
      local code, poll = status_of(body.processId)
      assert.same({ 200, "PENDING" }, { code, poll.status })
      assert.equal(before, seats[1].owner)
    end
    local _, done = status_of(body.processId)
    assert.is_nil(desk.difference(desk.fixture("complete-order.response.200"), done))
    assert.not_equal(before, seats[1].owner)
    local _, again = status_of(body.processId)
    assert.same(done, again)
  end)

  it("stays PENDING by option and ends by the clock", function()
    here:call("POST", "/_sandbox/options", { pending_polls = 5, pending_s = 30 })
    local _, body = order()
    here:call("POST", "/_sandbox/clock", { advance_s = 29 })
    assert.equal("ordered", here.box.inventory:state(seats[1]))
    here:call("POST", "/_sandbox/clock", { advance_s = 1 })
    here:call("GET", "/v1/listings/A3qnemZ")
    assert.equal("sold", here.box.inventory:state(seats[1]))
    local _, done = status_of(body.processId)
    assert.equal("COMPLETE", done.status)
  end)

  it("keeps the seats of a pending order from everyone else", function()
    order(nil, { ["x-sandbox-pending"] = "9" })
    assert.equal(422, (order()))
    assert.equal(409, (here:call("PUT", "/v1/tickets/unlock", { tokens = tokens })))
    assert.equal(422, (here:call("PUT", "/v1/tickets/lock", desk.lock_payload(tokens))))
  end)

  it("ends as ERROR on request, at once or later, and leaves the seats locked", function()
    local before = seats[1].owner
    local status, body = order(nil, { ["x-sandbox-outcome"] = "error" })
    assert.same({ 200, "ERROR" }, { status, body.status })
    assert.equal("UNHANDLED_EXCEPTION", body.error.type)
    assert.same({ before, "L-1" }, { seats[1].owner, seats[1].lock.listing_id })
    local _, again = status_of(body.processId)
    assert.equal("ERROR", again.status)
    local _, later = order(nil, { ["x-sandbox-outcome"] = "error", ["x-sandbox-pending"] = "1" })
    assert.equal("PENDING", later.status)
    status_of(later.processId)
    assert.equal("ERROR", (select(2, status_of(later.processId))).status)
    assert.equal(200, (order()))
  end)

  it("answers 404 to an unknown process, and to one of another kind", function()
    local status, body = status_of("nothing")
    assert.equal(404, status)
    assert.equal("MS-404", body.error.appErrorCode)
    local _, done = order()
    assert.equal(404, (here:call("GET", "/v2/tickets/transfer/pending/" .. done.processId)))
  end)

  it("remembers the callback URL without showing it", function()
    local payload = desk.order_payload(tokens)
    payload.settlement[1].asyncCallbackUrl = "http://user:secret@127.0.0.1:1/result"
    local _, body = order(payload)
    assert.equal("http://user:secret@127.0.0.1:1/result", here.box.ledger:callback(body.processId))
    local _, view, answer = here:call("GET", "/_sandbox/ledger")
    assert.is_true(view.orders[1].hasCallback)
    assert.is_nil(answer.body:find("secret", 1, true))
    assert.is_nil(answer.body:find("Stark", 1, true))
  end)

  local REFUSED = {
    { "no listing", function(p) p.listing = nil end },
    { "no buyer", function(p) p.buyer = nil end },
    { "two buyers", function(p) p.buyer[2] = p.buyer[1] end },
    { "no settlement", function(p) p.settlement = nil end },
    { "no externalOrderId", function(p) p.listing[1].externalOrderId = nil end },
    { "no externalListingId", function(p) p.listing[1].externalListingId = nil end },
    { "no tokens", function(p) p.listing[1].tokens = {} end },
    { "bare tokens", function(p) p.listing[1].tokens = { "x" } end },
    { "an amount in words", function(p) p.settlement[1].totalAmountPaid = "52" end },
    { "a callback that is no URL", function(p) p.settlement[1].asyncCallbackUrl = "string" end },
    { "an unknown field", function(p) p.buyer[1].age = 5 end },
  }
  for _, row in ipairs(REFUSED) do
    it("refuses an order with " .. row[1], function()
      local payload = desk.order_payload(tokens)
      row[2](payload)
      assert.equal(422, (order(payload)))
      assert.equal("locked", here.box.inventory:state(seats[1]))
    end)
  end

  it("refuses wishes that it does not understand", function()
    assert.equal(400, (order(nil, { ["x-sandbox-pending"] = "soon" })))
    assert.equal(400, (order(nil, { ["x-sandbox-outcome"] = "maybe" })))
    assert.equal(0, #ledger().orders)
  end)
end)
