--- Writes docs/openapi.yaml from the operation table: `lua5.4 docs/generate/openapi.lua [FILE]`.
--
-- Run it from the root of the checkout with the built tree on LUA_PATH and LUA_CPATH; `make docs` does. The bytes are
-- the same on every Lua. What a schema cannot say is listed in openapi/unsaid.lua.
local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/?.lua;" .. here .. "/../../spec/?.lua;" .. package.path

local answers = require("openapi.answers")
local callbacks = require("openapi.callbacks")
local paciolan = require("paciolan")
local parameters = require("openapi.parameters")
local samples = require("openapi.samples")
local schema = require("openapi.schema")
local unsaid = require("openapi.unsaid")
local yaml = require("openapi.yaml")

local map = yaml.map

-- --- the head -------------------------------------------------------------------------------------------------------

local ABOUT = [[
The Paciolan Link API as this client understands it. The document is generated from the client's own table of
operations by `make docs`; change the table, not this file.

A request body is described as the client takes it: either documented shape where the documents disagree, either
spelling of a name, and a list of bare tokens to lock. What goes out by default is said beside each such field, and
`x-switch` names the choice. Rows, sections and source marks (`x-source`) are those of docs/contract.md; the mark I
means that no source states it.

`x-effect` says what a lost answer means: `read` and `repeatable` may be sent again, `once` never. `x-not-in-schema`
names the rules that OpenAPI 3.0 has no words for.]]

local TAGS = {
  { "auth", "Access tokens." }, { "catalog", "Events of an organisation." },
  { "listings", "What a seller has put up." }, { "orders", "The sale, and what became of it." },
  { "tickets", "Seats: lock, unlock, verify, print." }, { "transfers", "Seats from one patron to another." },
  { "messages", "What the service pushes to the integrator." },
}

local function tags()
  local list = {}
  for i, tag in ipairs(TAGS) do
    list[i] = map { { "name", tag[1] }, { "description", tag[2] } }
  end
  return list
end

local function servers()
  return { map {
    { "url", "https://{host}" },
    { "description", "The documented sandbox. No document names a production host; the provider does." },
    { "variables", map { { "host", map {
      { "default", "link-sandbox.paciolan.info" },
      { "description", "The host that the provider named. The paths begin with /v1 or /v2 on all of them." },
    } } } },
  }, map {
    { "url", "http://127.0.0.1:{port}" },
    { "description", "The sandbox of this library: bin/paciolan sandbox" },
    { "variables", map { { "port", map {
      { "default", "8480" }, { "description", "What --port of bin/paciolan sandbox says." },
    } } } },
  } }
end

local function security_schemes()
  return map {
    { "bearer", map {
      { "type", "http" }, { "scheme", "bearer" }, { "description", "The access token of auth.token (row 33)." },
    } },
    { "apiKey", map {
      { "type", "apiKey" }, { "in", "header" }, { "name", "PAC-API-Key" },
      { "description", "Given by the provider, together with PAC-Application-ID." },
    } },
    { "callbackBasic", map {
      { "type", "http" }, { "scheme", "basic" },
      { "description", "Credentials that the application put into asyncCallbackUrl, if it did." },
    } },
    { "messagingBasic", map {
      { "type", "http" }, { "scheme", "basic" }, { "description", "Agreed with the provider (contract 5)." },
    } },
  }
end

-- --- one operation --------------------------------------------------------------------------------------------------

local EFFECTS = {
  read = "It changes nothing, so the client repeats it after a failure on the way.",
  repeatable = "Repeating it is documented as harmless, so the client repeats it after a failure on the way.",
  once = "It must not happen twice: the client never repeats it when an answer is lost.",
}

local function retry(operation)
  local rows = {}
  for _, row in ipairs(operation.errors) do
    rows[#rows + 1] = map {
      { "type", row.type }, { "appErrorCode", row.app_error_code }, { "status", row.status },
      { "retries", row.retries }, { "action", row.action }, { "meaning", row.meaning },
    }
  end
  return map {
    { "afterLostAnswer", operation.effect ~= "once" },
    { "afterUnauthorized", not operation.anonymous and "once, with a renewed token" or nil },
    { "documentedErrors", #rows > 0 and rows or nil },
  }
end

local function not_in_schema(operation)
  local rows = {}
  for _, row in ipairs(unsaid.rows_of(operation.name)) do
    rows[#rows + 1] = map {
      { "path", row.path }, { "rule", row.rule }, { "switch", row.shape }, { "reason", row.reason },
    }
  end
  return #rows > 0 and rows or nil
end

local function request_body(schemas, operation)
  if not operation.body then
    return nil
  end
  local name = schema.pascal(operation.name) .. "Request"
  schema.object(schemas, operation.body, "request", name, ("The body of `%s`."):format(operation.name))
  local examples = samples.examples(samples.requests, function(sample)
    return sample.operation == operation.name
  end)
  local content = map { { "schema", schema.ref(name) }, { "examples", examples } }
  return map { { "required", true }, { "content", map { { "application/json", content } } } }
end

local function summary(operation)
  return (operation.doc:match("^(.-)%.%s") or operation.doc:gsub("%.$", ""))
end

local function operation_object(schemas, operation)
  return map {
    { "operationId", operation.name }, { "tags", { operation.name:match("^%a+") } },
    { "summary", summary(operation) },
    { "description", operation.doc .. " " .. EFFECTS[operation.effect] },
    { "security", operation.anonymous and {} or nil },
    { "parameters", parameters.of(schemas, operation) },
    { "requestBody", request_body(schemas, operation) },
    { "responses", answers.of(schemas, operation) },
    { "callbacks", callbacks.of(operation.name) },
    { "x-lua", operation.lua }, { "x-effect", operation.effect }, { "x-retry", retry(operation) },
    { "x-fixed-headers", parameters.fixed() },
    { "x-not-in-schema", not_in_schema(operation) },
    { "x-source", operation.source },
  }
end

local function paths(schemas)
  local list, operations = map(), paciolan.operations()
  answers.prepare(schemas, operations)
  for _, operation in ipairs(operations) do
    local item = list:get(operation.path) or map()
    list:set(operation.path, item:set(operation.method:lower(), operation_object(schemas, operation)))
  end
  return list
end

-- --- the document ---------------------------------------------------------------------------------------------------

local function document()
  local schemas = schema.new(paciolan.shapes())
  local all_paths = paths(schemas)
  local all_callbacks = callbacks.components(schemas, paciolan.message_fields())
  return map {
    { "openapi", "3.0.3" },
    { "info", map {
      { "title", "Paciolan Link API" }, { "version", paciolan._VERSION }, { "description", ABOUT },
      { "license", map { { "name", "MIT" }, { "url", "https://opensource.org/license/mit" } } },
    } },
    { "servers", servers() }, { "tags", tags() },
    { "security", { map { { "bearer", {} }, { "apiKey", {} } } } },
    { "paths", all_paths },
    { "components", map {
      { "schemas", schemas.components }, { "parameters", parameters.components() },
      { "headers", answers.headers() }, { "securitySchemes", security_schemes() },
      { "callbacks", all_callbacks }, { "examples", answers.examples(samples.components()) },
    } },
  }
end

local text = yaml.encode(document())
local out = assert(io.open(arg[1] or "docs/openapi.yaml", "wb"))
assert(out:write("# Generated by docs/generate/openapi.lua from src/contract; `make docs` writes it anew.\n", text))
assert(out:close())
