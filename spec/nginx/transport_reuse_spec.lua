--- The transport over cosockets in a worker that has other things to do: what it keeps between requests, connections
-- and memory, and a call whose time is taken by somebody else. The ordinary cases are in spec/nginx/transport_spec.lua.

local files = require("support.files")
local market = require("support.market")
local openresty = require("support.openresty")
local peers = require("support.peers")

local FINE = { status = 200, headers = { { "Content-Type", "application/json" } }, body = "{}" }

describe("paciolan.transport.nginx in a busy worker", function()
  local server

  setup(function()
    -- A sanitizer would keep what was freed.
    local sanitizer = "detect_leaks=0:quarantine_size_mb=1:" .. (os.getenv("ASAN_OPTIONS") or "")
    server = openresty.start { environment = { ASAN_OPTIONS = sanitizer } }
  end)

  teardown(function()
    openresty.stop_all()
    peers.stop_all()
  end)

  it("never takes what came late, and unasked, for the answer to the next request", function()
    local late = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
    local peer = peers.start { { body = "1", late = late }, FINE }
    local first, second, is_reused = server:run([[
      local core, request = require("paciolan.core"), { method = "PUT", url = ..., body = "{}" }
      local transport = require("paciolan.transport.nginx").new()
      local first = assert(transport:send(request))
      core.sleep(300) -- the worker does not look at its connections meanwhile
      local second, failure = transport:send(request)
      return first.body, second and second.body or failure.message, second and second.reused
    ]], peer.url)
    assert.same({ "1", "{}", false }, { first, second, is_reused })
    assert.equal(2, #peer:requests())
  end)

  it("replaces a connection that the server closed meanwhile", function()
    local peer = peers.start { { body = "1", close = "after_answer" }, FINE }
    local second, is_reused = server:run([[
      local core, request = require("paciolan.core"), { method = "PUT", url = ..., body = "{}" }
      local transport = require("paciolan.transport.nginx").new()
      assert(transport:send(request))
      core.sleep(100)
      local second, failure = transport:send(request)
      return second and second.body or failure.message, second and second.reused
    ]], peer.url)
    assert.same({ "{}", false }, { second, is_reused })
    assert.equal(2, #peer:requests())
  end)

  it("still uses a connection that nothing happened to", function()
    local peer = peers.start { FINE }
    assert.is_true(server:run([[
      local core, request = require("paciolan.core"), { method = "GET", url = ... }
      local transport = require("paciolan.transport.nginx").new()
      assert(transport:send(request))
      core.sleep(50)
      return assert(transport:send(request)).reused
    ]], peer.url))
    assert.equal(1, peer:connections())
  end)

  it("holds nothing of large answers that failed", function()
    local EACH, COUNT = 8 * 1024 * 1024, 30
    local peer = peers.start { { body_bytes = EACH, declared_length = EACH + 1 } }
    local function resident_kb()
      local pid = server:workers()[1] or server.pid
      return tonumber(files.read(("/proc/%d/status"):format(pid)):match("VmRSS:%s*(%d+)"))
    end
    local SEND = [[
      local url, count = ...
      local transport = require("paciolan.transport.nginx").new()
      local failures = 0
      for _ = 1, count do
        local answer, failure = transport:send { method = "GET", url = url }
        failures = failures + (not answer and failure.kind == "network" and 1 or 0)
      end
      return failures
    ]]
    assert.equal(2, server:run(SEND, peer.url, 2))
    local before_kb = resident_kb()
    assert.equal(COUNT, server:run(SEND, peer.url, COUNT))
    -- Without it the collector, which does not see how much a reader holds, would leave most of them.
    assert.is_true(resident_kb() - before_kb < COUNT * EACH / 1024 / 2)
  end)

  it("sends nothing for a call whose hook took all the time there was", function()
    local peer = peers.start { FINE }
    local kind, outcome, events = server:run([[
      local url, lock = ...
      local events = {}
      local link = require("paciolan").new {
        base_url = url, application_id = "app", api_key = "key", channel_code = "channel", organization_id = "999",
        user_agent = "Spec/1.0.0", auth = { access_token = "given", expiration = "2099-01-01T00:00:00Z" },
        deadline_ms = 200,
        on_event = function(event)
          events[#events + 1] = event.type
          if event.type == "request" then ngx.sleep(0.3) end
        end,
      }
      local answer, err = link.tickets:lock(lock)
      return answer and "answered" or err.kind, err and err.outcome, events
    ]], peer.url, market.lock_payload({ "999:FB30:FB01:1" }, "L-1"))
    assert.same({ "timeout", "not_sent", "request" }, { kind, outcome, events[1] })
    assert.equal(0, #peer:requests())
  end)

  it("has nothing to say in the error log of all that", function()
    assert.equal("", server:errors())
  end)
end)
