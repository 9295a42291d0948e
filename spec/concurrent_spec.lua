--- The scheduler alone, with a transport whose answers the spec orders, and calls of links side by side against the
--- sandbox and against peers.

local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")
local market = require("support.market")
local errors = require("paciolan.errors")
local paciolan = require("paciolan")
local peers = require("support.peers")
local scripted = require("support.scripted")

local EVENTS = { status = 200, headers = { { "Content-Type", "application/json" } }, body = "[]" }

-- A poller that ends what is longest under way, one at a time, and counts.
local function new_line()
  local line = { waiting = {}, last = 0, most = 0, released = {} }
  function line:wait() self.may_take = true end
  function line:take()
    local number = self.may_take and table.remove(self.waiting, 1) or nil
    self.may_take = false
    return number, number and "answer " .. ("%d"):format(number), "second"
  end
  local function open()
    return line, function(is_sound) line.released[#line.released + 1] = is_sound end
  end
  -- What a transport's `send` does inside a task.
  function line.send()
    local loop = concurrent.loop()
    if not loop then
      return "blocked"
    end
    loop:poller(open)
    line.last = line.last + 1
    line.waiting[#line.waiting + 1] = line.last
    line.most = math.max(line.most, #line.waiting)
    return loop:wait_for(line.last)
  end
  return line
end

local function repeated(count, task)
  local tasks = {}
  for i = 1, count do
    tasks[i] = function() return task(i) end
  end
  return tasks
end

describe("paciolan.concurrent", function()
  it("returns the first three values of each task in the order of the tasks", function()
    local line = new_line()
    local results = paciolan.concurrent {
      function() line.send(); line.send(); return "slow", nil, "response", "fourth" end,
      function() return nil, "error" end,
      function() return line.send() end,
      function() end,
    }
    assert.same({ { "slow", nil, "response" }, { nil, "error" }, { "answer 2", "second" }, {} }, results)
    assert.same({ true }, line.released)
  end)

  it("does nothing for an empty list", function()
    assert.same({}, paciolan.concurrent({}))
    assert.same({}, paciolan.concurrent({}, {}))
  end)

  local limits = { { nil, 16 }, { {}, 16 }, { { limit = 1 }, 1 }, { { limit = 7 }, 7 }, { { limit = 1000 }, 40 } }
  for number, row in ipairs(limits) do
    it(("runs %d of 40 tasks at once when the limit says so (%d)"):format(row[2], number), function()
      local line = new_line()
      local results = paciolan.concurrent(repeated(40, line.send), row[1])
      assert.equal(40, #results)
      assert.equal(row[2], line.most)
    end)
  end

  it("starts the tasks in their order", function()
    local line, order = new_line(), {}
    paciolan.concurrent(repeated(10, function(i)
      order[#order + 1] = i
      line.send()
    end), { limit = 3 })
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, order)
  end)

  it("lets the other tasks run while one sleeps", function()
    local line, order = new_line(), {}
    paciolan.concurrent {
      function() concurrent.loop():sleep(40); order[#order + 1] = "long" end,
      function() concurrent.loop():sleep(10); order[#order + 1] = "short" end,
      function() line.send(); order[#order + 1] = "line" end,
    }
    assert.same({ "line", "short", "long" }, order)
  end)

  it("runs the tasks of a task beside the others, with a limit of their own", function()
    local line, order = new_line(), {}
    local results = paciolan.concurrent({
      function()
        local inner = paciolan.concurrent(repeated(6, function(i) line.send(); return i end), { limit = 3 })
        order[#order + 1] = "inner"
        return inner
      end,
      function() line.send(); line.send(); order[#order + 1] = "other" end,
      function() return #paciolan.concurrent({}) end,
    }, { limit = 3 })
    assert.same({ { 1 }, { 2 }, { 3 }, { 4 }, { 5 }, { 6 } }, results[1][1])
    assert.same({ 0 }, results[3])
    assert.same({ "other", "inner" }, order)
    assert.equal(4, line.most)
    assert.same({ true }, line.released)
  end)

  describe("when a task raises", function()
    it("starts no other task, lets those under way end, and raises then", function()
      local line, ended = new_line(), {}
      local ok, problem = pcall(paciolan.concurrent, repeated(10, function(i)
        line.send()
        if i == 2 then
          error("wrong in two")
        end
        line.send()
        ended[#ended + 1] = i
      end), { limit = 3 })
      assert.is_false(ok)
      assert.same({ 1, 3 }, ended)
      assert.truthy(problem:find("concurrent_spec.lua:%d+: wrong in two\nstack traceback:"), problem)
      assert.same({ true }, line.released)
    end)

    it("raises a value that is no text as it is", function()
      local mark = {}
      local _, problem = pcall(paciolan.concurrent, { function() error(mark) end })
      assert.equal(mark, problem)
      local ok, nothing = pcall(paciolan.concurrent, { function() error(nil) end })
      assert.is_false(ok)
      assert.is_true(nothing == nil or type(nothing) == "string") -- 5.4.7 and later: a text
    end)

    it("takes an error of the library, as assert raises it, for the result of that task", function()
      local err = errors.new { kind = "http", message = "no such listing" }
      local results = paciolan.concurrent({
        function() return "first" end, function() error(err) end, function() return "third" end,
      }, { limit = 1 })
      assert.same({ "first", "third" }, { results[1][1], results[3][1] })
      assert.is_nil(results[2][1])
      assert.equal(err, results[2][2])
    end)

    it("raises the first of several", function()
      local _, problem = pcall(paciolan.concurrent, {
        function() concurrent.loop():sleep(5); error("late", 0) end, function() error("early", 0) end,
      })
      assert.truthy(problem:find("^early\n"))
    end)

    it("of another task raises in that task, which may catch it", function()
      local line = new_line()
      local results = paciolan.concurrent {
        function()
          local ok, problem = pcall(paciolan.concurrent, { line.send, function() error("inner", 0) end })
          return ok, problem:match("^inner")
        end,
        line.send,
      }
      assert.same({ { false, "inner" }, { "answer 1", "second" } }, results)
    end)

    it("still works afterwards", function()
      pcall(paciolan.concurrent, { function() error("x") end })
      assert.is_nil(concurrent.loop())
      assert.same({ { 1 } }, paciolan.concurrent { function() return 1 end })
    end)
  end)

  describe("in coroutines", function()
    it("raises when a task yields by itself, after the others have ended", function()
      local line, ended = new_line(), false
      assert.has_error.matches(function()
        paciolan.concurrent { function() coroutine.yield("mine") end, function() line.send(); ended = true end }
      end, "task 1 called coroutine.yield")
      assert.is_true(ended)
    end)

    it("leaves a task's own coroutines alone: calls in them block", function()
      local line = new_line()
      local results = paciolan.concurrent { function()
        local own = coroutine.wrap(function()
          coroutine.yield(line.send())
          return "end"
        end)
        return own(), own(), line.send()
      end }
      assert.same({ { "blocked", "end", "answer 1" } }, results)
    end)

    it("blocks where C would have to give way", function()
      local line = new_line()
      local results = paciolan.concurrent { function()
        return (("x"):gsub("x", line.send))
      end }
      assert.same({ { "blocked" } }, results)
    end)

    it("may be called in a coroutine of the program's own", function()
      local line = new_line()
      local own = coroutine.wrap(function()
        local results = paciolan.concurrent(repeated(2, line.send))
        coroutine.yield(results[2][1])
      end)
      assert.equal("answer 2", own())
    end)

    it("runs alone inside a coroutine that a task made", function()
      local line = new_line()
      local results = paciolan.concurrent { function()
        return coroutine.wrap(function() return #paciolan.concurrent(repeated(3, line.send)) end)()
      end, line.send }
      assert.same({ 3 }, results[1])
      assert.equal("second", results[2][2])
    end)
  end)

  describe("misuse", function()
    local function nothing() end
    local rows = {
      { "no list", { nil }, "takes a list of functions, not nil" },
      { "a function instead of a list", { nothing }, "takes a list of functions, not function" },
      { "a task that is no function", { { nothing, "x" } }, "a function is expected at 2" },
      { "a list with a hole", { { nothing, nil, nothing } }, "without holes" },
      { "named tasks", { { first = nothing } }, "without holes" },
      { "options that are no table", { { nothing }, 3 }, "options must be a table, not number" },
      { "an unknown option", { { nothing }, { limits = 3 } }, "unknown option limits" },
      { "a limit of 0", { { nothing }, { limit = 0 } }, "from 1 to 1000" },
      { "a limit of 1001", { { nothing }, { limit = 1001 } }, "from 1 to 1000" },
      { "a fraction", { { nothing }, { limit = 1.5 } }, "from 1 to 1000" },
      { "a text", { { nothing }, { limit = "3" } }, "from 1 to 1000" },
    }
    for _, row in ipairs(rows) do
      it("raises at the caller's line: " .. row[1], function()
        local ok, problem = pcall(function() paciolan.concurrent(row[2][1], row[2][2]) end)
        assert.is_false(ok)
        assert.truthy(problem:find(row[3], 1, true), problem)
        assert.truthy(problem:find("^[^:]*concurrent_spec.lua:"), problem)
      end)
    end
  end)
end)

describe("calls side by side", function()
  after_each(peers.stop_all)

  -- A client that needs no token call.
  local function new_link(url, more)
    local options = { base_url = url, organization_id = "999", retries = 0 }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return paciolan.new(scripted.settings(options))
  end

  it("are under way at the same time: each is answered only when all are there", function()
    local step = { gather = 8, headers = EVENTS.headers, body = "[]" }
    local peer = peers.start({ step })
    local link = new_link(peer.url)
    for _, entry in ipairs(paciolan.concurrent(repeated(8, function() return link.catalog:events() end))) do
      assert.same({}, entry[1], tostring(entry[2]))
      assert.equal(200, entry[3].status)
    end
    link:close()
  end)

  it("are never more than the limit, and as many as the limit", function()
    local peer = peers.start({ { gather = 5, headers = EVENTS.headers, body = "[]" } })
    local link, most = new_link(peer.url), 0
    paciolan.concurrent(repeated(40, function() return link.catalog:events() end), { limit = 5 })
    for _, request in ipairs(peer:requests()) do
      most = math.max(most, request.open)
    end
    assert.equal(5, most)
    assert.equal(40, #peer:requests())
    assert.equal(5, peer:connections())
    link:close()
  end)

  it("work with one link for each task", function()
    local peer = peers.start({ { gather = 4, headers = EVENTS.headers, body = "[]" } })
    local results = paciolan.concurrent(repeated(4, function()
      local link = new_link(peer.url)
      local events, err = link.catalog:events()
      link:close()
      return events, err
    end))
    for _, entry in ipairs(results) do
      assert.same({}, entry[1], tostring(entry[2]))
    end
  end)

  it("block one after another with a transport of another kind, and give the same results", function()
    local steps = { { status = 200, body = "[]" }, { status = 404, body = "{}" } }
    local link = scripted.client(steps, { organization_id = "999" })
    local results = paciolan.concurrent(repeated(2, function() return link.catalog:events() end))
    assert.same({}, results[1][1])
    assert.equal(404, results[2][2].status)
  end)

  it("fail each by itself", function()
    local peer = peers.start({ EVENTS })
    local broken = peers.start({ { headers = EVENTS.headers, body = "[", declared_length = 50 } })
    local silent = peers.silent()
    local good, bad, late = new_link(peer.url), new_link(broken.url), new_link(silent.url, { timeout_ms = 150 })
    local nobody = new_link("http://127.0.0.1:" .. peers.unused_port())
    local results = paciolan.concurrent {
      function() return late.catalog:events() end,
      function() return late.tickets:lock(market.lock_payload({ "T" }, "L")) end,
      function() return bad.catalog:events() end,
      function() return nobody.tickets:lock(market.lock_payload({ "T" }, "L")) end,
      function() return good.catalog:events() end,
      function() return good.tickets:lock({}) end,
      function() return late.catalog:events({}, { deadline_ms = 100, retries = 2 }) end,
    }
    local told = {}
    for i, entry in ipairs(results) do
      told[i] = entry[2] and entry[2].kind .. " " .. tostring(entry[2].outcome) or "fine"
    end
    assert.same({ "timeout nil", "timeout unknown", "network nil", "network not_sent", "fine", "validation not_sent",
      "timeout nil" }, told)
    for _, link in ipairs({ good, bad, late, nobody }) do
      link:close()
    end
  end)

  it("go on while one waits before its repetition", function()
    local busy = { status = 503, headers = { { "Retry-After", "1" }, EVENTS.headers[1] }, body = '{"error":{}}' }
    local failing, peer = peers.start({ busy, EVENTS }), peers.start({ EVENTS })
    local order = {}
    local first, second = new_link(failing.url, { retries = 2 }), new_link(peer.url)
    local results = paciolan.concurrent({
      function()
        local events, err, response = first.catalog:events()
        order[#order + 1] = "repeated"
        return events, err, response
      end,
      function()
        for _ = 1, 5 do
          assert(second.catalog:events())
        end
        order[#order + 1] = "five"
      end,
    })
    assert.same({ "five", "repeated" }, order)
    assert.equal(2, results[1][3].attempts)
    first:close()
    second:close()
  end)

  it("end as canceled when one of them closes the link", function()
    local peer = peers.start({ { stall = true } })
    local link = new_link(peer.url, { retries = 2 })
    local results = paciolan.concurrent {
      function() return link.catalog:events() end,
      function() return link.tickets:lock(market.lock_payload({ "T" }, "L")) end,
      function()
        local ends_at_ms = core.monotonic_ms() + 20000
        while #peer:requests() < 2 and core.monotonic_ms() < ends_at_ms do
          concurrent.loop():sleep(10)
        end
        link:close()
        return tostring(link)
      end,
    }
    assert.same({ "canceled", nil }, { results[1][2].kind, results[1][2].outcome })
    assert.same({ "canceled", "unknown" }, { results[2][2].kind, results[2][2].outcome })
    assert.same({ "paciolan.client (closed)" }, results[3])
  end)

  for name, open_store in pairs { ["its own"] = function() end, ["the caller's"] = paciolan.store.memory } do
    it("end as canceled when they would be repeated over a closed link, whose store is " .. name, function()
      local busy = { status = 503, headers = EVENTS.headers, body = '{"error":{}}' }
      local peer = peers.start({ busy })
      local link
      link = new_link(peer.url, { retries = 2, store = open_store(), on_event = function(event)
        if event.type == "retry" then
          link:close()
        end
      end })
      local results = paciolan.concurrent { function() return link.tickets:unlock { tokens = { "T" } } end }
      assert.same({ "canceled", "unknown" }, { results[1][2].kind, results[1][2].outcome })
      assert.equal(1, #peer:requests())
    end)
  end
end)

describe("calls side by side, in the sandbox", function()
  local place

  before_each(function()
    place = market.open()
  end)

  after_each(function()
    place:close()
  end)

  it("need one token call for all", function()
    local results = paciolan.concurrent(repeated(32, function() return place.link.catalog:events() end), { limit = 32 })
    for _, entry in ipairs(results) do
      assert.equal("Football Game 1", assert(entry[1], tostring(entry[2]))[1].itemName)
    end
    assert.equal(1, #place:requests("auth.token"))
    assert.equal(32, #place:requests("catalog.events"))
  end)

  it("share one renewal after the token ended under all of them", function()
    assert(place.link.auth:token())
    place.box:control("POST", "/_sandbox/tokens/expire")
    local results = paciolan.concurrent(repeated(16, function() return place.link.catalog:events() end))
    for _, entry in ipairs(results) do
      assert.is_table(entry[1], tostring(entry[2]))
    end
    local counts = place:ledger().tokens
    assert.same({ 1, 1, 0 }, { counts.exchanged, counts.refreshed, counts.refused })
  end)

  it("lock every seat once, each request over a connection of its own", function()
    local tokens = place:tokens(24)
    local results = paciolan.concurrent(repeated(24, function(i)
      return place.link.tickets:lock(market.lock_payload({ tokens[i] }, "L-" .. i))
    end), { limit = 8 })
    for _, entry in ipairs(results) do
      assert.equal(1, #assert(entry[1], tostring(entry[2])).success)
    end
    local world = place:world()
    for _, token in ipairs(tokens) do
      assert.equal("locked", world[token].state)
    end
    assert.equal(24, #place:requests("tickets.lock"))
  end)

  it("let one of several orders for the same seats win", function()
    local tokens = place:tokens(2)
    local results = paciolan.concurrent(repeated(6, function(i)
      return place.link.tickets:lock(market.lock_payload(tokens, "L-" .. i))
    end))
    local won = 0
    for _, entry in ipairs(results) do
      won = won + (entry[1] and 1 or 0)
    end
    assert.equal(1, won)
  end)
end)
