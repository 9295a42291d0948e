--- What a call ends with and when it is sent again, in words. Every verdict is asked of the core that also decides it
-- for a call, so the tables cannot say something else.
local core = require "paciolan.core"
local fields = require "reference.fields"
local markdown = require "reference.markdown"

local conduct = {}

local code = markdown.code

local RETRIES = 9 -- more than any error table grants, so that "as often as the option says" shows

-- How often the same answer leads to another attempt, and the verdict that the caller then gets.
local function judge(operation, facts)
  local asked = { retries = RETRIES }
  for key, value in pairs(facts) do
    asked[key] = value
  end
  for repeats = 0, RETRIES do
    asked.repeats = repeats
    local verdict = core.judge(operation.name, asked)
    if verdict.next ~= "retry" then
      return verdict, repeats
    end
  end
end

local function how_often(verdict, count)
  if verdict.next == "refresh" then
    return "once, with a renewed token"
  elseif count == RETRIES then
    return "up to `retries` times"
  elseif count == 0 then
    return "no"
  end
  return count == 1 and "once" or ("up to %d times"):format(count)
end

local function outcome_of(verdict)
  return verdict.outcome and code(verdict.outcome) or "nil"
end

-- --- the table of cases ---------------------------------------------------------------------------------------------

local function answered(status, more)
  local facts = { status = status, is_json = true, has_error = status >= 300 }
  for key, value in pairs(more or {}) do
    facts[key] = value
  end
  return facts
end

local CASES = {
  { "nothing was sent: no such host, no connection", { phase = "not_sent", failure = "network" } },
  { "it was sent and the connection broke", { phase = "unknown", failure = "network" } },
  { "it was sent and no whole answer came in time", { phase = "unknown", failure = "timeout" } },
  { "HTTP 401", answered(401) },
  { "HTTP 403", answered(403) },
  { "HTTP 429", answered(429) },
  { "other HTTP 4xx with an `error`", answered(422) },
  { "HTTP 5xx or 408 with an `error`", answered(503) },
  { "HTTP 5xx with anything else, such as HTML", { status = 503, is_json = false } },
  { "HTTP 2xx with anything but JSON", { status = 200, is_json = false } },
}

local PARTIAL = { "HTTP 207, or 2xx with a `failure` list", answered(207, { has_failure = true }) }

-- Do the documents, or an inference from them, show failures of single tokens in the answer?
local function lists_failures(operation)
  local found = false
  fields.walk(operation.answer, "", function(_, field)
    found = found or field.name == "failure"
  end)
  return found
end

local function cases_of(operation)
  local list = {}
  for i, case in ipairs(CASES) do
    list[i] = case
  end
  if lists_failures(operation) then
    list[#list + 1] = PARTIAL
  end
  if operation.state then
    list[#list + 1] = { ("HTTP 2xx with `%s` ERROR"):format(operation.state), answered(200, { state = "ERROR" }) }
  end
  if operation.state_told then
    list[#list + 1] = { ("HTTP 2xx without `%s`"):format(operation.state), answered(200) }
  end
  return list
end

--- The table of what can happen to a call.
-- @tparam table operation
-- @treturn string
function conduct.cases(operation)
  local rows = {}
  for i, case in ipairs(cases_of(operation)) do
    local verdict, count = judge(operation, case[2])
    rows[i] = { case[1], code(verdict.kind), outcome_of(verdict), how_often(verdict, count),
      verdict.retryable and "yes" or "no" }
  end
  return markdown.table({ "What happens", "`kind`", "`outcome`", "Sent again", "`retryable`" }, rows)
end

--- The table of the documented errors; empty when no source shows one.
-- @tparam table operation
-- @treturn string
function conduct.documented_errors(operation)
  local rows = {}
  for i, row in ipairs(operation.errors) do
    local verdict, count = judge(operation, answered(row.status, { error_type = row.type }))
    rows[i] = { code(row.type), code(row.app_error_code), ("%d"):format(row.status), outcome_of(verdict),
      how_often(verdict, count), verdict.retryable and "yes" or "no", code(row.action), row.meaning }
  end
  local head = { "`type`", "`app_error_code`", "HTTP", "`outcome`", "Sent again", "`retryable`", "`action`", "Meaning" }
  return #rows > 0 and markdown.table(head, rows) or ""
end

-- --- the rule in words ----------------------------------------------------------------------------------------------

local DECIDE = "[decide after a failed write](../guide.md#decide-after-a-failed-write)"

local EFFECTS = {
  read = "`read`: it changes nothing, so the library sends it again by itself where that may help. A lost answer costs "
    .. "nothing, and an error has no `outcome`.",
  repeatable = "`repeatable`: it changes something, and the documents call it harmless to send it twice. So the "
    .. "library sends it again by itself as if it were a read. When the last answer is lost too, `outcome` is "
    .. "`unknown`, and the same call may be made again.",
  once = "`once`: it changes something, and nothing says that it may be sent twice. The library sends it again only "
    .. "where it is certain that the service did not act on it. When the answer is lost, `outcome` is `unknown`: the "
    .. "service may have done it or not, and you " .. DECIDE .. ".",
}

local TOKEN_CALL = "`once`: it spends a code or a refresh token that works once, so within a call it is never repeated "
  .. "after it was sent. A later call tries again with what was not refused."

local function exceptions(operation)
  local list = {}
  for _, row in ipairs(operation.errors) do
    if row.retries > 0 then
      list[#list + 1] = ("One exception: the error table allows %d repetitions after `%s` with HTTP %d, whatever "
        .. "`retries` is above 0."):format(row.retries, row.type, row.status)
    end
  end
  return table.concat(list, " ")
end

--- The retry rule in words.
-- @tparam table operation
-- @treturn string
function conduct.rule(operation)
  local rule = operation.anonymous and TOKEN_CALL or EFFECTS[operation.effect]
  return markdown.join { rule or error("no words for the effect " .. operation.effect), exceptions(operation) }
end

-- --- states ---------------------------------------------------------------------------------------------------------

--- What the states of the answer mean; empty when it has none.
-- @tparam table operation
-- @tparam table ask the operation that asks how far it is; may be the same
-- @treturn string
function conduct.states(operation, ask)
  if not operation.state then
    return ""
  end
  local failed = judge(operation, answered(200, { state = "ERROR" }))
  local again = ask.name == operation.name and "ask again later"
    or ("ask [`%s`](%s.md) with its `processId`"):format(ask.name, ask.name)
  local rows = {
    { "`PENDING`", "the answer; the service is still at work: " .. again },
    { "`COMPLETE`", "the answer; it is done" },
    { "`ERROR`", ("`nil, err` of kind `%s`%s; it failed, and the answer is in `err.body`"):format(failed.kind,
      failed.outcome and (" with outcome `%s`"):format(failed.outcome) or "") },
  }
  local told = operation.state_told and "The documents show it in every answer, so one without it is an error."
    or "Whether every answer has it is not known, so one without it is no error."
  return markdown.join {
    ("`%s` is the state, and `response.state` holds it. %s"):format(operation.state, told),
    markdown.table({ code(operation.state), "What the call returns" }, rows),
  }
end

return conduct
