--- The options of a client as the environment has them.
-- @module paciolan.environment
local core = require "paciolan.core"

local environment = {}

-- Which variable feeds which option.
local variables = {
  base_url = "PACIOLAN_BASE_URL", application_id = "PACIOLAN_APPLICATION_ID", api_key = "PACIOLAN_API_KEY",
  channel_code = "PACIOLAN_CHANNEL_CODE", organization_id = "PACIOLAN_ORGANIZATION_ID",
  user_agent = "PACIOLAN_USER_AGENT", ca_file = "PACIOLAN_CA_FILE",
}

local auth_variables = {
  code = "PACIOLAN_AUTH_CODE", refresh_token = "PACIOLAN_REFRESH_TOKEN", access_token = "PACIOLAN_ACCESS_TOKEN",
}

-- An empty variable counts as not set.
local function read_variable(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- Reads the variables.
-- @tparam ?table overrides options that win over them
-- @treturn table the options of `paciolan.new`
-- @treturn ?string what `PACIOLAN_STORE` names, for `paciolan.store.open`; nil for nothing and for `memory`
-- @treturn[2] nil
-- @treturn[2] string which variables are needed and not set
function environment.read(overrides)
  local options = { auth = {} }
  for option, variable in pairs(variables) do
    options[option] = read_variable(variable)
  end
  for option, variable in pairs(auth_variables) do
    options.auth[option] = read_variable(variable)
  end
  options.user_agent = options.user_agent or "paciolan-lua/" .. core.version
  for option, value in pairs(overrides or {}) do
    options[option] = value
  end
  local missing = {}
  for _, option in ipairs { "base_url", "application_id", "api_key", "channel_code" } do
    if options[option] == nil then
      missing[#missing + 1] = variables[option]
    end
  end
  if #missing > 0 then
    return nil, "not set: " .. table.concat(missing, ", ")
  end
  local store = read_variable("PACIOLAN_STORE")
  return options, store ~= "memory" and store or nil
end

return environment
