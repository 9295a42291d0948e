--- The options of a receiver, checked once. Whatever is wrong with them raises when the receiver is made.
-- @module paciolan.receiver.settings
local check = require "paciolan.options"
local core = require "paciolan.core"

local settings = {}

-- Errors point at the line that called `paciolan.receiver`, which is a tail call of the function that calls `read`.
local CALLER = 3

-- A path that is a secret has at least so many characters after its last slash.
local LEAST_SECRET = 16
local TOPIC = "^arn:aws[%l%-]*:sns:[%l%d%-]+:" .. ("%d"):rep(12) .. ":([%w_%-]+)$"
local MAX_TOPIC_NAME = 256
local LONGEST_S = 100 * 366 * 24 * 60 * 60

local WHERE = "paciolan.receiver"

local function fail(message, ...)
  error(WHERE .. ": " .. message:format(...), 0)
end

-- --- single values ------------------------------------------------------------------------------------------------

local function any_text(value)
  return type(value) == "string", "a string"
end

local function is_whole(value, least, most)
  return type(value) == "number" and value >= least and value <= most and value == math.floor(value)
end

local function seconds_from(least)
  return function(value)
    return is_whole(value, least, LONGEST_S), ("a whole number of seconds from %d"):format(least)
  end
end

local function bytes(value)
  return is_whole(value, 1024, 64 * 1024 * 1024), "a whole number of bytes from 1024 to 67108864"
end

local function count(value)
  return is_whole(value, 1, 100000), "a whole number from 1"
end

local function a_mode(value)
  return value == "envelope" or value == "raw" or value == "direct", '"envelope", "raw" or "direct"'
end

-- It stands between quotes in a header.
local function a_realm(value)
  return type(value) == "string" and core.is_header_value(value) and not value:find('["\\]'),
    "printable ASCII without quotes and backslashes"
end

local function a_path(value)
  return type(value) == "string" and value:find("^/[%w%-._~/%%:@!$&'()*+,;=]*$") ~= nil,
    "a path that begins with / and holds no query"
end

local function a_transport(value)
  return check.has_methods(value, { "send", "sleep" }), "a transport with send and sleep"
end

-- Every option: its check and its default.
local known = {
  mode = { a_mode, default = "envelope" },
  basic_auth = { check.a_table },
  realm = { a_realm, default = "paciolan" },
  topics = { check.a_table },
  confirm_subscriptions = { check.a_boolean },
  store = { check.a_store },
  clock = { check.a_function, default = os.time },
  max_age_s = { seconds_from(1), default = 3600 },
  clock_skew_s = { seconds_from(0), default = 300 },
  max_body_bytes = { bytes, default = 2 * 1024 * 1024 },
  path = { a_path },
  reserve_s = { seconds_from(1), default = 20 },
  remember_s = { seconds_from(1), default = 86400 },
  intermediates = { check.text },
  roots = { check.text },
  fetch_certificate = { check.a_function },
  confirm = { check.a_function },
  transport = { a_transport },
  proxy = { any_text },
  ca_file = { check.text },
  connect_to = { check.a_table },
  certificates = { check.a_table, default = {} },
  callback = { check.a_table },
  duplicate_key = { check.a_function },
  on_event = { check.a_function },
  on_seat = { check.a_function },
  on_message = { check.a_function },
  on_callback = { check.a_function },
  on_alarm = { check.a_function },
  on_report = { check.a_function },
  quarantine = { check.a_function },
  silence_s = { seconds_from(1) },
  certificate_warning_s = { seconds_from(1), default = 10 * 24 * 60 * 60 },
}

local known_of = {
  certificates = {
    max = { count, default = 64 },
    ttl_s = { seconds_from(1), default = 86400 },
    negative_ttl_s = { seconds_from(1), default = 15 },
    novel_per_minute = { count, default = 60 },
  },
  callback = { path = { a_path }, basic_auth = { check.a_table } },
  topic = {
    arn = { check.text },
    min_version = { function(value) return value == 1 or value == 2, "1 or 2" end, default = 1 },
    confirm = { check.a_boolean },
  },
}

-- --- credentials --------------------------------------------------------------------------------------------------

local PAIR = { user = true, password = true }

-- RFC 7617: the user's name ends at the first colon, and neither part holds control characters.
local function is_pair(pair)
  if type(pair) ~= "table" then
    return false
  end
  for name in pairs(pair) do
    if not PAIR[name] then
      return false
    end
  end
  return check.text(pair.user) and check.text(pair.password) and not pair.user:find("[:%c]")
    and not pair.password:find("%c")
end

-- Basic credentials as a matcher of the core.
local function read_basic(given, place)
  local pairs_of = given.user == nil and given.password == nil and given or { given }
  local are_pairs = #pairs_of == 1 or #pairs_of == 2
  for key, pair in pairs(pairs_of) do
    are_pairs = are_pairs and type(key) == "number" and is_pair(pair)
  end
  if not are_pairs then
    fail("%s must be { user =, password = } or a list of two such pairs; neither part may be empty or hold control"
      .. " characters, and the user no colon", place)
  end
  return core.basic(pairs_of)
