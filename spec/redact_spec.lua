--- Copies of values that may stand in a log: what goes by its name, what by its shape, and what stays.
local cjson = require("cjson").new()
local core = require("paciolan.core")
local errors = require("paciolan.errors")
local marks = require("support.marks")
local paciolan = require("paciolan")
local samples = require("support.samples")

local R = "[redacted]"
local UUID = "6f1c2a34-1111-4abc-8def-0123456789ab"

describe("redact, by name", function()
  local rows = {
    { "tokens and keys in any spelling",
      { accessToken = "a", refresh_token = "b", ["PAC-API-Key"] = "c", apiKey = "d" },
      { accessToken = R, refresh_token = R, ["PAC-API-Key"] = R, apiKey = R } },
    { "names and addresses", { firstName = "Ada", address1 = "1 Main St", optIn = true, countryCode = "US" },
      { firstName = R, address1 = R, optIn = true, countryCode = "US" } },
    { "a contact as an object, by its own names", { emailAddress = { email = "x", optIn = false } },
      { emailAddress = { email = R, optIn = false } } },
    { "a contact as a text", { emailAddress = "x", phoneNumber = 5551234 }, { emailAddress = R, phoneNumber = R } },
    { "numbers too", { token = 12, number = 5, individualPrice = 7 }, { token = R, number = R, individualPrice = 7 } },
    { "a list of tokens, with its length", { tokens = { "a", "b", "c" }, barcodes = { 1 } },
      { tokens = "[redacted: 3]", barcodes = "[redacted: 1]" } },
    { "tokens as objects, by their names", { tokens = { { token = "a", individualPrice = 7 } } },
      { tokens = { { token = R, individualPrice = 7 } } } },
    { "everything below a secret", { password = { a = { "x" } } }, { password = { a = "[redacted: 1]" } } },
    { "a mixed list of tokens", { tokens = { "a", { token = "b", status = "LOCK" } } },
      { tokens = { R, { token = R, status = "LOCK" } } } },
    { "empty lists", { tokens = {}, barcodes = {} }, { tokens = {}, barcodes = {} } },
    { "the code of a grant", { grantType = "authorization_code", code = "MS-1" },
      { grantType = "authorization_code", code = R } },
    { "the code among settings", { auth = { code = "abc" } }, { auth = { code = R } } },
    { "no code of an error", { code = 28, appErrorCode = "MS-422", failure = { code = "MS-404" } },
      { code = 28, appErrorCode = "MS-422", failure = { code = "MS-404" } } },
    { "the URL of a ticket and no other", { { token = "a", url = "u" }, { url = "https://x.example/y" } },
      { { token = R, url = R }, { url = "https://x.example/y" } } },
    { "headers by name", { headers = { authorization = "x", ["set-cookie"] = "a=b", server = "x" } },
      { headers = { authorization = R, ["set-cookie"] = R, server = "x" } } },
    { "headers as requests carry them", { { "PAC-API-Key", "k" }, { "Accept", "application/json" } },
      { { "PAC-API-Key", R }, { "Accept", "application/json" } } },
  }
  for _, row in ipairs(rows) do
    it("takes " .. row[1], function()
      assert.same(row[3], paciolan.redact(row[2]))
    end)
  end
end)

describe("redact, by shape", function()
  it("goes through texts at any depth, and through keys", function()
    assert.same({ a = { "mail " .. R }, [R] = 1 },
      paciolan.redact { a = { "mail ada@archer.example" }, Ab3dEf9hIj2kLm5nOp = 1 })
    assert.equal("sent Bearer " .. R, paciolan.redact("sent Bearer abc"))
  end)

  it("takes numbers that look like telephone or card numbers, and no times", function()
    assert.same({ R, 1763784904, 1763784904123, 120.5, -3 },
      paciolan.redact { 4111111111111111, 1763784904, 1763784904123, 120.5, -3 })
  end)

  it("keeps the ids that people need", function()
    local value = { request_id = UUID, processId = "5f6d4e", confirmationCd = "3785222-AMTX:10237", status = 422,
      operation = "auth.token", accessId = "129:FB30:FB01", expiration = "2099-01-01T00:00:00.000000000Z",
      port = 8480, type = "UNPROCESSABLE_ENTITY" }
    assert.same(value, paciolan.redact(value))
  end)
end)

