--- The tickets of an order that is sold. Asking for them again is harmless, so nobody gives them up: what could not be
-- printed stays for the next who carries the run.
-- @module paciolan.workflow.printing
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local runs = require "paciolan.workflow.run"

local printing = {}

-- Nobody else asks again: the client sends a print once.
local TRIES = 3
-- Contract 2.7.
local LIMIT = 30

-- The tokens that are still to be printed, at most as many as a call takes, all of one event: an event belongs to one
-- organisation, and so must the tokens of a call (contract 2.7).
local function next_batch(run)
  local printed, batch, event = {}, {}, nil
  for _, ticket in ipairs(run.data.tickets) do
    printed[ticket.token] = true
  end
  local events = {}
  for _, seat in ipairs(run.data.seats) do
    events[seat.token] = seat.access_id or ""
  end
  for _, token in ipairs(run.data.bought) do
    event = event or (not printed[token] and events[token] or nil)
    if not printed[token] and events[token] == event and #batch < LIMIT then
      batch[#batch + 1] = token
    end
  end
  return batch
end

local function print_batch(flows, run, batch)
  local answer, err
  for try = 1, TRIES do
    answer, err = run:send("print", function(options)
      return flows.link.tickets:print({ externalOrderId = run.id, tokens = batch }, options)
    end)
    if answer or run.is_broken or not (err.outcome == "unknown" or err.outcome == "not_sent") or run.is_resumed then
      break
    elseif try < TRIES then
      flows:sleep(core.backoff_ms(try) or 0)
    end
  end
  return answer, err
end

-- Keeps the tickets that an answer names, also one of which a part failed. Returns how many.
local function take_tickets(run, answer, batch)
  local wanted, count = {}, 0
  for _, token in ipairs(batch) do
    wanted[token] = true
  end
  for _, ticket in ipairs(type(answer) == "table" and type(answer.tickets) == "table" and answer.tickets or {}) do
    if type(ticket) == "table" and wanted[ticket.token] then
      wanted[ticket.token], count = nil, count + 1
      table.insert(run.data.tickets, runs.storable(ticket))
    end
  end
  return count
end

local function untold_error()
  return errors.new { kind = "protocol", operation = "tickets.print", attempts = 1, retryable = true,
    message = "the service answered without naming the tickets" }
end

local function unprinted(run, err)
  local told = errors.with(err, { kind = "partial", retryable = true,
    message = "the order is sold, but its tickets could not be printed: " .. err.message,
    body = { order = run.data.order, tokens = run.data.bought, tickets = run.data.tickets } })
  told.outcome = nil -- the body tells
  return told
end

--- Prints what is not printed yet, in portions.
-- @tparam table flows
-- @tparam table run its data has `seats`, `bought` and `tickets`
-- @treturn boolean true when all are printed
-- @treturn[2] nil
-- @treturn[2] table err of kind `partial`: sold, but not printed; or that of the journal
-- @treturn[2] ?boolean true when the service has refused: this order has not sold these seats, by its word
function printing.print(flows, run)
  local batch = next_batch(run)
  while #batch > 0 do
    local answer, err = print_batch(flows, run, batch)
    if run.is_broken then
      return nil, err
    end
    local count = take_tickets(run, answer or err.body, batch)
    if not answer or count == 0 then
      err = err or untold_error()
      return nil, unprinted(run, err), err.outcome == "rejected"
    end
    batch = next_batch(run)
  end
  return true
end

return printing
