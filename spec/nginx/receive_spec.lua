--- The receiver in nginx: what arrives over a true connection, and what goes back.
local amazon = require("support.amazon")
local cjson = require("cjson").new()
local core = require("paciolan.core")
local gateway = require("support.gateway")
local inbox = require("support.inbox")
local socket = require("socket")

local SECRET_PATH = "/callback/0123456789abcdef0123"

local SETUP = gateway.NOTES .. [[
  local given = ...
  return { dict = "paciolan", receiver = {
    topics = { given.topic }, roots = given.roots, connect_to = given.connect_to, basic_auth = given.basic,
    confirm_subscriptions = true, path = "/messages", callback = { path = given.callback },
    on_seat = function(item) return note("seats", item.seat) end,
    on_message = function(message)
      return note("messages", message.entity) and note("bytes", tostring(#(message.data.text or "")))
    end,
    on_callback = function(result) return note("callbacks", result.process_id) end,
    quarantine = function(body, reason) return note("quarantined", reason) end,
    on_report = function(report) note("reasons", report.reason) end,
  } }
]]

-- Receivers of the other modes, each made by the first request of its location.
local OTHER = [[
  location /%s {
    content_by_lua_block {
      local receiver = package.loaded["a receiver: %s"] or require("paciolan").receiver {
        mode = "%s", basic_auth = { user = "partner", password = "correct horse" },
        store = require("paciolan").store.shdict { dict = "paciolan", prefix = "%s:" },
        on_seat = function(item) ngx.shared.notes:rpush("%s", item.seat) return true end,
        on_report = function(report) ngx.shared.notes:rpush("reasons", report.reason) end,
      }
      package.loaded["a receiver: %s"] = receiver
      require("resty.paciolan.receiving").receive(receiver)
    }
  }
]]

local function other(mode)
  return (OTHER:gsub("%%s", mode))
end

-- A body that nginx has put into a file, which is gone when the handler wants it.
local LOST = [[
  location = /messages/lost {
    client_body_in_file_only clean;
    rewrite_by_lua_block { ngx.req.read_body() os.remove(ngx.req.get_body_file()) }
    content_by_lua_block { require("resty.paciolan.receiving").receive(require("paciolan").receiver {
      mode = "direct", basic_auth = { user = "partner", password = "correct horse" },
      on_message = function() ngx.shared.notes:rpush("lost", "x") return true end,
      on_report = function(report) ngx.shared.notes:rpush("reasons", report.reason) end,
    }) }
  }
]]

-- A handler that sends something itself, by mistake; the section of the seat says what, and how it ends.
local TALKING = [[
  location = /messages/talking {
    content_by_lua_block { require("resty.paciolan.receiving").receive(require("paciolan").receiver {
      mode = "direct", basic_auth = { user = "partner", password = "correct horse" },
      on_seat = function(item)
        local what, ending = item.section:match("^(%w+)(.*)$")
        if what == "say" then ngx.say("handled") elseif what == "eof" then ngx.eof() end
        if what == "print" or what == "flush" then ngx.print("handled") end
        if what == "flush" then ngx.flush(true) end
        if ending == " and raise" then error("no use") end
        return ending ~= " and refuse"
      end,
      on_report = function(report) ngx.shared.notes:rpush("reasons", report.reason) end,
    }) }
  }
]]

describe("resty.paciolan.receive", function()
  local aws, server

  setup(function()
    aws = amazon.start {}
    server = gateway.start {
      setup = SETUP, server = other("raw") .. other("direct") .. LOST .. TALKING, ca = aws.ca_file,
      given = { topic = aws.topic, roots = aws.roots, connect_to = aws.connect_to, basic = inbox.BASIC,
        callback = SECRET_PATH },
    }
  end)
  teardown(function()
    gateway.stop_all()
    amazon.stop_all()
  end)

  before_each(function()
    server:run("ngx.shared.notes:flush_all()")
  end)

  local function post(request, path)
    local status, body, headers = server:request { method = request.method, path = path or "/messages",
      headers = request.headers, body = request.body }
    local reasons = gateway.notes(server, "reasons")
    return { status, reasons[#reasons] }, headers, body
  end

  local function message(fields)
    local all = { Message = inbox.seats() }
    for name, value in pairs(fields or {}) do
      all[name] = value
    end
    local request = aws:request(all)
    request.headers.authorization = inbox.AUTHORIZATION
    return request
  end

  -- Sends bytes as they are, and returns the status and the whole answer.
  local function exchange(bytes)
    local client = assert(socket.connect("127.0.0.1", server.port))
    client:settimeout(20)
    client:send(bytes)
    local text, _, partial = client:receive("*a")
    client:close()
    text = text or partial
    return tonumber(text:match("^HTTP/1%.[01] (%d+)")), text
  end

  local function lines(headers)
    local list = {}
    for name, value in pairs(headers) do
      list[#list + 1] = name .. ": " .. value .. "\r\n"
    end
    return table.concat(list)
  end

  it("takes a signed message, whose certificate it fetches over a cosocket, and knows it again", function()
    aws:reset_fetches()
    local request = message { Message = inbox.seats(2) }
    local answer, headers, body = post(request)
    assert.same({ 204, "done" }, answer)
    assert.same({ "", nil }, { body, headers["content-type"] })
    assert.same({ 204, "duplicate" }, (post(request)))
    assert.same({ 204, "done" }, (post(message { SignatureVersion = "2" })))
    assert.same({ "1", "2", "1" }, gateway.notes(server, "seats"))
    assert.equal(1, (aws:fetches()))
  end)

  it("refuses what is forged, of another topic, too old or no message", function()
    local request = message()
    local forged = { method = "POST", headers = request.headers, body = request.body:gsub("FB23", "FB24") }
    local answer, headers, body = post(forged)
    assert.same({ 400, "bad_signature" }, answer)
    assert.same({ "{}", "application/json", "2" }, { body, headers["content-type"], headers["content-length"] })
    assert.same({ 400, "topic_not_allowed" }, (post(message { TopicArn = aws.topic .. "x" })))
    assert.same({ 400, "stale" }, (post(message { Timestamp = os.time() - 7200 })))
    request.body = "junk"
    assert.same({ 400, "bad_json" }, (post(request)))
    request.body = ""
    assert.same({ 400, "bad_json" }, (post(request)))
    request.body, request.method = nil, "POST"
    assert.same({ 400, "bad_json" }, (post(request)))
    assert.same({}, gateway.notes(server, "seats"))
  end)

  it("keeps what is signed and cannot be used", function()
    assert.same({ 400, "unusable_message" }, (post(message { Message = "no JSON" })))
    assert.equal(1, #gateway.notes(server, "quarantined"))
  end)

  it("confirms a subscription over a cosocket", function()
    aws:reset_fetches()
    local request = message { Type = "SubscriptionConfirmation", Message = "You have chosen to subscribe." }
    assert.same({ 204, "confirmed" }, (post(request)))
    assert.equal(1, #aws:confirmations())
  end)

  it("42. takes a message that escapes blow up to more than 1 MB, which nginx puts into a file", function()
    local text = inbox.message("notes", { text = "" })
    text = text:gsub('""', function() return '"' .. ('\\"'):rep(100000) .. '"' end)
    text = text .. ("\t"):rep(262144 - #text)
    local request = message { Message = text }
    local escaped = text:gsub('[%c"\\]', function(character) return ("\\u%04x"):format(character:byte()) end)
    local body = request.body:gsub('"Message" : ".-",\n  "Timestamp"', function()
      return '"Message" : "' .. escaped .. '",\n  "Timestamp"'
    end)
    assert.is_true(#body > 1024 * 1024 and #body < 2 * 1024 * 1024)
    assert.same({ 204, "done" }, (post { method = "POST", headers = request.headers, body = body }))
    assert.same({ "100000" }, gateway.notes(server, "bytes"))
  end)

  it("answers 413 for more than it takes, and 503 for a body that nginx has lost", function()
    local request = message()
    request.body = (" "):rep(2 * 1024 * 1024 - #request.body) .. request.body
    assert.same({ 204, "done" }, (post(request)))
    request.body = " " .. request.body
    assert.same({ 413, "too_large" }, (post(request)))
    request.headers.authorization = nil
    assert.same({ 401, "unauthorized" }, (post(request)))
    local bare = inbox.bare_request(inbox.seats())
    assert.same({ 503, "no_body" }, (post(bare, "/messages/lost")))
    assert.same({}, gateway.notes(server, "lost"))
  end)

  it("39. asks for credentials, and takes the right ones", function()
    local request = message()
    request.headers.authorization = nil
    local answer, headers, body = post(request)
    assert.same({ 401, "unauthorized" }, answer)
    assert.same({ 'Basic realm="paciolan", charset="UTF-8"', "{}" }, { headers["www-authenticate"], body })
    for _, value in ipairs { "Basic", "Basic ", "Bearer x", "Basic cGFydG5lcjp3cm9uZw==" } do
      request.headers.authorization = value
      assert.same({ 401, "unauthorized" }, (post(request)))
    end
    request.headers.authorization = inbox.AUTHORIZATION
    assert.same({ 204, "done" }, (post(request)))
  end)

  it("40. refuses raw deliveries among envelopes, and envelopes among others", function()
    local request = message()
    request.headers["X-Amz-SNS-RawDelivery"] = "true"
    assert.same({ 400, "raw_refused" }, (post(request)))
    request.headers["X-Amz-SNS-RawDelivery"] = nil
    assert.same({ 400, "envelope_refused" }, (post(request, "/raw")))
    assert.same({ 400, "envelope_refused" }, (post(request, "/direct")))
  end)

  it("takes raw and direct messages", function()
    local raw = inbox.bare_request(inbox.seats(), { ["x-amz-sns-rawdelivery"] = "true",
      ["x-amz-sns-message-id"] = core.request_id(), ["x-amz-sns-topic-arn"] = aws.topic })
    assert.same({ 204, "done" }, (post(raw, "/raw")))
    assert.same({ 204, "duplicate" }, (post(raw, "/raw")))
    assert.same({ "1" }, gateway.notes(server, "raw"))
    local direct = inbox.bare_request(inbox.seats(2))
    assert.same({ 204, "done" }, (post(direct, "/direct")))
    assert.same({ 204, "done" }, (post(direct, "/direct")))
    assert.same({ "1", "2", "1", "2" }, gateway.notes(server, "direct"))
    direct.headers.authorization = nil
    assert.same({ 401, "unauthorized" }, (post(direct, "/direct")))
  end)

  it("takes callbacks at their secret path alone, by POST and PUT", function()
    local body = cjson.encode { processId = "p-1", status = "COMPLETE" }
    for _, method in ipairs { "POST", "PUT" } do
      assert.same({ 204, "callback_done" }, (post({ method = method, headers = {}, body = body }, SECRET_PATH)))
    end
    assert.same({ "p-1", "p-1" }, gateway.notes(server, "callbacks"))
    assert.same({ 404, "no_such_path" }, (post({ method = "POST", headers = {}, body = body }, SECRET_PATH .. "4")))
    local answer, headers = post({ method = "GET", headers = {} }, SECRET_PATH)
    assert.same({ 405, "method_not_allowed" }, answer)
    assert.equal("POST, PUT", headers.allow)
  end)

  it("41. refuses other methods, codings and paths, and does not mind the Content-Type or a query", function()
    for _, method in ipairs { "GET", "PUT", "DELETE", "PATCH", "OPTIONS" } do
      local answer, headers, body = post { method = method, headers = {}, body = "" }
      assert.same({ 405, "method_not_allowed" }, answer, method)
      assert.same({ "POST", "{}" }, { headers.allow, body })
    end
    local answer, headers, body = post { method = "HEAD", headers = {} }
    assert.same({ 405, "method_not_allowed" }, answer)
    assert.same({ "POST", "" }, { headers.allow, body })
    local request = message()
    request.headers["content-encoding"] = "gzip"
    assert.same({ 415, "content_encoding" }, (post(request)))
    request.headers["content-encoding"], request.headers["content-type"] = nil, nil
    for _, path in ipairs { "/messages/", "/messages%2f", "//messages", "/messagesx" } do
      assert.same({ 404, "no_such_path" }, (post(request, path)), path)
    end
    assert.same({ 204, "done" }, (post(request, "/messages?x=1")))
  end)

  it("sees every header, however often it comes", function()
    local request = message()
    local head = ("POST /messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n%s"):format(
      #request.body, lines(request.headers))
    assert.equal(415, (exchange(head .. "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\n"
      .. request.body)))
    assert.equal(400, (exchange(head .. "X-Amz-SNS-RawDelivery: \r\nX-AMZ-SNS-rawdelivery: true\r\n\r\n"
      .. request.body)))
    local status = exchange(head .. "Authorization: Basic cGFydG5lcjp3cm9uZw==\r\n\r\n" .. request.body)
    assert.is_true(status == 400 or status == 401)
    local many = {}
    for i = 1, 101 do
      many[i] = ("X-%d: x\r\n"):format(i)
    end
    assert.equal(431, (exchange(head .. table.concat(many) .. "\r\n" .. request.body)))
    assert.same({}, gateway.notes(server, "seats"))
  end)

  it("takes chunked bodies, HTTP/1.0 and requests behind one another", function()
    local request = message()
    local chunks = {}
    for start = 1, #request.body, 700 do
      local part = request.body:sub(start, start + 699)
      chunks[#chunks + 1] = ("%x\r\n%s\r\n"):format(#part, part)
    end
    assert.equal(204, (exchange("POST /messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
      .. "Transfer-Encoding: chunked\r\n" .. lines(request.headers) .. "\r\n" .. table.concat(chunks) .. "0\r\n\r\n")))
    request = message()
    local status, text = exchange(("POST /messages HTTP/1.0\r\nContent-Length: %d\r\n%s\r\n%s"):format(#request.body,
      lines(request.headers), request.body))
    assert.equal(204, status)
    assert.is_nil(text:find("Transfer-Encoding", 1, true))
    local both = {}
    for i = 1, 2 do
      request = message()
      both[i] = ("POST /messages HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n%s\r\n%s"):format(
        i == 2 and "Connection: close\r\n" or "", #request.body, lines(request.headers), request.body)
    end
    status, text = exchange(table.concat(both))
    assert.same({ 204, 2 }, { status, select(2, text:gsub("HTTP/1.1 204", "")) })
    assert.equal(4, #gateway.notes(server, "seats"))
  end)

  it("has nothing to say in the error log of all that", function()
    assert.equal("", server:errors())
  end)

  describe("a handler that sends something itself", function()
    local function talk(what)
      local bare = inbox.bare_request(inbox.seats(1, { section = what }))
      return exchange(("POST /messages/talking HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n"
        .. "%s\r\n%s"):format(#bare.body, lines(bare.headers), bare.body))
    end

    it("and fails is answered by 503", function()
      for _, what in ipairs { "say", "print", "flush", "eof" } do
        for _, failing in ipairs { "raise", "refuse" } do
          local status, text = talk(what .. " and " .. failing)
          assert.same({ 503, 1 }, { status, select(2, text:gsub("HTTP/1", "")) }, what .. " and " .. failing)
        end
      end
    end)

    it("and succeeds is not answered by a success", function()
      for _, what in ipairs { "say", "print", "flush", "eof" } do
        assert.equal(503, (talk(what)), what)
      end
    end)

    it("is complained of in the error log, while one that is silent is answered by 204", function()
      assert.truthy(server:errors():find("a handler of yours sent something itself", 1, true))
      assert.equal(204, (talk("silent")))
    end)
  end)
end)
