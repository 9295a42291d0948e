--- Which seats are on sale elsewhere: the listings of an application, in a store, found by the seats they hold.
--
-- * `paciolan/listing/<id>`: the listing; its record is `{ listing =, since =, mark =, due =, gone = }`, where `since`
--   has the milliseconds since when each of its seats is listed, `mark` tells one remembering from the next, `due` is
--   the item because of which it has to go, and `gone` says that it is being removed
-- * `paciolan/listed/<organisation>/<access id>/<section>/<row>/<seat>`: the ids and marks of those that hold the seat
--
-- A listing holds a seat only when both say so. The seats are written before the listing, and removed when that says
-- that it is gone. So whatever a process leaves behind that dies in between, no listing is known that cannot be found
-- by its seats. What is left of a seat is harmless.
-- @module paciolan.workflow.listings
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"
local places = require "paciolan.workflow.places"

local listings = {}

local Listings = {}
Listings.__index = Listings

local escape, label = places.escape, places.label
local place_of_seat, has_place = places.of_seat, places.is_held

local LISTING, LISTED = "paciolan/listing/", "paciolan/listed/"
local DURABLE = { durable = true }

-- How often a value is read anew that others change at the same time.
local TRIES = 100
local PORTION = 100
-- How many entries a seat has for one listing: one, and more while it is being remembered anew, or when that broke off.
local MAX_MARKS = 8

--- @tparam table store
-- @tparam function now_ms unix milliseconds
-- @treturn table
function listings.new(store, now_ms)
  return setmetatable({ _store = store, _now_ms = now_ms }, Listings)
end

-- --- what others need of a record -----------------------------------------------------------------------------------

--- Since when a seat is listed.
-- @tparam table record
-- @tparam string place
-- @treturn number unix milliseconds
function listings.since(record, place)
  for i, seat in ipairs(record.listing.seats) do
    if place_of_seat(record.listing, seat) == place then
      return record.since[i]
    end
  end
  return record.listing.listed_at_ms
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
  if type(record) ~= "table" or type(record.listing) ~= "table" or type(record.since) ~= "table" then
    return nil, errors.store("what the store holds of a listing is no listing")
  end
  return record, text
end

-- The record of a listing, also of one that is being removed.
local function load(self, id)
  local text, err = self._store:get(LISTING .. escape(id))
  if text == nil then
    return nil, err
  end
  return decode_record(text)
end

-- Writes a record in the place of what was read there. Returns its text, false when there is something else now, or nil
-- and an error.
local function write(self, record, old_text)
  local key, text = LISTING .. escape(record.listing.external_listing_id), json.encode(record)
  local done, err
  if old_text then
    done, err = self._store:replace(key, old_text, text, DURABLE)
  else
    done, err = self._store:add(key, text, DURABLE)
  end
  return done and text, err
end

--- Reads a listing.
-- @tparam string id
-- @treturn table its record
-- @treturn string the text of it, for `drop` and `mark_due`
-- @treturn[2] nil when there is none
-- @treturn[3] nil
-- @treturn[3] table err of the store
function Listings:read(id)
  local record, text = load(self, id)
  if record and record.gone then
    return nil
  end
  return record, text
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

