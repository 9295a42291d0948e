-- What a journal adds to a sale: the same calls bare, with a journal in memory, and in a file where every step is on
-- the disk before it is sent (`make bench`). A sale is verify, lock, verify, order and print of one seat.
local measure = require "measure"
local paciolan = require "paciolan"
local sandbox = require "paciolan.sandbox.child"
local socket = require "socket"

local SALES = 40
local MOST = 2000 -- more than all contenders sell together

local box = sandbox.start { seed = "bench", extra_seats = MOST }
local link = paciolan.new(box:client_options())
local tokens, number = {}, 0
for _, seat in ipairs(box:control("GET", "/_sandbox/world").seats) do
  tokens[#tokens + 1] = seat.accessId == "129:FB30:FB03" and seat.token or nil
end

local SELLER = { firstName = "John", lastName = "Smith", emailAddress = { email = "john@smith.example" } }
local BUYER = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } }
local SETTLEMENT = { totalAmountPaid = 60, amountToSeller = 50 }

local function next_sale()
  number = number + 1
  return assert(tokens[number], "the bench has sold all seats"), ("L-%d"):format(number), ("O-%d"):format(number)
end

local function bare()
  local token, listing_id, order_id = next_sale()
  local rows, seats = { { token = token, individualPrice = 60 } }, { tickets = { { tokens = { token } } } }
  assert(link.tickets:verify(seats))
  assert(link.tickets:lock { source = "INDIVIDUAL", seller = SELLER,
    listing = { externalListingId = listing_id, totalPrice = 60, tokens = rows } })
  assert(link.tickets:verify(seats))
  assert(link.orders:complete { buyer = BUYER, settlement = SETTLEMENT, listing = { externalListingId = listing_id,
    externalOrderId = order_id, totalPrice = 60, tokens = rows } })
  assert(link.tickets:print { externalOrderId = order_id, tokens = { token } })
end

local function journaled(store)
  local flows = link:workflows { store = store }
  return function()
    local token, listing_id, order_id = next_sale()
    assert(flows:fulfil { source = "INDIVIDUAL", seller = SELLER, tokens = { token }, price = 60, buyer = BUYER,
      settlement = SETTLEMENT, external_listing_id = listing_id, external_order_id = order_id })
  end
end

local path = os.tmpname()
os.remove(path)
local memory, file = paciolan.store.memory(), paciolan.store.sqlite(path)
local ways = { { "five calls", bare }, { "fulfil, memory", journaled(memory) }, { "fulfil, sqlite", journaled(file) } }
measure.compare("a sale", SALES, ways)

-- A durable write waits for the disk, which is no CPU time.
for _, way in ipairs(ways) do
  local started = socket.gettime()
  for _ = 1, SALES do
    way[2]()
  end
  print(("  %-44s %9.2f ms until it is done"):format(way[1], (socket.gettime() - started) * 1e3 / SALES))
end

link:close()
memory:close()
file:close()
box:stop()
for _, ending in ipairs { "", "-wal", "-shm" } do
  os.remove(path .. ending)
end
