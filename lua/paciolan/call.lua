--- One operation from payload to result: check, token, send, judge, repeat.
--
-- Straight-line code, written once. The core decides every step; a transport moves the bytes and may yield inside
-- `send` and `sleep`, so nothing here may run under a C frame.
-- @module paciolan.call
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"
local phases = require "paciolan.phases"

local call = {}

local operations = {}
for _, operation in ipairs(core.operations()) do
  operations[operation.name] = operation
end

--- The operation table by name, as `paciolan.operations()` lists it.
call.operations = operations

-- A longer "code" in an answer is text, and text is not quoted in messages.
local MAX_CODE = 64

local function is_in_coroutine()
  local thread, is_main = coroutine.running()
  return thread ~= nil and not is_main
end

-- A hook that fails must not turn a sale into an error, and one that yields must not suspend it: inside a coroutine it
-- runs in one of its own, which is dropped when it yields. Outside, yielding is an error like any other. In nginx a
-- hook that waits for a socket or a time is waited for, and other requests go on.
local function emit(config, event)
  local hook = config.on_event
  if not hook then
    return
  end
  event.at_ms = core.now_ms()
  local hooks = config.hooks
  hooks.running = hooks.running + 1
  if is_in_coroutine() then
    local thread = coroutine.create(hook)
    hooks.threads[thread] = true
    coroutine.resume(thread, event)
  else
    pcall(hook, event)
  end
  hooks.running = hooks.running - 1
end

--- Is this called by a hook? What a hook waits for may be what its own call holds.
-- @tparam table config the client's settings
-- @treturn boolean
function call.is_in_hook(config)
  local hooks = config.hooks
  if hooks.running == 0 then
    return false
  end
  -- In nginx a hook that waits lets other requests go on, which are no hooks.
  return not phases.nginx() or hooks.threads[coroutine.running()] == true
end

--- What a client has to know of its hooks.
-- @treturn table
function call.new_hooks()
  return { running = 0, threads = setmetatable({}, { __mode = "k" }) }
end

--- Tells the client's `on_event` hook, if there is one.
-- @tparam table config the client's settings
-- @tparam table event of its own: the hook may keep or change it; `at_ms` is added
call.emit = emit

local function is_write(operation)
  return operation.effect ~= "read"
end

local function unsent(operation)
  return is_write(operation) and "not_sent" or nil
end

-- --- one attempt ---------------------------------------------------------------------------------------------

