--- The operation table: complete, and true to section 2 of the contract.
local walk = require("support.fields")
local paciolan = require("paciolan")
local samples = require("support.samples")

-- By hand from the contract: name, method, path, effect, where PAC-Organization-ID goes (section 1.1, row 17).
local documented = {
  { "auth.token", "POST", "/v1/auth/token", "once", "never" },
  { "catalog.events", "GET", "/v1/catalog/events", "read", "required" },
  { "listings.get", "GET", "/v1/listings/{listingId}", "read", "never" },
  { "orders.complete", "POST", "/v1/cart/complete-order", "once", "never" },
  { "orders.status", "GET", "/v1/cart/complete-order/{processId}", "read", "never" },
  { "tickets.lock", "PUT", "/v1/tickets/lock", "once", "never" },
  { "tickets.print", "POST", "/v1/tickets/print", "once", "never" },
  { "tickets.unlock", "PUT", "/v1/tickets/unlock", "repeatable", "never" },
  { "tickets.verify", "POST", "/v1/tickets/verify", "read", "never" },
  { "transfers.accept", "POST", "/v1/tickets/transfer/accept", "once", "never" },
  { "transfers.cancel", "DELETE", "/v1/tickets/transfer/{confirmationCd}", "once", "required" },
  { "transfers.complete", "POST", "/v1/tickets/transfer/complete", "once", "never" },
  { "transfers.complete_status", "GET", "/v1/tickets/transfer/complete/{processId}", "read", "never" },
  { "transfers.history", "GET", "/v1/tickets/transfer/{confirmationCd}", "read", "offered" },
  { "transfers.initiate", "POST", "/v2/tickets/transfer", "once", "offered" },
  { "transfers.initiate_v1", "POST", "/v1/tickets/transfer", "once", "offered" },
  { "transfers.pending", "GET", "/v2/tickets/transfer/pending/{processId}", "read", "never" },
}

local operations = paciolan.operations()
local by_name = {}
for _, operation in ipairs(operations) do
  by_name[operation.name] = operation
end

local function field_of(list, name)
  return assert(walk.find(list, name), name)
end

-- The field of a body at "listing/tokens".
local function body_field(operation, path)
  local list, field = by_name[operation].body.fields, nil
  for name in path:gmatch("[^/]+") do
    field = field_of(list, name)
    list = field.fields
  end
  return field
end

local function each_field_of_all(visit)
  for _, operation in ipairs(operations) do
    walk.each(operation.path_fields, operation.name .. " path", visit)
    walk.each(operation.query, operation.name .. " query", visit)
    walk.each(operation.body and operation.body.fields or {}, operation.name, visit)
  end
  for name, message in pairs(paciolan.message_fields()) do
    walk.each(message.fields, "message " .. name, visit)
  end
end

local function names_of(fields)
  local names = {}
  for i, field in ipairs(fields) do
    names[i] = field.name
  end
  table.sort(names)
  return names
end

