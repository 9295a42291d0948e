--- A trader for specs: makes seeded writes against a sandbox that misbehaves, and writes down what the client told of
-- each. It goes on as a program would that believes in its sales, so that later writes meet what earlier ones left.
--
--     local trader = require("support.trader").new { seed = "1", plan = "reset=after@0.1", writes = 200 }
--     trader:run()
--     local told, known = trader.told, trader:known()
--     trader:close()
-- @module support.trader

local core = require("paciolan.core")
local transports = require("paciolan.transport")
local ids = require("paciolan.sandbox.ids")
local market = require("support.market")
local socket = require("socket")

local trader = {}

local Trader = {}
Trader.__index = Trader

local EVENT = "129:FB30:FB03"
local SEATS_PER_WRITE = 2
local PLACES = { distributor_code = "AMTX" }
local TIMEOUT_FLOOR_MS = 60
local FAR = "2099-01-01T00:00:00Z"
local GIVE_UP_AFTER = 3 -- writes in a row without a token; then a person logs in again

-- A transport that does not wait between repetitions: nothing here depends on how long a pause is.
local function impatient()
  local inner = transports.default({})
  local transport = {}
  function transport.send(_, request) return inner:send(request) end
  function transport.sleep() end
  function transport.close() inner:close() end
  return transport
end

local function unused_port()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:close()
  return port
end

local function log_in(self)
  if self._link then
    self._link:close()
  end
  self._link = self._place:client { auth = { code = self._place.box:new_auth_code() }, timeout_ms = self.timeout_ms,
    transport = impatient() }
  self._link_failures = 0
end

-- How long an answer takes here, under whatever slows this run down; the clients have a multiple of it.
local function measure(self)
  local slowest = 0
  for i = 1, 10 do
    local _, _, response = self._place.link.tickets:verify({ tickets = { { tokens = { self._open[i].token } } } })
    slowest = i > 1 and math.max(slowest, response.elapsed_ms) or 0
  end
  return math.max(TIMEOUT_FLOOR_MS, math.ceil(slowest) * 8)
end

