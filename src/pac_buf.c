/* pac_buf.c: the growing buffer and the JSON it writes. */
#include "pac_buf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pac_buf_init(pac_buf *buf) {
  memset(buf, 0, sizeof *buf);
}

void pac_buf_free(pac_buf *buf) {
  free(buf->data);
  pac_buf_init(buf);
}

int pac_buf_ok(const pac_buf *buf) {
  return !buf->failed;
}

/* Makes room for that many bytes more. */
static int reserve(pac_buf *buf, size_t more) {
  if (buf->failed || more > SIZE_MAX / 2 - buf->length) {
    buf->failed = 1;
    return 0;
  }
  size_t needed = buf->length + more;
  if (needed <= buf->capacity) {
    return 1;
  }
  size_t capacity = buf->capacity < 256 ? 256 : buf->capacity;
  while (capacity < needed) {
    capacity *= 2;
  }
  char *data = realloc(buf->data, capacity);
  if (data == NULL) {
    buf->failed = 1;
    return 0;
  }
  buf->data = data;
  buf->capacity = capacity;
  return 1;
}

void pac_buf_append(pac_buf *buf, const char *bytes, size_t length) {
  if (length > 0 && reserve(buf, length)) {
    memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
  }
}

void pac_buf_append_text(pac_buf *buf, const char *text) {
  pac_buf_append(buf, text, strlen(text));
}

static void append_escape(pac_buf *buf, unsigned char c) {
  static const char hex[] = "0123456789abcdef";
  switch (c) {
  case '"':
    pac_buf_append(buf, "\\\"", 2);
    break;
  case '\\':
    pac_buf_append(buf, "\\\\", 2);
    break;
  case '\n':
    pac_buf_append(buf, "\\n", 2);
    break;
  case '\r':
    pac_buf_append(buf, "\\r", 2);
    break;
  case '\t':
    pac_buf_append(buf, "\\t", 2);
    break;
  default: {
    const char code[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
    pac_buf_append(buf, code, sizeof code);
  }
  }
}

void pac_buf_append_json_string(pac_buf *buf, const char *bytes, size_t length) {
  size_t start = 0;
  pac_buf_append(buf, "\"", 1);
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)bytes[i];
    if (c < 0x20 || c == '"' || c == '\\') {
      pac_buf_append(buf, bytes + start, i - start);
      append_escape(buf, c);
      start = i + 1;
    }
  }
  pac_buf_append(buf, bytes + start, length - start);
  pac_buf_append(buf, "\"", 1);
}

/* A locale may have another decimal separator than the point, of one byte or
** more; JSON has only the point. */
static size_t use_point(char *text) {
  size_t out = 0;
  int in_separator = 0;
  for (size_t i = 0; text[i] != '\0'; i++) {
    if (strchr("0123456789+-eE", text[i]) != NULL) {
      text[out++] = text[i];
      in_separator = 0;
    } else if (!in_separator) {
      text[out++] = '.';
      in_separator = 1;
    }
  }
  text[out] = '\0';
  return out;
}

void pac_buf_append_json_number(pac_buf *buf, double value) {
  char text[40];
  if (value == floor(value) && fabs(value) <= 9007199254740992.0) {
    int length = snprintf(text, sizeof text, "%lld", (long long)value);
    pac_buf_append(buf, text, (size_t)length);
    return;
  }
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value) {
      break;
    }
  }
  pac_buf_append(buf, text, use_point(text));
}

size_t pac_utf8_sequence(const char *bytes, size_t left) {
  const unsigned char *s = (const unsigned char *)bytes;
  if (s[0] < 0x80) {
    return 1;
  }
  size_t length = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
  if (s[0] < 0xC2 || s[0] > 0xF4 || length > left) {
    return 0;
  }
  for (size_t i = 1; i < length; i++) {
    if ((s[i] & 0xC0) != 0x80) {
      return 0;
    }
  }
  if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
      (s[0] == 0xF4 && s[1] > 0x8F)) {
    return 0;
  }
  return length;
}

int pac_utf8_valid(const char *bytes, size_t length) {
  for (size_t i = 0; i < length;) {
    size_t step = pac_utf8_sequence(bytes + i, length - i);
    if (step == 0) {
      return 0;
    }
    i += step;
  }
  return 1;
}

/* Skips digits from *i on; 1 when there was at least one. */
static int skip_digits(const char *text, size_t length, size_t *i) {
  size_t start = *i;
  while (*i < length && text[*i] >= '0' && text[*i] <= '9') {
    ++*i;
  }
  return *i > start;
}

int pac_json_number_valid(const char *text, size_t length) {
  size_t i = 0;
  if (i < length && text[i] == '-') {
    i++;
  }
  size_t whole = i;
  if (!skip_digits(text, length, &i) || (text[whole] == '0' && i - whole > 1)) {
    return 0;
  }
  if (i < length && text[i] == '.') {
    i++;
    if (!skip_digits(text, length, &i)) {
      return 0;
    }
  }
  if (i < length && (text[i] == 'e' || text[i] == 'E')) {
    i++;
    if (i < length && (text[i] == '+' || text[i] == '-')) {
      i++;
    }
    if (!skip_digits(text, length, &i)) {
      return 0;
    }
  }
  return i == length;
}
