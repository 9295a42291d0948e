--- What can go wrong on the wire, for each kind of call: one that only reads, one that may be repeated, and one that
-- must never be sent twice. Every failure is `nil, err`, tells what is known of the write, holds no secret, and leaves
-- the link in order: the next call on it works.

local core = require("paciolan.core")
local transports = require("paciolan.transport")
local errors = require("paciolan.errors")
local market = require("support.market")
local paciolan = require("paciolan")
local peers = require("support.peers")
local phases = require("paciolan.phases")
local sandbox = require("paciolan.sandbox.child")

-- Every one of these travels with the calls below and may stand in no error.
local SECRET = { access = "SENTINEL-access", refresh = "SENTINEL-refresh", code = "SENTINEL-code", key = "SENTINEL-key",
  token = "SENTINEL-token", email = "sentinel-buyer@example.com", name = "Sentinelname", id = "SENTINEL-order" }

local JSON = { { "Content-Type", "application/json" } }
local HTML = { { "Content-Type", "text/html" } }
local PAGE = "<html><body>SENTINEL-page</body></html>"

local function order_payload()
  return {
    listing = { externalListingId = "L-1", externalOrderId = SECRET.id, tokens = { { token = SECRET.token } } },
    buyer = { firstName = SECRET.name, emailAddress = { email = SECRET.email } },
    settlement = { totalAmountPaid = 1 },
  }
end

-- The three kinds of call, with an answer that each takes for success.
local CALLS = {
  { name = "read", operation = "catalog.events", good = "[]",
    run = function(link, options) return link.catalog:events({ seasonCode = SECRET.name }, options) end },
  { name = "repeatable", operation = "tickets.unlock", good = '{"success":[]}',
    run = function(link, options) return link.tickets:unlock({ tokens = { SECRET.token } }, options) end },
  { name = "once", operation = "orders.complete", good = '{"status":"COMPLETE","processId":"a1"}',
    run = function(link, options) return link.orders:complete(order_payload(), options) end },
}

-- For the servers that are too slow: long enough for a connection on a busy machine.
local SLOW = { timeout_ms = 400 }

local function error_body(kind, code)
  return ('{"error":{"type":"%s","appErrorCode":"%s","developerMessage":"SENTINEL-message"}}'):format(kind, code)
end

-- What a peer does; the kind and the outcome that follow for a write; and how often a call with the default `retries`
-- is sent: read, repeatable, once. Nothing but the step decides, so no row names a time that must have passed.
local ROWS = {
  { "a server that closes before it reads", { close = "before_read" }, "network", "unknown", { 3, 3, 1 } },
  { "a server that closes after it read", { close = "after_read" }, "network", "unknown", { 3, 3, 1 } },
  { "a server that resets the connection", { close = "reset" }, "network", "unknown", { 3, 3, 1 } },
  { "an answer that breaks off", { headers = JSON, body = '{"succ', declared_length = 500 }, "network", "unknown",
    { 3, 3, 1 } },
  { "a page instead of JSON, with 500", { status = 500, headers = HTML, body = PAGE }, "protocol", "unknown",
    { 3, 3, 1 }, 500 },
  { "a page instead of JSON, with 200", { status = 200, headers = HTML, body = PAGE }, "protocol", "unknown",
    { 1, 1, 1 }, 200 },
  { "a page instead of JSON, with 404", { status = 404, headers = HTML, body = PAGE }, "protocol", "rejected",
    { 1, 1, 1 }, 404 },
  { "JSON that is no object", { headers = JSON, body = '"SENTINEL-text"' }, "protocol", "unknown", { 1, 1, 1 }, 200 },
  { "no body at all", { headers = JSON, body = "" }, "protocol", "unknown", { 1, 1, 1 }, 200 },
  { "an answer of 40 MiB", { headers = JSON, body_bytes = 40 * 1024 * 1024 }, "protocol", "unknown", { 1, 1, 1 } },
  { "a server that never answers", { stall = true }, "timeout", "unknown", { 3, 3, 1 }, nil, SLOW },
  { "a server that answers byte by byte", { body_bytes = 900, piece_bytes = 1, pause_s = 0.1 }, "timeout", "unknown",
    { 3, 3, 1 }, nil, SLOW },
  { "a redirect", { status = 302, headers = { { "Location", "/v1/elsewhere" } } }, "protocol", "unknown", { 1, 1, 1 },
    302 },
  { "too many requests", { status = 429, headers = { { "Retry-After", "0" } }, body = error_body("BUSY", "MS-429") },
    "rate_limit", "rejected", { 2, 2, 1 }, 429 },
  { "a refusal of the key", { status = 403, headers = JSON, body = error_body("FORBIDDEN", "MS-403") }, "auth",
    "rejected", { 1, 1, 1 }, 403 },
  { "a refusal of the payload", { status = 422, headers = JSON, body = error_body("NO", "MS-422") }, "http",
    "rejected", { 1, 1, 1 }, 422 },
  { "an error of the backend", { status = 503, headers = JSON, body = error_body("DOWN", "MS-503") }, "http", "unknown",
    { 3, 3, 1 }, 503 },
}