local function build_headers(config, state, access_token)
  local identity = {
    user_agent = config.user_agent, application_id = config.application_id, api_key = config.api_key,
    channel_code = config.channel_code, organization_id = state.organization_id, request_id = state.request_id,
    authorization = access_token and ("Bearer " .. access_token) or nil,
  }
  local headers, message = core.headers(state.name, identity)
  if not headers then
    return nil, errors.new {
      kind = "validation", operation = state.name, outcome = unsent(state.operation), request_id = state.request_id,
      attempts = state.attempts, retryable = false, message = message,
      fields = { { path = "", rule = "header", message = message } },
    }
  end
  for _, header in ipairs(state.extra_headers) do
    headers[#headers + 1] = header
  end
  return headers
end

local function send(config, state, headers, left_ms)
  local operation = state.operation
  local override = config.operations[state.name]
  return config.transport:send {
    method = override and override.method or operation.method,
    url = config.base_url .. state.target,
    headers = headers, body = state.body,
    connect_timeout_ms = math.min(config.connect_timeout_ms, left_ms),
    timeout_ms = math.min(state.timeout_ms, left_ms),
    single_use = operation.effect == "once", gzip = not operation.anonymous,
  }
end

-- --- reading an answer ------------------------------------------------------------------------------------------

local function text_or_nil(value)
  return type(value) == "string" and value or nil
end

-- Does a list hold something, or one of the lists of an object?
local function is_filled(value)
  for key, item in pairs(type(value) == "table" and value or {}) do
    if type(key) == "number" or type(item) ~= "table" or next(item) ~= nil then
      return true
    end
  end
  return false
end

-- Failures stand on top, or below in the entries of a verify answer (contract 2.6), in whichever of the documented
-- shapes. Overlooking one would make a half-done request a success, so every level down to there is looked at.
local FAILURE_DEPTH = 4

local function has_failure(value, depth)
  if type(value) ~= "table" or depth > FAILURE_DEPTH then
    return false
  end
  for key, item in pairs(value) do
    if (key == "failure" and is_filled(item)) or has_failure(item, depth + 1) then
      return true
    end
  end
  return false
end

-- The documents name the state `status` or `transactionStatus`; either is read (contract 7 row 49). One that is there
-- and is no string is as good as unknown, which the empty string tells the core.
local function state_of(operation, body)
  if not operation.state then
    return nil
  end
  for _, name in ipairs { operation.state, "status", "transactionStatus" } do
    local value = body[name]
    if value ~= nil and value ~= json.null then
      return type(value) == "string" and value or ""
    end
  end
  return nil
end

-- `false`, an empty text and an empty object say that there is no error.
local function has_error(body)
  local value = body.error
  if type(value) == "table" then
    return next(value) ~= nil
  end
  return value ~= nil and value ~= json.null and value ~= false and value ~= ""
end

-- What the core needs to know of an answer, and what an error will quote of it.
local function read_answer(operation, answer)
  local body = json.decode(answer.body)
  if type(body) ~= "table" then
    return { status = answer.status, is_json = false, retry_after = answer.headers["retry-after"] }
  end
  body = core.present(operation.name, body)
  local detail = type(body.error) == "table" and body.error or {}
  return {
    status = answer.status, is_json = true, has_error = has_error(body),
    error_type = text_or_nil(detail.type), error_code = text_or_nil(detail.appErrorCode),
    has_failure = has_failure(body, 1), has_success = is_filled(body.success), state = state_of(operation, body),
    retry_after = answer.headers["retry-after"],
  }, body, detail
end

-- --- errors -----------------------------------------------------------------------------------------------------

-- A server's own word is quoted only when it looks like the documented codes: UNPROCESSABLE_ENTITY, MS-422.
local function code_or_nil(value)
  if type(value) == "string" and #value <= MAX_CODE and (value:match("^[A-Z_]+$") or value:match("^[A-Z]+%-%d+$")) then
    return value
  end
  return nil
end

local function describe(facts, detail, verdict)
  if verdict.kind == "partial" then
    return "the service did a part of it; the body tells each token's fate"
  elseif not facts.is_json then
    return ("the service answered %d without a JSON object"):format(facts.status)
  elseif verdict.kind == "protocol" and (facts.state or facts.status < 300) then
    return ("the service answered %d with a state that does not fit"):format(facts.status)
  elseif facts.state == "ERROR" then
    return ("the service ended the request with ERROR (HTTP %d)"):format(facts.status)
  end
  local kind, code = code_or_nil(detail.type), code_or_nil(detail.appErrorCode)
  return ("the service answered %d%s%s"):format(facts.status, kind and " " .. kind or "", code and " " .. code or "")
end

local function answered_error(state, facts, body, detail, verdict)
  body = body or {}
  detail = detail or {}
  return errors.new {
    kind = verdict.kind, outcome = verdict.outcome, operation = state.name, message = describe(facts, detail, verdict),
    status = facts.status, request_id = state.request_id, attempts = state.attempts,
    type = text_or_nil(detail.type), app_error_code = text_or_nil(detail.appErrorCode),
    developer_message = text_or_nil(detail.developerMessage), process_id = text_or_nil(body.processId),
    retryable = verdict.retryable, retry_after_ms = verdict.retry_after_ms, action = verdict.action,
    -- What the token call answers may hold tokens even beside an error.
    body = facts.is_json and not state.operation.anonymous and body or nil,
  }
end

local function silence_error(config, state, failure, verdict)
  return errors.new {
    kind = verdict.kind, outcome = verdict.outcome, operation = state.name,
    message = ("%s (%s)"):format(failure.message, config.base_url:match("^%a+://([^/]+)")),
    request_id = state.request_id, attempts = state.attempts, retryable = verdict.retryable,
  }
end

local function deadline_error(state)
  return errors.new {
    kind = "timeout", operation = state.name, outcome = unsent(state.operation), request_id = state.request_id,
    attempts = state.attempts, retryable = true, message = "the deadline passed before the request was sent",
  }
end

-- For an attempt that is not made: what is known of the last one still holds, and before any nothing was sent.
local function outcome_so_far(state)
  return is_write(state.operation) and state.last_error and state.last_error.outcome or unsent(state.operation)
end

-- The client was closed while this call waited for something in a task.
local function closed_error(state)
  return errors.new {
    kind = "canceled", operation = state.name, outcome = outcome_so_far(state), request_id = state.request_id,
    attempts = state.attempts, retryable = false, message = "the client was closed",
  }
end

-- --- repeating --------------------------------------------------------------------------------------------------

-- Client-wide: an outage must not be multiplied by every caller's repetitions. A repetition costs, a success earns.
local BUDGET_FULL, BUDGET_COST, BUDGET_GAIN = 100, 5, 1

--- A new retry budget, shared by all calls of one client.
-- @treturn table
function call.new_budget()
  return { left = BUDGET_FULL }
end

local function spend(budget)
  if budget.left < BUDGET_COST then
    return false
  end
  budget.left = budget.left - BUDGET_COST
  return true
end

local function earn(budget)
  budget.left = math.min(BUDGET_FULL, budget.left + BUDGET_GAIN)
end

-- Waits before a repetition; false when the deadline or the budget forbids it.
local function wait_to_repeat(config, state, verdict)
  local wait_ms = verdict.retry_after_ms or core.backoff_ms(state.repeats + 1) or 0
  if core.monotonic_ms() + wait_ms >= state.ends_at_ms or not spend(config.budget) then
    return false
  end
  state.repeats = state.repeats + 1
  emit(config, {
    type = "retry", operation = state.name, request_id = state.request_id, attempt = state.attempts + 1,
    wait_ms = wait_ms,
  })
  config.transport:sleep(wait_ms)
  return true
end

-- --- the whole call ---------------------------------------------------------------------------------------------

-- The template of the path: the values in it are the caller's and the service's.
local function emit_request(config, state)
  local override = config.operations[state.name]
  emit(config, {
    type = "request", operation = state.name, request_id = state.request_id, attempt = state.attempts,
    method = override and override.method or state.operation.method,
    path = override and override.path or state.operation.path,
  })
end

local function emit_response(config, state, answer, verdict)
  emit(config, {
    type = "response", operation = state.name, request_id = state.request_id, attempt = state.attempts,
    status = answer and answer.status or nil, kind = verdict.kind, outcome = verdict.outcome,
    elapsed_ms = core.monotonic_ms() - state.started_at_ms,
  })
end

-- A write that must not be doubled does not go out in the last moments of its call, which the token may have taken: its
-- answer would come too late, and leave its fate unknown. The token call has a time of its own.
local MOST_LEAST_LEFT_MS = 1000

local function least_left_ms(state)
  if state.operation.effect ~= "once" or state.operation.anonymous then
    return 1
  end
  return math.max(1, math.min(MOST_LEAST_LEFT_MS, (state.ends_at_ms - state.started_at_ms) / 2))
end

-- What a hook may do to a call in nginx.
local HOOK_TOOK_LONG = { kind = "timeout", phase = "not_sent", message = "on_event took all the time that was left" }

-- One attempt and its verdict. Returns the verdict, the error (nil for a result), the result and the answer.
local function attempt(config, state, access_token)
  local headers, invalid = build_headers(config, state, access_token)
  if not headers then
    return { next = "fail" }, invalid
  end
  local left_ms = state.ends_at_ms - core.monotonic_ms()
  if left_ms < least_left_ms(state) then
    return { next = "fail" }, state.last_error or deadline_error(state)
  end
  state.attempts = state.attempts + 1
  emit_request(config, state)
  left_ms = state.ends_at_ms - core.monotonic_ms()
  local answer, failure = nil, HOOK_TOOK_LONG
  if left_ms >= least_left_ms(state) then
    answer, failure = send(config, state, headers, left_ms)
  end
  local facts, body, detail
  if answer then
    facts, body, detail = read_answer(state.operation, answer)
  else
    facts = { phase = failure.phase, failure = failure.kind }
  end
  facts.retries, facts.repeats, facts.rotated = state.retries, state.repeats, state.rotated
  local verdict = core.judge(state.name, facts)
  local err
  if not answer then
    err = silence_error(config, state, failure, verdict)
  elseif verdict.next ~= "done" then
    err = answered_error(state, facts, body, detail, verdict)
  end
  emit_response(config, state, answer, verdict)
  return verdict, err, body, answer, facts.state
end

local function response_of(state, answer, answer_state, decoded)
  return {
    status = answer and answer.status, headers = answer and answer.headers or {}, request_id = state.request_id,
    attempts = state.attempts, elapsed_ms = core.monotonic_ms() - state.started_at_ms, state = answer_state,
    body = answer and decoded == nil and answer.body or nil,
  }
end

-- The access token for the next attempt, or nil and an error that fits this operation.
local function access_token_for(config, state)
  if state.operation.anonymous then
    return nil
  end
  local set, err = config.auth:acquire { ends_at_ms = state.ends_at_ms, retries = state.retries }
  if set then
    return set.accessToken
  end
  local told = {}
  for key, value in pairs(err) do
    told[key] = value
  end
  told.operation, told.attempts = state.name, state.attempts
  if err.operation == "auth.token" and err.attempts > 0 then
    told.message = "token call: " .. err.message
  end
  told.outcome = outcome_so_far(state)
  -- The token call may be tried again, a write that may have been done may not.
  told.retryable = told.retryable and not (told.outcome == "unknown" and state.operation.effect == "once")
  return nil, errors.new(told)
end

-- A later attempt that was refused or never left says nothing about an earlier one whose fate is unknown, and it does
-- not make that one fit to be sent again.
local function remember(state, failed)
  local was_unknown = state.last_error and state.last_error.outcome == "unknown"
  if was_unknown and (failed.outcome or failed.kind == "partial") then
    failed.outcome = "unknown"
    failed.retryable = failed.retryable and state.operation.effect ~= "once"
  end
  state.last_error = failed
end

-- Exactly two values: on LuaJIT `assert` raises the last one it gets when the message is no string.
local function fail(err, response)
  err.response = response
  return nil, err
end

local function run(config, state)
  while true do
    if config.is_closed then
      return fail(closed_error(state), response_of(state))
    end
    local access_token, err = access_token_for(config, state)
    if not err and config.is_closed then
      err = closed_error(state)
    end
    if err then
      return fail(err, response_of(state))
    end
    local verdict, failed, body, answer, answer_state = attempt(config, state, access_token)
    if not failed then
      earn(config.budget)
      return body, nil, response_of(state, answer, answer_state, body)
    end
    remember(state, failed)
    if answer and answer.status == 401 and access_token and not state.rotated then
      config.auth:reject(access_token) -- a second 401 met a fresh token, so it is not about the token
    end
    if verdict.next == "refresh" then
      state.rotated = true
    elseif verdict.next ~= "retry" or not wait_to_repeat(config, state, verdict) then
      return fail(failed, response_of(state, answer, answer_state, body))
    end
  end
end

-- The end of a call, however many attempts it took; without any, the payload was refused or no token could be had.
local function emit_end(config, name, request_id, err, response)
  emit(config, {
    type = "call", operation = name, request_id = request_id, attempt = response.attempts, status = response.status,
    kind = err and err.kind or nil, outcome = err and err.outcome or nil, elapsed_ms = response.elapsed_ms,
  })
end

-- In the order of their names, so that the same call always gives the same request.
local function list_of(headers)
  local list = {}
  for name, value in pairs(headers) do
    list[#list + 1] = { name, value }
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

--- Runs one operation.
-- @tparam table config the client's settings, checked by `paciolan.client`
-- @tparam string name of the operation
-- @param payload what the operation takes: a table with wire names, or the value of its path
-- @tparam ?table options checked by `paciolan.client`
-- @return the decoded answer
-- @treturn nil
-- @treturn table response `{ status, headers, request_id, attempts, elapsed_ms, state }`; `body` holds the raw text of
-- an answer that was not JSON
-- @treturn[2] nil
-- @treturn[2] table err, see `paciolan.errors`; `err.response` is the response. Exactly two values, so that `assert`
-- raises the error itself on every Lua
function call.run(config, name, payload, options)
  options = options or {}
  local operation = operations[name]
  local organization_id = options.organization_id or config.organization_id
  local override = config.operations[name]
  local target, body = core.encode(name, payload, {
    shapes = config.shapes, distributor_code = options.distributor_code, organization_id = organization_id,
    path = override and override.path,
  })
  local request_id = options.request_id or assert(core.request_id())
  if not target then
    local err = errors.validation(name, body, unsent(operation))
    local unmade = { headers = {}, request_id = options.request_id, attempts = 0, elapsed_ms = 0 }
    emit_end(config, name, request_id, err, unmade)
    return fail(err, unmade)
  end
  local now = core.monotonic_ms()
  local result, err, response = run(config, {
    name = name, operation = operation, target = target, body = body, organization_id = organization_id,
    request_id = request_id, extra_headers = list_of(options.headers or {}),
    timeout_ms = options.timeout_ms or config.timeout_ms, retries = options.retries or config.retries,
    started_at_ms = now, ends_at_ms = now + (options.deadline_ms or config.deadline_ms),
    attempts = 0, repeats = 0, rotated = false,
  })
  emit_end(config, name, request_id, err, err and err.response or response)
  if err then
    return nil, err
  end
  return result, nil, response
end

return call
