--- How a Redis store is named, by a URL or by a table.
local program = require("support.program")
local redis = require("paciolan.store.redis")
local redis_url = require("paciolan.store.redis_url")

describe("the URL of a redis store", function()
  local readable = {
    { "redis://localhost", { host = "localhost" } },
    { "redis://localhost/", { host = "localhost" } },
    { "REDIS://Host.example:6380/2", { host = "Host.example", port = 6380, database = 2 } },
    { "redis://:pass@10.0.0.1", { host = "10.0.0.1", password = "pass" } },
    { "redis://user:p%40s%3As%2F%25@h", { host = "h", user = "user", password = "p@s:s/%" } },
    { "redis://us%2Ber:a+b@h", { host = "h", user = "us+er", password = "a+b" } },
    { "redis://[::1]:7000", { host = "::1", port = 7000 } },
    { "redis://[2001:db8::1]", { host = "2001:db8::1" } },
    { "redis://h?prefix=a:b&timeout_ms=250&connect_timeout_ms=9&database=4",
      { host = "h", prefix = "a:b", timeout_ms = 250, connect_timeout_ms = 9, database = 4 } },
    { "redis://h/?user=u&password=%C3%B1", { host = "h", user = "u", password = "ñ" } },
    { "rediss://h", { host = "h", tls = {} } },
    { "rediss://h:1?ca_file=/a%20b.pem&server_name=n&certificate_file=c&key_file=k",
      { host = "h", port = 1, tls = { ca_file = "/a b.pem", server_name = "n", certificate_file = "c",
        key_file = "k" } } },
    { "redis+unix:///run/redis/redis.sock", { socket = "/run/redis/redis.sock" } },
    { "redis+unix:///a%20b?database=1&password=p", { socket = "/a b", database = 1, password = "p" } },
    { "redis+unix://user:pass@/run/r", { socket = "/run/r", user = "user", password = "pass" } },
  }

  for _, row in ipairs(readable) do
    it("is read: " .. row[1], function()
      assert.same(row[2], (redis_url.read(row[1])))
      redis.new(row[1]):close()
    end)
  end

  local BEGINNING = "must begin with redis://"
  local unreadable = {
    { "", BEGINNING }, { "SECRET", BEGINNING }, { "http://SECRET", BEGINNING }, { "redis:SECRET", BEGINNING },
    { "redis://h#SECRET", BEGINNING }, { "redis:// SECRET", "host" }, { "redis://", "host" },
    { "redis://:SECRET@", "host" }, { "redis://SECRET@h", "before the @" }, { "redis://u:@h", "before the @" },
    { "redis://u:SECRET%zz@h", "before the @" }, { "redis://SECRET%@h", "before the @" },
    { "redis://u:SECRET:b@h", "before the @" }, { "redis://u:SEC RET@h", "before the @" },
    { "redis://h:SECRET", "port" }, { "redis://h:", "port" }, { "redis://[::1]x", "port" },
    { "redis://[SECRET", "host" },
    { "redis://h:0", "port" }, { "redis://h:65536", "port" }, { "redis://u:SECRET/RET@h", "port" },
    { "redis://h/SECRET", "database" }, { "redis://h/1/2", "database" }, { "redis://h/-1", "database" },
    { "redis://h/1?database=SECRET", "database cannot be read" },
    { "redis://h/1?database=1", "database is given twice" },
    { "redis://h/99999999999", "database" }, { "redis://h/9999999999", "database" },
    { "redis://:a@h?password=SECRET", "password is given twice" }, { "redis://h?SECRET", "unknown option" },
    { "redis://h?secretkey1a2=SECRET", "unknown option ?" }, { "redis://h?pasword=SECRET", "unknown option pasword" },
    { "redis://h?prefix=", "prefix cannot be read" }, { "redis://h?prefix=a/b", "prefix must be" },
    { "redis://h?timeout_ms=1.5", "timeout_ms cannot be read" }, { "redis://h?timeout_ms=0", "timeout_ms must be" },
    { "redis://h?ca_file=/a", "rediss:// only" }, { "redis://h?user=u", "user needs a password" },
    { "rediss://h?key_file=k", "go together" }, { "rediss://h?ca_file=%00", "tls.ca_file must be" },
    { "redis+unix://h/SECRET", "three slashes" }, { "redis+unix://", "three slashes" },
    { "redis+unix:///", "three slashes" },
    { "redis+unix:///a%00b", "socket must be" },
  }

  for _, row in ipairs(unreadable) do
    it("raises and shows nothing of it: " .. row[1], function()
      local ok, message = pcall(redis.new, row[1])
      assert.is_false(ok)
      assert.is_truthy(message:find(row[2], 1, true), message)
      assert.is_truthy(message:find("paciolan.store.redis: ", 1, true), message)
      assert.is_nil(message:find("SEC", 1, true), message)
    end)
  end
end)

