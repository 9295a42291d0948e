--- One token set for all workers of an nginx: however many requests find it ended at once, it is renewed once.

local cjson = require("cjson").new()
local openresty = require("support.openresty")
local peers = require("support.peers")
local sandbox = require("paciolan.sandbox.child")
local socket = require("socket")

local WORKERS, REQUESTS = 4, 100

local HTTP = [[
  lua_shared_dict tokens 1m;
  init_by_lua_block {
    local link
    function make_link() -- one for each worker, at its first use
      if not link then
        local options = require("cjson").decode(%q)
        options.store = require("paciolan").store.shdict("tokens")
        link = require("paciolan").new(options)
      end
      return link
    end
  }
  server {
    listen 127.0.0.1:%d reuseport;
    location = /events {
      content_by_lua_block {
        local events, err, response = make_link().catalog:events()
        ngx.say(require("cjson").encode {
          ok = events ~= nil, err = tostring(err), pid = ngx.worker.pid(), attempts = (response or err).attempts })
      }
    }
  }
]]

-- Sends the same request over that many connections before any answer is read.
local function send_at_once(port, path, count)
  local clients, answers, pids = {}, {}, {}
  for i = 1, count do
    clients[i] = assert(socket.connect("127.0.0.1", port))
  end
  for _, client in ipairs(clients) do
    assert(client:send(("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):format(path)))
  end
  for i, client in ipairs(clients) do
    local body = assert(client:receive("*a")):match("\r\n\r\n.-({.-})")
    answers[i] = cjson.decode(body)
    pids[answers[i].pid] = true
    client:close()
  end
  local workers = 0
  for _ in pairs(pids) do
    workers = workers + 1
  end
  return answers, workers
end

describe("the token set of all workers", function()
  local box, server, port

  setup(function()
    box = sandbox.start()
    port = peers.unused_port()
    server = openresty.start {
      workers = WORKERS, http = HTTP:format(cjson.encode(box:client_options()), port),
    }
  end)

  teardown(function()
    openresty.stop_all()
    box:stop()
  end)

  local function token_calls()
    local count = 0
    for _, request in ipairs(box:control("GET", "/_sandbox/ledger").requests) do
      count = count + (request.operation == "auth.token" and 1 or 0)
    end
    return count
  end

  local function expect_one_renewal(change)
    local before = token_calls()
    change()
    local answers, workers = send_at_once(port, "/events", REQUESTS)
    for _, answer in ipairs(answers) do
      assert.is_true(answer.ok, answer.err)
    end
    assert.is_true(workers > 1, "the requests met one worker only")
    assert.equal(1, token_calls() - before)
  end

  -- What the store holds, as if it had been issued an hour ago and ended in so many seconds. As a later set than the
  -- workers know it is believed.
  local function move_end(seconds)
    server:run([[
      local store = require("paciolan").store.shdict("tokens")
      local pair = store:list("paciolan/token/")[1]
      local set = require("cjson").decode(pair[2])
      set.expiration, set.generation, set.issued_at_ms = ..., set.generation + 1, (os.time() - 3600) * 1000
      assert(store:put(pair[1], require("cjson").encode(set)))
    ]], os.date("!%Y-%m-%dT%H:%M:%S.000000000Z", os.time() + seconds))
  end

  local function stored_token()
    return server:run([[
      local store = require("paciolan").store.shdict("tokens")
      return require("cjson").decode(store:list("paciolan/token/")[1][2]).accessToken
    ]])
  end

  it("is bought once with the authorization code", function()
    expect_one_renewal(function() end)
  end)

  it("is renewed once when it has ended", function()
    expect_one_renewal(function() move_end(-60) end)
  end)

  it("is renewed once when the service revoked it", function()
    expect_one_renewal(function() box:control("POST", "/_sandbox/tokens/revoke") end)
  end)

  it("is renewed early without anybody waiting for it", function()
    local before, old = token_calls(), stored_token()
    move_end(150)
    -- The service takes its time with the token call, and with nothing else.
    box:control("POST", "/_sandbox/faults", { fault = "delay=500", operation = "auth.token" })
    for _, answer in ipairs(send_at_once(port, "/events", 20)) do
      assert.is_true(answer.ok, answer.err)
    end
    assert.equal(old, stored_token())
    for _ = 1, 200 do
      if stored_token() ~= old then
        break
      end
      socket.sleep(0.02)
    end
    assert.are_not.equal(old, stored_token())
    assert.equal(1, token_calls() - before)
    assert.equal("", server:errors())
  end)
end)
