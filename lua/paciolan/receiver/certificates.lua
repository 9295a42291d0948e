--- The signing certificates of a receiver: read once, kept as keys that are ready to verify, fetched anew as seldom as
-- can be, and never more often than junk addresses deserve (duties 12 to 15).
--
-- An address gets here only when it is the one that its topic's region has, so what strangers can vary is the name of
-- the file. Two lists keep them from doing harm with it: certificates that have verified a message are *proven*, and
-- only such ones push each other out; all others, failures included, share a second list of the same size. New
-- addresses are rationed for each host.
--
-- One coroutine of a process fetches an address, and the others wait for it. Between processes there is a lock in the
-- store, and the text of the certificate is there too, so that it outlives a restart and is fetched once for all:
--
-- * `paciolan/sns_certificate/<url>`: when it was fetched (unix seconds), a line feed, the PEM
-- * `paciolan/sns_fetch/<url>`: `fetching <id>`, or `failed <unix seconds>`, until when nobody should try again
--
-- Nothing in the store is trusted: it is read and checked like what was fetched. A store that fails only makes the
-- processes fetch each for itself.
--
-- Another certificate that comes under a known address is a *successor*. It is tried first, and until it has verified a
-- message the one before it is kept, here and in the store: a wrong answer of the host must not cost messages.
-- @module paciolan.receiver.certificates
local core = require "paciolan.core"
local fetching = require "paciolan.receiver.fetching"
local reports = require "paciolan.receiver.reports"

local certificates = {}

-- How often somebody else's fetch is looked after.
local POLL_MS = 20
-- Between processes it costs the store something.
local STORE_POLL_MS = 100
-- What a fetch may take beyond the request itself. Answers are due after 15 s.
local GRACE_MS = 1000
local FETCH_MS = fetching.TIMEOUT_MS + GRACE_MS
-- Stored for at least this long after it was fetched, so that a stale one is there while none can be fetched.
local KEEP_S = 30 * 24 * 60 * 60
local LOCKED = { ttl_s = 2 * FETCH_MS / 1000 }
-- After a wait for another process that told nothing. A message of SNS comes again after 20 s.
local IN_VAIN_S = 5
-- A coroutine that was dropped is found out by the end of its time; then one of those who waited does its work.
local MAX_FLIGHTS = 2

-- Reasons that mean that the certificate itself will not do, and not the signature. Only Amazon's host can have served
-- it, so what is out of date is our trust in it, or our clock.
local of_certificate = { untrusted_certificate = true, certificate_name = true, certificate_dates = true }

local RATIONED = "new addresses of signing certificates are more than the ration, so that a new certificate of Amazon"
  .. " may have to wait: set basic_auth, so that strangers cannot name addresses, and use a store that survives"

local Certificates = {}
Certificates.__index = Certificates

--- An empty cache.
-- @tparam table options of the receiver: `store`, `clock`, `certificates`, `certificate_warning_s`
-- @tparam function fetch `(url)` → PEM, or nil and a text; it may yield, and it may raise
-- @tparam table waiter its `sleep(ms)` waits
-- @param trust from `core.sns.trust`
-- @tparam table told the receiver's reports
-- @treturn table
function certificates.new(options, fetch, waiter, trust, told)
  return setmetatable({
    _store = options.store, _clock = options.clock, _limits = options.certificates,
    _warning_s = options.certificate_warning_s, _fetch = fetch, _waiter = waiter, _trust = trust, _told = told,
    _mark = ("fetching %s "):format(assert(core.request_id())), _proven = {}, _others = {}, _flights = {},
    _rations = {}, _uses = 0, _attempts = 0,
  }, Certificates)
end

-- --- the two lists ------------------------------------------------------------------------------------------------

local function touch(self, entry)
  self._uses = self._uses + 1
  entry.used = self._uses
end

-- Makes room for one more: the entry that was not used for longest goes.
local function make_room(list, max)
  local count, oldest = 0, nil
  for _, entry in pairs(list) do
    count = count + 1
    if not oldest or entry.used < oldest.used then
      oldest = entry
    end
  end
  if count >= max then
    list[oldest.url] = nil
  end
