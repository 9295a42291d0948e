--- The part of Amazon SNS in the sandbox: topics, signed envelopes, and the host that serves the certificate and takes
-- confirmations. Its names are those of Amazon, so that a receiver keeps all its rules; only the network of the
-- receiver is told that the host is found on this machine.
-- @module paciolan.sandbox.sns

local ids = require "paciolan.sandbox.ids"
local json = require "paciolan.sandbox.json"
local keys = require "paciolan.sandbox.keys"
local text = require "paciolan.sandbox.text"

local sns = {}

local Sns = {}
Sns.__index = Sns

local REGION, ACCOUNT = "us-west-2", "123456789012"
local HOST = "sns." .. REGION .. ".amazonaws.com"
local USER_AGENT = "Amazon Simple Notification Service Agent"
local CONTENT_TYPE = "text/plain; charset=UTF-8"
local NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"
local TOKEN_DIGITS = 256
local DIGESTS = { [1] = "sha1", [2] = "sha256" }

--- The host name in all URLs.
sns.HOST = HOST

--- The topics: their names, which are the entities of the messages, with their ARNs.
sns.TOPICS = {}
for _, name in ipairs { "events", "seats" } do
  sns.TOPICS[name] = table.concat({ "arn:aws:sns", REGION, ACCOUNT, name }, ":")
end

-- What is signed, in this order. A subject is signed where there is one.
local SIGNED = {
  Notification = { "Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type" },
  SubscriptionConfirmation = { "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type" },
}
SIGNED.UnsubscribeConfirmation = SIGNED.SubscriptionConfirmation

-- The order in which Amazon writes the fields.
local WRITTEN = { "Type", "MessageId", "Token", "TopicArn", "Subject", "Message", "SubscribeURL", "Timestamp",
  "SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL" }

--- @tparam string seed
-- @tparam table options `key_dir` and `now`, as `dir` and `now` of `paciolan.sandbox.keys`
-- @treturn Sns
function sns.new(seed, options)
  return setmetatable({
    keys = keys.new { host = HOST, dir = options.key_dir, now = options.now },
    requests = { certificate = 0, confirm = 0, unsubscribe = 0, other = 0 },
    _draw = ids.stream(seed, "sns requests"),
  }, Sns)
end

--- @tparam string value a name of a topic, or its ARN
-- @treturn ?string the name
function sns.topic_name(value)
  for name, arn in pairs(sns.TOPICS) do
    if value == name or value == arn then
      return name
    end
  end
end

-- --- envelopes -----------------------------------------------------------------------------------------------------

