--- The transport over libcurl. It blocks, but lets other tasks run inside a task of `paciolan.concurrent`.
--
-- Every transport keeps this contract, so that the layers above know only one:
--
-- `transport:send(request)` sends a request *once* and returns `answer`, or `nil, failure`. It never follows a
-- redirect, never repeats anything by itself and never changes what it was given.
--
-- A **request** is `{ method, url, headers, body, connect_timeout_ms, timeout_ms, single_use, gzip }`:
--
-- * `method`: `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
-- * `url`: absolute and percent-encoded; https, or http to a loopback host.
-- * `headers`: an ordered list of `{ "Name", "value" }`. An empty value is sent. What frames or carries the message
--   (`Host`, `Content-Length`, `Accept-Encoding`, `Connection` and their like) is the transport's to set and refused.
-- * `body`: a string, or nil; GET and HEAD take none. POST, PUT and PATCH always say a `Content-Length`.
-- * `connect_timeout_ms` (resolve, connect and TLS together), `timeout_ms` (the whole transfer): instead of the
--   transport's own.
-- * `single_use`: true when a second copy would do harm. The transport then opens a connection for this request alone:
--   on a kept one the request might end as `unknown` because the server is about to close it, and a late answer to
--   something else might be taken for its own.
-- * `gzip`: true asks for a compressed answer. The body is decoded; its headers still tell of the compressed one.
--
-- An **answer** is `{ status, headers, body, elapsed_ms, reused }`: any status from 200 up with a complete body. Header
-- names are in lower case, repeated headers are joined with `", "`. `reused` tells that no new connection was opened.
--
-- A **failure** is `{ kind, phase, message, elapsed_ms, code }`:
--
-- * `kind`: `network` (resolve, connect, TLS, a connection that broke, be it in the middle of an answer), `timeout`,
--   `protocol` (bytes came, but no acceptable HTTP answer), or `canceled` (the transport was closed under the request,
--   which only happens among tasks of `paciolan.concurrent`).
-- * `phase`: `not_sent` only when it is certain that not one byte of the request left; `unknown` otherwise.
-- * `message`: what to check, for people; it holds no header, no body and no query. `code`: libcurl's number.
--
-- A request that breaks these rules is misuse and raises, before anything is sent; so does a closed transport.
--
-- `transport:sleep(ms)` waits, so that the layer above can repeat a request without knowing how its host waits.
--
-- `transport:close()` closes the connections; it may be called again.
--
-- Three more methods may be left out by a transport:
--
-- * `transport:gives_way()`: true where `send` and `sleep`, called from here, let others run meanwhile.
-- * `transport:defer(run)`: true when `run()` will be called soon, outside of whatever is going on here, so that nobody
--   waits for it. This transport has none.
-- * `transport:detach(run)`: true when `run()` was called and has ended, in a place of its own: whatever becomes of the
--   caller meanwhile, it comes to its end. False when the caller has to call it. This transport has none.
--
-- In a task of `paciolan.concurrent`, `send` and `sleep` give way to the other tasks. All requests of a run go through
-- one batch of libcurl, whichever transport they are of, each with the settings of its own transport. The batch is that
-- of the transport that sent first: it keeps the connections for its next run, and closes them with `close`. A request
-- outside of such a task goes over a connection that the session of its transport keeps.
-- @module paciolan.transport.curl

local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")
local keys = require("paciolan.transport.keys")
local phases = require("paciolan.phases")

local curl = {}

local Transport = {}
Transport.__index = Transport
Transport.__name = "paciolan.transport.curl"

local OPTIONS = {
  ca_file = true,
  ca_path = true,
  proxy = true,
  connect_timeout_ms = true,
  timeout_ms = true,
  max_answer_bytes = true,
  connect_to = true,
  allow_blocking = true,
}

-- A blocking call stops every other request of the same nginx worker. Only while nginx starts nobody waits.
local NGINX_PHASES = { init = true, init_worker = true }

local function check_phase(self)
  local phase = not self._may_block and phases.current()
  if phase and not NGINX_PHASES[phase] then
    error("the curl transport would block this nginx worker: use paciolan.transport.nginx here, or say"
      .. " allow_blocking = true where that is wanted", 3)
  end
end

--- Opens a transport. No connection is made before the first request.
--
-- Certificates and host names are always verified and TLS is 1.2 or newer; there is no switch. Without `proxy` the
-- environment decides (`https_proxy`, `no_proxy`); loopback hosts are never reached through a proxy.
-- @tparam[opt] table options
-- @tparam[opt] string options.ca_file PEM file of trusted roots, used instead of the system's
-- @tparam[opt] string options.ca_path hashed folder of trusted roots, used instead of the system's
-- @tparam[opt] string options.proxy `[scheme://]host[:port]`, or `""` for none
-- @tparam[opt=5000] integer options.connect_timeout_ms resolve, connect and TLS together
-- @tparam[opt=30000] integer options.timeout_ms the whole transfer
-- @tparam[opt=33554432] integer options.max_answer_bytes cap on a body, counted after decoding
-- @tparam[opt] table options.connect_to other places to connect to, such as
-- `{ ["sns.us-west-2.amazonaws.com:443"] = "127.0.0.1:8443" }`: for tests and for services behind a relay. The name in
-- the certificate, the `Host` header and the URL stay what they are, and a proxy is asked to connect there, so that one
-- on this machine needs `proxy = ""`. Both sides are `host:port`; a loopback host cannot be sent elsewhere.
-- @tparam[opt=false] boolean options.allow_blocking true: may be used in a request phase of nginx too, where it holds
-- up every other request of the worker. For tests, and for what runs beside no traffic
-- @treturn table the transport; misuse (unknown option, wrong type) raises
-- @usage
-- local transport = require("paciolan.transport.curl").new({ timeout_ms = 10000 })
function curl.new(options)
  options = options or {}
  keys.check(options, OPTIONS, "options")
  if options.allow_blocking ~= nil and type(options.allow_blocking) ~= "boolean" then
    error("options: allow_blocking must be a boolean", 2)
  end
  -- _loops: the batch that each run with requests of this transport uses, as long as the run lasts.
  return setmetatable({
    _session = core.http.new(options), _loops = setmetatable({}, { __mode = "k" }),
    _may_block = options.allow_blocking,
  }, Transport)
end

-- The batch for a run, and what becomes of it afterwards. While it is lent, another run gets another one.
local function lend(self)
  local batch = self._batch or core.http.batch()
  self._batch = nil
  return batch, function(is_sound)
    if self._is_closed or self._batch or not is_sound then
      batch:close()
    else
      self._batch = batch
    end
  end
end

-- A run goes on when one of its tasks closes a transport; the others then learn of it as of any failure.
local CLOSED = "the transport was closed before the request was sent"

local function send_in(loop, self, request)
  if self._is_closed and self._loops[loop] then
    return nil, { kind = "canceled", phase = "not_sent", message = CLOSED, elapsed_ms = 0, code = 0 }
  end
  local batch = loop:poller(function() return lend(self) end)
  local number = batch:add(self._session, request)
  self._loops[loop] = batch
  -- The batch knows a request's session by its address only. Were the session collected now, another one could get its
  -- address and, when closed, end this request.
  return loop:wait_for(number, self)
end

--- Sends one request and waits for the answer. The contract is at the top of this file.
-- @tparam table request
-- @treturn[1] table answer
-- @treturn[2] nil
-- @treturn[2] table failure
function Transport:send(request)
  keys.check(request, keys.REQUEST, "request")
  check_phase(self)
  local loop = concurrent.loop()
  if loop then
    return send_in(loop, self, request)
  end
  return self._session:send(request)
end

--- Waits before a repetition. Outside of a task of `paciolan.concurrent` it blocks the calling thread.
-- @tparam number ms milliseconds
function Transport:sleep(ms)
  check_phase(self)
  local loop = concurrent.loop()
  if loop then
    loop:sleep(ms)
  else
    core.sleep(ms)
  end
end

--- Do `send` and `sleep` let others run, called from here?
-- @treturn boolean true in a task of `paciolan.concurrent`
function Transport:gives_way()
  return concurrent.loop() ~= nil
end

--- Closes the connections. May be called again; `send` raises afterwards. Requests that tasks of `paciolan.concurrent`
-- have under way end as `canceled`, and so do those that they send later in the same run.
function Transport:close()
  for _, batch in pairs(self._loops) do
    batch:cancel(self._session)
  end
  self._is_closed = true
  self._session:close()
  if self._batch then
    self._batch:close()
    self._batch = nil
  end
end

Transport.__close = Transport.close

function Transport:__tostring()
  return (tostring(self._session):gsub("^paciolan%.http", Transport.__name))
end

return curl
