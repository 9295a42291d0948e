--- Runs are started, carried from step to step, and given back.
--
-- A *kind* of run has a `name`, a `space`, and `steps`: functions `(flows, run, lost)` that send what is to be sent,
-- say with `run:go`, `run:finish` or `run:fail` how it goes on, and return true; or nil and an error when the run has
-- to stop here for now. `lost` is the step that was under way when the one who carried the run died. More of it:
--
-- * `begin(flows, input, level)` reads what a caller gives: id, request, first step, and data to begin with
-- * `tell(record)`: what is going on, in words
-- * `starts_anew(record)`: may a failed run begin anew without the caller's `again`?
-- * `carry_over(record)`: what the data of another attempt begin with, after one whose fate was unknown; else nil
-- * `pivot`: the step that only a caller and `resume` may send, and that is sent once
-- * `decide(run, as)`, `is_decidable(record)`: on the word of a person
-- * `look_again(run)`: has a run that just ended to be opened again?
-- @module paciolan.workflow.carrying
local buying = require "paciolan.workflow.buying"
local errors = require "paciolan.errors"
local journal = require "paciolan.workflow.journal"
local runs = require "paciolan.workflow.run"
local selling = require "paciolan.workflow.selling"
local telling = require "paciolan.workflow.telling"
local transferring = require "paciolan.workflow.transferring"

local carrying = {}

--- All kinds by name.
carrying.kinds = { sell = selling.sell, buy = buying.buy, fulfil = buying.fulfil, transfer = transferring }

local KINDS = carrying.kinds
-- Less than this is no difference of an amount.
local DUST = 1e-6

-- --- in words, and errors ---------------------------------------------------------------------------------------

--- What is told of a run.
-- @tparam table record
-- @treturn table `{ id, kind, state, step, since_ms, since, told, process_id }`
function carrying.summary_of(record)
  return {
    id = record.id, kind = record.kind, state = record.state, step = record.step, since_ms = record.created_ms,
    since = telling.time(record.created_ms), told = KINDS[record.kind].tell(record),
    process_id = record.data.process_id,
  }
end

-- A store says of its own write that it was not done, or nothing. Where an order or the like has left, that must not
-- read as if it had not.
local function correct_outcome(record, err)
  local starts_anew = KINDS[record.kind].starts_anew
  if err.kind == "store" and starts_anew and not starts_anew(record) then
    err.outcome = "unknown"
  end
end

--- Makes an error that of a run.
-- @tparam table run
-- @tparam table err gets `run`
-- @treturn nil
-- @treturn table err
function carrying.tell(run, err)
  if run.record and run.record.writes > 0 then
    correct_outcome(run.record, err)
    local summary = carrying.summary_of(run.record)
    err.run = { id = summary.id, kind = summary.kind, state = summary.state, step = summary.step, told = summary.told }
  end
  return nil, err
end

local function outcome_of(run)
  if run.record.state == "failed" or run.record.error then
    return carrying.tell(run, run:kept_error())
  end
  return run.record.result
end

-- What was noted since the last write is for the next who carries the run; nothing that matters is lost without it.
local function stop(run, err)
  if not run.is_broken and not run:is_ended() then
    run:save()
  end
  return carrying.tell(run, err)
end

-- Who settles decides what was sent, and sends no order and no transfer that was not.
local function is_beyond_settling(kind, run, lost)
  return run.is_settled and run.record.step == kind.pivot and not lost and not run.data.is_ordered
end

local function carry_on(self, run)
  local kind, lost = KINDS[run.record.kind], run:take_lost()
  while not run:is_ended() or (kind.look_again ~= nil and kind.look_again(run)) do
    if is_beyond_settling(kind, run, lost) then
      return stop(run, errors.new { kind = "canceled", operation = "workflows.settle", outcome = "not_sent",
        attempts = 0, retryable = true, message = "nothing was sent that would have to be settled" })
    end
    local handler = kind.steps[run.record.step]
    local done, err = handler(self, run, lost)
    lost = nil
    if not done then
      return stop(run, err)
    end
  end
  return outcome_of(run)
end

-- The same, and the run is given back when something raises.
local function carry_safely(self, run)
  local ok, result, err = pcall(carry_on, self, run)
  if not ok then
    run:release()
    error(result, 0)
  end
  return result, err
end

--- Carries a run until it ends or has to stop, and gives it back, also when something raised.
-- @tparam table self flows
-- @tparam table run
-- @treturn table the result of the run
-- @treturn[2] nil
-- @treturn[2] table err
function carrying.carry(self, run)
  local result, err = carry_safely(self, run)
  run:release()
  return result, err
end

