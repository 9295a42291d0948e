--- `paciolan login`: exchanges an authorization code, and keeps the pair where the programs of an installation find it.
--
-- The code comes from a file, the environment or a prompt, and never from the command line, which every user of the
-- machine can read. It works once, so all that can go wrong here is looked for before it is sent: the settings, the
-- store, and whether that can be written.
-- @module paciolan.cli.login

local terminal = require "paciolan.cli.terminal"

local command = {}

local DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

-- More than a pair of tokens and what goes with it take, so that a store that is nearly full shows it.
local PROBE_KEY, PROBE, PROBES = "paciolan/login/", ("x"):rep(4096), 16
local PROBE_TTL_S = 60
-- How long a pair that could not be stored is tried again.
local STORE_TRIES, STORE_PAUSE_MS = 60, 1000

--- Declares the command.
-- @tparam Parser parser of argparse
function command.describe(parser)
  local sub = parser:command("login", "Exchange an authorization code, and keep the tokens in a store.")
  sub:option("--store", "sqlite:PATH or redis://HOST; by default what PACIOLAN_STORE says."):argname("<store>")
  sub:option("--code-file", "Read the code from the first line of this file."):argname("<path>")
  sub:flag("--json", "Print the result for programs.")
  sub:epilog([[
The code is the first of: the file of --code-file, PACIOLAN_AUTH_CODE, the answer
to a prompt, or the first line of standard input when that is no terminal. The
other settings are those of a client: PACIOLAN_BASE_URL, PACIOLAN_APPLICATION_ID,
PACIOLAN_API_KEY, PACIOLAN_CHANNEL_CODE and those that docs/guide.md lists.

Exit code: 0 done, 1 could not be done, 2 wrong usage or a setting is missing.]])
end

local function tell(streams, message)
  streams.err:write("paciolan login: ", message, "\n")
end

local function fail(streams, message, code)
  tell(streams, message)
  return nil, code or FAILED
end

local function misuse(streams, message)
  return fail(streams, message .. "\nTry: paciolan login --help", WRONG_USE)
end

-- What the library raises is a setting that it cannot use.
local function raised(streams, message)
  return misuse(streams, (tostring(message):gsub("^[^\n]-:%d+: ", ""):gsub("^paciolan%.[%w_]+: ", "")))
end

-- --- the store --------------------------------------------------------------------------------------------------

