--- `bin/paciolan listen` as a process: what it prints, to whom it answers what, when it refuses to start, how it ends.

local amazon = require("support.amazon")
local cjson = require("cjson").new()
local cli = require("paciolan.cli")
local curl = require("paciolan.transport.curl")
local files = require("support.files")
local folder = require("support.folder")
local inbox = require("support.inbox")
local program = require("support.program")
local sandbox = require("paciolan.sandbox.child")
local socket = require("socket")

local USER, PASSWORD = "partner", "correct horse"
local AUTHORIZATION = "Basic cGFydG5lcjpjb3JyZWN0IGhvcnNl"
local CREDENTIALS = { PACIOLAN_LISTEN_USER = USER, PACIOLAN_LISTEN_PASSWORD = PASSWORD }
local TOPIC = "--topic arn:aws:sns:us-west-2:123456789012:seats"

local function command(arguments, environment)
  local all = { PACIOLAN_STORE = "", PACIOLAN_BASE_URL = "", PACIOLAN_LISTEN_USER = "", PACIOLAN_LISTEN_PASSWORD = "",
    PACIOLAN_LISTEN_CALLBACK_PATH = "" }
  for name, value in pairs(environment or {}) do
    all[name] = value
  end
  return "env " .. program.environment(all) .. " bin/paciolan listen " .. arguments
end

