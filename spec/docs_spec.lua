--- The documents against the code: marked Lua blocks run and print what they say, links lead somewhere, and every name
-- that the code has stands in the table where a reader will look for it.
local files = require("support.files")
local paciolan = require("paciolan")
local program = require("support.program")
local sandbox = require("paciolan.sandbox.child")
local snippet = require("support.snippet")

local read = files.read

local function exists(path)
  local file = io.open(path, "rb")
  if file then
    file:close()
  end
  return file ~= nil
end

local function lines_of(text)
  local list = {}
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    list[#list + 1] = line
  end
  return list
end

local function list_files(command)
  local list = {}
  local pipe = assert(io.popen(command .. " | LC_ALL=C sort"))
  for path in pipe:lines() do
    list[#list + 1] = path
  end
  pipe:close()
  return list
end

local documents = list_files("ls README.md docs/*.md")
local markdown = list_files("find . -name '*.md' -not -path './build*' -not -path './.git/*'"
  .. " -not -path '*/node_modules/*' | sed 's,^\\./,,'")

local function set_of(list)
  local set = {}
  for _, element in ipairs(list) do
    set[element] = true
  end
  return set
end

local function sorted_keys(set)
  local list = {}
  for key in pairs(set) do
    list[#list + 1] = key
  end
  table.sort(list)
  return list
end

-- Fenced blocks as { info =, first = line number of the first line inside, lines = {…} }.
local function blocks_of(path)
  local blocks, open = {}, nil
  for number, line in ipairs(lines_of(read(path))) do
    local info = line:match("^%s*```(.*)$")
    if info and open then
      blocks[#blocks + 1] = open
      open = nil
    elseif info then
      open = { info = info, first = number + 1, lines = {} }
    elseif open then
      open.lines[#open.lines + 1] = line
    end
  end
  assert(not open, path .. ": a block is not closed")
  return blocks
end

-- The document without its fenced blocks.
local function prose_of(path)
  local kept, inside = {}, false
  for _, line in ipairs(lines_of(read(path))) do
    if line:find("^%s*```") then
      inside = not inside
    elseif not inside then
      kept[#kept + 1] = line
    end
  end
  return table.concat(kept, "\n")
end

-- Prose and Lua, without output and other languages.
local function lua_and_prose_of(path)
  local parts = { prose_of(path) }
  for _, block in ipairs(blocks_of(path)) do
    if block.info:find("^lua") then
      parts[#parts + 1] = table.concat(block.lines, "\n")
    end
  end
  return table.concat(parts, "\n")
end

-- The text between a heading and the next one of any level.
local function section_of(path, heading)
  local kept, inside = {}, false
  for _, line in ipairs(lines_of(read(path))) do
    if line:find("^#+ ") then
      inside = line:match("^#+ (.*)$") == heading
    elseif inside then
      kept[#kept + 1] = line
    end
  end
  assert(#kept > 0, path .. ": no section " .. heading)
  return table.concat(kept, "\n")
end

-- The code words of the first column of all tables in a text.
local function first_column(text)
  local words = {}
  for _, line in ipairs(lines_of(text)) do
    local cell = line:match("^%s*|([^|]*)|")
    for word in (cell or ""):gmatch("`([^`]+)`") do
      words[word] = true
    end
  end
  return words
end

-- --- programs -------------------------------------------------------------------------------------------------------

-- All marked blocks of a document as one program with the line numbers of the document, and what it is to print.
local function program_of(path)
  local source, expected = {}, {}
  for _, block in ipairs(blocks_of(path)) do
    if block.info == "lua run" then
      for i, line in ipairs(block.lines) do
        source[block.first + i - 1] = line
        expected[#expected + 1] = line:match("%-%-> (.*)$")
      end
      source.last = block.first + #block.lines
    end
  end
  if not source.last then
    return nil
  end
  for number = 1, source.last do
    source[number] = source[number] or ""
  end
  return table.concat(source, "\n"), expected
end

describe("the Lua blocks", function()
  local box

  setup(function()
    box = sandbox.start()
  end)

  teardown(function()
    box:stop()
  end)

  before_each(function()
    box:control("POST", "/_sandbox/reset")
  end)

  local count = 0
  for _, path in ipairs(documents) do
    local source, expected = program_of(path)
    if source then
      count = count + 1
      it("that are marked run and print what they say: " .. path, function()
        assert.same(expected, snippet.run(source, path, box))
      end)
    end
  end

  it("are marked in the documents that a newcomer reads", function()
    assert.is_true(count >= 2)
    assert.is_string(program_of("README.md"))
    assert.is_string(program_of("docs/guide.md"))
  end)

  it("are Lua, marked or not", function()
    for _, path in ipairs(documents) do
      for _, block in ipairs(blocks_of(path)) do
        if block.info:find("^lua") then
          assert(load(table.concat(block.lines, "\n"), ("@%s:%d"):format(path, block.first)))
        end
      end
    end
  end)
end)

-- --- the demo -------------------------------------------------------------------------------------------------------

describe("the lines of the demo in the README", function()
  it("are what it prints", function()
    local code, output, problems = program.run("env " .. program.environment() .. " "
      .. program.words { program.lua, "examples/first_sale.lua" })
    assert.equal(0, code, problems)
    local shown = section_of("README.md", "Two commands"):match("\n```text\n(.-)```")
    local missing = {}
    for _, line in ipairs(lines_of(shown)) do
      missing[#missing + 1] = not output:find(line, 1, true) and line or nil
    end
    assert.same({}, missing)
  end)
end)

-- --- links ----------------------------------------------------------------------------------------------------------

-- The anchors that a page has, as the common renderers make them from its headings.
local function anchors_of(path)
  local anchors = {}
  for heading in ("\n" .. prose_of(path)):gmatch("\n#+ ([^\n]+)") do
    anchors[heading:lower():gsub("[^%w%- _]", ""):gsub(" ", "-")] = true
  end
  return anchors
end

local function check_link(from, target)
  local path, anchor = target:match("^([^#]*)#?(.*)$")
  local file = path == "" and from or (from:match("^(.*/)") or "") .. path
  if not exists(file) then
    return from .. " -> " .. target
  elseif anchor ~= "" and not anchors_of(file)[anchor] then
    return from .. " -> " .. target .. " (no such heading)"
  end
end

describe("the relative links", function()
  it("of all Markdown files lead to files and headings that exist", function()
    local checked, broken = 0, {}
    for _, path in ipairs(markdown) do
      for target in prose_of(path):gmatch("%]%(([^)%s]+)%)") do
        if not target:find("^%a[%w+.-]*:") then
          checked = checked + 1
          broken[#broken + 1] = check_link(path, target)
        end
      end
    end
    assert.is_true(checked > 10)
    assert.same({}, broken)
  end)
end)

-- --- references to the contract -------------------------------------------------------------------------------------

-- Comments name docs/contract.md as "contract 2.4", "sections 1.1 and 2" or, for its list, "row 34" and "rows 35, 46".
-- Sections of an RFC are not meant, and a comment may break its lines anywhere.
local CONTRACT_PLACES = { { "contract", "section" }, { "sections?", "section" }, { "rows?", "row" } }
local SEPARATORS = { "^,%s+", "^%s+and%s+", "^%s+to%s+" }

local function separator_end(text, at)
  for _, separator in ipairs(SEPARATORS) do
    local _, stop = text:find(separator, at)
    if stop then
      return stop
    end
  end
end

-- The numbers of a list such as "1, 2 and 3" that begins at a place.
local function numbers_at(text, at)
  local numbers = {}
  while at do
    local number, stop = text:match("^(%d[%d.]*)()", at)
    if not number then
      break
    end
    numbers[#numbers + 1] = number:gsub("%.$", "")
    local last = separator_end(text, stop)
    at = last and last + 1
  end
  return numbers
end

-- "section 2.4" and "row 34" for each of these references in a source text.
local function references_in(text)
  local found = {}
  text = text:gsub("\n%s*[*-]*%s*", " ")
  for _, place in ipairs(CONTRACT_PLACES) do
    for start, list in text:gmatch("()%f[%a]" .. place[1] .. "%s+()%f[%d]") do
      local is_rfc = text:sub(1, start - 1):sub(-12):find("RFC %d+,?%s*$")
      for _, number in ipairs(is_rfc and {} or numbers_at(text, list)) do
        found[#found + 1] = place[2] .. " " .. number
      end
    end
  end
  return found
end

local function contract_places()
  local places, text = {}, "\n" .. read("docs/contract.md")
  for number in text:gmatch("\n#+ (%d[%d.]*) ") do
    places["section " .. number:gsub("%.$", "")] = true
  end
  for number in text:gmatch("\n| (%d+) |") do
    places["row " .. number] = true
  end
  return places
end

describe("the references to the contract", function()
  it("lead to a section or a row of docs/contract.md", function()
    local places, count, wrong = contract_places(), 0, {}
    for _, path in ipairs(list_files("find src lua spec bench -name '*.[ch]' -o -name '*.lua'")) do
      for _, reference in ipairs(references_in(read(path))) do
        count = count + 1
        wrong[#wrong + 1] = not places[reference] and path .. ": " .. reference or nil
      end
    end
    assert.same({}, wrong)
    assert.is_true(count > 100)
  end)

  it("are found as people write them", function()
    assert.same({ "section 2.9", "section 2.13", "section 7", "section 1.1", "section 2", "row 39", "row 40", "row 3" },
      references_in("contract 2.9 to 2.13, contract 7 rows 39\n** and 40; sections 1.1 and 2. In row 3"))
    assert.same({}, references_in("contract. 3 rows, subsection 2, RFC 6749 section 5.2, RFC 9110\n-- section 5.1"))
  end)
end)

-- --- names ----------------------------------------------------------------------------------------------------------

local SETTINGS = {
  base_url = "http://127.0.0.1:9", application_id = "com.mycompany.myapp", api_key = "k", channel_code = "c",
  user_agent = "MyApplication/1.0.0", auth = {},
}

-- The names that the code lists when it meets an unknown one.
local function names_in(message)
  local names = {}
  for name in message:match("known are (.*)$"):gmatch("[%w_]+") do
    names[name] = true
  end
  return names
end

local function with(settings, name, value)
  local copy = {}
  for key, given in pairs(settings) do
    copy[key] = given
  end
  copy[name] = value
  return copy
end

describe("the names in the documents", function()
  local link

  before_each(function()
    link = paciolan.new(SETTINGS)
  end)

  after_each(function()
    link:close()
  end)

  it("are methods that the client has", function()
    for _, path in ipairs(documents) do
      local text = lua_and_prose_of(path):gsub("link%.x:y%(", "") -- stands for any method
      for resource, method in text:gmatch("link%.(%l[%w_]*):(%l[%w_]*)") do
        assert.is_table(link[resource], path .. ": link." .. resource)
        assert.is_function(link[resource][method], ("%s: link.%s:%s"):format(path, resource, method))
      end
    end
  end)

  it("are all operations, in the README's table", function()
    local methods = section_of("README.md", "Methods")
    for _, operation in ipairs(paciolan.operations()) do
      assert.truthy(methods:find("`" .. operation.name .. "`", 1, true), operation.name)
      local resource, method = operation.lua:match("^link%.([%w_]+):([%w_]+)")
      assert.truthy(methods:find(("`link.%s:%s"):format(resource, method), 1, true), operation.lua)
    end
  end)

  it("are all options of a client", function()
    local ok, message = pcall(paciolan.new, with(SETTINGS, "no_such_option", true))
    assert.is_false(ok)
    local section = section_of("docs/guide.md", "Options of a client")
    local options, shapes = section:match("^(.-)\n| Shape |(.*)$")
    assert.same(sorted_keys(names_in(message)), sorted_keys(first_column(options)))
    assert.same(sorted_keys(paciolan.shapes()), sorted_keys(first_column(shapes)))
    for name, shape in pairs(paciolan.shapes()) do
      local row = ("| `%s` | `%s` | `%s` |"):format(name, shape.choices[1], shape.choices[2])
      assert.truthy(shapes:find(row, 1, true), row)
    end
  end)

  it("stand beside the defaults that the client has", function()
    local section = section_of("docs/guide.md", "Options of a client")
    local settings = read("lua/paciolan/client.lua"):match("\nlocal settings = (%b{})")
    local count = 0
    for name, value in settings:gmatch("\n  ([%l_]+) = { [%l_]+, default = ([%w{}]+) }") do
      count = count + 1
      local plain, code = ("| `%s` | %s |"):format(name, value), ("| `%s` | `%s` |"):format(name, value)
      assert.is_true(section:find(plain, 1, true) ~= nil or section:find(code, 1, true) ~= nil, plain)
    end
    for name in settings:gmatch("\n  ([%l_]+) = { [%l_]+, required = true }") do
      assert.truthy(section:find(("| `%s` | required |"):format(name), 1, true), name)
    end
    assert.is_true(count >= 5)
  end)

  it("are all options of a call", function()
    local ok, message = pcall(link.tickets.unlock, link.tickets, {}, { no_such_option = true })
    assert.is_false(ok)
    local section = section_of("docs/guide.md", "Options of a call")
    assert.same(sorted_keys(names_in(message)), sorted_keys(first_column(section)))
  end)

  it("are all variables of the environment", function()
    local wanted = {}
    for name in read("lua/paciolan/init.lua"):gmatch("PACIOLAN_[%u_]+") do
      wanted[name] = true
    end
    assert.same(sorted_keys(wanted), sorted_keys(first_column(section_of("docs/guide.md", "Make a client"))))
  end)

  it("are all kinds of errors", function()
    local kinds = {}
    local function add(path, pattern)
      local before = #sorted_keys(kinds)
      for kind in read(path):gmatch(pattern) do
        kinds[kind] = true
      end
      return #sorted_keys(kinds) - before
    end
    for _, path in ipairs(list_files("find lua -name '*.lua' -not -path '*/sandbox/*'")) do
      add(path, "kind = \"(%l[%l_]*)\"")
    end
    assert.is_true(add("src/pac_outcome.c", "%[PAC_KIND_%u[%u_]*%]%s*=%s*\"(%l[%l_]*)\"") > 0)
    local head = read("lua/paciolan/errors.lua"):match("%* `kind`:(.-)\n%-%- %* ")
    for kind in head:gmatch("`(%l[%l_]*)`") do
      kinds[kind] = true
    end
    assert.same(sorted_keys(kinds), sorted_keys(first_column(section_of("docs/errors.md", "Kinds"))))
  end)

  it("are all rows of the documented error tables", function()
    local section = section_of("docs/errors.md", "Documented error types")
    for _, operation in ipairs(paciolan.operations()) do
      for _, row in ipairs(operation.errors) do
        local start = ("| `%s` | `%s` | `%s` | %d |"):format(operation.name, row.type, row.app_error_code, row.status)
        assert.truthy(section:find(start, 1, true), start)
      end
    end
  end)

  it("are all operations with their classes, in the rules of repetition", function()
    local section = section_of("docs/errors.md", "Repetition")
    local classes = {}
    for _, line in ipairs(lines_of(section)) do
      local class, cell = line:match("^| `(%l+)` |([^|]*)|")
      for name in (cell or ""):gmatch("`([%l_]+%.[%w_]+)`") do
        classes[name] = class
      end
    end
    local wanted = {}
    for _, operation in ipairs(paciolan.operations()) do
      wanted[operation.name] = operation.effect
    end
    assert.same(wanted, classes)
  end)

  it("are all operations with method, path, class and statuses, in the contract", function()
    local section = section_of("docs/contract.md", "2. Operations")
    for _, operation in ipairs(paciolan.operations()) do
      local start = ("| `%s` | %s `%s` | %s | %s |"):format(operation.name, operation.method, operation.path,
        operation.effect, operation.answers or "not known")
      assert.truthy(section:find(start, 1, true), start)
    end
  end)

  it("are the 63 discrepancies, each once and in order", function()
    local numbers = {}
    for number in section_of("docs/contract.md", "7. Discrepancies"):gmatch("\n| (%d+) |") do
      numbers[#numbers + 1] = tonumber(number)
    end
    assert.equal(63, #numbers)
    for i, number in ipairs(numbers) do
      assert.equal(i, number)
    end
  end)

  it("are shapes that exist, in the contract", function()
    for name in read("docs/contract.md"):gmatch("`shapes%.([%w_]+)") do
      assert.is_table(paciolan.shapes()[name], name)
    end
  end)

  it("are files that exist", function()
    local missing = {}
    for _, path in ipairs(documents) do
      for word in prose_of(path):gmatch("`([^`\n]+)`") do
        local is_file = word:find("^%l+/[%w_%-./]+%.%l+$") and not word:find("^build/")
        missing[#missing + 1] = is_file and not exists(word) and not exists("lua/paciolan/" .. word)
          and path .. ": " .. word or nil
      end
    end
    assert.same({}, missing)
  end)

  it("are all options of a receiver, with their defaults", function()
    local ok, message = pcall(paciolan.receiver, { no_such_option = true })
    assert.is_false(ok)
    local section = section_of("docs/messages.md", "Options of a receiver")
    assert.same(sorted_keys(names_in(message)), sorted_keys(first_column(section)))
    local known = read("lua/paciolan/receiver/settings.lua"):match("\nlocal known = (%b{})")
    local count = 0
    for name, value in known:gmatch("\n  ([%l_]+) = { [%w_()]+, default = ([^{}]-) }") do
      count = count + 1
      local product = 1
      for factor in value:gmatch("%d+") do
        product = product * tonumber(factor)
      end
      local shown = value:find("^%d") and ("%d"):format(product) or value:match("^\"(.*)\"$") or value
      local row = section:match("\n(| `" .. name .. "` |[^\n]*)") or ""
      assert.truthy(row:find("^| `[%l_]+` | `?" .. shown:gsub("%p", "%%%0") .. "`? |"), name)
    end
    assert.is_true(count >= 6)
  end)

  it("are all reasons for which a request of a receiver ends", function()
    local reasons = {}
    local function add(paths, patterns)
      for _, path in ipairs(list_files("ls " .. paths)) do
        for _, pattern in ipairs(patterns) do
          for reason in read(path):gmatch(pattern) do
            reasons[reason] = true
          end
        end
      end
    end
    add("lua/paciolan/receiver.lua lua/paciolan/receiver/*.lua", { "%f[%d][2-5]%d%d, \"([%l_]+)\"",
      "false, \"(handler_[%l_]+)\"", "done and 204 or 503, reason or \"([%l_]+)\"" })
    add("src/pac_json.c src/pac_json_string.c src/pac_envelope.c src/pac_sns.c src/pac_certificate.c src/lpac_sns.c", {
      "refuse%(%w+, \"([%l_%d]+)\"", "fail%(s, \"([%l_%d]+)\"", "return \"([%l_%d]+)\"", "[?:] \"([%l_%d]+)\"",
      "reason = \"([%l_%d]+)\"" })
    reasons.bad_certificate, reasons.weak_key = nil, nil -- these are certificate_unavailable to a receiver
    assert.same(sorted_keys(reasons), sorted_keys(first_column(section_of("docs/messages.md", "Reasons"))))
  end)

  it("are all options of the workflows, with their defaults", function()
    local ok, message = pcall(link.workflows, link, { no_such_option = true })
    assert.is_false(ok)
    local section = section_of("docs/workflows.md", "Options of the workflows")
    assert.same(sorted_keys(names_in(message)), sorted_keys(first_column(section)))
    local known = read("lua/paciolan/workflow/flows.lua"):match("\nlocal SETTINGS = (%b{})")
    local count = 0
    for name, value in known:gmatch("([%l_]+) = { [%w_()]+, default = ([%d%s*]+) }") do
      count = count + 1
      local product = 1
      for factor in value:gmatch("%d+") do
        product = product * tonumber(factor)
      end
      assert.truthy(section:find(("| `%s` | %d |"):format(name, product), 1, true), name)
    end
    assert.equal(3, count)
  end)

  it("are what the workflows take", function()
    local flows = link:workflows { store = paciolan.store.memory() }
    local sections = { sell = "Sell", delist = "Delist", buy = "Buy", transfer = "Transfer",
      cancel_transfer = "Cancel a transfer", settle = "Settle" }
    for method, heading in pairs(sections) do
      local first = method == "settle" and "O-1" or { no_such_option = true }
      local ok, message = pcall(flows[method], flows, first, { no_such_option = true })
      assert.is_false(ok)
      local known, shown = names_in(message), first_column(section_of("docs/workflows.md", heading))
      known.again, shown.again = nil, nil -- which every method that makes a run takes
      for name in pairs(known) do
        assert.is_true(shown[name] == true, ("%s: %s"):format(heading, name))
      end
    end
  end)

  it("are all words of evidence", function()
    local section, noted = first_column(section_of("docs/workflows.md", "The unknown purchase")), {}
    local code = ""
    for _, path in ipairs(list_files("ls lua/paciolan/workflow/*.lua")) do
      code = code .. read(path)
    end
    for word in code:gmatch("run:note%(\"([%l_]+)\"") do
      noted[#noted + 1] = not section[word] and word or nil
    end
    assert.same({}, noted)
    section.what = nil
    for word in pairs(section) do
      assert.truthy(code:find('"' .. word .. '"', 1, true), word)
    end
  end)

  it("are all options and functions of resty.paciolan", function()
    local wanted = {}
    local known = read("lua/resty/paciolan/setup.lua"):match("\nlocal known = (%b{})")
    for name in known:gmatch("\n  ([%l_]+) = {") do
      wanted[name] = true
    end
    for name, arguments in read("lua/resty/paciolan.lua"):gmatch("\nfunction paciolan%.(%l+)(%b())") do
      wanted[name .. arguments] = true
    end
    wanted["setup(options)"] = nil -- the section is about it
    assert.same(sorted_keys(wanted), sorted_keys(first_column(section_of("docs/nginx.md", "Setup"))))
    known = read("lua/resty/paciolan/authorizing.lua"):match("\nlocal known = (%b{})")
    for name in section_of("docs/nginx.md", "Authorise"):gmatch("\n| `(%l[%l_]*)` |") do
      assert.truthy(known:find("%f[%l_]" .. name .. " = "), name)
    end
  end)

  it("are all metrics and the values of their labels", function()
    local code, section = read("lua/resty/paciolan/metrics.lua"), section_of("docs/nginx.md", "Metrics")
    local wanted = {}
    for name in code:gmatch("\"(paciolan_[%l_]+)\"") do
      wanted[name] = true
    end
    assert.same(sorted_keys(wanted), sorted_keys(first_column(section)))
    local count = 0
    for list in code:gmatch("{ (\"[%l_\", ]+\") }") do
      for value in list:gmatch("\"([%l_]+)\"") do
        count = count + 1
        assert.truthy(section:find("`" .. value .. "`", 1, true), value)
      end
    end
    assert.is_true(count >= 18)
    for name in section_of("docs/nginx.md", "Alerts"):gmatch("paciolan_[%l_]+") do
      assert.is_true(wanted[name] == true, name)
    end
  end)

  it("are texts that the library has, where nginx.md says what to do about them", function()
    local code, missing = "", {}
    for _, path in ipairs(list_files("find lua -name '*.lua'")) do
      code = code .. read(path)
    end
    code = code:gsub("\"%s*%.%.%s*\"", "")
    for text in pairs(first_column(section_of("docs/nginx.md", "Troubleshooting"))) do
      missing[#missing + 1] = not code:find(text, 1, true) and text or nil
    end
    assert.same({}, missing)
  end)

  it("are the examples that exist", function()
    local found = set_of(list_files("cd examples && ls *.lua"))
    assert.same(sorted_keys(found), sorted_keys(first_column(read("examples/README.md"))))
  end)
end)
