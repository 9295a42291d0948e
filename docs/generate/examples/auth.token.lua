local paciolan = require "paciolan"
local link = paciolan.from_env()

-- Every method gets a token by itself. Asking for it shows early whether the credentials are good.
local token, err = link.auth:token()
if not token then
  error(err) -- kind "auth": the code is used up or refused, and a person has to log in again
end
print(token.tokenType) -- token.expiration says how long it lives

-- A renewal spends the refresh token and stores the next one.
local renewed = assert(link.auth:rotate())
print("another one after the renewal: " .. tostring(renewed.accessToken ~= token.accessToken))

-- A code works once, so a second client that has only the same code is refused.
local late = paciolan.from_env()
token, err = late.auth:token()
if not token then
  print(err.kind .. ", " .. tostring(err.outcome) .. ", retryable: " .. tostring(err.retryable))
end

late:close()
link:close()
