--- The life of a token, against the sandbox over sockets. How often the service was asked is read from its own ledger.

local cjson = require("cjson").new()
local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")
local errors = require("paciolan.errors")
local market = require("support.market")
local paciolan = require("paciolan")
local peers = require("support.peers")
local scripted = require("support.scripted")

-- When a token ends, as the service writes it.
local function in_seconds(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(core.now_ms() / 1000) + seconds) .. ".000000000Z"
end

-- In a task others run meanwhile; elsewhere nothing is waited for.
local function give_way(ms)
  local loop = concurrent.loop()
  if loop then
    loop:sleep(ms)
  end
end

-- A store in memory with hooks, each called with the key. `hooks.get` runs between the reading of a value and its
-- delivery, `hooks.write` before anything is written, `hooks.keep` before a token set is; what a hook returns is the
-- error of the write.
local function store_with(hooks, inner)
  inner = inner or paciolan.store.memory()
  local function run(name, key)
    return hooks[name] and hooks[name](key)
  end
  local store = {}
  function store.get(_, key)
    local value = inner:get(key)
    run("get", key)
    return value
  end
  for _, name in ipairs { "put", "add", "replace", "remove" } do
    store[name] = function(_, key, ...)
      local err = run("write", key) or (key:find("^paciolan/token/") and run("keep", key))
      if err then
        return nil, err
      end
      return inner[name](inner, key, ...)
    end
  end
  return store
end

