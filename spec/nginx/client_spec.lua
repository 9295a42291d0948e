--- The client inside nginx, beyond what its own specs show there: which transport it takes, what libcurl's refuses, and
-- calls side by side.

local cjson = require("cjson").new()
local openresty = require("support.openresty")
local sandbox = require("paciolan.sandbox.child")

local HTTP = [[
  lua_shared_dict notes 64k;
  init_by_lua_block {
    function try_curl(phase, options)
      local transport = require("paciolan.transport.curl").new(options)
      local ok, problem = pcall(transport.send, transport, { method = "GET", url = %q, headers = {} })
      ngx.shared.notes:set(phase, ok and "sent" or tostring(problem))
    end
    try_curl("init")
    assert(require("paciolan.transport.curl"))
  }
  init_worker_by_lua_block {
    try_curl("init_worker")
    ngx.timer.at(0, function() try_curl("timer") end)
  }
]]

local SERVER = [[
  location = /phases {
    rewrite_by_lua_block { try_curl("rewrite") }
    access_by_lua_block { try_curl("access") }
    content_by_lua_block { try_curl("content") try_curl("allowed", { allow_blocking = true }) ngx.say("said") }
    header_filter_by_lua_block { try_curl("header_filter") }
    body_filter_by_lua_block { try_curl("body_filter") }
    log_by_lua_block { try_curl("log") }
  }
]]

-- The beginning of every chunk that makes a client; `options` are those of the sandbox, and more.
local LINK = [[
  local options, more = ...
  local paciolan = require("paciolan")
  for name, value in pairs(more or {}) do options[name] = value end
]]

describe("in nginx", function()
  local box, server

  setup(function()
    box = sandbox.start()
    server = openresty.start { http = HTTP:format(box.base_url .. "/_sandbox/world"), server = SERVER }
  end)

  teardown(function()
    openresty.stop_all()
    box:stop()
  end)

  local function options(more)
    return box:client_options(more or { auth = { code = box:new_auth_code() } })
  end

  describe("the curl transport", function()
    local function note(phase)
      for _ = 1, 200 do
        local text = server:run("return ngx.shared.notes:get(...)", phase)
        if text then
          return text
        end
        server:run("ngx.sleep(0.01)")
      end
    end

    setup(function()
      assert.equal(200, (server:get("/phases")))
    end)

    for _, phase in ipairs { "rewrite", "access", "content", "header_filter", "body_filter", "log", "timer" } do
      it("is refused where it would block a worker, and says what to use: " .. phase, function()
        local text = note(phase)
        assert.truthy(text:find("would block this nginx worker", 1, true), text)
        assert.truthy(text:find("paciolan.transport.nginx", 1, true), text)
      end)
    end

    for _, phase in ipairs { "init", "init_worker" } do
      it("works while nginx starts: " .. phase, function()
        assert.equal("sent", note(phase))
      end)
    end

    it("works with allow_blocking", function()
      assert.equal("sent", note("allowed"))
    end)
  end)

  describe("a client that names no transport", function()
    it("calls over cosockets", function()
      local kind, events = server:run(LINK .. [[
        local link = paciolan.new(options)
        return tostring(link._config.transport), #assert(link.catalog:events())
      ]], options())
      assert.truthy(kind:find("paciolan.transport.nginx", 1, true), kind)
      assert.is_true(events > 0)
    end)

    local elsewhere = { ca_file = "lua_ssl_trusted_certificate", proxy = "cosockets of nginx go through no proxy" }
    for name, rule in pairs(elsewhere) do
      it("is told what to do instead of " .. name, function()
        local ok, problem = server:run(LINK .. [[
          options.ca_file = options.ca_file and "/dev/null"
          local ok, problem = pcall(paciolan.new, options)
          return ok, tostring(problem)
        ]], options(), { [name] = "x" })
        assert.is_false(ok)
        assert.truthy(problem:find(rule, 1, true), problem)
      end)
    end

    it("may be made while nginx starts, and used by a request", function()
      local other = openresty.start {
        http = ("init_by_lua_block { link = require('paciolan').new(require('cjson').decode(%q)) }"):format(
          cjson.encode(options())),
      }
      assert.is_true(other:run("return #assert(link.catalog:events()) > 0"))
      assert.equal("", other:errors())
    end)

    it("says where its calls can be made when it is used while nginx starts", function()
      local other = openresty.start {
        http = ([[
          lua_shared_dict notes 64k;
          init_worker_by_lua_block {
            local link = require("paciolan").new(require("cjson").decode(%q))
            local events, err = link.catalog:events()
            ngx.shared.notes:set("told", tostring(err))
          }
        ]]):format(cjson.encode(options())),
      }
      local told = other:run("return ngx.shared.notes:get('told')") or other:errors()
      assert.truthy(told:find("init_worker", 1, true), told)
      assert.truthy(told:find("ngx.timer.at", 1, true), told)
    end)
  end)

  describe("calls side by side", function()
    it("go on while others wait, as many as the limit allows, and keep their order", function()
      local result = server:run(LINK .. [[
        local tasks, under_way, most = {}, 0, 0
        for i = 1, 12 do
          tasks[i] = function()
            under_way = under_way + 1
            most = math.max(most, under_way)
            ngx.sleep(0.02)
            under_way = under_way - 1
            if i == 3 then error(require("paciolan.errors").store("third")) end
            return i, nil, "more"
          end
        end
        local results = paciolan.concurrent(tasks, { limit = 5 })
        return { most = most, first = results[1], last = results[12], third = tostring(results[3][2]) }
      ]], options())
      assert.equal(5, result.most)
      assert.equal(1, result.first[1])
      assert.equal(12, result.last[1])
      assert.truthy(result.third:find("third", 1, true))
    end)

    it("end with what a task raised, when all that run have ended", function()
      local ok, problem, ended = server:run(LINK .. [[
        local ended = 0
        local function waits() ngx.sleep(0.02) ended = ended + 1 end
        local ok, problem = pcall(paciolan.concurrent, { waits, function() error("broken") end, waits, waits },
          { limit = 3 })
        return ok, problem, ended
      ]], options())
      assert.is_false(ok)
      assert.truthy(problem:find("broken", 1, true))
      assert.equal(1, ended)
    end)

    it("exchange one authorization code, however many of them need the token, also under a hook that waits", function()
      local results = server:run(LINK .. [[
        options.on_event = function() ngx.sleep(0.005) end
        local link = paciolan.new(options)
        local tasks = {}
        for i = 1, 8 do
          tasks[i] = function() return link.catalog:events() end
        end
        local told = {}
        for i, result in ipairs(paciolan.concurrent(tasks)) do
          told[i] = result[1] and "good" or tostring(result[2])
        end
        return told
      ]], options())
      for _, told in ipairs(results) do
        assert.equal("good", told)
      end
    end)

    it("are ended by link:close only when a renewal has ended", function()
      local given = options()
      box:control("POST", "/_sandbox/faults", { fault = "delay=200", operation = "auth.token" })
      local stored, called = server:run(LINK .. [[
        local link = paciolan.new(options)
        local called
        ngx.thread.spawn(function() local events, err = link.catalog:events() called = err and err.kind or "good" end)
        ngx.sleep(0.05)
        link:close()
        ngx.sleep(0.1)
        return link.auth._view.text ~= nil, called
      ]], given)
      assert.is_true(stored)
      assert.truthy(called == "canceled" or called == "good", called)
    end)
  end)

  it("nothing of that stands in the error log", function()
    assert.equal("", server:errors())
  end)
end)
