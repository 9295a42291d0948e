local paciolan = require "paciolan"
local link = paciolan.from_env()

-- Two seats, locked and sold as the order O-1.
local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats
local tokens = { seats[1].token, seats[2].token }
assert(link.tickets:lock { source = "MY_ACCOUNT", listing = { externalListingId = "L-1", tokens = tokens } })
local order = assert(link.orders:complete {
  listing = { externalListingId = "L-1", externalOrderId = "O-1",
    tokens = { { token = tokens[1] }, { token = tokens[2] } } },
  buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } },
  settlement = { totalAmountPaid = 120 },
})
local buyer_id = order.offers[1].event.seats[1].ownerId
local friend = { email = "juan@ramirez.example", recipientFirstName = "Juan", recipientLastName = "Ramirez" }

-- The header makes the sandbox answer PENDING for one poll; the service ignores it.
local offer = assert(link.transfers:initiate({
  transferRequests = { {
    Sender = { patronId = buyer_id }, Recipient = friend,
    Items = { { externalOrderId = "O-1", tokens = { tokens[1] } } },
  } },
}, { headers = { ["X-Sandbox-Pending"] = "1" } }))

local state = offer.transactionStatus
print(state)
while state == "PENDING" do
  os.execute("sleep 0.1") -- against the service begin with two seconds, and set yourself a deadline
  local answer, err, response = link.transfers:pending(offer.processId)
  if answer then
    state = response.state
  elseif not err.retryable then
    error(err) -- err.response.state is "ERROR" when the transfer failed
  end
  print(state)
end

link:close()
