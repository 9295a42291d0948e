--- Workflows that survive: what takes several steps, written down step by step, so that whatever dies in the middle,
-- every seat and every payment is accounted for. `docs/workflows.md` is the manual.
--
--     local flows = link:workflows { store = paciolan.store.sqlite "sales.db" }
--     local sold, err = flows:buy { listing = …, buyer = …, settlement = … }
--     for _, run in ipairs(flows:unfinished()) do print(run.told) end
--     flows:resume()
--
-- A repeated call with the same id continues the same run, or returns again what came of it.
-- @module paciolan.workflow.flows
local buying = require "paciolan.workflow.buying"
local check = require "paciolan.options"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local journal = require "paciolan.workflow.journal"
local runs = require "paciolan.workflow.run"
local selling = require "paciolan.workflow.selling"
local telling = require "paciolan.workflow.telling"
local traces = require "paciolan.workflow.traces"
local transferring = require "paciolan.workflow.transferring"

local flows = {}

local Flows = {}
Flows.__index = Flows
Flows.__name = "paciolan.workflow.flows"

-- Errors of the caller point at the line that called the method.
local CALLER = 3

local KINDS = { sell = selling.sell, buy = buying.buy, fulfil = buying.fulfil, transfer = transferring }
-- Where an id alone is looked for, in this order.
local SPACES = { "order", "transfer", "listing" }

-- --- options ------------------------------------------------------------------------------------------------------

local LONGEST_S = 10 * 365 * 24 * 60 * 60

local function seconds(least)
  return function(value)
    return type(value) == "number" and value >= least and value <= LONGEST_S,
      ("a number of seconds, at least %g"):format(least)
  end
end

local function milliseconds(value)
  return type(value) == "number" and value >= 1 and value <= 86400000, "a number of milliseconds, at least 1"
end

local function a_store(value)
  return check.has_methods(value, { "get", "put", "add", "replace", "remove", "list" }),
    "a store with get, put, add, replace, remove and list, such as paciolan.store.sqlite \"sales.db\""
end

local function a_delisting(value)
  return check.has_methods(value, { "remember", "forget" }), "a paciolan.workflow.delisting"
end

local SETTINGS = {
  store = { a_store, required = true }, poll = { check.a_table, default = {} },
  settle_after_s = { seconds(0), default = 900 }, lease_s = { seconds(0.1) },
  keep_s = { seconds(1), default = 30 * 24 * 60 * 60 }, resume_within_s = { seconds(0), default = 3600 },
  delisting = { a_delisting }, now_ms = { check.a_function, default = core.now_ms },
}

local POLL = {
  first_ms = { milliseconds, default = 2000 }, max_ms = { milliseconds, default = 30000 },
  deadline_ms = { milliseconds, default = 120000 },
}

--- Makes the workflows of a link; `link:workflows` is this function.
-- @tparam table config of the link
-- @tparam table link
-- @tparam table options
--
-- * `store`: the journal lives there. It has to outlive the process: a file or Redis; one in memory is for tests
-- * `poll` `{ first_ms = 2000, max_ms = 30000, deadline_ms = 120000 }`: how PENDING is waited for. The pause grows from
--   the first to the longest one (contract 3)
-- * `settle_after_s` 900: how long after an order was sent unchanged owners count as not sold
-- * `lease_s`: how long a run belongs to a process that gives no sign; twice the deadline of a call by default. A call
--   of a run takes two thirds of it at most
-- * `keep_s` 30 days: how long it is known what came of a run
-- * `resume_within_s` 3600: `resume` sends the order of a purchase that died before it only when it is not older
-- * `delisting`: a `paciolan.workflow.delisting` that is to know what `sell` lists
-- * `now_ms`: unix milliseconds, for tests
-- @treturn table
-- @raise for a missing, unknown or wrong option
function flows.new(config, link, options)
  local settings = check.read(options or {}, SETTINGS, "link:workflows", CALLER + 1)
  local poll = check.read(settings.poll, POLL, "link:workflows", CALLER + 1, "poll.")
  local self = setmetatable({
    link = link, poll = poll, settle_after_ms = settings.settle_after_s * 1000, delisting = settings.delisting,
    resume_within_ms = settings.resume_within_s * 1000, organization_id = config.organization_id,
    shapes = config.shapes, now_ms = settings.now_ms, _transport = config.transport,
  }, Flows)
  self.journal = journal.new {
    store = settings.store, base_url = config.base_url, application_id = config.application_id,
    lease_s = settings.lease_s or 2 * config.deadline_ms / 1000, keep_s = settings.keep_s,
    deadline_ms = config.deadline_ms, now_ms = settings.now_ms, kinds = KINDS,
  }
  return self
