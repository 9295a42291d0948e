--- Renewals on a store that fails, forgets or holds rubbish, by several links that share it as so many processes would.
-- Nothing is sent, and time passes only where somebody waits.

local cjson = require("cjson").new()
local concurrent = require("paciolan.concurrent")
local faulty_store = require("support.faulty_store")
local memory = require("paciolan.store.memory")
local token_service = require("support.token_service")
local virtual = require("support.clock")

local WHOSE = "https://link-sandbox.paciolan.info/com.mycompany.myapp"
local TOKEN, PAUSE = "paciolan/token/" .. WHOSE, "paciolan/pause/" .. WHOSE

-- How many runs in a random order, with a fault; a third as many go without.
local FAULT_RUNS = tonumber(os.getenv("FAULT_RUNS")) or 60

local clock, store, service

local function begin()
  store = faulty_store.new(memory.new())
  service = token_service.new(clock, store)
end

before_each(function()
  clock = virtual.start()
  begin()
end)

after_each(function() clock:stop() end)

local function token_of(link)
  return link.auth:token()
end

local function events_of(link)
  return link.catalog:events()
end

-- What the store has now.
local function stored()
  return cjson.decode((assert(store.inner:get(TOKEN))))
end

-- All links find this set, without a token call.
local function expect_all(links, access_token)
  local sent = #service.sent
  for _, link in ipairs(links) do
    local set, err = link.auth:token()
    assert.equal(access_token, assert(set, tostring(err)).accessToken)
  end
  assert.equal(sent, #service.sent)
end

-- --- a store that fails ------------------------------------------------------------------------------------------

-- Every operation of a renewal fails once, in each way, and the store is sound afterwards.
describe("a store that fails at one operation", function()
  local function count_operations(options)
    local link = service:client(options.settings)
    if options.prepare then
      options.prepare(link)
    end
    store.watch()
    assert(options.act(link))
    return store.count
  end

  local function attempt(act, link)
    local ok, set, err = pcall(act, link)
    if not ok then
      assert.equal(faulty_store.RAISED, set)
    elseif not set then
      assert.equal("store", err.kind, tostring(err))
    end
  end

  -- The two links in turn: each has the newest pair, and it can be renewed. What was sent is never sent again.
  local function expect_recovery(link, other, place)
    local set, err = link.auth:token()
    assert.is_table(set, place .. ": " .. tostring(err))
    assert.equal(set.accessToken, assert(other.auth:token(), place).accessToken, place)
    assert.equal(("A%d"):format(service.issued), set.accessToken, place)
    assert(link.auth:rotate(), place)
    assert(other.auth:rotate(), place)
    assert.equal(0, service.reused, place)
  end

  -- options: `settings`, `prepare` and `act` of a link, `is_for_good`: all that come after fail too, until the call has
  -- ended; `is_other_first`: another link is the first to act then.
  local function sweep(options, how)
    for number = 1, count_operations(options) do
      begin()
      local place = ("%s at operation %d"):format(how, number)
      local link, other = service:client(options.settings), service:client(options.settings)
      if options.prepare then
        options.prepare(link)
      end
      store.watch(function(method, key, n)
        if n == number then
          place = place .. ", " .. method .. " " .. key:match("^paciolan/(%a+)")
        end
        return (n == number or (options.is_for_good and n > number)) and how or nil
      end)
      attempt(options.act, link)
      store.watch()
      if options.is_other_first then
        other.auth:token() -- in vain where the pair is with the first
        assert.equal(0, service.reused, place)
      end
      expect_recovery(link, other, place)
    end
  end

  local KINDS = {
    ["a renewal with a configured refresh token"] = { act = token_of },
    ["a renewal with a stored one"] = {
      prepare = function(link)
        assert(link.auth:token())
        service.refused_access.A1 = true
        link.auth:reject("A1")
      end,
      act = token_of,
    },
    ["a rotation by hand"] = {
      prepare = token_of, act = function(link) return link.auth:rotate() end,
    },
    ["an exchange"] = { settings = { auth = { code = "C0" } }, act = token_of },
    ["an exchange by hand"] = {
      prepare = token_of, act = function(link) return link.auth:exchange("C0") end,
    },
  }
  local RUNS = {
    ["costs no credential and no pair"] = {},
    ["lets no other link send what was sent"] = { is_other_first = true },
    ["and all after it costs no credential and no pair"] = { is_for_good = true },
  }
  for name, kind in pairs(KINDS) do
    for what, options in pairs(RUNS) do
      for _, how in ipairs(faulty_store.WAYS) do
        it(("of %s (%s) %s"):format(name, how, what), function()
          sweep({
            settings = kind.settings, prepare = kind.prepare, act = kind.act,
            is_for_good = options.is_for_good, is_other_first = options.is_other_first,
          }, how)
        end)
      end
    end
  end
end)

-- --- any order ----------------------------------------------------------------------------------------------------

-- Every operation of the store takes a while before and after it is done, which tasks and links take turns in.
describe("links and tasks in any order", function()
  local seed

  -- A number from 0 to `most`, the same on every Lua.
  local function draw(most)
    seed = (seed * 16807) % 2147483647
    return seed % (most + 1)
  end

  local ACTS = {
    token_of, events_of, function(link) return link.auth:rotate() end,
    function(link)
      service.refused_access[("A%d"):format(service.issued)] = true
      return link.catalog:events()
    end,
  }

  -- Begins anew, on a store that takes its time.
  local function begin_slowly(fault_at)
    begin()
    local how = faulty_store.WAYS[draw(3) + 1]
    store.watch(function(_, _, number)
      clock:sleep(draw(20))
      return number == fault_at and how or nil
    end)
    function store.after() clock:sleep(draw(20)) end
  end

  -- Returns the errors.
  local function play(links)
    local tasks, problems = {}, {}
    for i = 1, 9 do
      tasks[i] = function()
        for _ = 1, 3 do
          clock:sleep(draw(200))
          local ok, result, err = pcall(ACTS[draw(3) + 1], links[i % 3 + 1])
          if not ok or not result then
            problems[#problems + 1] = ok and err or result
          end
        end
      end
    end
    concurrent.run(tasks, { limit = #tasks })
    return problems
  end

  local function expect_one_set(links)
    local newest = ("A%d"):format(service.issued)
    service.refused_access = {}
    store.watch()
    for round = 1, 2 do
      for _, link in ipairs(links) do
        local set, err = link.auth:token()
        if round == 2 then
          assert.equal(newest, assert(set, tostring(err)).accessToken)
        end
      end
    end
    assert.equal(newest, stored().accessToken)
    assert.equal(0, service.reused)
  end

  it("send no credential twice, and no call fails but by the service's word", function()
    for run_number = 1, FAULT_RUNS / 3 do
      seed = run_number
      begin_slowly()
      local links = service:clients(3, { deadline_ms = 600000 })
      for _, problem in ipairs(play(links)) do
        assert.equal(401, problem.status, tostring(problem)) -- the set of after the renewal was revoked too
      end
      expect_one_set(links)
    end
  end)

  it("nor where one operation of the store fails, and all have the newest pair in the end", function()
    for run_number = 1, FAULT_RUNS do
      seed = run_number
      begin_slowly(1 + draw(150))
      local links = service:clients(3, { deadline_ms = 600000 })
      for _, problem in ipairs(play(links)) do
        assert.truthy(problem == faulty_store.RAISED or problem.kind == "store" or problem.kind == "auth",
          tostring(problem))
      end
      expect_one_set(links)
    end
  end)
end)

-- --- a store that goes back -------------------------------------------------------------------------------------

describe("a store that goes back", function()
  it("to nothing gets the latest set from whoever knows it", function()
    local links = service:clients(2)
    assert(links[1].auth:rotate())
    assert(links[2].auth:rotate())
    store.inner:remove(TOKEN)
    assert.equal("A2", assert(links[2].auth:token()).accessToken)
    assert.equal("A2", assert(links[1].auth:token()).accessToken)
    assert.equal("A2", stored().accessToken)
    assert.same({ "R0", "R1" }, service.sent)
  end)

  it("gets the later one where two know different ones, whoever comes first", function()
    for first = 1, 2 do
      begin()
      local links = service:clients(2)
      assert(links[1].auth:rotate())
      assert(links[2].auth:rotate())
      store.inner:remove(TOKEN)
      assert(links[first].auth:token())
      assert(links[3 - first].auth:token())
      expect_all(links, "A2")
      assert.equal("A2", stored().accessToken)
    end
  end)

  it("to an earlier set gets the later one back, and nothing is sent twice", function()
    local links = service:clients(2)
    assert(links[1].auth:rotate())
    local earlier = store.inner:get(TOKEN)
    assert(links[2].auth:rotate())
    store.inner:put(TOKEN, earlier)
    service.refused_access.A1 = true
    assert.equal("A2", assert(links[2].auth:token()).accessToken)
    assert(links[1].catalog:events())
    assert.equal("A2", stored().accessToken)
    assert.same({ 0, "R0", "R1" }, { service.reused, service.sent[1], service.sent[2] })
  end)

  it("to nothing while one renews keeps the new pair, not the one that another knows", function()
    local first, second = service:client(), service:client()
    assert(first.auth:token())
    assert(second.auth:token())
    service.on_grant = function()
      store.inner:remove(TOKEN)
      assert.equal("A1", assert(second.auth:token()).accessToken)
      assert.equal("A1", stored().accessToken)
    end
    assert.equal("A2", assert(first.auth:rotate()).accessToken)
    expect_all({ first, second }, "A2")
    assert.equal(2, stored().generation)
  end)

  it("keeps what it has where another one is as late", function()
    local first, second = service:client(), service:client()
    assert(first.auth:token())
    local other = stored()
    other.accessToken = "other"
    store.inner:put(TOKEN, cjson.encode(other))
    expect_all({ second, first, second }, "other")
    assert.equal("other", stored().accessToken)
  end)

  it("takes a later set for what it is, whatever was known before", function()
    local links = service:clients(2)
    assert(links[1].auth:token())
    assert(links[2].auth:rotate())
    assert(links[2].auth:rotate())
    expect_all(links, "A3")
    assert.equal(3, stored().generation)
  end)
end)

describe("rubbish in the store", function()
  local RUBBISH = {
    "", "x", "null", "true", "5", '"text"', "[]", "{}", "{", '{"accessToken":5}', '{"accessToken":null}',
    '{"accessToken":{},"refreshToken":{},"expiration":{},"tokenType":{},"issued_at_ms":{},"generation":{}}',
    '{"accessToken":[1],"refreshToken":[1],"expiration":5,"tokenType":true,"generation":"9"}',
    '{"refreshToken":5,"generation":1e999}', '{"generation":1e308}', '{"generation":-1e308}',
    '{"issued_at_ms":1e308,"generation":1.5}', '{"expiration":"soon"}',
  }

  it("in the place of the set is replaced by a renewal", function()
    for _, text in ipairs(RUBBISH) do
      begin()
      store.inner:put(TOKEN, text)
      local link = service:client()
      assert.equal("A1", assert(link.auth:token(), text).accessToken)
      assert.equal("A2", assert(link.auth:rotate(), text).accessToken)
      expect_all(service:clients(2), "A2")
    end
  end)

  it("in the place of a known set is replaced by that", function()
    local link = service:client()
    assert(link.auth:token())
    for _, text in ipairs { "", "x", "null", "5", "[]", "{}", '{"accessToken":5}' } do
      store.inner:put(TOKEN, text)
      assert.equal("A1", assert(link.auth:token(), text).accessToken)
      assert.equal("A1", stored().accessToken)
    end
    assert.same({ "R0" }, service.sent)
  end)

  it("in the place of the pause stops nobody", function()
    for _, text in ipairs { "x", "{}", '{"error":{}}', '{"error":{"kind":"http","message":"m"},"until_ms":"x"}' } do
      begin()
      store.inner:put(PAUSE, text)
      assert.equal("A1", assert(service:client().auth:token(), text).accessToken)
    end
  end)
end)
