local files = require "support.files"
local httpd = require "paciolan.httpd"
local program = require "support.program"
local socket = require "socket"

local WAIT_MS = 5000
local ENDED, RESET = "52", "56" -- CURLE_GOT_NOTHING, CURLE_RECV_ERROR

describe("paciolan.httpd", function()
  local server, clients

  before_each(function()
    clients = {}
  end)

  after_each(function()
    for _, client in ipairs(clients) do
      client:close()
    end
    if server then
      server:close()
      server = nil
    end
  end)

  local function listen(options)
    server = assert(httpd.listen(options or {}))
    return server
  end

  local function connect()
    local client = assert(socket.connect("127.0.0.1", server:port()))
    client:settimeout(5)
    clients[#clients + 1] = client
    return client
  end

  local function send(text, client)
    client = client or connect()
    assert(client:send(text))
    return client
  end

  local function get(path, client)
    return send("GET " .. path .. " HTTP/1.1\r\nHost: x\r\n\r\n", client)
  end

  -- Lets the server write what it holds; nothing new is expected.
  local function flush()
    assert.is_nil(server:next(0))
    assert.is_nil(server:next(0))
  end

  -- Reads an answer; the server is turned while the client waits for bytes.
  local function read(client)
    local data, head_end = ""
    client:settimeout(0)
    local function more()
      server:next(10)
      local chunk, why, part = client:receive(65536)
      data = data .. (chunk or part or "")
      return why ~= "closed"
    end
    repeat
      local open = more()
      head_end = select(2, data:find("\r\n\r\n", 1, true))
    until head_end or not open
    if not head_end then
      return nil, data
    end
    local head = data:sub(1, head_end)
    local length = tonumber(head:match("[Cc]ontent%-[Ll]ength: (%d+)")) or 0
    while #data < head_end + length and more() do end
    client:settimeout(5)
    return tonumber(head:match("^HTTP/1%.1 (%d+)")), data:sub(head_end + 1), head
  end

  describe("listen", function()
    it("takes a free port on the loopback by default and shows it", function()
      listen()
      assert.is_true(server:port() > 0)
      assert.equal("paciolan.httpd (open, port " .. string.format("%d", server:port()) .. ")", tostring(server))
    end)

    it("says when the port is in use", function()
      listen()
      local other, message = httpd.listen { port = server:port() }
      assert.is_nil(other)
      assert.truthy(message:find("in use", 1, true))
    end)

    local MISUSE = {
      { "no table", nil }, { "an unknown option", { prot = 80 } }, { "a host name", { host = "example.com" } },
      { "a port out of range", { port = 65536 } }, { "a port that is no number", { port = "80" } },
      { "half a port", { port = 80.5 } }, { "a tiny header limit", { max_header_bytes = 10 } },
      { "TLS without a key", { tls = { certificate = "x" } } }, { "TLS with more", { tls = { password = "x" } } },
    }
    for _, row in ipairs(MISUSE) do
      it("raises for " .. row[1], function()
        assert.has_error(function() httpd.listen(row[2]) end)
      end)
    end

    it("says that bad PEM is bad PEM", function()
      local none, message = httpd.listen { tls = { certificate = "x", key = "y" } }
      assert.is_nil(none)
      assert.truthy(message:find("PEM", 1, true))
    end)
  end)

  describe("next", function()
    it("answers nil when nothing came in time", function()
      listen()
      assert.is_nil(server:next(1))
      assert.is_nil(server:next())
    end)

    it("gives path and query raw, header names in lower case, repeats joined, the body exact", function()
      listen()
      local body = "a\0b\r\n\255"
      send("PUT /v1/a%20b:c/%2F?x=%31&y HTTP/1.1\r\nHost: x\r\nX-Thing: one\r\nx-thing: two\r\nEmpty:\r\n"
        .. "Content-Length: 6\r\n\r\n" .. body)
      local request = server:next(WAIT_MS)
      assert.same({ "PUT", "/v1/a%20b:c/%2F", "x=%31&y" }, { request.method, request.path, request.query })
      assert.equal("one, two", request.headers["x-thing"])
      assert.equal("", request.headers.empty)
      assert.equal(body, request.body)
    end)

    it("gathers a body that arrives in pieces, and a chunked one", function()
      listen()
      local client = send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
      assert.is_nil(server:next(20))
      send("def", client)
      assert.equal("abcdef", server:next(WAIT_MS).body)
      send("POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
      assert.equal("abcde", server:next(WAIT_MS).body)
    end)

    it("answers 100-continue to a client that waits for it", function()
      listen()
      local client = send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
      assert.is_nil(server:next(50))
      assert.equal("HTTP/1.1 100 Continue", client:receive("*l"))
      send("ok", client)
      assert.equal("ok", server:next(WAIT_MS).body)
    end)

    it("refuses a body over the limit before it is sent", function()
      listen { max_body_bytes = 10 }
      send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789")
      assert.equal("0123456789", server:next(WAIT_MS).body)
      local client = send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n")
      assert.equal(413, (read(client)))
    end)

    it("ends the connection when a chunked body passes the limit", function()
      listen { max_body_bytes = 10 }
      local client = send("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        .. "b\r\n0123456789a\r\n0\r\n\r\n")
      assert.is_nil((read(client)))
      assert.is_nil(server:next(0))
    end)

    it("refuses headers over the limit", function()
      listen { max_header_bytes = 4096 }
      local client = send("GET / HTTP/1.1\r\nHost: x\r\nX-Long: " .. ("x"):rep(5000) .. "\r\n\r\n")
      assert.equal(431, (read(client)))
    end)

    it("refuses a request line that is not HTTP", function()
      listen()
      local status = read(send("NONSENSE\r\n\r\n"))
      assert.is_true(status == nil or status >= 400)
      assert.is_nil(server:next(0))
    end)

    it("ends on SIGTERM when asked to watch signals", function()
      listen { stop_on_signals = true }
      os.execute("kill -TERM $PPID")
      local request, why = server:next(WAIT_MS)
      assert.is_nil(request)
      assert.equal("stopped", why)
    end)

    it("lets no write end a program that asked for that, but those that it starts", function()
      local script, limited = os.tmpname(), os.tmpname()
      files.write(script, [[
        local server = assert(require("paciolan.httpd").listen { survive_write_signals = true })
        local ok, _, code
        repeat
          ok, _, code = io.write(("x"):rep(65536))
        until not ok
        local child = os.execute("kill -PIPE $$")
        local file = assert(io.open(arg[1], "wb"))
        file:setvbuf("no")
        local _, _, large = file:write(("x"):rep(1000000))
        server:close()
        io.stderr:write(code, " ", large, " ", tostring(child == true or child == 0), "\n")
      ]])
      local words = program.words { script, limited }
      local _, _, problems = program.run(("ulimit -f 64; env %s %s %s | :"):format(program.environment(), program.lua,
        words))
      os.remove(script)
      os.remove(limited)
      assert.equal("32 27 false", problems:match("^[^\n]*"))
    end)
  end)

  local BYTE_PAUSE_MS = 20
  local ENOUGH = 1500 -- turns of that long: half a minute

  -- Whether the server ends all of these connections, each of which sends a byte at every turn.
  local function ends_all(slow)
    local open = #slow
    for at = 1, ENOUGH do
      server:next(BYTE_PAUSE_MS)
      for _, one in ipairs(slow) do
        one.client:settimeout(0)
        one.client:send(one.text:sub((at - 1) % #one.text + 1, (at - 1) % #one.text + 1))
        if not one.is_closed and select(2, one.client:receive(1)) == "closed" then
          one.is_closed = true
          open = open - 1
        end
      end
      if open == 0 then
        return true
      end
    end
    return false
  end

  describe("a deadline", function()
    it("ends connections whose head or body never ends, without an answer, and no other", function()
      listen { request_deadline_s = 1 }
      local held = get("/held")
      local request = assert(server:next(WAIT_MS))
      assert.is_true(ends_all {
        { client = send("GET /slow HTTP/1.1\r\n"), text = "X-More: x\r\n" },
        { client = send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"), text = "x" },
      })
      server:reply(request, 200, nil, "in peace")
      assert.equal(200, (read(held)))
      get("/again", held)
      server:reply(assert(server:next(WAIT_MS)), 200)
      assert.equal(200, (read(held)))
      assert.is_true(ends_all { { client = send("GET /slow HTTP/1.1\r\n", held), text = "X-More: x\r\n" } })
    end)

    it("ends connections whose headers take longer than theirs, but no body and nobody who rests", function()
      listen { header_deadline_s = 1, request_deadline_s = 60 }
      local function answered()
        local client = get("/first")
        server:reply(assert(server:next(WAIT_MS)), 200)
        assert.equal(200, (read(client)))
        return client
      end
      local slow = send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo")
      local resting = answered()
      assert.is_true(ends_all {
        { client = connect(), text = "\r\n" },
        { client = send("GET /slow HTTP/1.1\r\n"), text = "X-More: x\r\n" },
        { client = send("GET /slow HTTP/1.1\r\n", answered()), text = "X-More: x\r\n" },
      })
      send("dy", slow)
      assert.equal("body", assert(server:next(WAIT_MS)).body)
      get("/second", resting)
      assert.equal("/second", assert(server:next(WAIT_MS)).path)
    end)

    it("counts no time that the program takes for itself", function()
      listen { request_deadline_s = 1 }
      local client = send("POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo")
      flush()
      socket.sleep(1.2)
      send("dy", client)
      assert.equal("body", assert(server:next(WAIT_MS)).body)
    end)

    it("ends a silent connection after idle_timeout_s", function()
      listen { idle_timeout_s = 1 }
      local client = connect()
      client:settimeout(0)
      local why
      for _ = 1, ENOUGH do
        server:next(BYTE_PAUSE_MS)
        why = select(2, client:receive(1))
        if why == "closed" then
          break
        end
      end
      assert.equal("closed", why)
    end)

    it("is a whole number of seconds", function()
      for _, name in ipairs { "idle_timeout_s", "header_deadline_s", "request_deadline_s" } do
        for _, value in ipairs { 0, -1, 1.5, "5", 86401 } do
          assert.has_error(function() httpd.listen { [name] = value } end,
            name .. " must be a whole number from 1 to 86400")
        end
      end
    end)
  end)

  describe("a flood", function()
    local function closed(list)
      local count = 0
      for _, client in ipairs(list) do
        client:settimeout(0)
        count = count + (select(2, client:receive(1)) == "closed" and 1 or 0)
      end
      return count
    end

    it("of connections without a request keeps no request out, and ends none that is complete", function()
      listen { max_connections = 16 }
      local held = get("/held")
      local request, idle = assert(server:next(WAIT_MS)), {}
      local half = "POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
      for at = 1, 60 do
        idle[at] = at % 2 == 0 and connect() or send(half)
      end
      local client = get("/genuine")
      local genuine = assert(server:next(WAIT_MS))
      assert.equal("/genuine", genuine.path)
      server:reply(genuine, 200)
      assert.equal(200, (read(client)))
      server:reply(request, 200, nil, "in peace")
      assert.equal("in peace", select(2, read(held)))
      flush()
      assert.is_true(closed(idle) >= 60 - 16)
      assert.equal(0, closed { client, held })
    end)

    it("of bodies ends the connection whose body leaves no room, without an answer", function()
      listen { max_body_bytes = 100000, max_pending_bytes = 150000 }
      local head = "POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
      local first = send(head:format(1) .. ("a"):rep(99999))
      assert.is_nil(server:next(50))
      local second = send(head:format(2) .. ("b"):rep(99999))
      assert.same({ nil, "" }, { read(second) })
      send("a", first)
      local request = assert(server:next(WAIT_MS))
      assert.equal(100000, #request.body)
      local third = send(head:format(3) .. ("c"):rep(100000))
      assert.equal("/3", assert(server:next(WAIT_MS)).path)
      server:reply(request, 200)
      assert.equal(200, (read(first)))
      third:close()
    end)

    it("is bounded by options that fit together", function()
      assert.has_error(function() httpd.listen { max_pending_bytes = 10, max_body_bytes = 11 } end,
        "max_pending_bytes must not be less than max_body_bytes")
      assert.has_error(function() httpd.listen { max_connections = 7 } end,
        "max_connections must be a whole number from 8 to 100000")
      listen { max_body_bytes = 200 * 1024 * 1024 }
    end)
  end)

  describe("reply", function()
    it("sends status, headers and body", function()
      listen()
      local client = get("/a")
      server:reply(server:next(WAIT_MS), 207, { ["Content-Type"] = "application/json", ["X-A"] = "b" }, '{"a":1}')
      local status, body, head = read(client)
      assert.same({ 207, '{"a":1}' }, { status, body })
      assert.truthy(head:find("Content-Type: application/json\r\n", 1, true))
      assert.truthy(head:find("X-A: b\r\n", 1, true))
    end)

    it("serves many requests on one connection, pipelined ones in order", function()
      listen()
      local client = connect()
      for i = 1, 3 do
        get("/" .. i, client)
        server:reply(server:next(WAIT_MS), 200, nil, "answer" .. i)
        assert.equal("answer" .. i, select(2, read(client)))
      end
      local one = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
      send(one .. one:gsub("/x", "/y"), client)
      local first = server:next(WAIT_MS)
      assert.is_nil(server:next(20))
      server:reply(first, 200, nil, "first")
      local second = server:next(WAIT_MS)
      assert.same({ "/x", "/y" }, { first.path, second.path })
      server:reply(second, 200, nil, "second")
      flush()
      server:close()
      assert.truthy(client:receive("*a"):find("\r\n\r\nfirstHTTP/1.1 200.*\r\n\r\nsecond$"))
    end)

    it("holds many requests and answers them in any order", function()
      listen()
      local waiting, by_path = {}, {}
      for i = 1, 40 do
        by_path["/" .. i] = get("/" .. i)
      end
      for i = 1, 40 do
        waiting[i] = assert(server:next(WAIT_MS))
      end
      for i = 40, 1, -1 do
        server:reply(waiting[i], 200, nil, waiting[i].path)
        assert.equal(waiting[i].path, select(2, read(by_path[waiting[i].path])))
      end
    end)

    it("sends large answers whole", function()
      listen()
      local body = ("0123456789abcdef"):rep(65536 * 8)
      local client = get("/large")
      server:reply(server:next(WAIT_MS), 200, nil, body)
      local status, got = read(client)
      assert.equal(200, status)
      assert.is_true(got == body)
    end)

    it("packs the body on request", function()
      listen()
      local client = get("/a")
      local text = ("compress me "):rep(1000)
      server:reply(server:next(WAIT_MS), 200, nil, text, { gzip = true })
      local _, packed, head = read(client)
      assert.truthy(head:find("Content-Encoding: gzip", 1, true))
      assert.is_true(#packed < #text / 10)
      local name = os.tmpname()
      files.write(name, packed)
      local pipe = io.popen("gzip -dc < " .. name)
      local unpacked = pipe:read("*a")
      pipe:close()
      os.remove(name)
      assert.equal(text, unpacked)
    end)

    it("does not pack an empty body", function()
      listen()
      local client = get("/a")
      server:reply(server:next(WAIT_MS), 204, nil, "", { gzip = true })
      local status, _, head = read(client)
      assert.equal(204, status)
      assert.is_nil(head:find("gzip", 1, true))
    end)

    local MISUSE = {
      { "a line break in a value", 200, { ["X-A"] = "b\r\nX-Evil: 1" } },
      { "a NUL in a value", 200, { ["X-A"] = "b\0c" } },
      { "a line break in a name", 200, { ["X-A\r\nX-Evil"] = "1" } },
      { "a name with a colon", 200, { ["X-A:"] = "1" } },
      { "a value that is no string", 200, { ["X-A"] = 1 } },
      { "a status below 200", 100 }, { "a status over 599", 600 }, { "a status that is no number", "200" },
      { "a body with 204", 204, nil, "x" }, { "an unknown option", 200, nil, "x", { zip = true } },
      { "a length of its own", 200, { ["Content-Length"] = "5" }, "x" },
      { "a cut at no number", 200, nil, "x", { cut_after_bytes = "1" } },
      { "pieces of nothing", 200, nil, "x", { piece_bytes = 0 } },
      { "a pause of nothing", 200, nil, "x", { pause_ms = 0 } },
      { "gzip in pieces", 200, nil, "x", { gzip = true, piece_bytes = 1 } },
    }
    for _, row in ipairs(MISUSE) do
      it("raises for " .. row[1] .. ", and the request can still be answered", function()
        listen()
        local client = get("/a")
        local request = server:next(WAIT_MS)
        assert.has_error(function() server:reply(request, row[2], row[3], row[4], row[5]) end)
        server:reply(request, 200, nil, "fine")
        assert.equal("fine", select(2, read(client)))
      end)
    end

    it("breaks off an answer whose head promises more", function()
      for _, row in ipairs { { 4, "0123" }, { 0, "" } } do
        listen()
        local client = get("/a")
        server:reply(server:next(WAIT_MS), 200, nil, "0123456789", { cut_after_bytes = row[1] })
        local status, body, head = read(client)
        assert.same({ 200, row[2] }, { status, body })
        assert.truthy(head:find("Content-Length: 10\r\n", 1, true))
        server:close()
      end
    end)

    it("sends all of an answer that is to be cut behind its end", function()
      listen()
      local client = get("/a")
      server:reply(server:next(WAIT_MS), 200, nil, "0123456789", { cut_after_bytes = 10 })
      assert.equal("0123456789", select(2, read(client)))
      get("/b", client)
      server:reply(server:next(WAIT_MS), 200, nil, "the connection is kept")
      assert.equal("the connection is kept", select(2, read(client)))
    end)

    it("sends a body piece by piece and serves others meanwhile", function()
      listen()
      get("/slowest")
      server:reply(server:next(WAIT_MS), 200, nil, "abcdef", { piece_bytes = 2, pause_ms = 600000 })
      local slow = get("/slow")
      server:reply(server:next(WAIT_MS), 200, nil, "abcdef", { piece_bytes = 2, pause_ms = 50 })
      for i = 1, 3 do
        local other = get("/other")
        server:reply(server:next(WAIT_MS), 200, nil, "quick" .. i)
        assert.equal("quick" .. i, select(2, read(other)))
      end
      local status, body = read(slow)
      assert.same({ 200, "abcdef" }, { status, body })
    end)

    it("sends a long body in pieces whole", function()
      listen()
      local body = ("0123456789abcdef"):rep(4096)
      local client = get("/long")
      server:reply(server:next(WAIT_MS), 200, nil, body, { piece_bytes = 9999, pause_ms = 1 })
      assert.is_true(select(2, read(client)) == body)
    end)

    it("does not mind a client that leaves in the middle of a slow body", function()
      listen()
      local client = get("/slow")
      server:reply(server:next(WAIT_MS), 200, nil, "abcdef", { piece_bytes = 1, pause_ms = 20 })
      flush()
      client:close()
      for _ = 1, 10 do
        assert.is_nil(server:next(20))
      end
      local other = get("/b")
      server:reply(server:next(WAIT_MS), 200, nil, "alive")
      assert.equal("alive", select(2, read(other)))
    end)

    it("raises for a second answer and for what is no request", function()
      listen()
      get("/a")
      local request = server:next(WAIT_MS)
      server:reply(request, 200)
      assert.has_error(function() server:reply(request, 200) end)
      assert.has_error(function() server:drop(request) end)
      assert.has_error(function() server:reply({}, 200) end)
      assert.has_error(function() server:reply({ handle = io.stdout }, 200) end)
    end)

    it("does not mind a client that has left", function()
      listen()
      local client = get("/a")
      local request = server:next(WAIT_MS)
      client:close()
      server:reply(request, 200, nil, "nobody reads this")
      flush()
      local other = get("/b")
      server:reply(server:next(WAIT_MS), 200, nil, "alive")
      assert.equal("alive", select(2, read(other)))
    end)
  end)

  describe("drop", function()
    it("closes without a byte of an answer", function()
      listen()
      local client = get("/a")
      server:drop(server:next(WAIT_MS))
      local status, data = read(client)
      assert.is_nil(status)
      assert.equal("", data)
    end)

    -- libcurl's number for the end of the connection, as another process sees it.
    local function ending(options)
      listen()
      local script = ("local _, failure = require('paciolan.transport.curl').new():send { method = 'GET', "
        .. "url = 'http://127.0.0.1:%d/' } print(failure.code)"):format(server:port())
      local pipe = io.popen("env " .. program.environment() .. " " .. program.words { program.lua, "-e", script })
      server:drop(assert(server:next(WAIT_MS)), options)
      flush()
      local code = pipe:read("*l")
      pipe:close()
      server:close()
      return code
    end

    it("resets the connection, or closes it in good order", function()
      assert.equal(RESET, ending())
      assert.equal(ENDED, ending { close = true })
    end)

    it("closes in good order when asked to", function()
      listen()
      local client = get("/a")
      server:drop(server:next(WAIT_MS), { close = true })
      local status, data = read(client)
      assert.is_nil(status)
      assert.equal("", data)
    end)

    it("raises for an option that it does not know", function()
      listen()
      get("/a")
      local request = server:next(WAIT_MS)
      assert.has_error(function() server:drop(request, { reset = true }) end)
      assert.has_error(function() server:drop(request, "close") end)
      server:drop(request, {})
    end)

    it("happens to a request that the program forgets", function()
      listen()
      local client = get("/a")
      assert.truthy(server:next(WAIT_MS))
      collectgarbage()
      collectgarbage()
      assert.is_nil((read(client)))
    end)
  end)

  describe("close", function()
    it("may be repeated, and everything else raises after it", function()
      listen()
      get("/a")
      local request = server:next(WAIT_MS)
      get("/b")
      server:close()
      server:close()
      assert.equal("paciolan.httpd (closed)", tostring(server))
      assert.has_error(function() server:next(0) end)
      assert.has_error(function() server:port() end)
      assert.has_error(function() server:reply(request, 200) end)
      assert.has_error(function() server:drop(request) end)
    end)

    it("sends an answer that was given just before", function()
      listen()
      local client = get("/a")
      server:reply(server:next(WAIT_MS), 200, nil, "last words")
      server:close()
      assert.truthy(client:receive("*a"):find("last words", 1, true))
    end)

    it("happens with slow answers under way", function()
      listen()
      get("/slow")
      server:reply(server:next(WAIT_MS), 200, nil, "abcdef", { piece_bytes = 1, pause_ms = 60000 })
      flush()
      server:close()
      assert.equal("paciolan.httpd (closed)", tostring(server))
    end)

    it("happens on collection, with requests in hand", function()
      listen()
      local port = server:port()
      get("/a")
      local request = server:next(WAIT_MS)
      server = nil
      collectgarbage()
      collectgarbage()
      server = assert(httpd.listen { port = port })
      assert.has_error(function() server:reply(request, 200) end)
    end)
  end)

  describe("TLS", function()
    local folder

    local function slurp(name)
      return files.read(folder .. "/" .. name)
    end

    setup(function()
      folder = os.tmpname()
      os.remove(folder)
      local made = os.execute("mkdir " .. folder .. " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        .. " -nodes -days 2 -subj /CN=localhost -keyout " .. folder .. "/key.pem -out " .. folder
        .. "/cert.pem 2>/dev/null")
      assert(made == true or made == 0)
    end)

    teardown(function()
      os.remove(folder .. "/key.pem")
      os.remove(folder .. "/cert.pem")
      os.remove(folder)
    end)

    it("serves with the given certificate", function()
      listen { tls = { certificate = slurp("cert.pem"), key = slurp("key.pem") } }
      local pipe = io.popen(string.format(
        "printf 'GET /safe HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' |"
        .. " openssl s_client -quiet -verify_return_error -CAfile %s/cert.pem -connect 127.0.0.1:%d 2>/dev/null",
        folder, server:port()))
      local request = assert(server:next(WAIT_MS))
      assert.equal("/safe", request.path)
      server:reply(request, 200, nil, "over TLS")
      server:next(200)
      server:close()
      local answer = pipe:read("*a")
      pipe:close()
      assert.truthy(answer:find("over TLS", 1, true))
    end)

    it("has a deadline for the handshake as well", function()
      listen { tls = { certificate = slurp("cert.pem"), key = slurp("key.pem") }, request_deadline_s = 1 }
      -- A record of a handshake that announces 512 bytes.
      assert.is_true(ends_all { { client = send("\22\3\1\2\0\1\0\1\252\3\3"), text = "\0" } })
    end)

    it("does not answer plain HTTP there", function()
      listen { tls = { certificate = slurp("cert.pem"), key = slurp("key.pem") } }
      assert.is_nil((read(get("/plain"))))
    end)
  end)
end)
