--- What the client tells of a failed write, against what the sandbox wrote down: thousands of seeded writes, with every
-- fault that the sandbox knows.
--
-- PACIOLAN_OUTCOME_WRITES sets how many (2000), PACIOLAN_OUTCOME_SEED the seed ("1").

local market = require("support.market")
local paciolan = require("paciolan")
local traders = require("support.trader")

local WRITES = tonumber(os.getenv("PACIOLAN_OUTCOME_WRITES") or "2000")
local SEED = os.getenv("PACIOLAN_OUTCOME_SEED") or "1"

-- LATE and SLOW are put in by the trader: times that no client here waits for.
local PLAN = table.concat({
  "reset=before@0.03", "reset=after@0.03", "close=before@0.02", "close=after@0.02",
  "delay=LATE@0.004", "delay=LATE;status=503@0.002", "delay=LATE;reset=after@0.001", "slow=SLOW@0.003", "slow=1@0.01",
  "truncate@0.02", "truncate=0@0.01", "truncate=1@0.01",
  "status=500@0.02", "status=503;after@0.03", "status=408;after@0.01", "status=403@0.01", "status=422@0.01",
  "html=502@0.02", "html=502;after@0.02", "html=200;after@0.01", "html=302;after@0.01", "html=404@0.01",
  "empty=200@0.01", "empty=200;after@0.01", "empty=503@0.01", "empty=204;after@0.01",
  "rate_limit=0@0.02", "rate_limit_date=0@0.01", "unhandled@0.02", "unhandled;after@0.02",
  "revoke_token@0.02", "expire_token@0.02", "partial@0.05", "pending=1@0.04", "error@0.04",
}, ", ")

local effects = {}
for _, operation in ipairs(paciolan.operations()) do
  effects[operation.name] = operation.effect
end

local function set_of(tokens)
  local sorted = {}
  for i, token in ipairs(tokens) do
    sorted[i] = token
  end
  table.sort(sorted)
  return table.concat(sorted, " ")
end

local NOTHING = { requests = {}, commits = {} }

