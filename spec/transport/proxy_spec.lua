--- The environment's proxy. A program started for it sends the request, because libcurl reads the environment.

local peers = require("support.peers")
local program = require("support.program")

-- Sends one request, alone or in a task, and prints the status or kind and phase.
local SENDER = [[
  local curl = require("paciolan.transport.curl")
  local transport = curl.new(arg[2] ~= "" and { proxy = arg[2] ~= "none" and arg[2] or "" } or {})
  local function send()
    return transport:send({ method = "PUT", url = arg[1], body = "{}", timeout_ms = 20000 })
  end
  local answer, failure
  if arg[3] == "task" then
    local result = require("paciolan.concurrent").run({ send })[1]
    answer, failure = result[1], result[2]
  else
    answer, failure = send()
  end
  print(answer and ("%d"):format(answer.status) or failure.kind .. " " .. failure.phase)
  transport:close()
]]

local function send(url, environment, proxy, how)
  local _, output, problems = program.run(("env %s %s"):format(program.environment(environment),
    program.words({ program.lua, "-e", SENDER, "/dev/null", url, proxy or "", how })))
  return output:match("^(.-)\n") or problems
end

describe("the environment's proxy", function()
  after_each(peers.stop_all)

  for _, how in ipairs({ "alone", "task" }) do
    local function environment_of(proxy)
      return { http_proxy = proxy.url, https_proxy = proxy.url, HTTPS_PROXY = proxy.url, ALL_PROXY = proxy.url,
        no_proxy = "", NO_PROXY = "" }
    end

    it("is not used for a loopback host, " .. how, function()
      local peer, proxy = peers.start({ { body = "{}" } }), peers.start({ { status = 502 } })
      assert.equal("200", send(peer.url .. "/", environment_of(proxy), nil, how))
      assert.equal(0, proxy:connections())
    end)

    it("is asked for another host, and its refusal is not_sent, " .. how, function()
      local proxy = peers.start({ { status = 502 } })
      assert.equal("network not_sent", send("https://link.invalid/v1", environment_of(proxy), nil, how))
      assert.equal("CONNECT", proxy:requests()[1].method)
      assert.equal("link.invalid:443", proxy:requests()[1].path)
    end)

    it("gives way to the option, " .. how, function()
      local proxy, own = peers.start({ { status = 502 } }), peers.start({ { status = 502 } })
      assert.equal("network not_sent", send("https://link.invalid/v1", environment_of(proxy), own.url, how))
      assert.same({ 0, 1 }, { proxy:connections(), #own:requests() })
    end)

    it("is not used when the option says none, " .. how, function()
      local proxy = peers.start({ { status = 502 } })
      local url = "https://" .. ("a"):rep(64) .. ".invalid/" -- refused by the resolver without asking anybody
      assert.equal("network not_sent", send(url, environment_of(proxy), "none", how))
      assert.equal(0, proxy:connections())
    end)
  end
end)
