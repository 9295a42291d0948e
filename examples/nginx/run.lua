-- Plays receiver.conf, proxy.conf and seller.conf in a real nginx, against a sandbox: `make example-nginx`, or
-- `luajit examples/nginx/run.lua [receiver|proxy|seller]` for one of them.
--
-- Each file is played as it stands, except for the lines in `play_in` below: the port, the name of this machine's
-- authorities, and what tells a receiver that Amazon is played by the sandbox. It needs no account, and whatever it
-- starts it stops.
local cjson = require("cjson").new()
local curl = require "paciolan.transport.curl"
local httpd = require "paciolan.httpd"

local HERE = arg[0]:match("^(.*)/[^/]*$") or "."
local SECRET = "play-0123456789abcdef"

-- --- the machine --------------------------------------------------------------------------------------------------

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return (text:gsub("\n$", ""))
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function write_file(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local function unused_port()
  local server = assert(httpd.listen {})
  local port = server:port()
  server:close()
  return port
end

-- Where nginx keeps its modules: as it says itself, or where Debian does. Nil where Lua is built in, as in OpenResty.
local function folder_of_modules()
  local said = output_of("PATH=\"$PATH:/usr/sbin:/usr/local/sbin\" nginx -V 2>&1")
  if said:find("add%-module=%S*ngx_lua") then
    return nil
  end
  for _, folder in ipairs { said:match("%-%-modules%-path=(%S+)") or "", "/usr/lib/nginx/modules" } do
    local file = io.open(folder .. "/ngx_http_lua_module.so", "rb")
    if file then
      file:close()
      return folder
    end
  end
  error("nginx has no ngx_http_lua_module: install libnginx-mod-http-lua", 0)
end

-- The search paths of this program, from any folder, and for LuaJIT: that is the Lua of nginx, which adds its own.
local function search_path(path)
  local root = output_of("pwd")
  return (path:gsub("[^;]+", function(place)
    return place:sub(1, 1) == "/" and place or root .. "/" .. place:gsub("^%./", "")
  end):gsub("/5%.4/%?%.so", "/jit/?.so")) .. ";;"
end

-- --- nginx --------------------------------------------------------------------------------------------------------

local Server = {}
Server.__index = Server

-- Replaces one line, which has to be there once.
local function replace_line(text, line, with)
  local first, last = text:find(line, 1, true)
  assert(first and not text:find(line, last + 1, true), "the configuration has not one line: " .. line)
  return text:sub(1, first - 1) .. with .. text:sub(last + 1)
end

-- The file, with what differs on this machine.
local function play_in(self, name, sns)
  local text = read_file(("%s/%s.conf"):format(HERE, name))
  if not self.modules then
    text = text:gsub("\nload_module [^\n]*", "")
  end
  text = replace_line(text, "listen 127.0.0.1:8080;", ("listen 127.0.0.1:%d;"):format(self.port))
  if not sns then
    return text
  end
  write_file(self.folder .. "/roots.pem", sns.roots)
  text = replace_line(text, "lua_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;",
    "lua_ssl_trusted_certificate roots.pem;")
  -- nginx takes no line breaks inside a Lua string.
  local settings = ("roots = %q, connect_to = { [%q] = %q },"):format(sns.roots, next(sns.connect_to))
  return replace_line(text, "-- sandbox: roots and connect_to stand here while run.lua plays this file",
    (settings:gsub("\\\n", "\\n")))
end

-- What stands in the environment of whoever runs this may be for the real service.
local NOT_HANDED_ON = { "BASE_URL", "APPLICATION_ID", "API_KEY", "CHANNEL_CODE", "ORGANIZATION_ID", "USER_AGENT",
  "AUTH_CODE", "REFRESH_TOKEN", "ACCESS_TOKEN", "STORE", "CA_FILE" }

local function words_of(self, environment)
  local words = { "env" }
  for _, name in ipairs(NOT_HANDED_ON) do
    words[#words + 1] = "-u"
    words[#words + 1] = "PACIOLAN_" .. name
  end
  for _, word in ipairs { "PATH=" .. os.getenv("PATH") .. ":/usr/sbin:/usr/local/sbin",
    "LUA_PATH=" .. search_path(package.path), "LUA_CPATH=" .. search_path(package.cpath) } do
    words[#words + 1] = word
  end
  for variable, value in pairs(environment) do
    words[#words + 1] = variable .. "=" .. value
  end
  -- The workers have to read this checkout, so they keep the user that started it.
  local user = output_of("id -u") == "0" and ("user %s %s;"):format(output_of("id -un"), output_of("id -gn")) or ""
  for _, word in ipairs { "nginx", "-p", self.folder, "-c", self.folder .. "/nginx.conf", "-e",
    self.folder .. "/logs/error.log", "-g", "daemon off; " .. user } do
    words[#words + 1] = word
  end
  for index, word in ipairs(words) do
    words[index] = quoted(word)
  end
  return table.concat(words, " ")
end

function Server:errors()
  return read_file(self.folder .. "/logs/error.log")
end

function Server:calls()
  return read_file(self.folder .. "/logs/access.log")
end

-- Sends a request; returns status, body and headers.
function Server:send(method, path, body, headers)
  local list = { { "Content-Type", "application/json" } }
  for name, value in pairs(headers or {}) do
    list[#list + 1] = { name, value }
  end
  local answer, failure = self.transport:send { method = method, headers = list, body = body,
    url = ("http://127.0.0.1:%d%s"):format(self.port, path) }
  if not answer then
    return nil, failure.message
  end
  return answer.status, answer.body, answer.headers
end

function Server:is_ready()
  for _ = 1, 200 do
    if self:send("GET", "/healthz") == 200 then
      return true
    elseif self:errors():find("%[emerg%]") or self:errors():find("init_by_lua error", 1, true) then
      return false
    end
    self.transport:sleep(50)
  end
  return false
end

-- Ends the process in good order and waits for that.
function Server:quit()
  os.execute(("kill -QUIT %d 2>/dev/null"):format(self.pid))
  self.pipe:close()
end

-- Starts the process. A port that was free may be taken by now, so this may have to be done again.
function Server:launch(name, environment, sns)
  self.port = unused_port()
  write_file(self.folder .. "/logs/error.log", "")
  write_file(self.folder .. "/nginx.conf", play_in(self, name, sns))
  self.pipe = assert(io.popen("echo $$; exec " .. words_of(self, environment) .. " 2>&1"))
  self.pid = tonumber(self.pipe:read("*l"))
  self.is_running = self:is_ready()
  if not self.is_running then
    self:quit()
  end
  return self.is_running
end

function Server:stop()
  if self.is_running then
    self:quit()
  end
  self.transport:close()
  os.execute("rm -rf " .. quoted(self.folder))
end

-- Starts nginx with one of the files in a folder of its own.
local function start_nginx(name, environment, sns)
  local modules = folder_of_modules()
  local self = setmetatable({ folder = output_of("mktemp -d"), transport = curl.new(), modules = modules }, Server)
  os.execute("mkdir " .. quoted(self.folder .. "/logs"))
  if modules then
    os.execute(("ln -s %s %s"):format(quoted(modules), quoted(self.folder .. "/modules")))
  end
  for _ = 1, 3 do
    if self:launch(name, environment, sns) then
      return self
    end
  end
  local problem = self:errors()
  self:stop()
  error("nginx did not start:\n" .. problem, 0)
end

-- What `paciolan sandbox` prints as `export PACIOLAN_…`.
local function settings_of(box)
  return { PACIOLAN_BASE_URL = box.base_url, PACIOLAN_APPLICATION_ID = box.application_id,
    PACIOLAN_API_KEY = box.api_key, PACIOLAN_CHANNEL_CODE = box.channel_code, PACIOLAN_USER_AGENT = box.user_agent,
    PACIOLAN_ORGANIZATION_ID = box.organization_id, PACIOLAN_AUTH_CODE = box.auth_code }
end

-- --- the stories --------------------------------------------------------------------------------------------------

-- Asks again until the answer is as wanted; a delivery takes a moment.
local function wait_for(server, what, is_there)
  for _ = 1, 300 do
    if is_there() then
      return
    end
    server.transport:sleep(50)
  end
  error("it was waited in vain until " .. what, 0)
end

local function counted(server, line)
  local _, text = server:send("GET", "/metrics")
  return tonumber(("\n" .. text):match("\n" .. line:gsub("%p", "%%%0") .. " (%d+)") or 0)
end

local function show_counted(server, line)
  print(("  %s %d"):format(line, counted(server, line)))
end

local stories = {}

function stories.receiver(box)
  local sns = box:sns()
  local server = start_nginx("receiver", { PACIOLAN_SEATS_TOPIC = sns.topics.seats, PACIOLAN_MESSAGES_USER = "partner",
    PACIOLAN_MESSAGES_PASSWORD = "correct horse", PACIOLAN_CALLBACK_SECRET = SECRET }, sns)
  return server, function()
    local subscription = box:subscribe { url = ("http://127.0.0.1:%d/messages"):format(server.port), topic = "seats",
      signature_version = 2, user = "partner", password = "correct horse" }
    wait_for(server, "the subscription is confirmed", function()
      return box:control("GET", "/_sandbox/subscriptions/" .. subscription.id).state == "live"
    end)
    print("the subscription is confirmed")

    box:trigger { what = "seats.unlock", listing_id = "A3qnemZ", duplicate = 1 }
    box:trigger { what = "seats.unlock", listing_id = "A3qnemZ", tamper = "message" }
    wait_for(server, "the messages are delivered", function() return box:deliveries().waiting == 0 end)
    local _, unlocked = server:send("GET", "/unlocked")
    io.write("a signed message came twice and was handled once:\n", (unlocked:gsub("[^\n]+", "  %0")))
    local counts = box:deliveries().counts
    print(("a forged message was refused: %d delivery failed"):format(counts.failed or 0))
    assert(counts.failed == 1, "just the forged message should have been refused")

    local status = server:send("POST", "/callbacks/" .. SECRET, cjson.encode { processId = "P-1", status = "COMPLETE" })
    local _, told = server:send("GET", "/unlocked")
    print(("a callback: HTTP %d, %s"):format(status, (told:gsub("\n$", ""))))
    assert(server:send("POST", "/callbacks/guessed-0123456789", "{}") == 404, "a wrong path should be unknown")
    assert(not (server:calls() .. server:errors()):find(SECRET, 1, true), "the secret path should be in no log")
    show_counted(server, 'paciolan_messages_duplicate_total{entity="seats"}')
    print("what a person should look at:")
  end
end

function stories.proxy(box)
  local server = start_nginx("proxy", settings_of(box))
  return server, function()
    local function get()
      local status, body = server:send("GET", "/link/v1/listings/A3qnemZ", nil, { Authorization = "Bearer forged" })
      assert(status == 200, ("the listing should come: HTTP %s"):format(status))
      return cjson.decode(body)
    end
    assert(get(), "the answer should be JSON")
    print("a plain GET of a listing, with a token that nginx added: HTTP 200")

    box:control("POST", "/_sandbox/tokens/expire")
    get()
    print("its token ended, was renewed, and the GET was sent once more: HTTP 200")

    box:control("POST", "/_sandbox/tokens/expire")
    local lock = cjson.encode { source = "MY_ACCOUNT", listing = { externalListingId = "L-1",
      tokens = { { token = get()[1].tickets[1].seats[1].token } } } }
    box:control("POST", "/_sandbox/tokens/expire")
    local status, body = server:send("PUT", "/link/v1/tickets/lock", lock)
    print(("a lock with a token that ended: HTTP %d, %s"):format(status, body:gsub("%s+$", "")))
    assert(status == 401, "a write should not be repeated by nginx")
    status = server:send("PUT", "/link/v1/tickets/lock", lock)
    print(("sent again by its program: HTTP %d"):format(status))
    assert(status == 200, "the lock should be done")

    local request_id
    assert(server:send("GET", "/nowhere?key=1") == 404, "there should be nothing else")
    wait_for(server, "the access log has the calls", function()
      request_id = server:calls():match("PUT /v1/tickets/lock 200 [%d.]+ [%d.]+ (%S+)\n")
      return request_id and server:calls():find("GET /nowhere 404", 1, true)
    end)
    assert(not server:calls():find("key=1", 1, true), "no query should be in the log")
    local known = box:control("GET", "/_sandbox/ledger/" .. request_id).requests
    print(("the access log has the Request-ID that the service knows: %d request"):format(#known))
    assert(#known == 1, "the lock should have arrived once under its Request-ID")

    local tokens = box:control("GET", "/_sandbox/ledger").tokens
    print(("renewals in the ledger of the service: %d"):format(tokens.refreshed))
    assert(tokens.refreshed == 3 and tokens.refused == 0, "each token that ended should have been renewed once")
    show_counted(server, 'paciolan_rotations_total{step="refresh",result="done"}')
  end
end

function stories.seller(box)
  local server = start_nginx("seller", settings_of(box))
  return server, function()
    local sale = { listing_id = "A3qnemZ", external_listing_id = "L-1", external_order_id = "O-1", price = 60,
      buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } },
      settlement = { totalAmountPaid = 120, amountToSeller = 108 } }
    local function sell()
      local status, body = server:send("POST", "/sell", cjson.encode(sale))
      return status, cjson.decode(body)
    end

    local status, sold = sell()
    assert(status == 200, ("the sale should be done: HTTP %s, %s"):format(status, sold.message))
    print(("%s is sold: HTTP %d, %d tickets"):format(sold.order, status, #sold.tickets))
    local _, same = sell()
    assert(same.tickets[1] == sold.tickets[1], "the same sale should have the same tickets")
    print(("asked for again: the same tickets; orders in the ledger: %d"):format(
      #box:control("GET", "/_sandbox/ledger").orders))

    sale.external_order_id, sale.external_listing_id = "O-2", "L-2"
    local problem
    status, problem = sell()
    print(("the same seats once more, as O-2: HTTP %d, %s, %s"):format(status, problem.kind, problem.outcome))
    assert(status >= 400 and problem.outcome ~= "unknown", "seats should be sold once")
    sale.price = nil
    status, problem = sell()
    print(("without a price: HTTP %d, %s"):format(status, problem.message))
    show_counted(server, 'paciolan_calls_total{operation="orders.complete",outcome="done"}')
  end
end

-- --- all of them --------------------------------------------------------------------------------------------------

local function play(name)
  local box = require("paciolan.sandbox.child").start { redelivery_ms = 200 }
  print(("--- %s.conf, and a sandbox at %s; nothing leaves this machine"):format(name, box.base_url))
  local server, story
  local ok, problem = pcall(function()
    server, story = stories[name](box)
    story()
    local alarms = 0
    for line in server:errors():gmatch("[^\n]+") do
      local alarm = line:match("%[warn%].-(alarm [%l_]+): ")
      assert(alarm, "the error log should hold alarms alone:\n" .. line)
      alarms = alarms + 1
      print("  " .. alarm)
    end
    print(("lines of the error log: %d, all of them alarms"):format(alarms))
  end)
  if not ok then
    io.stderr:write(("the story of %s.conf broke off: %s\n"):format(name, tostring(problem)))
    io.stderr:write(server and server:errors() or "")
  end
  if server then
    server:stop()
  end
  box:stop()
  return ok
end

local names = #arg > 0 and arg or { "receiver", "proxy", "seller" }
local are_well = true
for _, name in ipairs(names) do
  assert(stories[name], "there are receiver, proxy and seller")
  are_well = play(name) and are_well
end
os.exit(are_well and 0 or 1, true)
