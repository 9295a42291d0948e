--- What can be made to happen in the world of the sandbox as if somebody else had done it, so that the service
-- publishes it: seats that are locked and unlocked, events that change.
-- @module paciolan.sandbox.triggers

local misdelivery = require "paciolan.sandbox.misdelivery"

local triggers = {}

local DEFAULT_LISTING_ID = "A3qnemZ"

-- The seats of an own listing of the integrator, by the id that he gave when he locked them.
local function locked_for(world, listing_id)
  local found = {}
  for _, seat in ipairs(world.seats) do
    if seat.lock and seat.lock.listing_id == listing_id then
      found[#found + 1] = seat
    end
  end
  return found
end

local function of_listing(world, listing_id)
  local listing = world:listing(listing_id)
  local seats = listing and listing.seats or locked_for(world, listing_id)
  if #seats == 0 then
    return nil, "There is no such listing"
  end
  return seats
end

local function at_place(world, wanted)
  local event = world:event(wanted.access_id)
  for _, seat in ipairs(event and event.seats or {}) do
    if seat.section == wanted.section and seat.row == wanted.row and seat.seat == wanted.seat then
      return { seat }
    end
  end
  return nil, "There is no such seat: access_id, section (as LEVEL:SECTION), row and seat tell its place"
end

local function wanted_seats(world, wanted)
  if wanted.token then
    local seat = world:seat(wanted.token)
    return seat and { seat }, "There is no such token"
  elseif wanted.access_id then
    return at_place(world, wanted)
  end
  return of_listing(world, wanted.listing_id or DEFAULT_LISTING_ID)
end

local function unlock(box, wanted, wishes)
  local seats, rule = wanted_seats(box.inventory, wanted)
  if not seats then
    return nil, rule
  end
  local opened = {}
  for _, seat in ipairs(seats) do
    if not (seat.order or seat.sale) then -- one that is being bought keeps its lock until the order ends
      seat.lock = nil
      opened[#opened + 1] = seat
    end
  end
  if #opened == 0 then
    return nil, "No seat can be unlocked: all of them are being bought, or sold"
  end
  return box.publisher:seats_changed(opened, "UNLOCK", wishes)
end

local function lock(box, wanted, wishes)
  local seats, rule = wanted_seats(box.inventory, wanted)
  for _, seat in ipairs(seats or {}) do
    rule = box.inventory:lock_obstacle(seat) or seat.lock and "The seat is locked already"
    if rule then
      return nil, rule
    end
  end
  if not seats then
    return nil, rule
  end
  for _, seat in ipairs(seats) do
    seat.lock = { source = "SANDBOX" }
  end
  return box.publisher:seats_changed(seats, "LOCK", wishes)
end

local function change_event(box, wanted, wishes)
  local world = box.inventory
  local event = world:event(wanted.access_id or world.events[1].access_id)
  if not event then
    return nil, "There is no such event"
  end
  event.name, event.date = wanted.name or event.name, wanted.date or event.date
  return box.publisher:event_changed(event, wishes)
end

-- What it does, and the keys that tell where.
local TRIGGERS = {
  ["seats.unlock"] = { run = unlock, keys = { "token", "listing_id", "access_id", "section", "row", "seat" } },
  ["seats.lock"] = { run = lock, keys = { "token", "listing_id", "access_id", "section", "row", "seat" } },
  ["events.changed"] = { run = change_event, keys = { "access_id", "name", "date" } },
}

--- The names of all triggers, sorted.
triggers.NAMES = {}
for name in pairs(TRIGGERS) do
  triggers.NAMES[#triggers.NAMES + 1] = name
end
table.sort(triggers.NAMES)

-- Parts the keys that tell where from those that tell what is to go wrong.
local function read(trigger, given)
  local wanted, wishes = {}, {}
  for key, value in pairs(given) do
    wishes[key] = value
  end
  wishes.what = nil
  for _, key in ipairs(trigger.keys) do
    if given[key] ~= nil and type(given[key]) ~= "string" then
      return nil, key .. " must be a string"
    end
    wanted[key], wishes[key] = given[key], nil
  end
  if wanted.date and not wanted.date:find("^%d%d%d%d%-%d%d%-%d%d$") then
    return nil, "date must have the form YYYY-MM-DD"
  elseif (wanted.token and 1 or 0) + (wanted.listing_id and 1 or 0) + (wanted.access_id and 1 or 0) > 1 then
    return nil, "token, listing_id and access_id exclude each other"
  elseif (wanted.section or wanted.row or wanted.seat) and not wanted.access_id then
    return nil, "section, row and seat go with access_id"
  end
  return wanted, wishes
end

--- Makes something happen and publishes it.
-- @tparam Sandbox box
-- @tparam table given `what`, a name of `triggers.NAMES`; where, which is the first listing or event when nothing is
-- said; and what is to go wrong with the message, as for `publish`
-- @treturn table the ids of the messages
-- @treturn number how many deliveries wait for them
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken
function triggers.run(box, given)
  local trigger = TRIGGERS[given.what]
  if not trigger then
    return nil, "what must be one of " .. table.concat(triggers.NAMES, ", ")
  end
  local wanted, wishes = read(trigger, given)
  local rule = wanted and misdelivery.check(wishes, misdelivery.OF_PUBLISH)
  if not wanted or rule then
    return nil, rule or wishes
  end
  return trigger.run(box, wanted, wishes)
end

return triggers