end

-- --- topics -------------------------------------------------------------------------------------------------------

--- Is the text the ARN of a standard topic? FIFO topics do not deliver over HTTP.
-- @param value
-- @treturn boolean
function settings.is_topic(value)
  local name = type(value) == "string" and value:match(TOPIC)
  return name ~= nil and name ~= false and #name <= MAX_TOPIC_NAME
end

-- Floors are what the core takes, `{ [arn] = lowest version }`; the second table says which topics are confirmed.
local function read_topics(options)
  local floors, confirms = {}, {}
  for place, given in pairs(options.topics) do
    if type(place) ~= "number" then
      fail("topics must be a list")
    elseif type(given) ~= "table" then
      given = { arn = given }
    end
    local topic = check.read(given, known_of.topic, WHERE, 0, "topics: ")
    if not settings.is_topic(topic.arn) then
      fail("topics: each must be the ARN of a standard topic, arn:aws:sns:REGION:ACCOUNT:NAME")
    elseif options.mode == "envelope" and not core.sns.is_topic(topic.arn) then
      fail("topics: the hosts of Amazon in one's partition and region are not known, so that its messages cannot be"
        .. " verified")
    elseif floors[topic.arn] then
      fail("topics: one is there twice")
    end
    floors[topic.arn] = topic.min_version
    confirms[topic.arn] = topic.confirm
    if topic.confirm == nil then
      confirms[topic.arn] = options.confirm_subscriptions == true
    end
  end
  return floors, confirms
end

-- --- what belongs together ----------------------------------------------------------------------------------------

-- Which modes take an option; the others would ignore it.
local only_in = {
  topics = { envelope = true, raw = true }, confirm_subscriptions = { envelope = true },
  duplicate_key = { direct = true }, intermediates = { envelope = true }, roots = { envelope = true },
  fetch_certificate = { envelope = true }, confirm = { envelope = true },
}

local function check_mode(given, options)
  for name, modes in pairs(only_in) do
    if given[name] ~= nil and not modes[options.mode] then
      fail("%s has no meaning in mode %s", name, options.mode)
    end
  end
  if options.mode == "envelope" and (not options.topics or next(options.topics) == nil) then
    fail("topics must name at least one topic: anybody can make Amazon sign a message of a topic of his own")
  elseif options.mode ~= "envelope" and not options.basic_auth then
    fail("mode %s needs basic_auth, for nothing else protects such messages", options.mode)
  end
end

local function check_handlers(options)
  if not (options.on_event or options.on_seat or options.on_message) then
    fail("at least one of on_event, on_seat and on_message is needed")
  elseif (options.callback == nil) ~= (options.on_callback == nil) then
    fail("callback and on_callback belong together")
  end
end

-- A repeat is known for what it is as long as its timestamp lets it in.
local function check_times(options)
  local window_s = options.max_age_s + 2 * options.clock_skew_s
  if options.mode == "envelope" and options.remember_s < window_s then
    fail("remember_s must be at least max_age_s + 2 * clock_skew_s, which is %d", window_s)
  end
end

local function check_transport(options)
  if options.transport and (options.proxy or options.ca_file or options.connect_to) then
    fail("proxy, ca_file and connect_to are options of the receiver's own transport, and not of the given one")
  end
end

local function read_callback(options)
  local callback = check.read(options.callback, known_of.callback, WHERE, 0, "callback.")
  if not callback.path then
    fail("callback.path is required")
  elseif callback.path == options.path then
    fail("callback.path must be another path than that of the messages")
  elseif not callback.basic_auth and #callback.path:match("[^/]*$") < LEAST_SECRET then
    fail("callback: either basic_auth, or a path whose last part is a secret of at least %d characters", LEAST_SECRET)
  end
  callback.basic = callback.basic_auth and read_basic(callback.basic_auth, "callback.basic_auth")
  return callback
end

local function read(given)
  if type(given) ~= "table" then
    fail("a table of options is expected, not %s", type(given))
  end
  local options = check.read(given, known, WHERE, 0, "")
  check_mode(given, options)
  check_handlers(options)
  check_times(options)
  check_transport(options)
  options.certificates = check.read(options.certificates, known_of.certificates, WHERE, 0, "certificates.")
  options.basic = options.basic_auth and read_basic(options.basic_auth, "basic_auth")
  options.callback = options.callback and read_callback(options)
  if options.topics then
    options.floors, options.confirms = read_topics(options)
  end
  -- The core keeps the credentials as digests; nothing else needs them.
  options.basic_auth = nil
  return options
end

--- Reads the options of `paciolan.receiver`.
-- @tparam table given
-- @treturn table a copy with all defaults; `basic` is a matcher of the core, `floors` `{ [arn] = lowest version }` and
-- `confirms` `{ [arn] = whether its subscriptions are confirmed }`
-- @raise for whatever is wrong, at the line of the caller's caller
function settings.read(given)
  local ok, result = pcall(read, given)
  if not ok then
    error(result, CALLER)
  end
  return result
end

return settings
