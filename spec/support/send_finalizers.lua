--- Sends requests while finalizers use, or close, the same objects, at every collection that sending can cause. Run by
-- spec/transport/finalizers_spec.lua as a process of its own: its memory is small, so that a collection is quick, and
-- a crash has an exit code. Arguments: a URL that answers with 20 headers `x-N` and a body of 5000 bytes. Prints what
-- came of each kind of finalizer: "send whole N closed N".
local collector = require("support.collector")
local core = require("paciolan.core")

local url = arg[1]

local function request()
  return { method = "GET", url = url, headers = { { "X-A", "1" } } }
end

local function check(answer, failure)
  assert(answer, failure and failure.message)
  assert(#answer.body == 5000 and answer.status == 200)
  for i = 1, 20 do
    assert(answer.headers["x-" .. i] == ("v"):rep(50) .. i)
  end
end

-- A request by a session, and one by a batch, each with what gets in its way.
local kinds = {
  { name = "send", open = function() return { core.http.new({}) } end,
    act = function(session) return session:send(request()) end,
    disturb = function(session) session:send(request()) end },
  { name = "close", open = function() return { core.http.new({}) } end,
    act = function(session) return session:send(request()) end,
    disturb = function(session) session:close() end },
  { name = "close_session", open = function() return { core.http.new({}), core.http.batch() } end,
    act = function(session, batch) batch:add(session, request()) end,
    disturb = function(session) session:close() end },
  { name = "close_batch", open = function() return { core.http.new({}), core.http.batch() } end,
    act = function(session, batch) batch:add(session, request()) end,
    disturb = function(_, batch) batch:close() end },
  { name = "take", ended = true, open = function() return { core.http.new({}), core.http.batch() } end,
    act = function(_, batch) return select(2, batch:take()) end,
    disturb = function(_, batch) batch:take() end },
  { name = "close_ended", ended = true, open = function() return { core.http.new({}), core.http.batch() } end,
    act = function(_, batch) return select(2, batch:take()) end,
    disturb = function(_, batch) batch:close() end },
}

-- Requests of the batch of which at least one has ended. The peer answers at once, so that most often both have.
local function end_some(session, batch)
  for _ = 1, 2 do
    batch:add(session, request())
  end
  local ends_at_ms = core.monotonic_ms() + 20
  repeat
    batch:wait(20)
  until core.monotonic_ms() > ends_at_ms
end

-- Acts once, with the disturbance at that collection. Returns whether it raised, and whether that came in time.
local function disturbed(kind, round)
  local objects, calls, is_over = kind.open(), 0, false
  collectgarbage("stop")
  if kind.ended then
    end_some(objects[1], objects[2])
  end
  collectgarbage()
  collectgarbage("stop")
  collector.leave_behind(function()
    calls = calls + 1
    if calls == round and not is_over then
      kind.disturb(objects[1], objects[2])
    end
    return not is_over
  end)
  collectgarbage("restart")
  local ok, answer, failure = pcall(kind.act, objects[1], objects[2])
  is_over = true
  if not ok then
    assert(tostring(answer):find("is closed", 1, true), answer)
  elseif answer then
    check(answer, failure)
  end
  for _, object in ipairs(objects) do
    object:close()
  end
  return not ok, calls >= round
end

collector.make_busy()
for _, kind in ipairs(kinds) do
  local whole, closed, round = 0, 0, 0
  repeat
    round = round + 1
    local has_raised, came_in_time = disturbed(kind, round)
    whole, closed = whole + (has_raised and 0 or 1), closed + (has_raised and 1 or 0)
  until not came_in_time
  io.write(("%s whole %d closed %d\n"):format(kind.name, whole, closed))
end
