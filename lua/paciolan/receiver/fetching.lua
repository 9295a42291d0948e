--- How a receiver asks Amazon: for a signing certificate, and to confirm a subscription. Both are GETs of an address
-- that the core has built or compared byte by byte; nothing is followed, repeated or asked over plain HTTP.
--
-- The transport is opened by the first use. It goes through no proxy unless one is given as an option: a variable of
-- the environment must not decide where a key comes from.
-- @module paciolan.receiver.fetching
local transport = require "paciolan.transport"

local fetching = {}

local CONNECT_TIMEOUT_MS, TIMEOUT_MS = 3000, 5000
-- A certificate has 2 KiB, and so has the answer to a confirmation.
local MAX_ANSWER_BYTES = 16 * 1024

local Fetching = {}
Fetching.__index = Fetching

--- How long one request may take at most, in milliseconds.
fetching.TIMEOUT_MS = TIMEOUT_MS

--- Prepares requests; nothing is opened yet.
-- @tparam table options of the receiver: `transport`, or `proxy`, `ca_file` and `connect_to` for one of its own
-- @treturn table
function fetching.new(options)
  return setmetatable({
    _transport = options.transport, _proxy = options.proxy or "", _ca_file = options.ca_file,
    _connect_to = options.connect_to,
  }, Fetching)
end

local function transport_of(self)
  if not self._transport then
    self._transport = transport.default {
      proxy = self._proxy, ca_file = self._ca_file, connect_to = self._connect_to,
      connect_timeout_ms = CONNECT_TIMEOUT_MS, timeout_ms = TIMEOUT_MS, max_answer_bytes = MAX_ANSWER_BYTES,
    }
    self._is_own = true
  end
  return self._transport
end

--- Asks once.
-- @tparam string url https
-- @treturn string the body of an answer 200
-- @treturn[2] nil
-- @treturn[2] string what went wrong
function Fetching:get(url)
  local answer, failure = transport_of(self):send {
    method = "GET", url = url, headers = {}, connect_timeout_ms = CONNECT_TIMEOUT_MS, timeout_ms = TIMEOUT_MS,
  }
  if not answer then
    return nil, type(failure) == "table" and tostring(failure.message) or "the request failed"
  elseif answer.status ~= 200 then
    return nil, ("the answer was %d"):format(answer.status)
  elseif #answer.body > MAX_ANSWER_BYTES then
    return nil, "the answer is larger than 16 KiB"
  end
  return answer.body
end

--- Waits. In a task of `paciolan.concurrent` the others go on.
-- @tparam number ms milliseconds
function Fetching:sleep(ms)
  transport_of(self):sleep(ms)
end

--- Closes the transport if it was opened here.
function Fetching:close()
  if self._is_own then
    self._transport:close()
  end
end

return fetching
