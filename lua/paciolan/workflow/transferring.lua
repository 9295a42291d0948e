--- Transfers: seats are offered to a recipient, and perhaps accepted for him (contract 2.9 to 2.12). One run for each
-- `externalTransferId`.
--
-- Steps: `owners` (whose seats they are, where they are named by token), `initiate`, `wait` while the service answers
-- PENDING, `accept` where that is asked for; `cancel` takes the offer back.
--
-- **The unknown offer.** A transfer cannot be looked up by the caller's id, and a second one would be a second offer.
-- So initiate is never sent again here: a run whose answer was lost is `in_doubt`, at the step `settle`, and
-- `paciolan.workflow.offers` looks for evidence. Where there is none a person has to look, and decides with
-- `flows:settle`. Who insists on another offer takes the doubt along: that it is refused says nothing of the first.
-- @module paciolan.workflow.transferring
local canceling = require "paciolan.workflow.canceling"
local check = require "paciolan.options"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local offers = require "paciolan.workflow.offers"
local places = require "paciolan.workflow.places"
local telling = require "paciolan.workflow.telling"
local traces = require "paciolan.workflow.traces"
local transfers = require "paciolan.workflow.transfers"

local steps = { cancel = canceling.step }
local transferring = { name = "transfer", space = "transfer", pivot = "initiate", steps = steps, cancel = canceling,
  carry_over = offers.carry_over }

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

-- For accepting, the recipient is needed once more. Nothing else is.
local function forget_if_done(run)
  if run.request and not run.request.accept then
    run:forget_request()
  end
end

local AFTER_ANOTHER = "nobody knows whether the seats were offered before, and another offer was not made: "

-- This attempt has offered nothing, that is certain. Nothing is said by that of an earlier one whose fate is unknown.
local function give_up(run, err)
  if not offers.go_back(run) then
    return transfers.fail(run, err)
  end
  run:note("not_offered_again", { kind = err.kind, status = err.status })
  run:keep_error(errors.with(err, { outcome = "unknown", retryable = false, message = AFTER_ANOTHER .. err.message }))
  forget_if_done(run)
  return run:go("settle", "in_doubt")
end

-- A transfer that a dead process left before its offer is sent by whoever resumes it, but not after this long.
local function fail_late(run)
  return give_up(run, transfer_error("timeout", "not_sent", "the transfer was left for so long that it was not sent"))
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
  return give_up(run, errors.with(err, { outcome = "not_sent" }))
end

local TAKEN = "a seat is in another purchase or transfer that has not ended: %s"

-- The seats are for this transfer alone, so that no other one's acceptance passes for that of this one.
local function claim(run)
  local claimed, other = traces.claim(run, run.data.tokens)
  if claimed == false then
    return false, transfer_error("validation", "not_sent", TAKEN:format(other))
  end
  return claimed, other
end

-- What the owners are compared with. Where an earlier attempt has read them, that is from before its offer, and stays.
local function read_owners(flows, run)
  if run.data.owners then
    return true
  end
  local owners, err = transfers.owners(flows, run, run.data.tokens)
  if not owners then
    return nil, err
  elseif has_all(owners, run.data.tokens) then
    run.data.owners = owners
  else
    run:note("owners_untold_before")
  end
  return true
end

--- Takes the seats for this transfer, and writes down whose they are: what is compared with, should the answer to the
-- offer get lost. Where the service does not know all of them the transfer goes on without.
function steps.owners(flows, run)
  if run:is_too_late(flows.resume_within_ms) then
    return fail_late(run)
  end
  run.data.organization_id = run.request.organization_id
  run.data.tokens = tokens_of(run.request.payload)
  local claimed, err = claim(run)
  if claimed == false then
    return give_up(run, err)
  elseif not claimed then
    return nil, err
  elseif not offers.has_carried(run) then
    run.data.owners = nil -- what was written down of them may be old
  end
  local is_read
  is_read, err = read_owners(flows, run)
  if not is_read then
    return stop_before(run, err)
  end
  run.has_owners = true
  return run:go("initiate")
end

-- --- the offer ----------------------------------------------------------------------------------------------------

-- The transfer is there: it may have to be accepted as well.
local function go_on(run)
  run.data.is_doubtful, run.data.carried = nil, nil
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
  run.data.process_id = places.label(err.process_id) or run.data.process_id
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

-- May it have been offered in this attempt? So it may where somebody has died behind it, or could not write down what
-- follows.
local function was_offered(run)
  local sent = run:last_step("initiate")
  return sent ~= nil and sent.outcome ~= "not_sent" and sent.outcome ~= "rejected"
end

--- Offers the seats, once.
function steps.initiate(flows, run, lost)
  if lost or was_offered(run) then
    return doubt(run, transfer_error("canceled", "unknown", LOST))
  elseif run:is_too_late(flows.resume_within_ms) then
    return fail_late(run)
  elseif run.is_resumed and not run.has_owners and #tokens_of(run.request.payload) > 0 then
    return run:go("owners")
  end
  run.data.organization_id = run.request.organization_id
  run.data.sent_at_ms = run.data.sent_at_ms or run:now_ms()
  local body, err, response = send_offer(flows, run)
  if run.is_broken then
    return nil, err
  end
  -- The client repeats one error of the table. An ERROR of the last attempt says nothing of one before it.
  run.data.was_repeated = (response or err.response or err).attempts ~= 1
  if body then
    return take_answer(run, body, response)
  elseif err.outcome == "not_sent" or err.outcome == "rejected" then
    return give_up(run, err)
  end
  return doubt(run, err)
