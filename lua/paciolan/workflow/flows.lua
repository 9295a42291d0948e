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
local carrying = require "paciolan.workflow.carrying"
local check = require "paciolan.options"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local journal = require "paciolan.workflow.journal"
local reopening = require "paciolan.workflow.reopening"
local traces = require "paciolan.workflow.traces"

local flows = {}

local Flows = {}
Flows.__index = Flows
Flows.__name = "paciolan.workflow.flows"

-- Errors of the caller point at the line that called the method.
local CALLER = 3

local KINDS = carrying.kinds
-- After so many runs in a row for which the service gave no answer, resuming stops.
local MOST_SILENT = 3
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
-- * `resume_within_s` 3600: `resume` sends the order of a purchase that died before it, and puts a listing up, only
--   when the run is not older
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

-- --- the flows ----------------------------------------------------------------------------------------------------

-- `call` is how the method is called, for the message.
local function check_self(self, call)
  if type(self) ~= "table" or getmetatable(self) ~= Flows then
    error(("call flows:%s with a colon"):format(call), CALLER)
  end
end

--- Lists seats: reads or verifies them and locks them.
-- @tparam table input see docs/workflows.md
-- @treturn table `{ id, tokens, seats, seller_ids, … }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:sell(input)
  check_self(self, "sell{…}")
  local result, err = carrying.start(self, "sell", input, CALLER)
  return result, err
end

--- Sells seats that are listed: complete-order, the wait for its end, the tickets.
-- @tparam table input `listing`, `buyer`, `settlement` as `link.orders:complete` takes them; `again`
-- @treturn table `{ id, process_id, order, tokens, tickets }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`. Of kind `partial`: sold, but not all of it, or not printed yet
function Flows:buy(input)
  check_self(self, "buy{…}")
  local result, err = carrying.start(self, "buy", input, CALLER)
  return result, err
end

--- The whole trade as one run: listing, lock, order, tickets.
-- @tparam table input what `sell` takes, and `external_order_id`, `buyer`, `settlement`, `total_fees`
-- @treturn table as of `buy`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:fulfil(input)
  check_self(self, "fulfil{…}")
  local result, err = carrying.start(self, "fulfil", input, CALLER)
  return result, err
end

--- Offers tickets to a recipient, and accepts for him if that is wanted.
-- @tparam table input what `link.transfers:initiate` takes, and `accept`, `distributor_code`
-- @treturn table `{ id, confirmation_cd, transfer_id, … }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:transfer(input)
  check_self(self, "transfer{…}")
  local result, err = carrying.start(self, "transfer", input, CALLER)
  return result, err
end

