local desk = require "support.desk"

describe("sandbox: POST /v1/auth/token", function()
  local here

  before_each(function()
    here = desk.open()
  end)

  local function token(payload, changes)
    return here:call("POST", "/v1/auth/token", payload, changes)
  end

  local function refresh(value)
    return token { grantType = "refresh_token", refreshToken = value }
  end

  local function probe(access)
    local status, body = here:call("GET", "/v1/listings/A3qnemZ", nil, { authorization = "Bearer " .. access })
    return status, body.error and body.error.type
  end

  it("answers the sample's fields and nine fractional digits", function()
    assert.is_nil(desk.difference(desk.fixture("auth-token.response.200"), here.tokens))
    assert.equal("2023-11-14T23:13:20.250000000Z", here.tokens.expiration)
    assert.equal("Bearer", here.tokens.tokenType)
  end)

  it("does not ask for a bearer token, an API key or a channel", function()
    local code = here.box.tokens.codes[2]
    local status = token({ grantType = "authorization_code", code = code },
      { authorization = false, ["pac-api-key"] = false, ["pac-channel-code"] = false })
    assert.equal(200, status)
  end)

  it("takes a code once", function()
    local status, body = token { grantType = "authorization_code", code = here.box.tokens.codes[1] }
    assert.equal(401, status)
    assert.equal("string", type(body.error))
  end)

  it("rotates a refresh token and leaves the old access token good", function()
    local status, body = refresh(here.tokens.refreshToken)
    assert.equal(200, status)
    assert.not_equal(here.tokens.accessToken, body.accessToken)
    assert.not_equal(here.tokens.refreshToken, body.refreshToken)
    assert.equal(200, (probe(body.accessToken)))
    assert.equal(200, (probe(here.tokens.accessToken)))
  end)

  it("revokes the whole family when a refresh token is used again", function()
    local _, second = refresh(here.tokens.refreshToken)
    assert.equal(401, (refresh(here.tokens.refreshToken)))
    assert.same({ 401, "TOKEN_REVOKED" }, { probe(second.accessToken) })
    assert.equal(401, (refresh(second.refreshToken)))
    assert.equal(1, here.box.tokens.counts.families_revoked)
  end)

  it("leaves other families alone when one is revoked", function()
    local _, other = token { grantType = "authorization_code", code = here.box.tokens.codes[2] }
    refresh(here.tokens.refreshToken)
    refresh(here.tokens.refreshToken)
    assert.equal(200, (probe(other.accessToken)))
  end)

  it("ends access tokens at their expiration, to the second", function()
    here.box:advance(3599)
    assert.equal(200, (probe(here.tokens.accessToken)))
    here.box:advance(1)
    assert.same({ 401, "TOKEN_EXPIRED" }, { probe(here.tokens.accessToken) })
  end)

  it("gives tokens the configured lifetime", function()
    local short = desk.open { token_lifetime_s = 5 }
    assert.equal("2023-11-14T22:13:25.250000000Z", short.tokens.expiration)
  end)

  it("tells an unknown from a missing token", function()
    assert.same({ 401, "UNAUTHORIZED" }, { probe("nonsense") })
    local status, body = here:call("GET", "/v1/listings/A3qnemZ", nil, { authorization = false })
    assert.equal(401, status)
    assert.equal("MS-401", body.error.appErrorCode)
  end)

  it("accepts no other scheme than Bearer", function()
    local status = here:call("GET", "/v1/listings/A3qnemZ", nil, { authorization = "Basic dGVzdDp0ZXN0" })
    assert.equal(401, status)
  end)

  local REFUSED = {
    { "no grant type", { code = "x" } },
    { "an unknown grant type", { grantType = "password", code = "x" } },
    { "a code grant without a code", { grantType = "authorization_code", refreshToken = "x" } },
    { "a refresh grant without a refresh token", { grantType = "refresh_token", code = "x" } },
    { "a code that is no string", { grantType = "authorization_code", code = 5 } },
    { "an unknown field", { grantType = "authorization_code", code = "x", scope = "all" } },
    { "a list", "[]" },
    { "a text that is not JSON", "{grantType}" },
    { "no body", "" },
  }
  for _, row in ipairs(REFUSED) do
    it("refuses " .. row[1] .. " with 400 and a text", function()
      local status, body = token(row[2])
      assert.equal(400, status)
      assert.is_nil(desk.difference(desk.fixture("derived/auth-token.response.error"), body))
    end)
  end

  it("puts header errors into the text form as well", function()
    local status, body = token({ grantType = "authorization_code", code = "x" }, { ["request-id"] = false })
    assert.equal(400, status)
    assert.truthy(body.error:find("Request-ID", 1, true))
  end)

  it("counts without keeping any token in the ledger", function()
    refresh(here.tokens.refreshToken)
    local _, ledger, answer = here:call("GET", "/_sandbox/ledger")
    assert.same({ exchanged = 1, refreshed = 1, refused = 0, families_revoked = 0 }, ledger.tokens)
    assert.is_nil(answer.body:find(here.tokens.refreshToken, 1, true))
  end)
end)
