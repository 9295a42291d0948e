--- Purchases: `buy` sells seats that are listed, `fulfil` does the whole trade, from the listing to the tickets.
--
-- The order is the pivot. What stands before it can be undone: seats that a run has locked itself are unlocked again.
-- From the order on a run only goes forward. It is sent once: when its answer is missing the run is in doubt, and
-- `paciolan.workflow.settling` finds out.
-- @module paciolan.workflow.buying
local errors = require "paciolan.errors"
local locking = require "paciolan.workflow.locking"
local places = require "paciolan.workflow.places"
local printing = require "paciolan.workflow.printing"
local purchases = require "paciolan.workflow.purchases"
local runs = require "paciolan.workflow.run"
local seats = require "paciolan.workflow.seats"
local settling = require "paciolan.workflow.settling"
local telling = require "paciolan.workflow.telling"
local traces = require "paciolan.workflow.traces"
local waiting = require "paciolan.workflow.waiting"

local buying = {}

local steps = {}

-- --- errors -------------------------------------------------------------------------------------------------------

local function order_error(kind, outcome, message)
  return errors.new { kind = kind, operation = "orders.complete", outcome = outcome, attempts = 0,
    retryable = outcome == "not_sent", message = message }
end

-- --- ends ---------------------------------------------------------------------------------------------------------

-- Not sold, that is certain. What this run has locked itself is unlocked before it ends.
local function end_unsold(run, err)
  run:forget_request()
  run.data.is_unsold = true
  if locking.needs_undo(run) then
    run:keep_error(err)
    return run:go("undo", "undoing")
  end
  local failed, problem = run:fail(err)
  if failed then
    traces.unclaim(run, run.data.tokens or {})
  end
  return failed, problem
end

-- Nobody knows whether it was sold. From now on callbacks and messages about its seats find the run.
local function doubt(run, err)
  run:forget_request()
  run:keep_error(errors.with(err, { outcome = "unknown", retryable = false }))
  run.data.is_doubtful, run.data.is_unsold = true, nil
  run:go("settle", "in_doubt")
  for _, token in ipairs(run.data.tokens) do
    local done, failed = traces.add(run, "token", token)
    if not done then
      return nil, failed
    end
  end
  for _, seat in ipairs(run.data.seats) do
    if seat.access_id and seat.section and seat.row and seat.seat then
      local done, failed = traces.add(run, "seat", seat.access_id, seat.section, seat.row, seat.seat)
      if not done then
        return nil, failed
      end
    end
  end
  return true
end

-- This attempt has not sold anything, that is certain. What an earlier one has done, whose answer is missing, is not
-- decided by that.
local function give_up(run, err)
  if run.data.was_doubtful then
    return doubt(run, err)
  end
  return end_unsold(run, err)
end