-- An empty variable counts as not set.
local function read_variable(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local function holds_password(text)
  return text:find("^[^/]*//[^@]*:[^@]*@") ~= nil or text:find("[?&]password=") ~= nil
end

local function choose_store(arguments, streams)
  local text = arguments.store or read_variable("PACIOLAN_STORE")
  if text == nil or text == "memory" then
    return misuse(streams, "nothing would be kept: --store or PACIOLAN_STORE must name a store that outlives this"
      .. " program, such as sqlite:tokens.db")
  elseif arguments.store and holds_password(text) then
    return misuse(streams, "--store holds a password, which the list of processes shows to every user of this machine;"
      .. " set PACIOLAN_STORE instead")
  end
  return text
end

local function open_store(text, streams)
  local ok, store = pcall(require("paciolan").store.open, text)
  if not ok then
    return raised(streams, store)
  end
  local _, err = store:get(PROBE_KEY)
  if err then
    store:close()
    return fail(streams, "the store cannot be used, so the code was not sent: " .. tostring(err))
  end
  return store
end

-- The place as it may be shown: without user, password and query.
local function place_of(text)
  local path = text:match("^sqlite:(.*)$")
  if path then
    return path
  end
  local scheme, rest = text:match("^(%a[%w+.-]*)://([^?#]*)")
  local host = rest and rest:match("@([^@]*)$") or not text:find("@", 1, true) and rest
  return host and host:find("^[%w%.%-_:/%[%]]+$") and scheme .. "://" .. host or (scheme or "the store")
end

local function exists(path)
  local file = io.open(path, "rb")
  return file ~= nil and file:close()
end

-- Narrows the file of a store, and the two that SQLite keeps beside it.
local function make_private(text, streams)
  local path = text:match("^sqlite:(.*)$")
  for _, suffix in ipairs(path and { "", "-wal", "-shm" } or {}) do
    local name = path .. suffix
    local ok, was = true, nil
    if suffix == "" or exists(name) then
      ok, was = terminal.make_private(name)
    end
    if not ok then
      return fail(streams, name .. " is not for its owner only, and cannot be made so; the code was not sent. Log in as"
        .. " the user of the programs, or run chmod 600 on it")
    elseif was then
      tell(streams, ("%s was open to others (mode %s); it has mode 600 now"):format(name, was))
    end
  end
  return true
end

local function probe(store, key)
  for i = 1, PROBES do
    local ok, err = store:put(key .. i, PROBE, { ttl_s = PROBE_TTL_S, durable = true })
    if not ok then
      return nil, err
    end
  end
  for i = 1, PROBES do
    local ok, err = store:remove(key .. i)
    if not ok then
      return nil, err
    end
  end
  return true
end

-- A pair that cannot be stored is lost with its code, so the store is written to before.
local function try_store(store, streams)
  local ok, err = probe(store, PROBE_KEY .. require("paciolan.core").request_id() .. "/")
  if not ok then
    return fail(streams, ("the store cannot be written, so the code was not sent: %s"):format(
      err and tostring(err) or "what was written is gone"))
  end
  return true
end

-- --- the code ---------------------------------------------------------------------------------------------------

local function trim(line)
  return line and line:match("^%s*(.-)%s*$") or ""
end

local function read_code_file(path, streams)
  local file, message = io.open(path, "r")
  local line = file and file:read("*l")
  if file then
    file:close()
  end
  if not line then
    return fail(streams, "--code-file: " .. (message or "there is no line in it"), WRONG_USE)
  end
  local mode = terminal.mode_of(path)
  if mode and mode:sub(-2) ~= "00" then
    tell(streams, ("--code-file: others may read or write it (mode %s); 600 is enough"):format(mode))
  end
  return trim(line)
end

-- Returns the code, or nil when it was interrupted.
local function ask(arguments, streams)
  if arguments.code_file then
    return read_code_file(arguments.code_file, streams)
  elseif read_variable("PACIOLAN_AUTH_CODE") then
    return trim(read_variable("PACIOLAN_AUTH_CODE"))
  elseif not terminal.is_input() then
    return trim(io.stdin:read("*l"))
  end
  local line = terminal.ask_hidden("Authorization code: ")
  if not line then
    return fail(streams, "interrupted; nothing was sent", INTERRUPTED)
  end
  return trim(line)
end

local function read_code(arguments, streams)
  local code, exit_code = ask(arguments, streams)
  if code == "" then
    return fail(streams, "no authorization code: give it in PACIOLAN_AUTH_CODE, in a file or at the prompt", WRONG_USE)
  end
  return code, exit_code
end

-- --- the exchange -----------------------------------------------------------------------------------------------

-- Where the code came from: nobody thinks of a variable that was set long ago.
local function shown_source(arguments)
  if arguments.code_file then
    return "the authorization code in the file of --code-file", ""
  elseif read_variable("PACIOLAN_AUTH_CODE") then
    return "the authorization code in PACIOLAN_AUTH_CODE", "; unset it to be asked for one"
  end
  return "the authorization code", ""
end

-- What went wrong, and what became of the code.
local function explain(err, arguments, streams)
  local code, hint = shown_source(arguments)
  local is_refused = require("paciolan.auth.grant").is_refusal(err)
  if is_refused then
    tell(streams, code .. " was refused; each works once; a new one is needed" .. hint)
  elseif err.kind == "auth" and not err.status then
    tell(streams, code .. " was sent before; each works once; a new one is needed" .. hint)
  end
  tell(streams, tostring(err))
  if err.outcome == "not_sent" then
    tell(streams, "the code was not sent, and still works")
  elseif err.outcome == "rejected" and not is_refused then
    tell(streams, "the code was not looked at, and still works; check PACIOLAN_BASE_URL, PACIOLAN_APPLICATION_ID and"
      .. " PACIOLAN_API_KEY")
  elseif err.kind == "store" then
    tell(streams, "the tokens could not be stored and are lost; the code is spent, a new one is needed")
  end
  return nil, FAILED
end

-- The service gave the pair, and the store does not take it: the code is spent, so this is not given up at once.
local function store_late(link, err, streams)
  tell(streams, tostring(err))
  tell(streams, ("the tokens are here and cannot be stored: put that right now, it is tried again for %d s"):format(
    STORE_TRIES * STORE_PAUSE_MS / 1000))
  local set
  for _ = 1, STORE_TRIES do
    require("paciolan.core").sleep(STORE_PAUSE_MS)
    set, err = link.auth:token()
    if set or err.kind ~= "store" then
      break
    end
  end
  return set, err
end

-- The service's own text may hold what steers a terminal: the time is shown in a form of ours.
local function shown_time(expiration)
  local at_ms = expiration and require("paciolan.core").parse_time(expiration)
  return at_ms and os.date("!%Y-%m-%d %H:%M:%S UTC", math.floor(at_ms / 1000))
end

local function report(set, text, arguments, streams)
  local has_refresh_token = set.refreshToken ~= nil
  if arguments.json then
    local json = require "paciolan.json"
    streams.out:write(('{"stored":true,"expiration":%s,"has_refresh_token":%s}\n'):format(
      json.encode(set.expiration or json.null), tostring(has_refresh_token)))
    return DONE
  end
  local time = shown_time(set.expiration)
  streams.out:write("The tokens are stored in ", place_of(text), ".\n",
    time and "The access token is valid until " .. time .. ".\n"
      or "The service did not say how long the access token is valid.\n",
    has_refresh_token and "A refresh token came with it, so programs that use this store renew it themselves.\n"
      or "No refresh token came with it: after that time a new authorization code is needed.\n")
  return DONE
end

-- Returns nil and an exit code as soon as something is wrong.
local function exchange(link, store, text, arguments, streams)
  local ok, exit_code = make_private(text, streams)
  if ok then
    ok, exit_code = try_store(store, streams)
  end
  local code
  if ok then
    code, exit_code = read_code(arguments, streams)
  end
  if not code then
    return nil, exit_code
  end
  local set, err = link.auth:exchange(code)
  if not set and err.kind == "store" and err.outcome ~= "not_sent" then
    set, err = store_late(link, err, streams)
  end
  if not set then
    return explain(err, arguments, streams)
  end
  return set
end

-- Runs a function and closes what it used, also when it raises.
local function closing(object, run, ...)
  local results = { pcall(run, object, ...) }
  object:close()
  if not results[1] then
    error(results[2], 0)
  end
  return results[2], results[3]
end

local function log_in(store, text, arguments, streams)
  local link = require("paciolan").from_env { store = store, auth = {} }
  local set, exit_code = closing(link, exchange, store, text, arguments, streams)
  if not set then
    return nil, exit_code
  end
  return report(set, text, arguments, streams)
end

-- Before a store is opened, which makes its file.
local function check_settings(streams)
  local paciolan = require "paciolan"
  local ok, link = pcall(paciolan.from_env, { store = paciolan.store.memory(), auth = {} })
  if not ok then
    return raised(streams, link)
  end
  link:close()
  return true
end

--- Exchanges a code and stores the pair.
-- @tparam table arguments as declared
-- @tparam table streams `out` and `err`
-- @treturn number exit code: 0 done, 1 could not be done, 2 wrong usage or a setting is missing, 130 interrupted
function command.run(arguments, streams)
  local text, exit_code = choose_store(arguments, streams)
  local ok, store = nil, nil
  if text then
    ok, exit_code = check_settings(streams)
  end
  if ok then
    store, exit_code = open_store(text, streams)
  end
  if not store then
    return exit_code
  end
  local done, failure = closing(store, log_in, text, arguments, streams)
  return done or failure
end

return command
