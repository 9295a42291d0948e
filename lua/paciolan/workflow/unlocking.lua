--- Unlocking what a run has locked, and nothing else.
--
-- A repeated unlock is no error (contract 2.5), and still an unlock whose answer is missing is not simply repeated: it
-- names no listing, and by now the seat may be locked by another marketplace. So the seat is locked once more for our
-- listing, and unlocked when that succeeds. Where that lock cannot be sent again, because nobody knows its source or
-- the seller who belongs to it, the unlock is repeated; but not when the service has said that it has unlocked seats
-- itself: then it is for a person.
-- @module paciolan.workflow.unlocking
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local journal = require "paciolan.workflow.journal"
local locks = require "paciolan.workflow.locks"

local unlocking = {}

local append, split, or_nil = locks.append, locks.split, locks.or_nil

local function sold_error(run)
  local err = errors.new { kind = "http", operation = "tickets.unlock", outcome = "rejected", status = 409,
    attempts = 1, retryable = false,
    message = ("%d of the seats cannot be unlocked, for they are sold"):format(#run.data.sold) }
  err.is_sold = true
  return err
end

-- The listing whose seats a run has locked or was about to; nil where it never came to that.
local function listing_of(run)
  local as = run.data.lock_as
  return as and as.external_listing_id or (run.record.kind == "sell" and run.id or nil)
end

-- Nobody has to take the listing down any more. That it comes down is written before: what is forgotten and not written
-- would stay up, and nobody would know.
local function forget(flows, run)
  local id = listing_of(run)
  if not flows.delisting or not id then
    return true
  end
  local saved, unsaved = run:save()
  if not saved then
    return nil, unsaved
  end
  local done, err = flows.delisting:forget(id)
  if done == nil then
    return nil, journal.error_of(err)
  end
  run.data.is_remembered = nil
  return true
end

-- --- whose lock is it? --------------------------------------------------------------------------------------------

local function can_lock_again(run)
  local as = run.data.lock_as
  return as.source ~= nil and (not as.has_seller or locks.seller(run) ~= nil)
end

local UNHELD = "seats of the listing were unlocked elsewhere, and nobody knows how it was locked, so that it cannot be "
  .. "found out which are still locked for it"

-- Nothing is unlocked: the lock may be that of another marketplace.
local function leave_to_a_person(run)
  run:note("not_to_be_held", { seats = #run.data.releasing })
  local err = errors.new { kind = "protocol", operation = "tickets.unlock", outcome = "unknown", attempts = 0,
    retryable = false, message = UNHELD }
  err.in_doubt = true
  return nil, err
end

-- Did the service speak about the request, so that it will not say anything else tomorrow?
local function is_answered(err)
  return err.kind == "partial" or (err.outcome == "rejected" and err.kind == "http")
end

-- Finds out which of the tokens in `data.releasing` are still ours, by locking them once more.
local function hold(flows, run)
  local data = run.data
  if not can_lock_again(run) then
    if data.is_unlocked_elsewhere then
      return leave_to_a_person(run)
    end
    data.locked, data.releasing = append(data.releasing, data.locked), nil
    return true
  end
  local batch, rest = split(data.releasing, locks.LIMIT)
  local sorted, err = locks.send(flows, run, batch, true)
  if not sorted then
    return nil, err
  end
  data.locked = append(sorted.locked, data.locked)
  if #sorted.refused > 0 then
    run:note("not_ours", { seats = #sorted.refused })
  end
  data.releasing = or_nil(append(rest, sorted.unknown))
  if #sorted.unknown == 0 then
    return true
  end
  err = err or locks.unnamed_error("tickets.lock")
  return nil, is_answered(err) and locks.doubt(run, err, sorted.unknown) or err
end

-- --- unlocking ----------------------------------------------------------------------------------------------------

-- What 409 says of a token (contract 2.5); its body is not documented.
local function is_conflict(item)
  local why = item.error
  return why ~= nil and (why.type == "CONFLICT" or why.app_error_code == "MS-409")
end

-- `is_unnamed`: the service says 409 of several and does not name any, so that they have to be asked singly.
local function sort(items, err)
  local sorted = { unlocked = {}, sold = {}, kept = {}, unknown = {} }
  local is_409 = err ~= nil and err.status == 409
  for _, item in ipairs(items) do
    local is_sold = is_conflict(item) or (is_409 and (item.state == "failed" or #items == 1))
    local name = item.state == "done" and "unlocked" or item.state == "unknown" and "unknown"
      or is_sold and "sold" or "kept"
    table.insert(sorted[name], item.token)
  end
  sorted.is_unnamed = is_409 and #sorted.kept == #items
  sorted.has_moved = #sorted.unlocked + #sorted.sold > 0 or sorted.is_unnamed
  return sorted
end

-- Unlocks the first tokens of `data.locked`, at most `limit`. It is sent once: what the client would repeat after
-- silence might by then be the lock of somebody else. Returns what became of them; or nil and an error when the step
-- could not be written down.
local function release(flows, run, limit)
  local data = run.data
  local batch, rest = split(data.locked, limit)
  data.locked, data.releasing = rest, batch
  local result, err = run:send(run.record.step, function(options)
    return flows.link.tickets:unlock({ tokens = batch }, locks.options(run, options, 0))
  end)
  if run.is_broken then
    return nil, err
  end
  local sorted = sort(locks.fates(batch, result, err), err)
  data.releasing = or_nil(sorted.unknown)
  append(data.locked, sorted.kept)
  data.unlocked = append(data.unlocked or {}, sorted.unlocked)
  if #sorted.sold > 0 then
    run:note("sold", { seats = #sorted.sold })
    data.sold = append(data.sold or {}, sorted.sold)
  end
  return sorted, err
end

-- Unlocks until nothing is left, or until nothing moves any more.
local function release_all(flows, run)
  local data, limit, tries = run.data, locks.LIMIT, locks.TRIES
  while data.releasing or #data.locked > 0 do
    if data.releasing then
      local held, err = hold(flows, run)
      if not held then
        return nil, err
      end
    else
      local sorted, err = release(flows, run, limit)
      tries = sorted and (sorted.has_moved and tries or tries - 1) or 0
      if tries == 0 then
        return nil, err or locks.unnamed_error("tickets.unlock")
      end
      limit = sorted.is_unnamed and 1 or limit
      if not (sorted.has_moved or run.is_resumed) then
        flows:sleep(core.backoff_ms(1) or 0)
      end
    end
  end
  return true
end

--- Unlocks what a run has locked, as `paciolan.workflow.locking` says.
-- @tparam table flows
-- @tparam table run
-- @treturn boolean true when nothing is locked any more
-- @treturn[2] nil
-- @treturn[2] table err: of the unlock; with `in_doubt`, when nobody can tell whether seats are still ours; with
-- `is_sold`, when everything else is unlocked and the seats in `run.data.sold` are sold
function unlocking.unlock(flows, run)
  local data = run.data
  data.locked = data.locked or {}
  local done, err = forget(flows, run)
  if done and data.lock_as then -- else it never came to the lock
    done, err = release_all(flows, run)
  end
  if not done then
    return nil, err
  elseif data.sold then
    return nil, sold_error(run)
  end
  return true
end

return unlocking
