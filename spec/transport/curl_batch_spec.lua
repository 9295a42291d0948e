--- The curl transport inside `paciolan.concurrent`: requests side by side over sockets.

local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")
local curl = require("paciolan.transport.curl")
local peers = require("support.peers")
local socket = require("socket")

local FINE = { headers = { { "Content-Type", "text/plain" } }, echo = true }

describe("paciolan.transport.curl in tasks", function()
  local transport, opened

  local function open(options)
    local made = curl.new(options)
    opened[#opened + 1] = made
    return made
  end

  before_each(function()
    opened = {}
    transport = open()
  end)

  after_each(function()
    for _, made in ipairs(opened) do
      made:close()
    end
    peers.stop_all()
  end)

  -- A task for each entry: the fields of a request, `by` for another transport.
  local function send_all(peer, entries, options)
    local tasks = {}
    for i, entry in ipairs(entries) do
      tasks[i] = function()
        local request = { method = "GET", url = peer.url .. "/" .. i, headers = {}, timeout_ms = 20000 }
        for key, value in pairs(entry) do
          request[key] = value
        end
        local by = request.by or transport
        request.by = nil
        return by:send(request)
      end
    end
    return concurrent.run(tasks, options)
  end

  local function repeated(count, entry)
    local entries = {}
    for i = 1, count do
      entries[i] = entry or {}
    end
    return entries
  end

  local function assert_failure(kind, phase, entry)
    assert.is_nil(entry[1])
    assert.same({ kind, phase }, { entry[2].kind, entry[2].phase }, entry[2].message)
    assert.is_truthy(#entry[2].message > 10 and not entry[2].message:find("%c"))
    assert.is_number(entry[2].elapsed_ms)
    assert.is_number(entry[2].code)
  end

  local function wait_until(condition)
    local ends_at = socket.gettime() + 20
    while not condition() and socket.gettime() < ends_at do
      socket.sleep(0.02)
    end
    return condition()
  end

  it("gives each request its own answer, with everything that an answer has", function()
    local headers = { { "X-A", "1" }, { "X-A", "2" } }
    local peer = peers.start({ { gather = 12, echo = true, status = 207, headers = headers } })
    for i, entry in ipairs(send_all(peer, repeated(12, { method = "PUT", body = ("b\0"):rep(70000) }))) do
      local answer = assert(entry[1], entry[2] and entry[2].message)
      assert.equal(207, answer.status)
      assert.equal("1, 2", answer.headers["x-a"])
      assert.is_true(answer.body == ("/%d %s"):format(i, ("b\0"):rep(70000)))
      assert.is_number(answer.elapsed_ms)
      assert.is_false(answer.reused)
    end
    assert.equal(12, peer:connections())
  end)

  it("keeps the connections from one run to the next", function()
    local peer = peers.start({ { gather = 4, echo = true } })
    send_all(peer, repeated(4))
    for _, entry in ipairs(send_all(peer, repeated(4))) do
      assert.is_true(entry[1].reused)
    end
    assert.equal(4, peer:connections())
    transport:close()
    assert.is_true(wait_until(function() return peer:closed_connections() == 4 end))
  end)

  it("keeps nothing when the transport was closed within the run", function()
    local peer = peers.start({ FINE })
    concurrent.run { function()
      assert(transport:send({ method = "GET", url = peer.url .. "/" }))
      transport:close()
    end }
    assert.is_true(wait_until(function() return peer:closed_connections() == 1 end))
  end)

  it("opens a connection for each single_use request, and keeps none of them", function()
    local peer = peers.start({ FINE })
    local sales = repeated(5, { method = "PUT", body = "sale", single_use = true })
    for _ = 1, 2 do
      for _, entry in ipairs(send_all(peer, sales, { limit = 2 })) do
        assert.is_false(entry[1].reused)
      end
    end
    assert.equal(10, peer:connections())
    assert.is_true(wait_until(function() return peer:closed_connections() == 10 end))
    assert.is_false(send_all(peer, { {} })[1][1].reused)
  end)

  it("waits for kept and single_use connections at the same time", function()
    local peer = peers.start({ { gather = 6, echo = true } })
    local entries = {}
    for i = 1, 6 do
      entries[i] = { single_use = i % 2 == 0 }
    end
    for i, entry in ipairs(send_all(peer, entries)) do
      assert.equal(("/%d "):format(i), assert(entry[1], entry[2] and entry[2].message).body)
    end
  end)

  it("serves several transports in one run, each with its own settings", function()
    local peer = peers.start({ { gather = 3, body_bytes = 1000 } })
    local small, impatient = open({ max_answer_bytes = 999 }), open({ timeout_ms = 20000 })
    local results = send_all(peer, { {}, { by = small }, { by = impatient } })
    assert.equal(1000, #results[1][1].body)
    assert_failure("protocol", "unknown", results[2])
    assert.equal(1000, #results[3][1].body)
  end)

  it("fails each request by itself", function()
    local peer = peers.start({ FINE })
    local silent = peers.silent()
    local results = send_all(peer, {
      { url = peers.start({ { close = "after_read" } }).url .. "/", method = "PUT", body = "{}" },
      { url = peers.start({ { body = "x", declared_length = 9 } }).url .. "/" },
      { url = peers.start({ { body = "x", declared_length = 9, reset_after = true } }).url .. "/" },
      { url = peers.start({ { raw = "garbage\r\n\r\n" } }).url .. "/" },
      { url = ("http://127.0.0.1:%d/"):format(peers.unused_port()), method = "PUT", body = "{}" },
      { url = silent.url .. "/", timeout_ms = 150 },
      { url = ("https://127.0.0.1:%d/"):format(silent.port), connect_timeout_ms = 150 },
      { url = "https://" .. ("a"):rep(64) .. ".invalid/", by = open({ proxy = "" }) },
      {},
    })
    assert_failure("network", "unknown", results[1])
    assert_failure("network", "unknown", results[2])
    assert_failure("network", "unknown", results[3])
    assert_failure("protocol", "unknown", results[4])
    assert_failure("network", "not_sent", results[5])
    assert_failure("timeout", "unknown", results[6])
    assert_failure("timeout", "not_sent", results[7])
    assert_failure("network", "not_sent", results[8])
    assert.equal(200, results[9][1].status)
  end)

  it("sends nothing twice when kept connections die under their requests", function()
    local peer = peers.start({ { gather = 3, echo = true }, { gather = 3, echo = true }, { gather = 3, echo = true },
      { gather = 6, close = "after_read" } })
    send_all(peer, repeated(3))
    for _, entry in ipairs(send_all(peer, repeated(3, { method = "PUT", body = "sale" }))) do
      assert_failure("network", "unknown", entry)
    end
    assert.equal(6, #peer:requests())
  end)

  it("never hands a late answer to the next request", function()
    local peer = peers.start({ { delay_s = 0.4, echo = true }, { delay_s = 0.4, echo = true }, FINE })
    for _, entry in ipairs(send_all(peer, repeated(2, { timeout_ms = 100 }))) do
      assert_failure("timeout", "unknown", entry)
    end
    socket.sleep(0.5)
    local stray = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    local other = peers.start({ { body = "1", late = stray }, FINE })
    for i, entry in ipairs(send_all(peer, { {}, {}, { url = other.url .. "/3" } })) do
      assert.equal(i == 3 and "1" or ("/%d "):format(i), entry[1].body)
    end
    socket.sleep(0.3)
    assert.equal(200, send_all(other, { { method = "PUT", body = "sale", single_use = true } })[1][1].status)
  end)

  it("ends what a closed transport has under way, and nothing else", function()
    local stalled, peer = peers.start({ { stall = true } }), peers.start({ { gather = 2, echo = true } })
    local silent, other = peers.silent(), open()
    local function send(by, method, url)
      return function()
        return by:send({ method = method, url = url .. "/", timeout_ms = 20000, single_use = method == "PUT" })
      end
    end
    local results = concurrent.run {
      send(transport, "GET", stalled.url), send(transport, "PUT", stalled.url),
      send(transport, "PUT", ("https://127.0.0.1:%d"):format(silent.port)), send(other, "GET", peer.url),
      function()
        local ends_at_ms = core.monotonic_ms() + 20000
        while #stalled:requests() < 2 and core.monotonic_ms() < ends_at_ms do
          other:sleep(10)
        end
        transport:close()
        transport:close()
        return transport:send({ method = "GET", url = peer.url .. "/" })
      end,
      send(other, "GET", peer.url),
    }
    assert_failure("canceled", "unknown", results[1])
    assert_failure("canceled", "unknown", results[2])
    assert_failure("canceled", "not_sent", results[3])
    assert.equal(200, results[4][1].status)
    assert_failure("canceled", "not_sent", results[5])
    assert.equal(200, results[6][1].status)
    assert.has_error.matches(function()
      concurrent.run { function() transport:send({ method = "GET", url = peer.url }) end }
    end, "is closed")
  end)

  it("raises for misuse as it does outside, and lets the others end", function()
    local peer = peers.start({ FINE })
    local answered
    assert.has_error.matches(function()
      concurrent.run {
        function() transport:send({ method = "GET", url = "ftp://link.invalid/" }) end,
        function() answered = transport:send({ method = "GET", url = peer.url .. "/" }) end,
      }
    end, "request.url")
    assert.equal(200, answered.status)
  end)

  it("blocks in a coroutine that a task made", function()
    local peer = peers.start({ FINE })
    local results = concurrent.run { function()
      return coroutine.wrap(function() return transport:send({ method = "GET", url = peer.url .. "/" }) end)()
    end }
    assert.equal(200, results[1][1].status)
  end)

  it("sleeps without holding up the others", function()
    local order = {}
    concurrent.run {
      function() transport:sleep(60); order[#order + 1] = "60" end,
      function() transport:sleep(1.5); order[#order + 1] = "1.5" end,
      function() transport:sleep(0); order[#order + 1] = "0" end,
    }
    assert.same({ "0", "1.5", "60" }, order)
  end)

  it("lets the collector close what was forgotten", function()
    local peer = peers.start({ FINE })
    for _ = 1, 5 do
      local forgotten = curl.new()
      concurrent.run { function() assert(forgotten:send({ method = "GET", url = peer.url .. "/" })) end }
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(wait_until(function() return peer:closed_connections() >= 4 end))
  end)

  describe("the batch itself", function()
    local session

    before_each(function()
      session = core.http.new({})
    end)

    it("has nothing to give when nothing is under way", function()
      local batch = core.http.batch()
      batch:wait(60000)
      assert.is_nil(batch:take())
      batch:close()
      batch:close()
      assert.equal("paciolan.http_batch (closed)", tostring(batch))
      for _, use in ipairs({ "wait", "take", "add" }) do
        assert.has_error.matches(function() batch[use](batch, 0) end, "closed")
      end
      batch:cancel(session)
    end)

    it("refuses what is no session, no request or no time", function()
      local batch = core.http.batch()
      assert.has_error(function() batch:add({}, {}) end)
      assert.has_error(function() batch:add(session) end)
      assert.has_error(function() batch:wait(-1) end)
      assert.has_error(function() batch:wait(0 / 0) end)
      assert.has_error(function() batch.take(session) end)
      session:close()
      assert.has_error.matches(function()
        batch:add(session, { method = "GET", url = "https://link.invalid/" })
      end, "closed")
    end)

    it("may be closed, and forgotten, with requests under way", function()
      local silent = peers.silent()
      for round = 1, 2 do
        local batch = core.http.batch()
        batch:add(session, { method = "GET", url = silent.url .. "/" })
        batch:add(session, { method = "PUT", url = silent.url .. "/", single_use = true, body = "x" })
        batch:wait(10)
        if round == 1 then
          batch:close()
        end
      end
      collectgarbage()
      collectgarbage()
      session:close()
    end)
  end)
end)
