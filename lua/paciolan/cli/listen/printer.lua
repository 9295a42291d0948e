--- What `paciolan listen` prints: an item or a callback as a line for people, or as JSON. Nothing in a line can steer a
-- terminal, and none is longer than a screen can show; the JSON has everything.
-- @module paciolan.cli.listen.printer
local json = require "paciolan.json"

local printer = {}

local MAX_BYTES = 60

-- A value as a word, also when it is missing.
local function word(value)
  if value == nil or value == json.null or value == "" then
    return "-"
  end
  return (tostring(value):sub(1, MAX_BYTES):gsub("[%c\127-\255]", "?"))
end

local function problems_of(message, index)
  local found, prefix = {}, index and ("^/data/%%a+/%d/"):format(index - 1) or "^"
  for _, problem in ipairs(message.problems) do
    if problem.path:find(prefix) then
      found[#found + 1] = problem
    end
  end
  return found
end

-- The place of an item in its message, for its problems.
local function index_of(item, message)
  for i, other in ipairs(message.items) do
    if other == item then
      return i
    end
  end
end

-- --- for people -----------------------------------------------------------------------------------------------------

local function seat_line(item)
  return ("%-7s %s  %s  row %s, seat %s"):format(word(item.status), word(item.accessId), word(item.section),
    word(item.row), word(item.seat))
end

local function event_line(item)
  return ("changed %s  %s  %s %s"):format(word(item.accessId), word(item.itemName), word(item.startDate),
    word(item.startTime))
end

local function problem_text(problems)
  local texts = {}
  for i, problem in ipairs(problems) do
    texts[i] = problem.path:match("[^/]*$") .. " " .. problem.message
  end
  return #texts > 0 and "  (" .. table.concat(texts, ", ") .. ")" or ""
end

local function line(kind, text)
  return ("%s  %-8s  %s\n"):format(os.date("%H:%M:%S"), kind, text)
end

local people = {}

function people.seat(item, message)
  return line("seat", seat_line(item) .. problem_text(problems_of(message, index_of(item, message))))
end

function people.event(item)
  return line("event", event_line(item))
end

function people.message(message)
  return line("message", "of an entity that is not known: " .. word(message.entity))
end

function people.callback(result)
  return line("callback", ("%s  %s"):format(word(result.state), word(result.process_id)))
end

-- --- for programs ---------------------------------------------------------------------------------------------------

local function row(entity, message, content)
  local unsigned = message.unsigned or {}
  content.entity, content.organization_id, content.request_id = entity, message.organization_id, message.request_id
  content.topic_arn = message.topic_arn or unsigned.topic_arn
  content.message_id = message.message_id or unsigned.message_id
  content.timestamp = message.timestamp
  return json.encode(content) .. "\n"
end

local function item_row(item, message)
  local problems = problems_of(message, index_of(item, message))
  return row(message.entity, message, { item = item, problems = #problems > 0 and problems or nil })
end

local programs = { seat = item_row, event = item_row }

function programs.message(message)
  return row(message.entity, message, { data = message.data })
end

function programs.callback(result)
  return json.encode { entity = "callback", process_id = result.process_id, state = result.state, body = result.body }
    .. "\n"
end

-- EPIPE and EBADF, the same on all systems: nobody is there who could ever read it.
local GONE = { [32] = true, [9] = true }

--- Writes a text at once.
-- @tparam file out
-- @tparam string text
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] string what the system says
-- @treturn[2] boolean whether nothing can be written there any more
function printer.write(out, text)
  local ok, problem, code = out:write(text)
  if ok then
    ok, problem, code = out:flush()
  end
  if ok then
    return true
  end
  return nil, tostring(problem), GONE[code] or false
end

--- The handlers that print.
-- @tparam file out where to; what cannot be written there comes again
-- @tparam boolean is_json
-- @tparam function on_gone called when nothing can be written there any more
-- @treturn table `on_event`, `on_seat`, `on_message`, `on_callback`
function printer.handlers(out, is_json, on_gone)
  local forms = is_json and programs or people
  local function printing(form)
    return function(first, second)
      local ok, problem, is_gone = printer.write(out, form(first, second))
      if is_gone then
        on_gone()
      end
      return ok, not ok and "standard output: " .. problem or nil
    end
  end
  return { on_event = printing(forms.event), on_seat = printing(forms.seat), on_message = printing(forms.message),
    on_callback = printing(forms.callback) }
end

return printer
