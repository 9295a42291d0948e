--- The end of a torture run: the journal against the sandbox's ledger and its seats, one by one.
-- @module support.torture_check
local plan = require("support.torture_plan")

local torture_check = {}

local function set_of(list)
  local set = {}
  for _, item in ipairs(list or {}) do
    set[item] = true
  end
  return set
end

local function is_same(list, other)
  local set, count = set_of(list), 0
  for _, item in ipairs(other) do
    count = count + (set[item] and 1 or 0)
  end
  return count == #other and #list == #other
end

local function group_by(list, name)
  local groups = {}
  for _, entry in ipairs(list) do
    local key = entry[name]
    if type(key) == "string" then
      groups[key] = groups[key] or {}
      table.insert(groups[key], entry)
    end
  end
  return groups
end

local Check = {}
Check.__index = Check

function Check:violate(id, message, ...)
  local entry = self.runs[id]
  local said = entry and ("%s, evidence: %s"):format(entry.state, table.concat(entry.evidence, " ")) or "nothing"
  table.insert(self.violations, ("%s: %s; the journal says: %s"):format(id, message:format(...), said))
end

function Check:count(name, state)
  self.counts[name] = self.counts[name] or {}
  self.counts[name][state] = (self.counts[name][state] or 0) + 1
end

-- --- purchases ----------------------------------------------------------------------------------------------------

