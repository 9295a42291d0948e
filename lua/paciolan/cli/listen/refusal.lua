--- How the parts of `paciolan listen` say that it cannot start: they raise a refusal, which the command turns into a
-- line and an exit code.
-- @module paciolan.cli.listen.refusal
local refusal = {}

local mt = {}

--- Raises: the options do not fit, exit code 2.
-- @tparam string format
-- @param ... for the format
function refusal.misuse(format, ...)
  error(setmetatable({ message = format:format(...) .. "\nTry: paciolan listen --help", code = 2 }, mt), 0)
end

--- Raises: it could not be done, exit code 1.
-- @tparam string format
-- @param ... for the format
function refusal.failure(format, ...)
  error(setmetatable({ message = format:format(...), code = 1 }, mt), 0)
end

--- Is that which was raised a refusal?
-- @param raised
-- @treturn boolean
function refusal.is(raised)
  return getmetatable(raised) == mt
end

--- The text of what the library raised, without the place in its source and the name of its module.
-- @param raised
-- @treturn string
function refusal.text_of(raised)
  return (tostring(raised):gsub("^[^\n]-:%d+: ", ""):gsub("^paciolan%.[%w_.]+: ", ""))
end

return refusal
