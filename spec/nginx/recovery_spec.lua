--- nginx with resty.paciolan while things die around it: the right errors meanwhile, and all is well afterwards without
-- a restart.
local amazon = require("support.amazon")
local cjson = require("cjson").new()
local gateway = require("support.gateway")
local inbox = require("support.inbox")
local market = require("support.market")
local peers = require("support.peers")
local redis = require("support.redis")
local sandbox = require("paciolan.sandbox.child")
local socket = require("socket")

local SETUP = [[
  local given = ...
  local function store()
    return given.redis and require("paciolan").store.redis(given.redis) or require("paciolan").store.shdict "paciolan"
  end
  given.link.store = store
  return { dict = "paciolan", link = given.link, receiver = {
    topics = { given.topic }, roots = given.roots, fetch_certificate = function() return given.leaf end,
    basic_auth = given.basic, on_seat = function() return true end, store = store,
  } }
]]

local LOCATIONS = [[
  location = /events { content_by_lua_block {
    local events, err = require("resty.paciolan").link().catalog:events()
    ngx.print(require("cjson").new().encode(events and { kind = "none" }
      or { kind = err.kind, outcome = err.outcome, retryable = err.retryable }))
  } }
  location = /echo {
    access_by_lua_block { require("resty.paciolan").authorize() }
    proxy_pass @ECHO@;
  }
]]

