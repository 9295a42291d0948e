--- Reads a sqlite store while finalizers use it at every collection, and then close it. Run by
-- spec/store/sqlite_spec.lua as a process of its own: its memory is small, so that a collection is quick, and a crash
-- has an exit code. Prints how often that happened: "read N closed N".
local collector = require("support.collector")
local sqlite = require("paciolan.store.sqlite")

local path = arg[1]
local read, closed = 0, 0

local function check(store)
  assert(store:get("key/1") == ("1"):rep(200))
  local list = assert(store:list("key/"))
  assert(#list == 5)
  for i, pair in ipairs(list) do
    assert(pair[1] == "key/" .. i and pair[2] == tostring(i):rep(200))
  end
end

local store = assert(sqlite.new(path))
for i = 1, 5 do
  assert(store:put("key/" .. i, tostring(i):rep(200)))
end

collector.make_busy()
local is_over = false
collector.leave_behind(function()
  if not is_over then
    assert(store:get("key/2") == ("2"):rep(200))
    assert(#store:list("key/", { limit = 3 }) == 3)
    assert(store:put("key/3", ("3"):rep(200)))
    read = read + 1
  end
  return not is_over
end)
repeat
  check(store)
until read >= 20
is_over = true

-- Closes a store at each collection that reading it can cause.
for round = 1, 40 do
  local other, calls = assert(sqlite.new(path)), 0
  collector.leave_behind(function()
    calls = calls + 1
    if calls == round then
      other:close()
      closed = closed + 1
    end
    return calls < round
  end)
  local ok, message = pcall(check, other)
  assert(ok or message:find("is closed", 1, true), message)
  other:close()
end
assert(closed > 0)
io.write(("read %d closed %d\n"):format(read, closed))
