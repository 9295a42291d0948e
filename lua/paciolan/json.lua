--- JSON through a private lua-cjson instance, so that nobody's settings meet ours.
-- Answers are decoded here; request bodies are written by the core from the operation's field table.
-- @module paciolan.json
local cjson = require("cjson").new()

-- NaN, Infinity and hexadecimal are not JSON (RFC 8259 section 6); an answer nested deeper than this is no answer.
cjson.decode_invalid_numbers(false)
cjson.decode_max_depth(64)
cjson.encode_invalid_numbers(false)

local json = {}

--- The value that stands for JSON null, in payloads and in answers.
json.null = cjson.null

--- Decodes a text.
-- @tparam string text
-- @return the value
-- @treturn[2] nil when the text is not JSON; lua-cjson's message is dropped, because it may quote the text
function json.decode(text)
  local ok, value = pcall(cjson.decode, text)
  -- lua-cjson takes a NUL for the end, and would overlook what stands behind it.
  if ok and not text:find("\0", 1, true) then
    return value
  end
  return nil
end

--- Encodes a table that the library itself made (never a payload).
-- @param value
-- @treturn string
function json.encode(value)
  return cjson.encode(value)
end

return json
