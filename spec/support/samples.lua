--- The request, answer and message samples of `spec/fixtures`, and copies of them with something changed.
local cjson = require("cjson").new()
local files = require("support.files")

local samples = {}

--- In a change: takes the value away.
samples.REMOVE = setmetatable({}, { __tostring = function() return "REMOVE" end })

--- Which samples are requests, and of what. `options` is what the rules look at besides the payload.
local seats = { distributor_code = "DIST1", organization_id = "999" }
samples.requests = {
  { operation = "auth.token", file = "auth-token.request.code.json" },
  { operation = "auth.token", file = "derived/auth-token.request.refresh.json" },
  { operation = "orders.complete", file = "complete-order.request.json" },
  { operation = "orders.complete", file = "derived/complete-order.request.object-shape.json" },
  { operation = "tickets.lock", file = "lock.request.individual.json" },
  { operation = "tickets.lock", file = "lock.request.linkv1.json" },
  { operation = "tickets.lock", file = "lock.request.my-account.json" },
  { operation = "tickets.lock", file = "derived/lock.request.broker.json" },
  { operation = "tickets.print", file = "print.request.json" },
  { operation = "tickets.unlock", file = "unlock.request.json" },
  { operation = "tickets.verify", file = "verify.request.tokens.json" },
  { operation = "tickets.verify", file = "derived/verify.request.barcodes.json" },
  { operation = "tickets.verify", file = "derived/verify.request.tokens.object-shape.json" },
  { operation = "transfers.accept", file = "accept-transfer.request.json" },
  { operation = "transfers.accept", file = "derived/accept-transfer.request.seats.json", options = seats },
  { operation = "transfers.complete", file = "derived/complete-transfer.request.json" },
  { operation = "transfers.initiate", file = "transfer-v2.request.seats.json", options = seats },
  { operation = "transfers.initiate", file = "derived/transfer-v2.request.items.json" },
  { operation = "transfers.initiate_v1", file = "transfer-v1.request.seats.json", options = seats },
  { operation = "transfers.initiate_v1", file = "derived/transfer-v1.request.items.json" },
  { operation = "transfers.initiate_v1", file = "derived/transfer-v1.request.seats.capitalised.json", options = seats },
}

--- Which samples are answers, and to what. A process is asked about in the words in which it was answered.
samples.responses = {
  { operation = "auth.token", file = "auth-token.response.200.json" },
  { operation = "auth.token", file = "derived/auth-token.response.error.json" },
  { operation = "catalog.events", file = "catalog-events.response.200.json" },
  { operation = "listings.get", file = "listing.response.200.json" },
  { operation = "orders.complete", file = "complete-order.response.200.json" },
  { operation = "orders.status", file = "complete-order.response.200.json" },
  { operation = "orders.complete", file = "complete-order-status.response.200.pending.json" },
  { operation = "orders.status", file = "complete-order-status.response.200.pending.json" },
  { operation = "tickets.lock", file = "lock.response.200.json" },
  { operation = "tickets.lock", file = "lock.response.200.linkv1.json" },
  { operation = "tickets.lock", file = "lock.response.207.json" },
  { operation = "tickets.lock", file = "lock.response.422.json" },
  { operation = "tickets.lock", file = "lock.response.422.too-many-tokens.json" },
  { operation = "tickets.print", file = "print.response.200.json" },
  { operation = "tickets.unlock", file = "unlock.response.200.json" },
  { operation = "tickets.verify", file = "verify.response.200.json" },
  { operation = "transfers.accept", file = "accept-transfer.response.200.json" },
  { operation = "transfers.cancel", file = "cancel-transfer.response.200.json" },
  { operation = "transfers.complete", file = "derived/complete-transfer.response.pending.json" },
  { operation = "transfers.complete_status", file = "derived/complete-transfer.response.pending.json" },
  { operation = "transfers.history", file = "transfer-history.response.200.json" },
  { operation = "transfers.initiate", file = "transfer-v2.response.complete.json" },
  { operation = "transfers.initiate", file = "transfer-v2.response.error.json" },
  { operation = "transfers.initiate", file = "transfer-v2.response.pending.json" },
  { operation = "transfers.initiate_v1", file = "transfer-v1.response.200.json" },
  { operation = "transfers.pending", file = "transfer-v2.response.complete.json" },
  { operation = "transfers.pending", file = "transfer-v2.response.error.json" },
  { operation = "transfers.pending", file = "transfer-v2.response.pending.json" },
}

--- The text of a sample, by its path below `spec/fixtures`.
function samples.read(file)
  return files.read("spec/fixtures/" .. file)
end

--- A sample as a table; JSON null is `paciolan.null`.
function samples.load(file)
  return cjson.decode(samples.read(file))
end

--- The payloads that must be refused: `spec/fixtures/broken/<operation>/<what>.json`.
-- @treturn table list in the order of their files: `{ operation =, file =, payload =, options = ?, why =,
-- violations = { { path =, rule = }, … } }`
function samples.broken()
  local list = {}
  local pipe = assert(io.popen("cd spec/fixtures && find broken -name '*.json' | LC_ALL=C sort"))
  for file in pipe:lines() do
    local sample = samples.load(file)
    sample.file, sample.operation = file, file:match("^broken/([^/]+)/")
    list[#list + 1] = sample
  end
  pipe:close()
  return list
end

--- Decodes a text that must be JSON.
function samples.decode(text)
  return cjson.decode(text)
end

--- A deep copy of plain tables.
function samples.copy(value)
  if type(value) ~= "table" or value == samples.REMOVE then
    return value
  end
  local result = {}
  for key, item in pairs(value) do
    result[key] = samples.copy(item)
  end
  return result
end

-- "0" is the first item of a list, anything else a field.
local function key_of(step)
  local index = tonumber(step)
  return index and index + 1 or step
end

--- Changes a table in place, outer places first.
-- @tparam table root
-- @tparam table changes by JSON Pointer: the new value, or `samples.REMOVE`
function samples.patch(root, changes)
  local pointers = {}
  for pointer in pairs(changes) do
    pointers[#pointers + 1] = pointer
  end
  table.sort(pointers)
  for _, pointer in ipairs(pointers) do
    local holder, last, value = root, nil, changes[pointer]
    for step in pointer:gmatch("/([^/]+)") do
      if last ~= nil then
        holder = assert(holder[last], pointer)
      end
      last = key_of(step)
    end
    if value == samples.REMOVE then
      holder[last] = nil
    else
      holder[last] = value
    end
  end
  return root
end

--- A sample with changes.
function samples.with(file, changes)
  return samples.patch(samples.load(file), changes or {})
end

--- A list of that many different strings.
function samples.strings(count, prefix)
  local list = {}
  for i = 1, count do
    list[i] = (prefix or "T") .. i
  end
  return list
end

--- A list of that many copies.
function samples.repeated(value, count)
  local list = {}
  for i = 1, count do
    list[i] = samples.copy(value)
  end
  return list
end

--- A text for the name of a test: printable, and not longer than twenty characters.
function samples.shown(text)
  return '"' .. text:sub(1, 20):gsub("[^%g ]", function(byte) return ("\\%d"):format(byte:byte()) end) .. '"'
end

return samples
