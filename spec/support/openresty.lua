--- nginx with Lua inside, for specs of what runs there. It is started in a temporary folder and stopped, by pid, by
-- `openresty.stop_all()`: call it in a teardown.
--
--     local server = openresty.start { http = "lua_shared_dict d 1m;", server = "location /x { … }" }
--     local status, body, headers = server:get("/x")
--     local sum = server:run("local a, b = ... return a + b", 1, 2) -- inside a worker
--
-- nginx always runs LuaJIT and the modules built for it, whichever Lua the spec itself runs on.

local cjson = require("cjson").new()
local files = require("support.files")
local http = require("socket.http")
local ltn12 = require("ltn12")
local peers = require("support.peers")
local program = require("support.program")
local socket = require("socket")

local openresty = {}

local started = {}

--- How every configuration begins; `@NAME@` stands for a value, see `paths`.
openresty.BEGINNING = [[
load_module "@MODULES@/ndk_http_module.so";
load_module "@MODULES@/ngx_http_lua_module.so";
daemon off;
]]

--- For the inside of `http { }`: every folder that nginx would otherwise look for on the machine, and where Lua looks.
openresty.PLACES = [[
  client_body_temp_path "@FOLDER@/body";
  proxy_temp_path "@FOLDER@/proxy";
  fastcgi_temp_path "@FOLDER@/fastcgi";
  uwsgi_temp_path "@FOLDER@/uwsgi";
  scgi_temp_path "@FOLDER@/scgi";
  lua_package_path "@LUAPATH@;;";
  lua_package_cpath "@LUACPATH@;;";
]]

local CONFIGURATION = openresty.BEGINNING .. [[
@USER@
worker_processes @WORKERS@;
pid "@FOLDER@/pid";
@MAIN@
events { worker_connections 1024; }
http {
  access_log "@FOLDER@/access";
]] .. openresty.PLACES .. [[
  lua_code_cache @CACHE@;
  lua_socket_log_errors off;
  lua_ssl_protocols TLSv1.2 TLSv1.3;
  @TRUST@
  @HTTP@
  server {
    listen 127.0.0.1:@PORT@;
    @TLS@
    location = /run {
      client_max_body_size 64m;
      client_body_buffer_size 64m;
      content_by_lua_block { require("support.openresty_run")() }
    }
    @SERVER@
  }
}
]]

local Server = {}
Server.__index = Server

local ROOT = io.popen("pwd"):read("*l")

-- Relative places of a search path, made absolute: nginx runs in another folder.
local function absolute(path)
  return (path:gsub("[^;]+", function(place)
    return place:sub(1, 1) == "/" and place or ROOT .. "/" .. place:gsub("^%./", "")
  end))
end

local function folder_of_modules()
  for _, folder in ipairs { "/usr/lib/nginx/modules", "/usr/local/lib/nginx/modules", "/usr/share/nginx/modules" } do
    local file = io.open(folder .. "/ngx_http_lua_module.so", "rb")
    if file then
      file:close()
      return folder
    end
  end
  error("the Lua module of nginx was not found: install libnginx-mod-http-lua")
end

local function is_root()
  local pipe = io.popen("id -u")
  local id = pipe:read("*l")
  pipe:close()
  return id == "0"
end

--- Where things are, for a configuration: `MODULES` of nginx, and the search paths `LUAPATH` and `LUACPATH`.
-- @treturn table a new one
function openresty.paths()
  return {
    MODULES = folder_of_modules(), LUAPATH = absolute((package.path:gsub(";;", ";"))),
    LUACPATH = absolute((package.cpath:gsub("/5%.4/%?%.so", "/jit/?.so"):gsub(";;", ";"))),
  }
end

-- The workers have to read the tree and write the folder, so they keep the user of the spec.
local function configuration(self, options)
  local tls, values = options.tls, openresty.paths()
  local more = {
    USER = is_root() and "user root;" or "", WORKERS = ("%d"):format(options.workers or 1), FOLDER = self.folder,
    MAIN = options.main or "", HTTP = options.http or "", SERVER = options.server or "",
    CACHE = options.code_cache == false and "off" or "on", PORT = ("%d"):format(self.port),
    TRUST = options.ca and ('lua_ssl_trusted_certificate "%s"; lua_ssl_verify_depth 3;'):format(options.ca) or "",
    TLS = tls and ('listen 127.0.0.1:%d ssl; ssl_certificate "%s"; ssl_certificate_key "%s";'):format(self.tls_port,
      tls.file, tls.key) or "",
  }
  for name, value in pairs(more) do
    values[name] = value
  end
  return (CONFIGURATION:gsub("@(%u+)@", values))
end

local function is_running(pid)
  local file = io.open(("/proc/%d/cmdline"):format(pid), "rb")
  local is_there = file ~= nil and file:read(1) ~= nil -- of a process that ended it is empty
  if file then
    file:close()
  end
  return is_there
end

-- False when it ended instead, for a port that was free may be taken by now.
local function wait_until_ready(self)
  for _ = 1, 600 do
    if not is_running(self.pid) then
      return false
    elseif files.exists(self.folder .. "/pid") then -- written when the ports are bound
      return true
    end
    socket.sleep(0.02)
  end
  return false
end

