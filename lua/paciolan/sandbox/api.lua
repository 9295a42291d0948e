--- The routes of the sandbox and the path of one request through them:
-- route, headers, bearer token, body, handler, answer.
--
-- A handler is called with the sandbox and a call (`operation`, `headers`,
-- `query`, `payload`, `id` from the path, `request_id`, `pending_polls`,
-- `outcome`) and returns `status, body`, or `nil, refusal`.
-- @module paciolan.sandbox.api

local answers = require "paciolan.sandbox.answers"
local auth = require "paciolan.sandbox.api.auth"
local cart = require "paciolan.sandbox.api.cart"
local catalog = require "paciolan.sandbox.api.catalog"
local control = require "paciolan.sandbox.api.control"
local faults = require "paciolan.sandbox.faults"
local json = require "paciolan.sandbox.json"
local judge = require "paciolan.sandbox.judge"
local messaging = require "paciolan.sandbox.api.messaging"
local text = require "paciolan.sandbox.text"
local tickets = require "paciolan.sandbox.api.tickets"
local transfers = require "paciolan.sandbox.api.transfers"

local api = {}

-- Method, path, operation, handler; `{}` is one segment that becomes call.id.
local ROUTES = {
  { "POST", "/v1/auth/token", "auth.token", auth.token, is_auth = true },
  { "GET", "/v1/catalog/events", "catalog.events", catalog.events, organization = "required" },
  { "GET", "/v1/listings/{}", "listings.get", catalog.listing },
  { "PUT", "/v1/tickets/lock", "tickets.lock", tickets.lock },
  { "PUT", "/v1/tickets/unlock", "tickets.unlock", tickets.unlock },
  { "POST", "/v1/tickets/verify", "tickets.verify", tickets.verify },
  { "POST", "/v1/tickets/print", "tickets.print", tickets.print },
  { "POST", "/v1/cart/complete-order", "orders.complete", cart.complete_order },
  { "GET", "/v1/cart/complete-order/{}", "orders.status", cart.order_status },
  { "POST", "/v1/tickets/transfer", "transfers.initiate_v1", transfers.initiate_v1 },
  { "POST", "/v2/tickets/transfer", "transfers.initiate", transfers.initiate,
    complete_refusal = transfers.complete_refusal },
  { "GET", "/v2/tickets/transfer/pending/{}", "transfers.pending", transfers.pending },
  { "POST", "/v1/tickets/transfer/accept", "transfers.accept", transfers.accept },
  { "POST", "/v1/tickets/transfer/complete", "transfers.complete", transfers.complete },
  { "GET", "/v1/tickets/transfer/complete/{}", "transfers.complete_status", transfers.complete_status },
  { "DELETE", "/v1/tickets/transfer/{}", "transfers.cancel", transfers.cancel, organization = "required" },
  { "GET", "/v1/tickets/transfer/{}", "transfers.history", transfers.history },
  { "GET", "/_sandbox/ledger", "sandbox.ledger", control.ledger, is_control = true },
  { "GET", "/_sandbox/ledger/{}", "sandbox.ledger_of", control.ledger_of, is_control = true },
  { "GET", "/_sandbox/faults", "sandbox.faults", control.show_faults, is_control = true },
  { "POST", "/_sandbox/faults", "sandbox.set_faults", control.set_faults, is_control = true },
  { "DELETE", "/_sandbox/faults", "sandbox.clear_faults", control.clear_faults, is_control = true },
  { "GET", "/_sandbox/world", "sandbox.world", control.world, is_control = true },
  { "POST", "/_sandbox/clock", "sandbox.clock", control.clock, is_control = true },
  { "POST", "/_sandbox/options", "sandbox.options", control.options, is_control = true },
  { "POST", "/_sandbox/reset", "sandbox.reset", control.reset, is_control = true },
  { "POST", "/_sandbox/tokens/code", "sandbox.code", control.code, is_control = true },
  { "POST", "/_sandbox/tokens/expire", "sandbox.expire", control.expire, is_control = true },
  { "POST", "/_sandbox/tokens/revoke", "sandbox.revoke", control.revoke, is_control = true },
  { "GET", "/_sandbox/subscriptions", "sandbox.subscriptions", messaging.subscriptions, is_control = true },
  { "POST", "/_sandbox/subscriptions", "sandbox.subscribe", messaging.subscribe, is_control = true },
  { "GET", "/_sandbox/subscriptions/{}", "sandbox.subscription", messaging.subscription, is_control = true },
  { "DELETE", "/_sandbox/subscriptions/{}", "sandbox.unsubscribe", messaging.unsubscribe, is_control = true },
  { "POST", "/_sandbox/publish", "sandbox.publish", messaging.publish, is_control = true },
  { "GET", "/_sandbox/publish/plan", "sandbox.publish_plan", messaging.show_plan, is_control = true },
  { "POST", "/_sandbox/publish/plan", "sandbox.set_publish_plan", messaging.set_plan, is_control = true },
  { "DELETE", "/_sandbox/publish/plan", "sandbox.clear_publish_plan", messaging.clear_plan, is_control = true },
  { "POST", "/_sandbox/trigger", "sandbox.trigger", messaging.trigger, is_control = true },
  { "GET", "/_sandbox/deliveries", "sandbox.deliveries", messaging.deliveries, is_control = true },
  { "GET", "/_sandbox/deliveries/{}", "sandbox.deliveries_of", messaging.deliveries_of, is_control = true },
  { "GET", "/_sandbox/messages", "sandbox.messages", messaging.messages, is_control = true },
  { "GET", "/_sandbox/sns", "sandbox.sns", messaging.sns, is_control = true },
  { "POST", "/_sandbox/sns/rotate", "sandbox.rotate_sns_key", messaging.rotate, is_control = true },
}

