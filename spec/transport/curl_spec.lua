local curl = require("paciolan.transport.curl")
local peers = require("support.peers")
local socket = require("socket")

-- An answer that any request gets when a test is about something else.
local FINE = { status = 200, headers = { { "Content-Type", "application/json" } }, body = "{}" }

describe("paciolan.transport.curl", function()
  local transport

  -- Opens the transport of a test; after_each closes it.
  local function open(options)
    transport = curl.new(options)
    return transport
  end

  local function request(peer, given)
    local made = { method = "GET", url = peer.url .. "/v1/things", headers = {}, timeout_ms = 20000 }
    for key, value in pairs(given or {}) do
      made[key] = value
    end
    return made
  end

  local function send(peer, given)
    return transport:send(request(peer, given))
  end

  local function assert_failure(kind, phase, answer, failure)
    assert.is_nil(answer)
    assert.are.equal(kind, failure.kind)
    assert.are.equal(phase, failure.phase)
    assert.is_string(failure.message)
    assert.is_truthy(#failure.message > 10 and not failure.message:find("%c"))
    assert.is_number(failure.elapsed_ms)
    assert.is_number(failure.code)
  end

  after_each(function()
    if transport then
      transport:close()
      transport = nil
    end
    peers.stop_all()
  end)

  describe("a request", function()
    it("arrives whole: method, path, query, headers in order, body", function()
      local peer = peers.start({ FINE })
      open()
      local answer = send(peer, {
        method = "PUT",
        url = peer.url .. "/v1/a/../b%20c?x=1&y=%2F",
        headers = { { "Content-Type", "application/json" }, { "X-First", "1" }, { "X-Second", "two words" } },
        body = '{"a":"\195\164\0b"}',
      })
      assert.are.equal(200, answer.status)
      local seen = peer:requests()[1]
      assert.are.equal("PUT", seen.method)
      assert.are.equal("/v1/a/../b%20c?x=1&y=%2F", seen.path)
      assert.are.equal('{"a":"\195\164\0b"}', seen.body)
      assert.are.equal("two words", seen.headers["x-second"])
      local order = {}
      for _, line in ipairs(seen.header_lines) do
        order[#order + 1] = line:match("^X%-%a+") or line:match("^Content%-Type")
      end
      assert.are.same({ "Content-Type", "X-First", "X-Second" }, order)
    end)

    it("sends an empty header value", function()
      local peer = peers.start({ FINE })
      open()
      assert(send(peer, { headers = { { "X-Empty", "" }, { "X-Blank", " \t" }, { "X-Full", "1" } } }))
      local seen = peer:requests()[1].headers
      assert.are.equal("", seen["x-empty"])
      assert.are.equal("", seen["x-blank"])
      assert.are.equal("1", seen["x-full"])
    end)

    local framing = {
      { method = "GET", length = nil },
      { method = "DELETE", length = nil },
      { method = "HEAD", length = nil },
      { method = "POST", length = "0" },
      { method = "PUT", length = "0" },
      { method = "PATCH", length = "0" },
      { method = "DELETE", body = "{}", length = "2" },
      { method = "POST", body = "", length = "0" },
      { method = "PUT", body = ("b"):rep(3 * 1024 * 1024), length = "3145728" },
    }
    for _, row in ipairs(framing) do
      local name = ("%s with %s"):format(row.method, row.body and (#row.body .. " bytes") or "no body")
      it("is framed by Content-Length or not at all, and carries no surprise: " .. name, function()
        local peer = peers.start({ FINE })
        open()
        local answer = assert(send(peer, { method = row.method, body = row.body }))
        assert.are.equal(row.method == "HEAD" and "" or "{}", answer.body)
        local seen = peer:requests()[1]
        assert.are.equal(row.method, seen.method)
        assert.are.equal(row.length, seen.headers["content-length"])
        assert.are.equal(row.body or "", seen.body)
        for _, absent in ipairs({ "transfer-encoding", "expect", "content-type", "cookie", "accept-encoding" }) do
          assert.is_nil(seen.headers[absent])
        end
      end)
    end

    it("leaves nothing behind for the next one on the same connection", function()
      local peer = peers.start({ FINE })
      open()
      assert(send(peer, { method = "PUT", body = "first", headers = { { "X-Secret", "s" } }, gzip = true }))
      local answer = assert(send(peer, { method = "DELETE" }))
      assert.is_true(answer.reused)
      local seen = peer:requests()[2]
      assert.are.equal("DELETE", seen.method)
      assert.are.equal("", seen.body)
      assert.is_nil(seen.headers["x-secret"])
      assert.is_nil(seen.headers["accept-encoding"])
      assert.is_nil(seen.headers["content-length"])
      assert(send(peer))
      assert.are.equal("GET", peer:requests()[3].method)
      assert.are.equal(1, peer:connections())
    end)

    it("goes to a loopback host without the proxy", function()
      local peer = peers.start({ FINE })
      open({ proxy = "http://127.0.0.1:" .. peers.unused_port() })
      assert.are.equal(200, assert(send(peer)).status)
    end)

    it("goes to other hosts through the proxy, whose refusal is not_sent", function()
      local proxy = peers.start({ { status = 502, headers = { { "X-Secret", "hidden" } } } })
      open({ proxy = proxy.url })
      local url = "https://link.invalid/v1?q=hidden"
      local answer, failure = transport:send({ method = "PUT", url = url, body = "hidden" })
      assert_failure("network", "not_sent", answer, failure)
      assert.is_nil(failure.message:find("hidden"))
      assert.are.equal("CONNECT", proxy:requests()[1].method)
      assert.are.equal("link.invalid:443", proxy:requests()[1].path)
      assert.are.equal(1, #proxy:requests())
    end)
  end)

  describe("an answer", function()
    it("has status, headers in lower case, body, elapsed_ms and reused", function()
      local headers = { { "Content-Type", "text/plain" }, { "X-Twice", "a" }, { "x-twice", "b" }, { "X-None", "" } }
      local peer = peers.start({ { status = 207, headers = headers, body = "b\0dy" } })
      open()
      local answer, failure = send(peer)
      assert.is_nil(failure)
      assert.are.equal(207, answer.status)
      assert.are.equal("b\0dy", answer.body)
      assert.are.same(
        { ["content-type"] = "text/plain", ["x-twice"] = "a, b", ["x-none"] = "", ["content-length"] = "4" },
        answer.headers
      )
      assert.is_number(answer.elapsed_ms)
      assert.is_false(answer.reused)
      assert.is_true(send(peer).reused)
    end)

    local ordinary = {
      { "an HTML 500", { status = 500, headers = { { "Content-Type", "text/html" } }, body = "<p>" }, 500, "<p>" },
      { "a redirect, not followed", { status = 302, headers = { { "Location", "/elsewhere" } } }, 302, "" },
      { "chunks", { chunks = { "one ", "two ", "three" } }, 200, "one two three" },
      { "a slow body within the time", { body = "slow", pause_s = 0.05, piece_bytes = 1 }, 200, "slow" },
      { "a body that ends with the connection", { body = "whole", no_length = true }, 200, "whole" },
      { "an interim answer first", {
        raw = "HTTP/1.1 103 Early\r\nX-Interim: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      }, 200, "ok" },
      { "a status without a name", { raw = "HTTP/1.1 422\r\nContent-Length: 0\r\n\r\n" }, 422, "" },
    }
    for _, row in ipairs(ordinary) do
      it("may be " .. row[1], function()
        local peer = peers.start({ row[2] })
        open()
        local answer, failure = send(peer)
        assert.is_nil(failure)
        assert.are.equal(row[3], answer.status)
        assert.are.equal(row[4], answer.body)
        assert.is_nil(answer.headers["x-interim"])
        assert.are.equal(1, #peer:requests())
      end)
    end

    it("is decoded when gzip was asked for, and only then", function()
      local text = ("compressible "):rep(1000)
      local file = peers.gzip(text)
      local peer = peers.start({ { headers = { { "Content-Encoding", "gzip" } }, body_file = file } })
      open()
      assert.are.equal(text, assert(send(peer, { gzip = true })).body)
      assert.are.equal("gzip", peer:requests()[1].headers["accept-encoding"])
      assert.are_not.equal(text, assert(send(peer)).body)
      assert.is_nil(peer:requests()[2].headers["accept-encoding"])
    end)

    it("may be exactly as large as the cap, but not a byte larger", function()
      local peer = peers.start({ { body_bytes = 1000 }, { body_bytes = 1001 }, FINE })
      open({ max_answer_bytes = 1000 })
      assert.are.equal(1000, #assert(send(peer)).body)
      assert_failure("protocol", "unknown", send(peer))
      assert.are.equal("{}", assert(send(peer)).body)
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
      { "a chunk size that is none", {
        raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      }, "protocol" },
      { "a NUL in a header", { raw = "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n" }, "protocol" },
      { "a body over the default cap", { body_bytes = 40 * 1024 * 1024 }, "protocol" },
      { "a header of 10 MB", { header_bytes = 10 * 1024 * 1024 }, "protocol" },
      { "a header of 300 KB", { header_bytes = 300 * 1000 }, "protocol" },
      { "a thousand headers", { header_lines = 1000 }, "protocol" },
      { "a gzip body that is none", { headers = { { "Content-Encoding", "gzip" } }, body = "plain" }, "protocol" },
    }
    for _, row in ipairs(broken) do
      it(("is %s and unknown for %s, and the next request works"):format(row[3], row[1]), function()
        local peer = peers.start({ row[2], FINE })
        open()
        assert_failure(row[3], "unknown", send(peer, { method = "PUT", body = "{}", gzip = true }))
        assert.are.equal("{}", assert(send(peer)).body)
      end)
    end

    it("is protocol for a gzip bomb, whose decoded size counts", function()
      local file = peers.gzip_bomb(64 * 1024 * 1024)
      local peer = peers.start({ { headers = { { "Content-Encoding", "gzip" } }, body_file = file } })
      open()
      assert_failure("protocol", "unknown", send(peer, { gzip = true }))
    end)

    it("quotes nothing of what was sent or answered", function()
      local peer = peers.start({
        { raw = "HIDDEN garbage\r\n\r\n" },
        { raw = "HTTP/1.1 200 OK\r\nContent-Length: HIDDEN\r\n\r\n" },
        { headers = { { "Content-Encoding", "HIDDEN" } }, body = "HIDDEN", declared_length = 500 },
      })
      open()
      for _ = 1, 3 do
        local answer, failure = send(peer, {
          method = "POST",
          url = peer.url .. "/HIDDEN?HIDDEN",
          headers = { { "X-HIDDEN", "HIDDEN" } },
          body = "HIDDEN",
          gzip = true,
        })
        assert_failure("protocol", "unknown", answer, failure)
        assert.is_nil(failure.message:find("HIDDEN"))
      end
    end)

    it("is network and not_sent when nobody listens", function()
      open()
      local port = peers.unused_port()
      local answer, failure = transport:send({ method = "PUT", url = "http://127.0.0.1:" .. port .. "/", body = "{}" })
      assert_failure("network", "not_sent", answer, failure)
    end)

    it("is network and not_sent when the name cannot be resolved", function()
      open({ proxy = "" })
      -- A label may have 63 characters (RFC 1035, 2.3.4): a resolver refuses this one without asking anybody.
      local url = "https://" .. ("a"):rep(64) .. ".invalid/"
      assert_failure("network", "not_sent", transport:send({ method = "PUT", url = url, body = "{}" }))
    end)
  end)

  describe("a timeout", function()
    it("is not_sent while the connection is being made", function()
      local silent = peers.silent()
      open({ connect_timeout_ms = 200 })
      local url = ("https://127.0.0.1:%d/"):format(silent.port)
      local answer, failure = transport:send({ method = "PUT", url = url, body = "{}" })
      assert_failure("timeout", "not_sent", answer, failure)
    end)

    it("is unknown once the request was written", function()
      open({ timeout_ms = 200 })
      assert_failure("timeout", "unknown", transport:send({ method = "GET", url = peers.silent().url .. "/" }))
    end)

    it("covers the whole transfer, however steadily the body drips", function()
      local peer = peers.start({ { body_bytes = 10000, piece_bytes = 1, pause_s = 0.02 } })
      open()
      assert_failure("timeout", "unknown", send(peer, { timeout_ms = 300 }))
    end)

    it("of the request goes before the transport's", function()
      local peer = peers.start({ { stall = true } })
      open({ timeout_ms = 60000 })
      assert_failure("timeout", "unknown", send(peer, { timeout_ms = 100 }))
    end)
  end)

  describe("a kept connection", function()
    for _, method in ipairs({ "GET", "PUT", "POST", "DELETE" }) do
      for _, close in ipairs({ "after_read", "reset" }) do
        it(("that dies under a %s (%s) gets exactly one copy of it"):format(method, close), function()
          local peer = peers.start({ FINE, { close = close }, FINE })
          open()
          assert(send(peer))
          local second = { method = method, url = peer.url .. "/second", body = method:find("^P") and "sale" or nil }
          assert_failure("network", "unknown", send(peer, second))
          local copies = 0
          for _, seen in ipairs(peer:requests()) do
            copies = copies + (seen.path == "/second" and 1 or 0)
          end
          assert.are.equal(1, copies)
          assert.are.equal(200, assert(send(peer)).status)
        end)
      end
    end

    it("that the server closed while idle is replaced before anything is sent", function()
      local peer = peers.start({ { body = "1", close = "after_answer" }, FINE })
      open()
      assert(send(peer))
      socket.sleep(0.2)
      local answer = assert(send(peer, { method = "PUT", body = "{}", single_use = true }))
      assert.are.equal(200, answer.status)
      assert.is_false(answer.reused)
      assert.are.equal(2, #peer:requests())
    end)

    it("is used again, but neither for single_use nor after it", function()
      local peer = peers.start({ FINE })
      open()
      assert(send(peer))
      assert.is_true(assert(send(peer, { method = "PUT" })).reused)
      assert.is_false(assert(send(peer, { method = "PUT", single_use = true })).reused)
      assert.is_false(assert(send(peer, { method = "GET", single_use = true })).reused)
      assert.are.equal(3, peer:connections())
      assert.is_true(assert(send(peer)).reused)
      assert.are.equal(1, peer:requests()[5].connection)
    end)

    it("never lends a late answer to a single_use request", function()
      local stray = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
      local peer = peers.start({ { body = "1", late = stray }, FINE })
      open()
      assert(send(peer))
      socket.sleep(0.3)
      local answer = assert(send(peer, { method = "PUT", body = "{}", single_use = true }))
      assert.are.equal(200, answer.status)
      assert.are.equal(2, #peer:requests())
    end)

    it("is not inherited, and so kept open, by programs that the host starts", function()
      local peer = peers.start({ FINE })
      open()
      assert(send(peer))
      peers.start({ FINE }) -- a program that lives on
      transport:close()
      local deadline = socket.gettime() + 10
      while peer:closed_connections() == 0 and socket.gettime() < deadline do
        socket.sleep(0.02)
      end
      assert.are.equal(1, peer:closed_connections())
    end)
  end)

  describe("TLS", function()
    local certificates

    before_each(function()
      certificates = peers.certificates()
    end)

    it("accepts a certificate of a trusted authority for the right host", function()
      local peer = peers.start_tls(certificates.right_host)
      open({ ca_file = certificates.authority.file })
      assert.are.equal(200, assert(send(peer)).status)
      local by_name = ("https://localhost:%d/"):format(peer.port)
      assert.are.equal(200, assert(send(peer, { url = by_name })).status)
    end)

    it("takes trusted roots from a folder too", function()
      local peer = peers.start_tls(certificates.right_host)
      os.execute(("openssl rehash '%s'"):format(certificates.folder))
      open({ ca_path = certificates.folder })
      assert.are.equal(200, assert(send(peer)).status)
    end)

    local refused = {
      { "a certificate for another host", "wrong_host", "authority" },
      { "an unknown authority", "right_host", "stranger" },
      { "a self-signed certificate", "alone", "authority" },
      { "an authority that only the caller has, without ca_file", "right_host", nil },
    }
    for _, row in ipairs(refused) do
      it("refuses " .. row[1] .. ", and nothing is sent", function()
        local peer = peers.start_tls(certificates[row[2]])
        open({ ca_file = row[3] and certificates[row[3]].file })
        local answer, failure = send(peer, { method = "PUT", body = "sale" })
        assert_failure("network", "not_sent", answer, failure)
        assert.is_truthy(failure.message:find("certificate", 1, true))
      end)
    end

    it("refuses versions before 1.2", function()
      local peer = peers.start_tls(certificates.right_host, "-tls1_1 -cipher DEFAULT@SECLEVEL=0")
      open({ ca_file = certificates.authority.file })
      assert_failure("network", "not_sent", send(peer))
    end)

    it("is not_sent when the port speaks plain HTTP", function()
      local peer = peers.start({ { blurt = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" } })
      open()
      local url = peer.url:gsub("^http:", "https:")
      assert_failure("network", "not_sent", send(peer, { method = "PUT", url = url, body = "sale" }))
    end)

    it("is not_sent when ca_file cannot be read", function()
      local peer = peers.start_tls(certificates.right_host)
      open({ ca_file = certificates.folder .. "/missing.pem" })
      local answer, failure = send(peer)
      assert_failure("network", "not_sent", answer, failure)
      assert.is_truthy(failure.message:find("ca_file", 1, true))
    end)
  end)

  describe("misuse", function()
    local function with(changes)
      local made = { method = "GET", url = "https://link.invalid/", headers = {} }
      for key, value in pairs(changes) do
        made[key] = value
      end
      return made
    end

    local wrong = {
      { "no method", { method = false }, "method" },
      { "an unknown method", { method = "BREW" }, "request.method" },
      { "a method with a line end", { method = "GET\r\nX: y" }, "request.method" },
      { "a method with a NUL", { method = "GET\0" }, "method: NUL" },
      { "a url that is no string", { url = 12 }, "url: a string" },
      { "a url with a line end", { url = "https://link.invalid/\r\nX: y" }, "request.url" },
      { "a url with a NUL", { url = "https://link.invalid/\0" }, "url: NUL" },
      { "a url with a blank", { url = "https://link.invalid/a b" }, "request.url" },
      { "a url with raw UTF-8", { url = "https://link.invalid/\195\164" }, "request.url" },
      { "a relative url", { url = "/v1/things" }, "request.url" },
      { "a url without a scheme", { url = "link.invalid/" }, "request.url" },
      { "another scheme", { url = "ftp://link.invalid/" }, "request.url" },
      { "a file", { url = "file:///etc/hosts" }, "request.url" },
      { "http to another host", { url = "http://link.invalid/" }, "loopback" },
      { "http to a host that only begins like loopback", { url = "http://127.0.0.1.invalid/" }, "loopback" },
      { "a user name in the url", { url = "https://user:word@link.invalid/" }, "request.url" },
      { "a body on GET", { body = "{}" }, "request.body" },
      { "a body that is no string", { method = "PUT", body = {} }, "body: a string" },
      { "headers that are no list of pairs", { headers = { "X: y" } }, "headers: a list" },
      { "a header without a value", { headers = { { "X" } } }, "headers: name and value" },
      { "a header value that is no string", { headers = { { "X", 1 } } }, "headers: value" },
      { "a header value with a line end", { headers = { { "X", "a\r\nY: b" } } }, "request.headers%[1%]" },
      { "a header value with a newline", { headers = { { "A", "b" }, { "X", "a\nY: b" } } }, "request.headers%[2%]" },
      { "a header value with a NUL", { headers = { { "X", "a\0b" } } }, "headers: value: NUL" },
      { "a header name with a colon", { headers = { { "X: y", "a" } } }, "not a header name" },
      { "a header name with a line end", { headers = { { "X\r\nY", "a" } } }, "not a header name" },
      { "an empty header name", { headers = { { "", "a" } } }, "not a header name" },
      { "the transport's own header", { headers = { { "Content-length", "3" } } }, "transport's to set" },
      { "an Accept-Encoding", { headers = { { "Accept-Encoding", "gzip" } } }, "transport's to set" },
      { "an unknown key", { timeout = 1 }, "unknown key timeout" },
      { "a timeout of zero", { timeout_ms = 0 }, "timeout_ms" },
      { "a fraction of a millisecond", { connect_timeout_ms = 1.5 }, "connect_timeout_ms" },
      { "a flag that is no boolean", { single_use = 1 }, "single_use" },
    }
    for _, row in ipairs(wrong) do
      it("raises for " .. row[1], function()
        open()
        assert.has_error.matches(function()
          transport:send(with(row[2]))
        end, row[3])
      end)
    end

    it("of a value never shows the value", function()
      open()
      local requests = { with({ url = "http://SECRET/" }), with({ headers = { { "X", "SECRET\n" } } }) }
      for _, made in ipairs(requests) do
        local ok, message = pcall(transport.send, transport, made)
        assert.is_false(ok)
        assert.is_nil(tostring(message):find("SECRET"))
      end
    end)

    local options = {
      { "an unknown option", { verify = false }, "unknown key verify" },
      { "a ca_file that is no string", { ca_file = true }, "ca_file: a string" },
      { "a proxy with a NUL", { proxy = "a\0" }, "proxy: NUL" },
      { "a cap of zero", { max_answer_bytes = 0 }, "max_answer_bytes" },
      { "a timeout given as text", { timeout_ms = "100" }, "timeout_ms" },
      { "options that are no table", "x", "options: a table" },
    }
    for _, row in ipairs(options) do
      it("of new raises for " .. row[1], function()
        assert.has_error.matches(function()
          curl.new(row[2])
        end, row[3])
      end)
    end

    it("of a closed transport raises; closing again does not", function()
      open()
      assert.are.equal("paciolan.transport.curl (open)", tostring(transport))
      transport:close()
      transport:close()
      assert.are.equal("paciolan.transport.curl (closed)", tostring(transport))
      assert.has_error.matches(function()
        transport:send(with({}))
      end, "closed")
    end)
  end)

  describe("inside nginx", function()
    after_each(function()
      rawset(_G, "ngx", nil)
    end)

    local function in_phase(name)
      rawset(_G, "ngx", {
        get_phase = function()
          return name
        end,
      })
    end

    it("refuses to block a worker", function()
      open()
      for _, phase in ipairs({ "rewrite", "access", "content", "log", "timer" }) do
        in_phase(phase)
        assert.has_error.matches(function()
          transport:send({ method = "GET", url = "https://link.invalid/" })
        end, "transport.nginx")
      end
    end)

    it("works while nginx starts", function()
      local peer = peers.start({ FINE })
      open()
      in_phase("init_worker")
      assert.are.equal(200, assert(send(peer)).status)
    end)
  end)

  it("lets the collector close what was forgotten", function()
    local peer = peers.start({ FINE })
    for _ = 1, 20 do
      assert(curl.new():send(request(peer)))
    end
    collectgarbage()
    collectgarbage()
    assert.are.equal(20, peer:connections())
  end)
end)
