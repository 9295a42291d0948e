--- The journal of workflows: what is under way, in a store.
--
-- A *run* is one piece of work with an id that its caller chose: a listing, an order, a transfer. It has one record, a
-- JSON text, which is only ever exchanged as a whole and only for what was read before. So of two processes that carry
-- the same run by mistake, the one that writes second finds out before it sends anything.
--
-- Who carries a run has its *lease*: a key of its own with a time to live, which is renewed on the way. The lease of a
-- process that died ends by itself, and another may carry the run on. The clock of a lease is that of the store.
--
-- **In the store.** All keys go on with the service and the application, as those of token sets do, and with space and
-- id of the run:
--
-- * `paciolan/run/…`: the record. That of a run that has ended goes after `keep_s`
-- * `paciolan/open/…`: there as long as the run is unfinished. It is written before the record and removed behind it,
--   by the one who wrote it: it holds his id
-- * `paciolan/carrier/…`: the lease; holds an id of the one who carries the run
-- * `paciolan/trace/…`, `paciolan/claim/…`, `paciolan/callback/…`: see `paciolan.workflow.traces`
-- @module paciolan.workflow.journal
local core = require "paciolan.core"
local errors = require "paciolan.errors"
local json = require "paciolan.json"
local places = require "paciolan.workflow.places"
local run = require "paciolan.workflow.run"

local journal = {}

local Journal = {}
Journal.__index = Journal
Journal.__name = "paciolan.workflow.journal"

local escape = places.escape

-- How many runs are read at a time.
local PORTION = 200

--- Opens the journal of a service and an application.
-- @tparam table options `store`; `base_url` and `application_id`; `lease_s`: how long nobody else may carry a run whose
-- carrier gives no sign; `keep_s`: how long ended runs are kept; `deadline_ms`: the longest call; `now_ms`: a function
-- that gives unix milliseconds; `kinds`: the kinds of runs by their names, where others are not to be read
-- @treturn table
function journal.new(options)
  local whose = escape(options.base_url) .. "/" .. escape(options.application_id) .. "/"
  return setmetatable({
    store = options.store, lease_s = options.lease_s, keep_s = options.keep_s, deadline_ms = options.deadline_ms,
    now_ms = options.now_ms, kinds = options.kinds, _whose = whose,
  }, Journal)
end

--- The key of something that belongs to this service and application.
-- @tparam string prefix such as `paciolan/run/`
-- @tparam string ... what comes behind it; the parts are escaped
-- @treturn string
function Journal:key(prefix, ...)
  local parts = { ... }
  for i, part in ipairs(parts) do
    parts[i] = escape(part)
  end
  return prefix .. self._whose .. table.concat(parts, "/")
end

--- What to tell of a store that failed: see `paciolan.errors`.
journal.error_of = errors.of_store

local function decode(self, text)
  local record = run.with_integers(json.decode(text))
  if type(record) ~= "table" or type(record.kind) ~= "string" or type(record.data) ~= "table"
    or type(record.steps) ~= "table" or type(record.evidence) ~= "table" then
    return nil, errors.store("what the store holds of a run is no record of this library")
  elseif record.v ~= run.VERSION or (self.kinds and not self.kinds[record.kind]) then
    return nil, errors.store("the record of a run was written by another version of this library")
  end
  return record
end

--- Reads the record of a run.
-- @tparam string space
-- @tparam string id
-- @treturn table record; nil when there is none
-- @treturn ?string its text
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Journal:read(space, id)
  local text, err = self.store:get(self:key("paciolan/run/", space, id))
  if text == nil then
    return nil, err ~= nil and journal.error_of(err) or nil
  end
  local record, problem = decode(self, text)
  return record, record and text or problem
end

--- Does somebody carry a run?
-- @tparam string space
-- @tparam string id
-- @treturn boolean
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Journal:is_carried(space, id)
  local owner, err = self.store:get(self:key("paciolan/carrier/", space, id))
  if owner == nil and err ~= nil then
    return nil, journal.error_of(err)
  end
  return owner ~= nil
end

-- Takes the lease. Returns it, or false when somebody else has it.
local function take_lease(self, space, id)
  local lease = { key = self:key("paciolan/carrier/", space, id), owner = assert(core.request_id()) }
  lease.ends_at_ms = core.monotonic_ms() + self.lease_s * 1000
  local added, err = self.store:add(lease.key, lease.owner, { ttl_s = self.lease_s })
  if added == nil then
    pcall(self.store.remove, self.store, lease.key, lease.owner) -- it may have been made, and only the answer lost
    return nil, journal.error_of(err)
  end
  return added and lease
end

--- Begins to carry a run, be it a new one.
-- @tparam string space
-- @tparam string id
-- @treturn table the run, see `paciolan.workflow.run`; its `record` is nil when there is none yet. It has to be
-- released
-- @treturn[2] boolean false when somebody else carries it
-- @treturn[3] nil
-- @treturn[3] table err of the store
function Journal:claim(space, id)
  local lease, err = take_lease(self, space, id)
  if not lease then
    return lease, err
  end
  local record, text = self:read(space, id)
  if not record and text then
    pcall(self.store.remove, self.store, lease.key, lease.owner)
    return nil, text
  end
  return run.new(self, lease, space, id, record, text)
end

local function unescape(part)
  return (part:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- Names of all runs that are marked as unfinished; one of them may have ended just now.
-- @treturn table list of `{ space =, id = }`
-- @treturn[2] nil
-- @treturn[2] table err of the store
function Journal:open_runs()
  local prefix, after, list = "paciolan/open/" .. self._whose, nil, {}
  repeat
    local found, err = self.store:list(prefix, { after = after, limit = PORTION })
    if not found then
      return nil, journal.error_of(err)
    end
    for _, pair in ipairs(found) do
      local space, id = pair[1]:sub(#prefix + 1):match("^([^/]*)/(.*)$")
      list[#list + 1] = { space = unescape(space), id = unescape(id) }
      after = pair[1]
    end
  until #found < PORTION
  return list
end

--- The fingerprint of what a run was started with: the same for two tables that hold the same, and no way back to it.
-- @param value as JSON has it
-- @treturn string SHA-256 in hex
function journal.fingerprint(value)
  local parts = {}
  local function add(item)
    if type(item) ~= "table" then
      -- As many digits as the journal keeps, and no word that each Lua has in its own way.
      local text = type(item) == "number" and ("%.14g"):format(item) or item == json.null and "null" or tostring(item)
      parts[#parts + 1] = ("%s %d %s"):format(type(item), #text, text)
      return
    end
    local keys = {}
    for key in pairs(item) do
      keys[#keys + 1] = key
    end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    parts[#parts + 1] = ("table %d"):format(#keys)
    for _, key in ipairs(keys) do
      add(key)
      add(item[key])
    end
  end
  add(value)
  return core.fingerprint(table.concat(parts, "\n"))
end

return journal
