--- One call of the public client over a scripted transport: what went out, or what came back.
local samples = require("support.samples")
local scripted = require("support.scripted")

local wire = {}

--- An answer that ends every operation well.
wire.DONE = { status = 200, body = '{"status":"COMPLETE","transactionStatus":"COMPLETE"}' }

--- A payload that passes, for each operation; tables are made afresh.
wire.payloads = {
  ["catalog.events"] = function() return {} end,
  ["listings.get"] = function() return "A3qnemZ" end,
  ["orders.complete"] = function() return samples.load("complete-order.request.json") end,
  ["orders.status"] = function() return "d4e5f6" end,
  ["tickets.lock"] = function() return samples.load("lock.request.my-account.json") end,
  ["tickets.print"] = function() return samples.load("print.request.json") end,
  ["tickets.unlock"] = function() return samples.load("unlock.request.json") end,
  ["tickets.verify"] = function() return samples.load("verify.request.tokens.json") end,
  ["transfers.accept"] = function() return samples.load("accept-transfer.request.json") end,
  ["transfers.cancel"] = function() return "3785222-AMTX:10270" end,
  ["transfers.complete"] = function() return samples.load("derived/complete-transfer.request.json") end,
  ["transfers.complete_status"] = function() return "d4e5f6" end,
  ["transfers.history"] = function() return "3785222-AMTX:10237" end,
  ["transfers.initiate"] = function() return samples.load("derived/transfer-v2.request.items.json") end,
  ["transfers.initiate_v1"] = function() return samples.load("derived/transfer-v1.request.items.json") end,
  ["transfers.pending"] = function() return "d4e5f6" end,
}

-- The payload that passes.
local function payload_of(operation)
  local make = assert(wire.payloads[operation], "no payload for " .. operation .. " in wire.payloads")
  return make()
end

local function merged(first, second)
  local result = {}
  for key, value in pairs(first) do
    result[key] = value
  end
  for key, value in pairs(second or {}) do
    result[key] = value
  end
  return result
end

--- Calls an operation by its name: "transfers.initiate_v1" is initiate with the version "v1".
function wire.call(link, operation, payload, options)
  local resource, method = operation:match("^(%l+)%.([%l_]+)")
  if operation == "transfers.initiate_v1" then
    method, options = "initiate", merged(options or {}, { version = "v1" })
  end
  return link[resource][method](link[resource], payload, options)
end

local function start(steps, settings)
  return scripted.client(steps, merged({ organization_id = "999" }, settings))
end

--- The one request that a call puts on the wire; its field `json` is the decoded body.
-- @tparam string operation
-- @param payload nil: the one of `wire.payloads`
-- @tparam ?table options of the call
-- @tparam ?table settings of the client
function wire.sent(operation, payload, options, settings)
  local link, transport = start({ wire.DONE }, settings)
  assert(wire.call(link, operation, payload or payload_of(operation), options))
  assert(#transport.requests == 1, "not exactly one request")
  local request = transport.requests[1]
  request.json = request.body and samples.decode(request.body)
  return request
end

--- The validation error of a call that must not reach the wire.
function wire.refused(operation, payload, options, settings)
  local link, transport = start({ wire.DONE }, settings)
  local result, err = wire.call(link, operation, payload, options)
  assert(result == nil and err.kind == "validation", "the payload was not refused")
  assert(#transport.requests == 0, "something was sent")
  return err
end

--- The places of a validation error with their rules, as "/place rule", sorted.
function wire.problems(err)
  local list = {}
  for i, problem in ipairs(err.fields) do
    list[i] = problem.path .. " " .. problem.rule
  end
  table.sort(list)
  return list
end

--- What a call makes of an answer: result, err, response, and the transport.
-- @tparam string operation
-- @tparam number status
-- @tparam string body
-- @tparam ?table settings of the client
function wire.received(operation, status, body, settings)
  local link, transport = start({ { status = status, body = body } }, settings)
  local result, err, response = wire.call(link, operation, payload_of(operation))
  return result, err, response or err.response, transport
end

--- What a call makes of the answer in a sample.
function wire.received_sample(operation, status, file, settings)
  return wire.received(operation, status, samples.read(file), settings)
end

return wire
