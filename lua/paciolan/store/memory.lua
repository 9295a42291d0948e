--- A store in the memory of one process, the default.
--
-- Every store keeps the same contract (keys and values are strings):
--
-- * `store:get(key)` → value or nil
-- * `store:put(key, value, { ttl_s =, durable = })` → true
-- * `store:add(key, value, { ttl_s = })` → true, or false when the key is there (atomic)
-- * `store:replace(key, expected, value)` → true, or false when the value is another (atomic)
-- * `store:remove(key, expected)` → true, or false; without `expected` whatever the value
-- * `store:list(prefix, { after =, limit = })` → ordered list of `{ key, value }`
-- * `store:close()`, idempotent
--
-- `nil, err` (kind `store`) when the store itself failed, which this one never does. A closed store raises.
-- @module paciolan.store.memory
local core = require "paciolan.core"
local errors = require "paciolan.errors"

local memory = {}

local methods = {}
local mt = { __name = "paciolan.store.memory", __index = methods }

function mt.__tostring(self)
  return self._items and "paciolan.store.memory (open)" or "paciolan.store.memory (closed)"
end

local function check_open(self)
  if type(self) ~= "table" or getmetatable(self) ~= mt then
    error("call store methods with a colon: store:get(key)", 3)
  end
  if not self._items then
    error("the store is closed", 3)
  end
end

local function check_text(value, name)
  if type(value) ~= "string" then
    error(name .. " must be a string, not " .. type(value), 3)
  end
end

local put_options = { ttl_s = "number", durable = "boolean" }
local list_options = { after = "string", limit = "number" }

local function check_options(options, known)
  for key, value in pairs(options or {}) do
    if not known[key] then
      error("unknown option " .. errors.shown(key), 3)
    elseif type(value) ~= known[key] then
      error(("option %s must be a %s"):format(key, known[key]), 3)
    end
  end
end

-- The live item under a key; an expired one is dropped on the way.
local function item_of(self, key)
  local item = self._items[key]
  if item and item.expires_at_ms and item.expires_at_ms <= self._now_ms() then
    self._items[key] = nil
    return nil
  end
  return item
end

local function set(self, key, value, options)
  local ttl_s = options and options.ttl_s
  self._items[key] = { value = value, expires_at_ms = ttl_s and self._now_ms() + ttl_s * 1000 or nil }
end

function methods:get(key)
  check_open(self)
  check_text(key, "key")
  local item = item_of(self, key)
  return item and item.value or nil
end

function methods:put(key, value, options)
  check_open(self)
  check_text(key, "key")
  check_text(value, "value")
  check_options(options, put_options)
  set(self, key, value, options)
  return true
end

function methods:add(key, value, options)
  check_open(self)
  check_text(key, "key")
  check_text(value, "value")
  check_options(options, put_options)
  if item_of(self, key) then
    return false
  end
  set(self, key, value, options)
  return true
end

function methods:replace(key, expected, value)
  check_open(self)
  check_text(key, "key")
  check_text(expected, "expected")
  check_text(value, "value")
  local item = item_of(self, key)
  if not item or item.value ~= expected then
    return false
  end
  item.value = value
  return true
end

function methods:remove(key, expected)
  check_open(self)
  check_text(key, "key")
  if expected ~= nil then
    check_text(expected, "expected")
  end
  local item = item_of(self, key)
  if not item or (expected ~= nil and item.value ~= expected) then
    return false
  end
  self._items[key] = nil
  return true
end

function methods:list(prefix, options)
  check_open(self)
  check_text(prefix, "prefix")
  check_options(options, list_options)
  local after, limit = options and options.after, options and options.limit or math.huge
  local keys = {}
  for key in pairs(self._items) do
    if key:sub(1, #prefix) == prefix and (not after or key > after) then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys)
  local found = {}
  for _, key in ipairs(keys) do
    if #found >= limit then
      break
    end
    local item = item_of(self, key)
    if item then
      found[#found + 1] = { key, item.value }
    end
  end
  return found
end

function methods:close()
  self._items = nil
  return true
end

--- Opens an empty store.
-- @tparam ?table options `now_ms`: a function that gives unix milliseconds, for tests
-- @treturn table the store
function memory.new(options)
  return setmetatable({ _items = {}, _now_ms = options and options.now_ms or core.now_ms }, mt)
end

return memory
