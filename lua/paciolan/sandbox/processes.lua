--- Work that may answer PENDING: orders and transfers. A process ends when it
-- was polled often enough or when its time has come, whichever is first, and
-- then commits or aborts exactly once.
-- @module paciolan.sandbox.processes

local ids = require "paciolan.sandbox.ids"

local processes = {}

local Processes = {}
Processes.__index = Processes

--- @tparam string seed
-- @tparam function now returns unix seconds
-- @tparam function on_settled called with each process that has ended
-- @treturn Processes
function processes.new(seed, now, on_settled)
  return setmetatable({ _now = now, _draw = ids.stream(seed, "process ids"), _by_id = {}, _pending = {},
    _on_settled = on_settled }, Processes)
end

--- @treturn string an id that no process has
function Processes:new_id()
  return self._draw:text(6, ids.HEX)
end

local function settle(self, process)
  if process.outcome == "error" then
    process.state = "ERROR"
    process.body = process.abort()
  else
    process.state = "COMPLETE"
    process.body = process.commit()
  end
  process.body.failure = process.failures
  self._on_settled(process)
end

local function forget_settled(self)
  local pending = {}
  for _, process in ipairs(self._pending) do
    if process.state == "PENDING" then
      pending[#pending + 1] = process
    end
  end
  self._pending = pending
end

--- Starts a process.
-- @tparam table process `id`, `kind`, `polls` (how many polls answer PENDING; with 0 it ends at once),
-- `pending_s` (it ends by itself after that long), `failures` (the list that its body has too, or nil),
-- `callback_url` (that its call gave, or nil), `outcome` (`complete` or `error`), `commit` and `abort`
-- (functions that do the work and return the final body)
-- @treturn table the process, now with `state` and, when it ended, `body`
function Processes:start(process)
  process.state = "PENDING"
  process.due_at = self._now() + process.pending_s
  self._by_id[process.id] = process
  if process.polls == 0 then
    settle(self, process)
  else
    self._pending[#self._pending + 1] = process
  end
  return process
end

--- Counts one poll.
-- @tparam string id
-- @tparam string kind processes of another kind are not found
-- @treturn ?table the process
function Processes:poll(id, kind)
  local process = self._by_id[id]
  if not process or process.kind ~= kind then
    return nil
  elseif process.state ~= "PENDING" then
    return process
  elseif process.polls > 0 then
    process.polls = process.polls - 1
    return process
  end
  settle(self, process)
  forget_settled(self)
  return process
end

--- Ends every process whose time has come, oldest first.
function Processes:settle_due()
  if #self._pending == 0 then
    return
  end
  local now = self._now()
  for _, process in ipairs(self._pending) do
    if process.due_at <= now then
      settle(self, process)
    end
  end
  forget_settled(self)
end

return processes
