--- A link as such: its settings, what its calls carry, the two shapes of what the documents show two ways, its end, and
-- the way from the environment. Against the sandbox over sockets.

local cjson = require("cjson").new()
local market = require("support.market")
local paciolan = require("paciolan")
local program = require("support.program")

describe("a link", function()
  local place, link

  before_each(function()
    place = market.open()
    link = place.link
  end)

  after_each(function()
    place:close()
    program.stop_all()
  end)

  describe("shapes", function()
    -- Each switch in each position: what goes out under it is understood by the sandbox, which takes all of them.
    local uses = {
      complete_order = function(client)
        local tokens = place:tokens(1)
        assert(client.tickets:lock(market.lock_payload(tokens, "L-1")))
        return client.orders:complete(market.order_payload(tokens, "L-1", tokens[1]))
      end,
      seller_contact = function(client)
        local payload = market.lock_payload(place:tokens(1), "L-1")
        payload.source, payload.seller = "BROKER", market.seller()
        return client.tickets:lock(payload)
      end,
      verify = function(client)
        return client.tickets:verify { tickets = { { tokens = place:tokens(1) } } }
      end,
      transfer_v1 = function(client)
        local _, seats = place:tokens(1)
        return client.transfers:initiate(market.seats_payload(seats), { version = "v1", distributor_code = "AMTX" })
      end,
      callback_url = function(client)
        local _, seats = place:tokens(1)
        local payload = market.seats_payload(seats)
        payload.asyncCallbackUrl = "https://callback.example/x"
        return client.transfers:initiate(payload, { distributor_code = "AMTX" })
      end,
      accept_recipient = function(client)
        local _, seats = place:tokens(1)
        local offer = assert(client.transfers:initiate(market.seats_payload(seats), { distributor_code = "AMTX" }))
        return client.transfers:accept({ transferId = offer.transferId, Recipient = market.RECIPIENT },
          { distributor_code = "AMTX" })
      end,
      transfer_items = function(client)
        local tokens = place:tokens(1)
        local order = place:sell(tokens, tokens[1])
        local buyer = order.offers[1].event.seats[1].ownerId
        return client.transfers:initiate(market.items_payload(buyer, tokens[1], tokens))
      end,
    }
    uses.sold_for = uses.transfer_v1

    it("are all tried here", function()
      for name in pairs(paciolan.shapes()) do
        assert.is_function(uses[name], name)
      end
    end)

    for name, row in pairs(paciolan.shapes()) do
      for _, choice in ipairs(row.choices) do
        it(("%s = %s is understood by the sandbox"):format(name, choice), function()
          local client = place:client { shapes = { [name] = choice }, store = paciolan.store.memory(),
            auth = { code = place.box:new_auth_code() } }
          local result, err = uses[name](client)
          assert.is_nil(err, tostring(err))
          assert.is_table(result)
        end)
      end
    end
  end)

  describe("its calls", function()
    it("carry a Request-ID given by the caller", function()
      local id = "0c9d8f6e-2f5a-4b0a-9d5e-0123456789ab"
      local _, _, response = link.catalog:events({}, { request_id = id })
      assert.equal(id, response.request_id)
      assert.equal(id, response.headers["request-id"])
      local seen = place:requests("catalog.events")
      assert.equal(1, #seen)
      assert.equal(id, seen[1].requestId)
    end)

    it("carry a Request-ID of their own otherwise, another one each", function()
      local _, _, first = link.catalog:events()
      local _, _, second = link.catalog:events()
      assert.are_not.equal(first.request_id, second.request_id)
      local seen = place:requests("catalog.events")
      assert.equal(first.request_id, seen[1].requestId)
      assert.equal(second.request_id, seen[2].requestId)
    end)

    it("read compressed answers", function()
      local _, _, response = link.catalog:events()
      assert.equal("gzip", response.headers["content-encoding"])
      local listing = assert(link.listings:get("A3qnemZ"))
      assert.equal("A3qnemZ", listing[1].listingId)
    end)

    it("go through whatever transport is given, with what the contract demands of one", function()
      local seen = {}
      local transport = {
        send = function(_, request)
          seen[#seen + 1] = request
          return { status = 200, headers = {}, body = '{"accessToken":"a","expiration":"2099-01-01T00:00:00Z"}',
            elapsed_ms = 1 }
        end,
        close = function(self) self.is_closed = true end,
      }
      local client = place:client { transport = transport, base_url = place.box.base_url .. "/" }
      assert(client.tickets:unlock { tokens = { "T" } })
      assert.equal(place.box.base_url .. "/v1/auth/token", seen[1].url)
      assert.is_true(seen[1].single_use)
      assert.equal(place.box.base_url .. "/v1/tickets/unlock", seen[2].url)
      assert.equal("PUT", seen[2].method)
      assert.is_false(seen[2].single_use)
      assert.same({ tokens = { "T" } }, cjson.decode(seen[2].body))
      client:close()
      assert.is_true(transport.is_closed)
    end)

    it("use the methods and paths that the caller knows better", function()
      local client = place:client {
        operations = { ["tickets.verify"] = { method = "PUT" }, ["catalog.events"] = { path = "/v1/other/events" } },
      }
      local _, err = client.tickets:verify { tickets = { { tokens = { "T" } } } }
      assert.equal(405, err.status)
      _, err = client.catalog:events()
      assert.equal(404, err.status)
    end)

    it("tell the hook of everything and of no secret", function()
      local events = {}
      local client = place:client { store = paciolan.store.memory(), auth = { code = place.box:new_auth_code() },
        on_event = function(event) events[#events + 1] = event end }
      place.box:control("POST", "/_sandbox/tokens/expire")
      assert(client.catalog:events())
      place.box:control("POST", "/_sandbox/tokens/expire")
      assert(client.catalog:events())
      local kinds, text = {}, cjson.encode(events)
      for _, event in ipairs(events) do
        kinds[event.type] = true
      end
      assert.is_true(kinds.request and kinds.response and kinds.rotation)
      local set = client.auth:token()
      for _, secret in ipairs { set.accessToken, set.refreshToken, place.box.api_key } do
        assert.is_nil(text:find(secret, 1, true))
      end
    end)

    it("survive a hook that raises", function()
      local client = place:client { on_event = function() error("hook") end }
      assert(client.catalog:events())
    end)
  end)

  describe("as an object", function()
    it("closes, twice if need be, and then refuses to work", function()
      link:close()
      link:close()
      assert.has_error(function() link.catalog:events() end)
      assert.has_error(function() link.auth:token() end)
      assert.truthy(tostring(link):find("closed", 1, true))
    end)

    it("leaves a store alone that is not its own", function()
      local store = paciolan.store.memory()
      local other = place:client { store = store }
      assert(other.catalog:events())
      other:close()
      assert.equal(1, #store:list("paciolan/token/"))
    end)

    it("shares its token with the others of one store", function()
      local store = paciolan.store.memory()
      local first, second = place:client { store = store }, place:client { store = store }
      assert(first.catalog:events())
      assert(second.catalog:events())
      assert.equal(first.auth:token().accessToken, second.auth:token().accessToken)
      assert.equal(1, #place:requests("auth.token"))
    end)

    it("shows where it goes and nothing else", function()
      local text = tostring(link) .. tostring(link.tickets) .. tostring(link.auth)
      assert.truthy(text:find(link._config.base_url, 1, true))
      assert.is_nil(text:find(place.box.api_key, 1, true))
      assert.is_nil(text:find(place.box.auth_code, 1, true))
    end)

    -- Misuse raises, and the message points at the line that is wrong, here.
    local HERE = "link_spec%.lua:%d+: "
    local wrong = {
      { "an unknown option", "unknown option colour",
        function(box) paciolan.new(box:client_options { colour = 1 }) end },
      { "a wrong type", "retries must be", function(box) paciolan.new(box:client_options { retries = "2" }) end },
      { "a broken number of milliseconds", "timeout_ms must be",
        function(box) paciolan.new(box:client_options { timeout_ms = 0.5 }) end },
      { "a base URL without TLS", "base_url",
        function(box) paciolan.new(box:client_options { base_url = "http://link.example" }) end },
      { "an unknown way to log in", "unknown option token",
        function(box) paciolan.new(box:client_options { auth = { token = "x" } }) end },
      { "an unknown shape", "shapes",
        function(box) paciolan.new(box:client_options { shapes = { verify = "round" } }) end },
      { "an unknown operation", "no operation",
        function(box) paciolan.new(box:client_options { operations = { ["tickets.eat"] = {} } }) end },
      { "an unknown call option", "unknown option colour", function() link.catalog:events({}, { colour = 1 }) end },
      { "a Request-ID that is none", "request_id", function() link.catalog:events({}, { request_id = "a1" }) end },
      { "a header that is the library's", "authorization",
        function() link.catalog:events({}, { headers = { authorization = "x" } }) end },
      { "a header with a line end", "printable",
        function() link.catalog:events({}, { headers = { ["X-A"] = "a\r\nb" } }) end },
      { "a version that does not exist", "version", function() link.transfers:initiate({}, { version = "v3" }) end },
      { "a distributor where none is taken", "distributor_code",
        function() link.tickets:unlock({ tokens = { "T" } }, { distributor_code = "AMTX" }) end },
      { "a dot instead of a colon", "colon", function() link.tickets.unlock { tokens = { "T" } } end },
    }
    for _, row in ipairs(wrong) do
      it("raises for " .. row[1], function()
        local ok, message = pcall(row[3], place.box)
        assert.is_false(ok)
        assert.truthy(message:find(row[2], 1, true), message)
        assert.truthy(message:find(HERE), message)
      end)
    end
  end)

  describe("from_env", function()
    -- Reads the settings from its environment, as any script of a user would.
    local SCRIPT = [[
      local paciolan = require "paciolan"
      local link = paciolan.from_env()
      local events, err = link.catalog:events()
      print(events and #events, err, link)
      link:close()
    ]]

    it("takes what the sandbox prints", function()
      local served = program.start("env " .. program.environment() .. " bin/paciolan sandbox --port 0")
      served:wait_for("more: curl")
      local exports = {}
      for line in served:output():gmatch("[^\n]+") do
        exports[#exports + 1] = line:match("^%s*(export PACIOLAN_%u[%u_]*='[^']*')$")
      end
      assert.equal(7, #exports)
      local code, output, problems = program.run(table.concat(exports, "; ") .. "; env " .. program.environment()
        .. " " .. program.words { program.lua, "-e", SCRIPT })
      assert.equal(0, code, problems)
      assert.truthy(output:find("^3%s+nil%s+paciolan%.client %(http://127%.0%.0%.1:%d+%)"), output)
      assert.equal(0, (served:stop()))
    end)

    local function run_with(variables, script)
      return program.run("env -u PACIOLAN_BASE_URL -u PACIOLAN_APPLICATION_ID -u PACIOLAN_API_KEY"
        .. " -u PACIOLAN_CHANNEL_CODE " .. program.environment(variables) .. " "
        .. program.words { program.lua, "-e", script or SCRIPT })
    end

    it("names every variable that is missing, and no value", function()
      local code, _, problems = run_with { PACIOLAN_API_KEY = "SECRET-KEY", PACIOLAN_CHANNEL_CODE = "" }
      assert.are_not.equal(0, code)
      for _, name in ipairs { "PACIOLAN_BASE_URL", "PACIOLAN_APPLICATION_ID", "PACIOLAN_CHANNEL_CODE" } do
        assert.truthy(problems:find(name, 1, true), problems)
      end
      assert.is_nil(problems:find("PACIOLAN_API_KEY", 1, true))
      assert.is_nil(problems:find("SECRET-KEY", 1, true))
    end)

    it("names a store that it cannot read by its variable, not by its value", function()
      for _, text in ipairs { "postgres://user:SECRET-PASSWORD@host", "redis://user:SECRET-PASSWORD@host:x",
        "SECRET-PASSWORD", "sqlite:" } do
        local variables = { PACIOLAN_STORE = text }
        for _, name in ipairs { "BASE_URL", "APPLICATION_ID", "API_KEY", "CHANNEL_CODE" } do
          variables["PACIOLAN_" .. name] = "x"
        end
        local code, _, problems = run_with(variables)
        assert.are_not.equal(0, code)
        assert.truthy(problems:find("PACIOLAN_STORE", 1, true), problems)
        assert.is_nil(problems:find("SECRET-PASSWORD", 1, true))
      end
    end)

    it("opens the store that PACIOLAN_STORE names, and closes it with the link", function()
      local path = os.tmpname()
      os.remove(path)
      local variables = { PACIOLAN_STORE = "sqlite:" .. path, PACIOLAN_BASE_URL = place.box.base_url,
        PACIOLAN_APPLICATION_ID = place.box.application_id, PACIOLAN_API_KEY = place.box.api_key,
        PACIOLAN_CHANNEL_CODE = place.box.channel_code, PACIOLAN_AUTH_CODE = place.box:new_auth_code() }
      for _ = 1, 2 do -- the second one finds what the first one stored: its code is spent
        local code, output, problems = run_with(variables, [[
          local link = require("paciolan").from_env()
          local store = link._config.store
          assert(link.auth:token())
          link:close()
          print(tostring(store), pcall(store.get, store, "x"))]])
        assert.equal(0, code, problems)
        assert.truthy(output:find("^paciolan%.store%.sqlite %(closed%)%s+false"), output)
      end
      os.execute(program.words { "rm", "-f", path, path .. "-wal", path .. "-shm" })
    end)

    it("lets the program overrule the environment", function()
      local client = paciolan.from_env(place.box:client_options())
      assert(client.catalog:events())
      client:close()
      assert.equal(1, #place:requests("catalog.events"))
    end)
  end)
end)
