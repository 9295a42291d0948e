--- Which seats a listing is about: those that a listing of MyAccount names, or those that the service knows by barcodes
-- or tokens (contract 2.3, 2.6). Nothing is changed by it, so whatever goes wrong here, nothing was sent.
-- @module paciolan.workflow.finding
local errors = require "paciolan.errors"
local places = require "paciolan.workflow.places"
local seats = require "paciolan.workflow.seats"

local finding = {}

-- An error of the whole workflow: what it was to change is as it was.
local function unsent(err)
  err.outcome = "not_sent"
  return nil, err
end

local function refuse(run, path, rule, message)
  local err = errors.validation("workflows." .. run.record.kind, { { path = path, rule = rule, message = message } },
    "not_sent")
  err.message = "the seats of the listing are not what is to be listed"
  return nil, err
end

-- --- MyAccount ----------------------------------------------------------------------------------------------------

-- All seats of all entries of an answer (contract 2.3, row 6).
local function seats_of_listing(answer)
  local list = {}
  for _, listing in ipairs(answer) do
    for _, ticket in ipairs(type(listing.tickets) == "table" and listing.tickets or {}) do
      for _, seat in ipairs(type(ticket.seats) == "table" and ticket.seats or {}) do
        list[#list + 1] = { token = places.label(seat.token), access_id = places.label(ticket.accessId),
          section = places.label(seat.section), row = places.label(seat.row), seat = places.label(seat.seat) }
      end
    end
  end
  return list
end

local function read_listing(flows, run)
  local request = run.request
  local answer, err = run:send("seats", function(options)
    options.organization_id = request.organization_id
    return flows.link.listings:get(request.listing_id, options)
  end)
  if not answer then
    return nil, err
  end
  local list = seats_of_listing(answer)
  if #list == 0 then
    return refuse(run, "/listing_id", "seats", "names a listing without seats")
  end
  return list
end

-- --- barcodes and tokens ------------------------------------------------------------------------------------------

local function verify_payload(entries)
  local tickets = {}
  for i, entry in ipairs(entries) do
    tickets[i] = { accessId = entry.access_id, barcodes = entry.barcodes, tokens = entry.tokens }
  end
  return { tickets = tickets }
end

-- Tokens and barcodes that were asked for, as sets, and how many.
local function asked_of(entries)
  local asked = { token = {}, barcode = {}, count = 0 }
  for _, entry in ipairs(entries) do
    for _, value in ipairs(entry.tokens or entry.barcodes) do
      asked[entry.tokens and "token" or "barcode"][value] = true
      asked.count = asked.count + 1
    end
  end
  asked.has_barcodes = next(asked.barcode) ~= nil
  return asked
end

-- The answer to barcodes is not documented, and may not repeat them.
local function is_asked(asked, seat)
  if seat.barcode then
    return asked.barcode[seat.barcode] == true
  end
  return asked.token[seat.token] == true or asked.has_barcodes
end

local function compare(run, list)
  local asked = asked_of(run.request.verify)
  if #list ~= asked.count then
    return refuse(run, "", "found", ("names %d seats, and the service found %d"):format(asked.count, #list))
  end
  for _, seat in ipairs(list) do
    if not is_asked(asked, seat) then
      return refuse(run, "", "found", "was answered with a seat that nobody asked for")
    end
  end
  return list
end

local function of_seat(seat)
  return { token = seat.token, access_id = seat.access_id, section = seat.section, row = seat.row, seat = seat.seat,
    owner_id = seat.owner_id }
end

-- The requests of a bulk helper have ids of their own; that of the first is written down.
local function note_request_id(run, response, err)
  local first = response and response.responses[1] or err
  local entry = run:last_step("seats")
  entry.request_id = first and first.request_id or entry.request_id
end

local function verify(flows, run)
  local request = run.request
  local answer, err, response = run:send("seats", function(options)
    return flows.link.tickets:verify_all(verify_payload(request.verify),
      { deadline_ms = options.deadline_ms, organization_id = request.organization_id })
  end)
  if run.is_broken then
    return nil, err
  end
  note_request_id(run, response, err)
  if not answer then
    return nil, err
  end
  local list
  list, err = compare(run, seats.of_verify(answer))
  for i, seat in ipairs(list or {}) do
    list[i] = of_seat(seat)
  end
  return list, err
end

-- --- the step -----------------------------------------------------------------------------------------------------

local function check(run, list)
  local seen = {}
  for _, seat in ipairs(list) do
    if not seat.token then
      return refuse(run, "", "token", "was answered with a seat without a token")
    elseif seen[seat.token] then
      return refuse(run, "", "unique", "names a seat twice")
    end
    seen[seat.token] = true
  end
  return list
end

--- Step `seats`: fills `run.data.seats` with `{ token, access_id, section, row, seat, owner_id }`, in the order of the
-- answer. `owner_id` is there where the service told it; the lock tells it of all.
-- @tparam table flows
-- @tparam table run its request has `listing_id`, or `verify`, a list of `{ access_id, barcodes | tokens }`; and maybe
-- `organization_id`
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err, its outcome `not_sent`: of the read; or of kind `validation`, when not every seat was found,
-- or one twice. When the journal could not be written, `run.is_broken` is set
function finding.find(flows, run)
  local read = run.request.listing_id and read_listing or verify
  local list, err = read(flows, run)
  if list then
    list, err = check(run, list)
  end
  if not list then
    if run.is_broken then
      return nil, err
    end
    return unsent(err)
  end
  run.data.seats = list
  return true
end

return finding
