--- An Amazon SNS of the spec's own: an authority, a signing certificate, messages with true signatures, and the host
-- that the certificate is fetched from and that subscriptions are confirmed at.
--
--     local amazon = require("support.amazon")
--     local aws = amazon.start {}
--     receiver = { topics = { aws.topic }, roots = aws.roots, fetch_certificate = aws:fetcher() }
--     aws:body { Message = "text" }                        -- a signed Notification as it is sent
--     amazon.stop_all()                                    -- in a teardown
--
-- The host runs as a process of its own, over TLS on a loopback port, with a certificate for the names of SNS in many
-- regions. It starts when `ca_file`, `connect_to` or `port` is first read; `fetcher` and `confirmer` need no process.
-- Both give the same answers and are counted together. Keys are made once per process, when they are first needed.

local authority = require("paciolan.authority")
local cjson = require("cjson").new()
local core = require("paciolan.core")
local desk = require("support.certificate_desk")
local envelope = require("support.envelope")
local files = require("support.files")
local guard = require("paciolan.sandbox.guard")
local program = require("support.program")

local amazon = {}

local Amazon = {}

local DAY_S = 86400

amazon.TOPIC = "arn:aws:sns:us-west-2:123456789012:seats"

-- The names that the host's own certificate bears.
local HOSTS = { "sns.us-west-2.amazonaws.com", "sns.us-east-1.amazonaws.com", "sns.eu-west-1.amazonaws.com",
  "sns.af-south-1.amazonaws.com", "sns.us-gov-west-1.amazonaws.com", "sns.cn-north-1.amazonaws.com.cn",
  "sns.eusc-de-east-1.amazonaws.eu" }

local DOMAINS = { ["aws-cn"] = "amazonaws.com.cn", ["aws-eusc"] = "amazonaws.eu" }

---- Keys and certificates ------------------------------------------------------------------------------------------

local keys = {}

-- By a program of its own, because looking for primes takes an instrumented interpreter half a minute.
local function new_rsa_key(options)
  local pipe = assert(io.popen(("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:%d "
    .. "-pkeyopt rsa_keygen_pubexp:%d 2>/dev/null"):format(options.bits or 2048, options.exponent or 65537)))
  local pem = pipe:read("*a")
  pipe:close()
  return assert(authority.read_key(pem))
end

--- A key that is made once per process.
-- @tparam string name
-- @tparam[opt] table options as for `authority.key`; default: RSA of 2048 bits
-- @treturn userdata
function amazon.key(name, options)
  options = options or {}
  keys[name] = keys[name] or (options.type == "ec" and assert(authority.key(options)) or new_rsa_key(options))
  return keys[name]
end

local function merged(defaults, given)
  local all = {}
  for key, value in pairs(defaults) do
    all[key] = value
  end
  for key, value in pairs(given or {}) do
    all[key] = value
  end
  return all
end

--- A certificate: without options the leaf that signs messages of the regions that are on by default.
-- @tparam[opt] table options of `authority.certificate`, in place of the defaults
-- @treturn string PEM
function Amazon:certificate(options)
  return assert(authority.certificate(merged({
    key = amazon.key("leaf"),
    issuer = { key = self.ca_key, certificate = self.roots },
    name = "sns.amazonaws.com",
    dns = { "sns.amazonaws.com" },
  }, options)))
end

local roots

local function root()
  roots = roots or assert(authority.certificate { key = amazon.key("root"), name = "Root of the specs", is_ca = true,
    not_before = os.time() - 3650 * DAY_S, not_after = os.time() + 3650 * DAY_S })
  return roots
end

---- Messages -------------------------------------------------------------------------------------------------------

local function host_of(topic)
  local partition, region = topic:match("^arn:([^:]*):sns:([^:]*):")
  return ("sns.%s.%s"):format(region or "us-west-2", DOMAINS[partition] or "amazonaws.com")
end

-- The last part of the name of a certificate's file.
local function hash_of(name)
  return name and #name == 32 and not name:find("[^%x]") and name or core.fingerprint(name or "leaf"):sub(1, 32)
