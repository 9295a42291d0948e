--- House rules that a program can check: who may include what, banned calls, file names, one version.

local disk = require("support.files")

local read = disk.read

local function lines_of(command)
  local found = {}
  local pipe = assert(io.popen(command))
  for line in pipe:lines() do
    found[#found + 1] = line
  end
  pipe:close()
  return found
end

-- Paths below `root`, relative to the checkout, whose name matches a shell pattern.
local function files(root, name)
  return lines_of(("find '%s' -type f -name '%s' 2>/dev/null | LC_ALL=C sort"):format(root, name))
end

-- The elements for which `wanted` holds.
local function filter(list, wanted)
  local kept = {}
  for _, element in ipairs(list) do
    if wanted(element) then
      kept[#kept + 1] = element
    end
  end
  return kept
end

-- Where the comment or literal that begins at `start` ends, or nil when nothing of the kind begins there.
local function end_of_opaque(text, start)
  local two = text:sub(start, start + 1)
  if two == "/*" then
    return select(2, text:find("*/", start + 2, true))
  elseif two == "//" then
    return (text:find("\n", start, true) or #text + 1) - 1
  end
  local quote = text:sub(start, start)
  if quote == "/" then
    return nil
  end
  local at = start + 1
  while text:sub(at, at) ~= quote do
    at = at + (text:sub(at, at) == "\\" and 2 or 1)
  end
  return at
end

-- C source with comments, strings and characters blanked out, lines kept.
local function code_of(path)
  local text, parts, at = read(path), {}, 1
  local start = text:find("[/\"']", at)
  while start do
    local stop = end_of_opaque(text, start)
    parts[#parts + 1] = text:sub(at, start - 1)
    parts[#parts + 1] = text:sub(start, stop or start):gsub(stop and "[^\n]" or "", " ")
    at = (stop or start) + 1
    start = text:find("[/\"']", at)
  end
  parts[#parts + 1] = text:sub(at)
  return table.concat(parts)
end

-- "path:line: word" for each word of a C file that matches the pattern and is in the set.
local function words_in(path, pattern, banned)
  local found, number = {}, 0
  for line in (code_of(path) .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    for word in line:gmatch(pattern) do
      if banned[word] then
        found[#found + 1] = ("%s:%d: %s"):format(path, number, word)
      end
    end
  end
  return found
end

local function words_in_all(paths, pattern, banned)
  local found = {}
  for _, path in ipairs(paths) do
    for _, place in ipairs(words_in(path, pattern, banned)) do
      found[#found + 1] = place
    end
  end
  return found
end

-- "path: header" for each header that a file includes and `banned` answers true for.
local function includes(paths, banned)
  local found = {}
  for _, path in ipairs(paths) do
    for header in read(path):gmatch('#%s*include%s*[<"]([^>"]+)[>"]') do
      if banned(header) then
        found[#found + 1] = path .. ": " .. header
      end
    end
  end
  return found
end

local function set(words)
  local result = {}
  for word in words:gmatch("%S+") do
    result[word] = true
  end
  return result
end

local sources = files("src", "*.[ch]")
local CALL = "([%a_][%w_]*)%s*%("
local WORD = "[%a_][%w_]*"

local function is_pure(path)
  return path:find("/pac[_.][^/]*$") or path:find("^src/contract/")
end

local function is_compat(path)
  return path == "src/lpac_compat.h"
end

local function is_lua_header(name)
  return name:find("^lua") or name == "lauxlib.h"
end

describe("the C sources", function()
  it("keep Lua out of the pure rooms", function()
    local pure = filter(sources, is_pure)
    assert.is_true(#pure >= 2)
    assert.same({}, includes(pure, function(name)
      return is_lua_header(name) or name:find("^lpac")
    end))
  end)

  it("know Lua and its versions in one header only", function()
    local others = filter(sources, function(path)
      return not is_compat(path)
    end)
    assert.is_true(#others == #sources - 1)
    assert.same({}, includes(others, is_lua_header))
    assert.same({}, words_in_all(others, WORD, set("LUA_VERSION_NUM LUAJIT_VERSION LUAJIT_VERSION_NUM")))
  end)

  it("never call what can overflow, end the host process, print, or share hidden state", function()
    local banned = set([[sprintf vsprintf strcpy strcat gets abort exit _exit atexit assert printf puts perror
      strtok localtime gmtime asctime ctime rand srand system popen setlocale signal
      curl_global_cleanup OPENSSL_cleanup]])
    assert.same({}, words_in_all(sources, CALL, banned))
  end)

  it("are read without their comments and literals by the rules above", function()
    local path = os.tmpname()
    disk.write(path, '/* exit(1) */ // exit(2)\nchar q = \'"\'; const char *s = "\\"exit(3)"; exit(4); x = a / b;\n')
    local found = words_in(path, CALL, set("exit"))
    os.remove(path)
    assert.same({ path .. ":2: exit" }, found)
  end)
end)

describe("each shared object", function()
  for _, name in ipairs({ "core", "httpd", "sqlite", "redis", "authority" }) do
    it("shows nothing but its luaopen function: " .. name, function()
      local path = assert(package.searchpath("paciolan." .. name, package.cpath))
      local symbols = lines_of(("nm -D --defined-only '%s' | awk '{ print $3 }'"):format(path))
      assert.same({ "luaopen_paciolan_" .. name }, symbols)
    end)
  end
end)

describe("the Lua sources", function()
  it("are all understood by this Lua", function()
    local all = files("lua", "*.lua")
    assert.is_true(#all > 0)
    for _, path in ipairs(all) do
      assert(loadfile(path))
    end
  end)
end)

describe("the tests", function()
  it("carry the names by which they are collected", function()
    local overlooked = filter(files("spec", "*.lua"), function(path)
      return not path:find("_spec%.lua$") and ("\n" .. read(path)):find("\n%s*describe%s*%(")
    end)
    assert.same({}, overlooked)
    assert.same({}, filter(files("spec", "*.c"), function(path)
      return not path:find("^spec/c/[^/]+_test%.c$") and read(path):find("cmocka_run_group_tests", 1, true)
    end))
  end)

  it("stand nowhere but in spec", function()
    for _, root in ipairs({ "lua", "src", "bin", "examples", "bench" }) do
      assert.same({}, files(root, "*_spec.lua"))
      assert.same({}, files(root, "*_test.c"))
    end
  end)
end)

describe("the version", function()
  local version = read("src/pac.h"):match('#define PAC_VERSION "(%d+%.%d+%.%d+)"')

  it("stands in pac.h and is what the module tells", function()
    assert.is_string(version)
    assert.equal(version, require("paciolan.core").version)
  end)

  it("stands in no other source", function()
    local command = ("grep -rlF '\"%s\"' src lua bin 2>/dev/null | LC_ALL=C sort"):format(version)
    assert.same({ "src/pac.h" }, lines_of(command))
  end)

  it("is the newest one in the change log", function()
    assert.equal(version, read("CHANGELOG.md"):match("\n## %[?(%d+%.%d+%.%d+)"))
  end)
end)
