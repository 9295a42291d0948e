-- The whole trade of a ticket marketplace, against the built-in sandbox: list, lock, sell, print, transfer, cancel,
-- unlock, and what it looks like when something is wrong. Run it with `make demo`.
--
-- It starts a sandbox of its own and needs no account. The calls stand first and are all that an integration needs.
-- Against the real service `paciolan.from_env()` takes the place of `paciolan.new(...)`, and all that asks the sandbox
-- for its own view goes.
local paciolan = require "paciolan"
local sandbox = require "paciolan.sandbox.child"

local PRICE = 60
local BUYER = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example", optIn = false } }
local FRIEND = { recipientFirstName = "Juan", recipientLastName = "Ramirez", email = "juan@ramirez.example" }

-- --- the calls: each returns the answer, or nil and an error --------------------------------------------------------

local function tokens_of(seats)
  local tokens = {}
  for i, seat in ipairs(seats) do
    tokens[i] = seat.token
  end
  return tokens
end

local function priced_tokens(seats)
  local tokens = {}
  for i, seat in ipairs(seats) do
    tokens[i] = { token = seat.token, individualPrice = PRICE }
  end
  return tokens
end

local function lock(link, listing_id, seats)
  return link.tickets:lock {
    source = "MY_ACCOUNT",
    listing = { externalListingId = listing_id, totalPrice = PRICE * #seats, tokens = priced_tokens(seats) },
  }
end

-- Sends an order once. When its outcome is unknown it must not simply be sent again: see docs/errors.md.
local function order(link, listing_id, order_id, seats)
  local total = PRICE * #seats
  return link.orders:complete {
    listing = { externalListingId = listing_id, externalOrderId = order_id, totalPrice = total,
      tokens = priced_tokens(seats) },
    buyer = BUYER,
    settlement = { totalAmountPaid = total, amountToSeller = total * 0.9 },
  }
end

local function print_tickets(link, order_id, seats)
  return link.tickets:print { externalOrderId = order_id, tokens = tokens_of(seats) }
end

local function offer_transfer(link, sender_id, order_id, seat)
  return link.transfers:initiate {
    transferRequests = { {
      Sender = { patronId = sender_id }, Recipient = FRIEND,
      Items = { { externalOrderId = order_id, tokens = { seat.token } } },
    } },
  }
end

local function accept_transfer(link, transfer_id)
  return link.transfers:accept { transferId = transfer_id, Recipient = FRIEND }
end

-- --- telling the story, and breaking it off -------------------------------------------------------------------------

local steps = 0

local function tell(step, format, ...)
  steps = steps + 1
  print(("%2d  %-13s  %s"):format(steps, step, format:format(...)))
end

-- Ends the story at the first thing that is not as told.
local function expect(condition, format, ...)
  if not condition then
    error({ story = format:format(...) })
  end
end

-- For calls that must succeed: every method answers with a result, or with nil and an error that explains itself.
local function expect_result(result, err)
  expect(result ~= nil, "%s", tostring(err))
  return result
end

-- Follows a path such as "offers.1.event" through an answer. What is missing or of another type breaks the story off.
local function field(answer, path, wanted_type)
  local value = answer
  for key in path:gmatch("[^.]+") do
    value = type(value) == "table" and value[tonumber(key) or key] or nil
  end
  expect(type(value) == wanted_type, "%s should be a %s, it is %s", path, wanted_type,
    value == nil and "missing" or "a " .. type(value))
  return value
end

local function text(answer, path)
  return field(answer, path, "string")
end

-- A list with so many entries.
local function list(answer, path, count)
  local entries = field(answer, path, "table")
  expect(#entries == count, "%s should hold %d, it holds %d", path, count, #entries)
  return entries
end

local function money(amount)
  return ("$%.2f"):format(amount)
end

-- "ES:9 1/1, 1/2": section, then row and seat.
local function places(seats)
  local words = {}
  for i, seat in ipairs(seats) do
    local same_section = i > 1 and seats[i - 1].section == seat.section
    words[i] = ("%s%s/%s"):format(same_section and "" or seat.section .. " ", seat.row, seat.seat)
  end
  return table.concat(words, ", ")
end

-- The same with the price: "ES:9 1/1, 1/2, $60.00 each".
local function offered(seats)
  return places(seats) .. ", " .. money(PRICE) .. (#seats > 1 and " each" or "")
end

-- Rewrites a date of the service as "2026-11-22 03:36 UTC".
local function date(written, pattern, form)
  local rewritten, matches = written:gsub(pattern, form)
  expect(matches == 1, "a date of the service has another form than the documented one")
  return rewritten
end

-- A token's date always ends in Z; that of a transfer names no zone, and the sandbox means UTC.
local function token_date(written)
  return date(written, "^(%d+%-%d+%-%d+)T(%d+:%d+):[%d.]+Z$", "%1 %2 UTC")
end

local function transfer_date(written)
  return date(written, "^(%d+)/(%d+)/(%d+) (%d+:%d+):%d+$", "%3-%1-%2 %4 UTC")
end

-- --- looking closer -------------------------------------------------------------------------------------------------

-- Whether two lists hold the same tokens, each once, in any order. `entries` are tokens, or tables with one.
local function expect_tokens(entries, seats, what)
  local left = {}
  for _, seat in ipairs(seats) do
    left[seat.token] = true
  end
  for _, entry in ipairs(entries) do
    local token = type(entry) == "table" and entry.token or entry
    expect(type(token) == "string" and left[token], "%s should name each of the seats once and no other", what)
    left[token] = nil
  end
  expect(next(left) == nil, "%s leaves a seat out", what)
end

-- The patron who owns all these seats, as the service says.
local function owner_of(link, seats)
  local answer = expect_result(link.tickets:verify { tickets = { { tokens = tokens_of(seats) } } })
  local verified = list(answer, "tokens.1.success.seats", #seats)
  expect_tokens(verified, seats, "verify")
  local owner = text(verified, "1.ownerId")
  for i in ipairs(verified) do
    expect(text(verified, i .. ".ownerId") == owner, "all seats should have one owner")
  end
  return owner
end

-- What the sandbox says about itself. Its control calls raise when something is wrong.
local function inspect(box, method, path)
  local ok, answer = pcall(box.control, box, method, path)
  expect(ok and type(answer) == "table", "the sandbox did not answer %s %s", method, path)
  return answer
end

-- The sandbox's record of each of these seats, as it is now.
local function records_of(box, seats)
  local by_token = {}
  for _, record in ipairs(field(inspect(box, "GET", "/_sandbox/world"), "seats", "table")) do
    by_token[type(record) == "table" and record.token or ""] = record
  end
  local records = {}
  for i, seat in ipairs(seats) do
    records[i] = by_token[seat.token]
    expect(records[i], "the sandbox does not know the seat %s", places { seat })
  end
  return records
end

local function expect_state(box, seats, state)
  for _, record in ipairs(records_of(box, seats)) do
    expect(record.state == state, "%s should be %s, it is %s", places(seats), state, tostring(record.state))
  end
end

-- Patrons that a sale or a transfer brought in are "created", all others were there from the start.
local function expect_new_patron(box, patron_id)
  for _, patron in ipairs(field(inspect(box, "GET", "/_sandbox/world"), "patrons", "table")) do
    if type(patron) == "table" and patron.patronId == patron_id then
      return expect(patron.origin == "created", "patron %s should be a new one", patron_id)
    end
  end
  expect(false, "the sandbox does not know patron %s", patron_id)
end

local POLLS, PAUSE = 20, "sleep 0.2"

local function expect_progress(answer, state_field, wanted)
  local state = text(answer, state_field)
  expect(state == wanted, "%s should be %s, it is %s", state_field, wanted, state)
end

-- Polls while the service says PENDING, which it must have said at least once.
local function wait_for(answer, state_field, poll)
  expect_progress(answer, state_field, "PENDING")
  local process_id, polls = text(answer, "processId"), 0
  repeat
    os.execute(PAUSE)
    answer, polls = expect_result(poll(process_id)), polls + 1
  until answer[state_field] ~= "PENDING" or polls == POLLS
  expect_progress(answer, state_field, "COMPLETE")
  return answer
end

-- --- the story ------------------------------------------------------------------------------------------------------

local function authorise(link)
  local token = expect_result(link.auth:token())
  expect(token.tokenType == "Bearer", "the token should be a Bearer token")
  tell("authorise", "the authorization code became a Bearer token, good until %s",
    token_date(text(token, "expiration")))
end

local function look_at_events(link)
  local events = expect_result(link.catalog:events { startDate = "2026-01-01" })
  tell("events", "%d on sale; the first is %s on %s, %s", #events, text(events, "1.itemName"),
    text(events, "1.startDate"), text(events, "1.facilityName"))
end

local function seats_of(link, listing_id, count)
  local listings = expect_result(link.listings:get(listing_id))
  expect(text(listings, "1.listingId") == listing_id, "the answer should be about listing %s", listing_id)
  local seats = list(listings, "1.tickets.1.seats", count)
  for i in ipairs(seats) do
    for _, name in ipairs { "token", "section", "row", "seat" } do
      text(seats, i .. "." .. name)
    end
  end
  return seats
end

local function open_listing(link, box)
  local seats = seats_of(link, "A3qnemZ", 2)
  expect_state(box, seats, "open")
  local seller = owner_of(link, seats)
  tell("listing", "%s: open in listing A3qnemZ; patron %s owns both", offered(seats), seller)
  return seats, seller
end

local function lock_for_sale(link, box, seats, seller)
  local locked = expect_result(lock(link, "L-1", seats))
  expect_tokens(field(locked, "success", "table"), seats, "lock")
  expect_state(box, seats, "locked")
  expect(owner_of(link, seats) == seller, "a lock should not change the owner")
  tell("lock", "%s: open → locked for L-1; %s still owns both", offered(seats), seller)
end

local function sell(link, box, seats, seller)
  local accepted = expect_result(order(link, "L-1", "O-1", seats))
  local done = wait_for(accepted, "status", function(id) return link.orders:status(id) end)
  expect(field(done, "paid", "number") == PRICE * #seats, "what was paid should be the price of the seats")
  expect_tokens(list(done, "offers.1.event.seats", #seats), seats, "the order")
  expect_state(box, seats, "sold")
  local buyer = owner_of(link, seats)
  expect(buyer ~= seller and buyer == text(done, "offers.1.event.seats.1.ownerId"), "the buyer should own the seats")
  expect_new_patron(box, buyer)
  tell("order", "%s, %s paid: PENDING → COMPLETE; owner %s → %s, %s", places(seats), money(done.paid), seller, buyer,
    BUYER.firstName)
  return buyer
end

local function print_sold(link, box, seats, buyer)
  local tickets = list(expect_result(print_tickets(link, "O-1", seats)), "tickets", #seats)
  expect_tokens(tickets, seats, "print")
  local seen = {}
  for i in ipairs(tickets) do
    local url = text(tickets, i .. ".url")
    expect(url:find("^https://[^/]+/.") and not seen[url], "each ticket should have a URL of its own")
    expect(text(tickets, i .. ".ownerId") == buyer, "the tickets should be the buyer's")
    seen[url] = true
  end
  for _, record in ipairs(records_of(box, seats)) do
    expect(record.printed == true, "both seats should be printed")
  end
  tell("print", "%s: sold → printed; each ticket has its own URL", offered(seats))
end

-- An offer that waits for its recipient, seen PENDING and then COMPLETE.
local function offer(link, box, buyer, seat)
  local asked = expect_result(offer_transfer(link, buyer, "O-1", seat))
  local made = wait_for(asked, "transactionStatus", function(id) return link.transfers:pending(id) end)
  expect(text(made, "transferStatus") == "pending", "the offer should wait for its recipient")
  expect(text(made, "patronId") == buyer, "the buyer should be the sender")
  text(made, "confirmationCd")
  text(made, "transferId")
  expect_state(box, { seat }, "transferring")
  return made
end

local function transfer(link, box, buyer, seat)
  local made = offer(link, box, buyer, seat)
  tell("transfer", "%s: PENDING → COMPLETE; offered to %s until %s", offered { seat }, FRIEND.recipientFirstName,
    transfer_date(text(made, "expireDt")))
  return made
end

local function accept(link, box, buyer, seat, made)
  local accepted = expect_result(accept_transfer(link, made.transferId))
  expect(accepted.confirmationCd == made.confirmationCd, "the answer should be about this transfer")
  local friend = owner_of(link, { seat })
  expect(friend ~= buyer, "the seat should have a new owner")
  expect_new_patron(box, friend)
  expect_state(box, { seat }, "sold")
  tell("accept", "%s: offered → accepted; owner %s → %s, %s", offered { seat }, buyer, friend,
    FRIEND.recipientFirstName)
  return friend
end

local function tell_history(link, seat, made)
  local history = expect_result(link.transfers:history(made.confirmationCd))
  local entries = list(history, "history", 2)
  expect(text(entries, "1.op") == "initiate" and text(entries, "2.op") == "accept",
    "the history should be initiate, accept")
  expect(history.recipientFirstName == FRIEND.recipientFirstName, "the history should name the recipient")
  tell("history", "%s: initiate → accept, as transfer %s", offered { seat }, made.confirmationCd)
end

local function cancel_second(link, box, buyer, seat)
  local made = offer(link, box, buyer, seat)
  local cancelled = expect_result(link.transfers:cancel(made.confirmationCd))
  expect(cancelled.confirmationCd == made.confirmationCd, "the answer should be about this transfer")
  expect(text(cancelled, "transferStatus"):lower() == "cancelled", "the transfer should be cancelled")
  expect_state(box, { seat }, "sold")
  expect(owner_of(link, { seat }) == buyer, "the seat should stay the buyer's")
  tell("cancel", "%s: PENDING → COMPLETE → %s; %s, %s, keeps it", offered { seat }, cancelled.transferStatus,
    buyer, BUYER.firstName)
end

local function release(link, box, seats)
  local unlocked = expect_result(link.tickets:unlock { tokens = tokens_of(seats) })
  expect_tokens(field(unlocked, "success", "table"), seats, "unlock")
  expect_state(box, seats, "open")
end

local function unlock_unsold(link, box)
  local seats = seats_of(link, "FvFCjcI", 4)
  expect_result(lock(link, "L-2", seats))
  expect_state(box, seats, "locked")
  release(link, box, seats)
  tell("unlock", "%s: locked for L-2 → open; no buyer came", offered(seats))
  return seats
end

-- --- what goes wrong, and how it is told ----------------------------------------------------------------------------

local function send_wrong_payload(link, box, seats)
  local before = field(inspect(box, "GET", "/_sandbox/ledger"), "requestCount", "number")
  local result, err = link.tickets:lock {
    source = "INDIVIDUAL",
    listing = { externalListingId = "L-3", totalprice = PRICE, tokens = tokens_of(seats) },
  }
  expect(result == nil and err.kind == "validation" and err.outcome == "not_sent" and #err.fields == 2,
    "the payload should be refused, with both problems")
  expect(inspect(box, "GET", "/_sandbox/ledger").requestCount == before, "nothing should have been sent")
  tell("wrong payload", "%s, %s: every problem is told at once, nothing left the program", err.kind, err.outcome)
  for _, problem in ipairs(err.fields) do
    print((" "):rep(19) .. problem.path .. " " .. problem.message)
  end
end

local function lock_locked_seat(link, box, seats)
  expect_result(lock(link, "L-3", seats))
  local result, err = lock(link, "L-4", seats)
  expect(result == nil and err.kind == "http" and err.outcome == "rejected" and err.status == 422,
    "a seat that is locked for L-3 should not be locked for L-4")
  local why = text(err.body, "failure.1.type")
  expect(why == "INVALID_TOKEN", "the refusal should name the token")
  expect(records_of(box, seats)[1].externalListingId == "L-3", "the seat should stay locked for L-3")
  tell("locked seat", "%s: locked for L-3, so L-4 is %s: HTTP %d, %s", offered(seats), err.outcome, err.status,
    why)
  release(link, box, seats)
end

-- How the last two requests of an operation were answered.
local function last_statuses(box, operation)
  local before, last
  for _, request in ipairs(field(inspect(box, "GET", "/_sandbox/ledger"), "requests", "table")) do
    if type(request) == "table" and request.operation == operation then
      before, last = last, request.status
    end
  end
  return before, last
end

local function outlive_token(link, box)
  local old = text(expect_result(link.auth:token()), "accessToken")
  inspect(box, "POST", "/_sandbox/tokens/expire")
  local events, err, response = link.catalog:events()
  expect(events, "%s", tostring(err))
  local refused, answered = last_statuses(box, "catalog.events")
  expect(response.attempts == 2 and refused == 401 and answered == 200, "the call should be refused, then answered")
  expect(text(expect_result(link.auth:token()), "accessToken") ~= old, "the token should be another one")
  tell("expired token", "HTTP %d → token renewed → HTTP %d: %d attempts, but one call for the program", refused,
    answered, response.attempts)
end

-- --- the last word --------------------------------------------------------------------------------------------------

local function expect_transfers(ledger, seats, friend)
  local transfers = list(ledger, "transfers", 2)
  expect(text(transfers, "1.status") == "accepted" and text(transfers, "1.recipientId") == friend,
    "the first transfer should be accepted")
  expect_tokens(list(transfers, "1.tokens", 1), { seats[1] }, "the first transfer")
  expect(text(transfers, "2.status") == "Cancelled", "the second transfer should be cancelled")
  expect_tokens(list(transfers, "2.tokens", 1), { seats[2] }, "the second transfer")
end

-- Nothing but these seats is sold, and nothing is left half done.
local function expect_world(box, seats, owners)
  local sold = {}
  for _, record in ipairs(field(inspect(box, "GET", "/_sandbox/world"), "seats", "table")) do
    local state = text(record, "state")
    if state == "sold" then
      sold[#sold + 1] = record
    else
      expect(state == "open", "a seat was left %s", state)
    end
  end
  expect_tokens(sold, seats, "the list of sold seats")
  for i, record in ipairs(records_of(box, seats)) do
    expect(record.ownerId == owners[i], "%s has the wrong owner", places { seats[i] })
  end
end

local function compare_with_ledger(box, seats, buyer, friend)
  local ledger = inspect(box, "GET", "/_sandbox/ledger")
  for _, name in ipairs { "orders", "prints" } do
    list(ledger, name, 1)
    expect(text(ledger, name .. ".1.externalOrderId") == "O-1", "the ledger's %s should be about O-1", name)
    expect_tokens(list(ledger, name .. ".1.tokens", #seats), seats, "the ledger's list of " .. name)
  end
  expect(text(ledger, "orders.1.status") == "COMPLETE" and text(ledger, "orders.1.ownerId") == buyer,
    "the order should be complete and the buyer's")
  expect_transfers(ledger, seats, friend)
  expect_world(box, seats, { friend, buyer })
  print("\nThe service's own ledger agrees: one order, two seats sold and printed once each, one handed on,")
  print("no lock left. Every step went as told.")
end

local function story(box)
  local link = paciolan.new(box:client_options())
  authorise(link)
  look_at_events(link)
  local seats, seller = open_listing(link, box)
  lock_for_sale(link, box, seats, seller)
  local buyer = sell(link, box, seats, seller)
  print_sold(link, box, seats, buyer)
  local made = transfer(link, box, buyer, seats[1])
  local friend = accept(link, box, buyer, seats[1], made)
  tell_history(link, seats[1], made)
  cancel_second(link, box, buyer, seats[2])
  local unsold = unlock_unsold(link, box)
  print("\nWhat goes wrong, and how it is told:\n")
  send_wrong_payload(link, box, { unsold[1] })
  lock_locked_seat(link, box, { unsold[1] })
  outlive_token(link, box)
  compare_with_ledger(box, seats, buyer, friend)
  link:close()
end

local function main()
  local box = sandbox.start { seed = "demo", pending_polls = 2 }
  print(("A sandbox of the Link API answers at %s; nothing leaves this machine."):format(box.base_url))
  print(("Two seats are sold to %s and printed; %s gets one of them. Then three mistakes.\n"):format(BUYER.firstName,
    FRIEND.recipientFirstName))
  story(box)
  box:stop()
  print("Read on in docs/guide.md, task by task; this program is examples/first_sale.lua.")
  print("Try it by hand: bin/paciolan sandbox")
end

local ok, thrown = pcall(main)
if not ok then
  local problem = type(thrown) == "table" and thrown.story or tostring(thrown):gsub("^[^:]+:%d+: ", "")
  io.stderr:write(("The story broke off after step %d: %s\n"):format(steps, problem))
end
os.exit(ok and 0 or 1, true) -- closing the state ends a sandbox that is still there
