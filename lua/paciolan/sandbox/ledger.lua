--- The record of everything that was asked for and committed, for specs and for
-- people who want to see whether a sale happened once. It holds ids, tokens of
-- seats and states, but no secret, name, address or URL of a client.
-- @module paciolan.sandbox.ledger

local json = require "paciolan.sandbox.json"

local ledger = {}

local Ledger = {}
Ledger.__index = Ledger

local MAX_REQUESTS = 10000 -- the oldest half goes when a long-lived sandbox reaches this

--- @tparam function now returns unix seconds
-- @treturn Ledger
function ledger.new(now)
  return setmetatable({ _now = now, _count = 0, _requests = {}, _callbacks = {},
    orders = {}, locks = {}, prints = {}, transfers = {} }, Ledger)
end

--- Adds an entry to one of the lists and stamps it with the time.
-- @tparam string list `orders`, `locks`, `prints`, `transfers`
-- @tparam table entry kept as it is; the caller may update it later
-- @treturn table the entry
function Ledger:add(list, entry)
  entry.at = self._now()
  self[list][#self[list] + 1] = entry
  return entry
end

--- Notes one request. Only the operation is kept, not the path.
-- @tparam ?string request_id
-- @tparam string operation
-- @tparam number status
function Ledger:add_request(request_id, operation, status)
  if #self._requests >= MAX_REQUESTS then
    local kept = {}
    for i = MAX_REQUESTS / 2 + 1, MAX_REQUESTS do
      kept[#kept + 1] = self._requests[i]
    end
    self._requests = kept
  end
  self._count = self._count + 1
  self._requests[#self._requests + 1] =
    { number = self._count, at = self._now(), requestId = request_id, operation = operation, status = status }
end

--- Remembers where the result of a process is to be sent. The URL may hold
-- credentials, so it never appears in the view.
-- @tparam string process_id
-- @tparam ?string url
function Ledger:remember_callback(process_id, url)
  self._callbacks[process_id] = url
end

--- @tparam string process_id
-- @treturn ?string the URL to call
function Ledger:callback(process_id)
  return self._callbacks[process_id]
end

--- The whole record, ready to be written as JSON.
-- @tparam table token_counts from the token store
-- @treturn table
function Ledger:view(token_counts)
  return {
    orders = json.array(self.orders), locks = json.array(self.locks), prints = json.array(self.prints),
    transfers = json.array(self.transfers), requests = json.array(self._requests),
    requestCount = self._count, tokens = token_counts,
  }
end

return ledger
