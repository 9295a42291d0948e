--- The bulk helpers: how payloads are cut, what is merged, and the account of every token, over a scripted transport
-- and against the sandbox.
local cjson = require("cjson").new()
local market = require("support.market")
local paciolan = require("paciolan")
local peers = require("support.peers")
local scripted = require("support.scripted")

local function numbered(count, prefix)
  local list = {}
  for i = 1, count do
    list[i] = ("%s%04d"):format(prefix or "T", i)
  end
  return list
end

local function first_of(list, count)
  local part = {}
  for i = 1, count do
    part[i] = list[i]
  end
  return part
end

local function lock_payload(tokens)
  local rows = {}
  for i, token in ipairs(tokens) do
    rows[i] = { token = token, individualPrice = 10 }
  end
  return { source = "MY_ACCOUNT", listing = { externalListingId = "L-1", tokens = rows } }
end

-- What a request of an operation asks about, in order.
local asked = {
  lock = function(body)
    local list = {}
    for i, row in ipairs(body.listing.tokens) do
      list[i] = row.token
    end
    return list
  end,
  unlock = function(body) return body.tokens end,
  print = function(body) return body.tokens end,
  verify = function(body)
    local list = {}
    for _, entry in ipairs(body.tickets) do
      for _, value in ipairs(entry.tokens or entry.barcodes) do
        list[#list + 1] = value
      end
    end
    return list
  end,
}

local function success_of(name, tokens)
  local list = {}
  for i, token in ipairs(tokens) do
    list[i] = { token = token, ownerId = "7" }
  end
  if name == "print" then
    return { tickets = list }
  elseif name == "verify" then
    return { tokens = { { accessId = "1:A:B", success = { seats = list } } } }
  end
  return { success = list, sellerIds = name == "lock" and { "7" } or nil }
end

-- A transport step that grants everything it is asked for.
local function grant(name)
  return function(request)
    return { status = 200, body = cjson.encode(success_of(name, asked[name](cjson.decode(request.body)))) }
  end
end

local function sent(name, transport)
  local sizes, tokens = {}, {}
  for i, request in ipairs(transport.requests) do
    local list = asked[name](cjson.decode(request.body))
    sizes[i] = #list
    for _, token in ipairs(list) do
      tokens[#tokens + 1] = token
    end
  end
  return sizes, tokens
end

local function states(account)
  local list = {}
  for i, item in ipairs(account) do
    list[i] = item.state
  end
  return list
end

local function counted(account)
  local counts = {}
  for _, item in ipairs(account) do
    counts[item.state] = (counts[item.state] or 0) + 1
  end
  return counts
end

local ROWS = {
  { name = "lock", payload = lock_payload, count = 250, sizes = { 100, 100, 50 } },
  { name = "unlock", payload = function(tokens) return { tokens = tokens } end, count = 201, sizes = { 100, 100, 1 } },
  { name = "print", payload = function(tokens) return { externalOrderId = "O-1", tokens = tokens } end, count = 61,
    sizes = { 30, 30, 1 } },
  { name = "verify", payload = function(tokens) return { tickets = { { tokens = tokens } } } end, count = 300,
    sizes = { 100, 100, 100 } },
}

describe("a bulk helper", function()
  for _, row in ipairs(ROWS) do
    it("sends the fewest requests, every token once and in order: " .. row.name .. "_all", function()
      local link, transport = scripted.client { grant(row.name) }
      local tokens = numbered(row.count)
      local result, err, response = link.tickets[row.name .. "_all"](link.tickets, row.payload(tokens))
      assert.is_nil(err)
      local sizes, in_order = sent(row.name, transport)
      assert.same(row.sizes, sizes)
      assert.same(tokens, in_order)
      assert.same(success_of(row.name, tokens), result)
      assert.equal(#row.sizes, response.batches)
      assert.equal(#row.sizes, #response.responses)
      assert.equal(row.count, #response.tokens)
      for i, item in ipairs(response.tokens) do
        assert.same({ token = tokens[i], state = "done" }, item)
      end
    end)

    it("answers like the single call when one batch is enough: " .. row.name .. "_all", function()
      local link, transport = scripted.client { grant(row.name) }
      local payload = row.payload(numbered(3))
      local many = link.tickets[row.name .. "_all"](link.tickets, payload)
      local one = link.tickets[row.name](link.tickets, payload)
      assert.same(one, many)
      assert.equal(transport.requests[2].body, transport.requests[1].body)
      assert.equal(transport.requests[2].single_use, transport.requests[1].single_use)
    end)

    it("leaves the payload as it was: " .. row.name .. "_all", function()
      local link = scripted.client { grant(row.name) }
      local payload, twin = row.payload(numbered(row.count)), row.payload(numbered(row.count))
      assert(link.tickets[row.name .. "_all"](link.tickets, payload))
      assert.same(twin, payload)
    end)
  end

  it("gives each request its own Request-ID", function()
    local link, transport = scripted.client { grant("verify") }
    assert(link.tickets:verify_all { tickets = { { tokens = numbered(300) } } })
    local seen = {}
    for _, request in ipairs(transport.requests) do
      local id = scripted.header(request, "Request-ID")
      assert.is_nil(seen[id])
      seen[id] = true
    end
  end)

  it("expands and cuts a list of plain token strings for lock", function()
    local link, transport = scripted.client { grant("lock") }
    local payload = lock_payload {}
    payload.listing.tokens = numbered(101)
    local _, _, response = assert(link.tickets:lock_all(payload))
    assert.same({ 100, 1 }, (sent("lock", transport)))
    assert.equal("T0101", response.tokens[101].token)
  end)

  it("is misused with a request_id, a wrong limit or without a colon", function()
    local link = scripted.client { grant("unlock") }
    local payload = { tokens = { "a" } }
    assert.error_matches(function()
      link.tickets:unlock_all(payload, { request_id = "9b2f8c1e-7d7a-4c7e-9f0e-3b1f6f0a2c55" })
    end, "unknown option request_id")
    for _, limit in ipairs { 0, 1.5, 1001, "16" } do
      assert.error_matches(function() link.tickets:unlock_all(payload, { limit = limit }) end, "limit must be a whole")
    end
    assert.error_matches(function() link.tickets.unlock_all(payload) end, "with a colon")
  end)

  it("raises at the caller's line", function()
    local link = scripted.client { grant("unlock") }
    local _, message = pcall(function() link.tickets:unlock_all({ tokens = { "a" } }, { wrong = 1 }) end)
    assert.matches("bulk_spec.lua:%d+:", message)
  end)
end)

describe("verify_all", function()
  it("packs entries of tokens and barcodes, cutting where a batch is full", function()
    local link, transport = scripted.client { grant("verify") }
    local payload = { tickets = {
      { tokens = numbered(60, "A") }, { accessId = "1:A:B", barcodes = numbered(90, "B") },
      { tokens = numbered(50, "C") },
    } }
    local _, _, response = assert(link.tickets:verify_all(payload))
    assert.equal(2, #transport.requests)
    local first, second = cjson.decode(transport.requests[1].body), cjson.decode(transport.requests[2].body)
    assert.same({ { tokens = numbered(60, "A") }, { accessId = "1:A:B", barcodes = numbered(40, "B") } },
      first.tickets)
    assert.equal("B0041", second.tickets[1].barcodes[1])
    assert.equal("1:A:B", second.tickets[1].accessId)
    assert.equal(50, #second.tickets[2].tokens)
    assert.equal(200, #response.tokens)
    assert.equal("B0001", response.tokens[61].barcode)
  end)

  it("sends one entry a call where the shape is an object", function()
    local link, transport = scripted.client({ function(request)
      local body = cjson.decode(request.body)
      assert.is_nil(body.tickets[1])
      return { status = 200, body = cjson.encode(success_of("verify", body.tickets.tokens)) }
    end }, { shapes = { verify = "object" } })
    local payload = { tickets = { { tokens = numbered(120, "A") }, { tokens = numbered(30, "B") } } }
    local _, _, response = assert(link.tickets:verify_all(payload))
    assert.equal(3, #transport.requests)
    assert.equal("B0030", response.tokens[150].token)
  end)

  it("takes the entry itself where a list of one is meant", function()
    local link, transport = scripted.client { grant("verify") }
    assert(link.tickets:verify_all { tickets = { tokens = numbered(101) } })
    assert.equal(2, #transport.requests)
  end)
end)

describe("the check of a bulk payload", function()
  local function problems(name, payload, overrides)
    local link, transport = scripted.client({ grant(name) }, overrides)
    local result, err = link.tickets[name .. "_all"](link.tickets, payload)
    assert.is_nil(result)
    assert.equal("validation", err.kind)
    assert.equal(0, #transport.requests)
    local found = {}
    for i, problem in ipairs(err.fields) do
      found[i] = problem.path .. " " .. problem.rule
    end
    return found, err
  end

  it("names places in the caller's payload, and nothing is sent", function()
    local payload = lock_payload(numbered(250))
    payload.listing.tokens[141].token = nil
    payload.listing.tokens[230].individualPrice = "ten"
    payload.source = "ELSEWHERE"
    local found, err = problems("lock", payload)
    assert.same({ "/listing/tokens/140/token required", "/listing/tokens/229/individualPrice type", "/source enum" },
      found)
    assert.equal("not_sent", err.outcome)
    assert.equal(0, err.response.batches)
  end)

  it("names the entry of verify and the place in it", function()
    local payload = { tickets = { { tokens = numbered(150, "A") }, { barcodes = numbered(20, "B") } } }
    payload.tickets[1].tokens[120] = 7
    local found = problems("verify", payload)
    assert.same({ "/tickets/0/tokens/119 type", "/tickets/1/accessId required" }, found)
  end)

  it("refuses a token that stands twice where a second time would fail", function()
    local tokens = numbered(150)
    tokens[130] = tokens[2]
    assert.same({ "/listing/tokens/129 unique" }, (problems("lock", lock_payload(tokens))))
    assert.same({ "/tokens/129 unique" }, (problems("print", { externalOrderId = "O-1", tokens = tokens })))
    local link = scripted.client { grant("unlock") }
    assert(link.tickets:unlock_all { tokens = tokens })
  end)

  it("has the word where a payload cannot be cut", function()
    for _, tokens in ipairs { {}, { [1] = "a", [3] = "b" }, "text", { a = "b" } } do
      local payload = { tokens = tokens }
      local _, single = paciolan.validate("tickets.unlock", payload)
      local _, err = problems("unlock", payload)
      assert.same(single.fields, err.fields)
    end
    problems("unlock", nil)
    problems("verify", { tickets = { { tokens = { "a" }, barcodes = { "b" } } } })
  end)
end)

describe("a batch that fails in the middle", function()
  local LOST = { kind = "network", phase = "unknown" }
  local UNSENT = { kind = "network", phase = "not_sent" }

  local function lock(steps, options, count)
    local link, transport = scripted.client(steps)
    local result, err = link.tickets:lock_all(lock_payload(numbered(count or 450)), options)
    assert.is_nil(result)
    return err, transport
  end

  it("ends a lock there; what was done, what is unknown and what never left is told", function()
    local err, transport = lock({ grant("lock"), grant("lock"), LOST })
    assert.equal(3, #transport.requests)
    assert.equal("partial", err.kind)
    assert.equal("unknown", err.outcome)
    assert.is_false(err.retryable)
    assert.same({ done = 200, unknown = 100, not_sent = 150 }, counted(err.tokens))
    assert.equal("done", err.tokens[200].state)
    assert.equal("unknown", err.tokens[201].state)
    assert.equal("not_sent", err.tokens[450].state)
    assert.equal(200, #err.body.success)
    assert.same({ "7" }, err.body.sellerIds)
    assert.equal(1, #err.errors)
    assert.equal("unknown", err.errors[1].outcome)
    assert.matches("200 of 450 are locked, 100 unknown, 150 not sent", err.message, 1, true)
    assert.is_nil(tostring(err):find("T0", 1, true))
  end)

  it("tells tokens of a half-locked batch one by one", function()
    local function half(request)
      local tokens = asked.lock(cjson.decode(request.body))
      local body = success_of("lock", first_of(tokens, 60))
      body.failure = {}
      for i = 61, 99 do
        body.failure[#body.failure + 1] = { token = tokens[i], status = "UNLOCK", type = "INVALID_TOKEN",
          appErrorCode = "MS-422", developerMessage = "text" }
      end
      return { status = 207, body = cjson.encode(body) }
    end
    local err = lock({ grant("lock"), half }, nil, 300)
    assert.same({ done = 160, failed = 39, unknown = 1, not_sent = 100 }, counted(err.tokens))
    assert.same({ token = "T0161", state = "failed",
      error = { type = "INVALID_TOKEN", app_error_code = "MS-422", developer_message = "text" } }, err.tokens[161])
    assert.equal("unknown", err.tokens[200].state)
    assert.equal("unknown", err.outcome)
    assert.equal(160, #err.body.success)
    assert.equal(39, #err.body.failure)
  end)

  it("has no outcome when every token's fate is told", function()
    local function refuse(request)
      local failures = {}
      for i, token in ipairs(asked.lock(cjson.decode(request.body))) do
        failures[i] = { token = token, status = "UNLOCK", type = "TOKEN_NOT_FOUND", appErrorCode = "MS-404" }
      end
      return { status = 422, body = cjson.encode { error = { type = "TOKEN_NOT_FOUND", appErrorCode = "MS-404" },
        failure = failures } }
    end
    local err = lock({ grant("lock"), refuse }, nil, 200)
    assert.equal("partial", err.kind)
    assert.is_nil(err.outcome)
    assert.same({ done = 100, failed = 100 }, counted(err.tokens))
  end)

  it("is that batch's own error when nothing at all was done", function()
    local err = lock({ UNSENT }, { retries = 0 })
    assert.equal("network", err.kind)
    assert.equal("not_sent", err.outcome)
    assert.is_true(err.retryable)
    assert.same({ not_sent = 450 }, counted(err.tokens))
    err = lock { { status = 422, body = '{"error":{"type":"INVALID_TOKEN","appErrorCode":"MS-422"}}' } }
    assert.equal("http", err.kind)
    assert.equal("rejected", err.outcome)
    assert.equal("INVALID_TOKEN", err.type)
    assert.same({ rejected = 100, not_sent = 350 }, counted(err.tokens))
    err = lock { LOST }
    assert.equal("unknown", err.outcome)
    assert.is_false(err.retryable)
  end)

  it("does not keep unlock and verify from going on", function()
    for _, name in ipairs { "unlock", "verify" } do
      local refused = { status = 422, body = '{"error":{"type":"INVALID_TOKEN","appErrorCode":"MS-422"}}' }
      local link, transport = scripted.client { grant(name), refused, grant(name) }
      local payload = name == "unlock" and { tokens = numbered(300) } or { tickets = { { tokens = numbered(300) } } }
      local result, err = link.tickets[name .. "_all"](link.tickets, payload)
      assert.is_nil(result)
      assert.equal(3, #transport.requests)
      assert.same({ done = 200, rejected = 100 }, counted(err.tokens))
      assert.equal("partial", err.kind)
    end
  end)

  it("keeps each batch's answer as it came", function()
    local half = { status = 207, body = cjson.encode { success = { { token = "T0001" } },
      failure = { { token = "T0002", type = "INVALID_TOKEN" } } } }
    local link = scripted.client { half }
    local _, err = link.tickets:unlock_all { tokens = numbered(150) }
    assert.equal(2, #err.errors)
    for _, one in ipairs(err.errors) do
      assert.equal(1, #one.body.success)
    end
    assert.equal(2, #err.body.success)
  end)

  it("does not outlast the deadline of the whole", function()
    local link, transport = scripted.client({ function(request)
      require("paciolan.core").sleep(30)
      return grant("lock")(request)
    end })
    local _, err = link.tickets:lock_all(lock_payload(numbered(1000)), { deadline_ms = 100 })
    assert.is_true(#transport.requests < 10)
    assert.equal("partial", err.kind)
    local list = states(err.tokens)
    assert.equal("done", list[1])
    assert.equal("not_sent", list[1000])
  end)
end)

describe("the account", function()
  -- Locks three tokens; the answer is given as a table.
  local function locked(status, body, options)
    local link = scripted.client { { status = status, body = cjson.encode(body) } }
    local result, err, response = link.tickets:lock_all(lock_payload { "T1", "T2", "T3" }, options)
    return states(result and response.tokens or err.tokens), err
  end

  local ERROR = { type = "INVALID_TOKEN", appErrorCode = "MS-422" }
  local function entry(token, more)
    local row = { token = token }
    for key, value in pairs(more or {}) do
      row[key] = value
    end
    return row
  end

  it("is done for all when an answer without lists says so", function()
    local list, err = locked(200, { ok = true })
    assert.is_nil(err)
    assert.same({ "done", "done", "done" }, list)
  end)

  it("says done only of tokens that the list of what was done holds", function()
    local list, err = locked(200, { success = { entry("T2") } })
    assert.same({ "unknown", "done", "unknown" }, list)
    assert.equal("partial", err.kind)
    assert.equal("unknown", err.outcome)
    assert.matches("without naming every token", err.message)
    list = locked(200, { success = { entry("X1"), entry("X2") } })
    assert.same({ "unknown", "unknown", "unknown" }, list)
    list = locked(207, { errors = { entry("T1") }, failed = { entry("T2") }, rejected = { entry("T3") } })
    assert.same({ "unknown", "unknown", "unknown" }, list)
  end)

  it("believes no entry that contradicts itself or another", function()
    local list = locked(207, { success = { entry("T1"), entry("T2", { status = "UNLOCK" }) },
      failure = { entry("T1"), entry("T3") } })
    assert.same({ "unknown", "unknown", "failed" }, list)
  end)

  it("takes nothing for refused that the same answer calls done", function()
    for _, status in ipairs { 200, 422, 500 } do
      local list, err = locked(status, { success = { entry("T1") }, error = ERROR })
      assert.not_equal("rejected", err.outcome, status)
      assert.is_truthy(list[1] == "done" or list[1] == "unknown", status)
      assert.same({ "unknown", "unknown" }, { list[2], list[3] }, status)
    end
  end)

  it("is unknown when a server failed, whatever it lists", function()
    local other = { type = "OTHER" }
    for _, body in ipairs { { error = other }, { error = other, failure = { entry("T1") } } } do
      local list, err = locked(503, body)
      assert.same({ "unknown", "unknown", "unknown" }, list)
      assert.equal("unknown", err.outcome)
      assert.is_false(err.retryable)
    end
  end)

  it("keeps the same barcode of two events apart", function()
    local link = scripted.client { { status = 207, body = cjson.encode {
      barcodes = { { accessId = "1:A:B", success = { seats = { { barcode = "X" } } } },
        { accessId = "1:A:C", failure = { { barcode = "X", type = "TOKEN_NOT_FOUND" } } } },
    } } }
    local _, err = link.tickets:verify_all { tickets = {
      { accessId = "1:A:B", barcodes = { "X" } }, { accessId = "1:A:C", barcodes = { "X" } },
    } }
    assert.same({ "done", "failed" }, states(err.tokens))
  end)

  it("does not forget an attempt that was lost before a refusal or a partial answer", function()
    local half = { status = 207, body = cjson.encode { success = { entry("T1") }, failure = { entry("T2") } } }
    local refusal = { status = 422, body = cjson.encode { error = ERROR, failure = { entry("T1"), entry("T2") } } }
    for _, row in ipairs { { half, { "done", "unknown" } }, { refusal, { "unknown", "unknown" } } } do
      local link = scripted.client { { kind = "network", phase = "unknown" }, row[1] }
      local _, err = link.tickets:unlock_all { tokens = { "T1", "T2" } }
      assert.same(row[2], states(err.tokens))
      assert.equal("unknown", err.outcome)
    end
  end)

  it("survives a transport and a client that end in the middle", function()
    local link
    local function close(request)
      link:close()
      return grant("lock")(request)
    end
    link = scripted.client { grant("lock"), close }
    local _, err = link.tickets:lock_all(lock_payload(numbered(450)))
    assert.same({ done = 200, not_sent = 250 }, counted(err.tokens))
    assert.equal("canceled", err.errors[1].kind)
    link = scripted.client { grant("lock"), function() error("broken: user@example.com") end }
    _, err = link.tickets:lock_all(lock_payload(numbered(250)))
    assert.same({ done = 100, unknown = 100, not_sent = 50 }, counted(err.tokens))
    assert.equal("unknown", err.outcome)
    assert.is_nil(tostring(err):find("user@example.com", 1, true))
  end)

  it("is exact after a token that was refused in the middle", function()
    local refused = { status = 401, body = cjson.encode { error = ERROR } }
    local link, transport = scripted.client({ grant("lock"), refused, { status = 200, body = cjson.encode {
      accessToken = "token-0002", refreshToken = "r-0002", expiration = "2099-01-01T00:00:00Z", tokenType = "Bearer",
    } }, grant("lock") }, { auth = { access_token = "token-0001", refresh_token = "r-0001" } })
    local _, _, response = assert(link.tickets:lock_all(lock_payload(numbered(150))))
    assert.equal(4, #transport.requests)
    assert.same({ done = 150 }, counted(response.tokens))
  end)

  it("is retryable only when every batch is", function()
    local busy = { status = 429, body = cjson.encode { error = { type = "BUSY" } } }
    local wrong = { status = 422, body = cjson.encode { error = ERROR } }
    local link = scripted.client { busy, wrong, wrong }
    local _, err = link.tickets:unlock_all({ tokens = numbered(300) }, { retries = 0 })
    assert.equal("rate_limit", err.kind)
    assert.is_false(err.retryable)
    link = scripted.client { busy }
    _, err = link.tickets:unlock_all({ tokens = numbered(300) }, { retries = 0 })
    assert.is_true(err.retryable)
  end)
end)

describe("batches side by side", function()
  local JSON = { { "Content-Type", "application/json" } }

  teardown(peers.stop_all)

  it("are under way at once, as many as there are or as the limit allows", function()
    for _, row in ipairs { { limit = 16, gather = 10 }, { limit = 5, gather = 5 } } do
      local peer = peers.start { { gather = row.gather, headers = JSON, body = "{}" } }
      local link = paciolan.new(scripted.settings { base_url = peer.url })
      -- The peer answers nobody before that many requests have come.
      local result, err = link.tickets:verify_all({ tickets = { { tokens = numbered(1000) } } }, { limit = row.limit })
      assert.is_nil(err)
      assert.is_table(result)
      assert.equal(10, #peer:requests())
      link:close()
    end
  end)

  it("of a lock end before the account is made, and none is begun after a failure", function()
    local peer = peers.start { { gather = 3, status = 422, headers = JSON, body = cjson.encode {
      error = { type = "INVALID_TOKEN", appErrorCode = "MS-422" } } } }
    local link = paciolan.new(scripted.settings { base_url = peer.url })
    local _, err = link.tickets:lock_all(lock_payload(numbered(600)), { limit = 3 })
    assert.equal(3, #peer:requests())
    assert.same({ rejected = 300, not_sent = 300 }, counted(err.tokens))
    assert.equal(3, #err.errors)
    link:close()
  end)
end)

describe("against the sandbox", function()
  local place
  setup(function() place = market.open { extra_seats = 1000 } end)
  teardown(function() place:close() end)

  it("1,000 tokens are verified in ten requests, results in order", function()
    local tokens = place:tokens(1000, "129:FB30:FB03")
    local before = #place:requests("tickets.verify")
    local result, err, response = place.link.tickets:verify_all({ tickets = { { tokens = tokens } } }, { limit = 16 })
    assert.is_nil(err)
    assert.equal(10, #place:requests("tickets.verify") - before)
    assert.equal(10, response.batches)
    assert.equal(1, #result.tokens)
    local found = {}
    for i, seat in ipairs(result.tokens[1].success.seats) do
      found[i] = seat.token
    end
    assert.same(tokens, found)
    assert.same({ done = 1000 }, counted(response.tokens))
    assert.same(tokens[777], response.tokens[777].token)
  end)

  it("the account of a half-done lock agrees with every seat", function()
    local tokens = place:tokens(230)
    assert(place.link.tickets:lock(market.lock_payload({ tokens[150], tokens[151] }, "L-other")))
    local result, err = place.link.tickets:lock_all(market.lock_payload(tokens, "L-bulk"))
    assert.is_nil(result)
    assert.same({ done = 198, failed = 2, not_sent = 30 }, counted(err.tokens))
    local locked = {}
    for _, entry in ipairs(place:ledger().locks) do
      for _, token in ipairs(entry.externalListingId == "L-bulk" and entry.tokens or {}) do
        locked[token] = true
      end
    end
    for _, item in ipairs(err.tokens) do
      assert.equal(locked[item.token] == true, item.state == "done", item.token)
    end
    assert(place.link.tickets:unlock_all { tokens = tokens })
    for token, seat in pairs(place:world()) do
      assert.not_equal("locked", seat.state, token)
    end
  end)

  it("sold seats are printed thirty at a time", function()
    local tokens = place:tokens(45, "129:FB30:FB02")
    place:sell(tokens, "O-bulk")
    local result = assert(place.link.tickets:print_all { externalOrderId = "O-bulk", tokens = tokens })
    assert.equal(45, #result.tickets)
    assert.equal(2, #place:requests("tickets.print"))
  end)
end)
