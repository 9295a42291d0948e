--- Field tables in words: where a field stands, what it may hold, and what is reported when it does not.
local markdown = require "reference.markdown"

local fields = {}

local code, phrase = markdown.code, markdown.phrase

--- Does the field hold a list?
-- @tparam table field
-- @treturn boolean
function fields.is_list(field)
  return field.type:find("^list of") ~= nil
end

--- The switch that decides about a field.
-- @tparam table field
-- @treturn ?string its name in `shapes`
function fields.switch_of(field)
  return field.shape or (field.format == "callback_url" and "callback_url" or nil)
end

-- Calls visit(path, field, rules) for every field, an object before its fields. `rules` are those of the object that
-- the field stands in.
local function walk(list, rules, prefix, visit)
  for _, field in ipairs(list) do
    local path = prefix .. field.name
    visit(path, field, rules or {})
    if field.fields then
      walk(field.fields, field.rules, path .. (fields.is_list(field) and "[]." or "."), visit)
    end
  end
end

--- Visits every field of an object, in the order of the table.
-- @tparam table object `{ fields =, rules = }`
-- @tparam string prefix of the paths, such as `[].`
-- @tparam function visit `function(path, field, rules)`
function fields.walk(object, prefix, visit)
  walk(object.fields, object.rules, prefix, visit)
end

-- --- one field ------------------------------------------------------------------------------------------------------

-- What these rules say of a field decides whether it must be there.
local CONDITIONS = {
  required_when = true, required_with = true, required_without_option = true, required_by_switch = true,
  any_of = true, one_of = true,
}

local function requirement(field, rules)
  if field.required then
    return "yes"
  end
  for _, rule in ipairs(rules) do
    local is_second = (rule.kind == "any_of" or rule.kind == "one_of") and rule.other == field.name
    if CONDITIONS[rule.kind] and (rule.field == field.name or is_second) then
      return "by rule"
    end
  end
  return "no"
end

-- "1 to 100 items"
local function item_range(field)
  local low, high = field.min_items, field.max_items
  if low and low == high then
    return ("Exactly %d item%s."):format(low, low == 1 and "" or "s")
  elseif low and high then
    return ("%d to %d items."):format(low, high)
  elseif high then
    return ("At most %d items."):format(high)
  end
  return low and ("At least %d item%s."):format(low, low == 1 and "" or "s")
end

local FORMATS = {
  digits = "Digits only.", date = "A day of the calendar.",
  callback_url = "Not empty, no control characters.",
}

local function format_of(field)
  return field.format and (FORMATS[field.format] or error("no words for the format " .. field.format))
end

local function switch_link(field)
  local switch = fields.switch_of(field)
  return switch and ("Switch: [`%s`](shapes.md#%s)."):format(switch, switch)
end

-- What is worth a sentence beside the doc of the field. A sentence that the doc has already is not said twice.
local function remarks(field)
  local list = {}
  local function add(sentence)
    if sentence and not field.doc:find(sentence, 1, true) then
      list[#list + 1] = sentence
    end
  end
  add(field.values and (#field.values > 1 and "One of " or "Always ") .. phrase(field.values, "or") .. ".")
  add(item_range(field))
  add(field.batch_items and ("The method for many puts %d into one call."):format(field.batch_items))
  add(format_of(field))
  add(field.nullable and "May be null.")
  add(field.alias and ("Also taken as `%s`."):format(field.alias))
  add(field.option and ("Given as the option `%s`."):format(field.option))
  add(switch_link(field))
  add(field.personal and "*Personal.*")
  add(field.secret and "*Secret.*")
  return list
end

local function meaning(field)
  local sentences = remarks(field)
  table.insert(sentences, 1, field.doc)
  return table.concat(sentences, " ")
end

-- --- tables ---------------------------------------------------------------------------------------------------------

--- The table of what is sent.
-- @tparam table object `{ fields =, rules = }`
-- @treturn string
function fields.sent(object)
  local rows = {}
  fields.walk(object, "", function(path, field, rules)
    rows[#rows + 1] = { code(path), field.type, requirement(field, rules), meaning(field), field.source }
  end)
  return markdown.table({ "Field", "Type", "Required", "Meaning", "Source" }, rows)
end

--- The table of what is received.
-- @tparam table object `{ fields = }`
-- @tparam[opt=""] string prefix of the paths
-- @treturn string
function fields.received(object, prefix)
  local rows = {}
  fields.walk(object, prefix or "", function(path, field)
    local always = field.required and " Always there." or ""
    rows[#rows + 1] = { code(path), field.type, meaning(field) .. always, field.source }
  end)
  return markdown.table({ "Field", "Type", "Meaning", "Source" }, rows)
end

return fields