end

-- --- what became of it --------------------------------------------------------------------------------------------

local function process_error(run)
  local err = transfer_error("http", "rejected", "the service ended the transfer with ERROR: nothing was offered")
  err.process_id = run.data.process_id
  return err
end

-- Returns true when the run goes on or has ended; false when nothing is known yet; or nil and an error when it is not
-- carried any further.
local function take_verdict(run, verdict, err)
  if err then
    return nil, err
  elseif verdict == "made" then
    return go_on(run)
  elseif verdict == "accepted" then
    return transfers.finish_done(run, true)
  elseif verdict == "canceled" then
    return transfers.finish_canceled(run)
  elseif verdict == "refused" then
    return give_up(run, process_error(run))
  end
  return false
end

local STILL = "the service is still working on the transfer"

--- Waits for the end of what the service works on.
function steps.wait(flows, run)
  local found, err = take_verdict(run, offers.by_process(flows, run))
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
  local found, err = take_verdict(run, offers.look(flows, run))
  if found or found == nil then
    return found, err
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

-- After so many refusals it is not tried again.
local MOST_REFUSALS = 3

-- The history shows that the transfer was neither accepted nor cancelled, so that the refusal is no echo of an
-- acceptance whose answer was lost; and nothing that is compared may say otherwise.
local function take_refusal(flows, run, err)
  run.data.refusals = (run.data.refusals or 0) + 1
  if run.data.refusals < MOST_REFUSALS then
    return nil, err
  end
  local verdict, failure = offers.by_owners(flows, run)
  if failure then
    return nil, failure
  elseif verdict == "accepted" then
    return transfers.finish_done(run, true)
  elseif verdict == "owners_unchanged" or not run.data.owners then
    return transfers.finish_done(run, false, err)
  end
  return nil, err
end

local OVER = "offered, not accepted, and not offered any more, on the word of a person"

-- A person says that it is not going to be accepted here. What the history shows weighs more.
local function take_word(flows, run)
  local fate, err
  if run.data.confirmation_cd then
    fate, err = transfers.fate(flows, run)
  end
  if run.is_broken then
    return nil, err
  elseif fate == "accepted" then
    return transfers.finish_done(run, true)
  elseif fate == "canceled" then
    return transfers.finish_canceled(run)
  elseif run.data.word == "done" then
    return transfers.finish_done(run, false)
  end
  run.data.is_over = true
  return transfers.fail(run, transfer_error("canceled", "rejected", OVER))
end

local function untold_error()
  return errors.new { kind = "protocol", operation = "transfers.accept", outcome = "not_sent", attempts = 0,
    retryable = false, message = "the service told no transferId and confirmationCd, so nothing can be accepted" }
end

--- Accepts the transfer for its recipient. When that is refused the transfer is there all the same, so the run stays
-- open at this step, and can be cancelled; refused again and again it ends `done`, and not accepted.
function steps.accept(flows, run, lost)
  if run.data.word then
    return take_word(flows, run)
  elseif not (run.data.transfer_id and run.data.confirmation_cd) then
    return nil, untold_error()
  end
  local fate, err, is_open = transfers.insist(flows, run, "accept", accept_call(flows, run), lost ~= nil)
  if fate == "accepted" then
    return transfers.finish_done(run, true)
  elseif fate == "canceled" then
    return transfers.end_otherwise(err, "transfers.accept", "the transfer was cancelled",
      transfers.finish_canceled(run))
  elseif is_open then
    return take_refusal(flows, run, err)
  end
  return nil, err
end

-- --- for paciolan.workflow.flows ----------------------------------------------------------------------------------

--- May a failed run begin anew? Where no offer was sent in this attempt, or none that left, and none is in doubt.
-- @tparam table record
-- @treturn boolean
function transferring.starts_anew(record)
  if record.data.is_doubtful or record.data.is_over then
    return false
  end
  for _, entry in ipairs(record.steps) do
    if entry.name == "initiate" and entry.outcome ~= "not_sent" then
      return false
    end
  end
  return true
end

--- May a person decide a transfer that is not in doubt? One that cannot be accepted.
-- @tparam table record
-- @treturn boolean
function transferring.is_decidable(record)
  return record.step == "accept"
end

--- Decides a transfer that is in doubt, or cannot be accepted, on the word of a person. What was never told cannot be
-- accepted here.
-- @tparam table run
-- @tparam string as `done` or `failed`
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the journal
function transferring.decide(run, as)
  if run.record.step == "accept" then
    run.data.word = as
    return true
  elseif as == "failed" then
    return transfers.fail(run, transfer_error("canceled", "rejected", "not offered, on the word of a person"))
  elseif run.data.transfer_id and run.data.confirmation_cd then
    return go_on(run)
  end
  return transfers.finish_done(run, false)
end

--- Opens a transfer that was ended as failed again, if a callback came meanwhile.
-- @tparam table run
-- @treturn boolean is it open again?
function transferring.look_again(run)
  local process_id = run.record.state == "failed" and offers.came_late(run)
  if not process_id then
    return false
  end
  run:note("callback_came", { process_id = process_id, state = "COMPLETE" })
  run:reopen("settle", "in_doubt")
  return true
end

transferring.tell = telling.transfer

return transferring
