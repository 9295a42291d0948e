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

local function offer(recipient)
  local made, err = link.transfers:initiate({
    transferRequests = { {
      Sender = { patronId = buyer_id }, Recipient = recipient,
      Items = { { externalOrderId = "O-1", tokens = { tokens[1] } } },
    } },
  }, { version = "v1" })
  if made then
    print(made.transferStatus) -- version 1 answers at once
  elseif err.kind == "validation" then
    print(err.fields[1].path .. " " .. err.fields[1].message)
  elseif err.outcome == "unknown" then
    print("perhaps offered; verify shows another owner once it is accepted")
  else
    print(err.outcome .. ", " .. (err.status and "HTTP " .. err.status or err.kind))
  end
end

offer { phone = "9495550100", recipientFirstName = "Juan", recipientLastName = "Ramirez" }
offer { recipientFirstName = "Juan", recipientLastName = "Ramirez" }

link:close()