end

local function keep(self, list, entry)
  if not list[entry.url] then
    make_room(list, self._limits.max)
  end
  list[entry.url] = entry
  touch(self, entry)
  return entry
end

local function entry_of(self, url)
  return self._proven[url] or self._others[url]
end

local function entry_for(self, url)
  return entry_of(self, url) or keep(self, self._others, { url = url })
end

local function set_due(entry, from_s, after_s)
  entry.refresh_at_s, entry.after_s = from_s + after_s, after_s
end

-- One that is due later than it can be was dated by a clock that has gone back since.
local function is_due(self, entry)
  local left_s = entry.refresh_at_s - self._clock()
  return left_s <= 0 or left_s > entry.after_s
end

-- Takes what was read under an address: `{ certificate, pem, text }`, the last as it is in the store.
local function set_found(self, url, found, fetched_s)
  local entry = entry_for(self, url)
  if not entry.current or entry.current.pem == found.pem then
    entry.current = found
  else
    entry.successor = found
  end
  set_due(entry, fetched_s, self._limits.ttl_s)
  return entry
end

-- What is there stays usable while it is in date; the core looks at the dates with every message.
local function set_failure(self, url, after_s)
  local entry = entry_for(self, url)
  set_due(entry, self._clock(), math.min(after_s or self._limits.negative_ttl_s, self._limits.negative_ttl_s))
  return entry
end

-- --- the store ----------------------------------------------------------------------------------------------------

-- A store that fails answers nil here, as if it held nothing.
local function ask_store(self, method, ...)
  local ok, value = pcall(self._store[method], self._store, ...)
  if not ok or value == nil then
    return nil
  end
  return value
end

local function certificate_key(url)
  return "paciolan/sns_certificate/" .. url
end

local function lock_key(url)
  return "paciolan/sns_fetch/" .. url
end

-- A certificate of the store, read anew; nil when there is none that can be used.
local function load_stored(self, url)
  local text = ask_store(self, "get", certificate_key(url)) or ""
  local fetched_s, pem = text:match("^(%d+)\n(.+)$")
  local certificate = pem and core.sns.certificate(pem, self._trust)
  if not certificate then
    return nil
  end
  -- The clock of the host that fetched it may be ahead of ours.
  return set_found(self, url, { certificate = certificate, pem = pem, text = text },
    math.min(tonumber(fetched_s), self._clock()))
end

local function save(self, url, found)
  ask_store(self, "put", certificate_key(url), found.text,
    { ttl_s = math.max(KEEP_S, self._limits.ttl_s), durable = true })
end

local function is_fresh(self, entry)
  return entry ~= nil and not is_due(self, entry)
end

-- --- the ration ---------------------------------------------------------------------------------------------------

-- May an address of this host be fetched that has proven nothing yet? A bucket of tokens for each host, and hosts there
-- are as many as the topics have regions.
local function take_ration(self, url)
  local host, now_s, most = url:match("^https://([^/]+)/") or "", self._clock(), self._limits.novel_per_minute
  local ration = self._rations[host]
  if not ration then
    ration = { left = most, at_s = now_s }
    self._rations[host] = ration
  end
  ration.left = math.min(most, ration.left + math.max(0, now_s - ration.at_s) * most / 60)
  ration.at_s = now_s
  if ration.left < 1 then
    return false
  end
  ration.left = ration.left - 1
  return true
end

-- --- fetching -----------------------------------------------------------------------------------------------------

-- The certificate that an address has now; or nil and a text.
local function fetch(self, url)
  self._told:count("certificate_fetches")
  local ok, pem, problem = pcall(self._fetch, url)
  if not ok or type(pem) ~= "string" then
    return nil, ok and problem or pem
  end
  local certificate, reason = core.sns.certificate(pem, self._trust)
  if not certificate then
    return nil, "what was fetched is no certificate that can be used: " .. tostring(reason)
  end
  local now_s = self._clock()
  local found = { certificate = certificate, pem = pem, text = ("%d\n%s"):format(math.floor(now_s), pem) }
  local entry = set_found(self, url, found, now_s)
  if entry.current == found then
    entry.successor = nil
    save(self, url, found)
  end
  return entry
