--- Counters in a shared dict of nginx, and their text for Prometheus.
--
-- The key of a counter is its series, as it is written. All labels have a few known values, so that neither a peer nor
-- a caller can make new series, and a scrape asks for the known keys instead of walking through the dict, which would
-- lock it. Counting never puts a token out of the dict: what finds no room is not counted.
-- @module resty.paciolan.metrics

-- luacheck: globals ngx

local answering = require "resty.paciolan.answering"
local call = require "paciolan.call"
local paciolan_receiver = require "paciolan.receiver"

local metrics = {}

local Metrics = {}
Metrics.__index = Metrics

local OUTCOMES = { "done", "not_sent", "rejected", "unknown", "failed", "partial" }
local STEPS, RESULTS = { "refresh", "exchange" }, { "done", "refused", "failed" }
local ENTITIES, VERDICTS = { "events", "seats", "callback", "other" }, { "accepted", "refused", "postponed" }

-- Upper bounds in milliseconds; the last bucket has none.
local BOUNDS_MS = { 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000 }
local LAST = #BOUNDS_MS + 1

local operations = {}
for name in pairs(call.operations) do
  operations[#operations + 1] = name
end
table.sort(operations)

-- --- series -------------------------------------------------------------------------------------------------------

-- All keys of a counter with two labels, or with one: `keys[first][second]`, `keys[first]`.
local function series(name, label, values, other_label, other_values)
  local keys = {}
  for _, value in ipairs(values) do
    if other_values then
      keys[value] = {}
      for _, other in ipairs(other_values) do
        keys[value][other] = ('%s{%s="%s",%s="%s"}'):format(name, label, value, other_label, other)
      end
    else
      keys[value] = ('%s{%s="%s"}'):format(name, label, value)
    end
  end
  return keys
end

local function text_of_bound(number)
  return number == LAST and "+Inf" or ("%g"):format(BOUNDS_MS[number] / 1000)
end

local bounds = {}
for number = 1, LAST do
  bounds[number] = text_of_bound(number)
end

local DURATION = "paciolan_call_duration_seconds"

local keys = {
  calls = series("paciolan_calls_total", "operation", operations, "outcome", OUTCOMES),
  -- Each bucket is kept alone and without those below it, and the sum in milliseconds.
  buckets = series(DURATION .. "_bucket", "operation", operations, "le", bounds),
  sums = series(DURATION .. "_sum", "operation", operations),
  attempts = series("paciolan_attempts_total", "operation", operations),
  retries = series("paciolan_retries_total", "operation", operations),
  rotations = series("paciolan_rotations_total", "step", STEPS, "result", RESULTS),
  messages = series("paciolan_messages_total", "entity", ENTITIES, "verdict", VERDICTS),
  duplicates = series("paciolan_messages_duplicate_total", "entity", ENTITIES),
}

local counts = series(DURATION .. "_count", "operation", operations)

-- --- counting -----------------------------------------------------------------------------------------------------

-- `incr` with an initial value would put something else out of a full dict.
local function add(dict, key, number)
  if key == nil then
    return
  end
  local sum, problem = dict:incr(key, number)
  if not sum and problem == "not found" then
    local is_new, why = dict:safe_add(key, number)
    if not is_new and why == "exists" then
      dict:incr(key, number)
    end
  end
end

local function bucket_of(elapsed_ms)
  for number, bound_ms in ipairs(BOUNDS_MS) do
    if elapsed_ms <= bound_ms then
      return bounds[number]
    end
  end
  return bounds[LAST]
end

local function outcome_of(event)
  if not event.kind then
    return "done"
  end
  return event.kind == "partial" and "partial" or event.outcome or "failed"
end

local function result_of(event)
  if event.ok then
    return "done"
  end
  return event.kind == "auth" and "refused" or "failed"
end

local count_of = {
  call = function(dict, event)
    local operation = event.operation
    add(dict, keys.calls[operation][outcome_of(event)], 1)
    add(dict, keys.buckets[operation][bucket_of(event.elapsed_ms)], 1)
    add(dict, keys.sums[operation], event.elapsed_ms)
  end,
  request = function(dict, event) add(dict, keys.attempts[event.operation], 1) end,
  retry = function(dict, event) add(dict, keys.retries[event.operation], 1) end,
  rotation = function(dict, event) add(dict, keys.rotations[event.step][result_of(event)], 1) end,
}

--- A hook for `on_event` of a link: counts, and then tells the application's own.
-- @tparam ?function told the application's own hook
-- @treturn function
function Metrics:hook(told)
  local dict = self._dict
  return function(event)
    local count = count_of[event.type]
    if count then
      pcall(count, dict, event)
    end
    if told then
      told(event)
    end
  end
end

-- --- messages -----------------------------------------------------------------------------------------------------

local known_entities = {}
for _, entity in ipairs(ENTITIES) do
  known_entities[entity] = true
end

-- A receiver does not read a repetition. It has believed it, and a look at the text will do for a label: in an envelope
-- the quotes of the message are escaped.
local function entity_of_repetition(body)
  return body:match('"messageEntity\\*"%s*:%s*\\*"(%a+)')
end

local function count_message(dict, report, request)
  local is_repetition = report.reason == "duplicate"
  local entity = report.entity or (is_repetition and entity_of_repetition(request.body))
  entity = known_entities[entity] and entity or "other"
  add(dict, keys.messages[entity][report.verdict], 1)
  if is_repetition then
    add(dict, keys.duplicates[entity], 1)
  end
end

--- Makes a receiver whose answers are counted.
-- @tparam table options of `paciolan.receiver`
-- @treturn table the receiver
function Metrics:receiver(options)
  local dict, told, last = self._dict, options.on_report, nil
  -- The report is told last, and from here to the end of `handle` no other request comes between.
  options.on_report = function(report)
    local ok, problem = true, nil
    if told then
      ok, problem = pcall(told, report)
    end
    last = report
    if not ok then
      error(problem, 0)
    end
  end
  local made = paciolan_receiver.new(options)
  local handle = made.handle
  function made.handle(receiver, request)
    local answer = handle(receiver, request)
    local report = last
    last = nil
    pcall(count_message, dict, report, request)
    return answer
  end
  return made
end

-- --- the text -----------------------------------------------------------------------------------------------------

local function write(lines, key, value, form)
  lines[#lines + 1] = ("%s " .. (form or "%.0f")):format(key, value)
end

local function write_counters(dict, lines, of_label)
  for _, value in ipairs(of_label.order) do
    local found = of_label.keys[value]
    for _, key in ipairs(type(found) == "table" and of_label.pick(found) or { found }) do
      local number = dict:get(key)
      if number then
        write(lines, key, number)
      end
    end
  end
end

local function picker(values)
  return function(found)
    local list = {}
    for i, value in ipairs(values) do
      list[i] = found[value]
    end
    return list
  end
end

-- Buckets of the format hold those below them too.
local function write_histogram(dict, lines)
  for _, operation in ipairs(operations) do
    local sum, count = dict:get(keys.sums[operation]), 0
    for _, bound in ipairs(sum and bounds or {}) do
      local key = keys.buckets[operation][bound]
      count = count + (dict:get(key) or 0)
      write(lines, key, count)
    end
    if sum then
      write(lines, keys.sums[operation], sum / 1000, "%.3f")
      write(lines, counts[operation], count)
    end
  end
end

local function of(name, order, values)
  local parts = { order = order, keys = keys[name], pick = values and picker(values) }
  return function(dict, lines) write_counters(dict, lines, parts) end
end

-- Name, type, help, and what writes it.
local families = {
  { "paciolan_calls_total", "counter", "Calls that ended, by outcome.", of("calls", operations, OUTCOMES) },
  { DURATION, "histogram", "How long calls took, with all repetitions.", write_histogram },
  { "paciolan_attempts_total", "counter", "Requests that went out.", of("attempts", operations) },
  { "paciolan_retries_total", "counter", "Repetitions of requests.", of("retries", operations) },
  { "paciolan_rotations_total", "counter", "Renewals of the access token.", of("rotations", STEPS, RESULTS) },
  { "paciolan_messages_total", "counter", "Messages and callbacks that were answered.",
    of("messages", ENTITIES, VERDICTS) },
  { "paciolan_messages_duplicate_total", "counter", "Messages that had been handled before.",
    of("duplicates", ENTITIES) },
}

--- The metrics in the text format 0.0.4.
-- @treturn string
function Metrics:text()
  local lines = {}
  for _, family in ipairs(families) do
    local name, kind, help, fill = family[1], family[2], family[3], family[4]
    lines[#lines + 1] = ("# HELP %s %s"):format(name, help)
    lines[#lines + 1] = ("# TYPE %s %s"):format(name, kind)
    fill(self._dict, lines)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Answers the request of this handler.
function Metrics:answer()
  local method = ngx.req.get_method()
  if method ~= "GET" and method ~= "HEAD" then
    return answering.send(405, { Allow = "GET, HEAD", ["Content-Type"] = "text/plain" }, "metrics are read with GET\n")
  elseif not self._dict then
    return answering.send(404, { ["Content-Type"] = "text/plain" }, "metrics are switched off\n")
  end
  return answering.send(200, { ["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8" }, self:text())
end

--- Opens the metrics.
-- @tparam ?table dict of `ngx.shared`; nil where metrics are switched off
-- @treturn table
function metrics.new(dict)
  return setmetatable({ _dict = dict }, Metrics)
end

return metrics
