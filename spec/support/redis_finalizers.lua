--- Reads a redis store while finalizers use it at every collection, and then close it. Run by
-- spec/store/redis_spec.lua as a process of its own: its memory is small, so that a collection is quick, and a crash
-- has an exit code. Its arguments are the URLs of a store, and of one in another database of the same server, both of
-- them empty. Prints what happened: "used N, met M of another database, left N closed".
local collector = require("support.collector")
local redis = require("paciolan.store.redis")

-- A compiled trace that begins with an allocation never gets beyond it while each collection finds one more finalizer.
local jit = rawget(_G, "jit")
if jit then
  jit.off()
end

local KEYS, LENGTH = 5, 200

local function value_of(i)
  return ("%d"):format(i):rep(LENGTH)
end

local function check(store)
  local value, problem = store:get("key/1")
  assert(value == value_of(1), problem and problem.message)
  local list, trouble = store:list("key/")
  assert(list, trouble and trouble.message)
  assert(#list == KEYS)
  for i, pair in ipairs(list) do
    assert(pair[1] == ("key/%d"):format(i) and pair[2] == value_of(i))
  end
end

local store = redis.new(arg[1])
for i = 1, KEYS do
  assert(store:put(("key/%d"):format(i), value_of(i)))
end

collector.make_busy()

-- Uses the very store that is at work.
local used, is_over = 0, false
collector.leave_behind(function()
  if not is_over then
    assert(store:get("key/2") == value_of(2))
    assert(#store:list("key/", { limit = 3 }) == 3)
    assert(store:put("key/3", value_of(3)))
    used = used + 1
  end
  return not is_over
end)
repeat
  check(store)
until used >= 20
is_over = true

-- Uses a store that connects, at each collection which that can cause: it may never meet the database before SELECT.
local met = 0
for round = 1, 30 do
  local other, calls = redis.new(arg[2]), 0
  collector.leave_behind(function()
    calls = calls + 1
    if calls == round then
      local value, problem = other:get("key/1")
      assert(not problem, problem and problem.message)
      met = met + (value and 1 or 0)
      used = used + 1
    end
    return calls < round
  end)
  local value, problem = other:get("key/1")
  assert(not problem, problem and problem.message)
  met = met + (value and 1 or 0)
  calls = round -- what is left behind still has done its work
  other:close()
end

-- Closes a store at each collection that reading it can cause.
local closed = 0
for round = 1, 40 do
  local other, calls = redis.new(arg[1]), 0
  collector.leave_behind(function()
    calls = calls + 1
    if calls == round then
      other:close()
      closed = closed + 1
    end
    return calls < round
  end)
  local ok, message = pcall(check, other)
  assert(ok or tostring(message):find("closed", 1, true), message)
  calls = round
  other:close()
end
io.write(("used %d, met %d of another database, left %d closed\n"):format(used, met, closed))
