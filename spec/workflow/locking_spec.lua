--- Locks and unlocks whose answers are missing or say too little: what is ours stays ours, what is not is left alone,
-- and what nobody can tell is for a person.

local chance = require("support.chance")
local json = require("paciolan.json")
local locks = require("paciolan.workflow.locks")
local market = require("support.market")
local memory = require("paciolan.store.memory")
local seller = require("support.seller")

-- How many listings the run of chance makes, and its seed.
local ROUNDS = tonumber(os.getenv("PACIOLAN_LOCKING_ROUNDS") or "") or 60
local SEED = tonumber(os.getenv("PACIOLAN_LOCKING_SEED") or "") or 7

local LOST_BEFORE = { "reset=before", "status=503", "html=502", "close=before" }
local LOST_AFTER = { "reset=after", "status=503;after", "truncate", "close=after" }
local LOST = locks.append(locks.append({}, LOST_BEFORE), LOST_AFTER)

local times = seller.times

local function answer(status, body)
  return { status = status, headers = {}, body = json.encode(body), elapsed_ms = 1, reused = false }
end

local function failure(token, status)
  return { token = token, status = status, type = "INVALID_TOKEN", appErrorCode = "MS-422" }
end

local REFUSED = { error = { type = "INVALID_TOKEN", appErrorCode = "MS-422" } }

local CHANCES = { "reset=before", "status=503", "reset=after", "status=503;after", "partial", "killed=before",
  "killed=after" }

