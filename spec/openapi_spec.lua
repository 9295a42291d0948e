--- docs/openapi.yaml against public tools: a linter of OpenAPI documents and a JSON Schema validator, both from npm and
-- both in one process of spec/openapi/check.js.
--
-- The client's own judge is `paciolan.validate`. What the document lets through and the client does not must be a row
-- of docs/generate/openapi/unsaid.lua, and every row there must be met by a sample.
local cjson = require("cjson").new()
local files = require("support.files")
local golden = dofile("spec/fixtures/golden/requests.lua")
local paciolan = require("paciolan")
local program = require("support.program")
local samples = require("support.samples")

local path = package.path
package.path = "docs/generate/?.lua;" .. path
local examples = require("openapi.samples")
local unsaid = require("openapi.unsaid")
package.path = path

local DOCUMENT = "docs/openapi.yaml"

local kinds = {}
for _, operation in ipairs(paciolan.operations()) do
  kinds[operation.name] = operation.payload
end

-- What a call sends besides its payload, as in section 1.1 of the contract.
local HEADERS = {
  ["User-Agent"] = "MyApplication/1.0.0", ["Request-ID"] = golden.request_id,
  ["PAC-Application-ID"] = "com.mycompany.myapp", ["PAC-Channel-Code"] = "my-application",
}

-- --- cases ----------------------------------------------------------------------------------------------------------

-- The payload stands in a case as its text, because an empty list and an empty object are one to Lua.
local function case_of(name, operation, payload_text, options)
  return {
    name = name, operation = operation, options = options, text = payload_text,
    head = cjson.encode { operation = operation, kind = kinds[operation], options = options, headers = HEADERS },
  }
end

local function text_of_case(case)
  return ("%s,\"payload\":%s}"):format(case.head:sub(1, -2), case.text)
end

-- The text behind "payload": in a broken sample; its payload is always the first member.
local function payload_text(text)
  local start = assert(text:match('^%s*{%s*"payload"%s*:%s*()'), "the payload does not come first")
  local depth, at, inside = 0, start, false
  while true do
    local byte = text:sub(at, at)
    if inside then
      at = byte == "\\" and at + 1 or at
      inside = byte ~= '"'
    elseif byte == '"' then
      inside = true
    elseif byte == "{" or byte == "[" then
      depth = depth + 1
    elseif depth == 0 and (byte == "," or byte == "}") then
      return text:sub(start, at - 1)
    elseif byte == "}" or byte == "]" then
      depth = depth - 1
    end
    at = at + 1
  end
end

