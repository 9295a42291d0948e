--- What a request must look like: the sandbox's own reading of the documents.
-- It shares no table with the client on purpose, so that a mistake in one of
-- the two readings shows up as a disagreement between them.
-- @module paciolan.sandbox.judge

local answers = require "paciolan.sandbox.answers"
local json = require "paciolan.sandbox.json"
local schema = require "paciolan.sandbox.schema"

local judge = {}

local required, object, list, nullable = schema.required, schema.object, schema.list, schema.nullable
local text, number, boolean = schema.text(), schema.number(), schema.boolean()

-- The documents type it as a URL and say nothing about its scheme.
local callback_url = schema.text("^https?://[^%s/]", "must be an http or https URL")

---------------------------------------------------------------- headers

local HEX4 = "%x%x%x%x"
local UUID_V4 = "^" .. HEX4 .. HEX4 .. "%-" .. HEX4 .. "%-4%x%x%x%-[89abAB]%x%x%x%-" .. HEX4 .. HEX4 .. HEX4 .. "$"

local function is_user_agent(value)
  local version = value:match("^[%w!#$%%&'*+.^_`|~-]+/(.+)$")
  if not version then
    return false
  end
  local core, tail = version:match("^([%d.]+)(.*)$")
  local is_core = core and (core:find("^%d+%.%d+%.%d+$") or core:find("^%d+%.%d+$"))
  return is_core and (tail == "" or tail:find("^[-+][%w.+-]+$") ~= nil) or false
end

-- One media range of an Accept header, or the whole of a Content-Type.
local function is_json(value)
  return value:match("^%s*([^;%s]+)") == "application/json"
end

local function accepts_json(value)
  for range in value:gmatch("[^,]+") do
    if is_json(range) then
      return true
    end
  end
  return false
end

-- Name, test, status of a failed test, rule in words. In this order, because
-- the first problem is the one that is reported.
local PLAIN_HEADERS = {
  { "User-Agent", is_user_agent, 400, "must have the form Product/Version with a SemVer version" },
  { "Accept", accepts_json, 406, "must be application/json" },
  { "Content-Type", is_json, 415, "must be application/json" },
  { "Request-ID", function(value) return value:find(UUID_V4) ~= nil end, 400, "must be a UUID v4" },
}

local KIND_OF_STATUS = { [400] = "BAD_REQUEST", [403] = "FORBIDDEN", [406] = "NOT_ACCEPTABLE",
  [415] = "UNSUPPORTED_MEDIA_TYPE" }

local function header_refusal(status, name, rule)
  return answers.refusal(status, KIND_OF_STATUS[status], "Header " .. name .. " " .. rule)
end

local function check_plain(headers)
  for _, row in ipairs(PLAIN_HEADERS) do
    local value = headers[row[1]:lower()]
    if not value or value == "" then
      return header_refusal(400, row[1], "is required")
    elseif not row[2](value) then
      return header_refusal(row[3], row[1], row[4])
    end
  end
end

local function check_known(headers, name, expected)
  local value = headers[name:lower()]
  if not value or value == "" then
    return header_refusal(400, name, "is required")
  elseif value ~= expected then
    return header_refusal(403, name, "is not known or not allowed")
  end
end

local function check_organization(headers, demand, world)
  local value = headers["pac-organization-id"]
  if not value or value == "" then
    return demand == "required" and header_refusal(400, "PAC-Organization-ID", "is required") or nil
  elseif not world:has_organization(value) then
    return header_refusal(403, "PAC-Organization-ID", "names an organisation that is not known or not allowed")
  end
end

--- Checks the headers of a request, the bearer token excepted.
-- @tparam table headers lower-case names
-- @tparam table route `is_auth`: the token call, which has no key and channel; `organization`: nil or `"required"`
-- @tparam table credentials `application_id`, `api_key`, `channel_code`
-- @tparam Inventory world
-- @treturn ?table a refusal, or nil
function judge.headers(headers, route, credentials, world)
  local wrong = check_plain(headers) or check_known(headers, "PAC-Application-ID", credentials.application_id)
  if wrong or route.is_auth then
    return wrong
  end
  return check_known(headers, "PAC-API-Key", credentials.api_key)
    or check_known(headers, "PAC-Channel-Code", credentials.channel_code)
    or check_organization(headers, route.organization, world)
end

--- Reads the token of an Authorization header.
-- @tparam table headers
-- @treturn ?string
function judge.bearer(headers)
  local scheme, token = (headers.authorization or ""):match("^(%a+) +([^%s]+)$")
  return scheme and scheme:lower() == "bearer" and token or nil
end

---------------------------------------------------------------- bodies

