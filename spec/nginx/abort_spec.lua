--- Requests that end before their work does, because the client hangs up or somebody kills their thread, while they
-- renew the token: a refresh token works once, so the new pair must be stored all the same. And an nginx that has no
-- timer for it.

local files = require("support.files")
local gateway = require("support.gateway")
local market = require("support.market")
local openresty = require("support.openresty")
local socket = require("socket")

local SETUP = [[
  local given = ...
  return { dict = "paciolan", link = given.link }
]]

local LOCATIONS = [[
  lua_check_client_abort on;
  location = /events {
    content_by_lua_block {
      local events, err = require("resty.paciolan").link().catalog:events()
      ngx.print(events and "good" or tostring(err))
    }
  }
  location = /link/v1/catalog/events {
    access_by_lua_block { require("resty.paciolan").authorize() }
    rewrite ^/link(/.*)$ $1 break;
    proxy_pass @SERVICE@;
  }
  location = /killed {
    content_by_lua_block {
      local link = require("resty.paciolan").link()
      local thread = ngx.thread.spawn(function() return link.catalog:events() end)
      ngx.thread.wait(thread, ngx.thread.spawn(function() ngx.sleep(0.1) end))
      ngx.print(coroutine.status(thread))
      assert(ngx.thread.kill(thread))
    }
  }
]]

-- A link whose set was refused, so that the next call renews it, and what is stored then.
local REFUSE = [[
  local link = require("resty.paciolan").link()
  local token = assert(link.auth:token()).accessToken
  link.auth:reject(token)
  return token
]]
local STORED = [[
  local store = require("paciolan").store.shdict("paciolan")
  return require("cjson").decode(store:list("paciolan/token/")[1][2]).accessToken
]]

-- A link in an nginx that runs one timer at a time. Its set is due, or ended, when `expire(seconds)` says so. Time can
-- be moved on; it stands in the module that everything asks for it.
local FEW_TIMERS = [[
  local options = ...
  local core, cjson = require("paciolan.core"), require("cjson")
  local store, rotations = require("paciolan.store.memory").new(), 0
  options.store = store
  options.on_event = function(event) if event.type == "rotation" then rotations = rotations + 1 end end
  local link = require("paciolan").new(options)
  local function expire(seconds)
    local pair = store:list("paciolan/token/")[1]
    local set = cjson.decode(pair[2])
    set.expiration = os.date("!%Y-%m-%dT%H:%M:%S.000000000Z", os.time() + seconds)
    set.generation, set.issued_at_ms = set.generation + 1, (os.time() - 3600) * 1000
    assert(store:put(pair[1], cjson.encode(set)))
  end
  local function occupy()
    local timer = { signal = require("ngx.semaphore").new() }
    assert(ngx.timer.at(0, function()
      timer.is_running = true
      timer.signal:wait(30)
      timer.is_running = false
    end))
    while not timer.is_running do ngx.sleep(0.005) end
    return function()
      timer.signal:post()
      while timer.is_running do ngx.sleep(0.005) end
    end
  end
  assert(link.catalog:events())
]]

describe("a renewal in nginx", function()
  local place, server, few

  setup(function()
    place = market.open()
    local options = place.box:client_options { deadline_ms = 1500, timeout_ms = 1000 }
    server = gateway.start { setup = SETUP, given = { link = options },
      server = (LOCATIONS:gsub("@SERVICE@", place.box.base_url)) }
    few = openresty.start { http = "lua_max_running_timers 1;" }
  end)

  teardown(function()
    gateway.stop_all()
    place:close()
  end)

  local function token_calls()
    return #place:requests("auth.token")
  end

  local function wait_for(what)
    for _ = 1, 500 do
      if what() then
        return
      end
      socket.sleep(0.01)
    end
    error("it did not come to that", 2)
  end

  -- How many requests nginx has ended because their client was gone.
  local function hung_up()
    return select(2, files.read(server.folder .. "/access"):gsub('" 499 ', ""))
  end

  -- Sends a request and hangs up when the service has the token call and has yet to answer it.
  local function hang_up(path)
    local before, ended = token_calls(), hung_up()
    local client = assert(socket.connect("127.0.0.1", server.port))
    assert(client:send(("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"):format(path)))
    wait_for(function() return token_calls() > before end)
    client:close()
    wait_for(function() return hung_up() > ended end)
  end

  -- `interrupt` begins a renewal and ends whoever asked for it.
  local function expect_stored(interrupt)
    local refused = server:run(REFUSE)
    local before = token_calls()
    place.box:control("POST", "/_sandbox/faults", { fault = "delay=300", operation = "auth.token" })
    interrupt()
    for _ = 1, 2 do
      local status, body = server:get("/events")
      assert.same({ 200, "good" }, { status, body })
    end
    assert.equal(200, (server:get("/link/v1/catalog/events")))
    local stored = server:run(STORED)
    assert.are_not.equal(refused, stored)
    assert.equal(stored, server:run("return require('resty.paciolan').link().auth:token().accessToken"))
    assert.equal(1, token_calls() - before)
  end

  it("comes to its end when the client hangs up", function()
    expect_stored(function() hang_up("/events") end)
  end)

  it("comes to its end when the client hangs up in authorize", function()
    expect_stored(function() hang_up("/link/v1/catalog/events") end)
  end)

  it("comes to its end when the thread that asked for it is killed", function()
    expect_stored(function()
      local status, body = server:get("/killed")
      assert.same({ 200, "running" }, { status, body })
    end)
  end)

  it("is made by the caller itself where nginx has no timer left", function()
    local before = token_calls()
    local is_detached, phase, rotations = few:run(FEW_TIMERS .. [[
      local free, transport = occupy(), link._config.transport
      local detach, is_detached, phase = transport.detach, nil, nil
      function transport.detach(...)
        is_detached = detach(...)
        return is_detached
      end
      expire(-60)
      link._config.on_event = function(event)
        if event.type == "rotation" then phase = ngx.get_phase() end
        options.on_event(event)
      end
      assert(link.catalog:events())
      free()
      return is_detached, phase, rotations
    ]], place.box:client_options { auth = { code = place.box:new_auth_code() } })
    assert.same({ false, "content", 2 }, { is_detached, phase, rotations })
    assert.equal(2, token_calls() - before)
    assert.truthy(few:errors():find("lua_max_running_timers are not enough", 1, true))
  end)

  it("that can wait is tried again later when nginx had no timer for it", function()
    local before = token_calls()
    local counts = few:run(FEW_TIMERS .. [[
      local free, counts, monotonic_ms = occupy(), {}, core.monotonic_ms
      expire(150)
      assert(link.catalog:events()) -- deferred, and dropped by nginx
      free()
      ngx.sleep(0.05)
      counts[1] = rotations
      local moved_ms = 60000
      core.monotonic_ms = function() return monotonic_ms() + moved_ms end
      local ok, problem = pcall(function()
        assert(link.catalog:events())
        for _ = 1, 400 do
          if rotations == 2 then break end
          ngx.sleep(0.005)
        end
      end)
      core.monotonic_ms = monotonic_ms
      assert(ok, problem)
      counts[2] = rotations
      return counts
    ]], place.box:client_options { auth = { code = place.box:new_auth_code() } })
    assert.same({ 1, 2 }, counts)
    assert.equal(2, token_calls() - before)
  end)

  it("has no complaint of nginx itself in the error log", function()
    assert.equal("", server:errors())
  end)
end)
