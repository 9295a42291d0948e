-- Three purchases: one that the service takes its time for, one whose answer gets lost, and one that gets lost before
-- the service has seen it. The journal finds out what was sold, and no order is sent twice. Run it with
-- `lua5.4 examples/buy_and_print.lua`.
--
-- It starts a sandbox of its own and needs no account. A program of yours needs the first part. Against the real
-- service `paciolan.from_env()` takes the place of `paciolan.new(…)`; `now_ms`, what makes the sandbox misbehave and
-- what asks it for its own view go.
local paciolan = require "paciolan"

local PRICE = 60
local minutes_ahead = 0 -- of the clock, so that nobody has to wait for fifteen minutes

-- --- the calls: each returns a result, or nil and an error ----------------------------------------------------------

local function open_flows(link)
  return link:workflows {
    store = paciolan.store.memory(), -- paciolan.store.sqlite "sales.db" outlives the process
    poll = { first_ms = 100 },
    settle_after_s = 900,
    now_ms = function() return (os.time() + minutes_ahead * 60) * 1000 end,
  }
end

-- A buyer has chosen all seats of a listing. Sends the order, waits while it is PENDING, and fetches the tickets.
local function buy(flows, listing, order_id, again)
  local tokens = {}
  for i, token in ipairs(listing.tokens) do
    tokens[i] = { token = token, individualPrice = PRICE }
  end
  return flows:buy {
    listing = { externalListingId = listing.id, externalOrderId = order_id, totalPrice = PRICE * #tokens,
      tokens = tokens },
    buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } },
    settlement = { totalAmountPaid = PRICE * #tokens, amountToSeller = PRICE * #tokens * 0.9 },
    again = again,
  }
end

-- --- the story ------------------------------------------------------------------------------------------------------

local function put_up(flows, listing_id, external_listing_id)
  return assert(flows:sell { listing_id = listing_id, external_listing_id = external_listing_id, price = PRICE })
end

local function fail_next_order(box, fault)
  box:control("POST", "/_sandbox/faults", { fault = fault, operation = "orders.complete" })
end

local function tell_sold(flows, result)
  print(("%s is sold: %d tickets, the first at %s"):format(result.id, #result.tickets,
    result.tickets[1].url:match("^https://[^/]+")))
  for _, entry in ipairs(assert(flows:find(result.id)).evidence) do
    print("  evidence: " .. entry.what)
  end
end

local function lost_before(flows, box)
  local listing = put_up(flows, "K1V1qas", "L-3")
  fail_next_order(box, "reset=before")
  local sold, err = buy(flows, listing, "O-3")
  assert(not sold and err.outcome == "unknown", "nobody should be able to tell yet")
  print(("O-3 is %s: %s, %s"):format(err.run.state, err.kind, err.outcome))
  print("  " .. assert(flows:unfinished())[1].told:gsub("([.:]) ", "%1\n  "))

  assert(assert(flows:settle("O-3")).state == "in_doubt", "unchanged owners should prove nothing yet")
  print("settled at once: still in doubt, for the service may still be working on it")
  minutes_ahead = 16
  assert(assert(flows:settle("O-3")).state == "failed", "unchanged owners should count by now")
  print("settled sixteen minutes later: not sold")

  sold, err = buy(flows, listing, "O-3")
  assert(not sold and err.outcome == "rejected", "the same call should tell the same")
  tell_sold(flows, assert(buy(flows, listing, "O-3", true)))
end

local function story(box)
  local link = paciolan.new(box:client_options())
  local flows = open_flows(link)

  box:control("POST", "/_sandbox/options", { pending_polls = 2 })
  tell_sold(flows, assert(buy(flows, put_up(flows, "A3qnemZ", "L-1"), "O-1")))
  box:control("POST", "/_sandbox/options", { pending_polls = 0 })

  fail_next_order(box, "reset=after")
  tell_sold(flows, assert(buy(flows, put_up(flows, "az6ETlz", "L-2"), "O-2")))

  lost_before(flows, box)

  local orders = box:control("GET", "/_sandbox/ledger").orders
  assert(#orders == 3, "each order should have been done once")
  print("orders in the ledger of the service: " .. #orders)
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
