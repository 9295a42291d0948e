--- `bin/paciolan trigger`, and what `bin/paciolan sandbox` does with messages: as processes.

local files = require("support.files")
local httpd = require("paciolan.httpd")
local messages = require("paciolan.messages")
local program = require("support.program")
local sandboxes = require("paciolan.sandbox.child")

local function command(arguments, environment)
  return "env -u PACIOLAN_BASE_URL " .. program.environment(environment) .. " bin/paciolan " .. arguments
end

local function trigger(arguments, environment)
  return program.run(command("trigger " .. arguments, environment))
end

describe("paciolan trigger", function()
  local box

  setup(function()
    box = sandboxes.start { seed = "trigger" }
  end)

  teardown(function()
    box:stop()
  end)

  before_each(function()
    box:control("POST", "/_sandbox/reset")
  end)

  local function last_message()
    local list = box:control("GET", "/_sandbox/messages").messages
    return list[#list], #list
  end

  local function items()
    return assert(messages.parse(last_message().body)).items
  end

  it("unlocks seats of the sandbox at --url and tells the id", function()
    local code, output, problems = trigger("seats.unlock --url " .. box.base_url .. "/")
    assert.equal(0, code, problems)
    local message, count = last_message()
    assert.equal(1, count)
    assert.equal("published " .. message.messageId .. "\nnobody has subscribed to them\n", output)
    assert.same({ "UNLOCK", "UNLOCK" }, { items()[1].status, items()[2].status })
  end)

  it("finds the sandbox by PACIOLAN_BASE_URL", function()
    local code, _, problems = trigger("seats.lock --seat 129:FB30:FB01/ES:9/2/7", { PACIOLAN_BASE_URL = box.base_url })
    assert.equal(0, code, problems)
    local item = items()[1]
    assert.same({ "129:FB30:FB01", "ES:9", "2", "7", "LOCK" },
      { item.accessId, item.section, item.row, item.seat, item.status })
  end)

  it("takes a token, a listing and an event", function()
    local world = box:control("GET", "/_sandbox/world")
    local at = " --url " .. box.base_url
    assert.equal(0, (trigger("seats.unlock --token " .. world.seats[9].token .. at)))
    assert.equal(world.seats[9].seat, items()[1].seat)
    assert.equal(0, (trigger("seats.unlock --listing " .. world.listings[2].listingId .. at)))
    assert.equal(4, #items())
    assert.equal(0, (trigger("events.changed --event 999:F30:F02" .. at)))
    assert.equal("999:F30:F02", items()[1].accessId)
  end)

  it("says how many deliveries are on their way, doubled on request", function()
    local subscription = box:subscribe { url = "http://127.0.0.1:1/", topic = "seats", mode = "direct" }
    local code, output = trigger("seats.unlock --duplicate 2 --url " .. box.base_url)
    assert.equal(0, code)
    assert.truthy(output:find("3 deliveries are on their way", 1, true), output)
    box:control("DELETE", "/_sandbox/subscriptions/" .. subscription.id)
  end)

  it("says what the sandbox refused", function()
    local code, output, problems = trigger("seats.unlock --token none --url " .. box.base_url)
    assert.equal(1, code)
    assert.equal("", output)
    assert.equal("paciolan trigger: the sandbox refused: There is no such token\n", problems)
  end)

  it("says so when nobody listens, when it is no sandbox, and when the URL is none", function()
    local code, _, problems = trigger("seats.unlock --url http://127.0.0.1:1")
    assert.equal(1, code)
    assert.truthy(problems:find("the sandbox did not answer", 1, true), problems)
    code, _, problems = trigger("seats.unlock --url " .. box.base_url .. "/other")
    assert.equal(1, code)
    assert.truthy(problems:find("The path does not exist", 1, true), problems)
    code, _, problems = trigger("seats.unlock --url nowhere")
    assert.equal(1, code)
    assert.truthy(problems:find("--url is no base URL", 1, true), problems)
  end)

  for _, arguments in ipairs { "", "seats.sell", "seats.unlock --seat 1", "seats.unlock --token a --listing b",
    "seats.unlock --duplicate many", "seats.unlock --age -1" } do
    it(("ends with 2 and a hint when it is called with %q"):format(arguments), function()
      local code, output, problems = trigger(arguments)
      assert.equal(2, code)
      assert.equal("", output)
      assert.truthy(problems:find("paciolan trigger --help", 1, true), problems)
    end)
  end
end)

describe("paciolan sandbox --subscribe", function()
  local server, path

  before_each(function()
    server = assert(httpd.listen { host = "127.0.0.1" })
    path = os.tmpname()
  end)

  after_each(function()
    program.stop_all()
    server:close()
    os.remove(path)
  end)

  local function url()
    return ("http://127.0.0.1:%d/in"):format(server:port())
  end

  local function receive()
    for _ = 1, 100 do
      local request = server:next(100)
      if request then
        server:reply(request, 204)
        return request
      end
    end
    error("nothing arrived")
  end

  it("sends messages with the credentials of a file", function()
    files.write(path, "me:pass:word\n")
    local served = program.start(command("sandbox --port 0 --subscribe-mode direct --subscribe-auth-file "
      .. program.words { path } .. " --subscribe " .. url()))
    served:wait_for("more: curl")
    local base_url = served:output():match("PACIOLAN_BASE_URL='(.-)'")
    for what, entity in pairs { ["seats.unlock"] = "seats", ["events.changed"] = "events" } do
      assert.equal(0, (trigger(what .. " --url " .. base_url)))
      local request = receive()
      assert.equal("Basic bWU6cGFzczp3b3Jk", request.headers.authorization)
      assert.equal(entity, messages.parse(request.body).entity)
    end
    assert.equal(0, (served:stop()))
  end)

  it("asks for confirmation of envelopes", function()
    local served = program.start(command("sandbox --port 0 --subscribe " .. url()))
    assert.equal("SubscriptionConfirmation", receive().headers["x-amz-sns-message-type"])
    assert.equal("SubscriptionConfirmation", receive().headers["x-amz-sns-message-type"])
    assert.equal(0, (served:stop()))
  end)

  it("opens the port of Amazon SNS at once when it is given", function()
    local taken = ("%d"):format(server:port())
    local code, _, problems = program.run(command("sandbox --port 0 --sns-port " .. taken))
    assert.equal(1, code)
    assert.truthy(problems:find("the port is in use", 1, true), problems)
  end)

  for arguments, wanted in pairs {
    ["--subscribe http://example.com/"] = { 2, "--subscribe: url must be an http or https URL of this machine" },
    ["--subscribe http://127.0.0.1:1/ --subscribe-mode xml"] = { 2, "--subscribe: mode must be" },
    ["--subscribe http://127.0.0.1:1/ --subscribe-auth-file /nowhere"] = { 1, "--subscribe-auth-file: cannot read it" },
    ["--subscribe http://127.0.0.1:1/ --subscribe-auth-file /dev/null"] = { 1, "must be user:password" },
    ["--redelivery-tries 101"] = { 2, "--redelivery-tries must be" },
    ["--sns-key-dir /nowhere/keys"] = { 2, "--sns-key-dir must be a folder" },
    ["--sns-port 65536"] = { 2, "--sns-port must be" },
  } do
    it("ends with " .. arguments, function()
      local code, _, problems = program.run(command("sandbox --port 0 " .. arguments))
      assert.equal(wanted[1], code)
      assert.truthy(problems:find(wanted[2], 1, true), problems)
    end)
  end
end)
