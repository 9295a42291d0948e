-- What the stores cost, in time that passes and not in CPU time, because a durable write waits for the disk and a Redis
-- answers from elsewhere (`make bench`). The Redis is one of its own that syncs nothing.
package.path = "spec/?.lua;" .. package.path

local paciolan = require "paciolan"
local redis = require "support.redis"
local socket = require "socket"

local PREFIX = "paciolan-bench/"
local VALUE = ("x"):rep(300) -- about as long as a stored token set
local KEYS = 1000
local ROUNDS = 5

local function median_us(count, run)
  local rounds = {}
  for round = 1, ROUNDS do
    local started = socket.gettime()
    for i = 1, count do
      assert(run(i + round * count) ~= nil)
    end
    rounds[round] = (socket.gettime() - started) * 1e6 / count
  end
  table.sort(rounds)
  return rounds[math.ceil(ROUNDS / 2)]
end

local function key_of(i)
  return PREFIX .. i % KEYS
end

-- Rows of name, operations per round, writes per operation, function.
local function rows_of(store)
  local rows = {
    { "put", 2000, 1, function(i) return store:put(key_of(i), VALUE .. i) end },
    { "put, durable", 100, 1, function(i) return store:put(key_of(i), VALUE .. i, { durable = true }) end },
    { "put, ttl_s", 2000, 1, function(i) return store:put(key_of(i), VALUE .. i, { ttl_s = 60 }) end },
    { "get", 5000, 1, function(i) return store:get(key_of(i)) end },
    { "add of a key that is there", 5000, 1, function(i) return store:add(key_of(i), VALUE) end },
    { "put and replace", 1000, 2, function(i)
      return store:put(PREFIX .. "counter", "0") and store:replace(PREFIX .. "counter", "0", VALUE .. i)
    end },
    { "list of 100", 100, 1, function() return store:list(PREFIX, { limit = 100 }) end },
  }
  if store.group then
    for _, row in ipairs { { "put in a group of 32", false }, { "put in a group of 32, durable", true } } do
      rows[#rows + 1] = { row[1], 20, 32, function(i)
        return store:group(function()
          for j = 1, 32 do
            store:put(key_of(j), VALUE .. i)
          end
        end, { durable = row[2] })
      end }
    end
  end
  return rows
end

local function measure(name, store)
  local host = rawget(_G, "jit") and "LuaJIT" or _VERSION
  print(("\nstore %s (%s, median of %d rounds)"):format(name, host, ROUNDS))
  for _, row in ipairs(rows_of(store)) do
    local us = median_us(row[2], row[4]) / row[3]
    print(("  %-44s %9.2f us   %8d/s"):format(row[1], us, math.floor(1e6 / us)))
  end
  for _, pair in ipairs(assert(store:list(PREFIX))) do
    store:remove(pair[1])
  end
  store:close()
end

local function try(name, open, ...)
  local ok, store, err = pcall(open, ...)
  if ok and store then
    measure(name, store)
  else
    print(("\nstore %s: left out, %s"):format(name, tostring(ok and err or store)))
  end
end

try("memory", paciolan.store.memory)

local path = os.tmpname()
try("sqlite", paciolan.store.sqlite, path)
os.remove(path)

local found = os.execute("PATH=$PATH:/usr/sbin:/usr/local/sbin command -v redis-server >/dev/null")
if found == true or found == 0 then
  try("redis", function() return paciolan.store.redis(redis.start():url()) end)
  redis.stop_all()
else
  print("\nstore redis: left out, there is no redis-server")
end
