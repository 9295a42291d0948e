--- What the service sends: the end of a PENDING call, and the messages about events and seats (contract 3 and 5).
local samples = require("openapi.samples")
local schema = require("openapi.schema")
local yaml = require("openapi.yaml")

local map = yaml.map

local callbacks = {}

local function json_body(value, examples)
  return map {
    { "required", true },
    { "content", map { { "application/json", map { { "schema", value }, { "examples", examples } } } } },
  }
end

local function ref_to_answer(operation)
  return schema.ref(schema.pascal(operation) .. "Answer")
end

-- --- the end of a PENDING call --------------------------------------------------------------------------------------

local TAKEN = map {
  { "204", map { { "description", "Taken. The same state may come again." } } },
  { "4XX", map { { "description", "Not taken. What the service does then is not documented." } } },
}

local function settled_post(operation, suffix, source, description)
  local examples = samples.examples(samples.answers, function(sample)
    return sample.operation == operation and not sample.file:find("pending", 1, true)
  end)
  return map {
    { "operationId", operation .. ".settled" .. suffix }, { "tags", { operation:match("^%a+") } },
    { "summary", "The state in which a PENDING call ended." }, { "description", description },
    { "security", { map(), map { { "callbackBasic", {} } } } },
    { "requestBody", json_body(ref_to_answer(operation), examples) }, { "responses", TAKEN },
    { "x-source", source },
  }
end

-- A list and an object have different places for the URL in the body.
local function settled(operation, places, source, description)
  local callback = map()
  for index, place in ipairs(places) do
    local suffix = index == 1 and "" or ("_%d"):format(index)
    callback:set(("{$request.body#%s}"):format(place), map {
      { "post", settled_post(operation, suffix, source, description) },
    })
  end
  return callback
end

local UNTOLD = "Method, headers, authentication and repetition are not documented. Expect POST, take PUT, match by "
  .. "`processId`, and expect repeats. A secret path or Basic credentials in the URL are the application's own."

-- --- messages -------------------------------------------------------------------------------------------------------

local ANSWERS = map {
  { "204", map { { "description", "Taken." } } },
  { "400", map {
    { "description", "The message is not as it must be." },
    { "content", map { { "application/json", map {
      { "schema", map { { "type", "object" }, { "maxProperties", 0 } } },
      { "example", map() },
    } } } },
  } },
  { "401", map { { "description", "The credentials are wrong. Not documented." } } },
}

local function message_schema(schemas, entity, message)
  local item = schema.pascal(entity) .. "MessageItem"
  schema.object(schemas, message, "answer", item, message.doc)
  local data = map {
    { "type", "object" }, { "required", { entity } },
    { "properties", map { { entity, map { { "type", "array" }, { "items", schema.ref(item) } } } } },
  }
  local name = schema.pascal(entity) .. "Message"
  schemas.components:set(name, map {
    { "type", "object" }, { "description", message.doc }, { "required", { "data", "metadata" } },
    { "properties", map { { "data", data }, { "metadata", schema.ref("MessageMetadata") } } },
    { "x-source", message.source },
  })
  return name
end

local function message_callback(schemas, entity, message)
  local name = message_schema(schemas, entity, message)
  local post = map {
    { "operationId", "messages." .. entity }, { "tags", { "messages" } },
    { "summary", message.doc },
    { "description", "Pushed through Amazon SNS to an address that is the integrator's own. Shown here is the "
      .. "message itself, as the documents do. A plain subscription wraps it in an envelope, which must be verified." },
    { "security", { map { { "messagingBasic", {} } } } },
    { "requestBody", json_body(schema.ref(name), samples.examples(samples.messages, function(sample)
      return sample.entity == entity
    end)) },
    { "responses", ANSWERS },
    { "x-source", message.source .. "; contract 5; row 62" },
  }
  return map { { "https://integrator.example/paciolan/messages/" .. entity, map { { "post", post } } } }
end

--- The components of all callbacks.
-- @tparam table schemas as `schema.new` makes them; gets the schemas of the messages
-- @tparam table messages `paciolan.message_fields()`
-- @treturn table map by name
function callbacks.components(schemas, messages)
  schema.object(schemas, messages.metadata, "answer", "MessageMetadata", "What every message carries beside its data.")
  return map {
    { "OrderSettled", settled("orders.complete",
      { "/settlement/0/asyncCallbackUrl", "/settlement/asyncCallbackUrl" }, "001; row 50; body: I", UNTOLD) },
    { "TransferSettled", settled("transfers.initiate", { "/asyncCallbackUrl" }, "003; row 50", UNTOLD) },
    { "EventsMessage", message_callback(schemas, "events", messages.events) },
    { "SeatsMessage", message_callback(schemas, "seats", messages.seats) },
  }
end

local WHERE = {
  ["catalog.events"] = { { "eventsMessage", "EventsMessage" } },
  ["orders.complete"] = { { "orderSettled", "OrderSettled" }, { "seatsMessage", "SeatsMessage" } },
  ["tickets.lock"] = { { "seatsMessage", "SeatsMessage" } },
  ["tickets.unlock"] = { { "seatsMessage", "SeatsMessage" } },
  ["transfers.initiate"] = { { "transferSettled", "TransferSettled" } },
}

--- The callbacks of an operation: its own, and the messages that it may bring about.
-- @tparam string operation
-- @treturn ?table map of references
function callbacks.of(operation)
  local list = map()
  for _, pair in ipairs(WHERE[operation] or {}) do
    list:set(pair[1], map { { "$ref", "#/components/callbacks/" .. pair[2] } })
  end
  return not list:is_empty() and list or nil
end

return callbacks
