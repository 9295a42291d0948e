/* pac_http1_request.c: the head of a request. What a request may be is checked by
** pac_http_request.c and the URL is taken apart by libcurl, so that both
** transports understand it alike. */
#include "pac_http1.h"
#include "pac_http_parts.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTP_PORT  80
#define HTTPS_PORT 443

/* The parts of a URL, all libcurl's memory. */
typedef struct url_parts {
  char *scheme;
  char *host;
  char *port;
  char *path;
  char *query; /* NULL: none */
} url_parts;

static void free_parts(url_parts *parts) {
  curl_free(parts->scheme);
  curl_free(parts->host);
  curl_free(parts->port);
  curl_free(parts->path);
  curl_free(parts->query);
}

static CURLUcode read_parts(CURLU *parsed, const char *url, url_parts *out) {
  CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER);
  if (code == CURLUE_OK) {
    code = curl_url_get(parsed, CURLUPART_SCHEME, &out->scheme, 0);
  }
  if (code == CURLUE_OK) {
    code = curl_url_get(parsed, CURLUPART_HOST, &out->host, 0);
  }
  if (code == CURLUE_OK) {
    code = curl_url_get(parsed, CURLUPART_PORT, &out->port, CURLU_DEFAULT_PORT);
  }
  if (code == CURLUE_OK) {
    code = curl_url_get(parsed, CURLUPART_PATH, &out->path, 0);
  }
  if (code == CURLUE_OK) {
    code = curl_url_get(parsed, CURLUPART_QUERY, &out->query, 0);
  }
  return code == CURLUE_NO_QUERY ? CURLUE_OK : code;
}

static pac_status split_url(const char *url, url_parts *out, pac_err *err) {
  CURLU *parsed = curl_url();
  CURLUcode code = parsed != NULL ? read_parts(parsed, url, out) : CURLUE_OUT_OF_MEMORY;
  curl_url_cleanup(parsed);
  if (code == CURLUE_OUT_OF_MEMORY) {
    (void)pac_fail(err, PAC_NO_MEMORY, "out of memory");
    return PAC_NO_MEMORY;
  }
  if (code != CURLUE_OK || out->host == NULL) {
    (void)pac_fail(err, PAC_INVALID, "request.url: an absolute https URL is expected");
    return PAC_INVALID;
  }
  return PAC_OK;
}

static pac_status fill_place(const url_parts *parts, pac_http1_place *place, pac_err *err) {
  size_t length = strlen(parts->host);
  size_t start = 0;
  place->is_ipv6 = parts->host[0] == '[' && length > 2;
  if (place->is_ipv6) {
    start = 1;
    length -= 2;
  }
  if (length >= sizeof place->host) {
    return pac_fail(err, PAC_INVALID, "request.url: the host has more than %d characters", PAC_URI_HOST_MAX);
  }
  memcpy(place->host, parts->host + start, length);
  place->host[length] = '\0';
  place->port = (int)strtol(parts->port, NULL, 10);
  place->is_tls = strcmp(parts->scheme, "https") == 0;
  return PAC_OK;
}

/* ---- writing ------------------------------------------------------------- */

static void write_request_line(const pac_http_request *request, const url_parts *parts, pac_buf *head) {
  pac_buf_append_text(head, request->method);
  pac_buf_append_text(head, " ");
  pac_buf_append_text(head, parts->path);
  if (parts->query != NULL) {
    pac_buf_append_text(head, "?");
    pac_buf_append_text(head, parts->query);
  }
  pac_buf_append_text(head, " HTTP/1.1\r\n");
}

static void write_host(const url_parts *parts, const pac_http1_place *place, pac_buf *head) {
  pac_buf_append_text(head, "Host: ");
  pac_buf_append_text(head, parts->host);
  if (place->port != (place->is_tls ? HTTPS_PORT : HTTP_PORT)) {
    pac_buf_append_text(head, ":");
    pac_buf_append_text(head, parts->port);
  }
  pac_buf_append_text(head, "\r\n");
}

static void write_own_headers(const pac_http_request *request, pac_buf *head) {
  if (pac_http_request_has_body(request)) {
    char line[64];
    (void)snprintf(line, sizeof line, "Content-Length: %zu\r\n", request->body != NULL ? request->body_bytes : 0);
    pac_buf_append_text(head, line);
  }
  if (request->gzip) {
    pac_buf_append_text(head, "Accept-Encoding: gzip\r\n");
  }
  if (request->single_use) {
    pac_buf_append_text(head, "Connection: close\r\n");
  }
}

static void write_given_headers(const pac_http_request *request, pac_buf *head) {
  for (size_t i = 0; i < request->header_count; i++) {
    const char *value = request->headers[i].value;
    pac_buf_append_text(head, request->headers[i].name);
    pac_buf_append_text(head, ":");
    if (value[strspn(value, " \t")] != '\0') {
      pac_buf_append_text(head, " ");
      pac_buf_append_text(head, value);
    }
    pac_buf_append_text(head, "\r\n");
  }
}

pac_status pac_http1_write(const pac_http_request *request, pac_http1_place *place, pac_buf *head, pac_err *err) {
  pac_http1_place found = { 0 };
  url_parts parts = { 0 };
  pac_status status = pac_http_request_check(request, &found.is_loopback, err);
  if (status == PAC_OK) {
    status = split_url(request->url, &parts, err);
  }
  if (status == PAC_OK) {
    status = fill_place(&parts, &found, err);
  }
  if (status == PAC_OK) {
    write_request_line(request, &parts, head);
    write_host(&parts, &found, head);
    write_own_headers(request, head);
    write_given_headers(request, head);
    pac_buf_append_text(head, "\r\n");
    status = pac_buf_ok(head) ? PAC_OK : pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  if (status == PAC_OK) {
    *place = found;
  }
  free_parts(&parts);
  return status;
}
