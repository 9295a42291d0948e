-- What the service tells, wired to the workflows: a signed UNLOCK takes a listing down, and a callback ends a purchase
-- that was PENDING for too long. Run it with `lua5.4 examples/delist_on_unlock.lua`.
--
-- It starts a sandbox of its own, with an Amazon SNS of its own, and needs no account. A program of yours needs the
-- first part. Against the real service `roots`, `ca_file` and `connect_to` go, the topics are the provider's, the
-- callback has an https URL, and `paciolan.from_env()` takes the place of `paciolan.new(…)`.
local paciolan = require "paciolan"

local CALLBACK = "/callbacks/7f3a9c2e5b8d4f1a60c2" -- nothing signs a callback, so its path is a secret

-- --- the wiring -----------------------------------------------------------------------------------------------------

-- `shop` are the listings that buyers see. One store for all: what receives may be another process than what sells.
local function wire(link, sns, store, shop)
  local flows
  local delisting = require("paciolan.workflow.delisting").new {
    store = store,
    on_delist = function(listing, seat)
      local id = listing.external_listing_id
      print(("  row %s, seat %s was unlocked: %s comes down"):format(seat.row, seat.seat, id))
      shop[id] = nil
      -- Unlocks the other seats, and none that has been locked elsewhere since.
      local done, err = flows:delist { external_listing_id = id, after_unlock = true }
      return done ~= nil or err.outcome == "rejected", err -- rejected: they are sold
    end,
  }
  flows = link:workflows { store = store, delisting = delisting, poll = { first_ms = 50, deadline_ms = 200 } }
  local receiver = paciolan.receiver {
    topics = { sns.topics.seats }, confirm_subscriptions = true, store = store,
    roots = sns.roots, ca_file = sns.ca_file, connect_to = sns.connect_to,
    callback = { path = CALLBACK },
    on_callback = function(result) return flows:on_callback(result) end,
    on_seat = function(seat, message)
      local done, err = flows:on_seat(seat) -- first: a purchase in doubt may be about this seat
      if not done then
        return nil, err
      end
      return delisting:on_seat(seat, message)
    end,
  }
  return flows, receiver
end

-- --- the story ------------------------------------------------------------------------------------------------------

local function serve_until(server, receiver, is_done, what)
  local ends_at = os.time() + 30
  while not is_done() do
    assert(os.time() < ends_at, what .. " did not come")
    local request = server:next(100)
    if request then
      local answer = receiver:handle(request)
      server:reply(request, answer.status, answer.headers, answer.body)
    end
  end
end

local function story(box)
  local server = assert(require("paciolan.httpd").listen { request_deadline_s = 10, max_body_bytes = 2 * 1024 * 1024 })
  local here = ("http://127.0.0.1:%d"):format(server:port())
  local link, store, shop = paciolan.new(box:client_options()), paciolan.store.memory(), {}
  local flows, receiver = wire(link, box:sns(), store, shop)

  box:subscribe { url = here .. "/messages", topic = "seats", signature_version = 2 }
  serve_until(server, receiver, function() return receiver:counters().confirmed end, "the confirmation")
  print("the service sends its messages here, signed by Amazon")

  shop["L-1"] = assert(flows:sell { listing_id = "A3qnemZ", external_listing_id = "L-1", price = 60 })
  print(("L-1 is up with %d seats; somebody unlocks one elsewhere:"):format(#shop["L-1"].seats))
  box:trigger { what = "seats.unlock", token = shop["L-1"].tokens[1] }
  serve_until(server, receiver, function() return not shop["L-1"] end, "the UNLOCK")
  assert(assert(flows:find("L-1")).state == "delisted", "the run should be over")
  print("  its run is " .. flows:find("L-1").state)

  shop["L-2"] = assert(flows:sell { listing_id = "K1V1qas", external_listing_id = "L-2", price = 60 })
  box:control("POST", "/_sandbox/options", { pending_polls = 900 })
  local tokens = {}
  for i, token in ipairs(shop["L-2"].tokens) do
    tokens[i] = { token = token }
  end
  local sold, err = flows:buy {
    listing = { externalListingId = "L-2", externalOrderId = "O-2", totalPrice = 180, tokens = tokens },
    buyer = { firstName = "Tony", lastName = "Stark", emailAddress = { email = "tony@stark.example" } },
    settlement = { totalAmountPaid = 180, asyncCallbackUrl = here .. CALLBACK },
  }
  assert(not sold and err.run.state == "in_doubt", "the order should still be worked on")
  print(("O-2 is %s: %s"):format(err.run.state, err.message))
  box:control("POST", "/_sandbox/clock", { advance_s = 3600 })
  print("an hour later it is sold, which unlocks its seats:")
  serve_until(server, receiver, function()
    return receiver:counters().callback_done and not shop["L-2"]
  end, "the callback, or the UNLOCK,")
  local told = assert(flows:resume())[1]
  print(("the callback came; resume says: %s"):format(told.state))
  assert(told.state == "done", "the callback should have ended the purchase")
  for _, object in ipairs { link, server, receiver, store } do
    object:close()
  end
end

local box = require("paciolan.sandbox.child").start()
print("a sandbox at " .. box.base_url .. "; nothing leaves this machine")
local ok, problem = pcall(story, box)
box:stop()
if not ok then
  io.stderr:write("the story broke off: ", tostring(problem), "\n")
end
os.exit(ok and 0 or 1, true)