end

--- The URL of a certificate. Without a name it is that of `aws.leaf`, which is served from the start.
-- @tparam[opt] string name any text, or 32 hex digits that are taken as they are
-- @tparam[opt] string topic the ARN that tells the host; default: `aws.topic`
-- @treturn string
function Amazon:certificate_url(name, topic)
  return ("https://%s/SimpleNotificationService-%s.pem"):format(host_of(topic or self.topic), hash_of(name))
end

-- Whole seconds, with the fraction that SNS always writes.
local function time_text(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(seconds)) .. (".%03dZ"):format(math.floor(seconds % 1 * 1000 + 0.5))
end

local function new_token()
  return (core.fingerprint(core.request_id()) .. core.fingerprint(core.request_id())):rep(2)
end

local function confirm_url(topic, token)
  return ("https://%s/?Action=ConfirmSubscription&TopicArn=%s&Token=%s"):format(host_of(topic), topic, token)
end

local WORDS = {
  Notification = "text",
  SubscriptionConfirmation = "You have chosen to subscribe to the topic.\nTo confirm, visit the SubscribeURL.",
  UnsubscribeConfirmation = "You have chosen to deactivate the subscription.\nTo cancel, visit the SubscribeURL.",
}

local function add_type_defaults(fields)
  if fields.Type == "Notification" then
    if fields.UnsubscribeURL == nil then
      fields.UnsubscribeURL = ("https://%s/?Action=Unsubscribe&SubscriptionArn=%s:0f1e2d3c-4b5a-4678-9abc-def012345678")
        :format(host_of(fields.TopicArn), fields.TopicArn)
    end
    return
  end
  fields.Token = fields.Token == nil and new_token() or fields.Token
  if fields.SubscribeURL == nil then
    fields.SubscribeURL = confirm_url(fields.TopicArn, fields.Token or "")
  end
end

--- The fields of a complete message with a true signature. What is not given has a default; `false` leaves a field out.
-- @tparam[opt] table given `Type` ("Notification"), `MessageId` (random), `TopicArn` (`aws.topic`), `Subject` (none),
-- `Message`, `Timestamp` (now; a number is unix seconds), `SignatureVersion` ("2"), `Token`, `SubscribeURL`,
-- `SigningCertURL`, `UnsubscribeURL`, and any other
-- @treturn table a new one
function Amazon:message(given)
  local fields = merged({ Type = "Notification", MessageId = core.request_id(), TopicArn = self.topic,
    Timestamp = self.clock(), SignatureVersion = "2" }, given)
  if type(fields.Timestamp) == "number" then
    fields.Timestamp = time_text(fields.Timestamp)
  end
  if fields.Message == nil then
    fields.Message = WORDS[fields.Type] or WORDS.Notification
  end
  if type(fields.TopicArn) == "string" then
    add_type_defaults(fields)
    fields.SigningCertURL = fields.SigningCertURL == nil and self:certificate_url(nil, fields.TopicArn)
      or fields.SigningCertURL
  end
  for name, value in pairs(fields) do
    if value == false then
      fields[name] = nil
    end
  end
  return self:sign(fields)
end

