--- Payloads made of the valid samples by seeded changes, harmless ones and hostile ones.
--
-- The same seed and number give the same payload on every Lua: an own generator of random numbers, keys in the order
-- of their names, and no state between two payloads. All access is raw, because a change may have added a metatable.
local cjson = require("cjson").new()
local chance = require("support.chance")
local samples = require("support.samples")

local mutate = {}

local null, NAN = cjson.null, 0 / 0

-- A deep copy that goes past metatables and keeps cycles.
local function copy(value, seen)
  if type(value) ~= "table" then
    return value
  end
  seen = seen or {}
  if not seen[value] then
    local result = {}
    seen[value] = result
    for key, item in next, value do
      result[key] = copy(item, seen)
    end
  end
  return seen[value]
end

-- ---- places ------------------------------------------------------------------------------

local MOST_PLACES = 500

-- Numbers first, then names, each in their order; other keys are left alone.
local function sorted_keys(value)
  local numbers, names = {}, {}
  for key in next, value do
    if type(key) == "number" then
      numbers[#numbers + 1] = key
    elseif type(key) == "string" then
      names[#names + 1] = key
    end
  end
  table.sort(numbers)
  table.sort(names)
  for _, name in ipairs(names) do
    numbers[#numbers + 1] = name
  end
  return numbers
end

local function is_list(value)
  return type(value) == "table" and rawget(value, 1) ~= nil
end

local function count_of(list)
  local count = 0
  while rawget(list, count + 1) ~= nil do
    count = count + 1
  end
  return count
end

-- Every place of a payload: `{ holder, key, value, name, path }`; the name is that of the nearest field above.
local function places_of(box)
  local places, seen = {}, {}
  local function walk(holder, key, name, path)
    local value = rawget(holder, key)
    if #places >= MOST_PLACES then
      return
    end
    places[#places + 1] = { holder = holder, key = key, value = value, name = name, path = path }
    if type(value) == "table" and not seen[value] then
      seen[value] = true
      for _, inner in ipairs(sorted_keys(value)) do
        local is_item = type(inner) == "number"
        walk(value, inner, is_item and name or inner, path .. "/" .. (is_item and ("%.17g"):format(inner - 1) or inner))
      end
    end
  end
  walk(box, 1, "", "")
  return places
end

local function put(place, value)
  rawset(place.holder, place.key, value)
end

-- A list's tail moves up, so that what stays is a list.
local function take_away(place)
  if type(place.key) == "number" and is_list(place.holder) then
    for i = place.key, count_of(place.holder) do
      rawset(place.holder, i, rawget(place.holder, i + 1))
    end
  else
    put(place, nil)
  end
end

-- ---- what may stand where --------------------------------------------------------------------

local is = {}
function is.any() return true end
function is.text(place) return type(place.value) == "string" end
function is.number(place) return type(place.value) == "number" end
function is.scalar(place) return type(place.value) ~= "table" end
function is.table(place) return type(place.value) == "table" end
function is.list(place) return is_list(place.value) end
function is.object(place) return is.table(place) and not is_list(place.value) end
function is.field(place) return type(place.key) == "string" end
function is.inner(place) return place.path ~= "" end

local FIXED = { grantType = true, source = true, number = true, startDate = true, asyncCallbackUrl = true }
function is.free_text(place) return is.text(place) and not FIXED[place.name] end
function is.fixed_text(place) return is.text(place) and FIXED[place.name] ~= nil end

local SPELLINGS = { Sender = "sender", Recipient = "recipient", Seats = "seats", Items = "items",
  sender = "Sender", recipient = "Recipient", seats = "Seats", items = "Items" }
function is.spelt(place) return is.field(place) and is.table(place) and SPELLINGS[place.key] ~= nil end

local SHAPED = {
  ["tickets.lock"] = { address = true, phoneNumber = true, emailAddress = true },
  ["orders.complete"] = { listing = true, buyer = true, settlement = true },
  ["tickets.verify"] = { tickets = true },
}
function is.shaped(place, case)
  local names = SHAPED[case.operation]
  return is.field(place) and is.table(place) and names ~= nil and names[place.key] == true
end

function is.lock_token(place, case)
  return case.operation == "tickets.lock" and place.name == "tokens" and type(place.key) == "number"
end

function is.amount(place) return is.number(place) or (place.key == "soldFor" and is.scalar(place)) end
function is.label(place) return (place.key == "row" or place.key == "seats") and is.scalar(place) end

-- ---- harmless changes: they keep a payload right, or nearly so ----------------------------------

-- Operation: name of the object, field, values that the documents allow there.
local PHONES = { "phoneNumber", "extension", { "12", null } }
local OPTIONAL = {
  ["auth.token"] = { { "", "code", { "", "c0d3" } }, { "", "refreshToken", { "", "r3fr3sh" } } },
  ["tickets.lock"] = { { "listing", "externalListingId", { "L-1", "" } }, { "listing", "totalPrice", { 0, 12.5 } },
    { "tokens", "individualPrice", { 3, 0.1 } }, { "seller", "middleName", { "Q", "" } }, PHONES,
    { "address", "address2", { "Suite 1", "", null } }, { "address", "address4", { "4", null } },
    { "phoneNumber", "formattedNumber", { "(949) 823-4548" } }, { "emailAddress", "optIn", { true, false } } },
  ["orders.complete"] = { { "listing", "totalFees", { 4, 0 } }, { "buyer", "middleInitial", { "Q", "" } }, PHONES,
    { "address", "address3", { null, "x" } }, { "tokens", "individualFees", { 2 } },
    { "settlement", "asyncCallbackUrl", { "https://shop.example/paciolan?x=1", "http://10.0.0.1:8080/cb" } } },
  ["tickets.verify"] = { { "tickets", "accessId", { "129:FB23:F01", "" } }, { "tickets", "barcodes", { { "0123" } } },
    { "tickets", "tokens", { { "T-1" } } } },
  ["transfers.initiate"] = { { "", "linkId", { "7" } }, { "", "siteId", { "" } }, { "", "baseUrl", { "any text" } },
    { "", "asyncCallbackUrl", { "https://u:p@shop.example/cb" } }, { "Recipient", "phone", { null, "7149999999" } },
    { "transferRequests", "externalTransferId", { "X-1" } } },
  ["transfers.initiate_v1"] = { { "", "linkId", { "7" } }, { "recipient", "phone", { null, "7149999999", "" } },
    { "Recipient", "email", { "", "a@b.example" } }, { "transferRequests", "externalTransferId", { "" } } },
  ["transfers.complete"] = { { "Recipient", "phone", { null, "1" } },
    { "transferRequests", "externalTransferId", { "X-1" } } },
  ["transfers.accept"] = { { "Recipient", "phone", { null } }, { "", "Recipient", { {
    email = "a@b.example", recipientFirstName = "A", recipientLastName = "B" } } } },
  ["catalog.events"] = { { "", "startDate", { "2026-09-01", "2024-02-29" } }, { "", "seasonCode", { "F&23=?", "ñ" } },
    { "", "facilityCode", { "ABC", "a b+c" } } },
}

local TEXTS = { "a", "0012", "1e5", "Nuñez-Łukasz 山田 \240\159\142\159", 'quote " and \\ and /', "line\nend\127",
  "nul\0inside", ("long "):rep(60), "\239\191\191", "\244\143\191\191" }
local NUMBERS = { 0, -0.0, 1, -3, 0.1, 13.13, 1e15, 9007199254740992, 1e21, 1.7976931348623157e308, 5e-324 }
local LABELS = { 7, 0, -5, 12.0, "12", "007", "AA", "12A", "0", "999999999999999", "9999999999999999", " 1" }
local AMOUNTS = { 13.13, "13.13", "0", "-1.5e3", "1e400", "13,13", "+1", "0x10", ".5", "5.", "01", "1e5", "" }

local URLS = { "https://shop.example/cb", "HTTPS://user:word@shop.example:8443/cb?x=1", "http://10.0.0.1:8080/cb",
  "https://a b/", "https://shop.example:99999/", "https://shop.example/#part", "shop.example/cb" }

-- Each: name, where it fits, what it does. It may return more words for the trail, or false when it did nothing.
local harmless = {
  { "optional", is.object, function(place, case, random)
    local fitting = {}
    for _, row in ipairs(OPTIONAL[case.operation] or {}) do
      if row[1] == place.name then
        fitting[#fitting + 1] = row
      end
    end
    local row = #fitting > 0 and random:pick(fitting)
    if not row then
      return false
    end
    rawset(place.value, row[2], copy(random:pick(row[3])))
    return row[2]
  end },
  { "spelling", is.spelt, function(place)
    local other = SPELLINGS[place.key]
    take_away(place)
    rawset(place.holder, other, place.value)
    return other
  end },
  { "shape", is.shaped, function(place)
    if not is_list(place.value) then
      put(place, { place.value })
    elseif count_of(place.value) == 1 then
      put(place, rawget(place.value, 1))
    else
      return false
    end
  end },
  { "shorthand", is.lock_token, function(place)
    if type(place.value) == "table" then
      put(place, rawget(place.value, "token"))
    else
      put(place, { token = place.value })
    end
  end },
  { "label", is.label, function(place, _, random) put(place, random:pick(LABELS)) end },
  { "more", is.list, function(place, _, random)
    local count = count_of(place.value)
    for i = count + 1, random:pick { count + 1, count + 1, count + 2, count + 5, 30 } do
      rawset(place.value, i, copy(rawget(place.value, 1)))
    end
  end },
  { "fewer", function(place) return type(place.key) == "number" and is.inner(place) end, take_away },
  { "text", is.free_text, function(place, _, random) put(place, random:pick(TEXTS)) end },
  { "amount", is.amount, function(place, _, random)
    put(place, random:pick((place.name == "soldFor" and random:percent(60)) and AMOUNTS or NUMBERS))
  end },
  { "source", function(place) return place.key == "source" end, function(place, _, random)
    put(place, random:pick { "MY_ACCOUNT", "INDIVIDUAL", "BROKER" })
  end },
  { "url", function(place) return place.key == "asyncCallbackUrl" end, function(place, case, random)
    put(place, random:pick(URLS))
    case.options.shapes = { callback_url = random:pick { "any", "https" } }
  end },
  { "graft", function(place) return is.object(place) and place.path == "" end, function(place, case, random)
    local others = {}
    for _, sample in ipairs(samples.requests) do
      if sample.operation == case.operation then
        others[#others + 1] = sample.file
      end
    end
    local file = random:pick(others)
    if not file then
      return false
    end
    local other = samples.load(file)
    local key = random:pick(sorted_keys(other))
    rawset(place.value, key, other[key])
    return key
  end },
}

-- ---- hostile changes ---------------------------------------------------------------------------

local ODD_VALUES = { 0, 1.5, -1, "", "x", "12", true, false, {}, { "x" }, { 1, 2 }, { a = 1 }, { { {} } }, null, print,
  coroutine.create(print), io.stdout }

local function respelt(random, name)
  local at = random:below(#name) + 1
  local ways = {
    function() return name:lower() end,
    function() return name:upper() end,
    function() return name:sub(1, at - 1) .. name:sub(at + 1) end,
    function() return name:sub(1, at) .. name:sub(at) end,
    function() return (name:gsub("%u", function(letter) return "_" .. letter:lower() end)) end,
    function() return name .. tostring(at) end,
    function() return name .. " " end,
    function() return name .. "\0" end,
    function() return "\255" .. name end,
  }
  return random:pick(ways)()
end

local function loud() error("a metamethod was called") end

local function lend(place)
  local key = sorted_keys(place.value)[1]
  local lent = {}
  if key ~= nil then
    lent[key] = rawget(place.value, key)
    rawset(place.value, key, nil)
  end
  debug.setmetatable(place.value, { __index = lent }) -- it may have a locked one
end

local ODD_KEYS = { 0, -1, 1.5, 1e300, math.huge, true, false, print, {}, 2147483648, 9007199254740992 }
local BAD_UTF8 = { "\255", "\192\175", "\237\160\128", "\244\144\128\128", "\128", "\226\130", "a\195" }
local BAD_FORMS = { "+17149999999", "1 2", "", "my_account", "BROKER ", "password", "2026-02-29", "2026-9-1",
  "2026-09-01T00:00:00Z", "a\r\nb", "\0", "https://", "ftp://a.example/", "https://a.example/\127", "1\0" }
local LONG = { 31, 100, 101, 130 }

local hostile = {
  { "drop", is.inner, take_away },
  { "retype", is.any, function(place, _, random) put(place, copy(random:pick(ODD_VALUES))) end },
  { "exceed", function(place) return is.list(place) or is.text(place) end, function(place, _, random)
    if is.text(place) then
      put(place, ("x"):rep(random:pick { 1024, 1025, 5000 }))
      return nil
    end
    for i = count_of(place.value) + 1, random:pick(LONG) do
      rawset(place.value, i, rawget(place.value, 1))
    end
  end },
  { "misspell", is.field, function(place, _, random)
    local name = respelt(random, place.key)
    take_away(place)
    rawset(place.holder, name, place.value)
    return ("%q"):format(name)
  end },
  { "nest", is.any, function(place, _, random)
    put(place, random:percent(50) and { place.value } or { [place.name ~= "" and place.name or "data"] = place.value })
  end },
  { "null", is.any, function(place) put(place, null) end },
  { "empty", is.inner, function(place)
    if is.table(place) then
      put(place, {})
    else
      put(place, "")
    end
  end },
  { "sparse", is.list, function(place, _, random)
    local list, count = place.value, count_of(place.value)
    local first = rawget(list, 1)
    local key = random:pick { 0, -1, count + 2, count + 1000, 1.5, 2 ^ 31, 2 ^ 53, "n", "1" }
    rawset(list, key, first)
    if random:percent(30) then
      rawset(list, 1, nil)
    end
    return type(key) == "number" and ("%.17g"):format(key) or key
  end },
  { "not finite", is.scalar, function(place, _, random) put(place, random:pick { NAN, math.huge, -math.huge }) end },
  { "huge number", function(place) return is.amount(place) or is.label(place) end, function(place, _, random)
    local largest = rawget(math, "maxinteger") or 2 ^ 63
    put(place, random:pick { 2 ^ 53 + 2, -2 ^ 53 - 2, 2 ^ 63, 2 ^ 64, 1e300, largest, -largest, -0.0, 5e-324 })
  end },
  { "utf8", is.text, function(place, _, random) put(place, place.value .. random:pick(BAD_UTF8)) end },
  { "deep", is.any, function(place, _, random)
    local key, value = random:pick { 1, place.name }, place.value
    for _ = 1, random:pick { 14, 200, 2000 } do
      value = { [key] = value }
    end
    put(place, value)
  end },
  { "metatable", is.table, function(place, _, random)
    if random:percent(40) then
      lend(place)
      return "lends"
    end
    debug.setmetatable(place.value, { __index = loud, __newindex = loud, __len = loud, __pairs = loud, __ipairs = loud,
      __eq = loud, __tostring = loud, __call = loud, __concat = loud, __metatable = "locked" })
  end },
  { "cycle", is.inner, function(place, case, random)
    put(place, random:percent(50) and place.holder or case.box[1])
  end },
  { "form", is.fixed_text, function(place, _, random) put(place, random:pick(BAD_FORMS)) end },
  { "control", is.text, function(place, _, random)
    put(place, random:pick { "", ".", "..", "%2e%2e", "a/b?c#d", "a\nb", "a\0b", "a\127b", "ñ" })
  end },
  { "extra", is.object, function(place, _, random)
    local name = random:pick { "extra", "zip", "address5", "a/b~c", "98973476444", "", "\255", "distributorCode" }
    rawset(place.value, name, copy(random:pick(ODD_VALUES)))
    return ("%q"):format(name)
  end },
  { "both spellings", is.spelt, function(place)
    rawset(place.holder, SPELLINGS[place.key], copy(place.value))
  end },
  { "key", is.table, function(place, _, random) rawset(place.value, random:pick(ODD_KEYS), "x") end },
}

-- ---- options --------------------------------------------------------------------------------------

local SWITCHES = {
  { "complete_order", "array", "object" }, { "seller_contact", "object", "array" }, { "verify", "array", "object" },
  { "transfer_v1", "capitalised", "lower" }, { "sold_for", "number", "string" }, { "callback_url", "any", "https" },
  { "accept_recipient", "optional", "required" }, { "transfer_items", "any", "one" },
}

local function vary_shapes(options, random)
  options.shapes = {}
  for _, switch in ipairs(SWITCHES) do
    if random:percent(40) then
      options.shapes[switch[1]] = switch[2 + random:below(2)]
    end
  end
  return "shapes"
end

local option_changes = {
  vary_shapes, vary_shapes, vary_shapes,
  function(options) options.distributor_code = nil return "no distributor_code" end,
  function(options) options.organization_id = nil return "no organization_id" end,
  function(options) options.distributor_code, options.organization_id = "D&1", "999" return "both codes" end,
  function(options, random)
    options.distributor_code = random:pick { "A\nB", "\255", ("x"):rep(2000), "ñ b", "\127" }
    return "odd distributor_code"
  end,
  function(options, random)
    options.organization_id = random:pick { " 9", "9 ", "ñ", "9\n", "9\t9", "\127" }
    return "odd organization_id"
  end,
}

-- ---- cases --------------------------------------------------------------------------------------------

local URL_BASES = {
  { operation = "listings.get", value = "A3qnemZ", name = "listingId" },
  { operation = "orders.status", value = "5f1c", name = "processId" },
  { operation = "transfers.cancel", value = "3785222-AMTX:10555", name = "confirmationCd" },
  { operation = "transfers.history", value = "3785222-AMTX:10555", name = "confirmationCd" },
  { operation = "transfers.pending", value = "a b/c?d", name = "processId" },
  { operation = "transfers.complete_status", value = "Ñ", name = "processId" },
}

local decoded = {}
local function sample_copy(file)
  decoded[file] = decoded[file] or samples.load(file)
  return copy(decoded[file])
end

-- The untouched payload that a case begins with.
local function begin(random)
  if random:percent(75) then
    local sample = random:pick(samples.requests)
    return { operation = sample.operation, sample = sample.file, box = { sample_copy(sample.file) },
      options = copy(sample.options or {}) }
  elseif random:percent(25) then
    return { operation = "catalog.events", sample = "filters", options = { organization_id = "999" },
      box = { { startDate = "2026-09-01", seasonCode = "F23", facilityCode = "ABC" } } }
  end
  local base = random:pick(URL_BASES)
  local value = base.value
  if random:percent(40) then
    value = { [base.name] = value }
  end
  return { operation = base.operation, sample = base.name, box = { value }, options = { organization_id = "999" } }
end

local function note(case, kind, place, words)
  case.kinds[#case.kinds + 1] = kind
  case.trail[#case.trail + 1] = kind .. (place and " " .. place or "") .. (words and " " .. words or "")
end

-- One change of the list at a random place; another kind when one finds no place.
local function change(case, random, list)
  local places = places_of(case.box)
  for _ = 1, 12 do
    local kind, fitting = random:pick(list), {}
    for _, place in ipairs(places) do
      if kind[2](place, case) then
        fitting[#fitting + 1] = place
      end
    end
    if #fitting > 0 then
      local place = random:pick(fitting)
      local words = kind[3](place, case, random)
      if words ~= false then
        return note(case, kind[1], place.path, words)
      end
    end
  end
end

local function change_options(case, random)
  note(case, "options", nil, random:pick(option_changes)(case.options, random))
end

-- How many harmless and how many hostile changes, in this order.
local PLANS = { { 1, 0 }, { 2, 0 }, { 2, 0 }, { 3, 0 }, { 0, 1 }, { 0, 1 }, { 1, 1 }, { 2, 1 }, { 0, 2 }, { 0, 3 } }

--- The names of all changes, in order.
function mutate.kinds()
  local names = { "options" }
  for _, list in ipairs { harmless, hostile } do
    for _, kind in ipairs(list) do
      names[#names + 1] = kind[1]
    end
  end
  return names
end

--- Makes one payload.
-- @tparam number seed a whole number
-- @tparam number number which payload of that seed, from 1
-- @treturn table `operation`, `payload`, `options`, `sample` (what it was made of), `kinds` and `trail` (what was
-- changed, and where)
function mutate.case(seed, number)
  local random = chance.new(seed, number)
  local case = begin(random)
  case.kinds, case.trail, case.seed, case.number = {}, {}, seed, number
  local plan = random:pick(PLANS)
  for _ = 1, plan[1] do
    change(case, random, harmless)
  end
  for _ = 1, plan[2] do
    change(case, random, hostile)
  end
  if random:percent(30) then
    change_options(case, random)
  end
  case.payload = case.box[1]
  return case
end

return mutate
