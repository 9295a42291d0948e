/* transfers.c: initiate (v1, v2), pending, accept, cancel, history, and the
** one-call complete-transfer (contract 2.9 to 2.13). The tables of v1 and v2
** are written out side by side, because their documents differ in places. */
#include "contract.h"

static const char *const inform_provider = "inform_provider";

/* --- what several operations share ---------------------------------------- */

static const pac_field distributor_query[] = {
  { .name = "distributorCode", .type = PAC_STRING, .option = "distributor_code",
    .doc = "Distributor; with seat details.", .source = "001, 003, D:initiate-transfer, D:accept-transfer" },
  PAC_END
};

static const pac_field sender_fields[] = {
  { .name = "patronId", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "The patron who gives the seats away.",
    .source = "003, D:initiate-transfer" },
  PAC_END
};
static const pac_object sender = { .fields = sender_fields };

static const pac_field item_fields[] = {
  { .name = "externalOrderId", .type = PAC_STRING, .flags = PAC_REQUIRED,
    .doc = "The id that was used in complete-order.", .source = "003" },
  { .name = "tokens", .type = PAC_STRINGS, .flags = PAC_REQUIRED, .min_items = 1, .doc = "The seats to transfer.",
    .source = "003; at least 1: I" },
  PAC_END
};
static const pac_object item = { .fields = item_fields };

static const pac_rule entry_rules[] = {
  { .kind = PAC_ANY_OF, .field = "Seats", .other = "Items", .source = "001, 003; row 14" },
  { .kind = PAC_NEEDS_OPTION, .field = "Seats", .other = "distributor_code", .source = "003, D:initiate-transfer" },
  { .kind = PAC_NEEDS_OPTION, .field = "Seats", .other = "organization_id", .source = "003; row 17" },
  { .kind = PAC_AT_MOST_ONE_BY_SWITCH, .field = "Items", .by = PAC_SWITCH_TRANSFER_ITEMS, .source = "003; row 19" },
  { .kind = PAC_NO_RULE }
};

/* --- initiate v2: POST /v2/tickets/transfer ------------------------------- */

static const pac_field recipient_v2_fields[] = {
  { .name = "phone", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Telephone.",
    .source = "003; row 18" },
  { .name = "email", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "E-mail address.",
    .source = "003; rows 18, 27" },
  { .name = "recipientFirstName", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "First name.",
    .source = "003" },
  { .name = "recipientLastName", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "Last name.",
    .source = "003" },
  PAC_END
};
static const pac_object recipient_v2 = { .fields = recipient_v2_fields };

