--- The transport over cosockets, inside a worker of nginx: what every transport owes (spec/transport/curl_spec.lua has
-- the same cases for libcurl), and what is special to nginx. What is no proper HTTP:
-- spec/nginx/smuggling_spec.lua; misuse: spec/nginx/transport_misuse_spec.lua.

local openresty = require("support.openresty")
local peers = require("support.peers")

-- An answer that any request gets when a test is about something else.
local FINE = { status = 200, headers = { { "Content-Type", "application/json" } }, body = "{}" }

-- A transport for each set of options; it lives as long as the worker.
local SEND = [[
local name, options, requests = ...
local held = package.loaded["spec.transports"] or {}
package.loaded["spec.transports"] = held
held[name] = held[name] or require("paciolan.transport.nginx").new(options)
local results = {}
for i, request in ipairs(requests) do
  local answer, failure = held[name]:send(request)
  results[i] = { answer = answer, failure = failure }
end
return results
]]

-- Locations that try to send in each phase, and whose own trust is different.
local PHASES = [[
location = /fine { return 200 fine; }
location = /slow { content_by_lua_block { ngx.sleep(0.1) ngx.print("slow") } }
location = /header_filter { return 200 x; header_filter_by_lua_block { TRY("header_filter") } }
location = /log { return 200 x; log_by_lua_block { TRY("log") } }
location = /set { set_by_lua_block $x { TRY("set") return "" } return 200 x; }
location = /access { access_by_lua_block { TRY("access") } content_by_lua_block { ngx.print("x") } }
location = /rewrite { rewrite_by_lua_block { TRY("rewrite") } content_by_lua_block { ngx.print("x") } }
location = /told { content_by_lua_block { ngx.print(tostring(ngx.shared.told:get(ngx.req.get_uri_args().of))) } }
location = /stranger {
  lua_ssl_trusted_certificate "@STRANGER@";
  content_by_lua_block {
    local transport = require("paciolan.transport.nginx").new { ca_id = ngx.var.arg_id }
    local answer, failure = transport:send { method = "GET", url = ngx.var.arg_url }
    ngx.print(answer and "answered" or failure.message)
  }
}
location = /aborted {
  lua_check_client_abort on;
  content_by_lua_block {
    require("paciolan.transport.nginx").new():send { method = "GET", url = ngx.var.arg_url }
  }
}
]]

local HTTP = [[
lua_shared_dict told 1m;
resolver 127.0.0.1:@NOBODY@ valid=1s ipv6=off;
resolver_timeout 100ms;
init_by_lua_block {
  function TRY(phase)
    local transport = package.loaded["spec.phase"] or require("paciolan.transport.nginx").new()
    package.loaded["spec.phase"] = transport
    local ok, answer, failure = pcall(transport.send, transport, { method = "GET", url = "http://127.0.0.1:1/" })
    ngx.shared.told:set(phase, ok and (failure or {}).message or answer)
    local could, problem = pcall(transport.sleep, transport, 1)
    ngx.shared.told:set(phase .. " sleep", could and "slept" or problem)
    ngx.shared.told:set(phase .. " gives way", transport:gives_way())
    ngx.shared.told:set(phase .. " defer", transport:defer(function()
      ngx.shared.told:set(phase .. " deferred", ngx.get_phase())
    end))
  end
  TRY("init")
}
init_worker_by_lua_block { TRY("init_worker") }
]]

