--- Where seats are, as the ends of keys in a store: organisation, access id, section, row and seat. Each part is
-- escaped, so that none holds a slash.
-- @module paciolan.workflow.places
local places = {}

local MAX_WHOLE = 2 ^ 53

--- A text as a part of a key.
-- @tparam string part
-- @treturn string
function places.escape(part)
  return (part:gsub("[^%w%._:%-]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

--- The text of an id or a label, which may come as a whole number (row 23).
-- @param value
-- @treturn string
-- @treturn[2] nil when there is none
function places.label(value)
  if type(value) == "number" and value >= 0 and value <= MAX_WHOLE and value % 1 == 0 then
    return ("%d"):format(value)
  end
  return type(value) == "string" and value ~= "" and value or nil
end

local function place_of(...)
  local place = {}
  for i = 1, 5 do
    local part = places.label((select(i, ...)))
    if not part then
      return table.concat(place, "/") .. "/", true
    end
    place[i] = places.escape(part)
  end
  return table.concat(place, "/")
end

--- Where a seat is, as the end of a key.
-- @tparam table item of a message
-- @tparam table message or anything else with an `organization_id`
-- @treturn string
-- @treturn ?boolean true when a part is missing: then it is the place of all seats with the same parts before
function places.of_item(item, message)
  return place_of(message.organization_id, item.accessId, item.section, item.row, item.seat)
end

--- Where a seat of a listing is.
-- @tparam table listing
-- @tparam table seat
-- @treturn string
function places.of_seat(listing, seat)
  return (place_of(listing.organization_id, seat.access_id, seat.section, seat.row, seat.seat))
end

--- Does a listing hold this place, or one that begins so?
-- @tparam table listing
-- @tparam string place
-- @tparam ?boolean is_prefix
-- @treturn boolean
function places.is_held(listing, place, is_prefix)
  for _, seat in ipairs(listing.seats) do
    local held = places.of_seat(listing, seat)
    if held == place or (is_prefix and held:sub(1, #place) == place) then
      return true
    end
  end
  return false
end

return places
