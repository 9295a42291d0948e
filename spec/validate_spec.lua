--- paciolan.validate: what the documents allow passes, and everything else is named at its place.
local paciolan = require("paciolan")
local samples = require("support.samples")

local REMOVE = samples.REMOVE
local null = paciolan.null
local NAN, INFINITY = 0 / 0, math.huge

local function problems(err)
  local list = {}
  for i, problem in ipairs(err.fields) do
    list[i] = problem.path .. " " .. problem.rule
  end
  return list
end

-- Asserts exactly these problems, in this order; none means that the payload is right.
local function expect(operation, payload, options, wanted)
  local ok, err = paciolan.validate(operation, payload, options)
  if #wanted == 0 then
    assert.is_nil(err and tostring(err))
    assert.is_true(ok)
    return nil
  end
  assert.is_nil(ok)
  assert.equal("validation", err.kind)
  assert.same(wanted, problems(err))
  return err
end

local function merge(first, second)
  local result = {}
  for _, part in ipairs { first or {}, second or {} } do
    for key, value in pairs(part) do
      result[key] = value
    end
  end
  return result
end

-- What the second choice of a switch forbids in a sample, on purpose.
local refusals = {
  ["callback_url complete-order.request.json"] = { "/settlement/0/asyncCallbackUrl format" },
  ["callback_url derived/complete-order.request.object-shape.json"] = { "/settlement/asyncCallbackUrl format" },
  ["callback_url transfer-v2.request.seats.json"] = { "/asyncCallbackUrl format" },
  ["callback_url derived/transfer-v2.request.items.json"] = { "/asyncCallbackUrl format" },
  ["accept_recipient derived/accept-transfer.request.seats.json"] = { "/Recipient required" },
}

describe("every sample", function()
  for _, sample in ipairs(samples.requests) do
    it("passes: " .. sample.file, function()
      expect(sample.operation, samples.load(sample.file), sample.options, {})
    end)

    for name, shape in pairs(paciolan.shapes()) do
      for _, choice in ipairs(shape.choices) do
        it(("is judged under shapes.%s = %q: %s"):format(name, choice, sample.file), function()
          local wanted = choice == shape.choices[2] and refusals[name .. " " .. sample.file] or {}
          expect(sample.operation, samples.load(sample.file),
            merge(sample.options, { shapes = { [name] = choice } }), wanted)
        end)
      end
    end
  end
end)

local MY_ACCOUNT, INDIVIDUAL = "lock.request.my-account.json", "lock.request.individual.json"
local BROKER, PRINT, UNLOCK = "derived/lock.request.broker.json", "print.request.json", "unlock.request.json"
local VERIFY, BARCODES = "verify.request.tokens.json", "derived/verify.request.barcodes.json"
local ORDER, ORDER_OBJECT = "complete-order.request.json", "derived/complete-order.request.object-shape.json"
local CODE, REFRESH = "auth-token.request.code.json", "derived/auth-token.request.refresh.json"
local V2_SEATS, V2_ITEMS = "transfer-v2.request.seats.json", "derived/transfer-v2.request.items.json"
local V1_SEATS, V1_ITEMS = "transfer-v1.request.seats.json", "derived/transfer-v1.request.items.json"
local V1_CAPITALISED = "derived/transfer-v1.request.seats.capitalised.json"
local ACCEPT, ACCEPT_SEATS = "accept-transfer.request.json", "derived/accept-transfer.request.seats.json"
local COMPLETE = "derived/complete-transfer.request.json"

local operation_of, options_of = {}, {}
for _, sample in ipairs(samples.requests) do
  operation_of[sample.file], options_of[sample.file] = sample.operation, sample.options
end

local function shapes(name, choice)
  return { shapes = { [name] = choice } }
end

local lock_tokens = samples.strings
local ENTRY = "/transferRequests/0"
local seat = samples.load(V2_SEATS).transferRequests[1].Seats[1]
local seat_v1 = samples.load(V1_CAPITALISED).transferRequests[1].Seats[1]
local entry_v2 = samples.load(V2_ITEMS).transferRequests[1]
local entry_v1 = samples.load(V1_ITEMS).transferRequests[1]
local entry_complete = samples.load(COMPLETE).transferRequests[1]
local address = samples.load(INDIVIDUAL).seller.address

