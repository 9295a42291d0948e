-- Writes signed messages of Amazon SNS to files, one for each thread of wrk. Arguments: FOLDER FIRST LAST COUNT: a
-- folder with the private key in `key`, the numbers of the first and last file, and how many messages go into each.
-- Several processes may write messages of one signer. A message is the length of what follows, a line feed, and the
-- headers and the body of a request.
package.path = "spec/?.lua;" .. package.path

local amazon = require "support.amazon"
local authority = require "paciolan.authority"
local envelope = require "support.envelope"
local files = require "support.files"

local folder, first, last, count = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])

local TARGET_BYTES = 1472 -- around a message about three seats, as in bench/receive.lua

local aws = amazon.start {}
local sign, key = aws.sign, assert(authority.read_key(files.read(folder .. "/key")))

function aws:sign(fields)
  return sign(self, fields, { key = key })
end

local function seats(filler)
  local list = {}
  for i = 1, 3 do
    list[i] = ('{"accessId":"129:FB30:FB01","season":"FB30","item":"FB01","section":"ES:9","row":"4","seat":"%d",'
      .. '"status":"UNLOCK"}'):format(i)
  end
  return ('{"data":{"seats":[%s]},"metadata":{"messageEntity":"seats","pacOrganizationId":129,"requestId":"%s"}}')
    :format(table.concat(list, ","), filler)
end

local function text_of_target_length()
  local body = aws:body { Message = seats("") }
  return seats(("x"):rep(math.max(0, TARGET_BYTES - #body)))
end

local text = text_of_target_length()

local function request()
  local fields = aws:message { Message = text }
  local body = envelope.encode(fields)
  local lines = { ("Content-Length: %d"):format(#body) }
  for name, value in pairs(aws:headers(fields)) do
    lines[#lines + 1] = name .. ": " .. value
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. body, fields
end

for number = first, last do
  local file = assert(io.open(("%s/%d"):format(folder, number), "wb"))
  for _ = 1, count do
    local post = request()
    file:write(("%d\n"):format(#post), post)
  end
  file:close()
end

-- What the bare verification in a worker needs of one message.
if first == 1 then
  local _, fields = request()
  files.write(folder .. "/signed", aws:string_to_sign(fields))
  files.write(folder .. "/signature", fields.Signature)
end
amazon.stop_all()