static const pac_field seat_info_v2_fields[] = {
  { .name = "level", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Seat level.", .source = "003" },
  { .name = "section", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Seat section.", .source = "003; row 24" },
  { .name = "row", .type = PAC_LABEL, .flags = PAC_REQUIRED, .doc = "Seat row.", .source = "003; row 23" },
  { .name = "seats", .type = PAC_LABEL, .flags = PAC_REQUIRED, .doc = "Seat number.", .source = "003; row 23" },
  { .name = "soldFor", .type = PAC_NUMBER, .flags = PAC_REQUIRED, .doc = "Price of the original sale.",
    .source = "003; row 22" },
  { .name = "marketplace", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Where it was sold.",
    .source = "003" },
  PAC_END
};
static const pac_object seat_info_v2 = { .fields = seat_info_v2_fields };

static const pac_field seat_v2_fields[] = {
  { .name = "season", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Season code.", .source = "003" },
  { .name = "event", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Event code.", .source = "003" },
  { .name = "priceLevel", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Price level code.",
    .source = "003; row 25" },
  { .name = "priceType", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Price type code.", .source = "003" },
  { .name = "seatInfo", .type = PAC_OBJECT, .flags = PAC_REQUIRED, .object = &seat_info_v2,
    .doc = "Where the seat is.", .source = "003" },
  PAC_END
};
static const pac_object seat_v2 = { .fields = seat_v2_fields };

static const pac_field entry_v2_fields[] = {
  { .name = "externalTransferId", .type = PAC_STRING, .doc = "The caller's own id of the transfer.",
    .source = "003" },
  { .name = "Sender", .alias = "sender", .type = PAC_OBJECT, .flags = PAC_REQUIRED,
    .object = &sender, .doc = "Who gives the seats away.", .source = "003; row 1" },
  { .name = "Recipient", .alias = "recipient", .type = PAC_OBJECT, .flags = PAC_REQUIRED,
    .object = &recipient_v2, .doc = "Who gets them.", .source = "003; row 1" },
  { .name = "Seats", .alias = "seats", .type = PAC_OBJECTS, .min_items = 1, .max_items = 30,
    .object = &seat_v2, .doc = "Seat details; or Items.", .source = "003; rows 1, 14" },
  { .name = "Items", .alias = "items", .type = PAC_OBJECTS, .min_items = 1,
    .object = &item, .doc = "Tokens of completed orders; or Seats.", .source = "003; rows 14, 19" },
  PAC_END
};
static const pac_object entry_v2 = { .fields = entry_v2_fields, .rules = entry_rules };

static const pac_field initiate_v2_fields[] = {
  { .name = "transferRequests", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1, .max_items = 1,
    .object = &entry_v2, .doc = "Exactly one transfer.", .source = "003" },
  { .name = "linkId", .type = PAC_STRING, .doc = "Link id.", .source = "003; row 57" },
  { .name = "siteId", .type = PAC_STRING, .doc = "Site id.", .source = "003; row 57" },
  { .name = "baseUrl", .type = PAC_STRING, .doc = "Base URL of the client's pages; not looked into.",
    .source = "003; row 57" },
  { .name = "asyncCallbackUrl", .type = PAC_STRING, .format = PAC_CALLBACK_URL,
    .doc = "Called by the service when a PENDING transfer ends.", .source = "003; row 50" },
  PAC_END
};
static const pac_object initiate_v2_body = { .fields = initiate_v2_fields };

/* --- initiate v1: POST /v1/tickets/transfer ------------------------------- */

static const pac_field recipient_v1_fields[] = {
  { .name = "phone", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Telephone.",
    .source = "D:initiate-transfer; row 18" },
  { .name = "email", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "E-mail address; or a telephone number.",
    .source = "D:initiate-transfer; row 18" },
  { .name = "recipientFirstName", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "First name.",
    .source = "I (as v2)" },
  { .name = "recipientLastName", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "Last name.",
    .source = "I (as v2)" },
  PAC_END
};
static const pac_rule recipient_v1_rules[] = {
  { .kind = PAC_ANY_OF, .field = "email", .other = "phone", .source = "D:initiate-transfer; row 18" },
  { .kind = PAC_NO_RULE }
};
static const pac_object recipient_v1 = { .fields = recipient_v1_fields, .rules = recipient_v1_rules };

static const pac_field seat_info_v1_fields[] = {
  { .name = "level", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Seat level.", .source = "001" },
  { .name = "section", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Seat section.", .source = "001; row 24" },
  { .name = "row", .type = PAC_LABEL, .flags = PAC_REQUIRED, .doc = "Seat row.", .source = "001; row 23" },
  { .name = "seats", .type = PAC_LABEL, .flags = PAC_REQUIRED, .doc = "Seat number.", .source = "001; row 23" },
  { .name = "soldFor", .type = PAC_DECIMAL, .flags = PAC_REQUIRED, .by = PAC_SWITCH_SOLD_FOR,
    .doc = "Price of the original sale.", .source = "001, 003; row 22" },
  { .name = "marketplace", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Where it was sold.",
    .source = "001" },
  PAC_END
};
static const pac_object seat_info_v1 = { .fields = seat_info_v1_fields };

static const pac_field seat_v1_fields[] = {
  { .name = "season", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Season code.", .source = "001" },
  { .name = "event", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Event code.", .source = "001" },
  { .name = "priceLevel", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Price level code.",
    .source = "001; row 25" },
  { .name = "priceType", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "Price type code.", .source = "001" },
  { .name = "seatInfo", .type = PAC_OBJECT, .flags = PAC_REQUIRED, .object = &seat_info_v1,
    .doc = "Where the seat is.", .source = "001" },
  PAC_END
};
static const pac_object seat_v1 = { .fields = seat_v1_fields };

static const pac_field entry_v1_fields[] = {
  { .name = "externalTransferId", .type = PAC_STRING, .doc = "The caller's own id of the transfer.",
    .source = "D:initiate-transfer" },
  { .name = "Sender", .alias = "sender", .type = PAC_OBJECT, .flags = PAC_REQUIRED, .by = PAC_SWITCH_TRANSFER_V1,
    .object = &sender, .doc = "Who gives the seats away.", .source = "D:initiate-transfer; row 1" },
  { .name = "Recipient", .alias = "recipient", .type = PAC_OBJECT, .flags = PAC_REQUIRED, .by = PAC_SWITCH_TRANSFER_V1,
    .object = &recipient_v1, .doc = "Who gets them.", .source = "D:initiate-transfer; row 1" },
  { .name = "Seats", .alias = "seats", .type = PAC_OBJECTS, .min_items = 1, .max_items = 30,
    .by = PAC_SWITCH_TRANSFER_V1, .object = &seat_v1, .doc = "Seat details; or Items.", .source = "001; rows 1, 14" },
  { .name = "Items", .alias = "items", .type = PAC_OBJECTS, .min_items = 1, .by = PAC_SWITCH_TRANSFER_V1,
    .object = &item, .doc = "Tokens of completed orders; or Seats.", .source = "001; rows 14, 19" },
  PAC_END
};
static const pac_object entry_v1 = { .fields = entry_v1_fields, .rules = entry_rules };

static const pac_field initiate_v1_fields[] = {
  { .name = "transferRequests", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1, .max_items = 1,
    .object = &entry_v1, .doc = "Exactly one transfer.", .source = "D:initiate-transfer" },
  { .name = "linkId", .type = PAC_STRING, .doc = "Link id.", .source = "001; row 57" },
  { .name = "siteId", .type = PAC_STRING, .doc = "Site id.", .source = "001; row 57" },
  { .name = "baseUrl", .type = PAC_STRING, .doc = "Base URL of the client's pages; not looked into.",
    .source = "001; row 57" },
  PAC_END
};
static const pac_object initiate_v1_body = { .fields = initiate_v1_fields };

static const pac_error_row initiate_v2_errors[] = {
  { "INVALID_PARAMETER_VALUE", "MS-422", 422, 0, inform_provider, "bad input; the sample has MS-400 (row 40)" },
  { "UNHANDLED_EXCEPTION", "MS-500", 500, 3, inform_provider, "backend error" },
  { "UNPROCESSABLE_ENTITY", "MS-422", 400, 0, inform_provider,
    "a required transfer entity is missing, more than one item, no seat, or more than 30 seats (row 39)" },
  { .type = NULL }
};

static const pac_field process_path[] = {
  { .name = "processId", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "As answered with PENDING.",
    .source = "003, D:complete-transfer-status" },
  PAC_END
};

/* --- accept: POST /v1/tickets/transfer/accept ------------------------------ */

static const pac_field accept_recipient_fields[] = {
  { .name = "phone", .type = PAC_STRING, .flags = PAC_NULLABLE | PAC_PERSONAL, .doc = "Telephone.",
    .source = "D:accept-transfer" },
  { .name = "email", .type = PAC_STRING, .flags = PAC_REQUIRED | PAC_PERSONAL, .doc = "E-mail address.",
    .source = "D:accept-transfer" },
  { .name = "recipientFirstName", .type = PAC_STRING, .flags = PAC_PERSONAL,
    .doc = "First name; required when the transfer was made with tokens.", .source = "D:accept-transfer" },
  { .name = "recipientLastName", .type = PAC_STRING, .flags = PAC_PERSONAL,
    .doc = "Last name; required when the transfer was made with tokens.", .source = "D:accept-transfer" },
  PAC_END
};
/* A transfer made with seat details is accepted with its distributorCode, so a
** call without that option accepts one made with tokens. */
static const pac_rule accept_recipient_rules[] = {
  { .kind = PAC_REQUIRED_WITHOUT_OPTION, .field = "recipientFirstName", .other = "distributor_code",
    .source = "D:accept-transfer" },
  { .kind = PAC_REQUIRED_WITHOUT_OPTION, .field = "recipientLastName", .other = "distributor_code",
    .source = "D:accept-transfer" },
  { .kind = PAC_NO_RULE }
};
static const pac_object accept_recipient = { .fields = accept_recipient_fields, .rules = accept_recipient_rules };

static const pac_field accept_fields[] = {
  { .name = "transferId", .type = PAC_STRING, .flags = PAC_REQUIRED, .doc = "As answered by initiate.",
    .source = "001, D:accept-transfer; row 55" },
  { .name = "Recipient", .alias = "recipient", .type = PAC_OBJECT, .object = &accept_recipient,
    .doc = "Who accepts.", .source = "001, D:accept-transfer; row 20" },
  PAC_END
};
static const pac_rule accept_rules[] = {
  { .kind = PAC_REQUIRED_BY_SWITCH, .field = "Recipient", .by = PAC_SWITCH_ACCEPT_RECIPIENT, .source = "row 20" },
  { .kind = PAC_NO_RULE }
};
static const pac_object accept_body = { .fields = accept_fields, .rules = accept_rules };

/* --- cancel and history: /v1/tickets/transfer/{confirmationCd} -------------- */

static const pac_field confirmation_path[] = {
  { .name = "confirmationCd", .type = PAC_STRING, .flags = PAC_REQUIRED,
    .doc = "The back office's transfer number, such as 3785222-AMTX:10237.", .source = "001; row 55" },
  PAC_END
};

/* --- complete-transfer: POST /v1/tickets/transfer/complete ------------------ */

static const pac_field complete_entry_fields[] = {
  { .name = "externalTransferId", .type = PAC_STRING, .doc = "The caller's own id of the transfer.",
    .source = "D:complete-transfer" },
  { .name = "Recipient", .alias = "recipient", .type = PAC_OBJECT, .flags = PAC_REQUIRED, .object = &recipient_v2,
    .doc = "Who gets the seats.", .source = "D:complete-transfer" },
  { .name = "Items", .alias = "items", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1, .object = &item,
    .doc = "Tokens of completed orders.", .source = "D:complete-transfer; rows 19, 21" },
  PAC_END
};
static const pac_rule complete_entry_rules[] = {
  { .kind = PAC_AT_MOST_ONE_BY_SWITCH, .field = "Items", .by = PAC_SWITCH_TRANSFER_ITEMS, .source = "row 19" },
  { .kind = PAC_NO_RULE }
};
static const pac_object complete_entry = { .fields = complete_entry_fields, .rules = complete_entry_rules };

static const pac_field complete_fields[] = {
  { .name = "transferRequests", .type = PAC_OBJECTS, .flags = PAC_REQUIRED, .min_items = 1, .max_items = 1,
    .object = &complete_entry, .doc = "Exactly one transfer.", .source = "D:complete-transfer" },
  PAC_END
};
static const pac_object complete_body = { .fields = complete_fields };

/* --- answers ----------------------------------------------------------------- */

static const char *const states[] = { "PENDING", "COMPLETE", "ERROR", NULL };

static const pac_field initiate_v1_answer_fields[] = {
  { .name = "patronId", .type = PAC_STRING, .doc = "The patron who gives the seats away.", .source = "001" },
  { .name = "confirmationCd", .type = PAC_STRING, .doc = "The back office's number; for cancel and history.",
    .source = "001, 003; row 55" },
  { .name = "transferId", .type = PAC_STRING, .doc = "Database key; for accept.", .source = "001, 003; row 55" },
  { .name = "transferStatus", .type = PAC_STRING, .doc = "pending, accepted or cancelled; compare without case.",
    .source = "001, 003; row 30" },
  { .name = "sentDt", .type = PAC_STRING, .doc = "MM/dd/yyyy HH:mm:ss, without a zone.", .source = "001, 003; row 28" },
  { .name = "expireDt", .type = PAC_STRING, .doc = "MM/dd/yyyy HH:mm:ss, without a zone.",
    .source = "001, 003; row 28" },
  PAC_ERROR_FIELD("I"),
  PAC_END
};
static const pac_object initiate_v1_answer = { .fields = initiate_v1_answer_fields, .open = 1 };

static const pac_field initiate_v2_answer_fields[] = {
  { .name = "transactionStatus", .type = PAC_STRING, .values = states, .doc = "The state of the request.",
    .source = "003; row 49" },
  { .name = "processId", .type = PAC_STRING, .doc = "For transfers.pending.", .source = "003; row 8" },
  { .name = "patronId", .type = PAC_STRING, .doc = "The patron who gives the seats away.", .source = "003" },
  { .name = "confirmationCd", .type = PAC_STRING, .doc = "The back office's number; for cancel and history.",
    .source = "003; row 55" },
  { .name = "transferId", .type = PAC_STRING, .doc = "Database key; for accept.", .source = "003; row 55" },
  { .name = "transferStatus", .type = PAC_STRING, .doc = "pending, accepted or cancelled; compare without case.",
    .source = "003; row 30" },
  { .name = "sentDt", .type = PAC_STRING, .doc = "MM/dd/yyyy HH:mm:ss, without a zone.", .source = "003; row 28" },
  { .name = "expireDt", .type = PAC_STRING, .doc = "MM/dd/yyyy HH:mm:ss, without a zone.", .source = "003; row 28" },
  { .name = "url", .type = PAC_STRING, .doc = "Page where the recipient accepts.", .source = "003; row 57" },
  PAC_ERROR_FIELD("003"),
  PAC_END
};
static const pac_object initiate_v2_answer = { .fields = initiate_v2_answer_fields, .open = 1 };

static const pac_field accept_answer_fields[] = {
  { .name = "confirmationCd", .type = PAC_STRING, .doc = "The back office's number of the transfer.",
    .source = "001, D:accept-transfer; row 55" },
  { .name = "transferId", .type = PAC_STRING, .doc = "Database key.", .source = "001, D:accept-transfer; row 55" },
  PAC_ERROR_FIELD("I (as lock)"),
  PAC_END
};
static const pac_object accept_answer = { .fields = accept_answer_fields, .open = 1 };

static const pac_field cancel_answer_fields[] = {
  { .name = "patronId", .type = PAC_STRING, .doc = "The patron who keeps the seats.",
    .source = "001, D:cancel-transfer" },
  { .name = "confirmationCd", .type = PAC_STRING, .doc = "The back office's number of the transfer.",
    .source = "001, D:cancel-transfer; row 55" },
  { .name = "cancelDt", .type = PAC_STRING, .doc = "MM/dd/yyyy HH:mm:ss, without a zone.",
    .source = "001, D:cancel-transfer; row 28" },
  { .name = "transferStatus", .type = PAC_STRING, .doc = "Cancelled; compare without case.",
    .source = "001, D:cancel-transfer; row 30" },
  PAC_ERROR_FIELD("D:cancel-transfer"),
  PAC_END
};
static const pac_object cancel_answer = { .fields = cancel_answer_fields, .open = 1 };

static const pac_field history_entry_fields[] = {
  { .name = "op", .type = PAC_STRING, .doc = "What was done, such as initiate.", .source = "001" },
  { .name = "ts", .type = PAC_STRING, .doc = "When, in one of two forms.", .source = "001, D:transfer-status; row 28" },
  { .name = "initiator", .type = PAC_STRING, .doc = "Who did it, such as transferrer.", .source = "001" },
  PAC_END
};
static const pac_object history_entry = { .fields = history_entry_fields, .open = 1 };

static const pac_field history_answer_fields[] = {
  { .name = "transferId", .type = PAC_STRING, .doc = "This is the confirmationCd.",
    .source = "001, D:transfer-status; row 55" },
  { .name = "recipientFirstName", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "First name.", .source = "001" },
  { .name = "recipientLastName", .type = PAC_STRING, .flags = PAC_PERSONAL, .doc = "Last name.", .source = "001" },
  { .name = "history", .type = PAC_OBJECTS, .object = &history_entry, .doc = "What happened, in order.",
    .source = "001" },
  { .name = "createTs", .type = PAC_STRING, .doc = "When it began, in one of two forms.",
    .source = "001, D:transfer-status; row 28" },
  PAC_ERROR_FIELD("D:transfer-status"),
  PAC_END
};
static const pac_object history_answer = { .fields = history_answer_fields, .open = 1 };

static const pac_field complete_answer_fields[] = {
  { .name = "status", .type = PAC_STRING, .values = states, .doc = "The state of the request.",
    .source = "D:complete-transfer-status; row 49" },
  { .name = "processId", .type = PAC_STRING, .doc = "For transfers.complete_status.",
    .source = "D:complete-transfer, D:complete-transfer-status; row 8" },
  PAC_ERROR_FIELD("I"),
  PAC_END
};
static const pac_object complete_answer = { .fields = complete_answer_fields, .open = 1 };

const pac_operation pac_transfers_operations[] = {
  { .name = "transfers.accept", .method = "POST", .path = "/v1/tickets/transfer/accept",
    .lua = "link.transfers:accept(payload)", .query = distributor_query, .body = &accept_body,
    .answer = &accept_answer, .effect = PAC_ONCE, .answers = "200, 400, 500",
    .doc = "Accept a transfer for its recipient.",
    .source = "001, D:accept-transfer" },
  { .name = "transfers.cancel", .method = "DELETE", .path = "/v1/tickets/transfer/{confirmationCd}",
    .lua = "link.transfers:cancel(\"3785222-AMTX:10237\")", .payload = PAC_PAYLOAD_PATH,
    .path_fields = confirmation_path, .answer = &cancel_answer, .effect = PAC_ONCE,
    .organization = PAC_ORGANIZATION_REQUIRED, .answers = "200, 400",
    .doc = "Take a transfer back that nobody has accepted yet.",
    .source = "001, D:cancel-transfer" },
  { .name = "transfers.complete", .method = "POST", .path = "/v1/tickets/transfer/complete",
    .lua = "link.transfers:complete(payload)", .body = &complete_body, .answer = &complete_answer,
    .effect = PAC_ONCE, .state = "status",
    .doc = "Initiate, accept and print in one call.", .source = "D:complete-transfer; /v1: I; row 48" },
  { .name = "transfers.complete_status", .method = "GET", .path = "/v1/tickets/transfer/complete/{processId}",
    .lua = "link.transfers:complete_status(process_id)", .payload = PAC_PAYLOAD_PATH, .path_fields = process_path,
    .answer = &complete_answer, .effect = PAC_READ, .state = "status", .state_told = 1,
    .doc = "Ask what became of a PENDING complete-transfer.",
    .source = "D:complete-transfer-status; /v1: I" },
  { .name = "transfers.history", .method = "GET", .path = "/v1/tickets/transfer/{confirmationCd}",
    .lua = "link.transfers:history(\"3785222-AMTX:10237\")", .payload = PAC_PAYLOAD_PATH,
    .path_fields = confirmation_path, .answer = &history_answer, .effect = PAC_READ,
    .organization = PAC_ORGANIZATION_OFFERED, .answers = "200, 400", .doc = "What happened to a transfer so far.",
    .source = "001, D:transfer-status; row 17" },
  { .name = "transfers.initiate", .method = "POST", .path = "/v2/tickets/transfer",
    .lua = "link.transfers:initiate(payload)", .query = distributor_query, .body = &initiate_v2_body,
    .answer = &initiate_v2_answer, .effect = PAC_ONCE, .organization = PAC_ORGANIZATION_OFFERED,
    .state = "transactionStatus", .state_told = 1, .errors = initiate_v2_errors,
    .answers = "400, 422, 500; success: any 2xx (row 36)",
    .doc = "Offer seats to a recipient, who accepts later.", .source = "003" },
  { .name = "transfers.initiate_v1", .method = "POST", .path = "/v1/tickets/transfer",
    .lua = "link.transfers:initiate(payload, { version = \"v1\" })", .query = distributor_query,
    .body = &initiate_v1_body, .answer = &initiate_v1_answer, .effect = PAC_ONCE,
    .organization = PAC_ORGANIZATION_OFFERED, .answers = "200, 400",
    .doc = "The older form of transfers.initiate; it answers at once.",
    .source = "001, D:initiate-transfer" },
  { .name = "transfers.pending", .method = "GET", .path = "/v2/tickets/transfer/pending/{processId}",
    .lua = "link.transfers:pending(process_id)", .payload = PAC_PAYLOAD_PATH, .path_fields = process_path,
    .answer = &initiate_v2_answer, .effect = PAC_READ, .state = "transactionStatus",
    .doc = "Ask what became of a PENDING transfer.",
    .source = "D:v2-initiate-transfer-pending" },
  PAC_END
};
