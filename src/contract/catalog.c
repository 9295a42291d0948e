/* catalog.c: GET /v1/catalog/events (contract 2.2). */
#include "contract.h"

static const pac_field events_query[] = {
  { .name = "startDate", .type = PAC_STRING, .format = PAC_DATE,
    .doc = "Events on or after this day, YYYY-MM-DD.", .source = "001, D:get-events" },
  { .name = "seasonCode", .type = PAC_STRING, .doc = "One season.", .source = "001, D:get-events" },
  { .name = "facilityCode", .type = PAC_STRING, .doc = "One facility.", .source = "001, D:get-events" },
  PAC_END
};

static const pac_field association_fields[] = {
  { .name = "type", .type = PAC_STRING, .doc = "What the event is to the others, such as PARKING.",
    .source = "001" },
  { .name = "associatedTo", .type = PAC_STRINGS, .doc = "Access ids of the others.", .source = "001; row 53" },
  PAC_END
};
static const pac_object association = { .fields = association_fields, .open = 1 };

static const pac_field event_fields[] = {
  { .name = "accessId", .type = PAC_STRING, .doc = "Main or parking event, opaque.", .source = "001; row 53" },
  { .name = "seasonCode", .type = PAC_STRING, .doc = "Season.", .source = "001; row 26" },
  { .name = "itemCode", .type = PAC_STRING, .doc = "Item.", .source = "001; row 26" },
  { .name = "itemBasis", .type = PAC_STRING, .doc = "SINGLE; in the samples only.", .source = "001; row 60" },
  { .name = "itemName", .type = PAC_STRING, .doc = "The event's name.", .source = "001" },
  { .name = "startDate", .type = PAC_STRING, .flags = PAC_NULLABLE, .doc = "Date part of ISO 8601.",
    .source = "001; rows 28, 29" },
  { .name = "startTime", .type = PAC_STRING, .flags = PAC_NULLABLE, .doc = "20:30:00Z, or TBD.",
    .source = "001; rows 28, 29" },
  { .name = "endDate", .type = PAC_STRING, .flags = PAC_NULLABLE, .doc = "Date part of ISO 8601.",
    .source = "001; rows 28, 29" },
  { .name = "endTime", .type = PAC_STRING, .flags = PAC_NULLABLE, .doc = "20:30:00Z, TBD or null.",
    .source = "001; rows 28, 29" },
  { .name = "facilityCode", .type = PAC_STRING, .doc = "Facility.", .source = "001" },
  { .name = "facilityName", .type = PAC_STRING, .doc = "Facility's name.", .source = "001" },
  { .name = "configurationCode", .type = PAC_STRING, .doc = "Configuration of the facility; in the samples only.",
    .source = "001; row 60" },
  { .name = "association", .type = PAC_OBJECTS, .object = &association, .doc = "Events that belong together.",
    .source = "001" },
  PAC_END
};
static const pac_object event = { .fields = event_fields, .open = 1 };

const pac_operation pac_catalog_operations[] = {
  { .name = "catalog.events", .method = "GET", .path = "/v1/catalog/events",
    .lua = "link.catalog:events{ startDate = \"2026-09-01\" }", .payload = PAC_PAYLOAD_QUERY,
    .query = events_query, .answer = &event, .answers_list = 1, .effect = PAC_READ,
    .organization = PAC_ORGANIZATION_REQUIRED,
    .answers = "200, 400, 401, 403, 404, 422, 500", .doc = "List the events of an organisation.",
    .source = "001, D:get-events" },
  PAC_END
};
