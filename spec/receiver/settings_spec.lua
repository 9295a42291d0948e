--- The options of the receiver.

local json = require("paciolan.json")
local paciolan = require("paciolan")

local TOPIC = "arn:aws:sns:us-west-2:123456789012:seats"
local OTHER = "arn:aws:sns:us-west-2:123456789012:events"
local BASIC = { user = "partner", password = "correct horse" }
local NEXT = { { user = "partner", password = "correct horse" }, { user = "partner", password = "next" } }

local function minimal(changes)
  local options = { topics = { TOPIC }, on_message = print }
  for name, value in pairs(changes or {}) do
    options[name] = value
    if value == json.null then
      options[name] = nil
    end
  end
  return options
end

describe("paciolan.receiver", function()
  describe("options", function()
    local function refused(options)
      local ok, message = pcall(paciolan.receiver, options)
      assert.is_false(ok)
      assert.is_string(message)
      return message
    end

    it("have defaults for all but the topics and a handler", function()
      assert.is_table(paciolan.receiver(minimal()))
      assert.truthy(refused(minimal { topics = json.null }):find("topics must name at least one", 1, true))
      assert.truthy(refused(minimal { topics = {} }):find("topics must name at least one", 1, true))
      assert.truthy(refused(minimal { on_message = json.null }):find("on_event, on_seat and on_message", 1, true))
    end)

    it("that are wrong raise, at the line of the caller", function()
      local line = debug.getinfo(1, "l").currentline + 1
      local message = refused(minimal { topicz = {} })
      assert.truthy(message:find("unknown option topicz; known are basic_auth, ca_file, callback", 1, true))
      local ok, placed = pcall(function() local _ = paciolan.receiver(minimal { mode = 7 }) end)
      assert.is_false(ok)
      assert.truthy(placed:find(("settings_spec.lua:%d:"):format(line + 2), 1, true))
      for _, options in ipairs { { "text" }, minimal { [1] = "x" } } do
        refused(options)
      end
      refused("text")
      refused(nil)
    end)

    local rows = {
      { "mode", { "enveloped", 7, true }, { "envelope" } },
      { "basic_auth", { "a:b", {}, { user = "a" }, { user = "", password = "b" }, { user = "a", password = "" },
        { user = "a:b", password = "c" }, { user = "a\n", password = "c" }, { user = "a", password = "c\0" },
        { user = "a", password = "b", realm = "c" }, { BASIC, BASIC, BASIC }, { BASIC, "x" } },
        { BASIC, { BASIC }, NEXT } },
      { "realm", { "", 'a"b', "a\\b", "a\nb", 7 }, { "Tickets" } },
      { "topics", { TOPIC, { 7 }, { "arn:aws:sns:us-west-2:123456789012:seats.fifo" }, { TOPIC:upper() },
        { TOPIC .. "\n" }, { TOPIC .. ":1" }, { "arn:aws:sqs:us-west-2:123456789012:seats" }, { TOPIC, TOPIC },
        { { arn = TOPIC, min_version = 3 } }, { { min_version = 1 } }, { { arn = TOPIC, confirmed = true } },
        { { arn = TOPIC, confirm = "yes" } }, { [TOPIC] = true }, { "arn:aws:sns:us-west-2:123456789012:"
        .. ("x"):rep(257) } }, { { TOPIC, OTHER }, { { arn = TOPIC, min_version = 2, confirm = true } },
        { "arn:aws-cn:sns:cn-north-1:123456789012:" .. ("x"):rep(256) } } },
      { "confirm_subscriptions", { "yes", 1 }, { true, false } },
      { "store", { "memory", {}, { get = print } }, { paciolan.store.memory() } },
      { "clock", { 7 }, { os.time } },
      { "max_age_s", { 0, -1, 1.5, "1", 0 / 0 }, { 1, 3600 } },
      { "clock_skew_s", { -1, "1" }, { 0, 60 } },
      { "max_body_bytes", { 1023, 64 * 1024 * 1024 + 1, "1" }, { 1024, 64 * 1024 * 1024 } },
      { "path", { "messages", "/a?b", "/a b", "", 7 }, { "/", "/messages/1" } },
      { "reserve_s", { 0, "1" }, { 1 } },
      { "remember_s", { 0, 3600 + 2 * 300 - 1, "1" }, { 3600 + 2 * 300 } },
      { "intermediates", { "", 7, "no PEM" }, {} },
      { "roots", { "", 7, "no PEM" }, {} },
      { "fetch_certificate", { "x" }, { print } },
      { "confirm", { true }, { print } },
      { "transport", { {}, "curl" }, { { send = print, sleep = print } } },
      { "proxy", { 7 }, { "", "http://127.0.0.1:3128" } },
      { "certificates", { 7, { max = 0 }, { ttl_s = 0 }, { negative_ttl_s = 0 }, { novel_per_minute = 0 },
        { size = 1 } }, { {}, { max = 1, ttl_s = 1, negative_ttl_s = 1, novel_per_minute = 1 } } },
      { "on_event", { true }, { print } }, { "on_seat", { true }, { print } }, { "on_message", { true }, { print } },
      { "on_alarm", { true }, { print } }, { "on_report", { true }, { print } }, { "quarantine", { true }, { print } },
      { "silence_s", { 0 }, { 1 } }, { "certificate_warning_s", { 0 }, { 1 } },
    }
    for _, row in ipairs(rows) do
      it(row[1] .. " is checked", function()
        for _, value in ipairs(row[2]) do
          assert.truthy(refused(minimal { [row[1]] = value }):find(row[1], 1, true))
        end
        for _, value in ipairs(row[3]) do
          assert.is_table(paciolan.receiver(minimal { [row[1]] = value }))
        end
      end)
    end

    it("never show what they hold", function()
      for _, options in ipairs {
        minimal { basic_auth = { user = "a", password = "\nhunter2hunter2" } },
        minimal { basic_auth = { hunter2hunter2 = 1 } }, minimal { ["hunter2hunter2hunter2"] = 1 },
        minimal { callback = { path = "hunter2hunter2" }, on_callback = print },
      } do
        assert.is_nil(refused(options):find("hunter2hunter2", 1, true))
      end
    end)

    it("duty 2, 4: raw and direct need credentials", function()
      for _, mode in ipairs { "raw", "direct" } do
        local message = refused { mode = mode, on_message = print }
        assert.truthy(message:find("needs basic_auth", 1, true))
        assert.is_table(paciolan.receiver { mode = mode, on_message = print, basic_auth = BASIC })
      end
    end)

    it("that have no meaning in a mode raise", function()
      local function with(mode, name, value)
        return { mode = mode, on_message = print, basic_auth = BASIC, [name] = value,
          topics = mode == "envelope" and { TOPIC } or name == "topics" and value or nil }
      end
      for _, row in ipairs {
        { "topics", { TOPIC }, "direct" }, { "confirm_subscriptions", true, "raw", "direct" },
        { "fetch_certificate", print, "raw", "direct" }, { "confirm", print, "raw", "direct" },
        { "roots", "x", "raw", "direct" }, { "intermediates", "x", "raw", "direct" },
        { "duplicate_key", print, "envelope", "raw" },
      } do
        for i = 3, #row do
          assert.truthy(refused(with(row[i], row[1], row[2])):find("has no meaning in mode " .. row[i], 1, true))
        end
      end
      assert.truthy(refused(minimal { transport = { send = print, sleep = print }, proxy = "" }):find("proxy", 1, true))
    end)
  end)
end)
