/* pac_http_answer.c: collecting one HTTP answer within its limits. Knows
** nothing of libcurl, so that it can be tested and fuzzed bare. */
#include "pac_http.h"

#include <string.h>

void pac_http_answer_reset(pac_http_answer *answer) {
  pac_buf_free(&answer->body);
  pac_buf_free(&answer->headers);
  memset(answer, 0, sizeof *answer);
}

pac_status pac_http_answer_take_body(pac_http_answer *answer, const char *data, size_t bytes, size_t max_bytes) {
  if (bytes > max_bytes || answer->body.length > max_bytes - bytes) {
    return PAC_TOO_LONG;
  }
  pac_buf_append(&answer->body, data, bytes);
  return pac_buf_ok(&answer->body) ? PAC_OK : PAC_NO_MEMORY;
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Without locale: header names are ASCII. */
static void lower_case(char *text, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (text[i] >= 'A' && text[i] <= 'Z') {
      text[i] = (char)(text[i] - 'A' + 'a');
    }
  }
}

/* Keeps "Name: value" as name NUL value NUL. Lines without a name, folded
** continuation lines among them (obsolete by RFC 9112, 5.2), are skipped. */
static pac_status keep_header(pac_http_answer *answer, const char *line, size_t length) {
  const char *colon = memchr(line, ':', length);
  if (colon == NULL || colon == line || is_blank(line[0])) {
    return PAC_OK;
  }
  size_t name_length = (size_t)(colon - line);
  const char *value = colon + 1;
  size_t value_length = length - name_length - 1;
  while (value_length > 0 && is_blank(*value)) {
    value++;
    value_length--;
  }
  size_t start = answer->headers.length;
  pac_buf_append(&answer->headers, line, name_length);
  pac_buf_append(&answer->headers, "", 1);
  pac_buf_append(&answer->headers, value, value_length);
  pac_buf_append(&answer->headers, "", 1);
  if (!pac_buf_ok(&answer->headers)) {
    answer->headers.length = start; /* never half a header */
    return PAC_NO_MEMORY;
  }
  lower_case(answer->headers.data + start, name_length);
  return PAC_OK;
}

/* A status line opens a block. After the end of a block another one is the
** answer that follows an interim one; once a body began it cannot be. */
static bool opens_block(const pac_http_answer *answer, const char *line, size_t length) {
  bool at_border = answer->received_lines == 1 || (answer->head_complete && answer->body.length == 0);
  return at_border && length >= 5 && memcmp(line, "HTTP/", 5) == 0;
}

pac_status pac_http_answer_take_line(pac_http_answer *answer, const char *line, size_t bytes) {
  answer->received_head_size += bytes;
  answer->received_lines += 1;
  if (answer->received_head_size > PAC_HTTP_MAX_HEADER_BYTES || answer->received_lines > PAC_HTTP_MAX_HEADER_LINES) {
    return PAC_TOO_LONG;
  }
  if (memchr(line, '\0', bytes) != NULL) {
    return PAC_INVALID;
  }
  while (bytes > 0 && is_blank(line[bytes - 1])) {
    bytes--;
  }
  if (opens_block(answer, line, bytes)) {
    answer->headers.length = 0;
    answer->head_complete = false;
    return PAC_OK;
  }
  if (answer->head_complete) {
    return PAC_OK;
  }
  if (bytes == 0) {
    answer->head_complete = true;
    return PAC_OK;
  }
  return keep_header(answer, line, bytes);
}

bool pac_http_answer_next(const pac_http_answer *answer, size_t *cursor, const char **name, const char **value) {
  if (*cursor >= answer->headers.length) {
    return false;
  }
  *name = answer->headers.data + *cursor;
  *value = *name + strlen(*name) + 1;
  *cursor += (size_t)(*value - *name) + strlen(*value) + 1;
  return true;
}