--- Starts the sandbox and the clients.
-- @tparam table options `seed`, `writes` and `plan`: the plan's text, in which `LATE` stands for more milliseconds than
-- the clients have, and `SLOW` for an eighth of it
-- @treturn Trader
function trader.new(options)
  local seats = options.writes * SEATS_PER_WRITE
  local self = setmetatable({ _options = options, _draw = ids.stream(options.seed, "trader"), told = {}, _next = 1,
    _place = market.open({ seed = options.seed, extra_seats = seats }, { transport = impatient() }),
    _locked = {}, _sold = {}, _offers = {}, _open = {} }, Trader)
  for _, seat in ipairs(self._place.box:control("GET", "/_sandbox/world").seats) do
    self._open[#self._open + 1] = seat.accessId == EVENT and seat or nil
  end
  self.timeout_ms = measure(self)
  self._nowhere = self._place:client { base_url = ("http://127.0.0.1:%d"):format(unused_port()),
    auth = { access_token = "nobody", expiration = FAR }, transport = impatient() }
  local late_ms = self.timeout_ms + math.ceil(self.timeout_ms / 4)
  local plan = options.plan:gsub("%a+", { LATE = ("%d"):format(late_ms), SLOW = ("%d"):format(math.ceil(late_ms / 8)) })
  local view, status = self._place.box:control("POST", "/_sandbox/faults", { plan = plan, seed = options.seed })
  assert(status == 200, "the plan was refused: " .. tostring(view.error and view.error.developerMessage))
  log_in(self)
  return self
end

-- --- what there is to trade with ---------------------------------------------------------------------------------

local function take_open(self, count)
  local seats, tokens = {}, {}
  for i = 1, count do
    seats[i] = assert(self._open[self._next], "the sandbox has too few seats for this run")
    tokens[i] = seats[i].token
    self._next = self._next + 1
  end
  return tokens, seats
end

local function take(self, list)
  if #list == 0 then
    return nil
  end
  return table.remove(list, self._draw:below(#list) + 1)
end

local function new_id(self, prefix)
  return prefix .. "-" .. self._draw:text(10, ids.DIGITS)
end

-- Was it done, as far as the client could tell? Who is not sure believes in it.
local function believes(result, err)
  return result ~= nil or err.kind == "partial" or err.outcome == "unknown"
end

local function tokens_of(entries)
  local list = {}
  for i, entry in ipairs(type(entries) == "table" and entries or {}) do
    list[i] = entry.token
  end
  return list
end

-- What a pending order did not refuse is under way.
local function pending_tokens(order, tokens)
  local refused, list = {}, {}
  for _, token in ipairs(tokens_of(order.failure)) do
    refused[token] = true
  end
  for _, token in ipairs(tokens) do
    list[#list + 1] = not refused[token] and token or nil
  end
  return list
end

local function ordered_tokens(order, tokens)
  if order.status == "PENDING" then
    return pending_tokens(order, tokens)
  end
  local list = {}
  for _, offer in ipairs(type(order.offers) == "table" and order.offers or {}) do
    for _, token in ipairs(tokens_of(offer.event.seats)) do
      list[#list + 1] = token
    end
  end
  return list
end

local function keep_offer(self, batch, offer)
  if offer and offer.transferId then
    self._offers[#self._offers + 1] = { transfer_id = offer.transferId, code = offer.confirmationCd, batch = batch }
  end
end

-- Each makes one write and returns its name, the tokens that it is about, what the client returned, and where parts of
-- it may be done a function that reads the done ones. It returns nil when there is nothing to do it with.
local WRITES = {}

function WRITES.lock(self, link, options)
  local tokens = take_open(self, 1 + self._draw:below(3))
  local id = new_id(self, "L")
  local result, err = link.tickets:lock(market.lock_payload(tokens, id), options)
  if believes(result, err) then
    self._locked[#self._locked + 1] = { tokens = tokens, listing_id = id }
  end
  return "tickets.lock", tokens, result, err, function(body) return tokens_of(body.success) end
end

function WRITES.unlock(self, link, options)
  local batch = take(self, self._locked)
  if batch then
    local result, err = link.tickets:unlock({ tokens = batch.tokens }, options)
    return "tickets.unlock", batch.tokens, result, err, function(body) return tokens_of(body.success) end
  end
end

function WRITES.order(self, link, options)
  local batch = take(self, self._locked)
  if not batch then
    return nil
  end
  local id = new_id(self, "O")
  local result, err = link.orders:complete(market.order_payload(batch.tokens, batch.listing_id, id), options)
  local order = result or type(err.body) == "table" and err.body or {}
  local offer = type(order.offers) == "table" and order.offers[1]
  self._buyer = offer and offer.event.seats[1].ownerId or self._buyer
  if believes(result, err) then
    self._sold[#self._sold + 1] = { tokens = batch.tokens, order_id = id }
  end
  return "orders.complete", batch.tokens, result, err, ordered_tokens
end

function WRITES.print(self, link, options)
  local batch = take(self, self._sold)
  if batch then
    self._sold[#self._sold + 1] = batch
    local result, err = link.tickets:print({ externalOrderId = batch.order_id, tokens = batch.tokens }, options)
    return "tickets.print", batch.tokens, result, err
  end
end

local function with(options, more)
  local merged = {}
  for _, source in ipairs { options, more } do
    for key, value in pairs(source) do
      merged[key] = value
    end
  end
  return merged
end

-- By seat details where nothing was sold yet, else by tokens.
local function initiate(self, link, options, name)
  local batch = self._buyer and self._draw:below(2) == 0 and take(self, self._sold)
  local payload, tokens, seats
  if batch then
    payload, tokens = market.items_payload(self._buyer, batch.order_id, batch.tokens), batch.tokens
  else
    tokens, seats = take_open(self, 1)
    payload, options = market.seats_payload(seats), with(options, PLACES)
    batch = { tokens = tokens, by_seats = true }
  end
  local result, err = link.transfers:initiate(payload, options)
  keep_offer(self, batch, result)
  return name, tokens, result, err
end

function WRITES.initiate_v1(self, link, options)
  return initiate(self, link, with(options, { version = "v1" }), "transfers.initiate_v1")
end

function WRITES.initiate(self, link, options)
  return initiate(self, link, options, "transfers.initiate")
end

function WRITES.accept(self, link, options)
  local offer = take(self, self._offers)
  if not offer then
    return nil
  end
  local payload = { transferId = offer.transfer_id, Recipient = market.RECIPIENT }
  options = offer.batch.by_seats and with(options, PLACES) or options
  local result, err = link.transfers:accept(payload, options)
  return "transfers.accept", offer.batch.tokens, result, err
end

function WRITES.cancel(self, link, options)
  local offer = take(self, self._offers)
  if offer then
    local result, err = link.transfers:cancel(offer.code, options)
    return "transfers.cancel", offer.batch.tokens, result, err
  end
end

function WRITES.complete(self, link, options)
  local batch = take(self, self._sold)
  if batch then
    local payload = market.items_payload(self._buyer, batch.order_id, batch.tokens)
    payload.transferRequests[1].Sender = nil
    local result, err = link.transfers:complete(payload, options)
    return "transfers.complete", batch.tokens, result, err
  end
end

-- A name for each hundredth; the order is that of a sale.
local SHARES = { { "lock", 26 }, { "unlock", 12 }, { "order", 20 }, { "print", 11 }, { "initiate_v1", 7 },
  { "initiate", 10 }, { "accept", 5 }, { "cancel", 4 }, { "complete", 5 } }

local function pick_write(self)
  local at = self._draw:below(100)
  for _, share in ipairs(SHARES) do
    at = at - share[2]
    if at < 0 then
      return WRITES[share[1]]
    end
  end
end

local function new_request_id(self)
  local hex = self._draw:text(30, ids.HEX)
  return ("%s-%s-4%s-8%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 15), hex:sub(16, 18), hex:sub(19, 30))
end

-- Every fiftieth write goes where nobody listens.
local function pick_link(self)
  return self._draw:below(50) == 0 and self._nowhere or self._link
end

local function note(self, options, operation, tokens, result, err, done_of)
  local is_partial = err and err.kind == "partial"
  self.told[#self.told + 1] = {
    number = #self.told + 1, operation = operation, request_id = options.request_id, retries = options.retries,
    tokens = tokens, is_success = result ~= nil, kind = err and err.kind, outcome = err and err.outcome,
    status = err and err.status, retryable = err and err.retryable, type = err and err.type,
    attempts = (err or {}).attempts, done = is_partial and done_of and done_of(err.body, tokens) or nil,
  }
end

-- Without a token nothing goes out; after a while somebody gets a new authorization code.
local function look_after_link(self, link, err)
  if link == self._link then
    local has_no_token = err and err.outcome == "not_sent" and err.kind ~= "validation"
    self._link_failures = has_no_token and self._link_failures + 1 or 0
    if self._link_failures >= GIVE_UP_AFTER then
      log_in(self)
    end
  end
end

--- Makes all the writes. `told` holds what the client said of each.
function Trader:run()
  while #self.told < self._options.writes do
    local link = pick_link(self)
    local options = { request_id = new_request_id(self), retries = self._draw:below(2) * 2 }
    local operation, tokens, result, err, done_of = pick_write(self)(self, link, options)
    if operation then
      note(self, options, operation, tokens, result, err, done_of)
      look_after_link(self, link, err)
    end
  end
end

local function by_request_id(list, found, name)
  for _, entry in ipairs(list) do
    local known = found[entry.requestId] or { requests = {}, commits = {} }
    found[entry.requestId] = known
    known[name][#known[name] + 1] = entry
  end
end

--- The sandbox's own record, by Request-ID, once everything that was sent has arrived and everything pending is done.
-- @treturn table `{ requests, commits }` by Request-ID
function Trader:known()
  local box, seen, ledger = self._place.box, -1, nil
  box:control("DELETE", "/_sandbox/faults")
  box:control("POST", "/_sandbox/clock", { advance_s = 3600 })
  repeat
    seen = ledger and ledger.requestCount or seen
    core.sleep(20)
    ledger = box:control("GET", "/_sandbox/ledger")
  until ledger.requestCount == seen
  assert(ledger.requestCount == #ledger.requests, "the ledger forgot requests of this run: make it shorter")
  local found = {}
  by_request_id(ledger.requests, found, "requests")
  by_request_id(ledger.commits, found, "commits")
  return found
end

--- Ends clients and sandbox.
function Trader:close()
  self._place:close()
end

return trader
