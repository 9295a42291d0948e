--- What the sandbox does wrong with messages: it doubles, reorders and delays them, and sends forged and stale ones
-- beside the true ones. All of it is drawn from a seed.
-- @module paciolan.sandbox.misdelivery

local ids = require "paciolan.sandbox.ids"
local sns = require "paciolan.sandbox.sns"

local misdelivery = {}

local DRAW = 2 ^ 30 -- as fine as shares are
local LATE_S = 7200 -- how old a late copy is, unless the plan says otherwise: beyond the window of an hour

local function number(low, high, is_whole)
  local rule = string.format("must be a %snumber from %d to %d", is_whole and "whole " or "", low, high)
  return function(value)
    local fits = type(value) == "number" and value >= low and value <= high
      and (not is_whole or value == math.floor(value))
    return not fits and rule or nil
  end
end

local function tampering(value)
  for _, name in ipairs(sns.TAMPERINGS) do
    if value == name then
      return nil
    end
  end
  return "must be one of " .. table.concat(sns.TAMPERINGS, ", ")
end

local function text(value)
  return type(value) ~= "string" and "must be a string" or nil
end

-- `duplicate`: 2 are two more copies of each message, 0.3 is one more copy of three in ten.
local DUPLICATE, REORDER_MS = number(0, 10), number(0, 60000, true)
local AGE_S = number(-315360000, 315360000)

--- What one call of publish may ask for its own messages: key to check.
misdelivery.OF_PUBLISH = { duplicate = DUPLICATE, reorder_ms = REORDER_MS, age_s = AGE_S, tamper = tampering }

--- What a plan may hold for all messages. `late` and `tamper` are shares of messages beside which another copy goes
-- out.
misdelivery.OF_PLAN = { duplicate = DUPLICATE, reorder_ms = REORDER_MS, late = number(0, 1), age_s = AGE_S,
  tamper = number(0, 1), seed = text }

-- What is no name might be anything, so it is not repeated.
local function named(key)
  local is_name = type(key) == "string" and #key <= 40 and key:find("^[%a_][%w_]*$")
  return is_name and "the key " .. key or "a key"
end

--- Checks options against one of the two tables.
-- @tparam table given
-- @tparam table known
-- @treturn ?string the rule that is broken, or nil
function misdelivery.check(given, known)
  for key, value in pairs(given) do
    local check = known[key]
    if not check then
      return named(key) .. " is not known here"
    end
    local rule = check(value)
    if rule then
      return key .. " " .. rule
    end
  end
end

local Plan = {}
Plan.__index = Plan

--- @tparam string seed
-- @treturn Plan that does nothing wrong
function misdelivery.new(seed)
  local self = setmetatable({ _seed = seed }, Plan)
  self:set {}
  return self
end

--- Takes another plan, whose draws begin anew.
-- @tparam table plan see `OF_PLAN`, checked
function Plan:set(plan)
  self._plan = plan
  self._draw = ids.stream(plan.seed or self._seed, "misdelivery")
end

--- @treturn table the plan, to be written as JSON
function Plan:view()
  return self._plan
end

local function is_drawn(self, share)
  return self._draw:below(DRAW) / DRAW < (share or 0)
end

--- Decides what goes out for one message. There are as many draws for each message, whatever they decide.
-- @tparam table wishes of its call, see `OF_PUBLISH`
-- @treturn table list of copies in the order of sending, the message itself first: `is_copy`, `tamper`, `age_s`,
-- `is_late` (a stale message with an id of its own)
function Plan:copies(wishes)
  local plan, list = self._plan, { { tamper = wishes.tamper, age_s = wishes.age_s } }
  local duplicate = wishes.duplicate or plan.duplicate or 0
  local more = is_drawn(self, duplicate % 1) and 1 or 0
  local has_late, has_forged = is_drawn(self, plan.late), is_drawn(self, plan.tamper)
  local kind = self._draw:pick(sns.TAMPERINGS)
  for _ = 1, math.floor(duplicate) + more do
    list[#list + 1] = { is_copy = true, tamper = wishes.tamper, age_s = wishes.age_s }
  end
  if has_late then
    list[#list + 1] = { is_copy = true, is_late = true, age_s = plan.age_s or LATE_S }
  end
  if has_forged then
    list[#list + 1] = { is_copy = true, tamper = kind }
  end
  return list
end

--- Draws how long one delivery is held back.
-- @tparam table wishes of its call
-- @treturn number milliseconds
function Plan:delay_ms(wishes)
  local longest = wishes.reorder_ms or self._plan.reorder_ms or 0
  return longest > 0 and self._draw:below(longest + 1) or 0
end

return misdelivery
