--- How a handler of nginx answers by itself.
-- @module resty.paciolan.answering

-- luacheck: globals ngx

local answering = {}

--- Sends an answer and ends the handler. A body is sent as one of our own, so that no `error_page` of the configuration
-- takes its place.
-- @tparam number status
-- @tparam table headers by name
-- @tparam string body
function answering.send(status, headers, body)
  if ngx.headers_sent then
    ngx.log(ngx.ERR, "resty.paciolan: a handler of yours sent something itself, so the answer ", status, " is lost")
    return ngx.exit(ngx.OK)
  end
  ngx.status = status
  for name, value in pairs(headers) do
    ngx.header[name] = value
  end
  if body == "" then
    return ngx.exit(status)
  end
  ngx.header["Content-Length"] = #body
  ngx.print(body)
  return ngx.exit(ngx.HTTP_OK)
end

return answering
