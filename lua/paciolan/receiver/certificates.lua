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
    _owner = assert(core.request_id()), _proven = {}, _others = {}, _flights = {}, _rations = {}, _uses = 0,
    _attempts = 0,
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

-- Puts a certificate in the place of whatever is known under its address.
local function set_certificate(self, url, certificate, fetched_s)
  local entry = entry_of(self, url)
  if not entry then
    entry = keep(self, self._others, { url = url })
  end
  entry.certificate, entry.refresh_at_s = certificate, fetched_s + self._limits.ttl_s
  return entry
end

-- What is there stays usable while it is in date; the core looks at the dates with every message.
local function set_failure(self, url)
  local entry = entry_of(self, url)
  if not entry then
    entry = keep(self, self._others, { url = url })
  end
  entry.refresh_at_s = self._clock() + self._limits.negative_ttl_s
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
  local fetched_s, pem = (ask_store(self, "get", certificate_key(url)) or ""):match("^(%d+)\n(.+)$")
  local certificate = pem and core.sns.certificate(pem, self._trust)
  if not certificate then
    return nil
  end
  -- The clock of the host that fetched it may be ahead of ours.
  return set_certificate(self, url, certificate, math.min(tonumber(fetched_s), self._clock()))
end

local function save(self, url, pem, fetched_s)
  local text = ("%d\n%s"):format(math.floor(fetched_s), pem)
  ask_store(self, "put", certificate_key(url), text, { ttl_s = math.max(KEEP_S, self._limits.ttl_s), durable = true })
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
  save(self, url, pem, now_s)
  return set_certificate(self, url, certificate, now_s)
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
  if failed_until_s and self._clock() < failed_until_s then
    return set_failure(self, url)
  elseif failed_until_s and ask_store(self, "replace", lock_key(url), lock, owner, LOCKED) then
    return nil
  end
  local entry = load_stored(self, url)
  return entry ~= nil and self._clock() < entry.refresh_at_s and entry
end

-- Takes the lock, and returns nil; or what came of somebody else's fetch. A store that fails locks nobody out.
local function lock_or_wait(self, url, owner)
  local ends_at_ms = core.monotonic_ms() + FETCH_MS
  while core.monotonic_ms() < ends_at_ms do
    if ask_store(self, "add", lock_key(url), owner, LOCKED) ~= false then
      return nil
    end
    local entry = look_at_other(self, url, owner)
    if entry ~= false then
      return entry
    end
    self._waiter:sleep(STORE_POLL_MS)
  end
  return set_failure(self, url)
end

local function fetch_once(self, url)
  self._attempts = self._attempts + 1
  local owner = ("fetching %s %d"):format(self._owner, self._attempts)
  local entry = lock_or_wait(self, url, owner)
  if entry then
    return entry
  end
  entry = load_stored(self, url) -- somebody may have ended just before
  if entry and self._clock() < entry.refresh_at_s then
    ask_store(self, "remove", lock_key(url), owner)
    return entry
  end
  return fetch_locked(self, url, owner)
end

-- An address that is unknown here, or due: from the store, or from Amazon if the ration allows it.
local function look_up(self, url)
  local entry = load_stored(self, url)
  if entry and self._clock() < entry.refresh_at_s then
    return entry
  elseif not self._proven[url] and not take_ration(self, url) then
    self._told:count("certificate_rationed")
    return entry or entry_of(self, url)
  end
  return fetch_once(self, url)
end

-- --- one flight for each address in a process ---------------------------------------------------------------------

local function is_under_way(flight)
  return flight ~= nil and core.monotonic_ms() < flight.ends_at_ms
end

-- A coroutine that was dropped does not hold up the others for ever: its flight ends with its time.
local function fly(self, url)
  local flight = { ends_at_ms = core.monotonic_ms() + 2 * FETCH_MS }
  self._flights[url] = flight
  local ok, entry = pcall(look_up, self, url)
  if self._flights[url] == flight then
    self._flights[url] = nil
  end
  if not ok then
    error(entry, 0)
  end
  return entry
end

local function wait_for_flight(self, url)
  while is_under_way(self._flights[url]) do
    self._waiter:sleep(POLL_MS)
  end
  return entry_of(self, url)
end

local function usable(entry)
  if entry and entry.certificate then
    return entry
  end
  return nil
end

--- The certificate at an address.
-- @tparam string url as the core has checked it
-- @treturn ?table an entry with `certificate`, to be given to `prove` or `doubt` after the check; nil when there is
-- none now, which is our own trouble and not the sender's
function Certificates:get(url)
  local entry = entry_of(self, url)
  if entry then
    touch(self, entry)
    if self._clock() < entry.refresh_at_s then
      return usable(entry)
    end
  end
  if not is_under_way(self._flights[url]) then
    return usable(fly(self, url))
  elseif usable(entry) then
    return entry -- stale, and being renewed by another coroutine
  end
  return usable(wait_for_flight(self, url))
end

--- A message was verified with the certificate.
-- @tparam table entry from `get`
function Certificates:prove(entry)
  entry.proven_s = self._clock()
  if not entry.is_proven then
    entry.is_proven = true
    self._others[entry.url] = nil
    keep(self, self._proven, entry)
  end
end

--- The certificate itself was refused. It is not kept for longer than a fetch that failed, so that a better one, or one
-- whose issuer was added by now, is found soon.
-- @tparam table entry from `get`
function Certificates:doubt(entry)
  local refresh_at_s = self._clock() + self._limits.negative_ttl_s
  if refresh_at_s < entry.refresh_at_s then
    entry.refresh_at_s = refresh_at_s
    ask_store(self, "remove", certificate_key(entry.url))
  end
end

--- Warns of certificates in use that end soon.
-- @tparam number now_s unix seconds
-- @tparam table warnings to which they are added
function Certificates:warn(now_s, warnings)
  for _, entry in pairs(self._proven) do
    local _, ends_at_s = entry.certificate:times()
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
