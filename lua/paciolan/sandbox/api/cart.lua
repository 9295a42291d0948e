--- /v1/cart/complete-order and its status.
-- The service does not recognise a repeated order, and neither does this: the
-- second call finds seats that are no longer locked. The ledger shows both.
-- @module paciolan.sandbox.api.cart

local answers = require "paciolan.sandbox.answers"
local ids = require "paciolan.sandbox.ids"
local json = require "paciolan.sandbox.json"
local schema = require "paciolan.sandbox.schema"

local cart = {}

-- Sorts the tokens of all listings into lines `{ seat, external_order_id }` and
-- failures. A token that stands there twice fails the second time, and the last
-- one of a listing when the call is to be done in part only.
local function sort_for_order(box, call, listings)
  local lines, failures, taken = {}, json.array(), {}
  for _, listing in ipairs(listings) do
    for i, row in ipairs(listing.tokens) do
      local seat = not (call.is_partial and i == #listing.tokens) and box.inventory:seat(row.token) or nil
      local obstacle = seat and (taken[seat] and "The token is repeated"
        or box.inventory:order_obstacle(seat, listing.externalListingId))
      if not seat then
        failures[#failures + 1] = answers.failure("token", row.token, "TOKEN_NOT_FOUND")
      elseif obstacle then
        failures[#failures + 1] = answers.failure("token", row.token, "INVALID_TOKEN", seat.owner, obstacle)
      else
        taken[seat] = true
        lines[#lines + 1] = { seat = seat, external_order_id = listing.externalOrderId }
      end
    end
  end
  return lines, failures
end

local function offer_of(box, seat)
  local event = box.inventory:event(seat.access_id)
  return { quantity = 0, seasonCode = seat.season, itemCode = seat.item, basis = "SINGLE",
    event = { name = event.name, priceLevel = seat.price_level, seats = json.array() },
    priceType = { name = seat.price_type } }
end

-- One offer per event, in the order in which the events first appear.
local function offers_of(box, lines)
  local offers, by_event = json.array(), {}
  for _, line in ipairs(lines) do
    local seat = line.seat
    local offer = by_event[seat.access_id]
    if not offer then
      offer = offer_of(box, seat)
      by_event[seat.access_id] = offer
      offers[#offers + 1] = offer
    end
    offer.quantity = offer.quantity + 1
    offer.event.seats[offer.quantity] = { section = seat.section, row = seat.row, seat = seat.seat,
      sequence = offer.quantity, accessId = seat.access_id, token = seat.token, ownerId = seat.owner }
  end
  return offers
end

local function transactions_of(box, offers)
  local transactions, seen = json.array(), {}
  for _, offer in ipairs(offers) do
    if not seen[offer.seasonCode] then
      seen[offer.seasonCode] = true
      transactions[#transactions + 1] = { season = offer.seasonCode, transaction = box.draw:text(6, ids.DIGITS) }
    end
  end
  return transactions
end

local function paid(payload, listings)
  local settlement = schema.as_list(payload.settlement)[1]
  local sum = 0
  for _, listing in ipairs(listings) do
    sum = sum + (listing.totalPrice or 0) + (listing.totalFees or 0)
  end
  return settlement.totalAmountPaid or sum
end

local function commit(box, order)
  local buyer = schema.as_list(order.payload.buyer)[1]
  local email = buyer.emailAddress and buyer.emailAddress.email
  local patron = box.inventory:resolve_patron(email, buyer.firstName, buyer.lastName)
  local seats = {}
  for i, line in ipairs(order.lines) do
    local seat = line.seat
    seat.owner, seat.lock, seat.order = patron.id, nil, nil
    seat.sale = { external_order_id = line.external_order_id, process_id = order.id }
    seats[i] = seat
  end
  box.publisher:seats_changed(seats, "UNLOCK")
  box.ledger:commit(order.entry.requestId, "orders.complete", order.entry.tokens)
  local offers = offers_of(box, order.lines)
  order.entry.status, order.entry.ownerId, order.entry.settledAt = "COMPLETE", patron.id, box:now()
  return { status = "COMPLETE", processId = order.id, paid = paid(order.payload, order.listings), offers = offers,
    transactions = transactions_of(box, offers) }
end

local function abort(box, order)
  for _, line in ipairs(order.lines) do
    line.seat.order = nil
  end
  order.entry.status, order.entry.settledAt = "ERROR", box:now()
  local body = answers.refusal(500, "UNHANDLED_EXCEPTION", "The order could not be completed.").body
  body.status, body.processId = "ERROR", order.id
  return body
end

local function note(box, call, order, failures)
  local tokens, refused = json.array(), json.array()
  for i, line in ipairs(order.lines) do
    tokens[i] = line.seat.token
  end
  for i, failure in ipairs(failures) do
    refused[i] = failure.token
  end
  local first = order.listings[1]
  return box.ledger:add("orders", { processId = order.id, status = #tokens > 0 and "PENDING" or "REFUSED",
    externalOrderId = first.externalOrderId, externalListingId = first.externalListingId, tokens = tokens,
    refused = refused, requestId = call.request_id, hasCallback = order.callback_url ~= nil })
end

local function start(box, call, order, failures)
  for _, line in ipairs(order.lines) do
    line.seat.order = order.id
  end
  return box.processes:start { id = order.id, kind = "order", polls = call.pending_polls, outcome = call.outcome,
    pending_s = box.options.pending_s, failures = #failures > 0 and failures or nil,
    callback_url = order.callback_url,
    commit = function() return commit(box, order) end,
    abort = function() return abort(box, order) end,
  }
end

local function body_of(process)
  local body = process.body or { processId = process.id, status = process.state }
  body.failure = process.failures
  return body
end

--- Commits a sale of locked seats.
function cart.complete_order(box, call)
  local order = { id = box.processes:new_id(), payload = call.payload,
    listings = schema.as_list(call.payload.listing),
    callback_url = schema.as_list(call.payload.settlement)[1].asyncCallbackUrl }
  local failures
  order.lines, failures = sort_for_order(box, call, order.listings)
  order.entry = note(box, call, order, failures)
  if #order.lines == 0 then
    return nil, answers.all_failed(failures)
  end
  box.ledger:remember_callback(order.id, order.callback_url)
  local body = body_of(start(box, call, order, failures))
  return #failures > 0 and 207 or box.options.order_http_status, body
end

--- Answers the state of an order.
function cart.order_status(box, call)
  local process = box.processes:poll(call.id, "order")
  if not process then
    return nil, answers.refusal(404, "PROCESS_NOT_FOUND", "The processId does not exist")
  end
  return 200, body_of(process)
end

return cart
