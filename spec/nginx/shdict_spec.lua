--- The store in a shared dict of nginx: the contract, and what only workers, dicts and their ends can do to it.
local core = require("paciolan.core")
local openresty = require("support.openresty")
local remote_store = require("support.remote_store")
local shdict = require("paciolan.store.shdict")
local socket = require("socket")

local OPEN = [[require("paciolan.store").open("shdict:large")]]
local TINY = [[require("paciolan.store").shdict { dict = "tiny" }]]
local WORKERS, TURNS = 2, 200

-- Every worker waits for the mark "go" and then does the same as all others.
local HTTP = [[
  lua_shared_dict large 8m;
  lua_shared_dict tiny 32k;
  lua_shared_dict kept 1m;
  lua_shared_dict race 1m;
  init_by_lua_block {
    local store = require("paciolan.store").shdict("kept")
    assert(store:add("made in init", "1") ~= nil)
  }
  init_worker_by_lua_block {
    local function race()
      local dict, store = ngx.shared.race, require("paciolan.store").shdict("race")
      repeat ngx.sleep(0.005) until dict:get("go") or ngx.worker.exiting()
      local turns = dict:get("go") or 0
      for i = 1, turns do
        local before
        repeat
          before = store:get("counter")
          if before == nil then error("the counter was missing") end
        until store:replace("counter", before, ("%d"):format(before + 1) .. (" "):rep(i % 7))
        if store:add("add " .. i, "1") then dict:incr("added", 1) end
        if store:remove("remove " .. i, "1") then dict:incr("removed", 1) end
      end
      dict:incr("ready", 1)
    end
    -- Each turn takes one value of the full dict away, and puts it back.
    local function remove_in_full()
      local dict, store = ngx.shared.race, require("paciolan.store").shdict("tiny")
      repeat ngx.sleep(0.005) until dict:get("full") or ngx.worker.exiting()
      local key = "fill " .. ngx.worker.id() + 1
      for _ = 1, dict:get("full") or 0 do
        dict:incr(store:remove(key) and "full removed" or "full failed", 1)
        repeat until store:add(key, ("x"):rep(100)) ~= nil or ngx.worker.exiting()
      end
      dict:incr("full ready", 1)
    end
    assert(ngx.timer.at(0, remove_in_full))
    assert(ngx.timer.at(0, race))
  }
]]

local SERVER = [[
  location = /log {
    header_filter_by_lua_block {
      local value, err = require("paciolan.store").shdict("large"):put("from header_filter", "1", { ttl_s = 60 })
      ngx.header["x-put"] = tostring(value) .. (err and err.message or "")
    }
    content_by_lua_block { ngx.say("said") }
  }
]]

