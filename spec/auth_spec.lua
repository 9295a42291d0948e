--- The life of a token, against the sandbox over sockets. How often the service was asked is read from its own ledger.

local cjson = require("cjson").new()
local core = require("paciolan.core")
local errors = require("paciolan.errors")
local market = require("support.market")
local paciolan = require("paciolan")
local peers = require("support.peers")

-- When a token ends, as the service writes it.
local function in_seconds(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(core.now_ms() / 1000) + seconds) .. ".000000000Z"
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

    it("is not shared with another application or service", function()
      local store = paciolan.store.memory()
      assert(place:client({ store = store }).auth:token())
      expect_auth_error(place:client({ store = store, auth = {}, application_id = "com.other.app" }).auth:token())
      expect_auth_error(place:client({ store = store, auth = {}, base_url = place.box.base_url .. "/x" }).auth:token())
    end)

    it("that fails makes an error of kind store, and the new pair is not lost", function()
      local store = paciolan.store.memory()
      local is_broken = false
      local fragile = { put = function(_, ...)
        if is_broken then
          return nil, errors.store("the disk is full")
        end
        return store:put(...)
      end }
      setmetatable(fragile, { __index = function(_, name)
        return function(_, ...) return store[name](store, ...) end
      end })
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
