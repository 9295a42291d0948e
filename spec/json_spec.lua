--- core.json_check and paciolan.json: which texts are JSON to the letter, and that what passes can be decoded.
-- spec/c/json_test.c tries the reader itself; here are its way into Lua and its agreement with lua-cjson.
local cjson = require("cjson").new()
local core = require("paciolan.core")
local json = require("paciolan.json")
local files = require("support.files")

local check = core.json_check

describe("a text that is JSON", function()
  for _, text in ipairs { "{}", "[]", "null", "true", "-1.5e3", '""', '"a\\u0000b"', '{"a":[{"a":1},{"a":2}]}',
    " [ 1 ,\n2 ]\t", '"\\ud83d\\ude00"', '{"\\u0000":1,"":2}' } do
    it("passes: " .. text, function()
      assert.is_true(check(text, 64))
      assert.equal(1, select("#", check(text, 64)))
    end)
  end

  it("passes in every genuine envelope of SNS", function()
    for _, name in ipairs { "notification-v1-no-subject-2026", "notification-v1-subject-2026", "notification-v2-2026",
      "subscription-confirmation-v1-2026", "unsubscribe-confirmation-v2-2026" } do
      assert.is_true(check(files.read("spec/fixtures/sns/" .. name .. ".json"), 8))
    end
  end)

  it("may be nested as deep as the caller allows", function()
    for _, levels in ipairs { 1, 8, 64 } do
      local text = ("["):rep(levels) .. ("]"):rep(levels)
      assert.is_true(check(text, levels))
      if levels > 1 then
        local ok, message = check(text, levels - 1)
        assert.is_nil(ok)
        assert.equal(("at byte %d: this is nested too deeply"):format(levels - 1), message)
      end
    end
  end)
end)

describe("a text that is not", function()
  for text, message in pairs { [""] = "at byte 0: a value must stand here",
    ["{}\0"] = "at byte 2: nothing may stand behind the value",
    ['{"a":1,"a":2}'] = "at byte 7: this name stands twice in its object",
    ['["\255"]'] = "at byte 2: this is not UTF-8" } do
    it("is refused with its place and the rule: " .. message, function()
      assert.same({ nil, message }, { check(text, 64) })
      assert.equal(2, select("#", check(text, 64)))
    end)
  end

  it("is never quoted", function()
    for _, text in ipairs { "MARK", '{"MARK":1,"MARK":2}', '["MARK', '{"MARK"}', '"MARK\n"' } do
      assert.is_nil(select(2, check(text, 8)):find("MARK", 1, true))
    end
  end)
end)

describe("a text that passes", function()
  -- Values in which every kind of place occurs; each byte of each is replaced by others.
  local texts = { '{"a\\n":[1.5e+3,-0,true,null],"b":{"\\u00e4":"\\ud83d\\ude00","c":[]}}', ' [ "\\/" , {} ] ' }
  local others = { "\0", "\n", '"', "\\", "0", "e", "u", "{", "}", "[", "]", ":", ",", " ", "\127", "\195", "-", "." }

  it("can be decoded by lua-cjson as well, whatever was changed in it", function()
    local passed, refused = 0, 0
    for _, text in ipairs(texts) do
      for place = 1, #text do
        for _, other in ipairs(others) do
          local changed = text:sub(1, place - 1) .. other .. text:sub(place + 1)
          if check(changed, 64) then
            passed = passed + 1
            assert.is_not_nil(json.decode(changed), changed)
          else
            refused = refused + 1
          end
        end
      end
    end
    assert.is_true(passed > 100)
    assert.is_true(refused > 500)
  end)

  it("has one meaning, where lua-cjson takes one of two", function()
    local twice = '{"a":1,"\\u0061":2}'
    assert.same({ a = 2 }, cjson.decode(twice))
    assert.is_nil((check(twice, 64)))
  end)
end)

describe("a mistake of the caller", function()
  it("raises", function()
    for _, depth in ipairs { 0, 65, -1, "x" } do
      assert.has_error(function() check("{}", depth) end)
    end
    assert.has_error(function() check("{}") end)
    assert.has_error(function() check(nil, 8) end)
    assert.has_error(function() check({}, 8) end)
  end)
end)
