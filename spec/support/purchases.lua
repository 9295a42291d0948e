--- Purchases for specs of workflows: a sandbox, a store and a link, while time passes only where somebody sleeps.
--
--     local desk = require("support.purchases").open()
--     local flows, input, tokens = desk:flows(), desk:input(2)
--     desk:fault("reset=after")
--     flows:buy(input)
--     desk:close()
local core = require("paciolan.core")
local errors = require("paciolan.errors")
local luassert = require("luassert")
local transports = require("paciolan.transport")
local market = require("support.market")
local memory = require("paciolan.store.memory")
local virtual = require("support.clock")

local purchases = {}

local Desk = {}
Desk.__index = Desk

-- What is personal in the input of a purchase, as it may stand in a journal.
local PERSONAL = { "Tony", "Stark", "stark.example" }

-- Nobody waits in fact. `on_sleep(ms)` is called before each pause, `on_send(method, path)` before each request and
-- `on_answer(method, path)` behind it; what they raise ends the call as the end of the process would.
-- `meddle(path, send, request)` returns what is taken for the answer, and a failure; `send()` asks the service.
local function transport_of(self)
  local inner, transport = transports.default({}), {}
  local function path_of(request)
    return request.url:match("^%a+://[^/]+(/[^?]*)")
  end
  local function tell(hook, request)
    if hook then
      hook(request.method, path_of(request))
    end
  end
  local function ask(request)
    if self.meddle then
      return self.meddle(path_of(request), function() return inner:send(request) end, request)
    end
    return inner:send(request)
  end
  function transport.send(_, request)
    tell(self.on_send, request)
    local answer, failure = ask(request)
    tell(self.on_answer, request)
    return answer, failure
  end
  function transport.sleep(_, ms)
    local hook = self.on_sleep
    if hook then
      hook(ms)
    end
    self.clock:sleep(ms)
  end
  function transport.close()
    inner:close()
  end
  return transport
end

