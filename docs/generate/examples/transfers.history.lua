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

assert(link.transfers:accept { transferId = offer.transferId, Recipient = friend })

local function show(confirmation_cd)
  local answer, err = link.transfers:history(confirmation_cd)
  if answer then
    for _, step in ipairs(answer.history) do
      print(step.op .. " by the " .. step.initiator)
    end
  elseif err.status == 400 then
    print("there is no such transfer")
  else
    error(err) -- a read has no outcome: nothing was changed
  end
end

show(offer.confirmationCd)
show("1-AMTX:1")

link:close()
