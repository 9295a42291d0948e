--- Programs of the documents, run in this process as a reader would run them.

local snippet = {}

-- What the export lines of the sandbox set, and where a sandbox child has it.
local VARIABLES = {
  PACIOLAN_BASE_URL = "base_url", PACIOLAN_APPLICATION_ID = "application_id", PACIOLAN_API_KEY = "api_key",
  PACIOLAN_CHANNEL_CODE = "channel_code", PACIOLAN_ORGANIZATION_ID = "organization_id",
  PACIOLAN_USER_AGENT = "user_agent", PACIOLAN_AUTH_CODE = "auth_code",
}

-- A `print` that collects lines.
local function printer(printed)
  return function(...)
    local parts = {}
    for i = 1, select("#", ...) do
      parts[i] = tostring((select(i, ...)))
    end
    printed[#printed + 1] = table.concat(parts, "\t")
  end
end

-- The `os` of a program that shall not wait between its polls.
local hasty_os = setmetatable({ execute = function() return true end }, { __index = os })

-- Runs the program with these globals of its own, and hands what it raises to `handler`. Returns the lines that it
-- printed, whether it came to its end, and else what the handler made of what it raised.
local function run(source, name, box, handler, globals)
  local printed = {}
  globals.print = printer(printed)
  local environment = setmetatable(globals, { __index = _G })
  local chunk = assert(load(source, "@" .. name, "t", environment))
  local getenv = os.getenv
  rawset(os, "getenv", function(variable)
    if VARIABLES[variable] then
      return box[VARIABLES[variable]]
    end
    return getenv(variable)
  end)
  local ok, raised = xpcall(chunk, handler)
  rawset(os, "getenv", getenv)
  return printed, ok, raised
end

--- Runs a program as a reader would after pasting the export lines of the sandbox; raises what it raises, with a
-- traceback.
-- @tparam string source
-- @tparam string name for its messages
-- @tparam table box a sandbox of `paciolan.sandbox.child`
-- @treturn table the lines that it printed
function snippet.run(source, name, box)
  local printed, ok, message = run(source, name, box, function(err)
    return debug.traceback(tostring(err))
  end, {})
  assert(ok, message)
  return printed
end

--- Runs a program as `snippet.run` does, but without its pauses, and catches what it raises.
-- @tparam string source
-- @tparam string name for its messages
-- @tparam table box a sandbox of `paciolan.sandbox.child`
-- @treturn table the lines that it printed
-- @treturn boolean did it come to its end?
-- @return else what it raised, as it is
function snippet.try(source, name, box)
  return run(source, name, box, function(err) return err end, { os = hasty_os })
end

return snippet
