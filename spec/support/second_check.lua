--- A second reading of the Link API: may this payload go out, and may this request?
--
-- Written by hand from the documents, and sharing no code and no table with the library or its sandbox, so that a
-- mistake in one reading shows in the other. Where the documents leave a choice, the decided column of contract 7
-- counts. What a check is, and the words that the tables are written in, is in `grammar.lua`.
local grammar = require("support.grammar")

local text, filled, digits, number, flag = grammar.text, grammar.filled, grammar.digits, grammar.number, grammar.flag
local label, sold_for, callback, form = grammar.label, grammar.sold_for, grammar.callback, grammar.form
local one_of, nullable, list, object = grammar.one_of, grammar.nullable, grammar.list, grammar.object
local either, is_absent = grammar.either, grammar.is_absent

local second = {}

-- ---- bodies ------------------------------------------------------------------------


local texts = list(1, nil, filled)

-- 2.4. A bare token stands for an object (row 59).
local lock_token = object { "token!", filled, "individualPrice", number }
local function lock_entry(value, call)
  return (type(value) == "string" and not call.wire and filled or lock_token)(value, call)
end

local seller = object {
  "lastName!", filled, "firstName!", filled, "middleName", text,
  "address", either("seller_contact", "object", object {
    "address1!", filled, "address2", nullable(text), "address3", nullable(text), "address4", nullable(text),
    "locality!", filled, "region!", filled, "postalCode!", filled, "countryCode!", filled,
  }),
  "phoneNumber", either("seller_contact", "object", object {
    "number!", digits, "formattedNumber", text, "extension", nullable(text), "countryCode!", filled,
  }),
  "emailAddress!", either("seller_contact", "object", object { "email!", filled, "optIn", flag }),
}

-- Row 11: what a MyAccount listing says of its seller is passed through.
local function seller_of(given, call)
  if given.source == "MY_ACCOUNT" then
    local loosely = { shapes = call.shapes, wire = call.wire, loose = true }
    local where, rule
    if given.seller ~= nil then
      where, rule = seller(given.seller, loosely)
    end
    return where and "/seller" .. where, rule
  elseif given.seller == nil then
    return "/seller", "is required"
  end
  local where, rule = seller(given.seller, call)
  return where and "/seller" .. where, rule
end

local function anything() end

-- 2.8
local buyer_phone = object { "number", digits, "formattedNumber", text, "extension", nullable(text),
  "countryCode", text }
local buyer_address = object { "address1", text, "address2", nullable(text), "address3", nullable(text),
  "address4", nullable(text), "locality", text, "region", text, "postalCode", text, "countryCode", text }
local buyer = object { "firstName", text, "middleInitial", text, "lastName", text, "phoneNumber", buyer_phone,
  "address", buyer_address, "emailAddress", object { "email", text, "optIn", flag } }

local function order_part(check)
  return either("complete_order", "array", check)
end

-- 2.9 and 2.13
local recipient_v2 = object { "phone", nullable(text), "email!", filled, "recipientFirstName!", filled,
  "recipientLastName!", filled }
local recipient_v1 = object({ "phone", nullable(text), "email", text, "recipientFirstName!", filled,
  "recipientLastName!", filled }, function(given)
  if is_absent(given.email) and is_absent(given.phone) then
    return "/email", "or a phone is required"
  end
end)

local function seats(price)
  return list(1, 30, object { "season!", filled, "event!", filled, "priceLevel!", filled, "priceType!", filled,
    "seatInfo!", object { "level!", filled, "section!", filled, "row!", label, "seats!", label, "soldFor!", price,
      "marketplace!", filled } })
end

local any_items = list(1, nil, object { "externalOrderId!", filled, "tokens!", texts })
local function items(value, call)
  local where, rule = any_items(value, call)
  if not where and call.shapes.transfer_items == "one" and rawget(value, 2) ~= nil then
    return "", "one item, as the switch of row 19 says"
  end
  return where, rule
end

local function seats_or_items(given, call)
  if is_absent(given.Seats) and is_absent(given.Items) then
    return "/Seats", "or Items is required"
  elseif given.Seats ~= nil and not (call.distributor_code and call.organization_id) then
    return "/Seats", "need a distributor code and an organisation"
  end
end

local sender = object { "patronId!", filled }

local function transfer(recipient, price, by)
  return list(1, 1, object({ "externalTransferId", text, "Sender|sender!", sender, "Recipient|recipient!", recipient,
    "Seats|seats", seats(price), "Items|items", items }, seats_or_items, by))
end

