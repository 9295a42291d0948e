local desk = require "support.desk"
local faults = require "paciolan.sandbox.faults"
local httpd = require "paciolan.httpd"
local sandbox = require "paciolan.sandbox"
local sandboxes = require "paciolan.sandbox.child"
local socket = require "socket"

local LISTING = "/v1/listings/A3qnemZ"

describe("sandbox faults: the text of one", function()
  local GOOD = {
    -- text, place, delay_ms
    { "delay=250", "call", 250 }, { "status=503", "before", 0 }, { "status=503;after", "after", 0 },
    { "status=400", "before", 0 }, { "status=408;after", "after", 0 }, { "rate_limit=2", "before", 0 },
    { "rate_limit_date=0", "before", 0 }, { "html=502", "before", 0 }, { "html=502;after", "after", 0 },
    { "html=200;after", "after", 0 }, { "html=302;after", "after", 0 }, { "empty=200", "before", 0 },
    { "empty=204;after", "after", 0 },
    { "truncate", "after", 0 }, { "truncate=0", "after", 0 }, { "slow=20", "after", 0 },
    { "reset=before", "before", 0 }, { "reset=after", "after", 0 }, { "close=before", "before", 0 },
    { "close=after", "after", 0 }, { "pending=3", "call", 0 }, { "error", "call", 0 }, { "partial", "call", 0 },
    { "expire_token", "call", 0 }, { "revoke_token", "call", 0 }, { "skew=-300", "call", 0 },
    { "unhandled", "before", 0 }, { "unhandled;after", "after", 0 }, { " delay = 5 ; reset=after ", "after", 5 },
    { "after;status=500;delay=600000", "after", 600000 },
  }
  for _, row in ipairs(GOOD) do
    it("may be " .. row[1], function()
      local fault = assert(faults.parse(row[1]))
      assert.same({ row[2], row[3] }, { fault.place, fault.delay_ms })
    end)
  end

  local BAD = {
    -- text, what the rule says
    { "", "the names are" }, { "explode", "the names are" }, { "status=503,reset=after", "the names are" },
    { "status=503;", "the names are" }, { "status", "status must be" }, { "status=200", "status must be" },
    { "status=600", "status must be" }, { "status=5e2", "status must be" }, { "status=-", "status must be" },
    { "delay=600001", "delay must be" }, { "delay=-1", "delay must be" }, { "slow=0", "slow must be" },
    { "reset", "reset must be" }, { "reset=now", "reset must be" }, { "close=", "the names are" },
    { "error=1", "error takes no value" }, { "partial=1", "partial takes no value" },
    { "pending=0", "pending must be" },
    { "truncate=x", "truncate must be" }, { "skew=1.5", "the names are" },
    { "delay=1;delay=2", "delay stands twice" }, { "html=502;empty=200", "are two faults" },
    { "after", "after needs a fault" }, { "delay=5;after", "after needs a fault" },
    { "truncate;after", "after does not go with truncate" }, { "rate_limit=1;after", "after does not go with" },
    { "status=422;after", "after does not go with 4xx" }, { "html=404;after", "after does not go with 4xx" },
    { "html=204", "html cannot be" },
  }
  for _, row in ipairs(BAD) do
    it("may not be '" .. row[1] .. "'", function()
      local fault, rule = faults.parse(row[1])
      assert.is_nil(fault)
      assert.truthy(rule:find(row[2], 1, true), rule)
    end)
  end
end)

