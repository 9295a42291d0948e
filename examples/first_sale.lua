-- The whole trade of a ticket marketplace, against the built-in sandbox:
-- authorise, list, lock, sell, print, transfer, cancel, unlock, and what it
-- looks like when something is wrong. Run it with `make demo`.
--
-- It starts a sandbox of its own and needs no account. Against the real
-- service only the first lines change: paciolan.from_env() in place of
-- paciolan.new(...).
local paciolan = require "paciolan"
local sandbox = require "paciolan.sandbox.child"

-- --- telling the story ----------------------------------------------------------------------------------------------

local steps = 0

local function tell(step, format, ...)
  steps = steps + 1
  print(("%2d  %-15s %s"):format(steps, step, format:format(...)))
end

local function money(amount)
  return ("$%.2f"):format(amount)
end

local function place(seat)
  return ("%s row %s seat %s"):format(seat.section, seat.row, seat.seat)
end

-- Ends the story at the first thing that is not as told.
local function expect(condition, format, ...)
  if not condition then
    error("the story broke off: " .. format:format(...), 2)
  end
end

local function expect_result(result, err)
  expect(result ~= nil, "%s", tostring(err))
  return result
end

-- Polls while the service says PENDING. Returns the final answer and what was seen on the way.
local function wait_for(first, state_field, poll)
  local answer, polls = first, 0
  while answer[state_field] == "PENDING" and polls < 20 do
    os.execute("sleep 0.2")
    polls = polls + 1
    answer = expect_result(poll(answer.processId))
  end
  expect(answer[state_field] == "COMPLETE", "expected COMPLETE, saw %s", answer[state_field])
  return answer, polls == 0 and "COMPLETE at once" or ("PENDING, COMPLETE at poll %d"):format(polls)
end

local PRICE = 60

-- --- the story ------------------------------------------------------------------------------------------------------

local function authorise(link)
  local token = expect_result(link.auth:token())
  tell("authorise", "the authorization code became a %s token, good until %s", token.tokenType,
    token.expiration:sub(1, 19))
end

