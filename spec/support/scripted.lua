--- A transport that plays a script: each request takes the next step and is written down. Nothing is sent and nobody
-- sleeps; waits are written down too.
--
-- A step is an answer `{ status =, body =, headers = }`, a failure `{ kind =, phase = }`, or a function that gets the
-- request and returns one of these. The last step stays.
local paciolan = require("paciolan")

local scripted = {}

local Transport = {}
Transport.__index = Transport

function Transport:send(request)
  assert(not self.is_closed, "sent through a closed transport")
  self.requests[#self.requests + 1] = request
  local step = self._steps[math.min(#self.requests, #self._steps)]
  if type(step) == "function" then
    step = step(request)
  end
  if step.kind then
    return nil, { kind = step.kind, phase = step.phase, message = step.message or "scripted failure", elapsed_ms = 1 }
  end
  return { status = step.status, headers = step.headers or {}, body = step.body or "", elapsed_ms = 1, reused = false }
end

function Transport:sleep(ms)
  self.waits[#self.waits + 1] = ms
end

function Transport:close()
  self.is_closed = true
end

--- A transport.
-- @tparam table steps
-- @treturn table with `requests`, `waits` (milliseconds) and `is_closed`
function scripted.new(steps)
  return setmetatable({ _steps = steps, requests = {}, waits = {}, is_closed = false }, Transport)
end

--- The settings of a client that needs no token call: one that never ends is configured.
function scripted.settings(overrides)
  local settings = {
    base_url = "https://link-sandbox.paciolan.info", application_id = "com.mycompany.myapp", api_key = "key-0001",
    channel_code = "my-application", user_agent = "MyApplication/1.0.0", auth = { access_token = "token-0001" },
  }
  for key, value in pairs(overrides or {}) do
    settings[key] = value
  end
  return settings
end

--- A client over a scripted transport.
-- @tparam table steps
-- @tparam ?table overrides of the settings
-- @treturn table link
-- @treturn table transport
function scripted.client(steps, overrides)
  local settings = scripted.settings(overrides)
  settings.transport = scripted.new(steps)
  return paciolan.new(settings), settings.transport
end

--- The value of a request's header, by its exact name, or nil.
function scripted.header(request, name)
  for _, header in ipairs(request.headers) do
    if header[1] == name then
      return header[2]
    end
  end
  return nil
end

return scripted
