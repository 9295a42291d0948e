local cli = require "paciolan.cli"
local httpd = require "paciolan.httpd"

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
    { "no command" },
    { "an unknown command", "sandcastle" },
    { "an unknown option", "sandbox", "--colour" },
    { "a port that is no number", "sandbox", "--port", "http" },
    { "a negative port", "sandbox", "--port", "-1" },
  }
  for _, row in ipairs(WRONG) do
    it("answers 2 and a hint to " .. row[1], function()
      local code, message = run(unpack(row, 2))
      assert.equal(2, code)
      assert.truthy(message:find("--help", 1, true))
    end)
  end

  it("answers 1 when the port is in use", function()
    local server = assert(httpd.listen {})
    local code, message = run("sandbox", "--port", string.format("%d", server:port()))
    server:close()
    assert.equal(1, code)
    assert.truthy(message:find("in use", 1, true))
  end)

  it("answers 1 to values that the sandbox cannot use", function()
    local rows = { { "--host", "example.com", "host" }, { "--port", "70000", "port" },
      { "--token-lifetime", "0", "token_lifetime_s" }, { "--pending-polls", "1000", "pending_polls" } }
    for _, row in ipairs(rows) do
      local code, message = run("sandbox", row[1], row[2])
      assert.equal(1, code)
      assert.truthy(message:find(row[3], 1, true), message)
      assert.is_nil(message:find(".lua:", 1, true))
    end
  end)

  it("answers 1 when the ready file cannot be written", function()
    local code = run("sandbox", "--port", "0", "--ready-file", "/nonexistent/folder/ready")
    assert.equal(1, code)
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

  -- A checkout in small: the starter, the Lua tree and the C modules of this Lua only.
  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    local abi = rawget(_G, "jit") and "jit" or "5.4"
    local module = assert(package.searchpath("paciolan.httpd", package.cpath))
    local code, output = shell(string.format([[
      here=$(pwd) && mkdir -p %s/bin %s/build/%s/paciolan && cd %s || exit 1
      cp "$here/bin/paciolan" bin/ && ln -s "$here/lua" lua
      case '%s' in /*) m='%s';; *) m="$here/%s";; esac
      ln -s "$m" build/%s/paciolan/httpd.so && ln -s "$PWD/bin/paciolan" link]],
      folder, folder, abi, folder, module, module, module, abi))
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

  it("says what to do when nothing was built", function()
    local code, output = shell(string.format("mv %s/build %s/b; unset LUA_PATH LUA_CPATH; %s/bin/paciolan sandbox;"
      .. " r=$?; mv %s/b %s/build; (exit $r)", folder, folder, folder, folder, folder))
    assert.equal(1, code)
    assert.truthy(output:find("make all", 1, true))
  end)
end)
