/* pac_uri.c: one reader for every URL; what it allows is a set of flags. A
** check answers a complaint, a static text that completes "<place> ...", or
** NULL when all is well. */
#include "pac_uri.h"

#include <arpa/inet.h>
#include <string.h>

#define LABEL_MAX   63 /* RFC 1035 section 2.3.4 */
#define PORT_MAX    65535
#define PORT_DIGITS 5

enum { ALLOW_USER_INFORMATION = 1, ALLOW_QUERY = 2, ALLOW_ANY_PATH = 4 };

typedef struct view {
  const char *at;
  size_t length;
} view;

/* ---- characters ---- */

static int is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

static char lower(char byte) {
  return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

static int is_alnum(char byte) {
  return is_digit(byte) || (lower(byte) >= 'a' && lower(byte) <= 'z');
}

static int is_hex(char byte) {
  return is_digit(byte) || (lower(byte) >= 'a' && lower(byte) <= 'f');
}

static int is_control(char byte) {
  return (unsigned char)byte < 0x20 || byte == 0x7f;
}

/* strchr would also find the NUL that ends its list. */
static int is_one_of(char byte, const char *list) {
  return byte != '\0' && strchr(list, byte) != NULL;
}

/* RFC 3986 section 2.3 */
static int is_unreserved(char byte) {
  return is_alnum(byte) || is_one_of(byte, "-._~");
}

/* RFC 3986 section 3.3, without the percent escapes */
static int is_pchar(char byte) {
  return is_unreserved(byte) || is_one_of(byte, "!$&'()*+,;=:@");
}

/* ---- views ---- */

static view front(view text, size_t count) {
  view part = { text.at, count };
  return part;
}

static view skip(view text, size_t count) {
  view rest = { text.at + count, text.length - count };
  return rest;
}

/* How many bytes stand before the first one of the list. */
static size_t until(view text, const char *list) {
  size_t i = 0;
  while (i < text.length && !is_one_of(text.at[i], list)) {
    i++;
  }
  return i;
}

static int has(view text, const char *list) {
  return until(text, list) < text.length;
}

/* Compares without regard to letter case; word is in lower case. */
static int begins_with(view text, const char *word) {
  size_t count = strlen(word);
  if (text.length < count) {
    return 0;
  }
  for (size_t i = 0; i < count; i++) {
    if (lower(text.at[i]) != word[i]) {
      return 0;
    }
  }
  return 1;
}

static int equals(view text, const char *word) {
  return text.length == strlen(word) && begins_with(text, word);
}

/* ---- the host ---- */

/* One decimal octet as it is usually written: no leading zero, at most 255. */
static int is_octet(view text) {
  int value = 0;
  if (text.length < 1 || text.length > 3 || (text.length > 1 && text.at[0] == '0')) {
    return 0;
  }
  for (size_t i = 0; i < text.length; i++) {
    if (!is_digit(text.at[i])) {
      return 0;
    }
    value = value * 10 + (text.at[i] - '0');
  }
  return value <= 255;
}

static int is_ipv4(view host) {
  for (int left = 3;; left--) {
    size_t count = until(host, ".");
    if (!is_octet(front(host, count))) {
      return 0;
    }
    if (count == host.length || left == 0) {
      return count == host.length && left == 0;
    }
    host = skip(host, count + 1);
  }
}

/* Returns 1 and the address for what stands between the brackets. */
static int read_ipv6(view host, struct in6_addr *out) {
  char text[INET6_ADDRSTRLEN];
  if (host.length == 0 || host.length >= sizeof text || memchr(host.at, '\0', host.length)) {
    return 0;
  }
  memcpy(text, host.at, host.length);
  text[host.length] = '\0';
  return inet_pton(AF_INET6, text, out) == 1;
}

/* What inet_aton would take for a number, in decimal, octal or hexadecimal. */
static int is_number(view label) {
  view digits = begins_with(label, "0x") ? skip(label, 2) : label;
  for (size_t i = 0; i < digits.length; i++) {
    if (digits.at == label.at ? !is_digit(digits.at[i]) : !is_hex(digits.at[i])) {
      return 0;
    }
  }
  return 1;
}

static const char *check_label(view label) {
  if (label.length == 0 || label.length > LABEL_MAX) {
    return "must have a host whose parts are 1 to 63 characters";
  }
  for (size_t i = 0; i < label.length; i++) {
    if (!is_alnum(label.at[i]) && !is_one_of(label.at[i], "-_")) {
      return "must have a host of letters, digits, '-', '_' and '.'";
    }
  }
  return NULL;
}

static const char *check_name(view host) {
  if (host.length == 0) {
    return "must have a host";
  }
  if (host.length > PAC_URI_HOST_MAX) {
    return "must have a host of at most 253 characters";
  }
  for (view rest = host;;) {
    size_t count = until(rest, ".");
    view label = front(rest, count);
    const char *complaint = check_label(label);
    if (complaint) {
      return complaint;
    }
    if (count == rest.length) {
      return is_number(label) && !is_ipv4(host) ? "must write an IPv4 host as four decimal octets" : NULL;
    }
    rest = skip(rest, count + 1);
  }
}

static const char *read_port(view text, pac_uri *out) {
  unsigned value = 0;
  int is_good = text.length >= 1 && text.length <= PORT_DIGITS && text.at[0] != '0';
  for (size_t i = 0; is_good && i < text.length; i++) {
    is_good = is_digit(text.at[i]);
    value = value * 10 + (unsigned)(text.at[i] - '0');
  }
  if (!is_good || value > PORT_MAX) {
    return "must have a port from 1 to 65535, or none";
  }
  out->port = (uint16_t)value;
  return NULL;
}

/* host, host:port, [address] or [address]:port */
static const char *read_host(view text, pac_uri *out) {
  size_t used = 0;
  view host = front(text, until(text, ":"));
  if (text.length > 0 && text.at[0] == '[') {
    struct in6_addr address;
    host = skip(text, 1);
    host = front(host, until(host, "]"));
    used = host.length + 2;
    if (used > text.length || !read_ipv6(host, &address)) {
      return "must have an IPv6 address between the brackets";
    }
    out->host_is_ipv6 = 1;
  } else {
    const char *complaint = check_name(host);
    if (complaint) {
      return complaint;
    }
    used = host.length;
  }
  out->host = host.at;
  out->host_length = host.length;
  view rest = skip(text, used);
  if (rest.length == 0) {
    return NULL;
  }
  return rest.at[0] == ':' ? read_port(skip(rest, 1), out) : "must have nothing but a port after the host";
}

/* ---- the other parts ---- */

static const char *check_bytes(view text) {
  for (size_t i = 0; i < text.length; i++) {
    char byte = text.at[i];
    if (is_control(byte)) {
      return "must not hold control characters";
    }
    if (byte == ' ') {
      return "must not hold spaces";
    }
    if ((unsigned char)byte > 0x7f) {
      return "must be ASCII";
    }
    if (byte == '\\') {
      return "must not hold backslashes";
    }
    if (byte == '#') {
      return "must not have a fragment";
    }
  }
  return NULL;
}

static const char *read_scheme(view *text, pac_uri *out) {
  if (begins_with(*text, "https://")) {
    out->is_https = 1;
  } else if (!begins_with(*text, "http://")) {
    return "must begin with https:// or http://";
  }
  out->scheme = text->at;
  out->scheme_length = out->is_https ? 5 : 4;
  *text = skip(*text, out->scheme_length + strlen("://"));
  return NULL;
}

static const char *read_authority(view text, unsigned allowed, pac_uri *out) {
  size_t before = until(text, "@");
  if (before < text.length) {
    if (!(allowed & ALLOW_USER_INFORMATION)) {
      return "must not hold a user name or password";
    }
    text = skip(text, before + 1);
    /* With two of them, readers disagree on where the host begins. */
    if (has(text, "@")) {
      return "must hold at most one '@' before the path";
    }
  }
  return read_host(text, out);
}

static const char *check_path(view path) {
  for (size_t i = 0; i < path.length; i++) {
    if (path.at[i] == '%') {
      if (path.length - i < 3 || !is_hex(path.at[i + 1]) || !is_hex(path.at[i + 2])) {
        return "must have two hex digits after each '%'";
      }
    } else if (path.at[i] != '/' && !is_pchar(path.at[i])) {
      return "must percent-encode special characters in its path";
    }
  }
  return NULL;
}

static const char *read_target(view text, unsigned allowed, pac_uri *out) {
  view path = front(text, until(text, "?"));
  if (path.length < text.length && !(allowed & ALLOW_QUERY)) {
    return "must not have a query";
  }
  out->path = path.at;
  out->path_length = path.length;
  return (allowed & ALLOW_ANY_PATH) ? NULL : check_path(path);
}

static const char *read_uri(view text, unsigned allowed, pac_uri *out) {
  const char *complaint = check_bytes(text);
  if (!complaint) {
    complaint = read_scheme(&text, out);
  }
  if (complaint) {
    return complaint;
  }
  size_t count = until(text, "/?");
  complaint = read_authority(front(text, count), allowed, out);
  return complaint ? complaint : read_target(skip(text, count), allowed, out);
}

static view view_of(const char *text, size_t length) {
  view whole = { length == 0 ? "" : text, length }; /* text may be NULL then */
  return whole;
}

/* ---- public: reading ---- */

pac_status pac_uri_parse(const char *text, size_t length, pac_uri *out) {
  pac_uri found = { 0 };
  if (read_uri(view_of(text, length), 0, &found)) {
    return PAC_INVALID;
  }
  *out = found;
  return PAC_OK;
}

int pac_uri_is_loopback(const pac_uri *uri) {
  view host = { uri->host, uri->host_length };
  if (uri->host_is_ipv6) {
    struct in6_addr address;
    return read_ipv6(host, &address) && IN6_IS_ADDR_LOOPBACK(&address) != 0;
  }
  return equals(host, "localhost") || (is_ipv4(host) && begins_with(host, "127."));
}

/* "." or "..", also where the dots are written as %2e, which servers undo. */
static int is_dot_segment(view segment) {
  int dots = 0;
  while (segment.length > 0) {
    size_t used = segment.at[0] == '.' ? 1 : begins_with(segment, "%2e") ? 3 : 0;
    if (used == 0) {
      return 0;
    }
    segment = skip(segment, used);
    dots++;
  }
  return dots == 1 || dots == 2;
}

static int has_dot_segment(view path) {
  while (path.length > 0) {
    size_t count = until(path, "/");
    if (is_dot_segment(front(path, count))) {
      return 1;
    }
    path = skip(path, count < path.length ? count + 1 : count);
  }
  return 0;
}

pac_status pac_uri_check_base(const char *text, size_t length, pac_err *err) {
  pac_uri uri = { 0 };
  const char *complaint = read_uri(view_of(text, length), 0, &uri);
  if (!complaint && !uri.is_https && !pac_uri_is_loopback(&uri)) {
    complaint = "must be https; http is for loopback only (localhost, 127.0.0.0/8, [::1])";
  }
  if (!complaint) {
    view path = { uri.path, uri.path_length };
    complaint = has_dot_segment(path) ? "must not have '.' or '..' in its path" : NULL;
  }
  return complaint ? pac_fail(err, PAC_INVALID, "base_url %s", complaint) : PAC_OK;
}

pac_status pac_uri_check_callback(const char *text, size_t length, int https_only, pac_err *err) {
  pac_uri uri = { 0 };
  unsigned allowed = ALLOW_USER_INFORMATION | ALLOW_QUERY | ALLOW_ANY_PATH;
  const char *complaint = read_uri(view_of(text, length), allowed, &uri);
  if (!complaint && https_only && !uri.is_https) {
    complaint = "must be https";
  }
  return complaint ? pac_fail(err, PAC_INVALID, "callback URL %s", complaint) : PAC_OK;
}

/* ---- public: writing ---- */

static pac_status append(char *out, size_t capacity, size_t *length, view text, int (*stays)(char)) {
  static const char digits[] = "0123456789ABCDEF";
  size_t needed = 0;
  for (size_t i = 0; i < text.length; i++) {
    if (is_control(text.at[i])) {
      return PAC_INVALID;
    }
    needed += stays(text.at[i]) ? 1 : 3;
  }
  if (*length > capacity || needed > capacity - *length) {
    return PAC_TOO_LONG;
  }
  if (needed == 0) {
    return PAC_OK; /* out may be NULL then */
  }
  char *at = out + *length;
  for (size_t i = 0; i < text.length; i++) {
    unsigned byte = (unsigned char)text.at[i];
    if (stays(text.at[i])) {
      *at++ = text.at[i];
    } else {
      *at++ = '%';
      *at++ = digits[byte >> 4];
      *at++ = digits[byte & 0x0f];
    }
  }
  *length += needed;
  return PAC_OK;
}

pac_status pac_uri_append_segment(char *out, size_t capacity, size_t *length, const char *text, size_t text_length) {
  view segment = view_of(text, text_length);
  if (segment.length == 0 || equals(segment, ".") || equals(segment, "..")) {
    return PAC_INVALID;
  }
  return append(out, capacity, length, segment, is_pchar);
}

pac_status pac_uri_append_query(char *out, size_t capacity, size_t *length, const char *text, size_t text_length) {
  return append(out, capacity, length, view_of(text, text_length), is_unreserved);
}
