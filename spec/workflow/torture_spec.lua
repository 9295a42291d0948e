--- Purchases and transfers while everything goes wrong and the process is killed again and again: at the end the
-- journal and the ledger of the service agree, seat by seat. TORTURE_RUNS says how many purchases, TORTURE_STORES on
-- which stores: `sqlite redis`. `make torture` does the same with many.
local torture = require("support.torture")

local RUNS = tonumber(os.getenv("TORTURE_RUNS")) or 60
local STORES = os.getenv("TORTURE_STORES") or "sqlite redis"
local FEWER, FEWEST = math.ceil(RUNS / 2), math.ceil(RUNS / 5)
local KILL_SHARE = 25

-- The whole table stands in the message of a failure.
local function assert_agreed(found)
  local text = table.concat(found.violations, "\n") .. "\n" .. torture.table_of(found)
  assert.is_true(#found.violations == 0, text)
end

local function assert_traded(found)
  local done = 0
  for _, kind in ipairs { "buy", "fulfil" } do
    done = done + ((found.counts[kind] or {}).done or 0)
  end
  assert.is_true(done > 0, torture.table_of(found))
end

describe("purchases and transfers that are killed", function()
  it("are all accounted for", function()
    local found = torture.run { runs = RUNS, seed = "1", store = "sqlite", kill_share = KILL_SHARE }
    assert_agreed(found)
    assert_traded(found)
    assert.is_true(found.tallies.kills > 0 and found.tallies.faults > 0, torture.table_of(found))
  end)

  it("are all accounted for where the messages of the service arrive", function()
    local found = torture.run { runs = FEWER, seed = "2", store = "sqlite", kill_share = KILL_SHARE }
    assert_agreed(found)
    assert_traded(found)
  end)

  if STORES:find("redis") then
    it("are all accounted for on a Redis that is killed as well", function()
      local found = torture.run { runs = FEWEST, seed = "1", store = "redis", kill_share = KILL_SHARE }
      assert_agreed(found)
    end)
  end

  it("are carried on by one of two processes that resume at once", function()
    local found = torture.run { runs = FEWER, seed = "3", store = "sqlite", kill_share = 0, is_left = true }
    assert_agreed(found)
    assert.is_true(found.tallies["runs ended by resume"] > FEWER / 4, torture.table_of(found))
  end)
end)
