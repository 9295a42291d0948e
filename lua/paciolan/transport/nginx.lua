--- The transport over cosockets of nginx (OpenResty): while one request waits, the worker goes on with the others.
--
-- Its contract is that of `paciolan.transport.curl`. It speaks HTTP/1.1, over TLS 1.2 and newer as nginx allows it, and
-- always verifies certificates and host names; there is no switch. These are matters of nginx.conf, not of a program:
--
-- * `resolver 10.0.0.2;`: needed for every host that is a name, and `resolver_timeout 5s;`, because
--   `connect_timeout_ms` begins after it. The file of hosts is not read; `localhost` alone is known without a resolver.
-- * `lua_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;` and `lua_ssl_verify_depth 3;`: without them no
--   certificate is trusted.
-- * `lua_ssl_protocols TLSv1.2 TLSv1.3;`: older modules leave TLS 1.3 out unless it is named.
-- * `lua_socket_log_errors off;`: otherwise nginx logs most failures of sockets, which this transport returns anyway.
--
-- A certificate has to bear the name of the URL's host. nginx compares no addresses: `https://127.0.0.1/` is refused.
-- Connections that are kept are shared by all transports of a worker that go to the same place under the same name with
-- the same `ca_id`. One that the server closed under a request is a failure like any other: nothing is sent twice.
--
-- Cosockets work in the phases rewrite, access, content and timer, and while a certificate is chosen. Elsewhere `send`
-- raises, and names a way out.
-- @module paciolan.transport.nginx

local core = require("paciolan.core")
local keys = require("paciolan.transport.keys")
local phases = require("paciolan.phases")

local nginx = {}

local Transport = {}
Transport.__index = Transport
Transport.__name = "paciolan.transport.nginx"

-- As much as one receive may bring; nginx itself reads less at a time.
local PIECE_BYTES = 64 * 1024
-- A server may answer and close before it has read everything. Such an answer is there already, if there is one.
local EARLY_ANSWER_MS = 100
local DEFAULT_POOL_SIZE, DEFAULT_IDLE_MS = 30, 60000
-- The least that nginx lets pass before it goes on, after a look at all its connections.
local TURN_S = 0.001
-- How long a timer has to begin, and how long is waited for its end at a time.
local TIMER_PATIENCE_S, LONGEST_WAIT_S = 1, 60
local LARGEST_INTEGER = 2147483647

local OPTIONS = {
  connect_timeout_ms = true,
  timeout_ms = true,
  max_answer_bytes = true,
  connect_to = true,
  ca_id = true,
  pool_size = true,
  idle_ms = true,
}

-- While nginx starts nobody waits, so a sleep may block.
local STARTING_PHASES = { init = true, init_worker = true }

---- Failures -----------------------------------------------------------------------------------------------------

local NO_RESOLVER = "nginx has no resolver for the URL's host: set resolver in nginx.conf (and resolver_timeout)"
local UNKNOWN_HOST = "the host name is unknown: check the URL's host and the resolver of nginx.conf"
local SLOW_RESOLVER = "the resolver did not answer in time, nothing was sent: check resolver and resolver_timeout of"
  .. " nginx.conf"
local NO_CONNECTION = "no connection: check the URL's host and port, the firewall, and whether the resolver gives"
  .. " addresses of IPv6 to a machine that has none (ipv6=off)"
local SLOW_CONNECTION = "no connection in time, nothing was sent: check the URL's host, the firewall and"
  .. " connect_timeout_ms"
local NO_HANDSHAKE = "the TLS handshake failed: check that the port speaks TLS 1.2 or newer, and set lua_ssl_protocols"
  .. " TLSv1.2 TLSv1.3 in nginx.conf for a server with TLS 1.3 only"
local WRONG_HOST = "the server's certificate is refused, for it is not for this host: check the URL's host, which must"
  .. " be a name and no address"
