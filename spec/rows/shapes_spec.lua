--- The rows of contract section 7 about the shape, the spelling and the rules of what is sent.
local paciolan = require("paciolan")
local samples = require("support.samples")
local wire = require("support.wire")

local NULL = paciolan.null
local problems, refused, sent = wire.problems, wire.refused, wire.sent
local SEATS = { distributor_code = "DIST1" }

-- The first transfer request as it went out.
local function entry_of(request)
  return request.json.transferRequests[1]
end

local function v2_seats(changes)
  return samples.with("transfer-v2.request.seats.json", changes)
end

local function v1_seats(changes)
  return samples.with("transfer-v1.request.seats.json", changes)
end

local function v2_items(changes)
  return samples.with("derived/transfer-v2.request.items.json", changes)
end

local function v1_items(changes)
  return samples.with("derived/transfer-v1.request.items.json", changes)
end

local function individual(changes)
  return samples.with("lock.request.individual.json", changes)
end

local function keys_of(object)
  local keys = {}
  for key in pairs(object) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

describe("what is sent, by the rows of the discrepancies", function()
  it("row 1: Sender, Recipient, Seats and Items go out capitalised, in lower case for v1 on request", function()
    local spellings = {
      samples.load("transfer-v1.request.seats.json"),
      samples.load("derived/transfer-v1.request.seats.capitalised.json"),
    }
    for _, payload in ipairs(spellings) do
      assert.same({ "Recipient", "Seats", "Sender" },
        keys_of(entry_of(sent("transfers.initiate_v1", payload, SEATS))))
      local lower = sent("transfers.initiate_v1", payload, SEATS, { shapes = { transfer_v1 = "lower" } })
      assert.same({ "recipient", "seats", "sender" }, keys_of(entry_of(lower)))
      assert.equal(8, entry_of(lower).seats[1].seatInfo.seats)
    end
    local lower_items = sent("transfers.initiate_v1", v1_items(), nil, { shapes = { transfer_v1 = "lower" } })
    assert.same({ "externalTransferId", "items", "recipient", "sender" }, keys_of(entry_of(lower_items)))

    -- Version 2 takes the other spelling, too, and never sends it.
    local entry = v2_seats().transferRequests[1]
    local v2 = sent("transfers.initiate", { transferRequests = { {
      sender = entry.Sender, recipient = entry.Recipient, seats = entry.Seats,
    } } }, SEATS, { shapes = { transfer_v1 = "lower" } })
    assert.same({ "Recipient", "Seats", "Sender" }, keys_of(entry_of(v2)))
  end)

  it("row 2: the seller's contact blocks go out as objects, as lists of one on request", function()
    local as_lists = individual()
    for _, name in ipairs { "address", "phoneNumber", "emailAddress" } do
      as_lists.seller[name] = { as_lists.seller[name] }
    end
    for _, payload in ipairs { individual(), as_lists } do
      assert.same(individual(), sent("tickets.lock", payload).json)
      assert.same(as_lists, sent("tickets.lock", payload, nil, { shapes = { seller_contact = "array" } }).json)
    end
  end)

  it("row 3: listing, buyer and settlement of an order go out as lists, all three as objects on request", function()
    local as_lists = samples.load("complete-order.request.json")
    local as_objects = samples.load("derived/complete-order.request.object-shape.json")
    for _, payload in ipairs { as_lists, as_objects } do
      assert.same(as_lists, sent("orders.complete", payload).json)
      assert.same(as_objects, sent("orders.complete", payload, nil, { shapes = { complete_order = "object" } }).json)
    end
  end)

  it("row 4: the buyer's contact blocks go out as objects, whatever the seller's are", function()
    local shapes = { seller_contact = "array", complete_order = "object" }
    local reshaped = sent("orders.complete", nil, nil, { shapes = shapes })
    for _, buyer in ipairs { sent("orders.complete").json.buyer[1], reshaped.json.buyer } do
      assert.equal("7149999999", buyer.phoneNumber.number)
      assert.equal("Irvine", buyer.address.locality)
      assert.equal("tony@stark.com", buyer.emailAddress.email)
    end
  end)

  it("row 5: tickets of verify goes out as a list, as an object on request", function()
    local as_list = samples.load("verify.request.tokens.json")
    local as_object = samples.load("derived/verify.request.tokens.object-shape.json")
    for _, payload in ipairs { as_list, as_object } do
      assert.same(as_list, sent("tickets.verify", payload).json)
      assert.same(as_object, sent("tickets.verify", payload, nil, { shapes = { verify = "object" } }).json)
    end
  end)

  it("row 10: a lock may have any of the three sources, and no fourth", function()
    for _, source in ipairs { "MY_ACCOUNT", "INDIVIDUAL", "BROKER" } do
      assert.equal(source, sent("tickets.lock", individual { ["/source"] = source }).json.source)
    end
    assert.same({ "/source enum" }, problems(refused("tickets.lock", individual { ["/source"] = "OTHER" })))
  end)

  it("row 11: a seller is demanded for INDIVIDUAL and BROKER, and passed through for MY_ACCOUNT", function()
    for _, source in ipairs { "INDIVIDUAL", "BROKER" } do
      local payload = individual { ["/source"] = source, ["/seller"] = samples.REMOVE }
      assert.same({ "/seller required" }, problems(refused("tickets.lock", payload)))
    end
    assert.is_nil(sent("tickets.lock", samples.load("lock.request.my-account.json")).json.seller)
    local seller = sent("tickets.lock", samples.load("lock.request.linkv1.json")).json.seller
    assert.equal("string", seller.phoneNumber.number)
    local lacking = individual { ["/source"] = "MY_ACCOUNT", ["/seller"] = { lastName = "Smith" } }
    assert.same({ lastName = "Smith" }, sent("tickets.lock", lacking).json.seller)
  end)

  it("row 12: the seller goes out as an object, and a list of sellers is refused", function()
    assert.equal("Smith", sent("tickets.lock", individual()).json.seller.lastName)
    local payload = individual()
    payload.seller = { payload.seller }
    for _, problem in ipairs(refused("tickets.lock", payload).fields) do
      assert.matches("^/seller", problem.path)
    end
  end)

  it("row 13: a phone extension that is absent stays out, and null goes out on explicit wish", function()
    local place = "/seller/phoneNumber/extension"
    assert.is_nil(sent("tickets.lock", individual()).body:find("extension", 1, true))
    assert.equal("12", sent("tickets.lock", individual { [place] = "12" }).json.seller.phoneNumber.extension)
    assert.truthy(sent("tickets.lock", individual { [place] = NULL }).body:find('"extension":null', 1, true))
  end)

  it("row 14: a transfer has Seats for seat details, Items for tokens, or both, but not neither", function()
    assert.is_nil(entry_of(sent("transfers.initiate", v2_seats(), SEATS)).Items)
    assert.is_nil(entry_of(sent("transfers.initiate", v2_items())).Seats)
    local both = v2_seats { ["/transferRequests/0/Items"] = v2_items().transferRequests[1].Items }
    assert.same({ "Items", "Recipient", "Seats", "Sender" }, keys_of(entry_of(sent("transfers.initiate", both, SEATS))))
    for operation, payload in pairs { ["transfers.initiate"] = v2_items(), ["transfers.initiate_v1"] = v1_items() } do
      payload.transferRequests[1].Items = nil
      assert.equal(1, #refused(operation, payload).fields)
    end
  end)

  it("row 18: v2 demands an email, v1 an email or a phone; an absent phone stays out, null goes out on wish", function()
    local recipient = "/transferRequests/0/Recipient"
    local function v2(changes) return v2_items { [recipient] = changes } end
    local function v1(changes) return v1_items { [recipient] = changes } end
    local names = { recipientFirstName = "Juan", recipientLastName = "Ramirez" }
    local function named(more)
      for key, value in pairs(names) do
        more[key] = value
      end
      return more
    end
    local place = "/transferRequests/0/Recipient/email required"
    assert.same({ place }, problems(refused("transfers.initiate", v2(named { phone = "7149999999" }))))
    assert.same(named { phone = "7149999999" },
      entry_of(sent("transfers.initiate_v1", v1(named { phone = "7149999999" }))).Recipient)
    assert.same(named { email = "a@b.example" },
      entry_of(sent("transfers.initiate_v1", v1(named { email = "a@b.example" }))).Recipient)
    assert.equal(1, #refused("transfers.initiate_v1", v1(named {})).fields)
    local request = sent("transfers.initiate", v2(named { email = "a@b.example" }))
    assert.is_nil(request.body:find("phone", 1, true))
    request = sent("transfers.initiate", v2(named { email = "a@b.example", phone = NULL }))
    assert.truthy(request.body:find('"phone":null', 1, true))
  end)

  it("row 19: there is exactly one transfer request, with several Items or, on request, at most one", function()
    local item = v2_items().transferRequests[1].Items[1]
    local several = v2_items { ["/transferRequests/0/Items/1"] = item }
    assert.equal(2, #entry_of(sent("transfers.initiate", several)).Items)
    local settings = { shapes = { transfer_items = "one" } }
    assert.equal("/transferRequests/0/Items", refused("transfers.initiate", several, nil, settings).fields[1].path)
    assert.equal(1, #entry_of(sent("transfers.initiate", v2_items(), nil, settings)).Items)
    for operation, payload in pairs { ["transfers.initiate"] = v2_items(), ["transfers.initiate_v1"] = v1_items(),
      ["transfers.complete"] = samples.load("derived/complete-transfer.request.json") } do
      payload.transferRequests[2] = samples.copy(payload.transferRequests[1])
      assert.same({ "/transferRequests max_items" }, problems(refused(operation, payload)))
      payload.transferRequests = {}
      assert.same({ "/transferRequests min_items" }, problems(refused(operation, payload)))
    end
  end)

  it("row 20: an acceptance may lack its Recipient, unless a switch demands it", function()
    local payload = { transferId = "w53hKM1ZPmDBgYsq68VW6xR6KLLeoWCR" }
    assert.same(payload, sent("transfers.accept", payload, SEATS).json)
    assert.same(payload, sent("transfers.accept", payload).json)
    local settings = { shapes = { accept_recipient = "required" } }
    assert.equal("/Recipient", refused("transfers.accept", payload, SEATS, settings).fields[1].path)
    assert.equal("string", sent("transfers.accept", nil, nil, settings).json.Recipient.email)
  end)

  it("row 21: complete-transfer demands its Items", function()
    local payload = samples.with("derived/complete-transfer.request.json",
      { ["/transferRequests/0/Items"] = samples.REMOVE })
    assert.same({ "/transferRequests/0/Items required" }, problems(refused("transfers.complete", payload)))
  end)

  it("row 22: soldFor goes out as a number, for v1 as a string on request", function()
    local place = "/transferRequests/0/Seats/0/seatInfo/soldFor"
    assert.truthy(sent("transfers.initiate", v2_seats(), SEATS).body:find('"soldFor":13.13,', 1, true))
    assert.equal(place, refused("transfers.initiate", v2_seats { [place] = "13.13" }, SEATS).fields[1].path)
    for _, value in ipairs { "13.13", 13.13 } do
      local payload = v1_seats { ["/transferRequests/0/seats/0/seatInfo/soldFor"] = value }
      assert.truthy(sent("transfers.initiate_v1", payload, SEATS).body:find('"soldFor":13.13,', 1, true))
      local request = sent("transfers.initiate_v1", payload, SEATS, { shapes = { sold_for = "string" } })
      assert.truthy(request.body:find('"soldFor":"13.13",', 1, true))
    end
    -- The switch is of version 1 alone.
    local v2 = sent("transfers.initiate", v2_seats(), SEATS, { shapes = { sold_for = "string" } })
    assert.truthy(v2.body:find('"soldFor":13.13,', 1, true))
  end)

  it("row 24: a section of a listing is split into the two fields of a transfer", function()
    local listing = assert(wire.received_sample("listings.get", 200, "listing.response.200.json"))[1]
    local seat = listing.tickets[1].seats[1]
    assert.equal("ES:9", seat.section)
    local level, section = paciolan.split_section(seat.section)
    local place = "/transferRequests/0/Seats/0/seatInfo/"
    local payload = v2_seats { [place .. "level"] = level, [place .. "section"] = section }
    local info = entry_of(sent("transfers.initiate", payload, SEATS)).Seats[1].seatInfo
    assert.equal("ES", info.level)
    assert.equal("9", info.section)
  end)

  it("row 26: every call has the names of its own page, and nothing is renamed", function()
    local seat = entry_of(sent("transfers.initiate", v2_seats(), SEATS)).Seats[1]
    assert.same({ "event", "priceLevel", "priceType", "season", "seatInfo" }, keys_of(seat))
    assert.equal(8, seat.seatInfo.seats)
    assert.equal("John", sent("tickets.lock", individual()).json.seller.firstName)
    assert.equal("string", sent("orders.complete").json.buyer[1].middleInitial)
    local order = samples.with("complete-order.request.json", { ["/buyer/0/middleName"] = "X" })
    assert.same({ "/buyer/0/middleName unknown" }, problems(refused("orders.complete", order)))
    local lock = individual { ["/seller/middleInitial"] = "X" }
    assert.same({ "/seller/middleInitial unknown" }, problems(refused("tickets.lock", lock)))
    assert.truthy(sent("catalog.events", { seasonCode = "F23" }).url:find("?seasonCode=F23", 1, true))

    local listed = assert(wire.received_sample("listings.get", 200, "listing.response.200.json"))
    assert.equal("FB01VIP", listed[1].tickets[1].seats[1].item)
    local verified = assert(wire.received_sample("tickets.verify", 200, "verify.response.200.json"))
    assert.equal("BB01", verified.tokens[1].success.seats[1].event)
    local events = assert(wire.received_sample("catalog.events", 200, "catalog-events.response.200.json"))
    assert.equal("P01", events[1].itemCode)
  end)

  it("row 27: an email address stands under the name email", function()
    assert.equal("johnsmith@paciolan.com", sent("tickets.lock", individual()).json.seller.emailAddress.email)
    assert.equal("ta236@paciolan.com", entry_of(sent("transfers.initiate", v2_items())).Recipient.email)
    assert.equal("tony@stark.com", sent("orders.complete").json.buyer[1].emailAddress.email)
    local known, other = "/seller/emailAddress/email", "/seller/emailAddress/emailAddress"
    local payload = individual { [other] = "x", [known] = samples.REMOVE }
    assert.same({ known .. " required", other .. " unknown" }, problems(refused("tickets.lock", payload)))
  end)

  it("row 50: a callback URL goes where its page has it, of any scheme or, on request, https alone", function()
    local https = { shapes = { callback_url = "https" } }
    local url = "http://mycallbackurl.com/transfer-result"
    assert.equal(url, sent("transfers.initiate", v2_seats(), SEATS).json.asyncCallbackUrl)
    assert.same({ "/asyncCallbackUrl format" }, problems(refused("transfers.initiate", v2_seats(), SEATS, https)))
    local secure = v2_seats { ["/asyncCallbackUrl"] = "https://example.com/x" }
    assert.equal("https://example.com/x", sent("transfers.initiate", secure, SEATS, https).json.asyncCallbackUrl)

    local function order(text)
      return samples.with("complete-order.request.json", { ["/settlement/0/asyncCallbackUrl"] = text })
    end
    local settlement = sent("orders.complete", order(url)).json.settlement[1]
    assert.equal(url, settlement.asyncCallbackUrl)
    assert.same({ "/settlement/0/asyncCallbackUrl format" },
      problems(refused("orders.complete", order(url), nil, https)))
    assert(sent("orders.complete", order("https://example.com/x"), nil, https))
    -- Each only where its own page has it.
    assert(refused("orders.complete", samples.with("complete-order.request.json", { ["/asyncCallbackUrl"] = url })))
    assert(refused("transfers.initiate_v1", v1_items { ["/asyncCallbackUrl"] = url }))
  end)

  it("row 54: sums are the caller's: they go out and come back unchanged, and nothing is added up", function()
    local payload = samples.with("complete-order.request.json", {
      ["/listing/0/totalPrice"] = 1, ["/listing/0/tokens/0/individualPrice"] = 1000.25,
      ["/settlement/0/totalAmountPaid"] = 0, ["/settlement/0/amountToSeller"] = 99999,
    })
    local body = sent("orders.complete", payload).json
    assert.same(payload, body)
    local order = assert(wire.received_sample("orders.complete", 200, "complete-order.response.200.json"))
    assert.equal(104, order.paid)
    assert.equal(1, order.offers[1].quantity)
  end)

  it("row 57: linkId, siteId and baseUrl go out as they are, and an accept URL comes back as it is", function()
    local payload = v2_items { ["/linkId"] = "BQFN80-AMTX", ["/siteId"] = "ev_BQFN80-AMTX",
      ["/baseUrl"] = "not a URL at all" }
    local body = sent("transfers.initiate", payload).json
    assert.equal("BQFN80-AMTX", body.linkId)
    assert.equal("ev_BQFN80-AMTX", body.siteId)
    assert.equal("not a URL at all", body.baseUrl)
    assert.equal("string", sent("transfers.initiate_v1", v1_seats(), SEATS).json.linkId)
    local file = "transfer-v2.response.complete.json"
    assert.equal(samples.load(file).url, assert(wire.received_sample("transfers.initiate", 200, file)).url)
  end)

  it("row 58: externalListingId may be left out of a lock, and not of an order", function()
    local lock = samples.with("lock.request.my-account.json", { ["/listing/externalListingId"] = samples.REMOVE })
    assert.is_nil(sent("tickets.lock", lock).json.listing.externalListingId)
    local order = samples.with("complete-order.request.json", { ["/listing/0/externalListingId"] = samples.REMOVE })
    assert.same({ "/listing/0/externalListingId required" }, problems(refused("orders.complete", order)))
  end)

  it("row 59: lock sends objects and takes strings from the caller too; the other calls have strings", function()
    local payload = { source = "MY_ACCOUNT", listing = { tokens = { "98973476444", { token = "54457347644" } } } }
    assert.same({ { token = "98973476444" }, { token = "54457347644" } },
      sent("tickets.lock", payload).json.listing.tokens)
    assert.same({ "98973476444", "54457347644" }, sent("tickets.unlock").json.tokens)
    assert.same({ "88973476445", "55457347694" }, sent("tickets.print").json.tokens)
    assert.same({ "88973476445", "55457347694" }, sent("tickets.verify").json.tickets[1].tokens)
    for _, row in ipairs {
      { "tickets.unlock", { tokens = { { token = "1" } } }, "/tokens/0 type" },
      { "tickets.print", { externalOrderId = "1", tokens = { { token = "1" } } }, "/tokens/0 type" },
      { "tickets.verify", { tickets = { { tokens = { { token = "1" } } } } }, "/tickets/0/tokens/0 type" },
    } do
      assert.same({ row[3] }, problems(refused(row[1], row[2])))
    end
  end)

  it("row 55: a confirmationCd stands in paths, a transferId in an acceptance", function()
    local code = "3785222-AMTX:10237"
    for _, operation in ipairs { "transfers.cancel", "transfers.history" } do
      assert.truthy(sent(operation, code).url:find("/v1/tickets/transfer/3785222-AMTX:10237", 1, true))
      local both = { confirmationCd = code, transferId = "x" }
      assert.same({ "/transferId unknown" }, problems(refused(operation, both)))
    end
    assert.equal("string", sent("transfers.accept").json.transferId)
    local history = assert(wire.received_sample("transfers.history", 200, "transfer-history.response.200.json"))
    assert.equal(code, history.transferId)
    local offer = assert(wire.received_sample("transfers.initiate", 200, "transfer-v2.response.complete.json"))
    assert.equal("w53hKM1ZPmDBgYsq68VW6xR6KLLeoWCR", offer.transferId)
    assert.equal(code, offer.confirmationCd)
  end)
end)
