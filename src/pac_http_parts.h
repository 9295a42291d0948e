/* pac_http_parts.h: what the three files behind pac_http.h show each other. */
#ifndef PAC_HTTP_PARTS_H
#define PAC_HTTP_PARTS_H

#include "pac_http.h"

/* Why a callback of ours ended a transfer; text is static, NULL if none did. */
typedef struct pac_http_stop {
  pac_http_kind kind;
  const char *text;
} pac_http_stop;

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
