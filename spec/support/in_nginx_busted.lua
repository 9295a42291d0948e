--- Inside nginx: runs a spec file as spec/support/busted.lua does, and ends the process.

local ffi = require("ffi")

ffi.cdef("void _exit(int status);")

return function(spec)
  -- No clean-up of nginx: this process is there for the spec alone.
  local function exit(code)
    io.stdout:flush()
    ffi.C._exit(code == true and 0 or tonumber(code) or 1)
  end
  rawset(_G, "arg", { [0] = "spec/support/busted.lua", "-o", "spec/support/tap.lua", spec })
  rawset(os, "exit", exit)
  local ok, problem = pcall(require("busted.runner"), { standalone = false })
  if not ok then
    io.stderr:write(tostring(problem), "\n")
  end
  exit(ok and 0 or 1)
end
