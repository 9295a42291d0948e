--- Takes listings down when the service unlocks their seats (contract 5.2, row 61).
--
--     local delisting = require("paciolan.workflow.delisting").new {
--       store = store,
--       on_delist = function(listing) return take_off_sale(listing.external_listing_id) end,
--     }
--     delisting:remember { external_listing_id = "L-1", organization_id = "129", seats = seats }    -- before the lock
--     local receiver = paciolan.receiver {
--       on_seat = function(item, message) return delisting:on_seat(item, message) end, …
--     }
--
-- A listing is known until `on_delist` has returned true for it, or until `forget`. Whatever fails before that makes
-- the receiver answer 503, and the message comes again. So `on_delist` is called at least once, and exactly once when
-- nothing is interrupted. It is also called after an UNLOCK that the application caused itself, unless it forgot the
-- listing before.
--
-- SNS gives up after some attempts. A listing whose end has begun is remembered as such, and `resume` ends it.
--
-- **Order.** Two changes of one seat may arrive in either order. An UNLOCK from before the listing was made
-- (`listed_at_ms`) belongs to an earlier one and is dropped. So is one that is older than the last LOCK of the seat;
-- but that is unclear, for the lock may be another marketplace's. Only messages that came in an envelope have a
-- timestamp to compare; what comes bare counts in the order of its coming.
--
-- **In the store**, beside the keys of `paciolan.workflow.listings`:
--
-- * `paciolan/locked/<organisation>/<access id>/<section>/<row>/<seat>`: timestamp and message id of the last LOCK
-- * `paciolan/delisting/<id>`: who is taking the listing down
-- @module paciolan.workflow.delisting
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local listings = require "paciolan.workflow.listings"

local delisting = {}

local Delisting = {}
Delisting.__index = Delisting
Delisting.__name = "paciolan.workflow.delisting"

local LOCKED, TAKING = "paciolan/locked/", "paciolan/delisting/"

local RESERVE_S = 20
-- SNS repeats a message for an hour; its clock and ours may differ.
local REMEMBER_S = 86400

-- --- making one ---------------------------------------------------------------------------------------------------

local KNOWN = { store = "table", on_delist = "function", on_unclear = "function", reserve_s = "number",
  remember_s = "number", now_ms = "function" }

local function fail(message, ...)
  error("paciolan.workflow.delisting: " .. message:format(...), 4)
end

local function check_options(options)
  if type(options) ~= "table" then
    fail("a table of options is expected, not %s", type(options))
  end
  for name, value in pairs(options) do
    if not KNOWN[name] then
      fail("unknown option %s", errors.shown(name))
    elseif type(value) ~= KNOWN[name] then
      fail("option %s must be a %s", name, KNOWN[name])
    elseif type(value) == "number" and not (value >= 1 and value < 2 ^ 31) then
      fail("option %s must be a number of seconds, at least 1", name)
    end
  end
  if not options.store or not options.on_delist then
    fail("options store and on_delist are required")
  end
end

--- Makes the workflow. Several of them, in several processes, may share a store.
-- @tparam table options
--
-- * `store`: any store; one that outlives the process, for a listing that is forgotten stays on sale
-- * `on_delist(listing, item, message)`: takes the listing down, as a whole. True: done; anything else, and an error:
--   not done. It may yield. `message` is nil when `resume` calls it
-- * `on_unclear(item, message, listings, reason)`: an item of which nobody can tell what it means for these listings.
--   `reason` is `no_seat` (an UNLOCK that does not say of which seat, row 52: the listings are those of the row),
--   `unknown_status` (row 61), or `overtaken` (an UNLOCK that is older than a LOCK of the seat). True: done. Without it
--   such an item is counted and acknowledged, and nothing is taken down
-- * `reserve_s` 20: how long somebody may be at a listing before another may try. `remember_s` 86400: how long the last
--   LOCK of a seat is known
-- * `now_ms`: unix milliseconds
-- @treturn table
-- @raise for a missing, unknown or wrong option
function delisting.new(options)
  check_options(options)
  local store = options.store
  return setmetatable({
    _store = store, _listings = listings.new(store, options.now_ms or core.now_ms), _counters = {},
    _on_delist = options.on_delist, _on_unclear = options.on_unclear,
    _reserved = { ttl_s = options.reserve_s or RESERVE_S }, _locked = { ttl_s = options.remember_s or REMEMBER_S },
  }, Delisting)