describe("a failure", function()
  local links = {}

  -- Waits are kept short by not waiting: how long they are is another spec's matter.
  local function impatient()
    local transport = transports.default({})
    return {
      waits = {},
      send = function(_, request) return transport:send(request) end,
      sleep = function(self, ms) self.waits[#self.waits + 1] = ms end,
      close = function() transport:close() end,
    }
  end

  local function new_link(base_url, more)
    local options = {
      base_url = base_url, application_id = "com.example.app", api_key = SECRET.key, channel_code = "channel",
      organization_id = "129", user_agent = "Specs/1.0.0", transport = impatient(),
      auth = { access_token = SECRET.access, expiration = "2099-01-01T00:00:00Z", refresh_token = SECRET.refresh },
    }
    for name, value in pairs(more or {}) do
      options[name] = value or nil -- false stands for "not given"
    end
    links[#links + 1] = paciolan.new(options)
    return links[#links]
  end

  after_each(function()
    for index = #links, 1, -1 do
      links[index]:close()
      links[index] = nil
    end
    peers.stop_all()
  end)

  -- The fields that quote the service by design.
  local QUOTED = { body = true, developer_message = true }

  local function expect_no_secret(value, path)
    if type(value) == "table" then
      for key, inner in pairs(value) do
        if not ((path == "err" or path == "err.response") and QUOTED[key]) then
          expect_no_secret(inner, path .. "." .. tostring(key))
        end
      end
      return
    end
    local text = tostring(value):lower()
    assert.is_nil(text:find("sentinel", 1, true), path .. " tells too much")
  end

  local function expect_failure(call, kind, outcome, result, err, ...)
    assert.is_nil(result)
    assert.equal(0, select("#", ...))
    local response = err.response
    assert.is_true(errors.is(err), tostring(err))
    assert.equal(kind, err.kind, tostring(err))
    assert.equal(call.name ~= "read" and outcome or nil, err.outcome)
    assert.equal(call.operation, err.operation)
    assert.is_true(err.request_id == nil and err.kind == "auth" or core.is_uuid_v4(err.request_id))
    assert.equal(err.attempts, response.attempts)
    if err.attempts > 0 and kind ~= "auth" and kind ~= "network" then
      assert.equal(err.request_id, response.request_id) -- else it may be that of the token call
    end
    expect_no_secret(err, "err")
    expect_no_secret(tostring(err), "tostring")
    expect_no_secret("" .. err, "concat")
    return err, response
  end

  -- A peer that does the same thing to that many requests and then answers properly.
  local function peer_of(step, times, good)
    local steps = {}
    for i = 1, times do
      steps[i] = step
    end
    steps[#steps + 1] = { headers = JSON, body = good }
    return peers.start(steps)
  end

  -- Requests that were read, and connections that were closed before.
  local function sends(peer, step)
    return step.close == "before_read" and peer:connections() or #peer:requests()
  end

  local function run_row(row, index, retries)
    local call, step = CALLS[index], row[2]
    local times = retries == 0 and 1 or row[5][index]
    local peer = peer_of(step, times, call.good)
    local link = new_link(peer.url)
    local options = { retries = retries, timeout_ms = row[7] and row[7].timeout_ms }
    local err, response = expect_failure(call, row[3], row[4], call.run(link, options))
    assert.equal(times, sends(peer, step))
    assert.equal(times, err.attempts)
    assert.equal(row[6], err.status)
    assert.equal(row[6], response.status)
    local result
    result, err = call.run(link)
    assert.is_nil(err, tostring(err))
    assert.is_table(result)
  end

  for _, row in ipairs(ROWS) do
    for index, call in ipairs(CALLS) do
      it(("of kind %s follows %s (%s, sent %d times)"):format(row[3], row[1], call.name, row[5][index]), function()
        run_row(row, index)
      end)

      it(("of kind %s follows %s (%s, no repetition wished)"):format(row[3], row[1], call.name), function()
        run_row(row, index, 0)
      end)
    end
  end

  it("keeps an answer that is no JSON out of the error, but hands it over", function()
    local peer = peers.start({ { status = 500, headers = HTML, body = PAGE } })
    local link = new_link(peer.url)
    local err, response = expect_failure(CALLS[3], "protocol", "unknown", CALLS[3].run(link))
    assert.is_nil(err.body)
    assert.equal(PAGE, response.body)
    assert.equal("text/html", response.headers["content-type"])
  end)

  it("repeats with the same Request-ID and the same bytes", function()
    local peer = peer_of({ close = "after_read" }, 2, CALLS[2].good)
    assert(CALLS[2].run(new_link(peer.url)))
    local seen = peer:requests()
    assert.equal(3, #seen)
    for i = 2, 3 do
      assert.equal(seen[1].headers["request-id"], seen[i].headers["request-id"])
      assert.equal(seen[1].body, seen[i].body)
      assert.equal(seen[1].method, seen[i].method)
    end
  end)

  it("is not followed to where a redirect points", function()
    local other = peers.start({ { headers = JSON, body = "[]" } })
    local peer = peers.start({ { status = 307, headers = { { "Location", other.url .. "/v1/catalog/events" } } } })
    local link = new_link(peer.url)
    for _, call in ipairs(CALLS) do
      expect_failure(call, "protocol", "unknown", call.run(link))
    end
    assert.equal(3, #peer:requests())
    assert.equal(0, other:connections())
  end)

  -- A repetition that went wrong in a harmless way must not hide that an earlier copy may have arrived.
  describe("after an earlier attempt of unknown fate", function()
    local BACKEND = { status = 500, headers = JSON, body = error_body("UNHANDLED_EXCEPTION", "MS-500") }
    local REFUSED = { status = 422, headers = JSON, body = error_body("INVALID_PARAMETER_VALUE", "MS-400") }
    local TRANSFER = {
      name = "once", operation = "transfers.initiate",
      run = function(link) return link.transfers:initiate(market.items_payload("1", SECRET.id, { SECRET.token })) end,
    }

    it("stays unknown when the repetition is refused", function()
      local peer = peers.start({ BACKEND, REFUSED })
      local err = expect_failure(TRANSFER, "http", "unknown", TRANSFER.run(new_link(peer.url)))
      assert.equal("INVALID_PARAMETER_VALUE", err.type)
      assert.equal(2, err.attempts)
    end)

    it("stays unknown when the repetition is not sent", function()
      local peer = peers.start({ { close = "after_read" } })
      local transport = transports.default({})
      local sent = 0
      local link = new_link(peer.url, { transport = {
        send = function(_, request)
          sent = sent + 1
          if sent == 2 then
            request.url = ("http://127.0.0.1:%d/"):format(peers.unused_port())
          end
          return transport:send(request)
        end,
        sleep = function() end,
        close = function() transport:close() end,
      } })
      expect_failure(CALLS[2], "network", "unknown", CALLS[2].run(link, { retries = 1 }))
      assert.equal(2, sent)
    end)

    it("stays unknown when the token cannot be renewed for the repetition", function()
      local peer = peers.start({ { close = "after_read" }, { status = 401, headers = JSON, body = "{}" },
        { status = 401, headers = JSON, body = '{"error":"SENTINEL-message"}' } })
      local err = expect_failure(CALLS[2], "auth", "unknown", CALLS[2].run(new_link(peer.url)))
      assert.equal(2, err.attempts)
    end)

    it("repeats a transfer three times when the service says UNHANDLED_EXCEPTION", function()
      local peer = peers.start({ BACKEND })
      local link = new_link(peer.url)
      local err = expect_failure(TRANSFER, "http", "unknown", TRANSFER.run(link))
      assert.equal(4, err.attempts)
      assert.equal(4, #peer:requests())
      assert.equal("inform_provider", err.action)
      assert.is_false(err.retryable)
      expect_failure(TRANSFER, "http", "unknown",
        link.transfers:initiate(market.items_payload("1", SECRET.id, { SECRET.token }), { retries = 0 }))
      assert.equal(5, #peer:requests())
    end)
  end)

  describe("of a port where nobody listens", function()
    it("is known not to have been sent, however often it was tried", function()
      local link = new_link(("http://127.0.0.1:%d"):format(peers.unused_port()))
      for _, call in ipairs(CALLS) do
        local err, response = expect_failure(call, "network", "not_sent", call.run(link))
        assert.equal(3, err.attempts)
        assert.is_true(err.retryable)
        assert.is_nil(response.status)
        err = expect_failure(call, "network", "not_sent", call.run(link, { retries = 0 }))
        assert.equal(1, err.attempts)
      end
    end)

    it("ends when somebody listens: the same link logs in and trades", function()
      local place = market.open()
      local tokens, settings = place:tokens(2), place.box:client_options()
      place:close()
      settings.transport = impatient()
      local link = new_link(settings.base_url, settings)
      for _, call in ipairs(CALLS) do
        local err = expect_failure(call, "network", "not_sent", call.run(link))
        assert.equal(0, err.attempts) -- the token call already failed
      end
      local box = sandbox.start { port = place.box.port }
      local ok, message = pcall(function()
        assert(link.catalog:events())
        assert(link.tickets:lock(market.lock_payload(tokens, "L-1")))
        assert(link.orders:complete(market.order_payload({ tokens[1] }, "L-1", "O-1")))
        assert(link.tickets:unlock { tokens = { tokens[2] } })
      end)
      box:stop()
      assert.is_true(ok, tostring(message))
    end)
  end)

  -- In nginx the roots come from its configuration, see spec/nginx/transport_spec.lua.
  local describe_curl = phases.nginx() and function() end or describe

  describe_curl("of a server that cannot prove who it is", function()
    local certificates

    before_each(function()
      certificates = peers.certificates()
    end)

    local function expect_refusal(certificate)
      local server = peers.start_tls(certificate)
      local link = new_link(server.url, { transport = false, ca_file = certificates.authority.file })
      for _, call in ipairs(CALLS) do
        local err = expect_failure(call, "network", "not_sent", call.run(link, { retries = 0 }))
        assert.truthy(err.message:find("certificate", 1, true), err.message)
      end
    end

    it("keeps everything back when its certificate is for another host", function()
      expect_refusal(certificates.wrong_host)
    end)

    it("keeps everything back when nobody vouches for it", function()
      expect_refusal(certificates.alone)
    end)

    it("does not come with the right certificate: then the page of the server arrives", function()
      local server = peers.start_tls(certificates.right_host)
      local link = new_link(server.url, { transport = false, ca_file = certificates.authority.file })
      local err = expect_failure(CALLS[1], "protocol", nil, CALLS[1].run(link))
      assert.equal(200, err.status)
    end)
  end)

  describe("of the credentials", function()
    local place

    before_each(function()
      place = market.open()
    end)

    after_each(function()
      place:close()
    end)

    local function client_with(changes)
      local settings = place.box:client_options(changes)
      settings.transport = impatient()
      return new_link(settings.base_url, settings)
    end

    it("is told once by the service when the code is wrong, and then by the client", function()
      local link = client_with { auth = { code = SECRET.code } }
      for _, call in ipairs(CALLS) do
        local err = expect_failure(call, "auth", "not_sent", call.run(link))
        assert.truthy(err.message:find("new authorization code", 1, true), err.message)
        assert.is_false(err.retryable)
      end
      assert.equal(1, #place:requests("auth.token"))
      assert.equal(1, place:ledger().requestCount)
    end)

    for _, name in ipairs { "api_key", "channel_code" } do
      it("is a refusal when the " .. name .. " is wrong; nothing is repeated and no token renewed", function()
        local link = client_with { [name] = "SENTINEL-wrong" }
        for _, call in ipairs(CALLS) do
          local err = expect_failure(call, "auth", "rejected", call.run(link))
          assert.equal(403, err.status)
          assert.equal("FORBIDDEN", err.type)
          assert.equal(1, #place:requests(call.operation))
        end
        assert.equal(1, #place:requests("auth.token"))
      end)
    end

    it("is a refusal of the token call when the application is unknown", function()
      local link = client_with { application_id = "com.other" }
      local err = expect_failure(CALLS[3], "auth", "not_sent", CALLS[3].run(link))
      assert.equal(403, err.status)
    end)

    it("is told without a request when there are none", function()
      for _, call in ipairs(CALLS) do
        expect_failure(call, "auth", "not_sent", call.run(client_with { auth = {} }))
      end
      assert.equal(0, place:ledger().requestCount)
    end)
  end)

  describe("of an expired token", function()
    local REFUSED = { status = 401, headers = JSON, body = error_body("TOKEN_EXPIRED", "MS-401") }
    local RENEWED = { headers = JSON, body = '{"accessToken":"SENTINEL-new","refreshToken":"SENTINEL-next",'
      .. '"expiration":"2099-01-01T00:00:00Z","tokenType":"Bearer"}' }

    for _, call in ipairs(CALLS) do
      local good = { headers = JSON, body = call.good }

      it(("does not reach the caller (%s): renewed once, repeated once"):format(call.name), function()
        local peer = peers.start({ REFUSED, RENEWED, good })
        local result, err, response = call.run(new_link(peer.url))
        assert.is_nil(err, tostring(err))
        assert.is_table(result)
        assert.equal(2, response.attempts)
        local seen = peer:requests()
        assert.equal(3, #seen)
        assert.equal("/v1/auth/token", seen[2].path)
        assert.equal("Bearer SENTINEL-new", seen[3].headers.authorization)
        assert.equal(seen[1].headers["request-id"], seen[3].headers["request-id"])
      end)

      it(("is an error when no repetition is wished (%s); the next call renews"):format(call.name), function()
        local peer = peers.start({ REFUSED, RENEWED, good })
        local link = new_link(peer.url)
        local err = expect_failure(call, "auth", "rejected", call.run(link, { retries = 0 }))
        assert.equal(401, err.status)
        assert.equal(1, #peer:requests())
        assert(call.run(link, { retries = 0 }))
        assert.equal(3, #peer:requests())
      end)

      it(("is an error when the new one is refused too (%s), not a circle"):format(call.name), function()
        local peer = peers.start({ REFUSED, RENEWED, REFUSED, good })
        local link = new_link(peer.url)
        local err = expect_failure(call, "auth", "rejected", call.run(link))
        assert.equal(2, err.attempts)
        assert.equal(3, #peer:requests())
        assert(call.run(link))
      end)

      it(("keeps a renewal that broke off from the payload (%s): sent once, refused"):format(call.name), function()
        local peer = peers.start({ REFUSED, { close = "after_read" }, RENEWED, good })
        local link = new_link(peer.url)
        local err = expect_failure(call, "network", "rejected", call.run(link))
        assert.equal(1, err.attempts)
        assert.equal(2, #peer:requests())
        assert(call.run(link))
      end)
    end
  end)

  it("costs the client's retry budget, so that an outage is not multiplied", function()
    local peer = peers.start({ { status = 500, headers = HTML, body = PAGE } })
    local link = new_link(peer.url)
    for _ = 1, 30 do
      expect_failure(CALLS[1], "protocol", nil, CALLS[1].run(link))
    end
    local without = #peer:requests()
    assert.is_true(without < 90, "every call was repeated twice")
    expect_failure(CALLS[1], "protocol", nil, CALLS[1].run(link))
    assert.equal(without + 1, #peer:requests())
  end)
end)
