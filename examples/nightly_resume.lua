-- What a cron job does about workflows: a worker is killed in the middle of a purchase, and the job of the next night
-- tells what was going on and brings it to its end. What it cannot decide it leaves to a person, what it could not end
-- to its next pass, and says so by its exit code. Run it with `lua5.4 examples/nightly_resume.lua`.
--
-- It starts a sandbox of its own and needs no account. A program of yours needs `nightly`, and a store that outlives
-- its processes. Against the real service `now_ms` goes: it is here so that nobody has to wait for the night.
local paciolan = require "paciolan"

-- --- the job --------------------------------------------------------------------------------------------------------

local ENDED = { done = true, failed = true, delisted = true, canceled = true, sold = true }
local DAY_MS = 24 * 60 * 60 * 1000

-- Who ends a run: nobody has to any more (0), a person (1), or the next pass of this job (2). What is in doubt a later
-- pass may find out as well, but somebody waits for his tickets; what has not ended for a day will not end by itself.
local function who_ends(run, now_ms)
  if ENDED[run.state] then
    return 0
  elseif run.state == "in_doubt" and not run.held then
    return 1
  elseif run.state == "unreadable" or now_ms - run.since_ms > DAY_MS then
    return 1
  end
  return 2
end

-- Finishes or settles what dead processes left. Returns the exit code: 0 when everything has ended, 1 when a person has
-- to look at something, 2 when another pass may do.
local function nightly(flows, now_ms)
  local runs, err = flows:resume()
  if not runs then
    print("the journal cannot be read: " .. err.message)
    return 1
  end
  local code = 0
  for _, run in ipairs(runs) do
    local who = who_ends(run, now_ms)
    local state = run.held and "somebody carries it" or run.state
    print(("  %s %s, since %s: %s"):format(run.kind or "run", run.id, run.since or "an unknown time", state))
    if who == 1 then
      print("    look at it: " .. run.told:gsub("([.:]) ", "%1\n    "))
      code = 1
    elseif who == 2 then
      print("    left for the next pass")
      code = code == 0 and 2 or code
    end
  end
  return code
end

-- --- the worker, which does not know that it will be killed ---------------------------------------------------------

local function open_store(path, now_ms)
  return paciolan.store.sqlite { path = path, now_ms = now_ms }
end

local function work()
  local store = open_store(os.getenv("PACIOLAN_JOURNAL"))
  local flows = paciolan.from_env { store = store, deadline_ms = 60000 }:workflows { store = store }
  assert(flows:fulfil {
    listing_id = "A3qnemZ", external_listing_id = "L-1", external_order_id = "O-1", price = 60,
    buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } },
    settlement = { totalAmountPaid = 120, amountToSeller = 108 },
  })
end

-- --- the story ------------------------------------------------------------------------------------------------------

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Starts this program again, as a worker, and returns its process id and a pipe.
local function start_worker(box, path)
  local words = { "echo $$; exec env" }
  for name, value in pairs {
    BASE_URL = box.base_url, APPLICATION_ID = box.application_id, API_KEY = box.api_key, JOURNAL = path,
    CHANNEL_CODE = box.channel_code, ORGANIZATION_ID = box.organization_id, AUTH_CODE = box.auth_code,
  } do
    words[#words + 1] = quoted("PACIOLAN_" .. name .. "=" .. value)
  end
  for _, word in ipairs { arg[-1], arg[0], "worker" } do
    words[#words + 1] = quoted(word)
  end
  local pipe = assert(io.popen(table.concat(words, " ")))
  return tonumber(pipe:read("*l")), pipe
end

-- The order has arrived, and its answer is held back.
local function wait_for_order(box)
  local ends_at = os.time() + 60
  repeat
    assert(os.time() < ends_at, "the worker never sent its order")
    os.execute("sleep 0.05")
  until #box:control("GET", "/_sandbox/ledger").orders > 0
end

-- A transfer whose answer is lost. The service has no question for it, so that is for a person.
local function lose_transfer(box, flows, sale)
  box:control("POST", "/_sandbox/faults", { fault = "reset=before", operation = "transfers.initiate" })
  flows:transfer { transferRequests = { {
    externalTransferId = "T-1", Sender = { patronId = sale.tickets[1].ownerId },
    Recipient = { recipientFirstName = "Juan", recipientLastName = "Ramirez", email = "juan@ramirez.example" },
    Items = { { externalOrderId = sale.id, tokens = { sale.tokens[1] } } },
  } } }
end

local function story(box, path)
  box:control("POST", "/_sandbox/faults", { fault = "delay=30000", operation = "orders.complete" })
  local pid, pipe = start_worker(box, path)
  wait_for_order(box)
  os.execute("kill -9 " .. pid)
  pipe:close()
  print("a worker was killed while it waited for the answer to its order")

  local hours_ahead = 0
  local function now_ms() return (os.time() + hours_ahead * 3600) * 1000 end
  local store = open_store(path, now_ms)
  local link = paciolan.new(box:client_options { store = store })
  local flows = link:workflows { store = store, now_ms = now_ms }
  print("what was going on, in words:\n  " .. assert(flows:unfinished())[1].told:gsub(": ", ":\n  "))

  print("the job, at once: the lease of the dead worker has not ended")
  print("  exit code " .. nightly(flows, now_ms()))
  hours_ahead = 8
  print("the job, in the night:")
  local code = nightly(flows, now_ms())
  print("  exit code " .. code)

  local sale, orders = assert(flows:find("O-1")), box:control("GET", "/_sandbox/ledger").orders
  assert(code == 0 and sale.state == "done" and #sale.result.tickets == 2, "the purchase should be done")
  assert(#orders == 1, "the order should have been sent once")
  print(("O-1 has %d tickets; orders in the ledger of the service: %d"):format(#sale.result.tickets, #orders))

  lose_transfer(box, flows, sale.result)
  print("the job, after the answer to a transfer was lost:")
  code = nightly(flows, now_ms())
  print("  exit code " .. code)
  assert(code == 1, "a person should have to look")
  assert(flows:settle("T-1", { as = "failed", because = "the provider's support has no such transfer" }))
  print("somebody asks the provider, and settles it; then the job again:")
  print("  exit code " .. nightly(flows, now_ms()))
  link:close()
  store:close()
end

if arg[1] == "worker" then
  return work()
end
local box, path = require("paciolan.sandbox.child").start(), os.tmpname()
os.remove(path)
print("a sandbox at " .. box.base_url .. "; nothing leaves this machine")
local ok, problem = pcall(story, box, path)
box:stop()
for _, ending in ipairs { "", "-wal", "-shm" } do
  os.remove(path .. ending)
end
if not ok then
  io.stderr:write("the story broke off: ", tostring(problem), "\n")
end
os.exit(ok and 0 or 1, true)
