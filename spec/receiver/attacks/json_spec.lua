--- Attacks with JSON and encodings: a text that two readers understand in two ways. What one of the two ways says has a
-- true signature each time.
local amazon = require("support.amazon")
local attack = require("support.attack")
local inbox = require("support.inbox")

local EVIL = "arn:aws:sns:us-west-2:666666666666:of-the-attacker"
local REPLACEMENT = "\239\191\189" -- U+FFFD

describe("an attack with JSON", function()
  local aws, box

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)
  before_each(function()
    aws:reset_fetches()
    box = inbox.open(aws, { confirm_subscriptions = true })
  end)
  after_each(function()
    assert.equal(0, (aws:fetches()))
    assert.same({}, aws:confirmations())
    attack.accepted(box, aws:request { Message = inbox.seats(), Timestamp = box.now_s }, { fetches = 1 })
  end)

  local function body(given)
    local all = { Message = inbox.seats(), Timestamp = box.now_s }
    for name, value in pairs(given or {}) do
      all[name] = value
    end
    return aws:body(all)
  end

  local function refused(text, reason, label)
    attack.refused(box, attack.request(text), reason, { label = label or text:sub(1, 60) })
  end

  -- Replaces a plain text, which has to be there.
  local function replace(text, old, new)
    local first, last = text:find(old, 1, true)
    assert(first, "not there: " .. old)
    return text:sub(1, first - 1) .. new .. text:sub(last + 1)
  end

  it("24. duplicate keys, first, last, by an escaped name -> 400", function()
    local good = body()
    local others = {
      TopicArn = '"' .. EVIL .. '"', Type = '"SubscriptionConfirmation"', Message = '"other"', Signature = '"AAAA"',
      SigningCertURL = '"https://evil.example/x.pem"', Timestamp = '"2026-01-01T00:00:00.000Z"',
      SignatureVersion = '"1"',
      MessageId = '"0f1e2d3c-4b5a-4678-9abc-def012345678"',
    }
    for name, value in pairs(others) do
      local escaped = ("\\u%04x"):format(name:byte()) .. name:sub(2)
      for _, key in ipairs { name, escaped, escaped:upper():gsub("\\U", "\\u"):sub(1, 6) .. name:sub(2) } do
        local member = ('"%s" : %s'):format(key, value)
        refused("{" .. member .. "," .. good:sub(2), "duplicate_key", name .. " first")
        refused(good:sub(1, -2) .. "," .. member .. "}", "duplicate_key", name .. " last")
      end
      -- Once more the same is still twice.
      local same = good:match('("' .. name .. '" : [^\n]-),?\n')
      refused("{" .. same .. "," .. good:sub(2), "duplicate_key", name .. " twice")
    end
    -- An escaped name that is there once is that name.
    attack.accepted(box, attack.request(replace(good, '"TopicArn"', '"Topic\\u0041rn"')), { fetches = 1 })
    aws:reset_fetches()
    box = inbox.open(aws)
    refused(good:sub(1, -2) .. ',"a":1,"a":2}', "duplicate_key", "an unknown one")
    refused(good:sub(1, -2) .. ',"MessageAttributes":{"a":{},"\\u0061":{}}}', "duplicate_key", "further down")
  end)

  it("25. byte order mark, UTF-16, trailing comma, second document, cut -> 400", function()
    local good = body()
    local wide = good:gsub(".", "%0\0")
    refused("\239\187\191" .. good, "bad_json", "mark")
    for label, text in pairs {
      ["UTF-16"] = wide, ["UTF-16 with a mark"] = "\255\254" .. wide, ["UTF-16 BE"] = good:gsub(".", "\0%0"),
      ["a comma at the end"] = good:sub(1, -3) .. ",}", ["a comma behind"] = good .. ",", ["two documents"] = good
      .. good,
      ["a number behind"] = good .. "1", ["NUL behind"] = good .. "\0", ["no colon"] = replace(good, '" : "', '" "'),
      ["single quotes"] = good:gsub('"', "'"), ["a comment"] = "/**/" .. good, ["no quotes"] = replace(good, '"Type"',
      "Type"),
    } do
      local answer = box.receiver:handle(attack.request(text))
      assert.equal(400, answer.status, label)
      assert.is_true(box:reason() == "bad_json" or box:reason() == "bad_utf8", label .. " " .. box:reason())
    end
    for length = 0, #good - 1, 7 do
      refused(good:sub(1, length), "bad_json", "cut at " .. length)
    end
  end)

  it("25. raw control characters, invalid and overlong UTF-8, CESU, lone surrogates -> 400", function()
    local good = body { Message = "MARK" .. inbox.seats(), Subject = "MARK" }
    for byte = 0, 31 do
      refused(replace(good, "MARK", string.char(byte)), "bad_json", "control " .. byte)
    end
    for _, bytes in ipairs {
      "\128", "\191", "\192\128", "\193\129", "\224\128\128", "\240\128\128\128", "\195", "\226\130", "\240\159\142",
      "\255",
      "\254", "\248\136\128\128\128", "\244\144\128\128", "\245\128\128\128", "\237\160\128", "\237\191\191",
      "\237\160\188\237\190\159", "\192\175", "\195\40", "\226\40\161",
    } do
      local label = ("%q"):format(bytes)
      refused(replace(good, "MARK", bytes), "bad_utf8", label)
      -- Also where it is in no field that matters.
      refused(replace(good, "{", '{"x" : "' .. bytes .. '",'), "bad_utf8", label)
      refused(replace(good, "{", '{"' .. bytes .. '" : "x",'), "bad_utf8", label)
    end
    for _, escape in ipairs {
      "\\ud800", "\\udfff", "\\udc00\\ud800", "\\ud800x", "\\ud800\\n", "\\ud800\\u0041", "\\ud800\\ud800", "\\uD83D",
      "\\u", "\\u12", "\\u123g", "\\x41", "\\0", "\\'", "\\U0041", "\\u{41}", "\\",
    } do
      refused(replace(good, "MARK", escape), "bad_json", escape)
    end
  end)

  it("26. signed over U+FFFD, sent as a lone surrogate or as bytes that are none -> 400", function()
    for _, field in ipairs { "Message", "Subject" } do
      local good = body { [field] = REPLACEMENT .. "{}" }
      for bytes, reason in pairs {
        ["\\ud800"] = "bad_json", ["\\udfff"] = "bad_json", ["\255"] = "bad_utf8", ["\237\160\128"] = "bad_utf8",
        ["\192\128"] = "bad_utf8", ["\226\130"] = "bad_utf8",
      } do
        refused(replace(good, REPLACEMENT, bytes), reason, field .. " " .. reason)
      end
      -- The character itself, and its escape, are what was signed.
      for _, text in ipairs { good, replace(good, REPLACEMENT, "\\ufffd") } do
        local status = box:post(attack.request(text))
        assert.is_true(status == 204 or box:reason() == "unusable_message")
      end
      box = inbox.open(aws)
      aws:reset_fetches()
    end
  end)

  it("27. null, array, string, number, nothing, 100,000 nested arrays -> 400", function()
    local good = body()
    for _, text in ipairs { "null", "true", "[]", "5", '"text"', "[" .. good .. "]", '"{}"', "-0", "1e400" } do
      refused(text, "not_object")
    end
    for _, text in ipairs { "", " ", "\n", "nul", "NaN", "Infinity", "-", "01", "1.", "+1", "{", "}", "{]" } do
      refused(text, "bad_json")
    end
    refused("{}", "missing_field")
    for _, text in ipairs {
      ("["):rep(100000), ("["):rep(100000) .. ("]"):rep(100000), ('{"a":'):rep(100000),
      ('{"a":'):rep(100000) .. "1" .. ("}"):rep(100000), '{"a":' .. ("["):rep(100000) .. ("]"):rep(100000) .. "}",
      good:sub(1, -2) .. ',"MessageAttributes":' .. ("["):rep(100000) .. ("]"):rep(100000) .. "}",
      ("[{"):rep(100000),
    } do
      local answer = box.receiver:handle(attack.request(text))
      assert.equal(400, answer.status)
      assert.is_true(box:reason() == "too_deep" or box:reason() == "bad_json" or box:reason() == "not_object",
        box:reason())
    end
    -- Many members, and a number that is long.
    local members = {}
    for i = 1, 100000 do
      members[i] = ('"a%d":1'):format(i)
    end
    refused("{" .. table.concat(members, ",") .. "}", "too_many_members", "many members")
    attack.refused(box, attack.request("{" .. (" "):rep(2 * 1024 * 1024) .. "}"), "too_large", { status = 413 })
    refused("{" .. (" "):rep(2 * 1024 * 1024 - 2) .. "}", "missing_field", "2 MiB")
    attack.accepted(box, attack.request(good:sub(1, -2) .. ',"n":' .. ("9"):rep(100000) .. "}"), { fetches = 1 })
    aws:reset_fetches()
    box = inbox.open(aws)
  end)

  it("27. a Message that is nested 100,000 deep -> 400, kept", function()
    for _, text in ipairs { ("["):rep(100000), ('{"data":'):rep(30000), ("["):rep(100000) .. ("]"):rep(100000) } do
      attack.refused(box, aws:request { Message = text, Timestamp = box.now_s }, "unusable_message",
        { quarantined = 1, alarm = "unusable_message", fetches = (aws:fetches()) == 0 and 1 or 0 })
    end
    aws:reset_fetches()
    box = inbox.open(aws)
  end)

  it("27. the same at an endpoint of raw or direct messages -> 400, kept", function()
    local authorization = "Basic " .. require("paciolan.authority").base64("sns:a password")
    for _, mode in ipairs { "raw", "direct" } do
      local bare = inbox.open(nil, { mode = mode, basic_auth = { user = "sns", password = "a password" } })
      local good = inbox.seats()
      for _, text in ipairs {
        "", "null", "[]", "5", '"x"', "{", ("["):rep(100000), ('{"a":'):rep(100000) .. "1" .. ("}"):rep(100000),
        "\239\187\191" .. good, good .. good, good .. "\0", replace(good, '"data"', '"metadata":{},"data"'),
        replace(good, "FB23", "\255"), replace(good, "FB23", "\\ud800"), replace(good, "FB23", "\1"),
        replace(good, '"UNLOCK"', "null"), replace(good, '"999:FB23:FB01"', "5"), (" "):rep(262145) .. good,
      } do
        attack.refused(bare, attack.request(text, { authorization = authorization }), "unusable_message",
          { quarantined = 1, alarm = "unusable_message", label = text:sub(1, 40) })
        assert.is_true(bare.quarantined[#bare.quarantined][1] == text)
      end
      assert.equal(204, (bare:post(attack.request(good, { authorization = authorization }))))
    end
  end)

  it("28. a value that prints as the signed text -> 400", function()
    for _, text in ipairs { "5", "true", "false", "null", "[1]", "{}", "1.0", "-0", '["a"]', "1e2" } do
      for _, field in ipairs { "Message", "Subject" } do
        local good = body { [field] = text }
        local quoted = ('"%s" : "%s"'):format(field, (text:gsub('"', '\\"')))
        refused(replace(good, quoted, ('"%s" : %s'):format(field, text)), "not_string", field .. " " .. text)
      end
    end
    -- Every other field of the envelope, too.
    local good = body { Type = "SubscriptionConfirmation", Message = "x" }
    for _, field in ipairs { "Type", "MessageId", "TopicArn", "Timestamp", "SignatureVersion", "Signature",
      "SigningCertURL", "Token", "SubscribeURL" } do
      local value = good:match('"' .. field .. '" : ("[^"]*")')
      for _, other in ipairs { "null", "1", "true", "[" .. value .. "]", "{" .. value .. ":1}" } do
        refused(replace(good, '"' .. field .. '" : ' .. value, '"' .. field .. '" : ' .. other), "not_string",
          field .. " " .. other)
      end
    end
  end)

  it("29. Lambda's spelling of a key, beside or in place of the one of HTTP -> 400", function()
    for _, row in ipairs {
      { "SigningCertURL", "SigningCertUrl", "Notification" }, { "UnsubscribeURL", "UnsubscribeUrl", "Notification" },
      { "SubscribeURL", "SubscribeUrl", "SubscriptionConfirmation" },
    } do
      local good = body { Type = row[3], Message = row[3] == "Notification" and inbox.seats() or "x" }
      local value = good:match('"' .. row[1] .. '" : ("[^"]*")')
      local function in_place(word) return replace(good, '"' .. row[1] .. '"', '"' .. word .. '"') end
      refused(in_place(row[2]), "wrong_spelling")
      refused(good:sub(1, -2) .. ',"' .. row[2] .. '":' .. value .. "}", "wrong_spelling", "last")
      refused('{"' .. row[2] .. '":' .. value .. "," .. good:sub(2), "wrong_spelling", "first")
      refused(good:sub(1, -2) .. ',"' .. row[2] .. '":null}', "wrong_spelling", "null")
      refused(in_place((row[2]:gsub("U", "\\u0055"))), "wrong_spelling", "escaped")
    end
    -- Other spellings are unknown keys, and what is needed is not there.
    local good = body()
    for _, word in ipairs { "signingCertURL", "SIGNINGCERTURL", "SigningCertURL ", "SigningCertURL\\u0000" } do
      local text = replace(good, '"SigningCertURL"', '"' .. word .. '"')
      assert.equal(400, box.receiver:handle(attack.request(text)).status)
      assert.is_true(box:reason() == "missing_field" or box:reason() == "wrong_spelling", box:reason())
    end
  end)
end)
