--- One run while it is carried: what is to be sent is written down first, durably, and only then sent.
--
-- A run is made by `paciolan.workflow.journal`, which says what it is. It has a `record`; what a kind of run keeps
-- there for itself is `data`, and what its caller wants is `request`. What has to be sent is taken from there and never
-- from the caller's own table, so that a process that carries the run on sends the same.
--
-- The methods that change a record do so in memory. `send`, `save`, `finish` and `fail` write it, and when that fails
-- nothing more is sent: either the store failed, or another process has written, and it carries the run now.
-- @module paciolan.workflow.run
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"

local run = {}

local Run = {}
Run.__index = Run
Run.__name = "paciolan.workflow.run"

--- The form of the records that this file writes.
run.VERSION = 1

-- Stores keep no value for longer; a replace without a time to live would leave that of an ended run.
local FOR_EVER_S = 100 * 365 * 24 * 60 * 60
-- A run that goes back and forth for months must not outgrow its store.
local MOST_STEPS, MOST_BEFORE = 200, 5

-- Deeper than that nothing is documented, and readers of JSON have limits.
local DEEPEST = 24

local storable

-- What is left out of a list leaves a null, so that the others stay where they are.
local function storable_table(value, depth)
  local copy = {}
  for key, item in pairs(value) do
    if type(key) == "string" or type(key) == "number" then
      copy[key] = storable(item, depth + 1)
      copy[key] = copy[key] == nil and type(key) == "number" and json.null or copy[key]
    end
  end
  return copy
end

function storable(value, depth)
  if type(value) == "table" and depth <= DEEPEST then
    return storable_table(value, depth)
  elseif type(value) == "number" and (value ~= value or math.abs(value) == math.huge) then
    return nil
  elseif type(value) == "number" or type(value) == "string" or type(value) == "boolean" or value == json.null then
    return value
  end
  return nil
end

--- What a journal keeps of something that came from outside. What JSON has no form for is left out, and so is what is
-- nested deeper than anything documented: the record has to be readable afterwards, whatever a service answers.
-- @param value
-- @return a copy
function run.storable(value)
  local kept = storable(value, 1)
  if kept == nil then
    return nil -- and not what JSON would make of it
  end
  return run.plain(kept)
end

--- Puts a run together.
-- @tparam table journal
-- @tparam table lease `key`, `owner`, `ends_at_ms` (monotonic)
-- @tparam string space
-- @tparam string id
-- @tparam ?table record nil for a run that is not there yet
-- @tparam ?string text what the store holds of it
-- @treturn table
function run.new(journal, lease, space, id, record, text)
  local self = setmetatable({
    journal = journal, space = space, id = id, record = record, _lease = lease, _text = text,
  }, Run)
  self.data = record and record.data
  self.request = record and record.request
  return self
end

--- Makes whole numbers integers: lua-cjson gives every number as a float, and 2026.0 is not how a person wants to read
-- a year.
-- @param value it is changed
-- @return the value
function run.with_integers(value)
  if type(value) == "number" and value % 1 == 0 and math.abs(value) < 2 ^ 53 then
    return tonumber(("%d"):format(value))
  elseif type(value) == "table" then
    for key, item in pairs(value) do
      value[key] = run.with_integers(item)
    end
  end
  return value
end

-- What the journal gives back is what was put in, numbers and empty tables included, for a first process too.
local function through_json(value)
  return run.with_integers(json.decode(json.encode(value)))
end

--- What a journal would make of a value.
-- @param value
-- @return a copy
-- @treturn[2] nil when JSON has no form for something in it
function run.plain(value)
  local ok, copy = pcall(through_json, value)
  return ok and copy or nil
end

-- What is kept of an attempt when another one begins.
local function remembered(record)
  local before = record.before or {}
  before[#before + 1] = { attempt = record.attempt, state = record.state, steps = record.steps,
    evidence = record.evidence, error = record.error }
  if #before > MOST_BEFORE then
    table.remove(before, 1)
  end
  return before
