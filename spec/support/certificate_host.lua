--- The host of certificates on a socket, started by support.amazon:  lua certificate_host.lua FOLDER PARENT_PID
-- TLS with host.pem and host.key of the folder; a second port, plain HTTP, takes orders and tells what was asked for.
-- It prints both ports on one line and ends when its parent is gone.

local cjson = require("cjson").new()
local desk = require("support.certificate_desk")
local files = require("support.files")
local httpd = require("paciolan.httpd")

-- Two servers take turns; this is how long an order may wait.
local TURN_MS = 5

local folder, parent_pid = arg[1], tonumber(arg[2])
local host = assert(httpd.listen { tls = { certificate = files.read(folder .. "/host.pem"),
  key = files.read(folder .. "/host.key") } })
local orders = assert(httpd.listen {})
local kept = desk.new()
local waiting = {}

local function reply(request, answer)
  if answer.reset then
    host:drop(request)
    return
  end
  host:reply(request, answer.status, answer.headers or {}, answer.body, { piece_bytes = answer.piece_bytes,
    pause_ms = answer.pause_ms, cut_after_bytes = answer.cut_after_bytes })
end

local function reply_due()
  local later, now = {}, httpd.monotonic_ms()
  for _, one in ipairs(waiting) do
    if one.due <= now then
      reply(one.request, one.answer)
    else
      later[#later + 1] = one
    end
  end
  waiting = later
end

local function obey(request)
  local order = request.body ~= "" and cjson.decode(request.body) or {}
  local body = "{}"
  if request.path == "/serve" then
    kept:serve(order.path, order.answer)
  elseif request.path == "/forget" then
    kept:forget()
  else
    body = cjson.encode(kept:log())
  end
  orders:reply(request, 200, {}, body)
end

io.stdout:write(("%d %d\n"):format(host:port(), orders:port()))
io.stdout:flush()
while httpd.parent_pid() == parent_pid do
  local request = host:next(TURN_MS)
  if request then
    local answer = kept:answer(request.path, request.query)
    waiting[#waiting + 1] = { request = request, answer = answer, due = httpd.monotonic_ms() + (answer.delay_ms or 0) }
  end
  reply_due()
  request = orders:next(0)
  if request then
    obey(request)
  end
end
