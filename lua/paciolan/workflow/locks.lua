--- One request that locks seats, and what became of each of them. What is done with that is in
-- `paciolan.workflow.locking` and `paciolan.workflow.unlocking`, which says what stands in `run.data`.
-- @module paciolan.workflow.locks
local account = require "paciolan.bulk.account"
local errors = require "paciolan.errors"

local locks = {}

--- How many seats a request takes (contract 2.4); for unlock no limit is documented.
locks.LIMIT = 100
--- How often a batch is sent in one go before it is left to the next one.
locks.TRIES = 2

-- --- lists --------------------------------------------------------------------------------------------------------

--- Puts more items behind those of a list.
-- @tparam table list it is changed
-- @tparam table more
-- @treturn table the list
function locks.append(list, more)
  for _, item in ipairs(more) do
    list[#list + 1] = item
  end
  return list
end

--- The first items of a list, and the rest.
-- @tparam table list it stays as it is
-- @tparam number count
-- @treturn table
-- @treturn table
function locks.split(list, count)
  local first, rest = {}, {}
  for i, item in ipairs(list) do
    table.insert(i <= count and first or rest, item)
  end
  return first, rest
end

--- A list, or nil for an empty one.
-- @tparam table list
-- @treturn ?table
function locks.or_nil(list)
  return #list > 0 and list or nil
end

-- --- the request --------------------------------------------------------------------------------------------------

--- What a listing costs: the price of a seat times the seats, in cents without the dust of binary fractions.
-- @tparam table request with `price` or `total_price`
-- @tparam number count of seats
-- @treturn ?number nil when there is no price
function locks.total_price(request, count)
  if request.total_price then
    return request.total_price
  end
  return request.price and tonumber(("%.14g"):format(math.floor(request.price * count * 100 + 0.5) / 100))
end

--- Who sells, as the service wants to know for a lock.
-- @tparam table run
-- @treturn ?table nil when nobody has to, or when that is not known any more
function locks.seller(run)
  return run.request and run.request.seller or run.data.seller
end

-- As in `link.tickets:lock_all`, each batch names the price of the whole listing.
local function payload_of(run, tokens)
  local as, request, rows = run.data.lock_as, run.request or {}, {}
  for i, token in ipairs(tokens) do
    rows[i] = { token = token, individualPrice = request.price }
  end
  return { source = as.source, seller = locks.seller(run), listing = {
    externalListingId = as.external_listing_id, tokens = rows,
    totalPrice = locks.total_price(request, #(run.data.seats or tokens)),
  } }
end

--- The options of a call: those of the step, and the organisation of the listing.
-- @tparam table run
-- @tparam table options of `run:send`
-- @tparam[opt] number retries
-- @treturn table
function locks.options(run, options, retries)
  return { request_id = options.request_id, deadline_ms = options.deadline_ms, retries = retries,
    organization_id = run.data.lock_as.organization_id }
end

-- --- what became of each token ------------------------------------------------------------------------------------

local SUCCESS = { done_list = "success" }

--- What an answer, or its error, says of each token, as in `paciolan.bulk`.
-- @tparam table tokens
-- @tparam ?table result
-- @tparam ?table err
-- @treturn table list of `{ token, state, error }`; `state` is done, failed, rejected, not_sent or unknown
function locks.fates(tokens, result, err)
  local batch = { items = {}, result = result, err = err }
  for i, token in ipairs(tokens) do
    batch.items[i] = { token = token }
  end
  account.settle(SUCCESS, batch)
  return batch.items
end

-- The service had found the seat before, so one that it does not find says nothing about its lock.
local function is_left_unlocked(entry)
  return type(entry) == "table" and type(entry.token) == "string" and entry.status == "UNLOCK"
    and entry.type ~= "TOKEN_NOT_FOUND" and entry.appErrorCode ~= "MS-404"
end

-- Which tokens the service says that it left unlocked.
local function left_unlocked(err)
  local list, set = err and type(err.body) == "table" and err.body.failure, {}
  for _, entry in ipairs(type(list) == "table" and list or {}) do
    if is_left_unlocked(entry) then
      set[entry.token] = true
    end
  end
  return set
end

-- A doubtful token may have been locked by an earlier request, so a refusal has to speak of the token itself to say
-- something about it.
local function sort(tokens, result, err, is_doubtful)
  local sorted = { locked = {}, refused = {}, unknown = {}, is_whole = false }
  local unlocked = left_unlocked(err)
  for _, item in ipairs(locks.fates(tokens, result, err)) do
    if item.state == "done" then
      table.insert(sorted.locked, item.token)
    elseif item.state == "unknown" or (is_doubtful and not (item.state == "failed" and unlocked[item.token])) then
      table.insert(sorted.unknown, item.token)
    else
      local why = item.error or err
      sorted.is_whole = sorted.is_whole or item.state ~= "failed"
      table.insert(sorted.refused, { token = item.token, type = why.type, app_error_code = why.app_error_code })
    end
  end
  return sorted
end

local function note_owners(run, body)
  local owners = {}
  for _, entry in ipairs(type(body.success) == "table" and body.success or {}) do
    if type(entry) == "table" and type(entry.token) == "string" and type(entry.ownerId) == "string" then
      owners[entry.token] = entry.ownerId
    end
  end
  for _, seat in ipairs(run.data.seats or {}) do
    seat.owner_id = owners[seat.token] or seat.owner_id
  end
end

local function note_sellers(run, body)
  local seen, ids = {}, run.data.seller_ids or {}
  for _, id in ipairs(ids) do
    seen[id] = true
  end
  for _, id in ipairs(type(body.sellerIds) == "table" and body.sellerIds or {}) do
    if type(id) == "string" and not seen[id] then
      ids[#ids + 1], seen[id] = id, true
    end
  end
  run.data.seller_ids = ids
end

--- Sends tokens to be locked, in the step that the run is at.
-- @tparam table flows
-- @tparam table run
-- @tparam table tokens at most `locks.LIMIT`
-- @tparam boolean is_doubtful they may have been locked by an earlier request of this run
-- @treturn table `{ locked, refused, unknown, is_whole }`: tokens; `refused` holds `{ token, type, app_error_code }`;
-- `is_whole`: the request as such was refused, or never left
-- @treturn ?table err of the request
-- @treturn[2] nil when the step could not be written down
-- @treturn[2] table err
function locks.send(flows, run, tokens, is_doubtful)
  local result, err = run:send(run.record.step, function(options)
    return flows.link.tickets:lock(payload_of(run, tokens), locks.options(run, options))
  end)
  if run.is_broken then
    return nil, err
  end
  local sorted = sort(tokens, result, err, is_doubtful)
  local body = result or err.body
  if #sorted.locked > 0 and type(body) == "table" then
    note_owners(run, body)
    note_sellers(run, body)
  end
  return sorted, err
end

-- --- errors -------------------------------------------------------------------------------------------------------

--- For an answer that does not name every token, and is no error of its own.
-- @tparam string operation
-- @treturn table err
function locks.unnamed_error(operation)
  return errors.new { kind = "partial", operation = operation, attempts = 1, retryable = false,
    message = "the service answered without naming every token" }
end

--- Says of an error that nobody can tell whether seats are locked by the run, and notes it as evidence.
-- @tparam table run
-- @tparam table err it is changed
-- @tparam table tokens
-- @treturn table err with `in_doubt`
function locks.doubt(run, err, tokens)
  err.in_doubt, err.outcome, err.retryable = true, "unknown", false
  run:note("lock_unclear", { seats = #tokens, kind = err.kind, status = err.status })
  return err
end

return locks
