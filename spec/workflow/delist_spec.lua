--- Listings that come down: what is called for while they do, whose locks are touched, and what the delisting still
-- knows when something breaks on the way.

local delisting = require("paciolan.workflow.delisting")
local faulty_store = require("support.faulty_store")
local json = require("paciolan.json")
local market = require("support.market")
local memory = require("paciolan.store.memory")
local seller = require("support.seller")

local times = seller.times

describe("a listing that comes down", function()
  local own, flows, number, id

  setup(function()
    own, number = seller.open(), 0
  end)

  teardown(function()
    own:close()
  end)

  before_each(function()
    number = number + 1
    id = ("D-%d"):format(number)
    own.store = memory.new()
    own.transport.meddle = nil
    flows = own:flows()
  end)

  after_each(function()
    own.store:close()
    own.place.box:control("DELETE", "/_sandbox/faults")
  end)

  local function take(tokens, name)
    assert(own.link.tickets:lock(market.lock_payload(tokens, name or "theirs")))
  end

  local function delist(more)
    local input = { external_listing_id = id }
    for name, value in pairs(more or {}) do
      input[name] = value
    end
    return flows:delist(input)
  end

  local function journal_text()
    local texts = {}
    for i, pair in ipairs(assert(own.store:list("paciolan/run/"))) do
      texts[i] = pair[2]:lower()
    end
    return table.concat(texts)
  end

  local function known(memo)
    local ids = {}
    for i, listing in ipairs(memo:listings()) do
      ids[i] = listing.external_listing_id
    end
    return ids
  end

  describe("and is listed again meanwhile", function()
    local function stop_in_the_middle(tokens)
      assert(flows:sell(own:own(id, tokens)))
      own:faults("/unlock", times("status=503", 9))
      assert.is_nil((delist()))
      assert.equal("delist", flows:find(id).step)
      own.transport.meddle = nil
    end

    it("is taken down first, and is up again then", function()
      local _, tokens = own:seats(2)
      stop_in_the_middle(tokens)
      local result = assert(flows:sell(own:own(id, tokens)))
      assert.same(tokens, result.tokens)
      assert.equal(100, result.total_price)
      assert.same({ "done", 2 }, { flows:find(id).state, flows:find(id).attempt })
      assert.same(times(id, 2), own:holders(tokens))
      assert.same({}, flows:unfinished())
    end)

    it("may be another listing by then, as after it has come down", function()
      local _, tokens = own:seats(3)
      stop_in_the_middle({ tokens[1], tokens[2] })
      assert.equal(60, assert(flows:sell(own:own(id, { tokens[3] }, { price = 60 }))).total_price)
      assert.same({ false, false, id }, own:holders(tokens))
    end)

    it("is not listed while it cannot be taken down", function()
      local _, tokens = own:seats(2)
      stop_in_the_middle(tokens)
      own:faults("/unlock", times("status=503", 9))
      local done, err = flows:sell(own:own(id, tokens))
      assert.is_nil(done)
      assert.same({ 503, "undoing", "delist" }, { err.status, err.run.state, err.run.step })
    end)

    it("is not listed when it was sold instead", function()
      local _, tokens = own:seats(2)
      stop_in_the_middle(tokens)
      take(tokens, id)
      assert(own.link.orders:complete(market.order_payload(tokens, id, "O-" .. id)))
      local done, err = flows:sell(own:own(id, tokens))
      assert.is_nil(done)
      assert.not_equal("delisted", err.run.state)
      assert.same(times("sold", 2), own:holders(tokens))
    end)
  end)

  it("is taken down whole: a part of its seats is refused", function()
    local _, tokens = own:seats(3)
    assert(flows:sell(own:own(id, tokens)))
    local done, err = delist { tokens = { tokens[1] } }
    assert.is_nil(done)
    assert.same({ "validation", "not_sent", "whole" }, { err.kind, err.outcome, err.fields[1].rule })
    assert.same({ "done", times(id, 3) }, { flows:find(id).state, own:holders(tokens) })
    assert.same(tokens, assert(delist { tokens = { tokens[3], tokens[2], tokens[1] } }).tokens)
  end)

  it("is whole with the seats that are up, where a part was enough", function()
    local _, tokens = own:seats(3)
    take({ tokens[1] })
    local result = assert(flows:sell(own:own(id, tokens, { keep_partial = true })))
    assert.equal(2, #result.tokens)
    assert.equal(2, #assert(delist { tokens = result.tokens }).tokens)
    assert.same({ "theirs", false, false }, own:holders(tokens))
  end)

  describe("after the service has unlocked a seat itself", function()
    -- Seat 1 is unlocked elsewhere, and another marketplace takes it.
    local function lose_first(tokens)
      own.place.box:trigger { what = "seats.unlock", token = tokens[1] }
      take({ tokens[1] })
    end

    for _, source in ipairs { "BROKER", "INDIVIDUAL" } do
      it("leaves the lock of another marketplace alone: " .. source, function()
        local seats, tokens = own:seats(3)
        assert(flows:sell(own:broker(id, seats, { source = source })))
        lose_first(tokens)
        local sent
        own.transport.meddle = function(request, send)
          sent = request.url:find("/lock$") and json.decode(request.body) or sent
          return send()
        end
        assert.same({ tokens[2], tokens[3] }, assert(delist { after_unlock = true }).tokens)
        assert.same({ "theirs", false, false }, own:holders(tokens))
        assert.same({ source, "Smith" }, { sent.source, sent.seller.lastName })
      end)
    end

    it("keeps the seller for that as long as the listing is up, and no longer", function()
      local seats = own:seats(2)
      assert(flows:sell(own:broker(id, seats)))
      local text = journal_text()
      assert.is_truthy(text:find("smith", 1, true))
      assert.is_nil(text:find("barcode", 1, true))
      assert.is_nil(json.encode(flows:find(id)):lower():find("smith", 1, true))
      assert(delist())
      assert.is_nil(journal_text():find("smith", 1, true))
    end)

    it("does not keep the seller of a listing that failed, or was sold", function()
      local seats, tokens = own:seats(3)
      take({ tokens[1] })
      assert.is_nil((flows:sell(own:broker(id .. "-a", seats))))
      assert.equal("failed", flows:find(id .. "-a").state)
      assert.is_nil(journal_text():find("smith", 1, true))
      seats, tokens = own:seats(1)
      assert(flows:sell(own:broker(id, seats)))
      assert(flows:buy(market.order_payload(tokens, id, "O-" .. id)))
      assert.is_nil(journal_text():find("smith", 1, true))
      seats, tokens = own:seats(2)
      assert(flows:sell(own:broker(id .. "-b", seats)))
      assert(own.link.orders:complete(market.order_payload(tokens, id .. "-b", "O-b" .. id)))
      assert.is_nil((flows:delist { external_listing_id = id .. "-b" }))
      assert.is_nil(journal_text():find("smith", 1, true))
    end)

    it("has nothing to unlock where it was sold, which unlocks its seats", function()
      local seats, tokens = own:seats(2)
      local function sent()
        return #own.place:requests("tickets.lock") + #own.place:requests("tickets.unlock")
      end
      assert(flows:sell(own:broker(id, seats)))
      assert(flows:buy(market.order_payload(tokens, id, "O-" .. id)))
      local before = sent()
      local done, err = delist { after_unlock = true }
      assert.is_nil(done)
      assert.same({ "http", "rejected", "sold" }, { err.kind, err.outcome, err.run.state })
      assert.equal(before, sent())
      assert.equal("sold", flows:find(id).state)
    end)

    it("is for a person where nobody knows how it was locked", function()
      for _, as in ipairs { "failed", "done" } do
        local name = id .. as
        local _, tokens = own:seats(2)
        take(tokens, name)
        lose_first(tokens)
        local input = { external_listing_id = name, tokens = tokens, after_unlock = true }
        assert.equal(0, own:count("tickets.unlock", function()
          for _ = 1, 2 do
            local done, err = flows:delist(input)
            assert.is_nil(done)
            assert.same({ "protocol", "unknown", "in_doubt", "delist" },
              { err.kind, err.outcome, err.run.state, err.run.step })
            assert.equal("in_doubt", assert(flows:resume())[1].state)
          end
        end))
        local found = flows:find(name)
        assert.equal("not_to_be_held", found.evidence[1].what)
        assert.matches("Nobody can tell whether 2 seats are still locked for it", found.told)
        assert.same({ "theirs", name }, own:holders(tokens))
        local settled = assert(flows:settle(name, { as = as, because = "the box office says so" }))
        assert.equal("delisted", settled.state)
        assert.same(as == "done" and { false, false } or { "theirs", name }, own:holders(tokens))
      end
    end)
  end)

  describe("with a delisting that knows it", function()
    local memo, calls

    before_each(function()
      calls = {}
      memo = delisting.new { store = own.store, on_delist = function(listing)
        calls[#calls + 1] = listing.external_listing_id
        return true
      end }
    end)

    it("stays known as long as the journal does not hold that it comes down", function()
      local store = faulty_store.new()
      flows = own:flows { store = store, delisting = memo }
      local _, tokens = own:seats(2)
      assert(flows:sell(own:own(id, tokens)))
      store.watch(function(method, key)
        return method == "replace" and key:find("paciolan/run/", 1, true) and "fail" or nil
      end)
      local done, err = delist()
      assert.is_nil(done)
      assert.equal("store", err.kind)
      store.watch(nil)
      assert.same({ id }, known(memo))
      assert.equal("done", flows:find(id).state)
      assert(delist())
      assert.same({}, known(memo))
    end)

    -- A process dies behind `remember`, before the lock is written down.
    local function die_before_lock(input)
      local store = faulty_store.new(own.store)
      store.list = function(_, ...) return own.store:list(...) end
      local replaced = 0
      store.watch(function(method, key)
        replaced = replaced + (method == "replace" and key:find("paciolan/run/", 1, true) and 1 or 0)
        return replaced > 0 and method == "replace" and "raise" or nil
      end)
      assert.has_error(function() own:flows({ store = store, delisting = memo }):sell(input) end)
      flows = own:flows { delisting = memo }
      assert.same({ id }, known(memo))
      assert.equal("seats", flows:find(id).step)
    end

    it("is forgotten when its seats are refused to the one who carries it on", function()
      local _, tokens = own:seats(2)
      die_before_lock(own:own(id, tokens))
      own:faults("/verify", times("status=404", 9))
      assert.equal("failed", assert(flows:resume())[1].state)
      assert.same({}, known(memo))
    end)

    it("is forgotten when it is taken down before it was up", function()
      local _, tokens = own:seats(2)
      die_before_lock(own:own(id, tokens))
      assert(delist())
      assert.equal("delisted", flows:find(id).state)
      assert.same({}, known(memo))
    end)
  end)
end)
