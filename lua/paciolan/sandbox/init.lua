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
local core = require "paciolan.core"
local faults = require "paciolan.sandbox.faults"
local ids = require "paciolan.sandbox.ids"
local inventory = require "paciolan.sandbox.inventory"
local json = require "paciolan.sandbox.json"
local ledger = require "paciolan.sandbox.ledger"
local processes = require "paciolan.sandbox.processes"
local publisher = require "paciolan.sandbox.publisher"
local tokens = require "paciolan.sandbox.tokens"
local transfers = require "paciolan.sandbox.api.transfers"

local sandbox = {}

local Sandbox = {}
Sandbox.__index = Sandbox

local STEP_MS = 1000 -- how long run waits at a time before it looks at the clock again
local BUSY_MS = 2 -- how long requests may wait while deliveries are waited for
local SHARED_MS = 5 -- how long each of two servers may be waited for while the other is not looked at

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
  { "redelivery_ms", 20000, 0, 3600000 }, -- between a failed delivery of a message and the next attempt
  { "redelivery_tries", 3, 0, 100 }, -- how often it is tried again
}

local KNOWN = { seed = "string", host = "string", port = "number", clock = "function", on_request = "function",
  on_error = "function", stop_on_signals = "boolean", extra_seats = "number", faults = "string", sns_port = "number",
  sns_key_dir = "string", delivery_ca_file = "string" }
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
local SNS_PORT = { "sns_port", 0, 0, 65535 }

-- The clock of the messages is not moved by control calls: those let tokens expire, while receivers go by the
-- machine's.
local function precise_time()
  return core.now_ms() / 1000
end

local function new_publisher(self, options)
  return publisher.new { seed = self.seed, now = options.clock or precise_time, settings = self.options,
    ca_file = options.delivery_ca_file, key_dir = options.sns_key_dir, on_error = options.on_error }
end

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
-- @tparam[opt=20000] number options.redelivery_ms between a failed delivery of a message and the next attempt
-- @tparam[opt=3] number options.redelivery_tries how often a delivery is tried again
-- @tparam[opt=0] number options.sns_port of the TLS listener that stands for Amazon SNS, on 127.0.0.1; 0 for any free
-- one
-- @tparam[opt] string options.sns_key_dir a folder that keeps the keys of that; without one they are made anew each
-- time
-- @tparam[opt] string options.delivery_ca_file PEM file of roots for https receivers, used instead of the system's
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
    _sns_port = options.sns_port or SNS_PORT[2], _opens_sns = options.sns_port ~= nil,
  }, Sandbox)
  for _, row in ipairs(OPTIONS) do
    local value = options[row[1]] == nil and row[2] or options[row[1]]
    local wrong = check_option(row, value)
    if wrong then
      error(wrong, 2)
    end
    self.options[row[1]] = value
  end
  local wrong = check_option(EXTRA_SEATS, self._extra_seats) or check_option(SNS_PORT, self._sns_port)
  if wrong then
    error(wrong, 2)
  end
  self.faults = faults.new(self.seed, api.OPERATIONS)
  local ok, rule = self.faults:set_plan(options.faults or "")
  if not ok then
    error("faults: " .. rule, 2)
  end
  self.publisher = new_publisher(self, options)
  self:reset()
  return self
end

--- Puts the world, the tokens, the ledger and the clock back to the start. The
-- options, the plan of faults, the subscriptions and the plan of wrong deliveries stay as they are; no single fault
-- and no delivery waits any more.
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
  self.processes = processes.new(self.seed, now, function(process)
    self.publisher:call_back(process.callback_url, process.body)
  end)
  self.publisher:reset()
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

-- --- on sockets ----------------------------------------------------------------------------------------------------

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
  if self._opens_sns then
    local ok, problem = pcall(self.open_sns, self)
    if not ok then
      self:close()
      return nil, "sns_port: " .. tostring(problem)
    end
  end
  return self
end

--- Opens the TLS listener that stands for the host of Amazon SNS, unless it is open. Raises when that cannot be done.
-- @treturn ?string its address and port; nil as long as the sandbox does not listen itself
function Sandbox:open_sns()
  if self._server and not self._sns_server then
    self._sns_server = assert(require("paciolan.httpd").listen { host = "127.0.0.1", port = self._sns_port,
      tls = self.publisher.sns.keys:host() })
  end
  return self._sns_server and string.format("127.0.0.1:%d", self._sns_server:port())
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

local function serve(self, timeout_ms)
  local request, why = self._server:next(timeout_ms)
  local answer = request and self:handle(request)
  if answer and answer.delay_ms then
    self._parked[#self._parked + 1] =
      { request = request, answer = answer, due_at_ms = monotonic_ms() + answer.delay_ms }
  elseif answer then
    send(self, request, answer)
  end
  return request ~= nil, why
end

local SNS_FAULT = { status = 500, headers = {}, body = "" }

-- A fault in the sandbox must not end it here either.
local function serve_sns(self, timeout_ms)
  local request = self._sns_server:next(timeout_ms)
  if not request then
    return false
  end
  local ok, answer = pcall(self.publisher.sns.handle, self.publisher.sns, request, self.publisher)
  if not ok and self._on_error then
    self._on_error(tostring(answer))
  end
  answer = ok and answer or SNS_FAULT
  self._sns_server:reply(request, answer.status, answer.headers, answer.body)
  if self._on_request then
    self._on_request { method = request.method, path = request.path, operation = "sandbox.sns_host",
      status = answer.status }
  end
  return true
end

-- One look at everything that may have to be done. A receiver may ask for the certificate while its answer is waited
-- for here, so nothing is ever waited for alone.
local function turn(self, left_ms)
  local courier = self.publisher.courier
  self.processes:settle_due()
  local has_delivered = self.publisher:turn(math.min(left_ms, BUSY_MS))
  local is_busy = has_delivered or courier:is_busy()
  local wait_ms = is_busy and 0 or courier:patience_ms(patience(self, left_ms))
  if not self._sns_server then
    local has_served, why = serve(self, wait_ms)
    return has_served or has_delivered, why
  end
  wait_ms = math.min(wait_ms, SHARED_MS)
  local has_served, why = serve(self, wait_ms)
  local has_helped = serve_sns(self, (has_served or why) and 0 or wait_ms)
  return has_served or has_helped or has_delivered, why
end

--- Waits for something to do and does it: answers a request, sends delayed answers whose time has come, lets
-- deliveries proceed. Neither a delayed answer nor a delivery keeps anybody else waiting.
-- @tparam[opt=0] number timeout_ms
-- @treturn boolean true when there was something to do
-- @treturn[2] nil when there was not
-- @treturn[2] ?string `stopped` when a signal asked to end
function Sandbox:step(timeout_ms)
  local left_ms = timeout_ms or 0
  local ends_at_ms = monotonic_ms() + left_ms
  while true do
    local has_moved, why = turn(self, left_ms)
    if why then -- also in the middle of many deliveries
      return nil, why
    elseif send_due(self) or has_moved then
      return true
    elseif left_ms == 0 then
      return nil
    end
    left_ms = math.max(0, ends_at_ms - monotonic_ms())
  end
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

--- Closes the ports and ends what is under way. May be called more than once.
function Sandbox:close()
  self.publisher:close()
  for _, server in ipairs { self._server, self._sns_server } do
    server:close()
  end
end

return sandbox
