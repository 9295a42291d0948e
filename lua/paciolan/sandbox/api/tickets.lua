--- /v1/tickets: lock, unlock, verify and print.
-- @module paciolan.sandbox.api.tickets

local answers = require "paciolan.sandbox.answers"
local ids = require "paciolan.sandbox.ids"
local json = require "paciolan.sandbox.json"
local schema = require "paciolan.sandbox.schema"

local tickets = {}

local RETRIEVAL_URL = "https://tickets.sandbox.invalid/retrieve/"

local function entry_of(seat)
  return { token = seat.token, ownerId = seat.owner }
end

local function tokens_of(entries)
  local list = json.array()
  for i, entry in ipairs(entries) do
    list[i] = entry.token
  end
  return list
end

-- The sellers of a listing: for MY_ACCOUNT the patrons who own the seats, else
-- the patron with the seller's email.
local function sellers(box, payload, seats)
  local list, seen = json.array(), {}
  if payload.source ~= "MY_ACCOUNT" then
    local seller = payload.seller
    local email = schema.as_list(seller.emailAddress)[1].email
    list[1] = box.inventory:resolve_patron(email, seller.firstName, seller.lastName).id
    return list
  end
  for _, seat in ipairs(seats) do
    if not seen[seat.owner] then
      seen[seat.owner] = true
      list[#list + 1] = seat.owner
    end
  end
  return list
end

-- Sorts the tokens of a lock into seats that can be locked and failures. Where
-- the call is to be done in part only, its last token is not found.
local function sort_for_lock(box, call, listing)
  local free, known, failures = {}, {}, json.array()
  for i, row in ipairs(listing.tokens) do
    local seat = not (call.is_partial and i == #listing.tokens) and box.inventory:seat(row.token) or nil
    local obstacle = seat and box.inventory:lock_obstacle(seat, listing.externalListingId)
    known[#known + 1] = seat
    if not seat then
      failures[#failures + 1] = answers.failure("token", row.token, "TOKEN_NOT_FOUND")
    elseif obstacle then
      failures[#failures + 1] = answers.failure("token", row.token, "INVALID_TOKEN", seat.owner, obstacle)
    else
      free[#free + 1] = seat
    end
  end
  return free, known, failures
end

--- Protects seats for a listing. What can be locked is locked.
function tickets.lock(box, call)
  local listing = call.payload.listing
  local free, known, failures = sort_for_lock(box, call, listing)
  local seller_ids = sellers(box, call.payload, known)
  if #free == 0 then
    return nil, answers.all_failed(failures, { sellerIds = seller_ids })
  end
  local success, changed = json.array(), {}
  for i, seat in ipairs(free) do
    changed[#changed + 1] = not seat.lock and seat or nil
    seat.lock = { listing_id = listing.externalListingId, source = call.payload.source }
    success[i] = entry_of(seat)
  end
  box.ledger:add("locks", { op = "lock", externalListingId = listing.externalListingId,
    source = call.payload.source, tokens = tokens_of(success), requestId = call.request_id })
  box.ledger:commit(call.request_id, call.operation, tokens_of(success))
  box.publisher:seats_changed(changed, "LOCK")
  local body = { success = success, sellerIds = seller_ids }
  if #failures > 0 then
    body.failure = failures
  end
  return #failures > 0 and 207 or 200, body
end

local function sort_for_unlock(box, call, wanted)
  local success, failures, sold, changed = json.array(), json.array(), 0, {}
  for i, token in ipairs(wanted) do
    local seat = not (call.is_partial and i == #wanted) and box.inventory:seat(token) or nil
    if not seat then
      failures[#failures + 1] = answers.failure("token", token, "TOKEN_NOT_FOUND")
    elseif seat.sale or seat.order then
      sold = sold + 1
      failures[#failures + 1] = answers.failure("token", token, "INVALID_TOKEN", seat.owner, "The seat is sold")
    else
      changed[#changed + 1] = seat.lock and seat or nil
      seat.lock = nil
      success[#success + 1] = entry_of(seat)
    end
  end
  return success, failures, sold, changed
end

--- Opens seats again. Repeating it is harmless.
function tickets.unlock(box, call)
  local wanted = call.payload.tokens
  local success, failures, sold, changed = sort_for_unlock(box, call, wanted)
  if #success == 0 and sold == #wanted then
    local refusal = answers.refusal(409, "CONFLICT", "The seats are sold.")
    refusal.body.failure = failures
    return nil, refusal
  elseif #success == 0 then
    return nil, answers.all_failed(failures)
  end
  box.ledger:add("locks", { op = "unlock", tokens = tokens_of(success), requestId = call.request_id })
  box.ledger:commit(call.request_id, call.operation, tokens_of(success))
  box.publisher:seats_changed(changed, "UNLOCK")
  if #failures > 0 then
    return 207, { success = success, failure = failures }
  end
  return 200, { success = success }
end

local function verified_seat(seat, key)
  return {
    token = seat.token, barcode = key == "barcode" and seat.barcode or nil, season = seat.season, event = seat.item,
    section = seat.section, row = seat.row, seat = seat.seat, seatingType = seat.seating_type,
    associationType = seat.association_type, seatAttributes = json.array(seat.attributes), ownerId = seat.owner,
  }
end

-- Looks the values of one entry up. The answer groups seats by their own event.
local function verify_entry(box, entry, key, groups, is_partial)
  local find = key == "token" and box.inventory.seat or box.inventory.seat_by_barcode
  local function group_of(access_id)
    for _, group in ipairs(groups) do
      if group.accessId == access_id then
        return group
      end
    end
    groups[#groups + 1] = { accessId = access_id, success = { seats = json.array() } }
    return groups[#groups]
  end
  local found, failures = 0, {}
  for i, value in ipairs(entry[key .. "s"]) do
    local seat = not (is_partial and i == #entry[key .. "s"]) and find(box.inventory, value) or nil
    if seat and (entry.accessId or seat.access_id) == seat.access_id then
      found = found + 1
      local seats = group_of(seat.access_id).success.seats
      seats[#seats + 1] = verified_seat(seat, key)
    else
      local failure = seat and answers.failure(key, value, "INVALID_TOKEN", seat.owner, "It belongs to another event")
        or answers.failure(key, value, "TOKEN_NOT_FOUND")
      failure.status = nil -- nothing was to be locked here
      failures[#failures + 1] = failure
      local group = group_of(entry.accessId or "")
      group.failure = group.failure or json.array()
      group.failure[#group.failure + 1] = failure
    end
  end
  return found, failures
end

--- Looks up seats by token or by barcode. Nothing changes.
function tickets.verify(box, call)
  local groups = { token = json.array(), barcode = json.array() }
  local found, failures = 0, json.array()
  for _, entry in ipairs(schema.as_list(call.payload.tickets)) do
    local key = entry.tokens and "token" or "barcode"
    local count, failed = verify_entry(box, entry, key, groups[key], call.is_partial)
    found = found + count
    for _, failure in ipairs(failed) do
      failures[#failures + 1] = failure
    end
  end
  if found == 0 then
    return nil, answers.all_failed(failures)
  end
  local body = {
    tokens = #groups.token > 0 and groups.token or nil,
    barcodes = #groups.barcode > 0 and groups.barcode or nil,
  }
  return #failures > 0 and 207 or 200, body
end

--- Marks seats as printed and says where each ticket is retrieved.
-- @tparam table box
-- @tparam table seats
-- @treturn table the entries of the answer
function tickets.print_seats(box, seats)
  local list = json.array()
  for i, seat in ipairs(seats) do
    seat.printed = true
    seat.retrieval = seat.retrieval or box.draw:text(24, ids.MIXED)
    list[i] = { token = seat.token, ownerId = seat.owner, url = RETRIEVAL_URL .. seat.retrieval }
  end
  return list
end

-- The seats of a print or transfer call: all of them sold under that order.
-- Returns the seats, or nil and the rule that is broken.
function tickets.sold_seats(box, external_order_id, wanted)
  local seats = {}
  for i, token in ipairs(wanted) do
    local seat = box.inventory:seat(token)
    if not (seat and seat.sale and seat.sale.external_order_id == external_order_id) then
      return nil, "A token was not sold under this externalOrderId"
    end
    seats[i] = seat
  end
  return seats
end

--- Retrieves the tickets of an order.
function tickets.print(box, call)
  local payload = call.payload
  local seats, rule = tickets.sold_seats(box, payload.externalOrderId, payload.tokens)
  for _, seat in ipairs(seats or {}) do
    if seat.organization_id ~= seats[1].organization_id then
      seats, rule = nil, "The tokens belong to more than one organization"
      break
    end
  end
  if not seats then
    return nil, answers.refusal(400, "BAD_REQUEST", rule)
  end
  local printed = tickets.print_seats(box, seats)
  box.ledger:add("prints", { externalOrderId = payload.externalOrderId, tokens = tokens_of(printed),
    requestId = call.request_id })
  box.ledger:commit(call.request_id, call.operation, tokens_of(printed))
  return 200, { tickets = printed }
end

return tickets
