--- Posts to an asyncCallbackUrl (contract 3): who may send them, and what becomes of them.

local inbox = require("support.inbox")
local paciolan = require("paciolan")

local SECRET = "/callbacks/0f1e2d3c4b5a4678"
local BASIC = inbox.BASIC
local AUTHORIZATION = inbox.AUTHORIZATION

local function open(overrides)
  local results = {}
  local options = { mode = "direct", basic_auth = BASIC, callback = { path = SECRET },
    on_callback = function(result, request)
      results[#results + 1] = { result, request }
      return true
    end }
  for name, value in pairs(overrides or {}) do
    options[name] = value
  end
  return inbox.open(nil, options), results
end

local function request(body, changes)
  local made = { method = "POST", path = SECRET, headers = { ["content-type"] = "application/json" }, body = body }
  for name, value in pairs(changes or {}) do
    made[name] = value
  end
  return made
end

describe("a callback", function()
  it("is handed over with its id, its state and all that came", function()
    local box, results = open()
    local posted = request('{"processId":"P-1","status":"COMPLETE","orderId":"7"}')
    assert.same({ 204, "callback_done" }, { (box:post(posted)), box:reason() })
    assert.same({ process_id = "P-1", state = "COMPLETE",
      body = { processId = "P-1", status = "COMPLETE", orderId = "7" } }, results[1][1])
    assert.equal(posted, results[1][2])
    assert.same({ "accepted", "callback", 0 }, { box.reports[1].verdict, box.reports[1].entity, #box.messages })
  end)

  it("has its state in one of two fields (row 49)", function()
    local rows = {
      { '{"processId":"P","status":"PENDING"}', "PENDING" },
      { '{"processId":"P","transactionStatus":"ERROR"}', "ERROR", "ERROR" },
      { '{"processId":"P","status":"COMPLETE","transactionStatus":"PENDING"}', "COMPLETE", "PENDING" },
      { '{"processId":"P","status":"SOMETHING_NEW"}', "SOMETHING_NEW" },
      { '{"processId":"P"}' }, { '{"processId":"P","status":null}' }, { '{"processId":"P","status":7}' },
    }
    for _, row in ipairs(rows) do
      local box, results = open()
      assert.equal(204, (box:post(request(row[1]))))
      local result = results[1][1]
      assert.same({ "P", row[2], row[3] }, { result.process_id, result.state, result.transaction_status })
    end
  end)

  it("has its error as it came, and its id as a text", function()
    local box, results = open()
    box:post(request('{"processId":1234567890,"status":"ERROR","error":{"type":"X"}}'))
    box:post(request('{"processId":"2","status":"COMPLETE","error":null}'))
    assert.same({ "1234567890", { type = "X" } }, { results[1][1].process_id, results[1][1].error })
    assert.is_nil(results[2][1].error)
  end)

  it("may come by PUT, with a query, and any number of times", function()
    local box, results = open()
    for _, changes in ipairs { { method = "PUT" }, { path = SECRET .. "?a=b" }, {}, {} } do
      assert.equal(204, (box:post(request('{"processId":"P"}', changes))))
    end
    assert.equal(4, #results)
    local status, answer = box:post(request("", { method = "GET" }))
    assert.same({ 405, "POST, PUT" }, { status, answer.headers.Allow })
  end)

  it("comes again while the application does not take it", function()
    for _, row in ipairs {
      { function() return nil, "busy" end, "handler_refused" }, { function() end, "handler_refused" },
      { function() error("broken") end, "handler_raised" },
    } do
      local box = open { on_callback = row[1] }
      assert.same({ 503, row[2] }, { (box:post(request('{"processId":"P"}'))), box:reason() })
      assert.same({ row[2] }, box:codes())
    end
  end)

  it("that cannot be used is kept and refused", function()
    for _, body in ipairs {
      "", "null", "[]", '["processId"]', "7", '{"processId":""}', '{"processId":null}', "{}", '{"processId":true}',
      '{"processId":-1}', '{"processId":1.5}', '{"processId":9007199254740992}',
      '{"processId":9007199254740993}', '{"processId":"P"', '{"processId":"P","processId":"Q"}',
      '\239\187\191{"processId":"P"}', '{"processId":"P"}{}', '{"processId":"\255"}', '{"processId":"\\ud800"}',
      ("["):rep(100000),
    } do
      local box, results = open()
      assert.same({ 400, "unusable_callback" }, { (box:post(request(body))), box:reason() })
      assert.same({ body, 1, 0 }, { box.quarantined[1][1], #box.quarantined, #results })
      assert.same({ "unusable_callback" }, box:codes())
    end
  end)

  it("comes again when it cannot be kept", function()
    for _, keep in ipairs {
      function() return false end, function() return nil, "full" end, function() error("broken") end,
    } do
      local box = open { quarantine = keep }
      assert.same({ 503, "quarantine_failed" }, { (box:post(request("{}"))), box:reason() })
    end
  end)

  it("is only taken at its secret path", function()
    local box, results = open { path = "/messages" }
    for _, path in ipairs {
      SECRET .. "/", SECRET:sub(1, -2), SECRET .. "0", SECRET:upper(), "/callbacks/", "/", "//" .. SECRET,
    } do
      assert.same({ 404, "no_such_path" }, { (box:post(request('{"processId":"P"}', { path = path }))), box:reason() })
    end
    assert.equal(0, #results)
  end)

  it("has credentials of its own", function()
    local box, results = open { callback = { path = "/done", basic_auth = { user = "a", password = "b" } } }
    local body = '{"processId":"P"}'
    for _, headers in ipairs { {}, { authorization = AUTHORIZATION }, { authorization = "Basic eDp4" } } do
      local status, answer = box:post(request(body, { path = "/done", headers = headers }))
      assert.same({ 401, 'Basic realm="paciolan", charset="UTF-8"' }, { status, answer.headers["WWW-Authenticate"] })
    end
    assert.equal(0, #results)
    assert.equal(204, (box:post(request(body, { path = "/done", headers = { authorization = "Basic YTpi" } }))))
  end)

  it("passes the same door as a message", function()
    local box, results = open()
    assert.equal(415, (box:post(request("{}", { headers = { ["content-encoding"] = "gzip" } }))))
    assert.equal(413, (box:post(request((" "):rep(2 * 1024 * 1024 + 1)))))
    assert.equal(503, (box:post { method = "POST", path = SECRET, headers = {} }))
    assert.equal(0, #results)
  end)

  it("needs a secret path or credentials", function()
    local function configured(callback, on_callback)
      return pcall(paciolan.receiver, { mode = "direct", basic_auth = BASIC, on_message = print, callback = callback,
        on_callback = on_callback or print })
    end
    for _, callback in ipairs {
      { path = "/callbacks/short" }, { path = "/callbacks-0f1e2d3c4b5a4678/x" }, { path = "callback" }, {},
      { path = "/0f1e2d3c4b5a4678?x" }, { basic_auth = BASIC }, { path = "/x", basic_auth = {} },
      { path = "/0f1e2d3c4b5a4678", secret = "x" }, { path = 7 },
    } do
      local ok, message = configured(callback)
      assert.is_false(ok)
      assert.truthy(message:find("callback", 1, true))
    end
    assert.is_true((configured { path = "/0f1e2d3c4b5a4678" }))
    assert.is_true((configured { path = "/x", basic_auth = BASIC }))
    assert.is_false((pcall(paciolan.receiver, { mode = "direct", basic_auth = BASIC, on_message = print,
      callback = { path = SECRET } })))
    assert.is_false((pcall(paciolan.receiver, { mode = "direct", basic_auth = BASIC, on_message = print,
      on_callback = print })))
    assert.is_false((pcall(paciolan.receiver, { mode = "direct", basic_auth = BASIC, on_message = print, path = SECRET,
      callback = { path = SECRET }, on_callback = print })))
  end)
end)
