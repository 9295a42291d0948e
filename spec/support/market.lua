--- A market place for specs: a sandbox in a child process, clients of it, and seats to trade with.
--
--     local place = market.open({ pending_polls = 2 })
--     local tokens = place:tokens(2)
--     place.link.tickets:lock(market.lock_payload(tokens, "L-1"))
--     place:close()

local paciolan = require("paciolan")
local sandbox = require("paciolan.sandbox.child")

local market = {}

-- A server with TLS that hands requests on to the sandbox whose port begins the path, see support.in_nginx.
local FRONT = os.getenv("PACIOLAN_SPEC_FRONT")

local Market = {}
Market.__index = Market

--- The event that `tokens` takes seats from.
market.EVENT = "129:FB30:FB01"

--- Starts a sandbox and makes the first client, `link`.
-- @tparam[opt] table options for the sandbox
-- @tparam[opt] table client_options for the client
function market.open(options, client_options)
  local self = setmetatable({ box = sandbox.start(options), _links = {}, _handed_out = {} }, Market)
  self.link = self:client(client_options)
  return self
end

--- Makes one more client; it has the authorization code of the first unless told otherwise.
-- @tparam[opt] table more options to add or replace
function Market:client(more)
  local options = self.box:client_options(more)
  if FRONT and options.base_url == self.box.base_url then
    options.base_url = ("%s/%d"):format(FRONT, self.box.port)
  end
  local link = paciolan.new(options)
  self._links[#self._links + 1] = link
  return link
end

--- Closes every client and ends the sandbox.
function Market:close()
  for _, link in ipairs(self._links) do
    link:close()
  end
  self.box:stop()
end

--- The sandbox's own book.
function Market:ledger()
  return (self.box:control("GET", "/_sandbox/ledger"))
end

--- The requests that the sandbox saw of one operation.
function Market:requests(operation)
  local list = {}
  for _, request in ipairs(self:ledger().requests) do
    if request.operation == operation then
      list[#list + 1] = request
    end
  end
  return list
end

--- The seats as the sandbox sees them, by token.
function Market:world()
  local seats = {}
  for _, seat in ipairs(self.box:control("GET", "/_sandbox/world").seats) do
    seats[seat.token] = seat
  end
  return seats
end

--- Seats of one event and one owner that nobody touched yet.
-- @tparam number count
-- @tparam[opt] string access_id
-- @treturn table tokens
-- @treturn table the seats, as the sandbox shows them
function Market:tokens(count, access_id)
  local tokens, found = {}, {}
  for _, seat in ipairs(self.box:control("GET", "/_sandbox/world").seats) do
    local fits = seat.accessId == (access_id or market.EVENT) and seat.state == "open"
      and (count > 2 or found[1] == nil or seat.ownerId == found[1].ownerId)
    if #tokens < count and fits and not self._handed_out[seat.token] then
      tokens[#tokens + 1], found[#found + 1] = seat.token, seat
      self._handed_out[seat.token] = true
    end
  end
  assert(#tokens == count, "the sandbox has too few seats for this test")
  return tokens, found
end

--- Locks and buys seats; the market asserts that both work.
-- @treturn table the answer to the order
function Market:sell(tokens, order_id)
  assert(self.link.tickets:lock(market.lock_payload(tokens, "L-" .. order_id)))
  return assert(self.link.orders:complete(market.order_payload(tokens, "L-" .. order_id, order_id)))
end

function market.lock_payload(tokens, listing_id)
  local rows = {}
  for i, token in ipairs(tokens) do
    rows[i] = { token = token, individualPrice = 50 }
  end
  return { source = "MY_ACCOUNT",
    listing = { externalListingId = listing_id, totalPrice = 50 * #tokens, tokens = rows } }
end

function market.seller()
  return {
    firstName = "John", lastName = "Smith", emailAddress = { email = "john@smith.example", optIn = false },
    phoneNumber = { number = "9498234548", countryCode = "US" },
    address = { address1 = "1 Main St", locality = "Irvine", region = "CA", postalCode = "92617", countryCode = "US" },
  }
end

function market.order_payload(tokens, listing_id, order_id)
  local rows = {}
  for i, token in ipairs(tokens) do
    rows[i] = { token = token, individualPrice = 50, individualFees = 2 }
  end
  return {
    listing = { externalListingId = listing_id, externalOrderId = order_id, totalPrice = 50 * #tokens,
      totalFees = 2 * #tokens, tokens = rows },
    buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example", optIn = true } },
    settlement = { totalAmountPaid = 52 * #tokens, amountToSeller = 45 * #tokens },
  }
end

market.RECIPIENT = { email = "juan@ramirez.example", recipientFirstName = "Juan", recipientLastName = "Ramirez" }

--- A transfer of sold seats by their tokens.
function market.items_payload(patron_id, order_id, tokens)
  return { transferRequests = { {
    Sender = { patronId = patron_id }, Recipient = market.RECIPIENT,
    Items = { { externalOrderId = order_id, tokens = tokens } },
  } } }
end

--- A transfer by seat details, of seats as the sandbox shows them.
function market.seats_payload(seats)
  local rows = {}
  for i, seat in ipairs(seats) do
    local season, event = seat.accessId:match("^%d+:(%w+):(%w+)$")
    local level, section = seat.section:match("^(%w+):(%w+)$")
    rows[i] = { season = season, event = event, priceLevel = "1", priceType = "A",
      seatInfo = { level = level, section = section, row = seat.row, seats = seat.seat, soldFor = 13.13,
        marketplace = "store" } }
  end
  return { transferRequests = { {
    Sender = { patronId = seats[1].ownerId }, Recipient = market.RECIPIENT, Seats = rows,
  } } }
end

return market
