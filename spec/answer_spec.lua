--- Answers as data: the fields of contract 2, every sample readable along them, and the one form that a caller gets
-- where the documents show several.
local core = require("paciolan.core")
local walk = require("support.fields")
local paciolan = require("paciolan")
local samples = require("support.samples")
local scripted = require("support.scripted")

local null = paciolan.null

local answers = {}
for _, operation in ipairs(paciolan.operations()) do
  answers[operation.name] = operation.answer
end

-- The fields of the object at "offers/event", "" being the answer itself or an item of its list.
local function fields_at(operation, place)
  local list = answers[operation].fields
  for name in place:gmatch("[^/]+") do
    list = assert(walk.find(list, name), operation .. " " .. place).fields
  end
  return list
end

local function each_field_of_all(visit)
  for name, answer in pairs(answers) do
    walk.each(answer.fields, name, visit)
  end
end

describe("the table of answers", function()
  -- operation, place, the fields there by contract 2.1 to 2.13
  local OWNED, FAILED = "ownerId token", "appErrorCode developerMessage ownerId status token type"
  local UNVERIFIED = "appErrorCode barcode developerMessage ownerId token type"
  local SEAT = "accessId ownerId row seat section sequence token"
  local VERIFIED = "associationType barcode event ownerId row season seat seatAttributes seatingType section token"
  local ORDER = "error failure offers paid processId status transactions"
  local V1 = "confirmationCd error expireDt patronId sentDt transferId transferStatus"
  local V2 = "confirmationCd error expireDt patronId processId sentDt transactionStatus transferId transferStatus url"
  local documented = {
    { "auth.token", "", "accessToken error expiration refreshToken tokenType" },
    { "catalog.events", "", "accessId association configurationCode endDate endTime facilityCode facilityName "
      .. "itemBasis itemCode itemName seasonCode startDate startTime" },
    { "catalog.events", "association", "associatedTo type" },
    { "listings.get", "", "listingId tickets" },
    { "listings.get", "tickets", "accessId seats" },
    { "listings.get", "tickets/seats",
      "associationType item row season seat seatAttributes seatingType section token" },
    { "orders.complete", "", ORDER }, { "orders.status", "", ORDER },
    { "orders.complete", "offers", "basis event itemCode priceType quantity seasonCode" },
    { "orders.complete", "offers/event", "name priceLevel seats" },
    { "orders.complete", "offers/event/seats", SEAT },
    { "orders.complete", "offers/priceType", "name" },
    { "orders.complete", "transactions", "season transaction" },
    { "orders.complete", "failure", FAILED },
    { "tickets.lock", "", "error failure sellerIds success" },
    { "tickets.lock", "success", OWNED },
    { "tickets.lock", "failure", FAILED },
    { "tickets.lock", "error", "appErrorCode developerMessage type" },
    { "tickets.unlock", "", "error failure success" },
    { "tickets.unlock", "success", OWNED },
    { "tickets.unlock", "failure", FAILED },
    { "tickets.verify", "", "barcodes error failure tokens" },
    { "tickets.verify", "tokens", "accessId failure success" },
    { "tickets.verify", "tokens/success", "seats" },
    { "tickets.verify", "tokens/success/seats", VERIFIED },
    { "tickets.verify", "tokens/failure", UNVERIFIED },
    { "tickets.verify", "barcodes/success/seats", VERIFIED },
    { "tickets.print", "", "error failure tickets" },
    { "tickets.print", "tickets", OWNED },
    { "tickets.print", "failure", FAILED },
    { "transfers.initiate_v1", "", V1 }, { "transfers.initiate", "", V2 }, { "transfers.pending", "", V2 },
    { "transfers.accept", "", "confirmationCd error transferId" },
    { "transfers.cancel", "", "cancelDt confirmationCd error patronId transferStatus" },
    { "transfers.history", "", "createTs error history recipientFirstName recipientLastName transferId" },
    { "transfers.history", "history", "initiator op ts" },
    { "transfers.complete", "", "error processId status" },
    { "transfers.complete_status", "", "error processId status" },
  }
  for _, row in ipairs(documented) do
    it(("has the documented fields: %s /%s"):format(row[1], row[2]), function()
      local names = {}
      for i, field in ipairs(fields_at(row[1], row[2])) do
        names[i] = field.name
      end
      table.sort(names)
      assert.equal(row[3], table.concat(names, " "))
    end)
  end

  it("has an answer for every operation, a list for two of them", function()
    for _, operation in ipairs(paciolan.operations()) do
      assert.is_table(operation.answer, operation.name)
      local is_list = operation.name == "catalog.events" or operation.name == "listings.get"
      assert.equal(is_list or nil, operation.answer.list, operation.name)
      local state = operation.state and walk.find(operation.answer.fields, operation.state)
      assert.same(operation.state and { "PENDING", "COMPLETE", "ERROR" }, state and state.values, operation.name)
    end
  end)

  it("documents every field with its source, demands none and spells each in one way", function()
    local count = 0
    each_field_of_all(function(field, place)
      count = count + 1
      assert.is_true(#field.doc > 0 and #field.source > 0, place)
      assert.is_nil(field.required or field.min_items or field.max_items or field.alias or field.shape, place)
      assert.equal(field.type == "object" or field.type == "list of objects", field.fields ~= nil, place)
    end)
    assert.is_true(count > 150)
  end)

  it("marks tokens as secret and names as personal", function()
    local marked = {}
    each_field_of_all(function(field, place)
      marked[place] = field.secret and "secret" or field.personal and "personal" or nil
    end)
    assert.same({
      ["auth.token/accessToken"] = "secret", ["auth.token/refreshToken"] = "secret",
      ["transfers.history/recipientFirstName"] = "personal", ["transfers.history/recipientLastName"] = "personal",
    }, marked)
  end)

  it("takes rows, seats and price levels for labels", function()
    local labels, label_names = {}, { row = true, seat = true, seats = true, priceLevel = true }
    each_field_of_all(function(field, place)
      if label_names[field.name] and not field.fields then
        labels[#labels + 1] = place
        assert.equal("string or integer", field.type, place)
      else
        assert.is_true(field.type ~= "string or integer", place)
      end
    end)
    assert.equal(2 + 2 * 3 + 2 * 2, #labels)
  end)
end)

-- --- samples --------------------------------------------------------------------------------------------------------

local fits = {
  string = function(value) return type(value) == "string" end,
  number = function(value) return type(value) == "number" end,
  integer = function(value) return type(value) == "number" and value == math.floor(value) end,
  boolean = function(value) return type(value) == "boolean" end,
  object = function(value) return type(value) == "table" and #value == 0 end,
}
fits["string or integer"] = function(value)
  return fits.string(value) or fits.integer(value)
end
fits["list of objects"] = function(value)
  return type(value) == "table" and type(next(value)) ~= "string"
end
fits["list of strings"] = fits["list of objects"]

-- Collects every field that the table lacks or types otherwise.
local function misread(found, known, body, place)
  for name, value in pairs(body) do
    local field, where = walk.find(known, name), place .. "/" .. tostring(name)
    if not field then
      found[#found + 1] = where .. " is not in the table"
    elseif not fits[field.type](value) then
      found[#found + 1] = where .. " is no " .. field.type
    elseif field.values and not (" " .. table.concat(field.values, " ") .. " "):find(" " .. value .. " ", 1, true) then
      found[#found + 1] = where .. " has another value"
    elseif field.type == "object" then
      misread(found, field.fields, value, where)
    elseif field.type == "list of objects" then
      for _, item in ipairs(value) do
        misread(found, field.fields, item, where)
      end
    elseif field.type == "list of strings" then
      for _, item in ipairs(value) do
        assert.is_string(item, where)
      end
    end
  end
  return found
end

local function misread_all(operation, body)
  local answer, found = answers[operation], {}
  for _, item in ipairs(answer.list and body or { body }) do
    misread(found, answer.fields, item, "")
  end
  return found
end

describe("every sample of an answer", function()
  for _, sample in ipairs(samples.responses) do
    it(("can be read along the table of %s: %s"):format(sample.operation, sample.file), function()
      assert.same({}, misread_all(sample.operation, samples.load(sample.file)))
    end)

    it(("has its one form already, price levels aside: %s: %s"):format(sample.operation, sample.file), function()
      local wanted = samples.load(sample.file)
      if wanted.offers then
        wanted.offers[1].event.priceLevel = "1"
      end
      assert.same(wanted, core.present(sample.operation, samples.load(sample.file)))
    end)
  end

  it("belongs to an operation", function()
    local listed, found = {}, {}
    for _, sample in ipairs(samples.responses) do
      listed["spec/fixtures/" .. sample.file] = true
    end
    local pipe = assert(io.popen("find spec/fixtures -name '*.response.*' -not -name '*.message.*'"))
    for line in pipe:lines() do
      found[line] = true
    end
    pipe:close()
    assert.same(found, listed)
  end)

  it("would be missed if the table lacked one of its fields, or typed it otherwise", function()
    assert.same({ "/colour is not in the table" }, misread_all("auth.token", { colour = "red" }))
    assert.same({ "/paid is no number" }, misread_all("orders.status", { paid = "104" }))
    assert.same({ "/status has another value" }, misread_all("orders.status", { status = "DONE" }))
    assert.same({ "/tickets/seats is no list of objects" },
      misread_all("listings.get", { { tickets = { { seats = { row = "1" } } } } }))
  end)
end)

-- --- one form -------------------------------------------------------------------------------------------------------

-- Decoded from text, as an answer is; LuaJIT and Lua 5.4 have other numbers there.
local function present(operation, text)
  return core.present(operation, samples.decode(text))
end

local function keys_of(value)
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  return keys
end

local function cyclic()
  local value = { tickets = {} }
  value.tickets[1] = value
  value.success = value
  return value
end

describe("core.present", function()
  local function seat(label)
    return ('[{"tickets":[{"seats":[{"row":%s,"seat":%s}]}]}]'):format(label, label)
  end

  -- as answered, as read (nil: left alone)
  local labels = {
    { "12", "12" }, { "0", "0" }, { "-3", "-3" }, { "12.0", "12" }, { "1e2", "100" }, { "-0", "0" }, { "-0.0", "0" },
    { "9007199254740992", "9007199254740992" }, { '"AA"', "AA" }, { '"007"', "007" }, { '""', "" },
    { "12.5" }, { "1e300" }, { "true" }, { "null" }, { "{}" }, { "[7]" },
  }
  for _, row in ipairs(labels) do
    it("reads a label: " .. row[1], function()
      local got = present("listings.get", seat(row[1]))[1].tickets[1].seats[1]
      local wanted = samples.decode("[" .. row[1] .. "]")[1]
      assert.same(row[2] or wanted, got.row)
      assert.same(row[2] or wanted, got.seat)
    end)
  end

  it("leaves numbers alone that are no labels", function()
    local order = present("orders.complete", '{"paid":104,"offers":[{"quantity":1,"event":{"priceLevel":7,"seats":'
      .. '[{"row":2,"sequence":3,"token":98973476444}]}}]}')
    assert.equal(104, order.paid)
    assert.equal(1, order.offers[1].quantity)
    assert.equal("7", order.offers[1].event.priceLevel)
    assert.same({ row = "2", sequence = 3, token = 98973476444 }, order.offers[1].event.seats[1])
  end)

  -- operation, as answered, as read
  local forms = {
    { "an object where a list is documented", "listings.get", '{"listingId":"A"}', '[{"listingId":"A"}]' },
    { "an object in a list's place, with labels", "listings.get",
      '{"tickets":{"accessId":"x","seats":{"row":1}}}', '[{"tickets":[{"accessId":"x","seats":[{"row":"1"}]}]}]' },
    { "an object for the events", "catalog.events", '{"accessId":"x","association":{"type":"PARKING"}}',
      '[{"accessId":"x","association":[{"type":"PARKING"}]}]' },
    { "a list of one where an object is documented", "orders.status", '[{"status":"PENDING","processId":"p"}]',
      '{"status":"PENDING","processId":"p"}' },
    { "lists of one below", "orders.complete",
      '{"offers":{"event":[{"seats":{"row":9}}],"priceType":[{"name":"Adult"}]}}',
      '{"offers":[{"event":{"seats":[{"row":"9"}]},"priceType":{"name":"Adult"}}]}' },
    { "a list of one that is no state", "tickets.unlock",
      '[{"success":{"token":"1"}}]', '{"success":[{"token":"1"}]}' },
    { "one failure", "tickets.lock", '{"success":[],"failure":{"token":"1","type":"INVALID_TOKEN"}}',
      '{"success":[],"failure":[{"token":"1","type":"INVALID_TOKEN"}]}' },
    { "the success of a verify", "tickets.verify", '{"tokens":{"accessId":"x","success":[{"seats":{"seat":14}}]}}',
      '{"tokens":[{"accessId":"x","success":{"seats":[{"seat":"14"}]}}]}' },
    { "an error in a list", "tickets.lock", '{"error":[{"type":"INVALID_TOKEN"}]}',
      '{"error":{"type":"INVALID_TOKEN"}}' },
  }
  for _, row in ipairs(forms) do
    it("gives one form to " .. row[1], function()
      assert.same(samples.decode(row[4]), present(row[2], row[3]))
    end)
  end

  -- operation, answer: nothing is known of it, so nothing is done to it
  local foreign = {
    { "an error where a list is documented", "listings.get", '{"error":{"type":"NOT_FOUND"}}' },
    { "a refusal as text", "auth.token", '{"error":"invalid_grant"}' },
    { "an error as text where it is an object elsewhere", "tickets.lock", '{"error":"no"}' },
    { "unknown fields", "tickets.lock", '{"colour":{"row":1},"success":[{"token":"1","row":1,"more":[1,2]}]}' },
    { "a failure in a shape of its own", "tickets.verify", '{"tokens":[{"failure":{"seats":[{"row":1}]}}]}' },
    { "lists of several where an object is documented", "orders.status", '[{"status":"PENDING"},{"status":"ERROR"}]' },
    { "a list of one text where an object is documented", "orders.complete", '{"offers":[{"event":["x"]}]}' },
    { "texts, numbers and flags in the place of lists", "listings.get",
      '[{"tickets":"x"},{"tickets":1},{"tickets":true}]' },
    { "null", "listings.get", '[{"tickets":null},null]' },
    { "lists in the place of list items", "listings.get", '[[{"listingId":"A"}],{"tickets":[[1],[]]}]' },
    { "nothing", "listings.get", "[]" }, { "an empty object", "orders.status", "{}" },
    { "the four forms of time, which stay as they came (row 28)", "transfers.history",
      '{"createTs":"2023-06-14T07:23:05.281+0000","history":[{"ts":"06/15/2023 09:43:12"},{"ts":1686727385}]}' },
    { "times and dates of events", "catalog.events",
      '[{"accessId":"x","startTime":"TBD","endDate":null,"endTime":"20:30:00Z"}]' },
  }
  for _, row in ipairs(foreign) do
    it("leaves alone: " .. row[1], function()
      assert.same(samples.decode(row[3]), present(row[2], row[3]))
    end)
  end

  it("keeps null and absence apart", function()
    local seats = present("listings.get", seat("null"))[1].tickets[1].seats[1]
    assert.equal(null, seats.row)
    assert.is_nil(seats.section)
  end)

  it("works in place, and twice gives the same", function()
    local body = samples.decode(seat("12"))
    assert.equal(body, core.present("listings.get", body))
    assert.equal("12", body[1].tickets[1].seats[1].row)
    assert.same(samples.decode(seat('"12"')), core.present("listings.get", body))
  end)

  it("takes anything for an answer, for every operation", function()
    local deep = ("["):rep(60) .. "1" .. ("]"):rep(60)
    local many = samples.repeated({ listingId = "A", tickets = { seats = { row = 1 } } }, 500)
    local odd = { "text", 7, true, null, {}, { {} }, { [3] = "x" }, { [0] = "x", "y" }, { a = 1, "mixed" },
      setmetatable({}, { __index = error, __newindex = error, __len = error }), 0 / 0, math.huge, samples.decode(deep),
      many, print }
    for name in pairs(answers) do
      for _, value in ipairs(odd) do
        local got = core.present(name, value)
        assert.is_true(got == value or value ~= value or type(value) == "table")
      end
      core.present(name, cyclic())
      assert.is_nil(core.present(name, nil))
      assert.is_nil((core.present(name)))
    end
    assert.equal("1", many[500].tickets[1].seats[1].row)
  end)

  it("survives every value in every place of every sample", function()
    local values = { "text", -1.5, true, null, {}, { {} }, { { { 1 } } }, { row = { seat = 1 } } }
    local count = 0
    local function replace_each(operation, holder, root)
      for _, key in ipairs(keys_of(holder)) do
        local before = holder[key]
        for _, value in ipairs(values) do
          holder[key] = samples.copy(value)
          core.present(operation, samples.copy(root))
          count = count + 1
        end
        holder[key] = before
        if type(before) == "table" then
          replace_each(operation, before, root)
        end
      end
    end
    for _, sample in ipairs(samples.responses) do
      local root = samples.load(sample.file)
      replace_each(sample.operation, root, root)
    end
    assert.is_true(count > 1000)
  end)

  it("raises for an operation that there is not", function()
    assert.has_error(function() core.present("tickets.fold", {}) end)
    assert.has_error(function() core.present(nil, {}) end)
  end)
end)

-- --- through a client -----------------------------------------------------------------------------------------------

describe("a link", function()
  local function link_that_answers(status, body)
    return (scripted.client { { status = status, body = body } })
  end

  it("hands out the one form on success", function()
    local listing = assert(link_that_answers(200, '{"listingId":"A","tickets":{"seats":{"row":30,"seat":"26"}}}')
      .listings:get("A"))
    assert.same({ { listingId = "A", tickets = { { seats = { { row = "30", seat = "26" } } } } } }, listing)
  end)

  it("hands out the one form of what was done in part", function()
    local _, err = link_that_answers(207, '[{"success":{"token":"1","ownerId":"2"},"failure":{"token":"3"}}]')
      .tickets:unlock { tokens = { "1", "3" } }
    assert.equal("partial", err.kind)
    assert.same({ success = { { token = "1", ownerId = "2" } }, failure = { { token = "3" } } }, err.body)
  end)

  it("reads the error of a refusal in a list of one", function()
    local _, err = link_that_answers(422, '[{"error":[{"type":"INVALID_TOKEN","appErrorCode":"MS-422"}]}]')
      .tickets:unlock { tokens = { "1" } }
    assert.equal("http", err.kind)
    assert.equal("INVALID_TOKEN", err.type)
    assert.equal("MS-422", err.app_error_code)
    assert.equal("INVALID_TOKEN", err.body.error.type)
  end)

  it("leaves the error of a list's operation where it is", function()
    local _, err = link_that_answers(404, '{"error":{"type":"NOT_FOUND"}}').listings:get("A")
    assert.equal("NOT_FOUND", err.type)
    assert.same({ error = { type = "NOT_FOUND" } }, err.body)
  end)

  it("hands out the state of a list of one", function()
    local order, _, response = link_that_answers(200, '[{"status":"COMPLETE","offers":[{"event":{"priceLevel":1}}]}]')
      .orders:status("p")
    assert.equal("COMPLETE", response.state)
    assert.equal("1", order.offers[1].event.priceLevel)
  end)
end)