-- 2.11: without a distributor code it is a transfer of tokens that is accepted.
local accepter = object({ "phone", nullable(text), "email!", filled, "recipientFirstName", text,
  "recipientLastName", text }, function(given, call)
  if not call.distributor_code and (is_absent(given.recipientFirstName) or is_absent(given.recipientLastName)) then
    return "", "both names are required after a transfer of tokens"
  end
end)

local bodies = {
  ["auth.token"] = object({ "grantType!", one_of("authorization_code", "refresh_token"), "code", text,
    "refreshToken", text }, function(given)
    local name = given.grantType == "refresh_token" and "refreshToken" or "code"
    if is_absent(given[name]) then
      return "/" .. name, "is required"
    end
  end),
  ["tickets.lock"] = object({ "source!", one_of("MY_ACCOUNT", "INDIVIDUAL", "BROKER"),
    "listing!", object { "externalListingId", text, "totalPrice", number, "tokens!", list(1, 100, lock_entry) },
    "seller", anything }, seller_of),
  ["tickets.unlock"] = object { "tokens!", texts },
  ["tickets.print"] = object { "externalOrderId!", filled, "tokens!", list(1, 30, filled) },
  ["tickets.verify"] = object { "tickets!", either("verify", "array", object({ "accessId", text, "tokens", texts,
    "barcodes", texts }, function(given)
    if (given.tokens == nil) == (given.barcodes == nil) then
      return "", "tokens or barcodes, and not both"
    elseif given.barcodes ~= nil and is_absent(given.accessId) then
      return "/accessId", "is required with barcodes"
    end
  end)) },
  ["orders.complete"] = object {
    "listing!", order_part(object { "externalListingId!", filled, "externalOrderId!", filled, "totalPrice", number,
      "totalFees", number, "tokens!", list(1, nil, object { "token!", filled, "individualPrice", number,
        "individualFees", number }) }),
    "buyer!", order_part(buyer),
    "settlement!", order_part(object { "totalAmountPaid", number, "amountToSeller", number,
      "asyncCallbackUrl", callback }),
  },
  ["transfers.initiate"] = object { "transferRequests!", transfer(recipient_v2, number, false), "linkId", text,
    "siteId", text, "baseUrl", text, "asyncCallbackUrl", callback },
  ["transfers.initiate_v1"] = object { "transferRequests!", transfer(recipient_v1, sold_for, true), "linkId", text,
    "siteId", text, "baseUrl", text },
  ["transfers.complete"] = object { "transferRequests!", list(1, 1, object { "externalTransferId", text,
    "Recipient|recipient!", recipient_v2, "Items|items!", items }) },
  ["transfers.accept"] = object({ "transferId!", filled, "Recipient|recipient", accepter }, function(given, call)
    if call.shapes.accept_recipient == "required" and is_absent(given.Recipient) then
      return "/Recipient", "is required, as the switch of row 20 says"
    end
  end),
}

-- ---- what stands in a URL -----------------------------------------------------------

-- A bare "." or ".." would be taken out of a path (RFC 3986 section 5.2.4).
local segment = form("a path segment", function(value)
  return value ~= "" and value ~= "." and value ~= ".." and not value:find("[%z\1-\31\127]")
end)
local query = form("a query value", function(value) return value ~= "" and not value:find("[%z\1-\31\127]") end)
local LENGTHS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
local date = form("a day, as YYYY-MM-DD", function(value)
  local year, month, day = value:match("^(%d%d%d%d)-(%d%d)-(%d%d)$")
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  if not year or not LENGTHS[month] then
    return false
  end
  local is_leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  return day >= 1 and day <= ((is_leap and month == 2) and 29 or LENGTHS[month])
end)

-- Operation: path, and the name of what stands in it.
local paths = {
  ["listings.get"] = { "/v1/listings/", "listingId" },
  ["orders.status"] = { "/v1/cart/complete-order/", "processId" },
  ["transfers.cancel"] = { "/v1/tickets/transfer/", "confirmationCd" },
  ["transfers.history"] = { "/v1/tickets/transfer/", "confirmationCd" },
  ["transfers.pending"] = { "/v2/tickets/transfer/pending/", "processId" },
  ["transfers.complete_status"] = { "/v1/tickets/transfer/complete/", "processId" },
}
local filters = object { "startDate", date, "seasonCode", query, "facilityCode", query }

