--- paciolan.sns.verify and the certificate: chains of the spec's own authority, good and bad, at every time, for every
-- kind of region. Forged messages are in `spec/receiver/attacks/`.
local amazon = require("support.amazon")
local authority = require("paciolan.authority")
local core = require("paciolan.core")
local files = require("support.files")
local sns = require("paciolan.sns")

local DAY_S = 86400
local CHAIN = "spec/fixtures/sns/chain/"

describe("the certificate of a message", function()
  local aws, now_s, body

  setup(function()
    aws = amazon.start {}
    now_s = os.time()
    body = aws:body { Timestamp = now_s }
  end)
  teardown(amazon.stop_all)

  local function small() return amazon.key("small", { type = "rsa", bits = 1024 }) end
  local function curve(name) return amazon.key(name or "curve", { type = "ec" }) end

  local function ca(options)
    options.is_ca = true
    options.not_before = options.not_before or now_s - 100 * DAY_S
    options.not_after = options.not_after or now_s + 100 * DAY_S
    return assert(authority.certificate(options))
  end

  -- Verifies the message, or another, with a certificate. Returns the reason, or nil.
  local function reason_of(certificate, options)
    local all = { topics = { aws.topic }, certificate = certificate, roots = aws.roots, now = now_s }
    for name, value in pairs(options or {}) do
      all[name] = value or nil
    end
    local envelope, err = sns.verify(all.body or body, { topics = all.topics, certificate = all.certificate,
      roots = all.roots, intermediates = all.intermediates, now = all.now, max_age_s = all.max_age_s,
      clock_skew_s = all.clock_skew_s, trust = all.trust })
    assert.is_true((envelope ~= nil) ~= (err ~= nil))
    return err and err.reason
  end

  it("is a server's, issued to the one name of the regions that all accounts have", function()
    assert.is_nil(reason_of(aws.leaf))
    assert.is_nil(reason_of(aws:certificate { dns = { "x.example", "sns.amazonaws.com", "*.example" } }))
    assert.is_nil(reason_of(aws:certificate { dns = { "SNS.amazonaws.com" } }))
    assert.is_nil(reason_of(aws:certificate { name = "another" }))
  end)

  it("has dates that hold at the time of the receipt, to the second", function()
    local leaf = aws:certificate { not_before = now_s - 100, not_after = now_s + 100 }
    for _, row in ipairs { { -101, "certificate_dates" }, { -100 }, { 0 }, { 99 },
      { 100, "certificate_dates" }, { 101, "certificate_dates" }, { 0 },
      { -101, "certificate_dates" } } do
      assert.equal(row[2], reason_of(leaf, { now = now_s + row[1], max_age_s = 300 }))
    end
    assert.equal("certificate_dates", reason_of(aws:certificate { not_before = now_s - 2 * DAY_S,
      not_after = now_s - 60 }))
    assert.equal("certificate_dates", reason_of(aws:certificate { not_before = now_s + 60 }))
    assert.equal("certificate_dates", reason_of(aws:certificate { not_before = 0, not_after = 1 }))
  end)

  it("bears the name itself: no wildcard, no common name alone, no other", function()
    for _, dns in ipairs {
      { "*.amazonaws.com" }, { "s*.amazonaws.com" }, { "*" }, { "*.com" }, { "sns.*.com" }, { "amazonaws.com" },
      { "sns.us-west-2.amazonaws.com" }, { "sns-signing.us-west-2.amazonaws.com" }, {
      "sns.amazonaws.com.evil.example" },
      { "xsns.amazonaws.com" }, { ".amazonaws.com" }, { "sns.amazonaws.com.cn" }, { "snsxamazonaws.com" }, {},
    } do
      assert.equal("certificate_name", reason_of(aws:certificate { name = "sns.amazonaws.com", dns = dns }), dns[1])
    end
    assert.equal("certificate_name", reason_of(aws:certificate { name = "sns.amazonaws.com", dns = {}, ip = {
      "127.0.0.1" } }))
  end)

  it("is no authority's, and was issued by one", function()
    assert.equal("untrusted_certificate", reason_of(aws:certificate { is_ca = true }))
    assert.equal("untrusted_certificate", reason_of(aws:certificate { is_ca = true, usage = false }))
    assert.equal("untrusted_certificate",
      reason_of(aws:certificate { is_ca = true, usage = "digitalSignature,keyCertSign",
      extended_usage = "serverAuth" }))
    assert.equal("untrusted_certificate", reason_of(authority.certificate { key = aws.key, name = "sns.amazonaws.com",
      dns = { "sns.amazonaws.com" } }))
    -- A self-signed one that is a root, even a trusted one, is no leaf.
    local own = authority.certificate { key = aws.key, name = "sns.amazonaws.com", dns = { "sns.amazonaws.com" } }
    assert.equal("untrusted_certificate", reason_of(own, { roots = own }))
    assert.equal("untrusted_certificate", reason_of(own, { roots = aws.roots .. own, intermediates = own }))
    -- Issued by a leaf, which is no authority.
    local below = aws:certificate { issuer = { key = aws.key, certificate = aws.leaf } }
    assert.equal("untrusted_certificate", reason_of(below, { intermediates = aws.leaf }))
    -- What is not self-signed is no root, so it is not taken for one.
    assert.error_matches(function() reason_of(below, { roots = aws.roots .. aws.leaf }) end,
      "roots: must be self%-signed")
    -- The roots and intermediates of Amazon sign no messages.
    for _, name in ipairs { "amazon-rsa-2048-m01", "amazon-root-ca-1" } do
      assert.equal("untrusted_certificate", reason_of(files.read(CHAIN .. name .. ".pem")))
    end
  end)

  it("has an RSA key of 2048 bits or more, with an exponent of 65537 or more", function()
    assert.equal("weak_key", reason_of(aws:certificate { key = small() }))
    assert.equal("weak_key", reason_of(aws:certificate { key = curve() }))
    assert.equal("weak_key", reason_of(aws:certificate { key = amazon.key("three", { type = "rsa", exponent = 3 }) }))
    assert.equal("weak_key", reason_of(aws:certificate { key = small() }, { trust = "leaf" }))
  end)

  it("has no weak link above it", function()
    -- An authority whose own key is short, and one whose signature is of SHA-1.
    local weak = ca { key = small(), name = "Weak authority" }
    assert.equal("untrusted_certificate",
      reason_of(aws:certificate { issuer = { key = small(), certificate = weak } }, { roots = weak }))
    assert.equal("untrusted_certificate", reason_of(aws:certificate { digest = "sha1" }))
    local middle = ca { key = curve(), name = "Old intermediate", digest = "sha1",
      issuer = { key = aws.ca_key, certificate = aws.roots } }
    assert.equal("untrusted_certificate",
      reason_of(aws:certificate { issuer = { key = curve(), certificate = middle } }, { intermediates = middle }))
  end)

  it("is not issued by a look-alike", function()
    for _, name in ipairs { "Amazon Root CA 1", "Amazon RSA 2048 M01", "Root of the specs" } do
      local look_alike = ca { key = curve("stranger"), name = name }
      local leaf = aws:certificate { issuer = { key = curve("stranger"), certificate = look_alike } }
      assert.equal("untrusted_certificate", reason_of(leaf))
      -- As an intermediate it leads nowhere.
      assert.equal("untrusted_certificate", reason_of(leaf, { intermediates = look_alike }))
      -- As a root it is one.
      assert.is_nil(reason_of(leaf, { roots = look_alike }))
    end
  end)

  it("leads to a root over intermediates that are known, in any number and order", function()
    local keys, above, all = {}, { key = aws.ca_key, certificate = aws.roots }, {}
    for i = 1, 3 do
      keys[i] = curve("intermediate " .. i)
      local pem = ca { key = keys[i], name = "Intermediate " .. i, issuer = above }
      above, all[i] = { key = keys[i], certificate = pem }, pem
    end
    local leaf = aws:certificate { issuer = above }
    assert.is_nil(reason_of(leaf, { intermediates = table.concat(all) }))
    assert.is_nil(reason_of(leaf, { intermediates = all[3] .. all[1] .. all[2] }))
    assert.is_nil(reason_of(leaf, { intermediates = aws.roots .. table.concat(all) .. aws.leaf }))
    assert.equal("untrusted_certificate", reason_of(leaf))
    assert.equal("untrusted_certificate", reason_of(leaf, { intermediates = all[3] .. all[1] }))
    assert.equal("untrusted_certificate", reason_of(leaf, { intermediates = table.concat(all), roots = false }))
  end)

  it("is refused while the operator's roots are not given, and the built-in ones stay", function()
    assert.equal("untrusted_certificate", reason_of(aws.leaf, { roots = false }))
    local genuine = files.read("spec/fixtures/sns/notification-v2-2026.json")
    local pem = files.read("spec/fixtures/sns/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem")
    local sent_s = core.parse_time(genuine:match('"Timestamp"%s*:%s*"([^"]*)"')) / 1000
    local topic = genuine:match('"TopicArn"%s*:%s*"([^"]*)"')
    assert.is_nil(reason_of(pem, { body = genuine, now = sent_s, topics = { topic } }))
  end)

  describe("of a region", function()
    -- A message of a topic there, and whether a certificate for a name is taken.
    local function judge(partition, region, name)
      local topic = ("arn:%s:sns:%s:123456789012:seats"):format(partition, region)
      local leaf = aws:certificate { name = "x", dns = { name } }
      return reason_of(leaf, { topics = { topic }, body = aws:body { TopicArn = topic, Timestamp = now_s } })
    end

    for _, row in ipairs {
      { "aws", "us-east-1", "sns.amazonaws.com" }, { "aws", "eu-central-1", "sns.amazonaws.com" },
      { "aws", "sa-east-1", "sns.amazonaws.com" }, { "aws", "af-south-1", "sns-signing.af-south-1.amazonaws.com" },
      { "aws", "ap-southeast-3", "sns-signing.ap-southeast-3.amazonaws.com" },
      { "aws", "eu-central-2", "sns-signing.eu-central-2.amazonaws.com" },
      { "aws", "mx-central-1", "sns-signing.mx-central-1.amazonaws.com" },
      { "aws", "ap-east-9", "sns-signing.ap-east-9.amazonaws.com" },
      { "aws-cn", "cn-north-1", "sns-cn-north-1.amazonaws.com.cn" },
      { "aws-cn", "cn-northwest-1", "sns-cn-northwest-1.amazonaws.com.cn" },
      { "aws-us-gov", "us-gov-west-1", "sns-us-gov-west-1.amazonaws.com" },
      { "aws-us-gov", "us-gov-east-1", "sns-us-gov-west-1.amazonaws.com" },
      { "aws-eusc", "eusc-de-east-1", "sns-signing.eusc-de-east-1.amazonaws.eu" },
      { "aws-eusc", "eusc-de-east-1", "sns.eusc-de-east-1.amazonaws.eu" },
    } do
      it(("%s is issued to %s, and to no name of another"):format(row[2], row[3]), function()
        assert.is_nil(judge(row[1], row[2], row[3]))
        for _, other in ipairs { "sns.amazonaws.com", "sns-signing.af-south-1.amazonaws.com",
          "sns-cn-north-1.amazonaws.com.cn", "sns-us-gov-west-1.amazonaws.com", "sns.amazonaws.eu" } do
          if other ~= row[3] then
            assert.equal("certificate_name", judge(row[1], row[2], other == row[3] and "x.example" or other))
          end
        end
      end)
    end

    it("is judged anew for a message of another one", function()
      local topics = { aws.topic, "arn:aws:sns:af-south-1:123456789012:seats",
        "arn:aws:sns:eu-west-1:123456789012:seats" }
      local options = { topics = topics, certificate = aws.leaf, roots = aws.roots, now = now_s }
      for _ = 1, 2 do
        for i, wanted in ipairs { false, "certificate_name", false } do
          local envelope, err = sns.verify(aws:body { TopicArn = topics[i], Timestamp = now_s }, options)
          assert.equal(wanted, err and err.reason or false)
          assert.equal(wanted == false, envelope ~= nil)
        end
      end
    end)
  end)

  it("is for signing and for a server, as far as it says what for", function()
    for _, row in ipairs {
      { nil, "digitalSignature", "serverAuth" }, { nil, "critical,digitalSignature,keyEncipherment", "serverAuth" },
      { nil, "digitalSignature,keyEncipherment", "serverAuth,clientAuth" }, { nil, "digitalSignature",
      "critical,serverAuth" },
      -- What names no usage may be used for any (RFC 5280, 4.2.1.3 and 4.2.1.12).
      { nil, false, "serverAuth" }, { nil, "digitalSignature", false }, { nil, false, false },
      { "untrusted_certificate", "keyEncipherment", "serverAuth" },
      { "untrusted_certificate", "critical,keyEncipherment", "serverAuth" },
      { "untrusted_certificate", "keyAgreement", "serverAuth" }, { "untrusted_certificate", "nonRepudiation",
      "serverAuth" },
      { "untrusted_certificate", "keyCertSign", "serverAuth" }, { "untrusted_certificate", "cRLSign", "serverAuth" },
      { "untrusted_certificate", "digitalSignature", "clientAuth" },
      { "untrusted_certificate", "digitalSignature", "codeSigning" },
      { "untrusted_certificate", "digitalSignature", "emailProtection,timeStamping" },
      { "untrusted_certificate", "digitalSignature", "anyExtendedKeyUsage" },
      { "untrusted_certificate", false, "clientAuth" },
    } do
      local leaf = aws:certificate { usage = row[2], extended_usage = row[3] }
      assert.equal(row[1], reason_of(leaf), ("%s, %s"):format(row[2], row[3]))
    end
  end)

  it("is issued by one that may issue", function()
    local middle
    local function through(options)
      options.key, options.name = curve("middle"), "Intermediate of usages"
      options.issuer = { key = aws.ca_key, certificate = aws.roots }
      middle = options.is_ca == false and assert(authority.certificate(options)) or ca(options)
      return reason_of(aws:certificate { issuer = { key = curve("middle"), certificate = middle } },
        { intermediates = middle })
    end
    assert.is_nil(through {})
    assert.is_nil(through { usage = false })
    assert.is_nil(through { extended_usage = "serverAuth,clientAuth" })
    assert.equal("untrusted_certificate", through { is_ca = false, usage = "keyCertSign", extended_usage = false })
    assert.equal("untrusted_certificate", through { usage = "cRLSign" })
    assert.equal("untrusted_certificate", through { usage = "digitalSignature" })
    assert.equal("untrusted_certificate", through { extended_usage = "clientAuth" })
  end)

  it("ends with an intermediate that ends, also when it was good a moment ago", function()
    local key = curve("brief")
    local middle = ca { key = key, name = "Brief intermediate", issuer = { key = aws.ca_key, certificate = aws.roots },
      not_before = now_s - 50, not_after = now_s + 50 }
    local leaf = aws:certificate { issuer = { key = key, certificate = middle } }
    local function at(offset_s)
      return reason_of(leaf, { intermediates = middle, now = now_s + offset_s })
    end
    assert.equal("certificate_dates", at(-51))
    assert.is_nil(at(-50))
    assert.is_nil(at(49))
    assert.equal("certificate_dates", at(51))
    assert.is_nil(at(0))
    -- Another one in its place, with the same key and name, holds the chain up.
    local longer = ca { key = key, name = "Brief intermediate", issuer = { key = aws.ca_key, certificate = aws.roots } }
    for _, both in ipairs { middle .. longer, longer .. middle } do
      assert.is_nil(reason_of(leaf, { intermediates = both, now = now_s + 51 }))
    end
  end)

  it("ends with a root that ends", function()
    local key = curve("brief root")
    local root = ca { key = key, name = "Brief root", not_before = now_s - 50, not_after = now_s + 50 }
    local leaf = aws:certificate { issuer = { key = key, certificate = root } }
    assert.is_nil(reason_of(leaf, { roots = root }))
    assert.equal("certificate_dates", reason_of(leaf, { roots = root, now = now_s + 51 }))
    assert.equal("certificate_dates", reason_of(leaf, { roots = root, now = now_s - 51 }))
  end)

  it("is one text: nothing before, behind, inside or beside it", function()
    local leaf = aws.leaf
    for _, text in ipairs { "", " ", "\n" .. leaf, leaf .. "\n", leaf .. leaf, leaf .. aws.roots, "x" .. leaf, leaf
      .. "x",
      "<a>" .. leaf .. "</a>", leaf:gsub("CERTIFICATE", "PUBLIC KEY"), leaf:sub(1, -2) .. " \n", leaf:gsub("\n",
      "\n\n\n \n", 1),
      leaf:gsub("CERTIFICATE", "certificate"), ("A"):rep(16385), (leaf:gsub("\n", "\n ")) } do
      assert.equal("bad_certificate", reason_of(text, { trust = "leaf" }), ("%q"):format(text:sub(1, 40)))
    end
    assert.is_nil(reason_of((leaf:gsub("\n", "\r\n"))))
    assert.is_nil(reason_of(leaf:sub(1, -2)))
  end)

  it("is taken as it is where it is trusted as a leaf, with any name, issuer and dates", function()
    local own = authority.certificate { key = aws.key, name = "x", not_before = 0, not_after = 1 }
    assert.is_nil(reason_of(own, { trust = "leaf", roots = false }))
    -- The signature has to fit all the same.
    assert.equal("bad_signature", reason_of(authority.certificate { key = aws.ca_key, name = "x" },
      { trust = "leaf", roots = false }))
  end)
end)
