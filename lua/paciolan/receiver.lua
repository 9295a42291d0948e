--- Receives what the service pushes: messages through Amazon SNS, bare messages, and callbacks.
--
--     local receiver = paciolan.receiver {
--       topics = { "arn:aws:sns:us-west-2:123456789012:seats" },
--       basic_auth = { user = "…", password = "…" },
--       confirm_subscriptions = true,
--       store = paciolan.store.sqlite "paciolan.db",
--       on_seat = function(seat, message) return take_off_sale(seat) end,
--     }
--     local answer = receiver:handle { method = "POST", path = "/messages", headers = headers, body = body }
--
-- A receiver knows no server: whatever listens gives it requests and sends its answers. It may be used by many
-- coroutines at once, and its handlers may yield.
--
-- **Modes.** How messages come is configured and never guessed from a body (row 62). `envelope`: signed by SNS, every
-- signature is verified. `raw`: SNS with raw delivery, and `direct`: posted by anybody else; both are protected by the
-- credentials alone.
--
-- **Handlers** return true when an item is dealt with. Anything else, and an error that they raise, means that it is
-- not: the answer is 503, and the sender will send the message again, a few times at most. All items of a message are
-- tried even when one fails; they are one unit for the sender, so the handlers then see all of them once more. An item
-- that nobody can act on, by its `problem`, should be written down and answered with true. A message counts as seen
-- only when all are done. It is seen again when a process dies in between, and handlers that take longer than
-- `reserve_s` may run twice at once. Of two changes of one seat the later one has the later `message.timestamp_ms`; SNS
-- may deliver them in either order.
--
-- **Answers.** 204: done, or done before. 400: wrong for ever, and the sender drops the message. 401, 404, 405, 413,
-- 415, 431: not for us. 503: our own trouble, and the sender tries again.
-- @module paciolan.receiver
local admission = require "paciolan.receiver.admission"
local bare = require "paciolan.receiver.bare"
local callbacks = require "paciolan.receiver.callbacks"
local certificates = require "paciolan.receiver.certificates"
local core = require "paciolan.core"
local deliveries = require "paciolan.receiver.deliveries"
local envelopes = require "paciolan.receiver.envelopes"
local fetching = require "paciolan.receiver.fetching"
local memory = require "paciolan.store.memory"
local reports = require "paciolan.receiver.reports"
local settings = require "paciolan.receiver.settings"

local receiver = {}

local Receiver = {}
Receiver.__index = Receiver
Receiver.__name = "paciolan.receiver"

-- --- making one ---------------------------------------------------------------------------------------------------

local handle_of = { envelope = envelopes.handle, raw = bare.handle_raw, direct = bare.handle_direct }

local function add_signatures(self, options)
  local trust, reason = core.sns.trust(options.intermediates, options.roots)
  if not trust then
    error("paciolan.receiver: " .. tostring(reason), 3)
  end
  local function get(url) return self._fetching:get(url) end
  self._confirm = options.confirm or get
  self._certificates = certificates.new(options, options.fetch_certificate or get, self._fetching, trust, self._told)
end

--- Makes a receiver. Nothing is asked of anybody yet. Options, all but the topics and one handler may be left out:
--
-- How messages come:
--
-- * `mode`: `envelope` (default), `raw` or `direct`
-- * `topics`: list of ARNs, or of `{ arn =, min_version = 1 | 2, confirm = boolean }`. Needed in mode `envelope`, where
--   only messages of these topics are believed; in mode `raw` the header must name one of them. `min_version` is the
--   lowest SignatureVersion, 1 by default; once a topic has shown version 2, version 1 is refused for good. Should
--   its owner go back on purpose: remove `paciolan/sns_version/<topic>` from the store, and restart
-- * `basic_auth`: `{ user =, password = }`, or a list of two such pairs while the password is changed; needed in the
--   modes `raw` and `direct`, and advised in the other. `realm`: `paciolan`
-- * `path`: where messages are posted; any path by default
-- * `max_body_bytes`: 2 MiB. SNS delivers 256 KiB at most, but escapes multiply it
-- * `max_age_s` 3600, `clock_skew_s` 300: how old a message may be, and how far clocks may differ
--
-- Subscriptions and certificates:
--
-- * `confirm_subscriptions`: false by default; true confirms subscriptions of the topics by itself
-- * `intermediates`, `roots`: PEM, more than the built-in ones of Amazon
-- * `certificates`: `{ max = 64, ttl_s = 86400, negative_ttl_s = 15, novel_per_minute = 60 }`. The last is how many
--   addresses that nothing is known of are fetched. Without credentials anybody can use that up, and so hold up a new
--   certificate of Amazon for as long as he floods: set `basic_auth`, and heed the alarm `certificate_rationed`
-- * `fetch_certificate`: `function(url)` → PEM, or nil and a text; `confirm`: `function(url)` → body, or nil and a
--   text. By default a curl transport of the receiver's own asks, through no proxy; its options are `proxy`, `ca_file`
--   and `connect_to`. `transport`: another one, see `paciolan.transport.curl`
--
-- What is done with them:
--
-- * `on_event(item, message)`, `on_seat(item, message)`: one item of a message, and all of it, as
--   `paciolan.messages.parse` makes them. `on_message(message)`: messages of other entities, and of those whose handler
--   is not given. At least one of the three is needed; what nobody takes is acknowledged and counted. Look at
--   `item.problem` before acting on an item
-- * `quarantine(body, reason)`: keeps a message that was believed but cannot be used, before the final 400; in the
--   modes `raw` and `direct` also an envelope, whose signature nobody has checked. It has failed when it raises,
--   returns false, or nil and something; then the answer is 503
-- * `callback`: `{ path =, basic_auth = }` with `on_callback(result, request)`: posts to an asyncCallbackUrl. Either
--   the credentials, or a path whose last part is a secret of 16 characters or more. `result` is `{ process_id, state,
--   transaction_status, error, body }`; `state` is PENDING, COMPLETE, ERROR or another word, as it came
-- * `duplicate_key(message, request)`, mode `direct`: a text that identifies the delivery, or nil. Without it nothing
--   is taken for a repetition
--
-- Memory:
--
-- * `store`: `paciolan.store.memory()` by default, which does not survive the process, so that a message that was
--   handled may be handled again after a restart. Receivers with the same store share the work: what one has handled,
--   the others take for a repetition, so applications that do different things with a topic need stores of their own
-- * `reserve_s` 20: how long a message is kept for the one who handles it. `remember_s` 86400: how long it is known
--
-- Watching:
--
-- * `on_report(event)`: one `{ verdict, reason, status, entity, topic, message_id, subscription, detail }` for each
--   request; `verdict` is `accepted`, `refused` or `postponed`. `on_alarm(alarm)`: `{ code, message, topic_arn }`, what
--   a person should look at. Neither has a body, a header or a secret. `detail` may quote an error that a handler
--   raised, redacted by its shape
-- * `silence_s`: after how long without a message `watch` warns. `certificate_warning_s`: 10 days
-- * `clock`: `os.time`
-- @tparam table options
-- @treturn table the receiver
-- @raise for a missing, unknown or wrong option
function receiver.new(options)
  options = settings.read(options)
  local self = setmetatable({ _options = options, _floors = options.floors }, Receiver)
  options.store = options.store or memory.new()
  self._told = reports.new(options)
  self._deliveries = deliveries.new(options, self._told)
  self._fetching = fetching.new(options)
  self._routes = admission.routes(options, handle_of[options.mode], callbacks.handle)
  if options.mode == "envelope" then
    local first = next(options.floors)
    self._only_topic = next(options.floors, first) == nil and first or nil
    add_signatures(self, options)
    envelopes.test_system(self)
  end
  return self
