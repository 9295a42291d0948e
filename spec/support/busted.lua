--- Starts busted under the interpreter that runs this file.
-- An installed `busted` command is tied to one Lua (or is a shell script), and these specs run on several.
require("busted.runner")({ standalone = false })
