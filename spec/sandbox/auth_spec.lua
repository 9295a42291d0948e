local cjson = require("cjson").new()
local core = require "paciolan.core"
local curl = require "paciolan.transport.curl"
local desk = require "support.desk"
local program = require "support.program"
local sandboxes = require "paciolan.sandbox.child"
local socket = require "socket"

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

  it("revokes what came from a code when the code is used again, once", function()
    local code = here.box.tokens.codes[1]
    local _, second = refresh(here.tokens.refreshToken)
    for _ = 1, 2 do
      local status, body = token { grantType = "authorization_code", code = code }
      assert.equal(401, status)
      assert.truthy(body.error:find("used before", 1, true), body.error)
      assert.is_nil(body.error:find(code, 1, true))
    end
    assert.same({ 401, "TOKEN_REVOKED" }, { probe(here.tokens.accessToken) })
    assert.same({ 401, "TOKEN_REVOKED" }, { probe(second.accessToken) })
    assert.equal(401, (refresh(second.refreshToken)))
    assert.same({ exchanged = 1, refreshed = 1, refused = 3, families_revoked = 1 }, here.box.tokens.counts)
  end)

  it("revokes nothing for a code that is unknown or expired", function()
    local brief = desk.open { code_lifetime_s = 60 }
    brief.box:advance(60)
    for _, code in ipairs { "code-nonsense", brief.box.tokens.codes[2] } do
      assert.equal(401, (brief:call("POST", "/v1/auth/token", { grantType = "authorization_code", code = code })))
    end
    assert.equal(200, (brief:call("GET", "/v1/listings/A3qnemZ")))
    assert.equal(0, brief.box.tokens.counts.families_revoked)
  end)

  it("ends codes and refresh tokens at their configured lifetime, to the second", function()
    local brief = desk.open { code_lifetime_s = 60, refresh_token_lifetime_s = 60 }
    local codes = brief.box.tokens.codes
    local function status_of(payload)
      return (brief:call("POST", "/v1/auth/token", payload))
    end
    brief.box:advance(59)
    assert.equal(19, #select(2, brief:call("GET", "/_sandbox/world")).authCodes)
    assert.equal(200, status_of { grantType = "authorization_code", code = codes[2] })
    brief.box:advance(1)
    assert.equal(0, #select(2, brief:call("GET", "/_sandbox/world")).authCodes)
    assert.equal(401, status_of { grantType = "authorization_code", code = codes[3] })
    assert.equal(401, status_of { grantType = "refresh_token", refreshToken = brief.tokens.refreshToken })
  end)

  it("never ends a code or a refresh token when no lifetime is configured", function()
    here.box:advance(1e9)
    assert.equal(200, (refresh(here.tokens.refreshToken)))
    assert.equal(200, (token { grantType = "authorization_code", code = here.box.tokens.codes[2] }))
  end)

  it("revokes the family also when the refresh token that comes again is expired", function()
    local brief = desk.open { refresh_token_lifetime_s = 60 }
    local payload = { grantType = "refresh_token", refreshToken = brief.tokens.refreshToken }
    assert.equal(200, (brief:call("POST", "/v1/auth/token", payload)))
    brief.box:advance(60)
    assert.equal(401, (brief:call("POST", "/v1/auth/token", payload)))
    assert.equal(1, brief.box.tokens.counts.families_revoked)
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

describe("sandbox: the life of tokens over a socket", function()
  local box

  setup(function()
    box = sandboxes.start { seed = "token life" }
  end)

  teardown(function()
    box:stop()
  end)

  before_each(function()
    box:control("DELETE", "/_sandbox/faults")
    box:control("POST", "/_sandbox/reset")
  end)

  after_each(function()
    program.stop_all()
    box:control("POST", "/_sandbox/options", { token_lifetime_s = 3600, refresh_token_lifetime_s = 0,
      code_lifetime_s = 0 })
  end)

  local function headers_with(more)
    local headers = { ["User-Agent"] = box.user_agent, Accept = "application/json",
      ["Content-Type"] = "application/json", ["Request-ID"] = desk.REQUEST_ID,
      ["PAC-Application-ID"] = box.application_id, ["PAC-API-Key"] = box.api_key,
      ["PAC-Channel-Code"] = box.channel_code, ["PAC-Organization-ID"] = box.organization_id }
    for name, value in pairs(more or {}) do
      headers[name] = value
    end
    return headers
  end

  -- Body and status of a token call.
  local function exchange(code)
    return box:control("POST", "/v1/auth/token", { grantType = "authorization_code", code = code }, headers_with())
  end

  local function refresh(set)
    return box:control("POST", "/v1/auth/token",
      { grantType = "refresh_token", refreshToken = set.refreshToken }, headers_with())
  end

  local function log_in()
    local set, status = exchange(box.auth_code)
    assert.equal(200, status)
    return set
  end

  local function status_of(set)
    return select(2, box:control("GET", "/v1/listings/A3qnemZ", nil,
      headers_with { Authorization = "Bearer " .. set.accessToken }))
  end

  local function refresh_status(set)
    return select(2, refresh(set))
  end

  local function counts()
    return box:control("GET", "/_sandbox/ledger").tokens
  end

  local function ask_for(fault)
    box:control("POST", "/_sandbox/faults", { fault = fault, count = 1, operation = "auth.token" })
  end

  -- The failure of a refresh whose answer never comes.
  local function lost_refresh(set)
    local transport = curl.new()
    local headers = {}
    for name, value in pairs(headers_with()) do
      headers[#headers + 1] = { name, value }
    end
    local answer, failure = transport:send { method = "POST", url = box.base_url .. "/v1/auth/token",
      headers = headers, body = cjson.encode { grantType = "refresh_token", refreshToken = set.refreshToken } }
    transport:close()
    assert.is_nil(answer)
    return failure
  end

  it("counts what was exchanged, refreshed, refused and revoked", function()
    local first = log_in()
    local second = refresh(first)
    assert.same({ exchanged = 1, refreshed = 1, refused = 0, families_revoked = 0 }, counts())
    refresh(first)
    refresh(second)
    assert.same({ exchanged = 1, refreshed = 1, refused = 2, families_revoked = 1 }, counts())
    assert.equal(401, status_of(second))
  end)

  it("ends everything from a code that is used again", function()
    local set = log_in()
    assert.equal(401, select(2, exchange(box.auth_code)))
    assert.same({ 401, 401 }, { status_of(set), refresh_status(set) })
    assert.same({ exchanged = 1, refreshed = 0, refused = 2, families_revoked = 1 }, counts())
  end)

  it("changes the lifetimes of what is issued from then on", function()
    local lasting, code = log_in(), box:new_auth_code()
    local options = box:control("POST", "/_sandbox/options",
      { token_lifetime_s = 50, refresh_token_lifetime_s = 100, code_lifetime_s = 100 })
    assert.same({ 50, 100, 100 },
      { options.token_lifetime_s, options.refresh_token_lifetime_s, options.code_lifetime_s })
    local brief, brief_code = refresh(lasting), box:new_auth_code()
    box:control("POST", "/_sandbox/clock", { advance_s = 60 })
    assert.same({ 401, 200 }, { status_of(brief), status_of(lasting) })
    box:control("POST", "/_sandbox/clock", { advance_s = 60 })
    assert.equal(401, refresh_status(brief))
    assert.equal(401, select(2, exchange(brief_code)))
    assert.equal(200, select(2, exchange(code)))
    assert.equal(0, counts().families_revoked)
  end)

  it("takes the lifetimes from the command line", function()
    local served = program.start("env " .. program.environment()
      .. " bin/paciolan sandbox --port 0 --token-lifetime 7 --refresh-token-lifetime 8 --code-lifetime 9")
    served:wait_for("more: curl")
    local transport = curl.new()
    local answer = assert(transport:send { method = "POST", headers = {}, body = "{}",
      url = served:output():match("export PACIOLAN_BASE_URL='([^']*)'") .. "/_sandbox/options" })
    transport:close()
    local options = cjson.decode(answer.body)
    assert.same({ 7, 8, 9 },
      { options.token_lifetime_s, options.refresh_token_lifetime_s, options.code_lifetime_s })
  end)

  it("revokes one access token, one refresh token, a family, or all", function()
    local function revoke(payload)
      return select(2, box:control("POST", "/_sandbox/tokens/revoke", payload))
    end
    local set, other = log_in(), exchange(box:new_auth_code())
    assert.equal(200, revoke { token = set.accessToken })
    assert.same({ 401, 200 }, { status_of(set), status_of(other) })
    local second = refresh(set)
    assert.equal(200, revoke { token = second.refreshToken })
    assert.same({ 200, 401 }, { status_of(second), refresh_status(second) })
    local third = exchange(box:new_auth_code())
    local fourth = refresh(third)
    assert.equal(200, revoke { token = third.refreshToken, family = true })
    assert.same({ 401, 401, 401 }, { status_of(third), status_of(fourth), refresh_status(fourth) })
    assert.equal(200, status_of(other))
    assert.equal(200, revoke { refresh = true })
    assert.same({ 401, 401 }, { status_of(other), refresh_status(other) })
    assert.equal(0, counts().families_revoked)
  end)

  it("ends the family when the answer to a refresh is lost and the token comes again", function()
    local set = log_in()
    ask_for("reset=after")
    assert.equal("network", lost_refresh(set).kind)
    assert.equal(1, counts().refreshed)
    local body, status = refresh(set)
    assert.equal(401, status)
    assert.truthy(body.error:find("used before", 1, true), body.error)
    assert.equal(401, status_of(set))
    assert.same({ exchanged = 1, refreshed = 1, refused = 1, families_revoked = 1 }, counts())
  end)

  it("leaves the token good when a refresh is lost before its work", function()
    local set = log_in()
    ask_for("reset=before")
    assert.equal("network", lost_refresh(set).kind)
    assert.equal(200, refresh_status(set))
    assert.same({ exchanged = 1, refreshed = 1, refused = 0, families_revoked = 0 }, counts())
  end)

  -- A client that sends one refresh and waits for its answer.
  local CLIENT = [[
    local paciolan = require "paciolan"
    local link = paciolan.new {
      base_url = os.getenv("BASE_URL"), application_id = os.getenv("APPLICATION_ID"), api_key = os.getenv("API_KEY"),
      channel_code = os.getenv("CHANNEL_CODE"), user_agent = os.getenv("USER_AGENT"), retries = 0,
      auth = { refresh_token = os.getenv("REFRESH_TOKEN") },
    }
    print(link.auth:rotate())
  ]]

  local function start_client(set)
    return program.start("env " .. program.environment { BASE_URL = box.base_url, APPLICATION_ID = box.application_id,
      API_KEY = box.api_key, CHANNEL_CODE = box.channel_code, USER_AGENT = box.user_agent,
      REFRESH_TOKEN = set.refreshToken } .. " " .. program.words { program.lua, "-e", CLIENT })
  end

  -- The fault is taken when the request has come, and then the client waits for an answer that is far away.
  local function kill_during(fault, set)
    ask_for(fault)
    local client = start_client(set)
    local deadline_ms = core.monotonic_ms() + 60000
    repeat
      assert(core.monotonic_ms() < deadline_ms, "the refresh never arrived")
      socket.sleep(0.02)
    until box:control("GET", "/_sandbox/faults").applied[fault]
    local _, output = client:stop("KILL")
    assert.equal("", output)
  end

  it("holds an answer after the work, so that a client can die with a spent token", function()
    local set = log_in()
    kill_during("delay=600000", set)
    assert.same({ exchanged = 1, refreshed = 1, refused = 0, families_revoked = 0 }, counts())
    assert.equal(401, refresh_status(set))
    assert.equal(1, counts().families_revoked)
  end)

  it("holds a request without its work, so that a client can die with a good token", function()
    local set = log_in()
    kill_during("reset=before;delay=600000", set)
    assert.same({ exchanged = 1, refreshed = 0, refused = 0, families_revoked = 0 }, counts())
    assert.equal(200, refresh_status(set))
  end)
end)
