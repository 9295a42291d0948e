--- One token set for several processes, on a real store, against the sandbox over sockets. How often the service was
-- asked is read from its own ledger. FLEET_SIZE says how many processes there are, FLEET_STORES on which stores they
-- meet: `sqlite redis`.
local core = require("paciolan.core")
local files = require("support.files")
local fleet = require("support.fleet")
local folder = require("support.folder")
local market = require("support.market")
local paciolan = require("paciolan")
local peers = require("support.peers")
local program = require("support.program")
local redis = require("support.redis")
local socket = require("socket")

local SIZE, CALLS = tonumber(os.getenv("FLEET_SIZE")) or 8, 16
-- A token call that takes so long is given up, and the lock of a process that died ends as long after a second.
local QUICK = { timeout_ms = 1000 }
local PAST = "2020-01-01T00:00:00.000000000Z"

local function in_sqlite()
  return { url = "sqlite:" .. folder.make() .. "/paciolan.db", close = folder.remove_all }
end

local function in_redis(settings)
  local server = redis.start(settings)
  return { url = server:url(), server = server, close = function() redis.stop_all() end }
end

local OPEN = { sqlite = in_sqlite, redis = in_redis }

for name in (os.getenv("FLEET_STORES") or "sqlite redis"):gmatch("%a+") do
  local open = OPEN[name]
  describe("a fleet on one store in " .. name, function()
    local place, home, store

    before_each(function()
      place, home = market.open(), open()
      store = paciolan.store.open(home.url)
    end)

    after_each(function()
      program.stop_all()
      store:close()
      place:close()
      home.close()
    end)

    local function expect_counts(exchanged, refreshed, refused)
      local counts = place:ledger().tokens
      assert.same({ exchanged, refreshed, refused },
        { counts.exchanged, counts.refreshed, counts.refused })
    end

    local function expect_good(sum, count)
      assert.same({ count, {}, "" }, { sum.good, sum.kinds, sum.messages })
    end

    -- A set in the store that has ended by the service's word.
    local function store_ended_set(options)
      local link = place:client { store = store }
      local set = assert(link.auth:token())
      place.box:control("POST", "/_sandbox/tokens/expire", options or {})
      link:close()
      return set
    end

    it("exchanges the one code once", function()
      local sum = fleet.join(fleet.start(SIZE, place.box, home.url, { PACIOLAN_AUTH_CODE = place.box.auth_code }))
      expect_good(sum, SIZE * CALLS)
      expect_counts(1, 0, 0)
    end)

    it("renews a configured set that has ended once", function()
      local set = assert(place.link.auth:token())
      place.box:control("POST", "/_sandbox/tokens/expire", {})
      local sum = fleet.join(fleet.start(SIZE, place.box, home.url, {
        FLEET_OPTIONS = {
          auth = { access_token = set.accessToken, refresh_token = set.refreshToken, expiration = PAST },
        },
      }))
      expect_good(sum, SIZE * CALLS)
      expect_counts(1, 1, 0)
    end)

    it("renews a stored set that the service refuses once", function()
      store_ended_set()
      local sum = fleet.join(fleet.start(SIZE, place.box, home.url))
      expect_good(sum, SIZE * CALLS)
      expect_counts(1, 1, 0)
    end)

    it("renews a set that is revoked in mid-run once", function()
      local link = place:client { store = store }
      assert(link.auth:token())
      local workers = fleet.start(4, place.box, home.url, { FLEET_CALLS = 25, FLEET_SECONDS = 1 })
      socket.sleep(0.3)
      place.box:control("POST", "/_sandbox/tokens/revoke", {})
      local sum = fleet.join(workers)
      assert.is_true(sum.good >= 100)
      expect_good(sum, sum.good)
      expect_counts(1, 1, 0)
      link:close()
    end)

    -- One process dies in its renewal, the others begin when it is dead.
    local function others_after(step, more)
      local doomed = fleet.worker(place.box, home.url, { FLEET_KILL = step, FLEET_CALLS = 1, FLEET_OPTIONS = QUICK })
      assert.is_nil(doomed:join())
      local variables = { FLEET_OPTIONS = QUICK }
      for variable, value in pairs(more or {}) do
        variables[variable] = value
      end
      return fleet.join(fleet.start(SIZE - 1, place.box, home.url, variables))
    end

    it("goes on when the one that renews is killed before the request", function()
      store_ended_set()
      expect_good(others_after("request"), (SIZE - 1) * CALLS)
      expect_counts(1, 1, 0)
    end)

    it("goes on at once when it is killed while the new pair is stored and the lock still held", function()
      store_ended_set()
      local began = core.monotonic_ms()
      expect_good(others_after("stored"), (SIZE - 1) * CALLS)
      expect_counts(1, 1, 0)
      local list = assert(store:list("paciolan/lock/"))
      assert.is_true(#list == 1 or core.monotonic_ms() - began > 2000)
    end)

    it("goes on when it is killed after the renewal", function()
      store_ended_set()
      expect_good(others_after("rotation"), (SIZE - 1) * CALLS)
      expect_counts(1, 1, 0)
    end)

    it("spends one more refresh when it is killed with the answer, and says that a new code is needed", function()
      store_ended_set()
      local sum = others_after("response")
      assert.same({ 0, { auth = (SIZE - 1) * CALLS } }, { sum.good, sum.kinds })
      assert.truthy(sum.messages:find("a new authorization code is needed", 1, true), sum.messages)
      expect_counts(1, 1, 1)
    end)

    it("exchanges a new code when there is one, and the pair was lost with its process", function()
      store_ended_set()
      local code = place.box:new_auth_code()
      expect_good(others_after("response", { PACIOLAN_AUTH_CODE = code }), (SIZE - 1) * CALLS)
      expect_counts(2, 1, 1)
    end)

    it("never sends a code again that one of them sent and got no word of", function()
      local code = { PACIOLAN_AUTH_CODE = place.box.auth_code, FLEET_OPTIONS = QUICK }
      local doomed = fleet.worker(place.box, home.url, { FLEET_KILL = "response", FLEET_CALLS = 1,
        PACIOLAN_AUTH_CODE = place.box.auth_code, FLEET_OPTIONS = QUICK })
      assert.is_nil(doomed:join())
      local sum = fleet.join(fleet.start(2, place.box, home.url, code))
      assert.same({ 0, { auth = 2 * CALLS } }, { sum.good, sum.kinds })
      assert.truthy(sum.messages:find("a new authorization code is needed", 1, true), sum.messages)
      expect_counts(1, 0, 0)
    end)
  end)
end

describe("a hundred calls side by side", function()
  it("succeed after one shared renewal of a token that was revoked", function()
    local place, home = market.open(), in_sqlite()
    local store = paciolan.store.open(home.url)
    local link = place:client { store = store }
    local tasks, done = {}, 0
    for i = 1, 100 do
      tasks[i] = function()
        for _ = 1, 2 do
          local result, err = link.catalog:events()
          if not result then
            return nil, err
          end
          done = done + 1
          if done == 50 then
            place.box:control("POST", "/_sandbox/tokens/revoke", {})
          end
        end
        return true
      end
    end
    for _, entry in ipairs(paciolan.concurrent(tasks, { limit = 100 })) do
      assert.is_true(entry[1], tostring(entry[2]))
    end
    local counts = place:ledger().tokens
    assert.same({ 1, 1, 0 }, { counts.exchanged, counts.refreshed, counts.refused })
    link:close()
    store:close()
    place:close()
    home.close()
  end)
end)

describe("a Redis that goes away and comes back", function()
  local place, home

  before_each(function()
    place, home = market.open(), in_redis()
  end)

  after_each(function()
    program.stop_all()
    place:close()
    home.close()
    peers.stop_all()
  end)

  -- The workers call all the time; meanwhile the server is stopped, and started again without its data.
  it("costs calls of kind store at most, and never the pair", function()
    local store = paciolan.store.open(home.url)
    local link = place:client { store = store }
    assert(link.auth:token())
    local workers = fleet.start(4, place.box, home.url, { FLEET_CALLS = 4, FLEET_SECONDS = 2.5, FLEET_OPTIONS = QUICK })
    socket.sleep(0.4)
    home.server:stop("KILL")
    socket.sleep(0.4)
    home.server:start()
    socket.sleep(0.4)
    place.box:control("POST", "/_sandbox/tokens/expire", {})
    local sum = fleet.join(workers)
    assert.equal(0, sum.killed)
    assert.is_true(sum.good > 0)
    sum.kinds.store = nil
    assert.same({}, sum.kinds, sum.messages)
    assert(link.catalog:events())
    local counts = place:ledger().tokens
    assert.same({ 1, 1, 0 }, { counts.exchanged, counts.refreshed, counts.refused })
    link:close()
    store:close()
  end)

  -- The answer of the token call comes while the server is away: only the process that renews has the new pair.
  for name, settings in pairs { ["without its data"] = "", ["with its data"] = "appendonly yes\nappendfsync always" } do
    it("in the middle of a renewal, " .. name .. ", costs no session", function()
      home.close()
      home = in_redis(settings)
      local store = paciolan.store.open(home.url)
      local link = place:client { store = store }
      assert(link.auth:token())
      local workers = fleet.start(3, place.box, home.url, { FLEET_CALLS = 4, FLEET_SECONDS = 4, FLEET_OPTIONS = QUICK })
      socket.sleep(0.3)
      place.box:control("POST", "/_sandbox/faults", { fault = "delay=400", count = 1, operation = "auth.token" })
      place.box:control("POST", "/_sandbox/tokens/expire", {})
      repeat
        socket.sleep(0.01)
      until place.box:control("GET", "/_sandbox/faults").applied["delay=400"]
      home.server:stop("KILL")
      socket.sleep(2.5) -- longer than the lock
      home.server:start()
      local sum = fleet.join(workers)
      assert.is_true(sum.good > 0)
      sum.kinds.store = nil
      assert.same({}, sum.kinds, sum.messages)
      assert(link.catalog:events())
      local counts = place:ledger().tokens
      assert.same({ 1, 1, 0, 0 },
        { counts.exchanged, counts.refreshed, counts.refused, counts.families_revoked })
      link:close()
      store:close()
    end)
  end

  it("fails calls within the time of the store, and serves them again", function()
    local store = paciolan.store.redis {
      host = "127.0.0.1", port = home.server.port, timeout_ms = 300, connect_timeout_ms = 300,
    }
    local link = place:client { store = store, deadline_ms = 5000 }
    assert(link.catalog:events())
    home.server:pause()
    local began = core.monotonic_ms()
    local result, err = link.catalog:events()
    assert.is_nil(result)
    assert.equal("store", err.kind)
    assert.is_true(core.monotonic_ms() - began < 5000)
    home.server:continue()
    assert(link.catalog:events())
    link:close()
    store:close()
  end)
end)

describe("a file of sqlite that is taken away", function()
  it("makes an error of kind store that says what to do", function()
    local place, home = market.open(), in_sqlite()
    local store = paciolan.store.open(home.url)
    local link = place:client { store = store }
    assert(link.catalog:events())
    files.write(home.url:match("^sqlite:(.*)/") .. "/other", "")
    os.execute("rm -f " .. home.url:match("^sqlite:(.*)") .. "*")
    local result, err = link.auth:rotate()
    assert.is_nil(result)
    assert.equal("store", err.kind)
    assert.equal(0, place:ledger().tokens.refreshed)
    link:close()
    store:close()
    place:close()
    home.close()
  end)
end)
