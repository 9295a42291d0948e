--- A service that takes each refresh token and each authorization code once, and the clients of it. Nothing is sent;
-- the time that an answer takes passes on the clock that is given.
local cjson = require("cjson").new()
local scripted = require("support.scripted")

local token_service = {}

local FAR = "2099-01-01T00:00:00.000000000Z"
local REFUSED = { status = 400, body = '{"error":{"type":"X"}}' }
local TOKEN_PATH = "/v1/auth/token"

local Service = {}
Service.__index = Service

-- A new pair: A1 and R1, A2 and R2, and so on.
local function issue(self)
  self.issued = self.issued + 1
  local refresh = ("R%d"):format(self.issued)
  self._live[refresh] = true
  return { status = 200, body = cjson.encode {
    accessToken = ("A%d"):format(self.issued), refreshToken = refresh, tokenType = "Bearer", expiration = FAR,
  } }
end

local function judge(self, credential)
  if not self._live[credential] then
    self.reused = self.reused + (self._used[credential] and 1 or 0)
    return REFUSED
  end
  self._live[credential], self._used[credential] = nil, true
  return issue(self)
end

-- A token call: what `on_grant` returns instead of an answer, or the service's own.
local function grant(self, request)
  local body = cjson.decode(request.body)
  local credential = body.refreshToken or body.code
  self.sent[#self.sent + 1] = credential
  self.clock:sleep(self.answer_ms)
  return self.on_grant and self.on_grant(credential, #self.sent) or judge(self, credential)
end

local function answer(self, request)
  if request.url:find(TOKEN_PATH, 1, true) then
    return grant(self, request)
  end
  local token = scripted.header(request, "Authorization"):match("^Bearer (.*)$")
  self.calls[#self.calls + 1] = token
  self.clock:sleep(self.answer_ms)
  if self.refused_access[token] then
    return { status = 401, body = '{"error":{"type":"UNAUTHORIZED"}}' }
  end
  return { status = 200, body = "[]" }
end

--- A client of the service. Each has a hold of its own, as a process would have.
-- @tparam ?table overrides of the settings
-- @treturn table link
function Service:client(overrides)
  local settings = { auth = { refresh_token = "R0" }, organization_id = "999", store = self.store }
  for name, value in pairs(overrides or {}) do
    settings[name] = value
  end
  local link, transport = scripted.client({ function(request) return answer(self, request) end }, settings)
  function transport.sleep(_, ms) self.clock:sleep(ms) end
  return link
end

--- Several clients of the service, with the same settings.
-- @tparam number count
-- @tparam ?table overrides
-- @treturn table list of links
function Service:clients(count, overrides)
  local links = {}
  for i = 1, count do
    links[i] = self:client(overrides)
  end
  return links
end

--- How often a credential was sent.
function Service:count(credential)
  local count = 0
  for _, sent in ipairs(self.sent) do
    count = count + (sent == credential and 1 or 0)
  end
  return count
end

--- A service that takes R0, R, and the codes C0 to C9.
-- @tparam table clock of support.clock
-- @tparam table store of its clients, unless one is told otherwise
-- @treturn table
--
-- * `sent`: the credentials of all token calls; `calls`: the access tokens of all other calls
-- * `reused`: how often a refresh token or a code came that had been used before
-- * `refused_access`: a set of access tokens that are answered with 401; the test fills it
-- * `on_grant(credential, number)`: may return another answer to a token call
-- * `answer_ms`: how long an answer takes
function token_service.new(clock, store)
  local self = setmetatable({
    clock = clock, store = store, sent = {}, calls = {}, reused = 0, issued = 0, refused_access = {}, answer_ms = 5,
    _used = {}, _live = { R0 = true, R = true },
  }, Service)
  for i = 0, 9 do
    self._live[("C%d"):format(i)] = true
  end
  return self
end

return token_service
