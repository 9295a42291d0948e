--- Which seats are on sale elsewhere: the listings of an application, in a store, found by the seats they hold.
--
-- Parts of keys are escaped, so that none holds a slash.
--
-- * `paciolan/listing/<id>`: the listing; its record is `{ listing =, mark =, due = }`, where `mark` tells one
--   remembering from the next, and `due` is the item because of which it has to go
-- * `paciolan/listed/<organisation>/<access id>/<section>/<row>/<seat>`: the ids and marks of those that hold the seat
--
-- A listing holds a seat only when both say so: what a process leaves behind that dies between the two is harmless.
-- @module paciolan.workflow.listings
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local listings = {}

local Listings = {}
Listings.__index = Listings

local LISTING, LISTED = "paciolan/listing/", "paciolan/listed/"
local DURABLE = { durable = true }

-- How often a value is read anew that others change at the same time.
local TRIES = 100
local PORTION = 100

local MAX_WHOLE = 2 ^ 53

--- @tparam table store
-- @tparam function now_ms unix milliseconds
-- @treturn table
function listings.new(store, now_ms)
  return setmetatable({ _store = store, _now_ms = now_ms }, Listings)
end

-- --- keys ---------------------------------------------------------------------------------------------------------

--- A text as a part of a key.
-- @tparam string part
-- @treturn string
function listings.escape(part)
  return (part:gsub("[^%w%._:%-]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

local escape = listings.escape

-- The text of an id or a label, which may come as a whole number (row 23); nil when there is none.
local function label(value)
  if type(value) == "number" and value >= 0 and value <= MAX_WHOLE and value % 1 == 0 then
    return ("%d"):format(value)
  end
  return type(value) == "string" and value ~= "" and value or nil
end

local function place_of(...)
  local place = {}
  for i = 1, 5 do
    local part = label((select(i, ...)))
    if not part then
      return table.concat(place, "/") .. "/", true
    end
    place[i] = escape(part)
  end
  return table.concat(place, "/")
end

--- Where a seat is, as the end of a key.
-- @tparam table item of a message
-- @tparam table message
-- @treturn string
-- @treturn ?boolean true when a part is missing: then it is the place of all seats with the same parts before
function listings.place_of_item(item, message)
  return place_of(message.organization_id, item.accessId, item.section, item.row, item.seat)
end

local function place_of_seat(listing, seat)
  return (place_of(listing.organization_id, seat.access_id, seat.section, seat.row, seat.seat))
end

local function has_place(listing, place)
  for _, seat in ipairs(listing.seats) do
    if place_of_seat(listing, seat) == place then
      return true
    end
  end
  return false
end

-- --- the store ----------------------------------------------------------------------------------------------------

--- Changes a value that others may change at the same time.
-- @tparam table store
-- @tparam string key
-- @tparam table options of the write
-- @tparam function edit gets the value, or nil, and returns the new one, or nil
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store
function listings.change(store, key, options, edit)
  for _ = 1, TRIES do
    local old, err = store:get(key)
    if old == nil and err ~= nil then
      return nil, err
    end
    local new, done = edit(old), true
    if new == nil and old ~= nil then
      done, err = store:remove(key, old)
    elseif old == nil and new ~= nil then
      done, err = store:add(key, new, options)
    elseif new ~= old then
      done, err = store:replace(key, old, new, options)
    end
    if done or done == nil then
      return done, err
    end
  end
  return nil, errors.store("a listing is being changed by too many at once")
end

local function decode_record(text)
  local record = json.decode(text)
  if type(record) ~= "table" or type(record.listing) ~= "table" then
    return nil, errors.store("what the store holds of a listing is no listing")
  end
  return record, text
end

--- Reads a listing.
-- @tparam string id
-- @treturn table its record
-- @treturn string the text of it, for `drop` and `mark_due`
-- @treturn[2] nil when there is none
-- @treturn[3] nil
-- @treturn[3] table err of the store
function Listings:read(id)
  local text, err = self._store:get(LISTING .. escape(id))
  if text == nil then
    return nil, err
  end
  return decode_record(text)
end

-- Calls `take(value)` for everything below a prefix.
local function walk(store, prefix, take)
  local after
  repeat
    local found, err = store:list(prefix, { after = after, limit = PORTION })
    if not found then
      return nil, err
    end
    for _, pair in ipairs(found) do
      take(pair[2])
      after = pair[1]
    end
  until #found < PORTION
  return true
end

-- The records of all listings that `fits` takes, in the order of their ids.
local function select_records(self, fits)
  local records, failure = {}, nil
  local done, err = walk(self._store, LISTING, function(text)
    local record, problem = decode_record(text)
    if not record then
      failure = problem
    elseif fits(record) then
      records[#records + 1] = record
    end
  end)
  if not done or failure then
    return nil, err or failure
  end
  return records
end

-- --- the list of a seat -------------------------------------------------------------------------------------------

local function read_entries(text)
  return text and json.decode(text) or {}
end

-- Edits of it: without a listing, whose mark has to be the given one if there is one; with it.
local function without(id, mark)
  return function(text)
    local kept = {}
    for _, entry in ipairs(read_entries(text)) do
      if entry.id ~= id or (mark and entry.mark ~= mark) then
        kept[#kept + 1] = entry
      end
    end
    return #kept > 0 and json.encode(kept) or nil
  end
end

local function with(id, mark)
  local remove = without(id)
  return function(text)
    local entries = read_entries(remove(text))
    entries[#entries + 1] = { id = id, mark = mark }
    return json.encode(entries)
  end
end

local function join_seats(self, listing, mark)
  local edit = with(listing.external_listing_id, mark)
  for _, seat in ipairs(listing.seats) do
    local done, err = listings.change(self._store, LISTED .. place_of_seat(listing, seat), DURABLE, edit)
    if not done then
      return nil, err
    end
  end
  return true
end

-- But for those that the other listing holds, if there is one.
local function leave_seats(self, listing, mark, other)
  local edit = without(listing.external_listing_id, mark)
  for _, seat in ipairs(listing.seats) do
    local place = place_of_seat(listing, seat)
    if not (other and has_place(other, place)) then
      local done, err = listings.change(self._store, LISTED .. place, DURABLE, edit)
      if not done then
        return nil, err
      end
    end
  end
  return true
end

-- The records of the listings that these entries name, those that `fits` takes.
local function records_of(self, entries, fits)
  local records, seen = {}, {}
  for _, entry in ipairs(entries) do
    local record, err = nil, nil
    if not seen[entry.id] then
      seen[entry.id] = true
      record, err = self:read(entry.id)
    end
    if not record and err ~= nil then
      return nil, err
    elseif record and fits(record.listing) then
      records[#records + 1] = record
    end
  end
  return records
end

--- The listings that hold a seat.
-- @tparam string place
-- @treturn table list of records, mostly empty
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Listings:at(place)
  local text, err = self._store:get(LISTED .. place)
  if text == nil then
    return err == nil and {} or nil, err
  end
  return records_of(self, read_entries(text), function(listing) return has_place(listing, place) end)
end

--- The listings that hold a seat whose place begins so.
-- @tparam string prefix
-- @treturn table list of records
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Listings:below(prefix)
  local entries = {}
  local done, err = walk(self._store, LISTED .. prefix, function(text)
    for _, entry in ipairs(read_entries(text)) do
      entries[#entries + 1] = entry
    end
  end)
  if not done then
    return nil, err
  end
  return records_of(self, entries, function() return true end)
end

-- --- what is given --------------------------------------------------------------------------------------------------

local function copy_of(given)
  local copy = {}
  for name, value in pairs(type(given) == "table" and given or {}) do
    copy[name] = value
  end
  return copy
end

local function read_labels(object, names, place)
  for _, name in ipairs(names) do
    object[name] = label(object[name])
    if not object[name] then
      error(("%s%s must be a text that is not empty"):format(place, name), 0)
    end
  end
end

local function read_listing(given, now_ms)
  if type(given) ~= "table" or type(given.seats) ~= "table" or #given.seats == 0 then
    error("a listing is a table with a list of seats, at least one", 0)
  end
  local listing = copy_of(given)
  read_labels(listing, { "external_listing_id", "organization_id" }, "")
  listing.seats = {}
  for i, seat in ipairs(given.seats) do
    listing.seats[i] = copy_of(seat)
    read_labels(listing.seats[i], { "access_id", "section", "row", "seat" }, ("seats[%d]."):format(i))
  end
  if listing.listed_at_ms == nil then
    listing.listed_at_ms = now_ms()
  elseif type(listing.listed_at_ms) ~= "number" then
    error("listed_at_ms must be unix milliseconds", 0)
  end
  return listing
end

-- The listing as it is kept, its record and the text of that. Raises for what cannot be kept.
local function read_given(self, given)
  local listing = read_listing(given, self._now_ms)
  local record = { listing = listing, mark = assert(core.request_id()) }
  local ok, text = pcall(json.encode, record)
  if not ok then
    error("the listing holds something that has no form in JSON", 0)
  end
  return listing, record, text
end

-- --- changing -------------------------------------------------------------------------------------------------------

--- Remembers a listing, instead of one with the same id.
-- @tparam table given see `paciolan.workflow.delisting`
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store; then some of it may have been done
-- @raise a text for a listing of another form
function Listings:remember(given)
  local listing, record, text = read_given(self, given)
  local before, err = self:read(listing.external_listing_id)
  if not before and err ~= nil then
    return nil, err
  end
  local done
  done, err = self._store:put(LISTING .. escape(listing.external_listing_id), text, DURABLE)
  if done then
    done, err = join_seats(self, listing, record.mark)
  end
  if done and before then
    done, err = leave_seats(self, before.listing, before.mark, listing)
  end
  return done, err
end

--- Removes a listing that is still what was read. Its record goes first, so that nobody finds it by its seats any more.
-- @tparam table record
-- @tparam string text
-- @treturn boolean true; false when it is another one now
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Listings:drop(record, text)
  local removed, err = self._store:remove(LISTING .. escape(record.listing.external_listing_id), text)
  if not removed then
    return removed, err
  end
  return leave_seats(self, record.listing, record.mark)
end

--- Removes a listing.
-- @tparam string|number given its id
-- @treturn boolean true; false when there is none
-- @treturn[2] nil
-- @treturn[2] table err of the store
-- @raise a text for what is no id
function Listings:forget(given)
  local id = label(given)
  if not id then
    error("forget takes the id of a listing", 0)
  end
  for _ = 1, TRIES do
    local record, text = self:read(id)
    if not record and text == nil then
      return false
    elseif not record then
      return nil, text
    end
    local done, err = self:drop(record, text)
    if done or done == nil then
      return done, err
    end
  end
  return nil, errors.store("a listing is being changed by too many at once")
end

--- Writes down that a listing has to go.
-- @tparam table record its `due` is set
-- @tparam string text
-- @tparam table item because of which
-- @treturn string the new text
-- @treturn[2] boolean false when it is another one now
-- @treturn[3] nil
-- @treturn[3] table err of the store
function Listings:mark_due(record, text, item)
  if record.due then
    return text
  end
  record.due = item
  local due = json.encode(record)
  local done, err = self._store:replace(LISTING .. escape(record.listing.external_listing_id), text, due, DURABLE)
  return done and due, err
end

--- All of them.
-- @treturn table list of listings, in the order of their ids
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Listings:all()
  local records, err = select_records(self, function() return true end)
  for i, record in ipairs(records or {}) do
    records[i] = record.listing
  end
  return records, err
end

--- Those that have to go.
-- @treturn table list of records
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Listings:due()
  return select_records(self, function(record) return record.due ~= nil end)
end

return listings