-- The operations whose whole target is known, but for the distributor.
local targets = {
  ["auth.token"] = "/v1/auth/token", ["catalog.events"] = "/v1/catalog/events",
  ["tickets.lock"] = "/v1/tickets/lock", ["tickets.unlock"] = "/v1/tickets/unlock",
  ["tickets.verify"] = "/v1/tickets/verify", ["tickets.print"] = "/v1/tickets/print",
  ["orders.complete"] = "/v1/cart/complete-order", ["transfers.initiate"] = "/v2/tickets/transfer",
  ["transfers.initiate_v1"] = "/v1/tickets/transfer", ["transfers.accept"] = "/v1/tickets/transfer/accept",
  ["transfers.complete"] = "/v1/tickets/transfer/complete",
}
local with_distributor = {
  ["transfers.initiate"] = true, ["transfers.initiate_v1"] = true, ["transfers.accept"] = true,
}
local with_organization = { ["catalog.events"] = true, ["transfers.cancel"] = true } -- row 17; Seats are judged there

local function check_options(operation, call)
  local organization, distributor = call.organization_id, call.distributor_code
  if with_organization[operation] and not organization then
    return "organization_id", "is required"
  elseif organization and (organization:find("[^\t\32-\126]") or organization:find("^[ \t]") or
    organization:find("[ \t]$")) then
    return "organization_id", "must fit into a header"
  elseif with_distributor[operation] and distributor and query(distributor, call) then
    return "distributor_code", "must fit into a query"
  end
end

local function check_payload(operation, payload, call)
  local path = paths[operation]
  if operation == "catalog.events" then
    if payload == nil then
      return nil
    end
    return filters(payload, call)
  elseif path then
    local as_table = object { path[2] .. "!", segment }
    return (type(payload) == "string" and segment or as_table)(payload, call)
  end
  return assert(bodies[operation], operation)(payload, call)
end

local function call_of(options, wire)
  return { shapes = options.shapes or {}, distributor_code = options.distributor_code,
    organization_id = options.organization_id, wire = wire }
end

-- nil for what is right, else the place and the rule in words.
local function told(where, rule)
  return where and ("%s: %s"):format(where, rule) or nil
end

--- Judges a payload.
-- @tparam string operation
-- @param payload anything
-- @tparam table options `distributor_code`, `organization_id`, `shapes`
-- @treturn ?string nothing when it may be sent, else the place and the rule
function second.refusal(operation, payload, options)
  local call = call_of(options, false)
  local where, rule = check_options(operation, call)
  if not where and payload ~= nil then
    where, rule = grammar.plain(payload, 1)
  end
  if not where then
    where, rule = check_payload(operation, payload, call)
  end
  return told(where, rule)
end

--- Judges a body that went out, as decoded by a JSON reader.
function second.refusal_of_body(operation, body, options)
  local where, rule = grammar.plain(body, 1)
  if not where then
    where, rule = bodies[operation](body, call_of(options, true))
  end
  return told(where, rule)
end

-- Percent-decodes; nothing when a character is there that the part of a URL must escape.
local function decoded(part, kept)
  if part:gsub("%%[0-9A-F][0-9A-F]", ""):find("[^" .. kept .. "]") then
    return nil
  end
  return (part:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local UNRESERVED = "A-Za-z0-9%-._~"
local PCHAR = UNRESERVED .. "!$&'()*+,;=:@"

local function read_query(target)
  local path, rest = target:match("^([^?]*)%??(.*)$")
  local found = {}
  for name, value in rest:gmatch("([^&=]*)=([^&]*)") do
    found[name] = decoded(value, UNRESERVED) or false
  end
  return path, found
end

local function same(found, wanted)
  for name, value in next, found do
    if rawget(wanted, name) ~= value then
      return false
    end
  end
  for name, value in next, wanted do
    if found[name] ~= value then
      return false
    end
  end
  return true
end

--- Judges the path and query that went out.
function second.refusal_of_target(operation, payload, options, target)
  local path = paths[operation]
  if path then
    local value = type(payload) == "table" and rawget(payload, path[2]) or payload
    local is_right = target:sub(1, #path[1]) == path[1] and decoded(target:sub(#path[1] + 1), PCHAR) == value
    return told(not is_right and "target" or nil, "the value, percent-encoded")
  end
  local front, found = read_query(target)
  local wanted = operation == "catalog.events" and payload or {}
  if with_distributor[operation] then
    wanted = { distributorCode = options.distributor_code }
  end
  local is_right = front == targets[operation] and same(found, wanted)
  return told(not is_right and "target" or nil, "the documented path and query")
end

--- The names of all operations, in order.
function second.operations()
  local names = {}
  for _, group in ipairs { targets, paths } do
    for name in pairs(group) do
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

return second
