--- One process of a torture run, see `support.torture`. It is killed where the plan says so, before or behind a write
-- of the journal or a request, and writes down what it was told before.
--
-- Environment:
-- * TORTURE_FOLDER: `settings` (JSON), `offset` (milliseconds by which its clock is ahead), `seats` (what there is to
--   sell), `told` (one line of JSON for each thing that happened), and the stores
-- * TORTURE_ROLE: `work` (resume, then go on with the slots), `resume` (one pass), `leave` (begin purchases and
--   leave them), `receive` (callbacks and messages, until there is a file `stop`), `report` (write down what the
--   journal says)
-- * TORTURE_PROCESS: its number, from 1
local cjson = require("cjson").new()
local core = require("paciolan.core")
local curl = require("paciolan.transport.curl")
local files = require("support.files")
local market = require("support.market")
local paciolan = require("paciolan")
local plan = require("support.torture_plan")
local stage = require("support.torture_stage")

local FOLDER, ROLE = os.getenv("TORTURE_FOLDER"), os.getenv("TORTURE_ROLE")
local PROCESS = tonumber(os.getenv("TORTURE_PROCESS"))
local PRICE = 45
local JUDGE_AFTER_MS = 1500000
local STORE_TRIES = 4
local TAIL_BYTES = 65536 -- of `told`: what is newest stands there
local FAR = "2099-01-01T00:00:00Z"

-- On Lua 5.4 what comes out of JSON are floats, and 7.0 would be another id than 7.
local function read_settings()
  local read = cjson.decode(files.read(FOLDER .. "/settings"))
  for name, value in pairs(read) do
    read[name] = type(value) == "number" and value == math.floor(value) and math.floor(value) or value
  end
  return read
end

local settings = read_settings()
local size = plan.size(settings.runs)

local function read_offset()
  return tonumber(files.read(FOLDER .. "/offset"))
end

local offset_ms = read_offset()

local function now_ms()
  return core.now_ms() + offset_ms
end

stage.open { folder = FOLDER, process = PROCESS, settings = settings }

-- --- what there is ------------------------------------------------------------------------------------------------

local function open_store()
  if settings.redis then
    return paciolan.store.redis(settings.redis)
  end
  return assert(paciolan.store.sqlite { path = FOLDER .. "/journal.db", now_ms = now_ms })
end

local function new_link(transport)
  return paciolan.new { base_url = settings.base_url, application_id = settings.application_id,
    api_key = settings.api_key, channel_code = settings.channel_code, organization_id = settings.organization_id,
    user_agent = "Torture/1.0", auth = { access_token = settings.access_token, expiration = FAR },
    timeout_ms = settings.timeout_ms, deadline_ms = settings.deadline_ms, transport = transport }
end

local network, store = stage.network(), open_store()
local link = new_link(network)
local flows = link:workflows { store = stage.store(store), now_ms = now_ms,
  poll = { first_ms = 1, max_ms = 5, deadline_ms = settings.poll_ms } }
local plain -- of one whom nothing goes wrong for, and who has no journal

local function plain_link()
  plain = plain or new_link(curl.new())
  return plain
end

-- Sends a control call of the sandbox.
local function control(method, path, payload)
  local transport = curl.new()
  local answer = assert(transport:send { method = method, url = settings.base_url .. path, headers = {},
    body = payload and cjson.encode(payload) or nil })
  transport:close()
  return cjson.decode(answer.body)
end

local seats = {}