local NOT_TRUSTED = "the server's certificate is refused: set lua_ssl_trusted_certificate and lua_ssl_verify_depth in"
  .. " nginx.conf, and check the clock"
local SLOW_ANSWER = "no complete answer in time: check timeout_ms"
local BROKEN_SENDING = "the connection broke while the request was sent"
local BROKEN_UNANSWERED = "the connection broke before the answer"
local BROKEN_WITHIN = "the connection broke before the answer was complete"

-- An exchange is one request under way: the transport, the request, its bytes and its socket, and the ends of its time.
local function failure_of(exchange, kind, phase, message)
  if exchange.socket then
    exchange.socket:close()
  end
  local elapsed_ms = core.monotonic_ms() - exchange.began_ms
  return nil, { kind = kind, phase = phase, message = message, elapsed_ms = elapsed_ms, code = 0 }
end

-- nginx's words for what went wrong, which may hold the host's name and are not handed on.
local function connect_failure(exchange, problem)
  if problem:find("no resolver", 1, true) then
    return failure_of(exchange, "network", "not_sent", NO_RESOLVER)
  elseif problem:find("could not be resolved", 1, true) then
    if problem:find("timed out", 1, true) then
      return failure_of(exchange, "timeout", "not_sent", SLOW_RESOLVER)
    end
    return failure_of(exchange, "network", "not_sent", UNKNOWN_HOST)
  elseif problem == "timeout" then
    return failure_of(exchange, "timeout", "not_sent", SLOW_CONNECTION)
  end
  return failure_of(exchange, "network", "not_sent", NO_CONNECTION)
end

local function handshake_failure(exchange, problem)
  local number, reason = problem:match("^(%d+): ([%a%d ,()'-]+)$")
  if problem == "timeout" then
    return failure_of(exchange, "timeout", "not_sent", SLOW_CONNECTION)
  elseif problem:find("host mismatch", 1, true) then
    return failure_of(exchange, "network", "not_sent", WRONG_HOST)
  elseif number then -- a sentence of OpenSSL, which is the same for every certificate
    return failure_of(exchange, "network", "not_sent", ("%s (%s: %s)"):format(NOT_TRUSTED, number, reason))
  elseif problem:find("certificate", 1, true) then
    return failure_of(exchange, "network", "not_sent", NOT_TRUSTED)
  end
  return failure_of(exchange, "network", "not_sent", NO_HANDSHAKE)
end

---- Time ---------------------------------------------------------------------------------------------------------

-- Timeouts of cosockets are for one step each: a server that drips would never reach them. So each step gets what is
-- left of the whole. Returns false when nothing is left.
local function set_timeouts(exchange, end_ms)
  local left_ms = end_ms - core.monotonic_ms()
  if left_ms < 1 then
    return false
  end
  exchange.socket:settimeouts(left_ms, left_ms, left_ms)
  return true
end

---- Connecting ---------------------------------------------------------------------------------------------------

-- The host and port to connect to, for what the URL says.
local function destination(self, wire)
  local host = wire.is_ipv6 and "[" .. wire.host .. "]" or wire.host
  local route = self._routes[("%s:%d"):format(host:lower(), wire.port)]
  if route then
    return route.host, route.port
  end
  return host:lower() == "localhost" and "127.0.0.1" or host, wire.port
end

-- A connection is verified once, when it is made. Whoever takes it from the pool later must have asked for the same
-- verification: the same name, by the same roots.
local function pool_of(self, wire, host, port, is_single)
  if is_single then
    return "paciolan single use" -- never filled
  end
  return ("paciolan %s %s:%d name=%s verify=%s ca=%s"):format(wire.is_tls and "https" or "http", host, port,
    wire.host:lower(), wire.is_tls and "yes" or "none", self._ca_id)
end

