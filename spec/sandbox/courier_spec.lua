local courier = require "paciolan.sandbox.courier"
local desk = require "support.desk"

describe("the courier of the sandbox", function()
  local here

  before_each(function()
    here = courier.new { redelivery_ms = 0, redelivery_tries = 1 }
  end)

  after_each(function()
    here:close()
  end)

  local function add(fields, delay_ms)
    fields.url = fields.url or "http://127.0.0.1:1/"
    fields.compose = fields.compose or function() return {}, "text" end
    here:add(fields, delay_ms)
    return fields
  end

  local function unwanted()
    return { is_wanted = function() return false end }
  end

  it("forgets the oldest that are over, and none that waits", function()
    add({ message_id = "waits" }, 3600000)
    for _ = 1, 9999 do
      add(unwanted())
    end
    here:turn(0)
    add({ message_id = "new" }, 3600000)
    local view = here:view(10000)
    assert.equal(5002, #view.deliveries)
    assert.same({ "waits", "new" }, { view.deliveries[1].messageId, view.deliveries[5002].messageId })
    assert.same({ queued = 2, retrying = 0, delivered = 0, failed = 0, gave_up = 0, dropped = 9999 }, view.counts)
    assert.equal(2, view.waiting)
  end)

  it("has patience until the next one is due", function()
    assert.equal(500, here:patience_ms(500))
    add({}, 3600000)
    assert.equal(500, here:patience_ms(500))
    add({})
    assert.equal(0, here:patience_ms(500))
    assert.is_false(here:is_busy())
  end)

  it("gives up a message that cannot be made, and says why", function()
    local delivery = add { compose = function() error("no key") end }
    local has_moved, problem = here:turn(0)
    assert.is_true(has_moved)
    assert.truthy(problem:find("no key", 1, true))
    assert.equal("failed", delivery.state)
    assert.same({ "impossible" }, delivery.statuses)
    assert.equal(0, here:waiting())
  end)

  it("sends sixteen at a time", function()
    for _ = 1, 40 do
      add {}
    end
    here:turn(0)
    local view = here:view(100)
    assert.is_true(view.attempts >= 16 and view.attempts < 40)
    local rounds = 0
    while here:waiting() > 0 and rounds < 20000 do
      here:turn(10)
      rounds = rounds + 1
    end
    assert.equal(40, here:view(0).counts.gave_up)
    assert.equal(80, here:view(0).attempts)
  end)

  it("forgets all of them, whatever their state", function()
    for _ = 1, 20 do
      add {}
    end
    here:turn(0)
    assert.is_true(here:is_busy())
    here:clear()
    assert.is_false(here:is_busy())
    assert.same({}, here:view(10).deliveries)
    assert.is_false((here:turn(0)))
  end)
end)

describe("the sandbox without paciolan.authority", function()
  local kept

  before_each(function()
    kept = package.loaded["paciolan.authority"]
    package.loaded["paciolan.authority"] = nil
    package.preload["paciolan.authority"] = function() error("it was not built") end
  end)

  after_each(function()
    package.loaded["paciolan.authority"], package.preload["paciolan.authority"] = kept, nil
  end)

  it("has no envelopes and says so, and delivers everything else", function()
    local here = desk.open()
    local wanted = { url = "http://127.0.0.1:9/", topic = "seats" }
    local status, body = here:call("POST", "/_sandbox/subscriptions", wanted)
    assert.equal(400, status)
    assert.truthy(body.error.developerMessage:find("paciolan.authority", 1, true))
    for _, method in ipairs { "GET /_sandbox/sns", "POST /_sandbox/sns/rotate" } do
      status, body = here:call(method:match("%u+"), method:match("/.*"))
      assert.equal(501, status)
      assert.truthy(body.error.developerMessage:find("paciolan.authority", 1, true))
    end
    wanted.mode = "raw"
    assert.equal(200, (here:call("POST", "/_sandbox/subscriptions", wanted)))
    status, body = here:call("POST", "/_sandbox/trigger", { what = "seats.unlock" })
    assert.equal(200, status)
    assert.equal(1, body.deliveries)
  end)
end)
