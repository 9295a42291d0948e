--- Single values of answers and messages, turned into what a program works with. Everything else in an answer stays as
-- it came.
-- @module paciolan.values
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local values = {}

-- A correct program meets values that are null, absent or no time yet, so they are no misuse.
local function refuse(name, message)
  return nil, errors.new {
    kind = "validation", operation = "paciolan." .. name, message = message, retryable = false, fields = {},
  }
end

local function is_missing(value)
  return value == nil or value == json.null
end

local function check_text(name, value)
  if not is_missing(value) and type(value) ~= "string" then
    error(("paciolan.%s takes texts, not a %s"):format(name, type(value)), 3)
  end
end

--- Splits the section of a listing, a verified seat or a message into the two fields that a transfer by seat details
-- wants (row 24): `ES:9` is the level `ES` and the section `9`. The first colon counts.
-- @tparam string section
-- @treturn string level
-- @treturn string section
-- @treturn[2] nil
-- @treturn[2] table err of kind `validation`: there is no colon with something on either side of it; nil and
-- `paciolan.null` have none
-- @raise for a value of another type
function values.split_section(section)
  check_text("split_section", section)
  if is_missing(section) then
    return refuse("split_section", "there is no section")
  end
  local level, rest = section:match("^([^:]+):(.+)$")
  if not level then
    return refuse("split_section", "the section is not written LEVEL:SECTION")
  end
  return level, rest
end

--- Reads a time in one of the four forms of the documents (row 28):
--
-- * `2023-02-18T19:39:39.548608815Z`, the `expiration` of a token
-- * `2023-06-14T07:23:05.281+0000`, in the history of a transfer
-- * `06/07/2023 23:46:03`, `sentDt`, `expireDt` and `cancelDt`: without a zone, read as UTC
-- * `2023-05-20` and, as the second argument, `20:30:00Z`: an event's date and time
--
-- Digits beyond the millisecond are cut. A date alone is no time: what it stands for is for the caller to say, with
-- `00:00:00Z` for instance.
-- @tparam string text
-- @tparam ?string clock the time of day that belongs to a date
-- @treturn number milliseconds since 1970 in UTC, whole
-- @treturn nil
-- @treturn boolean has_zone: false when the text named no zone
-- @treturn[2] nil
-- @treturn[2] table err of kind `validation`, also for nil, `paciolan.null` and `TBD` in the place of either
-- @raise for a value of another type
function values.parse_time(text, clock)
  check_text("parse_time", text)
  check_text("parse_time", clock)
  if is_missing(text) or clock == json.null then
    return refuse("parse_time", "there is no time")
  elseif text == "TBD" or clock == "TBD" then
    return refuse("parse_time", "the time is still to be determined")
  end
  local unix_ms, has_zone = core.parse_time(clock and text .. "T" .. clock or text)
  if not unix_ms then
    return refuse("parse_time", text:find("^%d%d%d%d%-%d%d%-%d%d$") and not clock
      and "a date needs its time of day as the second argument" or "the text is no time in a documented form")
  end
  -- Through digits, so that it is a whole number, and prints as one, on every Lua.
  return tonumber(("%d"):format(unix_ms)), nil, has_zone
end

return values
