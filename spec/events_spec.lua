--- What `on_event` is told: the names and the shapes of every field of every event, in every course that a call can
-- take, and that a hook can do no harm.
local cjson = require("cjson").new()
local core = require("paciolan.core")
local paciolan = require("paciolan")
local samples = require("support.samples")
local scripted = require("support.scripted")

local FAR = "2099-01-01T00:00:00.000000000Z"
local OK = { status = 200, body = '{"status":"COMPLETE","transactionStatus":"COMPLETE"}' }
local TOKEN = { status = 200, body = cjson.encode {
  accessToken = "new-access", refreshToken = "new-refresh", expiration = FAR, tokenType = "Bearer",
} }
local NOT_SENT, TIMEOUT = { kind = "network", phase = "not_sent" }, { kind = "timeout", phase = "unknown" }
local OWN_ID = "0b0e6a8c-3c5b-4d2e-9f6a-1c2d3e4f5a6b"

local function answer(status, headers)
  return { status = status, headers = headers, body = '{"error":{"type":"X"}}' }
end

-- --- the shapes -------------------------------------------------------------------------------------------------

local names, templates = {}, {}
for _, operation in ipairs(paciolan.operations()) do
  names[operation.name] = true
  templates[operation.name] = operation.method .. " " .. operation.path
end

local function whole(least)
  return function(value)
    return type(value) == "number" and value >= least and value == math.floor(value)
  end
end

local function one_of(words)
  return function(value)
    return type(value) == "string" and (" " .. words .. " "):find(" " .. value .. " ", 1, true) ~= nil
  end
end

local function status(value)
  return whole(100)(value) and value <= 599
end

local kind = one_of("auth network timeout http rate_limit partial protocol canceled validation")
local outcome = one_of("not_sent rejected unknown")

local function path(value, event)
  return tostring(event.method) .. " " .. value == templates[event.operation]
end

-- Every field that may be there, and what it must look like; `true` behind it when it must be there.
local COMMON = {
  type = { one_of("call request response retry rotation"), true },
  operation = { function(value) return names[value] == true end, true },
  request_id = { core.is_uuid_v4, true }, attempt = { whole(0), true }, at_ms = { whole(1700000000000), true },
}
local SHAPES = {
  request = { method = { one_of("GET POST PUT DELETE"), true }, path = { path, true } },
  response = { status = { status }, kind = { kind }, outcome = { outcome }, elapsed_ms = { whole(0), true } },
  call = { status = { status }, kind = { kind }, outcome = { outcome }, elapsed_ms = { whole(0), true } },
  retry = { wait_ms = { function(value) return type(value) == "number" and value >= 0 end, true } },
  rotation = { step = { one_of("refresh exchange"), true }, ok = { function(value) return type(value) == "boolean" end,
    true }, status = { status }, kind = { kind }, outcome = { outcome }, elapsed_ms = { whole(0), true } },
}

-- What is wrong with an event, or nil.
local function fault(event)
  local shape = SHAPES[event.type]
  if not shape then
    return "an unknown type"
  end
  for name, value in pairs(event) do
    local rule = COMMON[name] or shape[name]
    if not rule then
      return event.type .. " has the field " .. tostring(name)
    elseif not rule[1](value, event) then
      return ("%s.%s is %s"):format(event.type, name, tostring(value))
    end
  end
  for _, rules in ipairs { COMMON, shape } do
    for name, rule in pairs(rules) do
      if rule[2] and event[name] == nil then
        return event.type .. " lacks " .. name
      end
    end
  end
end

-- --- the courses ------------------------------------------------------------------------------------------------

