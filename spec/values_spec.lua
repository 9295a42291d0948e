--- paciolan.split_section and paciolan.parse_time: single values of answers, turned into what a program works with.
local errors = require("paciolan.errors")
local paciolan = require("paciolan")
local samples = require("support.samples")
local scripted = require("support.scripted")

local function expect_refusal(message, result, ...)
  local err = ...
  assert.is_nil(result)
  assert.equal(1, select("#", ...))
  assert.is_true(errors.is(err))
  assert.equal("validation", err.kind)
  assert.is_false(err.retryable)
  assert.equal(message, err.message)
end

describe("split_section", function()
  local rows = { { "ES:9", "ES", "9" }, { "U:100", "U", "100" }, { "1:1", "1", "1" }, { "A:B:C", "A", "B:C" },
    { "Upper Deck: 12", "Upper Deck", " 12" }, { "A::", "A", ":" } }
  for _, row in ipairs(rows) do
    it("splits at the first colon: " .. row[1], function()
      local level, section = paciolan.split_section(row[1])
      assert.equal(row[2], level)
      assert.equal(row[3], section)
    end)
  end

  for _, text in ipairs { "", "9", ":", ":9", "ES:", "ES" } do
    it(("does not guess what is missing: %q"):format(text), function()
      expect_refusal("the section is not written LEVEL:SECTION", paciolan.split_section(text))
    end)
  end

  it("finds none where a seat has none", function()
    expect_refusal("there is no section", paciolan.split_section(nil))
    expect_refusal("there is no section", paciolan.split_section(paciolan.null))
  end)

  it("raises for what cannot be a section, at the line of the caller", function()
    for _, value in ipairs { 9, true, {} } do
      local ok, message = pcall(function() paciolan.split_section(value) end)
      assert.is_false(ok)
      assert.matches("values_spec.lua:%d+: paciolan.split_section takes texts, not a", message)
    end
  end)
end)

