--- Thousands of payloads, made of the valid samples by seeded changes, before the check and the encoder of the library
-- on one side and a second, independent reading of the documents on the other.
--
-- A failure names its payload. `MUTATION_SEED=7 MUTATION_ONLY=4711` runs that one alone, `MUTATIONS=500` runs fewer.
local chance = require("support.chance")
local core = require("paciolan.core")
local judge = require("support.judge")
local mutate = require("support.mutate")
local paciolan = require("paciolan")
local program = require("support.program")
local samples = require("support.samples")
local second = require("support.second_check")

local COUNT = tonumber(os.getenv("MUTATIONS") or "") or 20000
local SEED = tonumber(os.getenv("MUTATION_SEED") or "") or 20260901
local ONLY = tonumber(os.getenv("MUTATION_ONLY") or "")

local function story(case, complaint)
  return ("%s\n  MUTATION_SEED=%d MUTATION_ONLY=%d: %s, made of %s: %s"):format(complaint, case.seed, case.number,
    case.operation, case.sample, #case.trail > 0 and table.concat(case.trail, "; ") or "untouched")
end

-- ---- all of them -----------------------------------------------------------------------------

local function count_up(counts, key)
  counts[key] = (counts[key] or 0) + 1
end

-- The rule, when all problems of an error are of one rule and the second reading refuses too: without that rule in the
-- library this payload would be let through wrongly.
local function sole_rule(err, refusal)
  local rule = err.fields[1].rule
  for _, problem in ipairs(err.fields) do
    if problem.rule ~= rule then
      return nil
    end
  end
  return refusal and rule
end

local function run(first, last)
  local tally = { kinds = {}, operations = {}, accepted_of = {}, rules = {}, reasons = {}, complaints = {},
    accepted = 0, refused = 0 }
  for number = first, last do
    local case = mutate.case(SEED, number)
    local complaint, said, refusal = judge.verdict(case, judge.library)
    if complaint then
      tally.complaints[#tally.complaints + 1] = story(case, complaint)
    elseif said == true then
      tally.accepted = tally.accepted + 1
      count_up(tally.accepted_of, case.operation)
    else
      tally.refused = tally.refused + 1
      count_up(tally.rules, sole_rule(said, refusal) or "several")
      count_up(tally.reasons, case.reason or "none")
    end
    count_up(tally.operations, case.operation)
    for _, kind in ipairs(case.kinds) do
      count_up(tally.kinds, kind)
    end
  end
  return tally
end

-- The first complaints, and how many there were.
local function told_of(complaints)
  return #complaints == 0 and "" or #complaints .. " complaints\n" .. table.concat(complaints, "\n", 1,
    math.min(#complaints, 10))
end

describe("a changed payload", function()
  local tally

  setup(function()
    tally = run(ONLY or 1, ONLY or COUNT)
  end)

  it("is judged as the documents say, and goes out as they say", function()
    assert.equal("", told_of(tally.complaints))
  end)

  if ONLY then
    return
  end

  it("is judged often enough", function()
    assert.equal(COUNT, tally.accepted + tally.refused)
  end)

  it("is right or wrong often enough to prove something", function()
    assert.is_true(tally.accepted >= 0.15 * COUNT, "accepted: " .. tally.accepted)
    assert.is_true(tally.refused >= 0.30 * COUNT, "refused: " .. tally.refused)
  end)

  for _, kind in ipairs(mutate.kinds()) do
    it("is changed in every way: " .. kind, function()
      assert.is_true((tally.kinds[kind] or 0) >= COUNT / 250, kind .. ": " .. (tally.kinds[kind] or 0))
    end)
  end

  local read_twice = {}
  for _, name in ipairs(second.operations()) do
    read_twice[name] = true
  end

  for _, row in ipairs(paciolan.operations()) do
    local operation = row.name
    it("is one of every operation: " .. operation, function()
      assert.is_true(read_twice[operation], "spec/support/second_check.lua does not know the operation")
      assert.is_true((tally.operations[operation] or 0) >= COUNT / 125, tostring(tally.operations[operation]))
      assert.is_true((tally.accepted_of[operation] or 0) >= COUNT / 500, tostring(tally.accepted_of[operation]))
    end)
  end

  if COUNT < 20000 then
    return
  end

  for rule in ([[required type utf8 min_length enum format finite integer min_items max_items unknown duplicate option
    exclusive]]):gmatch("%S+") do
    it("would be let through wrongly by a library without the rule " .. rule, function()
      assert.is_true((tally.rules[rule] or 0) > 0)
    end)
  end

  for _, row in ipairs(judge.stricter) do
    it("is refused by the library alone, because " .. row[2], function()
      assert.is_true((tally.reasons[row[2]] or 0) > 0)
    end)
  end
end)

describe("the generator", function()
  it("draws the same numbers on every Lua", function()
    local random, drawn = chance.new(1, 1), {}
    for i = 1, 8 do
      drawn[i] = ("%d"):format(random:below(1000))
    end
    assert.equal("527 755 230 398 291 749 210 554", table.concat(drawn, " "))
  end)

  it("makes the same payload of the same number", function()
    for number = 1, 50 do
      local first, again = mutate.case(SEED, number), mutate.case(SEED, number)
      assert.same(first.trail, again.trail)
      assert.equal(#judge.list_of(first.payload), #judge.list_of(again.payload))
    end
  end)
end)

describe("an untouched sample", function()
  for _, sample in ipairs(samples.requests) do
    it("passes both readings: " .. sample.file, function()
      local case = { operation = sample.operation, payload = samples.load(sample.file),
        options = sample.options or {} }
      local complaint, said = judge.verdict(case, judge.library)
      assert.is_nil(complaint)
      assert.is_true(said)
    end)
  end
end)

-- ---- can this spec fail at all? ------------------------------------------------------------------

local function with(changes)
  local hands = {}
  for name, value in pairs(judge.library) do
    hands[name] = changes[name] or value
  end
  return hands
end

-- Judges by other hands, and returns the first complaint, without the payload's own words.
local function first_complaint(hands)
  for number = 1, 400 do
    local complaint = judge.verdict(mutate.case(SEED, number), hands)
    if complaint then
      return complaint
    end
  end
end

-- A validator that spoils what the right one says.
local function spoil(change)
  return with { validate = function(operation, payload, options)
    local ok, err = paciolan.validate(operation, payload, options)
    return change(ok, err, payload)
  end }
end

local function spoil_problems(change)
  return spoil(function(ok, err, payload)
    for _, problem in ipairs(err and err.fields or {}) do
      change(problem, payload)
    end
    return ok, err
  end)
end

local function any_text(payload)
  local texts = judge.texts_of(payload)
  return texts[#texts] or ""
end

describe("the judge", function()
  local spoilt = {
    { "lets everything through", "let through, but ", with { validate = function() return true end } },
    { "refuses everything", "refused alone: ", spoil(function(_, err)
      local problem = { path = "", rule = "type", message = "is wrong" }
      return nil, err or { kind = "validation", message = "", fields = { problem } }
    end) },
    { "raises", "validate raised: ", spoil(function(_, err) assert(err == nil, "no") return true end) },
    { "says neither", "neither true", spoil(function(_, err) return false, err end) },
    { "names no problem", "a refusal without", spoil(function(ok, err)
      return ok, err and { kind = "validation", fields = {} }
    end) },
    { "tells a value", "a message tells", spoil_problems(function(problem, payload)
      problem.message = "not " .. any_text(payload)
    end) },
    { "invents a place", "nothing is at", spoil_problems(function(problem) problem.path = problem.path .. "/a/b" end) },
    { "invents a rule", "nobody knows", spoil_problems(function(problem) problem.rule = "colour" end) },
    { "says nothing", "an empty message", spoil_problems(function(problem) problem.message = "" end) },
    { "writes into the payload", "the payload was changed", spoil(function(ok, err, payload)
      if type(payload) == "table" then
        rawset(payload, next(payload), "other")
      end
      return ok, err
    end) },
  }
  for _, row in ipairs(spoilt) do
    it("notices a validator that " .. row[1], function()
      assert.matches(row[2], first_complaint(row[3]) or "no complaint", 1, true)
    end)
  end

  local function encode_with(change)
    return with { encode = function(...)
      local target, body = core.encode(...)
      if target then
        return change(target, body)
      end
      return target, body
    end }
  end
  local encoders = {
    { "raises", "encode raised: ", with { encode = function() error("no") end } },
    { "refuses what was checked", "do not agree", with { encode = function() return nil, {} end } },
    { "loses the query or the value of a path", "went out, but target", encode_with(function(target, body)
      return target:gsub("%w+$", "", 1), body
    end) },
    { "writes no JSON", "not JSON", encode_with(function(target, body) return target, body and body .. "," end) },
    { "adds a field", "went out, but /extra", encode_with(function(target, body)
      return target, body and body:gsub("}$", ',"extra":1}')
    end) },
    { "loses an optional field", "more or fewer", encode_with(function(target, body)
      return target, body and body:gsub('"totalPrice":[^,]*,', "")
    end) },
  }
  for _, row in ipairs(encoders) do
    it("notices an encoder that " .. row[1], function()
      assert.matches(row[2], first_complaint(row[3]) or "no complaint", 1, true)
    end)
  end

  it("notices a second reading that is weaker than the library", function()
    local weak = setmetatable({ refusal = function() end }, { __index = second })
    assert.matches("refused alone: ", first_complaint(with { second = weak }) or "no complaint", 1, true)
  end)

  it("notices a second reading that is stricter than the library", function()
    local strict = setmetatable({ refusal = function() return "no" end }, { __index = second })
    assert.matches("let through, but no", first_complaint(with { second = strict }) or "no complaint", 1, true)
  end)
end)

-- ---- values that no generator makes often enough ---------------------------------------------------

local LOCK = "lock.request.individual.json"

-- The library must come back with a verdict that the second reading shares, whatever the value.
local function survives(operation, payload, options)
  local case = { operation = operation, payload = payload, options = options or {}, trail = {} }
  local complaint, said = judge.verdict(case, judge.library)
  assert.is_nil(complaint)
  return said == true
end

local function loud()
  error("a metamethod was called")
end

local function put_at(root, path, value)
  local holder, last = root, nil
  for step in path:gmatch("[^/]+") do
    holder = last == nil and holder or holder[last]
    last = step:find("^%d+$") and tonumber(step) + 1 or step
  end
  holder[last] = value
  return root
end

local function list_to(count, make)
  local list = {}
  for i = 1, count do
    list[i] = make(i)
  end
  return list
end

local LONG = (COUNT >= 20000 and 10 or 1) * 1024 * 1024

-- Made when they are needed, so that no other test carries them.
local HOSTILE = {
  { "a function", function() return print end },
  { "a coroutine", function() return coroutine.create(loud) end },
  { "a userdata", function() return io.stdout end },
  { "a table that is ten thousand deep", function()
    local deep = {}
    for _ = 1, 10000 do
      deep = { deep }
    end
    return deep
  end },
  { "a table that holds itself", function()
    local cycle = {}
    cycle[1], cycle.token = cycle, cycle
    return cycle
  end },
  { "a list with a key at the end of the world", function() return { "a", [2 ^ 53] = "b" } end },
  { "a list with keys of every kind", function()
    return { "a", [print] = 1, [true] = 2, [io.stdout] = 3, [1.5] = 4, [-1] = 5, [math.huge] = 6, [{}] = 7 }
  end },
  { "a list of ten thousand", function() return list_to(10000, function(i) return "T" .. i end) end },
  { "an object of a thousand names", function()
    local object = {}
    for i = 1, 1000 do
      object["token" .. i] = i
    end
    return object
  end },
  { "a table whose metamethods raise", function()
    return setmetatable({ "a" }, { __index = loud, __newindex = loud, __len = loud, __pairs = loud, __ipairs = loud,
      __eq = loud, __lt = loud, __call = loud, __tostring = loud, __gc = loud, __close = loud, __name = false })
  end },
  { "a weak table", function() return setmetatable({ { token = "T-1" }, "T-2" }, { __mode = "kv" }) end },
  { "NaN", function() return 0 / 0 end },
  { "infinity", function() return math.huge end },
  { "minus infinity", function() return -math.huge end },
  { "minus zero", function() return -0.0 end },
  { "2^53", function() return 2 ^ 53 end },
  { "2^63", function() return 2 ^ 63 end },
  { "the largest integer", function() return rawget(math, "maxinteger") or 2 ^ 63 end },
  { "the smallest integer", function() return rawget(math, "mininteger") or -2 ^ 63 end },
  { "the least number above 0", function() return 5e-324 end },
  { "the largest number", function() return 1.7976931348623157e308 end },
  { "a very long text", function() return ("x"):rep(LONG) end, { "/listing", "/listing/tokens/0/token" } },
  { "a very long text with a bad end", function() return ("x"):rep(LONG) .. "\255" end, { "/seller/lastName" } },
}
local PLACES = { "/source", "/listing", "/listing/totalPrice", "/listing/tokens", "/listing/tokens/0", "/seller",
  "/listing/tokens/0/token", "/seller/address", "/seller/emailAddress/email" }

describe("a hostile value is survived", function()
  for _, row in ipairs(HOSTILE) do
    it("at the top: " .. row[1], function()
      local value = row[2]()
      for _, operation in ipairs { "tickets.lock", "orders.complete", "catalog.events", "orders.status" } do
        survives(operation, value, { organization_id = "999" })
      end
    end)

    it("in a payload: " .. row[1], function()
      local value = row[2]()
      for _, path in ipairs(row[3] or PLACES) do
        survives("tickets.lock", put_at(samples.load(LOCK), path, value))
      end
    end)

    it("as a key: " .. row[1], function()
      local value = row[2]()
      if value == value then
        assert.is_false(survives("tickets.unlock", { tokens = { "T" }, [value] = "x" }))
        assert.is_false(survives("tickets.unlock", { tokens = { "T", [value] = "x" } }))
      end
    end)

    it("in a URL: " .. row[1], function()
      local value = row[2]()
      survives("listings.get", { listingId = value })
      survives("catalog.events", { startDate = value, seasonCode = value }, { organization_id = "999" })
    end)
  end
end)

describe("a payload that a finalizer changes while it is encoded", function()
  it("is refused, or raises, or goes out as it was", function()
    local code, output, problems = program.run("env " .. program.environment() .. " " ..
      program.words { program.lua, "spec/support/finalizers.lua" })
    assert.equal("", problems)
    assert.equal(0, code)
    local count = 0
    for raised, refused, sent in output:gmatch("raised (%d+) refused (%d+) sent (%d+)\n") do
      count = count + 1
      assert.is_true(tonumber(raised) > 0 and tonumber(refused) > 0 and tonumber(sent) > 0, output)
    end
    assert.equal(8, count)
  end)
end)
