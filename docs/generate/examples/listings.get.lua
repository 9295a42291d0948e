local paciolan = require "paciolan"
local link = paciolan.from_env()

local function show(listing_id)
  local listings, err = link.listings:get(listing_id)
  if listings then
    local seats = listings[1].tickets[1].seats
    local first = seats[1]
    print(#seats .. " seats, the first in " .. first.section .. ", row " .. first.row .. ", seat " .. first.seat)
  elseif err.status == 404 then
    print("there is no such listing")
  else
    error(err)
  end
end

show("A3qnemZ")
show("nosuch1")

link:close()
