--- `paciolan listen`: a receiver on a port, which prints what the service pushes, or hands it to a Lua file.
-- @module paciolan.cli.listen

local command = {}

local DONE = 0

-- How long the server waits before it is looked at what is due.
local WAIT_MS = 1000
local MINUTE_S = 60
-- SNS gives up an attempt after 15 s.
local REQUEST_DEADLINE_S = 10
local HEADER_DEADLINE_S = 3
local MAX_BODY_BYTES = 2 * 1024 * 1024
local DEFAULT_SANDBOX = "http://127.0.0.1:8480"

local function port(text)
  local number = tonumber(text)
  if not number or number ~= math.floor(number) or number < 0 or number > 65535 then
    return nil, "--port must be a whole number from 0 to 65535"
  end
  return number
end

local function seconds(text)
  local number = tonumber(text)
  if not number or number ~= math.floor(number) or number < 1 then
    return nil, "--silence must be a whole number of seconds, at least 1"
  end
  return number
end

local function version(text)
  local number = text == "1" and 1 or text == "2" and 2
  return number or nil, not number and "--min-version must be 1 or 2" or nil
end

local EPILOG = [[
In the mode envelope messages are signed by Amazon SNS, and only those of the
given topics are believed. In the modes raw and direct nothing but the
credentials protects them. A message is acknowledged when it was printed, or
when the function of --handler returned true for each of its items.

The Lua file of --handler returns a table with on_event(item, message),
on_seat(item, message), on_message(message), on_callback(result) and
every_minute(), or some of them. It gets the store as its argument.

Environment:
  PACIOLAN_STORE                  the store, as --store
  PACIOLAN_LISTEN_USER, PACIOLAN_LISTEN_PASSWORD
                                  the credentials, when there is no --user-file
  PACIOLAN_LISTEN_CALLBACK_PATH   a secret path for callbacks; its last part has
                                  16 characters or more

To try it: paciolan sandbox, in a second terminal paciolan listen --sandbox, and
in a third one paciolan trigger seats.unlock.

Exit code: 0 ended by a signal, 1 could not start, or nobody reads standard
output any more, 2 wrong usage.]]

local function describe_tls(sub)
  sub:option("--tls-certificate", "PEM file: the server's certificate, and those above it."):argname("<path>")
  sub:option("--tls-key", "PEM file: its key."):argname("<path>")
  sub:flag("--behind-proxy", "Allow an address that others reach without TLS: a proxy in front has it.")
end

local function describe_sns(sub)
  sub:option("--topic", "ARN of a topic to believe; may be given again."):argname("<arn>"):count("*")
  sub:flag("--confirm", "Confirm subscriptions to these topics.")
  sub:option("--min-version", "Lowest SignatureVersion, 1 or 2."):argname("<number>"):convert(version)
  sub:option("--intermediates", "PEM file of certificates between those roots and the signing ones.")
    :argname("<path>")
  sub:option("--roots", "PEM file of roots for signing certificates, beside Amazon's."):argname("<path>")
  sub:option("--ca-file", "PEM file of roots for asking Amazon, instead of the system's."):argname("<path>")
  sub:option("--connect-to", "HOST:443=ADDRESS:PORT, where to find that host; may be given again.")
    :argname("<place>"):count("*")
end

--- Declares the command.
-- @tparam Parser parser of argparse
function command.describe(parser)
  local sub = parser:command("listen", "Receive what the service pushes.")
  sub:option("--port", "Port to listen on; 0 for any free one."):argname("<number>"):default("8490"):convert(port)
  sub:option("--host", "Numeric address to listen on."):argname("<address>"):default("127.0.0.1")
  sub:option("--mode", "How messages come: envelope, raw or direct."):argname("<mode>"):default("envelope")
    :choices { "envelope", "raw", "direct" }
  sub:option("--path", "Where messages are posted; any path by default."):argname("<path>")
  describe_sns(sub)
  sub:option("--user-file", "File with user:password, in one line, or two while the password is changed.")
    :argname("<path>")
  sub:option("--callback-path", "Where callbacks are posted, with the same credentials."):argname("<path>")
  sub:option("--store", "memory, sqlite:PATH or redis://HOST: what is remembered."):argname("<store>")
  sub:option("--handler", "Lua file with the functions that take the messages."):argname("<path>")
  sub:option("--quarantine", "Folder for messages that were believed but cannot be used."):argname("<path>")
  sub:option("--silence", "Warn when no message came for so long."):argname("<seconds>"):convert(seconds)
  sub:flag("--json", "Print one line of JSON for each item.")
  describe_tls(sub)
  sub:option("--sandbox", "Receive the messages of a sandbox of this machine, and subscribe to them.")
    :argname("<url>"):args("?")
  sub:option("--ready-file", "Write the URL to this file once the port is open."):argname("<path>")
  sub:epilog(EPILOG)
end

-- --- what is told --------------------------------------------------------------------------------------------------

