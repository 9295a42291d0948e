--- A seat that is unlocked takes its listing down: once, however messages come, whatever fails in between.

local amazon = require("support.amazon")
local delisting = require("paciolan.workflow.delisting")
local faulty_store = require("support.faulty_store")
local folder = require("support.folder")
local inbox = require("support.inbox")
local json = require("paciolan.json")
local messages = require("paciolan.messages")
local paciolan = require("paciolan")
local redis = require("support.redis")

local NOW_MS = 1790000000000
local FIRST, SECOND = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"

local function place(seat, changes)
  local copy = { access_id = "999:FB23:FB01", section = "ES:9", row = "1", seat = seat }
  for name, value in pairs(changes or {}) do
    copy[name] = value
  end
  return copy
end

-- A listing of the seats 1 to `count`.
local function listing(id, count, changes)
  local given = { external_listing_id = id, organization_id = "999", seats = {}, listed_at_ms = NOW_MS }
  for i = 1, count do
    given.seats[i] = place(("%d"):format(i))
  end
  for name, value in pairs(changes or {}) do
    given[name] = value
  end
  return given
end

-- A message about one seat, as a receiver hands it over.
local function message(status, seat, changes)
  local item = { accessId = "999:FB23:FB01", section = "ES:9", row = "1", seat = seat, status = status }
  local more = changes or {}
  for name, value in pairs(more.item or {}) do
    item[name] = value or nil
  end
  local parsed = assert(messages.parse(inbox.message("seats", { seats = { item } })))
  parsed.timestamp_ms, parsed.message_id = more.timestamp_ms, more.message_id
  return parsed
end