--- The operations of the service, as a set of their names.
api.OPERATIONS = {}

for _, route in ipairs(ROUTES) do
  route.method, route.operation, route.handler = route[1], route[3], route[4]
  api.OPERATIONS[route.operation] = not route.is_control or nil
  route.pattern = "^" .. route[2]:gsub("%-", "%%-"):gsub("{}", "([^/]+)") .. "$"
end

--- The routes as data, for reading: `method`, `operation`, `handler`; the path is the second element.
api.routes = ROUTES

local function find_route(method, path)
  local allowed = {}
  for _, route in ipairs(ROUTES) do
    local id = path:match(route.pattern)
    if id and route.method == method then
      return route, id
    elseif id then
      allowed[#allowed + 1] = route.method
    end
  end
  if #allowed > 0 then
    local refusal = answers.refusal(405, "METHOD_NOT_ALLOWED", "The method is not supported here")
    refusal.headers = { Allow = table.concat(allowed, ", ") }
    return nil, refusal
  end
  return nil, answers.refusal(404, "NOT_FOUND", "The path does not exist")
end

local OUTCOMES = { complete = true, error = true, unhandled = true }

-- How this one call is to end: its own headers, else the options.
local function read_wishes(box, call)
  local polls, outcome = call.headers["x-sandbox-pending"], call.headers["x-sandbox-outcome"]
  if polls and not polls:find("^%d%d?%d?$") then
    return answers.refusal(400, "BAD_REQUEST", "Header X-Sandbox-Pending must be a number of polls below 1000")
  elseif outcome and not OUTCOMES[outcome] then
    return answers.refusal(400, "BAD_REQUEST", "Header X-Sandbox-Outcome must be complete, error or unhandled")
  end
  call.pending_polls = tonumber(polls) or call.pending_polls or box.options.pending_polls
  call.outcome = outcome or call.outcome or "complete"
end

local function check_access(box, route, call)
  local refusal = judge.headers(call.headers, route, box:credentials(), box.inventory)
  if not refusal and not route.is_auth then
    local ok, kind, message = box.tokens:check(judge.bearer(call.headers))
    refusal = not ok and answers.refusal(401, kind, message) or nil
  end
  if refusal and route.is_auth then
    return answers.auth_refusal(refusal.status, refusal.body.error.developerMessage)
  end
  return refusal
end

local function run_control(box, route, call, request)
  call.payload = request.body == "" and {} or json.decode(request.body)
  if type(call.payload) ~= "table" then
    return nil, answers.refusal(400, "BAD_REQUEST", "The request body must be a JSON object")
  end
  return route.handler(box, call)
end

local function serve(box, route, call, request)
  local refusal = check_access(box, route, call) or read_wishes(box, call)
  if refusal then
    return nil, refusal
  end
  if route.method == "POST" or route.method == "PUT" then
    call.payload, refusal = judge.body(call.operation, request.body)
  end
  local status, body
  if not refusal then
    status, body = route.handler(box, call)
    refusal = not status and body or nil
  end
  if refusal and route.complete_refusal then
    refusal = route.complete_refusal(box, refusal)
  end
  return status, refusal or body
end

-- A fault before the handler hides even what is wrong with the headers, as a gateway would.
local function run(box, route, call, request)
  local header = call.headers["x-sandbox-fault"]
  if route.is_control and not header then
    return run_control(box, route, call, request)
  end
  local fault, rule
  if route.is_control then
    rule = "no control call takes a fault"
  else
    fault, rule = box.faults:take(call.operation, header)
  end
  if rule then
    return nil, answers.refusal(400, "BAD_REQUEST", "Header X-Sandbox-Fault: " .. rule)
  end
  call.fault = fault
  if fault and fault.place == "before" then
    return 200, {} -- what the client gets is the fault's
  elseif fault and fault.place == "call" then
    faults.change_call(fault, call, box.tokens, judge.bearer(call.headers))
  end
  return serve(box, route, call, request)
end

local function new_call(route, id, request)
  local query, repeated = text.query(request.query)
  if not query then
    return nil, answers.refusal(422, "UNPROCESSABLE_ENTITY", "A query parameter is given more than once: "
      .. (repeated:find("^%w+$") and repeated or "unknown"))
  end
  return { operation = route.operation, headers = request.headers, query = query, id = text.decode(id),
    request_id = request.headers["request-id"] }
end

--- Answers a request. Never raises for anything that a client can send.
-- @tparam Sandbox box
-- @tparam table request `method`, `path` (still encoded), `query`, `headers` (lower-case names), `body`
-- @treturn number status
-- @treturn table body, a value for `json.encode`
-- @treturn string operation, `unknown` when there is no such route
-- @treturn ?table further headers
-- @treturn ?table the fault that the answer is to meet
function api.dispatch(box, request)
  local route, id = find_route(request.method, request.path)
  if not route then
    return id.status, id.body, "unknown", id.headers
  end
  local call, refusal = new_call(route, id, request)
  local status, body
  if call then
    status, body = run(box, route, call, request)
    refusal = not status and body or nil
  end
  local fault = call and call.fault
  if refusal then
    return refusal.status, refusal.body, route.operation, nil, fault
  end
  return status, body, route.operation, nil, fault
end

return api
