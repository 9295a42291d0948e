--- nginx as a TLS server in front of another one, for specs that need HTTP/2. It runs as one process in a temporary
-- folder and is stopped, by pid, by `nginx.stop_all()`: call it in a teardown.

local files = require("support.files")
local peers = require("support.peers")
local program = require("support.program")
local socket = require("socket")

local nginx = {}

local started = {}

-- It names every folder that it would otherwise look for on the machine.
local CONFIGURATION = [[
daemon off;
master_process off;
pid "FOLDER/pid";
events { }
http {
  log_format calls '$connection $server_protocol $status $request_method $request_uri';
  access_log "FOLDER/calls" calls;
  client_body_temp_path "FOLDER/body";
  proxy_temp_path "FOLDER/proxy";
  fastcgi_temp_path "FOLDER/fastcgi";
  uwsgi_temp_path "FOLDER/uwsgi";
  scgi_temp_path "FOLDER/scgi";
  server {
    listen 127.0.0.1:PORT ssl PROTOCOL;
    ssl_certificate "CERTIFICATE";
    ssl_certificate_key "KEY";
    location / {
      LOCATION
      proxy_pass UPSTREAM;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
    }
  }
}
]]

local Server = {}
Server.__index = Server

-- False when it ended instead, for a port that was free may be taken by now.
local function wait_until_ready(self)
  for _ = 1, 600 do
    if files.exists(self.folder .. "/pid") then -- written when the port is bound
      return true
    elseif files.read(self.folder .. "/errors"):find("still could not bind", 1, true) then
      return false
    end
    socket.sleep(0.05)
  end
  return false
end

local function launch(self, upstream, certificate, options)
  self.port = peers.unused_port()
  local values = {
    FOLDER = self.folder, PORT = ("%d"):format(self.port), CERTIFICATE = certificate.file, KEY = certificate.key,
    UPSTREAM = upstream, LOCATION = options.location or "", PROTOCOL = options.without_http2 and "" or "http2",
  }
  files.write(self.folder .. "/configuration", (CONFIGURATION:gsub("%u%u%u+", values)))
  files.write(self.folder .. "/errors", "")
  -- What a sanitized run preloads is not meant for it.
  self._process = program.start(program.words({
    "env", "-u", "LD_PRELOAD", "PATH=" .. os.getenv("PATH") .. ":/usr/sbin:/usr/local/sbin", "nginx",
    "-e", self.folder .. "/errors", "-p", self.folder, "-c", self.folder .. "/configuration",
  }))
  local is_ready = wait_until_ready(self)
  if not is_ready then
    self._process:stop()
  end
  return is_ready
end

--- Starts a server.
-- @tparam string upstream where requests are handed on to: `http://127.0.0.1:PORT`
-- @tparam table certificate `{ file, key }`, see `support.peers`
-- @tparam[opt] table options `without_http2`; `location`: lines for its location, before the `proxy_pass`
-- @treturn table server with `url`, `port`, `calls(count)` and `stop()`
function nginx.start(upstream, certificate, options)
  local pipe = assert(io.popen("mktemp -d"))
  local self = setmetatable({ folder = pipe:read("*l") }, Server)
  pipe:close()
  started[#started + 1] = self
  local is_ready = false
  for _ = 1, 3 do
    is_ready = is_ready or launch(self, upstream, certificate, options or {})
  end
  assert(is_ready, "nginx did not start:\n" .. files.read(self.folder .. "/errors"))
  self.url = ("https://127.0.0.1:%d"):format(self.port)
  return self
end

--- Waits until that many requests were written down, and returns all of them in the order of their ends:
-- `{ connection, protocol, status, method, target }`, all strings.
-- @tparam number count
-- @treturn table
function Server:calls(count)
  local list
  for _ = 1, 600 do
    list = {}
    for line in files.read(self.folder .. "/calls"):gmatch("([^\n]*)\n") do
      local words = {}
      for word in line:gmatch("%S+") do
        words[#words + 1] = word
      end
      list[#list + 1] = {
        connection = words[1], protocol = words[2], status = words[3], method = words[4], target = words[5],
      }
    end
    if #list >= count then
      return list
    end
    socket.sleep(0.02)
  end
  error(("nginx wrote down %d requests instead of %d"):format(#list, count), 2)
end

--- Ends the server and removes its folder; idempotent.
function Server:stop()
  self._process:stop()
  os.execute("rm -rf " .. program.words({ self.folder }))
end

--- Stops every server that was started.
function nginx.stop_all()
  for index = #started, 1, -1 do
    started[index]:stop()
    started[index] = nil
  end
end

return nginx
