--- A store over another one, with a hook that is asked before each operation and may make it fail.
--
-- `store.hook(method, key, number)` runs before the operation with that number since the hook was set (from 1) and
-- returns how it ends:
--
-- * nil: as the inner store ends it
-- * "fail", "raise": nothing is done, and the store answers an error, or raises one
-- * "lost", "lost_raise": it is done all the same, and then the store answers or raises that error
--
-- `store.after(method, key)` runs between an operation and its answer.
local errors = require("paciolan.errors")
local memory = require("paciolan.store.memory")

local faulty_store = {}

--- What a store raises here.
faulty_store.RAISED = "the store raised"

local ENDS = {
  fail = { is_done = false, is_raised = false }, raise = { is_done = false, is_raised = true },
  lost = { is_done = true, is_raised = false }, lost_raise = { is_done = true, is_raised = true },
}

--- The ways in which an operation may fail, in the order of their names.
faulty_store.WAYS = { "fail", "lost", "lost_raise", "raise" }

-- Runs an operation that fails.
local function fail(how, inner, method, ...)
  local way = assert(ENDS[how], "no such end of an operation")
  if way.is_done then
    inner[method](inner, ...)
  end
  if way.is_raised then
    error(faulty_store.RAISED, 0)
  end
  local err = errors.store("the store failed on purpose")
  err.outcome = not way.is_done and "not_sent" or nil
  return nil, err
end

local function answer(store, method, key, ...)
  if store.after then
    store.after(method, key)
  end
  return ...
end

--- A store.
-- @tparam ?table inner a store in memory when nil
-- @treturn table with `hook`, `after`, `inner`, `count`, the number of operations since `watch`, and `watch(hook)`
function faulty_store.new(inner)
  local store = { inner = inner or memory.new(), count = 0 }
  for _, method in ipairs { "get", "put", "add", "replace", "remove", "list" } do
    store[method] = function(_, key, ...)
      store.count = store.count + 1
      local how = store.hook and store.hook(method, key, store.count)
      if how then
        return fail(how, store.inner, method, key, ...)
      end
      return answer(store, method, key, store.inner[method](store.inner, key, ...))
    end
  end

  --- Sets the hook, and counts from the beginning.
  function store.watch(hook)
    store.hook, store.count = hook, 0
  end
  return store
end

return faulty_store
