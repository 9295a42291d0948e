--- What is due when: a heap of things with a time each. Things of one time come out in the order in which they went in.
-- @module paciolan.sandbox.timetable

local timetable = {}

local Timetable = {}
Timetable.__index = Timetable

--- @treturn Timetable an empty one
function timetable.new()
  return setmetatable({ _heap = {}, _count = 0, _last_number = 0 }, Timetable)
end

local function is_before(a, b)
  if a.due_at_ms ~= b.due_at_ms then
    return a.due_at_ms < b.due_at_ms
  end
  return a.number < b.number
end

--- Adds a thing.
-- @param thing anything but nil
-- @tparam number due_at_ms
function Timetable:add(thing, due_at_ms)
  local heap = self._heap
  self._count, self._last_number = self._count + 1, self._last_number + 1
  local entry = { thing = thing, due_at_ms = due_at_ms, number = self._last_number }
  local at = self._count
  while at > 1 and is_before(entry, heap[math.floor(at / 2)]) do
    heap[at] = heap[math.floor(at / 2)]
    at = math.floor(at / 2)
  end
  heap[at] = entry
end

local function remove_first(self)
  local heap, entry = self._heap, self._heap[self._count]
  heap[self._count] = nil
  self._count = self._count - 1
  local at, child = 1, 2
  while child <= self._count do
    if child < self._count and is_before(heap[child + 1], heap[child]) then
      child = child + 1
    end
    if not is_before(heap[child], entry) then
      break
    end
    heap[at] = heap[child]
    at, child = child, child * 2
  end
  if self._count > 0 then
    heap[at] = entry
  end
end

--- Takes the first thing out, when its time has come.
-- @tparam number now_ms
-- @return the thing, or nil when none is due
function Timetable:take(now_ms)
  local first = self._heap[1]
  if not first or first.due_at_ms > now_ms then
    return nil
  end
  remove_first(self)
  return first.thing
end

--- @treturn ?number when the first thing is due, in the unit of `add`
function Timetable:next_at_ms()
  local first = self._heap[1]
  return first and first.due_at_ms
end

--- @treturn number how many things wait
function Timetable:count()
  return self._count
end

return timetable
