--- TLS between a Redis store and Redis: the certificate and its name are verified, and nothing before 1.2 is spoken.
local errors = require("paciolan.errors")
local peers = require("support.peers")
local program = require("support.program")
local redis = require("paciolan.store.redis")
local servers = require("support.redis")

local SETTINGS = [[
tls-port %d
tls-cert-file "%s"
tls-key-file "%s"
tls-ca-cert-file "%s"
tls-auth-clients %s
%s
]]

describe("the redis store over TLS", function()
  local certificates

  before_each(function()
    certificates = peers.certificates()
  end)

  after_each(function()
    servers.stop_all()
    peers.stop_all()
  end)

  -- A server with that certificate, and the port of its TLS.
  local function start(certificate, clients, more)
    local port = peers.unused_port()
    local server = servers.start(SETTINGS:format(port, certificate.file, certificate.key, certificates.authority.file,
      clients or "no", more or ""))
    return port, server
  end

  local function open(port, tls, host, connect_timeout_ms)
    tls.ca_file = tls.ca_file or certificates.authority.file
    return redis.new { host = host or "127.0.0.1", port = port, tls = tls, timeout_ms = 5000,
      connect_timeout_ms = connect_timeout_ms or 5000 }
  end

  local function assert_refused(wanted, store)
    local value, err = store:get("a")
    store:close()
    assert.is_nil(value)
    assert.is_true(errors.is(err))
    assert.equal("store", err.kind)
    assert.is_truthy(err.message:find(wanted, 1, true), err.message)
  end

  for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
    it("keeps values of all lengths, with " .. version, function()
      local port, server = start(certificates.right_host, "no", ('tls-protocols "%s"'):format(version))
      local store = open(port, {})
      for _, length in ipairs { 0, 1, 16383, 16384, 16385, 3000000 } do
        local value = ("\0\255x"):rep(math.ceil(length / 3)):sub(1, length)
        assert.is_true(store:put("a", value))
        assert.is_true(value == store:get("a"))
      end
      assert.is_true(store:add("b", "1"))
      server:command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
      assert.is_true(store:replace("b", "1", "2"))
      assert.equal("2", store:get("b"))
      store:close()
    end)
  end

  it("takes the name and the address that are in the certificate", function()
    local port = start(certificates.right_host)
    for _, name in ipairs { "localhost", "127.0.0.1" } do
      for _, store in ipairs { open(port, {}, name), open(port, { server_name = name }) } do
        assert.is_true(store:put("a", name))
        store:close()
      end
    end
    local url = ("rediss://localhost:%d?ca_file=%s&timeout_ms=5000"):format(port, certificates.authority.file)
    local store = redis.new(url)
    assert.equal("127.0.0.1", store:get("a"))
    store:close()
  end)

  it("refuses another name, whatever the host is called", function()
    local port = start(certificates.wrong_host)
    assert_refused("ostname mismatch", open(port, {}, "localhost"))
    assert_refused("IP address mismatch", open(port, {}))
    assert_refused("ostname mismatch", open(port, { server_name = "other.test.example" }))
    local store = open(port, { server_name = "other.test" })
    assert.is_nil(store:get("a"))
    assert.is_true(store:put("a", "1"))
    store:close()
  end)

  it("refuses a certificate that no trusted authority signed", function()
    assert_refused("the certificate of the server was not accepted", open(start(certificates.alone), {}))
    local port = start(certificates.right_host)
    assert_refused("the certificate of the server was not accepted",
      open(port, { ca_file = certificates.stranger.file }))
    local by_default = redis.new { host = "127.0.0.1", port = port, tls = true, connect_timeout_ms = 5000 }
    assert_refused("the certificate of the server was not accepted", by_default)
  end)

  it("refuses TLS 1.1", function()
    local peer = peers.start_tls(certificates.right_host, "-tls1_1 -cipher DEFAULT:@SECLEVEL=0")
    assert_refused("TLS", open(peer.port, {}))
  end)

  it("shows its own certificate where it is asked for one", function()
    local port = start(certificates.right_host, "yes")
    local own = certificates.wrong_host
    local store = open(port, { certificate_file = own.file, key_file = own.key })
    assert.is_true(store:put("a", "1"))
    store:close()
  end)

  it("says that it is the client certificate, with the server's reason, and not that something changed", function()
    for version, wanted in pairs {
      ["TLSv1.2"] = "the server refused the TLS handshake (", ["TLSv1.3"] = "alert certificate required): check",
    } do
      local port = start(certificates.right_host, "yes", ('tls-protocols "%s"'):format(version))
      for _, name in ipairs { "put", "add" } do
        local store = open(port, {})
        local value, err = store[name](store, "a", "1")
        assert.is_nil(value)
        assert.is_truthy(err.message:find(wanted, 1, true), err.message)
        assert.is_truthy(err.message:find("with tls-auth-clients, the client certificate", 1, true), err.message)
        assert.is_nil(err.message:find("may have been made", 1, true), err.message)
        store:close()
      end
    end
  end)

  it("does not ask on the terminal for the password of a key", function()
    local port = start(certificates.right_host, "yes")
    local own, encrypted = certificates.right_host, certificates.right_host.key .. ".encrypted"
    local code, _, problems = program.run(program.words { "openssl", "pkcs8", "-topk8", "-passout", "pass:SECRET",
      "-in", own.key, "-out", encrypted })
    assert.equal(0, code, problems)
    assert_refused("tls.key_file must not be encrypted",
      open(port, { certificate_file = own.file, key_file = encrypted }))
  end)

  it("says which file cannot be read", function()
    local port = start(certificates.right_host)
    assert_refused("tls.ca_file cannot be read", open(port, { ca_file = "/nowhere.pem" }))
    assert_refused("tls.ca_file cannot be read", open(port, { ca_file = certificates.right_host.key }))
    assert_refused("tls.certificate_file and tls.key_file",
      open(port, { certificate_file = "/nowhere.pem", key_file = "/nowhere.pem" }))
    assert_refused("tls.certificate_file and tls.key_file",
      open(port, { certificate_file = certificates.right_host.file, key_file = certificates.wrong_host.key }))
  end)

  it("says that one side speaks TLS and the other does not", function()
    local port, server = start(certificates.right_host)
    assert_refused("check that this port speaks TLS", open(server.port, {}, nil, 200))
    assert_refused("whether it wants tls (rediss://)", redis.new { host = "127.0.0.1", port = port, timeout_ms = 5000 })
  end)

  it("gives up on a handshake that does not end, within the time to connect", function()
    local store = redis.new { host = "127.0.0.1", port = peers.silent().port, tls = true, connect_timeout_ms = 100 }
    assert_refused("the TLS handshake was not done in time", store)
    local trickling = redis.new { host = "127.0.0.1", port = servers.misbehave("mute"), tls = true,
      connect_timeout_ms = 100 }
    assert_refused("the TLS handshake was not done in time", trickling)
  end)

  it("answers an error, and no hang, when Redis is held", function()
    local port, server = start(certificates.right_host)
    local store = redis.new { host = "127.0.0.1", port = port, timeout_ms = 100, connect_timeout_ms = 5000,
      tls = { ca_file = certificates.authority.file } }
    assert.is_true(store:put("a", "1"))
    server:pause()
    local value, err = store:get("a")
    assert.is_nil(value)
    assert.is_truthy(err.message:find("no answer in time", 1, true))
    server:continue()
    assert.equal("1", store:get("a"))
    store:close()
  end)
end)
