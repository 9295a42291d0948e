--- Transfers: seats are offered to a recipient, and perhaps accepted for him (contract 2.9 to 2.12). One run for each
-- `externalTransferId`.
--
-- Steps: `owners` (whose seats they are, where they are named by token), `initiate`, `wait` while the service answers
-- PENDING, `accept` where that is asked for; `cancel` takes the offer back.
--
-- **The unknown offer.** A transfer cannot be looked up by the caller's id, and a second one would be a second offer.
-- So initiate is never sent again here: a run whose answer was lost is `in_doubt`, at the step `settle`. A process id
-- or a confirmation code shows what became of it. So do new owners of all seats: their recipient has accepted. That the
-- owners are the old ones proves nothing, for an offer waits for its recipient, for days. Then a person has to look,
-- and decides with `flows:settle`.
-- @module paciolan.workflow.transferring
local canceling = require "paciolan.workflow.canceling"
local check = require "paciolan.options"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local telling = require "paciolan.workflow.telling"
local traces = require "paciolan.workflow.traces"
local transfers = require "paciolan.workflow.transfers"
local waiting = require "paciolan.workflow.waiting"

local steps = { cancel = canceling.step }
local transferring = { name = "transfer", space = "transfer", pivot = "initiate", steps = steps, cancel = canceling }

-- --- what a caller gives ------------------------------------------------------------------------------------------

-- What goes out is checked by the core, every violation at once.
local function anything()
  return true
end

local PAYLOAD = { "transferRequests", "linkId", "siteId", "baseUrl", "asyncCallbackUrl" }

local RULES = {
  distributor_code = { check.text }, organization_id = { check.text }, accept = { check.a_boolean, default = false },
}
for _, name in ipairs(PAYLOAD) do
  RULES[name] = { anything }
end

local MISSING = { path = "/transferRequests/0/externalTransferId", rule = "required",
  message = "is required: it is the id of the run" }

-- The service can do without an id of the caller's, a run cannot. Returns it, or false when an entry has none.
local function id_of(payload)
  local list = payload.transferRequests
  local entry = type(list) == "table" and rawget(list, 1)
  if type(entry) ~= "table" then
    return nil
  end
  local id = rawget(entry, "externalTransferId")
  return id ~= nil and id ~= "" and id
end

