--- The journal: who carries a run, what it holds, and what is left of it whatever happens to the store and to the
-- processes that use it.

local core = require("paciolan.core")
local errors = require("paciolan.errors")
local faulty_store = require("support.faulty_store")
local folder = require("support.folder")
local journal = require("paciolan.workflow.journal")
local json = require("paciolan.json")
local memory = require("paciolan.store.memory")
local purchases = require("support.purchases")
local redis = require("support.redis")
local plain = require("paciolan.workflow.run").plain
local sqlite = require("paciolan.store.sqlite")
local virtual = require("support.clock")

local BASE_URL, APPLICATION_ID = "https://link.example/api", "com.mycompany.myapp"
local LEASE_S, KEEP_S = 120, 3600

local clock

local function now_ms()
  return core.now_ms()
end

local function open(store, changes)
  local options = { store = store, base_url = BASE_URL, application_id = APPLICATION_ID, lease_s = LEASE_S,
    keep_s = KEEP_S, deadline_ms = 60000, now_ms = now_ms }
  for name, value in pairs(changes or {}) do
    options[name] = value
  end
  return journal.new(options)
end

-- Begins a run and writes it.
local function begin(book, id, request)
  local run = assert(book:claim("order", id))
  run:begin("buy", request or {}, journal.fingerprint(request or {}), "owners")
  assert(run:save())
  return run
end

local function failed(kind, value, err)
  assert.is_nil(value)
  assert.is_true(errors.is(err))
  assert.equal(kind, err.kind, tostring(err))
  return err
end

local function nothing_is_sent()
  error("it was sent", 0)
end

local function ids_of(book)
  local ids = {}
  for i, name in ipairs(assert(book:open_runs())) do
    ids[i] = name.id
  end
  table.sort(ids)
  return ids
end

-- Stores, whose time is that of `clock`; `pass(ms)` lets it go by for the store too.
local makers = {}

function makers.memory()
  return memory.new({ now_ms = now_ms }), function(ms) clock:advance(ms) end
end

function makers.sqlite()
  local store = assert(sqlite.new({ path = folder.make() .. "/journal.db", now_ms = now_ms }))
  return store, function(ms) clock:advance(ms) end
end

local server

function makers.redis()
  server = server or redis.start()
  server:command("FLUSHALL")
  local store = assert(require("paciolan.store.redis").new(server:url()))
  return store, function(ms)
    clock:advance(ms)
    server:advance(ms)
  end
end

teardown(function()
  redis.stop_all()
end)

before_each(function()
  clock = virtual.start()
end)

after_each(function()
  clock:stop()
  folder.remove_all()
end)

