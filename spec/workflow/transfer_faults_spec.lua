--- Transfers on a journal that fails, at every single operation of the store and in each way: seats are offered once,
-- and what is told of it is what happened.

local errors = require("paciolan.errors")
local faulty_store = require("support.faulty_store")
local market = require("support.market")
local purchases = require("support.purchases")

-- Each of so many operations is tried; a slowed-down run leaves some out.
local STRIDE = os.getenv("STORE_OPERATIONS") and 5 or 1
local LEASE_S = 120

describe("a transfer whose journal fails", function()
  local desk, number

  setup(function()
    desk, number = purchases.open(), 0
  end)

  teardown(function()
    desk:close()
  end)

  -- Seats that were just sold, to be offered under an id of their own.
  local function new_input()
    number = number + 1
    local tokens, id = desk.place:tokens(1), "T-" .. number
    desk.place:sell(tokens, "O-" .. number)
    local input = market.items_payload(desk.place:world()[tokens[1]].ownerId, "O-" .. number, tokens)
    input.transferRequests[1].externalTransferId = id
    return input, id
  end

  local function attempt(flows, input)
    local ok, result, err = pcall(flows.transfer, flows, input)
    assert(ok or result == faulty_store.RAISED, result)
    return ok and result or nil, ok and err or nil
  end

  local function offers_of(id)
    local count = 0
    for _, entry in ipairs(desk.place:ledger().transfers) do
      count = count + (entry.externalTransferId == id and 1 or 0)
    end
    return count
  end

  local function judge(place, input, id, result, err)
    local count = offers_of(id)
    assert.is_true(count <= 1, place .. ": it was offered twice")
    assert.is_true(result == nil or count == 1, place .. ": an offer that is none")
    if errors.is(err) and (err.outcome == "not_sent" or err.outcome == "rejected") then
      assert.equal(0, count, place .. ": said that nothing was offered")
    end
    desk.clock:advance((LEASE_S + 1) * 1000)
    assert(desk:flows():resume())
    local again, problem = desk:flows():transfer(input)
    count = offers_of(id)
    assert.is_true(count <= 1, place .. ": the repeated call offered it twice")
    local known = assert(desk:flows():find(id), place)
    if again then
      assert.equal("done", known.state, place)
      assert.equal(1, count, place)
    else
      assert.equal("unknown", problem.outcome, place)
      assert.equal("in_doubt", known.state, place)
    end
  end

  for _, way in ipairs(faulty_store.WAYS) do
    it("once, by " .. way, function()
      desk:renew_store()
      local store = faulty_store.new(desk.store)
      store.watch()
      assert(desk:flows({ store = store, lease_s = LEASE_S }):transfer((new_input())))
      local total = store.count
      assert.is_true(total > 8)
      for wanted = 1, total, STRIDE do
        desk:renew_store()
        store = faulty_store.new(desk.store)
        local flows = desk:flows({ store = store, lease_s = LEASE_S })
        local input, id = new_input()
        store.watch(function(_, _, count) return count == wanted and way or nil end)
        local result, err = attempt(flows, input)
        judge(("%s at operation %d of %d"):format(way, wanted, total), input, id, result, err)
      end
    end)
  end
end)
