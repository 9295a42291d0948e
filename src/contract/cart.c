/* cart.c: complete-order and its status (contract 2.8). */
#include "contract.h"

static const pac_field order_token_fields[] = {
  { .name = "token", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Token of one seat.", .source = "001; I" },
  { .name = "individualPrice", .type = PAC_NUMBER, .doc = "Price of this ticket.", .source = "001" },
  { .name = "individualFees", .type = PAC_NUMBER, .doc = "Fees of this ticket.", .source = "001" },
  PAC_END
};
static const pac_object order_token = { .fields = order_token_fields };

static const pac_field order_listing_fields[] = {
  { .name = "externalListingId", .type = PAC_STRING, .flags = PAC_REQUIRED,
    .doc = "The id that was given when the seats were locked.", .source = "D:complete-order; row 58" },
  { .name = "externalOrderId", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "The caller's own id of the order.",
    .source = "D:complete-order" },
  { .name = "totalPrice", .type = PAC_NUMBER, .doc = "Price of the order.", .source = "D:complete-order, 001" },
  { .name = "totalFees", .type = PAC_NUMBER, .doc = "Fees of the order.", .source = "001" },
  { .name = "tokens", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1, .object = &order_token,
    .doc = "The seats that are sold.", .source = "001; I" },
  PAC_END
};
static const pac_object order_listing = { .fields = order_listing_fields };

static const pac_field buyer_phone_fields[] = {
  { .name = "number", .type = PAC_STRING, .flags = PAC_PERSONAL, .format = PAC_DIGITS, .doc = "Digits only.",
    .source = "001; digits: 002" },
  { .name = "formattedNumber", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "The number as people write it.",
    .source = "001" },
  { .name = "extension", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Extension.",
    .source = "001; row 13" },
  { .name = "countryCode", .type = PAC_STRING, .doc = "Country of the number.", .source = "001" },
  PAC_END
};
static const pac_object buyer_phone = { .fields = buyer_phone_fields };

static const pac_field buyer_address_fields[] = {
  { .name = "address1", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "Street and number.", .source = "001" },
  { .name = "address2", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Suite number.",
    .source = "001; null: 002" },
  { .name = "address3", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Further line.",
    .source = "001; null: 002" },
  { .name = "address4", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Further line.",
    .source = "001; null: 002" },
  { .name = "locality", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "City.", .source = "001" },
  { .name = "region", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "State or province.", .source = "001" },
  { .name = "postalCode", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "Postal code.", .source = "001" },
  { .name = "countryCode", .type = PAC_STRING, .doc = "Country.", .source = "001" },
  PAC_END
};
static const pac_object buyer_address = { .fields = buyer_address_fields };

static const pac_field buyer_email_fields[] = {
  { .name = "email", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "E-mail address.", .source = "001" },
  { .name = "optIn", .type = PAC_BOOLEAN, .doc = "Marketing opt-in.", .source = "001" },
  PAC_END
};
static const pac_object buyer_email = { .fields = buyer_email_fields };

static const pac_field buyer_fields[] = {
  { .name = "firstName", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "First name.", .source = "001" },
  { .name = "middleInitial", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "Middle initial.",
    .source = "001; row 26" },
  { .name = "lastName", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "Last name.", .source = "001" },
  { .name = "phoneNumber", .type = PAC_OBJECT, .object = &buyer_phone, .doc = "Telephone.", .source = "001; row 4" },
  { .name = "address", .type = PAC_OBJECT, .object = &buyer_address, .doc = "Postal address.",
    .source = "001; row 4" },
  { .name = "emailAddress", .type = PAC_OBJECT, .object = &buyer_email, .doc = "E-mail.", .source = "001; row 4" },
  PAC_END
};
static const pac_object buyer = { .fields = buyer_fields };

static const pac_field settlement_fields[] = {
  { .name = "totalAmountPaid", .type = PAC_NUMBER, .doc = "What the buyer paid.", .source = "001; row 54" },
  { .name = "amountToSeller", .type = PAC_NUMBER, .doc = "What the seller gets.", .source = "001; row 54" },
  { .name = "asyncCallbackUrl", .type = PAC_STRING, .format = PAC_CALLBACK_URL,
    .doc = "Called by the service when a PENDING order ends.", .source = "001; row 50; contract 3" },
  PAC_END
};
static const pac_object settlement = { .fields = settlement_fields };

static const pac_field order_fields[] = {
  { .name = "listing", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1,
    .by = PAC_SWITCH_COMPLETE_ORDER, .object = &order_listing, .doc = "What is sold.",
    .source = "001, D:complete-order; row 3" },
  { .name = "buyer", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1, .by = PAC_SWITCH_COMPLETE_ORDER,
    .object = &buyer, .doc = "Who buys.", .source = "001; rows 3, 4" },
  { .name = "settlement", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1,
    .by = PAC_SWITCH_COMPLETE_ORDER, .object = &settlement, .doc = "Who pays what; required for resale.",
    .source = "001; row 3" },
  PAC_END
};
static const pac_object order_body = { .fields = order_fields };

static const pac_field status_path[] = {
  { .name = "processId", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "As answered by complete-order.",
    .source = "001, D:complete-order-status" },
  PAC_END
};

/* --- the answer of both ---------------------------------------------------- */

static const char *const order_states[] = { "PENDING", "COMPLETE", "ERROR", NULL };

static const pac_field order_seat_fields[] = {
  { .name = "token", .type = PAC_STRING, .doc = "Token of the seat.", .source = "001" },
  { .name = "ownerId", .type = PAC_STRING, .doc = "Patron who owns it now.", .source = "001" },
  { .name = "accessId", .type = PAC_STRING, .doc = "The event, opaque.", .source = "001; row 53" },
  { .name = "section", .type = PAC_STRING, .doc = "LEVEL:SECTION.", .source = "001; row 24" },
  { .name = "row", .type = PAC_LABEL, .doc = "Row.", .source = "001; row 23" },
  { .name = "seat", .type = PAC_LABEL, .doc = "Seat.", .source = "001; row 23" },
  { .name = "sequence", .type = PAC_INTEGER, .doc = "Place within the offer, from 1.", .source = "001" },
  PAC_END
};
static const pac_object order_seat = { .fields = order_seat_fields, .open = 1 };

static const pac_field offer_event_fields[] = {
  { .name = "name", .type = PAC_STRING, .doc = "The event's name.", .source = "001" },
  { .name = "priceLevel", .type = PAC_LABEL, .doc = "Price level code.", .source = "001; row 25" },
  { .name = "seats", .type = PAC_OBJECTS, .object = &order_seat, .doc = "The seats that were sold.", .source = "001" },
  PAC_END
};
static const pac_object offer_event = { .fields = offer_event_fields, .open = 1 };

static const pac_field price_type_fields[] = {
  { .name = "name", .type = PAC_STRING, .doc = "Such as Adult.", .source = "001" },
  PAC_END
};
static const pac_object price_type = { .fields = price_type_fields, .open = 1 };

static const pac_field offer_fields[] = {
  { .name = "quantity", .type = PAC_INTEGER, .doc = "How many seats.", .source = "001; row 54" },
  { .name = "seasonCode", .type = PAC_STRING, .doc = "Season.", .source = "001; row 26" },
  { .name = "itemCode", .type = PAC_STRING, .doc = "Item.", .source = "001; row 26" },
  { .name = "basis", .type = PAC_STRING, .doc = "Such as SINGLE.", .source = "001" },
  { .name = "event", .type = PAC_OBJECT, .object = &offer_event, .doc = "The event and its seats.", .source = "001" },
  { .name = "priceType", .type = PAC_OBJECT, .object = &price_type, .doc = "Price type.", .source = "001" },
  PAC_END
};
static const pac_object offer = { .fields = offer_fields, .open = 1 };

static const pac_field transaction_fields[] = {
  { .name = "season", .type = PAC_STRING, .doc = "Season.", .source = "001; row 26" },
  { .name = "transaction", .type = PAC_STRING, .doc = "The back office's number of the sale.", .source = "001" },
  PAC_END
};
static const pac_object transaction = { .fields = transaction_fields, .open = 1 };

static const pac_field order_failure_fields[] = {
  { .name = "token", .type = PAC_STRING, .doc = "Token that was not sold.", .source = "I (as lock)" },
  { .name = "status", .type = PAC_STRING, .doc = "How the seat was left.", .source = "I (as lock); row 61" },
  { .name = "type", .type = PAC_STRING, .doc = "Why, as a word.", .source = "I (as lock)" },
  { .name = "appErrorCode", .type = PAC_STRING, .doc = "The service's code.", .source = "I (as lock); row 38" },
  { .name = "developerMessage", .type = PAC_STRING, .doc = "For developers.", .source = "I (as lock); row 43" },
  { .name = "ownerId", .type = PAC_STRING, .doc = "Patron who owns the seat.", .source = "I (as lock)" },
  PAC_END
};
static const pac_object order_failure = { .fields = order_failure_fields, .open = 1 };

static const pac_field order_answer_fields[] = {
  { .name = "status", .type = PAC_STRING, .values = order_states, .doc = "The state of the order.",
    .source = "001; row 49" },
  { .name = "processId", .type = PAC_STRING, .doc = "For orders.status.", .source = "001; row 8" },
  { .name = "paid", .type = PAC_NUMBER, .doc = "What was paid.", .source = "001; row 54" },
  { .name = "offers", .type = PAC_OBJECTS, .object = &offer, .doc = "What was sold, by event and price.",
    .source = "001" },
  { .name = "transactions", .type = PAC_OBJECTS, .object = &transaction, .doc = "The sale in the back office.",
    .source = "001" },
  { .name = "failure", .type = PAC_OBJECTS, .object = &order_failure, .doc = "Tokens that were not sold.",
    .source = "I; row 41" },
  PAC_ERROR_FIELD("I"),
  PAC_END
};
static const pac_object order_answer = { .fields = order_answer_fields, .open = 1 };

const pac_operation pac_cart_operations[] = {
  { .name = "orders.complete", .method = "POST", .path = "/v1/cart/complete-order",
    .lua = "link.orders:complete(payload)", .body = &order_body, .answer = &order_answer, .effect = PAC_ONCE,
    .state = "status", .state_told = 1,
    .answers = "200, 201, 207, 400, 401, 402, 403, 405, 406, 415, 422, 426, 429, 500, 505",
    .doc = "Commit a cart to a sale and record a financial transaction. Never repeated by itself.",
    .source = "001, D:complete-order; rows 35, 46" },
  { .name = "orders.status", .method = "GET", .path = "/v1/cart/complete-order/{processId}",
    .lua = "link.orders:status(process_id)", .payload = PAC_PAYLOAD_PATH, .path_fields = status_path,
    .answer = &order_answer, .effect = PAC_READ, .state = "status", .state_told = 1,
    .answers = "200, 401, 403, 404, 500",
    .doc = "Ask what became of a PENDING order.", .source = "001, D:complete-order-status" },
  PAC_END
};
