--- Maps that remember the order of their keys, and YAML from them: the same bytes on every Lua.
--
-- A map is made by `yaml.map`, a list is a plain table with keys 1 to n, everything else is a scalar. A string that
-- plain YAML could read as something else is quoted as JSON quotes it, so that readers of YAML 1.1 and 1.2 agree.

local yaml = {}

local WIDTH = 110

-- --- ordered maps ---------------------------------------------------------------------------------------------------

local Map = {}
Map.__index = Map

--- Sets a key; a nil value is left out, and a key that is there keeps its place.
-- @tparam string key
-- @param value
-- @treturn table the map itself
function Map:set(key, value)
  if value ~= nil then
    if self.values[key] == nil then
      self.keys[#self.keys + 1] = key
    end
    self.values[key] = value
  end
  return self
end

--- The value of a key, or nil.
function Map:get(key)
  return self.values[key]
end

--- An iterator over the pairs, in order.
function Map:each()
  local index = 0
  return function()
    index = index + 1
    return self.keys[index], self.values[self.keys[index]]
  end
end

--- Is there nothing in it?
function Map:is_empty()
  return #self.keys == 0
end

--- A map that keeps its order.
-- @tparam ?table rows list of `{ key, value }`; rows without a value are left out
-- @treturn table map with `set`, `get`, `each`
function yaml.map(rows)
  local map = setmetatable({ keys = {}, values = {} }, Map)
  for _, pair in ipairs(rows or {}) do
    map:set(pair[1], pair[2])
  end
  return map
end

--- Is the value such a map?
function yaml.is_map(value)
  return getmetatable(value) == Map
end

local Number = {}

--- A number by its text, which is written as it stands.
-- @tparam string text a JSON number
function yaml.number(text)
  return setmetatable({ text = text }, Number)
end

--- The value that is written as `null`.
yaml.null = setmetatable({}, { __tostring = function() return "null" end })

-- --- scalars --------------------------------------------------------------------------------------------------------

local RESERVED = {}
for word in ("true false null yes no on off y n"):gmatch("%a+") do
  RESERVED[word] = true
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(byte)
    return ESCAPES[byte] or ("\\u%04x"):format(byte:byte())
  end) .. '"'
end

local function is_plain(text)
  return text:find("^[%a_][%w_%-./ ,;()'`]*$") and not text:find(" $") and not RESERVED[text:lower()]
end

-- Keys may begin with "$" and "/" too, and hold braces.
local function key_of(text)
  local is_bare = text:find("^[%a_$/][%w_%-./{}]*$") and not RESERVED[text:lower()]
  return is_bare and text or quoted(text)
end

local function string_of(text)
  return is_plain(text) and text or quoted(text)
end

local function is_scalar(value)
  return type(value) ~= "table" or value == yaml.null or getmetatable(value) == Number
end

local function scalar(value)
  if getmetatable(value) == Number then
    return value.text
  elseif type(value) == "string" then
    return string_of(value)
  elseif type(value) == "number" then
    return ("%d"):format(value)
  end
  return tostring(value)
end

-- --- prose ----------------------------------------------------------------------------------------------------------

-- A text whose lines may be broken at any of its single spaces.
local function is_prose(text)
  return #text > WIDTH - 30 and not text:find("[%c\128-\255]") and not text:find("  ") and not text:find("^ ")
    and not text:find(" $")
end

local function wrap(text, indent)
  local lines, line = {}, nil
  for word in text:gmatch("%S+") do
    if line and #line + #word + 1 <= WIDTH - #indent then
      line = line .. " " .. word
    else
      lines[#lines + 1] = line
      line = word
    end
  end
  lines[#lines + 1] = line
  return lines
end

local function block(mark, lines, indent)
  return " " .. mark .. "\n" .. indent .. table.concat(lines, "\n" .. indent) .. "\n"
end

local function paragraphs(text, indent)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line
  end
  return (block("|-", lines, indent):gsub("\n +\n", "\n\n"))
end

-- --- collections ----------------------------------------------------------------------------------------------------

local write

local function flow(list)
  local parts = {}
  for i, item in ipairs(list) do
    if not is_scalar(item) then
      return nil
    end
    parts[i] = scalar(item)
    if type(item) == "string" and parts[i]:find("^[^\"].*,") then
      parts[i] = quoted(item) -- a comma would end it
    end
  end
  local text = "[" .. table.concat(parts, ", ") .. "]"
  return #text <= WIDTH - 30 and text or nil
end

-- What stands behind "key:" or "-"; begins with a space or a line break and ends with one.
local function after_mark(value, indent)
  if is_scalar(value) then
    if type(value) == "string" and value:find("\n") then
      return paragraphs(value, indent)
    elseif type(value) == "string" and is_prose(value) then
      return block(">-", wrap(value, indent), indent)
    end
    return " " .. scalar(value) .. "\n"
  elseif yaml.is_map(value) then
    return value:is_empty() and " {}\n" or "\n" .. write(value, indent)
  end
  local short = flow(value)
  return short and " " .. short .. "\n" or "\n" .. write(value, indent)
end

local function write_map(map, indent)
  local parts = {}
  for key, value in map:each() do
    parts[#parts + 1] = indent .. key_of(key) .. ":" .. after_mark(value, indent .. "  ")
  end
  return table.concat(parts)
end

local function write_list(list, indent)
  local parts = {}
  for i, item in ipairs(list) do
    if yaml.is_map(item) and not item:is_empty() then
      parts[i] = indent .. "- " .. write_map(item, indent .. "  "):sub(#indent + 3)
    else
      parts[i] = indent .. "-" .. after_mark(item, indent .. "  ")
    end
  end
  return table.concat(parts)
end

function write(value, indent)
  return yaml.is_map(value) and write_map(value, indent) or write_list(value, indent)
end

--- A document as YAML.
-- @tparam table map
-- @treturn string
function yaml.encode(map)
  return write(map, "")
end

return yaml
