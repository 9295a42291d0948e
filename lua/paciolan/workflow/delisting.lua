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
-- **In doubt, down.** A listing that stays up after its seat was unlocked may be sold twice; one that is taken down for
-- nothing can be made again.
--
-- **Order.** Two changes of one seat may arrive in either order. An UNLOCK from long before the listing was made
-- (`listed_at_ms`, of our clock) belongs to an earlier one and is dropped. What is older by no more than clocks may
-- differ is compared with the last LOCK of the seat, which has the clock of the UNLOCK. An UNLOCK that is older than
-- that LOCK is unclear, for the lock may be another marketplace's. Only messages that came in an envelope have a
-- timestamp to compare; what comes bare counts in the order of its coming.
--
-- **In the store**, beside the keys of `paciolan.workflow.listings`:
--
-- * `paciolan/locked/<organisation>/<access id>/<section>/<row>/<seat>`: unix milliseconds of the last LOCK
-- * `paciolan/delisting/<id>`: who is taking the listing down
-- @module paciolan.workflow.delisting
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local listings = require "paciolan.workflow.listings"
local places = require "paciolan.workflow.places"

local delisting = {}

local Delisting = {}
Delisting.__index = Delisting
Delisting.__name = "paciolan.workflow.delisting"

local LOCKED, TAKING = "paciolan/locked/", "paciolan/delisting/"

local RESERVE_S = 20
-- SNS repeats a message for an hour; its clock and ours may differ.
local REMEMBER_S = 86400
local CLOCK_SKEW_MS = 300000
-- Each may be a request to somebody, and meanwhile nothing is received.
local RESUME_MAX = 20

-- --- making one ---------------------------------------------------------------------------------------------------

local KNOWN = { store = "table", on_delist = "function", on_unclear = "function", reserve_s = "number",
  remember_s = "number", clock_skew_ms = "number", resume_max = "number", now_ms = "function" }

