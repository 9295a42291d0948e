--- Locking the seats of a run, and unlocking them again.
--
-- The service locks at most 100 seats in a call (contract 2.4), so a large listing is locked in batches, one after
-- another. Each batch is written down before it is sent. All or nothing, unless the request has `keep_partial`: when a
-- batch is refused, wholly or in part, the caller has to unlock what was locked before.
--
-- **A lock whose answer is missing** is sent again for the same listing: a success is ours, whichever of the two
-- requests it was that locked. A seat that is refused and, in the words of its failure entry, left unlocked (contract
-- 2.4, row 61) is not ours. Everything else is in doubt, also a seat that the service does not find any more. Such a
-- seat is not unlocked, for an unlock names no listing, and the lock may by now be that of another marketplace.
--
-- What is kept in `run.data`:
--
-- * `seats`: list of `{ token, access_id, section, row, seat, owner_id }`, and `next`, the first that was not yet sent
-- * `locked`: tokens that are known to be locked by this run
-- * `sending`: tokens that were sent to be locked, and nobody knows yet what became of them
-- * `releasing`: tokens of which nobody knows whether they are still locked by this run
-- * `failed`: `{ token, type, app_error_code }` of those that could not be locked
-- * `unlocked`, `sold`: tokens that were unlocked again, or could not be because they are sold
-- * `is_unlocked_elsewhere`: the service has unlocked some of those in `releasing` itself
-- * `lock_as`: `{ external_listing_id, source, organization_id, has_seller }`; `seller_ids`; `is_remembered`, by a
--   delisting
-- * `seller`, of a listing that is up: its seats cannot be locked again without him
-- @module paciolan.workflow.locking
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local finding = require "paciolan.workflow.finding"
local journal = require "paciolan.workflow.journal"
local locks = require "paciolan.workflow.locks"
local unlocking = require "paciolan.workflow.unlocking"

local locking = {}

--- Step `seats`: see `paciolan.workflow.finding`.
locking.find = finding.find

--- Steps `undo` and `delist`: see `paciolan.workflow.unlocking`.
locking.unlock = unlocking.unlock

--- What a listing costs: see `paciolan.workflow.locks`.
locking.total_price = locks.total_price

local append, or_nil = locks.append, locks.or_nil

-- --- who takes the listing down -----------------------------------------------------------------------------------

local UNFIT = "the listing cannot be remembered for delisting: an organization_id belongs to it, and the access id, "
  .. "section, row and number of every seat"

local function remember_seats(flows, run, seats)
  local as, list = run.data.lock_as, {}
  for i, seat in ipairs(seats) do
    list[i] = { token = seat.token, access_id = seat.access_id, section = seat.section, row = seat.row,
      seat = seat.seat }
  end
  local ok, done, err = pcall(flows.delisting.remember, flows.delisting, { seats = list,
    external_listing_id = as.external_listing_id, organization_id = as.organization_id or flows.organization_id })
  if ok and done then
    return true
  elseif ok then
    err = journal.error_of(err)
    err.outcome, err.operation = "not_sent", err.operation or "tickets.lock"
    return nil, err
  end
  return nil, errors.new { kind = "validation", operation = "tickets.lock", outcome = "not_sent", attempts = 0,
    retryable = false, message = UNFIT }
end

-- Before the first lock: an UNLOCK that came between would be overlooked.
local function remember(flows, run)
  if not flows.delisting or run.record.kind ~= "sell" or run.data.is_remembered then
    return true
  end
  run.data.is_remembered = true -- also when it fails: some of it may have been done
  return remember_seats(flows, run, run.data.seats)
end

-- A seat that this listing does not hold must not take it down.
local function remember_locked(flows, run)
  if not run.data.is_remembered or #run.data.locked == #run.data.seats then
    return true
  end
  return remember_seats(flows, run, locking.locked_seats(run))
end

-- --- locking ------------------------------------------------------------------------------------------------------

