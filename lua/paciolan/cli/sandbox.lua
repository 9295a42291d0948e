--- `paciolan sandbox`: the local Link API in a terminal.
-- @module paciolan.cli.sandbox

local command = {}

local SHOWN_LISTINGS = 5

-- How long a child may wait before it looks again whether its parent is there.
local PARENT_WATCH_MS = 500

local function whole(option)
  return function(text)
    local number = tonumber(text)
    if not number or number ~= math.floor(number) or number < 0 then
      return nil, option .. " must be a whole number, 0 or more"
    end
    return number
  end
end

--- Declares the command.
-- @tparam Parser parser of argparse
function command.describe(parser)
  local sub = parser:command("sandbox", "Run a local Link API with a memory, to try things against.")
  local function number(name, argument, text)
    return sub:option(name, text):argname(argument):convert(whole(name))
  end
  number("--port", "<number>", "Port to listen on; 0 for any free one."):default("8480")
  sub:option("--host", "Numeric address to listen on."):argname("<address>"):default("127.0.0.1")
  sub:option("--seed", "Any text; the same seed gives the same world."):argname("<text>"):default("paciolan")
  number("--token-lifetime", "<seconds>", "Seconds until an access token expires."):default("3600")
  number("--refresh-token-lifetime", "<seconds>", "Seconds until a refresh token expires; 0: never."):default("0")
  number("--code-lifetime", "<seconds>", "Seconds until an authorization code expires; 0: never."):default("0")
  number("--pending-polls", "<number>", "How many polls of an order or transfer answer PENDING."):default("0")
  number("--extra-seats", "<number>", "Seats of one more event, to try large batches."):default("0")
  sub:option("--faults", "Random faults, such as 'reset=after@0.1, tickets.lock:status=503@0.2'."):argname("<plan>")
  number("--redelivery-ms", "<number>", "Milliseconds between a failed delivery of a message and the next attempt.")
    :default("20000")
  number("--redelivery-tries", "<number>", "How often a delivery is tried again."):default("3")
  sub:option("--subscribe", "Send all messages to this URL of this machine."):argname("<url>")
  sub:option("--subscribe-mode", "Their form: envelope, raw or direct."):argname("<mode>"):default("envelope")
  sub:option("--subscribe-auth-file", "File with user:password for that URL, in one line."):argname("<path>")
  number("--sns-port", "<number>", "Port of the TLS listener that stands for Amazon SNS; by default it opens when it "
    .. "is needed, on any free one.")
  sub:option("--sns-key-dir", "Folder that keeps the keys that sign envelopes."):argname("<path>")
  sub:option("--delivery-ca-file", "PEM file of roots for https receivers."):argname("<path>")
  sub:option("--ready-file", "Write the base URL to this file once the port is open."):argname("<path>")
  sub:flag("-q --quiet", "Do not print one line per request.")
  -- For programs that start a sandbox of their own: it ends when that process is not its parent any more.
  number("--parent-pid", "<pid>", "End when the parent is not this process any more."):hidden(true)
end

-- An address that stands for all of this machine's is no address to call: clients of this machine use the loopback one.
local function reachable(host)
  if host == "0.0.0.0" then
    return "127.0.0.1"
  end
  return host:find("^[0:]*::[0:]*$") and "::1" or host
end

local function base_url(sandbox, host)
  host = reachable(host)
  return string.format(host:find(":", 1, true) and "http://[%s]:%d" or "http://%s:%d", host, sandbox:port())
end

local function quote(value)
  return "'" .. value:gsub("'", "'\\''") .. "'"
end

