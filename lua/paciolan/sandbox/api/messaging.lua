--- /_sandbox/: subscriptions, what is published to them, and what became of it. Like the other control calls, none of
-- it exists in the service, and none of it asks for credentials.
-- @module paciolan.sandbox.api.messaging

local answers = require "paciolan.sandbox.answers"
local json = require "paciolan.sandbox.json"
local keys = require "paciolan.sandbox.keys"
local misdelivery = require "paciolan.sandbox.misdelivery"
local sns = require "paciolan.sandbox.sns"
local subscriptions = require "paciolan.sandbox.subscriptions"
local triggers = require "paciolan.sandbox.triggers"

local messaging = {}

local DEFAULT_LIMIT, LARGEST_LIMIT = 100, 10000

local function bad(message)
  return nil, answers.refusal(400, "BAD_REQUEST", message)
end

local function unknown(message)
  return nil, answers.refusal(404, "NOT_FOUND", message)
end

-- --- subscriptions -------------------------------------------------------------------------------------------------

--- POST subscriptions: subscribes a URL of this machine, once for each topic and mode.
function messaging.subscribe(box, call)
  local subscription, rule = box.publisher:subscribe(call.payload)
  if not subscription then
    return bad(rule)
  end
  return 200, subscriptions.view_of(subscription)
end

--- GET subscriptions.
function messaging.subscriptions(box)
  return 200, { subscriptions = box.publisher.subscriptions:view() }
end

--- GET subscriptions/{id}.
function messaging.subscription(box, call)
  local subscription = box.publisher.subscriptions:get(call.id)
  if not subscription then
    return unknown("There is no such subscription")
  end
  return 200, subscriptions.view_of(subscription)
end

--- DELETE subscriptions/{id}: ends it, and says so to an envelope one unless the query has silent=1.
function messaging.unsubscribe(box, call)
  local silent = call.query.silent
  if silent and silent ~= "1" then
    return bad("silent must be 1")
  end
  local subscription = box.publisher:unsubscribe(call.id, silent ~= nil)
  if not subscription then
    return unknown("There is no such subscription")
  end
  return 200, subscriptions.view_of(subscription)
end

-- --- publishing ----------------------------------------------------------------------------------------------------

local TYPES = { topic = "string", entity = "string", subject = "string", items = "table", bodies = "table",
  organization_id = "string" }

-- What the call says of its messages, and what is left of it: what is to go wrong.
local function read_publish(payload)
  local given, wishes = {}, {}
  for key, value in pairs(payload) do
    if TYPES[key] and type(value) ~= TYPES[key] then
      return nil, key .. " must be a " .. (TYPES[key] == "table" and "list" or TYPES[key])
    elseif TYPES[key] or key == "body" then
      given[key] = value
    else
      wishes[key] = value
    end
  end
  given.topic = sns.topic_name(given.topic or given.entity) or ""
  local forms = (given.body ~= nil and 1 or 0) + (given.bodies and 1 or 0) + (given.items and 1 or 0)
  if forms ~= 1 then
    return nil, "One of body, bodies and items must be given"
  elseif given.organization_id and not given.organization_id:find("^%d%d?%d?%d?%d?%d?%d?%d?%d?$") then
    return nil, "organization_id must be digits"
  end
  return given, wishes
end

local function as_text(body)
  return type(body) == "table" and json.encode(body) or body
end

local function bodies_of(box, given)
  if given.items then
    return { box.publisher:compose(given.topic, given.items, given.organization_id or "129") }
  end
  local bodies = {}
  for i, body in ipairs(given.bodies or { given.body }) do
    bodies[i] = as_text(body)
  end
  return bodies
end

local function published(list, deliveries)
  if not list then
    return bad(deliveries)
  end
  return 200, { messages = list, deliveries = deliveries }
end

--- POST publish: messages of any content, to the live subscriptions of a topic.
function messaging.publish(box, call)
  local given, wishes = read_publish(call.payload)
  if not given then
    return bad(wishes)
  end
  return published(box.publisher:publish(given.topic, bodies_of(box, given), given.subject, wishes))
end

--- POST trigger: something happens in the world, and is published.
function messaging.trigger(box, call)
  return published(triggers.run(box, call.payload))
end

--- GET publish/plan: what goes wrong with all messages.
function messaging.show_plan(box)
  return 200, box.publisher.plan:view()
end

--- POST publish/plan: what goes wrong from now on, instead of what went wrong before.
function messaging.set_plan(box, call)
  local rule = misdelivery.check(call.payload, misdelivery.OF_PLAN)
  if rule then
    return bad(rule)
  end
  box.publisher.plan:set(call.payload)
  return messaging.show_plan(box)
end

--- DELETE publish/plan: nothing goes wrong any more.
function messaging.clear_plan(box)
  box.publisher.plan:set {}
  return messaging.show_plan(box)
end

-- --- looking -------------------------------------------------------------------------------------------------------

local function limit_of(call)
  local text = call.query.limit
  local limit = text and text:find("^%d%d?%d?%d?%d?$") and tonumber(text)
  if text and not (limit and limit <= LARGEST_LIMIT) then
    return nil, string.format("limit must be a whole number from 0 to %d", LARGEST_LIMIT)
  end
  return limit or DEFAULT_LIMIT
end

--- GET deliveries: the newest ones, and the counts of all.
function messaging.deliveries(box, call)
  local limit, rule = limit_of(call)
  if not limit then
    return bad(rule)
  end
  return 200, box.publisher.courier:view(limit)
end

--- GET deliveries/{messageId}: those of one message.
function messaging.deliveries_of(box, call)
  return 200, box.publisher.courier:view(LARGEST_LIMIT, call.id)
end

--- GET messages: the newest ones that were published, whether anybody had subscribed or not.
function messaging.messages(box, call)
  local limit, rule = limit_of(call)
  if not limit then
    return bad(rule)
  end
  return 200, box.publisher:view(limit)
end

-- What a receiver must know. The listener opens with the first look at it.
local function sns_view(box)
  local publisher, address = box.publisher, box:open_sns()
  return { topics = sns.TOPICS, host = sns.HOST, connectTo = address, root = publisher.sns.keys:root(),
    certificateUrl = publisher.sns:certificate_url(), requests = publisher.sns.requests }
end

local function without_keys()
  local _, missing = keys.module()
  return missing and answers.refusal(501, "NOT_IMPLEMENTED", missing)
end

--- GET sns: the topics, the root of all certificates, and where the host of the certificates is found.
function messaging.sns(box)
  local refusal = without_keys()
  if refusal then
    return nil, refusal
  end
  return 200, sns_view(box)
end

--- POST sns/rotate: another key signs from now on, and its certificate has another URL.
function messaging.rotate(box)
  local refusal = without_keys()
  if refusal then
    return nil, refusal
  end
  box.publisher.sns.keys:rotate()
  return 200, sns_view(box)
end

return messaging
