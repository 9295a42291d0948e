--- Misuse of the transport over cosockets: it raises, with the same words as the one over libcurl.

local openresty = require("support.openresty")

describe("misuse of paciolan.transport.nginx", function()
  local server

  setup(function()
    server = openresty.start()
  end)

  teardown(function()
    openresty.stop_all()
  end)

  local CALL = [[
    local options, request, is_closed = ...
    local transport = require("paciolan.transport.nginx").new(options)
    if is_closed then transport:close() transport:close() end
    local named = tostring(transport)
    if request then transport:send(request) end
    return named
  ]]

  local function with(changes)
    local made = { method = "GET", url = "https://link.invalid/", headers = {} }
    for key, value in pairs(changes) do
      made[key] = value
    end
    return made
  end

  it("raises for a request", function()
    local wrong = {
      { { method = false }, "method" },
      { { method = "BREW" }, "request.method" },
      { { method = "GET\r\nX: y" }, "request.method" },
      { { method = "GET\0" }, "method: NUL" },
      { { url = 12 }, "url: a string" },
      { { url = "https://link.invalid/\r\nX: y" }, "request.url" },
      { { url = "https://link.invalid/\0" }, "url: NUL" },
      { { url = "https://link.invalid/a b" }, "request.url" },
      { { url = "/v1/things" }, "request.url" },
      { { url = "ftp://link.invalid/" }, "request.url" },
      { { url = "http://link.invalid/" }, "loopback" },
      { { url = "http://127.0.0.1.invalid/" }, "loopback" },
      { { url = "https://user:word@link.invalid/" }, "request.url" },
      { { url = "https://" .. ("a."):rep(130) .. "invalid/" }, "request.url: the host" },
      { { body = "{}" }, "request.body" },
      { { method = "PUT", body = {} }, "body: a string" },
      { { headers = { "X: y" } }, "headers: a list" },
      { { headers = { { "X", 1 } } }, "headers: value" },
      { { headers = { { "X", "a\r\nY: b" } } }, "request.headers[1]" },
      { { headers = { { "X: y", "a" } } }, "not a header name" },
      { { headers = { { "Host", "a" } } }, "transport's to set" },
      { { headers = { { "Connection", "close" } } }, "transport's to set" },
      { { timeout = 1 }, "unknown key timeout" },
      { { timeout_ms = 0 }, "timeout_ms" },
      { { single_use = 1 }, "single_use" },
    }
    for _, row in ipairs(wrong) do
      local ok, message = pcall(server.run, server, CALL, {}, with(row[1]))
      assert.is_false(ok, row[2])
      assert.is_truthy(tostring(message):find(row[2], 1, true), tostring(message))
    end
  end)

  it("raises for an option", function()
    local wrong = {
      { { verify = false }, "unknown key verify" },
      { { ca_file = "x" }, "unknown key ca_file" },
      { { ca_id = 1 }, "ca_id: a string" },
      { { max_answer_bytes = 0 }, "max_answer_bytes" },
      { { timeout_ms = "100" }, "timeout_ms" },
      { { pool_size = 0 }, "pool_size" },
      { { idle_ms = 1.5 }, "idle_ms" },
      { { connect_to = { a = "b" } }, "connect_to" },
      { { connect_to = { ["localhost:80"] = "link.invalid:80" } }, "loopback" },
      { "x", "options: a table" },
    }
    for _, row in ipairs(wrong) do
      local ok, message = pcall(server.run, server, CALL, row[1])
      assert.is_false(ok, row[2])
      assert.is_truthy(tostring(message):find(row[2], 1, true), tostring(message))
    end
  end)

  it("raises for a closed transport; closing again does not", function()
    assert.equal("paciolan.transport.nginx (open)", server:run(CALL, {}))
    assert.equal("paciolan.transport.nginx (closed)", server:run(CALL, {}, nil, true))
    local ok, message = pcall(server.run, server, CALL, {}, with {}, true)
    assert.is_false(ok)
    assert.is_truthy(message:find("closed", 1, true))
  end)

  it("raises outside of nginx and names the other transport", function()
    local transport = require("paciolan.transport.nginx").new()
    assert.is_false(transport:gives_way())
    assert.is_false(transport:defer(function() end))
    for _, call in ipairs { "send", "sleep" } do
      assert.has_error.matches(function()
        transport[call](transport, { method = "GET", url = "https://link.invalid/" })
      end, "paciolan.transport.curl")
    end
  end)
end)