describe("paciolan.transport.nginx", function()
  local server, certificates

  setup(function()
    certificates = peers.certificates()
    local places = { STRANGER = certificates.stranger.file, NOBODY = ("%d"):format(peers.unused_port()) }
    server = openresty.start {
      http = HTTP:gsub("@(%u+)@", places), server = PHASES:gsub("@(%u+)@", places),
      ca = certificates.authority.file, tls = certificates.right_host,
    }
  end)

  teardown(function()
    openresty.stop_all()
    peers.stop_all()
  end)

  local function send_all(requests, options)
    for _, request in ipairs(requests) do
      request.timeout_ms = request.timeout_ms or (options or {}).timeout_ms or 20000
    end
    local names = {}
    for key, value in pairs(options or {}) do
      names[#names + 1] = ("%s=%s"):format(key, tostring(value))
    end
    table.sort(names)
    return server:run(SEND, table.concat(names, " "), options or {}, requests)
  end

  local function send(request, options)
    local result = send_all({ request }, options)[1]
    return result.answer, result.failure
  end

  -- A request for this peer.
  local function to(peer, given)
    local request = { method = "GET", url = peer.url .. "/v1/things" }
    for key, value in pairs(given or {}) do
      request[key] = value
    end
    return request
  end

  local function assert_failure(kind, phase, answer, failure)
    assert.is_nil(answer)
    assert.equal(kind, failure.kind)
    assert.equal(phase, failure.phase)
    assert.is_truthy(#failure.message > 10 and not failure.message:find("%c"))
    assert.is_number(failure.elapsed_ms)
    assert.is_number(failure.code)
  end

  describe("a request", function()
    it("arrives whole: method, path, query, headers in order, body", function()
      local peer = peers.start { FINE }
      local body = '{"a":"\195\164\0b"}'
      local answer = send {
        method = "PUT", url = peer.url .. "/v1/a/../b%20c?x=1&y=%2F", body = body,
        headers = {
          { "Content-Type", "application/json" }, { "X-First", "1" }, { "X-Second", "two words" }, { "X-Empty", "" },
          { "X-Blank", " \t" },
        },
      }
      assert.equal(200, answer.status)
      local seen = peer:requests()[1]
      assert.equal("PUT", seen.method)
      assert.equal("/v1/a/../b%20c?x=1&y=%2F", seen.path)
      assert.equal(body, seen.body)
      assert.same({
        ("Host: 127.0.0.1:%d"):format(peer.port), ("Content-Length: %d"):format(#body),
        "Content-Type: application/json", "X-First: 1", "X-Second: two words", "X-Empty:", "X-Blank:",
      }, seen.header_lines)
    end)

    it("is framed by Content-Length or not at all, and carries no surprise", function()
      local large = ("b"):rep(3 * 1024 * 1024)
      local rows = {
        { "GET", nil, nil }, { "DELETE", nil, nil }, { "HEAD", nil, nil }, { "POST", nil, "0" }, { "PUT", nil, "0" },
        { "PATCH", nil, "0" }, { "DELETE", "{}", "2" }, { "POST", "", "0" }, { "PUT", large, "3145728" },
      }
      local peer = peers.start { FINE }
      for i, row in ipairs(rows) do
        local answer = assert(send(to(peer, { method = row[1], body = row[2] })))
        assert.equal(row[1] == "HEAD" and "" or "{}", answer.body)
        local seen = peer:requests()[i]
        assert.equal(row[1], seen.method)
        assert.equal(row[3], seen.headers["content-length"])
        assert.equal(row[2] or "", seen.body)
        assert.equal(row[3] and 2 or 1, #seen.header_lines)
      end
    end)

    it("without a path asks for the root", function()
      local peer = peers.start { FINE }
      assert(send(to(peer, { url = peer.url .. "?a=b" })))
      assert.equal("/?a=b", peer:requests()[1].path)
    end)
  end)

  describe("an answer", function()
    it("has status, headers in lower case, body, elapsed_ms and reused", function()
      local headers = { { "Content-Type", "text/plain" }, { "X-Twice", "a" }, { "x-twice", "b" }, { "X-None", "" } }
      local peer = peers.start { { status = 207, headers = headers, body = "b\0dy" } }
      local answer, failure = send(to(peer))
      assert.is_nil(failure)
      assert.equal(207, answer.status)
      assert.equal("b\0dy", answer.body)
      assert.same(
        { ["content-type"] = "text/plain", ["x-twice"] = "a, b", ["x-none"] = "", ["content-length"] = "4" },
        answer.headers
      )
      assert.is_number(answer.elapsed_ms)
      assert.is_false(answer.reused)
      assert.is_true(send(to(peer)).reused)
    end)

    local long = ("long "):rep(50000)
    local chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n"
    local ordinary = {
      { "an HTML 500", { status = 500, headers = { { "Content-Type", "text/html" } }, body = "<p>" }, 500, "<p>" },
      { "a redirect, not followed", { status = 302, headers = { { "Location", "/elsewhere" } } }, 302, "" },
      { "chunks", { chunks = { "one ", "two ", "three" } }, 200, "one two three" },
      { "many bytes in chunks", { chunks = { long, long } }, 200, long .. long },
      { "chunks with extensions and trailers", {
        raw = chunked .. "2;a=b;c=\"d\"\r\nok\r\n00\r\nX-Trailer: 1\r\n\r\n",
      }, 200, "ok" },
      { "chunks in pieces", { chunks = { "a", "bc" }, pause_s = 0.001, piece_bytes = 1 }, 200, "abc" },
      { "a slow body within the time", { body = "slow", pause_s = 0.02, piece_bytes = 1 }, 200, "slow" },
      { "a body that ends with the connection", { body = long, no_length = true }, 200, long },
      { "HTTP/1.0", { raw = "HTTP/1.0 200 OK\r\n\r\nold" }, 200, "old" },
      { "interim answers first", {
        raw = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX-Interim: 1\r\n\r\n"
          .. "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      }, 200, "ok" },
      { "a status without a name", { raw = "HTTP/1.1 422\r\nContent-Length: 0\r\n\r\n" }, 422, "" },
      { "a 204 without a length", { raw = "HTTP/1.1 204 None\r\n\r\n" }, 204, "" },
    }
    it("may be all that HTTP allows", function()
      local steps = {}
      for i, row in ipairs(ordinary) do
        steps[i] = row[2]
      end
      local peer = peers.start(steps)
      for i, row in ipairs(ordinary) do
        local answer, failure = send(to(peer))
        assert.is_nil(failure, row[1])
        assert.equal(row[3], answer.status, row[1])
        assert.equal(row[4], answer.body, row[1])
        assert.is_nil(answer.headers["x-interim"])
        assert.is_nil(answer.headers["x-trailer"])
        assert.equal(i, #peer:requests())
      end
    end)

    it("is decoded when gzip was asked for, and only then", function()
      local text = ("compressible "):rep(1000)
      local gzip = { headers = { { "Content-Encoding", "gzip" } }, body_file = peers.gzip(text) }
      local peer = peers.start { gzip, gzip, gzip, { headers = { { "Content-Encoding", "gzip" } }, body = "" } }
      assert.equal(text, assert(send(to(peer, { gzip = true }))).body)
      assert.equal("gzip", peer:requests()[1].headers["accept-encoding"])
      assert.equal("", send(to(peer, { gzip = true, method = "HEAD" })).body)
      assert.is_true(#assert(send(to(peer))).body < 1000)
      assert.is_nil(peer:requests()[3].headers["accept-encoding"])
      assert.equal("", send(to(peer, { gzip = true })).body)
    end)

    it("may be exactly as large as the cap, but not a byte larger, plain or decoded", function()
      local function zipped(bytes)
        return { headers = { { "Content-Encoding", "gzip" } }, body_file = peers.gzip(("x"):rep(bytes)) }
      end
      local chunks = { chunks = { ("x"):rep(600), ("x"):rep(401) } }
      local open_end = { body_bytes = 1001, no_length = true }
      local peer = peers.start { { body_bytes = 1000 }, { body_bytes = 1001 }, chunks, open_end, zipped(1000),
        zipped(1001), FINE }
      local options = { max_answer_bytes = 1000 }
      assert.equal(1000, #assert(send(to(peer), options)).body)
      for _ = 1, 3 do
        assert_failure("protocol", "unknown", send(to(peer), options))
      end
      assert.equal(1000, #assert(send(to(peer, { gzip = true }), options)).body)
      assert_failure("protocol", "unknown", send(to(peer, { gzip = true }), options))
      assert.equal("{}", assert(send(to(peer), options)).body)
    end)
  end)

  describe("a failure", function()
    local broken = {
      { "closing without reading", { close = "before_read" }, "network" },
      { "closing without an answer", { close = "after_read" }, "network" },
      { "a reset without an answer", { close = "reset" }, "network" },
      { "garbage that is not HTTP", { raw = "\22\3\1 go away\r\n\r\n" }, "protocol" },
      { "HTTP/0.9", { raw = "<html>hello</html>" }, "protocol" },
      { "an end within the status line", { raw = "HTTP/1.1 20" }, "network" },
      { "an end within the headers", { raw = "HTTP/1.1 200 OK\r\nContent-Type: a" }, "network" },
      { "an end before the empty line", { raw = "HTTP/1.1 200 OK\r\nContent-Type: a\r\n" }, "network" },
      { "an end after an interim answer", { raw = "HTTP/1.1 103 Early\r\n\r\n" }, "network" },
      { "a body shorter than its length", { body = "short", declared_length = 500 }, "network" },
      { "no body at all, but a length", { body = "", declared_length = 500 }, "network" },
      { "chunks without an end", { chunks = { "one" }, unended = true }, "network" },
      { "a reset in the middle of a body", { body = "short", declared_length = 500, reset_after = true }, "network" },
      { "a reset of a body without a length", { body = "short", no_length = true, reset_after = true }, "network" },
      { "a body over the default cap", { body_bytes = 40 * 1024 * 1024 }, "protocol" },
      { "a gzip body that is none", { headers = { { "Content-Encoding", "gzip" } }, body = "plain" }, "protocol" },
    }
    it("tells what it is, is unknown once a byte may have left, and leaves the next request alone", function()
      local bomb = { headers = { { "Content-Encoding", "gzip" } }, body_file = peers.gzip_bomb(64 * 1024 * 1024) }
      broken[#broken + 1] = { "a gzip bomb", bomb, "protocol" }
      local steps = {}
      for _, row in ipairs(broken) do
        steps[#steps + 1] = row[2]
        steps[#steps + 1] = FINE
      end
      local peer = peers.start(steps)
      for _, row in ipairs(broken) do
        local answer, failure = send(to(peer, { method = "PUT", body = "{}", gzip = true }))
        assert.is_nil(answer, row[1])
        assert.equal(row[3], failure.kind, row[1])
        assert_failure(row[3], "unknown", answer, failure)
        assert.equal("{}", assert(send(to(peer))).body, row[1])
      end
    end)

    it("quotes nothing of what was sent or answered", function()
      local peer = peers.start {
        { raw = "HIDDEN garbage\r\n\r\n" },
        { raw = "HTTP/1.1 200 OK\r\nContent-Length: HIDDEN\r\n\r\n" },
        { headers = { { "Content-Encoding", "HIDDEN" } }, body = "HIDDEN", declared_length = 500 },
      }
      for _ = 1, 3 do
        local answer, failure = send {
          method = "POST", url = peer.url .. "/HIDDEN?HIDDEN", headers = { { "X-HIDDEN", "HIDDEN" } }, body = "HIDDEN",
          gzip = true,
        }
        assert_failure("protocol", "unknown", answer, failure)
        assert.is_nil(failure.message:find("HIDDEN"))
      end
    end)

    it("is network and not_sent when nobody listens", function()
      local url = ("http://127.0.0.1:%d/"):format(peers.unused_port())
      assert_failure("network", "not_sent", send { method = "PUT", url = url, body = "{}" })
    end)

    it("is not_sent when the name cannot be resolved, and names the directive", function()
      local answer, failure = send { method = "PUT", url = "https://link.invalid/", body = "{}" }
      assert.is_nil(answer)
      assert.equal("not_sent", failure.phase)
      assert.is_truthy(failure.message:find("nginx.conf", 1, true))
      assert.is_nil(failure.message:find("link.invalid", 1, true))
    end)

    it("leaves an answer that came before the request was read", function()
      local early = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
      local peer = peers.start { { blurt = early } }
      local answer, failure = send(to(peer, { method = "PUT", body = ("b"):rep(8 * 1024 * 1024) }))
      if answer then -- the reset that follows may destroy it
        assert.equal(413, answer.status)
      else
        assert_failure("network", "unknown", answer, failure)
      end
    end)
  end)

  describe("a timeout", function()
    it("is not_sent while the connection is being made", function()
      local url = ("https://localhost:%d/"):format(peers.silent().port)
      assert_failure("timeout", "not_sent", send({ method = "PUT", url = url, body = "{}", connect_timeout_ms = 50 }))
      assert_failure("timeout", "not_sent", send({ method = "PUT", url = url, body = "{}", timeout_ms = 50 }))
    end)

    it("is unknown once the request was written", function()
      local request = { method = "GET", url = peers.silent().url .. "/" }
      assert_failure("timeout", "unknown", send(request, { timeout_ms = 50 }) )
    end)

    it("covers the whole transfer, however steadily head, body or chunks drip", function()
      local slow = { piece_bytes = 1, pause_s = 0.02 }
      local steps = { { body_bytes = 10000 }, { chunks = { ("x"):rep(10000) } } }
      for _, step in ipairs(steps) do
        step.piece_bytes, step.pause_s = slow.piece_bytes, slow.pause_s
        assert_failure("timeout", "unknown", send(to(peers.start { step }, { timeout_ms = 150 })))
      end
    end)
  end)

  describe("a kept connection", function()
    it("that dies under a request gets exactly one copy of it", function()
      local after_read, reset = { close = "after_read" }, { close = "reset" }
      local peer = peers.start { FINE, after_read, FINE, reset, FINE, after_read, FINE, reset, FINE }
      for i, method in ipairs { "GET", "PUT", "POST", "DELETE" } do
        assert(send(to(peer)))
        local body = method:find("^P") and "sale" or nil
        assert_failure("network", "unknown", send { method = method, url = peer.url .. "/second", body = body })
        assert.equal(2 * i, #peer:requests())
        assert.equal(i, peer:connections())
      end
    end)

    it("is used again, but neither for single_use nor after it", function()
      local peer = peers.start { FINE }
      assert(send(to(peer)))
      assert.is_true(assert(send(to(peer, { method = "PUT" }))).reused)
      assert.is_false(assert(send(to(peer, { method = "PUT", single_use = true }))).reused)
      assert.is_false(assert(send(to(peer, { method = "GET", single_use = true }))).reused)
      assert.equal("close", peer:requests()[3].headers.connection)
      assert.equal(3, peer:connections())
      assert.is_true(assert(send(to(peer))).reused)
      assert.equal(1, peer:requests()[5].connection)
    end)

    it("is not used again when the answer says so, when it is of HTTP/1.0, or when it ended with the connection",
      function()
        local last = { body = "1", headers = { { "Connection", "x, Close" } } }
        local steps = { last, last, { body = "1", headers = { { "Connection", "keep-alive" } } }, FINE }
        local peer = peers.start(steps)
        for i = 1, 3 do
          assert.is_false(assert(send(to(peer))).reused)
          assert.equal(i, peer:connections())
        end
        assert.is_true(assert(send(to(peer))).reused)
      end)

    it("that the server closed while idle is replaced before anything is sent", function()
      local peer = peers.start { { body = "1", close = "after_answer" }, FINE }
      assert(send(to(peer)))
      for _ = 1, 500 do
        if peer:closed_connections() == 1 then
          break
        end
        require("socket").sleep(0.01)
      end
      server:run("ngx.sleep(0.02)")
      local answer = assert(send(to(peer, { method = "PUT", body = "{}" })))
      assert.is_false(answer.reused)
      assert.equal(2, #peer:requests())
    end)

    it("with a late answer on it is lent to nobody", function()
      local stray = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
      local peer = peers.start { { body = "1", late = stray }, FINE }
      assert(send(to(peer)))
      server:run("ngx.sleep(0.2)")
      for _, single_use in ipairs { true, false } do
        local answer = assert(send(to(peer, { method = "PUT", body = "{}", single_use = single_use })))
        assert.equal(200, answer.status)
        assert.is_false(answer.reused)
      end
    end)

    it("is closed with a request whose client went away", function()
      local peer = peers.start { { body_bytes = 10000, piece_bytes = 1, pause_s = 0.02 }, FINE }
      local client = assert(require("socket").connect("127.0.0.1", server.port))
      client:send(("GET /aborted?url=%s/ HTTP/1.1\r\nHost: x\r\n\r\n"):format(peer.url))
      for _ = 1, 500 do
        if #peer:requests() == 1 then
          break
        end
        require("socket").sleep(0.01)
      end
      client:close()
      for _ = 1, 500 do
        if peer:closed_connections() == 1 then
          break
        end
        require("socket").sleep(0.01)
      end
      assert.equal(1, peer:closed_connections())
      assert.is_false(assert(send(to(peer))).reused)
    end)
  end)

  describe("TLS", function()
    local function https(port)
      return { method = "PUT", url = ("https://localhost:%d/fine"):format(port), body = "sale" }
    end

    it("accepts a certificate of a trusted authority for the right host, and keeps the connection", function()
      local request = { method = "GET", url = ("https://localhost:%d/fine"):format(server.tls_port) }
      local answer = assert(send(request, { ca_id = "kept" }))
      assert.equal("fine", answer.body)
      assert.is_false(answer.reused)
      assert.is_true(assert(send(request, { ca_id = "kept" })).reused)
      assert.is_false(assert(send(request, { ca_id = "other" })).reused)
    end)

    for _, version in ipairs { "-tls1_2", "-tls1_3" } do
      it("speaks " .. version:gsub("%-tls1_", "1."), function()
        local peer = peers.start_tls(certificates.right_host, version)
        local answer = assert(send { method = "GET", url = ("https://localhost:%d/"):format(peer.port) })
        assert.equal(200, answer.status)
        assert.is_truthy(answer.body:find(version == "-tls1_2" and "TLSv1.2" or "TLSv1.3", 1, true))
      end)
    end

    it("refuses other certificates, and nothing is sent", function()
      for _, name in ipairs { "wrong_host", "alone" } do
        local answer, failure = send(https(peers.start_tls(certificates[name]).port))
        assert_failure("network", "not_sent", answer, failure)
        assert.is_truthy(failure.message:find("certificate", 1, true))
      end
    end)

    it("refuses an address instead of a name", function()
      local answer, failure = send { method = "GET", url = ("https://127.0.0.1:%d/fine"):format(server.tls_port) }
      assert_failure("network", "not_sent", answer, failure)
      assert.is_truthy(failure.message:find("must be a name", 1, true))
    end)

    it("refuses an unknown authority and names the directive, also beside a connection that others have verified",
      function()
        local url = ("https://localhost:%d/fine"):format(server.tls_port)
        assert(send { method = "GET", url = url })
        local status, told = server:get("/stranger?id=strange&url=" .. url)
        assert.equal(200, status)
        assert.is_truthy(told:find("lua_ssl_trusted_certificate", 1, true))
        assert.is_truthy(told:find("%(%d+: unable to "))
      end)

    it("refuses versions before 1.2", function()
      local peer = peers.start_tls(certificates.right_host, "-tls1_1 -cipher DEFAULT@SECLEVEL=0")
      assert_failure("network", "not_sent", send(https(peer.port)))
    end)

    it("is not_sent when the port speaks plain HTTP", function()
      local peer = peers.start { { blurt = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" } }
      assert_failure("network", "not_sent", send(https(peer.port)))
    end)

    it("asks for the name of the URL, wherever connect_to leads", function()
      local place = ("127.0.0.1:%d"):format(server.tls_port)
      local options = { connect_to = { ["link.invalid:443"] = place, ["LOCALHOST:444"] = place } }
      local answer = assert(send({ method = "GET", url = "https://localhost:444/fine" }, options))
      assert.equal("fine", answer.body)
      answer = { send({ method = "GET", url = "https://link.invalid/fine" }, options) }
      assert_failure("network", "not_sent", answer[1], answer[2])
      assert.is_truthy(answer[2].message:find("not for this host", 1, true))
    end)
  end)

  it("keeps the Host header with connect_to", function()
    local peer = peers.start { FINE }
    local options = { connect_to = { ["localhost:81"] = ("127.0.0.1:%d"):format(peer.port) } }
    assert(send({ method = "GET", url = "http://localhost:81/here" }, options))
    assert.equal("localhost:81", peer:requests()[1].headers.host)
  end)

  it("lets the worker go on with others meanwhile", function()
    local url = server.url .. "/slow"
    local order = server:run([[
      local url = ...
      local transport = require("paciolan.transport.nginx").new()
      local order = {}
      local thread = ngx.thread.spawn(function()
        local answer = transport:send { method = "GET", url = url }
        order[#order + 1] = answer and answer.body or "failed"
      end)
      order[#order + 1] = "went on"
      ngx.thread.wait(thread)
      return order
    ]], url)
    assert.same({ "went on", "slow" }, order)
  end)

  describe("the phase", function()
    local function told(key)
      return select(2, server:get("/told?of=" .. key:gsub(" ", "+")))
    end

    for _, phase in ipairs { "access", "rewrite" } do
      it(phase .. " can send, sleep and defer", function()
        server:get("/" .. phase)
        assert.is_truthy(told(phase):find("no connection", 1, true))
        assert.equal("slept", told(phase .. " sleep"))
        assert.equal("true", told(phase .. " gives way"))
        assert.equal("true", told(phase .. " defer"))
        server:run("ngx.sleep(0.02)")
        assert.equal("timer", told(phase .. " deferred"))
      end)
    end

    for _, phase in ipairs { "init", "init_worker", "header_filter", "log", "set" } do
      it(phase .. " cannot, and is told what to do", function()
        if not phase:find("init", 1, true) then
          server:get("/" .. phase)
        end
        assert.is_truthy(told(phase):find("in the phase " .. phase, 1, true))
        assert.is_truthy(told(phase):find("ngx.timer.at(0, ...)", 1, true))
        assert.equal(phase:find("init", 1, true) ~= nil, told(phase .. " sleep") == "slept")
        assert.equal("false", told(phase .. " gives way"))
        assert.equal(phase == "init" and "false" or "true", told(phase .. " defer"))
        server:run("ngx.sleep(0.02)")
        assert.equal(phase == "init" and "nil" or "timer", told(phase .. " deferred"))
      end)
    end
  end)

  it("leaves nothing in the log but what nginx says of sockets by itself", function()
    for line in server:errors():gmatch("[^\n]+") do
      local call = line:match("%[error%].- (%S+)%(%) failed")
      assert.is_truthy(call == "recv" or call == "send" or call == "SSL_do_handshake", line)
    end
  end)
end)
