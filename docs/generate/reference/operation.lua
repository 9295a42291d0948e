--- The page of one operation.
local checks = require "reference.checks"
local conduct = require "reference.conduct"
local core = require "paciolan.core"
local fields = require "reference.fields"
local markdown = require "reference.markdown"
local notes = require "reference.notes"
local rules = require "reference.rules"

local operation_page = {}

local code, join, section = markdown.code, markdown.join, markdown.section

local function note_of(operation)
  return notes[operation.name] or error("reference/notes.lua says nothing about " .. operation.name)
end

-- The anchor that the common renderers make of a heading.
local function anchor(heading)
  return heading:lower():gsub("[^%w%- _]", ""):gsub(" ", "-")
end

local function guide_link(heading)
  return ("[%s](../guide.md#%s)"):format(heading, (anchor(heading)))
end

-- --- at a glance ----------------------------------------------------------------------------------------------------

-- Is there a bulk method of the operation?
local function has_bulk(operation)
  local found = false
  fields.walk(operation.body or { fields = {} }, "", function(_, field)
    found = found or field.batch_items ~= nil
  end)
  return found
end

local function glance(operation)
  local contract = note_of(operation).contract
  local rows = {
    { "Request", ("`%s %s`"):format(operation.method, operation.path) },
    { "Call", code(operation.lua) },
    { "Class", ("[`%s`](#repetition)"):format(operation.effect) },
    { "Documented statuses", operation.answers or "none that could be read" },
    { "Source", ("%s; [contract %s](../contract.md#%s)"):format(operation.source, contract[1], contract[2]) },
  }
  if has_bulk(operation) then
    table.insert(rows, 3, { "Call for many tokens", code((operation.lua:gsub("%(", "_all("))) })
  end
  return markdown.table({ "", "" }, rows)
end

local function example(operation, read)
  local name = "examples/" .. operation.name
  return section(2, "Example", {
    markdown.block("lua", read(name .. ".lua")),
    "Against a fresh [sandbox](README.md#run-the-examples) it prints:",
    markdown.block("text", read(name .. ".out")),
  })
end

-- --- what goes out --------------------------------------------------------------------------------------------------

local IDENTITY = {
  user_agent = "MyApplication/1.0.0", application_id = "com.mycompany.myapp", api_key = "k", channel_code = "c",
  authorization = "Bearer t", request_id = "0b0e6a8c-3c5b-4d2e-9f6a-1c2d3e4f5a6b", organization_id = "999",
}

local ORGANIZATIONS = {
  never = "`PAC-Organization-ID` is not sent.",
  offered = "`PAC-Organization-ID` is sent when the client or the call has an `organization_id`.",
  required = "`PAC-Organization-ID` is required: without an `organization_id`, of the client or of the call, nothing "
    .. "is sent.",
}

