--- What leads to a run: the seats that a purchase has for itself, and ways back from what the service tells later.
--
-- **In the store**, beside the keys of `paciolan.workflow.journal`:
--
-- * `paciolan/claim/…/<token>`: the purchase that this seat is in. No two of them may be under way for one seat: if an
--   answer were lost, the sale of the one would pass for that of the other
-- * `paciolan/sale/…/<token>`: the purchase in which this seat was sold last, for another one whose answer is missing
-- * `paciolan/trace/…/<what>/<value>/<space>/<id>`: a process id, a token or the place of a seat, and the run that has
--   to do with it
-- * `paciolan/callback/…/<process id>`: what a callback said, so that it is known to whoever carries the run, and also
--   when it came before the answer that names the process id
-- * `paciolan/callback-token/…/<token>`: the process id of the latest callback about this seat
-- @module paciolan.workflow.traces
local errors = require "paciolan.errors"
local journal = require "paciolan.workflow.journal"
local json = require "paciolan.json"
local runs = require "paciolan.workflow.run"

local traces = {}

local unpack = rawget(_G, "unpack") or rawget(table, "unpack")

local TRACE, CLAIM, SALE = "paciolan/trace/", "paciolan/claim/", "paciolan/sale/"
local CALLBACK, CALLBACK_TOKEN = "paciolan/callback/", "paciolan/callback-token/"

-- How long a callback is kept that nobody has asked for.
local CALLBACK_S = 7 * 24 * 60 * 60
local TRIES = 4
local ENDED = { COMPLETE = true, ERROR = true }

local function name_of(space, id)
  return json.encode { space, id }
end

-- --- claims -------------------------------------------------------------------------------------------------------

-- Is a claim that of a run which has ended, or which never began?
local function is_over(book, owner)
  local name = json.decode(owner) or {}
  if type(name[1]) ~= "string" or type(name[2]) ~= "string" then
    return true
  end
  local record, problem = book:read(name[1], name[2])
  if record then
    return record.ended_ms ~= nil, name[2]
  elseif problem then
    return nil, problem
  end
  local is_carried, err = book:is_carried(name[1], name[2]) -- the record of a new run may be on its way
  if is_carried == nil then
    return nil, err
  end
  return not is_carried, name[2]
end

-- Returns true, or false and the id of the run that has the seat.
local function claim_one(book, token, mine)
  local key = book:key(CLAIM, token)
  for _ = 1, TRIES do
    local added, err = book.store:add(key, mine)
    if added or added == nil then
      return added, err
    end
    local owner, unread = book.store:get(key)
    if owner == nil and unread ~= nil then
      return nil, unread
    elseif owner == mine then
      return true
    end
    local over, id = is_over(book, owner or "")
    if not over then
      return over, id
    end
    local taken, failed = book.store:replace(key, owner or "", mine)
    if taken or taken == nil then
      return taken, failed
    end
  end
  return nil, errors.store("a seat is being claimed by too many at once")
end

--- Takes the seats of a purchase for it alone, all or none.
-- @tparam table run
-- @tparam table tokens
-- @treturn boolean true
-- @treturn[2] boolean false when a seat is in another purchase
-- @treturn[2] string the id of that
-- @treturn[3] nil
-- @treturn[3] table err of the store
function traces.claim(run, tokens)
  local mine = name_of(run.space, run.id)
  for i, token in ipairs(tokens) do
    local claimed, problem = claim_one(run.journal, token, mine)
    if not claimed then
      for before = 1, i - 1 do
        pcall(run.journal.store.remove, run.journal.store, run.journal:key(CLAIM, tokens[before]), mine)
      end
      if claimed == nil then
        problem = journal.error_of(problem)
      end
      return claimed, problem
    end
  end
  return true
end

--- Gives the seats of a purchase back. One that a dying process leaves is found to be over by the next who wants it.
-- @tparam table run
-- @tparam table tokens
function traces.unclaim(run, tokens)
  local mine = name_of(run.space, run.id)
  for _, token in ipairs(tokens) do
    pcall(run.journal.store.remove, run.journal.store, run.journal:key(CLAIM, token), mine)
  end
end

-- --- sales ---------------------------------------------------------------------------------------------------------

--- Writes down that seats were sold in a purchase. It is kept as long as the run is, and longer.
-- @tparam table run
-- @tparam table tokens
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store
function traces.note_sale(run, tokens)
  local text = json.encode { run.space, run.id, run:now_ms() }
  for _, token in ipairs(tokens) do
    local done, err = run.journal.store:put(run.journal:key(SALE, token), text, { ttl_s = 2 * run.journal.keep_s })
    if done == nil then
      return nil, journal.error_of(err)
    end
  end
  return true
end

