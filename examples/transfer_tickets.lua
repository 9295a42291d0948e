-- Two tickets are bought and handed on: one transfer is accepted for its recipient in the same run, the other is
-- offered, and taken back. Run it with `lua5.4 examples/transfer_tickets.lua`.
--
-- It starts a sandbox of its own and needs no account. A program of yours needs the first part. Against the real
-- service `paciolan.from_env()` takes the place of `paciolan.new(…)`, and what asks the sandbox for its own view goes.
local paciolan = require "paciolan"

local BUYER = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } }
local FRIEND = { recipientFirstName = "Juan", recipientLastName = "Ramirez", email = "juan@ramirez.example" }

-- --- the calls: each returns a result, or nil and an error ----------------------------------------------------------

-- Listing, lock, order and tickets as one run.
local function buy(flows)
  return flows:fulfil {
    listing_id = "A3qnemZ", external_listing_id = "L-1", external_order_id = "O-1", price = 60,
    buyer = BUYER, settlement = { totalAmountPaid = 120, amountToSeller = 108 },
  }
end

-- Offers one ticket. With `accept` the recipient has nothing to do; without, the service sends him a link.
local function offer(flows, transfer_id, sender_id, token, accept)
  return flows:transfer {
    transferRequests = { {
      externalTransferId = transfer_id, Sender = { patronId = sender_id }, Recipient = FRIEND,
      Items = { { externalOrderId = "O-1", tokens = { token } } },
    } },
    accept = accept,
  }
end

-- Takes back what nobody has accepted.
local function take_back(flows, transfer_id)
  return flows:cancel_transfer { external_transfer_id = transfer_id }
end

-- --- the story ------------------------------------------------------------------------------------------------------

local function owner_of(link, token)
  local answer = assert(link.tickets:verify { tickets = { { tokens = { token } } } })
  return answer.tokens[1].success.seats[1].ownerId
end

local function story(box)
  local link = paciolan.new(box:client_options())
  local flows = link:workflows {
    store = paciolan.store.memory(), -- paciolan.store.sqlite "sales.db" outlives the process
    poll = { first_ms = 100 },
  }

  local sale = assert(buy(flows))
  local first, second = sale.tokens[1], sale.tokens[2]
  local buyer = owner_of(link, first)
  print(("%s is sold: %d tickets, of patron %s"):format(sale.id, #sale.tickets, buyer))

  box:control("POST", "/_sandbox/options", { pending_polls = 2 })
  local given = assert(offer(flows, "T-1", buyer, first, true))
  assert(given.accepted and owner_of(link, first) ~= buyer, "the first ticket should have a new owner")
  print(("%s: PENDING, offered, accepted; the ticket belongs to patron %s"):format(given.id, owner_of(link, first)))

  local offered = assert(offer(flows, "T-2", buyer, second))
  assert(not offered.accepted and owner_of(link, second) == buyer, "the second ticket should wait")
  print(("%s: offered, and waits for its recipient"):format(offered.id))
  local again = assert(offer(flows, "T-2", buyer, second))
  assert(again.confirmation_cd == offered.confirmation_cd, "the same call should return the same transfer")
  local canceled = assert(take_back(flows, "T-2"))
  assert(canceled.canceled, "the second transfer should be cancelled")
  print(("%s: cancelled; patron %s keeps the ticket"):format(canceled.id, owner_of(link, second)))

  local _, err = take_back(flows, "T-1")
  assert(err and err.outcome == "rejected", "what was accepted should not be cancelled")
  print("T-1 cannot be cancelled any more: " .. err.message)

  local transfers = box:control("GET", "/_sandbox/ledger").transfers
  assert(#transfers == 2, "each transfer should have been made once")
  print("transfers in the ledger of the service: " .. #transfers)
  link:close()
end

local box = require("paciolan.sandbox.child").start()
print("a sandbox at " .. box.base_url .. "; nothing leaves this machine")
local ok, problem = pcall(story, box)
box:stop()
if not ok then
  io.stderr:write("the story broke off: ", tostring(problem), "\n")
end
os.exit(ok and 0 or 1, true)
