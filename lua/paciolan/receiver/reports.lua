--- What a receiver tells of its work: counters, alarms, one report per request, warnings. Nothing here ever holds a
-- body, a header, a token or a secret, and every text is cut and escaped, so that it may stand in a log.
-- @module paciolan.receiver.reports
local core = require "paciolan.core"
local errors = require "paciolan.errors"

local reports = {}

local MAX_BYTES = 200
-- The same alarm is raised again after this long at the earliest: what anybody can send must not flood the one who is
-- on call.
local ALARM_PAUSE_S = 300
-- For how long a warning is kept that tells of a single event.
local EVENT_MEMORY_S = 3600

local Reports = {}
Reports.__index = Reports

local function escaped(byte)
  return ("\\x%02x"):format(byte:byte())
end

--- A text of any origin, made fit for a line of a log: at most 200 bytes, printable ASCII, nothing private by its
-- shape.
-- @param value errors of this library become their text, other values that are no strings the name of their type
-- @treturn string
function reports.text(value)
  if errors.is(value) then
    value = tostring(value)
  elseif type(value) ~= "string" then
    return type(value)
  end
  value = value:sub(1, 4 * MAX_BYTES):gsub("[^\32-\126]", escaped)
  return (core.redact_text(value):sub(1, MAX_BYTES))
end

--- Starts counting.
-- @tparam table options of the receiver: `clock`, `on_alarm`, `on_report`, `silence_s`
-- @treturn table the reports
function reports.new(options)
  return setmetatable({
    _options = options, _counters = {}, _raised_at_s = {}, _event_at_s = {}, _waiting = {},
    _started_s = options.clock(),
  }, Reports)
end

--- Counts something once more.
-- @tparam string name
function Reports:count(name)
  self._counters[name] = (self._counters[name] or 0) + 1
end

--- A copy of the counters.
-- @treturn table `{ [name] = number }`
function Reports:counters()
  local copy = {}
  for name, number in pairs(self._counters) do
    copy[name] = number
  end
  return copy
end

-- A hook that raises must not change what the sender is answered.
local function tell(self, hook, event)
  if hook and not pcall(hook, event) then
    self:count("hook_failed")
  end
end

-- Alarms of topics that are not configured, which only raw deliveries have, share one pause: they could be any number.
local function pause_key(self, code, topic_arn)
  local floors = self._options.floors
  return topic_arn and floors and floors[topic_arn] and code .. "\n" .. topic_arn or code
end

--- Tells the application of something that a person should look at. Repetitions for the same topic are counted, and
-- told again after five minutes at the earliest.
-- @tparam string code
-- @tparam string message
-- @tparam ?string topic_arn
function Reports:alarm(code, message, topic_arn)
  self:count("alarm_" .. code)
  local key = pause_key(self, code, topic_arn)
  local now_s, last_s = self._options.clock(), self._raised_at_s[key]
  if last_s and now_s >= last_s and now_s < last_s + ALARM_PAUSE_S then
    return
  end
  self._raised_at_s[key] = now_s
  tell(self, self._options.on_alarm, { code = code, message = message, topic_arn = topic_arn })
end

local shows_life = { done = true, duplicate = true, empty = true, no_handler = true }

--- Tells how a request ended.
-- @tparam number status of the answer
-- @tparam string reason
-- @tparam ?string detail any text
-- @tparam table context `topic`, `message_id`, `subscription`, `entity`, as far as they are known; `is_ours` when the
-- request came with the right credentials, or for a topic that is listened to
function Reports:finish(status, reason, detail, context)
  self:count(reason)
  if shows_life[reason] then
    self._last_message_s = self._options.clock()
  elseif status == 503 then
    self:remember("postponed")
  elseif status == 400 and context.is_ours then
    self:remember("refused")
  end
  local hook = self._options.on_report
  if hook then
    tell(self, hook, {
      verdict = status < 300 and "accepted" or status == 503 and "postponed" or "refused",
      reason = reason, status = status, detail = detail and reports.text(detail),
      topic = context.topic, message_id = context.message_id, subscription = context.subscription,
      entity = context.entity and reports.text(context.entity),
    })
  end
end

--- Remembers for the watchdog that something happened.
-- @tparam string code
function Reports:remember(code)
  self._event_at_s[code] = self._options.clock()
end

--- Forgets that again.
-- @tparam string code
function Reports:forget(code)
  self._event_at_s[code] = nil
end

--- Remembers that a person has to confirm a subscription, until one is confirmed or a message of that topic came.
-- @tparam string topic_arn
-- @tparam boolean is_waiting
function Reports:set_waiting(topic_arn, is_waiting)
  self._waiting[topic_arn] = is_waiting or nil
end

-- --- warnings -----------------------------------------------------------------------------------------------------

local event_texts = {
  fetch_failed = "the last fetch of a signing certificate failed",
  reservation_lost = "a handler took longer than reserve_s, so its message may have been handled twice",
  postponed = "deliveries were answered 503 within the last hour; SNS gives up after its retries, and then a message is"
    .. " lost unless the owner of the topic has attached a dead-letter queue to the subscription",
  refused = "requests with the right credentials, or for a topic of ours, were refused for good within the last hour;"
    .. " counters and reports name the reasons",
  certificate_rationed = "new addresses of signing certificates were more than the ration within the last hour, so that"
    .. " a new certificate may have to wait; set basic_auth, and use a store that survives",
}

local function add_events(self, now_s, warnings)
  for _, code in ipairs { "certificate_rationed", "fetch_failed", "postponed", "refused", "reservation_lost" } do
    local at_s = self._event_at_s[code]
    if at_s and now_s - at_s < EVENT_MEMORY_S then
      warnings[#warnings + 1] = { code = code, message = event_texts[code] }
    end
  end
end

local function add_waiting(self, warnings)
  local topics = {}
  for topic in pairs(self._waiting) do
    topics[#topics + 1] = topic
  end
  table.sort(topics)
  for _, topic in ipairs(topics) do
    warnings[#warnings + 1] = {
      code = "confirmation_waiting", message = "a subscription waits for a person to confirm it", topic_arn = topic,
    }
  end
end

--- What is wrong now, but for the certificates.
-- @tparam number now_s unix seconds
-- @treturn table list of `{ code, message, topic_arn }`
function Reports:warnings(now_s)
  local warnings = {}
  local silence_s = now_s - (self._last_message_s or self._started_s)
  if self._options.silence_s and silence_s >= self._options.silence_s then
    warnings[1] = { code = "silence", message = ("no message for %d minutes"):format(math.floor(silence_s / 60)) }
  end
  add_events(self, now_s, warnings)
  add_waiting(self, warnings)
  return warnings
end

return reports
