--- Several processes on one journal: each run is carried by one of them, and that of a process that was killed by
-- another one, once its lease is over.

local core = require("paciolan.core")
local faulty_store = require("support.faulty_store")
local files = require("support.files")
local folder = require("support.folder")
local json = require("paciolan.json")
local program = require("support.program")
local purchases = require("support.purchases")
local socket = require("socket")
local sqlite = require("paciolan.store.sqlite")

local RUNS = 30
-- For a process to which leases are over, and owners count as evidence.
local LATER = 1000 * 1000

describe("the runs of several processes", function()
  local desk, flows, path

  before_each(function()
    desk = purchases.open()
    path = folder.make() .. "/journal.db"
    desk.store = assert(sqlite.new({ path = path, now_ms = function() return core.now_ms() end }))
    flows = desk:flows()
  end)

  after_each(function()
    program.stop_all()
    desk.store:close()
    desk:close()
    folder.remove_all()
  end)

  local function start(shift_ms, ...)
    local client = desk.place.box:client_options({ auth = { code = desk.place.box:new_auth_code() } })
    return program.start(("env %s %s"):format(
      program.environment({ FLOWS_CLIENT = json.encode(client), FLOWS_SHIFT_MS = ("%d"):format(shift_ms) }),
      program.words({ program.lua, "spec/support/flows_worker.lua", path, ... })))
  end

  -- What a process said under a word, as a list, once it has ended by itself.
  local function join(process, word)
    process:wait_for("end {}\n")
    local found = {}
    for line in process:output():gmatch("[^\n]+") do
      local text = line:match("^" .. word .. " (.*)$")
      found[#found + 1] = text and json.decode(text)
      assert.is_nil(line:match("^raised"), line)
    end
    local _, _, problems = process:stop("CONT")
    assert.equal("", problems)
    return found
  end

  local function wait_until(check)
    for _ = 1, 1200 do
      if check() then
        return
      end
      socket.sleep(0.01)
    end
    error("it never happened", 2)
  end

  -- Leaves a purchase behind, in one of the ways in which a process may.
  local LEAVE = {
    function(input) -- before its order was sent
      local broken = faulty_store.new(desk.store)
      broken.watch(function(method, key)
        return method == "replace" and key:find("^paciolan/run/") and "raise" or nil
      end)
      assert.is_false(pcall(function() desk:flows({ store = broken }):buy(input) end))
    end,
    function(input) -- in doubt
      desk:options({ pending_polls = 100 })
      desk:fault("reset=after")
      assert.equal("unknown", select(2, flows:buy(input)).outcome)
      desk:options({ pending_polls = 0 })
    end,
    function(input) -- sold, and not printed
      desk:fault("status=503", "tickets.print", 50)
      assert.equal("partial", select(2, flows:buy(input)).kind)
      desk:calm()
    end,
  }

  it("are each carried by one, also when two resume them at once", function()
    local ids, is_of = {}, {}
    for i = 1, RUNS do
      local input, _, id = desk:input(1)
      LEAVE[i % #LEAVE + 1](input)
      ids[i], is_of[id] = id, {}
    end
    desk:advance_service(60)
    assert.equal(RUNS, #assert(flows:unfinished()))
    local go = path .. ".go"
    local processes = { start(LATER, "resume", go), start(LATER, "resume", go) }
    for _, process in ipairs(processes) do
      process:wait_for("ready")
    end
    files.write(go, "")
    for number, process in ipairs(processes) do
      for _, one in ipairs(join(process, "resumed")) do
        if not one.held then
          assert.equal("done", one.state, one.told)
          table.insert(is_of[one.id], number)
        end
      end
    end
    local orders, prints = {}, {}
    for _, order in ipairs(desk.place:ledger().orders) do
      orders[order.externalOrderId] = (orders[order.externalOrderId] or 0) + 1
    end
    for _, entry in ipairs(desk.place:ledger().prints) do
      prints[entry.externalOrderId] = (prints[entry.externalOrderId] or 0) + 1
    end
    for _, id in ipairs(ids) do
      assert.equal(1, #is_of[id], id)
      assert.equal(1, orders[id], id)
      assert.equal(1, prints[id], id)
      assert.equal("done", flows:find(id).state)
    end
    assert.same({}, flows:unfinished())
    assert.equal("", desk:dump("paciolan/carrier/") .. desk:dump("paciolan/open/"))
  end)

  -- Where a process is killed: the operation that is under way, what else the service is to do, and what the journal
  -- tells of it then.
  local KILLS = {
    { operation = "tickets.verify", told = "The owners of the seats are being read; the order was not sent." },
    { operation = "orders.complete", told = "The order was being sent at TIME, and its answer is not written down." },
    { operation = "orders.status", order = "pending=1",
      told = "The order is being worked on by the service as process PROCESS." },
    { operation = "tickets.print", told = "Sold; the tickets are being printed." },
  }

  for _, kill in ipairs(KILLS) do
    it("are taken over from one that was killed during " .. kill.operation, function()
      local input, tokens, id = desk:input(2)
      files.write(path .. ".input", json.encode(input))
      if kill.order then
        desk:fault(kill.order)
      end
      desk:fault("delay=60000", kill.operation)
      local process = start(0, "buy", path .. ".input")
      wait_until(function() return desk:count(kill.operation) == 1 end)
      process:stop("KILL")

      local left = assert(flows:unfinished())
      assert.equal(1, #left)
      assert.equal(id, left[1].id)
      assert.equal("buy", left[1].kind)
      assert.equal("running", left[1].state)
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", left[1].since)
      local told = left[1].told:gsub("%d+%-%d+%-%d+T[%d:]+Z", "TIME"):gsub("process %x+%.", "process PROCESS.")
      assert.equal(("Order %s, 2 seats of listing L-%s: %s"):format(id, id, kill.told), told)

      -- Nobody takes it over as long as its lease lasts.
      local held = assert(flows:resume())[1]
      assert.is_true(held.held)
      assert.equal(left[1].told, held.told)
      local _, err = flows:buy(input)
      assert.equal("canceled", err.kind)
      assert.equal("unknown", err.outcome)
      assert.is_true(err.retryable)
      assert.equal(left[1].told, err.run.told)

      local resumed = join(start(LATER, "resume"), "resumed")
      assert.equal(1, #resumed)
      assert.equal("done", resumed[1].state, resumed[1].told)
      assert.equal(1, #desk:orders(id))
      assert.equal("sold", desk:state(tokens))
      local sold = assert(flows:buy(input))
      assert.same(tokens, sold.tokens)
      assert.is_string(sold.tickets[2].url)
      assert.equal(1, #desk:orders(id))
    end)
  end

  it("leave a process without work whose lease was taken while it stood still", function()
    local input, _, id = desk:input(1)
    files.write(path .. ".input", json.encode(input))
    desk:fault("delay=500", "tickets.verify")
    local process = start(0, "buy", path .. ".input")
    wait_until(function() return desk:count("tickets.verify") == 1 end)
    os.execute(("kill -STOP %d"):format(process.pid))
    assert.equal("running", flows:find(id).state)
    local resumed = join(start(LATER, "resume"), "resumed")
    assert.equal("done", resumed[1].state, resumed[1].told)
    os.execute(("kill -CONT %d"):format(process.pid))
    local bought = join(process, "bought")[1]
    assert.equal("canceled", bought.err.kind)
    assert.equal("unknown", bought.err.outcome)
    assert.equal(1, #desk:orders(id))
    assert.equal("done", flows:find(id).state)
  end)
end)
