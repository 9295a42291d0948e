--- Small checks that the second reading of the Link API (`second_check.lua`) is put together from.
--
-- A check is a function of a value and the call `{ distributor_code, organization_id, shapes, wire, loose }`. It
-- returns nothing when the value is right, else where (a JSON Pointer below the value) and which rule. `wire`: the
-- value is a decoded body, where only the shape and spelling counts that goes out. `loose`: names and types only
-- (contract 7 row 11). Every access is raw, so that a metatable changes nothing.
local cjson = require("cjson").new()

local LARGEST = 9007199254740992 -- 2^53: beyond it JSON's readers differ (RFC 8259 section 6)
local DEEPEST = 16               -- nothing documented is half as deep
local math_type = rawget(math, "type") -- LuaJIT has none

-- ---- what JSON can hold -----------------------------------------------------

-- The code point at i and where the next one begins, or nothing for a malformed one (RFC 3629 section 4).
local function code_point(text, i)
  local first = text:byte(i)
  if first < 0x80 then
    return first, i + 1
  end
  local count = first >= 0xF0 and 3 or first >= 0xE0 and 2 or 1
  local value = first - (count == 3 and 0xF0 or count == 2 and 0xE0 or 0xC0)
  for k = 1, count do
    local byte = text:byte(i + k)
    if not byte or byte < 0x80 or byte > 0xBF then
      return nil
    end
    value = value * 64 + byte - 0x80
  end
  local least = count == 3 and 0x10000 or count == 2 and 0x800 or 0x80
  local is_surrogate = value >= 0xD800 and value <= 0xDFFF
  if first < 0xC0 or first > 0xF7 or value < least or value > 0x10FFFF or is_surrogate then
    return nil
  end
  return value, i + count + 1
end

local function is_utf8(text)
  local i = text:find("[\128-\255]")
  while i and i <= #text do
    local value
    value, i = code_point(text, i)
    if not value then
      return false
    end
  end
  return true
end

-- Number of items when the keys are 1 to n, nothing otherwise. An empty table is a list of none.
local function items_of(value)
  local count, highest = 0, 0
  for key in next, value do
    if type(key) ~= "number" or key < 1 or key ~= math.floor(key) then
      return nil
    end
    count, highest = count + 1, math.max(highest, key)
  end
  return count == highest and count or nil
end

local function number(value)
  if type(value) ~= "number" then
    return "", "a number"
  elseif value ~= value or value == math.huge or value == -math.huge then
    return "", "a finite number"
  elseif math_type and math_type(value) == "integer" and (value > LARGEST or value < -LARGEST) then
    return "", "a number that JSON carries exactly"
  end
end

-- Could a JSON encoder write it at all? No cycle, no holes, no mixed keys, no function.
local function plain(value, depth)
  local kind = type(value)
  if kind == "string" then
    if not is_utf8(value) then
      return "", "UTF-8"
    end
  elseif kind == "number" then
    return number(value)
  elseif kind == "table" then
    local is_list = items_of(value) ~= nil
    if depth > DEEPEST then
      return "", "a depth that ends"
    end
    for key, item in next, value do
      if not is_list and (type(key) ~= "string" or not is_utf8(key)) then
        return "", "a list without holes or an object"
      end
      local where, rule = plain(item, depth + 1)
      if where then
        return "/" .. (is_list and key - 1 or key) .. where, rule
      end
    end
  elseif kind ~= "boolean" and value ~= cjson.null then
    return "", "something that JSON has"
  end
end

-- ---- scalars ------------------------------------------------------------------

local function text(value)
  if type(value) ~= "string" then
    return "", "text"
  elseif not is_utf8(value) then
    return "", "UTF-8"
  end
end

-- Text under a pattern. Loosely any text will do.
local function form(rule, is_right)
  return function(value, call)
    local where, broken = text(value)
    if where then
      return where, broken
    elseif not call.loose and not is_right(value, call) then
      return "", rule
    end
  end
end

local filled = form("text that is not empty", function(value) return value ~= "" end)
local digits = form("digits only", function(value) return value:find("^[0-9]+$") ~= nil end)

local function one_of(...)
  local words = {}
  for _, word in ipairs { ... } do
    words[word] = true
  end
  return form("one of the documented words", function(value) return words[value] end)
end

-- Row 50: any URL, or https only. Little is asked of it; the library asks more.
local callback = form("a URL", function(value, call)
  local scheme = call.shapes.callback_url == "https" and "^https://." or "^."
  return value:lower():find(scheme) and not value:find("[%z\1-\31\127]")
end)

