--- The responses of an operation: each documented status with its schema, samples and documented errors.
local samples = require("openapi.samples")
local schema = require("openapi.schema")
local yaml = require("openapi.yaml")

local map = yaml.map

local answers = {}

local MEANINGS = {
  ["200"] = "Done.",
  ["201"] = "Done; something was created.",
  ["207"] = "Done in part: `failure` names what was not. The client returns this as an error of kind `partial`.",
  ["2XX"] = "Done. The documents do not say with which status, so any of these is taken.",
  ["400"] = "The request is not as it must be.",
  ["401"] = "The access token is missing, has ended or was revoked. The client renews it and repeats the call once.",
  ["402"] = "Listed by the documents without a meaning (row 46).",
  ["403"] = "Not allowed.",
  ["404"] = "There is no such thing.",
  ["405"] = "The method is not supported. The body may be anything.",
  ["406"] = "The media type that was asked for is not supported. The body may be anything.",
  ["409"] = "The state of the seats does not allow it.",
  ["415"] = "The media type that was sent is not supported. The body may be anything.",
  ["422"] = "Understood, and refused.",
  ["426"] = "Listed by the documents without a meaning (row 46). The body may be anything.",
  ["429"] = "Too many requests.",
  ["4XX"] = "Refused.",
  ["500"] = "The service failed.",
  ["505"] = "Listed by the documents without a meaning (row 46). The body may be anything.",
  ["5XX"] = "The service failed.",
  default = "Not documented. Gateways may answer with HTML, or with nothing.",
}

local FOREIGN = { ["405"] = true, ["406"] = true, ["415"] = true, ["426"] = true, ["505"] = true }

-- --- which statuses -------------------------------------------------------------------------------------------------