local function look_at_events(link)
  local events = expect_result(link.catalog:events { startDate = "2026-01-01" })
  expect(#events > 0, "there are no events")
  tell("events", "%d on sale, first %s on %s at the %s", #events, events[1].itemName, events[1].startDate,
    events[1].facilityName)
end

local function open_listing(link)
  local listing = expect_result(link.listings:get("A3qnemZ"))[1]
  local seats = {}
  for _, ticket in ipairs(listing.tickets) do
    for _, seat in ipairs(ticket.seats) do
      seats[#seats + 1] = seat
    end
  end
  expect(#seats == 2, "listing %s should hold 2 seats", listing.listingId)
  tell("listing", "%s offers %s and %s", listing.listingId, place(seats[1]), place(seats[2]))
  return seats
end

local function lock(link, listing_id, seats)
  local tokens = {}
  for i, seat in ipairs(seats) do
    tokens[i] = { token = seat.token, individualPrice = PRICE }
  end
  return link.tickets:lock {
    source = "MY_ACCOUNT",
    listing = { externalListingId = listing_id, totalPrice = PRICE * #seats, tokens = tokens },
  }
end

local function lock_for_sale(link, seats)
  local locked = expect_result(lock(link, "L-1", seats))
  expect(#locked.success == #seats, "not every seat was locked")
  tell("lock", "%d seats held for listing L-1 at %s each; owner is patron %s", #locked.success, money(PRICE),
    locked.success[1].ownerId)
end

local function sell(link, seats)
  local tokens = {}
  for i, seat in ipairs(seats) do
    tokens[i] = { token = seat.token, individualPrice = PRICE }
  end
  local total = PRICE * #seats
  local accepted = expect_result(link.orders:complete {
    listing = { externalListingId = "L-1", externalOrderId = "O-1", totalPrice = total, tokens = tokens },
    buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example", optIn = false } },
    settlement = { totalAmountPaid = total, amountToSeller = total * 0.9 },
  })
  local order, seen = wait_for(accepted, "status", function(id) return link.orders:status(id) end)
  local buyer = order.offers[1].event.seats[1].ownerId
  tell("order", "O-1 over %s: %s; both seats belong to patron %s now", money(order.paid), seen, buyer)
  return buyer
end

local function print_tickets(link, seats)
  local printed = expect_result(link.tickets:print {
    externalOrderId = "O-1", tokens = { seats[1].token, seats[2].token },
  })
  expect(#printed.tickets == 2, "both tickets should be printed")
  tell("print", "%d tickets, each with its own address at %s", #printed.tickets,
    printed.tickets[1].url:match("^%a+://([^/]+)"))
end

local function initiate(link, from, seat)
  local offered = expect_result(link.transfers:initiate {
    transferRequests = { {
      Sender = { patronId = from },
      Recipient = { email = "juan@ramirez.example", recipientFirstName = "Juan", recipientLastName = "Ramirez" },
      Items = { { externalOrderId = "O-1", tokens = { seat.token } } },
    } },
  })
  return wait_for(offered, "transactionStatus", function(id) return link.transfers:pending(id) end)
end

local function transfer(link, from, seat)
  local offer, seen = initiate(link, from, seat)
  tell("transfer", "%s offered as %s: %s; %s until %s", place(seat), offer.confirmationCd, seen, offer.transferStatus,
    offer.expireDt)
  return offer
end

local function accept(link, offer, seat)
  expect_result(link.transfers:accept {
    transferId = offer.transferId,
    Recipient = { email = "juan@ramirez.example", recipientFirstName = "Juan", recipientLastName = "Ramirez" },
  })
  local verified = expect_result(link.tickets:verify { tickets = { { tokens = { seat.token } } } })
  local owner = verified.tokens[1].success.seats[1].ownerId
  tell("accept", "the recipient took it; %s belongs to patron %s now", place(seat), owner)
end

local function tell_history(link, offer)
  local history = expect_result(link.transfers:history(offer.confirmationCd))
  local ops = {}
  for i, entry in ipairs(history.history) do
    ops[i] = entry.op
  end
  expect(ops[1] == "initiate" and ops[2] == "accept", "the history should be initiate, accept")
  tell("history", "%s: %s", offer.confirmationCd, table.concat(ops, ", then "))
end

local function cancel_second(link, from, seat)
  local offer = initiate(link, from, seat)
  local cancelled = expect_result(link.transfers:cancel(offer.confirmationCd))
  expect(cancelled.transferStatus:lower() == "cancelled", "the transfer should be cancelled")
  tell("cancel", "%s offered too, but taken back: %s is %s", place(seat), offer.confirmationCd,
    cancelled.transferStatus)
end

local function unlock_unsold(link)
  local listing = expect_result(link.listings:get("FvFCjcI"))[1]
  local seats = listing.tickets[1].seats
  expect_result(lock(link, "L-2", seats))
  local tokens = {}
  for i, seat in ipairs(seats) do
    tokens[i] = seat.token
  end
  local unlocked = expect_result(link.tickets:unlock { tokens = tokens })
  expect(#unlocked.success == #tokens, "every seat should be unlocked")
  tell("unlock", "nobody wanted listing L-2: its %d seats from %s are free again", #tokens, place(seats[1]))
end

-- --- what goes wrong, and how it is told ----------------------------------------------------------------------------

local function send_wrong_payload(link, seats)
  local result, err = link.tickets:lock {
    source = "INDIVIDUAL",
    listing = { externalListingID = "L-3", tokens = { seats[1].token } },
  }
  expect(result == nil and err.kind == "validation" and err.outcome == "not_sent" and #err.fields == 2,
    "the payload should be refused before it is sent")
  for _, problem in ipairs(err.fields) do
    tell("wrong payload", "%s, %s: %s %s", err.kind, err.outcome, problem.path, problem.message)
  end
end

local function lock_sold_seat(link, seats)
  local result, err = lock(link, "L-4", { seats[1] })
  expect(result == nil and err.outcome == "rejected", "a sold seat should not be locked")
  tell("locked seat", "%s, %s: HTTP %d, %s, %s; retryable: %s", err.kind, err.outcome, err.status, err.type,
    err.body.failure[1].type, tostring(err.retryable))
end

local function outlive_token(link, box)
  box:control("POST", "/_sandbox/tokens/expire")
  local events, err, response = link.catalog:events()
  expect(events, "%s", tostring(err))
  expect(response.attempts == 2, "the call should be sent twice")
  tell("expired token", "the old token was refused; renewed and repeated without being asked: %d attempts, HTTP %d",
    response.attempts, response.status)
end

local function story(link, box)
  authorise(link)
  look_at_events(link)
  local seats = open_listing(link)
  lock_for_sale(link, seats)
  local buyer = sell(link, seats)
  print_tickets(link, seats)
  local offer = transfer(link, buyer, seats[1])
  accept(link, offer, seats[1])
  tell_history(link, offer)
  cancel_second(link, buyer, seats[2])
  unlock_unsold(link)
  print("\nWhat goes wrong, and how it is told:\n")
  send_wrong_payload(link, seats)
  lock_sold_seat(link, seats)
  outlive_token(link, box)
end

-- The service's own book has the last word.
local function compare_with_ledger(box)
  local ledger = box:control("GET", "/_sandbox/ledger")
  expect(#ledger.orders == 1, "the service should have booked one order, it has %d", #ledger.orders)
  print("\nThe service's own book agrees: one order, nothing sold twice. Every step went as told.")
end

local box = sandbox.start { seed = "demo", pending_polls = 2 }
print(("A sandbox listens on %s; nothing leaves this machine.\n"):format(box.base_url))
local link = paciolan.new(box:client_options())
local ok, message = pcall(function()
  story(link, box)
  compare_with_ledger(box)
end)
link:close()
box:stop()
if not ok then
  io.stderr:write(tostring(message), "\n")
end
os.exit(ok and 0 or 1, true)