end

-- --- for the kinds ------------------------------------------------------------------------------------------------

--- Sleeps; in a task of `paciolan.concurrent` others go on meanwhile.
-- @tparam number ms
function Flows:sleep(ms)
  if ms > 0 then
    self._transport:sleep(ms)
  end
end

--- Lets callbacks about a process find the run.
-- @tparam table run
-- @tparam string process_id
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Flows:trace_process(run, process_id) -- luacheck: no self
  return traces.add(run, "process", process_id)
end

--- What a callback said of a process.
-- @tparam string process_id
-- @treturn ?table `{ state =, body =, at_ms = }`
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Flows:callback(process_id)
  return traces.callback(self.journal, process_id)
end

-- --- carrying -----------------------------------------------------------------------------------------------------

local function summary_of(record)
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

-- An error of a run says whose it is.
local function tell(run, err)
  if run.record and run.record.writes > 0 then
    correct_outcome(run.record, err)
    local summary = summary_of(run.record)
    err.run = { id = summary.id, kind = summary.kind, state = summary.state, step = summary.step, told = summary.told }
  end
  return nil, err
end

local function outcome_of(run)
  if run.record.state == "failed" or run.record.error then
    return tell(run, run:kept_error())
  end
  return run.record.result
end

-- What was noted since the last write is for the next who carries the run; nothing that matters is lost without it.
local function stop(run, err)
  if not run.is_broken and not run:is_ended() then
    run:save()
  end
  return tell(run, err)
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

-- Carries a run until it ends or has to stop, and gives it back, also when something raised.
local function carry(self, run)
  local ok, result, err = pcall(carry_on, self, run)
  run:release()
  if not ok then
    error(result, 0)
  end
  return result, err
end

local function busy_error(kind, id)
  return errors.new { kind = "canceled", operation = "workflows." .. kind, outcome = "unknown", attempts = 0,
    retryable = true, message = ("%s is being carried by somebody else"):format(id) }
end

local function conflict_error(kind, message)
  return errors.new { kind = "validation", operation = "workflows." .. kind, outcome = "not_sent", attempts = 0,
    retryable = false, message = message, fields = {} }
end

-- Takes a run up. What returns has to be given back: by `carry`, or by `release`.
local function claim(self, space, id, kind)
  local run, err = self.journal:claim(space, id)
  if run == false then
    local record = self.journal:read(space, id)
    return tell({ record = record or nil }, busy_error(kind, id))
  end
  return run, err
end

local function leave(run, ...)
  run:release()
  return ...
end

-- --- starting -----------------------------------------------------------------------------------------------------

local MAY_DIFFER = { delisted = true }

-- What a call means for a run that is there: true when it begins anew, false when it goes on; or nil and an error.
local function is_new_attempt(kind, run, print, again)
  local record = run.record
  if record.kind ~= kind.name then
    return nil, conflict_error(kind.name, ("the id is that of a run of another kind: %s"):format(record.kind))
  elseif MAY_DIFFER[record.state] then
    return true
  elseif again and record.state == "in_doubt" and record.step ~= "settle" then
    return nil, conflict_error(kind.name, "nobody can tell what of the run is locked; settle it or delist it first")
  elseif again and (record.state == "failed" or record.state == "canceled" or record.state == "in_doubt") then
    return true
  elseif record.state == "canceled" then
    return nil, conflict_error(kind.name, "the run with this id was cancelled; again = true begins anew")
  elseif record.print ~= print then
    return nil, conflict_error(kind.name, "the run with this id was started with something else")
  end
  return record.state == "failed" and kind.starts_anew ~= nil and kind.starts_anew(record)
end

-- Somebody insists on another try while the first is undecided: first it is looked once more whether that is needed.
local function settle_first(self, run, again)
  if not again or run.record.state ~= "in_doubt" then
    return true
  end
  run.is_resumed = true
  local ok, result, err = pcall(carry_on, self, run)
  run.is_resumed = nil
  if not ok then
    error(result, 0)
  elseif run.is_broken then
    return nil, nil, err
  elseif run.record.state == "in_doubt" or run.record.state == "failed" then
    run:note("sent_again_on_the_word_of_the_caller")
    return true
  end
  return false, result, err
end

