--- Carries what the sandbox publishes to those who subscribed: POST requests side by side, repeated as Amazon SNS
-- repeats them, without ever waiting for one of them.
--
-- A delivery is a table that the publisher makes: `kind`, `message_id`, `topic`, `subscription_id`, `url`,
-- `compose()`, which returns the list of headers and the body when the first attempt is made, `authorization` (the
-- value of that header, or nil), `waits_for_challenge` (true: the header is sent only after a 401 that asks for it, as
-- Amazon SNS does), `is_wanted()` (false: drop it instead of sending it).
--
-- Only 5xx, 429, timeouts and connections that fail are repeated; any other answer outside of 2xx is final.
-- @module paciolan.sandbox.courier

local core = require "paciolan.core"
local json = require "paciolan.sandbox.json"
local timetable = require "paciolan.sandbox.timetable"

local courier = {}

local Courier = {}
Courier.__index = Courier

local CONCURRENCY = 16
local TIMEOUT_MS = 15000 -- Amazon SNS waits that long for a whole answer
local MAX_ANSWER_BYTES = 65536
local MAX_WAITING = 50000
local MAX_RECORDS = 10000

local STATES = { "queued", "retrying", "delivered", "failed", "gave_up", "dropped" }
local OPEN = { queued = true, retrying = true }

--- How many deliveries may wait at a time.
courier.MAX_WAITING = MAX_WAITING

--- Makes a courier. It opens no connection before the first delivery.
-- @tparam table settings read whenever they are needed: `redelivery_ms`, how long after a failed attempt the next one
-- comes, and `redelivery_tries`, how many come at most after the first
-- @tparam[opt] string ca_file PEM file of roots for https receivers, used instead of the system's
-- @treturn Courier
function courier.new(settings, ca_file)
  local self = setmetatable({ _settings = settings, _ca_file = ca_file }, Courier)
  self:clear()
  return self
end

--- Forgets all deliveries, also those that are under way, and what is known of the past ones.
function Courier:clear()
  if self._batch then
    self._batch:close()
  end
  self._batch, self._under_way, self._under_way_count = nil, {}, 0
  self._timetable, self._records, self._room, self._last_number = timetable.new(), {}, MAX_RECORDS, 0
  self._counts, self._attempts = {}, 0
  for _, state in ipairs(STATES) do
    self._counts[state] = 0
  end
end

local function set_state(self, delivery, state)
  if delivery.state then
    self._counts[delivery.state] = self._counts[delivery.state] - 1
  end
  delivery.state = state
  self._counts[state] = self._counts[state] + 1
end

