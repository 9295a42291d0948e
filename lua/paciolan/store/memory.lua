--- A store in the memory of one process, the default. It keeps the contract of paciolan.store.contract and never fails.
-- @module paciolan.store.memory
local contract = require "paciolan.store.contract"
local core = require "paciolan.core"

local memory = {}

local new_store = contract.class("paciolan.store.memory")

local backend = {}
backend.__index = backend

-- An expired item that nobody asks for again is dropped when this many were written since the last look at all of them,
-- or as many as there were then. So a write costs the same on average, however many there are.
local SWEEP_AFTER = 1000

local function sweep(self)
  local now_ms, count = self.now_ms(), 0
  for key, item in pairs(self.items) do
    if item.expires_at_ms and item.expires_at_ms <= now_ms then
      self.items[key] = nil
    else
      count = count + 1
    end
  end
  self.writes_left = math.max(SWEEP_AFTER, count)
end

-- The live item under a key; an expired one is dropped on the way.
local function item_of(self, key)
  local item = self.items[key]
  if item and item.expires_at_ms and item.expires_at_ms <= self.now_ms() then
    self.items[key] = nil
    return nil
  end
  return item
end

function backend:get(key)
  local item = item_of(self, key)
  return item and item.value or nil
end

function backend:put(key, value, ttl_ms)
  self.writes_left = self.writes_left - 1
  if self.writes_left == 0 then
    sweep(self)
  end
  self.items[key] = { value = value, expires_at_ms = ttl_ms and self.now_ms() + ttl_ms or nil }
  return true
end

function backend:add(key, value, ttl_ms)
  if item_of(self, key) then
    return false
  end
  return self:put(key, value, ttl_ms)
end

function backend:replace(key, expected, value, ttl_ms)
  local item = item_of(self, key)
  if not item or item.value ~= expected then
    return false
  end
  item.value = value
  item.expires_at_ms = ttl_ms and self.now_ms() + ttl_ms or item.expires_at_ms
  return true
end

function backend:remove(key, expected)
  local item = item_of(self, key)
  if not item or (expected ~= nil and item.value ~= expected) then
    return false
  end
  self.items[key] = nil
  return true
end

function backend:list(prefix, after, limit)
  local keys = {}
  for key in pairs(self.items) do
    if key:sub(1, #prefix) == prefix and (not after or key > after) then
      keys[#keys + 1] = key
    end
  end
  table.sort(keys)
  local found = {}
  for _, key in ipairs(keys) do
    if limit and #found >= limit then
      break
    end
    local item = item_of(self, key)
    if item then
      found[#found + 1] = { key, item.value }
    end
  end
  return found
end

function backend:close()
  self.items = nil
end

--- Opens an empty store.
-- @tparam ?table options `now_ms`: a function that gives unix milliseconds, for tests
-- @treturn table the store
function memory.new(options)
  return new_store(setmetatable({
    items = {}, writes_left = SWEEP_AFTER, now_ms = options and options.now_ms or core.now_ms,
  }, backend))
end

return memory
