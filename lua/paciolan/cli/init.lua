--- The command line. Each command is a module `paciolan.cli.<name>` with
-- `describe(parser)`, which declares its options, and `run(arguments, streams)`,
-- which does the work and returns the exit code.
-- @module paciolan.cli

local argparse = require "argparse"

local cli = {}

local COMMANDS = { "sandbox" }

local function new_parser()
  local parser = argparse("paciolan", "A toolkit for the Paciolan Link API.")
  parser:command_target("command")
  parser:require_command(true)
  for _, name in ipairs(COMMANDS) do
    local command = require("paciolan.cli." .. name)
    command.describe(parser)
  end
  return parser
end

--- Runs a command.
-- @tparam table arguments the words after the program's name
-- @tparam[opt] table streams `out` and `err`, file handles; default to the standard ones
-- @treturn number exit code: 0 done, 1 could not be done, 2 wrong usage
function cli.main(arguments, streams)
  streams = streams or { out = io.stdout, err = io.stderr }
  local ok, parsed = new_parser():pparse(arguments)
  if not ok then
    streams.err:write("paciolan: ", parsed, "\nTry: paciolan --help\n")
    return 2
  end
  return require("paciolan.cli." .. parsed.command).run(parsed, streams)
end

return cli
