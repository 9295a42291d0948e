--- What every store must do; the contract is at the top of paciolan.store.contract. The spec of a store calls this with
-- its own way to open one.
--
--     describe("the memory store", function()
--       require("support.store_contract") { open = function() return memory.new() end }
--     end)
--
-- `suite.open()` gives a store, empty of keys below `suite.prefix` (a text, or left out). `suite.advance(store, ms)`
-- lets time pass for it: by its own clock, or by waiting where it has none.
local assert = require("luassert")
local busted = require("busted")
local errors = require("paciolan.errors")

-- Bytes that a careless encoding would change.
local BINARY = "\0\1\255\254\r\n\"\\%s'; --\127ñ"

return function(suite)
  local prefix = suite.prefix or ""
  local store

  local function key(name)
    return prefix .. name
  end

  local function names(list)
    local found = {}
    for i, pair in ipairs(list) do
      assert.equal(2, #pair)
      assert.equal(prefix, pair[1]:sub(1, #prefix))
      found[i] = pair[1]:sub(#prefix + 1) .. "=" .. pair[2]
    end
    return table.concat(found, " ")
  end

  busted.before_each(function()
    store = suite.open()
  end)

  busted.after_each(function()
    store:close()
  end)

  busted.describe("get and put", function()
    busted.it("answer nil for a key that is not there", function()
      local value, err = store:get(key("a"))
      assert.is_nil(value)
      assert.is_nil(err)
    end)

    busted.it("keep a value and replace it", function()
      assert.is_true(store:put(key("a"), "1"))
      assert.equal("1", store:get(key("a")))
      assert.is_true(store:put(key("a"), "2"))
      assert.equal("2", store:get(key("a")))
      assert.is_nil(store:get(key("b")))
    end)

    busted.it("keep every byte of keys and values", function()
      assert.is_true(store:put(key(BINARY), BINARY))
      assert.equal(BINARY, store:get(key(BINARY)))
      assert.is_true(store:put(key("empty"), ""))
      assert.equal("", store:get(key("empty")))
      assert.is_nil(store:get(key("\0")))
    end)

    busted.it("keep a long value", function()
      local long = ("0123456789abcdef"):rep(8192)
      assert.is_true(store:put(key("long"), long))
      assert.equal(long, store:get(key("long")))
    end)

    busted.it("take a durable value", function()
      assert.is_true(store:put(key("a"), "1", { durable = true }))
      assert.is_true(store:put(key("b"), "2", { durable = false, ttl_s = 60 }))
      assert.equal("1", store:get(key("a")))
      assert.equal("2", store:get(key("b")))
    end)
  end)

  busted.describe("add", function()
    busted.it("takes a key once", function()
      assert.is_true(store:add(key("a"), "1"))
      assert.is_false(store:add(key("a"), "2"))
      assert.equal("1", store:get(key("a")))
    end)

    busted.it("takes a durable value", function()
      assert.is_true(store:add(key("a"), "1", { durable = true }))
      assert.is_false(store:add(key("a"), "2", { durable = true }))
      assert.equal("1", store:get(key("a")))
    end)

    busted.it("refuses a key that was put, even with the same value", function()
      store:put(key("a"), "1")
      assert.is_false(store:add(key("a"), "1"))
    end)

    busted.it("takes a key again after it was removed", function()
      store:add(key("a"), "1")
      store:remove(key("a"))
      assert.is_true(store:add(key("a"), "2"))
      assert.equal("2", store:get(key("a")))
    end)
  end)

  busted.describe("replace", function()
    busted.it("writes only over the expected value", function()
      store:put(key("a"), "1")
      assert.is_false(store:replace(key("a"), "0", "2"))
      assert.equal("1", store:get(key("a")))
      assert.is_true(store:replace(key("a"), "1", "2"))
      assert.equal("2", store:get(key("a")))
      assert.is_false(store:replace(key("a"), "1", "3"))
    end)

    busted.it("does not make a key", function()
      assert.is_false(store:replace(key("a"), "", "1"))
      assert.is_nil(store:get(key("a")))
    end)

    busted.it("takes a durable value", function()
      store:put(key("a"), "1")
      assert.is_true(store:replace(key("a"), "1", "2", { durable = true }))
      assert.is_false(store:replace(key("a"), "1", "3", { durable = true }))
      assert.equal("2", store:get(key("a")))
    end)

    busted.it("compares whole values, byte for byte", function()
      store:put(key("a"), BINARY)
      assert.is_false(store:replace(key("a"), BINARY .. "x", "1"))
      assert.is_false(store:replace(key("a"), "\0", "1"))
      assert.is_true(store:replace(key("a"), BINARY, "1"))
    end)
  end)

  busted.describe("remove", function()
    busted.it("removes once", function()
      store:put(key("a"), "1")
      assert.is_true(store:remove(key("a")))
      assert.is_nil(store:get(key("a")))
      assert.is_false(store:remove(key("a")))
    end)

    busted.it("removes only the expected value when one is given", function()
      store:put(key("a"), "1")
      assert.is_false(store:remove(key("a"), "2"))
      assert.equal("1", store:get(key("a")))
      assert.is_true(store:remove(key("a"), "1"))
      assert.is_false(store:remove(key("a"), "1"))
    end)

    busted.it("touches no other key", function()
      store:put(key("a"), "1")
      store:put(key("ab"), "2")
      store:remove(key("a"))
      assert.equal("2", store:get(key("ab")))
    end)
  end)

  busted.describe("list", function()
    busted.before_each(function()
      for _, name in ipairs { "run/b", "run/a", "run/10", "run/9", "other/a", "run", "run/c", "run%" } do
        store:put(key(name), name:sub(-1))
      end
    end)

    busted.it("gives the pairs below a prefix, in the order of the bytes of their keys", function()
      assert.equal("run/10=0 run/9=9 run/a=a run/b=b run/c=c", names(store:list(key("run/"))))
    end)

    busted.it("gives everything that begins so, the key itself included, and nothing else", function()
      assert.equal("run=n run%=% run/10=0 run/9=9 run/a=a run/b=b run/c=c", names(store:list(key("run"))))
      assert.equal("run%=%", names(store:list(key("run%"))))
      assert.same({}, store:list(key("nothing")))
    end)

    busted.it("goes on after a key, in portions", function()
      local first = store:list(key("run/"), { limit = 2 })
      assert.equal("run/10=0 run/9=9", names(first))
      local second = store:list(key("run/"), { limit = 2, after = first[2][1] })
      assert.equal("run/a=a run/b=b", names(second))
      local third = store:list(key("run/"), { limit = 2, after = second[2][1] })
      assert.equal("run/c=c", names(third))
      assert.same({}, store:list(key("run/"), { limit = 2, after = third[1][1] }))
    end)

    busted.it("goes on after a key that is not there any more", function()
      store:remove(key("run/a"))
      assert.equal("run/b=b run/c=c", names(store:list(key("run/"), { after = key("run/a") })))
    end)

    busted.it("sees bytes above 127 behind all letters", function()
      store:put(key("run/\255"), "y")
      store:put(key("run/\128"), "x")
      assert.equal("run/c=c run/\128=x run/\255=y", names(store:list(key("run/"), { after = key("run/b") })))
    end)

    busted.it("gives a list of its own", function()
      local list = store:list(key("run/"))
      list[1][2] = "changed"
      assert.equal("0", store:get(key("run/10")))
    end)
  end)

  busted.describe("time to live", function()
    busted.it("ends a value that was put", function()
      store:put(key("a"), "1", { ttl_s = 1 })
      assert.equal("1", store:get(key("a")))
      suite.advance(store, 1100)
      assert.is_nil(store:get(key("a")))
      assert.same({}, store:list(key("a")))
    end)

    busted.it("frees the key for add, replace and remove", function()
      for _, name in ipairs { "a", "b", "c" } do
        assert.is_true(store:add(key(name), "1", { ttl_s = 1 }))
      end
      assert.is_false(store:add(key("a"), "2"))
      suite.advance(store, 1100)
      assert.is_true(store:add(key("a"), "2"))
      assert.is_false(store:replace(key("b"), "1", "2"))
      assert.is_false(store:remove(key("c")))
    end)

    busted.it("ends no value that has none, and is taken off by a put without one", function()
      store:put(key("a"), "1")
      store:put(key("b"), "1", { ttl_s = 1 })
      store:put(key("b"), "2")
      store:put(key("c"), "1", { ttl_s = 3600 })
      suite.advance(store, 1100)
      assert.equal("1", store:get(key("a")))
      assert.equal("2", store:get(key("b")))
      assert.equal("1", store:get(key("c")))
    end)

    busted.it("is left as it was by a replace without one", function()
      store:put(key("a"), "1", { ttl_s = 1 })
      store:put(key("b"), "1")
      assert.is_true(store:replace(key("a"), "1", "2"))
      assert.is_true(store:replace(key("b"), "1", "2"))
      suite.advance(store, 1100)
      assert.is_nil(store:get(key("a")))
      assert.equal("2", store:get(key("b")))
    end)

    busted.it("is begun anew by a replace with one", function()
      store:put(key("a"), "1", { ttl_s = 1 })
      store:put(key("b"), "1")
      assert.is_true(store:replace(key("a"), "1", "1", { ttl_s = 3600 }))
      assert.is_true(store:replace(key("b"), "1", "2", { ttl_s = 1 }))
      assert.is_false(store:replace(key("a"), "2", "3", { ttl_s = 1 }))
      suite.advance(store, 1100)
      assert.equal("1", store:get(key("a")))
      assert.is_nil(store:get(key("b")))
    end)

    busted.it("may be a part of a second", function()
      store:put(key("a"), "1", { ttl_s = 0.25 })
      store:put(key("b"), "1", { ttl_s = 3600.5 })
      suite.advance(store, 300)
      assert.is_nil(store:get(key("a")))
      assert.equal("1", store:get(key("b")))
    end)

    busted.it("is not counted by the limit of a list", function()
      for _, name in ipairs { "a", "b", "c", "d" } do
        store:put(key(name), name, { ttl_s = (name == "a" or name == "c") and 1 or nil })
      end
      suite.advance(store, 1100)
      assert.equal("b=b d=d", names(store:list(key(""), { limit = 2 })))
    end)

    busted.it("is begun anew by a put with one", function()
      store:put(key("a"), "1", { ttl_s = 1 })
      store:put(key("a"), "2", { ttl_s = 3600 })
      suite.advance(store, 1100)
      assert.equal("2", store:get(key("a")))
    end)
  end)

  busted.describe("misuse", function()
    busted.it("raises for keys and values that are not text", function()
      for _, bad in ipairs { 1, true, {} } do
        assert.has_error(function() store:get(bad) end)
        assert.has_error(function() store:put(bad, "1") end)
        assert.has_error(function() store:put(key("a"), bad) end)
        assert.has_error(function() store:add(key("a"), bad) end)
        assert.has_error(function() store:replace(key("a"), bad, "1") end)
        assert.has_error(function() store:replace(key("a"), "1", bad) end)
        assert.has_error(function() store:remove(bad) end)
        assert.has_error(function() store:remove(key("a"), bad) end)
        assert.has_error(function() store:list(bad) end)
      end
      assert.has_error(function() store:get() end)
      assert.has_error(function() store:put(key("a")) end)
    end)

    busted.it("raises for unknown and wrong options", function()
      assert.has_error(function() store:put(key("a"), "1", { ttl = 1 }) end)
      for _, bad in ipairs { "1", 0, -1, 0.0001, 1e300, 0 / 0 } do
        assert.has_error(function() store:put(key("a"), "1", { ttl_s = bad }) end)
        assert.has_error(function() store:add(key("a"), "1", { ttl_s = bad }) end)
        assert.has_error(function() store:replace(key("a"), "1", "2", { ttl_s = bad }) end)
      end
      for _, bad in ipairs { 0, -1, 1.5, 2 ^ 40 } do
        assert.has_error(function() store:list(key("a"), { limit = bad }) end)
      end
      assert.has_error(function() store:put(key("a"), "1", "durable") end)
      assert.has_error(function() store:put(key("a"), "1", { durable = 1 }) end)
      assert.has_error(function() store:list(key("a"), { limit = "1" }) end)
      assert.has_error(function() store:list(key("a"), { before = "1" }) end)
    end)

    busted.it("raises without the colon", function()
      assert.has_error(function() store.get(key("a")) end)
      assert.has_error(function() store.list({}, key("a")) end)
    end)

    busted.it("shows no value in what it raises", function()
      local _, message = pcall(store.put, store, { "SECRET" }, "SECRET")
      assert.is_nil(tostring(message):find("SECRET", 1, true))
    end)
  end)

  busted.describe("close", function()
    busted.it("may be called again, and nothing else after it", function()
      store:close()
      store:close()
      assert.has_error(function() store:get(key("a")) end)
      assert.has_error(function() store:put(key("a"), "1") end)
      assert.has_error(function() store:list(key("a")) end)
    end)

    busted.it("shows in its text, which shows no value", function()
      store:put(key("SECRET"), "SECRET")
      local open = tostring(store)
      store:close()
      assert.are_not.equal(open, tostring(store))
      assert.is_nil((open .. tostring(store)):find("SECRET", 1, true))
    end)
  end)

  if suite.broken then
    busted.it("answers nil and an error of kind store when it fails, and says that nothing was written", function()
      local broken = suite.broken()
      local reads = { { broken:get(key("a")) }, { broken:list(key("a")) } }
      local writes = { { broken:put(key("a"), "1") }, { broken:add(key("a"), "1") },
        { broken:replace(key("a"), "1", "2") }, { broken:remove(key("a")) } }
      for outcome, answers in pairs { [false] = reads, not_sent = writes } do
        for _, answer in ipairs(answers) do
          assert.is_nil(answer[1])
          assert.is_true(errors.is(answer[2]))
          assert.equal("store", answer[2].kind)
          assert.equal(outcome or nil, answer[2].outcome)
        end
      end
      broken:close()
    end)
  end
end
