--- A busted output handler that speaks TAP and hides nothing.
-- Busted's own TAP handler says nothing of a failed assertion in a set-up or tear-down and counts a pending test as
-- passed. Here every one of them is a "not ok" line, and the plan comes last, so that a process that died is seen.
local function indent(text)
  return "# " .. tostring(text):gsub("\n", "\n# ")
end

return function(options)
  local busted = require("busted")
  local handler = require("busted.outputHandlers.base")(options)
  local count = 0

  local function line(verdict, name, details)
    count = count + 1
    io.write(("%s %d - %s\n"):format(verdict, count, (name:gsub("[\n#]", " "))))
    if details then
      io.write(indent(details), "\n")
    end
    io.flush()
  end

  local function explain(message, debug)
    local text = type(message) == "string" and message or require("pl.pretty").write(message)
    return text .. (debug and debug.traceback or "")
  end

  local function test_end(element, _, status)
    if status == "success" then
      line("ok", handler.getFullName(element))
    elseif status == "pending" then
      line("not ok", handler.getFullName(element), "a pending test proves nothing: finish it or remove it")
    end
    return nil, true
  end

  local function problem(element, _, message, debug)
    line("not ok", handler.getFullName(element), explain(message, debug))
    return nil, true
  end

  local function suite_end()
    io.write(("1..%d\n"):format(count))
    io.flush()
    return nil, true
  end

  busted.subscribe({ "test", "end" }, test_end)
  busted.subscribe({ "error" }, problem)
  busted.subscribe({ "failure" }, problem)
  busted.subscribe({ "suite", "end" }, suite_end)
  return handler
end
