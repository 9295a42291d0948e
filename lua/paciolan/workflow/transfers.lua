--- What is known of a transfer that a run has offered: what the service told, whose its seats are, what its history
-- says, and how a run of it ends.
--
-- `record.data` of such a run: `confirmation_cd`, `transfer_id`, `url`, `transfer_status` and `process_id` as the
-- service told them; `accepted`, `canceled`; `organization_id`; `tokens`, where the seats are named so; `owners`, by
-- token, as they were before, when all were known; `sent_at_ms`, when they were offered first.
-- @module paciolan.workflow.transfers
local errors = require "paciolan.errors"
local places = require "paciolan.workflow.places"
local seats = require "paciolan.workflow.seats"
local traces = require "paciolan.workflow.traces"

local transfers = {}

-- A write that was not done, by the history, is followed by one more; then whoever comes next goes on.
local TRIES = 2

-- --- what was told ------------------------------------------------------------------------------------------------

local TOLD = { confirmationCd = "confirmation_cd", transferId = "transfer_id", url = "url",
  transferStatus = "transfer_status", processId = "process_id" }

--- Keeps what an answer says of the transfer. An id may come as a number (row 23).
-- @tparam table run
-- @param body of the answer; nothing is kept of one that is no table
function transfers.keep(run, body)
  for wire, name in pairs(TOLD) do
    run.data[name] = type(body) == "table" and places.label(body[wire]) or run.data[name]
  end
end

-- --- ends ---------------------------------------------------------------------------------------------------------

local function result_of(run)
  local data = run.data
  return { id = run.id, confirmation_cd = data.confirmation_cd, transfer_id = data.transfer_id, url = data.url,
    transfer_status = data.transfer_status, process_id = data.process_id, accepted = data.accepted == true,
    canceled = data.canceled == true }
end

-- What others have to know who want to know whose doing it was that the seats have another owner: that they were
-- accepted, or that they may be. When they were accepted is only known while the run is carried: one that had ended is
-- found to be accepted at some time or other.
local function tell_others(run, is_accepted)
  local tokens, before = run.data.tokens or {}, run.data.before_cancel
  if before and before.state == "done" then
    return true
  elseif is_accepted then
    return traces.note_sale(run, tokens)
  end
  for _, token in ipairs(tokens) do
    local done, err = traces.add(run, "offer", token)
    if not done then
      return nil, err
    end
  end
  return true
end

-- Ends a run, and gives its seats back to others.
local function finish(run, state, result)
  local done, err = run:finish(state, result)
  if not done then
    return nil, err
  end
  traces.unclaim(run, run.data.tokens or {})
  return true
end

--- Ends a run whose transfer is there.
-- @tparam table run
-- @tparam boolean is_accepted
-- @tparam ?table problem what the caller gets in place of the result, now and in every repeated call
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the journal
function transfers.finish_done(run, is_accepted, problem)
  local told, err = tell_others(run, is_accepted)
  if not told then
    return nil, err
  end
  run.data.accepted, run.data.canceled, run.record.error = is_accepted, false, nil
  run.data.transfer_status = is_accepted and "accepted" or run.data.transfer_status
  if problem then
    run:keep_error(problem)
  end
  return finish(run, "done", result_of(run))
end

--- Ends a run whose transfer was cancelled, or never made.
-- @tparam table run
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the journal
function transfers.finish_canceled(run)
  run.data.accepted, run.data.canceled, run.record.error = false, true, nil
  return finish(run, "canceled", result_of(run))
end

--- Ends a run that has offered nothing.
-- @tparam table run
-- @tparam table err what the caller gets
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the journal
function transfers.fail(run, err)
  run:keep_error(err)
  return finish(run, "failed")
end

--- Tells the caller that a run has ended, and not as he wanted.
-- @tparam ?table err of the write; the service's own word when it is a refusal
-- @tparam string operation
-- @tparam string message for when there is no such word
-- @tparam ?boolean done what `finish_done` or `finish_canceled` returned
-- @tparam ?table failure and its error
-- @treturn nil
-- @treturn table err
function transfers.end_otherwise(err, operation, message, done, failure)
  if not done then
    return nil, failure
  elseif err and err.outcome == "rejected" then
    return nil, err
  end
  return nil, errors.new { kind = "http", operation = operation, outcome = "rejected", retryable = false,
    message = message }
end

-- --- reading ------------------------------------------------------------------------------------------------------

