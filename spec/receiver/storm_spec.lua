--- Messages in numbers, doubled and out of order, while the receiver is killed ten times: none is lost, and none whose
-- handler came to its end is handled twice. STORM_MESSAGES says how many; 20000 take two minutes.
local cjson = require("cjson").new()
local chance = require("support.chance")
local files = require("support.files")
local folder = require("support.folder")
local program = require("support.program")
local sandboxes = require("paciolan.sandbox.child")
local socket = require("socket")

local MESSAGES = tonumber(os.getenv("STORM_MESSAGES")) or 400
local BATCH = 500
local PLACES = { "before", "inside", "handled", "committed" }
local KILLS = 10
local PATIENCE_S = 250
local KILLED = 137 -- 128 and the number of SIGKILL, as a shell says it

describe("a storm of messages", function()
  local box, place

  setup(function()
    box = sandboxes.start { seed = "storm", redelivery_ms = 100, redelivery_tries = 100 }
    place = folder.make()
    files.write(place .. "/effects", "")
  end)

  teardown(function()
    program.stop_all()
    folder.remove_all()
    box:stop()
  end)

  local function free_port()
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    server:close()
    return tonumber(port)
  end

  local function start(port, kill)
    local sns = box:sns()
    local options = { topics = { sns.topics.seats }, roots = sns.roots, ca_file = sns.ca_file,
      connect_to = sns.connect_to, reserve_s = 1 }
    local environment = program.environment { STORM_FOLDER = place, STORM_PORT = ("%d"):format(port),
      STORM_OPTIONS = cjson.encode(options), STORM_KILL = kill }
    return program.start(("env %s %s spec/support/storm_receiver.lua"):format(environment, program.lua))
  end

  local function publish()
    local ids = {}
    for first = 1, MESSAGES, BATCH do
      local bodies = {}
      for i = first, math.min(MESSAGES, first + BATCH - 1) do
        bodies[#bodies + 1] = { metadata = { messageEntity = "seats", pacOrganizationId = 129 }, data = { seats = {
          { accessId = "129:FB30:FB01", section = "ES:9", row = "1", seat = ("%d"):format(i), status = "UNLOCK" },
        } } }
      end
      local sent = box:publish { topic = "seats", bodies = bodies, duplicate = 0.3, reorder_ms = 400 }
      for _, id in ipairs(sent.messages) do
        ids[#ids + 1] = id
      end
    end
    return ids
  end

  -- Where each process dies: spread over the whole run, at a place that the seed chose.
  local function deaths()
    local draw, list = chance.new(20, 5), {}
    for i = 1, KILLS do
      local share = math.max(1, math.floor(MESSAGES / (KILLS + 2)))
      list[i] = ("%d %s"):format(1 + draw:below(share), PLACES[(i - 1) % #PLACES + 1])
    end
    return list
  end

  local INTERRUPTS = { inside = true, handled = true }

  -- How often each message was begun and ended, those that a death interrupted, and how many processes there were.
  local function read_effects()
    local begun, ended, interrupted, starts, dies_at, newest = {}, {}, {}, 0, nil, nil
    for word, id in files.read(place .. "/effects"):gmatch("(%a+) (%S+)\n") do
      if word == "start" then
        if INTERRUPTS[dies_at] then
          interrupted[newest] = true
        end
        starts, dies_at = starts + 1, id
      else
        local tally = word == "begin" and begun or ended
        tally[id], newest = (tally[id] or 0) + 1, id
      end
    end
    return begun, ended, interrupted, starts
  end

  local function wait_for_death(process)
    local stat = "/proc/" .. process.pid .. "/stat"
    for _ = 1, PATIENCE_S * 20 do
      local file = io.open(stat, "r")
      local state = file and file:read("*a"):match("%) (%a)")
      if file then
        file:close()
      end
      if not state or state == "Z" then
        return
      end
      socket.sleep(0.05)
    end
    error("the receiver did not die where it was told to")
  end

  it("loses none, and repeats only what was interrupted", function()
    local port = free_port()
    box:subscribe { url = ("http://127.0.0.1:%d/"):format(port), topic = "seats", confirmed = true }
    local ids = publish()
    for _, kill in ipairs(deaths()) do
      local process = start(port, kill)
      wait_for_death(process)
      assert.equal(KILLED, (process:stop()))
    end
    local last = start(port)
    local ends_at = socket.gettime() + PATIENCE_S
    while box:deliveries(0).waiting > 0 do
      assert.is_true(socket.gettime() < ends_at, "the deliveries do not end")
      socket.sleep(0.1)
    end
    files.write(place .. "/stop", "")
    wait_for_death(last)
    local code, _, problems = last:stop()
    assert.same({ 0, "" }, { code, problems })

    local view = box:deliveries(0)
    local begun, ended, interrupted, starts = read_effects()
    assert.equal(KILLS + 1, starts)
    assert.equal(MESSAGES, #ids)
    assert.is_true(view.counts.delivered > MESSAGES * 1.2, "too few were doubled")
    assert.is_true(view.counts.failed == 0 and view.counts.gave_up == 0, "deliveries were given up")
    for _, id in ipairs(ids) do
      assert.is_true((ended[id] or 0) >= 1, "a message was lost: " .. id)
      if not interrupted[id] then
        assert.equal(1, begun[id], "a message was handled twice: " .. id)
        assert.equal(1, ended[id])
      end
    end
  end)
end)
