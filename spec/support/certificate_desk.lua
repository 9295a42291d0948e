--- What the host of certificates answers, and what it was asked for: the same for the one on a socket
-- (certificate_host.lua) and for the one in a function (support.amazon).
--
-- An answer is `{ status = 200, body = "", body_bytes = n (that many `x`), headers = {}, times = n (so often; then what
-- was served before) }`. The host on a socket also knows `delay_ms` (before the answer), `piece_bytes`, `pause_ms` and
-- `cut_after_bytes` (as `server:reply` of paciolan.httpd does), and `reset = true` (no answer).

local desk = {}

local Desk = {}
Desk.__index = Desk

local CONFIRMED = [[
<ConfirmSubscriptionResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
  <ConfirmSubscriptionResult>
    <SubscriptionArn>%s:3e8fcb07-2d29-4a1c-8b5c-7d9e0a2c4f61</SubscriptionArn>
  </ConfirmSubscriptionResult>
  <ResponseMetadata>
    <RequestId>0d3f8a52-9c41-5b60-9d1e-2f6b7c8d9e0f</RequestId>
  </ResponseMetadata>
</ConfirmSubscriptionResponse>
]]

--- @treturn Desk one that serves nothing yet
function desk.new()
  return setmetatable({ _answers = {}, _fetches = {}, _confirmations = {} }, Desk)
end

--- Sets the answer for a path.
-- @tparam string path
-- @tparam table answer
function Desk:serve(path, answer)
  local list = self._answers[path] or {}
  self._answers[path] = list
  local copy = {}
  for key, value in pairs(answer) do
    copy[key] = value
  end
  if copy.times then
    list[#list + 1] = copy
  else
    self._answers[path] = { copy }
  end
end

local function take(list)
  local answer = list and list[#list]
  if answer and answer.times then
    answer.times = answer.times - 1
    if answer.times <= 0 then
      list[#list] = nil
    end
  end
  return answer
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- Notes a request and answers it.
-- @tparam string path
-- @tparam string query what stands behind `?`, or ""
-- @treturn table answer, with `status` and `body`
function Desk:answer(path, query)
  local topic = query:match("TopicArn=([^&]*)")
  local is_confirmation = query:find("Action=ConfirmSubscription", 1, true) ~= nil
  if is_confirmation then
    local list = self._confirmations
    list[#list + 1] = { path = path, query = query, topic = topic and unescape(topic),
      token = query:match("Token=([^&]*)") }
  else
    self._fetches[#self._fetches + 1] = query == "" and path or path .. "?" .. query
  end
  local served = take(self._answers[path])
  local answer = {}
  for key, value in pairs(served or {}) do
    answer[key] = value
  end
  answer.status = answer.status or (served or is_confirmation) and 200 or 404
  answer.body = answer.body or (answer.body_bytes and ("x"):rep(answer.body_bytes))
    or (not served and is_confirmation and CONFIRMED:format(topic and unescape(topic) or "")) or ""
  return answer
end

--- What it was asked for since the start, or since `forget`.
-- @treturn table `{ fetches = { path, … }, confirmations = { { path, query, topic, token }, … } }`
function Desk:log()
  return { fetches = self._fetches, confirmations = self._confirmations }
end

--- Forgets what it was asked for.
function Desk:forget()
  self._fetches, self._confirmations = {}, {}
end

return desk
