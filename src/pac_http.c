/* pac_http.c: the session: setting up libcurl for a request, running it once
** and collecting what comes. pac_http_request.c checks, pac_http_judge.c words. */
#include "pac_http_parts.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>
#include <unistd.h>

#if LIBCURL_VERSION_NUM < 0x074100
#error "libcurl 7.65 or newer is needed"
#endif

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

struct pac_http {
  CURL *easy;      /* NULL until the first request, and after a fork */
  pid_t opened_by; /* the process that owns easy */
  CURL *inherited; /* of the parent, in a forked child: held, never used, never closed */
  bool has_prereq; /* this libcurl, as compiled and as loaded, calls before_request */
  char *ca_file;   /* owned copies of the config */
  char *ca_path;
  char *proxy;
  size_t max_answer_bytes;
  long connect_timeout_ms;
  long timeout_ms;

  struct curl_slist *lines; /* owned: header lines of the running request */
  pac_http_answer *answer;  /* borrowed: where the running request collects */
  bool started;             /* the running request began to be written */
  pac_http_stop stop;       /* why a callback of ours ended the transfer */
  char curl_text[CURL_ERROR_SIZE];
};

/* ---- opening and closing ------------------------------------------------- */

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_code = CURLE_FAILED_INIT;

static void init_libcurl(void) {
  global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
  ERR_clear_error();
}

/* libcurl leaves SIGPIPE to us, because CURLOPT_NOSIGNAL is set, and some TLS
** libraries write with plain write(): a peer that hung up would end the
** process. The signal is held back in this thread alone, for one call. */
typedef struct pipe_guard {
  sigset_t before;
  bool was_pending;
} pipe_guard;

static bool is_pending(int signal_number) {
  sigset_t pending;
  return sigpending(&pending) == 0 && sigismember(&pending, signal_number) == 1;
}

static void guard_pipe(pipe_guard *guard) {
  sigset_t only_pipe;
  sigemptyset(&only_pipe);
  sigaddset(&only_pipe, SIGPIPE);
  guard->was_pending = is_pending(SIGPIPE);
  (void)pthread_sigmask(SIG_BLOCK, &only_pipe, &guard->before);
}

static void unguard_pipe(const pipe_guard *guard) {
  sigset_t only_pipe;
  int taken;
  sigemptyset(&only_pipe);
  sigaddset(&only_pipe, SIGPIPE);
  if (!guard->was_pending && is_pending(SIGPIPE)) {
    (void)sigwait(&only_pipe, &taken);
  }
  (void)pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}

/* NULL stays NULL and is no failure. */
static bool copy_text(const char *text, char **out) {
  if (text != NULL) {
    *out = strdup(text);
  }
  return text == NULL || *out != NULL;
}

static bool is_timeout(long ms) {
  return ms >= 1 && ms <= PAC_HTTP_MAX_TIMEOUT_MS;
}

