--- What happens to the sqlite store when its file or its disk fails: always nil and an error that says what to do,
-- never a crash. What only C can bring about is in spec/c/sqlite_test.c.
local errors = require("paciolan.errors")
local files = require("support.files")
local folder = require("support.folder")
local program = require("support.program")
local sqlite = require("paciolan.store.sqlite")
local workers = require("support.sqlite_workers")

local PAGE_BYTES = 4096
local VALUE = ("VALUE"):rep(100)

describe("the sqlite store", function()
  local path

  local function open(options)
    options = options or {}
    options.path = path
    return assert(sqlite.new(options))
  end

  local function failed(wanted, value, err)
    assert.is_nil(value)
    assert.is_true(errors.is(err))
    assert.equal("store", err.kind)
    assert.matches(wanted, err.message, 1, true)
    assert.is_nil(tostring(err):find("VALUE", 1, true))
    assert.is_nil(tostring(err):find("KEY", 1, true))
  end

  -- What opening the file gives: nothing, or nil and an error.
  local function opening()
    local store, err = sqlite.new(path)
    local _, later = store:get("KEY/1")
    assert.equal(err and err.message, later and later.message)
    store:close()
    return nil, err
  end

  -- Every method once; each must answer as the contract says. Returns what failed and how.
  local function use(store)
    local problems = {}
    local function note(name, value, err)
      if value == nil and err ~= nil then
        assert.equal("store", err.kind)
        problems[#problems + 1] = name .. " " .. err.message
      end
    end
    note("get", store:get("KEY/100"))
    note("list", store:list("KEY/"))
    note("put", store:put("KEY/100", "new"))
    note("add", store:add("KEY/new", VALUE))
    note("replace", store:replace("KEY/50", VALUE, "other", { durable = true }))
    note("remove", store:remove("KEY/20"))
    note("group", store:group(function() return store:put("KEY/70", "other") end))
    return problems
  end

  -- A closed store of some hundred keys, and its bytes.
  local function fill()
    local store = open()
    store:group(function()
      for i = 1, 300 do
        assert(store:put("KEY/" .. i, VALUE, { ttl_s = i % 2 == 0 and 3600 or nil }))
      end
    end)
    store:close()
    return files.read(path)
  end

  local function overwrite(text, at, bytes)
    files.write(path, text:sub(1, at) .. bytes .. text:sub(at + #bytes + 1))
  end

  before_each(function()
    path = folder.make() .. "/store.db"
  end)

  after_each(function()
    program.stop_all()
    folder.remove_all()
  end)

  describe("when its file is gone", function()
    local function fails_until_opened_again(change, name)
      local store = open()
      store:put("KEY", VALUE)
      change()
      local text = "was removed or replaced while it was open: open the store again"
      failed(text, store:get("KEY"))
      failed(text, store:put("KEY", VALUE))
      failed(text, store:add("KEY2", VALUE, { durable = true }))
      failed(text, store:replace("KEY", VALUE, "1"))
      failed(text, store:remove("KEY"))
      failed(text, store:list(""))
      failed(text, store:group(function() end))
      store:close()
      store = open()
      assert.equal(name, store:get("name"))
      assert.is_true(store:put("KEY", VALUE))
      store:close()
    end

    it("says so, and begins a new one when it is opened again", function()
      fails_until_opened_again(function()
        assert(os.remove(path))
        os.remove(path .. "-wal")
        os.remove(path .. "-shm")
      end)
    end)

    it("says so when another one is in its place, and leaves that as it is", function()
      local right = path
      path = path .. ".other"
      local other = open()
      other:put("name", "the other")
      other:close()
      path = right
      fails_until_opened_again(function()
        assert(os.remove(path .. "-wal"))
        assert(os.remove(path .. "-shm"))
        assert(os.rename(path .. ".other", path))
      end, "the other")
    end)

    it("does not touch what others wrote meanwhile to the file in its place", function()
      local old = open()
      old:put("KEY", VALUE)
      program.run("rm " .. program.words { path, path .. "-wal", path .. "-shm" })
      local new = open()
      new:put("name", "new")
      failed("was removed or replaced", old:put("name", "old"))
      old:close()
      assert.equal("new", new:get("name"))
      assert.is_true(new:put("name", "newer"))
      new:close()
      new = open()
      assert.equal("newer", new:get("name"))
      new:close()
    end)

    it("says so when only the file of its log is", function()
      local store = open()
      store:put("name", "kept")
      store:close()
      fails_until_opened_again(function()
        assert(os.remove(path .. "-wal"))
      end, "kept")
    end)

    it("undoes the group in which it is noticed", function()
      local store = open()
      failed("was removed or replaced", store:group(function()
        store:put("KEY", VALUE)
        os.remove(path)
        store:put("KEY2", VALUE)
      end))
      failed("was removed or replaced", store:get("KEY"))
      store:close()
    end)
  end)

  describe("when there is no room", function()
    -- A limit on the length of a file, in blocks of 512 bytes, whose signal is ignored: writing beyond it then fails.
    local function run_within(blocks)
      return program.run(("trap '' XFSZ; ulimit -f %d; exec %s"):format(blocks, workers.command(path, "fill")))
    end

    it("says so, loses nothing, undoes groups, and goes on when there is room again", function()
      local code, output, problems = run_within(1200)
      assert.equal("", problems)
      assert.equal(0, code)
      assert.matches("^failed store [^\n]*: there is no room left for the store: free space on its disk", output)
      assert.matches("\nlost 0\ngroup nil store 0\nagain true y\nend\n$", output)
    end)
  end)

  describe("when its file is damaged", function()
    local DAMAGED, NO_DATABASE = "the store is damaged: end its programs, remove it", "the file is no SQLite database"

    it("says so for each page that is", function()
      local text = fill()
      for page = 2, #text / PAGE_BYTES do
        overwrite(text, (page - 1) * PAGE_BYTES, ("\165"):rep(PAGE_BYTES))
        local store = open()
        local problems = table.concat(use(store), "\n")
        store:close()
        assert.is_true(problems:find(DAMAGED, 1, true) ~= nil, "page " .. page)
        assert.is_nil(problems:find("VALUE", 1, true))
      end
    end)

    it("does not fall for damage of any sort", function()
      local text, numbers = fill(), 7
      local function next_number(limit)
        numbers = (numbers * 16807) % 2147483647
        return numbers % limit
      end
      for _ = 1, tonumber(os.getenv("STORE_OPERATIONS")) and 20 or 200 do
        local bytes = {}
        for i = 1, 1 + next_number(40) do
          bytes[i] = string.char(next_number(256))
        end
        -- Also the bytes that lead from page to page, which are at the beginning of each.
        local page = next_number(#text / PAGE_BYTES) * PAGE_BYTES
        overwrite(text, page + next_number(next_number(2) == 0 and 40 or PAGE_BYTES - 40), table.concat(bytes))
        local store, err = sqlite.new(path)
        assert.equal(err and "store", err and err.kind)
        use(store)
        store:close()
        program.run("rm -f " .. program.words { path .. "-wal", path .. "-shm", path .. "-journal" })
      end
    end)

    it("says so when its end is missing", function()
      local text = fill()
      for _, length in ipairs { PAGE_BYTES, PAGE_BYTES * 3, PAGE_BYTES * 3 + 100, #text - PAGE_BYTES } do
        files.write(path, text:sub(1, length))
        local store, err = sqlite.new(path)
        local problems = err and err.message or table.concat(use(store), "\n")
        store:close()
        assert.is_true(problems:find(DAMAGED, 1, true) ~= nil, "length " .. length)
      end
    end)

    it("says so when its beginning is no database's", function()
      local text = fill()
      overwrite(text, 0, "no database at all")
      failed(NO_DATABASE, opening())
      overwrite(text, 16, "\255\255\255\255\255\255\255\255")
      failed(NO_DATABASE, opening())
      files.write(path, text:sub(1, 50))
      failed(DAMAGED, opening())
      files.write(path, ("a letter to somebody\n"):rep(100))
      failed(NO_DATABASE, opening())
      assert.equal(("a letter to somebody\n"):rep(100), files.read(path))
    end)

    it("says so when its tables are missing", function()
      local text = fill()
      local at = text:find("CREATE TABLE items", 1, true)
      overwrite(text, at - 1, "CREATE TABLE other")
      failed(DAMAGED, opening())
    end)

    it("passes over a log that is none", function()
      fill()
      for _, log in ipairs { "", "x", ("\165"):rep(32), ("no log at all"):rep(1000) } do
        files.write(path .. "-wal", log)
        files.write(path .. "-shm", log)
        local store = open()
        assert.equal(VALUE, store:get("KEY/1"))
        assert.same({}, use(store))
        store:put("KEY/100", VALUE)
        store:close()
      end
    end)

    it("passes over what a log has behind its last whole write", function()
      local store = open()
      store:put("KEY", VALUE)
      local main, log = files.read(path), files.read(path .. "-wal")
      store:close()
      for _, cut in ipairs { 0, 1, 100, 4000 } do
        files.write(path, main)
        files.write(path .. "-wal", log:sub(1, #log - cut) .. ("\165"):rep(cut > 1 and 5000 or 0))
        store = open()
        assert.equal(cut == 0 and VALUE or nil, store:get("KEY"))
        assert.is_true(store:put("KEY", "1"))
        store:close()
      end
    end)
  end)
end)
