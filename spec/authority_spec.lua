--- Keys, certificates and signatures of `paciolan.authority`, judged by the openssl program.
local authority = require("paciolan.authority")
local files = require("support.files")
local folder = require("support.folder")
local program = require("support.program")

local DAY_S = 86400

describe("paciolan.authority", function()
  local place, rsa, ec, root

  setup(function()
    place = folder.make()
    rsa = assert(authority.key { type = "rsa" })
    ec = assert(authority.key { type = "ec" })
    root = assert(authority.certificate { key = rsa, name = "Root", is_ca = true })
  end)

  teardown(folder.remove_all)

  local function file(name, text)
    local path = place .. "/" .. name
    files.write(path, text)
    return path
  end

  -- What openssl says, both streams; the words are one argument each.
  local function openssl(...)
    local code, output, problems = program.run(program.words { "openssl", ... })
    return code == 0, output .. problems
  end

  local function shown(pem)
    local ok, text = openssl("x509", "-noout", "-text", "-in", file("shown.pem", pem))
    assert.is_true(ok, text)
    return text
  end

  local function issued(options)
    local all = { key = ec, issuer = { key = rsa, certificate = root }, name = "leaf" }
    for key, value in pairs(options or {}) do
      all[key] = value
    end
    return assert(authority.certificate(all))
  end

  describe("key", function()
    it("makes RSA keys of 2048 bits with the exponent 65537", function()
      local ok, text = openssl("pkey", "-noout", "-text", "-in", file("key.pem", authority.key({}):pem()))
      assert.is_true(ok, text)
      assert.truthy(text:find("2048 bit", 1, true))
      assert.truthy(text:find("publicExponent: 65537", 1, true))
    end)

    it("makes keys that are too weak, for refusals", function()
      local weak = authority.key { type = "rsa", bits = 1024, exponent = 3 }
      local _, text = openssl("pkey", "-noout", "-text", "-in", file("key.pem", weak:pem()))
      assert.truthy(text:find("1024 bit", 1, true))
      assert.truthy(text:find("publicExponent: 3 ", 1, true))
    end)

    it("makes EC keys on P-256", function()
      local _, text = openssl("pkey", "-noout", "-text", "-in", file("key.pem", ec:pem()))
      assert.truthy(text:find("prime256v1", 1, true))
    end)

    it("says what it is, and nothing secret", function()
      assert.equal("paciolan.authority.key (rsa, 2048 bits)", tostring(rsa))
      assert.equal("paciolan.authority.key (ec, 256 bits)", tostring(ec))
    end)

    it("makes another key each time", function()
      assert.not_equal(authority.key({ type = "ec" }):pem(), ec:pem())
    end)

    it("raises for what it does not know", function()
      local rows = {
        { { type = "dsa" }, "type: rsa or ec is expected" },
        { { type = false }, "type: rsa or ec is expected" },
        { { kind = "rsa" }, "unknown option" },
        { { bits = 511 }, "bits: a whole number is expected" },
        { { bits = 8193 }, "bits: a whole number is expected" },
        { { bits = "2048" }, "bits: a whole number is expected" },
        { { exponent = 1 }, "exponent: a whole number is expected" },
        { { exponent = 65536 }, "exponent: an odd number is expected" },
        { "rsa", "table expected" },
      }
      for _, row in ipairs(rows) do
        local ok, problem = pcall(authority.key, row[1])
        assert.is_false(ok)
        assert.truthy(problem:find(row[2], 1, true), problem)
      end
    end)
  end)

  describe("read_key", function()
    it("reads what pem wrote", function()
      assert.truthy(rsa:pem():find("^%-%-%-%-%-BEGIN PRIVATE KEY%-%-%-%-%-\n"))
      local again = assert(authority.read_key(rsa:pem()))
      assert.equal(rsa:pem(), again:pem())
    end)

    it("answers nil and a reason for anything else, and asks nobody for a passphrase", function()
      local _, sealed = openssl("pkcs8", "-topk8", "-v2", "aes-128-cbc", "-passout", "pass:secret", "-in",
        file("key.pem", ec:pem()))
      assert.truthy(sealed:find("ENCRYPTED", 1, true))
      for _, text in ipairs { "", "no key", root, sealed, rsa:pem():sub(1, 400) } do
        local key, reason = authority.read_key(text)
        assert.is_nil(key)
        assert.truthy(reason:find("^this is no private key in PEM without a passphrase"))
      end
    end)
  end)

  describe("certificate", function()
    it("makes a root and leaves that verify with it", function()
      local ca = file("root.pem", root)
      local leaf = file("leaf.pem", issued { dns = { "sns.example.com", "b.example.com" },
        ip = { "127.0.0.1", "::1" } })
      assert.is_true((openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, leaf)))
      for _, name in ipairs { "sns.example.com", "b.example.com" } do
        assert.is_true((openssl("verify", "-CAfile", ca, "-verify_hostname", name, leaf)))
      end
      for _, address in ipairs { "127.0.0.1", "::1" } do
        assert.is_true((openssl("verify", "-CAfile", ca, "-verify_ip", address, leaf)))
      end
      assert.is_false((openssl("verify", "-CAfile", ca, "-verify_hostname", "a.example.com", leaf)))
    end)

    it("makes chains over an intermediate", function()
      local middle_key = assert(authority.key { type = "ec" })
      local middle = issued { key = middle_key, name = "Middle", is_ca = true }
      local leaf = issued { issuer = { key = middle_key, certificate = middle } }
      assert.is_true((openssl("verify", "-x509_strict", "-CAfile", file("root.pem", root), "-untrusted",
        file("middle.pem", middle), file("leaf.pem", leaf))))
      assert.is_false((openssl("verify", "-CAfile", file("root.pem", root), file("leaf.pem", leaf))))
    end)

    it("signs itself without an issuer", function()
      local alone = file("alone.pem", assert(authority.certificate { key = ec, name = "alone" }))
      assert.is_false((openssl("verify", "-CAfile", file("root.pem", root), alone)))
      assert.is_true((openssl("verify", "-CAfile", alone, alone)))
    end)

    it("names what a server or an authority needs", function()
      local leaf, ca = shown(issued()), shown(root)
      assert.truthy(leaf:find("CA:FALSE", 1, true))
      assert.truthy(leaf:find("Digital Signature, Key Encipherment", 1, true))
      assert.truthy(leaf:find("TLS Web Server Authentication", 1, true))
      assert.truthy(ca:find("CA:TRUE", 1, true))
      assert.truthy(ca:find("Certificate Sign, CRL Sign", 1, true))
      assert.is_nil(ca:find("Extended Key Usage", 1, true))
    end)

    it("takes other usages, none, a serial number and SHA-1", function()
      local text = shown(issued { usage = "keyAgreement", extended_usage = "clientAuth,emailProtection", serial = 4711,
        digest = "sha1" })
      assert.truthy(text:find("Key Agreement", 1, true))
      assert.truthy(text:find("TLS Web Client Authentication, E-mail Protection", 1, true))
      assert.truthy(text:find("Serial Number: 4711 ", 1, true))
      assert.truthy(text:find("Signature Algorithm: sha1WithRSAEncryption", 1, true))
      text = shown(issued { usage = false, extended_usage = false })
      assert.is_nil(text:find("Key Usage", 1, true))
    end)

    it("gives each certificate a serial number of its own", function()
      local function serial(pem)
        return shown(pem):match("Serial Number:%s*(%S+)")
      end
      assert.not_equal(serial(issued()), serial(issued()))
    end)

    it("holds from a day ago for 30 days to come, unless told", function()
      local now = os.time()
      local ca, leaf = file("root.pem", root), file("leaf.pem", issued())
      local function holds(path, at)
        return (openssl("verify", "-attime", ("%d"):format(at), "-CAfile", ca, path))
      end
      assert.is_true(holds(leaf, now))
      assert.is_false(holds(leaf, now - DAY_S - 600))
      assert.is_false(holds(leaf, now + 30 * DAY_S + 600))
      local past = file("past.pem", issued { not_before = now - 3600, not_after = now - 1800 })
      assert.is_false(holds(past, now))
      assert.is_true(holds(past, now - 2400))
    end)

    it("reaches from 1970 to the year 9999", function()
      local text = shown(issued { not_before = 0, not_after = 253402300799 })
      assert.truthy(text:find("Jan  1 00:00:00 1970 GMT", 1, true))
      assert.truthy(text:find("Dec 31 23:59:59 9999 GMT", 1, true))
    end)

    it("takes names as they are", function()
      local text = shown(issued { name = "Söme, CN=other", dns = { "*.example.com", "a,DNS:evil.example.com" } })
      assert.is_nil(text:find("DNS:evil.example.com, ", 1, true))
      assert.truthy(text:find("DNS:*.example.com", 1, true))
    end)

    it("answers nil and a reason for what OpenSSL refuses", function()
      local rows = {
        { { usage = "everything" }, "the certificate cannot be made" },
        { { extended_usage = "world domination" }, "the certificate cannot be made" },
        { { ip = { "localhost" } }, "the certificate cannot be made" },
        { { name = ("x"):rep(65) }, "the certificate cannot be made" },
        { { issuer = { key = rsa, certificate = "no PEM" } }, "issuer.certificate: this is no certificate in PEM" },
        { { issuer = { key = ec, certificate = root } }, "issuer.key is not the key of issuer.certificate" },
      }
      for _, row in ipairs(rows) do
        local options = { key = ec, name = "leaf" }
        for key, value in pairs(row[1]) do
          options[key] = value
        end
        local pem, reason = authority.certificate(options)
        assert.is_nil(pem)
        assert.equal(row[2], reason:sub(1, #row[2]))
      end
    end)

    it("raises for what it does not know", function()
      local many = {}
      for number = 1, 101 do
        many[number] = ("n%d.example.com"):format(number)
      end
      local rows = {
        { { key = false }, "key: a key of this module is expected" },
        { { key = "PEM" }, "key: a key of this module is expected" },
        { { name = false }, "name: a string is expected" },
        { { name = "a\0b" }, "name: a string without NUL is expected" },
        { { digest = "md5" }, "digest: sha1 or sha256 is expected" },
        { { serial = 0 }, "serial: a whole number is expected" },
        { { not_after = -1 }, "not_after: a whole number is expected" },
        { { not_before = 253402300800 }, "not_before: a whole number is expected" },
        { { dns = "example.com" }, "dns: a list of at most 100 strings is expected" },
        { { dns = many }, "dns: a list of at most 100 strings is expected" },
        { { ip = { 127 } }, "ip: a string without NUL is expected" },
        { { issuer = rsa }, "table expected" },
        { { issuer = { key = rsa } }, "issuer.certificate: a string is expected" },
        { { issuer = { certificate = root } }, "issuer.key: a key of this module is expected" },
        { { issuer = { key = rsa, certificate = root, name = "n" } }, "unknown option" },
        { { subject = "n" }, "unknown option" },
      }
      for _, row in ipairs(rows) do
        local options = { key = ec, name = "leaf" }
        for key, value in pairs(row[1]) do
          options[key] = value
        end
        local ok, problem = pcall(authority.certificate, options)
        assert.is_false(ok, row[2])
        assert.truthy(problem:find(row[2], 1, true), problem)
      end
    end)

    it("takes a hundred names", function()
      local many = {}
      for number = 1, 100 do
        many[number] = ("n%d.example.com"):format(number)
      end
      assert.truthy(shown(issued { dns = many, ip = { "127.0.0.1" } }):find("DNS:n100.example.com", 1, true))
    end)
  end)

  describe("sign", function()
    local TEXT = "a text\0with a NUL"

    local function verified(key, digest, signature)
      local _, public = openssl("pkey", "-pubout", "-in", file("key.pem", key:pem()))
      return (openssl("dgst", "-" .. digest, "-verify", file("public.pem", public), "-signature",
        file("signature", signature), file("text", TEXT)))
    end

    it("makes signatures of RSASSA-PKCS1-v1_5 with RSA", function()
      for _, digest in ipairs { "sha1", "sha256" } do
        local signature = assert(authority.sign(rsa, TEXT, digest))
        assert.equal(256, #signature)
        assert.is_true(verified(rsa, digest, signature))
        assert.equal(signature, authority.sign(rsa, TEXT, digest))
      end
      assert.is_false(verified(rsa, "sha1", authority.sign(rsa, TEXT, "sha256")))
    end)

    it("makes signatures of ECDSA with EC", function()
      assert.is_true(verified(ec, "sha256", assert(authority.sign(ec, TEXT, "sha256"))))
    end)

    -- EMSA-PKCS1-v1_5 by hand, RFC 8017, section 9.2: the prefix is the DigestInfo of SHA-256.
    it("does the RSA operation alone over a block that was padded by hand", function()
      local code, hash = program.run("printf abc | openssl dgst -sha256 -binary | od -An -v -tx1")
      assert.equal(0, code)
      local info = "3031300d060960864801650304020105000420" .. hash:gsub("%s", "")
      local bytes = info:gsub("%x%x", function(hex) return string.char(tonumber(hex, 16)) end)
      local block = "\0\1" .. ("\255"):rep(256 - 3 - #bytes) .. "\0" .. bytes
      assert.equal(authority.sign(rsa, "abc", "sha256"), authority.sign(rsa, block, "raw"))
    end)

    it("answers nil and a reason for a block that does not fit", function()
      local rows = { { rsa, ("x"):rep(255) }, { rsa, ("\255"):rep(256) }, { rsa, "" }, { ec, ("\1"):rep(32) } }
      for _, row in ipairs(rows) do
        local signature, reason = authority.sign(row[1], row[2], "raw")
        assert.is_nil(signature)
        assert.truthy(reason:find("^raw needs an RSA key and a block as long as its modulus"))
      end
    end)

    it("raises for another digest, and for what is no key or no text", function()
      assert.has_error(function() authority.sign(rsa, "x", "md5") end)
      assert.has_error(function() authority.sign(rsa, "x") end)
      assert.has_error(function() authority.sign(rsa, 12, "sha256") end)
      assert.has_error(function() authority.sign(rsa:pem(), "x", "sha256") end)
    end)
  end)

  describe("base64", function()
    -- The examples of RFC 4648, section 10.
    it("writes the standard alphabet, padded, on one line", function()
      local examples = { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
        foobar = "Zm9vYmFy", ["\251\255\0"] = "+/8A" }
      for bytes, text in pairs(examples) do
        assert.equal(text, authority.base64(bytes))
      end
      assert.equal(("QUFB"):rep(1000), authority.base64(("AAA"):rep(1000)))
      assert.has_error(function() authority.base64(12) end)
    end)
  end)
end)
