--- Loopback servers for specs: HTTP peers that misbehave on request, TLS peers with certificates made on the spot,
-- and ports where nobody answers. Everything started here is stopped, by pid, by `peers.stop_all()`: call it in a
-- teardown.
--
-- `peers.start(steps)` takes one step per request, counted over all connections; the last step stays. A step is:
--
-- * `status` (200), `reason`, `headers` (list of `{ name, value }`), `body`: an ordinary answer with Content-Length.
-- * `body_bytes`: a body of that many `x`; `body_file`: the body is in that file.
-- * `chunks`: a list of strings, sent chunked; with `unended = true` without the last chunk.
-- * `declared_length`: a Content-Length that is not true; the connection closes after the body, with a TCP reset if
--   `reset_after` is true.
-- * `no_length`: no Content-Length; the body ends with the connection.
-- * `header_bytes`: one more header, that long; `header_lines`: that many more headers.
-- * `raw`: exactly these bytes, then the end; `blurt`: the same, but as soon as anything came in, be it HTTP or not.
-- * `close`: `"before_read"`, `"after_read"` (no answer), `"reset"` (the same with a TCP reset), `"after_answer"`
--   (without having said so).
-- * `late`: these bytes, unasked, a moment after the answer.
-- * `delay_s`: wait before the answer; `pause_s` and `piece_bytes`: the body in pieces, a pause before each.
-- * `stall`: read the request and never answer.
-- * `gather`: do nothing with the request until that many have come, over all connections.
-- * `echo`: the body is the path and the body of the request, with a blank between them.

local cjson = require("cjson")
local files = require("support.files")
local socket = require("socket")

local peers = {}

local started = {}

