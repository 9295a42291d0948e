--- What commands ask of the terminal and of the files of an operator, by the tools that every Unix has: `stty`, `stat`,
-- `chmod` and a shell. Lua itself knows neither echo nor modes.
-- @module paciolan.cli.terminal

local terminal = {}

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- LuaJIT returns the status, Lua 5.4 true or nil.
local function execute(command)
  local ok = os.execute(command)
  return ok == true or ok == 0
end

--- How this program can be called again: its path in a checkout, where it is on no search path, else its name.
-- @treturn string ready for a shell
function terminal.program()
  local path = rawget(_G, "arg") and arg[0] or ""
  if not path:find("/bin/paciolan$") or path:find("^/usr/") then
    return "paciolan"
  end
  return path:find("[^%w%._/%-]") and quote(path) or path
end

--- Is standard input a terminal?
-- @treturn boolean
function terminal.is_input()
  return execute("test -t 0")
end

-- A shell reads the line, because it can put the echo back when a signal ends it, and Lua cannot. It also looks whether
-- the program that asks is still there. Without `stty` the line is read all the same. `answer` tells an empty line from
-- an interrupt.
local ASK = [[
saved= watcher=
restore() {
  if [ -n "$watcher" ]; then kill "$watcher" 2>/dev/null; fi
  if [ -n "$saved" ]; then stty "$saved"; echo >&2; fi
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP QUIT
(trap - EXIT; while kill -0 "$PPID"; do sleep 1; done; kill "$$") </dev/null >/dev/null 2>&1 &
watcher=$!
saved=$(stty -g 2>/dev/null)
if [ -z "$saved" ] || ! stty -echo; then
  echo 'What is typed here will be shown: stty, which turns that off, does not work.' >&2
fi
printf '%%s' %s >&2
IFS= read -r line
printf 'answer %%s' "$line"]]

--- Asks on standard error for a line of standard input, a terminal, which does not show what is typed.
-- @tparam string prompt
-- @treturn string the line, maybe empty
-- @treturn[2] nil when it was interrupted
function terminal.ask_hidden(prompt)
  local pipe = assert(io.popen(ASK:format(quote(prompt)), "r"))
  -- The interpreter turns an interrupt into an error, as soon as the shell has ended.
  local ok, answer = pcall(function()
    return pipe:read("*a"):match("^answer (.*)$")
  end)
  pcall(pipe.close, pipe)
  return ok and answer or nil
end

--- The permissions of a file. Symbolic links are followed.
-- @tparam string path
-- @treturn string octal digits, such as `600`
-- @treturn[2] nil when there is no such file, or nothing that tells its mode
function terminal.mode_of(path)
  local name = quote(path)
  local pipe = assert(io.popen(("stat -L -c %%a -- %s 2>/dev/null || stat -L -f %%Lp -- %s 2>/dev/null"):format(
    name, name), "r"))
  local mode = pipe:read("*a"):match("^([0-7]+)%s*$")
  pipe:close()
  return mode
end

local PRIVATE = { ["0"] = true, ["200"] = true, ["400"] = true, ["600"] = true }

--- Lets nobody but the owner read and write a file.
-- @tparam string path
-- @treturn boolean true
-- @treturn ?string the mode that it had, when that was wider
-- @treturn[2] nil when it could not be done
function terminal.make_private(path)
  local mode = terminal.mode_of(path)
  if PRIVATE[mode] then
    return true
  elseif not execute("chmod 600 -- " .. quote(path) .. " 2>/dev/null") then
    return nil
  end
  return true, mode
end

return terminal
