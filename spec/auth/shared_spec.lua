--- What all who use one store share of a token set, on a store whose clock moves by hand and whose operations may fail.

local core = require("paciolan.core")
local errors = require("paciolan.errors")
local faulty_store = require("support.faulty_store")
local memory = require("paciolan.store.memory")
local shared = require("paciolan.auth.shared")
local virtual = require("support.clock")

local BASE, APPLICATION = "https://link-sandbox.paciolan.info", "com.mycompany.myapp"
local WHOSE = BASE .. "/" .. APPLICATION
local TOKEN, LOCK, PAUSE = "paciolan/token/" .. WHOSE, "paciolan/lock/" .. WHOSE, "paciolan/pause/" .. WHOSE

local clock, store

local function open(overrides)
  local config = { store = store, base_url = BASE, application_id = APPLICATION, api_key = "key-0001" }
  for name, value in pairs(overrides or {}) do
    config[name] = value
  end
  return shared.new(config)
end

-- The n-th operation of this name fails, all others work.
local function fail_one(method, how, n)
  local seen = 0
  store.watch(function(name)
    if name == method then
      seen = seen + 1
      return seen == (n or 1) and how or nil
    end
  end)
end

local function fail_all(how)
  store.watch(function() return how end)
end

local function expect_store_error(value, err)
  assert.is_nil(value)
  assert.is_true(errors.is(err))
  assert.equal("store", err.kind)
end

before_each(function()
  clock = virtual.start()
  store = faulty_store.new(memory.new())
end)

after_each(function() clock:stop() end)

