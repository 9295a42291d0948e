--- Reads JSON into the ordered maps of `openapi.yaml`, so that a sample shows up in the order in which it was written.
-- Numbers keep their text. The samples are known to be JSON (their own specs decode them), so this reader is brief:
-- anything unexpected raises.
local yaml = require("openapi.yaml")

local json = {}

local read_value

local function skip_space(text, at)
  return text:match("^%s*()", at)
end

local function expect(text, at, mark)
  at = skip_space(text, at)
  assert(text:sub(at, at) == mark, "not the JSON that was expected")
  return at + 1
end

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function read_string(text, at)
  local stop = at + 1
  while text:sub(stop, stop) ~= '"' do
    assert(stop <= #text, "a string is not closed")
    stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
  end
  local inner = text:sub(at + 1, stop - 1):gsub("\\(.)", function(letter)
    assert(letter ~= "u", "no sample has a \\u escape")
    return ESCAPES[letter] or letter
  end)
  return inner, stop + 1
end

-- The members between two brackets; `read_member` takes one and answers where it ended.
local function read_members(text, at, close, read_member)
  at = skip_space(text, at + 1)
  if text:sub(at, at) == close then
    return at + 1
  end
  while true do
    at = skip_space(text, read_member(skip_space(text, at)))
    if text:sub(at, at) ~= "," then
      return expect(text, at, close)
    end
    at = at + 1
  end
end

local function read_object(text, at)
  local map = yaml.map()
  at = read_members(text, at, "}", function(start)
    local key, stop = read_string(text, start)
    local value
    value, stop = read_value(text, expect(text, stop, ":"))
    map:set(key, value)
    return stop
  end)
  return map, at
end

local function read_list(text, at)
  local list = {}
  at = read_members(text, at, "]", function(start)
    local stop
    list[#list + 1], stop = read_value(text, start)
    return stop
  end)
  return list, at
end

local WORDS = { ["true"] = true, ["false"] = false, null = yaml.null }

function read_value(text, at)
  at = skip_space(text, at)
  local mark = text:sub(at, at)
  if mark == "{" then
    return read_object(text, at)
  elseif mark == "[" then
    return read_list(text, at)
  elseif mark == '"' then
    return read_string(text, at)
  end
  local word = text:match("^%a+", at)
  if word then
    assert(WORDS[word] ~= nil, "not a word of JSON")
    return WORDS[word], at + #word
  end
  local number = assert(text:match("^-?%d[%d.eE+-]*", at), "not a JSON value")
  return yaml.number(number), at + #number
end

--- Decodes a text.
-- @tparam string text
-- @return the value: maps of `openapi.yaml`, lists, strings, booleans, numbers by their text, or `yaml.null`
-- @raise for a text that is no JSON
function json.decode(text)
  local value, at = read_value(text, 1)
  assert(skip_space(text, at) > #text, "something stands behind the JSON value")
  return value
end

return json