--- Somebody else carries a run just now.
-- @tparam string kind
-- @tparam string id
-- @treturn table err
function carrying.busy_error(kind, id)
  return errors.new { kind = "canceled", operation = "workflows." .. kind, outcome = "unknown", attempts = 0,
    retryable = true, message = ("%s is being carried by somebody else"):format(id) }
end

--- What is asked for does not go with what the journal knows.
-- @tparam string kind
-- @tparam string message
-- @treturn table err
function carrying.conflict_error(kind, message)
  return errors.new { kind = "validation", operation = "workflows." .. kind, outcome = "not_sent", attempts = 0,
    retryable = false, message = message, fields = {} }
end

--- Takes a run up. It has to be given back: by `carry`, or by `leave`.
-- @tparam table self flows
-- @tparam string space
-- @tparam string id
-- @tparam string kind for an error
-- @treturn table run
-- @treturn[2] nil
-- @treturn[2] table err of the store, or of kind `canceled`
function carrying.claim(self, space, id, kind)
  local run, err = self.journal:claim(space, id)
  if run == false then
    local record = self.journal:read(space, id)
    return carrying.tell({ record = record or nil }, carrying.busy_error(kind, id))
  end
  return run, err
end

--- Gives a run back.
-- @tparam table run
-- @param ... what to return
-- @return that
function carrying.leave(run, ...)
  run:release()
  return ...
end

-- --- starting -----------------------------------------------------------------------------------------------------

-- States of which nothing stands any more, and those from which a caller may insist on another attempt.
local MAY_DIFFER = { delisted = true }
local MAY_BEGIN_AGAIN = { failed = true, canceled = true, in_doubt = true }

-- Was the fate of an attempt unknown, or is it still?
local function is_doubtful(kind, record)
  return kind.carry_over ~= nil and kind.carry_over(record) ~= nil
end

-- Why a call cannot mean the run that is there; nil when it can.
local function obstacle(kind, record, print, again)
  if record.kind ~= kind.name then
    return ("the id is that of a run of another kind: %s"):format(record.kind)
  elseif MAY_DIFFER[record.state] then
    return nil
  elseif again and record.state == "in_doubt" and record.step ~= "settle" then
    return "nobody can tell what of the run is locked; settle it or delist it first"
  elseif record.state == "canceled" and not again then
    return "the run with this id was cancelled; again = true begins anew"
  elseif record.print ~= print and again and is_doubtful(kind, record) then
    return "nobody knows for certain what became of the attempt before, so another one has to be the same"
  elseif record.print ~= print and not (again and MAY_BEGIN_AGAIN[record.state]) then
    return "the run with this id was started with something else"
  end
  return nil
end

-- Does a call begin a run anew, and not go on with it?
local function is_new_attempt(kind, record, again)
  return MAY_DIFFER[record.state] or (again and MAY_BEGIN_AGAIN[record.state])
    or (record.state == "failed" and kind.starts_anew ~= nil and kind.starts_anew(record)) or false
end

-- Somebody insists on another try while the fate of the first is or was unknown: first it is looked once more whether
-- that is needed. Returns true when it is; else what the run came to.
local function settle_first(self, run)
  if run:is_ended() then
    run:reopen("settle", "in_doubt")
  end
  run.is_resumed = true
  local result, err = carry_safely(self, run)
  run.is_resumed = nil
  if run.is_pending or run.is_broken then
    return false, result, err
  elseif run.record.state == "in_doubt" or run.record.state == "failed" then
    run:note("sent_again_on_the_word_of_the_caller")
    return true
  end
  return false, result, err
end

-- What the caller gives, without `again`; and that.
local function read_input(kind, input, level)
  if type(input) ~= "table" then
    error(("workflows.%s takes a table, not %s"):format(kind.name, type(input)), level + 1)
  elseif input.again ~= nil and type(input.again) ~= "boolean" then
    error(("workflows.%s: again must be a boolean"):format(kind.name), level + 1)
  end
  local given = {}
  for name, value in pairs(input) do
    given[name] = name ~= "again" and value or nil
  end
  return given, input.again
end

-- Where a journal, which keeps 14 digits of a number, would change one: nothing is to be sold at another price. The
-- dust of binary fractions is no change, so a sum of 0.1 and 0.2 is 0.3.
local function changed_number(given, kept, path)
  if type(given) == "number" then
    return type(kept) == "number" and math.abs(given - kept) >= DUST and path or nil
  elseif type(given) ~= "table" or type(kept) ~= "table" then
    return nil
  end
  for key, item in pairs(given) do
    local name = type(key) == "number" and ("%d"):format(key - 1) or tostring(key)
    local found = changed_number(item, kept[key], path .. "/" .. name)
    if found then
      return found
    end
  end
  return nil
