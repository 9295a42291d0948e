--- Was it sold? What is found out about a purchase whose answer is missing, without ever sending it again.
--
-- In this order:
--
-- 1. a callback that names the purchase's process or its seats
-- 2. the process, where it is known: the service is asked how it ended
-- 3. the owners of the seats, compared with those that were written down before the order was sent. All of them
--    changed: sold. Unchanged owners alone prove nothing, for the service may still be working on an order whose answer
--    was lost: they count only when they were read at least `settle_after_s` after the order was sent
--
-- A seat that another purchase of this journal has sold since counts as not sold by this one.
--
-- What cannot be told stays undecided. A token that the service does not know any more proves nothing either.
-- @module paciolan.workflow.settling
local places = require "paciolan.workflow.places"
local seats = require "paciolan.workflow.seats"
local traces = require "paciolan.workflow.traces"
local waiting = require "paciolan.workflow.waiting"

local settling = {}

-- By how much the clocks of hosts may differ: a callback that came before the order was sent is about an earlier sale.
local CLOCK_SKEW_MS = 60000

-- --- what an answer says ------------------------------------------------------------------------------------------

local function tokens_in(list)
  local found = {}
  for _, entry in ipairs(type(list) == "table" and list or {}) do
    local token = type(entry) == "table" and entry.token or entry
    if type(token) == "string" then
      found[token] = true
    end
  end
  return found
end

local function tokens_of_offers(body)
  local found = {}
  for _, offer in ipairs(type(body.offers) == "table" and body.offers or {}) do
    local event = type(offer) == "table" and offer.event
    for token in pairs(tokens_in(type(event) == "table" and event.seats)) do
      found[token] = true
    end
  end
  return found
end

local function split(tokens, is_in)
  local inside, outside = {}, {}
  for _, token in ipairs(tokens) do
    table.insert(is_in[token] and inside or outside, token)
  end
  return inside, outside
end

--- Which seats an answer names as failed.
-- @tparam table run
-- @tparam table body of the answer
-- @treturn table tokens
function settling.refused_by_answer(run, body)
  return (split(run.data.tokens, tokens_in(body.failure)))
end

local function is_filled(list)
  return type(list) == "table" and next(list) ~= nil
end

--- Which seats of an order that is COMPLETE were sold: those that neither it nor the answer before names as failed.
-- Where some failed, the others have to stand in its offers, if it has any.
-- @tparam table run
-- @tparam table body of the answer
-- @treturn table tokens that were sold
-- @treturn table tokens that were not
-- @treturn[2] nil when something failed and the answer does not tell what, and when it is about other seats
function settling.sold_by_answer(run, body)
  local failed = tokens_in(body.failure)
  for _, token in ipairs(run.data.refused or {}) do
    failed[token] = true
  end
  local unsold, sold = split(run.data.tokens, failed)
  local offered = tokens_of_offers(body)
  local is_about_others = next(offered) ~= nil and #split(sold, offered) == 0
  if #unsold == 0 and not is_filled(body.failure) and not is_about_others then
    return sold, unsold
  elseif next(offered) and not is_about_others then
    return split(run.data.tokens, tokens_in((split(sold, offered))))
  elseif #unsold > 0 then
    return sold, unsold
  end
  return nil
end

-- --- evidence -----------------------------------------------------------------------------------------------------

-- A process that another run knows as its own.
local function is_of_another(run, process_id)
  local found, err = traces.find(run.journal, "process", process_id)
  for _, name in ipairs(found or {}) do
    if name.space ~= run.space or name.id ~= run.id then
      return true
    end
  end
  if not found then
    return nil, err
  end
  return false
end

-- Is the callback about an earlier sale of a seat in another purchase? Whom it names as the owner was that already when
-- the order was sent. The process of that purchase is not known where it was settled by the owners.
local function is_of_earlier(run, body)
  for _, offer in ipairs(type(body.offers) == "table" and body.offers or {}) do
    local event = type(offer) == "table" and offer.event
    for _, seat in ipairs(type(event) == "table" and type(event.seats) == "table" and event.seats or {}) do
      local owner = type(seat) == "table" and places.label(seat.ownerId)
      if owner and type(seat.token) == "string" and run.data.owners[seat.token] == owner then
        return traces.is_sold_elsewhere(run, seat.token, 0)
      end
    end
  end
  return false
