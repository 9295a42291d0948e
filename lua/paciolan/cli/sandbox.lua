--- `paciolan sandbox`: the local Link API in a terminal.
-- @module paciolan.cli.sandbox

local command = {}

local SHOWN_LISTINGS = 5

local function whole(text)
  local number = tonumber(text)
  if not number or number ~= math.floor(number) or number < 0 then
    return nil, "must be a whole number, 0 or more: " .. text
  end
  return number
end

--- Declares the command.
-- @tparam Parser parser of argparse
function command.describe(parser)
  local sub = parser:command("sandbox", "Run a local Link API with a memory, to try things against.")
  sub:option("--port", "Port to listen on; 0 for any free one."):default("8480"):convert(whole)
  sub:option("--host", "Numeric address to listen on."):default("127.0.0.1")
  sub:option("--seed", "Any text; the same seed gives the same world."):default("paciolan")
  sub:option("--token-lifetime", "Seconds until an access token expires."):default("3600"):convert(whole)
  sub:option("--pending-polls", "How many polls of an order or transfer answer PENDING."):default("0"):convert(whole)
  sub:option("--ready-file", "Write the base URL to this file once the port is open.")
  sub:flag("-q --quiet", "Do not print one line per request.")
end

local function quote(value)
  return "'" .. value:gsub("'", "'\\''") .. "'"
end

-- Lines that a shell can take over with eval or by copying.
local function exports(sandbox)
  local credentials = sandbox:credentials()
  local rows = {
    { "PACIOLAN_BASE_URL", sandbox:base_url() },
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

local function start_text(sandbox)
  return string.format([[
The sandbox listens on %s   (seed %q, stop with Ctrl-C)

Credentials, ready for a shell. The authorization code works once; for another:
  curl -X POST %s/_sandbox/tokens/code

%s

MyAccount listings to try:
%s
  … and %d more: curl %s/_sandbox/world

]], sandbox:base_url(), sandbox.seed, sandbox:base_url(), exports(sandbox), listings(sandbox),
    #sandbox.inventory.listings - SHOWN_LISTINGS, sandbox:base_url())
end

-- Paths come from clients: nothing that could steer a terminal is printed.
local function access_line(entry)
  local path = entry.path:gsub("[^%w%-%._~!$&'()*+,;=:@/%%]", "?"):sub(1, 120)
  local request_id = (entry.request_id or "-"):gsub("[^%w%-]", "?"):sub(1, 36)
  return string.format("%s  %d  %-6s %s  %s\n", os.date("%H:%M:%S"), entry.status, entry.method:sub(1, 8), path,
    request_id)
end

local function write_ready_file(path, base_url)
  local file, message = io.open(path, "w")
  if not file then
    return nil, message
  end
  file:write(base_url, "\n")
  return file:close()
end

local function new_sandbox(arguments, streams)
  return require("paciolan.sandbox").new {
    seed = arguments.seed, host = arguments.host, port = arguments.port,
    token_lifetime_s = arguments.token_lifetime, pending_polls = arguments.pending_polls, stop_on_signals = true,
    on_request = not arguments.quiet and function(entry)
      streams.out:write(access_line(entry))
      streams.out:flush()
    end or nil,
    on_error = function(message)
      streams.err:write("paciolan sandbox: fault: ", message, "\n")
    end,
  }
end

local function fail(streams, message)
  streams.err:write("paciolan sandbox: ", message, "\n")
  return 1
end

--- Runs the sandbox until SIGINT or SIGTERM.
-- @tparam table arguments as declared
-- @tparam table streams `out` and `err`
-- @treturn number exit code
function command.run(arguments, streams)
  local made, sandbox = pcall(new_sandbox, arguments, streams)
  if not made then
    return fail(streams, (tostring(sandbox):gsub("^[^:]+:%d+: ", "")))
  end
  local opened, ok, message = pcall(sandbox.listen, sandbox)
  if not opened or not ok then
    return fail(streams, opened and message or (tostring(ok):gsub("^[^:]+:%d+: ", "")))
  end
  streams.out:write(start_text(sandbox))
  streams.out:flush()
  if arguments.ready_file then
    ok, message = write_ready_file(arguments.ready_file, sandbox:base_url())
    if not ok then
      sandbox:close()
      return fail(streams, message)
    end
  end
  sandbox:run()
  return 0
end

return command
