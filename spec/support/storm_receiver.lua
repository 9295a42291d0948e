--- The receiver of `spec/receiver/storm_spec.lua`, a process of its own: it writes down each effect of a message, and
-- kills itself with SIGKILL where it is told to.
--
-- Environment:
-- * STORM_FOLDER where `effects` and the store are. The process ends when there is a file `stop`
-- * STORM_PORT to listen on
-- * STORM_OPTIONS JSON, options of the receiver
-- * STORM_KILL `<number> <place>`, or nothing: at the how manieth message of this process it dies, and where: `before`
--   the effect, `inside` of it, `handled` (the effect is there, nothing of that is in the store), `committed` (it is,
--   and the sender has no answer)
local cjson = require("cjson").new()
local httpd = require("paciolan.httpd")
local paciolan = require("paciolan")

local FOLDER = os.getenv("STORM_FOLDER")
local LISTEN_TRIES = 200

local wanted, place = (os.getenv("STORM_KILL") or ""):match("^(%d+) (%a+)$")
wanted = tonumber(wanted)

local function die()
  local file = assert(io.open("/proc/self/stat", "r"))
  local pid = file:read("*a"):match("^%d+")
  file:close()
  os.execute("kill -9 " .. pid)
end

local count = 0

local function die_at(name)
  if count == wanted and place == name then
    die()
  end
end

-- Every line is one write, so that it is whole or not there.
local effects = assert(io.open(FOLDER .. "/effects", "ab"))
effects:setvbuf("full", 256)

local function note(word, id)
  assert(effects:write(word, " ", id, "\n"))
  assert(effects:flush())
end

local function on_seat(_, message)
  count = count + 1
  die_at("before")
  note("begin", message.message_id)
  die_at("inside")
  note("end", message.message_id)
  die_at("handled")
  return true
end

local options = cjson.decode(os.getenv("STORM_OPTIONS"))
options.on_seat = on_seat
options.store = paciolan.store.sqlite(FOLDER .. "/store.db")
local receiver = paciolan.receiver(options)

-- The port of a process that was just killed may be taken for a moment.
local function listen()
  local server, problem
  for _ = 1, LISTEN_TRIES do
    server, problem = httpd.listen { host = "127.0.0.1", port = tonumber(os.getenv("STORM_PORT")) }
    if server then
      return server
    end
    os.execute("sleep 0.05")
  end
  error(problem)
end

local function must_stop()
  local file = io.open(FOLDER .. "/stop", "r")
  return file ~= nil and (file:close() or true)
end

local server = listen()
note("start", tostring(place))
repeat
  local request = server:next(100)
  if request then
    local before = count
    local answer = receiver:handle(request)
    if count > before then
      die_at("committed")
    end
    server:reply(request, answer.status, answer.headers, answer.body)
  end
until not request and must_stop()
server:close()
