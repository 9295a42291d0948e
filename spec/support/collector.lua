--- Makes the garbage collector get in the way, at every allocation. For programs that run as a process of their own.
local collector = {}

local newproxy = rawget(_G, "newproxy") -- LuaJIT, where tables have no finalizers
local LEVELS = 20

local function leave_one(run)
  local function finalize()
    if run() then
      leave_one(run)
    end
  end
  if newproxy then
    debug.getmetatable(newproxy(true)).__gc = finalize
  else
    setmetatable({}, { __gc = finalize })
  end
end

-- Many calls deep, so that no copy of what is left behind stays in a register that the collector looks at.
local function leave_deep(levels, run)
  if levels > 0 then
    leave_deep(levels - 1, run)
  else
    leave_one(run)
  end
  return nil
end

--- Leaves an object behind whose finalizer runs the function, and leaves the next one behind, until that returns false.
-- @tparam function run
function collector.leave_behind(run)
  leave_deep(LEVELS, run)
end

--- From here on the collector takes a whole round at each allocation.
function collector.make_busy()
  collectgarbage("setpause", 0)
  if newproxy then
    collectgarbage("setstepmul", 0)
  else
    collectgarbage("incremental", 0, 1000, 63)
  end
end

return collector
