--- Folders for one test, and the files in them.
local program = require("support.program")

local folder = {}

local made = {}

--- Makes an empty folder.
-- @treturn string its path
function folder.make()
  local path = os.tmpname()
  os.remove(path)
  assert(program.run("mkdir " .. program.words { path }) == 0, "cannot make " .. path)
  made[#made + 1] = path
  return path
end

--- Removes every folder that was made, with what is in it. Call it in a teardown.
function folder.remove_all()
  for index = #made, 1, -1 do
    program.run("rm -rf " .. program.words { made[index] })
    made[index] = nil
  end
end

return folder
