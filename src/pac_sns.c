#include "pac_sns.h"

#include <string.h>

#include "pac_base64.h"
#include "pac_time.h"

#define SUBJECT_MAX_CHARS 100u
#define TOKEN_MAX_CHARS   1024u
#define URL_MAX_CHARS     2048u
/* Exactly YYYY-MM-DDThh:mm:ss.sssZ. */
#define TIMESTAMP_CHARS 24u
#define UUID_CHARS      36u

static const char *const type_names[] = { [PAC_SNS_NOTIFICATION] = "Notification",
                                          [PAC_SNS_SUBSCRIPTION_CONFIRMATION] = "SubscriptionConfirmation",
                                          [PAC_SNS_UNSUBSCRIBE_CONFIRMATION] = "UnsubscribeConfirmation" };
#define TYPE_COUNT (sizeof type_names / sizeof type_names[0])

const char *pac_sns_type_name(pac_sns_type type) {
  return type_names[type];
}

static int is(pac_text text, const char *word) {
  return text.length == strlen(word) && memcmp(text.data, word, text.length) == 0;
}

static int is_lower_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static int is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A UUID of any version, in lower case: SNS numbers its messages with version 5
** too. */
static int is_message_id(pac_text text) {
  if (text.length != UUID_CHARS) {
    return 0;
  }
  for (size_t i = 0; i < UUID_CHARS; i++) {
    int is_dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (is_dash ? text.data[i] != '-' : !is_lower_hex(text.data[i])) {
      return 0;
    }
  }
  return 1;
}

/* The form is checked here and the date by pac_time_parse, which knows more
** forms than this one. */
static int is_timestamp(pac_text text) {
  static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
  if (text.length != TIMESTAMP_CHARS) {
    return 0;
  }
  for (size_t i = 0; i < TIMESTAMP_CHARS; i++) {
    char c = text.data[i];
    if (form[i] == 'd' ? !(c >= '0' && c <= '9') : c != form[i]) {
      return 0;
    }
  }
  return 1;
}

/* Characters of UTF-8, which the reader of the envelope has checked. */
static size_t count_chars(pac_text text) {
  size_t chars = 0;
  for (size_t i = 0; i < text.length; i++) {
    chars += ((unsigned char)text.data[i] & 0xc0) != 0x80;
  }
  return chars;
}

static int has_control(pac_text text) {
  for (size_t i = 0; i < text.length; i++) {
    unsigned char c = (unsigned char)text.data[i];
    if (c < 0x20 || c == 0x7f) {
      return 1;
    }
  }
  return 0;
}

static int is_subject(pac_text text) {
  return text.length > 0 && count_chars(text) <= SUBJECT_MAX_CHARS && !has_control(text);
}

static int is_token(pac_text text) {
  if (text.length == 0 || text.length > TOKEN_MAX_CHARS) {
    return 0;
  }
  for (size_t i = 0; i < text.length; i++) {
    if (!is_letter_or_digit(text.data[i])) {
      return 0;
    }
  }
  return 1;
}

/* Never followed, so that printable is enough for the signed string to be read
** in one way. */
static int is_printable(pac_text text) {
  if (text.length == 0 || text.length > URL_MAX_CHARS) {
    return 0;
  }
  for (size_t i = 0; i < text.length; i++) {
    if (text.data[i] <= 0x20 || text.data[i] >= 0x7f) {
      return 0;
    }
  }
  return 1;
}

static const char *refuse(pac_err *err, const char *reason, const char *place, const char *rule) {
  (void)!pac_fail(err, PAC_INVALID, "%s %s", place, rule);
  return reason;
}

static const char *read_type(pac_sns_message *out, pac_err *err) {
  for (size_t i = 0; i < TYPE_COUNT; i++) {
    if (is(out->envelope.type, type_names[i])) {
      out->type = (pac_sns_type)i;
      return NULL;
    }
  }
  return refuse(err, "bad_type", "/Type", "must be one of the three types of SNS");
}

static const char *read_timestamp(pac_sns_message *out, pac_err *err) {
  pac_text text = out->envelope.timestamp;
  pac_instant instant;
  if (!is_timestamp(text) || pac_time_parse(text.data, text.length, &instant) != PAC_OK) {
    return refuse(err, "bad_timestamp", "/Timestamp", "must be a real time, as YYYY-MM-DDThh:mm:ss.sssZ");
  }
  out->timestamp_ms = instant.unix_ms;
  return NULL;
}

