--- The token set as the store has it, and the new pair on its way there.
--
-- A *view* is what the store held at a moment: `text` (nil for nothing) and `record`, which is the answer's own fields,
-- `family`, which the sets that came from one code share, `generation`, which counts its renewals, and `issued_at_ms`,
-- our clock when the set arrived (0 for a configured one).
-- The functions take the token keeper of a client (paciolan.auth).
-- @module paciolan.auth.set
local core = require "paciolan.core"
local hold = require "paciolan.auth.hold"
local json = require "paciolan.json"

local set = {}

-- Nobody renews as often; a count like this was written by somebody else.
local MOST_RENEWALS = 2 ^ 31

-- Counts the renewals, so that of two sets the later one is known, whatever the clocks of their hosts say.
local function generation_of(record)
  local count = type(record) == "table" and record.generation
  return type(count) == "number" and count >= 0 and count < MOST_RENEWALS and count or 0
end

local FIELDS = {
  accessToken = "string", refreshToken = "string", expiration = "string", tokenType = "string",
  issued_at_ms = "number", generation = "number", family = "string",
}

-- Anybody may have written into the store: what is of another type is as good as not there.
local function record_of(text)
  local record = text and json.decode(text)
  if type(record) ~= "table" then
    return nil
  end
  for name, kind in pairs(FIELDS) do
    if type(record[name]) ~= kind then
      record[name] = nil
    end
  end
  return record
end

-- The same text gives the same view: decoding it again would cost every call.
local function view_of(self, text)
  local view = self._view
  if view and view.text == text then
    return view
  end
  local seed = self._seed
  local record = record_of(text)
  if not record then
    record = { accessToken = seed.access_token, refreshToken = seed.refresh_token, expiration = seed.expiration,
      tokenType = "Bearer", issued_at_ms = 0 }
  end
  self._view = { text = text, record = record }
  return self._view
end

-- A store that went back, such as a Redis that was restarted without its data, gets the later set from whoever knows
-- it: the refresh token of an earlier one is spent. A set of another family is no earlier one: somebody logged in anew.
local function later_of(self, text)
  local known = self._view
  if not known or not known.text or known.text == text then
    return text
  end
  local stored = record_of(text)
  local is_other = stored and stored.accessToken and stored.family ~= known.record.family
  if is_other or generation_of(known.record) <= generation_of(stored) then
    return text
  end
  return self._shared:swap(text, known.text)
end

--- Reads the set.
-- @treturn table view
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function set.look(self)
  local text, err = self._shared:read()
  if not err then
    text, err = later_of(self, text)
  end
  if err then
    return nil, err
  end
  return view_of(self, text)
end

--- A new pair, ready to be stored in the place of a view. It is pending from its arrival until the store has it,
-- whether the store fails, yields or raises.
-- @tparam table self
-- @tparam table record
-- @tparam table view
-- @tparam boolean is_successor whether it was bought with the view's own refresh token
-- @tparam ?boolean must_win whatever came into that place meanwhile
function set.expect(self, record, view, is_successor, must_win)
  record.family = is_successor and view.record.family or assert(core.request_id())
  record.generation = generation_of(view.record) + 1
  self._pending = {
    text = json.encode(record), record = record, expected = view.text, generation = record.generation,
    must_win = must_win,
  }
end

-- A pair that must win is the later one also for those who know the set whose place it takes.
local function overtake(pending, record)
  if generation_of(record) >= pending.generation then
    pending.generation = generation_of(record) + 1
    pending.record.generation = pending.generation
    pending.text = json.encode(pending.record)
  end
end

--- Stores the pending pair. Another set that came into its place meanwhile stays there, unless it is an earlier one or
-- the pair must win.
-- @treturn boolean true
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function set.save(self)
  local pending = self._pending
  while true do
    local text, err = self._shared:swap(pending.expected, pending.text)
    if not text then
      return nil, err
    elseif text == pending.text
      or not (pending.must_win or generation_of(json.decode(text)) < pending.generation) then
      self._pending = nil
      return true
    end
    pending.expected = text
    overtake(pending, json.decode(text))
  end
end

local function save_pending(self, limits)
  local current = hold.take(self, limits.ends_at_ms)
  local ok, saved, err = pcall(set.save, self)
  hold.release(self, current, err)
  if not ok then
    error(saved, 0)
  end
  return saved, err
end

-- A pair that the store has not taken yet goes in before anything is read: its refresh token replaced one that is
-- spent.
local function settle(self, limits)
  while self._pending do
    if not hold.is_taken(self) then
      return save_pending(self, limits)
    end
    local ended, late = hold.wait(self, limits)
    if not ended then
      return nil, late
    elseif ended.err and self._pending then
      return nil, hold.copy_of(ended.err)
    end
  end
  return true
end

--- Reads the set when nothing is pending, and again when it was renewed while a store that yields was reading: the old
-- refresh token is spent.
-- @tparam table self
-- @tparam table limits `ends_at_ms`
-- @treturn table view
-- @treturn[2] nil
-- @treturn[2] table err
function set.load(self, limits)
  while true do
    local settled, unsaved = settle(self, limits)
    if not settled then
      return nil, unsaved
    end
    local renewals = self._renewals
    local view, err = set.look(self)
    if renewals == self._renewals then
      return view, err
    end
  end
end

return set