describe("resty.paciolan", function()
  local place, aws, echo, server

  local function given(more)
    local all = { link = place.box:client_options(),
      topic = aws.topic, roots = aws.roots, leaf = aws.leaf, basic = inbox.BASIC }
    for name, value in pairs(more or {}) do
      all[name] = value
    end
    return all
  end

  local function start(options)
    options.setup, options.server = SETUP, LOCATIONS:gsub("@ECHO@", echo.url)
    return gateway.start(options)
  end

  setup(function()
    place, aws, echo = market.open(), amazon.start {}, peers.start { { echo = true } }
    server = start { workers = 2, given = given() }
  end)
  teardown(function()
    gateway.stop_all()
    amazon.stop_all()
    peers.stop_all()
    redis.stop_all()
    place:close()
  end)

  -- How a call ended: "none", or the kind of its error.
  local function call(at)
    local status, body = (at or server):get("/events")
    assert.equal(200, status)
    return cjson.decode(body).kind
  end

  local function message()
    local request = aws:request { Message = inbox.seats() }
    request.headers.authorization = inbox.AUTHORIZATION
    return request
  end

  local function post(request, at)
    return ((at or server):request { method = "POST", path = "/messages", headers = request.headers,
      body = request.body })
  end

  local function renewals()
    return #place:requests("auth.token")
  end

  -- Sends a request and does not wait for its answer.
  local function begin(path, at)
    local client = assert(socket.connect("127.0.0.1", (at or server).port))
    client:settimeout(20)
    client:send(("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):format(path))
    return client
  end

  local function finish(client)
    local text, _, partial = client:receive("*a")
    client:close()
    return (text or partial):match("^HTTP/1%.1 (%d+).*\r\n\r\n.-(%b{})")
  end

  local function wait_for(is_so)
    for _ = 1, 600 do
      if is_so() then
        return
      end
      socket.sleep(0.02)
    end
    error("what was waited for never came:\n" .. server:errors(), 2)
  end

  local function requests_of(operation)
    return #place:requests(operation)
  end

  it("answers every request through a reload, and keeps token and memory", function()
    assert.equal("none", call())
    local request = message()
    assert.equal(204, post(request))
    local before, seen, clients = renewals(), requests_of("catalog.events"), {}
    place.box:control("POST", "/_sandbox/faults", { fault = "delay=300", operation = "catalog.events", count = 8 })
    for i = 1, 8 do
      clients[i] = begin("/events")
    end
    wait_for(function() return requests_of("catalog.events") == seen + 8 end)
    server:reload()
    for _, client in ipairs(clients) do
      local status, body = finish(client)
      assert.same({ "200", "none" }, { status, body and cjson.decode(body).kind })
    end
    assert.equal("none", call())
    assert.equal(204, post(request))
    assert.equal(1, gateway.metric(server, 'paciolan_messages_duplicate_total{entity="seats"}'))
    assert.equal(before, renewals())
  end)

  it("goes on as before when a reload brings wrong options", function()
    gateway.give(server, given { link = {} })
    local workers = server:workers()
    os.execute(("kill -HUP %d"):format(server.pid))
    wait_for(function() return server:errors():find("paciolan.new: ", 1, true) end)
    assert.equal("none", call())
    assert.same(workers, server:workers())
    gateway.give(server, given())
    server:reload()
    assert.equal("none", call())
  end)

  it("outlives a worker that is killed while it renews the token", function()
    -- The lock of a renewal lasts for little longer than the time of one attempt.
    local other = start { workers = 2, given = given { link = place.box:client_options {
      auth = { code = place.box:new_auth_code() }, timeout_ms = 1000, deadline_ms = 5000 } } }
    wait_for(function() return call(other) == "none" end)
    local before = renewals()
    place.box:control("POST", "/_sandbox/tokens/revoke", {})
    place.box:control("POST", "/_sandbox/faults", { fault = "status=503;delay=20000", operation = "auth.token" })
    local client = begin("/events", other)
    wait_for(function() return renewals() == before + 1 end)
    for _, pid in ipairs(other:workers()) do
      os.execute(("kill -KILL %d"):format(pid))
    end
    assert.is_nil((finish(client)))
    wait_for(function() return #other:workers() == 2 end)
    wait_for(function() return call(other) == "none" end)
    assert.equal(before + 2, renewals())
    assert.equal(204, post(message(), other))
    for line in other:errors():gmatch("[^\n]+") do
      assert.is_true(not line:find("[alert]", 1, true) or line:find("exited on signal 9", 1, true) ~= nil, line)
    end
    other:stop()
  end)

  it("tells that the service is down, and goes on when it is back", function()
    local box = sandbox.start()
    local other = start { given = given { link = box:client_options { retries = 0, deadline_ms = 5000 } } }
    assert.equal("none", call(other))
    box:stop()
    assert.equal("network", call(other))
    assert.equal(200, (other:get("/echo"))) -- the token still holds
    box = sandbox.start { port = box.port }
    -- It has forgotten the tokens, so that somebody has to log in.
    assert.equal("auth", call(other))
    assert.equal(502, (other:get("/echo")))
    other:run([[assert(require("resty.paciolan").link().auth:exchange(...))]], box:new_auth_code())
    assert.equal("none", call(other))
    assert.equal(200, (other:get("/echo")))
    other:stop()
    box:stop()
  end)

  it("tells that Redis is down, and goes on when it is back", function()
    local store = redis.start()
    local other = start { given = given { redis = store:url(),
      link = place.box:client_options { auth = { access_token = "given", expiration = "2099-01-01T00:00:00Z" } } } }
    assert.equal(200, (other:get("/echo")))
    local request = message()
    assert.equal(204, post(request, other))
    store:stop()
    assert.equal("store", call(other))
    assert.equal(503, (other:get("/echo")))
    assert.equal(503, post(message(), other))
    store:start()
    assert.equal(200, (other:get("/echo")))
    assert.equal(204, post(message(), other))
    assert.is_nil(other:errors():find("[alert]", 1, true))
    other:stop()
  end)

  it("works without the code cache, where each request has a Lua of its own", function()
    local options = given { link = place.box:client_options { auth = { code = place.box:new_auth_code() } } }
    local other = start { given = options, code_cache = false }
    local before = renewals()
    for _ = 1, 3 do
      assert.equal("none", call(other))
      assert.equal(200, (other:get("/echo")))
    end
    assert.equal(before + 1, renewals())
    local request = message()
    assert.equal(204, post(request, other))
    assert.equal(204, post(request, other))
    assert.equal(1, gateway.metric(other, 'paciolan_messages_duplicate_total{entity="seats"}'))
    assert.equal(3, gateway.metric(other, 'paciolan_calls_total{operation="catalog.events",outcome="done"}'))
    for line in other:errors():gmatch("[^\n]+") do
      assert.matches("lua_code_cache is off", line)
    end
    other:stop()
  end)

  it("has never crashed", function()
    for _, level in ipairs { "[alert]", "[emerg]", "signal" } do
      assert.is_nil(server:errors():find(level, 1, true))
    end
  end)
end)
