--- Marked values: strings that stand nowhere else, and a search for them in whatever came out of a program.
--
-- A mark is short and of letters and digits, so that no rule about the shape of secrets would find it: what keeps it
-- out of a text is that nobody put it there.
local ids = require("paciolan.sandbox.ids")
local mime = require("mime")

local marks = {}

local Marks = {}
Marks.__index = Marks

-- So much of a mark counts as the mark.
local PART = 8

local LENGTH = 12

local function note_parts(set, text, label)
  for i = 1, #text - PART + 1 do
    set[text:sub(i, i + PART - 1)] = label
  end
end

-- What base64 makes of a text in the midst of others: three ways to stand, without the ends, which neighbours change.
local function encodings(text)
  local list = {}
  for before = 0, 2 do
    local encoded = mime.b64(("x"):rep(before) .. text):gsub("=", "")
    list[before + 1] = encoded:sub(before == 0 and 1 or before + 2, -2)
  end
  return list
end

--- Opens a set of marks.
-- @tparam string seed
-- @treturn Marks
function marks.new(seed)
  return setmetatable({ _draw = ids.stream(seed, "marks"), _plain = {}, _encoded = {} }, Marks)
end

--- Watches for a text that exists already.
-- @tparam string text
-- @tparam string label what it is, for the list of what was found
-- @treturn string the text
function Marks:note(text, label)
  assert(#text >= PART, "too short to be a mark")
  note_parts(self._plain, text:lower(), label)
  for _, encoded in ipairs(encodings(text)) do
    note_parts(self._encoded, encoded, label)
  end
  return text
end

--- Makes a mark. Its first places hold a digit, so that it cannot pass for the name of a field.
-- @tparam string label
-- @treturn string
function Marks:make(label)
  local text = self._draw:text(LENGTH - 2, "abcdefghijklmnopqrstuvwxyz0123456789")
  return self:note("k" .. self._draw:pick { "2", "4", "7" } .. text, label)
end

--- Makes a mark of digits.
function Marks:digits(label)
  return self:note("9" .. self._draw:text(LENGTH - 1, ids.DIGITS), label)
end

local function search(found, set, text)
  for i = 1, #text - PART + 1 do
    local label = set[text:sub(i, i + PART - 1)]
    if label then
      found[label] = true
    end
  end
end

--- Whose marks stand in a text, whole or in part, plain, percent-encoded or in base64.
-- @tparam string text
-- @treturn table sorted labels
function Marks:found(text)
  local found, list = {}, {}
  search(found, self._plain, text:lower())
  search(found, self._encoded, text)
  if text:find("%%%x%x") then
    local decoded = text:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end)
    search(found, self._plain, decoded:lower())
  end
  for label in pairs(found) do
    list[#list + 1] = label
  end
  table.sort(list)
  return list
end

-- The address of a table is made of the digits that marks are made of, and some day one passes for a mark.
local function shown(value)
  return (tostring(value):gsub("^(%a+: )0x%x+$", "%1"))
end

--- All that a value shows, as one text: keys and values at any depth, and what `tostring` says.
function marks.everything(value, seen)
  seen = seen or {}
  if type(value) ~= "table" then
    return shown(value)
  elseif seen[value] then
    return ""
  end
  seen[value] = true
  local parts = { shown(value) }
  for key, item in pairs(value) do
    parts[#parts + 1] = marks.everything(key, seen) .. "=" .. marks.everything(item, seen)
  end
  return table.concat(parts, "\n")
end

return marks
