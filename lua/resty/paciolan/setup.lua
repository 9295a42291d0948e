--- How a link and a receiver are made in nginx: the options are checked when it starts, and in each worker what they
-- describe is made by the first use. Ids, jitter and caches of two workers must not be copies of each other.
-- @module resty.paciolan.setup

-- luacheck: globals ngx

-- nginx refuses to start without it, but not every build of it says why.
assert(pcall(require, "resty.core"), "resty.paciolan needs lua-resty-core, which comes with the Lua module of nginx")

local check = require "paciolan.options"
local environment = require "paciolan.environment"
local memory = require "paciolan.store.memory"
local metrics = require "resty.paciolan.metrics"
local paciolan = require "paciolan"
local receiver = require "paciolan.receiver"

local setup = {}

local WHERE = "resty.paciolan.setup"
-- Errors of `setup` point at the configuration: `fail` is called by `prepare`, which `paciolan.setup` calls.
local CALLER = 4

-- What this Lua state was told, and what it has made.
local told = { options = nil, link = nil, receiver = nil, metrics = nil }

-- --- the options --------------------------------------------------------------------------------------------------

local function a_link(value)
  return value == "env" or type(value) == "table", '"env" or a table of the options of paciolan.new'
end

local known = {
  dict = { check.text },
  link = { a_link },
  receiver = { check.a_table },
  metrics = { check.a_boolean, default = true },
}

local function copy(options, changes)
  local result = {}
  for name, value in pairs(options) do
    result[name] = value
  end
  for name, value in pairs(changes) do
    result[name] = value
  end
  return result
end

-- Stands where a function will make one in the worker.
local no_transport = {
  send = function() return nil, { kind = "network", phase = "not_sent", message = "not made yet" } end,
  sleep = function() end,
  close = function() end,
}

local function store_for_trial(given)
  return (given == nil or type(given) == "function") and memory.new() or given
end

local function transport_for_trial(given)
  if type(given) == "function" then
    return no_transport
  elseif given ~= nil and not check.has_methods(given, { "send", "sleep", "close" }) then
    error("transport must be a transport with send, sleep and close, or a function that makes one", 0)
  end
  return given
end

local function trial(options)
  return copy(options, { store = store_for_trial(options.store), transport = transport_for_trial(options.transport) })
end

-- A file is not opened before its time: here it would belong to the user who starts nginx. The memory of one process is
-- none for all workers, so that the dict takes its place.
local function store_of_environment(named)
  if named == nil then
    return nil
  elseif not named:find("^sqlite:.") then
    local ok, opened = pcall(paciolan.store.open, named)
    if not ok then
      error("PACIOLAN_STORE: " .. tostring(opened):gsub("^[^:\n]*:%d+: ", ""), 0)
    end
    opened:close()
  end
  return function() return paciolan.store.open(named) end
end

-- Read while nginx starts, where all variables are seen; a worker has those only that nginx.conf names.
local function link_of_environment()
  local options, named = environment.read()
  if not options then
    error("link: " .. named, 0)
  end
  options.store = store_of_environment(named)
  return options
end

-- A server that only receives needs no link.
local function default_link(options)
  local base_url = os.getenv("PACIOLAN_BASE_URL")
  local is_named = base_url ~= nil and base_url ~= ""
  return (is_named or not options.receiver) and "env" or nil
end

-- Nothing that is made here opens anything, and it is dropped at once.
local function try_link(options)
  if options then
    paciolan.new(trial(options))
  end
end

local function uses_dict(options)
  local link, receives = options.link, options.receiver
  return options.metrics or (receives ~= nil and receives.store == nil) or (link ~= nil and link.store == nil)
end

local function check_dict(options)
  if not options.dict then
    if uses_dict(options) then
      error("dict must name a lua_shared_dict, for tokens, deliveries or metrics are to be kept there", 0)
    end
  elseif not ngx.shared[options.dict] then
    error(("dict: nginx.conf has no such dictionary; add lua_shared_dict %s 10m; to http"):format(
      options.dict:match("^[%w_]+$") or "NAME"), 0)
  end
end

local function fail(message)
  error(WHERE .. ": " .. tostring(message):gsub("^[^:\n]*:%d+: ", ""), CALLER)
end

local function read(given)
  local options = check.read(given, known, WHERE, 0)
  options.link = options.link or default_link(options)
  if options.link == "env" then
    options.link = link_of_environment()
  end
  check_dict(options)
  try_link(options.link)
  if options.receiver then
    receiver.new(trial(options.receiver))
  end
  return options
end

--- Checks the options, and keeps them for the workers.
-- @tparam table given see `resty.paciolan.setup`
-- @raise for whatever is wrong with them, at the line of the caller's caller
function setup.prepare(given)
  if ngx.get_phase() ~= "init" then
    fail("call it in init_by_lua_block, before nginx has workers")
  elseif told.options then
    fail("it was called before; one nginx has one link and one receiver")
  end
  local ok, options = pcall(read, given)
  if not ok then
    fail((tostring(options):gsub("^" .. WHERE:gsub("%.", "%%.") .. ": ", "")))
  end
  told.options = options
end

-- --- what a worker makes ------------------------------------------------------------------------------------------

local function options_for(name)
  if not told.options then
    error("resty.paciolan: call setup in init_by_lua_block first", 0)
  elseif ngx.get_phase() == "init" then
    error(("resty.paciolan: %s belongs to a worker; call it in a request, a timer or init_worker_by_lua"):format(name),
      0)
  end
  return told.options
end

local function made_by(maker, what)
  local made, err = maker()
  if made == nil then
    error(("resty.paciolan: the function for %s made none: %s"):format(what, tostring(err)), 0)
  end
  return made
end

local function store_of(options, dict)
  if options.store == nil then
    return paciolan.store.shdict(dict)
  end
  return type(options.store) == "function" and made_by(options.store, "the store") or options.store
end

local function transport_of(options)
  local given = options.transport
  return type(given) == "function" and made_by(given, "the transport") or given
end

local function counted(options)
  return options.metrics and setup.metrics() or nil
end

local function make_link(options)
  local counter, given = counted(options), options.link
  if not given then
    error("resty.paciolan: setup was given no link", 0)
  end
  return paciolan.new(copy(given, {
    store = store_of(given, options.dict), transport = transport_of(given),
    on_event = counter and counter:hook(given.on_event),
  }))
end

--- The link of this worker, made by the first call.
-- @treturn table
-- @raise before `prepare` and before there are workers
function setup.link()
  if not told.link then
    local link = make_link(options_for("link"))
    -- A maker may give way to another request, which then made one first.
    told.link = told.link or link
  end
  return told.link
end

--- The receiver of this worker, made by the first call.
-- @treturn table
-- @raise before `prepare`, without the option, and before there are workers
function setup.receiver()
  if not told.receiver then
    local options = options_for("receiver")
    local given, counter = options.receiver, counted(options)
    if not given then
      error("resty.paciolan: setup was given no receiver", 0)
    end
    local changes = { store = store_of(given, options.dict), transport = transport_of(given) }
    local made = counter and counter:receiver(copy(given, changes)) or paciolan.receiver(copy(given, changes))
    told.receiver = told.receiver or made
  end
  return told.receiver
end

--- The metrics.
-- @treturn table see resty.paciolan.metrics
-- @raise before `prepare`
function setup.metrics()
  local options = options_for("metrics")
  told.metrics = told.metrics or metrics.new(options.metrics and ngx.shared[options.dict] or nil)
  return told.metrics
end

return setup