end

local function fetch_failed(self, url, problem)
  self._told:count("certificate_fetch_failed")
  self._told:remember("fetch_failed")
  self._told:alarm("fetch_failed", "a signing certificate could not be fetched: " .. reports.text(problem))
  return set_failure(self, url)
end

-- With the lock of the store, or without it where the store fails.
local function fetch_locked(self, url, owner)
  local entry, problem = fetch(self, url)
  if entry then
    self._told:forget("fetch_failed")
    ask_store(self, "remove", lock_key(url), owner)
    return entry
  end
  local negative_ttl_s = self._limits.negative_ttl_s
  local failed = ("failed %d"):format(math.floor(self._clock()) + negative_ttl_s)
  ask_store(self, "replace", lock_key(url), owner, failed, { ttl_s = negative_ttl_s })
  return fetch_failed(self, url, problem)
end

-- What another process is doing: false when it is still at it, nil when the lock could be taken over.
local function look_at_other(self, url, owner)
  local lock = ask_store(self, "get", lock_key(url))
  local failed_until_s = lock and tonumber(lock:match("^failed (%d+)$"))
  local left_s = failed_until_s and failed_until_s - self._clock()
  if left_s and left_s > 0 and left_s <= self._limits.negative_ttl_s then
    return set_failure(self, url, left_s), lock
  end
  local known = entry_of(self, url)
  -- In this process only one fetches at a time, so another lock of ours is that of a coroutine that was dropped.
  local is_dead = left_s or lock and (known and known.dead_lock == lock or lock:find(self._mark, 1, true) == 1)
  if is_dead and ask_store(self, "replace", lock_key(url), lock, owner, LOCKED) then
    return nil
  end
  local entry = load_stored(self, url)
  return is_fresh(self, entry) and entry, lock
end

-- Takes the lock, and returns nil; or what came of somebody else's fetch. A store that fails locks nobody out.
local function lock_or_wait(self, url, owner)
  local ends_at_ms = core.monotonic_ms() + FETCH_MS
  local first_lock, last_lock
  while core.monotonic_ms() < ends_at_ms do
    if ask_store(self, "add", lock_key(url), owner, LOCKED) ~= false then
      return nil
    end
    local entry, lock = look_at_other(self, url, owner)
    if entry ~= false then
      return entry
    end
    first_lock, last_lock = first_lock or lock, lock
    self._waiter:sleep(STORE_POLL_MS)
  end
  local entry = set_failure(self, url, IN_VAIN_S)
  -- Whoever has held it all the time is dead, and the next attempt need not wait for him.
  entry.dead_lock = first_lock == last_lock and last_lock or nil
  return entry
end

local function fetch_once(self, url)
  self._attempts = self._attempts + 1
  local owner = self._mark .. ("%d"):format(self._attempts)
  local entry = lock_or_wait(self, url, owner)
  if entry then
    return entry
  end
  entry = load_stored(self, url) -- somebody may have ended just before
  if is_fresh(self, entry) then
    ask_store(self, "remove", lock_key(url), owner)
    return entry
  end
  return fetch_locked(self, url, owner)
end

-- An address that is unknown here, or due: from the store, or from Amazon if the ration allows it.
local function look_up(self, url)
  local entry = load_stored(self, url)
  if is_fresh(self, entry) then
    return entry
  elseif not self._proven[url] and not take_ration(self, url) then
    self._told:count("certificate_rationed")
    self._told:remember("certificate_rationed")
    self._told:alarm("certificate_rationed", RATIONED)
    return entry or entry_of(self, url)
  end
  return fetch_once(self, url)
end

-- --- one flight for each address in a process ---------------------------------------------------------------------

local function is_under_way(flight)
  return flight ~= nil and core.monotonic_ms() < flight.ends_at_ms
end

-- Those whose coroutine was dropped.
local function remove_dead_flights(self)
  for url, flight in pairs(self._flights) do
    if not is_under_way(flight) then
      self._flights[url] = nil
    end
  end
