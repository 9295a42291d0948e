--- Listings: `sell` puts seats on sale, which means that they are locked for a listing; `delist` takes them back.
--
-- A listing is a run under its external listing id, and `delist` is its last phase. Its steps: `seats` finds out which
-- seats it is about, `lock` locks them, `undo` unlocks again what was locked when not all could be, `delist` unlocks
-- all. What is done with locks is in `paciolan.workflow.locking`.
-- @module paciolan.workflow.selling
local check = require "paciolan.options"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local locking = require "paciolan.workflow.locking"
local telling = require "paciolan.workflow.telling"

local selling = {}

--- What a listing costs: see `paciolan.workflow.locks`.
selling.total_price = locking.total_price

-- --- what callers give --------------------------------------------------------------------------------------------

local SOURCES = { MY_ACCOUNT = true, INDIVIDUAL = true, BROKER = true }

local function a_source(value)
  return SOURCES[value] ~= nil, "MY_ACCOUNT, INDIVIDUAL or BROKER"
end

local MOST_MONEY = 2 ^ 40

local function a_price(value)
  return type(value) == "number" and value >= 0 and value < MOST_MONEY, "a number, at least 0"
end

local function a_list_of_texts(value)
  local count, is_list = 0, type(value) == "table"
  for _ in pairs(is_list and value or {}) do
    count = count + 1
    is_list = is_list and type(value[count]) == "string" and value[count] ~= ""
  end
  return is_list and count > 0, "a list of strings that are not empty, at least one"
end

local function a_list_of_tables(value)
  local count, is_list = 0, type(value) == "table"
  for _ in pairs(is_list and value or {}) do
    count = count + 1
    is_list = is_list and type(value[count]) == "table"
  end
  return is_list and count > 0, "a list of tables, at least one"
end

local ENTRY = {
  access_id = { check.text }, barcodes = { a_list_of_texts }, tokens = { a_list_of_texts },
}

--- The options of a listing: see docs/workflows.md.
selling.rules = {
  external_listing_id = { check.text, required = true }, listing_id = { check.text }, source = { a_source },
  seller = { check.a_table }, access_id = ENTRY.access_id, barcodes = ENTRY.barcodes, tokens = ENTRY.tokens,
  verify = { a_list_of_tables }, price = { a_price }, total_price = { a_price },
  keep_partial = { check.a_boolean, default = false }, organization_id = { check.text },
}

local function fail(where, level, message, ...)
  error(where .. ": " .. message:format(...), level + 1)
end

