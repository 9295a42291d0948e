--- The least that an installed copy must do. Run by spec/install with the directory that everything must come from.
-- smoke.lua ROOT SAMPLE: SAMPLE is a file with a payload that tickets.lock accepts.
local root, sample = arg[1], arg[2]

local function comes_from_root(name, where)
  local path = package.searchpath(name, where)
  assert(path and path:sub(1, #root) == root, name .. " is not the installed one: " .. tostring(path))
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

comes_from_root("paciolan.core", package.cpath)
comes_from_root("paciolan", package.path)

local paciolan = require("paciolan")
local operations = paciolan.operations()
assert(next(operations) ~= nil, "the table of operations is empty")

local payload = require("cjson").decode(read(sample))
assert(paciolan.validate("tickets.lock", payload))
payload.source = nil
local ok, err = paciolan.validate("tickets.lock", payload)
assert(not ok and err.kind == "validation", "a payload without its source was accepted")

-- What runs in nginx is there too, and says outside of it where it belongs.
comes_from_root("resty.paciolan", package.path)
local is_set_up, problem = pcall(function() require("resty.paciolan").setup { dict = "paciolan" } end)
assert(not is_set_up and tostring(problem):find("nginx", 1, true), "resty.paciolan was set up outside of nginx")
