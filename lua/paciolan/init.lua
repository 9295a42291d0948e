--- A client for the Paciolan Link API.
--
--     local paciolan = require "paciolan"
--     local link = paciolan.from_env()
--     local result, err, response = link.tickets:lock(payload)
--
-- Misuse of the Lua API raises; everything that can happen to a correct program returns `nil, err`
-- (see `paciolan.errors`).
-- @module paciolan
local call = require "paciolan.call"
local client = require "paciolan.client"
local concurrent = require "paciolan.concurrent"
local core = require "paciolan.core"
local environment = require "paciolan.environment"
local errors = require "paciolan.errors"
local json = require "paciolan.json"
local messages = require "paciolan.messages"
local receiver = require "paciolan.receiver"
local sns = require "paciolan.sns"
local store = require "paciolan.store"
local values = require "paciolan.values"

local paciolan = {}

--- The version of the library.
paciolan._VERSION = core.version

--- JSON null: sent where the documents allow it, and found in answers.
paciolan.null = json.null

--- The stores by name: `paciolan.store.memory()`, `paciolan.store.sqlite "paciolan.db"`,
-- `paciolan.store.redis "redis://localhost"`, `paciolan.store.shdict "paciolan"` in nginx, and
-- `paciolan.store.open(text)` for any of them; see `paciolan.store`.
paciolan.store = store

--- Reading what the service pushes: `paciolan.messages.parse(body)`, see `paciolan.messages`.
paciolan.messages = messages

--- Verifying what Amazon SNS posts, without I/O: `paciolan.sns.verify(body, options)`, see `paciolan.sns`. A receiver
-- does that itself.
paciolan.sns = sns

--- Makes a receiver for what the service pushes: `paciolan.receiver { topics = …, on_seat = … }`, see
-- `paciolan.receiver` for its options and methods.
-- @function receiver
-- @tparam table options
-- @treturn table the receiver: `handle(request)`, `counters()`, `watch()`, `close()`
-- @raise for a missing, unknown or wrong option
paciolan.receiver = receiver.new

--- Splits `ES:9` into level and section, see `paciolan.values`.
paciolan.split_section = values.split_section

--- Reads a time in any of the documented forms, see `paciolan.values`.
paciolan.parse_time = values.parse_time

--- Makes a client.
--
-- Options (`?` may be left out):
--
-- * `base_url`: https, or http on loopback only. The documents name no production host, so there is no default.
-- * `application_id`, `api_key`, `channel_code`, `user_agent`; `organization_id`?: some operations need it, a call may
--   override it
-- * `auth`: `{ code = }`, `{ refresh_token = }` or `{ access_token =, expiration = }`
-- * `store`?: where token sets live; `paciolan.store.memory()`
-- * `timeout_ms`? 30000 for one attempt, `connect_timeout_ms`? 5000, `deadline_ms`? 60000 for all of a call
-- * `retries`? 2: how often a call may be repeated where that is safe; 0 means that nothing is ever sent twice
-- * `shapes`?: what goes out where the documents disagree, see `paciolan.shapes()`
-- * `operations`?: `{ ["tickets.verify"] = { method = "PUT", path = "/v1/…" } }`, other methods or paths than the
--   documented ones
-- * `on_event`?: `function(event)`, told of `request`, `response`, `retry`, `rotation` and `call`, the end of a
--   call; never holds a secret
-- * `strict_request_id`? true: a caller's request_id must be a UUID of version 4
-- * `clock_skew_ms`? 0: how much earlier than written a token counts as ended
-- * `ca_file`?, `proxy`?: for the transport; `transport`?: another one, see `paciolan.transport.curl`
-- @tparam table options
-- @treturn table link: `catalog`, `listings`, `tickets`, `orders`, `transfers`, `auth`, `close()`
-- @raise for a missing, unknown or wrong option
function paciolan.new(options)
  return client.new(options)
end

-- A client makes its own store of the kind `memory`, and closes it.
local function open_store(text)
  if text == nil then
    return nil
  end
  local ok, opened = pcall(store.open, text)
  if not ok then
    error("PACIOLAN_STORE: " .. tostring(opened):gsub("^[^:\n]*:%d+: ", ""), 3)
  end
  return opened
end

