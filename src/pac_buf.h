/* pac_buf.h: a growing byte buffer that knows how to write JSON.
**
** A failed allocation is remembered: the calls after it do nothing, and
** pac_buf_ok tells once at the end. Whoever inits a buffer frees it. */
#ifndef PAC_BUF_H
#define PAC_BUF_H

#include "pac.h"

typedef struct pac_buf {
  char *data; /* length bytes, not NUL-terminated; NULL while empty */
  size_t length;
  size_t capacity;
  int failed;
} pac_buf;

/* An empty buffer; acquires nothing. */
void pac_buf_init(pac_buf *buf);

/* Releases the memory and leaves an empty buffer. Idempotent. */
void pac_buf_free(pac_buf *buf);

/* 1 when every append so far succeeded, else 0. */
int pac_buf_ok(const pac_buf *buf) PAC_WARN_UNUSED;

void pac_buf_append(pac_buf *buf, const char *bytes, size_t length);
void pac_buf_append_text(pac_buf *buf, const char *text);

/* A JSON string with its quotes. The bytes must be UTF-8 (pac_utf8_valid);
** quotes, backslashes and control characters are escaped, nothing else is. */
void pac_buf_append_json_string(pac_buf *buf, const char *bytes, size_t length);

/* A JSON number: whole numbers within 2^53 without a fraction, others with the
** fewest digits that read back the same. The value must be finite. The result
** does not depend on the locale of the process. */
void pac_buf_append_json_number(pac_buf *buf, double value);

/* 1 when the bytes are well-formed UTF-8: no overlong forms, no surrogates,
** nothing above U+10FFFF (RFC 3629). */
int pac_utf8_valid(const char *bytes, size_t length);

/* The length of the well-formed sequence that the bytes begin with, 1 to 4, or
** 0 when there is none. left: how many bytes there are, at least one. */
size_t pac_utf8_sequence(const char *bytes, size_t left);

/* 1 when the text is a JSON number (RFC 8259 section 6), else 0. */
int pac_json_number_valid(const char *text, size_t length);

#endif
