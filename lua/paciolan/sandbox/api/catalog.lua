--- GET /v1/catalog/events and GET /v1/listings/{listingId}.
-- @module paciolan.sandbox.api.catalog

local answers = require "paciolan.sandbox.answers"
local json = require "paciolan.sandbox.json"

local catalog = {}

local FILTERS = { startDate = true, seasonCode = true, facilityCode = true }
local START_TIME, END_TIME = "20:30:00Z", "23:30:00Z"

--- An event in the form of the catalog.
-- @tparam table event of the inventory
-- @treturn table
function catalog.item(event)
  local associations = event.parking_for and json.array { {
    type = "PARKING",
    associatedTo = json.array { table.concat({ event.organization_id, event.season, event.parking_for }, ":") },
  } } or json.array()
  return {
    seasonCode = event.season, itemCode = event.item, itemBasis = "SINGLE", itemName = event.name,
    startDate = event.date, startTime = START_TIME, endDate = event.date, endTime = END_TIME,
    facilityCode = event.facility.code, configurationCode = event.facility.configuration,
    facilityName = event.facility.name, association = associations, accessId = event.access_id,
  }
end

local function is_date(value)
  local month, day = value:match("^%d%d%d%d%-(%d%d)%-(%d%d)$")
  month, day = tonumber(month), tonumber(day)
  return month and month >= 1 and month <= 12 and day >= 1 and day <= 31 or false
end

local function check_filters(query)
  for name in pairs(query) do
    if not FILTERS[name] then
      return answers.refusal(422, "UNPROCESSABLE_ENTITY", "The query holds a parameter that is not documented")
    end
  end
  if query.startDate and not is_date(query.startDate) then
    return answers.refusal(400, "BAD_REQUEST", "Query parameter startDate must have the form YYYY-MM-DD")
  end
end

--- Lists the events of one organisation.
function catalog.events(box, call)
  local query, items = call.query, json.array()
  local refusal = check_filters(query)
  if refusal then
    return nil, refusal
  end
  for _, event in ipairs(box.inventory.events) do
    if event.organization_id == call.headers["pac-organization-id"]
      and event.date >= (query.startDate or "")
      and (query.seasonCode or event.season) == event.season
      and (query.facilityCode or event.facility.code) == event.facility.code then
      items[#items + 1] = catalog.item(event)
    end
  end
  return 200, items
end

local function listed_seat(seat)
  return {
    season = seat.season, item = seat.item, seatingType = seat.seating_type, associationType = seat.association_type,
    seatAttributes = json.array(seat.attributes), section = seat.section, row = seat.row, seat = seat.seat,
    token = seat.token,
  }
end

--- Shows the seats of a MyAccount listing by event. Seats that were sold since
-- are gone from it.
function catalog.listing(box, call)
  local listing = box.inventory:listing(call.id)
  local tickets, by_event = json.array(), {}
  for _, seat in ipairs(listing and listing.seats or {}) do
    if not seat.sale then
      local group = by_event[seat.access_id]
      if not group then
        group = { accessId = seat.access_id, seats = json.array() }
        by_event[seat.access_id] = group
        tickets[#tickets + 1] = group
      end
      group.seats[#group.seats + 1] = listed_seat(seat)
    end
  end
  if #tickets == 0 then
    return nil, answers.refusal(404, "LISTING_NOT_FOUND", "The listing does not exist")
  end
  return 200, json.array { { listingId = listing.id, tickets = tickets } }
end

return catalog
