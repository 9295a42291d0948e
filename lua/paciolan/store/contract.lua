--- The contract that every store keeps. Keys and values are strings, of any bytes.
--
-- * `store:get(key)` → value, or nil when there is none
-- * `store:put(key, value, { ttl_s =, durable = })` → true
-- * `store:add(key, value, { ttl_s =, durable = })` → true, or false when the key is there (atomic)
-- * `store:replace(key, expected, value, { ttl_s =, durable = })` → true, or false when the value is another (atomic)
-- * `store:remove(key, expected)` → true, or false; without `expected` whatever the value (atomic)
-- * `store:list(prefix, { after =, limit = })` → list of `{ key, value }` in the order of the bytes of the keys
-- * `store:close()` → true, idempotent
--
-- `ttl_s` is a time to live in seconds, with fractions to the millisecond. A `put` without it makes a value that stays;
-- a `replace` without it leaves the time to live as it was. `durable` asks that the value survives a loss of power,
-- as far as the store can keep it; without it a value survives at least the end of the process, in a store that keeps
-- anything at all.
--
-- `nil, err` (kind `store`) when the store itself failed; `err.outcome` is `not_sent` where it is certain that nothing
-- was changed. Misuse raises, and so does a closed store.
--
-- A store that is made here consists of a *backend*, which does the work and may trust its arguments, and of the checks
-- of this module. A store of another making only has to answer as above.
-- @module paciolan.store.contract
local errors = require "paciolan.errors"

local contract = {}

-- Errors of the caller point at the line that called the method of the store.
local CALLER = 3
local LONGEST_TTL_S = 100 * 366 * 24 * 60 * 60

local function check_text(value, name)
  if type(value) ~= "string" then
    error(name .. " must be a string, not " .. type(value), CALLER)
  end
end

local function is_ttl(value)
  return type(value) == "number" and value >= 0.001 and value <= LONGEST_TTL_S, "a number of seconds, at least 0.001"
end

local function is_boolean(value)
  return type(value) == "boolean", "a boolean"
end

local function is_text(value)
  return type(value) == "string", "a string"
end

local function is_limit(value)
  return type(value) == "number" and value >= 1 and value == math.floor(value) and value <= 2 ^ 31 - 1,
    "a whole number from 1"
end

local write_options = { ttl_s = is_ttl, durable = is_boolean }
local list_options = { after = is_text, limit = is_limit }
local NONE = {}

-- Returns the options, never nil.
local function check_options(options, known)
  if options == nil then
    return NONE
  elseif type(options) ~= "table" then
    error("options must be a table, not " .. type(options), CALLER)
  end
  for key, value in pairs(options) do
    if not known[key] then
      error("unknown option " .. errors.shown(key), CALLER)
    end
    local ok, wanted = known[key](value)
    if not ok then
      error(("option %s must be %s"):format(key, wanted), CALLER)
    end
  end
  return options
end

local function check_open(self)
  local mt = type(self) == "table" and getmetatable(self)
  if not mt or not mt.is_store then
    error("call store methods with a colon: store:get(key)", CALLER)
  elseif not self._backend then
    error("the store is closed", CALLER)
  end
  return self._backend
end

local function ttl_ms(options)
  return options.ttl_s and math.floor(options.ttl_s * 1000 + 0.5) or nil
end

-- A backend tells a failure as nil, a text, and whether it is certain that nothing was done.
local function finish(value, failure, is_certain)
  if value == nil and failure ~= nil then
    local err = errors.is(failure) and failure or errors.store(failure)
    err.outcome = err.outcome or (is_certain and "not_sent" or nil)
    return nil, err
  end
  return value
end

local methods = {}

function methods:get(key)
  local backend = check_open(self)
  check_text(key, "key")
  return finish(backend:get(key))
end

function methods:put(key, value, options)
  local backend = check_open(self)
  check_text(key, "key")
  check_text(value, "value")
  options = check_options(options, write_options)
  return finish(backend:put(key, value, ttl_ms(options), options.durable == true))
end

function methods:add(key, value, options)
  local backend = check_open(self)
  check_text(key, "key")
  check_text(value, "value")
  options = check_options(options, write_options)
  return finish(backend:add(key, value, ttl_ms(options), options.durable == true))
end

function methods:replace(key, expected, value, options)
  local backend = check_open(self)
  check_text(key, "key")
  check_text(expected, "expected")
  check_text(value, "value")
  options = check_options(options, write_options)
  return finish(backend:replace(key, expected, value, ttl_ms(options), options.durable == true))
end

function methods:remove(key, expected)
  local backend = check_open(self)
  check_text(key, "key")
  if expected ~= nil then
    check_text(expected, "expected")
  end
  return finish(backend:remove(key, expected))
end

function methods:list(prefix, options)
  local backend = check_open(self)
  check_text(prefix, "prefix")
  options = check_options(options, list_options)
  return finish(backend:list(prefix, options.after, options.limit))
end

function methods:close()
  local mt = type(self) == "table" and getmetatable(self)
  if not mt or not mt.is_store then
    error("call store methods with a colon: store:close()", 2)
  end
  local backend = self._backend
  self._backend = nil
  if backend then
    backend:close()
  end
  return true
end

--- Makes the class of one kind of store.
-- @tparam string name such as `paciolan.store.memory`, shown by `tostring`
-- @treturn function `(backend)` → the store. The backend has the methods of the contract, with a colon and checked
-- arguments: `get(key)`, `put(key, value, ttl_ms, durable)`, `add(key, value, ttl_ms, durable)`,
-- `replace(key, expected, value, ttl_ms, durable)`, `remove(key, expected)`, `list(prefix, after, limit)`, `close()`;
-- `ttl_ms`, `expected`, `after` and `limit` may be nil. It answers as the contract says, and a failure with nil, a text
-- that names no key and no value, and whether it is certain that nothing was changed
-- @treturn table the methods of that class, to which a store may add its own; the open backend is in `_backend`
function contract.class(name)
  local own = setmetatable({}, { __index = methods })
  local mt = { __name = name, __index = own, is_store = true }
  function mt.__tostring(self)
    return name .. (self._backend and " (open)" or " (closed)")
  end
  return function(backend)
    return setmetatable({ _backend = backend }, mt)
  end, own
end

return contract
