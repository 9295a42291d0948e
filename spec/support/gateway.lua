--- nginx with resty.paciolan in it, for specs.
--
--     local server = gateway.start {
--       setup = [[local given = ... return { dict = "paciolan", link = given.link }]],
--       given = { link = box:client_options() }, server = "location /x { … }",
--     }
--     gateway.stop_all()                               -- in a teardown
--
-- `/messages` and `/callback/…` receive, `/metrics` tells the metrics, and everything goes into the dict `paciolan`.
-- What handlers have to remember goes into the dict `notes`: a setup that begins with `gateway.NOTES` has a function
-- `note(name, text)`, and the spec reads it by `gateway.notes(server, name)`.

local cjson = require("cjson").new()
local files = require("support.files")
local folder = require("support.folder")
local openresty = require("support.openresty")

local gateway = {}

local INIT = [[
  lua_shared_dict paciolan %s;
  lua_shared_dict notes 4m;
  init_by_lua_block {
    local files, place = require("support.files"), "%s"
    local given = require("cjson").new().decode(files.read(place .. "/given"))
    require("resty.paciolan").setup(assert(loadstring(files.read(place .. "/setup"), "=setup"))(given))
  }
]]

local LOCATIONS = [[
  client_max_body_size 4m;
  client_body_buffer_size 1k;
  underscores_in_headers on;
  location /messages { content_by_lua_block { require("resty.paciolan").receive() } }
  location /callback/ { content_by_lua_block { require("resty.paciolan").receive() } }
  location = /metrics { content_by_lua_block { require("resty.paciolan").metrics() } }
]]

-- Setup and arguments go into files, which nginx reads whenever it reads its configuration.
local function write_setup(options)
  local place = folder.make()
  files.write(place .. "/setup", options.setup)
  files.write(place .. "/given", cjson.encode(options.given or {}))
  return place
end

--- Changes what the next reload gives to the setup.
-- @tparam table server
-- @tparam table given
function gateway.give(server, given)
  files.write(server.place .. "/given", cjson.encode(given))
end

--- Starts one.
-- @tparam table options `setup`: a chunk that gets `given` and returns the options; `given`: anything that JSON can
-- carry; `dict_size`; the others as of `support.openresty`
-- @treturn table the server
function gateway.start(options)
  local all, place = {}, write_setup(options)
  for name, value in pairs(options) do
    all[name] = value
  end
  all.setup, all.given, all.dict_size = nil, nil, nil
  all.http = INIT:format(options.dict_size or "2m", place) .. (options.http or "")
  all.server = LOCATIONS .. (options.server or "")
  local server = openresty.start(all)
  server.place = place
  return server
end

--- What was noted under a name.
-- @tparam table server
-- @tparam string name
-- @treturn table list of texts
function gateway.notes(server, name)
  return server:run([[
    local dict, list, name = ngx.shared.notes, {}, ...
    for i = 1, dict:llen(name) do
      list[i] = dict:lpop(name)
      dict:rpush(name, list[i])
    end
    return list
  ]], name)
end

--- Begins a chunk that has `note(name, text)`.
gateway.NOTES = "local function note(name, text) ngx.shared.notes:rpush(name, text) return true end "

--- The value of a series of the metrics, 0 where it is not there.
-- @tparam table server
-- @tparam string series as it is written
-- @treturn number
function gateway.metric(server, series)
  local _, text = server:get("/metrics")
  local start, finish = ("\n" .. text):find("\n" .. series .. " ", 1, true)
  return start and tonumber(text:match("^%S+", finish)) or 0
end

--- Ends everything that was started, and removes its files.
function gateway.stop_all()
  openresty.stop_all()
  folder.remove_all()
end

return gateway