describe("parse_time", function()
  -- text, time of day, milliseconds, whether a zone was named
  local rows = {
    { "2023-02-18T19:39:39.548608815Z", nil, 1676749179548, true },
    { "2023-06-14T07:23:05.281+0000", nil, 1686727385281, true },
    { "2023-06-14T09:23:05.281+02:00", nil, 1686727385281, true },
    { "06/07/2023 23:46:03", nil, 1686181563000, false },
    { "2023-05-20", "20:30:00Z", 1684614600000, true },
    { "2024-02-29", "23:59:59Z", 1709251199000, true },
    { "1970-01-01", "00:00:00Z", 0, true },
    { "1969-12-31T23:59:59.999Z", nil, -1, true },
    { "2023-02-18T19:39:39.9999999Z", nil, 1676749179999, true },
  }
  for _, row in ipairs(rows) do
    it(("reads %s %s"):format(row[1], row[2] or ""), function()
      local unix_ms, err, has_zone = paciolan.parse_time(row[1], row[2])
      assert.equal(row[3], unix_ms)
      assert.is_nil(err)
      assert.equal(row[4], has_zone)
      assert.equal(("%d"):format(row[3]), tostring(unix_ms))
    end)
  end

  it("reads every time of the samples", function()
    local history = samples.load("transfer-history.response.200.json")
    local offer = samples.load("transfer-v2.response.complete.json")
    local event = samples.load("catalog-events.response.200.json")[1]
    for _, text in ipairs { samples.load("auth-token.response.200.json").expiration, history.createTs,
      history.history[1].ts, offer.sentDt, offer.expireDt,
      samples.load("cancel-transfer.response.200.json").cancelDt } do
      assert(paciolan.parse_time(text))
    end
    assert(paciolan.parse_time(event.startDate, event.startTime))
    assert(paciolan.parse_time(event.endDate, event.endTime))
    assert.equal(7 * 24 * 60 * 60 * 1000, paciolan.parse_time(offer.expireDt) - paciolan.parse_time(offer.sentDt))
  end)

  for _, text in ipairs { "", "x", "20:30:00Z", "2023-02-30T00:00:00Z", "02/30/2023 00:00:00", "2023-06-14 07:23:05",
    "2023-06-14T07:23:05", "06/07/2023", "6/7/2023 23:46:03", "2023-06-14T24:00:00Z", "2023-06-14T07:23:05Z ",
    "1676749179", "2023-02-18T19:39:39Z\0" } do
    it("refuses " .. samples.shown(text), function()
      expect_refusal("the text is no time in a documented form", paciolan.parse_time(text))
    end)
  end

  it("refuses a date and a time of day that do not go together", function()
    for _, pair in ipairs { { "2023-05-20", "" }, { "2023-05-20", "25:00:00Z" }, { "2023-05-20", "20:30:00" },
      { "2023-02-29", "20:30:00Z" }, { "2023-05-20T20:30:00Z", "20:30:00Z" },
      { "06/07/2023 23:46:03", "20:30:00Z" } } do
      expect_refusal("the text is no time in a documented form", paciolan.parse_time(pair[1], pair[2]))
    end
  end)

  it("does not take a date alone for midnight", function()
    expect_refusal("a date needs its time of day as the second argument", paciolan.parse_time("2023-05-20"))
  end)

  it("finds no time where an event has none yet", function()
    expect_refusal("there is no time", paciolan.parse_time(nil))
    expect_refusal("there is no time", paciolan.parse_time(paciolan.null, paciolan.null))
    expect_refusal("there is no time", paciolan.parse_time("2023-05-20", paciolan.null))
    expect_refusal("the time is still to be determined", paciolan.parse_time("2023-05-20", "TBD"))
    expect_refusal("the time is still to be determined", paciolan.parse_time("TBD"))
  end)

  it("raises for what cannot be a time, at the line of the caller", function()
    for _, arguments in ipairs { { 1676749179 }, { {} }, { "2023-05-20", 20 }, { false } } do
      local ok, message = pcall(function() paciolan.parse_time(arguments[1], arguments[2]) end)
      assert.is_false(ok)
      assert.matches("values_spec.lua:%d+: paciolan.parse_time takes texts, not a", message)
    end
  end)
end)

describe("milliseconds are whole numbers on every Lua", function()
  local kind_of = rawget(math, "type") or function() return "integer" end -- LuaJIT has one kind of numbers

  local function is_whole(value)
    assert.is_number(value)
    assert.matches("^%d+$", tostring(value))
    assert.equal("integer", kind_of(value))
  end

  it("in times that were read", function()
    is_whole((assert(paciolan.parse_time("2026-09-01T12:00:00.5Z"))))
  end)

  it("in responses, errors, events and pauses", function()
    local events = {}
    local link, transport = scripted.client(
      { { status = 429, headers = { ["retry-after"] = "2" }, body = "{}" }, { kind = "network", phase = "unknown" } },
      { retries = 3, on_event = function(event) events[#events + 1] = event end })
    local result, err = link.listings:get("A3qnemZ")
    assert.is_nil(result)
    is_whole(err.response.elapsed_ms)
    for _, wait_ms in ipairs(transport.waits) do
      is_whole(wait_ms)
    end
    assert.equal(2000, transport.waits[1])
    assert.is_true(#transport.waits > 1 and #events > 2)
    for _, event in ipairs(events) do
      is_whole(event.at_ms)
      is_whole(event.elapsed_ms or event.wait_ms or 0)
    end
  end)

  it("in the time that the service asks to wait", function()
    local answer = { status = 429, headers = { ["retry-after"] = "2" }, body = "{}" }
    local link = scripted.client({ answer }, { retries = 0 })
    local _, err = link.listings:get("A3qnemZ")
    is_whole(err.retry_after_ms)
    assert.equal("2000", tostring(err.retry_after_ms))
  end)
end)