local function tell(streams, message)
  streams.err:write("paciolan listen: ", message, "\n")
  streams.err:flush()
end

local function of_topic(topic, message_id)
  return (topic and " (" .. topic or "") .. (message_id and ", " .. message_id or "") .. (topic and ")" or "")
end

-- What is printed by others, or was before.
local SILENT = { done = true, duplicate = true, callback_done = true }

-- One line for each request that did not end as a message should. The receiver has cut and escaped every part. SNS
-- shows its credentials only when it was asked for them, so that question is no news.
local function tell_report(state, streams, event)
  if not (SILENT[event.reason] or (event.status == 401 and not state.headers.authorization)) then
    tell(streams, ("%s with %d: %s%s%s"):format(event.verdict, event.status, event.reason,
      event.detail and ": " .. event.detail or "", of_topic(event.subscription or event.topic, event.message_id)))
  end
end

-- Tells the warnings that were not there a minute ago.
local function tell_warnings(state, streams)
  local now = {}
  for _, warning in ipairs(state.receiver:watch()) do
    local key = warning.code .. " " .. (warning.topic_arn or "")
    now[key] = true
    if not state.warned[key] then
      tell(streams, ("warning: %s: %s%s"):format(warning.code, warning.message, of_topic(warning.topic_arn)))
    end
  end
  state.warned = now
end

-- --- starting ------------------------------------------------------------------------------------------------------

local function keeper(folder, streams)
  local quarantine = require "paciolan.cli.listen.quarantine"
  if not quarantine.is_usable(folder) then
    require("paciolan.cli.listen.refusal").misuse("--quarantine: nothing can be written there")
  end
  return function(body)
    local name = quarantine.keep(folder, body)
    tell(streams, name and "quarantined as " .. name or "the quarantine could not be written")
    return name ~= false
  end
end

local function add_hooks(state, options, arguments, streams)
  options.quarantine = arguments.quarantine and keeper(arguments.quarantine, streams) or nil
  options.on_report = function(event) tell_report(state, streams, event) end
  options.on_alarm = function(alarm)
    tell(streams, ("alarm: %s: %s%s"):format(alarm.code, alarm.message, of_topic(alarm.topic_arn)))
  end
end

local function add_handlers(state, options, arguments, streams)
  local handlers
  if arguments.handler then
    handlers = require("paciolan.cli.listen.settings").load_handlers(arguments.handler, state.store)
  else
    handlers = require("paciolan.cli.listen.printer").handlers(streams.out, arguments.json, function()
      state.is_output_gone = true
    end)
  end
  options.on_event, options.on_seat, options.on_message = handlers.on_event, handlers.on_seat, handlers.on_message
  options.on_callback = options.callback and handlers.on_callback or nil
  state.every_minute = handlers.every_minute
end

local function open_server(state, arguments, tls)
  local refusal = require "paciolan.cli.listen.refusal"
  local ok, server, problem = pcall(require("paciolan.httpd").listen, {
    host = arguments.host, port = arguments.port, tls = tls, stop_on_signals = true,
    header_deadline_s = HEADER_DEADLINE_S, request_deadline_s = REQUEST_DEADLINE_S, max_body_bytes = MAX_BODY_BYTES,
    survive_write_signals = true,
  })
  if not ok then
    refusal.misuse("%s", refusal.text_of(server):gsub("^host ", "--host "))
  elseif not server then
    refusal.failure("cannot listen on %s with --port %d: %s", arguments.host, arguments.port, problem)
  end
  state.server = server
  local host = arguments.host == "0.0.0.0" and "127.0.0.1" or arguments.host == "::" and "::1" or arguments.host
  state.url = (tls and "https" or "http") .. (host:find(":", 1, true) and "://[%s]:%d%s" or "://%s:%d%s"):format(host,
    server:port(), arguments.path or "/")
end

local function write_ready_file(path, url)
  local file, problem = io.open(path, "w")
  local ok = file and file:write(url, "\n")
  if file then
    ok = file:close() and ok
  end
  if not ok then
    require("paciolan.cli.listen.refusal").failure("--ready-file: %s", problem or "it cannot be written")
  end
end

local FORGETFUL = [[
Nothing outlives this program: after a restart a message may be handled once more, and it is forgotten which topics have
shown SignatureVersion 2. --store sqlite:messages.db remembers.
]]

local UNCONFIRMED = [[
Subscriptions are not confirmed by themselves: --confirm does that.
]]

