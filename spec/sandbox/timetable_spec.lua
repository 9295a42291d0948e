local ids = require "paciolan.sandbox.ids"
local timetable = require "paciolan.sandbox.timetable"

describe("the timetable of the sandbox", function()
  it("gives things when they are due, and not before", function()
    local table_ = timetable.new()
    assert.is_nil(table_:next_at_ms())
    table_:add("later", 20)
    table_:add("soon", 10)
    assert.equal(10, table_:next_at_ms())
    assert.is_nil(table_:take(9))
    assert.equal("soon", table_:take(10))
    assert.is_nil(table_:take(19))
    assert.equal(1, table_:count())
    assert.equal("later", table_:take(21))
    assert.equal(0, table_:count())
    assert.is_nil(table_:take(1000))
  end)

  it("gives things of one time in the order in which they came, among any others", function()
    local draw = ids.stream("timetable", "times")
    for _ = 1, 20 do
      local table_, wanted = timetable.new(), {}
      for i = 1, draw:below(60) do
        local thing = { due = draw:below(12), number = i }
        wanted[i] = thing
        table_:add(thing, thing.due)
      end
      table.sort(wanted, function(a, b)
        return a.due < b.due or a.due == b.due and a.number < b.number
      end)
      for _, thing in ipairs(wanted) do
        assert.equal(thing, table_:take(12))
      end
      assert.is_nil(table_:take(12))
    end
  end)
end)