--- Signs what is in the fields now.
-- @tparam table fields
-- @tparam[opt] table options `key` (default: the leaf's), `digest` ("sha1" or "sha256"; default: as SignatureVersion)
-- @treturn table fields, with `Signature`
function Amazon:sign(fields, options)
  options = options or {}
  local digest = options.digest or (fields.SignatureVersion == "1" and "sha1" or "sha256")
  fields.Signature = self:signature(envelope.string_to_sign(fields), { key = options.key, digest = digest })
  return fields
end

--- A signature over any bytes, in base64.
-- @tparam string text
-- @tparam[opt] table options `key` (default: the leaf's), `digest` ("sha256")
-- @treturn string
function Amazon:signature(text, options)
  options = options or {}
  return authority.base64(assert(authority.sign(options.key or amazon.key("leaf"), text, options.digest or "sha256")))
end

--- The bytes that SNS signs. See support.envelope.
function Amazon:string_to_sign(fields)
  return envelope.string_to_sign(fields)
end

--- The JSON text of the fields. See support.envelope.
function Amazon:encode(fields)
  return envelope.encode(fields)
end

--- The text of a signed message with these fields, as it is sent. See `message`.
function Amazon:body(given)
  return envelope.encode(self:message(given))
end

--- The headers that come with a message, names in lower case.
-- @tparam table fields
-- @treturn table
function Amazon:headers(fields)
  local headers = {
    ["content-type"] = "text/plain; charset=UTF-8",
    ["user-agent"] = "Amazon Simple Notification Service Agent",
    ["x-amz-sns-message-type"] = fields.Type,
    ["x-amz-sns-message-id"] = fields.MessageId,
    ["x-amz-sns-topic-arn"] = fields.TopicArn,
  }
  if fields.Type ~= "SubscriptionConfirmation" then
    headers["x-amz-sns-subscription-arn"] = tostring(fields.TopicArn) .. ":0f1e2d3c-4b5a-4678-9abc-def012345678"
  end
  return headers
end

--- A whole request for `receiver:handle`.
-- @tparam[opt] table given as for `message`
-- @treturn table `{ method, path, headers, body }`
-- @treturn table the fields of the message
function Amazon:request(given)
  local fields = self:message(given)
  return { method = "POST", path = "/", headers = self:headers(fields), body = envelope.encode(fields) }, fields
end

---- The host -------------------------------------------------------------------------------------------------------

local HOST_SCRIPT = debug.getinfo(1, "S").source:match("^@(.*)amazon%.lua$") .. "certificate_host.lua"

-- Blocks even in a task of paciolan.concurrent: orders to the host are no part of what a spec lets run side by side.
local function order(self, path, content)
  local answer = assert(self._session:send { method = "POST", url = self._orders .. path, headers = {},
    body = content and cjson.encode(content) or "" })
  return cjson.decode(answer.body)
end

-- A folder of its own, which ends with `stop` and not with the folders of a spec.
local function write_host_files(self)
  local place = os.tmpname()
  os.remove(place)
  assert(program.run("mkdir " .. program.words { place }) == 0, "cannot make a folder")
  rawset(self, "_place", place)
  local key = amazon.key("host", { type = "ec" })
  files.write(place .. "/ca.pem", self.roots)
  files.write(place .. "/host.key", assert(key:pem()))
  files.write(place .. "/host.pem", self:certificate(merged({ key = key, name = HOSTS[1], dns = HOSTS }, self._host)))
  return place
end

-- The shell tells its pid and becomes the host, whose parent is this process.
local function start_host(self)
  local place = write_host_files(self)
  self._pipe = assert(io.popen(("echo $$; exec env %s %s $PPID </dev/null"):format(program.environment(),
    program.words { program.lua, HOST_SCRIPT, place })))
  -- What was made last is collected first. A pipe that is collected waits for its process, so that must end before.
  self._guard = guard.new(function() self:stop() end)
  self._pid = assert(tonumber(self._pipe:read("*l")), "no pid from the shell")
  local port, orders = (self._pipe:read("*l") or ""):match("^(%d+) (%d+)$")
  assert(port, "the host of certificates did not start")
  self._session = core.http.new { proxy = "" }
  self._orders = "http://127.0.0.1:" .. orders
  for _, one in ipairs(self._served) do
    order(self, "/serve", one)
  end
  return place, tonumber(port)
end

-- What is only known when the host runs.
local function add_host(self)
  local place, port = start_host(self)
  local connect_to = {}
  for _, name in ipairs(HOSTS) do
    connect_to[name .. ":443"] = ("127.0.0.1:%d"):format(port)
  end
  rawset(self, "port", port)
  rawset(self, "ca_file", place .. "/ca.pem")
  rawset(self, "connect_to", connect_to)
end

local FROM_HOST = { port = true, ca_file = true, connect_to = true }

function Amazon.__index(self, name)
  if FROM_HOST[name] and not rawget(self, "_is_stopped") then
    add_host(self)
    return rawget(self, name)
  end
  return Amazon[name]
end

--- Sets what the host answers for a path; see support.certificate_desk for answers.
-- @tparam string path or a URL, whose host does not matter
-- @tparam table answer
function Amazon:serve(path, answer)
  path = path:match("^https://[^/]*(/[^?]*)") or path
  self._desk:serve(path, answer)
  self._served[#self._served + 1] = { path = path, answer = answer }
  if rawget(self, "_session") then
    order(self, "/serve", { path = path, answer = answer })
  end
end

-- What was asked for in functions, then what was asked for over TLS.
local function asked_for(self, kind)
  local list = {}
  for _, log in ipairs { self._desk:log(), rawget(self, "_session") and order(self, "/log") or {} } do
    for _, one in ipairs(log[kind] or {}) do
      list[#list + 1] = one
    end
  end
  return list
end

--- Everything that was fetched: of certificates, and of anything else but confirmations.
-- @treturn number how many requests
-- @treturn table list of their paths
function Amazon:fetches()
  local list = asked_for(self, "fetches")
  return #list, list
end

--- The requests that confirm a subscription.
-- @treturn table list of `{ path, query, topic, token }`
function Amazon:confirmations()
  return asked_for(self, "confirmations")
end

--- Forgets fetches and confirmations.
function Amazon:reset_fetches()
  self._desk:forget()
  if rawget(self, "_session") then
    order(self, "/forget")
  end
end

-- As a GET that takes nothing but a status of 200.
local function getter(self)
  return function(url)
    local path, query = url:match("^https://[^/]*(/[^?]*)%??(.*)$")
    assert(path, "not a URL of a host over TLS")
    local answer = self._desk:answer(path, query)
    if answer.reset or answer.status ~= 200 then
      return nil, answer.reset and "the connection was reset" or ("status %d"):format(answer.status)
    end
    return answer.body
  end
end

--- A function for the receiver's `fetch_certificate`: `function(url) -> pem | nil, text`. It is counted, and needs no
-- process. Nothing of an answer that takes time is imitated.
Amazon.fetcher = getter

--- The same for the receiver's `confirm`.
Amazon.confirmer = getter

--- Ends the host; idempotent.
function Amazon:stop()
  rawset(self, "_is_stopped", true)
  if rawget(self, "_session") then
    self._session:close()
    self._session = nil
  end
  if rawget(self, "_pid") then
    os.execute(("kill %d 2>/dev/null"):format(self._pid))
    self._pid = nil
  end
  if rawget(self, "_pipe") then
    self._pipe:close()
    self._pipe = nil
  end
  if rawget(self, "_place") then
    program.run("rm -rf " .. program.words { self._place })
    self._place = nil
  end
end

local started = {}

--- Begins one, without a process yet.
-- @tparam[opt] table options `topic` (`amazon.TOPIC`), `clock` (os.time: the default of `Timestamp`), `leaf` and `host`
-- (options of `authority.certificate` for the certificate that signs, and for the host's own, such as other names)
-- @treturn table `topic`, `roots` (PEM), `leaf` (PEM of the signing certificate), `key`, `ca_key`, and, from the host,
-- `ca_file`, `connect_to`, `port`
function amazon.start(options)
  options = options or {}
  local self = setmetatable({ topic = options.topic or amazon.TOPIC, clock = options.clock or os.time,
    roots = root(), ca_key = amazon.key("root"), key = amazon.key("leaf"), _host = options.host, _desk = desk.new(),
    _served = {} }, Amazon)
  self.leaf = self:certificate(options.leaf)
  self:serve(self:certificate_url(), { body = self.leaf })
  started[#started + 1] = self
  return self
end

--- Ends everything that was started here and removes its files.
function amazon.stop_all()
  for index = #started, 1, -1 do
    started[index]:stop()
    started[index] = nil
  end
end

return amazon
