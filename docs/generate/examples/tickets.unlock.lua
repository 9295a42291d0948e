local paciolan = require "paciolan"
local link = paciolan.from_env()

local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats
local tokens = { seats[1].token, seats[2].token }
assert(link.tickets:lock { source = "MY_ACCOUNT", listing = { externalListingId = "L-1", tokens = tokens } })

local function unlock(list)
  local result, err = link.tickets:unlock { tokens = list }
  if result then
    print(#result.success .. " seats are free again")
  elseif err.kind == "partial" then
    print(#err.body.success .. " free, " .. #err.body.failure .. " not: " .. err.body.failure[1].type)
  else
    error(err) -- whatever err.outcome is, the same call may be made again
  end
end

unlock(tokens)
unlock(tokens) -- documented as harmless
unlock { tokens[1], "no-such-token" }

link:close()
