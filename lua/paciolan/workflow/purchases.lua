--- What a caller gives who buys, and the order that is made of it.
-- @module paciolan.workflow.purchases
local check = require "paciolan.options"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local locking = require "paciolan.workflow.locking"
local selling = require "paciolan.workflow.selling"

local purchases = {}

-- An object, or a list that holds it alone (row 3).
local function one(value)
  if type(value) == "table" and value[1] ~= nil then
    return value[2] == nil and type(value[1]) == "table" and value[1] or nil
  end
  return value
end

local function invalid(kind, path, rule, message)
  return errors.validation("workflows." .. kind, { { path = path, rule = rule, message = message } }, "not_sent")
end

--- The payload of the order of a run.
-- @tparam table run
-- @treturn table
function purchases.payload_of(run)
  local request, listing = run.request, run.request.listing
  if not listing then
    listing = { externalListingId = request.external_listing_id, externalOrderId = run.id,
      totalPrice = locking.total_price(request, #run.data.seats), totalFees = request.total_fees, tokens = {} }
    for i, seat in ipairs(run.data.seats) do
      listing.tokens[i] = { token = seat.token, individualPrice = request.price }
    end
  end
  return { listing = listing, buyer = request.buyer, settlement = request.settlement }
end

local function check_order(flows, kind, payload)
  local ok, violations = core.check("orders.complete", payload, { shapes = flows.shapes })
  if not ok then
    return nil, errors.validation("workflows." .. kind, violations, "not_sent")
  end
  return true
end

local buy_rules = {
  listing = { check.a_table, required = true }, buyer = { check.a_table, required = true },
  settlement = { check.a_table, required = true },
}

local function tokens_of_listing(listing)
  local tokens, seen = {}, {}
  for i, row in ipairs(type(listing.tokens) == "table" and listing.tokens or {}) do
    if seen[row.token] then
      return nil, invalid("buy", ("/listing/tokens/%d/token"):format(i - 1), "unique", "is there already")
    end
    tokens[i], seen[row.token] = row.token, true
  end
  if #tokens == 0 then
    return nil, invalid("buy", "/listing/tokens", "required", "must hold the seats that are sold")
  end
  return tokens
end

local function has_callback(settlement)
  local object = one(settlement)
  return type(object) == "table" and object.asyncCallbackUrl ~= nil
end

--- Reads what `buy` is given.
-- @tparam table flows
-- @tparam table input `listing`, `buyer`, `settlement` as `link.orders:complete` takes them
-- @tparam number level of the caller, as of `error` in this function
-- @treturn string the external order id
-- @treturn table request
-- @treturn string the first step
-- @treturn table what the run knows at its beginning
-- @treturn[2] nil
-- @treturn[2] table err of kind `validation`, its outcome `not_sent`
-- @raise for an unknown, missing or wrong option
function purchases.buy(flows, input, level)
  local request = check.read(input, buy_rules, "workflows.buy", level + 1)
  local ok, err = check_order(flows, "buy", { listing = request.listing, buyer = request.buyer,
    settlement = request.settlement })
  if not ok then
    return nil, err
  end
  local listing = one(request.listing)
  if not listing then
    return nil, invalid("buy", "/listing", "one", "must be a single listing: a purchase has one external order id")
  end
  local tokens
  tokens, err = tokens_of_listing(listing)
  if not tokens then
    return nil, err
  end
  return listing.externalOrderId, request, "owners", { tokens = tokens,
    external_listing_id = listing.externalListingId, has_callback = has_callback(request.settlement) }
end

local function an_amount(value)
  return type(value) == "number" and value >= 0, "a number, at least 0"
end

local fulfil_rules = {
  external_order_id = { check.text, required = true }, buyer = { check.a_table, required = true },
  settlement = { check.a_table, required = true }, total_fees = { an_amount },
}
for name, rule in pairs(selling.rules) do
  fulfil_rules[name] = name ~= "keep_partial" and rule or nil -- a sale is all or nothing
end

-- Is there a listing with this id? What is locked for it would be unlocked with the sale, should that fail.
local function is_listed(flows, id)
  local record, problem = flows.journal:read("listing", id)
  if record then
    return record.ended_ms == nil or record.state == "done"
  end
  return false, problem
end

--- Reads what `fulfil` is given.
-- @tparam table flows
-- @tparam table input see docs/workflows.md
-- @tparam number level of the caller, as of `error` in this function
-- @treturn string the external order id
-- @treturn table request
-- @treturn string the first step
-- @treturn table what the run knows at its beginning
-- @treturn[2] nil
-- @treturn[2] table err of kind `validation`, its outcome `not_sent`
-- @raise for an unknown, missing or wrong option
function purchases.fulfil(flows, input, level)
  local given = check.read(input, fulfil_rules, "workflows.fulfil", level + 1)
  local request, problem = selling.request_of(flows, given, level + 1, "fulfil")
  if not request then
    return nil, problem
  end
  local is_up, failed = is_listed(flows, given.external_listing_id)
  if is_up then
    return nil, invalid("fulfil", "/external_listing_id", "listed",
      "is that of a listing that is up: buy sells its seats")
  elseif failed then
    return nil, failed
  end
  for _, name in ipairs { "buyer", "settlement", "total_fees" } do
    request[name] = given[name]
  end
  local ok, err = check_order(flows, "fulfil", { buyer = given.buyer, settlement = given.settlement, listing = {
    externalListingId = given.external_listing_id, externalOrderId = given.external_order_id,
    tokens = { { token = "x" } } } })
  if not ok then
    return nil, err
  end
  return given.external_order_id, request, "seats", { external_listing_id = given.external_listing_id,
    has_callback = has_callback(given.settlement) }
end

return purchases
