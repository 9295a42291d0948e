--- The error value: what it shows, what it keeps, and what it never says.
local errors = require("paciolan.errors")

local function validation(paths)
  local violations = {}
  for i, path in ipairs(paths) do
    violations[i] = { path = path, rule = "required", message = "is required" }
  end
  return errors.validation("tickets.lock", violations, "not_sent")
end

local function paths_of(err)
  local paths = {}
  for i, problem in ipairs(err.fields) do
    paths[i] = problem.path
  end
  return paths
end

describe("errors.new", function()
  it("needs a kind and a message", function()
    assert.has_error(function() errors.new { kind = "http" } end)
    assert.has_error(function() errors.new { message = "x" } end)
  end)

  it("keeps every field as given", function()
    local body = { a = 1 }
    local err = errors.new { kind = "http", message = "m", status = 422, process_id = "p", body = body }
    assert.equal("http", err.kind)
    assert.equal(422, err.status)
    assert.equal("p", err.process_id)
    assert.equal(body, err.body)
    assert.is_nil(err.outcome)
  end)
end)

describe("errors.is", function()
  it("tells errors from other values", function()
    assert.is_true(errors.is(errors.new { kind = "http", message = "m" }))
    assert.is_true(errors.is(errors.store("m")))
    for _, value in ipairs { "text", 1, true, {}, setmetatable({}, { __tostring = error }) } do
      assert.is_false(errors.is(value))
    end
    assert.is_false(errors.is(nil))
  end)
end)

describe("as text, an error", function()
  it("tells operation, message, kind, outcome and request", function()
    local err = errors.new {
      kind = "timeout", message = "nothing came", operation = "orders.complete", outcome = "unknown",
      request_id = "r-1",
    }
    assert.equal("orders.complete: nothing came (timeout, unknown) [request r-1]", tostring(err))
  end)

  it("does without what it does not have", function()
    assert.equal("paciolan: m (store)", tostring(errors.store("m")))
  end)

  it("tells the first problem and how many there are", function()
    assert.equal("tickets.lock: the payload breaks the contract: /a is required (validation, not_sent)",
      tostring(validation { "/a" }))
    assert.equal("tickets.lock: the payload breaks the contract: /a is required (and 2 more) (validation, not_sent)",
      tostring(validation { "/c", "/a", "/b" }))
    assert.equal("tickets.lock: the payload breaks the contract: the payload is required (validation, not_sent)",
      tostring(validation { "" }))
  end)

  it("joins with text on either side, and with another error", function()
    local err = errors.new { kind = "http", message = "m" }
    assert.equal("sorry: paciolan: m (http)", "sorry: " .. err)
    assert.equal("paciolan: m (http)!", err .. "!")
    assert.equal("paciolan: m (http)paciolan: m (http)", err .. err)
    assert.equal("paciolan: m (http)1", err .. 1)
  end)

  it("goes through error() as it is", function()
    local err = errors.new { kind = "http", message = "m" }
    local ok, raised = pcall(error, err)
    assert.is_false(ok)
    assert.equal(err, raised)
  end)

  it("holds nothing of what the service or the caller said", function()
    local err = errors.new {
      kind = "http", message = "m", developer_message = "SECRET", type = "SECRET", app_error_code = "SECRET",
      process_id = "SECRET", body = { error = "SECRET" }, action = "SECRET",
    }
    assert.is_nil(tostring(err):find("SECRET", 1, true))
    assert.is_nil(("" .. err):find("SECRET", 1, true))
  end)

  it("fits into a log line whatever the number of problems", function()
    local paths = {}
    for i = 1, 1000 do
      paths[i] = "/listing/tokens/" .. i .. "/token"
    end
    assert.is_true(#tostring(validation(paths)) < 300)
  end)
end)

describe("errors.validation", function()
  it("is about something that was not sent and will not get better", function()
    local err = validation { "/a" }
    assert.equal("validation", err.kind)
    assert.equal("tickets.lock", err.operation)
    assert.equal("not_sent", err.outcome)
    assert.equal(0, err.attempts)
    assert.is_false(err.retryable)
  end)

  it("puts the problems in the order of their places", function()
    local err = validation { "/tokens/10", "/tokens/9", "/a/b", "/tokens", "", "/a", "/tokens/9/token", "/a2", "/a10" }
    assert.same({ "", "/a", "/a/b", "/a2", "/a10", "/tokens", "/tokens/9", "/tokens/9/token", "/tokens/10" },
      paths_of(err))
  end)

  it("puts the problems of one place in the order of their rules", function()
    local err = errors.validation("o", {
      { path = "/a", rule = "type", message = "x" }, { path = "/a", rule = "required", message = "y" },
    })
    assert.equal("required", err.fields[1].rule)
    assert.is_nil(err.outcome)
  end)

  it("bears numbers of any length", function()
    local long = ("9"):rep(40)
    assert.same({ "/a1", "/a" .. long }, paths_of(validation { "/a" .. long, "/a1" }))
  end)
end)
