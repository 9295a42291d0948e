--- Transfers: initiate (v1 and v2), pending, accept, cancel, history, and the
-- one-call complete-transfer with its status.
--
-- A transfer is a record with the parties, the seats and a history. Its
-- `confirmation_cd` stands in paths, its `transfer_id` in the accept call.
-- @module paciolan.sandbox.api.transfers

local answers = require "paciolan.sandbox.answers"
local ids = require "paciolan.sandbox.ids"
local json = require "paciolan.sandbox.json"
local judge = require "paciolan.sandbox.judge"
local text = require "paciolan.sandbox.text"
local tickets = require "paciolan.sandbox.api.tickets"

local transfers = {}

local LIFETIME_S = 7 * 24 * 3600 -- the week between sentDt and expireDt in the samples
local FIRST_NUMBER = 10237
local DEFAULT_DISTRIBUTOR = "AMTX"
local DEFAULT_BASE_URL = "https://myaccount.sandbox.invalid"

local Store = {}
Store.__index = Store

--- The empty store of a new world.
function transfers.new_store()
  return setmetatable({ _by_confirmation = {}, _by_id = {}, _next_number = FIRST_NUMBER }, Store)
end

local function entity(entry, name)
  return entry[name] or entry[name:lower()]
end

---------------------------------------------------------------- which seats

local function place_text(value)
  return type(value) == "number" and string.format("%d", value) or value
end

local function seats_by_place(box, call, rows)
  local organization_id, seats = call.headers["pac-organization-id"], {}
  for i, row in ipairs(rows) do
    local info = row.seatInfo
    local seat = box.inventory:seat_at(organization_id, { season = row.season, item = row.event, level = info.level,
      section = info.section, row = place_text(info.row), seat = place_text(info.seats) })
    if not seat then
      return nil, string.format("Seats[%d] does not exist in this organization", i - 1)
    end
    seats[i] = seat
  end
  return seats
end

