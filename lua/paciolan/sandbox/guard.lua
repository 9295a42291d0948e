--- Objects whose collection runs a function, so that what was started ends with whoever started it.
-- @module paciolan.sandbox.guard
local guard = {}

--- Makes one. On LuaJIT only userdata have collectors.
-- @tparam function run called once, when the object is collected or the state ends
-- @return the object, to be kept for as long
function guard.new(run)
  local newproxy = rawget(_G, "newproxy")
  if not newproxy then
    return setmetatable({}, { __gc = run })
  end
  local object = newproxy(true)
  getmetatable(object).__gc = run
  return object
end

return guard
