--- A request of nginx for the receiver, and its answer for nginx.
-- @module resty.paciolan.receiving

-- luacheck: globals ngx

local answering = require "resty.paciolan.answering"

local receiving = {}

local BLOCK_BYTES = 64 * 1024

-- One byte more than the receiver takes is enough to tell that it is too much. Nil when it cannot be read.
local function read_file(path, max_bytes)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local parts, left = {}, max_bytes + 1
  while left > 0 do
    local part, problem = file:read(math.min(left, BLOCK_BYTES))
    if not part then
      if problem then
        file:close()
        return nil
      end
      break
    end
    parts[#parts + 1], left = part, left - #part
  end
  file:close()
  return table.concat(parts)
end

local function read_body(max_bytes)
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if body then
    return body
  end
  local path = ngx.req.get_body_file()
  if path then
    return read_file(path, max_bytes)
  end
  return ""
end

--- Answers the request of this handler by a receiver.
-- @tparam table receiver
function receiving.receive(receiver)
  local body = read_body(receiver._options.max_body_bytes)
  -- What a handler sends by mistake goes out with this, so that the message comes again.
  ngx.status = ngx.HTTP_SERVICE_UNAVAILABLE
  local answer = receiver:handle {
    method = ngx.req.get_method(), path = ngx.var.request_uri, headers = ngx.req.get_headers(0), body = body,
  }
  return answering.send(answer.status, answer.headers, answer.body)
end

return receiving
