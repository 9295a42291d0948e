--- What happens in a torture run: everything is drawn from the seed, the number of the slot and the number of the
-- request in it, so that the same seed brings the same again.
--
-- A run has slots, six to a group: five purchases, then a transfer of what a purchase of an earlier group has sold. A
-- slot is known by its number, and so are its ids: listing `L-7`, order `O-7`, transfer `T-7`.
-- @module support.torture_plan
local ids = require("paciolan.sandbox.ids")

local plan = {}

local GROUP = 6
local SEATS_PER_SLOT = 3
local BIG = 110 -- seats: more than one lock and more than three prints can take
local FAULTY_SHARE = 30 -- of the requests of a slot that is not clean, in a hundred
local CLEAN_SHARE = 30
local JUDGED_SHARE = 92 -- of what stays in doubt a person decides so much

--- How long the sandbox works on what is PENDING, in seconds of its clock; and on what is to outlast every patience.
plan.PENDING_S, plan.LATE_S = 300, 2500

local function percent(draw, share)
  return draw:below(1000) < share * 10
end

-- --- slots --------------------------------------------------------------------------------------------------------

--- How large a run is.
-- @tparam number runs purchases that are wanted
-- @treturn table `slots`, `groups`, `runs`, `bigs`, and how many `seats` the extra event must have
function plan.size(runs)
  local groups = math.max(3, math.ceil(runs / (GROUP - 1)))
  local bigs = math.max(1, math.floor(runs / 1000))
  return { runs = runs, groups = groups, slots = groups * GROUP, bigs = bigs,
    seats = groups * GROUP * SEATS_PER_SLOT + bigs * BIG }
end

-- The how manieth of `count` things that are spread over all groups belongs to this one; nil for none.
local function turn_of(group, groups, count)
  for k = 1, count do
    if math.floor((k - 0.5) * groups / count) == group then
      return k
    end
  end
end

-- Where the extra seats of a slot begin, and how many there are.
local function seats_of(slot, count)
  local list = {}
  for i = 1, count do
    list[i] = (slot - 1) * SEATS_PER_SLOT + i
  end
  return list
end

local function big_seats(size, turn)
  local list = {}
  for i = 1, BIG do
    list[i] = size.slots * SEATS_PER_SLOT + (turn - 1) * BIG + i
  end
  return list
end

local function how_of(draw)
  local at = draw:below(100)
  return at < 52 and "list" or at < 90 and "fulfil" or at < 96 and "delist" or "partial"
end

-- About as many as there are in a slot. The pivot is the order, or the offer of a transfer.
local MOST = { write = 24, request = 7, pivot = 1 }
local PLACES = { "write", "request", "pivot" }

local function kill_of(draw, share)
  if percent(draw, share) then
    local where = draw:pick(PLACES)
    return { where = where, side = draw:below(2) == 0 and "before" or "after", at = 1 + draw:below(MOST[where]) }
  end
end

local RIVALS = { "rival_buy", "rival_list", "rival_fulfil" }

local function purchase(settings, size, slot)
  local draw = ids.stream(settings.seed, ("plan/%d"):format(slot))
  local group, position = math.floor((slot - 1) / GROUP), (slot - 1) % GROUP + 1
  local entry = { slot = slot, kind = "purchase", how = how_of(draw), count = 1 + draw:below(SEATS_PER_SLOT),
    by = draw:below(2) == 0 and "barcodes" or "tokens", source = draw:below(2) == 0 and "BROKER" or "INDIVIDUAL",
    has_callback = percent(draw, 15), goes_nowhere = percent(draw, 5), is_clean = percent(draw, CLEAN_SHARE),
    is_late = percent(draw, 1), is_lost = percent(draw, 4), is_raided = percent(draw, 30),
    buys_anyway = percent(draw, 30), asks_again = percent(draw, 30), is_judged = percent(draw, JUDGED_SHARE),
    kill = kill_of(draw, settings.kill_share) }
  entry.seats = seats_of(slot, entry.count)
  local big = position == 2 and turn_of(group, size.groups, size.bigs)
  local account = position == 3 and turn_of(group, size.groups, settings.accounts)
  if big then
    entry.how, entry.seats = draw:below(2) == 0 and "list" or "fulfil", big_seats(size, big)
  elseif account then
    entry.how, entry.account, entry.seats = draw:below(2) == 0 and "list" or "fulfil", account, {}
  elseif position == 5 and percent(draw, 30) then
    entry.how, entry.rival_of = draw:pick(RIVALS), slot - 1
    entry.seats = plan.slot(settings, size, slot - 1).seats
  end
  -- What takes longer than anybody waits for it is made good by its callback, and by nothing else.
  entry.is_late = entry.is_late and not (big or account or entry.rival_of)
  if entry.is_late then
    entry.has_callback, entry.goes_nowhere, entry.is_raided = true, false, false
  end
  return entry