local function flag(value)
  if type(value) ~= "boolean" then
    return "", "a boolean"
  end
end

local function whole(value)
  return number(value) == nil and value == math.floor(value) and value >= -LARGEST and value <= LARGEST
end

-- Row 23: an integer where the value is digits, text otherwise. A leading zero makes it text (contract 6), and so do
-- more digits than a reader's number is sure to keep.
local function label(value, call)
  if type(value) == "number" then
    if not whole(value) then
      return "", "a whole number"
    end
  elseif call.wire and type(value) == "string" and #value <= 15 and value:find("^[1-9][0-9]*$") then
    return "", "digits as an integer"
  else
    return filled(value, call)
  end
end

-- Row 22, v1 only: number or text from the caller, one of them on the wire.
local function sold_for(value, call)
  local as_text = call.shapes.sold_for == "string"
  if type(value) == "string" and (as_text or not call.wire) then
    local read = value:find("^-?%d[%d.eE+-]*$") and not value:find("^-?0%d") and not value:find("%.$") and
      not value:find("%.[eE]") and tonumber(value)
    if not read then
      return "", "a number as text"
    end
    return number(read)
  elseif call.wire and as_text then
    return "", "a number as text"
  end
  return number(value)
end

local function nullable(check)
  return function(value, call)
    if value ~= cjson.null then
      return check(value, call)
    end
  end
end

-- ---- lists and objects ----------------------------------------------------------

-- most: nil where no document names a limit.
local function list(least, most, check)
  return function(value, call)
    local count = type(value) == "table" and items_of(value)
    if not count then
      return "", "a list"
    elseif count < least or (most and count > most) then
      return "", ("a list of %d to %s"):format(least, most or "any number")
    end
    for i = 1, count do
      local where, rule = check(rawget(value, i), call)
      if where then
        return "/" .. i - 1 .. where, rule
      end
    end
  end
end

-- "Sender|sender!": both spellings, required.
local function read_rows(rows)
  local fields, by_name = {}, {}
  for i = 1, #rows, 2 do
    local name, other, mark = rows[i]:match("^(%w+)|?(%w*)(!?)$")
    local field = { name = name, other = other ~= "" and other or nil, required = mark == "!", check = rows[i + 1] }
    fields[#fields + 1], by_name[name] = field, field
    if field.other then
      by_name[field.other] = field
    end
  end
  return fields, by_name
end

-- Row 1: the caller may use either spelling; out goes the capital one, or the other for v1 by switch.
local function is_spelt(field, key, call, by)
  local wanted = by and call.shapes.transfer_v1 == "lower" and field.other or field.name
  return not call.wire or key == wanted
end

-- also: a rule between the fields; by: the switch of row 1 counts here.
local function object(rows, also, by)
  local fields, by_name = read_rows(rows)
  return function(value, call)
    if type(value) ~= "table" then
      return "", "an object"
    end
    local given = {}
    for key, item in next, value do
      local field = by_name[key]
      if not field or given[field.name] ~= nil or not is_spelt(field, key, call, by) then
        return "/" .. tostring(key), "a documented name, once"
      end
      given[field.name] = item
    end
    for _, field in ipairs(fields) do
      local item, where, rule = given[field.name], nil, nil
      if item ~= nil then
        where, rule = field.check(item, call)
      elseif field.required and not call.loose then
        where, rule = "", "is required"
      end
      if where then
        return "/" .. field.name .. where, rule
      end
    end
    if also and not call.loose then
      return also(given, call)
    end
  end
end

-- Rows 2, 3, 5: an object, or a list of them. What goes out as an object is one.
local function either(switch, standard, check)
  local many = list(1, nil, check)
  return function(value, call)
    local goes_out_as = call.shapes[switch] or standard
    if call.wire then
      return (goes_out_as == "object" and check or many)(value, call)
    end
    local count = type(value) == "table" and items_of(value)
    if not count or (count == 0 and standard == "object") then
      return check(value, call)
    elseif goes_out_as == "object" and count > 1 then
      return "", "one item, where an object goes out"
    end
    return many(value, call)
  end
end

local function is_absent(value)
  return value == nil or value == cjson.null or value == ""
end

return {
  plain = plain, text = text, filled = filled, digits = digits, number = number, flag = flag, label = label,
  sold_for = sold_for, callback = callback, one_of = one_of, form = form, nullable = nullable, list = list,
  object = object, either = either, is_absent = is_absent,
}