-- Each row: description, sample, changes by JSON Pointer, the problems in their order, options beside the sample's.
local cases = {
  -- limits: below, at, above
  { "0 lock tokens", MY_ACCOUNT, { ["/listing/tokens"] = {} }, { "/listing/tokens min_items" } },
  { "1 lock token", MY_ACCOUNT, { ["/listing/tokens"] = lock_tokens(1) }, {} },
  { "100 lock tokens", MY_ACCOUNT, { ["/listing/tokens"] = lock_tokens(100) }, {} },
  { "101 lock tokens", MY_ACCOUNT, { ["/listing/tokens"] = lock_tokens(101) }, { "/listing/tokens max_items" } },
  { "0 print tokens", PRINT, { ["/tokens"] = {} }, { "/tokens min_items" } },
  { "1 print token", PRINT, { ["/tokens"] = lock_tokens(1) }, {} },
  { "30 print tokens", PRINT, { ["/tokens"] = lock_tokens(30) }, {} },
  { "31 print tokens", PRINT, { ["/tokens"] = lock_tokens(31) }, { "/tokens max_items" } },
  { "0 unlock tokens", UNLOCK, { ["/tokens"] = {} }, { "/tokens min_items" } },
  { "1000 unlock tokens, no limit being documented", UNLOCK, { ["/tokens"] = lock_tokens(1000) }, {} },
  { "0 seats v2", V2_SEATS, { [ENTRY .. "/Seats"] = {} }, { ENTRY .. "/Seats min_items" } },
  { "30 seats v2", V2_SEATS, { [ENTRY .. "/Seats"] = samples.repeated(seat, 30) }, {} },
  { "31 seats v2", V2_SEATS, { [ENTRY .. "/Seats"] = samples.repeated(seat, 31) }, { ENTRY .. "/Seats max_items" } },
  { "30 seats v1", V1_CAPITALISED, { [ENTRY .. "/Seats"] = samples.repeated(seat_v1, 30) }, {} },
  { "31 seats v1", V1_CAPITALISED, { [ENTRY .. "/Seats"] = samples.repeated(seat_v1, 31) },
    { ENTRY .. "/Seats max_items" } },
  { "0 transferRequests v2", V2_ITEMS, { ["/transferRequests"] = {} }, { "/transferRequests min_items" } },
  { "2 transferRequests v2", V2_ITEMS, { ["/transferRequests"] = samples.repeated(entry_v2, 2) },
    { "/transferRequests max_items" } },
  { "0 transferRequests v1", V1_ITEMS, { ["/transferRequests"] = {} }, { "/transferRequests min_items" } },
  { "2 transferRequests v1", V1_ITEMS, { ["/transferRequests"] = samples.repeated(entry_v1, 2) },
    { "/transferRequests max_items" } },
  { "0 transferRequests of complete", COMPLETE, { ["/transferRequests"] = {} }, { "/transferRequests min_items" } },
  { "2 transferRequests of complete", COMPLETE, { ["/transferRequests"] = samples.repeated(entry_complete, 2) },
    { "/transferRequests max_items" } },
  { "0 items", V2_ITEMS, { [ENTRY .. "/Items"] = {} }, { ENTRY .. "/Items min_items" } },
  { "several items", V2_ITEMS, { [ENTRY .. "/Items"] = samples.repeated(entry_v2.Items[1], 3) }, {} },
  { "several items where one is asked for", V2_ITEMS, { [ENTRY .. "/Items"] = samples.repeated(entry_v2.Items[1], 2) },
    { ENTRY .. "/Items max_items" }, shapes("transfer_items", "one") },
  { "an item without tokens", V2_ITEMS, { [ENTRY .. "/Items/0/tokens"] = {} },
    { ENTRY .. "/Items/0/tokens min_items" } },
  { "0 verify entries", VERIFY, { ["/tickets"] = {} }, { "/tickets min_items" } },
  { "0 verify tokens", VERIFY, { ["/tickets/0/tokens"] = {} }, { "/tickets/0/tokens min_items" } },
  { "0 barcodes", BARCODES, { ["/tickets/0/barcodes"] = {} }, { "/tickets/0/barcodes min_items" } },
  { "0 order tokens", ORDER, { ["/listing/0/tokens"] = {} }, { "/listing/0/tokens min_items" } },
  { "0 order listings", ORDER, { ["/listing"] = {} }, { "/listing min_items" } },
  { "0 buyers", ORDER, { ["/buyer"] = {} }, { "/buyer min_items" } },
  { "0 settlements", ORDER, { ["/settlement"] = {} }, { "/settlement min_items" } },

  -- one field depends on another
  { "tokens with barcodes", VERIFY, { ["/tickets/0/barcodes"] = { "1" } }, { "/tickets/0/barcodes exclusive" } },
  { "neither tokens nor barcodes", VERIFY, { ["/tickets/0/tokens"] = REMOVE }, { "/tickets/0/tokens required" } },
  { "tokens without accessId", VERIFY, { ["/tickets/0/accessId"] = REMOVE }, {} },
  { "barcodes without accessId", BARCODES, { ["/tickets/0/accessId"] = REMOVE }, { "/tickets/0/accessId required" } },
  { "barcodes with an empty accessId", BARCODES, { ["/tickets/0/accessId"] = "" },
    { "/tickets/0/accessId required" } },
  { "no seller for INDIVIDUAL", INDIVIDUAL, { ["/seller"] = REMOVE }, { "/seller required" } },
  { "no seller for BROKER", BROKER, { ["/seller"] = REMOVE }, { "/seller required" } },
  { "no seller for MY_ACCOUNT", MY_ACCOUNT, {}, {} },
  { "seller passed through for MY_ACCOUNT, with formats of its own", INDIVIDUAL,
    { ["/source"] = "MY_ACCOUNT", ["/seller/phoneNumber/number"] = "call me", ["/seller/lastName"] = REMOVE }, {} },
  { "seller for MY_ACCOUNT with wrong names and types", INDIVIDUAL,
    { ["/source"] = "MY_ACCOUNT", ["/seller/lastname"] = "x", ["/seller/firstName"] = 1 },
    { "/seller/firstName type", "/seller/lastname unknown" } },
  { "a code with grantType refresh_token", CODE, { ["/grantType"] = "refresh_token" }, { "/refreshToken required" } },
  { "a refresh token with grantType authorization_code", REFRESH, { ["/grantType"] = "authorization_code" },
    { "/code required" } },
  { "an empty code", CODE, { ["/code"] = "" }, { "/code required" } },
  { "an empty refresh token", REFRESH, { ["/refreshToken"] = "" }, { "/refreshToken required" } },
  { "no email in v2", V2_ITEMS, { [ENTRY .. "/Recipient/email"] = REMOVE },
    { ENTRY .. "/Recipient/email required" } },
  { "a phone in the place of the email in v2", V2_ITEMS,
    { [ENTRY .. "/Recipient/email"] = REMOVE, [ENTRY .. "/Recipient/phone"] = "7149999999" },
    { ENTRY .. "/Recipient/email required" } },
  { "neither email nor phone in v1", V1_ITEMS, { [ENTRY .. "/Recipient/email"] = REMOVE },
    { ENTRY .. "/Recipient/email required" } },
  { "an empty email and a null phone in v1", V1_ITEMS,
    { [ENTRY .. "/Recipient/email"] = "", [ENTRY .. "/Recipient/phone"] = null },
    { ENTRY .. "/Recipient/email required" } },
  { "a phone in the place of the email in v1", V1_ITEMS,
    { [ENTRY .. "/Recipient/email"] = REMOVE, [ENTRY .. "/Recipient/phone"] = "7149999999" }, {} },
  { "neither Seats nor Items in v2", V2_ITEMS, { [ENTRY .. "/Items"] = REMOVE }, { ENTRY .. "/Seats required" } },
  { "neither Seats nor Items in v1", V1_ITEMS, { [ENTRY .. "/Items"] = REMOVE }, { ENTRY .. "/Seats required" } },
  { "Seats and Items", V2_SEATS, { [ENTRY .. "/Items"] = samples.repeated(entry_v2.Items[1], 1) }, {} },
  { "no Items of complete", COMPLETE, { [ENTRY .. "/Items"] = REMOVE }, { ENTRY .. "/Items required" } },
  { "a Sender of complete, which has none", COMPLETE, { [ENTRY .. "/Sender"] = { patronId = "1" } },
    { ENTRY .. "/Sender unknown" } },
  { "acceptance of tokens without names", ACCEPT,
    { ["/Recipient/recipientFirstName"] = REMOVE, ["/Recipient/recipientLastName"] = "" },
    { "/Recipient/recipientFirstName required", "/Recipient/recipientLastName required" } },
  { "acceptance of seats without names", ACCEPT,
    { ["/Recipient/recipientFirstName"] = REMOVE, ["/Recipient/recipientLastName"] = REMOVE }, {},
    { distributor_code = "D" } },
  { "acceptance without a Recipient where one is asked for", ACCEPT_SEATS, {}, { "/Recipient required" },
    shapes("accept_recipient", "required") },
  { "acceptance without a transferId", ACCEPT, { ["/transferId"] = REMOVE }, { "/transferId required" } },

  -- formats and values
  { "a phone number with punctuation", INDIVIDUAL, { ["/seller/phoneNumber/number"] = "(949) 823-4548" },
    { "/seller/phoneNumber/number format" } },
  { "a buyer's phone number with a plus", ORDER, { ["/buyer/0/phoneNumber/number"] = "+17149999999" },
    { "/buyer/0/phoneNumber/number format" } },
  { "an unknown source", MY_ACCOUNT, { ["/source"] = "MYACCOUNT" }, { "/source enum" } },
  { "a source in small letters", MY_ACCOUNT, { ["/source"] = "my_account" }, { "/source enum" } },
  { "an unknown grantType", CODE, { ["/grantType"] = "password" }, { "/grantType enum" } },
  { "a callback URL with a line end", V2_ITEMS, { ["/asyncCallbackUrl"] = "http://a/\r\nx" },
    { "/asyncCallbackUrl format" } },
  { "an empty callback URL", ORDER, { ["/settlement/0/asyncCallbackUrl"] = "" },
    { "/settlement/0/asyncCallbackUrl format" } },
  { "an https callback URL where only that is allowed", V2_ITEMS, { ["/asyncCallbackUrl"] = "https://u:p@a.example/x" },
    {}, shapes("callback_url", "https") },
  { "soldFor as text in v2", V2_SEATS, { [ENTRY .. "/Seats/0/seatInfo/soldFor"] = "13.13" },
    { ENTRY .. "/Seats/0/seatInfo/soldFor type" } },
  { "soldFor as words in v1", V1_CAPITALISED, { [ENTRY .. "/Seats/0/seatInfo/soldFor"] = "13,13" },
    { ENTRY .. "/Seats/0/seatInfo/soldFor format" } },
  { "soldFor as text that no number holds", V1_CAPITALISED, { [ENTRY .. "/Seats/0/seatInfo/soldFor"] = "1e400" },
    { ENTRY .. "/Seats/0/seatInfo/soldFor finite" } },
  { "soldFor as text in v1", V1_CAPITALISED, { [ENTRY .. "/Seats/0/seatInfo/soldFor"] = "13.13" }, {} },
  { "row as a number", V2_SEATS, { [ENTRY .. "/Seats/0/seatInfo/row"] = 12 }, {} },
  { "row as letters", V2_SEATS, { [ENTRY .. "/Seats/0/seatInfo/row"] = "AA" }, {} },
  { "row as a fraction", V2_SEATS, { [ENTRY .. "/Seats/0/seatInfo/row"] = 1.5 },
    { ENTRY .. "/Seats/0/seatInfo/row integer" } },
  { "row as infinity", V2_SEATS, { [ENTRY .. "/Seats/0/seatInfo/row"] = INFINITY },
    { ENTRY .. "/Seats/0/seatInfo/row integer" } },
  { "row as a truth value", V2_SEATS, { [ENTRY .. "/Seats/0/seatInfo/row"] = true },
    { ENTRY .. "/Seats/0/seatInfo/row type" } },
  { "an empty row", V2_SEATS, { [ENTRY .. "/Seats/0/seatInfo/row"] = "" },
    { ENTRY .. "/Seats/0/seatInfo/row min_length" } },
  { "an empty required text", PRINT, { ["/externalOrderId"] = "" }, { "/externalOrderId min_length" } },
  { "an empty token", UNLOCK, { ["/tokens/1"] = "" }, { "/tokens/1 min_length" } },
  { "an empty token by shorthand", MY_ACCOUNT, { ["/listing/tokens/1"] = "" }, { "/listing/tokens/1 min_length" } },
  { "text that is not UTF-8", PRINT, { ["/externalOrderId"] = "A\255" }, { "/externalOrderId utf8" } },
  { "an overlong UTF-8 slash", UNLOCK, { ["/tokens/0"] = "\192\175" }, { "/tokens/0 utf8" } },
  { "a UTF-8 surrogate", INDIVIDUAL, { ["/seller/lastName"] = "\237\160\128" }, { "/seller/lastName utf8" } },
  { "a name with letters of the world", INDIVIDUAL, { ["/seller/lastName"] = "Nuñez-Łukasz 山田 \240\159\142\159" }, {} },

  -- types
  { "a number for a token", UNLOCK, { ["/tokens/0"] = 98973476444 }, { "/tokens/0 type" } },
  { "a number for a token object's token", MY_ACCOUNT, { ["/listing/tokens/0/token"] = 98973476444 },
    { "/listing/tokens/0/token type" } },
  { "a number for a token in the list", MY_ACCOUNT, { ["/listing/tokens/0"] = 98973476444 },
    { "/listing/tokens/0 type" } },
  { "a number for an order id", PRINT, { ["/externalOrderId"] = 123456 }, { "/externalOrderId type" } },
  { "a number for a patron", V2_ITEMS, { [ENTRY .. "/Sender/patronId"] = 3785222 },
    { ENTRY .. "/Sender/patronId type" } },
  { "a number for a barcode", BARCODES, { ["/tickets/0/barcodes/1"] = 123456789013 },
    { "/tickets/0/barcodes/1 type" } },
  { "a number for a price level", V2_SEATS, { [ENTRY .. "/Seats/0/priceLevel"] = 1 },
    { ENTRY .. "/Seats/0/priceLevel type" } },
  { "text for a price", MY_ACCOUNT, { ["/listing/totalPrice"] = "14" }, { "/listing/totalPrice type" } },
  { "text for an amount", ORDER, { ["/settlement/0/totalAmountPaid"] = "52" },
    { "/settlement/0/totalAmountPaid type" } },
  { "text for a truth value", INDIVIDUAL, { ["/seller/emailAddress/optIn"] = "true" },
    { "/seller/emailAddress/optIn type" } },
  { "a number for a truth value", ORDER, { ["/buyer/0/emailAddress/optIn"] = 1 },
    { "/buyer/0/emailAddress/optIn type" } },
  { "a truth value for text", PRINT, { ["/externalOrderId"] = true }, { "/externalOrderId type" } },
  { "a function for text", PRINT, { ["/externalOrderId"] = print }, { "/externalOrderId type" } },
  { "a table for text", PRINT, { ["/externalOrderId"] = {} }, { "/externalOrderId type" } },
  { "NaN", MY_ACCOUNT, { ["/listing/totalPrice"] = NAN }, { "/listing/totalPrice finite" } },
  { "infinity", MY_ACCOUNT, { ["/listing/tokens/1/individualPrice"] = INFINITY },
    { "/listing/tokens/1/individualPrice finite" } },
  { "minus infinity", V1_CAPITALISED, { [ENTRY .. "/Seats/0/seatInfo/soldFor"] = -INFINITY },
    { ENTRY .. "/Seats/0/seatInfo/soldFor finite" } },
  { "text for an object", MY_ACCOUNT, { ["/listing"] = "x" }, { "/listing type" } },
  { "text for a list", PRINT, { ["/tokens"] = "88973476445" }, { "/tokens type" } },
  { "an object for a list of text", PRINT, { ["/tokens"] = { a = "88973476445" } }, { "/tokens type" } },
  { "an object for a list of objects", MY_ACCOUNT, { ["/listing/tokens"] = { token = "1" } },
    { "/listing/tokens type" } },
  { "a list for an object", MY_ACCOUNT, { ["/listing"] = { "x" } }, { "/listing type", "/listing/tokens required" } },
  { "a list of one for an object that has no such shape", V2_ITEMS, { [ENTRY .. "/Sender"] = { { patronId = "1" } } },
    { ENTRY .. "/Sender type", ENTRY .. "/Sender/patronId required" } },
  { "a list with a hole", PRINT, { ["/tokens"] = { [1] = "a", [3] = "b" } }, { "/tokens type" } },
  { "a list with a hole and a key between", PRINT, { ["/tokens"] = { "a", nil, "b", [2.5] = "c" } },
    { "/tokens type" } },
  { "a list with a hole and a key behind", PRINT, { ["/tokens"] = { "a", nil, "b", [100] = "c" } },
    { "/tokens type" } },
  { "a list from 0", PRINT, { ["/tokens"] = { [0] = "a", [1] = "b" } }, { "/tokens type" } },
  { "a list with a field", PRINT, { ["/tokens"] = { "a", n = 1 } }, { "/tokens type" } },
  { "text between objects", ORDER, { ["/listing/0/tokens"] = { "x" } }, { "/listing/0/tokens/0 type" } },

  -- null
  { "null where it is allowed", INDIVIDUAL, { ["/seller/address/address2"] = null,
    ["/seller/phoneNumber/extension"] = null }, {} },
  { "null for the recipient's phone", V1_ITEMS, { [ENTRY .. "/Recipient/phone"] = null }, {} },
  { "null for a required text", PRINT, { ["/externalOrderId"] = null }, { "/externalOrderId type" } },
  { "null for an optional text", MY_ACCOUNT, { ["/listing/externalListingId"] = null },
    { "/listing/externalListingId type" } },
  { "null for an optional number", MY_ACCOUNT, { ["/listing/totalPrice"] = null }, { "/listing/totalPrice type" } },
  { "null for the address", INDIVIDUAL, { ["/seller/address"] = null }, { "/seller/address type" } },
  { "null for a required seller", INDIVIDUAL, { ["/seller"] = null }, { "/seller required", "/seller type" } },
  { "null in a list", UNLOCK, { ["/tokens/0"] = null }, { "/tokens/0 type" } },
  { "null for a list", UNLOCK, { ["/tokens"] = null }, { "/tokens type" } },

  -- names
  { "a missing required field", PRINT, { ["/externalOrderId"] = REMOVE }, { "/externalOrderId required" } },
  { "an empty payload", UNLOCK, { ["/tokens"] = REMOVE }, { "/tokens required" } },
  { "an unknown field", UNLOCK, { ["/because"] = "x" }, { "/because unknown" } },
  { "an unknown field far below", ORDER, { ["/buyer/0/address/zip"] = "92627" }, { "/buyer/0/address/zip unknown" } },
  { "both spellings of Sender in v1", V1_ITEMS, { [ENTRY .. "/sender"] = { patronId = "1" } },
    { ENTRY .. "/sender duplicate" } },
  { "both spellings of Seats in v1", V1_SEATS, { [ENTRY .. "/Seats"] = { seat_v1 } },
    { ENTRY .. "/seats duplicate" } },
  { "both spellings of Recipient in v2", V2_ITEMS, { [ENTRY .. "/recipient"] = {} },
    { ENTRY .. "/recipient duplicate" } },
  { "small letters in v2, accepted", V2_ITEMS,
    { [ENTRY .. "/Sender"] = REMOVE, [ENTRY .. "/sender"] = { patronId = "3785222" } }, {} },
  { "a v2 field in v1", V1_ITEMS, { ["/asyncCallbackUrl"] = "http://a.example/" }, { "/asyncCallbackUrl unknown" } },
  { "distributorCode in the body", V2_ITEMS, { ["/distributorCode"] = "D" }, { "/distributorCode unknown" } },
  { "no externalListingId in an order", ORDER, { ["/listing/0/externalListingId"] = REMOVE },
    { "/listing/0/externalListingId required" } },
  { "no externalListingId in a lock", MY_ACCOUNT, { ["/listing/externalListingId"] = REMOVE }, {} },

  -- shapes
  { "an order as an object, sent as a list", ORDER_OBJECT, {}, {} },
  { "two listings in a list", ORDER, { ["/listing"] = samples.repeated(samples.load(ORDER).listing[1], 2) }, {} },
  { "two listings where one object goes out", ORDER,
    { ["/listing"] = samples.repeated(samples.load(ORDER).listing[1], 2) }, { "/listing max_items" },
    shapes("complete_order", "object") },
  { "two addresses where one object goes out", INDIVIDUAL, { ["/seller/address"] = samples.repeated(address, 2) },
    { "/seller/address max_items" } },
  { "an address in a list", INDIVIDUAL, { ["/seller/address"] = { address } }, {} },
  { "a problem in a list of one address", INDIVIDUAL,
    { ["/seller/address"] = { address }, ["/seller/address/0/region"] = REMOVE },
    { "/seller/address/0/region required" } },
  { "two verify entries where one object goes out", VERIFY,
    { ["/tickets"] = samples.repeated(samples.load(VERIFY).tickets[1], 2) }, { "/tickets max_items" },
    shapes("verify", "object") },
}

