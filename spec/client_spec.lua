--- Every method of the client, over a socket, against the sandbox. The answers are held against the samples of the
-- documents; what they say of the world is held against the sandbox's own view of it.

local core = require("paciolan.core")
local errors = require("paciolan.errors")
local market = require("support.market")
local paciolan = require("paciolan")
local files = require("support.files")
local shape = require("support.shape")

local NO_SUCH_TOKEN = "129AAAAAAAAAAAAAA"
local SERVICE = { PENDING = { ["X-Sandbox-Pending"] = "1" }, ERROR = { ["X-Sandbox-Outcome"] = "error" } }

describe("the client", function()
  local place, link

  before_each(function()
    place = market.open()
    link = place.link
  end)

  after_each(function()
    place:close()
  end)

  -- The sample shows the price level as a number; read, it is a label like all the others (contract 7 row 25).
  local function expect_order(order)
    assert.same({ "/offers/*/event/priceLevel is a string instead of a number" },
      shape.differences(files.fixture("complete-order.response.200"), order))
  end

  -- What every failure owes to its reader.
  local function expect_error(kind, outcome, result, err, ...)
    assert.is_nil(result)
    assert.equal(0, select("#", ...))
    local response = err.response
    assert.is_true(errors.is(err), tostring(err))
    assert.equal(kind, err.kind)
    assert.equal(outcome, err.outcome)
    assert.is_string(err.operation)
    assert.is_string(err.message)
    assert.is_number(err.attempts)
    assert.is_table(response)
    return err, response
  end

  local function owners(tokens)
    local seats = place:world()
    local list = {}
    for i, token in ipairs(tokens) do
      list[i] = seats[token].ownerId
    end
    return list
  end

  local function states(tokens)
    local seats = place:world()
    local list = {}
    for i, token in ipairs(tokens) do
      list[i] = seats[token].state
    end
    return list
  end

  describe("auth", function()
    it("token: answers what the documents show, and hides it when it is printed", function()
      local set = assert(link.auth:token())
      shape.expect("auth-token.response.200", set)
      assert.is_nil(tostring(set):find(set.accessToken, 1, true))
      assert.is_nil(tostring(set):find(set.refreshToken, 1, true))
    end)
  end)

  describe("catalog", function()
    it("events: lists the events of the organization", function()
      local events, err, response = link.catalog:events()
      assert.is_nil(err)
      shape.expect("catalog-events.response.200", events, { may_be_empty = { "/*/association" } })
      assert.equal(3, #events)
      assert.equal(200, response.status)
      assert.equal("application/json", response.headers["content-type"])
      assert.equal(1, response.attempts)
      assert.is_true(response.elapsed_ms >= 0)
      assert.is_true(core.is_uuid_v4(response.request_id))
    end)

    it("events: passes each filter on", function()
      local function items(filter)
        local list = {}
        for i, event in ipairs(assert(link.catalog:events(filter))) do
          list[i] = event.itemCode
        end
        return list
      end
      assert.same({ "FB01", "FB02", "P01" }, items {})
      assert.same({ "FB02" }, items { startDate = "2030-09-08" })
      assert.same({}, items { seasonCode = "BB19" })
      assert.same({}, items { facilityCode = "PAV" })
      assert.same({ "FB02" }, items { startDate = "2030-09-08", seasonCode = "FB30", facilityCode = "STAD" })
    end)

    it("events: asks another organization for one call", function()
      local events = assert(link.catalog:events({}, { organization_id = "999" }))
      assert.equal("999:F30:F01", events[1].accessId)
      assert.equal("129:FB30:FB01", assert(link.catalog:events())[1].accessId)
    end)

    it("events: is not sent without an organization", function()
      local options = place.box:client_options()
      options.organization_id = nil
      local other = paciolan.new(options)
      local err = expect_error("validation", nil, other.catalog:events())
      other:close()
      assert.equal(0, err.attempts)
      assert.equal(0, #place:requests("catalog.events"))
    end)
  end)

  describe("listings", function()
    it("get: shows the seats of a listing", function()
      local listings = assert(link.listings:get("A3qnemZ"))
      shape.expect("listing.response.200", listings, { may_be_empty = { "/*/tickets/*/seats/*/seatAttributes" } })
      assert.equal("A3qnemZ", listings[1].listingId)
      assert.equal(2, #listings[1].tickets[1].seats)
    end)

    it("get: tells of a listing that does not exist", function()
      local err, response = expect_error("http", nil, link.listings:get("nothere"))
      assert.equal(404, err.status)
      assert.equal("LISTING_NOT_FOUND", err.type)
      assert.equal("MS-404", err.app_error_code)
      assert.is_string(err.developer_message)
      assert.is_false(err.retryable)
      assert.equal(err.request_id, response.request_id)
      assert.equal(1, #place:requests("listings.get"))
    end)
  end)

  describe("tickets:lock", function()
    it("locks for each source, and a second listing cannot have the seats", function()
      for i, source in ipairs { "MY_ACCOUNT", "INDIVIDUAL", "BROKER" } do
        local tokens = place:tokens(2)
        local payload = market.lock_payload(tokens, "L-" .. i)
        payload.source, payload.seller = source, source ~= "MY_ACCOUNT" and market.seller() or nil
        local result = assert(link.tickets:lock(payload))
        shape.expect("lock.response.200", result)
        assert.equal(tokens[2], result.success[2].token)
        assert.same({ "locked", "locked" }, states(tokens))
        local err = expect_error("http", "rejected", link.tickets:lock(market.lock_payload(tokens, "other")))
        assert.equal(422, err.status)
      end
    end)

    it("takes a list of strings for tokens", function()
      local tokens = place:tokens(1)
      local payload = { source = "MY_ACCOUNT", listing = { externalListingId = "L-1", tokens = tokens } }
      shape.expect("lock.response.200", assert(link.tickets:lock(payload)))
      assert.same({ "locked" }, states(tokens))
    end)

    it("never takes a part for the whole", function()
      local taken, free = place:tokens(1), place:tokens(1)
      assert(link.tickets:lock(market.lock_payload(taken, "L-1")))
      local err, response = expect_error("partial", nil,
        link.tickets:lock(market.lock_payload({ taken[1], free[1], NO_SUCH_TOKEN }, "L-2")))
      assert.equal(207, response.status)
      shape.expect("lock.response.207", err.body, { missing = { "/failure/*/ownerId" } })
      assert.equal(free[1], err.body.success[1].token)
      local kinds = {}
      for _, failure in ipairs(err.body.failure) do
        kinds[failure.token] = failure.type
      end
      assert.same({ [taken[1]] = "INVALID_TOKEN", [NO_SUCH_TOKEN] = "TOKEN_NOT_FOUND" }, kinds)
      assert.same({ "locked", "locked" }, states({ taken[1], free[1] }))
    end)

    it("tells when nothing was locked", function()
      local tokens = place:tokens(2)
      assert(link.tickets:lock(market.lock_payload(tokens, "L-1")))
      local err = expect_error("http", "rejected", link.tickets:lock(market.lock_payload(tokens, "L-2")))
      shape.expect("lock.response.422", err.body)
      assert.equal("UNPROCESSABLE_ENTITY", err.type)
      assert.equal("MS-422", err.app_error_code)
      assert.equal("analyze", err.action)
      assert.is_false(err.retryable)
      assert.equal("L-1", place:world()[tokens[1]].externalListingId)
    end)

    it("sends a hundred tokens, and a hundred and one not at all", function()
      local tokens = place:tokens(101)
      local err = expect_error("validation", "not_sent", link.tickets:lock(market.lock_payload(tokens, "L-1")))
      assert.equal("/listing/tokens", err.fields[1].path)
      assert.equal(0, #place:requests("tickets.lock"))
      table.remove(tokens)
      assert.equal(100, #assert(link.tickets:lock(market.lock_payload(tokens, "L-1"))).success)
    end)

    it("would be refused by the service with a hundred and one", function()
      local answer, status = place.box:control("PUT", "/v1/tickets/lock",
        market.lock_payload(place:tokens(101), "L-1"), {
          ["User-Agent"] = place.box.user_agent, ["Accept"] = "application/json", ["Content-Type"] = "application/json",
          ["Request-ID"] = core.request_id(), ["Authorization"] = "Bearer " .. link.auth:token().accessToken,
          ["PAC-Application-ID"] = place.box.application_id, ["PAC-API-Key"] = place.box.api_key,
          ["PAC-Channel-Code"] = place.box.channel_code,
        })
      assert.equal(422, status)
      assert.same(files.fixture("lock.response.422.too-many-tokens"), answer)
    end)
  end)

  describe("tickets:unlock", function()
    it("frees seats, and may be repeated", function()
      local tokens = place:tokens(2)
      assert(link.tickets:lock(market.lock_payload(tokens, "L-1")))
      for _ = 1, 2 do
        local result = assert(link.tickets:unlock { tokens = tokens })
        shape.expect("unlock.response.200", result)
        assert.equal(2, #result.success)
        assert.same({ "open", "open" }, states(tokens))
      end
      assert(link.tickets:lock(market.lock_payload(tokens, "L-2")))
    end)

    it("tells each token's fate when a part failed, and of a conflict when all are sold", function()
      local sold, free = place:tokens(1), place:tokens(1)
      place:sell(sold, "O-1")
      local err, response = expect_error("partial", nil, link.tickets:unlock { tokens = { sold[1], free[1] } })
      assert.equal(207, response.status)
      assert.equal(free[1], err.body.success[1].token)
      assert.equal(sold[1], err.body.failure[1].token)
      err = expect_error("http", "rejected", link.tickets:unlock { tokens = sold })
      assert.equal(409, err.status)
      assert.same({ "sold" }, states(sold))
    end)
  end)

  describe("tickets:verify", function()
    local EMPTY = { may_be_empty = { "/tokens/*/success/seats/*/seatAttributes" } }

    it("looks seats up by token", function()
      local tokens, seats = place:tokens(2)
      local result = assert(link.tickets:verify { tickets = { { accessId = market.EVENT, tokens = tokens } } })
      shape.expect("verify.response.200", result, EMPTY)
      assert.equal(market.EVENT, result.tokens[1].accessId)
      assert.equal(seats[2].ownerId, result.tokens[1].success.seats[2].ownerId)
      shape.expect("verify.response.200", assert(link.tickets:verify { tickets = { { tokens = tokens } } }), EMPTY)
    end)

    it("looks seats up by barcode", function()
      local tokens, seats = place:tokens(2)
      local barcodes = { seats[1].barcode, seats[2].barcode }
      local result = assert(link.tickets:verify { tickets = { { accessId = market.EVENT, barcodes = barcodes } } })
      -- The documents show no answer to barcodes: it is taken to be that of tokens under another name.
      shape.expect("verify.response.200", { tokens = result.barcodes },
        { may_be_empty = EMPTY.may_be_empty, extra = { "/tokens/*/success/seats/*/barcode" } })
      assert.equal(tokens[1], result.barcodes[1].success.seats[1].token)
      assert.equal(barcodes[1], result.barcodes[1].success.seats[1].barcode)
    end)

    it("reports what it did not find", function()
      local tokens = place:tokens(1)
      local err = expect_error("partial", nil,
        link.tickets:verify { tickets = { { tokens = { tokens[1], NO_SUCH_TOKEN } } } })
      assert.equal(tokens[1], err.body.tokens[1].success.seats[1].token)
      err = expect_error("http", nil, link.tickets:verify { tickets = { { tokens = { NO_SUCH_TOKEN } } } })
      assert.equal(422, err.status)
    end)
  end)

  describe("orders", function()
    it("complete: sells locked seats, once", function()
      local tokens = place:tokens(2)
      assert(link.tickets:lock(market.lock_payload(tokens, "L-1")))
      local payload = market.order_payload(tokens, "L-1", "O-1")
      local order, err, response = link.orders:complete(payload)
      assert.is_nil(err)
      expect_order(order)
      assert.equal("COMPLETE", order.status)
      assert.equal("COMPLETE", response.state)
      assert.equal(104, order.paid)
      local buyer = order.offers[1].event.seats[1].ownerId
      assert.same({ buyer, buyer }, owners(tokens))
      local verified = assert(link.tickets:verify { tickets = { { tokens = tokens } } })
      assert.equal(buyer, verified.tokens[1].success.seats[2].ownerId)
      assert.same({ "sold", "sold" }, states(tokens))
      expect_error("http", "rejected", link.orders:complete(payload))
      expect_error("http", "rejected", link.tickets:lock(market.lock_payload(tokens, "L-2")))
      assert.equal("COMPLETE", place:ledger().orders[1].status)
      assert.equal("REFUSED", place:ledger().orders[2].status)
    end)

    it("complete: takes 201 for 200", function()
      place.box:control("POST", "/_sandbox/options", { order_http_status = 201 })
      local tokens = place:tokens(1)
      assert(link.tickets:lock(market.lock_payload(tokens, "L-1")))
      local order, _, response = link.orders:complete(market.order_payload(tokens, "L-1", "O-1"))
      assert.equal(201, response.status)
      assert.equal("COMPLETE", order.status)
    end)

    it("complete and status: go from PENDING to COMPLETE", function()
      local tokens = place:tokens(2)
      local before = owners(tokens)
      assert(link.tickets:lock(market.lock_payload(tokens, "L-1")))
      local order, _, response = link.orders:complete(market.order_payload(tokens, "L-1", "O-1"),
        { headers = SERVICE.PENDING })
      shape.expect("complete-order-status.response.200.pending", order)
      assert.equal("PENDING", response.state)
      assert.same(before, owners(tokens))
      assert.same({ "ordered", "ordered" }, states(tokens))
      local pending, _, polled = link.orders:status(order.processId)
      shape.expect("complete-order-status.response.200.pending", pending)
      assert.equal("PENDING", polled.state)
      local complete = assert(link.orders:status(order.processId))
      expect_order(complete)
      assert.equal(order.processId, complete.processId)
      assert.equal(complete.offers[1].event.seats[1].ownerId, owners(tokens)[1])
    end)

    it("status: makes an error of ERROR, though it comes with 200", function()
      local tokens = place:tokens(1)
      assert(link.tickets:lock(market.lock_payload(tokens, "L-1")))
      local headers = { ["X-Sandbox-Pending"] = "1", ["X-Sandbox-Outcome"] = "error" }
      local order = assert(link.orders:complete(market.order_payload(tokens, "L-1", "O-1"), { headers = headers }))
      assert(link.orders:status(order.processId))
      local err, response = expect_error("http", nil, link.orders:status(order.processId))
      assert.equal(200, response.status)
      assert.equal("ERROR", response.state)
      assert.equal(order.processId, err.process_id)
      assert.same({ "locked" }, states(tokens))
    end)

    it("complete: makes an error of ERROR", function()
      local tokens = place:tokens(1)
      assert(link.tickets:lock(market.lock_payload(tokens, "L-1")))
      local err = expect_error("http", "rejected",
        link.orders:complete(market.order_payload(tokens, "L-1", "O-1"), { headers = SERVICE.ERROR }))
      assert.is_string(err.process_id)
      assert.equal("ERROR", err.body.status)
      assert.equal(1, #place:requests("orders.complete"))
    end)

    it("complete: tells each token's fate when a part was sold", function()
      local tokens = place:tokens(2)
      assert(link.tickets:lock(market.lock_payload({ tokens[1] }, "L-1")))
      local err = expect_error("partial", nil, link.orders:complete(market.order_payload(tokens, "L-1", "O-1")))
      assert.equal(tokens[2], err.body.failure[1].token)
      assert.equal(tokens[1], err.body.offers[1].event.seats[1].token)
      assert.same({ "sold", "open" }, states(tokens))
    end)

    it("status: tells of an unknown process", function()
      local err = expect_error("http", nil, link.orders:status("ffffff"))
      assert.equal(404, err.status)
    end)
  end)

  describe("tickets:print", function()
    it("retrieves the tickets of an order", function()
      local tokens = place:tokens(2)
      place:sell(tokens, "O-1")
      local printed = assert(link.tickets:print { externalOrderId = "O-1", tokens = tokens })
      shape.expect("print.response.200", printed, { extra = { "/tickets/*/url" } })
      assert.equal(2, #printed.tickets)
      assert.is_true(place:world()[tokens[1]].printed)
      assert.equal(1, #place:ledger().prints)
    end)

    it("refuses what was not sold under that order", function()
      local err = expect_error("http", "rejected",
        link.tickets:print { externalOrderId = "O-1", tokens = place:tokens(1) })
      assert.equal(400, err.status)
      assert.equal("BAD_REQUEST", err.type)
    end)

    it("does not send more than thirty", function()
      local tokens = {}
      for i = 1, 31 do
        tokens[i] = NO_SUCH_TOKEN .. i
      end
      expect_error("validation", "not_sent", link.tickets:print { externalOrderId = "O-1", tokens = tokens })
      assert.equal(0, #place:requests("tickets.print"))
    end)
  end)

  describe("transfers", function()
    local function sold()
      local tokens = place:tokens(2)
      local order = place:sell(tokens, "O-1")
      return tokens, order.offers[1].event.seats[1].ownerId
    end

    local function initiate(options)
      local tokens, buyer = sold()
      return tokens, buyer, link.transfers:initiate(market.items_payload(buyer, "O-1", tokens), options)
    end

    it("initiate: version 1 answers when it is done", function()
      local tokens, _, offer = initiate { version = "v1" }
      shape.expect("transfer-v1.response.200", offer)
      assert.same({ "transferring", "transferring" }, states(tokens))
      assert.equal(1, #place:requests("transfers.initiate_v1"))
      assert.equal(0, #place:requests("transfers.initiate"))
    end)

    it("initiate: version 2 by tokens", function()
      local tokens, buyer, offer = initiate()
      shape.expect("transfer-v2.response.complete", offer)
      assert.equal(buyer, offer.patronId)
      assert.equal("pending", offer.transferStatus)
      assert.same({ "transferring", "transferring" }, states(tokens))
      assert.same({ buyer, buyer }, owners(tokens))
      expect_error("http", "rejected", link.transfers:initiate(market.items_payload(buyer, "O-1", tokens)))
      assert.equal(1, #place:ledger().transfers)
    end)

    it("initiate: both versions by seat details", function()
      for _, version in ipairs { "v1", "v2" } do
        local tokens, seats = place:tokens(2)
        local offer = assert(link.transfers:initiate(market.seats_payload(seats),
          { version = version, distributor_code = "AMTX" }))
        assert.truthy(offer.confirmationCd:find("AMTX", 1, true))
        assert.same({ "transferring", "transferring" }, states(tokens))
      end
    end)

    it("initiate: seat details are not sent without a distributor or an organization", function()
      local _, seats = place:tokens(1)
      local err = expect_error("validation", "not_sent", link.transfers:initiate(market.seats_payload(seats)))
      assert.equal("transfers.initiate", err.operation)
      err = expect_error("validation", "not_sent",
        link.transfers:initiate(market.seats_payload(seats), { version = "v1" }))
      assert.equal("transfers.initiate_v1", err.operation)
      assert.equal(0, #place:requests("transfers.initiate"))
      assert.equal(0, #place:requests("transfers.initiate_v1"))
    end)

    it("pending: follows a transfer to its end", function()
      local tokens, _, offer = initiate { headers = SERVICE.PENDING }
      shape.expect("transfer-v2.response.pending", offer)
      local waiting, _, response = link.transfers:pending(offer.processId)
      shape.expect("transfer-v2.response.pending", waiting)
      assert.equal("PENDING", response.state)
      local done
      done, _, response = link.transfers:pending(offer.processId)
      shape.expect("transfer-v2.response.complete", done)
      assert.equal("COMPLETE", response.state)
      assert.same({ "transferring", "transferring" }, states(tokens))
    end)

    it("initiate: a refusal keeps the id of the process", function()
      local tokens, _, offer, err = initiate { headers = SERVICE.ERROR }
      expect_error("http", "rejected", offer, err)
      shape.expect("transfer-v2.response.error", err.body)
      assert.equal("INVALID_PARAMETER_VALUE", err.type)
      assert.equal("inform_provider", err.action)
      assert.equal(err.body.processId, err.process_id)
      assert.same({ "sold", "sold" }, states(tokens))
    end)

    it("accept: the seats change hands", function()
      local tokens, buyer, offer = initiate()
      local accepted = assert(link.transfers:accept { transferId = offer.transferId, Recipient = market.RECIPIENT })
      shape.expect("accept-transfer.response.200", accepted)
      local now = owners(tokens)
      assert.equal(now[1], now[2])
      assert.are_not.equal(buyer, now[1])
      expect_error("http", "rejected",
        link.transfers:accept { transferId = offer.transferId, Recipient = market.RECIPIENT })
    end)

    it("accept: passes the distributor of a transfer by seat details", function()
      local tokens, seats = place:tokens(1)
      local offer = assert(link.transfers:initiate(market.seats_payload(seats), { distributor_code = "AMTX" }))
      expect_error("http", "rejected", link.transfers:accept { transferId = offer.transferId })
      assert(link.transfers:accept({ transferId = offer.transferId }, { distributor_code = "AMTX" }))
      assert.are_not.equal(seats[1].ownerId, owners(tokens)[1])
    end)

    it("cancel: the seats stay where they are, and the history tells", function()
      local tokens, buyer, offer = initiate()
      local cancelled = assert(link.transfers:cancel(offer.confirmationCd))
      shape.expect("cancel-transfer.response.200", cancelled)
      assert.equal("Cancelled", cancelled.transferStatus)
      assert.same({ buyer, buyer }, owners(tokens))
      assert.same({ "sold", "sold" }, states(tokens))
      local history = assert(link.transfers:history(offer.confirmationCd))
      shape.expect("transfer-history.response.200", history)
      assert.equal("initiate", history.history[1].op)
      assert.equal("cancel", history.history[2].op)
      local err = expect_error("http", "rejected", link.transfers:cancel(offer.confirmationCd))
      assert.equal(400, err.status)
    end)

    it("history: tells of a transfer that does not exist", function()
      local err = expect_error("http", nil, link.transfers:history("1-AMTX:1"))
      assert.equal("TRANSFER_NOT_FOUND", err.type)
    end)

    it("complete: offers, accepts and prints in one call", function()
      local tokens, buyer = sold()
      local payload = market.items_payload(buyer, "O-1", tokens)
      payload.transferRequests[1].Sender = nil
      local first = assert(link.transfers:complete(payload, { headers = SERVICE.PENDING }))
      shape.expect("derived/complete-transfer.response.pending", first)
      local again, _, response = link.transfers:complete_status(first.processId)
      shape.expect("derived/complete-transfer.response.pending", again)
      assert.equal("PENDING", response.state)
      assert.same({ buyer, buyer }, owners(tokens))
      local done = assert(link.transfers:complete_status(first.processId))
      assert.equal("COMPLETE", done.status)
      assert.equal(first.processId, done.processId)
      assert.are_not.equal(buyer, owners(tokens)[1])
      assert.is_true(place:world()[tokens[2]].printed)
    end)

    it("complete: ERROR is an error at once", function()
      local tokens, buyer = sold()
      local payload = market.items_payload(buyer, "O-1", tokens)
      payload.transferRequests[1].Sender = nil
      local err = expect_error("http", "rejected", link.transfers:complete(payload, { headers = SERVICE.ERROR }))
      assert.is_string(err.process_id)
      assert.same({ buyer, buyer }, owners(tokens))
    end)
  end)
end)
