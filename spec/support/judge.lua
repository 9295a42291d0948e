--- Holds the check and the encoder of the library against the second reading, one payload at a time.
local cjson = require("cjson").new()
local core = require("paciolan.core")
local paciolan = require("paciolan")
local second = require("support.second_check")

local judge = {}

local RULES = {}
for rule in ([[required type utf8 min_length enum format finite exact integer min_items max_items unknown duplicate
  option exclusive max_length]]):gmatch("%S+") do
  RULES[rule] = true
end

--- What the library refuses and the documents do not: rule, reason, which problems of the rule. Everything else that
-- only the library refuses is a complaint.
judge.stricter = {
  { "max_length", "no document says how long a value in a URL may be; the library has a limit",
    function() return true end },
  { "option", "the same limit for a distributor code",
    function(case) return #(case.options.distributor_code or "") > 1000 end },
  { "format", "with shapes.callback_url = \"https\" a callback URL is read strictly, user information and host too",
    function(case, problem)
      return problem.path:find("asyncCallbackUrl$") and (case.options.shapes or {}).callback_url == "https"
    end },
}

-- Words of the rules themselves, which samples hold as values too.
local WORDS = { string = true, MY_ACCOUNT = true, INDIVIDUAL = true, BROKER = true, authorization_code = true,
  refresh_token = true }

-- ---- looking at payloads -------------------------------------------------------------

-- Calls visit for every table in a value, once each. Raw, and without recursion: a value may be very deep.
local function each_table(value, visit)
  local waiting, seen = { value }, { [value] = true }
  while #waiting > 0 do
    local table = waiting[#waiting]
    waiting[#waiting] = nil
    visit(table)
    for _, item in next, table do
      if type(item) == "table" and not seen[item] then
        seen[item] = true
        waiting[#waiting + 1] = item
      end
    end
  end
end

--- Everything in a value, as a flat list: tables with their metatables, keys and values.
function judge.list_of(value)
  local list = { value }
  if type(value) == "table" then
    each_table(value, function(table)
      list[#list + 1] = table
      list[#list + 1] = debug.getmetatable(table) or false
      for key, item in next, table do
        list[#list + 1] = key
        list[#list + 1] = item
      end
    end)
  end
  return list
end

local function is_unchanged(before, value)
  local after = judge.list_of(value)
  for i = 1, math.max(#before, #after) do
    local one, other = before[i], after[i]
    if not rawequal(one, other) and (one == one or other == other) then
      return false
    end
  end
  return true
end

-- How many values that are no tables a tree has.
local function leaves(value)
  if type(value) ~= "table" then
    return 1
  end
  local count = 0
  for _, item in next, value do
    count = count + leaves(item)
  end
  return count
end

local SPELLINGS = { Sender = "sender", Recipient = "recipient", Seats = "seats", Items = "items" }

-- Does the pointer lead to a value, or to the missing child of one? "?" stands for a name that is not shown.
local function leads_somewhere(payload, path)
  local value, is_missing = payload, false
  for step in path:gmatch("/([^/]+)") do
    local is_root_text = type(value) ~= "table" and rawequal(value, payload)
    if is_missing or (type(value) ~= "table" and not is_root_text) then
      return false
    elseif is_root_text or step == "?" then
      is_missing = true
    else
      local item = rawget(value, step)
      if item == nil and step:find("^%d+$") then
        item = rawget(value, tonumber(step) + 1)
      elseif item == nil and SPELLINGS[step] then
        item = rawget(value, SPELLINGS[step])
      end
      value, is_missing = item, item == nil
    end
  end
  return path:gsub("/[^/]+", "") == ""
end

-- ---- judging one payload -------------------------------------------------------------------

local function complaint_of_problem(case, problem)
  if type(problem.path) ~= "string" or type(problem.rule) ~= "string" or type(problem.message) ~= "string" then
    return "a problem lacks its path, rule or message"
  elseif not RULES[problem.rule] then
    return "nobody knows the rule " .. problem.rule
  elseif problem.message == "" then
    return "an empty message at " .. problem.path
  elseif not leads_somewhere(case.payload, problem.path) then
    return "nothing is at " .. problem.path
  end
end

--- All texts of more than three bytes that stand as a value, but for the words that rules have in common with samples.
function judge.texts_of(value)
  local texts = {}
  each_table({ value }, function(table)
    for _, item in next, table do
      if type(item) == "string" and #item > 3 and not WORDS[item] then
        texts[#texts + 1] = item
      end
    end
  end)
  return texts
end

-- What is told of a payload never holds one of its values.
local function complaint_of_words(case, told)
  local given = { case.payload, case.options.distributor_code, case.options.organization_id }
  for _, text in ipairs(judge.texts_of(given)) do
    if told:find(text, 1, true) then
      return "a message tells a value"
    end
  end
end

local function complaint_of_error(case, err)
  if type(err) ~= "table" or err.kind ~= "validation" or type(err.fields) ~= "table" or #err.fields == 0 then
    return "a refusal without its problems"
  end
  local told = { err.message }
  for i, problem in ipairs(err.fields) do
    local complaint = complaint_of_problem(case, problem)
    if complaint then
      return complaint
    end
    told[i + 1] = problem.message
  end
  return complaint_of_words(case, table.concat(told, "\n"))
end

-- The reason on the list for a problem that only the library has.
local function reason_of(case, problem)
  for _, row in ipairs(judge.stricter) do
    if row[1] == problem.rule and row[3](case, problem) then
      return row[2]
    end
  end
end

-- All problems must be on the list, or the second reading should have refused too.
local function complaint_of_stricter(case, err)
  for _, problem in ipairs(err.fields) do
    if not reason_of(case, problem) then
      return ("refused alone: %s %s"):format(problem.path, problem.message)
    end
  end
  case.reason = reason_of(case, err.fields[1])
end

local function complaint_of_request(case, target, body, hands)
  local refusal = hands.second.refusal_of_target(case.operation, case.payload, case.options, target)
  if refusal or body == nil then
    return refusal and "went out, but " .. refusal
  end
  local is_json, read = pcall(cjson.decode, body)
  if not is_json then
    return "the body is not JSON"
  end
  refusal = hands.second.refusal_of_body(case.operation, read, case.options)
  if refusal then
    return "went out, but " .. refusal
  elseif leaves(read) ~= leaves(case.payload) then
    return "the body holds more or fewer values than the payload"
  end
end

local function complaint_of_encoding(case, ok, hands)
  local did_return, target, body = pcall(hands.encode, case.operation, case.payload, case.options)
  if not did_return then
    return "encode raised: " .. tostring(target)
  elseif (target ~= nil) ~= (ok == true) then
    return "check and encode do not agree"
  end
  return target and complaint_of_request(case, target, body, hands)
end

--- Judges one payload.
-- @tparam table case `operation`, `payload`, `options`; gets the `reason` of `judge.stricter` for a refusal
-- @tparam table hands as `judge.library`
-- @treturn ?string a complaint, or nothing when all is well
-- @return what the library said: true or its error
-- @treturn ?string what the second reading refuses
function judge.verdict(case, hands)
  local before = judge.list_of(case.payload)
  local did_return, ok, err = pcall(hands.validate, case.operation, case.payload, case.options)
  if not did_return then
    return "validate raised: " .. tostring(ok)
  elseif not is_unchanged(before, case.payload) then
    return "the payload was changed"
  end
  local refusal = hands.second.refusal(case.operation, case.payload, case.options)
  local complaint
  if ok == true and err == nil then
    complaint = refusal and "let through, but " .. refusal
  elseif ok == nil then
    complaint = complaint_of_error(case, err) or (not refusal and complaint_of_stricter(case, err))
  else
    complaint = "neither true nor nil with an error"
  end
  complaint = complaint or complaint_of_encoding(case, ok, hands)
  if not complaint and not is_unchanged(before, case.payload) then
    complaint = "the payload was changed by encode"
  end
  return complaint or nil, ok == true or err, refusal
end

--- The hands of the library, and of the second reading. A test may give others.
judge.library = { validate = paciolan.validate, encode = core.encode, second = second }

return judge
