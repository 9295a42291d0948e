--- Attacks on the bytes of a signature: their base64, their length, their padding. RFC 8017, 8.2.2 and 9.2.
local amazon = require("support.amazon")
local attack = require("support.attack")
local authority = require("paciolan.authority")
local core = require("paciolan.core")
local inbox = require("support.inbox")

local KEY_BYTES = 256
local SHA256_INFO = "\48\49\48\13\6\9\96\134\72\1\101\3\4\2\1\5\0\4\32"

describe("an attack on the signature", function()
  local aws, box, fields

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)
  before_each(function()
    box = inbox.open(aws)
    attack.accepted(box, aws:request { Message = inbox.seats(), Timestamp = box.now_s }, { fetches = 1 })
    aws:reset_fetches()
    fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
  end)
  after_each(function() assert.equal(0, (aws:fetches())) end)

  local function refused(signature, reason, label)
    local kept = fields.Signature
    fields.Signature = signature
    attack.refused(box, attack.request(aws:encode(fields)), reason, { label = label })
    fields.Signature = kept
  end

  local function from_hex(hex)
    return (hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
  end

  local function decode(base64)
    local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    local bytes, value, bits = {}, 0, 0
    for character in base64:gmatch("[%w+/]") do
      value, bits = value * 64 + alphabet:find(character, 1, true) - 1, bits + 6
      if bits >= 8 then
        bits = bits - 8
        bytes[#bytes + 1] = string.char(math.floor(value / 2 ^ bits))
        value = value % 2 ^ bits
      end
    end
    return table.concat(bytes)
  end

  it("30. base64url, white space, bytes after the padding, other bits, nothing -> 400", function()
    -- One that has both characters in which the alphabets differ, and a padding of two.
    repeat
      fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
    until fields.Signature:find("+", 1, true) and fields.Signature:find("/", 1, true)
    local good = fields.Signature
    assert.equal(344, #good)
    assert.equal("==", good:sub(-2))
    local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    local last = alphabet:find(good:sub(342, 342), 1, true)
    for i = 1, 15 do
      -- The last character before the padding has four bits that say nothing.
      refused(good:sub(1, 341) .. alphabet:sub(last + i, last + i) .. "==", "bad_signature_form", "bits " .. i)
    end
    for label, text in pairs {
      ["base64url"] = good:gsub("+", "-"):gsub("/", "_"), ["one of it"] = good:gsub("+", "-", 1),
      ["no padding"] = good:sub(1, -3),
      ["half a padding"] = good:sub(1, -2), ["more padding"] = good .. "=", ["a group of padding"] = good .. "====",
      ["text behind"] = good .. "AAAA", ["a space behind"] = good .. " ", ["a space before"] = " " .. good,
      ["a line break behind"] = good .. "\n", ["line breaks"] = good:gsub(("."):rep(64), "%0\n"),
      ["a space inside"] = good:sub(1, 4) .. " " .. good:sub(5), ["NUL behind"] = good .. "\0", ["nothing"] = "",
      ["padding alone"] = "==", ["padding inside"] = good:sub(1, 4) .. "==" .. good:sub(5),
      ["percent"] = good:gsub("=", "%%3D"), ["not ASCII"] = "\195\164" .. good:sub(3),
      ["very long"] = ("A"):rep(1000000),
      ["twice"] = good .. good, ["cut by one"] = good:sub(2),
    } do
      refused(text, "bad_signature_form", label)
    end
    attack.accepted(box, attack.request(aws:encode(fields)))
  end)

  it("30. 255 and 257 bytes, zeros, one more than the modulus -> 400", function()
    local bytes = decode(fields.Signature)
    assert.equal(KEY_BYTES, #bytes)
    assert.equal(fields.Signature, authority.base64(bytes))
    for label, text in pairs {
      ["255 bytes"] = bytes:sub(1, -2), ["255 bytes, from the second"] = bytes:sub(2), ["257 bytes"] = bytes .. "\0",
      ["a zero before"] = "\0" .. bytes, ["zeros"] = ("\0"):rep(KEY_BYTES), ["one"] = ("\0"):rep(KEY_BYTES - 1) .. "\1",
      ["ones"] = ("\255"):rep(KEY_BYTES), ["one byte"] = "\1", ["512 bytes"] = bytes .. bytes,
      ["reversed"] = bytes:reverse(),
      ["513 bytes"] = ("x"):rep(513), ["384 bytes, from hex"] = decode(("ab"):rep(256)),
    } do
      refused(authority.base64(text), "bad_signature", label)
    end
  end)

  -- The modulus of the leaf's key is the first number of its length in PKCS#8.
  local function modulus()
    local der = decode((amazon.key("leaf"):pem():gsub("%-%-%-%-%-[^\n]*\n", "")))
    local at = select(2, der:find("\2\130\1\1\0", 1, true))
    return der:sub(at + 1, at + KEY_BYTES)
  end

  -- The sum of two numbers of 256 bytes, or nil where it needs one more.
  local function sum(a, b)
    local bytes, carry = {}, 0
    for i = KEY_BYTES, 1, -1 do
      local total = a:byte(i) + b:byte(i) + carry
      bytes[i], carry = string.char(total % 256), math.floor(total / 256)
    end
    return carry == 0 and table.concat(bytes) or nil
  end

  it("30. s + n, which is the same number for the key -> 400", function()
    local n, larger = modulus(), nil
    for _ = 1, 5000 do
      larger = sum(decode(fields.Signature), n)
      if larger then
        break
      end
      fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
    end
    assert.is_not_nil(larger)
    refused(authority.base64(larger), "bad_signature")
    refused(authority.base64(n), "bad_signature", "n")
    attack.accepted(box, attack.request(aws:encode(fields)))
  end)

  -- A block under the private operation, as a signature.
  local function forge(block)
    assert.equal(KEY_BYTES, #block)
    return authority.base64(assert(authority.sign(amazon.key("leaf"), block, "raw")))
  end

  -- EMSA-PKCS1-v1_5 with whatever stands behind the padding.
  local function padded(info, fill)
    return "\0\1" .. (fill or "\255"):rep(KEY_BYTES - 3 - #info) .. "\0" .. info
  end

  it("31. hand-made PKCS#1 -> 400", function()
    local hash = from_hex(core.fingerprint(aws:string_to_sign(fields)))
    -- The right one is what the others differ from.
    assert.equal(fields.Signature, forge(padded(SHA256_INFO .. hash)))
    local garbage = ("\171"):rep(KEY_BYTES - 3 - 8 - #SHA256_INFO - #hash)
    local no_null = "\48\47\48\11\6\9\96\134\72\1\101\3\4\2\1\4\32"
    for label, block in pairs {
      ["garbage behind the hash"] = "\0\1" .. ("\255"):rep(8) .. "\0" .. SHA256_INFO .. hash .. garbage,
      ["garbage before it"] = "\0\1" .. ("\255"):rep(8) .. "\0" .. garbage .. SHA256_INFO .. hash,
      ["garbage for padding"] = padded(SHA256_INFO .. hash, "\171"), ["zeros for padding"] = padded(SHA256_INFO
      .. hash, "\0"),
      ["no DigestInfo"] = padded(hash), ["no NULL in it"] = padded(no_null .. hash),
      ["the form of an encryption"] = "\0\2" .. padded(SHA256_INFO .. hash, "\171"):sub(3),
      ["no type"] = "\0\0" .. padded(SHA256_INFO .. hash):sub(3), ["a byte behind the hash"] = padded(SHA256_INFO
      .. hash .. "\0"),
      ["the hash cut"] = padded(SHA256_INFO .. hash:sub(1, 31)), ["another hash"] = padded(SHA256_INFO
      .. hash:reverse()),
      ["a longer length"] = padded("\48\129\49" .. SHA256_INFO:sub(3) .. hash),
      ["the digest's name of SHA-1"] = padded("\48\33\48\9\6\5\43\14\3\2\26\5\0\4\20" .. hash:sub(1, 20)),
      ["MD5"] = padded("\48\32\48\12\6\8\42\134\72\134\247\13\2\5\5\0\4\16" .. hash:sub(1, 16)),
    } do
      refused(forge(block), "bad_signature", label)
    end
    attack.accepted(box, attack.request(aws:encode(fields)))
  end)

  it("31. SHA-256 under version 1, SHA-1 under version 2 -> 400", function()
    fields.SignatureVersion = "2"
    refused(aws:sign(fields, { digest = "sha1" }).Signature, "bad_signature", "2")
    box = inbox.open(aws)
    fields.SignatureVersion = "1"
    aws:sign(fields, { digest = "sha256" })
    attack.refused(box, attack.request(aws:encode(fields)), "bad_signature", { fetches = 1 })
    aws:sign(fields, { digest = "sha1" })
    attack.accepted(box, attack.request(aws:encode(fields)))
    aws:reset_fetches()
    -- A signature by another key, and one over nothing.
    local other = amazon.key("root")
    refused(aws:signature(aws:string_to_sign(fields), { key = other }), "bad_signature", "another key")
    refused(aws:signature(""), "bad_signature", "nothing")
  end)

  it("31. a certificate whose exponent is 3 -> refused, whatever the signature", function()
    local key = amazon.key("three", { type = "rsa", exponent = 3 })
    local url = aws:certificate_url("three")
    aws:serve(url, { body = aws:certificate { key = key } })
    fields.SigningCertURL = url
    aws:sign(fields, { key = key })
    attack.refused(box, attack.request(aws:encode(fields)), "certificate_unavailable",
      { status = 503, fetches = 1, alarm = "fetch_failed" })
    aws:reset_fetches()
  end)
end)
