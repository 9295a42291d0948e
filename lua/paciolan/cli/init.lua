--- The command line. Each command is a module `paciolan.cli.<name>` with
-- `describe(parser)`, which declares its options, and `run(arguments, streams)`,
-- which does the work and returns the exit code.
-- @module paciolan.cli

local argparse = require "argparse"
local core = require "paciolan.core"

local cli = {}

local COMMANDS = { "listen", "login", "sandbox", "trigger" }

local EPILOG = [[
Environment:
  PACIOLAN_LUA   the Lua that runs this command, such as luajit or a path; by
                 default the first of lua5.4, luajit and lua that can run it]]

local function new_parser(streams)
  local parser = argparse("paciolan", "A toolkit for the Paciolan Link API.", EPILOG)
  parser:command_target("command")
  parser:require_command(true)
  parser:flag("--version", "Show the version and exit."):action(function()
    streams.out:write("paciolan ", core.version, "\n")
    os.exit(0)
  end)
  for _, name in ipairs(COMMANDS) do
    local command = require("paciolan.cli." .. name)
    command.describe(parser)
  end
  return parser
end

-- Which help to read: that of the command, when the first word is one.
local function help_for(arguments)
  for _, name in ipairs(COMMANDS) do
    if arguments[1] == name then
      return "paciolan " .. name .. " --help"
    end
  end
  return "paciolan --help, or a command: " .. table.concat(COMMANDS, ", ")
end

--- Runs a command. `--help` and `--version` print and end the program.
-- @tparam table arguments the words after the program's name
-- @tparam[opt] table streams `out` and `err`, file handles; default to the standard ones
-- @treturn number exit code: 0 done, 1 could not be done, 2 wrong usage
function cli.main(arguments, streams)
  streams = streams or { out = io.stdout, err = io.stderr }
  local ok, parsed = new_parser(streams):pparse(arguments)
  if not ok then
    streams.err:write("paciolan: ", parsed, "\nTry: ", help_for(arguments), "\n")
    return 2
  end
  return require("paciolan.cli." .. parsed.command).run(parsed, streams)
end

return cli
