--- Attacks on the door: credentials, modes, methods, codings, sizes, and what ends up in a log. Some of them come over
-- a true connection to paciolan.httpd.
--
-- That passwords with an equal beginning take the same time is no matter for a clock: spec/c/basic_test.c shows that
-- all digests are always compared.
local amazon = require("support.amazon")
local attack = require("support.attack")
local authority = require("paciolan.authority")
local cjson = require("cjson").new()
local core = require("paciolan.core")
local httpd = require("paciolan.httpd")
local inbox = require("support.inbox")
local receiver = require("paciolan.receiver")
local socket = require("socket")

local PAIR = { user = "sns", password = "correct horse battery staple" }
local MAX_MESSAGE = 262144

describe("an attack on the door", function()
  local aws, box, server, client

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)
  before_each(function()
    aws:reset_fetches()
    box = inbox.open(aws, { basic_auth = PAIR })
  end)
  after_each(function()
    if server then
      client:close()
      server:close()
      server, client = nil, nil
    end
  end)

  local function basic(user, password)
    return "Basic " .. authority.base64(user .. ":" .. password)
  end

  local function request(fields)
    local all = { Message = inbox.seats(), Timestamp = box.now_s }
    for name, value in pairs(fields or {}) do
      all[name] = value
    end
    local one = aws:request(all)
    one.headers.authorization = basic(PAIR.user, PAIR.password)
    return one
  end

  -- Sends bytes to a server over a connection that stays open, answers what arrives by the receiver, and returns the
  -- status and the headers.
  local function exchange(method, path, headers, body)
    server = server or assert(httpd.listen { request_deadline_s = 10 })
    client = client or assert(socket.connect("127.0.0.1", server:port()))
    client:settimeout(0)
    local lines = { ("%s %s HTTP/1.1"):format(method, path), "Host: receiver.example",
      ("Content-Length: %d"):format(#body) }
    for name, value in pairs(headers) do
      lines[#lines + 1] = name .. ": " .. value
    end
    local sent, text, received = 0, table.concat(lines, "\r\n") .. "\r\n\r\n" .. body, ""
    repeat
      if sent < #text then
        local last, _, partial = client:send(text, sent + 1)
        sent = last or partial
      end
      local arrived = server:next(sent < #text and 0 or 10)
      if arrived then
        local answer = box.receiver:handle(arrived)
        server:reply(arrived, answer.status, answer.headers, answer.body)
      end
      local chunk, _, partial = client:receive(65536)
      received = received .. (chunk or partial or "")
    until received:find("\r\n\r\n", 1, true)
    local found = {}
    for name, value in received:gmatch("\r\n([%w%-]+): ([^\r]*)") do
      found[name:lower()] = value
    end
    return tonumber(received:match("^HTTP/1%.1 (%d+)")), found
  end

  it("39. no credentials -> 401 with a challenge; the right ones -> 204; asterisks -> 401", function()
    local one = request()
    one.headers.authorization = nil
    local answer = attack.refused(box, one, "unauthorized", { status = 401 })
    assert.matches('^Basic realm="[^"]+"', answer.headers["WWW-Authenticate"])
    for _, value in ipairs {
      basic("sns", "****"), basic("sns", ("*"):rep(#PAIR.password)), basic("****", PAIR.password), basic("sns", ""),
      basic("", ""), basic("sns", PAIR.password:sub(1, -2)), basic("sns", PAIR.password .. "x"), basic("SNS",
      PAIR.password),
      basic("sns", PAIR.password .. "\0"), basic("sns", PAIR.password:upper()), basic("sns:", PAIR.password),
      "", "Basic", "Basic ", "Bearer " .. PAIR.password, "Basic sns:" .. PAIR.password, basic("sns", "x") .. ", "
      .. basic("sns", PAIR.password), (basic("sns", PAIR.password):gsub("=", "")), basic("sns", PAIR.password) .. "\n",
      "Digest " .. authority.base64("sns:" .. PAIR.password), PAIR.password, "Basic\0" .. basic("sns",
      PAIR.password):sub(7),
    } do
      one.headers.authorization = value
      answer = attack.refused(box, one, "unauthorized", { status = 401, label = value })
      assert.matches('^Basic realm="[^"]+"', answer.headers["WWW-Authenticate"])
    end
    one.headers.authorization = { basic("sns", "x"), basic("sns", PAIR.password) }
    attack.refused(box, one, "unauthorized", { status = 401 })
    one.headers.authorization = basic(PAIR.user, PAIR.password)
    attack.accepted(box, one, { fetches = 1 })
  end)

  it("39. credentials as SNS sends them over a connection: asked for, then given", function()
    local one = request()
    one.headers.authorization = nil
    local status, headers = exchange("POST", "/", one.headers, one.body)
    assert.equal(401, status)
    assert.matches('^Basic realm="paciolan"', headers["www-authenticate"])
    one.headers.authorization = basic(PAIR.user, PAIR.password)
    assert.equal(204, (exchange("POST", "/", one.headers, one.body)))
    assert.equal(1, #box.seats)
  end)

  it("39. confirmations, junk and large bodies without credentials -> 401, nothing is looked at", function()
    box = inbox.open(aws, { basic_auth = PAIR, confirm_subscriptions = true })
    for _, fields in ipairs { { Type = "SubscriptionConfirmation" }, { Type = "UnsubscribeConfirmation" } } do
      local one = request(fields)
      one.headers.authorization = nil
      attack.refused(box, one, "unauthorized", { status = 401 })
    end
    for _, body in ipairs { "", "junk", ("x"):rep(3 * 1024 * 1024) } do
      attack.refused(box, attack.request(body), "unauthorized", { status = 401 })
    end
    attack.refused(box, attack.request(nil), "unauthorized", { status = 401 })
  end)

  it("39. a password that is being changed -> both pairs are good, and no third one", function()
    box = inbox.open(aws, { basic_auth = { PAIR, { user = "sns", password = "the next one" } } })
    local one = request()
    attack.accepted(box, one, { fetches = 1 })
    one = request()
    one.headers.authorization = basic("sns", "the next one")
    attack.accepted(box, one)
    one.headers.authorization = basic("sns", "the one before")
    attack.refused(box, one, "unauthorized", { status = 401 })
  end)

  it("40. a raw delivery at an endpoint of envelopes -> 400 and an alarm", function()
    for _, value in ipairs { "true", "false", "", "TRUE" } do
      local one = request()
      one.headers["x-amz-sns-rawdelivery"] = value
      attack.refused(box, one, "raw_refused", { alarm = "raw_refused" })
      one.body = inbox.seats()
      attack.refused(box, one, "raw_refused", { alarm = "raw_refused" })
      one.headers["x-amz-sns-rawdelivery"], one.headers["X-Amz-SNS-RawDelivery"] = nil, value
      attack.refused(box, one, "raw_refused", { alarm = "raw_refused" })
    end
    -- A message without its envelope is no message here, whatever its headers say.
    local bare = request()
    bare.body = inbox.seats()
    attack.refused(box, bare, "missing_field")
    bare.headers = { authorization = bare.headers.authorization, ["content-type"] = "application/json" }
    attack.refused(box, bare, "missing_field")
  end)

  it("40. an envelope at an endpoint of raw or direct messages -> 400 and an alarm", function()
    for _, mode in ipairs { "raw", "direct" } do
      box = inbox.open(nil, { mode = mode, basic_auth = PAIR, max_body_bytes = 300000 })
      for _, kind in ipairs { "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation" } do
        local one = request { Type = kind }
        -- It came with our credentials, so a message in it is kept; a token is not.
        local expected = { alarm = "envelope_refused", label = mode .. kind,
          quarantined = kind == "Notification" and 1 or 0 }
        attack.refused(box, one, "envelope_refused", expected)
        one.headers["x-amz-sns-message-type"] = nil
        attack.refused(box, one, "envelope_refused", expected)
      end
      local raw = attack.request(inbox.seats(), { authorization = basic(PAIR.user, PAIR.password) })
      assert.equal(204, (box:post(raw)))
      if mode == "raw" then
        raw.headers["x-amz-sns-message-type"] = "Notification"
        attack.refused(box, raw, "envelope_refused", { alarm = "envelope_refused", quarantined = 1 })
        raw.headers["x-amz-sns-message-type"] = nil
      end
      raw.body = (" "):rep(300000 - #raw.body + 1) .. raw.body
      attack.refused(box, raw, "too_large", { status = 413 })
      raw.headers.authorization = nil
      attack.refused(box, raw, "unauthorized", { status = 401 })
    end
  end)

  it("40. raw or direct without credentials, envelope without topics -> no receiver", function()
    local function handler() return true end
    for _, mode in ipairs { "raw", "direct" } do
      assert.error_matches(function() receiver.new { mode = mode, on_seat = handler } end, "needs basic_auth")
      assert.error_matches(function() receiver.new { mode = mode, on_seat = handler, basic_auth = {} } end,
        "basic_auth")
      assert.error_matches(function()
        receiver.new { mode = mode, on_seat = handler, basic_auth = { user = "a", password = "" } }
      end, "basic_auth")
    end
    for _, topics in ipairs { false, {} } do
      assert.error_matches(function() receiver.new { topics = topics or nil, on_seat = handler } end, "topics")
    end
    assert.error_matches(function() receiver.new { topics = { "*" }, on_seat = handler } end, "ARN")
    -- Messages of these would all be refused, for good.
    for _, place in ipairs { "aws-iso:sns:us-iso-east-1", "aws-cn:sns:us-west-2", "aws:sns:us-west-", "aws:sns:2",
      "aws:sns:" .. ("a"):rep(40) } do
      local topic = ("arn:%s:123456789012:seats"):format(place)
      assert.error_matches(function() receiver.new { topics = { topic }, on_seat = handler } end, "cannot be verified")
      -- Nobody verifies these.
      receiver.new { mode = "raw", topics = { topic }, on_seat = handler, basic_auth = PAIR }:close()
    end
    assert.error_matches(function() receiver.new { mode = "auto", topics = { aws.topic }, on_seat = handler } end,
      "mode")
  end)

  it("41. application/json as well as text/plain -> the same; GET and others -> 405; gzip -> 415", function()
    for i, kind in ipairs { "text/plain; charset=UTF-8", "application/json", "application/json; charset=utf-8", "x/y",
      "" } do
      local one = request()
      one.headers["content-type"] = kind
      attack.accepted(box, one, { fetches = i == 1 and 1 or 0 })
    end
    local one = request()
    one.headers["content-type"] = nil
    attack.accepted(box, one)
    one = request()
    for _, method in ipairs { "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "post", "", "handle", "allow",
      "basic" } do
      one.method = method
      local answer = attack.refused(box, one, "method_not_allowed", { status = 405, label = method })
      assert.equal("POST", answer.headers.Allow)
    end
    one.method = "POST"
    for _, coding in ipairs { "gzip", "deflate", "br", "GZIP", "identity, gzip", "x" } do
      one.headers["content-encoding"] = coding
      attack.refused(box, one, "content_encoding", { status = 415, label = coding })
    end
    one.headers["content-encoding"] = nil
    attack.accepted(box, one)
    attack.refused(box, attack.request("\31\139\8\0", one.headers), "bad_json")
    local status, headers = exchange("GET", "/", {}, "")
    assert.same({ 405, "POST" }, { status, headers.allow })
  end)

  it("41. another path, too many headers -> 404, 431", function()
    box = inbox.open(aws, { basic_auth = PAIR, path = "/messages" })
    local one = request()
    for _, path in ipairs { "/", "/messages/", "/Messages", "//messages", "/messages%2f", "/x/../messages", "",
      "/messagesx" } do
      one.path = path
      attack.refused(box, one, "no_such_path", { status = 404, label = path })
    end
    one.path = nil
    attack.refused(box, one, "no_such_path", { status = 404 })
    one.path = "/messages?x=1"
    attack.accepted(box, one, { fetches = 1 })
    for i = 1, 100 do
      one.headers["x-" .. i] = "x"
    end
    attack.refused(box, one, "too_many_headers", { status = 431 })
  end)

  it("42. a legal message that escapes blow up to more than 1 MB, over a connection -> 204", function()
    -- Six bytes for each control character in the message, which JSON escapes there, and the envelope again.
    local text = inbox.message("notes", { text = "" })
    text = text:gsub('""', function() return '"' .. ('\\"'):rep(100000) .. '"' end)
    text = text .. ("\t"):rep(MAX_MESSAGE - #text)
    assert.equal(MAX_MESSAGE, #text)
    local one = request { Message = text }
    local decoded = cjson.decode(one.body)
    local escaped = text:gsub('[%c"\\]', function(character) return ("\\u%04x"):format(character:byte()) end)
    local body = one.body:gsub('"Message" : ".-",\n  "Timestamp"', function()
      return '"Message" : "' .. escaped .. '",\n  "Timestamp"'
    end)
    assert.same(decoded, cjson.decode(body))
    assert.is_true(#body > 1024 * 1024 and #body < 2 * 1024 * 1024)
    assert.equal(204, (exchange("POST", "/", one.headers, body)))
    assert.equal(('"'):rep(100000), box.messages[1][1].data.text)
    -- The greatest that SNS can make of one.
    local status = box:post(request { Message = ("\1"):rep(MAX_MESSAGE) })
    assert.same({ 400, "unusable_message", MAX_MESSAGE }, { status, box:reason(), #box.quarantined[1][1] })
    -- A server that could not read a body says nil, and has not read an empty one.
    attack.refused(box, { method = "POST", path = "/", headers = one.headers }, "no_body", { status = 503 })
    one.body = ""
    attack.refused(box, one, "bad_json")
  end)

  it("45. control characters, line breaks and 1 MB in what is refused -> one short, escaped line", function()
    local evil = "\27[31mred\27[0m\r\n2026-01-01 INFO all is well\0\226\128\174" .. ("x"):rep(1024 * 1024)
    local fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
    for _, name in ipairs { "Type", "MessageId", "TopicArn", "Subject", "Timestamp", "SignatureVersion", "Signature",
      "SigningCertURL" } do
      local kept = fields[name]
      fields[name] = evil
      local one = attack.request(aws:encode(fields), { authorization = basic(PAIR.user, PAIR.password) })
      local answer = box.receiver:handle(one)
      assert.same({ 400, "{}" }, { answer.status, answer.body })
      assert.matches("^bad_", box:reason())
      fields[name] = kept
    end
    -- Names of members, paths, methods, headers.
    box:post(attack.request('{"' .. evil:gsub("%c", "") .. '":1}', { authorization = basic(PAIR.user, PAIR.password) }))
    box:post { method = evil, path = "/", headers = {}, body = "" }
    box:post { method = "POST", path = evil, headers = { authorization = evil }, body = evil }
    box:post { method = "POST", path = "/", headers = { authorization = basic(PAIR.user, PAIR.password),
      ["content-encoding"] = evil, [evil] = evil }, body = evil }
    local odd = request()
    odd.headers["x-amz-sns-message-type"] = evil
    box:post(odd)
    -- What a signed message says of itself, and what a handler says.
    box:post(request { Message = evil })
    box:post(request { Message = inbox.message(evil:sub(1, 100000):gsub("%z", ""), {}) })
    box.answer = function() return nil, evil end
    box:post(request())
    box.answer = function() error(evil, 0) end
    box:post(request())
    box:post(request { Message = inbox.message("other", {}) })
    local told = 0
    for _, list in ipairs { box.reports, box.alarms } do
      for _, one in ipairs(list) do
        for name, value in pairs(one) do
          told = told + 1
          assert.is_true(#tostring(value) <= 300, name)
          assert.is_nil(tostring(value):find("[^\32-\126]"), name)
        end
      end
    end
    assert.is_true(told > 40)
    for name in pairs(box.receiver:counters()) do
      assert.matches("^[%l%d_]+$", name)
    end
  end)

  it("45. nothing private is told: no body, header, token or password", function()
    local secret = "hunter2hunter2"
    box = inbox.open(aws, { basic_auth = { user = "sns", password = secret }, confirm_subscriptions = true })
    local token = core.fingerprint("a token")
    local function post(one)
      one.headers.authorization = basic("sns", secret)
      box:post(one)
    end
    post(request { Type = "SubscriptionConfirmation", Token = token })
    post(request { Type = "SubscriptionConfirmation", Token = token, SubscribeURL = "https://evil.example/?" .. token })
    aws:serve("/", { status = 500, body = token, times = 1 })
    post(request { Type = "SubscriptionConfirmation", Token = token:rep(2) })
    post(request { Message = secret .. token })
    post(request { Subject = secret .. "\n" .. token })
    post(request { Timestamp = secret })
    box:post(request())
    local told = cjson.encode { box.reports, box.alarms, box.receiver:watch(), box.receiver:counters() }
    for _, text in ipairs { secret, token, basic("sns", secret), basic(PAIR.user, PAIR.password), "evil.example" } do
      assert.is_nil(told:find(text, 1, true))
    end
    -- Nor in the store, but for the marks of what was done.
    for _, item in ipairs(box.store:list("")) do
      for _, text in ipairs { secret, token } do
        assert.is_nil((item[1] .. item[2]):find(text, 1, true), item[1])
      end
    end
  end)
end)
