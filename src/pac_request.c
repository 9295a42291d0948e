/* pac_request.c: the headers of a request. */
#include "pac_request.h"

#include <string.h>
#include <strings.h>

#define TEXT(literal)                                                                                                  \
  { literal, sizeof literal - 1 }

int pac_request_value_valid(const char *value, size_t length) {
  if (length == 0 || value[0] == ' ' || value[0] == '\t' || value[length - 1] == ' ' || value[length - 1] == '\t') {
    return 0;
  }
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)value[i];
    if ((c < 0x20 && c != '\t') || c >= 0x7F) {
      return 0;
    }
  }
  return 1;
}

static int is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* tchar of RFC 9110 section 5.6.2 */
static int is_token_char(char c) {
  return is_letter(c) || is_digit(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

int pac_request_name_valid(const char *name, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (!is_token_char(name[i])) {
      return 0;
    }
  }
  return length > 0;
}

int pac_request_name_reserved(const char *name, size_t length) {
  static const char *const reserved[] = { "Accept",
                                          "Accept-Encoding",
                                          "Authorization",
                                          "Connection",
                                          "Content-Encoding",
                                          "Content-Length",
                                          "Content-Type",
                                          "Expect",
                                          "Host",
                                          "Keep-Alive",
                                          "PAC-API-Key",
                                          "PAC-Application-ID",
                                          "PAC-Channel-Code",
                                          "PAC-Organization-ID",
                                          "Proxy-Connection",
                                          "Request-ID",
                                          "TE",
                                          "Trailer",
                                          "Transfer-Encoding",
                                          "Upgrade",
                                          "User-Agent" };
  for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
    if (strlen(reserved[i]) == length && strncasecmp(reserved[i], name, length) == 0) {
      return 1;
    }
  }
  return 0;
}

/* Skips a run of digits from *i on; 1 when there was at least one. */
static int skip_number(const char *text, size_t length, size_t *i) {
  size_t start = *i;
  while (*i < length && is_digit(text[*i])) {
    ++*i;
  }
  return *i > start;
}

int pac_request_user_agent_valid(const char *text, size_t length) {
  size_t i = 0;
  int numbers = 0;
  if (!pac_request_value_valid(text, length)) {
    return 0;
  }
  while (i < length && is_token_char(text[i])) {
    i++;
  }
  if (i == 0 || i >= length || text[i++] != '/') {
    return 0;
  }
  do {
    if (!skip_number(text, length, &i)) {
      return 0;
    }
    numbers++;
  } while (i < length && text[i] == '.' && ++i > 0);
  if (numbers < 2 || numbers > 3) {
    return 0;
  }
  if (i < length && (text[i] == '-' || text[i] == '+')) {
    while (i < length && is_token_char(text[i])) {
      i++;
    }
  }
  return i == length || text[i] == ' ';
}

typedef struct builder {
  pac_header *headers;
  size_t count;
  pac_status status;
  pac_err *err;
} builder;

static void put(builder *out, const char *name, pac_text value) {
  if (out->status != PAC_OK) {
    return;
  }
  if (value.data == NULL) {
    out->status = pac_fail(out->err, PAC_INVALID, "the header %s is required and not configured", name);
  } else if (!pac_request_value_valid(value.data, value.length)) {
    out->status = pac_fail(out->err, PAC_INVALID, "the value for the header %s is empty or not printable ASCII", name);
  } else {
    out->headers[out->count++] = (pac_header){ name, value };
  }
}

pac_status pac_request_headers(const pac_operation *op, const pac_identity *identity, pac_header *headers,
                               size_t *count, pac_err *err) {
  static const pac_text json = TEXT("application/json");
  builder out = { .headers = headers, .err = err };
  put(&out, "User-Agent", identity->user_agent);
  put(&out, "Accept", json);
  put(&out, "Content-Type", json);
  put(&out, "Request-ID", identity->request_id);
  if (!op->anonymous) {
    put(&out, "Authorization", identity->authorization);
  }
  put(&out, "PAC-Application-ID", identity->application_id);
  if (!op->anonymous) {
    put(&out, "PAC-API-Key", identity->api_key);
    put(&out, "PAC-Channel-Code", identity->channel_code);
  }
  if (op->organization == PAC_ORGANIZATION_REQUIRED ||
      (op->organization == PAC_ORGANIZATION_OFFERED && identity->organization_id.data != NULL)) {
    put(&out, "PAC-Organization-ID", identity->organization_id);
  }
  *count = out.count;
  return out.status;
}