-- A client of a service that plays one script for token calls and one for all others.
local function client(token_steps, steps, more)
  local counts = { 0, 0 }
  local settings = scripted.settings { organization_id = "999" }
  for name, value in pairs(more or {}) do
    settings[name] = value
  end
  settings.transport = scripted.new { function(request)
    local at = request.url:find("/v1/auth/token", 1, true) and 1 or 2
    local script = at == 1 and token_steps or steps
    counts[at] = counts[at] + 1
    return script[math.min(counts[at], #script)]
  end }
  return paciolan.new(settings)
end

local function order(link, options)
  return link.orders:complete(samples.load("complete-order.request.json"), options)
end

local function unlock(link, options)
  return link.tickets:unlock(samples.load("unlock.request.json"), options)
end

local function status_of_order(link, options)
  return link.orders:status("d4e5f6", options)
end

local OLD = { access_token = "old", refresh_token = "r1" }

-- What is told of an event, in words.
local function told(event)
  local words = { event.type, event.operation, ("%d"):format(event.attempt) }
  for _, name in ipairs { "step", "ok", "status", "kind", "outcome" } do
    words[#words + 1] = event[name] ~= nil and tostring(event[name]):gsub("%.0$", "") or nil
  end
  return table.concat(words, " ")
end

local COURSES = {
  { "a success", order, {}, { OK }, nil,
    { "request orders.complete 1", "response orders.complete 1 200", "call orders.complete 1 200" } },
  { "a refusal", order, {}, { answer(422) }, nil,
    { "request orders.complete 1", "response orders.complete 1 422 http rejected",
      "call orders.complete 1 422 http rejected" } },
  { "silence after an order", order, {}, { TIMEOUT }, nil,
    { "request orders.complete 1", "response orders.complete 1 timeout unknown",
      "call orders.complete 1 timeout unknown" } },
  { "repetition", unlock, {}, { NOT_SENT, answer(429, { ["retry-after"] = "2" }), OK }, nil, {
    "request tickets.unlock 1", "response tickets.unlock 1 network not_sent", "retry tickets.unlock 2",
    "request tickets.unlock 2", "response tickets.unlock 2 429 rate_limit rejected",
    "call tickets.unlock 2 429 rate_limit rejected" } },
  { "repetition of a read, with a path", status_of_order, {}, { answer(500), OK }, nil, {
    "request orders.status 1", "response orders.status 1 500 http", "retry orders.status 2",
    "request orders.status 2", "response orders.status 2 200", "call orders.status 2 200" } },
  { "a part that was done", unlock, {}, { { status = 207, body = '{"failure":[{"token":"t"}]}' } }, nil,
    { "request tickets.unlock 1", "response tickets.unlock 1 207 partial",
      "call tickets.unlock 1 207 partial" } },
  { "a page instead of JSON", unlock, {}, { { status = 200, body = "<html>" } }, nil,
    { "request tickets.unlock 1", "response tickets.unlock 1 200 protocol unknown",
      "call tickets.unlock 1 200 protocol unknown" } },
  { "the exchange of a code", order, { TOKEN }, { OK }, { auth = { code = "c" } }, {
    "request auth.token 1", "response auth.token 1 200", "call auth.token 1 200",
    "rotation auth.token 1 exchange true 200",
    "request orders.complete 1", "response orders.complete 1 200", "call orders.complete 1 200" } },
  { "a 401", order, { TOKEN }, { answer(401), OK }, { auth = OLD }, {
    "request orders.complete 1", "response orders.complete 1 401 auth rejected",
    "request auth.token 1", "response auth.token 1 200", "call auth.token 1 200",
    "rotation auth.token 1 refresh true 200",
    "request orders.complete 2", "response orders.complete 2 200", "call orders.complete 2 200" } },
  { "a refused renewal", order, { answer(400) }, { answer(401) }, { auth = OLD }, {
    "request orders.complete 1", "response orders.complete 1 401 auth rejected",
    "request auth.token 1", "response auth.token 1 400 auth rejected", "call auth.token 1 400 auth rejected",
    "rotation auth.token 1 refresh false 400 auth rejected", "call orders.complete 1 auth rejected" } },
  { "a renewal that is not answered", order, { TIMEOUT }, { OK }, { auth = { refresh_token = "r1" } }, {
    "request auth.token 1", "response auth.token 1 timeout unknown", "call auth.token 1 timeout unknown",
    "rotation auth.token 1 refresh false timeout unknown", "call orders.complete 0 timeout not_sent" } },
  { "a renewal without a token", order, { { status = 200, body = "{}" } }, { OK },
    { auth = { refresh_token = "r1" } }, { "request auth.token 1", "response auth.token 1 200",
      "call auth.token 1 200", "rotation auth.token 1 refresh false 200 protocol unknown",
      "call orders.complete 0 protocol not_sent" } },
  { "a deadline that leaves no time to repeat", unlock, {}, { answer(503, { ["retry-after"] = "9" }) },
    { deadline_ms = 5000 }, { "request tickets.unlock 1", "response tickets.unlock 1 503 http unknown",
      "call tickets.unlock 1 503 http unknown" } },
  { "a payload that is not sent", function(link) return link.tickets:unlock {} end, {}, { OK }, nil,
    { "call tickets.unlock 0 validation not_sent" } },
}

describe("the events of", function()
  for _, row in ipairs(COURSES) do
    it(row[1] .. " have the documented fields and no other", function()
      local events, more = {}, { on_event = nil }
      for name, value in pairs(row[5] or {}) do
        more[name] = value
      end
      more.on_event = function(event) events[#events + 1] = event end
      local link = client(row[3], row[4], more)
      row[2](link)
      local words = {}
      for i, event in ipairs(events) do
        assert.is_nil(fault(event))
        words[i] = told(event)
      end
      assert.same(row[6], words)
    end)
  end

  it("one call carry one Request-ID, the caller's own where there is one", function()
    local seen = {}
    local link = client({ TOKEN }, { answer(401), OK }, { auth = OLD, on_event = function(event)
      seen[event.operation] = seen[event.operation] or {}
      seen[event.operation][event.request_id] = true
    end })
    assert(order(link, { request_id = OWN_ID }))
    assert.same({ [OWN_ID] = true }, seen["orders.complete"])
    local id = next(seen["auth.token"])
    assert.is_true(core.is_uuid_v4(id) and id ~= OWN_ID)
    assert.is_nil(next(seen["auth.token"], id))
  end)

  it("another method and path are told as they were set, with their placeholders", function()
    local request
    local link = client({}, { OK }, {
      operations = { ["orders.status"] = { method = "POST", path = "/v9/orders/{processId}" } },
      on_event = function(event) request = request or event end,
    })
    assert(status_of_order(link))
    assert.equal("POST", request.method)
    assert.equal("/v9/orders/{processId}", request.path)
  end)
end)

describe("the check of an event", function()
  it("sees a field too much, a field too little and a field of another shape", function()
    local event = { type = "request", operation = "orders.status", request_id = OWN_ID, attempt = 1,
      at_ms = 1763784904123, method = "GET", path = "/v1/cart/complete-order/{processId}" }
    assert.is_nil(fault(event))
    for name, wrong in pairs { url = "x", path = "/v1/cart/complete-order/d4e5f6", attempt = "1", type = "other",
      request_id = "x", operation = "orders.statuz", at_ms = 0 } do
      local kept = event[name]
      event[name] = wrong
      assert.is_string(fault(event), name)
      event[name] = kept
    end
    event.method = nil
    assert.is_string(fault(event))
  end)
end)

describe("a hook", function()
  local function run_all(hook)
    local link = client({ TOKEN }, { answer(401), OK }, { auth = OLD, on_event = hook })
    local result = order(link)
    return result and result.status
  end

  local hooks = {
    ["raises"] = function() error("hook") end,
    ["raises no text"] = function() error({}) end,
    ["yields"] = function() coroutine.yield("from the hook") end,
    ["yields and raises"] = function() coroutine.yield() error("hook") end,
    ["takes its event to pieces"] = function(event)
      for name in pairs(event) do
        event[name] = nil
      end
    end,
  }
  for name, hook in pairs(hooks) do
    it("that " .. name .. " does no harm", function()
      assert.equal("COMPLETE", run_all(hook))
    end)

    it("that " .. name .. " does no harm in a coroutine either, which it cannot suspend", function()
      local thread = coroutine.create(run_all)
      local ok, result = coroutine.resume(thread, hook)
      assert.is_true(ok)
      assert.equal("COMPLETE", result)
      assert.equal("dead", coroutine.status(thread))
    end)
  end

  it("may call the client", function()
    local count = 0
    local link
    link = client({ TOKEN }, { OK }, { on_event = function(event)
      count = count + 1
      if event.type == "request" and event.operation == "orders.complete" then
        assert(status_of_order(link))
      end
    end })
    assert(order(link))
    assert.equal(6, count)
  end)

  it("gets tables of its own, which it may keep", function()
    local events = {}
    local link = client({}, { OK }, { on_event = function(event) events[#events + 1] = event end })
    assert(order(link))
    assert(order(link))
    assert.equal(6, #events)
    assert.are_not.equal(events[1], events[4])
    assert.are_not.equal(events[1].request_id, events[4].request_id)
    assert.equal(events[1].request_id, events[2].request_id)
    assert.equal(events[1].request_id, events[3].request_id)
  end)
end)