local function start(self, kind, input, level)
  if type(input) ~= "table" then
    error(("workflows.%s takes a table, not %s"):format(kind.name, type(input)), level)
  end
  local given, again = {}, input.again
  for name, value in pairs(input) do
    given[name] = name ~= "again" and value or nil
  end
  if again ~= nil and type(again) ~= "boolean" then
    error(("workflows.%s: again must be a boolean"):format(kind.name), level)
  end
  local id, request, step, data = kind.begin(self, given, level + 1)
  if not id then
    return nil, request
  end
  request = runs.plain(request)
  if not request then
    error(("workflows.%s: the input holds something that has no form in JSON"):format(kind.name), level)
  end
  local run, err = claim(self, kind.space, id, kind.name)
  if not run then
    return nil, err
  end
  local print = journal.fingerprint(request)
  local is_new, problem = not run.record, nil
  if run.record then
    is_new, problem = is_new_attempt(kind, run, print, again)
  end
  if is_new == nil then
    return leave(run, tell(run, problem))
  end
  local may, result, failure = true, nil, nil
  if not (is_new and not run.record) then
    may, result, failure = settle_first(self, run, again and is_new)
  end
  if not may then
    return leave(run, result, failure)
  elseif is_new then
    run:begin(kind.name, request, print, step)
    for name, value in pairs(data or {}) do
      run.data[name] = value
    end
  end
  return carry(self, run)
end

--- Lists seats: reads or verifies them and locks them.
-- @tparam table input see docs/workflows.md
-- @treturn table `{ id, tokens, seats, seller_ids, … }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:sell(input)
  local result, err = start(self, KINDS.sell, input, CALLER)
  return result, err
end

--- Sells seats that are listed: complete-order, the wait for its end, the tickets.
-- @tparam table input `listing`, `buyer`, `settlement` as `link.orders:complete` takes them; `again`
-- @treturn table `{ id, process_id, order, tokens, tickets }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`. Of kind `partial`: sold, but not all of it, or not printed yet
function Flows:buy(input)
  local result, err = start(self, KINDS.buy, input, CALLER)
  return result, err
end

--- The whole trade as one run: listing, lock, order, tickets.
-- @tparam table input what `sell` takes, and `external_order_id`, `buyer`, `settlement`, `total_fees`
-- @treturn table as of `buy`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:fulfil(input)
  local result, err = start(self, KINDS.fulfil, input, CALLER)
  return result, err
end

--- Offers tickets to a recipient, and accepts for him if that is wanted.
-- @tparam table input what `link.transfers:initiate` takes, and `accept`, `distributor_code`
-- @treturn table `{ id, confirmation_cd, transfer_id, … }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:transfer(input)
  local result, err = start(self, KINDS.transfer, input, CALLER)
  return result, err
end

-- What takes back what a run has done is a later phase of that run: `way` reads what the caller gives, and turns the
-- run to its step.
local BACK = {
  delist = { way = selling.delist, kind = KINDS.sell, step = "delist", ended = "delisted" },
  cancel_transfer = { way = transferring.cancel, kind = KINDS.transfer, step = "cancel", ended = "canceled" },
}

local function go_back(self, name, input, level)
  local back = BACK[name]
  if type(input) ~= "table" then
    error(("workflows.%s takes a table, not %s"):format(name, type(input)), level)
  end
  local id, request = back.way.read(self, input, level + 1)
  if not id then
    return nil, request
  end
  local run, err = claim(self, back.kind.space, id, name)
  if not run then
    return nil, err
  elseif run.record and run.record.state == back.ended then
    return leave(run, run.record.result)
  elseif not run.record then
    run:begin(back.kind.name, runs.plain(request), journal.fingerprint(request), back.step)
  end
  local applied
  applied, err = back.way.apply(run, request, self)
  if not applied then
    return leave(run, tell(run, err))
  end
  return carry(self, run)
end

--- Takes a listing down: unlocks its seats.
-- @tparam table input `external_listing_id`; `tokens` for one that the journal does not know
-- @treturn table `{ id, tokens }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:delist(input)
  local result, err = go_back(self, "delist", input, CALLER)
  return result, err
end

--- Takes a transfer back that nobody has accepted.
-- @tparam table input `external_transfer_id`; `confirmation_cd` for one that the journal does not know
-- @treturn table `{ id, confirmation_cd }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:cancel_transfer(input)
  local result, err = go_back(self, "cancel_transfer", input, CALLER)
  return result, err
end

-- --- what is open -------------------------------------------------------------------------------------------------

