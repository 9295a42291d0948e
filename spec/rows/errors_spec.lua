--- The rows of contract section 7 about answers that are no success: what decides, and what an error tells.
local samples = require("support.samples")
local scripted = require("support.scripted")
local wire = require("support.wire")

local received, received_sample = wire.received, wire.received_sample

-- An error of the service; parts that are nil are left out.
local function error_body(kind, code, text)
  local parts = {}
  for name, value in pairs { type = kind, appErrorCode = code, developerMessage = text } do
    parts[#parts + 1] = ('"%s":"%s"'):format(name, value)
  end
  return '{"error":{' .. table.concat(parts, ",") .. "}}"
end

local function expect_error(operation, status, body)
  local result, err, _, transport = received(operation, status, body, { retries = 5 })
  assert.is_nil(result)
  assert.equal(status, err.status)
  return err, #transport.requests
end

describe("an answer that is no success, by the rows of the discrepancies", function()
  it("row 7: an error is read as a text and as an object", function()
    local link = scripted.client({ { status = 400, body = samples.read("derived/auth-token.response.error.json") } },
      { auth = { code = "c" } })
    local set, err = link.auth:rotate()
    assert.is_nil(set)
    assert.equal("auth", err.kind)
    assert.is_nil(err.type)

    for _, operation in ipairs { "tickets.lock", "transfers.initiate", "catalog.events" } do
      err = expect_error(operation, 400, '{"error":"some text"}')
      assert.equal("http", err.kind)
      assert.equal("some text", err.body.error)
      assert.is_nil(err.type)
      err = expect_error(operation, 400, error_body("SOME_TYPE", "MS-400", "some text"))
      assert.equal("http", err.kind)
      assert.equal("SOME_TYPE", err.type)
      assert.equal("MS-400", err.app_error_code)
      assert.equal("some text", err.developer_message)
    end
    -- A text in a 2xx is an error, too.
    assert.equal("http", expect_error("tickets.lock", 200, '{"error":"some text"}').kind)
  end)

  it("row 8: a processId that is a string is read; anything else stays raw in the body", function()
    local err = expect_error("transfers.initiate", 422, samples.read("transfer-v2.response.error.json"))
    assert.equal("5f6d4e", err.process_id)
    for text, value in pairs { ['{"id":"5f6d4e"}'] = { id = "5f6d4e" }, ['["5f6d4e"]'] = { "5f6d4e" }, ["7"] = 7 } do
      err = expect_error("transfers.initiate", 200, '{"transactionStatus":"ERROR","processId":' .. text .. "}")
      assert.is_nil(err.process_id)
      assert.same(value, err.body.processId)
      local pending = received("transfers.initiate", 202, '{"transactionStatus":"PENDING","processId":' .. text .. "}")
      assert.same(value, pending.processId)
    end
  end)

  it("row 37: too many tokens are a 422 that is not repeatable; a real 429 is repeatable by its own rule", function()
    local body = samples.read("lock.response.422.too-many-tokens.json")
    local err, requests = expect_error("tickets.lock", 422, body)
    assert.equal("http", err.kind)
    assert.equal("UNPROCESSABLE_ENTITY", err.type)
    assert.is_false(err.retryable)
    assert.equal(1, requests)

    for _, operation in ipairs { "orders.complete", "tickets.lock" } do
      err, requests = expect_error(operation, 429, error_body("TOO_MANY_REQUESTS", "MS-429"))
      assert.equal("rate_limit", err.kind)
      assert.equal("rejected", err.outcome)
      assert.is_true(err.retryable)
      assert.equal(1, requests)
    end
  end)

  it("row 38: each token has the code of its own entry, whatever the HTTP status is", function()
    for status, file in pairs { [207] = "lock.response.207.json", [422] = "lock.response.422.json" } do
      local result, err = received_sample("tickets.lock", status, file)
      assert.is_nil(result)
      local entries = err.body.failure
      assert.equal("INVALID_TOKEN", entries[1].type)
      assert.equal("MS-422", entries[1].appErrorCode)
      assert.equal("TOKEN_NOT_FOUND", entries[3].type)
      assert.equal("MS-404", entries[3].appErrorCode)
      assert.are_not.equal("MS-404", err.app_error_code)
    end
  end)

  it("row 39: UNPROCESSABLE_ENTITY is decided by its type, then by the code, then by the status", function()
    for _, status in ipairs { 400, 422, 500 } do
      local err, requests = expect_error("transfers.initiate", status,
        error_body("UNPROCESSABLE_ENTITY", "MS-500", "Internal Server Error"))
      assert.equal("http", err.kind)
      assert.equal("rejected", err.outcome)
      assert.equal("inform_provider", err.action)
      assert.is_false(err.retryable)
      assert.equal(1, requests)
    end
    for _, kind in ipairs { false, "A_NEW_TYPE" } do
      for status, outcome in pairs { [400] = "rejected", [422] = "rejected", [500] = "unknown" } do
        local told, sent = expect_error("transfers.initiate", status, error_body(kind or nil, "MS-422"))
        assert.equal(outcome, told.outcome) -- a code alone does not prove that a failing server did nothing
        assert.equal("inform_provider", told.action)
        assert.equal(1, sent)
      end
      -- The three repetitions are documented for a type, and a code alone does not earn them.
      local err, requests = expect_error("transfers.initiate", 500, error_body(kind or nil, "MS-500"))
      assert.equal("unknown", err.outcome)
      assert.is_false(err.retryable)
      assert.equal("inform_provider", err.action)
      assert.equal(1, requests)
    end
    for status, outcome in pairs { [400] = "rejected", [500] = "unknown" } do
      local err = expect_error("transfers.initiate", status, error_body("A_NEW_TYPE", "MS-999"))
      assert.equal(outcome, err.outcome)
      assert.is_nil(err.action)
    end
  end)

  it("row 40: INVALID_PARAMETER_VALUE is decided by its type, with either of its codes", function()
    for _, code in ipairs { "MS-422", "MS-400", "MS-500" } do
      for _, status in ipairs { 200, 400, 422, 500 } do
        local err, requests = expect_error("transfers.initiate", status, error_body("INVALID_PARAMETER_VALUE", code))
        assert.equal("rejected", err.outcome)
        assert.equal("inform_provider", err.action)
        assert.equal(code, err.app_error_code)
        assert.is_false(err.retryable)
        assert.equal(1, requests)
      end
    end
  end)

  it("row 41: a 207 is nil and an error of kind partial that holds both lists", function()
    local result, err, response = received_sample("tickets.lock", 207, "lock.response.207.json")
    assert.is_nil(result)
    assert.equal("partial", err.kind)
    assert.is_nil(err.outcome)
    assert.same(samples.load("lock.response.207.json"), err.body)
    assert.equal(207, response.status)
    assert.equal("partial", expect_error("tickets.unlock", 207, '{"success":[{"token":"1"}]}').kind)
    -- The same body with another success status must not read as a whole lock.
    assert.equal("partial", expect_error("tickets.lock", 200, samples.read("lock.response.207.json")).kind)
  end)

  it("row 43: texts are for people, and no verdict depends on them", function()
    local function facts_of(err)
      return { err.kind, err.outcome, err.retryable, err.action, err.type, err.app_error_code, err.attempts }
    end
    for _, row in ipairs { { "tickets.lock", 422, "TOKEN_NOT_FOUND", "MS-404" },
      { "transfers.initiate", 400, "UNPROCESSABLE_ENTITY", "MS-422" }, { "tickets.unlock", 409, "X", "MS-409" } } do
      local wanted = facts_of(expect_error(row[1], row[2], error_body(row[3], row[4])))
      for _, text in ipairs { "Token is not found", "Token does not exist", "Internal Server Error", "PENDING",
        "INVALID_TOKEN", "" } do
        local err = expect_error(row[1], row[2], error_body(row[3], row[4], text))
        assert.same(wanted, facts_of(err))
        assert.equal(text, err.developer_message)
      end
    end
  end)

  it("row 46: 402, 426 and 505 are errors with their status and no special meaning", function()
    for _, row in ipairs { { 402, "http", "rejected" }, { 426, "http", "rejected" }, { 505, "http", "unknown" } } do
      local err, requests = expect_error("orders.complete", row[1], error_body("SOME_TYPE", "MS-1"))
      assert.same({ row[2], row[3], row[1] }, { err.kind, err.outcome, err.status })
      assert.is_false(err.retryable)
      assert.is_nil(err.action)
      assert.equal(1, requests)
    end
    for status, outcome in pairs { [402] = "rejected", [426] = "rejected", [505] = "unknown" } do
      local err = expect_error("orders.complete", status, "<html></html>")
      assert.same({ "protocol", outcome }, { err.kind, err.outcome })
    end
  end)
end)
