--- One call from payload to result, over a scripted transport: what is repeated and what never is, what is known of a
-- write that failed, tokens, events, responses and misuse. Nobody sleeps: the transport writes the waits down.
local cjson = require("cjson").new()
local core = require("paciolan.core")
local errors = require("paciolan.errors")
local paciolan = require("paciolan")
local samples = require("support.samples")
local scripted = require("support.scripted")

local DONE = { ok = true, status = "COMPLETE", transactionStatus = "COMPLETE" }
local OK = { status = 200, body = cjson.encode(DONE) }
local NOT_SENT = { kind = "network", phase = "not_sent" }
local BROKEN = { kind = "network", phase = "unknown" }
local CONNECT_TIMEOUT = { kind = "timeout", phase = "not_sent" }
local TIMEOUT = { kind = "timeout", phase = "unknown" }
local GARBLED = { kind = "protocol", phase = "unknown" }
local CANCELED = { kind = "canceled", phase = "unknown" }

local function status(number, body, headers)
  return { status = number, body = body or "", headers = headers }
end

local function service_error(number, kind, headers)
  local body = '{"error":{"type":"%s","appErrorCode":"MS-1","developerMessage":"text"}}'
  return status(number, body:format(kind), headers)
end

-- The calls by what the contract says of repeating them.
local calls = {
  listing = function(link, options) return link.listings:get("A3qnemZ", options) end,
  verify = function(link, options) return link.tickets:verify(samples.load("verify.request.tokens.json"), options) end,
  unlock = function(link, options) return link.tickets:unlock(samples.load("unlock.request.json"), options) end,
  lock = function(link, options) return link.tickets:lock(samples.load("lock.request.my-account.json"), options) end,
  print = function(link, options) return link.tickets:print(samples.load("print.request.json"), options) end,
  order = function(link, options) return link.orders:complete(samples.load("complete-order.request.json"), options) end,
  order_status = function(link, options) return link.orders:status("d4e5f6", options) end,
  transfer = function(link, options)
    return link.transfers:initiate(samples.load("derived/transfer-v2.request.items.json"), options)
  end,
  transfer_v1 = function(link, options)
    options = options or {}
    options.version = "v1"
    return link.transfers:initiate(samples.load("derived/transfer-v1.request.items.json"), options)
  end,
  accept = function(link, options)
    return link.transfers:accept(samples.load("accept-transfer.request.json"), options)
  end,
  cancel = function(link, options) return link.transfers:cancel("3785222-AMTX:10237", options) end,
  complete = function(link, options)
    return link.transfers:complete(samples.load("derived/complete-transfer.request.json"), options)
  end,
}
local READS = { "listing", "verify", "order_status" }
local WRITES_ONCE = { "lock", "print", "order", "transfer", "transfer_v1", "accept", "cancel", "complete" }

local function client(steps, overrides)
  local settings = { organization_id = "999" }
  for key, value in pairs(overrides or {}) do
    settings[key] = value
  end
  return scripted.client(steps, settings)
end

-- What a method returned: a result with its response, or exactly two values, the response in the error.
local function take(transport, ...)
  local result, err, response = ...
  if result == nil then
    assert.equal(2, select("#", ...))
    response = err.response
  end
  return result, err, response, transport
end

-- Runs a call against steps; gives result, err, response, transport.
local function run(name, steps, options, overrides)
  local link, transport = client(steps, overrides)
  return take(transport, calls[name](link, options))
end

