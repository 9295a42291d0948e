/* messages.c: what the messaging service pushes (contract 5). Objects are open:
** fields that the documents do not name are kept. */
#include "contract.h"

static const char *const seat_states[] = { "LOCK", "UNLOCK", NULL };
static const char *const entities[] = { "events", "seats", NULL };

static const pac_field event_fields[] = {
  { .name = "accessId", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Main or parking event, opaque.",
    .source = "000; row 53" },
  { .name = "seasonCode", .type = PAC_STRING, .doc = "Season.", .source = "000" },
  { .name = "itemCode", .type = PAC_STRING, .doc = "Item.", .source = "000" },
  { .name = "itemBasis", .type = PAC_STRING, .doc = "SINGLE; in the samples only.", .source = "000, 001; row 60" },
  { .name = "itemName", .type = PAC_STRING, .doc = "Internet name, else item name, else event name.",
    .source = "000" },
  { .name = "startDate", .type = PAC_STRING, .flags = PAC_NULLABLE, .doc = "Date part of ISO 8601.",
    .source = "000; row 29" },
  { .name = "startTime", .type = PAC_STRING, .flags = PAC_NULLABLE, .doc = "20:30:00Z, or TBD.",
    .source = "000; row 29" },
  { .name = "endDate", .type = PAC_STRING, .flags = PAC_NULLABLE, .doc = "Date part of ISO 8601; null is seen.",
    .source = "000; row 29" },
  { .name = "endTime", .type = PAC_STRING, .flags = PAC_NULLABLE, .doc = "20:30:00Z, TBD or null.",
    .source = "000; row 29" },
  { .name = "facilityCode", .type = PAC_STRING, .doc = "Facility.", .source = "000" },
  { .name = "facilityName", .type = PAC_STRING, .doc = "Facility's name.", .source = "000" },
  PAC_END
};
static const pac_object event = { .fields = event_fields, .open = 1 };

static const pac_field seat_fields[] = {
  { .name = "accessId", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Main or parking event, opaque.",
    .source = "000; row 53" },
  { .name = "season", .type = PAC_STRING, .doc = "Season.", .source = "000" },
  { .name = "item", .type = PAC_STRING, .doc = "Item.", .source = "000" },
  { .name = "section", .type = PAC_STRING, .doc = "LEVEL:SECTION.", .source = "000; row 24" },
  { .name = "row", .type = PAC_LABEL, .doc = "Row.", .source = "000; row 23" },
  { .name = "seat", .type = PAC_LABEL, .doc = "Seat; one sample lacks it.", .source = "000; rows 23, 52" },
  { .name = "status", .type = PAC_STRING, .flags = PAC_REQUIRED, .values = seat_states,
    .doc = "UNLOCK on a listed ticket: take the listing down.", .source = "000; row 61" },
  PAC_END
};
static const pac_object seat = { .fields = seat_fields, .open = 1 };

static const pac_field metadata_fields[] = {
  { .name = "messageEntity", .type = PAC_STRING, .flags = PAC_REQUIRED, .values = entities,
    .doc = "Which list data holds.", .source = "000" },
  { .name = "pacOrganizationId", .type = PAC_INTEGER, .flags = PAC_REQUIRED, .doc = "Data account.",
    .source = "000; row 9" },
  { .name = "requestId", .type = PAC_STRING, .doc = "Free form.", .source = "000; row 32" },
  PAC_END
};
const pac_object pac_message_metadata = { .fields = metadata_fields, .open = 1 };

const pac_message pac_messages[] = {
  { .name = "events", .item = &event, .doc = "Events that were added or changed.", .source = "000, 001" },
  { .name = "seats", .item = &seat, .doc = "Seats that were locked or unlocked.", .source = "000, 001; row 52" },
  PAC_END
};
