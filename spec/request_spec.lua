--- Whole requests of the client, byte for byte, against spec/fixtures/golden/requests.lua.
local golden = assert(loadfile("spec/fixtures/golden/requests.lua"))()
local core = require("paciolan.core")
local paciolan = require("paciolan")
local samples = require("support.samples")
local scripted = require("support.scripted")

local OK = { { status = 200, body = '{"status":"COMPLETE","transactionStatus":"COMPLETE"}' } }
local TOKEN = { { status = 200, body = samples.read("auth-token.response.200.json") } }
local header = scripted.header

local function with_request_id(options)
  local result = { request_id = golden.request_id }
  for key, value in pairs(options or {}) do
    result[key] = value
  end
  return result
end

-- Calls the operation by its name as a program would: "transfers.initiate_v1" is initiate with version "v1".
local function call(link, operation, payload, options)
  local resource, method = operation:match("^(%l+)%.([%l_]+)")
  if operation == "transfers.initiate_v1" then
    method, options.version = "initiate", "v1"
  end
  return link[resource][method](link[resource], payload, options)
end

-- The token call makes its own Request-ID.
local function token_request(entry)
  local payload = samples.load(entry.sample)
  local link, transport = scripted.client(TOKEN, {
    organization_id = "999", auth = { code = payload.code, refresh_token = payload.refreshToken },
  })
  assert(link.auth:rotate())
  for _, pair in ipairs(transport.requests[1].headers) do
    if pair[1] == "Request-ID" then
      assert.is_true(core.is_uuid_v4(pair[2]))
      pair[2] = golden.request_id
    end
  end
  return transport
end

local function request_of(entry)
  if entry.operation == "auth.token" then
    return token_request(entry)
  end
  local link, transport = scripted.client(OK, { organization_id = "999", shapes = entry.shapes })
  local payload = entry.payload or samples.load(entry.sample)
  assert(call(link, entry.operation, payload, with_request_id(entry.options)))
  return transport
end