--- Starts a sandbox, stops the time and makes an empty store and a link.
-- @tparam ?table options of the sandbox
-- @tparam ?table client_options
-- @treturn table desk with `clock`, `place` (a market), `link`, `store`, `events`
function purchases.open(options, client_options)
  local self = setmetatable({ _next = 0, events = {} }, Desk)
  local sandbox_options = { token_lifetime_s = 100000000 }
  for name, value in pairs(options or {}) do
    sandbox_options[name] = value
  end
  self.clock = virtual.start()
  local settings = { transport = transport_of(self), on_event = function(event)
    self.events[#self.events + 1] = event
  end }
  for name, value in pairs(client_options or {}) do
    settings[name] = value
  end
  self.place = market.open(sandbox_options, settings)
  self.link = self.place.link
  self:renew_store()
  return self
end

--- Begins with an empty store in memory, whose clock is that of the desk.
function Desk:renew_store()
  self.store = memory.new({ now_ms = function() return core.now_ms() end })
end

--- Ends it all; time goes on.
function Desk:close()
  self.place:close()
  self.clock:stop()
end

--- Workflows on the store of the desk, as another process would make them.
-- @tparam ?table more options to add or replace
-- @treturn table
function Desk:flows(more)
  local options = { store = self.store, poll = { first_ms = 2000, max_ms = 30000, deadline_ms = 120000 },
    now_ms = function() return core.now_ms() end }
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  return self.link:workflows(options)
end

--- The input of a purchase of seats that were locked for it just now.
-- @tparam number|table count or the tokens
-- @treturn table
-- @treturn table tokens
-- @treturn string id of the order
function Desk:input(count)
  self._next = self._next + 1
  local tokens = type(count) == "table" and count or self.place:tokens(count)
  local order_id = ("O-%d"):format(self._next)
  for i = 1, #tokens, 100 do
    local batch = {}
    for at = i, math.min(i + 99, #tokens) do
      batch[#batch + 1] = tokens[at]
    end
    assert(self.link.tickets:lock(market.lock_payload(batch, "L-" .. order_id)))
  end
  return market.order_payload(tokens, "L-" .. order_id, order_id), tokens, order_id
end

--- Lets the next call of an operation meet a fault.
-- @tparam string fault
-- @tparam[opt="orders.complete"] string operation
-- @tparam[opt=1] number count
function Desk:fault(fault, operation, count)
  local body, status = self.place.box:control("POST", "/_sandbox/faults",
    { fault = fault, operation = operation or "orders.complete", count = count or 1 })
  assert(status == 200, body.error and body.error.developerMessage)
end

--- No fault waits any more, and nothing is called.
function Desk:calm()
  self.on_sleep, self.on_send, self.on_answer, self.meddle = nil, nil, nil, nil
  self.place.box:control("DELETE", "/_sandbox/faults")
end

--- Changes options of the running sandbox.
-- @tparam table changes
function Desk:options(changes)
  self.place.box:control("POST", "/_sandbox/options", changes)
end

--- The sandbox's clock goes forward; work that is PENDING may end by it.
-- @tparam number seconds
function Desk:advance_service(seconds)
  self.place.box:control("POST", "/_sandbox/clock", { advance_s = seconds })
end

--- Time passes here and at the service.
-- @tparam number seconds
function Desk:pass(seconds)
  self.clock:advance(seconds * 1000)
  self:advance_service(seconds)
end

--- Answers calls in the place of the service, or changes what it answers.
-- @tparam string part of the path, as a pattern, of the calls that are meant
-- @tparam function change `(number, send, request)`, its number counted from 1; returns an answer, or nil to let the
-- call through
function Desk:answer(part, change)
  local number = 0
  function self.meddle(path, send, request)
    if not path:find(part) then
      return send()
    end
    number = number + 1
    local answer, failure = change(number, send, request)
    if answer or failure then
      return answer, failure
    end
    return send()
  end
end

--- How often an operation reached the service.
-- @tparam[opt="orders.complete"] string operation
-- @treturn number
function Desk:count(operation)
  return #self.place:requests(operation or "orders.complete")
end

--- The orders of an id in the sandbox's ledger, refused ones too.
-- @tparam string id
-- @treturn table
function Desk:orders(id)
  local list = {}
  for _, order in ipairs(self.place:ledger().orders) do
    list[#list + 1] = order.externalOrderId == id and order or nil
  end
  return list
end

--- The state of each seat in one word, when it is the same of all; else `mixed`.
-- @tparam table tokens
-- @treturn string
function Desk:state(tokens)
  local world, state = self.place:world(), nil
  for _, token in ipairs(tokens) do
    if state and state ~= world[token].state then
      return "mixed"
    end
    state = world[token].state
  end
  return state
end

--- Everything that the store holds under a prefix, as one text.
-- @tparam[opt=""] string prefix
-- @treturn string
function Desk:dump(prefix)
  local texts = {}
  for _, pair in ipairs(assert(self.store:list(prefix or ""))) do
    texts[#texts + 1] = pair[1] .. " " .. pair[2]
  end
  return table.concat(texts, "\n")
end

--- An answer as a transport returns it.
-- @tparam number status
-- @tparam string body
-- @treturn table
function purchases.answer(status, body)
  return { status = status, headers = {}, body = body, elapsed_ms = 1, reused = false }
end

--- A callback of an order as the receiver hands it over.
-- @tparam string process_id
-- @tparam ?string state
-- @tparam ?table tokens of the seats that it names
-- @tparam ?table more of the body
-- @treturn table
function purchases.callback(process_id, state, tokens, more)
  local body, seats = { processId = process_id, status = state }, {}
  for i, token in ipairs(tokens or {}) do
    seats[i] = { token = token }
  end
  body.offers = tokens and { { event = { name = "Game", seats = seats } } } or nil
  for name, value in pairs(more or {}) do
    body[name] = value
  end
  return { process_id = process_id, state = state, body = body }
end

--- The entry of a word among the evidence of a run.
-- @tparam table run as `flows:find` returns it
-- @tparam string what
-- @treturn ?table
function purchases.evidence(run, what)
  for _, entry in ipairs(run.evidence) do
    if entry.what == what then
      return entry
    end
  end
  return nil
end

--- The first piece of personal data of a purchase in a text.
-- @tparam string text
-- @treturn ?string
function purchases.personal_in(text)
  for _, word in ipairs(PERSONAL) do
    if text:find(word, 1, true) then
      return word
    end
  end
  return nil
end

--- Expects what a workflow returned to be an error.
-- @param result
-- @param err
-- @tparam string kind
-- @tparam ?string outcome
-- @treturn table the error
function purchases.failed(result, err, kind, outcome)
  luassert.is_nil(result)
  luassert.is_true(errors.is(err))
  luassert.equal(kind, err.kind, tostring(err))
  luassert.equal(outcome, err.outcome, tostring(err))
  return err
end

return purchases