local function seats_by_order(box, items)
  local seats = {}
  for _, item in ipairs(items) do
    local sold, rule = tickets.sold_seats(box, item.externalOrderId, item.tokens)
    if not sold then
      return nil, rule
    end
    for _, seat in ipairs(sold) do
      seats[#seats + 1] = seat
    end
  end
  return seats
end

-- An entry may name seats, items, or both.
local function wanted_seats(box, call, entry)
  local seats, rule = seats_by_order(box, entity(entry, "Items") or {})
  local rows = entity(entry, "Seats")
  if seats and rows then
    local placed
    placed, rule = seats_by_place(box, call, rows)
    for _, seat in ipairs(placed or {}) do
      seats[#seats + 1] = seat
    end
    seats = placed and seats
  end
  return seats, rule
end

local function check_seats(box, seats, patron_id)
  local seen = {}
  for _, seat in ipairs(seats) do
    local obstacle = seen[seat] and "A seat is named twice" or box.inventory:transfer_obstacle(seat, patron_id)
    if obstacle then
      return obstacle
    end
    seen[seat] = true
  end
end

-- The two things that a transfer by seat details needs besides its body.
local function check_seat_details(call, entry)
  if not entity(entry, "Seats") then
    return nil
  elseif (call.headers["pac-organization-id"] or "") == "" then
    return answers.refusal(400, "BAD_REQUEST", "Header PAC-Organization-ID is required with seat details")
  elseif (call.query.distributorCode or "") == "" then
    return judge.bad_input(call.operation, "Query parameter distributorCode is required with seat details")
  end
end

---------------------------------------------------------------- the record

local function add_history(box, record, op, initiator)
  record.history[#record.history + 1] = { op = op, ts = text.iso_date(box:now()), initiator = initiator }
end

local function accept_url(box, payload)
  return string.format("%s/myaccount/receive/%s?linkID=%s&siteId=%s", payload.baseUrl or DEFAULT_BASE_URL,
    box.draw:text(32, ids.MIXED), payload.linkId or "SANDBOX-AMTX", payload.siteId or "ev_SANDBOX-AMTX")
end

local function create(box, plan)
  local store, now = box.transfers, box:now()
  local record = {
    patron_id = plan.patron_id, seats = plan.seats, by_seats = plan.by_seats, recipient = plan.recipient,
    transfer_id = box.draw:text(32, ids.MIXED), url = accept_url(box, plan.payload), distributor = plan.distributor,
    confirmation_cd = string.format("%s-%s:%d", plan.patron_id, plan.distributor, store._next_number),
    sent_at = now, expires_at = now + LIFETIME_S, status = "pending", history = json.array(),
  }
  store._next_number = store._next_number + 1
  store._by_confirmation[record.confirmation_cd], store._by_id[record.transfer_id] = record, record
  local tokens = json.array()
  for i, seat in ipairs(plan.seats) do
    seat.transfer = record.confirmation_cd
    tokens[i] = seat.token
  end
  add_history(box, record, "initiate", "transferrer")
  record.entry = box.ledger:add("transfers", { confirmationCd = record.confirmation_cd, status = "pending",
    externalTransferId = plan.external_id, senderId = plan.patron_id, tokens = tokens, requestId = plan.request_id })
  box.ledger:commit(plan.request_id, plan.operation, tokens)
  return record
end

local function finish(box, record, status, op, initiator)
  for _, seat in ipairs(record.seats) do
    seat.transfer = nil
  end
  record.status, record.entry.status = status, status
  add_history(box, record, op, initiator)
end

local function hand_over(box, record, recipient)
  local patron = box.inventory:resolve_patron(recipient.email, recipient.recipientFirstName,
    recipient.recipientLastName)
  finish(box, record, "accepted", "accept", "recipient")
  record.entry.recipientId = patron.id
  for _, seat in ipairs(record.seats) do
    seat.owner = patron.id
  end
  box.publisher:seats_changed(record.seats, "UNLOCK")
end

local function body_of(record)
  return { patronId = record.patron_id, confirmationCd = record.confirmation_cd,
    sentDt = text.us_date(record.sent_at), expireDt = text.us_date(record.expires_at),
    transferId = record.transfer_id, transferStatus = record.status }
end

---------------------------------------------------------------- initiate

local function plan_of(box, call)
  local entry = call.payload.transferRequests[1]
  local refusal = check_seat_details(call, entry)
  if refusal then
    return nil, refusal
  end
  local seats, rule = wanted_seats(box, call, entry)
  local sender = entity(entry, "Sender")
  local patron_id = sender and sender.patronId or seats and seats[1].owner
  rule = seats and check_seats(box, seats, patron_id) or rule
  if rule then
    return nil, judge.bad_input(call.operation, rule)
  end
  return { patron_id = patron_id, seats = seats, by_seats = entity(entry, "Seats") ~= nil, payload = call.payload,
    recipient = entity(entry, "Recipient"), external_id = entry.externalTransferId, request_id = call.request_id,
    operation = call.operation,
    distributor = call.query.distributorCode or DEFAULT_DISTRIBUTOR }
end

--- POST /v1/tickets/transfer: answers when it is done.
function transfers.initiate_v1(box, call)
  local plan, refusal = plan_of(box, call)
  if not plan then
    return nil, refusal
  end
  return 200, body_of(create(box, plan))
end

local function unhandled()
  return answers.refusal(500, "UNHANDLED_EXCEPTION", "An internal server error occurred due to a backend error")
end

-- Seats of a running process are taken; its id stands where the confirmation
-- code of the transfer will stand.
local function start(box, call, plan, kind, commit, abort_body)
  local id = box.processes:new_id()
  for _, seat in ipairs(plan.seats) do
    seat.transfer = id
  end
  return box.processes:start { id = id, kind = kind, polls = call.pending_polls, outcome = call.outcome,
    pending_s = box.options.pending_s, callback_url = call.payload.asyncCallbackUrl,
    commit = function() return commit(id) end,
    abort = function()
      for _, seat in ipairs(plan.seats) do
        seat.transfer = nil
      end
      return abort_body(id)
    end,
  }
end

-- The failure sample of the v2 page, word for word.
local function failed_body(id)
  local body = answers.refusal(422, "INVALID_PARAMETER_VALUE", "Invalid input. Please provide valid data.",
    "MS-400").body
  body.processId, body.transactionStatus = id, "ERROR"
  return body
end

local function v2_body(process)
  return process.body or { processId = process.id, transactionStatus = process.state }
end

--- POST /v2/tickets/transfer.
function transfers.initiate(box, call)
  if call.outcome == "unhandled" then
    return nil, unhandled()
  end
  local plan, refusal = plan_of(box, call)
  if not plan then
    return nil, refusal
  end
  local process = start(box, call, plan, "transfer", function(id)
    local record = create(box, plan)
    local body = body_of(record)
    body.url, body.processId, body.transactionStatus = record.url, id, "COMPLETE"
    return body
  end, failed_body)
  box.ledger:remember_callback(process.id, call.payload.asyncCallbackUrl)
  return process.state == "ERROR" and 422 or 200, v2_body(process)
end

--- Adds what every v2 error has: the id of the failed request and its state.
function transfers.complete_refusal(box, refusal)
  if not refusal.body.processId then
    refusal.body.processId, refusal.body.transactionStatus = box.processes:new_id(), "ERROR"
  end
  return refusal
end

local function unknown_process()
  return answers.refusal(404, "PROCESS_NOT_FOUND", "The processId does not exist")
end

--- GET /v2/tickets/transfer/pending/{processId}.
function transfers.pending(box, call)
  local process = box.processes:poll(call.id, "transfer")
  if not process then
    return nil, unknown_process()
  end
  return 200, v2_body(process)
end

---------------------------------------------------------------- after it

local function find(box, by, id)
  local record = box.transfers[by][id]
  if not record then
    return nil, answers.refusal(400, "TRANSFER_NOT_FOUND", "The transfer does not exist", "MS-404")
  end
  return record
end

-- Only an open transfer can be accepted or cancelled.
local function find_open(box, by, id)
  local record, refusal = find(box, by, id)
  if record and record.status ~= "pending" then
    return nil, answers.refusal(400, "BAD_REQUEST", "The transfer is not pending any more")
  elseif record and box:now() >= record.expires_at then
    return nil, answers.refusal(400, "BAD_REQUEST", "The transfer has expired")
  end
  return record, refusal
end

local function accept_rule(call, record)
  local recipient = call.payload.Recipient
  if record.by_seats then
    return call.query.distributorCode ~= record.distributor
      and "Query parameter distributorCode must be the one of the transfer" or nil
  elseif not (recipient and recipient.recipientFirstName and recipient.recipientLastName) then
    return "body.Recipient with its names is required for a transfer that was made with tokens"
  end
end

--- POST /v1/tickets/transfer/accept: the seats change hands.
function transfers.accept(box, call)
  local record, refusal = find_open(box, "_by_id", call.payload.transferId)
  local rule = record and accept_rule(call, record)
  if not record or rule then
    return nil, refusal or judge.bad_input(call.operation, rule)
  end
  hand_over(box, record, call.payload.Recipient or record.recipient)
  box.ledger:commit(call.request_id, call.operation, record.entry.tokens)
  return 200, { confirmationCd = record.confirmation_cd, transferId = record.transfer_id }
end

--- DELETE /v1/tickets/transfer/{confirmationCd}.
function transfers.cancel(box, call)
  local record, refusal = find_open(box, "_by_confirmation", call.id)
  if not record then
    return nil, refusal
  end
  finish(box, record, "Cancelled", "cancel", "transferrer")
  box.ledger:commit(call.request_id, call.operation, record.entry.tokens)
  return 200, { patronId = record.patron_id, confirmationCd = record.confirmation_cd,
    cancelDt = text.us_date(box:now()), transferStatus = record.status }
end

--- GET /v1/tickets/transfer/{confirmationCd}.
function transfers.history(box, call)
  local record, refusal = find(box, "_by_confirmation", call.id)
  if not record then
    return nil, refusal
  end
  return 200, { transferId = record.confirmation_cd, history = record.history, createTs = record.history[1].ts,
    recipientFirstName = record.recipient.recipientFirstName, recipientLastName = record.recipient.recipientLastName }
end

---------------------------------------------------------------- in one call

local function complete_body(process)
  return process.body or { processId = process.id, status = process.state }
end

--- POST /v1/tickets/transfer/complete: initiates, accepts and prints.
function transfers.complete(box, call)
  local plan, refusal = plan_of(box, call)
  if not plan then
    return nil, refusal
  end
  local process = start(box, call, plan, "complete_transfer", function(id)
    local record = create(box, plan)
    hand_over(box, record, plan.recipient)
    return { processId = id, status = "COMPLETE", confirmationCd = record.confirmation_cd,
      transferId = record.transfer_id, tickets = tickets.print_seats(box, plan.seats) }
  end, function(id)
    local body = unhandled().body
    body.processId, body.status = id, "ERROR"
    return body
  end)
  return 200, complete_body(process)
end

--- GET /v1/tickets/transfer/complete/{processId}.
function transfers.complete_status(box, call)
  local process = box.processes:poll(call.id, "complete_transfer")
  if not process then
    return nil, unknown_process()
  end
  return 200, complete_body(process)
end

return transfers
