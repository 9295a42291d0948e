--- Numbers in workflows: a journal keeps 14 digits of each, and nothing may be sold at another price because of that.

local errors = require("paciolan.errors")
local json = require("paciolan.json")
local market = require("support.market")
local purchases = require("support.purchases")

local math_type = rawget(math, "type") or type

describe("the amounts of a workflow", function()
  local desk, flows, sent

  setup(function()
    desk = purchases.open()
  end)

  teardown(function()
    desk:close()
  end)

  before_each(function()
    desk:renew_store()
    flows, sent = desk:flows(), {}
    function desk.meddle(path, send, request)
      if request.method == "POST" then
        sent[#sent + 1] = { path = path, body = request.body }
      end
      return send()
    end
  end)

  after_each(function()
    desk:calm()
  end)

  local function trade(settlement_total, more)
    local tokens = desk.place:tokens(1)
    local order = market.order_payload(tokens, "L", "F")
    order.settlement.totalAmountPaid = settlement_total
    local input = { tokens = tokens, source = "MY_ACCOUNT", external_listing_id = "L-" .. tokens[1],
      external_order_id = "F-" .. tokens[1], price = 50, buyer = order.buyer, settlement = order.settlement }
    for name, value in pairs(more or {}) do
      input[name] = value
    end
    return input
  end

  -- The whole body of the order that was sent.
  local function order_sent()
    for _, request in ipairs(sent) do
      if request.path:find("complete%-order$") then
        return request.body
      end
    end
    return ""
  end

  local function expect_refused(result, err, path)
    assert.is_nil(result)
    assert.is_true(errors.is(err))
    assert.equal("validation", err.kind, tostring(err))
    assert.equal("not_sent", err.outcome)
    assert.equal(path, err.fields[1].path)
    assert.equal("precision", err.fields[1].rule)
    assert.is_nil(err.run)
    assert.same({}, sent)
    assert.equal("", desk:dump("paciolan/run/") .. desk:dump("paciolan/open/") .. desk:dump("paciolan/carrier/"))
  end

  for _, amount in ipairs { 123456789012345, 1234567890123.45, 12345678901.2345, -123456789012345.5 } do
    it(("of %.6f are refused, before there is a run"):format(amount), function()
      local input = desk:input(1)
      sent = {}
      input.settlement.totalAmountPaid = amount
      local result, err = flows:buy(input)
      expect_refused(result, err, "/settlement/totalAmountPaid")
      result, err = flows:fulfil(trade(amount))
      expect_refused(result, err, "/settlement/totalAmountPaid")
      if amount > 0 and amount < 1e12 then
        result, err = flows:fulfil(trade(50, { total_fees = amount }))
        expect_refused(result, err, "/total_fees")
        result, err = flows:sell { tokens = desk.place:tokens(1), source = "MY_ACCOUNT", external_listing_id = "L-1",
          price = amount }
        expect_refused(result, err, "/price")
      end
    end)
  end

  it("are named by their place in a list", function()
    local input = desk:input(2)
    sent = {}
    input.listing.tokens[2].individualPrice = 123456789012345
    local result, err = flows:buy(input)
    expect_refused(result, err, "/listing/tokens/1/individualPrice")
  end)

  for _, case in ipairs { { 19.99, "19.99" }, { 0.1 + 0.2, "0.3" }, { 33.3 * 3, "99.9" }, { 1.1 * 3, "3.3" },
    { 99999999999.99, "99999999999.99" }, { 1e13 + 1, "10000000000001" }, { 0, "0" } } do
    it("of " .. case[2] .. " are sent as they are", function()
      local input, tokens = desk:input(1)
      input.settlement.totalAmountPaid = case[1]
      assert.same(tokens, assert(flows:buy(input)).tokens)
      assert.matches('"totalAmountPaid":' .. case[2] .. "[,}]", (order_sent():gsub("%.0([,}])", "%1")))
    end)
  end

  -- The same in value and in the types of its numbers.
  local function expect_same(first, second, path)
    assert.equal(math_type(first), math_type(second), path)
    if type(first) == "table" then
      for key, value in pairs(first) do
        expect_same(value, second[key], path .. "." .. tostring(key))
      end
    end
    assert.same(first, second)
  end

  it("have the same types in what the first call returns and in what a repeated one does", function()
    local input = desk:input(2)
    desk:answer("complete%-order$", function(_, send)
      local answer = assert(send())
      answer.body = answer.body:gsub("}%s*$", ',"year":2026,"whole":7.0,"part":7.5,"none":[],"nothing":null}')
      return answer
    end)
    local sold = assert(flows:buy(input))
    expect_same(sold, assert(flows:buy(input)), "buy")
    expect_same(sold, assert(desk:flows():buy(json.decode(json.encode(input)))), "buy")
    assert.equal(7, sold.order.whole)
    assert.equal("7", ("%s"):format(sold.order.whole))
    assert.equal("2026", ("%s"):format(sold.order.year))
    local listing = { tokens = desk.place:tokens(2), source = "MY_ACCOUNT", external_listing_id = "L-1", price = 59.5 }
    local listed = assert(flows:sell(listing))
    expect_same(listed, assert(flows:sell(listing)), "sell")
    assert.equal("119", ("%s"):format(listed.total_price))
  end)
end)
