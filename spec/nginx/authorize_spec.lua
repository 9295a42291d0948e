--- Proxied requests: who the service thinks it talks to, and what nothing of the caller may change.
local core = require("paciolan.core")
local gateway = require("support.gateway")
local market = require("support.market")
local peers = require("support.peers")
local cjson = require("cjson").new()

local SETUP = [[
  local given = ...
  return { dict = "paciolan", link = given.link }
]]

-- The path is rewritten before, because a named location cannot do it.
local LOCATIONS = [[
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  set $paciolan_request_id "";
  location /link/ {
    rewrite ^/link(/.*)$ $1 break;
    access_by_lua_block { require("resty.paciolan").authorize() }
    proxy_pass @SERVICE@;
    proxy_intercept_errors on;
    error_page 401 = @again;
  }
  location @again {
    access_by_lua_block { require("resty.paciolan").authorize { again = true } }
    proxy_pass @SERVICE@;
  }
  location /echo {
    access_by_lua_block { require("resty.paciolan").authorize() }
    header_filter_by_lua_block { ngx.header["X-Context"] = ngx.ctx.paciolan_request_id }
    add_header X-Variable $paciolan_request_id;
    proxy_pass @ECHO@;
  }
  location /other {
    access_by_lua_block { require("resty.paciolan").authorize { organization_id = "777" } }
    proxy_pass @ECHO@;
  }
  location /refused {
    access_by_lua_block { require("resty.paciolan").authorize() }
    proxy_pass @REFUSING@;
    proxy_intercept_errors on;
    error_page 401 = @refused_again;
  }
  location @refused_again {
    access_by_lua_block { require("resty.paciolan").authorize { again = true } }
    proxy_pass @REFUSING@;
  }
  location /own/ {
    proxy_intercept_errors on;
    error_page 401 = @own_again;
    location /own/basic {
      auth_basic "own"; auth_basic_user_file /dev/null;
      access_by_lua_block { require("resty.paciolan").authorize() }
      proxy_pass @ECHO@;
    }
    location /own/return {
      if ($http_x_key = "") { return 401; }
      access_by_lua_block { require("resty.paciolan").authorize() }
      proxy_pass @ECHO@;
    }
    location /own/exit {
      access_by_lua_block {
        if not ngx.var.http_x_key then return ngx.exit(401) end
        require("resty.paciolan").authorize()
      }
      proxy_pass @ECHO@;
    }
  }
  location @own_again {
    access_by_lua_block { require("resty.paciolan").authorize { again = true } }
    proxy_pass @ECHO@;
  }
  location = /misuse {
    access_by_lua_block { require("resty.paciolan").authorize { organisation = "1" } }
    proxy_pass @ECHO@;
  }
  location = /value {
    access_by_lua_block { require("resty.paciolan").authorize { organization_id = "a\r\nb: c" } }
    proxy_pass @ECHO@;
  }
  location = /late { content_by_lua_block { require("resty.paciolan").authorize() } }
]]