-- Repetitions, kind and outcome of a call that fails in the same way each time.
local function expect_failure(name, step, sends, kind, outcome, options, overrides)
  local result, err, response, transport = run(name, { step }, options, overrides)
  assert.is_nil(result)
  assert.is_true(errors.is(err))
  assert.equal(sends, #transport.requests)
  assert.equal(sends - 1, #transport.waits)
  assert.equal(sends, err.attempts)
  assert.equal(sends, response.attempts)
  assert.equal(kind, err.kind)
  assert.equal(outcome, err.outcome)
  return err, transport
end

describe("a read", function()
  for _, name in ipairs(READS) do
    -- failure, how often it is sent with the default of two repetitions, kind
    local rows = {
      { "no connection", NOT_SENT, 3, "network" }, { "a broken connection", BROKEN, 3, "network" },
      { "a timeout", TIMEOUT, 3, "timeout" }, { "a timeout of the connection", CONNECT_TIMEOUT, 3, "timeout" },
      { "a garbled answer", GARBLED, 1, "protocol" }, { "cancelation", CANCELED, 1, "canceled" },
      { "500", service_error(500, "X"), 3, "http" }, { "503 of a gateway", status(503, "<html>"), 3, "protocol" },
      { "408", status(408), 3, "protocol" }, { "429", service_error(429, "X"), 2, "rate_limit" },
      { "404", service_error(404, "X"), 1, "http" }, { "422", service_error(422, "X"), 1, "http" },
      { "403", service_error(403, "X"), 1, "auth" }, { "a redirect", status(302), 1, "protocol" },
      { "HTML", status(200, "<html></html>"), 1, "protocol" }, { "an empty body", status(200), 1, "protocol" },
    }
    for _, row in ipairs(rows) do
      it(("is sent %d times on %s: %s"):format(row[3], row[1], name), function()
        expect_failure(name, row[2], row[3], row[4], nil)
      end)
    end
  end
end)

describe("unlock, which is harmless to repeat", function()
  local rows = {
    { "no connection", NOT_SENT, 3, "network", "not_sent" }, { "a broken connection", BROKEN, 3, "network", "unknown" },
    { "a timeout", TIMEOUT, 3, "timeout", "unknown" }, { "a garbled answer", GARBLED, 1, "protocol", "unknown" },
    { "500", service_error(500, "X"), 3, "http", "unknown" },
    { "429", service_error(429, "X"), 2, "rate_limit", "rejected" },
    { "409", service_error(409, "X"), 1, "http", "rejected" },
    { "HTML", status(200, "<html>"), 1, "protocol", "unknown" },
  }
  for _, row in ipairs(rows) do
    it(("is sent %d times on %s"):format(row[3], row[1]), function()
      expect_failure("unlock", row[2], row[3], row[4], row[5])
    end)
  end
end)

describe("a write that must not be doubled", function()
  for _, name in ipairs(WRITES_ONCE) do
    local rows = {
      { "no connection", NOT_SENT, 3, "network", "not_sent" },
      { "a timeout of the connection", CONNECT_TIMEOUT, 3, "timeout", "not_sent" },
      { "a broken connection", BROKEN, 1, "network", "unknown" }, { "a timeout", TIMEOUT, 1, "timeout", "unknown" },
      { "a garbled answer", GARBLED, 1, "protocol", "unknown" }, { "cancelation", CANCELED, 1, "canceled", "unknown" },
      { "500", service_error(500, "X"), 1, "http", "unknown" },
      { "502 of a gateway", status(502, "<html>"), 1, "protocol", "unknown" },
      { "408", status(408), 1, "protocol", "unknown" },
      { "429", service_error(429, "X"), 1, "rate_limit", "rejected" },
      { "400", service_error(400, "X"), 1, "http", "rejected" },
      { "405 without a body", status(405), 1, "protocol", "rejected" },
      { "403", service_error(403, "X"), 1, "auth", "rejected" },
      { "a redirect", status(307), 1, "protocol", "unknown" },
      { "an empty body", status(200), 1, "protocol", "unknown" },
      { "JSON that is no object", status(200, "true"), 1, "protocol", "unknown" },
      { "half a body", status(200, '{"status":"COMP'), 1, "protocol", "unknown" },
      { "an error in a 200", service_error(200, "X"), 1, "http", "rejected" },
    }
    for _, row in ipairs(rows) do
      it(("is sent %d times on %s: %s"):format(row[3], row[1], name), function()
        expect_failure(name, row[2], row[3], row[4], row[5])
      end)
    end
  end
end)

describe("transfer v2", function()
  it("is repeated three times on UNHANDLED_EXCEPTION, as its table says", function()
    local err = expect_failure("transfer", service_error(500, "UNHANDLED_EXCEPTION"), 4, "http", "unknown")
    assert.equal("inform_provider", err.action)
    assert.is_false(err.retryable) -- the table's three are used up
  end)

  it("is not repeated on it when nothing may be sent twice", function()
    local failure = service_error(500, "UNHANDLED_EXCEPTION")
    assert.is_true(expect_failure("transfer", failure, 1, "http", "unknown", { retries = 0 }).retryable)
  end)

  it("succeeds when a repetition does", function()
    local result, _, response, transport = run("transfer", { service_error(500, "UNHANDLED_EXCEPTION"), OK })
    assert.same(DONE, result)
    assert.equal(2, #transport.requests)
    assert.equal(2, response.attempts)
  end)

  for _, kind in ipairs { "INVALID_PARAMETER_VALUE", "UNPROCESSABLE_ENTITY" } do
    it("is rejected by " .. kind .. ", and the provider is to be told", function()
      local err = expect_failure("transfer", service_error(422, kind), 1, "http", "rejected")
      assert.equal("inform_provider", err.action)
      assert.is_false(err.retryable)
      assert.equal(kind, err.type)
    end)
  end

  it("v1 is not repeated on UNHANDLED_EXCEPTION, which its documents do not know", function()
    expect_failure("transfer_v1", service_error(500, "UNHANDLED_EXCEPTION"), 1, "http", "unknown")
  end)
end)

describe("what is known of a write after several attempts", function()
  local UNHANDLED = service_error(500, "UNHANDLED_EXCEPTION")

  it("stays unknown when a later attempt never left", function()
    local _, err = run("transfer", { UNHANDLED, NOT_SENT })
    assert.equal("unknown", err.outcome)
    assert.equal("network", err.kind)
  end)

  it("stays unknown when a later attempt was refused", function()
    local _, err = run("transfer", { UNHANDLED, service_error(422, "INVALID_PARAMETER_VALUE") })
    assert.equal("unknown", err.outcome)
    _, err = run("unlock", { TIMEOUT, service_error(409, "X") })
    assert.equal("unknown", err.outcome)
    _, err = run("unlock", { TIMEOUT, NOT_SENT, service_error(409, "X") })
    assert.equal("unknown", err.outcome)
  end)

  it("is rejected when the first attempts never left", function()
    local _, err = run("order", { NOT_SENT, service_error(422, "X") })
    assert.equal("rejected", err.outcome)
  end)

  it("stays unknown when no token is left for a repetition", function()
    local _, err, _, transport = run("unlock", { TIMEOUT, service_error(401, "X") })
    assert.equal("auth", err.kind)
    assert.equal("unknown", err.outcome)
    assert.equal(2, #transport.requests)
  end)
end)

describe("a transfer of unknown fate", function()
  it("is not called retryable because a later attempt was turned away", function()
    local unhandled = service_error(500, "UNHANDLED_EXCEPTION")
    for _, last in ipairs { NOT_SENT, service_error(429, "X") } do
      local _, err = run("transfer", { unhandled, last })
      assert.equal("unknown", err.outcome)
      assert.is_false(err.retryable)
    end
  end)
end)

describe("retries = 0", function()
  local steps = { NOT_SENT, BROKEN, TIMEOUT, CONNECT_TIMEOUT, service_error(500, "X"), status(503, "<html>"),
    service_error(429, "X", { ["retry-after"] = "0" }), service_error(500, "UNHANDLED_EXCEPTION") }
  for name in pairs(calls) do
    it("sends once in every case: " .. name, function()
      for _, step in ipairs(steps) do
        local _, _, _, transport = run(name, { step }, { retries = 0 })
        assert.equal(1, #transport.requests)
        assert.equal(0, #transport.waits)
        _, _, _, transport = run(name, { step }, nil, { retries = 0 })
        assert.equal(1, #transport.requests)
      end
    end)

    it("sends once on 401, though a fresh token could be had: " .. name, function()
      local _, err, _, transport = run(name, { service_error(401, "X") }, { retries = 0 },
        { auth = { access_token = "token-0001", refresh_token = "refresh-0001" } })
      assert.equal("auth", err.kind)
      assert.equal(1, #transport.requests)
    end)
  end

  it("is a limit that a call may raise or lower", function()
    expect_failure("listing", BROKEN, 6, "network", nil, { retries = 5 })
    expect_failure("listing", BROKEN, 2, "network", nil, { retries = 1 })
    expect_failure("listing", BROKEN, 2, "network", nil, nil, { retries = 1 })
  end)
end)

describe("the waits", function()
  it("grow, with jitter, up to their ceiling", function()
    local _, transport = expect_failure("listing", BROKEN, 8, "network", nil, { retries = 7 })
    local ceiling = 200
    for _, wait_ms in ipairs(transport.waits) do
      assert.is_true(wait_ms >= 0 and wait_ms <= ceiling)
      ceiling = math.min(ceiling * 2, 5000)
    end
  end)

  it("honour Retry-After", function()
    local _, transport = expect_failure("listing", service_error(503, "X", { ["retry-after"] = "7" }), 3, "http", nil)
    assert.same({ 7000, 7000 }, transport.waits)
    local step = service_error(429, "X", { ["retry-after"] = "0" })
    _, transport = expect_failure("unlock", step, 2, "rate_limit", "rejected")
    assert.same({ 0 }, transport.waits)
  end)

  it("do not believe a Retry-After that is none", function()
    local step = service_error(503, "X", { ["retry-after"] = "soon" })
    local _, transport = expect_failure("listing", step, 3, "http", nil)
    assert.is_true(transport.waits[1] <= 200)
  end)

  it("tell the caller what was asked for", function()
    local step = service_error(429, "X", { ["retry-after"] = "30" })
    local err = expect_failure("order", step, 1, "rate_limit", "rejected")
    assert.equal(30000, err.retry_after_ms)
    assert.is_true(err.retryable)
  end)
end)

describe("the deadline", function()
  it("stops repetition when the wait would pass it", function()
    local step = service_error(503, "X", { ["retry-after"] = "7" })
    expect_failure("listing", step, 1, "http", nil, { deadline_ms = 6000 })
    expect_failure("listing", step, 1, "http", nil, nil, { deadline_ms = 6000 })
  end)

  it("bounds each attempt", function()
    local _, _, _, transport = run("listing", { OK }, { deadline_ms = 2000 })
    assert.is_true(transport.requests[1].timeout_ms <= 2000)
    assert.is_true(transport.requests[1].connect_timeout_ms <= 2000)
  end)

  it("leaves the timeouts of an attempt alone when there is time", function()
    local _, _, _, transport = run("listing", { OK }, { timeout_ms = 1234 }, { connect_timeout_ms = 567 })
    assert.equal(1234, transport.requests[1].timeout_ms)
    assert.equal(567, transport.requests[1].connect_timeout_ms)
    _, _, _, transport = run("listing", { OK })
    assert.equal(30000, transport.requests[1].timeout_ms)
    assert.equal(5000, transport.requests[1].connect_timeout_ms)
  end)
end)

describe("the retry budget", function()
  it("ends repetition for all calls of a client during an outage, and is earned back", function()
    local down = true
    local link, transport = client { function() return down and BROKEN or OK end }
    for _ = 1, 50 do
      calls.listing(link)
    end
    local in_outage = #transport.requests
    assert.is_true(in_outage < 50 + 25)
    calls.listing(link)
    assert.equal(in_outage + 1, #transport.requests)
    down = false
    for _ = 1, 20 do
      assert(calls.listing(link))
    end
    down = true
    calls.listing(link)
    assert.is_true(#transport.requests > in_outage + 1 + 20 + 1)
  end)

  it("is not shared between clients", function()
    local first = client { BROKEN }
    for _ = 1, 50 do
      calls.listing(first)
    end
    expect_failure("listing", BROKEN, 3, "network", nil)
  end)
end)

describe("a partial answer", function()
  local function expect_partial(name, step)
    local result, err, response = run(name, { step })
    assert.is_nil(result)
    assert.equal("partial", err.kind)
    assert.is_nil(err.outcome)
    assert.equal(step.status, response.status)
    assert.same(samples.decode(step.body), err.body)
    return err
  end

  it("is an error that holds both lists", function()
    local err = expect_partial("lock", status(207, samples.read("lock.response.207.json")))
    assert.equal(2, #err.body.success)
    assert.equal(4, #err.body.failure)
    assert.equal("INVALID_TOKEN", err.body.failure[1].type)
  end)

  it("is known by its failure list, whatever the status", function()
    expect_partial("lock", status(200, samples.read("lock.response.207.json")))
    expect_partial("verify", status(200,
      '{"tokens":[{"accessId":"a","success":{"seats":[]},"failure":{"seats":[{"token":"t"}]}}]}'))
    expect_partial("verify", status(200, '{"barcodes":[{"accessId":"a","failure":[{"barcode":"b"}]}]}'))
  end)

  it("is known by its status, whatever the body", function()
    expect_partial("print", status(207, '{"tickets":[]}'))
  end)

  it("never reads as rejected, even when it carries an error or ended with ERROR", function()
    expect_partial("lock", status(207,
      '{"error":{"type":"UNPROCESSABLE_ENTITY"},"success":[{"token":"t"}],"failure":[{"token":"u"}]}'))
    expect_partial("order", status(207, '{"status":"ERROR","success":[{"token":"t"}]}'))
  end)

  it("is not seen in empty lists", function()
    for _, body in ipairs { '{"success":[],"failure":[]}', '{"failure":null}', '{"failure":{}}' } do
      assert(run("lock", { status(200, body) }))
    end
    assert(run("verify", { status(200, '{"tokens":[{"success":{"seats":[]},"failure":{"seats":[]}}]}') }))
  end)
end)

describe("failures in odd places", function()
  it("are not overlooked", function()
    for _, body in ipairs {
      '{"tokens":{"accessId":"a","success":{"seats":[]},"failure":[{"token":"t"}]}}',
      '[{"failure":[{"token":"t"}]}]',
      '{"tokens":[{"failure":{"seats":[{"token":"t"}]}}]}',
    } do
      expect_failure("verify", status(200, body), 1, "partial")
    end
  end)
end)

describe("what an error quotes of the service", function()
  it("is a type and a code that look like codes, and nothing else", function()
    local body = '{"error":{"type":"secret_jwt.part","appErrorCode":"MS-422-secret","developerMessage":"secret"}}'
    local _, err = run("lock", { status(422, body) })
    assert.is_nil(tostring(err):lower():find("secret"))
    _, err = run("lock", { status(422, '{"error":{"type":"INVALID_TOKEN","appErrorCode":"MS-422"}}') })
    assert.truthy(tostring(err):find("422 INVALID_TOKEN MS-422", 1, true))
  end)

  it("is never the body of a token call", function()
    local link = scripted.client({ status(500, '{"error":"x","accessToken":"secret","refreshToken":"secret"}') },
      { auth = { code = "c1" } })
    local _, err = calls.lock(link)
    assert.equal("http", err.kind)
    assert.is_nil(err.body)
    assert.is_nil(err.response.body)
  end)
end)

describe("an error of the service", function()
  it("is told in full", function()
    local _, err, response = run("lock", { status(422, samples.read("lock.response.422.json")) })
    assert.equal("http", err.kind)
    assert.equal("rejected", err.outcome)
    assert.equal(422, err.status)
    assert.equal("tickets.lock", err.operation)
    assert.equal("UNPROCESSABLE_ENTITY", err.type)
    assert.equal("MS-422", err.app_error_code)
    assert.equal("Unable to process the request.", err.developer_message)
    assert.equal("analyze", err.action)
    assert.is_false(err.retryable)
    assert.equal(response.request_id, err.request_id)
    assert.equal(4, #err.body.failure)
    assert.is_nil(tostring(err):find("Unable", 1, true))
  end)

  it("by size is not repeatable (row 37)", function()
    local _, err, _, transport = run("lock", { status(422, samples.read("lock.response.422.too-many-tokens.json")) })
    assert.is_false(err.retryable)
    assert.equal(1, #transport.requests)
  end)

  it("of a transfer tells its process", function()
    local _, err = run("transfer", { status(422, samples.read("transfer-v2.response.error.json")) })
    assert.equal("5f6d4e", err.process_id)
    assert.equal("INVALID_PARAMETER_VALUE", err.type)
    assert.equal("MS-400", err.app_error_code)
  end)

  it("may be a bare text (row 7)", function()
    local _, err = run("order", { status(400, samples.read("derived/auth-token.response.error.json")) })
    assert.equal("http", err.kind)
    assert.is_nil(err.type)
    assert.equal("string", err.body.error)
  end)

  it("may hold anything in the place of texts (row 8)", function()
    local _, err = run("transfer", { status(500,
      '{"error":{"type":{},"appErrorCode":7,"developerMessage":null},"processId":{"a":1},"transactionStatus":[]}') })
    assert.equal("unknown", err.outcome)
    assert.is_nil(err.type)
    assert.is_nil(err.process_id)
    assert.same({ a = 1 }, err.body.processId)
  end)
end)

describe("the state ERROR", function()
  for _, row in ipairs {
    { "order", '{"status":"ERROR","processId":"a1"}', "rejected" },
    { "complete", '{"status":"ERROR","processId":"a1"}', "rejected" },
    { "transfer", '{"transactionStatus":"ERROR","processId":"a1"}', "rejected" },
    { "transfer", '{"status":"ERROR","processId":"a1"}', "rejected" },
    { "order", '{"transactionStatus":"ERROR","processId":"a1"}', "rejected" },
    { "order_status", '{"status":"ERROR","processId":"a1"}', nil },
  } do
    for _, code in ipairs { 200, 201, 202 } do
      it(("is an error though it comes with %d: %s"):format(code, row[1]), function()
        local result, err, response, transport = run(row[1], { status(code, row[2]) })
        assert.is_nil(result)
        assert.equal("http", err.kind)
        assert.equal(row[3], err.outcome)
        assert.equal("a1", err.process_id)
        assert.equal(code, err.status)
        assert.equal("ERROR", response.state)
        assert.equal(1, #transport.requests)
      end)
    end
  end

  it("is only one where a state is documented", function()
    assert(run("lock", { status(200, '{"status":"ERROR"}') }))
    assert(run("transfer_v1", { status(200, '{"transactionStatus":"ERROR"}') }))
  end)
end)

describe("an answer that contradicts itself or tells no state", function()
  local function expect_unknown(name, step)
    local err = expect_failure(name, step, 1, "protocol", "unknown")
    assert.is_false(err.retryable)
  end

  it("proves nothing: an error or a refusal beside PENDING or COMPLETE", function()
    expect_unknown("order", status(200, '{"status":"COMPLETE","error":{"type":"X"}}'))
    expect_unknown("order", status(409, '{"status":"PENDING","processId":"p"}'))
    expect_unknown("order", status(422, '{"status":"COMPLETE"}'))
    expect_unknown("order", status(401, '{"status":"PENDING","processId":"p"}'))
    local unhandled = '{"transactionStatus":"%s","error":{"type":"UNHANDLED_EXCEPTION"}}'
    expect_unknown("transfer", status(200, unhandled:format("COMPLETE")))
    expect_unknown("transfer", status(500, unhandled:format("PENDING")))
  end)

  it("is no result without a state that the documents know", function()
    for _, body in ipairs { "{}", "[]", '{"status":{"state":"COMPLETE"}}', '{"status":"Error"}', '{"status":"FAILED"}',
      '{"status":null}', '[{"status":"COMPLETE"},{"status":"COMPLETE"}]' } do
      expect_unknown("order", status(200, body))
      expect_failure("order_status", status(200, body), 1, "protocol")
    end
  end)

  it("is read when it only looks odd: empty errors, a list of one", function()
    for _, body in ipairs { '{"status":"PENDING","error":false}', '{"status":"PENDING","error":""}',
      '{"status":"PENDING","error":{}}', '{"status":"PENDING","error":null}', '[{"status":"PENDING"}]' } do
      local result = assert(run("order", { status(200, body) }))
      assert.equal("PENDING", result.status)
    end
    expect_failure("order", status(200, '[{"status":"ERROR"}]'), 1, "http", "rejected")
  end)
end)

describe("assert around a method", function()
  local builtin = load("return assert")() -- not the specs' own

  it("raises the error itself, on every Lua", function()
    local link = client { status(422, '{"error":{"type":"X"}}') }
    for _, payload in ipairs { { tokens = { "t" } }, {} } do
      local ok, err = pcall(function()
        builtin(link.tickets:unlock(payload))
      end)
      assert.is_false(ok)
      assert.is_true(errors.is(err))
    end
  end)
end)

describe("a success", function()
  it("is the decoded answer, with a response beside it", function()
    local result, err, response = run("order", { status(201, samples.read("complete-order.response.200.json"),
      { ["content-type"] = "application/json", ["request-id"] = "other" }) })
    assert.is_nil(err)
    assert.same(samples.with("complete-order.response.200.json", { ["/offers/0/event/priceLevel"] = "1" }), result)
    assert.equal(201, response.status)
    assert.equal("COMPLETE", response.state)
    assert.equal("other", response.headers["request-id"])
    assert.is_true(core.is_uuid_v4(response.request_id))
    assert.equal(1, response.attempts)
    assert.is_true(response.elapsed_ms >= 0)
    assert.is_nil(response.body)
  end)

  it("keeps PENDING and its process", function()
    local result, _, response = run("transfer", { status(202, samples.read("transfer-v2.response.pending.json")) })
    assert.equal("d4e5f6", result.processId)
    assert.equal("PENDING", response.state)
  end)

  it("of a listing is a list, in either documented form (row 6)", function()
    local expected = samples.load("listing.response.200.json")
    assert.same(expected, (run("listing", { status(200, samples.read("listing.response.200.json")) })))
    local bare = samples.read("listing.response.200.json"):match("^%s*%[(.*)%]%s*$")
    assert.same(expected, (run("listing", { status(200, bare) })))
  end)

  it("keeps fields that no document names, and JSON null", function()
    local result = run("print", { status(200, '{"tickets":[{"token":"t","url":"u"}],"extra":null}') })
    assert.equal("u", result.tickets[1].url)
    assert.equal(paciolan.null, result.extra)
  end)
end)

describe("the response of a failure", function()
  it("holds what came", function()
    local _, err, response = run("order", { status(502, "<html>bad</html>", { server = "x" }) })
    assert.equal(502, response.status)
    assert.equal("<html>bad</html>", response.body)
    assert.equal("x", response.headers.server)
    assert.is_nil(err.body)
    assert.is_nil(tostring(err):find("html", 1, true))
  end)

  it("tells the request and the attempts when nothing came", function()
    local _, err, response = run("listing", { TIMEOUT })
    assert.is_nil(response.status)
    assert.same({}, response.headers)
    assert.equal(3, response.attempts)
    assert.equal(err.request_id, response.request_id)
  end)

  it("is there for a payload that was never sent", function()
    local link, transport = client { OK }
    local _, err = link.tickets:lock({})
    local response = err.response
    assert.equal("validation", err.kind)
    assert.equal("not_sent", err.outcome)
    assert.equal(0, response.attempts)
    assert.equal(0, #transport.requests)
    _, err = link.tickets:verify({})
    assert.is_nil(err.outcome)
  end)
end)

-- --- tokens -----------------------------------------------------------------------------------------------------

local FAR = "2099-01-01T00:00:00.000000000Z"

local function token_answer(access, refresh, expiration)
  local text = ('{"accessToken":"%s","expiration":"%s","tokenType":"Bearer"'):format(access, expiration or FAR)
  return status(200, text .. (refresh and (',"refreshToken":"%s"}'):format(refresh) or "}"))
end

-- A client of a service that answers token calls and other calls from two scripts. `sent` lists the bodies of token
-- calls and the authorisation of others, in order.
local function service(token_steps, steps, overrides)
  local sent, token_count, count = {}, 0, 0
  local link, transport = client({ function(request)
    if request.url:find("/v1/auth/token", 1, true) then
      token_count = token_count + 1
      local body = samples.decode(request.body)
      sent[#sent + 1] = body.code or body.refreshToken
      return token_steps[math.min(token_count, #token_steps)]
    end
    count = count + 1
    sent[#sent + 1] = scripted.header(request, "Authorization")
    return steps[math.min(count, #steps)]
  end }, overrides)
  return link, sent, transport
end

local UNAUTHORIZED = service_error(401, "X")
local REFUSED = status(400, '{"error":"text"}')

describe("a 401", function()
  it("rotates once and repeats once, even for what must not be doubled", function()
    for _, name in ipairs { "listing", "unlock", "order", "transfer" } do
      local link, sent, transport = service({ token_answer("new", "r2") }, { UNAUTHORIZED, OK },
        { auth = { access_token = "old", refresh_token = "r1" } })
      local result, _, response = calls[name](link)
      assert.same(DONE, result)
      assert.same({ "Bearer old", "r1", "Bearer new" }, sent)
      assert.equal(2, response.attempts)
      assert.same({}, transport.waits)
    end
  end)

  it("is an error the second time", function()
    local link, sent = service({ token_answer("new", "r2") }, { UNAUTHORIZED },
      { auth = { access_token = "old", refresh_token = "r1" } })
    local result, err = calls.order(link)
    assert.is_nil(result)
    assert.equal("auth", err.kind)
    assert.equal("rejected", err.outcome)
    assert.equal(401, err.status)
    assert.equal(2, err.attempts)
    assert.same({ "Bearer old", "r1", "Bearer new" }, sent)
  end)

  it("is an error when there is nothing to rotate with", function()
    local link, sent = service({ REFUSED }, { UNAUTHORIZED }, { auth = { access_token = "old" } })
    local _, err = calls.order(link)
    assert.equal("auth", err.kind)
    assert.equal("rejected", err.outcome)
    assert.same({ "Bearer old" }, sent)
  end)

  it("from a service that refuses every token does not rotate twice for one call", function()
    local link, sent = service({ token_answer("a2", "r2"), token_answer("a3", "r3") }, { UNAUTHORIZED },
      { auth = { access_token = "a1", refresh_token = "r1" } })
    calls.order(link)
    calls.order(link)
    assert.same({ "Bearer a1", "r1", "Bearer a2", "Bearer a2", "r2", "Bearer a3" }, sent)
  end)

  it("keeps the refused token from every later call", function()
    local link, sent = service({ token_answer("new", "r2") }, { UNAUTHORIZED, OK },
      { auth = { access_token = "old", refresh_token = "r1" } })
    calls.order(link, { retries = 0 })
    assert(calls.order(link))
    assert.same({ "Bearer old", "r1", "Bearer new" }, sent)
  end)

  it("takes the token of another holder of the store instead of rotating again", function()
    local store = paciolan.store.memory()
    local auth = { access_token = "old", refresh_token = "r1" }
    local shared = { store = store, auth = auth }
    local first, first_sent = service({ token_answer("new", "r2") }, { UNAUTHORIZED, OK }, shared)
    local second, second_sent = service({ REFUSED }, { OK }, shared)
    assert(calls.order(first))
    assert(calls.order(second))
    assert.same({ "Bearer old", "r1", "Bearer new" }, first_sent)
    assert.same({ "Bearer new" }, second_sent)
  end)
end)

describe("a call whose token took nearly all of its time", function()
  local function late(deadline_ms, token_ms)
    local sent = {}
    local link = scripted.client({ function(request)
      sent[#sent + 1] = request.url:match("/v1/(%a+)")
      if request.url:find("/v1/auth/token", 1, true) then
        core.sleep(token_ms)
        return token_answer("a1", "r2")
      end
      return OK
    end }, { auth = { refresh_token = "r1" }, organization_id = "999", deadline_ms = deadline_ms })
    return link, sent
  end

  it("sends no order in the last moments, which would leave its fate unknown", function()
    local link, sent = late(100, 60)
    local _, err = calls.order(link)
    assert.same({ "timeout", "not_sent" }, { err.kind, err.outcome })
    assert.same({ "auth" }, sent)
    assert(calls.order(link))
  end)

  it("sends a read all the same", function()
    local link, sent = late(100, 60)
    assert(calls.listing(link))
    assert.equal(2, #sent)
  end)
end)

describe("the authorization code", function()
  it("is exchanged before the first call, once", function()
    local link, sent = service({ token_answer("a1", "r1") }, { OK }, { auth = { code = "c1" } })
    assert(calls.listing(link))
    assert(calls.order(link))
    assert.same({ "c1", "Bearer a1", "Bearer a1" }, sent)
  end)

  it("is never sent again after it bought a token", function()
    local link, sent = service({ token_answer("a1", nil) }, { UNAUTHORIZED }, { auth = { code = "c1" } })
    local _, err = calls.listing(link)
    assert.equal("auth", err.kind)
    calls.listing(link)
    link.auth:rotate()
    assert.same({ "c1", "Bearer a1" }, sent)
  end)

  it("is never sent again after it was refused", function()
    local link, sent = service({ REFUSED }, { OK }, { auth = { code = "c1" } })
    local _, err = calls.order(link)
    assert.equal("auth", err.kind)
    assert.equal("not_sent", err.outcome)
    assert.equal("orders.complete", err.operation)
    _, err = calls.order(link)
    assert.equal("auth", err.kind)
    assert.same({ "c1" }, sent)
  end)

  it("is never sent again when nobody said what became of it", function()
    local link, sent = service({ TIMEOUT, token_answer("a1", "r1") }, { OK }, { auth = { code = "c1" } })
    local _, err = calls.order(link)
    assert.equal("timeout", err.kind)
    assert.equal("not_sent", err.outcome)
    assert.is_false(err.retryable)
    assert.truthy(err.message:find("a new one is needed", 1, true), err.message)
    _, err = calls.order(link)
    assert.equal("auth", err.kind)
    assert.truthy(err.message:find("a new authorization code is needed", 1, true), err.message)
    assert.same({ "c1" }, sent)
  end)

  it("waits when the service asks for it", function()
    local link, sent = service({ status(429, "", { ["retry-after"] = "60" }) }, { OK }, { auth = { code = "c1" } })
    local _, err = calls.order(link)
    assert.equal("not_sent", err.outcome)
    _, err = calls.order(link)
    assert.equal("auth", err.kind)
    assert.is_true(err.retryable)
    assert.is_true(err.retry_after_ms > 0 and err.retry_after_ms <= 60000)
    assert.same({ "c1" }, sent)
  end)
end)

describe("the refresh token", function()
  it("is used once: the next rotation sends its successor", function()
    local link, sent = service({ token_answer("a1", "r2"), token_answer("a2", "r3") }, { OK },
      { auth = { refresh_token = "r1" } })
    assert(calls.listing(link))
    assert(link.auth:rotate())
    assert(calls.listing(link))
    assert.same({ "r1", "Bearer a1", "r2", "Bearer a2" }, sent)
  end)

  it("stays in force when the answer holds no successor", function()
    local link, sent = service({ token_answer("a1", nil), token_answer("a2", nil) }, { OK },
      { auth = { refresh_token = "r1" } })
    assert(link.auth:rotate())
    assert(link.auth:rotate())
    assert.same({ "r1", "r1" }, sent)
  end)

  it("gives way to an unspent code when it is refused", function()
    local link, sent = service({ REFUSED, token_answer("a1", "r2") }, { OK },
      { auth = { refresh_token = "r1", code = "c1" } })
    assert(calls.order(link))
    assert.same({ "r1", "c1", "Bearer a1" }, sent)
    assert(link.auth:rotate())
    assert.equal("r2", sent[4])
  end)

  it("is not sent again once it was refused", function()
    local link, sent = service({ REFUSED }, { OK }, { auth = { refresh_token = "r1" } })
    calls.order(link)
    local _, err = calls.order(link)
    assert.equal("auth", err.kind)
    assert.same({ "r1" }, sent)
  end)

  it("is not lost to a page of a gateway", function()
    local store = paciolan.store.memory()
    local function open(token_steps)
      return service(token_steps, { OK }, { store = store, auth = { refresh_token = "r1" } })
    end
    for _, page in ipairs { status(403, "<html>"), status(401, "<html>"), status(401, ""), status(400, "{}"),
      service_error(403, "X"), service_error(404, "X"), status(502, "<html>"), service_error(429, "X"), TIMEOUT } do
      local link = open { page }
      local _, err = calls.order(link)
      assert.equal("not_sent", err.outcome)
    end
    local link, sent = open { token_answer("a1", "r2") }
    assert(calls.order(link))
    assert.same({ "r1", "Bearer a1" }, sent)
  end)

  it("stays in the store when it is refused: nothing is ever taken out", function()
    local store = paciolan.store.memory()
    local auth = { refresh_token = "r1" }
    assert(service({ token_answer("a1", "r2") }, { OK }, { store = store, auth = auth }).auth:rotate())
    local before = store:list("paciolan/token/")
    local link, sent = service({ REFUSED }, { UNAUTHORIZED }, { store = store, auth = {} })
    local _, err = calls.order(link)
    assert.equal("auth", err.kind)
    assert.same(before, store:list("paciolan/token/"))
    calls.order(link)
    assert.same({ "Bearer a1", "r2", }, sent)
  end)

  it("is sent by one of two coroutines only, where a transport yields", function()
    local tokens, used = 0, {}
    local transport = { close = function() end }
    function transport:sleep()
      coroutine.yield()
    end
    function transport:send(request)
      coroutine.yield()
      if request.url:find("/v1/auth/token", 1, true) then
        tokens = tokens + 1
        return { status = 200, headers = {}, body = token_answer("a1", "r2").body }
      end
      used[#used + 1] = scripted.header(request, "Authorization")
      return { status = 200, headers = {}, body = "[]" }
    end
    local link = paciolan.new(scripted.settings { transport = transport, auth = { refresh_token = "r1" } })
    local threads = {}
    for i = 1, 2 do
      threads[i] = coroutine.create(function()
        assert(link.listings:get("A3qnemZ"))
      end)
    end
    local running = true
    while running do
      running = false
      for _, thread in ipairs(threads) do
        if coroutine.status(thread) == "suspended" then
          running = true
          assert(coroutine.resume(thread))
        end
      end
    end
    assert.equal(1, tokens)
    assert.same({ "Bearer a1", "Bearer a1" }, used)
  end)

  it("of another holder survives our refusal", function()
    local store = paciolan.store.memory()
    local auth = { refresh_token = "r1" }
    local rotated = service({ token_answer("a2", "r2") }, { OK }, { store = store, auth = auth })
    -- The other holder rotates while our request with the same refresh token is under way.
    local sent = {}
    local link = client({ function(request)
      if request.url:find("/v1/auth/token", 1, true) then
        assert(rotated.auth:rotate())
        return REFUSED
      end
      sent[#sent + 1] = scripted.header(request, "Authorization")
      return OK
    end }, { store = store, auth = auth })
    assert(calls.order(link))
    assert.same({ "Bearer a2" }, sent)
    assert.equal("r2", link.auth:token().refreshToken)
  end)
end)

describe("the token set", function()
  it("is stored before it is used", function()
    local store = paciolan.store.memory()
    local stored_at_use
    local link = client({ function(request)
      if request.url:find("/v1/auth/token", 1, true) then
        return token_answer("a1", "r1")
      end
      stored_at_use = store:list("paciolan/token/")
      return OK
    end }, { store = store, auth = { code = "c1" } })
    assert(calls.listing(link))
    assert.equal(1, #stored_at_use)
    local record = samples.decode(stored_at_use[1][2])
    assert.equal("a1", record.accessToken)
    assert.equal("r1", record.refreshToken)
    assert.equal(FAR, record.expiration)
  end)

  it("is found again by the next client of the same store", function()
    local store = paciolan.store.memory()
    local first = service({ token_answer("a1", "r1") }, { OK }, { store = store, auth = { code = "c1" } })
    assert(calls.listing(first))
    local second, sent = service({ REFUSED }, { OK }, { store = store, auth = { code = "c1" } })
    assert(calls.listing(second))
    assert.same({ "Bearer a1" }, sent)
  end)

  it("is not shared with another application or service", function()
    local store = paciolan.store.memory()
    assert(calls.listing((service({ token_answer("a1", "r1") }, { OK }, { store = store, auth = { code = "c1" } }))))
    for _, other in ipairs { { application_id = "com.other.app" }, { base_url = "https://other.example" } } do
      other.store, other.auth = store, { code = "c2" }
      local link, sent = service({ token_answer("b1", "s1") }, { OK }, other)
      assert(calls.listing(link))
      assert.equal("c2", sent[1])
    end
  end)

  it("is given by link.auth:token and hides its tokens as text", function()
    local link = service({ token_answer("a1", "r1") }, { OK }, { auth = { code = "c1" } })
    local set = assert(link.auth:token())
    assert.equal("a1", set.accessToken)
    assert.equal("r1", set.refreshToken)
    assert.equal("Bearer", set.tokenType)
    local text = tostring(set) .. tostring(link.auth) .. tostring(link)
    for _, secret in ipairs { "a1", "r1", "c1", "key-0001" } do
      assert.is_nil(text:find(secret, 1, true))
    end
  end)

  it("that cannot stand in a header is refused", function()
    for _, body in ipairs { '{"accessToken":"a\\r\\nX: y"}', '{"accessToken":""}', '{"accessToken":7}', "{}", "[]" } do
      local link = service({ status(200, body) }, { OK }, { auth = { code = "c1" } })
      local _, err = calls.order(link)
      assert.equal("protocol", err.kind)
      assert.equal("not_sent", err.outcome)
    end
  end)
end)

describe("the token call that a call needs", function()
  local function token_calls(options)
    local link, transport = scripted.client({ { kind = "network", phase = "not_sent" } }, { auth = { code = "c1" } })
    local _, err = link.listings:get("A3qnemZ", options)
    assert.equal("network", err.kind)
    return #transport.requests
  end

  it("is repeated as often as the call may be, and never with retries = 0", function()
    assert.equal(3, token_calls())
    assert.equal(2, token_calls { retries = 1 })
    assert.equal(1, token_calls { retries = 0 })
  end)
end)

describe("a store that fails", function()
  -- calls_that_fail: by method, which keys, as a pattern.
  local function failing(calls_that_fail, err)
    local inner = paciolan.store.memory()
    return setmetatable({}, { __index = function(_, method)
      return function(_, key, ...)
        if calls_that_fail[method] and key:find(calls_that_fail[method]) then
          return nil, err or errors.store("the store is out of order")
        end
        return inner[method](inner, key, ...)
      end
    end })
  end

  it("is an error of kind store, and nothing is sent", function()
    local link, sent = service({ token_answer("a1", "r1") }, { OK },
      { store = failing { get = "" }, auth = { code = "c1" } })
    local _, err = calls.order(link)
    assert.equal("store", err.kind)
    assert.equal("not_sent", err.outcome)
    assert.equal("orders.complete", err.operation)
    assert.same({}, sent)
  end)

  it("may answer with plain text", function()
    local link = service({ token_answer("a1", "r1") }, { OK },
      { store = failing({ get = "" }, "disk on fire"), auth = { code = "c1" } })
    local _, err = calls.order(link)
    assert.equal("store", err.kind)
    assert.is_nil(tostring(err):find("fire")) -- the text may quote what was to be kept
  end)

  it("lets no token be used that it did not keep, and loses none", function()
    local broken = { add = "/token/" }
    local link, sent = service({ token_answer("a1", "r2") }, { OK },
      { store = failing(broken), auth = { refresh_token = "r1" } })
    local _, err = calls.order(link)
    assert.equal("store", err.kind)
    assert.equal("not_sent", err.outcome)
    broken.add = nil
    assert(calls.order(link))
    assert.same({ "r1", "Bearer a1" }, sent)
  end)

  it("spends no credential when it cannot be written at all", function()
    local broken = { add = "" }
    local link, sent = service({ token_answer("a1", "r2") }, { OK },
      { store = failing(broken), auth = { refresh_token = "r1", code = "c1" } })
    local _, err = calls.order(link)
    assert.equal("store", err.kind)
    assert.equal("not_sent", err.outcome)
    assert.same({}, sent)
    broken.add = nil
    assert(calls.order(link))
    assert.same({ "r1", "Bearer a1" }, sent)
  end)
end)

-- --- the hook ---------------------------------------------------------------------------------------------------

describe("on_event", function()
  local function told(event)
    local is_rotation = event.type == "rotation"
    return table.concat({ event.type, is_rotation and event.step or event.operation,
      tostring(is_rotation and event.ok or event.attempt) }, " ")
  end

  local function everything(value)
    if type(value) ~= "table" then
      return tostring(value)
    end
    local parts = {}
    for key, item in pairs(value) do
      parts[#parts + 1] = everything(key) .. "=" .. everything(item)
    end
    return table.concat(parts, " ")
  end

  it("tells of requests, answers, repetitions and rotations, in order and without a secret", function()
    local list, text = {}, {}
    local link = service({ token_answer("access-1", "refresh-1"), token_answer("access-2", "refresh-2") },
      { TIMEOUT, UNAUTHORIZED, OK }, {
        auth = { code = "code-1" },
        on_event = function(event)
          list[#list + 1] = told(event)
          text[#text + 1] = everything(event)
        end,
      })
    assert(calls.unlock(link))
    assert.same({
      "request auth.token 1", "response auth.token 1", "call auth.token 1", "rotation exchange true",
      "request tickets.unlock 1", "response tickets.unlock 1", "retry tickets.unlock 2",
      "request tickets.unlock 2", "response tickets.unlock 2",
      "request auth.token 1", "response auth.token 1", "call auth.token 1", "rotation refresh true",
      "request tickets.unlock 3", "response tickets.unlock 3", "call tickets.unlock 3",
    }, list)
    for _, secret in ipairs { "access-", "refresh-", "code-1", "key-0001", "98973476444", "Bearer" } do
      assert.is_nil(table.concat(text, "\n"):find(secret, 1, true), secret)
    end
  end)

  it("says how each attempt ended", function()
    local ends = {}
    local link = client({ TIMEOUT, service_error(422, "X") }, { on_event = function(event)
      if event.type == "response" then
        ends[#ends + 1] = { event.kind, event.outcome, event.status }
        assert.is_number(event.elapsed_ms)
        assert.is_string(event.request_id)
      end
    end })
    calls.unlock(link)
    assert.same({ { "timeout", "unknown" }, { "http", "rejected", 422 } }, ends)
  end)

  it("does no harm when it fails or changes what it is told", function()
    local link = service({ token_answer("a1", "r1") }, { TIMEOUT, OK }, {
      auth = { code = "c1" },
      on_event = function(event)
        for key in pairs(event) do
          event[key] = nil
        end
        error("hook")
      end,
    })
    assert.same(DONE, (calls.unlock(link)))
  end)
end)

-- --- misuse -----------------------------------------------------------------------------------------------------

describe("misuse", function()
  local HERE = "call_spec%.lua:%d+: "

  local function raises(pattern, misuse)
    local ok, message = pcall(misuse)
    assert.is_false(ok)
    assert.matches(HERE, message)
    assert.matches(pattern, message)
  end

  it("of call options raises where the call stands", function()
    local link, transport = client { OK }
    for _, row in ipairs {
      { { colour = 1 }, "unknown option colour" }, { { retries = -1 }, "retries must be" },
      { { retries = 1.5 }, "retries must be" }, { { timeout_ms = 0 }, "timeout_ms must be" },
      { { deadline_ms = "1" }, "deadline_ms must be" }, { { request_id = "x" }, "request_id must be" },
      { { version = "v1" }, "takes no version" }, { { distributor_code = "D" }, "takes no distributor_code" },
      { { headers = "X: y" }, "headers must be" }, { { headers = { Host = "x" } }, "written by the library" },
      { { organization_id = "a\n" }, "organization_id must be" }, { "x", "options of tickets%.unlock takes a table" },
    } do
      local options, pattern = row[1], row[2]
      raises(pattern, function()
        local _, err = link.tickets:unlock({ tokens = { "t" } }, options)
        return err
      end)
    end
    raises("version must be", function()
      local _, err = link.transfers:initiate({}, { version = "v3" })
      return err
    end)
    assert.equal(0, #transport.requests)
  end)

  it("without the colon raises", function()
    local link = client { OK }
    raises("link%.tickets:unlock%(%.%.%.%) with a colon", function()
      local _, err = link.tickets.unlock({ tokens = { "t" } })
      return err
    end)
    raises("with a colon", function()
      local _, err = link.tickets.unlock(link.orders, { tokens = { "t" } })
      return err
    end)
    raises("link:close%(%) with a colon", function()
      local closed = link.close()
      return closed
    end)
    raises("link%.auth:token%(%) with a colon", function()
      local _, err = link.auth.token()
      return err
    end)
  end)

  it("of a closed client raises", function()
    local link, transport = client { OK }
    assert.matches("https://link%-sandbox%.paciolan%.info", tostring(link))
    link:close()
    link:close()
    assert.is_true(transport.is_closed)
    assert.matches("closed", tostring(link))
    raises("the client is closed", function()
      local _, err = link.tickets:unlock({ tokens = { "t" } })
      return err
    end)
    for _, method in ipairs { "token", "rotate" } do
      raises("the client is closed", function()
        local _, err = link.auth[method](link.auth)
        return err
      end)
    end
  end)

  it("of settings raises and names every known one", function()
    for _, row in ipairs {
      { { colour = 1 }, "unknown option colour; known are api_key, application_id, auth" },
      { { base_url = "http://link.example" }, "base_url" }, { { base_url = "ftp://x" }, "base_url" },
      { { base_url = "https://u:p@x" }, "base_url" }, { { auth = {}, retries = 100 }, "retries" },
      { { auth = { token = "x" } }, "unknown option token" }, { { shapes = { verify = "x" } }, "shapes%.verify" },
      { { shapes = { colour = "x" } }, "no switch" }, { { on_event = "x" }, "on_event must be a function" },
      { { strict_request_id = 1 }, "strict_request_id must be" }, { { store = "memory" }, "store must be" },
      { { store = {} }, "store must be a store with get, put, add, replace and remove" },
      { { ca_file = "spec/no-such-file.pem" }, "ca_file must be the path of a file that can be read" },
      { { auth = { access_token = "t", expiration = "tomorrow" } }, "expiration must be a time" },
      { { operations = { ["tickets.lock"] = { method = "GET" } } }, "must not be GET" },
    } do
      raises(row[2], function()
        local link = paciolan.new(scripted.settings(row[1]))
        return link
      end)
    end
    for _, name in ipairs { "base_url", "application_id", "api_key", "channel_code", "user_agent", "auth" } do
      local settings = scripted.settings()
      settings[name] = nil
      raises(name .. " is required", function()
        local link = paciolan.new(settings)
        return link
      end)
    end
  end)

  it("shows no secret", function()
    for _, overrides in ipairs { { api_key = "SECRET\n" }, { auth = { access_token = "SECRET\n" } },
      { base_url = "https://user:SECRET@x" }, { auth = { code = { "SECRET" } } } } do
      local _, message = pcall(paciolan.new, scripted.settings(overrides))
      assert.is_nil(tostring(message):find("SECRET", 1, true))
    end
  end)

  it("of a transport that does not keep its contract raises", function()
    local link = client { { kind = "weather", phase = "unknown" } }
    assert.error_matches(function() calls.listing(link) end, "failure kind that does not exist")
  end)
end)