local INTERPRETER = rawget(_G, "jit") and "luajit" or ("lua" .. _VERSION:match("%d+%.%d+"))
local PEER_SCRIPT = debug.getinfo(1, "S").source:match("^@(.*)peers%.lua$") .. "peer.lua"

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Registers something with a `stop` method for stop_all.
local function keep(thing)
  started[#started + 1] = thing
  return thing
end

---- Processes ----------------------------------------------------------------------------------------------------

-- Starts a command whose pid is known: the shell prints its own and then becomes the command.
local function spawn(command)
  local pipe = assert(io.popen("echo $$; exec " .. command .. " </dev/null", "r"))
  local pid = assert(tonumber(pipe:read("*l")), "no pid from the shell")
  return { pipe = pipe, pid = pid }
end

local function end_process(process)
  if process.pid then
    os.execute(("kill %d 2>/dev/null"):format(process.pid))
    process.pid = nil
    process.pipe:close()
  end
end

---- Plain HTTP ---------------------------------------------------------------------------------------------------

local Peer = {}
Peer.__index = Peer

--- Reads what the peer wrote down.
local function events(self)
  local list = {}
  for line in io.lines(self._record) do
    list[#list + 1] = cjson.decode(line)
  end
  return list
end

--- The requests seen so far, in order: `{ connection, method, path, headers (names in lower case), header_lines (as
-- they came), body, open (how many requests were there without an answer, this one among them) }`.
function Peer:requests()
  local list = {}
  for _, event in ipairs(events(self)) do
    if event.method then
      list[#list + 1] = event
    end
  end
  return list
end

local function count(self, key)
  local found = 0
  for _, event in ipairs(events(self)) do
    found = found + (event[key] and 1 or 0)
  end
  return found
end

--- How many connections were accepted so far.
function Peer:connections()
  return count(self, "accepted")
end

--- How many connections have ended, on either side's wish.
function Peer:closed_connections()
  return count(self, "closed")
end

--- Ends the peer and removes its files; idempotent.
function Peer:stop()
  end_process(self._process)
  os.remove(self._steps)
  os.remove(self._record)
end

--- Starts a peer.
-- @tparam table steps see the top of this file
-- @treturn table peer with `url` (`http://127.0.0.1:PORT`), `port`, `requests()`, `connections()`,
-- `closed_connections()` and `stop()`
function peers.start(steps)
  local self = setmetatable({ _steps = os.tmpname(), _record = os.tmpname() }, Peer)
  files.write(self._steps, cjson.encode(steps))
  local command = { INTERPRETER, quote(PEER_SCRIPT), quote(self._steps), quote(self._record) }
  self._process = spawn(table.concat(command, " "))
  keep(self)
  self.port = assert(tonumber(self._process.pipe:read("*l")), "the peer did not start")
  self.url = ("http://127.0.0.1:%d"):format(self.port)
  return self
end

---- Ports where nobody answers -----------------------------------------------------------------------------------

--- Opens a port that takes connections and bytes and never says anything.
-- @treturn table `{ port, url, stop() }`
function peers.silent()
  local server = assert(socket.bind("127.0.0.1", 0))
  local port = tonumber((select(2, server:getsockname())))
  local silent = { port = port, url = ("http://127.0.0.1:%d"):format(port) }
  function silent.stop()
    server:close()
  end
  return keep(silent)
end

--- A port of this machine where nothing listens.
function peers.unused_port()
  local server = assert(socket.bind("127.0.0.1", 0))
  local port = tonumber((select(2, server:getsockname())))
  server:close()
  return port
end

---- Compressed bodies --------------------------------------------------------------------------------------------

local TemporaryFile = {}
TemporaryFile.__index = TemporaryFile

function TemporaryFile:stop()
  os.remove(self.path)
end

-- The path of a temporary file with what the command writes to its standard output.
local function output_of(command)
  local file = keep(setmetatable({ path = os.tmpname() }, TemporaryFile))
  local result = os.execute(command .. " >" .. quote(file.path))
  assert(result == true or result == 0, "the command failed: " .. command)
  return file.path
end

--- The path of a file with `text`, compressed: a `body_file`.
function peers.gzip(text)
  local source = keep(setmetatable({ path = os.tmpname() }, TemporaryFile))
  files.write(source.path, text)
  return output_of("gzip -c " .. quote(source.path))
end

--- The path of a file that unpacks to that many zero bytes: a `body_file`.
function peers.gzip_bomb(bytes)
  return output_of(("head -c %d /dev/zero | gzip -c"):format(bytes))
end

---- TLS ----------------------------------------------------------------------------------------------------------

local Certificates = {}
Certificates.__index = Certificates

function Certificates:stop()
  os.execute("rm -rf " .. quote(self.folder))
end

local function run(command)
  local result = os.execute(command .. " >/dev/null 2>&1")
  assert(result == true or result == 0, "the command failed: " .. command)
end

local NEW_KEY = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 "

-- A self-signed certificate: an authority, or a server nobody vouches for.
local function self_signed(folder, name, extension)
  local certificate = { file = folder .. "/" .. name .. ".pem", key = folder .. "/" .. name .. ".key" }
  run(NEW_KEY .. ("-x509 -days 2 -subj /CN=%s -keyout %s -out %s -addext %s"):format(
    name, quote(certificate.key), quote(certificate.file), quote(extension)))
  return certificate
end

-- A certificate for the given names, signed by that authority.
local function signed(folder, name, authority, names)
  local certificate = { file = folder .. "/" .. name .. ".pem", key = folder .. "/" .. name .. ".key" }
  local request, extension = folder .. "/" .. name .. ".csr", folder .. "/" .. name .. ".ext"
  files.write(extension, "subjectAltName=" .. names .. "\n")
  run(NEW_KEY .. ("-subj /CN=%s -keyout %s -out %s"):format(name, quote(certificate.key), quote(request)))
  run(("openssl x509 -req -days 2 -sha256 -in %s -CA %s -CAkey %s -CAcreateserial -extfile %s -out %s"):format(
    quote(request), quote(authority.file), quote(authority.key), quote(extension), quote(certificate.file)))
  return certificate
end

--- Makes a set of certificates in a temporary folder, each `{ file, key }`:
-- `authority` signed `right_host` (localhost and 127.0.0.1) and `wrong_host` (other.test); `stranger` is another
-- authority; `alone` is for localhost and 127.0.0.1 and signed by itself.
function peers.certificates()
  local pipe = assert(io.popen("mktemp -d"))
  local folder = pipe:read("*l")
  pipe:close()
  local set = keep(setmetatable({ folder = folder }, Certificates))
  set.authority = self_signed(folder, "authority", "keyUsage=critical,keyCertSign,cRLSign")
  set.stranger = self_signed(folder, "stranger", "keyUsage=critical,keyCertSign,cRLSign")
  set.alone = self_signed(folder, "alone", "subjectAltName=DNS:localhost,IP:127.0.0.1")
  set.right_host = signed(folder, "right_host", set.authority, "DNS:localhost,IP:127.0.0.1")
  set.wrong_host = signed(folder, "wrong_host", set.authority, "DNS:other.test")
  return set
end

local TlsPeer = {}
TlsPeer.__index = TlsPeer

function TlsPeer:stop()
  end_process(self._process)
end

--- Starts a TLS server that answers every GET with a page of its own and then closes.
-- @tparam table certificate `{ file, key }`, see peers.certificates
-- @tparam[opt] string arguments more arguments for `openssl s_server`, such as `-tls1_1`
-- @treturn table `{ port, url, stop() }`
function peers.start_tls(certificate, arguments)
  local command = "openssl s_server -accept 127.0.0.1:0 -www -cert %s -key %s %s 2>&1"
  local process = spawn(command:format(quote(certificate.file), quote(certificate.key), arguments or ""))
  local self = keep(setmetatable({ _process = process }, TlsPeer))
  repeat
    local line = assert(process.pipe:read("*l"), "openssl s_server did not start")
    self.port = tonumber(line:match("^ACCEPT .*:(%d+)"))
  until self.port
  self.url = ("https://127.0.0.1:%d"):format(self.port)
  return self
end

---- Teardown -----------------------------------------------------------------------------------------------------

--- Stops every server and removes every file made here.
function peers.stop_all()
  for index = #started, 1, -1 do
    started[index]:stop()
    started[index] = nil
  end
end

return peers
