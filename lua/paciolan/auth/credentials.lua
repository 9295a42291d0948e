--- What a token set can be renewed with: its refresh token, a configured one, an authorization code.
--
-- The functions take the token keeper of a client (paciolan.auth).
-- @module paciolan.auth.credentials
local credentials = {}

--- All of them, the best first. A refused refresh token stays in the store, where it harms nobody and a person may look
-- at it; a configured one that was never used takes its place.
-- @tparam table self
-- @tparam table record the token set
-- @treturn table list of `{ step = "refresh" or "exchange", token =, is_configured = }`; a configured one comes back
-- from the settings, so it must be written down when it is used up
function credentials.list(self, record)
  local list = {}
  local function add(step, token)
    if token then
      local is_configured = token ~= record.refreshToken or token == self._seed.refresh_token
      list[#list + 1] = { step = step, token = token, is_configured = is_configured }
    end
  end
  add("refresh", record.refreshToken)
  if self._seed.refresh_token ~= record.refreshToken then
    add("refresh", self._seed.refresh_token)
  end
  add("exchange", self._seed.code)
  return list
end

--- For which steps there is one left, by what this process knows.
-- @tparam table self
-- @tparam table record
-- @treturn table `{ refresh =, exchange = }`: true, or absent
function credentials.left(self, record)
  local left = {}
  for _, credential in ipairs(credentials.list(self, record)) do
    if not self._shared:is_known_spent(credential.token) then
      left[credential.step] = true
    end
  end
  return left
end

-- A code is written down as spent before it goes out. Returns whether this credential is ours to send.
local function claim(self, credential)
  local is_spent, err = self._shared:is_spent(credential.token)
  if err then
    return nil, err
  elseif is_spent or credential.step == "refresh" then
    return not is_spent
  end
  local ok, is_new, unwritten = pcall(self._shared.spend, self._shared, credential.token, "sent")
  if not ok or unwritten then
    self._shared:unspend(credential.token)
  end
  if not ok then
    error(is_new, 0)
  end
  return is_new, unwritten
end

--- The one to send, by the word of the store. Call it under the lock.
-- @tparam table self
-- @tparam table list
-- @treturn ?table credential, or nil when nothing is left
-- @treturn[2] nil
-- @treturn[2] table err of kind `store`
function credentials.pick(self, list)
  for _, credential in ipairs(list) do
    local is_ours, err = claim(self, credential)
    if err then
      return nil, err
    elseif is_ours then
      return credential
    end
  end
  return nil
end

return credentials