--- Takes back that seats were sold in a purchase.
-- @tparam table run
-- @tparam table tokens
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store
function traces.forget_sale(run, tokens)
  local store = run.journal.store
  for _, token in ipairs(tokens) do
    local key = run.journal:key(SALE, token)
    local text, err = store:get(key)
    local sale = text and json.decode(text) or {}
    if sale[1] == run.space and sale[2] == run.id then
      text, err = store:remove(key, text)
    end
    if text == nil and err ~= nil then
      return nil, journal.error_of(err)
    end
  end
  return true
end

--- Was a seat sold in another purchase since a time?
-- @tparam table run
-- @tparam string token
-- @tparam number since_ms unix milliseconds
-- @treturn boolean
-- @treturn[2] nil
-- @treturn[2] table err of the store
function traces.is_sold_elsewhere(run, token, since_ms)
  local text, err = run.journal.store:get(run.journal:key(SALE, token))
  if text == nil and err ~= nil then
    return nil, journal.error_of(err)
  end
  local sale = text and json.decode(text) or {}
  return type(sale[3]) == "number" and sale[3] >= since_ms and (sale[1] ~= run.space or sale[2] ~= run.id)
end

-- --- ways back ----------------------------------------------------------------------------------------------------

--- Writes down that something has to do with a run. It is kept as long as an ended run is, and longer.
-- @tparam table run
-- @tparam string what `process`, `token` or `seat`
-- @tparam string ... its value, in parts
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store
function traces.add(run, what, ...)
  local book, parts = run.journal, { what, ... }
  parts[#parts + 1], parts[#parts + 2] = run.space, run.id
  local done, err = book.store:put(book:key(TRACE, unpack(parts)), name_of(run.space, run.id),
    { ttl_s = 2 * book.keep_s })
  if done == nil then
    return nil, journal.error_of(err)
  end
  return true
end

--- The runs that something has to do with.
-- @tparam table book the journal
-- @tparam string what
-- @tparam string ... its value, in parts
-- @treturn table list of `{ space =, id = }`
-- @treturn[2] nil
-- @treturn[2] table err of the store
function traces.find(book, what, ...)
  local found, err = book.store:list(book:key(TRACE, what, ...) .. "/")
  if not found then
    return nil, journal.error_of(err)
  end
  local list = {}
  for i, pair in ipairs(found) do
    local name = json.decode(pair[2]) or {}
    list[i] = { space = name[1], id = name[2] }
  end
  return list
end

-- --- callbacks ----------------------------------------------------------------------------------------------------

local function tokens_of(body)
  local tokens = {}
  for _, offer in ipairs(type(body.offers) == "table" and body.offers or {}) do
    local seats = type(offer) == "table" and type(offer.event) == "table" and offer.event.seats
    for _, seat in ipairs(type(seats) == "table" and seats or {}) do
      if type(seat) == "table" and type(seat.token) == "string" then
        tokens[#tokens + 1] = seat.token
      end
    end
  end
  return tokens
end

--- Keeps what a callback said. The first that names an end counts; whatever comes later about the process is a
-- repetition.
-- @tparam table book the journal
-- @tparam table result as the receiver hands it over: `process_id`, `state`, `body`
-- @treturn table the tokens that the callback names
-- @treturn[2] nil
-- @treturn[2] table err of the store
function traces.keep_callback(book, result)
  local state = type(result.state) == "string" and result.state:upper() or ""
  local text = json.encode { state = state, body = runs.storable(result.body), at_ms = book.now_ms() }
  local key, options = book:key(CALLBACK, result.process_id), { ttl_s = CALLBACK_S, durable = true }
  local done, err = book.store:add(key, text, options)
  if done == false then
    local before = traces.callback(book, result.process_id)
    if not before or not ENDED[before.state] then
      done, err = book.store:put(key, text, options)
    end
  end
  local tokens = tokens_of(result.body)
  for _, token in ipairs(done ~= nil and tokens or {}) do
    done, err = book.store:put(book:key(CALLBACK_TOKEN, token), result.process_id, { ttl_s = CALLBACK_S })
    if done == nil then
      break
    end
  end
  if done == nil then
    return nil, journal.error_of(err)
  end
  return tokens
end

--- What a callback said of a process.
-- @tparam table book the journal
-- @tparam string process_id
-- @treturn ?table `{ state =, body =, at_ms = }`; nil when none came
-- @treturn[2] nil
-- @treturn[2] table err of the store
function traces.callback(book, process_id)
  local text, err = book.store:get(book:key(CALLBACK, process_id))
  if text == nil then
    return nil, err ~= nil and journal.error_of(err) or nil
  end
  local kept = json.decode(text)
  return type(kept) == "table" and type(kept.body) == "table" and kept or nil
end

--- The process of the latest callback about a seat.
-- @tparam table book the journal
-- @tparam string token
-- @treturn ?string process id
-- @treturn[2] nil
-- @treturn[2] table err of the store
function traces.process_about(book, token)
  local process_id, err = book.store:get(book:key(CALLBACK_TOKEN, token))
  return process_id, process_id == nil and err ~= nil and journal.error_of(err) or nil
end

return traces
