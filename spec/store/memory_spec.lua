--- The memory store keeps the contract of all stores, and forgets everything with its object.
local memory = require("paciolan.store.memory")
local paciolan = require("paciolan")

describe("the memory store", function()
  local now_ms = 1700000000000

  require("support.store_contract") {
    open = function()
      return memory.new { now_ms = function() return now_ms end }
    end,
    advance = function(_, ms)
      now_ms = now_ms + ms
    end,
  }

  it("is one to each object", function()
    local first, second = paciolan.store.memory(), paciolan.store.memory()
    first:put("a", "1")
    assert.is_nil(second:get("a"))
  end)

  it("keeps a value up to its last millisecond", function()
    local store = memory.new { now_ms = function() return now_ms end }
    store:put("a", "1", { ttl_s = 2 })
    now_ms = now_ms + 1999
    assert.equal("1", store:get("a"))
    now_ms = now_ms + 1
    assert.is_nil(store:get("a"))
  end)

  -- Without that a receiver would grow by an item for each message.
  it("lets go of what has expired and is never asked for", function()
    local store = memory.new { now_ms = function() return now_ms end }
    store:put("stays", "1")
    for i = 1, 20000 do
      store:add("passes" .. i, ("x"):rep(100) .. i, { ttl_s = 1 })
      now_ms = now_ms + 10
    end
    collectgarbage()
    collectgarbage()
    local before = collectgarbage("count")
    assert.equal("1", store:get("stays"))
    store:close()
    collectgarbage()
    collectgarbage()
    assert.is_true(before - collectgarbage("count") < 500) -- 20000 items would be over 3000 KiB
  end)

  it("runs by the system's clock when none is given", function()
    local store = memory.new()
    store:put("a", "1", { ttl_s = 3600 })
    assert.equal("1", store:get("a"))
  end)
end)
