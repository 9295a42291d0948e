--- `paciolan trigger`: lets something happen in a running sandbox, which publishes it to those who subscribed.
-- @module paciolan.cli.trigger

local command = {}

local DEFAULT_URL = "http://127.0.0.1:8480"

local function number(option)
  return function(text)
    local value = tonumber(text)
    if not value or value ~= value or value < 0 then
      return nil, option .. " must be a number, 0 or more"
    end
    return value
  end
end

-- `129:FB30:FB01/ES:9/1/4`: event, section with its level, row, seat.
local function place(text)
  local access_id, section, row, seat = text:match("^([^/]+)/([^/]+)/([^/]+)/([^/]+)$")
  if not access_id then
    return nil, "--seat must be ACCESS_ID/LEVEL:SECTION/ROW/SEAT, such as 129:FB30:FB01/ES:9/1/4"
  end
  return { access_id = access_id, section = section, row = row, seat = seat }
end

--- Declares the command.
-- @tparam Parser parser of argparse
function command.describe(parser)
  local sub = parser:command("trigger", "Let a running sandbox publish a message.")
  sub:argument("what", "seats.unlock, seats.lock or events.changed.")
    :choices { "seats.unlock", "seats.lock", "events.changed" }
  sub:mutex(
    sub:option("--seat", "Which seat: ACCESS_ID/LEVEL:SECTION/ROW/SEAT."):argname("<place>"):convert(place),
    sub:option("--token", "Which seat, by its token."):argname("<token>"),
    sub:option("--listing", "Which seats: those of a listing."):argname("<id>"),
    sub:option("--event", "Which event, by its accessId; for events.changed."):argname("<access-id>"))
  sub:option("--url", "Base URL of the sandbox; by default PACIOLAN_BASE_URL, or port 8480 of this machine.")
    :argname("<url>")
  sub:option("--duplicate", "So many more copies of the message."):argname("<number>")
    :convert(number("--duplicate"))
  sub:option("--age", "Let the message be so many seconds old."):argname("<seconds>"):convert(number("--age"))
  sub:option("--tamper", "What to change after it was signed: message, signature, timestamp, topic, type, "
    .. "certificate_url or subject."):argname("<what>")
end

local function payload_of(arguments)
  local payload = { what = arguments.what, token = arguments.token, listing_id = arguments.listing,
    access_id = arguments.event, duplicate = arguments.duplicate, age_s = arguments.age, tamper = arguments.tamper }
  for key, value in pairs(arguments.seat or {}) do
    payload[key] = value
  end
  return payload
end

local function fail(streams, message)
  streams.err:write("paciolan trigger: ", message, "\n")
  return 1
end

-- The body as a table; empty when it is no JSON object.
local function decode(body)
  local value = require("paciolan.json").decode(body)
  return type(value) == "table" and value or {}
end

local function post(url, payload)
  local transport = require("paciolan.transport.curl").new { proxy = "" }
  local sent, answer, failure = pcall(transport.send, transport, { method = "POST", url = url .. "/_sandbox/trigger",
    headers = { { "Content-Type", "application/json" } }, body = require("paciolan.json").encode(payload) })
  transport:close()
  if not sent then
    return nil, "--url is no base URL of a sandbox"
  end
  return answer, failure and failure.message
end

local function report(streams, body)
  local waiting = body.deliveries == 0 and "nobody has subscribed to them"
    or body.deliveries == 1 and "1 delivery is on its way"
    or string.format("%d deliveries are on their way", body.deliveries)
  for _, id in ipairs(body.messages) do
    streams.out:write("published ", id, "\n")
  end
  streams.out:write(waiting, "\n")
  return 0
end

--- Sends the control call.
-- @tparam table arguments as declared
-- @tparam table streams `out` and `err`
-- @treturn number exit code: 0 published, 1 not published
function command.run(arguments, streams)
  local url = arguments.url or os.getenv("PACIOLAN_BASE_URL") or DEFAULT_URL
  local answer, problem = post((url:gsub("/+$", "")), payload_of(arguments))
  if not answer then
    return fail(streams, "the sandbox did not answer: " .. problem)
  end
  local body = decode(answer.body)
  if answer.status ~= 200 then
    local why = type(body.error) == "table" and body.error.developerMessage
    return fail(streams, why and "the sandbox refused: " .. tostring(why) or "what answered is no sandbox")
  elseif type(body.messages) ~= "table" or type(body.deliveries) ~= "number" then
    return fail(streams, "what answered is no sandbox")
  end
  return report(streams, body)
end

return command