describe("a payload", function()
  for _, case in ipairs(cases) do
    local description, sample, changes, wanted, options = case[1], case[2], case[3], case[4], case[5]
    it((#wanted == 0 and "passes: " or "is refused: ") .. description, function()
      expect(operation_of[sample], samples.with(sample, samples.copy(changes)), merge(options_of[sample], options),
        wanted)
    end)
  end

  for _, payload in ipairs { "x", 1, true, null } do
    it("is refused when it is not a table: " .. type(payload), function()
      expect("tickets.unlock", payload, nil, { " type" })
    end)
  end

  it("is refused when it is nil", function()
    expect("tickets.unlock", nil, nil, { " type" })
  end)
end)

describe("Seats", function()
  local rows = {
    { "with both options", { distributor_code = "D", organization_id = "999" }, {} },
    { "without distributor_code", { organization_id = "999" }, { ENTRY .. "/Seats option" } },
    { "without organization_id", { distributor_code = "D" }, { ENTRY .. "/Seats option" } },
    { "without either", nil, { ENTRY .. "/Seats option", ENTRY .. "/Seats option" } },
  }
  for _, row in ipairs(rows) do
    for _, sample in ipairs { V2_SEATS, V1_CAPITALISED, V1_SEATS } do
      it(("are judged %s: %s"):format(row[1], sample), function()
        expect(operation_of[sample], samples.load(sample), row[2], row[3])
      end)
    end
  end

  it("name the option that is missing", function()
    local err = expect("transfers.initiate", samples.load(V2_SEATS), { organization_id = "9" },
      { ENTRY .. "/Seats option" })
    assert.matches("distributor_code", err.fields[1].message, 1, true)
  end)
end)

describe("the values of a path", function()
  local paths = {
    ["listings.get"] = "listingId", ["orders.status"] = "processId", ["transfers.history"] = "confirmationCd",
    ["transfers.pending"] = "processId", ["transfers.complete_status"] = "processId",
  }
  for operation, field in pairs(paths) do
    local rows = {
      { "A3qnemZ", nil }, { "3785222-AMTX:10555", nil }, { "a b/c?d#e%", nil }, { "ñ", nil }, { "...", nil },
      { "", "format" }, { ".", "format" }, { "..", "format" }, { "a\nb", "format" }, { "a\0b", "format" },
      { "a\127b", "format" }, { "\255", "utf8" }, { ("x"):rep(1024), nil }, { ("x"):rep(1025), "max_length" },
    }
    for _, row in ipairs(rows) do
      it(("are judged: %s %s"):format(operation, samples.shown(row[1])), function()
        expect(operation, row[1], nil, row[2] and { "/" .. field .. " " .. row[2] } or {})
      end)
      it(("are judged in a table: %s %s"):format(operation, samples.shown(row[1])), function()
        local rule = row[1] == "" and "min_length" or row[2]
        local ok, err = paciolan.validate(operation, { [field] = row[1] })
        assert.equal(rule == nil or nil, ok)
        assert.equal(rule and "/" .. field, err and err.fields[1].path)
        assert.equal(rule, err and err.fields[1].rule)
      end)
    end

    it("are text: " .. operation, function()
      expect(operation, 12, nil, { " type" })
      expect(operation, nil, nil, { " type" })
      expect(operation, { [field] = 12 }, nil, { "/" .. field .. " type" })
      expect(operation, {}, nil, { "/" .. field .. " required" })
      expect(operation, { [field] = "a", other = "b" }, nil, { "/other unknown" })
    end)
  end
end)

describe("numbers that JSON does not carry exactly", function()
  it("are refused where Lua can hold them", function()
    local price = rawget(math, "type") and 9007199254740993 -- LuaJIT and JSON round it to an even neighbour
    local payload = samples.load("lock.request.my-account.json")
    payload.listing.totalPrice = price or 9007199254740992
    expect("tickets.lock", payload, nil, price and { "/listing/totalPrice exact" } or {})
    payload.listing.totalPrice = 9007199254740992
    expect("tickets.lock", payload, nil, {})
  end)
end)

describe("an organisation that cannot stand in a header", function()
  it("is refused before anything is sent", function()
    expect("transfers.cancel", "3785222-AMTX:10237", { organization_id = " " }, { " option" })
  end)
end)

describe("the filters of the catalog", function()
  local options = { organization_id = "999" }
  local rows = {
    { {}, {} },
    { { startDate = "2026-09-01", seasonCode = "F23", facilityCode = "ABC" }, {} },
    { { startDate = "2024-02-29" }, {} },
    { { startDate = "2026-02-29" }, { "/startDate format" } },
    { { startDate = "09/01/2026" }, { "/startDate format" } },
    { { startDate = "2026-9-1" }, { "/startDate format" } },
    { { startDate = "2026-09-01T00:00:00Z" }, { "/startDate format" } },
    { { startDate = "" }, { "/startDate format" } },
    { { startDate = 20260901 }, { "/startDate type" } },
    { { seasonCode = { "F23", "F24" } }, { "/seasonCode type" } },
    { { seasonCode = "F23\r\nX: y" }, { "/seasonCode format" } },
    { { seasonCode = "" }, { "/seasonCode min_length" } },
    { { season = "F23" }, { "/season unknown" } },
  }
  for i, row in ipairs(rows) do
    it("are judged: row " .. i, function()
      expect("catalog.events", row[1], options, row[2])
    end)
  end

  it("may be left out", function()
    expect("catalog.events", nil, options, {})
    expect("catalog.events", "F23", options, { " type" })
  end)
end)

describe("the organisation", function()
  it("is demanded by the catalog and by cancel", function()
    expect("catalog.events", {}, nil, { " option" })
    local err = expect("transfers.cancel", "3785222-AMTX:10237", {}, { " option" })
    assert.matches("organization_id", err.fields[1].message, 1, true)
    expect("transfers.cancel", "3785222-AMTX:10237", { organization_id = "999" }, {})
  end)
end)

describe("the distributor code", function()
  for _, code in ipairs { "A\nB", "\255", ("x"):rep(2000) } do
    it(("must fit into the query: %s"):format(samples.shown(code)), function()
      local err = expect("transfers.accept", samples.load(ACCEPT), { distributor_code = code }, { " option" })
      assert.matches("distributor_code", err.fields[1].message, 1, true)
    end)
  end
end)

describe("a misspelt field", function()
  local rows = {
    { UNLOCK, "/token", "tokens" }, { UNLOCK, "/Tokens", "tokens" }, { PRINT, "/externalOrderID", "externalOrderId" },
    { PRINT, "/external_order_id", "externalOrderId" }, { MY_ACCOUNT, "/listing/totalprice", "totalPrice" },
    { MY_ACCOUNT, "/listing/tokens/0/indivdualPrice", "individualPrice" },
    { INDIVIDUAL, "/seller/lastname", "lastName" },
    { INDIVIDUAL, "/seller/address/adress1", "address1" }, { V2_ITEMS, "/transferRequest", "transferRequests" },
    { V2_ITEMS, "/asyncCallbackURL", "asyncCallbackUrl" }, { ORDER, "/settlment", "settlement" },
    { CODE, "/grant_type", "grantType" },
  }
  for _, row in ipairs(rows) do
    it(("is told the right one: %s"):format(row[2]), function()
      local err = expect(operation_of[row[1]], samples.with(row[1], { [row[2]] = "x" }), nil, { row[2] .. " unknown" })
      assert.matches("did you mean " .. row[3] .. "?", err.fields[1].message, 1, true)
    end)
  end

  it("gets no hint when nothing is near", function()
    local err = expect("tickets.unlock", { tokens = { "a" }, colour = "x" }, nil, { "/colour unknown" })
    assert.is_nil(err.fields[1].message:find("did you mean", 1, true))
  end)
end)

describe("the report", function()
  it("holds every problem, in the order of the places, list items by number", function()
    local payload = samples.with(INDIVIDUAL, {
      ["/source"] = "x", ["/listing/tokens"] = samples.repeated({ token = "t" }, 12),
      ["/seller/phoneNumber/number"] = "1-2", ["/seller/emailAddress"] = REMOVE, ["/extra"] = 1,
    })
    payload.listing.tokens[2].token, payload.listing.tokens[11].token, payload.listing.tokens[12].prise = 1, nil, 2
    local err = expect("tickets.lock", payload, nil, {
      "/extra unknown", "/listing/tokens/1/token type", "/listing/tokens/10/token required",
      "/listing/tokens/11/prise unknown", "/seller/emailAddress required", "/seller/phoneNumber/number format",
      "/source enum",
    })
    assert.equal("tickets.lock", err.operation)
    for _, problem in ipairs(err.fields) do
      assert.is_true(#problem.message > 0)
    end
  end)

  it("says the same each time", function()
    local function told()
      local _, err = paciolan.validate("tickets.lock", { a = 1, b = 2, c = 3, source = "x", listing = { d = 1 } })
      return table.concat(problems(err), "\n")
    end
    assert.equal(told(), told())
  end)

  it("ends somewhere", function()
    local payload = {}
    for i = 1, 5000 do
      payload["f" .. ("a"):rep(i % 7) .. i] = i
    end
    local _, err = paciolan.validate("tickets.unlock", payload)
    assert.is_true(#err.fields <= 1000)
  end)

  it("bears a field name that ends in more digits than a number holds", function()
    local _, err = paciolan.validate("tickets.unlock", { tokens = { "a" }, ["a" .. ("9"):rep(30)] = 1, b = 1 })
    assert.equal(2, #err.fields)
  end)
end)

describe("no value of a payload", function()
  local MARK = "MARKED"
  -- Everything that was ever given as a value holds the mark.
  local rows = {
    { "tickets.lock", { source = MARK, listing = { tokens = { "\255" .. MARK, { token = 1, x = MARK } } },
      seller = { phoneNumber = { number = MARK }, lastName = { MARK }, firstName = "\255" .. MARK } } },
    { "tickets.unlock", { tokens = { [MARK .. "1x"] = MARK } } },
    { "tickets.print", { externalOrderId = { MARK }, tokens = MARK } },
    { "auth.token", { grantType = MARK, code = { MARK }, refreshToken = { MARK } } },
    { "orders.complete", { listing = MARK, buyer = { { firstName = { MARK } } },
      settlement = { { asyncCallbackUrl = MARK .. "\n", totalAmountPaid = MARK } } } },
    { "transfers.initiate", { baseUrl = { MARK }, transferRequests = { { Recipient = { email = { MARK } } } } } },
    { "listings.get", MARK .. "\n" }, { "listings.get", { listingId = MARK .. "\0" } },
    { "catalog.events", { startDate = MARK, seasonCode = MARK .. "\n" } },
  }
  for i, row in ipairs(rows) do
    it(("appears in an error: %d %s"):format(i, row[1]), function()
      local _, err = paciolan.validate(row[1], row[2], { distributor_code = MARK .. "\n", organization_id = MARK })
      local text = { tostring(err), err.message }
      for _, problem in ipairs(err.fields) do
        text[#text + 1] = problem.path .. " " .. problem.rule .. " " .. problem.message
      end
      assert.is_nil(table.concat(text, "\n"):find(MARK, 1, true))
    end)
  end

  local hidden = { "129L7GVL7PX3KS9ZC", "98973476444", "badf123aadadf123a", "A3qnemZ", "tony@stark.com", "Tony Stark",
    "ta236", "w53hKM1ZPmDBgYsq68VW6xR6KLLeoWCR", "a/b", "a~b", "\255", "", ("x"):rep(41), "line\nend" }
  for _, key in ipairs(hidden) do
    it(("appears, not even as a key: %s"):format(samples.shown(key)), function()
      local _, err = paciolan.validate("tickets.unlock", { tokens = { "a" }, [key] = "v" })
      assert.equal(1, #err.fields)
      assert.equal("unknown", err.fields[1].rule)
      assert.equal("/?", err.fields[1].path)
      assert.is_true(key == "" or tostring(err):find(key, 1, true) == nil)
    end)
  end
end)

describe("hostile tables", function()
  local function loud()
    error("a metamethod was called")
  end
  local hostile = { __index = loud, __newindex = loud, __len = loud, __pairs = loud, __eq = loud, __tostring = loud }

  it("are read without their metatables", function()
    local payload = samples.load(INDIVIDUAL)
    setmetatable(payload, hostile)
    setmetatable(payload.listing, hostile)
    setmetatable(payload.listing.tokens, hostile)
    setmetatable(payload.seller, hostile)
    expect("tickets.lock", payload, nil, {})
  end)

  it("do not lend fields through __index", function()
    expect("tickets.unlock", setmetatable({}, { __index = { tokens = { "a" } } }), nil, { "/tokens required" })
  end)

  it("do no harm with a cycle", function()
    local payload = {}
    payload.listing, payload.seller, payload.source, payload.tokens = payload, payload, payload, payload
    local ok, err = paciolan.validate("tickets.lock", payload)
    assert.is_nil(ok)
    assert.is_true(#err.fields > 3)
  end)

  it("do no harm with a cycle in a list", function()
    local list = {}
    list[1] = list
    local ok, err = paciolan.validate("orders.complete", { listing = list, buyer = list, settlement = list })
    assert.is_nil(ok)
    assert.is_true(#err.fields > 3)
  end)

  it("are left as they were", function()
    local payload = samples.load(V1_SEATS)
    expect("transfers.initiate_v1", payload, options_of[V1_SEATS], {})
    assert.same(samples.load(V1_SEATS), payload)
  end)
end)

describe("misuse", function()
  it("raises for an unknown operation", function()
    assert.error_matches(function() paciolan.validate("tickets.steal", {}) end, "no operation of that name")
    assert.has_error(function() paciolan.validate(nil, {}) end)
  end)

  it("raises for an option that it does not know", function()
    assert.has_error(function()
      paciolan.validate("tickets.unlock", { tokens = { "T1" } }, { distributorCode = "AMTX" })
    end, "paciolan.validate: unknown option distributorCode")
  end)

  it("raises for options of a wrong type, an unknown switch and an unknown choice", function()
    local function validate(options)
      return function()
        paciolan.validate("tickets.unlock", { tokens = { "a" } }, options)
      end
    end
    assert.has_error(validate("x"))
    assert.error_matches(validate({ distributor_code = 1 }), "distributor_code must be a string")
    assert.error_matches(validate({ organization_id = "" }), "organization_id must not be empty")
    assert.error_matches(validate({ shapes = "array" }), "shapes must be a table")
    assert.error_matches(validate(shapes("colour", "red")), "no switch of that name")
    assert.error_matches(validate(shapes("verify", "list")), 'shapes%.verify must be "array" or "object"')
    assert.error_matches(validate({ shapes = { verify = 1 } }), "must map names to choices")
  end)
end)