end

-- The answer in a callback that says COMPLETE, of a process of an earlier attempt of this purchase, or of one that
-- nobody knows, about one of the seats and from after the order was sent. One that says ERROR proves nothing there: it
-- may be about an order that was refused before.
local function find_callback(run)
  local processes = {}
  for _, process_id in ipairs(run.data.processes or {}) do
    processes[#processes + 1] = process_id
  end
  for _, token in ipairs(run.data.tokens) do
    local process_id, err = traces.process_about(run.journal, token)
    if err then
      return nil, err
    end
    processes[#processes + 1] = process_id
  end
  for _, process_id in ipairs(processes) do
    local callback, err = traces.callback(run.journal, process_id)
    local other
    if callback and callback.state == "COMPLETE" and callback.at_ms >= run.data.sent_at_ms - CLOCK_SKEW_MS then
      other, err = is_of_another(run, process_id)
      if other == false then
        other, err = is_of_earlier(run, callback.body)
      end
    end
    if err then
      return nil, err
    elseif other == false then
      return callback, nil, process_id
    end
  end
  return nil
end

local function ask_for_process(flows, run, process_id)
  local state, body, err = waiting.wait(flows, run, { process_id = process_id,
    poll = function(id, options) return flows.link.orders:status(id, options) end })
  if run.is_broken or (err and err.kind == "store") then
    return nil, nil, err
  elseif err and err.status ~= 404 and err.kind ~= "partial" then
    return "UNTOLD"
  end
  return state, body
end

-- May a process have sold something, or still do so?
local function is_open(run, state, body)
  local sold = state == "COMPLETE" and settling.sold_by_answer(run, body)
  return state == "PENDING" or state == "UNTOLD" or (state == "COMPLETE" and (not sold or #sold > 0))
end

-- Asks for the process of this attempt and for those of earlier ones, until one is open.
local function ask_for_processes(flows, run)
  local processes, state, body, err = { run.data.process_id }, nil, nil, nil
  for _, process_id in ipairs(run.data.processes or {}) do
    processes[#processes + 1] = process_id
  end
  for _, process_id in ipairs(processes) do
    state, body, err = ask_for_process(flows, run, process_id)
    if err or is_open(run, state, body) then
      run.data.process_id = state == "COMPLETE" and process_id or run.data.process_id
      break
    end
  end
  return state, body, err
end

-- Returns the state and the body of the process, where the service knows one, `UNTOLD` when it could not be asked; nil,
-- nil and an error when the journal broke off.
local function by_process(flows, run)
  local state, body, err = ask_for_processes(flows, run)
  if err or state == "COMPLETE" then
    return state, body, err
  end
  local callback, failure, process_id = find_callback(run)
  if callback then
    local traced, untraced = traces.add(run, "process", process_id) -- nobody else takes it for his own
    if not traced then
      return nil, nil, untraced
    end
    run:note("callback_names_seats", { process_id = process_id })
    run.data.process_id = run.data.process_id or process_id
    return "COMPLETE", callback.body
  end
  return state, body, failure
end

-- Which seats have another owner than before, and how many the same, or one that cannot be told. Or nil and an error of
-- the store.
local function compare(run, now)
  local found = { changed = {}, unchanged = 0, untold = 0, elsewhere = 0 }
  for _, token in ipairs(run.data.tokens) do
    local was, is = run.data.owners[token], now[token] and now[token].owner_id
    local is_elsewhere, err = traces.is_sold_elsewhere(run, token, run.data.sent_at_ms)
    if is_elsewhere == nil then
      return nil, err
    elseif is_elsewhere then
      found.elsewhere, found.unchanged = found.elsewhere + 1, found.unchanged + 1
    elseif not was or not is then
      found.untold = found.untold + 1
    elseif was ~= is then
      found.changed[token] = true
    else
      found.unchanged = found.unchanged + 1
    end
  end
  return found
end

local function size(set)
  local count = 0
  for _ in pairs(set) do
    count = count + 1
  end
  return count
end

local function read_owners(flows, run)
  local answer, err = run:send("settle", function(options)
    return flows.link.tickets:verify_all({ tickets = { { tokens = run.data.tokens } } },
      { deadline_ms = options.deadline_ms })
  end)
  if not answer and err.kind == "partial" and type(err.body) == "table" then
    return err.body
  end
  return answer, err
end

-- While another purchase of a seat is under way, its sale would pass for that of this one. One that was ended as not
-- sold has given its seats back.
local function has_seats(run)
  local claimed, problem = traces.claim(run, run.data.tokens)
  if claimed == false then
    run:note("seat_in_another_purchase", { id = problem })
  end
  return claimed, problem
end

-- What the comparison means: a word for it; `sold`, `unsold` or `part`, or nil when the owners do not tell; and the
-- tokens that were sold.
local function judge(run, found, is_late)
  local changed = size(found.changed)
  if found.unchanged == 0 and found.untold == 0 then
    return "owners_changed", "sold", run.data.tokens
  elseif found.untold > 0 then
    return "owners_untold"
  elseif changed > 0 then
    return "some_owners_changed", is_late and "part" or nil, (split(run.data.tokens, found.changed))
  end
  return "owners_unchanged", is_late and "unsold" or nil
end

-- Or nil, nil and an error, when the run cannot be carried any further.
local function by_owners(flows, run)
  local claimed, problem = has_seats(run)
  if not claimed then
    return nil, nil, claimed == nil and problem or nil
  end
  local after_ms = run:now_ms() - run.data.sent_at_ms
  local answer, err = read_owners(flows, run)
  if not answer then
    run:note("owners_unread", { kind = err.kind, status = err.status })
    return nil, nil, (run.is_broken or err.kind == "store") and err or nil
  end
  local found, failure = compare(run, seats.by_token(answer))
  if not found then
    return nil, nil, failure
  end
  -- Where the unlock of its seats was refused because they are sold, unchanged owners never mean that they are not.
  local is_late = after_ms >= flows.settle_after_ms and not run.data.is_contradicted
  local what, verdict, sold = judge(run, found, is_late)
  run:note(what, { changed = size(found.changed), unchanged = found.unchanged, untold = found.untold,
    elsewhere = found.elsewhere, after_s = math.floor(after_ms / 1000) })
  return verdict, sold
end

--- Did a callback that says COMPLETE come while a run that was in doubt was being ended as not sold? Who receives
-- callbacks writes them down before it looks at the run, so one of the two sees the other.
-- @tparam table run that has ended
-- @treturn boolean
function settling.came_late(run)
  local callback = run.data.process_id and traces.callback(run.journal, run.data.process_id) or find_callback(run)
  return callback ~= nil and callback.state == "COMPLETE"
end

--- Looks at the evidence.
-- @tparam table flows
-- @tparam table run in doubt; its data has `tokens`, `owners` (by token, from before), `sent_at_ms`, and `process_id`
-- where it is known
-- @treturn ?string `sold`, `part`, `unsold`, or nil when nobody can tell yet
-- @treturn ?table the answer of the order, where there is one
-- @treturn ?table tokens that were sold
-- @treturn[2] nil
-- @treturn[2] nil
-- @treturn[2] nil
-- @treturn[2] table err the journal could not be written or read, or somebody else carries the run
function settling.look(flows, run)
  local state, body, err = by_process(flows, run)
  run.is_pending = state == "PENDING" or state == "UNTOLD" -- the service works on it, as far as anybody knows
  if err then
    return nil, nil, nil, err
  elseif state == "COMPLETE" then
    local sold, unsold = settling.sold_by_answer(run, body)
    if sold and #sold > 0 then
      return #unsold == 0 and "sold" or "part", body, sold
    elseif sold and not run.data.was_doubtful then
      return "unsold"
    elseif not sold then
      run:note("part_untold", { process_id = run.data.process_id })
    end
  elseif state == "ERROR" and not run.data.was_doubtful then
    return "unsold"
  elseif state == "PENDING" then
    return nil
  end
  local verdict, sold
  verdict, sold, err = by_owners(flows, run)
  if state == "UNTOLD" and verdict ~= "sold" then
    return nil, nil, nil, err -- the process may still be worked on
  end
  return verdict, nil, sold, err
end

--- Do owners that were just read show that an earlier attempt of the purchase has sold something?
-- @tparam table run
-- @tparam table owners by token
-- @treturn boolean
function settling.was_sold_before(run, owners)
  for token, owner in pairs(run.data.owners or {}) do
    if owners[token] and owners[token] ~= owner then
      return true
    end
  end
  return false
end

return settling