for _, name in ipairs { "memory", "sqlite", "redis" } do
  describe("the journal on " .. name, function()
    local store, pass, book

    before_each(function()
      store, pass = makers[name]()
      book = open(store)
    end)

    after_each(function()
      store:close()
    end)

    it("lets one carry a run at a time, until he gives it back", function()
      local run = begin(book, "A")
      assert.is_false(open(store):claim("order", "A"))
      assert.is_true(book:is_carried("order", "A"))
      assert.is_table(open(store):claim("order", "B"))
      assert.is_table(open(store):claim("transfer", "A"))
      run:release()
      assert.is_false(book:is_carried("order", "A"))
      local other = assert(open(store):claim("order", "A"))
      assert.equal("owners", other.record.step)
      run:release() -- once more: the lease is that of another now
      assert.is_false(open(store):claim("order", "A"))
    end)

    it("hands a run over when its carrier gives no sign for the time of a lease", function()
      begin(book, "A")
      pass(LEASE_S * 1000 - 1000)
      assert.is_false(open(store):claim("order", "A"))
      pass(1000)
      local other = assert(open(store):claim("order", "A"))
      assert.equal("buy", other.record.kind)
    end)

    it("leaves a run to who goes on with it", function()
      local run = begin(book, "A")
      for _ = 1, 10 do
        pass(LEASE_S * 400)
        assert(run:save())
        assert.is_false(open(store):claim("order", "A"))
      end
      pass(LEASE_S * 400)
      assert.is_true(run:keep())
      pass(LEASE_S * 700)
      assert.is_false(open(store):claim("order", "A"))
    end)

    it("stops who has lost its lease, before it writes or sends anything", function()
      local zombies = {}
      for i, id in ipairs { "A", "B", "C", "D" } do
        zombies[i] = begin(book, id)
      end
      pass(LEASE_S * 1000)
      for i, id in ipairs { "A", "B", "C", "D" } do
        local heir = assert(open(store):claim("order", id))
        heir:go("order")
        assert(heir:save())
        zombies[i].heir = heir
      end
      failed("canceled", zombies[1]:send("order", nothing_is_sent))
      failed("canceled", zombies[2]:save())
      failed("canceled", zombies[3]:finish("done", {}))
      failed("canceled", zombies[4]:fail(errors.new { kind = "http", message = "x" }))
      for i, id in ipairs { "A", "B", "C", "D" } do
        failed("canceled", zombies[i]:send("order", nothing_is_sent))
        zombies[i]:release()
        assert.is_false(book:claim("order", id))
        local record = assert(book:read("order", id))
        assert.equal("order", record.step)
        assert.equal("running", record.state)
        assert.is_nil(record.ended_ms)
      end
      assert.same({ "A", "B", "C", "D" }, ids_of(book))
    end)

    it("stops who wakes up with a lease that nobody took meanwhile", function()
      local run = begin(book, "A")
      pass(LEASE_S * 1000)
      failed("canceled", run:send("order", nothing_is_sent))
    end)

    it("lets one of two write who both think that they carry a run", function()
      local run = begin(book, "A")
      assert(store:remove(book:key("paciolan/carrier/", "order", "A")))
      local other = assert(open(store):claim("order", "A"))
      run:go("first")
      assert(run:save()) -- as long as its lease is young nobody asks for it
      other:go("second")
      failed("canceled", other:save())
      failed("canceled", other:send("order", nothing_is_sent))
      assert.equal("first", book:read("order", "A").step)
    end)

    it("does not begin a run over that of another", function()
      local run = assert(book:claim("order", "A"))
      run:begin("buy", {}, "x", "owners")
      assert(store:remove(book:key("paciolan/carrier/", "order", "A")))
      begin(book, "A")
      failed("canceled", run:send("owners", nothing_is_sent))
    end)

    it("does not bring back a record that has gone meanwhile", function()
      local run = begin(book, "A")
      assert(store:remove(book:key("paciolan/run/", "order", "A")))
      failed("canceled", run:send("order", nothing_is_sent))
      assert.is_nil(book:read("order", "A"))
    end)

    it("knows what is open, and no more when it has ended", function()
      local run, other = begin(book, "A"), begin(book, "B")
      assert.same({ "A", "B" }, ids_of(book))
      assert(run:finish("done", { id = "A" }))
      assert.same({ "B" }, ids_of(book))
      run:release()
      other:release()
      assert.equal("A", assert(book:claim("order", "A")).record.result.id)
    end)

    it("forgets what has ended after keep_s, and never what is open", function()
      local run = begin(book, "A")
      begin(book, "B"):release()
      assert(run:finish("done", {}))
      run:release()
      pass(KEEP_S * 1000 - 1000)
      assert.is_table(book:read("order", "A"))
      pass(1000)
      assert.is_nil(book:read("order", "A"))
      pass(100 * KEEP_S * 1000)
      assert.is_table(book:read("order", "B"))
    end)

    it("keeps what is opened or begun again, however long that takes", function()
      for _, way in ipairs { "reopen", "begin" } do
        local run = begin(book, way)
        assert(run:finish("failed"))
        run:release()
        pass(KEEP_S * 500)
        run = assert(book:claim("order", way))
        if way == "reopen" then
          run:reopen("settle", "in_doubt")
        else
          run:begin("buy", {}, "x", "owners")
        end
        assert(run:save())
        run:release()
        assert.same({ way }, ids_of(book))
        pass(100 * KEEP_S * 1000)
        local record = assert(book:read("order", way), way)
        assert.is_nil(record.ended_ms)
        run = assert(book:claim("order", way))
        assert(run:finish("failed"))
        run:release()
        pass(KEEP_S * 1000)
        assert.is_nil(book:read("order", way))
      end
    end)

    it("lists any number of open runs", function()
      local wanted = {}
      for i = 1, 401 do
        wanted[i] = ("run-%04d"):format(i)
        assert(store:put(book:key("paciolan/open/", "order", wanted[i]), "buy"))
      end
      assert(store:put(open(store, { application_id = "another" }):key("paciolan/open/", "order", "X"), "buy"))
      assert.same(wanted, ids_of(book))
    end)

    it("takes any bytes for an id", function()
      local ids = { "a/b", "a%2Fb", "a%b", "%", "a\0b", "é…", "..", " ", "\255\254", "A", "a", ("x"):rep(300), "[]{}*?",
        "\n" }
      for _, id in ipairs(ids) do
        begin(book, id, { of = id }):release()
      end
      table.sort(ids)
      assert.same(ids, ids_of(book))
      for _, id in ipairs(ids) do
        local run = assert(book:claim("order", id))
        assert.equal(id, run.record.id)
        assert.equal(id, run.request.of)
        run:release()
      end
    end)
  end)
