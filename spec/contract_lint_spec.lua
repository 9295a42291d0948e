--- What must hold of every row of the operation table, whatever the documents say, and the payloads that it must
-- refuse: one at least for each rule that a row states.
local api = require("paciolan.sandbox.api")
local walk = require("support.fields")
local files = require("support.files")
local paciolan = require("paciolan")
local samples = require("support.samples")

local operations = paciolan.operations()
local by_name = {}
for _, operation in ipairs(operations) do
  by_name[operation.name] = operation
end

-- The objects of a request as { place =, fields =, rules = }: what stands on top has the place "".
local function objects_of(operation)
  local list = {}
  local function collect(fields, rules, place)
    list[#list + 1] = { place = place, fields = fields, rules = rules or {} }
    for _, field in ipairs(fields) do
      if field.fields then
        collect(field.fields, field.rules, place .. "/" .. field.name)
      end
    end
  end
  if operation.body then
    collect(operation.body.fields, operation.body.rules, "")
  else
    collect(operation.payload == "path" and operation.path_fields or operation.query, nil, "")
  end
  return list
end

-- Calls visit(field, place, operation) for every field of a request.
local function each_request_field(visit)
  for _, operation in ipairs(operations) do
    for _, object in ipairs(objects_of(operation)) do
      for _, field in ipairs(object.fields) do
        visit(field, object.place .. "/" .. field.name, operation)
      end
    end
  end
end

local function each_rule(visit)
  for _, operation in ipairs(operations) do
    for _, object in ipairs(objects_of(operation)) do
      for _, rule in ipairs(object.rules) do
        visit(rule, object, operation)
      end
    end
  end
end

local function set_of(list)
  local set = {}
  for _, value in ipairs(list) do
    assert.is_nil(set[value], "twice: " .. value)
    set[value] = true
  end
  return set
end

local function is_list(field)
  return field.type:find("^list") ~= nil
end

local function keys_of(set)
  local keys = {}
  for key in pairs(set) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

local broken = samples.broken()

describe("the operation table", function()
  it("names a kind of rule, fields that exist and options that a call takes", function()
    local with_other_field = { required_when = true, required_with = true, any_of = true, one_of = true,
      as_given_when = true }
    local with_option = { required_without_option = true, needs_option = true }
    local with_shape = { required_by_switch = true, at_most_one_by_switch = true }
    local options, shapes = { distributor_code = true, organization_id = true }, paciolan.shapes()
    each_rule(function(rule, object, operation)
      local place = ("%s %s: %s of %s"):format(operation.name, object.place, rule.kind, tostring(rule.field))
      assert.is_table(walk.find(object.fields, rule.field), place)
      assert.is_true(#rule.source > 0, place)
      if with_other_field[rule.kind] then
        assert.is_table(walk.find(object.fields, rule.other), place)
      elseif with_option[rule.kind] then
        assert.is_true(options[rule.other], place)
      else
        assert.is_true(with_shape[rule.kind], place)
        assert.is_table(shapes[rule.shape], place)
      end
    end)
  end)

  it("asks in its rules for values that the other field may hold", function()
    each_rule(function(rule, object, operation)
      local other = rule.values and walk.find(object.fields, rule.other)
      local known = other and set_of(other.values) or {}
      for _, value in ipairs(rule.values or {}) do
        assert.is_true(known[value], operation.name .. " " .. value)
      end
      assert.equal(rule.kind == "required_when" or rule.kind == "as_given_when", rule.values ~= nil)
    end)
  end)

  it("states the conditional rules of the documents", function()
    local stated = {}
    each_rule(function(rule, object, operation)
      stated[#stated + 1] = ("%s %s: %s %s %s%s"):format(operation.name, object.place, rule.kind, rule.field,
        rule.other or rule.shape, rule.values and " = " .. table.concat(rule.values, ", ") or "")
    end)
    assert.same({
      "auth.token : required_when code grantType = authorization_code",
      "auth.token : required_when refreshToken grantType = refresh_token",
      "tickets.lock : required_when seller source = INDIVIDUAL, BROKER",
      "tickets.lock : as_given_when seller source = MY_ACCOUNT",
      "tickets.verify /tickets: one_of tokens barcodes",
      "tickets.verify /tickets: required_with accessId barcodes",
      "transfers.accept : required_by_switch Recipient accept_recipient",
      "transfers.accept /Recipient: required_without_option recipientFirstName distributor_code",
      "transfers.accept /Recipient: required_without_option recipientLastName distributor_code",
      "transfers.complete /transferRequests: at_most_one_by_switch Items transfer_items",
      "transfers.initiate /transferRequests: any_of Seats Items",
      "transfers.initiate /transferRequests: needs_option Seats distributor_code",
      "transfers.initiate /transferRequests: needs_option Seats organization_id",
      "transfers.initiate /transferRequests: at_most_one_by_switch Items transfer_items",
      "transfers.initiate_v1 /transferRequests: any_of Seats Items",
      "transfers.initiate_v1 /transferRequests: needs_option Seats distributor_code",
      "transfers.initiate_v1 /transferRequests: needs_option Seats organization_id",
      "transfers.initiate_v1 /transferRequests: at_most_one_by_switch Items transfer_items",
      "transfers.initiate_v1 /transferRequests/Recipient: any_of email phone",
    }, stated)
  end)

  it("bounds every list from below, and from above where a document does", function()
    local most, batches = {}, {}
    each_request_field(function(field, place, operation)
      assert.is_true(not is_list(field) or field.min_items == 1, operation.name .. place)
      assert.is_true(is_list(field) or not (field.min_items or field.max_items or field.batch_items))
      most[operation.name .. place] = field.max_items
      batches[operation.name .. place] = field.batch_items
      assert.is_true((field.batch_items or 1) <= (field.max_items or math.huge), operation.name .. place)
    end)
    assert.same({
      ["tickets.lock/listing/tokens"] = 100, ["tickets.print/tokens"] = 30,
      ["transfers.complete/transferRequests"] = 1, ["transfers.initiate/transferRequests"] = 1,
      ["transfers.initiate_v1/transferRequests"] = 1, ["transfers.initiate/transferRequests/Seats"] = 30,
      ["transfers.initiate_v1/transferRequests/Seats"] = 30,
    }, most)
    assert.same({
      ["tickets.lock/listing/tokens"] = 100, ["tickets.print/tokens"] = 30, ["tickets.unlock/tokens"] = 100,
      ["tickets.verify/tickets/barcodes"] = 100, ["tickets.verify/tickets/tokens"] = 100,
    }, batches)
  end)

  it("lists the values of an enum once each, and never none", function()
    each_request_field(function(field, place, operation)
      if field.values then
        assert.is_true(#field.values > 0, operation.name .. place)
        set_of(field.values)
      end
    end)
  end)

  it("has no object with more fields than the core allows", function()
    local most = tonumber(files.read("src/pac_operation.h"):match("#define PAC_MAX_FIELDS (%d+)"))
    local function count(fields, place)
      assert.is_true(#fields <= most, place)
      for _, field in ipairs(fields) do
        count(field.fields or {}, place .. "/" .. field.name)
      end
    end
    for _, operation in ipairs(operations) do
      for _, object in ipairs(objects_of(operation)) do
        count(object.fields, operation.name)
      end
      count(operation.answer.fields, operation.name .. " answer")
    end
  end)

  it("has a sample of a request, where there is a body, and of an answer for every row", function()
    local requests, answers, refused = {}, {}, {}
    for _, sample in ipairs(samples.requests) do
      requests[sample.operation] = true
    end
    for _, sample in ipairs(samples.responses) do
      answers[sample.operation] = true
    end
    for _, sample in ipairs(broken) do
      refused[sample.operation] = true
    end
    for _, operation in ipairs(operations) do
      assert.equal(operation.body ~= nil, requests[operation.name] == true, operation.name)
      assert.is_true(answers[operation.name], operation.name)
      assert.is_true(refused[operation.name], operation.name)
    end
  end)

  it("has a handler in the sandbox for every row, at the same method and path", function()
    local routes, rows = {}, {}
    for _, route in ipairs(api.routes) do
      assert.is_function(route.handler)
      if not route.operation:find("^sandbox%.") then
        routes[route.operation] = route.method .. " " .. route[2]
      end
    end
    for _, operation in ipairs(operations) do
      rows[operation.name] = operation.method .. " " .. operation.path:gsub("{%w+}", "{}")
    end
    assert.same(rows, routes)
  end)
end)

-- --- payloads that must be refused ----------------------------------------------------------------------------------

local function told(violations)
  local list = {}
  for i, violation in ipairs(violations) do
    list[i] = violation.path .. " " .. violation.rule
  end
  table.sort(list)
  return table.concat(list, ", ")
end

-- What a sample demonstrates: operation, the place of the field (without the numbers of list items) and the rule.
local function place_of(pointer)
  return ((pointer .. "/"):gsub("/%d+/", "/"):gsub("/$", ""))
end

local hits = {}
for _, sample in ipairs(broken) do
  for _, violation in ipairs(sample.violations) do
    local key = ("%s %s %s"):format(sample.operation, place_of(violation.path), violation.rule)
    hits[key] = hits[key] or {}
    table.insert(hits[key], { sample = sample, path = violation.path })
  end
end

-- The samples that show this, `test(sample, path)` permitting.
local function shown(operation, place, rule, test)
  for _, hit in ipairs(hits[("%s %s %s"):format(operation, place, rule)] or {}) do
    if not test or test(hit.sample, hit.path) then
      return true
    end
  end
  return false
end

local function value_at(value, pointer)
  for step in pointer:gmatch("/([^/]+)") do
    value = type(value) == "table" and value[tonumber(step) and tonumber(step) + 1 or step]
  end
  return value
end

local function is_item(_, pointer)
  return pointer:find("/%d+$") ~= nil
end

local function is_text(field)
  return field.type == "string" or field.type == "string or integer"
end

-- Everything that a field states about itself, as rules that a sample must show.
local function rules_of_field(field)
  local rules = { type = true }
  rules.required = field.required
  rules.min_length = field.required and is_text(field) and not field.values and not field.format
  rules.enum = field.values ~= nil
  rules.format = field.format ~= nil or field.type == "number or decimal string"
  rules.integer = field.type == "string or integer"
  rules.min_items, rules.max_items = field.min_items ~= nil, field.max_items ~= nil
  return rules
end

-- How a sample shows a rule between fields: the field, what is reported there, and what the sample must have.
local function shows_rule(rule, object, operation)
  local place = object.place .. "/" .. rule.field
  local function options_of(sample)
    return sample.options or {}
  end
  if rule.kind == "needs_option" then
    return shown(operation.name, place, "option", function(sample)
      local other = rule.other == "distributor_code" and "organization_id" or "distributor_code"
      return options_of(sample)[rule.other] == nil and options_of(sample)[other] ~= nil
    end)
  elseif rule.kind == "at_most_one_by_switch" then
    return shown(operation.name, place, "max_items", function(sample)
      return options_of(sample).shapes ~= nil
    end)
  elseif rule.kind == "as_given_when" then
    -- Only names and types count, so the sample lacks required fields and nobody minds.
    local field = walk.find(object.fields, rule.field)
    return shown(operation.name, place .. "/" .. field.fields[1].name, "type", function(sample)
      return sample.payload[rule.other] == rule.values[1] and #sample.violations == 1
    end)
  elseif rule.kind == "one_of" then
    return shown(operation.name, place, "required")
      and shown(operation.name, object.place .. "/" .. rule.other, "exclusive")
  end
  return shown(operation.name, place, "required", function(sample)
    return rule.kind ~= "required_by_switch" or options_of(sample).shapes[rule.shape] ~= nil
  end)
end

describe("the broken samples", function()
  for _, operation in ipairs(operations) do
    it("are refused for what they say, and for nothing else: " .. operation.name, function()
      local differences, count = {}, 0
      for _, sample in ipairs(broken) do
        if sample.operation == operation.name then
          count = count + 1
          local _, err = paciolan.validate(sample.operation, sample.payload, sample.options)
          local got = err and told(err.fields) or "accepted"
          if got ~= told(sample.violations) then
            differences[sample.file] = got
          end
        end
      end
      assert.same({}, differences)
      assert.is_true(count > 5)
    end)
  end

  it("belong to operations, and say why, with a source", function()
    for _, sample in ipairs(broken) do
      assert.is_table(by_name[sample.operation], sample.file)
      assert.matches("^[%w:;,.() -]+: .", sample.why, nil, nil, sample.file)
      assert.is_true(#sample.violations > 0, sample.file)
    end
  end)

  it("are unlike each other", function()
    local seen = {}
    for _, sample in ipairs(broken) do
      local text = samples.read(sample.file):gsub('"why": "[^\n]*', "")
      local key = sample.operation .. text
      assert.is_nil(seen[key], sample.file .. " repeats " .. tostring(seen[key]))
      seen[key] = sample.file
    end
  end)

  for _, operation in ipairs(operations) do
    it("show every rule of every field: " .. operation.name, function()
      local missing = {}
      for _, object in ipairs(objects_of(operation)) do
        for _, field in ipairs(object.fields) do
          local place = object.place .. "/" .. field.name
          for rule, is_stated in pairs(rules_of_field(field)) do
            if is_stated and not shown(operation.name, place, rule) then
              missing[#missing + 1] = place .. " " .. rule
            end
          end
          if is_list(field) and not shown(operation.name, place, "type", is_item) then
            missing[#missing + 1] = place .. " type of an item"
          end
        end
        if not shown(operation.name, object.place .. "/colour", "unknown") then
          missing[#missing + 1] = object.place .. " unknown"
        end
      end
      assert.same({}, missing)
    end)

    it("show every rule between fields: " .. operation.name, function()
      local missing = {}
      for _, object in ipairs(objects_of(operation)) do
        for _, rule in ipairs(object.rules) do
          if not shows_rule(rule, object, operation) then
            missing[#missing + 1] = ("%s %s %s"):format(object.place, rule.kind, rule.field)
          end
        end
      end
      assert.same({}, missing)
    end)

    it("show a payload of another type, a misspelt name and a null: " .. operation.name, function()
      local has_guess, has_null = false, false
      for _, sample in ipairs(broken) do
        local _, err = paciolan.validate(sample.operation, sample.payload, sample.options)
        for _, violation in ipairs(sample.operation == operation.name and err.fields or {}) do
          has_guess = has_guess or violation.message:find("did you mean", 1, true) ~= nil
          has_null = has_null or value_at(sample.payload, violation.path) == paciolan.null
        end
      end
      assert.is_true(shown(operation.name, "", "type"))
      assert.is_true(has_guess)
      assert.is_true(has_null)
    end)
  end

  it("show what is refused beside the payload: the organisation, and the distributor of the query", function()
    for _, operation in ipairs(operations) do
      if operation.organization == "required" then
        assert.is_true(shown(operation.name, "", "option", function(sample) return sample.options == nil end))
      end
      for _, field in ipairs(operation.query) do
        if field.option then
          assert.is_true(shown(operation.name, "", "option", function(sample)
            return (sample.options or {})[field.option] ~= nil
          end))
        end
      end
    end
  end)

  it("show what does not fit into a URL", function()
    for _, operation in ipairs(operations) do
      local fields = operation.payload == "path" and operation.path_fields or operation.payload == "query"
        and operation.query or {}
      for _, field in ipairs(fields) do
        assert.is_true(shown(operation.name, "/" .. field.name, "format"), operation.name)
        assert.is_true(field.format ~= nil or shown(operation.name, "/" .. field.name, "max_length"), operation.name)
      end
      assert.is_true(operation.payload ~= "path" or shown(operation.name, "/" .. fields[1].name, "format",
        function(sample) return sample.payload == "" end))
    end
  end)

  it("show every choice of shapes that forbids something", function()
    local used = {}
    for _, sample in ipairs(broken) do
      for name in pairs(sample.options and sample.options.shapes or {}) do
        used[name] = true
      end
    end
    assert.same({ "accept_recipient", "callback_url", "complete_order", "seller_contact", "transfer_items", "verify" },
      keys_of(used))
  end)

  it("show every rule that the check can report, but for values that no JSON text holds", function()
    local unsayable = { "exact", "finite", "utf8" }
    local reported, found = {}, {}
    for _, path in ipairs { "src/lpac_check.c", "src/lpac_rules.c", "src/lpac_violation.c" } do
      local source = files.read(path)
      for rule in source:gmatch('lpac_report%(ck, "([%l_0-9]+)"') do
        reported[rule] = true
      end
      for rule in source:gmatch('lpac_report_at%(ck, [^,]+, "([%l_0-9]+)"') do
        reported[rule] = true
      end
    end
    for _, rule in ipairs(unsayable) do
      assert.is_true(reported[rule])
      found[rule] = true
    end
    for _, sample in ipairs(broken) do
      for _, violation in ipairs(sample.violations) do
        found[violation.rule] = true
      end
    end
    assert.same(keys_of(reported), keys_of(found))
  end)
end)
