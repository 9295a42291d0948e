/* pac_http_transfer.c: one request on its way: setting up libcurl's handle for
** it, collecting what comes, and saying in the end how it went. Who drives the
** handle, a session alone or a batch with others, makes no difference here. */
#include "pac_http_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* CURLOPT_PREREQFUNCTION, 7.80: called just before a request is written. */
#if LIBCURL_VERSION_NUM >= 0x075000 && !defined(PAC_HTTP_WITHOUT_PREREQ)
#define HAVE_PREREQ 1
#else
#define HAVE_PREREQ 0
#endif
#define PREREQ_VERSION 0x075000u

/* Idle connections older than this are not used again. Servers commonly close
** after 5 to 75 s. */
#define MAX_IDLE_S 30L

bool pac_http_transfer_has_prereq(void) {
  return HAVE_PREREQ && curl_version_info(CURLVERSION_NOW)->version_num >= PREREQ_VERSION;
}

/* ---- callbacks ----------------------------------------------------------- */

/* Notes why the transfer ends; an answer that passes a limit is a protocol
** matter, for its sender decides its size. */
static void stop_reading(pac_http_transfer *transfer, pac_status status, const char *limit) {
  transfer->stop.kind = PAC_HTTP_PROTOCOL;
  if (status == PAC_NO_MEMORY) {
    transfer->stop.text = "out of memory while the answer was read";
  } else {
    transfer->stop.text = status == PAC_TOO_LONG ? limit : "a header of the answer holds a NUL";
  }
}

static size_t take_line(char *line, size_t size, size_t count, void *user) {
  pac_http_transfer *transfer = user;
  pac_status status = pac_http_answer_take_line(transfer->answer, line, size * count);
  if (status != PAC_OK) {
    stop_reading(transfer, status, "the headers of the answer pass 256 KiB or 512 lines");
    return 0;
  }
  return size * count;
}

static size_t take_body(char *data, size_t size, size_t count, void *user) {
  pac_http_transfer *transfer = user;
  pac_status status = pac_http_answer_take_body(transfer->answer, data, size * count, transfer->max_answer_bytes);
  if (status != PAC_OK) {
    stop_reading(transfer, status, "the body of the answer is larger than allowed (max_answer_bytes of the transport)");
    return 0;
  }
  return size * count;
}

/* Programs started by the host must not inherit, and so keep open, our
** connections. */
static int mark_socket(void *user, curl_socket_t socket, curlsocktype purpose) {
  (void)user;
  (void)purpose;
  int flags = fcntl(socket, F_GETFD);
  if (flags >= 0) {
    (void)fcntl(socket, F_SETFD, flags | FD_CLOEXEC);
  }
  return CURL_SOCKOPT_OK;
}

#if HAVE_PREREQ
/* Called each time a request is about to be written. The second time is
** libcurl repeating it by itself, because a kept connection turned out dead
** before any answer: the server may have acted on the first copy. */
static int before_request(void *user, char *remote_ip, char *local_ip, int remote_port, int local_port) {
  (void)remote_ip;
  (void)local_ip;
  (void)remote_port;
  (void)local_port;
  pac_http_transfer *transfer = user;
  if (transfer->started) {
    transfer->stop.kind = PAC_HTTP_NETWORK;
    transfer->stop.text = "the kept connection ended without an answer; the request was not repeated";
    return CURL_PREREQFUNC_ABORT;
  }
  transfer->started = true;
  return CURL_PREREQFUNC_OK;
}
#endif

/* ---- setting up ---------------------------------------------------------- */

/* The first refusal of an option that must hold stops the request. */
typedef struct setup {
  CURL *easy;
  CURLcode code;
} setup;

static void must_long(setup *to, CURLoption option, long value) {
  if (to->code == CURLE_OK) {
    to->code = curl_easy_setopt(to->easy, option, value);
  }
}

static void must_text(setup *to, CURLoption option, const char *text) {
  if (to->code == CURLE_OK) {
    to->code = curl_easy_setopt(to->easy, option, text);
  }
}

static void must_pointer(setup *to, CURLoption option, void *pointer) {
  if (to->code == CURLE_OK) {
    to->code = curl_easy_setopt(to->easy, option, pointer);
  }
}

