local desk = require "support.desk"
local sandboxes = require "paciolan.sandbox.child"

describe("sandbox: as a process", function()
  local box

  after_each(function()
    if box then
      box:stop()
      box = nil
    end
  end)

  local function headers()
    return { ["User-Agent"] = box.user_agent, Accept = "application/json", ["Content-Type"] = "application/json",
      ["Request-ID"] = desk.REQUEST_ID, ["PAC-Application-ID"] = box.application_id, ["PAC-API-Key"] = box.api_key,
      ["PAC-Channel-Code"] = box.channel_code, ["PAC-Organization-ID"] = box.organization_id }
  end

  local function login()
    local sent = headers()
    local tokens = box:control("POST", "/v1/auth/token",
      { grantType = "authorization_code", code = box.auth_code }, sent)
    sent.Authorization = "Bearer " .. tokens.accessToken
    return sent
  end

  it("prints what a client needs to log in, lock and buy", function()
    box = sandboxes.start()
    local sent = login()
    local listing = box:control("GET", "/v1/listings/A3qnemZ", nil, sent)
    local tokens = { listing[1].tickets[1].seats[1].token }
    local _, status = box:control("PUT", "/v1/tickets/lock", desk.lock_payload(tokens), sent)
    assert.equal(200, status)
    local order = box:control("POST", "/v1/cart/complete-order", desk.order_payload(tokens), sent)
    assert.equal("COMPLETE", order.status)
  end)

  it("passes its options on", function()
    box = sandboxes.start { pending_polls = 2, token_lifetime_s = 7 }
    local options = box:control("POST", "/_sandbox/options", {})
    assert.equal(2, options.pending_polls)
    assert.equal(7, options.token_lifetime_s)
  end)

  it("gives two processes with one seed the same world", function()
    local function world()
      box = sandboxes.start { seed = "twins" }
      local view = box:control("GET", "/_sandbox/world")
      box:stop()
      view.now = nil
      return view
    end
    assert.same(world(), world())
  end)

  it("issues authorization codes on request", function()
    box = sandboxes.start()
    box.auth_code = box:new_auth_code()
    assert.truthy(login().Authorization)
  end)

  it("gives the settings of a client", function()
    box = sandboxes.start()
    local options = box:client_options { retries = 0 }
    assert.equal(box.base_url, options.base_url)
    assert.equal(box.auth_code, options.auth.code)
    assert.equal(0, options.retries)
  end)

  it("logs one line per request, without query, token or key", function()
    box = sandboxes.start { verbose = true }
    local sent = login()
    box:control("GET", "/v1/catalog/events?seasonCode=FB30", nil, sent)
    local output = box:stop()
    assert.truthy(output:find("200  GET    /v1/catalog/events  " .. desk.REQUEST_ID, 1, true))
    assert.truthy(output:find("200  POST   /v1/auth/token", 1, true))
    assert.is_nil(output:find("seasonCode", 1, true))
    assert.is_nil(output:find(sent.Authorization:sub(8), 1, true))
    assert.is_nil(output:find("code-", 1, true))
    assert.is_nil(output:find(box.api_key, 1, true))
  end)

  it("fails clearly when the port is in use", function()
    box = sandboxes.start()
    local ok, message = pcall(sandboxes.start, { port = box.port })
    assert.is_false(ok)
    assert.truthy(message:find("in use", 1, true))
  end)
end)