describe("the shdict store", function()
  local server

  setup(function()
    server = openresty.start { workers = WORKERS, http = HTTP, server = SERVER }
  end)

  teardown(function()
    openresty.stop_all()
  end)

  local function clear(name)
    server:run("ngx.shared[...]:flush_all() ngx.shared[...]:flush_expired()", name)
  end

  -- Takes the time off every time to live.
  local function advance(_, ms)
    server:run([[
      local dict, ms = ngx.shared.large, ...
      for _, key in ipairs(dict:get_keys(0)) do
        local left_s = dict:ttl(key)
        if left_s and left_s ~= 0 and left_s * 1000 <= ms then
          dict:delete(key)
        elseif left_s and left_s ~= 0 then
          dict:expire(key, left_s - ms / 1000)
        end
      end]], ms)
  end

  describe("as every store", function()
    require("support.store_contract") {
      open = function()
        clear("large")
        return remote_store.new(server, OPEN)
      end,
      advance = advance,
      broken = function()
        server:run([[ngx.shared.large:set("foreign:/value/a", 7)]])
        return remote_store.new(server, [[require("paciolan.store").shdict { dict = "large", prefix = "foreign:" }]])
      end,
    }
  end)

  describe("on its dict", function()
    local store

    before_each(function()
      clear("large")
      store = remote_store.new(server, OPEN)
    end)

    it("leaves nothing behind of what was replaced and removed", function()
      for i = 1, 20 do
        store:put("a", ("x"):rep(i * 10))
        store:replace("a", ("x"):rep(i * 10), "short", { ttl_s = 60 })
      end
      -- The mark, the bytes, and the reserve of the locks.
      assert.equal(3, server:run("return #ngx.shared.large:get_keys(0)"))
      assert.is_true(store:remove("a"))
      assert.equal(1, server:run("return #ngx.shared.large:get_keys(0)"))
    end)

    it("takes the longest key that a dict takes, and says so of a longer one", function()
      local longest = ("k"):rep(65535 - #"paciolan:/value/")
      assert.is_true(store:put(longest, "1"))
      assert.equal("1", store:get(longest))
      assert.equal(longest, store:list("k")[1][1])
      assert.is_true(store:remove(longest))
      for _, name in ipairs { "get", "put", "add", "remove" } do
        local value, err = store[name](store, longest .. "k", "1")
        assert.is_nil(value)
        assert.is_truthy(err.message:find("65535 bytes", 1, true), err.message)
      end
    end)

    it("is another one with another prefix", function()
      local other = remote_store.new(server, [[require("paciolan.store").shdict { dict = "large", prefix = "b:" }]])
      assert.is_true(store:add("a", "1"))
      assert.is_true(other:add("a", "2"))
      assert.same({ { "a", "1" } }, store:list(""))
      assert.same({ { "a", "2" } }, other:list(""))
    end)

    it("keeps the rest of the time with a replace, and never lets it become for good", function()
      assert.is_true(store:put("a", "1", { ttl_s = 60 }))
      assert.is_true(store:replace("a", "1", "22"))
      local left_s = server:run([[return ngx.shared.large:ttl("paciolan:/value/a")]])
      assert.is_true(left_s > 0 and left_s <= 60.001, left_s)
      local outcome, is_there = server:run([[
        local store = require("paciolan.store").shdict("large")
        store:put("b", "1", { ttl_s = 0.002 })
        local outcome
        repeat outcome = store:replace("b", "1", "1") ngx.sleep(0) ngx.update_time() until outcome == false
        ngx.sleep(0.01)
        return outcome, store:get("b") ~= nil]])
      assert.is_false(outcome)
      assert.is_false(is_there)
    end)

    it("counts a time to live from the write, also after work that blocked", function()
      local lasted_s, ended, added = server:run([[
        local core, dict = require("paciolan.core"), ngx.shared.large
        local store = require("paciolan.store").shdict("large")
        local before_s = ngx.now()
        core.sleep(50)
        store:add("a", "1", { ttl_s = 60 })
        local lasted_s = ngx.now() + dict:ttl("paciolan:/value/a") - before_s
        store:put("b", "1", { ttl_s = 0.02 })
        store:put("c", "1", { ttl_s = 0.02 })
        core.sleep(30)
        local ended = store:replace("b", "1", "2") == false
        store:put("c", "1", { ttl_s = 0.02 })
        core.sleep(30)
        return lasted_s, ended, store:add("c", "2")]])
      assert.is_true(lasted_s > 60.04, lasted_s)
      assert.is_true(ended)
      assert.is_true(added)
    end)

    it("works in a phase that cannot wait", function()
      local status, _, headers = server:get("/log")
      assert.equal(200, status)
      assert.equal("true", headers["x-put"])
      assert.equal("1", store:get("from header_filter"))
    end)

    it("is closed for good in the Lua that closed it", function()
      local is_ok, problem = server:run(
        [[local store = require("paciolan.store").shdict("large") store:close() store:close()
          return pcall(store.get, store, "a")]])
      assert.is_false(is_ok)
      assert.is_truthy(problem:find("the store is closed", 1, true))
    end)
  end)

  describe("with a full dict", function()
    local store

    before_each(function()
      clear("tiny")
      store = remote_store.new(server, TINY)
    end)

    -- Adds values until one is refused; returns how many there are, and the error.
    local function fill(options)
      for i = 1, 10000 do
        local ok, err = store:add(("fill %d"):format(i), ("x"):rep(100), options)
        if not ok then
          return i - 1, err
        end
      end
    end

    it("refuses what is new, says what to do, and evicts nothing", function()
      local count, err = fill()
      assert.equal("store", err.kind)
      assert.equal("not_sent", err.outcome)
      assert.is_truthy(err.message:find("the shared dict tiny is full, raise its size in lua_shared_dict", 1, true))
      assert.is_true(count > 3)
      assert.equal(count, #store:list("fill "))
    end)

    it("keeps the old value when there is no room for a longer one", function()
      assert.is_true(store:put("a", "old", { ttl_s = 3600 }))
      assert.is_true(store:put("b", "old"))
      fill()
      local long = ("y"):rep(2000)
      for _, key in ipairs { "a", "b" } do
        for _, answer in ipairs { { store:put(key, long) }, { store:replace(key, "old", long) },
          { store:replace(key, "old", long, { ttl_s = 1 }) } } do
          assert.is_nil(answer[1])
          assert.equal("not_sent", answer[2].outcome)
          assert.equal("old", store:get(key))
        end
      end
      assert.is_true(server:run([[return ngx.shared.tiny:ttl("paciolan:/value/a") > 3000]]))
    end)

    it("goes on when there is room again", function()
      fill()
      for i = 1, 3 do
        assert.is_true(store:remove(("fill %d"):format(i)))
        assert.is_true(store:add(("more %d"):format(i), ("x"):rep(100)))
      end
    end)

    -- Each of them needs a lock, and the one place that is left for locks may be taken.
    it("removes while others have the last room for a moment", function()
      fill()
      local outcome, was_refused = server:run([[
        local dict, store = ngx.shared.tiny, require("paciolan.store").shdict { dict = "tiny" }
        local reserve = "paciolan:/lock/" .. ("-"):rep(64)
        local filler = ("f"):rep(#reserve)
        assert(dict:get(reserve))
        dict:delete(reserve)
        local count = 0
        while dict:safe_add(filler .. count, ("-"):rep(47)) do count = count + 1 end
        ngx.thread.spawn(function()
          ngx.sleep(0.005)
          for i = 0, count - 1 do dict:delete(filler .. i) end
        end)
        local refused = not dict:safe_add(reserve, ("-"):rep(47))
        local outcome, err = store:remove("fill 1")
        return err and err.message or outcome, refused]])
      assert.is_true(was_refused)
      assert.is_true(outcome)
    end)

    it("removes in all workers at the same time", function()
      fill()
      local removed, failed = 0, 0
      server:run([[local dict = ngx.shared.race
        dict:set("full removed", 0) dict:set("full failed", 0) dict:set("full ready", 0)
        dict:set("full", ...)]], TURNS)
      for _ = 1, 1000 do
        local ready
        ready, removed, failed = server:run([[local dict = ngx.shared.race
          return dict:get("full ready"), dict:get("full removed"), dict:get("full failed")]])
        if ready == WORKERS then
          break
        end
        socket.sleep(0.02)
      end
      assert.equal(0, failed)
      assert.equal(WORKERS * TURNS, removed)
    end)

    it("does not look through the dict for every value that is refused", function()
      fill()
      local refused, looks = server:run([[
        local core, store = require("paciolan.core"), require("paciolan.store").shdict { dict = "tiny" }
        local dict, looks, refused = store._backend.dict, 0, 0
        store._backend.dict = setmetatable({}, { __index = function(_, name)
          return function(_, ...)
            if name == "flush_expired" then
              looks = looks + 1
              core.sleep(5) -- as in a large dict
            end
            return dict[name](dict, ...)
          end
        end })
        for i = 1, 30 do
          if store:add("new " .. i, ("x"):rep(100)) == nil then refused = refused + 1 end
        end
        return refused, looks]])
      assert.equal(30, refused)
      assert.is_true(looks >= 1 and looks < 15, looks)
    end)

    it("takes the room of what has ended", function()
      fill { ttl_s = 0.05 }
      server:run("ngx.sleep(0.06)")
      -- A store of its own, for how long one waits after a look in vain depends on how long that took.
      assert.is_true(remote_store.new(server, TINY .. " "):put("new", ("x"):rep(1500)))
      assert.equal(1, #store:list(""))
    end)
  end)

  it("counts right when all workers change the same keys", function()
    server:run([[
      local store, dict = require("paciolan.store").shdict("race"), ngx.shared.race
      store:put("counter", "0")
      for i = 1, ... do store:put("remove " .. i, "1") end
      dict:set("added", 0) dict:set("removed", 0) dict:set("ready", 0)
      dict:set("go", ...)]], TURNS)
    local ready
    for _ = 1, 1000 do
      ready = server:run([[return ngx.shared.race:get("ready")]])
      if ready == WORKERS then
        break
      end
      socket.sleep(0.02)
    end
    assert.equal(WORKERS, ready, server:errors())
    local counter, added, removed = server:run([[local dict = ngx.shared.race
      local counter = require("paciolan.store").shdict("race"):get("counter")
      return tonumber(counter), dict:get("added"), dict:get("removed")]])
    assert.equal(WORKERS * TURNS, counter)
    assert.equal(TURNS, added)
    assert.equal(TURNS, removed)
    assert.is_nil(server:errors():find("missing", 1, true))
  end)

  describe("with a lock", function()
    local store
    local LOCK = "paciolan:/lock/" .. core.fingerprint("a")

    before_each(function()
      clear("large")
      store = remote_store.new(server, OPEN)
    end)

    local function lock(pid, ttl_s)
      server:run([[local name, pid, ttl_s = ...
        ngx.shared.large:set(name, ("%010d %s"):format(pid, ("f"):rep(36)), ttl_s)]], LOCK, pid, ttl_s)
    end

    -- Puts a value in a worker that is killed at that call of the dict.
    local function die_in(method)
      local is_ok = pcall(server.run, server, [[
        local ffi = require("ffi")
        local store = require("paciolan.store").shdict("large")
        local dict, method = store._backend.dict, ...
        store._backend.dict = setmetatable({}, { __index = function(_, name)
          if name == method then
            ffi.C.kill(ngx.worker.pid(), 9)
          end
          return function(_, ...) return dict[name](dict, ...) end
        end })
        store:put("a", "a new value")]], method)
      assert.is_false(is_ok)
      assert.is_truthy(server:run("return ngx.shared.large:get(...)", LOCK))
    end

    it("of a worker that was killed in the middle goes on at once, with the old value", function()
      assert.is_true(store:put("a", "old"))
      for _, method in ipairs { "expire", "safe_set" } do
        die_in(method)
        assert.equal("old", store:get("a"))
        local before_ms = core.monotonic_ms()
        assert.is_true(store:replace("a", "old", "old"))
        assert.is_true(core.monotonic_ms() - before_ms < 20000)
        assert.is_nil(server:run("return ngx.shared.large:get(...)", LOCK))
      end
      assert.same({ { "a", "old" } }, store:list(""))
      -- The mark, the bytes, the reserve, and the two locks that were broken; nothing of what was never written.
      assert.equal(5, server:run("return #ngx.shared.large:get_keys(0)"))
    end)

    it("of a worker that was killed at the end goes on with the new value", function()
      assert.is_true(store:put("a", "old"))
      die_in("delete")
      assert.equal("a new value", store:get("a"))
      assert.is_true(store:replace("a", "a new value", "newer"))
      assert.equal("newer", store:get("a"))
    end)

    it("of its own process, which nobody can hold any more, goes on at once", function()
      server:run([[local store = require("paciolan.store").shdict("large")
        ngx.shared.large:set(..., ("%010d %s"):format(ngx.worker.pid(), ("f"):rep(36)))
        assert(store:put("a", "1"))]], LOCK)
      assert.equal("1", store:get("a"))
    end)

    it("of a living process waits, and says so in the end", function()
      assert.is_true(store:put("a", "1"))
      lock(server.pid)
      for _, answer in ipairs { { store:replace("a", "1", "2") }, { store:remove("a") } } do
        assert.is_nil(answer[1])
        assert.equal("not_sent", answer[2].outcome)
        assert.is_truthy(answer[2].message:find("another worker has kept the key locked", 1, true))
      end
      assert.equal("1", store:get("a"))
      assert.is_true(store:put("b", "1"))
    end)

    it("waits until that ends", function()
      lock(server.pid, 0.1)
      assert.is_true(store:put("a", "1"))
      assert.equal("1", store:get("a"))
    end)

    it("of a dead worker goes on when others died while they broke it", function()
      lock(4194305) -- more than a pid can be
      for _ = 1, 2 do
        local is_ok = pcall(server.run, server, [[
          local store = require("paciolan.store").shdict("large")
          local dict = store._backend.locks.dict
          store._backend.locks.dict = setmetatable({}, { __index = function(_, name)
            if name == "safe_set" then
              require("ffi").C.kill(ngx.worker.pid(), 9)
            end
            return function(_, ...) return dict[name](dict, ...) end
          end })
          store:put("a", "never")]])
        assert.is_false(is_ok)
      end
      assert.equal(("%010d %s"):format(4194305, ("f"):rep(36)), server:run("return ngx.shared.large:get(...)", LOCK))
      assert.is_true(store:put("a", "1"))
      assert.equal("1", store:get("a"))
      assert.is_nil(server:run("return ngx.shared.large:get(...)", LOCK))
    end)

    it("changes nothing after it stood still for longer than its lock lasts", function()
      assert.is_true(store:put("a", "old"))
      local value, outcome, message = server:run([[
        local store = require("paciolan.store").shdict("large")
        local dict = store._backend.dict
        store._backend.dict = setmetatable({}, { __index = function(_, name)
          return function(_, key, ...)
            if name == "safe_add" then
              local is_added, problem = dict:safe_add(key, (...), 0.01) -- as little as if the worker was stopped
              require("paciolan.core").sleep(20)
              return is_added, problem
            end
            return dict[name](dict, key, ...)
          end
        end })
        local value, err = store:put("a", "late")
        return value, err.outcome, err.message]])
      assert.is_nil(value)
      assert.equal("not_sent", outcome)
      assert.is_truthy(message:find("stood still", 1, true))
      assert.equal("old", store:get("a"))
    end)
  end)

  it("keeps its values over a reload", function()
    local store = remote_store.new(server, [[require("paciolan.store").shdict("kept")]])
    assert.equal("1", store:get("made in init"))
    assert.is_true(store:put("a", "1", { ttl_s = 3600 }))
    server:reload()
    assert.equal("1", store:get("made in init"))
    assert.equal("1", store:get("a"))
  end)

  describe("options", function()
    it("raise with the line for nginx.conf where the dict is missing", function()
      local _, problem = pcall(server.run, server, [[return require("paciolan.store").open("shdict:none")]])
      assert.is_truthy(problem:find('add "lua_shared_dict none 10m;" to http { }', 1, true), problem)
    end)

    it("raise where they are wrong, outside of nginx too", function()
      local rows = { { 7, "a table, not number" }, { {}, "option dict is missing" }, { { dict = "" }, "dict must be" },
        { { dict = "d", prefix = "a/b" }, "prefix must be" }, { { dict = "d", size = 1 }, "unknown option size" },
        { { dict = "d", prefix = ("p"):rep(201) }, "prefix must be" }, { "d", "inside nginx only" } }
      for _, row in ipairs(rows) do
        local is_ok, problem = pcall(shdict.new, row[1])
        assert.is_false(is_ok)
        assert.is_truthy(problem:find(row[2], 1, true), problem)
      end
    end)
  end)
end)
