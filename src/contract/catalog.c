/* catalog.c: GET /v1/catalog/events (contract 2.2). */
#include "contract.h"

static const pac_field events_query[] = {
  { .name = "startDate", .type = PAC_STRING, .format = PAC_DATE,
    .doc = "Events on or after this day, YYYY-MM-DD.", .source = "001, D:get-events" },
  { .name = "seasonCode", .type = PAC_STRING, .doc = "One season.", .source = "001, D:get-events" },
  { .name = "facilityCode", .type = PAC_STRING, .doc = "One facility.", .source = "001, D:get-events" },
  PAC_END
};

const pac_operation pac_catalog_operations[] = {
  { .name = "catalog.events", .method = "GET", .path = "/v1/catalog/events",
    .lua = "link.catalog:events{ startDate = \"2026-09-01\" }", .payload = PAC_PAYLOAD_QUERY,
    .query = events_query, .effect = PAC_READ, .organization = PAC_ORGANIZATION_REQUIRED,
    .answers = "200, 400, 401, 403, 404, 422, 500", .doc = "List the events of an organisation.",
    .source = "001, D:get-events" },
  PAC_END
};
