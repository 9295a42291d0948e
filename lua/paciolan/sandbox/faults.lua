--- Faults on request: what the sandbox does wrong, to which call, and when.
--
-- A fault is text: one fault of the table below, alone or with the modifiers
-- `delay=MS` and `after`, joined by `;`, as in `status=503;after;delay=200`. It
-- comes with one request (header `X-Sandbox-Fault`), from the queue of the next
-- calls, or from a plan that draws faults at random, in this order. A plan is
-- text as well: `[operation:]fault[@probability]`, joined by `,`.
--
-- A fault stands *before* the handler, and then nothing was committed; or *after*
-- it, and then the work is done and the client is told something else, or
-- nothing; or it changes the call itself. `docs/sandbox.md` is the manual.
-- @module paciolan.sandbox.faults

local ids = require "paciolan.sandbox.ids"
local json = require "paciolan.sandbox.json"

local faults = {}

local MAX_MS = 600000
local MAX_COUNT = 1000000
local MAX_QUEUE = 1000
local PIECES = 8 -- of a slow body
local DRAW = 2 ^ 30 -- as fine as the probabilities of a plan are

-- --- the faults ---------------------------------------------------------------------------------------------------

local function whole(name, low, high)
  local rule = string.format("%s must be a whole number from %d to %d", name, low, high)
  return function(value)
    local number = value and value:find("^%-?%d+$") and #value < 12 and tonumber(value)
    if not number or number < low or number > high then
      return nil, rule
    end
    return number
  end
end

local function nothing(name)
  return function(value)
    if value then
      return nil, name .. " takes no value"
    end
    return true
  end
end

local function optional(check)
  return function(value)
    if not value then
      return true
    end
    return check(value)
  end
end

local function side(name)
  return function(value)
    if value ~= "before" and value ~= "after" then
      return nil, name .. " must be before or after"
    end
    return value
  end
end

local function any_of(...)
  local set = {}
  for _, name in ipairs { ... } do
    set[name] = true
  end
  return function(operation)
    return set[operation] == true
  end
end

local has_process = any_of("orders.complete", "transfers.initiate", "transfers.complete")

local function has_bearer(operation)
  return operation ~= "auth.token"
end

-- `read` checks the value. `fits` says of which operations a fault can be asked; all, when it is absent. `place` is
-- before, after or call; a fault without one has it as its value or by the modifier.
local FAULTS = {
  close = { read = side("close") },
  delay = { read = whole("delay", 0, MAX_MS), is_modifier = true },
  after = { read = nothing("after"), is_modifier = true },
  empty = { read = whole("empty", 200, 599), takes_after = true },
  error = { read = nothing("error"), place = "call", fits = has_process },
  expire_token = { read = nothing("expire_token"), place = "call", fits = has_bearer },
  html = { read = whole("html", 200, 599), takes_after = true },
  partial = { read = nothing("partial"), place = "call",
    fits = any_of("orders.complete", "tickets.lock", "tickets.unlock", "tickets.verify") },
  pending = { read = whole("pending", 1, 999), place = "call", fits = has_process },
  rate_limit = { read = whole("rate_limit", 0, 86400), status = 429 },
  rate_limit_date = { read = whole("rate_limit_date", 0, 86400), status = 429 },
  reset = { read = side("reset") },
  revoke_token = { read = nothing("revoke_token"), place = "call", fits = has_bearer },
  skew = { read = whole("skew", -1000000, 1000000), place = "call", fits = any_of("auth.token") },
  slow = { read = whole("slow", 1, MAX_MS / PIECES), place = "after" },
  status = { read = whole("status", 400, 599), takes_after = true },
  truncate = { read = optional(whole("truncate", 0, 1000000)), place = "after" },
  unhandled = { read = nothing("unhandled"), takes_after = true, status = 500 },
}

