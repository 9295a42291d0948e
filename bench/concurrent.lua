-- Reads one after another, and 16 at a time, at a server that thinks for 20 ms and at one that answers at once
-- (`make bench`). The servers are processes of their own, so the CPU time is that of the client alone.
package.path = "spec/?.lua;" .. package.path

local core = require "paciolan.core"
local paciolan = require "paciolan"
local peers = require "support.peers"

local LIMIT, ROUNDS = 16, 5

local function link_to(peer)
  return paciolan.new {
    base_url = peer.url, application_id = "com.mycompany.bench", api_key = "key", channel_code = "bench",
    user_agent = "Bench/1.0.0", organization_id = "999", auth = { access_token = "token" },
  }
end

local function median(values)
  table.sort(values)
  return values[math.ceil(#values / 2)]
end

-- Milliseconds of the wall clock and microseconds of CPU time per call, each the median of the rounds.
local function time(count, run)
  local wall, cpu = {}, {}
  for round = 0, ROUNDS do -- round 0 warms up
    collectgarbage()
    local started_ms, started_s = core.monotonic_ms(), os.clock()
    run()
    if round > 0 then
      wall[round] = (core.monotonic_ms() - started_ms) / count
      cpu[round] = (os.clock() - started_s) * 1e6 / count
    end
  end
  return median(wall), median(cpu)
end

local function compare(title, step, count)
  local link = link_to(peers.start({ step }))
  local function read()
    return assert(link.catalog:events())
  end
  local tasks = {}
  for i = 1, count do
    tasks[i] = read
  end
  local alone_ms, alone_us = time(count, function()
    for i = 1, count do
      tasks[i]()
    end
  end)
  local beside_ms, beside_us = time(count, function() paciolan.concurrent(tasks, { limit = LIMIT }) end)
  local host = rawget(_G, "jit") and "LuaJIT" or _VERSION
  print(("\ncatalog.events, %s (%s, %d calls, median of %d rounds)"):format(title, host, count, ROUNDS))
  local line = "  %-20s %8.3f ms a call   x%.2f   %8.1f us CPU   x%.2f"
  print(line:format("one after another", alone_ms, 1, alone_us, 1))
  print(line:format(("%d at a time"):format(LIMIT), beside_ms, beside_ms / alone_ms, beside_us, beside_us / alone_us))
  link:close()
end

local json = { { "Content-Type", "application/json" } }
compare("answered after 20 ms", { headers = json, body = "[]", delay_s = 0.02 }, 64)
compare("answered at once", { headers = json, body = "[]" }, 512)
peers.stop_all()