local function broken_cases()
  local cases = {}
  local pipe = assert(io.popen("find spec/fixtures/broken -name '*.json' | LC_ALL=C sort"))
  for file in pipe:lines() do
    local text = files.read(file)
    cases[#cases + 1] = case_of(file, file:match("broken/([^/]+)/"), payload_text(text), cjson.decode(text).options)
  end
  pipe:close()
  return cases
end

local function sample_cases()
  local cases = {}
  for _, sample in ipairs(samples.requests) do
    cases[#cases + 1] = case_of(sample.file, sample.operation, samples.read(sample.file), sample.options)
  end
  return cases
end

-- What a value may turn into. Nothing here is empty in a way that Lua could mistake.
local OTHERS = { cjson.null, true, 5, 5.5, "", "x", "7", { "x" }, { x = "y" }, { { x = "y" } } }

-- Every value of a sample once taken away and once turned into each of the others.
local function each_change(holder, visit)
  for key, value in pairs(holder) do
    holder[key] = nil
    if type(key) == "string" then
      visit()
    end
    for _, other in ipairs(OTHERS) do
      holder[key] = other
      visit()
    end
    holder[key] = value
    if type(value) == "table" then
      each_change(value, visit)
    end
  end
end

local function changed_cases()
  local cases = {}
  for _, sample in ipairs(samples.requests) do
    local payload = samples.load(sample.file)
    each_change(payload, function()
      cases[#cases + 1] = case_of(sample.file, sample.operation, cjson.encode(payload), sample.options)
    end)
  end
  return cases
end

-- What no sample in a file can hold, or holds.
local function own_cases()
  local seats = { distributor_code = "DIST1", organization_id = "999" }
  return {
    case_of("a token as bare text", "tickets.lock", '{"source":"MY_ACCOUNT","listing":{"tokens":["T1"]}}'),
    case_of("an empty bare token", "tickets.lock", '{"source":"MY_ACCOUNT","listing":{"tokens":[""]}}'),
    case_of("bare tokens beside objects", "tickets.lock",
      '{"source":"MY_ACCOUNT","listing":{"tokens":["T1",{"token":"T2"}]}}'),
    case_of("a price as text", "tickets.lock",
      '{"source":"MY_ACCOUNT","listing":{"tokens":[{"token":"T","individualPrice":"8"}]}}'),
    case_of("an unfinished seller of MY_ACCOUNT", "tickets.lock",
      '{"source":"MY_ACCOUNT","listing":{"tokens":["T1"]},"seller":{"firstName":"","phoneNumber":{"number":"x"}}}'),
    case_of("an unknown field of that seller", "tickets.lock",
      '{"source":"MY_ACCOUNT","listing":{"tokens":["T1"]},"seller":{"nickName":"x"}}'),
    case_of("bytes that are no UTF-8", "tickets.unlock", '{"tokens":["\255"]}'),
    case_of("other options of a path", "transfers.cancel", '"3785222-AMTX:10237"', seats),
    case_of("no organisation", "transfers.cancel", '"3785222-AMTX:10237"'),
    case_of("a value of the path by its name", "transfers.history", '{"confirmationCd":"3785222-AMTX:10237"}'),
    case_of("no query", "catalog.events", "{}", seats),
    case_of("the last day of February in a leap year", "catalog.events", '{"startDate":"2024-02-29"}', seats),
    case_of("and in another", "catalog.events", '{"startDate":"2023-02-29"}', seats),
    case_of("an object without anything in the place of a list", "orders.complete",
      '{"listing":{"externalListingId":"L","externalOrderId":"O","tokens":[{"token":"T"}]},"buyer":{},'
        .. '"settlement":{"totalAmountPaid":1}}'),
  }
end

-- --- the two judges -------------------------------------------------------------------------------------------------

local function violations_of(case, options)
  local ok, err = paciolan.validate(case.operation, cjson.decode(case.text), options)
  return ok and {} or err.fields
end

local function without_shapes(options)
  return options and { distributor_code = options.distributor_code, organization_id = options.organization_id }
end

local function holds(violations, wanted)
  for _, violation in ipairs(violations) do
    if violation.path == wanted.path and violation.rule == wanted.rule then
      return true
    end
  end
  return false
end

-- The row that excuses the document, if there is one. What a switch adds is gone without the switch.
local function excuse_of(case, violation)
  local row = unsaid.row_of(case.operation, violation)
  if row and row.shape and holds(violations_of(case, without_shapes(case.options)), violation) then
    return nil
  end
  return row
end

-- Must the document refuse it? Yes, unless every violation is one that it cannot name.
local function must_refuse(case, met)
  local refuse = false
  for _, violation in ipairs(violations_of(case, case.options)) do
    local row = excuse_of(case, violation)
    if row then
      met[row] = true
    else
      refuse = true
    end
  end
  return refuse
end

local function texts(list, text_of)
  local parts = {}
  for i, item in ipairs(list) do
    parts[i] = text_of(item)
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function wire_requests()
  local list = {}
  for i, request in ipairs(golden.requests) do
    local headers = {}
    for _, header in ipairs(request.headers) do
      headers[header[1]] = header[2]
    end
    list[i] = { operation = request.operation, method = request.method, url = request.url, headers = headers,
      body = request.body }
  end
  return list
end

local function with_body(sample)
  local key = sample.entity and "entity" or "operation"
  return ('{"%s":"%s","status":"%s","body":%s}'):format(key, sample[key], sample.status or "",
    samples.read(sample.file))
end

-- Node is not sanitized, and must not get the sanitizer's library before it.
local NODE = "env -u LD_PRELOAD -u ASAN_OPTIONS -u UBSAN_OPTIONS -u LSAN_OPTIONS node spec/openapi/check.js"

local function ask(task)
  local input = os.tmpname()
  files.write(input, task)
  local code, output, problems = program.run(NODE .. " <" .. program.words { input })
  os.remove(input)
  assert(code == 0, problems)
  return cjson.decode(output)
end

local function complaints_in(list, answers, name_of)
  local found = {}
  for i, complaints in ipairs(answers) do
    for _, text in ipairs(complaints) do
      found[#found + 1] = name_of(list[i]) .. ": " .. text
    end
  end
  return found
end

-- --- the tests ------------------------------------------------------------------------------------------------------

describe("docs/openapi.yaml", function()
  local cases, wire, answer, spoiled = {}, wire_requests(), nil, os.tmpname()

  local function add(list)
    local first = #cases + 1
    for _, case in ipairs(list) do
      cases[#cases + 1] = case
    end
    return { first = first, last = #cases }
  end

  local given, broken, changed = add(sample_cases()), add(broken_cases()), add(changed_cases())
  local own = add(own_cases())

  setup(function()
    files.write(spoiled, (files.read(DOCUMENT):gsub("operationId: tickets.lock\n", "operationId: tickets.print\n", 1)))
    answer = ask(('{"document":"%s","lint":["%s","%s"],"requests":%s,"wire":%s,"answers":%s,"messages":%s}'):format(
      DOCUMENT, DOCUMENT, spoiled, texts(cases, text_of_case), cjson.encode(wire), texts(examples.answers, with_body),
      texts(examples.messages, with_body)))
  end)

  teardown(function()
    os.remove(spoiled)
  end)

  it("is what the generator writes on this Lua", function()
    local made = os.tmpname()
    local code, _, problems = program.run("env " .. program.environment() .. " "
      .. program.words { program.lua, "docs/generate/openapi.lua", made })
    assert.equal(0, code, problems)
    local text = files.read(made)
    os.remove(made)
    assert.is_true(text == files.read(DOCUMENT), "stale: run `make docs`")
  end)

  it("passes the linter", function()
    assert.same({}, answer.lint[1])
  end)

  it("would not pass it with two operations of one name", function()
    assert.is_true(#answer.lint[2] > 0)
  end)

  it("has every operation under its name", function()
    local names = {}
    for name in pairs(kinds) do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.same(names, answer.operations)
  end)

  it("fits its own examples", function()
    assert.is_true(answer.examples.count > 100)
    assert.same({}, answer.examples.wrong)
  end)

  it("describes every request as it goes out, headers and all", function()
    assert.is_true(#wire >= #samples.requests)
    assert.same({}, complaints_in(wire, answer.wire, function(request)
      return request.method .. " " .. request.url
    end))
  end)

  it("describes every answer that the documents show", function()
    assert.same({}, complaints_in(examples.answers, answer.answers, function(sample)
      return sample.operation .. " " .. sample.file
    end))
  end)

  it("describes every message that the documents show", function()
    assert.same({}, complaints_in(examples.messages, answer.messages, function(sample)
      return sample.file
    end))
  end)

  it("shows every sample there is", function()
    local shown, hidden = {}, {}
    for _, list in ipairs { examples.requests, examples.answers, examples.messages } do
      for _, sample in ipairs(list) do
        shown["spec/fixtures/" .. sample.file] = true
      end
    end
    local pipe = assert(io.popen("find spec/fixtures -name '*.json' -not -path '*/broken/*' -not -path '*/sns/*'"
      .. " | LC_ALL=C sort"))
    for file in pipe:lines() do
      hidden[#hidden + 1] = not shown[file] and not file:find(".message.response.", 1, true) and file or nil
    end
    pipe:close()
    assert.same({}, hidden)
  end)

  -- Cases whose two verdicts differ, told by their names.
  local function differing(range, met)
    local list = {}
    for i = range.first, range.last do
      local refused = #answer.requests[i] > 0
      if refused ~= must_refuse(cases[i], met) then
        list[#list + 1] = ("%s, %s: %s"):format(cases[i].name, cases[i].text:sub(1, 200),
          answer.requests[i][1] or "let through by the document alone")
      end
    end
    return list
  end

  it("lets every sample through, as the client does", function()
    local met = {}
    assert.same({}, differing(given, met))
    assert.is_nil(next(met))
    for i = given.first, given.last do
      assert.same({}, violations_of(cases[i], cases[i].options), cases[i].name)
    end
  end)

  it("refuses every broken sample, as the client does, unless the rule cannot be said", function()
    assert.is_true(broken.last - broken.first > 300)
    assert.same({}, differing(broken, {}))
    for i = broken.first, broken.last do
      assert.is_true(#violations_of(cases[i], cases[i].options) > 0, cases[i].name)
    end
  end)

  it("judges every sample with one thing changed as the client does", function()
    assert.is_true(changed.last - changed.first > 3000)
    assert.same({}, differing(changed, {}))
  end)

  it("judges what no sample holds as the client does", function()
    assert.same({}, differing(own, {}))
  end)

  it("meets every rule that is said to be unsaid", function()
    local met, unmet = {}, {}
    differing(broken, met)
    differing(own, met)
    for _, row in ipairs(unsaid.rows) do
      unmet[#unmet + 1] = not met[row] and row.rule .. " at " .. row.path .. ": " .. row.reason or nil
    end
    assert.same({}, unmet)
  end)
end)
