--- The rows of contract section 7 about what a program gets of an answer that came well.
local cjson = require("cjson").new()
local paciolan = require("paciolan")
local samples = require("support.samples")
local wire = require("support.wire")

local received, received_sample, sent = wire.received, wire.received_sample, wire.sent
local SEATS = { distributor_code = "DIST1" }

-- A sample answer with changes, as a text.
local function changed(file, changes)
  return cjson.encode(samples.with(file, changes))
end

-- Which state decides, for an operation that may take time: the field that tells it, and every 2xx.
local function expect_state_to_decide(operation, field)
  for _, code in ipairs { 200, 201, 202 } do
    for _, state in ipairs { "COMPLETE", "PENDING" } do
      local body = ('{"processId":"p1","%s":"%s"}'):format(field, state)
      local result, _, response = received(operation, code, body)
      assert.equal(state, assert(result)[field])
      assert.equal("p1", result.processId)
      assert.equal(state, response.state)
      assert.equal(code, response.status)
    end
    local result, err = received(operation, code, ('{"processId":"p1","%s":"ERROR"}'):format(field))
    assert.is_nil(result)
    assert.equal("http", err.kind)
    assert.equal("p1", err.process_id)
    assert.equal(code, err.status)
  end
end

describe("an answer, by the rows of the discrepancies", function()
  it("row 6: the answer of getListing is a list, whether it came as one or as an object", function()
    local listing = samples.load("listing.response.200.json")
    assert.same(listing, received_sample("listings.get", 200, "listing.response.200.json"))
    local as_object = samples.read("listing.response.200.json"):match("^%s*%[(.*)%]%s*$")
    assert.same(listing, received("listings.get", 200, as_object))
    assert.same({}, received("listings.get", 200, "[]"))
  end)

  it("row 23: row and seats go out as integers when they are digits; in results they are strings", function()
    local function info_sent(value)
      local place = "/transferRequests/0/Seats/0/seatInfo/"
      local payload = samples.with("transfer-v2.request.seats.json",
        { [place .. "row"] = value, [place .. "seats"] = value })
      return sent("transfers.initiate", payload, SEATS).body:match('"row":([^,]+),"seats":([^,]+),')
    end
    local rows = { { 12, "12" }, { "12", "12" }, { "0", "0" }, { "AA", '"AA"' }, { "012", '"012"' }, { "1A", '"1A"' } }
    for _, row in ipairs(rows) do
      local out_row, out_seats = info_sent(row[1])
      assert.equal(row[2], out_row)
      assert.equal(row[2], out_seats)
    end

    local seat = "/0/tickets/0/seats/0/"
    local listing = assert(received("listings.get", 200,
      changed("listing.response.200.json", { [seat .. "row"] = 30, [seat .. "seat"] = 26 })))
    assert.equal("30", listing[1].tickets[1].seats[1].row)
    assert.equal("26", listing[1].tickets[1].seats[1].seat)
    local verified = assert(received("tickets.verify", 200,
      changed("verify.response.200.json", { ["/tokens/0/success/seats/0/seat"] = 14 })))
    assert.equal("14", verified.tokens[1].success.seats[1].seat)
    assert.equal("AA", verified.tokens[1].success.seats[1].row)
    local place = "/offers/0/event/seats/0/"
    local order = assert(received("orders.complete", 200,
      changed("complete-order.response.200.json", { [place .. "row"] = 2, [place .. "seat"] = 1 })))
    assert.equal("2", order.offers[1].event.seats[1].row)
    assert.equal("1", order.offers[1].event.seats[1].seat)
  end)

  it("row 25: priceLevel goes out as a string; a number and a string in an answer read the same", function()
    local request = sent("transfers.initiate", samples.load("transfer-v2.request.seats.json"), SEATS)
    assert.truthy(request.body:find('"priceLevel":"1"', 1, true))
    wire.refused("transfers.initiate", samples.with("transfer-v2.request.seats.json",
      { ["/transferRequests/0/Seats/0/priceLevel"] = 1 }), SEATS)
    local levels = {}
    for i, value in ipairs { 1, "1" } do
      local body = changed("complete-order.response.200.json", { ["/offers/0/event/priceLevel"] = value })
      levels[i] = assert(received("orders.complete", 200, body)).offers[1].event.priceLevel
    end
    assert.same({ "1", "1" }, levels)
  end)

  it("row 28: times stay as they came, and all four forms can be read", function()
    local offer = assert(received_sample("transfers.initiate", 200, "transfer-v2.response.complete.json"))
    assert.equal("06/07/2023 23:46:03", offer.sentDt)
    local unix_ms, _, has_zone = paciolan.parse_time(offer.sentDt)
    assert.equal(1686181563000, unix_ms)
    assert.is_false(has_zone)

    local history = assert(received_sample("transfers.history", 200, "transfer-history.response.200.json"))
    assert.equal("2023-06-14T07:23:05.281+0000", history.history[1].ts)
    assert.equal(1686727385281, paciolan.parse_time(history.history[1].ts))
    local slashed = changed("transfer-history.response.200.json", { ["/createTs"] = "06/14/2023 07:23:05" })
    history = assert(received("transfers.history", 200, slashed))
    assert.equal("06/14/2023 07:23:05", history.createTs)
    assert.equal(1686727385000, paciolan.parse_time(history.createTs))

    local event = assert(received_sample("catalog.events", 200, "catalog-events.response.200.json"))[1]
    assert.equal("20:30:00Z", event.startTime)
    assert.equal(1684614600000, paciolan.parse_time(event.startDate, event.startTime))

    local text = samples.load("auth-token.response.200.json").expiration
    assert.equal("2023-02-18T19:39:39.548608815Z", text)
    assert.equal(1676749179548, paciolan.parse_time(text))
  end)

  it("row 30: any transferStatus passes, as it was written", function()
    for _, word in ipairs { "pending", "PENDING", "Cancelled", "cancelled", "accepted", "string", "a new one", "ERROR",
      "" } do
      for operation, file in pairs { ["transfers.cancel"] = "cancel-transfer.response.200.json",
        ["transfers.initiate"] = "transfer-v2.response.complete.json",
        ["transfers.initiate_v1"] = "transfer-v1.response.200.json" } do
        local result = assert(received(operation, 200, changed(file, { ["/transferStatus"] = word })))
        assert.equal(word, result.transferStatus)
      end
    end
    for _, value in ipairs { samples.REMOVE, paciolan.null } do
      assert(received("transfers.cancel", 200,
        changed("cancel-transfer.response.200.json", { ["/transferStatus"] = value })))
    end
  end)

  it("row 35: an order ends with any 2xx, and its status decides", function()
    expect_state_to_decide("orders.complete", "status")
    for _, code in ipairs { 200, 201 } do
      assert.equal(104, assert(received_sample("orders.complete", code, "complete-order.response.200.json")).paid)
    end
  end)

  it("row 36: a v2 transfer ends with any 2xx, and its transactionStatus decides", function()
    expect_state_to_decide("transfers.initiate", "transactionStatus")
    expect_state_to_decide("transfers.pending", "transactionStatus")
  end)

  it("row 42: the answer is not compared with the request", function()
    -- Two tokens are asked for; the sample tells of six.
    local payload = samples.load("lock.request.my-account.json")
    assert.equal(2, #payload.listing.tokens)
    local result, err = received_sample("tickets.lock", 207, "lock.response.207.json")
    assert.is_nil(result)
    assert.equal(2, #err.body.success)
    assert.equal(4, #err.body.failure)
    assert.equal("234567", err.body.failure[3].ownerId)
    local locked = assert(received("tickets.lock", 200, '{"success":[{"token":"another","ownerId":"1"}]}'))
    assert.equal("another", locked.success[1].token)
    assert.same({}, received("tickets.lock", 200, '{"success":[]}').success)
    result, err = received_sample("tickets.lock", 422, "lock.response.422.json")
    assert.is_nil(result)
    assert.same({ "123456" }, err.body.sellerIds)
    assert.equal(4, #err.body.failure)
  end)

  it("row 49: the state is read from status or from transactionStatus, whichever came", function()
    for _, operation in ipairs { "orders.complete", "orders.status", "transfers.initiate", "transfers.pending",
      "transfers.complete", "transfers.complete_status" } do
      for _, field in ipairs { "status", "transactionStatus" } do
        local result, _, response = received(operation, 200, ('{"processId":"p","%s":"PENDING"}'):format(field))
        assert.equal("PENDING", assert(result)[field])
        assert.equal("PENDING", response.state)
        local _, err = received(operation, 200, ('{"processId":"p","%s":"ERROR"}'):format(field))
        assert.equal("ERROR", err.response.state)
      end
    end
  end)

  it("row 53: an accessId is opaque: it may not fit its parts, in answers, requests and messages", function()
    local event = assert(received_sample("catalog.events", 200, "catalog-events.response.200.json"))[1]
    assert.equal("999:F23:P03", event.accessId)
    assert.equal("P01", event.itemCode)
    assert.same({ "999:F23:F02" }, event.association[1].associatedTo)
    local order = assert(received_sample("orders.complete", 200, "complete-order.response.200.json"))
    assert.equal("431:BB19:BB01", order.offers[1].event.seats[1].accessId)
    assert.equal("CALI", order.offers[1].seasonCode)
    local verified = assert(received_sample("tickets.verify", 200, "verify.response.200.json"))
    assert.equal("129:FB23:FB01", verified.tokens[1].accessId)
    assert.equal("BB19", verified.tokens[1].success.seats[1].season)
    for _, access_id in ipairs { "123:BB19:BB01", "no parts at all", "::" } do
      local payload = samples.with("verify.request.tokens.json", { ["/tickets/0/accessId"] = access_id })
      assert.equal(access_id, sent("tickets.verify", payload).json.tickets[1].accessId)
    end
    local message = assert(paciolan.messages.parse(samples.read("seats.message.linkv1.json")))
    assert.equal("129", message.organization_id)
    assert.equal("999:F23:F01", message.items[1].accessId)
    message = assert(paciolan.messages.parse(samples.read("seats.message.json")))
    assert.equal("129:FB223:FB01", message.items[2].accessId)
  end)

  it("row 56: fields that the documents promise without a name are passed on", function()
    local ticket = { token = "1", ownerId = "2", url = "https://tickets.example/1?a=b", format = { "pdf" } }
    local printed = assert(received("tickets.print", 200, cjson.encode { tickets = { ticket } }))
    assert.same({ ticket }, printed.tickets)
    assert.same(samples.load("print.response.200.json"),
      received_sample("tickets.print", 200, "print.response.200.json"))
  end)

  it("row 60: fields that only samples have are passed on, and so are others", function()
    local body = changed("catalog-events.response.200.json", { ["/0/gates"] = { "N", "S" } })
    local event = assert(received("catalog.events", 200, body))[1]
    assert.equal("SINGLE", event.itemBasis)
    assert.equal("DC", event.configurationCode)
    assert.same({ "N", "S" }, event.gates)
    local message = assert(paciolan.messages.parse(changed("events.message.json",
      { ["/data/events/0/configurationCode"] = "DC" })))
    assert.equal("SINGLE", message.items[1].itemBasis)
    assert.equal("DC", message.items[1].configurationCode)
  end)
end)
