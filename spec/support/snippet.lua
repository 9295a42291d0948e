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

--- Runs a program as a reader would after pasting the export lines of the sandbox; raises what it raises, with a
-- traceback.
-- @tparam string source
-- @tparam string name for its messages
-- @tparam table box a sandbox of `paciolan.sandbox.child`
-- @treturn table the lines that it printed
function snippet.run(source, name, box)
  local printed = {}
  local environment = setmetatable({ print = printer(printed) }, { __index = _G })
  local chunk = assert(load(source, "@" .. name, "t", environment))
  local getenv = os.getenv
  rawset(os, "getenv", function(variable)
    if VARIABLES[variable] then
      return box[VARIABLES[variable]]
    end
    return getenv(variable)
  end)
  local ok, message = xpcall(chunk, function(err)
    return debug.traceback(tostring(err))
  end)
  rawset(os, "getenv", getenv)
  assert(ok, message)
  return printed
end

return snippet
