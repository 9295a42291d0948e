/* pac_http.c: the session: what holds for all its requests, and one handle of
** libcurl for those that are sent one at a time. pac_http_request.c checks,
** pac_http_transfer.c sets up and collects, pac_http_judge.c words. */
#include "pac_http_parts.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if LIBCURL_VERSION_NUM < 0x074200
#error "libcurl 7.66 or newer is needed"
#endif

/* ---- opening and closing ------------------------------------------------- */

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_code = CURLE_FAILED_INIT;

static void init_libcurl(void) {
  global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
  ERR_clear_error();
}

pac_status pac_http_start_libcurl(pac_err *err) {
  pthread_once(&global_once, init_libcurl);
  if (global_code != CURLE_OK) {
    return pac_fail(err, PAC_FAILED, "libcurl cannot be initialised: %s", curl_easy_strerror(global_code));
  }
  return PAC_OK;
}

/* NULL stays NULL and is no failure. */
static bool copy_text(const char *text, char **out) {
  if (text != NULL) {
    *out = strdup(text);
  }
  return text == NULL || *out != NULL;
}

static bool copy_texts(const pac_http_config *config, pac_http *http) {
  return copy_text(config->ca_file, &http->ca_file) && copy_text(config->ca_path, &http->ca_path) &&
         copy_text(config->proxy, &http->proxy);
}

static bool is_timeout(long ms) {
  return ms >= 1 && ms <= PAC_HTTP_MAX_TIMEOUT_MS;
}

pac_status pac_http_config_check(const pac_http_config *config, pac_err *err) {
  if (!is_timeout(config->connect_timeout_ms) || !is_timeout(config->timeout_ms)) {
    return pac_fail(err, PAC_INVALID, "timeouts must be 1 to %d ms", PAC_HTTP_MAX_TIMEOUT_MS);
  }
  if (config->max_answer_bytes == 0) {
    return pac_fail(err, PAC_INVALID, "max_answer_bytes must be above 0");
  }
  pac_status status = PAC_OK;
  for (size_t i = 0; status == PAC_OK && i < config->route_count; i++) {
    status = pac_http_route_check(&config->routes[i], err);
  }
  return status;
}

pac_status pac_http_new(const pac_http_config *config, pac_http **out, pac_err *err) {
  *out = NULL;
  pac_status status = pac_http_config_check(config, err);
  if (status == PAC_OK) {
    status = pac_http_start_libcurl(err);
  }
  if (status != PAC_OK) {
    return status;
  }
  pac_http *http = calloc(1, sizeof *http);
  if (http == NULL) {
    return pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  http->has_prereq = pac_http_transfer_has_prereq();
  http->max_answer_bytes = config->max_answer_bytes;
  http->connect_timeout_ms = config->connect_timeout_ms;
  http->timeout_ms = config->timeout_ms;
  status = copy_texts(config, http) ? pac_http_route_list(config->routes, config->route_count, &http->routes, err)
                                    : pac_fail(err, PAC_NO_MEMORY, "out of memory");
  if (status != PAC_OK) {
    pac_http_free(http);
    return status;
  }
  *out = http;
  return PAC_OK;
}

void pac_http_free(pac_http *http) {
  if (http == NULL) {
    return;
  }
  if (http->transfer.easy != NULL && http->opened_by == getpid()) {
    pac_http_pipe pipe;
    pac_http_pipe_hold(&pipe);
    curl_easy_cleanup(http->transfer.easy);
    pac_http_pipe_release(&pipe);
    ERR_clear_error();
  }
  free(http->ca_file);
  free(http->ca_path);
  free(http->proxy);
  curl_slist_free_all(http->routes);
  free(http);
}

/* ---- sending ------------------------------------------------------------- */

/* After a fork both processes hold the same sockets and the same TLS state.
** The child sets its copy aside (closing it would send the TLS farewell on the
** parent's connection) and opens its own. */
static bool open_handle(pac_http *http) {
  if (http->transfer.easy != NULL && http->opened_by != getpid()) {
    http->inherited = http->transfer.easy;
    http->transfer.easy = NULL;
  }
  if (http->transfer.easy == NULL) {
    http->transfer.easy = curl_easy_init();
    http->opened_by = getpid();
  }
  return http->transfer.easy != NULL;
}

static void perform(pac_http_transfer *transfer) {
  pac_http_pipe pipe;
  pac_http_pipe_hold(&pipe);
  CURLcode code = curl_easy_perform(transfer->easy);
  pac_http_pipe_release(&pipe);
  pac_http_transfer_conclude(transfer, code);
}

pac_status pac_http_send(pac_http *http, const pac_http_request *request, pac_http_answer *answer, pac_err *err) {
  bool loopback = false;
  pac_http_answer_reset(answer);
  pac_status status = pac_http_request_check(request, &loopback, err);
  if (status == PAC_INVALID) {
    return status;
  }
  pac_http_transfer *transfer = &http->transfer;
  transfer->answer = answer;
  CURLcode code = CURLE_OUT_OF_MEMORY;
  if (status == PAC_OK && open_handle(http)) {
    code = pac_http_transfer_prepare(transfer, http, request, loopback);
  }
  if (code == CURLE_OK) {
    perform(transfer);
  } else {
    pac_http_transfer_fail(transfer, code);
  }
  pac_http_transfer_clear(transfer);
  ERR_clear_error();
  return PAC_OK;
}