describe("swap", function()
  it("adds where nothing is stored", function()
    assert.equal("one", open():swap(nil, "one"))
    assert.equal("one", store.inner:get(TOKEN))
    assert.equal("one", open():read())
  end)

  it("replaces what was read", function()
    store.inner:put(TOKEN, "one")
    assert.equal("two", open():swap("one", "two"))
    assert.equal("two", store.inner:get(TOKEN))
  end)

  for name, expected in pairs { ["nothing was read"] = false, ["another was read"] = "one" } do
    it("leaves and tells what somebody else stored where " .. name, function()
      store.inner:put(TOKEN, "other")
      assert.equal("other", open():swap(expected or nil, "two"))
      assert.equal("other", store.inner:get(TOKEN))
    end)
  end

  it("adds where the key was removed meanwhile", function()
    assert.equal("two", open():swap("one", "two"))
    assert.equal("two", store.inner:get(TOKEN))
  end)

  it("replaces what was gone for a moment", function()
    store.inner:put(TOKEN, "one")
    local is_first = true
    store.watch(function(method)
      if method == "replace" and is_first then
        is_first = false
        store.inner:remove(TOKEN)
      elseif method == "get" then
        store.inner:put(TOKEN, "one")
      end
    end)
    assert.equal("two", open():swap("one", "two"))
    assert.equal("two", store.inner:get(TOKEN))
  end)

  it("leaves what comes into the place of a removed key", function()
    store.watch(function(method)
      if method == "add" then
        store.inner:put(TOKEN, "other")
      end
    end)
    assert.equal("other", open():swap("one", "two"))
  end)

  it("asks that a set survives a loss of power, and lets it stay", function()
    local asked = {}
    for _, method in ipairs { "add", "replace" } do
      local own = store[method]
      store[method] = function(self, ...)
        asked[#asked + 1] = select(select("#", ...), ...)
        return own(self, ...)
      end
    end
    local one = open()
    one:swap(nil, "one")
    one:swap("one", "two")
    assert.same({ { durable = true }, { durable = true } }, asked)
  end)

  for _, how in ipairs { "fail", "lost" } do
    it("tells a write that ended with an error (" .. how .. "), and finds its own text in the next try", function()
      for _, expected in ipairs { false, "one" } do
        store.inner:remove(TOKEN)
        if expected then
          store.inner:put(TOKEN, expected)
        end
        local one = open()
        fail_one(expected and "replace" or "add", how)
        expect_store_error(one:swap(expected or nil, "two"))
        assert.equal("two", one:swap(expected or nil, "two"))
        assert.equal("two", store.inner:get(TOKEN))
      end
    end)
  end

  it("tells a store that cannot be read after another's write", function()
    store.inner:put(TOKEN, "other")
    fail_one("get", "fail")
    expect_store_error(open():swap(nil, "two"))
  end)

  it("ends where the set comes and goes again and again", function()
    store.watch(function(method)
      if method == "add" then
        store.inner:put(TOKEN, "other")
      else
        store.inner:remove(TOKEN)
      end
    end)
    expect_store_error(open():swap(nil, "two"))
  end)

  it("hides the text of a store of the caller's own", function()
    function store.get() return nil, "cannot read Bearer top-secret" end
    local _, err = open():read()
    assert.equal("store", err.kind)
    assert.is_nil(tostring(err):find("secret", 1, true))
  end)
end)

describe("the lock", function()
  local LEAST = 30000

  it("has one owner, until that gives it back", function()
    local one, other = open(), open()
    local lock = assert(one:lock(LEAST))
    assert.is_false(other:lock(LEAST))
    assert.is_false(one:lock(LEAST))
    lock:release()
    assert.is_nil(store.inner:get(LOCK))
    assert.is_truthy(other:lock(LEAST))
  end)

  it("is not the lock of another application", function()
    assert(open():lock(LEAST))
    assert.is_truthy(open({ application_id = "com.other" }):lock(LEAST))
  end)

  -- Half as long again as the attempt, at least one second and at most five.
  for _, row in ipairs { { 30000, 35000 }, { 5000, 10000 }, { 2000, 4000 }, { 1000, 2000 }, { 100, 1100 } } do
    it(("for %d ms ends by itself after %d ms"):format(row[1], row[2]), function()
      assert(open():lock(row[1]))
      clock:advance(row[2] - 1)
      assert.is_false(open():lock(row[1]))
      clock:advance(1)
      assert.is_truthy(open():lock(row[1]))
    end)
  end

  it("that ran out is not given back in the place of its new owner", function()
    local lock = assert(open():lock(LEAST))
    clock:advance(40000)
    assert(open():lock(LEAST))
    lock:release()
    assert.is_false(open():lock(LEAST))
  end)

  it("is kept without the store while it holds long enough, and extended after that", function()
    local lock = assert(open():lock(LEAST))
    store.watch()
    assert.is_true(lock:keep(LEAST))
    clock:advance(2500)
    assert.is_true(lock:keep(LEAST))
    assert.equal(0, store.count)
    clock:advance(1)
    assert.is_true(lock:keep(LEAST))
    assert.equal(1, store.count)
    assert.is_true(lock:keep(LEAST))
    assert.equal(1, store.count)
    clock:advance(34999)
    assert.is_false(open():lock(LEAST))
    clock:advance(1)
    assert.is_truthy(open():lock(LEAST))
  end)

  it("cannot be kept when another took it, or nobody has it", function()
    local lock = assert(open():lock(LEAST))
    clock:advance(40000)
    assert.is_false(lock:keep(LEAST))
    assert(open():lock(LEAST))
    assert.is_false(lock:keep(LEAST))
    assert.is_false(lock:keep(LEAST)) -- nor does asking again make it ours
    lock:release()
    assert.is_false(open():lock(LEAST))
  end)

  it("is not kept when the store fails", function()
    local lock = assert(open():lock(LEAST))
    clock:advance(20000)
    fail_one("replace", "fail")
    expect_store_error(lock:keep(LEAST))
    assert.is_true(lock:keep(LEAST))
  end)

  for _, how in ipairs(faulty_store.WAYS) do
    it("does not stay behind where taking it failed (" .. how .. ")", function()
      fail_one("add", how)
      local ok, lock, err = pcall(open().lock, open(), LEAST)
      if ok then
        expect_store_error(lock, err)
      else
        assert.equal(faulty_store.RAISED, lock)
      end
      assert.is_truthy(open():lock(LEAST))
    end)

    it("is given back without an error where the store fails then (" .. how .. ")", function()
      local lock = assert(open():lock(LEAST))
      fail_one("remove", how)
      lock:release()
      clock:advance(35000)
      assert.is_truthy(open():lock(LEAST))
    end)
  end
end)

describe("the pause after a failure", function()
  local function failure(more)
    local err = errors.new { kind = "http", operation = "auth.token", message = "the service answered 503",
      outcome = "unknown", status = 503, attempts = 1, retryable = false }
    for name, value in pairs(more or {}) do
      err[name] = value
    end
    return err
  end

  -- How long it still is for somebody who looks for the first time.
  local function left_ms(who)
    return (who or open()):pause().until_ms - core.now_ms()
  end

  it("is none before any", function()
    local pause, err = open():pause()
    assert.is_nil(pause)
    assert.is_nil(err)
  end)

  it("is told to all, with the error", function()
    open():set_pause(failure())
    local pause = open():pause()
    assert.is_true(pause.asked_until_ms <= core.now_ms())
    assert.is_true(errors.is(pause.error))
    assert.same({ "http", "auth.token", "unknown", 503, 1, false, "the service answered 503" }, {
      pause.error.kind, pause.error.operation, pause.error.outcome, pause.error.status, pause.error.attempts,
      pause.error.retryable, pause.error.message,
    })
  end)

  it("has an id of its own each time", function()
    open():set_pause(failure())
    local first = open():pause().id
    assert.equal(first, open():pause().id)
    open():set_pause(failure())
    assert.are_not.equal(first, open():pause().id)
  end)

  it("keeps nothing of the answer or of the request", function()
    open():set_pause(failure { body = { accessToken = "top-secret" }, response = { body = "top-secret" } })
    assert.is_nil(store.inner:get(PAUSE):find("secret", 1, true))
  end)

  it("doubles over failures, up to a minute", function()
    local most_ms = 1000
    for failures = 1, 9 do
      open():set_pause(failure())
      assert.equal(failures, open():pause().failures)
      local wait_ms = left_ms()
      assert.is_true(wait_ms >= most_ms / 2 and wait_ms <= most_ms, ("%d: %d"):format(failures, wait_ms))
      most_ms = math.min(most_ms * 2, 60000)
    end
  end)

  it("is forgotten after a success", function()
    local one = open()
    one:set_pause(failure())
    one:set_pause(failure())
    open():clear_pause()
    assert.is_nil(one:pause())
    one:set_pause(failure())
    assert.equal(1, one:pause().failures)
  end)

  it("lasts, is then over but remembered, and in the end forgotten", function()
    local one = open()
    one:set_pause(failure { retry_after_ms = 10000 })
    assert.equal(10000, left_ms(one))
    clock:advance(9999)
    assert.equal(1, left_ms(one))
    clock:advance(2)
    assert.equal(-1, left_ms(one))
    clock:advance(10000 + 60000 - 2)
    assert.equal(1, one:pause().failures)
    clock:advance(1)
    assert.is_nil(one:pause())
  end)

  it("is as long as the service asks, where that is longer", function()
    open():set_pause(failure { retry_after_ms = 90000 })
    assert.equal(90000, left_ms())
    assert.equal(90000, open():pause().asked_until_ms - core.now_ms())
  end)

  it("that is longer than the service asks is not taken for its wish", function()
    for _ = 1, 6 do
      open():set_pause(failure())
    end
    open():set_pause(failure { retry_after_ms = 1000 })
    assert.equal(1000, open():pause().asked_until_ms - core.now_ms())
    assert.is_true(left_ms() > 10000)
  end)

  it("stands where the service asks for a hundred years", function()
    open():set_pause(failure { retry_after_ms = 100 * 366 * 24 * 3600 * 1000 })
    assert.is_truthy(open():pause())
  end)

  for name, ahead_ms in pairs { ahead = 5 * 3600 * 1000, behind = -5 * 3600 * 1000 } do
    it("written by a host whose clock is hours " .. name .. " is no longer than the wait", function()
      local own = core.now_ms
      core.now_ms = function() return own() + ahead_ms end
      open():set_pause(failure { retry_after_ms = 10000 })
      core.now_ms = own
      local one = open()
      assert.is_true(left_ms(one) <= 10000)
      clock:advance(10000)
      assert.is_true(left_ms(one) <= 0)
    end)
  end

  it("is not told where the store fails, and that is an error of reading only", function()
    local one = open()
    one:set_pause(failure())
    fail_all("fail")
    expect_store_error(one:pause())
    one:set_pause(failure())
    one:clear_pause()
    fail_all("raise")
    one:set_pause(failure())
    one:clear_pause()
  end)
end)

describe("a spent credential", function()
  it("is known to all, and here without asking", function()
    local one, other = open(), open()
    assert.is_false(one:is_spent("C0"))
    assert.is_false(one:is_known_spent("C0"))
    assert.is_true(one:spend("C0", "sent"))
    assert.is_true(one:is_known_spent("C0"))
    assert.is_false(other:is_known_spent("C0"))
    assert.is_true(other:is_spent("C0"))
    assert.is_true(other:is_known_spent("C0"))
    assert.is_false(other:is_spent("C1"))
  end)

  it("is spent by one of two", function()
    assert.is_true(open():spend("C0", "sent"))
    assert.is_false(open():spend("C0", "sent"))
  end)

  it("is not spoilt by a host with another key of the API", function()
    assert(open({ api_key = "key-0002" }):spend("C0", "refused"))
    assert.is_false(open():is_spent("C0"))
  end)

  it("may be given back", function()
    local one = open()
    one:spend("C0", "sent")
    one:unspend("C0")
    assert.is_false(one:is_spent("C0"))
    assert.is_false(open():is_spent("C0"))
    assert.is_true(open():spend("C0", "sent"))
  end)

  it("stands in no key and no value", function()
    local secrets = { "secret-code-1", "secret-token-2" }
    local one = open()
    one:spend(secrets[1], "sent")
    one:spend(secrets[2], "refused")
    assert(one:lock(1000))
    one:set_pause(errors.new { kind = "http", message = "no" })
    local list = assert(store.inner:list("", {}))
    assert.equal(4, #list)
    for _, item in ipairs(list) do
      for _, secret in ipairs { "secret-code-1", "secret-token-2", "key-0001" } do
        assert.is_nil(item[1]:find(secret, 1, true))
        assert.is_nil(item[2]:find(secret, 1, true))
      end
    end
  end)

  it("is an error where the store cannot tell", function()
    local one = open()
    fail_one("get", "fail")
    expect_store_error(one:is_spent("C0"))
    assert.is_false(one:is_spent("C0"))
  end)

  it("is known here where the store could not write it down", function()
    local one = open()
    fail_one("add", "fail")
    expect_store_error(one:spend("C0", "refused"))
    assert.is_true(one:is_spent("C0"))
    assert.is_false(open():is_spent("C0"))
  end)

  it("that is given back is what the store says, where that fails", function()
    for _, how in ipairs(faulty_store.WAYS) do
      local one = open()
      one:spend(how, "sent")
      fail_one("remove", how)
      one:unspend(how)
      local is_there = how == "fail" or how == "raise"
      assert.equal(is_there, one:is_spent(how), how)
    end
  end)

  it("is not given back in the place of another who spent it", function()
    local one = open()
    assert(open():spend("C0", "sent"))
    assert.is_false(one:spend("C0", "sent"))
    one:unspend("C0")
    assert.is_true(one:is_spent("C0"))
  end)
end)

describe("rubbish in the store", function()
  local RUBBISH = {
    "", "x", "\0", "null", "true", "5", '"text"', "[]", "[1]", "{}", "{", '{"error":{}}', '{"error":5}',
    '{"error":{"kind":5,"message":{}}}', '{"error":{"kind":"http","message":"m"}}',
    '{"id":1,"failures":"many","wait_ms":"long","until_ms":{},"error":{"kind":"http","message":"m"}}',
    '{"id":{},"failures":{},"wait_ms":[],"until_ms":"9","error":{"kind":"http","message":"m","retry_after_ms":"x"}}',
    '{"failures":1,"wait_ms":1e300,"until_ms":1e300,"error":{"kind":"http","message":"m"}}',
    '{"failures":-1e300,"wait_ms":-1e300,"until_ms":-1e300,"error":{"kind":"http","message":"m"}}',
  }

  it("in the place of the pause is no pause, and gives way to the next", function()
    for _, text in ipairs(RUBBISH) do
      store.inner:put(PAUSE, text)
      local one = open()
      local pause, err = one:pause()
      assert.is_nil(err, text)
      if pause then
        assert.equal("number", type(pause.until_ms), text)
        assert.equal("number", type(pause.failures), text)
      end
      one:set_pause(errors.new { kind = "http", message = "m" })
      pause = assert(one:pause(), text)
      assert.is_true(pause.until_ms - core.now_ms() <= 60000, text)
    end
  end)

  it("in the place of the lock is a lock, of somebody else", function()
    for _, text in ipairs(RUBBISH) do
      store.inner:put(LOCK, text)
      assert.is_false(open():lock(1000))
    end
  end)

  it("in the place of the set is read and swapped as any text", function()
    for _, text in ipairs(RUBBISH) do
      store.inner:put(TOKEN, text)
      assert.equal(text, open():read())
      assert.equal("new", open():swap(text, "new"))
    end
  end)

  it("in the place of a spent credential says that it is spent", function()
    local one = open()
    one:spend("C0", "sent")
    local key = store.inner:list("paciolan/spent/")[1][1]
    for _, text in ipairs(RUBBISH) do
      store.inner:put(key, text)
      assert.is_true(open():is_spent("C0"))
    end
  end)
end)
