-- The script that wrk runs. Without arguments: GET of the URL. With FOLDER MIX COUNT: posts of the messages that
-- messages.lua wrote there, COUNT by each thread (0: as many as the time allows), and every answer is compared with the
-- one that is due. MIX is `fresh` (each message once), `repeated` (any of them, again and again), `forged`, or `mixed`:
-- new messages spread evenly over COUNT, a tenth forged, and between them repetitions of what was answered.
--
-- Each thread has one connection and messages of its own, so answers come in the order of the requests.

-- luacheck: globals setup init request response done fresh repeated forged wrong, read_globals wrk number
local ffi = require "ffi"

ffi.cdef "int kill(int pid, int signal); int getpid(void);"

local INTERRUPT = 2

local threads = {}

function setup(thread)
  thread:set("number", #threads + 1)
  threads[#threads + 1] = thread
end

-- --- in a thread ----------------------------------------------------------------------------------------------------

fresh, repeated, forged, wrong = 0, 0, 0, 0

local folder, mix, quota, thread_count
local posts, forgeries = {}, {}
local sent, answered = 0, 0
local is_trial, expected, kind

local function read_posts()
  local start = ("POST %s HTTP/1.1\r\nHost: bench\r\n"):format(wrk.path)
  local file = assert(io.open(("%s/%d"):format(folder, number), "rb"))
  for line in file:lines() do
    local text = start .. assert(file:read(tonumber(line)))
    posts[#posts + 1] = text
    forgeries[#forgeries + 1] = (text:gsub("UNLOCK", "LOCKED", 1))
  end
  file:close()
end

local function post_fresh()
  sent = sent + 1
  kind, expected = "fresh", 204
  return posts[sent]
end

local function post_repeated()
  kind, expected = "repeated", 204
  return posts[math.random(math.max(1, mix == "mixed" and sent or #posts))]
end

local function post_forged()
  kind, expected = "forged", 400
  return forgeries[math.random(#forgeries)]
end

local function next_mixed()
  if sent < math.floor((answered + 1) * math.min(#posts / quota, 0.5)) or sent == 0 then
    return post_fresh()
  end
  return math.random(10) == 1 and post_forged() or post_repeated()
end

local nexts = { fresh = post_fresh, repeated = post_repeated, forged = post_forged, mixed = next_mixed }

-- The last thread to finish ends wrk, which would otherwise wait for the end of its time. Each adds a byte to a file.
local function finish()
  wrk.thread:stop()
  local file = assert(io.open(folder .. "/finished", "ab"))
  file:write("x")
  file:flush()
  if file:seek("end") == thread_count then
    ffi.C.kill(ffi.C.getpid(), INTERRUPT)
  end
  file:close()
end

local function next_post()
  if is_trial then -- wrk looks at one request of the first thread and does not send it
    is_trial = false
    return posts[1]
  end
  return nexts[mix]()
end

local function check(status)
  if status ~= (wrk.path == "/messages" and expected or 204) then
    wrong = wrong + 1
  end
  _G[kind] = _G[kind] + 1
  answered = answered + 1
  if answered == quota then
    finish()
  end
end

function init(args)
  folder, mix = args[1], args[2]
  if folder then
    thread_count = tonumber(args[4]) or 16
    read_posts()
    quota = tonumber(args[3])
    quota = mix == "fresh" and math.min(#posts, quota) or quota > 0 and quota or -1
    is_trial = number == 1
    math.randomseed(number)
    request, response = next_post, check
  end
end

-- --- at the end -----------------------------------------------------------------------------------------------------

function done(summary, latency)
  local counts = {}
  for _, name in ipairs { "fresh", "repeated", "forged", "wrong" } do
    counts[name] = 0
    for _, thread in ipairs(threads) do
      counts[name] = counts[name] + thread:get(name)
    end
  end
  local errors = summary.errors
  print(("\nresult requests=%d seconds=%.6f p50_ms=%.3f p99_ms=%.3f broken=%d wrong=%d fresh=%d repeated=%d forged=%d")
    :format(summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.timeout, counts.wrong, counts.fresh, counts.repeated,
      counts.forged))
end
