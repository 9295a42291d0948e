local paciolan = require "paciolan"
local link = paciolan.from_env()

local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats
local tokens = { seats[1].token, seats[2].token }
assert(link.tickets:lock { source = "MY_ACCOUNT", listing = { externalListingId = "L-1", tokens = tokens } })

-- The header makes the sandbox answer PENDING for one poll; the service ignores it.
local order = assert(link.orders:complete({
  listing = { externalListingId = "L-1", externalOrderId = "O-1",
    tokens = { { token = tokens[1] }, { token = tokens[2] } } },
  buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } },
  settlement = { totalAmountPaid = 120 },
}, { headers = { ["X-Sandbox-Pending"] = "1" } }))

local state = order.status
print(state)
while state == "PENDING" do
  os.execute("sleep 0.1") -- against the service begin with two seconds, and set yourself a deadline
  local answer, err, response = link.orders:status(order.processId)
  if answer then
    state = response.state
  elseif not err.retryable then
    error(err) -- err.response.state is "ERROR" when the order failed
  end
  print(state)
end

link:close()
