/* tickets.c: lock, unlock, verify and print (contract 2.4 to 2.7). */
#include "contract.h"

static const char *const analyze = "analyze";

/* What one lock can hold (002). Unlock and verify name no limit of their own,
** so a bulk call of theirs carries as much (I). */
#define LOCK_ITEMS 100

/* --- what answers share --------------------------------------------------- */

static const pac_field owned_fields[] = {
  { .name = "token", .type = PAC_STRING, .doc = "Token of the seat.", .source = "001, 002" },
  { .name = "ownerId", .type = PAC_STRING, .doc = "Patron who owns the seat.", .source = "001, 002" },
  PAC_END
};
static const pac_object owned = { .fields = owned_fields, .open = 1 };

static const pac_field failure_fields[] = {
  { .name = "token", .type = PAC_STRING, .doc = "The token that failed.", .source = "002" },
  { .name = "status", .type = PAC_STRING, .doc = "How the seat was left: UNLOCK.", .source = "002; row 61" },
  { .name = "type", .type = PAC_STRING, .doc = "Why, as a word such as INVALID_TOKEN.", .source = "002" },
  { .name = "appErrorCode", .type = PAC_STRING, .doc = "The service's code, such as MS-404.",
    .source = "002; row 38" },
  { .name = "developerMessage", .type = PAC_STRING, .doc = "For developers; its words may change.",
    .source = "002; row 43" },
  { .name = "ownerId", .type = PAC_STRING, .doc = "Patron who owns the seat.", .source = "002; row 42" },
  PAC_END
};
static const pac_object failure = { .fields = failure_fields, .open = 1 };

/* --- lock: PUT /v1/tickets/lock ------------------------------------------ */

static const char *const sources[] = { "MY_ACCOUNT", "INDIVIDUAL", "BROKER", NULL };
static const char *const sellers[] = { "INDIVIDUAL", "BROKER", NULL };
static const char *const my_account[] = { "MY_ACCOUNT", NULL };

