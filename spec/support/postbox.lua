--- A sandbox that listens and a receiver of its messages, both in this process: neither waits for the other, so both
-- are moved on by hand, round by round.
-- @module support.postbox

local desk = require "support.desk"
local httpd = require "paciolan.httpd"

local postbox = {}

local Postbox = {}
Postbox.__index = Postbox

local MANY_ROUNDS = 20000

--- Opens both.
-- @tparam[opt] table options for `sandbox.new`; the clock is the machine's, unless it is given
-- @treturn Postbox with `desk`, `box` (the sandbox), `url` (of the receiver), `requests` (what it got)
function postbox.open(options)
  options = options or {}
  options.clock = options.clock or os.time
  local self = setmetatable({ desk = desk.open(options), requests = {} }, Postbox)
  self.box = self.desk.box
  assert(self.box:listen())
  self._server = assert(httpd.listen { host = "127.0.0.1" })
  self.url = ("http://127.0.0.1:%d/messages"):format(self._server:port())
  return self
end

--- Sets how the receiver answers from now on.
-- @tparam number|function answer a status, or `function(request, number of the request)` that returns a status, headers
-- and a body; nil gives no answer
function Postbox:answer_with(answer)
  self._answer = type(answer) == "number" and function() return answer end or answer
end

-- A request that gets no answer keeps its handle, and with it its connection.
local function receive(self)
  local request = self._server:next(1)
  if not request then
    return
  end
  self.requests[#self.requests + 1] = request
  local status, headers, body = 204, nil, nil
  if self._answer then
    status, headers, body = self._answer(request, #self.requests)
  end
  if status then
    self._server:reply(request, status, headers, body or "")
  end
end

--- Moves both on.
-- @tparam function is_done called after each round; raises when it never says true
function Postbox:run_until(is_done)
  for _ = 1, MANY_ROUNDS do
    if is_done() then
      return
    end
    self.box:step(1)
    receive(self)
  end
  error("what was waited for never came", 2)
end

--- Moves both on until no delivery waits.
-- @treturn table the requests of this time
function Postbox:run()
  local first, list = #self.requests + 1, {}
  self:run_until(function() return self.box.publisher.courier:waiting() == 0 end)
  for i = first, #self.requests do
    list[#list + 1] = self.requests[i]
  end
  return list
end

--- Sends a control call.
-- @tparam string method
-- @tparam string path without `/_sandbox/`
-- @tparam[opt] table payload
-- @treturn table the body
-- @treturn number the status
function Postbox:control(method, path, payload)
  local status, body = self.desk:call(method, "/_sandbox/" .. path, payload)
  return body, status
end

--- Subscribes the receiver.
-- @tparam[opt] table changes to a direct subscription to seats without credentials
-- @treturn table the subscription
function Postbox:subscribe(changes)
  local subscription = { url = self.url, topic = "seats", mode = "direct" }
  for name, value in pairs(changes or {}) do
    subscription[name] = value
  end
  local body, status = self:control("POST", "subscriptions", subscription)
  assert(status == 200, body.error and body.error.developerMessage)
  return body
end

--- Ends all subscriptions without a word to the receiver, and forgets what was sent.
function Postbox:clear()
  for _, subscription in ipairs(self:control("GET", "subscriptions").subscriptions) do
    self:control("DELETE", "subscriptions/" .. subscription.id)
  end
  self:control("DELETE", "publish/plan")
  self:control("POST", "options", { redelivery_ms = 0, redelivery_tries = 3 })
  self.box.publisher:reset()
  self.requests, self._answer = {}, nil
end

--- Closes both.
function Postbox:close()
  self.box:close()
  self._server:close()
end

return postbox
