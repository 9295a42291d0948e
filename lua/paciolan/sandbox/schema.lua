--- A small language for the shape of request bodies. A shape is a table with a
-- function `check(value, path)` that returns nil, or a sentence about the first
-- thing that is wrong: the place and the rule, never the value.
-- @module paciolan.sandbox.schema

local json = require "paciolan.sandbox.json"

local schema = {}

local function shape(check)
  return { check = check }
end

local function is_list(value)
  return type(value) == "table" and (value[1] ~= nil or next(value) == nil)
end

local function is_object(value)
  return type(value) == "table" and value[1] == nil
end

--- A string, not empty. `pattern` and `rule` narrow it.
-- @tparam[opt] string pattern
-- @tparam[opt] string rule what the pattern asks for, in words
function schema.text(pattern, rule)
  return shape(function(value, path)
    if type(value) ~= "string" then
      return path .. " must be a string"
    elseif value == "" then
      return path .. " must not be empty"
    elseif pattern and not value:find(pattern) then
      return path .. " " .. rule
    end
  end)
end

--- Any number.
function schema.number()
  return shape(function(value, path)
    return type(value) ~= "number" and path .. " must be a number" or nil
  end)
end

--- A number without a fraction.
function schema.integer()
  return shape(function(value, path)
    local ok = type(value) == "number" and value == math.floor(value)
    return not ok and path .. " must be an integer" or nil
  end)
end

--- true or false.
function schema.boolean()
  return shape(function(value, path)
    return type(value) ~= "boolean" and path .. " must be true or false" or nil
  end)
end

--- One of a few strings.
-- @tparam table words
function schema.one_of(words)
  return shape(function(value, path)
    for _, word in ipairs(words) do
      if value == word then
        return nil
      end
    end
    return path .. " must be one of " .. table.concat(words, ", ")
  end)
end

--- The shape, or null.
function schema.nullable(inner)
  return shape(function(value, path)
    return value ~= json.null and inner.check(value, path) or nil
  end)
end

--- The first shape when it fits, else what the second one says.
function schema.either(first, second)
  return shape(function(value, path)
    return first.check(value, path) and second.check(value, path) or nil
  end)
end

--- Marks a field of an object as required.
function schema.required(inner)
  return { check = inner.check, required = true }
end

local function sorted_names(fields)
  local names = {}
  for name in pairs(fields) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- A field name comes from the client; only a tame one is repeated.
local function unknown_field(value, fields, path)
  for name in pairs(value) do
    if not fields[name] then
      local shown = type(name) == "string" and name:find("^[%w_]+$") and #name <= 40 and "." .. name or ""
      return path .. shown .. " is not a documented field"
    end
  end
end

--- An object with exactly these fields.
-- @tparam table fields name to shape; wrap with `schema.required` as needed
-- @tparam[opt] function rule `rule(value, path)` for what spans several fields
function schema.object(fields, rule)
  local names = sorted_names(fields)
  return shape(function(value, path)
    if not is_object(value) then
      return path .. " must be an object"
    end
    for _, name in ipairs(names) do
      local field, inner, place = fields[name], value[name], path .. "." .. name
      local wrong
      if inner ~= nil then
        wrong = field.check(inner, place)
      elseif field.required then
        wrong = place .. " is required"
      end
      if wrong then
        return wrong
      end
    end
    return unknown_field(value, fields, path) or (rule and rule(value, path)) or nil
  end)
end

--- A list whose entries all have one shape.
-- @tparam table inner
-- @tparam[opt=1] number low
-- @tparam[opt] number high
function schema.list(inner, low, high)
  low = low or 1
  return shape(function(value, path)
    if not is_list(value) then
      return path .. " must be an array"
    elseif #value < low then
      return string.format("%s must have at least %d entries", path, low)
    elseif high and #value > high then
      return string.format("%s must have at most %d entries", path, high)
    end
    for i, entry in ipairs(value) do
      local wrong = inner.check(entry, string.format("%s[%d]", path, i - 1))
      if wrong then
        return wrong
      end
    end
  end)
end

--- An object, or a list of such objects: several blocks are documented both ways.
-- @tparam table inner the object
-- @tparam[opt=1] number high the longest list
function schema.object_or_list(inner, high)
  local list = schema.list(inner, 1, high or 1)
  return shape(function(value, path)
    if is_object(value) and next(value) ~= nil then
      return inner.check(value, path)
    end
    return list.check(value, path)
  end)
end

--- Reads what `object_or_list` accepted.
-- @tparam ?table value
-- @treturn table a list
function schema.as_list(value)
  if value == nil then
    return {}
  end
  return is_list(value) and value or { value }
end

return schema
