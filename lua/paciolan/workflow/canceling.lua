--- Taking an offered transfer back (contract 2.12): the step `cancel` of a transfer's run, also of one that is done and
-- of one that another program has offered.
--
-- `record.data.before_cancel` is what a run goes back to when the service refuses: its `state` and `step`; `is_new` for
-- a run that was made to cancel, and `is_given` where only the caller knew the code.
-- @module paciolan.workflow.canceling
local check = require "paciolan.options"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local transfers = require "paciolan.workflow.transfers"

local canceling = {}

local RULES = {
  external_transfer_id = { check.text, required = true }, confirmation_cd = { check.text },
  organization_id = { check.text },
}

-- --- the step -----------------------------------------------------------------------------------------------------

-- The transfer cannot be cancelled: it has expired, for instance, or there is none with this code. So all is as it was.
local function go_back(run, err)
  local before, data = run.data.before_cancel, run.data
  data.confirmation_cd = not before.is_given and data.confirmation_cd or nil
  if before.is_new or before.state == "failed" then
    return transfers.fail(run, err)
  elseif before.state == "done" then
    return transfers.end_otherwise(err, "transfers.cancel", nil,
      transfers.finish_done(run, data.accepted, run:kept_error()))
  end
  run:go(before.step, before.state)
  return nil, err
end

--- Takes the offer back. When its recipient was faster the run ends `done`.
-- @tparam table flows
-- @tparam table run
-- @tparam ?table lost
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err
function canceling.step(flows, run, lost)
  if not run.data.confirmation_cd then
    return transfers.finish_canceled(run) -- nothing was offered
  end
  local fate, err = transfers.insist(flows, run, "cancel", function(options)
    options.organization_id = run.data.organization_id
    return flows.link.transfers:cancel(run.data.confirmation_cd, options)
  end, lost ~= nil)
  if fate == "canceled" then
    return transfers.finish_canceled(run)
  elseif fate == "accepted" then
    return transfers.end_otherwise(err, "transfers.cancel", "the recipient has accepted the transfer",
      transfers.finish_done(run, true))
  elseif fate == "refused" then
    return go_back(run, err)
  end
  return nil, err
end

-- --- the wish -----------------------------------------------------------------------------------------------------

--- Reads what `flows:cancel_transfer` is given.
-- @tparam table flows
-- @tparam table input `external_transfer_id`; `confirmation_cd`, for a transfer that is not in the journal or of which
-- the journal does not know it; `organization_id`
-- @tparam number level of the caller in `error`
-- @treturn string id of the run
-- @treturn table request `confirmation_cd`, `organization_id`
-- @raise for an unknown option, or one of another type
function canceling.read(flows, input, level)
  local given = check.read(input, RULES, "workflows.cancel_transfer", level + 1)
  return given.external_transfer_id, { confirmation_cd = given.confirmation_cd,
    organization_id = given.organization_id or flows.organization_id }
end

local function invalid(path, rule, message)
  return errors.validation("workflows.cancel_transfer", { { path = path, rule = rule, message = message } }, "not_sent")
end

-- Why a run without a confirmation code cannot be cancelled; nil where nothing was offered yet.
local function obstacle(run, is_new)
  local sent = run:last_step("initiate")
  if is_new then
    return "is required: the journal does not know this transfer"
  elseif run.record.state == "failed" then
    return "is not known: the transfer failed, so there is nothing to cancel"
  elseif run.record.state == "in_doubt" or run.data.is_doubtful or (sent and sent.outcome ~= "not_sent") then
    return "is not known: nobody can tell yet whether the transfer was made; settle it first, or give its code"
  end
end

-- The code to cancel, nil for a run that has offered nothing; or false and an error.
local function code_for(run, request, is_new)
  local known = run.data.confirmation_cd
  local code = known or request.confirmation_cd
  if known and request.confirmation_cd and request.confirmation_cd ~= known then
    return false, invalid("/confirmation_cd", "same", "is not that of the transfer with this id")
  end
  local problem = not code and obstacle(run, is_new)
  if problem then
    return false, invalid("/confirmation_cd", "required", problem)
  end
  return code
end

--- Turns a run to its cancellation, also one that has ended. Nothing is written yet.
-- @tparam table run with a record; that of a run which is made for this has the step `cancel` and the state `running`
-- @tparam table request as read
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of kind `validation`: there is nothing to cancel, or nobody can tell. The run is as it was
function canceling.apply(run, request)
  local data, record = run.data, run.record
  local is_new = record.step == "cancel" and record.state == "running"
  local code, err = code_for(run, request, is_new)
  if code == false then
    return nil, err
  end
  local organization_id = data.organization_id or request.organization_id
  local ok, violations = core.check("transfers.cancel", code or "none", { organization_id = organization_id })
  if not ok then
    return nil, errors.validation("workflows.cancel_transfer", violations, "not_sent")
  end
  if record.state ~= "undoing" then
    data.before_cancel = { state = record.state, step = record.step, is_new = is_new,
      is_given = data.confirmation_cd == nil }
  end
  data.confirmation_cd, data.organization_id = code, organization_id
  if run:is_ended() then
    run:reopen("cancel", "undoing")
    return true
  end
  return run:go("cancel", "undoing")
end

return canceling
