--- Connecting elsewhere than the URL says: how specs and the sandbox play a host of the internet.
local amazon = require("support.amazon")
local concurrent = require("paciolan.concurrent")
local curl = require("paciolan.transport.curl")
local peers = require("support.peers")

local FINE = { status = 200, body = "{}" }

describe("connect_to", function()
  local transports

  before_each(function()
    transports = {}
  end)

  after_each(function()
    for _, transport in ipairs(transports) do
      transport:close()
    end
    peers.stop_all()
    amazon.stop_all()
  end)

  local function open(options)
    options.proxy = ""
    options.connect_timeout_ms = 20000
    options.timeout_ms = 20000
    transports[#transports + 1] = curl.new(options)
    return transports[#transports]
  end

  local function get(transport, url)
    return transport:send({ method = "GET", url = url, headers = {} })
  end

  it("reaches a host over TLS under the name of the URL", function()
    local aws = amazon.start {}
    local answer = assert(get(open { connect_to = aws.connect_to, ca_file = aws.ca_file }, aws:certificate_url()))
    assert.equal(200, answer.status)
    assert.equal(aws.leaf, answer.body)
    assert.equal(1, (aws:fetches()))
  end)

  it("still wants a certificate for the name of the URL", function()
    local aws = amazon.start { host = { dns = { "sns.us-east-1.amazonaws.com" }, name = "other" } }
    local transport = open { connect_to = aws.connect_to, ca_file = aws.ca_file }
    local answer, failure = get(transport, aws:certificate_url())
    assert.is_nil(answer)
    assert.equal("network", failure.kind)
    assert.equal("not_sent", failure.phase)
    assert.equal(0, (aws:fetches()))
    assert.equal(404, get(transport, "https://sns.us-east-1.amazonaws.com/").status)
  end)

  it("keeps the Host header, and leaves other places alone", function()
    local peer, other = peers.start({ FINE }), peers.start({ FINE })
    local transport = open { connect_to = { ["localhost:81"] = ("127.0.0.1:%d"):format(peer.port) } }
    assert(get(transport, "http://localhost:81/here"))
    assert(get(transport, other.url .. "/there"))
    assert.equal("localhost:81", peer:requests()[1].headers.host)
    assert.equal("/there", other:requests()[1].path)
    assert.equal(1, #peer:requests())
  end)

  it("holds for each transport by itself, in one run of tasks", function()
    local first, second = peers.start({ FINE }), peers.start({ FINE })
    local function to(peer)
      return open { connect_to = { ["localhost:81"] = ("127.0.0.1:%d"):format(peer.port) } }
    end
    local one, two = to(first), to(second)
    local tasks = {}
    for number = 1, 6 do
      local transport = number % 2 == 0 and one or two
      tasks[number] = function()
        return assert(get(transport, ("http://localhost:81/%d"):format(number))).status
      end
    end
    local results = concurrent.run(tasks)
    for number = 1, 6 do
      assert.equal(200, results[number][1])
    end
    assert.equal(3, #first:requests())
    assert.equal(3, #second:requests())
    for _, request in ipairs(first:requests()) do
      assert.equal(0, tonumber(request.path:match("%d")) % 2)
    end
  end)

  local MANY = {}
  for port = 1, 65 do
    MANY[("example.com:%d"):format(port)] = "127.0.0.1:1"
  end

  local PLACE = "connect_to: host:port is expected, for both"
  local refused = {
    { "a text", "example.com:443:127.0.0.1:1", "connect_to: a table is expected" },
    { "a number", { ["example.com:443"] = 8443 }, "connect_to: a string is expected" },
    { "a list", { "127.0.0.1:1" }, "connect_to: a string is expected" },
    { "a NUL", { ["example.com:443\0"] = "127.0.0.1:1" }, "connect_to: NUL is not allowed" },
    { "no port of the URL", { ["example.com"] = "127.0.0.1:1" }, PLACE },
    { "no port to connect to", { ["example.com:443"] = "127.0.0.1" }, PLACE },
    { "no host", { [":443"] = "127.0.0.1:1" }, PLACE },
    { "a path", { ["example.com:443/"] = "127.0.0.1:1" }, PLACE },
    { "two ports", { ["example.com:443"] = "127.0.0.1:1:2" }, PLACE },
    { "a port beyond the last", { ["example.com:443"] = "127.0.0.1:65536" }, PLACE },
    { "a user", { ["me@example.com:443"] = "127.0.0.1:1" }, PLACE },
    { "a long name", { [("a"):rep(300) .. ":443"] = "127.0.0.1:1" }, PLACE },
    { "a loopback host that would be left", { ["localhost:80"] = "example.com:80" },
      "connect_to: a loopback host stays on this machine" },
    { "too many", MANY, "connect_to: at most 64 are allowed" },
  }

  for _, row in ipairs(refused) do
    it("refuses " .. row[1], function()
      assert.has_error(function() open { connect_to = row[2] } end, row[3])
    end)
  end

  it("takes IPv6 addresses, none and 64 places", function()
    MANY["example.com:65"] = nil
    for _, places in ipairs { { ["[2001:db8::1]:443"] = "[::1]:8443", ["localhost:80"] = "[::1]:80" }, {}, MANY } do
      assert.truthy(open { connect_to = places })
    end
  end)
end)