-- Lines that a shell can take over with eval or by copying.
local function exports(sandbox, url)
  local credentials = sandbox:credentials()
  local rows = {
    { "PACIOLAN_BASE_URL", url },
    { "PACIOLAN_APPLICATION_ID", credentials.application_id },
    { "PACIOLAN_API_KEY", credentials.api_key },
    { "PACIOLAN_CHANNEL_CODE", credentials.channel_code },
    { "PACIOLAN_ORGANIZATION_ID", credentials.organization_id },
    { "PACIOLAN_USER_AGENT", credentials.user_agent },
    { "PACIOLAN_AUTH_CODE", sandbox.tokens.codes[1] },
  }
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = "  export " .. row[1] .. "=" .. quote(row[2])
  end
  return table.concat(lines, "\n")
end

local function listings(sandbox)
  local lines = {}
  for i = 1, SHOWN_LISTINGS do
    local listing = sandbox.inventory.listings[i]
    lines[i] = string.format("  %s   %d seats, first at %s", listing.id, #listing.seats, listing.seats[1].access_id)
  end
  return table.concat(lines, "\n")
end

-- A word of warning for a sandbox that other machines can reach.
local function exposure(host)
  if host == "localhost" or host == "::1" or host:find("^127%.") then
    return ""
  end
  local where = reachable(host) == host and host or "every address of this machine (" .. host .. ")"
  return "It is open on " .. where .. ", and /_sandbox/ asks nobody for a password.\n"
end

local function start_text(sandbox, host)
  local url, program = base_url(sandbox, host), require("paciolan.cli.terminal").program()
  return string.format([[
The sandbox listens on %s   (seed %q, stop with Ctrl-C)
%s
Credentials, ready for a shell. The authorization code works once; for another:
  curl -X POST %s/_sandbox/tokens/code

%s

MyAccount listings to try:
%s
  … and %d more: curl %s/_sandbox/world

Messages, as the service pushes them; each line in a terminal of its own:
  %s listen --sandbox %s
  %s trigger seats.unlock --url %s

]], url, sandbox.seed, exposure(host), url, exports(sandbox, url), listings(sandbox),
    #sandbox.inventory.listings - SHOWN_LISTINGS, url, program, url, program, url)
end

-- Paths come from clients: nothing that could steer a terminal is printed.
local function access_line(entry)
  local path = entry.path:gsub("[^%w%-%._~!$&'()*+,;=:@/%%]", "?"):sub(1, 120)
  local request_id = (entry.request_id or "-"):gsub("[^%w%-]", "?"):sub(1, 36)
  return string.format("%s  %s  %-6s %s  %s%s\n", os.date("%H:%M:%S"),
    entry.status and string.format("%d", entry.status) or "---", entry.method:sub(1, 8), path, request_id,
    entry.fault and "  fault " .. entry.fault or "")
end

local function write_ready_file(path, url)
  local file, message = io.open(path, "w")
  if not file then
    return nil, message
  end
  local written, problem = file:write(url, "\n")
  local closed, late_problem = file:close()
  return written and closed, problem or late_problem
end

local function new_sandbox(arguments, streams)
  return require("paciolan.sandbox").new {
    seed = arguments.seed, host = arguments.host, port = arguments.port,
    token_lifetime_s = arguments.token_lifetime, refresh_token_lifetime_s = arguments.refresh_token_lifetime,
    code_lifetime_s = arguments.code_lifetime, pending_polls = arguments.pending_polls, stop_on_signals = true,
    extra_seats = arguments.extra_seats, faults = arguments.faults,
    redelivery_ms = arguments.redelivery_ms, redelivery_tries = arguments.redelivery_tries,
    sns_port = arguments.sns_port, sns_key_dir = arguments.sns_key_dir, delivery_ca_file = arguments.delivery_ca_file,
    on_request = not arguments.quiet and function(entry)
      streams.out:write(access_line(entry))
      streams.out:flush()
    end or nil,
    on_error = function(message)
      streams.err:write("paciolan sandbox: fault: ", require("paciolan.core").redact_text(message), "\n")
    end,
  }
end

local function fail(streams, message)
  streams.err:write("paciolan sandbox: ", message, "\n")
  return 1
end

local OPTION_OF = { port = "--port", host = "--host", token_lifetime_s = "--token-lifetime",
  refresh_token_lifetime_s = "--refresh-token-lifetime", code_lifetime_s = "--code-lifetime",
  pending_polls = "--pending-polls", extra_seats = "--extra-seats", faults = "--faults",
  redelivery_ms = "--redelivery-ms", redelivery_tries = "--redelivery-tries", sns_port = "--sns-port",
  sns_key_dir = "--sns-key-dir", delivery_ca_file = "--delivery-ca-file" }

-- What the sandbox raises is a value that it cannot use. Its names for options become those of the command line.
local function refuse(streams, raised)
  local message = tostring(raised):gsub("^[^:]+:%d+: ", ""):gsub("^[%w_]+", OPTION_OF)
  fail(streams, message .. "\nTry: paciolan sandbox --help")
  return 2
end

-- Returns user and password of the first line of a file, or nil and what is wrong.
local function read_auth_file(path)
  local file, problem = io.open(path, "r")
  if not file then
    return nil, "cannot read it: " .. problem:gsub("^.*: ", "")
  end
  local user, password = (file:read("*l") or ""):match("^([^:]+):(.*)$")
  file:close()
  if not user then
    return nil, "its first line must be user:password"
  end
  return user, password
end

-- Returns true, or nil and the exit code.
local function subscribe(sandbox, arguments, streams)
  local user, password
  if arguments.subscribe_auth_file then
    user, password = read_auth_file(arguments.subscribe_auth_file)
    if not user then
      return nil, fail(streams, "--subscribe-auth-file: " .. password)
    end
  end
  for _, topic in ipairs(arguments.subscribe and { "events", "seats" } or {}) do
    local ok, rule = sandbox.publisher:subscribe { url = arguments.subscribe, topic = topic,
      mode = arguments.subscribe_mode, user = user, password = password }
    if not ok then
      fail(streams, "--subscribe: " .. rule)
      return nil, 2
    end
  end
  return true
end

-- Returns the sandbox, or nil and the exit code.
local function open(arguments, streams)
  local made, sandbox = pcall(new_sandbox, arguments, streams)
  if not made then
    return nil, refuse(streams, sandbox)
  end
  local no_misuse, ok, message = pcall(sandbox.listen, sandbox)
  if not no_misuse then
    return nil, refuse(streams, ok)
  elseif not ok then
    return nil, fail(streams, string.format("cannot listen on %s with --port %d: %s", arguments.host, arguments.port,
      message))
  end
  return sandbox
end

local function is_orphan(parent_pid)
  return parent_pid and require("paciolan.httpd").parent_pid() ~= parent_pid
end

local function serve(sandbox, parent_pid)
  repeat
    local _, why = sandbox:step(PARENT_WATCH_MS)
  until why == "stopped" or is_orphan(parent_pid)
  sandbox:close()
end

--- Runs the sandbox until SIGINT or SIGTERM.
-- @tparam table arguments as declared
-- @tparam table streams `out` and `err`
-- @treturn number exit code: 0 ended by a signal, 1 could not start, 2 wrong usage
function command.run(arguments, streams)
  local has_server, message = pcall(require, "paciolan.httpd")
  if not has_server then
    return fail(streams, "no local server in this copy of paciolan; it is built where libmicrohttpd and zlib are: "
      .. message:match("^[^\n]*"))
  end
  local sandbox, code = open(arguments, streams)
  if not sandbox then
    return code
  end
  local is_subscribed
  is_subscribed, code = subscribe(sandbox, arguments, streams)
  if not is_subscribed then
    sandbox:close()
    return code
  end
  if arguments.ready_file then
    local ok, problem = write_ready_file(arguments.ready_file, base_url(sandbox, arguments.host))
    if not ok then
      sandbox:close()
      return fail(streams, "--ready-file: " .. problem)
    end
  end
  streams.out:write(start_text(sandbox, arguments.host))
  streams.out:flush()
  serve(sandbox, arguments.parent_pid)
  return 0
end

return command