-- Calls `take(name, record)` for every run that has not ended.
local function each_open(self, take)
  local names, err = self.journal:open_runs()
  for _, name in ipairs(names or {}) do
    take(name, self.journal:read(name.space, name.id))
  end
  return names ~= nil or nil, err
end

-- A run whose record cannot be read must neither be overlooked nor hide the others.
local function unreadable(name, problem)
  return { id = name.id, state = "unreadable", err = problem, told = ("The record of %s %s cannot be read: %s."):format(
    name.space, name.id, problem.message) }
end

--- What is under way or was left, in words.
-- @treturn table list of `{ id, kind, state, step, since_ms, since, told }`; of a run whose record cannot be read
-- `{ id, state = "unreadable", told, err }`
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Flows:unfinished()
  local list = {}
  local done, err = each_open(self, function(name, record, problem)
    if not record and problem then
      list[#list + 1] = unreadable(name, problem)
    elseif record and not record.ended_ms then
      list[#list + 1] = summary_of(record)
    end
  end)
  if not done then
    return nil, err
  end
  return list
end

-- Carries one run on, if nobody else does.
local function resume_one(self, name)
  local run, err = self.journal:claim(name.space, name.id)
  if not run then
    local record, problem = self.journal:read(name.space, name.id)
    local summary = record and not record.ended_ms and summary_of(record) or nil
    if not record and problem then
      return unreadable(name, problem)
    elseif summary then
      summary.held, summary.err = run == false or nil, err
    end
    return summary
  elseif not run.record or run:is_ended() then
    run:clean()
    return leave(run, nil)
  end
  run.is_resumed = true
  local _, failure = carry(self, run)
  local summary = summary_of(run.record)
  summary.err = failure
  return summary
end

--- Finishes or settles whatever a dead process left. One pass: nobody waits for what is PENDING, it is asked for once.
-- Call it when a program starts, and every few minutes.
-- @treturn table list of `{ id, kind, state, step, since_ms, since, told, held, err }`, what became of each; `held`:
-- somebody else carries it; of a run whose record cannot be read as of `unfinished`
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Flows:resume()
  local names, err = self.journal:open_runs()
  if not names then
    return nil, err
  end
  local list = {}
  for _, name in ipairs(names) do
    list[#list + 1] = resume_one(self, name)
  end
  return list
end

-- --- deciding -----------------------------------------------------------------------------------------------------

local FIND = { kind = { function(value) return KINDS[value] ~= nil, "sell, buy, fulfil or transfer" end } }
local SETTLE = {
  kind = FIND.kind, because = { check.text },
  as = { function(value) return value == "done" or value == "failed", "done or failed" end },
}

-- Where the run with this id is.
local function look_up(self, id, kind)
  for _, space in ipairs(SPACES) do
    local record, problem
    if not kind or KINDS[kind].space == space then
      record, problem = self.journal:read(space, id)
    end
    if record and (not kind or record.kind == kind) then
      return record
    elseif not record and problem then
      return nil, problem
    end
  end
  return nil
end

local function check_id(method, id)
  if type(id) ~= "string" or id == "" then
    error(("workflows.%s takes the id of a run, a string"):format(method), CALLER + 1)
  end
end

local function whole_of(record)
  local summary = summary_of(record)
  summary.evidence, summary.steps, summary.before = record.evidence, record.steps, record.before
  summary.attempt, summary.result, summary.ended_ms = record.attempt, record.result, record.ended_ms
  return summary
end

--- What is known of a run, also of one that has ended.
-- @tparam string id
-- @tparam ?table options `kind`, where an order, a transfer and a listing have the same id
-- @treturn ?table as of `unfinished`, with `steps`, `evidence`, `result`, `attempt` and earlier attempts (`before`)
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Flows:find(id, options)
  check_id("find", id)
  local read = check.read(options or {}, FIND, "workflows.find", CALLER)
  local record, err = look_up(self, id, read.kind)
  return record and whole_of(record) or nil, err
end

-- A person knows more than the evidence.
local function decide(run, options)
  local kind = KINDS[run.record.kind]
  if run.record.state ~= "in_doubt" and not (kind.is_decidable and kind.is_decidable(run.record)) then
    return nil, conflict_error("settle", "only what is in doubt can be decided by a person")
  end
  run:note("word_of_a_person", { as = options.as, because = options.because })
  return kind.decide(run, options.as)
end

--- Decides what is in doubt, from evidence: of a purchase it is asked for its process, or the owners of its seats are
-- compared with those from before. It never sends an order or a transfer.
-- @tparam string id
-- @tparam ?table options `kind`, where an order, a transfer and a listing have the same id; `as` (`done` or `failed`)
-- and `because`, a text: what a person has found out, which counts as evidence
-- @treturn table as of `find`: `state` says what was found out, `evidence` why
-- @treturn[2] nil
-- @treturn[2] table err of the store; `validation`: there is no such run; `canceled`: somebody else carries it
function Flows:settle(id, options)
  check_id("settle", id)
  local read = check.read(options or {}, SETTLE, "workflows.settle", CALLER)
  if (read.as == nil) ~= (read.because == nil) then
    error("workflows.settle: as and because go together", CALLER - 1)
  end
  local record, err = look_up(self, id, read.kind)
  if not record then
    return nil, err or conflict_error("settle", "there is no such run")
  end
  local run
  run, err = claim(self, record.space, id, "settle")
  if not run then
    return nil, err
  elseif run:is_ended() then
    return leave(run, whole_of(run.record))
  end
  if read.as then
    local decided
    decided, err = decide(run, read)
    if not decided then
      return leave(run, nil, err)
    end
  end
  run.is_resumed, run.is_settled = true, true
  local _, failure = carry(self, run)
  if failure and (run.is_broken or failure.kind == "store") then
    return nil, failure
  end
  return whole_of(run.record)
end

-- --- what the service tells later ---------------------------------------------------------------------------------

-- Evidence that came late: a run that was in doubt, or ended as not sold after it was, has to be looked at again.
--
-- Where somebody carries it just now: who waits for it sees a callback by himself, and so does who ends it as not sold,
-- for he looks again behind that. A message has nowhere to wait, and has to come again.
local function concerns(record)
  return record ~= nil
    and (record.state == "in_doubt" or (record.state == "failed" and record.data.is_doubtful == true))
end

local function reopen(self, name, what, fields)
  local run, err = self.journal:claim(name.space, name.id)
  if run == nil then
    return nil, err
  elseif not run then
    local record, problem = self.journal:read(name.space, name.id)
    if not record and problem then
      return nil, problem
    elseif concerns(record) and (record.state == "failed" or what == "seat_message") then
      return nil, busy_error("reopen", name.id)
    end
    return true
  end
  local record = run.record
  if not concerns(record) then
    return leave(run, true)
  end
  local is_open = record.state == "in_doubt"
  run:note(what, fields)
  if not is_open then
    run:reopen("settle", "in_doubt")
  end
  return leave(run, run:save())
end

local function reopen_all(self, names, what, fields)
  local seen = {}
  for _, name in ipairs(names) do
    local key = tostring(name.space) .. "/" .. tostring(name.id)
    if not seen[key] then
      seen[key] = true
      local done, err = reopen(self, name, what, fields)
      if not done then
        return nil, err
      end
    end
  end
  return true
end

--- For `on_callback` of a receiver: keeps what the callback says for whoever waits for it, and opens a run again that
-- it concerns. Repetitions are harmless.
-- @tparam table result as the receiver hands it over
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err; then the receiver answers 503, and the callback may come again
function Flows:on_callback(result)
  local tokens, err = traces.keep_callback(self.journal, result)
  if not tokens then
    return nil, err
  end
  local names
  names, err = traces.find(self.journal, "process", result.process_id)
  for _, token in ipairs(names and #names == 0 and tokens or {}) do
    local found, problem = traces.find(self.journal, "token", token)
    if not found then
      return nil, problem
    end
    for _, name in ipairs(found) do
      names[#names + 1] = name
    end
  end
  if not names then
    return nil, err
  end
  return reopen_all(self, names, "callback_came", { process_id = result.process_id, state = result.state })
end

local function text_of(value)
  return type(value) == "number" and ("%d"):format(value) or type(value) == "string" and value or nil
end

--- For `on_seat` of a receiver, beside that of a delisting: opens purchases again that concern the seat and were or are
-- in doubt. `resume` or `settle` looks at them.
-- @tparam table item of a seats message
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err; then the receiver answers 503, and the message comes again
function Flows:on_seat(item)
  local place = { text_of(item.accessId), text_of(item.section), text_of(item.row), text_of(item.seat) }
  if #place < 4 then
    return true
  end
  local names, err = traces.find(self.journal, "seat", place[1], place[2], place[3], place[4])
  if not names then
    return nil, err
  end
  return reopen_all(self, names, "seat_message", { status = text_of(item.status) })
end

return flows
