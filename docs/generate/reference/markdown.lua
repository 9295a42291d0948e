--- Pieces of Markdown.
local markdown = {}

local WIDTH = 120

--- A code word.
-- @tparam string text
-- @treturn string
function markdown.code(text)
  return "`" .. text .. "`"
end

--- A list of code words as a phrase: "`A`, `B` or `C`".
-- @tparam table words
-- @tparam string last what stands before the last one, such as "or"
-- @treturn string
function markdown.phrase(words, last)
  local parts = {}
  for i, word in ipairs(words) do
    parts[i] = markdown.code(word)
  end
  if #parts > 1 then
    parts[#parts - 1] = parts[#parts - 1] .. " " .. last .. " " .. table.remove(parts)
  end
  return table.concat(parts, ", ")
end

local function row(cells)
  local parts = {}
  for i, cell in ipairs(cells) do
    parts[i] = cell:gsub("|", "\\|") .. " "
  end
  return ("| " .. table.concat(parts, "| ") .. "|"):gsub("  +", " ")
end

--- A table. The columns are as wide as their text, so that a changed cell is one changed line.
-- @tparam table head the titles
-- @tparam table rows lists of cells
-- @treturn string
function markdown.table(head, rows)
  local rule = {}
  for i in ipairs(head) do
    rule[i] = "---"
  end
  local lines = { (row(head)), (row(rule)) }
  for _, cells in ipairs(rows) do
    lines[#lines + 1] = (row(cells))
  end
  return table.concat(lines, "\n")
end

--- A list with dots.
-- @tparam table items
-- @treturn string
function markdown.list(items)
  local lines = {}
  for i, item in ipairs(items) do
    lines[i] = "- " .. item
  end
  return table.concat(lines, "\n")
end

--- A fenced block.
-- @tparam string info the language
-- @tparam string text
-- @treturn string
function markdown.block(info, text)
  return "```" .. info .. "\n" .. text:gsub("\n$", "") .. "\n```"
end

--- A part of a page: pieces with an empty line between them; empty ones are left out.
-- @tparam table pieces strings
-- @treturn string
function markdown.join(pieces)
  local kept = {}
  for _, piece in ipairs(pieces) do
    if piece ~= "" then
      kept[#kept + 1] = piece
    end
  end
  return table.concat(kept, "\n\n")
end

-- Spaces that no line may break at.
local function bind(text)
  return (text:gsub(" ", "\1"))
end

-- Breaks a line of prose between words, but not within code and links.
local function wrap(line)
  local indent = line:find("^- ") and "  " or ""
  local lines, current = {}, nil
  local kept = line:gsub("`[^`]*`", bind):gsub("%[[^%]]*%]%b()", bind)
  for word in kept:gmatch("[^ ]+") do
    if current and #current + 1 + #word > WIDTH then
      lines[#lines + 1], current = current, indent .. word
    else
      current = current and current .. " " .. word or word
    end
  end
  lines[#lines + 1] = current
  return (table.concat(lines, "\n"):gsub("\1", " "))
end

--- A whole page: the pieces with an empty line between them, and its prose in lines that fit. Tables and blocks stay as
-- they are.
-- @tparam table pieces strings
-- @treturn string
function markdown.page(pieces)
  local lines, inside = {}, false
  for line in (markdown.join(pieces) .. "\n"):gmatch("(.-)\n") do
    inside = inside ~= (line:find("^```") ~= nil)
    local is_prose = not inside and not line:find("^[|#]") and not line:find("^```") and #line > WIDTH
    lines[#lines + 1] = is_prose and wrap(line) or line
  end
  return table.concat(lines, "\n") .. "\n"
end

--- A heading with what stands below it, or nothing when that is empty.
-- @tparam number level
-- @tparam string title
-- @tparam table pieces strings
-- @treturn string
function markdown.section(level, title, pieces)
  local text = markdown.join(pieces)
  return text == "" and "" or ("#"):rep(level) .. " " .. title .. "\n\n" .. text
end

return markdown
