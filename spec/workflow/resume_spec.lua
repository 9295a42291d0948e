--- `resume`: one pass over everything that is open, in which no run stands in the way of the others.

local core = require("paciolan.core")
local errors = require("paciolan.errors")
local faulty_store = require("support.faulty_store")
local purchases = require("support.purchases")

describe("a pass of resume", function()
  local desk, flows, random

  setup(function()
    desk = purchases.open()
    random = core.random
  end)

  teardown(function()
    desk:close()
  end)

  before_each(function()
    desk:renew_store()
    flows = desk:flows { poll = { first_ms = 10, max_ms = 10, deadline_ms = 30 } }
  end)

  after_each(function()
    core.random = random
    desk:calm()
    desk:options({ pending_polls = 0, pending_s = 60 })
  end)

  -- Purchases that are in doubt, by a connection that broke before the order arrived.
  local function doubtful(count)
    local ids, tokens = {}, {}
    for i = 1, count do
      local input
      input, tokens[i], ids[i] = desk:input(1)
      desk:fault("reset=before")
      assert.is_nil(flows:buy(input))
    end
    return ids, tokens
  end

  local function resume()
    local found, order = {}, {}
    for i, run in ipairs(assert(flows:resume())) do
      found[run.id], order[i] = run, run.id
    end
    return found, order
  end

  it("carries the others when one raises", function()
    desk:options({ pending_polls = 100, pending_s = 5 })
    local process, ids = {}, {}
    for i = 1, 3 do
      local input = desk:input(1)
      ids[i] = input.listing.externalOrderId
      assert.is_nil(flows:buy(input))
      process[ids[i]] = flows:find(ids[i]).process_id
    end
    desk:pass(10)
    table.sort(ids)
    function desk.on_send(_, path)
      assert(not path:find(process[ids[1]], 1, true), "out of memory")
    end
    local found = resume()
    assert.is_true(errors.is(found[ids[1]].err))
    assert.equal("canceled", found[ids[1]].err.kind)
    assert.is_true(found[ids[1]].err.retryable)
    assert.equal("in_doubt", found[ids[1]].state)
    for i = 2, 3 do
      assert.equal("done", found[ids[i]].state)
      assert.is_nil(found[ids[i]].err)
    end
    assert.equal("", desk:dump("paciolan/carrier/"))
    desk:calm()
    assert.equal("done", resume()[ids[1]].state)
    assert.same({}, resume())
  end)

  describe("without any answer of the service", function()
    local tries

    -- The service is silent when owners are read, but for the readings that `answers` names by their numbers.
    local function silent(answers)
      tries = {}
      desk:answer("verify", function(_, _, request)
        local body = request.body
        if tries[#tries] ~= body then
          tries[#tries + 1] = body
        end
        if not (answers or {})[#tries] then
          return nil, { kind = "network", phase = "unknown", message = "it broke", elapsed_ms = 1, code = 56 }
        end
      end)
    end

    it("ends after three runs in a row, and tells the others as unvisited", function()
      local ids = doubtful(5)
      silent()
      local found, order = resume()
      assert.equal(5, #order)
      assert.equal(3, #tries)
      for i, id in ipairs(order) do
        assert.equal("in_doubt", found[id].state)
        assert.equal(i > 3 or nil, found[id].unvisited)
        assert.is_string(found[id].told)
        assert.is_nil(found[id].held)
      end
      desk:calm()
      desk:pass(905)
      found = resume()
      for _, id in ipairs(ids) do
        assert.equal("failed", found[id].state)
        assert.is_nil(found[id].unvisited)
      end
      assert.same({}, flows:unfinished())
    end)

    it("leaves others each time, for it begins with one that is drawn", function()
      local ids = doubtful(5)
      local left = {}
      table.sort(ids)
      silent()
      for _, drawn in ipairs { 0, 0.6, 0.999 } do
        function core.random() return drawn end
        for id, run in pairs((resume())) do
          left[#left + 1] = run.unvisited and ("%g %s"):format(drawn, id) or nil
        end
      end
      table.sort(left)
      assert.same({ "0 " .. ids[4], "0 " .. ids[5], "0.6 " .. ids[2], "0.6 " .. ids[3], "0.999 " .. ids[3],
        "0.999 " .. ids[4] }, left)
    end)

    it("goes on when only some are silent", function()
      doubtful(5)
      silent { [3] = true }
      local found, order = resume()
      assert.equal(5, #tries)
      for _, id in ipairs(order) do
        assert.is_nil(found[id].unvisited)
      end
    end)

    it("goes on where an answer is an error", function()
      doubtful(5)
      desk:fault("status=500", "tickets.verify", 100)
      local found, order = resume()
      assert.equal(5, #order)
      for _, id in ipairs(order) do
        assert.is_nil(found[id].unvisited)
        assert.equal(500, purchases.evidence(flows:find(id), "owners_unread").status)
      end
    end)

    it("counts polls as well", function()
      desk:options({ pending_polls = 100, pending_s = 1000 })
      function desk.on_sleep() error("the process died", 0) end
      for _ = 1, 5 do
        assert.is_false(pcall(flows.buy, flows, (desk:input(1))))
      end
      desk.on_sleep = nil
      desk:answer("", function()
        return nil, { kind = "timeout", phase = "unknown", message = "silence", elapsed_ms = 1, code = 28 }
      end)
      local found, order = resume()
      for i, id in ipairs(order) do
        assert.equal(i <= 3, purchases.evidence(flows:find(id), "poll_failed") ~= nil)
        assert.equal(i > 3 or nil, found[id].unvisited)
      end
    end)
  end)

  it("leaves what somebody carries, and says so", function()
    local ids = doubtful(2)
    desk:pass(905)
    local carried = assert(desk:flows().journal:claim("order", ids[1]))
    local found = resume()
    assert.is_true(found[ids[1]].held)
    assert.equal("in_doubt", found[ids[1]].state)
    assert.is_nil(found[ids[2]].held)
    assert.equal("failed", found[ids[2]].state)
    carried:release()
    found = resume()
    assert.is_nil(found[ids[1]].held)
    assert.equal("failed", found[ids[1]].state)
    assert.is_nil(found[ids[2]])
  end)

  it("of another process does not lose a run whose first write was slow", function()
    desk:options({ pending_polls = 100, pending_s = 1000 })
    local input, tokens, id = desk:input(1)
    desk:fault("reset=after")
    assert.is_nil(flows:buy(input))
    desk:pass(905)
    flows:resume()
    assert.equal("failed", flows:find(id).state)
    desk:pass(200)
    local slow = faulty_store.new(desk.store)
    function slow.after(method, key)
      if method == "put" and key:find("^paciolan/open/") then
        slow.after = nil
        desk.clock:advance(300000) -- longer than a lease
        flows:resume()
        assert.equal("", desk:dump("paciolan/open/"))
      end
    end
    assert(desk:flows({ store = slow }):on_callback(purchases.callback("P-late", "COMPLETE", tokens)))
    assert.equal("in_doubt", flows:find(id).state)
    assert.equal(1, #assert(flows:unfinished()))
    flows:resume()
    assert.equal("done", flows:find(id).state)
    assert.equal("sold", desk:state(tokens))
    assert.same({}, flows:unfinished())
  end)
end)
