--- Authorization codes, access tokens and refresh tokens.
-- A code is good for one exchange and founds a family. A refresh token is good
-- for one rotation. Using either again means that two parties hold it, and the
-- whole family is revoked (RFC 6749 section 4.1.2, RFC 9700 section 4.14.2).
--
-- `counts`: codes `exchanged`, tokens `refreshed`, token calls `refused` for
-- their credential, and `families_revoked` because one was used again.
-- @module paciolan.sandbox.tokens

local ids = require "paciolan.sandbox.ids"

local tokens = {}

local Tokens = {}
Tokens.__index = Tokens

local CODE_COUNT = 20 -- a fresh one is issued on demand by issue_code

--- @tparam string seed
-- @tparam function now returns unix seconds, fractions allowed
-- @tparam[opt=0] number code_lifetime_s of the first codes; 0: they never expire
-- @treturn Tokens
function tokens.new(seed, now, code_lifetime_s)
  local self = setmetatable({
    codes = {}, counts = { exchanged = 0, refreshed = 0, refused = 0, families_revoked = 0 },
    _now = now, _code = {}, _access = {}, _refresh = {}, _draw = ids.stream(seed, "bearer tokens"),
  }, Tokens)
  for _ = 1, CODE_COUNT do
    self:issue_code(code_lifetime_s)
  end
  return self
end

-- 0 and nil stand for ever.
local function end_of_life(self, lifetime_s)
  if (lifetime_s or 0) == 0 then
    return math.huge
  end
  return self._now() + lifetime_s
end

local function is_expired(self, record)
  return self._now() >= record.expires_at
end

--- Issues one more authorization code.
-- @tparam[opt=0] number lifetime_s 0: it never expires
-- @treturn string
function Tokens:issue_code(lifetime_s)
  local code = "code-" .. self._draw:text(20, ids.MIXED)
  self.codes[#self.codes + 1] = code
  self._code[code] = { expires_at = end_of_life(self, lifetime_s) }
  return code
end

--- @treturn table the codes that can still be exchanged
function Tokens:unused_codes()
  local list = {}
  for _, code in ipairs(self.codes) do
    local record = self._code[code]
    if not record.family and not is_expired(self, record) then
      list[#list + 1] = code
    end
  end
  return list
end

local function issue(self, family, lifetime_s, refresh_lifetime_s)
  local access, refresh = self._draw:text(43, ids.MIXED), self._draw:text(41, ids.MIXED)
  self._access[access] = { family = family, expires_at = self._now() + lifetime_s }
  self._refresh[refresh] = { family = family, expires_at = end_of_life(self, refresh_lifetime_s), used = false }
  return { access = access, refresh = refresh, expires_at = self._access[access].expires_at }
end

local function refuse(self, message)
  self.counts.refused = self.counts.refused + 1
  return nil, message
end

-- Two parties hold what was used again, and nobody can tell which of them is the right one.
local function punish_reuse(self, family)
  if not family.revoked then
    family.revoked = true
    self.counts.families_revoked = self.counts.families_revoked + 1
  end
end

--- Exchanges an authorization code. One that is used again ends all that came from it.
-- @tparam string code
-- @tparam number lifetime_s of the access token
-- @tparam[opt=0] number refresh_lifetime_s of the refresh token; 0: it never expires
-- @treturn table `access`, `refresh`, `expires_at`
-- @treturn[2] nil
-- @treturn[2] string why not
function Tokens:exchange(code, lifetime_s, refresh_lifetime_s)
  local record = self._code[code]
  if not record then
    return refuse(self, "The authorization code is not valid")
  elseif record.family then
    punish_reuse(self, record.family)
    return refuse(self, "The authorization code was used before; all tokens from it are revoked now")
  elseif is_expired(self, record) then
    return refuse(self, "The authorization code is expired")
  end
  record.family = { revoked = false }
  self.counts.exchanged = self.counts.exchanged + 1
  return issue(self, record.family, lifetime_s, refresh_lifetime_s)
end

--- Rotates a refresh token. The access token that came with it stays good until
-- it expires.
-- @tparam string refresh
-- @tparam number lifetime_s of the access token
-- @tparam[opt=0] number refresh_lifetime_s of the refresh token; 0: it never expires
-- @treturn table as `exchange`
-- @treturn[2] nil
-- @treturn[2] string why not
function Tokens:rotate(refresh, lifetime_s, refresh_lifetime_s)
  local record = self._refresh[refresh]
  if not record then
    return refuse(self, "The refresh token is not valid")
  elseif record.family.revoked or record.revoked then
    return refuse(self, "The refresh token is revoked")
  elseif record.used then
    punish_reuse(self, record.family)
    return refuse(self, "The refresh token was used before; all its tokens are revoked now")
  elseif is_expired(self, record) then
    return refuse(self, "The refresh token is expired")
  end
  record.used = true
  self.counts.refreshed = self.counts.refreshed + 1
  return issue(self, record.family, lifetime_s, refresh_lifetime_s)
end

--- Checks a bearer token.
-- @tparam ?string access
-- @treturn boolean true when it is good
-- @treturn[2] nil
-- @treturn[2] string error type
-- @treturn[2] string message
function Tokens:check(access)
  local record = access and self._access[access]
  if not access then
    return nil, "UNAUTHORIZED", "Header Authorization must carry a bearer token"
  elseif not record then
    return nil, "UNAUTHORIZED", "The access token is not known"
  elseif record.family.revoked or record.revoked then
    return nil, "TOKEN_REVOKED", "The access token is revoked"
  elseif is_expired(self, record) then
    return nil, "TOKEN_EXPIRED", "The access token is expired"
  end
  return true
end

--- Revokes all access tokens, and all refresh tokens when asked to.
-- @tparam boolean with_refresh
function Tokens:revoke(with_refresh)
  for _, record in pairs(self._access) do
    record.revoked = true
  end
  for _, record in pairs(with_refresh and self._refresh or {}) do
    record.revoked = true
  end
end

--- Revokes one token, or everything that came from the same code.
-- @tparam string token an access or a refresh token
-- @tparam boolean with_family
-- @treturn boolean false when there is no such token
function Tokens:revoke_one(token, with_family)
  local record = self._access[token] or self._refresh[token]
  if record then
    (with_family and record.family or record).revoked = true
  end
  return record ~= nil
end

--- Ends one access token.
-- @tparam ?string access one that is not known stays unknown
-- @tparam string how `expired` or `revoked`
function Tokens:end_one(access, how)
  local record = access and self._access[access]
  if record and how == "revoked" then
    record.revoked = true
  elseif record then
    record.expires_at = math.min(record.expires_at, self._now())
  end
end

--- Ends the life of all access tokens now.
function Tokens:expire()
  for _, record in pairs(self._access) do
    record.expires_at = math.min(record.expires_at, self._now())
  end
end

return tokens
