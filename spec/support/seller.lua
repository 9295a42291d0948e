--- Somebody who lists seats in a market, for specs: over a transport that can be meddled with and that never sleeps.
--
--     local own = seller.open()
--     local seats = own:seats(2)
--     own.transport.meddle = function(request, send) … end
--     own:flows():sell(own:broker("L-1", seats))
--     own:close()
local transports = require("paciolan.transport")
local market = require("support.market")
local memory = require("paciolan.store.memory")

local seller = {}

local Seller = {}
Seller.__index = Seller

--- The event that `seats` takes seats from.
seller.EVENT = "129:FB30:FB03"

-- `meddle(request, send)` answers a request in the place of the service; `send()` lets it through, with more headers if
-- they are given.
local function new_transport()
  local inner, own = transports.default({}), { sleeps = 0 }
  function own.send(_, request)
    local function send(fault)
      if fault then
        request.headers[#request.headers + 1] = { "X-Sandbox-Fault", fault }
      end
      return inner:send(request)
    end
    if own.meddle then
      return own.meddle(request, send)
    end
    return send()
  end
  function own.sleep()
    own.sleeps = own.sleeps + 1
  end
  function own.close()
    inner:close()
  end
  return own
end

--- Opens a market with seats for everybody.
-- @treturn table with `place`, `link`, `transport` and `store`, which the caller may replace
function seller.open()
  local self = setmetatable({ transport = new_transport(), store = memory.new(), _next = 1 }, Seller)
  self.place = market.open({ extra_seats = 600 }, { transport = self.transport })
  self.link = self.place.link
  self._seats = {}
  for _, seat in ipairs(self.place.box:control("GET", "/_sandbox/world").seats) do
    self._seats[#self._seats + 1] = seat.accessId == seller.EVENT and seat or nil
  end
  return self
end

--- Ends it all.
function Seller:close()
  self.place:close()
  self.store:close()
end

--- Workflows on the store.
-- @tparam ?table options more of them, or others
-- @tparam ?table link
function Seller:flows(options, link)
  local all = { store = self.store }
  for name, value in pairs(options or {}) do
    all[name] = value
  end
  return (link or self.link):workflows(all)
end

--- Seats that nobody touched yet.
-- @tparam number count
-- @treturn table the seats, as the sandbox shows them
-- @treturn table their tokens
function Seller:seats(count)
  local seats, tokens = {}, {}
  for i = 1, count do
    seats[i] = assert(self._seats[self._next], "the sandbox has too few seats for this test")
    tokens[i], self._next = seats[i].token, self._next + 1
  end
  return seats, tokens
end

--- What a broker gives to `sell` seats by their barcodes.
function Seller.broker(_, id, seats, more)
  local input = { external_listing_id = id, source = "BROKER", seller = market.seller(), price = 50,
    access_id = seats[1].accessId, barcodes = {} }
  for i, seat in ipairs(seats) do
    input.barcodes[i] = seat.barcode
  end
  for name, value in pairs(more or {}) do
    input[name] = value
  end
  return input
end

--- The same by tokens, without a seller: what an unlock whose answer is lost can find out about.
function Seller.own(_, id, tokens, more)
  local input = { external_listing_id = id, source = "MY_ACCOUNT", price = 50, tokens = tokens }
  for name, value in pairs(more or {}) do
    input[name] = value
  end
  return input
end

--- Lets the answers of one operation go wrong: the numbers are those of its requests, from 1.
-- @tparam string path such as `/lock`
-- @tparam table faults by number
function Seller:faults(path, faults)
  local number = 0
  self.transport.meddle = function(request, send)
    if request.url:sub(-#path) ~= path then
      return send()
    end
    number = number + 1
    local fault = faults[number]
    if type(fault) == "function" then
      return fault(send)
    end
    return send(fault)
  end
end

--- Who has these seats locked, in their order.
-- @treturn table ids of listings; false for a seat that is open, "sold" for one that is sold
function Seller:holders(tokens)
  local world, holders = self.place:world(), {}
  for i, token in ipairs(tokens) do
    local seat = world[token]
    holders[i] = seat.externalOrderId and "sold" or seat.externalListingId or false
  end
  return holders
end

--- A list of one value.
function seller.times(value, count)
  local list = {}
  for i = 1, count do
    list[i] = value
  end
  return list
end

--- The requests of one operation that an action makes.
-- @tparam string operation
-- @tparam function action
-- @treturn number
function Seller:count(operation, action)
  local before = #self.place:requests(operation)
  action()
  return #self.place:requests(operation) - before
end

return seller
