/* listings.c: GET /v1/listings/{listingId} (contract 2.3). */
#include "contract.h"

static const pac_field listing_path[] = {
  { .name = "listingId", .type = PAC_STRING, .flags = PAC_REQUIRED,
    .doc = "The id that arrives with the seller's browser, such as A3qnemZ.", .source = "001, D:get-listings" },
  PAC_END
};

const pac_operation pac_listings_operations[] = {
  { .name = "listings.get", .method = "GET", .path = "/v1/listings/{listingId}",
    .lua = "link.listings:get(\"A3qnemZ\")", .payload = PAC_PAYLOAD_PATH, .path_fields = listing_path,
    .effect = PAC_READ, .answers = "200, 404, 500",
    .doc = "Read the seats that a MyAccount seller wants to list.", .source = "001, D:get-listings; row 6" },
  PAC_END
};
