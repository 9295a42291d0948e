--- Publishes messages about events and seats to those who subscribed, as the service does, and posts results to
-- callback URLs. Nothing waits here: the sandbox lets the courier proceed in its own loop.
-- @module paciolan.sandbox.publisher

local catalog = require "paciolan.sandbox.api.catalog"
local courier = require "paciolan.sandbox.courier"
local ids = require "paciolan.sandbox.ids"
local json = require "paciolan.sandbox.json"
local keys = require "paciolan.sandbox.keys"
local loopback = require "paciolan.sandbox.loopback"
local misdelivery = require "paciolan.sandbox.misdelivery"
local sns = require "paciolan.sandbox.sns"
local subscriptions = require "paciolan.sandbox.subscriptions"
local text = require "paciolan.sandbox.text"

local publisher = {}

local Publisher = {}
Publisher.__index = Publisher

local MAX_MESSAGE_BYTES = 262144 -- the limit of Amazon SNS
local MAX_SUBJECT_BYTES = 100
local SEATS_PER_MESSAGE = 100
local MAX_KEPT = 1000
local TOKEN_START = "2336412f37fb687f5d51e6e2425929f52e8e3531"
local AGENT = "Paciolan Messaging Service (sandbox)"

--- Makes the publisher of a sandbox.
-- @tparam table options `seed`; `now`, a function that returns unix seconds for the times of messages; `settings` and
-- `ca_file`, see `paciolan.sandbox.courier`; `key_dir`, see `paciolan.sandbox.keys`; `on_error`, called with a text
-- @treturn Publisher
function publisher.new(options)
  -- A receiver remembers ids and tokens for long. Were they the same after the next start, it would take what is new
  -- for a repetition, so the time of the start is a part of their seed.
  local seed = options.seed .. "\0" .. text.sns_date(options.now())
  local self = setmetatable({
    sns = sns.new(seed, options), courier = courier.new(options.settings, options.ca_file),
    subscriptions = subscriptions.new(), plan = misdelivery.new(options.seed), _now = options.now,
    _on_error = options.on_error,
    _ids = ids.stream(seed, "messages"), _tokens = ids.stream(seed, "subscription tokens"),
    _kept = {}, _first_kept = 1, _published = 0,
  }, Publisher)
  return self
end

--- Forgets messages and deliveries. Subscriptions, keys and the plan stay, and ids go on, since receivers know the
-- former ones.
function Publisher:reset()
  self.courier:clear()
  self._kept, self._first_kept, self._published = {}, 1, 0
end

-- --- deliveries ----------------------------------------------------------------------------------------------------

local function keep(self, message)
  self._published = self._published + 1
  self._kept[self._published] = message
  if self._published - self._first_kept >= MAX_KEPT then
    self._kept[self._first_kept] = nil
    self._first_kept = self._first_kept + 1
  end
end

local function new_message(self, fields)
  fields.id, fields.at_s, fields.signatures = self._ids:uuid(), self._now() - (fields.age_s or 0), {}
  fields.topic_arn = sns.TOPICS[fields.topic]
  return fields
end

local COMPOSE = {
  envelope = function(self, message, subscription, tamper)
    return self.sns:envelope(message, subscription, tamper)
  end,
  raw = function(self, message, subscription)
    return self.sns:raw(message, subscription)
  end,
  direct = function(_, message)
    return { { "Content-Type", "application/json" }, { "User-Agent", AGENT } }, message.body
  end,
}

local function deliver(self, message, subscription, copy, delay_ms)
  local compose = COMPOSE[subscription.mode]
  self.courier:add({
    kind = message.type, message_id = message.id, topic = message.topic, subscription_id = subscription.id,
    url = subscription.url, authorization = subscription.authorization,
    waits_for_challenge = subscription.mode ~= "direct", tamper = copy.tamper, is_late = copy.is_late,
    is_copy = copy.is_copy,
    compose = function() return compose(self, message, subscription, copy.tamper) end,
    is_wanted = function() return subscription.state ~= "ended" or message.type == "UnsubscribeConfirmation" end,
  }, delay_ms)
end

-- What is forged or stale shows only in an envelope. A receiver of the other forms could not tell it from the truth.
local function fits(copy, subscription)
  return subscription.mode == "envelope" or not (copy.is_late or copy.is_copy and copy.tamper)
end

local function copy_of(message)
  local other = {}
  for name, value in pairs(message) do
    other[name] = value
  end
  return other
end