describe("resty.paciolan.authorize", function()
  local place, echo, refusing, server

  local function locations(service)
    local values = { SERVICE = service, ECHO = echo.url, REFUSING = refusing.url }
    return (LOCATIONS:gsub("@(%u+)@", values))
  end

  setup(function()
    place = market.open()
    echo, refusing = peers.start { { echo = true } }, peers.start { { status = 401, body = "{}" } }
    server = gateway.start { setup = SETUP, given = { link = place.box:client_options() },
      server = locations(place.box.base_url) }
  end)
  teardown(function()
    gateway.stop_all()
    peers.stop_all()
    place:close()
  end)

  local function last(peer)
    local list = peer:requests()
    return list[#list], #list
  end

  -- The lines of a header in any spelling, as the upstream got them.
  local function lines_of(request, name)
    local found = {}
    for _, line in ipairs(request.header_lines) do
      local spelling, value = line:match("^([^:]+):%s*(.*)$")
      if spelling and spelling:lower():gsub("_", "-") == name then
        found[#found + 1] = value
      end
    end
    return found
  end

  local function link_options(more)
    return place.box:client_options(more)
  end

  local function rotations()
    return #place:requests("auth.token")
  end

  it("hands a request on with the headers that the service wants", function()
    local status, body = server:get("/link/v1/catalog/events")
    assert.equal(200, status)
    assert.equal("table", type(cjson.decode(body)))
    local tokens = place:tokens(1)
    local before = rotations()
    status = server:request { method = "PUT", path = "/link/v1/tickets/lock",
      body = cjson.encode(market.lock_payload(tokens, "L-1")) }
    assert.same({ 200, before }, { status, rotations() })
  end)

  it("takes away what the caller sent under the names of ours, in every spelling and however often", function()
    local socket = require("socket")
    local client = assert(socket.connect("127.0.0.1", server.port))
    local sent = { "GET /echo HTTP/1.1", "Host: x", "Connection: close", "X-Own: kept", "Cookie: a=1", "cookie: b=2" }
    local names = { "Authorization", "PAC-API-Key", "PAC-Application-ID", "PAC-Channel-Code", "PAC-Organization-ID",
      "Request-ID", "User-Agent", "Accept", "Content-Type", "Proxy-Authorization" }
    for _, name in ipairs(names) do
      local underscored = name:gsub("%-", "_")
      local spellings = { name:lower(), name:upper(), underscored, underscored:lower(), (name:gsub("%-", "_", 1)) }
      -- nginx itself refuses some of these when they come twice.
      if name == "Authorization" or name == "User-Agent" or name == "Content-Type" then
        spellings = { name:upper(), name ~= "Authorization" and underscored or nil }
      end
      for _, spelling in ipairs(spellings) do
        sent[#sent + 1] = spelling .. ": evil"
      end
    end
    client:send(table.concat(sent, "\r\n") .. "\r\n\r\n")
    assert.matches("^HTTP/1.1 200", client:receive("*l"))
    client:close()
    local request, options = last(echo), link_options()
    assert.is_nil(table.concat(request.header_lines, "\n"):find("evil", 1, true))
    assert.same({ {}, {}, { "kept" } }, { lines_of(request, "cookie"), lines_of(request, "proxy-authorization"),
      lines_of(request, "x-own") })
    for name, value in pairs {
      ["pac-api-key"] = options.api_key, ["pac-application-id"] = options.application_id,
      ["pac-channel-code"] = options.channel_code, ["pac-organization-id"] = options.organization_id,
      ["user-agent"] = options.user_agent, accept = "application/json", ["content-type"] = "application/json",
    } do
      assert.same({ value }, lines_of(request, name), name)
    end
    assert.equal(1, #lines_of(request, "authorization"))
    assert.matches("^Bearer %S+$", lines_of(request, "authorization")[1])
    assert.equal(1, #lines_of(request, "request-id"))
  end)

  it("takes away every header that begins with PAC-, and those that ask for another method", function()
    local names = { "PAC-Foo", "pac_foo", "Pac-Seller-ID", "X-HTTP-Method-Override", "x_http_method_override",
      "X-HTTP-Method", "X-Method-Override" }
    local headers = { ["X-Own"] = "kept", ["X-Pac-Own"] = "kept" }
    for _, name in ipairs(names) do
      headers[name] = "DELETE"
    end
    assert.equal(200, (server:get("/echo", headers)))
    local request = last(echo)
    assert.is_nil(table.concat(request.header_lines, "\n"):find("DELETE", 1, true))
    assert.same({ { "kept" }, { "kept" } }, { lines_of(request, "x-own"), lines_of(request, "x-pac-own") })
  end)

  it("makes a Request-ID of its own for each request, and tells it to the logs", function()
    local ids = {}
    for i = 1, 2 do
      local _, _, headers = server:get("/echo", { ["Request-ID"] = "6f1c2a34-1111-4abc-8def-0123456789ab" })
      ids[i] = lines_of(last(echo), "request-id")[1]
      assert.is_true(core.is_uuid_v4(ids[i]))
      assert.same({ ids[i], ids[i] }, { headers["x-context"], headers["x-variable"] })
    end
    assert.is_not_equal(ids[1], ids[2])
  end)

  it("names another organization when it is told so", function()
    assert.equal(200, (server:get("/other", { pac_organization_id = "1" })))
    assert.same({ "777" }, lines_of(last(echo), "pac-organization-id"))
  end)

  it("answers a 401 to a GET by one renewal and one more request", function()
    assert.equal(200, (server:get("/link/v1/catalog/events")))
    place.box:control("POST", "/_sandbox/tokens/revoke", {})
    local before, sent = rotations(), #place:ledger().requests
    local status, body = server:get("/link/v1/catalog/events?seasonCode=FB30")
    assert.equal(200, status)
    assert.equal("table", type(cjson.decode(body)))
    assert.same({ before + 1, sent + 3 }, { rotations(), #place:ledger().requests })
    assert.equal(200, (server:get("/link/v1/catalog/events")))
    assert.equal(before + 1, rotations())
  end)

  it("answers a 401 to any other method by a renewal, and leaves the repetition to the caller", function()
    assert.equal(200, (server:get("/link/v1/catalog/events")))
    place.box:control("POST", "/_sandbox/tokens/revoke", {})
    local request = { method = "PUT", path = "/link/v1/tickets/lock",
      body = cjson.encode(market.lock_payload(place:tokens(1), "L-2")) }
    local before, locks = rotations(), #place:requests("tickets.lock")
    local status, body, headers = server:request(request)
    assert.same({ 401, "token_renewed" }, { status, cjson.decode(body).error.type })
    assert.equal("application/json", headers["content-type"])
    assert.same({ before + 1, locks + 1 }, { rotations(), #place:requests("tickets.lock") })
    assert.equal(200, (server:request(request)))
    assert.same({ before + 1, locks + 2 }, { rotations(), #place:requests("tickets.lock") })
  end)

  it("repeats a GET or HEAD once and no more, whatever the service says, and nothing else", function()
    for method, count in pairs { GET = 2, HEAD = 2, POST = 1, DELETE = 1 } do
      local _, before = last(refusing)
      local status = server:request { method = method, path = "/refused", body = method == "POST" and "{}" or nil }
      local request, after = last(refusing)
      assert.same({ 401, count }, { status, after - before }, method)
      assert.equal(method, request.method)
      if count == 2 then
        assert.is_not_equal(lines_of(request, "authorization")[1],
          lines_of(refusing:requests()[after - 1], "authorization")[1])
      end
    end
  end)

  it("leaves a 401 of nginx itself as it is, renews nothing and hands nothing on", function()
    local _, before = last(echo)
    local renewed = rotations()
    for _, path in ipairs { "/own/basic", "/own/return", "/own/exit" } do
      for _, method in ipairs { "GET", "HEAD", "POST" } do
        local status, body = server:request { method = method, path = path, body = method == "POST" and "{}" or nil,
          headers = { authorization = "Bearer of-the-caller" } }
        assert.equal(401, status, method .. " " .. path)
        assert.is_true(method == "HEAD" or cjson.decode(body).error.type == "unauthorized", method .. " " .. path)
      end
    end
    assert.same({ before, renewed }, { select(2, last(echo)), rotations() })
    for _, path in ipairs { "/own/return", "/own/exit" } do
      assert.equal(200, (server:get(path, { ["X-Key"] = "1" })), path)
    end
  end)

  it("renews ten times for a service that refuses every token, and no more", function()
    local other = gateway.start { setup = SETUP, given = { link = link_options { auth = {
      code = place.box:new_auth_code() } } }, server = locations(place.box.base_url) }
    assert.equal(200, (other:get("/echo")))
    local before = rotations()
    for i = 1, 14 do
      local is_get = i % 2 == 0
      local _, sent = last(refusing)
      local status, body = other:request { method = is_get and "GET" or "POST", path = "/refused",
        body = not is_get and "{}" or nil }
      assert.equal(401, status)
      local told = i > 10 and "service_refuses" or (not is_get and "token_renewed" or nil)
      local answer = cjson.decode(body).error
      assert.equal(told, answer and answer.type)
      local handed_on = is_get and i <= 10 and 2 or 1
      assert.equal(handed_on, select(2, last(refusing)) - sent)
    end
    assert.equal(before + 10, rotations())
    assert.equal(200, (other:get("/link/v1/catalog/events")))
    other:stop()
  end)

  it("refuses misuse, and hands nothing on then", function()
    local _, before = last(echo)
    for _, path in ipairs { "/misuse", "/value", "/late" } do
      assert.equal(500, (server:get(path)), path)
    end
    assert.equal(before, select(2, last(echo)))
    local log = server:errors()
    assert.matches("unknown option organisation", log)
    assert.matches("organization_id must be a string of printable ASCII", log)
    assert.matches("call it in access_by_lua_block", log)
    assert.is_nil(log:find("b: c", 1, true))
  end)

  it("ends a request with 502 when nobody can log in, and with 503 when the service cannot be reached", function()
    local port = peers.unused_port()
    for _, case in ipairs {
      { link_options { auth = { code = "a-code-that-nobody-gave" } }, 502, "gateway_not_authorized" },
      { link_options { base_url = ("http://127.0.0.1:%d"):format(port), retries = 0 }, 503, "gateway_without_token" },
    } do
      case[1].organization_id = nil
      local other = gateway.start { setup = SETUP, given = { link = case[1] }, server = locations(echo.url) }
      local _, before = last(echo)
      local status, body, headers = other:get("/echo", { authorization = "Bearer of-the-caller" })
      local answer = cjson.decode(body)
      assert.same({ case[2], case[3], "application/json" }, { status, answer.error.type, headers["content-type"] })
      assert.is_nil(body:find(tostring(port), 1, true))
      assert.equal(before, select(2, last(echo)))
      local log = other:errors()
      assert.equal(1, select(2, log:gsub("%[error%]", "")))
      assert.matches("resty%.paciolan%.authorize: ", log)
      assert.is_nil(log:find("a-code-that-nobody-gave", 1, true))
      assert.is_nil(log:find("of-the-caller", 1, true))
      other:stop()
    end
  end)

  it("says after how long to come again, when the service says so", function()
    local busy = peers.start { { status = 429, headers = { { "Retry-After", "7" } }, body = "{}" } }
    local other = gateway.start { setup = SETUP, given = { link = link_options { base_url = busy.url, retries = 0 } },
      server = locations(echo.url) }
    local status, _, headers = other:get("/echo")
    assert.equal(503, status)
    local wait_s = tonumber(headers["retry-after"])
    assert.is_true(wait_s >= 1 and wait_s <= 7)
    other:stop()
  end)

  it("sends no PAC-Organization-ID when none is configured", function()
    local options = link_options { auth = { access_token = "given", expiration = "2099-01-01T00:00:00Z" } }
    options.organization_id = nil
    local other = gateway.start { setup = SETUP, given = { link = options }, server = locations(echo.url) }
    assert.equal(200, (other:get("/echo", { pac_organization_id = "1" })))
    assert.same({ {}, { "Bearer given" } }, { lines_of(last(echo), "pac-organization-id"),
      lines_of(last(echo), "authorization") })
    other:stop()
  end)

  it("has no complaint of nginx itself in the error log", function()
    assert.is_nil(server:errors():find("[alert]", 1, true))
  end)
end)
