--- The client: settings, checked once, and the methods grouped by resource.
-- @module paciolan.client
local auth = require "paciolan.auth"
local bulk = require "paciolan.bulk"
local call = require "paciolan.call"
local check = require "paciolan.options"
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local memory = require "paciolan.store.memory"
local transport = require "paciolan.transport"

local client = {}

-- Errors of the caller point at the line that called the public function: from a check that the public function calls,
-- and from one level deeper. `paciolan.new` itself is a tail call and takes no level.
local CALLER, CALLER_OF_CALLER = 3, 4

-- --- settings ---------------------------------------------------------------------------------------------------

-- What transports take, and no longer than the core can sleep.
local LONGEST_MS = 24 * 60 * 60 * 1000

local function milliseconds(value)
  return type(value) == "number" and value >= 1 and value <= LONGEST_MS and value == math.floor(value),
    "a whole number of milliseconds from 1 to " .. ("%d"):format(LONGEST_MS)
end

local function count(value)
  return type(value) == "number" and value >= 0 and value == math.floor(value) and value < 100, "a whole number from 0"
end

local function header_text(value)
  return type(value) == "string" and core.is_header_value(value), "a string of printable ASCII that is not empty"
end

local function user_agent(value)
  return type(value) == "string" and core.is_user_agent(value), "Product/Version, such as MyApplication/1.0.0"
end

local function offset(value)
  return type(value) == "number" and math.abs(value) <= LONGEST_MS, "a number of milliseconds, at most a day"
end

local function a_readable_file(value)
  local file = type(value) == "string" and io.open(value, "rb")
  if file then
    file:close()
  end
  return file ~= nil and file ~= false, "the path of a file that can be read"
end

local function a_time(value)
  return type(value) == "string" and core.parse_time(value) ~= nil, "a time such as 2026-09-01T12:00:00Z"
end

-- Every setting: its check, whether it must be given, its default.
local settings = {
  base_url = { check.text, required = true },
  application_id = { header_text, required = true },
  api_key = { header_text, required = true },
  channel_code = { header_text, required = true },
  organization_id = { header_text },
  user_agent = { user_agent, required = true },
  auth = { check.a_table, required = true },
  store = { check.a_store },
  timeout_ms = { milliseconds, default = 30000 },
  connect_timeout_ms = { milliseconds, default = 5000 },
  deadline_ms = { milliseconds, default = 60000 },
  retries = { count, default = 2 },
  clock_skew_ms = { offset, default = 0 },
  shapes = { check.a_table, default = {} },
  operations = { check.a_table, default = {} },
  strict_request_id = { check.a_boolean, default = true },
  on_event = { check.a_function },
  ca_file = { a_readable_file },
  proxy = { check.text },
  transport = { check.a_table },
}

local auth_settings = {
  code = { check.text }, refresh_token = { check.text }, access_token = { header_text }, expiration = { a_time },
}

local methods_allowed = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true }