describe("the token of a link", function()
  local place, link, seen

  before_each(function()
    seen = {}
    place = market.open(nil, { on_event = function(event) seen[#seen + 1] = event end })
    link = place.link
  end)

  after_each(function()
    place:close()
    peers.stop_all()
  end)

  -- How often codes were exchanged and refresh tokens used, and how often the service refused.
  local function expect_counts(exchanged, refreshed, refused)
    local counts = place:ledger().tokens
    assert.same({ exchanged, refreshed, refused or 0 }, { counts.exchanged, counts.refreshed, counts.refused })
    assert.equal(exchanged + refreshed + (refused or 0), #place:requests("auth.token"))
  end

  local function expect_auth_error(result, err)
    assert.is_nil(result)
    assert.is_true(errors.is(err))
    assert.equal("auth", err.kind, tostring(err))
    return err
  end

  local function expect_end(result, err)
    err = expect_auth_error(result, err)
    assert.truthy(err.message:find("a new authorization code is needed", 1, true), err.message)
    assert.is_false(err.retryable)
    return err
  end

  local function control(what, payload)
    place.box:control("POST", "/_sandbox/" .. what, payload or {})
  end

  -- A second client with a store of its own and a token set of the first, which ends when the test says so.
  local function client_with_set(seconds_left, more)
    local set = assert(link.auth:token())
    local options = { store = paciolan.store.memory(), auth = {
      access_token = set.accessToken, refresh_token = set.refreshToken, expiration = in_seconds(seconds_left),
    } }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return place:client(options), set
  end

  describe("at the start", function()
    it("is nothing: no request is made before the first call", function()
      expect_counts(0, 0)
    end)

    it("comes from the authorization code, exchanged once for all calls", function()
      for _ = 1, 3 do
        assert(link.catalog:events())
      end
      assert(link.tickets:unlock { tokens = place:tokens(1) })
      assert(link.auth:token())
      expect_counts(1, 0)
    end)

    it("may be a configured one, used until it ends", function()
      local set = assert(link.auth:token())
      local other = place:client { store = paciolan.store.memory(),
        auth = { access_token = set.accessToken, expiration = set.expiration } }
      assert(other.catalog:events())
      assert.equal(set.accessToken, other.auth:token().accessToken)
      expect_counts(1, 0)
    end)

    it("may come from a configured refresh token", function()
      local set = assert(link.auth:token())
      local other = place:client { store = paciolan.store.memory(), auth = { refresh_token = set.refreshToken } }
      assert(other.catalog:events())
      assert(other.catalog:events())
      assert.are_not.equal(set.accessToken, other.auth:token().accessToken)
      expect_counts(1, 1)
    end)

    it("cannot come from nothing", function()
      local err = expect_auth_error(place:client { auth = {} }.catalog:events())
      assert.truthy(err.message:find("auth.code", 1, true))
      expect_counts(0, 0)
    end)

    it("cannot come from a code that was used before; the code is not tried again", function()
      assert(link.auth:token())
      local other = place:client { store = paciolan.store.memory() }
      expect_end(other.catalog:events())
      expect_end(other.catalog:events())
      expect_end(other.auth:token())
      expect_end(other.auth:rotate())
      expect_counts(1, 0, 1)
    end)
  end)

  describe("that has ended", function()
    it("is renewed once by the service's word, and the call repeated once", function()
      local first = assert(link.auth:token()).accessToken
      control("clock", { advance_s = 3601 })
      local events, _, response = link.catalog:events()
      assert.is_table(events)
      assert.equal(2, response.attempts)
      expect_counts(1, 1)
      assert.are_not.equal(first, link.auth:token().accessToken)
      _, _, response = link.catalog:events()
      assert.equal(1, response.attempts)
      expect_counts(1, 1)
    end)

    it("is renewed again and again, each refresh token used once", function()
      local known = {}
      for round = 1, 5 do
        local set = assert(link.auth:token())
        assert.is_nil(known[set.refreshToken])
        known[set.refreshToken] = true
        control("tokens/expire")
        assert(link.tickets:unlock { tokens = place:tokens(1) })
        expect_counts(1, round)
      end
      assert.equal(0, place:ledger().tokens.families_revoked)
    end)

    it("is not sent when the client can see that it ended", function()
      local other = client_with_set(-1)
      local _, _, response = other.catalog:events()
      assert.equal(200, response.status)
      expect_counts(1, 1)
      assert.equal(1, #place:requests("catalog.events"))
    end)

    it("is not sent either when the clocks are known to differ", function()
      local other = client_with_set(3600, { clock_skew_ms = 3600 * 1000 + 1 })
      assert(other.catalog:events())
      expect_counts(1, 1)
      assert.equal(1, #place:requests("catalog.events"))
    end)

    it("leads to a sale sent once more, and only because the service refused the first", function()
      local tokens = place:tokens(1)
      assert(link.tickets:lock(market.lock_payload(tokens, "L-1")))
      control("tokens/expire")
      local order, _, response = link.orders:complete(market.order_payload(tokens, "L-1", "O-1"))
      assert.equal("COMPLETE", order.status)
      assert.equal(2, response.attempts)
      local statuses = {}
      for i, request in ipairs(place:requests("orders.complete")) do
        statuses[i] = request.status
      end
      assert.same({ 401, 200 }, statuses)
      assert.equal(1, #place:ledger().orders)
    end)
  end)

  describe("that is about to end", function()
    it("is renewed before the call in its last minute", function()
      local other, set = client_with_set(30)
      assert(other.catalog:events())
      assert(other.catalog:events())
      expect_counts(1, 1)
      assert.are_not.equal(set.accessToken, other.auth:token().accessToken)
    end)

    it("is renewed in its last five minutes", function()
      local other, set = client_with_set(180)
      assert(other.catalog:events())
      assert.are_not.equal(set.accessToken, other.auth:token().accessToken)
      expect_counts(1, 1)
    end)

    it("is left alone before", function()
      local other, set = client_with_set(500)
      assert(other.catalog:events())
      assert.equal(set.accessToken, other.auth:token().accessToken)
      expect_counts(1, 0)
    end)

    it("is used to its end when there is nothing to renew it with", function()
      local set = assert(link.auth:token())
      local other = place:client { store = paciolan.store.memory(),
        auth = { access_token = set.accessToken, expiration = in_seconds(30) } }
      assert(other.catalog:events())
      expect_counts(1, 0)
    end)

    -- A peer stands for the service: token calls fail, everything else works.
    for _, row in ipairs { { "five minutes", 180 }, { "minute", 30 } } do
      it("goes on to serve when a renewal in its last " .. row[1] .. " fails, and no call insists", function()
        local peer = peers.start {
          { status = 500, body = "{}" }, { body = '[{"itemCode":"1"}]' }, { body = '[{"itemCode":"2"}]' },
        }
        local other = place:client { base_url = peer.url, store = paciolan.store.memory(),
          auth = { access_token = "old", refresh_token = "refresh", expiration = in_seconds(row[2]) } }
        assert.equal("1", assert(other.catalog:events())[1].itemCode)
        assert.equal("2", assert(other.catalog:events())[1].itemCode)
        local requests = peer:requests()
        assert.equal(3, #requests)
        assert.equal("/v1/auth/token", requests[1].path)
        assert.equal("Bearer old", requests[2].headers.authorization)
        assert.equal("Bearer old", requests[3].headers.authorization)
      end)
    end

    it("goes on to serve when the renewal is refused", function()
      local other, set = client_with_set(180)
      assert(link.auth:rotate()) -- now the refresh token of `other` is used up
      assert(other.auth:token())
      assert.equal(set.accessToken, other.auth:token().accessToken)
      expect_counts(1, 1, 1)
    end)
  end)

  describe("that was revoked", function()
    it("is renewed once", function()
      assert(link.auth:token())
      control("tokens/revoke")
      local _, err, response = link.catalog:events()
      assert.is_nil(err)
      assert.equal(2, response.attempts)
      expect_counts(1, 1)
    end)

    it("with its refresh token ends in an error that says what is needed", function()
      assert(link.auth:token())
      control("tokens/revoke", { refresh = true })
      local err = expect_end(link.catalog:events())
      assert.equal(1, err.attempts)
      assert.equal("catalog.events", err.operation)
      expect_counts(1, 0, 1)
      expect_end(link.catalog:events())
      expect_end(link.auth:token())
      expect_end(link.auth:rotate())
      expect_counts(1, 0, 1) -- neither the token nor the refresh token was shown again
      assert.equal(1, #place:requests("catalog.events"))
    end)

    it("tells a write that was never accepted", function()
      assert(link.auth:token())
      control("tokens/revoke", { refresh = true })
      local tokens = place:tokens(1)
      local payload = market.order_payload(tokens, "L-1", "O-1")
      local err = expect_end(link.orders:complete(payload))
      assert.equal("rejected", err.outcome)
      err = expect_end(link.orders:complete(payload))
      assert.equal("not_sent", err.outcome)
      assert.equal(1, #place:requests("orders.complete"))
    end)

    it("by a refresh token that was used twice ends for all who hold the family", function()
      local other = client_with_set(3600)
      assert(link.auth:rotate())
      expect_auth_error(other.auth:rotate()) -- the same refresh token again
      assert.equal(1, place:ledger().tokens.families_revoked)
      expect_end(link.catalog:events())
      expect_end(other.catalog:events())
    end)

    it("comes back when there is a code left", function()
      local set = assert(link.auth:token())
      local other = place:client { store = paciolan.store.memory(), auth = {
        access_token = set.accessToken, refresh_token = set.refreshToken, expiration = set.expiration,
        code = place.box:new_auth_code(),
      } }
      control("tokens/revoke", { refresh = true })
      local _, err, response = other.catalog:events()
      assert.is_nil(err, tostring(err))
      assert.equal(2, response.attempts)
      expect_counts(2, 0, 1)
    end)

    it("comes back in a new link with a new code or a new refresh token, on the same store", function()
      local store = paciolan.store.memory()
      local first = place:client { store = store }
      assert(first.auth:token())
      control("tokens/revoke", { refresh = true })
      expect_end(first.catalog:events())
      local second = place:client { store = store, auth = { code = place.box:new_auth_code() } }
      assert(second.catalog:events())
      assert(first.catalog:events()) -- it finds the new set in the store
      control("tokens/revoke", { refresh = true })
      expect_end(second.catalog:events())
      local set = assert(place:client({ store = paciolan.store.memory(),
        auth = { code = place.box:new_auth_code() } }).auth:token())
      local third = place:client { store = store, auth = { refresh_token = set.refreshToken } }
      assert(third.catalog:events())
      assert.equal(0, place:ledger().tokens.families_revoked)
    end)
  end)

  describe("when the token call fails", function()
    local settings

    before_each(function()
      settings = { store = paciolan.store.memory(), auth = { refresh_token = "refresh" } }
    end)

    local FRESH = { body = '{"accessToken":"new","refreshToken":"next","expiration":"2099-01-01T00:00:00Z"}' }
    local EVENTS = { body = "[]" }

    for _, row in ipairs {
      { "breaks off", { close = "after_read" }, "network" },
      { "fails in the service", { status = 503, body = '{"error":"busy"}' }, "http" },
      { "does not find its path", { status = 404, body = '{"error":"no such path"}' }, "auth" },
      { "brings a page", { body = "<html></html>" }, "protocol" },
      { "brings no token", { body = "{}" }, "protocol" },
      { "brings a token that fits in no header", { body = '{"accessToken":"a\\r\\nX: y"}' }, "protocol" },
    } do
      it("because it " .. row[1] .. ", the call fails so, and the next one tries again", function()
        local peer = peers.start { row[2], FRESH, EVENTS }
        settings.base_url = peer.url
        local other = place:client(settings)
        local result, err = other.catalog:events()
        assert.is_nil(result)
        assert.equal(row[3], err.kind, tostring(err))
        assert.equal("catalog.events", err.operation)
        assert.equal(1, #peer:requests())
        assert(other.catalog:events())
        local requests = peer:requests()
        assert.equal(3, #requests)
        assert.equal("refresh", cjson.decode(requests[2].body).refreshToken)
        assert.equal("Bearer new", requests[3].headers.authorization)
      end)
    end

    it("because the service asks to wait, nothing is sent meanwhile", function()
      local peer = peers.start { { status = 429, headers = { { "Retry-After", "60" } }, body = '{"error":"wait"}' } }
      settings.base_url = peer.url
      local other = place:client(settings)
      local result, err = other.tickets:unlock { tokens = { "T" } }
      assert.is_nil(result)
      assert.equal("rate_limit", err.kind)
      assert.equal("not_sent", err.outcome)
      err = expect_auth_error(other.tickets:unlock { tokens = { "T" } })
      assert.equal("not_sent", err.outcome)
      assert.is_true(err.retryable)
      assert.is_true(err.retry_after_ms > 0 and err.retry_after_ms <= 60000)
      assert.equal(1, #peer:requests())
    end)
  end)

  describe("rotated by hand", function()
    it("is a new pair, whatever its age", function()
      local first = assert(link.auth:token())
      local second = assert(link.auth:rotate())
      assert.are_not.equal(first.accessToken, second.accessToken)
      assert.are_not.equal(first.refreshToken, second.refreshToken)
      assert.equal(second.accessToken, link.auth:token().accessToken)
      assert(link.catalog:events())
      expect_counts(1, 1)
    end)

    it("is the exchange of the code when there is nothing else", function()
      assert(link.auth:rotate())
      expect_counts(1, 0)
    end)

    it("is an error when the refresh token is refused, and then says what is needed", function()
      assert(link.auth:token())
      control("tokens/revoke", { refresh = true })
      expect_end(link.auth:rotate())
      expect_end(link.auth:rotate())
      expect_counts(1, 0, 1)
    end)
  end)

  describe("in a store", function()
    it("serves every link of that store, and so does its successor", function()
      local store = paciolan.store.memory()
      local first, second = place:client { store = store }, place:client { store = store }
      assert(first.catalog:events())
      assert(second.catalog:events())
      expect_counts(1, 0)
      local renewed = assert(second.auth:rotate())
      assert.equal(renewed.accessToken, first.auth:token().accessToken)
      control("tokens/expire")
      assert(first.catalog:events())
      assert(second.catalog:events())
      expect_counts(1, 2)
    end)

    it("outlives the link", function()
      local store = paciolan.store.memory()
      local first = place:client { store = store }
      assert(first.catalog:events())
      first:close()
      assert(place:client({ store = store, auth = {} }).catalog:events())
      expect_counts(1, 0)
    end)

    it("is the same for another spelling of the service's address", function()
      local store = paciolan.store.memory()
      assert(place:client({ store = store }).auth:token())
      local shouted = place.box.base_url:upper()
      assert(place:client({ store = store, auth = {}, base_url = shouted .. "/" }).catalog:events())
      expect_counts(1, 0)
    end)

    it("is not shared with another application or service", function()
      local store = paciolan.store.memory()
      assert(place:client({ store = store }).auth:token())
      expect_auth_error(place:client({ store = store, auth = {}, application_id = "com.other.app" }).auth:token())
      expect_auth_error(place:client({ store = store, auth = {}, base_url = place.box.base_url .. "/x" }).auth:token())
    end)

    it("that fails makes an error of kind store, and the new pair is not lost", function()
      local store = paciolan.store.memory()
      local is_broken = false
      local fragile = store_with({ keep = function()
        if is_broken then
          return errors.store("the disk is full")
        end
      end }, store)
      local other = place:client { store = fragile }
      is_broken = true
      local result, err = other.tickets:unlock { tokens = place:tokens(1) }
      assert.is_nil(result)
      assert.equal("store", err.kind)
      assert.equal("not_sent", err.outcome)
      is_broken = false
      assert(other.catalog:events())
      expect_counts(1, 0)
    end)
  end)

  it("stands in no event, no error and no text", function()
    local secrets = { place.box.api_key, place.box.auth_code }
    local texts = {}
    local function keep(set)
      secrets[#secrets + 1], secrets[#secrets + 2] = set.accessToken, set.refreshToken
      texts[#texts + 1] = tostring(set)
    end
    local function keep_error(_, err)
      texts[#texts + 1] = tostring(err)
      local plain = {}
      for name, value in pairs(err) do
        plain[name] = value
      end
      texts[#texts + 1] = cjson.encode(plain)
    end
    keep(assert(link.auth:token()))
    keep(assert(link.auth:rotate()))
    control("tokens/expire")
    assert(link.catalog:events())
    keep(assert(link.auth:token()))
    control("tokens/revoke", { refresh = true })
    keep_error(link.catalog:events())
    keep_error(link.auth:token())
    keep_error(link.auth:rotate())
    texts[#texts + 1] = tostring(link) .. tostring(link.auth)
    for _, event in ipairs(seen) do
      texts[#texts + 1] = cjson.encode(event)
    end
    local text = table.concat(texts, "\n")
    assert.equal(8, #secrets)
    for _, secret in ipairs(secrets) do
      assert.is_nil(text:find(secret, 1, true))
    end
    local steps = {}
    for _, event in ipairs(seen) do
      if event.type == "rotation" then
        steps[#steps + 1] = event.step .. " " .. tostring(event.ok)
      end
    end
    assert.same({ "exchange true", "refresh true", "refresh true", "refresh false" }, steps)
  end)
end)

-- --- renewals of one client: hooks, stores that yield or raise, deadlines, tasks ----------------------------------

local FAR = "2099-01-01T00:00:00.000000000Z"

-- A client of a service that takes each refresh token once, beginning with R0, or of one that answers token calls with
-- `answer`. `sent` lists the refresh tokens and `timeouts_ms` the time each token call was given.
local function single_use(overrides, answer)
  local service = { sent = {}, timeouts_ms = {}, reused = 0, current = "R0", calls = 0 }
  local function grant(request)
    local token = cjson.decode(request.body).refreshToken
    service.sent[#service.sent + 1] = token
    service.timeouts_ms[#service.timeouts_ms + 1] = request.timeout_ms
    give_way(5)
    if answer then
      return answer
    elseif token ~= service.current then
      service.reused = service.reused + 1
      return { status = 400, body = '{"error":{"type":"X"}}' }
    end
    service.current = ("R%d"):format(#service.sent)
    return { status = 200, body = cjson.encode { accessToken = ("A%d"):format(#service.sent), expiration = FAR,
      refreshToken = service.current, tokenType = "Bearer" } }
  end
  local settings = { auth = { refresh_token = "R0" }, organization_id = "999" }
  for name, value in pairs(overrides or {}) do
    settings[name] = value
  end
  local link, transport = scripted.client({ function(request)
    if request.url:find("/v1/auth/token", 1, true) then
      return grant(request)
    end
    service.calls = service.calls + 1
    service.authorization = scripted.header(request, "Authorization")
    return { status = 200, body = "[]" }
  end }, settings)
  transport.sleep = function(_, ms) give_way(ms) end
  return link, service, transport
end


local function run_tasks(count, task)
  local tasks = {}
  for i = 1, count do
    tasks[i] = function() return task(i) end
  end
  return paciolan.concurrent(tasks, { limit = count })
end

describe("the event of a rotation", function()
  it("keeps no hook waiting that asks for the token while the token call is under way", function()
    local link, told
    link = scripted.client({ { status = 503 }, { status = 503 } }, { auth = { refresh_token = "r-0001" }, retries = 0,
      on_event = function(event)
        if event.type == "request" and event.operation == "auth.token" then
          local _, err = link.auth:token()
          told = err
        end
      end })
    link.catalog:events({}, { organization_id = "999" })
    assert.equal("auth", told.kind)
    assert.equal("not_sent", told.outcome)
    assert.matches("a hook cannot wait", told.message, 1, true)
  end)

  it("comes when the new pair is stored: a hook gets it, without another token call", function()
    local link, service, told
    link, service = single_use { on_event = function(event)
      if event.type == "rotation" then
        told = { event.ok, (assert(link.auth:token())).accessToken }
      end
    end }
    assert(link.catalog:events())
    assert.same({ true, "A1" }, told)
    assert.same({ "R0" }, service.sent)
    assert(link.auth:rotate())
    assert.same({ true, "A2" }, told)
    assert.same({ "R0", "R1" }, service.sent)
  end)

  for name, fail in pairs {
    ["fails"] = function() return errors.store("full") end, ["raises"] = function() error("boom", 0) end,
  } do
    it("tells of a store that " .. name, function()
      local events = {}
      local link = single_use { store = store_with { keep = fail }, on_event = function(event)
        if event.type == "rotation" then
          events[#events + 1] = { event.ok, event.kind, event.step }
        end
      end }
      pcall(link.auth.token, link.auth)
      assert.same({ { false, "store", "refresh" } }, events)
    end)
  end
end)

describe("a refresh token goes out once", function()
  for name, hooks in pairs {
    ["writing yields"] = { write = function() give_way(7) end },
    ["reading yields"] = { get = function() give_way(7) end },
    ["reading and writing yield"] = { get = function() give_way(7) end, write = function() give_way(7) end },
  } do
    it("when the store's " .. name, function()
      local link, service = single_use { store = store_with(hooks) }
      local results = run_tasks(8, function(i)
        give_way(i * 2)
        return link.catalog:events()
      end)
      for _, entry in ipairs(results) do
        assert.is_table(entry[1], tostring(entry[2]))
      end
      assert.same({ "R0" }, service.sent)
    end)
  end

  it("when the store raises, which is raised on; the pair is stored by the next call", function()
    local hooks = { keep = function() error("the disk is gone", 0) end }
    local link, service = single_use { store = store_with(hooks) }
    for _ = 1, 2 do
      local ok, problem = pcall(link.catalog.events, link.catalog)
      assert.is_false(ok)
      assert.equal("the disk is gone", problem)
    end
    hooks.keep = nil
    assert(link.catalog:events())
    assert.equal("Bearer A1", service.authorization)
    assert.same({ "R0" }, service.sent)
  end)

  it("when a pair that the store refused is written by several tasks", function()
    local is_broken, writes = true, 0
    local link, service = single_use { store = store_with {
      get = function() give_way(1) end,
      keep = function()
        writes = writes + 1
        give_way(7)
        return is_broken and errors.store("full") or nil
      end,
    } }
    for _, entry in ipairs(run_tasks(6, function() return link.catalog:events() end)) do
      assert.equal("store", entry[2].kind)
    end
    assert.equal(10, writes) -- all by the one that renews
    is_broken = false
    for _, entry in ipairs(run_tasks(6, function() return link.catalog:events() end)) do
      assert.is_table(entry[1], tostring(entry[2]))
    end
    assert.equal(11, writes)
    assert.same({ "R0" }, service.sent)
  end)

  it("when several tasks rotate", function()
    local link, service = single_use()
    for _, entry in ipairs(run_tasks(3, function() return link.auth:rotate() end)) do
      assert.is_table(entry[1], tostring(entry[2]))
    end
    assert.same({ "R0", "R1", "R2" }, service.sent)
    assert.equal(0, service.reused)
  end)
end)

describe("the token call of a call with a short deadline", function()
  it("has the client's own time for its answer", function()
    local link, service = single_use { timeout_ms = 7000 }
    assert(link.catalog:events({}, { deadline_ms = 900, timeout_ms = 100 }))
    assert.same({ 7000 }, service.timeouts_ms)
  end)

  it("has the client's deadline where that is shorter", function()
    local link, service = single_use { deadline_ms = 5000 }
    assert(link.catalog:events({}, { deadline_ms = 900 }))
    assert.same({ 5000 }, service.timeouts_ms)
  end)

  it("has it in a repetition too", function()
    local link, service, transport = single_use({ retries = 1 }, { kind = "network", phase = "not_sent" })
    local waits = 0
    transport.sleep = function() waits = waits + 1 end
    local _, err = link.catalog:events({}, { deadline_ms = 5000 })
    assert.equal("network", err.kind)
    assert.same({ 1, 30000, 30000 }, { waits, service.timeouts_ms[1], service.timeouts_ms[2] })
  end)

  local function with_set(seconds_left)
    return { auth = { access_token = "old", refresh_token = "R0", expiration = in_seconds(seconds_left) } }
  end

  it("is left to a later one when the old token still serves", function()
    local link, service = single_use(with_set(180))
    assert(link.catalog:events({}, { deadline_ms = 900 }))
    assert.same({ "Bearer old", 0 }, { service.authorization, #service.sent })
    assert(link.catalog:events())
    assert.same({ "Bearer A1", 1 }, { service.authorization, #service.sent })
  end)

  it("is made in the token's last minute all the same", function()
    local link, service = single_use(with_set(30))
    assert(link.catalog:events({}, { deadline_ms = 900 }))
    assert.same({ "Bearer A1", 1 }, { service.authorization, #service.sent })
  end)

  it("is not begun after the deadline", function()
    local link, service = single_use()
    local set, err = link.auth:acquire { ends_at_ms = core.monotonic_ms(), retries = 2 }
    assert.is_nil(set)
    assert.same({ "timeout", "not_sent", true }, { err.kind, err.outcome, err.retryable })
    assert.same({}, service.sent)
  end)
end)

describe("a renewal that fails", function()
  for name, row in pairs {
    ["in the service"] = { { status = 503, body = '{"error":{"type":"X"}}' }, "http" },
    ["without an answer"] = { { kind = "timeout", phase = "unknown" }, "timeout" },
    ["because the service asks to wait"] = { { status = 429, headers = { ["retry-after"] = "60" },
      body = '{"error":{"type":"X"}}' }, "rate_limit" },
  } do
    it(name .. " fails for all tasks that waited for it", function()
      local link, service = single_use(nil, row[1])
      local results = run_tasks(16, function(i)
        if i % 2 == 0 then
          return link.tickets:unlock { tokens = { "T" } }
        end
        return link.catalog:events()
      end)
      for i, entry in ipairs(results) do
        local is_write = i % 2 == 0
        assert.same({ row[2], is_write and "tickets.unlock" or "catalog.events" },
          { entry[2].kind, entry[2].operation })
        assert.equal(is_write and "not_sent" or nil, entry[2].outcome)
        assert.truthy(entry[2].message:find("^token call: "))
      end
      assert.same({ "R0" }, service.sent)
      assert.equal(0, service.calls)
    end)
  end

  it("is tried again by a call that comes later", function()
    local link, service = single_use(nil, { status = 503, body = '{"error":{"type":"X"}}' })
    run_tasks(4, function() return link.catalog:events() end)
    run_tasks(4, function() return link.catalog:events() end)
    assert.same({ "R0", "R0" }, service.sent)
  end)

  it("gives each of those who waited an error of its own", function()
    local link, service = single_use(nil, { status = 503, body = '{"error":{"type":"X"}}' })
    local results = run_tasks(3, function(i)
      if i == 3 then
        return link.auth:rotate()
      end
      return link.auth:token()
    end)
    assert.equal(1, #service.sent)
    for i, entry in ipairs(results) do
      assert.same({ "http", 503, "auth.token" }, { entry[2].kind, entry[2].status, entry[2].operation })
      assert.are_not.equal(results[i % 3 + 1][2], entry[2])
    end
  end)

  it("lets all go on with a token that still serves", function()
    local link, service = single_use({
      auth = { access_token = "old", refresh_token = "R0", expiration = in_seconds(30) },
    }, { status = 503, body = '{"error":{"type":"X"}}' })
    for _, entry in ipairs(run_tasks(8, function() return link.catalog:events() end)) do
      assert.is_table(entry[1], tostring(entry[2]))
    end
    assert.same({ 1, 8, "Bearer old" }, { #service.sent, service.calls, service.authorization })
  end)

  it("because the refresh token is refused is not repeated with it", function()
    local link, service = single_use(nil, { status = 400, body = '{"error":{"type":"X"}}' })
    for _, entry in ipairs(run_tasks(8, function() return link.catalog:events() end)) do
      assert.equal("auth", entry[2].kind)
    end
    assert.same({ "R0" }, service.sent)
  end)
end)
