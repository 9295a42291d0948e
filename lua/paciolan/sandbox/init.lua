--- A local Link API with a memory: the whole service as the documents describe
-- it, for specs, demos and development. `docs/sandbox.md` is its manual.
--
--     local sandbox = require("paciolan.sandbox").new { seed = "demo", port = 8080 }
--     sandbox:listen()
--     sandbox:run()
--
-- Without `listen` it is a pure object: `sandbox:handle(request)` answers a
-- request table and touches no socket.
-- @module paciolan.sandbox

local api = require "paciolan.sandbox.api"
local faults = require "paciolan.sandbox.faults"
local ids = require "paciolan.sandbox.ids"
local inventory = require "paciolan.sandbox.inventory"
local json = require "paciolan.sandbox.json"
local ledger = require "paciolan.sandbox.ledger"
local processes = require "paciolan.sandbox.processes"
local tokens = require "paciolan.sandbox.tokens"
local transfers = require "paciolan.sandbox.api.transfers"

local sandbox = {}

local Sandbox = {}
Sandbox.__index = Sandbox

local STEP_MS = 1000 -- how long run waits at a time before it looks at the clock again

local LONGEST_LIFE_S = 10 * 365 * 86400

-- What may be changed while it runs: name, default, lowest and highest value. A lifetime is that of what is issued from
-- then on; 0 stands for ever.
local OPTIONS = {
  { "token_lifetime_s", 3600, 1, LONGEST_LIFE_S },
  { "refresh_token_lifetime_s", 0, 0, LONGEST_LIFE_S },
  { "code_lifetime_s", 0, 0, LONGEST_LIFE_S },
  { "pending_polls", 0, 0, 999 }, -- how many polls of an order or transfer answer PENDING
  { "pending_s", 60, 0, 86400 }, -- after that long it ends without being polled
  { "order_http_status", 200, 200, 201 }, -- both are documented for complete-order
}

local KNOWN = { seed = "string", host = "string", port = "number", clock = "function", on_request = "function",
  on_error = "function", stop_on_signals = "boolean", extra_seats = "number", faults = "string" }
for _, row in ipairs(OPTIONS) do
  KNOWN[row[1]] = "number"
end

local function check_new(options)
  for key, value in pairs(options) do
    if not KNOWN[key] then
      error("unknown option of sandbox.new: " .. tostring(key), 3)
    elseif type(value) ~= KNOWN[key] then
      error("option " .. key .. " of sandbox.new must be a " .. KNOWN[key], 3)
    end
  end
end

local function check_option(row, value)
  local name, low, high = row[1], row[3], row[4]
  if type(value) ~= "number" or value ~= math.floor(value) or value < low or value > high then
    return string.format("%s must be a whole number from %d to %d", name, low, high)
  end
end

local EXTRA_SEATS = { "extra_seats", 0, 0, 100000 }

--- Makes a sandbox. The world, every id and every token follow from the seed.
-- @tparam[opt] table options
-- @tparam[opt="paciolan"] string options.seed
-- @tparam[opt="127.0.0.1"] string options.host numeric address to listen on
-- @tparam[opt=0] number options.port 0 for any free port
-- @tparam[opt=os.time] function options.clock returns unix seconds; control calls add an offset to it
-- @tparam[opt=3600] number options.token_lifetime_s of access tokens
-- @tparam[opt=0] number options.refresh_token_lifetime_s 0: they never expire
-- @tparam[opt=0] number options.code_lifetime_s of authorization codes, 0: they never expire
-- @tparam[opt=0] number options.pending_polls
-- @tparam[opt=60] number options.pending_s
-- @tparam[opt=200] number options.order_http_status 200 or 201
-- @tparam[opt=0] number options.extra_seats seats of one more event, 129:FB30:FB03
-- @tparam[opt] string options.faults a plan of random faults, see `paciolan.sandbox.faults`
-- @tparam[opt] function options.on_request called after each request with `method`, `path`, `operation`, `status` (nil
-- when there is to be no answer), `request_id` and `fault` in a table
-- @tparam[opt] function options.on_error called with the text of a fault in the sandbox itself
-- @tparam[opt] boolean options.stop_on_signals SIGINT and SIGTERM end `run`
-- @treturn Sandbox
function sandbox.new(options)
  options = options or {}
  check_new(options)
  local self = setmetatable({
    seed = options.seed or "paciolan", options = {}, _host = options.host or "127.0.0.1", _port = options.port or 0,
    _clock = options.clock or os.time, _on_request = options.on_request, _on_error = options.on_error,
    _stop_on_signals = options.stop_on_signals, _parked = {}, _extra_seats = options.extra_seats or EXTRA_SEATS[2],
  }, Sandbox)
  for _, row in ipairs(OPTIONS) do
    local value = options[row[1]] == nil and row[2] or options[row[1]]
    local wrong = check_option(row, value)
    if wrong then
      error(wrong, 2)
    end
    self.options[row[1]] = value
  end
  local wrong = check_option(EXTRA_SEATS, self._extra_seats)
  if wrong then
    error(wrong, 2)
  end
  self.faults = faults.new(self.seed, api.OPERATIONS)
  local ok, rule = self.faults:set_plan(options.faults or "")
  if not ok then
    error("faults: " .. rule, 2)
  end
  self:reset()
  return self
