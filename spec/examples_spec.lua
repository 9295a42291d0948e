--- Every example runs as a user would run it, ends well and says what it should; and it does not say so when the
-- service does something else.

local program = require("support.program")
local socket = require("socket")

-- What the output holds, in this order, as patterns.
local EXPECTED = {
  ["broker_barcodes.lua"] = {
    "http://127%.0%.0%.1:%d+", "\nL%-1 is up: 2 seats, %$160%.00 in all\n",
    "\nO%-2 is sold: 2 tickets of listing L%-2\n", "\n  seats +done\n", "\n  lock +done\n", "\n  owners +done\n",
    "\n  order +done\n", "\n  print +done\n", "\nO%-3 is refused: HTTP 422; its run is failed\n",
    "its seats are unlocked again; unfinished runs: 0\n",
  },
  ["buy_and_print.lua"] = {
    "http://127%.0%.0%.1:%d+", "\nO%-1 is sold: 2 tickets, [^\n]*\n  evidence: poll\n",
    "\nO%-2 is sold: 4 tickets, [^\n]*\n  evidence: owners_changed\n", "\nO%-3 is in_doubt: network, unknown\n",
    "\n  Order O%-3, 3 seats of listing L%-3:\n",
    "its answer is missing:\n  nobody can say yet whether it was sold%.\n",
    "the owners of the seats were unchanged%.\n", "\nsettled at once: still in doubt",
    "\nsettled sixteen minutes later: not sold\n", "\nO%-3 is sold: 3 tickets", "in the ledger of the service: 3\n",
  },
  ["delist_on_unlock.lua"] = {
    "http://127%.0%.0%.1:%d+", "signed by Amazon\n", "\nL%-1 is up with 2 seats; [^\n]*:\n",
    "  row 1, seat 1 was unlocked: L%-1 comes down\n", "  its run is delisted\n",
    "\nO%-2 is in_doubt: the order is still being worked on\n", "\nan hour later it is sold",
    "  row 1, seat 1 was unlocked: L%-2 comes down\n", "\nthe callback came; resume says: done\n",
  },
  ["first_sale.lua"] = {
    "http://127%.0%.0%.1:%d+", "nothing leaves this machine",
    "\n 1  authorise [^\n]* UTC\n", "\n 2  events [^\n]*Football Game 1",
    "\n 3  listing  +ES:9 1/1, 1/2, %$60%.00 each: open in listing A3qnemZ; patron %d+ owns both\n",
    "\n 4  lock  +ES:9 1/1, 1/2, %$60%.00 each: open → locked for L%-1; %d+ still owns both\n",
    "\n 5  order  +ES:9 1/1, 1/2, %$120%.00 paid: PENDING → COMPLETE; owner %d+ → %d+, Tony\n",
    "\n 6  print  +ES:9 1/1, 1/2, %$60%.00 each: sold → printed; each ticket has its own URL\n",
    "\n 7  transfer  +ES:9 1/1, %$60%.00: PENDING → COMPLETE; offered to Juan until %S+ %S+ UTC\n",
    "\n 8  accept  +ES:9 1/1, %$60%.00: offered → accepted; owner %d+ → %d+, Juan\n",
    "\n 9  history  +ES:9 1/1, %$60%.00: initiate → accept, as transfer %S+\n",
    "\n10  cancel  +ES:9 1/2, %$60%.00: PENDING → COMPLETE → Cancelled; %d+, Tony, keeps it\n",
    "\n11  unlock  +ES:9 1/3, [^\n]*, %$60%.00 each: locked for L%-2 → open",
    "\n12  wrong payload  validation, not_sent", "/listing/totalprice [^\n]*did you mean totalPrice%?",
    "/seller is required",
    "\n13  locked seat  +ES:9 1/3, %$60%.00: locked for L%-3, so L%-4 is rejected: HTTP 422, INVALID_TOKEN\n",
    "\n14  expired token  HTTP 401 → token renewed → HTTP 200: 2 attempts",
    "Every step went as told%.\n", "docs/guide%.md", "bin/paciolan sandbox",
  },
  ["nightly_resume.lua"] = {
    "http://127%.0%.0%.1:%d+", "\na worker was killed", "in words:\n  Order O%-1, 2 seats of listing L%-1:\n",
    "  The order was being sent at %S+Z, and its answer is not written down%.\n", "\nthe job, at once:",
    "\n  fulfil O%-1, since %S+: somebody carries it\n    left for the next pass\n  exit code 2\n",
    "\nthe job, in the night:\n",
    "  fulfil O%-1, since %S+: done\n  exit code 0\n", "\nO%-1 has 2 tickets; [^\n]*service: 1\n",
    "\n  transfer T%-1, since %S+: in_doubt\n", "    look at it: Transfer T%-1:\n",
    "otherwise a person has to look%.\n  exit code 1\n", "then the job again:\n  exit code 0\n",
  },
  ["receive_messages.lua"] = {
    "http://127%.0%.0%.1:%d+", "signed by Amazon:\n  answered: confirmed\n",
    "L%-1 is up with 2 seats; [^\n]* locked:\n  answered: done\n", "comes twice:\n",
    "seat 1/1 was unlocked: L%-1 comes down\n", "  answered: duplicate\n", "forges a message:\n",
    "  answered: bad_signature\n", "listings taken down: 1, still up: 0\n",
  },
  ["sell_listing.lua"] = {
    "http://127%.0%.0%.1:%d+", "\n  ES:9 row 1, seat 1\n  ES:9 row 1, seat 2\n",
    "L%-1 is up: 2 seats, %$120%.00 in all\n", "\nasked for again: [^\n]*nothing was sent\n",
    "\nanother price under the same id: [^\n]*started with something else\n",
    "\nL%-1 is down; unfinished runs: 0\n",
  },
  ["shared_tokens.lua"] = {
    "http://127%.0%.0%.1:%d+", "logged in: paciolan%.token %(Bearer, until [^\n]*%)\n", "4 processes go on:\n",
    "process 1: 8 of 8 calls\n", "process 2: 8 of 8 calls\n", "process 3: 8 of 8 calls\n",
    "process 4: 8 of 8 calls\n", "token calls: 1 exchange, 1 refresh, 0 refused\n",
  },
  ["transfer_tickets.lua"] = {
    "http://127%.0%.0%.1:%d+", "\nO%-1 is sold: 2 tickets, of patron %d+\n",
    "\nT%-1: PENDING, offered, accepted; the ticket belongs to patron %d+\n", "\nT%-2: offered, and waits",
    "\nT%-2: cancelled; patron %d+ keeps the ticket\n", "\nT%-1 cannot be cancelled any more: [^\n]*400",
    "\ntransfers in the ledger of the service: 2\n",
  },
}