--- The seats that are known to be locked by a run.
-- @tparam table run
-- @treturn table list of entries of `run.data.seats`, in their order
function locking.locked_seats(run)
  local is_locked, list = {}, {}
  for _, token in ipairs(run.data.locked or {}) do
    is_locked[token] = true
  end
  for _, seat in ipairs(run.data.seats or {}) do
    list[#list + 1] = is_locked[seat.token] and seat or nil
  end
  return list
end

--- Is there something that has to be undone before the run may end without a listing?
-- @tparam table run
-- @treturn boolean
function locking.needs_undo(run)
  local data = run.data
  return #(data.locked or {}) > 0 or #(data.releasing or {}) > 0 or data.is_remembered == true
end

-- A second attempt may lock seats once more that the first one holds.
local function add_new(list, tokens)
  local is_there = {}
  for _, token in ipairs(list) do
    is_there[token] = true
  end
  for _, token in ipairs(tokens) do
    list[#list + 1] = not is_there[token] and token or nil
  end
end

local function prepare(run)
  local data, request = run.data, run.request
  data.locked, data.failed, data.seller_ids = data.locked or {}, data.failed or {}, data.seller_ids or {}
  data.next = data.next or 1
  data.lock_as = data.lock_as or { external_listing_id = request.external_listing_id, source = request.source,
    organization_id = request.organization_id, has_seller = request.seller ~= nil or nil }
  return data
end

local function next_tokens(data)
  local tokens = {}
  for i = data.next, math.min(data.next + locks.LIMIT - 1, #data.seats) do
    tokens[#tokens + 1] = data.seats[i].token
  end
  data.next = data.next + #tokens
  return tokens
end

-- Notes what became of the tokens in `data.sending`. Returns whether each of them has been told of.
local function take(data, sorted)
  add_new(data.locked, sorted.locked)
  append(data.failed, sorted.refused)
  data.sending = or_nil(sorted.unknown)
  return data.sending == nil
end

-- Locks the tokens in `data.sending`. Returns nil when all are locked, else why not, and whether that was about the
-- request as such; then it is as if it had never been sent.
local function lock_batch(flows, run, is_doubtful)
  local data, refusal, failure = run.data, nil, nil
  for try = 1, locks.TRIES do
    if try > 1 and not run.is_resumed then
      flows:sleep(core.backoff_ms(1) or 0)
    end
    local sorted, err = locks.send(flows, run, data.sending, is_doubtful)
    if not sorted then
      return err
    elseif sorted.is_whole then
      data.next, data.sending = data.next - #sorted.refused, nil
      return err, true
    end
    refusal = refusal or (#sorted.refused > 0 and err) or nil
    if take(data, sorted) then
      return refusal
    end
    is_doubtful, failure = true, err
  end
  return locks.doubt(run, failure or locks.unnamed_error("tickets.lock"), data.sending)
end

-- A refusal of the request itself counts for all that were to follow.
local function refuse_rest(data, err)
  for i = data.next, #data.seats do
    table.insert(data.failed, { token = data.seats[i].token, type = err.type, app_error_code = err.app_error_code })
  end
  data.next = #data.seats + 1
end

-- Is a failure the end, or does a listing of fewer seats go on?
local function is_final(run, err, is_whole)
  return run.is_broken or err.in_doubt or not run.request.keep_partial
    or (is_whole and run.is_resumed and err.retryable)
end

local function nothing_error()
  return errors.new { kind = "http", operation = "tickets.lock", outcome = "rejected", attempts = 1, retryable = false,
    message = "none of the seats could be locked" }
end

-- Sends batch after batch. Returns true, and a refusal if there was one; or nil and the error that ends it.
local function lock_all(flows, run)
  local data, refusal = run.data, nil
  while data.sending or data.next <= #data.seats do
    local is_doubtful = data.sending ~= nil
    data.sending = data.sending or next_tokens(data)
    local err, is_whole = lock_batch(flows, run, is_doubtful)
    if err and is_final(run, err, is_whole) then
      return nil, err
    elseif is_whole then
      refuse_rest(data, err)
    end
    refusal = refusal or err
    run:go(run.record.step, "running")
  end
  return true, refusal
end

--- Step `lock`: locks the seats of a run, or goes on with it.
-- @tparam table flows
-- @tparam table run with `data.seats`, and in its request `external_listing_id`, `source`, and maybe `seller`, `price`,
-- `total_price`, `organization_id`, `keep_partial`
-- @treturn boolean true when all are locked; with `keep_partial`, when at least one is
-- @treturn[2] nil
-- @treturn[2] table err of the lock. With `in_doubt` nobody can tell whether seats are locked: nothing must be
-- unlocked, and the next call goes on with finding out
-- @treturn[2] ?boolean needs_undo: `unlock` has to be called before the run may end
function locking.lock(flows, run)
  local data = prepare(run)
  local done, err = remember(flows, run)
  if done then
    done, err = lock_all(flows, run)
  end
  if not done then
    return nil, err, not err.in_doubt and locking.needs_undo(run)
  elseif #data.locked == 0 then
    return nil, err or nothing_error(), locking.needs_undo(run)
  end
  done, err = remember_locked(flows, run)
  if not done then
    return nil, err, true
  end
  return true
end

-- --- the word of a person -----------------------------------------------------------------------------------------

--- Begins to take a listing down: seats whose lock is in doubt are unlocked as well, if they turn out to be ours.
-- @tparam table run
-- @tparam[opt] boolean is_doubtful the service has unlocked some of the others meanwhile, and nobody says which
function locking.give_back(run, is_doubtful)
  local data = run.data
  local releasing = append(data.releasing or {}, data.sending or {})
  data.sending = nil
  if is_doubtful then
    append(releasing, data.locked or {})
    data.locked, data.is_unlocked_elsewhere = {}, true
  end
  data.releasing = or_nil(releasing)
end

local WORD = "not locked, on the word of a person"

-- Seats whose lock was in doubt are not locked. Returns whether the listing goes on without them.
local function refuse(run, tokens)
  for _, token in ipairs(tokens) do
    table.insert(run.data.failed, { token = token })
  end
  if run.request.keep_partial then
    return true
  end
  run:keep_error(errors.new { kind = "canceled", operation = "tickets.lock", outcome = "rejected", attempts = 0,
    retryable = false, message = WORD })
  return false
end

--- Decides what is in doubt on the word of a person. A listing that is being taken down goes on with that.
-- @tparam table run
-- @tparam string as `done`: the seats in doubt are locked by this run; `failed`: they are not, or not any more
-- @treturn boolean true
function locking.decide(run, as)
  local data = run.data
  local sending, tokens = data.sending, data.sending or data.releasing or {}
  data.locked, data.sending, data.releasing, data.sold = data.locked or {}, nil, nil, nil
  data.is_unlocked_elsewhere = nil
  if as == "done" then
    append(data.locked, tokens)
  elseif sending and not refuse(run, tokens) then
    return run:go("undo", "undoing")
  end
  return run:go(run.record.step, sending and "running" or "undoing")
end

return locking