end

--- Puts the world, the tokens, the ledger and the clock back to the start. The
-- options and the plan of faults stay as they are; no single fault waits any more.
function Sandbox:reset()
  local function now()
    return self:now()
  end
  self._offset_s = 0
  self.faults:restart()
  self.draw = ids.stream(self.seed, "answers")
  self.inventory = inventory.new(self.seed, self._extra_seats)
  self.tokens = tokens.new(self.seed, now, self.options.code_lifetime_s)
  self.ledger = ledger.new(now)
  self.processes = processes.new(self.seed, now)
  self.transfers = transfers.new_store()
  self._credentials = {
    application_id = "com.mycompany.myapp", channel_code = "my-application", organization_id = "129",
    user_agent = "MyApplication/1.0.0", api_key = "key-" .. ids.stream(self.seed, "api key"):text(24, ids.MIXED),
  }
end

--- @treturn number unix seconds on the sandbox's clock
function Sandbox:now()
  return self._clock() + self._offset_s
end

--- Moves the clock forward.
-- @tparam number seconds
function Sandbox:advance(seconds)
  self._offset_s = self._offset_s + seconds
end

--- What a client needs to be let in, an authorization code excepted.
-- @treturn table `application_id`, `api_key`, `channel_code`, `organization_id`, `user_agent`
function Sandbox:credentials()
  return self._credentials
end

--- Changes options while it runs.
-- @tparam table changes by name
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] string which rule is broken; then nothing was changed
function Sandbox:set_options(changes)
  local rows = {}
  for _, row in ipairs(OPTIONS) do
    rows[row[1]] = row
  end
  for name, value in pairs(changes) do
    local wrong = not rows[name] and "There is no such option" or check_option(rows[name], value)
    if wrong then
      return nil, wrong
    end
  end
  for name, value in pairs(changes) do
    self.options[name] = value
  end
  return true
end

local function monotonic_ms()
  return require("paciolan.httpd").monotonic_ms()
end

local function wants_gzip(headers)
  for coding in (headers["accept-encoding"] or ""):lower():gmatch("[^,]+") do
    local name, weight = coding:match("^%s*([^;%s]+)%s*;?%s*q?=?%s*([%d.]*)")
    if name == "gzip" and tonumber(weight) ~= 0 then
      return true
    end
  end
  return false
end

local UNHANDLED = { error = { type = "UNHANDLED_EXCEPTION", appErrorCode = "MS-500",
  developerMessage = "The sandbox itself failed; its output says why" } }

-- A fault in the sandbox must not end it: the client sees a 500.
local function dispatch(self, request)
  local ok, status, body, operation, more, fault = pcall(api.dispatch, self, request)
  if ok then
    return status, body, operation, more, fault
  elseif self._on_error then
    self._on_error(tostring(status))
  end
  return 500, UNHANDLED, "unknown"
end

-- Control calls stand in no ledger.
local function note(self, request, answer, operation, fault)
  local request_id, status = request.headers["request-id"], not answer.drop and answer.status or nil
  if not operation:find("^sandbox%.") then
    self.ledger:add_request(request_id, operation, status, fault and fault.text)
  end
  if self._on_request then
    self._on_request { method = request.method, path = request.path, operation = operation, status = status,
      request_id = request_id, fault = fault and fault.text }
  end
