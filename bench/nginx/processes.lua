--- What a process has used so far, as Linux tells it: CPU time to the microsecond, memory by kind.
local processes = {}

local function read(pid, name)
  local file = assert(io.open(("/proc/%d/%s"):format(pid, name), "r"))
  local text = file:read("*a")
  file:close()
  return text
end

--- The CPU time of the main thread, which is all that a worker of nginx has.
-- @tparam number pid
-- @treturn number microseconds
function processes.cpu_us(pid)
  return tonumber(read(pid, "schedstat"):match("^(%d+)")) / 1000
end

--- The memory that is in RAM.
-- @tparam number pid
-- @treturn number kB of its own: heap, stack, and what it changed of its files
-- @treturn number kB that it shares with other processes; a page of a `lua_shared_dict` counts from when it was touched
function processes.memory_kb(pid)
  local status = read(pid, "status")
  local function of(name)
    return tonumber(status:match(name .. ":%s*(%d+) kB"))
  end
  return of("RssAnon"), of("RssShmem")
end

return processes