local function address(field)
  return object {
    address1 = field(text), address2 = nullable(text), address3 = nullable(text), address4 = nullable(text),
    locality = field(text), region = field(text), postalCode = field(text), countryCode = field(text),
  }
end

-- Which fields of the buyer are required cannot be read in the documents, so
-- only their types are checked.
local function optional(inner)
  return inner
end

local seller = object {
  lastName = required(text), firstName = required(text), middleName = text,
  address = schema.object_or_list(address(required)),
  phoneNumber = schema.object_or_list(object {
    number = required(schema.text("^%d+$", "must hold digits only")), formattedNumber = text,
    extension = nullable(text), countryCode = required(text),
  }),
  emailAddress = required(schema.object_or_list(object { email = required(text), optIn = boolean })),
}

local buyer = object {
  firstName = text, middleInitial = text, lastName = text,
  phoneNumber = object { number = text, formattedNumber = text, extension = nullable(text), countryCode = text },
  address = address(optional),
  emailAddress = object { email = text, optIn = boolean },
}

local function lock_rule(value, path)
  if value.source ~= "MY_ACCOUNT" and value.seller == nil then
    return path .. ".seller is required for INDIVIDUAL and BROKER"
  end
end

local function verify_rule(value, path)
  if value.tokens and value.barcodes then
    return path .. " must not have both tokens and barcodes"
  elseif not value.tokens and not value.barcodes then
    return path .. " must have tokens or barcodes"
  elseif value.barcodes and not value.accessId then
    return path .. ".accessId is required with barcodes"
  end
end

local function auth_rule(value, path)
  local field = value.grantType == "refresh_token" and "refreshToken" or "code"
  if not value[field] then
    return path .. "." .. field .. " is required with this grantType"
  end
end

local function recipient(demands_email)
  return object({
    phone = nullable(text), email = demands_email and required(text) or text,
    recipientFirstName = required(text), recipientLastName = required(text),
  }, function(value, path)
    local has_phone = value.phone ~= nil and value.phone ~= json.null
    return not demands_email and not value.email and not has_phone and path .. " must have email or phone" or nil
  end)
end

-- Integers in the tables of the transfer pages, strings such as AA elsewhere.
local place = schema.either(schema.integer(), schema.text("%D", "must be an integer, or a string that is no number"))

local function seat(sold_for)
  return object {
    season = required(text), event = required(text), priceLevel = required(text), priceType = required(text),
    seatInfo = required(object {
      level = required(text), section = required(text), row = required(place), seats = required(place),
      soldFor = required(sold_for), marketplace = required(text),
    }),
  }
end

local item = object { externalOrderId = required(text), tokens = required(list(text)) }

-- Both spellings of the four entities are documented for v1.
local function spelling_rule(value, path)
  for _, name in ipairs { "Sender", "Recipient", "Seats", "Items" } do
    if value[name] ~= nil and value[name:lower()] ~= nil then
      return path .. "." .. name .. " is given in two spellings"
    end
  end
end

local function transfer(entry, with_callback)
  return object {
    transferRequests = required(list(entry, 1, 1)), linkId = text, siteId = text, baseUrl = text,
    asyncCallbackUrl = with_callback and callback_url or nil,
  }
end

local sender = object { patronId = required(text) }
local v1_seats = list(seat(schema.either(number, text)))

local BODIES = {
  ["auth.token"] = object({
    grantType = required(schema.one_of { "authorization_code", "refresh_token" }), code = text, refreshToken = text,
  }, auth_rule),
  ["tickets.lock"] = object({
    source = required(schema.one_of { "MY_ACCOUNT", "INDIVIDUAL", "BROKER" }),
    listing = required(object {
      externalListingId = text, totalPrice = number,
      tokens = required(list(object { token = required(text), individualPrice = number })),
    }),
    seller = seller,
  }, lock_rule),
  ["tickets.unlock"] = object { tokens = required(list(text)) },
  ["tickets.verify"] = object {
    tickets = required(schema.object_or_list(object({
      accessId = text, tokens = list(text), barcodes = list(text),
    }, verify_rule), math.huge)),
  },
  ["tickets.print"] = object { externalOrderId = required(text), tokens = required(list(text, 1, 30)) },
  ["orders.complete"] = object {
    listing = required(schema.object_or_list(object {
      externalListingId = required(text), externalOrderId = required(text), totalPrice = number, totalFees = number,
      tokens = required(list(object { token = required(text), individualPrice = number, individualFees = number })),
    }, math.huge)),
    buyer = required(schema.object_or_list(buyer)),
    settlement = required(schema.object_or_list(object {
      totalAmountPaid = number, amountToSeller = number, asyncCallbackUrl = callback_url,
    })),
  },
  ["transfers.initiate_v1"] = transfer(object({
    externalTransferId = text, Sender = sender, sender = sender,
    Recipient = recipient(false), recipient = recipient(false),
    Seats = v1_seats, seats = v1_seats, Items = list(item), items = list(item),
  }, spelling_rule), false),
  ["transfers.initiate"] = transfer(object {
    externalTransferId = text, Sender = sender, Recipient = recipient(true),
    Seats = list(seat(number)), Items = list(item),
  }, true),
  ["transfers.complete"] = object {
    transferRequests = required(list(object {
      externalTransferId = text, Recipient = recipient(true), Items = list(item),
    }, 1, 1)),
  },
  ["transfers.accept"] = object {
    transferId = required(text),
    Recipient = object {
      phone = nullable(text), email = required(text), recipientFirstName = text, recipientLastName = text,
    },
  },
}

