--- Keeps messages that were believed but cannot be used, each in a file of its own, byte for byte.
--
-- A file is made by a shell, because Lua can neither make one that is private from the beginning nor bring it to the
-- disk: `umask` and `sync` do that. It gets its name only when it is complete.
-- @module paciolan.cli.listen.quarantine
local core = require "paciolan.core"

local quarantine = {}

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- LuaJIT returns the status, Lua 5.4 true or nil.
local function execute(command, path)
  local ok = os.execute(command:format(quote(path)) .. " 2>/dev/null")
  return ok == true or ok == 0
end

local function write(path, body)
  local file = io.open(path, "wb")
  if not file then
    return false
  end
  local written = file:write(body)
  local flushed = file:flush()
  return file:close() and written ~= nil and flushed ~= nil
end

local MAKE = "(umask 077; set -C; : >%s)"
local SYNC = "(sync -- %s || sync)"

--- Keeps a body.
-- @tparam string folder
-- @tparam string body
-- @tparam[opt] number now_s unix seconds
-- @treturn string the name of its file in the folder
-- @treturn[2] boolean false when it could not be kept
function quarantine.keep(folder, body, now_s)
  local name = ("%s-%s.json"):format(os.date("!%Y%m%dT%H%M%SZ", now_s), core.fingerprint(body):sub(1, 16))
  local path = folder .. "/" .. name
  local part = ("%s.%s.part"):format(path, assert(core.request_id()))
  if not execute(MAKE, part) then
    return false
  end
  local is_kept = write(part, body) and execute(SYNC, part) and os.rename(part, path) and execute(SYNC, folder)
  if not is_kept then
    os.remove(part)
    return false
  end
  return name
end

--- Can anything be kept there?
-- @tparam string folder
-- @treturn boolean
function quarantine.is_usable(folder)
  local name = quarantine.keep(folder, "")
  return name and os.remove(folder .. "/" .. name) ~= nil
end

return quarantine
