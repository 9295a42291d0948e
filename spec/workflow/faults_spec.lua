--- Purchases on a journal that fails: at every single operation of the store, in each way, for a moment or for good.
-- Whatever happens, an order is sent once, no run is lost, and what the journal says at the end is what happened.

local faulty_store = require("support.faulty_store")
local purchases = require("support.purchases")

-- Each of so many operations is tried; a slowed-down run leaves some out.
local STRIDE = os.getenv("STORE_OPERATIONS") and 5 or 1
local LEASE_S, SETTLE_S = 120, 900

describe("a purchase whose journal fails", function()
  local desk

  before_each(function()
    desk = purchases.open()
  end)

  after_each(function()
    desk:close()
  end)

  local function attempt(flows, input)
    local ok, result, err = pcall(flows.buy, flows, input)
    if ok then
      return result, err
    end
    assert.equal(faulty_store.RAISED, result)
    return nil, nil
  end

  -- As often as it takes another process to end everything. It comes when leases are over and evidence counts.
  local function resume_all()
    desk.clock:advance((LEASE_S + SETTLE_S + 1) * 1000)
    desk:advance_service(LEASE_S + SETTLE_S + 1)
    local flows = desk:flows({ settle_after_s = SETTLE_S })
    for _ = 1, 5 do
      assert(flows:resume())
      if #assert(flows:unfinished()) == 0 then
        break
      end
      desk.clock:advance(SETTLE_S * 1000)
    end
    return flows
  end

  local function is_listed(flows, id)
    for _, run in ipairs(assert(flows:unfinished())) do
      if run.id == id then
        return true
      end
    end
    return false
  end

  -- How many orders of an id the service has, and whether one of them was sold.
  local function fate_of(id)
    local orders, is_sold = desk:orders(id), false
    for _, order in ipairs(orders) do
      is_sold = is_sold or order.status == "COMPLETE"
    end
    return #orders, is_sold
  end

  -- What has to hold after a purchase, however it ended for its caller.
  local function judge(place, input, id, result, err)
    local was_sent, is_sold = fate_of(id)
    assert.is_true(was_sent <= 1, place .. ": the order was sent twice")
    if result then
      assert.is_true(is_sold, place .. ": a sale that is none")
    elseif err and err.outcome == "not_sent" then
      assert.equal(0, was_sent, place .. ": said not_sent of an order that was")
    elseif err and err.outcome == "rejected" then
      assert.is_false(is_sold, place .. ": said rejected of a sale")
    end
    if was_sent == 1 and not result then
      local flows = desk:flows()
      local known = flows:find(id)
      assert.is_true(is_listed(flows, id) or (known ~= nil and known.ended_ms ~= nil), place .. ": the run is lost")
    end
    local flows = resume_all()
    assert.equal(0, #assert(flows:unfinished()), place .. ": something is left open")
    assert.equal("", desk:dump("paciolan/open/"), place)
    assert.equal("", desk:dump("paciolan/carrier/"), place)
    local known = flows:find(id)
    is_sold = select(2, fate_of(id))
    if is_sold then
      assert.equal("done", known.state, place)
    else
      assert.is_true(known == nil or known.state == "failed", place)
    end
    -- Whoever calls again gets the sale, in a new order only where the first one never left, or on his word.
    local again, problem = flows:buy(input)
    if not again and problem.outcome == "rejected" then
      input.again = true
      again, problem = flows:buy(input)
    end
    assert.is_table(again, place .. ": " .. tostring(problem))
    was_sent, is_sold = fate_of(id)
    assert.is_true(is_sold, place)
    assert.equal(1, was_sent, place)
    assert.is_nil(purchases.personal_in(desk:dump()), place)
  end

  -- Runs one purchase under each fault of the store. `hook_of(number)` makes the hook for the operation of that number;
  -- `prepare` brings the service to misbehave.
  local function try_all(name, hook_of, prepare)
    desk:renew_store()
    local store = faulty_store.new(desk.store)
    local flows = desk:flows({ store = store, lease_s = LEASE_S })
    store.watch()
    prepare()
    flows:buy((desk:input(1)))
    local total = store.count
    assert.is_true(total > 10)
    for number = 1, total, STRIDE do
      desk:renew_store()
      store = faulty_store.new(desk.store)
      flows = desk:flows({ store = store, lease_s = LEASE_S })
      local input, _, id = desk:input(1)
      prepare()
      store.watch(hook_of(number))
      local result, err = attempt(flows, input)
      desk:calm()
      judge(("%s at operation %d of %d"):format(name, number, total), input, id, result, err)
    end
  end

  local function nothing() end

  for _, way in ipairs(faulty_store.WAYS) do
    it("once, by " .. way, function()
      try_all(way, function(wanted)
        return function(_, _, number) return number == wanted and way or nil end
      end, nothing)
    end)
  end

  it("for good from an operation on, as when its process is killed", function()
    try_all("killed", function(wanted)
      return function(_, _, number) return number >= wanted and "raise" or nil end
    end, nothing)
  end)

  it("for good behind an operation, as when its process is killed after it", function()
    try_all("killed after", function(wanted)
      return function(_, _, number)
        return number == wanted and "lost_raise" or number > wanted and "raise" or nil
      end
    end, nothing)
  end)

  it("for good, without raising, as when its disk is full", function()
    try_all("full", function(wanted)
      return function(_, _, number) return number >= wanted and "fail" or nil end
    end, nothing)
  end)

  for _, fault in ipairs { "reset=after", "reset=before", "pending=1", "status=503;after" } do
    it("while the service answers an order with " .. fault, function()
      try_all(fault, function(wanted)
        return function(_, _, number) return number == wanted and "fail" or nil end
      end, function() desk:fault(fault) end)
    end)
  end

  it("sends nothing that it could not write down", function()
    desk:renew_store()
    local store = faulty_store.new(desk.store)
    local flows = desk:flows({ store = store })
    local input, _, id = desk:input(1)
    local sent = 0
    desk.on_send = function() sent = sent + 1 end
    store.watch(function(method, key)
      return (method == "add" or method == "replace") and key:find("^paciolan/run/") and "fail" or nil
    end)
    local result, err = flows:buy(input)
    assert.is_nil(result)
    assert.equal("store", err.kind)
    assert.equal("not_sent", err.outcome)
    assert.equal(0, sent)
    assert.same({}, desk:orders(id))
  end)

  it("never says not_sent of an order that was sent", function()
    desk:renew_store()
    local store = faulty_store.new(desk.store)
    local flows = desk:flows({ store = store })
    local input, _, id = desk:input(1)
    store.watch()
    desk.on_answer = function(_, path)
      if path == "/v1/cart/complete-order" then
        store.watch(function() return "fail" end)
      end
    end
    local result, err = flows:buy(input)
    assert.is_nil(result)
    assert.equal("store", err.kind)
    assert.equal("unknown", err.outcome)
    assert.equal(id, err.run.id)
    assert.equal(1, #desk:orders(id))
  end)
end)
