--- Encodes payloads that a finalizer changes on the way, at every collection that the encoder can cause. Run by
-- spec/mutation_spec.lua as a process of its own: its memory is small, so that a collection is quick, and a crash has
-- an exit code. Prints how each change ended: "raised N refused N sent N".
local cjson = require("cjson")
local collector = require("support.collector")
local core = require("paciolan.core")

local function payload_of_lock()
  return {
    source = "BROKER", listing = { totalPrice = 14, tokens = { { token = "T-1" }, "T-2" } },
    seller = { lastName = "Smith", firstName = "John", emailAddress = { { email = "j@smith.example" } },
      phoneNumber = { number = "9498234548", countryCode = "US" } },
  }
end

-- What stands in the place of what was checked.
local changes = {
  function(payload) payload.listing.tokens[1] = 7 end,
  function(payload) payload.listing.tokens[1] = nil end,
  function(payload) payload.listing.tokens = 7 end,
  function(payload) payload.listing = "x" end,
  function(payload) payload.listing.tokens[1].token = {} end,
  function(payload) payload.listing.totalPrice = {} end,
  function(payload) payload.seller.phoneNumber = 1 end,
  function(payload) payload.seller.emailAddress[1] = "x" end,
}

-- Encodes once, with the change at that collection. Returns the outcome, and whether the change came in time.
local function encode(change, round)
  local payload, calls, is_over = payload_of_lock(), 0, false
  collectgarbage()
  collectgarbage("stop")
  collector.leave_behind(function()
    calls = calls + 1
    if calls == round and not is_over then
      change(payload)
    end
    return not is_over
  end)
  collectgarbage("restart")
  local ok, target, body = pcall(core.encode, "tickets.lock", payload)
  is_over = true
  if not ok then
    assert(target == "the payload was changed while it was encoded", target)
    return "raised", true
  elseif target then
    cjson.decode(body)
  end
  return target and "sent" or "refused", calls >= round
end

collector.make_busy()
for _, change in ipairs(changes) do
  local counts, round = { raised = 0, refused = 0, sent = 0 }, 0
  repeat
    round = round + 1
    local outcome, came_in_time = encode(change, round)
    counts[outcome] = counts[outcome] + 1
  until not came_in_time
  io.write(("raised %d refused %d sent %d\n"):format(counts.raised, counts.refused, counts.sent))
end
