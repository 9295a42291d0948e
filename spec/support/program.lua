--- Programs as child processes: run to their end, or started, watched and ended by pid.
-- Everything started here is stopped by `program.stop_all()`: call it in a teardown.

local files = require("support.files")
local socket = require("socket")

local program = {}

local started = {}

program.is_jit = rawget(_G, "jit") ~= nil

--- The interpreter of this very run, as a command.
program.lua = os.getenv("PACIOLAN_LUA") or (program.is_jit and "luajit" or "lua" .. _VERSION:match("%d+%.%d+"))

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Quotes words for a shell.
function program.words(list)
  local quoted = {}
  for i, word in ipairs(list) do
    quoted[i] = quote(word)
  end
  return table.concat(quoted, " ")
end

--- The environment in which a child finds what this process finds, as words for `env`.
-- @tparam[opt] table more variables by name
-- @treturn string
function program.environment(more)
  local list = { "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath, "PACIOLAN_LUA=" .. program.lua }
  for name, value in pairs(more or {}) do
    list[#list + 1] = name .. "=" .. value
  end
  return program.words(list)
end

local function read_and_remove(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a") or ""
  if file then
    file:close()
  end
  os.remove(path)
  return text
end

--- Runs a command to its end.
-- @tparam string command for the shell
-- @treturn number exit code
-- @treturn string standard output
-- @treturn string standard error
function program.run(command)
  local problems = os.tmpname()
  local pipe = assert(io.popen(("( %s ) </dev/null 2>%s; echo \"exit $?\""):format(command, quote(problems))))
  local output = pipe:read("*a")
  pipe:close()
  local text, code = output:match("^(.*)exit (%d+)\n$")
  return tonumber(code), text, read_and_remove(problems)
end

local Process = {}
Process.__index = Process

--- What it has written to its standard output so far.
function Process:output()
  return files.read(self._output)
end

local function wait_for(path, wanted)
  for _ = 1, 600 do
    if files.read(path):find(wanted, 1, true) then
      return
    end
    socket.sleep(0.05)
  end
  error("the program never wrote what was waited for; it wrote:\n" .. files.read(path), 3)
end

--- Waits until the output holds a text.
-- @tparam string wanted
function Process:wait_for(wanted)
  wait_for(self._output, wanted)
end

--- Waits until what it wrote to standard error holds a text.
-- @tparam string wanted
function Process:wait_for_problem(wanted)
  wait_for(self._problems, wanted)
end

--- Sends a signal and waits for the end.
-- @tparam[opt="TERM"] string signal
-- @treturn number exit code
-- @treturn string standard output
-- @treturn string standard error
function Process:stop(signal)
  if not self.pid then
    return nil
  end
  os.execute(("kill -%s %d 2>/dev/null"):format(signal or "TERM", self.pid))
  self.pid = nil
  local code = tonumber(self._pipe:read("*l"))
  self._pipe:close()
  return code, read_and_remove(self._output), read_and_remove(self._problems)
end

--- Starts a program and returns at once.
-- @tparam string command one simple command, so that its process is the program itself
-- @treturn table process with `pid`
function program.start(command)
  local self = setmetatable({ _output = os.tmpname(), _problems = os.tmpname() }, Process)
  -- The shell has nothing to say of a program that was killed.
  self._pipe = assert(io.popen(("{ %s </dev/null >%s 2>%s & echo $!; wait $!; echo $?; } 2>/dev/null"):format(
    command, quote(self._output), quote(self._problems))))
  self.pid = assert(tonumber(self._pipe:read("*l")), "no pid from the shell")
  started[#started + 1] = self
  return self
end

--- Ends every program that was started and still runs.
function program.stop_all()
  for index = #started, 1, -1 do
    started[index]:stop()
    started[index] = nil
  end
end

return program
