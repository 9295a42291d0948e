--- `bin/paciolan sandbox` as a process: what it prints, when it ends and with which code.

local cjson = require("cjson").new()
local core = require("paciolan.core")
local curl = require("paciolan.transport.curl")
local files = require("support.files")
local paciolan = require("paciolan")
local program = require("support.program")
local socket = require("socket")

local read = files.read

local function command(arguments)
  return "env " .. program.environment() .. " bin/paciolan " .. arguments
end

-- The settings that the start text gives to a shell.
local function settings_of(output)
  local found = {}
  for name, value in output:gmatch("\n%s*export PACIOLAN_([%u_]+)='([^']*)'") do
    found[name:lower()] = value
  end
  return found
end

local function link_to(found)
  return paciolan.new {
    base_url = found.base_url, application_id = found.application_id, api_key = found.api_key,
    channel_code = found.channel_code, organization_id = found.organization_id, user_agent = found.user_agent,
    auth = { code = found.auth_code },
  }
end

describe("paciolan sandbox", function()
  after_each(function()
    program.stop_all()
  end)

  local function start(arguments)
    local served = program.start(command("sandbox --port 0 " .. (arguments or "")))
    served:wait_for("more: curl")
    return served, settings_of(served:output())
  end

  it("says where it listens and how to get in", function()
    local served, found = start()
    local names = {}
    for name in pairs(found) do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.same({ "api_key", "application_id", "auth_code", "base_url", "channel_code", "organization_id",
      "user_agent" }, names)
    local output = served:output()
    assert.truthy(output:find("The sandbox listens on " .. found.base_url, 1, true))
    assert.truthy(output:find("A3qnemZ", 1, true))
    assert.truthy(output:find(" listen --sandbox " .. found.base_url, 1, true))
    assert.truthy(output:find(" trigger seats.unlock --url " .. found.base_url, 1, true))
    local link = link_to(found)
    assert(link.catalog:events())
    link:close()
  end)

  it("gives the same world for the same seed, and another one for another", function()
    local settings = {}
    for i, seed in ipairs { "a", "a", "b" } do
      local served
      served, settings[i] = start("--seed " .. seed)
      assert.equal(0, (served:stop()))
    end
    assert.equal(settings[1].api_key, settings[2].api_key)
    assert.equal(settings[1].auth_code, settings[2].auth_code)
    assert.are_not.equal(settings[1].api_key, settings[3].api_key)
  end)

  it("writes the address to the ready file when the port is open", function()
    local path = os.tmpname()
    os.remove(path)
    local _, found = start("--ready-file " .. path)
    for _ = 1, 200 do
      local file = io.open(path, "rb")
      if file then
        file:close()
        break
      end
      socket.sleep(0.05)
    end
    assert.equal(found.base_url .. "\n", read(path))
    os.remove(path)
  end)

  it("takes its options", function()
    local _, found = start("--token-lifetime 120 --pending-polls 1")
    local link = link_to(found)
    local ends_at_ms = core.parse_time(assert(link.auth:token()).expiration)
    assert.is_true(math.abs(ends_at_ms - core.now_ms() - 120000) < 60000)
    local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats
    assert(link.tickets:lock { source = "MY_ACCOUNT",
      listing = { externalListingId = "L-1", tokens = { seats[1].token } } })
    local order = assert(link.orders:complete {
      listing = { externalListingId = "L-1", externalOrderId = "O-1", tokens = { { token = seats[1].token } } },
      buyer = { firstName = "Tony", lastName = "Stark" }, settlement = { totalAmountPaid = 1 },
    })
    assert.equal("PENDING", order.status)
    link:close()
  end)

  it("ends with 0 on SIGTERM, and its port is free", function()
    local served, found = start()
    local code, _, problems = served:stop("TERM")
    assert.equal(0, code)
    assert.equal("", problems)
    local client = socket.tcp()
    assert.is_nil(client:connect("127.0.0.1", tonumber(found.base_url:match("%d+$"))))
    client:close()
  end)

  it("ends with 1 when the port is taken", function()
    local _, found = start()
    local option = "--port " .. found.base_url:match("%d+$")
    local code, output, problems = program.run(command("sandbox " .. option))
    assert.equal(1, code)
    assert.equal("", output)
    assert.truthy(problems:find(option .. ": the port is in use", 1, true), problems)
  end)

  for host, base_url in pairs { ["0.0.0.0"] = "http://127%.0%.0%.1:%d+$", localhost = "http://localhost:%d+$" } do
    it("gives a base URL that a client can use with --host " .. host, function()
      local served, found = start("--host " .. host)
      assert.truthy(found.base_url:find(base_url), found.base_url)
      local warned = served:output():find("every address of this machine (0.0.0.0)", 1, true)
      assert.equal(host == "0.0.0.0", warned ~= nil)
      local link = link_to(found)
      assert(link.auth:token())
      link:close()
    end)
  end

  it("ends when the process that it was told is not its parent", function()
    local code, output, problems = program.run(command("sandbox --port 0 --parent-pid 0"))
    assert.equal(0, code, problems)
    assert.truthy(output:find("The sandbox listens on", 1, true))
  end)

  for _, arguments in ipairs { "", "sandcastle", "sandbox --port", "sandbox --port http", "sandbox --colour red",
    "sandbox extra" } do
    it(("ends with 2 and a hint when it is called with %q"):format(arguments), function()
      local code, output, problems = program.run(command(arguments))
      assert.equal(2, code)
      assert.equal("", output)
      assert.truthy(problems:find("--help", 1, true), problems)
    end)
  end

  it("explains itself", function()
    local code, output, problems = program.run(command("--help"))
    assert.equal(0, code, problems)
    assert.truthy(output:find("sandbox", 1, true))
    assert.truthy(output:find("PACIOLAN_LUA", 1, true))
    code, output, problems = program.run(command("sandbox --help"))
    assert.equal(0, code, problems)
    for _, option in ipairs { "--port", "--host", "--seed", "--token-lifetime", "--pending-polls", "--ready-file",
      "--quiet" } do
      assert.truthy(output:find(option, 1, true), option)
    end
  end)

  it("tells its version", function()
    local code, output, problems = program.run(command("--version"))
    assert.equal(0, code, problems)
    assert.equal("paciolan " .. core.version .. "\n", output)
  end)

  -- Logs in, is refused, sells a seat: a day in the life of the access log. Returns what must not stand in it.
  local function make_traffic(found)
    local link = link_to(found)
    local set = assert(link.auth:token())
    local seats = assert(link.listings:get("A3qnemZ"))[1].tickets[1].seats
    assert(link.tickets:lock { source = "MY_ACCOUNT",
      listing = { externalListingId = "L-1", tokens = { seats[1].token } } })
    assert(link.auth:rotate())
    local renewed = link.auth:token()
    link:close()
    local transport = curl.new()
    local payload = cjson.encode { grantType = "authorization_code", code = "PRIVATE-code" }
    for _, path in ipairs { "/v1/auth/token?code=PRIVATE-query", "/v1/nowhere?key=PRIVATE-query" } do
      assert(transport:send { method = "POST", url = found.base_url .. path, body = payload,
        headers = { { "Authorization", "Bearer PRIVATE-bearer" }, { "PAC-API-Key", "PRIVATE-key" } } })
    end
    transport:close()
    return { set.accessToken, set.refreshToken, renewed.accessToken, renewed.refreshToken, found.api_key,
      found.auth_code, seats[1].token, "PRIVATE" }
  end

  it("writes a line per request, and no secret in any", function()
    local served, found = start()
    local before = #served:output()
    local secrets = make_traffic(found)
    local code, output, problems = served:stop()
    assert.equal(0, code)
    local log = output:sub(before + 1) .. problems
    for _, line in ipairs { "200  POST   /v1/auth/token", "200  GET    /v1/listings/A3qnemZ",
      "200  PUT    /v1/tickets/lock", "404  POST   /v1/nowhere" } do
      assert.truthy(log:find(line, 1, true), log)
    end
    for _, secret in ipairs(secrets) do
      assert.is_nil(log:find(secret, 1, true))
    end
  end)

  it("is quiet when it is told to", function()
    local served, found = start("--quiet")
    local before = served:output()
    make_traffic(found)
    local _, output = served:stop()
    assert.equal(before, output)
  end)
end)