describe("a lock or an unlock", function()
  local own, flows, number, id

  setup(function()
    own, number = seller.open(), 0
  end)

  teardown(function()
    own:close()
  end)

  before_each(function()
    number = number + 1
    id = ("K-%d"):format(number)
    own.store = memory.new()
    own.transport.meddle = nil
    flows = own:flows()
  end)

  after_each(function()
    own.store:close()
    own.place.box:control("DELETE", "/_sandbox/faults")
  end)

  local function take(tokens, name)
    assert(own.link.tickets:lock(market.lock_payload(tokens, name or "theirs")))
  end

  -- Sells and expects an error.
  local function sell_badly(input)
    local done, err = flows:sell(input)
    assert.is_nil(done)
    return err
  end

  local function killed()
    error("killed", 0)
  end

  describe("whose answer to the lock is missing", function()
    for _, fault in ipairs(LOST) do
      it("is sent again for the same listing: " .. fault, function()
        local _, tokens = own:seats(2)
        own:faults("/lock", { fault })
        local result
        assert.equal(2, own:count("tickets.lock", function()
          result = assert(flows:sell(own:own(id, tokens)))
        end))
        assert.same(tokens, result.tokens)
        assert.same(times(id, 2), own:holders(tokens))
      end)
    end

    it("is in doubt while no answer comes, and resume finds out", function()
      for i, fault in ipairs { "reset=before", "reset=after" } do
        local _, tokens = own:seats(2)
        local name = ("%s-%d"):format(id, i)
        own:faults("/lock", { fault, fault, fault, fault })
        local err = sell_badly(own:own(name, tokens))
        assert.same({ "network", "unknown", false, "in_doubt", "lock" },
          { err.kind, err.outcome, err.retryable, err.run.state, err.run.step })
        assert.matches("Nobody can tell whether 2 seats are locked", err.run.told)
        assert.equal("in_doubt", assert(own:flows():resume())[1].state)
        assert.equal("lock_unclear", flows:find(name).evidence[1].what)
        assert.equal(2, flows:find(name).evidence[1].times)
        own.transport.meddle = nil
        assert.equal("done", assert(own:flows():resume())[1].state)
        assert.same(times(name, 2), own:holders(tokens))
        assert.equal(2, #flows:find(name).result.tokens)
      end
    end)

    it("is found out by who carries it on when the first one died", function()
      for i, when in ipairs { "before", "after" } do
        local _, tokens = own:seats(120)
        local name = ("%s-%d"):format(id, i)
        own:faults("/lock", { [2] = function(send)
          if when == "after" then
            send()
          end
          killed()
        end })
        assert.has_error(function() flows:sell(own:own(name, tokens)) end, "killed")
        assert.matches("100 seats were locked of 120, and the answer for 20 seats is not written down",
          flows:unfinished()[1].told)
        own.transport.meddle = nil
        assert.equal(1, own:count("tickets.lock", function()
          if when == "before" then
            assert.equal("done", assert(own:flows():resume())[1].state)
          else
            assert.equal(120, #assert(own:flows():sell(own:own(name, tokens))).tokens)
          end
        end))
        assert.same(times(name, 120), own:holders(tokens))
        local steps = flows:find(name).steps
        assert.same({ "seats", "lock", "lock", "lock", "lost" },
          { steps[1].name, steps[2].name, steps[3].name, steps[4].name, steps[3].state })
        assert(flows:delist { external_listing_id = name })
      end
    end)

    it("is not ours when the seat was left unlocked for us, and then it is not unlocked", function()
      local _, tokens = own:seats(2)
      own:faults("/lock", { function(send)
        local result, err = send("reset=before")
        own.transport.meddle = nil
        take(tokens)
        return result, err
      end })
      assert.equal(0, own:count("tickets.unlock", function()
        local err = sell_badly(own:own(id, tokens))
        assert.same({ "http", "rejected", "failed" }, { err.kind, err.outcome, err.run.state })
      end))
      assert.same(times("theirs", 2), own:holders(tokens))
    end)

    it("is ours in part, and only that part is unlocked", function()
      local _, tokens = own:seats(3)
      own:faults("/lock", { function(send)
        local result, err = send("reset=before")
        take({ tokens[2] })
        return result, err
      end })
      local err = sell_badly(own:own(id, tokens))
      assert.same({ "partial", "failed" }, { err.kind, err.run.state })
      assert.same({ false, "theirs", false }, own:holders(tokens))
    end)

    it("was ours all the time when another one is refused meanwhile", function()
      local _, tokens = own:seats(2)
      local theirs
      own:faults("/lock", { function(send)
        local result, err = send("reset=after")
        theirs = own.link.tickets:lock(market.lock_payload(tokens, "theirs"))
        return result, err
      end })
      assert(flows:sell(own:own(id, tokens)))
      assert.is_nil(theirs)
      assert.same(times(id, 2), own:holders(tokens))
    end)
  end)

  describe("of which the service says too little", function()
    -- Answers to the second lock that do not tell whether the first one was done.
    local vague = {
      ["a refusal without a word about the seats"] = function() return answer(422, REFUSED) end,
      ["a refusal of the request"] = function() return answer(400, { error = { type = "BAD_REQUEST" } }) end,
      ["seats that are not left unlocked"] = function(tokens)
        return answer(422, { error = REFUSED.error, failure = { failure(tokens[1], "LOCK"), failure(tokens[2]) } })
      end,
      ["a success of other seats"] = function()
        return answer(200, { success = { { token = "another", ownerId = "7" } } })
      end,
      ["a success that calls the seats unlocked"] = function(tokens)
        return answer(200, { success = { failure(tokens[1], "UNLOCK"), failure(tokens[2], "UNLOCK") } })
      end,
      ["seats that it does not find any more"] = function(tokens)
        local list = { failure(tokens[1], "UNLOCK"), failure(tokens[2], "UNLOCK") }
        list[1].type, list[2].appErrorCode = "TOKEN_NOT_FOUND", "MS-404"
        return answer(422, { error = REFUSED.error, failure = list })
      end,
      ["a limit of requests"] = function() return answer(429, REFUSED) end,
    }

    for why, make in pairs(vague) do
      it("is in doubt, and nothing is unlocked: " .. why, function()
        local _, tokens = own:seats(2)
        own:faults("/lock", { "reset=after", function() return make(tokens) end, function() return make(tokens) end,
          function() return make(tokens) end })
        assert.equal(0, own:count("tickets.unlock", function()
          local err = sell_badly(own:own(id, tokens))
          assert.same({ "unknown", "in_doubt" }, { err.outcome, err.run.state })
          assert.equal("in_doubt", assert(flows:resume())[1].state)
        end))
        assert.same(times(id, 2), own:holders(tokens))
      end)
    end

    it("is as good as locked on the word of a person", function()
      local _, tokens = own:seats(2)
      own:faults("/lock", { "reset=after", function() return answer(422, REFUSED) end })
      sell_badly(own:own(id, tokens))
      local settled = assert(flows:settle(id, { as = "done", because = "the box office says so" }))
      assert.equal("done", settled.state)
      assert.same(tokens, settled.result.tokens)
      assert.same({}, flows:unfinished())
    end)

    it("is not locked on the word of a person, and the rest is unlocked", function()
      local _, tokens = own:seats(102)
      own:faults("/lock", { [2] = "reset=before", [3] = function() return answer(422, REFUSED) end })
      sell_badly(own:own(id, tokens))
      assert.equal(id, own:holders(tokens)[1])
      local settled = assert(flows:settle(id, { as = "failed", because = "the box office says so" }))
      assert.equal("failed", settled.state)
      assert.same(times(false, 102), own:holders(tokens))
      local again, err = flows:sell(own:own(id, tokens))
      assert.is_nil(err)
      assert.equal(102, #again.tokens)
      assert(flows:delist { external_listing_id = id })
    end)

    it("is left out on the word of a person where a part is enough", function()
      local _, tokens = own:seats(102)
      own:faults("/lock", { [2] = "reset=before", [3] = function() return answer(422, REFUSED) end })
      sell_badly(own:own(id, tokens, { keep_partial = true }))
      local settled = assert(flows:settle(id, { as = "failed", because = "the box office says so" }))
      assert.equal("done", settled.state)
      assert.equal(100, #settled.result.tokens)
      assert.same({ { token = tokens[101] }, { token = tokens[102] } }, settled.result.failed)
      assert(flows:delist { external_listing_id = id })
    end)

    it("is not believed when it says of a first lock that it refuses all, and names no seat", function()
      local _, tokens = own:seats(2)
      own:faults("/lock", { function() return answer(422, REFUSED) end })
      local err = sell_badly(own:own(id, tokens))
      assert.same({ "http", "rejected", "failed" }, { err.kind, err.outcome, err.run.state })
      assert.same({ false, false }, own:holders(tokens))
    end)
  end)

  describe("that is taken back while it is in doubt", function()
    it("is unlocked when it is ours", function()
      local _, tokens = own:seats(2)
      own:faults("/lock", { "reset=after", "reset=after" })
      sell_badly(own:own(id, tokens))
      local down = assert(flows:delist { external_listing_id = id })
      assert.same(tokens, down.tokens)
      assert.same({ false, false }, own:holders(tokens))
    end)

    it("is not unlocked when it is another's", function()
      local _, tokens = own:seats(2)
      own:faults("/lock", { "reset=before", "reset=before" })
      sell_badly(own:own(id, tokens))
      take({ tokens[1] })
      assert.same({ tokens[2] }, assert(flows:delist { external_listing_id = id }).tokens)
      assert.same({ "theirs", false }, own:holders(tokens))
      assert.equal("not_ours", flows:find(id).evidence[2].what)
    end)

    it("is unlocked on the word of a person where the service says nothing definite", function()
      for _, as in ipairs { "done", "failed" } do
        local _, tokens = own:seats(2)
        local name = id .. as
        own:faults("/lock", { "reset=after", "reset=after", function() return answer(422, REFUSED) end })
        sell_badly(own:own(name, tokens))
        assert.equal(0, own:count("tickets.unlock", function()
          local done, err = flows:delist { external_listing_id = name }
          assert.is_nil(done)
          assert.same({ "unknown", "in_doubt", "delist" }, { err.outcome, err.run.state, err.run.step })
        end))
        local settled = assert(flows:settle(name, { as = as, because = "the box office says so" }))
        assert.equal("delisted", settled.state)
        assert.same(times(as == "failed" and name, 2), own:holders(tokens))
      end
    end)

    it("stays as it is while the service cannot be reached", function()
      local _, tokens = own:seats(2)
      own:faults("/lock", { "reset=after", "reset=after", "status=503", "status=503" })
      sell_badly(own:own(id, tokens))
      local done, err = flows:delist { external_listing_id = id }
      assert.is_nil(done)
      assert.same({ 503, "undoing", "delist" }, { err.status, err.run.state, err.run.step })
      own.transport.meddle = nil
      assert.equal("delisted", assert(flows:resume())[1].state)
      assert.same({ false, false }, own:holders(tokens))
    end)
  end)

  it("is looked at once more before it is unlocked when the service has unlocked a seat itself", function()
    local _, tokens = own:seats(3)
    assert(flows:sell(own:own(id, tokens)))
    assert(own.link.tickets:unlock { tokens = { tokens[2], tokens[3] } })
    take({ tokens[2] })
    assert.same({ tokens[1], tokens[3] },
      assert(flows:delist { external_listing_id = id, after_unlock = true }).tokens)
    assert.same({ false, "theirs", false }, own:holders(tokens))
  end)

  describe("whose answer to the unlock is missing", function()
    it("never touches what another has locked since, when a listing is taken down", function()
      for i, fault in ipairs(LOST_AFTER) do
        local _, tokens = own:seats(3)
        local name = ("%s-%d"):format(id, i)
        assert(flows:sell(own:own(name, tokens)))
        own:faults("/unlock", { function(send)
          local result, err = send(fault)
          take({ tokens[2] })
          return result, err
        end })
        assert(flows:delist { external_listing_id = name })
        assert.same({ false, "theirs", false }, own:holders(tokens))
        assert.equal("delisted", flows:find(name).state)
      end
    end)

    it("never touches what another has locked since, when a part of a lock is undone", function()
      local seats, tokens = own:seats(3)
      take({ tokens[3] })
      own:faults("/unlock", { function(send)
        local result, err = send("reset=after")
        take({ tokens[1] }, "third")
        return result, err
      end })
      local err = sell_badly(own:broker(id, seats))
      assert.same({ "partial", "failed" }, { err.kind, err.run.state })
      assert.same({ "third", false, "theirs" }, own:holders(tokens))
    end)

    it("never touches it when somebody else carries on after a crash either", function()
      local _, tokens = own:seats(2)
      assert(flows:sell(own:own(id, tokens)))
      own:faults("/unlock", { function(send)
        send()
        killed()
      end })
      assert.has_error(function() flows:delist { external_listing_id = id } end, "killed")
      assert.matches("for 2 seats the answer is not written down", flows:unfinished()[1].told)
      own.transport.meddle = nil
      take({ tokens[1] })
      assert.equal("delisted", assert(own:flows():resume())[1].state)
      assert.same({ "theirs", false }, own:holders(tokens))
    end)

    it("is repeated when it was not done", function()
      for i, fault in ipairs(LOST_BEFORE) do
        local _, tokens = own:seats(2)
        local name = ("%s-%d"):format(id, i)
        assert(flows:sell(own:own(name, tokens)))
        own:faults("/unlock", { fault })
        assert.same(tokens, assert(flows:delist { external_listing_id = name }).tokens)
        assert.same({ false, false }, own:holders(tokens))
      end
    end)

    it("never touches it either where a seller belongs to the lock", function()
      local seats, tokens = own:seats(3)
      assert(flows:sell(own:broker(id, seats)))
      own:faults("/unlock", { function(send)
        local result, err = send("reset=after")
        take({ tokens[2] })
        return result, err
      end })
      assert(flows:delist { external_listing_id = id })
      assert.same({ false, "theirs", false }, own:holders(tokens))
    end)

    it("is repeated for a listing that the journal learned of by its tokens", function()
      local _, tokens = own:seats(2)
      take(tokens, id)
      own:faults("/unlock", { "reset=after", "reset=after" })
      local done, err = flows:delist { external_listing_id = id, tokens = tokens }
      assert.is_nil(done)
      assert.same({ "unknown", "undoing" }, { err.outcome, err.run.state })
      assert.equal("delisted", assert(flows:resume())[1].state)
      assert.same({ false, false }, own:holders(tokens))
    end)

    it("is for a person when the service says nothing definite of the lock in an undo", function()
      local _, tokens = own:seats(2)
      take({ tokens[2] })
      own:faults("/unlock", { "reset=after" })
      local inner, seen = own.transport.meddle, 0
      own.transport.meddle = function(request, send)
        seen = seen + (request.url:find("/lock$") and 1 or 0)
        if request.url:find("/lock$") and seen > 1 then
          return answer(422, REFUSED)
        end
        return inner(request, send)
      end
      local err = sell_badly(own:own(id, tokens))
      assert.same({ "partial", "in_doubt", "undo" }, { err.kind, err.run.state, err.run.step })
      assert.matches("Nobody can tell whether 1 seat is still locked for it", err.run.told)
      local settled = assert(flows:settle(id, { as = "failed", because = "I looked" }))
      assert.equal("failed", settled.state)
      assert.same({ false, "theirs" }, own:holders(tokens))
    end)
  end)

  describe("that is refused", function()
    it("is asked for seat by seat when some of them are sold and the service does not say which", function()
      local _, tokens = own:seats(3)
      assert(flows:sell(own:own(id, tokens)))
      assert(own.link.orders:complete(market.order_payload({ tokens[3] }, id, "O-" .. id)))
      own:faults("/unlock", { function() return answer(409, { error = { type = "CONFLICT" } }) end })
      local done, err = flows:delist { external_listing_id = id }
      assert.is_nil(done)
      assert.same({ 409, "done" }, { err.status, err.run.state })
      assert.same({ false, false, "sold" }, own:holders(tokens))
    end)

    it("is asked for once more when a part of it was not done", function()
      local _, tokens = own:seats(3)
      assert(flows:sell(own:own(id, tokens)))
      own:faults("/unlock", { "partial" })
      assert.equal(3, #assert(flows:delist { external_listing_id = id }).tokens)
      assert.same({ false, false, false }, own:holders(tokens))
    end)

    it("stays to be done, and says so", function()
      local _, tokens = own:seats(2)
      assert(flows:sell(own:own(id, tokens)))
      own:faults("/unlock", { "status=400", "status=400", "rate_limit=0", "expire_token" })
      local done, err = flows:delist { external_listing_id = id }
      assert.is_nil(done)
      assert.same({ 400, "undoing" }, { err.status, err.run.state })
      assert.matches("It is being taken down: 2 seats are still to be unlocked. The latest try", err.run.told)
      done, err = flows:delist { external_listing_id = id }
      assert.is_nil(done)
      assert.equal(401, err.status)
      assert.same(tokens, assert(flows:delist { external_listing_id = id }).tokens)
      assert.same({ false, false }, own:holders(tokens))
    end)

    it("is for a person when a seat of an undo is sold", function()
      local _, tokens = own:seats(2)
      take({ tokens[2] })
      own:faults("/unlock", { function(send)
        assert(own.link.orders:complete(market.order_payload({ tokens[1] }, id, "O-" .. id)))
        return send()
      end })
      local err = sell_badly(own:own(id, tokens))
      assert.same({ "partial", "in_doubt", "undo" }, { err.kind, err.run.state, err.run.step })
      assert.matches("1 seat was sold meanwhile", err.run.told)
      assert.equal("in_doubt", assert(flows:resume())[1].state)
      local settled = assert(flows:settle(id, { as = "failed", because = "the order was somebody else's" }))
      assert.equal("failed", settled.state)
      assert.same({ "sold", "theirs" }, own:holders(tokens))
    end)
  end)

  it("leaves the others alone and nothing of its own behind, whatever happens by chance", function()
    local dice, theirs, seats_of = chance.new(SEED, 1), {}, {}
    local _, tokens = own:seats(40)

    -- Somebody else locks a seat, if he can.
    local function contend(token)
      if own.link.tickets:lock(market.lock_payload({ token }, "theirs")) then
        theirs[#theirs + 1] = token
      end
    end

    local function give_back()
      if #theirs > 0 and not own.transport.is_busy then
        assert(own.link.tickets:unlock { tokens = theirs })
        theirs = {}
      end
    end

    local function meddle(request, send)
      local is_ours = request.url:find("/lock$") and not request.body:find('"theirs"', 1, true)
        or request.url:find("/unlock$")
      if not is_ours or not dice:percent(50) then
        return send()
      end
      own.transport.meddle = nil
      if dice:percent(40) then
        contend(dice:pick(tokens))
      end
      local fault = dice:pick(CHANCES)
      local result, err
      if fault == "killed=after" then
        result, err = send()
      elseif fault ~= "killed=before" then
        result, err = send(fault)
      end
      if dice:percent(40) then
        contend(dice:pick(tokens))
      end
      own.transport.meddle = own.meddle
      if fault:find("killed", 1, true) then
        killed()
      end
      return result, err
    end

    local function calmly(action)
      own.transport.meddle = nil
      action()
      own.transport.meddle = own.meddle
    end

    local function check()
      local world = own.place:world()
      for _, token in ipairs(theirs) do
        assert.equal("theirs", world[token].externalListingId)
      end
      for name, mine in pairs(seats_of) do
        local state, held = flows:find(name).state, 0
        for _, token in ipairs(mine) do
          held = held + (world[token].externalListingId == name and 1 or 0)
        end
        if state == "done" then
          assert.equal(#flows:find(name).result.tokens, held)
        elseif state == "failed" or state == "delisted" then
          assert.equal(0, held)
        end
      end
    end

    own.meddle = meddle
    own.transport.meddle = meddle
    for round = 1, ROUNDS do
      local name, mine = ("%s-%d"):format(id, round), {}
      local first = dice:below(36)
      for i = 1, 1 + dice:below(4) do
        mine[i] = tokens[first + i]
      end
      pcall(flows.sell, flows, own:own(name, mine, { keep_partial = dice:percent(30) }))
      seats_of[name] = mine
      calmly(function() seats_of[name] = flows:find(name) and mine or nil end)
      if dice:percent(50) then
        pcall(flows.resume, flows)
      end
      if dice:percent(60) and seats_of[name] then
        pcall(flows.delist, flows, { external_listing_id = name })
      end
      calmly(check)
      if dice:percent(20) then
        calmly(give_back)
      end
    end
    own.transport.meddle = nil
    for _ = 1, 3 do
      assert(flows:resume())
    end
    check()
    assert.same({}, flows:unfinished())
    own.meddle = nil
  end)
end)

describe("the price of a listing", function()
  it("is in cents, without the dust of binary fractions", function()
    for _, case in ipairs { { 0.1, 3, 0.3 }, { 1.1, 3, 3.3 }, { 19.99, 120, 2398.8 }, { 0, 5, 0 }, { 33.335, 2, 66.67 },
      { 50, 2, 100 } } do
      assert.equal(case[3], locks.total_price({ price = case[1] }, case[2]))
    end
    assert.equal(75.5, locks.total_price({ total_price = 75.5 }, 3))
    assert.is_nil(locks.total_price({}, 3))
  end)
end)
