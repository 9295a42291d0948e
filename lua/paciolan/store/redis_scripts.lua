--- What a Redis store keeps under which keys, and the scripts that change it. Redis runs a script as one step.
--
-- * `<prefix>/value/<key>`: a value, a string with or without a time to live
-- * `<prefix>/keys`: the keys, a sorted set whose scores are all 0, so that it is in the order of bytes. Listing walks
--   it, and so never looks at the keys of others
-- * `<prefix>/ends`: the keys with a time to live, by the unix milliseconds of its end
--
-- A value that ended leaves its key behind in the sets. Every write takes some of those off, so that the sets stay in
-- proportion to what lives, and a list takes off what it meets.
--
-- A prefix holds no slash, so a name tells its prefix: two prefixes never share a name.
-- @module paciolan.store.redis_scripts
local scripts = {}

--- Writes a value. KEYS: the value, the keys, the ends. ARGV: the key; the value; the time to live in milliseconds or
-- an empty string; the condition, `any`, `absent` or `equal`; with `equal` the expected value, and then a missing time
-- to live leaves it as it was. Returns 1, or 0 when the condition does not hold.
--
-- A second passes before the end of a key is believed, so that it is never taken off before its value is gone. The set
-- of keys is written first: should the memory of the server end there, a key without a value is harmless.
scripts.WRITE = [[
local key, value, ttl_ms, condition = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if condition == "absent" and redis.call("EXISTS", KEYS[1]) == 1 then return 0 end
if condition == "equal" and redis.call("GET", KEYS[1]) ~= ARGV[5] then return 0 end
local time = redis.call("TIME")
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = redis.call("ZRANGEBYSCORE", KEYS[3], "-inf", now_ms - 1000, "LIMIT", 0, 10)
if #ended > 0 then
  redis.call("ZREM", KEYS[2], unpack(ended))
  redis.call("ZREM", KEYS[3], unpack(ended))
end
redis.call("ZADD", KEYS[2], 0, key)
if ttl_ms ~= "" then
  redis.call("ZADD", KEYS[3], now_ms + ttl_ms, key)
  redis.call("SET", KEYS[1], value, "PX", ttl_ms)
elseif condition == "equal" then
  redis.call("SET", KEYS[1], value, "KEEPTTL")
else
  redis.call("ZREM", KEYS[3], key)
  redis.call("SET", KEYS[1], value)
end
return 1
]]

--- Removes a value. KEYS: the value, the keys, the ends. ARGV: the key and, where only that is to be removed, the
-- expected value. Returns 1, or 0.
scripts.REMOVE = [[
local value = redis.call("GET", KEYS[1])
if not value or (ARGV[2] and value ~= ARGV[2]) then return 0 end
redis.call("ZREM", KEYS[2], ARGV[1])
redis.call("ZREM", KEYS[3], ARGV[1])
redis.call("DEL", KEYS[1])
return 1
]]

--- Takes keys off the sets whose values are gone, unless they have come back. KEYS: the keys, the ends, the values.
-- ARGV: the key of each value.
scripts.FORGET = [[
for i, key in ipairs(ARGV) do
  if redis.call("EXISTS", KEYS[i + 2]) == 0 then
    redis.call("ZREM", KEYS[1], key)
    redis.call("ZREM", KEYS[2], key)
  end
end
return 1
]]

--- The names below a prefix.
-- @tparam string prefix
-- @treturn table `value` (a function of the key), `keys`, `ends`
function scripts.names(prefix)
  local before = prefix .. "/value/"
  return {
    value = function(key) return before .. key end,
    keys = prefix .. "/keys",
    ends = prefix .. "/ends",
  }
end

return scripts
