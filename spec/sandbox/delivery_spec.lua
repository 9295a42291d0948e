--- What the sandbox publishes, as a receiver gets it: the three forms, confirmations, repetitions, and the host that
-- stands for Amazon SNS.

local authority = require("paciolan.authority")
local cjson = require("cjson").new()
local core = require("paciolan.core")
local files = require("support.files")
local folder = require("support.folder")
local httpd = require("paciolan.httpd")
local postbox = require("support.postbox")
local sandbox = require("paciolan.sandbox")
local sandboxes = require("paciolan.sandbox.child")
local sns = require("paciolan.sandbox.sns")
local terminal = require("paciolan.cli.terminal")

local CHALLENGE = { ["WWW-Authenticate"] = 'Basic realm="x"' }
local TOPICS = { [sns.TOPICS.seats] = 1, [sns.TOPICS.events] = 1 }

describe("the deliveries of the sandbox", function()
  local here, root, certificate

  setup(function()
    here = postbox.open { seed = "delivery" }
    local view = here:control("GET", "sns")
    root = view.root
    local keys = here.box.publisher.sns.keys
    certificate = assert(core.sns.certificate(keys:certificate(keys:signer_name()), core.sns.trust(nil, root)))
  end)

  teardown(function()
    here:close()
  end)

  before_each(function()
    here:clear()
  end)

  local function publish(payload)
    payload.topic = payload.topic or "seats"
    local body, status = here:control("POST", "publish", payload)
    assert.equal(200, status, cjson.encode(body))
    return body
  end

  local function deliveries()
    return here:control("GET", "deliveries").deliveries
  end

  -- Reads an envelope as a receiver must.
  local function verify(request)
    local now = os.time()
    local message, reason = core.sns.open(request.body, TOPICS, now, 3600, 300)
    if not message then
      return nil, reason
    end
    return core.sns.check(message, certificate, now)
  end

  local function live(changes)
    changes = changes or {}
    changes.mode, changes.confirmed = "envelope", true
    return here:subscribe(changes)
  end

  describe("in the direct form", function()
    it("are bare, with credentials at once", function()
      here:subscribe { user = "paciolan", password = "secret" }
      publish { body = '{"a": 1}' }
      local request = here:run()[1]
      assert.equal("POST", request.method)
      assert.equal("/messages", request.path)
      assert.equal('{"a": 1}', request.body)
      assert.equal("application/json", request.headers["content-type"])
      assert.equal("Basic cGFjaW9sYW46c2VjcmV0", request.headers.authorization)
      assert.is_nil(request.headers["x-amz-sns-message-id"])
      assert.same({ 204 }, deliveries()[1].statuses)
    end)

    it("go without credentials where there are none, and keep the query of the URL", function()
      here:subscribe { url = here.url .. "?secret=x" }
      publish { body = "text" }
      local request = here:run()[1]
      assert.equal("secret=x", request.query)
      assert.is_nil(request.headers.authorization)
    end)
  end)

  describe("in the raw form", function()
    it("are bare, with the headers of Amazon SNS", function()
      local subscription = here:subscribe { mode = "raw" }
      local id = publish({ body = "text" }).messages[1]
      local request = here:run()[1]
      assert.equal("text", request.body)
      local wanted = { ["x-amz-sns-message-type"] = "Notification", ["x-amz-sns-message-id"] = id,
        ["x-amz-sns-topic-arn"] = sns.TOPICS.seats, ["x-amz-sns-subscription-arn"] = subscription.arn,
        ["x-amz-sns-rawdelivery"] = "true", ["content-type"] = "text/plain; charset=UTF-8",
        ["user-agent"] = "Amazon Simple Notification Service Agent" }
      for name, value in pairs(wanted) do
        assert.equal(value, request.headers[name], name)
      end
    end)

    it("show credentials after a challenge only, each time again", function()
      here:subscribe { mode = "raw", user = "paciolan", password = "secret" }
      here:answer_with(function(request)
        return request.headers.authorization and 204 or 401, CHALLENGE
      end)
      publish { bodies = { "one", "two" } }
      assert.equal(4, #here:run())
      for _, delivery in ipairs(deliveries()) do
        assert.same({ 401, 204 }, delivery.statuses)
        assert.equal(1, delivery.attempts)
      end
    end)

    for title, answer in pairs {
      ["without a challenge"] = { 401 },
      ["with a challenge of another scheme"] = { 401, { ["WWW-Authenticate"] = "Basically x" } },
      ["with a challenge that is met and repeated"] = { 401, CHALLENGE, 2 },
    } do
      it("end for good at 401 " .. title, function()
        here:subscribe { mode = "raw", user = "paciolan", password = "secret" }
        here:answer_with(function() return answer[1], answer[2] end)
        publish { body = "text" }
        assert.equal(answer[3] or 1, #here:run())
        assert.equal("failed", deliveries()[1].state)
      end)
    end
  end)

  describe("as envelopes", function()
    it("are signed so that the library believes them", function()
      for version = 1, 2 do
        live { signature_version = version, url = here.url .. version }
      end
      local id = publish({ body = "a\nb \"c\" \226\130\172", subject = "About it" }).messages[1]
      local versions = {}
      for _, request in ipairs(here:run()) do
        local envelope, reason = verify(request)
        assert.is_nil(reason)
        assert.equal("a\nb \"c\" \226\130\172", envelope.message)
        assert.equal(id, envelope.message_id)
        assert.equal("About it", envelope.subject)
        assert.equal(sns.TOPICS.seats, envelope.topic_arn)
        assert.equal(id, request.headers["x-amz-sns-message-id"])
        assert.equal("Notification", request.headers["x-amz-sns-message-type"])
        assert.is_nil(request.headers["x-amz-sns-rawdelivery"])
        versions[envelope.signature_version] = true
      end
      assert.same({ true, true }, versions)
    end)

    for _, kind in ipairs(sns.TAMPERINGS) do
      it("are refused when somebody changed: " .. kind, function()
        live()
        here:subscribe { mode = "raw" }
        publish { body = "text", subject = "x", tamper = kind }
        local requests, raw = here:run(), nil
        for _, request in ipairs(requests) do
          if request.headers["x-amz-sns-rawdelivery"] then
            raw = request
          else
            local envelope, reason = verify(request)
            assert.is_nil(envelope)
            assert.is_string(reason)
          end
        end
        assert.equal("text", raw.body)
      end)
    end

    it("are as old as they are asked to be", function()
      live()
      publish { body = "text", age_s = 7200 }
      assert.same({ nil, "stale" }, { verify(here:run()[1]) })
      publish { body = "text", age_s = -7200 }
      assert.same({ nil, "early" }, { verify(here:run()[1]) })
    end)

    it("ask for a confirmation, and come after it", function()
      local subscription = here:subscribe { mode = "envelope" }
      assert.equal("pending", subscription.state)
      assert.equal(0, publish({ body = "text" }).deliveries)
      local request = here:run()[1]
      local envelope = assert(verify(request))
      assert.equal("SubscriptionConfirmation", envelope.type)
      assert.equal("SubscriptionConfirmation", request.headers["x-amz-sns-message-type"])
      assert.is_nil(request.headers["x-amz-sns-subscription-arn"])
      assert.equal(envelope.confirm_url, envelope.subscribe_url)
      assert.is_nil(here.box.publisher:confirm(sns.TOPICS.events, envelope.token))
      assert.is_nil(here.box.publisher:confirm(sns.TOPICS.seats, "another"))
      assert.truthy(here.box.publisher:confirm(sns.TOPICS.seats, envelope.token))
      assert.equal("live", here:control("GET", "subscriptions/" .. subscription.id).state)
      assert.equal(1, publish({ body = "text" }).deliveries)
    end)

    it("end with a word, whose token brings them back", function()
      local subscription = live()
      publish { body = "dropped, since it is not on its way yet" }
      assert.equal("ended", here:control("DELETE", "subscriptions/" .. subscription.id).state)
      local requests = here:run()
      assert.equal(1, #requests)
      local envelope = assert(verify(requests[1]))
      assert.equal("UnsubscribeConfirmation", envelope.type)
      assert.equal("dropped", deliveries()[1].state)
      assert.equal(0, publish({ body = "text" }).deliveries)
      assert.truthy(here.box.publisher:confirm(sns.TOPICS.seats, envelope.token))
      assert.equal(1, publish({ body = "text" }).deliveries)
    end)

    it("go to those of the topic only", function()
      live { topic = "events" }
      live { topic = sns.TOPICS.events, url = here.url .. 2 }
      assert.equal(0, publish({ body = "text" }).deliveries)
      assert.equal(2, publish({ body = "text", entity = "events", topic = "events" }).deliveries)
    end)
  end)

  describe("that fail", function()
    for status, wanted in pairs { [200] = { "delivered", 1 }, [204] = { "delivered", 1 }, [299] = { "delivered", 1 },
      [302] = { "failed", 1 }, [400] = { "failed", 1 }, [404] = { "failed", 1 }, [413] = { "failed", 1 },
      [429] = { "gave_up", 3 }, [500] = { "gave_up", 3 }, [503] = { "gave_up", 3 } } do
      it(("are repeated or not after %d"):format(status), function()
        here:control("POST", "options", { redelivery_tries = 2 })
        here:subscribe()
        here:answer_with(status)
        publish { body = "text" }
        assert.equal(wanted[2], #here:run())
        local delivery = deliveries()[1]
        assert.equal(wanted[1], delivery.state)
        assert.equal(wanted[2], delivery.attempts)
        assert.equal(wanted[2], #delivery.statuses)
      end)
    end

    it("are repeated byte by byte until they arrive", function()
      live()
      here:answer_with(function(_, number) return number < 3 and 503 or 204 end)
      publish { body = "text" }
      local requests = here:run()
      assert.equal(3, #requests)
      assert.equal(requests[1].body, requests[3].body)
      assert.same({ 503, 503, 204 }, deliveries()[1].statuses)
      assert.equal(1, here:control("GET", "deliveries").counts.delivered)
    end)

    it("are repeated when nobody listens", function()
      here:subscribe { url = "http://127.0.0.1:1/" }
      publish { body = "text" }
      here:run()
      assert.same({ "network", "network", "network", "network" }, deliveries()[1].statuses)
      assert.equal("gave_up", deliveries()[1].state)
    end)

    it("wait between two attempts", function()
      here:control("POST", "options", { redelivery_ms = 3600000 })
      here:subscribe()
      here:answer_with(503)
      publish { body = "text" }
      here:run_until(function() return deliveries()[1].state == "retrying" end)
      for _ = 1, 5 do
        here.box:step(1)
      end
      assert.equal(1, #here.requests)
    end)
  end)

  it("keep nobody waiting", function()
    here:subscribe()
    here:answer_with(function() return nil end)
    publish { body = "text" }
    here:run_until(function() return #here.requests == 1 end)
    local transport, batch = core.http.new { proxy = "" }, core.http.batch()
    batch:add(transport, { method = "GET", url = here.box:base_url() .. "/_sandbox/deliveries" })
    local answer
    here:run_until(function()
      batch:wait(0)
      local number, got = batch:take()
      answer = number and got or answer
      return number ~= nil
    end)
    assert.equal(1, cjson.decode(answer.body).waiting)
    batch:close()
    transport:close()
  end)

  it("go to many at once", function()
    here:subscribe()
    publish { bodies = { "1", "2", "3", "4", "5", "6", "7", "8" }, duplicate = 1 }
    local seen = {}
    for _, request in ipairs(here:run()) do
      seen[request.body] = (seen[request.body] or 0) + 1
    end
    assert.same({ ["1"] = 2, ["2"] = 2, ["3"] = 2, ["4"] = 2, ["5"] = 2, ["6"] = 2, ["7"] = 2, ["8"] = 2 }, seen)
  end)

  it("come in another order when they are to", function()
    here:subscribe()
    local bodies, order = {}, {}
    for i = 1, 40 do
      bodies[i] = ("%02d"):format(i)
    end
    publish { bodies = bodies, reorder_ms = 30 }
    for i, request in ipairs(here:run()) do
      order[i] = request.body
    end
    assert.not_same(bodies, order)
    table.sort(order)
    assert.same(bodies, order)
  end)

  it("bring stale and forged copies beside the true one, to envelopes only", function()
    live()
    here:subscribe()
    here:control("POST", "publish/plan", { late = 1, tamper = 1 })
    publish { body = "text" }
    local believed, refused, bare = 0, {}, 0
    for _, request in ipairs(here:run()) do
      local envelope, reason
      if request.headers["x-amz-sns-message-id"] then
        envelope, reason = verify(request)
      else
        bare = bare + 1
      end
      believed = believed + (envelope and 1 or 0)
      refused[#refused + 1] = reason
    end
    assert.equal(1, believed)
    assert.equal(2, #refused)
    assert.equal(1, bare)
    assert.truthy(refused[1] == "stale" or refused[2] == "stale")
  end)

  describe("of results", function()
    local function order(url, polls)
      here.desk:call("POST", "/_sandbox/reset")
      here.desk.headers.authorization = nil
      local _, tokens = here.desk:call("POST", "/v1/auth/token",
        { grantType = "authorization_code", code = here.box.tokens.codes[1] })
      here.desk.headers.authorization = "Bearer " .. tokens.accessToken
      local wanted = here.desk:free_tokens(1)
      local support = require("support.desk")
      assert(here.desk:call("PUT", "/v1/tickets/lock", support.lock_payload(wanted)) == 200)
      local payload = support.order_payload(wanted)
      payload.settlement[1].asyncCallbackUrl = url
      local status, body = here.desk:call("POST", "/v1/cart/complete-order", payload,
        { ["x-sandbox-pending"] = polls })
      assert.equal(200, status)
      return body
    end

    it("are posted to the URL of the call", function()
      local body = order(here.url .. "?secret=1")
      local requests = here:run()
      assert.equal(1, #requests)
      assert.equal("secret=1", requests[1].query)
      assert.equal("application/json", requests[1].headers["content-type"])
      assert.same(body, cjson.decode(requests[1].body))
      assert.equal("callback", deliveries()[1].kind)
    end)

    it("come with the credentials of the URL", function()
      order((here.url:gsub("//", "//me:pass%%20word@")))
      assert.equal("Basic bWU6cGFzcyB3b3Jk", here:run()[1].headers.authorization)
    end)

    it("come once the work is done, polled for or not", function()
      here:control("POST", "options", { pending_s = 0 })
      local body = order(here.url, "3")
      assert.equal("PENDING", body.status)
      here:run_until(function() return #here.requests == 1 end)
      here:control("POST", "options", { pending_s = 60 })
      local result = cjson.decode(here.requests[1].body)
      assert.equal("COMPLETE", result.status)
      assert.equal(body.processId, result.processId)
    end)

    it("never leave this machine", function()
      order("https://shop.example/callback")
      assert.equal(0, #deliveries())
    end)
  end)

  describe("and the host of Amazon SNS", function()
    local batch, transport, root_file

    setup(function()
      root_file = os.tmpname()
      local file = assert(io.open(root_file, "wb"))
      file:write(root)
      file:close()
      local view = here:control("GET", "sns")
      batch = core.http.batch()
      transport = core.http.new { proxy = "", ca_file = root_file,
        connect_to = { [view.host .. ":443"] = view.connectTo } }
    end)

    teardown(function()
      batch:close()
      transport:close()
      os.remove(root_file)
    end)

    local function get(url, method)
      batch:add(transport, { method = method or "GET", url = url })
      local answer
      here:run_until(function()
        batch:wait(0)
        local number, got, failure = batch:take()
        assert.is_nil(failure and failure.message)
        answer = number and got
        return number ~= nil
      end)
      return answer
    end

    local function count(name)
      return here:control("GET", "sns").requests[name]
    end

    it("serves the certificate over TLS, under its own name", function()
      local view = here:control("GET", "sns")
      assert.truthy(view.certificateUrl:find("^https://sns%.us%-west%-2%.amazonaws%.com/SimpleNotificationService%-"
        .. ("%x"):rep(32) .. "%.pem$"))
      local before = count("certificate")
      local answer = get(view.certificateUrl)
      assert.equal(200, answer.status)
      assert.truthy(core.sns.certificate(answer.body, core.sns.trust(nil, view.root)))
      assert.equal(before + 1, count("certificate"))
    end)

    it("confirms by the URL of the message", function()
      local subscription = here:subscribe { mode = "envelope" }
      local envelope = assert(verify(here:run()[1]))
      local answer = get(envelope.confirm_url)
      assert.equal(200, answer.status)
      assert.equal(subscription.arn, answer.body:match("<SubscriptionArn>(.-)</SubscriptionArn>"))
      assert.equal("live", here:control("GET", "subscriptions/" .. subscription.id).state)
      assert.equal(200, get(envelope.confirm_url).status)
    end)

    it("ends a subscription by its unsigned URL", function()
      local subscription = live()
      publish { body = "text" }
      local url = cjson.decode(here:run()[1].body).UnsubscribeURL
      assert.equal(200, get(url).status)
      assert.equal(404, select(2, here:control("GET", "subscriptions/" .. subscription.id)))
      assert.equal(404, get(url).status)
    end)

    for path, status in pairs { ["/"] = 404, ["/?Action=Publish"] = 404, ["/other.pem"] = 404,
      ["/?Action=ConfirmSubscription&TopicArn=" .. sns.TOPICS.seats .. "&Token=x"] = 400,
      ["/?Action=ConfirmSubscription"] = 400, ["/?Action=Unsubscribe"] = 404 } do
      it("refuses " .. path, function()
        local answer = get("https://" .. sns.HOST .. path)
        assert.equal(status, answer.status)
        assert.truthy(answer.body:find("<ErrorResponse", 1, true))
      end)
    end

    it("refuses another method", function()
      assert.equal(404, get(here:control("GET", "sns").certificateUrl, "DELETE").status)
    end)
  end)
end)

describe("the deliveries of the sandbox over TLS", function()
  local box, server, root_file

  after_each(function()
    box:close()
    server:close()
    os.remove(root_file)
  end)

  local function leaf()
    local key = authority.key { type = "ec" }
    local root = authority.certificate { key = key, name = "root", is_ca = true, usage = "keyCertSign",
      extended_usage = false }
    local own = authority.key { type = "ec" }
    root_file = os.tmpname()
    files.write(root_file, root)
    return { key = own:pem(), certificate = authority.certificate { key = own, name = "receiver",
      issuer = { key = key, certificate = root }, ip = { "127.0.0.1" }, usage = "digitalSignature" } }
  end

  -- Delivers one message; returns its states and what arrived.
  local function deliver(options)
    server = assert(httpd.listen { host = "127.0.0.1", tls = leaf() })
    options.redelivery_tries = 0
    options.delivery_ca_file = options.delivery_ca_file and root_file
    box = sandbox.new(options)
    assert(box:listen())
    assert(box.publisher:subscribe { url = ("https://127.0.0.1:%d/"):format(server:port()), topic = "seats",
      mode = "raw" })
    assert(box.publisher:publish("seats", { "text" }))
    local got
    for _ = 1, 2000 do
      box:step(1)
      local request = server:next(1)
      if request then
        got = request.body
        server:reply(request, 204)
      end
      if box.publisher.courier:waiting() == 0 then
        return box.publisher.courier:view(1).deliveries[1].state, got
      end
    end
  end

  it("arrive where the root is known", function()
    assert.same({ "delivered", "text" }, { deliver { delivery_ca_file = true } })
  end)

  it("show nothing to a receiver whose root is not known", function()
    assert.same({ "gave_up" }, { deliver {} })
  end)
end)

describe("the keys of the sandbox", function()
  local place, boxes

  before_each(function()
    place, boxes = folder.make(), {}
  end)

  after_each(function()
    for _, box in ipairs(boxes) do
      box:close()
    end
    folder.remove_all()
  end)

  local function keys_of()
    local box = sandbox.new { seed = "keys", sns_key_dir = place }
    boxes[#boxes + 1] = box
    return box.publisher.sns.keys
  end

  it("stay the same in a folder, readable by their owner only", function()
    local first = keys_of()
    local root, name = first:root(), first:signer_name()
    for _, file in ipairs { "authority", "signer", "host" } do
      assert.equal("600", terminal.mode_of(place .. "/" .. file .. ".key"))
    end
    local second = keys_of()
    assert.equal(root, second:root())
    assert.equal(name, second:signer_name())
    assert.equal(first:certificate(name), second:certificate(name))
    assert.equal(first:sign("text", "sha256"), second:sign("text", "sha256"))
  end)

  it("are made anew when a file is missing, and change on request", function()
    local first = keys_of()
    local root, name = first:root(), first:signer_name()
    local before = first:sign("text", "sha1")
    first:rotate()
    assert.not_equal(name, first:signer_name())
    assert.not_equal(before, first:sign("text", "sha1"))
    assert.truthy(first:certificate(name))
    assert(os.remove(place .. "/signer.pem"))
    assert.not_equal(root, keys_of():root())
  end)
end)

describe("the sandbox as a process", function()
  local box

  after_each(function()
    if box then
      box:stop()
    end
  end)

  it("gives a receiver what it needs", function()
    box = sandboxes.start { redelivery_ms = 10, redelivery_tries = 1 }
    local known = box:sns()
    assert.equal(sns.TOPICS.seats, known.topics.seats)
    local transport = require("paciolan.transport.curl").new { proxy = "", ca_file = known.ca_file,
      connect_to = known.connect_to }
    local answer = assert(transport:send { method = "GET", url = known.certificate_url })
    transport:close()
    assert.truthy(core.sns.certificate(answer.body, core.sns.trust(nil, known.roots)))
    box:subscribe { url = "http://127.0.0.1:1/", topic = "seats", mode = "raw" }
    assert.equal(1, box:publish({ topic = "seats", body = "text" }).deliveries)
    assert.equal(1, #box:trigger({ what = "seats.unlock" }).messages)
    assert.equal(2, #box:deliveries().deliveries)
    assert.has_error(function() box:publish { topic = "seats" } end)
    local root_file = known.ca_file
    box:stop()
    assert.is_nil((io.open(root_file, "rb")))
  end)
end)
