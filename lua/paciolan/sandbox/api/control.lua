--- /_sandbox/: what specs, demos and people use to look into the sandbox and to
-- move it. None of it exists in the service, and none of it asks for credentials.
-- @module paciolan.sandbox.api.control

local answers = require "paciolan.sandbox.answers"
local catalog = require "paciolan.sandbox.api.catalog"
local json = require "paciolan.sandbox.json"

local control = {}

local function bad(message)
  return nil, answers.refusal(400, "BAD_REQUEST", message)
end

--- GET ledger: everything that was asked for and committed.
function control.ledger(box)
  return 200, box.ledger:view(box.tokens.counts)
end

--- GET ledger/{requestId}: what is known of one Request-ID.
function control.ledger_of(box, call)
  return 200, box.ledger:view_of(call.id)
end

--- GET faults: what waits and what was applied.
function control.show_faults(box)
  return 200, box.faults:view()
end

local FAULT_KEYS = { fault = "string", count = "number", operation = "string", plan = "string", seed = "string" }

local function check_fault_keys(payload)
  for key, value in pairs(payload) do
    if type(value) ~= FAULT_KEYS[key] then
      return "The keys are fault, count and operation, or plan and seed; count is a number, the others are strings"
    end
  end
  if (payload.fault == nil) == (payload.plan == nil) then
    return "Either fault or plan must be given"
  end
end

--- POST faults `{ fault, count, operation }` for the next calls, or `{ plan, seed }` for all that come.
function control.set_faults(box, call)
  local payload = call.payload
  local rule = check_fault_keys(payload)
  if rule then
    return bad(rule)
  end
  local ok
  if payload.plan then
    ok, rule = box.faults:set_plan(payload.plan, payload.seed)
  else
    ok, rule = box.faults:add(payload.fault, payload.count, payload.operation)
  end
  if not ok then
    return bad(rule)
  end
  return control.show_faults(box)
end

--- DELETE faults: none waits, none is planned.
function control.clear_faults(box)
  box.faults:clear()
  return control.show_faults(box)
end

local function seat_view(box, seat)
  return {
    token = seat.token, barcode = seat.barcode, accessId = seat.access_id, section = seat.section, row = seat.row,
    seat = seat.seat, ownerId = seat.owner, state = box.inventory:state(seat), printed = seat.printed or false,
    externalListingId = seat.lock and seat.lock.listing_id, externalOrderId = seat.sale and seat.sale.external_order_id,
  }
end

local function listing_view(box, listing)
  local tokens, state = json.array(), "open"
  for i, seat in ipairs(listing.seats) do
    tokens[i] = seat.token
    local seat_state = box.inventory:state(seat)
    state = seat_state ~= "open" and seat_state or state
  end
  return { listingId = listing.id, patronId = listing.patron_id, state = state, tokens = tokens,
    accessId = listing.seats[1].access_id }
end

local function map(list, view)
  local out = json.array()
  for i, entry in ipairs(list) do
    out[i] = view(entry)
  end
  return out
end

--- GET world: credentials, events, listings, patrons and seats with their state.
function control.world(box)
  local world = box.inventory
  return 200, {
    seed = box.seed, now = box:now(), credentials = box:credentials(), organizations = json.array(world.organizations),
    authCodes = json.array(box.tokens:unused_codes()),
    events = map(world.events, catalog.item),
    listings = map(world.listings, function(listing) return listing_view(box, listing) end),
    seats = map(world.seats, function(seat) return seat_view(box, seat) end),
    patrons = map(world.patrons, function(patron) return { patronId = patron.id, origin = patron.origin } end),
  }
end

--- POST clock `{ advance_s }`: moves the clock forward.
function control.clock(box, call)
  local seconds = call.payload.advance_s
  if type(seconds) ~= "number" or seconds < 0 or seconds > 1e9 then
    return bad("advance_s must be a number of seconds, 0 or more")
  end
  box:advance(seconds)
  return 200, { now = box:now() }
end

local REVOKE_KEYS = { refresh = "boolean", token = "string", family = "boolean" }

local function check_revoke_keys(payload)
  for key, value in pairs(payload) do
    if type(value) ~= REVOKE_KEYS[key] then
      return "The keys are refresh, or token and family; token is a string, the others are true or false"
    end
  end
  if payload.token and payload.refresh ~= nil then
    return "refresh goes with all tokens, and not with one"
  elseif payload.family ~= nil and not payload.token then
    return "family needs a token that belongs to it"
  end
end

--- POST tokens/revoke: all access tokens, with `{ refresh = true }` the refresh tokens too; with `{ token }` that one,
-- an access or a refresh token; with `{ token, family = true }` everything that came from the same code.
function control.revoke(box, call)
  local payload = call.payload
  local rule = check_revoke_keys(payload)
  if rule then
    return bad(rule)
  elseif not payload.token then
    box.tokens:revoke(payload.refresh == true)
  elseif not box.tokens:revoke_one(payload.token, payload.family == true) then
    return nil, answers.refusal(404, "NOT_FOUND", "There is no such token")
  end
  return 200, {}
end

--- POST tokens/expire: ends the life of all access tokens.
function control.expire(box)
  box.tokens:expire()
  return 200, {}
end

--- POST tokens/code: issues one more authorization code.
function control.code(box)
  return 200, { code = box.tokens:issue_code(box.options.code_lifetime_s) }
end

--- POST reset: the world as it was at the start.
function control.reset(box)
  box:reset()
  return 200, {}
end

--- POST options: changes behaviour for the calls that follow.
function control.options(box, call)
  local ok, message = box:set_options(call.payload)
  if not ok then
    return bad(message)
  end
  return 200, box.options
end

return control
