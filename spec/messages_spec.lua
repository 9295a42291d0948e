--- paciolan.messages: what it takes, what it hands on, and what it refuses with which words.
local cjson = require("cjson").new()
local errors = require("paciolan.errors")
local paciolan = require("paciolan")
local samples = require("support.samples")

local parse = paciolan.messages.parse
local NULL = cjson.null

-- A sample with changes, as a text.
local function changed(file, changes)
  return cjson.encode(samples.with(file, changes))
end

local function seats_with(changes)
  return changed("seats.message.json", changes)
end

local function events_with(changes)
  return changed("events.message.json", changes)
end

local function expect_refusal(body, message)
  local result, err = parse(body)
  assert.is_nil(result)
  assert.is_true(errors.is(err))
  assert.equal("protocol", err.kind)
  assert.is_false(err.retryable)
  assert.is_nil(err.outcome)
  assert.equal(message, err.message)
  assert.equal("messages.parse: " .. message .. " (protocol)", tostring(err))
end

describe("a message", function()
  it("about seats is read", function()
    local text = samples.read("seats.message.json")
    local message = assert(parse(text))
    local decoded = samples.decode(text)
    assert.equal("seats", message.entity)
    assert.equal("129", message.organization_id)
    assert.equal("a1b2c3", message.request_id)
    assert.same(decoded.data.seats, message.items)
    assert.same(decoded.data, message.data)
    assert.same(decoded.metadata, message.metadata)
    assert.same(decoded, message.body)
  end)

  it("about events is read", function()
    local message = assert(parse(samples.read("events.message.json")))
    assert.equal("events", message.entity)
    assert.equal("999", message.organization_id)
    assert.equal(2, #message.items)
    assert.equal("999:F23:P01", message.items[2].accessId)
    assert.equal(paciolan.null, message.items[1].endDate)
  end)

  it("returns one value when it can be read and two when it cannot", function()
    assert.equal(1, select("#", parse(samples.read("seats.message.json"))))
    assert.equal(2, select("#", parse("{}")))
  end)

  for _, file in ipairs { "events.message.json", "events.message.linkv1.json", "seats.message.json",
    "seats.message.linkv1.json", "derived/events.message.tbd.json", "derived/seats.message.lock.json" } do
    it("may be the sample " .. file, function()
      assert(parse(samples.read(file)))
    end)
  end

  it("may have an empty list", function()
    assert.same({}, assert(parse(seats_with { ["/data/seats"] = {} })).items)
  end)

  it("keeps what the documents do not name, wherever it stands", function()
    local message = assert(parse(seats_with {
      ["/data/seats/0/gate"] = { side = "N" }, ["/data/total"] = 2, ["/metadata/version"] = 3, ["/sentBy"] = "x",
    }))
    assert.same({ side = "N" }, message.items[1].gate)
    assert.equal(2, message.data.total)
    assert.equal(3, message.metadata.version)
    assert.equal("x", message.body.sentBy)
  end)

  it("may be about an entity that the documents do not know, which the caller then sees", function()
    for _, entity in ipairs { "listings", "Seats", "metadata", "fields" } do
      local message = assert(parse(seats_with { ["/metadata/messageEntity"] = entity }))
      assert.equal(entity, message.entity)
      assert.same({}, message.items)
      assert.equal("129:FB23:FB01", message.data.seats[1].accessId)
      assert.equal("129", message.organization_id)
    end
  end)

  it("is read afresh each time: nothing is shared between two results", function()
    local text = samples.read("seats.message.json")
    local first = assert(parse(text))
    first.items[1].status, first.metadata.requestId = "changed", "changed"
    local second = assert(parse(text))
    assert.equal("UNLOCK", second.items[1].status)
    assert.equal("a1b2c3", second.request_id)
  end)

  it("does not see changes of the tables that describe the fields", function()
    paciolan.message_fields().seats.fields[1].required = nil
    expect_refusal(seats_with { ["/data/seats/0/accessId"] = samples.REMOVE }, "/data/seats/0/accessId is required")
  end)

  it("may be as large as SNS delivers, and no larger", function()
    local text = samples.read("seats.message.json")
    local padded = text .. (" "):rep(256 * 1024 - #text)
    assert(parse(padded))
    expect_refusal(padded .. " ", "the message is larger than 256 KiB")
  end)

  it("may hold any text in UTF-8, and white space around its parts", function()
    local name = "Fu\195\159ball \240\159\142\159 \"Game\"\t1\\"
    local message = assert(parse(events_with { ["/data/events/0/itemName"] = name }))
    assert.equal(name, message.items[1].itemName)
    assert(parse("\r\n\t" .. samples.read("seats.message.json") .. "\n"))
    assert(parse((samples.read("seats.message.json"):gsub("UNLOCK", "\\u0055NLOCK"))))
  end)
end)

describe("the organisation", function()
  -- What stands in the message as JSON, what is handed on.
  local rows = { { "129", "129" }, { '"129"', "129" }, { '"0129"', "0129" }, { "0", "0" }, { "1.29e2", "129" },
    { "9007199254740991", "9007199254740991" }, { '"12345678901234567890"', "12345678901234567890" } }
  for _, row in ipairs(rows) do
    it("may be " .. row[1], function()
      local body = samples.read("seats.message.json"):gsub('("pacOrganizationId": )129', "%1" .. row[1])
      local message = assert(parse(body))
      assert.equal(row[2], message.organization_id)
      assert.same(samples.decode(row[1]), message.metadata.pacOrganizationId)
    end)
  end
  for _, text in ipairs { "-1", "1.5", '""', '"12a"', '" 1"', "1e300", "1e999", "9007199254740992", "9007199254740993",
    "true", "[]" } do
    it("may not be " .. text, function()
      local body = samples.read("seats.message.json"):gsub('("pacOrganizationId": )129', "%1" .. text)
      expect_refusal(body, "/metadata/pacOrganizationId must be a whole number from 0, as a number or in digits")
    end)
  end
end)

describe("fields that need not be there", function()
  it("may be absent or null, and stay what they are", function()
    for _, name in ipairs { "season", "item", "section", "row", "seat" } do
      local absent = assert(parse(seats_with { ["/data/seats/0/" .. name] = samples.REMOVE }))
      assert.is_nil(absent.items[1][name])
      local null = assert(parse(seats_with { ["/data/seats/0/" .. name] = NULL }))
      assert.equal(paciolan.null, null.items[1][name])
    end
  end)

  it("leave no request_id behind when it is absent or null", function()
    assert.is_nil(assert(parse(seats_with { ["/metadata/requestId"] = samples.REMOVE })).request_id)
    local message = assert(parse(seats_with { ["/metadata/requestId"] = NULL }))
    assert.is_nil(message.request_id)
    assert.equal(paciolan.null, message.metadata.requestId)
  end)

  it("may be a row or a seat in digits, which become a text in the item alone", function()
    local message = assert(parse(seats_with { ["/data/seats/0/row"] = 30, ["/data/seats/1/seat"] = 0 }))
    assert.equal("30", message.items[1].row)
    assert.equal("0", message.items[2].seat)
    assert.equal(30, message.data.seats[1].row)
  end)
end)

describe("a message that is not usable", function()
  local text = { "string", "must be a string" }
  local label = { "label", "must be a string or a whole number from 0" }
  local fields = {
    { "/data/seats/0/", seats_with, { accessId = text, season = text, item = text, section = text, row = label,
      seat = label, status = text } },
    { "/data/events/1/", events_with, { accessId = text, seasonCode = text, itemCode = text, itemBasis = text,
      itemName = text, startDate = text, startTime = text, endDate = text, endTime = text, facilityCode = text,
      facilityName = text } },
    { "/metadata/", seats_with, { messageEntity = text, requestId = text } },
  }
  for _, group in ipairs(fields) do
    for name, kind in pairs(group[3]) do
      local place = group[1] .. name
      it("has a wrong type: " .. place, function()
        for _, value in ipairs { true, {}, { "x" }, { a = 1 }, kind == text and 7 or 7.5 } do
          expect_refusal(group[2] { [place] = value }, place .. " " .. kind[2])
        end
      end)
    end
  end

  it("is known by every field of the table being tried above", function()
    local known = paciolan.message_fields()
    for i, entity in ipairs { "seats", "events", "metadata" } do
      for _, field in ipairs(known[entity].fields) do
        assert.is_true(fields[i][3][field.name] ~= nil or field.name == "pacOrganizationId", field.name)
      end
    end
  end)

  for place, change in pairs { ["/data/seats/0/accessId"] = seats_with, ["/data/seats/1/status"] = seats_with,
    ["/data/events/0/accessId"] = events_with, ["/metadata/messageEntity"] = seats_with,
    ["/metadata/pacOrganizationId"] = seats_with } do
    it("lacks what is required: " .. place, function()
      expect_refusal(change { [place] = samples.REMOVE }, place .. " is required")
      expect_refusal(change { [place] = NULL }, place .. " must not be null")
    end)
  end

  it("has an empty text where something is required", function()
    expect_refusal(seats_with { ["/data/seats/0/accessId"] = "" }, "/data/seats/0/accessId must not be empty")
    expect_refusal(seats_with { ["/data/seats/0/status"] = "" }, "/data/seats/0/status must not be empty")
    expect_refusal(seats_with { ["/metadata/messageEntity"] = "" }, "/metadata/messageEntity must not be empty")
  end)

  -- What is wrong, the body, the words.
  local rows = {
    { "no object: a list", "[]x", "the message is not strict JSON: at byte 2: nothing may stand behind the value" },
    { "a list", "[1]", "the message must be an object" },
    { "a number", "7", "the message must be an object" },
    { "null", "null", "the message must be an object" },
    { "an empty object", "{}", "/data is required" },
    { "data that is null", '{"data":null,"metadata":{}}', "/data must be an object" },
    { "data that is a list", '{"data":[1],"metadata":{}}', "/data must be an object" },
    { "no metadata", '{"data":{"seats":[]}}', "/metadata is required" },
    { "metadata that is a text", '{"data":{},"metadata":"seats"}', "/metadata must be an object" },
    { "the list of another entity", '{"data":{"events":[]},"metadata":{"messageEntity":"seats",'
      .. '"pacOrganizationId":1}}', "/data/seats is required" },
    { "an object in the place of the list", '{"data":{"seats":{"accessId":"x"}},"metadata":{"messageEntity":"seats",'
      .. '"pacOrganizationId":1}}', "/data/seats must be a list" },
    { "null in the place of the list", '{"data":{"seats":null},"metadata":{"messageEntity":"seats",'
      .. '"pacOrganizationId":1}}', "/data/seats must be a list" },
  }
  for _, row in ipairs(rows) do
    it("is " .. row[1], function()
      expect_refusal(row[2], row[3])
    end)
  end

  it("has an entry that is no object", function()
    for _, entry in ipairs { "x", 7, true, NULL, { "x" } } do
      expect_refusal(seats_with { ["/data/seats/1"] = entry }, "/data/seats/1 must be an object")
    end
  end)
end)

describe("a body that is no JSON", function()
  local base = samples.read("seats.message.json")

  -- The body, where and how it breaks the rules of JSON.
  local function expect_broken(body, place, rule)
    expect_refusal(body, ("the message is not strict JSON: at byte %d: %s"):format(place, rule))
  end

  -- Each turns the good message into one that a strict reader refuses, and tells where: at this text, or behind it.
  local value, escape = "a value must stand here", "this is no escape of JSON"
  local control = "a control character must be escaped"
  local broken = {
    ["nothing"] = { "", 0, value },
    ["HTML"] = { "<html></html>", 0, value },
    ["half of one"] = { '{"data":{"seats":[', 18, value },
    ["a trailing comma"] = { '{"data":1,}', 10, "a name must stand here" },
    ["something behind it"] = { base .. "{}", #base, "nothing may stand behind the value" },
    ["a byte order mark"] = { "\239\187\191" .. base, 0, value },
    ["a comment"] = { "/* */" .. base, 0, value },
    ["single quotes"] = { "{'data':1}", 1, "a name must stand here" },
    ["NaN"] = { '{"data":NaN}', 8, value },
    ["a hexadecimal number"] = { '{"data":0x81}', 9, "a comma or the end must stand here" },
    ["a leading zero"] = { '{"data":0129}', 8, "this is no number of JSON" },
    ["a lone surrogate"] = { '{"data":"\\ud800"}', 9, "a surrogate must stand in a pair" },
    ["an unknown escape"] = { '{"data":"\\x41"}', 9, escape },
    ["a NUL"] = { base .. "\0", #base, "nothing may stand behind the value" },
    ["a NUL in a text"] = { '{"data":"a\0b"}', 10, control },
    ["a line break in a text"] = { '{"data":"a\nb"}', 10, control },
    ["a tab in a text"] = { '{"data":"a\\\\\\"\tb"}', 14, control },
    ["a control character between the parts"] = { "\11" .. base, 0, value },
    ["a name that stands twice"] = { '{"data":1,"data":1}', 10, "this name stands twice in its object" },
    ["a name that stands twice, once with an escape"] = { '{"data":[{"a":1,"\\u0061":1}]}', 16,
      "this name stands twice in its object" },
  }
  for name, case in pairs(broken) do
    it("is refused: " .. name, function()
      expect_broken(case[1], case[2], case[3])
    end)
  end

  it("is refused when it is nested too deeply, at the first level that is too many", function()
    local function nested(levels)
      return '{"more":' .. ("["):rep(levels) .. ("]"):rep(levels) .. "," .. base:gsub("^%s*{", "", 1)
    end
    assert(parse(nested(63)))
    expect_broken(nested(64), 8 + 63, "this is nested too deeply")
    expect_broken(("["):rep(100000), 64, "this is nested too deeply")
  end)

  it("is refused when an object has too many members", function()
    local function wide(count)
      local members = {}
      for i = 1, count do
        members[i] = ('"%d":0,'):format(i)
      end
      return (base:gsub("{", "{" .. table.concat(members), 1))
    end
    -- The fields of a seat count, and with them data and seats, in which it stands.
    assert(parse(wide(1000 - 7 - 2)))
    local message, err = parse(wide(1000 - 7 - 1))
    assert.is_nil(message)
    assert.matches("too many members", err.message, 1, true)
  end)

  it("is refused when it is not UTF-8, wherever that is", function()
    for _, bytes in ipairs { "\255", "\192\175", "\237\160\128", "\244\144\128\128", "\195" } do
      expect_broken(base:gsub("a1b2c3", bytes), base:find("a1b2c3", 1, true) - 1, "this is not UTF-8")
      expect_broken(base .. bytes, #base, "this is not UTF-8")
    end
  end)
end)

describe("the problems of a message", function()
  it("are none in a good one", function()
    for _, file in ipairs { "events.message.json", "events.message.linkv1.json", "seats.message.json",
      "derived/events.message.tbd.json", "derived/seats.message.lock.json" } do
      assert.same({}, assert(parse(samples.read(file))).problems, file)
    end
    assert.same({}, assert(parse(seats_with { ["/metadata/messageEntity"] = "listings" })).problems)
  end)

  it("name a seat that cannot be told, and leave what stands in its place", function()
    for _, value in ipairs { samples.REMOVE, NULL, "" } do
      local message = assert(parse(seats_with { ["/data/seats/1/seat"] = value }))
      assert.same({ { path = "/data/seats/1/seat", rule = "required", message = "is required" } }, message.problems)
      assert.equal("UNLOCK", message.items[2].status)
      assert.equal("seat is required", message.items[2].problem)
      assert.is_nil(message.items[1].problem)
      assert.is_nil(message.data.seats[2].problem)
    end
  end)

  it("are in the item as well, and only ours are", function()
    local message = assert(parse(seats_with { ["/data/seats/0/status"] = "SOLD",
      ["/data/seats/0/seat"] = samples.REMOVE, ["/data/seats/1/problem"] = "x" }))
    assert.equal("seat is required", message.items[1].problem)
    assert.equal("unknown", message.items[1].status)
    assert.is_nil(message.items[2].problem)
    assert.equal("x", message.data.seats[2].problem)
    message = assert(parse(events_with { ["/data/events/0/problem"] = "x" }))
    assert.is_nil(message.items[1].problem)
    assert.equal("x", message.data.events[1].problem)
  end)

  it("name a status that says neither that a seat is locked nor that it is not, and nobody can mistake it", function()
    for _, status in ipairs { "unlock", "SOLD", "UNLOCK ", "unknown" } do
      local message = assert(parse(seats_with { ["/data/seats/1/status"] = status }))
      assert.same({ { path = "/data/seats/1/status", rule = "values", message = "must be LOCK or UNLOCK" } },
        message.problems)
      assert.equal("unknown", message.items[2].status)
      assert.equal("status is unknown", message.items[2].problem)
      assert.equal(status, message.data.seats[2].status)
      assert.equal("UNLOCK", message.items[1].status)
    end
  end)

  it("stand in the order of the items, each with its place", function()
    local message = assert(parse(seats_with { ["/data/seats/0/status"] = "SOLD",
      ["/data/seats/0/seat"] = samples.REMOVE, ["/data/seats/1/status"] = "HELD" }))
    local paths = {}
    for i, problem in ipairs(message.problems) do
      paths[i] = problem.path
    end
    assert.same({ "/data/seats/0/seat", "/data/seats/0/status", "/data/seats/1/status" }, paths)
  end)

  it("never hold a value of the message", function()
    local message = assert(parse(seats_with { ["/data/seats/0/status"] = "MARK" }))
    for _, value in pairs(message.problems[1]) do
      assert.is_nil(value:find("MARK", 1, true))
    end
  end)
end)

describe("an envelope that was verified", function()
  -- As paciolan.sns.verify returns it.
  local function verified(changes)
    local envelope = {
      type = "Notification", message_id = "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
      topic_arn = "arn:aws:sns:us-west-2:123456789012:seats", message = samples.read("seats.message.json"),
      timestamp = "2026-03-06T20:00:26.893Z", timestamp_ms = 1772827226893, signature_version = 2, unsigned = {},
    }
    for name, value in pairs(changes or {}) do
      envelope[name] = value
    end
    return envelope
  end

  it("gives the message, with what the envelope said of it", function()
    local message, envelope = assert(parse(verified())), verified()
    local bare = assert(parse(envelope.message))
    for _, name in ipairs { "topic_arn", "message_id", "timestamp", "timestamp_ms" } do
      assert.equal(envelope[name], message[name])
      assert.is_nil(bare[name])
      message[name] = nil
    end
    assert.same(bare, message)
  end)

  it("is left as it was", function()
    local envelope = verified()
    assert(parse(envelope))
    assert.same(verified(), envelope)
  end)

  it("may hold a message that is none, which is refused like a bare one", function()
    expect_refusal(verified { message = "{}" }, "/data is required")
    expect_refusal(verified { message = "" }, "the message is not strict JSON: at byte 0: a value must stand here")
    expect_refusal(verified { message = seats_with { ["/data"] = "x" } }, "/data must be an object")
    expect_refusal(verified { message = (" "):rep(256 * 1024 + 1) }, "the message is larger than 256 KiB")
  end)

  it("carries no message when it is about the subscription", function()
    for _, kind in ipairs { "SubscriptionConfirmation", "UnsubscribeConfirmation" } do
      expect_refusal(verified { type = kind }, ("the envelope is a %s, which carries no message"):format(kind))
    end
  end)
end)

describe("an SNS envelope", function()
  local function envelope(kind)
    return cjson.encode {
      Type = kind, MessageId = "m", TopicArn = "arn:aws:sns:us-west-2:123456789012:seats", SignatureVersion = "1",
      Message = samples.read("seats.message.json"), Signature = "s",
    }
  end

  for _, kind in ipairs { "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation" } do
    it("is named and never opened: " .. kind, function()
      expect_refusal(envelope(kind), ("the body is an SNS envelope (%s), and not a message itself"):format(kind))
    end)
  end

  it("of an unknown type is refused like any other object", function()
    expect_refusal(envelope("secret"), "/data is required")
  end)

  it("does not hide a message: extra fields of one may be called anything", function()
    assert(parse(seats_with { ["/Type"] = "Notification", ["/TopicArn"] = "x" }))
  end)
end)

describe("the error", function()
  it("never holds a value of the message", function()
    local marks = { ["/data/seats/0/status"] = { MARK = "MARK" }, ["/metadata/pacOrganizationId"] = "MARK",
      ["/data/seats/0/row"] = { MARK = "MARK" }, ["/data/seats/1"] = "MARK", ["/metadata"] = "MARK",
      ["/data"] = "MARK" }
    for place, mark in pairs(marks) do
      local _, err = parse(seats_with { [place] = mark })
      for _, value in pairs(err) do
        assert.is_nil(tostring(value):find("MARK", 1, true), place)
      end
      assert.is_nil(tostring(err):find("MARK", 1, true), place)
    end
  end)
end)

describe("a mistake of the caller", function()
  it("raises where it was made", function()
    -- What was given, what the words say of it. The last two are an envelope as it is posted, decoded, and a message.
    local rows = { { 7, "a number" }, { true, "a boolean" }, { {}, "another table" },
      { { Type = "Notification", TopicArn = "x", Message = "{}" }, "another table" },
      { { type = "seats", topic_arn = "x", message = "{}" }, "another table" } }
    for _, row in ipairs(rows) do
      local ok, message = pcall(function() parse(row[1]) end)
      assert.is_false(ok)
      assert.matches("messages_spec.lua:%d+: paciolan.messages.parse takes the text of a message or an envelope that "
        .. "was verified, and not " .. row[2] .. "$", message)
    end
    assert.has_error(function() parse(nil) end)
  end)
end)
