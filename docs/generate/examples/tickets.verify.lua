local paciolan = require "paciolan"
local link = paciolan.from_env()

local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats

local function verify(entry)
  local result, err = link.tickets:verify { tickets = { entry } }
  if result then
    local found = result.tokens[1].success.seats
    print(#found .. " seats, one owner: " .. tostring(found[1].ownerId == found[2].ownerId))
  elseif err.kind == "validation" then
    print(err.fields[1].path .. " " .. err.fields[1].message)
  else
    error(err) -- a read has no outcome; it was repeated where that could help
  end
end

verify { tokens = { seats[1].token, seats[2].token } }
verify { barcodes = { "100200300400" } } -- barcodes need the event as well

link:close()
