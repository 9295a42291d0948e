--- The collector and the curl transport: finalizers that get in the way of a request, and owners that were forgotten.

local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")
local curl = require("paciolan.transport.curl")
local peers = require("support.peers")
local program = require("support.program")

describe("the collector and paciolan.transport.curl", function()
  after_each(function()
    peers.stop_all()
  end)

  it("may run finalizers that send or close at any allocation of a request", function()
    local headers = {}
    for i = 1, 20 do
      headers[i] = { "X-" .. i, ("v"):rep(50) .. i }
    end
    local peer = peers.start({ { headers = headers, body_bytes = 5000 } })
    local code, output, problems = program.run("env " .. program.environment() .. " " ..
      program.words { program.lua, "spec/support/send_finalizers.lua", peer.url .. "/" })
    assert.equal("", problems)
    assert.equal(0, code)
    local seen = {}
    for name, whole, closed in output:gmatch("(%S+) whole (%d+) closed (%d+)\n") do
      seen[name] = { whole = tonumber(whole) > 0, closed = tonumber(closed) > 0 }
    end
    assert.same({
      send = { whole = true, closed = false },
      close = { whole = true, closed = true },
      close_session = { whole = true, closed = true },
      close_batch = { whole = true, closed = true },
      take = { whole = true, closed = false },
      close_ended = { whole = true, closed = true },
    }, seen, output)
  end)

  it("runs no metamethod of a request", function()
    local session, batch = core.http.new({}), core.http.batch()
    local asked = 0
    local request = setmetatable({ method = "GET", url = ("http://127.0.0.1:%d/"):format(peers.unused_port()) }, {
      __index = function()
        asked = asked + 1
        session:close()
      end,
    })
    assert.equal("network", select(2, session:send(request)).kind)
    batch:add(session, request)
    batch:close()
    session:close()
    assert.equal(0, asked)
  end)

  it("keeps a transport that nobody holds any more while its request is under way", function()
    local peer = peers.start({ { gather = 3, body = "x" } })
    local held = setmetatable({}, { __mode = "k" })
    local first = curl.new() -- the run keeps it, as it lends the batch
    local was_held
    local function send(transport)
      return transport:send({ method = "GET", url = peer.url .. "/", timeout_ms = 20000 })
    end
    local results = concurrent.run {
      function() return send(first) end,
      function()
        local forgotten = curl.new()
        held[forgotten] = true
        return send(forgotten)
      end,
      function()
        collectgarbage()
        collectgarbage()
        was_held = next(held) ~= nil
        return send(first)
      end,
    }
    first:close()
    for _, entry in ipairs(results) do
      assert.equal("x", assert(entry[1], entry[2] and entry[2].message).body)
    end
    assert.is_true(was_held)
  end)
end)
