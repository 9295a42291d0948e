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

local function print_tickets(order_id)
  local result, err = link.tickets:print { externalOrderId = order_id, tokens = tokens }
  if result then
    print(order_id .. ": " .. #result.tickets .. " tickets")
  elseif err.outcome == "unknown" then
    print(order_id .. ": perhaps printed; no document says what a second print does")
  else
    print(order_id .. ": " .. err.outcome .. ", " .. (err.status and "HTTP " .. err.status or err.kind))
  end
end

print_tickets("O-1")
print_tickets("O-2") -- not the order that these seats were sold with

link:close()
