local desk = require "support.desk"

describe("sandbox: request headers", function()
  local here

  before_each(function()
    here = desk.open()
  end)

  local function status_with(changes, method, path, payload)
    local status, body = here:call(method or "GET", path or "/v1/listings/A3qnemZ", payload, changes)
    return status, body.error and body.error.developerMessage or ""
  end

  local REQUIRED = { "User-Agent", "Accept", "Content-Type", "Request-ID", "PAC-Application-ID", "PAC-API-Key",
    "PAC-Channel-Code" }
  for _, name in ipairs(REQUIRED) do
    it("demands " .. name .. " on a GET", function()
      local status, message = status_with { [name:lower()] = false }
      assert.equal(400, status)
      assert.truthy(message:find(name, 1, true))
      assert.equal(400, (status_with { [name:lower()] = "" }))
    end)
  end

  local VALUES = {
    { "user-agent", "MyApplication/1.0", 200 },
    { "user-agent", "My-App/1.2.3-rc.1+build.5", 200 },
    { "user-agent", "MyApplication", 400 },
    { "user-agent", "MyApplication/1", 400 },
    { "user-agent", "MyApplication/1.2.3.4", 400 },
    { "user-agent", "My Application/1.0.0", 400 },
    { "accept", "text/html, application/json;q=0.9", 200 },
    { "accept", "text/html", 406 },
    { "content-type", "application/json; charset=utf-8", 200 },
    { "content-type", "text/plain", 415 },
    { "content-type", "application/jsonish", 415 },
    { "request-id", "6F1C2A34-1111-4ABC-8DEF-0123456789AB", 200 },
    { "request-id", "6f1c2a34-1111-1abc-8def-0123456789ab", 400 },
    { "request-id", "6f1c2a34-1111-4abc-7def-0123456789ab", 400 },
    { "request-id", "a1b2c3", 400 },
    { "pac-api-key", "another", 403 },
    { "pac-application-id", "com.other.app", 403 },
    { "pac-channel-code", "another", 403 },
    { "pac-organization-id", "431", 403 },
    { "pac-organization-id", "999", 200 },
    { "pac-organization-id", false, 200 },
  }
  for _, row in ipairs(VALUES) do
    it(string.format("answers %d to %s: %s", row[3], row[1], tostring(row[2])), function()
      assert.equal(row[3], (status_with { [row[1]] = row[2] }))
    end)
  end

  local NEED_ORGANIZATION = {
    { "GET", "/v1/catalog/events" },
    { "DELETE", "/v1/tickets/transfer/123456-AMTX:10237" },
  }
  for _, row in ipairs(NEED_ORGANIZATION) do
    it("demands PAC-Organization-ID for " .. row[1] .. " " .. row[2], function()
      local status, message = status_with({ ["pac-organization-id"] = false }, row[1], row[2])
      assert.equal(400, status)
      assert.truthy(message:find("PAC-Organization-ID", 1, true))
    end)
  end

  it("answers with the media type and the same Request-ID, errors included", function()
    for _, path in ipairs { "/v1/listings/A3qnemZ", "/v1/listings/unknown", "/v1/nowhere" } do
      local _, _, answer = here:call("GET", path)
      assert.equal(desk.REQUEST_ID, answer.headers["Request-ID"])
      assert.equal("application/json", answer.headers["Content-Type"])
    end
  end)

  it("tells when the client takes gzip", function()
    local rows = { { "gzip", true }, { "br, gzip;q=0.5", true }, { "gzip;q=0", false }, { "identity", false } }
    for _, row in ipairs(rows) do
      local _, _, answer = here:call("GET", "/v1/listings/A3qnemZ", nil, { ["accept-encoding"] = row[1] })
      assert.equal(row[2], answer.gzip)
    end
  end)

  it("answers 404 to an unknown path and 405 with Allow to a wrong method", function()
    assert.equal(404, (status_with({}, "GET", "/v1/nothing")))
    local status, _, answer = here:call("POST", "/v1/tickets/lock", {})
    assert.equal(405, status)
    assert.equal("PUT", answer.headers.Allow)
  end)

  it("never repeats a value in an error", function()
    local secret = "s3cr3t-value"
    local rows = { { "pac-api-key", secret }, { "authorization", "Bearer " .. secret }, { "request-id", secret } }
    for _, row in ipairs(rows) do
      local _, _, answer = here:call("GET", "/v1/listings/A3qnemZ", nil, { [row[1]] = row[2] })
      assert.is_nil(answer.body:find(secret, 1, true))
    end
  end)
end)