describe("the options of a redis store", function()
  local usable = {
    { host = "h" }, { host = "h", port = 1 }, { host = "h", port = 65535, database = 0, timeout_ms = 1 },
    { socket = "/a" }, { socket = "/a", user = "u", password = "p" }, { host = "h", password = "\0 \255" },
    { host = "h", tls = true }, { host = "h", tls = { ca_file = "/a", server_name = "n" } },
    { host = "h", prefix = ("p"):rep(200), connect_timeout_ms = 3600000 },
  }

  it("are taken", function()
    for _, options in ipairs(usable) do
      redis.new(options):close()
    end
  end)

  local unusable = {
    { {}, "either host or socket" }, { { host = "h", socket = "/a" }, "either host or socket" },
    { { socket = "/a", port = 1 }, "go with host" }, { { socket = "/a", tls = true }, "go with host" },
    { { host = "" }, "host must be" }, { { host = "redis://u:SECRET@h" }, "host must be" },
    { { host = "a b" }, "host must be" }, { { host = 1 }, "host must be" },
    { { host = "h", port = "1" }, "port must be" }, { { host = "h", port = 0 }, "port must be" },
    { { host = "h", port = 1.5 }, "port must be" }, { { host = "h", port = 65536 }, "port must be" },
    { { socket = "" }, "socket must be" }, { { socket = "/a\0b" }, "socket must be" },
    { { host = "h", password = "" }, "password must be" }, { { host = "h", user = "u" }, "user needs" },
    { { host = "h", database = -1 }, "database must be" }, { { host = "h", prefix = "" }, "prefix must be" },
    { { host = "h", prefix = ("p"):rep(201) }, "prefix must be" }, { { host = "h", prefix = "a/" }, "prefix must be" },
    { { host = "h", timeout_ms = 0 }, "timeout_ms must be" }, { { host = "h", timeout_ms = 0 / 0 }, "timeout_ms must" },
    { { host = "h", connect_timeout_ms = 3600001 }, "connect_timeout_ms must be" },
    { { host = "h", tls = false }, "tls must be" }, { { host = "h", tls = { ca = "x" } }, "unknown option tls.ca" },
    { { host = "h", tls = { ca_file = 1 } }, "tls.ca_file must be" },
    { { host = "h", tls = { certificate_file = "c" } }, "go together" },
    { { host = "h", passwort = "SECRET" }, "unknown option passwort" }, { { "SECRET" }, "unknown option ?" },
    { 7, "a URL or a table, not number" }, { nil, "a URL or a table, not nil" },
  }

  for _, row in pairs(unusable) do
    it("raise: " .. row[2], function()
      local ok, message = pcall(redis.new, row[1])
      assert.is_false(ok)
      assert.is_truthy(message:find(row[2], 1, true), message)
      assert.is_nil(message:find("SECRET", 1, true), message)
    end)
  end

  it("do not show in the store", function()
    local store = redis.new("redis://user:SECRET@h?prefix=SECRET")
    assert.is_nil(tostring(store):find("SECRET", 1, true))
    store:close()
  end)

  it("raise with what to install where the C module is missing", function()
    local script = [[
      package.cpath = ""
      package.loaded["paciolan.core"] = { redact_text = function(text) return text end }
      print(pcall(require("paciolan.store.redis").new, "redis://user:SECRET@h"))
    ]]
    local _, output = program.run(("env %s %s"):format(program.environment(),
      program.words { program.lua, "-e", script }))
    assert.is_truthy(output:find("^false.*libhiredis%-dev.*build paciolan again\n$"), output)
    assert.is_nil(output:find("SECRET", 1, true))
  end)
end)
