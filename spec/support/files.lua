--- Whole files, and the fixtures among them.
local cjson = require("cjson").new()

local files = {}

--- The bytes of a file; raises when it cannot be read.
-- @tparam string path
-- @treturn string
function files.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- Is there such a file?
-- @tparam string path
-- @treturn boolean
function files.exists(path)
  local file = io.open(path, "rb")
  if file then
    file:close()
  end
  return file ~= nil
end

--- Makes a file of these bytes.
-- @tparam string path
-- @tparam string text
function files.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

--- A fixture, decoded.
-- @tparam string name below spec/fixtures, without `.json`
-- @treturn table
function files.fixture(name)
  return cjson.decode(files.read("spec/fixtures/" .. name .. ".json"))
end

return files
