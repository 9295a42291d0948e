--- Attacks with the signing certificate: what it is, who issued it, how it is wrapped, how often it is asked for. The
-- signatures are true in the sense that they fit the key of the certificate that is served.
local amazon = require("support.amazon")
local attack = require("support.attack")
local authority = require("paciolan.authority")
local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")
local inbox = require("support.inbox")

-- Under valgrind and the sanitizers fewer messages will do.
local IS_SLOW = os.getenv("MUTATIONS") ~= nil
local NOVEL = IS_SLOW and 1000 or 10000
local CROWD = IS_SLOW and 100 or 1000

local DAY_S = 86400
-- How long a certificate is used before it is fetched anew, where that is tested.
local TTL_S = 5
local AMAZON = "Amazon RSA 2048 M01"

describe("an attack with the certificate", function()
  local aws, box

  before_each(function()
    aws = amazon.start {}
    box = inbox.open(aws)
  end)
  after_each(amazon.stop_all)

  -- What is fetched is this; `key` has signed the message.
  local function deliver(pem, key)
    aws:serve(aws:certificate_url(), { body = pem })
    local fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
    if key then
      aws:sign(fields, { key = key })
    end
    return attack.request(aws:encode(fields), aws:headers(fields))
  end

  -- Not accepted, and forgotten as soon as a failure is: a genuine one is taken after that. The message comes again:
  -- only Amazon's host can have served such a certificate, so it may be our trust that is out of date.
  local function refused(label, reason, pem, key)
    local alarm = reason == "certificate_unavailable" and "fetch_failed" or reason
    attack.refused(box, deliver(pem, key), reason, { status = 503, fetches = 1, alarm = alarm, label = label })
    box.now_s = box.now_s + 30
    attack.accepted(box, deliver(aws.leaf), { fetches = 1, label = label })
    box = inbox.open(aws)
  end

  local function ca(options)
    options.is_ca = true
    return assert(authority.certificate(options))
  end

  describe("of a wrong kind:", function()
    for label, row in pairs {
      ["one that has expired"] = { "certificate_dates",
        function() return { not_before = os.time() - 40 * DAY_S, not_after = os.time() - 60 } end },
      ["one that is not valid yet"] = { "certificate_dates",
        function() return { not_before = os.time() + DAY_S, not_after = os.time() + 40 * DAY_S } end },
      ["another name"] = { "certificate_name",
        function() return { name = "sns.evil.example", dns = { "sns.evil.example" } } end },
      ["the right name as its common name alone"] = { "certificate_name",
        function() return { name = "sns.amazonaws.com", dns = { "sns.evil.example" } } end },
      ["the right name and no alternative name"] = { "certificate_name",
        function() return { name = "sns.amazonaws.com", dns = {} } end },
      ["the host it is fetched from"] = { "certificate_name",
        function() return { name = "sns.us-west-2.amazonaws.com", dns = { "sns.us-west-2.amazonaws.com" } } end },
      ["a wildcard"] = { "certificate_name",
        function() return { name = "*.amazonaws.com", dns = { "*.amazonaws.com" } } end },
      ["a wildcard of one part"] = { "certificate_name",
        function() return { name = "s*.amazonaws.com", dns = { "s*.amazonaws.com", "*ns.amazonaws.com" } } end },
      ["an authority as leaf"] = { "untrusted_certificate",
        function() return { is_ca = true, usage = "digitalSignature,keyCertSign", extended_usage = "serverAuth" } end },
      ["RSA of 1024 bits"] = { "certificate_unavailable",
        function() return { key = amazon.key("small", { type = "rsa", bits = 1024 }) } end },
      ["an elliptic curve"] = { "certificate_unavailable",
        function() return { key = amazon.key("curve", { type = "ec" }) } end },
      ["a usage without signing"] = { "untrusted_certificate",
        function() return { usage = "critical,keyEncipherment" } end },
      ["a client's"] = { "untrusted_certificate",
        function() return { extended_usage = "clientAuth" } end },
      ["a signature of SHA-1 over it"] = { "untrusted_certificate",
        function() return { digest = "sha1" } end },
    } do
      it("13. " .. label .. " -> refused", function()
        local options = row[2]()
        refused(label, row[1], aws:certificate(options), options.key)
      end)
    end

    it("13. expiry while it is kept -> refused at the next use", function()
      local leaf = aws:certificate { not_after = os.time() + 1000 }
      attack.accepted(box, deliver(leaf), { fetches = 1 })
      box.now_s = os.time() + 900
      attack.accepted(box, deliver(leaf))
      box.now_s = os.time() + 1010
      attack.refused(box, deliver(leaf), "certificate_dates", { status = 503, alarm = "certificate_dates" })
      box:restart()
      attack.refused(box, deliver(leaf), "certificate_dates",
        { status = 503, alarm = "certificate_dates", fetches = 1 })
    end)
  end)

  it("14. a look-alike of Amazon's chain, a wrong intermediate, none -> refused", function()
    local stranger = amazon.key("stranger", { type = "ec" })
    local root = ca { key = stranger, name = "Amazon Root CA 1" }
    local look_alike = ca { key = stranger, name = AMAZON }
    local issued = ca { key = stranger, name = AMAZON, issuer = { key = stranger, certificate = root } }
    for label, issuer in pairs { root = root, ["self-signed intermediate"] = look_alike, intermediate = issued } do
      local leaf = aws:certificate { issuer = { key = stranger, certificate = issuer } }
      refused(label, "untrusted_certificate", leaf)
    end
    -- By the very name of a root that is trusted.
    refused("name of our root", "untrusted_certificate",
      aws:certificate { issuer = { key = stranger, certificate = ca { key = stranger, name = "Root of the specs" } } })
    refused("self-signed", "untrusted_certificate",
      authority.certificate { key = amazon.key("leaf"), name = "sns.amazonaws.com", dns = { "sns.amazonaws.com" } })
    -- Issued by a leaf that the trusted root has issued.
    refused("issued by a leaf", "untrusted_certificate",
      aws:certificate { issuer = { key = amazon.key("leaf"), certificate = aws.leaf } })
  end)

  it("14. an intermediate that nobody named -> refused; with it -> accepted", function()
    local key = amazon.key("middle", { type = "ec" })
    local middle = ca { key = key, name = "Intermediate of the specs", issuer = { key = aws.ca_key,
      certificate = aws.roots } }
    local leaf = aws:certificate { issuer = { key = key, certificate = middle } }
    refused("no intermediate", "untrusted_certificate", leaf)
    box = inbox.open(aws, { intermediates = middle })
    attack.accepted(box, deliver(leaf), { fetches = 1 })
    -- A root that is given as an intermediate only is no root.
    local other = amazon.key("other root", { type = "ec" })
    local root = ca { key = other, name = "Another root" }
    box = inbox.open(aws, { intermediates = root })
    attack.refused(box, deliver(aws:certificate { issuer = { key = other, certificate = root } }),
      "untrusted_certificate", { status = 503, fetches = 1, alarm = "untrusted_certificate" })
  end)

  it("14. a leaf of an opt-in region for a default one, and the other way round -> refused", function()
    refused("opt-in", "certificate_name", aws:certificate { name = "sns-signing.af-south-1.amazonaws.com",
      dns = { "sns-signing.af-south-1.amazonaws.com", "sns.af-south-1.amazonaws.com" } })
    local topic = "arn:aws:sns:af-south-1:123456789012:seats"
    box = inbox.open(aws, { topics = { topic } })
    local request = aws:request { TopicArn = topic, Message = inbox.seats(), Timestamp = box.now_s }
    aws:serve(aws:certificate_url(), { body = aws.leaf })
    attack.refused(box, request, "certificate_name", { status = 503, fetches = 1, alarm = "certificate_name" })
  end)

  it("15. PEM in XML, text before BEGIN, two, a bare public key, DER, nothing -> refused", function()
    local leaf = aws.leaf
    local base64 = leaf:match("%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-\n(.-)\n%-%-%-%-%-END")
    local alphabet, bits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", {}
    for character in base64:gmatch("[%w+/]") do
      local value = alphabet:find(character, 1, true) - 1
      for i = 5, 0, -1 do
        bits[#bits + 1] = math.floor(value / 2 ^ i) % 2
      end
    end
    local der = {}
    for i = 1, #bits - 7, 8 do
      local byte = 0
      for j = 0, 7 do
        byte = byte * 2 + bits[i + j]
      end
      der[#der + 1] = string.char(byte)
    end
    der = table.concat(der)
    assert.equal("\48\130", der:sub(1, 2))
    assert.equal((base64:gsub("%s", "")), (authority.base64(der):sub(1, #base64:gsub("%s", ""))))
    for label, body in pairs {
      ["in XML"] = "<Result><Message>" .. leaf .. "</Message></Result>", ["text before"] = "hello\n" .. leaf,
      ["a line before"] = "\n" .. leaf, ["a space before"] = " " .. leaf, ["text behind"] = leaf .. "hello\n",
      ["a line behind"] = leaf .. "\n", ["two"] = leaf .. leaf, ["a chain"] = leaf .. aws.roots,
      ["a bare public key"] = "-----BEGIN PUBLIC KEY-----\n" .. base64 .. "\n-----END PUBLIC KEY-----\n",
      ["a private key"] = amazon.key("leaf"):pem(), ["DER"] = der, ["base64 alone"] = base64, ["nothing"] = "",
      ["trusted"] = leaf:gsub("CERTIFICATE", "TRUSTED CERTIFICATE"), ["old words"] = leaf:gsub("BEGIN C",
      "BEGIN X509 C"),
      ["a header inside"] = leaf:gsub("\n", "\nProc-Type: 4,ENCRYPTED\n\n", 1), ["bytes behind"] =
        "-----BEGIN CERTIFICATE-----\n" .. authority.base64(der .. "\5\0") .. "\n-----END CERTIFICATE-----\n",
      ["a byte order mark"] = "\239\187\191" .. leaf, ["NUL behind"] = leaf .. "\0", ["cut"] = leaf:sub(1, -40),
      ["JSON"] = '{"certificate":"' .. leaf:gsub("\n", "\\n") .. '"}', ["16 KiB of line breaks"] = leaf:gsub("\n",
        ("\n"):rep(17000), 1),
    } do
      refused(label, "certificate_unavailable", body)
    end
  end)

  it("17. thousands of novel addresses -> at most the ration is fetched, and genuine messages keep passing", function()
    box = inbox.open(aws, { certificates = { ttl_s = TTL_S, novel_per_minute = 6 } })
    attack.accepted(box, deliver(aws.leaf), { fetches = 1 })
    aws:reset_fetches()
    local fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
    local request = attack.request(aws:encode(fields))
    local url = aws:certificate_url()
    local before, behind = request.body:match("^(.*)" .. url:gsub("%p", "%%%0") .. "(.*)$")
    for i = 1, NOVEL do
      request.body = before .. aws:certificate_url("novel " .. i) .. behind
      local answer = box.receiver:handle(request)
      assert.equal(503, answer.status)
      if i % (NOVEL / 10) == 0 then
        attack.accepted(box, deliver(aws.leaf))
      end
    end
    -- The first of the six of this minute was the genuine one.
    assert.equal(5, (aws:fetches()))
    assert.equal(NOVEL, box:counted("certificate_unavailable"))
    assert.equal(NOVEL - 5, box:counted("certificate_rationed"))
    assert.equal(NOVEL - 5, box:counted("alarm_certificate_rationed"))
    -- Ten seconds later there is one more, and not all of them.
    box.now_s = box.now_s + 10
    for i = 1, 100 do
      request.body = before .. aws:certificate_url("later " .. i) .. behind
      assert.equal(503, box.receiver:handle(request).status)
    end
    assert.equal(6, (aws:fetches()))
    -- The live one is due, and is fetched anew although nothing of the ration is left.
    attack.accepted(box, deliver(aws.leaf), { fetches = 1 })
    attack.accepted(box, deliver(aws.leaf))
    -- After a restart it is in the store, and needs no ration either.
    box:restart()
    for i = 1, 100 do
      request.body = before .. aws:certificate_url("last " .. i) .. behind
      assert.equal(503, box.receiver:handle(request).status)
    end
    attack.accepted(box, deliver(aws.leaf))
  end)

  it("17. addresses that lead to genuine certificates push the live one out no more than others", function()
    box = inbox.open(aws, { certificates = { max = 3, novel_per_minute = 100 } })
    attack.accepted(box, deliver(aws.leaf), { fetches = 1 })
    for i = 1, 20 do
      local url = aws:certificate_url("copy " .. i)
      aws:serve(url, { body = aws.leaf })
      local fields = aws:message { SigningCertURL = url, Timestamp = box.now_s, Message = inbox.seats() }
      fields.MessageId = core.request_id() -- so the signature does not fit
      attack.refused(box, attack.request(aws:encode(fields)), "bad_signature", { fetches = 1 })
    end
    attack.accepted(box, deliver(aws.leaf))
  end)

  it("18. a crowd of concurrent first messages -> exactly one fetch", function()
    local fetch = aws:fetcher()
    box = inbox.open(aws, { fetch_certificate = function(url)
      concurrent.loop():sleep(20)
      return fetch(url)
    end })
    local requests, tasks, answers = {}, {}, {}
    for i = 1, 50 do
      requests[i] = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
    end
    for i = 1, CROWD do
      tasks[i] = function()
        local status = box:post(requests[i % #requests + 1])
        answers[status] = (answers[status] or 0) + 1
      end
    end
    concurrent.run(tasks, { limit = CROWD })
    assert.same({ 1, #requests, { [204] = CROWD } }, { (aws:fetches()), #box.seats, answers })
  end)

  it("19. one 503 of the certificate host, then recovery -> all later messages pass", function()
    aws:serve(aws:certificate_url(), { status = 503, times = 1 })
    local request = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
    attack.refused(box, request, "certificate_unavailable", { status = 503, fetches = 1, alarm = "fetch_failed" })
    attack.refused(box, request, "certificate_unavailable", { status = 503 })
    box.now_s = box.now_s + 30
    attack.accepted(box, request, { fetches = 1 })
    for _ = 1, 10 do
      attack.accepted(box, aws:request { Message = inbox.seats(), Timestamp = box.now_s })
    end
    assert.equal(0, box:counted("alarm_exception"))
  end)
end)
