-- What a message through Amazon SNS costs, beside the bare RSA verification below it (`make bench`). The limit is the
-- rate of `openssl speed rsa2048`, taken again in each round, so that the ratios are of one machine at one time.
package.path = "spec/?.lua;" .. package.path

local amazon = require "support.amazon"
local core = require "paciolan.core"
local paciolan = require "paciolan"
local sns = require "paciolan.sns"

local ROUNDS = 7
local MESSAGES = 1000 -- few enough that the collector has little to mark
local TARGET_BYTES = 1472 -- around a message about three seats, as in sns.md 9

local aws = amazon.start {}

-- --- what is received -----------------------------------------------------------------------------------------------

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

local TEXT = text_of_target_length()

-- Each has an id of its own, since a repetition costs less.
local function requests(version)
  local list = {}
  for i = 1, MESSAGES do
    list[i] = aws:request { Message = TEXT, SignatureVersion = version }
  end
  return list
end

-- --- measuring ------------------------------------------------------------------------------------------------------

local function median(values)
  table.sort(values)
  return values[math.ceil(#values / 2)]
end

-- CPU microseconds of one bare RSA-2048 verification.
local function limit_us()
  local pipe = assert(io.popen("openssl speed -mr -seconds 1 rsa2048 2>/dev/null"))
  local text = pipe:read("*a")
  pipe:close()
  local per_second = assert(text:match("%+F2:%d+:2048:[%d.]+:([%d.]+)"), "openssl speed printed something else")
  return 1e6 / tonumber(per_second)
end

local function cpu_us(run, count)
  collectgarbage()
  local started = os.clock()
  for i = 1, count do
    run(i)
  end
  return (os.clock() - started) * 1e6 / count
end

local function new_receiver(basic)
  return paciolan.receiver {
    topics = { aws.topic }, roots = aws.roots, fetch_certificate = aws:fetcher(), basic_auth = basic,
    on_seat = function() return true end,
  }
end

-- A fresh receiver, which has fetched the certificate, and what hands it the messages of the list.
local function accept_all(list, version)
  local receiver
  return function()
    receiver = new_receiver()
    receiver:handle(aws:request { Message = TEXT, SignatureVersion = version })
  end, function(i)
    assert(receiver:handle(list[i]).status == 204)
  end
end

local function rows_of(list, version)
  local options = { topics = { aws.topic }, certificate = aws.leaf, roots = aws.roots }
  local topics, now = { [aws.topic] = 1 }, os.time()
  local certificate = assert(core.sns.certificate(aws.leaf, assert(core.sns.trust(nil, aws.roots))))
  local message = assert(core.sns.open(list[1].body, topics, now, 3600, 300))
  local fields = aws:message { Message = TEXT, SignatureVersion = version }
  fields.Message = fields.Message .. " "
  local forged = assert(core.sns.open(aws:encode(fields), topics, now, 3600, 300))
  local fresh, handle = accept_all(list, version)
  return {
    { "chain, digest and RSA of a forged message", 0.93, run = function()
      assert(not core.sns.check(forged, certificate, now))
    end },
    { "the same of a genuine one, envelope as a table", run = function()
      assert(core.sns.check(message, certificate, now))
    end },
    { "paciolan.sns.verify", 0.85, run = function(i) assert(sns.verify(list[i].body, options)) end },
    { "receiver:handle, three seats, memory store", 0.70, before = fresh, run = handle },
  }
end

local function refusals()
  local receiver = new_receiver()
  local basic = new_receiver { user = "user", password = "password" }
  local function refused(name, request, status, target)
    target = target or receiver
    return { name, run = function() assert(target:handle(request).status == status) end }
  end
  local other_region = aws:certificate_url(nil, "arn:aws:sns:us-east-1:123456789012:seats")
  return {
    refused("another topic", aws:request { Message = TEXT, TopicArn = aws.topic .. "2" }, 400),
    refused("a foreign certificate URL", aws:request { Message = TEXT, SigningCertURL = other_region }, 400),
    refused("two hours old", aws:request { Message = TEXT, Timestamp = os.time() - 7200 }, 400),
    refused("no JSON at its end", { method = "POST", path = "/", headers = {}, body = aws:body { Message = TEXT }
      :sub(1, -2) }, 400),
    refused("no credentials", aws:request { Message = TEXT }, 401, basic),
  }
end

local function measure_rows(rows, limits)
  for round = 0, ROUNDS do
    local limit = limits and limit_us()
    for _, row in ipairs(rows) do
      if row.before then
        row.before()
      end
      local us = cpu_us(row.run, MESSAGES)
      row.samples, row.ratios = row.samples or {}, row.ratios or {}
      if round > 0 then -- round 0 warms up
        row.samples[round] = us
        row.ratios[round] = limit and limit / us
        if limit then
          limits[round] = limit
        end
      end
    end
  end
end

local host = rawget(_G, "jit") and "LuaJIT" or _VERSION
for _, version in ipairs { "1", "2" } do
  local list, limits = requests(version), {}
  local rows = rows_of(list, version)
  measure_rows(rows, limits)
  print(("\nSNS, signature version %s, body of %d bytes (%s, median of %d rounds)"):format(version, #list[1].body, host,
    ROUNDS))
  print(("  %-46s %7.2f us CPU   1.00"):format("the limit: openssl speed rsa2048, verify", median(limits)))
  for _, row in ipairs(rows) do
    print(("  %-46s %7.2f us CPU   %.2f of the limit's rate%s"):format(row[1], median(row.samples),
      median(row.ratios), row[2] and (", aim %.2f"):format(row[2]) or ""))
  end
end

local rows = refusals()
measure_rows(rows)
print(("\nSNS, refused without RSA (%s), aim below 15 us"):format(host))
for _, row in ipairs(rows) do
  print(("  %-46s %7.2f us CPU"):format(row[1], median(row.samples)))
end
