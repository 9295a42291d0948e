-- A broker brings tickets of his own, by their barcodes. Two are listed and sold later; two have a buyer already, and
-- the whole trade is one run. Run it with `lua5.4 examples/broker_barcodes.lua`.
--
-- It starts a sandbox of its own and needs no account. A program of yours needs the first part, and gets the barcodes
-- from the broker. Against the real service `paciolan.from_env()` takes the place of `paciolan.new(…)`, and what asks
-- the sandbox for its own view goes.
local paciolan = require "paciolan"

local BROKER = { firstName = "Ada", lastName = "Archer", emailAddress = { email = "ada@archer.example" } }
local BUYER = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } }

-- --- the calls: each returns a result, or nil and an error ----------------------------------------------------------

-- Looks the barcodes up, and locks their seats for the listing.
local function put_up(flows, listing_id, access_id, barcodes)
  return flows:sell {
    external_listing_id = listing_id, source = "BROKER", seller = BROKER,
    access_id = access_id, barcodes = barcodes, price = 80,
  }
end

-- The same, the order and the tickets in one run. When the order is refused, the seats are unlocked again.
local function trade(flows, listing_id, order_id, access_id, barcodes)
  local total = 80 * #barcodes
  return flows:fulfil {
    external_listing_id = listing_id, source = "BROKER", seller = BROKER,
    access_id = access_id, barcodes = barcodes, price = 80,
    external_order_id = order_id, buyer = BUYER,
    settlement = { totalAmountPaid = total, amountToSeller = total * 0.9 },
  }
end

-- --- the story ------------------------------------------------------------------------------------------------------

-- Tickets that this broker has in his hands: an event, and some barcodes of one row.
local function tickets_of_broker(box, first, last)
  local barcodes, access_id = {}, nil
  for i, seat in ipairs(box:control("GET", "/_sandbox/world").seats) do
    if i >= first and i <= last then
      access_id = access_id or seat.accessId
      barcodes[#barcodes + 1] = seat.barcode
    end
  end
  return access_id, barcodes
end

local function count_states(box, state)
  local count = 0
  for _, seat in ipairs(box:control("GET", "/_sandbox/world").seats) do
    count = count + (seat.state == state and 1 or 0)
  end
  return count
end

local function story(box)
  local link = paciolan.new(box:client_options())
  -- A store in memory is for stories; paciolan.store.sqlite "sales.db" outlives the process.
  local flows = link:workflows { store = paciolan.store.memory() }

  local listing = assert(put_up(flows, "L-1", tickets_of_broker(box, 21, 22)))
  print(("%s is up: %d seats, $%.2f in all"):format(listing.id, #listing.seats, listing.total_price))
  assert(count_states(box, "locked") == 2, "two seats should be locked")

  local access_id, barcodes = tickets_of_broker(box, 23, 24)
  local sale = assert(trade(flows, "L-2", "O-2", access_id, barcodes))
  print(("%s is sold: %d tickets of listing %s"):format(sale.id, #sale.tickets, sale.external_listing_id))
  local told = assert(flows:find("O-2"))
  for _, step in ipairs(told.steps) do
    print(("  %-7s %s"):format(step.name, step.state))
  end

  box:control("POST", "/_sandbox/faults", { fault = "status=422", operation = "orders.complete" })
  access_id, barcodes = tickets_of_broker(box, 25, 26)
  local sold, err = trade(flows, "L-3", "O-3", access_id, barcodes)
  assert(not sold and err.outcome == "rejected", "the third order should be refused")
  print(("O-3 is refused: HTTP %d; its run is %s"):format(err.status, err.run.state))
  assert(count_states(box, "locked") == 2, "what was locked for it should be unlocked again")
  print("its seats are unlocked again; unfinished runs: " .. #assert(flows:unfinished()))
  link:close()
end

local box = require("paciolan.sandbox.child").start()
print("a sandbox at " .. box.base_url .. "; nothing leaves this machine")
local ok, problem = pcall(story, box)
box:stop()
if not ok then
  io.stderr:write("the story broke off: ", tostring(problem), "\n")
end
os.exit(ok and 0 or 1, true)
