--- The door of the receiver: paths, methods, credentials, sizes, modes, headers.

local amazon = require("support.amazon")
local authority = require("paciolan.authority")
local inbox = require("support.inbox")

local BASIC = inbox.BASIC
local AUTHORIZATION = inbox.AUTHORIZATION
local NEXT = { { user = "partner", password = "correct horse" }, { user = "partner", password = "next" } }

describe("the receiver", function()
  local aws

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)

  -- The counted fetches of a test.
  before_each(function() aws:reset_fetches() end)

  local function fetches()
    return (aws:fetches())
  end

  describe("the door", function()
    it("duty 1: takes POST only", function()
      local box = inbox.open(aws)
      local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
      for _, method in ipairs { "GET", "HEAD", "PUT", "DELETE", "post", "allow", "basic", "handle" } do
        request.method = method
        local status, answer = box:post(request)
        assert.same({ 405, "POST", "method_not_allowed" }, { status, answer.headers.Allow, box:reason() })
      end
      request.method = nil
      assert.equal(405, (box:post(request)))
    end)

    it("duty 1: takes one path where one is configured", function()
      local box = inbox.open(aws, { path = "/messages" })
      local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
      for _, path in ipairs { "/", "/messages/", "/Messages", "//messages", "/messages%20", "/other?/messages" } do
        request.path = path
        assert.same({ 404, "no_such_path" }, { (box:post(request)), box:reason() })
      end
      request.path = nil
      assert.equal(404, (box:post(request)))
      request.path = "/messages?source=sns"
      assert.equal(204, (box:post(request)))
    end)

    it("duty 2: challenges who shows no credentials, or wrong ones", function()
      local box = inbox.open(aws, { basic_auth = BASIC, realm = "Tickets" })
      local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
      for _, value in ipairs {
        false, "", "Basic", "Basic ****", "Basic " .. authority.base64("partner:****"), AUTHORIZATION .. "=",
        "Bearer " .. AUTHORIZATION:sub(7), "Basic " .. authority.base64("partner:correct hors"),
        "Basic " .. authority.base64("partner:correct horsee"), "Basic " .. authority.base64("Partner:correct horse"),
        AUTHORIZATION .. ", " .. AUTHORIZATION,
      } do
        request.headers.authorization = value or nil
        local status, answer = box:post(request)
        assert.same({ 401, 'Basic realm="Tickets", charset="UTF-8"', "unauthorized" },
          { status, answer.headers["WWW-Authenticate"], box:reason() })
      end
      assert.same({ 0, 0 }, { fetches(), #box.seats })
      request.headers.authorization = AUTHORIZATION
      assert.equal(204, (box:post(request)))
    end)

    it("duty 2: takes two passwords while one is changed", function()
      local box = inbox.open(aws, { basic_auth = NEXT })
      for _, password in ipairs { "correct horse", "next" } do
        local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
        request.headers.authorization = "basic " .. authority.base64("partner:" .. password)
        assert.equal(204, (box:post(request)))
      end
    end)

    it("duty 2: asks for credentials of confirmations too", function()
      local box = inbox.open(aws, { basic_auth = BASIC, confirm_subscriptions = true })
      local request = aws:request { Type = "SubscriptionConfirmation", Timestamp = box.now_s }
      assert.equal(401, (box:post(request)))
      assert.equal(0, #aws:confirmations())
    end)

    it("duty 3: refuses what is encoded or too large, and a crowd of headers", function()
      local box = inbox.open(aws, { max_body_bytes = 4096 })
      local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
      for _, coding in ipairs { "gzip", "deflate", "br", "identity, gzip" } do
        request.headers["content-encoding"] = coding
        assert.same({ 415, "content_encoding" }, { (box:post(request)), box:reason() })
      end
      request.headers["content-encoding"] = "Identity"
      assert.equal(204, (box:post(request)))
      request.body = (" "):rep(4096)
      assert.equal(400, (box:post(request)))
      request.body = (" "):rep(4097)
      assert.same({ 413, "too_large" }, { (box:post(request)), box:reason() })
      for i = 1, 100 do
        request.headers["x-" .. i] = ""
      end
      assert.same({ 431, "too_many_headers" }, { (box:post(request)), box:reason() })
    end)

    it("duty 3: refuses what the core finds too large", function()
      local box = inbox.open(aws, { max_body_bytes = 4 * 1024 * 1024 })
      local request = aws:request { Message = ("x"):rep(2 * 1024 * 1024), Timestamp = box.now_s }
      assert.same({ 413, "too_large" }, { (box:post(request)), box:reason() })
    end)

    it("never takes a body that could not be read for an empty one", function()
      local box = inbox.open(aws)
      assert.same({ 503, "no_body" }, { (box:post { method = "POST", path = "/", headers = {} }), box:reason() })
      assert.equal(400, (box:post { method = "POST", path = "/", headers = {}, body = "" }))
    end)

    it("duty 4: an envelope's endpoint refuses raw deliveries, and says so", function()
      local box = inbox.open(aws, { basic_auth = BASIC })
      local headers = { ["x-amz-sns-rawdelivery"] = "true", ["x-amz-sns-message-type"] = "Notification" }
      assert.same({ 400, "raw_refused" }, { (box:post(inbox.bare_request(inbox.seats(), headers))), box:reason() })
      assert.same({ 400, "missing_field" }, { (box:post(inbox.bare_request(inbox.seats()))), box:reason() })
      assert.same({ { "raw_refused" }, 0 }, { box:codes(), #box.seats })
    end)

    it("duty 4: the other endpoints refuse envelopes, and say so", function()
      for _, mode in ipairs { "raw", "direct" } do
        local box = inbox.open(nil, { mode = mode, basic_auth = BASIC })
        for _, kind in ipairs { "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation" } do
          local request = aws:request { Type = kind, Message = inbox.seats() }
          assert.same({ 400, "envelope_refused" }, { (box:post(inbox.bare_request(request.body, request.headers))),
            box:reason() })
          assert.same({ 400, "envelope_refused" }, { (box:post(inbox.bare_request(request.body))), box:reason() })
        end
        assert.same({ { "envelope_refused" }, 0, 2 }, { box:codes(), #box.seats, #box.quarantined })
      end
    end)

    it("the other endpoints have the messages in envelopes kept before they refuse them", function()
      for _, mode in ipairs { "raw", "direct" } do
        local box = inbox.open(nil, { mode = mode, basic_auth = BASIC })
        local request = aws:request { Message = inbox.seats() }
        for i, headers in ipairs { request.headers, {} } do
          assert.equal(400, (box:post(inbox.bare_request(request.body, headers))))
          assert.equal(request.body, box.quarantined[i][1])
        end
        box.options.quarantine = function() return false end
        box:restart()
        for _, headers in ipairs { request.headers, {} } do
          local status = box:post(inbox.bare_request(request.body, headers))
          assert.same({ 503, "quarantine_failed" }, { status, box:reason() })
        end
        local confirmation = aws:request { Type = "SubscriptionConfirmation" }
        local status = box:post(inbox.bare_request(confirmation.body, confirmation.headers))
        assert.same({ 400, "envelope_refused" }, { status, box:reason() })
      end
    end)

    it("reads headers in any case, and lists of values", function()
      local box = inbox.open(nil, { mode = "direct", basic_auth = BASIC })
      local request = { method = "POST", path = "/", body = inbox.seats(), headers = { Authorization = AUTHORIZATION } }
      assert.equal(204, (box:post(request)))
      request.headers = { AUTHORIZATION = { AUTHORIZATION } }
      assert.equal(204, (box:post(request)))
      for _, headers in ipairs {
        { Authorization = AUTHORIZATION, authorization = AUTHORIZATION },
        { authorization = { AUTHORIZATION, AUTHORIZATION } }, {},
      } do
        request.headers = headers
        assert.equal(401, (box:post(request)))
      end
      request.headers = nil
      assert.equal(401, (box:post(request)))
    end)

    it("never raises, whatever a request holds", function()
      local box = inbox.open(aws)
      for _, request in ipairs {
        {}, { method = 7, path = {}, headers = 7, body = 7 }, { method = "POST", path = "/", headers = "x", body = "" },
        { method = "POST", path = "/", headers = { [1] = "x", [true] = true, y = {} }, body = "\0" },
        { method = {}, path = print, headers = {}, body = {} },
      } do
        local answer = box.receiver:handle(request)
        assert.is_number(answer.status)
        assert.is_true(answer.status >= 400)
        assert.is_table(answer.headers)
        assert.equal("{}", answer.body)
      end
      assert.has_error(function() box.receiver:handle("x") end)
      assert.has_error(function() box.receiver:handle() end)
    end)
  end)
end)
