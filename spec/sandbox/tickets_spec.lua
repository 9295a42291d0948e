local desk = require "support.desk"

describe("sandbox: tickets", function()
  local here

  before_each(function()
    here = desk.open()
  end)

  local function lock(payload)
    return here:call("PUT", "/v1/tickets/lock", payload)
  end
  local function unlock(tokens)
    return here:call("PUT", "/v1/tickets/unlock", { tokens = tokens })
  end
  local function verify(tickets)
    return here:call("POST", "/v1/tickets/verify", { tickets = tickets })
  end
  local function print_tickets(order_id, tokens)
    return here:call("POST", "/v1/tickets/print", { externalOrderId = order_id, tokens = tokens })
  end
  local function many(count)
    local list = {}
    for i = 1, count do
      list[i] = "token" .. i
    end
    return list
  end

  describe("lock", function()
    it("locks MyAccount seats for their owner", function()
      local tokens, seats = here:free_tokens(2)
      local status, body = lock(desk.lock_payload(tokens))
      assert.equal(200, status)
      assert.is_nil(desk.difference(desk.fixture("lock.response.200"), body))
      assert.same({ seats[1].owner }, body.sellerIds)
      assert.same({ listing_id = "L-1", source = "MY_ACCOUNT" }, seats[1].lock)
    end)

    for _, name in ipairs { "lock.request.individual", "derived/lock.request.broker" } do
      it("takes " .. name .. " and resolves its seller by email", function()
        local payload = desk.fixture(name)
        local tokens = here:free_tokens(2)
        payload.listing.tokens[1].token, payload.listing.tokens[2].token = tokens[1], tokens[2]
        local status, first = lock(payload)
        assert.equal(200, status)
        local _, second = lock(payload)
        assert.same(first.sellerIds, second.sellerIds)
        assert.equal("created", here.box.inventory:patron(first.sellerIds[1]).origin)
      end)
    end

    it("finds a seller who is a patron already", function()
      local payload = desk.fixture("lock.request.individual")
      payload.listing.tokens = { { token = here:free_tokens(1)[1] } }
      payload.seller.emailAddress.email = "Patron3@example.com"
      local _, body = lock(payload)
      assert.same({ here.box.inventory.patrons[3].id }, body.sellerIds)
    end)

    it("takes the older array form of the seller", function()
      local payload = desk.fixture("lock.request.linkv1")
      payload.listing.tokens[1].token = here:free_tokens(1)[1]
      payload.seller.phoneNumber[1].number = "9498234548"
      assert.equal(200, (lock(payload)))
    end)

    it("may be repeated for the same listing", function()
      local tokens = here:free_tokens(2)
      lock(desk.lock_payload(tokens))
      assert.equal(200, (lock(desk.lock_payload(tokens))))
    end)

    it("answers 207 and locks the rest when some fail", function()
      local tokens, seats = here:free_tokens(2)
      lock(desk.lock_payload({ tokens[1] }, "another"))
      local status, body = lock(desk.lock_payload { tokens[1], tokens[2], "unknown" })
      assert.equal(207, status)
      assert.same({ { token = tokens[2], ownerId = seats[2].owner } }, body.success)
      assert.same({ "INVALID_TOKEN", "MS-422", "UNLOCK" },
        { body.failure[1].type, body.failure[1].appErrorCode, body.failure[1].status })
      assert.same({ "TOKEN_NOT_FOUND", "MS-404", "unknown" },
        { body.failure[2].type, body.failure[2].appErrorCode, body.failure[2].token })
      assert.is_nil(desk.difference(desk.fixture("lock.response.207").failure[1], body.failure[1]))
      assert.equal("another", seats[1].lock.listing_id)
    end)

    it("answers 422 with every failure when all fail", function()
      local tokens = here:free_tokens(1)
      lock(desk.lock_payload(tokens, "another"))
      local status, body = lock(desk.lock_payload(tokens))
      assert.equal(422, status)
      assert.is_nil(desk.difference(desk.fixture("lock.response.422"), body))
    end)

    it("keeps sellerIds a list when nobody is known", function()
      local _, _, answer = lock(desk.lock_payload { "unknown" })
      assert.truthy(answer.body:find('"sellerIds":[]', 1, true))
    end)

    it("refuses sold seats", function()
      local tokens = here:free_tokens(1)
      here:sell(tokens)
      local status, body = lock(desk.lock_payload(tokens, "L-9"))
      assert.equal(422, status)
      assert.equal("INVALID_TOKEN", body.failure[1].type)
    end)

    it("takes 100 tokens and refuses 101 in the documented words", function()
      assert.equal(200, (lock(desk.lock_payload((here:free_tokens(100, "129:FB30:FB01"))))))
      local status, body = lock(desk.lock_payload(many(101)))
      assert.equal(422, status)
      assert.same(desk.fixture("lock.response.422.too-many-tokens"), body)
    end)

    local function changed(change)
      local payload = desk.fixture("lock.request.individual")
      change(payload)
      return payload
    end
    local REFUSED = {
      { "no source", function(p) p.source = nil end, "body.source is required" },
      { "an unknown source", function(p) p.source = "OWNER" end, "body.source must be one of" },
      { "no listing", function(p) p.listing = nil end, "body.listing is required" },
      { "no tokens", function(p) p.listing.tokens = {} end, "body.listing.tokens must have at least 1" },
      { "a bare token", function(p) p.listing.tokens[2] = "x" end, "body.listing.tokens[1] must be an object" },
      { "a numeric token", function(p) p.listing.tokens[1].token = 5 end, "tokens[0].token must be a string" },
      { "a price in words", function(p) p.listing.totalPrice = "14" end, "totalPrice must be a number" },
      { "no seller", function(p) p.seller = nil end, "body.seller is required" },
      { "no email", function(p) p.seller.emailAddress = nil end, "body.seller.emailAddress is required" },
      { "a formatted number", function(p) p.seller.phoneNumber.number = "949-823" end, "digits only" },
      { "half an address", function(p) p.seller.address.region = nil end, "body.seller.address.region is required" },
      { "an unknown field", function(p) p.listing.price = 1 end, "body.listing.price is not a documented field" },
      { "optIn in words", function(p) p.seller.emailAddress.optIn = "yes" end, "must be true or false" },
    }
    for _, row in ipairs(REFUSED) do
      it("refuses " .. row[1], function()
        local status, body = lock(changed(row[2]))
        assert.equal(422, status)
        assert.equal("UNPROCESSABLE_ENTITY", body.error.type)
        assert.truthy(body.error.developerMessage:find(row[3], 1, true), body.error.developerMessage)
      end)
    end

    it("accepts null where the documents do", function()
      local tokens = here:free_tokens(1)
      local text = [[{"source":"BROKER","listing":{"tokens":[{"token":"%s"}]},"seller":{"lastName":"S","firstName":"J",
        "emailAddress":{"email":"j@example.com"},"phoneNumber":{"number":"1","extension":null,"countryCode":"US"},
        "address":{"address1":"1","address2":null,"address3":null,"address4":null,"locality":"I","region":"CA",
        "postalCode":"9","countryCode":"US"}}}]]
      assert.equal(200, (lock(text:format(tokens[1]))))
      assert.equal(422, (lock(text:format(tokens[1]):gsub('"firstName":"J"', '"firstName":null'))))
    end)

    it("answers 400 to what is not JSON", function()
      for _, body in ipairs { "", "{", "[1,]", "5", '"x"', '{"a":NaN}' } do
        assert.equal(400, (lock(body)))
      end
    end)
  end)

  describe("unlock", function()
    it("is idempotent and answers the sample's shape", function()
      local tokens, seats = here:free_tokens(2)
      lock(desk.lock_payload(tokens))
      for _ = 1, 2 do
        local status, body = unlock(tokens)
        assert.equal(200, status)
        assert.is_nil(desk.difference(desk.fixture("unlock.response.200"), body))
        assert.is_nil(seats[1].lock)
      end
    end)

    it("answers 207 when some are unknown and 422 when all are", function()
      local tokens = here:free_tokens(1)
      local status, body = unlock { tokens[1], "unknown" }
      assert.equal(207, status)
      assert.equal("TOKEN_NOT_FOUND", body.failure[1].type)
      assert.equal(422, (unlock { "unknown" }))
    end)

    it("answers 409 when all seats are sold", function()
      local tokens, seats = here:free_tokens(2)
      here:sell(tokens)
      local status, body = unlock(tokens)
      assert.equal(409, status)
      assert.equal(2, #body.failure)
      assert.truthy(seats[1].sale)
      assert.equal(207, (unlock { tokens[1], here:free_tokens(1)[1] }))
    end)

    it("demands a list of strings", function()
      for _, body in ipairs { "{}", '{"tokens":[]}', '{"tokens":"x"}', '{"tokens":[{"token":"x"}]}' } do
        assert.equal(422, (here:call("PUT", "/v1/tickets/unlock", body)))
      end
    end)
  end)

  describe("verify", function()
    it("finds tokens, as a list or as one object", function()
      local tokens, seats = here:free_tokens(2)
      for _, form in ipairs { "verify.request.tokens", "derived/verify.request.tokens.object-shape" } do
        local tickets = desk.fixture(form).tickets
        local entry = tickets[1] or tickets
        entry.accessId, entry.tokens = seats[1].access_id, tokens
        local status, body = verify(tickets)
        assert.equal(200, status)
        assert.is_nil(desk.difference(desk.fixture("verify.response.200"), body))
        assert.equal(seats[2].owner, body.tokens[1].success.seats[2].ownerId)
      end
    end)

    it("finds barcodes", function()
      local _, seats = here:free_tokens(1)
      local payload = desk.fixture("derived/verify.request.barcodes")
      payload.tickets[1].accessId, payload.tickets[1].barcodes = seats[1].access_id, { seats[1].barcode }
      local status, body = verify(payload.tickets)
      assert.equal(200, status)
      assert.equal(seats[1].token, body.barcodes[1].success.seats[1].token)
      assert.equal(seats[1].barcode, body.barcodes[1].success.seats[1].barcode)
    end)

    it("answers 207 when some are unknown or of another event, 422 when all are", function()
      local tokens, seats = here:free_tokens(1)
      local status, body = verify { { accessId = seats[1].access_id, tokens = { tokens[1], "unknown" } } }
      assert.equal(207, status)
      assert.equal("TOKEN_NOT_FOUND", body.tokens[1].failure[1].type)
      status, body = verify { { accessId = "999:F30:F01", tokens = tokens } }
      assert.equal(422, status)
      assert.equal("INVALID_TOKEN", body.failure[1].type)
    end)

    it("shows the new owner after a sale", function()
      local tokens, seats = here:free_tokens(1)
      local before = seats[1].owner
      local order = here:sell(tokens)
      local _, body = verify { { tokens = tokens } }
      local owner = body.tokens[1].success.seats[1].ownerId
      assert.not_equal(before, owner)
      assert.equal(order.offers[1].event.seats[1].ownerId, owner)
    end)

    it("refuses tokens with barcodes, neither, and barcodes without an event", function()
      for _, entry in ipairs { { tokens = { "a" }, barcodes = { "b" } }, { accessId = "x" }, { barcodes = { "b" } } } do
        assert.equal(422, (verify { entry }))
      end
    end)
  end)

  describe("print", function()
    it("gives a URL per ticket of an order, the same one again", function()
      local tokens, seats = here:free_tokens(2)
      here:sell(tokens)
      local status, body = print_tickets("O-1", tokens)
      assert.equal(200, status)
      assert.is_nil(desk.difference(desk.fixture("print.response.200"), body, { url = true }))
      assert.is_true(seats[1].printed)
      local _, again = print_tickets("O-1", tokens)
      assert.same(body, again)
    end)

    it("prints 30 and refuses 31 and 0", function()
      local tokens = here:free_tokens(31, "129:FB30:FB01")
      here:sell(tokens)
      assert.equal(400, (print_tickets("O-1", tokens)))
      tokens[31] = nil
      assert.equal(200, (print_tickets("O-1", tokens)))
      assert.equal(400, (here:call("POST", "/v1/tickets/print", '{"externalOrderId":"O-1","tokens":[]}')))
    end)

    it("refuses what was not sold, or under another order", function()
      local tokens = here:free_tokens(2)
      assert.equal(400, (print_tickets("O-1", tokens)))
      here:sell { tokens[1] }
      local status, body = print_tickets("O-2", { tokens[1] })
      assert.equal(400, status)
      assert.equal("BAD_REQUEST", body.error.type)
      assert.equal(400, (print_tickets("O-1", tokens)))
    end)

    it("refuses tokens of two organizations", function()
      local tokens = { here:free_tokens(1)[1], here:free_tokens(1, "999:F30:F02")[1] }
      here:sell(tokens)
      local status, body = print_tickets("O-1", tokens)
      assert.equal(400, status)
      assert.truthy(body.error.developerMessage:find("organization", 1, true))
      assert.equal(200, (print_tickets("O-1", { tokens[1] })))
    end)
  end)
end)
