--- What a Redis store does when Redis is away, late, full, foreign or broken: a store error that says what to do, or
-- the right answer, and never a hang.
local core = require("paciolan.core")
local driver = require("paciolan.redis")
local errors = require("paciolan.errors")
local peers = require("support.peers")
local program = require("support.program")
local redis = require("paciolan.store.redis")
local servers = require("support.redis")

local KEY, VALUE = "the-SECRET-key", "the-SECRET-value"

-- Each operation of a store, on the same key.
local operations = {
  get = function(store) return store:get(KEY) end,
  put = function(store) return store:put(KEY, VALUE) end,
  add = function(store) return store:add(KEY, VALUE) end,
  replace = function(store) return store:replace(KEY, VALUE, VALUE) end,
  remove = function(store) return store:remove(KEY) end,
  list = function(store) return store:list(KEY) end,
}
local NAMES = { "get", "put", "add", "replace", "remove", "list" }
local MAY_BE_MADE = "the change may have been made"

local function assert_failure(wanted, value, err, ...)
  assert.is_nil(value)
  assert.is_true(errors.is(err))
  assert.equal("store", err.kind)
  assert.equal(0, select("#", ...))
  assert.is_truthy(err.message:find(wanted, 1, true), err.message)
  assert.is_nil(tostring(err):find("SECRET", 1, true), err.message)
  return err.message
end

-- Far longer than a store with these times may take on the slowest machine, and far shorter than a hang.
local HANG_MS = 20000

local function does_not_hang(run)
  local before_ms = core.monotonic_ms()
  run()
  assert.is_true(core.monotonic_ms() - before_ms < HANG_MS)
end

