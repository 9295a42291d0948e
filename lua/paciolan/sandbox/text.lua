--- Small readings and writings of text: percent-encoding, queries and the date
-- forms of the service.
-- @module paciolan.sandbox.text

local text = {}

--- Decodes percent-encoding.
-- @tparam string encoded
-- @treturn string
function text.decode(encoded)
  return (encoded:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end))
end

--- Reads a query string.
-- @tparam string query without the question mark
-- @treturn table name to value
-- @treturn[2] nil
-- @treturn[2] string the name that stands there twice
function text.query(query)
  local values = {}
  for pair in query:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    name, value = text.decode((name:gsub("%+", " "))), text.decode((value:gsub("%+", " ")))
    if values[name] then
      return nil, name
    end
    values[name] = value
  end
  return values
end

local function split(seconds)
  local whole = math.floor(seconds)
  return whole, seconds - whole
end

--- `MM/dd/yyyy HH:mm:ss` without a zone, as the transfers have it; in UTC here.
-- @tparam number seconds unix time
function text.us_date(seconds)
  return os.date("!%m/%d/%Y %H:%M:%S", (split(seconds)))
end

--- `2023-06-14T07:23:05.281+0000`, as the transfer history has it.
-- @tparam number seconds unix time
function text.iso_date(seconds)
  local whole, fraction = split(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. string.format(".%03d+0000", math.floor(fraction * 1000))
end

--- `2023-02-18T19:39:39.548608815Z` with nine digits, as the token answer has it.
-- @tparam number seconds unix time
function text.nano_date(seconds)
  local whole, fraction = split(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. string.format(".%09dZ", math.floor(fraction * 1e9))
end

--- `2026-03-06T19:55:38.903Z`, as Amazon SNS has it: three digits and Z, always.
-- @tparam number seconds unix time
function text.sns_date(seconds)
  local whole, fraction = split(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. string.format(".%03dZ", math.floor(fraction * 1000))
end

local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function sextets(a, b, c)
  local number, out = a * 65536 + (b or 0) * 256 + (c or 0), {}
  for i = 4, 1, -1 do
    local at = number % 64 + 1
    out[i] = BASE64:sub(at, at)
    number = math.floor(number / 64)
  end
  return out[1] .. out[2] .. (b and out[3] or "=") .. (c and out[4] or "=")
end

--- Writes bytes in base64, padded.
-- @tparam string bytes
-- @treturn string
function text.base64(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    out[#out + 1] = sextets(bytes:byte(i, i + 2))
  end
  return table.concat(out)
end

--- The value of an Authorization header.
-- @tparam string user
-- @tparam string password
-- @treturn string
function text.basic(user, password)
  return "Basic " .. text.base64(user .. ":" .. password)
end

return text