end

local function transfer(settings, slot)
  local draw = ids.stream(settings.seed, ("plan/%d"):format(slot))
  local group = math.floor((slot - 1) / GROUP)
  return { slot = slot, kind = "transfer", first = math.max(0, group - 2) * GROUP + 1, accept = percent(draw, 40),
    is_canceled = percent(draw, 12), has_callback = percent(draw, 15), is_clean = percent(draw, CLEAN_SHARE),
    asks_again = percent(draw, 30), is_judged = percent(draw, JUDGED_SHARE), kill = kill_of(draw, settings.kill_share) }
end

--- What is to be done in a slot.
-- @tparam table settings `seed`, `accounts` (how many listings of MyAccount are sold), `kill_share` in a hundred
-- @tparam table size as of `size`
-- @tparam number slot
-- @treturn table a purchase: `how`, `seats` (places in the list of extra seats), `rival_of`, …; or a transfer: `first`,
-- the slot from which on a purchase is looked for
function plan.slot(settings, size, slot)
  return slot % GROUP == 0 and transfer(settings, slot) or purchase(settings, size, slot)
end

-- --- what goes wrong ----------------------------------------------------------------------------------------------

local COMMON = { "reset=before", "reset=after", "close=before", "close=after", "status=503", "status=503;after",
  "status=502;after", "html=502;after", "html=200;after", "unhandled", "unhandled;after", "rate_limit=0", "truncate",
  "empty=200", "empty=200;after", "status=408;after", "status=400", "status=422", "truncate=0", "delay=SOON" }
local PARTIAL = { ["orders.complete"] = true, ["tickets.lock"] = true, ["tickets.unlock"] = true,
  ["tickets.verify"] = true }
local PENDING = { ["orders.complete"] = true, ["transfers.initiate"] = true }
local POLLS = { "1", "2", "999" }
local LATE_SHARE = 1.5 -- of the faults: each costs the time that a client waits

--- How one request is treated.
-- @tparam string seed
-- @tparam string context the slot, or who resumes
-- @tparam string operation
-- @tparam number count the how manieth request of this operation in the context
-- @tparam boolean is_clean no faults
-- @treturn table `fault`, `pending`, `outcome`: values of the sandbox's headers
function plan.treatment(seed, context, operation, count, is_clean)
  local draw = ids.stream(seed, ("request/%s/%s/%d"):format(context, operation, count))
  local wish = {}
  if PENDING[operation] and percent(draw, is_clean and 20 or 40) then
    wish.pending = draw:pick(POLLS)
  end
  if is_clean or operation == "auth.token" then
    return wish
  end
  wish.outcome = PENDING[operation] and percent(draw, 8) and "error" or nil
  if percent(draw, FAULTY_SHARE) then
    wish.fault = percent(draw, LATE_SHARE) and "delay=LATE" or PARTIAL[operation] and percent(draw, 25) and "partial"
      or draw:pick(COMMON)
  end
  return wish
end

--- How an operation of the journal's store ends.
-- @treturn ?string `fail`, `lost`, or nil for well
function plan.store_end(seed, context, count, is_clean)
  local draw = ids.stream(seed, ("store/%s/%d"):format(context, count))
  return not is_clean and percent(draw, 0.4) and draw:pick { "fail", "lost" } or nil
end

--- Do the messages of the service reach the workflows? Without them nothing makes good what was decided too early.
function plan.hears_messages(seed)
  return percent(ids.stream(seed, "messages"), 50)
end

--- Where a process that resumes dies, if it does.
function plan.kill_in_resume(settings, process)
  local kill = kill_of(ids.stream(settings.seed, "resume/" .. process), settings.kill_share > 0 and 15 or 0)
  if kill then
    kill.at = kill.at * 2
  end
  return kill
end

--- What happens between two processes.
-- @treturn table `wait_s`: how long nobody does anything; `is_double`: two processes resume at once; `restarts`: the
-- store's own server is restarted
function plan.pause(settings, process)
  local draw = ids.stream(settings.seed, "pause/" .. process)
  local at = draw:below(100)
  return { wait_s = at < 60 and 10 or at < 88 and 60 + draw:below(340) or 1000, is_double = percent(draw, 20),
    restarts = percent(draw, 30) }
end

return plan