-- Sold, all of it or a part. The seats of this run's own lock that were not sold are unlocked at the end.
local function take_sold(run, answer, sold)
  if #sold == 0 then
    return give_up(run, order_error("http", "rejected", "the service took the order and sold none of its seats"))
  end
  local is_sold, rest = {}, {}
  for _, token in ipairs(sold) do
    is_sold[token] = true
  end
  for _, token in ipairs(run.data.locked or {}) do
    rest[#rest + 1] = not is_sold[token] and token or nil
  end
  if not run.data.is_by_owners then -- who goes by the owners may be wrong until the tickets are printed
    local noted, err = traces.note_sale(run, sold)
    if not noted then
      return nil, err
    end
    traces.unclaim(run, run.data.tokens) -- also while the tickets cannot be printed, the seats may be transferred
  end
  run:forget_request()
  run.data.order, run.data.bought, run.data.tickets = runs.storable(answer), sold, run.data.tickets or {}
  run.data.locked = run.data.locked and rest
  run.data.seller = #rest > 0 and run.data.seller or nil
  return run:go("print", "running")
end

-- --- before the order ---------------------------------------------------------------------------------------------

-- A purchase that a dead process left before its order is sent by whoever resumes it, but not after this long: the
-- buyer has gone.
local function timely(handler)
  return function(flows, run, lost)
    if not run.data.is_ordered and run:is_too_late(flows.resume_within_ms) then
      return give_up(run, order_error("timeout", "not_sent", "the purchase was left for so long that it was not sent"))
    end
    return handler(flows, run, lost)
  end
end

-- A failure of what stands before the order. While somebody waits it ends the run; a run that is resumed stays open.
local function stop_before(run, err)
  if run.is_broken or err.kind == "store" or run.is_resumed and err.retryable then
    return nil, err
  end
  return give_up(run, errors.with(err, { outcome = "not_sent", body = err.body }))
end

steps.seats = timely(function(flows, run, lost)
  local found, err = locking.find(flows, run, lost)
  if not found then
    return stop_before(run, err)
  end
  return run:go("lock")
end)

function steps.lock(flows, run, lost)
  local locked, err = locking.lock(flows, run, lost)
  if not locked and err.in_doubt then
    run:keep_error(err)
    run:go("lock", "in_doubt")
    return nil, err
  elseif not locked then
    return stop_before(run, err)
  end
  run.data.tokens, run.data.seller = {}, run.request.seller
  for i, seat in ipairs(run.data.seats) do
    run.data.tokens[i] = seat.token
  end
  return run:go("owners")
end

local function claim(run)
  local claimed, other = traces.claim(run, run.data.tokens)
  if claimed == nil then
    return nil, other
  elseif not claimed then
    return false, order_error("validation", "not_sent",
      ("a seat is in another purchase or transfer that has not ended: %s"):format(other))
  end
  return true
end

local function read_owners(run, answer)
  local found, list, owners = seats.by_token(answer), {}, {}
  for i, token in ipairs(run.data.tokens) do
    local seat = found[token] or {}
    list[i] = { token = token, access_id = seat.access_id, section = seat.section, row = seat.row, seat = seat.seat }
    owners[token] = seat.owner_id
  end
  return list, owners
end

-- The owners are written down: what is compared with them, should the answer to the order get lost.
steps.owners = timely(function(flows, run)
  local claimed, err = claim(run)
  if claimed == nil then
    return nil, err
  elseif not claimed then
    return give_up(run, err)
  end
  local answer
  answer, err = run:send("owners", function(options)
    return flows.link.tickets:verify_all({ tickets = { { tokens = run.data.tokens } } },
      { deadline_ms = options.deadline_ms })
  end)
  if not answer then
    return stop_before(run, err)
  end
  local list, owners = read_owners(run, answer)
  if run.data.was_doubtful and settling.was_sold_before(run, owners) then
    return doubt(run, order_error("canceled", "unknown", "an earlier attempt of the purchase may have sold its seats"))
  end
  run.data.seats, run.data.owners = list, run.data.was_doubtful and run.data.owners or owners
  run.has_fresh_owners = true
  return run:go("order")
end)

-- --- the order ----------------------------------------------------------------------------------------------------

local LOST = "the process that sent the order ended before its answer was written down"

local function is_state(body, err, state)
  local told = err and err.response and err.response.state or body.status
  return type(told) == "string" and told:upper() == state
end

-- The process that an answer names, which callbacks will name too. Returns true, or nil and an error of the store.
local function keep_process(flows, run, body)
  run.data.process_id = places.label(body.processId)
  if run.data.process_id then
    return flows:trace_process(run, run.data.process_id)
  end
  return true
end

local UNNAMED = "the service answered PENDING without a processId"

local function await(run)
  if not run.data.process_id then
    return doubt(run, order_error("protocol", "unknown", UNNAMED))
  end
  run:forget_request()
  return run:go("wait", "running")
end

-- An answer that says COMPLETE, but also that something failed, and not what, is as good as none.
local function take_complete(run, body)
  local sold = settling.sold_by_answer(run, body)
  if not sold then
    return doubt(run, order_error("partial", "unknown", "the service sold a part, and does not tell which"))
  end
  return take_sold(run, body, sold)
end

-- An answer of which a part failed: the body tells (contract 4).
local function take_part(run, err)
  local body = type(err.body) == "table" and err.body or {}
  if is_state(body, err, "COMPLETE") then
    return take_complete(run, body)
  elseif is_state(body, err, "PENDING") then
    run.data.refused = settling.refused_by_answer(run, body)
    return await(run)
  end
  return doubt(run, err)
end

local function take_failure(flows, run, err)
  local kept, failed = keep_process(flows, run, type(err.body) == "table" and err.body or {})
  if not kept then
    return nil, failed
  elseif err.kind == "partial" then
    return take_part(run, err)
  elseif err.outcome == "rejected" or err.outcome == "not_sent" then
    return give_up(run, err)
  end
  return doubt(run, err)
end

local function take_answer(flows, run, answer, response)
  local kept, err = keep_process(flows, run, answer)
  if not kept then
    return nil, err
  elseif (response and response.state or answer.status) == "PENDING" then
    return await(run)
  end
  return take_complete(run, answer)
end

-- In an attempt the order is sent once. That it is about to be is written down with it.
steps.order = timely(function(flows, run, lost)
  if lost or run.data.is_ordered then
    return doubt(run, order_error("canceled", "unknown", LOST))
  elseif not run.has_fresh_owners then
    return run:go("owners") -- what was written down of them may be old
  end
  run.data.is_ordered, run.data.sent_at_ms = true, run:now_ms()
  local answer, err, response = run:send("order", function(options)
    return flows.link.orders:complete(purchases.payload_of(run), options)
  end)
  if answer then
    return take_answer(flows, run, answer, response)
  end
  run.data.is_ordered = err.outcome ~= "not_sent" or nil
  if run.is_broken then
    return nil, err
  end
  return take_failure(flows, run, err)
end)

-- --- after the order ----------------------------------------------------------------------------------------------

local STILL = "the order is still being worked on"
local ENDED_WITH_ERROR = "the service ended the order with ERROR: nothing was sold"

function steps.wait(flows, run)
  local saved, unsaved = run:save()
  if not saved then
    return nil, unsaved
  end
  local state, body, err = waiting.wait(flows, run, { process_id = run.data.process_id,
    poll = function(process_id, options) return flows.link.orders:status(process_id, options) end })
  if state == "COMPLETE" then
    return take_complete(run, body)
  elseif state == "ERROR" then
    return give_up(run, order_error("http", "rejected", ENDED_WITH_ERROR))
  elseif run.is_broken or (err and err.kind == "store") then
    return nil, err
  end
  local doubted, failed = doubt(run, order_error("timeout", "unknown", STILL))
  if not doubted then
    return nil, failed
  end
  return nil, run:kept_error()
end

function steps.settle(flows, run)
  local verdict, answer, sold, err = settling.look(flows, run)
  if err then
    return nil, err
  elseif verdict == "sold" or verdict == "part" then
    run.data.is_by_owners = answer == nil
    return take_sold(run, answer, sold)
  elseif verdict == "unsold" then
    return end_unsold(run, order_error(run.record.error and run.record.error.kind or "canceled", "rejected",
      "not sold, by the evidence in the journal"))
  end
  return nil, run:kept_error()
end

function steps.print(flows, run)
  local printed, err, is_refused = printing.print(flows, run)
  if printed and run.data.is_by_owners then
    printed, err = traces.note_sale(run, run.data.bought)
  end
  if printed then
    return run:go("close")
  elseif is_refused and run.data.is_by_owners then
    -- The owners changed, and this order is not what changed them.
    run:note("print_refused", { status = err.status, type = err.type })
    run.data.bought = nil
    traces.unclaim(run, run.data.tokens) -- another purchase that is in doubt may be it
    run:go("settle", "in_doubt")
    return nil, run:kept_error()
  end
  return nil, err
end

-- --- the end ------------------------------------------------------------------------------------------------------

local function are_all_in(tokens, list)
  local is_in = {}
  for _, token in ipairs(list) do
    is_in[token] = true
  end
  for _, token in ipairs(tokens) do
    if not is_in[token] then
      return false
    end
  end
  return true
end

-- A listing that was sold as a whole has ended, and is not to be taken down when the sale unlocks its seats. One that
-- somebody carries just now stays as it is, which does no harm.
local function end_listing(flows, run)
  local id = run.data.external_listing_id
  local record = run.journal:read("listing", id)
  local is_whole = record and record.state == "done" and record.result
    and are_all_in(record.result.tokens or {}, run.data.bought)
  local listing = is_whole and run.journal:claim("listing", id)
  if not listing then
    return
  end
  if listing.record and listing.record.state == "done" then
    listing:finish("sold", listing.record.result)
  end
  listing:release()
  if flows.delisting then
    flows.delisting:forget(id)
  end
end

local function result_of(run)
  return { id = run.id, external_listing_id = run.data.external_listing_id, process_id = run.data.process_id,
    order = run.data.order, tokens = run.data.bought, tickets = run.data.tickets }
end

function steps.close(flows, run)
  local result, unsold = result_of(run), #run.data.tokens - #run.data.bought
  if unsold > 0 then
    run:keep_error(errors.new { kind = "partial", operation = "orders.complete", retryable = false, attempts = 1,
      message = ("%d of %d seats were sold"):format(#run.data.bought, #run.data.tokens), body = result })
  else
    run.record.error = nil
  end
  if #(run.data.locked or {}) > 0 then
    return run:go("undo", "undoing")
  end
  end_listing(flows, run)
  traces.unclaim(run, run.data.tokens)
  return run:finish("done", result)
end

-- The seats that were to be unlocked are sold, and nobody has told that they were sold by this order.
local function take_contradiction(run)
  run.data.sold = nil
  if (run.data.is_ordered or run.data.was_doubtful) and not run.data.bought then
    run:note("sold_by_the_unlock")
    run.data.is_contradicted = true
    return doubt(run, order_error("protocol", "unknown", "the order was refused, but its seats are sold"))
  end
  return true
end

-- Unlocks what was not sold of the seats that the run has locked itself.
function steps.undo(flows, run)
  local unlocked, err = locking.unlock(flows, run)
  if not unlocked and err.is_sold then
    local taken, failed = take_contradiction(run)
    if not taken or run.record.step ~= "undo" then
      return taken, failed
    end
  elseif run.is_broken then
    return nil, err
  elseif not unlocked then
    run:note("undo_failed", { kind = err.kind, status = err.status })
    run:go("undo", err.in_doubt and "in_doubt" or "undoing")
    return nil, run.is_resumed and err or run:kept_error() or err
  end
  if run.data.bought then
    return run:go("close", "running")
  end
  if run.data.was_doubtful and not run.data.is_unsold then
    return doubt(run, run:kept_error()) -- what was decided is a lock, and not what an earlier attempt has sold
  end
  traces.unclaim(run, run.data.tokens or {})
  return run:fail(run:kept_error())
end

-- --- a person's word ----------------------------------------------------------------------------------------------

-- Sold, without the tickets that the service does not print.
local function close_unprinted(run)
  if run.data.is_by_owners then
    local noted, err = traces.note_sale(run, run.data.bought)
    if not noted then
      return nil, err
    end
  end
  return run:go("close", "running")
end

-- What passed for sold is not: the seats of this run's own lock are locked still, and no other purchase lost to it.
-- Where owners had changed, somebody else has the seats.
local function take_back_sale(run)
  local bought = run.data.bought or {}
  run.data.bought = nil
  if run.data.is_by_owners then
    return true
  end
  for _, token in ipairs(run.data.locked and bought or {}) do
    table.insert(run.data.locked, token)
  end
  return traces.forget_sale(run, bought)
end

--- Decides a purchase that is in doubt.
-- @tparam table run
-- @tparam string as `done` or `failed`
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err
function buying.decide(run, as)
  local step = run.record.step
  if step ~= "settle" and step ~= "print" then
    return locking.decide(run, as)
  elseif as == "done" and step == "print" then
    return close_unprinted(run)
  elseif as == "done" then
    run.data.is_by_owners = nil -- a print that is refused does not outweigh his word
    return take_sold(run, nil, run.data.tokens)
  end
  local forgotten, err = take_back_sale(run)
  if not forgotten then
    return nil, err
  end
  return end_unsold(run, order_error("canceled", "rejected", "not sold, on the word of a person"))
end

-- A purchase that was ended as not sold by its evidence is opened again by a callback that came meanwhile.
local function look_again(run)
  local is_late = not run.has_looked_again and run.record.state == "failed" and run.data.is_doubtful
    and settling.came_late(run)
  if is_late then
    run.has_looked_again = true
    run:note("callback_came", {})
    run:reopen("settle", "in_doubt")
  end
  return is_late == true
end

-- Beside what is in doubt a person decides what becomes of tickets that cannot be printed.
local function is_decidable(record)
  return record.step == "print"
end

-- Where no order left in this attempt, another one may be sent.
local function starts_anew(record)
  return not record.data.is_ordered and not record.data.was_doubtful
end

local CARRIED = { "owners", "seats", "tokens", "locked", "lock_as", "seller", "is_remembered", "releasing", "sending" }

-- What another attempt has to know of one whose fate was or is unknown: that order may still be carried out.
local function carry_over(record)
  local before, data = record.data, { was_doubtful = true, is_doubtful = true }
  if not (before.is_doubtful or before.was_doubtful) then
    return nil
  end
  for _, name in ipairs(CARRIED) do
    data[name] = before[name]
  end
  data.sent_at_ms, data.processes = before.sent_at_ms, { before.process_id }
  for _, process_id in ipairs(before.processes or {}) do
    data.processes[#data.processes + 1] = process_id ~= before.process_id and process_id or nil
  end
  return data
end

--- The kinds of runs, for `paciolan.workflow.flows`.
buying.buy = { name = "buy", space = "order", pivot = "order", begin = purchases.buy, steps = steps,
  tell = telling.purchase, starts_anew = starts_anew, decide = buying.decide, is_decidable = is_decidable,
  look_again = look_again, carry_over = carry_over }
buying.fulfil = { name = "fulfil", space = "order", pivot = "order", begin = purchases.fulfil, steps = steps,
  tell = telling.purchase, starts_anew = starts_anew, decide = buying.decide, is_decidable = is_decidable,
  look_again = look_again, carry_over = carry_over }

return buying
