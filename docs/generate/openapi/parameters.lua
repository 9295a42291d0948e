--- The parameters of an operation: headers by the columns of contract 1.1, values in the path, values in the query.
local schema = require("openapi.schema")
local yaml = require("openapi.yaml")

local map = yaml.map

local parameters = {}

local PRINTABLE = "^[\\x21-\\x7E]([\\t\\x20-\\x7E]*[\\x21-\\x7E])?$"
local TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
local USER_AGENT = "^" .. TOKEN .. "+/[0-9]+\\.[0-9]+(\\.[0-9]+)?([-+]" .. TOKEN .. "*)?( [\\t\\x20-\\x7E]*)?$"
local UUID_V4 = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-4[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$"
local PATH_VALUE = "^(?!\\.{1,2}$)[^\\x00-\\x1F\\x7F]+$"
local QUERY_VALUE = "^[^\\x00-\\x1F\\x7F]+$"

local function text(pattern, format)
  return map { { "type", "string" }, { "format", format }, { "pattern", pattern } }
end

local function header(name, required, value, example, description, source)
  return map {
    { "name", name }, { "in", "header" }, { "required", required }, { "description", description },
    { "schema", value }, { "example", example }, { "x-source", source },
  }
end

local ORGANIZATION = "Data account of the organisation."

-- Accept, Content-Type and Authorization are no parameters in OpenAPI 3.0; see `parameters.fixed`.
local HEADERS = {
  { "UserAgent", header("User-Agent", true, text(USER_AGENT), "MyApplication/1.0.0",
    "Product/Version of the application; the version has two or three numbers.", "contract 1.1; row 31") },
  { "RequestId", header("Request-ID", true, text(UUID_V4, "uuid"), "5f0c3bd6-6f0e-4c6a-9d0e-2f5b8f6a1c3d",
    "A UUID of version 4, new for each request. The answer carries it back.", "contract 1.1; row 32") },
  { "ApplicationId", header("PAC-Application-ID", true, text(PRINTABLE), "com.mycompany.myapp",
    "The application in reverse domain notation; bound to the API key.", "contract 1.1; row 16") },
  { "ChannelCode", header("PAC-Channel-Code", true, text(PRINTABLE), "my-application",
    "The channel partner, as the provider named it.", "contract 1.1") },
  { "OrganizationId", header("PAC-Organization-ID", true, text(PRINTABLE), "999", ORGANIZATION,
    "contract 1.1; row 17") },
  { "OrganizationIdOffered", header("PAC-Organization-ID", false, text(PRINTABLE), "999",
    ORGANIZATION .. " Sent when it is configured.", "contract 1.1; row 17") },
  { "AcceptEncoding", header("Accept-Encoding", false, map { { "type", "string" } }, "gzip",
    "Ask for gzip to get compressed answers.", "contract 1.1") },
}

--- The components of all headers.
-- @treturn table map by name
function parameters.components()
  return map(HEADERS)
end

local function shared(name)
  return map { { "$ref", "#/components/parameters/" .. name } }
end

local ORGANIZATION_HEADER = { required = "OrganizationId", offered = "OrganizationIdOffered" }

local function header_names(operation)
  if operation.anonymous then
    return { "UserAgent", "RequestId", "ApplicationId" }
  end
  local names = { "UserAgent", "RequestId", "ApplicationId", "ChannelCode" }
  names[#names + 1] = ORGANIZATION_HEADER[operation.organization]
  names[#names + 1] = "AcceptEncoding"
  return names
end

--- The headers with one value for every request, which OpenAPI 3.0 does not let a document list as parameters.
-- @treturn table map
function parameters.fixed()
  return map { { "Accept", "application/json" }, { "Content-Type", "application/json" } }
end

local EXAMPLES = {
  confirmationCd = "3785222-AMTX:10237", listingId = "A3qnemZ", processId = "d4e5f6", startDate = "2023-05-20",
  seasonCode = "F23", facilityCode = "ABC", distributorCode = "DIST1",
}

local function url_parameter(schemas, field, place)
  local value = schema.field(schemas, field, "request", schema.pascal(field.name))
  local parameter = map {
    { "name", field.name }, { "in", place }, { "required", place == "path" or field.required or false },
    { "description", value:get("description") },
  }
  local pattern = value:get("pattern") or (place == "path" and PATH_VALUE or QUERY_VALUE)
  return parameter:set("schema", text(pattern, value:get("format")))
    :set("example", EXAMPLES[field.name])
    :set("x-option", field.option)
    :set("x-source", field.source)
end

--- The parameters of an operation, headers last.
-- @tparam table schemas as `schema.new` makes them
-- @tparam table operation a row of `paciolan.operations()`
-- @treturn table list
function parameters.of(schemas, operation)
  local list = {}
  for _, field in ipairs(operation.path_fields) do
    list[#list + 1] = url_parameter(schemas, field, "path")
  end
  for _, field in ipairs(operation.query) do
    list[#list + 1] = url_parameter(schemas, field, "query")
  end
  for _, name in ipairs(header_names(operation)) do
    list[#list + 1] = shared(name)
  end
  return list
end

return parameters