--- The words that start nginx, whose folder holds a `configuration` and takes the `errors`.
-- @tparam ?table given variables of the environment
-- @tparam string folder
-- @treturn table
function openresty.words(given, folder)
  local list = { "env", "PATH=" .. os.getenv("PATH") .. ":/usr/sbin:/usr/local/sbin" }
  -- A server leaves much behind at its end, by design.
  if os.getenv("LD_PRELOAD") then
    list[#list + 1] = "ASAN_OPTIONS=detect_leaks=0:" .. (os.getenv("ASAN_OPTIONS") or "")
  end
  for name, value in pairs(given or {}) do
    list[#list + 1] = name .. "=" .. value
  end
  for _, word in ipairs { "nginx", "-e", folder .. "/errors", "-p", folder, "-c", folder .. "/configuration" } do
    list[#list + 1] = word
  end
  return list
end

local function launch(self, options)
  self.port, self.tls_port = peers.unused_port(), peers.unused_port()
  self.url = ("http://127.0.0.1:%d"):format(self.port)
  files.write(self.folder .. "/configuration", configuration(self, options))
  files.write(self.folder .. "/errors", "")
  self._process = program.start(program.words(openresty.words(options.environment, self.folder)))
  self.pid = self._process.pid
  local is_ready = wait_until_ready(self)
  if not is_ready then
    self._process:stop()
  end
  return is_ready
end

--- Starts a server.
-- @tparam[opt] table options
--
-- * `main`, `http`, `server`: lines for the main context, for `http { }` and for `server { }`
-- * `workers`: how many, 1 by default
-- * `tls`: `{ file, key }`, see support.peers: the same server answers over TLS on `tls_port`
-- * `ca`: a file with the roots that cosockets trust
-- * `code_cache`: false makes a new Lua state for each request
-- * `environment`: variables by name; nginx hands on to Lua what `main` lists with `env`
-- @treturn table server with `url`, `port`, `tls_port`, `pid`, `folder` and the methods below
function openresty.start(options)
  local pipe = assert(io.popen("mktemp -d"))
  local self = setmetatable({ folder = pipe:read("*l") }, Server)
  pipe:close()
  started[#started + 1] = self
  local is_ready = false
  for _ = 1, 3 do
    is_ready = is_ready or launch(self, options or {})
  end
  assert(is_ready, "nginx did not start:\n" .. files.read(self.folder .. "/errors"))
  return self
end

--- Sends a request and waits for the answer.
-- @tparam table request `{ method, path, headers, body }`
-- @treturn ?number status, or nil and a text
-- @treturn string body
-- @treturn table headers, names in lower case
function Server:request(request)
  local parts = {}
  local headers = { connection = "close" }
  for name, value in pairs(request.headers or {}) do
    headers[name] = value
  end
  if request.body then
    headers["content-length"] = ("%d"):format(#request.body)
  end
  local ok, status, answered = http.request {
    url = self.url .. request.path, method = request.method or (request.body and "POST" or "GET"), headers = headers,
    source = request.body and ltn12.source.string(request.body) or nil, sink = ltn12.sink.table(parts),
    redirect = false,
  }
  if not ok then
    return nil, tostring(status)
  end
  return status, table.concat(parts), answered
end

--- The same for a GET.
function Server:get(path, headers)
  return self:request { path = path, headers = headers }
end

--- Runs a chunk of Lua inside a worker, in the content phase.
-- @tparam string source
-- @param ... arguments of the chunk; they and what it returns go as JSON
-- @return what the chunk returned; an error that it raised is raised here
function Server:run(source, ...)
  local call = { source = source, count = select("#", ...), arguments = {} }
  for i = 1, call.count do
    local value = select(i, ...)
    call.arguments[i] = value == nil and cjson.null or value
  end
  local status, body = self:request { path = "/run", body = cjson.encode(call) }
  assert(status == 200, "the chunk could not be run: " .. tostring(status) .. " " .. tostring(body))
  local result = cjson.decode(body)
  if not result.ok then
    error(result.problem, 2)
  end
  local values = {}
  for i = 1, result.count do
    local value = result.values[i]
    if value ~= cjson.null then
      values[i] = value
    end
  end
  return (rawget(_G, "unpack") or rawget(table, "unpack"))(values, 1, result.count)
end

--- What the error log holds, from the level `error` on.
-- @treturn string
function Server:errors()
  return files.read(self.folder .. "/errors")
end

--- The pids of the workers that live now, those that are about to end among them.
-- @treturn table
function Server:workers()
  local list = {}
  local file = io.open(("/proc/%d/task/%d/children"):format(self.pid, self.pid), "rb")
  for pid in (file and file:read("*a") or ""):gmatch("%d+") do
    list[#list + 1] = tonumber(pid)
  end
  if file then
    file:close()
  end
  return list
end

--- Makes nginx read its configuration anew, and waits until no worker of before takes requests.
function Server:reload()
  local before = {}
  for _, pid in ipairs(self:workers()) do
    before[pid] = true
  end
  os.execute(("kill -HUP %d"):format(self.pid))
  for _ = 1, 600 do
    local is_old, is_new = false, false
    for _, pid in ipairs(self:workers()) do
      is_old, is_new = is_old or before[pid], is_new or not before[pid]
    end
    if is_new and not is_old then
      return
    end
    socket.sleep(0.02)
  end
  error("nginx did not replace its workers:\n" .. self:errors(), 2)
end

--- Ends the server and removes its folder; idempotent.
function Server:stop()
  if self._process then
    self._process:stop()
    self._process = nil
    os.execute("rm -rf " .. program.words { self.folder })
  end
end

--- Stops every server that was started.
function openresty.stop_all()
  for index = #started, 1, -1 do
    started[index]:stop()
    started[index] = nil
  end
end

return openresty
