local desk = require "support.desk"
local sandbox = require "paciolan.sandbox"

describe("sandbox: control calls and the object", function()
  local here

  before_each(function()
    here = desk.open()
  end)

  local function post(path, payload)
    return here:call("POST", "/_sandbox/" .. path, payload)
  end

  -- One of each call; the answers as text.
  local function play(seed)
    local other = desk.open { seed = seed }
    local texts = {}
    local function note(...)
      texts[#texts + 1] = select(3, other:call(...)).body
    end
    local tokens = other:free_tokens(2)
    note("GET", "/v1/catalog/events")
    note("GET", "/v1/listings/A3qnemZ")
    note("PUT", "/v1/tickets/lock", desk.lock_payload(tokens))
    note("POST", "/v1/cart/complete-order", desk.order_payload(tokens))
    note("POST", "/v1/tickets/print", { externalOrderId = "O-1", tokens = tokens })
    note("GET", "/_sandbox/ledger")
    note("GET", "/_sandbox/world")
    return texts, other
  end

  it("gives the same answers, byte for byte, for the same seed", function()
    assert.same((play("one")), (play("one")))
  end)

  it("gives another world for another seed", function()
    local _, first = play("one")
    local _, second = play("two")
    assert.not_equal(first.box.inventory.seats[1].token, second.box.inventory.seats[1].token)
    assert.not_equal(first.tokens.accessToken, second.tokens.accessToken)
    assert.not_equal(first.box:credentials().api_key, second.box:credentials().api_key)
  end)

  it("reset brings the first world back", function()
    local _, before = here:call("GET", "/_sandbox/world")
    local tokens = here:free_tokens(1)
    here:sell(tokens)
    post("clock", { advance_s = 100 })
    assert.equal(200, (post("reset")))
    assert.equal(401, (here:call("GET", "/v1/listings/A3qnemZ")))
    local _, after = here:call("GET", "/_sandbox/world")
    before.authCodes, after.authCodes = nil, nil
    assert.same(before, after)
    assert.equal(0, #select(2, here:call("GET", "/_sandbox/ledger")).orders)
  end)

  it("world shows seats with owner and state, and no name or address", function()
    local tokens = here:free_tokens(1)
    here:call("PUT", "/v1/tickets/lock", desk.lock_payload(tokens, "L-7"))
    local status, world, answer = here:call("GET", "/_sandbox/world")
    assert.equal(200, status)
    local found
    for _, seat in ipairs(world.seats) do
      found = seat.token == tokens[1] and seat or found
    end
    assert.same({ "locked", "L-7" }, { found.state, found.externalListingId })
    assert.equal("A3qnemZ", world.listings[1].listingId)
    assert.equal(here.box:credentials().api_key, world.credentials.api_key)
    assert.is_nil(answer.body:find("@", 1, true))
  end)

  it("ledger counts requests by operation and status, control calls excepted", function()
    here:call("GET", "/v1/listings/A3qnemZ")
    here:call("GET", "/v1/listings/none")
    local _, body = here:call("GET", "/_sandbox/ledger")
    assert.equal(3, body.requestCount)
    assert.same({ "listings.get", 404, desk.REQUEST_ID },
      { body.requests[3].operation, body.requests[3].status, body.requests[3].requestId })
  end)

  it("tokens/expire ends access tokens, the refresh token stays good", function()
    post("tokens/expire")
    local _, body = here:call("GET", "/v1/listings/A3qnemZ")
    assert.equal("TOKEN_EXPIRED", body.error.type)
    local payload = { grantType = "refresh_token", refreshToken = here.tokens.refreshToken }
    assert.equal(200, (here:call("POST", "/v1/auth/token", payload)))
  end)

  it("tokens/revoke ends access tokens, and refresh tokens when asked", function()
    post("tokens/revoke")
    local _, body = here:call("GET", "/v1/listings/A3qnemZ")
    assert.equal("TOKEN_REVOKED", body.error.type)
    post("tokens/revoke", { refresh = true })
    local payload = { grantType = "refresh_token", refreshToken = here.tokens.refreshToken }
    assert.equal(401, (here:call("POST", "/v1/auth/token", payload)))
  end)

  local BAD_REVOCATIONS = {
    { "a token that is no text", { token = 5 } }, { "a family without a token", { family = true } },
    { "one token and all refresh tokens", { token = "x", refresh = true } }, { "a flag as text", { refresh = "yes" } },
    { "an unknown key", { tokens = true } },
  }
  for _, row in ipairs(BAD_REVOCATIONS) do
    it("tokens/revoke takes no " .. row[1] .. ", and revokes nothing then", function()
      assert.equal(400, (post("tokens/revoke", row[2])))
      assert.equal(200, (here:call("GET", "/v1/listings/A3qnemZ")))
    end)
  end

  it("tokens/revoke answers 404 to a token that was never issued, and does not quote it", function()
    for _, family in ipairs { false, true } do
      local status, _, answer = post("tokens/revoke", { token = "never-issued", family = family })
      assert.equal(404, status)
      assert.is_nil(answer.body:find("never-issued", 1, true))
    end
    assert.equal(200, (here:call("GET", "/v1/listings/A3qnemZ")))
  end)

  it("tokens/code issues a working code", function()
    local _, body = post("tokens/code")
    local payload = { grantType = "authorization_code", code = body.code }
    assert.equal(200, (here:call("POST", "/v1/auth/token", payload)))
  end)

  it("clock moves forward only", function()
    local _, body = post("clock", { advance_s = 60 })
    assert.equal(desk.NOW + 60, body.now)
    assert.equal(400, (post("clock", { advance_s = -1 })))
    assert.equal(400, (post("clock", {})))
  end)

  it("options change together or not at all", function()
    local status, body = post("options", { pending_polls = 3, token_lifetime_s = 10 })
    assert.same({ 200, 3, 10 }, { status, body.pending_polls, body.token_lifetime_s })
    assert.equal(400, (post("options", { pending_polls = 4, order_http_status = 418 })))
    assert.equal(400, (post("options", { colour = 1 })))
    assert.equal(3, here.box.options.pending_polls)
  end)

  it("takes only JSON objects", function()
    assert.equal(400, (post("options", "no")))
    assert.equal(400, (post("clock", "5")))
  end)

  it("new refuses options that it does not know or cannot use", function()
    assert.has_error(function() sandbox.new { colour = "red" } end)
    assert.has_error(function() sandbox.new { seed = 5 } end)
    assert.has_error(function() sandbox.new { pending_polls = -1 } end)
    assert.has_error(function() sandbox.new { token_lifetime_s = 0 } end)
    assert.has_error(function() sandbox.new { refresh_token_lifetime_s = -1 } end)
    assert.has_error(function() sandbox.new { code_lifetime_s = 0.5 } end)
  end)

  it("answers 500 to its own faults and tells them to on_error only", function()
    local told
    local broken = desk.open { on_error = function(message) told = message end }
    broken.box.inventory = nil
    local status, body = broken:call("GET", "/v1/listings/A3qnemZ")
    assert.equal(500, status)
    assert.equal("UNHANDLED_EXCEPTION", body.error.type)
    assert.truthy(told:find("nil value", 1, true))
  end)

  it("keeps the newest requests when the ledger is full", function()
    local ledger = require("paciolan.sandbox.ledger").new(function() return 0 end)
    for i = 1, 10001 do
      ledger:add_request(tostring(i), "listings.get", 200)
    end
    local view = ledger:view({})
    assert.same({ 10001, 5001, "10001" },
      { view.requestCount, #view.requests, view.requests[#view.requests].requestId })
  end)
end)
