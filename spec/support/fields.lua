--- Walks through the field tables of `paciolan.operations()`.
local fields = {}

--- The field of that name in a list, or nil.
function fields.find(list, name)
  for _, field in ipairs(list) do
    if field.name == name then
      return field
    end
  end
  return nil
end

--- Calls visit(field, place) for every field of a list, however deep. A place is like "orders.complete/offers".
function fields.each(list, place, visit)
  for _, field in ipairs(list) do
    visit(field, place .. "/" .. field.name)
    fields.each(field.fields or {}, place .. "/" .. field.name, visit)
  end
end

return fields
