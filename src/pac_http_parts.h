/* pac_http_parts.h: what the files behind pac_http.h show each other. */
#ifndef PAC_HTTP_PARTS_H
#define PAC_HTTP_PARTS_H

#include "pac_http.h"

#include <curl/curl.h>
#include <signal.h>
#include <sys/types.h>

/* Why a transfer was ended by us; text is static, NULL if it was not. */
typedef struct pac_http_stop {
  pac_http_kind kind;
  const char *text;
} pac_http_stop;

/* One request on its way. Zeroed, with easy and answer set, it can be prepared. */
typedef struct pac_http_transfer {
  CURL *easy;                /* whoever holds the transfer opens and closes it */
  struct curl_slist *lines;  /* owned: header lines of the running request */
  struct curl_slist *routes; /* owned: a copy of the session's, which a request in a batch may outlive */
  pac_http_answer *answer;   /* borrowed: where the running request collects */
  size_t max_answer_bytes;
  bool parallel;   /* runs in a batch: nothing of the request is borrowed */
  bool has_prereq; /* as in the session */
  bool started;    /* the request began to be written */
  pac_http_stop stop;
  char curl_text[CURL_ERROR_SIZE];
} pac_http_transfer;

struct pac_http {
  pac_http_transfer transfer; /* easy is NULL until the first request, and after a fork */
  pid_t opened_by;            /* the process that owns easy */
  CURL *inherited;            /* of the parent, in a forked child: held, never used, never closed */
  bool has_prereq;            /* this libcurl, as compiled and as loaded, calls before_request */
  char *ca_file;              /* owned copies of the config */
  char *ca_path;
  char *proxy;
  struct curl_slist *routes; /* owned: as CURLOPT_CONNECT_TO takes them */
  size_t max_answer_bytes;
  long connect_timeout_ms;
  long timeout_ms;
};

/* The state of SIGPIPE in this thread before it was held back. */
typedef struct pac_http_pipe {
  sigset_t before;
  bool was_pending;
} pac_http_pipe;

/* libcurl leaves SIGPIPE to us, because CURLOPT_NOSIGNAL is set, and some TLS
** libraries write with plain write(): a peer that hung up would end the
** process. The signal is held back in this thread alone, around every call of
** libcurl that may write to a socket or close one. */
void pac_http_pipe_hold(pac_http_pipe *state);
void pac_http_pipe_release(const pac_http_pipe *state);

/* Makes libcurl ready to work, once per process. Returns PAC_FAILED if it
** cannot. */
pac_status pac_http_start_libcurl(pac_err *err) PAC_WARN_UNUSED;

/* Whether libcurl tells before it writes a request, see before_request. */
bool pac_http_transfer_has_prereq(void);

/* Sets up the handle for a (checked) request. Nothing is sent yet.
** Returns CURLE_OK, or the code to fail the transfer with. */
CURLcode pac_http_transfer_prepare(pac_http_transfer *transfer, const pac_http *http, const pac_http_request *request,
                                   bool loopback) PAC_WARN_UNUSED;

/* Completes the answer of a transfer that libcurl ended with this code. */
void pac_http_transfer_conclude(pac_http_transfer *transfer, CURLcode code);

/* The same for one that libcurl never began, or that is not ours to look at. */
void pac_http_transfer_fail(pac_http_transfer *transfer, CURLcode code);

/* Gives back what the transfer borrowed and owned, the handle excepted. */
void pac_http_transfer_clear(pac_http_transfer *transfer);

/* Checks one route, see pac_http_config_check. */
pac_status pac_http_route_check(const pac_http_route *route, pac_err *err) PAC_WARN_UNUSED;

/* Makes the lines that CURLOPT_CONNECT_TO takes, of routes that were checked; *out is NULL without routes.
** Returns PAC_NO_MEMORY, with *out NULL.
** Owns: the caller frees *out with curl_slist_free_all. */
pac_status pac_http_route_list(const pac_http_route *routes, size_t count, struct curl_slist **out,
                               pac_err *err) PAC_WARN_UNUSED;

/* Appends a copy of the list to *out, which stays the caller's. Returns false
** when memory is short. */
bool pac_http_route_copy(const struct curl_slist *list, struct curl_slist **out) PAC_WARN_UNUSED;

/* Checks every rule a request must keep, before anything is acquired.
** Returns PAC_INVALID (err names the place and the rule) or PAC_NO_MEMORY;
** PAC_OK sets *loopback: whether the URL's host is this machine. */
pac_status pac_http_request_check(const pac_http_request *request, bool *loopback, pac_err *err) PAC_WARN_UNUSED;

/* Whether a Content-Length belongs to this (checked) request. */
bool pac_http_request_has_body(const pac_http_request *request);

/* Sets kind and message of an answer whose code, status and phase are known.
** Args: stop; curl_text, libcurl's error text, used only while nothing was sent. */
void pac_http_judge(pac_http_answer *answer, const pac_http_stop *stop, const char *curl_text);

#endif
