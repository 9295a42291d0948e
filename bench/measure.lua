--- CPU time of this process per operation. The contenders take turns, because machines are noisy: trust the ratios.
local measure = {}

local ROUNDS = 7

local function median(values)
  table.sort(values)
  return values[math.ceil(#values / 2)]
end

local function cpu_us(run, count)
  collectgarbage()
  local started = os.clock()
  for _ = 1, count do
    run()
  end
  return (os.clock() - started) * 1e6 / count
end

--- Runs contenders side by side and prints a table; ratios are to the first.
-- @tparam string title
-- @tparam number count operations per round
-- @tparam table contenders list of `{ name, function }`
function measure.compare(title, count, contenders)
  local samples = {}
  for round = 0, ROUNDS do
    for i, contender in ipairs(contenders) do
      samples[i] = samples[i] or {}
      local us = cpu_us(contender[2], count)
      if round > 0 then -- round 0 warms up
        samples[i][round] = us
      end
    end
  end
  local host = rawget(_G, "jit") and "LuaJIT" or _VERSION
  print(("\n%s (%s, %d operations, median of %d rounds)"):format(title, host, count, ROUNDS))
  local base
  for i, contender in ipairs(contenders) do
    local us = median(samples[i])
    base = base or us
    print(("  %-44s %9.2f us CPU   x%.2f"):format(contender[1], us, us / base))
  end
end

return measure