-- A workflow that writes down what its application is asked. `box.answer` decides what that answers.
local function open(store, options)
  local box = { taken = {}, unclear = {} }
  local function answer(...)
    if box.answer then
      return box.answer(...)
    end
    return true
  end
  local all = { store = store, now_ms = function() return NOW_MS end, on_delist = function(...)
    box.taken[#box.taken + 1] = { ... }
    return answer(...)
  end }
  for name, value in pairs(options or {}) do
    all[name] = value
  end
  if all.on_unclear == nil then
    all.on_unclear = function(...)
      box.unclear[#box.unclear + 1] = { ... }
      return answer(...)
    end
  end
  all.on_unclear = all.on_unclear or nil
  box.delisting = delisting.new(all)

  function box.tell(...)
    local parsed = message(...)
    return box.delisting:on_seat(parsed.items[1], parsed)
  end

  function box.ids()
    local ids = {}
    for i, one in ipairs(assert(box.delisting:listings())) do
      ids[i] = one.external_listing_id
    end
    return ids
  end

  function box.counted(name)
    return box.delisting:counters()[name] or 0
  end
  return box
end

local STORES = {
  memory = function() return paciolan.store.memory() end,
  sqlite = function() return paciolan.store.sqlite(folder.make() .. "/listings.db") end,
  redis = function() return paciolan.store.redis(redis.start():url()) end,
}

for name, open_store in pairs(STORES) do
  describe("delisting over a store in " .. name, function()
    local store, box

    before_each(function()
      store = assert(open_store())
      box = open(store)
    end)

    after_each(function()
      store:close()
      redis.stop_all()
      folder.remove_all()
    end)

    it("takes the whole listing of a seat down, with what the application kept in it, and forgets it", function()
      assert(box.delisting:remember(listing("L-1", 3, { price = 60, url = json.null })))
      assert(box.delisting:remember(listing("L-2", 1, { seats = { place("9") } })))
      local parsed = message("UNLOCK", "2")
      assert.is_true(box.delisting:on_seat(parsed.items[1], parsed))
      assert.equal(1, #box.taken)
      local taken, item, of = box.taken[1][1], box.taken[1][2], box.taken[1][3]
      assert.same({ "L-1", "999", 60, json.null, 3, NOW_MS }, { taken.external_listing_id, taken.organization_id,
        taken.price, taken.url, #taken.seats, taken.listed_at_ms })
      assert.equal(parsed.items[1], item)
      assert.equal(parsed, of)
      assert.same({ "L-2" }, box.ids())
      assert.is_true(box.tell("UNLOCK", "1"))
      assert.equal(1, #box.taken)
    end)

    it("leaves nothing of it in the store", function()
      assert(box.delisting:remember(listing("L-1", 4)))
      assert(box.tell("UNLOCK", "4"))
      assert.same({}, assert(store:list("")))
    end)

    it("takes every listing down that holds the seat", function()
      assert(box.delisting:remember(listing("L-1", 2)))
      assert(box.delisting:remember(listing("L-2", 1)))
      assert.is_true(box.tell("UNLOCK", "1"))
      assert.same({ "L-1", "L-2" }, { box.taken[1][1].external_listing_id, box.taken[2][1].external_listing_id })
      assert.same({}, box.ids())
    end)

    it("keeps the listing until the application has returned true", function()
      assert(box.delisting:remember(listing("L-1", 2)))
      for _, answer in ipairs { function() return nil, "the site is down" end, function() error("down", 0) end,
        function() return false end, function() return "yes" end, function() end } do
        box.answer = answer
        local done, err = box.tell("UNLOCK", "1")
        assert.is_nil(done)
        assert.is_not_nil(err)
        assert.same({ "L-1" }, box.ids())
      end
      box.answer = nil
      assert.is_true(box.tell("UNLOCK", "1"))
      assert.same({}, box.ids())
      assert.same({ 6, 1, 5 }, { #box.taken, box.counted("taken_down"), box.counted("failed") })
    end)

    it("resumes what was begun, in another process too", function()
      assert(box.delisting:remember(listing("L-1", 2)))
      assert(box.delisting:remember(listing("L-2", 1, { seats = { place("9") } })))
      box.answer = function() return nil, "down" end
      assert.is_nil((box.tell("UNLOCK", "1")))
      assert.same({ nil, "down" }, { box.delisting:resume() })
      local other = open(store)
      assert.equal(1, other.delisting:resume())
      assert.same({ "L-1", "1" }, { other.taken[1][1].external_listing_id, other.taken[1][2].seat })
      assert.equal(0, other.delisting:resume())
      assert.same({ "L-2" }, other.ids())
    end)

    it("remembers a listing anew instead of the one before", function()
      assert(box.delisting:remember(listing("L-1", 3)))
      assert(box.delisting:remember(listing("L-1", 1, { price = 70 })))
      assert.is_true(box.tell("UNLOCK", "3"))
      assert.equal(0, #box.taken)
      assert.is_true(box.tell("UNLOCK", "1"))
      assert.equal(70, box.taken[1][1].price)
      assert.same({}, assert(store:list("")))
    end)

    it("lets two who come at once take it down once", function()
      assert(box.delisting:remember(listing("L-1", 2)))
      local other = open(store)
      box.answer = function()
        coroutine.yield()
        return true
      end
      local first = coroutine.wrap(box.tell)
      first("UNLOCK", "1")
      local done, err = other.tell("UNLOCK", "2")
      assert.is_nil(done)
      assert.truthy(tostring(err):find("by somebody else", 1, true))
      assert.is_true((first()))
      assert.is_true(other.tell("UNLOCK", "2"))
      assert.same({ 1, 0 }, { #box.taken, #other.taken })
    end)

    it("lists many listings", function()
      for i = 1, 205 do
        assert(box.delisting:remember(listing(("L-%03d"):format(i), 1, { seats = { place(("%d"):format(i)) } })))
      end
      local ids = box.ids()
      assert.same({ 205, "L-001", "L-205" }, { #ids, ids[1], ids[205] })
    end)
  end)
end

describe("delisting", function()
  local store, box

  before_each(function()
    store = paciolan.store.memory()
    box = open(store)
  end)

  it("leaves seats alone that are not listed, and those of other places", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    local others = { { seat = "2" }, { row = "11" }, { row = "1/1" }, { section = "ES:99" }, { section = "ES:9/1" },
      { accessId = "999:FB23:FB02" } }
    for _, changes in ipairs(others) do
      assert.is_true(box.tell("UNLOCK", "1", { item = changes }))
    end
    local parsed = message("UNLOCK", "1")
    parsed.organization_id = "998"
    assert.is_true(box.delisting:on_seat(parsed.items[1], parsed))
    assert.same({ 0, 7 }, { #box.taken, box.counted("not_listed") })
  end)

  it("tells places apart whose parts hold what separates them", function()
    local seats = { place("1/2", { row = "3" }), place("2", { row = "3/1" }), place("%2F", { row = "3" }) }
    for i, seat in ipairs(seats) do
      assert(box.delisting:remember(listing(("L-%d"):format(i), 1, { seats = { seat } })))
    end
    for i, seat in ipairs(seats) do
      assert.is_true(box.tell("UNLOCK", seat.seat, { item = { row = seat.row } }))
      assert.equal(("L-%d"):format(i), box.taken[i][1].external_listing_id)
    end
    assert.equal(3, #box.taken)
  end)

  it("takes labels and ids as numbers or as texts", function()
    assert(box.delisting:remember(listing("L-1", 1, { organization_id = 999, seats = { place(7, { row = 1 }) } })))
    assert.same({ "1", "7" }, { box.delisting:listings()[1].seats[1].row, box.delisting:listings()[1].seats[1].seat })
    assert.is_true(box.tell("UNLOCK", "7"))
    assert.equal(1, #box.taken)
  end)

  it("forgets what it is told to forget", function()
    assert(box.delisting:remember(listing("L-1", 2)))
    assert.is_true(box.delisting:forget("L-1"))
    assert.is_false(box.delisting:forget("L-1"))
    assert.is_true(box.tell("UNLOCK", "1"))
    assert.equal(0, #box.taken)
    assert.same({}, store:list(""))
  end)

  it("writes down when a listing was made", function()
    assert(box.delisting:remember { external_listing_id = "L-1", organization_id = "999", seats = { place("1") } })
    assert.equal(NOW_MS, box.delisting:listings()[1].listed_at_ms)
  end)

  -- --- order ------------------------------------------------------------------------------------------------------

  local function at(ms, id)
    return { timestamp_ms = NOW_MS + ms, message_id = id or FIRST }
  end

  it("expects a LOCK of what is listed", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    assert.is_true(box.tell("LOCK", "1", at(10)))
    assert.is_true(box.tell("LOCK", "1"))
    assert.same({ 0, 2, "L-1" }, { #box.taken, box.counted("locked"), box.ids()[1] })
  end)

  it("leaves a listing alone that was made after the UNLOCK, by more than clocks may differ", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    assert.is_true(box.tell("UNLOCK", "1", at(-300001)))
    assert.same({ 0, 0, 1 }, { #box.taken, #box.unclear, box.counted("earlier") })
    assert.is_true(box.tell("UNLOCK", "1", at(-300000)))
    assert.same({ 1, 1 }, { #box.taken, box.counted("earlier") })
  end)

  it("lets the application say how far clocks may differ", function()
    box = open(store, { clock_skew_ms = 0 })
    assert(box.delisting:remember(listing("L-1", 1)))
    assert.is_true(box.tell("UNLOCK", "1", at(-1)))
    assert.equal(0, #box.taken)
    assert.is_true(box.tell("UNLOCK", "1", at(0)))
    assert.equal(1, #box.taken)
  end)

  it("compares with the LOCK, which is of the same clock, when the time of the listing leaves it open", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    assert.is_true(box.tell("LOCK", "1", at(-1500)))
    assert.is_true(box.tell("UNLOCK", "1", at(-2000)))
    assert.same({ 0, 1, "earlier" }, { #box.taken, box.counted("earlier"), box.unclear[1][4] })
    assert.is_true(box.tell("UNLOCK", "1", at(-500)))
    assert.same({ 1, 1 }, { #box.taken, #box.unclear })
  end)

  for _, row in ipairs {
    { "a later LOCK came before it", at(10), at(20), "overtaken" },
    { "a LOCK of the same time, but a later id", at(10, FIRST), at(10, SECOND), "taken_down" },
    { "the LOCK is earlier", at(20), at(10), "taken_down" },
    { "the LOCK is of the same message", at(10), at(10), "taken_down" },
    { "the LOCK has no time", at(10), {}, "taken_down" },
    { "the UNLOCK has no time", {}, at(10), "taken_down" },
  } do
    it(("ends in the later state when %s: %s"):format(row[1], row[4]), function()
      assert(box.delisting:remember(listing("L-1", 1)))
      assert.is_true(box.tell("LOCK", "1", row[3]))
      assert.is_true(box.tell("UNLOCK", "1", row[2]))
      assert.equal(1, box.counted(row[4]))
      assert.equal(row[4] == "taken_down" and 1 or 0, #box.taken)
      assert.equal(row[4] == "taken_down" and 0 or 1, #box.unclear)
    end)
  end

  it("keeps the later of two LOCKs, and of each seat its own", function()
    assert(box.delisting:remember(listing("L-1", 2)))
    assert.is_true(box.tell("LOCK", "1", at(30)))
    assert.is_true(box.tell("LOCK", "1", at(10)))
    assert.is_true(box.tell("UNLOCK", "1", at(20)))
    assert.equal(1, box.counted("overtaken"))
    assert.is_true(box.tell("UNLOCK", "2", at(20)))
    assert.equal(1, box.counted("taken_down"))
  end)

  it("takes down after all what it could not take down before a LOCK came", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    box.answer = function() return nil, "down" end
    assert.is_nil((box.tell("UNLOCK", "1", at(10))))
    assert.is_true(box.tell("LOCK", "1", at(20)))
    box.answer = nil
    assert.is_true(box.tell("UNLOCK", "1", at(10)))
    assert.equal(1, box.counted("taken_down"))
  end)

  it("leaves a listing alone that was remembered anew without the seat while it was being taken down", function()
    assert(box.delisting:remember(listing("L-1", 2)))
    box.answer = function()
      return box.delisting:remember(listing("L-1", 1, { seats = { place("2") } }))
    end
    assert.is_true(box.tell("UNLOCK", "1", at(10)))
    box.answer = nil
    assert.same({ "L-1", 0 }, { box.ids()[1], box.delisting:resume() })
    assert.is_true(box.tell("UNLOCK", "2", at(60)))
    assert.same({}, box.ids())
  end)

  it("leaves a listing alone that was forgotten and made again while it was being taken down", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    box.answer = function()
      return box.delisting:forget("L-1") and box.delisting:remember(listing("L-1", 1))
    end
    assert.is_true(box.tell("UNLOCK", "1", at(10)))
    assert.same({ "L-1", 0 }, { box.ids()[1], box.delisting:resume() })
  end)

  it("takes down again what was remembered anew with the seat while it was being taken down", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    box.answer = function()
      return box.delisting:remember(listing("L-1", 1, { price = 70 }))
    end
    assert.is_nil((box.tell("UNLOCK", "1", at(10))))
    box.answer = nil
    assert.same({ 1, {} }, { box.delisting:resume(), box.ids() })
    assert.equal(70, box.taken[2][1].price)
  end)

  -- --- remembered anew --------------------------------------------------------------------------------------------

  -- A workflow whose clock the test moves, without `listed_at_ms`.
  local function open_at(options)
    local clock = { now_ms = NOW_MS }
    options = options or {}
    options.now_ms = function() return clock.now_ms end
    return clock, open(store, options)
  end

  local function untimed(id, seats)
    local given = { external_listing_id = id, organization_id = "999", seats = {} }
    for i, seat in ipairs(seats) do
      given.seats[i] = place(seat)
    end
    return given
  end

  it("keeps since when a seat is listed when its listing is remembered anew", function()
    local clock, one = open_at { clock_skew_ms = 0 }
    assert(one.delisting:remember(untimed("L-1", { "1", "2" })))
    clock.now_ms = NOW_MS + 2000
    assert(one.delisting:remember(untimed("L-1", { "2", "3" })))
    assert.equal(NOW_MS, one.delisting:listings()[1].listed_at_ms)
    assert.is_true(one.tell("UNLOCK", "3", at(1500)))
    assert.is_true(one.tell("UNLOCK", "1", at(1500)))
    assert.same({ 0, 1, 1 }, { #one.taken, one.counted("earlier"), one.counted("not_listed") })
    assert.is_true(one.tell("UNLOCK", "2", at(1500)))
    assert.equal(1, #one.taken)
  end)

  it("takes the time that it is given, and the present one when it was forgotten before", function()
    local clock, one = open_at { clock_skew_ms = 0 }
    assert(one.delisting:remember(untimed("L-1", { "1" })))
    assert(one.delisting:remember(listing("L-1", 1, { listed_at_ms = NOW_MS + 1000 })))
    assert.is_true(one.tell("UNLOCK", "1", at(500)))
    assert.equal(NOW_MS + 1000, one.delisting:listings()[1].listed_at_ms)
    clock.now_ms = NOW_MS + 2000
    assert(one.delisting:forget("L-1"))
    assert(one.delisting:remember(untimed("L-1", { "1" })))
    assert.is_true(one.tell("UNLOCK", "1", at(1500)))
    assert.same({ 0, 2 }, { #one.taken, one.counted("earlier") })
  end)

  it("remembers that a listing has to go as long as it holds the seat", function()
    for _, changes in ipairs { {}, { listed_at_ms = NOW_MS + 50 } } do
      assert(box.delisting:remember(listing("L-1", 2)))
      box.answer = function() return nil, "down" end
      assert.is_nil((box.tell("UNLOCK", "1", at(10))))
      box.answer = nil
      assert(box.delisting:remember(listing("L-1", 3, changes)))
      assert.equal(1, box.delisting:resume())
      assert.equal(3, #box.taken[#box.taken][1].seats)
    end
    assert(box.delisting:remember(listing("L-1", 2)))
    box.answer = function() return nil, "down" end
    assert.is_nil((box.tell("UNLOCK", "1", at(10))))
    box.answer = nil
    assert(box.delisting:remember(listing("L-1", 1, { seats = { place("2") } })))
    assert.same({ 0, "L-1" }, { box.delisting:resume(), box.ids()[1] })
  end)

  it("takes a listing that has to go down at the next message about it, whatever its time", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    box.answer = function() return nil, "down" end
    assert.is_nil((box.tell("UNLOCK", "1", at(10))))
    box.answer = nil
    assert(box.delisting:remember(listing("L-1", 1, { listed_at_ms = NOW_MS + 400000 })))
    assert.is_true(box.tell("UNLOCK", "1", at(10)))
    assert.same({}, box.ids())
  end)

  -- --- resume -----------------------------------------------------------------------------------------------------

  it("resumes so many at a time, and all of them in turn although some fail", function()
    box = open(store, { resume_max = 2 })
    box.answer = function() return nil, "down" end
    for i = 1, 5 do
      assert(box.delisting:remember(untimed("L-" .. i, { tostring(i) })))
      assert.is_nil((box.tell("UNLOCK", tostring(i))))
    end
    box.taken = {}
    for _ = 1, 3 do
      assert.same({ nil, "down" }, { box.delisting:resume() })
    end
    local ids = {}
    for i, call in ipairs(box.taken) do
      ids[i] = call[1].external_listing_id
    end
    assert.same({ "L-1", "L-2", "L-3", "L-4", "L-5", "L-1" }, ids)
    box.answer = nil
    assert.same({ 2, 2, 1, 0 }, { box.delisting:resume(), box.delisting:resume(), box.delisting:resume(),
      (box.delisting:resume()) })
  end)

  -- --- what is unclear --------------------------------------------------------------------------------------------

  for _, row in ipairs {
    { "an UNLOCK without a seat, with the listings of the row", "UNLOCK", { seat = false }, "no_seat", { "L-1" } },
    { "an UNLOCK whose seat is null", "UNLOCK", { seat = json.null }, "no_seat", { "L-1" } },
    { "an UNLOCK without a row, with the listings of the section", "UNLOCK", { row = false }, "no_seat",
      { "L-1", "L-2" } },
    { "an UNLOCK without a section, with the listings of the event", "UNLOCK", { section = false }, "no_seat",
      { "L-1", "L-2", "L-3" } },
    { "a status that nobody knows", "HELD", {}, "unknown_status", { "L-1" } },
    { "a status that nobody knows, without a seat", "HELD", { seat = false }, "unknown_status", { "L-1" } },
  } do
    it("asks about " .. row[1], function()
      assert(box.delisting:remember(listing("L-1", 2)))
      assert(box.delisting:remember(listing("L-2", 1, { seats = { place("1", { row = "2" }) } })))
      assert(box.delisting:remember(listing("L-3", 1, { seats = { place("1", { section = "ES:8" }) } })))
      assert.is_true(box.tell(row[2], "1", { item = row[3] }))
      assert.same({ 0, 1 }, { #box.taken, #box.unclear })
      local ids = {}
      for i, one in ipairs(box.unclear[1][3]) do
        ids[i] = one.external_listing_id
      end
      table.sort(ids)
      assert.same(row[5], ids)
      assert.same({ row[4], 1, 3 }, { box.unclear[1][4], box.counted(row[4]), #box.ids() })
    end)
  end

  it("does not ask when no listing is concerned, nor about a LOCK without a seat", function()
    assert(box.delisting:remember(listing("L-1", 2)))
    assert.is_true(box.tell("UNLOCK", nil, { item = { row = "2", seat = false } }))
    assert.is_true(box.tell("HELD", "3"))
    assert.is_true(box.tell("LOCK", nil))
    assert.is_true(box.tell("UNLOCK", nil, { timestamp_ms = NOW_MS - 1, message_id = FIRST }))
    assert.equal(1, #box.unclear)
    assert.is_true(box.tell("UNLOCK", nil, { timestamp_ms = NOW_MS - 300001, message_id = FIRST }))
    assert.equal(1, #box.unclear)
  end)

  it("lets a message come again when the application could not tell", function()
    assert(box.delisting:remember(listing("L-1", 2)))
    box.answer = function() error("no answer", 0) end
    assert.same({ nil, "no answer" }, { box.tell("HELD", "1") })
    box.answer = function() return nil, "later" end
    assert.same({ nil, "later" }, { box.tell("UNLOCK", nil) })
    assert.equal(2, box.counted("failed"))
  end)

  it("refuses what nobody can tell about a listing when there is no on_unclear", function()
    box = open(store, { on_unclear = false })
    assert(box.delisting:remember(listing("L-1", 2)))
    for reason, item in pairs { unknown_status = { "HELD", "1" }, no_seat = { "UNLOCK" } } do
      local done, err = box.tell(item[1], item[2])
      assert.same({ nil, "protocol" }, { done, err.kind })
      assert.truthy(tostring(err):find("on_unclear", 1, true))
      assert.equal(1, box.counted(reason))
    end
    assert.is_true(box.tell("HELD", "3"))
    assert.is_true(box.tell("UNLOCK", nil, { item = { row = "2" } }))
    assert.same({ 2, 0, "L-1" }, { box.counted("not_listed"), #box.taken, box.ids()[1] })
  end)

  it("takes down what was overtaken, or may be earlier, when there is no on_unclear", function()
    box = open(store, { on_unclear = false })
    for i, ms in ipairs { 10, -10 } do
      assert(box.delisting:remember(listing("L-1", 1)))
      assert.is_true(box.tell("LOCK", "1", at(20)))
      assert.is_true(box.tell("UNLOCK", "1", at(ms)))
      assert.same({ i, {} }, { #box.taken, box.ids() })
    end
    assert.same({ 1, 1 }, { box.counted("overtaken"), box.counted("earlier") })
  end)

  it("asks of the listings of the row alone, whatever a broken off remember has left in it", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    assert(store:put("paciolan/listed/999/999:FB23:FB01/ES:9/2/1", '[{"id":"L-1","mark":"x"}]'))
    assert.is_true(box.tell("UNLOCK", nil, { item = { row = "2" } }))
    assert.equal(0, #box.unclear)
  end)

  -- --- misuse -----------------------------------------------------------------------------------------------------

  it("raises for options that it cannot use, where they stand", function()
    local function no() end
    for text, options in pairs {
      ["a table of options"] = false, ["store and on_delist are required"] = {},
      ["option store must be a table"] = { store = "memory" }, ["unknown option colour"] = { colour = "red" },
      ["on_delist must be a function"] = { store = store, on_delist = true },
      ["reserve_s must be a number of seconds"] = { store = store, on_delist = no, reserve_s = 0 },
      ["clock_skew_ms must be a number of milliseconds"] = { store = store, on_delist = no, clock_skew_ms = -1 },
      ["resume_max must be a whole number"] = { store = store, on_delist = no, resume_max = 0.5 },
    } do
      local ok, err = pcall(function() local made = delisting.new(options); return made end)
      assert.is_false(ok)
      assert.truthy(err:find("^[^\n]*delisting_spec%.lua:%d+: paciolan%.workflow%.delisting: "), err)
      assert.truthy(err:find(text, 1, true), err)
    end
  end)

  it("raises for a listing that it cannot keep, and names the place and no value", function()
    for text, changes in pairs {
      ["external_listing_id must be a text"] = { external_listing_id = "" },
      ["organization_id must be a text"] = { organization_id = 1.5 },
      ["a list of seats, at least one"] = { seats = {} },
      ["seats[1].row must be a text"] = { seats = { place("SECRET", { row = json.null }) } },
      ["listed_at_ms must be unix milliseconds"] = { listed_at_ms = "SECRET" },
      ["no form in JSON"] = { handler = print, secret = "SECRET" },
    } do
      local ok, err = pcall(function() return (box.delisting:remember(listing("L-1", 1, changes))) end)
      assert.is_false(ok)
      assert.truthy(err:find("^[^\n]*delisting_spec%.lua:%d+: "), err)
      assert.truthy(err:find(text, 1, true), err)
      assert.is_nil(err:find("SECRET", 1, true))
    end
    assert.has_error(function() box.delisting:remember("L-1") end)
    assert.has_error(function() box.delisting:forget() end)
    assert.same({}, store:list(""))
  end)

  it("says so when the store holds something else in the place of a listing", function()
    assert(box.delisting:remember(listing("L-1", 1)))
    assert(store:put("paciolan/listing/L-1", "[]"))
    for _, run in ipairs { function() return box.tell("UNLOCK", "1") end,
      function() return box.delisting:listings() end, function() return box.delisting:resume() end } do
      local done, err = run()
      assert.is_nil(done)
      assert.equal("store", err.kind)
    end
    assert.equal(0, #box.taken)
  end)
end)

-- --- what fails in between ----------------------------------------------------------------------------------------

describe("delisting, when an operation of the store fails,", function()
  -- Runs `act` with each of its operations failing in each way, one at a time, and then again without faults.
  local function fail_each(act)
    for _, way in ipairs(faulty_store.WAYS) do
      local number, was_hit = 0, true
      while was_hit do
        number, was_hit = number + 1, false
        local store = faulty_store.new()
        store.list = function(_, ...) return store.inner:list(...) end
        act(store, function()
          store.watch(function(_, _, at)
            was_hit = was_hit or at == number
            return at == number and way or nil
          end)
        end, ("%s at %d"):format(way, number))
      end
      assert.is_true(number > 3)
    end
  end

  it("takes the listing down when the message comes again, and leaves nothing behind", function()
    fail_each(function(store, begin, where)
      local box = open(store)
      assert(box.delisting:remember(listing("L-1", 2)))
      begin()
      local ok, done = pcall(box.tell, "UNLOCK", "1")
      store.watch(nil)
      store.inner:remove("paciolan/delisting/L-1") -- its time has run out by then
      if not ok or not done then
        assert.is_true(box.tell("UNLOCK", "1"), where)
      end
      assert.is_true(#box.taken >= 1, where)
      assert.same({}, box.ids(), where)
    end)
  end)

  it("finds by its seats whatever it remembers", function()
    fail_each(function(store, begin, where)
      local box = open(store)
      assert(box.delisting:remember(listing("L-1", 2, { seats = { place("1"), place("3") } })))
      begin()
      local ok, done = pcall(box.delisting.remember, box.delisting, listing("L-1", 2))
      store.watch(nil)
      if not ok or not done then
        assert.is_true(box.delisting:remember(listing("L-1", 2)), where)
      end
      assert.is_true(box.tell("UNLOCK", "2"), where)
      assert.equal(1, #box.taken, where)
    end)
  end)

  it("finds by its seats whatever it lists, also when remember is not called again", function()
    fail_each(function(store, begin, where)
      local box = open(store)
      begin()
      pcall(box.delisting.remember, box.delisting, listing("L-1", 2))
      store.watch(nil)
      local is_listed = #box.ids() == 1
      assert.is_true(box.tell("UNLOCK", "2"), where)
      assert.equal(is_listed and 1 or 0, #box.taken, where)
    end)
  end)

  it("forgets when it is asked again", function()
    fail_each(function(store, begin, where)
      local box = open(store)
      assert(box.delisting:remember(listing("L-1", 2)))
      begin()
      local ok, done = pcall(box.delisting.forget, box.delisting, "L-1")
      store.watch(nil)
      if not ok or done == nil then
        assert.is_not_nil(box.delisting:forget("L-1"), where)
      end
      assert.same({}, store:list(""), where)
      assert.is_true(box.tell("UNLOCK", "1"), where)
      assert.equal(0, #box.taken, where)
    end)
  end)

  it("clears by resume what a broken off end has left", function()
    fail_each(function(store, begin, where)
      local box = open(store)
      assert(box.delisting:remember(listing("L-1", 2)))
      begin()
      pcall(box.tell, "UNLOCK", "1")
      store.watch(nil)
      store.inner:remove("paciolan/delisting/L-1")
      assert.is_number(box.delisting:resume(), where)
      assert.is_true(box.tell("UNLOCK", "1"), where)
      assert.same({}, store:list(""), where)
    end)
  end)
end)

describe("delisting, when two are at it at once,", function()
  -- A store that gives way before each operation.
  local function yielding(inner)
    local store = {}
    for _, method in ipairs { "get", "put", "add", "replace", "remove", "list" } do
      store[method] = function(_, ...)
        coroutine.yield()
        return inner[method](inner, ...)
      end
    end
    return store
  end

  local function turn(task, times)
    for _ = 1, times do
      if coroutine.status(task.thread) == "dead" then
        return
      end
      local results = { coroutine.resume(task.thread) }
      assert(results[1], results[2])
      task.done, task.err = results[2], results[3]
    end
  end

  -- Lets the first go some steps, then the second, then both to their ends, for all numbers of steps.
  local function interleave(prepare)
    for steps = 0, 18 do
      for other_steps = 0, 18 do
        local inner = paciolan.store.memory()
        local first, second, check = prepare(inner, yielding(inner))
        local one, two = { thread = coroutine.create(first) }, { thread = coroutine.create(second) }
        turn(one, steps)
        turn(two, other_steps)
        turn(one, 200)
        turn(two, 200)
        check(one, two, ("%d and %d steps"):format(steps, other_steps))
      end
    end
  end

  it("takes a listing down once, whose seats come in two messages", function()
    interleave(function(inner, store)
      local before, one, two = open(inner), open(store), open(store)
      assert(before.delisting:remember(listing("L-1", 2)))
      return function() return one.tell("UNLOCK", "1") end, function() return two.tell("UNLOCK", "2") end,
        function(first, second, where)
          assert.is_true(first.done == true or second.done == true, where)
          assert.equal(1, #one.taken + #two.taken, where)
          assert.is_true(before.tell("UNLOCK", "1") and before.tell("UNLOCK", "2"), where)
          assert.same({ 0, {} }, { #before.taken, inner:list("") }, where)
        end
    end)
  end)

  it("never overlooks that a listing has to go which is remembered anew", function()
    interleave(function(inner, store)
      local before, one, two = open(inner), open(store), open(store)
      one.answer = function() return nil, "down" end
      assert(before.delisting:remember(listing("L-1", 2)))
      return function() return one.tell("UNLOCK", "1") end,
        function() return two.delisting:remember(listing("L-1", 2, { price = 70 })) end,
        function(_, second, where)
          assert.is_true(second.done, where)
          assert.equal(#one.taken, before.delisting:resume(), where)
        end
    end)
  end)

  it("finds a listing that was remembered while another of the same id came and went", function()
    interleave(function(inner, store)
      local before, one, two = open(inner), open(store), open(store)
      return function() return one.delisting:remember(listing("L-1", 2)) end,
        function()
          return two.delisting:remember(listing("L-1", 2)) and two.delisting:forget("L-1")
        end,
        function(_, _, where)
          local number = #before.ids()
          assert.is_true(before.tell("UNLOCK", "2"), where)
          assert.equal(number, #before.taken, where)
        end
    end)
  end)

  it("never remembers a listing that cannot be found", function()
    interleave(function(inner, store)
      local before, one, two = open(inner), open(store), open(store)
      assert(before.delisting:remember(listing("L-1", 2)))
      return function() return one.tell("UNLOCK", "1") end,
        function() return two.delisting:remember(listing("L-1", 2, { price = 70 })) end,
        function(_, second, where)
          assert.is_true(second.done, where)
          local is_known = #before.ids() == 1
          assert.is_true(before.tell("UNLOCK", "2"), where)
          assert.equal(is_known and 1 or 0, #before.taken, where)
          assert.is_true(is_known or #one.taken == 1, where)
          assert.same({}, before.ids(), where)
        end
    end)
  end)
end)

-- --- with a receiver ----------------------------------------------------------------------------------------------

describe("delisting behind a receiver", function()
  local aws

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)

  it("takes part in a batch that is one unit, and in the repetition of it", function()
    local answers = { false, true }
    local box
    local store = paciolan.store.memory()
    box = open(store)
    box.answer = function() return table.remove(answers, 1) end
    assert(box.delisting:remember(listing("L-1", 3, { listed_at_ms = 0 })))
    local post = inbox.open(aws, { on_seat = function(...) return box.delisting:on_seat(...) end })
    local status, reason, request = post:deliver { Message = inbox.seats(3) }
    assert.same({ 503, "handler_refused" }, { status, reason })
    assert.same({ 204, "done" }, { (post:repost(request)), post:reason() })
    assert.same({ 2, {} }, { #box.taken, box.ids() })
    assert.is_number(box.taken[2][3].timestamp_ms)
  end)
end)
