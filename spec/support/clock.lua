--- Time that passes only while somebody sleeps. While it is in place, the core's clocks and its sleep are replaced, so
-- tasks of `paciolan.concurrent` that wait for minutes are done at once, and always in the same order: its dice are
-- loaded too.
local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")

local clock = {}

local REPLACED = { "monotonic_ms", "now_ms", "random", "sleep" }

local Clock = {}
Clock.__index = Clock

--- Lets time pass.
function Clock:advance(ms)
  self._passed_ms = self._passed_ms + ms
end

--- Sleeps: in a task others run meanwhile.
function Clock:sleep(ms)
  local loop = concurrent.loop()
  if loop then
    loop:sleep(ms)
  else
    self:advance(ms)
  end
end

--- Puts the core's own clocks back.
function Clock:stop()
  for name, own in pairs(self._own) do
    core[name] = own
  end
end

--- Stops the time.
-- @treturn table the clock, to be stopped by the test
function clock.start()
  local self = setmetatable({ _passed_ms = 0, _own = {} }, Clock)
  local began_ms, began_unix_ms = core.monotonic_ms(), core.now_ms()
  for _, name in ipairs(REPLACED) do
    self._own[name] = core[name]
  end
  function core.monotonic_ms() return began_ms + self._passed_ms end
  function core.now_ms() return began_unix_ms + self._passed_ms end
  function core.random() return 0.5 end
  function core.sleep(ms) self:advance(ms) end
  return self
end

return clock