describe("paciolan.operations", function()
  it("lists the documented operations, in the order of their names, and no others", function()
    local listed = {}
    for i, operation in ipairs(operations) do
      listed[i] = { operation.name, operation.method, operation.path, operation.effect, operation.organization }
    end
    assert.equal(17, #documented)
    assert.same(documented, listed)
  end)

  it("names every operation once", function()
    local last = ""
    for _, operation in ipairs(operations) do
      assert.is_true(last < operation.name)
      last = operation.name
    end
  end)

  it("gives a new table each time", function()
    paciolan.operations()[1].name = "changed"
    assert.equal("auth.token", paciolan.operations()[1].name)
  end)

  it("lets only the token call go without authorisation", function()
    for _, operation in ipairs(operations) do
      assert.equal(operation.name == "auth.token" or nil, operation.anonymous)
    end
  end)

  it("tells every operation's Lua call, documentation and source", function()
    for _, operation in ipairs(operations) do
      assert.matches("^link%.%l+:[%l_]+[%({]", operation.lua, nil, nil, operation.name)
      assert.is_true(#operation.doc > 0, operation.name)
      assert.is_true(#operation.source > 0, operation.name)
    end
  end)

  it("tells the field of the answer that holds the state", function()
    local states = {}
    for _, operation in ipairs(operations) do
      states[operation.name] = operation.state
    end
    assert.same({
      ["orders.complete"] = "status", ["orders.status"] = "status", ["transfers.complete"] = "status",
      ["transfers.complete_status"] = "status", ["transfers.initiate"] = "transactionStatus",
      ["transfers.pending"] = "transactionStatus",
    }, states)
  end)
end)

describe("the paths", function()
  for _, operation in ipairs(operations) do
    it("have a field for each placeholder and back: " .. operation.name, function()
      local placeholders = {}
      for name in operation.path:gmatch("{([^}]*)}") do
        placeholders[#placeholders + 1] = name
      end
      table.sort(placeholders)
      assert.same(placeholders, names_of(operation.path_fields))
      assert.equal(#placeholders > 0, operation.payload == "path")
      for _, field in ipairs(operation.path_fields) do
        assert.is_true(field.required)
      end
    end)
  end

  it("carry distributorCode where the documents have it, and the filters of the catalog", function()
    local queries = {}
    for _, operation in ipairs(operations) do
      queries[operation.name] = #operation.query > 0 and names_of(operation.query) or nil
    end
    assert.same({
      ["catalog.events"] = { "facilityCode", "seasonCode", "startDate" },
      ["transfers.accept"] = { "distributorCode" }, ["transfers.initiate"] = { "distributorCode" },
      ["transfers.initiate_v1"] = { "distributorCode" },
    }, queries)
  end)
end)

describe("the fields", function()
  it("all have documentation and a source", function()
    local count = 0
    each_field_of_all(function(field, place)
      count = count + 1
      assert.is_true(type(field.doc) == "string" and #field.doc > 0, place)
      assert.is_true(type(field.source) == "string" and #field.source > 0, place)
    end)
    assert.is_true(count > 100)
  end)

  it("have a known type, fields where they are objects, and values where they are enums", function()
    local types = { string = true, number = true, integer = true, boolean = true, object = true,
      ["number or decimal string"] = true, ["string or integer"] = true, ["list of objects"] = true,
      ["list of strings"] = true }
    each_field_of_all(function(field, place)
      assert.is_true(types[field.type], place)
      assert.equal(field.type == "object" or field.type == "list of objects", field.fields ~= nil, place)
      assert.is_true(field.values == nil or #field.values > 0, place)
    end)
  end)

  it("are spelt in one way within an object", function()
    local function check(fields, place)
      local seen = {}
      for _, field in ipairs(fields) do
        for _, name in ipairs { field.name, field.alias } do
          assert.is_nil(seen[name], place .. "/" .. name)
          seen[name] = true
        end
        check(field.fields or {}, place .. "/" .. field.name)
      end
    end
    for _, operation in ipairs(operations) do
      check(operation.body and operation.body.fields or {}, operation.name)
    end
  end)

  -- operation, field, fewest, most items (nil: no documented limit)
  local limits = {
    { "tickets.lock", "listing/tokens", 1, 100 },
    { "tickets.print", "tokens", 1, 30 },
    { "tickets.unlock", "tokens", 1, nil },
    { "transfers.initiate", "transferRequests", 1, 1 },
    { "transfers.initiate_v1", "transferRequests", 1, 1 },
    { "transfers.complete", "transferRequests", 1, 1 },
    { "transfers.initiate", "transferRequests/Seats", 1, 30 },
    { "transfers.initiate_v1", "transferRequests/Seats", 1, 30 },
    { "transfers.initiate", "transferRequests/Items", 1, nil },
    { "orders.complete", "listing/tokens", 1, nil },
  }
  for _, row in ipairs(limits) do
    it(("hold the documented limits: %s %s"):format(row[1], row[2]), function()
      local field = body_field(row[1], row[2])
      assert.equal(row[3], field.min_items)
      assert.equal(row[4], field.max_items)
    end)
  end

  -- operation, field, values
  local enums = {
    { "auth.token", "grantType", { "authorization_code", "refresh_token" } },
    { "tickets.lock", "source", { "MY_ACCOUNT", "INDIVIDUAL", "BROKER" } },
  }
  for _, row in ipairs(enums) do
    it(("hold the documented values: %s %s"):format(row[1], row[2]), function()
      assert.same(row[3], body_field(row[1], row[2]).values)
    end)
  end

  -- operation, object ("" for the body), its required fields by the tables of section 2
  local required = {
    { "auth.token", "", "grantType" },
    { "tickets.lock", "", "listing source" },
    { "tickets.lock", "listing", "tokens" },
    { "tickets.lock", "listing/tokens", "token" },
    { "tickets.lock", "seller", "emailAddress firstName lastName" },
    { "tickets.lock", "seller/address", "address1 countryCode locality postalCode region" },
    { "tickets.lock", "seller/phoneNumber", "countryCode number" },
    { "tickets.lock", "seller/emailAddress", "email" },
    { "tickets.unlock", "", "tokens" },
    { "tickets.verify", "", "tickets" },
    { "tickets.verify", "tickets", "" },
    { "tickets.print", "", "externalOrderId tokens" },
    { "orders.complete", "", "buyer listing settlement" },
    { "orders.complete", "listing", "externalListingId externalOrderId tokens" },
    { "orders.complete", "listing/tokens", "token" },
    { "orders.complete", "buyer", "" },
    { "orders.complete", "settlement", "" },
    { "transfers.initiate", "", "transferRequests" },
    { "transfers.initiate", "transferRequests", "Recipient Sender" },
    { "transfers.initiate", "transferRequests/Sender", "patronId" },
    { "transfers.initiate", "transferRequests/Recipient", "email recipientFirstName recipientLastName" },
    { "transfers.initiate", "transferRequests/Seats", "event priceLevel priceType season seatInfo" },
    { "transfers.initiate", "transferRequests/Seats/seatInfo", "level marketplace row seats section soldFor" },
    { "transfers.initiate", "transferRequests/Items", "externalOrderId tokens" },
    { "transfers.initiate_v1", "transferRequests", "Recipient Sender" },
    { "transfers.initiate_v1", "transferRequests/Recipient", "recipientFirstName recipientLastName" },
    { "transfers.initiate_v1", "transferRequests/Seats/seatInfo", "level marketplace row seats section soldFor" },
    { "transfers.accept", "", "transferId" },
    { "transfers.accept", "Recipient", "email" },
    { "transfers.complete", "", "transferRequests" },
    { "transfers.complete", "transferRequests", "Items Recipient" },
    { "transfers.complete", "transferRequests/Recipient", "email recipientFirstName recipientLastName" },
  }
  for _, row in ipairs(required) do
    it(("are required as documented: %s /%s"):format(row[1], row[2]), function()
      local fields = row[2] == "" and by_name[row[1]].body.fields or body_field(row[1], row[2]).fields
      local names = {}
      for _, field in ipairs(fields) do
        names[#names + 1] = field.required and field.name or nil
      end
      table.sort(names)
      assert.equal(row[3], table.concat(names, " "))
    end)
  end

  it("that identify people or open doors are marked", function()
    assert.is_true(body_field("auth.token", "code").secret)
    assert.is_true(body_field("auth.token", "refreshToken").secret)
    for _, place in ipairs { "seller/lastName", "seller/firstName", "seller/address/address1",
      "seller/phoneNumber/number", "seller/emailAddress/email" } do
      assert.is_true(body_field("tickets.lock", place).personal, place)
    end
  end)
end)

describe("the error tables", function()
  -- operation, type, code, status, repetitions, who acts: sections 2.4 and 2.9
  local documented_errors = {
    ["tickets.lock"] = {
      { "INVALID_TOKEN", "MS-422", 422, 0, "analyze" }, { "TOKEN_NOT_FOUND", "MS-404", 404, 0, "analyze" },
      { "UNPROCESSABLE_ENTITY", "MS-422", 422, 0, "analyze" },
    },
    ["transfers.initiate"] = {
      { "INVALID_PARAMETER_VALUE", "MS-422", 422, 0, "inform_provider" },
      { "UNHANDLED_EXCEPTION", "MS-500", 500, 3, "inform_provider" },
      { "UNPROCESSABLE_ENTITY", "MS-422", 400, 0, "inform_provider" },
    },
  }
  for _, operation in ipairs(operations) do
    it("hold what is documented: " .. operation.name, function()
      local listed = {}
      for i, row in ipairs(operation.errors) do
        listed[i] = { row.type, row.app_error_code, row.status, row.retries, row.action }
        assert.is_true(#row.meaning > 0)
      end
      assert.same(documented_errors[operation.name] or {}, listed)
    end)
  end
end)

describe("the samples", function()
  it("cover every operation with a body", function()
    local covered, with_body = {}, {}
    for _, sample in ipairs(samples.requests) do
      covered[sample.operation] = true
    end
    for _, operation in ipairs(operations) do
      with_body[operation.name] = operation.body and true or nil
    end
    assert.same(with_body, covered)
  end)

  it("are all assigned to an operation", function()
    local listed, found = {}, {}
    for i, sample in ipairs(samples.requests) do
      listed[i] = "spec/fixtures/" .. sample.file
    end
    local pipe = assert(io.popen("find spec/fixtures -name '*.request*.json'"))
    for line in pipe:lines() do
      found[#found + 1] = line
    end
    pipe:close()
    table.sort(listed)
    table.sort(found)
    assert.same(found, listed)
  end)
end)

describe("paciolan.shapes", function()
  it("lists every choice of section 7, the default first", function()
    local choices = {}
    for name, shape in pairs(paciolan.shapes()) do
      choices[name] = shape.choices
      assert.is_true(#shape.doc > 0)
    end
    assert.same({
      complete_order = { "array", "object" }, seller_contact = { "object", "array" }, verify = { "array", "object" },
      transfer_v1 = { "capitalised", "lower" }, sold_for = { "number", "string" }, callback_url = { "any", "https" },
      accept_recipient = { "optional", "required" }, transfer_items = { "any", "one" },
    }, choices)
  end)
end)

describe("paciolan.message_fields", function()
  local messages = paciolan.message_fields()

  it("knows both entities and the metadata beside them", function()
    local names = {}
    for name in pairs(messages) do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.same({ "events", "metadata", "seats" }, names)
    for _, entity in ipairs { "events", "seats" } do
      assert.is_true(#messages[entity].doc > 0)
      assert.is_true(#messages[entity].source > 0)
    end
  end)

  it("has the fields of contract 5", function()
    assert.same({ "accessId", "endDate", "endTime", "facilityCode", "facilityName", "itemBasis", "itemCode", "itemName",
      "seasonCode", "startDate", "startTime" }, names_of(messages.events.fields))
    assert.same({ "accessId", "item", "row", "season", "seat", "section", "status" }, names_of(messages.seats.fields))
    assert.same({ "messageEntity", "pacOrganizationId", "requestId" }, names_of(messages.metadata.fields))
    assert.same({ "LOCK", "UNLOCK" }, field_of(messages.seats.fields, "status").values)
    assert.same({ "events", "seats" }, field_of(messages.metadata.fields, "messageEntity").values)
    assert.equal("integer", field_of(messages.metadata.fields, "pacOrganizationId").type)
  end)

  it("lets dates and times of events be null", function()
    for _, name in ipairs { "startDate", "startTime", "endDate", "endTime" } do
      assert.is_true(field_of(messages.events.fields, name).nullable, name)
    end
  end)

  it("does not demand the seat, which one sample lacks", function()
    assert.is_nil(field_of(messages.seats.fields, "seat").required)
  end)
end)