local function start_text(state, arguments)
  local lines = { ("Listening on %s   (mode %s, stop with Ctrl-C)\n"):format(state.url, arguments.mode) }
  for _, arn in ipairs(arguments.topic) do
    lines[#lines + 1] = "  topic " .. arn .. "\n"
  end
  lines[#lines + 1] = not state.is_durable and FORGETFUL or nil
  if state.sandbox then
    lines[#lines + 1] = ("Subscribed to the sandbox. In another terminal:\n  %s trigger seats.unlock --url %s\n")
      :format(require("paciolan.cli.terminal").program(), state.sandbox_url)
  elseif arguments.mode == "envelope" and not arguments.confirm then
    lines[#lines + 1] = UNCONFIRMED
  end
  return table.concat(lines)
end

local OUTPUT_GONE = "standard output is gone: nobody reads it any more, so nothing can be acknowledged"

-- With --json standard output has nothing but items.
local function announce(state, arguments, streams)
  if arguments.ready_file then
    write_ready_file(arguments.ready_file, state.url)
  end
  local stream = arguments.json and streams.err or streams.out
  local _, _, is_gone = require("paciolan.cli.listen.printer").write(stream, start_text(state, arguments) .. "\n")
  if is_gone and not arguments.json then
    require("paciolan.cli.listen.refusal").failure(OUTPUT_GONE)
  end
end

local function open_sandbox(state, arguments)
  if #arguments.topic > 0 or arguments.roots or arguments.ca_file or #arguments.connect_to > 0 then
    require("paciolan.cli.listen.refusal").misuse("--sandbox brings --topic, --roots, --ca-file and --connect-to")
  end
  state.sandbox_url = arguments.sandbox[1] or os.getenv("PACIOLAN_BASE_URL") or DEFAULT_SANDBOX
  state.sandbox = require("paciolan.cli.listen.sandbox").open(state.sandbox_url)
  state.sandbox:fill(arguments)
end

local function open_receiver(state, options)
  local refusal = require "paciolan.cli.listen.refusal"
  options.store = state.store
  local ok, receiver = pcall(require("paciolan.receiver").new, options)
  if not ok then
    refusal.misuse("%s", refusal.text_of(receiver))
  end
  state.receiver = receiver
end

-- Fills the state with what runs. Raises a refusal as soon as something is wrong.
local function open(state, arguments, streams)
  local settings = require "paciolan.cli.listen.settings"
  local function warn(message) tell(streams, message) end
  if arguments.sandbox then
    open_sandbox(state, arguments)
  end
  local options, tls = settings.read(arguments, warn)
  local basic = options.basic_auth
  state.store, state.is_durable = settings.open_store(arguments)
  add_handlers(state, options, arguments, streams)
  add_hooks(state, options, arguments, streams)
  open_receiver(state, options)
  open_server(state, arguments, tls)
  if state.sandbox then
    state.sandbox:subscribe(arguments, state.url, basic)
  end
  announce(state, arguments, streams)
end

-- --- running -------------------------------------------------------------------------------------------------------

-- A receiver gets what belongs to a request, and not the server's own handle of it.
local function answer(state, request)
  state.headers = request.headers
  local reply = state.receiver:handle { method = request.method, path = request.path, query = request.query,
    headers = request.headers, body = request.body }
  state.server:reply(request, reply.status, reply.headers, reply.body)
end

local function look_around(state, streams)
  local now_s = os.time()
  if now_s >= state.looked_at_s and now_s < state.looked_at_s + MINUTE_S then
    return
  end
  state.looked_at_s = now_s
  tell_warnings(state, streams)
  local ok, done, problem = pcall(state.every_minute or function() end)
  if not ok then
    problem = done
  end
  if not ok or (done == nil and problem ~= nil) then
    tell(streams, "every_minute: " .. require("paciolan.receiver.reports").text(problem))
  end
end

local function serve(state, streams)
  state.warned, state.looked_at_s = {}, 0
  local why
  repeat
    look_around(state, streams)
    local request
    request, why = state.server:next(WAIT_MS)
    if request then
      answer(state, request)
    end
  until why == "stopped" or state.is_output_gone
  if state.is_output_gone then
    require("paciolan.cli.listen.refusal").failure(OUTPUT_GONE)
  end
end

-- The store after all that use it. The server last: as long as it is open, a write that fails ends nothing.
local function close(state)
  for _, name in ipairs { "sandbox", "receiver", "store", "server" } do
    if state[name] then
      pcall(state[name].close, state[name])
    end
  end
end

--- Receives until SIGINT or SIGTERM. What is being handled then is finished.
-- @tparam table arguments as declared
-- @tparam table streams `out` and `err`
-- @treturn number exit code: 0 ended by a signal, 1 could not start, or standard output is gone, 2 wrong usage
function command.run(arguments, streams)
  local refusal = require "paciolan.cli.listen.refusal"
  local has_server, message = pcall(require, "paciolan.httpd")
  if not has_server then
    tell(streams, "no local server in this copy of paciolan; it is built where libmicrohttpd and zlib are: "
      .. message:match("^[^\n]*"))
    return 1
  end
  local state = {}
  local ok, raised = pcall(open, state, arguments, streams)
  if ok then
    ok, raised = pcall(serve, state, streams)
  end
  close(state)
  if not ok and not refusal.is(raised) then
    error(raised, 0)
  elseif not ok then
    tell(streams, raised.message)
    return raised.code
  end
  return DONE
end

return command
