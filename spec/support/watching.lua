--- The search for marked values in all that comes out of the library, and calls of every operation full of them.
local errors = require("paciolan.errors")
local marks = require("support.marks")
local paciolan = require("paciolan")
local samples = require("support.samples")
local scripted = require("support.scripted")

local watching = {}

-- The fields of an error that hold what came, as it came: a program needs them to decide, and nobody else may print
-- them without paciolan.redact. All other fields, and all texts, are searched.
watching.RAW = {
  body = "the decoded answer: each token's fate", response = "status, headers, and the text of what was no JSON",
  developer_message = "the service's own words", type = "the service's own word",
  app_error_code = "the service's own word", process_id = "what to ask for next",
  tokens = "of bulk methods: the caller's own tokens, with the fate of each",
}

-- --- what is searched ------------------------------------------------------------------------------------------

local Watch = {}
Watch.__index = Watch

--- Begins to watch.
-- @tparam Marks set what to search for
-- @treturn Watch with `leaks`, a list of places and labels, and `count`, of texts searched
function watching.new(set)
  return setmetatable({ set = set, leaks = {}, count = 0 }, Watch)
end

function Watch:text(where, text)
  self.count = self.count + 1
  for _, label in ipairs(self.set:found(text)) do
    self.leaks[#self.leaks + 1] = where .. ": " .. label
  end
end

function Watch:error(where, err)
  self:text(where .. ", tostring", tostring(err))
  self:text(where .. ", concat", "" .. err .. "")
  for name, value in pairs(err) do
    if name == "errors" then -- of bulk methods: the error of each batch
      for i, one in ipairs(value) do
        self:error(("%s, err.errors[%d]"):format(where, i), one)
      end
    elseif not watching.RAW[name] then
      self:text(where .. ", err." .. tostring(name), marks.everything(value))
    end
  end
end

-- What a method returned. A result is the caller's; all of an error but RAW is searched.
function Watch:result(where, result, err)
  if result == nil then
    assert(errors.is(err), where)
    self:error(where, err)
  end
  return err
end

--- Runs what is misuse.
-- @treturn boolean did it raise?
function Watch:raised(where, misuse, ...)
  local ok, message = pcall(misuse, ...)
  if not ok then
    self:text(where .. ", raised", tostring(message))
  end
  return not ok
end

--- A hook for `on_event`. The time of an event is left out: its digits pass through those of every mark of digits.
function Watch:hook(where)
  return function(event)
    local told = {}
    for name, value in pairs(event) do
      told[name] = value
    end
    told.at_ms = type(told.at_ms) ~= "number" and told.at_ms or nil
    self:text(where .. ", event", marks.everything(told))
  end
end

--- Fails when a mark showed anywhere, or when too little was searched.
-- @tparam number least how many texts must have been searched
function Watch:expect_nothing(least)
  if #self.leaks > 0 then
    error("marks show:\n" .. table.concat(self.leaks, "\n"), 2)
  elseif self.count < least then
    error(("only %d texts were searched"):format(self.count), 2)
  end
end

-- --- what is sent ----------------------------------------------------------------------------------------------

--- Every text of a payload that may be another one becomes a mark. `holder` is the part of `root` to go through.
function watching.mark_texts(set, operation, root, holder, options, path)
  for key, value in pairs(holder) do
    local place = path .. "/" .. tostring(key)
    if type(value) == "table" then
      watching.mark_texts(set, operation, root, value, options, place)
    elseif type(value) == "string" then
      local made = { set:make(place), "https://h.example/" .. set:make(place), set:digits(place) }
      made[1] = key == "email" and made[1] .. "@" .. set:make(place) .. ".example" or made[1]
      for i = 1, 4 do
        holder[key] = made[i] or value -- the last is what stood there: a value of a list, a day
        if paciolan.validate(operation, root, options) then
          break
        end
      end
    end
  end
end

--- Marked calls of every operation: { operation, payload, options, file }.
function watching.calls(set)
  local list = {
    { operation = "catalog.events", payload = { startDate = "2026-09-01", seasonCode = set:make("seasonCode"),
      facilityCode = set:make("facilityCode") }, options = { organization_id = "999" } },
  }
  for _, operation in ipairs(paciolan.operations()) do
    if operation.payload == "path" then
      list[#list + 1] = { operation = operation.name, payload = set:make("path of " .. operation.name),
        options = { organization_id = "999" } }
    end
  end
  for _, sample in ipairs(samples.requests) do
    local payload = samples.load(sample.file)
    watching.mark_texts(set, sample.operation, payload, payload, sample.options, sample.operation)
    list[#list + 1] = { operation = sample.operation, payload = payload, options = sample.options, file = sample.file }
  end
  return list
end

local function copy_options(options)
  local copy = {}
  for name, value in pairs(options or {}) do
    copy[name] = value
  end
  return copy
end

--- How an operation is called. The token call is made by whoever needs a token.
function watching.call(link, operation, payload, options)
  options = copy_options(options)
  options.organization_id = options.organization_id or "999"
  if operation == "auth.token" then
    return link.auth:rotate()
  elseif operation == "transfers.initiate_v1" then
    options.version = "v1"
    return link.transfers:initiate(payload, options)
  end
  local resource, method = operation:match("^(%l+)%.(.+)$")
  return link[resource][method](link[resource], payload, options)
end

--- Settings with a mark in every one that is secret.
function watching.settings(set, more)
  local settings = scripted.settings {
    api_key = set:make("api_key"), on_event = false,
    auth = { access_token = set:make("access_token"), refresh_token = set:make("refresh_token"),
      code = set:make("code") },
  }
  settings.on_event = nil
  for name, value in pairs(more or {}) do
    settings[name] = value
  end
  return settings
end

return watching
