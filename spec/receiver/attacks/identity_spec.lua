--- Attacks on who a message is from: its topic, and the URL of its certificate. All of these have a true signature, by
-- a key whose certificate would be believed.
local amazon = require("support.amazon")
local attack = require("support.attack")
local inbox = require("support.inbox")

local HASH = "7506a1e35b36ef5a444dd1a8e7cc3ed8"
local FILE = "/SimpleNotificationService-" .. HASH .. ".pem"
local HOST = "sns.us-west-2.amazonaws.com"

describe("an attack on identity", function()
  local aws, box

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)
  before_each(function()
    aws:reset_fetches()
    box = inbox.open(aws)
  end)

  -- A signed message with this, and headers that say the same.
  local function refused_topic(topic, reason)
    local request = aws:request { TopicArn = topic, Message = inbox.seats(), SigningCertURL = aws:certificate_url() }
    attack.refused(box, request, reason, { label = topic })
    request.headers = {}
    attack.refused(box, request, reason, { label = topic })
  end

  local function refused_url(url, reason)
    -- The header fields that come along are those of a genuine message.
    local request = aws:request { SigningCertURL = url, Message = inbox.seats() }
    attack.refused(box, request, reason or "bad_certificate_url", { label = tostring(url):sub(1, 150) })
  end

  after_each(function()
    assert.equal(0, (aws:fetches()))
    attack.accepted(box, aws:request { Message = inbox.seats(), Timestamp = box.now_s }, { fetches = 1 })
  end)

  it("1. a valid signature of a topic of another account -> 400, 0 fetches, 0 stores", function()
    refused_topic("arn:aws:sns:us-west-2:999999999999:seats", "topic_not_allowed")
    assert.same({}, box.store:list("paciolan/"))
  end)

  it("2. the allowed topic's prefix, upper case, subscription, other partition -> 400", function()
    for _, row in ipairs {
      { "topic_not_allowed", aws.topic:sub(1, -2) }, { "topic_not_allowed", aws.topic .. "s" },
      { "topic_not_allowed", (aws.topic:gsub("seats", "SEATS")) }, { "bad_topic", aws.topic:upper() },
      { "bad_topic", (aws.topic:gsub("us%-west%-2", "US-WEST-2")) },
      { "bad_topic", aws.topic .. ":0f1e2d3c-4b5a-4678-9abc-def012345678" },
      { "bad_topic", (aws.topic:gsub("arn:aws:", "arn:aws-cn:")) },
      { "bad_topic", (aws.topic:gsub("arn:aws:", "arn:aws-iso:")) },
      { "bad_topic", (aws.topic:gsub("arn:aws:", "arn::")) },
      { "bad_topic", aws.topic .. ".fifo" }, { "bad_topic", aws.topic .. "*" }, { "bad_topic", "*" },
      { "bad_topic", " " .. aws.topic }, { "bad_topic", aws.topic .. " " }, { "bad_topic", "" },
      { "bad_topic", aws.topic .. "\n" }, { "bad_topic", aws.topic .. "," .. aws.topic },
      { "bad_topic", (aws.topic:gsub("123456789012", "12345678901")) },
      { "bad_topic", (aws.topic:gsub(":sns:", ":sqs:")) },
    } do
      refused_topic(row[2], row[1])
    end
    local chinese = "arn:aws-cn:sns:cn-north-1:123456789012:seats"
    attack.refused(box, aws:request { TopicArn = chinese }, "topic_not_allowed")
  end)

  it("3. NUL after the allowed ARN -> 400", function()
    refused_topic(aws.topic .. "\0", "bad_topic")
    refused_topic(aws.topic .. "\0.evil", "bad_topic")
    refused_topic("\0" .. aws.topic, "bad_topic")
  end)

  it("4. certificate URL http, file, scheme-relative, empty, number -> 400, 0 fetches", function()
    for _, url in ipairs {
      "http://" .. HOST .. FILE, "file:///etc/passwd", "file://" .. HOST .. FILE, "//" .. HOST .. FILE, HOST .. FILE,
      "",
      FILE, "ftp://" .. HOST .. FILE, "https:" .. HOST .. FILE, "https:/" .. HOST .. FILE, "https:///" .. HOST .. FILE,
      "data:text/plain,x", "https://",
    } do
      refused_url(url)
    end
    refused_url(5, "not_string")
    refused_url({ "https://" .. HOST .. FILE }, "not_string")
    refused_url(true, "not_string")
    refused_url(false, "missing_field")
  end)

  it('5. a bucket named "sns" -> 400, 0 fetches', function()
    for _, host in ipairs {
      "sns.s3-us-west-2.amazonaws.com", "sns.s3-accelerate.amazonaws.com", "sns.s3-external-1.amazonaws.com",
      "sns.s3.amazonaws.com", "sns.s3.us-west-2.amazonaws.com", "s3-us-west-2.amazonaws.com/sns",
      "sns.execute-api.us-west-2.amazonaws.com", "sns.amazonaws.com",
    } do
      refused_url("https://" .. host .. FILE)
    end
  end)

  it("6. suffix and prefix hosts, userinfo, ports, trailing dot, capitals -> 400, 0 fetches", function()
    for _, host in ipairs {
      HOST .. ".evil.example", "evil.example." .. HOST, "evil" .. HOST, HOST .. "evil", "evil.example/" .. HOST,
      "user@" .. HOST, "user:password@" .. HOST, HOST .. "@evil.example", HOST .. ":x@evil.example", "@" .. HOST,
      HOST .. ":443", HOST .. ":8443", HOST .. ":", HOST .. ".", "SNS.us-west-2.amazonaws.com", HOST:upper(),
      "sns.us-west-2.amazonaws.com.cn", "sns.us-west-2.amazonaws.org", "sns..us-west-2.amazonaws.com",
    } do
      refused_url("https://" .. host .. FILE)
    end
    refused_url("HTTPS://" .. HOST .. FILE)
    refused_url("Https://" .. HOST .. FILE)
  end)

  it("7. query, fragment, API action, traversal, %2f, //, subdirectory, other names -> 400, 0 fetches", function()
    for _, path in ipairs {
      FILE .. "?", FILE .. "?x=.pem", FILE .. "#", FILE .. "#x", "/?Action=GetTopicAttributes&x=" .. FILE,
      "/?Action=ConfirmSubscription&TopicArn=x&Token=y&z=.pem", "?x=" .. FILE, "/../" .. FILE, "/x/.." .. FILE,
      "/." .. FILE, "/%2f" .. FILE, (FILE:gsub("^/", "/%%2f")), (FILE:gsub("%-", "%%2d")), "/" .. FILE, "/sub" .. FILE,
      FILE .. "/", FILE .. "/x", FILE .. ";x", "/Other-" .. HASH .. ".pem", "/" .. HASH .. ".pem", "/",
      "/SimpleNotificationService.pem", "/SimpleNotificationService-.pem", "",
      "/SimpleNotificationService-" .. HASH:sub(2) .. ".pem", "/SimpleNotificationService-" .. HASH .. "0.pem",
      "/SimpleNotificationService-" .. HASH:upper() .. ".pem", "/SimpleNotificationService-g" .. HASH:sub(2) .. ".pem",
      "/simplenotificationservice-" .. HASH .. ".pem", "/SimpleNotificationService-" .. HASH .. ".PEM",
      "/SimpleNotificationService-" .. HASH .. ".pem.pem", "/SimpleNotificationService-" .. HASH .. ".crt",
      "/SimpleNotificationService-" .. HASH, "/SimpleNotificationService_" .. HASH .. ".pem",
    } do
      refused_url("https://" .. HOST .. path)
    end
  end)

  it("8. line breaks, spaces, NUL, backslash, addresses, IDN dot, 10 KB -> 400, 0 fetches", function()
    local good = "https://" .. HOST .. FILE
    for _, url in ipairs {
      good .. "\n", good .. "\r\n", good .. "\r\nHost: evil.example", " " .. good, good .. " ", "\t" .. good,
      good .. "\0", good .. "\0.evil.example", "https://" .. HOST .. "\0" .. FILE, "https:\\\\" .. HOST .. FILE,
      "https://" .. HOST .. "\\" .. FILE, "https://" .. HOST .. FILE:gsub("/", "\\"),
      "https://evil.example\\@" .. HOST .. FILE, "https://127.0.0.1" .. FILE, "https://2130706433" .. FILE,
      "https://0x7f000001" .. FILE, "https://169.254.169.254" .. FILE, "https://[::1]" .. FILE,
      "https://[::ffff:127.0.0.1]" .. FILE, "https://sns\227\128\130us-west-2.amazonaws.com" .. FILE,
      "https://sns\239\188\142us-west-2.amazonaws.com" .. FILE, "https://\239\189\147ns.us-west-2.amazonaws.com"
      .. FILE,
      "https://xn--sns-abc.us-west-2.amazonaws.com" .. FILE, good .. ("x"):rep(10000), good .. ("/"):rep(10000),
      "https://" .. ("a."):rep(5000) .. HOST .. FILE, "https://" .. HOST .. "%00" .. FILE, "https://sns%2eus-west-2.x"
      .. FILE,
    } do
      refused_url(url)
    end
  end)

  it("9. the right form in another region, a made-up one, a suffix of another partition -> 400, 0 fetches", function()
    for _, host in ipairs {
      "sns.us-east-1.amazonaws.com", "sns.us-west-1.amazonaws.com", "sns.us-west-22.amazonaws.com",
      "sns.mars-north-1.amazonaws.com", "sns.us-west-2.amazonaws.com.cn", "sns.us-west-2.amazonaws.eu",
      "sns.us-gov-west-1.amazonaws.com", "sns.cn-north-1.amazonaws.com.cn", "sns.us-west-2.api.aws",
      "sns-fips.us-west-2.amazonaws.com", "sns.us-west-2.vpce.amazonaws.com",
    } do
      refused_url("https://" .. host .. FILE)
    end
  end)
end)