--- Takes a listing down: unlocks its seats.
-- @tparam table input `external_listing_id`; `tokens`, all of them, for one that the journal does not know;
-- `after_unlock`, when the service has said that seats of it were unlocked elsewhere
-- @treturn table `{ id, tokens }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:delist(input)
  check_self(self, "delist{…}")
  local result, err = carrying.go_back(self, "delist", input, CALLER)
  return result, err
end

--- Takes a transfer back that nobody has accepted.
-- @tparam table input `external_transfer_id`; `confirmation_cd` for one that the journal does not know
-- @treturn table `{ id, confirmation_cd }`
-- @treturn[2] nil
-- @treturn[2] table err, with `err.run`
function Flows:cancel_transfer(input)
  check_self(self, "cancel_transfer{…}")
  local result, err = carrying.go_back(self, "cancel_transfer", input, CALLER)
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
  check_self(self, "unfinished()")
  local list = {}
  local done, err = each_open(self, function(name, record, problem)
    if not record and problem then
      list[#list + 1] = unreadable(name, problem)
    elseif record and not record.ended_ms then
      list[#list + 1] = carrying.summary_of(record)
    end
  end)
  if not done then
    return nil, err
  end
  return list
end

-- A run that was not taken up.
local function report(self, name, fields)
  local record, problem = self.journal:read(name.space, name.id)
  if not record then
    return problem and unreadable(name, problem) or nil
  end
  if record.ended_ms then
    return nil -- meanwhile, by somebody else
  end
  local summary = carrying.summary_of(record)
  for field, value in pairs(fields) do
    summary[field] = value
  end
  return summary
end

-- A run that raises must not keep the others from being carried.
local function raised_error(problem)
  return errors.new { kind = "canceled", operation = "workflows.resume", outcome = "unknown", attempts = 0,
    retryable = true, message = "it raised: " .. tostring(problem) }
end

-- Carries one run on, if nobody else does. Returns what became of it, and whether the service gave no answer at all;
-- nil when it was not asked.
local function resume_one(self, name)
  local run, err = self.journal:claim(name.space, name.id)
  if not run then
    return report(self, name, { held = run == false or nil, err = err })
  elseif not run.record or run:is_ended() then
    run:clean()
    return carrying.leave(run, nil)
  end
  run.is_resumed = true
  local ok, result, failure = pcall(carrying.carry, self, run)
  if not ok then
    failure = raised_error(result)
  end
  local summary = carrying.summary_of(run.record)
  summary.err = failure
  return summary, run.is_unheard
end

--- Finishes or settles whatever a dead process left. One pass: nobody waits for what is PENDING, it is asked for once.
-- Call it when a program starts, and every few minutes.
--
-- When the service gives no answer for three runs in a row, the pass ends: each of them may have waited for as long as
-- a call may take. The others are told as they are, and left for the next pass.
-- @treturn table list of `{ id, kind, state, step, since_ms, since, told, held, unvisited, err }`, what became of each;
-- `held`: somebody else carries it; `unvisited`: it was left for the next pass; of a run whose record cannot be read as
-- of `unfinished`
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Flows:resume()
  check_self(self, "resume()")
  local names, err = self.journal:open_runs()
  if not names then
    return nil, err
  end
  -- The first one is drawn: runs about which the service is silent for ever do not keep those behind them waiting.
  local list, silent, first = {}, 0, math.floor((core.random() or 0) * #names)
  for i = 1, #names do
    local name = names[(first + i - 1) % #names + 1]
    local is_unheard
    if silent < MOST_SILENT then
      list[#list + 1], is_unheard = resume_one(self, name)
      silent = is_unheard and silent + 1 or is_unheard == false and 0 or silent
    else
      list[#list + 1] = report(self, name, { unvisited = true })
    end
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
  local summary = carrying.summary_of(record)
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
  check_self(self, "find(id)")
  check_id("find", id)
  local read = check.read(options or {}, FIND, "workflows.find", CALLER)
  local record, err = look_up(self, id, read.kind)
  return record and whole_of(record) or nil, err
end

-- A person knows more than the evidence.
local function decide(run, options)
  local kind = KINDS[run.record.kind]
  if run.record.state ~= "in_doubt" and not (kind.is_decidable and kind.is_decidable(run.record)) then
    return nil, carrying.conflict_error("settle", "only what is in doubt can be decided by a person")
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
  check_self(self, "settle(id)")
  check_id("settle", id)
  local read = check.read(options or {}, SETTLE, "workflows.settle", CALLER)
  if (read.as == nil) ~= (read.because == nil) then
    error("workflows.settle: as and because go together", CALLER - 1)
  end
  local record, err = look_up(self, id, read.kind)
  if not record then
    return nil, err or carrying.conflict_error("settle", "there is no such run")
  end
  local run
  run, err = carrying.claim(self, record.space, id, "settle")
  if not run then
    return nil, err
  elseif run:is_ended() then
    return carrying.leave(run, whole_of(run.record))
  end
  if read.as then
    local decided
    decided, err = decide(run, read)
    if not decided then
      return carrying.leave(run, nil, err)
    end
  end
  run.is_resumed, run.is_settled = true, true
  local _, failure = carrying.carry(self, run)
  if failure and (run.is_broken or failure.kind == "store") then
    return nil, failure
  end
  return whole_of(run.record)
end

-- --- what the service tells later ---------------------------------------------------------------------------------

--- For `on_callback` of a receiver: keeps what the callback says for whoever waits for it, and opens a run again that
-- it concerns. Repetitions are harmless.
-- @tparam table result as the receiver hands it over
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err; then the receiver answers 503, and the callback may come again
function Flows:on_callback(result)
  check_self(self, "on_callback(result)")
  return reopening.by_callback(self, result)
end

--- For `on_seat` of a receiver, beside that of a delisting: opens purchases again that concern the seat and were or are
-- in doubt. `resume` or `settle` looks at them.
-- @tparam table item of a seats message
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err; then the receiver answers 503, and the message comes again
function Flows:on_seat(item)
  check_self(self, "on_seat(item)")
  return reopening.by_seat(self, item)
end

return flows