local function shake_hands(exchange)
  local name = exchange.wire.host:gsub("%.$", "")
  if not set_timeouts(exchange, exchange.connect_end_ms) then
    return failure_of(exchange, "timeout", "not_sent", SLOW_CONNECTION)
  end
  local ok, problem = exchange.socket:sslhandshake(false, name, true)
  if not ok then
    return handshake_failure(exchange, tostring(problem))
  elseif not exchange.socket:getreusedtimes() then
    -- A verification that failed without the handshake ever having to wait is told as a success, on a closed socket.
    return failure_of(exchange, "network", "not_sent", NOT_TRUSTED)
  end
  return true
end

-- Until when a pool of this worker may hold connections.
local kept_until_ms = {}

-- nginx drops a kept connection when it sees that the server closed it or said something unasked, which would be taken
-- for the answer to the next request. After work that took long it has yet to look: so it gets a turn of its loop.
local function let_nginx_look(ngx, pool)
  if (kept_until_ms[pool] or 0) > core.monotonic_ms() then
    ngx.sleep(TURN_S)
  end
end

-- Returns true, or nil and a failure.
local function connect(self, exchange, ngx)
  local wire = exchange.wire
  local host, port = destination(self, wire)
  local pool = pool_of(self, wire, host, port, exchange.request.single_use)
  let_nginx_look(ngx, pool)
  exchange.pool, exchange.socket = pool, ngx.socket.tcp()
  if not set_timeouts(exchange, exchange.connect_end_ms) then
    return failure_of(exchange, "timeout", "not_sent", SLOW_CONNECTION)
  end
  local ok, problem = exchange.socket:connect(host, port, { pool = pool })
  if not ok then
    return connect_failure(exchange, tostring(problem))
  end
  exchange.is_reused = exchange.socket:getreusedtimes() > 0
  if wire.is_tls and not exchange.is_reused then
    return shake_hands(exchange)
  end
  return true
end

---- Sending and receiving ----------------------------------------------------------------------------------------

-- From here on a byte may have left: the phase of every failure is unknown.
local function send(exchange)
  local body = exchange.request.body
  if not set_timeouts(exchange, exchange.end_ms) then
    return failure_of(exchange, "timeout", "not_sent", SLOW_ANSWER)
  end
  local sent, problem = exchange.socket:send(body and { exchange.wire.head, body } or exchange.wire.head)
  if not sent and problem == "timeout" then
    return failure_of(exchange, "timeout", "unknown", SLOW_ANSWER)
  end
  if not sent then
    exchange.is_cut_short = true
    exchange.end_ms = math.min(exchange.end_ms, core.monotonic_ms() + EARLY_ANSWER_MS)
  end
  return true
end

-- Nothing more can be received, for this reason.
local function broken(exchange, problem)
  if exchange.is_cut_short then
    return failure_of(exchange, "network", "unknown", BROKEN_SENDING)
  elseif problem == "timeout" then
    return failure_of(exchange, "timeout", "unknown", SLOW_ANSWER)
  end
  return failure_of(exchange, "network", "unknown", exchange.has_bytes and BROKEN_WITHIN or BROKEN_UNANSWERED)
end

-- Feeds the reader once. Returns true when the answer is complete, false before, or nil and a failure.
local function receive_some(exchange, reader)
  if not set_timeouts(exchange, exchange.end_ms) then
    return broken(exchange, "timeout")
  end
  local bytes, problem = exchange.socket:receiveany(PIECE_BYTES)
  local is_complete, kind, message
  if bytes then
    exchange.has_bytes = true
    is_complete, kind, message = reader:feed(bytes)
  elseif problem ~= "closed" or exchange.is_cut_short then
    return broken(exchange, problem)
  else
    is_complete, kind, message = reader:finish()
  end
  if is_complete == nil then
    return failure_of(exchange, kind, "unknown", message)
  end
  return is_complete
end

-- The connection is kept when the answer was read to its end and nothing came behind it.
local function give_back(self, exchange, may_keep)
  if may_keep and not (exchange.request.single_use or exchange.is_cut_short or self._is_closed) then
    kept_until_ms[exchange.pool] = core.monotonic_ms() + self._idle_ms
    exchange.socket:setkeepalive(self._idle_ms, self._pool_size)
  else
    exchange.socket:close()
  end
