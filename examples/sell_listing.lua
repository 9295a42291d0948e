-- A listing goes up, is asked for once more under the same id, which sends nothing, and comes down again. Run it with
-- `lua5.4 examples/sell_listing.lua`.
--
-- It starts a sandbox of its own and needs no account. A program of yours needs the first part. Against the real
-- service `paciolan.from_env()` takes the place of `paciolan.new(…)`, and what asks the sandbox for its own view goes.
local paciolan = require "paciolan"

-- --- the calls: each returns a result, or nil and an error ----------------------------------------------------------

-- A store in memory is for stories. `paciolan.store.sqlite "sales.db"` outlives the process, and that is the point.
local function open_flows(link, store)
  return link:workflows { store = store }
end

-- Reads the MyAccount listing, and locks its seats for L-1: all of them or none.
local function put_up(flows)
  return flows:sell { listing_id = "A3qnemZ", external_listing_id = "L-1", price = 60 }
end

-- Unlocks whatever the journal says that L-1 has locked.
local function take_down(flows)
  return flows:delist { external_listing_id = "L-1" }
end

-- --- the story ------------------------------------------------------------------------------------------------------

local function count_requests(box, operation)
  local count = 0
  for _, request in ipairs(box:control("GET", "/_sandbox/ledger").requests) do
    count = count + (request.operation == operation and 1 or 0)
  end
  return count
end

local function is_locked(box, token)
  for _, seat in ipairs(box:control("GET", "/_sandbox/world").seats) do
    if seat.token == token then
      return seat.state == "locked"
    end
  end
end

local function story(box)
  local link = paciolan.new(box:client_options())
  local flows = open_flows(link, paciolan.store.memory())

  local listing = assert(put_up(flows))
  for _, seat in ipairs(listing.seats) do
    print(("  %s row %s, seat %s"):format(seat.section, seat.row, seat.seat))
  end
  print(("L-1 is up: %d seats, $%.2f in all"):format(#listing.seats, listing.total_price))
  assert(is_locked(box, listing.tokens[1]), "the seats should be locked")

  local again = assert(put_up(flows))
  assert(#again.tokens == #listing.tokens, "the same call should return the same result")
  assert(count_requests(box, "tickets.lock") == 1, "a lock should have been sent once")
  print("asked for again: the journal knows it, and nothing was sent")

  local _, err = flows:sell { listing_id = "A3qnemZ", external_listing_id = "L-1", price = 70 }
  assert(err and err.kind == "validation", "another price under the same id should be refused")
  print("another price under the same id: " .. err.message)

  assert(take_down(flows))
  assert(not is_locked(box, listing.tokens[1]), "the seats should be unlocked")
  print("L-1 is down; unfinished runs: " .. #assert(flows:unfinished()))
  link:close()
end

local box = require("paciolan.sandbox.child").start()
print("a sandbox at " .. box.base_url .. "; nothing leaves this machine")
local ok, problem = pcall(story, box)
box:stop()
if not ok then
  io.stderr:write("the story broke off: ", tostring(problem), "\n")
end
os.exit(ok and 0 or 1, true)
