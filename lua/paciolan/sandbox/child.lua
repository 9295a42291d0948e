--- The sandbox as a child process, for tests and examples that need the Link API on a socket.
--
--     local box = require("paciolan.sandbox.child").start { seed = "demo", pending_polls = 2 }
--     local link = paciolan.new(box:client_options())
--     box:control("POST", "/_sandbox/clock", { advance_s = 60 })
--     box:stop()
--
-- The child runs under the same Lua and the same search paths as the caller. It ends with `stop`, and never outlives
-- its starter: a box that is collected is stopped, so an error that nobody catches ends the program at once; on Lua 5.4
-- `local box <close> = …` stops it at the end of the block; and the child ends by itself within a second when the
-- process that started it is gone, be it by SIGKILL.
-- @module paciolan.sandbox.child
local cjson = require("cjson").new()
local curl = require "paciolan.transport.curl"
local guard = require "paciolan.sandbox.guard"

local child = {}

local Box = {}
Box.__index = Box
Box.__name = "paciolan.sandbox.child"

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- The interpreter that runs this very program.
local function interpreter()
  local lowest = 0
  while arg and arg[lowest - 1] do
    lowest = lowest - 1
  end
  local name = lowest < 0 and arg[lowest] or ""
  local is_lua = name:find("lua[jit%d.]*$")
  return is_lua and name or (rawget(_G, "jit") and "luajit" or "lua5.4")
end

-- Options of `start` and the words of the command line that carry them.
local OPTIONS = {
  seed = "--seed", port = "--port", token_lifetime_s = "--token-lifetime", pending_polls = "--pending-polls",
  extra_seats = "--extra-seats", faults = "--faults", refresh_token_lifetime_s = "--refresh-token-lifetime",
  code_lifetime_s = "--code-lifetime", redelivery_ms = "--redelivery-ms", redelivery_tries = "--redelivery-tries",
  sns_port = "--sns-port", sns_key_dir = "--sns-key-dir", delivery_ca_file = "--delivery-ca-file",
}

-- The child's whole program. Its search paths stand in it, since the environment has more than one name for them.
local function program()
  return ("package.path, package.cpath = %q, %q os.exit(require('paciolan.cli').main(arg), true)"):format(
    package.path, package.cpath)
end