local function names()
  local list = {}
  for name in pairs(FAULTS) do
    list[#list + 1] = name
  end
  table.sort(list)
  return table.concat(list, ", ")
end

--- The names of all faults and modifiers, sorted and joined by `, `.
faults.NAMES = names()

-- --- reading one --------------------------------------------------------------------------------------------------

-- Returns the parts by name, and the name of the one that is no modifier.
local function read_parts(text)
  local parts, main = {}, nil
  for part in (text .. ";"):gmatch("([^;]*);") do
    local name, value = part:match("^%s*([%a_]+)%s*=%s*([%w%-]+)%s*$")
    name = name or part:match("^%s*([%a_]+)%s*$")
    local row = name and FAULTS[name]
    if not row then
      return nil, "a fault is name or name=value, joined by ;, and the names are " .. faults.NAMES
    elseif parts[name] ~= nil then
      return nil, name .. " stands twice"
    elseif not row.is_modifier and main then
      return nil, main .. " and " .. name .. " are two faults; one call has one"
    end
    local read, rule = row.read(value)
    if read == nil then
      return nil, rule
    end
    parts[name] = read
    if not row.is_modifier then
      main = name
    end
  end
  return parts, main
end

-- A refusal that did the work would be a lie that no client can see through. A success, a redirect, and a service or
-- gateway that gave up say nothing against it.
local function may_have_worked(status)
  return status < 400 or status == 408 or status >= 500
end

local function place_of(parts, main)
  local row, value = FAULTS[main], parts[main]
  local place = row.place or (value == "before" or value == "after") and value or "before"
  if not parts.after then
    return place
  elseif not row.takes_after then
    return nil, "after does not go with " .. main
  elseif not may_have_worked(row.status or value) then
    return nil, "after does not go with 4xx but 408: a refusal says that nothing was done"
  end
  return "after"
end

--- Reads a fault.
-- @tparam string text
-- @treturn table the fault: `text`, `name` (nil for a mere delay), `value`, `place` (`before`, `after` or `call`),
-- `delay_ms`
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken; it quotes nothing of the text
function faults.parse(text)
  local parts, main = read_parts(text)
  if not parts then
    return nil, main
  elseif not main and parts.after then
    return nil, "after needs a fault that it modifies"
  end
  local fault = { text = (text:gsub("%s", "")), name = main, value = parts[main], place = "call",
    delay_ms = parts.delay or 0 }
  if main then
    local place, rule = place_of(parts, main)
    if not place then
      return nil, rule
    elseif main == "html" and (fault.value == 204 or fault.value == 304) then
      return nil, "html cannot be an answer without a body (204, 304)"
    end
    fault.place = place
  end
  return fault
end

--- @tparam table fault
-- @tparam string operation
-- @treturn boolean can this operation have the fault?
function faults.fits(fault, operation)
  local row = FAULTS[fault.name]
  return not (row and row.fits) or row.fits(operation)
end

-- --- plans --------------------------------------------------------------------------------------------------------

local PLAN_RULE = "a plan is [operation:]fault[@probability], joined by commas"

local function read_entry(text)
  local rest, probability = text:match("^([^@]*)@%s*([%d.]+)%s*$")
  rest = rest or text
  local operation, fault_text = rest:match("^%s*([%w_.]+)%s*:(.*)$")
  probability = tonumber(probability or not text:find("@", 1, true) and "1")
  if not probability or probability > 1 then
    return nil, PLAN_RULE .. "; a probability is a number from 0 to 1"
  end
  local fault, rule = faults.parse(fault_text or rest)
  if not fault then
    return nil, rule
  elseif operation and not faults.fits(fault, operation) then
    return nil, fault.name .. " does not fit the operation of the plan"
  end
  return { fault = fault, operation = operation, probability = probability }
end

-- Which calls an entry is about. Entries of one call share the line from 0 to 1.
local function concerns(entry, operation)
  return (not entry.operation or entry.operation == operation) and faults.fits(entry.fault, operation)
end

local function check_sums(plan, operations)
  for operation in pairs(operations) do
    local sum = 0
    for _, entry in ipairs(plan) do
      sum = sum + (concerns(entry, operation) and entry.probability or 0)
    end
    if sum > 1 + 1e-9 then
      return nil, "what the plan has for one operation, such as " .. operation .. ", adds up to more than 1"
    end
  end
  return true
end

local function check_operations(plan, operations)
  for _, entry in ipairs(plan) do
    if entry.operation and not operations[entry.operation] then
      return nil, "the plan names an operation that does not exist"
    end
  end
  return check_sums(plan, operations)
end

--- Reads a plan.
-- @tparam string text empty for none
-- @tparam table operations set of the names that may stand in it
-- @treturn table list of entries: `fault`, `operation` (nil for all that it fits), `probability`
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken
function faults.parse_plan(text, operations)
  local plan = {}
  for part in (text:find("%S") and text .. "," or ""):gmatch("([^,]*),") do
    local entry, rule = read_entry(part)
    if not entry then
      return nil, rule
    end
    plan[#plan + 1] = entry
  end
  local ok, rule = check_operations(plan, operations)
  if not ok then
    return nil, rule
  end
  return plan
end

-- --- the desk: queue and plan ---------------------------------------------------------------------------------------

local Desk = {}
Desk.__index = Desk

--- Makes the place where faults are kept until their call comes.
-- @tparam string seed of the draws
-- @tparam table operations set of the names that there are
-- @treturn Desk
function faults.new(seed, operations)
  local self = setmetatable({ _seed = seed, _plan_seed = seed, _operations = operations, _plan = {},
    _plan_text = "" }, Desk)
  self:restart()
  return self
end

--- Empties the queue and the counts, and lets the plan draw from its first number again.
function Desk:restart()
  self._queue, self._applied, self._draw = {}, {}, ids.stream(self._plan_seed, "faults")
end

--- Takes another plan.
-- @tparam string text empty for none
-- @tparam[opt] string seed of its draws, the sandbox's own by default
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken; then nothing was changed
function Desk:set_plan(text, seed)
  local plan, rule = faults.parse_plan(text, self._operations)
  if not plan then
    return nil, rule
  end
  self._plan, self._plan_text, self._plan_seed = plan, text, seed or self._seed
  self._draw = ids.stream(self._plan_seed, "faults")
  return true
end

--- Puts a fault aside for the next calls that it fits.
-- @tparam string text
-- @tparam[opt=1] number count how many calls
-- @tparam[opt] string operation only calls of this one
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] string the rule that is broken
function Desk:add(text, count, operation)
  local fault, rule = faults.parse(text)
  if not fault then
    return nil, rule
  elseif operation and not self._operations[operation] then
    return nil, "operation does not exist"
  elseif operation and not faults.fits(fault, operation) then
    return nil, fault.name .. " does not fit the operation"
  elseif #self._queue >= MAX_QUEUE then
    return nil, string.format("more than %d faults are waiting", MAX_QUEUE)
  end
  count = count or 1
  if count ~= math.floor(count) or count < 1 or count > MAX_COUNT then
    return nil, string.format("count must be a whole number from 1 to %d", MAX_COUNT)
  end
  self._queue[#self._queue + 1] = { fault = fault, operation = operation, left = count }
  return true
end

--- Forgets the queue and the plan.
function Desk:clear()
  self:restart()
  self._plan, self._plan_text = {}, ""
end

local function take_queued(self, operation)
  for i, entry in ipairs(self._queue) do
    if concerns(entry, operation) then
      entry.left = entry.left - 1
      if entry.left == 0 then
        table.remove(self._queue, i)
      end
      return entry.fault
    end
  end
end

-- One draw for each call that has no other fault, so that the sequence does not depend on the entries.
local function take_planned(self, operation)
  if #self._plan == 0 then
    return nil
  end
  local at = self._draw:below(DRAW) / DRAW
  for _, entry in ipairs(self._plan) do
    if concerns(entry, operation) then
      at = at - entry.probability
      if at < 0 then
        return entry.fault
      end
    end
  end
end

--- Chooses the fault of one call: its header, else the queue, else the plan.
-- @tparam string operation
-- @tparam ?string header the value of X-Sandbox-Fault
-- @treturn ?table the fault
-- @treturn[2] nil
-- @treturn[2] string the rule that the header breaks
function Desk:take(operation, header)
  local fault, rule
  if header then
    fault, rule = faults.parse(header)
    if fault and not faults.fits(fault, operation) then
      fault, rule = nil, fault.name .. " does not fit this operation"
    end
  else
    fault = take_queued(self, operation) or take_planned(self, operation)
  end
  if fault then
    self._applied[fault.text] = (self._applied[fault.text] or 0) + 1
  end
  return fault, rule
end

--- What waits, what is planned, and how often each fault was applied.
-- @treturn table ready to be written as JSON
function Desk:view()
  local queue = json.array()
  for i, entry in ipairs(self._queue) do
    queue[i] = { fault = entry.fault.text, operation = entry.operation, left = entry.left }
  end
  return { queue = queue, plan = self._plan_text, applied = self._applied }
end

-- --- what a fault does -----------------------------------------------------------------------------------------------

--- Changes the call itself, before its access is checked: faults whose place is `call`.
-- @tparam table fault
-- @tparam table call as in `paciolan.sandbox.api`
-- @tparam Tokens tokens
-- @tparam ?string access the bearer token of the call
function faults.change_call(fault, call, tokens, access)
  if fault.name == "pending" then
    call.pending_polls = fault.value
  elseif fault.name == "error" then
    call.outcome = "error"
  elseif fault.name == "partial" then
    call.is_partial = true
  elseif fault.name == "skew" then
    call.skew_s = fault.value
  elseif fault.name == "expire_token" then
    tokens:end_one(access, "expired")
  elseif fault.name == "revoke_token" then
    tokens:end_one(access, "revoked")
  end
end

local TYPES = { [400] = "BAD_REQUEST", [401] = "UNAUTHORIZED", [403] = "FORBIDDEN", [404] = "NOT_FOUND",
  [408] = "REQUEST_TIMEOUT", [409] = "CONFLICT", [422] = "UNPROCESSABLE_ENTITY", [429] = "TOO_MANY_REQUESTS",
  [500] = "INTERNAL_SERVER_ERROR", [502] = "BAD_GATEWAY", [503] = "SERVICE_UNAVAILABLE", [504] = "GATEWAY_TIMEOUT" }

-- The token call has its error as plain text, as in the documents.
local function error_text(operation, status, kind)
  local message = "The sandbox was asked for this answer"
  return json.encode { error = operation == "auth.token" and message or {
    type = kind or TYPES[status] or (status < 500 and "BAD_REQUEST" or "INTERNAL_SERVER_ERROR"),
    appErrorCode = string.format("MS-%d", status), developerMessage = message,
  } }
end

local function http_date(seconds)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", math.floor(seconds))
end

local PAGE = "<!DOCTYPE html>\n<html><head><title>%d</title></head><body><h1>%d</h1><p>gateway</p></body></html>\n"

local function refuse(answer, operation, status, kind)
  answer.status, answer.body = status, error_text(operation, status, kind)
end

-- Each changes the answer, which has its `status`, `headers` and `body` as text.
local CHANGES = {
  status = function(answer, value, operation)
    refuse(answer, operation, value)
  end,
  unhandled = function(answer, _, operation)
    refuse(answer, operation, 500, "UNHANDLED_EXCEPTION")
  end,
  rate_limit = function(answer, value, operation)
    refuse(answer, operation, 429)
    answer.headers["Retry-After"] = string.format("%d", value)
  end,
  rate_limit_date = function(answer, value, operation, now)
    refuse(answer, operation, 429)
    answer.headers["Retry-After"] = http_date(now + value)
  end,
  html = function(answer, value)
    answer.status, answer.body = value, PAGE:format(value, value)
    answer.headers["Content-Type"] = "text/html; charset=utf-8"
  end,
  empty = function(answer, value)
    answer.status, answer.body = value, ""
  end,
  truncate = function(answer, value)
    answer.cut_after_bytes = value == true and math.floor(#answer.body / 2) or value
  end,
  slow = function(answer, value)
    answer.piece_bytes, answer.pause_ms = math.max(1, math.ceil(#answer.body / PIECES)), value
  end,
  reset = function(answer)
    answer.drop = "reset"
  end,
  close = function(answer)
    answer.drop = "close"
  end,
}

--- Makes the answer that the client is to get, if it gets one.
-- @tparam table fault
-- @tparam table answer `status`, `headers`, `body` (text), `gzip`; gains `delay_ms`, `drop` (`reset` or `close`),
-- `cut_after_bytes`, `piece_bytes`, `pause_ms`
-- @tparam string operation
-- @tparam number now unix seconds
function faults.change_answer(fault, answer, operation, now)
  local change = CHANGES[fault.name]
  if change then
    change(answer, fault.value, operation, now)
    answer.gzip = answer.gzip and not (answer.cut_after_bytes or answer.pause_ms)
  end
  answer.delay_ms = fault.delay_ms > 0 and fault.delay_ms or nil
end

return faults