end

--- Begins the run, or begins it anew after it has ended. Nothing is written yet.
-- @tparam string kind
-- @tparam table request as `run.plain` gives it
-- @tparam string fingerprint of the request
-- @tparam string step the first one
function Run:begin(kind, request, fingerprint, step)
  local now_ms, before = self:now_ms(), self.record
  self.record = {
    v = run.VERSION, space = self.space, id = self.id, kind = kind, state = "running", step = step,
    request = request, print = fingerprint, created_ms = now_ms, updated_ms = now_ms,
    attempt = before and before.attempt + 1 or 1, before = before and remembered(before) or nil,
    data = {}, steps = {}, evidence = {}, writes = before and before.writes or 0,
  }
  self.data, self.request = self.record.data, self.record.request
  self._is_marked, self._is_revived = false, before ~= nil
end

--- @treturn number unix milliseconds
function Run:now_ms()
  return self.journal.now_ms()
end

-- --- writing ------------------------------------------------------------------------------------------------------

local function lost_error(self)
  return errors.new {
    kind = "canceled", operation = "workflows." .. self.record.kind, outcome = "unknown", attempts = 0,
    retryable = true, message = "the run is carried by somebody else",
  }
end

-- After a failed write nobody knows what the store holds, so this run is not carried any further here.
local function break_off(self, err)
  self.is_broken = true
  return nil, err
end

-- A store's own error, made one of this run: nothing was sent because of it.
local function store_error(self, err)
  local told = errors.of_store(err)
  told.operation = told.operation or "workflows." .. self.record.kind
  return break_off(self, told)
end

--- Makes sure that nobody else carries the run for a good while.
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store, or of kind `canceled` when somebody else carries it
function Run:keep()
  local lease, ttl_s, now_ms = self._lease, self.journal.lease_s, core.monotonic_ms()
  if self.is_broken then
    return nil, lost_error(self)
  elseif lease.ends_at_ms - now_ms >= ttl_s * 1000 * 3 / 4 then
    return true
  end
  local kept, err = self.journal.store:replace(lease.key, lease.owner, lease.owner, { ttl_s = ttl_s })
  if kept == nil then
    return store_error(self, err)
  elseif not kept then
    return break_off(self, lost_error(self))
  end
  lease.ends_at_ms = now_ms + ttl_s * 1000
  return true
end

local function mark_open(self)
  if self._is_marked then
    return true
  end
  local done, err = self.journal.store:put(self.journal:key("paciolan/open/", self.space, self.id), self._lease.owner)
  self._is_marked = done ~= nil
  return done, err
end

local function write(self, ttl_s)
  local store, key = self.journal.store, self.journal:key("paciolan/run/", self.space, self.id)
  self.record.updated_ms, self.record.writes = self:now_ms(), self.record.writes + 1
  local text = json.encode(self.record)
  local done, err
  if self._text then
    ttl_s = ttl_s or (self._is_revived and FOR_EVER_S or nil)
    done, err = store:replace(key, self._text, text, { durable = true, ttl_s = ttl_s })
  else
    done, err = store:add(key, text, { durable = true, ttl_s = ttl_s })
  end
  if done == nil then
    return store_error(self, err)
  elseif not done then
    return break_off(self, lost_error(self))
  end
  self._text, self._is_revived = text, false
  if core.monotonic_ms() >= self._lease.ends_at_ms and not self.record.ended_ms then
    -- While this took so long, somebody may have removed the mark of a run that was not there yet.
    self._is_marked = false
    mark_open(self)
  end
  return true
end

--- Writes the record, durably.
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store, or of kind `canceled` when somebody else carries the run
function Run:save()
  local kept, err = self:keep()
  if not kept then
    return nil, err
  end
  local marked
  marked, err = mark_open(self)
  if marked == nil then
    return store_error(self, err)
  end
  return write(self)
end

-- --- sending ------------------------------------------------------------------------------------------------------