local function string_to_sign(fields)
  local parts = {}
  for _, name in ipairs(SIGNED[fields.Type]) do
    if fields[name] then
      parts[#parts + 1] = name .. "\n" .. fields[name] .. "\n"
    end
  end
  return table.concat(parts)
end

local function write(fields)
  local lines = {}
  for _, name in ipairs(WRITTEN) do
    if fields[name] then
      lines[#lines + 1] = "  " .. json.encode(name) .. " : " .. json.encode(fields[name])
    end
  end
  return "{\n" .. table.concat(lines, ",\n") .. "\n}"
end

--- @treturn string where the present certificate is found
function Sns:certificate_url()
  return "https://" .. HOST .. "/" .. self.keys:signer_name()
end

local function confirm_url(fields)
  return "https://" .. HOST .. "/?Action=ConfirmSubscription&TopicArn=" .. fields.TopicArn .. "&Token=" .. fields.Token
end

-- A letter that is not the one that stands there, so that the text stays base64 of the same length.
local function change_letter(base64)
  return (base64:gsub("^(.)(.)", function(first, second)
    return first .. (second == "A" and "B" or "A")
  end))
end

-- What somebody on the way may change after the signature was made. Every one of these has to be refused.
local TAMPERINGS = {
  message = function(fields) fields.Message = fields.Message .. " " end,
  signature = function(fields) fields.Signature = change_letter(fields.Signature) end,
  timestamp = function(fields)
    fields.Timestamp = fields.Timestamp:gsub("(%d)%dZ$", function(digit)
      return digit .. (fields.Timestamp:find("0Z$") and "1Z" or "0Z")
    end)
  end,
  topic = function(fields)
    fields.TopicArn = fields.TopicArn == sns.TOPICS.seats and sns.TOPICS.events or sns.TOPICS.seats
  end,
  type = function(fields)
    fields.Type, fields.Token = "UnsubscribeConfirmation", ("0"):rep(TOKEN_DIGITS)
    fields.SubscribeURL = confirm_url(fields)
  end,
  certificate_url = function(fields)
    fields.SigningCertURL = fields.SigningCertURL:gsub("amazonaws%.com", "amazonaws.com.sandbox.invalid")
  end,
  subject = function(fields) fields.Subject = (fields.Subject or "") .. "!" end,
}

--- The kinds of tampering, sorted.
sns.TAMPERINGS = {}
for name in pairs(TAMPERINGS) do
  sns.TAMPERINGS[#sns.TAMPERINGS + 1] = name
end
table.sort(sns.TAMPERINGS)

-- One signature serves all subscriptions to a message, since nothing of a subscription is signed. A key that was
-- taken meanwhile signs anew.
local function sign(self, message, fields)
  local version, signer = tonumber(fields.SignatureVersion), self.keys:signer_name()
  local kept = message.signatures[version]
  if not kept or kept.signer ~= signer then
    kept = { signer = signer, text = self.keys:sign(string_to_sign(fields), DIGESTS[version]) }
    message.signatures[version] = kept
  end
  return kept.text
end

local function fields_of(self, message, subscription)
  local fields = { Type = message.type, MessageId = message.id, Token = message.token, TopicArn = message.topic_arn,
    Subject = message.subject, Message = message.body, Timestamp = text.sns_date(message.at_s),
    SignatureVersion = string.format("%d", subscription.signature_version), SigningCertURL = self:certificate_url() }
  if message.token then
    fields.SubscribeURL = confirm_url(fields)
  else
    fields.UnsubscribeURL = "https://" .. HOST .. "/?Action=Unsubscribe&SubscriptionArn=" .. subscription.arn
  end
  fields.Signature = sign(self, message, fields)
  return fields
end

-- The headers tell what the body tells, after tampering as well.
local function headers_of(fields, subscription, is_raw)
  local headers = { { "x-amz-sns-message-type", fields.Type }, { "x-amz-sns-message-id", fields.MessageId },
    { "x-amz-sns-topic-arn", fields.TopicArn }, { "Content-Type", CONTENT_TYPE }, { "User-Agent", USER_AGENT } }
  if fields.Type ~= "SubscriptionConfirmation" then
    headers[#headers + 1] = { "x-amz-sns-subscription-arn", subscription.arn }
  end
  if is_raw then
    headers[#headers + 1] = { "x-amz-sns-rawdelivery", "true" }
  end
  return headers
end

--- Writes a message as a signed envelope. Raises when there are no keys to be had.
-- @tparam table message `id`, `type`, `topic_arn`, `body`, `at_s` (unix seconds), `subject`, `token` (of confirmations)
-- and `signatures`, where signatures are kept
-- @tparam table subscription `arn` and `signature_version`
-- @tparam[opt] string tamper a name of `sns.TAMPERINGS`
-- @treturn table list of headers
-- @treturn string the body
function Sns:envelope(message, subscription, tamper)
  local fields = fields_of(self, message, subscription)
  if tamper then
    TAMPERINGS[tamper](fields)
  end
  return headers_of(fields, subscription), write(fields)
end

--- The bare message, as raw delivery sends it: without a signature.
-- @tparam table message
-- @tparam table subscription
-- @treturn table list of headers
-- @treturn string the body
function Sns:raw(message, subscription)
  local fields = { Type = message.type, MessageId = message.id, TopicArn = message.topic_arn }
  return headers_of(fields, subscription, true), message.body
end

-- --- the host ------------------------------------------------------------------------------------------------------

local function xml(self, action, result)
  local request_id = self._draw:uuid()
  return { status = 200, headers = { ["Content-Type"] = "text/xml", ["x-amzn-RequestId"] = request_id },
    body = ('<%sResponse xmlns="%s">%s<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>')
      :format(action, NAMESPACE, result, request_id, action) }
end

local function refuse(self, status, code, message)
  local request_id = self._draw:uuid()
  return { status = status, headers = { ["Content-Type"] = "text/xml", ["x-amzn-RequestId"] = request_id },
    body = ('<ErrorResponse xmlns="%s"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error>'
      .. "<RequestId>%s</RequestId></ErrorResponse>"):format(NAMESPACE, code, message, request_id) }
end

local function confirm(self, query, publisher)
  self.requests.confirm = self.requests.confirm + 1
  local subscription = publisher:confirm(query.TopicArn, query.Token)
  if not subscription then
    return refuse(self, 400, "InvalidParameter", "Invalid parameter: Token")
  end
  return xml(self, "ConfirmSubscription", "<ConfirmSubscriptionResult><SubscriptionArn>" .. subscription.arn
    .. "</SubscriptionArn></ConfirmSubscriptionResult>")
end

local function unsubscribe(self, query, publisher)
  self.requests.unsubscribe = self.requests.unsubscribe + 1
  local id = (query.SubscriptionArn or ""):match("([^:]*)$")
  if not publisher:unsubscribe(id) then
    return refuse(self, 404, "NotFound", "Subscription does not exist")
  end
  return xml(self, "Unsubscribe", "")
end

local ACTIONS = { ConfirmSubscription = confirm, Unsubscribe = unsubscribe }

--- Answers a request to the host.
-- @tparam table request as `paciolan.httpd` gives it
-- @tparam Publisher publisher who knows the subscriptions
-- @treturn table `status`, `headers`, `body`
function Sns:handle(request, publisher)
  local certificate = request.method == "GET" and self.keys:certificate(request.path:sub(2))
  if certificate then
    self.requests.certificate = self.requests.certificate + 1
    return { status = 200, headers = { ["Content-Type"] = "application/x-pem-file" }, body = certificate }
  end
  local query = text.query(request.query)
  local action = request.method == "GET" and request.path == "/" and query and ACTIONS[query.Action]
  if action then
    return action(self, query, publisher)
  end
  self.requests.other = self.requests.other + 1
  return refuse(self, 404, "NotFound", "There is nothing here")
end

return sns