end

local function count(self, name)
  self._counters[name] = (self._counters[name] or 0) + 1
end

-- --- the application's side ---------------------------------------------------------------------------------------

-- Misuse raises at the line that called the method.
local function guarded(method, self, given)
  local ok, done, err = pcall(method, self._listings, given)
  if not ok then
    error("paciolan.workflow.delisting: " .. tostring(done), 3)
  end
  return done, err
end

--- Remembers a listing, instead of one with the same id. Call it before its seats are locked, and `forget` when they
-- could not be: an UNLOCK that comes before it would be overlooked.
-- @tparam table listing `external_listing_id`; `organization_id`; `seats`, a list of
-- `{ access_id =, section = "LEVEL:SECTION", row =, seat = }` as the service writes them; `listed_at_ms`, unix
-- milliseconds, now by default. What else it holds, here or in a seat, is kept and given to `on_delist`
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store; then it has to be called again
-- @raise for a listing of another form, or one that JSON cannot hold
function Delisting:remember(listing)
  local done, err = guarded(self._listings.remember, self, listing)
  return done, err
end

--- Forgets a listing: it was sold, or taken down otherwise.
-- @tparam string external_listing_id
-- @treturn boolean true; false when it is not known
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Delisting:forget(external_listing_id)
  local done, err = guarded(self._listings.forget, self, external_listing_id)
  return done, err
end

--- All listings that are known.
-- @treturn table list in the order of their ids, as they were given to `remember`
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Delisting:listings()
  return self._listings:all()
end

--- How often what happened: `taken_down`, `not_listed`, `locked`, `earlier` (an UNLOCK from before the listing),
-- `no_seat`, `unknown_status`, `overtaken`, `in_flight`, `failed` (the application did not return true).
-- @treturn table `{ [name] = number }`, a copy
function Delisting:counters()
  local copy = {}
  for name, number in pairs(self._counters) do
    copy[name] = number
  end
  return copy
end

-- --- order --------------------------------------------------------------------------------------------------------

-- When a message was sent, as it is written down; nil when it does not say.
local function stamp_of(message)
  return message.timestamp_ms and ("%.0f %s"):format(message.timestamp_ms, message.message_id or "") or nil
end

-- The id decides between two of the same millisecond.
local function is_later(stamp, other)
  local at_ms, id = stamp:match("^(%d+) (.*)$")
  local other_ms, other_id = other:match("^(%d+) (.*)$")
  at_ms, other_ms = tonumber(at_ms), tonumber(other_ms)
  return at_ms > other_ms or (at_ms == other_ms and id > other_id)
end

local function note_lock(self, place, message)
  local stamp = stamp_of(message)
  count(self, "locked")
  if not stamp then
    return true
  end
  return listings.change(self._store, LOCKED .. place, self._locked, function(last)
    return last and not is_later(stamp, last) and last or stamp
  end)
end

-- Is there a later LOCK of the seat? Or nil and an error.
local function was_overtaken(self, place, message)
  local stamp, last, err = stamp_of(message), nil, nil
  if stamp then
    last, err = self._store:get(LOCKED .. place)
  end
  if last == nil and err ~= nil then
    return nil, err
  end
  return last ~= nil and is_later(last, stamp)
end

local function is_earlier(listing, message)
  return message.timestamp_ms ~= nil and message.timestamp_ms < listing.listed_at_ms
end

-- --- the application's answers ------------------------------------------------------------------------------------

-- True; or nil and why not.
local function call(self, handler, ...)
  local ok, done, err = pcall(handler, ...)
  if ok and done == true then
    return true
  end
  count(self, "failed")
  if not ok then
    return nil, done
  end
  return nil, err == nil and "the application did not return true" or err
end

local function ask(self, item, message, records, reason)
  if #records == 0 then
    count(self, "not_listed")
    return true
  end
  count(self, reason)
  if not self._on_unclear then
    return true
  end
  local concerned = {}
  for i, record in ipairs(records) do
    concerned[i] = record.listing
  end
  return call(self, self._on_unclear, item, message, concerned, reason)
end

-- --- taking down --------------------------------------------------------------------------------------------------

