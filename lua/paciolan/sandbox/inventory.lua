--- The world of the sandbox: organisations, events, patrons, seats and the
-- MyAccount listings that start a sale, built from a seed, and the rules for
-- what may happen to a seat.
--
-- A seat is a table with its place (`access_id`, `section`, `row`, `seat`, …),
-- its `token` and `barcode`, its owner's patron id in `owner`, and its state:
--
-- * `lock` `{ listing_id, source }` while it is protected for a listing,
-- * `order` the process id of an order that is being worked on,
-- * `sale` `{ external_order_id, process_id }` once it was sold here,
-- * `transfer` the confirmation code of an open transfer,
-- * `printed` true once its ticket was retrieved.
-- @module paciolan.sandbox.inventory

local ids = require "paciolan.sandbox.ids"

local inventory = {}

local Inventory = {}
Inventory.__index = Inventory

-- One row per event. `blocks` lists level, section, rows and seats per row.
-- FB01 is large, so that batches over the limits of a call (lock 100, print 30)
-- can be tried.
local EVENTS = {
  { org = "129", season = "FB30", item = "FB01", name = "Football Game 1", date = "2030-09-07", facility = 1,
    blocks = { { "ES", "9", 6, 20 }, { "WS", "12", 6, 20 } } },
  { org = "129", season = "FB30", item = "FB02", name = "Football Game 2", date = "2030-09-21", facility = 1,
    blocks = { { "ES", "9", 3, 20 } } },
  { org = "129", season = "FB30", item = "P01", name = "Parking for Football Game 1", date = "2030-09-07",
    facility = 1, parking_for = "FB01", blocks = { { "LOT", "A", 1, 20 } } },
  { org = "999", season = "F30", item = "F01", name = "Hockey Game 1", date = "2030-10-12", facility = 2,
    blocks = { { "U", "100", 3, 20 } } },
  { org = "999", season = "F30", item = "F02", name = "Hockey Game 2", date = "2030-10-19", facility = 2,
    blocks = { { "U", "100", 3, 20 } } },
  { org = "999", season = "F30", item = "P01", name = "Parking for Hockey Game 1", date = "2030-10-12",
    facility = 2, parking_for = "F01", blocks = { { "LOT", "B", 1, 10 } } },
}

local FACILITIES = {
  { code = "STAD", configuration = "FB", name = "Stadium" },
  { code = "PAV", configuration = "HK", name = "Pavilion" },
}

-- Which event each MyAccount listing takes its seats from, and how many. The
-- first has the id of the documents' own sample.
local LISTINGS = {
  { "129:FB30:FB01", 2 }, { "129:FB30:FB01", 4 }, { "999:F30:F01", 2 }, { "129:FB30:FB02", 3 },
  { "129:FB30:FB01", 2, "129:FB30:P01", 1 }, { "999:F30:F02", 2 }, { "129:FB30:FB01", 120 },
  { "999:F30:F01", 1 }, { "129:FB30:FB01", 2 }, { "999:F30:F02", 4 }, { "129:FB30:FB02", 2 },
  { "129:FB30:FB01", 35 },
}
local FIRST_LISTING_ID = "A3qnemZ"

local FIRST_NAMES = { "Ada", "Ben", "Cleo", "Dara", "Eli", "Fay", "Gus", "Hana" }
local LAST_NAMES = { "Archer", "Bell", "Cole", "Drake", "Ellis", "Frost", "Grant", "Hale" }
local PATRON_COUNT = 8

local function new_patron_id(self)
  local id
  repeat
    id = string.format("%d", 100000 + self._patron_ids:below(900000))
  until not self._patron_by_id[id]
  return id
end

