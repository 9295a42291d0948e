--- Every example runs as a user would run it, ends well and says what it should.

local program = require("support.program")

-- What the output holds, in this order, as plain text.
local EXPECTED = {
  ["first_sale.lua"] = {
    "http://127.0.0.1:",
    " 1  authorise ", " 2  events ", "Football Game 1", " 3  listing ", "A3qnemZ", " 4  lock ", "$60.00",
    " 5  order ", "O-1 over $120.00", "PENDING", "COMPLETE", " 6  print ", "2 tickets",
    " 7  transfer ", "PENDING", "COMPLETE", " 8  accept ", " 9  history ", "initiate, then accept",
    "10  cancel ", "Cancelled", "11  unlock ",
    "12  wrong payload ", "not_sent", "/listing/externalListingID", "did you mean externalListingId?",
    "13  wrong payload ", "/seller is required", "14  locked seat ", "rejected", "HTTP 422",
    "15  expired token ", "2 attempts, HTTP 200", "nothing sold twice",
  },
}

local function names()
  local list = {}
  local _, output = program.run("ls examples/*.lua")
  for name in output:gmatch("examples/([^\n]+)") do
    list[#list + 1] = name
  end
  return list
end

local function expect_in_order(output, wanted)
  local at = 1
  for _, text in ipairs(wanted) do
    local first, last = output:find(text, at, true)
    assert.is_truthy(first, ("%q does not follow in:\n%s"):format(text, output:sub(at)))
    at = last + 1
  end
end

describe("the examples", function()
  it("are the ones that are known here", function()
    local known = {}
    for name in pairs(EXPECTED) do
      known[#known + 1] = name
    end
    table.sort(known)
    assert.same(known, names())
  end)

  for name, wanted in pairs(EXPECTED) do
    it("tell what they do: " .. name, function()
      local code, output, problems = program.run("env " .. program.environment() .. " "
        .. program.words { program.lua, "examples/" .. name })
      assert.equal(0, code, problems)
      assert.equal("", problems)
      expect_in_order(output, wanted)
    end)

    it("leave nothing running: " .. name, function()
      local _, output = program.run("env " .. program.environment() .. " "
        .. program.words { program.lua, "examples/" .. name })
      local port = output:match("127%.0%.0%.1:(%d+)")
      if port then
        local client = require("socket").tcp()
        assert.is_nil(client:connect("127.0.0.1", tonumber(port)))
        client:close()
      end
    end)
  end
end)
