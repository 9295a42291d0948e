--- Transfers whose offer nobody knows about: another attempt takes the doubt along, what others do with the seats does
-- not pass for its end, and what can never be accepted ends all the same.

local json = require("paciolan.json")
local market = require("support.market")
local memory = require("paciolan.store.memory")
local seller = require("support.seller")

local INITIATE, PENDING, HISTORY = "/v2/tickets/transfer", "/v2/tickets/transfer/pending/", "/v1/tickets/transfer/"

describe("An offer of a transfer", function()
  local own, flows, input, tokens, number

  setup(function()
    own, number = seller.open(), 0
    own.place.box:control("POST", "/_sandbox/options", { pending_polls = 0 })
  end)

  teardown(function()
    own:close()
  end)

  -- Two seats of one owner that were sold; `payload(id, name)` offers them to somebody.
  local function payload(id, name, more)
    local owner = own.place:world()[tokens[1]].ownerId
    local made = market.items_payload(owner, "O-" .. number, tokens)
    made.transferRequests[1].externalTransferId = id .. number
    made.transferRequests[1].Recipient = { email = name .. "@x.example", recipientFirstName = name,
      recipientLastName = "X" }
    for key, value in pairs(more or {}) do
      made[key] = value
    end
    return made
  end

  before_each(function()
    number = number + 1
    own.store:close()
    own.store = memory.new()
    flows = own:flows { poll = { first_ms = 1, max_ms = 1, deadline_ms = 3 } }
    own.transport.meddle = nil
    own.place.box:control("DELETE", "/_sandbox/faults")
    tokens = own.place:tokens(2)
    own.place:sell(tokens, "O-" .. number)
    input = payload("T-", "ann")
  end)

  local function fault(operation, text, count)
    own.place.box:control("POST", "/_sandbox/faults", { fault = text, operation = operation, count = count or 1 })
  end

  local function calm()
    own.place.box:control("DELETE", "/_sandbox/faults")
  end

  local function find(id)
    return (assert(flows:find((id or "T-") .. number, { kind = "transfer" })))
  end

  local function evidence_of(what, id)
    for _, entry in ipairs(find(id).evidence) do
      if entry.what == what then
        return entry
      end
    end
    return nil
  end

  local function state_of(id)
    local run = find(id)
    return { run.state, run.step }
  end

  -- The transfers of these seats in the sandbox's own book.
  local function made()
    local list = {}
    for _, entry in ipairs(own.place:ledger().transfers) do
      list[#list + 1] = entry.tokens[1] == tokens[1] and entry or nil
    end
    return list
  end

  local function again()
    input.again = true
    local result, err = flows:transfer(input)
    input.again = nil
    return result, err
  end

  -- Answers in the place of the service: `change(body)` is given the text of each answer to such a request.
  local function alter(method, path, change)
    own.transport.meddle = function(request, send)
      local answer, failure = send()
      if answer and request.method == method and request.url:find(path, 1, true) then
        answer.body = change(answer.body) or answer.body
      end
      return answer, failure
    end
  end

  -- The answers to what is offered are lost, and this tells of them: `{ processId =, transferId =, … }`.
  local function lose_offer(keep_process)
    local told = {}
    own.transport.meddle = function(request, send)
      local answer, failure = send()
      if not answer or request.method ~= "POST" or not request.url:find(INITIATE, 1, true) then
        return answer, failure
      end
      own.transport.meddle = nil
      for name, value in pairs(json.decode(answer.body)) do
        told[name] = value
      end
      if keep_process then
        answer.status, answer.body = 503, json.encode { processId = told.processId, transactionStatus = "PENDING" }
        return answer
      end
      return nil, { kind = "network", phase = "unknown", message = "the answer was lost", elapsed_ms = 1 }
    end
    return told
  end

  local function count(operation, action)
    return own:count(operation, action)
  end

  -- --- another attempt ------------------------------------------------------------------------------------------

  describe("that is made once more", function()
    it("and refused, is in doubt as it was before, and is not sent again unasked", function()
      lose_offer()
      flows:transfer(input)
      local _, err = again()
      assert.same({ "unknown", false, "in_doubt", "settle" },
        { err.outcome, err.retryable, err.run.state, err.run.step })
      assert.is_truthy(evidence_of("not_offered_again"))
      local sent = count("transfers.initiate", function()
        assert.equal("in_doubt", select(2, flows:transfer(input)).run.state)
        assert.equal("in_doubt", flows:resume()[1].state)
      end)
      assert.same({ 0, 1, "pending" }, { sent, #made(), made()[1].status })
    end)

    it("and not sent, is in doubt as it was before", function()
      lose_offer()
      flows:transfer(input)
      own.transport.meddle = function(request, send)
        if request.url:find(INITIATE, 1, true) then
          return nil, { kind = "network", phase = "not_sent", message = "refused", elapsed_ms = 1 }
        end
        return send()
      end
      local _, err = again()
      assert.same({ "unknown", "in_doubt" }, { err.outcome, err.run.state })
    end)

    it("while its owners cannot be read, is in doubt as it was before", function()
      fault("tickets.verify", "partial")
      lose_offer()
      flows:transfer(input)
      fault("tickets.verify", "status=503", 20)
      local _, err = again()
      assert.same({ "unknown", "in_doubt" }, { err.outcome, err.run.state })
      calm()
      assert.equal(0, count("transfers.initiate", function() flows:transfer(input) end))
    end)

    it("after a person has ended it as failed, is in doubt again when it is refused", function()
      lose_offer()
      flows:transfer(input)
      flows:settle(find().id, { as = "failed", because = "nothing was seen" })
      assert.equal("in_doubt", select(2, again()).run.state)
    end)

    it("is accepted when its recipient accepts the one before", function()
      local told = lose_offer()
      flows:transfer(input)
      again()
      assert(own.link.transfers:accept { transferId = told.transferId,
        Recipient = input.transferRequests[1].Recipient })
      assert.is_true(assert(flows:transfer(input)).accepted)
      assert.equal(1, #made())
    end)

    it("is accepted, and not sent, when the recipient of the one before was faster", function()
      local told = lose_offer()
      flows:transfer(input)
      assert(own.link.transfers:accept { transferId = told.transferId,
        Recipient = input.transferRequests[1].Recipient })
      local sent = count("transfers.initiate", function() assert.is_true(assert(again()).accepted) end)
      assert.equal(0, sent)
    end)

    it("is done, where nothing was offered before", function()
      fault("transfers.initiate", "reset=before")
      flows:transfer(input)
      local result = assert(again())
      assert.same({ false, made()[1].confirmationCd }, { result.accepted, result.confirmation_cd })
      assert.equal(1, #made())
    end)

    it("is not sent while the service works on the one before", function()
      fault("transfers.initiate", "pending=900")
      flows:transfer(input)
      local err
      local sent = count("transfers.initiate", function() err = select(2, again()) end)
      assert.same({ 0, "unknown", "in_doubt" }, { sent, err.outcome, err.run.state })
      own.place.box:control("POST", "/_sandbox/clock", { advance_s = 61 })
      assert.equal("done", flows:settle(find().id).state)
    end)

    it("is not sent where the one before has a code, and its history cannot be read", function()
      alter("POST", INITIATE, function(body)
        return (body:gsub('"COMPLETE"', '"SOMETHING"'):gsub('"processId"', '"other"'))
      end)
      fault("transfers.history", "status=503", 20)
      assert.equal("in_doubt", select(2, flows:transfer(input)).run.state)
      assert.equal(0, count("transfers.initiate", function() again() end))
    end)

    -- The process of the first offer cannot be asked for until the second one was refused.
    local function refuse_another(told)
      fault("transfers.pending", "status=503", 40)
      flows:transfer(input)
      fault("transfers.initiate", "status=422")
      again()
      calm()
      assert.is_truthy(told.processId)
      assert.same({ "in_doubt", "settle" }, state_of())
    end

    it("is done when the process of the one before is found to be COMPLETE", function()
      refuse_another(lose_offer(true))
      assert.equal("done", flows:resume()[1].state)
      assert.equal(made()[1].confirmationCd, find().result.confirmation_cd)
    end)

    it("is done when the callback of the one before comes after a person has ended it", function()
      local told = lose_offer(true)
      refuse_another(told)
      assert.equal("failed", flows:settle(find().id, { as = "failed", because = "nothing was seen" }).state)
      assert.is_true(flows:on_callback { process_id = told.processId, state = "COMPLETE",
        body = { transactionStatus = "COMPLETE", confirmationCd = made()[1].confirmationCd } })
      assert.equal("done", flows:resume()[1].state)
    end)

    it("has failed when the process of the one before is found to have ended with ERROR", function()
      fault("transfers.initiate", "error")
      refuse_another(lose_offer(true))
      alter("GET", PENDING, function() return '{"processId":"p","transactionStatus":"ERROR"}' end)
      assert.equal("failed", flows:resume()[1].state)
      assert.equal(0, #made())
    end)

    it("and lost as well, is looked for by both processes", function()
      fault("transfers.initiate", "error")
      local first = lose_offer(true)
      fault("transfers.pending", "status=404", 40)
      flows:transfer(input)
      local second = lose_offer(true)
      again()
      calm()
      assert.not_equal(first.processId, second.processId)
      alter("GET", PENDING .. first.processId, function()
        return '{"processId":"p","transactionStatus":"ERROR"}'
      end)
      assert.equal("done", flows:resume()[1].state)
      assert.equal(second.confirmationCd, find().result.confirmation_cd)
    end)

    it("and left, cannot be cancelled without a code", function()
      lose_offer()
      flows:transfer(input)
      own.transport.meddle = function(request, send)
        if request.url:find(INITIATE, 1, true) then
          error("the process died", 0)
        end
        return send()
      end
      input.again = true
      assert.is_false(pcall(flows.transfer, flows, input))
      own.transport.meddle = nil
      assert.same({ "running", "initiate" }, state_of())
      assert.is_truthy(find().told:find("Nobody knows whether an earlier attempt", 1, true))
      local _, err = flows:cancel_transfer { external_transfer_id = find().id }
      assert.same({ "validation", "not_sent" }, { err.kind, err.outcome })
      assert.equal("in_doubt", flows:resume()[1].state)
    end)
  end)

  -- --- others who want the seats --------------------------------------------------------------------------------

  describe("that is in doubt", function()
    it("keeps its seats from another transfer until it has ended", function()
      fault("transfers.initiate", "reset=before")
      flows:transfer(input)
      local other = payload("U-", "bob", { accept = true })
      local _, err = flows:transfer(other)
      assert.same({ "validation", "not_sent", "failed" }, { err.kind, err.outcome, err.run.state })
      assert.is_truthy(err.message:find(find().id, 1, true))
      assert.equal("in_doubt", flows:resume()[1].state)
      flows:settle(find().id, { as = "failed", because = "nothing was seen" })
      assert.is_true(assert(flows:transfer(other)).accepted)
      assert.equal("failed", find().state)
    end)

    -- The seats go to somebody else by a run of the journal, while this one is ended and then asked for once more.
    local function assert_not_accepted()
      local _, err = again()
      assert.same({ "unknown", "in_doubt" }, { err.outcome, err.run.state })
      assert.is_truthy(evidence_of("sold_elsewhere"))
      assert.equal("in_doubt", flows:settle(find().id).state)
    end

    it("is not accepted by what another transfer has handed over", function()
      fault("transfers.initiate", "reset=before")
      flows:transfer(input)
      flows:settle(find().id, { as = "failed", because = "nothing was seen" })
      assert(flows:transfer(payload("U-", "bob", { accept = true })))
      assert_not_accepted()
    end)

    -- Seats that are still to be sold, in an offer that never arrived.
    local function doubt_unsold()
      tokens = own.place:tokens(2)
      input = payload("T-", "ann")
      fault("transfers.initiate", "reset=before")
      flows:transfer(input)
      assert(own.link.tickets:lock(market.lock_payload(tokens, "L-" .. number)))
      return market.order_payload(tokens, "L-" .. number, "P-" .. number)
    end

    it("nor by what a purchase has sold", function()
      local order = doubt_unsold()
      flows:settle(find().id, { as = "failed", because = "nothing was seen" })
      assert(flows:buy(order))
      assert_not_accepted()
    end)

    it("nor while it is not known what became of another offer of the seats", function()
      local first = assert(flows:transfer(payload("U-", "bob")))
      fault("transfers.initiate", "reset=before")
      flows:transfer(input)
      assert.equal("in_doubt", flows:settle(find().id).state)
      assert(own.link.transfers:accept { transferId = first.transfer_id,
        Recipient = payload("U-", "bob").transferRequests[1].Recipient })
      assert.equal("in_doubt", flows:settle(find().id).state)
      assert.equal(first.id, evidence_of("another_offer").id)
      fault("transfers.history", "status=503", 20)
      assert.equal("in_doubt", flows:settle(find().id).state)
    end)

    it("but is, where that other offer was cancelled", function()
      assert(flows:transfer(payload("U-", "bob")))
      assert(flows:cancel_transfer { external_transfer_id = "U-" .. number })
      local told = lose_offer()
      flows:transfer(input)
      assert(own.link.transfers:accept { transferId = told.transferId,
        Recipient = input.transferRequests[1].Recipient })
      assert.same({ "done", true }, { flows:settle(find().id).state, find().result.accepted })
    end)

    it("keeps them from a purchase too, and lets them go when it has ended", function()
      local order = doubt_unsold()
      local _, err = flows:buy(order)
      assert.same({ "validation", "not_sent" }, { err.kind, err.outcome })
      flows:settle(find().id, { as = "failed", because = "nothing was seen" })
      assert(flows:buy(order))
    end)
  end)

  -- --- what can never be accepted -------------------------------------------------------------------------------

  describe("that cannot be accepted", function()
    before_each(function()
      input.accept = true
    end)

    local function expire()
      fault("transfers.accept", "status=503", 10)
      flows:transfer(input)
      calm()
      own.place.box:control("POST", "/_sandbox/clock", { advance_s = 400 * 86400 })
    end

    it("ends, after some refusals, as offered and not accepted", function()
      expire()
      for _ = 1, 2 do
        assert.same({ "running", "accept" }, { flows:resume()[1].state, find().step })
      end
      assert.equal("done", flows:resume()[1].state)
      assert.same({}, flows:unfinished())
      assert.is_false(find().result.accepted)
      assert.is_truthy(find().told:find("refused", 1, true))
      local sent = count("transfers.accept", function()
        local result, err = flows:transfer(input)
        assert.is_nil(result)
        assert.same({ "http", "rejected", "done" }, { err.kind, err.outcome, err.run.state })
      end)
      assert.equal(0, sent)
      local _, err = flows:cancel_transfer { external_transfer_id = find().id }
      assert.same({ "rejected", "done" }, { err.outcome, err.run.state })
      assert.equal("rejected", select(2, flows:transfer(input)).outcome)
    end)

    it("does not end so while all its seats have other owners, or its history is not read", function()
      fault("transfers.accept", "status=422", 10)
      fault("transfers.history", "status=503", 60)
      for _ = 1, 4 do
        assert.equal("accept", select(2, flows:transfer(input)).run.step)
      end
      calm()
      assert(own.link.transfers:accept { transferId = find().steps[1] and flows.journal:read("transfer",
        find().id).data.transfer_id, Recipient = input.transferRequests[1].Recipient })
      alter("GET", HISTORY, function() return '{"history":[{"op":"initiate"}]}' end)
      for _ = 1, 2 do
        assert.equal("accept", select(2, flows:transfer(input)).run.step)
      end
      assert.is_true(assert(flows:transfer(input)).accepted)
    end)

    it("is ended by a person, as offered", function()
      expire()
      local settled = flows:settle(find().id, { as = "done", because = "he will do it himself" })
      assert.same({ "done", false }, { settled.state, settled.result.accepted })
      assert.is_false(assert(flows:transfer(input)).accepted)
    end)

    it("is ended by a person, as over", function()
      expire()
      assert.equal("failed", flows:settle(find().id, { as = "failed", because = "it has expired" }).state)
      assert.is_truthy(find().told:find("not offered any more", 1, true))
      assert.equal(0, count("transfers.initiate", function()
        assert.equal("rejected", select(2, flows:transfer(input)).outcome)
      end))
    end)

    it("is accepted when its history says so, whatever a person says", function()
      fault("transfers.accept", "reset=after")
      fault("transfers.history", "status=503", 20)
      flows:transfer(input)
      calm()
      local settled = flows:settle(find().id, { as = "failed", because = "it has expired" })
      assert.same({ "done", true }, { settled.state, settled.result.accepted })
    end)

    it("is ended by a person where the service told no code", function()
      alter("POST", INITIATE, function(body) return (body:gsub('"transferId"', '"other"')) end)
      assert.equal("accept", select(2, flows:transfer(input)).run.step)
      assert.equal("done", flows:settle(find().id, { as = "done", because = "seen" }).state)
    end)
  end)

  -- --- what a service may answer --------------------------------------------------------------------------------

  describe("of which the answer", function()
    it("names its process by a number, is waited for", function()
      fault("transfers.initiate", "pending=900")
      local known
      own.transport.meddle = function(request, send)
        request.url = known and request.url:gsub("/123456", "/" .. known) or request.url
        local answer, failure = send()
        if answer and request.url:find(INITIATE, 1, true) then
          known = known or json.decode(answer.body).processId
          answer.body = answer.body:gsub('"processId":"[^"]*"', '"processId":123456')
        end
        return answer, failure
      end
      flows:transfer(input)
      assert.equal("123456", find().process_id)
      assert.is_true(flows:on_callback { process_id = "123456", state = "COMPLETE",
        body = { transactionStatus = "COMPLETE", confirmationCd = 77, transferId = 78 } })
      flows:resume()
      assert.same({ "77", "78" }, { find().result.confirmation_cd, find().result.transfer_id })
    end)

    local NOTHING = { null = "null", ["an empty text"] = '""', ["a list"] = "[]", ["a fraction"] = "1.5" }
    for name, text in pairs(NOTHING) do
      it("names its process by " .. name .. ", is in doubt", function()
        fault("transfers.initiate", "pending=2")
        alter("POST", INITIATE, function(body) return (body:gsub('"processId":"[^"]*"', '"processId":' .. text)) end)
        assert.equal("in_doubt", select(2, flows:transfer(input)).run.state)
        assert.is_nil(find().process_id)
        assert.equal("in_doubt", flows:resume()[1].state)
      end)
    end

    local BODIES = {
      ["nested deep"] = ("[" ):rep(900) .. ("]"):rep(900), ["with a number that JSON has not"] = "1e999",
    }
    for name, value in pairs(BODIES) do
      for _, status in ipairs { 200, 503, 422 } do
        it(("is %s, with status %d, leaves a record that can be read"):format(name, status), function()
          own.transport.meddle = function(request, send)
            local answer, failure = send()
            if answer and request.url:find("/tickets/transfer", 1, true) then
              answer.status = request.method == "POST" and status or 200
              answer.body = answer.body:gsub("^%s*{", '{"more":' .. value .. ',"history":' .. value .. ",", 1)
            end
            return answer, failure
          end
          flows:transfer(input)
          assert.is_truthy(find().state)
          own.transport.meddle = nil
          for _, run in ipairs(flows:resume()) do
            assert.not_equal("unreadable", run.state)
          end
        end)
      end
    end
  end)
end)
