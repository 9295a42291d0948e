local desk = require "support.desk"

describe("sandbox: catalog and listings", function()
  local here

  before_each(function()
    here = desk.open()
  end)

  local function access_ids(query, organization)
    local status, body = here:call("GET", "/v1/catalog/events" .. query, nil,
      { ["pac-organization-id"] = organization })
    assert.equal(200, status)
    local list = {}
    for i, item in ipairs(body) do
      list[i] = item.accessId
    end
    return list
  end

  it("shows parking with its association, in the sample's shape", function()
    local _, body = here:call("GET", "/v1/catalog/events")
    assert.equal("129:FB30:P01", body[3].accessId)
    assert.same({ { type = "PARKING", associatedTo = { "129:FB30:FB01" } } }, body[3].association)
    assert.is_nil(desk.difference(desk.fixture("catalog-events.response.200"), { body[3] }))
  end)

  local FILTERS = {
    { "", "129", { "129:FB30:FB01", "129:FB30:FB02", "129:FB30:P01" } },
    { "", "999", { "999:F30:F01", "999:F30:F02", "999:F30:P01" } },
    { "?startDate=2030-09-21", "129", { "129:FB30:FB02" } },
    { "?startDate=2030-09-22", "129", {} },
    { "?seasonCode=FB30&facilityCode=STAD", "129", { "129:FB30:FB01", "129:FB30:FB02", "129:FB30:P01" } },
    { "?seasonCode=F30", "129", {} },
    { "?facilityCode=PAV", "129", {} },
  }
  for _, row in ipairs(FILTERS) do
    it("filters events of " .. row[2] .. " by '" .. row[1] .. "'", function()
      assert.same(row[3], access_ids(row[1], row[2]))
    end)
  end

  it("answers no events with an empty list", function()
    local _, _, answer = here:call("GET", "/v1/catalog/events?seasonCode=none")
    assert.equal("[]", answer.body)
  end)

  local REFUSED = {
    { "?startDate=20300921", 400 }, { "?startDate=2030-13-01", 400 },
    { "?seasonCode=A&seasonCode=B", 422 }, { "?colour=red", 422 },
  }
  for _, row in ipairs(REFUSED) do
    it("answers " .. row[2] .. " to " .. row[1], function()
      assert.equal(row[2], (here:call("GET", "/v1/catalog/events" .. row[1])))
    end)
  end

  it("shows a listing in the sample's shape", function()
    local status, body = here:call("GET", "/v1/listings/A3qnemZ")
    assert.equal(200, status)
    assert.is_nil(desk.difference(desk.fixture("listing.response.200"), body))
    assert.equal("A3qnemZ", body[1].listingId)
    assert.truthy(body[1].tickets[1].seats[1].section:find("^%w+:%w+$"))
  end)

  it("groups a listing by event", function()
    local listing = here.box.inventory.listings[5]
    local _, body = here:call("GET", "/v1/listings/" .. listing.id)
    assert.equal(2, #body[1].tickets)
    assert.equal(2, #body[1].tickets[1].seats)
    assert.equal("129:FB30:P01", body[1].tickets[2].accessId)
  end)

  it("answers 404 to an unknown listing", function()
    local status, body = here:call("GET", "/v1/listings/none")
    assert.equal(404, status)
    assert.equal("MS-404", body.error.appErrorCode)
  end)

  it("drops sold seats from a listing", function()
    local listing = here.box.inventory.listings[1]
    here:sell { listing.seats[1].token }
    local _, body = here:call("GET", "/v1/listings/A3qnemZ")
    assert.equal(1, #body[1].tickets[1].seats)
    here:sell({ listing.seats[2].token }, "L-2", "O-2")
    assert.equal(404, (here:call("GET", "/v1/listings/A3qnemZ")))
  end)
end)
