--- The sandbox as a process and a receiver of the library in this one: everything that stands between them is real, the
-- certificate over TLS and the confirmation included.

local httpd = require("paciolan.httpd")
local receivers = require("paciolan.receiver")
local sandboxes = require("paciolan.sandbox.child")

describe("a receiver and the sandbox", function()
  local box, server, receiver, seats, rounds

  setup(function()
    box = sandboxes.start { seed = "receiving", redelivery_ms = 20 }
  end)

  teardown(function()
    box:stop()
  end)

  before_each(function()
    server, seats, rounds = assert(httpd.listen { host = "127.0.0.1" }), {}, {}
  end)

  after_each(function()
    for _, subscription in ipairs(box:control("GET", "/_sandbox/subscriptions").subscriptions) do
      box:control("DELETE", "/_sandbox/subscriptions/" .. subscription.id)
    end
    box:control("DELETE", "/_sandbox/publish/plan")
    box:control("POST", "/_sandbox/reset")
    server:close()
  end)

  local CREDENTIALS = { user = "paciolan", password = "secret" }

  local function open(changes)
    local sns = box:sns()
    local options = { topics = { sns.topics.seats }, basic_auth = CREDENTIALS, roots = sns.roots,
      ca_file = sns.ca_file, connect_to = sns.connect_to, confirm_subscriptions = true,
      on_seat = function(seat)
        seats[#seats + 1] = seat.status .. " " .. seat.seat
        return true
      end }
    for name, value in pairs(changes or {}) do
      options[name] = value ~= "none" and value or nil
    end
    receiver = receivers.new(options)
  end

  local function subscribe(changes)
    local subscription = { url = ("http://127.0.0.1:%d/"):format(server:port()), topic = "seats",
      user = CREDENTIALS.user, password = CREDENTIALS.password }
    for name, value in pairs(changes or {}) do
      subscription[name] = value
    end
    return box:subscribe(subscription)
  end

  local function serve_one()
    local request = server:next(20)
    if request then
      local answer = receiver:handle(request)
      rounds[#rounds + 1] = answer.status
      server:reply(request, answer.status, answer.headers, answer.body)
    end
  end

  -- Serves until the sandbox has nothing to deliver any more, and tells what became of it.
  local function settle()
    for _ = 1, 2000 do
      serve_one()
      local view = box:deliveries()
      if view.waiting == 0 then
        return view.counts, view.deliveries
      end
    end
    error("the deliveries do not end")
  end

  for version = 1, 2 do
    it(("confirm and deliver with SignatureVersion %d"):format(version), function()
      open { topics = { { arn = box:sns().topics.seats, min_version = version } } }
      local subscription = subscribe { signature_version = version }
      settle()
      assert.same({ 401, 204 }, { rounds[1], rounds[2] })
      assert.equal("live", box:control("GET", "/_sandbox/subscriptions/" .. subscription.id).state)
      box:trigger { what = "seats.unlock", access_id = "129:FB30:FB01", section = "ES:9", row = "2", seat = "7" }
      settle()
      assert.same({ "UNLOCK 7" }, seats)
    end)
  end

  it("deal with a message once that comes three times, in any order, beside forged and stale ones", function()
    open()
    subscribe { confirmed = true }
    box:control("POST", "/_sandbox/publish/plan", { duplicate = 2, reorder_ms = 20, late = 1, tamper = 1 })
    local bodies, wanted = {}, {}
    for i = 1, 12 do
      bodies[i] = { metadata = { messageEntity = "seats", pacOrganizationId = 129, requestId = "x" }, data = { seats = {
        { accessId = "129:FB30:FB01", section = "ES:9", row = "1", seat = ("%d"):format(i), status = "LOCK" } } } }
      wanted[i] = ("LOCK %d"):format(i)
    end
    box:publish { topic = "seats", bodies = bodies }
    local counts = settle()
    table.sort(seats)
    table.sort(wanted)
    assert.same(wanted, seats)
    assert.equal(36, counts.delivered)
    assert.equal(24, counts.failed)
  end)

  it("try again what a handler could not do", function()
    local calls = 0
    open { on_seat = function(seat)
      calls = calls + 1
      seats[#seats + 1] = seat.seat
      return calls > 1 or nil, "not yet"
    end }
    subscribe { confirmed = true }
    box:trigger { what = "seats.lock", access_id = "129:FB30:FB01", section = "ES:9", row = "3", seat = "1" }
    local _, list = settle()
    assert.same({ "1", "1" }, seats)
    assert.same({ 401, 503, 401, 204 }, list[#list].statuses)
  end)

  it("keep believing each other after the key has changed", function()
    open()
    subscribe { confirmed = true }
    for _ = 1, 2 do
      box:trigger { what = "seats.unlock", access_id = "129:FB30:FB01", section = "ES:9", row = "3", seat = "2" }
      settle()
      box:control("POST", "/_sandbox/sns/rotate")
    end
    assert.same({ "UNLOCK 2", "UNLOCK 2" }, seats)
  end)

  for _, mode in ipairs { "raw", "direct" } do
    it("agree on the form " .. mode, function()
      open { mode = mode, topics = mode == "direct" and "none" or nil, roots = "none", ca_file = "none",
        connect_to = "none", confirm_subscriptions = "none" }
      subscribe { mode = mode }
      box:trigger { what = "seats.unlock", access_id = "129:FB30:FB01", section = "ES:9", row = "3", seat = "3" }
      settle()
      assert.same({ "UNLOCK 3" }, seats)
    end)
  end

  it("end in order", function()
    local alarms = {}
    open { on_alarm = function(alarm) alarms[#alarms + 1] = alarm.code end }
    local subscription = subscribe { confirmed = true }
    box:control("DELETE", "/_sandbox/subscriptions/" .. subscription.id)
    local counts = settle()
    assert.equal(1, counts.delivered)
    assert.same({ "unsubscribed" }, alarms)
  end)
end)
