-- What the library costs inside nginx, with wrk as the load (`make bench-nginx`): calls to an API that takes 100 ms
-- beside somebody who asks for something else, messages of Amazon SNS beside the parts of that work, and the memory of
-- a worker that has received half a million of them (`MESSAGES=500000`). Every server is a process of its own on a free
-- loopback port, and CPU times are those of its one worker. It ends with 1 when an answer was wrong, or when a server
-- wrote something to its error log.
package.path = "spec/?.lua;" .. package.path

local amazon = require "support.amazon"
local files = require "support.files"
local folder = require "support.folder"
local load = require "nginx.load"
local processes = require "nginx.processes"
local program = require "support.program"
local servers = require "nginx.servers"
local socket = require "socket"

local MESSAGES = tonumber(os.getenv("MESSAGES") or "") or 500000
local THREADS = 16 -- of wrk, with one connection each
local DISTINCT = 20000 -- messages that are signed in advance
local ROUNDS = 3
local HOT = 2000 -- verifications in a row
local STEP = 50000 -- messages between two looks at the memory

local problems = {}

local function say(text, ...)
  print(text:format(...))
  io.stdout:flush()
end

local function complain(text, ...)
  problems[#problems + 1] = text:format(...)
  say("  WRONG: " .. text, ...)
end

local function median(values)
  table.sort(values)
  return values[math.ceil(#values / 2)]
end

local function worker_of(server)
  return assert(server:workers()[1], "there is no worker")
end

local function check(name, result)
  if result.broken > 0 or result.wrong > 0 then
    complain("%s: %d connections broke, %d answers were wrong", name, result.broken, result.wrong)
  end
end

-- --- what is missing ------------------------------------------------------------------------------------------------

local function has(command)
  return program.run("PATH=$PATH:/usr/sbin:/usr/local/sbin command -v " .. command) == 0
end

local function missing()
  for _, command in ipairs { "wrk", "nginx" } do
    if not has(command) then
      return "there is no " .. command
    end
  end
  if not servers.can_start() then
    return "there is no Lua module of nginx"
  end
end

-- --- calls to a slow API --------------------------------------------------------------------------------------------

local CONNECTIONS, DELAY_S = 64, 0.1

local function connect(server)
  local client = assert(socket.connect("127.0.0.1", server.port))
  client:setoption("tcp-nodelay", true)
  return client
end

local function ask(client)
  client:send("GET /204 HTTP/1.1\r\nHost: bench\r\n\r\n")
  repeat
    local line = assert(client:receive("*l"))
  until line == ""
end

-- Asks now and then, in turns over a connection that was kept and over a new one, and adds the milliseconds that each
-- answer took to the samples.
local function ask_now_and_then(server, seconds, samples)
  local kept, ends = connect(server), socket.gettime() + seconds
  repeat
    local started = socket.gettime()
    ask(kept)
    samples.kept[#samples.kept + 1] = (socket.gettime() - started) * 1e3
    socket.sleep(0.01)
    started = socket.gettime()
    local new = connect(server)
    ask(new)
    samples.new[#samples.new + 1] = (socket.gettime() - started) * 1e3
    new:close()
    socket.sleep(0.01)
  until socket.gettime() >= ends
  kept:close()
end

-- One round of a row: somebody asks while the load, if there is one, runs in the background.
local function measure_beside(server, pid, row)
  if not row.path then
    return ask_now_and_then(server, row.seconds, row.samples)
  end
  local before = processes.cpu_us(pid)
  local process = program.start(load.command(server.url .. row.path, { connections = CONNECTIONS,
    seconds = row.seconds }))
  ask_now_and_then(server, row.seconds - 0.5, row.samples)
  process:wait_for("\nresult ")
  local result = load.result(process:output())
  process:stop()
  check(row.path, result)
  row.rates[#row.rates + 1] = result.requests / result.seconds
  row.p50s[#row.p50s + 1], row.p99s[#row.p99s + 1] = result.p50_ms, result.p99_ms
  row.costs[#row.costs + 1] = (processes.cpu_us(pid) - before) / result.requests
end

local function row_of_load(name, path, seconds)
  return { name = name, path = path, seconds = seconds, samples = { new = {}, kept = {} }, rates = {}, p50s = {},
    p99s = {}, costs = {} }
end

-- What somebody else got meanwhile.
local function print_samples(rows, kind)
  local alone_ms
  for _, row in ipairs(rows) do
    local ms = median(row.samples[kind])
    alone_ms = alone_ms or ms
    say("  %-34s p50 %.3f ms   x%.2f", row.name, ms, ms / alone_ms)
  end
end

local function print_loads(loads)
  local ideal = CONNECTIONS / DELAY_S
  say("\nan API that takes %d ms, %d connections, one worker, median of %d rounds (aims: 0.90 of the ideal, p99 below "
    .. "150 ms)", DELAY_S * 1e3, CONNECTIONS, ROUNDS)
  for _, row in ipairs(loads) do
    local rate = median(row.rates)
    say("  %-20s %6.1f/s, %.3f of the ideal %d/s   p50 %.1f ms, p99 %.1f ms   %6.2f us CPU", row.name, rate,
      rate / ideal, ideal, median(row.p50s), median(row.p99s), median(row.costs))
  end
end

local function slow_calls()
  local server = servers.calling(servers.upstream(DELAY_S))
  local pid = worker_of(server)
  load.run(server.url .. "/call", { connections = CONNECTIONS, seconds = 1 }) -- the token and the connections
  local idle = row_of_load("nothing else to do", nil, 2)
  local loads = { row_of_load("proxy_pass", "/proxy", 3), row_of_load("link.catalog:events", "/call", 5) }
  local rows = { idle, loads[1], loads[2] }
  for _ = 1, ROUNDS do
    for _, row in ipairs(rows) do
      measure_beside(server, pid, row)
    end
  end
  print_loads(loads)
  say("return 204 for somebody else meanwhile, over a new connection each time (aim: within x2)")
  print_samples(rows, "new")
  say("the same over a kept connection")
  print_samples(rows, "kept")
end

-- --- CPU time for each request --------------------------------------------------------------------------------------

local function print_rows(rows, base_name)
  local base
  for _, row in ipairs(rows) do
    row.us = median(row.samples)
    base = row.name == base_name and row.us or base
  end
  for _, row in ipairs(rows) do
    say("  %-44s %8.2f us CPU   x%-6.2f %8d/s", row.name, row.us, row.us / base, math.floor(1e6 / row.us))
  end
end

-- Contenders take turns, because machines are noisy.
local function measure_rows(rows, pid, run)
  for _ = 1, ROUNDS do
    for _, row in ipairs(rows) do
      row.samples = row.samples or {}
      if row.prepare then
        row.prepare()
      end
      local before = processes.cpu_us(pid)
      local requests = run(row)
      row.samples[#row.samples + 1] = (processes.cpu_us(pid) - before) / requests
    end
  end
end

local function fast_calls()
  local server = servers.calling(servers.upstream(0))
  local rows = {
    { name = "return 204", path = "/204" },
    { name = "proxy_pass, kept connections", path = "/proxy" },
    { name = "authorize() and proxy_pass", path = "/authorized" },
    { name = "transport:send of the same request", path = "/send" },
    { name = "link.catalog:events", path = "/call" },
  }
  local function run(row)
    local result = load.run(server.url .. row.path, { connections = THREADS, seconds = 1 })
    check(row.name, result)
    return result.requests
  end
  say("\ncalls, an API that answers at once, %d connections, one worker, median of %d rounds", THREADS, ROUNDS)
  run(rows[#rows])
  measure_rows(rows, worker_of(server), run)
  print_rows(rows, "transport:send of the same request")
end

-- --- messages -------------------------------------------------------------------------------------------------------

-- A program that writes the messages of half of the threads.
local function signer(place, first)
  return "env " .. program.environment() .. " " .. program.words { program.lua, "bench/nginx/messages.lua", place,
    ("%d"):format(first), ("%d"):format(first + THREADS / 2 - 1), ("%d"):format(DISTINCT / THREADS) }
end

-- Keys, certificates and signed messages in a folder.
local function write_messages(aws)
  local place, started = folder.make(), socket.gettime()
  files.write(place .. "/key", assert(aws.key:pem()))
  files.write(place .. "/certificate", aws.leaf)
  files.write(place .. "/roots", aws.roots)
  local code, _, problem = program.run(("%s & other=$!; %s && wait $other"):format(signer(place, 1),
    signer(place, 1 + THREADS / 2)))
  assert(code == 0, problem)
  say("\nmessages of SNS with three seats, signature version 2: %d signed in %.1f s", DISTINCT,
    socket.gettime() - started)
  return place
end

local function post(server, place, row)
  os.remove(place .. "/finished")
  return load.run(server.url .. row.path, { connections = THREADS, threads = THREADS, seconds = row.seconds or 1,
    posts = { folder = place, mix = row.mix, count = row.count } })
end

local function forget_messages(server)
  return server:run [[
    local dict = ngx.shared.messages
    dict:flush_all()
    dict:flush_expired()
    return tonumber(dict:free_space())
  ]]
end

-- Many in a row in one request: nothing but RSA, and the caches stay warm.
local function hot_verification(server)
  server:run("for _ = 1, ... do require('nginx.rsa').verify() end", HOT)
  return HOT
end

local function cost_of_messages(server, place)
  local function forget()
    forget_messages(server)
  end
  local rows = {
    { name = "RSA alone, many in a row", hot = true },
    { name = "return 204", path = "/204", mix = "repeated" },
    { name = "an empty handler", path = "/empty", mix = "repeated" },
    { name = "a handler that reads the body", path = "/read", mix = "repeated" },
    { name = "one that reads the body and verifies RSA", path = "/rsa", mix = "repeated" },
    { name = "receive(), a forged message", path = "/messages", mix = "forged" },
    { name = "receive(), a message that was seen", path = "/messages", mix = "repeated" },
    { name = "receive(), a message for the first time", path = "/messages", mix = "fresh", count = 500,
      prepare = forget, seconds = 60 },
    { name = "receive(), mixed", path = "/messages", mix = "mixed", count = 500, prepare = forget,
      seconds = 60 },
  }
  measure_rows(rows, worker_of(server), function(row)
    if row.hot then
      return hot_verification(server)
    end
    local result = post(server, place, row)
    check(row.name, result)
    return result.requests
  end)
  say("posts of the same size, %d connections, one worker, median of %d rounds", THREADS, ROUNDS)
  print_rows(rows, "one that reads the body and verifies RSA")
end

-- --- memory over many messages --------------------------------------------------------------------------------------

-- What was counted so far: messages of seats by verdict, and repetitions.
local function counted(server)
  local _, text = server:get("/metrics")
  local counts = { accepted = 0, refused = 0, postponed = 0, all = 0 }
  for labels, value in text:gmatch("paciolan_messages_total(%b{}) (%d+)") do
    local verdict = labels:match('verdict="(%w+)"')
    counts[verdict] = (counts[verdict] or 0) + tonumber(value)
    counts.all = counts.all + tonumber(value)
  end
  counts.repeated = 0
  for value in text:gmatch("paciolan_messages_duplicate_total%b{} (%d+)") do
    counts.repeated = counts.repeated + tonumber(value)
  end
  return counts
end

local function look(server, pid, done)
  local own_kb, shared_kb = processes.memory_kb(pid)
  say("  %7d messages   %7.1f MB of its own, %6.1f MB shared; Lua %5.1f MB", done, own_kb / 1024, shared_kb / 1024,
    server:run "return collectgarbage('count')" / 1024)
  return own_kb
end

-- Looks at the memory every STEP messages until all have been counted. Returns the least and the most.
local function watch(server, pid, before, total)
  local next_look, least, most = STEP, math.huge, 0
  local deadline = socket.gettime() + 600
  repeat
    socket.sleep(0.1)
    local done = counted(server).all - before.all
    if done >= next_look or done >= total then
      local own_kb = look(server, pid, done)
      least, most = math.min(least, own_kb), math.max(most, own_kb)
      next_look = next_look + STEP
    end
  until done >= total or socket.gettime() > deadline
  return least, most
end

local function compare_counts(server, before, result)
  local after = counted(server)
  local function compare(name, wanted, found)
    if wanted ~= found then
      complain("%s: %d were sent, and /metrics tells of %d", name, wanted, found)
    end
  end
  compare("accepted messages", result.fresh + result.repeated, after.accepted - before.accepted)
  compare("repeated messages", result.repeated, after.repeated - before.repeated)
  compare("forged messages", result.forged, after.refused - before.refused)
  say("  answers: 204 to %d new and %d repeated ones, 400 to %d forged ones", result.fresh, result.repeated,
    result.forged)
  say("  /metrics: %d accepted, %d of them repeated, %d refused", after.accepted - before.accepted,
    after.repeated - before.repeated, after.refused - before.refused)
end

local function memory_over_many(server, place)
  local pid, free_bytes = worker_of(server), forget_messages(server)
  local each = math.floor(MESSAGES / THREADS)
  os.remove(place .. "/finished")
  say("\nmemory of the worker over %d messages, new ones, repetitions and forgeries mixed", each * THREADS)
  look(server, pid, 0)
  local before, cpu_us = counted(server), processes.cpu_us(pid)
  local process = program.start(load.command(server.url .. "/messages", { connections = THREADS, threads = THREADS,
    seconds = 600, posts = { folder = place, mix = "mixed", count = each } }))
  local least, most = watch(server, pid, before, each * THREADS)
  process:wait_for("\nresult ")
  local result = load.result(process:output())
  process:stop()
  check("messages", result)
  compare_counts(server, before, result)
  cpu_us = processes.cpu_us(pid) - cpu_us
  local used = free_bytes - server:run "return tonumber(ngx.shared.messages:free_space())"
  say("  its own memory: %.2f MB between the least and the most; a message takes %d bytes of the shared dict",
    (most - least) / 1024, math.floor(used / result.fresh))
  say("  %.2f us CPU a message, %.1f s in all, with a scrape of /metrics every 0.1 s", cpu_us / result.requests,
    result.seconds)
end

local function messages()
  local aws = amazon.start {}
  local place = write_messages(aws)
  local server = servers.receiving(place, aws.topic)
  cost_of_messages(server, place)
  memory_over_many(server, place)
end

-- --- all of it ------------------------------------------------------------------------------------------------------

local function run()
  slow_calls()
  fast_calls()
  messages()
end

local lack = missing()
if lack then
  say("\nnginx: left out, %s", lack)
  return
end
local ok, problem = pcall(run)
program.stop_all()
local log = servers.stop_all()
amazon.stop_all()
folder.remove_all()
if not ok then
  complain("%s", problem)
end
if log ~= "" then
  complain("the error logs hold:\n%s", log:sub(1, 4000))
end
say("\n%s", #problems == 0 and "every answer was right, and the error logs are empty"
  or #problems .. " things were wrong")
if #problems > 0 then
  os.exit(1, true)
end
