--- Who wants the messages of a topic, and in which form.
--
-- A subscription is a table: `id`, `arn`, `topic` (its name), `mode` (`envelope`, `raw` or `direct`),
-- `signature_version`, `url`, `authorization` (a header's value, or nil), `state` (`pending`, `live` or `ended`).
-- @module paciolan.sandbox.subscriptions

local json = require "paciolan.sandbox.json"
local loopback = require "paciolan.sandbox.loopback"
local sns = require "paciolan.sandbox.sns"
local text = require "paciolan.sandbox.text"

local subscriptions = {}

local List = {}
List.__index = List

local MAX_COUNT = 100
local MODES = { envelope = true, raw = true, direct = true }
local TYPES = { url = "string", topic = "string", mode = "string", signature_version = "number", user = "string",
  password = "string", confirmed = "boolean" }

--- @treturn List an empty one
function subscriptions.new()
  return setmetatable({ _list = {}, _by_id = {}, _by_token = {} }, List)
end

local function check_values(given)
  if not given.url then
    return "url is required"
  elseif not sns.topic_name(given.topic) then
    return "topic must be events or seats, or the ARN of one of them"
  elseif not MODES[given.mode or "envelope"] then
    return "mode must be envelope, raw or direct"
  elseif given.signature_version and given.signature_version ~= 1 and given.signature_version ~= 2 then
    return "signature_version must be 1 or 2"
  elseif (given.user == nil) ~= (given.password == nil) then
    return "user and password go together"
  elseif given.user and given.user:find(":", 1, true) then
    return "user must not hold a colon"
  elseif given.confirmed ~= nil and (given.mode or "envelope") ~= "envelope" then
    return "confirmed goes with the mode envelope only"
  end
end

local function check(given)
  for key, value in pairs(given) do
    if type(value) ~= TYPES[key] then
      return "The keys are url, topic, mode, signature_version, user, password and confirmed, all strings but for "
        .. "signature_version, a number, and confirmed, true or false"
    end
  end
  return check_values(given)
end

-- Who subscribes again does not know of the first time, as after the end of a program that could not unsubscribe.
local function remove_same(self, url, topic, mode)
  for i = #self._list, 1, -1 do
    local other = self._list[i]
    if other.url == url and other.topic == topic and other.mode == mode then
      self:remove(other.id)
    end
  end
end

--- Adds a subscription, instead of one with the same URL, topic and mode. An envelope one is pending unless it is given
-- as confirmed; the others need no confirmation.
-- @tparam table given see `docs/sandbox.md`
-- @tparam string id a UUID that no other has
-- @treturn table the subscription
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken
function List:add(given, id)
  local rule = check(given)
  local place
  if not rule then
    place, rule = loopback.read(given.url)
    rule = rule and "url " .. rule
  end
  if rule then
    return nil, rule
  end
  local topic, mode = sns.topic_name(given.topic), given.mode or "envelope"
  remove_same(self, place.url, topic, mode)
  if #self._list >= MAX_COUNT then
    return nil, string.format("There are %d subscriptions, and no more are possible", MAX_COUNT)
  end
  local user, password = given.user or place.user, given.password or place.password
  local subscription = { id = id, arn = sns.TOPICS[topic] .. ":" .. id, topic = topic, mode = mode, url = place.url,
    signature_version = given.signature_version or 1, authorization = user and text.basic(user, password),
    state = (mode ~= "envelope" or given.confirmed) and "live" or "pending" }
  self._list[#self._list + 1] = subscription
  self._by_id[id] = subscription
  return subscription
end

--- Lets a token confirm a subscription.
-- @tparam table subscription
-- @tparam string token
function List:remember_token(subscription, token)
  self._by_token[token] = subscription
end

local function put_back(self, subscription)
  if not self._by_id[subscription.id] then
    self._list[#self._list + 1] = subscription
    self._by_id[subscription.id] = subscription
  end
end

--- Makes the subscription of a token live. A token may be used again, and that of an end brings the subscription back.
-- @tparam ?string topic_arn
-- @tparam ?string token
-- @treturn ?table the subscription; nil when there is none for them
function List:confirm(topic_arn, token)
  local subscription = token and self._by_token[token]
  if not subscription or sns.TOPICS[subscription.topic] ~= topic_arn then
    return nil
  end
  put_back(self, subscription)
  subscription.state = "live"
  return subscription
end

--- Ends a subscription.
-- @tparam string id
-- @treturn ?table the subscription, nil when there is none
function List:remove(id)
  local subscription = self._by_id[id]
  if not subscription then
    return nil
  end
  for i, other in ipairs(self._list) do
    if other == subscription then
      table.remove(self._list, i)
      break
    end
  end
  self._by_id[id] = nil
  subscription.state = "ended"
  return subscription
end

--- @tparam string id
-- @treturn ?table
function List:get(id)
  return self._by_id[id]
end

--- @tparam string topic name
-- @treturn table those that messages of the topic go to
function List:live(topic)
  local found = {}
  for _, subscription in ipairs(self._list) do
    if subscription.topic == topic and subscription.state == "live" then
      found[#found + 1] = subscription
    end
  end
  return found
end

--- A subscription ready to be written as JSON: without its credentials, and without the query of its URL.
-- @tparam table subscription
-- @treturn table
function subscriptions.view_of(subscription)
  return { id = subscription.id, arn = subscription.arn, topic = subscription.topic, mode = subscription.mode,
    signature_version = subscription.signature_version, url = subscription.url:match("^[^?]*"),
    has_credentials = subscription.authorization ~= nil, state = subscription.state }
end

--- @treturn table all of them, ready to be written as JSON
function List:view()
  local list = json.array()
  for i, subscription in ipairs(self._list) do
    list[i] = subscriptions.view_of(subscription)
  end
  return list
end

return subscriptions
