local paciolan = require "paciolan"
local link = paciolan.from_env()

local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats

local function lock(listing_id)
  local result, err = link.tickets:lock {
    source = "MY_ACCOUNT",
    listing = {
      externalListingId = listing_id, totalPrice = 120,
      tokens = {
        { token = seats[1].token, individualPrice = 60 },
        { token = seats[2].token, individualPrice = 60 },
      },
    },
  }
  if result then
    print(listing_id .. ": " .. #result.success .. " seats are locked")
  elseif err.kind == "partial" then
    print(listing_id .. ": " .. #err.body.success .. " locked, " .. #err.body.failure .. " not")
  elseif err.outcome == "unknown" then
    print(listing_id .. ": perhaps locked, so unlock the tokens")
  else
    -- A refusal of the whole call, or none that came from the service, has no list of tokens.
    local failure = err.body and err.body.failure and err.body.failure[1]
    print(listing_id .. ": " .. err.outcome .. ", " .. (failure and failure.type or err.kind))
  end
end

lock("L-1")
lock("L-2") -- the seats belong to L-1 now

link:close()
