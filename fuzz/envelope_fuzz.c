/* The envelope reader. What it accepts is in the body or in the arena, is what
** the members of the JSON object hold one by one, and comes back the same when it
** is written anew and read again. */
#include "fuzz.h"

#include "pac_buf.h"
#include "pac_envelope.h"

static const struct {
  const char *name;
  size_t offset;
} fields[] = {
  { "Token", offsetof(pac_envelope, token) },
  { "Type", offsetof(pac_envelope, type) },
  { "MessageId", offsetof(pac_envelope, message_id) },
  { "TopicArn", offsetof(pac_envelope, topic_arn) },
  { "Subject", offsetof(pac_envelope, subject) },
  { "Message", offsetof(pac_envelope, message) },
  { "Timestamp", offsetof(pac_envelope, timestamp) },
  { "SignatureVersion", offsetof(pac_envelope, signature_version) },
  { "Signature", offsetof(pac_envelope, signature) },
  { "SigningCertURL", offsetof(pac_envelope, signing_cert_url) },
  { "SubscribeURL", offsetof(pac_envelope, subscribe_url) },
  { "UnsubscribeURL", offsetof(pac_envelope, unsubscribe_url) },
};

static const pac_text *field(const pac_envelope *envelope, size_t i) {
  return (const pac_text *)(const void *)((const char *)envelope + fields[i].offset);
}

static int is_same(pac_text a, pac_text b) {
  if (a.data == NULL || b.data == NULL) {
    return a.data == b.data;
  }
  return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

static int is_in(pac_text text, const char *start, size_t length) {
  return text.data >= start && text.data + text.length <= start + length;
}

static pac_text decode(const pac_json_string *string) {
  char *value = exact_memory(string->raw.length);
  return (pac_text){ value, pac_json_decode(string, value) };
}

/* The member decoded by itself, beside what the reader made of it. */
static const char *compare(void *context, const pac_json_member *member, pac_err *err) {
  const pac_envelope *envelope = context;
  pac_text name = decode(&member->name);
  pac_text value = decode(&member->value);
  (void)err;
  for (size_t i = 0; i < COUNT(fields); i++) {
    if (strlen(fields[i].name) == name.length && memcmp(fields[i].name, name.data, name.length) == 0) {
      DEMAND(member->kind == PAC_JSON_STRING && is_same(value, *field(envelope, i)));
      DEMAND(pac_utf8_valid(value.data, value.length));
    }
  }
  free((void *)name.data);
  free((void *)value.data);
  return NULL;
}

static void write_envelope(const pac_envelope *envelope, pac_buf *out) {
  for (size_t i = 0; i < COUNT(fields); i++) {
    const pac_text *text = field(envelope, i);
    if (text->data != NULL) {
      pac_buf_append_text(out, pac_buf_ok(out) && out->length > 0 ? "," : "{");
      pac_buf_append_json_string(out, fields[i].name, strlen(fields[i].name));
      pac_buf_append_text(out, ":");
      pac_buf_append_json_string(out, text->data, text->length);
    }
  }
  if (envelope->attributes.data != NULL) {
    pac_buf_append_text(out, ",\"MessageAttributes\":");
    pac_buf_append(out, envelope->attributes.data, envelope->attributes.length);
  }
  pac_buf_append_text(out, "}");
  DEMAND(pac_buf_ok(out));
}

static void demand_same(const pac_envelope *envelope) {
  pac_buf out;
  pac_envelope again;
  pac_buf_init(&out);
  write_envelope(envelope, &out);
  char *arena = exact_memory(out.length);
  DEMAND(pac_envelope_read(out.data, out.length, arena, &again, NULL) == NULL);
  for (size_t i = 0; i < COUNT(fields); i++) {
    DEMAND(is_same(*field(envelope, i), *field(&again, i)));
  }
  DEMAND(is_same(envelope->attributes, again.attributes));
  free(arena);
  pac_buf_free(&out);
}

static void demand_reason(const char *reason, const pac_err *err) {
  static const char *const reasons[] = { "bad_utf8",         "bad_json",       "too_deep",
                                         "too_many_members", "duplicate_key",  "not_object",
                                         "not_string",       "wrong_spelling", "missing_field" };
  int known = 0;
  for (size_t i = 0; i < COUNT(reasons); i++) {
    known |= strcmp(reason, reasons[i]) == 0;
  }
  DEMAND(known);
  DEMAND(err->message[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *body = (const char *)data;
  char *arena = exact_memory(size);
  pac_envelope envelope;
  pac_err err = { 0 };
  const char *reason = pac_envelope_read(body, size, arena, &envelope, &err);
  if (reason != NULL) {
    demand_reason(reason, &err);
  } else {
    for (size_t i = 0; i < COUNT(fields); i++) {
      const pac_text *text = field(&envelope, i);
      DEMAND(text->data == NULL || is_in(*text, body, size) || is_in(*text, arena, size));
    }
    DEMAND(pac_json_read(body, size, PAC_ENVELOPE_MAX_DEPTH, compare, &envelope, NULL) == NULL);
    demand_same(&envelope);
  }
  free(arena);
  return 0;
}
