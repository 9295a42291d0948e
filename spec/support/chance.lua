--- A source of chance that gives the same numbers on every Lua and in every run.
--
-- Park and Miller's minimal standard generator: every product is exact in a double.
local MODULUS = 2147483647

local chance = {}
chance.__index = chance

--- Makes a source.
-- @tparam number seed a whole number
-- @tparam number number which of the sources of that seed, from 1
function chance.new(seed, number)
  local self = setmetatable({ state = (seed * 48271 + number * 69621) % (MODULUS - 1) + 1 }, chance)
  for _ = 1, 4 do
    self:below(2)
  end
  return self
end

--- A whole number from 0 to below the limit.
function chance:below(limit)
  self.state = self.state * 16807 % MODULUS
  return math.floor(self.state / MODULUS * limit)
end

--- One item of the list.
function chance:pick(list)
  return list[self:below(#list) + 1]
end

--- True that often in a hundred.
function chance:percent(share)
  return self:below(100) < share
end

return chance