local function read_lines(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  return lines
end

describe("paciolan listen", function()
  local transport, place

  before_each(function()
    transport, place = curl.new(), folder.make()
  end)

  after_each(function()
    transport:close()
    program.stop_all()
    folder.remove_all()
  end)

  local function file(name, text)
    local path = place .. "/" .. name
    files.write(path, text)
    return path
  end

  -- Starts it on a free port, and returns it with its URL.
  local function start(arguments, environment, wrap)
    local ready = place .. "/ready"
    os.remove(ready)
    local words = command(("--port 0 --ready-file %s %s"):format(program.words { ready }, arguments), environment)
    local listener = program.start(wrap and wrap(words) or words)
    for _ = 1, 600 do
      local opened = io.open(ready, "rb")
      local url = opened and opened:read("*l")
      if opened then
        opened:close()
      end
      if url then
        return listener, url
      end
      socket.sleep(0.02)
    end
    error("it did not start: " .. listener:output() .. files.read(listener._problems))
  end

  local function post(url, body, headers)
    local list = { { "Content-Type", "application/json" } }
    for name, value in pairs(headers or { Authorization = AUTHORIZATION }) do
      list[#list + 1] = { name, value }
    end
    local answer = assert(transport:send { method = "POST", url = url, headers = list, body = body })
    return answer.status, answer
  end

  -- In this process, for nothing runs yet when it refuses. The arguments have no spaces in them.
  local function expect_refusal(code, text, arguments, environment)
    local words, problems, getenv = { "listen" }, {}, os.getenv
    for word in arguments:gmatch("%S+") do
      words[#words + 1] = word
    end
    local nowhere = { write = function() error("it wrote to standard output") end }
    local err = { flush = function() end }
    function err.write(_, ...)
      problems[#problems + 1] = table.concat { ... }
    end
    rawset(os, "getenv", function(name)
      return name:find("^PACIOLAN_") and (environment or {})[name] or nil
    end)
    local ok, found = pcall(cli.main, words, { out = nowhere, err = err })
    rawset(os, "getenv", getenv)
    assert.same({ true, code }, { ok, found })
    problems = table.concat(problems)
    assert.truthy(problems:find(text, 1, true), problems)
    assert.truthy(problems:find("^paciolan listen: ") or problems:find("^paciolan: "), problems)
    return problems
  end

  -- --- what it prints ---------------------------------------------------------------------------------------------

  it("prints each item of a message as a line, and acknowledges it", function()
    local listener, url = start("--mode direct", CREDENTIALS)
    assert.equal(204, (post(url, inbox.seats(2))))
    assert.equal(204, (post(url, inbox.events())))
    assert.equal(204, (post(url, inbox.message("parkings", { parkings = { {} } }))))
    local code, output, problems = listener:stop()
    assert.same({ 0, "" }, { code, problems })
    for _, pattern in ipairs { "\n%d%d:%d%d:%d%d  seat      UNLOCK  999:FB23:FB01  ES:9  row 1, seat 1\n",
      "\n[%d:]+  seat      UNLOCK  999:FB23:FB01  ES:9  row 1, seat 2\n",
      "\n[%d:]+  event     changed 999:FB23:FB01  Home opener  2026%-09%-05 TBD\n",
      "\n[%d:]+  message   of an entity that is not known: parkings\n" } do
      assert.truthy(output:find(pattern), output)
    end
  end)

  it("prints JSON, one line for each item, and nothing else there", function()
    local listener, url = start("--mode raw --json", CREDENTIALS)
    local id = "0f1e2d3c-4b5a-4678-9abc-def012345678"
    local headers = { Authorization = AUTHORIZATION, ["x-amz-sns-rawdelivery"] = "true",
      ["x-amz-sns-message-type"] = "Notification", ["x-amz-sns-message-id"] = id,
      ["x-amz-sns-topic-arn"] = amazon.TOPIC }
    assert.equal(204, (post(url, inbox.seats(2, { seat = false }), headers)))
    assert.equal(204, (post(url, inbox.seats(2), headers)))
    local _, output, problems = listener:stop()
    local lines = read_lines(output)
    assert.equal(2, #lines)
    local row = cjson.decode(lines[2])
    assert.same({ "seats", "999", "a1b2c3", id, amazon.TOPIC, "UNLOCK" }, { row.entity, row.organization_id,
      row.request_id, row.message_id, row.topic_arn, row.item.status })
    assert.same({ { path = "/data/seats/1/seat", rule = "required", message = "is required" } }, row.problems)
    assert.truthy(problems:find("^Listening on http://127%.0%.0%.1:%d+/   %(mode raw, "), problems)
  end)

  it("prints nothing that could steer a terminal, and no line longer than a screen", function()
    local listener, url = start("--mode direct", CREDENTIALS)
    local wild = "\27[2J\n" .. ("x"):rep(10000) .. "\195\188"
    assert.equal(204, (post(url, inbox.seats(1, { section = wild, row = wild, seat = "\0", status = wild }))))
    local _, output = listener:stop()
    local line = output:match("\n([%d:]+  seat[^\n]*)\n")
    assert.truthy(line:find("seat      unknown 999:FB23:FB01  ?[2J?xx", 1, true), line)
    assert.truthy(line:find("status must be LOCK or UNLOCK", 1, true), line)
    assert.is_nil(line:find("[^\32-\126]"))
    assert.is_true(#line < 300)
  end)

  it("says in its start text what it does without a store, and what it was told", function()
    local listener = start(TOPIC)
    local _, output = listener:stop()
    assert.truthy(output:find("^Listening on http://127%.0%.0%.1:%d+/   %(mode envelope, stop with Ctrl%-C%)\n"))
    for _, text in ipairs { "topic " .. amazon.TOPIC, "Nothing outlives this program", "--store sqlite:",
      "--confirm does that" } do
      assert.truthy(output:find(text, 1, true), output)
    end
    listener = start(TOPIC .. " --confirm --store " .. program.words { "sqlite:" .. place .. "/seen.db" })
    _, output = listener:stop()
    assert.is_nil(output:find("Nothing outlives", 1, true))
    assert.is_nil(output:find("--confirm", 1, true))
  end)

  -- --- who comes in -------------------------------------------------------------------------------------------------

  it("tells wrong credentials, but not the question for them, and shows no secret", function()
    local users = file("users", "partner:old secret\npartner:correct horse\n")
    assert.equal(0, (program.run("chmod 600 " .. program.words { users })))
    local listener, url = start("--mode direct --user-file " .. program.words { users })
    local status, answer = post(url, inbox.seats(), {})
    assert.same({ 401, 'Basic realm="paciolan", charset="UTF-8"' }, { status, answer.headers["www-authenticate"] })
    assert.equal(401, (post(url, "SECRET", { Authorization = "Basic U0VDUkVUOlNFQ1JFVA==" })))
    assert.equal(204, (post(url, inbox.seats())))
    assert.equal(204, (post(url, inbox.seats(), { Authorization = "Basic cGFydG5lcjpvbGQgc2VjcmV0" })))
    local code, output, problems = listener:stop()
    assert.equal(0, code)
    assert.equal("paciolan listen: refused with 401: unauthorized\n", problems)
    assert.is_nil((output .. problems):find("secret", 1, true))
  end)

  it("warns of silence, once", function()
    -- Its minutes pass with every look at the clock; that of the receiver goes on as ever.
    local handler = file("handler.lua", [[
      local time, minutes, turns = os.time, 0, 0
      os.time = function() minutes = minutes + 1 return time() + 60 * minutes end
      return { on_seat = print, every_minute = function()
        turns = turns + 1
        io.write("turn ", turns, "\n")
        io.flush()
      end }
    ]])
    local listener = start("--mode direct --silence 1 --handler " .. program.words { handler }, CREDENTIALS)
    listener:wait_for_problem("warning: silence: no message for ")
    listener:wait_for("turn 4")
    local _, _, problems = listener:stop()
    local _, times = problems:gsub("warning", "")
    assert.equal(1, times)
  end)

  it("tells what every_minute could not do, in a short line", function()
    local handler = file("handler.lua", [[
      local time, minutes = os.time, 0
      os.time = function() minutes = minutes + 1 return time() + 60 * minutes end
      local turns = 0
      return { on_seat = print, every_minute = function()
        turns = turns + 1
        if turns == 1 then
          return nil, "the shop is down\n" .. ("x"):rep(5000)
        elseif turns == 2 then
          return nil
        end
        return 1, "not told"
      end }
    ]])
    local listener = start("--mode direct --handler " .. program.words { handler }, CREDENTIALS)
    listener:wait_for_problem("every_minute: the shop is down")
    local _, _, problems = listener:stop()
    local line = problems:match("paciolan listen: every_minute: ([^\n]*)\n")
    assert.truthy(line:find("the shop is down\\x0axxx", 1, true))
    assert.is_true(#line <= 200)
    assert.is_nil(problems:find("not told", 1, true))
  end)

  it("warns of a file with credentials that others may read", function()
    local users = file("users", "partner:correct horse\n")
    assert.equal(0, (program.run("chmod 644 " .. program.words { users })))
    local listener = start("--mode direct --user-file " .. program.words { users })
    local _, _, problems = listener:stop()
    assert.truthy(problems:find("--user-file: others may read or write it (mode 644)", 1, true), problems)
  end)

  it("takes messages at one path, and callbacks with the same credentials at another", function()
    local listener, url = start("--mode direct --path /in --callback-path /callbacks", CREDENTIALS)
    assert.truthy(url:find(":%d+/in$"))
    local base = url:gsub("/in$", "")
    assert.equal(204, (post(url, inbox.seats())))
    assert.equal(404, (post(base .. "/", inbox.seats())))
    assert.equal(401, (post(base .. "/callbacks", '{"processId":"p-1"}', {})))
    assert.equal(204, (post(base .. "/callbacks", '{"processId":"p-1","status":"COMPLETE"}')))
    local _, output, problems = listener:stop()
    assert.truthy(output:find("[%d:]+  callback  COMPLETE  p%-1\n"), output)
    assert.equal("paciolan listen: refused with 404: no_such_path\n", problems)
  end)

  it("takes callbacks at a secret path, which it does not tell", function()
    local secret = "/callbacks/0123456789abcdef0123"
    local listener, url = start("--json " .. TOPIC, { PACIOLAN_LISTEN_CALLBACK_PATH = secret })
    assert.equal(204, (post(url:gsub("/$", "") .. secret, '{"processId":"p-1","transactionStatus":"ERROR"}', {})))
    local _, output, problems = listener:stop()
    assert.same({ entity = "callback", process_id = "p-1", state = "ERROR",
      body = { processId = "p-1", transactionStatus = "ERROR" } }, cjson.decode(output))
    assert.is_nil(problems:find("0123456789", 1, true))
  end)

  it("speaks TLS", function()
    local aws = amazon.start {}
    local key = amazon.key("listener", { type = "ec" })
    local certificate = file("server.pem", aws:certificate { key = key, name = "localhost", dns = { "localhost" },
      ip = { "127.0.0.1" } })
    local listener, url = start(("--mode direct --host 0.0.0.0 --tls-certificate %s --tls-key %s"):format(
      program.words { certificate }, program.words { file("server.key", key:pem()) }), CREDENTIALS)
    assert.truthy(url:find("^https://127%.0%.0%.1:%d+/$"))
    transport:close()
    transport = curl.new { ca_file = file("ca.pem", aws.roots) }
    assert.equal(204, (post(url, inbox.seats())))
    assert.equal(0, (listener:stop()))
    amazon.stop_all()
  end)

  -- --- envelopes ----------------------------------------------------------------------------------------------------

  it("believes signed messages, confirms when it was told to, and refuses the others with a reason", function()
    local aws = amazon.start {}
    local roots = program.words { file("roots.pem", aws.roots) }
    local connect_to = ""
    for host, address in pairs(aws.connect_to) do
      connect_to = connect_to .. " --connect-to " .. host .. "=" .. address
    end
    local listener, url = start(("%s --confirm --min-version 2 --roots %s --ca-file %s%s"):format(TOPIC, roots,
      program.words { aws.ca_file }, connect_to))
    assert.equal(204, (post(url, aws:body { Type = "SubscriptionConfirmation" }, {})))
    assert.equal(204, (post(url, aws:body { Message = inbox.seats() }, {})))
    assert.equal(400, (post(url, aws:body { Message = inbox.seats(), SignatureVersion = "1" }, {})))
    assert.equal(400, (post(url, aws:body { TopicArn = amazon.TOPIC .. "x" }, {})))
    assert.same({ 1, 1 }, { (aws:fetches()), #aws:confirmations() })
    local code, output, problems = listener:stop()
    assert.equal(0, code)
    local _, seats = output:gsub("  seat  ", "")
    assert.equal(1, seats)
    for _, text in ipairs { "accepted with 204: confirmed (arn:aws:sns:", "refused with 400: version_refused",
      "alarm: version_refused: ", "refused with 400: topic_not_allowed" } do
      assert.truthy(problems:find("\npaciolan listen: " .. text, 1, true)
        or problems:find("^paciolan listen: " .. text:gsub("%p", "%%%0")), problems)
    end
    amazon.stop_all()
  end)

  it("listens to a sandbox of this machine in one command, and leaves nothing behind there", function()
    local box = sandbox.start()
    local listener = start("--sandbox " .. box.base_url)
    listener:wait_for("trigger seats.unlock --url " .. box.base_url)
    listener:wait_for_problem("confirmed (arn:aws:sns:us-west-2:123456789012:seats")
    box:trigger { what = "seats.unlock" }
    listener:wait_for("row 1, seat 2")
    assert.equal(2, #box:control("GET", "/_sandbox/subscriptions").subscriptions)
    assert.equal(0, (listener:stop("INT")))
    assert.equal(0, #box:control("GET", "/_sandbox/subscriptions").subscriptions)
    for _, delivery in ipairs(box:control("GET", "/_sandbox/deliveries").deliveries) do
      assert.not_equal("UnsubscribeConfirmation", delivery.kind)
    end
    for _, mode in ipairs { "raw", "direct" } do
      listener = start(("--sandbox %s --mode %s"):format(box.base_url, mode), CREDENTIALS)
      box:trigger { what = "seats.unlock" }
      listener:wait_for("row 1, seat 2")
      assert.equal(0, (listener:stop()))
    end
    box:stop()
  end)

  it("believes no sandbox of another machine, nor what is none", function()
    expect_refusal(2, "--sandbox must be the URL of a sandbox of this machine", "--sandbox http://192.0.2.1:8480")
    expect_refusal(2, "--sandbox must be the URL", "--sandbox http://127.0.0.1.example:8480")
    expect_refusal(2, "--sandbox brings --topic", "--sandbox http://127.0.0.1:1 " .. TOPIC)
    expect_refusal(1, "--sandbox: it did not answer", "--sandbox http://127.0.0.1:1")
  end)

  -- --- a file of handlers -------------------------------------------------------------------------------------------

  it("hands the items to a Lua file, with the store, and acknowledges what that has done", function()
    local handler = file("handler.lua", [[
      local store = ...
      local tries = 0
      return {
        on_seat = function(seat, message)
          tries = tries + 1
          if tries == 1 then
            return nil, "not yet"
          elseif tries == 2 then
            error("a fault")
          end
          assert(store:put("last", seat.seat))
          io.write("seat ", seat.seat, " of ", message.organization_id, "\n")
          io.flush()
          return true
        end,
        every_minute = function() error("a fault every minute") end,
      }
    ]])
    local listener, url = start(("--mode direct --handler %s --store %s"):format(program.words { handler },
      program.words { "sqlite:" .. place .. "/seen.db" }), CREDENTIALS)
    assert.same({ 503, 503, 204, 204 }, { (post(url, inbox.seats())), (post(url, inbox.seats())),
      (post(url, inbox.seats())), (post(url, inbox.events())) })
    local code, output, problems = listener:stop()
    assert.equal(0, code)
    assert.truthy(output:find("\nseat 1 of 999\n", 1, true), output)
    for _, text in ipairs { "postponed with 503: handler_refused: not yet\n", "handler.lua:9: a fault\n",
      "accepted with 204: no_handler\n", "alarm: no_handler: ", "every_minute: " } do
      assert.truthy(problems:find(text, 1, true), problems)
    end
    local store = require("paciolan").store.sqlite(place .. "/seen.db")
    assert.equal("1", store:get("last"))
    store:close()
  end)

  it("finishes what is being handled when it is told to end", function()
    local handler = file("handler.lua", [[
      return { on_seat = function()
        io.write("at it\n")
        io.flush()
        while not io.open(arg_path) do end
        return true
      end }
    ]])
    files.write(handler, (files.read(handler):gsub("arg_path", function() return ("%q"):format(place .. "/go") end)))
    local listener, url = start("--mode direct --handler " .. program.words { handler }, CREDENTIALS)
    local poster, body = assert(socket.connect("127.0.0.1", tonumber(url:match(":(%d+)/$")))), inbox.seats()
    assert(poster:send(("POST / HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n%s"):format(
      AUTHORIZATION, #body, body)))
    listener:wait_for("at it")
    os.execute(("kill -TERM %d"):format(listener.pid))
    file("go", "")
    poster:settimeout(30)
    assert.truthy(assert(poster:receive("*l")):find("^HTTP/1.1 204 "))
    poster:close()
    assert.equal(0, (listener:stop("0"))) -- no second signal
  end)

  for name, row in pairs {
    ["is not there"] = { nil, "cannot open" },
    ["is no Lua"] = { "return {\n  on_seat = = 1 }", "handler.lua:2: " },
    ["raises"] = { "\n\nerror('broken')", "handler.lua:3: broken" },
    ["returns no table"] = { "return 1", "must return a table of functions, not number" },
    ["has no function for messages"] = { "return { on_callback = print }", "at least one of on_event, on_seat" },
    ["has a wrong name"] = { "return { on_seats = print }", "on_seats is not known; known are on_event" },
    ["has a wrong value"] = { "return { on_seat = true }", "on_seat must be a function" },
  } do
    it("does not start with a file of handlers that " .. name, function()
      local path = place .. "/handler.lua"
      if row[1] then
        file("handler.lua", row[1])
      end
      expect_refusal(2, row[2], TOPIC .. " --handler " .. path)
    end)
  end

  it("postpones a message while another program keeps the store for long", function()
    local path = place .. "/seen.db"
    local listener, url = start(("--mode raw %s --store %s"):format(TOPIC, program.words { "sqlite:" .. path }),
      CREDENTIALS)
    local store = require("paciolan").store.sqlite(path)
    local headers = { Authorization = AUTHORIZATION, ["x-amz-sns-message-type"] = "Notification",
      ["x-amz-sns-rawdelivery"] = "true", ["x-amz-sns-topic-arn"] = amazon.TOPIC,
      ["x-amz-sns-message-id"] = "3f1a2b4c-0000-4000-8000-000000000001" }
    local status
    assert(store:group(function()
      assert(store:put("held", "x"))
      status = post(url, inbox.seats(), headers)
      return true
    end))
    store:close()
    assert.equal(503, status)
    local _, _, problems = listener:stop()
    assert.truthy(problems:find("postponed with 503: store_failed: [^\n]*2000"), problems)
  end)

  -- Opening a pipe for writing waits as long as nobody has it open for reading.
  local function wait_until_nobody_reads(pipe)
    for _ = 1, 50 do
      if program.run("timeout 0.2 sh -c " .. program.words { ": >" .. pipe }) ~= 0 then
        return
      end
    end
    error("somebody has the pipe open for reading", 0)
  end

  it("ends with 1 once nobody reads what it prints, and acknowledges nothing then", function()
    local pipe = program.words { place .. "/pipe" }
    assert.equal(0, (program.run("mkfifo " .. pipe)))
    local listener, url = start("--mode direct --json", CREDENTIALS, function(words)
      return "sh -c " .. program.words { ("exec 3<>%s; exec %s >%s 3<&-"):format(pipe, words, pipe) }
    end)
    wait_until_nobody_reads(pipe)
    assert.equal(503, (post(url, inbox.seats())))
    listener:wait_for_problem("standard output is gone")
    assert.equal(1, (listener:stop("0")))
  end)

  -- --- the quarantine -----------------------------------------------------------------------------------------------

  local function names_in(path)
    local _, output = program.run("ls " .. program.words { path })
    return read_lines(output)
  end

  it("keeps what cannot be used, byte for byte, in a private file of its own, before it says so", function()
    local listener, url = start("--mode direct --quarantine " .. program.words { place }, CREDENTIALS)
    os.remove(place .. "/ready")
    local body = '{"data":{"seats":"\0\255"},' .. ("x"):rep(100000)
    assert.equal(400, (post(url, body)))
    local names = names_in(place)
    assert.equal(1, #names)
    assert.truthy(names[1]:find("^%d%d%d%d%d%d%d%dT%d%d%d%d%d%dZ%-%x+%.json$"), names[1])
    assert.equal(body, files.read(place .. "/" .. names[1]))
    local _, mode = program.run("stat -c %a " .. program.words { place .. "/" .. names[1] })
    assert.equal("600\n", mode)
    local _, _, problems = listener:stop()
    assert.truthy(problems:find("quarantined as " .. names[1], 1, true), problems)
    assert.truthy(problems:find("refused with 400: unusable_message: ", 1, true), problems)
  end)

  it("lets a message come again that it could not keep", function()
    local path = place .. "/it's kept here"
    assert.equal(0, (program.run("mkdir " .. program.words { path })))
    local listener, url = start("--mode direct --quarantine " .. program.words { path }, CREDENTIALS)
    assert.equal(0, (program.run("rm -r " .. program.words { path })))
    assert.equal(503, (post(url, "nonsense")))
    local _, _, problems = listener:stop()
    assert.truthy(problems:find("the quarantine could not be written", 1, true), problems)
    assert.truthy(problems:find("postponed with 503: quarantine_failed", 1, true), problems)
    expect_refusal(2, "--quarantine: nothing can be written there", TOPIC .. " --quarantine " .. place .. "/none")
  end)

  -- --- what it refuses ----------------------------------------------------------------------------------------------

  for _, row in ipairs {
    { "mode envelope needs --topic", "" },
    { "topics: each must be the ARN", "--topic seats" },
    { "mode raw needs credentials", "--mode raw" },
    { "mode direct needs credentials", "--mode direct" },
    { "--mode", "--mode auto" },
    { "belong together", "--mode raw", { PACIOLAN_LISTEN_USER = "x" } },
    { "belong together", TOPIC .. " --tls-key x" },
    { "--tls-certificate: cannot read it", TOPIC .. " --tls-certificate /nowhere/c --tls-key /nowhere/k" },
    { "--user-file: cannot read it", TOPIC .. " --user-file /nowhere" },
    { "--roots: cannot read it", TOPIC .. " --roots /" },
    { "--ca-file: cannot read it", TOPIC .. " --ca-file /nowhere" },
    { "--ca-file must hold certificates", TOPIC .. " --ca-file spec/cli/listen_spec.lua" },
    { "--host 0.0.0.0 is open to others", TOPIC .. " --host 0.0.0.0" },
    { "--host :: is open to others", "--mode direct --host ::", CREDENTIALS },
    { "--host must be a numeric address", TOPIC .. " --behind-proxy --host listener.example" },
    { "--callback-path is for callbacks with the credentials", TOPIC .. " --callback-path /SECRET" },
    { "either basic_auth, or a path", TOPIC, { PACIOLAN_LISTEN_CALLBACK_PATH = "/callbacks/short" } },
    { "--store holds a password", TOPIC .. " --store redis://:SECRET@127.0.0.1" },
    { "--store: a store is memory", TOPIC .. " --store postgres://x" },
    { "--port must be a whole number", TOPIC .. " --port 65536" },
    { "--min-version must be 1 or 2", TOPIC .. " --min-version 3" },
    { "--silence must be a whole number", TOPIC .. " --silence 0" },
    { "intermediates: must be certificates", TOPIC .. " --intermediates spec/cli/listen_spec.lua" },
    { "--connect-to must be HOST:PORT", TOPIC .. " --connect-to sns" },
  } do
    it(("does not start, and says %q, with %s"):format(row[1], row[2]), function()
      local problems = expect_refusal(2, row[1], row[2], row[3])
      assert.is_nil(problems:find("SECRET", 1, true))
      assert.truthy(problems:find("listen --help", 1, true), problems)
    end)
  end

  it("does not start with a file of users that it cannot read as such, and does not quote it", function()
    for text, expected in pairs { ["SECRET"] = "line 1 must be user:password", [""] = "must hold one line, or two",
      ["a:b\nSECRET"] = "line 2 must be user:password", ["a:b\nc:d\ne:f"] = "must hold one line, or two" } do
      local problems = expect_refusal(2, expected, TOPIC .. " --user-file " .. file("users", text))
      assert.is_nil(problems:find("SECRET", 1, true))
    end
  end)

  it("ends with 1 when the port is taken, or the store cannot be used", function()
    local taken = assert(socket.bind("127.0.0.1", 0))
    local _, port = taken:getsockname()
    expect_refusal(1, ("--port %d: the port is in use"):format(port), ("%s --port %d"):format(TOPIC, port))
    taken:close()
    expect_refusal(1, "the store cannot be used", TOPIC .. " --store redis://127.0.0.1:1")
  end)

  it("can be open to others behind a proxy that it was told of", function()
    local listener, url = start(TOPIC .. " --behind-proxy --host 0.0.0.0")
    assert.equal(400, (post(url, "{}", {})))
    assert.equal(0, (listener:stop()))
  end)

  it("explains itself", function()
    local code, output = program.run(command("--help"))
    assert.equal(0, code)
    for _, text in ipairs { "--mode", "--topic", "--confirm", "--min-version", "--user-file", "--callback-path",
      "--store", "--handler", "--quarantine", "--json", "--silence", "--tls-certificate", "--behind-proxy", "--sandbox",
      "--ready-file", "PACIOLAN_LISTEN_USER", "every_minute", "Exit code" } do
      assert.truthy(output:find(text, 1, true), text)
    end
  end)
end)
