/* listings.c: GET /v1/listings/{listingId} (contract 2.3). */
#include "contract.h"

static const pac_field listing_path[] = {
  { .name = "listingId", .type = PAC_STRING, .flags = PAC_REQUIRED,
    .doc = "The id that arrives with the seller's browser, such as A3qnemZ.", .source = "001, D:get-listings" },
  PAC_END
};

static const pac_field seat_fields[] = {
  { .name = "token", .type = PAC_STRING, .doc = "Token of the seat, for lock.", .source = "001" },
  { .name = "season", .type = PAC_STRING, .doc = "Season.", .source = "001; row 26" },
  { .name = "item", .type = PAC_STRING, .doc = "Item.", .source = "001; row 26" },
  { .name = "section", .type = PAC_STRING, .doc = "LEVEL:SECTION.", .source = "001; row 24" },
  { .name = "row", .type = PAC_LABEL, .doc = "Row.", .source = "001; row 23" },
  { .name = "seat", .type = PAC_LABEL, .doc = "Seat.", .source = "001; row 23" },
  { .name = "seatingType", .type = PAC_STRING, .doc = "Such as RESERVED.", .source = "001" },
  { .name = "associationType", .type = PAC_STRING, .doc = "Such as VIP.", .source = "001" },
  { .name = "seatAttributes", .type = PAC_STRINGS, .doc = "Such as ADA.", .source = "001" },
  PAC_END
};
static const pac_object seat = { .fields = seat_fields, .open = 1 };

static const pac_field ticket_fields[] = {
  { .name = "accessId", .type = PAC_STRING, .doc = "The event, opaque.", .source = "001; row 53" },
  { .name = "seats", .type = PAC_OBJECTS, .object = &seat, .doc = "The seats at that event.", .source = "001" },
  PAC_END
};
static const pac_object ticket = { .fields = ticket_fields, .open = 1 };

static const pac_field listing_fields[] = {
  { .name = "listingId", .type = PAC_STRING, .doc = "The id that was asked for.", .source = "001, D:get-listings" },
  { .name = "tickets", .type = PAC_OBJECTS, .object = &ticket, .doc = "The seats, an entry for each event.",
    .source = "001" },
  PAC_END
};
static const pac_object listing = { .fields = listing_fields, .open = 1 };

const pac_operation pac_listings_operations[] = {
  { .name = "listings.get", .method = "GET", .path = "/v1/listings/{listingId}",
    .lua = "link.listings:get(\"A3qnemZ\")", .payload = PAC_PAYLOAD_PATH, .path_fields = listing_path,
    .answer = &listing, .answers_list = 1, .effect = PAC_READ, .answers = "200, 404, 500",
    .doc = "Read the seats that a MyAccount seller wants to list.", .source = "001, D:get-listings; row 6" },
  PAC_END
};