-- A read is not written down before: it does no harm twice.
local function read(run, call)
  local kept, err = run:keep()
  if not kept then
    return nil, err
  end
  local answer, failure = call { deadline_ms = run.journal.deadline_ms, organization_id = run.data.organization_id }
  run:hear(failure)
  return answer, failure
end

local function owners_in(answer)
  local owners = {}
  for token, seat in pairs(seats.by_token(answer)) do
    owners[token] = seat.owner_id
  end
  return owners
end

--- Asks whose the seats are. That the service knows no such token is an answer too, and proves nothing.
-- @tparam table flows
-- @tparam table run
-- @tparam table tokens
-- @treturn table owners by token, of those that the service names
-- @treturn[2] nil
-- @treturn[2] table err
function transfers.owners(flows, run, tokens)
  local answer, err = read(run, function(options)
    return flows.link.tickets:verify_all({ tickets = { { tokens = tokens } } }, options)
  end)
  if not answer and err.kind == "partial" then
    answer = type(err.body) == "table" and err.body or {}
  elseif not answer and err.kind == "http" and err.status < 500 then
    answer = {}
  end
  if not answer then
    return nil, err
  end
  return owners_in(answer)
end

local function no_history_error()
  return errors.new { kind = "protocol", operation = "transfers.history", retryable = true,
    message = "the history of the transfer tells nothing" }
end

-- Only the beginning of a history is documented, and its words are compared without case (row 30).
local function fate_in(history)
  local fate
  for _, entry in ipairs(type(history) == "table" and history or {}) do
    local op = type(entry) == "table" and type(entry.op) == "string" and entry.op:lower() or ""
    if op:find("^accept") then
      fate = "accepted"
    elseif op:find("^cancel") then
      fate = "canceled"
    elseif op ~= "" then
      fate = fate or "open"
    end
  end
  return fate
end

--- Reads what became of a transfer, also of that of another run.
-- @tparam table flows
-- @tparam table run
-- @tparam ?string code its confirmation code; without it that of the run
-- @treturn string `open`, `accepted` or `canceled`
-- @treturn[2] nil
-- @treturn[2] table err
function transfers.fate(flows, run, code)
  local answer, err = read(run, function(options)
    return flows.link.transfers:history(code or run.data.confirmation_cd, options)
  end)
  local fate = type(answer) == "table" and fate_in(answer.history) or nil
  if not code then
    run:note("history", { fate = fate or "not_read" })
  end
  if not fate then
    return nil, err or no_history_error()
  end
  return fate
end

-- --- writing ------------------------------------------------------------------------------------------------------

local DONE = { accept = "accepted", cancel = "canceled" }

-- The service knows no such transfer, or shows it to nobody.
local function is_refusal(err)
  return err ~= nil and not err.retryable and type(err.status) == "number" and err.status >= 400 and err.status < 500
end

-- Does the answer say what was done? That to a cancellation names the state (contract 2.12); another one shows in the
-- history.
local function says(name, answer)
  local status = answer.transferStatus
  return name ~= "cancel" or type(status) ~= "string" or status:lower():find("^cancel") ~= nil
end

--- Accepts or cancels. Either is about one transfer, which can be accepted or cancelled once, and its history tells
-- whether it was: so where that shows neither it is made again.
-- @tparam table flows
-- @tparam table run whose `confirmation_cd` is known
-- @tparam string name of the step, `accept` or `cancel`
-- @tparam function write `(options)`
-- @tparam boolean was_lost one was under way when the run was left
-- @treturn string `accepted` or `canceled`: what the transfer is, whoever did it; or `refused`
-- @treturn ?table err of the write, when it was not this one that did it
-- @treturn ?boolean true when it was refused and the history shows neither
-- @treturn[2] nil
-- @treturn[2] table err: it is not known, or was not done; to be tried again
function transfers.insist(flows, run, name, write, was_lost)
  local answer, err
  for _ = 1, TRIES do
    if not was_lost then
      answer, err = run:send(name, write)
      if answer and says(name, answer) then
        transfers.keep(run, answer)
        return DONE[name]
      elseif not answer and (run.is_broken or err.outcome == "not_sent") then
        return nil, err
      end
    end
    was_lost = false
    local fate, failure = transfers.fate(flows, run)
    if err and err.outcome == "rejected" and (fate == "open" or is_refusal(failure)) then
      return "refused", err, fate == "open"
    elseif fate ~= "open" then
      return fate, err or failure
    end
  end
  return nil, err
end

return transfers
