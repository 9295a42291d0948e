--- The Redis store keeps the contract of all stores, and what it says of Redis itself.
local files = require("support.files")
local program = require("support.program")
local redis = require("paciolan.store.redis")
local servers = require("support.redis")
local socket = require("socket")

-- Run by a process of its own: URL, how often, and the name of a file that it waits for.
local COUNTER = [[
  local redis = require("paciolan.store.redis")
  local store = redis.new(arg[1])
  for _ = 1, tonumber(arg[2]) do
    repeat
      local value = assert(store:get("counter"))
      local ok = store:replace("counter", value, ("%d"):format(value + 1))
      assert(ok ~= nil)
    until ok
  end
]]
local RACER = [[
  local redis = require("paciolan.store.redis")
  local store = redis.new(arg[1])
  local won = 0
  for i = 1, tonumber(arg[2]) do
    if assert(store:add(("race/%d"):format(i), arg[3]) ~= nil) and store:get(("race/%d"):format(i)) == arg[3] then
      won = won + 1
    end
  end
  print(("won %d"):format(won))
]]

-- Run by a process of its own, whose memory is small, so that a collection is quick.
local BUSY = [[
  require("support.collector").make_busy()
  local store = require("paciolan.store.redis").new(arg[1])
  for i = 1, 20 do
    local key, value = ("key/%d"):format(i), ("value"):rep(i * 100)
    assert(store:add(key, value) and store:replace(key, value, value .. "!"))
    assert(store:get(key) == value .. "!" and #store:list("key/") == i)
  end
  print("done")
]]

-- Runs a script in several processes at once; gives what each printed.
local function side_by_side(script, count, ...)
  local processes, outputs = {}, {}
  for i = 1, count do
    local words = { program.lua, "-e", script, "/dev/null", ... }
    words[#words + 1] = ("%d"):format(i)
    processes[i] = program.start(("env %s %s"):format(program.environment(), program.words(words)))
  end
  for i, process in ipairs(processes) do
    local code, output, problems = process:stop("0")
    assert.equal("0 ", ("%d %s"):format(code, problems))
    outputs[i] = output
  end
  return outputs
end

-- With what the documentation of the store asks for, and nothing else.
local USER = 'user worker on ">its:p@ss/word%" ~app:* +eval +get +mget +set +del +exists +time +zadd +zrem '
  .. "+zrangebylex +zrangebyscore +select"

describe("the redis store", function()
  local server, guarded

  setup(function()
    server = servers.start()
    guarded = servers.start('requirepass "the password"\n' .. USER)
  end)

  teardown(function()
    servers.stop_all()
    program.stop_all()
  end)

  before_each(function()
    assert.equal("+OK", server:command("FLUSHALL"))
  end)

  local function names(list)
    local found = {}
    for i, pair in ipairs(list) do
      found[i] = pair[1] .. "=" .. pair[2]
    end
    return table.concat(found, " ")
  end

  describe("over TCP", function()
    require("support.store_contract") {
      open = function() return redis.new(server:url()) end,
      advance = function(_, ms) server:advance(ms) end,
      broken = function() return redis.new { host = "127.0.0.1", port = 1 } end,
    }
  end)

  describe("over a Unix socket, in another database", function()
    require("support.store_contract") {
      open = function() return redis.new("redis+unix://" .. server.socket .. "?database=3") end,
      advance = function(_, ms) server:advance(ms, 3) end,
      broken = function() return redis.new { socket = server.socket .. "-of-another" } end,
    }
  end)

  describe("connects", function()
    it("not before the first operation", function()
      local store = redis.new { host = "127.0.0.1", port = 1 }
      assert.equal("paciolan.store.redis (open)", tostring(store))
      assert.is_true(store:close())
    end)

    it("with the password of the default user", function()
      local store = redis.new("redis://:the%20password@127.0.0.1:" .. guarded.port)
      assert.is_true(store:put("a", "1"))
      store:close()
    end)

    it("as a user who has exactly the permissions that are documented", function()
      local store = redis.new("redis://worker:its%3Ap%40ss%2Fword%25@127.0.0.1:" .. guarded.port .. "/1?prefix=app:")
      assert.is_true(store:put("a", "1", { ttl_s = 0.05 }))
      assert.is_true(store:add("b", "2"))
      assert.is_true(store:replace("b", "2", "3"))
      socket.sleep(0.1)
      assert.equal("b=3", names(store:list("")))
      assert.equal("3", store:get("b"))
      assert.is_true(store:remove("b", "3"))
      store:close()
    end)

    it("to a name, at whichever of its addresses answers", function()
      local store = redis.new { host = "localhost", port = server.port }
      assert.is_true(store:put("a", "1"))
      store:close()
    end)
  end)

  describe("keeps apart", function()
    it("the prefixes, however alike they are", function()
      local all = { "a", "a:", "a:value", "A", "a%", "a:keys" }
      local stores = {}
      for i, prefix in ipairs(all) do
        stores[i] = redis.new { host = "127.0.0.1", port = server.port, prefix = prefix }
        for _, key in ipairs { "keys", "value", "/value/x", "ends", "" } do
          assert.is_true(stores[i]:add(key, prefix))
        end
      end
      for i, prefix in ipairs(all) do
        assert.equal(("/value/x=P ends=P keys=P value=P"):gsub("P", (prefix:gsub("%%", "%%%%"))),
          (names(stores[i]:list("")):gsub("^=%S+ ", "")))
        stores[i]:close()
      end
    end)

    it("the databases", function()
      local first, second = redis.new(server:url("/0")), redis.new(server:url("/1"))
      assert.is_true(first:add("a", "1"))
      assert.is_nil(second:get("a"))
      assert.is_true(second:add("a", "2"))
      first:close()
      second:close()
    end)

    it("everything below its prefix, for an access rule to name", function()
      local store = redis.new(server:url("?prefix=app:"))
      store:put("a", "1", { ttl_s = 60 })
      store:put("b", "1")
      assert.equal(":4", server:command("EVAL", "return #redis.call('KEYS', 'app:*')", "0"))
      assert.equal(":4", server:command("DBSIZE"))
      store:close()
    end)
  end)

  describe("list", function()
    local store

    before_each(function()
      store = redis.new(server:url())
    end)

    after_each(function()
      store:close()
    end)

    it("reads on through many portions, and over what has ended", function()
      local wanted = {}
      for i = 1, 350 do
        local key = ("run/%03d"):format(i)
        local is_short = i % 100 > 40 and i % 3 ~= 0
        store:put(key, "v", { ttl_s = is_short and 60 or nil })
        if not is_short then
          wanted[#wanted + 1] = key .. "=v"
        end
      end
      server:advance(61000)
      assert.equal(table.concat(wanted, " "), names(store:list("run/")))
      assert.equal(table.concat(wanted, " ", 1, 150), names(store:list("run/", { limit = 150 })))
      assert.equal(":" .. #wanted, server:command("ZCARD", "paciolan:/keys"))
    end)

    it("knows the end of a prefix of the highest bytes", function()
      for _, key in ipairs { "a\255", "a\255\255", "a\255\255b", "b", "\255\255" } do
        store:put(key, "v")
      end
      assert.equal("a\255\255=v a\255\255b=v", names(store:list("a\255\255")))
      assert.equal("\255\255=v", names(store:list("\255")))
      assert.equal("b=v \255\255=v", names(store:list("", { after = "a\255\255b" })))
    end)

    it("begins at the prefix when it is to go on after a key before it", function()
      for _, key in ipairs { "a", "b", "b\0", "bb", "c" } do
        store:put(key, "v")
      end
      assert.equal("b=v b\0=v bb=v", names(store:list("b", { after = "a" })))
      assert.equal("b\0=v bb=v", names(store:list("b", { after = "b" })))
      assert.equal("", names(store:list("b", { after = "c" })))
    end)

    it("does not look at the keys of others", function()
      server:command("EVAL", "for i = 1, 1000 do redis.call('SET', 'other:' .. i, 'v') end return 1", "0")
      store:put("a", "1")
      assert.equal("a=1", names(store:list("")))
    end)
  end)

  describe("a time to live", function()
    it("runs by the clock of the server", function()
      local store = redis.new(server:url())
      assert.is_true(store:add("a", "1", { ttl_s = 0.1 }))
      assert.is_false(store:add("a", "2"))
      socket.sleep(0.2)
      assert.is_nil(store:get("a"))
      assert.same({}, store:list(""))
      assert.is_true(store:add("a", "2", { ttl_s = 100 * 366 * 86400 }))
      assert.equal("2", store:get("a"))
      store:close()
    end)

    it("leaves no keys behind in a store that nobody lists", function()
      local store = redis.new(server:url())
      for i = 1, 30 do
        store:put(("seen/%d"):format(i), "", { ttl_s = 60 })
      end
      store:put("stays", "1")
      server:advance(62000)
      for i = 1, 3 do
        store:put(("new/%d"):format(i), "", { ttl_s = 60 })
      end
      assert.equal(":4", server:command("ZCARD", "paciolan:/keys"))
      assert.equal(":3", server:command("ZCARD", "paciolan:/ends"))
      assert.equal("new/1= new/2= new/3= stays=1", names(store:list("")))
      store:close()
    end)

    it("leaves nothing at all after the last remove", function()
      local store = redis.new(server:url())
      store:put("a", "1", { ttl_s = 60 })
      store:put("b", "1")
      store:remove("a")
      store:remove("b", "1")
      assert.equal(":0", server:command("DBSIZE"))
      store:close()
    end)
  end)

  describe("between processes", function()
    local ROUNDS = tonumber(os.getenv("STORE_ROUNDS") or "") or 100

    it("loses no replace", function()
      local store = redis.new(server:url())
      store:put("counter", "0")
      side_by_side(COUNTER, 4, server:url(), ("%d"):format(ROUNDS))
      assert.equal(("%d"):format(4 * ROUNDS), store:get("counter"))
      store:close()
    end)

    it("lets one alone win each add", function()
      local won = 0
      for _, output in ipairs(side_by_side(RACER, 4, server:url(), ("%d"):format(ROUNDS))) do
        won = won + tonumber(output:match("won (%d+)"))
      end
      assert.equal(ROUNDS, won)
    end)
  end)

  it("bears a collection at every allocation", function()
    local _, output, problems = program.run(("env %s %s"):format(program.environment(),
      program.words { program.lua, "-e", BUSY, "/dev/null", server:url() }))
    assert.equal("done\n", output .. problems)
  end)

  it("may be used and closed by a finalizer at any allocation", function()
    local _, output, problems = program.run(("env %s %s"):format(program.environment(),
      program.words { program.lua, "spec/support/redis_finalizers.lua", server:url(), server:url("/5") }))
    assert.equal("", problems)
    local used, met, closed = output:match("^used (%d+), met (%d+) of another database, left (%d+) closed\n$")
    assert.is_true(tonumber(used) >= 20, output)
    assert.equal(0, tonumber(met))
    assert.is_true(tonumber(closed) > 0, output)
  end)

  it("leaves as many files open after many operations as before", function()
    local count = tonumber(os.getenv("STORE_OPERATIONS") or "") or 20000
    local stat = assert(io.open("/proc/self/stat"))
    local pid = stat:read("*n")
    stat:close()
    -- Without a pipe, whose ends this process might still hold while they are counted.
    local function open_files()
      local path = os.tmpname()
      collectgarbage()
      collectgarbage()
      os.execute(("ls /proc/%d/fd >%s"):format(pid, path))
      local _, lines = files.read(path):gsub("\n", "")
      os.remove(path)
      return lines
    end
    local store = redis.new(server:url())
    store:put("a", "1")
    local before = open_files()
    for i = 1, count / 2 do
      if i % 500 == 0 then
        server:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
      end
      assert.is_true(store:replace("a", "1", "1"))
      assert.equal("1", store:get("a"))
    end
    assert.equal(before, open_files())
    store:close()
    assert.equal(before - 1, open_files())
  end)
end)