-- The key "2XX" stands where the documents leave the status of a success open (row 36).
local function statuses_of(operation)
  local seen, list = {}, {}
  local function add(status)
    if not seen[status] then
      seen[status] = true
      list[#list + 1] = status
    end
  end
  for status in (operation.answers or ""):gsub("success.*$", ""):gmatch("%d[%dX][%dX]") do
    add(status)
  end
  for _, row in ipairs(operation.errors) do
    add(("%d"):format(row.status))
  end
  if not table.concat(list, " "):find("%f[%w]2") then
    add("2XX")
  end
  if not table.concat(list, " "):find("%f[%w]4") then
    add("4XX")
  end
  table.sort(list)
  add("default")
  return list
end

local function is_success(status)
  return status:find("^2") ~= nil
end

-- --- bodies ---------------------------------------------------------------------------------------------------------

local function success_schema(operation, name)
  if not operation.answer.list then
    return schema.ref(name)
  end
  local list = map { { "type", "array" }, { "items", schema.ref(name) } }
  return schema.either(list, schema.ref(name))
end

--- Makes the component of the error that is alike everywhere; call it before `answers.of`. An answer that is a list has
-- no error in its own table.
-- @tparam table schemas as `schema.new` makes them
-- @tparam table operations `paciolan.operations()`
function answers.prepare(schemas, operations)
  for _, operation in ipairs(operations) do
    for _, field in ipairs(operation.answer.fields) do
      if field.name == "error" and field.type == "object" then
        schemas.error = schema.field(schemas, field, "answer", "RefusalError")
        return
      end
    end
  end
  error("no answer has an error")
end

-- One table says what an answer may hold, whatever its status. A refusal says why, and what it says besides are these.
local BESIDE_ERROR = { "failure", "sellerIds", "processId" }

local function add_refusal(schemas, operation, name)
  local all = schemas.components:get(name):get("properties")
  local properties = map { { "error", all:get("error") or schemas.error } }
  for _, field in ipairs(BESIDE_ERROR) do
    properties:set(field, all:get(field))
  end
  if operation.state then
    properties:set(operation.state, all:get(operation.state))
  end
  schemas.components:set(schema.pascal(operation.name) .. "Refusal", map {
    { "type", "object" }, { "description", "A refusal: the answer says why. Further fields are possible." },
    { "required", { "error" } }, { "properties", properties },
  })
end

local function error_value(operation, row)
  local value = map {
    { "error", map {
      { "type", row.type }, { "appErrorCode", row.app_error_code }, { "developerMessage", row.meaning },
    } },
  }
  return value:set(operation.state or "", operation.state and "ERROR" or nil)
end

local function row_name(row)
  return row.type:lower():gsub("_", "-")
end

-- A row of the documented error table as an example of its own.
local function add_rows(operation, status, examples)
  local names = {}
  for _, row in ipairs(operation.errors) do
    if ("%d"):format(row.status) == status then
      local name = row_name(row)
      names[name] = (names[name] or 0) + 1
      examples:set(names[name] == 1 and name or ("%s-%d"):format(name, names[name]), map {
        { "summary", row.type .. (row.retries > 0 and (", may be repeated %d times"):format(row.retries) or "") },
        { "description", row.meaning }, { "value", error_value(operation, row) },
      })
    end
  end
end

local function examples_of(operation, status)
  local examples = map()
  samples.examples(samples.answers, function(sample)
    return sample.operation == operation.name and sample.status == status
  end, examples)
  add_rows(operation, status, examples)
  if examples:is_empty() and not is_success(status) then
    local name = operation.anonymous and "refusal-as-text" or "refusal"
    examples:set(name, map { { "$ref", "#/components/examples/" .. name } })
  end
  return not examples:is_empty() and examples or nil
end

local function content_of(operation, status, name)
  if FOREIGN[status] then
    return nil
  end
  local refusal = schema.ref(schema.pascal(operation.name) .. "Refusal")
  local body = is_success(status) and success_schema(operation, name) or refusal
  return map { { "application/json", map { { "schema", body }, { "examples", examples_of(operation, status) } } } }
end

local function headers_of(status)
  return map {
    { "Request-ID", map { { "$ref", "#/components/headers/RequestId" } } },
    { "Retry-After", status == "429" and map { { "$ref", "#/components/headers/RetryAfter" } } or nil },
  }
end

local STATES = {
  PENDING = "`%s` PENDING: accepted and not done yet.", COMPLETE = "COMPLETE: done.", ERROR = "ERROR: not done.",
}

local function meaning_of(operation, status)
  local text = MEANINGS[status]
  if is_success(status) and operation.state then
    text = ("%s %s %s %s"):format(text, STATES.PENDING:format(operation.state), STATES.COMPLETE, STATES.ERROR)
  end
  return text
end

--- The responses of an operation.
-- @tparam table schemas as `schema.new` makes them; gets the component of the answer
-- @tparam table operation a row of `paciolan.operations()`
-- @treturn table map by status
function answers.of(schemas, operation)
  local name = schema.pascal(operation.name) .. "Answer"
  schema.object(schemas, operation.answer, "answer", name,
    ("What an answer to `%s` may hold, whatever its status. Further fields are possible."):format(operation.name))
  add_refusal(schemas, operation, name)
  local responses = map()
  for _, status in ipairs(statuses_of(operation)) do
    responses:set(status, map {
      { "description", assert(MEANINGS[status], "no words for this status") and meaning_of(operation, status) },
      { "headers", headers_of(status) }, { "content", content_of(operation, status, name) },
    })
  end
  return responses
end

--- The components of the examples of a refusal that no document shows: the two documented forms (contract 4).
-- @tparam table into map of examples to add to
-- @treturn table into
function answers.examples(into)
  local object = map { { "type", "string" }, { "appErrorCode", "string" }, { "developerMessage", "string" } }
  into:set("refusal", map {
    { "summary", "The form of an error" }, { "value", map { { "error", object } } },
  })
  return into:set("refusal-as-text", map {
    { "summary", "The form of an error of the token call" }, { "value", map { { "error", "string" } } },
  })
end

--- The components of the headers of answers.
-- @treturn table map by name
function answers.headers()
  return map {
    { "RequestId", map {
      { "description", "The value of the request. Another one is no error (row 32)." },
      { "schema", map { { "type", "string" } } },
    } },
    { "RetryAfter", map {
      { "description", "Seconds, or a date: when to come again." }, { "schema", map { { "type", "string" } } },
    } },
  }
end

return answers