-- Everything that is known of one write, for a failure message.
local function describe_write(told, known)
  local lines = { ("write %d (seed %q): %s, retries %d, %s"):format(told.number, SEED, told.operation, told.retries,
    told.is_success and "success" or ("%s, %s"):format(told.kind, tostring(told.outcome))) }
  for _, request in ipairs(known.requests) do
    local status = request.status and ("%d"):format(request.status) or "none"
    lines[#lines + 1] = ("  arrived: status %s, fault %s"):format(status, request.fault or "none")
  end
  lines[#lines + 1] = ("  committed: %d times"):format(#known.commits)
  return table.concat(lines, "\n")
end

-- --- the rules: each returns true when what was told agrees with what is known ------------------------------------

local RULES = {}

function RULES.not_sent(told, known)
  return told.outcome ~= "not_sent" or (#known.requests == 0 and #known.commits == 0)
end

function RULES.rejected(told, known)
  return told.outcome ~= "rejected" or #known.commits == 0
end

-- What may be repeated may have been done more than once, and that does no harm.
local function is_done(told, known, tokens)
  local count = #known.commits
  local is_enough = count == 1 or (count > 1 and effects[told.operation] == "repeatable")
  return is_enough and set_of(known.commits[count].tokens) == set_of(tokens)
end

function RULES.success(told, known)
  return not told.is_success or is_done(told, known, told.tokens)
end

-- A process may end with ERROR after some tokens were refused; then the body tells of no token that it was done.
function RULES.partial(told, known)
  if told.kind ~= "partial" then
    return true
  end
  if told.outcome == "unknown" then
    return #known.requests > 1 -- after an attempt whose fate is unknown, nobody can say what that one did
  end
  return told.outcome == nil and (#told.done == 0 and #known.commits == 0 or is_done(told, known, told.done))
end

-- A failed write has an outcome, a partial one has the body.
function RULES.told(told)
  return told.is_success or told.kind == "partial" or told.outcome ~= nil
end

-- 401 says that nothing was looked at, and UNHANDLED_EXCEPTION is documented to be tried again.
local function may_follow(operation, request)
  local fault = request.fault or ""
  local is_unhandled = operation == "transfers.initiate" and fault:find("^unhandled") ~= nil
  return (request.status == 401 and operation ~= "auth.token") and "renewed" or is_unhandled and "unhandled" or nil
end

local MOST = { renewed = 1, unhandled = 3 }

local function is_repeated_rightly(operation, retries, requests)
  local counts = {}
  for i = 1, #requests - 1 do
    local why = may_follow(operation, requests[i])
    if retries == 0 or not why then
      return false
    end
    counts[why] = (counts[why] or 0) + 1
  end
  return (counts.renewed or 0) <= MOST.renewed and (counts.unhandled or 0) <= MOST.unhandled
end

function RULES.sent_once(told, known)
  if effects[told.operation] == "once" then
    return is_repeated_rightly(told.operation, told.retries, known.requests)
  end
  return #known.requests <= 1 + told.retries + (told.retries > 0 and MOST.renewed or 0)
end

-- What the caller may send again must not have been done, except where the error table says otherwise.
function RULES.retryable(told, known)
  return not told.retryable or effects[told.operation] ~= "once" or told.type == "UNHANDLED_EXCEPTION"
    or #known.commits == 0
end

-- --- the run ------------------------------------------------------------------------------------------------------

describe("the outcome of a write", function()
  local trader, told, known

  setup(function()
    trader = traders.new { seed = SEED, plan = PLAN, writes = WRITES }
    trader:run()
    told, known = trader.told, trader:known()
  end)

  teardown(function()
    if trader then
      trader:close()
    end
  end)

  local function of(write)
    return known[write.request_id] or NOTHING
  end

  local function check(name)
    for _, write in ipairs(told) do
      assert(RULES[name](write, of(write)), describe_write(write, of(write)))
    end
  end

  local function count(test)
    local found = 0
    for _, write in ipairs(told) do
      found = found + (test(write, of(write)) and 1 or 0)
    end
    return found
  end

  local function assert_some(what, test)
    assert.is_true(count(test) > 0, ("no write of this run is %s (seed %q)"):format(what, SEED))
  end

  it("is asked for often enough, with some of each", function()
    assert.equal(WRITES, #told)
    assert_some("a success with retries off", function(write) return write.is_success and write.retries == 0 end)
    assert_some("a success with retries on", function(write) return write.is_success and write.retries > 0 end)
    assert_some("partial", function(write) return write.kind == "partial" end)
    assert_some("not sent", function(write) return write.outcome == "not_sent" end)
    assert_some("rejected", function(write, seen) return write.outcome == "rejected" and #seen.requests > 0 end)
    assert_some("unknown and done", function(write, seen) return write.outcome == "unknown" and #seen.commits > 0 end)
    assert_some("unknown and not done",
      function(write, seen) return write.outcome == "unknown" and #seen.commits == 0 end)
    assert_some("sent twice", function(_, seen) return #seen.requests > 1 end)
    for _, kind in ipairs { "auth", "network", "timeout", "http", "rate_limit", "protocol" } do
      assert_some(kind, function(write) return write.kind == kind end)
    end
  end)

  for name, effect in pairs(effects) do
    if effect ~= "read" and name ~= "auth.token" then
      it("is told for " .. name .. ", done and failed", function()
        assert_some(name .. " and done", function(write) return write.operation == name and write.is_success end)
        assert_some(name .. " and failed", function(write) return write.operation == name and not write.is_success end)
      end)
    end
  end

  it("is there after every failure that is not partial", function() check("told") end)
  it("not_sent: it never arrived", function() check("not_sent") end)
  it("rejected: it was never done", function() check("rejected") end)
  it("success: it was done exactly once, with the tokens of the call", function() check("success") end)
  it("partial: it was done once, for the tokens that the body tells and no other", function() check("partial") end)
  it("is never made worse: nothing went out twice that must not", function() check("sent_once") end)
  it("is never done where the caller may send again", function() check("retryable") end)

  it("of a token call is never risked: none went out twice", function()
    local calls = 0
    for request_id, seen in pairs(known) do
      if seen.requests[1] and seen.requests[1].operation == "auth.token" then
        calls = calls + 1
        assert.equal(1, #seen.requests, request_id)
      end
    end
    assert.is_true(calls > 0)
  end)

  it("arrives under the Request-ID that the client told, and under no other", function()
    local mine = {}
    for _, write in ipairs(told) do
      mine[write.request_id] = true
    end
    for request_id, seen in pairs(known) do
      local operation = seen.requests[1] and seen.requests[1].operation
      assert.is_true(mine[request_id] or operation == "auth.token" or operation == "tickets.verify", operation)
    end
  end)
end)

describe("the outcome of a write whose renewal fails", function()
  local place

  before_each(function()
    place = market.open()
  end)

  after_each(function()
    place:close()
  end)

  local function initiate_with(faults)
    place.link.auth:token()
    for _, fault in ipairs(faults) do
      local _, status = place.box:control("POST", "/_sandbox/faults", fault)
      assert.equal(200, status)
    end
    local _, seats = place:tokens(1)
    return select(2, place.link.transfers:initiate(market.seats_payload(seats), { distributor_code = "AMTX" }))
  end

  local RENEWAL = { { fault = "expire_token", operation = "transfers.initiate" },
    { fault = "rate_limit=0", operation = "auth.token" } }

  it("stays unknown after an attempt that may have done it, and it is not fit to be sent again", function()
    local done = { fault = "unhandled;after", operation = "transfers.initiate" }
    local err = initiate_with { done, RENEWAL[1], RENEWAL[2] }
    assert.same({ "rate_limit", "unknown", false }, { err.kind, err.outcome, err.retryable })
    assert.equal(1, #place:ledger().transfers)
  end)

  it("is rejected where the 401 was the only answer, and may be sent again", function()
    local err = initiate_with(RENEWAL)
    assert.same({ "rate_limit", "rejected", true }, { err.kind, err.outcome, err.retryable })
    assert.equal(0, #place:ledger().transfers)
  end)
end)

describe("the rules about outcomes see", function()
  local function request(status, fault) return { status = status, fault = fault } end
  local DONE = { tokens = { "a", "b" } }
  local once = { operation = "tickets.lock", retries = 2, tokens = { "a", "b" } }

  local function as(changes)
    local write = {}
    for _, source in ipairs { once, changes } do
      for name, value in pairs(source) do
        write[name] = value
      end
    end
    return write
  end

  -- Rule, what was told, requests, commits: each is a lie.
  local LIES = {
    { "not_sent", { outcome = "not_sent" }, { request(200) }, {} },
    { "rejected", { outcome = "rejected" }, { request(422) }, { DONE } },
    { "success", { is_success = true }, { request(200) }, {} },
    { "success", { is_success = true }, { request(200) }, { DONE, DONE } },
    { "success", { is_success = true, tokens = { "a" } }, { request(200) }, { DONE } },
    { "partial", { kind = "partial", done = { "a" } }, { request(207) }, { DONE } },
    { "partial", { kind = "partial", done = {} }, { request(207) }, { DONE } },
    { "partial", { kind = "partial", done = { "a" } }, { request(207) }, {} },
    { "partial", { kind = "partial", outcome = "rejected", done = { "a", "b" } }, { request(207) }, { DONE } },
    { "told", { kind = "http" }, { request(500) }, {} },
    { "sent_once", {}, { request(503), request(200) }, {} },
    { "sent_once", {}, { request(401), request(401), request(200) }, {} },
    { "sent_once", { retries = 0 }, { request(401), request(200) }, {} },
    { "sent_once", { operation = "tickets.unlock", retries = 0 }, { request(503), request(200) }, {} },
    { "sent_once", { operation = "auth.token" }, { request(401), request(200) }, {} },
    { "retryable", { retryable = true, outcome = "unknown" }, { request(503) }, { DONE } },
  }
  for i, lie in ipairs(LIES) do
    it("lie " .. i .. " about " .. lie[1], function()
      assert.is_false(RULES[lie[1]](as(lie[2]), { requests = lie[3], commits = lie[4] }))
    end)
  end
end)