--- Makes a client from the environment: `PACIOLAN_BASE_URL`, `PACIOLAN_APPLICATION_ID`, `PACIOLAN_API_KEY`,
-- `PACIOLAN_CHANNEL_CODE`, `PACIOLAN_ORGANIZATION_ID`, `PACIOLAN_USER_AGENT`, `PACIOLAN_AUTH_CODE`,
-- `PACIOLAN_REFRESH_TOKEN`, `PACIOLAN_ACCESS_TOKEN`, `PACIOLAN_STORE` (as `paciolan.store.open` takes it),
-- `PACIOLAN_CA_FILE`. A store that is opened here is closed with the link.
-- @tparam ?table overrides options that win over the environment
-- @treturn table link
-- @raise for a required variable that is not set; the message names all of them
function paciolan.from_env(overrides)
  local options, named = environment.read(overrides)
  if not options then
    error("paciolan.from_env: " .. named, 2)
  end
  local own_store = options.store == nil and open_store(named) or nil
  options.store = options.store or own_store
  local link = client.new(options)
  link._config.owns_store = link._config.owns_store or own_store ~= nil
  return link
end

--- Runs functions that call a link side by side, in one thread.
--
-- A task gives way to the others while it waits for an answer or before a repetition, if its link has the curl
-- transport. With a transport of another kind it blocks inside its task, and the results are the same. A task that
-- computes for long holds up the others, and their timeouts go on. A coroutine that a task makes itself blocks.
--
-- Called inside a task, `concurrent` runs its tasks beside the others, with a limit of their own.
-- @tparam table tasks list of functions, which are called without arguments
-- @tparam ?table options `limit`: how many tasks run at once, 1 to 1000, 16 by default
-- @treturn table the first three values of each task in the order of the tasks: `{ { result, err, response }, … }`
-- An error of this library that a task raises, as `assert(link…)` does, becomes its `{ nil, err }`
-- @raise for misuse, and what else a task raised, with its traceback if it is a text. Then no more tasks are started,
-- those that run come to their end first, and all results are lost. A task must not call `coroutine.yield` itself
-- @usage
-- local results = paciolan.concurrent {
--   function() return link.catalog:events() end,
--   function() return link.listings:get("A3qnemZ") end,
-- }
function paciolan.concurrent(tasks, options)
  return concurrent.run(tasks, options)
end

local validate_options = { distributor_code = true, organization_id = true, shapes = true }

--- Checks a payload against the contract without sending anything.
-- @tparam string operation such as `tickets.lock`
-- @param payload as for the method: a table with wire names, or the value of the path
-- @tparam ?table options what rules look at besides the payload: `distributor_code`, `organization_id`, `shapes`
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of kind `validation`, every problem in `err.fields`
-- @raise for an unknown operation or option
function paciolan.validate(operation, payload, options)
  for name in pairs(options or {}) do
    if not validate_options[name] then
      error("paciolan.validate: unknown option " .. errors.shown(name), 2)
    end
  end
  if not call.operations[operation] then
    error("paciolan.validate: no operation of that name; paciolan.operations() lists them", 2)
  end
  local ok, violations = core.check(operation, payload, options)
  if ok then
    return true
  end
  return nil, errors.validation(operation, violations)
end

--- A copy of a value that may stand in a log: what is secret or personal is replaced by `[redacted]`.
--
-- Tables are copied by their field names: tokens, keys, codes, barcodes, names, addresses and headers with credentials
-- go, in any spelling; a list of them becomes `[redacted: 3]`. All other texts are gone through by shape: credentials,
-- e-mail addresses, user names and query values of URLs, telephone and card numbers, and long keys go. Ids stay:
-- Request-IDs, process ids, confirmation codes, codes of errors, times. A name of a person that stands in a sentence
-- cannot be found, and neither can a token of fewer than 16 characters without its field.
--
-- Metatables are ignored, but that of an error itself. Functions and userdata become the name of their type, a table
-- inside itself `[cycle]`. At most 32 levels, 20000 values, 64 KiB of a text and 1 MiB of all of them are copied.
-- @param value a payload, a result, a response, an error, a text, or anything else but nil
-- @return the copy; plain tables, texts, numbers, booleans and `paciolan.null`. Of an error it is an error again
function paciolan.redact(value)
  return errors.dress(value, core.redact(value))
end

--- The operation table, for tools and documentation.
-- @treturn table list of operations in the order of their names: `name`, `method`, `path`, `lua`, `effect` (`read`,
-- `repeatable`, `once`), `path_fields`, `query`, `body`, `answer` (`fields`, and `list` where a success is a list of
-- such objects), `errors`, `doc`, `source` and more; a new table each time
function paciolan.operations()
  return core.operations()
end

--- The message entities that the service pushes, as field tables.
-- @treturn table `{ events =, seats =, metadata = }`, each with `fields`
function paciolan.message_fields()
  return core.messages()
end

--- Where the documents disagree and the caller may choose: the values of the option `shapes`.
-- @treturn table by name `{ choices = {…}, doc = }`; the first choice is the default
function paciolan.shapes()
  return core.shapes()
end

return paciolan
