local cli = require "paciolan.cli"
local httpd = require "paciolan.httpd"
local paciolan = require "paciolan"

local unpack = table.unpack or unpack -- luacheck: ignore (LuaJIT has the global one)

-- A stream that keeps what is written to it.
local function new_stream()
  return {
    text = "",
    write = function(self, ...)
      self.text = self.text .. table.concat({ ... })
    end,
    flush = function() end,
  }
end

local function run(...)
  local streams = { out = new_stream(), err = new_stream() }
  return cli.main({ ... }, streams), streams.err.text, streams.out.text
end

describe("paciolan command line", function()
  local WRONG = {
    { "no command", "a command is required", "paciolan --help" },
    { "an unknown command", "'sandcastle'", "paciolan --help", "sandcastle" },
    { "an unknown option", "'--colour'", "paciolan sandbox --help", "sandbox", "--colour" },
    { "a misspelt option", "'--port'", "paciolan sandbox --help", "sandbox", "--prot", "1" },
    { "a port that is no number", "--port must", "paciolan sandbox --help", "sandbox", "--port", "http" },
    { "a negative port", "--port must", "paciolan sandbox --help", "sandbox", "--port=-1" },
    { "a port that is no port", "--port must", "paciolan sandbox --help", "sandbox", "--port", "70000" },
    { "a host that is no address", "--host must", "paciolan sandbox --help", "sandbox", "--host", "example.com" },
    { "a lifetime of nothing", "--token-lifetime must", "paciolan sandbox --help", "sandbox", "--token-lifetime", "0" },
    { "too many polls", "--pending-polls must", "paciolan sandbox --help", "sandbox", "--pending-polls", "1000" },
  }
  for _, row in ipairs(WRONG) do
    it("answers 2, what is wrong and which help to read to " .. row[1], function()
      local code, message, output = run(unpack(row, 4))
      assert.equal(2, code)
      assert.truthy(message:find(row[2], 1, true), message)
      assert.truthy(message:find("\nTry: " .. row[3], 1, true), message)
      assert.is_nil(message:find(".lua:", 1, true))
      assert.equal("", output)
    end)
  end

  it("answers 1 and names the port and the option when the port is in use", function()
    local server = assert(httpd.listen {})
    local port = string.format("%d", server:port())
    local code, message, output = run("sandbox", "--port", port)
    server:close()
    assert.equal(1, code)
    assert.truthy(message:find("in use", 1, true))
    assert.truthy(message:find("--port " .. port, 1, true))
    assert.equal("", output)
  end)

  for _, path in ipairs { "/nonexistent/folder/ready", "/dev/full" } do
    it("answers 1 and starts nothing when the ready file cannot be written: " .. path, function()
      local code, message, output = run("sandbox", "--port", "0", "--ready-file", path)
      assert.equal(1, code)
      assert.truthy(message:find("--ready-file", 1, true))
      assert.equal("", output)
    end)
  end

  it("answers 1 and says why when there is no local server", function()
    local loaded = package.loaded["paciolan.httpd"]
    package.loaded["paciolan.httpd"] = nil
    package.preload["paciolan.httpd"] = function() error("no such library", 0) end
    local code, message = run("sandbox", "--port", "0")
    package.preload["paciolan.httpd"], package.loaded["paciolan.httpd"] = nil, loaded
    assert.equal(1, code)
    assert.truthy(message:find("libmicrohttpd", 1, true))
    assert.truthy(message:find("no such library", 1, true))
  end)
end)

describe("bin/paciolan", function()
  local folder

  local function shell(script)
    local pipe = io.popen("{ " .. script .. "\n} 2>&1; echo rc=$?")
    local output = pipe:read("*a")
    pipe:close()
    return tonumber(output:match("rc=(%d+)%s*$")), output
  end

  local abi = rawget(_G, "jit") and "jit" or "5.4"
  local version = abi == "jit" and "5.1" or abi

  -- A checkout in small, and an installation: the starter, the Lua tree and the C modules of this Lua only.
  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    local modules = assert(package.searchpath("paciolan.httpd", package.cpath)):match("^(.*)/")
    local code, output = shell(string.format([[
      tree=$(pwd) && modules=$(cd '%s' && pwd) && mkdir -p %s/bin %s/build/%s %s/installed/bin && cd %s || exit 1
      mkdir -p installed/share/lua/%s installed/lib/lua/%s
      ln -s "$tree/lua" lua && ln -s "$modules" build/%s/paciolan && ln -s "$PWD/bin/paciolan" link
      ln -s "$tree/lua/paciolan" installed/share/lua/%s/ && ln -s "$modules" installed/lib/lua/%s/paciolan
      cp "$tree/bin/paciolan" bin/ && cp "$tree/bin/paciolan" installed/bin/]],
      modules, folder, folder, abi, folder, folder, version, version, abi, version, version))
    assert(code == 0, output)
  end)

  teardown(function()
    shell("rm -r " .. folder)
  end)

  it("finds its Lua and its tree through a link and from anywhere, and ends on a signal with 0", function()
    for _, signal in ipairs { "TERM", "INT" } do
      local code, output = shell(string.format([[
        cd / && unset LUA_PATH LUA_CPATH
        trap - INT
        %s/link sandbox --port 0 --ready-file %s/ready & p=$!
        n=0; while [ ! -s %s/ready ] && [ $n -lt 200 ]; do sleep 0.05; n=$((n + 1)); done
        cat %s/ready; rm %s/ready; kill -%s $p; wait $p]], folder, folder, folder, folder, folder, signal))
      assert.equal(0, code, output)
      assert.truthy(output:find("export PACIOLAN_BASE_URL='http://127.0.0.1:", 1, true), output)
      assert.truthy(output:find("\nhttp://127%.0%.0%.1:%d+\n"), output)
    end
  end)

  it("says its version", function()
    local code, output = shell("unset LUA_PATH LUA_CPATH; " .. folder .. "/bin/paciolan --version")
    assert.equal(0, code, output)
    assert.truthy(output:find("^paciolan " .. paciolan._VERSION:gsub("%p", "%%%0") .. "\n"), output)
  end)

  it("finds what was installed under its own prefix, from anywhere", function()
    local code, output = shell("cd / && unset LUA_PATH LUA_CPATH; " .. folder .. "/installed/bin/paciolan --version")
    assert.equal(0, code, output)
    assert.truthy(output:find("^paciolan %d"), output)
  end)

  it("says what to do when nothing was built", function()
    local code, output = shell(string.format("mv %s/build %s/b; unset LUA_PATH LUA_CPATH; %s/bin/paciolan sandbox;"
      .. " r=$?; mv %s/b %s/build; (exit $r)", folder, folder, folder, folder, folder))
    assert.equal(1, code)
    assert.truthy(output:find("module 'paciolan.core' not found", 1, true), output)
    assert.truthy(output:find("make all", 1, true))
  end)

  it("names the module that is missing, and not the places where it was searched", function()
    local code, output = shell("LUA_PATH='/nonexistent/?.lua' " .. folder .. "/bin/paciolan sandbox")
    assert.equal(1, code)
    assert.truthy(output:find("module 'argparse' not found", 1, true), output)
    assert.truthy(output:find("make deps", 1, true))
    assert.is_nil(output:find("no file", 1, true))
  end)

  it("runs under PACIOLAN_LUA and no other", function()
    local code, output = shell("PACIOLAN_LUA=no-such-lua " .. folder .. "/bin/paciolan --version")
    assert.equal(1, code)
    assert.truthy(output:find("no-such-lua: not found", 1, true), output)
    assert.is_nil(output:find("lua5.4:", 1, true))
  end)
end)