local MAX_LOCK_TOKENS = 100
local MAX_TRANSFER_SEATS = 30

-- The limit has its own row in the error table, so it is judged by itself.
local function check_lock_size(payload)
  local listing = payload.listing
  local tokens = type(listing) == "table" and listing.tokens
  if type(tokens) == "table" and #tokens > MAX_LOCK_TOKENS then
    return answers.refusal(422, "UNPROCESSABLE_ENTITY", "The request payload cannot contain more than 100 tokens")
  end
end

local function entity_refusal(message)
  return answers.refusal(400, "UNPROCESSABLE_ENTITY", message, "MS-422")
end

local function missing_entity(entry, needs_sender)
  local function lacks(name)
    return entry[name] == nil and entry[name:lower()] == nil
  end
  return needs_sender and lacks("Sender") or lacks("Recipient") or (lacks("Seats") and lacks("Items"))
end

-- The four rows of the transfer error table that answer 400.
local function check_entities(payload, needs_sender)
  local requests = payload.transferRequests
  if type(requests) ~= "table" or type(requests[1]) ~= "table" then
    return entity_refusal("Request is missing a required transfer entity")
  elseif #requests > 1 then
    return entity_refusal("A transfer entity cannot have more than one item")
  elseif missing_entity(requests[1], needs_sender) then
    return entity_refusal("Request is missing a required transfer entity")
  end
  local seats = requests[1].Seats or requests[1].seats
  if type(seats) == "table" and next(seats) == nil then
    return entity_refusal("The seat array in the request is empty")
  elseif type(seats) == "table" and #seats > MAX_TRANSFER_SEATS then
    return entity_refusal("A seat transfer array cannot contain more than 30 items")
  end
end

local function initiates(payload)
  return check_entities(payload, true)
end

local BEFORE = {
  ["tickets.lock"] = check_lock_size,
  ["transfers.initiate_v1"] = initiates,
  ["transfers.initiate"] = initiates,
  ["transfers.complete"] = function(payload)
    return check_entities(payload, false)
  end,
}

-- Status, type of a body that breaks a rule, where the documents list another
-- answer than 422 UNPROCESSABLE_ENTITY.
local BODY_REFUSALS = {
  ["tickets.print"] = { 400, "BAD_REQUEST" },
  ["transfers.initiate"] = { 422, "INVALID_PARAMETER_VALUE" },
  ["transfers.complete"] = { 422, "INVALID_PARAMETER_VALUE" },
  ["transfers.initiate_v1"] = { 400, "BAD_REQUEST" },
  ["transfers.accept"] = { 400, "BAD_REQUEST" },
}

--- Builds the refusal for bad input of an operation.
-- @tparam string operation
-- @tparam string message
-- @treturn table
function judge.bad_input(operation, message)
  if operation == "auth.token" then
    return answers.auth_refusal(400, message)
  end
  local row = BODY_REFUSALS[operation] or { 422, "UNPROCESSABLE_ENTITY" }
  return answers.refusal(row[1], row[2], message)
end

--- Reads and checks the body of a request.
-- @tparam string operation name of the operation
-- @tparam string body
-- @treturn table the payload
-- @treturn[2] nil
-- @treturn[2] table a refusal
function judge.body(operation, body)
  local payload = json.decode(body)
  if type(payload) ~= "table" then
    local message = "The request body must be a JSON object"
    return nil, operation == "auth.token" and answers.auth_refusal(400, message)
      or answers.refusal(400, "BAD_REQUEST", message)
  end
  local refusal = BEFORE[operation] and BEFORE[operation](payload)
  if refusal then
    return nil, refusal
  end
  local wrong = BODIES[operation].check(payload, "body")
  if wrong then
    return nil, judge.bad_input(operation, wrong)
  end
  return payload
end

return judge