local function placeholders(path)
  local found = {}
  for name in path:gmatch("{(%w+)}") do
    found[#found + 1] = name
  end
  table.sort(found)
  return table.concat(found, ",")
end

-- Overrides of method and path (contract 7 rows 34 and 47): { ["tickets.verify"] = { method = "PUT" } }.
local function check_overrides(overrides, level)
  for name, override in pairs(overrides) do
    local operation = call.operations[name]
    if not operation then
      error("operations: there is no operation " .. errors.shown(name), level)
    elseif type(override) ~= "table" then
      error(("operations[%q] must be a table with method or path"):format(name), level)
    end
    for key in pairs(override) do
      if key ~= "method" and key ~= "path" then
        error(("operations[%q]: unknown key %s; known are method, path"):format(name, errors.shown(key)), level)
      end
    end
    if override.method ~= nil and not methods_allowed[override.method] then
      error(("operations[%q].method must be GET, POST, PUT, PATCH or DELETE"):format(name), level)
    elseif override.method == "GET" and operation.body then
      error(("operations[%q].method must not be GET, which has no body"):format(name), level)
    end
    local path = override.path
    if path ~= nil and not (type(path) == "string" and path:match("^/[%w%-%._~/{}:]*$")
        and placeholders(path) == placeholders(operation.path) and not path:gsub("{%w+}", ""):find("[{}]")) then
      error(("operations[%q].path must begin with / and hold the same {placeholders}"):format(name), level)
    end
  end
end

local function check_base_url(base_url, level)
  local ok, message = core.check_base_url(base_url)
  if not ok then
    error("paciolan.new: " .. message, level)
  end
  -- One spelling, for it is a part of the name of the token set in a store.
  return (base_url:gsub("/+$", ""):gsub("^%a+://[^/]*", string.lower))
end

-- The core names a wrong switch or choice itself.
local function check_shapes(shapes, level)
  local ok, message = pcall(core.check, "tickets.unlock", { tokens = { "x" } }, { shapes = shapes })
  if not ok then
    error("paciolan.new: " .. tostring(message):gsub("^.-:%d+: ", ""), level)
  end
end

local function open_transport(config)
  local ok, opened = pcall(transport.default, { ca_file = config.ca_file, proxy = config.proxy })
  if not ok then
    error("paciolan.new: " .. tostring(opened), CALLER)
  end
  return opened
end

-- --- options of one call ----------------------------------------------------------------------------------------

local call_options = {
  request_id = { check.text }, organization_id = { header_text }, timeout_ms = { milliseconds },
  deadline_ms = { milliseconds }, retries = { count }, headers = { check.a_table },
  distributor_code = { check.text }, version = { check.text },
}

local function check_headers(headers, where)
  for name, value in pairs(headers) do
    if type(name) ~= "string" or not core.is_header_name(name) then
      error(where .. ": headers must be keyed by header names", CALLER_OF_CALLER)
    elseif core.is_reserved_header(name) then
      error(("%s: the header %s is written by the library"):format(where, name), CALLER_OF_CALLER)
    elseif type(value) ~= "string" or not core.is_header_value(value) then
      error(("%s: the header %s must be printable ASCII and not empty"):format(where, name), CALLER_OF_CALLER)
    end
  end
end

local function takes_distributor(operation)
  local field = operation.query[1]
  return field ~= nil and field.option == "distributor_code"
end

local function check_call_options(config, name, options)
  if options == nil then
    return nil
  end
  local checked = check.read(options, call_options, "options of " .. name, CALLER_OF_CALLER)
  if checked.request_id and config.strict_request_id and not core.is_uuid_v4(checked.request_id) then
    error(name .. ": request_id must be a UUID of version 4 (strict_request_id = false lifts this)", CALLER)
  elseif checked.request_id and not core.is_header_value(checked.request_id) then
    error(name .. ": request_id must be printable ASCII", CALLER)
  elseif checked.distributor_code and not takes_distributor(call.operations[name]) then
    error(name .. " takes no distributor_code", CALLER)
  elseif checked.version then
    error(name .. " takes no version", CALLER)
  end
  check_headers(checked.headers or {}, name)
  return checked
end

-- A helper sends several requests, each with an id of its own.
local bulk_options = {
  limit = { function(value)
    return type(value) == "number" and value >= 1 and value <= 1000 and value == math.floor(value),
      "a whole number from 1 to 1000"
  end },
  organization_id = call_options.organization_id, timeout_ms = call_options.timeout_ms,
  deadline_ms = call_options.deadline_ms, retries = call_options.retries, headers = call_options.headers,
}

local function check_bulk_options(name, options)
  local checked = check.read(options or {}, bulk_options, "options of " .. name, CALLER_OF_CALLER)
  check_headers(checked.headers or {}, name)
  return checked
end

-- --- the methods ------------------------------------------------------------------------------------------------

-- Which operation a method runs. The two versions of initiate share one method.
local resources = {
  catalog = { events = "catalog.events" },
  listings = { get = "listings.get" },
  tickets = { lock = "tickets.lock", unlock = "tickets.unlock", verify = "tickets.verify", print = "tickets.print" },
  orders = { complete = "orders.complete", status = "orders.status" },
  transfers = {
    initiate = "transfers.initiate", pending = "transfers.pending", accept = "transfers.accept",
    cancel = "transfers.cancel", history = "transfers.history", complete = "transfers.complete",
    complete_status = "transfers.complete_status",
  },
}

local function check_self(self, mt, resource, method)
  if type(self) ~= "table" or getmetatable(self) ~= mt then
    error(("call link.%s:%s(...) with a colon"):format(resource, method), CALLER)
  elseif self._config.is_closed then
    error("the client is closed", CALLER)
  end
end

local function initiate_version(options)
  local version = options and options.version or "v2"
  if version ~= "v1" and version ~= "v2" then
    error("transfers.initiate: version must be \"v1\" or \"v2\"", CALLER)
  end
  local rest = {}
  for key, value in pairs(options or {}) do
    rest[key] = value
  end
  rest.version = nil
  return version == "v1" and "transfers.initiate_v1" or "transfers.initiate", rest
end

local function new_method(mt, resource, method, name)
  return function(self, payload, options)
    check_self(self, mt, resource, method)
    local operation = name
    if type(options) == "table" and name == "transfers.initiate" then
      operation, options = initiate_version(options)
    end
    local config = self._config
    return call.run(config, operation, payload, check_call_options(config, operation, options))
  end
end

local function new_resource(config, resource, methods)
  local mt = { __name = "paciolan." .. resource }
  local object = { _config = config }
  mt.__index = {}
  for method, name in pairs(methods) do
    mt.__index[method] = new_method(mt, resource, method, name)
  end
  function mt.__tostring()
    return "paciolan." .. resource
  end
  return setmetatable(object, mt)
end

local function new_bulk_method(mt, name)
  return function(self, payload, options)
    check_self(self, mt, "tickets", name)
    local result, err, response = bulk.run(self._config, name, payload, check_bulk_options(name, options))
    if result == nil then
      return nil, err
    end
    return result, nil, response
  end
end

local link_mt = { __name = "paciolan.client", __index = {} }

-- Shows where it goes and nothing else.
function link_mt.__tostring(link)
  return "paciolan.client (" .. (link._config.is_closed and "closed" or link._config.base_url) .. ")"
end

--- Closes the connections. The store stays open: it belongs to the caller, unless the client made it. A renewal of the
-- token set that another task of `paciolan.concurrent` has under way comes to its end first, if the link is closed in a
-- task too: cut off, it would cost the refresh token.
function link_mt.__index:close()
  if type(self) ~= "table" or getmetatable(self) ~= link_mt then
    error("call link:close() with a colon", 2)
  end
  local config = self._config
  if not config.is_closed then
    config.is_closed = true
    config.auth:finish()
    config.transport:close()
    if config.owns_store then
      config.store:close()
    end
  end
end

--- Workflows that survive a crash: sales, purchases and transfers, written down step by step in a store. See
-- `paciolan.workflow.flows` and docs/workflows.md.
-- @tparam table options `store`, `poll`, `settle_after_s`, `lease_s`, `keep_s`, `resume_within_s`, `delisting`,
-- `now_ms`
-- @treturn table
-- @raise for a missing, unknown or wrong option
function link_mt.__index:workflows(options)
  if type(self) ~= "table" or getmetatable(self) ~= link_mt then
    error("call link:workflows{ store = … } with a colon", 2)
  elseif self._config.is_closed then
    error("the client is closed", 2)
  end
  local made = require("paciolan.workflow.flows").new(self._config, self, options)
  return made
end

--- Makes a client.
-- @tparam table options see `paciolan.new`
-- @treturn table the client, here called `link`
-- @raise for a missing, unknown or wrong option
function client.new(options)
  local config = check.read(options, settings, "paciolan.new", CALLER)
  local seed = check.read(config.auth, auth_settings, "paciolan.new: auth", CALLER)
  config.base_url = check_base_url(config.base_url, CALLER)
  check_overrides(config.operations, CALLER)
  check_shapes(config.shapes, CALLER)
  config.owns_store = config.store == nil
  config.store = config.store or memory.new()
  config.transport = config.transport or open_transport(config)
  config.budget = call.new_budget()
  config.hooks = call.new_hooks()
  config.auth = auth.new(config, seed)
  local link = { _config = config, auth = config.auth }
  for resource, methods in pairs(resources) do
    link[resource] = new_resource(config, resource, methods)
  end
  local tickets_mt = getmetatable(link.tickets)
  for name in pairs(bulk.operations) do
    tickets_mt.__index[name] = new_bulk_method(tickets_mt, name)
  end
  return setmetatable(link, link_mt)
end

return client