-- Edits of it: without the entry of a listing that has this mark; with it. Nobody removes the entry of another mark,
-- for it may belong to a listing that is about to be written.
local function without(id, mark)
  return function(text)
    local kept = {}
    for _, entry in ipairs(read_entries(text)) do
      if entry.id ~= id or entry.mark ~= mark then
        kept[#kept + 1] = entry
      end
    end
    return #kept > 0 and json.encode(kept) or nil
  end
end

local function with(id, mark)
  local remove = without(id, mark)
  return function(text)
    local entries = read_entries(remove(text))
    local oldest, number = nil, 0
    for i, entry in ipairs(entries) do
      if entry.id == id then
        oldest, number = oldest or i, number + 1
      end
    end
    if number >= MAX_MARKS then
      table.remove(entries, oldest)
    end
    entries[#entries + 1] = { id = id, mark = mark }
    return json.encode(entries)
  end
end

-- Edits the lists of all seats of a listing.
local function edit_seats(self, listing, edit)
  for _, seat in ipairs(listing.seats) do
    local done, err = listings.change(self._store, LISTED .. place_of_seat(listing, seat), DURABLE, edit)
    if not done then
      return nil, err
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
  return records_of(self, entries, function(listing) return has_place(listing, prefix, true) end)
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

-- The record of a listing as it is kept. Raises for what cannot be kept.
local function read_given(self, given)
  local record = { listing = read_listing(given, self._now_ms), mark = assert(core.request_id()) }
  if not pcall(json.encode, record) then
    error("the listing holds something that has no form in JSON", 0)
  end
  return record
end

-- --- changing -------------------------------------------------------------------------------------------------------

-- What a new record takes over from the one before: since when the seats that both hold are listed, unless it was given
-- a time, and that it has to go, while it holds the seat because of which.
local function inherit(record, before, listed_at_ms, is_given)
  local listing, known = record.listing, {}
  if before and not is_given then
    for i, seat in ipairs(before.listing.seats) do
      known[place_of_seat(before.listing, seat)] = before.since[i]
    end
  end
  record.since, listing.listed_at_ms = {}, listed_at_ms
  for i, seat in ipairs(listing.seats) do
    record.since[i] = known[place_of_seat(listing, seat)] or listed_at_ms
    listing.listed_at_ms = math.min(listing.listed_at_ms, record.since[i])
  end
  local due = before and before.due
  local place = due and places.of_item(due, before.listing)
  record.due = due and has_place(listing, place) and due or nil
end

-- Puts a record in the place of the one before, which is returned: false when there was none.
local function exchange(self, record, is_given)
  local listed_at_ms = record.listing.listed_at_ms
  for _ = 1, TRIES do
    local before, text = load(self, record.listing.external_listing_id)
    if not before and text ~= nil then
      return nil, text
    end
    inherit(record, before and not before.gone and before or nil, listed_at_ms, is_given)
    local done, err = write(self, record, text)
    if done then
      return before or false
    elseif done == nil then
      return nil, err
    end
  end
  return nil, errors.store("a listing is being changed by too many at once")
end

--- Remembers a listing, instead of one with the same id.
-- @tparam table given see `paciolan.workflow.delisting`
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store; then some of it may have been done
-- @raise a text for a listing of another form
function Listings:remember(given)
  local record = read_given(self, given)
  local listing = record.listing
  local done, err = edit_seats(self, listing, with(listing.external_listing_id, record.mark))
  if not done then
    return nil, err
  end
  local before
  before, err = exchange(self, record, given.listed_at_ms ~= nil)
  if not before then
    return before == false or nil, err
  end
  return edit_seats(self, before.listing, without(listing.external_listing_id, before.mark))
end

--- Removes a listing that is still what was read. Its record says so first, and goes last, so that nobody finds it by
-- its seats any more and what breaks off can be ended.
-- @tparam table record
-- @tparam string text
-- @treturn boolean true; false when it is another one now
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Listings:drop(record, text)
  local id = record.listing.external_listing_id
  if not record.gone then
    record.gone = true
    local err
    text, err = write(self, record, text)
    if not text then
      return text, err
    end
  end
  local done, err = edit_seats(self, record.listing, without(id, record.mark))
  if done then
    done, err = self._store:remove(LISTING .. escape(id), text)
  end
  if done == nil then
    return nil, err
  end
  return true -- also when it was remembered anew meanwhile
end

--- Ends a removal that broke off.
-- @tparam string id
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Listings:clear(id)
  local record, text = load(self, id)
  if not record then
    return text == nil or nil, text
  elseif not record.gone then
    return true
  end
  return self:drop(record, text)
end

--- Removes a listing.
-- @tparam string|number given its id
-- @treturn boolean true; false when there is none
-- @treturn[2] nil
-- @treturn[2] table err of the store; then it has to be called again, and ends what was begun
-- @raise a text for what is no id
function Listings:forget(given)
  local id = label(given)
  if not id then
    error("forget takes the id of a listing", 0)
  end
  for _ = 1, TRIES do
    local record, text = load(self, id)
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
  return write(self, record, text)
end

--- All of them.
-- @treturn table list of listings, in the order of their ids
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Listings:all()
  local records, err = select_records(self, function(record) return not record.gone end)
  for i, record in ipairs(records or {}) do
    records[i] = record.listing
  end
  return records, err
end

--- Those that have to go, or whose removal broke off.
-- @treturn table list of records, in the order of their ids
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Listings:due()
  return select_records(self, function(record) return record.due ~= nil or record.gone == true end)
end

return listings
