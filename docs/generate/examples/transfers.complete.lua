local paciolan = require "paciolan"
local link = paciolan.from_env()

-- Two seats, locked and sold as the order O-1.
local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats
local tokens = { seats[1].token, seats[2].token }
assert(link.tickets:lock { source = "MY_ACCOUNT", listing = { externalListingId = "L-1", tokens = tokens } })
assert(link.orders:complete {
  listing = { externalListingId = "L-1", externalOrderId = "O-1",
    tokens = { { token = tokens[1] }, { token = tokens[2] } } },
  buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } },
  settlement = { totalAmountPaid = 120 },
})
local friend = { email = "juan@ramirez.example", recipientFirstName = "Juan", recipientLastName = "Ramirez" }

local function hand_over(order_id)
  local done, err, response = link.transfers:complete {
    transferRequests = { {
      Recipient = friend,
      Items = { { externalOrderId = order_id, tokens = { tokens[1] } } },
    } },
  }
  if done then
    print(order_id .. ": " .. response.state) -- PENDING would mean: ask transfers:complete_status
  elseif err.outcome == "unknown" then
    print(order_id .. ": perhaps done; ask with err.process_id, or verify who owns the seats")
  else
    print(order_id .. ": " .. err.outcome .. ", " .. (err.status and "HTTP " .. err.status or err.kind))
  end
end

hand_over("O-1")
hand_over("O-2") -- not the order that these seats were sold with

link:close()
