--- JSON for the sandbox. Reading is lua-cjson with its leniencies off. Writing
-- is done here, because answers have to be equal byte for byte for equal seeds
-- (keys are sorted) and an empty list has to stay `[]`.
-- @module paciolan.sandbox.json

local cjson = require("cjson").new()
cjson.decode_invalid_numbers(false)

local json = { null = cjson.null }

local Array = {}

--- Marks a table as a list, so that it is written as `[]` even when empty.
-- @tparam[opt] table list
-- @treturn table the same table
function json.array(list)
  return setmetatable(list or {}, Array)
end

--- Reads a document.
-- @tparam string text
-- @return the value; objects and lists are tables, null is `json.null`
-- @treturn[2] nil when the text is not JSON
function json.decode(text)
  local ok, value = pcall(cjson.decode, text)
  if ok then
    return value
  end
  return nil
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quote(text)
  return '"' .. text:gsub('[%c"\\]', function(c)
    return ESCAPES[c] or string.format("\\u%04x", c:byte())
  end) .. '"'
end

local function number(value)
  if value == math.floor(value) and value > -1e15 and value < 1e15 then
    return string.format("%d", value)
  end
  return string.format("%.14g", value)
end

local encode

local function encode_list(list)
  local out = {}
  for i = 1, #list do
    out[i] = encode(list[i])
  end
  return "[" .. table.concat(out, ",") .. "]"
end

local function encode_object(object)
  local keys, out = {}, {}
  for key in pairs(object) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    out[i] = quote(key) .. ":" .. encode(object[key])
  end
  return "{" .. table.concat(out, ",") .. "}"
end

function encode(value)
  local kind = type(value)
  if kind == "table" then
    local is_list = getmetatable(value) == Array or value[1] ~= nil
    return is_list and encode_list(value) or encode_object(value)
  elseif kind == "string" then
    return quote(value)
  elseif kind == "number" then
    return number(value)
  elseif value == cjson.null then
    return "null"
  end
  return tostring(value) -- a boolean
end

--- Writes a document with sorted keys.
-- @param value tables, strings, finite numbers, booleans, `json.null`
-- @treturn string
function json.encode(value)
  return encode(value)
end

return json