-- The names come from the code that builds the headers.
local function headers(operation)
  local names = {}
  for _, header in ipairs(assert(core.headers(operation.name, IDENTITY))) do
    if header[1] ~= "PAC-Organization-ID" then
      names[#names + 1] = header[1]
    end
  end
  if not operation.anonymous then
    names[#names + 1] = "Accept-Encoding"
  end
  return section(3, "Headers", { markdown.phrase(names, "and") .. ". " .. ORGANIZATIONS[operation.organization] })
end

local function options(operation)
  local list = {}
  if operation.organization ~= "never" then
    list[#list + 1] = "`organization_id`: instead of the client's."
  end
  for _, field in ipairs(operation.query) do
    if field.option then
      list[#list + 1] = ("`%s`: becomes `%s` in the query."):format(field.option, field.name)
    end
  end
  if note_of(operation).version then
    list[#list + 1] = "`version`: `\"v2\"`, which is the default, sends [transfers.initiate](transfers.initiate.md); "
      .. "`\"v1\"` sends [transfers.initiate_v1](transfers.initiate_v1.md)."
  end
  if operation.source:find("row 34", 1, true) then
    list[#list + 1] = ("The method %s is an inference. The client's option `operations` can name another one."):format(
      operation.method)
  end
  return section(3, "Options", { markdown.list(list),
    operation.anonymous and "" or "Every call takes the [options of a call](../guide.md#options-of-a-call)." })
end

local REQUIRED = "“Required” is meant within the object that the field stands in; “by rule” leads to the rules below."

-- The path's value may be given by itself.
local function path_values(operation)
  if #operation.path_fields == 0 then
    return ""
  end
  return section(3, "Path", { fields.sent({ fields = operation.path_fields }),
    "The value itself is the payload; a table with the name as its key is taken as well." })
end

local function query(operation)
  if #operation.query == 0 then
    return ""
  end
  return section(3, "Query", { fields.sent({ fields = operation.query }),
    operation.payload == "query" and "The payload is a table of these; it may be left out." or "" })
end

local function payload(operation, shapes)
  if not operation.body then
    return ""
  end
  local list = rules.of(operation.body, shapes)
  return join {
    section(3, "Payload", { operation.anonymous
      and "The library writes it from the option `auth` and the stored refresh token; no caller does." or "",
      fields.sent(operation.body), REQUIRED }),
    #list > 0 and section(3, "Rules", { markdown.list(list) }) or "",
  }
end

-- Each switch that some field or rule of the payload depends on, once.
local function switches(operation, shapes)
  local names, seen = {}, {}
  local function add(name)
    if name and not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  local function add_rules(list)
    for _, rule in ipairs(list or {}) do
      add(rule.shape)
    end
  end
  if operation.body then
    add_rules(operation.body.rules)
    fields.walk(operation.body, "", function(_, field)
      add(fields.switch_of(field))
      add_rules(field.rules)
    end)
  end
  local rows = {}
  for i, name in ipairs(names) do
    local shape = shapes[name]
    rows[i] = { ("[`%s`](shapes.md#%s)"):format(name, name), code(shape.choices[1]), code(shape.choices[2]), shape.doc }
  end
  local head = { "Switch", "Default", "Other choice", "Decides about" }
  return #rows > 0 and section(3, "Switches", { markdown.table(head, rows) }) or ""
end

-- --- what comes back ------------------------------------------------------------------------------------------------

local function has_labels(object)
  local found = false
  fields.walk(object, "", function(_, field)
    found = found or field.type == "string or integer"
  end)
  return found
end

local function answer(operation, by_name)
  local list = operation.answer.list
  local ask = note_of(operation).ask
  return section(2, "Answer", {
    list and "A list of objects." or "",
    fields.received(operation.answer, list and "[]." or ""),
    has_labels(operation.answer) and "What may be a string or an integer reaches you as a string." or "",
    "No field is certain to be there, and fields that the documents do not name are kept. " .. (operation.anonymous
      and "An error of this call has no `err.body`, because the answer may hold tokens."
      or "After `nil, err` they are in `err.body`."),
    operation.state and section(3, "State", { conduct.states(operation, by_name[ask]) }) or "",
  })
end

local function errors(operation)
  local documented = conduct.documented_errors(operation)
  return section(2, "Errors", {
    documented ~= "" and documented or "No source that could be read shows a table of errors for this operation.",
    "Whatever the type, this is how a call ends:",
    conduct.cases(operation),
    "“Sent again” is what the library does by itself; `retryable` says, when the error is there, whether the same call "
      .. "may be made again. [Errors](../errors.md) explains kinds and outcomes.",
  })
end

local function repetition(operation)
  return section(2, "Repetition", {
    conduct.rule(operation),
    "`retries = 0` means that nothing is ever sent twice. Pauses, `Retry-After`, the deadline and the budget are "
      .. "described in [Errors](../errors.md#repetition).",
  })
end

local function violations(operation, shapes)
  return section(2, "Checked before sending", {
    ("All problems are reported at once, as `err.fields` of an error of kind `validation`; nothing is sent. "
      .. "`paciolan.validate(%q, payload)` does only that."):format(operation.name),
    checks.of(operation, shapes),
  })
end

local function read_on(operation, read)
  local items = {}
  for i, heading in ipairs(note_of(operation).guide) do
    items[i] = "Guide: " .. guide_link(heading)
  end
  local method = operation.lua:match("^link[%w_.:]+")
  if read("../../examples/first_sale.lua"):find(method, 1, true) then
    items[#items + 1] = "Example: [first_sale.lua](../../examples/first_sale.lua)"
  end
  items[#items + 1] = "[What the marks in “Source” mean](../contract.md#0-sources-and-marks), "
    .. "[what the rows mean](../contract.md#7-discrepancies)"
  items[#items + 1] = "[All operations](README.md)"
  return section(2, "See also", { markdown.list(items) })
end

--- The page of an operation.
-- @tparam table operation as `paciolan.operations()` lists it
-- @tparam table table_of `operations` by name, `shapes`
-- @tparam function read gives the text of a file below docs/generate
-- @treturn string
function operation_page.text(operation, table_of, read)
  local shapes = table_of.shapes
  return markdown.page {
    "# " .. operation.name,
    operation.doc,
    glance(operation),
    example(operation, read),
    section(2, "Request", { headers(operation), options(operation), path_values(operation), query(operation),
      payload(operation, shapes), switches(operation, shapes) }),
    answer(operation, table_of.operations),
    errors(operation),
    repetition(operation),
    violations(operation, shapes),
    read_on(operation, read),
  }
end

return operation_page
