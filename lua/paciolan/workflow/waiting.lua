--- How a PENDING order or transfer ends: by the answer to a poll, or by the callback, whichever comes first (contract
-- 3). Callbacks come through the store, for the process that receives them is mostly another one.
-- @module paciolan.workflow.waiting
local core = require "paciolan.core"
local traces = require "paciolan.workflow.traces"

local waiting = {}

-- How often it is looked whether the callback has come.
local LOOK_MS = 250

-- The state of an answer, also of one that came as an error: the core makes one of ERROR, and of a part that failed.
local function read_state(body, response, err)
  local state = response and response.state or err and err.response and err.response.state
  if type(state) ~= "string" then
    state = type(body) == "table" and (body.status or body.transactionStatus) or nil
  end
  return type(state) == "string" and state:upper() or nil
end

local ENDED = { COMPLETE = true, ERROR = true }

-- What the callback said, when it said that something has ended.
local function look(run, process_id)
  local callback, err = traces.callback(run.journal, process_id)
  if callback and ENDED[callback.state] then
    run:note("callback", { state = callback.state, process_id = process_id })
    return callback.state, callback.body
  end
  return nil, nil, err
end

-- Asks once. A poll whose answer cannot be believed says nothing, and neither does one without an answer.
local function ask(run, what)
  local result, err, response = what.poll(what.process_id, { deadline_ms = run.journal.deadline_ms })
  local body = result or err.body
  local state = read_state(body, response, err)
  run:hear(err)
  -- ERROR beside seats that were sold says two things.
  local is_told = result ~= nil or (err.kind == "partial" and state ~= "ERROR")
    or (err.kind == "http" and state == "ERROR")
  if is_told and (ENDED[state] or state == "PENDING") then
    run:note("poll", { state = state, process_id = what.process_id,
      request_id = (response or err.response or {}).request_id })
    return state, body
  end
  run:note("poll_failed", { kind = err and err.kind or "protocol", status = err and err.status,
    process_id = what.process_id })
  return nil, nil, err
end

-- Sleeps until the next poll is due; returns early when the callback has come, or when something failed.
local function doze(flows, run, what, until_ms)
  while true do
    local state, body, err = look(run, what.process_id)
    local left_ms = until_ms - core.monotonic_ms()
    if state or err or left_ms <= 0 then
      return state, body, err
    end
    local kept, lost = run:keep()
    if not kept then
      return nil, nil, lost
    end
    flows:sleep(math.ceil(math.min(LOOK_MS, left_ms)))
  end
end

--- Waits for the end of a process, as long as `poll.deadline_ms` allows. A run that is resumed asks once.
-- @tparam table flows
-- @tparam table run which is written before, so that it knows the process
-- @tparam table what `process_id`, and `poll(process_id, options)`, which asks the service
-- @treturn string `COMPLETE`, `ERROR`, or `PENDING` when the time has passed
-- @treturn ?table body of the answer or of the callback
-- @treturn[2] nil
-- @treturn[2] nil
-- @treturn[2] table err why it could not be found out: of the latest poll, or of the store
function waiting.wait(flows, run, what)
  local poll = flows.poll
  local ends_at_ms, pause_ms = core.monotonic_ms() + poll.deadline_ms, poll.first_ms
  local state, body, err = look(run, what.process_id)
  if state or err then
    return state, body, err
  elseif run.is_resumed then
    return ask(run, what)
  end
  repeat
    local now_ms = core.monotonic_ms()
    state, body, err = doze(flows, run, what, math.min(now_ms + pause_ms, ends_at_ms))
    if state or err then
      return state, body, err
    end
    pause_ms = math.min(poll.max_ms, pause_ms * 2)
    state, body, err = ask(run, what)
    if ENDED[state] or (err and (err.status == 404 or err.kind == "partial")) then
      return state, body, err
    end
  until core.monotonic_ms() >= ends_at_ms
  return state, body, err
end

return waiting
