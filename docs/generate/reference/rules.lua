--- The rules between the fields of an object, in words.
local fields = require "reference.fields"
local markdown = require "reference.markdown"

local rules = {}

local phrase = markdown.phrase

local OPTIONS = {
  distributor_code = "the option `distributor_code`",
  organization_id = "`organization_id`, of the call or of the client",
}

local function option(name)
  return OPTIONS[name] or error("no words for the option " .. name)
end

-- A switch and its second choice, which is the stricter one.
local function switched(rule, shapes)
  return ("[`shapes.%s`](shapes.md#%s) is `%q`"):format(rule.shape, rule.shape, shapes[rule.shape].choices[2])
end

local WORDS = {
  required_when = function(rule)
    return ("`%s` is required when `%s` is %s"):format(rule.field, rule.other, phrase(rule.values, "or"))
  end,
  required_with = function(rule)
    return ("`%s` is required with `%s`"):format(rule.field, rule.other)
  end,
  required_without_option = function(rule)
    return ("`%s` is required unless the call has %s"):format(rule.field, option(rule.other))
  end,
  required_by_switch = function(rule, shapes)
    return ("`%s` is required when %s"):format(rule.field, switched(rule, shapes))
  end,
  needs_option = function(rule)
    return ("`%s` needs %s"):format(rule.field, option(rule.other))
  end,
  any_of = function(rule)
    return ("At least one of `%s` and `%s` is required"):format(rule.field, rule.other)
  end,
  one_of = function(rule)
    return ("Exactly one of `%s` and `%s` is required"):format(rule.field, rule.other)
  end,
  at_most_one_by_switch = function(rule, shapes)
    return ("`%s` holds one item at most when %s"):format(rule.field, switched(rule, shapes))
  end,
  as_given_when = function(rule)
    return ("When `%s` is %s, `%s` is checked for names and types only"):format(rule.other,
      phrase(rule.values, "or"), rule.field)
  end,
}

local function words(rule, place, shapes)
  local say = WORDS[rule.kind] or error("no words for the rule " .. rule.kind)
  local where = place == "" and "" or ("In `%s`: "):format(place)
  return ("%s%s (%s)."):format(where, say(rule, shapes), rule.source)
end

--- All rules of a payload, one sentence each.
-- @tparam table body `{ fields =, rules = }`
-- @tparam table shapes as `paciolan.shapes()` lists them
-- @treturn table strings
function rules.of(body, shapes)
  local list = {}
  local function add(object_rules, place)
    for _, rule in ipairs(object_rules or {}) do
      list[#list + 1] = words(rule, place, shapes)
    end
  end
  add(body.rules, "")
  fields.walk(body, "", function(path, field)
    add(field.rules, path .. (fields.is_list(field) and "[]" or ""))
  end)
  return list
end

return rules
