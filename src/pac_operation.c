/* pac_operation.c: gathers the rows of src/contract/ and finds things in them. */
#include "pac_operation.h"

#include <string.h>

#include "contract/contract.h"

const pac_switch_row pac_switches[PAC_SWITCH_COUNT] = {
  [PAC_SWITCH_COMPLETE_ORDER] = { "complete_order",
                                  { "array", "object" },
                                  "listing, buyer and settlement of complete-order (row 3)" },
  [PAC_SWITCH_SELLER_CONTACT] = { "seller_contact",
                                  { "object", "array" },
                                  "address, phoneNumber and emailAddress of a seller (row 2)" },
  [PAC_SWITCH_VERIFY] = { "verify", { "array", "object" }, "tickets of verify (row 5)" },
  [PAC_SWITCH_TRANSFER_V1] = { "transfer_v1",
                               { "capitalised", "lower" },
                               "Sender, Recipient, Seats and Items of a v1 transfer (row 1)" },
  [PAC_SWITCH_SOLD_FOR] = { "sold_for", { "number", "string" }, "soldFor of a v1 transfer (row 22)" },
  [PAC_SWITCH_CALLBACK_URL] = { "callback_url", { "any", "https" }, "asyncCallbackUrl (row 50)" },
  [PAC_SWITCH_ACCEPT_RECIPIENT] = { "accept_recipient",
                                    { "optional", "required" },
                                    "Recipient of an acceptance (row 20)" },
  [PAC_SWITCH_TRANSFER_ITEMS] = { "transfer_items", { "any", "one" }, "how many Items a transfer may hold (row 19)" },
};

/* The groups stand in the order of the names of their rows. */
static const pac_operation *const groups[] = { pac_auth_operations, pac_catalog_operations, pac_listings_operations,
                                               pac_cart_operations, pac_tickets_operations, pac_transfers_operations };

#define GROUP_COUNT (sizeof groups / sizeof groups[0])

const pac_operation *pac_operation_at(size_t index) {
  for (size_t g = 0; g < GROUP_COUNT; g++) {
    for (const pac_operation *op = groups[g]; op->name != NULL; op++) {
      if (index-- == 0) {
        return op;
      }
    }
  }
  return NULL;
}

static int same(const char *name, const char *text, size_t length) {
  return name != NULL && strlen(name) == length && memcmp(name, text, length) == 0;
}

const pac_operation *pac_operation_find(const char *name, size_t length) {
  for (size_t g = 0; g < GROUP_COUNT; g++) {
    for (const pac_operation *op = groups[g]; op->name != NULL; op++) {
      if (same(op->name, name, length)) {
        return op;
      }
    }
  }
  return NULL;
}

const pac_message *pac_message_find(const char *name, size_t length) {
  for (const pac_message *message = pac_messages; message->name != NULL; message++) {
    if (same(message->name, name, length)) {
      return message;
    }
  }
  return NULL;
}

const pac_field *pac_field_find(const pac_field *fields, const char *name, size_t length) {
  for (const pac_field *field = fields; field != NULL && field->name != NULL; field++) {
    if (same(field->name, name, length) || same(field->alias, name, length)) {
      return field;
    }
  }
  return NULL;
}

static char lower(char c) {
  return (c >= 'A' && c <= 'Z') ? (char)(c - 'A' + 'a') : c;
}

/* The longest name that is compared; longer ones are no typing mistakes. */
#define NAME_MAX_LENGTH 40

/* Edit distance (insert, delete, replace), letter case aside. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length) {
  size_t row[NAME_MAX_LENGTH + 1];
  for (size_t j = 0; j <= b_length; j++) {
    row[j] = j;
  }
  for (size_t i = 1; i <= a_length; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b_length; j++) {
      size_t cost = diagonal + (lower(a[i - 1]) != lower(b[j - 1]));
      diagonal = row[j];
      size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
      row[j] = cost < least ? cost : least;
    }
  }
  return row[b_length];
}

const char *pac_field_nearest(const pac_field *fields, const char *name, size_t length) {
  const char *nearest = NULL;
  size_t best = 0;
  if (length > NAME_MAX_LENGTH) {
    return NULL;
  }
  for (const pac_field *field = fields; field != NULL && field->name != NULL; field++) {
    size_t known = strlen(field->name);
    if (known > NAME_MAX_LENGTH) {
      continue;
    }
    size_t far = distance(name, length, field->name, known);
    size_t longer = known > length ? known : length;
    if (far * 3 <= longer && (nearest == NULL || far < best)) {
      nearest = field->name;
      best = far;
    }
  }
  return nearest;
}

pac_status pac_shapes_set(pac_shapes *shapes, const char *name, const char *choice, pac_err *err) {
  for (size_t s = 1; s < PAC_SWITCH_COUNT; s++) {
    const pac_switch_row *row = &pac_switches[s];
    if (strcmp(row->name, name) != 0) {
      continue;
    }
    for (unsigned char c = 0; row->choices[c] != NULL; c++) {
      if (strcmp(row->choices[c], choice) == 0) {
        shapes->choice[s] = c;
        return PAC_OK;
      }
    }
    return pac_fail(err, PAC_INVALID, "shapes.%s must be \"%s\" or \"%s\"", row->name, row->choices[0],
                    row->choices[1]);
  }
  return pac_fail(err, PAC_INVALID, "shapes has no switch of that name; paciolan.shapes() lists them");
}

const char *pac_type_name(pac_type type) {
  static const char *const names[] = {
    [PAC_STRING] = "string",           [PAC_NUMBER] = "number",           [PAC_DECIMAL] = "number or decimal string",
    [PAC_LABEL] = "string or integer", [PAC_INTEGER] = "integer",         [PAC_BOOLEAN] = "boolean",
    [PAC_OBJECT] = "object",           [PAC_OBJECTS] = "list of objects", [PAC_STRINGS] = "list of strings",
  };
  return names[type];
}
