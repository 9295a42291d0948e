/* pac_http_request.c: what a request may be. Everything refused here is
** refused before a connection is touched. */
#include "pac_http_parts.h"
#include "pac_request.h"
#include "pac_uri.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

typedef enum body_rule { BODY_NEVER, BODY_MAYBE, BODY_ALWAYS } body_rule;

static const struct {
  const char *name;
  body_rule body; /* ALWAYS: Content-Length is sent for an empty body too (RFC 9110, 8.6) */
} methods[] = {
  { "GET", BODY_NEVER },  { "HEAD", BODY_NEVER },   { "POST", BODY_ALWAYS },
  { "PUT", BODY_ALWAYS }, { "PATCH", BODY_ALWAYS }, { "DELETE", BODY_MAYBE },
};

bool pac_http_request_has_body(const pac_http_request *request) {
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    if (strcmp(methods[i].name, request->method) == 0) {
      return methods[i].body == BODY_ALWAYS || request->body != NULL;
    }
  }
  return false;
}

/* Headers that say how the message is framed or carried: libcurl's own matter.
** A second Content-Length or a foreign Host is how requests are smuggled. */
static const char *const reserved_headers[] = {
  "accept-encoding", "connection",       "content-length",    "expect",  "host", "keep-alive", "te",
  "trailer",         "proxy-connection", "transfer-encoding", "upgrade",
};

static pac_status check_method(const pac_http_request *request, pac_err *err) {
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    if (strcmp(methods[i].name, request->method) == 0) {
      if (methods[i].body == BODY_NEVER && request->body != NULL) {
        return pac_fail(err, PAC_INVALID, "request.body: %s takes none", methods[i].name);
      }
      return PAC_OK;
    }
  }
  return pac_fail(err, PAC_INVALID, "request.method: GET, HEAD, POST, PUT, PATCH or DELETE is expected");
}

/* As libcurl, which will connect, understood the host; an IPv6 address still
** has its brackets. */
static bool is_loopback(const char *host) {
  bool is_ipv6 = host[0] == '[';
  size_t length = strlen(host);
  pac_uri uri = { .host = host, .host_length = length, .host_is_ipv6 = is_ipv6 };
  if (is_ipv6 && length > 2) {
    uri.host = host + 1;
    uri.host_length = length - 2;
  }
  return pac_uri_is_loopback(&uri);
}

static pac_status check_parsed_url(CURLU *parsed, const char *url, bool *loopback, pac_err *err) {
  char *scheme = NULL;
  char *host = NULL;
  pac_status status = PAC_OK;
  if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER) != CURLUE_OK ||
      curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
      curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
    status = pac_fail(err, PAC_INVALID, "request.url: an absolute https URL without a user name is expected");
  } else {
    *loopback = is_loopback(host);
    if (strcmp(scheme, "https") != 0 && !(strcmp(scheme, "http") == 0 && *loopback)) {
      status = pac_fail(err, PAC_INVALID, "request.url: only https, and http to a loopback host, is allowed");
    }
  }
  curl_free(scheme);
  curl_free(host);
  return status;
}

static pac_status check_url(const char *url, bool *loopback, pac_err *err) {
  for (const char *c = url; *c != '\0'; c++) {
    if (*c <= ' ' || *c >= 0x7f) {
      return pac_fail(err, PAC_INVALID, "request.url: blanks, controls and non-ASCII must be percent-encoded");
    }
  }
  CURLU *parsed = curl_url();
  if (parsed == NULL) {
    return pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  pac_status status = check_parsed_url(parsed, url, loopback, err);
  curl_url_cleanup(parsed);
  return status;
}

static bool is_header_value(const char *value) {
  for (const char *c = value; *c != '\0'; c++) {
    if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f) {
      return false;
    }
  }
  return true;
}

static pac_status check_headers(const pac_http_request *request, pac_err *err) {
  for (size_t i = 0; i < request->header_count; i++) {
    const pac_http_header *header = &request->headers[i];
    if (!pac_request_name_valid(header->name, strlen(header->name))) {
      return pac_fail(err, PAC_INVALID, "request.headers[%zu]: not a header name", i + 1);
    }
    for (size_t r = 0; r < sizeof reserved_headers / sizeof *reserved_headers; r++) {
      if (strcasecmp(header->name, reserved_headers[r]) == 0) {
        return pac_fail(err, PAC_INVALID, "request.headers[%zu]: %s is the transport's to set", i + 1,
                        reserved_headers[r]);
      }
    }
    if (!is_header_value(header->value)) {
      return pac_fail(err, PAC_INVALID, "request.headers[%zu]: control characters are not allowed", i + 1);
    }
  }
  return PAC_OK;
}

/* 0 leaves the choice to the session. */
static bool is_timeout(long ms) {
  return ms >= 0 && ms <= PAC_HTTP_MAX_TIMEOUT_MS;
}

pac_status pac_http_request_check(const pac_http_request *request, bool *loopback, pac_err *err) {
  pac_status status = check_method(request, err);
  if (status == PAC_OK) {
    status = check_url(request->url, loopback, err);
  }
  if (status == PAC_OK) {
    status = check_headers(request, err);
  }
  if (status == PAC_OK && !(is_timeout(request->connect_timeout_ms) && is_timeout(request->timeout_ms))) {
    status = pac_fail(err, PAC_INVALID, "request timeouts must be 1 to %d ms", PAC_HTTP_MAX_TIMEOUT_MS);
  }
  return status;
}
