-- What the service pushes: a listing is up, its seats are unlocked elsewhere, a signed message says so, and the listing
-- comes down. Run it with `lua5.4 examples/receive_messages.lua`.
--
-- It starts a sandbox of its own, with an Amazon SNS of its own, and needs no account. A program of yours needs the
-- first part. Against the real service `roots`, `ca_file` and `connect_to` go, and the topics are the provider's.
local paciolan = require "paciolan"

local box = require("paciolan.sandbox.child").start()
local sns = box:sns()
local shop = {} -- the listings that buyers see

print("a sandbox at " .. box.base_url .. "; nothing leaves this machine")

-- --- the receiver -------------------------------------------------------------------------------------------------

local store = paciolan.store.memory() -- paciolan.store.sqlite "messages.db" survives a restart
local delisting = require("paciolan.workflow.delisting").new {
  store = store,
  on_delist = function(listing, seat)
    print(("seat %s/%s was unlocked: %s comes down"):format(seat.row, seat.seat, listing.external_listing_id))
    shop[listing.external_listing_id] = nil
    return true -- done; anything else, and the message comes again
  end,
}

local reports = {}
local receiver = paciolan.receiver {
  topics = { sns.topics.seats }, confirm_subscriptions = true, store = store,
  basic_auth = { user = "partner", password = "correct horse" },
  roots = sns.roots, ca_file = sns.ca_file, connect_to = sns.connect_to,
  on_seat = function(seat, message) return delisting:on_seat(seat, message) end,
  on_report = function(report) reports[#reports + 1] = report.reason end,
}

-- Serves until the receiver has reported something so often.
local server = assert(require("paciolan.httpd").listen { request_deadline_s = 10, max_body_bytes = 2 * 1024 * 1024 })
local function serve_until(reason, count)
  local ends_at = os.time() + 30
  repeat
    local request = server:next(100)
    if request then
      local answer = receiver:handle(request)
      server:reply(request, answer.status, answer.headers, answer.body)
      count = count - (reports[#reports] == reason and 1 or 0)
    end
  until count == 0 or os.time() > ends_at
  print(("  answered: %s"):format(reports[#reports]))
  return count == 0
end

-- --- the story ----------------------------------------------------------------------------------------------------

box:subscribe { url = ("http://127.0.0.1:%d/messages"):format(server:port()), topic = "seats", signature_version = 2,
  user = "partner", password = "correct horse" }
print("the service asks whether we want its messages, signed by Amazon:")
local is_well = serve_until("confirmed", 1)

local link = paciolan.new(box:client_options())
local ticket = assert(link.listings:get("A3qnemZ"))[1].tickets[1]
local listing = { external_listing_id = "L-1", organization_id = "129", seats = {} }
local tokens = {}
for i, seat in ipairs(ticket.seats) do
  listing.seats[i] = { access_id = ticket.accessId, section = seat.section, row = seat.row, seat = seat.seat }
  tokens[i] = seat.token
end
assert(delisting:remember(listing)) -- before the lock, so that no message can come too early
assert(link.tickets:lock { source = "MY_ACCOUNT", listing = { externalListingId = "L-1", tokens = tokens } })
shop["L-1"] = ticket
print(("L-1 is up with %d seats; the service says that they are locked:"):format(#listing.seats))
is_well = serve_until("done", 1) and is_well

print("somebody unlocks them elsewhere, and the message comes twice:")
box:trigger { what = "seats.unlock", listing_id = "L-1", duplicate = 1 }
is_well = serve_until("duplicate", 1) and is_well
print("somebody forges a message:")
box:trigger { what = "seats.unlock", listing_id = "A3qnemZ", tamper = "message" }
is_well = serve_until("bad_signature", 1) and is_well

local counters = delisting:counters()
print(("listings taken down: %d, still up: %d"):format(counters.taken_down or 0, next(shop) and 1 or 0))
for _, object in ipairs { link, server, receiver, store } do
  object:close()
end
box:stop()
if not is_well or counters.taken_down ~= 1 or next(shop) then
  io.stderr:write("not every message was answered as told\n")
  os.exit(1)
end
