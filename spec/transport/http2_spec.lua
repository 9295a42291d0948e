--- HTTP/2, and TLS with several requests at once: nginx stands in front of a sandbox or a peer.

local core = require("paciolan.core")
local curl = require("paciolan.transport.curl")
local market = require("support.market")
local nginx = require("support.nginx")
local paciolan = require("paciolan")
local peers = require("support.peers")

local certificates

-- How many connections the calls came over.
local function connections_of(calls)
  local seen, count = {}, 0
  for _, call in ipairs(calls) do
    count = count + (seen[call.connection] and 0 or 1)
    seen[call.connection] = true
  end
  return count
end

local function only(calls, method, path)
  local kept = {}
  for _, call in ipairs(calls) do
    if call.method == method and call.target:find(path, 1, true) == 1 then
      kept[#kept + 1] = call
    end
  end
  return kept
end

local function assert_all(key, value, calls)
  for _, call in ipairs(calls) do
    assert.equal(value, call[key])
  end
end

describe("over HTTP/2", function()
  local place, front, link

  before_each(function()
    certificates = peers.certificates()
    place = market.open()
    front = nginx.start(place.box.base_url, certificates.right_host)
    link = place:client({ base_url = front.url, ca_file = certificates.authority.file })
    assert(link.auth:token())
  end)

  after_each(function()
    place:close()
    nginx.stop_all()
    peers.stop_all()
  end)

  it("calls of tasks share one connection", function()
    local tasks = {}
    for i = 1, 16 do
      tasks[i] = function()
        return link.catalog:events()
      end
    end
    for _ = 1, 2 do
      for _, entry in ipairs(paciolan.concurrent(tasks)) do
        assert.equal("table", type(entry[1]), tostring(entry[2]))
      end
    end
    local calls = only(front:calls(33), "GET", "/v1/catalog/events")
    assert.equal(32, #calls)
    assert_all("protocol", "HTTP/2.0", calls)
    assert.equal(1, connections_of(calls))
    assert.equal(32, #place:requests("catalog.events"))
  end)

  it("what must not be doubled has a connection of its own, and the book agrees with the results", function()
    local tasks, tokens = {}, place:tokens(8)
    for i, token in ipairs(tokens) do
      tasks[#tasks + 1] = function()
        return link.tickets:lock(market.lock_payload({ token }, "L-" .. i))
      end
      tasks[#tasks + 1] = function()
        return link.catalog:events()
      end
    end
    for i, entry in ipairs(paciolan.concurrent(tasks)) do
      assert.equal("table", type(entry[1]), tostring(entry[2]))
      if i % 2 == 1 then
        assert.equal(1, #entry[1].success)
      end
    end
    local calls = front:calls(17)
    local locks, reads = only(calls, "PUT", "/v1/tickets/lock"), only(calls, "GET", "/v1/catalog/events")
    assert.equal(8, #locks)
    assert.equal(8, connections_of(locks))
    assert.equal(1, connections_of(reads))
    for _, lock in ipairs(locks) do
      assert.are_not.equal(reads[1].connection, lock.connection)
    end
    local world = place:world()
    for _, token in ipairs(tokens) do
      assert.equal("locked", world[token].state)
    end
  end)

  it("blocking calls keep their connection too", function()
    for _ = 1, 3 do
      assert(link.catalog:events())
    end
    local calls = only(front:calls(4), "GET", "/v1/catalog/events")
    assert_all("protocol", "HTTP/2.0", calls)
    assert.equal(1, connections_of(calls))
  end)
end)

describe("several requests over TLS", function()
  local transport

  before_each(function()
    certificates = peers.certificates()
    transport = curl.new({ ca_file = certificates.authority.file })
  end)

  after_each(function()
    transport:close()
    nginx.stop_all()
    peers.stop_all()
  end)

  -- Lets the other tasks run until that many requests have come.
  local function wait_for_requests(peer, count)
    local ends_at_ms = core.monotonic_ms() + 20000
    while #peer:requests() < count and core.monotonic_ms() < ends_at_ms do
      transport:sleep(10)
    end
  end

  local function send_all(front, paths)
    local tasks = {}
    for i, path in ipairs(paths) do
      tasks[i] = function()
        return transport:send({ method = "GET", url = front.url .. path, timeout_ms = 20000 })
      end
    end
    return paciolan.concurrent(tasks)
  end

  it("are answered side by side where the server speaks HTTP/1.1 only", function()
    local peer = peers.start({ { gather = 3, echo = true } })
    local front = nginx.start(peer.url, certificates.right_host, { without_http2 = true })
    for i, entry in ipairs(send_all(front, { "/1", "/2", "/3" })) do
      assert.equal(("/%d "):format(i), assert(entry[1], entry[2] and entry[2].message).body)
    end
    local calls = front:calls(3)
    assert_all("protocol", "HTTP/1.1", calls)
    assert.equal(3, connections_of(calls))
  end)

  it("are answered side by side over one connection with HTTP/2", function()
    local peer = peers.start({ { gather = 3, echo = true } })
    local front = nginx.start(peer.url, certificates.right_host)
    for i, entry in ipairs(send_all(front, { "/1", "/2", "/3" })) do
      assert.equal(("/%d "):format(i), assert(entry[1], entry[2] and entry[2].message).body)
    end
    assert.equal(1, connections_of(front:calls(3)))
  end)

  it("that are cut off by the server are network and unknown, and what else the connection carries goes on", function()
    local peer = peers.start({ { declared_length = 500, body = "short", gather = 2 } })
    local front = nginx.start(peer.url, certificates.right_host)
    for _, entry in ipairs(send_all(front, { "/1", "/2" })) do
      assert.is_nil(entry[1])
      assert.equal("network", entry[2].kind, entry[2].message)
      assert.equal("unknown", entry[2].phase)
    end
  end)

  it("that time out leave the others of their connection alone", function()
    local peer = peers.start({ { stall = true }, { gather = 3, echo = true } })
    local front = nginx.start(peer.url, certificates.right_host)
    local function send(path, timeout_ms)
      return transport:send({ method = "GET", url = front.url .. path, timeout_ms = timeout_ms })
    end
    local results = paciolan.concurrent {
      function()
        local _, failure = send("/late", 1000)
        return failure, (send("/after", 20000))
      end,
      function()
        wait_for_requests(peer, 1)
        return (send("/beside", 20000))
      end,
    }
    assert.same({ "timeout", "unknown" }, { results[1][1].kind, results[1][1].phase })
    assert.equal("/after ", results[1][2].body)
    assert.equal("/beside ", results[2][1].body)
    assert.equal(1, connections_of(front:calls(3)))
  end)

  it("are not sent to a server whose certificate is refused", function()
    local peer = peers.start({ { echo = true } })
    local front = nginx.start(peer.url, certificates.wrong_host)
    for _, entry in ipairs(send_all(front, { "/1", "/2" })) do
      assert.same({ "network", "not_sent" }, { entry[2].kind, entry[2].phase })
    end
    assert.equal(0, peer:connections())
  end)

  it("end as unknown or not_sent when the server goes away", function()
    local peer = peers.start({ { stall = true } })
    local front = nginx.start(peer.url, certificates.right_host)
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = function()
        return transport:send({ method = "GET", url = front.url .. "/" .. i, timeout_ms = 20000 })
      end
    end
    tasks[4] = function()
      wait_for_requests(peer, 3)
      front:stop()
    end
    local results = paciolan.concurrent(tasks)
    for i = 1, 3 do
      assert.same({ "network", "unknown" }, { results[i][2].kind, results[i][2].phase }, results[i][2].message)
    end
  end)
end)
