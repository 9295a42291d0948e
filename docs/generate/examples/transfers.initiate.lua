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

local function offer(token)
  local made, err, response = link.transfers:initiate {
    transferRequests = { {
      externalTransferId = "T-1",
      Sender = { patronId = buyer_id },
      Recipient = { email = "juan@ramirez.example", recipientFirstName = "Juan", recipientLastName = "Ramirez" },
      Items = { { externalOrderId = "O-1", tokens = { token } } },
    } },
  }
  if made then
    print(response.state .. ", " .. made.transferStatus) -- PENDING has no transferStatus yet: ask transfers:pending
  elseif err.outcome == "unknown" then
    print("perhaps offered: with err.process_id ask transfers:pending, else let a person decide")
  else
    print(err.outcome .. ", " .. err.type .. ", " .. err.action) -- nothing was offered
  end
end

offer(tokens[1])
offer("no-such-token")

link:close()
