--- Was it offered? What is found out about the offer of a transfer whose answer is missing, without sending another.
--
-- In this order:
--
-- 1. its process, where it is known: the service is asked how it ended
-- 2. its history, where its confirmation code is known
-- 3. the owners of the seats: when all have another one, the recipient has accepted. Unless somebody else may be the
--    reason, as far as the journal knows: a purchase that has sold the seats since, or another transfer of them. That
--    the owners are the old ones proves nothing, for an offer waits for its recipient
--
-- An attempt that was made on the word of the caller, while the fate of an earlier one was unknown, carries that doubt:
-- `record.data.carried` is a list of `{ process_id =, was_repeated = }`, one for each offer that nobody knows about.
-- @module paciolan.workflow.offers
local traces = require "paciolan.workflow.traces"
local transfers = require "paciolan.workflow.transfers"
local waiting = require "paciolan.workflow.waiting"

local offers = {}

-- --- doubts that are carried --------------------------------------------------------------------------------------

-- What is known of an offer, and may be known of several in the same words, is kept once.
local function add(list, doubt)
  for _, known in ipairs(list) do
    if known.process_id == doubt.process_id and known.was_repeated == doubt.was_repeated then
      return
    end
  end
  list[#list + 1] = { process_id = doubt.process_id, was_repeated = doubt.was_repeated }
end

--- What the data of another attempt begin with.
-- @tparam table record of the attempt before
-- @treturn ?table nil where there is nothing to doubt
function offers.carry_over(record)
  local data, list = record.data, {}
  if not data.is_doubtful or record.state == "canceled" or record.state == "done" then
    return nil
  end
  for _, doubt in ipairs(data.carried or {}) do
    add(list, doubt)
  end
  add(list, data)
  return { is_doubtful = true, carried = list, owners = data.owners, tokens = data.tokens,
    sent_at_ms = data.sent_at_ms, organization_id = data.organization_id }
end

-- The offer of this attempt was not made: what is left is one of the offers before.
local function drop(run)
  local doubt = table.remove(run.data.carried)
  run.data.process_id, run.data.was_repeated = doubt.process_id, doubt.was_repeated
end

--- Is the fate of an earlier attempt unknown?
-- @tparam table run
-- @treturn boolean
function offers.has_carried(run)
  return #(run.data.carried or {}) > 0
end

--- Goes back to the doubt of an earlier attempt, if there is one, because this one has offered nothing.
-- @tparam table run
-- @treturn boolean false when there is none
function offers.go_back(run)
  if not offers.has_carried(run) then
    return false
  end
  drop(run)
  return true
end

-- --- evidence -----------------------------------------------------------------------------------------------------

-- These return a verdict, nil when they have none; or nil and an error when the run cannot be carried any further.

local function is_end(run, err)
  return run.is_broken or (err ~= nil and err.kind == "store")
end

-- How the process of an offer ended: `made`, `refused`. The client repeats one error of the table, and that the last of
-- its tries ended with ERROR says nothing of those before.
local function ask(flows, run, doubt)
  local saved, unsaved = run:save()
  if not saved then
    return nil, unsaved
  end
  local traced, problem = flows:trace_process(run, doubt.process_id) -- so that a callback finds the run
  if not traced then
    return nil, problem
  end
  local state, body, err = waiting.wait(flows, run, { process_id = doubt.process_id,
    poll = function(process_id, options) return flows.link.transfers:pending(process_id, options) end })
  if is_end(run, err) then
    return nil, err
  elseif state == "COMPLETE" then
    run.data.process_id = doubt.process_id
    transfers.keep(run, body)
    return "made"
  elseif state == "ERROR" and not doubt.was_repeated then
    return "refused"
  end
  -- One that cannot be asked for may be worked on as well.
  run.is_pending = run.is_pending or state == "PENDING" or (err ~= nil and err.status ~= 404 and err.kind ~= "partial")
  return nil
end

--- Asks for the process of the offer.
-- @tparam table flows
-- @tparam table run
-- @treturn ?string `made`, `refused`, or nil when that is not known
-- @treturn[2] nil
-- @treturn[2] table err the journal could not be written or read, or somebody else carries the run
function offers.by_process(flows, run)
  if not run.data.process_id then
    return nil
  end
  return ask(flows, run, run.data)
end

-- The same for the offers of earlier attempts. One that was refused is not in doubt any more.
local function by_carried(flows, run)
  local list = run.data.carried or {}
  for i = #list, 1, -1 do
    local verdict, err
    if list[i].process_id then
      verdict, err = ask(flows, run, list[i])
    end
    if verdict == "made" or err then
      return verdict, err
    elseif verdict == "refused" then
      table.remove(list, i)
    end
  end
  return nil
end

local function by_history(flows, run)
  if not run.data.confirmation_cd then
    return nil
  end
  local fate, err = transfers.fate(flows, run)
  if is_end(run, err) then
    return nil, err
  end
  run.is_pending = run.is_pending or fate == nil -- there is an offer: it has a code
  return fate == "open" and "made" or fate
end

-- Which seats have another owner than before; those that another run has sold since have none of this offer.
local function compare(run, now)
  local counts = { changed = 0, unchanged = 0, untold = 0, elsewhere = 0 }
  for token, owner in pairs(run.data.owners) do
    local is_elsewhere, err = traces.is_sold_elsewhere(run, token, run.data.sent_at_ms or run.record.created_ms)
    if is_elsewhere == nil then
      return nil, err
    end
    local what = is_elsewhere and "elsewhere" or not now[token] and "untold" or now[token] == owner and "unchanged"
      or "changed"
    counts[what] = counts[what] + 1
  end
  return counts
end

-- May the transfer of another run, which was offered and has ended, have been accepted since this one was offered?
local function may_be_accepted(flows, run, name)
  local record, problem = run.journal:read(name.space, name.id)
  if not record then
    return problem == nil and true or nil, problem
  elseif record.state == "canceled" or (record.state == "failed" and not record.data.is_doubtful) then
    return false
  elseif record.state ~= "done" or not record.data.confirmation_cd then
    return true
  elseif record.data.accepted then
    return record.ended_ms >= (run.data.sent_at_ms or run.record.created_ms)
  end
  local fate, err = transfers.fate(flows, run, record.data.confirmation_cd)
  if is_end(run, err) then
    return nil, err
  end
  return fate ~= "open" and fate ~= "canceled"
end

-- The id of a purchase of this seat whose order may be done late; nil when there is none, or nil and an error.
local function doubtful_purchase(run, token)
  local names, err = traces.find(run.journal, "token", token)
  for _, name in ipairs(names or {}) do
    local record, problem = run.journal:read(name.space, name.id)
    if record and record.state ~= "done" and record.data.is_doubtful then
      return name.id
    elseif not record and problem then
      return nil, problem
    end
  end
  return nil, err
end

-- The id of another transfer that may be the reason why the seats have other owners; false when there is none.
local function other_offer(flows, run)
  local seen = { [run.id] = true }
  for token in pairs(run.data.owners) do
    local names, err = traces.find(run.journal, "offer", token)
    if not names then
      return nil, err
    end
    local purchase, problem = doubtful_purchase(run, token)
    if purchase or problem then
      return purchase, problem
    end
    for _, name in ipairs(names) do
      local may_be, failure = false, nil
      if not seen[name.id] then
        may_be, failure = may_be_accepted(flows, run, name)
      end
      seen[name.id] = true
      if may_be == nil then
        return nil, failure
      elseif may_be then
        return name.id
      end
    end
  end
  return false
end

local function word_for(counts)
  if counts.elsewhere > 0 then
    return "sold_elsewhere"
  elseif counts.untold > 0 then
    return "owners_untold"
  elseif counts.unchanged == 0 then
    return "owners_changed"
  end
  return counts.changed > 0 and "some_owners_changed" or "owners_unchanged"
end

-- Reads and compares the owners. Returns the word for what was found, nil where they cannot be read.
local function read_owners(flows, run)
  local now, err = transfers.owners(flows, run, run.data.tokens)
  if not now then
    run:note("owners_unread", { kind = err.kind, status = err.status })
    return nil, is_end(run, err) and err or nil
  end
  local counts, problem = compare(run, now)
  if not counts then
    return nil, problem
  end
  local word = word_for(counts)
  run:note(word, counts)
  return word
end

--- Compares the owners of the seats with those from before.
-- @tparam table flows
-- @tparam table run
-- @treturn ?string `accepted` when all have changed, and by this transfer; `owners_unchanged`; or nil when they tell
-- nothing, because there are none to compare for instance
-- @treturn[2] nil
-- @treturn[2] table err the journal could not be written or read, or somebody else carries the run
function offers.by_owners(flows, run)
  if not (run.data.owners and run.data.tokens) then
    return nil
  end
  local claimed, holder = traces.claim(run, run.data.tokens)
  if claimed == false then
    run:note("seat_in_another_purchase", { id = holder })
  end
  if not claimed then
    return nil, claimed == nil and holder or nil
  end
  local word, err = read_owners(flows, run)
  if word ~= "owners_changed" then
    return word == "owners_unchanged" and word or nil, err
  end
  local other, failure = other_offer(flows, run)
  if other == false then
    return "accepted"
  elseif other then
    run:note("another_offer", { id = other })
  end
  return nil, failure
end

-- The verdict on the process of this attempt: where it was refused those before count.
local function by_any_process(flows, run)
  local verdict, err = offers.by_process(flows, run)
  if verdict == "made" or err then
    return verdict, err
  end
  local earlier
  earlier, err = by_carried(flows, run)
  if earlier or err then
    return earlier, err
  elseif verdict == "refused" and offers.go_back(run) then
    return nil
  end
  return verdict
end

--- Looks at the evidence.
-- @tparam table flows
-- @tparam table run in doubt
-- @treturn ?string `made`: offered, and not accepted yet; `accepted`, `canceled`; `refused`: nothing was offered; or
-- nil when nobody can tell yet. `run.is_pending` says that the service works on it, or that there is an offer for sure
-- @treturn[2] nil
-- @treturn[2] table err the journal could not be written or read, or somebody else carries the run
function offers.look(flows, run)
  run.is_pending = nil
  for _, way in ipairs { by_any_process, by_history, offers.by_owners } do
    local verdict, err = way(flows, run)
    if err or (verdict and verdict ~= "owners_unchanged") then
      return verdict, err
    end
  end
  return nil
end

--- Has a callback come that says that an offer which was ended as not made was made?
-- @tparam table run that has ended
-- @treturn ?string its process
function offers.came_late(run)
  local list = { run.data }
  for _, doubt in ipairs(run.data.is_doubtful and run.data.carried or {}) do
    list[#list + 1] = doubt
  end
  for _, doubt in ipairs(run.data.is_doubtful and list or {}) do
    local callback = doubt.process_id and traces.callback(run.journal, doubt.process_id)
    if callback and callback.state == "COMPLETE" then
      return doubt.process_id
    end
  end
  return nil
end

return offers