static void set_limits(setup *to) {
  must_long(to, CURLOPT_NOSIGNAL, 1L);
  must_long(to, CURLOPT_FOLLOWLOCATION, 0L);
  must_long(to, CURLOPT_PATH_AS_IS, 1L);
  must_long(to, CURLOPT_HTTP09_ALLOWED, 0L);
  must_long(to, CURLOPT_NETRC, CURL_NETRC_IGNORED);
  must_long(to, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  must_long(to, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  must_long(to, CURLOPT_HEADEROPT, CURLHEADER_SEPARATE);
#if LIBCURL_VERSION_NUM >= 0x075500
  must_text(to, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  must_long(to, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

/* When only one of the two places is given, the other one's built-in default
** must not add the system's roots behind the caller's back. */
static void set_tls(setup *to, const pac_http *http) {
  must_long(to, CURLOPT_SSL_VERIFYPEER, 1L);
  must_long(to, CURLOPT_SSL_VERIFYHOST, 2L);
  must_long(to, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  if (http->ca_file == NULL && http->ca_path == NULL) {
    return;
  }
  must_text(to, CURLOPT_CAINFO, http->ca_file);
  if (http->ca_path != NULL) {
    must_text(to, CURLOPT_CAPATH, http->ca_path);
  } else {
    (void)curl_easy_setopt(to->easy, CURLOPT_CAPATH, NULL); /* not every TLS library has it */
  }
  (void)curl_easy_setopt(to->easy, CURLOPT_PROXY_CAINFO, http->ca_file);
  (void)curl_easy_setopt(to->easy, CURLOPT_PROXY_CAPATH, http->ca_path);
}

/* An empty string switches off the environment's proxy as well. */
static void set_proxy(setup *to, const pac_http *http, bool loopback) {
  if (loopback) {
    must_text(to, CURLOPT_PROXY, "");
  } else if (http->proxy != NULL) {
    must_text(to, CURLOPT_PROXY, http->proxy);
  }
}

static void set_routes(setup *to, pac_http_transfer *transfer, const pac_http *http) {
  if (to->code == CURLE_OK && !pac_http_route_copy(http->routes, &transfer->routes)) {
    to->code = CURLE_OUT_OF_MEMORY;
  }
  must_pointer(to, CURLOPT_CONNECT_TO, transfer->routes);
}

static void set_callbacks(setup *to, pac_http_transfer *transfer) {
  must_pointer(to, CURLOPT_ERRORBUFFER, transfer->curl_text);
  must_pointer(to, CURLOPT_HEADERDATA, transfer);
  must_pointer(to, CURLOPT_WRITEDATA, transfer);
  if (to->code == CURLE_OK) {
    to->code = curl_easy_setopt(to->easy, CURLOPT_HEADERFUNCTION, take_line);
  }
  if (to->code == CURLE_OK) {
    to->code = curl_easy_setopt(to->easy, CURLOPT_WRITEFUNCTION, take_body);
  }
  if (to->code == CURLE_OK) {
    to->code = curl_easy_setopt(to->easy, CURLOPT_SOCKOPTFUNCTION, mark_socket);
  }
#if HAVE_PREREQ
  if (to->code == CURLE_OK && transfer->has_prereq) {
    must_pointer(to, CURLOPT_PREREQDATA, transfer);
    to->code = curl_easy_setopt(to->easy, CURLOPT_PREREQFUNCTION, before_request);
  }
#endif
}

/* A single-use request gets a connection of its own, which is closed after it.
** A kept one may be about to close, or may hold an answer that came late and
** belongs to nobody: libcurl would hand it over as the answer to this request,
** and a stray 401 would have an order sent twice. Without before_request a fresh
** connection is also the only one that is safe from libcurl's own repeat. */
static void set_single_use(setup *to) {
  must_long(to, CURLOPT_FRESH_CONNECT, 1L);
  must_long(to, CURLOPT_FORBID_REUSE, 1L);
}

/* Over TLS it is worth waiting until a first connection knows whether it speaks
** HTTP/2. Without TLS that is known with the first answer only. */
static bool may_share(const pac_http_transfer *transfer, const pac_http_request *request) {
  return transfer->parallel && strncasecmp(request->url, "https:", 6) == 0;
}

static void set_connection(setup *to, const pac_http *http, const pac_http_transfer *transfer,
                           const pac_http_request *request) {
  bool reading = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
  if (request->single_use) {
    set_single_use(to);
  } else if (!http->has_prereq && !reading) {
    must_long(to, CURLOPT_FRESH_CONNECT, 1L);
  } else if (may_share(transfer, request)) {
    must_long(to, CURLOPT_PIPEWAIT, 1L);
  }
  (void)curl_easy_setopt(to->easy, CURLOPT_MAXAGE_CONN, MAX_IDLE_S);
  must_long(to, CURLOPT_CONNECTTIMEOUT_MS,
            request->connect_timeout_ms != 0 ? request->connect_timeout_ms : http->connect_timeout_ms);
  must_long(to, CURLOPT_TIMEOUT_MS, request->timeout_ms != 0 ? request->timeout_ms : http->timeout_ms);
}

/* POSTFIELDS with the method's own name is how libcurl sends a body from
** memory, with Content-Length, for every method. A body that must outlive the
** call is copied, and the size is told first, for it may hold a NUL. */
static void set_message(setup *to, const pac_http_transfer *transfer, const pac_http_request *request) {
  must_text(to, CURLOPT_URL, request->url);
  if (pac_http_request_has_body(request)) {
    if (to->code == CURLE_OK) {
      to->code = curl_easy_setopt(to->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
    }
    must_text(to, transfer->parallel ? CURLOPT_COPYPOSTFIELDS : CURLOPT_POSTFIELDS,
              request->body != NULL ? request->body : "");
    must_text(to, CURLOPT_CUSTOMREQUEST, request->method);
  } else if (strcmp(request->method, "HEAD") == 0) {
    must_long(to, CURLOPT_NOBODY, 1L);
  } else {
    must_long(to, CURLOPT_HTTPGET, 1L);
    must_text(to, CURLOPT_CUSTOMREQUEST, request->method);
  }
  if (request->gzip) {
    must_text(to, CURLOPT_ACCEPT_ENCODING, "gzip");
  }
  must_pointer(to, CURLOPT_HTTPHEADER, transfer->lines);
}

/* ---- header lines -------------------------------------------------------- */

static bool add_line(pac_http_transfer *transfer, const char *line) {
  struct curl_slist *longer = curl_slist_append(transfer->lines, line);
  if (longer != NULL) {
    transfer->lines = longer;
  }
  return longer != NULL;
}

/* libcurl drops "Name:" with nothing but blanks behind it; "Name;" is its way
** to send an empty header. */
static bool add_header(pac_http_transfer *transfer, const pac_http_header *header) {
  size_t size = strlen(header->name) + strlen(header->value) + 3;
  char *line = malloc(size);
  if (line == NULL) {
    return false;
  }
  bool is_empty = header->value[strspn(header->value, " \t")] == '\0';
  if (is_empty) {
    (void)snprintf(line, size, "%s;", header->name);
  } else {
    (void)snprintf(line, size, "%s: %s", header->name, header->value);
  }
  bool added = add_line(transfer, line);
  free(line);
  return added;
}

/* A line that ends in ":" keeps libcurl from adding that header by itself. */
static bool add_headers(pac_http_transfer *transfer, const pac_http_request *request) {
  bool has_type = false;
  bool added = add_line(transfer, "Expect:");
  for (size_t i = 0; added && i < request->header_count; i++) {
    has_type = has_type || strcasecmp(request->headers[i].name, "content-type") == 0;
    added = add_header(transfer, &request->headers[i]);
  }
  return added && (has_type || add_line(transfer, "Content-Type:"));
}

/* ---- preparing and concluding -------------------------------------------- */

CURLcode pac_http_transfer_prepare(pac_http_transfer *transfer, const pac_http *http, const pac_http_request *request,
                                   bool loopback) {
  setup to = { transfer->easy, CURLE_OK };
  transfer->started = false;
  transfer->stop.text = NULL;
  transfer->curl_text[0] = '\0';
  transfer->max_answer_bytes = http->max_answer_bytes;
  transfer->has_prereq = http->has_prereq;
  if (!add_headers(transfer, request)) {
    return CURLE_OUT_OF_MEMORY;
  }
  set_limits(&to);
  set_tls(&to, http);
  set_proxy(&to, http, loopback);
  set_routes(&to, transfer, http);
  set_callbacks(&to, transfer);
  set_connection(&to, http, transfer, request);
  set_message(&to, transfer, request);
  return to.code;
}

void pac_http_transfer_conclude(pac_http_transfer *transfer, CURLcode code) {
  pac_http_answer *answer = transfer->answer;
  curl_off_t elapsed_us = 0;
  long status = 0;
  long connects = 0;
  long request_bytes = 0;
  curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &elapsed_us);
  curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connects);
  curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
  answer->code = (int)code;
  answer->status = (int)status;
  answer->elapsed_ms = (int64_t)(elapsed_us / 1000);
  answer->reused = connects == 0;
  bool sent = transfer->has_prereq ? transfer->started : request_bytes > 0;
  answer->phase = sent ? PAC_HTTP_UNKNOWN : PAC_HTTP_NOT_SENT;
  pac_http_judge(answer, &transfer->stop, transfer->curl_text);
}

void pac_http_transfer_fail(pac_http_transfer *transfer, CURLcode code) {
  transfer->answer->code = (int)code;
  pac_http_judge(transfer->answer, &transfer->stop, transfer->curl_text);
}

void pac_http_transfer_clear(pac_http_transfer *transfer) {
  /* The reset drops every borrowed pointer; connections stay. */
  if (transfer->easy != NULL) {
    curl_easy_reset(transfer->easy);
  }
  curl_slist_free_all(transfer->lines);
  curl_slist_free_all(transfer->routes);
  transfer->lines = NULL;
  transfer->routes = NULL;
  transfer->answer = NULL;
}
