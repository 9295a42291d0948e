/* pac_envelope.c: which members of a JSON object are the fields of an envelope. */
#include "pac_envelope.h"

#include <string.h>

enum { REQUIRED = 1, OTHER_CASE_REFUSED = 2 };

typedef struct field {
  const char *name;
  size_t length;
  size_t offset; /* of its pac_text */
  unsigned flags;
} field;

#define FIELD(name, member, flags)                                                                                     \
  { (name), sizeof(name) - 1, offsetof(pac_envelope, member), (flags) }

static const field fields[] = {
  FIELD("Type", type, REQUIRED),
  FIELD("MessageId", message_id, REQUIRED),
  FIELD("TopicArn", topic_arn, REQUIRED),
  FIELD("Message", message, REQUIRED),
  FIELD("Timestamp", timestamp, REQUIRED),
  FIELD("SignatureVersion", signature_version, REQUIRED),
  FIELD("Signature", signature, REQUIRED),
  FIELD("SigningCertURL", signing_cert_url, REQUIRED | OTHER_CASE_REFUSED),
  FIELD("UnsubscribeURL", unsubscribe_url, OTHER_CASE_REFUSED),
  FIELD("SubscribeURL", subscribe_url, OTHER_CASE_REFUSED),
  FIELD("Subject", subject, 0),
  FIELD("Token", token, 0),
  FIELD("MessageAttributes", attributes, 0),
};
#define FIELDS     (sizeof fields / sizeof fields[0])
#define ATTRIBUTES offsetof(pac_envelope, attributes)

typedef struct reading {
  pac_envelope *out;
  char *free; /* the rest of the arena; always as long as what is left of the body */
} reading;

static pac_text *text_of(pac_envelope *envelope, const field *known) {
  return (pac_text *)(void *)((char *)envelope + known->offset);
}

/* The value of a string: itself where it has no escapes, else a copy at `free`,
** which the caller advances to keep it. */
static pac_text value_of(const pac_json_string *string, char *free) {
  if (!string->has_escapes) {
    return string->raw;
  }
  return (pac_text){ free, pac_json_decode(string, free) };
}

static char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? (char)(letter | 0x20) : letter;
}

static int is_in_other_case(const pac_text *name, const field *known) {
  for (size_t i = 0; i < known->length; i++) {
    if (lower(name->data[i]) != lower(known->name[i])) {
      return 0;
    }
  }
  return 1;
}

/* The field of this name, or NULL; *other_case is the one that is meant when
** only the case of a letter is different, and that is refused. */
static const field *find(const pac_text *name, const field **other_case) {
  *other_case = NULL;
  for (size_t i = 0; i < FIELDS; i++) {
    const field *known = &fields[i];
    if (known->length != name->length) {
      continue;
    }
    if (memcmp(known->name, name->data, known->length) == 0) {
      return known;
    }
    if ((known->flags & OTHER_CASE_REFUSED) && is_in_other_case(name, known)) {
      *other_case = known;
    }
  }
  return NULL;
}

static const char *keep(reading *r, const field *known, const pac_json_member *member, pac_err *err) {
  int is_attributes = known->offset == ATTRIBUTES;
  if (member->kind != (is_attributes ? PAC_JSON_OBJECT : PAC_JSON_STRING)) {
    (void)pac_fail(err, PAC_INVALID, "%s must be %s", known->name, is_attributes ? "an object" : "a string");
    return is_attributes ? "not_object" : "not_string";
  }
  pac_text value = value_of(&member->value, r->free);
  if (member->value.has_escapes) {
    r->free += value.length;
  }
  *text_of(r->out, known) = value;
  return NULL;
}

static const char *visit(void *context, const pac_json_member *member, pac_err *err) {
  reading *r = context;
  const field *other_case;
  pac_text name = value_of(&member->name, r->free);
  const field *known = find(&name, &other_case);
  if (known != NULL) {
    return keep(r, known, member, err);
  }
  if (other_case != NULL) {
    (void)pac_fail(err, PAC_INVALID, "%s must be spelled so, in these letters", other_case->name);
    return "wrong_spelling";
  }
  return NULL;
}

/* 1 when the outermost value is an object. */
static int is_object(const char *body, size_t length) {
  size_t i = 0;
  while (i < length && (body[i] == ' ' || body[i] == '\n' || body[i] == '\r' || body[i] == '\t')) {
    i++;
  }
  return i < length && body[i] == '{';
}

const char *pac_envelope_read(const char *body, size_t length, char *arena, pac_envelope *out, pac_err *err) {
  reading r = { .out = out, .free = arena };
  memset(out, 0, sizeof *out);
  if (length > PAC_ENVELOPE_MAX_BYTES) {
    (void)pac_fail(err, PAC_TOO_LONG, "the body is larger than %zu MiB", PAC_ENVELOPE_MAX_BYTES >> 20);
    return "too_large";
  }
  const char *reason = pac_json_read(body, length, PAC_ENVELOPE_MAX_DEPTH, visit, &r, err);
  if (reason != NULL) {
    return reason;
  }
  if (!is_object(body, length)) {
    (void)pac_fail(err, PAC_INVALID, "the body must be an object");
    return "not_object";
  }
  for (size_t i = 0; i < FIELDS; i++) {
    if ((fields[i].flags & REQUIRED) && text_of(out, &fields[i])->data == NULL) {
      (void)pac_fail(err, PAC_INVALID, "%s is required", fields[i].name);
      return "missing_field";
    }
  }
  return NULL;
}
