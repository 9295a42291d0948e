local ids = require "paciolan.sandbox.ids"
local text = require "paciolan.sandbox.text"

describe("the texts of the sandbox", function()
  for bytes, wanted in pairs { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
    ["\0\255\254"] = "AP/+", ["\251\240"] = "+/A=" } do
    it("have in base64 the form " .. wanted, function()
      assert.equal(wanted, text.base64(bytes))
    end)
  end

  it("have Basic credentials in one value", function()
    assert.equal("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", text.basic("Aladdin", "open sesame"))
  end)

  for seconds, wanted in pairs { [0] = "1970-01-01T00:00:00.000Z", [1772826938.903] = "2026-03-06T19:55:38.903Z",
    [1772826938.0004] = "2026-03-06T19:55:38.000Z", [1772826938.9999] = "2026-03-06T19:55:38.999Z" } do
    it("have the time of Amazon as " .. wanted, function()
      assert.equal(wanted, text.sns_date(seconds))
    end)
  end

  it("have UUIDs of version 4, the same for the same seed", function()
    local one, two = ids.stream("s", "uuids"), ids.stream("s", "uuids")
    local seen = {}
    for _ = 1, 200 do
      local uuid = one:uuid()
      assert.equal(uuid, two:uuid())
      assert.is_nil(seen[uuid])
      seen[uuid] = true
      assert.truthy(uuid:find("^" .. ("%x"):rep(8) .. "%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-" .. ("%x"):rep(12) .. "$"))
      assert.equal(uuid:lower(), uuid)
    end
  end)
end)
