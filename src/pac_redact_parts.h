/* pac_redact_parts.h: what the files of pac_redact show each other. */
#ifndef PAC_REDACT_PARTS_H
#define PAC_REDACT_PARTS_H

#include "pac_redact.h"

static inline int pac_redact_is_digit(char c) {
  return c >= '0' && c <= '9';
}

static inline int pac_redact_is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}

static inline int pac_redact_is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

static inline int pac_redact_is_letter(char c) {
  return pac_redact_is_upper(c) || pac_redact_is_lower(c);
}

static inline int pac_redact_is_alnum(char c) {
  return pac_redact_is_letter(c) || pac_redact_is_digit(c);
}

/* A letter, digit, '_' or '-': what names are made of. */
static inline int pac_redact_is_name(char c) {
  return pac_redact_is_alnum(c) || c == '_' || c == '-';
}

/* The length of a telephone or card number written in groups at the start of
** the text, 0 for none. */
size_t pac_redact_grouped_number(const char *text, size_t length);

/* The length of the run of letters, digits and joining signs at the start of
** the text, at least 1 when it begins with a letter or digit. *is_key tells
** whether it looks like a key, a token or a long number. */
size_t pac_redact_run(const char *text, size_t length, int *is_key);

/* The length of a run of base64 with slashes at the start of the text. *is_key
** tells whether it is one: paths have words between their slashes. */
size_t pac_redact_base64(const char *text, size_t length, int *is_key);

#endif
