--- Demands on the answer to an attack: the status, the reason that it was counted and reported under, and that nothing
-- else happened: no handler ran, nothing was quarantined, fetched or confirmed but what the caller expects.
--
--     attack.refused(box, box.aws:request { TopicArn = OTHER }, "topic_not_allowed")
--     attack.refused(box, request, "bad_signature", { fetches = 1 })
local luassert = require("luassert")

local attack = {}

-- What a request can leave behind.
local function traces(box)
  local aws = box.aws
  return {
    handled = #box.seats + #box.events + #box.messages,
    quarantined = #box.quarantined,
    fetches = aws and aws:fetches() or 0,
    -- Each of these asks the host, where there is one.
    confirmations = aws and box.options.confirm and #aws:confirmations() or 0,
    reports = #box.reports,
  }
end

-- Every text in a report or an alarm has to be fit for one line of a log.
local function assert_fit_for_log(place, told, most)
  for name, value in pairs(told) do
    luassert.is_not_equal("table", type(value), place)
    local text = tostring(value)
    luassert.is_true(#text <= most, ("%s: %s has %d bytes"):format(place, name, #text))
    luassert.is_nil(text:find("[^\32-\126]"), place .. ": " .. name)
  end
end

--- Gives a receiver a request, and demands a refusal.
-- @tparam table box from support.inbox
-- @tparam table request
-- @tparam string reason that is counted and reported
-- @tparam ?table more `status` (400), `fetches`, `confirmations`, `quarantined` (0 each), `alarm` (the code of the
-- alarm that is counted; without it there is none), `label` for messages
-- @treturn table the answer
function attack.refused(box, request, reason, more)
  more = more or {}
  local label = more.label or reason
  local before, counters = traces(box), box.receiver:counters()
  local answer = box.receiver:handle(request)
  local after, report = traces(box), box.reports[#box.reports]
  luassert.same({ more.status or 400, reason }, { answer.status, report and report.reason }, label)
  luassert.equal("{}", answer.body, label)
  luassert.equal(before.reports + 1, after.reports, label)
  luassert.equal((more.status or 400) == 503 and "postponed" or "refused", report.verdict, label)
  luassert.equal((counters[reason] or 0) + 1, box:counted(reason), label)
  luassert.equal(before.handled, after.handled, label)
  for _, name in ipairs { "fetches", "confirmations", "quarantined" } do
    luassert.equal(before[name] + (more[name] or 0), after[name], label .. ": " .. name)
  end
  for name, count in pairs(box.receiver:counters()) do
    local code = name:match("^alarm_(.*)$")
    luassert.is_true(not code or code == more.alarm or count == (counters[name] or 0), label .. ": " .. name)
  end
  if more.alarm then
    local name = "alarm_" .. more.alarm
    luassert.equal((counters[name] or 0) + 1, box:counted(name), label)
  end
  assert_fit_for_log(label, report, 300)
  for _, alarm in ipairs(box.alarms) do
    assert_fit_for_log(label, alarm, 600)
  end
  return answer
end

--- Gives a receiver a request, and demands that one handler is called and the answer is 204.
-- @tparam table box from support.inbox
-- @tparam table request
-- @tparam ?table more `fetches` (0), `label`
function attack.accepted(box, request, more)
  more = more or {}
  local before = traces(box)
  local answer = box.receiver:handle(request)
  local after = traces(box)
  luassert.same({ 204, "done" }, { answer.status, box:reason() }, more.label)
  luassert.equal("", answer.body, more.label)
  luassert.equal(before.handled + 1, after.handled, more.label)
  luassert.equal(before.fetches + (more.fetches or 0), after.fetches, more.label)
end

--- A request with any body, and no header that could contradict it.
-- @tparam string body
-- @tparam ?table headers
-- @treturn table
function attack.request(body, headers)
  return { method = "POST", path = "/", headers = headers or { ["content-type"] = "text/plain; charset=UTF-8" },
    body = body }
end

return attack