end

-- A coroutine that was dropped does not hold up the others for ever: its flight ends with its time.
local function fly(self, url)
  remove_dead_flights(self)
  local flight = { ends_at_ms = core.monotonic_ms() + 2 * FETCH_MS }
  self._flights[url] = flight
  local ok, entry = pcall(look_up, self, url)
  flight.is_over = true
  if self._flights[url] == flight then
    self._flights[url] = nil
  end
  if not ok then
    error(entry, 0)
  end
  return entry
end

-- Whether it came to its end.
local function wait_for(self, flight)
  while not flight.is_over and is_under_way(flight) do
    self._waiter:sleep(POLL_MS)
  end
  return flight.is_over
end

local function usable(entry)
  if entry and entry.current then
    return entry
  end
  return nil
end

--- The certificates at an address.
-- @tparam string url as the core has checked it
-- @treturn ?table an entry to be given to `verify`; nil when there is none now, which is our own trouble and not the
-- sender's
function Certificates:get(url)
  local entry = entry_of(self, url)
  if entry then
    touch(self, entry)
    if not is_due(self, entry) then
      return usable(entry)
    end
  end
  for _ = 1, MAX_FLIGHTS do
    local flight = self._flights[url]
    if not is_under_way(flight) then
      return usable(fly(self, url))
    elseif usable(entry) then
      return entry -- stale, and being renewed by another coroutine
    elseif wait_for(self, flight) then
      break
    end
  end
  return usable(entry_of(self, url))
end

-- --- verifying ----------------------------------------------------------------------------------------------------

-- A message was verified with this certificate of an entry.
local function prove(self, entry, found)
  if entry.successor == found then
    entry.current, entry.successor = found, nil
    save(self, entry.url, found)
  end
  entry.proven_s = self._clock()
  if not entry.is_proven then
    entry.is_proven = true
    self._others[entry.url] = nil
    keep(self, self._proven, entry)
  end
end

-- The certificate itself was refused. It is not kept for longer than a fetch that failed, so that a better one, or one
-- whose issuer was added by now, is found soon.
local function doubt(self, entry, found)
  local negative_ttl_s = self._limits.negative_ttl_s
  if entry.refresh_at_s - self._clock() > negative_ttl_s then
    set_due(entry, self._clock(), negative_ttl_s)
    ask_store(self, "remove", certificate_key(entry.url), found.text)
  end
end

local function check(self, entry, found, message, now_s)
  local envelope, reason = core.sns.check(message, found.certificate, now_s)
  if envelope then
    prove(self, entry, found)
  elseif of_certificate[reason] then
    doubt(self, entry, found)
  end
  return envelope, reason
end

--- Verifies a message with the certificates at its address.
-- @tparam table entry from `get`
-- @param message from `core.sns.open`
-- @tparam number now_s unix seconds
-- @treturn table the verified envelope
-- @treturn[2] nil
-- @treturn[2] string the core's reason
function Certificates:verify(entry, message, now_s)
  local current, successor = entry.current, entry.successor
  local envelope, reason = check(self, entry, successor or current, message, now_s)
  if not envelope and successor and (of_certificate[reason] or reason == "bad_signature") then
    local other_reason
    envelope, other_reason = check(self, entry, current, message, now_s)
    -- A signature that the one certificate does not fit may be that of the other, which will not do now.
    reason = of_certificate[reason] and reason or other_reason
  end
  return envelope, reason
end

--- Warns of certificates in use that end soon.
-- @tparam number now_s unix seconds
-- @tparam table warnings to which they are added
function Certificates:warn(now_s, warnings)
  for _, entry in pairs(self._proven) do
    local _, ends_at_s = entry.current.certificate:times()
    if now_s - entry.proven_s < self._limits.ttl_s and ends_at_s - now_s < self._warning_s then
      warnings[#warnings + 1] = {
        code = "certificate_ends",
        message = ("the signing certificate in use ends in %d days; Amazon has to publish another one")
          :format(math.max(0, math.floor((ends_at_s - now_s) / 86400))),
      }
    end
  end
end

return certificates