local function check_payload(flows, payload, given)
  local ok, violations = core.check("transfers.initiate", payload, {
    distributor_code = given.distributor_code, organization_id = given.organization_id, shapes = flows.shapes,
  })
  local id = id_of(payload)
  violations = not ok and violations or {}
  if id == false then
    violations[#violations + 1] = MISSING
  end
  if #violations > 0 then
    return nil, errors.validation("workflows.transfer", violations, "not_sent")
  end
  return id
end

--- Reads what `flows:transfer` is given.
-- @tparam table flows
-- @tparam table input the body of initiate v2 with its wire names, and `distributor_code`, `organization_id`, `accept`
-- @tparam number level of the caller in `error`
-- @treturn string id of the run
-- @treturn table request
-- @treturn string the first step
-- @treturn[2] nil
-- @treturn[2] table err of kind `validation`
-- @raise for an unknown option, or one of another type
function transferring.begin(flows, input, level)
  local given = check.read(input, RULES, "workflows.transfer", level + 1)
  given.organization_id = given.organization_id or flows.organization_id
  local payload = {}
  for _, name in ipairs(PAYLOAD) do
    payload[name] = given[name]
  end
  local id, err = check_payload(flows, payload, given)
  if not id then
    return nil, err
  end
  local entry = payload.transferRequests[1]
  return id, { payload = payload, distributor_code = given.distributor_code, organization_id = given.organization_id,
    accept = given.accept }, (entry.Items or entry.items) and "owners" or "initiate"
end

-- --- before the offer ---------------------------------------------------------------------------------------------

local function transfer_error(kind, outcome, message)
  return errors.new { kind = kind, operation = "transfers.initiate", outcome = outcome, attempts = 0,
    retryable = outcome == "not_sent", message = message }
end

-- A transfer that a dead process left before its offer is sent by whoever resumes it, but not after this long.
local function is_too_late(flows, run)
  return run.is_resumed and run:now_ms() - run.record.created_ms > flows.resume_within_ms
end

local function fail_late(run)
  return run:fail(transfer_error("timeout", "not_sent", "the transfer was left for so long that it was not sent"))
end

local function tokens_of(payload)
  local entry, list = payload.transferRequests[1], {}
  for _, item in ipairs(entry.Items or entry.items or {}) do
    for _, token in ipairs(item.tokens) do
      list[#list + 1] = token
    end
  end
  return list
end

local function has_all(owners, tokens)
  for _, token in ipairs(tokens) do
    if not owners[token] then
      return false
    end
  end
  return true
end

-- A failure before the offer. While somebody waits it ends the run; a run that is resumed stays open.
local function stop_before(run, err)
  if run.is_broken or err.kind == "store" or (run.is_resumed and err.retryable) then
    return nil, err
  end
  return run:fail(errors.with(err, { outcome = "not_sent" }))
end

--- Writes down whose seats they are: what is compared with, should the answer to the offer get lost. Where the service
-- does not know all of them the transfer goes on without.
function steps.owners(flows, run)
  if is_too_late(flows, run) then
    return fail_late(run)
  end
  run.data.organization_id = run.request.organization_id
  local tokens = tokens_of(run.request.payload)
  local owners, err = transfers.owners(flows, run, tokens)
  if not owners then
    return stop_before(run, err)
  elseif has_all(owners, tokens) then
    run.data.owners = owners
  else
    run:note("owners_untold_before")
  end
  run.has_owners = true
  return run:go("initiate")
end

-- --- the offer ----------------------------------------------------------------------------------------------------

-- For accepting, the recipient is needed once more. Nothing else is.
local function forget_if_done(run)
  if run.request and not run.request.accept then
    run:forget_request()
  end
end

-- The transfer is there: it may have to be accepted as well.
local function go_on(run)
  if run.request and run.request.accept then
    return run:go("accept", "running")
  end
  return transfers.finish_done(run, false)
end

-- Nobody can tell whether the transfer was made.
local function doubt(run, err)
  run:keep_error(errors.with(err, { outcome = "unknown", retryable = false }))
  run:note("answer_lost", { kind = err.kind, status = err.status })
  run.data.is_doubtful = true
  transfers.keep(run, err.body)
  run.data.process_id = err.process_id or run.data.process_id
  forget_if_done(run)
  return run:go("settle", "in_doubt")
end

local LOST = "the process that offered the transfer ended before the answer was written down"
local UNNAMED = "the service answered PENDING without a processId"

local function take_answer(run, body, response)
  transfers.keep(run, body)
  if response.state ~= "PENDING" then
    return go_on(run)
  elseif not run.data.process_id then
    return doubt(run, transfer_error("protocol", "unknown", UNNAMED))
  end
  forget_if_done(run)
  return run:go("wait")
end

local function send_offer(flows, run)
  local request = run.request
  return run:send("initiate", function(options)
    options.distributor_code, options.organization_id = request.distributor_code, request.organization_id
    return flows.link.transfers:initiate(request.payload, options)
  end)
end

--- Offers the seats, once.
function steps.initiate(flows, run, lost)
  if lost then
    return doubt(run, transfer_error("canceled", "unknown", LOST))
  elseif is_too_late(flows, run) then
    return fail_late(run)
  elseif run.is_resumed and not run.has_owners and #tokens_of(run.request.payload) > 0 then
    return run:go("owners") -- what was written down of the owners may be old
  end
  run.data.organization_id = run.request.organization_id
  local body, err, response = send_offer(flows, run)
  if run.is_broken then
    return nil, err
  end
  -- The client repeats one error of the table. An ERROR of the last attempt says nothing of one before it.
  run.data.was_repeated = (response or err.response or err).attempts ~= 1
  if body then
    return take_answer(run, body, response)
  elseif err.outcome == "not_sent" or err.outcome == "rejected" then
    return run:fail(err)
  end
  return doubt(run, err)
end

-- --- what became of it --------------------------------------------------------------------------------------------

-- These return true when the run goes on or has ended, and false when nothing is known yet; or nil and an error when
-- the run is not carried any further.

-- So that a callback finds the run, whoever gets it.
local function trace(flows, run)
  local saved, err = run:save()
  if not saved then
    return nil, err
  end
  return flows:trace_process(run, run.data.process_id)
end

local function process_error(run)
  local err = transfer_error("http", "rejected", "the service ended the transfer with ERROR: nothing was offered")
  err.process_id = run.data.process_id
  return err
end

local function by_process(flows, run)
  if not run.data.process_id then
    return false
  end
  local traced, problem = trace(flows, run)
  if not traced then
    return nil, problem
  end
  local state, body, err = waiting.wait(flows, run, { process_id = run.data.process_id,
    poll = function(process_id, options) return flows.link.transfers:pending(process_id, options) end })
  if state == "COMPLETE" then
    transfers.keep(run, body)
    return go_on(run)
  elseif state == "ERROR" and not run.data.was_repeated then
    return run:fail(process_error(run))
  elseif run.is_broken or (err and err.kind == "store") then
    return nil, err
  end
  return false
end

local function by_history(flows, run)
  if not run.data.confirmation_cd then
    return false
  end
  local fate, err = transfers.fate(flows, run)
  if fate == "open" then
    return go_on(run)
  elseif fate == "accepted" then
    return transfers.finish_done(run, true)
  elseif fate == "canceled" then
    return transfers.finish_canceled(run)
  elseif run.is_broken then
    return nil, err
  end
  return false
end

local function compare(before, now)
  local counts = { changed = 0, unchanged = 0, untold = 0 }
  for token, owner in pairs(before) do
    local what = not now[token] and "untold" or now[token] == owner and "unchanged" or "changed"
    counts[what] = counts[what] + 1
  end
  return counts
end

local function tokens_in(owners)
  local list = {}
  for token in pairs(owners) do
    list[#list + 1] = token
  end
  table.sort(list)
  return list
end

local function by_owners(flows, run)
  local before = run.data.owners
  if not before then
    return false
  end
  local now, err = transfers.owners(flows, run, tokens_in(before))
  if not now then
    run:note("owners_unread", { kind = err.kind, status = err.status })
    if run.is_broken then
      return nil, err
    end
    return false
  end
  local counts = compare(before, now)
  local is_accepted = counts.unchanged == 0 and counts.untold == 0
  run:note(is_accepted and "owners_changed" or counts.untold > 0 and "owners_untold" or counts.changed > 0
    and "some_owners_changed" or "owners_unchanged", counts)
  if is_accepted then
    return transfers.finish_done(run, true)
  end
  return false
end

local STILL = "the service is still working on the transfer"

--- Waits for the end of what the service works on.
function steps.wait(flows, run)
  local found, err = by_process(flows, run)
  if found or found == nil then
    return found, err
  end
  err = transfer_error("timeout", "unknown", STILL)
  err.process_id = run.data.process_id
  run:keep_error(err)
  run.data.is_doubtful = true
  run:go("settle", "in_doubt")
  return nil, err
end

--- Looks for evidence of what became of an offer.
function steps.settle(flows, run)
  for _, way in ipairs { by_process, by_history, by_owners } do
    local found, err = way(flows, run)
    if found or found == nil then
      return found, err
    end
  end
  return nil, run:kept_error()
end

-- --- accepting ----------------------------------------------------------------------------------------------------

local function accept_call(flows, run)
  local request = run.request
  local entry = request.payload.transferRequests[1]
  return function(options)
    options.organization_id = run.data.organization_id
    options.distributor_code = (entry.Seats or entry.seats) and request.distributor_code or nil
    return flows.link.transfers:accept({ transferId = run.data.transfer_id,
      Recipient = entry.Recipient or entry.recipient }, options)
  end
end

--- Accepts the transfer for its recipient. When that is refused the transfer is there all the same, so the run stays
-- open at this step, and can be cancelled.
function steps.accept(flows, run, lost)
  if not (run.data.transfer_id and run.data.confirmation_cd) then
    return nil, errors.new { kind = "protocol", operation = "transfers.accept", outcome = "not_sent", attempts = 0,
      retryable = false, message = "the service told no transferId and confirmationCd, so nothing can be accepted" }
  end
  local fate, err = transfers.insist(flows, run, "accept", accept_call(flows, run), lost ~= nil)
  if fate == "accepted" then
    return transfers.finish_done(run, true)
  elseif fate == "canceled" then
    return transfers.end_otherwise(err, "transfers.accept", "the transfer was cancelled",
      transfers.finish_canceled(run))
  end
  return nil, err
end

-- --- for paciolan.workflow.flows ----------------------------------------------------------------------------------

--- May a failed run begin anew? Where no offer was sent in this attempt, or none that left.
-- @tparam table record
-- @treturn boolean
function transferring.starts_anew(record)
  for _, entry in ipairs(record.steps) do
    if entry.name == "initiate" and entry.outcome ~= "not_sent" then
      return false
    end
  end
  return true
end

--- Decides a transfer that is in doubt, on the word of a person. What was never told cannot be accepted here.
-- @tparam table run
-- @tparam string as `done` or `failed`
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the journal
function transferring.decide(run, as)
  if as == "failed" then
    return run:fail(transfer_error("canceled", "rejected", "not offered, on the word of a person"))
  elseif run.data.transfer_id and run.data.confirmation_cd then
    return go_on(run)
  end
  return transfers.finish_done(run, false)
end

--- Opens a transfer that was ended as failed again, if a callback came meanwhile.
-- @tparam table run
-- @treturn boolean is it open again?
function transferring.look_again(run)
  local data, callback = run.data, nil
  if run.record.state == "failed" and data.is_doubtful and data.process_id then
    callback = traces.callback(run.journal, data.process_id)
  end
  if not callback or callback.state ~= "COMPLETE" then
    return false
  end
  run:note("callback_came", { process_id = data.process_id, state = callback.state })
  run:reopen("settle", "in_doubt")
  return true
end

local AT = {
  owners = "the owners of the seats are being read; nothing was offered yet.",
  wait = "the service took the offer and works on it.",
  accept = "the seats are offered; the transfer is being accepted for its recipient.",
  cancel = "the offer is being taken back.",
}

local ENDED = {
  done = "the seats were offered to their recipient, who may accept them.",
  failed = "not offered.",
  canceled = "cancelled; the seats stay with their owner.",
}

local function tell_doubt(record)
  if record.data.process_id then
    return ("the service works on the offer as process %s, or has lost it. Its end is asked for by resume and settle.")
      :format(record.data.process_id)
  end
  return "the answer to the offer is missing: nobody can say yet whether the seats are offered to their recipient. It "
    .. "is not sent again. New owners of the seats would show that it was accepted; otherwise a person has to look."
end

local function tell_offer(record)
  local entry = record.steps[#record.steps]
  if entry and entry.name == "initiate" and entry.state == "sending" then
    return ("the seats were being offered at %s, and the answer is not written down."):format(telling.time(entry.at_ms))
  end
  return "the seats are about to be offered."
end

--- Tells what is going on in a run.
-- @tparam table record
-- @treturn string
function transferring.tell(record)
  local head = ("Transfer %s: "):format(record.id)
  if record.ended_ms then
    local is_accepted = record.state == "done" and record.data.accepted
    return head .. (is_accepted and "accepted; the seats belong to their recipient." or ENDED[record.state])
  elseif record.step == "settle" then
    return head .. tell_doubt(record)
  elseif record.step == "initiate" then
    return head .. tell_offer(record)
  end
  return head .. (AT[record.step] or ("it stands at step %s."):format(record.step)) .. telling.trouble(record)
end

return transferring