static const char *read_version(pac_sns_message *out, pac_err *err) {
  pac_text text = out->envelope.signature_version;
  if (!is(text, "1") && !is(text, "2")) {
    return refuse(err, "bad_signature_version", "/SignatureVersion", "must be 1 or 2, as a string");
  }
  out->version = text.data[0] - '0';
  return NULL;
}

/* What only one kind of message has. In the other kind the field is not signed,
** and is left alone. */
static const char *read_own_fields(pac_sns_message *out, pac_err *err) {
  const pac_envelope *e = &out->envelope;
  if (out->type == PAC_SNS_NOTIFICATION) {
    return e->subject.data == NULL || is_subject(e->subject)
               ? NULL
               : refuse(err, "bad_subject", "/Subject", "must be 1 to 100 characters without control characters");
  }
  if (e->token.data == NULL || e->subscribe_url.data == NULL) {
    return refuse(err, "missing_field", e->token.data == NULL ? "/Token" : "/SubscribeURL", "is required");
  } else if (!is_token(e->token)) {
    return refuse(err, "bad_token", "/Token", "must be letters and digits");
  } else if (!is_printable(e->subscribe_url)) {
    return refuse(err, "bad_subscribe_url", "/SubscribeURL", "must be printable ASCII without spaces");
  }
  return NULL;
}

static const char *read_signature(pac_sns_message *out, pac_err *err) {
  pac_text text = out->envelope.signature;
  if (text.length == 0 || PAC_BASE64_DECODED_MAX(text.length) > sizeof out->signature ||
      pac_base64_decode(text.data, text.length, out->signature, &out->signature_size) != PAC_OK) {
    return refuse(err, "bad_signature_form", "/Signature", "must be canonical base64 of at most 512 bytes");
  }
  return NULL;
}

static const char *read_names(pac_sns_message *out, pac_err *err) {
  const pac_envelope *e = &out->envelope;
  if (!is_message_id(e->message_id)) {
    return refuse(err, "bad_message_id", "/MessageId", "must be a UUID in lower case");
  } else if (pac_topic_read(e->topic_arn.data, e->topic_arn.length, &out->topic) != PAC_OK) {
    return refuse(err, "bad_topic", "/TopicArn", "must be the ARN of a topic");
  } else if (!pac_topic_has_certificate_url(&out->topic, e->signing_cert_url.data, e->signing_cert_url.length)) {
    return refuse(err, "bad_certificate_url", "/SigningCertURL",
                  "must name a certificate at the host of the topic's region");
  }
  return NULL;
}

const char *pac_sns_read(const char *body, size_t length, char *arena, pac_sns_message *out, pac_err *err) {
  static const char *(*const steps[])(pac_sns_message *, pac_err *) = { read_type,       read_names,   read_timestamp,
                                                                        read_own_fields, read_version, read_signature };
  const char *reason = pac_envelope_read(body, length, arena, &out->envelope, err);
  for (size_t i = 0; reason == NULL && i < sizeof steps / sizeof steps[0]; i++) {
    reason = steps[i](out, err);
  }
  return reason;
}

const char *pac_sns_judge_time(const pac_sns_message *message, int64_t now_ms, int64_t max_age_ms, int64_t skew_ms) {
  if (message->timestamp_ms < now_ms - max_age_ms - skew_ms) {
    return "stale";
  }
  return message->timestamp_ms > now_ms + skew_ms ? "early" : NULL;
}

static char *put(char *at, const char *bytes, size_t length) {
  memcpy(at, bytes, length);
  at[length] = '\n';
  return at + length + 1;
}

#define PUT_FIELD(at, name, text) put(put((at), (name), sizeof(name) - 1), (text).data, (text).length)

size_t pac_sns_write_string(const pac_sns_message *message, char *out) {
  const pac_envelope *e = &message->envelope;
  char *at = PUT_FIELD(out, "Message", e->message);
  at = PUT_FIELD(at, "MessageId", e->message_id);
  if (message->type != PAC_SNS_NOTIFICATION) {
    at = PUT_FIELD(at, "SubscribeURL", e->subscribe_url);
  } else if (e->subject.data != NULL) {
    at = PUT_FIELD(at, "Subject", e->subject);
  }
  at = PUT_FIELD(at, "Timestamp", e->timestamp);
  if (message->type != PAC_SNS_NOTIFICATION) {
    at = PUT_FIELD(at, "Token", e->token);
  }
  at = PUT_FIELD(at, "TopicArn", e->topic_arn);
  at = PUT_FIELD(at, "Type", e->type);
  return (size_t)(at - out);
}