describe("sandbox faults: with one request", function()
  local here

  before_each(function()
    here = desk.open()
  end)

  local function get(fault)
    return here:call("GET", LISTING, nil, { ["x-sandbox-fault"] = fault })
  end

  local function lock(fault, count)
    local tokens = here:free_tokens(count or 1)
    local status, body, answer =
      here:call("PUT", "/v1/tickets/lock", desk.lock_payload(tokens), { ["x-sandbox-fault"] = fault })
    return status, body, answer, tokens
  end

  local function commits()
    return select(2, here:call("GET", "/_sandbox/ledger/" .. desk.REQUEST_ID)).commits
  end

  local function of_operation(operation)
    local list = {}
    for _, commit in ipairs(commits()) do
      list[#list + 1] = commit.operation == operation and commit or nil
    end
    return list
  end

  it("answers 400 to one that it does not know, and names the rule but not the text", function()
    local status, body = get("explode=now")
    assert.equal(400, status)
    assert.truthy(body.error.developerMessage:find("X-Sandbox-Fault", 1, true))
    assert.is_nil(body.error.developerMessage:find("explode", 1, true))
  end)

  it("answers 400 to one that does not fit the operation, and to one of a control call", function()
    assert.equal(400, (get("partial")))
    assert.equal(400, (get("skew=5")))
    assert.equal(400, (get("error")))
    assert.equal(400, (here:call("GET", "/_sandbox/ledger", nil, { ["x-sandbox-fault"] = "reset=before" })))
  end)

  -- Fault, whether the work is done, and what is to be seen of the answer.
  local ENDS = {
    { "status=503", false, { status = 503 } }, { "status=503;after", true, { status = 503 } },
    { "status=422", false, { status = 422 } }, { "unhandled", false, { status = 500 } },
    { "unhandled;after", true, { status = 500 } }, { "rate_limit=2", false, { status = 429 } },
    { "html=502", false, { status = 502 } }, { "html=200;after", true, { status = 200 } },
    { "empty=200", false, { status = 200, body = "" } }, { "empty=502;after", true, { status = 502, body = "" } },
    { "truncate=7", true, { status = 200, cut_after_bytes = 7 } }, { "slow=9", true, { status = 200, pause_ms = 9 } },
    { "reset=before", false, { drop = "reset" } }, { "reset=after", true, { drop = "reset" } },
    { "close=before", false, { drop = "close" } }, { "close=after", true, { drop = "close" } },
    { "delay=70", true, { status = 200, delay_ms = 70 } },
    { "delay=70;reset=before", false, { drop = "reset", delay_ms = 70 } },
  }
  for _, row in ipairs(ENDS) do
    it(row[1] .. (row[2] and " comes after the work" or " comes before the work"), function()
      local _, _, answer, tokens = lock(row[1])
      for name, value in pairs(row[3]) do
        assert.equal(value, answer[name], name)
      end
      local seat = here.box.inventory:seat(tokens[1])
      assert.equal(row[2] and "locked" or "open", here.box.inventory:state(seat))
      assert.equal(row[2] and 1 or 0, #of_operation("tickets.lock"))
    end)
  end

  it("a fault before the handler hides what is wrong with the headers", function()
    assert.equal(502, (here:call("GET", LISTING, nil, { ["x-sandbox-fault"] = "html=502", ["pac-api-key"] = "wrong" })))
  end)

  it("429 has Retry-After in seconds, or as a date on the sandbox's clock", function()
    local _, _, answer = get("rate_limit=2")
    assert.equal("2", answer.headers["Retry-After"])
    _, _, answer = get("rate_limit_date=40")
    assert.equal("Tue, 14 Nov 2023 22:14:00 GMT", answer.headers["Retry-After"])
  end)

  it("html is a page and no JSON", function()
    local _, body, answer = get("html=502")
    assert.is_nil(body)
    assert.equal("text/html; charset=utf-8", answer.headers["Content-Type"])
    assert.truthy(answer.body:find("<html>", 1, true))
  end)

  it("errors have the documented form, of the token call too", function()
    local _, body = get("status=503")
    assert.same({ "SERVICE_UNAVAILABLE", "MS-503" }, { body.error.type, body.error.appErrorCode })
    _, body = get("unhandled")
    assert.equal("UNHANDLED_EXCEPTION", body.error.type)
    _, body = here:call("POST", "/v1/auth/token", { grantType = "authorization_code", code = "x" },
      { ["x-sandbox-fault"] = "status=500" })
    assert.equal("string", type(body.error))
  end)

  it("truncate alone ends in the middle, and a body that is cut or slow is not packed", function()
    local changes = { ["accept-encoding"] = "gzip", ["x-sandbox-fault"] = "truncate" }
    local _, _, answer = here:call("GET", LISTING, nil, changes)
    assert.equal(math.floor(#answer.body / 2), answer.cut_after_bytes)
    assert.is_false(answer.gzip)
    _, _, answer = here:call("GET", LISTING, nil, { ["accept-encoding"] = "gzip", ["x-sandbox-fault"] = "slow=5" })
    assert.same({ math.ceil(#answer.body / 8), 5, false }, { answer.piece_bytes, answer.pause_ms, answer.gzip })
  end)

  it("partial leaves out the last token: 207, or 422 when it is the only one", function()
    local status, body, _, tokens = lock("partial", 3)
    assert.equal(207, status)
    assert.same({ 2, 1, tokens[3] }, { #body.success, #body.failure, body.failure[1].token })
    assert.same({ tokens[1], tokens[2] }, of_operation("tickets.lock")[1].tokens)
    assert.equal(422, (lock("partial")))
    local changes = { ["x-sandbox-fault"] = "partial" }
    local two = { tokens[1], tokens[2] }
    status, body = here:call("POST", "/v1/tickets/verify", { tickets = { { tokens = two } } }, changes)
    assert.same({ 207, tokens[2] }, { status, body.tokens[2].failure[1].token })
    status, body = here:call("POST", "/v1/cart/complete-order", desk.order_payload(two), changes)
    assert.same({ 207, tokens[2] }, { status, body.failure[1].token })
    status, body = here:call("PUT", "/v1/tickets/unlock", { tokens = { tokens[2], tokens[3] } }, changes)
    assert.same({ 207, tokens[3] }, { status, body.failure[1].token })
  end)

  it("pending and error change how an order ends", function()
    local _, _, _, tokens = lock(nil, 2)
    local changes = { ["x-sandbox-fault"] = "error" }
    local _, body = here:call("POST", "/v1/cart/complete-order", desk.order_payload(tokens), changes)
    assert.equal("ERROR", body.status)
    changes["x-sandbox-fault"] = "pending=1"
    _, body = here:call("POST", "/v1/cart/complete-order", desk.order_payload(tokens), changes)
    assert.equal("PENDING", body.status)
    assert.equal(0, #of_operation("orders.complete"))
    local path = "/v1/cart/complete-order/" .. body.processId
    assert.equal("PENDING", select(2, here:call("GET", path)).status)
    assert.equal("COMPLETE", select(2, here:call("GET", path)).status)
    assert.same(tokens, of_operation("orders.complete")[1].tokens)
  end)

  it("expire_token and revoke_token end the token of the request only", function()
    local _, other = here:call("POST", "/v1/auth/token",
      { grantType = "authorization_code", code = here.box.tokens.codes[2] })
    local status, body = get("expire_token")
    assert.same({ 401, "TOKEN_EXPIRED" }, { status, body.error.type })
    assert.equal(401, (get()))
    here.headers.authorization = "Bearer " .. other.accessToken
    assert.equal(200, (get()))
    status, body = get("revoke_token")
    assert.same({ 401, "TOKEN_REVOKED" }, { status, body.error.type })
    local payload = { grantType = "refresh_token", refreshToken = other.refreshToken }
    assert.equal(200, (here:call("POST", "/v1/auth/token", payload)))
  end)

  it("skew tells another time of expiration than the one that holds", function()
    local payload = { grantType = "refresh_token", refreshToken = here.tokens.refreshToken }
    local _, body = here:call("POST", "/v1/auth/token", payload, { ["x-sandbox-fault"] = "skew=-7200" })
    assert.equal("2023-11-14T21:13:20.250000000Z", body.expiration)
    here.headers.authorization = "Bearer " .. body.accessToken
    assert.equal(200, (get()))
  end)

  it("the ledger shows arrivals and commits of one Request-ID", function()
    lock("reset=after")
    local _, body = here:call("GET", "/_sandbox/ledger/" .. desk.REQUEST_ID)
    local last = body.requests[#body.requests]
    assert.same({ "tickets.lock", "reset=after", nil }, { last.operation, last.fault, last.status })
    assert.equal("tickets.lock", body.commits[#body.commits].operation)
    assert.same({}, select(2, here:call("GET", "/_sandbox/ledger/none")).requests)
  end)
end)

describe("sandbox faults: for the next calls", function()
  local here

  before_each(function()
    here = desk.open()
  end)

  local function set(payload)
    return here:call("POST", "/_sandbox/faults", payload)
  end

  local function statuses(count)
    local list = {}
    for i = 1, count do
      list[i] = here:call("GET", LISTING)
    end
    return list
  end

  it("one call by default, or as many as are told, in the order of asking", function()
    set { fault = "status=503" }
    set { fault = "status=500", count = 2 }
    assert.same({ 503, 500, 500, 200 }, statuses(4))
  end)

  it("only calls of the operation, and only those that it fits", function()
    set { fault = "status=503", operation = "tickets.lock" }
    set { fault = "partial" }
    assert.same({ 200 }, statuses(1))
    local tokens = here:free_tokens(2)
    assert.equal(503, (here:call("PUT", "/v1/tickets/lock", desk.lock_payload(tokens))))
    assert.equal(207, (here:call("PUT", "/v1/tickets/lock", desk.lock_payload(tokens))))
  end)

  it("give way to the header of a request, and are shown and cleared", function()
    set { fault = "status=503", count = 3 }
    assert.equal(500, (here:call("GET", LISTING, nil, { ["x-sandbox-fault"] = "status=500" })))
    assert.same({ 503 }, statuses(1))
    local _, view = here:call("GET", "/_sandbox/faults")
    assert.same({ queue = { { fault = "status=503", left = 2 } }, plan = "",
      applied = { ["status=500"] = 1, ["status=503"] = 1 } }, view)
    _, view = here:call("DELETE", "/_sandbox/faults")
    assert.same({ {}, {} }, { view.queue, view.applied })
    assert.same({ 200 }, statuses(1))
  end)

  it("are gone after a reset; the plan stays", function()
    set { fault = "status=503" }
    set { plan = "status=500" }
    here:call("POST", "/_sandbox/reset")
    assert.same({ 500 }, statuses(1))
  end)

  local MISUSE = {
    {}, { fault = "explode" }, { fault = "status=503", count = 0 }, { fault = "status=503", count = 1.5 },
    { fault = "status=503", count = "2" }, { fault = "status=503", operation = "none" },
    { fault = "partial", operation = "listings.get" }, { fault = "status=503", colour = 1 },
    { fault = "status=503", plan = "status=503" }, { plan = "explode@0.5" }, { plan = "status=503@2" },
    { plan = "status=503@" }, { plan = "status=503@0.6,html=502@0.6" }, { plan = "none:status=503" },
    { plan = "listings.get:partial" }, { plan = "status=503,,html=502" },
  }
  for i, payload in ipairs(MISUSE) do
    it("refuses misuse " .. i .. " and changes nothing", function()
      local status, body = set(payload)
      assert.equal(400, status)
      assert.truthy(#body.error.developerMessage > 10)
      assert.same({ 200 }, statuses(1))
    end)
  end
end)

describe("a plan that promises too much", function()
  it("is refused in words that fit a plan without an operation, too", function()
    local plan, rule = faults.parse_plan("status=503@0.6,html=502@0.6", { ["listings.get"] = true })
    assert.is_nil(plan)
    assert.equal("what the plan has for one operation, such as listings.get, adds up to more than 1", rule)
  end)
end)

describe("sandbox faults: at random", function()
  local PLAN = "status=503@0.3, listings.get:html=502@0.2, partial@0.5"

  local function play(options)
    local here = desk.open(options)
    here:call("POST", "/_sandbox/faults", { plan = PLAN, seed = options.plan_seed })
    local list = {}
    for i = 1, 200 do
      list[i] = string.format("%d", (here:call("GET", LISTING)))
    end
    return list
  end

  it("follow from the seed", function()
    assert.same(play { seed = "a" }, play { seed = "a" })
    assert.not_same(play { seed = "a" }, play { seed = "b" })
  end)

  it("come about as often as the plan says, and only where they fit", function()
    local counts = {}
    for _, status in ipairs(play { seed = "a" }) do
      counts[status] = (counts[status] or 0) + 1
    end
    assert.equal(200, counts["503"] + counts["502"] + counts["200"])
    assert.is_true(counts["503"] > 40 and counts["503"] < 80)
    assert.is_true(counts["502"] > 20 and counts["502"] < 60)
  end)

  it("stand in sandbox.new, which refuses what it cannot read", function()
    local box = sandbox.new { faults = "catalog.events:status=503" }
    local request = { method = "GET", path = "/v1/catalog/events", query = "", headers = {}, body = "" }
    assert.equal(503, box:handle(request).status)
    assert.has_error(function() sandbox.new { faults = "explode" } end)
    assert.has_error(function() sandbox.new { faults = 5 } end)
  end)
end)

describe("sandbox faults: on the wire", function()
  local box, clients

  before_each(function()
    clients = {}
    box = assert(sandbox.new {}:listen())
  end)

  after_each(function()
    for _, client in ipairs(clients) do
      client:close()
    end
    box:close()
  end)

  local function ask(fault)
    local client = assert(socket.connect("127.0.0.1", box:port()))
    clients[#clients + 1] = client
    client:settimeout(0)
    assert(client:send("GET /v1/catalog/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
      .. (fault and "X-Sandbox-Fault: " .. fault .. "\r\n" or "") .. "\r\n"))
    return client
  end

  -- Turns the sandbox until the client's connection ends.
  local function finish(client)
    local data = ""
    for _ = 1, 2000 do
      box:step(5)
      local chunk, why, part = client:receive(65536)
      data = data .. (chunk or part or "")
      if why == "closed" then
        return data
      end
    end
    error("no end of the connection")
  end

  it("a delayed answer comes, and later than one that was asked for after it", function()
    local before_ms = httpd.monotonic_ms()
    local late = ask("delay=300")
    for _ = 1, 3 do
      assert.truthy(finish(ask()):find("^HTTP/1.1 400"))
    end
    local data = finish(late)
    assert.truthy(data:find("^HTTP/1.1 400"))
    assert.is_true(httpd.monotonic_ms() - before_ms >= 300)
  end)

  it("a very long delay keeps nobody waiting, and close ends it", function()
    ask("delay=600000")
    ask("delay=600000;reset=after")
    assert.truthy(finish(ask()):find("^HTTP/1.1 400"))
  end)

  it("cuts a body that the head promised", function()
    local data = finish(ask("truncate=3"))
    local promised = tonumber(data:match("Content%-Length: (%d+)"))
    assert.equal(3, #data:match("\r\n\r\n(.*)$"))
    assert.is_true(promised > 3)
  end)

  it("sends a slow body whole", function()
    local data = finish(ask("slow=2"))
    assert.equal(tonumber(data:match("Content%-Length: (%d+)")), #data:match("\r\n\r\n(.*)$"))
  end)

  for _, fault in ipairs { "reset=before", "reset=after", "close=before", "close=after", "delay=20;close=after" } do
    it(fault .. " ends the connection without a byte", function()
      assert.equal("", finish(ask(fault)))
    end)
  end
end)

describe("sandbox faults: in a child", function()
  it("stand on its command line", function()
    local child = sandboxes.start { faults = "listings.get:status=503" }
    local _, status = child:control("GET", LISTING)
    local view = child:control("GET", "/_sandbox/faults")
    child:stop()
    assert.equal(503, status)
    assert.equal("listings.get:status=503", view.plan)
  end)

  it("stand in its log, where a call without an answer has no status", function()
    local child = sandboxes.start { faults = "listings.get:reset=before", verbose = true }
    assert.is_false(pcall(child.control, child, "GET", LISTING))
    local output = child:stop()
    assert.truthy(output:find("---  GET    " .. LISTING .. "  -  fault reset=before\n", 1, true), output)
  end)

  it("are refused there with the name of the option", function()
    local ok, message = pcall(sandboxes.start, { faults = "explode" })
    assert.is_false(ok)
    assert.truthy(message:find("--faults", 1, true), message)
  end)
end)
