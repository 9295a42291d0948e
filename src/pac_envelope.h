/* pac_envelope.h: the envelope in which Amazon SNS posts a message, read
** strictly. It says what stands in the envelope, and nothing about whether that
** can be believed. */
#ifndef PAC_ENVELOPE_H
#define PAC_ENVELOPE_H

#include "pac_json.h"

/* SNS delivers 256 KiB of text at most; escapes multiply that, so that a lower
** limit could refuse a message that is in order (sns.md 2). */
#define PAC_ENVELOPE_MAX_BYTES ((size_t)2 * 1024 * 1024)

/* Levels of nesting. A genuine envelope has three. */
#define PAC_ENVELOPE_MAX_DEPTH 8

/* The fields of an envelope, decoded to UTF-8; they may hold NUL. What was not
** there has data NULL, an empty text has not. Views into body and arena, valid
** as long as both are. */
typedef struct pac_envelope {
  pac_text type;
  pac_text message_id;
  pac_text topic_arn;
  pac_text subject;
  pac_text message;
  pac_text timestamp;
  pac_text signature_version;
  pac_text signature;
  pac_text signing_cert_url;
  pac_text subscribe_url;
  pac_text unsubscribe_url;
  pac_text token;
  pac_text attributes; /* MessageAttributes, the JSON text of an object as it came */
} pac_envelope;

/* Reads an envelope.
** Args: arena, at least length bytes, for the strings that have escapes; out,
** meaningful on success only; err, may be NULL.
** Returns: NULL when it is well-formed, else a fixed reason (a static string):
** too_large, bad_utf8, bad_json, too_deep, too_many_members, duplicate_key (at
** any level, of any name); not_object for anything but an object, also in the
** place of MessageAttributes; not_string for a known field of another type;
** wrong_spelling for one of the three URL fields in other letter case, such as
** the SigningCertUrl that Lambda is given; missing_field when one of Type,
** MessageId, TopicArn, Message, Timestamp, SignatureVersion, Signature and
** SigningCertURL is absent. err then names the place and the rule.
** Fields of other names are allowed and ignored.
** Owns: nothing, and allocates nothing.
** Source: sns.md 5 (duties 3, 5 and 6). */
const char *pac_envelope_read(const char *body, size_t length, char *arena, pac_envelope *out,
                              pac_err *err) PAC_WARN_UNUSED;

#endif
