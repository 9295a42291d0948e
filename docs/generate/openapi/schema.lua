--- Schema Objects from field tables. An object gets a component of its own, so that tools have a name for it.
--
-- A request schema accepts what `paciolan.validate` accepts: either documented shape, either spelling, a bare token in
-- the place of an object that holds only one. An answer schema is open: the service may add fields (contract 7).
local yaml = require("openapi.yaml")

local map, number = yaml.map, yaml.number

local schema = {}

local EXACT = "9007199254740992" -- 2^53: up to here a JSON number is a whole number on every machine

local PATTERNS = {
  digits = "^[0-9]+$",
  date = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
  callback_url = "^[^\\x00-\\x1F\\x7F]+$",
  decimal = "^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?$",
}

--- "tickets.lock" -> "TicketsLock", "asyncCallbackUrl" -> "AsyncCallbackUrl".
-- @tparam string name
-- @treturn string
function schema.pascal(name)
  local text = name:gsub("[._](%a)", string.upper):gsub("^%a", string.upper)
  return text
end

local function ref(name)
  return map { { "$ref", "#/components/schemas/" .. name } }
end

-- --- single values --------------------------------------------------------------------------------------------------

local function whole_number()
  return map { { "type", "integer" }, { "minimum", number("-" .. EXACT) }, { "maximum", number(EXACT) } }
end

local function text_schema(field, mode)
  local checked = mode ~= "as_given"
  return map {
    { "type", "string" },
    { "format", checked and field.format == "date" and "date" or nil },
    { "minLength", mode == "request" and field.required and field.format == nil and 1 or nil },
    { "pattern", checked and PATTERNS[field.format] or nil },
    { "enum", checked and field.values or nil },
  }
end

local function either(...)
  return map { { "oneOf", { ... } } }
end

local builders = {}

builders["string"] = text_schema

builders["number"] = function()
  return map { { "type", "number" } }
end

builders["boolean"] = function()
  return map { { "type", "boolean" } }
end

builders["number or decimal string"] = function()
  return either(map { { "type", "number" } }, map { { "type", "string" }, { "pattern", PATTERNS.decimal } })
end

builders["string or integer"] = function(field, mode)
  return either(text_schema(field, mode), whole_number())
end

-- Only messages and answers have whole numbers, and there a string of digits will do (contract 7 row 9).
builders["integer"] = function()
  return either(whole_number(), map { { "type", "string" }, { "pattern", PATTERNS.digits } })
end

builders["list of strings"] = function(field, mode)
  local item = mode == "request" and map { { "type", "string" }, { "minLength", 1 } } or map { { "type", "string" } }
  return map {
    { "type", "array" }, { "minItems", field.min_items }, { "maxItems", field.max_items }, { "items", item },
  }
end

-- --- objects and lists of them --------------------------------------------------------------------------------------

-- Has the caller a choice between an object and a list? Answers may have either anyway (contract 7 row 6).
local function is_shaped(schemas, field)
  local choices = field.shape and schemas.shapes[field.shape].choices or {}
  return choices[1] == "object" or choices[2] == "object"
end

local function has_required(fields)
  for _, field in ipairs(fields) do
    if field.required then
      return true
    end
  end
  return false
end

-- An object in the place of a list must hold something: in Lua an empty one is an empty list.
local function lone_object(field, name)
  if has_required(field.fields) then
    return ref(name)
  end
  return map { { "allOf", { ref(name) } }, { "minProperties", 1 } }
end

local function item_schema(field, name, mode)
  if not field.shorthand then
    return ref(name)
  end
  local bare = map {
    { "type", "string" }, { "minLength", mode == "request" and 1 or nil },
    { "description", ("Stands for an object that holds only `%s`."):format(field.shorthand) },
  }
  return either(ref(name), bare)
end

local function list_schema(field, name, mode)
  return map {
    { "type", "array" }, { "minItems", field.min_items }, { "maxItems", field.max_items },
    { "items", item_schema(field, name, mode) },
  }
end

local function list_of_one(field, name, mode)
  return map {
    { "type", "array" }, { "minItems", 1 }, { "maxItems", 1 }, { "items", item_schema(field, name, mode) },
  }
end

builders["list of objects"] = function(field, mode, schemas, name)
  local list = list_schema(field, name, mode)
  return is_shaped(schemas, field) and either(list, lone_object(field, name)) or list
end

builders["object"] = function(field, mode, schemas, name)
  if is_shaped(schemas, field) then
    return either(ref(name), list_of_one(field, name, mode))
  end
  return item_schema(field, name, mode)