-- What a number has to be, and the least it may be.
local NUMBERS = {
  reserve_s = { "a number of seconds, at least 1", 1 }, remember_s = { "a number of seconds, at least 1", 1 },
  clock_skew_ms = { "a number of milliseconds, at least 0", 0 }, resume_max = { "a whole number, at least 1", 1 },
}

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
    elseif NUMBERS[name] and not (value >= NUMBERS[name][2] and value < 2 ^ 31) then
      fail("option %s must be %s", name, NUMBERS[name][1])
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
--   `unknown_status` (row 61), `overtaken` (an UNLOCK that is older than a LOCK of the seat), or `earlier` (the same,
--   and it may also be from before the listing was made). True: done. Without it the listings of `overtaken` and
--   `earlier` are taken down, and items of the other two reasons are an error, so that a receiver answers 503 and
--   raises an alarm
-- * `reserve_s` 20: how long somebody may be at a listing before another may try. `remember_s` 86400: how long the last
--   LOCK of a seat is known. `clock_skew_ms` 300000: how far our clock and that of the messages may differ.
--   `resume_max` 20: how many listings `resume` takes at a time
-- * `now_ms`: unix milliseconds
-- @treturn table
-- @raise for a missing, unknown or wrong option
function delisting.new(options)
  check_options(options)
  local store = options.store
  return setmetatable({
    _store = store, _listings = listings.new(store, options.now_ms or core.now_ms), _counters = {},
    _on_delist = options.on_delist, _on_unclear = options.on_unclear,
    _clock_skew_ms = options.clock_skew_ms or CLOCK_SKEW_MS,
    _resume_max = math.floor(options.resume_max or RESUME_MAX), _resumed_up_to = "",
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
--
-- Of the one with the same id the seats that both hold keep the time since when they are listed, unless `listed_at_ms`
-- is given; and it still has to go when that has begun for one of them. When the seats were sold or unlocked between,
-- and are listed afresh, call `forget` before.
-- @tparam table listing `external_listing_id`; `organization_id`; `seats`, a list of
-- `{ access_id =, section = "LEVEL:SECTION", row =, seat = }` as the service writes them; `listed_at_ms`, unix
-- milliseconds, now by default: the time before the lock. What else it holds, here or in a seat, is kept and given to
-- `on_delist`
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
-- @treturn[2] table err of the store; then it has to be called again
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

--- How often what happened: `taken_down`, `not_listed`, `locked`, `earlier` (an UNLOCK from before the listing, dropped
-- or unclear), `no_seat`, `unknown_status`, `overtaken`, `in_flight`, `failed` (the application did not return true).
-- @treturn table `{ [name] = number }`, a copy
function Delisting:counters()
  local copy = {}
  for name, number in pairs(self._counters) do
    copy[name] = number
  end
  return copy
end

-- --- order --------------------------------------------------------------------------------------------------------

-- What is kept of a LOCK; 0, and so no LOCK at all, when the store holds something else.
local function read_ms(text)
  return tonumber(text:match("^%d+$")) or 0
end

local function note_lock(self, place, message)
  local at_ms = message.timestamp_ms
  count(self, "locked")
  if not at_ms then
    return true
  end
  return listings.change(self._store, LOCKED .. place, self._locked, function(last)
    return last and read_ms(last) >= at_ms and last or ("%.0f"):format(at_ms)
  end)
end

-- Is there a later LOCK of the seat? One of the same millisecond is not. Or nil and an error.
local function was_overtaken(self, place, message)
  local at_ms, last, err = message.timestamp_ms, nil, nil
  if at_ms then
    last, err = self._store:get(LOCKED .. place)
  end
  if last == nil and err ~= nil then
    return nil, err
  end
  return last ~= nil and read_ms(last) > at_ms
end

-- By how much a message is older than something of ours, in milliseconds; 0 when it is not, or has no time.
local function age_before(message, since_ms)
  return message.timestamp_ms and math.max(0, since_ms - message.timestamp_ms) or 0
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

-- With somebody to ask.
local function ask(self, item, message, records, reason)
  local concerned = {}
  for i, record in ipairs(records) do
    concerned[i] = record.listing
  end
  return call(self, self._on_unclear, item, message, concerned, reason)
end

local UNTOLD = {
  no_seat = "an UNLOCK does not say of which seat, and seats where it points are listed; give on_unclear",
  unknown_status = "a seat that is listed has a status that nobody knows; give on_unclear",
}

-- An item that nobody can act on. Where there is nobody to ask either it has to come again, and to be seen.
local function ask_or_refuse(self, item, message, records, reason)
  if #records == 0 then
    count(self, "not_listed")
    return true
  end
  count(self, reason)
  if self._on_unclear then
    return ask(self, item, message, records, reason)
  end
  return nil, errors.new { kind = "protocol", operation = "delisting.on_seat", message = UNTOLD[reason],
    retryable = false }
end

-- --- taking down --------------------------------------------------------------------------------------------------

local ANEW = "the listing was remembered anew meanwhile"

-- After on_delist. A listing that was remembered anew by then, with the seat, has to go as well.
local function drop(self, record, text)
  local book = self._listings
  local done, err = book:drop(record, text)
  if done or done == nil then
    return done, err
  end
  record, err = book:read(record.listing.external_listing_id)
  if not record then
    return err == nil or nil, err
  elseif record.due then
    return nil, ANEW
  end
  return true
end

-- With the reservation held. What was read before it may have changed.
local function take_down(self, id, mark, item, message)
  local book = self._listings
  local record, text = book:read(id)
  if not record then
    return text == nil or nil, text
  elseif record.mark ~= mark then
    return nil, ANEW
  end
  local due, err = book:mark_due(record, text, item)
  if not due then
    return nil, due == nil and err or ANEW
  end
  local done
  done, err = call(self, self._on_delist, record.listing, item, message)
  if not done then
    return nil, err
  end
  count(self, "taken_down")
  return drop(self, record, due)
end

-- One at a time for each listing: two seats of it may come in two messages.
local function delist(self, record, item, message)
  local id = record.listing.external_listing_id
  local key, mine = TAKING .. places.escape(id), assert(core.request_id())
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

-- What an UNLOCK means for one listing: nil when it has to go, `earlier` or `overtaken` when that is unclear, false
-- when it belongs to an earlier one.
local function doubt_of(self, record, place, message, is_overtaken)
  local age_ms = age_before(message, listings.since(record, place))
  if record.due then
    return nil
  elseif age_ms > self._clock_skew_ms then
    return false
  elseif is_overtaken then
    return age_ms > 0 and "earlier" or "overtaken"
  end
  return nil
end

-- Which of these listings have to go, and which are unclear, by reason. Without anybody to ask those have to go too.
local function sort_out(self, place, message, records, is_overtaken)
  local going, unclear = {}, {}
  for _, record in ipairs(records) do
    local doubt = doubt_of(self, record, place, message, is_overtaken)
    if doubt ~= nil then
      count(self, doubt or "earlier")
    end
    if doubt and self._on_unclear then
      unclear[doubt] = unclear[doubt] or {}
      table.insert(unclear[doubt], record)
    elseif doubt ~= false then
      going[#going + 1] = record
    end
  end
  return going, unclear
end

-- One that fails does not keep the others up.
local function unlock(self, place, item, message, records)
  local is_overtaken, err = was_overtaken(self, place, message)
  if is_overtaken == nil then
    return nil, err
  end
  local going, unclear = sort_out(self, place, message, records, is_overtaken)
  local all_done, failure = true, nil
  local function note(done, problem)
    if not done then
      all_done, failure = nil, problem
    end
  end
  for _, record in ipairs(going) do
    note(delist(self, record, item, message))
  end
  for reason, concerned in pairs(unclear) do
    note(ask(self, item, message, concerned, reason))
  end
  return all_done, failure
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
    local is_stale = age_before(message, record.listing.listed_at_ms) > self._clock_skew_ms
    concerned[#concerned + 1] = not is_stale and record or nil
  end
  return ask_or_refuse(self, item, message, concerned, item.status == "UNLOCK" and "no_seat" or "unknown_status")
end

--- Judges one item of a message about seats. It fits a receiver's `on_seat`.
--
-- An UNLOCK of a seat that is listed calls `on_delist` for its listing, which is forgotten when that returned true. A
-- LOCK is expected, and noted. Other statuses, and an UNLOCK without a seat, are never guessed at: see `on_unclear`.
-- Where nothing is listed they are acknowledged.
-- @tparam table item
-- @tparam table message both as `paciolan.messages.parse` makes them
-- @treturn boolean true: this item is dealt with
-- @treturn[2] nil
-- @return[2] err an error of the store, what the application answered or raised, or a text; the message has to come
-- again
function Delisting:on_seat(item, message)
  local place, is_partial = places.of_item(item, message)
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
    return ask_or_refuse(self, item, message, records, "unknown_status")
  end
  return unlock(self, place, item, message, records)
end

-- The next ones to take, in the order of their ids, all of them in turn: those that fail again and again must not keep
-- the others from being tried.
local function next_due(self, records)
  local first = 1
  while records[first] and places.escape(records[first].listing.external_listing_id) <= self._resumed_up_to do
    first = first + 1
  end
  local chosen = {}
  for i = 0, math.min(#records, self._resume_max) - 1 do
    chosen[#chosen + 1] = records[(first - 1 + i) % #records + 1]
  end
  local last = chosen[#chosen]
  self._resumed_up_to = last and places.escape(last.listing.external_listing_id) or ""
  return chosen
end

--- Takes down what was begun and not ended: a process died, or `on_delist` failed until SNS gave up. Call it at the
-- start and every minute or so; it takes at most `resume_max` listings at a time. It reads all that are listed, and
-- calls `on_delist` for one after the other; a program of one thread receives nothing meanwhile.
-- @treturn number how many were taken down
-- @treturn[2] nil
-- @return[2] err of the last one that failed; the others were tried
function Delisting:resume()
  local records, err = self._listings:due()
  if not records then
    return nil, err
  end
  local number, failure = 0, nil
  for _, record in ipairs(next_due(self, records)) do
    local done, problem
    if record.gone then
      done, problem = self._listings:clear(record.listing.external_listing_id)
    else
      done, problem = delist(self, record, record.due, nil)
      number = number + (done and 1 or 0)
    end
    failure = not done and problem or failure
  end
  if failure ~= nil then
    return nil, failure
  end
  return number
end

return delisting
