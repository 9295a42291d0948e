--- The reference of the operations, docs/reference: it is what docs/generate/reference.lua writes, it holds everything
-- that the table holds, and its programs print what it says.
local core = require("paciolan.core")
local curl = require("paciolan.transport.curl")
local errors = require("paciolan.errors")
local faults = require("paciolan.sandbox.faults")
local files = require("support.files")
local paciolan = require("paciolan")
local program = require("support.program")
local sandbox = require("paciolan.sandbox.child")
local snippet = require("support.snippet")

local PAGES, EXAMPLES = "docs/reference", "docs/generate/examples"
local OTHER_PAGES = { "README.md", "messages.md", "shapes.md" }

local operations = paciolan.operations()

local function page_of(operation)
  return files.read(("%s/%s.md"):format(PAGES, operation.name))
end

local function names_in(directory)
  local list = {}
  local _, output = program.run("LC_ALL=C ls " .. program.words { directory })
  for name in output:gmatch("[^\n]+") do
    list[#list + 1] = name
  end
  return list
end

-- The names of all operations with each of these endings, and more names, in the order of `ls`.
local function expected_names(endings, more)
  local list = {}
  for _, operation in ipairs(operations) do
    for _, ending in ipairs(endings) do
      list[#list + 1] = operation.name .. ending
    end
  end
  for _, name in ipairs(more) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

local function assert_shows(page, text)
  assert.is_truthy(page:find(text, 1, true), text .. "\nis not on the page:\n" .. page)
end

-- --- the files ------------------------------------------------------------------------------------------------------

describe("the reference pages", function()
  local scratch

  setup(function()
    scratch = os.tmpname()
    os.remove(scratch)
    scratch = scratch .. " pages"
  end)

  teardown(function()
    program.run("rm -rf " .. program.words { scratch })
  end)

  it("are what the generator writes from the table, byte for byte", function()
    local code, _, problems = program.run("env " .. program.environment() .. " "
      .. program.words { program.lua, "docs/generate/reference.lua", scratch })
    assert.equal("", problems)
    assert.equal(0, code)
    assert.same(names_in(scratch), names_in(PAGES))
    for _, name in ipairs(names_in(scratch)) do
      assert.equal(files.read(scratch .. "/" .. name), files.read(PAGES .. "/" .. name),
        name .. " is out of date: run make docs")
    end
  end)

  it("are one for each operation, and no other", function()
    assert.same(expected_names({ ".md" }, OTHER_PAGES), names_in(PAGES))
  end)

  it("are all in the index, with their requests", function()
    local index = files.read(PAGES .. "/README.md")
    for _, operation in ipairs(operations) do
      assert_shows(index, ("| [%s](%s.md) | `%s %s` | `%s` | %s |"):format(operation.name, operation.name,
        operation.method, operation.path, operation.effect, operation.doc))
    end
  end)
end)

-- --- what they hold -------------------------------------------------------------------------------------------------

-- Calls visit(path, field) for every field below.
local function each_field(list, prefix, visit)
  for _, field in ipairs(list) do
    local path = prefix .. field.name
    visit(path, field)
    each_field(field.fields or {}, path .. (field.type:find("^list") and "[]." or "."), visit)
  end
end

-- The row of a field in one of the tables of a page, or nil.
local function row_of(page, path)
  return page:match(("\n(| `%s` |[^\n]+)"):format((path:gsub("[%[%].]", "%%%0"))))
end

-- The part of a page between a heading and the next one that is not below it.
local function part_of(page, heading)
  local level = heading:match("^#+")
  local rest = page:match("\n" .. heading:gsub("%p", "%%%0") .. "\n(.*)$")
  assert(rest, "no heading " .. heading)
  for deeper = 1, #level do
    rest = rest:gsub("\n" .. ("#"):rep(deeper) .. " .*$", "")
  end
  return "\n" .. rest
end

local function assert_row(part, path, field)
  local row = row_of(part, path)
  assert.is_string(row, path .. " is not on the page")
  assert_shows(row, ("| %s |"):format(field.type))
  assert_shows(row, field.doc)
  assert_shows(row, field.source)
  for _, value in ipairs(field.values or {}) do
    assert_shows(row, "`" .. value .. "`")
  end
  for _, limit in ipairs { field.min_items or false, field.max_items or false, field.batch_items or false } do
    assert.is_truthy(not limit or row:find(("%%f[%%d]%d%%f[%%D]"):format(limit)), path .. ": a limit is missing")
  end
  local marks = { nullable = "null", personal = "*Personal.*", secret = "*Secret.*" }
  for key, mark in pairs(marks) do
    assert.is_true(not field[key] or row:find(mark, 1, true) ~= nil, path .. ": " .. mark)
  end
  for _, key in ipairs { "alias", "option", "shape" } do
    assert.is_true(not field[key] or row:find("`" .. field[key] .. "`", 1, true) ~= nil, path .. ": " .. key)
  end
  assert.is_true(not field.required or row:find("| yes |", 1, true) ~= nil or row:find("Always there.", 1, true) ~= nil,
    path .. " is required")
end

local function assert_rows(part, list, prefix)
  local count = 0
  each_field(list, prefix, function(path, field)
    count = count + 1
    assert_row(part, path, field)
  end)
  return count
end

-- The rules of all objects of a payload.
local function rules_of(operation)
  local rules = {}
  local function collect(list)
    for _, rule in ipairs(list or {}) do
      rules[#rules + 1] = rule
    end
  end
  if operation.body then
    collect(operation.body.rules)
    each_field(operation.body.fields, "", function(_, field) collect(field.rules) end)
  end
  return rules
end

-- Without the breaks of its lines.
local function one_line(text)
  return (text:gsub("%s+", " "))
end

describe("the page of", function()
  local link

  setup(function()
    link = paciolan.new {
      base_url = "http://127.0.0.1:9", application_id = "com.mycompany.myapp", api_key = "k", channel_code = "c",
      user_agent = "MyApplication/1.0.0", auth = {},
    }
  end)

  teardown(function()
    link:close()
  end)

  for _, operation in ipairs(operations) do
    it(operation.name .. " holds everything that the table holds", function()
      local page = page_of(operation)
      assert_shows(page, operation.doc)
      assert_shows(page, ("`%s %s`"):format(operation.method, operation.path))
      assert_shows(page, "`" .. operation.lua .. "`")
      assert_shows(page, operation.answers or "none that could be read")
      local request = part_of(page, "## Request")
      assert_rows(request, operation.path_fields, "")
      assert_rows(request, operation.query, "")
      assert_rows(request, operation.body and operation.body.fields or {}, "")
      local answer = part_of(page, "## Answer")
      assert.is_true(assert_rows(answer, operation.answer.fields, operation.answer.list and "[]." or "") > 0)
    end)

    it(operation.name .. " names every rule with its source", function()
      local rules = rules_of(operation)
      local part = #rules > 0 and part_of(page_of(operation), "### Rules") or ""
      for _, rule in ipairs(rules) do
        assert_shows(one_line(part), "`" .. rule.field .. "`")
        assert_shows(one_line(part), rule.source)
      end
      local _, lines = part:gsub("\n%- ", "")
      assert.equal(#rules, lines)
    end)

    it(operation.name .. " names the method for many tokens where there is one", function()
      local resource, method = operation.lua:match("^link%.([%w_]+):([%w_]+)")
      local many = ("`link.%s:%s_all(payload)`"):format(resource, method)
      local is_there = link[resource][method .. "_all"] ~= nil
      assert.equal(is_there, page_of(operation):find(many, 1, true) ~= nil)
    end)

    it(operation.name .. " names every documented error", function()
      local part = part_of(page_of(operation), "## Errors")
      for _, row in ipairs(operation.errors) do
        assert_shows(part, ("| `%s` | `%s` | %d |"):format(row.type, row.app_error_code, row.status))
        assert_shows(part, row.meaning)
        assert_shows(part, "`" .. row.action .. "`")
      end
      local _, count = part:gsub("\n| `[%u_]+` | `MS%-", "")
      assert.equal(#operation.errors, count)
    end)
  end

  it("the messages and that of the switches hold all of theirs", function()
    local messages, shapes = files.read(PAGES .. "/messages.md"), files.read(PAGES .. "/shapes.md")
    for name, entity in pairs(paciolan.message_fields()) do
      local prefix = name == "metadata" and "metadata." or ("data.%s[]."):format(name)
      assert.is_true(assert_rows(part_of(messages, "## `" .. name .. "`"), entity.fields, prefix) > 2)
    end
    for name, shape in pairs(paciolan.shapes()) do
      local part = part_of(shapes, "## `" .. name .. "`")
      assert_shows(one_line(part), shape.doc)
      local default, other = shape.choices[1], shape.choices[2]
      assert_shows(one_line(part), ("`%s` is the default, `%s` the other choice"):format(default, other))
      assert.is_truthy(part:find("\n%- %[[%l_.%d]+%]%([%l_.%d]+%.md%): `"), name .. " concerns no field")
    end
  end)
end)

-- --- what the check reports ------------------------------------------------------------------------------------------

-- No file of JSON can break these: it has no such numbers and no such text, and a number that is too large is rounded
-- when it is read.
local NOT_IN_JSON = { exact = true, finite = true, utf8 = true }

-- What the broken samples leave out, but the pages say.
local PERSON = { email = "a@b.example", recipientFirstName = "A", recipientLastName = "B" }
local MORE_BROKEN = {
  ["auth.token"] = { grantType = "" },
  ["transfers.accept"] = { transferId = "T", Recipient = PERSON, recipient = {} },
  ["transfers.complete"] = {
    transferRequests = {
      { Recipient = PERSON, recipient = {}, Items = { { externalOrderId = "O-1", tokens = { "T" } } } },
    },
  },
}

-- "/listing/tokens/0/token" and "listing.tokens[].token" both as "listing.tokens.token".
local function plain_place(path)
  return (path:gsub("/%d+", ""):gsub("^/", ""):gsub("/", "."):gsub("%[%]", ""))
end

-- The violations of all broken samples of an operation, as { rule = { place = true } }.
local function broken_places(operation)
  local found, directory = {}, "broken/" .. operation.name
  local function add(violations)
    for _, violation in ipairs(violations) do
      found[violation.rule] = found[violation.rule] or {}
      found[violation.rule][plain_place(violation.path)] = true
    end
  end
  for _, name in ipairs(names_in("spec/fixtures/" .. directory)) do
    add(files.fixture(directory .. "/" .. name:gsub("%.json$", "")).violations)
  end
  if MORE_BROKEN[operation.name] then
    add(select(2, paciolan.validate(operation.name, MORE_BROKEN[operation.name])).fields)
  end
  return found
end

-- The table of a page as { rule = text }.
local function shown_rules(operation)
  local shown = {}
  for rule, text in part_of(page_of(operation), "## Checked before sending"):gmatch("\n| `([%l_%d]+)` | ([^\n]*) |") do
    shown[rule] = text
  end
  return shown
end

describe("the rules that are checked before sending, on the page of", function()
  for _, operation in ipairs(operations) do
    it(operation.name .. ", are those that the broken samples break, at the places where they do", function()
      local shown, broken = shown_rules(operation), broken_places(operation)
      for rule, places in pairs(broken) do
        assert.is_string(shown[rule], rule)
        for place in pairs(places) do
          local names_places, text = shown[rule]:find(": `"), plain_place(shown[rule])
          assert.is_true(place == "" or not names_places or text:find("`" .. place .. "`", 1, true) ~= nil,
            ("%s at %s is not in: %s"):format(rule, place, text))
        end
      end
      for rule in pairs(shown) do
        assert.is_truthy(broken[rule] or NOT_IN_JSON[rule], "no broken sample breaks " .. rule)
      end
    end)
  end
end)

-- What the documents say of the headers (contract 1.1) and of the classes (errors.md), written down here once more.
describe("the rules of a page", function()
  local function repetition(operation_name, case)
    local page = files.read(("%s/%s.md"):format(PAGES, operation_name))
    return page:match("\n| " .. case:gsub("%p", "%%%0") .. " | (.-) |\n")
  end

  it("say which headers go out", function()
    for _, operation in ipairs(operations) do
      local part = one_line(part_of(page_of(operation), "### Headers"))
      local is_token_call = operation.name == "auth.token"
      assert.equal(is_token_call, not part:find("`Authorization`", 1, true), operation.name)
      assert.equal(is_token_call, not part:find("`PAC-API-Key`", 1, true), operation.name)
      assert_shows(part, "`PAC-Application-ID`")
    end
    assert_shows(files.read(PAGES .. "/transfers.cancel.md"), "`PAC-Organization-ID` is required")
    assert_shows(files.read(PAGES .. "/catalog.events.md"), "`PAC-Organization-ID` is required")
    assert_shows(files.read(PAGES .. "/transfers.history.md"), "`PAC-Organization-ID` is sent when")
    assert_shows(files.read(PAGES .. "/tickets.lock.md"), "`PAC-Organization-ID` is not sent")
  end)

  it("say when a call is sent again", function()
    local lost, refused = "it was sent and no whole answer came in time", "HTTP 429"
    assert.equal("`timeout` | nil | up to `retries` times | yes", repetition("tickets.verify", lost))
    assert.equal("`timeout` | `unknown` | up to `retries` times | yes", repetition("tickets.unlock", lost))
    assert.equal("`timeout` | `unknown` | no | no", repetition("orders.complete", lost))
    assert.equal("`rate_limit` | nil | once | yes", repetition("orders.status", refused))
    assert.equal("`rate_limit` | `rejected` | no | yes", repetition("orders.complete", refused))
    assert.equal("`auth` | `rejected` | once, with a renewed token | no", repetition("tickets.lock", "HTTP 401"))
    assert.equal("`auth` | `rejected` | no | no", repetition("auth.token", "HTTP 401"))
    assert.equal("500 | `unknown` | up to 3 times | no | `inform_provider` | backend error",
      repetition("transfers.initiate", "`UNHANDLED_EXCEPTION` | `MS-500`"))
  end)
end)

-- --- the programs ---------------------------------------------------------------------------------------------------

-- What the requests of an operation look like, as "METHOD URL" without a query.
local function pattern_of(operation)
  local path = operation.path:gsub("[%-.]", "%%%0"):gsub("{%w+}", "[^/]+")
  return "^" .. operation.method .. " http://[^/]+" .. path .. "$"
end

-- A transport that cannot connect for the first requests of an operation.
local function refusing(operation, count)
  local real, pattern = curl.new(), pattern_of(operation)
  local transport = setmetatable({ refused = 0 }, { __index = function(_, name)
    return real[name] and function(_, ...)
      return real[name](real, ...)
    end
  end })
  function transport:send(request)
    local target = request.method .. " " .. request.url:gsub("%?.*$", "")
    if self.refused < count and target:find(pattern) then
      self.refused = self.refused + 1
      return nil, { kind = "network", phase = "not_sent", message = "no connection", elapsed_ms = 0 }
    end
    return real:send(request)
  end
  return transport
end

-- Runs a program whose clients have that transport.
local function try_with(transport, source, path, box)
  local from_env = paciolan.from_env
  paciolan.from_env = function() return from_env { transport = transport } end
  local printed, ok, raised = snippet.try(source, path, box)
  paciolan.from_env = from_env
  transport:close()
  return printed, ok, raised
end

describe("the example of", function()
  local box
  local backoff_ms = core.backoff_ms

  setup(function()
    core.backoff_ms = function() return 0 end
    box = sandbox.start()
  end)

  teardown(function()
    core.backoff_ms = backoff_ms
    box:stop()
  end)

  before_each(function()
    box:control("POST", "/_sandbox/reset")
  end)

  for _, operation in ipairs(operations) do
    it(operation.name .. " runs, and prints what its page says", function()
      local path = ("%s/%s.lua"):format(EXAMPLES, operation.name)
      local source, page = files.read(path), page_of(operation)
      local printed = table.concat(snippet.run(source, path, box), "\n") .. "\n"
      assert_shows(source, operation.lua:match("^link[%w_.:]+"))
      assert.equal(files.read(("%s/%s.out"):format(EXAMPLES, operation.name)), printed)
      assert_shows(page, "\n```lua\n" .. source .. "```\n")
      assert_shows(page, "\n```text\n" .. printed .. "```\n")
    end)
  end

  -- What befalls the first calls of the operation, and how many: a read that is not answered is sent three times.
  local FAILURES = {
    { "reset=before", 6 }, { "close=after", 1 }, { "html=403", 2 }, { "status=400", 2 }, { "empty=200", 2 },
    { "unhandled", 1 }, { "rate_limit=0", 2 }, { "pending=1", 1 }, { "error", 1 }, { "partial", 2 },
  }

  local function assert_is_told(printed, ok, raised, fault)
    assert.is_true(ok or errors.is(raised), fault .. ": " .. tostring(raised))
    assert.is_nil((table.concat(printed, "\n") .. tostring(raised)):find("attempt to", 1, true), fault)
  end

  -- Every fault that the operation can meet, one run for each.
  local function each_failure(name, visit)
    for _, failure in ipairs(FAILURES) do
      if faults.fits(faults.parse(failure[1]), name) then
        visit(failure[1], failure[2])
      end
    end
  end

  for _, operation in ipairs(operations) do
    it(operation.name .. " ends well, or with an error of the library, when its operation fails", function()
      local path = ("%s/%s.lua"):format(EXAMPLES, operation.name)
      local source = files.read(path)
      each_failure(operation.name, function(fault, count)
        box:control("POST", "/_sandbox/reset")
        box:control("POST", "/_sandbox/faults", { fault = fault, count = count, operation = operation.name })
        local printed, ok, raised = snippet.try(source, path, box)
        assert_is_told(printed, ok, raised, fault)
        local applied = box:control("GET", "/_sandbox/faults").applied[fault] or 0
        assert.is_true(applied > 0, fault .. " did not come to it")
      end)
    end)
  end

  for _, operation in ipairs(operations) do
    it(operation.name .. " ends well, or with an error of the library, when there is no connection for it", function()
      local path = ("%s/%s.lua"):format(EXAMPLES, operation.name)
      local transport = refusing(operation, 6)
      local printed, ok, raised = try_with(transport, files.read(path), path, box)
      assert.is_true(transport.refused > 0)
      assert_is_told(printed, ok, raised, "no connection")
    end)
  end

  it("transfers.initiate polls what is PENDING", function()
    box:control("POST", "/_sandbox/faults", { fault = "pending=1", operation = "transfers.initiate" })
    local path = EXAMPLES .. "/transfers.initiate.lua"
    local printed = snippet.run(files.read(path), path, box)
    assert.matches("^PENDING, process %S+$", printed[1])
    assert.equal("COMPLETE, pending", printed[#printed - 1])
  end)

  it("each operation is there, and no other", function()
    assert.same(expected_names({ ".lua", ".out" }, {}), names_in(EXAMPLES))
  end)
end)
