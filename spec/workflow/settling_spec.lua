--- What a purchase makes of odd answers: of callbacks of earlier tries, of process ids that are none, of parts that do
-- not name a seat. Nothing but what is certain counts as sold or as not sold.

local core = require("paciolan.core")
local json = require("paciolan.json")
local market = require("support.market")
local purchases = require("support.purchases")

local failed = purchases.failed

local HUGE = 1e308 * 10

describe("the evidence of a purchase", function()
  local desk, flows, random

  setup(function()
    desk = purchases.open()
    random = core.random
  end)

  teardown(function()
    desk:close()
  end)

  before_each(function()
    desk:renew_store()
    flows = desk:flows { poll = { first_ms = 10, max_ms = 10, deadline_ms = 30 } }
  end)

  after_each(function()
    core.random = random
    desk:calm()
    desk:options({ pending_polls = 0, pending_s = 60 })
  end)

  local function expect_state(id, state)
    local known = assert(flows:find(id))
    assert.equal(state, known.state, known.told)
    return known
  end

  -- Changes the text of each answer to an order.
  local function rewrite_orders(change)
    desk:answer("complete%-order$", function(_, send)
      local answer, failure = send()
      if answer then
        answer.body = change(answer.body)
      end
      return answer, failure
    end)
  end

  local function sold_of(tokens)
    local world, sold = desk.place:world(), {}
    for _, token in ipairs(tokens) do
      sold[#sold + 1] = world[token].state == "sold" and token or nil
    end
    return sold
  end

  local function lost(input, id, fault)
    desk:fault(fault)
    failed(nil, select(2, flows:buy(input)), "network", "unknown")
    return expect_state(id, "in_doubt")
  end

  describe("is not the callback with ERROR of an earlier try", function()
    -- The sandbox unlocks what an order that ended with ERROR was to sell.
    local function refused()
      local input, tokens, id = desk:input(1)
      local process_id
      desk:fault("error")
      rewrite_orders(function(body)
        process_id = json.decode(body).processId
        return body
      end)
      failed(nil, select(2, flows:buy(input)), "http", "rejected")
      desk:calm()
      desk:pass(1)
      assert(flows:on_callback(purchases.callback(process_id, "ERROR", tokens)))
      desk:pass(10)
      desk.place.link.tickets:lock(market.lock_payload(tokens, "L-" .. id))
      return input, tokens, id
    end

    -- The answer is lost, and the order is done later.
    local function expect_open_until_sold(input, tokens, id)
      desk:options({ pending_polls = 100, pending_s = 1000 })
      lost(input, id, "reset=after")
      desk:pass(100)
      flows:resume()
      expect_state(id, "in_doubt")
      desk:pass(950)
      flows:resume()
      expect_state(id, "done")
      assert.equal("sold", desk:state(tokens))
    end

    it("under the same id", function()
      local input, tokens, id = refused()
      input.again = true
      expect_open_until_sold(input, tokens, id)
    end)

    it("under another id", function()
      local input, tokens, id = refused()
      id = id .. "-other"
      input.listing.externalOrderId = id
      expect_open_until_sold(input, tokens, id)
    end)
  end)

  it("takes a process id that is a number for a text", function()
    desk:options({ pending_polls = 100, pending_s = 100 })
    local input, tokens, id = desk:input(1)
    local real
    function desk.meddle(path, send, request)
      request.url = real and request.url:gsub("/123456$", "/" .. real) or request.url
      local answer, failure = send()
      if path:find("complete%-order") and answer then
        real = real or json.decode(answer.body).processId
        answer.body = answer.body:gsub('"processId"%s*:%s*"[^"]+"', '"processId":123456')
      end
      return answer, failure
    end
    failed(nil, select(2, flows:buy(input)), "timeout", "unknown")
    local known = expect_state(id, "in_doubt")
    assert.equal("123456", known.process_id)
    desk:pass(950)
    desk:fault("status=404", "orders.status", 5)
    assert(flows:on_callback(purchases.callback("123456", "COMPLETE", tokens)))
    flows:resume()
    assert.equal("123456", expect_state(id, "done").process_id)
    assert.equal("sold", desk:state(tokens))
  end)

  for name, process in pairs { null = '"processId":null,', missing = "", empty = '"processId":"",',
    ["an object"] = '"processId":{},' } do
    local function without_process(body)
      return (body:gsub('"processId"%s*:%s*"[^"]+"%s*,?', process):gsub(",%s*}", "}"))
    end

    it("does without a process id that is " .. name .. ", while it is PENDING", function()
      desk:options({ pending_polls = 100, pending_s = 100 })
      local input, tokens, id = desk:input(1)
      rewrite_orders(without_process)
      failed(nil, select(2, flows:buy(input)), "protocol", "unknown")
      desk:calm()
      assert.is_nil(expect_state(id, "in_doubt").process_id)
      desk:pass(101)
      flows:resume()
      expect_state(id, "done")
      assert.equal("sold", desk:state(tokens))
    end)

    it("does without a process id that is " .. name .. ", when it is COMPLETE", function()
      local input, tokens, id = desk:input(1)
      rewrite_orders(without_process)
      local sold = assert(flows:buy(input))
      assert.same(tokens, sold.tokens)
      assert.is_nil(sold.process_id)
      expect_state(id, "done")
    end)
  end

  describe("of a part", function()
    -- An order of two seats of which one is sold, with another `failure` and maybe without its offers.
    local function part(failure, has_offers)
      local input, tokens, id = desk:input(2)
      desk:fault("partial")
      desk:fault("status=404", "orders.status", has_offers and 1 or 10)
      rewrite_orders(function(body)
        local answer = json.decode(body)
        local token = answer.failure[1].token
        answer.failure = json.decode((failure:gsub("TOKEN", token)))
        answer.offers = has_offers and answer.offers or nil
        return json.encode(answer)
      end)
      local sold, err = flows:buy(input)
      assert.is_nil(sold)
      desk.meddle = nil
      return err, tokens, id
    end

    for _, failure in ipairs { '[{"token":"TOKEN"}]', '["TOKEN"]', '{"token":"TOKEN"}' } do
      it("is what " .. failure .. " does not name", function()
        for _, has_offers in ipairs { true, false } do
          local err, tokens = part(failure, has_offers)
          failed(nil, err, "partial", nil)
          assert.equal(1, #err.body.tokens)
          assert.same(sold_of(tokens), err.body.tokens)
        end
      end)
    end

    for _, failure in ipairs { '[{"tokens":["TOKEN"]}]', '[{"seats":[{"token":"TOKEN"}]}]',
      '[{"reason":"TAKEN"}]' } do
      it("is what the offers name, where " .. failure .. " names none", function()
        local err, tokens = part(failure, true)
        failed(nil, err, "partial", nil)
        assert.equal(1, #err.body.tokens)
        assert.same(sold_of(tokens), err.body.tokens)
      end)

      it("is told by the owners, where " .. failure .. " names none and there are no offers", function()
        local err, tokens, id = part(failure, false)
        failed(nil, err, "partial", "unknown")
        expect_state(id, "in_doubt")
        desk:pass(905)
        flows:resume()
        local known = expect_state(id, "done")
        assert.equal(1, #known.result.tokens)
        assert.same(sold_of(tokens), known.result.tokens)
        assert.truthy(purchases.evidence(known, "some_owners_changed"))
      end)
    end

    it("is nothing, where all its seats failed", function()
      local input, tokens, id = desk:input(2)
      desk:answer("complete%-order$", function()
        return purchases.answer(207, json.encode { status = "COMPLETE", processId = "P-none",
          failure = { { token = tokens[1] }, { token = tokens[2] } } })
      end)
      failed(nil, select(2, flows:buy(input)), "http", "rejected")
      expect_state(id, "failed")
    end)
  end)

  describe("by a poll", function()
    local function poll_with(status, body)
      desk:options({ pending_polls = 100, pending_s = 1000 })
      local input, tokens, id = desk:input(2)
      desk:answer("complete%-order/", function()
        return purchases.answer(status, (body:gsub("FIRST", tokens[1]):gsub("SECOND", tokens[2])))
      end)
      return id, select(2, flows:buy(input))
    end

    it("is no sale of other seats", function()
      local id, err = poll_with(200, '{"status":"COMPLETE","processId":"P",'
        .. '"offers":[{"event":{"seats":[{"token":"z"}]}}]}')
      failed(nil, err, "partial", "unknown")
      assert.truthy(purchases.evidence(expect_state(id, "in_doubt"), "part_untold"))
      desk:calm()
      desk:pass(1000)
      flows:resume()
      expect_state(id, "done")
    end)

    it("is nothing that says ERROR and names what was sold", function()
      local id, err = poll_with(207, '{"status":"ERROR","processId":"P","failure":[{"token":"FIRST"}],'
        .. '"success":[{"token":"SECOND"}]}')
      failed(nil, err, "timeout", "unknown")
      local known = expect_state(id, "in_doubt")
      assert.truthy(purchases.evidence(known, "poll_failed"))
      assert.is_nil(purchases.evidence(known, "poll"))
    end)

    it("is nothing that has no state of the contract", function()
      for _, body in ipairs { '{"status":"DONE","processId":"P"}', '{"processId":"P"}', '[]', '"COMPLETE"' } do
        local id = poll_with(200, body)
        expect_state(id, "in_doubt")
        desk:calm()
      end
    end)
  end)

  for first, drawn in pairs { ["the one"] = 0, ["the other"] = 0.5 } do
    it("of one does not hide the sale of another, which it was taken for; resume begins with " .. first, function()
      desk:options({ pending_polls = 100, pending_s = 1000 })
      local input, tokens, id = desk:input(1)
      local seat = desk.place:world()[tokens[1]]
      lost(input, id, "reset=after")
      desk:pass(905)
      flows:resume()
      expect_state(id, "failed")
      local guessed = id .. "-guessed"
      lost(market.order_payload(tokens, "L-" .. id, guessed), guessed, "reset=before")
      desk:pass(100)
      assert.equal("sold", desk:state(tokens))
      flows:resume()
      local known = expect_state(guessed, "in_doubt")
      assert.truthy(purchases.evidence(known, "owners_changed"))
      assert.truthy(purchases.evidence(known, "print_refused"))
      assert(flows:settle(guessed, { as = "failed", because = "the provider has no such order" }))
      expect_state(guessed, "failed")
      core.random = function() return drawn end
      assert(flows:on_seat({ accessId = seat.accessId, section = seat.section, row = seat.row, seat = seat.seat,
        status = "UNLOCK" }))
      expect_state(id, "in_doubt")
      flows:resume()
      expect_state(id, "done")
      assert.equal(1, #desk:orders(id))
      desk:pass(905)
      flows:resume()
      expect_state(guessed, "failed")
      assert.same({}, flows:unfinished())
    end)
  end

  it("by a callback that sold nothing ends it once", function()
    local input, tokens, id = desk:input(1)
    lost(input, id, "reset=before")
    assert(flows:on_callback(purchases.callback("P-none", "COMPLETE", tokens, { failure = { { token = tokens[1] } } })))
    local writes, replace = 0, desk.store.replace
    function desk.store.replace(...)
      writes = writes + 1
      assert(writes < 200, "there is no end to it")
      return replace(...)
    end
    flows:resume()
    assert.is_true(writes < 20)
    expect_state(id, "failed")
    assert.same({}, flows:resume())
  end)

  for _, state in ipairs { "none", "IN_PROGRESS", "PENDING" } do
    it("is the callback that names an end, behind one that says " .. state, function()
      desk:options({ pending_polls = 100, pending_s = 1000 })
      local input, tokens, id = desk:input(1)
      failed(nil, select(2, flows:buy(input)), "timeout", "unknown")
      local process_id = flows:find(id).process_id
      assert(flows:on_callback(purchases.callback(process_id, state ~= "none" and state or nil, tokens)))
      flows:resume()
      assert.is_nil(purchases.evidence(expect_state(id, "in_doubt"), "callback"))
      desk:pass(1000)
      desk:fault("status=404", "orders.status", 5)
      assert(flows:on_callback(purchases.callback(process_id, "COMPLETE", tokens)))
      assert(flows:on_callback(purchases.callback(process_id, "ERROR", tokens)))
      flows:resume()
      assert.equal("COMPLETE", purchases.evidence(expect_state(id, "done"), "callback").state)
    end)
  end

  describe("can be kept", function()
    local DEEP = ("["):rep(62) .. ("]"):rep(62)

    local function expect_readable(id, tokens)
      local known = expect_state(id, "done")
      assert.same(tokens, known.result.tokens)
      assert.equal("COMPLETE", known.result.order.status)
      assert.same({}, flows:unfinished())
    end

    for _, odd in ipairs { '"x":' .. DEEP, '"x":1e999', '"x":-1e999', '"x":[1,1e999,"b"]' } do
      it("when an answer holds " .. odd:sub(1, 16), function()
        local function with_odd(body)
          return (body:gsub("}%s*$", "," .. odd .. "}"))
        end
        local input, tokens, id = desk:input(1)
        rewrite_orders(with_odd)
        assert.same(tokens, assert(flows:buy(input)).tokens)
        expect_readable(id, tokens)
        desk:calm()
        desk:options({ pending_polls = 1 })
        input, tokens, id = desk:input(1)
        desk:answer("complete%-order/", function(_, send)
          local answer, failure = send()
          answer.body = with_odd(answer.body)
          return answer, failure
        end)
        assert.same(tokens, assert(flows:buy(input)).tokens)
        expect_readable(id, tokens)
      end)
    end

    it("when a callback holds what has no form in JSON, or is nested deep", function()
      local deep = {}
      for _ = 1, 60 do
        deep = { deep }
      end
      for _, odd in ipairs { HUGE, -HUGE, 0 / 0, deep } do
        desk:options({ pending_polls = 100, pending_s = 1000 })
        local input, tokens, id = desk:input(1)
        failed(nil, select(2, flows:buy(input)), "timeout", "unknown")
        desk:pass(1000)
        desk:fault("status=404", "orders.status", 5)
        assert(flows:on_callback(purchases.callback(flows:find(id).process_id, "COMPLETE", tokens, { paid = odd })))
        flows:resume()
        expect_readable(id, tokens)
        desk:calm()
      end
    end)
  end)
end)
