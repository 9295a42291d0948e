--- The rows of contract section 7 about the messages that the service pushes.
local cjson = require("cjson").new()
local paciolan = require("paciolan")
local samples = require("support.samples")
local wire = require("support.wire")

local NULL = paciolan.null

local function parse_changed(file, changes)
  return paciolan.messages.parse(cjson.encode(samples.with(file, changes)))
end

describe("a message, by the rows of the discrepancies", function()
  it("row 9: pacOrganizationId is an integer or a string of digits", function()
    for _, value in ipairs { 129, "129" } do
      local message = assert(parse_changed("seats.message.json", { ["/metadata/pacOrganizationId"] = value }))
      assert.equal("129", message.organization_id)
      assert.equal(value, message.metadata.pacOrganizationId)
    end
    for _, value in ipairs { "a data account", 1.5, true } do
      assert.is_nil((parse_changed("seats.message.json", { ["/metadata/pacOrganizationId"] = value })))
    end
  end)

  it("row 29: null, TBD and absence of a date or a time are three values", function()
    for _, name in ipairs { "startDate", "startTime", "endDate", "endTime" } do
      local place, seen = "/data/events/0/" .. name, {}
      for i, value in ipairs { NULL, "TBD", samples.REMOVE, "20:30:00Z" } do
        seen[i] = { assert(parse_changed("events.message.json", { [place] = value })).items[1][name] }
      end
      assert.same({ { NULL }, { "TBD" }, {}, { "20:30:00Z" } }, seen)
    end
    local tbd = assert(paciolan.messages.parse(samples.read("derived/events.message.tbd.json"))).items[1]
    assert.equal("TBD", tbd.startTime)
    assert.equal(NULL, tbd.endDate)
    -- An answer keeps them apart in the same way.
    local body = samples.read("catalog-events.response.200.json"):gsub('"20:30:00Z"', '"TBD"', 1)
      :gsub('("endDate": )"2023%-05%-20"', "%1null"):gsub('"endTime": "20:30:00Z",', "")
    local event = assert(wire.received("catalog.events", 200, body))[1]
    assert.equal("TBD", event.startTime)
    assert.equal(NULL, event.endDate)
    assert.is_nil(event.endTime)
  end)

  it("row 45: the empty object of the documented answers is an answer of ours, and never read as a message", function()
    for _, file in ipairs { "events.message.response.linkv1.json", "seats.message.response.linkv1.json" } do
      assert.same({}, samples.load(file))
      local message, err = paciolan.messages.parse(samples.read(file))
      assert.is_nil(message)
      assert.equal("protocol", err.kind)
      assert.equal("/data is required", err.message)
    end
    assert.is_nil((paciolan.messages.parse("")))
  end)

  it("row 52: a seats message may lack the seat, which is named, and keeps what stands in its place", function()
    local message = assert(paciolan.messages.parse(samples.read("seats.message.linkv1.json")))
    assert.is_nil(message.items[1].seat)
    assert.equal("25", message.items[1].startDate)
    assert.equal("30", message.items[1].row)
    assert.equal("UNLOCK", message.items[1].status)
    assert.same({ { path = "/data/seats/0/seat", rule = "required", message = "is required" } }, message.problems)
  end)

  it("row 61: UNLOCK of a message and UNLOCK of a failure entry stay two things", function()
    local message = assert(paciolan.messages.parse(samples.read("seats.message.json")))
    assert.equal("UNLOCK", message.items[1].status)
    message = assert(paciolan.messages.parse(samples.read("derived/seats.message.lock.json")))
    assert.equal("LOCK", message.items[1].status)
    for status, file in pairs { [207] = "lock.response.207.json", [422] = "lock.response.422.json" } do
      local result, err, response = wire.received_sample("tickets.lock", status, file)
      assert.is_nil(result)
      assert.equal("UNLOCK", err.body.failure[1].status)
      assert.is_nil(response.state)
    end
    -- A third word is neither of the two.
    message = assert(parse_changed("seats.message.json", { ["/data/seats/0/status"] = "PENDING" }))
    assert.equal("unknown", message.items[1].status)
    assert.equal("PENDING", message.data.seats[1].status)
  end)

  it("row 62: a bare message is read, an SNS envelope is named and refused: the form is never guessed", function()
    local text = samples.read("seats.message.json")
    assert(paciolan.messages.parse(text))
    local envelope = { Type = "Notification", TopicArn = "arn:aws:sns:us-west-2:123456789012:seats", Message = text }
    local message, err = paciolan.messages.parse(cjson.encode(envelope))
    assert.is_nil(message)
    assert.equal("protocol", err.kind)
    assert.matches("SNS envelope", err.message, 1, true)
  end)
end)