end

local function receive(self, exchange)
  local request = exchange.request
  local reader = core.http1.reader(request.method == "HEAD", request.gzip, self._max_answer_bytes)
  local is_complete, failure
  repeat
    is_complete, failure = receive_some(exchange, reader)
    if is_complete == nil then
      reader:close() -- the collector does not see how much it holds
      return nil, failure
    end
  until is_complete
  local answer, may_keep = reader:answer()
  give_back(self, exchange, may_keep)
  answer.elapsed_ms = core.monotonic_ms() - exchange.began_ms
  answer.reused = exchange.is_reused
  return answer
end

---- The transport ------------------------------------------------------------------------------------------------

local function integer_option(options, name, otherwise)
  local value = options[name]
  if value == nil then
    return otherwise
  elseif type(value) ~= "number" or value % 1 ~= 0 or value < 1 or value > LARGEST_INTEGER then
    error(("%s: an integer from 1 to %d is expected"):format(name, LARGEST_INTEGER), 3)
  end
  return value
end

-- The core has checked that both sides are host:port.
local function routes_of(connect_to)
  local routes = {}
  for from, to in pairs(connect_to or {}) do
    local host, port = to:match("^(.*):(%d+)$")
    routes[from:lower()] = { host = host:lower() == "localhost" and "127.0.0.1" or host, port = tonumber(port) }
  end
  return routes
end

--- Opens a transport. Nothing is connected before the first request, and any phase will do for this, also `init`.
-- @tparam[opt] table options
-- @tparam[opt=5000] integer options.connect_timeout_ms connect and TLS together; see `resolver_timeout` above
-- @tparam[opt=30000] integer options.timeout_ms the whole transfer
-- @tparam[opt=33554432] integer options.max_answer_bytes cap on a body, counted after decoding
-- @tparam[opt] table options.connect_to other places to connect to, as of `paciolan.transport.curl`; the name for TLS
-- stays that of the URL
-- @tparam[opt=""] string options.ca_id a word for the `lua_ssl_trusted_certificate` that holds where this transport is
-- used. Needed when locations differ in it: otherwise one could be lent a connection that another one's roots vouch for
-- @tparam[opt=30] integer options.pool_size how many idle connections each worker keeps for a place
-- @tparam[opt=60000] integer options.idle_ms how long an idle connection is kept
-- @treturn table the transport; misuse (unknown option, wrong type) raises
-- @usage
-- local transport = require("paciolan.transport.nginx").new({ timeout_ms = 10000 })
function nginx.new(options)
  options = options or {}
  keys.check(options, OPTIONS, "options")
  if options.ca_id ~= nil and type(options.ca_id) ~= "string" then
    error("ca_id: a string is expected", 2)
  end
  local connect_timeout_ms, timeout_ms, max_answer_bytes = core.http1.settings(options)
  return setmetatable({
    _connect_timeout_ms = connect_timeout_ms, _timeout_ms = timeout_ms, _max_answer_bytes = max_answer_bytes,
    _routes = routes_of(options.connect_to), _ca_id = options.ca_id or "",
    _pool_size = integer_option(options, "pool_size", DEFAULT_POOL_SIZE),
    _idle_ms = integer_option(options, "idle_ms", DEFAULT_IDLE_MS),
  }, Transport)
end

local function no_waiting(phase)
  if not phase then
    error("paciolan.transport.nginx works inside nginx only: use paciolan.transport.curl here", 3)
  end
  error(("nginx lets nobody wait for a socket in the phase %s: do it in a timer, with ngx.timer.at(0, ...)%s"):format(
    phase, phase == "init" and " from init_worker" or ", or in the access or content phase"), 3)
end

