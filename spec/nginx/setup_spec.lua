--- resty.paciolan.setup: what stops nginx from starting, and what a worker makes of the options.
local cjson = require("cjson").new()
local files = require("support.files")
local folder = require("support.folder")
local gateway = require("support.gateway")
local market = require("support.market")
local openresty = require("support.openresty")
local program = require("support.program")

local CONFIGURATION = openresty.BEGINNING .. [[
pid "@FOLDER@/pid";
@MAIN@
events { }
http {
  access_log off;
]] .. openresty.PLACES .. [[
  lua_shared_dict paciolan 1m;
  init_by_lua_block { @INIT@ }
}
]]

-- Starts nginx with this in init_by_lua_block, which always ends in an error, and returns what it says. `nginx -t`
-- would not run it.
local function start(init, options)
  options = options or {}
  local values, place = openresty.paths(), folder.make()
  values.FOLDER, values.INIT, values.MAIN = place, init .. ' error("all is right")', options.main or ""
  files.write(place .. "/configuration", (CONFIGURATION:gsub("@(%u+)@", values)))
  local words = program.words(openresty.words(options.environment, place))
  assert.equal(1, (program.run("env -u PACIOLAN_BASE_URL " .. words)))
  return files.read(place .. "/errors")
end

local LINK = { base_url = "http://127.0.0.1:1", application_id = "com.example.app", api_key = "the-key",
  channel_code = "channel", user_agent = "Spec/1.0.0", auth = { code = "the-code" } }
local TOPIC = "arn:aws:sns:us-west-2:123456789012:seats"

-- Options as Lua, and what nginx says of them; nil where they are right.
local CASES = {
  { "nil", "setup takes a table, not nil" },
  { "{ dict = 1, link = link }", "dict must be a string that is not empty" },
  { "{ dictionary = 'paciolan', link = link }", "unknown option dictionary; known are dict, link, metrics, receiver" },
  { "{ link = link }", "dict must name a lua_shared_dict" },
  { "{ dict = 'others', link = link }", "dict: nginx.conf has no such dictionary; add lua_shared_dict others 10m;" },
  { "{ dict = 'paciolan', link = link, metrics = 'yes' }", "metrics must be a boolean" },
  { "{ dict = 'paciolan', link = 'file' }", 'link must be "env" or a table of the options of paciolan.new' },
  { "{ dict = 'paciolan' }", "link: not set: PACIOLAN_BASE_URL" },
  { "{ dict = 'paciolan', link = 'env', receiver = receiver }", "link: not set: PACIOLAN_BASE_URL" },
  { "{ dict = 'paciolan', link = with(link, 'api_key', nil) }", "api_key is required" },
  { "{ dict = 'paciolan', link = with(link, 'retry', 1) }", "unknown option retry" },
  { "{ dict = 'paciolan', link = with(link, 'base_url', 'http://example.com') }", "base_url" },
  { "{ dict = 'paciolan', link = with(link, 'ca_file', '/dev/null') }", "lua_ssl_trusted_certificate" },
  { "{ dict = 'paciolan', link = with(link, 'store', {}) }", "store must be a store with get" },
  { "{ dict = 'paciolan', link = with(link, 'transport', {}) }", "transport must be a transport with send" },
  { "{ dict = 'paciolan', link = with(link, 'on_event', 1) }", "on_event must be a function" },
  { "{ dict = 'paciolan', receiver = with(receiver, 'topics', nil) }", "paciolan.receiver: topics must name" },
  { "{ dict = 'paciolan', receiver = with(receiver, 'on_seats', print) }", "unknown option on_seats" },
  { "{ dict = 'paciolan', receiver = with(receiver, 'store', 1) }", "store must be a store with get" },
  { "{ dict = 'paciolan', receiver = with(receiver, 'transport', 1) }", "transport must be a transport with send" },
  { "{ metrics = false, link = with(link, 'store', function() end) }" },
  { "{ dict = 'paciolan', link = with(link, 'transport', function() end), receiver = receiver }",
    "it was called before" },
}

local TRY = [[
  local files, cjson = require("support.files"), require("cjson").new()
  local place = "@PLACE@"
  local given, told = cjson.decode(files.read(place .. "/given")), {}
  local function with(options, name, value)
    local copy = {}
    for key, old in pairs(options) do copy[key] = old end
    copy[name] = value
    return copy
  end
  local receiver = { topics = { given.topic }, on_seat = function() return true end }
  for i, source in ipairs(given.cases) do
    local options = assert(loadstring("local link, receiver, with = ... return " .. source))(given.link, receiver, with)
    local ok, problem = pcall(require("resty.paciolan").setup, options)
    told[i] = ok and "right" or problem
  end
  files.write(place .. "/told", cjson.encode(told))
]]

