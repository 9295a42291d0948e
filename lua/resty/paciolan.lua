--- The library inside nginx: receiving, authorising proxied requests, calls over cosockets, metrics.
--
--     lua_shared_dict paciolan 10m;
--     init_by_lua_block { require("resty.paciolan").setup { dict = "paciolan", link = "env" } }
--     location /link/ { access_by_lua_block { require("resty.paciolan").authorize() }  proxy_pass …; }
--
-- The options are checked when nginx starts or is reloaded: with wrong ones it does not start, or goes on with the
-- configuration of before, and the error log says what is wrong. `nginx -t` does not look at them, for it runs no Lua.
-- What is made of the options belongs to a worker and is made by its first use there. docs/nginx.md has complete
-- configurations.
-- @module resty.paciolan
local authorizing = require "resty.paciolan.authorizing"
local receiving = require "resty.paciolan.receiving"
local setup = require "resty.paciolan.setup"

local paciolan = {}

--- Says how everything is done here; once, in `init_by_lua_block`. Options, all of which may be left out:
--
-- * `dict`: the name of a `lua_shared_dict`. Tokens and the memory of deliveries are kept there, unless a `store` says
--   otherwise, and the metrics
-- * `link`: the options of `paciolan.new`, or `"env"` to take them from the variables that `paciolan.from_env` reads;
--   there the store `memory` means the dict. They are read while nginx starts; with `lua_code_cache off` in a worker,
--   where nginx.conf has to name them: `env PACIOLAN_BASE_URL;`. Left out, it is `"env"`; but with a `receiver` and
--   without that variable there is no link
-- * `receiver`: the options of `paciolan.receiver`; without them there is no receiver
-- * `metrics`: true by default
--
-- `store` and `transport` of the link and of the receiver may also be functions, which are called once in each worker
-- and return one. A store whose connections or files must not be shared between processes has to be made so.
-- @tparam table options
-- @raise for whatever is wrong with them; the message names the option and what is wanted
function paciolan.setup(options)
  setup.prepare(options)
end

--- The link of this worker: `paciolan.new` with the options of `setup`. It is made by the first call in a worker.
-- @treturn table the link; it stays open as long as the worker lives
-- @raise before `setup` or without a link, in `init_by_lua`, and where a store or a transport cannot be made
function paciolan.link()
  return setup.link()
end

--- The receiver of this worker: `paciolan.receiver` with the options of `setup`.
-- @treturn table the receiver; `watch` and `counters` tell of this worker alone
-- @raise before `setup` or without its option `receiver`, in `init_by_lua`, and where a store cannot be made
function paciolan.receiver()
  return setup.receiver()
end

--- Content phase: gives the request to the receiver, and sends its answer. For messages and callbacks alike.
--
-- The body may be as long as `client_max_body_size` lets it be, which should be more than the receiver's
-- `max_body_bytes`; with `client_body_buffer_size` of that size none goes through a file.
-- @raise without a receiver
function paciolan.receive()
  receiving.receive(setup.receiver())
end

--- Access phase: makes the request one of ours, to be handed on by `proxy_pass`.
--
-- Whatever the caller sent as `Authorization`, `PAC-…`, `Request-ID`, `User-Agent`, `Accept`, `Content-Type`, in any
-- spelling, goes, and so do his `Cookie`, `Proxy-Authorization` and `X-HTTP-Method-Override`; what the service wants
-- under the first of these names is set. The Request-ID is a new one. It is found in `ngx.ctx.paciolan_request_id`, and
-- in the variable `$paciolan_request_id` where the configuration has one, by `set $paciolan_request_id "";`.
--
-- Without a token the request ends here: 503, with Retry-After where the service said when, or 502 when a person has to
-- log in anew. The error log has one line with the reason.
--
-- `again = true` is for the named location that `error_page 401` leads to: the token that was refused is given up, and
-- renewed unless another request has done so. A GET or HEAD then goes out once more. Others end as 401 with a body that
-- says that nothing was done, and that the request may be sent again. A 401 of nginx itself, such as one of
-- `auth_basic`, stays one. A worker renews ten times a minute at most for 401s.
-- @tparam ?table options `organization_id`, instead of the link's; `again`
-- @raise for wrong options and in other phases
function paciolan.authorize(options)
  authorizing.authorize(setup.link(), options)
end

--- Content phase: answers with the metrics of all workers, as Prometheus reads them. Who may read them is for the
-- location to say.
--
-- * `paciolan_calls_total{operation, outcome}`: calls that ended; `outcome` is `done`, `not_sent`, `rejected`,
--   `unknown`, `partial`, or `failed` for a read that failed
-- * `paciolan_call_duration_seconds{operation}`: a histogram of how long they took, with all repetitions
-- * `paciolan_attempts_total{operation}`, `paciolan_retries_total{operation}`: requests that went out, and repetitions
-- * `paciolan_rotations_total{step, result}`: renewals of the token; `step` is `refresh` or `exchange`, `result` is
--   `done`, `refused` or `failed`
-- * `paciolan_messages_total{entity, verdict}`: what the receiver answered; `entity` is `events`, `seats`, `callback`
--   or `other`, `verdict` is `accepted`, `refused` or `postponed`
-- * `paciolan_messages_duplicate_total{entity}`: those that had been handled before
--
-- A series is there once it has counted something. Requests that `authorize` hands on are not calls of the link.
-- @raise before `setup`
function paciolan.metrics()
  setup.metrics():answer()
end

return paciolan