end

local function check_numbers(name, given, kept)
  local path = changed_number(given, kept, "")
  if path then
    return nil, errors.validation("workflows." .. name, { { path = path, rule = "precision",
      message = "must not have more than 14 digits" } }, "not_sent")
  end
  return true
end

-- A new attempt takes over what it has to know of one whose fate was unknown.
local function begin(kind, run, wish)
  local carried = run.record and kind.carry_over and kind.carry_over(run.record) or {}
  run:begin(kind.name, wish.request, wish.print, wish.step)
  for _, data in ipairs { carried, wish.data or {} } do
    for name, value in pairs(data) do
      run.data[name] = value
    end
  end
end

-- Steps in which a run takes back what it has done: the last phase of it, whatever comes after is another attempt.
local IS_BACK = { delist = true, cancel = true }

-- What is being taken back is taken back first: its end is not what was called for now. Returns true when nothing is
-- left of that; else false and what to return to the caller.
local function end_way_back(self, run)
  if not run.record or run:is_ended() or not IS_BACK[run.record.step] then
    return true
  end
  local result, err = carry_safely(self, run)
  if run:is_ended() then
    return true
  end
  return false, result, err
end

-- Puts a claimed run to its beginning, unless it goes on. Returns true; or false and what to return to the caller.
local function prepare(self, kind, run, wish)
  local is_back, outcome, failure = end_way_back(self, run)
  if not is_back then
    return false, outcome, failure
  end
  local problem = run.record and obstacle(kind, run.record, wish.print, wish.again)
  if problem then
    return false, carrying.tell(run, carrying.conflict_error(kind.name, problem))
  end
  local is_new = not run.record or is_new_attempt(kind, run.record, wish.again)
  if run.record and is_new and is_doubtful(kind, run.record) then
    local is_needed, result, err = settle_first(self, run)
    if not is_needed then
      return false, result, err
    end
  end
  if is_new then
    begin(kind, run, wish)
  end
  return true
end

--- Starts a run, or goes on with it.
-- @tparam table self flows
-- @tparam string name of the kind
-- @tparam table input of the caller
-- @tparam number level of the caller, as of `error` in this function
-- @treturn table the result of the run
-- @treturn[2] nil
-- @treturn[2] table err
function carrying.start(self, name, input, level)
  local kind, wish = KINDS[name], {}
  local given, again = read_input(kind, input, level)
  local id, request, step, data = kind.begin(self, given, level + 1)
  if not id then
    return nil, request
  end
  wish.request, wish.step, wish.data, wish.again = runs.plain(request), step, data, again
  if not wish.request then
    error(("workflows.%s: the input holds something that has no form in JSON"):format(name), level)
  end
  local ok, changed = check_numbers(name, request, wish.request)
  if not ok then
    return nil, changed
  end
  wish.print = journal.fingerprint(wish.request)
  local run, err = carrying.claim(self, kind.space, id, name)
  if not run then
    return nil, err
  end
  local is_ready, result, failure = prepare(self, kind, run, wish)
  if not is_ready then
    return carrying.leave(run, result, failure)
  end
  return carrying.carry(self, run)
end

-- What takes back what a run has done is a later phase of that run: `way` reads what the caller gives, and turns the
-- run to its step.
local BACK = {
  delist = { way = selling.delist, kind = KINDS.sell, step = "delist", ended = "delisted" },
  cancel_transfer = { way = transferring.cancel, kind = KINDS.transfer, step = "cancel", ended = "canceled" },
}

--- Takes back what a run has done.
-- @tparam table self flows
-- @tparam string name `delist` or `cancel_transfer`
-- @tparam table input of the caller
-- @tparam number level of the caller, as of `error` in this function
-- @treturn table the result of that
-- @treturn[2] nil
-- @treturn[2] table err
function carrying.go_back(self, name, input, level)
  local back = BACK[name]
  if type(input) ~= "table" then
    error(("workflows.%s takes a table, not %s"):format(name, type(input)), level)
  end
  local id, request = back.way.read(self, input, level + 1)
  if not id then
    return nil, request
  end
  local run, err = carrying.claim(self, back.kind.space, id, name)
  if not run then
    return nil, err
  elseif run.record and run.record.state == back.ended then
    return carrying.leave(run, run.record.result)
  elseif not run.record then
    run:begin(back.kind.name, runs.plain(request), journal.fingerprint(request), back.step)
  end
  local applied
  applied, err = back.way.apply(run, request, self)
  if not applied then
    return carrying.leave(run, carrying.tell(run, err))
  end
  return carrying.carry(self, run)
end

return carrying