describe("the redis store", function()
  local opened = {}

  local function open(options, more)
    local all = { host = "127.0.0.1", timeout_ms = 5000, connect_timeout_ms = 5000 }
    for key, value in pairs(type(options) == "table" and options or { port = options }) do
      all[key] = value
    end
    for key, value in pairs(more or {}) do
      all[key] = value
    end
    local store = redis.new(all)
    opened[#opened + 1] = store
    return store
  end

  after_each(function()
    for _, store in ipairs(opened) do
      store:close()
    end
    opened = {}
    servers.stop_all()
    peers.stop_all()
    program.stop_all()
  end)

  describe("where Redis is away", function()
    it("says so, and where it should be", function()
      local port = peers.unused_port()
      for _, name in ipairs(NAMES) do
        local message = assert_failure("nothing answers there", operations[name](open(port)))
        assert.is_truthy(message:find("Redis at 127.0.0.1:" .. port, 1, true))
      end
    end)

    it("tells a socket that is not there, is closed to us, or has too long a path", function()
      assert_failure("there is no such socket", redis.new({ socket = "/nowhere/redis.sock" }):get(KEY))
      assert_failure("too long", redis.new({ socket = "/" .. ("a"):rep(200) }):get(KEY))
    end)

    it("tells a name that nobody knows", function()
      assert_failure("the name of the host was not found", open({ host = "-.invalid", port = 1 }):get(KEY))
    end)

    it("goes on by itself when it is back, whatever the operation", function()
      local server = servers.start()
      local stores = {}
      for i, name in ipairs(NAMES) do
        stores[i] = open(server.port, { prefix = name })
        assert.is_true(stores[i]:add("first", "1"))
      end
      server:stop("KILL")
      assert_failure("nothing answers there", stores[1]:get(KEY))
      server:start()
      local wanted = { get = nil, put = true, add = true, replace = false, remove = false, list = {} }
      for i, name in ipairs(NAMES) do
        local value, err = operations[name](stores[i])
        assert.is_nil(err)
        assert.same(wanted[name], value)
      end
    end)

    it("goes on with what Redis kept", function()
      local server = servers.start("appendonly yes\nappendfsync always")
      local store = open(server.port)
      assert.is_true(store:add(KEY, VALUE, { ttl_s = 600, durable = true }))
      assert.is_true(store:put("short", VALUE, { ttl_s = 0.001 }))
      server:stop("KILL")
      server:start()
      assert.is_false(store:add(KEY, "other"))
      assert.same({ { KEY, VALUE } }, store:list(""))
    end)

    it("replaces a connection that the server ended, before it sends anything on it", function()
      local server = servers.start()
      local store = open(server.port)
      for i = 1, 5 do
        assert.is_true(store:add(("%d"):format(i), VALUE))
        server:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
      end
    end)
  end)

  describe("where Redis is late", function()
    local SHORT = { timeout_ms = 100, connect_timeout_ms = 200 }

    it("gives up on one that is held, and never takes a late answer for another's", function()
      local server = servers.start()
      local store = open(server.port, { timeout_ms = 100, connect_timeout_ms = 5000 })
      assert.is_true(store:put("a", "1"))
      assert.is_true(store:put("b", "2"))
      server:pause()
      does_not_hang(function()
        assert_failure("no answer in time", store:get("a"))
      end)
      server:continue()
      assert.equal("2", store:get("b"))
      server:pause()
      does_not_hang(function()
        assert_failure(MAY_BE_MADE, store:add("c", "3"))
      end)
      server:continue()
      assert.equal("3", store:get("c"))
    end)

    it("gives up on one that takes connections only", function()
      local silent = peers.silent()
      for _, name in ipairs(NAMES) do
        does_not_hang(function()
          assert_failure("no answer in time", operations[name](open(silent.port, SHORT)))
        end)
      end
    end)

    it("gives up on one that does not answer to the password, and has changed nothing", function()
      local silent = peers.silent()
      does_not_hang(function()
        local message = assert_failure("no answer in time",
          open(silent.port, { timeout_ms = 100, connect_timeout_ms = 200, password = "SECRET" }):add(KEY, VALUE))
        assert.is_nil(message:find(MAY_BE_MADE, 1, true))
      end)
    end)

    it("gives up on an answer that trickles in", function()
      local port = servers.misbehave("trickle")
      does_not_hang(function()
        assert_failure("no answer in time", open(port, SHORT):get(KEY))
      end)
    end)

    it("gives up on an answer that never ends, of which there is always more to read", function()
      local port = servers.misbehave("flood")
      does_not_hang(function()
        assert_failure("no answer in time", open(port, SHORT):get(KEY))
      end)
    end)

    it("gives up on one that reads no more", function()
      local silent = peers.silent()
      does_not_hang(function()
        local message = assert_failure("no answer in time", open(silent.port, SHORT):add(KEY, ("x"):rep(2 ^ 24)))
        assert.is_nil(message:find(MAY_BE_MADE, 1, true))
      end)
    end)
  end)

  describe("when an answer is lost", function()
    it("sends again what may be sent twice", function()
      local server = servers.start()
      for _, name in ipairs { "get", "list" } do
        server:command("FLUSHALL")
        local store = open(servers.misbehave("lose", server, 1))
        local value, err = operations[name](store)
        assert.is_nil(err)
        assert.same(({ list = {} })[name], value)
      end
      local direct = open(server.port)
      assert.is_true(direct:put(KEY, VALUE))
      assert.equal(VALUE, operations.get(open(servers.misbehave("lose", server, 1))))
      assert.same({ { KEY, VALUE } }, operations.list(open(servers.misbehave("lose", server, 1))))
    end)

    it("sends it once more only", function()
      local server = servers.start()
      for _, name in ipairs { "get", "list" } do
        assert_failure("the connection broke", operations[name](open(servers.misbehave("lose", server, 2))))
      end
    end)

    it("tells that another change may have been made, as it was", function()
      local server = servers.start()
      local direct = open(server.port)
      local _, err = operations.add(open(servers.misbehave("lose", server, 1)))
      assert_failure(MAY_BE_MADE, nil, err)
      assert.is_nil(err.outcome)
      assert.equal(VALUE, direct:get(KEY))
      -- A second put could undo what another process changed in between.
      assert_failure(MAY_BE_MADE, open(servers.misbehave("lose", server, 1)):put(KEY, "put once"))
      assert.equal("put once", direct:get(KEY))
      assert.is_true(direct:put(KEY, VALUE))
      assert_failure(MAY_BE_MADE, open(servers.misbehave("lose", server, 1)):replace(KEY, VALUE, "new"))
      assert.equal("new", direct:get(KEY))
      assert_failure(MAY_BE_MADE, operations.remove(open(servers.misbehave("lose", server, 1))))
      assert.is_nil(direct:get(KEY))
    end)

    it("goes on with a new connection afterwards", function()
      local server = servers.start()
      local store = open(servers.misbehave("lose", server, 1))
      assert_failure(MAY_BE_MADE, operations.add(store))
      assert.is_false(store:add(KEY, "other"))
      assert.equal(VALUE, store:get(KEY))
    end)
  end)

  describe("where Redis refuses", function()
    it("for a password", function()
      local server = servers.start('requirepass "SECRET"\nuser worker on ">SECRET" ~paciolan:* +get')
      assert_failure("it asks for a password", open(server.port):get(KEY))
      assert_failure("does not accept the user and the password", open(server.port, { password = "SECRET2" }):get(KEY))
      assert_failure("does not accept the user and the password",
        open(server.port, { user = "SECRET", password = "SECRET" }):get(KEY))
      local worker = open(server.port, { user = "worker", password = "SECRET" })
      assert.is_nil(worker:get(KEY))
      assert_failure("lacks a permission", worker:put(KEY, VALUE))
      local elsewhere = { user = "worker", password = "SECRET", prefix = "SECRET:" }
      assert_failure("lacks a permission", open(server.port, elsewhere):get(KEY))
    end)

    it("for a permission that a script lacks", function()
      local all = "+eval +get +set +zadd +zrem +exists +time +zrangebyscore"
      local server = servers.start('user worker on ">SECRET" ~paciolan:* +get +eval\n'
        .. 'user other on ">SECRET" ~paciolan:/value/* ~paciolan:/keys ' .. all .. "\n")
      assert_failure("lacks a permission", open(server.port, { user = "worker", password = "SECRET" }):put(KEY, VALUE))
      assert_failure("lacks a permission", open(server.port, { user = "other", password = "SECRET" }):put(KEY, VALUE))
    end)

    it("for a password that it does not have, and a database", function()
      local server = servers.start("databases 2")
      assert_failure("it has no password", open(server.port, { password = "SECRET" }):get(KEY))
      assert_failure("no database of this number", open(server.port, { database = 2 }):get(KEY))
    end)

    it("for want of memory", function()
      local server = servers.start()
      local store = open(server.port)
      assert.is_true(store:put(KEY, VALUE))
      server:command("CONFIG", "SET", "maxmemory", "1")
      assert_failure("its memory is full", store:put("SECRET-2", VALUE))
      assert.is_true(store:remove(KEY))
      server:command("CONFIG", "SET", "maxmemory", "0")
      assert.is_true(store:put("SECRET-2", VALUE))
    end)

    it("as a replica, and takes changes again when it is none", function()
      local server = servers.start()
      local store = open(server.port)
      server:command("REPLICAOF", "127.0.0.1", ("%d"):format(peers.unused_port()))
      assert_failure("point the store at the primary", store:add(KEY, VALUE))
      server:command("REPLICAOF", "NO", "ONE")
      assert.is_true(store:add(KEY, VALUE))
    end)

    it("for too many clients", function()
      local server = servers.start("maxclients 1")
      local first = open(server.port)
      assert.is_nil(first:get(KEY))
      assert_failure("it takes no more connections", open(server.port):get(KEY))
      assert.is_nil(first:get(KEY))
    end)

    it("a key that another program wrote", function()
      local server = servers.start()
      local store = open(server.port)
      server:command("HSET", "paciolan:/value/" .. KEY, "a", "1")
      assert_failure("another program uses the same prefix", store:get(KEY))
      assert_failure("another program uses the same prefix", store:remove(KEY))
      server:command("SET", "paciolan:/keys", "SECRET")
      assert_failure("another program uses the same prefix", store:list(""))
      assert_failure("another program uses the same prefix", store:put("a", "1"))
    end)

    local texts = {
      { "-LOADING Redis is loading the dataset SECRET", "it is still loading its data" },
      { "-BUSY Redis is busy running a script SECRET", "SCRIPT KILL" },
      { "-MISCONF Redis is configured to save RDB SECRET", "it cannot save its data" },
      { "-MOVED 3999 SECRET:6381", "Redis Cluster" }, { "-ASK 3999 SECRET:6381", "Redis Cluster" },
      { "-CROSSSLOT SECRET", "Redis Cluster" }, { "-CLUSTERDOWN SECRET", "Redis Cluster" },
      { "-MASTERDOWN SECRET", "without its primary" }, { "-NOREPLICAS SECRET", "min-replicas-to-write" },
      { "-DENIED SECRET", "protected mode" }, { "-ERR invalid password SECRET", "does not accept" },
      { "-ERR unknown command `EVAL`, with args beginning with: `SECRET`", "Redis 6.0 or newer" },
      { "-ERR Error running script (call to f_1): @user_script:9: ERR syntax error SECRET", "Redis 6.0 or newer" },
      { "-ERR Unknown Redis command called from script script: SECRET", "Redis 6.0 or newer" },
      { "-ERR The user executing the script can't access at least one of the keys mentioned in the command arguments "
        .. "script: SECRET", "lacks a permission" },
      { "-ERR wrong number of arguments for 'auth' command", "Redis 6.0 or newer" },
      { "-ERR Error running script (call to f_1): @user_script:9: -OOM command SECRET", "its memory is full" },
      { "-ERR Error running script SECRET", "it refused the command (ERR)" },
      { "-SECRETWORD1234567890 SECRET", "it refused the command" }, { "-", "it refused the command (?)" },
    }

    for _, row in ipairs(texts) do
      it("with " .. row[1]:match("^%-[^S]?[%u]*") .. ", whatever else that says: " .. row[2], function()
        local peer = peers.start({ { blurt = row[1]:gsub("SECRETWORD", "WORD") .. "\r\n" } })
        for _, name in ipairs(NAMES) do
          assert_failure(row[2], operations[name](open(peer.port)))
        end
      end)
    end
  end)

  it("says that no more files can be opened, and not that a name is unknown", function()
    local server = servers.start()
    local script = [[
      local redis = require("paciolan.store.redis")
      local stores = {}
      for i, host in ipairs { "127.0.0.1", "localhost", "redis.invalid" } do
        stores[i] = redis.new { host = host, port = tonumber(arg[1]) }
      end
      local files = {}
      repeat
        files[#files + 1] = io.open("/dev/null")
        local more = io.open("/dev/null")
        files[#files + 1] = more
      until not more
      for _, store in ipairs(stores) do
        print(select(2, store:get("a")).message)
      end
      for _, file in ipairs(files) do
        file:close()
      end
    ]]
    local _, output, problems = program.run("ulimit -n 64; exec env " .. program.environment() .. " "
      .. program.words { program.lua, "-e", script, "/dev/null", ("%d"):format(server.port) })
    assert.equal("", problems)
    local _, count = output:gsub("no more files can be opened", "")
    assert.equal(3, count, output)
  end)

  describe("where something else answers", function()
    local texts = {
      "HTTP/1.1 400 Bad Request\r\n\r\nSECRET", "\0\0\0", "$-5\r\n", "$99999999999999999999\r\n", "*-7\r\n",
      "*1\r\n-ERR\r\n", ("*1\r\n"):rep(10) .. ":1\r\n", "%1\r\n+a\r\n+b\r\n", ":x\r\n", "+\255\r\n:1\r\n",
    }

    for i, text in ipairs(texts) do
      it(("says so: %d"):format(i), function()
        local peer = peers.start({ { blurt = text } })
        for _, name in ipairs { "put", "add", "replace", "remove", "list" } do
          assert_failure("Redis at 127.0.0.1:", operations[name](open(peer.port)))
        end
      end)
    end

    it("does not take an answer of the wrong kind", function()
      for name, texts_of in pairs {
        get = { ":1\r\n", "*0\r\n" }, put = { "+OK\r\n", ":2\r\n", "$1\r\n1\r\n", "*0\r\n" },
        add = { ":-1\r\n", "*1\r\n:1\r\n" }, remove = { "+1\r\n" },
        list = { ":1\r\n", "+OK\r\n", "*1\r\n:1\r\n", "*1\r\n$-1\r\n", "*1\r\n*0\r\n",
          "*101\r\n" .. ("+a\r\n"):rep(101) },
      } do
        for _, text in ipairs(texts_of) do
          local peer = peers.start({ { blurt = text } })
          assert_failure("does not speak the protocol of Redis", operations[name](open(peer.port)))
        end
      end
    end)

    it("takes no nil for true or false", function()
      for _, name in ipairs { "put", "add", "replace", "remove", "list" } do
        local peer = peers.start({ { blurt = "$-1\r\n" } })
        assert_failure("does not speak the protocol of Redis", operations[name](open(peer.port)))
      end
    end)

    it("takes no answer that was there before the command", function()
      local store = open(servers.misbehave("double"))
      for _ = 1, 3 do
        assert.equal("right", store:get(KEY))
      end
    end)
  end)

  describe("where the other side hangs up", function()
    it("tells it, and what to look after where it never answered", function()
      local peer = peers.start({ { close = "before_read" } })
      for _, name in ipairs(NAMES) do
        assert_failure("the connection broke without any answer: check that a Redis listens there, and whether it "
          .. "wants tls (rediss://)", operations[name](open(peer.port)))
      end
    end)

    it("does not blame TLS once it has answered", function()
      local server = servers.start()
      local store = open(servers.misbehave("lose_later", server, 1))
      assert.is_nil(store:get(KEY))
      local message = assert_failure(MAY_BE_MADE, store:put(KEY, VALUE))
      assert.is_nil(message:find("tls", 1, true))
      assert.equal(VALUE, store:get(KEY))
    end)

    it("never says that a change may have been made where it hangs up on the password", function()
      local server = servers.start('requirepass "SECRET"')
      local message = assert_failure("the connection broke without any answer",
        open(servers.misbehave("lose", server, 2), { password = "SECRET" }):add(KEY, VALUE))
      assert.is_nil(message:find(MAY_BE_MADE, 1, true))
    end)

    -- The host program may well have left SIGPIPE as it was, which ends a process.
    it("does so without ending the process by a signal", function()
      local peer = peers.start({ { close = "before_read" } })
      local script = [[
        local store = require("paciolan.store.redis").new { host = "127.0.0.1", port = tonumber(arg[1]) }
        for _ = 1, 5 do
          assert(not store:put("a", ("x"):rep(2 ^ 23)))
        end
        print("alive")
      ]]
      local with_signal = "env --default-signal=PIPE " .. program.environment() .. " "
      local _, output = program.run(with_signal .. program.words {
        program.lua, "-e", script, "/dev/null", ("%d"):format(peer.port) })
      assert.equal("alive\n", output)
      local _, nothing = program.run(with_signal .. program.words { "sh", "-c", "kill -PIPE $$; echo alive" })
      assert.equal("", nothing)
    end)
  end)
end)

describe("a connection to redis", function()
  after_each(function()
    servers.stop_all()
    peers.stop_all()
  end)

  local function connect(port)
    return assert(driver.connect { host = "127.0.0.1", port = ("%d"):format(port), timeout_ms = 5000 })
  end

  it("raises for what it cannot connect with", function()
    for _, bad in ipairs { 1, {}, { host = 1 }, { timeout_ms = 1 }, { host = "h", socket = "s", timeout_ms = 1 },
      { host = "h" }, { host = "h", timeout_ms = -1 }, { host = "h", timeout_ms = 1.5 },
      { socket = "s", has_tls = true, timeout_ms = 1 }, { host = "h", timeout_ms = 1, key_file = "k" } } do
      assert.has_error(function() driver.connect(bad) end)
    end
  end)

  it("raises for a wrong command, and not when something closed it meanwhile", function()
    local connection = connect(peers.silent().port)
    assert.equal("paciolan.redis (open)", tostring(connection))
    for _, words in ipairs { {}, { 1 }, { "GET", 1 }, { "GET", true } } do
      assert.has_error(function() connection:command(1000, words[1], words[2]) end)
    end
    assert.has_error(function() connection:command("1000", "GET", "a") end)
    assert.has_error(function() connection:command(-1, "GET", "a") end)
    connection:close()
    connection:close()
    assert.equal("paciolan.redis (closed)", tostring(connection))
    assert.same({ nil, "closed", false }, { connection:command(1000, "GET", "a") })
  end)

  it("reads every kind of reply", function()
    local connection = connect(servers.start().port)
    local function ask(script)
      return connection:command(5000, "EVAL", script, "0")
    end
    assert.equal("PONG", connection:command(5000, "PING"))
    assert.equal("9007199254740991", ("%d"):format(ask("return 9007199254740991")))
    assert.equal(-1, ask("return -1"))
    assert.equal("a\0b", ask("return 'a\\0b'"))
    assert.is_nil(ask("return false"))
    assert.same({ 1, "a", { "b", {} }, "c" }, ask("return { 1, 'a', { 'b', {} }, 'c' }"))
    assert.same({ "a", false, "b" }, ask("return { 'a', false, 'b' }"))
    connection:close()
  end)

  it("goes on after an error of the server, whose text it gives", function()
    local connection = connect(servers.start().port)
    local value, reason, text = connection:command(5000, "NO-SUCH-COMMAND")
    assert.is_nil(value)
    assert.equal("refused", reason)
    assert.is_truthy(text:find("^ERR unknown command"))
    assert.equal("PONG", connection:command(5000, "PING"))
    connection:close()
  end)
end)
