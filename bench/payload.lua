-- What checking and writing a lock of 100 seats costs, beside lua-cjson on the same table (`make bench`).
local cjson = require("cjson").new()
local core = require "paciolan.core"
local measure = require "measure"

local function lock_of_100()
  local tokens = {}
  for i = 1, 100 do
    tokens[i] = { token = ("129BL7ASUULGL%04d"):format(i), individualPrice = 49.5 }
  end
  return {
    source = "INDIVIDUAL",
    listing = { externalListingId = "SDFE3434JJRTER", totalPrice = 4950, tokens = tokens },
    seller = {
      lastName = "Smith", firstName = "John",
      emailAddress = { email = "john@smith.example", optIn = true },
      phoneNumber = { number = "9498234548", countryCode = "US" },
      address = {
        address1 = "123 Main Street", locality = "Irvine", region = "CA", postalCode = "92617", countryCode = "US",
      },
    },
  }
end

local payload = lock_of_100()
local _, body = core.encode("tickets.lock", payload)
print(("payload: %d bytes as JSON"):format(#body))

measure.compare("tickets.lock, 100 tokens", 2000, {
  { "cjson.encode", function() cjson.encode(payload) end },
  { "core.check", function() core.check("tickets.lock", payload) end },
  { "core.encode (check, target and body)", function() core.encode("tickets.lock", payload) end },
  { "cjson.decode of the body", function() cjson.decode(body) end },
})