--- Sends one request and waits for the answer. The contract is at the top of `paciolan.transport.curl`; the `code` of a
-- failure is 0 here.
-- @tparam table request
-- @treturn[1] table answer
-- @treturn[2] nil
-- @treturn[2] table failure
-- @raise for a request that breaks a rule, in a phase that has no cosockets, and on a closed transport
function Transport:send(request)
  if self._is_closed then
    error("paciolan.transport.nginx is closed", 2)
  end
  keys.check(request, keys.REQUEST, "request")
  local wire = core.http1.request(request)
  local phase = phases.current()
  if not phases.may_yield(phase) then
    no_waiting(phase)
  end
  local began_ms = core.monotonic_ms()
  local end_ms = began_ms + (request.timeout_ms or self._timeout_ms)
  local exchange = {
    request = request, wire = wire, began_ms = began_ms, end_ms = end_ms,
    connect_end_ms = math.min(end_ms, began_ms + (request.connect_timeout_ms or self._connect_timeout_ms)),
  }
  local ok, failure = connect(self, exchange, phases.nginx())
  if ok then
    ok, failure = send(exchange)
  end
  if not ok then
    return nil, failure
  end
  return receive(self, exchange)
end

--- Waits before a repetition. Only while nginx starts (init, init_worker) it blocks the worker.
-- @tparam number ms milliseconds
-- @raise in a phase in which nginx lets nobody wait
function Transport:sleep(ms) -- luacheck: ignore self
  local phase = phases.current()
  if phases.may_yield(phase) then
    phases.nginx().sleep(ms / 1000)
  elseif STARTING_PHASES[phase] then
    core.sleep(ms)
  else
    no_waiting(phase)
  end
end

--- Do `send` and `sleep` let others run, called from here?
-- @treturn boolean true in a phase with cosockets
function Transport:gives_way() -- luacheck: ignore self
  return phases.may_yield(phases.current())
end

--- Has a function called soon, in a timer, so that nobody waits for it. It is not called when the worker ends before.
-- @tparam function run
-- @treturn boolean true; false where nginx has no timers (init) or has too many of them
function Transport:defer(run) -- luacheck: ignore self
  local phase = phases.current()
  if not phase or phase == "init" then
    return false
  end
  return phases.nginx().timer.at(0, function(is_premature)
    if not is_premature then
      run()
    end
  end) ~= nil
end

-- What the timer of `detach` does. It gets all it needs as an argument: of a request that is killed nothing is left.
local function carry_out(_, task)
  task.has_begun = true
  if not task.is_given_up then
    task.run()
  end
  task.is_over = true
  task.signal:post()
end

--- Has a function called in a timer, and waits for its end. A client that hangs up ends its request, with
-- `lua_check_client_abort`, and so does `ngx.thread.kill`; neither ends the timer.
-- @tparam function run must not raise, nor use a local of a function that has yet to return: a request that is killed
-- takes these with it
-- @treturn boolean true when it has ended; false when the caller has to call it: in a timer, which nobody ends, where
-- nginx lets nobody wait, and where it has too many timers
function Transport:detach(run) -- luacheck: ignore self
  local phase, ngx = phases.current(), phases.nginx()
  if phase == "timer" or not phases.may_yield(phase) then
    return false
  end
  local task = { run = run, signal = require("ngx.semaphore").new() }
  if not ngx.timer.at(0, carry_out, task) then
    return false
  end
  task.signal:wait(TIMER_PATIENCE_S)
  task.is_given_up = not task.has_begun -- nginx drops a timer when too many of them run
  while task.has_begun and not task.is_over do
    task.signal:wait(LONGEST_WAIT_S)
  end
  return not task.is_given_up
end

--- Closes the transport: `send` raises afterwards, and requests under way keep no connection. May be called again. The
-- idle connections of the worker are closed when their time is over, for other transports may share them.
function Transport:close()
  self._is_closed = true
end

Transport.__close = Transport.close

function Transport:__tostring()
  return ("%s (%s)"):format(Transport.__name, self._is_closed and "closed" or "open")
end

return nginx
