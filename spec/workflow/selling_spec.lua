--- Listings against the sandbox: what is listed, at what price, all of it or none, and taken down again.

local delisting = require("paciolan.workflow.delisting")
local errors = require("paciolan.errors")
local faulty_store = require("support.faulty_store")
local folder = require("support.folder")
local json = require("paciolan.json")
local market = require("support.market")
local memory = require("paciolan.store.memory")
local seller = require("support.seller")
local sqlite = require("paciolan.store.sqlite")

local times = seller.times

for _, kind in ipairs { "memory", "sqlite" } do
  describe("flows:sell and flows:delist, with a journal in " .. kind, function()
    local own, flows, number, id

    setup(function()
      own, number = seller.open(), 0
    end)

    teardown(function()
      own:close()
      folder.remove_all()
    end)

    before_each(function()
      number = number + 1
      id = ("L-%d"):format(number)
      own.store = kind == "memory" and memory.new() or assert(sqlite.new(folder.make() .. "/journal.db"))
      own.transport.meddle = nil
      flows = own:flows()
    end)

    after_each(function()
      own.store:close()
      own.place.box:control("DELETE", "/_sandbox/faults")
    end)

    it("lists the seats of a MyAccount listing", function()
      local sent
      own.transport.meddle = function(request, send)
        sent = request.url:find("/lock$") and json.decode(request.body) or sent
        return send()
      end
      local result = assert(flows:sell { listing_id = "A3qnemZ", external_listing_id = id, price = 49.95 })
      assert.equal(id, result.id)
      assert.equal("A3qnemZ", result.listing_id)
      assert.equal(2, #result.tokens)
      assert.equal(1, #result.seller_ids)
      assert.equal(99.9, result.total_price)
      assert.equal("129:FB30:FB01", result.seats[1].access_id)
      assert.equal(result.seller_ids[1], result.seats[1].owner_id)
      assert.same({ "ES:9", "1", "1" }, { result.seats[1].section, result.seats[1].row, result.seats[1].seat })
      assert.same(times(id, 2), own:holders(result.tokens))
      assert.same({ "MY_ACCOUNT", id, 99.9, 49.95 }, { sent.source, sent.listing.externalListingId,
        sent.listing.totalPrice, sent.listing.tokens[2].individualPrice })
      assert(flows:delist { external_listing_id = id })
    end)

    it("lists what an individual or a broker has, by barcodes, by tokens, and of several events", function()
      local seats, tokens = own:seats(4)
      local result = assert(flows:sell(own:broker(id, { seats[1], seats[2] }, { source = "INDIVIDUAL" })))
      assert.same({ tokens[1], tokens[2] }, result.tokens)
      assert.equal(100, result.total_price)
      assert.equal(seats[1].ownerId, result.seats[1].owner_id)
      local other = own.place:tokens(1, "129:FB30:FB02")
      result = assert(flows:sell { external_listing_id = id .. "-b", source = "BROKER", seller = market.seller(),
        total_price = 75.5, verify = {
          { access_id = seller.EVENT, barcodes = { seats[3].barcode, seats[4].barcode } }, { tokens = other },
        } })
      table.sort(result.tokens)
      local wanted = { tokens[3], tokens[4], other[1] }
      table.sort(wanted)
      assert.same(wanted, result.tokens)
      assert.equal(75.5, result.total_price)
      assert.is_nil(result.price)
      assert.same(times(id .. "-b", 3), own:holders(wanted))
    end)

    it("returns again what came of a listing, and sends nothing for that", function()
      local _, tokens = own:seats(2)
      local first = assert(flows:sell(own:own(id, tokens)))
      local again
      assert.equal(0, own:count("tickets.lock", function()
        again = assert(own:flows():sell(own:own(id, tokens)))
      end))
      assert.same(json.decode(json.encode(first)), json.decode(json.encode(again)))
      local done, err = flows:sell(own:own(id, tokens, { price = 60 }))
      assert.is_nil(done)
      assert.equal("validation", err.kind)
      assert.equal("not_sent", err.outcome)
    end)

    it("locks more seats than a call takes in batches", function()
      local _, tokens = own:seats(120)
      local result
      assert.equal(2, own:count("tickets.lock", function()
        result = assert(flows:sell(own:own(id, tokens, { price = 0.1 })))
      end))
      assert.same(tokens, result.tokens)
      assert.equal(12, result.total_price)
      assert.same(times(id, 120), own:holders(tokens))
      assert.same({}, flows:unfinished())
      local down
      assert.equal(2, own:count("tickets.unlock", function()
        down = assert(flows:delist { external_listing_id = id })
      end))
      assert.equal(120, #down.tokens)
      assert.same(times(false, 120), own:holders(tokens))
    end)

    it("unlocks all again when a later batch is refused, but not what is locked by another listing", function()
      local _, tokens = own:seats(120)
      assert(own.link.tickets:lock(market.lock_payload({ tokens[110] }, "theirs")))
      local done, err = flows:sell(own:own(id, tokens))
      assert.is_nil(done)
      assert.equal("partial", err.kind)
      assert.equal("failed", err.run.state)
      local holders = own:holders(tokens)
      assert.equal("theirs", holders[110])
      holders[110] = false
      assert.same(times(false, 120), holders)
      assert.same({}, flows:unfinished())
      assert.matches("none of its seats is locked", flows:find(id).told)

      -- The same call tries again, for nothing is locked any more.
      assert(own.link.tickets:unlock { tokens = { tokens[110] } })
      assert.equal(120, #assert(flows:sell(own:own(id, tokens))).tokens)
      assert.equal(2, flows:find(id).attempt)
    end)

    it("keeps a part where that is enough", function()
      local _, tokens = own:seats(121)
      assert(own.link.tickets:lock(market.lock_payload({ tokens[1], tokens[121] }, "theirs")))
      local result = assert(flows:sell(own:own(id, tokens, { keep_partial = true, price = 2 })))
      assert.equal(119, #result.tokens)
      assert.equal(119, #result.seats)
      assert.equal(238, result.total_price)
      assert.same({ { token = tokens[1], type = "INVALID_TOKEN", app_error_code = "MS-422" },
        { token = tokens[121], type = "INVALID_TOKEN", app_error_code = "MS-422" } }, result.failed)
      assert.equal("theirs", own:holders(tokens)[1])
      assert.matches("On sale with 119 seats, and 2 seats could not be locked", flows:find(id).told)
    end)

    it("goes on behind a batch of which every seat is refused, where a part is enough", function()
      local _, tokens = own:seats(102)
      local taken = {}
      for i = 1, 100 do
        taken[i] = tokens[i]
      end
      assert(own.link.tickets:lock(market.lock_payload(taken, "theirs")))
      local result = assert(flows:sell(own:own(id, tokens, { keep_partial = true })))
      assert.same({ tokens[101], tokens[102] }, result.tokens)
      assert.equal(100, #result.failed)
      assert(own.link.tickets:unlock { tokens = taken })
    end)

    it("fails where a part is enough and there is none", function()
      local _, tokens = own:seats(2)
      assert(own.link.tickets:lock(market.lock_payload(tokens, "theirs")))
      local done, err = flows:sell(own:own(id, tokens, { keep_partial = true }))
      assert.is_nil(done)
      assert.same({ "http", "rejected", "failed" }, { err.kind, err.outcome, err.run.state })
      assert.same(times("theirs", 2), own:holders(tokens))
    end)

    it("ends an undo that fails by resume, and tells the error of the lock", function()
      local _, tokens = own:seats(2)
      assert(own.link.tickets:lock(market.lock_payload({ tokens[2] }, "theirs")))
      own:faults("/unlock", { "status=503", "status=503", "status=503" })
      local done, err = flows:sell(own:own(id, tokens))
      assert.is_nil(done)
      assert.equal("partial", err.kind)
      assert.same({ "undoing", "undo" }, { err.run.state, err.run.step })
      assert.matches("none is to stay locked", err.run.told)
      own:faults("/unlock", {})
      assert.equal(id, own:holders(tokens)[1])

      local resumed = assert(own:flows():resume())
      assert.equal(1, #resumed)
      assert.equal("failed", resumed[1].state)
      assert.equal("partial", resumed[1].err.kind)
      assert.same({ false, "theirs" }, own:holders(tokens))
      assert.same({}, assert(flows:resume()))
    end)

    it("takes a listing down, once", function()
      local _, tokens = own:seats(2)
      assert(flows:sell(own:own(id, tokens)))
      local down = assert(flows:delist { external_listing_id = id })
      assert.same({ id = id, tokens = tokens }, down)
      assert.same({ false, false }, own:holders(tokens))
      assert.equal(0, own:count("tickets.unlock", function()
        assert.same(tokens, assert(own:flows():delist { external_listing_id = id, tokens = tokens }).tokens)
      end))
      assert.equal("delisted", flows:find(id).state)

      -- The same id, at another price.
      assert.equal(120, assert(flows:sell(own:own(id, tokens, { price = 60 }))).total_price)
      assert.same(times(id, 2), own:holders(tokens))
    end)

    it("takes a listing down that the journal does not know, by its tokens", function()
      local _, tokens = own:seats(3)
      assert(own.link.tickets:lock(market.lock_payload(tokens, id)))
      local done, err = flows:delist { external_listing_id = id }
      assert.is_nil(done)
      assert.same({ "validation", "not_sent", "/tokens" }, { err.kind, err.outcome, err.fields[1].path })
      assert.is_nil(flows:find(id))
      assert.same(tokens, assert(flows:delist { external_listing_id = id, tokens = tokens }).tokens)
      assert.same({ false, false, false }, own:holders(tokens))
    end)

    it("unlocks no seats on the account of a listing that does not hold them", function()
      local _, tokens = own:seats(2)
      assert(flows:sell(own:own(id, { tokens[1] })))
      local done, err = flows:delist { external_listing_id = id, tokens = { tokens[2] } }
      assert.is_nil(done)
      assert.same({ "validation", "known" }, { err.kind, err.fields[1].rule })
      assert.equal("done", flows:find(id).state)
      assert.equal(id, own:holders(tokens)[1])
    end)

    it("tells that seats were sold, and unlocks the others", function()
      local _, tokens = own:seats(3)
      assert(flows:sell(own:own(id, tokens)))
      assert(own.link.orders:complete(market.order_payload({ tokens[2] }, id, "O-" .. id)))
      local done, err = flows:delist { external_listing_id = id }
      assert.is_nil(done)
      assert.same({ "http", "rejected", 409, "done" }, { err.kind, err.outcome, err.status, err.run.state })
      local found = flows:find(id)
      assert.same({ tokens[2] }, found.result.tokens)
      assert.equal("sold", found.evidence[1].what)
      assert.matches("but 1 seat was sold", found.told)
      assert.same({ false, "sold", false }, own:holders(tokens))
      assert.same({}, flows:unfinished())
      done, err = flows:delist { external_listing_id = id }
      assert.is_nil(done)
      assert.equal(409, err.status)
    end)

    it("remembers a listing for delisting before its seats are locked, and forgets it when they are not", function()
      local _, tokens = own:seats(4)
      local memo = delisting.new { store = own.store, on_delist = function() return true end }
      flows = own:flows { delisting = memo }
      local known_at_lock
      own.transport.meddle = function(request, send)
        known_at_lock = known_at_lock or (request.url:find("/lock$") and #memo:listings())
        return send()
      end
      assert(flows:sell(own:own(id, { tokens[1], tokens[2] })))
      assert.equal(1, known_at_lock)
      local listed = memo:listings()
      assert.same({ id, "129", 2 }, { listed[1].external_listing_id, listed[1].organization_id, #listed[1].seats })
      assert(flows:delist { external_listing_id = id })
      assert.same({}, memo:listings())

      assert(own.link.tickets:lock(market.lock_payload({ tokens[3] }, "theirs")))
      assert.is_nil((flows:sell(own:own(id .. "-b", { tokens[3] }))))
      assert.same({}, memo:listings())
      assert.equal("failed", flows:find(id .. "-b").state)

      assert(flows:sell(own:own(id .. "-c", { tokens[3], tokens[4] }, { keep_partial = true })))
      assert.same({ tokens[4] }, { memo:listings()[1].seats[1].token, memo:listings()[1].seats[2] })
    end)
  end)
end

describe("flows:sell", function()
  local own, flows, number, id

  setup(function()
    own, number = seller.open(), 0
  end)

  teardown(function()
    own:close()
  end)

  before_each(function()
    number = number + 1
    id = ("S-%d"):format(number)
    own.transport.meddle = nil
    flows = own:flows()
  end)

  after_each(function()
    own.place.box:control("DELETE", "/_sandbox/faults")
  end)

  local function all_requests(action)
    local before = #own.place:ledger().requests
    action()
    return #own.place:ledger().requests - before
  end

  it("points at the caller's line when it is misused", function()
    local wrong = {
      { { price = 1 }, "external_listing_id is required" },
      { { external_listing_id = "a" }, "one of listing_id, barcodes, tokens and verify says which seats" },
      { { external_listing_id = "a", listing_id = "b", tokens = { "c" } }, "one of listing_id" },
      { { external_listing_id = "a", tokens = { "c" } }, "source is required" },
      { { external_listing_id = "a", tokens = { "c" }, barcodes = { "d" }, source = "BROKER" },
        "one of barcodes and tokens" },
      { { external_listing_id = "a", source = "BROKER", verify = { { access_id = "b" } } },
        "verify%[1%]: one of barcodes and tokens" },
      { { external_listing_id = "a", source = "BROKER", verify = { { token = "b" } } }, "unknown option verify%[1%]" },
      { { external_listing_id = "a", source = "BROKER", verify = {} }, "a list of tables" },
      { { external_listing_id = "a", listing_id = "b", access_id = "c" }, "access_id goes with" },
      { { external_listing_id = "a", listing_id = "b", source = "SHOP" }, "MY_ACCOUNT, INDIVIDUAL or BROKER" },
      { { external_listing_id = "a", listing_id = "b", price = 1, total_price = 2 }, "do not go together" },
      { { external_listing_id = "a", listing_id = "b", price = -1 }, "a number, at least 0" },
      { { external_listing_id = "a", listing_id = "b", prize = 1 }, "unknown option prize" },
      { { external_listing_id = "a", tokens = {}, source = "BROKER" }, "a list of strings" },
      { { external_listing_id = "a", tokens = { "x", 7 }, source = "BROKER" }, "a list of strings" },
      { { external_listing_id = "a", listing_id = "b", keep_partial = 1 }, "a boolean" },
    }
    for _, case in ipairs(wrong) do
      local ok, message = pcall(function()
        local done = flows:sell(case[1])
        return done
      end)
      assert.is_false(ok)
      assert.matches("selling_spec.lua:%d+: workflows.sell: .*" .. case[2], message)
    end
    local ok, message = pcall(function()
      local done = flows:delist { external_listing_id = "a", token = "b" }
      return done
    end)
    assert.is_false(ok)
    assert.matches("selling_spec.lua:%d+: workflows.delist: unknown option token", message)
  end)

  it("refuses what breaks the contract before anything is sent or written", function()
    local seats, tokens = own:seats(2)
    local cases = {
      { own:broker(id, seats, { seller = { firstName = "J" } }), "/seller/lastName" },
      { { external_listing_id = id, source = "INDIVIDUAL", tokens = tokens }, "/seller" },
      { own:own(id, { tokens[1], tokens[1] }), "/tokens/1" },
      { own:broker(id, { seats[1], seats[2], seats[1] }), "/barcodes/2" },
      { { external_listing_id = id, source = "MY_ACCOUNT", barcodes = { "1" } }, "/access_id" },
      { { external_listing_id = id, source = "MY_ACCOUNT", verify = { { tokens = tokens }, { barcodes = { "1" } } } },
        "/verify/1/access_id" },
    }
    assert.equal(0, all_requests(function()
      for _, case in ipairs(cases) do
        local done, err = flows:sell(case[1])
        assert.is_nil(done)
        assert.same({ "validation", "not_sent" }, { err.kind, err.outcome })
        local paths = {}
        for _, problem in ipairs(err.fields) do
          paths[problem.path] = true
        end
        assert.is_true(paths[case[2]] or tostring(err))
      end
    end))
    assert.is_nil(flows:find(id))
  end)

  it("locks nothing when a seat is not found, or is found twice", function()
    local seats, tokens = own:seats(2)
    local cases = {
      own:broker(id .. "-1", { seats[1], { barcode = "0000000000000" } }),
      own:own(id .. "-2", { tokens[1], "no-such-token" }),
      { external_listing_id = id .. "-3", source = "MY_ACCOUNT",
        verify = { { tokens = { tokens[1] } }, { access_id = seller.EVENT, barcodes = { seats[1].barcode } } } },
      { external_listing_id = id .. "-4", listing_id = "nowhere" },
    }
    assert.equal(0, own:count("tickets.lock", function()
      for _, case in ipairs(cases) do
        local done, err = flows:sell(case)
        assert.is_nil(done)
        assert.equal("not_sent", err.outcome)
        assert.same({ "failed", case.external_listing_id }, { err.run.state, err.run.id })
      end
    end))
  end)

  it("locks nothing when an answer is not what was asked for", function()
    local _, tokens = own:seats(3)
    local function seat(token) return { token = token, section = "ES:9", row = "1", seat = "1" } end
    local answers = {
      { { listingId = "A3qnemZ", tickets = {} } },
      { { listingId = "A3qnemZ", tickets = { { accessId = "e", seats = { seat(nil) } } } } },
      { { listingId = "A3qnemZ", tickets = { { accessId = "e", seats = { seat("a"), seat("a") } } } } },
      { tokens = { { accessId = "e", success = { seats = { seat(tokens[1]), seat(tokens[3]) } } } } },
      { tokens = { { accessId = "e", success = { seats = { seat(tokens[1]), seat(tokens[2]), seat(tokens[3]) } } } } },
    }
    for i, answer in ipairs(answers) do
      own.transport.meddle = function(request, send)
        assert.is_nil(request.url:find("/lock$"))
        if request.url:find("/verify$") or request.url:find("/listings/") then
          return { status = 200, headers = {}, body = json.encode(answer), elapsed_ms = 1 }
        end
        return send()
      end
      local name = ("%s-%d"):format(id, i)
      local input = i < 4 and { external_listing_id = name, listing_id = "A3qnemZ" }
        or own:own(name, { tokens[1], tokens[2] })
      local done, err = flows:sell(input)
      assert.is_nil(done)
      assert.same({ "validation", "not_sent", "failed" }, { err.kind, err.outcome, err.run.state })
    end
  end)

  it("keeps what is personal out of the journal when it is over, and out of words at any time", function()
    local seats = own:seats(1)
    assert(flows:sell(own:broker(id, seats)))
    assert.is_nil(flows:find(id).told:find("Smith", 1, true))
    assert(flows:delist { external_listing_id = id })
    local kept = assert(own.store:list("paciolan/run/"))
    assert.is_true(#kept > 0)
    for _, pair in ipairs(kept) do
      assert.is_nil(pair[2]:lower():find("smith", 1, true))
      assert.is_nil(pair[2]:find("9498234548", 1, true))
    end
    assert.is_nil(flows:find(id).told:find(seats[1].token, 1, true))
  end)

  it("does not lock what it could not remember for delisting", function()
    local _, tokens = own:seats(2)
    local store = faulty_store.new()
    local memo = delisting.new { store = store, on_delist = function() return true end }
    flows = own:flows { delisting = memo }
    store.watch(function() return "fail" end)
    assert.equal(0, own:count("tickets.lock", function()
      local done, err = flows:sell(own:own(id, tokens))
      assert.is_nil(done)
      assert.same({ "store", "not_sent", "undoing" }, { err.kind, err.outcome, err.run.state })
    end))
    store.watch(nil)
    assert.equal("failed", assert(flows:resume())[1].state)
    assert.same({ false, false }, own:holders(tokens))
  end)

  it("sends nothing that the journal could not take", function()
    local _, tokens = own:seats(2)
    local store = faulty_store.new()
    store.list = function(_, ...) return store.inner:list(...) end
    flows = own:flows { store = store }
    for at = 1, 12 do
      store.watch(function(method, _, number_of)
        return number_of == at and (method == "add" or method == "replace" or method == "put") and "fail" or nil
      end)
      local name = ("%s-%d"):format(id, at)
      local done, err
      local locks = own:count("tickets.lock", function()
        done, err = flows:sell(own:own(name, tokens))
      end)
      store.watch(nil)
      if done then
        assert.equal(1, locks)
      else
        assert.equal("store", err.kind)
        assert.is_true(errors.is(err))
        assert(flows:resume())
      end
      if flows:find(name) then
        assert.same(times(name, 2), own:holders(tokens))
        assert(flows:delist { external_listing_id = name })
      end
      assert.same({ false, false }, own:holders(tokens))
      assert.same({}, flows:unfinished())
    end
  end)

  it("does not go on with a listing that died before the lock when it is refused for good", function()
    own:faults("/A3qnemZ", { function() error("killed", 0) end })
    assert.has_error(function() flows:sell { external_listing_id = id, listing_id = "A3qnemZ" } end)
    assert.matches("looked up; nothing is locked", flows:unfinished()[1].told)
    own.transport.meddle = nil
    local tokens = own.place.box:control("GET", "/_sandbox/world").listings[1].tokens
    assert(own.link.tickets:lock(market.lock_payload(tokens, "theirs")))
    local resumed = assert(flows:resume())
    assert.same({ "failed", "http" }, { resumed[1].state, resumed[1].err.kind })
    assert.same(times("theirs", 2), own:holders(tokens))
    assert(own.link.tickets:unlock { tokens = tokens })
  end)

  describe("that was left for longer than resume_within_s", function()
    local now_ms

    before_each(function()
      now_ms = 1e12
      own.store = memory.new()
      flows = own:flows { now_ms = function() return now_ms end }
    end)

    -- The process dies at a request of the listing.
    local function leave(path, number_of, input, is_sent)
      own:faults(path, { [number_of] = function(send)
        if is_sent then
          send()
        end
        error("killed", 0)
      end })
      assert.has_error(function() flows:sell(input) end, "killed")
      own.transport.meddle = nil
    end

    local function assert_dropped()
      local resumed = assert(flows:resume())
      assert.equal(1, #resumed)
      assert.same({ "failed", "timeout", "not_sent" },
        { resumed[1].state, resumed[1].err.kind, resumed[1].err.outcome })
      assert.same({}, flows:unfinished())
    end

    it("is not put up by resume", function()
      local input = { external_listing_id = id, listing_id = "A3qnemZ" }
      leave("/A3qnemZ", 1, input)
      now_ms = now_ms + 3600 * 1000 + 1
      assert.equal(0, own:count("tickets.lock", assert_dropped))
      assert.equal(2, #assert(flows:sell(input)).tokens)
      assert(flows:delist { external_listing_id = id })
    end)

    it("is put up by resume until then, and by the same call at any time", function()
      local input = { external_listing_id = id, listing_id = "A3qnemZ" }
      leave("/A3qnemZ", 1, input)
      now_ms = now_ms + 3600 * 1000
      assert.equal("done", assert(flows:resume())[1].state)
      assert(flows:delist { external_listing_id = id })
      leave("/A3qnemZ", 1, input)
      now_ms = now_ms + 60 * 86400 * 1000
      assert.equal(2, #assert(flows:sell(input)).tokens)
      assert(flows:delist { external_listing_id = id })
    end)

    it("has its seats unlocked by resume, whether or not the last lock was done", function()
      for i, is_sent in ipairs { true, false } do
        local _, tokens = own:seats(102)
        id = ("%s-%d"):format(id, i)
        leave("/lock", 2, own:own(id, tokens), is_sent)
        assert.equal(id, own:holders(tokens)[1])
        now_ms = now_ms + 60 * 86400 * 1000
        assert_dropped()
        assert.same(times(false, 102), own:holders(tokens))
      end
    end)

    it("keeps its locks where they are in doubt, for a person", function()
      local _, tokens = own:seats(2)
      own:faults("/lock", { "reset=after", "reset=after" })
      assert.is_nil((flows:sell(own:own(id, tokens))))
      assert.equal("in_doubt", flows:find(id).state)
      own.transport.meddle = nil
      now_ms = now_ms + 60 * 86400 * 1000
      assert.equal("done", assert(flows:settle(id, { as = "done", because = "the box office says so" })).state)
      assert.same(times(id, 2), own:holders(tokens))
    end)
  end)

  it("tries a listing that died again as long as the service cannot be reached", function()
    local _, tokens = own:seats(2)
    own:faults("/lock", { function() error("killed", 0) end })
    assert.has_error(function() flows:sell(own:own(id, tokens)) end)
    own.transport.meddle = function() return nil, { kind = "network", phase = "connect", message = "down" } end
    local resumed = assert(flows:resume())
    assert.equal("in_doubt", resumed[1].state)
    own:faults("/lock", { "rate_limit=0", "rate_limit=0" })
    assert.equal("in_doubt", assert(flows:resume())[1].state)
    own.transport.meddle = nil
    assert.equal("done", assert(flows:resume())[1].state)
    assert.same(times(id, 2), own:holders(tokens))
  end)
end)