-- Makes room among the entries of a run that is looked at again and again: of the step that was made most often the
-- oldest goes. So the one order or offer of a run stays.
local function drop_one(steps)
  local counts, most = {}, nil
  for _, entry in ipairs(steps) do
    counts[entry.name] = (counts[entry.name] or 0) + 1
    most = (not most or counts[entry.name] > counts[most]) and entry.name or most
  end
  for i, entry in ipairs(steps) do
    if entry.name == most then
      table.remove(steps, i)
      return
    end
  end
end

local function add_step(self, name)
  local steps = self.record.steps
  if #steps >= MOST_STEPS then
    drop_one(steps)
  end
  local entry = { name = name, state = "sending", at_ms = self:now_ms(), request_id = assert(core.request_id()) }
  steps[#steps + 1] = entry
  return entry
end

local function note_end(self, entry, result, err)
  entry.state, entry.ended_ms = result ~= nil and "done" or "failed", self:now_ms()
  self:hear(err)
  if result == nil then
    entry.kind, entry.outcome, entry.status = err.kind, err.outcome, err.status
    entry.type, entry.app_error_code = err.type, err.app_error_code
  end
end

local function not_sent_error(self)
  return errors.new {
    kind = "timeout", operation = "workflows." .. self.record.kind, outcome = "not_sent", attempts = 0,
    retryable = true, message = "writing the journal took so long that the step was not sent",
  }
end

--- Sends one step. It is written down before; what came of it is noted in memory, and the next write takes it along.
-- @tparam string name of the step
-- @tparam function call `(options)` with `request_id` and `deadline_ms`; it makes the call and returns what that does
-- @return the result
-- @treturn ?nil
-- @treturn ?table response
-- @treturn[2] nil
-- @treturn[2] table err of the call; or of kind `store` with outcome `not_sent`, or `canceled`, when the step could not
-- be written down. Then `is_broken` is set and nothing was sent
function Run:send(name, call)
  local entry = add_step(self, name)
  self.record.step = name
  local saved, err = self:save()
  if not saved then
    if err.kind == "store" then
      err.outcome = "not_sent" -- the step; what the store may hold is for the next who carries the run
      note_end(self, entry, nil, err)
    end
    return nil, err
  end
  local left_ms = self._lease.ends_at_ms - core.monotonic_ms()
  if left_ms < self.journal.lease_s * 1000 / 2 then
    err = not_sent_error(self)
    note_end(self, entry, nil, err)
    return nil, err
  end
  local result, failure, response = call { request_id = entry.request_id,
    deadline_ms = math.max(1, math.floor(math.min(self.journal.deadline_ms, left_ms * 2 / 3))) }
  note_end(self, entry, result, failure)
  return result, failure, response
end

--- The step that was under way when the one who carried the run died. It is noted as lost.
-- @treturn ?table entry of `record.steps`
function Run:take_lost()
  local entry = self.record.steps[#self.record.steps]
  if entry and entry.state == "sending" then
    entry.state = "lost"
    return entry
  end
  return nil
end

--- The latest entry of a step in this attempt.
-- @tparam string name
-- @treturn ?table entry of `record.steps`
function Run:last_step(name)
  for i = #self.record.steps, 1, -1 do
    if self.record.steps[i].name == name then
      return self.record.steps[i]
    end
  end
  return nil
end

--- Remembers whether the service answers at all.
-- @tparam ?table err of a call; nil when there was an answer
function Run:hear(err)
  self.is_unheard = err ~= nil and (err.kind == "network" or err.kind == "timeout")
end

-- --- noting -------------------------------------------------------------------------------------------------------

--- Notes evidence. The same word again counts up.
-- @tparam string what one word, such as `owners_unchanged`
-- @tparam ?table fields more of it; no personal data
function Run:note(what, fields)
  local now_ms, known = self:now_ms(), nil
  for _, entry in ipairs(self.record.evidence) do
    known = entry.what == what and entry or known
  end
  if not known then
    known = { what = what, at_ms = now_ms, times = 0 }
    table.insert(self.record.evidence, known)
  end
  known.last_ms, known.times = now_ms, known.times + 1
  for name, value in pairs(fields or {}) do
    known[name] = value
  end
end

--- Says what comes next.
-- @tparam string step
-- @tparam ?string state
-- @treturn boolean true
function Run:go(step, state)
  self.record.step, self.record.state = step, state or self.record.state
  return true
end

local PLAIN = { "kind", "message", "operation", "outcome", "status", "request_id", "attempts", "retryable", "type",
  "app_error_code", "process_id", "action" }

--- Keeps the error that the caller is to get when the run has ended.
-- @tparam table err
function Run:keep_error(err)
  local plain = {}
  for _, name in ipairs(PLAIN) do
    plain[name] = err[name]
  end
  plain.body = err.kind == "partial" and err.body or nil
  plain.fields = err.fields
  self.record.error = run.storable(plain)
end

--- The error that was kept.
-- @treturn ?table err
function Run:kept_error()
  local plain = self.record.error
  return plain and errors.with(plain, {})
end

--- Forgets what the caller asked for, with all that is personal in it.
function Run:forget_request()
  self.record.request, self.request = nil, nil
end

-- --- ending -------------------------------------------------------------------------------------------------------

--- Ends the run. Its request is forgotten.
-- @tparam string state `done`, `failed` or another end
-- @tparam ?table result what this call and every repeated one returns
-- @tparam[opt] boolean is_kept it stays in the journal until something else ends it
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store, or of kind `canceled`
function Run:finish(state, result, is_kept)
  local kept, err = self:keep()
  if not kept then
    return nil, err
  end
  if self._text then -- the mark that is removed below has to be of its own
    kept, err = mark_open(self)
    if kept == nil then
      return store_error(self, err)
    end
  end
  local step, before = self.record.step, self.record.state
  self.record.state, self.record.step, self.record.ended_ms = state, nil, self:now_ms()
  self.record.result = result and run.storable(result)
  self:forget_request()
  self.data.seller = is_kept and self.data.seller or nil -- who is needed to lock a seat once more
  local done
  done, err = write(self, is_kept and FOR_EVER_S or self.journal.keep_s)
  if not done then
    self.record.state, self.record.step, self.record.ended_ms = before, step, nil
    return nil, err
  end
  -- Behind the last write another one may have begun the run anew, and marked it.
  pcall(self.journal.store.remove, self.journal.store, self.journal:key("paciolan/open/", self.space, self.id),
    self._lease.owner)
  self._is_marked = false
  return true
end

--- Ends the run as failed.
-- @tparam table err what this call and every repeated one returns
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of the store, or of kind `canceled`
function Run:fail(err)
  self:keep_error(err)
  return self:finish("failed")
end

--- Opens an ended run again. Nothing is written yet.
-- @tparam string step
-- @tparam string state
function Run:reopen(step, state)
  self:go(step, state)
  self.record.ended_ms, self.record.result = nil, nil
  self._is_revived = true
end

--- Was the run left for longer than whoever resumes it may begin something?
-- @tparam number within_ms milliseconds since it was made
-- @treturn boolean
function Run:is_too_late(within_ms)
  return self.is_resumed == true and self:now_ms() - self.record.created_ms > within_ms
end

--- Has the run ended?
-- @treturn boolean
function Run:is_ended()
  return self.record.ended_ms ~= nil
end

--- Removes the mark of an ended run that a process left when it died behind its last write.
function Run:clean()
  local store, key = self.journal.store, self.journal:key("paciolan/open/", self.space, self.id)
  local mark = (not self.record or self:is_ended()) and store:get(key)
  if mark then
    store:remove(key, mark)
  end
end

--- Gives the run back: whoever comes may carry it on.
function Run:release()
  pcall(self.journal.store.remove, self.journal.store, self._lease.key, self._lease.owner)
end

return run
