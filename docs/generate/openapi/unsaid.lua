--- What OpenAPI 3.0 cannot say of the rules by which `paciolan.validate` judges a payload.
--
-- A schema sees one value: not the options of the call, not the other part of the request, and not the caller's choice
-- in `shapes`. Each row names a rule by operation, place (JSON Pointer, `*` for one step, `**` for any) and the rule's
-- name in a violation; a row with `shape` speaks only of what that switch adds. spec/openapi_spec.lua holds the list:
-- what a row names is let through by the document, everything else is refused by both, and a row that no sample meets
-- is an error.
local unsaid = {}

--- Stands in a row for all operations.
unsaid.EVERY = "every operation"

local INITIATE = { "transfers.initiate", "transfers.initiate_v1" }
local WITH_ITEMS = { "transfers.complete", "transfers.initiate", "transfers.initiate_v1" }
local IN_URL = {
  "catalog.events", "listings.get", "orders.status", "transfers.cancel", "transfers.complete_status",
  "transfers.history", "transfers.pending",
}
local NAME = "Required when the query parameter distributorCode is absent; a schema of the body does not see it."
local HTTPS = "By default any text without control characters will do; the switch asks for https."
local ONE = "An object has room for one entry when the switch asks for objects."

--- The list: `operations` (list of names, or `unsaid.EVERY`), `path`, `rule`, `shape` if a switch brings it, `reason`.
unsaid.rows = {
  { operations = INITIATE, path = "/transferRequests/*/Seats", rule = "option",
    reason = "Seats need the query parameter distributorCode and the header PAC-Organization-ID; a schema of the body "
      .. "sees neither." },
  { operations = { "transfers.accept" }, path = "/Recipient/recipientFirstName", rule = "required", reason = NAME },
  { operations = { "transfers.accept" }, path = "/Recipient/recipientLastName", rule = "required", reason = NAME },
  { operations = { "transfers.accept" }, path = "/Recipient", rule = "required", shape = "accept_recipient",
    reason = "Optional by default; the switch demands it." },
  { operations = WITH_ITEMS, path = "/transferRequests/*/Items", rule = "max_items", shape = "transfer_items",
    reason = "Any number by default; the switch allows one." },
  { operations = { "transfers.initiate" }, path = "/asyncCallbackUrl", rule = "format", shape = "callback_url",
    reason = HTTPS },
  { operations = { "orders.complete" }, path = "/settlement/**", rule = "format", shape = "callback_url",
    reason = HTTPS },
  { operations = { "orders.complete" }, path = "/*", rule = "max_items", shape = "complete_order", reason = ONE },
  { operations = { "tickets.verify" }, path = "/tickets", rule = "max_items", shape = "verify", reason = ONE },
  { operations = IN_URL, path = "/*", rule = "unknown",
    reason = "A document lists the parameters that there are; it cannot forbid others." },
  { operations = IN_URL, path = "/*", rule = "max_length",
    reason = "The limit of 1,024 octets is the client's own and counts what percent-encoding makes of the value." },
  { operations = { "catalog.events" }, path = "", rule = "type",
    reason = "A query is a set of named values; there is no way to write anything else." },
  { operations = unsaid.EVERY, path = "**", rule = "utf8",
    reason = "JSON is UTF-8 to begin with; what is not never reaches a schema." },
}

-- --- matching -------------------------------------------------------------------------------------------------------

local function pattern_of(path)
  local pattern = path:gsub("%*%*", "\1"):gsub("%*", "\2"):gsub("[^%w/\1\2]", "%%%0")
  return "^" .. pattern:gsub("\1", ".*"):gsub("\2", "[^/]*") .. "$"
end

local function concerns(row, operation)
  if row.operations == unsaid.EVERY then
    return true
  end
  for _, name in ipairs(row.operations) do
    if name == operation then
      return true
    end
  end
  return false
end

--- The row that names a violation, or nil.
-- @tparam string operation
-- @tparam table violation `path` and `rule`
-- @treturn ?table row
function unsaid.row_of(operation, violation)
  for _, row in ipairs(unsaid.rows) do
    if row.rule == violation.rule and concerns(row, operation) and violation.path:find(pattern_of(row.path)) then
      return row
    end
  end
end

--- All rows of an operation; those of every operation are left out.
-- @tparam string operation
-- @treturn table list
function unsaid.rows_of(operation)
  local rows = {}
  for _, row in ipairs(unsaid.rows) do
    if row.operations ~= unsaid.EVERY and concerns(row, operation) then
      rows[#rows + 1] = row
    end
  end
  return rows
end

return unsaid
