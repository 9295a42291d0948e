--- The object that `link:workflows` returns: how it is called, and what a call means while the last one is taken back.

local market = require("support.market")
local seller = require("support.seller")

describe("the workflows of a link", function()
  local own, flows

  setup(function()
    own = seller.open()
    flows = own:flows()
  end)

  teardown(function()
    own:close()
  end)

  it("say at the caller's line that a method wants a colon", function()
    for _, name in ipairs { "sell", "buy", "fulfil", "transfer", "delist", "cancel_transfer", "unfinished", "resume",
      "find", "settle", "on_callback", "on_seat" } do
      for _, given in ipairs { { n = 0 }, { {}, n = 1 }, { "O-1", n = 1 }, { setmetatable({}, {}), {}, n = 2 } } do
        local ok, message = pcall(function()
          local done = flows[name](given[1], given[2])
          return done
        end)
        assert.is_false(ok)
        assert.matches("flows_spec.lua:%d+: call flows:" .. name .. "[{(].*with a colon$", message)
      end
    end
  end)

  it("say at the caller's line what a method takes", function()
    for _, name in ipairs { "sell", "buy", "fulfil", "transfer", "delist", "cancel_transfer" } do
      local ok, message = pcall(function()
        local done = flows[name](flows)
        return done
      end)
      assert.is_false(ok)
      assert.matches("flows_spec.lua:%d+: workflows." .. name .. " takes a table, not nil", message)
    end
  end)

  it("take a transfer back before they say that it was cancelled, when it is called for meanwhile", function()
    local tokens = own.place:tokens(1)
    assert(own.place:sell(tokens, "O-1"))
    local input = market.items_payload(own.place:world()[tokens[1]].ownerId, "O-1", tokens)
    input.transferRequests[1].externalTransferId = "T-1"
    assert(flows:transfer(input))
    own.place.box:control("POST", "/_sandbox/faults", { fault = "status=503", operation = "transfers.cancel",
      count = 10 })
    assert.is_nil((flows:cancel_transfer { external_transfer_id = "T-1" }))
    assert.equal("cancel", flows:find("T-1").step)
    own.place.box:control("DELETE", "/_sandbox/faults")
    local done, err = flows:transfer(input)
    assert.is_nil(done)
    assert.same({ "validation", "not_sent", "canceled" }, { err.kind, err.outcome, err.run.state })
    assert.matches("was cancelled", err.message)
  end)

  it("take a message about a seat whose row is no whole number, which is about none of theirs", function()
    assert.is_true(flows:on_seat { accessId = "129:FB30:FB01", section = "ES:9", row = 1.5, seat = 1 })
  end)
end)