-- The shell tells its pid and becomes the sandbox, whose parent is this process; both streams come back in the pipe.
-- /dev/null stands where Lua wants a script before the words of `arg`.
local function command_line(options)
  local words = { "echo $$; exec", quote(interpreter()), "-e", quote(program()), "/dev/null sandbox --parent-pid $PPID",
    options.port and "" or "--port 0", options.verbose and "" or "--quiet" }
  for name, value in pairs(options) do
    if OPTIONS[name] then
      words[#words + 1] = OPTIONS[name] .. " " .. quote(type(value) == "number" and ("%d"):format(value) or value)
    elseif name ~= "verbose" then
      error("sandbox.child: unknown option " .. tostring(name), 3)
    end
  end
  return table.concat(words, " ") .. " 2>&1"
end

local SETTINGS = { BASE_URL = "base_url", APPLICATION_ID = "application_id", API_KEY = "api_key",
  CHANNEL_CODE = "channel_code", ORGANIZATION_ID = "organization_id", USER_AGENT = "user_agent",
  AUTH_CODE = "auth_code" }

-- The start text holds every setting; the authorization code is the last one.
local function read_start_text(box)
  local seen = {}
  for line in box._pipe:lines() do
    seen[#seen + 1] = line
    local name, value = line:match("^%s*export PACIOLAN_([%u_]+)='(.*)'$")
    if SETTINGS[name] then
      box[SETTINGS[name]] = value
    end
    if box.auth_code then
      return true
    end
  end
  return nil, table.concat(seen, "\n")
end

--- Starts a sandbox and waits until it listens.
-- @tparam[opt] table options `seed`, `port` (default: any free one), `token_lifetime_s`, `refresh_token_lifetime_s`,
-- `code_lifetime_s`, `pending_polls`, `extra_seats`, `faults` (a plan of random faults, see docs/sandbox.md),
-- `redelivery_ms`, `redelivery_tries`, `sns_port`, `sns_key_dir`, `delivery_ca_file`, `verbose` (one line per request,
-- which `stop` returns; not for long runs, since nobody reads the pipe)
-- @treturn Box `base_url`, `port`, `pid`, `application_id`, `api_key`, `channel_code`, `organization_id`, `user_agent`,
-- `auth_code`. Raises with the child's output when it does not start.
function child.start(options)
  options = options or {}
  local transport = curl.new { allow_blocking = true }
  local box = setmetatable({ _pipe = assert(io.popen(command_line(options), "r")), _transport = transport }, Box)
  -- What was made last is collected first. A pipe that is collected waits for its process, so that must end before.
  box._guard = guard.new(function() box:stop() end)
  box.pid = tonumber(box._pipe:read("*l"))
  local ok, output = read_start_text(box)
  if not ok then
    box:stop()
    error("the sandbox did not start:\n" .. output, 2)
  end
  box.port = tonumber(box.base_url:match(":(%d+)$"))
  return box
end

--- The settings for `paciolan.new`. Its authorization code works once.
-- @tparam[opt] table more options to add or replace
-- @treturn table
function Box:client_options(more)
  local options = { base_url = self.base_url, application_id = self.application_id, api_key = self.api_key,
    channel_code = self.channel_code, organization_id = self.organization_id, user_agent = self.user_agent,
    auth = { code = self.auth_code } }
  for key, value in pairs(more or {}) do
    options[key] = value
  end
  return options
end

--- Sends a plain request and reads the JSON answer: for control calls under `/_sandbox/`, and for specs that send what
-- no client would.
-- @tparam string method
-- @tparam string path
-- @tparam[opt] table payload
-- @tparam[opt] table headers by name
-- @treturn table the decoded body
-- @treturn number the status
function Box:control(method, path, payload, headers)
  local list = {}
  for name, value in pairs(headers or {}) do
    list[#list + 1] = { name, value }
  end
  local answer, failure = self._transport:send {
    method = method, url = self.base_url .. path, headers = list, body = payload and cjson.encode(payload) or nil,
  }
  if not answer then
    error("the sandbox did not answer: " .. failure.message, 2)
  end
  return cjson.decode(answer.body), answer.status
end

--- Gives a new authorization code, for a client that logs in afresh.
-- @treturn string
function Box:new_auth_code()
  return self:control("POST", "/_sandbox/tokens/code").code
end

local function accepted(body, status)
  if status ~= 200 then
    error("the sandbox refused: " .. tostring(body.error and body.error.developerMessage), 3)
  end
  return body
end

--- Subscribes a URL of this machine to messages.
-- @tparam table subscription `url`, `topic` (`events` or `seats`), `mode`, `signature_version`, `user`, `password`,
-- `confirmed`, see docs/sandbox.md
-- @treturn table the subscription, with its `id` and `arn`. Raises when it is refused.
function Box:subscribe(subscription)
  return accepted(self:control("POST", "/_sandbox/subscriptions", subscription))
end

--- Publishes messages.
-- @tparam table what `topic` or `entity`; one of `body`, `bodies` and `items`; what is to go wrong, see
-- docs/sandbox.md
-- @treturn table `messages`, their ids, and `deliveries`, how many wait. Raises when it is refused.
function Box:publish(what)
  return accepted(self:control("POST", "/_sandbox/publish", what))
end

--- Makes something happen that is published, such as `{ what = "seats.unlock", token = … }`.
-- @tparam table what see docs/sandbox.md
-- @treturn table as of `publish`
function Box:trigger(what)
  return accepted(self:control("POST", "/_sandbox/trigger", what))
end

--- What became of what was published.
-- @tparam[opt=100] number limit how many deliveries to list, the newest ones
-- @treturn table `deliveries`, `counts` by state, `attempts`, `waiting`
function Box:deliveries(limit)
  return accepted(self:control("GET", ("/_sandbox/deliveries?limit=%d"):format(limit or 100)))
end

local function write_root(pem)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  assert(file:write(pem))
  assert(file:close())
  return path
end

--- What a receiver of envelopes must know of the sandbox's own Amazon SNS. The first call opens its listener and makes
-- its keys, which takes a moment.
-- @treturn table `topics`, the ARNs by name; `roots`, PEM text of the root of the signing certificates; and for the
-- transport that fetches certificates and confirms: `ca_file`, a file with the same root, which `stop` removes, and
-- `connect_to`, which says where the host is found. Also `host` and `certificate_url`.
function Box:sns()
  local view = accepted(self:control("GET", "/_sandbox/sns"))
  self._root_file = self._root_file or write_root(view.root)
  return { topics = view.topics, roots = view.root, ca_file = self._root_file, host = view.host,
    connect_to = { [view.host .. ":443"] = view.connectTo }, certificate_url = view.certificateUrl,
    requests = view.requests }
end

--- Ends the child and waits for it. May be called more than once.
-- @treturn ?string what it printed since it was ready; nil when it was stopped before
function Box:stop()
  if not self._pipe then
    return nil
  end
  if self.pid then
    os.execute(("kill %d 2>/dev/null"):format(self.pid))
  end
  local pipe = self._pipe
  self._pipe = nil
  self._transport:close()
  local output = pipe:read("*a")
  pipe:close()
  if self._root_file then
    os.remove(self._root_file)
  end
  return output
end

Box.__close = Box.stop

return child
