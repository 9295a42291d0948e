--- Authorization codes: each goes out once and never again, over all links of a store. Nothing is sent, and time passes
-- only where somebody waits.

local cjson = require("cjson").new()
local concurrent = require("paciolan.concurrent")
local errors = require("paciolan.errors")
local faulty_store = require("support.faulty_store")
local memory = require("paciolan.store.memory")
local token_service = require("support.token_service")
local virtual = require("support.clock")

local WHOSE = "https://link-sandbox.paciolan.info/com.mycompany.myapp"
local TOKEN, LOCK = "paciolan/token/" .. WHOSE, "paciolan/lock/" .. WHOSE
local NEEDED = "a new authorization code is needed"

local clock, store, service

local function begin()
  store = faulty_store.new(memory.new())
  service = token_service.new(clock, store)
end

before_each(function()
  clock = virtual.start()
  begin()
end)

after_each(function() clock:stop() end)

local function with_code(code)
  return service:client { auth = { code = code or "C0" }, retries = 0 }
end

local function run(tasks)
  return concurrent.run(tasks, { limit = #tasks })
end

local function stored()
  return cjson.decode((assert(store.inner:get(TOKEN))))
end

local function expect_error(set, err, kind, text)
  assert.is_nil(set)
  assert.is_true(errors.is(err))
  assert.equal(kind, err.kind, tostring(err))
  assert.truthy(err.message:find(text, 1, true), err.message)
  return err
end

-- Nobody can do anything before a person brings another code.
local function expect_end(set, err)
  assert.is_false(expect_error(set, err, "auth", NEEDED).retryable)
end

-- A store operation of this kind fails, once.
local function fail_once(method, pattern, how)
  local is_over = false
  store.watch(function(name, key)
    if not is_over and name == method and key:find(pattern) then
      is_over = true
      return how
    end
  end)
end

-- Every store operation of this kind fails, until `store.watch()`.
local function fail_always(method, pattern, how)
  store.watch(function(name, key) return name == method and key:find(pattern) and how or nil end)
end

-- --- the ends of an exchange ------------------------------------------------------------------------------------

local ERROR = '{"error":{"type":"X"}}'
local PAGE = "<html></html>"
local REFUSED = "the authorization code was refused (HTTP %d); each works once; " .. NEEDED
local LOST = "an authorization code is sent only once, so a new one is needed"

-- Name, answer, kind, outcome, text of the error; retryable.
local COSTS_THE_CODE = {
  { "is refused with 400", { status = 400, body = ERROR }, "auth", "rejected", REFUSED:format(400) },
  { "is refused with 401", { status = 401, body = ERROR }, "auth", "rejected", REFUSED:format(401) },
  { "is refused with 422", { status = 422, body = ERROR }, "auth", "rejected", REFUSED:format(422) },
  { "brings no token", { status = 200, body = "{}" }, "protocol", "unknown", LOST },
  { "brings a token that fits in no header", { status = 200, body = '{"accessToken":"a\\r\\nX: y"}' }, "protocol",
    "unknown", LOST },
  { "brings a page", { status = 200, body = PAGE }, "protocol", "unknown", LOST },
  { "is redirected", { status = 302, body = "" }, "protocol", "unknown", LOST },
  { "ends with 408", { status = 408, body = ERROR }, "http", "unknown", LOST },
  { "fails in the service", { status = 500, body = ERROR }, "http", "unknown", LOST },
  { "fails in a gateway", { status = 502, body = PAGE }, "protocol", "unknown", LOST },
  { "fails in a service that asks to wait", { status = 503, body = ERROR, headers = { ["retry-after"] = "20" } },
    "http", "unknown", LOST },
  { "breaks off after it was sent", { kind = "network", phase = "unknown" }, "network", "unknown", LOST },
  { "has no answer in time", { kind = "timeout", phase = "unknown" }, "timeout", "unknown", LOST },
}

local LEAVES_THE_CODE = {
  { "meets a gateway's 400", { status = 400, body = PAGE }, "protocol", "rejected", "400", false },
  { "meets a gateway's 401", { status = 401, body = PAGE }, "protocol", "rejected", "401", false },
  { "meets a 403 of the service", { status = 403, body = ERROR }, "auth", "rejected", "403", false },
  { "meets a gateway's 403", { status = 403, body = PAGE }, "protocol", "rejected", "403", false },
  { "does not find the path", { status = 404, body = ERROR }, "auth", "rejected", "404", false },
  { "comes too often", { status = 429, body = ERROR, headers = { ["retry-after"] = "20" } }, "rate_limit", "rejected",
    "429", true },
  { "finds no connection", { kind = "network", phase = "not_sent" }, "network", "not_sent", "scripted failure", true },
  { "has no connection in time", { kind = "timeout", phase = "not_sent" }, "timeout", "not_sent", "scripted failure",
    true },
}

local WAYS = {
  ["of a configured code"] = {
    open = with_code, act = function(link) return link.auth:token() end,
  },
  ["by hand"] = {
    open = function() return service:client { auth = {}, retries = 0 } end,
    act = function(link) return link.auth:exchange("C0") end,
  },
}

for name, way in pairs(WAYS) do
  describe("the exchange " .. name, function()
    local function expect_failure(row, set, err)
      expect_error(set, err, row[3], row[5])
      assert.same({ row[4], row[6] or false, "auth.token" }, { err.outcome, err.retryable, err.operation })
      assert.is_nil(tostring(err):find("C0", 1, true))
    end

    it("that brings a set is the only one", function()
      local links = { way.open(), with_code() }
      assert.equal("A1", assert(way.act(links[1])).accessToken)
      assert.equal("A1", assert(links[2].auth:token()).accessToken)
      assert.equal("A1", assert(with_code().auth:token()).accessToken)
      assert.same({ "C0" }, service.sent)
    end)

    for _, row in ipairs(COSTS_THE_CODE) do
      it("that " .. row[1] .. " costs the code", function()
        service.on_grant = function(credential) return credential == "C0" and row[2] or nil end
        local first, second, other = way.open(), way.open(), with_code()
        expect_failure(row, way.act(first))
        clock:advance(20000)
        for _, link in ipairs { first, second } do
          for _ = 1, 2 do
            local set, err = way.act(link)
            assert.is_nil(set)
            assert.same({ "auth", false, 0 }, { err.kind, err.retryable, err.attempts })
            assert.truthy(err.message:find("a new", 1, true), err.message)
          end
        end
        expect_end(other.auth:token())
        expect_end(other.catalog:events())
        clock:advance(3600 * 1000)
        expect_end(with_code().auth:token())
        assert.same({ "C0" }, service.sent)
        assert.equal("A1", assert(with_code("C1").auth:token()).accessToken)
        assert.equal("A1", assert(other.auth:token()).accessToken)
        assert.same({ "C0", "C1" }, service.sent)
      end)
    end

    for _, row in ipairs(LEAVES_THE_CODE) do
      it("that " .. row[1] .. " leaves the code, which is sent again by the next call only", function()
        service.on_grant = function(_, number) return number == 1 and row[2] or nil end
        local first, second = way.open(), way.open()
        expect_failure(row, way.act(first))
        assert.same({ "C0" }, service.sent)
        clock:advance(20000)
        assert.equal("A1", assert(way.act(second)).accessToken)
        assert.equal("A1", assert(first.auth:token()).accessToken)
        assert.equal("A1", assert(with_code().auth:token()).accessToken)
        assert.same({ "C0", "C0" }, service.sent)
      end)
    end

    it("that finds no connection is repeated by the call itself, as often as it may", function()
      service.on_grant = function(_, number)
        return number < 3 and { kind = "network", phase = "not_sent" } or nil
      end
      local link = service:client { auth = { code = "C0" }, retries = 2 }
      assert.equal("A1", assert(way.act(link)).accessToken)
      assert.equal(3, #service.sent)
    end)

    it("that the transport breaks off by raising costs the code", function()
      service.on_grant = function() error("the transport broke", 0) end
      local link = way.open()
      local ok, problem = pcall(way.act, link)
      assert.same({ false, "the transport broke" }, { ok, problem })
      assert.equal("auth", select(2, way.act(link)).kind)
      expect_end(with_code().auth:token())
      assert.same({ "C0" }, service.sent)
    end)

    it("that breaks off is not repeated by the call itself", function()
      service.on_grant = function() return { kind = "network", phase = "unknown" } end
      assert.is_nil(way.act(service:client { auth = { code = "C0" }, retries = 2 }))
      assert.same({ "C0" }, service.sent)
    end)

    it("is one where several links begin at once", function()
      local tasks = {}
      for i = 1, 3 do
        local link = way.open()
        tasks[i] = function() return way.act(link) end
      end
      local good = 0
      for _, entry in ipairs(run(tasks)) do
        good = good + (entry[1] and 1 or 0)
        assert.truthy(entry[1] or entry[2].message:find("sent before", 1, true), tostring(entry[2]))
      end
      assert.equal(name == "by hand" and 1 or 3, good)
      assert.same({ "C0" }, service.sent)
    end)
  end)
end

describe("a call that the service's wait keeps from the exchange", function()
  it("says when it may be tried again, and sends nothing", function()
    service.on_grant = function() return { status = 429, body = ERROR, headers = { ["retry-after"] = "20" } } end
    local first, second = with_code(), with_code()
    assert.is_nil(first.auth:token())
    for _, link in ipairs { first, second } do
      local err = expect_error(nil, select(2, link.auth:token()), "auth", "asked to wait")
      assert.same({ true, 20000 }, { err.retryable, err.retry_after_ms })
    end
    assert.same({ "C0" }, service.sent)
  end)
end)

-- --- by hand -----------------------------------------------------------------------------------------------------

describe("link.auth:exchange", function()
  it("raises where it is misused", function()
    local link = service:client()
    for _, code in ipairs { 5, {}, true, "" } do
      assert.error_matches(function() link.auth:exchange(code) end, "must be a string that is not empty")
    end
    assert.error_matches(function() link.auth:exchange() end, "must be a string that is not empty")
    assert.error_matches(function() link.auth.exchange("C0") end, "with a colon")
    link:close()
    assert.error_matches(function() link.auth:exchange("C0") end, "the client is closed")
    assert.same({}, service.sent)
  end)

  it("replaces a live set for all links of the store", function()
    local first, second = service:client(), service:client()
    assert(first.auth:token())
    assert(second.auth:token())
    local set = assert(first.auth:exchange("C0"))
    assert.same({ "A2", "R2", "Bearer" }, { set.accessToken, set.refreshToken, set.tokenType })
    assert.is_nil(tostring(set):find("A2", 1, true))
    assert.equal("A2", assert(second.auth:token()).accessToken)
    assert.equal("A3", assert(second.auth:rotate()).accessToken)
    assert.same({ "R0", "C0", "R2" }, service.sent)
  end)

  it("takes a code even where a configured one is left, which then stays", function()
    local link = service:client { auth = { code = "C1" } }
    assert(link.auth:exchange("C0"))
    service.on_grant = function(credential) return credential == "R1" and { status = 400, body = ERROR } or nil end
    service.refused_access.A1 = true
    assert(link.catalog:events())
    assert.same({ "C0", "R1", "C1" }, service.sent)
  end)

  it("leaves the set in force where the code is refused", function()
    local first, second = service:client(), service:client()
    assert(first.auth:token())
    expect_end(first.auth:exchange("unknown"))
    assert.equal("A1", assert(first.auth:token()).accessToken)
    assert.equal("A1", assert(second.auth:token()).accessToken)
    assert.same({ "R0", "unknown" }, service.sent)
  end)

  it("does not send a code that was sent before, from here or by another link, whatever came of it", function()
    local first, second = service:client(), service:client { auth = { code = "C1" } }
    assert(first.auth:exchange("C0"))
    assert.is_nil(second.auth:exchange("unknown"))
    assert(second.auth:exchange("C1"))
    for _, code in ipairs { "C0", "C1", "unknown" } do
      for _, link in ipairs { first, second, service:client() } do
        local err = expect_error(nil, select(2, link.auth:exchange(code)), "auth", "was sent before")
        assert.same({ false, 0 }, { err.retryable, err.attempts })
      end
    end
    assert.same({ "C0", "unknown", "C1" }, service.sent)
    assert.equal("A2", stored().accessToken)
  end)

  it("does not send a configured code that was used", function()
    local first, second = with_code(), service:client()
    assert(first.auth:token())
    expect_error(nil, select(2, first.auth:exchange("C0")), "auth", "was sent before")
    expect_error(nil, select(2, second.auth:exchange("C0")), "auth", "was sent before")
    assert.same({ "C0" }, service.sent)
  end)

  for _, how in ipairs(faulty_store.WAYS) do
    for _, step in ipairs { { "add", "/lock/" }, { "get", "/token/" }, { "get", "/spent/" }, { "add", "/spent/" } } do
      it(("leaves a code that was not sent because %s of %s failed (%s)"):format(step[1], step[2], how), function()
        local link = service:client()
        fail_once(step[1], step[2], how)
        local ok, set, err = pcall(link.auth.exchange, link.auth, "C0")
        if ok then
          assert.equal("not_sent", expect_error(set, err, "store", "").outcome)
        else
          assert.equal(faulty_store.RAISED, set)
        end
        assert.same({}, service.sent)
        assert.equal("A1", assert(link.auth:exchange("C0")).accessToken)
        assert.same({ "C0" }, service.sent)
      end)
    end

    it("leaves a code that never left because the lock could not be kept (" .. how .. ")", function()
      local link = service:client()
      service.on_grant = function(_, number)
        if number == 1 then
          clock:sleep(20000)
          return { kind = "network", phase = "not_sent" }
        end
      end
      fail_once("replace", "/lock/", how)
      local ok, set, err = pcall(link.auth.exchange, link.auth, "C0")
      if ok then
        assert.equal("not_sent", expect_error(set, err, "store", "").outcome)
      else
        assert.equal(faulty_store.RAISED, set)
      end
      assert.equal("A1", assert(link.auth:exchange("C0")).accessToken)
      assert.same({ "C0", "C0" }, service.sent)
    end)

    it("has its pair stored by the next call where that failed (" .. how .. ")", function()
      local link, other = service:client(), service:client()
      assert(link.auth:token())
      fail_always("replace", "/token/", how)
      local ok, set, err = pcall(link.auth.exchange, link.auth, "C0")
      if not ok then
        assert.equal(faulty_store.RAISED, set)
      else
        assert.is_nil(expect_error(set, err, "store", "").outcome)
      end
      store.watch()
      assert.equal("A2", assert(link.auth:token()).accessToken)
      assert.equal("A2", stored().accessToken)
      assert.equal("A2", assert(other.auth:token()).accessToken)
      assert.same({ "R0", "C0" }, service.sent)
    end)
  end

  it("is stored at once by a store that failed for a moment", function()
    local link = service:client()
    fail_once("add", "/token/", "fail")
    assert.equal("A1", assert(link.auth:exchange("C0")).accessToken)
    assert.equal("A1", stored().accessToken)
  end)

  for renewals = 0, 3 do
    it(("wins over what another link renewed %d times before its pair was stored"):format(renewals), function()
      local link, other = service:client(), service:client()
      assert(link.auth:token())
      fail_always("replace", "/token/", "fail")
      assert.is_nil(link.auth:exchange("C0"))
      store.watch()
      for _ = 1, renewals do
        assert(other.auth:rotate())
      end
      for _ = 1, 2 do
        assert.equal("A2", assert(link.auth:token()).accessToken)
        assert.equal("A2", assert(other.auth:token()).accessToken)
      end
      assert.equal("A2", stored().accessToken)
      assert.equal(("A%d"):format(3 + renewals), assert(other.auth:rotate()).accessToken)
      assert.equal("R2", service.sent[#service.sent])
      assert.equal(0, service.reused)
    end)
  end

  it("tells all of the time that the service asks for, which ends none of its own", function()
    service.on_grant = function(_, number)
      return number == 1 and { status = 429, body = ERROR, headers = { ["retry-after"] = "20" } } or nil
    end
    local link, other = service:client { retries = 0 }, service:client()
    expect_error(nil, select(2, link.auth:exchange("C0")), "rate_limit", "429")
    expect_error(nil, select(2, other.auth:token()), "auth", "asked to wait")
    assert.equal("A1", assert(link.auth:exchange("C0")).accessToken)
    assert.equal("A1", assert(other.auth:token()).accessToken)
  end)

  for name, is_same in pairs { ["another link"] = false, ["another task of its link"] = true } do
    -- The results of the renewal and of the exchange that begins meanwhile, and who renewed.
    local function exchange_during_renewal()
      local link = service:client()
      local other = is_same and link or service:client()
      service.answer_ms = 500
      return run {
        function() return other.auth:token() end,
        function()
          clock:sleep(100)
          return link.auth:exchange("C0")
        end,
      }, other
    end

    it("comes after a renewal that is under way by " .. name .. ", and wins", function()
      local results, other = exchange_during_renewal()
      assert.equal("A1", results[1][1].accessToken)
      assert.equal("A2", assert(results[2][1], tostring(results[2][2])).accessToken)
      assert.equal("A2", assert(other.auth:token()).accessToken)
      assert.same({ "R0", "C0" }, service.sent)
    end)

    it("that fails is no failure of a call that waits for it in " .. name, function()
      service.on_grant = function(credential) return credential == "C0" and { status = 500, body = ERROR } or nil end
      local link = service:client()
      local other = is_same and link or service:client()
      service.answer_ms = 500
      local results = run {
        function()
          clock:sleep(100)
          return other.auth:token()
        end,
        function() return link.auth:exchange("C0") end,
      }
      expect_error(nil, results[2][2], "http", LOST)
      assert.equal("A1", assert(results[1][1], tostring(results[1][2])).accessToken)
      assert.same({ "C0", "R0" }, service.sent)
    end)

    it("is no part of the failure of a renewal that is under way by " .. name, function()
      service.on_grant = function(credential)
        return credential == "R0" and { status = 503, body = ERROR } or nil
      end
      local results, other = exchange_during_renewal()
      assert.equal("http", results[1][2].kind)
      assert.equal("A1", assert(results[2][1], tostring(results[2][2])).accessToken)
      assert.equal("A1", assert(other.auth:token()).accessToken)
      assert.same({ "R0", "C0" }, service.sent)
    end)
  end

  it("wins over a renewal that lost its lock, and whose pair comes later", function()
    local link, other = service:client(), service:client()
    assert(link.auth:token())
    service.on_grant = function(credential)
      if credential == "R1" then
        store.inner:remove(LOCK)
        assert.equal("A2", assert(link.auth:exchange("C0")).accessToken)
      end
    end
    assert.equal("A2", assert(other.auth:rotate()).accessToken)
    assert.equal("A2", assert(link.auth:token()).accessToken)
    assert.equal("A2", stored().accessToken)
  end)
end)
