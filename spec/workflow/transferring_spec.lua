--- Transfers against the sandbox: each step, and each of them when its answer is lost, when it is refused, and when the
-- process ends in the middle of it.

local transports = require("paciolan.transport")
local errors = require("paciolan.errors")
local json = require("paciolan.json")
local market = require("support.market")
local memory = require("paciolan.store.memory")

local PLACES = { distributor_code = "AMTX" }
local INITIATE, PENDING = "/v2/tickets/transfer$", "/v2/tickets/transfer/pending/"
local ACCEPT, HISTORY = "/v1/tickets/transfer/accept$", "/v1/tickets/transfer/[^/]+$"

describe("flows:transfer and flows:cancel_transfer", function()
  local place, store, transport, flows, number

  -- A transport that waits for nothing. `meddle(request, send)` answers a request in its place.
  local function new_transport()
    local inner = transports.default({})
    local own = { sleeps = 0 }
    function own.send(_, request)
      local function send() return inner:send(request) end
      if own.meddle then
        return own.meddle(request, send)
      end
      return send()
    end
    function own.sleep()
      own.sleeps = own.sleeps + 1
      if own.on_sleep then
        own.on_sleep()
      end
    end
    function own.close() inner:close() end
    return own
  end

  local function open_flows(link, options)
    local all = { store = store, poll = { first_ms = 1, max_ms = 2, deadline_ms = 3 } }
    for name, value in pairs(options or {}) do
      all[name] = value
    end
    return link:workflows(all)
  end

  setup(function()
    transport, number = new_transport(), 0
    place = market.open({ pending_polls = 0 }, { transport = transport })
  end)

  teardown(function()
    place:close()
  end)

  before_each(function()
    store, number = memory.new(), number + 1
    flows = open_flows(place.link)
    transport.meddle, transport.on_sleep = nil, nil
    place.box:control("DELETE", "/_sandbox/faults")
    place.box:control("POST", "/_sandbox/options", { pending_polls = 0 })
  end)

  after_each(function()
    store:close()
  end)

  -- --- what the tests are about ---------------------------------------------------------------------------------

  local function new_id()
    return ("T-%d"):format(number)
  end

  -- A transfer of two seats that were sold, by their tokens.
  local function of_tokens(more)
    local tokens, order_id = place:tokens(2), ("O-%d"):format(number)
    local owner = place:sell(tokens, order_id).offers[1].event.seats[1].ownerId
    local input = market.items_payload(owner, order_id, tokens)
    input.transferRequests[1].externalTransferId = new_id()
    for name, value in pairs(more or {}) do
      input[name] = value
    end
    return input, tokens
  end

  -- A transfer of one seat by its place.
  local function of_seats(more)
    local tokens, seats = place:tokens(1)
    local input = market.seats_payload(seats)
    input.transferRequests[1].externalTransferId = new_id()
    input.distributor_code = PLACES.distributor_code
    for name, value in pairs(more or {}) do
      input[name] = value
    end
    return input, tokens
  end

  local function fault(operation, text, count)
    local _, status = place.box:control("POST", "/_sandbox/faults", { fault = text, operation = operation,
      count = count or 1 })
    assert.equal(200, status)
  end

  local function calm()
    place.box:control("DELETE", "/_sandbox/faults")
  end

  -- The transfers of this test in the sandbox's own book.
  local function made()
    local list = {}
    for _, entry in ipairs(place:ledger().transfers) do
      list[#list + 1] = entry.externalTransferId == new_id() and entry or nil
    end
    return list
  end

  -- How many requests of each kind an action makes.
  local function requests_of(action)
    local before, found = #place:ledger().requests, {}
    action()
    local list = place:ledger().requests
    for i = before + 1, #list do
      found[list[i].operation] = (found[list[i].operation] or 0) + 1
    end
    return found
  end

  local function is_request(request, method, path)
    return request.method == method and request.url:match("^[^?]*"):find(path) ~= nil
  end

  -- The process ends at such a request, before it is sent or behind it.
  local function die_at(method, path, is_behind)
    transport.meddle = function(request, send)
      if is_request(request, method, path) then
        transport.meddle = nil
        if is_behind then
          send()
        end
        error("the process died", 0)
      end
      return send()
    end
  end

  -- The work is done and the answer lost; what it was is given to `take`.
  local function lose_answer(method, path, take)
    transport.meddle = function(request, send)
      local answer, failure = send()
      if answer and is_request(request, method, path) then
        transport.meddle = nil
        take(json.decode(answer.body))
        return nil, { kind = "network", phase = "unknown", message = "the answer was lost", elapsed_ms = 1 }
      end
      return answer, failure
    end
  end

  -- Changes answers: `change(answer)` for each to such a request.
  local function alter(method, path, change)
    local before = transport.meddle
    transport.meddle = function(request, send)
      local answer, failure = (before or function(_, own) return own() end)(request, send)
      if answer and is_request(request, method, path) then
        change(answer)
      end
      return answer, failure
    end
  end

  local function evidence_of(what)
    for _, entry in ipairs(flows:find(new_id()).evidence) do
      if entry.what == what then
        return entry
      end
    end
    return nil
  end

  local function assert_run(state, step)
    local run = flows:find(new_id())
    assert.same({ state, step }, { run.state, run.step })
  end

  -- The journal as it stands, to search it.
  local function journal_text()
    local parts = {}
    for _, pair in ipairs(store:list("")) do
      parts[#parts + 1] = pair[2]
    end
    return table.concat(parts, "\n")
  end

  local function assert_owners_changed(tokens, owner)
    for _, token in ipairs(tokens) do
      assert.not_equal(owner, place:world()[token].ownerId)
    end
  end

  -- --- offering -------------------------------------------------------------------------------------------------

  describe("offers seats", function()
    it("by token, after writing down whose they are, and tells what the service told", function()
      local input = of_tokens()
      local result = assert(flows:transfer(input))
      assert.same({ new_id(), made()[1].confirmationCd, "pending", false, false },
        { result.id, result.confirmation_cd, result.transfer_status, result.accepted, result.canceled })
      assert.is_truthy(result.transfer_id and result.url and result.process_id)
      assert.equal("pending", made()[1].status)
      assert_run("done")
      assert.same({}, flows:unfinished())
    end)

    it("by their places, which tokens are not asked about", function()
      local input = of_seats()
      local seen = requests_of(function() assert(flows:transfer(input)) end)
      assert.same({ ["transfers.initiate"] = 1 }, seen)
      assert.equal(1, #made())
    end)

    it("in the lower-case spelling too (row 1)", function()
      local input, tokens = of_tokens()
      local entry = input.transferRequests[1]
      input.transferRequests[1] = { externalTransferId = new_id(), sender = entry.Sender, recipient = entry.Recipient,
        items = entry.Items }
      input.accept = true
      assert.is_true(assert(flows:transfer(input)).accepted)
      assert_owners_changed(tokens, entry.Sender.patronId)
    end)

    it("once: a repeated call returns the same and sends nothing", function()
      local input = of_tokens()
      local first = assert(flows:transfer(input))
      local again
      local seen = requests_of(function() again = assert(open_flows(place.link):transfer(input)) end)
      assert.same({}, seen)
      assert.same(first, again)
    end)

    it("and refuses another transfer with the same id", function()
      local input = of_tokens()
      assert(flows:transfer(input))
      input.linkId = "another"
      local seen = requests_of(function()
        local result, err = flows:transfer(input)
        assert.is_nil(result)
        assert.same({ "validation", "not_sent", "done" }, { err.kind, err.outcome, err.run.state })
      end)
      assert.same({}, seen)
    end)

    it("also where the service does not know all tokens", function()
      local input = of_tokens()
      fault("tickets.verify", "partial")
      assert(flows:transfer(input))
      assert.is_truthy(evidence_of("owners_untold_before"))
    end)

    it("and forgets who the recipient is when nobody needs that any more", function()
      local input = of_tokens()
      assert(flows:transfer(input))
      assert.is_nil(journal_text():find("ramirez", 1, true))
    end)
  end)

  describe("takes nothing wrong:", function()
    it("an unknown option raises at the caller's line", function()
      local ok, message = pcall(function() flows:transfer { recipients = {} } end)
      assert.is_false(ok)
      assert.is_truthy(message:find("transferring_spec.lua:%d+: workflows.transfer: unknown option recipients"))
    end)

    it("so does one of another type", function()
      local input = of_seats { accept = "yes" }
      local ok, message = pcall(function() flows:transfer(input) end)
      assert.is_false(ok)
      assert.is_truthy(message:find("transferring_spec.lua:%d+: workflows.transfer: accept must be a boolean"))
      ok, message = pcall(function() flows:cancel_transfer { external_transfer_id = 7 } end)
      assert.is_false(ok)
      assert.is_truthy(message:find("transferring_spec.lua:%d+: workflows.cancel_transfer: external_transfer_id must"))
    end)

    -- What is done to a payload that would pass, and the place and the rule of the violation.
    local WRONG = {
      { "no id", function(input) input.transferRequests[1].externalTransferId = nil end,
        "/transferRequests/0/externalTransferId", "required" },
      { "an empty id", function(input) input.transferRequests[1].externalTransferId = "" end,
        "/transferRequests/0/externalTransferId", "required" },
      { "an id that is no text", function(input) input.transferRequests[1].externalTransferId = 7 end,
        "/transferRequests/0/externalTransferId", "type" },
      { "no recipient", function(input) input.transferRequests[1].Recipient = nil end,
        "/transferRequests/0/Recipient", "required" },
      { "no transfer", function(input) input.transferRequests = nil end, "/transferRequests", "required" },
      { "two transfers", function(input) input.transferRequests[2] = input.transferRequests[1] end,
        "/transferRequests", "max_items" },
      { "seats without a distributor", function(input) input.distributor_code = nil end,
        "/transferRequests/0/Seats", "option" },
    }
    for _, row in ipairs(WRONG) do
      it(row[1] .. " is an error, and no run is made", function()
        local input = of_seats()
        row[2](input)
        local seen = requests_of(function()
          local result, err = flows:transfer(input)
          assert.is_nil(result)
          assert.same({ "validation", "not_sent", row[3], row[4] },
            { err.kind, err.outcome, err.fields[1].path, err.fields[1].rule })
        end)
        assert.same({}, seen)
        assert.same({}, store:list("paciolan/"))
      end)
    end
  end)

  describe("offers nothing", function()
    it("when the service refuses, and says so again without asking", function()
      local input = of_tokens()
      input.transferRequests[1].Sender = { patronId = "1" }
      local _, err = flows:transfer(input)
      assert.same({ "http", "rejected", "failed" }, { err.kind, err.outcome, err.run.state })
      local seen = requests_of(function() _, err = flows:transfer(input) end)
      assert.same({}, seen)
      assert.same({ "http", "rejected", "failed" }, { err.kind, err.outcome, err.run.state })
    end)

    it("when nothing was sent, and a repeated call begins anew", function()
      local input = of_seats()
      transport.meddle = function(request, send)
        if is_request(request, "POST", INITIATE) then
          return nil, { kind = "network", phase = "not_sent", message = "refused", elapsed_ms = 1 }
        end
        return send()
      end
      local _, err = flows:transfer(input)
      assert.same({ "network", "not_sent", "failed" }, { err.kind, err.outcome, err.run.state })
      transport.meddle = nil
      assert(flows:transfer(input))
      assert.equal(2, flows:find(new_id()).attempt)
      assert.equal(1, #made())
    end)

    it("when it cannot be read whose seats they are, and a repeated call begins anew", function()
      local input = of_tokens()
      fault("tickets.verify", "status=503", 10)
      local _, err = flows:transfer(input)
      assert.same({ "http", "not_sent", "failed" }, { err.kind, err.outcome, err.run.state })
      assert.equal(0, #made())
      calm()
      assert(flows:transfer(input))
    end)

    it("when the journal cannot be written", function()
      local input = of_tokens()
      local full = setmetatable({}, { __index = function(_, name)
        return function(_, key, ...)
          if name == "add" and key:find("^paciolan/run/") then
            return nil, errors.store("the disk is full")
          end
          return store[name](store, key, ...)
        end
      end })
      local broken = open_flows(place.link, { store = full })
      local seen = requests_of(function()
        local _, err = broken:transfer(input)
        assert.same({ "store", "not_sent" }, { err.kind, err.outcome })
      end)
      assert.is_nil(seen["transfers.initiate"])
      assert(flows:transfer(input))
    end)
  end)

  -- --- PENDING --------------------------------------------------------------------------------------------------

  describe("waits while the service works:", function()
    it("asks until it is done", function()
      local input = of_tokens()
      flows = open_flows(place.link, { poll = { first_ms = 1, max_ms = 1, deadline_ms = 10000 } })
      fault("transfers.initiate", "pending=2")
      local result
      local seen = requests_of(function() result = assert(flows:transfer(input)) end)
      assert.equal(3, seen["transfers.pending"])
      assert.equal(made()[1].confirmationCd, result.confirmation_cd)
    end)

    it("is told by the callback, and does not ask", function()
      local input = of_seats()
      local patient = open_flows(place.link, { poll = { first_ms = 5000, max_ms = 5000, deadline_ms = 20000 } })
      fault("transfers.initiate", "pending=1")
      local process_id
      transport.meddle = function(request, send)
        local answer, failure = send()
        process_id = is_request(request, "POST", INITIATE) and json.decode(answer.body).processId or process_id
        return answer, failure
      end
      transport.on_sleep = function()
        transport.on_sleep = nil
        local body = { processId = process_id, transactionStatus = "COMPLETE", confirmationCd = "1-AMTX:1",
          transferId = "key", transferStatus = "pending", url = "https://accept.example/1" }
        for _ = 1, 2 do
          assert.is_true(flows:on_callback({ process_id = process_id, state = "COMPLETE", body = body }))
        end
      end
      local result
      local seen = requests_of(function() result = assert(patient:transfer(input)) end)
      assert.is_nil(seen["transfers.pending"])
      assert.same({ "1-AMTX:1", "key", process_id }, { result.confirmation_cd, result.transfer_id, result.process_id })
    end)

    it("fails when it ends with ERROR: nothing was offered", function()
      local input = of_tokens()
      flows = open_flows(place.link, { poll = { first_ms = 1, max_ms = 1, deadline_ms = 10000 } })
      place.box:control("POST", "/_sandbox/options", { pending_polls = 1 })
      fault("transfers.initiate", "error")
      local _, err = flows:transfer(input)
      assert.same({ "http", "rejected", "failed" }, { err.kind, err.outcome, err.run.state })
      assert.equal(0, #made())
    end)

    -- Still PENDING when the time is over.
    local function left_pending()
      local input = of_tokens()
      fault("transfers.initiate", "pending=900")
      local _, err = flows:transfer(input)
      assert.same({ "timeout", "unknown", "in_doubt" }, { err.kind, err.outcome, err.run.state })
      return err.process_id, input
    end

    it("is in doubt when the time is over, and done by a later callback", function()
      local process_id, input = left_pending()
      assert.is_truthy(flows:unfinished()[1].told:find(process_id, 1, true))
      local result = { process_id = process_id, state = "COMPLETE", body = { processId = process_id,
        transactionStatus = "COMPLETE", confirmationCd = "1-AMTX:2", transferId = "key" } }
      assert.is_true(flows:on_callback(result))
      assert.equal("done", flows:resume()[1].state)
      assert.equal("1-AMTX:2", assert(flows:transfer(input)).confirmation_cd)
    end)

    it("is settled by another process that asks", function()
      left_pending()
      assert.equal("in_doubt", flows:resume()[1].state)
      place.box:control("POST", "/_sandbox/clock", { advance_s = 61 })
      local seen = requests_of(function() assert.equal("done", flows:resume()[1].state) end)
      assert.is_nil(seen["transfers.initiate"])
      assert.equal(made()[1].confirmationCd, flows:find(new_id()).result.confirmation_cd)
    end)

    it("is done when a callback came while somebody else had it, whatever a person says of it", function()
      local process_id = left_pending()
      local held = assert(flows.journal:claim("transfer", new_id()))
      assert.is_true(flows:on_callback { process_id = process_id, state = "COMPLETE",
        body = { transactionStatus = "COMPLETE", confirmationCd = "1-AMTX:4" } })
      assert.is_true(flows:resume()[1].held)
      held:release()
      assert.equal("done", flows:settle(new_id(), { as = "failed", because = "nothing was seen" }).state)
    end)

    it("is opened again by a callback when a person ended it as failed", function()
      local process_id = left_pending()
      assert.equal("failed", flows:settle(new_id(), { as = "failed", because = "no such offer was found" }).state)
      assert.is_true(flows:on_callback { process_id = process_id, state = "COMPLETE",
        body = { transactionStatus = "COMPLETE", confirmationCd = "1-AMTX:3" } })
      assert.equal("done", flows:resume()[1].state)
    end)
  end)

  -- --- the unknown offer ----------------------------------------------------------------------------------------

  describe("is in doubt", function()
    local function assert_stays(input)
      local seen = requests_of(function()
        local _, err = flows:transfer(input)
        assert.same({ "unknown", false, "in_doubt", "settle" },
          { err.outcome, err.retryable, err.run.state, err.run.step })
        assert.equal("in_doubt", flows:resume()[1].state)
        assert.equal("in_doubt", flows:settle(new_id()).state)
      end)
      assert.is_nil(seen["transfers.initiate"])
    end

    local LOSSES = { { "reset=before", 0 }, { "reset=after", 1 }, { "status=503;after", 1 }, { "html=502", 0 } }
    for _, row in ipairs(LOSSES) do
      it("after " .. row[1] .. ", is not sent again, and unchanged owners decide nothing", function()
        local input = of_tokens()
        fault("transfers.initiate", row[1])
        local _, err = flows:transfer(input)
        assert.same({ "unknown", "in_doubt" }, { err.outcome, err.run.state })
        assert_stays(input)
        assert.equal(row[2], #made())
        assert.is_true(evidence_of("owners_unchanged").times >= 3)
        assert.is_truthy(evidence_of("answer_lost"))
      end)
    end

    it("without any evidence when the seats are known by place", function()
      local input = of_seats()
      fault("transfers.initiate", "reset=after")
      assert.equal("in_doubt", select(2, flows:transfer(input)).run.state)
      assert_stays(input)
    end)

    -- The service answers 500 UNHANDLED_EXCEPTION with the id of a process, every time.
    local function unhandled()
      transport.meddle = function(request, send)
        if is_request(request, "POST", INITIATE) then
          request.headers[#request.headers + 1] = { "X-Sandbox-Outcome", "unhandled" }
        end
        return send()
      end
    end

    it("after the error that the client itself tries again, four times at most", function()
      local input = of_tokens()
      unhandled()
      local err
      local seen = requests_of(function() err = select(2, flows:transfer(input)) end)
      assert.same({ 4, "unknown", "in_doubt" }, { seen["transfers.initiate"], err.outcome, err.run.state })
      assert_stays(input)
      assert.equal(404, evidence_of("poll_failed").status)
    end)

    it("also when the last of those tries is told to have ended with ERROR", function()
      local input = of_tokens()
      unhandled()
      alter("GET", PENDING, function(answer)
        answer.status, answer.body = 200, '{"processId":"p","transactionStatus":"ERROR"}'
      end)
      flows:transfer(input)
      assert_stays(input)
      assert.equal("ERROR", evidence_of("poll").state)
    end)

    for _, row in ipairs { { "COMPLETE", "done" }, { "ERROR", "failed" } } do
      it("not when the process that a failure names is " .. row[1], function()
        local input = of_tokens()
        flows = open_flows(place.link, { poll = { first_ms = 1, max_ms = 1, deadline_ms = 10000 } })
        place.box:control("POST", "/_sandbox/options", { pending_polls = 1 })
        fault("transfers.initiate", row[1] == "ERROR" and "error" or "delay=0")
        alter("POST", INITIATE, function(answer) answer.status = 503 end)
        local seen = requests_of(function() flows:transfer(input) end)
        assert.same({ 1, 2 }, { seen["transfers.initiate"], seen["transfers.pending"] })
        assert.equal(row[2], flows:find(new_id()).state)
        assert.is_truthy(evidence_of("answer_lost"))
        assert.equal(row[1] == "COMPLETE" and 1 or 0, #made())
      end)
    end

    it("when PENDING names no process", function()
      local input = of_tokens()
      fault("transfers.initiate", "pending=1")
      alter("POST", INITIATE, function(answer) answer.body = '{"transactionStatus":"PENDING"}' end)
      assert.equal("in_doubt", select(2, flows:transfer(input)).run.state)
      assert_stays(input)
    end)

    it("when somebody else has written into the journal meanwhile", function()
      local input = of_tokens()
      alter("POST", INITIATE, function()
        local pair = store:list("paciolan/run/")[1]
        store:put(pair[1], pair[2] .. " ")
      end)
      local _, err = flows:transfer(input)
      assert.same({ "canceled", "unknown", true }, { err.kind, err.outcome, err.retryable })
      transport.meddle = nil
      assert_stays(input)
    end)

    it("not when one of those tries succeeds", function()
      local input = of_tokens()
      fault("transfers.initiate", "unhandled", 2)
      assert(flows:transfer(input))
      assert.equal(1, #made())
    end)

    for _, is_behind in ipairs { false, true } do
      it("when the process ended " .. (is_behind and "behind" or "before") .. " the sending", function()
        local input = of_tokens()
        die_at("POST", INITIATE, is_behind)
        assert.is_false(pcall(flows.transfer, flows, input))
        assert.is_truthy(flows:unfinished()[1].told:find("were being offered at", 1, true))
        local seen = requests_of(function() assert.equal("in_doubt", flows:resume()[1].state) end)
        assert.is_nil(seen["transfers.initiate"])
        assert_stays(input)
        assert.equal(is_behind and 1 or 0, #made())
      end)
    end

    it("until its recipient accepts: all owners have changed", function()
      local input, tokens = of_tokens()
      local transfer_id
      lose_answer("POST", INITIATE, function(body) transfer_id = body.transferId end)
      assert.equal("in_doubt", select(2, flows:transfer(input)).run.state)
      assert(place.link.transfers:accept { transferId = transfer_id, Recipient = market.RECIPIENT })
      local settled = flows:settle(new_id())
      assert.same({ "done", true }, { settled.state, settled.result.accepted })
      assert.equal(#tokens, evidence_of("owners_changed").changed)
      assert.is_true(assert(flows:transfer(input)).accepted)
    end)

    it("also when only some owners have changed", function()
      local input = of_tokens()
      fault("transfers.initiate", "reset=before")
      flows:transfer(input)
      local sender, item = input.transferRequests[1].Sender.patronId, input.transferRequests[1].Items[1]
      local offer = assert(place.link.transfers:initiate(market.items_payload(sender, item.externalOrderId,
        { item.tokens[1] })))
      assert(place.link.transfers:accept { transferId = offer.transferId, Recipient = market.RECIPIENT })
      assert.equal("in_doubt", flows:settle(new_id()).state)
      local entry = evidence_of("some_owners_changed")
      assert.same({ 1, 1 }, { entry.changed, entry.unchanged })
    end)

    it("also when the service tells no owners, or cannot be asked", function()
      local input = of_tokens()
      fault("transfers.initiate", "reset=before")
      flows:transfer(input)
      fault("tickets.verify", "partial")
      assert.equal("in_doubt", flows:settle(new_id()).state)
      assert.is_truthy(evidence_of("owners_untold"))
      fault("tickets.verify", "status=503", 10)
      local _, err = flows:transfer(input)
      assert.same({ "transfers.initiate", "unknown", "in_doubt" }, { err.operation, err.outcome, err.run.state })
      assert.equal(503, evidence_of("owners_unread").status)
    end)

    it("until a person says what it is", function()
      local input = of_tokens()
      fault("transfers.initiate", "reset=before")
      flows:transfer(input)
      local settled = flows:settle(new_id(), { as = "failed", because = "no offer in the back office" })
      assert.equal("failed", settled.state)
      assert.equal("no offer in the back office", evidence_of("word_of_a_person").because)
      assert.equal("rejected", select(2, flows:transfer(input)).outcome)
    end)

    it("until a person says that it was made", function()
      local input = of_tokens { accept = true }
      fault("transfers.initiate", "reset=after")
      flows:transfer(input)
      assert.equal("done", flows:settle(new_id(), { as = "done", because = "seen" }).state)
      assert.is_false(assert(flows:transfer(input)).accepted)
      assert.is_nil(journal_text():find("ramirez", 1, true))
    end)

    it("and settled by its history when the answer named its code", function()
      local input = of_tokens()
      alter("POST", INITIATE, function(answer)
        answer.body = answer.body:gsub('"COMPLETE"', '"SOMETHING"'):gsub('"processId"', '"other"')
      end)
      local result = assert(flows:transfer(input))
      assert.equal(made()[1].confirmationCd, result.confirmation_cd)
      assert.equal("open", evidence_of("history").fate)
    end)

    for _, row in ipairs { { "accept", "done" }, { "cancel", "canceled" } } do
      it("and settled by a history that ends with " .. row[1], function()
        local input = of_tokens()
        alter("POST", INITIATE, function(answer)
          answer.body = answer.body:gsub('"COMPLETE"', '"SOMETHING"'):gsub('"processId"', '"other"')
        end)
        alter("GET", HISTORY, function(answer)
          answer.body = ('{"history":[{"op":"INITIATE"},{"op":"%sED"}]}'):format(row[1]:upper())
        end)
        flows:transfer(input)
        assert.equal(row[2], flows:find(new_id()).state)
        assert.equal(row[1] == "accept", flows:find(new_id()).result.accepted)
      end)
    end

    it("without a word about the recipient", function()
      local input = of_tokens { accept = true }
      fault("transfers.initiate", "reset=after")
      local _, err = flows:transfer(input)
      local told = json.encode { tostring(err), err.run.told, flows:unfinished(), flows:find(new_id()) }
      for _, private in pairs(market.RECIPIENT) do
        assert.is_nil(told:find(private, 1, true))
      end
    end)
  end)

  -- --- accepting ------------------------------------------------------------------------------------------------

  describe("accepts for the recipient", function()
    for _, row in ipairs { { "by token", of_tokens }, { "by place", of_seats } } do
      it("what was offered " .. row[1], function()
        local input, tokens = row[2] { accept = true }
        local result = assert(flows:transfer(input))
        assert.same({ true, "accepted" }, { result.accepted, result.transfer_status })
        assert_owners_changed(tokens, input.transferRequests[1].Sender.patronId)
        assert.equal("accepted", made()[1].status)
        assert.is_nil(journal_text():find("ramirez", 1, true))
      end)
    end

    for _, row in ipairs { { "reset=before", 2 }, { "reset=after", 1 }, { "status=503;after", 1 } } do
      it("after " .. row[1] .. " by what the history says", function()
        local input = of_tokens { accept = true }
        fault("transfers.accept", row[1])
        local result
        local seen = requests_of(function() result = assert(flows:transfer(input)) end)
        assert.is_true(result.accepted)
        assert.same({ row[2], 1, 1 },
          { seen["transfers.accept"], seen["transfers.history"], seen["transfers.initiate"] })
      end)
    end

    it("in a later call, when the answer and then the history were lost", function()
      local input = of_tokens { accept = true }
      fault("transfers.accept", "reset=after")
      fault("transfers.history", "status=503", 10)
      local _, err = flows:transfer(input)
      assert.same({ "unknown", "running", "accept" }, { err.outcome, err.run.state, err.run.step })
      calm()
      local seen = requests_of(function() assert.is_true(assert(flows:transfer(input)).accepted) end)
      assert.is_nil(seen["transfers.initiate"])
      assert.equal("accepted", made()[1].status)
    end)

    it("twice at most in one call", function()
      local input = of_tokens { accept = true }
      fault("transfers.accept", "reset=before", 10)
      local err
      local seen = requests_of(function() err = select(2, flows:transfer(input)) end)
      assert.same({ 2, "unknown", "running" }, { seen["transfers.accept"], err.outcome, err.run.state })
    end)

    it("not when that is refused: the offer stays, and a repeated call tries again", function()
      local input = of_tokens { accept = true }
      fault("transfers.accept", "status=422")
      local _, err = flows:transfer(input)
      assert.same({ "rejected", "running", "accept" }, { err.outcome, err.run.state, err.run.step })
      assert.is_truthy(flows:unfinished()[1].told:find("are offered", 1, true))
      assert.is_true(assert(flows:transfer(input)).accepted)
    end)

    it("not when the service never told what to accept", function()
      local input = of_tokens { accept = true }
      alter("POST", INITIATE, function(answer) answer.body = answer.body:gsub('"transferId"', '"other"') end)
      local _, err = flows:transfer(input)
      assert.same({ "protocol", "not_sent", "running", "accept" },
        { err.kind, err.outcome, err.run.state, err.run.step })
    end)

    it("not when a history tells nothing", function()
      local input = of_tokens { accept = true }
      fault("transfers.accept", "reset=before")
      alter("GET", HISTORY, function(answer) answer.body = '{"history":[]}' end)
      local seen = requests_of(function()
        local _, err = flows:transfer(input)
        assert.same({ "unknown", "running", "accept" }, { err.outcome, err.run.state, err.run.step })
      end)
      assert.equal(1, seen["transfers.accept"])
    end)

    it("unless he has accepted himself", function()
      local input = of_tokens { accept = true }
      fault("transfers.accept", "status=503")
      fault("transfers.history", "status=503", 10)
      local transfer_id
      transport.meddle = function(request, send)
        local answer, failure = send()
        transfer_id = is_request(request, "POST", INITIATE) and json.decode(answer.body).transferId or transfer_id
        return answer, failure
      end
      flows:transfer(input)
      calm()
      assert(place.link.transfers:accept { transferId = transfer_id, Recipient = market.RECIPIENT })
      assert.is_true(assert(flows:transfer(input)).accepted)
    end)

    it("unless somebody else has cancelled it", function()
      local input = of_tokens { accept = true }
      fault("transfers.accept", "status=422")
      flows:transfer(input)
      assert(place.link.transfers:cancel(made()[1].confirmationCd))
      local _, err = flows:transfer(input)
      assert.same({ "rejected", "canceled" }, { err.outcome, err.run.state })
    end)

    for _, is_behind in ipairs { false, true } do
      it("when the process ended " .. (is_behind and "behind" or "before") .. " that", function()
        local input = of_tokens { accept = true }
        die_at("POST", ACCEPT, is_behind)
        assert.is_false(pcall(flows.transfer, flows, input))
        local seen = requests_of(function() assert.equal("done", flows:resume()[1].state) end)
        assert.same({ ["transfers.accept"] = not is_behind and 1 or nil, ["transfers.history"] = 1 }, seen)
        assert.is_true(flows:find(new_id()).result.accepted)
      end)
    end
  end)

  -- --- cancelling -----------------------------------------------------------------------------------------------

  describe("takes an offer back", function()
    local function offered(more)
      local input, tokens = of_tokens(more)
      return assert(flows:transfer(input)), tokens, input
    end

    local function cancel(more)
      local wish = { external_transfer_id = new_id() }
      for name, value in pairs(more or {}) do
        wish[name] = value
      end
      return flows:cancel_transfer(wish)
    end

    it("and says the same a second time, without asking", function()
      local offer, tokens = offered()
      local first = assert(cancel())
      assert.same({ offer.confirmation_cd, true, "Cancelled" },
        { first.confirmation_cd, first.canceled, first.transfer_status })
      assert.equal("Cancelled", made()[1].status)
      assert.equal("sold", place:world()[tokens[1]].state)
      local seen = requests_of(function() assert.same(first, cancel()) end)
      assert.same({}, seen)
      assert_run("canceled")
    end)

    for _, row in ipairs { { "reset=before", 2 }, { "reset=after", 1 }, { "status=503;after", 1 } } do
      it("after " .. row[1] .. " by what the history says", function()
        offered()
        fault("transfers.cancel", row[1])
        local seen = requests_of(function() assert.is_true(assert(cancel()).canceled) end)
        assert.same({ ["transfers.cancel"] = row[2], ["transfers.history"] = 1 }, seen)
        assert.equal("Cancelled", made()[1].status)
      end)
    end

    for _, is_behind in ipairs { false, true } do
      it("when the process ended " .. (is_behind and "behind" or "before") .. " that", function()
        offered()
        die_at("DELETE", HISTORY, is_behind)
        assert.is_false(pcall(cancel))
        assert.is_truthy(flows:unfinished()[1].told:find("being taken back", 1, true))
        assert.equal("canceled", flows:resume()[1].state)
        assert.equal("Cancelled", made()[1].status)
      end)
    end

    it("later, when nothing can be sent now", function()
      offered()
      transport.meddle = function()
        return nil, { kind = "network", phase = "not_sent", message = "refused", elapsed_ms = 1 }
      end
      local _, err = cancel()
      assert.same({ "not_sent", "undoing", "cancel" }, { err.outcome, err.run.state, err.run.step })
      transport.meddle = nil
      assert.equal("canceled", flows:resume()[1].state)
    end)

    it("not when its recipient was faster", function()
      local offer = offered()
      assert(place.link.transfers:accept { transferId = offer.transfer_id, Recipient = market.RECIPIENT })
      for _ = 1, 2 do
        local result, err = cancel()
        assert.is_nil(result)
        assert.same({ "http", "rejected", "done" }, { err.kind, err.outcome, err.run.state })
      end
      assert.is_true(flows:find(new_id()).result.accepted)
    end)

    it("not when its recipient was faster and the refusal was lost", function()
      local offer = offered()
      assert(place.link.transfers:accept { transferId = offer.transfer_id, Recipient = market.RECIPIENT })
      fault("transfers.cancel", "reset=before")
      local _, err = cancel()
      assert.same({ "http", "rejected", false, "done" }, { err.kind, err.outcome, err.retryable, err.run.state })
    end)

    it("not when the service refuses: all is as before", function()
      local offer, _, input = offered()
      fault("transfers.cancel", "status=400")
      local _, err = cancel()
      assert.same({ "rejected", "done" }, { err.outcome, err.run.state })
      assert.same(offer, assert(flows:transfer(input)))
      assert.same({}, flows:unfinished())
      assert.is_true(assert(cancel()).canceled)
    end)

    it("that could not be accepted", function()
      local input = of_tokens { accept = true }
      fault("transfers.accept", "status=422")
      flows:transfer(input)
      fault("transfers.cancel", "status=400")
      local _, err = cancel()
      assert.same({ "rejected", "running", "accept" }, { err.outcome, err.run.state, err.run.step })
      assert.is_true(assert(cancel()).canceled)
    end)

    it("of which the journal knows nothing, by its code", function()
      local input = of_tokens()
      input.transferRequests[1].externalTransferId = new_id()
      assert(place.link.transfers:initiate(input))
      local _, err = cancel()
      assert.same({ "validation", "not_sent" }, { err.kind, err.outcome })
      assert.same({}, store:list("paciolan/"))
      assert.is_true(assert(cancel { confirmation_cd = made()[1].confirmationCd }).canceled)
      assert.equal("Cancelled", made()[1].status)
    end)

    it("not of one that is not there", function()
      local result, err = cancel { confirmation_cd = "1-AMTX:0" }
      assert.is_nil(result)
      assert.same({ "http", "rejected", "failed" }, { err.kind, err.outcome, err.run.state })
      assert.same({}, flows:unfinished())
    end)

    it("not by a code that nobody knows: what is in doubt stays so", function()
      local input = of_tokens()
      fault("transfers.initiate", "reset=after")
      flows:transfer(input)
      local _, err = cancel { confirmation_cd = "1-AMTX:0" }
      assert.same({ "rejected", "in_doubt", "settle" }, { err.outcome, err.run.state, err.run.step })
      assert.is_true(assert(cancel { confirmation_cd = made()[1].confirmationCd }).canceled)
    end)

    it("not by the code of another", function()
      offered()
      local _, err = cancel { confirmation_cd = "1-AMTX:0" }
      assert.same({ "validation", "same" }, { err.kind, err.fields[1].rule })
      assert_run("done")
    end)

    it("in doubt only when somebody knows its code", function()
      local input = of_tokens()
      fault("transfers.initiate", "reset=after")
      flows:transfer(input)
      local seen = requests_of(function()
        local _, err = cancel()
        assert.same({ "validation", "not_sent", "in_doubt" }, { err.kind, err.outcome, err.run.state })
      end)
      assert.same({}, seen)
      assert.is_true(assert(cancel { confirmation_cd = made()[1].confirmationCd }).canceled)
    end)

    it("not when the transfer failed", function()
      local input = of_tokens()
      input.transferRequests[1].Sender = { patronId = "1" }
      flows:transfer(input)
      local _, err = cancel()
      assert.same({ "validation", "not_sent", "failed" }, { err.kind, err.outcome, err.run.state })
    end)
  end)

  -- --- left before the offer ------------------------------------------------------------------------------------

  describe("left before its offer", function()
    local now_ms

    -- The store of the token set fails while it is asked whose the seats are, so the run stays where it is.
    local function leave()
      now_ms = 1790000000000
      local asleep = false
      local tokens = setmetatable({}, { __index = function(_, name)
        return function(_, ...)
          if asleep and name ~= "close" then
            return nil, errors.store("the store failed on purpose")
          end
          local inner = store
          return inner[name](inner, ...)
        end
      end })
      local link = place:client { store = tokens, auth = { code = place.box:new_auth_code() } }
      local input = of_tokens()
      link.auth:token()
      flows = open_flows(link, { now_ms = function() return now_ms end })
      asleep = true
      local _, err = flows:transfer(input)
      asleep = false
      assert.same({ "store", "running", "owners" }, { err.kind, err.run.state, err.run.step })
      return input
    end

    it("is sent by whoever resumes it", function()
      leave()
      assert.equal("done", flows:resume()[1].state)
      assert.equal(1, #made())
    end)

    it("is cancelled without a word to the service", function()
      leave()
      local result
      local seen = requests_of(function()
        result = assert(flows:cancel_transfer { external_transfer_id = new_id() })
      end)
      assert.same({}, seen)
      assert.is_true(result.canceled)
      assert.same({}, flows:resume())
    end)

    it("is not sent any more after resume_within_s", function()
      local input = leave()
      now_ms = now_ms + 3600 * 1000 + 1
      assert.equal("failed", flows:resume()[1].state)
      assert.equal(0, #made())
      assert(flows:transfer(input))
    end)
  end)
end)
