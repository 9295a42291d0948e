--- `paciolan listen --sandbox`: a receiver of the messages of a sandbox that runs on this machine. It asks the sandbox
-- for its topics and its own Amazon SNS, and subscribes while it runs.
-- @module paciolan.cli.listen.sandbox
local cjson = require("cjson").new()
local refusal = require "paciolan.cli.listen.refusal"
local settings = require "paciolan.cli.listen.settings"

local sandbox = {}

local Sandbox = {}
Sandbox.__index = Sandbox

local TIMEOUT_MS = 5000
-- Who ends this program does not wait for a sandbox that hangs.
local CLOSE_TIMEOUT_MS = 1000

-- The roots of the sandbox are believed, so it must be of this machine.
local function check_url(url)
  local host = url:match("^http://([^/:?#@]+)") or url:match("^http://%[(::1)%]")
  if not host or not settings.is_loopback(host) then
    refusal.misuse("--sandbox must be the URL of a sandbox of this machine, such as http://127.0.0.1:8480")
  end
  return (url:gsub("/+$", ""))
end

-- The decoded answer; nil and what is wrong.
local function ask(self, method, path, payload, timeout_ms)
  local answer, failure = self._transport:send {
    method = method, url = self._url .. path, headers = { { "Content-Type", "application/json" } },
    body = payload and cjson.encode(payload) or nil, timeout_ms = timeout_ms or TIMEOUT_MS,
  }
  local ok, body = pcall(cjson.decode, answer and answer.body or "")
  body = ok and type(body) == "table" and body or {}
  if not answer then
    return nil, "it did not answer: " .. failure.message
  elseif answer.status ~= 200 then
    return nil, type(body.error) == "table" and tostring(body.error.developerMessage) or "what answered is no sandbox"
  end
  return body
end

local function write_root(pem)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(pem)
  file:close()
  return path
end

--- Asks a sandbox what a receiver of its messages must know.
-- @tparam string url
-- @treturn table which `close` ends
function sandbox.open(url)
  local self = setmetatable({ _url = check_url(url), _subscriptions = {} }, Sandbox)
  self._transport = require("paciolan.transport.curl").new { proxy = "" }
  local view, problem = ask(self, "GET", "/_sandbox/sns")
  if view and not (type(view.topics) == "table" and type(view.root) == "string" and type(view.host) == "string"
      and type(view.connectTo) == "string") then
    view, problem = nil, "what answered is no sandbox"
  end
  if not view then
    self:close()
    refusal.failure("--sandbox: %s", problem)
  end
  self._view = view
  return self
end

--- Adds to the arguments what would have to be given for that sandbox.
-- @tparam table arguments
function Sandbox:fill(arguments)
  self._root_file = write_root(self._view.root)
  arguments.confirm, arguments.roots, arguments.ca_file = true, self._root_file, self._root_file
  arguments.connect_to = { ("%s:443=%s"):format(self._view.host, self._view.connectTo) }
  local topics = {}
  for _, arn in pairs(self._view.topics) do
    topics[#topics + 1] = arn
  end
  table.sort(topics)
  arguments.topic = topics
end

--- Subscribes to all its topics.
-- @tparam table arguments
-- @tparam string url of this receiver
-- @tparam ?table basic the credentials
function Sandbox:subscribe(arguments, url, basic)
  local pair = basic and basic[1] or {}
  for _, arn in ipairs(arguments.topic) do
    local subscription, problem = ask(self, "POST", "/_sandbox/subscriptions", { url = url, topic = arn,
      mode = arguments.mode, signature_version = arguments.min_version, user = pair.user, password = pair.password })
    if not subscription then
      refusal.failure("--sandbox: %s", problem)
    end
    self._subscriptions[#self._subscriptions + 1] = subscription.id
  end
end

--- Ends the subscriptions, as far as the sandbox is still there, and removes what was made here. No message is sent
-- about that, for nobody would take it any more.
function Sandbox:close()
  for _, id in ipairs(self._subscriptions) do
    if not ask(self, "DELETE", "/_sandbox/subscriptions/" .. id .. "?silent=1", nil, CLOSE_TIMEOUT_MS) then
      break
    end
  end
  self._subscriptions = {}
  self._transport:close()
  if self._root_file then
    os.remove(self._root_file)
  end
end

return sandbox
