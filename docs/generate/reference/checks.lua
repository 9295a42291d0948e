--- What the check of a payload can report for an operation: the rules that stand in `err.fields`.
local fields = require "reference.fields"
local markdown = require "reference.markdown"

local checks = {}

-- In the order of the page. A rule with places names the fields that it may be reported for.
local RULES = {
  { "type", "a value has another type, or a list has holes" },
  { "required", "a field is missing that is required, also by a rule" },
  { "unknown", "a field is not in the table; the message suggests the nearest name" },
  { "duplicate", "a field is given a second time, in its other spelling", places = true },
  { "min_length", "a text is empty" },
  { "max_length", "a value is too long for a URL", places = true },
  { "utf8", "a text is not valid UTF-8" },
  { "enum", "a text is none of the values that are listed", places = true },
  { "format", "a value has not the form that is asked for", places = true },
  { "finite", "a number is not finite" },
  { "exact", "a number is larger than JSON carries exactly" },
  { "integer", "a number is not whole", places = true },
  { "min_items", "a list is too short", places = true },
  { "max_items", "a list is too long", places = true },
  { "exclusive", "two fields stand beside each other that exclude each other", places = true },
  { "option", "an option of the call is missing or cannot be sent", places = true },
}

local BY_TYPE = {
  string = { "type", "utf8" },
  number = { "type", "finite", "exact" },
  ["number or decimal string"] = { "type", "finite", "exact", "format" },
  ["string or integer"] = { "type", "utf8", "integer" },
  integer = { "type", "integer" },
  boolean = { "type" },
  object = { "type", "unknown" },
  ["list of objects"] = { "type", "unknown" },
  ["list of strings"] = { "type", "utf8", "min_length" },
}

local BY_RULE = {
  required_when = { "required" }, required_with = { "required" }, required_without_option = { "required" },
  required_by_switch = { "required" }, any_of = { "required" }, one_of = { "required" },
  needs_option = { "option" }, at_most_one_by_switch = { "max_items" }, as_given_when = {},
}

local function new_finding()
  local found = {}
  return found, function(rule, place)
    found[rule] = found[rule] or {}
    if place and not found[rule][place] then
      found[rule][place] = true
      table.insert(found[rule], place)
    end
  end
end

-- May the switch of the field ask for one object where a list was given?
local function goes_out_single(field, shapes)
  for _, choice in ipairs(field.shape and shapes[field.shape].choices or {}) do
    if choice == "object" then
      return true
    end
  end
  return false
end

local function add_field(add, path, field, shapes)
  for _, rule in ipairs(BY_TYPE[field.type] or error("no rules for the type " .. field.type)) do
    add(rule, path)
  end
  local holds_text = field.type == "string" or field.type == "string or integer"
  local also = {
    required = field.required, min_length = field.required and holds_text, enum = field.values, format = field.format,
    min_items = field.min_items, max_items = field.max_items or goes_out_single(field, shapes),
  }
  for rule, applies in pairs(also) do
    if applies then
      add(rule, path)
    end
  end
  if field.alias then
    add("duplicate", path:sub(1, -1 - #field.name) .. field.alias)
  end
end

local function add_rules(add, prefix, rules)
  for _, rule in ipairs(rules or {}) do
    for _, name in ipairs(BY_RULE[rule.kind] or error("no rules for " .. rule.kind)) do
      add(name, prefix .. rule.field)
    end
    if rule.kind == "one_of" then
      add("exclusive", prefix .. rule.other)
    end
  end
end

local function add_body(add, body, shapes)
  add("type")
  add("unknown")
  add_rules(add, "", body.rules)
  fields.walk(body, "", function(path, field)
    add_field(add, path, field, shapes)
    add_rules(add, path .. (fields.is_list(field) and "[]." or "."), field.rules)
  end)
end

-- Values of a path or a query must also fit into a URL.
local function add_url_values(add, list, shapes)
  add("type")
  add("unknown")
  for _, field in ipairs(list) do
    add_field(add, field.name, field, shapes)
    add("min_length")
    add("format", field.name)
    add("max_length", field.name)
  end
end

local function find(operation, shapes)
  local found, add = new_finding()
  if operation.body then
    add_body(add, operation.body, shapes)
  elseif operation.payload == "query" then
    add_url_values(add, operation.query, shapes)
  else
    add_url_values(add, operation.path_fields, shapes)
  end
  for _, field in ipairs(operation.query) do
    if field.option then
      add("option", field.option)
    end
  end
  if operation.organization ~= "never" then
    add("option", "organization_id")
  end
  return found
end

--- The table of the rules that a payload of the operation can break.
-- @tparam table operation
-- @tparam table shapes as `paciolan.shapes()` lists them
-- @treturn string
function checks.of(operation, shapes)
  local found, rows = find(operation, shapes), {}
  for _, rule in ipairs(RULES) do
    local places = found[rule[1]]
    if places then
      local named = rule.places and #places > 0 and ": " .. markdown.phrase(places, "and") or ""
      rows[#rows + 1] = { markdown.code(rule[1]), rule[2] .. named }
    end
  end
  return markdown.table({ "Rule", "Reported when" }, rows)
end

return checks