-- The oldest that have ended go; what is not over stays, however old it is.
local function make_room(self)
  if #self._records < self._room then
    return
  end
  local kept, newest = {}, #self._records - MAX_RECORDS / 2
  for i, delivery in ipairs(self._records) do
    if i > newest or OPEN[delivery.state] then
      kept[#kept + 1] = delivery
    end
  end
  self._records, self._room = kept, math.max(MAX_RECORDS, 2 * #kept)
end

--- Takes a delivery on.
-- @tparam table delivery see above
-- @tparam[opt=0] number delay_ms how long to hold it back
function Courier:add(delivery, delay_ms)
  make_room(self)
  self._last_number = self._last_number + 1
  delivery.number, delivery.tries, delivery.statuses = self._last_number, 0, json.array()
  set_state(self, delivery, "queued")
  self._records[#self._records + 1] = delivery
  self._timetable:add(delivery, core.monotonic_ms() + (delay_ms or 0))
end

--- @treturn number how many deliveries wait or are under way
function Courier:waiting()
  return self._counts.queued + self._counts.retrying
end

--- @treturn boolean is a request under way?
function Courier:is_busy()
  return self._under_way_count > 0
end

-- The message is not needed any more once its delivery is over.
local function finish(self, delivery, state)
  set_state(self, delivery, state)
  delivery.compose, delivery.headers, delivery.body, delivery.authorization = nil, nil, nil, nil
end

local function fail(self, delivery)
  if delivery.tries > self._settings.redelivery_tries then
    return finish(self, delivery, "gave_up")
  end
  set_state(self, delivery, "retrying")
  self._timetable:add(delivery, core.monotonic_ms() + self._settings.redelivery_ms)
end

local function open(self)
  self._session = self._session or core.http.new { proxy = "", ca_file = self._ca_file,
    timeout_ms = TIMEOUT_MS, connect_timeout_ms = TIMEOUT_MS, max_answer_bytes = MAX_ANSWER_BYTES }
  self._batch = self._batch or core.http.batch()
end

local function headers_of(delivery, with_authorization)
  local headers = {}
  for i, header in ipairs(delivery.headers) do
    headers[i] = header
  end
  if with_authorization then
    headers[#headers + 1] = { "Authorization", delivery.authorization }
  end
  return headers
end

local function post(self, delivery, with_authorization)
  open(self)
  local number = self._batch:add(self._session, { method = "POST", url = delivery.url, body = delivery.body,
    headers = headers_of(delivery, with_authorization) })
  delivery.is_authorized = with_authorization
  self._under_way[number] = delivery
  self._under_way_count = self._under_way_count + 1
end

local function attempt(self, delivery)
  delivery.tries = delivery.tries + 1
  self._attempts = self._attempts + 1
  if not delivery.body then
    delivery.headers, delivery.body = delivery.compose()
  end
  post(self, delivery, delivery.authorization ~= nil and not delivery.waits_for_challenge)
end

-- A delivery that cannot be made is over: the reason would be the same the next time.
local function start(self, delivery)
  if delivery.is_wanted and not delivery.is_wanted() then
    return finish(self, delivery, "dropped")
  end
  local ok, problem = pcall(attempt, self, delivery)
  if not ok then
    delivery.statuses[#delivery.statuses + 1] = "impossible"
    finish(self, delivery, "failed")
    return tostring(problem)
  end
end

local function asks_for_basic(answer)
  return answer.status == 401 and (answer.headers["www-authenticate"] or ""):lower():find("^%s*basic%f[%W]") ~= nil
end

local function settle_answer(self, delivery, answer)
  delivery.statuses[#delivery.statuses + 1] = answer.status
  if asks_for_basic(answer) and delivery.authorization and not delivery.is_authorized then
    post(self, delivery, true)
  elseif answer.status >= 200 and answer.status < 300 then
    finish(self, delivery, "delivered")
  elseif answer.status >= 500 or answer.status == 429 then
    fail(self, delivery)
  else
    finish(self, delivery, "failed")
  end
end

local function settle(self)
  local has_moved = false
  local number, answer, failure = self._batch:take()
  while number do
    local delivery = self._under_way[number]
    self._under_way[number] = nil
    self._under_way_count = self._under_way_count - 1
    has_moved = true
    if answer then
      settle_answer(self, delivery, answer)
    else
      delivery.statuses[#delivery.statuses + 1] = failure.kind
      fail(self, delivery)
    end
    number, answer, failure = self._batch:take()
  end
  return has_moved
end

local function start_due(self)
  local now_ms, problem = core.monotonic_ms(), nil
  while self._under_way_count < CONCURRENCY do
    local delivery = self._timetable:take(now_ms)
    if not delivery then
      break
    end
    problem = start(self, delivery) or problem
  end
  return problem
end

--- Starts what is due, lets requests proceed, and settles those that ended.
-- @tparam number wait_ms how long it may wait for one of them; 0 does not wait
-- @treturn boolean has anything ended?
-- @treturn ?string why a message could not be made, for the operator
function Courier:turn(wait_ms)
  local problem = start_due(self)
  if self._under_way_count == 0 then
    return problem ~= nil, problem
  end
  self._batch:wait(wait_ms)
  return settle(self), problem
end

--- How long nothing has to be done for deliveries that wait, when none is under way.
-- @tparam number longest_ms
-- @treturn number milliseconds, at most `longest_ms`
function Courier:patience_ms(longest_ms)
  local next_at_ms = self._timetable:next_at_ms()
  if not next_at_ms then
    return longest_ms
  end
  return math.max(0, math.min(longest_ms, next_at_ms - core.monotonic_ms()))
end

local function view_of(delivery)
  return { number = delivery.number, kind = delivery.kind, messageId = delivery.message_id, topic = delivery.topic,
    subscriptionId = delivery.subscription_id, state = delivery.state, attempts = delivery.tries,
    statuses = delivery.statuses, tamper = delivery.tamper, isLate = delivery.is_late, isCopy = delivery.is_copy }
end

--- What became of the deliveries, ready to be written as JSON. No URL, no credentials and no body stand in it.
-- @tparam number limit how many of them to list, the newest ones
-- @tparam[opt] string message_id only those of this message
-- @treturn table `deliveries`, oldest first; `counts` of all by state, `attempts` and `waiting`
function Courier:view(limit, message_id)
  local list = {}
  for i = #self._records, 1, -1 do
    local delivery = self._records[i]
    if #list < limit and (not message_id or delivery.message_id == message_id) then
      list[#list + 1] = view_of(delivery)
    end
  end
  local ordered = json.array()
  for i = #list, 1, -1 do
    ordered[#ordered + 1] = list[i]
  end
  return { deliveries = ordered, counts = self._counts, attempts = self._attempts, waiting = self:waiting() }
end

--- Closes the connections. What is under way ends without an answer.
function Courier:close()
  if self._batch then
    self._batch:close()
  end
  if self._session then
    self._session:close()
  end
  self._batch, self._session, self._under_way, self._under_way_count = nil, nil, {}, 0
end

return courier
