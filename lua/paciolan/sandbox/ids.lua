--- Seeded identifiers. Everything that the sandbox invents (tokens, barcodes,
-- ids, names) comes from here, so the same seed and the same requests give the
-- same answers on every Lua. Predictable by design: never a source of secrets.
-- @module paciolan.sandbox.ids

local ids = {}

-- The minimal standard generator of Park and Miller. Every product stays below
-- 2^53, so doubles (LuaJIT) and integers (5.4) walk the same sequence.
local MODULUS = 2147483647
local MULTIPLIER = 16807

ids.DIGITS = "0123456789"
ids.HEX = "0123456789abcdef"
ids.UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
ids.MIXED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

local Stream = {}
Stream.__index = Stream

local function state_of(text)
  local state = 1
  for i = 1, #text do
    state = (state * 131 + text:byte(i)) % MODULUS
  end
  return state == 0 and 1 or state
end

--- Opens one sequence of a seed. Streams of different names are independent,
-- so adding draws to one never shifts the values of another.
-- @tparam string seed
-- @tparam string name what the stream is for
-- @treturn Stream
function ids.stream(seed, name)
  local self = setmetatable({ _state = state_of(seed .. "\0" .. name), _used = {} }, Stream)
  for _ = 1, 8 do
    self:below(2) -- near seeds start near each other; a few steps part them
  end
  return self
end

--- Draws a whole number from 0 to limit - 1.
-- @tparam number limit at most 2^30
-- @treturn number
function Stream:below(limit)
  self._state = self._state * MULTIPLIER % MODULUS
  return math.floor(self._state / MODULUS * limit)
end

--- Draws one element of a list.
-- @tparam table list
function Stream:pick(list)
  return list[self:below(#list) + 1]
end

--- Draws a string that this stream has not given before.
-- @tparam number length in characters
-- @tparam string alphabet one of the constants of this module
-- @treturn string
function Stream:text(length, alphabet)
  local text
  repeat
    local out = {}
    for i = 1, length do
      local at = self:below(#alphabet) + 1
      out[i] = alphabet:sub(at, at)
    end
    text = table.concat(out)
  until not self._used[text]
  self._used[text] = true
  return text
end

--- Draws a UUID of version 4.
-- @treturn string in lower case
function Stream:uuid()
  local parts = {}
  for i = 1, 8 do
    parts[i] = string.format("%04x", self:below(65536))
  end
  parts[4] = "4" .. parts[4]:sub(2)
  parts[5] = string.format("%x", 8 + self:below(4)) .. parts[5]:sub(2)
  return parts[1] .. parts[2] .. "-" .. parts[3] .. "-" .. parts[4] .. "-" .. parts[5] .. "-" .. parts[6] .. parts[7]
    .. parts[8]
end

return ids
