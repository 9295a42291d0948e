--- The metrics in nginx: what is counted, and that Prometheus can read it.
local amazon = require("support.amazon")
local cjson = require("cjson").new()
local gateway = require("support.gateway")
local inbox = require("support.inbox")
local market = require("support.market")

local SETUP = [[
  local given = ...
  local function yes() return true end
  given.link.retries = 1
  return { dict = "paciolan", link = given.link, receiver = {
    topics = { given.topic }, roots = given.roots, fetch_certificate = function() return given.leaf end,
    basic_auth = given.basic, path = "/messages", on_event = yes, on_seat = yes, on_message = yes,
    callback = { path = "/callback/0123456789abcdef" }, on_callback = yes,
    on_report = function() error("a hook that fails") end,
  } }
]]

local LOCATIONS = [[
  location = /full { content_by_lua_block {
    local dict, number = ngx.shared.paciolan, 0
    while dict:safe_set("filler " .. number, ("x"):rep(100)) do number = number + 1 end
    while dict:safe_set("small " .. number, "x") do number = number + 1 end
  } }
]]

describe("resty.paciolan.metrics", function()
  local place, aws, server

  setup(function()
    place, aws = market.open(), amazon.start {}
    server = gateway.start { workers = 2, setup = SETUP, server = LOCATIONS, given = {
      link = place.box:client_options(), topic = aws.topic, roots = aws.roots, leaf = aws.leaf, basic = inbox.BASIC,
    } }
  end)
  teardown(function()
    gateway.stop_all()
    amazon.stop_all()
    place:close()
  end)

  local function metric(series)
    return gateway.metric(server, series)
  end

  local function call(source, ...)
    return server:run([[local link = require("resty.paciolan").link() ]] .. source, ...)
  end

  local function post(request)
    request.headers.authorization = request.headers.authorization or inbox.AUTHORIZATION
    return (server:request { method = "POST", path = request.path == "/" and "/messages" or request.path,
      headers = request.headers, body = request.body })
  end

  it("has nothing but heads before anything was counted", function()
    local status, body, headers = server:get("/metrics")
    assert.same({ 200, "text/plain; version=0.0.4; charset=utf-8" }, { status, headers["content-type"] })
    assert.is_nil(body:find("\n[^#]"))
    assert.equal(7, select(2, body:gsub("# TYPE ", "")))
  end)

  it("counts calls by outcome, attempts, repetitions and renewals", function()
    call([[assert(link.catalog:events())]])
    assert.equal(1, metric('paciolan_calls_total{operation="catalog.events",outcome="done"}'))
    assert.equal(1, metric('paciolan_calls_total{operation="auth.token",outcome="done"}'))
    assert.equal(1, metric('paciolan_rotations_total{step="exchange",result="done"}'))
    assert.equal(1, metric('paciolan_attempts_total{operation="catalog.events"}'))

    assert.matches("validation", call([[return tostring(select(2, link.tickets:lock {}))]]))
    assert.equal(1, metric('paciolan_calls_total{operation="tickets.lock",outcome="not_sent"}'))
    assert.equal(0, metric('paciolan_attempts_total{operation="tickets.lock"}'))

    place.box:control("POST", "/_sandbox/faults", { fault = "status=503", operation = "catalog.events", count = 2 })
    call([[return tostring(link.catalog:events())]])
    assert.equal(1, metric('paciolan_calls_total{operation="catalog.events",outcome="failed"}'))
    assert.equal(1, metric('paciolan_retries_total{operation="catalog.events"}'))
    assert.equal(3, metric('paciolan_attempts_total{operation="catalog.events"}'))
    place.box:control("DELETE", "/_sandbox/faults")

    local payload = market.lock_payload(place:tokens(1), "L-1")
    payload.listing.tokens[1].token = "no-such-token"
    call([[link.tickets:lock(...)]], payload)
    place.box:control("POST", "/_sandbox/faults", { fault = "reset=after", operation = "orders.complete" })
    local tokens = place:tokens(1)
    call([[link.tickets:lock(...)]], market.lock_payload(tokens, "L-2"))
    call([[link.orders:complete(...)]], market.order_payload(tokens, "L-2", "O-2"))
    assert.equal(1, metric('paciolan_calls_total{operation="orders.complete",outcome="unknown"}'))
    assert.equal(1, metric('paciolan_calls_total{operation="tickets.lock",outcome="done"}'))
    local failed = metric('paciolan_calls_total{operation="tickets.lock",outcome="rejected"}')
      + metric('paciolan_calls_total{operation="tickets.lock",outcome="partial"}')
    assert.equal(1, failed)

    place.box:control("POST", "/_sandbox/tokens/revoke", {})
    call([[assert(link.catalog:events())]])
    assert.equal(1, metric('paciolan_rotations_total{step="refresh",result="done"}'))
    place.box:control("POST", "/_sandbox/tokens/revoke", { refresh = true })
    call([[return tostring(link.catalog:events())]])
    assert.equal(1, metric('paciolan_rotations_total{step="refresh",result="refused"}'))
  end)

  it("counts messages by entity and verdict, and repetitions by the entity that they are of", function()
    for _, case in ipairs {
      { inbox.seats(), 204, "seats" }, { inbox.events(), 204, "events" },
      { inbox.message("venues", { x = 1 }), 204, "other" },
    } do
      local series = ('paciolan_messages_total{entity="%s",verdict="accepted"}'):format(case[3])
      local request = aws:request { Message = case[1] }
      for _ = 1, 3 do
        assert.equal(case[2], post(request))
      end
      assert.equal(3, metric(series))
      assert.equal(2, metric(('paciolan_messages_duplicate_total{entity="%s"}'):format(case[3])))
    end
    local forged = aws:request { Message = inbox.seats() }
    forged.body = forged.body:gsub("FB23", "FB24")
    assert.equal(400, post(forged))
    assert.equal(1, metric('paciolan_messages_total{entity="other",verdict="refused"}'))
    assert.equal(204, post { headers = {}, path = "/callback/0123456789abcdef",
      body = cjson.encode { processId = "p-1", status = "COMPLETE" } })
    assert.equal(1, metric('paciolan_messages_total{entity="callback",verdict="accepted"}'))
  end)

  it("writes a histogram that adds up", function()
    local _, text = server:get("/metrics")
    local last, count = {}, {}
    for operation, bound, number in text:gmatch('_bucket{operation="([%w_.]+)",le="([^"]+)"} (%d+)\n') do
      number = tonumber(number)
      assert.is_true(number >= (last[operation] or 0))
      last[operation], count[operation] = number, (count[operation] or 0) + 1
      assert.is_true(bound == "+Inf" or tonumber(bound) <= 60)
    end
    assert.is_not_nil(next(last))
    for operation, number in pairs(last) do
      assert.equal(14, count[operation])
      local label = ('{operation="%s"}'):format(operation)
      assert.equal(number, metric("paciolan_call_duration_seconds_count" .. label))
      local calls = 0
      for _, outcome in ipairs { "done", "not_sent", "rejected", "unknown", "failed", "partial" } do
        calls = calls + metric(('paciolan_calls_total{operation="%s",outcome="%s"}'):format(operation, outcome))
      end
      assert.equal(number, calls)
      assert.matches("^%d+%.?%d*$", text:match("_sum" .. label:gsub("[%p]", "%%%0") .. " (%S+)"))
    end
  end)

  it("keeps to the text format: every line is a comment or a series, each series once", function()
    local _, text = server:get("/metrics")
    local seen, family = {}, nil
    assert.equal("\n", text:sub(-1))
    for line in text:gmatch("([^\n]*)\n") do
      local named = line:match("^# TYPE (%S+) %l+$")
      family = named or family
      if not named and not line:match("^# HELP [%l_]+ %u[^\\]+$") then
        local name, labels = line:match("^([%l_]+){([^}]*)} %d+%.?%d*$")
        assert.equal(1, (name:find(family, 1, true)))
        assert.equal("", (labels:gsub('[%l_]+="[%w_.+]+",?', "")))
        local series = line:match("^(.*) ")
        assert.is_nil(seen[series])
        seen[series] = true
      end
    end
  end)

  it("answers GET and HEAD alone", function()
    local status, body = server:request { method = "HEAD", path = "/metrics" }
    assert.same({ 200, "" }, { status, body })
    local headers
    status, body, headers = server:request { method = "POST", path = "/metrics", body = "x" }
    assert.same({ 405, "GET, HEAD" }, { status, headers.allow }, body)
  end)

  it("puts no token out of a full dict, and fails no call there", function()
    assert.equal(200, (server:get("/full")))
    local kept = server:run([[return ngx.shared.paciolan:free_space()]])
    assert.equal(0, kept)
    local before = metric('paciolan_calls_total{operation="auth.token",outcome="done"}')
    assert.matches("validation", call([[return tostring(select(2, link.transfers:accept({})))]]))
    assert.equal(0, metric('paciolan_calls_total{operation="transfers.accept",outcome="not_sent"}'))
    assert.equal(before, metric('paciolan_calls_total{operation="auth.token",outcome="done"}'))
    assert.equal("x", server:run([[return ngx.shared.paciolan:get("filler 0"):sub(1, 1)]]))
    assert.is_nil(server:errors():find("lua", 1, true)) -- but nginx itself tells of the connection that was reset
  end)
end)
