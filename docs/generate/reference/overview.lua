--- The pages that are not about one operation: the index, the messages, the switches.
local fields = require "reference.fields"
local markdown = require "reference.markdown"

local overview = {}

local code, join, section = markdown.code, markdown.join, markdown.section

-- --- the index ------------------------------------------------------------------------------------------------------

local function resource_of(operation)
  return operation.name:match("^[^.]+")
end

local function row_of(operation)
  return { ("[%s](%s.md)"):format(operation.name, operation.name),
    ("`%s %s`"):format(operation.method, operation.path), code(operation.effect), operation.doc }
end

local function resources(operations)
  local pieces, rows = {}, {}
  for i, operation in ipairs(operations) do
    rows[#rows + 1] = row_of(operation)
    local follower = operations[i + 1]
    if not follower or resource_of(follower) ~= resource_of(operation) then
      pieces[#pieces + 1] = section(2, code("link." .. resource_of(operation)),
        { markdown.table({ "Operation", "Request", "Class", "What it does" }, rows) })
      rows = {}
    end
  end
  return join(pieces)
end

local RUN = [[
Each page has a whole program with what it prints. Start a sandbox as the [guide](../guide.md#start-the-sandbox) says,
paste its export lines into a second terminal, and run a program from the checkout:

```sh
eval "$(make -s env)"
lua5.4 docs/generate/examples/tickets.lock.lua
```

The authorization code of the sandbox works once, and seats that were sold stay sold. Before the next program put it
back to its start:

```sh
curl -X POST "$PACIOLAN_BASE_URL/_sandbox/reset"
```]]

--- The index, by resource.
-- @tparam table operations as `paciolan.operations()` lists them
-- @treturn string
function overview.index(operations)
  return markdown.page {
    "# Reference of the operations",
    "One page for each operation: what is sent, what comes back, what can go wrong, when a call is sent again, and a "
      .. "program that runs.",
    "These pages are generated from the table of the contract, so change `src/contract/`, `docs/generate/` and not the "
      .. "pages: `make docs` writes them anew.",
    resources(operations),
    section(2, "Beside the operations", { markdown.list {
      "[Messages](messages.md): what the service pushes",
      "[Switches](shapes.md): what goes out where the documents disagree",
      "[Errors](../errors.md), [Contract](../contract.md), [Guide](../guide.md)",
    } }),
    section(2, "Run the examples", { RUN }),
  }
end

-- --- messages -------------------------------------------------------------------------------------------------------

local function message(name, entity, anchor, place)
  local doc = entity.doc and entity.doc .. " " or ""
  local source = entity.source and (" Source: %s."):format(entity.source) or ""
  return section(2, code(name), {
    ("%sSee [contract %s](../contract.md#%s).%s"):format(doc, anchor[1], anchor[2], source),
    fields.received(entity, place),
  })
end

--- The messages that the service pushes.
-- @tparam table entities as `paciolan.message_fields()` lists them
-- @treturn string
function overview.messages(entities)
  return markdown.page {
    "# Messages",
    "The service publishes changes of events and seats. Each message has `metadata` and `data`, and `data` holds one "
      .. "list. Unknown fields are kept.",
    markdown.table({ "", "" }, { { "Call", code("paciolan.messages.parse(body)") },
      { "Guide", "[Read messages](../guide.md#read-messages)" } }),
    "It returns a message, or `nil, err` of the kind `protocol`. `metadata.pacOrganizationId` may be digits in a "
      .. "string as well as a number ([contract 7](../contract.md#7-discrepancies), row 9).",
    message("metadata", entities.metadata, { "5", "5-messages" }, "metadata."),
    message("events", entities.events, { "5.1", "51-events-message" }, "data.events[]."),
    message("seats", entities.seats, { "5.2", "52-seats-message" }, "data.seats[]."),
    section(2, "See also", { markdown.list { "[How messages travel](../contract.md#53-how-messages-travel)",
      "[What the marks in “Source” mean](../contract.md#0-sources-and-marks)", "[All operations](README.md)" } }),
  }
end

-- --- switches -------------------------------------------------------------------------------------------------------

-- The fields that depend on a switch, as a list of lines: one for each operation.
local function users_of(name, operations)
  local lines = {}
  for _, operation in ipairs(operations) do
    local found = {}
    local function add_rules(rules, place)
      for _, rule in ipairs(rules or {}) do
        found[#found + 1] = rule.shape == name and place .. rule.field or nil
      end
    end
    if operation.body then
      add_rules(operation.body.rules, "")
      fields.walk(operation.body, "", function(path, field)
        found[#found + 1] = fields.switch_of(field) == name and path or nil
        add_rules(field.rules, path .. (fields.is_list(field) and "[]." or "."))
      end)
    end
    if #found > 0 then
      lines[#lines + 1] = ("[%s](%s.md): %s"):format(operation.name, operation.name, markdown.phrase(found, "and"))
    end
  end
  return lines
end

local function sorted_names(set)
  local names = {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

--- The switches of the option `shapes`.
-- @tparam table shapes as `paciolan.shapes()` lists them
-- @tparam table operations as `paciolan.operations()` lists them
-- @treturn string
function overview.shapes(shapes, operations)
  local pieces = {
    "# Switches",
    "Where the documents disagree, the option `shapes` of `paciolan.new` chooses what goes out. A payload may be "
      .. "written either way; the switch turns it into what it names. The rows are those of "
      .. "[the contract](../contract.md#7-discrepancies).",
    markdown.block("lua", "local link = paciolan.from_env { shapes = { complete_order = \"object\" } }"),
  }
  for _, name in ipairs(sorted_names(shapes)) do
    local shape = shapes[name]
    pieces[#pieces + 1] = section(2, code(name), {
      ("Decides about %s. %s is the default, %s the other choice."):format(shape.doc, code(shape.choices[1]),
        code(shape.choices[2])),
      markdown.list(users_of(name, operations)),
    })
  end
  return markdown.page(pieces)
end

return overview
