--- Runs wrk, and reads the line that `bench/nginx/wrk.lua` prints at its end.
local program = require "support.program"

local load = {}

local SCRIPT = debug.getinfo(1, "S").source:match("^@(.*)load%.lua$") .. "wrk.lua"

--- The command for some load.
-- @tparam string url
-- @tparam table options `connections`, `threads` (1), `seconds`, `posts`: `{ folder, mix, count }`. With posts each
-- thread has one connection, so that every answer is known to be that of the request before it
-- @treturn string
function load.command(url, options)
  local words = { "wrk", "-c", ("%d"):format(options.connections), "-t", ("%d"):format(options.threads or 1), "-d",
    ("%ds"):format(options.seconds), "-s", SCRIPT, url }
  if options.posts then
    for _, word in ipairs { "--", options.posts.folder, options.posts.mix, ("%d"):format(options.posts.count or 0) } do
      words[#words + 1] = word
    end
  end
  return program.words(words)
end

--- The numbers that wrk printed.
-- @tparam string output
-- @treturn table `requests`, `seconds`, `p50_ms`, `p99_ms`, `broken` (connections and timeouts), `wrong` (answers that
-- were not the expected ones), and with posts `fresh`, `repeated`, `forged`: how many of each were answered
function load.result(output)
  local result = {}
  for name, value in (output:match("\nresult ([^\n]*)") or ""):gmatch("([%w_]+)=([%d.]+)") do
    result[name] = tonumber(value)
  end
  assert(result.requests, "wrk did not come to its end:\n" .. output)
  return result
end

--- Runs it to its end.
-- @tparam string url
-- @tparam table options as for `command`
-- @treturn table as of `result`
function load.run(url, options)
  local _, output, problems = program.run(load.command(url, options))
  return load.result(output .. problems)
end

return load
