local loopback = require "paciolan.sandbox.loopback"

describe("what the sandbox sends to", function()
  for url, wanted in pairs {
    ["http://127.0.0.1"] = { "http://127.0.0.1" },
    ["HTTP://127.255.0.19:65535/a/b?c=d&e=@"] = { "http://127.255.0.19:65535/a/b?c=d&e=@" },
    ["https://localhost:8443/x"] = { "https://localhost:8443/x" },
    ["http://LOCALHOST?x"] = { "http://LOCALHOST?x" },
    ["http://[::1]:80/"] = { "http://[::1]:80/" },
    ["http://me:pa%20ss:x@127.0.0.1/x"] = { "http://127.0.0.1/x", "me", "pa ss:x" },
    ["http://me@127.0.0.1/x"] = { "http://127.0.0.1/x", "me", "" },
  } do
    it("is " .. url, function()
      assert.same({ url = wanted[1], user = wanted[2], password = wanted[3] }, loopback.read(url))
    end)
  end

  for _, url in ipairs { "", "127.0.0.1", "ftp://127.0.0.1/", "http:/127.0.0.1", "http://", "http:///x", "http://:80/",
    "http://example.com/", "http://127.0.0.1.example.com/", "http://127.0.0.1:80@example.com/",
    "http://127.0.0.1@example.com", "http://localhost.example.com/", "http://example.com/127.0.0.1",
    "http://example.com?127.0.0.1", "http://example.com#@127.0.0.1/", "http://127.0.0.1#x", "http://127.0.0.1\\@x.com",
    "http://127.1/", "http://127.0.0.256/", "http://127.0.0.01/", "http://0177.0.0.1/", "http://2130706433/",
    "http://0.0.0.0/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::1].example.com/", "http://[::1/",
    "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:/", "http://127.0.0.1:8a/",
    "http://127.0.0.1/a b", "http://127.0.0.1/\n", "http://127.0.0.1/\0x", "http://127.0.0.1/\195\164",
    "http://128.0.0.1/", "http://10.0.0.1/", "http://169.254.169.254/latest", "http://localhost./",
    "http://127.0.0.1/" .. ("x"):rep(2000) } do
    it("is not " .. url:sub(1, 60):gsub("[^ -~]", "?"), function()
      local place, rule = loopback.read(url)
      assert.is_nil(place)
      assert.truthy(rule:find("of this machine", 1, true))
    end)
  end
end)