-- The entries of verify that the caller wants, and where they stand for him.
local function read_entries(given, where, level)
  local entries, paths = {}, {}
  if given.barcodes or given.tokens then
    entries[1], paths[1] = { access_id = given.access_id, barcodes = given.barcodes, tokens = given.tokens }, ""
  end
  for i, entry in ipairs(given.verify or {}) do
    paths[#paths + 1] = ("/verify/%d"):format(i - 1)
    entries[#entries + 1] = check.read(entry, ENTRY, where, level + 2, ("verify[%d]."):format(i))
  end
  for i, entry in ipairs(entries) do
    if (entry.barcodes == nil) == (entry.tokens == nil) then
      local place = given.verify and ("verify[%d]: "):format(i) or ""
      fail(where, level + 1, "%sone of barcodes and tokens is wanted", place)
    end
  end
  return entries, paths
end

-- Which seats: a listing of MyAccount, one entry, or several.
local function check_ways(given, where, level)
  local ways = (given.listing_id and 1 or 0) + ((given.barcodes or given.tokens) and 1 or 0) + (given.verify and 1 or 0)
  if ways ~= 1 then
    fail(where, level + 1, "one of listing_id, barcodes, tokens and verify says which seats")
  elseif given.access_id and not (given.barcodes or given.tokens) then
    fail(where, level + 1, "access_id goes with barcodes or tokens")
  elseif given.price and given.total_price then
    fail(where, level + 1, "price and total_price do not go together")
  elseif not given.source and not given.listing_id then
    fail(where, level + 1, "source is required: MY_ACCOUNT, INDIVIDUAL or BROKER")
  end
end

local function add_violations(found, operation, payload, options, path)
  local ok, violations = core.check(operation, payload, options)
  for _, problem in ipairs(ok and {} or violations) do
    local place = path and path .. problem.path:gsub("^/tickets/0", ""):gsub("/accessId$", "/access_id")
    found[#found + 1] = { path = place or problem.path, rule = problem.rule, message = problem.message }
  end
end

-- A barcode or token that stands twice would be found twice, or once too few.
local function add_repeated(found, entries, paths)
  local seen = {}
  for e, entry in ipairs(entries) do
    local name = entry.tokens and "tokens" or "barcodes"
    for i, value in ipairs(entry[name]) do
      local key = name .. " " .. (entry.barcodes and entry.access_id or "") .. " " .. value
      if seen[key] then
        found[#found + 1] = { path = ("%s/%s/%d"):format(paths[e], name, i - 1), rule = "unique",
          message = "is there already" }
      end
      seen[key] = true
    end
  end
end

-- What the contract says of the payloads to come, as far as it can be known before the seats are. The token is a
-- stand-in.
local function violations_of(flows, request, paths)
  local found = {}
  local options = { shapes = flows.shapes, organization_id = request.organization_id or flows.organization_id }
  add_violations(found, "tickets.lock", { source = request.source, seller = request.seller, listing = {
    externalListingId = request.external_listing_id, totalPrice = locking.total_price(request, 1),
    tokens = { { token = "x", individualPrice = request.price } },
  } }, options)
  for i, entry in ipairs(request.verify or {}) do
    add_violations(found, "tickets.verify", { tickets = { {
      accessId = entry.access_id, barcodes = entry.barcodes, tokens = entry.tokens,
    } } }, options, paths[i])
  end
  add_repeated(found, request.verify or {}, paths)
  return found
end

--- Makes the request of a run that lists seats, for `sell` and for `fulfil`.
-- @tparam table flows
-- @tparam table given the caller's input, read by `selling.rules`
-- @tparam number level of the caller, as of `error` in this function
-- @tparam string name of the workflow
-- @treturn table request
-- @treturn[2] nil
-- @treturn[2] table err of kind `validation`, its outcome `not_sent`
-- @raise for options that do not go together
function selling.request_of(flows, given, level, name)
  local where = "workflows." .. name
  check_ways(given, where, level)
  local entries, paths = read_entries(given, where, level)
  local request = {
    external_listing_id = given.external_listing_id, listing_id = given.listing_id, seller = given.seller,
    source = given.source or "MY_ACCOUNT", verify = not given.listing_id and entries or nil, price = given.price,
    total_price = given.total_price, keep_partial = given.keep_partial, organization_id = given.organization_id,
  }
  local violations = violations_of(flows, request, paths)
  if #violations > 0 then
    return nil, errors.validation(where, violations, "not_sent")
  end
  return request
end

--- Reads what a caller wants to list.
-- @tparam table flows
-- @tparam table input see docs/workflows.md
-- @tparam number level of the caller, as of `error` in this function
-- @treturn string the external listing id
-- @treturn table request
-- @treturn string the first step
-- @treturn[2] nil
-- @treturn[2] table err of kind `validation`, its outcome `not_sent`
-- @raise for an unknown, missing or wrong option
function selling.begin(flows, input, level)
  local given = check.read(input, selling.rules, "workflows.sell", level + 1)
  local request, err = selling.request_of(flows, given, level + 1, "sell")
  if not request then
    return nil, err
  end
  return given.external_listing_id, request, "seats"
end

-- --- the steps ----------------------------------------------------------------------------------------------------

local steps = {}

-- What a dead process had begun is tried again by `resume` as long as that may help; somebody who waits is told, and
-- may try again himself.
local function is_final(run, err)
  return not run.is_broken and not (run.is_resumed and err.retryable)
end

-- Nothing of it is left locked.
local function give_up(run, err)
  if not is_final(run, err) then
    return nil, err
  end
  return run:fail(err)
end

-- Ends a run that has not put its listing up: what it has locked is unlocked before, and the delisting forgets it.
local function take_back(run, err)
  run:keep_error(err)
  locking.give_back(run)
  return run:go("undo", "undoing")
end

-- What a dead process left is listed by whoever resumes it, but not after so long: its price is an old one, and nobody
-- waits for it. A person who settles it means it.
local function is_too_late(flows, run)
  return not run.is_settled and run.record.state == "running" and run:is_too_late(flows.resume_within_ms)
end

local function late_error()
  return errors.new { kind = "timeout", operation = "workflows.sell", outcome = "not_sent", attempts = 0,
    retryable = false, message = "the listing was left for so long that it was not put up" }
end

function steps.seats(flows, run, lost)
  if is_too_late(flows, run) then
    return take_back(run, late_error())
  end
  -- Who died here may have got as far as telling the delisting of the seats.
  run.data.was_left = run.data.was_left or lost ~= nil or nil
  local found, err = locking.find(flows, run)
  if found then
    return run:go("lock")
  elseif run.data.was_left and is_final(run, err) then
    return take_back(run, err)
  end
  return give_up(run, err)
end

local function result_of(run)
  local request, seats, tokens = run.request, locking.locked_seats(run), {}
  for i, seat in ipairs(seats) do
    tokens[i] = seat.token
  end
  return { id = run.id, listing_id = request.listing_id, tokens = tokens, seats = seats, price = request.price,
    seller_ids = run.data.seller_ids, total_price = locking.total_price(request, #seats),
    failed = #run.data.failed > 0 and run.data.failed or nil }
end

-- Where a seller belongs to the lock, he stays as long as the listing is up: without him nobody could find out whether
-- a seat is still locked for it.
local function finish_up(run)
  run.data.seller = run.request.seller
  return run:finish("done", result_of(run), true)
end

function steps.lock(flows, run)
  if is_too_late(flows, run) then
    return take_back(run, late_error())
  end
  local locked, err, needs_undo = locking.lock(flows, run)
  if locked then
    return finish_up(run)
  elseif not is_final(run, err) then
    return nil, err
  elseif err.in_doubt then
    run:go("lock", "in_doubt")
    return nil, err
  elseif not needs_undo then
    return run:fail(err)
  end
  run:keep_error(err)
  return run:go("undo", "undoing")
end

-- Seats that were sold, or of which nobody knows whose they are, are for a person to look at.
local function is_for_a_person(err)
  return err.in_doubt or err.is_sold or false
end

function steps.undo(flows, run)
  local unlocked, err = locking.unlock(flows, run)
  if unlocked then
    return run:fail(run:kept_error())
  elseif run.is_broken then
    return nil, err
  end
  run:note("undo_failed", { kind = err.kind, status = err.status })
  run:go("undo", is_for_a_person(err) and "in_doubt" or "undoing")
  return nil, run.is_resumed and err or run:kept_error()
end

function steps.delist(flows, run)
  local unlocked, err = locking.unlock(flows, run)
  if unlocked then
    return run:finish("delisted", { id = run.id, tokens = run.data.unlocked or {} })
  elseif run.is_broken then
    return nil, err
  elseif not err.is_sold then
    run:go("delist", err.in_doubt and "in_doubt" or "undoing")
    return nil, err
  end
  run:keep_error(err)
  return run:finish("done", { id = run.id, tokens = run.data.sold })
end

-- --- in words -----------------------------------------------------------------------------------------------------

-- "1 seat is", "2 seats are"; only the seats without a verb.
local function count(list, one, many)
  local number = type(list) == "table" and #list or 0
  local verb = number == 1 and one or many
  return ("%d seat%s%s"):format(number, number == 1 and "" or "s", verb and " " .. verb or "")
end

local function of_lock(record)
  local data = record.data
  if data.sending and record.state == "in_doubt" then
    return ("Nobody can tell whether %s locked for it: the answer is missing, or says too little. The same lock is "
      .. "sent again by resume; nothing is unlocked meanwhile, for it could be the lock of another marketplace.")
      :format(count(data.sending, "is", "are"))
  elseif data.sending then
    return ("%s locked of %d, and the answer for %s is not written down. The same lock is sent again."):format(
      count(data.locked, "was", "were"), #data.seats, count(data.sending))
  end
  return ("%s being locked."):format(count(data.seats, "is", "are"))
end

local function of_unlock(record)
  local data = record.data
  local open = count(data.locked, "is", "are")
  if data.sold then
    return ("%s sold meanwhile and cannot be unlocked."):format(count(data.sold, "was", "were"))
  elseif record.state == "in_doubt" then
    return ("Nobody can tell whether %s still locked for it, so nothing is done about that; %s still to be unlocked.")
      :format(count(data.releasing, "is", "are"), open)
  elseif data.releasing then
    return ("%s still to be unlocked, and for %s the answer is not written down."):format(open, count(data.releasing))
  end
  return ("%s still to be unlocked."):format(open)
end

local function of_end(record)
  local result = record.result or {}
  if record.state == "sold" then
    return "Sold as a whole."
  elseif record.state == "delisted" then
    return "Taken down; its seats are not locked for it any more."
  elseif record.state == "failed" then
    return "Not on sale; none of its seats is locked for it."
  elseif record.error then
    return ("It was to be taken down, but %s sold."):format(count(result.tokens, "was", "were"))
  end
  return ("On sale with %s%s."):format(count(result.tokens),
    result.failed and (", and %s could not be locked"):format(count(result.failed)) or "")
end

local WORDS = {
  seats = function() return "Its seats are being looked up; nothing is locked." end,
  lock = of_lock,
  undo = function(record) return "Not all seats could be locked, so none is to stay locked: " .. of_unlock(record) end,
  delist = function(record) return "It is being taken down: " .. of_unlock(record) end,
}

local function tell(record)
  local head = ("Listing %s: "):format(record.id)
  if record.ended_ms then
    return head .. of_end(record)
  end
  return head .. WORDS[record.step](record) .. telling.trouble(record)
end

-- --- the kind -----------------------------------------------------------------------------------------------------

-- A listing that failed holds nothing, so the same call may try once more.
local function starts_anew(record)
  local data = record.data
  return #(data.locked or {}) == 0 and not data.sending and not data.releasing
end

--- The kind of run, for `paciolan.workflow.flows`.
selling.sell = { name = "sell", space = "listing", begin = selling.begin, steps = steps, tell = tell,
  starts_anew = starts_anew, decide = locking.decide }

-- --- delist -------------------------------------------------------------------------------------------------------

local DELIST = {
  external_listing_id = { check.text, required = true }, tokens = { a_list_of_texts }, organization_id = { check.text },
  after_unlock = { check.a_boolean },
}

local function read_delist(_, input, level)
  local given = check.read(input, DELIST, "workflows.delist", level + 1)
  return given.external_listing_id, given
end

local function invalid(rule, message)
  local problem = { path = "/tokens", rule = rule, message = message }
  return nil, errors.validation("workflows.delist", { problem }, "not_sent")
end

-- A listing from before there was a journal, or that it has forgotten by now.
local function adopt(run, request)
  if not request.tokens then
    return invalid("required", "are required for a listing that the journal does not know")
  end
  run.data.locked, run.data.named = request.tokens, request.tokens
  run.data.lock_as = { external_listing_id = request.external_listing_id, organization_id = request.organization_id }
  locking.give_back(run, request.after_unlock)
  return run:go("delist", "undoing")
end

-- Seats that the listing does not hold are not unlocked on its account.
local function knows(run, tokens)
  local known = {}
  for _, seat in ipairs(run.data.seats or {}) do
    known[seat.token] = true
  end
  for _, token in ipairs(run.data.named or {}) do
    known[token] = true
  end
  for _, token in ipairs(tokens or {}) do
    if not known[token] then
      return false
    end
  end
  return true
end

local function sold_error()
  return errors.new { kind = "http", operation = "tickets.unlock", outcome = "rejected", attempts = 0,
    retryable = false, message = "the listing is sold, so there is nothing to unlock" }
end

-- A listing comes down as a whole. Does a caller who names seats name all that it still holds?
local function is_whole(run, tokens)
  local data, is_named = run.data, {}
  for _, token in ipairs(tokens or {}) do
    is_named[token] = true
  end
  for _, name in ipairs(tokens and { "locked", "sending", "releasing" } or {}) do
    for _, token in ipairs(data[name] or {}) do
      if not is_named[token] then
        return false
      end
    end
  end
  return true
end

local function apply(run, request)
  if run.record.writes == 0 then
    return adopt(run, request)
  elseif not knows(run, request.tokens) then
    return invalid("known", "name seats that are not in the listing, which the journal knows")
  elseif not is_whole(run, request.tokens) then
    return invalid("whole", "name a part of the listing, which comes down as a whole; without them it does")
  elseif request.after_unlock and run.record.state == "sold" then
    return nil, sold_error() -- it was the sale that unlocked them
  end
  locking.give_back(run, request.after_unlock)
  run.record.error = nil
  if run:is_ended() then
    run:reopen("delist", "undoing")
  else
    run:go("delist", "undoing")
  end
  return true
end

--- The last phase of a listing, for `paciolan.workflow.flows`: `read` reads what a caller gives, `apply` turns the run,
-- which is new for a listing that the journal does not know, to the step `delist`.
selling.delist = { read = read_delist, apply = apply }

return selling
