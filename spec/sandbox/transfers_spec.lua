local desk = require "support.desk"

local V1, V2 = "/v1/tickets/transfer?distributorCode=AMTX", "/v2/tickets/transfer?distributorCode=AMTX"

describe("sandbox: transfers", function()
  local here, seat, token

  before_each(function()
    here = desk.open()
    local tokens, seats = here:free_tokens(1)
    token, seat = tokens[1], seats[1]
  end)

  local function fill(entry)
    local rows = entry.Seats or entry.seats
    local sender = entry.Sender or entry.sender
    sender.patronId = seat.owner
    if rows then
      rows[1].season, rows[1].event = seat.season, seat.item
      local info = rows[1].seatInfo
      info.level, info.section = seat.level, seat.section_code
      info.row, info.seats = tonumber(seat.row), tonumber(seat.seat)
    else
      local item = (entry.Items or entry.items)[1]
      item.externalOrderId, item.tokens = "O-1", { token }
    end
  end

  local function request_from(name)
    local payload = desk.fixture(name)
    fill(payload.transferRequests[1])
    return payload
  end

  local function by_seats(changes, headers)
    local payload = request_from("transfer-v2.request.seats")
    for key, value in pairs(changes or {}) do
      payload[key] = value
    end
    return here:call("POST", V2, payload, headers)
  end

  local function accept(transfer_id, recipient, query)
    return here:call("POST", "/v1/tickets/transfer/accept" .. (query or ""),
      { transferId = transfer_id, Recipient = recipient })
  end

  local function recipient()
    return desk.fixture("derived/transfer-v2.request.items").transferRequests[1].Recipient
  end

  local function cancel(confirmation, headers)
    return here:call("DELETE", "/v1/tickets/transfer/" .. confirmation, nil, headers)
  end

  local V1_FORMS = { "transfer-v1.request.seats", "derived/transfer-v1.request.seats.capitalised",
    "derived/transfer-v1.request.items" }
  for _, name in ipairs(V1_FORMS) do
    it("v1 takes " .. name .. " and answers at once", function()
      if name:find("items", 1, true) then
        here:sell { token }
      end
      local status, body = here:call("POST", V1, request_from(name))
      assert.equal(200, status)
      assert.is_nil(desk.difference(desk.fixture("transfer-v1.response.200"), body))
      assert.equal("pending", body.transferStatus)
    end)
  end

  for _, name in ipairs { "transfer-v2.request.seats", "derived/transfer-v2.request.items" } do
    it("v2 takes " .. name, function()
      if name:find("items", 1, true) then
        here:sell { token }
      end
      local status, body = here:call("POST", V2, request_from(name))
      assert.equal(200, status)
      assert.is_nil(desk.difference(desk.fixture("transfer-v2.response.complete"), body))
      assert.equal("COMPLETE", body.transactionStatus)
      assert.equal(seat.owner .. "-AMTX:10237", body.confirmationCd)
      assert.equal("11/14/2023 22:13:20", body.sentDt)
      assert.equal("11/21/2023 22:13:20", body.expireDt)
      assert.equal(body.confirmationCd, seat.transfer)
    end)
  end

  it("v2 stays PENDING for as many polls as asked", function()
    local status, body = by_seats({}, { ["x-sandbox-pending"] = "1" })
    assert.equal(200, status)
    assert.is_nil(desk.difference(desk.fixture("transfer-v2.response.pending"), body))
    local path = "/v2/tickets/transfer/pending/" .. body.processId
    local _, poll = here:call("GET", path)
    assert.equal("PENDING", poll.transactionStatus)
    _, poll = here:call("GET", path)
    assert.is_nil(desk.difference(desk.fixture("transfer-v2.response.complete"), poll))
    assert.equal(404, (here:call("GET", "/v2/tickets/transfer/pending/nothing")))
  end)

  it("v2 ends as ERROR on request and frees the seat", function()
    local status, body = by_seats({}, { ["x-sandbox-outcome"] = "error" })
    assert.equal(422, status)
    local sample = desk.fixture("transfer-v2.response.error")
    body.processId = sample.processId
    assert.same(sample, body)
    assert.is_nil(seat.transfer)
    local _, later = by_seats({}, { ["x-sandbox-outcome"] = "error", ["x-sandbox-pending"] = "1" })
    local path = "/v2/tickets/transfer/pending/" .. later.processId
    here:call("GET", path)
    local code, poll = here:call("GET", path)
    assert.same({ 200, "ERROR" }, { code, poll.transactionStatus })
  end)

  it("v2 fails as UNHANDLED_EXCEPTION on request", function()
    local status, body = by_seats({}, { ["x-sandbox-outcome"] = "unhandled" })
    assert.equal(500, status)
    assert.same({ "UNHANDLED_EXCEPTION", "MS-500", "ERROR" },
      { body.error.type, body.error.appErrorCode, body.transactionStatus })
    assert.truthy(body.processId)
  end)

  it("remembers the callback URL", function()
    local _, body = by_seats { asyncCallbackUrl = "http://127.0.0.1:9/done" }
    assert.equal("http://127.0.0.1:9/done", here.box.ledger:callback(body.processId))
  end)

  local function requests(change)
    local payload = request_from("transfer-v2.request.seats")
    change(payload.transferRequests, payload.transferRequests[1])
    return payload
  end
  local ENTITY = "UNPROCESSABLE_ENTITY"
  local ROWS = {
    { "no entry", function(list) list[1] = nil end, 400, ENTITY, "missing a required transfer entity" },
    { "no sender", function(_, e) e.Sender = nil end, 400, ENTITY, "missing a required transfer entity" },
    { "no recipient", function(_, e) e.Recipient = nil end, 400, ENTITY, "missing a required transfer entity" },
    { "no seats", function(_, e) e.Seats = nil end, 400, ENTITY, "missing a required transfer entity" },
    { "two entries", function(list) list[2] = list[1] end, 400, ENTITY, "cannot have more than one item" },
    { "an empty seat array", function(_, e) e.Seats = {} end, 400, ENTITY, "seat array in the request is empty" },
    { "31 seats", function(_, e)
      for i = 2, 31 do
        e.Seats[i] = e.Seats[1]
      end
    end, 400, ENTITY, "cannot contain more than 30 items" },
    { "no email", function(_, e) e.Recipient.email = nil end, 422, "INVALID_PARAMETER_VALUE", "email is required" },
    { "a price in words", function(_, e) e.Seats[1].seatInfo.soldFor = "13.13" end, 422, "INVALID_PARAMETER_VALUE",
      "soldFor must be a number" },
    { "a row in digits as text", function(_, e) e.Seats[1].seatInfo.row = "12" end, 422, "INVALID_PARAMETER_VALUE",
      "must be an integer" },
    { "half a row", function(_, e) e.Seats[1].seatInfo.row = 1.5 end, 422, "INVALID_PARAMETER_VALUE", "row must be" },
    { "lower-case names", function(_, e) e.sender, e.Sender = e.Sender, nil end, 422, "INVALID_PARAMETER_VALUE",
      "not a documented field" },
    { "another owner", function(_, e) e.Sender.patronId = "1" end, 422, "INVALID_PARAMETER_VALUE", "does not own" },
    { "a seat that is not there", function(_, e) e.Seats[1].seatInfo.row = 999 end, 422, "INVALID_PARAMETER_VALUE",
      "Seats[0] does not exist" },
    { "the same seat twice", function(_, e) e.Seats[2] = e.Seats[1] end, 422, "INVALID_PARAMETER_VALUE",
      "named twice" },
  }
  for _, row in ipairs(ROWS) do
    it("v2 refuses " .. row[1], function()
      local status, body = here:call("POST", V2, requests(row[2]))
      assert.equal(row[3], status)
      assert.same({ row[4], "MS-422", "ERROR" }, { body.error.type, body.error.appErrorCode, body.transactionStatus })
      assert.truthy(body.error.developerMessage:find(row[5], 1, true), body.error.developerMessage)
      assert.truthy(body.processId)
    end)
  end

  it("wants a distributor and an organization with seat details", function()
    local payload = request_from("transfer-v2.request.seats")
    assert.equal(422, (here:call("POST", "/v2/tickets/transfer", payload)))
    local status, body = here:call("POST", V2, payload, { ["pac-organization-id"] = false })
    assert.equal(400, status)
    assert.truthy(body.error.developerMessage:find("PAC-Organization-ID", 1, true))
    assert.equal(422, (here:call("POST", V2, payload, { ["pac-organization-id"] = "999" })))
  end)

  it("wants neither with tokens, but a finished order", function()
    local payload = request_from("derived/transfer-v2.request.items")
    local headers = { ["pac-organization-id"] = false }
    assert.equal(422, (here:call("POST", "/v2/tickets/transfer", payload, headers)))
    here:sell { token }
    payload.transferRequests[1].Sender.patronId = seat.owner
    assert.equal(200, (here:call("POST", "/v2/tickets/transfer", payload, headers)))
  end)

  it("refuses locked seats and seats of an open transfer", function()
    here:call("PUT", "/v1/tickets/lock", desk.lock_payload { token })
    assert.equal(422, (by_seats()))
    here:call("PUT", "/v1/tickets/unlock", { tokens = { token } })
    assert.equal(200, (by_seats()))
    assert.equal(422, (by_seats()))
    assert.equal(422, (here:call("PUT", "/v1/tickets/lock", desk.lock_payload { token })))
  end)

  it("v1 answers 400 to bad input, takes phone without email, and a price as text", function()
    local payload = request_from("transfer-v1.request.seats")
    payload.transferRequests[1].recipient.email = nil
    assert.equal(200, (here:call("POST", V1, payload)))
    payload.transferRequests[1].recipient.phone = nil
    local status, body = here:call("POST", V1, payload)
    assert.same({ 400, "BAD_REQUEST" }, { status, body.error.type })
    assert.is_nil(body.processId)
  end)

  it("accept hands the seats over, once", function()
    here:sell { token }
    local _, made = here:call("POST", V2, request_from("derived/transfer-v2.request.items"))
    local status, body = accept(made.transferId, recipient())
    assert.equal(200, status)
    assert.is_nil(desk.difference(desk.fixture("accept-transfer.response.200"), body))
    assert.not_equal(made.patronId, seat.owner)
    assert.is_nil(seat.transfer)
    assert.equal(400, (accept(made.transferId, recipient())))
    assert.equal(400, (accept("unknown", recipient())))
  end)

  it("accept wants the recipient's names after tokens and the distributor after seats", function()
    here:sell { token }
    local _, made = here:call("POST", V2, request_from("derived/transfer-v2.request.items"))
    assert.equal(400, (accept(made.transferId)))
    assert.equal(400, (accept(made.transferId, { email = "a@example.com" })))
    token, seat = here:free_tokens(1)[1], select(2, here:free_tokens(1))[1]
    _, made = by_seats()
    assert.equal(400, (accept(made.transferId)))
    assert.equal(200, (accept(made.transferId, nil, "?distributorCode=AMTX")))
  end)

  it("accept refuses a transfer that has expired", function()
    local _, made = by_seats()
    here.box:advance(7 * 86400)
    here.headers.authorization = "Bearer " .. here.box.tokens:exchange(here.box.tokens.codes[2], 60).access
    local status, body = accept(made.transferId, nil, "?distributorCode=AMTX")
    assert.equal(400, status)
    assert.truthy(body.error.developerMessage:find("expired", 1, true))
  end)

  it("cancel frees the seats, once", function()
    local owner = seat.owner
    local _, made = by_seats()
    local status, body = cancel(made.confirmationCd)
    assert.equal(200, status)
    assert.is_nil(desk.difference(desk.fixture("cancel-transfer.response.200"), body))
    assert.equal("Cancelled", body.transferStatus)
    assert.same({ owner, nil }, { seat.owner, seat.transfer })
    assert.equal(400, (cancel(made.confirmationCd)))
    assert.equal(400, (cancel("unknown")))
  end)

  it("history shows every step under the confirmation code", function()
    local _, made = by_seats()
    local path = "/v1/tickets/transfer/" .. made.confirmationCd:gsub(":", "%%3A")
    local status, body = here:call("GET", path, nil, { ["pac-organization-id"] = false })
    assert.equal(200, status)
    assert.is_nil(desk.difference(desk.fixture("transfer-history.response.200"), body))
    assert.equal(made.confirmationCd, body.transferId)
    here.box:advance(10)
    cancel(made.confirmationCd)
    _, body = here:call("GET", path)
    assert.same({ op = "cancel", ts = "2023-11-14T22:13:30.250+0000", initiator = "transferrer" }, body.history[2])
    assert.equal(400, (here:call("GET", "/v1/tickets/transfer/unknown")))
  end)

  describe("complete", function()
    local function complete(headers)
      local payload = desk.fixture("derived/complete-transfer.request")
      payload.transferRequests[1].Items[1] = { externalOrderId = "O-1", tokens = { token } }
      return here:call("POST", "/v1/tickets/transfer/complete", payload, headers)
    end

    it("initiates, accepts and prints in one call", function()
      here:sell { token }
      local before = seat.owner
      local status, body = complete()
      assert.equal(200, status)
      assert.equal("COMPLETE", body.status)
      assert.not_equal(before, seat.owner)
      assert.is_true(seat.printed)
      assert.equal(seat.owner, body.tickets[1].ownerId)
      local _, history = here:call("GET", "/v1/tickets/transfer/" .. body.confirmationCd)
      assert.same({ "initiate", "accept" }, { history.history[1].op, history.history[2].op })
    end)

    it("can be pending, and can fail", function()
      here:sell { token }
      local _, body = complete { ["x-sandbox-pending"] = "1", ["x-sandbox-outcome"] = "error" }
      assert.is_nil(desk.difference(desk.fixture("derived/complete-transfer.response.pending"), body))
      local path = "/v1/tickets/transfer/complete/" .. body.processId
      here:call("GET", path)
      local status, poll = here:call("GET", path)
      assert.same({ 200, "ERROR" }, { status, poll.status })
      assert.is_nil(seat.transfer)
      assert.equal(404, (here:call("GET", "/v1/tickets/transfer/complete/nothing")))
    end)

    it("refuses seats that were not sold, and a request without items", function()
      assert.equal(422, (complete()))
      local payload = desk.fixture("derived/complete-transfer.request")
      payload.transferRequests[1].Items = nil
      assert.equal(400, (here:call("POST", "/v1/tickets/transfer/complete", payload)))
    end)
  end)
end)
