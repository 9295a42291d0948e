--- The sqlite store keeps the contract of all stores, in a file that many processes share.
local errors = require("paciolan.errors")
local files = require("support.files")
local folder = require("support.folder")
local program = require("support.program")
local sqlite = require("paciolan.store.sqlite")
local workers = require("support.sqlite_workers")

describe("the sqlite store", function()
  local now_ms = 1700000000000
  local path

  local function open(options)
    options = options or {}
    options.path = options.path or path
    options.now_ms = function() return now_ms end
    return assert(sqlite.new(options))
  end

  local function size_of(name)
    return #files.read(name)
  end

  local function mode_of(name)
    local _, output = program.run("stat -c %a " .. program.words { name })
    return output:match("%d+")
  end

  -- The names of the files in the folder of the store, a line each.
  local function folder_now()
    return (select(2, program.run("ls -A " .. program.words { (path:match("^(.*)/")) })))
  end

  before_each(function()
    path = folder.make() .. "/store one.db"
  end)

  after_each(function()
    program.stop_all()
    folder.remove_all()
  end)

  describe("as a store", function()
    require("support.store_contract") {
      open = open,
      advance = function(_, ms)
        now_ms = now_ms + ms
      end,
      broken = function()
        local store = open()
        assert(os.remove(path))
        return store
      end,
    }
  end)

  describe("keys", function()
    it("are ordered and begin as bytes, whatever these are", function()
      local store = open()
      local keys = { "", "\0", "\0\0", "a", "a\0", "a\255", "a\255\255", "b", "\255", "\255\0", "\255\255",
        "\255\255a" }
      for i = #keys, 1, -1 do
        assert(store:put(keys[i], tostring(i)))
      end
      for _, prefix in ipairs(keys) do
        for _, after in ipairs { false, "", "\0", "a", "a\255", "a\255\255", "\255\255", "\255\255\255" } do
          local wanted = {}
          for i, key in ipairs(keys) do
            if key:sub(1, #prefix) == prefix and (not after or key > after) then
              wanted[#wanted + 1] = { key, tostring(i) }
            end
          end
          assert.same(wanted, store:list(prefix, { after = after or nil }))
        end
      end
      store:close()
    end)
  end)

  describe("its file", function()
    it("keeps what was written beyond the store's end", function()
      local store = open()
      store:put("a", "1")
      store:put("b", "2", { ttl_s = 60 })
      store:close()
      store = open()
      assert.equal("1", store:get("a"))
      now_ms = now_ms + 60000
      assert.is_nil(store:get("b"))
      store:close()
    end)

    it("may be given as a path alone, then runs by the system's clock", function()
      local store = assert(sqlite.new(path))
      store:put("a", "1", { ttl_s = 3600 })
      assert.equal("1", store:get("a"))
      store:close()
    end)

    it("is made for this user only, with the files beside it", function()
      local store = open()
      store:put("a", "1")
      for _, name in ipairs { path, path .. "-wal", path .. "-shm" } do
        assert.equal("600", mode_of(name))
      end
      store:close()
    end)

    it("keeps the mode that it has", function()
      files.write(path, "")
      program.run("chmod 664 " .. program.words { path })
      local store = open()
      store:put("a", "1")
      assert.equal("664", mode_of(path))
      assert.equal("664", mode_of(path .. "-wal"))
      store:close()
    end)

    it("is alone when the last store is closed", function()
      local first, second = open(), open()
      first:close()
      assert.is_true(second:put("a", "1"))
      second:close()
      assert.equal("store one.db\n", folder_now())
    end)

    it("is shared by the stores of one process", function()
      local first, second = open(), open()
      first:put("a", "1")
      assert.equal("1", second:get("a"))
      assert.is_false(second:add("a", "2"))
      first:close()
      assert.is_true(second:replace("a", "1", "2"))
      second:close()
    end)

    it("has a log that stays short while several processes write", function()
      local store = open()
      local outputs = workers.run(4, path, "write", function() return 8000 end)
      assert.same({ "end\n", "end\n", "end\n", "end\n" }, outputs)
      assert.is_true(size_of(path .. "-wal") < 48 * 1000 * 1000)
      store:close()
    end)

    it("does not grow for what has expired", function()
      local store = open()
      for i = 1, 3000 do
        store:put("seen/" .. i, ("x"):rep(1000), { ttl_s = 1 })
        now_ms = now_ms + 10
      end
      store:close()
      assert.is_true(size_of(path) < 600 * 1000)
    end)

    it("does not grow for what has expired in groups, and in programs that end soon", function()
      local written = 0
      for _ = 1, 20 do
        local store = open()
        store:group(function()
          for i = 1, 100 do
            store:put(("seen/%d"):format(written + i), ("x"):rep(1000), { ttl_s = 1 })
          end
        end)
        store:close()
        written = written + 100
        now_ms = now_ms + 1000
      end
      assert.is_true(size_of(path) < 600 * 1000)
    end)

    it("takes the same few handles and no more memory for any number of operations", function()
      local function open_files()
        local _, output = program.run("ls -l /proc/$PPID/fd | grep -c " .. program.words { path:match("^(.*)/") })
        return tonumber(output)
      end
      local store = open()
      collectgarbage()
      local memory_kb = collectgarbage("count")
      for i = 1, (tonumber(os.getenv("STORE_OPERATIONS")) or 100000) / 5 do
        local key = "key/" .. i % 100
        assert(store:put(key, tostring(i)))
        assert(store:get(key))
        assert(store:replace(key, tostring(i), "x"))
        assert(store:remove(key))
        assert(store:list("key/", { limit = 3 }))
      end
      collectgarbage()
      collectgarbage()
      assert.is_true(collectgarbage("count") < memory_kb + 100)
      assert.equal(3, open_files())
      store:close()
      assert.equal(0, open_files())
    end)
  end)

  describe("processes", function()
    it("see each other's writes", function()
      local store = open()
      local outputs = workers.run(1, path, "open", function() return "one" end)
      assert.same({ "end\n" }, outputs)
      assert.equal("one", store:get("opened/one"))
      store:close()
    end)

    it("open a new file at the same moment", function()
      local outputs = workers.run(8, path, "open", tostring)
      assert.same({ "end\n", "end\n", "end\n", "end\n", "end\n", "end\n", "end\n", "end\n" }, outputs)
      local store = open()
      assert.equal(8, #store:list("opened/"))
      store:close()
    end)

    it("lose no write to each other", function()
      local store = open()
      store:put("counter", "0")
      local outputs = workers.run(4, path, "count", function() return 200 end)
      assert.same({ "end\n", "end\n", "end\n", "end\n" }, outputs)
      assert.equal("800", store:get("counter"))
      store:close()
    end)

    it("have one winner for each key that several add", function()
      open():close()
      local sum = 0
      for _, output in ipairs(workers.run(4, path, "add", function() return 200 end)) do
        sum = sum + tonumber(output:match("^won (%d+)\nend\n$"))
      end
      assert.equal(200, sum)
    end)

    it("keep every write that was acknowledged when one is killed", function()
      local worker = program.start(workers.command(path, "write_for_ever"))
      worker:wait_for("\n60\n")
      local _, output = worker:stop("KILL")
      local store, last = open(), 0
      for number in output:gmatch("(%d+)\n") do
        last = last + 1
        assert.equal(last, tonumber(number))
        assert.equal(("value"):rep(last % 50), store:get("number/" .. number))
      end
      assert.is_true(last >= 60)
      store:close()
    end)

    it("wait for each other no longer than they are told", function()
      local store = open { busy_timeout_ms = 50 }
      local worker = program.start(workers.command(path, "lock"))
      worker:wait_for("locked")
      local done, err = store:put("a", "1")
      assert.is_nil(done)
      assert.same({ "store", "not_sent" }, { err.kind, err.outcome })
      assert.matches("another process, or another store of this one, has kept the file locked for more than 50 ms",
        err.message, 1, true)
      local _, group_err = store:group(function() return true end)
      assert.matches("has kept the file locked", group_err.message, 1, true)
      assert.is_nil(store:get("locked"))
      worker:stop("KILL")
      assert.is_true(store:put("a", "1"))
      assert.is_nil(store:get("locked"))
      store:close()
    end)
  end)

  describe("a group", function()
    local store

    before_each(function()
      store = open()
      store:put("a", "0")
    end)

    after_each(function()
      store:close()
    end)

    it("writes all, and returns what its function returned", function()
      for _, options in ipairs { false, { durable = true }, { durable = false } } do
        assert.is_true(store:group(function(inside)
          assert.equal(store, inside)
          assert.is_true(inside:put("a", "1"))
          assert.is_true(inside:add("b", "2", { ttl_s = 60, durable = true }))
          assert.equal("2", inside:get("b"))
          assert.is_true(inside:remove("b"))
        end, options or nil))
      end
      assert.equal("1", store:get("a"))
      assert.is_nil(store:get("b"))
      assert.same({ 1, "two", false }, { store:group(function() return 1, "two", false end) })
      assert.is_false(store:group(function() return false end))
    end)

    it("writes nothing that others see before its end", function()
      local other = open()
      store:group(function()
        store:put("a", "1")
        assert.equal("0", other:get("a"))
      end)
      assert.equal("1", other:get("a"))
      other:close()
    end)

    it("undoes all when its function returns nil and an error", function()
      local problem = errors.store("not today")
      local done, err = store:group(function()
        store:put("a", "1")
        return nil, problem
      end)
      assert.is_nil(done)
      assert.equal(problem, err)
      assert.equal("0", store:get("a"))
      assert.is_true(store:put("a", "2"))
    end)

    it("undoes all when its function raises, and lets the error go on", function()
      local problem = {}
      local ok, raised = pcall(store.group, store, function()
        store:put("a", "1")
        error(problem)
      end)
      assert.is_false(ok)
      assert.equal(problem, raised)
      assert.equal("0", store:get("a"))
      assert.is_true(store:group(function() store:put("a", "2") end))
      assert.equal("2", store:get("a"))
    end)

    it("is not entered twice", function()
      local inner
      assert.is_true(store:group(function()
        store:put("a", "1")
        inner = { pcall(store.group, store, function() end) }
      end))
      assert.is_false(inner[1])
      assert.matches("a group of this store is open already", inner[2], 1, true)
      assert.equal("1", store:get("a"))
    end)

    it("is not for other coroutines", function()
      local raised = {}
      assert.is_true(store:group(function()
        store:put("a", "1")
        for _, use in ipairs {
          function() store:get("a") end, function() store:put("a", "2") end, function() store:add("a", "2") end,
          function() store:replace("a", "0", "2") end, function() store:remove("a") end, function() store:list("") end,
          function() store:group(function() end) end,
        } do
          raised[#raised + 1] = select(2, coroutine.resume(coroutine.create(use)))
        end
      end))
      assert.equal(7, #raised)
      for _, message in ipairs(raised) do
        assert.matches("sqlite_spec.lua:%d+: a group of this store is open in another coroutine", message)
      end
      assert.equal("1", store:get("a"))
    end)

    -- A group that yields, called from the main program, from a coroutine, and from one that nobody resumes again.
    local function assert_yield_raises(call)
      local ok, message = call(function()
        store:group(function()
          store:put("a", "1")
          coroutine.yield("not seen")
        end)
      end)
      assert.is_false(ok)
      assert.matches("sqlite_spec.lua:%d+: a group must not yield: nothing of it was written", message)
      assert.same({ "end\n" }, workers.run(1, path, "open", function() return "two" end))
      os.remove(path .. ".go")
      assert.equal("0", store:get("a"))
      assert.equal("two", store:get("opened/two"))
      assert.is_true(store:group(function() store:put("b", "2") end))
      assert.equal("2", store:get("b"))
    end

    it("raises when it yields, undone, and the file is free for other processes", function()
      assert_yield_raises(pcall)
      assert_yield_raises(function(run)
        return coroutine.resume(coroutine.create(run))
      end)
    end)

    -- Lua 5.3 and LuaJIT have no variables that are closed.
    if rawget(coroutine, "close") then
      it("closes what its function has not when it yields", function()
        local seen = {}
        local group = assert(load([[
          local store, seen = ...
          local inner <close> = setmetatable({}, { __close = function()
            seen.value = store:get("a")
            store:put("a", "2")
          end })
          store:put("a", "1")
          coroutine.yield()
        ]]))
        local ok = pcall(store.group, store, function() group(store, seen) end)
        assert.is_false(ok)
        assert.equal("1", seen.value)
        assert.equal("0", store:get("a"))
      end)
    end

    it("lets coroutines of its function yield to it", function()
      assert.equal(6, store:group(function()
        local sum = 0
        for number in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do
          store:put("number/" .. number, "x")
          sum = sum + number
        end
        return sum
      end))
      assert.equal(3, #store:list("number/"))
    end)

    it("tells the place of what it raises", function()
      local ok, message = pcall(store.group, store, function()
        error("not today")
      end)
      assert.is_false(ok)
      assert.matches("sqlite_spec.lua:%d+: not today$", message)
      ok, message = pcall(store.group, store, function()
        store:put(1, "1")
      end)
      assert.is_false(ok)
      assert.matches("sqlite_spec.lua:%d+: key must be a string", message)
    end)

    it("waits for another store of this process no longer than it is told", function()
      local other = open { busy_timeout_ms = 50 }
      local done, err
      store:group(function()
        store:put("a", "1")
        done, err = other:put("a", "2")
      end)
      assert.is_nil(done)
      assert.matches("another process, or another store of this one, has kept the file locked", err.message, 1, true)
      assert.is_true(other:put("a", "2"))
      other:close()
    end)

    it("is undone when the store is closed in it", function()
      local ok, message = pcall(function()
        store:group(function()
          store:put("a", "1")
          store:close()
        end)
      end)
      assert.is_false(ok)
      assert.matches("sqlite_spec.lua:%d+: the store was closed in its group", message)
      store = open()
      assert.equal("0", store:get("a"))
    end)

    it("raises for misuse", function()
      assert.has_error(function() store.group(function() end) end)
      assert.has_error(function() store.group({}, function() end) end)
      assert.has_error(function() store:group() end)
      assert.has_error(function() store:group(function() end, true) end)
      assert.has_error(function() store:group(function() end, { durable = 1 }) end)
      assert.has_error(function() store:group(function() end, { ttl_s = 1 }) end)
      store:close()
      assert.has_error(function() store:group(function() end) end)
    end)
  end)

  describe("opening", function()
    -- It is told twice: at once, and by every operation.
    local function refused(options, wanted)
      local store, err = sqlite.new(options)
      local value, later = store:get("a")
      assert.is_nil(value)
      for _, told in ipairs { err, later } do
        assert.is_true(errors.is(told))
        assert.equal("store", told.kind)
        assert.matches(wanted, told.message, 1, true)
      end
      store:close()
    end

    -- The header of the file of a store with other bytes from that place on.
    local function change(offset, bytes)
      local store = open()
      store:put("a", "1")
      store:close()
      local text = files.read(path)
      files.write(path, text:sub(1, offset) .. bytes .. text:sub(offset + #bytes + 1))
      return files.read(path)
    end

    it("refuses what is no file", function()
      for _, bad in ipairs { "", ":memory:", "file:store.db?mode=memory" } do
        local ok, message = pcall(sqlite.new, bad)
        assert.is_false(ok)
        assert.matches("the path of a file", message, 1, true)
      end
      refused(path:match("^(.*)/"), "is that of a folder")
      refused("/dev/null", "is that of a folder or a device")
    end)

    it("refuses a folder that is not there", function()
      refused(path .. "/inner.db", "the folder of the store does not exist")
      refused(path:match("^(.*)/") .. "/none/store.db", "the folder of the store does not exist")
    end)

    it("is tried again by each operation, until the file can be opened", function()
      local missing = path .. ".d"
      local store, err = sqlite.new(missing .. "/store.db")
      assert.equal("store", err.kind)
      assert.is_nil(store:put("a", "1"))
      local value, refusal = store:group(function() return store:put("a", "1") end)
      assert.is_nil(value)
      assert.equal("store", refusal.kind)
      assert(os.execute("mkdir " .. program.words { missing }))
      assert.is_true(store:put("a", "1"))
      assert.equal("1", store:get("a"))
      store:close()
      os.execute("rm -rf " .. program.words { missing })
    end)

    it("leaves the database of another program as it is", function()
      for _, id in ipairs { "\0\0\0\0", "\1\2\3\4" } do
        local text = change(68, id)
        refused(path, "a database of another program")
        assert.is_true(text == files.read(path))
        assert.equal("store one.db\n", folder_now())
        os.remove(path)
      end
    end)

    it("leaves a store of a newer version as it is", function()
      local text = change(60, "\0\0\0\2")
      refused(path, "made by a newer version of paciolan")
      assert.is_true(text == files.read(path))
      assert.equal("store one.db\n", folder_now())
    end)

    it("names the file behind what is wrong, whatever it is called", function()
      local _, err = sqlite.new(path .. "/inner.db")
      assert.matches("does not exist: make it first (", err.message, 1, true)
      assert.matches("store one.db/inner.db)", err.message, 1, true)
      _, err = sqlite.new(path .. "/token")
      assert.matches("the folder of the store does not exist: make it first (", tostring(err), 1, true)
    end)

    it("raises for misuse", function()
      for _, bad in ipairs { 1, true, {}, { path = 1 }, { path = "a\0b" }, { path = path, busy_timeout_ms = -1 },
        { path = path, busy_timeout_ms = 0.5 }, { path = path, now_ms = 1 }, { path = path, file = path } } do
        local ok, message = pcall(function() sqlite.new(bad) end)
        assert.is_false(ok)
        assert.matches("sqlite_spec.lua:%d+: ", message)
      end
      assert.has_error(function() sqlite.new() end)
    end)

    it("names what to install where the library was built without SQLite", function()
      local code, _, problems = program.run(("env %s %s"):format(program.environment { LUA_CPATH = "/nowhere/?.so" },
        program.words { program.lua, "-e", [[
          package.preload["paciolan.core"] = function() return { now_ms = os.time, redact_text = tostring } end
          package.preload["cjson"] = function() return { new = function() return {} end } end
          require("paciolan.store.sqlite").new("store.db")]] }))
      assert.equal(1, code)
      assert.matches("the sqlite store was not built: install SQLite with its headers (libsqlite3-dev on Debian)",
        problems, 1, true)
    end)
  end)

  it("says that it cannot be loaded while too many files are open, and not that it was not built", function()
    local code, output, problems = program.run(("ulimit -n 40; env %s %s"):format(program.environment(),
      program.words { program.lua, "-e", ("local path = %q\n"):format(path) .. [[
        local sqlite, open = require("paciolan.store.sqlite"), {}
        for i = 1, 100 do
          open[i] = io.open("/dev/null")
        end
        for i = #open, 1, -1 do
          print(select(2, pcall(sqlite.new, path)))
          open[i]:close()
        end]] }))
    assert.equal("", problems)
    assert.equal(0, code)
    assert.matches("the sqlite store cannot be loaded: [^\n]*sqlite.so: Too many open files\n", output)
    assert.is_nil(output:find("was not built", 1, true))
  end)

  -- PUC Lua has no way to fork; spec/c/sqlite_test.c does it for both.
  if rawget(_G, "jit") then
    it("is not opened again in a process that was forked while it was open", function()
      local code, output, problems = program.run(("env %s %s"):format(program.environment(),
        program.words { program.lua, "spec/support/sqlite_fork.lua", path }))
      assert.equal("", problems)
      assert.equal(0, code)
      local refusal = "this process was forked while the store was open: close the store before the fork, and open it "
        .. "anew on both sides ("
      local told = 0
      for line in output:gmatch("refused ([^\n]*)\n") do
        assert.equal(refusal, line:sub(1, #refusal))
        told = told + 1
      end
      assert.equal(5, told)
      assert.matches("\nclosed before: true\nparent: true child\n$", output)
    end)
  end

  it("stands finalizers that use and close it", function()
    local code, output, problems = program.run(("env %s %s"):format(program.environment(),
      program.words { program.lua, "spec/support/sqlite_finalizers.lua", path }))
    assert.equal("", problems)
    assert.equal(0, code)
    assert.matches("^read %d+ closed %d+\n$", output)
  end)
end)
