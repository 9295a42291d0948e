--- Starts processes that use one sqlite store, see sqlite_worker.lua.
local files = require("support.files")
local program = require("support.program")

local workers = {}

--- The command of a worker.
-- @tparam string path of the store
-- @tparam string job with its arguments behind it
-- @treturn string for the shell
function workers.command(path, job, ...)
  return ("env %s %s"):format(program.environment(),
    program.words { program.lua, "spec/support/sqlite_worker.lua", path, job, ... })
end

--- Starts workers, and lets them begin when all are ready.
-- @tparam number count
-- @tparam string path of the store; a file `go` is made beside it
-- @tparam string job that waits for that file and ends by itself
-- @tparam function argument gives what the job of that number is told
-- @treturn table what each wrote behind `ready`
function workers.run(count, path, job, argument)
  local go = path .. ".go"
  local running = {}
  for i = 1, count do
    running[i] = program.start(workers.command(path, job, go, tostring(argument(i))))
  end
  for _, worker in ipairs(running) do
    worker:wait_for("ready")
  end
  files.write(go, "")
  local outputs = {}
  for i, worker in ipairs(running) do
    worker:wait_for("end\n")
    outputs[i] = worker:output():gsub("^ready\n", "")
  end
  return outputs
end

return workers