local function add_patron(self, email, first_name, last_name, origin)
  local patron = { id = new_patron_id(self), email = email, first_name = first_name, last_name = last_name,
    origin = origin }
  self.patrons[#self.patrons + 1] = patron
  self._patron_by_id[patron.id] = patron
  if email then
    self._patron_by_email[email:lower()] = patron
  end
  return patron
end

local function add_patrons(self)
  local names = ids.stream(self.seed, "names")
  for i = 1, PATRON_COUNT do
    local first, last = names:pick(FIRST_NAMES), names:pick(LAST_NAMES)
    add_patron(self, string.format("patron%d@example.com", i), first, last, "seeded")
  end
end

local function add_seat(self, event, block, row, number)
  local seat = {
    organization_id = event.organization_id, access_id = event.access_id, season = event.season, item = event.item,
    level = block[1], section_code = block[2], section = block[1] .. ":" .. block[2],
    row = tostring(row), seat = tostring(number), price_level = 1, price_type = "Adult",
    seating_type = "RESERVED", association_type = event.parking_for and "PARKING" or "VIP",
    attributes = number == 1 and { "ADA" } or {},
    token = event.organization_id .. self._tokens:text(14, ids.UPPER),
    barcode = "0" .. self._barcodes:text(12, ids.DIGITS),
  }
  self.seats[#self.seats + 1] = seat
  event.seats[#event.seats + 1] = seat
  self._seat_by_token[seat.token] = seat
  self._seat_by_barcode[seat.barcode] = seat
end

-- A further event for those who need more seats than the world has. It comes last, so that every other token stays.
local function extra_event(seats)
  local rows = math.floor(seats / 20)
  return { org = "129", season = "FB30", item = "FB03", name = "Football Game 3", date = "2030-09-28", facility = 1,
    blocks = { { "NS", "1", rows, 20 }, { "NS", "2", seats > rows * 20 and 1 or 0, seats - rows * 20 } } }
end

local function rows_of_events(extra_seats)
  local rows = {}
  for i, row in ipairs(EVENTS) do
    rows[i] = row
  end
  rows[#rows + 1] = extra_seats > 0 and extra_event(extra_seats) or nil
  return rows
end

local function add_events(self, extra_seats)
  for _, row in ipairs(rows_of_events(extra_seats)) do
    local event = { organization_id = row.org, season = row.season, item = row.item, name = row.name,
      date = row.date, facility = FACILITIES[row.facility], parking_for = row.parking_for,
      access_id = table.concat({ row.org, row.season, row.item }, ":"), seats = {} }
    self.events[#self.events + 1] = event
    self._event_by_id[event.access_id] = event
    for _, block in ipairs(row.blocks) do
      for r = 1, block[3] do
        for n = 1, block[4] do
          add_seat(self, event, block, r, n)
        end
      end
    end
  end
end

-- The seats of one listing belong to one patron; what no listing takes is
-- spread over all patrons in runs of two.
local function add_listings(self)
  local names, taken = ids.stream(self.seed, "listings"), {}
  for i, row in ipairs(LISTINGS) do
    local patron = self.patrons[(i - 1) % PATRON_COUNT + 1]
    local listing = { id = i == 1 and FIRST_LISTING_ID or names:text(7, ids.MIXED), patron_id = patron.id, seats = {} }
    for at = 1, #row, 2 do
      local event = self._event_by_id[row[at]]
      for _ = 1, row[at + 1] do
        taken[event] = (taken[event] or 0) + 1
        local seat = event.seats[taken[event]]
        seat.owner = patron.id
        listing.seats[#listing.seats + 1] = seat
      end
    end
    self.listings[#self.listings + 1] = listing
    self._listing_by_id[listing.id] = listing
  end
  for i, seat in ipairs(self.seats) do
    seat.owner = seat.owner or self.patrons[math.floor(i / 2) % PATRON_COUNT + 1].id
  end
end

--- Builds the world of a seed.
-- @tparam string seed
-- @tparam[opt=0] number extra_seats how many seats the event `129:FB30:FB03` has; without any it does not exist
-- @treturn Inventory
function inventory.new(seed, extra_seats)
  local self = setmetatable({
    seed = seed, organizations = { "129", "999" }, events = {}, seats = {}, patrons = {}, listings = {},
    _event_by_id = {}, _seat_by_token = {}, _seat_by_barcode = {}, _patron_by_id = {}, _patron_by_email = {},
    _listing_by_id = {},
    _patron_ids = ids.stream(seed, "patron ids"), _tokens = ids.stream(seed, "seat tokens"),
    _barcodes = ids.stream(seed, "barcodes"),
  }, Inventory)
  add_patrons(self)
  add_events(self, extra_seats or 0)
  add_listings(self)
  return self
end

--- @tparam string id
-- @treturn boolean whether the organisation exists
function Inventory:has_organization(id)
  return id == self.organizations[1] or id == self.organizations[2]
end

--- @tparam string access_id
-- @treturn ?table the event
function Inventory:event(access_id)
  return self._event_by_id[access_id]
end

--- @tparam string listing_id of MyAccount
-- @treturn ?table the listing: `id`, `patron_id`, `seats`
function Inventory:listing(listing_id)
  return self._listing_by_id[listing_id]
end

--- @tparam string token
-- @treturn ?table the seat
function Inventory:seat(token)
  return self._seat_by_token[token]
end

--- @tparam string barcode
-- @treturn ?table the seat
function Inventory:seat_by_barcode(barcode)
  return self._seat_by_barcode[barcode]
end

--- Finds a seat by its printed place.
-- @tparam string organization_id
-- @tparam table place `season`, `item`, `level`, `section`, `row`, `seat`, all strings
-- @treturn ?table the seat
function Inventory:seat_at(organization_id, place)
  local event = self._event_by_id[table.concat({ organization_id, place.season, place.item }, ":")]
  for _, seat in ipairs(event and event.seats or {}) do
    if seat.level == place.level and seat.section_code == place.section and seat.row == place.row
      and seat.seat == place.seat then
      return seat
    end
  end
  return nil
end

--- @tparam string id
-- @treturn ?table the patron
function Inventory:patron(id)
  return self._patron_by_id[id]
end

--- Finds the patron with an email address, or creates one, as the service does
-- for sellers, buyers and recipients. Without an email a new patron is made.
-- @tparam ?string email
-- @tparam ?string first_name
-- @tparam ?string last_name
-- @treturn table the patron
function Inventory:resolve_patron(email, first_name, last_name)
  local known = email and self._patron_by_email[email:lower()]
  return known or add_patron(self, email, first_name, last_name, "created")
end

--- Says what keeps a seat from being locked for a listing. The same listing
-- may lock its seat again.
-- @tparam table seat
-- @tparam ?string listing_id the integrator's own id
-- @treturn ?string the reason, or nil when nothing does
function Inventory:lock_obstacle(seat, listing_id)
  if seat.sale or seat.order then
    return "The seat is sold"
  elseif seat.transfer then
    return "The seat is being transferred"
  elseif seat.lock and seat.lock.listing_id ~= listing_id then
    return "The seat is locked by another listing"
  end
  return nil
end

--- Says what keeps a seat from being bought under a listing.
-- @tparam table seat
-- @tparam string listing_id
-- @treturn ?string
function Inventory:order_obstacle(seat, listing_id)
  if seat.sale or seat.order then
    return "The seat is sold"
  elseif not seat.lock then
    return "The seat is not locked"
  elseif seat.lock.listing_id and seat.lock.listing_id ~= listing_id then
    return "The seat is locked by another listing"
  end
  return nil
end

--- Says what keeps a patron from transferring a seat.
-- @tparam table seat
-- @tparam string patron_id the sender
-- @treturn ?string
function Inventory:transfer_obstacle(seat, patron_id)
  if seat.owner ~= patron_id then
    return "The sender does not own the seat"
  elseif seat.lock or seat.order then
    return "The seat is locked for a listing"
  elseif seat.transfer then
    return "The seat is being transferred"
  end
  return nil
end

--- The state of a seat in one word, for people.
-- @tparam table seat
-- @treturn string `open`, `locked`, `ordered`, `transferring` or `sold`
function Inventory:state(seat)
  return seat.order and "ordered" or seat.lock and "locked" or seat.transfer and "transferring"
    or seat.sale and "sold" or "open"
end

return inventory
