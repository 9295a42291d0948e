--- A receiver that writes down everything it is told and tells, for specs.
--
--     local box = inbox.open(aws, { confirm_subscriptions = true })
--     assert.equal(204, box:deliver { Message = inbox.seats(2) })
--     assert.equal(2, #box.seats)
--
-- Time stands still and is `box.now_s`; its store's time goes with it.
local cjson = require("cjson").new()
local memory = require("paciolan.store.memory")
local receiver = require("paciolan.receiver")

local inbox = {}

local Inbox = {}
Inbox.__index = Inbox

--- The text of a message about seats.
-- @tparam ?number count of seats, 1 by default
-- @tparam ?table changes fields of all of them; `false` leaves one out
-- @treturn string
function inbox.seats(count, changes)
  local seats = {}
  for i = 1, count or 1 do
    local seat = { accessId = "999:FB23:FB01", season = "FB23", item = "FB01", section = "ES:9", row = "1",
      seat = ("%d"):format(i), status = "UNLOCK" }
    for name, value in pairs(changes or {}) do
      seat[name] = value or nil
    end
    seats[i] = seat
  end
  return inbox.message("seats", { seats = seats })
end

--- The text of a message about an entity.
-- @tparam string entity
-- @tparam table data
-- @treturn string
function inbox.message(entity, data)
  return cjson.encode { data = data,
    metadata = { messageEntity = entity, pacOrganizationId = 999, requestId = "a1b2c3" } }
end

--- The text of a message about one event.
-- @treturn string
function inbox.events()
  return inbox.message("events", { events = { { accessId = "999:FB23:FB01", seasonCode = "FB23", itemCode = "FB01",
    itemName = "Home opener", startDate = "2026-09-05", endDate = cjson.null, startTime = "TBD", endTime = cjson.null,
    facilityCode = "ST", facilityName = "Stadium" } } })
end

--- Credentials, and the header that shows them.
inbox.BASIC = { user = "partner", password = "correct horse" }
inbox.AUTHORIZATION = "Basic cGFydG5lcjpjb3JyZWN0IGhvcnNl"

--- A request with those credentials, as of a sender that signs nothing.
-- @tparam string body
-- @tparam[opt] table headers more of them, by names in lower case
-- @treturn table
function inbox.bare_request(body, headers)
  local all = { authorization = inbox.AUTHORIZATION }
  for name, value in pairs(headers or {}) do
    all[name] = value
  end
  return { method = "POST", path = "/", headers = all, body = body }
end

local function recorder(list, answer)
  return function(...)
    list[#list + 1] = { ... }
    return answer(...)
  end
end

local function yes() return true end

-- The handlers of a box; `box.answer` may be set to a function that decides what they return.
local function handlers(box)
  local function answer(...) return (box.answer or yes)(...) end
  return {
    on_event = recorder(box.events, answer), on_seat = recorder(box.seats, answer),
    on_message = recorder(box.messages, answer),
    on_alarm = function(alarm) box.alarms[#box.alarms + 1] = alarm end,
    on_report = function(report) box.reports[#box.reports + 1] = report end,
    quarantine = recorder(box.quarantined, yes),
  }
end

--- Opens a receiver. In mode `envelope` it trusts and asks the given Amazon, and goes by its time.
-- @tparam ?table aws from support.amazon
-- @tparam ?table overrides options of the receiver; `false` leaves one out
-- @treturn table with `receiver`, `store`, `now_s`, and the lists `seats`, `events`, `messages`, `quarantined` (their
-- arguments), `alarms`, `reports`
function inbox.open(aws, overrides)
  local box = setmetatable({ aws = aws, seats = {}, events = {}, messages = {}, alarms = {}, reports = {},
    quarantined = {}, now_s = os.time() }, Inbox)
  box.store = memory.new { now_ms = function() return box.now_s * 1000 end }
  local options = handlers(box)
  options.store, options.clock = box.store, function() return box.now_s end
  if aws then
    options.topics, options.roots = { aws.topic }, aws.roots
    options.fetch_certificate, options.confirm = aws:fetcher(), aws:confirmer()
  end
  for name, value in pairs(overrides or {}) do
    options[name] = value or nil
  end
  box.options = options
  box.receiver = receiver.new(options)
  return box
end

--- The same receiver anew, as after a restart: with the same store and an empty memory.
function Inbox:restart()
  self.receiver = receiver.new(self.options)
end

--- Gives the receiver a request.
-- @tparam table request
-- @treturn number status
-- @treturn table answer
function Inbox:post(request)
  local answer = self.receiver:handle(request)
  return answer.status, answer
end

--- Gives the receiver a signed message.
-- @tparam ?table fields as for `aws:message`; a message about one seat by default
-- @treturn number status
-- @treturn string reason
-- @treturn table the request, to be posted once more
function Inbox:deliver(fields)
  local all = { Message = inbox.seats(), Timestamp = self.now_s }
  for name, value in pairs(fields or {}) do
    all[name] = value
  end
  local request = self.aws:request(all)
  return self:repost(request)
end

--- Gives the receiver a request again.
-- @treturn number status
-- @treturn string reason
-- @treturn table the request
function Inbox:repost(request)
  local status = self:post(request)
  return status, self:reason(), request
end

--- Why the last request was answered as it was.
function Inbox:reason()
  return self.reports[#self.reports].reason
end

--- The codes of the alarms so far.
function Inbox:codes()
  local codes = {}
  for i, alarm in ipairs(self.alarms) do
    codes[i] = alarm.code
  end
  return codes
end

--- How often something was counted.
function Inbox:counted(name)
  return self.receiver:counters()[name] or 0
end

return inbox
