--- Runs in words, for people. No word of it names a person, a token or a secret; ids and times it does name.
-- @module paciolan.workflow.telling
local telling = {}

--- A time as it is written in journals and told to people.
-- @tparam number ms unix milliseconds
-- @treturn string such as `2026-11-22T14:03:05Z`
function telling.time(ms)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(ms / 1000))
end

-- "2 seats".
local function count(list)
  local number = type(list) == "table" and #list or 0
  return ("%d seat%s"):format(number, number == 1 and "" or "s")
end

local function last_step(record, name)
  for i = #record.steps, 1, -1 do
    if record.steps[i].name == name then
      return record.steps[i]
    end
  end
end

--- Why it stopped where it stands: the latest answer that was a failure.
-- @tparam table record
-- @treturn string empty when there is none, else it begins with a space
function telling.trouble(record)
  local entry = record.steps[#record.steps]
  if not entry or entry.state ~= "failed" then
    return ""
  end
  local status = entry.status and (" (HTTP %d)"):format(entry.status) or ""
  local kind = entry.kind or "an error"
  return (" The latest try, at %s, failed with %s%s."):format(telling.time(entry.at_ms), kind, status)
end

local function of_purchase(record)
  local listing, seats = record.data.external_listing_id, record.data.tokens or record.data.seats
  return seats and ("%s of listing %s"):format(count(seats), listing) or ("for listing %s"):format(listing)
end

-- Was the latest step sent, and has nobody written down what came of it?
local function is_under_way(record)
  local entry = record.steps[#record.steps]
  return entry ~= nil and entry.state == "sending" and entry.name == record.step
end

local function evidence_of(record)
  local words = {
    owners_unchanged = "the owners of the seats were unchanged", owners_changed = "all seats have another owner",
    some_owners_changed = "some seats have another owner", owners_untold = "the service does not tell all owners",
    owners_unread = "the owners could not be read", print_refused = "the tickets were refused for this order",
    poll_failed = "the process could not be asked for", seat_message = "a message about a seat came",
    sold_by_the_unlock = "the unlock of the seats was refused, because they are sold",
  }
  local latest
  for _, entry in ipairs(record.evidence) do
    if words[entry.what] and (not latest or entry.last_ms >= latest.last_ms) then
      latest = entry
    end
  end
  return latest and ((" At %s %s."):format(telling.time(latest.last_ms), words[latest.what])) or ""
end

local function doubt(record)
  local sent_ms = record.data.sent_at_ms or record.updated_ms
  if record.data.process_id then
    return ("The order was sent at %s and the service works on it as process %s.%s Its end is asked for by resume and "
      .. "settle."):format(telling.time(sent_ms), record.data.process_id, evidence_of(record))
  end
  return ("The order was sent at %s, and its answer is missing: nobody can say yet whether it was sold.%s It is not "
    .. "sent again; resume and settle look for evidence."):format(telling.time(sent_ms), evidence_of(record))
end

local function of_order(record)
  local entry = last_step(record, "order")
  if is_under_way(record) then
    return ("The order was being sent at %s, and its answer is not written down."):format(telling.time(entry.at_ms))
  elseif record.data.is_ordered then
    return ("The order was sent at %s, and what came of it is still to be worked off."):format(
      telling.time(record.data.sent_at_ms))
  end
  return "The order is about to be sent."
end

local ENDS = { done = "Sold, and the tickets are printed.", failed = "Not sold." }

local function of_end(record)
  local missing = #(record.data.bought or {}) - #(record.data.tickets or {})
  if record.state == "done" and missing > 0 then
    return ("Sold; %d of its tickets could not be printed."):format(missing)
  end
  return record.state == "done" and record.error and "A part was sold and printed." or ENDS[record.state]
end

local PURCHASE = {
  seats = "The seats of the listing are being read; nothing was sent that changes anything.",
  lock = "The seats are being locked; the order was not sent.",
  owners = "The owners of the seats are being read; the order was not sent.",
  wait = "The order is being worked on by the service.",
  print = "Sold; the tickets are being printed.",
  close = "Sold and printed; only the journal has to be closed.",
  undo = "Not sold; what was locked for it is being unlocked.",
}

-- Steps of an attempt that has not ordered yet.
local IS_BEFORE = { seats = true, lock = true, owners = true, order = true }
local UNTOLD_ORDER = " That is about this attempt: nobody knows what became of the order of an earlier one."

--- A purchase.
-- @tparam table record
-- @treturn string
function telling.purchase(record)
  local head = ("Order %s, %s: "):format(record.id, of_purchase(record))
  if record.ended_ms then
    return head .. of_end(record)
  elseif record.state == "in_doubt" and record.step == "settle" then
    return head .. doubt(record)
  elseif record.step == "undo" and record.data.bought then
    return head .. "A part was sold; the seats that were not are being unlocked." .. telling.trouble(record)
  end
  local before = record.data.was_doubtful and IS_BEFORE[record.step] and UNTOLD_ORDER or ""
  if record.step == "order" then
    return head .. of_order(record) .. before
  end
  local words = PURCHASE[record.step] or ("It stands at step %s."):format(record.step)
  if record.step == "wait" and record.data.process_id then
    words = ("The order is being worked on by the service as process %s."):format(record.data.process_id)
  end
  return head .. words .. before .. telling.trouble(record)
end

local TRANSFER = {
  owners = "the owners of the seats are being read; nothing was offered in this attempt.",
  wait = "the service took the offer and works on it.",
  accept = "the seats are offered; the transfer is being accepted for its recipient.",
  cancel = "the offer is being taken back.",
}

local TRANSFER_ENDS = {
  done = "the seats were offered to their recipient, who may accept them.",
  failed = "not offered.",
  canceled = "cancelled; the seats stay with their owner.",
}

local REFUSED = "the seats were offered to their recipient. Accepting for him was refused, and its history shows that "
  .. "nobody has accepted: he may still do it himself while the offer stands, or it can be cancelled."
local UNTOLD_BEFORE = " Nobody knows whether an earlier attempt has offered them."
local ENDED_OFFER = "offered, not accepted, and not offered any more."

local function transfer_end(record)
  if record.state == "done" and record.data.accepted then
    return "accepted; the seats belong to their recipient."
  elseif record.state == "done" and record.error then
    return REFUSED
  end
  return record.state == "failed" and record.data.is_over and ENDED_OFFER or TRANSFER_ENDS[record.state]
end

local function transfer_doubt(record)
  if record.data.process_id then
    return ("the service works on the offer as process %s, or has lost it. Its end is asked for by resume and settle.")
      :format(record.data.process_id)
  end
  return "the answer to the offer is missing: nobody can say yet whether the seats are offered to their recipient. It "
    .. "is not sent again. New owners of the seats would show that it was accepted; otherwise a person has to look."
end

local function of_offer(record)
  local entry = record.steps[#record.steps]
  if entry and entry.name == "initiate" and entry.state == "sending" then
    return ("the seats were being offered at %s, and the answer is not written down."):format(telling.time(entry.at_ms))
  end
  return "the seats are about to be offered."
end

--- A transfer.
-- @tparam table record
-- @treturn string
function telling.transfer(record)
  local head = ("Transfer %s: "):format(record.id)
  if record.ended_ms then
    return head .. transfer_end(record)
  elseif record.step == "settle" then
    return head .. transfer_doubt(record)
  end
  local before = record.data.carried and UNTOLD_BEFORE or ""
  if record.step == "initiate" then
    return head .. of_offer(record) .. before
  elseif record.step == "owners" then
    return head .. TRANSFER.owners .. before
  end
  return head .. (TRANSFER[record.step] or ("it stands at step %s."):format(record.step)) .. telling.trouble(record)
end

return telling