end

-- --- fields ---------------------------------------------------------------------------------------------------------

local function sentence(text)
  return text and (text:find("[.!?]$") and text or text .. ".")
end

-- What a reader must know beside the schema itself.
local function describe(schemas, field, mode)
  local parts = { sentence(field.doc) }
  if field.alias and mode ~= "answer" then
    parts[#parts + 1] = ("`%s` is accepted as well."):format(field.alias)
  end
  if field.shape and mode ~= "answer" then
    local shape = schemas.shapes[field.shape]
    parts[#parts + 1] = ("Goes out as `%s`, or as `%s` where the switch `%s` says so."):format(
      shape.choices[1], shape.choices[2], field.shape)
  end
  return table.concat(parts, " ")
end

local function switch_of(schemas, field)
  local shape = field.shape and schemas.shapes[field.shape]
  return shape and map {
    { "name", field.shape }, { "choices", shape.choices }, { "default", shape.choices[1] }, { "doc", shape.doc },
  }
end

-- In OpenAPI 3.0 nothing may stand beside a $ref.
local function beside_ref(value)
  return value:get("$ref") and map { { "allOf", { value } } } or value
end

local function with_notes(schemas, value, field, mode)
  value = beside_ref(value)
  return value:set("nullable", field.nullable and value:get("type") and true or nil)
    :set("description", describe(schemas, field, mode))
    :set("x-batch-items", field.batch_items)
    :set("x-switch", mode ~= "answer" and switch_of(schemas, field) or nil)
    :set("x-personal", field.personal)
    :set("x-secret", field.secret)
    :set("x-source", field.source)
end

--- The schema of one field, and the components of the objects below it.
-- @tparam table schemas
-- @tparam table field as in `paciolan.operations()`
-- @tparam string mode `request`, `as_given` (names and types only, contract 7 row 11) or `answer`
-- @tparam string name the component for its object, if it has one
-- @treturn table map
function schema.field(schemas, field, mode, name)
  local build = assert(builders[field.type], "no schema for this type of field")
  if field.fields then
    schema.object(schemas, field, mode, name)
  end
  local value = build(field, mode, schemas, name)
  return with_notes(schemas, value, field, mode)
end

-- --- rules between the fields of an object --------------------------------------------------------------------------

local function field_named(fields, name)
  for _, field in ipairs(fields) do
    if field.name == name then
      return field
    end
  end
  error("a rule names a field that its object does not have: " .. name)
end

-- The field is there under that name. Text must not be empty to count, and null does not count.
local function present_as(field, name)
  local holds = field.type == "string" and map { { "type", "string" }, { "minLength", 1 } } or nil
  return map {
    { "required", { name } },
    { "properties", holds and map { { name, holds } } or nil },
  }
end

local function present(fields, name)
  local field = field_named(fields, name)
  local first = present_as(field, name)
  return field.alias and map { { "anyOf", { first, present_as(field, field.alias) } } } or first
end

-- The other field is there and holds one of the values.
local function holds(rule)
  return map {
    { "required", { rule.other } },
    { "properties", map { { rule.other, map { { "type", "string" }, { "enum", rule.values } } } } },
  }
end

local function negated(value)
  return map { { "not", value } }
end

local words = {}

-- What is not here looks at more than the body: at options of the call, or at a switch. See openapi/unsaid.lua.
local rule_builders = {}

function rule_builders.required_when(fields, rule)
  return map { { "anyOf", { negated(holds(rule)), present(fields, rule.field) } } }
end

function words.required_when(rule)
  return ("`%s` is required when `%s` is %s"):format(rule.field, rule.other, table.concat(rule.values, " or "))
end

function rule_builders.required_with(fields, rule)
  return map { { "anyOf", { negated(present(fields, rule.other)), present(fields, rule.field) } } }
end

function words.required_with(rule)
  return ("`%s` is required with `%s`"):format(rule.field, rule.other)
end

function rule_builders.any_of(fields, rule)
  return map { { "anyOf", { present(fields, rule.field), present(fields, rule.other) } } }
end

function words.any_of(rule)
  return ("`%s` or `%s` is required"):format(rule.field, rule.other)
end

function rule_builders.one_of(fields, rule)
  return map { { "oneOf", { present(fields, rule.field), present(fields, rule.other) } } }
end

function words.one_of(rule)
  return ("exactly one of `%s` and `%s` is required"):format(rule.field, rule.other)
end

function words.required_without_option(rule)
  return ("`%s` is required unless the call has %s"):format(rule.field, rule.other)
end

function words.required_by_switch(rule)
  return ("`%s` is required where the switch `%s` says so"):format(rule.field, rule.shape)
end

function words.needs_option(rule)
  return ("`%s` needs %s beside it"):format(rule.field, rule.other)
end

function words.at_most_one_by_switch(rule)
  return ("`%s` holds at most one item where the switch `%s` says so"):format(rule.field, rule.shape)
end

function words.as_given_when(rule)
  return ("only names and types of `%s` are checked when `%s` is %s"):format(
    rule.field, rule.other, table.concat(rule.values, " or "))
end

-- The field of a rule `as_given_when` is described loosely; the strict form holds whenever the condition does not.
local function as_given(strict, rule)
  return map { { "anyOf", { holds(rule), map { { "properties", map { { rule.field, strict } } } } } } }
end

-- A required field under either spelling, an optional one under one of them.
local function spelling(field)
  local one, other = map { { "required", { field.name } } }, map { { "required", { field.alias } } }
  if field.required then
    return map { { "oneOf", { one, other } } }
  end
  return negated(map { { "required", { field.name, field.alias } } })
end

local function is_said(rule)
  return rule.kind == "as_given_when" or rule_builders[rule.kind] ~= nil
end

local function rule_rows(rules)
  local rows = {}
  for _, rule in ipairs(rules or {}) do
    rows[#rows + 1] = map {
      { "rule", words[rule.kind](rule) }, { "in-schema", is_said(rule) }, { "source", rule.source },
    }
  end
  return #rows > 0 and rows or nil
end

-- --- objects --------------------------------------------------------------------------------------------------------

local function rule_as_given(object, field)
  for _, rule in ipairs(object.rules or {}) do
    if rule.kind == "as_given_when" and rule.field == field.name then
      return rule
    end
  end
end

local function add_property(schemas, object, mode, name, field, into)
  local below = name .. schema.pascal(field.name)
  local rule = mode == "request" and rule_as_given(object, field)
  if rule then
    schema.object(schemas, field, "request", below)
    into.conditions[#into.conditions + 1] = as_given(ref(below), rule)
    into.properties:set(field.name, schema.field(schemas, field, "as_given", below .. "AsGiven"))
  else
    into.properties:set(field.name, schema.field(schemas, field, mode, below))
  end
  if field.alias and mode ~= "answer" then
    local note = ("The other spelling of `%s`."):format(field.name)
    into.properties:set(field.alias, map { { "allOf", { ref(below) } }, { "description", note } })
    if field.type ~= "object" then
      local list = builders[field.type](field, mode, schemas, below)
      into.properties:set(field.alias, list:set("description", note))
    end
    into.conditions[#into.conditions + 1] = spelling(field)
  elseif field.required and mode ~= "as_given" then
    into.required[#into.required + 1] = field.name
  end
end

local function add_rules(object, mode, conditions)
  for _, rule in ipairs(mode == "request" and object.rules or {}) do
    local build = rule_builders[rule.kind]
    if build then
      conditions[#conditions + 1] = build(object.fields, rule)
    end
  end
end

local function some(list)
  return #list > 0 and list or nil
end

--- Makes the component of an object and of all objects below it.
-- @tparam table schemas
-- @tparam table object `fields` and `rules`, as in `paciolan.operations()`
-- @tparam string mode as for `schema.field`
-- @tparam string name of the component
-- @tparam ?string description
function schema.object(schemas, object, mode, name, description)
  local into = { properties = map(), required = {}, conditions = {} }
  local component = map { { "type", "object" }, { "description", description } }
  assert(not schemas.components:get(name), "two objects ask for one component")
  schemas.components:set(name, component)
  for _, field in ipairs(object.fields) do
    add_property(schemas, object, mode, name, field, into)
  end
  add_rules(object, mode, into.conditions)
  component:set("required", some(into.required)):set("properties", into.properties)
  if mode ~= "answer" then
    component:set("additionalProperties", false):set("allOf", some(into.conditions))
  end
  component:set("x-rules", mode == "request" and rule_rows(object.rules) or nil)
end

--- The components of a document.
-- @tparam table shapes `paciolan.shapes()`
-- @treturn table schemas: `components` (a map), `shapes`
function schema.new(shapes)
  return { components = map(), shapes = shapes }
end

schema.ref = ref
schema.either = either

return schema
