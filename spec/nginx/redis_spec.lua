--- The Redis store inside nginx, over cosockets: the contract against a real Redis, and what pools, phases and servers
-- that go away can do to it.
local openresty = require("support.openresty")
local peers = require("support.peers")
local program = require("support.program")
local remote_store = require("support.remote_store")
local servers = require("support.redis")

local HTTP = [[
  lua_shared_dict d 1m;
  init_by_lua_block {
    local url = os.getenv("REDIS_URL")
    local store = require("paciolan.store").redis(url .. "/1")
    local value, err = store:add("made in init", "1")
    ngx.shared.d:set("init", tostring(value) .. (err and err.message or ""))
    in_init = store -- the workers use the same object
  }
]]

local SERVER = [[
  location = /header_filter {
    header_filter_by_lua_block {
      local _, err = require("paciolan.store").redis(os.getenv("REDIS_URL")):put("a", "1")
      ngx.header["x-problem"], ngx.header["x-outcome"] = err.message, err.outcome
    }
    content_by_lua_block { ngx.say("said") }
  }
]]

local function opening(url)
  return ("require('paciolan.store').redis(%q)"):format(url)
end

describe("the redis store in nginx", function()
  local nginx, redis, certificates

  setup(function()
    certificates = peers.certificates()
    redis = servers.start()
    nginx = openresty.start { http = HTTP, server = SERVER, main = "env REDIS_URL;",
      environment = { REDIS_URL = redis:url() }, ca = certificates.authority.file }
  end)

  teardown(function()
    openresty.stop_all()
    servers.stop_all()
    peers.stop_all()
    program.stop_all()
  end)

  local function open(url)
    return remote_store.new(nginx, opening(url or redis:url()))
  end

  local function assert_failure(wanted, outcome, value, err)
    assert.is_nil(value)
    assert.equal("store", err.kind)
    assert.equal(outcome, err.outcome)
    assert.is_truthy(err.message:find(wanted, 1, true), err.message)
    assert.is_nil(err.message:find("SECRET", 1, true), err.message)
  end

  describe("as every store", function()
    require("support.store_contract") {
      open = function()
        redis:command("FLUSHDB")
        return open()
      end,
      advance = function(_, ms) redis:advance(ms) end,
      broken = function() return open(("redis://127.0.0.1:%d"):format(peers.unused_port())) end,
    }
  end)

  local function connections_of(server)
    return tonumber(server:command("INFO", "stats"):match("total_connections_received:(%d+)"))
  end

  it("keeps its connections for the operations of other requests", function()
    local store = open()
    assert.is_true(store:put("a", "1"))
    local before = connections_of(redis)
    for _ = 1, 20 do
      assert.equal("1", store:get("a"))
    end
    assert.equal(before + 1, connections_of(redis)) -- the question itself comes over one of its own
  end)

  it("serves two operations at the same time by two connections", function()
    redis:command("SET", "paciolan:/value/slow", "1")
    local answers = nginx:run([[
      local store = require("paciolan.store").redis(...)
      local answers, threads = {}, {}
      for i = 1, 20 do
        threads[i] = ngx.thread.spawn(function()
          local key = "side by side " .. i
          assert(store:put(key, key))
          answers[i] = store:get(key) == key and store:remove(key, key)
        end)
      end
      for _, thread in ipairs(threads) do ngx.thread.wait(thread) end
      return answers]], redis:url())
    assert.equal(20, #answers)
    for _, answer in ipairs(answers) do
      assert.is_true(answer)
    end
  end)

  it("lists more than one portion", function()
    redis:command("FLUSHDB")
    local count = nginx:run([[
      local store = require("paciolan.store").redis(...)
      for i = 1, 250 do assert(store:put(("key %03d"):format(i), "")) end
      return #store:list("key ")]], redis:url())
    assert.equal(250, count)
  end)

  describe("with a password and a database", function()
    local server

    setup(function()
      server = servers.start("user default on >SECRET ~* +@all\nuser seller on >SECRET-2 ~* +@all")
    end)

    it("signs in once for each connection", function()
      local url = ("redis://:SECRET@127.0.0.1:%d/3"):format(server.port)
      local store = open(url)
      for i = 1, 5 do
        assert.is_true(store:put("a", ("%d"):format(i)))
      end
      assert.equal("5", open(("redis://seller:SECRET-2@127.0.0.1:%d/3"):format(server.port)):get("a"))
      assert.is_nil(open(("redis://:SECRET@127.0.0.1:%d/2"):format(server.port)):get("a"))
    end)

    it("never gets the connection of another user from the pool", function()
      assert.is_true(open(("redis://:SECRET@127.0.0.1:%d"):format(server.port)):put("a", "1"))
      for _, user in ipairs { ":SECRET-wrong", "seller:SECRET", "SECRET-who:SECRET" } do
        local store = open(("redis://%s@127.0.0.1:%d"):format(user, server.port))
        assert_failure("does not accept the user and the password", "not_sent", store:put("a", "1"))
      end
      assert_failure("asks for a password", nil, open(server:url()):get("a"))
    end)

    it("says that there is no such database", function()
      assert_failure("no database of this number", nil,
        open(("redis://:SECRET@127.0.0.1:%d/9999"):format(server.port)):get("a"))
    end)
  end)

  it("speaks through a socket", function()
    local store = open("redis+unix://" .. redis.socket)
    assert.is_true(store:put("by socket", "1"))
    assert.equal("1", open():get("by socket"))
    assert_failure("there is no such socket", nil, open("redis+unix:///nowhere/redis.sock"):get("a"))
  end)

  it("takes localhost for this machine and asks for a resolver for other names", function()
    assert.is_true(open(("redis://localhost:%d"):format(redis.port)):put("a", "1"))
    assert_failure("resolver ADDRESS;", "not_sent", open("redis://redis.example:1"):put("a", "1"))
  end)

  describe("over TLS", function()
    local server, port

    setup(function()
      port = peers.unused_port()
      server = servers.start(("tls-port %d\ntls-auth-clients no\ntls-cert-file \"%s\"\ntls-key-file \"%s\""):format(
        port, certificates.right_host.file, certificates.right_host.key))
    end)

    it("verifies the certificate and its name", function()
      local url = ("rediss://127.0.0.1:%d?server_name=localhost"):format(port)
      assert.is_true(open(url):put("a", "1"))
      assert.equal("1", open(url):get("a"))
      assert.equal("1", open(server:url()):get("a"))
      assert_failure("the certificate there", "not_sent",
        open(("rediss://127.0.0.1:%d?server_name=other.example"):format(port)):put("a", "1"))
    end)

    it("trusts no stranger", function()
      local other_port = peers.unused_port()
      servers.start(("tls-port %d\ntls-auth-clients no\ntls-cert-file \"%s\"\ntls-key-file \"%s\""):format(other_port,
        certificates.alone.file, certificates.alone.key))
      assert_failure("the certificate there cannot be verified", nil,
        open(("rediss://localhost:%d"):format(other_port)):get("a"))
    end)

    it("says that a port speaks no TLS", function()
      assert_failure("speaks TLS", nil, open(("rediss://localhost:%d"):format(server.port)):get("a"))
    end)

    it("raises for what the configuration of nginx decides", function()
      for query, wanted in pairs { ["ca_file=x"] = "lua_ssl_trusted_certificate",
        ["certificate_file=x&key_file=y"] = "no client certificates" } do
        local is_ok, problem = pcall(nginx.run, nginx, "return " .. opening("rediss://SECRET:SECRET@h?" .. query))
        assert.is_false(is_ok)
        assert.is_truthy(problem:find(wanted, 1, true), problem)
        assert.is_nil(problem:find("SECRET", 1, true))
      end
    end)
  end)

  describe("where Redis goes away", function()
    local server

    before_each(function()
      server = servers.start()
    end)

    after_each(function()
      server:stop()
    end)

    it("says so, and goes on by itself when it is back, whatever the operation", function()
      local url = server:url()
      for _, name in ipairs { "get", "put", "add", "remove", "list" } do
        local store = open(url)
        -- Several connections in the pool, all of which end with the server.
        nginx:run([[local store = require("paciolan.store").redis(...)
          local threads = {}
          for i = 1, 3 do threads[i] = ngx.thread.spawn(function() assert(store:put("a", "1")) end) end
          for i = 1, 3 do ngx.thread.wait(threads[i]) end]], url)
        server:stop("KILL")
        assert_failure("nothing answers there", nil, store:get("a"))
        server:start()
        local _, err = store[name](store, "a", name ~= "list" and "1" or nil)
        assert.is_nil(err)
      end
    end)

    it("replaces a connection that the server ended while nobody used it", function()
      local store = open(server:url())
      for i = 1, 5 do
        assert.is_true(store:add(("%d"):format(i), "1"))
        server:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
      end
    end)

    it("gives up on one that is held, and never takes a late answer for another's", function()
      local store = open(server:url("?timeout_ms=100&connect_timeout_ms=5000"))
      assert.is_true(store:put("a", "1"))
      assert.is_true(store:put("b", "2"))
      server:pause()
      assert_failure("no answer in time", nil, store:get("a"))
      assert_failure("the change may have been made", nil, store:put("c", "3"))
      server:continue()
      for _ = 1, 3 do
        assert.equal("2", store:get("b"))
        assert.equal("1", store:get("a"))
      end
    end)
  end)

  describe("where the server misbehaves", function()
    it("bounds what trickles, floods and stays mute", function()
      for mode, wanted in pairs { trickle = "no answer in time", mute = "no answer in time",
        flood = "does not speak the protocol" } do
        local port = servers.misbehave(mode)
        assert_failure(wanted, nil, open(("redis://127.0.0.1:%d?timeout_ms=200"):format(port)):get("a"))
      end
    end)

    it("reads no answer twice where a server sends two", function()
      local store = open(("redis://127.0.0.1:%d"):format(servers.misbehave("double")))
      for _ = 1, 3 do
        assert.equal("right", store:get("a"))
      end
    end)

    it("sends a read once more when the answer was lost, and a change never", function()
      local store = open(("redis://127.0.0.1:%d"):format(servers.misbehave("lose", redis, 1)))
      assert.is_nil(select(2, store:get("a")))
      store = open(("redis://127.0.0.1:%d"):format(servers.misbehave("lose", redis, 1)))
      assert_failure("the change may have been made", nil, store:add("lost", "1"))
      assert.equal("1", open():get("lost"))
    end)
  end)

  describe("in other phases", function()
    it("works in init, and leaves no connection to the workers", function()
      assert.equal("true", nginx:run([[return ngx.shared.d:get("init")]]))
      assert.equal("1", nginx:run([[return in_init:get("made in init")]]))
    end)

    it("works in a timer", function()
      assert.equal("1", nginx:run([[
        ngx.timer.at(0, function() ngx.shared.d:set("timer", in_init:get("made in init")) end)
        repeat ngx.sleep(0.001) until ngx.shared.d:get("timer")
        return ngx.shared.d:get("timer")]]))
    end)

    it("says what to do where there are no cosockets", function()
      local _, _, headers = nginx:get("/header_filter")
      assert.is_truthy(headers["x-problem"]:find("no cosockets in the phase header_filter", 1, true))
      assert.equal("not_sent", headers["x-outcome"])
    end)
  end)

  it("is closed for good", function()
    local is_ok, problem = nginx:run([[local store = require("paciolan.store").redis(...)
      store:put("a", "1") store:close() store:close()
      return pcall(store.get, store, "a")]], redis:url())
    assert.is_false(is_ok)
    assert.is_truthy(problem:find("the store is closed", 1, true))
  end)
end)
