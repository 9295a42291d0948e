--- What has to be known of nginx: whether this Lua runs inside of it, and what its phase allows.
-- @module paciolan.phases
local phases = {}

-- The phases whose Lua nginx can set aside while it waits, which are also those with cosockets.
local YIELDING = {
  rewrite = true, server_rewrite = true, access = true, content = true, timer = true, preread = true,
  ssl_cert = true, ssl_client_hello = true, ssl_session_fetch = true,
}

--- The API of nginx, or nil outside of it.
-- @treturn ?table `ngx`
function phases.nginx()
  -- Not by rawget: a request may have globals of its own, behind which those of nginx stand.
  local environment = _G
  local found = environment["ngx"]
  return type(found) == "table" and type(found.get_phase) == "function" and found or nil
end

--- The phase of nginx that runs this, such as `content` or `init`; nil outside of nginx.
-- @treturn ?string
function phases.current()
  local ngx = phases.nginx()
  return ngx and ngx.get_phase() or nil
end

--- May this phase wait without holding up its worker, and has it cosockets?
-- @tparam ?string phase as of `phases.current`
-- @treturn boolean
function phases.may_yield(phase)
  return YIELDING[phase] or false
end

return phases
