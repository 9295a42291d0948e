--- The signing certificates: how they are fetched, kept, proven, doubted and pushed out. Every fetch is counted.

local amazon = require("support.amazon")
local certificates = require("paciolan.receiver.certificates")
local concurrent = require("paciolan.concurrent")
local core = require("paciolan.core")
local curl = require("paciolan.transport.curl")
local faulty_store = require("support.faulty_store")
local inbox = require("support.inbox")
local scripted = require("support.scripted")

-- Under valgrind and the sanitizers fewer messages will do.
local CROWD = os.getenv("MUTATIONS") and 100 or 1000

local DAY_S = 86400

describe("the receiver's certificates", function()
  local aws

  before_each(function() aws = amazon.start {} end)
  after_each(amazon.stop_all)

  local function fetches()
    return (aws:fetches())
  end

  -- A well-formed address of a certificate that the host does not have.
  local function junk(number)
    return { SigningCertURL = aws:certificate_url("junk " .. number) }
  end

  it("duty 14: are fetched once", function()
    local box = inbox.open(aws)
    for _ = 1, 5 do
      assert.equal(204, (box:deliver()))
    end
    assert.same({ 1, 1 }, { fetches(), box:counted("certificate_fetches") })
  end)

  it("duty 14: are fetched once for a thousand first messages at once", function()
    local under_way, most = 0, 0
    local fetch = aws:fetcher()
    local box = inbox.open(aws, { fetch_certificate = function(url)
      under_way = under_way + 1
      most = math.max(most, under_way)
      concurrent.loop():sleep(30)
      under_way = under_way - 1
      return fetch(url)
    end })
    local requests, tasks, answers = {}, {}, {}
    for i = 1, CROWD do
      requests[i] = aws:request { Message = inbox.seats(), Timestamp = box.now_s }
      tasks[i] = function()
        local status = box:post(requests[i])
        answers[status] = (answers[status] or 0) + 1
      end
    end
    concurrent.run(tasks, { limit = 1000 })
    assert.same({ [204] = CROWD }, answers)
    assert.same({ 1, 1, CROWD }, { fetches(), most, #box.seats })
  end)

  it("duty 14: fail together and recover together", function()
    local is_down = true
    local fetch = aws:fetcher()
    local box = inbox.open(aws, { fetch_certificate = function(url)
      concurrent.loop():sleep(10)
      if is_down then
        aws:fetcher()(url)
        return nil, "status 503"
      end
      return fetch(url)
    end })
    local function crowd()
      local answers, tasks = {}, {}
      for i = 1, 20 do
        tasks[i] = function()
          local status = box:deliver()
          answers[status] = (answers[status] or 0) + 1
        end
      end
      concurrent.run(tasks, { limit = 20 })
      return answers
    end
    assert.same({ { [503] = 20 }, 1 }, { crowd(), fetches() })
    is_down = false
    assert.same({ { [503] = 20 }, 1 }, { crowd(), fetches() })
    box.now_s = box.now_s + 30
    assert.same({ { [204] = 20 }, 2 }, { crowd(), fetches() })
  end)

  it("duty 14: are asked for again after the negative time to live, and not before", function()
    local box = inbox.open(aws)
    aws:serve(aws:certificate_url(), { status = 503 })
    local status, reason, request = box:deliver()
    assert.same({ 503, "certificate_unavailable" }, { status, reason })
    assert.same({ "fetch_failed" }, box:codes())
    assert.equal("fetch_failed", box.receiver:watch()[1].code)
    aws:serve(aws:certificate_url(), { body = aws.leaf })
    box.now_s = box.now_s + 14
    assert.same({ 503, 1 }, { (box:post(request)), fetches() })
    box.now_s = box.now_s + 1
    assert.same({ 204, 2 }, { (box:post(request)), fetches() })
    for _, warning in ipairs(box.receiver:watch()) do
      assert.not_equal("fetch_failed", warning.code)
    end
  end)

  describe("duty 15: an answer that is no certificate is our own trouble:", function()
    local function leaf() return aws.leaf end

    for name, answer in pairs {
      ["status 404"] = function() return { status = 404, body = leaf() } end,
      ["a redirect"] = function() return { status = 302, body = leaf() } end,
      ["a page"] = function() return { body = "<html>no</html>" } end,
      ["nothing"] = function() return { body = "" } end,
      ["text before it"] = function() return { body = "x\n" .. leaf() } end,
      ["two of them"] = function() return { body = leaf() .. leaf() } end,
      ["one inside XML"] = function() return { body = "<a>" .. leaf() .. "</a>" } end,
      ["a weak key"] = function()
        return { body = aws:certificate { key = amazon.key("weak", { type = "rsa", bits = 1024 }) } }
      end,
      ["a key of another kind"] = function()
        return { body = aws:certificate { key = amazon.key("curve", { type = "ec" }) } }
      end,
    } do
      it(name, function()
        local box = inbox.open(aws)
        aws:serve(aws:certificate_url(), answer())
        local status, reason = box:deliver()
        assert.same({ 503, "certificate_unavailable", 0 }, { status, reason, #box.seats })
        aws:serve(aws:certificate_url(), { body = aws.leaf })
        box.now_s = box.now_s + 30
        assert.equal(204, (box:deliver()))
      end)
    end
  end)

  it("duty 15: a fetch that raises, or answers with something else, is our own trouble", function()
    for _, fetch in ipairs {
      function() error("broken") end, function() return 7 end, function() return nil end, function() return {} end,
    } do
      local box = inbox.open(aws, { fetch_certificate = fetch })
      assert.same({ 503, "certificate_unavailable" }, { (box:deliver()), (box:reason()) })
    end
  end)

  describe("duty 13: that will not do are refused, and looked for again soon:", function()
    local rows = {
      { "untrusted_certificate", "of another authority", function()
        local key = amazon.key("stranger")
        local root = require("paciolan.authority").certificate { key = key, name = "Amazon Root CA 1", is_ca = true }
        return aws:certificate { issuer = { key = key, certificate = root } }
      end },
      { "certificate_name", "for another name", function()
        return aws:certificate { name = "sns.example.com", dns = { "sns.example.com" } }
      end },
      { "certificate_dates", "ended", function()
        return aws:certificate { not_before = os.time() - 40 * DAY_S, not_after = os.time() - DAY_S }
      end },
      { "certificate_dates", "not begun", function()
        return aws:certificate { not_before = os.time() + DAY_S, not_after = os.time() + 40 * DAY_S }
      end },
    }
    for _, row in ipairs(rows) do
      it(("%s: %s"):format(row[1], row[2]), function()
        local box = inbox.open(aws)
        aws:serve(aws:certificate_url(), { body = row[3]() })
        -- Only Amazon's host can have served it, so it is our trust or our clock that is out of date.
        assert.same({ 503, row[1] }, { (box:deliver()), (box:reason()) })
        assert.same({ 503, row[1] }, { (box:deliver()), (box:reason()) })
        assert.same({ { row[1] }, 1, 0 }, { box:codes(), fetches(), #box.seats })
        assert.is_nil(box.store:get("paciolan/sns_certificate/" .. aws:certificate_url()))
        aws:serve(aws:certificate_url(), { body = aws.leaf })
        box.now_s = box.now_s + 30
        assert.same({ 204, 2 }, { (box:deliver()), fetches() })
      end)
    end
  end)

  it("duty 13: that end while they are kept are refused", function()
    local box = inbox.open(aws, { certificates = { ttl_s = 400 * DAY_S } })
    assert.equal(204, (box:deliver()))
    box.now_s = box.now_s + 31 * DAY_S
    assert.same({ 503, "certificate_dates" }, { (box:deliver()), (box:reason()) })
  end)

  describe("duty 14: that come in the place of one in use", function()
    local box
    before_each(function()
      box = inbox.open(aws)
      assert.equal(204, (box:deliver()))
      box.now_s = box.now_s + DAY_S
    end)

    -- A message that was signed with another key than that of the leaf.
    local function deliver_by(key)
      local fields = aws:message { Message = inbox.seats(), Timestamp = box.now_s }
      aws:sign(fields, { key = key })
      return { (box:post { method = "POST", path = "/", headers = {}, body = aws:encode(fields) }), box:reason() }
    end

    local function stored()
      return box.store:get("paciolan/sns_certificate/" .. aws:certificate_url())
    end

    it("and will not do cost no message, and nothing that is stored", function()
      local before = stored()
      aws:serve(aws:certificate_url(), { body = aws:certificate { name = "sns.example.com",
        dns = { "sns.example.com" } } })
      for _ = 1, 3 do
        assert.same({ 204, "done" }, { (box:deliver()), box:reason() })
      end
      assert.same({ 2, before }, { fetches(), stored() })
      box.now_s = box.now_s + 15
      assert.same({ 204, 3 }, { (box:deliver()), fetches() })
    end)

    it("and will not do make no signature false: it may be theirs", function()
      local key = amazon.key("next")
      aws:serve(aws:certificate_url(), { body = aws:certificate { key = key, name = "sns.example.com",
        dns = { "sns.example.com" } } })
      assert.same({ 503, "certificate_name" }, deliver_by(key))
      assert.same({ 204, "done" }, { (box:deliver()), box:reason() })
      assert.same({ 503, "certificate_name" }, deliver_by(key))
    end)

    it("are kept while none can be fetched anew", function()
      local key = amazon.key("next")
      aws:serve(aws:certificate_url(), { body = aws:certificate { key = key } })
      assert.same({ 204, "done" }, { (box:deliver()), box:reason() })
      aws:serve(aws:certificate_url(), { status = 503 })
      box.now_s = box.now_s + DAY_S
      assert.same({ 204, "done" }, deliver_by(key))
      assert.equal(3, fetches())
    end)

    it("replace it when they have verified a message", function()
      local key = amazon.key("next")
      aws:serve(aws:certificate_url(), { body = aws:certificate { key = key } })
      assert.same({ 204, "done" }, { (box:deliver()), box:reason() })
      local before = stored()
      assert.same({ 400, "bad_signature" }, deliver_by(amazon.key("nobody")))
      assert.same({ 204, "done" }, deliver_by(key))
      assert.not_equal(before, stored())
      assert.same({ 400, "bad_signature", 2 }, { (box:deliver()), box:reason(), fetches() })
      box:restart()
      assert.same({ { 204, "done" }, 2 }, { deliver_by(key), fetches() })
    end)
  end)

  it("duty 24: are warned of before they end", function()
    local box = inbox.open(aws, { certificate_warning_s = 10 * DAY_S })
    assert.equal(204, (box:deliver()))
    assert.same({}, box.receiver:watch())
    box.now_s = box.now_s + 21 * DAY_S
    assert.equal(204, (box:deliver()))
    local warnings = box.receiver:watch()
    assert.same({ 1, "certificate_ends" }, { #warnings, warnings[1].code })
    assert.truthy(warnings[1].message:find("ends in [89] days"))
    assert.same({}, box.receiver:watch(box.now_s + 2 * DAY_S))
  end)

  it("duty 14: are fetched anew when they are due", function()
    local box = inbox.open(aws)
    assert.equal(204, (box:deliver()))
    box.now_s = box.now_s + DAY_S
    assert.same({ 204, 2 }, { (box:deliver()), fetches() })
  end)

  it("duty 14: stay in use while they are in date and cannot be fetched anew", function()
    local box = inbox.open(aws)
    assert.equal(204, (box:deliver()))
    aws:serve(aws:certificate_url(), { status = 500 })
    for day = 1, 3 do
      box.now_s = box.now_s + DAY_S
      assert.same({ 204, 1 + day }, { (box:deliver()), fetches() })
      assert.same({ 204, 1 + day }, { (box:deliver()), fetches() })
    end
    box:restart()
    assert.same({ 204, 4 }, { (box:deliver()), fetches() })
  end)

  it("duty 14: are used by the others while one renews them", function()
    local asleep
    local fetch = aws:fetcher()
    local box = inbox.open(aws, { fetch_certificate = function(url)
      if asleep then
        concurrent.loop():sleep(20)
      end
      return fetch(url)
    end })
    assert.equal(204, (box:deliver()))
    asleep, box.now_s = true, box.now_s + DAY_S
    local order = {}
    concurrent.run {
      function() local status = box:deliver(); order[#order + 1] = "first " .. status end,
      function() local status = box:deliver(); order[#order + 1] = "second " .. status end,
    }
    assert.same({ "second 204", "first 204" }, order)
    assert.equal(2, fetches())
  end)

  it("duty 14: outlive a restart in the store, and are read there like anything else", function()
    local box = inbox.open(aws)
    assert.equal(204, (box:deliver()))
    box:restart()
    assert.same({ 204, 1 }, { (box:deliver()), fetches() })
    local key = "paciolan/sns_certificate/" .. aws:certificate_url()
    for _, text in ipairs { "junk", "1\n", ("%d\n%s"):format(box.now_s, "junk"), "x\n" .. aws.leaf } do
      box.store:put(key, text)
      box:restart()
      local before = fetches()
      assert.same({ 204, before + 1 }, { (box:deliver()), fetches() })
    end
  end)

  it("duty 14: are fetched without a store where that fails", function()
    local store = faulty_store.new()
    local box = inbox.open(aws, { store = store })
    for _, way in ipairs { "fail", "raise" } do
      store.watch(function(_, key) return key:find("^paciolan/sns_") and not key:find("version") and way or nil end)
      box:restart()
      local before = fetches()
      assert.same({ 204, before + 1 }, { (box:deliver()), fetches() })
    end
  end)

  describe("duty 14: of several processes", function()
    it("are fetched by one, and read by the others", function()
      local box, other
      local fetch = aws:fetcher()
      local done = {}
      local function slow(url)
        concurrent.loop():sleep(250)
        return fetch(url)
      end
      box = inbox.open(aws, { fetch_certificate = slow })
      other = inbox.open(aws, { fetch_certificate = slow, store = box.store })
      concurrent.run {
        function() done[1] = box:deliver() end,
        function() done[2] = other:deliver() end,
      }
      assert.same({ { 204, 204 }, 1 }, { done, fetches() })
    end)

    it("share a failure", function()
      local box = inbox.open(aws)
      aws:serve(aws:certificate_url(), { status = 503 })
      local other = inbox.open(aws, { store = box.store })
      assert.same({ 503, 503, 1 }, { (box:deliver()), (other:deliver()), fetches() })
      aws:serve(aws:certificate_url(), { body = aws.leaf })
      other.now_s, box.now_s = other.now_s + 30, box.now_s + 30
      assert.same({ 204, 204, 2 }, { (other:deliver()), (box:deliver()), fetches() })
    end)

    it("do not wait for one that is dead", function()
      local waits = {}
      local box = inbox.open(aws)
      local waiter = { sleep = function(_, ms)
        waits[#waits + 1] = ms
        box.now_s = box.now_s + 4
      end }
      box = inbox.open(aws, { transport = setmetatable(waiter, { __index = scripted.new {} }) })
      box.store:add("paciolan/sns_fetch/" .. aws:certificate_url(), "fetching dead 1", { ttl_s = 12 })
      assert.same({ 204, 1, 3 }, { (box:deliver()), fetches(), #waits })
    end)

    it("do not wait twice for one that never ends, and never for long", function()
      local monotonic_ms, later_ms = core.monotonic_ms, 0
      finally(function() core.monotonic_ms = monotonic_ms end)
      core.monotonic_ms = function() return monotonic_ms() + later_ms end
      local waiter = { sleep = function(_, ms) later_ms = later_ms + ms end }
      local box = inbox.open(aws, { transport = setmetatable(waiter, { __index = scripted.new {} }) })
      box.store:put("paciolan/sns_fetch/" .. aws:certificate_url(), "junk")
      assert.same({ 503, "certificate_unavailable", 0 }, { (box:deliver()), box:reason(), fetches() })
      box.now_s = box.now_s + 5
      local before_ms = later_ms
      assert.same({ 204, 1, before_ms }, { (box:deliver()), fetches(), later_ms })
      assert.is_nil(box.store:get("paciolan/sns_fetch/" .. aws:certificate_url()))
    end)
  end)

  it("duty 14: of junk addresses are rationed, and push out nothing that is in use", function()
    local box = inbox.open(aws, { certificates = { max = 2, novel_per_minute = 3 } })
    assert.equal(204, (box:deliver()))
    for i = 1, 50 do
      assert.same({ 503, "certificate_unavailable" }, { (box:deliver(junk(i))), (box:reason()) })
    end
    assert.same({ 3, 48 }, { fetches(), box:counted("certificate_rationed") })
    assert.same({ "fetch_failed", "certificate_rationed" }, box:codes())
    assert.matches("basic_auth", box.alarms[2].message, 1, true)
    assert.equal("certificate_rationed", box.receiver:watch()[1].code)
    assert.equal(204, (box:deliver()))
    box.now_s = box.now_s + 20
    assert.equal(503, (box:deliver(junk(51))))
    assert.equal(503, (box:deliver(junk(52))))
    assert.equal(4, fetches())
    box.now_s = box.now_s + DAY_S
    for i = 60, 70 do
      assert.equal(503, (box:deliver(junk(i))))
    end
    assert.same({ 204, 4 + 3 + 1 }, { (box:deliver()), fetches() })
  end)

  it("duty 14: are looked for again although the clock has gone back since", function()
    local box = inbox.open(aws)
    local now_s = box.now_s
    box.now_s = now_s + 3000
    aws:serve(aws:certificate_url(), { status = 503 })
    assert.equal(503, (box:deliver()))
    aws:serve(aws:certificate_url(), { body = aws.leaf })
    box.now_s = now_s
    assert.same({ 204, 2 }, { (box:deliver()), fetches() })
    box.now_s = now_s - DAY_S / 2
    assert.same({ 204, 2 }, { (box:deliver()), fetches() })
  end)

  it("duty 14: are fetched by one who waited when the coroutine that fetched was dropped", function()
    local monotonic_ms, later_ms = core.monotonic_ms, 0
    finally(function() core.monotonic_ms = monotonic_ms end)
    core.monotonic_ms = function() return monotonic_ms() + later_ms end
    local fetch, is_first = aws:fetcher(), true
    local waiter = { sleep = coroutine.yield }
    local box = inbox.open(aws, { transport = setmetatable(waiter, { __index = scripted.new {} }),
      fetch_certificate = function(url)
        if is_first then
          is_first = false
          coroutine.yield()
        end
        return fetch(url)
      end })
    local dropped = coroutine.create(function() box:deliver() end)
    assert(coroutine.resume(dropped))
    local statuses, waiting = {}, {}
    for i = 1, 3 do
      waiting[i] = coroutine.create(function() statuses[i] = box:deliver() end)
      assert(coroutine.resume(waiting[i]))
    end
    assert.same({}, statuses)
    later_ms = 12000
    for _ = 1, 2 do
      for i = 1, 3 do
        if not statuses[i] then
          assert(coroutine.resume(waiting[i]))
        end
      end
    end
    assert.same({ { 204, 204, 204 }, 1 }, { statuses, fetches() })
    assert.same({}, box.receiver._certificates._flights)
  end)

  it("duty 14: are rationed for each region by itself", function()
    local east = "arn:aws:sns:us-east-1:123456789012:seats"
    local box = inbox.open(aws, { topics = { aws.topic, east }, certificates = { novel_per_minute = 1 } })
    assert.equal(503, (box:deliver(junk(1))))
    assert.equal(503, (box:deliver(junk(2))))
    assert.same({ 204, 2 }, { (box:deliver { TopicArn = east }), fetches() })
  end)

  it("duty 14: that were proven push each other out", function()
    local box = inbox.open(aws, { certificates = { max = 2 } })
    for i = 1, 3 do
      aws:serve(aws:certificate_url("number " .. i), { body = aws.leaf })
      assert.equal(204, (box:deliver { SigningCertURL = aws:certificate_url("number " .. i) }))
    end
    assert.equal(3, fetches())
    box:restart()
    assert.equal(204, (box:deliver { SigningCertURL = aws:certificate_url("number 1") }))
    assert.equal(3, fetches())
  end)

  it("never keep more than their limit", function()
    local now_s = os.time()
    local check = core.sns.check
    finally(function() core.sns.check = check end)
    core.sns.check = function() return {} end
    local store = require("paciolan.store.memory").new()
    local told = { count = function() end, remember = function() end, forget = function() end, alarm = function() end }
    local cache = certificates.new({ store = store, clock = function() return now_s end, certificate_warning_s = 1,
      certificates = { max = 4, ttl_s = 60, negative_ttl_s = 30, novel_per_minute = 100000 } },
      function(url) return url:find("good") and aws.leaf or nil end, scripted.new {},
      assert(core.sns.trust(nil, aws.roots)), told)
    local function count(list)
      local number = 0
      for _ in pairs(list) do
        number = number + 1
      end
      return number
    end
    for i = 1, 100 do
      assert.is_nil(cache:get("https://sns.us-west-2.amazonaws.com/bad" .. i))
      local entry = assert(cache:get("https://sns.us-west-2.amazonaws.com/good" .. i))
      assert(cache:verify(entry, {}, now_s))
      assert.is_true(count(cache._proven) <= 4 and count(cache._others) <= 4)
    end
    assert.equal(0, count(cache._flights))
  end)

  describe("over TLS, by default,", function()
    local function over_tls(overrides)
      local options = { fetch_certificate = false, confirm = false, ca_file = aws.ca_file, connect_to = aws.connect_to }
      for name, value in pairs(overrides or {}) do
        options[name] = value
      end
      return inbox.open(aws, options)
    end

    it("duty 12: are fetched from the host of the topic's region", function()
      local box = over_tls()
      assert.equal(204, (box:deliver()))
      local count, paths = aws:fetches()
      assert.same({ 1, aws:certificate_url():match("%.com(/.*)$") }, { count, paths[1] })
      box.receiver:close()
    end)

    it("duty 12: are not fetched from a host that cannot show its name", function()
      local box = over_tls()
      box.options.ca_file = nil
      box:restart()
      assert.same({ 503, "certificate_unavailable", 0 }, { (box:deliver()), box:reason(), fetches() })
      box.receiver:close()
    end)

    it("duty 12: are taken from an answer 200 of at most 16 KiB", function()
      local url = aws:certificate_url()
      for _, answer in ipairs {
        { status = 404, body = aws.leaf }, { status = 302, body = aws.leaf, headers = { Location = url } },
        { body = aws.leaf .. ("\n"):rep(17 * 1024) }, { reset = true },
      } do
        local box = over_tls()
        aws:serve(url, answer)
        assert.same({ 503, "certificate_unavailable", 0 }, { (box:deliver()), box:reason(), #box.seats })
        box.receiver:close()
      end
      assert.equal(4, fetches())
    end)

    it("duty 12: go through no proxy that only the environment names", function()
      local made = {}
      local new = curl.new
      curl.new = function(options)
        made[#made + 1] = options
        return scripted.new { { status = 200, body = aws.leaf } }
      end
      finally(function() curl.new = new end)
      for _, proxy in ipairs { false, "http://127.0.0.1:3128" } do
        assert.equal(204, (over_tls { proxy = proxy or nil }:deliver()))
      end
      assert.same({ "", "http://127.0.0.1:3128" }, { made[1].proxy, made[2].proxy })
      assert.same({ 3000, 5000, 16384 }, { made[1].connect_timeout_ms, made[1].timeout_ms, made[1].max_answer_bytes })
      assert.same({ aws.ca_file, aws.connect_to }, { made[1].ca_file, made[1].connect_to })
    end)

    it("duty 12: are asked for once, with little time", function()
      local answered = false
      local transport = scripted.new { function(request)
        answered = request
        return { status = 200, body = aws.leaf }
      end }
      local box = inbox.open(aws, { fetch_certificate = false, transport = transport })
      assert.equal(204, (box:deliver()))
      assert.same({ "GET", aws:certificate_url(), 3000, 5000 },
        { answered.method, answered.url, answered.connect_timeout_ms, answered.timeout_ms })
    end)
  end)
end)