-- A service that breaks a promise: code that changes the sandbox before it starts, and where the story must end.
local BROKEN = {
  { "a field is missing", "after step 2: 1.row should be a string, it is missing", [[
    local catalog = require "paciolan.sandbox.api.catalog"
    local listing = catalog.listing
    catalog.listing = function(...)
      local status, body = listing(...)
      body[1].tickets[1].seats[1].row = nil
      return status, body
    end]] },
  { "PENDING is never said", "after step 4: status should be PENDING, it is COMPLETE", [[
    local processes = getmetatable(require("paciolan.sandbox.processes").new("x", os.time)).__index
    local start = processes.start
    processes.start = function(self, options)
      options.polls = 0
      return start(self, options)
    end]] },
  { "the buyer is somebody who was there before", "after step 4: patron %d+ should be a new one", [[
    local inventory = getmetatable(require("paciolan.sandbox.inventory").new("x")).__index
    inventory.resolve_patron = function(self) return self.patrons[8] end]] },
  { "two tickets share a URL", "after step 5: each ticket should have a URL of its own", [[
    local tickets = require "paciolan.sandbox.api.tickets"
    local print_seats = tickets.print_seats
    tickets.print_seats = function(...)
      local list = print_seats(...)
      list[2].url = list[1].url
      return list
    end]] },
  { "a locked seat is locked for somebody else", "after step 12: a seat that is locked for L%-3", [[
    local inventory = getmetatable(require("paciolan.sandbox.inventory").new("x")).__index
    inventory.lock_obstacle = function() end]] },
  { "the ledger holds an order twice", "after step 14: orders should hold 1, it holds 2", [[
    local ledger = getmetatable(require("paciolan.sandbox.ledger").new(os.time)).__index
    local add = ledger.add
    ledger.add = function(self, list, entry)
      self[list][#self[list] + 1] = list == "orders" and entry or nil
      return add(self, list, entry)
    end]] },
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
  for _, pattern in ipairs(wanted) do
    local first, last = output:find(pattern, at)
    assert.is_truthy(first, ("%q does not follow in:\n%s"):format(pattern, output:sub(at)))
    at = last -- a line break may end one pattern and begin the next
  end
end

-- Runs an example. `init` is Lua code that its processes run first.
local function run(name, init)
  return program.run("env " .. program.environment { LUA_INIT = init } .. " timeout 120 "
    .. program.words { program.lua, "examples/" .. name })
end

local function assert_nothing_listens(output)
  local port = tonumber(output:match("127%.0%.0%.1:(%d+)"))
  local client = socket.tcp()
  assert.is_nil(client:connect("127.0.0.1", port))
  client:close()
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
    it("tell what they do, in narrow lines, and leave nothing running: " .. name, function()
      local code, output, problems = run(name)
      assert.equal(0, code, problems)
      assert.equal("", problems)
      expect_in_order(output, wanted)
      for line in output:gmatch("[^\n]+") do
        local _, columns = line:gsub("[^\128-\191]", "")
        assert.is_true(columns <= 100, line)
      end
      assert_nothing_listens(output)
    end)
  end
end)

describe("the first sale breaks off, in a line and with exit code 1, when", function()
  for _, row in ipairs(BROKEN) do
    it(row[1], function()
      local code, output, problems = run("first_sale.lua", row[3])
      assert.equal(1, code)
      assert.truthy(problems:find("^The story broke off " .. row[2] .. "[^\n]*\n$"), problems)
      assert.is_nil(output:find("Every step went as told", 1, true))
      assert_nothing_listens(output)
    end)
  end

  it("the sandbox does not start", function()
    local code, output, problems = run("first_sale.lua", "package.preload['paciolan.cli'] = function() error 'no' end")
    assert.equal(1, code)
    assert.equal("", output)
    assert.truthy(problems:find("^The story broke off [^\n]*: the sandbox did not start:\n"), problems)
  end)
end)

describe("the nightly job", function()
  it("calls a person for a run whose record cannot be read", function()
    local code, output, problems = run("nightly_resume.lua", [[
      local flows = require "paciolan.workflow.flows"
      local new = flows.new
      flows.new = function(...)
        local self = new(...)
        self.resume = function()
          local runs = getmetatable(self).__index.resume(self)
          runs[#runs + 1] = { id = "O-9", state = "unreadable", told = "The record of order O-9 cannot be read: no." }
          return runs
        end
        return self
      end]])
    assert.equal(1, code)
    expect_in_order(output, { "the job, at once:[^\n]*\n", "left for the next pass\n",
      "  run O%-9, since an unknown time: unreadable\n    look at it: The record of order O%-9 cannot be read:\n",
      "    no%.\n  exit code 1\n" })
    assert.matches("the purchase should be done", problems) -- as the story goes, the job should have ended all
    assert_nothing_listens(output)
  end)
end)
