/* pac_redact_names.c: which field names are private. */
#include "pac_redact_parts.h"

#include <string.h>

#include "pac_operation.h"

typedef struct known_name {
  const char *name; /* small letters, without '_' and '-' */
  pac_redact_class class;
} known_name;

/* The names that the contract's tables do not mark, or mark for another use. */
static const known_name known[] = {
  { "address", PAC_REDACT_LEAVES },
  { "apikey", PAC_REDACT_CLOSED },
  { "asynccallbackurl", PAC_REDACT_CLOSED }, /* its path is the secret that guards the receiver */
  { "authorization", PAC_REDACT_CLOSED },
  { "barcode", PAC_REDACT_CLOSED },
  { "barcodes", PAC_REDACT_LEAVES },
  { "birthdate", PAC_REDACT_CLOSED },
  { "cardnumber", PAC_REDACT_CLOSED },
  { "city", PAC_REDACT_CLOSED },
  { "code", PAC_REDACT_CODE },
  { "cookie", PAC_REDACT_CLOSED },
  { "credential", PAC_REDACT_CLOSED },
  { "credentials", PAC_REDACT_LEAVES },
  { "cvv", PAC_REDACT_CLOSED },
  { "dateofbirth", PAC_REDACT_CLOSED },
  { "emailaddress", PAC_REDACT_LEAVES },
  { "fullname", PAC_REDACT_CLOSED },
  { "jwt", PAC_REDACT_CLOSED },
  { "mobile", PAC_REDACT_CLOSED },
  { "pacapikey", PAC_REDACT_CLOSED },
  { "passphrase", PAC_REDACT_CLOSED },
  { "passwd", PAC_REDACT_CLOSED },
  { "phonenumber", PAC_REDACT_LEAVES },
  { "postcode", PAC_REDACT_CLOSED },
  { "pwd", PAC_REDACT_CLOSED },
  { "setcookie", PAC_REDACT_CLOSED },
  { "sessionid", PAC_REDACT_CLOSED },
  { "ssn", PAC_REDACT_CLOSED },
  { "street", PAC_REDACT_CLOSED },
  { "surname", PAC_REDACT_CLOSED },
  { "telephone", PAC_REDACT_CLOSED },
  { "token", PAC_REDACT_CLOSED },
  { "tokens", PAC_REDACT_LEAVES },
  { "zip", PAC_REDACT_CLOSED },
  { "zipcode", PAC_REDACT_CLOSED },
};
#define KNOWN_COUNT (sizeof known / sizeof known[0])

/* Compounds such as client_secret, X-Auth-Token and Proxy-Authorization. */
static const char *const endings[] = { "apikey",     "authcode", "authorization", "cookie",           "password",
                                       "privatekey", "secret",   "token",         "authorizationcode" };

/* A name in small letters without '_' and '-'. Its length, 0 when it is none. */
static size_t normalise(const char *name, size_t length, char out[PAC_REDACT_MAX_NAME + 1]) {
  size_t used = 0;
  if (length > PAC_REDACT_MAX_NAME) {
    return 0;
  }
  for (size_t i = 0; i < length; i++) {
    char c = name[i];
    if (c != '_' && c != '-') {
      out[used++] = pac_redact_is_upper(c) ? (char)(c - 'A' + 'a') : c;
    }
  }
  out[used] = '\0';
  return used;
}

/* FNV-1a. */
static size_t slot_of(const char *name, size_t length) {
  uint32_t hash = 2166136261U;
  for (size_t i = 0; i < length; i++) {
    hash = (hash ^ (unsigned char)name[i]) * 16777619U;
  }
  return hash % PAC_REDACT_SLOTS;
}

/* The slots keep the table's own spelling; it is normalised when compared. */
static int holds(const char *kept, const char *name, size_t length) {
  char text[PAC_REDACT_MAX_NAME + 1];
  return normalise(kept, strlen(kept), text) == length && memcmp(text, name, length) == 0;
}

static void add(pac_redact_names *names, const char *name) {
  char text[PAC_REDACT_MAX_NAME + 1];
  size_t length = normalise(name, strlen(name), text);
  size_t slot = slot_of(text, length);
  if (length == 0 || names->count >= PAC_REDACT_SLOTS - 1) {
    return;
  }
  while (names->slots[slot] != NULL) {
    if (holds(names->slots[slot], text, length)) {
      return;
    }
    slot = (slot + 1) % PAC_REDACT_SLOTS;
  }
  names->slots[slot] = name;
  names->count++;
}

static void add_fields(pac_redact_names *names, const pac_field *fields) {
  for (const pac_field *field = fields; field != NULL && field->name != NULL; field++) {
    if ((field->flags & (PAC_SECRET | PAC_PERSONAL)) != 0) {
      add(names, field->name);
      if (field->alias != NULL) {
        add(names, field->alias);
      }
    }
    if (field->object != NULL) {
      add_fields(names, field->object->fields); /* as deep as the tables are nested */
    }
  }
}

void pac_redact_names_init(pac_redact_names *names) {
  memset(names, 0, sizeof *names);
  const pac_operation *op;
  for (size_t i = 0; (op = pac_operation_at(i)) != NULL; i++) {
    add_fields(names, op->path_fields);
    add_fields(names, op->query);
    add_fields(names, op->body != NULL ? op->body->fields : NULL);
    add_fields(names, op->answer != NULL ? op->answer->fields : NULL);
  }
  for (const pac_message *message = pac_messages; message->name != NULL; message++) {
    add_fields(names, message->item->fields);
  }
}

static int ends_with(const char *name, size_t length, const char *ending) {
  size_t size = strlen(ending);
  return length >= size && memcmp(name + length - size, ending, size) == 0;
}

pac_redact_class pac_redact_name(const pac_redact_names *names, const char *name, size_t length) {
  char text[PAC_REDACT_MAX_NAME + 1];
  size_t size = normalise(name, length, text);
  if (size == 0) {
    return PAC_REDACT_OPEN;
  }
  for (size_t i = 0; i < KNOWN_COUNT; i++) {
    if (strcmp(known[i].name, text) == 0) {
      return known[i].class;
    }
  }
  for (size_t slot = slot_of(text, size); names->slots[slot] != NULL; slot = (slot + 1) % PAC_REDACT_SLOTS) {
    if (holds(names->slots[slot], text, size)) {
      return PAC_REDACT_CLOSED;
    }
  }
  for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
    if (ends_with(text, size, endings[i])) {
      return PAC_REDACT_CLOSED;
    }
  }
  return PAC_REDACT_OPEN;
}

/* MS-422, UNPROCESSABLE_ENTITY, 28: capitals with at most one number at the
** end, or a short number. */
int pac_redact_code_open(const char *value, size_t length) {
  size_t i = 0;
  while (i < length && (pac_redact_is_upper(value[i]) || value[i] == '_')) {
    i++;
  }
  size_t letters = i;
  if (letters > 0 && i < length && value[i] == '-') {
    i++;
  }
  size_t digits = 0;
  while (i < length && pac_redact_is_digit(value[i]) && digits < 5) {
    i++;
    digits++;
  }
  return length > 0 && length <= 40 && i == length && (letters == 0 || digits <= 4);
}