describe("redact", function()
  it("leaves what it is given alone", function()
    local payload = samples.load("lock.request.individual.json")
    paciolan.redact(payload)
    assert.same(samples.load("lock.request.individual.json"), payload)
  end)

  it("copies truths and JSON null, and names the type of what cannot be shown", function()
    assert.same({ true, false, paciolan.null }, paciolan.redact { true, false, paciolan.null })
    assert.same({ "function", "thread", "userdata" },
      paciolan.redact { print, coroutine.create(print), io.stdout })
    assert.is_nil(paciolan.redact(nil))
    assert.same({ table = 1, [true] = 2 }, paciolan.redact { [{}] = 1, [true] = 2 })
  end)

  it("ends where a table stands in itself, and copies one that stands in two places twice", function()
    local cycle = { name = "x" }
    cycle.again = { cycle }
    assert.same({ name = "x", again = { "[cycle]" } }, paciolan.redact(cycle))
    local shared = { "a" }
    assert.same({ open = { "a" }, tokens = "[redacted: 1]" }, paciolan.redact { open = shared, tokens = shared })
  end)

  it("ignores metatables", function()
    local function fail()
      error("called")
    end
    local traps = { __index = fail, __len = fail, __pairs = fail, __tostring = fail, __metatable = "locked" }
    local copy = paciolan.redact(setmetatable({ status = 1 }, traps))
    assert.same({ status = 1 }, copy)
    assert.is_nil(getmetatable(copy))
  end)

  it("ends at its limits", function()
    local deep = {}
    local inner = deep
    for _ = 1, 100 do
      inner.x = {}
      inner = inner.x
    end
    local copy, depth = paciolan.redact(deep), 0
    while type(copy) == "table" do
      copy, depth = copy.x, depth + 1
    end
    assert.equal("[too deep]", copy)
    assert.equal(32, depth)

    local wide = {}
    for i = 1, 30000 do
      wide[i] = true
    end
    copy = paciolan.redact(wide)
    assert.is_true(copy["[cut]"])
    assert.is_nil(copy[30000])
  end)

  it("cuts long texts at a blank", function()
    local text = ("word "):rep(20000)
    local copy = paciolan.redact(text)
    assert.is_true(#copy < 66000)
    assert.truthy(copy:find("word %[%d+ bytes cut%]$"))
    assert.equal("[70000 bytes cut]", paciolan.redact(("x"):rep(70000)))
    local many = {}
    for i = 1, 100 do
      many[i] = text
    end
    copy = paciolan.redact(many)
    assert.equal("[cut]", copy[100])
  end)

  it("makes an error fit for a log", function()
    local err = errors.new {
      kind = "http", message = "m", status = 422, request_id = UUID, developer_message = "no ada@archer.example",
      body = { failure = { { token = "t", type = "INVALID_TOKEN" } } },
      response = { headers = { ["set-cookie"] = "x" }, body = '<a href="https://u:p@h.example">x</a>' },
    }
    assert.same({
      kind = "http", message = "m", status = 422, request_id = UUID, developer_message = "no " .. R,
      body = { failure = { { token = R, type = "INVALID_TOKEN" } } },
      response = { headers = { ["set-cookie"] = R }, body = '<a href="https://' .. R .. '@h.example">x</a>' },
    }, paciolan.redact(err))
  end)

  -- Marks that no rule about shapes would find, under every name that the tables call secret or personal.
  local function mark_private(set, fields, holder)
    for key, value in pairs(holder) do
      local field = fields[key] or {}
      if type(value) == "table" then
        mark_private(set, type(key) == "number" and fields or field.below or {}, value)
      elseif field.is_private then
        holder[key] = set:make(key)
      end
    end
  end

  local function by_name(fields)
    local names = {}
    for _, field in ipairs(fields or {}) do
      names[field.name] = { is_private = field.secret or field.personal, below = by_name(field.fields) }
      names[field.alias or field.name] = names[field.name]
    end
    return names
  end

  it("leaves nothing of what the tables of the contract call secret or personal", function()
    local set, marked = marks.new("redact"), 0
    local bodies = {}
    for _, operation in ipairs(paciolan.operations()) do
      bodies[operation.name] = by_name(operation.body and operation.body.fields)
    end
    for _, sample in ipairs(samples.requests) do
      local payload = samples.load(sample.file)
      mark_private(set, bodies[sample.operation], payload)
      marked = marked + #set:found(marks.everything(payload))
      assert.same({}, set:found(marks.everything(paciolan.redact(payload))), sample.file)
      assert.same({}, set:found(core.redact_text(cjson.encode(payload))), sample.file)
    end
    assert.is_true(marked > 40)
  end)

  it("leaves no ticket of an answer", function()
    for _, file in ipairs { "lock.response.207.json", "verify.response.200.json", "print.response.200.json",
      "complete-order.response.200.json", "listing.response.200.json" } do
      local answer = samples.load(file)
      local text = samples.read(file)
      local shown = marks.everything(paciolan.redact(answer)) .. core.redact_text(text)
      local count = 0
      for token in text:gmatch('"token"%s*:%s*"([^"]+)"') do
        count = count + 1
        assert.is_nil(shown:find(token, 1, true), file)
      end
      assert.is_true(count > 0, file)
    end
  end)
end)

describe("core.redact_text", function()
  it("takes texts only", function()
    assert.error_matches(function() core.redact_text({}) end, "string expected")
    assert.equal("", core.redact_text(""))
    assert.equal("\0\255", core.redact_text("\0\255"))
  end)
end)

describe("an error's message", function()
  it("is redacted when it is made, and once more as text", function()
    local err = errors.new { kind = "store", message = "cannot put accessToken=abc" }
    assert.equal("cannot put accessToken=" .. R, err.message)
    assert.equal("paciolan: cannot put accessToken=" .. R .. " (store)", tostring(err))
    err.message = "Bearer abc"
    assert.equal("paciolan: Bearer " .. R .. " (store)", tostring(err))
    assert.equal("paciolan: Bearer " .. R .. " (store)!", err .. "!")
  end)

  it("must be a text", function()
    assert.has_error(function() errors.new { kind = "store", message = { "x" } } end)
  end)
end)

describe("the copy of an error", function()
  local err = errors.new {
    kind = "partial", operation = "tickets.lock", message = "some tokens failed", request_id = UUID,
    body = { failure = { { token = "T-1" } } },
  }

  it("is an error with the same line, and holds nothing private", function()
    local copy = paciolan.redact(err)
    assert.is_true(errors.is(copy))
    assert.equal(tostring(err), tostring(copy))
    assert.equal("tickets.lock: some tokens failed (partial) [request " .. UUID .. "]", tostring(copy))
    assert.equal(R, copy.body.failure[1].token)
    assert.equal("T-1", err.body.failure[1].token)
    assert.equal(tostring(err), tostring(paciolan.redact(copy)))
  end)

  it("is encoded as any table", function()
    assert.same({ kind = "store", message = "no", retryable = false },
      cjson.decode(cjson.encode(paciolan.redact(errors.store("no")))))
  end)

  it("of another table is no error", function()
    assert.is_nil(getmetatable(paciolan.redact { kind = "store", message = "no" }))
    assert.equal("no", paciolan.redact("no"))
  end)
end)

describe("errors.shown", function()
  it("shows names, and no key that may be a token", function()
    for _, name in ipairs { "colour", "timeout_ms", "tickets.lock", "address4" } do
      assert.equal(name, errors.shown(name))
    end
    for _, key in ipairs { "a1b2", "", "ada@archer.example", "two words", ("x"):rep(41), 7, true, {} } do
      assert.equal("?", errors.shown(key))
    end
  end)
end)