end

--- Answers one request: the single place that every request passes, with or
-- without a socket. Work whose time has come is settled first.
-- @tparam table request `method`, `path` (percent-encoded), `query` (raw), `headers` (lower-case names), `body`
-- @treturn table `status`, `headers`, `body` (text), `gzip` (whether the client takes it); with a fault also what
-- `paciolan.sandbox.faults` adds: `delay_ms`, `drop`, `cut_after_bytes`, `piece_bytes`, `pause_ms`
function Sandbox:handle(request)
  self.processes:settle_due()
  local status, body, operation, more, fault = dispatch(self, request)
  local request_id = request.headers["request-id"]
  local headers = { ["Content-Type"] = "application/json", ["Request-ID"] = request_id }
  for name, value in pairs(more or {}) do
    headers[name] = value
  end
  local answer = { status = status, headers = headers, body = json.encode(body), gzip = wants_gzip(request.headers) }
  if fault then
    faults.change_answer(fault, answer, operation, self:now())
  end
  note(self, request, answer, operation, fault)
  return answer
end

--- Opens the port.
-- @treturn Sandbox itself
-- @treturn[2] nil
-- @treturn[2] string why not
function Sandbox:listen()
  local server, message = require("paciolan.httpd").listen {
    host = self._host, port = self._port, stop_on_signals = self._stop_on_signals,
  }
  if not server then
    return nil, message
  end
  self._server = server
  return self
end

--- @treturn number the port it listens on
function Sandbox:port()
  return self._server:port()
end

--- @treturn string the base URL for a client
function Sandbox:base_url()
  local host = self._host:find(":", 1, true) and "[" .. self._host .. "]" or self._host
  return string.format("http://%s:%d", host, self:port())
end

local function send(self, request, answer)
  if answer.drop then
    self._server:drop(request, { close = answer.drop == "close" })
  else
    self._server:reply(request, answer.status, answer.headers, answer.body, { gzip = answer.gzip or nil,
      cut_after_bytes = answer.cut_after_bytes, piece_bytes = answer.piece_bytes, pause_ms = answer.pause_ms })
  end
end

-- Sends the delayed answers whose time has come, and says whether there were any.
local function send_due(self)
  local kept, now_ms = {}, #self._parked > 0 and monotonic_ms() or 0
  for _, parked in ipairs(self._parked) do
    if parked.due_at_ms <= now_ms then
      send(self, parked.request, parked.answer)
    else
      kept[#kept + 1] = parked
    end
  end
  local has_sent = #kept < #self._parked
  self._parked = kept
  return has_sent
end

-- How long the server may wait, so that no delayed answer comes late.
local function patience(self, timeout_ms)
  for _, parked in ipairs(self._parked) do
    timeout_ms = math.max(0, math.min(timeout_ms, parked.due_at_ms - monotonic_ms()))
  end
  return timeout_ms
end

--- Waits for a request and answers it, or sends delayed answers whose time has come. A delayed answer keeps nobody
-- else waiting.
-- @tparam[opt=0] number timeout_ms
-- @treturn boolean true when there was something to do
-- @treturn[2] nil when there was not
-- @treturn[2] ?string `stopped` when a signal asked to end
function Sandbox:step(timeout_ms)
  local request, why = self._server:next(patience(self, timeout_ms or 0))
  local answer = request and self:handle(request)
  if answer and answer.delay_ms then
    self._parked[#self._parked + 1] =
      { request = request, answer = answer, due_at_ms = monotonic_ms() + answer.delay_ms }
  elseif answer then
    send(self, request, answer)
  end
  if send_due(self) or request then
    return true
  end
  return nil, why
end

--- Answers requests until a signal asks to end. Opens the port when `listen` was not called.
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] string why it could not listen
function Sandbox:run()
  if not self._server then
    local ok, message = self:listen()
    if not ok then
      return nil, message
    end
  end
  repeat
    local _, why = self:step(STEP_MS)
  until why == "stopped"
  self:close()
  return true
end

--- Closes the port. May be called more than once.
function Sandbox:close()
  if self._server then
    self._server:close()
  end
end

return sandbox