local function read_seats()
  for line in io.lines(FOLDER .. "/seats") do
    local token, barcode = line:match("^(%S+) (%S+)$")
    seats[#seats + 1] = { tokens = token, barcodes = barcode }
  end
end

local function values_of(slot)
  local list = {}
  for i, place in ipairs(slot.seats) do
    list[i] = seats[place][slot.by]
  end
  return list
end

-- --- the trade ----------------------------------------------------------------------------------------------------

local function callback_url(slot)
  return slot.has_callback and settings.callback_url or slot.goes_nowhere and settings.nowhere_url or nil
end

local function tell_result(slot, name, result, err)
  local entry = { what = "told", slot = slot.slot, call = name, is_done = result ~= nil }
  if err then
    entry.kind, entry.outcome, entry.state = err.kind, err.outcome, err.run and err.run.state
    assert(err.run or err.kind == "store" or err.kind == "validation" or err.kind == "canceled",
      "an error without its run: " .. tostring(err))
  end
  stage.tell(entry)
  return result, err
end

-- Whoever learns that the store failed asks again: with the same id that can do no harm.
local function insist(method, input)
  local result, err
  for _ = 1, STORE_TRIES do
    result, err = flows[method](flows, input)
    if result or err.kind ~= "store" then
      break
    end
    core.sleep(settings.store_pause_ms)
  end
  return result, err
end

local function listing_of(slot)
  local input = { external_listing_id = "L-" .. slot.slot, price = PRICE }
  if slot.account then
    input.listing_id = settings.listings[slot.account]
  else
    input.source, input.seller, input.access_id = slot.source, market.seller(), settings.access_id
    input[slot.by] = values_of(slot)
  end
  return input
end

local function buyer(slot)
  local number = slot.slot % 500
  return { firstName = "Tony", lastName = "Stark",
    emailAddress = { email = ("buyer%d@stark.example"):format(number), optIn = true } }
end

local function settlement(slot)
  return { totalAmountPaid = 50, amountToSeller = 40, asyncCallbackUrl = callback_url(slot) }
end

local function order_of(slot, listing_id, tokens, order_id)
  local rows = {}
  for i, token in ipairs(tokens) do
    rows[i] = { token = token, individualPrice = PRICE, individualFees = 2 }
  end
  return { listing = { externalListingId = listing_id, externalOrderId = order_id or "O-" .. slot.slot,
    totalPrice = PRICE * #tokens, totalFees = 2 * #tokens, tokens = rows }, buyer = buyer(slot),
    settlement = settlement(slot) }
end

-- Somebody without a journal buys the same seats, while nobody knows whether they were sold.
local function raid(slot, listing_id, tokens)
  local order = order_of(slot, listing_id, tokens, "X-" .. slot.slot)
  order.settlement.asyncCallbackUrl, order.buyer.emailAddress.email = nil, "raider@stark.example"
  local result = plain_link().orders:complete(order)
  stage.tell { what = "raid", slot = slot.slot, is_done = result ~= nil }
end

local function buy(slot, listing_id, tokens)
  local _, err = tell_result(slot, "buy", insist("buy", order_of(slot, listing_id, tokens)))
  if err and err.run and err.run.state == "in_doubt" and slot.is_raided then
    raid(slot, listing_id, tokens)
  end
end

local function fulfil(slot)
  local input = listing_of(slot)
  input.external_order_id, input.buyer, input.settlement = "O-" .. slot.slot, buyer(slot), settlement(slot)
  tell_result(slot, "fulfil", insist("fulfil", input))
end

local function rival_tokens(slot)
  local list = {}
  for i, place in ipairs(slot.seats) do
    list[i] = seats[place].tokens
  end
  return list
end

local function sell_and_buy(slot)
  local input = listing_of(slot)
  input.keep_partial = slot.how == "partial"
  local listed = tell_result(slot, "sell", insist("sell", input))
  if slot.how == "delist" and listed then
    tell_result(slot, "delist", insist("delist", { external_listing_id = "L-" .. slot.slot }))
  elseif listed then
    buy(slot, "L-" .. slot.slot, listed.tokens)
  elseif slot.buys_anyway and not slot.account then
    buy(slot, "L-" .. slot.slot, rival_tokens(slot))
  end
end

local function purchase(slot)
  if slot.how == "fulfil" or slot.how == "rival_fulfil" then
    fulfil(slot)
  elseif slot.how == "rival_buy" then
    buy(slot, "L-" .. slot.rival_of, rival_tokens(slot))
  else
    sell_and_buy(slot)
  end
end

-- What is worked on in this slot takes longer than anybody waits for it.
local function late(slot)
  control("POST", "/_sandbox/options", { pending_s = plan.LATE_S })
  purchase(slot)
  control("POST", "/_sandbox/options", { pending_s = plan.PENDING_S })
end

-- The result of the first purchase of a group that is sold.
local function sold_purchase(first)
  for number = first, first + 4 do
    local found = flows:find("O-" .. number)
    local tickets = found and found.result and found.result.tickets
    if found and found.state == "done" and tickets and tickets[1] and tickets[1].ownerId then
      return found
    end
  end
end

local function transfer(slot)
  local sold = sold_purchase(slot.first)
  if not sold then
    return nil
  end
  local tokens = {}
  for i = 1, math.min(3, #sold.result.tokens) do
    tokens[i] = sold.result.tokens[i]
  end
  local payload = market.items_payload(sold.result.tickets[1].ownerId, sold.id, tokens)
  payload.transferRequests[1].externalTransferId, payload.accept = "T-" .. slot.slot, slot.accept
  payload.asyncCallbackUrl = callback_url(slot)
  local result = tell_result(slot, "transfer", insist("transfer", payload))
  if result and slot.is_canceled then
    tell_result(slot, "cancel", insist("cancel_transfer", { external_transfer_id = "T-" .. slot.slot }))
  end
end

local function run_slot(number, attempt)
  local slot = plan.slot(settings, size, number)
  local context = attempt and ("%d/%d"):format(number, attempt) or ("%d"):format(number)
  local scene = stage.set(context, not attempt and slot.kill or nil, slot.is_clean)
  stage.tell { what = "begin", slot = number }
  scene.loses_order = slot.is_lost or slot.is_late
  local run = slot.kind == "transfer" and transfer or slot.is_late and late or purchase
  run(slot)
  stage.tell { what = "end", slot = number }
end

-- --- a person -----------------------------------------------------------------------------------------------------

local WRITES = { transfer = "initiate", buy = "order", fulfil = "order" }

-- Asks the service's people what became of an offer or an order that nobody can tell about otherwise, and decides.
local function judge(summary)
  local slot = plan.slot(settings, size, tonumber(summary.id:match("%d+")))
  local is_ripe = summary.state == "in_doubt" and summary.step == "settle" and not slot.is_late
    and now_ms() - summary.since_ms >= JUDGE_AFTER_MS
  local found = is_ripe and slot.is_judged and flows:find(summary.id, { kind = summary.kind })
  local sent
  for _, step in ipairs(found and found.steps or {}) do
    sent = step.name == WRITES[summary.kind] and step or sent
  end
  if sent then
    local known = control("GET", "/_sandbox/ledger/" .. sent.request_id)
    flows:settle(summary.id, { kind = summary.kind, as = #known.commits > 0 and "done" or "failed",
      because = "the service was asked" })
    stage.tell { what = "judged" }
  end
end

-- --- roles --------------------------------------------------------------------------------------------------------

local ENDED = { done = true, failed = true, sold = true, delisted = true, canceled = true }

local function ended_in(list)
  local names = {}
  for _, summary in ipairs(list) do
    names[#names + 1] = ENDED[summary.state] and not summary.held and summary.kind .. " " .. summary.id or nil
  end
  return #names > 0 and names or nil
end

local function resume()
  local name = PROCESS .. ROLE
  local kill = not settings.is_calm and plan.kill_in_resume(settings, name) or nil
  local scene = stage.set("resume-" .. name, kill, settings.is_calm)
  scene.is_calm = settings.is_calm
  local list, err = flows:resume()
  stage.tell { what = "resume", count = #(list or {}), kind = err and err.kind, ended = ended_in(list or {}) }
  stage.set("judge-" .. PROCESS, nil, true).is_calm = true
  for _, summary in ipairs(list or {}) do
    assert(not summary.told:find("@"), "what is told of a run names a person")
    judge(summary)
  end
end

-- The slot to go on with, and the one that was interrupted, if any.
local function where_it_stopped()
  local begun, ended, file = 0, 0, assert(io.open(FOLDER .. "/told", "rb"))
  if file:seek("set", math.max(0, file:seek("end") - TAIL_BYTES)) > 0 then
    file:read("*l") -- the rest of a line
  end
  for line in file:lines() do
    local what, slot = line:match('"what":"(%a+)"'), tonumber(line:match('"slot":(%d+)'))
    begun = what == "begin" and math.max(begun, slot) or begun
    ended = what == "end" and math.max(ended, slot) or ended
  end
  file:close()
  return math.max(begun + 1, settings.first), begun > ended and begun or nil
end

local function driver_lives()
  local file = io.open(("/proc/%d/stat"):format(settings.driver), "r")
  return file ~= nil and (file:close() or true)
end

local roles = { resume = resume }

function roles.work()
  read_seats()
  control("POST", "/_sandbox/options", { pending_s = plan.PENDING_S })
  local next_slot, interrupted = where_it_stopped()
  if PROCESS > 1 then
    resume()
  end
  if interrupted and plan.slot(settings, size, interrupted).asks_again then
    run_slot(interrupted, PROCESS)
  elseif interrupted then
    stage.tell { what = "end", slot = interrupted }
  end
  for slot = next_slot, settings.last do
    if not driver_lives() then
      error("whoever started this is gone")
    end
    run_slot(slot)
  end
  stage.tell { what = "finished" }
end

-- Begins purchases while the store breaks in the middle of each, so that they are left as if the process had died.
function roles.leave()
  read_seats()
  for number = settings.first, settings.last do
    local slot = plan.slot(settings, size, number)
    if slot.kind == "purchase" then
      local scene = stage.set("left-" .. number, nil, true)
      scene.is_calm, scene.breaks_at = true, 3 + number % 15
      purchase(slot)
    end
  end
end

local function is_stopped()
  local file = io.open(FOLDER .. "/stop", "r")
  return file ~= nil and (file:close() or true)
end

function roles.receive()
  local httpd = require("paciolan.httpd")
  local server = assert(httpd.listen { host = "127.0.0.1", port = settings.receiver_port })
  local receiver = paciolan.receiver { mode = "direct", basic_auth = { user = "torture", password = "no secret" },
    store = store, callback = { path = settings.callback_path },
    on_callback = function(result, request) return flows:on_callback(result, request) end,
    on_seat = function(item, message) return flows:on_seat(item, message) end }
  print("ready")
  io.flush()
  repeat
    local request = server:next(100)
    if request then
      offset_ms = read_offset() or offset_ms
      local answer = receiver:handle(request)
      server:reply(request, answer.status, answer.headers, answer.body)
    end
  until not request and (is_stopped() or not driver_lives())
  server:close()
end

local function report_of(kind, id)
  local found, err = flows:find(id, { kind = kind })
  assert(found or not err, err)
  if not found then
    return nil
  end
  assert(not found.told:find("@"), "what is told of a run names a person")
  local evidence, result = {}, type(found.result) == "table" and found.result or {}
  for i, entry in ipairs(found.evidence) do
    evidence[i] = entry.what
  end
  local printed = {}
  for i, ticket in ipairs(result.tickets or {}) do
    printed[i] = ticket.token
  end
  return { kind = kind, id = id, state = found.state, step = found.step, told = found.told, evidence = evidence,
    tokens = result.tokens or {}, printed = printed, attempt = found.attempt, accepted = result.accepted,
    has_ended = found.ended_ms ~= nil }
end

local KINDS_OF_ID = { L = { "sell" }, O = { "buy", "fulfil" }, T = { "transfer" } }

function roles.report()
  stage.set("report", nil, true)
  local out = assert(io.open(FOLDER .. "/report", "wb"))
  for slot = settings.first, settings.last do
    for prefix, kinds in pairs(KINDS_OF_ID) do
      for _, kind in ipairs(kinds) do
        local entry = report_of(kind, prefix .. "-" .. slot)
        if entry then
          entry.slot = slot
          assert(out:write(cjson.encode(entry), "\n"))
        end
      end
    end
  end
  for _, summary in ipairs(assert(flows:unfinished())) do
    assert(out:write(cjson.encode { unfinished = summary.id, told = summary.told }, "\n"))
  end
  assert(out:close())
end

roles[ROLE]()
stage.close()
link:close()
if plain then
  plain:close()
end
store:close()
