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
  return setmetatable({ _now = now, _count = 0, _requests = {}, _commits = {}, _callbacks = {},
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

local function make_room(list)
  if #list < MAX_REQUESTS then
    return list
  end
  local kept = {}
  for i = MAX_REQUESTS / 2 + 1, MAX_REQUESTS do
    kept[#kept + 1] = list[i]
  end
  return kept
end

--- Notes one request. Only the operation is kept, not the path.
-- @tparam ?string request_id
-- @tparam string operation
-- @tparam ?number status of the answer; nil when there was to be none
-- @tparam[opt] string fault text of the fault that it met
function Ledger:add_request(request_id, operation, status, fault)
  self._requests = make_room(self._requests)
  self._count = self._count + 1
  self._requests[#self._requests + 1] = { number = self._count, at = self._now(), requestId = request_id,
    operation = operation, status = status, fault = fault }
end

--- Notes that the work of a request was done, for pending work when it is.
-- @tparam ?string request_id
-- @tparam string operation
-- @tparam table tokens of the seats that it changed, strings
function Ledger:commit(request_id, operation, tokens)
  self._commits = make_room(self._commits)
  self._commits[#self._commits + 1] = { at = self._now(), requestId = request_id, operation = operation,
    tokens = json.array(tokens) }
end

local function of_request(list, request_id)
  local found = json.array()
  for _, entry in ipairs(list) do
    if entry.requestId == request_id then
      found[#found + 1] = entry
    end
  end
  return found
end

--- What is known of one Request-ID: each time it arrived, and each time its work was done.
-- @tparam string request_id
-- @treturn table ready to be written as JSON
function Ledger:view_of(request_id)
  return { requestId = request_id, requests = of_request(self._requests, request_id),
    commits = of_request(self._commits, request_id) }
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
    commits = json.array(self._commits),
    requestCount = self._count, tokens = token_counts,
  }
end

return ledger
