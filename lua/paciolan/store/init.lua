--- The stores by name. What each of them does is written in paciolan.store.contract.
-- @module paciolan.store
local store = {}

--- In the memory of this process, the default. See paciolan.store.memory.
function store.memory(options)
  return require("paciolan.store.memory").new(options)
end

--- In a file, for all processes of one machine: `paciolan.store.sqlite "paciolan.db"`. See paciolan.store.sqlite.
function store.sqlite(options)
  return require("paciolan.store.sqlite").new(options)
end

--- In Redis, for several hosts: `paciolan.store.redis "redis://localhost"`. See paciolan.store.redis.
function store.redis(options)
  return require("paciolan.store.redis").new(options)
end

--- In a shared dict of nginx, for its workers: `paciolan.store.shdict "paciolan"`. See paciolan.store.shdict.
function store.shdict(options)
  return require("paciolan.store.shdict").new(options)
end

--- Opens a store that is named by a text, such as the value of `PACIOLAN_STORE`.
-- @tparam string text `memory`, `sqlite:PATH`, `shdict:NAME` inside nginx, or `redis://…`, `rediss://…`,
-- `redis+unix://…`
-- @treturn table the store
-- @raise for a text of another form, and where the module of that store is not installed
function store.open(text)
  if type(text) ~= "string" then
    error("paciolan.store.open takes a text, not " .. type(text), 2)
  elseif text == "memory" then
    return store.memory()
  elseif text:find("^sqlite:.") then
    return store.sqlite((text:gsub("^sqlite:", "")))
  elseif text:find("^shdict:.") then
    return store.shdict((text:gsub("^shdict:", "")))
  elseif text:find("^rediss?://") or text:find("^redis%+unix://") then
    return store.redis(text)
  end
  error("a store is memory, sqlite:PATH, shdict:NAME, redis://HOST, rediss://HOST or redis+unix:///PATH", 2)
end

return store
