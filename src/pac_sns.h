/* pac_sns.h: an SNS message before its signature is checked: the grammar of what
** is signed, the policy of the receiver, and the string to sign. No I/O, no
** allocation, no OpenSSL.
**
** The string to sign has neither escapes nor lengths. It can be read in one way
** only because every signed field but Message is free of line feeds and keeps to
** a grammar of its own: from the end, Type, TopicArn and Timestamp are forced,
** the name above the next value tells Subject from MessageId, and what remains is
** Message. So a publisher cannot cut the bytes that SNS signed for him into
** another message. pac_sns_read therefore comes before everything else. */
#ifndef PAC_SNS_H
#define PAC_SNS_H

#include "pac_envelope.h"
#include "pac_topic.h"

/* An RSA key of 4096 bits gives 512 bytes; base64 is read in threes. */
#define PAC_SNS_SIGNATURE_MAX 513u

typedef enum pac_sns_type {
  PAC_SNS_NOTIFICATION,
  PAC_SNS_SUBSCRIPTION_CONFIRMATION,
  PAC_SNS_UNSUBSCRIBE_CONFIRMATION
} pac_sns_type;

/* A message that keeps the grammar. Nothing of it may be believed yet. */
typedef struct pac_sns_message {
  pac_envelope envelope; /* views into what pac_envelope_read was given */
  pac_topic topic;
  pac_sns_type type;
  int version; /* of the signature: 1 for SHA-1, 2 for SHA-256 */
  int64_t timestamp_ms;
  size_t signature_size;
  unsigned char signature[PAC_SNS_SIGNATURE_MAX];
} pac_sns_message;

/* Reads a body: strict JSON, the grammar of every signed field, a topic whose
** region is known, the one allowed URL of the certificate, canonical base64.
** Args: body, length (bytes); arena, at least length bytes, that lives as long as
** *out is used; out, whose content means something on success only; err (may be
** NULL), filled with place and rule on failure.
** Returns: NULL, or a fixed reason: one of pac_envelope_read, or bad_type,
** bad_message_id, bad_topic, bad_timestamp, bad_subject, bad_token,
** bad_subscribe_url, bad_signature_version, bad_certificate_url,
** bad_signature_form. missing_field also for Token and SubscribeURL where the
** type has them.
** Source: AWS, "Verifying the signatures of Amazon SNS messages" and the three
** JSON formats; Subject of 1 to 100 characters without control characters, API
** reference of Publish. */
const char *pac_sns_read(const char *body, size_t length, char *arena, pac_sns_message *out,
                         pac_err *err) PAC_WARN_UNUSED;

/* Judges the time of a message.
** Args: now_ms, unix milliseconds; max_age_ms, how old it may be; skew_ms, how
** far the two clocks may be apart, either way.
** Returns: NULL, "stale" or "early". */
const char *pac_sns_judge_time(const pac_sns_message *message, int64_t now_ms, int64_t max_age_ms,
                               int64_t skew_ms) PAC_WARN_UNUSED;

/* How many bytes pac_sns_write_string writes at most for an envelope that was
** read from a body of so many bytes. */
#define PAC_SNS_STRING_SIZE(body_length) ((body_length) + 128u)

/* Writes the string to sign: each field's name and value in their order, a line
** feed behind each. No NUL.
** Args: out, with room for PAC_SNS_STRING_SIZE(length of the body).
** Returns: how many bytes were written. */
size_t pac_sns_write_string(const pac_sns_message *message, char *out);

/* What the body says of its type, in SNS's own word. */
const char *pac_sns_type_name(pac_sns_type type);

#endif
