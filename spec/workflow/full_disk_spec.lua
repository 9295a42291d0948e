--- A disk that is full: what cannot be written down is not sent, and what was sent is not sent again later on.
-- The disk is a limit on the length of a file, whose signal is ignored: writing beyond it then fails.

local core = require("paciolan.core")
local files = require("support.files")
local folder = require("support.folder")
local json = require("paciolan.json")
local program = require("support.program")
local purchases = require("support.purchases")
local sqlite = require("paciolan.store.sqlite")

-- In blocks of 512 bytes, more than an empty store needs.
local BLOCKS = 800
-- A record of so many grows by pages with each step: one that stays in its place may go in where nothing else does.
local SEATS = 30
local LATER_S = 1000

describe("a purchase on a disk that is full", function()
  local desk, path, input, tokens, id

  before_each(function()
    desk = purchases.open()
    path = folder.make() .. "/journal.db"
    assert(sqlite.new({ path = path })):close()
    input, tokens, id = desk:input(SEATS)
    files.write(path .. ".input", json.encode(input))
  end)

  after_each(function()
    program.stop_all()
    desk:close()
    folder.remove_all()
  end)

  -- Buys in a process whose disk is full behind the answer from a path.
  local function buy_until_full(where)
    local client = desk.place.box:client_options({ auth = { code = desk.place.box:new_auth_code() } })
    local code, output, problems = program.run(("trap '' XFSZ; ulimit -f %d; exec env %s %s"):format(BLOCKS,
      program.environment({ FLOWS_CLIENT = json.encode(client) }),
      program.words({ program.lua, "spec/support/flows_worker.lua", path, "buy_until_full", path .. ".input", where })))
    assert.equal("", problems)
    assert.equal(0, code)
    assert.is_nil(output:find("raised", 1, true), output)
    local calls = {}
    for line in output:gmatch("bought ([^\n]+)") do
      calls[#calls + 1] = json.decode(line)
    end
    return calls, json.decode(output:match("\nsent ([^\n]+)"))
  end

  local function expect_failure(calls, outcome)
    for _, call in ipairs(calls) do
      assert.is_nil(call.result)
      assert.equal("store", call.err.kind)
      assert.equal(outcome, call.err.outcome)
      assert.matches("there is no room left for the store", call.err.message, 1, true)
      assert.is_nil(purchases.personal_in(json.encode(call)))
    end
  end

  -- There is room again, and another process carries on.
  local function with_room(check)
    desk.store = assert(sqlite.new({ path = path, now_ms = function() return core.now_ms() end }))
    desk.clock:advance(LATER_S * 1000)
    local flows = desk:flows()
    check(flows)
    assert.same({}, flows:unfinished())
    local sold = assert(flows:buy(input))
    assert.same(tokens, sold.tokens)
    assert.is_string(sold.tickets[SEATS].url)
    assert.equal("sold", desk:state(tokens))
    assert.equal(1, #desk:orders(id))
    assert.equal(1, desk:count())
    assert.is_nil(purchases.personal_in(desk:dump()))
    desk.store:close()
  end

  it("sends nothing at all when not even the lease can be written", function()
    local calls, sent = buy_until_full("")
    expect_failure(calls, "not_sent")
    assert.same({}, sent)
    with_room(function(flows)
      assert.same({}, flows:unfinished())
    end)
  end)

  it("does not send an order that cannot be written down", function()
    local calls, sent = buy_until_full("/v1/tickets/verify")
    assert.same({ "/v1/tickets/verify" }, sent)
    assert.equal(0, desk:count())
    expect_failure({ calls[1] }, "not_sent")
    assert.is_nil(calls[2].result)
    with_room(function(flows)
      assert.matches("the order was not sent", flows:unfinished()[1].told, 1, true)
      assert.equal("done", flows:resume()[1].state)
    end)
  end)

  it("settles an order whose answer could not be written down, and never sends it again", function()
    local calls, sent = buy_until_full("/v1/cart/complete-order")
    assert.equal("store", calls[1].err.kind)
    assert.equal("unknown", calls[1].err.outcome)
    assert.is_nil(calls[2].result)
    assert.equal("unknown", calls[2].err.outcome)
    assert.same({ "/v1/tickets/verify", "/v1/cart/complete-order" }, sent)
    with_room(function(flows)
      local told = flows:unfinished()[1].told
      assert.matches("The order was [being ]*sent at ", told)
      assert.equal("done", flows:resume()[1].state)
      assert.is_true(#flows:find(id).evidence > 0)
    end)
  end)

  it("prints once more where it could not be written down that it had", function()
    local calls = buy_until_full("/v1/tickets/print")
    assert.equal("store", calls[1].err.kind)
    assert.equal("unknown", calls[1].err.outcome)
    assert.equal(1, desk:count("tickets.print"))
    with_room(function(flows)
      assert.matches("Sold; the tickets are being printed.", flows:unfinished()[1].told, 1, true)
      assert.equal("done", flows:resume()[1].state)
    end)
  end)
end)
