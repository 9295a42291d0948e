--- Inside nginx: runs the chunk that support.openresty sends.

local cjson = require("cjson").new()

local ngx = rawget(_G, "ngx")
local load, unpack = rawget(_G, "loadstring"), rawget(_G, "unpack")

local function pack(...)
  return { n = select("#", ...), ... }
end

return function()
  ngx.req.read_body()
  local call = cjson.decode(ngx.req.get_body_data())
  for i = 1, call.count do
    if call.arguments[i] == cjson.null then
      call.arguments[i] = nil
    end
  end
  local chunk, problem = load(call.source, "=chunk")
  local got = pack(pcall(chunk or function() error(problem, 0) end, unpack(call.arguments, 1, call.count)))
  if not got[1] then
    ngx.print(cjson.encode { ok = false, problem = tostring(got[2]) })
    return
  end
  local values = {}
  for i = 2, got.n do
    values[i - 1] = got[i] == nil and cjson.null or got[i]
  end
  ngx.print(cjson.encode { ok = true, count = got.n - 1, values = values })
end