local function send(self, message, live, wishes)
  local count = 0
  for _, copy in ipairs(self.plan:copies(wishes)) do
    local sent = message
    if copy.is_late then
      sent = copy_of(message)
      sent.age_s = copy.age_s
      new_message(self, sent)
    end
    for _, subscription in ipairs(live) do
      if fits(copy, subscription) then
        local tamper = subscription.mode == "envelope" and copy.tamper or nil
        deliver(self, sent, subscription, { tamper = tamper, is_late = copy.is_late, is_copy = copy.is_copy },
          self.plan:delay_ms(wishes))
        count = count + 1
      end
    end
  end
  return count
end

local function check_text(body)
  if type(body) ~= "string" or body == "" then
    return "A message must be a text that is not empty, or an object"
  elseif #body > MAX_MESSAGE_BYTES then
    return string.format("A message may have %d bytes at most", MAX_MESSAGE_BYTES)
  end
end

local function check(self, topic, bodies, subject, wishes)
  local rule = misdelivery.check(wishes, misdelivery.OF_PUBLISH)
  local live = sns.TOPICS[topic] and #self.subscriptions:live(topic) or 0
  if not sns.TOPICS[topic] then
    rule = "topic must be events or seats, or the ARN of one of them"
  elseif subject and (subject == "" or #subject > MAX_SUBJECT_BYTES or subject:find("%c")) then
    rule = string.format("subject must have 1 to %d bytes and no control character", MAX_SUBJECT_BYTES)
  elseif self.courier:waiting() + #bodies * live > courier.MAX_WAITING then
    rule = string.format("More than %d deliveries would wait", courier.MAX_WAITING)
  end
  for _, body in ipairs(bodies) do
    rule = rule or check_text(body)
  end
  return rule
end

--- Publishes messages to the live subscriptions of a topic.
-- @tparam string topic its name
-- @tparam table bodies list of texts
-- @tparam[opt] string subject
-- @tparam[opt] table wishes what is to go wrong, see `paciolan.sandbox.misdelivery`
-- @treturn table the ids of the messages
-- @treturn number how many deliveries wait for them
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken; then nothing was published
function Publisher:publish(topic, bodies, subject, wishes)
  wishes = wishes or {}
  local rule = check(self, topic, bodies, subject, wishes)
  if rule then
    return nil, rule
  end
  local list, deliveries, live = json.array(), 0, self.subscriptions:live(topic)
  for i, body in ipairs(bodies) do
    local message = new_message(self, { type = "Notification", topic = topic, body = body, subject = subject,
      age_s = wishes.age_s })
    keep(self, message)
    deliveries = deliveries + send(self, message, live, wishes)
    list[i] = message.id
  end
  return list, deliveries
end

-- --- what is published by itself -----------------------------------------------------------------------------------

--- Writes the body of a message.
-- @tparam string topic its name, which is the entity too
-- @tparam table items
-- @tparam string organization_id digits
-- @treturn string
function Publisher:compose(topic, items, organization_id)
  return json.encode { data = { [topic] = json.array(items) }, metadata = { messageEntity = topic,
    pacOrganizationId = tonumber(organization_id), requestId = self._ids:text(6, ids.HEX) } }
end

local function seat_item(seat, status)
  return { accessId = seat.access_id, season = seat.season, item = seat.item, section = seat.section, row = seat.row,
    seat = seat.seat, status = status }
end

-- Lists of seats, each of one organization and short enough for a message.
local function batches_of(seats)
  local batches, open = {}, {}
  for _, seat in ipairs(seats) do
    local batch = open[seat.organization_id]
    if not batch or #batch == SEATS_PER_MESSAGE then
      batch = {}
      open[seat.organization_id] = batch
      batches[#batches + 1] = batch
    end
    batch[#batch + 1] = seat
  end
  return batches
end

--- Publishes that seats were locked or unlocked, one message for each organization and hundred seats.
-- @tparam table seats of the inventory; none publishes nothing
-- @tparam string status `LOCK` or `UNLOCK`
-- @tparam[opt] table wishes as in `publish`
-- @treturn table the ids of the messages
-- @treturn number how many deliveries wait for them
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken
function Publisher:seats_changed(seats, status, wishes)
  local bodies = {}
  for i, batch in ipairs(batches_of(seats)) do
    local items = {}
    for at, seat in ipairs(batch) do
      items[at] = seat_item(seat, status)
    end
    bodies[i] = self:compose("seats", items, batch[1].organization_id)
  end
  return self:publish("seats", bodies, nil, wishes)
end

local EVENT_FIELDS = { "accessId", "seasonCode", "itemCode", "itemBasis", "itemName", "startDate", "startTime",
  "endDate", "endTime", "facilityCode", "facilityName" }

--- Publishes how an event looks now.
-- @tparam table event of the inventory
-- @tparam[opt] table wishes as in `publish`
-- @treturn table the ids of the messages
-- @treturn number how many deliveries wait for them
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken
function Publisher:event_changed(event, wishes)
  local known, item = catalog.item(event), {}
  for _, name in ipairs(EVENT_FIELDS) do
    item[name] = known[name]
  end
  return self:publish("events", { self:compose("events", { item }, event.organization_id) }, nil, wishes)
end

--- Posts the result of an order or transfer to the URL that its call gave, if that is on this machine.
-- @tparam ?string url maybe with user and password
-- @tparam table body
function Publisher:call_back(url, body)
  local place = url and loopback.read(url)
  if not place or self.courier:waiting() >= courier.MAX_WAITING then
    return
  end
  self.courier:add { kind = "callback", url = place.url,
    authorization = place.user and text.basic(place.user, place.password),
    compose = function()
      return { { "Content-Type", "application/json" }, { "User-Agent", AGENT } }, json.encode(body)
    end }
end

-- --- subscriptions -------------------------------------------------------------------------------------------------

local function confirmation(self, subscription, type, body)
  local message = new_message(self, { type = type, topic = subscription.topic, body = body,
    token = TOKEN_START .. self._tokens:text(256 - #TOKEN_START, ids.HEX) })
  self.subscriptions:remember_token(subscription, message.token)
  deliver(self, message, subscription, {})
end

local SUBSCRIBED = "You have chosen to subscribe to the topic %s.\n"
  .. "To confirm the subscription, visit the SubscribeURL included in this message."
local ENDED = "You have chosen to deactivate subscription %s.\n"
  .. "To cancel this operation and restore the subscription, visit the SubscribeURL included in this message."

--- Subscribes. An envelope subscription that is not given as confirmed is asked for its confirmation.
-- @tparam table given see `docs/sandbox.md`
-- @treturn table the subscription
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken
function Publisher:subscribe(given)
  if (given.mode or "envelope") == "envelope" then
    local has_keys, missing = keys.module()
    if not has_keys then
      return nil, missing
    end
  end
  local subscription, rule = self.subscriptions:add(given, self._ids:uuid())
  if not subscription then
    return nil, rule
  elseif subscription.state == "pending" then
    confirmation(self, subscription, "SubscriptionConfirmation", SUBSCRIBED:format(sns.TOPICS[subscription.topic]))
  end
  return subscription
end

--- Confirms the subscription of a token, as the host of Amazon does.
-- @tparam ?string topic_arn
-- @tparam ?string token
-- @treturn ?table the subscription, nil when there is none
function Publisher:confirm(topic_arn, token)
  return self.subscriptions:confirm(topic_arn, token)
end

--- Ends a subscription. A live envelope one is told so by an UnsubscribeConfirmation.
-- @tparam string id
-- @tparam[opt] boolean is_silent without that message, for a receiver that ends
-- @treturn ?table the subscription, nil when there is none
function Publisher:unsubscribe(id, is_silent)
  local subscription = self.subscriptions:get(id)
  local was_live = subscription and subscription.state == "live"
  if self.subscriptions:remove(id) and was_live and not is_silent and subscription.mode == "envelope" then
    confirmation(self, subscription, "UnsubscribeConfirmation", ENDED:format(subscription.arn))
  end
  return subscription
end

-- --- looking and going on ------------------------------------------------------------------------------------------

--- The newest messages, ready to be written as JSON.
-- @tparam number limit
-- @treturn table `messages`, oldest first, and `published`, how many there were in all
function Publisher:view(limit)
  local list = json.array()
  for i = math.max(self._first_kept, self._published - limit + 1), self._published do
    local message = self._kept[i]
    list[#list + 1] = { messageId = message.id, topic = message.topic, subject = message.subject, body = message.body,
      timestamp = text.sns_date(message.at_s) }
  end
  return { messages = list, published = self._published }
end

--- Lets the deliveries proceed.
-- @tparam number wait_ms how long it may wait for one that is under way
-- @treturn boolean has anything moved?
function Publisher:turn(wait_ms)
  local has_moved, problem = self.courier:turn(wait_ms)
  if problem and self._on_error then
    self._on_error(problem)
  end
  return has_moved
end

--- Closes the connections.
function Publisher:close()
  self.courier:close()
end

return publisher