local function one(steps, overrides, operation, payload, options)
  local link, transport = scripted.client(steps, overrides)
  assert(call(link, operation, payload, options or {}))
  assert.equal(1, #transport.requests)
  return transport.requests[1]
end

local UNLOCK = { tokens = { "98973476444" } }

describe("the request of", function()
  for i, entry in ipairs(golden.requests) do
    it(("%s is the documented one (%d, %s)"):format(entry.operation, i, entry.sample or "no body"), function()
      local transport = request_of(entry)
      assert.equal(1, #transport.requests)
      local request = transport.requests[1]
      assert.equal(entry.method, request.method)
      assert.equal(entry.url, request.url)
      assert.same(entry.headers, request.headers)
      assert.equal(entry.body, request.body)
    end)

    if entry.body and not entry.reshaped then
      it(("%s says what the sample says (%d)"):format(entry.operation, i), function()
        assert.same(samples.load(entry.sample), samples.decode(entry.body))
      end)
    end
  end

  it("every operation is among them", function()
    local seen = {}
    for _, entry in ipairs(golden.requests) do
      seen[entry.operation] = true
    end
    for _, operation in ipairs(paciolan.operations()) do
      assert.is_true(seen[operation.name], operation.name)
    end
  end)

  it("every request sample is among them", function()
    local seen = {}
    for _, entry in ipairs(golden.requests) do
      seen[entry.sample or ""] = true
    end
    for _, sample in ipairs(samples.requests) do
      -- The object shape of complete-order goes out as the array of the other sample.
      assert.is_true(seen[sample.file] or sample.file:find("object-shape", 1, true) ~= nil, sample.file)
    end
  end)

  it("an order is the same whichever shape it was given in", function()
    local from_list = one(OK, nil, "orders.complete", samples.load("complete-order.request.json"))
    local from_object = one(OK, nil, "orders.complete",
      samples.load("derived/complete-order.request.object-shape.json"))
    assert.equal(from_list.body, from_object.body)
  end)
end)

describe("the columns of section 1.1", function()
  it("keep credentials out of the token call", function()
    local link, transport = scripted.client(TOKEN, { auth = { code = "c", access_token = "old" },
      organization_id = "999" })
    assert(link.auth:rotate())
    for _, name in ipairs { "Authorization", "PAC-API-Key", "PAC-Channel-Code", "PAC-Organization-ID" } do
      assert.is_nil(header(transport.requests[1], name), name)
    end
  end)

  it("send no header twice", function()
    for _, entry in ipairs(golden.requests) do
      local seen = {}
      for _, pair in ipairs(request_of(entry).requests[1].headers) do
        assert.is_nil(seen[pair[1]:lower()], pair[1])
        seen[pair[1]:lower()] = true
      end
    end
  end)

  it("send PAC-Organization-ID where it is offered only when it is configured", function()
    local payload = samples.load("derived/transfer-v2.request.items.json")
    assert.is_nil(header(one(OK, nil, "transfers.initiate", payload), "PAC-Organization-ID"))
    assert.is_nil(header(one(OK, nil, "transfers.history", "1"), "PAC-Organization-ID"))
    local overridden = one(OK, { organization_id = "1" }, "transfers.history", "1", { organization_id = "129" })
    assert.equal("129", header(overridden, "PAC-Organization-ID"))
  end)

  it("do not let an organisation of one call into another", function()
    local link, transport = scripted.client(OK, { organization_id = "999" })
    assert(link.catalog:events({}, { organization_id = "129" }))
    assert(link.catalog:events({}))
    assert.equal("129", header(transport.requests[1], "PAC-Organization-ID"))
    assert.equal("999", header(transport.requests[2], "PAC-Organization-ID"))
  end)

  it("refuse what needs an organisation when there is none, and send nothing", function()
    local link, transport = scripted.client(TOKEN, { auth = { code = "c" } })
    for _, result in ipairs { { link.catalog:events() }, { link.transfers:cancel("1") } } do
      assert.is_nil(result[1])
      assert.equal("validation", result[2].kind)
      assert.matches("organization_id", result[2].fields[1].message, 1, true)
    end
    assert.equal(0, #transport.requests)
  end)

  it("leave Accept-Encoding to the transport", function()
    for _, entry in ipairs(golden.requests) do
      local request = request_of(entry).requests[1]
      assert.is_nil(header(request, "Accept-Encoding"))
      assert.equal(entry.operation ~= "auth.token", request.gzip)
    end
  end)

  it("tell the transport which requests must not be doubled", function()
    local once = {}
    for _, entry in ipairs(golden.requests) do
      once[entry.operation] = request_of(entry).requests[1].single_use
    end
    local wanted = {} -- spec/contract_spec.lua has the classes by hand
    for _, operation in ipairs(paciolan.operations()) do
      wanted[operation.name] = operation.effect == "once"
    end
    assert.same(wanted, once)
  end)
end)

describe("the Request-ID", function()
  it("of the caller goes out as it is and comes back", function()
    local link, transport = scripted.client(OK)
    local _, _, response = link.tickets:unlock(UNLOCK, { request_id = golden.request_id })
    assert.equal(golden.request_id, header(transport.requests[1], "Request-ID"))
    assert.equal(golden.request_id, response.request_id)
  end)

  it("is otherwise a new UUID for each call", function()
    local link, transport = scripted.client(OK)
    local _, _, first = link.tickets:unlock(UNLOCK)
    local _, _, second = link.tickets:unlock(UNLOCK)
    assert.is_true(core.is_uuid_v4(first.request_id))
    assert.is_true(core.is_uuid_v4(second.request_id))
    assert.are_not.equal(first.request_id, second.request_id)
    assert.equal(first.request_id, header(transport.requests[1], "Request-ID"))
  end)

  it("stays the same when a call is repeated", function()
    local link, transport = scripted.client({ { status = 500 }, OK[1] })
    assert(link.tickets:unlock(UNLOCK))
    assert.equal(2, #transport.requests)
    assert.equal(header(transport.requests[1], "Request-ID"), header(transport.requests[2], "Request-ID"))
  end)

  it("may be another text once strictness is off, but never breaks a header", function()
    local link, transport = scripted.client(OK, { strict_request_id = false })
    assert(link.tickets:unlock(UNLOCK, { request_id = "a1b2c3" }))
    assert.equal("a1b2c3", header(transport.requests[1], "Request-ID"))
    assert.has_error(function() link.tickets:unlock(UNLOCK, { request_id = "a\r\nX: b" }) end)
  end)
end)

describe("overrides", function()
  it("change method and path, and keep what stands in the path", function()
    local overrides = { operations = {
      ["tickets.verify"] = { method = "PUT" }, ["listings.get"] = { path = "/v3/offers/{listingId}/seats" },
    } }
    local link, transport = scripted.client(OK, overrides)
    assert(link.tickets:verify(samples.load("verify.request.tokens.json")))
    assert(link.listings:get("A 1"))
    assert.equal("PUT", transport.requests[1].method)
    assert.equal("https://link-sandbox.paciolan.info/v1/tickets/verify", transport.requests[1].url)
    assert.equal("GET", transport.requests[2].method)
    assert.equal("https://link-sandbox.paciolan.info/v3/offers/A%201/seats", transport.requests[2].url)
  end)

  local wrong = {
    { ["tickets.steal"] = {} }, { ["tickets.lock"] = "PUT" }, { ["tickets.lock"] = { verb = "PUT" } },
    { ["tickets.lock"] = { method = "put" } }, { ["tickets.lock"] = { path = "v1/x" } },
    { ["tickets.lock"] = { path = "/v1/x?y" } }, { ["tickets.lock"] = { path = "/v1/x\r\n" } },
    { ["tickets.lock"] = { path = "/v1/{listingId}" } }, { ["listings.get"] = { path = "/v1/listings" } },
    { ["listings.get"] = { path = "/v1/{listingid}" } }, { ["listings.get"] = { path = "/v1/{listingId}/{" } },
  }
  for i, operations in ipairs(wrong) do
    it("that cannot be right raise: " .. i, function()
      assert.has_error(function() scripted.client(OK, { operations = operations }) end)
    end)
  end

  it("put the paths below the base URL, with or without a slash at its end", function()
    for _, base_url in ipairs { "https://link.example/prefix", "https://link.example/prefix/" } do
      local request = one(OK, { base_url = base_url }, "tickets.unlock", UNLOCK)
      assert.equal("https://link.example/prefix/v1/tickets/unlock", request.url)
    end
  end)
end)

describe("headers of one call", function()
  it("come behind the documented ones, in the order of their names", function()
    local headers = { ["X-B"] = "2", ["X-A"] = "1", traceparent = "t" }
    local request = one(OK, nil, "tickets.unlock", UNLOCK, { headers = headers })
    local added = {}
    for i = 9, #request.headers do
      added[#added + 1] = request.headers[i][1] .. "=" .. request.headers[i][2]
    end
    assert.same({ "X-A=1", "X-B=2", "traceparent=t" }, added)
    assert.equal("PAC-Channel-Code", request.headers[8][1])
  end)

  it("do not stay for the next call", function()
    local link, transport = scripted.client(OK)
    assert(link.tickets:unlock(UNLOCK, { headers = { ["X-A"] = "1" } }))
    assert(link.tickets:unlock(UNLOCK))
    assert.is_nil(header(transport.requests[2], "X-A"))
  end)

  for _, name in ipairs { "Authorization", "authorization", "Accept", "Accept-Encoding", "Content-Type",
    "CONTENT-LENGTH", "Host", "Request-ID", "PAC-API-Key", "pac-application-id", "PAC-Channel-Code",
    "PAC-Organization-ID", "User-Agent", "Transfer-Encoding", "Connection", "Expect" } do
    it("may not be the library's own: " .. name, function()
      local link, transport = scripted.client(OK)
      assert.error_matches(function() link.tickets:unlock(UNLOCK, { headers = { [name] = "x" } }) end,
        "is written by the library", 1, true)
      assert.equal(0, #transport.requests)
    end)
  end

  local injections = { "a\r\nX: y", "a\nX: y", "a\rX: y", "a\0b", "", " a", "a ", "\195\177", "a\127" }
  for _, value in ipairs(injections) do
    it(("may not break the header block: %s"):format(samples.shown(value)), function()
      local link = scripted.client(OK)
      assert.has_error(function() link.tickets:unlock(UNLOCK, { headers = { ["X-A"] = value } }) end)
      assert.has_error(function() link.catalog:events({}, { organization_id = value }) end)
      for _, setting in ipairs { "api_key", "application_id", "channel_code", "organization_id", "user_agent" } do
        assert.has_error(function() scripted.client(OK, { [setting] = value }) end)
      end
      assert.has_error(function() scripted.client(OK, { auth = { access_token = value } }) end)
    end)
  end

  for _, name in ipairs { "", "X A", "X:A", "X\r\nA", "X\0", "Ä" } do
    it(("may not have a name that is none: %s"):format(samples.shown(name)), function()
      local link = scripted.client(OK)
      assert.has_error(function() link.tickets:unlock(UNLOCK, { headers = { [name] = "x" } }) end)
    end)
  end

  it("must be text", function()
    local link = scripted.client(OK)
    assert.has_error(function() link.tickets:unlock(UNLOCK, { headers = { ["X-A"] = 1 } }) end)
    assert.has_error(function() link.tickets:unlock(UNLOCK, { headers = { "X-A: 1" } }) end)
  end)
end)

describe("the User-Agent", function()
  for _, value in ipairs { "MyApplication/1.0.0", "MyApplication/1.0", "a/1.2.3-beta.1", "a/1.2.3+build",
    "a/1.0.0 (x; y) b/2.0" } do
    it("may be " .. value, function()
      assert.equal(value, header(one(OK, { user_agent = value }, "tickets.unlock", UNLOCK), "User-Agent"))
    end)
  end
  for _, value in ipairs { "MyApplication", "MyApplication/", "MyApplication/1", "/1.0.0", "a/1.2.3.4", "a/v1.0.0",
    "a b/1.0.0", "a/1.0.0x", "a/1..0" } do
    it("may not be " .. value, function()
      assert.has_error(function() scripted.client(OK, { user_agent = value }) end)
    end)
  end
end)

describe("values of a path", function()
  local rows = {
    { "3785222-AMTX:10555", "3785222-AMTX:10555" }, { "a b", "a%20b" }, { "a/b", "a%2Fb" }, { "a?b#c", "a%3Fb%23c" },
    { "a%2Fb", "a%252Fb" }, { "..a", "..a" }, { "ñ", "%C3%B1" }, { "a+b&c=d", "a+b&c=d" }, { "{x}", "%7Bx%7D" },
  }
  for _, row in ipairs(rows) do
    it("are encoded: " .. row[1], function()
      local request = one(OK, nil, "transfers.history", row[1])
      assert.equal("https://link-sandbox.paciolan.info/v1/tickets/transfer/" .. row[2], request.url)
      local from_table = one(OK, nil, "transfers.history", { confirmationCd = row[1] })
      assert.equal(request.url, from_table.url)
    end)
  end

  it("are encoded in a query", function()
    local request = one(OK, { organization_id = "9" }, "catalog.events", { seasonCode = "F&23=?/ñ +" })
    assert.equal("https://link-sandbox.paciolan.info/v1/catalog/events?seasonCode=F%2623%3D%3F%2F%C3%B1%20%2B",
      request.url)
    local accept = one(OK, nil, "transfers.accept", { transferId = "x" }, { distributor_code = "A&B" })
    assert.equal("https://link-sandbox.paciolan.info/v1/tickets/transfer/accept?distributorCode=A%26B", accept.url)
  end)

  it("never leave the library when they would change the path", function()
    local link, transport = scripted.client(OK)
    for _, value in ipairs { "", ".", "..", "a\r\nb", "a\0" } do
      local result, err = link.transfers:history(value)
      assert.is_nil(result)
      assert.equal("validation", err.kind)
    end
    assert.equal(0, #transport.requests)
  end)
end)

describe("the body", function()
  local function body(operation, payload, options, overrides)
    return one(OK, overrides, operation, payload, options).body
  end

  it("expands a list of lock tokens (row 59)", function()
    assert.equal('{"source":"MY_ACCOUNT","listing":{"tokens":[{"token":"98973476444"},{"token":"0054"}]}}',
      body("tickets.lock", { source = "MY_ACCOUNT", listing = { tokens = { "98973476444", { token = "0054" } } } }))
  end)

  local labels = {
    { 12, "12" }, { "12", "12" }, { "0", "0" }, { "AA", '"AA"' }, { "12A", '"12A"' }, { "-1", '"-1"' },
    { "007", '"007"' }, { "1.5", '"1.5"' }, { " 1", '" 1"' }, { "999999999999999", "999999999999999" },
    { "9999999999999999", '"9999999999999999"' }, { 12.0, "12" },
  }
  for _, row in ipairs(labels) do
    it(("writes rows and seats as integers when they are digits (row 23): %q"):format(tostring(row[1])), function()
      local payload = samples.with("transfer-v2.request.seats.json",
        { ["/transferRequests/0/Seats/0/seatInfo/row"] = row[1] })
      local text = body("transfers.initiate", payload, { distributor_code = "D", organization_id = "9" })
      assert.equal(row[2], text:match('"row":(.-),"seats"'))
    end)
  end

  local prices = { { 13.13, "13.13" }, { 0.1, "0.1" }, { 100, "100" }, { 1e15, "1000000000000000" },
    { 0.1 + 0.2, "0.30000000000000004" }, { -2.5, "-2.5" }, { -0.0, "0" }, { 1e21, "1e+21" } }
  for _, row in ipairs(prices) do
    it(("writes numbers so that they read back the same: %s"):format(row[2]), function()
      local text = body("tickets.lock", { source = "MY_ACCOUNT", listing = { totalPrice = row[1], tokens = { "t" } } })
      assert.equal('{"source":"MY_ACCOUNT","listing":{"totalPrice":' .. row[2] .. ',"tokens":[{"token":"t"}]}}', text)
    end)
  end

  it("keeps text that looks like a number text", function()
    assert.equal('{"tokens":["0012","1e5"]}', body("tickets.unlock", { tokens = { "0012", "1e5" } }))
  end)

  it("escapes what JSON demands and nothing else", function()
    assert.equal([[{"tokens":["a\"b\\c/d"]}]], body("tickets.unlock", { tokens = { 'a"b\\c/d' } }))
    assert.equal([[{"tokens":["\n\r\t\u0000\u001f"]}]], body("tickets.unlock", { tokens = { "\n\r\t\0\31" } }))
    assert.equal('{"tokens":["ñ山\127"]}', body("tickets.unlock", { tokens = { "ñ山\127" } }))
  end)

  it("is the same each time", function()
    local payload = samples.load("complete-order.request.json")
    assert.equal(body("orders.complete", payload), body("orders.complete", samples.copy(payload)))
  end)

  it("leaves the payload alone", function()
    local payload = samples.load("transfer-v1.request.seats.json")
    body("transfers.initiate_v1", payload, { distributor_code = "D", organization_id = "9" })
    assert.same(samples.load("transfer-v1.request.seats.json"), payload)
  end)

  it("is absent where none is documented", function()
    for _, entry in ipairs(golden.requests) do
      if not entry.body then
        assert.is_nil(request_of(entry).requests[1].body)
      end
    end
  end)
end)
