--- The rows of contract section 7 about headers, methods, paths and tokens.
local core = require("paciolan.core")
local paciolan = require("paciolan")
local samples = require("support.samples")
local scripted = require("support.scripted")
local wire = require("support.wire")

local header = scripted.header
local problems, sent = wire.problems, wire.sent
local HOST = "https://link-sandbox.paciolan.info"
local SEATS = { distributor_code = "DIST1" }
local RID = "3f0e8a52-7c1d-4b6e-9a3f-0d5b8c7e6a41"

local function names_of_operations()
  local names = {}
  for _, operation in ipairs(paciolan.operations()) do
    if operation.name ~= "auth.token" then
      names[#names + 1] = operation.name
    end
  end
  return names
end

-- The request of the token call that a client with these credentials makes.
local function token_request(auth)
  local link, transport = scripted.client({ { status = 200, body = samples.read("auth-token.response.200.json") } },
    { auth = auth, organization_id = "999" })
  assert(link.auth:rotate())
  local request = transport.requests[1]
  return request, samples.decode(request.body)
end

-- A time of the token call's form, so many seconds from now.
local function in_seconds(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S.000000000Z", os.time() + seconds)
end

-- What a client whose token has so many seconds left sends for one call: paths and authorisations.
local function paths_of_call(settings, seconds_left)
  settings.auth = { access_token = "old", refresh_token = "r1", expiration = in_seconds(seconds_left) }
  local link, transport = scripted.client({ function(request)
    if request.url:find("/v1/auth/token", 1, true) then
      return { status = 200, body = '{"accessToken":"new","refreshToken":"r2","expiration":"2099-01-01T00:00:00Z"}' }
    end
    return wire.DONE
  end }, settings)
  assert(link.listings:get("A3qnemZ"))
  local paths = {}
  for i, request in ipairs(transport.requests) do
    paths[i] = request.url:sub(#HOST + 1) .. " " .. (header(request, "Authorization") or "-")
  end
  return paths
end

describe("the request, by the rows of the discrepancies", function()
  it("row 15: the token call has a code or a refresh token, whichever its grant type asks for", function()
    local _, by_code = token_request { code = "c-0001" }
    assert.same({ grantType = "authorization_code", code = "c-0001" }, by_code)
    local _, by_refresh = token_request { refresh_token = "r-0001" }
    assert.same({ grantType = "refresh_token", refreshToken = "r-0001" }, by_refresh)
    assert.is_true(paciolan.validate("auth.token", by_refresh))
    for grant, field in pairs { authorization_code = "code", refresh_token = "refreshToken" } do
      local _, err = paciolan.validate("auth.token", { grantType = grant })
      assert.same({ "/" .. field .. " required" }, problems(err))
    end
  end)

  it("row 16: the token call carries PAC-Application-ID", function()
    for _, auth in ipairs { { code = "c" }, { refresh_token = "r" } } do
      assert.equal("com.mycompany.myapp", header(token_request(auth), "PAC-Application-ID"))
    end
  end)

  it("row 17: PAC-Organization-ID goes with transfers when configured; seats, cancel and catalog demand it", function()
    local function link_without()
      return scripted.client({ wire.DONE })
    end
    for _, operation in ipairs { "transfers.initiate", "transfers.initiate_v1", "transfers.history" } do
      assert.equal("999", header(sent(operation), "PAC-Organization-ID"))
      local link, transport = link_without()
      assert(wire.call(link, operation, wire.payloads[operation]()))
      assert.is_nil(header(transport.requests[1], "PAC-Organization-ID"))
    end
    for _, row in ipairs {
      { "catalog.events", {} }, { "transfers.cancel", "1" },
      { "transfers.initiate", samples.load("transfer-v2.request.seats.json"), SEATS },
      { "transfers.initiate_v1", samples.load("transfer-v1.request.seats.json"), SEATS },
    } do
      local link, transport = link_without()
      local result, err = wire.call(link, row[1], row[2], row[3])
      assert.is_nil(result)
      assert.equal("validation", err.kind)
      assert.matches("organization_id", err.fields[1].message, 1, true)
      assert.equal(0, #transport.requests)
      assert.equal("999", header(sent(row[1], row[2], row[3]), "PAC-Organization-ID"))
    end
  end)

  it("row 31: the User-Agent is a product with three numbers, or two", function()
    for _, value in ipairs { "MyApplication/1.0.0", "MyApplication/1.0" } do
      assert.equal(value, header(sent("tickets.unlock", nil, nil, { user_agent = value }), "User-Agent"))
    end
    for _, value in ipairs { "MyApplication", "MyApplication/1", "MyApplication/1.0.0.0" } do
      assert.error_matches(function() scripted.client({}, { user_agent = value }) end, "user_agent must be", 1, true)
    end
    -- What the library says of itself has three.
    local settings = scripted.settings { transport = scripted.new { wire.DONE } }
    settings.user_agent = nil
    assert(paciolan.from_env(settings).tickets:unlock(samples.load("unlock.request.json")))
    assert.matches("^paciolan%-lua/%d+%.%d+%.%d+$", header(settings.transport.requests[1], "User-Agent"))
  end)

  it("row 32: a Request-ID is a UUID v4, an answer with another one is no error, messages may have any", function()
    assert.is_true(core.is_uuid_v4(header(sent("tickets.unlock"), "Request-ID")))
    assert.equal(RID, header(sent("transfers.history", nil, { request_id = RID }), "Request-ID"))
    assert.has_error(function() sent("tickets.unlock", nil, { request_id = "a1b2c3" }) end)
    local lax = sent("tickets.unlock", nil, { request_id = "a1b2c3" }, { strict_request_id = false })
    assert.equal("a1b2c3", header(lax, "Request-ID"))

    local link = scripted.client { { status = 200, headers = { ["request-id"] = "another" }, body = "{}" } }
    local result, _, response = link.tickets:unlock(samples.load("unlock.request.json"), { request_id = RID })
    assert.same({}, result)
    assert.equal(RID, response.request_id)
    assert.equal("another", response.headers["request-id"])

    for _, id in ipairs { "a1b2c3", "", RID, "an id, with a comma" } do
      local body = samples.read("seats.message.json"):gsub("a1b2c3", id)
      assert.equal(id, assert(paciolan.messages.parse(body)).request_id)
    end
  end)

  it("row 33: the Authorization is Bearer, on every call but the token call", function()
    for _, operation in ipairs(names_of_operations()) do
      assert.equal("Bearer token-0001", header(sent(operation), "Authorization"))
    end
    assert.is_nil(header(token_request { code = "c" }, "Authorization"))
  end)

  it("row 34: lock and unlock are PUT, verify and print POST, and every method can be overridden", function()
    local known = { ["tickets.lock"] = "PUT", ["tickets.unlock"] = "PUT", ["tickets.verify"] = "POST",
      ["tickets.print"] = "POST" }
    for operation, method in pairs(known) do
      assert.equal(method, sent(operation).method)
    end
    for _, operation in ipairs(names_of_operations()) do
      local override = { [operation] = { method = "PATCH" } }
      assert.equal("PATCH", sent(operation, nil, nil, { operations = override }).method)
    end
    local link, transport = scripted.client({ { status = 200, body = samples.read("auth-token.response.200.json") } },
      { auth = { code = "c" }, operations = { ["auth.token"] = { method = "PUT" } } })
    assert(link.auth:rotate())
    assert.equal("PUT", transport.requests[1].method)
  end)

  it("row 44: Content-Type goes with GET and DELETE, too", function()
    local seen = {}
    for _, operation in ipairs(names_of_operations()) do
      local request = sent(operation)
      seen[request.method] = true
      assert.equal("application/json", header(request, "Content-Type"))
    end
    assert.is_true(seen.GET and seen.DELETE and seen.POST and seen.PUT)
  end)

  it("row 47: paths begin with /v1 or /v2 below one base URL, and can be overridden one by one", function()
    for _, operation in ipairs(paciolan.operations()) do
      assert.matches("^/v[12]/", operation.path)
    end
    for _, base_url in ipairs { "https://link.example", "https://link.example/prefix/", "http://127.0.0.1:8080" } do
      local root = base_url:gsub("/$", "")
      assert.equal(root .. "/v1/tickets/unlock", sent("tickets.unlock", nil, nil, { base_url = base_url }).url)
      assert.equal(root .. "/v2/tickets/transfer", sent("transfers.initiate", nil, nil, { base_url = base_url }).url)
    end
    assert.has_error(function() sent("tickets.unlock", nil, nil, { base_url = "http://link.example" }) end)
    local operations = { ["transfers.cancel"] = { path = "/transfer/{confirmationCd}" } }
    assert.equal(HOST .. "/transfer/3785222-AMTX:10270",
      sent("transfers.cancel", nil, nil, { operations = operations }).url)
    assert.equal(HOST .. "/v1/tickets/transfer/3785222-AMTX:10237",
      sent("transfers.history", nil, nil, { operations = operations }).url)
  end)

  it("row 48: the caller chooses among the three ways to transfer, and v2 is the one without a choice", function()
    local payload = samples.load("derived/transfer-v1.request.items.json")
    assert.equal(HOST .. "/v2/tickets/transfer", sent("transfers.initiate", payload).url)
    assert.equal(HOST .. "/v2/tickets/transfer", sent("transfers.initiate", payload, { version = "v2" }).url)
    assert.equal(HOST .. "/v1/tickets/transfer", sent("transfers.initiate", payload, { version = "v1" }).url)
    assert.equal(HOST .. "/v1/tickets/transfer/complete", sent("transfers.complete").url)
    assert.has_error(function() sent("transfers.initiate", payload, { version = "v3" }) end)
  end)

  it("row 51: what goes out is JSON with all headers, and what comes in must be JSON", function()
    for _, operation in ipairs(names_of_operations()) do
      local request = sent(operation) -- decodes the body
      for _, name in ipairs { "User-Agent", "Accept", "Content-Type", "Request-ID", "Authorization",
        "PAC-Application-ID", "PAC-API-Key", "PAC-Channel-Code" } do
        assert.is_string(header(request, name), name)
      end
      assert.equal("application/json", header(request, "Accept"))
    end
    for _, body in ipairs { '{"success":[],}', '{"success":[{"token":"1"},]}', '- {"success":[]}',
      '{"success":[]}\0', "{'success':[]}", '{"success":[]} {}' } do
      local result, err = wire.received("tickets.unlock", 200, body)
      assert.is_nil(result)
      assert.equal("protocol", err.kind)
      assert.equal(body, err.response.body)
    end
  end)

  it("row 63: a token is renewed some time before its expiration, and clock skew moves that time", function()
    local minute, day = 60, 24 * 60 * 60
    local fresh, renewed = { "/v1/listings/A3qnemZ Bearer old" },
      { "/v1/auth/token -", "/v1/listings/A3qnemZ Bearer new" }
    assert.same(fresh, paths_of_call({}, day))
    assert.same(renewed, paths_of_call({}, minute))
    assert.same(renewed, paths_of_call({}, -minute))
    assert.same(renewed, paths_of_call({ clock_skew_ms = day * 1000 }, day))
    assert.same(fresh, paths_of_call({ clock_skew_ms = -day * 1000 }, minute))
  end)
end)
