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

local offer = assert(link.transfers:initiate {
  transferRequests = { {
    Sender = { patronId = buyer_id }, Recipient = friend,
    Items = { { externalOrderId = "O-1", tokens = { tokens[1] } } },
  } },
})

local function accept()
  local accepted, err = link.transfers:accept { transferId = offer.transferId, Recipient = friend }
  if accepted then
    print("accepted: " .. tostring(accepted.confirmationCd == offer.confirmationCd))
  elseif err.outcome == "unknown" then
    print("perhaps accepted; transfers:history and verify tell")
  else
    print(err.outcome .. ", " .. (err.status and "HTTP " .. err.status or err.kind))
  end
end

accept()
accept() -- it is not pending any more

link:close()
