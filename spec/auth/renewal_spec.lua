--- Several links on one store, each with a hold of its own, as so many processes would have. Nothing is sent, and time
-- passes only where somebody waits.

local cjson = require("cjson").new()
local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")
local errors = require("paciolan.errors")
local faulty_store = require("support.faulty_store")
local memory = require("paciolan.store.memory")
local token_service = require("support.token_service")
local virtual = require("support.clock")

local WHOSE = "https://link-sandbox.paciolan.info/com.mycompany.myapp"
local TOKEN, LOCK, PAUSE = "paciolan/token/" .. WHOSE, "paciolan/lock/" .. WHOSE, "paciolan/pause/" .. WHOSE
local BUSY = { status = 503, body = '{"error":{"type":"X"}}' }

local clock, store, service

before_each(function()
  clock = virtual.start()
  store = faulty_store.new(memory.new())
  service = token_service.new(clock, store)
end)

after_each(function() clock:stop() end)

-- Runs the tasks side by side; returns their results as `{ value, err }`.
local function run(tasks)
  return concurrent.run(tasks, { limit = #tasks })
end

-- Each link does the same, one of them later by some milliseconds than the one before.
local function all(links, act, apart_ms)
  local tasks = {}
  for i, link in ipairs(links) do
    tasks[i] = function()
      if apart_ms then
        clock:sleep((i - 1) * apart_ms)
      end
      return act(link, i)
    end
  end
  return run(tasks)
end

local function token_of(link)
  return link.auth:token()
end

local function events_of(link)
  return link.catalog:events()
end

local function in_seconds(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(core.now_ms() / 1000) + seconds) .. ".000000000Z"
end

-- What the store has now.
local function stored()
  return cjson.decode((assert(store.inner:get(TOKEN))))
end

local function expect_all(results, access_token)
  for _, entry in ipairs(results) do
    assert.equal(access_token, assert(entry[1], tostring(entry[2])).accessToken)
  end
end

describe("several links on one store", function()
  it("renew once, and all go on with the new set", function()
    expect_all(all(service:clients(3), token_of), "A1")
    assert.same({ "R0" }, service.sent)
  end)

  it("renew once whatever comes first, and however long the answer takes", function()
    service.answer_ms = 20000
    expect_all(all(service:clients(3), token_of, 37), "A1")
    assert.same({ "R0" }, service.sent)
  end)

  it("renew once a set that the service refuses to one after the other", function()
    local links = service:clients(3)
    assert(links[1].auth:token())
    service.refused_access.A1 = true
    for _, entry in ipairs(all(links, events_of, 3)) do
      assert.is_table(entry[1], tostring(entry[2]))
    end
    assert.same({ "R0", "R1" }, service.sent)
    assert.equal("A2", stored().accessToken)
  end)

  it("use what one of them has stored, from one renewal to the next", function()
    local links = service:clients(2)
    for round = 1, 4 do
      local set = assert(links[round % 2 + 1].auth:rotate())
      assert.equal(("A%d"):format(round), set.accessToken)
      expect_all(all(links, token_of), set.accessToken)
    end
    assert.same({ "R0", "R1", "R2", "R3" }, service.sent)
  end)

  it("send their seeds once: the one that was replaced is not tried again", function()
    local links = service:clients(2, { auth = { refresh_token = "R0", code = "C0" } })
    expect_all(all(links, token_of), "A1")
    service.on_grant = function(credential)
      return credential == "R1" and { status = 400, body = '{"error":{"type":"X"}}' } or nil
    end
    service.refused_access.A1 = true
    for _, entry in ipairs(all(links, events_of)) do
      assert.is_table(entry[1], tostring(entry[2]))
    end
    assert.same({ "R0", "R1", "C0" }, service.sent)
    assert.equal(0, service.reused)
  end)

  it("try one seed after the other, each once", function()
    local links = { service:client { auth = { refresh_token = "gone" } }, service:client() }
    all(links, token_of)
    expect_all(all(links, token_of), "A1")
    assert.same({ 1, 1 }, { service:count("gone"), service:count("R0") })
  end)

  for name, seconds in pairs { advisory = 180, mandatory = 30 } do
    it("renew once in the " .. name .. " window", function()
      local links = service:clients(3, {
        auth = { access_token = "old", refresh_token = "R0", expiration = in_seconds(seconds) },
      })
      service.answer_ms = 1000
      local ended_at_ms = {}
      local results = all(links, function(link, i)
        clock:sleep(i)
        local set, err = link.auth:token()
        ended_at_ms[i] = core.monotonic_ms()
        return set, err
      end)
      local began_ms = ended_at_ms[1] - 1000
      for i = 2, 3 do
        local has_waited = ended_at_ms[i] - began_ms > 900
        assert.equal(name == "mandatory", has_waited)
        assert.equal(has_waited and "A1" or "old", results[i][1].accessToken)
      end
      assert.equal("A1", results[1][1].accessToken)
      assert.same({ "R0" }, service.sent)
    end)
  end

  it("go on where a link finds the lock taken, and the service refuses the old token meanwhile", function()
    local link = service:client { auth = { access_token = "old", refresh_token = "R0", expiration = in_seconds(180) } }
    store.inner:put(LOCK, "somebody", { ttl_s = 2 })
    store.watch(function(method, key)
      if method == "add" and key == LOCK then
        link.auth:reject("old")
      end
    end)
    assert.equal("A1", assert(link.auth:token()).accessToken)
    assert.same({ "R0" }, service.sent)
  end)
end)

describe("a renewal that fails", function()
  it("is shared by those who waited for it, and tried again by a later call", function()
    service.on_grant = function() return BUSY end
    local links = service:clients(3)
    for _, entry in ipairs(all(links, token_of)) do
      assert.is_nil(entry[1])
      assert.same({ "http", "auth.token", 503 }, { entry[2].kind, entry[2].operation, entry[2].status })
      assert.is_true(errors.is(entry[2]))
    end
    assert.same({ "R0" }, service.sent)
    service.on_grant = nil
    expect_all(all(links, token_of), "A1")
    assert.equal(2, #service.sent)
  end)

  it("is not taken for their own by those who came after a failure of before", function()
    service.on_grant = function(_, number) return number == 1 and BUSY or nil end
    local links = service:clients(3)
    assert.is_nil(links[1].auth:token())
    expect_all(all(links, token_of), "A1")
  end)

  it("is not taken for the end of an owner that died after it", function()
    service.on_grant = function(_, number) return number == 1 and BUSY or nil end
    local link = service:client()
    assert.is_nil(link.auth:token())
    store.inner:put(LOCK, "somebody", { ttl_s = 2 })
    assert.equal("A1", assert(link.auth:token()).accessToken)
    assert.equal(2, #service.sent)
  end)

  it("is forgotten after a success", function()
    service.on_grant = function(_, number) return number == 1 and BUSY or nil end
    local link = service:client()
    assert.is_nil(link.auth:token())
    assert.is_truthy(store.inner:get(PAUSE))
    assert(link.auth:token())
    assert.is_nil(store.inner:get(PAUSE))
  end)

  it("because the credential is refused is repeated with the next by one of them", function()
    local links = service:clients(3, { auth = { refresh_token = "gone", code = "C0" } })
    expect_all(all(links, token_of), "A1")
    assert.same({ "gone", "C0" }, service.sent)
  end)

  it("leaves a token that still serves to all, and is not repeated at once", function()
    service.on_grant = function() return BUSY end
    local links = service:clients(3, {
      auth = { access_token = "old", refresh_token = "R0", expiration = in_seconds(30) },
    })
    expect_all(all(links, token_of), "old")
    expect_all(all(links, token_of), "old")
    assert.same({ "R0" }, service.sent)
  end)

  it("is waited out by all where the service asks for it", function()
    service.on_grant = function()
      return { status = 429, headers = { ["retry-after"] = "20" }, body = '{"error":{"type":"X"}}' }
    end
    local links = service:clients(2)
    assert.is_nil(links[1].auth:token())
    for _, entry in ipairs(all(links, token_of)) do
      assert.same({ "auth", true, 0 }, { entry[2].kind, entry[2].retryable, entry[2].attempts })
      assert.equal(20000, entry[2].retry_after_ms)
    end
    service.on_grant = nil
    clock:advance(20000)
    expect_all(all(links, token_of), "A1")
    assert.equal(2, #service.sent)
  end)

  it("many times is not taken for a long wait that the service asked for", function()
    service.on_grant = function(_, number)
      if number <= 6 then
        return BUSY
      end
      return number == 7 and { status = 429, body = BUSY.body, headers = { ["retry-after"] = "1" } } or nil
    end
    local links = service:clients(2, { retries = 0 })
    for i = 1, 7 do
      assert.is_nil(links[i % 2 + 1].auth:token())
    end
    local _, err = links[1].auth:token()
    assert.is_true(err.retry_after_ms <= 1000)
    clock:advance(1000)
    expect_all(all(links, token_of), "A1")
  end)

  it("because its deadline passed is no failure of the others", function()
    local hurried, patient = service:client(), service:client()
    store.watch(function(method, key)
      if method == "add" and key == LOCK then
        clock:sleep(30)
      end
    end)
    local results = run {
      function()
        return hurried.auth:acquire { ends_at_ms = core.monotonic_ms() + 20, retries = 0 }
      end,
      function() return patient.auth:token() end,
    }
    assert.same({ "timeout", "not_sent" }, { results[1][2].kind, results[1][2].outcome })
    assert.equal("A1", assert(results[2][1], tostring(results[2][2])).accessToken)
  end)

  it("because its client was closed is no failure of the others", function()
    local first, second = service:client(), service:client()
    service.on_grant = function(_, number)
      return number == 1 and { kind = "network", phase = "not_sent" } or nil
    end
    local results = run {
      function()
        local set, err = first.auth:token()
        return set, err
      end,
      function()
        clock:sleep(5)
        local set, err = second.auth:token()
        return set, err
      end,
      function()
        clock:sleep(5)
        first:close()
      end,
    }
    assert.equal("canceled", results[1][2].kind)
    assert.equal("A1", assert(results[2][1], tostring(results[2][2])).accessToken)
  end)
end)

describe("a lock", function()
  it("of an owner that died is waited out", function()
    store.inner:put(LOCK, "somebody", { ttl_s = 2 })
    local began_ms = core.monotonic_ms()
    expect_all(all(service:clients(2), token_of), "A1")
    assert.is_true(core.monotonic_ms() - began_ms >= 2000)
    assert.same({ "R0" }, service.sent)
  end)

  it("that does not end before the deadline is an error, and nothing is sent", function()
    store.inner:put(LOCK, "somebody")
    for _, act in ipairs {
      function(link) return link.auth:token() end, function(link) return link.auth:rotate() end,
      function(link) return link.auth:exchange("C0") end,
    } do
      local link = service:client { deadline_ms = 1000 }
      local set, err = act(link)
      assert.is_nil(set)
      assert.same({ "timeout", "not_sent", true, "auth.token", 0 },
        { err.kind, err.outcome, err.retryable, err.operation, err.attempts })
    end
    assert.same({}, service.sent)
  end)

  for name, act in pairs { call = token_of, rotation = function(link) return link.auth:rotate() end } do
    it("that outlasts the deadline of one call is waited out by a " .. name .. " with more time", function()
      store.inner:put(LOCK, "somebody", { ttl_s = 3 })
      local link = service:client()
      local results = run {
        function() return link.auth:acquire { ends_at_ms = core.monotonic_ms() + 1000, retries = 0 } end,
        function()
          clock:sleep(1)
          return act(link)
        end,
      }
      assert.same({ "timeout", "not_sent" }, { results[1][2].kind, results[1][2].outcome })
      assert.equal("A1", assert(results[2][1], tostring(results[2][2])).accessToken)
      assert.same({ "R0" }, service.sent)
    end)
  end

  it("is given back where the transport raises", function()
    service.on_grant = function() error("the transport broke", 0) end
    local link = service:client()
    local ok, problem = pcall(link.auth.token, link.auth)
    assert.same({ false, "the transport broke" }, { ok, problem })
    assert.is_nil(store.inner:get(LOCK))
    service.on_grant = nil
    assert.equal("A1", assert(link.auth:token()).accessToken)
  end)

  it("leaves a call half of its time where the old token still serves", function()
    local link = service:client { auth = { access_token = "old", refresh_token = "R0", expiration = in_seconds(30) } }
    assert(store.inner:put(LOCK, "somebody else", { ttl_s = 3600 }))
    local began_ms = core.monotonic_ms()
    assert(link.catalog:events({}, { deadline_ms = 4000 }))
    local took_ms = core.monotonic_ms() - began_ms
    assert.is_true(took_ms > 1500 and took_ms < 2500)
    assert.same({ { "old" }, {} }, { service.calls, service.sent })
  end)

  it("and a renewal in the same process leave it to other tasks too", function()
    local link = service:client { auth = { access_token = "old", refresh_token = "R0", expiration = in_seconds(30) } }
    service.answer_ms = 8000
    local set
    run {
      function() return link.auth:token() end,
      function()
        clock:sleep(10)
        set = assert(link.auth:acquire { ends_at_ms = core.monotonic_ms() + 4000, retries = 0 })
      end,
    }
    assert.equal("old", set.accessToken)
  end)

  it("that another has is left by a call whose client is closed", function()
    store.inner:put(LOCK, "somebody")
    local link = service:client()
    local results = run {
      function() return link.auth:token() end,
      function()
        clock:sleep(200)
        link:close()
      end,
    }
    assert.is_nil(results[1][1])
    assert.same({ "canceled", "not_sent", false },
      { results[1][2].kind, results[1][2].outcome, results[1][2].retryable })
    assert.same({}, service.sent)
  end)

  it("that is lost between two attempts ends the one, which goes on with the set of the other", function()
    local first, second = service:client(), service:client()
    service.on_grant = function(_, number)
      if number == 1 then
        store.inner:remove(LOCK)
        clock:sleep(20000)
        return { kind = "network", phase = "not_sent" }
      end
    end
    local results = run {
      function() return first.auth:token() end,
      function()
        clock:sleep(1000)
        return second.auth:token()
      end,
    }
    expect_all(results, "A1")
    assert.same({ "R0", "R0" }, service.sent)
    assert.equal(0, service.reused)
  end)

  it("that ran out while the answer was under way costs the late one nothing but its request", function()
    local first, second = service:client(), service:client()
    service.on_grant = function(_, number)
      if number == 1 then
        store.inner:remove(LOCK)
        assert.equal("A1", assert(second.auth:token()).accessToken)
      end
    end
    assert.equal("A1", assert(first.auth:token()).accessToken) -- its own answer is a refusal
    assert.same({ "R0", "R0", "A1" }, { service.sent[1], service.sent[2], stored().accessToken })
    assert.equal("A2", assert(first.auth:rotate()).accessToken)
  end)

  it("that the store cannot keep ends the renewal with an error of the store", function()
    service.on_grant = function()
      clock:sleep(20000)
      return { kind = "network", phase = "not_sent" }
    end
    for _, how in ipairs(faulty_store.WAYS) do
      store.watch(function(method, key) return method == "replace" and key == LOCK and how or nil end)
      local link = service:client { auth = { code = "C0" } }
      local ok, set, err = pcall(link.auth.token, link.auth)
      assert.equal(how:find("raise") == nil, ok)
      if ok then
        assert.is_nil(set)
        assert.same({ "store", "not_sent" }, { err.kind, err.outcome })
      else
        assert.equal(faulty_store.RAISED, set)
      end
    end
    assert.equal(#faulty_store.WAYS, #service.sent)
    store.watch()
    service.on_grant = nil
    assert(service:client({ auth = { code = "C0" } }).auth:token())
    assert.equal(0, service.reused)
  end)
end)

describe("a new pair that the store did not take", function()
  -- The first link has it, and the store is away for so long.
  local function lose_the_store(away_ms)
    local first, second = service:client(), service:client()
    local back_at_ms
    store.watch(function(method, key)
      if (method == "add" or method == "replace") and key == TOKEN and not back_at_ms then
        back_at_ms = core.monotonic_ms() + away_ms
      end
      return back_at_ms and core.monotonic_ms() < back_at_ms and "fail" or nil
    end)
    return first, second, function()
      while not back_at_ms or core.monotonic_ms() < back_at_ms do
        clock:sleep(1)
      end
    end
  end

  it("is offered again, and the call goes on when the store is back", function()
    local first, second = lose_the_store(1500)
    assert.equal("A1", assert(first.auth:token()).accessToken)
    assert.equal("A1", assert(second.auth:token()).accessToken)
    assert.same({ "R0" }, service.sent)
  end)

  it("is waited for by who comes when the store is back, also after the end of the lock", function()
    local first, second, wait = lose_the_store(60000)
    local results = run {
      function()
        assert.equal("store", select(2, first.auth:token()).kind)
        wait()
        clock:sleep(500)
        return first.auth:token()
      end,
      function()
        clock:sleep(100)
        wait()
        return second.auth:token()
      end,
    }
    expect_all(results, "A1")
    assert.same({ "R0" }, service.sent)
  end)

  it("is lost with its process: the old refresh token is sent after a second", function()
    local first, second, wait = lose_the_store(60000)
    assert.equal("store", select(2, first.auth:token()).kind)
    clock:advance(60000)
    wait()
    local began_ms = core.monotonic_ms()
    assert.is_nil(second.auth:token())
    assert.is_true(core.monotonic_ms() - began_ms < 3000)
    assert.same({ "R0", "R0" }, service.sent)
  end)
end)

describe("a link that is closed", function()
  it("lets the renewal of another task come to its end, and its pair into the store", function()
    local link, other = service:client(), service:client()
    service.answer_ms = 400
    local results = run {
      function() return link.catalog:events() end,
      function()
        clock:sleep(150)
        link:close()
      end,
    }
    assert.same({ "canceled", 0 }, { results[1][2].kind, results[1][2].attempts })
    assert.equal("A1", assert(other.auth:token()).accessToken)
    assert.same({ "R0" }, service.sent)
  end)

  it("by a hook between its token call and its request ends that as canceled", function()
    local link
    link = service:client { on_event = function(event)
      if event.type == "rotation" then
        link:close()
      end
    end }
    local result, err = link.catalog:events()
    assert.is_nil(result)
    assert.equal("canceled", err.kind)
    assert.same({}, service.calls)
  end)
end)

describe("a new login", function()
  it("is not undone by those who know a later set of before, when the store was emptied", function()
    local old, fresh = service:client(), service:client { auth = {} }
    for _ = 1, 3 do
      assert(old.auth:rotate())
    end
    store.inner:remove(TOKEN)
    assert.equal("A4", assert(fresh.auth:exchange("C0")).accessToken)
    assert.equal("A4", assert(old.auth:token()).accessToken)
    assert.equal("A4", stored().accessToken)
  end)
end)

describe("a client that is closed in its token call", function()
  it("leaves the new pair in the store", function()
    local link = service:client()
    service.on_grant = function() link:close() end
    link.auth:token()
    assert.equal("A1", stored().accessToken)
    assert.is_nil(store.inner:get(LOCK))
    service.on_grant = nil
    assert.equal("A1", assert(service:client().auth:token()).accessToken)
  end)
end)

describe("by hand, across links", function()
  it("each rotation is one renewal, one after the other", function()
    local results = all(service:clients(3), function(link) return link.auth:rotate() end)
    local seen = {}
    for _, entry in ipairs(results) do
      seen[assert(entry[1], tostring(entry[2])).accessToken] = true
    end
    assert.same({ A1 = true, A2 = true, A3 = true }, seen)
    assert.same({ "R0", "R1", "R2" }, service.sent)
    assert.equal(0, service.reused)
    assert.equal("A3", stored().accessToken)
  end)

  it("a rotation beside calls costs none of them", function()
    local links = service:clients(3)
    assert(links[1].auth:token())
    local results = all(links, function(link, i)
      if i == 1 then
        return link.auth:rotate()
      end
      for _ = 1, 5 do
        assert(link.catalog:events())
      end
      return link.auth:token()
    end)
    expect_all(results, "A2")
    assert.same({ "R0", "R1" }, service.sent)
  end)
end)

-- --- hooks -------------------------------------------------------------------------------------------------------

describe("a hook", function()
  -- The old token does not serve any more when the hook acts, so each of these needs a renewal.
  for name, act in pairs {
    ["asks for the token"] = token_of, ["rotates"] = function(link) return link.auth:rotate() end,
    ["exchanges a code"] = function(link) return link.auth:exchange("C0") end, ["calls"] = events_of,
  } do
    it("that " .. name .. " while its link waits for the lock gets an error", function()
      store.inner:put(TOKEN, cjson.encode { accessToken = "old", refreshToken = "R0", generation = 1,
        issued_at_ms = core.now_ms(), expiration = in_seconds(3600), tokenType = "Bearer" })
      store.inner:put(LOCK, "somebody")
      local link, told
      link = service:client { deadline_ms = 2000, on_event = function(event)
        if event.type == "response" and event.operation == "catalog.events" and not told then
          link.auth:reject("old")
          told = { act(link) }
        end
      end }
      local results = run {
        function() return link.catalog:events() end,
        function()
          clock:sleep(1)
          return link.auth:rotate()
        end,
      }
      assert.is_table(results[1][1])
      assert.equal("timeout", results[2][2].kind)
      assert.is_nil(told[1])
      assert.same({ "auth", "a hook cannot wait" },
        { told[2].kind, told[2].message:match("a hook cannot wait") })
    end)
  end

  it("of another link's renewal gets the new set by the end", function()
    local first, second, told
    second = service:client()
    first = service:client { on_event = function(event)
      if event.type == "rotation" then
        told = { second.auth:token() }
      end
    end }
    assert(first.auth:token())
    assert.equal("A1", assert(told[1], tostring(told[2])).accessToken)
    assert.same({ "R0" }, service.sent)
  end)

  it("that needs the lock of a task that cannot go on meanwhile ends by its deadline", function()
    local first, second, told
    second = service:client { deadline_ms = 3000 }
    first = service:client { on_event = function(event)
      if event.type == "request" and event.operation == "auth.token" then
        told = { second.auth:token() }
      end
    end }
    local results = run { function() return first.auth:token() end }
    assert.equal("A1", assert(results[1][1], tostring(results[1][2])).accessToken)
    assert.same({ "timeout", "not_sent" }, { told[2].kind, told[2].outcome })
    assert.same({ "R0" }, service.sent)
  end)
end)