end

describe("the journal", function()
  local store, book

  before_each(function()
    store = memory.new({ now_ms = now_ms })
    book = open(store)
  end)

  it("does not meet that of another service or application in the same store", function()
    local books = {
      open(store, { base_url = "https://a", application_id = "b/c" }),
      open(store, { base_url = "https://a/b", application_id = "c" }),
      open(store, { base_url = "https://a", application_id = "b" }),
      open(store, { base_url = "https://a", application_id = "b%2Fc" }),
      open(store, { base_url = "https://A", application_id = "b" }),
    }
    for i, other in ipairs(books) do
      begin(other, "same", { number = i })
    end
    for i, other in ipairs(books) do
      assert.same({ "same" }, ids_of(other))
      assert.equal(i, other:read("order", "same").request.number)
    end
    begin(books[3], "c/order/same")
    assert.same({ "same" }, ids_of(books[1]))
  end)

  it("remembers earlier attempts, at most five of them", function()
    for number = 1, 8 do
      local run = assert(book:claim("order", "A"))
      run:begin("buy", { number = number }, "x", "owners")
      run:note("evidence", { number = number })
      assert.equal(number, run.record.attempt)
      assert.is_nil(run.record.error)
      assert(run:fail(errors.new { kind = "http", message = "refused", outcome = "rejected" }))
      run:release()
    end
    local record = book:read("order", "A")
    assert.equal(5, #record.before)
    assert.equal(3, record.before[1].attempt)
    assert.equal(7, record.before[5].attempt)
    assert.equal(7, record.before[5].evidence[1].number)
    assert.equal("rejected", record.before[5].error.outcome)
    assert.equal("failed", record.before[5].state)
    assert.is_nil(record.request)
    assert.is_nil(json.encode(record):find('"request"', 1, true))
  end)

  it("writes a step down before it is sent, and what came of it with the next write", function()
    local run = begin(book, "A")
    local during, seen
    local result = run:send("order", function(options)
      during, seen = book:read("order", "A"), options
      return { status = "COMPLETE" }
    end)
    assert.equal("COMPLETE", result.status)
    assert.equal("order", during.step)
    assert.equal("sending", during.steps[1].state)
    assert.equal(during.steps[1].request_id, seen.request_id)
    assert.is_true(seen.deadline_ms > 0 and seen.deadline_ms <= 60000)
    assert.equal("sending", book:read("order", "A").steps[1].state)
    run:release()
    local heir = assert(book:claim("order", "A"))
    assert.equal("order", heir:take_lost().name)
    assert.is_nil(heir:take_lost())
    assert(heir:save())
    assert.equal("lost", book:read("order", "A").steps[1].state)
    failed("http", heir:send("print", function()
      return nil, errors.new { kind = "http", message = "x", status = 500, outcome = "unknown", type = "T" }
    end))
    assert(heir:save())
    local entry = book:read("order", "A").steps[2]
    assert.equal("failed", entry.state)
    assert.equal("unknown", entry.outcome)
    assert.equal(500, entry.status)
  end)

  it("gives a call less time than the lease has left", function()
    local run = begin(open(store, { lease_s = 30 }), "A")
    clock:advance(29000)
    assert.has_no_error(function()
      run:send("order", function(options)
        assert(options.deadline_ms <= 20000)
        return true
      end)
    end)
  end)

  it("sends nothing when writing took so long that the lease may end under way", function()
    local slow = faulty_store.new(store)
    local run = begin(open(slow), "A")
    slow.after = function(method, key)
      if method == "replace" and key:find("^paciolan/run/") then
        clock:advance(LEASE_S * 600)
      end
    end
    local err = failed("timeout", run:send("order", nothing_is_sent))
    assert.equal("not_sent", err.outcome)
    assert.is_nil(run.is_broken)
  end)

  it("sends nothing that the store did not take", function()
    for _, way in ipairs(faulty_store.WAYS) do
      for _, wanted in ipairs { "put", "add", "replace" } do
        local faulty = faulty_store.new(memory.new({ now_ms = now_ms }))
        local run = assert(open(faulty):claim("order", "A"))
        run:begin("buy", {}, "x", "owners")
        if wanted == "replace" then
          assert(run:save())
        end
        faulty.watch(function(method) return method == wanted and way or nil end)
        local ok, result, err = pcall(run.send, run, "order", nothing_is_sent)
        if ok then
          failed("store", result, err)
          assert.equal("not_sent", err.outcome)
          failed("canceled", run:send("order", nothing_is_sent))
        else
          assert.equal(faulty_store.RAISED, result)
        end
      end
    end
  end)

  it("gives the lease back when the record cannot be read", function()
    begin(book, "A"):release()
    local faulty = faulty_store.new(store)
    faulty.watch(function(method) return method == "get" and "fail" or nil end)
    failed("store", open(faulty):claim("order", "A"))
    assert.is_table(book:claim("order", "A"))
  end)

  it("takes a lease back of which nobody knows whether it was given", function()
    local faulty = faulty_store.new(store)
    faulty.watch(function(method) return method == "add" and "lost" or nil end)
    failed("store", open(faulty):claim("order", "A"))
    assert.is_table(book:claim("order", "A"))
  end)

  it("takes the text of a store's failure for what it may hold", function()
    local blunt = faulty_store.new(store)
    blunt.add = function() return nil, "no room for tony@stark.example" end
    local err = failed("store", open(blunt):claim("order", "A"))
    assert.is_nil(tostring(err):find("stark", 1, true))
  end)

  describe("with a record that is none", function()
    local TEXTS = { "", "x", "null", "1", "[]", "{}", "\0", '{"v":1}', '{"v":1,"kind":"buy"}',
      '{"v":1,"kind":"buy","data":{},"steps":{}', '{"v":1,"kind":1,"data":{},"steps":{},"evidence":{}}',
      '{"v":2,"kind":"buy","data":{},"steps":[],"evidence":[],"state":"running"}',
      '{"kind":"buy","data":{},"steps":[],"evidence":[],"state":"running"}' }

    it("says so, and leaves it as it is", function()
      for i, text in ipairs(TEXTS) do
        local id = ("%d"):format(i)
        local key = book:key("paciolan/run/", "order", id)
        assert(store:put(key, text))
        local record, problem = book:read("order", id)
        failed("store", record, problem)
        failed("store", book:claim("order", id))
        failed("store", book:claim("order", id)) -- and not: carried by somebody else
        assert.equal(text, store:get(key))
        assert.is_nil(tostring(problem):find(key, 1, true))
      end
    end)
  end)

  describe("and its fingerprints", function()
    local function same(a, b)
      assert.equal(journal.fingerprint(a), journal.fingerprint(b))
    end

    local function other(a, b)
      assert.not_equal(journal.fingerprint(a), journal.fingerprint(b))
    end

    it("do not depend on the order of keys or on how a number is written", function()
      local first, second = {}, {}
      for i = 1, 100 do
        first["key" .. i], second["key" .. (101 - i)] = i, 101 - i
      end
      same(first, second)
      same({ price = 1 }, { price = 1.0 })
      same({ price = 2 ^ 31 }, { price = 2147483648 })
      same({ a = { { b = {} } } }, { a = { { b = {} } } })
      same({ a = json.null }, { a = json.null })
      assert.matches("^%x+$", journal.fingerprint({}))
      assert.equal(64, #journal.fingerprint({}))
    end)

    it("tell apart what is not the same", function()
      other({ a = 1 }, { a = "1" })
      other({ a = "true" }, { a = true })
      other({ a = false }, {})
      other({ a = "" }, {})
      other({ a = {} }, {})
      other({ a = json.null }, {})
      other({ "a", "b" }, { "b", "a" })
      other({ "ab", "c" }, { "a", "bc" })
      other({ a = "b\nstring 1 c" }, { a = "b", c = "" })
      other({ a = { b = 1 } }, { a = 1, b = 1 })
      other({ { a = 1 }, { b = 2 } }, { { a = 1, b = 2 }, {} })
      other({ price = 0.1 }, { price = 0.1000000000001 })
    end)

    it("are the same in every process", function()
      local given = { list = { 1, 2.5, true, "x", json.null }, object = { b = 1, a = "é" } }
      assert.equal("f91a44af67900c863a9374c5f76d072633d4c122997e5510209eedb3837b4386", journal.fingerprint(given))
    end)

    it("take large requests", function()
      local rows = {}
      for i = 1, 20000 do
        rows[i] = { token = "token" .. i, individualPrice = i }
      end
      local before = journal.fingerprint(rows)
      rows[20000].individualPrice = 1
      assert.not_equal(before, journal.fingerprint(rows))
    end)
  end)

  it("has no form for what JSON has none for", function()
    assert.is_nil(plain({ print }))
    assert.is_nil(plain({ 0 / 0 }))
    local loop = {}
    loop.loop = loop
    assert.is_nil(plain(loop))
  end)

  it("gives back what was put in, for the first process too", function()
    local given = { id = 12345678901234, price = 0.1, sum = 0.1 + 0.2, none = json.null, empty = {}, list = { "a" } }
    local print = journal.fingerprint(given)
    local run = begin(book, "A", plain(given))
    local first = run.request
    given.list[1] = "changed by the caller"
    run:release()
    local request = assert(book:claim("order", "A")).request
    assert.equal(12345678901234, request.id)
    assert.equal(json.null, request.none)
    assert.equal(print, journal.fingerprint(request))
    assert.equal(print, journal.fingerprint(first))
  end)
end)

-- A process that dies between any two writes leaves something that another one finds.
describe("the marks of open runs", function()
  local function run_through(book)
    local run = book:claim("order", "A")
    if not run then
      return
    end
    run:begin("buy", {}, "x", "owners")
    if run:send("owners", function() return true end) and run:save() then
      run:finish("done", { id = "A" })
    end
  end

  it("are there as long as a record is unfinished, wherever its process died", function()
    local faulty = faulty_store.new(memory.new({ now_ms = now_ms }))
    faulty.watch()
    run_through(open(faulty))
    local total = faulty.count
    assert.is_true(total >= 6)
    for number = 1, total do
      for _, way in ipairs { "raise", "lost_raise" } do
        local inner = memory.new({ now_ms = now_ms })
        faulty = faulty_store.new(inner)
        faulty.watch(function(_, _, count)
          return count == number and way or count > number and "raise" or nil
        end)
        pcall(run_through, open(faulty))
        local book = open(inner)
        local record = book:read("order", "A")
        if record and not record.ended_ms then
          assert.same({ "A" }, ids_of(book), ("%s at %d"):format(way, number))
        end
        clock:advance(LEASE_S * 1000)
        assert.is_table(book:claim("order", "A"))
      end
    end
  end)

  it("stay when a process wakes up that had ended the run before it was begun again", function()
    local faulty = faulty_store.new(memory.new({ now_ms = now_ms }))
    local run = begin(open(faulty), "A")
    faulty.after = function(method, key)
      if method == "replace" and key:find("^paciolan/run/") then
        faulty.after = nil
        clock:advance(LEASE_S * 1000) -- the process stands still here; the next one begins the run anew
        begin(open(faulty.inner), "A")
      end
    end
    assert(run:finish("failed"))
    assert.same({ "A" }, ids_of(open(faulty.inner)))
  end)
end)

describe("workflows on a journal", function()
  local desk

  before_each(function()
    clock:stop()
    desk = purchases.open()
    clock = desk.clock
  end)

  after_each(function()
    desk:close()
  end)

  it("keep the lease of nobody when something raises", function()
    local input, _, id = desk:input(1)
    desk.on_send = function() error("out of memory", 0) end
    local flows = desk:flows()
    assert.is_false(pcall(flows.buy, flows, input) and assert(flows:find(id)).state == "done")
    desk:calm()
    assert.equal("", desk:dump("paciolan/carrier/"))
  end)

  it("do not hide what is open behind a record that cannot be read", function()
    local flows = desk:flows()
    local input, _, id = desk:input(1)
    desk:fault("reset=before")
    assert.is_nil(flows:buy(input))
    for i, text in ipairs { "garbage", '{"v":2,"kind":"buy","data":{},"steps":[],"evidence":[],"state":"running"}',
      '{"v":1,"kind":"loan","data":{},"steps":[],"evidence":[],"state":"running","id":"x","space":"order"}' } do
      assert(desk.store:put(flows.journal:key("paciolan/run/", "order", "bad" .. i), text))
      assert(desk.store:put(flows.journal:key("paciolan/open/", "order", "bad" .. i), "buy"))
    end
    for _, method in ipairs { "unfinished", "resume" } do
      local found = {}
      for _, run in ipairs(assert(flows[method](flows))) do
        found[run.id] = run
      end
      assert.equal("in_doubt", found[id].state)
      for i = 1, 3 do
        local bad = found["bad" .. i]
        assert.equal("store", bad.err.kind, method)
        assert.is_string(bad.told)
      end
    end
    assert.equal(4, #assert(flows:unfinished()))
  end)

  it("list more than two hundred unfinished runs, and end them", function()
    local flows = desk:flows()
    for i = 1, 230 do
      local run = assert(flows.journal:claim("order", ("many-%d"):format(i)))
      run:begin("buy", {}, "x", "settle")
      for name, value in pairs { tokens = {}, seats = {}, owners = {}, sent_at_ms = 0, external_listing_id = "L" } do
        run.data[name] = value
      end
      run:go("close")
      run.data.bought = {}
      assert(run:save())
      run:release()
    end
    assert.equal(230, #assert(flows:unfinished()))
    assert.equal(230, #assert(flows:resume()))
    assert.same({}, flows:unfinished())
  end)
end)
