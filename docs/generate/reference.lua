--- Writes the reference pages of the operations from the table of the contract:
--
--     lua5.4 docs/generate/reference.lua [OUTDIR]
--
-- OUTDIR is docs/reference unless given. It needs the built tree on its search paths (`eval "$(make -s env)"`), and
-- gives the same bytes on every Lua. The words stand in `reference/` beside this file, the programs in `examples/`.
local here = arg[0]:match("^(.*/)") or "./"
package.path = here .. "?.lua;" .. package.path

local operation_page = require "reference.operation"
local overview = require "reference.overview"
local paciolan = require "paciolan"

local function read(name)
  local file = assert(io.open(here .. name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function by_name(operations)
  local set = {}
  for _, operation in ipairs(operations) do
    set[operation.name] = operation
  end
  return set
end

local function main(directory)
  local operations, shapes = paciolan.operations(), paciolan.shapes()
  local tables = { operations = by_name(operations), shapes = shapes }
  os.execute("mkdir -p " .. quote(directory))
  write(directory .. "/README.md", overview.index(operations))
  write(directory .. "/messages.md", overview.messages(paciolan.message_fields()))
  write(directory .. "/shapes.md", overview.shapes(shapes, operations))
  for _, operation in ipairs(operations) do
    write(directory .. "/" .. operation.name .. ".md", operation_page.text(operation, tables, read))
  end
end

main(arg[1] or here .. "../reference")
