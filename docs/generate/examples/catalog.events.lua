local paciolan = require "paciolan"
local link = paciolan.from_env()

local function show(query)
  local events, err = link.catalog:events(query)
  if events then
    print(#events .. " events, the first is " .. events[1].itemName .. " (" .. events[1].accessId .. ")")
  elseif err.kind == "validation" then
    print(err.fields[1].path .. " " .. err.fields[1].message)
  else
    error(err) -- a read has no outcome: nothing was changed
  end
end

show { startDate = "2030-01-01" }
show { startDate = "2030-02-30" }

link:close()
