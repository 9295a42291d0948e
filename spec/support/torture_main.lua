--- `make torture`: torture_main.lua RUNS SEED STORE FIRST LAST, see `support.torture`. Ends with 1 when the journal and
-- the ledger do not agree.
local torture = require("support.torture")

local SHOWN = 20
local KILL_SHARE, KILL_SHARE_OF_FEW, FEW = 15, 25, 200

local function number(text)
  return text ~= nil and text ~= "" and tonumber(text) or nil
end

local runs, seed, store = number(arg[1]) or 10000, arg[2] or "1", arg[3] or "sqlite"
local found = torture.run { runs = runs, seed = seed, store = store, first = number(arg[4]), last = number(arg[5]),
  kill_share = runs <= FEW and KILL_SHARE_OF_FEW or KILL_SHARE }

print(("torture: %d purchases, seed %s, %s"):format(runs, seed, store))
print(torture.table_of(found))
for i = 1, math.min(SHOWN, #found.violations) do
  print("VIOLATION " .. found.violations[i])
end
print(("%d violations%s"):format(#found.violations, #found.violations > 0 and (", seed " .. seed) or ""))
if #found.violations > 0 then
  os.exit(1, true)
end
