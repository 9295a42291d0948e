local paciolan = require "paciolan"
local link = paciolan.from_env()

local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats
local tokens = { seats[1].token, seats[2].token }
assert(link.tickets:lock { source = "MY_ACCOUNT", listing = { externalListingId = "L-1", tokens = tokens } })

local function sell(order_id)
  local order, err, response = link.orders:complete {
    listing = {
      externalListingId = "L-1", externalOrderId = order_id, totalPrice = 120,
      tokens = { { token = tokens[1], individualPrice = 60 }, { token = tokens[2], individualPrice = 60 } },
    },
    buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } },
    settlement = { totalAmountPaid = 120, amountToSeller = 108 },
  }
  if order then
    print(order_id .. ": " .. response.state) -- PENDING would mean: ask orders:status with order.processId
  elseif err.kind == "partial" then
    print(order_id .. ": sold in part, err.body.failure lists the rest")
  elseif err.outcome == "unknown" then
    print(order_id .. ": perhaps sold; find out before anything is sent again")
  else -- nothing was sold
    print(order_id .. ": " .. err.outcome .. ", " .. (err.status and "HTTP " .. err.status or err.kind))
  end
end

sell("O-1")
sell("O-2") -- the seats are sold already

link:close()
