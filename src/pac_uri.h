/* pac_uri.h: which URLs the library accepts, and how values enter the ones it
** builds. Stricter than RFC 3986 where leniency has let a host be read two
** ways. No allocation. Input is (pointer, length); NUL is data and refused. */
#ifndef PAC_URI_H
#define PAC_URI_H

#include "pac.h"

/* DNS gives a name 253 characters (RFC 1035 section 2.3.4, without the root). */
#define PAC_URI_HOST_MAX 253

/* The parts of a URL. Every pointer is a view into the text that was parsed,
** valid as long as that text; none ends in NUL. */
typedef struct pac_uri {
  const char *scheme; /* as written, any letter case */
  size_t scheme_length;
  const char *host; /* an IPv6 address stands here without its brackets */
  size_t host_length;
  const char *path; /* from the first '/', or empty */
  size_t path_length;
  uint16_t port;    /* 0: none written, so the default of the scheme */
  int is_https;     /* 0: http */
  int host_is_ipv6; /* needs brackets again when written */
} pac_uri;

/* Takes an absolute http or https URL apart.
** Args: text, length (bytes); out, written on success only.
** Errors: PAC_INVALID for another scheme, user information, a query, a fragment,
** control characters, space, non-ASCII, a backslash or another character that a
** path must not hold, a broken percent escape, an empty or malformed host, or a
** port outside 1 to 65535. A host that ends in a number must be four plain
** decimal octets, because resolvers read 0177.1 and 2130706433 as addresses too.
** Source: RFC 3986 section 3; RFC 9110 section 4.2. */
pac_status pac_uri_parse(const char *text, size_t length, pac_uri *out) PAC_WARN_UNUSED;

/* Says whether the host is this machine by its spelling alone: localhost in any
** letter case, 127.0.0.0/8 with four octets, or [::1]. Nothing is resolved.
** Returns: 1 or 0. */
int pac_uri_is_loopback(const pac_uri *uri);

/* Checks what may be a base_url: what pac_uri_parse accepts, https anywhere and
** http on loopback only; a path prefix without dot segments; a slash at the end
** is fine. Errors: PAC_INVALID, *err (may be NULL) names the rule. */
pac_status pac_uri_check_base(const char *text, size_t length, pac_err *err) PAC_WARN_UNUSED;

/* Checks a URL that the service is to call back: absolute http or https; user
** information, path and query are allowed, a fragment is not; printable ASCII
** without space and backslash.
** Args: https_only, non-zero to refuse http. The text may hold a password: it
** never appears in a message.
** Errors: PAC_INVALID, *err (may be NULL) names the rule. */
pac_status pac_uri_check_callback(const char *text, size_t length, int https_only, pac_err *err) PAC_WARN_UNUSED;

/* Appends one path segment, percent-encoded: what RFC 3986 calls pchar stays
** (unreserved, sub-delims, ':' and '@'), every other byte becomes %XX.
** Args: out, capacity (bytes); *length, bytes already in out, moved on success
** and untouched on failure; no NUL is added. Three bytes per byte of text always
** suffice.
** Errors: PAC_INVALID for the segments "", "." and ".." (a server would drop
** them and answer for another path) and for control characters;
** PAC_TOO_LONG when out is too small. */
pac_status pac_uri_append_segment(char *out, size_t capacity, size_t *length, const char *text,
                                  size_t text_length) PAC_WARN_UNUSED;

/* Appends a query name or value, percent-encoded: only unreserved characters
** stay. An empty text appends nothing.
** Args and errors: as pac_uri_append_segment, without the three segments. */
pac_status pac_uri_append_query(char *out, size_t capacity, size_t *length, const char *text,
                                size_t text_length) PAC_WARN_UNUSED;

#endif
