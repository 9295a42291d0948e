--- What the service tells later: callbacks and messages that concern a run which was in doubt, or which ended as not
-- sold after it was. Such a run is opened again, and `resume` or `settle` looks at it.
-- @module paciolan.workflow.reopening
local carrying = require "paciolan.workflow.carrying"
local places = require "paciolan.workflow.places"
local traces = require "paciolan.workflow.traces"

local reopening = {}

local label = places.label

-- Where somebody carries it just now: who waits for it sees a callback by himself, and so does who ends it as not sold,
-- for he looks again behind that. A message has nowhere to wait, and has to come again.
local function concerns(record)
  return record ~= nil
    and (record.state == "in_doubt" or (record.state == "failed" and record.data.is_doubtful == true))
end

local function reopen(self, name, what, fields)
  local run, err = self.journal:claim(name.space, name.id)
  if run == nil then
    return nil, err
  elseif not run then
    local record, problem = self.journal:read(name.space, name.id)
    if not record and problem then
      return nil, problem
    elseif concerns(record) and (record.state == "failed" or what == "seat_message") then
      return nil, carrying.busy_error("reopen", name.id)
    end
    return true
  end
  local record = run.record
  if not concerns(record) then
    return carrying.leave(run, true)
  end
  local is_open = record.state == "in_doubt"
  run:note(what, fields)
  if not is_open then
    run:reopen("settle", "in_doubt")
  end
  return carrying.leave(run, run:save())
end

local function reopen_all(self, names, what, fields)
  local seen = {}
  for _, name in ipairs(names) do
    local key = tostring(name.space) .. "/" .. tostring(name.id)
    if not seen[key] then
      seen[key] = true
      local done, err = reopen(self, name, what, fields)
      if not done then
        return nil, err
      end
    end
  end
  return true
end

--- Keeps what a callback says for whoever waits for it, and opens the runs again that it concerns.
-- @tparam table self flows
-- @tparam table result as the receiver hands it over
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err; then the receiver answers 503, and the callback may come again
function reopening.by_callback(self, result)
  local tokens, err = traces.keep_callback(self.journal, result)
  if not tokens then
    return nil, err
  end
  local names
  names, err = traces.find(self.journal, "process", result.process_id)
  for _, token in ipairs(names and #names == 0 and tokens or {}) do
    local found, problem = traces.find(self.journal, "token", token)
    if not found then
      return nil, problem
    end
    for _, name in ipairs(found) do
      names[#names + 1] = name
    end
  end
  if not names then
    return nil, err
  end
  return reopen_all(self, names, "callback_came", { process_id = result.process_id, state = result.state })
end

--- Opens the purchases again that a message about a seat concerns.
-- @tparam table self flows
-- @tparam table item of a seats message
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err; then the receiver answers 503, and the message comes again
function reopening.by_seat(self, item)
  local access_id, section, row, seat = label(item.accessId), label(item.section), label(item.row),
    label(item.seat)
  if not (access_id and section and row and seat) then
    return true
  end
  local names, err = traces.find(self.journal, "seat", access_id, section, row, seat)
  if not names then
    return nil, err
  end
  return reopen_all(self, names, "seat_message", { status = label(item.status) })
end

return reopening
