--- Nothing secret or personal ever shows. Every operation is run with marked values in every place that takes a text,
-- through every class of failure, and all that comes out is searched for the marks: errors, their texts, events, raised
-- messages and what objects say of themselves. Real connections and programs are in secrets_wire_spec.lua.
local cjson = require("cjson").new()
local errors = require("paciolan.errors")
local market = require("support.market")
local marks = require("support.marks")
local paciolan = require("paciolan")
local samples = require("support.samples")
local scripted = require("support.scripted")
local watching = require("support.watching")

-- Names under which values are secret or personal beside those that the tables mark.
local AS_GOOD_AS_TICKETS = { token = true, tokens = true, barcodes = true, asyncCallbackUrl = true }

local NOT_SENT, TIMEOUT = { kind = "network", phase = "not_sent" }, { kind = "timeout", phase = "unknown" }

-- --- what is answered ------------------------------------------------------------------------------------------

-- Answers of every class, with the marks of the request and of their own wherever a service could put them.
local function answers(set, payload)
  local own = set:make("answer")
  local echo = own .. " " .. marks.everything(payload)
  local headers = { ["set-cookie"] = "s=" .. own, location = "https://h.example/" .. own, server = own,
    ["retry-after"] = own, ["www-authenticate"] = "Bearer realm=" .. own }
  local failure = { type = own, appErrorCode = own, developerMessage = echo, token = own, ownerId = own }
  local function json(status, body)
    return { status = status, headers = headers, body = cjson.encode(body) }
  end
  local function text(status, body)
    return { status = status, headers = headers, body = body }
  end
  local list = {
    json(200, { status = "COMPLETE", transactionStatus = "COMPLETE", firstName = own, listingId = own }),
    json(200, { status = "PENDING", transactionStatus = "PENDING", processId = own }),
    json(200, { status = "ERROR", transactionStatus = "ERROR", processId = own, error = failure }),
    json(200, { status = own, transactionStatus = own }), json(409, { status = "COMPLETE", error = own }),
    json(207, { success = { { token = own } }, failure = { failure } }), json(200, { failure = { failure } }),
    json(200, { error = echo }), text(200, ""), text(200, '{"status":"' .. own), text(200, "<html>" .. echo),
    text(302, ""), text(307, echo), text(500, echo), text(502, "<html>" .. echo .. "</html>"), text(408, own),
  }
  for _, status in ipairs { 400, 401, 403, 404, 409, 422, 429, 500, 503 } do
    list[#list + 1] = json(status, { error = failure, failure = { failure }, processId = own })
  end
  list[#list + 1] = json(500, { error = { type = "UNHANDLED_EXCEPTION", developerMessage = echo } })
  list[#list + 1] = json(400, { error = echo, accessToken = own, refreshToken = own })
  for _, failed in ipairs { NOT_SENT, TIMEOUT, { kind = "network", phase = "unknown" },
    { kind = "timeout", phase = "not_sent" }, { kind = "protocol", phase = "unknown" },
    { kind = "canceled", phase = "unknown" } } do
    list[#list + 1] = failed
  end
  return list
end

-- One call against one answer; a token call gets the same.
local function run_scripted(watch, where, one, steps, more)
  local settings = watching.settings(watch.set, more)
  settings.on_event, settings.transport = watch:hook(where), scripted.new(steps)
  local link = paciolan.new(settings)
  watch:result(where, watching.call(link, one.operation, one.payload, one.options))
  watch:text(where .. ", objects", tostring(link) .. tostring(link.auth) .. tostring(link.tickets)
    .. tostring(link.orders) .. tostring(settings.transport))
  link:close()
  return settings.transport
end

-- --- payloads that break the contract ---------------------------------------------------------------------------

-- Each place of a payload with each kind of wrong value. Calls `visit` with the payload changed, and mends it.
local function break_everywhere(set, root, holder, visit)
  local keys = {}
  for key in pairs(holder) do
    keys[#keys + 1] = key
  end
  local function try(key, value)
    local kept = holder[key]
    holder[key] = value
    visit(root)
    holder[key] = kept
  end
  for _, key in ipairs(keys) do
    local value = holder[key]
    for _, wrong in ipairs { { [set:make("key")] = set:make("value") }, set:make("text"), set:make("text") .. "\0",
      set:make("text") .. "\255", { set:make("item") }, 1.5, true, 0 / 0, paciolan.null, print } do
      try(key, wrong)
    end
    try(key, nil)
    if type(value) == "table" then
      if value[1] ~= nil then
        try(key, samples.repeated(value[1], 101))
      end
      break_everywhere(set, root, value, visit)
    end
  end
  try(set:make("key"), set:make("value"))
  try("tokenz", set:make("value"))
end

-- --- the proof -------------------------------------------------------------------------------------------------

describe("the search for marks", function()
  local set, mark

  before_each(function()
    set = marks.new("search")
    mark = set:make("m")
  end)

  it("finds a mark in whole and in part, plain and encoded, anywhere", function()
    local mime = require("mime")
    for _, text in ipairs { mark, "a" .. mark .. "b", mark:upper(), mark:sub(3, 10), mark:sub(-8),
      mime.b64(mark), mime.b64("user:" .. mark .. ":x"), mime.b64("us:" .. mark), mime.b64("use:" .. mark),
      (mark:gsub(".", function(c) return ("%%%02x"):format(c:byte()) end)) } do
      assert.same({ "m" }, set:found("before " .. text .. " behind"))
    end
    local halves = mark:sub(1, 7) .. " " .. mark:sub(-7)
    assert.same({}, set:found(halves .. " tickets.lock: the payload breaks the contract"))
  end)

  it("looks at keys, values, metamethods and every field that is not listed as raw", function()
    assert.same({ "m" }, set:found(marks.everything { { [mark] = 1 } }))
    assert.same({ "m" }, set:found(marks.everything(setmetatable({}, { __tostring = function() return mark end }))))
    local raw_only = { kind = "http", message = "m" }
    for name in pairs(watching.RAW) do
      raw_only[name] = mark
    end
    local watch = watching.new(set)
    watch:error("raw", errors.new(raw_only))
    assert.same({}, watch.leaks)
    for _, name in ipairs { "message", "operation", "request_id", "fields", "kind" } do
      watch = watching.new(set)
      local fields = { kind = "http", message = "m" }
      fields[name] = name == "fields" and { { path = mark, message = mark } } or mark
      watch:error("leak", errors.new(fields))
      assert.is_true(#watch.leaks > 0, name)
    end
  end)

  it("would notice a library that put a payload into a message, an event or a raised text", function()
    local one = watching.calls(set)[1]
    local watch = watching.new(set)
    local leaky = { kind = "network", phase = "not_sent", message = "cannot send " .. marks.everything(one.payload) }
    run_scripted(watch, "leaky", one, { leaky }, { retries = 0 })
    assert.is_true(#watch.leaks > 0)
    watch = watching.new(set)
    watch:hook("leaky")({ type = "request", payload = one.payload })
    assert.is_true(#watch.leaks > 0)
    watch = watching.new(set)
    assert.is_true(watch:raised("leaky", error, "no " .. mark))
    assert.is_true(#watch.leaks > 0)
  end)

  it("has marks in every place of a payload that takes a free text", function()
    local marked, operations = {}, {}
    for _, one in ipairs(watching.calls(set)) do
      assert(paciolan.validate(one.operation, one.payload, one.options), one.file or one.operation)
      operations[one.operation] = true
      for _, label in ipairs(set:found(marks.everything(one.payload))) do
        marked[label:match("[^/]*$")] = true
      end
    end
    for _, operation in ipairs(paciolan.operations()) do
      assert.is_true(operations[operation.name], operation.name)
    end
    for _, name in ipairs { "firstName", "lastName", "email", "address1", "number", "code", "refreshToken", "token" }
    do
      assert.is_true(marked[name], name)
    end
  end)
end)

describe("no mark shows", function()
  local set = marks.new("proof")
  local calls = watching.calls(set)

  for _, one in ipairs(calls) do
    it("whatever the service answers to " .. one.operation .. " " .. (one.file or ""), function()
      local watch = watching.new(set)
      for i, step in ipairs(answers(set, one.payload)) do
        run_scripted(watch, one.operation .. " answer " .. i, one, { step })
        run_scripted(watch, one.operation .. " answer " .. i .. " after silence", one, { TIMEOUT, step })
      end
      watch:expect_nothing(300)
    end)

    it("whatever is wrong with the payload of " .. one.operation .. " " .. (one.file or ""), function()
      local watch = watching.new(set)
      local link = scripted.client({ NOT_SENT }, watching.settings(set, { retries = 0 }))
      local function visit(payload)
        watch:raised("validate", function()
          local ok, err = paciolan.validate(one.operation, payload, one.options)
          watch:result("validate", ok, err)
        end)
        if one.operation ~= "auth.token" then
          watch:raised("call", function()
            watch:result("call", watching.call(link, one.operation, payload, one.options))
          end)
        end
      end
      if type(one.payload) == "table" then
        break_everywhere(set, one.payload, one.payload, visit)
      end
      for _, payload in ipairs { set:make("payload"), { set:make("payload") }, { [set:make("key")] = 1 }, 7, true,
        set:make("payload") .. "\r\n", set:make("payload") .. "\255/..", "" } do
        visit(payload)
      end
      link:close()
      watch:expect_nothing(10)
    end)
  end

  it("whatever becomes of a bulk call", function()
    local watch = watching.new(set)
    local seller = market.seller()
    local lock = { source = "BROKER", listing = { tokens = { "t" } }, seller = seller }
    watching.mark_texts(set, "tickets.lock", lock, seller, nil, "seller")
    local function many()
      local list = {}
      for i = 1, 101 do
        list[i] = set:make("token")
      end
      return list
    end
    for method, payload in pairs {
      lock_all = { source = "BROKER", listing = { externalListingId = set:make("listing"), tokens = many() },
        seller = seller },
      unlock_all = { tokens = many() }, verify_all = { tickets = { { tokens = many() } } },
      print_all = { externalOrderId = set:make("order"), tokens = many() },
    } do
      for i, step in ipairs(answers(set, payload)) do
        local where = ("%s answer %d"):format(method, i)
        local settings = watching.settings(set, { retries = 0, on_event = watch:hook(where) })
        settings.transport = scripted.new { { status = 200, body = "{}" }, step }
        local link = paciolan.new(settings)
        watch:result(where, link.tickets[method](link.tickets, payload))
        watch:raised(where, link.tickets[method], link.tickets, payload, { [set:make("option")] = set:make("value") })
        link:close()
      end
      for _, wrong in ipairs { { [set:make("key")] = set:make("value") }, { tokens = { set:make("token"), 7 } },
        { tokens = set:make("tokens") } } do
        local link = scripted.client({ NOT_SENT }, watching.settings(set))
        watch:raised(method, function() watch:result(method, link.tickets[method](link.tickets, wrong)) end)
        link:close()
      end
    end
    watch:expect_nothing(500)
  end)

  it("in what is said of a message that is none, and of tasks that fail", function()
    local watch = watching.new(set)
    local mark = set:make("message")
    for _, body in ipairs { mark, '{"' .. mark, '{"data":{"' .. mark .. '":[]}}', '{"data":{"seats":"' .. mark .. '"}}',
      '{"data":{"seats":[{"state":"' .. mark .. '"}]}}', '{"data":{"events":[{"accessId":{"' .. mark .. '":1}}]}}',
      '{"a":"' .. mark .. '","a":1}' } do
      watch:result("messages.parse", paciolan.messages.parse(body))
    end
    watch:raised("messages.parse", paciolan.messages.parse, { mark })
    watch:raised("parse_time", paciolan.parse_time, { mark })
    watch:raised("concurrent", paciolan.concurrent, { [mark] = 1 })
    watch:raised("concurrent", paciolan.concurrent, {}, { [mark] = mark })
    watch:expect_nothing(10)
  end)

  it("in the life of a token: exchanged, refreshed, refused, unusable", function()
    local watch = watching.new(set)
    local function token(more)
      local body = { accessToken = set:make("new access"), refreshToken = set:make("new refresh"),
        expiration = "2099-01-01T00:00:00.000000000Z", tokenType = "Bearer" }
      for name, value in pairs(more or {}) do
        body[name] = value
      end
      return { status = 200, body = cjson.encode(body) }
    end
    local refused = { status = 401, body = cjson.encode { error = set:make("refusal") } }
    local steps = { token(), token { accessToken = set:make("bad") .. "\r\n" },
      token { accessToken = { set:make("bad") } }, token { tokenType = "MAC" }, token { expiration = "soon" },
      refused, TIMEOUT, NOT_SENT,
      { status = 500, body = set:make("page") } }
    for i, step in ipairs(steps) do
      for j, auth in ipairs { { code = set:make("code") }, { refresh_token = set:make("refresh") },
        { access_token = set:make("access"), refresh_token = set:make("refresh") }, {} } do
        local where = ("token %d %d"):format(i, j)
        local settings = watching.settings(set, { auth = auth, on_event = watch:hook(where) })
        settings.transport = scripted.new { step, refused, step, step }
        local link = paciolan.new(settings)
        watch:result(where, link.listings:get(set:make("listing")))
        watch:result(where, link.auth:rotate())
        local set_of_tokens, err = link.auth:token()
        watch:result(where, set_of_tokens, err)
        watch:text(where, tostring(set_of_tokens))
        watch:result(where, link.listings:get(set:make("listing")))
        link:close()
      end
    end
    watch:expect_nothing(200)
  end)

  it("when a store fails, whatever it says of what it was to keep", function()
    local watch = watching.new(set)
    local failures = {
      function(_, value) return nil, "cannot keep " .. tostring(value) end,
      function(_, value) return nil, errors.store("cannot keep " .. tostring(value)) end,
      function() return nil, set:make("said by the store") end, -- without a name before it
      function(_, value) return nil, { value } end,
      function() return false end,
    }
    for i, failure in ipairs(failures) do
      local kept = cjson.encode { accessToken = set:make("stored"), refreshToken = set:make("stored") }
      local function write(_, key, value) return failure(key, value) end
      local function done() return true end
      for _, store in ipairs {
        { get = function(_, key) return failure(key, kept) end, put = write, add = write, replace = write },
        { get = function() return kept end, put = write, add = write, replace = write },
        { get = function() return kept end, put = write, add = done, replace = write },
        { get = function() end, put = write, add = write, replace = write },
        { get = function() end, put = write, add = function(_, key, value)
          return key:find("/lock/", 1, true) and true or failure(key, value)
        end, replace = write },
        { get = function() return set:make("no JSON") end, put = done, add = done, replace = done },
      } do
        store.remove = store.put
        local settings = watching.settings(set, { store = store, on_event = watch:hook("store"), deadline_ms = 300 })
        settings.transport = scripted.new {
          { status = 200, body = cjson.encode { accessToken = set:make("new"), refreshToken = set:make("new") } },
        }
        local link = paciolan.new(settings)
        watch:result("store " .. i, link.auth:rotate())
        watch:result("store " .. i, link.auth:token())
        watch:result("store " .. i, link.listings:get(set:make("listing")))
        link:close()
      end
    end
    watch:expect_nothing(50)
  end)

  it("in what misuse raises", function()
    local watch, raised = watching.new(set), 0
    local function misuse(where, run, ...)
      raised = raised + (watch:raised(where, run, ...) and 1 or 0)
    end
    for name in pairs(watching.settings(set)) do
      for _, wrong in ipairs { set:make(name) .. "\r\n", { set:make(name) }, { [set:make(name)] = set:make(name) },
        7 } do
        misuse("paciolan.new " .. name, paciolan.new, watching.settings(set, { [name] = wrong }))
      end
    end
    for name, wrong in pairs { [set:make("option")] = 1,
      base_url = "https://u:" .. set:make("password") .. "@h.example",
      auth = { expiration = set:make("time"), access_token = "a" }, ca_file = set:make("file"),
      store = { get = set:make("get") },
      operations = { [set:make("operation")] = { method = set:make("method") } },
      shapes = { [set:make("shape")] = set:make("choice") }, timeout_ms = set:make("ms") } do
      misuse("paciolan.new " .. name, paciolan.new, watching.settings(set, { [name] = wrong }))
    end
    misuse("operations", paciolan.new,
      watching.settings(set, { operations = { ["tickets.lock"] = { [set:make("key")] = 1 } } }))
    misuse("operations", paciolan.new,
      watching.settings(set, { operations = { ["tickets.lock"] = { path = "/" .. set:make("path") } } }))
    misuse("shapes", paciolan.new, watching.settings(set, { shapes = { verify = set:make("choice") } }))
    local link = scripted.client({ NOT_SENT }, watching.settings(set))
    for name, wrong in pairs { [set:make("option")] = 1, request_id = set:make("id"), retries = set:make("n"),
      headers = { [set:make("header") .. " "] = "x" }, distributor_code = { set:make("code") },
      version = set:make("version"), organization_id = set:make("organization") .. "\n" } do
      misuse("call " .. name, link.tickets.lock, link.tickets, {}, { [name] = wrong })
    end
    misuse("header", link.tickets.lock, link.tickets, {}, { headers = { ["X-Y"] = set:make("header") .. "\n" } })
    misuse("dot", link.tickets.lock, { set:make("self") }, { set:make("payload") })
    misuse("validate", paciolan.validate, set:make("operation"), {})
    misuse("validate", paciolan.validate, "tickets.lock", {}, { [set:make("option")] = 1 })
    local store = paciolan.store.memory()
    misuse("store", store.put, store, { set:make("key") }, "x")
    misuse("store", store.put, store, "x", { set:make("value") })
    misuse("store", store.put, store, "x", "y", { [set:make("option")] = 1 })
    local transport = require("paciolan.transport.curl").new {}
    misuse("transport", transport.send, transport, { [set:make("key")] = 1 })
    for name, wrong in pairs { url = "https://u:" .. set:make("password") .. "@h.example/",
      method = set:make("method"), headers = { { "X", set:make("value") .. "\n" } }, body = { set:make("body") } } do
      local request = { method = "POST", url = "http://127.0.0.1:1/", headers = {}, [name] = wrong }
      misuse("transport " .. name, transport.send, transport, request)
    end
    watch:text("transport", tostring(transport))
    transport:close()
    link:close()
    misuse("closed", link.tickets.lock, link.tickets, { set:make("payload") })
    watch:expect_nothing(45)
    assert.is_true(raised >= 45, ("only %d raised"):format(raised))
  end)

  -- A transport of somebody's own may quote a whole request; what the tables mark is taken out by its names.
  it("of what is secret or personal, when a transport quotes the request that it could not send", function()
    local private = marks.new("private")
    local names = {}
    local function collect(fields)
      for _, field in ipairs(fields or {}) do
        names[field.name] = names[field.name] or field.secret or field.personal or AS_GOOD_AS_TICKETS[field.name]
        names[field.alias or field.name] = names[field.name]
        collect(field.fields)
      end
    end
    for _, operation in ipairs(paciolan.operations()) do
      collect(operation.body and operation.body.fields)
    end
    local function mark(holder, is_private)
      for key, value in pairs(holder) do
        local hidden = type(key) == "string" and names[key] or (type(key) == "number" and is_private)
        if type(value) == "table" then
          mark(value, hidden)
        elseif type(value) == "string" and hidden then
          holder[key] = key == "number" and private:digits(key) or private:make(tostring(key))
        end
      end
    end
    local function quote(request)
      local lines = { request.method .. " " .. request.url }
      for _, header in ipairs(request.headers) do
        lines[#lines + 1] = header[1] .. ": " .. header[2]
      end
      return { kind = "network", phase = "not_sent",
        message = table.concat(lines, "\n") .. "\n\n" .. (request.body or "") }
    end
    local watch, seen = watching.new(private), 0
    for _, sample in ipairs(samples.requests) do
      local payload = samples.load(sample.file)
      mark(payload)
      local settings = watching.settings(private, { retries = 0, on_event = watch:hook("quote") })
      settings.transport = scripted.new { function(request)
        local failure = quote(request)
        seen = seen + #private:found(failure.message)
        return failure
      end }
      local link = paciolan.new(settings)
      watch:result(sample.file, watching.call(link, sample.operation, payload, sample.options))
      link:close()
    end
    watch:expect_nothing(100)
    assert.is_true(seen > 100)
  end)
end)
