--- Every row of contract section 7 has one spec in this folder, named by its number.
local files = require("support.files")

describe("the specs of the discrepancies", function()
  it("are there for all 63 rows, each once", function()
    local seen, wanted = {}, {}
    for _, theme in ipairs { "answers", "errors", "messages", "shapes", "wire" } do
      for number in files.read("spec/rows/" .. theme .. "_spec.lua"):gmatch("\n  it%(\"row (%d+): %w") do
        seen[#seen + 1] = tonumber(number)
      end
    end
    for number = 1, 63 do
      wanted[number] = number
    end
    table.sort(seen)
    assert.same(wanted, seen)
  end)
end)
