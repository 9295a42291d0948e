--- What the words of `paciolan listen` and its environment mean: the credentials, the store, the handlers, the
-- certificates. Whatever is wrong raises a refusal before a port is opened.
-- @module paciolan.cli.listen.settings
local refusal = require "paciolan.cli.listen.refusal"
local terminal = require "paciolan.cli.terminal"

local settings = {}

local misuse = refusal.misuse

-- An empty variable counts as not set.
local function variable(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- The text of a file that an option names.
-- @tparam string path
-- @tparam string option
-- @treturn string
function settings.read_file(path, option)
  local file, problem = io.open(path, "rb")
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  if not text then
    misuse("%s: cannot read it: %s", option, problem and problem:gsub("^.*: ", "") or "it is no file")
  end
  return text
end

--- Is the address one that only this machine reaches?
-- @tparam string host
-- @treturn boolean
function settings.is_loopback(host)
  return host == "localhost" or host == "::1" or host:find("^127%.%d+%.%d+%.%d+$") ~= nil
end

-- --- credentials ----------------------------------------------------------------------------------------------------

local function pair_of(line, place)
  local user, password = line:match("^([^:]+):(.+)$")
  if not user then
    misuse("%s must be user:password", place)
  end
  return { user = user, password = password }
end

local function read_user_file(path, warn)
  local found = {}
  for line in settings.read_file(path, "--user-file"):gmatch("[^\r\n]+") do
    found[#found + 1] = pair_of(line, ("--user-file: line %d"):format(#found + 1))
  end
  if #found < 1 or #found > 2 then
    misuse("--user-file must hold one line, or two while the password is changed")
  end
  local mode = terminal.mode_of(path)
  if mode and mode:sub(-2) ~= "00" then
    warn(("--user-file: others may read or write it (mode %s); 600 is enough"):format(mode))
  end
  return found
end

--- The Basic credentials: those of the file, or of the environment.
-- @tparam table arguments
-- @tparam function warn takes a line for people
-- @treturn ?table list of `{ user =, password = }`
function settings.credentials(arguments, warn)
  if arguments.user_file then
    return read_user_file(arguments.user_file, warn)
  end
  local user, password = variable("PACIOLAN_LISTEN_USER"), variable("PACIOLAN_LISTEN_PASSWORD")
  if (user == nil) ~= (password == nil) then
    misuse("PACIOLAN_LISTEN_USER and PACIOLAN_LISTEN_PASSWORD belong together")
  end
  return user and { { user = user, password = password } }
end

-- Nothing secret on the command line, so a path that is its own password comes from the environment.
local function callback_of(arguments, basic)
  local secret = variable("PACIOLAN_LISTEN_CALLBACK_PATH")
  if arguments.callback_path and not basic then
    misuse("--callback-path is for callbacks with the credentials of --user-file, which are missing. A path that is a"
      .. " secret itself belongs into PACIOLAN_LISTEN_CALLBACK_PATH, for the list of processes shows this one to all")
  elseif arguments.callback_path then
    return { path = arguments.callback_path, basic_auth = basic }
  end
  return secret and { path = secret }
end

-- --- the store ------------------------------------------------------------------------------------------------------

-- A call of the store stops the whole server, and SNS waits 15 s for an answer. It tries again when this is not enough.
local BUSY_TIMEOUT_MS = 2000

local function open_named(text)
  local stores, path = require("paciolan").store, text:match("^sqlite:(.+)$")
  if path then
    return stores.sqlite { path = path, busy_timeout_ms = BUSY_TIMEOUT_MS }
  end
  return stores.open(text)
end

local function holds_password(text)
  return text:find("^[^/]*//[^@]*:[^@]*@") ~= nil or text:find("[?&]password=") ~= nil
end

--- Opens the store.
-- @tparam table arguments
-- @treturn table
-- @treturn boolean whether it outlives this process
function settings.open_store(arguments)
  local text = arguments.store or variable("PACIOLAN_STORE") or "memory"
  if arguments.store and holds_password(text) then
    misuse("--store holds a password, which the list of processes shows to every user of this machine; set"
      .. " PACIOLAN_STORE instead")
  end
  local ok, store = pcall(open_named, text)
  if not ok then
    misuse("--store: %s", refusal.text_of(store))
  end
  local _, err = store:get("paciolan/listen")
  if err then
    store:close()
    refusal.failure("the store cannot be used: %s", tostring(err))
  end
  return store, text ~= "memory"
end

-- --- the handlers ---------------------------------------------------------------------------------------------------

local HANDLERS = { on_event = true, on_seat = true, on_message = true, on_callback = true, every_minute = true }

local function check_handlers(handlers)
  if type(handlers) ~= "table" then
    misuse("--handler: the file must return a table of functions, not %s", type(handlers))
  end
  for name, handler in pairs(handlers) do
    if not HANDLERS[name] then
      misuse("--handler: %s is not known; known are on_event, on_seat, on_message, on_callback and every_minute",
        require("paciolan.errors").shown(name))
    elseif type(handler) ~= "function" then
      misuse("--handler: %s must be a function", name)
    end
  end
  if not (handlers.on_event or handlers.on_seat or handlers.on_message) then
    misuse("--handler: the table must hold at least one of on_event, on_seat and on_message")
  end
end

--- Runs the file of the handlers.
-- @tparam string path
-- @tparam table store which the file gets as its argument
-- @treturn table the functions
function settings.load_handlers(path, store)
  local chunk, problem = loadfile(path)
  if not chunk then
    misuse("--handler: %s", problem)
  end
  local ok, handlers = pcall(chunk, store)
  if not ok then
    misuse("--handler: %s", tostring(handlers))
  end
  check_handlers(handlers)
  return handlers
end

-- --- TLS and Amazon -------------------------------------------------------------------------------------------------

--- Certificate and key of the server, as text.
-- @tparam table arguments
-- @tparam function warn takes a line for people
-- @treturn ?table `{ certificate =, key = }`
function settings.tls(arguments, warn)
  if (arguments.tls_certificate == nil) ~= (arguments.tls_key == nil) then
    misuse("--tls-certificate and --tls-key belong together")
  elseif not arguments.tls_certificate then
    return nil
  end
  local mode = terminal.mode_of(arguments.tls_key)
  if mode and mode:sub(-1) ~= "0" then
    warn(("--tls-key: everybody may read it (mode %s); 600 is enough"):format(mode))
  end
  return { certificate = settings.read_file(arguments.tls_certificate, "--tls-certificate"),
    key = settings.read_file(arguments.tls_key, "--tls-key") }
end

local function read_connect_to(list)
  local places = {}
  for _, text in ipairs(list) do
    local host, place = text:match("^([%w.-]+:%d+)=(.+:%d+)$")
    if not host then
      misuse("--connect-to must be HOST:PORT=ADDRESS:PORT")
    end
    places[host] = place
  end
  return next(places) and places
end

-- The transport reads the file when Amazon is first asked, which is long after the start.
local function check_ca_file(path)
  local text = settings.read_file(path, "--ca-file")
  if not require("paciolan.core").sns.trust(text) then
    misuse("--ca-file must hold certificates in PEM, and nothing else")
  end
  return path
end

local function topics_of(arguments)
  local topics = {}
  if arguments.sandbox and arguments.mode == "direct" then
    return nil
  end
  for i, arn in ipairs(arguments.topic) do
    topics[i] = { arn = arn, min_version = arguments.min_version }
  end
  return #topics > 0 and topics or nil
end

local function check_exposure(arguments, tls)
  if not (settings.is_loopback(arguments.host) or tls or arguments.behind_proxy) then
    misuse("--host %s is open to others, and without --tls-certificate and --tls-key everything, passwords too, could"
      .. " be read on the way. --behind-proxy says that a proxy in front of it has TLS, and that others cannot reach"
      .. " this port", arguments.host)
  end
end

local function check_mode(arguments, basic)
  if arguments.mode == "envelope" and #arguments.topic == 0 then
    misuse("mode envelope needs --topic, the ARN of each topic to believe; for a sandbox --sandbox brings them")
  elseif arguments.mode ~= "envelope" and not basic then
    misuse("mode %s needs credentials, for nothing else protects such messages: --user-file, or PACIOLAN_LISTEN_USER"
      .. " and PACIOLAN_LISTEN_PASSWORD", arguments.mode)
  end
end

--- The options of the receiver, but for store and handlers; those of the server.
-- @tparam table arguments as declared
-- @tparam function warn takes a line for people
-- @treturn table
-- @treturn ?table `tls`
function settings.read(arguments, warn)
  local basic, tls = settings.credentials(arguments, warn), settings.tls(arguments, warn)
  check_exposure(arguments, tls)
  check_mode(arguments, basic)
  local is_envelope = arguments.mode == "envelope"
  return {
    mode = arguments.mode, topics = topics_of(arguments), basic_auth = basic, path = arguments.path,
    callback = callback_of(arguments, basic), silence_s = arguments.silence,
    confirm_subscriptions = is_envelope and arguments.confirm or nil,
    roots = is_envelope and arguments.roots and settings.read_file(arguments.roots, "--roots") or nil,
    intermediates = is_envelope and arguments.intermediates
      and settings.read_file(arguments.intermediates, "--intermediates") or nil,
    ca_file = is_envelope and arguments.ca_file and check_ca_file(arguments.ca_file) or nil,
    connect_to = is_envelope and read_connect_to(arguments.connect_to) or nil,
  }, tls
end

return settings