static const pac_field lock_token_fields[] = {
  { .name = "token", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Token of one seat.", .source = "002" },
  { .name = "individualPrice", .type = PAC_NUMBER, .doc = "Price of this ticket.", .source = "002" },
  PAC_END
};
static const pac_object lock_token = { .fields = lock_token_fields, .shorthand = "token" };

static const pac_field lock_listing_fields[] = {
  { .name = "externalListingId", .type = PAC_STRING, .doc = "The caller's own id of the listing.",
    .source = "002; row 58" },
  { .name = "totalPrice", .type = PAC_NUMBER, .doc = "Price of the listing.", .source = "002" },
  { .name = "tokens", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1, .max_items = LOCK_ITEMS,
    .batch_items = LOCK_ITEMS, .object = &lock_token,
    .doc = "The seats; a list of token strings is accepted and expanded.",
    .source = "002; at least 1: I; row 59" },
  PAC_END
};
static const pac_object lock_listing = { .fields = lock_listing_fields };

static const pac_field seller_address_fields[] = {
  { .name = "address1", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "Street and number.",
    .source = "002" },
  { .name = "address2", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Suite number.",
    .source = "002" },
  { .name = "address3", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Further line.",
    .source = "002" },
  { .name = "address4", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Further line.",
    .source = "002" },
  { .name = "locality", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "City.", .source = "002" },
  { .name = "region", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "State or province.",
    .source = "002" },
  { .name = "postalCode", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "Postal code.",
    .source = "002" },
  { .name = "countryCode", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Country.", .source = "002" },
  PAC_END
};
static const pac_object seller_address = { .fields = seller_address_fields };

static const pac_field seller_phone_fields[] = {
  { .name = "number", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .format = PAC_DIGITS,
    .doc = "Digits only.", .source = "002" },
  { .name = "formattedNumber", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "The number as people write it.",
    .source = "002" },
  { .name = "extension", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Extension.",
    .source = "002; row 13" },
  { .name = "countryCode", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Country of the number.",
    .source = "002" },
  PAC_END
};
static const pac_object seller_phone = { .fields = seller_phone_fields };

static const pac_field seller_email_fields[] = {
  { .name = "email", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "E-mail address.",
    .source = "002; row 27" },
  { .name = "optIn", .type = PAC_BOOLEAN, .doc = "Marketing opt-in; applied only when a new patron is created.",
    .source = "002" },
  PAC_END
};
static const pac_object seller_email = { .fields = seller_email_fields };

static const pac_field seller_fields[] = {
  { .name = "lastName", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "Last name.",
    .source = "002" },
  { .name = "firstName", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "First name.",
    .source = "002" },
  { .name = "middleName", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "Middle name.", .source = "002" },
  { .name = "address", .type = PAC_OBJECT, .by = PAC_SWITCH_SELLER_CONTACT, .object = &seller_address,
    .doc = "Postal address.", .source = "002; row 2" },
  { .name = "phoneNumber", .type = PAC_OBJECT, .by = PAC_SWITCH_SELLER_CONTACT, .object = &seller_phone,
    .doc = "Telephone.", .source = "002; row 2" },
  { .name = "emailAddress", .type = PAC_OBJECT, .flags = PAC_REQUIRED, .by = PAC_SWITCH_SELLER_CONTACT,
    .object = &seller_email, .doc = "E-mail.", .source = "002; row 2" },
  PAC_END
};
static const pac_object seller = { .fields = seller_fields };

static const pac_field lock_fields[] = {
  { .name = "source", .type = PAC_STRING, .flags = PAC_REQUIRED, .values = sources,
    .doc = "Where the seats come from.", .source = "002; row 10" },
  { .name = "listing", .type = PAC_OBJECT, .flags = PAC_REQUIRED, .object = &lock_listing,
    .doc = "What is listed.", .source = "001, 002" },
  { .name = "seller", .type = PAC_OBJECT, .object = &seller, .doc = "Who sells; for INDIVIDUAL and BROKER.",
    .source = "002; rows 11, 12" },
  PAC_END
};
static const pac_rule lock_rules[] = {
  { .kind = PAC_REQUIRED_WHEN, .field = "seller", .other = "source", .values = sellers, .source = "002; row 11" },
  { .kind = PAC_AS_GIVEN_WHEN, .field = "seller", .other = "source", .values = my_account, .source = "row 11" },
  { .kind = PAC_NO_RULE }
};
static const pac_object lock_body = { .fields = lock_fields, .rules = lock_rules };

static const pac_field lock_answer_fields[] = {
  { .name = "success", .type = PAC_OBJECTS, .object = &owned, .doc = "The seats that are locked.", .source = "002" },
  { .name = "failure", .type = PAC_OBJECTS, .object = &failure, .doc = "The tokens that are not.",
    .source = "002; rows 41, 42" },
  { .name = "sellerIds", .type = PAC_STRINGS, .doc = "Patrons who sell.", .source = "002" },
  PAC_ERROR_FIELD("002"),
  PAC_END
};
static const pac_object lock_answer = { .fields = lock_answer_fields, .open = 1 };

static const pac_error_row lock_errors[] = {
  { "INVALID_TOKEN", "MS-422", 422, 0, analyze, "token invalid" },
  { "TOKEN_NOT_FOUND", "MS-404", 404, 0, analyze, "token does not exist" },
  { "UNPROCESSABLE_ENTITY", "MS-422", 422, 0, analyze, "more than 100 tokens" },
  { .type = NULL }
};

/* --- unlock: PUT /v1/tickets/unlock -------------------------------------- */

static const pac_field unlock_fields[] = {
  { .name = "tokens", .type = PAC_STRINGS, .flags = PAC_REQUIRED, .min_items = 1, .batch_items = LOCK_ITEMS,
    .doc = "The seats to let go.", .source = "001, D:unlock; at least 1, and the batch: I" },
  PAC_END
};
static const pac_object unlock_body = { .fields = unlock_fields };

static const pac_field unlock_answer_fields[] = {
  { .name = "success", .type = PAC_OBJECTS, .object = &owned, .doc = "The seats that were let go.", .source = "001" },
  { .name = "failure", .type = PAC_OBJECTS, .object = &failure, .doc = "The tokens that were not.",
    .source = "I (as lock); row 41" },
  PAC_ERROR_FIELD("D:unlock"),
  PAC_END
};
static const pac_object unlock_answer = { .fields = unlock_answer_fields, .open = 1 };

/* --- verify: POST /v1/tickets/verify ------------------------------------- */

static const pac_field verify_entry_fields[] = {
  { .name = "accessId", .type = PAC_STRING, .doc = "The event's access id; with barcodes.",
    .source = "001, D:verify; condition: I" },
  { .name = "tokens", .type = PAC_STRINGS, .min_items = 1, .batch_items = LOCK_ITEMS,
    .doc = "Tokens; never together with barcodes.", .source = "D:verify, 001; batch: I" },
  { .name = "barcodes", .type = PAC_STRINGS, .min_items = 1, .batch_items = LOCK_ITEMS,
    .doc = "Barcodes; never together with tokens.", .source = "D:verify; batch: I" },
  PAC_END
};
static const pac_rule verify_entry_rules[] = {
  { .kind = PAC_ONE_OF, .field = "tokens", .other = "barcodes", .source = "D:verify" },
  { .kind = PAC_REQUIRED_WITH, .field = "accessId", .other = "barcodes", .source = "I" },
  { .kind = PAC_NO_RULE }
};
static const pac_object verify_entry = { .fields = verify_entry_fields, .rules = verify_entry_rules };

static const pac_field verify_fields[] = {
  { .name = "tickets", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1, .by = PAC_SWITCH_VERIFY,
    .object = &verify_entry, .doc = "What to look at, an entry for each event.", .source = "001; row 5" },
  PAC_END
};
static const pac_object verify_body = { .fields = verify_fields };

static const pac_field verified_seat_fields[] = {
  { .name = "token", .type = PAC_STRING, .doc = "Token of the seat.", .source = "001" },
  { .name = "barcode", .type = PAC_STRING, .doc = "Barcode, where one was asked for.", .source = "I" },
  { .name = "ownerId", .type = PAC_STRING, .doc = "Patron who owns the seat.", .source = "001" },
  { .name = "season", .type = PAC_STRING, .doc = "Season.", .source = "001; row 26" },
  { .name = "event", .type = PAC_STRING, .doc = "Item.", .source = "001; row 26" },
  { .name = "section", .type = PAC_STRING, .doc = "LEVEL:SECTION.", .source = "001; row 24" },
  { .name = "row", .type = PAC_LABEL, .doc = "Row.", .source = "001; row 23" },
  { .name = "seat", .type = PAC_LABEL, .doc = "Seat.", .source = "001; row 23" },
  { .name = "seatingType", .type = PAC_STRING, .doc = "Such as RESERVED.", .source = "001" },
  { .name = "associationType", .type = PAC_STRING, .doc = "Such as VIP.", .source = "001" },
  { .name = "seatAttributes", .type = PAC_STRINGS, .doc = "Such as ADA.", .source = "001" },
  PAC_END
};
static const pac_object verified_seat = { .fields = verified_seat_fields, .open = 1 };

static const pac_field verified_fields[] = {
  { .name = "seats", .type = PAC_OBJECTS, .object = &verified_seat, .doc = "The seats that are valid.",
    .source = "001" },
  PAC_END
};
static const pac_object verified = { .fields = verified_fields, .open = 1 };

static const pac_field unverified_fields[] = {
  { .name = "token", .type = PAC_STRING, .doc = "The token that failed.", .source = "I (as lock)" },
  { .name = "barcode", .type = PAC_STRING, .doc = "The barcode that failed.", .source = "I" },
  { .name = "type", .type = PAC_STRING, .doc = "Why, as a word.", .source = "I (as lock)" },
  { .name = "appErrorCode", .type = PAC_STRING, .doc = "The service's code.", .source = "I (as lock); row 38" },
  { .name = "developerMessage", .type = PAC_STRING, .doc = "For developers.", .source = "I (as lock); row 43" },
  { .name = "ownerId", .type = PAC_STRING, .doc = "Patron who owns the seat.", .source = "I (as lock)" },
  PAC_END
};
static const pac_object unverified = { .fields = unverified_fields, .open = 1 };

static const pac_field verify_group_fields[] = {
  { .name = "accessId", .type = PAC_STRING, .doc = "The event, opaque.", .source = "001; row 53" },
  { .name = "success", .type = PAC_OBJECT, .object = &verified, .doc = "What is valid.", .source = "001" },
  { .name = "failure", .type = PAC_OBJECTS, .object = &unverified, .doc = "What is not.", .source = "I; row 41" },
  PAC_END
};
static const pac_object verify_group = { .fields = verify_group_fields, .open = 1 };

static const pac_field verify_answer_fields[] = {
  { .name = "tokens", .type = PAC_OBJECTS, .object = &verify_group, .doc = "What the tokens are, by event.",
    .source = "001" },
  { .name = "barcodes", .type = PAC_OBJECTS, .object = &verify_group, .doc = "What the barcodes are, by event.",
    .source = "I" },
  { .name = "failure", .type = PAC_OBJECTS, .object = &unverified, .doc = "What failed, without an event.",
    .source = "I; row 41" },
  PAC_ERROR_FIELD("I"),
  PAC_END
};
static const pac_object verify_answer = { .fields = verify_answer_fields, .open = 1 };

/* --- print: POST /v1/tickets/print --------------------------------------- */

static const pac_field print_fields[] = {
  { .name = "externalOrderId", .type = PAC_STRING, .flags = PAC_REQUIRED,
    .doc = "The id that was used in complete-order.", .source = "001, D:print" },
  { .name = "tokens", .type = PAC_STRINGS, .flags = PAC_REQUIRED, .min_items = 1, .max_items = 30,
    .batch_items = 30, .doc = "Sold seats of one organisation.", .source = "D:print, 001" },
  PAC_END
};
static const pac_object print_body = { .fields = print_fields };

static const pac_field print_answer_fields[] = {
  { .name = "tickets", .type = PAC_OBJECTS, .object = &owned,
    .doc = "The tickets; the page promises a URL for each and does not name its field.",
    .source = "001, D:print; row 56" },
  { .name = "failure", .type = PAC_OBJECTS, .object = &failure, .doc = "The tokens that were not printed.",
    .source = "I (as lock); row 41" },
  PAC_ERROR_FIELD("I; BAD_REQUEST: 001"),
  PAC_END
};
static const pac_object print_answer = { .fields = print_answer_fields, .open = 1 };

const pac_operation pac_tickets_operations[] = {
  { .name = "tickets.lock", .method = "PUT", .path = "/v1/tickets/lock", .lua = "link.tickets:lock(payload)",
    .body = &lock_body, .answer = &lock_answer, .effect = PAC_ONCE, .errors = lock_errors, .answers = "200, 207, 422",
    .doc = "Protect seats from any change while they are listed.", .source = "002, 001" },
  { .name = "tickets.print", .method = "POST", .path = "/v1/tickets/print", .lua = "link.tickets:print(payload)",
    .body = &print_body, .answer = &print_answer, .effect = PAC_ONCE, .answers = "200, 207, 422",
    .doc = "Fetch the digital tickets of a completed order.", .source = "001, D:print; method: I, row 34" },
  { .name = "tickets.unlock", .method = "PUT", .path = "/v1/tickets/unlock", .lua = "link.tickets:unlock(payload)",
    .body = &unlock_body, .answer = &unlock_answer, .effect = PAC_REPEATABLE, .answers = "200, 207, 409, 422",
    .doc = "Let seats go. Repeating it is harmless.", .source = "001, D:unlock" },
  { .name = "tickets.verify", .method = "POST", .path = "/v1/tickets/verify", .lua = "link.tickets:verify(payload)",
    .body = &verify_body, .answer = &verify_answer, .effect = PAC_READ, .answers = "200, 207, 422",
    .doc = "Look up seats and their owners by token or barcode.", .source = "001, D:verify; method: I, row 34" },
  PAC_END
};
