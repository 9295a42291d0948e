--- What a verify answer says of seats (contract 2.6), in one form.
-- @module paciolan.workflow.seats
local seats = {}

local function text_or_nil(value)
  if type(value) == "number" and value % 1 == 0 then
    return ("%d"):format(value)
  end
  return type(value) == "string" and value or nil
end

local function add(list, seat, access_id)
  if type(seat) == "table" then
    list[#list + 1] = {
      token = text_or_nil(seat.token), barcode = text_or_nil(seat.barcode), owner_id = text_or_nil(seat.ownerId),
      access_id = text_or_nil(seat.accessId) or access_id, section = text_or_nil(seat.section),
      row = text_or_nil(seat.row), seat = text_or_nil(seat.seat),
    }
  end
end

--- The seats that a verify answer names.
-- @tparam table answer
-- @treturn table list of `{ token, barcode, owner_id, access_id, section, row, seat }`, texts or nil
function seats.of_verify(answer)
  local list = {}
  for _, name in ipairs { "tokens", "barcodes" } do
    for _, group in ipairs(type(answer[name]) == "table" and answer[name] or {}) do
      local found = type(group) == "table" and type(group.success) == "table" and group.success.seats
      for _, seat in ipairs(type(found) == "table" and found or {}) do
        add(list, seat, text_or_nil(group.accessId))
      end
    end
  end
  return list
end

--- The same by token.
-- @tparam table answer
-- @treturn table
function seats.by_token(answer)
  local found = {}
  for _, seat in ipairs(seats.of_verify(answer)) do
    if seat.token then
      found[seat.token] = seat
    end
  end
  return found
end

return seats