describe("resty.paciolan.setup", function()
  teardown(folder.remove_all)

  it("names what is wrong with the options, and accepts what is right", function()
    local place, sources = folder.make(), {}
    for i, case in ipairs(CASES) do
      sources[i] = case[1]
    end
    files.write(place .. "/given", cjson.encode { cases = sources, link = LINK, topic = TOPIC })
    assert.matches("all is right", start((TRY:gsub("@PLACE@", place))))
    local told = cjson.decode(files.read(place .. "/told"))
    for i, case in ipairs(CASES) do
      if case[2] then
        assert.matches("resty%.paciolan%.setup: ", told[i], case[1])
        assert.matches(case[2], (told[i]:gsub("^.*resty%.paciolan%.setup", "setup")), case[1])
        assert.is_nil(told[i]:find("the-key", 1, true) or told[i]:find("the-code", 1, true), case[1])
      else
        assert.equal("right", told[i], case[1])
      end
    end
  end)

  it("keeps nginx from starting, with the line of the configuration", function()
    local text = start([[require("resty.paciolan").setup { dict = "absent", link = {} }]])
    assert.matches("init_by_lua%([^)]*%):%d+: resty%.paciolan%.setup: dict: nginx%.conf has no such dictionary", text)
  end)

  it("reads the environment that nginx.conf hands on", function()
    local init = [[require("resty.paciolan").setup { dict = "paciolan", link = "env" }]]
    local main, environment = {}, { PACIOLAN_BASE_URL = LINK.base_url, PACIOLAN_APPLICATION_ID = "com.example.app",
      PACIOLAN_API_KEY = "the-key", PACIOLAN_CHANNEL_CODE = "channel" }
    for name in pairs(environment) do
      main[#main + 1] = "env " .. name .. ";"
    end
    main = table.concat(main, " ") .. " env PACIOLAN_STORE;"
    local options = { main = main, environment = environment }
    assert.matches("all is right", start(init, options))
    environment.PACIOLAN_STORE = "nowhere"
    assert.matches("PACIOLAN_STORE: a store is memory", start(init, options))
    environment.PACIOLAN_STORE = "memory"
    assert.matches("all is right", start(init, options))
    environment.PACIOLAN_API_KEY = ""
    assert.matches("not set: PACIOLAN_API_KEY", start(init, options))
  end)
end)

-- Each location tells something of the worker.
local LOCATIONS = [[
  location = /events { content_by_lua_block {
    local link = require("resty.paciolan").link()
    local events, err = link.catalog:events()
    if not events then ngx.status = 500 end
    ngx.print(events and type(events) or tostring(err))
  } }
]]

local SETUP = gateway.NOTES .. [[
  local given = ...
  local link = given.link
  link.store = function() note("stores", ngx.get_phase()) return require("paciolan").store.shdict "paciolan" end
  link.transport = function()
    note("transports", ngx.get_phase())
    return require("paciolan.transport").default { timeout_ms = 5000 }
  end
  link.on_event = function(event) note("events", event.type) error("a hook that fails") end
  local ok, problem = pcall(require("resty.paciolan").link)
  note("before", problem)
  return { dict = "paciolan", link = link }
]]

describe("resty.paciolan in a worker", function()
  local place, server

  setup(function()
    place = market.open()
    server = gateway.start { setup = SETUP, given = { link = place.box:client_options() }, server = LOCATIONS }
  end)
  teardown(function()
    gateway.stop_all()
    place:close()
  end)

  it("makes the link by its first use, once, and tells the hook of the application", function()
    assert.same({ {}, {} }, { gateway.notes(server, "stores"), gateway.notes(server, "transports") })
    for _ = 1, 3 do
      local status, body = server:get("/events")
      assert.same({ 200, "table" }, { status, body }, server:errors())
    end
    assert.same({ { "content" }, { "content" } },
      { gateway.notes(server, "stores"), gateway.notes(server, "transports") })
    local seen = {}
    for _, name in ipairs(gateway.notes(server, "events")) do
      seen[name] = (seen[name] or 0) + 1
    end
    assert.same({ request = 4, response = 4, rotation = 1, call = 4 }, seen)
  end)

  it("has no link before setup, and no receiver without its options", function()
    assert.matches("call setup in init_by_lua_block first", gateway.notes(server, "before")[1])
    assert.error_matches(function() server:run([[require("resty.paciolan").receiver()]]) end, "was given no receiver")
    assert.error_matches(function() server:run([[require("resty.paciolan").setup {}]]) end,
      "call it in init_by_lua_block")
    assert.equal(500, (server:get("/messages")))
  end)

  it("has no link where it only receives", function()
    local receives = gateway.start { given = { topic = TOPIC }, setup = [[
      local given = ...
      return { dict = "paciolan", metrics = false,
        receiver = { topics = { given.topic }, on_seat = function() return true end } }
    ]] }
    assert.error_matches(function() receives:run([[require("resty.paciolan").link()]]) end, "was given no link")
    assert.equal(405, (receives:get("/messages")))
    assert.equal("paciolan.receiver (open)", receives:run([[return tostring(require("resty.paciolan").receiver())]]))
    local status, body = receives:get("/metrics")
    assert.same({ 404, "metrics are switched off\n" }, { status, body })
    receives:stop()
  end)
end)
