--- The configurations of examples/nginx are played by their program in a real nginx, tell what they should, and leave
-- nothing behind.

local files = require("support.files")
local program = require("support.program")
local socket = require("socket")

-- What the output holds, in this order, as patterns.
local EXPECTED = {
  receiver = {
    "^%-%-%- receiver%.conf, and a sandbox at http://127%.0%.0%.1:%d+", "\nthe subscription is confirmed\n",
    "handled once:\n  seats 129:FB30:FB01 ES:9 row 1, seat 1\n  seats 129:FB30:FB01 ES:9 row 1, seat 2\na forged",
    "was refused: 1 delivery failed\n", "\na callback: HTTP 204, callbacks P%-1 COMPLETE\n",
    '\n  paciolan_messages_duplicate_total{entity="seats"} 1\n', "\n  alarm confirmed\n",
    "\nlines of the error log: 1, all of them alarms\n$",
  },
  proxy = {
    "^%-%-%- proxy%.conf, and a sandbox at http://127%.0%.0%.1:%d+", "\na plain GET [^\n]*HTTP 200\n",
    "\nits token ended, [^\n]*sent once more: HTTP 200\n", "\na lock [^\n]*HTTP 401, {[^\n]*nothing was done[^\n]*}\n",
    "\nsent again by its program: HTTP 200\n",
    "\nthe access log has the Request%-ID that the service knows: 1 request\n",
    "\nrenewals in the ledger of the service: 3\n",
    '\n  paciolan_rotations_total{step="refresh",result="done"} 3\n', "\nlines of the error log: 0,[^\n]*\n$",
  },
  seller = {
    "^%-%-%- seller%.conf, and a sandbox at http://127%.0%.0%.1:%d+", "\nO%-1 is sold: HTTP 200, 2 tickets\n",
    "\nasked for again: the same tickets; orders in the ledger: 1\n",
    "\nthe same seats once more, as O%-2: HTTP 409, http, not_sent\n",
    "\nwithout a price: HTTP 400, price must be there, as a number\n",
    '\n  paciolan_calls_total{operation="orders.complete",outcome="done"} 1\n',
    "\nlines of the error log: 0,[^\n]*\n$",
  },
}

local function run(words, environment)
  -- A server leaves much to the end of its process, by design.
  environment = environment or {}
  environment.ASAN_OPTIONS = "detect_leaks=0:" .. (os.getenv("ASAN_OPTIONS") or "")
  return program.run("env " .. program.environment(environment) .. " " .. program.lua .. " " .. program.words(words))
end

local function expect_in_order(output, patterns)
  local at = 1
  for _, pattern in ipairs(patterns) do
    local start, stop = output:find(pattern, pattern:sub(1, 1) == "^" and 1 or at)
    assert(start, ("not in its place: %s\n%s"):format(pattern, output))
    at = stop -- a line feed may end one pattern and begin the next
  end
end

local function assert_nothing_listens(output)
  local port = assert(output:match("http://127%.0%.0%.1:(%d+)"))
  assert.is_nil((socket.connect("127.0.0.1", tonumber(port))))
end

describe("the nginx example", function()
  for name, patterns in pairs(EXPECTED) do
    it("plays " .. name .. ".conf as told", function()
      local code, output, problems = run { "examples/nginx/run.lua", name }
      assert.equal("", problems)
      expect_in_order(output, patterns)
      assert.equal(0, code)
      assert_nothing_listens(output)
    end)
  end

  it("removes its folders and stops its nginx, also when a story breaks off", function()
    local pipe = assert(io.popen("mktemp -d"))
    local folder = pipe:read("*l")
    pipe:close()
    local code, output, problems = run({ "-e", [[
      local child = require "paciolan.sandbox.child"
      local start = child.start
      child.start = function(...)
        local box = start(...)
        box.control = function() error("the line is cut", 0) end
        return box
      end]], "examples/nginx/run.lua", "proxy" }, { TMPDIR = folder })
    local left = io.popen("ls -A " .. program.words { folder })
    local names = left:read("*a")
    left:close()
    os.execute("rm -rf " .. program.words { folder })
    assert.equal(1, code)
    assert.matches("the story of proxy%.conf broke off: the line is cut\n", problems)
    assert.equal("", names)
    assert_nothing_listens(output)
  end)

  it("has every configuration hand on the variables that it reads", function()
    for name in pairs(EXPECTED) do
      local text = files.read(("examples/nginx/%s.conf"):format(name))
      local count = 0
      for variable in text:gmatch('os%.getenv "([%u_]+)"') do
        count = count + 1
        assert.truthy(text:find("\nenv " .. variable .. ";", 1, true), name .. ": " .. variable)
      end
      assert.is_true(count > 0)
      for variable in files.read("lua/paciolan/environment.lua"):gmatch('"(PACIOLAN_[%u_]+)"') do
        local is_wanted = name ~= "receiver"
          and not ("CA_FILE REFRESH_TOKEN ACCESS_TOKEN"):find(variable:match("^PACIOLAN_(.*)"), 1, true)
        local is_there = text:find("\nenv " .. variable .. ";", 1, true) ~= nil
        assert.is_true(is_there or not is_wanted, name .. ": " .. variable)
      end
    end
  end)
end)
