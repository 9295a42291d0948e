--- Attacks on the signed string: cut elsewhere, with a byte changed, with times that are none, with any text in it.
local amazon = require("support.amazon")
local attack = require("support.attack")
local cjson = require("cjson").new()
local core = require("paciolan.core")
local inbox = require("support.inbox")
local sns = require("paciolan.sns")

local OWN = "arn:aws:sns:us-west-2:666666666666:of-the-attacker"
local OTHER = "arn:aws:sns:us-west-2:123456789012:other"
local MAX_MESSAGE = 262144

describe("an attack on the signed string", function()
  local aws, box

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)
  before_each(function()
    aws:reset_fetches()
    box = inbox.open(aws, { topics = { aws.topic, OTHER } })
  end)

  local function request(fields)
    return attack.request(aws:encode(fields))
  end

  -- The names of the signed fields in their order, for each kind of message.
  local SHAPES = {
    { "Message", "MessageId", "Timestamp", "TopicArn", "Type" },
    { "Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type" },
    { "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type" },
  }

  -- All ways to read the string with these names: each name's line is looked for from where the one before it ended.
  local function readings(text, names, take)
    local fields = {}
    local function read(index, from)
      local name = names[index]
      if not name then
        fields[names[index - 1]] = text:sub(from, -2)
        take(fields)
        return
      end
      local at = from
      while true do
        local first, last = text:find("\n" .. name .. "\n", at, true)
        if not first then
          return
        end
        fields[names[index - 1]] = text:sub(from, first - 1)
        read(index + 1, last + 1)
        at = first + 1
      end
    end
    assert.equal("Message\n", text:sub(1, 8))
    read(2, 9)
  end

  -- What the attacker publishes to a topic of his own, and every message that has the same signed string.
  local function forgeries(fields)
    local text, list = aws:string_to_sign(fields), {}
    for _, names in ipairs(SHAPES) do
      readings(text, names, function(cut)
        local forged = { Signature = fields.Signature, SignatureVersion = fields.SignatureVersion,
          SigningCertURL = aws:certificate_url() }
        for _, name in ipairs(names) do
          forged[name] = cut[name]
        end
        assert.is_true(forged.Token ~= nil or text == aws:string_to_sign(forged))
        list[#list + 1] = forged
      end)
    end
    return list
  end

  local function victim_text()
    return table.concat({ inbox.seats(), "MessageId", "0f1e2d3c-4b5a-4678-9abc-def012345678", "Timestamp",
      os.date("!%Y-%m-%dT%H:%M:%S.000Z", box.now_s), "TopicArn", aws.topic, "Type", "Notification" }, "\n")
  end

  local function hiding_in(list, name, pattern)
    for _, forged in ipairs(list) do
      if forged[name]:find(pattern) then
        return forged
      end
    end
    error("there is no such cut: " .. name)
  end

  it("20. the string cut elsewhere, in every possible way -> 400", function()
    local with_subject = victim_text():gsub("\nTimestamp\n", "\nSubject\nhello\nTimestamp\n")
    local subscribing = victim_text():gsub("\nTimestamp\n", "\nSubscribeURL\nhttps://x/%0"):gsub("\nTopicArn\n",
      "\nToken\nabc%0"):gsub("Notification$", "SubscriptionConfirmation")
    for _, published in ipairs { victim_text(), with_subject, subscribing, victim_text() .. "\nSubject\nhello",
      victim_text() .. "\nx" } do
      for _, subject in ipairs { false, "a subject" } do
        local fields = aws:message { TopicArn = OWN, Message = published, Subject = subject, Timestamp = box.now_s }
        local list = forgeries(fields)
        assert.is_true(#list >= 5)
        for _, forged in ipairs(list) do
          local answer = box.receiver:handle(request(forged))
          local reason = box:reason()
          assert.equal(400, answer.status)
          assert.is_true(reason:find("^bad_") ~= nil or reason == "topic_not_allowed", reason)
          assert.not_equal("bad_signature", reason)
        end
      end
    end
    assert.same({ 0, 0 }, { (aws:fetches()), #box.seats + #box.quarantined })
  end)

  it("20. the published form and the known cuts, one by one -> 400", function()
    local fields = aws:message { TopicArn = OWN, Message = victim_text(), Timestamp = box.now_s }
    local list = forgeries(fields)
    attack.refused(box, request(fields), "topic_not_allowed", { label = "as published" })
    attack.refused(box, request(hiding_in(list, "Type", "^Notification\n")), "bad_type")
    attack.refused(box, request(hiding_in(list, "TopicArn", "seats\nType\n")), "bad_topic")
    -- With the rest in these the topic is the attacker's, and let it be one that is listened to.
    box = inbox.open(aws, { topics = { OWN } })
    attack.refused(box, request(hiding_in(list, "Timestamp", "Z\nTopicArn\n")), "bad_timestamp")
    attack.refused(box, request(hiding_in(list, "MessageId", "\nTimestamp\n")), "bad_message_id")
    box = inbox.open(aws)
    -- A cut that moves the end of Message into Subject or MessageId: a new identity for a message of an allowed topic.
    local text = inbox.seats() .. "\nMessageId\n0f1e2d3c-4b5a-4678-9abc-def012345678\nSubject\nhello"
    fields = aws:message { Message = text, Timestamp = box.now_s }
    local refused = 0
    for _, forged in ipairs(forgeries(fields)) do
      if forged.Message ~= text then
        attack.refused(box, request(forged), forged.MessageId:find("\n") and "bad_message_id" or "bad_subject")
        refused = refused + 1
      end
    end
    assert.equal(2, refused)
  end)

  it("20. the control: line breaks and names of fields in Message -> accepted", function()
    local text = inbox.message("notes", { text = "a\nMessageId\nb" }):gsub(",", ",\r\n\t \n")
    attack.accepted(box, aws:request { Message = text, Timestamp = box.now_s }, { fetches = 1 })
    local published = victim_text()
    assert.equal(400, (box:deliver { Message = published }))
    assert.same({ published, "unusable_message" }, { box.quarantined[1][1], box:reason() })
  end)

  it("21. one byte changed in each signed field -> 400", function()
    local function changed(given, changes)
      given.Timestamp = given.Timestamp or box.now_s
      local fields = aws:message(given)
      assert.is_true(box:post(request(fields)) == 204)
      for _, row in ipairs(changes) do
        local name, value, reason = row[1], row[2], row[3] or "bad_signature"
        local kept = fields[name]
        fields[name] = type(value) == "function" and value(kept) or value
        assert.not_equal(kept, fields[name])
        attack.refused(box, request(fields), reason, { label = name })
        fields[name] = kept
      end
    end
    local function first_byte(text) return (text:sub(1, 1) == "0" and "1" or "0") .. text:sub(2) end
    local function last_digit(text) return text:gsub("%dZ$",
      function(end_of) return end_of == "1Z" and "2Z" or "1Z" end) end
    local signed = {
      { "MessageId", first_byte }, { "Timestamp", last_digit }, { "TopicArn", OTHER },
      { "TopicArn", OTHER .. "x", "topic_not_allowed" }, { "Message", function(text) return text .. " " end },
      { "Message", function(text) return text:gsub("1", "2", 1) end }, { "Message", "" },
      { "Type", "Notificatiom", "bad_type" }, { "Type", "notification", "bad_type" },
    }
    local message = inbox.seats()
    changed({ Message = message, SignatureVersion = "1" }, signed)
    changed({ Message = message }, signed)
    changed({ Message = message }, { { "Subject", "added" }, { "Subject", "", "bad_subject" } })
    changed({ Message = message, Subject = "hello" }, { { "Subject", "hellp" }, { "Subject", "", "bad_subject" } })
    local token = ("2336412f37fb687f"):rep(8)
    changed({ Type = "SubscriptionConfirmation", Token = token }, {
      { "Token", first_byte }, { "SubscribeURL", function(url) return url .. "0" end }, { "Message", "x" },
      { "MessageId", first_byte }, { "Timestamp", last_digit }, { "TopicArn", OTHER },
      { "Type", "UnsubscribeConfirmation" }, { "Type", "Notification" },
    })
    changed({ Type = "UnsubscribeConfirmation", Token = token }, {
      { "Token", first_byte }, { "SubscribeURL", function(url) return url .. "0" end },
      { "Type", "SubscriptionConfirmation" }, { "Type", "Notification" },
    })
  end)

  it("21. Subject added, emptied, removed; Type swapped -> 400", function()
    local fields = aws:message { Message = inbox.seats(), Subject = "hello", Timestamp = box.now_s }
    fields.Subject = nil
    attack.refused(box, request(fields), "bad_signature", { fetches = 1 })
    -- A true signature over an empty Subject, which SNS never makes.
    fields.Subject = ""
    attack.refused(box, request(aws:sign(fields)), "bad_subject")
    fields.Subject = nil
    -- A notification that has what a confirmation needs, without its being signed.
    fields.Token, fields.SubscribeURL = ("a"):rep(64), "https://sns.us-west-2.amazonaws.com/"
    aws:sign(fields)
    for _, word in ipairs { "SubscriptionConfirmation", "UnsubscribeConfirmation" } do
      fields.Type = word
      attack.refused(box, request(fields), "bad_signature")
    end
    -- The order of lines differs, but Message could hold the rest.
    fields.Type = "Notification"
    attack.accepted(box, request(fields))
  end)

  it("21. version raised, lowered, a number, 3 -> 400", function()
    for _, row in ipairs { { "1", "2" }, { "2", "1" } } do
      local fields = aws:message { Message = inbox.seats(), SignatureVersion = row[1], Timestamp = box.now_s }
      fields.SignatureVersion = row[2]
      attack.refused(box, request(fields), "bad_signature", { fetches = 1 })
      box = inbox.open(aws)
    end
    for _, row in ipairs { { 2, "not_string" }, { 1, "not_string" }, { true, "not_string" }, { false, "missing_field" },
      { "3", "bad_signature_version" }, { "0", "bad_signature_version" }, { "", "bad_signature_version" },
      { "02", "bad_signature_version" }, { "2 ", "bad_signature_version" }, { "2.0", "bad_signature_version" },
      { "2\0", "bad_signature_version" }, { "\217\162", "bad_signature_version" } } do
      attack.refused(box, request(aws:message { Message = inbox.seats(), SignatureVersion = row[1],
        Timestamp = box.now_s }), row[2], { label = tostring(row[1]) })
    end
  end)

  it("21. version 1 after version 2, a floor of 2 -> 400 and an alarm", function()
    local old = { Message = inbox.seats(), SignatureVersion = "1", Timestamp = box.now_s }
    attack.accepted(box, aws:request(old), { fetches = 1 })
    attack.accepted(box, aws:request { Message = inbox.seats(), Timestamp = box.now_s })
    attack.refused(box, aws:request(old), "version_refused", { alarm = "version_refused" })
    box:restart()
    attack.refused(box, aws:request(old), "version_refused", { alarm = "version_refused" })
    box = inbox.open(aws, { topics = { { arn = aws.topic, min_version = 2 } } })
    attack.refused(box, aws:request(old), "version_refused", { alarm = "version_refused" })
  end)

  it("22. Timestamp: .000Z is accepted, every other form and no real date is not -> 400", function()
    local function at(text)
      return aws:request { Message = inbox.seats(), Timestamp = text }
    end
    local day = os.date("!%Y-%m-%d", box.now_s)
    local time = os.date("!%H:%M:%S", box.now_s)
    local good = day .. "T" .. time .. ".000Z"
    attack.accepted(box, at(good), { fetches = 1 })
    assert.equal(good, box.seats[1][2].timestamp)
    assert.equal(box.now_s * 1000, box.seats[1][2].timestamp_ms)
    attack.accepted(box, at((good:gsub("000Z", "007Z"))))
    assert.equal((good:gsub("000Z", "007Z")), box.seats[2][2].timestamp)
    for _, text in ipairs {
      day .. "T" .. time .. "Z", day .. "T" .. time .. ".0Z", day .. "T" .. time .. ".0000000Z",
      day .. "T" .. time .. ".0000Z", day .. "T" .. time .. ".000+00:00", day .. "T" .. time .. ".000-00:00",
      day .. "T" .. time .. ".000", day .. "T" .. time .. ".000z", day .. "t" .. time .. ".000Z",
      day .. " " .. time .. ".000Z", day .. "T" .. time .. ",000Z", day .. "T" .. time:sub(1, 5) .. ".000Z",
      day .. "T24:00:00.000Z", day .. "T" .. time:sub(1, 6) .. "60.000Z", day .. "T23:59:60.000Z",
      day .. "T23:60:00.000Z", day .. "T-1:00:00.000Z", day .. "T+1:00:00.000Z", day .. "T 1:00:00.000Z",
      "2026-02-30T00:00:00.000Z", "2026-02-29T00:00:00.000Z", "2026-04-31T00:00:00.000Z", "2026-13-01T00:00:00.000Z",
      "2026-00-01T00:00:00.000Z", "2026-01-00T00:00:00.000Z", "1900-02-29T00:00:00.000Z", "12026-01-01T00:00:00.000Z",
      "+2026-01-01T00:00:00.000Z", "-026-01-01T00:00:00.000Z", "99999999999999999999999Z", "now", "", "yesterday",
      ("%d"):format(box.now_s), ("%d"):format(box.now_s * 1000), " " .. good, good .. " ", good .. "\n", good .. "\0",
      good .. "\nType\nNotification", "\217\162" .. good:sub(2), day .. "T" .. time .. ".\217\162\217\162\217\162Z",
    } do
      attack.refused(box, at(text), "bad_timestamp", { label = text })
    end
    attack.refused(box, at("9999-12-31T23:59:59.999Z"), "early", { alarm = "early" })
    attack.refused(box, at("1970-01-01T00:00:00.000Z"), "stale", { alarm = "stale" })
    attack.refused(box, at("0000-01-01T00:00:00.000Z"), "stale", { alarm = "stale" })
    local fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
    fields.Timestamp = box.now_s
    attack.refused(box, request(aws:sign(fields)), "not_string")
  end)

  it("23. NUL, CRLF, U+2028, emoji and 262,144 bytes in Message -> accepted, handed over byte for byte", function()
    local odd = "a\0b\r\n\n\226\128\168\226\128\169\240\159\142\159\239\187\191\127\194\128\1\31\"\\/</\\u0000"
    local empty = inbox.message("notes", { text = "" })
    local function message_of(text) return (empty:gsub('""', function() return cjson.encode(text) end)) end
    local largest = message_of(odd)
    largest = largest .. ("\r\n\t "):rep(math.floor((MAX_MESSAGE - #largest) / 4))
      .. (" "):rep((MAX_MESSAGE - #largest) % 4)
    assert.equal(MAX_MESSAGE, #largest)
    for _, text in ipairs { message_of(odd), largest } do
      local sent = aws:request { Message = text, Timestamp = box.now_s }
      assert.equal(204, (box:post(sent)))
      assert.equal(odd, box.messages[#box.messages][1].data.text)
      local envelope = assert(sns.verify(sent.body, { topics = { aws.topic }, certificate = aws.leaf, roots = aws.roots,
        now = box.now_s }))
      assert.is_true(text == envelope.message)
    end
    -- What is no message of the service is kept as it came.
    for _, text in ipairs { odd, odd:rep(math.floor(MAX_MESSAGE / #odd)), ("\0"):rep(MAX_MESSAGE), "", "\n",
      ("\226\128\168"):rep(1000) } do
      attack.refused(box, aws:request { Message = text, Timestamp = box.now_s }, "unusable_message",
        { quarantined = 1, alarm = "unusable_message" })
      assert.is_true(text == box.quarantined[#box.quarantined][1])
    end
  end)

  it("23. a Subject of 100 characters of any script -> accepted; of 101, or with a control character -> 400", function()
    for _, subject in ipairs { ("\240\159\142\159"):rep(100), ("\226\128\168"):rep(100), "x", '"\\', "\239\187\191" } do
      attack.accepted(box, aws:request { Subject = subject, Message = inbox.seats(), Timestamp = box.now_s },
        { fetches = (aws:fetches()) == 0 and 1 or 0 })
    end
    for _, subject in ipairs { ("x"):rep(101), ("\240\159\142\159"):rep(101), "a\nb", "a\r", "\0", "a\127",
      "\27[0m" } do
      attack.refused(box, aws:request { Subject = subject, Message = inbox.seats(), Timestamp = box.now_s },
        "bad_subject")
    end
  end)

  it("no two readings of any signed string are both taken", function()
    -- Names of fields in every order, in Message of a message that is genuine.
    local names, number = { "MessageId", "Subject", "Timestamp", "TopicArn", "Type" }, 7
    local values = { "0f1e2d3c-4b5a-4678-9abc-def012345678", "hello", os.date("!%Y-%m-%dT%H:%M:%S.000Z", box.now_s),
      aws.topic, "Notification" }
    local function next_number(limit)
      number = (number * 16807) % 2147483647
      return number % limit + 1
    end
    for _ = 1, 60 do
      local parts = { "x" }
      for _ = 1, next_number(8) do
        local i = next_number(5)
        parts[#parts + 1] = names[i]
        parts[#parts + 1] = next_number(4) == 1 and "junk" or values[i]
      end
      local fields = aws:message { Message = table.concat(parts, "\n"), Timestamp = box.now_s, SigningCertURL =
        aws:certificate_url() }
      local taken = 0
      for _, forged in ipairs(forgeries(fields)) do
        local message = core.sns.open(aws:encode(forged), { [aws.topic] = 1 }, box.now_s, 3600, 300)
        if message then
          taken = taken + 1
          assert.equal(fields.Message, forged.Message)
        end
      end
      assert.equal(1, taken)
    end
  end)
end)
