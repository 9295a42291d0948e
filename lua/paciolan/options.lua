--- Options that a caller gives: how a table of them is read, and the checks that several places use.
--
-- A check is a function of a value that returns whether it is right, and what is wanted in words.
-- @module paciolan.options
local errors = require "paciolan.errors"

local options = {}

--- A text that is not empty.
function options.text(value)
  return type(value) == "string" and value ~= "", "a string that is not empty"
end

--- A table.
function options.a_table(value)
  return type(value) == "table", "a table"
end

--- A function.
function options.a_function(value)
  return type(value) == "function", "a function"
end

--- True or false.
function options.a_boolean(value)
  return type(value) == "boolean", "a boolean"
end

--- Is it an object with these methods? It may have more.
-- @param value
-- @tparam table names
-- @treturn boolean
function options.has_methods(value, names)
  local is_object = type(value) == "table" or type(value) == "userdata"
  for _, name in ipairs(names) do
    is_object = is_object and type(value[name]) == "function"
  end
  return is_object
end

local STORE = { "get", "put", "add", "replace", "remove" }

--- A store: only what the library calls is asked for.
function options.a_store(value)
  return options.has_methods(value, STORE), "a store with get, put, add, replace and remove"
end

local function names_of(rules)
  local names = {}
  for name in pairs(rules) do
    names[#names + 1] = name
  end
  table.sort(names)
  return table.concat(names, ", ")
end

--- Reads a table of options.
-- @param given by the caller
-- @tparam table rules by name: `{ check, required =, default = }`
-- @tparam string where for messages
-- @tparam number level of the caller in `error`, as if it were called from the place that calls this; 0 for no place
-- @tparam[opt=""] string prefix before the names in messages
-- @treturn table a copy with the defaults filled in
-- @raise for a table that breaks a rule; the message names the option and what is wanted, never the value
function options.read(given, rules, where, level, prefix)
  prefix = prefix or ""
  if type(given) ~= "table" then
    error(("%s takes a table, not %s"):format(where, type(given)), level)
  end
  for name in pairs(given) do
    if not rules[name] then
      error(("%s: unknown option %s%s; known are %s"):format(where, prefix, errors.shown(name), names_of(rules)), level)
    end
  end
  local result = {}
  for name, rule in pairs(rules) do
    local value = given[name]
    if value == nil then
      value = rule.default
      if rule.required then
        error(("%s: %s%s is required"):format(where, prefix, name), level)
      end
    else
      local ok, wanted = rule[1](value)
      if not ok then
        error(("%s: %s%s must be %s"):format(where, prefix, name, wanted), level)
      end
    end
    result[name] = value
  end
  return result
end

return options