local function complete_of(orders)
  local list = {}
  for _, order in ipairs(orders or {}) do
    list[#list + 1] = order.status == "COMPLETE" and order or nil
  end
  return list
end

local function check_done(self, entry, orders)
  local complete = complete_of(orders)
  if #complete ~= 1 then
    return self:violate(entry.id, "done, and the ledger has %d orders that are COMPLETE", #complete)
  elseif not is_same(complete[1].tokens, entry.tokens) then
    return self:violate(entry.id, "its seats are not those that the ledger has as sold")
  elseif not is_same(entry.printed, entry.tokens) then
    self:violate(entry.id, "not all of its tickets are printed")
  end
  for _, token in ipairs(entry.tokens) do
    local seat = self.seats[token]
    if seat.externalOrderId ~= entry.id or not seat.printed then
      self:violate(entry.id, "seat %s is not sold under it, or not printed", token)
    end
  end
end

local function is_open(order)
  return order.status == "COMPLETE" or order.status == "PENDING"
end

local function check_unsold(self, id, orders)
  for _, order in ipairs(orders or {}) do
    if is_open(order) then
      self:violate(id, "the ledger has an order that is %s", order.status)
    end
  end
end

local function check_doubt(self, entry)
  if #entry.evidence == 0 then
    self:violate(entry.id, "in doubt without evidence")
  end
end

local function check_order(self, id)
  local entry, orders = self.runs[id], self.orders[id]
  if orders and #orders > 1 then
    self:violate(id, "%d orders came to the service", #orders)
  end
  if not entry or entry.state == "failed" then
    check_unsold(self, id, orders)
  elseif entry.state == "done" then
    check_done(self, entry, orders)
  elseif entry.state == "in_doubt" then
    check_doubt(self, entry)
    self:count("in doubt", entry.kind)
    if #complete_of(orders) > 0 then -- the owners of its seats, which can be read, say so
      self:violate(id, "sold, and still in doubt")
    end
  else
    self:violate(id, "it has not ended")
  end
end

local function check_no_doubled_seat(self)
  local sold = {}
  for id, orders in pairs(self.orders) do
    for _, order in ipairs(complete_of(orders)) do
      for _, token in ipairs(order.tokens) do
        if sold[token] then
          self:violate(id, "seat %s is also sold under %s", token, sold[token])
        end
        sold[token] = id
      end
    end
  end
end

-- --- listings -----------------------------------------------------------------------------------------------------

local function check_listing(self, entry)
  if entry.state == "done" or entry.state == "sold" then
    for _, token in ipairs(entry.tokens) do
      local seat = self.seats[token]
      local is_listed = entry.state == "done" and seat.externalListingId == entry.id
      if not is_listed and not seat.externalOrderId then
        self:violate(entry.id, "on sale, and seat %s is neither locked for it nor sold", token)
      end
    end
  elseif entry.state == "in_doubt" then
    check_doubt(self, entry)
  elseif entry.state ~= "failed" and entry.state ~= "delisted" then
    self:violate(entry.id, "it has not ended")
  end
end

-- Whose run a lock belongs to: that of the listing, or the purchase that does all of it.
local function check_locks(self)
  for token, seat in pairs(self.seats) do
    local id = seat.externalListingId
    if type(id) == "string" then
      local listing, order = self.runs[id], self.runs[id:gsub("^L", "O")]
      local holds = listing and (listing.state == "in_doubt"
        or (listing.state == "done" and set_of(listing.tokens)[token]))
      holds = holds or (not listing and order and order.kind == "fulfil" and order.state == "in_doubt")
      if not holds then
        self:violate(listing and id or id:gsub("^L", "O"), "seat %s is still locked for %s", token, id)
      end
    end
  end
end

-- --- transfers ----------------------------------------------------------------------------------------------------

local function check_transfer(self, id)
  local entry, made = self.runs[id], self.transfers[id] or {}
  local status = made[1] and made[1].status
  if #made > 1 then
    self:violate(id, "%d transfers came to be", #made)
  elseif not entry or entry.state == "failed" then
    if #made > 0 then
      self:violate(id, "the ledger has a transfer that is %s", status)
    end
  elseif entry.state == "done" then
    if #made ~= 1 or (entry.accepted and status ~= "accepted") or status == "Cancelled" then
      self:violate(id, "done, and the ledger has it as %s", tostring(status))
    end
  elseif entry.state == "canceled" then
    if status and status ~= "Cancelled" then
      self:violate(id, "canceled, and the ledger has it as %s", status)
    end
  elseif entry.state == "in_doubt" then
    check_doubt(self, entry)
    self:count("in doubt", "transfer" .. (#made > 0 and ", made" or ", not made"))
  else
    self:violate(id, "it has not ended")
  end
end

-- --- what callers were told ---------------------------------------------------------------------------------------

local REOPENED = { callback_came = true, seat_message = true }

local function was_reopened(entry)
  for _, what in ipairs(entry.evidence) do
    if REOPENED[what] then
      return true
    end
  end
  return entry.attempt > 1
end

local ID_OF = { sell = "L-", delist = "L-", buy = "O-", fulfil = "O-", transfer = "T-", cancel = "T-" }
local MAY_BE = {
  sell = { done = true, delisted = true, sold = true }, delist = { delisted = true },
  buy = { done = true }, fulfil = { done = true },
  transfer = { done = true, canceled = true }, cancel = { canceled = true },
}

local function check_told(self, line)
  local id = ID_OF[line.call] .. ("%d"):format(line.slot)
  local entry = self.runs[id]
  if line.is_done and not (entry and MAY_BE[line.call][entry.state]) and not (line.call == "sell" and entry
    and self.delisted[line.slot]) then
    self:violate(id, "whoever called %s was told that it is done", line.call)
  elseif line.state == "failed" and entry and entry.state == "done" and not was_reopened(entry) then
    self:violate(id, "whoever called %s was told that it failed", line.call)
  end
end

-- --- all ----------------------------------------------------------------------------------------------------------

local ONCE = { ["orders.complete"] = true, ["transfers.initiate"] = true, ["transfers.accept"] = true }

local function check_commits(self, commits)
  local seen = {}
  for _, commit in ipairs(commits) do
    local key = commit.requestId
    if ONCE[commit.operation] and type(key) == "string" then
      if seen[key] then
        self:violate(commit.operation, "request %s was done twice", key)
      end
      seen[key] = true
    end
  end
end

local function check_slots(self, settings)
  for slot = settings.first, settings.last do
    check_order(self, "O-" .. slot)
    if self.runs["L-" .. slot] then
      check_listing(self, self.runs["L-" .. slot])
    end
    check_transfer(self, "T-" .. slot)
    if plan.slot(settings, settings.size, slot).how == "delist" then
      self.delisted[slot] = true
    end
  end
end

-- A run that has ended is not carried on; nobody else may end it, unless a message has opened it again.
local function check_resumed(self, line)
  for _, name in ipairs(line.ended or {}) do
    local id = name:match("%S+$")
    local before, entry = self.ended[name], self.runs[id]
    if before and not (entry and was_reopened(entry)) then
      self:violate(id, "ended by two who resumed, %d and %d", before, line.process)
    end
    self.ended[name] = line.process
  end
end

local TALLIES = { kill = "kills", judged = "decided by a person",
  raid = "raids", begin = "slots begun", resume = "passes of resume" }

--- Compares.
-- @tparam table known `settings` (with `size`), `world`, `ledger`, `report` and `told` (lists of entries)
-- @treturn table `violations`, a list of texts; `counts`, by kind and state; `tallies`, by name
function torture_check.run(known)
  local self = setmetatable({ violations = {}, counts = {}, runs = {}, seats = {}, delisted = {}, tallies = {},
    ended = {}, orders = group_by(known.ledger.orders, "externalOrderId"),
    transfers = group_by(known.ledger.transfers, "externalTransferId") }, Check)
  for _, seat in ipairs(known.world.seats) do
    self.seats[seat.token] = seat
  end
  for _, entry in ipairs(known.report) do
    if entry.id then
      self.runs[entry.id] = entry
      self:count(entry.kind, entry.state)
    end
  end
  check_slots(self, known.settings)
  check_no_doubled_seat(self)
  check_locks(self)
  check_commits(self, known.ledger.commits)
  for _, line in ipairs(known.told) do
    local name = TALLIES[line.what]
    if name then
      self.tallies[name] = (self.tallies[name] or 0) + 1
    elseif line.what == "told" then
      check_told(self, line)
    end
    check_resumed(self, line)
  end
  self.tallies["runs ended by resume"] = 0
  for _ in pairs(self.ended) do
    self.tallies["runs ended by resume"] = self.tallies["runs ended by resume"] + 1
  end
  return { violations = self.violations, counts = self.counts, tallies = self.tallies }
end

return torture_check
