--- Runs one spec file inside an nginx worker, in place of a program of its own: what the file makes then talks over
-- cosockets. `lua spec/support/in_nginx.lua SPEC_FILE [tls]`; it speaks TAP, as spec/support/busted.lua does.
--
-- nginx runs as one process, and the file in a timer of it. With `tls` a second nginx stands in front of the sandboxes,
-- and support.market sends its clients there.

local files = require("support.files")
local nginx = require("support.nginx")
local openresty = require("support.openresty")
local peers = require("support.peers")
local program = require("support.program")

local CONFIGURATION = openresty.BEGINNING .. [[
master_process off;
pid "@FOLDER@/pid";
env PATH; env HOME; env PACIOLAN_LUA; env PACIOLAN_SPEC_FRONT; env LUA_PATH; env LUA_CPATH; env LD_PRELOAD;
env ASAN_OPTIONS; env MUTATIONS; env FAULT_RUNS; env TORTURE_RUNS;
events { worker_connections 1024; }
http {
  access_log off;
]] .. openresty.PLACES .. [[
  lua_socket_log_errors off;
  lua_ssl_protocols TLSv1.2 TLSv1.3;
  @TRUST@
  init_worker_by_lua_block {
    ngx.timer.at(0, function() require("support.in_nginx_busted")("@SPEC@") end)
  }
}
]]

-- The port of the sandbox is the first part of the path; the rest goes on as it came.
local FRONT = [[
      set $sandbox "";
      set $target "";
      if ($request_uri ~ "^/(\d+)(/.*)$") {
        set $sandbox $1;
        set $target $2;
      }
]]

local function run(spec, is_tls)
  local pipe = assert(io.popen("mktemp -d"))
  local folder = pipe:read("*l")
  pipe:close()
  local environment, trust = {}, ""
  if is_tls then
    local certificates = peers.certificates()
    local front = nginx.start("http://127.0.0.1:$sandbox$target", certificates.right_host, {
      without_http2 = true, location = FRONT,
    })
    environment.PACIOLAN_SPEC_FRONT = ("https://localhost:%d"):format(front.port)
    trust = ('lua_ssl_trusted_certificate "%s"; lua_ssl_verify_depth 3;'):format(certificates.authority.file)
  end
  local values = openresty.paths()
  values.FOLDER, values.SPEC, values.TRUST = folder, spec, trust
  files.write(folder .. "/configuration", (CONFIGURATION:gsub("@(%u+)@", values)))
  files.write(folder .. "/errors", "")
  local words = openresty.words(environment, folder)
  local result, _, code = os.execute(program.words(words))
  program.stop_all()
  nginx.stop_all()
  peers.stop_all()
  local errors = files.read(folder .. "/errors")
  os.execute("rm -rf " .. program.words { folder })
  code = code or (result == true and 0 or result / 256)
  if code ~= 0 then
    io.stderr:write(errors)
  end
  return code
end

os.exit(run(arg[1], arg[2] == "tls"), true)
