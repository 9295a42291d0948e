--- Forks while a sqlite store is open, and while it is closed; for LuaJIT alone. Run by spec/store/sqlite_spec.lua as a
-- process of its own. Prints `refused` and the message for each operation of a child on a file that was open at the
-- fork, then what a child could do that was forked while it was closed, and what the parent can do.
local ffi = require("ffi")
local sqlite = require("paciolan.store.sqlite")

ffi.cdef [[
  int fork(void);
  void _exit(int);
  int waitpid(int, int *, int);
]]

local path = arg[1]

local function in_child(run)
  io.stdout:flush()
  local child = ffi.C.fork()
  assert(child >= 0, "no fork")
  if child == 0 then
    local ok, problem = pcall(run)
    io.stderr:write(ok and "" or tostring(problem) .. "\n")
    io.stdout:flush()
    ffi.C._exit(ok and 0 or 1)
  end
  assert(ffi.C.waitpid(child, nil, 0) == child)
end

local function say_refused(value, err)
  assert(value == nil)
  print("refused " .. err.message)
end

local store = assert(sqlite.new(path))
assert(store:put("a", "parent"))

in_child(function()
  say_refused(store:put("a", "child"))
  local again, err = sqlite.new(path)
  say_refused(nil, err)
  say_refused(again:put("a", "child", { durable = true }))
  again:close()
  store:close()
  store = nil
  again = nil -- luacheck: ignore
  collectgarbage()
  collectgarbage()
  say_refused(nil, select(2, sqlite.new(path)))
  package.loaded["paciolan.sqlite"] = nil
  say_refused(sqlite.new(path):get("a"))
end)

assert(store:get("a") == "parent")
store:close()
in_child(function()
  local own = assert(sqlite.new(path))
  print("closed before: " .. tostring(own:put("a", "child", { durable = true })))
  own:close()
end)
store = assert(sqlite.new(path))
print("parent: " .. tostring(store:put("b", "parent")) .. " " .. store:get("a"))
store:close()
