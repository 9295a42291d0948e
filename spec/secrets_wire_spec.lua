--- Nothing secret or personal ever shows, over real connections and in the output of programs. The other half of
-- secrets_spec.lua.
local market = require("support.market")
local marks = require("support.marks")
local paciolan = require("paciolan")
local peers = require("support.peers")
local phases = require("paciolan.phases")
local program = require("support.program")
local sandbox = require("paciolan.sandbox")
local watching = require("support.watching")

describe("no mark shows over a real connection", function()
  local set = marks.new("wire")

  teardown(function()
    peers.stop_all()
    program.stop_all()
  end)

  it("from servers that misbehave", function()
    local watch = watching.new(set)
    local own = set:make("answer")
    local steps = {
      { status = 302, headers = { { "Location", "http://127.0.0.1:1/" .. own }, { "Set-Cookie", "s=" .. own } } },
      { status = 500, body = "<html>" .. own .. "</html>" },
      { raw = "HTTP/1.1 200 " .. own .. "\r\n" .. own .. "\r\n\r\n" }, { raw = own .. "\r\n\r\n" },
      { close = "reset" }, { declared_length = 99, body = own },
      { status = 200, body = '{"error":"' .. own .. '"}' },
    }
    for i, step in ipairs(steps) do
      local peer = peers.start { step }
      local link = paciolan.new(watching.settings(set,
        { base_url = peer.url, retries = 0, on_event = watch:hook("peer " .. i) }))
      watch:result("peer " .. i, link.transfers:history(set:make("confirmation"), { organization_id = "999" }))
      link:close()
      peer:stop()
    end
    local nobody = ("127.0.0.1:%d"):format(peers.unused_port())
    local proxied = { base_url = "https://h.example",
      proxy = ("http://u:%s@%s"):format(set:make("proxy password"), nobody) }
    if phases.nginx() then -- which knows no proxy
      proxied.base_url, proxied.proxy = "https://" .. nobody, nil
    end
    for _, more in ipairs { { base_url = "http://" .. nobody }, proxied } do
      more.retries, more.on_event = 0, watch:hook("nobody")
      local link = paciolan.new(watching.settings(set, more))
      watch:result("nobody", link.orders:status(set:make("process")))
      link:close()
    end
    watch:expect_nothing(70)
  end)

  it("from the sandbox, nor in what its command prints", function()
    local watch = watching.new(set)
    local place = market.open({ verbose = true }, { on_event = watch:hook("sandbox") })
    local tokens = place:tokens(2)
    for _, token in ipairs(tokens) do
      set:note(token, "ticket")
    end
    local held = assert(place.link.auth:token())
    set:note(held.accessToken, "access token")
    set:note(held.refreshToken, "refresh token")
    watch:text("token set", tostring(held))
    local lock = market.lock_payload(tokens, "L-1")
    lock.source, lock.seller = "INDIVIDUAL", market.seller()
    watching.mark_texts(set, "tickets.lock", lock, lock.seller, nil, "seller")
    local order = market.order_payload(tokens, "L-1", "O-1")
    watching.mark_texts(set, "orders.complete", order, order.buyer, nil, "buyer")
    local offer = market.items_payload("1", "O-1", tokens)
    for _, run in ipairs {
      function() return place.link.tickets:lock(lock) end,
      function() return place.link.tickets:lock(market.lock_payload(tokens, "L-2")) end,
      function() return place.link.orders:complete(order) end,
      function() return place.link.orders:complete(order) end,
      function() return place.link.tickets:unlock { tokens = { set:make("token") } } end,
      function()
        return place.link.tickets:verify { tickets = { { accessId = "1", barcodes = { set:make("barcode") } } } }
      end,
      function() return place.link.tickets:print { externalOrderId = "O-1", tokens = tokens } end,
      function() return place.link.transfers:initiate(offer) end,
      function() return place:client { auth = { code = set:make("code") } }.catalog:events() end,
      function() return place:client { api_key = set:make("key") }.catalog:events() end,
    } do
      watch:result("sandbox", run())
    end
    place.box:control("POST", "/_sandbox/tokens/revoke", { refresh = true })
    watch:result("sandbox", place.link.catalog:events())
    local box = place.box
    place.box = { stop = function() end }
    place:close()
    local output = box:stop()
    assert.truthy(output:find("/v1/cart/complete-order", 1, true), output)
    watch:text("what the command prints", output)
    watch:expect_nothing(30)
  end)

  it("in the output of the example", function()
    local known = marks.new("example")
    local world = sandbox.new { seed = "demo" }
    known:note(world:credentials().api_key, "api_key")
    for _, code in ipairs(world.tokens.codes) do
      known:note(code, "code")
    end
    local count = 0
    for _, seat in ipairs(world.inventory.seats) do
      known:note(seat.token, "ticket")
      known:note(seat.barcode, "barcode")
      count = count + 1
    end
    assert.is_true(count > 50)
    local watch = watching.new(known)
    local code, output, problems = program.run("env " .. program.environment() .. " timeout 120 "
      .. program.words { program.lua, "examples/first_sale.lua" })
    assert.equal(0, code, problems)
    watch:text("output", output)
    watch:text("errors", problems)
    watch:expect_nothing(2)
  end)

  it("in an error that nobody catches", function()
    local script = [[
      local paciolan = require "paciolan"
      local link = paciolan.new { base_url = "http://127.0.0.1:1", application_id = "com.mycompany.myapp",
        api_key = arg[1], channel_code = "c", user_agent = "A/1.0.0", auth = { access_token = arg[2] }, retries = 0 }
      assert(link.tickets:lock { source = arg[3], listing = { tokens = { arg[4] } } })]]
    local words = { program.lua, "-e", script, "/dev/null" }
    for i = 1, 4 do
      words[#words + 1] = set:make("argument " .. i)
    end
    local code, output, problems = program.run("env " .. program.environment() .. " " .. program.words(words))
    assert.are_not.equal(0, code)
    assert.truthy(problems:find("tickets.lock: the payload breaks the contract", 1, true), problems)
    local watch = watching.new(set)
    watch:text("output", output)
    watch:text("errors", problems)
    watch:expect_nothing(2)
  end)
end)
