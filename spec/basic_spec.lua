--- HTTP Basic as a receiver checks it: `core.basic`.
local authority = require("paciolan.authority")
local core = require("paciolan.core")

local function header(text, scheme)
  return (scheme or "Basic") .. " " .. authority.base64(text)
end

describe("core.basic", function()
  local basic = core.basic { { user = "Aladdin", password = "open sesame" } }

  it("accepts the user and the password, as in the example of RFC 7617", function()
    assert.is_true(basic:matches("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="))
  end)

  for _, scheme in ipairs { "basic", "BASIC", "bAsIc", "Basic  " } do
    it("does not mind how the scheme is written: " .. scheme, function()
      assert.is_true(basic:matches(header("Aladdin:open sesame", scheme)))
    end)
  end

  local refused = {
    { "no header", nil },
    { "an empty header", "" },
    { "the scheme alone", "Basic" },
    { "the scheme and a blank", "Basic " },
    { "another scheme", header("Aladdin:open sesame", "Bearer") },
    { "a scheme that begins so", header("Aladdin:open sesame", "Basically") },
    { "no blank behind the scheme", "BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
    { "a tab behind the scheme", "Basic\tQWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
    { "a blank before the scheme", " Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
    { "a blank at the end", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== " },
    { "two headers in one", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==, Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
    { "no padding", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ" },
    { "bits behind the last byte", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==" },
    { "a sign outside of the alphabet", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZ-==" },
    { "text that is no base64", "Basic Aladdin:open sesame" },
    { "no colon", header("Aladdin") },
    { "another password", header("Aladdin:open sesamE") },
    { "a password that begins so", header("Aladdin:open sesame!") },
    { "the beginning of the password", header("Aladdin:open sesam") },
    { "no password", header("Aladdin:") },
    { "another user", header("aladdin:open sesame") },
    { "no user", header(":open sesame") },
    { "the colon elsewhere", header("Aladdinopen: sesame") },
    { "the two in the wrong order", header("open sesame:Aladdin") },
    { "a NUL behind the password", header("Aladdin:open sesame\0") },
    { "a NUL behind the user", header("Aladdin\0:open sesame") },
    { "asterisks, as a console sends them", header("Aladdin:****") },
    { "more than a pair can be", header("Aladdin:" .. ("x"):rep(100000)) },
  }

  for _, row in ipairs(refused) do
    it("refuses " .. row[1], function()
      assert.is_false(basic:matches(row[2]))
    end)
  end

  it("parts at the first colon, so that a password may hold more", function()
    local colons = core.basic { { user = "u", password = ":p:q:" } }
    assert.is_true(colons:matches(header("u::p:q:")))
    assert.is_false(colons:matches(header("u:p:q:")))
  end)

  it("takes bytes as they are, up to 512 of each", function()
    local user, password = ("ü"):rep(256), ("\255"):rep(512)
    local long = core.basic { { user = user, password = password } }
    assert.is_true(long:matches(header(user .. ":" .. password)))
    assert.is_false(long:matches(header(user .. ":" .. password .. "\255")))
  end)

  it("accepts either of two pairs, and none that mixes them", function()
    local two = core.basic { { user = "old", password = "one" }, { user = "new", password = "two" } }
    assert.is_true(two:matches(header("old:one")))
    assert.is_true(two:matches(header("new:two")))
    assert.is_false(two:matches(header("old:two")))
    assert.is_false(two:matches(header("new:one")))
  end)

  it("forgets the tables it was made of, and shows nothing of them", function()
    local pair = { user = "u", password = "p" }
    local one = core.basic { pair }
    pair.password = "changed"
    assert.is_true(one:matches(header("u:p")))
    assert.equal("paciolan.basic", tostring(one))
  end)

  local PAIRS = "a list of one or two { user, password } is expected"
  local misused = {
    { "no list", "u:p", "table expected" },
    { "an empty list", {}, PAIRS },
    { "a pair that is no list", { user = "u", password = "p" }, PAIRS },
    { "three pairs", { { user = "u", password = "p" }, { user = "u", password = "p" }, { user = "u", password = "p" } },
      PAIRS },
    { "a text for a pair", { "u:p" }, "a pair { user, password } is expected" },
    { "no user", { { password = "p" } }, "user: a string is expected" },
    { "no password", { { user = "u" } }, "password: a string is expected" },
    { "a number", { { user = "u", password = 1234 } }, "password: a string is expected" },
    { "another key", { { user = "u", password = "p", realm = "r" } }, "a pair has no keys but user and password" },
    { "an empty user", { { user = "", password = "p" } }, "user: 1 to 512 bytes are expected" },
    { "an empty password", { { user = "u", password = "" } }, "password: 1 to 512 bytes are expected" },
    { "a long password", { { user = "u", password = ("p"):rep(513) } }, "password: 1 to 512 bytes are expected" },
    { "a colon in the user", { { user = "u:", password = "p" } }, "user: a colon is not allowed" },
    { "a line break", { { user = "u", password = "p\n" } }, "password: control characters are not allowed" },
    { "a NUL", { { user = "u\0", password = "p" } }, "user: control characters are not allowed" },
  }

  for _, row in ipairs(misused) do
    it("raises for " .. row[1], function()
      local ok, problem = pcall(core.basic, row[2])
      assert.is_false(ok)
      assert.truthy(problem:find(row[3], 1, true))
    end)
  end

  it("raises for a header that is no text, and for another object", function()
    assert.has_error(function() basic:matches(12) end)
    assert.has_error(function() basic:matches({}) end)
    assert.has_error(function() basic.matches({}, "Basic") end)
  end)
end)