pac_status pac_http_new(const pac_http_config *config, pac_http **out, pac_err *err) {
  *out = NULL;
  if (!is_timeout(config->connect_timeout_ms) || !is_timeout(config->timeout_ms)) {
    return pac_fail(err, PAC_INVALID, "timeouts must be 1 to %d ms", PAC_HTTP_MAX_TIMEOUT_MS);
  }
  if (config->max_answer_bytes == 0) {
    return pac_fail(err, PAC_INVALID, "max_answer_bytes must be above 0");
  }
  pthread_once(&global_once, init_libcurl);
  if (global_code != CURLE_OK) {
    return pac_fail(err, PAC_FAILED, "libcurl cannot be initialised: %s", curl_easy_strerror(global_code));
  }
  pac_http *http = calloc(1, sizeof *http);
  if (http == NULL) {
    return pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  http->has_prereq = HAVE_PREREQ && curl_version_info(CURLVERSION_NOW)->version_num >= PREREQ_VERSION;
  http->max_answer_bytes = config->max_answer_bytes;
  http->connect_timeout_ms = config->connect_timeout_ms;
  http->timeout_ms = config->timeout_ms;
  if (!copy_text(config->ca_file, &http->ca_file) || !copy_text(config->ca_path, &http->ca_path) ||
      !copy_text(config->proxy, &http->proxy)) {
    pac_http_free(http);
    return pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  *out = http;
  return PAC_OK;
}

void pac_http_free(pac_http *http) {
  if (http == NULL) {
    return;
  }
  if (http->easy != NULL && http->opened_by == getpid()) {
    pipe_guard guard;
    guard_pipe(&guard);
    curl_easy_cleanup(http->easy);
    unguard_pipe(&guard);
    ERR_clear_error();
  }
  free(http->ca_file);
  free(http->ca_path);
  free(http->proxy);
  free(http);
}

/* After a fork both processes hold the same sockets and the same TLS state.
** The child sets its copy aside (closing it would send the TLS farewell on the
** parent's connection) and opens its own. */
static bool open_handle(pac_http *http) {
  if (http->easy != NULL && http->opened_by != getpid()) {
    http->inherited = http->easy;
    http->easy = NULL;
  }
  if (http->easy == NULL) {
    http->easy = curl_easy_init();
    http->opened_by = getpid();
  }
  return http->easy != NULL;
}

/* ---- callbacks ----------------------------------------------------------- */

/* Notes why the transfer ends; an answer that passes a limit is a protocol
** matter, for its sender decides its size. */
static void stop_reading(pac_http *http, pac_status status, const char *limit) {
  http->stop.kind = PAC_HTTP_PROTOCOL;
  if (status == PAC_NO_MEMORY) {
    http->stop.text = "out of memory while the answer was read";
  } else {
    http->stop.text = status == PAC_TOO_LONG ? limit : "a header of the answer holds a NUL";
  }
}

static size_t take_line(char *line, size_t size, size_t count, void *user) {
  pac_http *http = user;
  pac_status status = pac_http_answer_take_line(http->answer, line, size * count);
  if (status != PAC_OK) {
    stop_reading(http, status, "the headers of the answer pass 256 KiB or 512 lines");
    return 0;
  }
  return size * count;
}

static size_t take_body(char *data, size_t size, size_t count, void *user) {
  pac_http *http = user;
  pac_status status = pac_http_answer_take_body(http->answer, data, size * count, http->max_answer_bytes);
  if (status != PAC_OK) {
    stop_reading(http, status, "the body of the answer is larger than allowed (max_answer_bytes of the transport)");
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
  pac_http *http = user;
  if (http->started) {
    http->stop.kind = PAC_HTTP_NETWORK;
    http->stop.text = "the kept connection ended without an answer; the request was not repeated";
    return CURL_PREREQFUNC_ABORT;
  }
  http->started = true;
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

static void set_callbacks(setup *to, pac_http *http) {
  must_pointer(to, CURLOPT_ERRORBUFFER, http->curl_text);
  must_pointer(to, CURLOPT_HEADERDATA, http);
  must_pointer(to, CURLOPT_WRITEDATA, http);
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
  if (to->code == CURLE_OK && http->has_prereq) {
    must_pointer(to, CURLOPT_PREREQDATA, http);
    to->code = curl_easy_setopt(to->easy, CURLOPT_PREREQFUNCTION, before_request);
  }
#endif
}

/* A single-use request gets a connection of its own. A kept one may be about to
** close, or may hold an answer that came late and belongs to nobody: libcurl
** would hand it over as the answer to this request, and a stray 401 would have
** an order sent twice. Without before_request a fresh connection is also the
** only one that is safe from libcurl's own repeat. */
static void set_connection(setup *to, const pac_http *http, const pac_http_request *request) {
  bool reading = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
  if (request->single_use || (!http->has_prereq && !reading)) {
    must_long(to, CURLOPT_FRESH_CONNECT, 1L);
  }
  (void)curl_easy_setopt(to->easy, CURLOPT_MAXAGE_CONN, MAX_IDLE_S);
  must_long(to, CURLOPT_CONNECTTIMEOUT_MS,
            request->connect_timeout_ms != 0 ? request->connect_timeout_ms : http->connect_timeout_ms);
  must_long(to, CURLOPT_TIMEOUT_MS, request->timeout_ms != 0 ? request->timeout_ms : http->timeout_ms);
}

/* POSTFIELDS with the method's own name is how libcurl sends a body from
** memory, with Content-Length, for every method; the body is not copied. */
static void set_message(setup *to, const pac_http *http, const pac_http_request *request) {
  must_text(to, CURLOPT_URL, request->url);
  if (pac_http_request_has_body(request)) {
    if (to->code == CURLE_OK) {
      to->code = curl_easy_setopt(to->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
    }
    must_text(to, CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
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
  must_pointer(to, CURLOPT_HTTPHEADER, http->lines);
}

/* ---- header lines -------------------------------------------------------- */

static bool add_line(pac_http *http, const char *line) {
  struct curl_slist *longer = curl_slist_append(http->lines, line);
  if (longer != NULL) {
    http->lines = longer;
  }
  return longer != NULL;
}

/* libcurl drops "Name:" with nothing but blanks behind it; "Name;" is its way
** to send an empty header. */
static bool add_header(pac_http *http, const pac_http_header *header) {
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
  bool added = add_line(http, line);
  free(line);
  return added;
}

/* A line that ends in ":" keeps libcurl from adding that header by itself. */
static bool add_headers(pac_http *http, const pac_http_request *request) {
  bool has_type = false;
  bool added = add_line(http, "Expect:");
  for (size_t i = 0; added && i < request->header_count; i++) {
    has_type = has_type || strcasecmp(request->headers[i].name, "content-type") == 0;
    added = add_header(http, &request->headers[i]);
  }
  return added && (has_type || add_line(http, "Content-Type:"));
}

/* ---- sending ------------------------------------------------------------- */

/* Reads what libcurl measured and lets pac_http_judge word it. */
static void conclude(pac_http *http, CURLcode code, pac_http_answer *answer) {
  curl_off_t elapsed_us = 0;
  long status = 0;
  long connects = 0;
  long request_bytes = 0;
  curl_easy_getinfo(http->easy, CURLINFO_TOTAL_TIME_T, &elapsed_us);
  curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(http->easy, CURLINFO_NUM_CONNECTS, &connects);
  curl_easy_getinfo(http->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
  answer->code = (int)code;
  answer->status = (int)status;
  answer->elapsed_ms = (int64_t)(elapsed_us / 1000);
  answer->reused = connects == 0;
  bool sent = http->has_prereq ? http->started : request_bytes > 0;
  answer->phase = sent ? PAC_HTTP_UNKNOWN : PAC_HTTP_NOT_SENT;
  pac_http_judge(answer, &http->stop, http->curl_text);
}

static void run(pac_http *http, const pac_http_request *request, bool loopback, pac_http_answer *answer) {
  setup to = { http->easy, CURLE_OK };
  set_limits(&to);
  set_tls(&to, http);
  set_proxy(&to, http, loopback);
  set_callbacks(&to, http);
  set_connection(&to, http, request);
  set_message(&to, http, request);
  if (to.code == CURLE_OK) {
    pipe_guard guard;
    guard_pipe(&guard);
    CURLcode code = curl_easy_perform(http->easy);
    unguard_pipe(&guard);
    conclude(http, code, answer);
  } else {
    answer->code = (int)to.code;
    pac_http_judge(answer, &http->stop, http->curl_text);
  }
}

pac_status pac_http_send(pac_http *http, const pac_http_request *request, pac_http_answer *answer, pac_err *err) {
  bool loopback = false;
  pac_http_answer_reset(answer);
  pac_status status = pac_http_request_check(request, &loopback, err);
  if (status == PAC_INVALID) {
    return status;
  }
  http->answer = answer;
  http->started = false;
  http->stop.text = NULL;
  http->curl_text[0] = '\0';
  if (status == PAC_OK && open_handle(http) && add_headers(http, request)) {
    run(http, request, loopback, answer);
  } else {
    answer->code = (int)CURLE_OUT_OF_MEMORY;
    pac_http_judge(answer, &http->stop, http->curl_text);
  }
  /* The reset drops every borrowed pointer; connections stay. */
  if (http->easy != NULL) {
    curl_easy_reset(http->easy);
  }
  curl_slist_free_all(http->lines);
  http->lines = NULL;
  http->answer = NULL;
  ERR_clear_error();
  return PAC_OK;
}
