--- The samples as named examples: which file shows what, and its text in the order in which it was written.
local json = require("openapi.json")
local requests = require("support.samples").requests
local yaml = require("openapi.yaml")

local map = yaml.map

local samples = {}

-- By operation and by the key of its response in the document.
local v2, complete = "transfer-v2.response.", "derived/complete-transfer.response."
samples.answers = {
  { operation = "auth.token", status = "200", file = "auth-token.response.200.json" },
  { operation = "auth.token", status = "4XX", file = "derived/auth-token.response.error.json" },
  { operation = "catalog.events", status = "200", file = "catalog-events.response.200.json" },
  { operation = "listings.get", status = "200", file = "listing.response.200.json" },
  { operation = "orders.complete", status = "200", file = "complete-order.response.200.json" },
  { operation = "orders.complete", status = "201", file = "complete-order-status.response.200.pending.json" },
  { operation = "orders.status", status = "200", file = "complete-order-status.response.200.pending.json" },
  { operation = "orders.status", status = "200", file = "complete-order.response.200.json" },
  { operation = "tickets.lock", status = "200", file = "lock.response.200.json" },
  { operation = "tickets.lock", status = "200", file = "lock.response.200.linkv1.json" },
  { operation = "tickets.lock", status = "207", file = "lock.response.207.json" },
  { operation = "tickets.lock", status = "422", file = "lock.response.422.json" },
  { operation = "tickets.lock", status = "422", file = "lock.response.422.too-many-tokens.json" },
  { operation = "tickets.print", status = "200", file = "print.response.200.json" },
  { operation = "tickets.unlock", status = "200", file = "unlock.response.200.json" },
  { operation = "tickets.verify", status = "200", file = "verify.response.200.json" },
  { operation = "transfers.accept", status = "200", file = "accept-transfer.response.200.json" },
  { operation = "transfers.cancel", status = "200", file = "cancel-transfer.response.200.json" },
  { operation = "transfers.complete", status = "2XX", file = complete .. "pending.json" },
  { operation = "transfers.complete_status", status = "2XX", file = complete .. "pending.json" },
  { operation = "transfers.history", status = "200", file = "transfer-history.response.200.json" },
  { operation = "transfers.initiate", status = "2XX", file = v2 .. "complete.json" },
  { operation = "transfers.initiate", status = "2XX", file = v2 .. "pending.json" },
  { operation = "transfers.initiate", status = "422", file = v2 .. "error.json" },
  { operation = "transfers.initiate_v1", status = "200", file = "transfer-v1.response.200.json" },
  { operation = "transfers.pending", status = "2XX", file = v2 .. "complete.json" },
  { operation = "transfers.pending", status = "2XX", file = v2 .. "pending.json" },
}

--- The messages, by entity.
samples.messages = {
  { entity = "events", file = "events.message.json" },
  { entity = "events", file = "events.message.linkv1.json" },
  { entity = "events", file = "derived/events.message.tbd.json" },
  { entity = "seats", file = "seats.message.json" },
  { entity = "seats", file = "seats.message.linkv1.json" },
  { entity = "seats", file = "derived/seats.message.lock.json" },
}

samples.requests = requests

local function read(file)
  local handle = assert(io.open("spec/fixtures/" .. file, "rb"))
  local text = handle:read("*a")
  handle:close()
  return text
end

local function name_of(file)
  return (file:gsub("^derived/", ""):gsub("%.json$", ""))
end

local function summary_of(file)
  if file:find("^derived/") then
    return "Made from the documented tables"
  end
  return "As the documents show it"
end

--- The components of all examples.
-- @treturn table map by name
function samples.components()
  local components = map()
  for _, list in ipairs { samples.requests, samples.answers, samples.messages } do
    for _, sample in ipairs(list) do
      components:set(name_of(sample.file), map {
        { "summary", summary_of(sample.file) }, { "value", json.decode(read(sample.file)) },
      })
    end
  end
  return components
end

--- The examples of one place.
-- @tparam table list one of the lists here
-- @tparam function fits `function(sample)`, true for those that are meant
-- @tparam ?table into a map to add to
-- @treturn ?table map of references; nil when there is none
function samples.examples(list, fits, into)
  into = into or map()
  for _, sample in ipairs(list) do
    if fits(sample) then
      local name = name_of(sample.file)
      into:set(name, map { { "$ref", "#/components/examples/" .. name } })
    end
  end
  return not into:is_empty() and into or nil
end

return samples
