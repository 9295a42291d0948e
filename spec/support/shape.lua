--- Compares the shape of an answer with a sample: the same names, the same types, lists by their first element.
--
-- Places are written as JSON Pointers with `*` for every element of a list: `/success/*/ownerId`. Null is a type of its
-- own, and so is a list: an empty list has the shape of any list only where `may_be_empty` says so.

local cjson = require("cjson").new()
local files = require("support.files")

local shape = {}

local function kind_of(value)
  if value == cjson.null then
    return "null"
  elseif type(value) == "table" and value[1] ~= nil then
    return "list"
  end
  return type(value)
end

-- Decoding tells an empty list and an empty object alike.
local function is_empty(value)
  return type(value) == "table" and next(value) == nil
end

local function complain(found, path, words, ...)
  found[#found + 1] = (path == "" and "the answer" or path) .. " " .. words:format(...)
end

local compare

local function compare_names(found, sample, got, options, path)
  for name, value in pairs(sample) do
    local place = path .. "/" .. name
    if got[name] ~= nil then
      compare(found, value, got[name], options, place)
    elseif not options.missing[place] then
      complain(found, place, "is missing")
    end
  end
  for name in pairs(got) do
    local place = path .. "/" .. tostring(name)
    if sample[name] == nil and not options.extra[place] then
      complain(found, place, "is not in the sample")
    end
  end
end

function compare(found, sample, got, options, path)
  local wanted, kind = kind_of(sample), kind_of(got)
  if wanted == "list" and is_empty(got) then
    if not options.may_be_empty[path] then
      complain(found, path, "is empty")
    end
  elseif wanted ~= kind then
    complain(found, path, "is a %s instead of a %s", kind, wanted)
  elseif kind == "list" then
    for _, element in ipairs(got) do
      compare(found, sample[1], element, options, path .. "/*")
    end
  elseif kind == "table" then
    compare_names(found, sample, got, options, path)
  end
end

local function set(list)
  local result = {}
  for _, path in ipairs(list or {}) do
    result[path] = true
  end
  return result
end

--- Finds every difference in shape.
-- @param sample decoded
-- @param got decoded
-- @tparam[opt] table options lists of places: `extra` (the sample lacks them), `missing` (the answer may lack them),
-- `may_be_empty` (lists)
-- @treturn table sorted sentences, empty when the shapes are the same
function shape.differences(sample, got, options)
  options = options or {}
  local found = {}
  compare(found, sample, got,
    { extra = set(options.extra), missing = set(options.missing), may_be_empty = set(options.may_be_empty) }, "")
  table.sort(found)
  return found
end

--- Asserts that an answer has the shape of a fixture.
-- @tparam string name see `fixture`
-- @param got decoded
-- @tparam[opt] table options see `differences`
function shape.expect(name, got, options)
  local found = shape.differences(files.fixture(name), got, options)
  if #found > 0 then
    error(name .. ": " .. table.concat(found, "; "), 2)
  end
end

return shape