-- With the reservation held. What was read before it may have changed.
local function take_down(self, id, mark, item, message)
  local book = self._listings
  local record, text = book:read(id)
  if not record then
    return text == nil or nil, text
  elseif record.mark ~= mark then
    return nil, "the listing was remembered anew meanwhile"
  end
  local due, err = book:mark_due(record, text, item)
  if not due then
    return nil, due == nil and err or "the listing was remembered anew meanwhile"
  end
  local done
  done, err = call(self, self._on_delist, record.listing, item, message)
  if not done then
    return nil, err
  end
  count(self, "taken_down")
  done, err = book:drop(record, due)
  if done == nil then
    return nil, err
  end
  return true -- false: it was remembered anew by then, and that is another listing
end

-- One at a time for each listing: two seats of it may come in two messages.
local function delist(self, record, item, message)
  local id = record.listing.external_listing_id
  local key, mine = TAKING .. listings.escape(id), assert(core.request_id())
  local added, err = self._store:add(key, mine, self._reserved)
  if added == false then
    count(self, "in_flight")
    return nil, "the listing is being taken down by somebody else"
  end
  local ok, done = true, nil
  if added then
    ok, done, err = pcall(take_down, self, id, record.mark, item, message)
  end
  -- Also when the store has failed: it may have done it all the same.
  pcall(self._store.remove, self._store, key, mine)
  if not ok then
    error(done, 0)
  end
  return done, err
end

local function unlock(self, place, item, message, records)
  local is_overtaken, err = was_overtaken(self, place, message)
  if is_overtaken == nil then
    return nil, err
  end
  local overtaken = {}
  for _, record in ipairs(records) do
    local done = true
    if is_earlier(record.listing, message) then
      count(self, "earlier")
    elseif is_overtaken and not record.due then
      overtaken[#overtaken + 1] = record
    else
      done, err = delist(self, record, item, message)
    end
    if not done then
      return nil, err
    end
  end
  return #overtaken == 0 or ask(self, item, message, overtaken, "overtaken")
end

-- An item that does not say of which seat it is.
local function judge_seatless(self, prefix, item, message)
  if item.status == "LOCK" then
    return true
  end
  local records, err = self._listings:below(prefix)
  if not records then
    return nil, err
  end
  local concerned = {}
  for _, record in ipairs(records) do
    concerned[#concerned + 1] = not is_earlier(record.listing, message) and record or nil
  end
  return ask(self, item, message, concerned, item.status == "UNLOCK" and "no_seat" or "unknown_status")
end

--- Judges one item of a message about seats. It fits a receiver's `on_seat`.
--
-- An UNLOCK of a seat that is listed calls `on_delist` for its listing, which is forgotten when that returned true. A
-- LOCK is expected, and noted. Other statuses, and an UNLOCK without a seat, are never guessed at: see `on_unclear`.
-- @tparam table item
-- @tparam table message both as `paciolan.messages.parse` makes them
-- @treturn boolean true: this item is dealt with
-- @treturn[2] nil
-- @return[2] err an error of the store, what the application answered or raised, or a text; the message has to come
-- again
function Delisting:on_seat(item, message)
  local place, is_partial = listings.place_of_item(item, message)
  if is_partial then
    return judge_seatless(self, place, item, message)
  end
  local records, err = self._listings:at(place)
  if not records then
    return nil, err
  elseif #records == 0 then
    count(self, "not_listed")
    return true
  elseif item.status == "LOCK" then
    return note_lock(self, place, message)
  elseif item.status ~= "UNLOCK" then
    return ask(self, item, message, records, "unknown_status")
  end
  return unlock(self, place, item, message, records)
end

--- Takes down what was begun and not ended: a process died, or `on_delist` failed until SNS gave up. Call it at the
-- start and every minute or so.
-- @treturn number how many were taken down
-- @treturn[2] nil
-- @return[2] err of the last one that failed; the others were tried
function Delisting:resume()
  local records, err = self._listings:due()
  if not records then
    return nil, err
  end
  local number, failure = 0, nil
  for _, record in ipairs(records) do
    local done, problem = delist(self, record, record.due, nil)
    number = number + (done and 1 or 0)
    failure = not done and problem or failure
  end
  if failure ~= nil then
    return nil, failure
  end
  return number
end

return delisting
