-- One token set for several processes: four programs share a store in a file, all find that their access token has
-- ended, and the service is asked for a new one once. Run it with `lua5.4 examples/shared_tokens.lua`.
--
-- It starts a sandbox of its own and needs no account. A program of yours needs the three lines of `work`, and
-- PACIOLAN_STORE=sqlite:PATH, or redis://HOST for several hosts, in its environment.
local paciolan = require "paciolan"

local PROCESSES, CALLS = 4, 8

-- What each process does: calls, side by side. It knows nothing of the others.
local function work()
  local link = paciolan.from_env()
  local tasks = {}
  for i = 1, CALLS do
    tasks[i] = function() return link.catalog:events() end
  end
  local good = 0
  for _, entry in ipairs(paciolan.concurrent(tasks)) do
    if entry[1] then
      good = good + 1
    else
      io.stderr:write(tostring(entry[2]), "\n")
    end
  end
  link:close()
  print(good .. " of " .. CALLS .. " calls")
end

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Starts this program again, as a worker. The settings go through the environment, as they would for a service.
local function start_worker(settings)
  local words = { "env" }
  for name, value in pairs(settings) do
    words[#words + 1] = quoted(name .. "=" .. value)
  end
  words[#words + 1] = quoted(arg[-1])
  words[#words + 1] = quoted(arg[0])
  words[#words + 1] = "worker"
  return assert(io.popen(table.concat(words, " ")))
end

local function main()
  local box = require("paciolan.sandbox.child").start()
  local path = os.tmpname()
  os.remove(path)
  local settings = {
    PACIOLAN_BASE_URL = box.base_url, PACIOLAN_APPLICATION_ID = box.application_id, PACIOLAN_API_KEY = box.api_key,
    PACIOLAN_CHANNEL_CODE = box.channel_code, PACIOLAN_ORGANIZATION_ID = box.organization_id,
    PACIOLAN_STORE = "sqlite:" .. path,
  }

  print("a sandbox at " .. box.base_url .. "; nothing leaves this machine")

  -- Once, by a person: `paciolan login` does this. The code is good for one exchange.
  local store = paciolan.store.sqlite(path)
  local link = paciolan.new(box:client_options { store = store, auth = {} })
  local set = assert(link.auth:exchange(box.auth_code))
  print("logged in: " .. tostring(set))

  box:control("POST", "/_sandbox/tokens/expire", {})
  print("the service ends the access token; " .. PROCESSES .. " processes go on:")
  local workers = {}
  for i = 1, PROCESSES do
    workers[i] = start_worker(settings)
  end
  local is_well = true
  for i, worker in ipairs(workers) do
    local said = worker:read("*l") or "nothing"
    worker:close()
    print("  process " .. i .. ": " .. said)
    is_well = is_well and said == CALLS .. " of " .. CALLS .. " calls"
  end

  local counts = box:control("GET", "/_sandbox/ledger").tokens
  print(("token calls: %d exchange, %d refresh, %d refused"):format(counts.exchanged, counts.refreshed, counts.refused))
  link:close()
  store:close()
  box:stop()
  for _, ending in ipairs { "", "-wal", "-shm" } do
    os.remove(path .. ending)
  end
  if not is_well or counts.refreshed ~= 1 then
    io.stderr:write("not every call succeeded with one refresh\n")
    os.exit(1)
  end
end

if arg[1] == "worker" then
  work()
else
  main()
end
