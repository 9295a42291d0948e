--- The servers of the bench: an upstream that answers like the API, and nginx with the library in it.
local cjson = require("cjson").new()
local files = require "support.files"
local openresty = require "support.openresty"

local servers = {}

local MODULE_FOLDERS = { "/usr/lib/nginx/modules", "/usr/local/lib/nginx/modules", "/usr/share/nginx/modules" }

--- Is the Lua module of nginx on this machine?
-- @treturn boolean
function servers.can_start()
  for _, folder in ipairs(MODULE_FOLDERS) do
    local file = io.open(folder .. "/ngx_http_lua_module.so", "rb")
    if file then
      file:close()
      return true
    end
  end
  return false
end

-- Connections stay, and nothing is written for each request.
local QUIET = "access_log off; keepalive_requests 100000000; client_body_buffer_size 64k; keepalive_timeout 600s;"

local started = {}

-- The log of errors takes warnings as well.
local function start(options)
  options.main = "error_log errors warn;"
  options.server = QUIET .. options.server
  local server = openresty.start(options)
  started[#started + 1] = server
  return server
end

local function quoted(text)
  return ("%q"):format(text)
end

-- The answer of the catalog takes `delay_s`, that of the token none.
local UPSTREAM = [[
location = /v1/auth/token {
  content_by_lua_block {
    ngx.header["Content-Type"] = "application/json"
    ngx.print(@TOKEN@)
  }
}
location / {
  content_by_lua_block {
    local delay_s = tonumber(ngx.var.arg_delay_s or @DELAY@)
    if delay_s > 0 then
      ngx.sleep(delay_s)
    end
    local body = @BODY@
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #body
    ngx.print(body)
  }
}
]]

--- Starts an upstream.
-- @tparam number delay_s before each answer but that of the token call
-- @treturn table server
function servers.upstream(delay_s)
  local token = { accessToken = ("a"):rep(40), refreshToken = ("r"):rep(40), tokenType = "Bearer",
    expiration = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 7200) }
  local values = { TOKEN = quoted(cjson.encode(token)), DELAY = ("%g"):format(delay_s),
    BODY = quoted(files.read("spec/fixtures/catalog-events.response.200.json")) }
  return start { server = (UPSTREAM:gsub("@(%u+)@", values)) }
end

local LINK = 'application_id = "com.mycompany.bench", api_key = "key", channel_code = "bench", '
  .. 'user_agent = "Bench/1.0.0", organization_id = "999"'

local CALLING = [[
lua_shared_dict paciolan 10m;
init_by_lua_block {
  require("resty.paciolan").setup {
    dict = "paciolan", link = { base_url = "@URL@", auth = { code = "code" }, @LINK@ },
  }
}
upstream api {
  server @ADDRESS@;
  keepalive 128;
}
]]

local CALLING_SERVER = [[
location = /call {
  content_by_lua_block {
    local events, err = require("resty.paciolan").link().catalog:events()
    if not events then
      ngx.log(ngx.ERR, tostring(err))
      return ngx.exit(500)
    end
    ngx.status = 204
  }
}
location = /send {
  content_by_lua_block {
    require("nginx.bare").send("@URL@")
    ngx.status = 204
  }
}
location = /proxy {
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_pass http://api/v1/catalog/events;
}
location = /authorized {
  access_by_lua_block { require("resty.paciolan").authorize() }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_pass http://api/v1/catalog/events;
}
location = /204 { return 204; }
]]

--- Starts a server that calls an upstream: `/call` with the library, `/send` with its transport alone, `/proxy` and
-- `/authorized` as a proxy.
-- @tparam table upstream
-- @treturn table server
function servers.calling(upstream)
  local http = CALLING:gsub("@(%u+)@", { URL = upstream.url, LINK = LINK,
    ADDRESS = ("127.0.0.1:%d"):format(upstream.port) })
  return start { http = http, server = (CALLING_SERVER:gsub("@URL@", upstream.url)) }
end

local RECEIVING = [[
lua_shared_dict paciolan 10m;
lua_shared_dict messages 256m;
init_by_lua_block {
  local function read(name)
    local file = assert(io.open("@FOLDER@/" .. name, "rb"))
    local text = file:read("*a")
    file:close()
    return text
  end
  local certificate, roots = read("certificate"), read("roots")
  require("resty.paciolan").setup {
    dict = "paciolan", link = { base_url = "http://127.0.0.1:9", auth = { access_token = "token" }, @LINK@ },
    receiver = {
      topics = { "@TOPIC@" }, roots = roots, fetch_certificate = function() return certificate end,
      store = function() return require("paciolan").store.shdict "messages" end,
      on_seat = function() return true end,
    },
    metrics = true,
  }
  require("nginx.rsa").prepare(certificate, read("signed"), ngx.decode_base64(read("signature")))
}
]]

local RECEIVING_SERVER = [[
location = /204 { return 204; }
location = /empty { content_by_lua_block { ngx.status = 204 } }
location = /read {
  content_by_lua_block {
    ngx.req.read_body()
    ngx.req.get_body_data()
    ngx.status = 204
  }
}
location = /rsa {
  content_by_lua_block {
    ngx.req.read_body()
    ngx.req.get_body_data()
    require("nginx.rsa").verify()
    ngx.status = 204
  }
}
location = /messages { content_by_lua_block { require("resty.paciolan").receive() } }
location = /metrics { content_by_lua_block { require("resty.paciolan").metrics() } }
]]

--- Starts a server that receives messages, and has places that do parts of that.
-- @tparam string folder where keys and messages are
-- @tparam string topic
-- @treturn table server
function servers.receiving(folder, topic)
  local http = RECEIVING:gsub("@(%u+)@", { FOLDER = folder, TOPIC = topic, LINK = LINK })
  return start { http = http, server = RECEIVING_SERVER }
end

--- Ends all servers.
-- @treturn string what they wrote to their error logs
function servers.stop_all()
  local texts = {}
  for i, server in ipairs(started) do
    texts[i] = server:errors()
  end
  openresty.stop_all()
  return table.concat(texts)
end

return servers
