--- Makes a request that nginx hands on one of ours: takes away what the caller must not decide, and adds who we are.
-- @module resty.paciolan.authorizing

-- luacheck: globals ngx

local answering = require "resty.paciolan.answering"
local check = require "paciolan.options"
local core = require "paciolan.core"
local json = require "paciolan.json"

local authorizing = {}

-- An operation whose column of contract 1.1 has all headers, and one without PAC-Organization-ID.
local WITH_ORGANIZATION, WITHOUT_ORGANIZATION = "catalog.events", "listings.get"

-- By their names in lower case with dashes: what the library writes, what the caller says of himself to us alone, and
-- what would make another request of it. Whatever begins with PAC- is of the first sort.
local never_handed_on = {
  accept = true, authorization = true, ["content-type"] = true, cookie = true, ["proxy-authorization"] = true,
  ["request-id"] = true, ["user-agent"] = true, ["x-http-method"] = true, ["x-http-method-override"] = true,
  ["x-method-override"] = true,
}

local phases = { access = true, rewrite = true, server_rewrite = true }

local repeated_methods = { GET = true, HEAD = true }

-- A service that refuses every token must not have them renewed without end: so many in so long, for each worker.
local MOST_RENEWALS, PERIOD_MS = 10, 60000
local renewed_at_ms = {}

-- --- options ------------------------------------------------------------------------------------------------------

local function header_text(value)
  return type(value) == "string" and core.is_header_value(value), "a string of printable ASCII that is not empty"
end

local known = { organization_id = { header_text }, again = { check.a_boolean } }

local NONE = {}

local function read_options(options)
  if not phases[ngx.get_phase()] then
    error("resty.paciolan.authorize: call it in access_by_lua_block, before the request is handed on", 0)
  end
  return options == nil and NONE or check.read(options, known, "resty.paciolan.authorize", 0)
end

-- --- ending a request here ----------------------------------------------------------------------------------------

local function finish(status, type_name, message, retry_after_s)
  return answering.send(status, { ["Content-Type"] = "application/json", ["Retry-After"] = retry_after_s },
    json.encode { error = { type = type_name, message = message } })
end

-- What the caller is told holds nothing of the error, which may name hosts of ours.
local function finish_without_token(err)
  ngx.log(ngx.ERR, "resty.paciolan.authorize: ", tostring(err))
  if err.kind == "auth" and not err.retryable then
    return finish(502, "gateway_not_authorized", "the gateway has no valid credentials for the service")
  end
  local wait_s = err.retry_after_ms and math.max(1, math.ceil(err.retry_after_ms / 1000))
  return finish(503, "gateway_without_token", "the gateway cannot get an access token now; try again later", wait_s)
end

-- --- headers ------------------------------------------------------------------------------------------------------

-- Upstreams may read an underscore as a dash, so both spellings are one name. Each spelling is cleared with all its
-- repetitions.
local function clear_headers()
  for name in pairs(ngx.req.get_headers(0, true)) do
    local plain = name:lower():gsub("_", "-")
    if never_handed_on[plain] or plain:sub(1, 4) == "pac-" then
      ngx.req.clear_header(name)
    end
  end
end

local function set_headers(config, organization_id, request_id, access_token)
  local headers, problem = core.headers(organization_id and WITH_ORGANIZATION or WITHOUT_ORGANIZATION, {
    user_agent = config.user_agent, application_id = config.application_id, api_key = config.api_key,
    channel_code = config.channel_code, organization_id = organization_id, request_id = request_id,
    authorization = "Bearer " .. access_token,
  })
  if not headers then
    error("resty.paciolan.authorize: " .. problem, 0)
  end
  for i = 1, #headers do
    ngx.req.set_header(headers[i][1], headers[i][2])
  end
end

-- For logs: a variable can be set only where the configuration has one.
local function tell_request_id(request_id)
  ngx.ctx.paciolan_request_id = request_id
  if ngx.var.paciolan_request_id then
    ngx.var.paciolan_request_id = request_id
  end
end

-- --- the whole ----------------------------------------------------------------------------------------------------

-- A 401 of nginx itself, such as that of `auth_basic`, leads to the same named location. It is no word of the service,
-- and whoever got it must not get past it here.
local function is_refused_by_service()
  return (ngx.var.upstream_status or ""):find("401$") ~= nil
end

-- Takes one of the renewals of this period; false when there is none left.
local function take_renewal()
  local now_ms = core.monotonic_ms()
  if #renewed_at_ms == MOST_RENEWALS then
    if now_ms - renewed_at_ms[1] < PERIOD_MS then
      return false
    end
    table.remove(renewed_at_ms, 1)
  end
  renewed_at_ms[#renewed_at_ms + 1] = now_ms
  return true
end

-- Gives up the bearer that was refused, which stands in the request itself, where the first pass has put it. One that
-- was renewed meanwhile costs nothing. Returns false when it must be kept.
local function give_up_token(link)
  local refused = (ngx.var.http_authorization or ""):match("^Bearer (.+)$")
  local tokens = link.auth:token()
  if refused and tokens and tokens.accessToken == refused then
    if not take_renewal() then
      return false
    end
    link.auth:reject(refused)
  end
  return true
end

--- Authorises the request of this handler; see `resty.paciolan.authorize`.
-- @tparam table link
-- @tparam ?table options
function authorizing.authorize(link, options)
  options = read_options(options)
  if options.again and not is_refused_by_service() then
    return finish(401, "unauthorized", "nothing was handed on")
  elseif options.again and not give_up_token(link) then
    return finish(401, "service_refuses", "the service refuses one access token after the other; nothing was done")
  end
  clear_headers()
  local tokens, err = link.auth:token()
  if not tokens then
    return finish_without_token(err)
  elseif options.again and not repeated_methods[ngx.req.get_method()] then
    return finish(401, "token_renewed", "nothing was done; the access token was renewed, so send the request again")
  end
  local request_id = assert(core.request_id())
  set_headers(link._config, options.organization_id or link._config.organization_id, request_id, tokens.accessToken)
  tell_request_id(request_id)
end

return authorizing
