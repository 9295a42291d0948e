--- The keys of the sandbox's own Amazon SNS: an authority, the leaf that signs messages, and the certificate of the
-- host that serves it. They are made when something is to be signed for the first time, since a key of 2048 bits
-- takes a while, and may be kept in a folder. Keys cannot follow from a seed.
-- @module paciolan.sandbox.keys

local core = require "paciolan.core"

local keys = {}

local Keys = {}
Keys.__index = Keys

local DAY_S = 86400
local LIFETIME_S = 190 * DAY_S -- public authorities give 200 days at most
local KEPT_S = 180 * DAY_S -- what is older in a folder is made anew
local SIGNER_NAME = "sns.amazonaws.com"
local FILES = { "authority.key", "authority.pem", "signer.key", "signer.pem", "host.key", "host.pem", "made_at" }

--- Is `paciolan.authority` there, which makes keys and signs?
-- @treturn table the module
-- @treturn[2] nil
-- @treturn[2] string what is missing
function keys.module()
  local found, authority = pcall(require, "paciolan.authority")
  if not found then
    return nil, "this copy of paciolan has no paciolan.authority, which signs envelopes"
  end
  return authority
end

--- @tparam table options `host`, the name that the host's certificate has; `dir`, a folder that exists, or nil to keep
-- nothing; `now`, a function that returns unix seconds on the clock of the messages
-- @treturn Keys without any key. Raises when the folder cannot be written.
function keys.new(options)
  local probe = options.dir and io.open(options.dir .. "/made_at", "ab")
  if probe then
    probe:close()
  elseif options.dir then
    error("sns_key_dir must be a folder that can be written", 0)
  end
  return setmetatable({ _host = options.host, _dir = options.dir, _now = options.now, _leaves = {} }, Keys)
end

-- Valid for receivers that go by the clock of the messages, and for TLS, which goes by that of the machine.
local function lifetime(self)
  local first, last = os.time(), math.floor(self._now())
  if last < first then
    first, last = last, first
  end
  return first - DAY_S, last + LIFETIME_S
end

local function issue(self, authority, fields)
  fields.not_before, fields.not_after = lifetime(self)
  return authority.certificate(fields)
end

local function make_authority(self, authority)
  local key = authority.key { type = "ec" }
  return { key = key, certificate = issue(self, authority, { key = key, name = "Paciolan sandbox authority",
    is_ca = true, usage = "keyCertSign,cRLSign", extended_usage = false }) }
end

local function make_leaf(self, authority, issuer, name, kind)
  local key = authority.key { type = kind, bits = kind == "rsa" and 2048 or nil }
  return { key = key, certificate = issue(self, authority, { key = key, issuer = issuer, name = name, dns = { name },
    usage = kind == "rsa" and "digitalSignature,keyEncipherment" or "digitalSignature",
    extended_usage = "serverAuth" }) }
end

-- --- the folder ----------------------------------------------------------------------------------------------------

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  if path:find("%.key$") then
    require("paciolan.cli.terminal").make_private(path) -- while it is still empty
  end
  assert(file:write(text))
  assert(file:close())
end

-- All of them, or nothing: what is half-written or old is made anew.
local function load_all(self, authority)
  local texts = {}
  for i, name in ipairs(self._dir and FILES or {}) do
    texts[i] = read(self._dir .. "/" .. name)
    if not texts[i] then
      return nil
    end
  end
  local made_at = tonumber(texts[#FILES])
  if not made_at or made_at + KEPT_S < os.time() then
    return nil
  end
  local function pair(at)
    return { key = authority.read_key(texts[at]), certificate = texts[at + 1] }
  end
  return { authority = pair(1), signer = pair(3), host = pair(5) }
end

local function save_all(self, set)
  local texts = { set.authority.key:pem(), set.authority.certificate, set.signer.key:pem(), set.signer.certificate,
    set.host.key:pem(), set.host.certificate, string.format("%d\n", os.time()) }
  for i, name in ipairs(self._dir and FILES or {}) do
    write(self._dir .. "/" .. name, texts[i])
  end
end

-- --- what is asked for ---------------------------------------------------------------------------------------------

-- The name tells one certificate from another, as at Amazon, where a new one always has a new URL. A name that followed
-- from the seed would stand for another key after every start, and a receiver keeps certificates by their URL.
local function add_leaf(self, leaf)
  leaf.file_name = "SimpleNotificationService-" .. core.fingerprint(leaf.certificate):sub(1, 32) .. ".pem"
  self._leaves[leaf.file_name] = leaf
  self._signer = leaf
end

local function ready(self)
  if self._set then
    return self._set
  end
  local authority = assert(keys.module())
  local set = load_all(self, authority)
  if not set then
    set = { authority = make_authority(self, authority) }
    set.signer = make_leaf(self, authority, set.authority, SIGNER_NAME, "rsa")
    set.host = make_leaf(self, authority, set.authority, self._host, "ec")
    save_all(self, set)
  end
  self._set = set
  add_leaf(self, set.signer)
  return set
end

--- @treturn string PEM text of the authority, the root of everything here
function Keys:root()
  return ready(self).authority.certificate
end

--- @treturn table `certificate` and `key` as PEM texts, for the host that serves certificates
function Keys:host()
  local host = ready(self).host
  return { certificate = host.certificate, key = host.key:pem() }
end

--- @treturn string the file name of the certificate that signs at present
function Keys:signer_name()
  ready(self)
  return self._signer.file_name
end

--- @tparam string file_name
-- @treturn ?string PEM text of a signing certificate, be it the present one or one of before
function Keys:certificate(file_name)
  local leaf = self._leaves[file_name]
  return leaf and leaf.certificate
end

--- Signs with the present key.
-- @tparam string text
-- @tparam string digest `sha1` or `sha256`
-- @treturn string the signature in base64
function Keys:sign(text, digest)
  ready(self)
  local authority = keys.module()
  return authority.base64(authority.sign(self._signer.key, text, digest))
end

--- Takes a new signing key with a certificate of another name, as Amazon does now and then. The former ones are still
-- served; a folder goes on to hold the first one.
function Keys:rotate()
  local set = ready(self)
  add_leaf(self, make_leaf(self, keys.module(), set.authority, SIGNER_NAME, "rsa"))
end

return keys
