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

-- PENDING comes with a processId and without a transferStatus; transfers:pending brings that once the work is done.
local function wait_for(made, response)
  local process_id = made.processId
  while response.state == "PENDING" do
    print("PENDING, process " .. process_id)
    os.execute("sleep 0.1") -- against the service begin with two seconds, and set yourself a deadline
    local answer, _, told = assert(link.transfers:pending(process_id))
    made, response = answer, told
  end
  return response.state .. ", " .. tostring(made.transferStatus)
end

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
    print(wait_for(made, response))
  elseif err.outcome == "unknown" then
    print("perhaps offered: with err.process_id ask transfers:pending, else let a person decide")
  else
    local what = err.type or (err.status and "HTTP " .. err.status or err.kind)
    print(err.outcome .. ", " .. what .. ", " .. (err.action or "no action is documented")) -- nothing was offered
  end
end

offer(tokens[1])
offer("no-such-token")

link:close()
