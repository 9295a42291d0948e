--- A certificate host that fails in every way, over TLS: the receiver's own transport fetches, from a loopback port in
-- the place of the true host. Only for the slow ones a time limit is shorter than that of the receiver.
local amazon = require("support.amazon")
local attack = require("support.attack")
local curl = require("paciolan.transport.curl")
local inbox = require("support.inbox")
local scripted = require("support.scripted")

local DAY_S = 86400
local BRIEF_MS = 200

describe("an attack by a certificate host:", function()
  local aws

  setup(function() aws = amazon.start {} end)
  teardown(amazon.stop_all)

  -- `false` takes out what the inbox would fetch with.
  local function open(host, overrides)
    local options = { fetch_certificate = false, confirm = false, ca_file = host.ca_file, connect_to = host.connect_to }
    for name, value in pairs(overrides or {}) do
      options[name] = value
    end
    return inbox.open(aws, options)
  end

  local function request(box)
    return aws:request { Message = inbox.seats(), Timestamp = box.now_s }
  end

  -- 503 at the first message, no second fetch before the negative time to live is over, recovery after it.
  local function survives(box, answer, fetches)
    if answer then
      aws:serve(aws:certificate_url(), answer)
    end
    local one = request(box)
    attack.refused(box, one, "certificate_unavailable", { status = 503, alarm = "fetch_failed",
      fetches = fetches or 1 })
    box.now_s = box.now_s + 14
    attack.refused(box, one, "certificate_unavailable", { status = 503 })
    assert.equal(1, box:counted("certificate_fetches"))
    assert.equal("fetch_failed", box.receiver:watch()[1].code)
    box.now_s = box.now_s + 1
    if answer then
      aws:serve(aws:certificate_url(), { body = aws.leaf })
      attack.accepted(box, one, { fetches = 1 })
    else
      attack.refused(box, one, "certificate_unavailable", { status = 503, alarm = "fetch_failed", fetches = fetches })
    end
    assert.equal(2, box:counted("certificate_fetches"))
    box.receiver:close()
  end

  for name, answer in pairs {
    ["answers 404, even with the certificate"] = { status = 404, body = "leaf" },
    ["answers 206 with the certificate"] = { status = 206, body = "leaf" },
    ["answers 302, even with the certificate"] = { status = 302, body = "leaf",
      headers = { Location = "https://sns.us-west-2.amazonaws.com/other.pem" } },
    ["redirects to plain HTTP"] = { status = 301, headers = { Location = "http://127.0.0.1:1/" } },
    ["answers 200 with HTML"] = { body = "<html><body>leaf</body></html>", headers = {
    ["Content-Type"] = "text/html" } },
    ["answers 8 MB"] = { body_bytes = 8 * 1024 * 1024 },
    ["answers a certificate and a little more than 16 KiB"] = { body = "leaf" .. ("\n"):rep(16 * 1024) },
    ["resets"] = { reset = true },
    ["cuts its answer off"] = { body = "leaf", cut_after_bytes = 500 },
    ["answers nothing"] = { body = "" },
  } do
    it("16. one that " .. name .. " -> 503, then recovery", function()
      aws:reset_fetches()
      if answer.body then
        answer.body = answer.body:gsub("leaf", function() return aws.leaf end)
      end
      survives(open(aws), answer)
    end)
  end

  -- The receiver's own limits are 3 s and 5 s; for the first request they are shorter, and all else is the same.
  local function brief_transport(host)
    local inner = curl.new { proxy = "", ca_file = host.ca_file, connect_to = host.connect_to,
      max_answer_bytes = 16384 }
    local ends = {}
    return {
      send = function(_, wanted)
        assert.same({ 3000, 5000 }, { wanted.connect_timeout_ms, wanted.timeout_ms })
        if #ends == 0 then
          wanted.timeout_ms = BRIEF_MS
        end
        local answer, failure = inner:send(wanted)
        ends[#ends + 1] = failure and failure.kind or "answer"
        return answer, failure
      end,
      sleep = function(_, ms) inner:sleep(ms) end,
      close = function() inner:close() end,
    }, ends
  end

  for name, answer in pairs {
    ["sends one byte and then another"] = { body = "leaf", piece_bytes = 1, pause_ms = 300 },
    ["says nothing"] = { body = "leaf", delay_ms = 30000 },
  } do
    it("16. one that " .. name .. " -> 503 within the budget, then recovery", function()
      aws:reset_fetches()
      answer.body = aws.leaf
      local transport, ends = brief_transport(aws)
      local box = open(aws, { transport = transport, ca_file = false, connect_to = false })
      survives(box, answer)
      assert.same({ "timeout", "answer" }, ends)
      transport:close()
    end)
  end

  it("16. one that answers 8 MB -> no more than 16 KiB of it is read", function()
    aws:reset_fetches()
    local box = open(aws)
    aws:serve(aws:certificate_url(), { body_bytes = 8 * 1024 * 1024 })
    attack.refused(box, request(box), "certificate_unavailable", { status = 503, alarm = "fetch_failed", fetches = 1 })
    -- The transport says so, and not the one who would look at a whole answer.
    assert.matches("max_answer_bytes of the transport", box.alarms[1].message)
    aws:serve(aws:certificate_url(), { body = aws.leaf })
    box.receiver:close()
  end)

  it("16. one that cannot be reached -> 503", function()
    local nowhere = { ["sns.us-west-2.amazonaws.com:443"] = "127.0.0.1:1" }
    aws:reset_fetches()
    survives(open(aws, { connect_to = nowhere }), nil, 0)
  end)

  for name, host in pairs {
    ["bears another name"] = { dns = { "sns.eu-west-1.amazonaws.com", "us-west-2.amazonaws.com" },
      name = "sns.us-west-2.amazonaws.com" },
    ["bears an expired certificate"] = { not_before = os.time() - 40 * DAY_S, not_after = os.time() - DAY_S },
  } do
    it("16. one that " .. name .. " in TLS -> 503, and nothing is asked", function()
      local other = amazon.start { host = host }
      survives(open(other), nil, 0)
      assert.equal(0, (other:fetches()))
      other:stop()
    end)
  end

  it("16. one whose own certificate is issued by nobody who is trusted -> 503, and nothing is asked", function()
    -- Without ca_file the roots of the system decide; those that are given as `roots` are for messages alone.
    aws:reset_fetches()
    survives(open(aws, { ca_file = false }), nil, 0)
  end)

  it("16. any one is asked through no proxy of the environment, with a GET, and within 3 s and 5 s", function()
    local transport = scripted.new {}
    local seen
    transport.send = function(_, wanted)
      seen = wanted
      return { status = 200, headers = {}, body = aws.leaf }
    end
    local box = open(aws, { transport = transport, ca_file = false, connect_to = false })
    attack.accepted(box, request(box))
    assert.same({ method = "GET", url = aws:certificate_url(), headers = {}, connect_timeout_ms = 3000,
      timeout_ms = 5000 },
      seen)
  end)
end)