end

-- --- answering ----------------------------------------------------------------------------------------------------

-- The status, the reason and more of a request.
local function respond(self, route, request, context)
  if self._is_closed then
    return 503, "stopping"
  elseif not route then
    return 404, "no_such_path"
  end
  local headers, count = admission.headers(request.headers)
  local status, reason = admission.refuse(route, request, headers, count, self._options.max_body_bytes)
  if status then
    return status, reason
  end
  context.is_ours = route.basic ~= nil or route == self._routes.callback
  return route.handle(self, request.body, headers, context, request)
end

-- Row 45: a 204 has no body, and a 400 has an empty object.
local function answer_of(route, status)
  if status == 204 then
    return { status = 204, headers = {}, body = "" }
  end
  local headers = { ["Content-Type"] = "application/json" }
  if status == 401 then
    headers["WWW-Authenticate"] = route.challenge
  elseif status == 405 then
    headers["Allow"] = route.allow
  end
  return { status = status, headers = headers, body = "{}" }
end

--- Answers a request.
-- @tparam table request `{ method, path, headers, body }`: `headers` by names in any case, values texts or lists of
-- texts; `path` without or with its query; `body` the whole text. A server that could not read the body says nil, which
-- is answered with 503
-- @treturn table `{ status, headers, body }`, to be sent as it is. Whatever goes wrong, in a handler too, becomes an
-- answer
-- @raise only when the request is no table
function Receiver:handle(request)
  if type(request) ~= "table" then
    error("receiver:handle takes a request, not " .. type(request), 2)
  end
  local context, route = {}, admission.route(self._routes, request.path)
  local told = self._told
  local ok, status, reason, detail = pcall(respond, self, route, request, context)
  if not ok then
    status, reason, detail = 503, "exception", reports.text(status)
    pcall(told.alarm, told, reason, "a request could not be answered: " .. detail)
  end
  -- Whatever is the application's own may raise, the clock too.
  pcall(told.finish, told, status, reason, detail, context)
  return answer_of(route, status)
end

-- --- looking at it ------------------------------------------------------------------------------------------------

--- How often each reason was the end of a request, and some events besides: `certificate_fetches`,
-- `certificate_fetch_failed`, `certificate_rationed`, `reservation_lost`, `hook_failed`, `alarm_<code>`.
-- @treturn table `{ [name] = number }`, a copy
function Receiver:counters()
  return self._told:counters()
end

--- What is wrong now. Call it every minute or so.
-- @tparam ?number now_s unix seconds; the receiver's clock by default
-- @treturn table list of `{ code, message, topic_arn }`, empty when all is well. Codes: `silence`, `fetch_failed`,
-- `postponed`, `refused`, `certificate_rationed`, `reservation_lost`, `confirmation_waiting`, `certificate_ends`,
-- `sha1_disabled`
function Receiver:watch(now_s)
  now_s = now_s or self._options.clock()
  local warnings = self._told:warnings(now_s)
  if self._certificates then
    self._certificates:warn(now_s, warnings)
    warnings[#warnings + 1] = envelopes.test_system(self)
  end
  return warnings
end

--- Ends the receiver: from here on every request is answered with 503, so that it comes again. The transport that it
-- opened itself is closed. The store is not, for handlers that are still at work have to write down their end. May be
-- called again.
function Receiver:close()
  if self._is_closed then
    return
  end
  self._is_closed = true
  self._fetching:close()
end

Receiver.__close = Receiver.close

function Receiver:__tostring()
  return ("%s (%s)"):format(Receiver.__name, self._is_closed and "closed" or "open")
end

return receiver
