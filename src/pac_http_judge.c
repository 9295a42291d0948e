/* pac_http_judge.c: from libcurl's error codes to kinds and words. The tables
** decide what people read, so no text here names a value. */
#include "pac_http_parts.h"

#include <stdio.h>
#include <string.h>

/* What libcurl's codes mean here. with_detail: libcurl's text is added, which
** is done only where it cannot hold bytes of the answer or of a proxy URL. */
static const struct verdict {
  CURLcode code;
  pac_http_kind kind;
  bool with_detail;
  const char *text;
} verdicts[] = {
  { CURLE_COULDNT_RESOLVE_PROXY, PAC_HTTP_NETWORK, false,
    "the proxy's name is not usable or unknown: check the proxy setting" },
  { CURLE_COULDNT_RESOLVE_HOST, PAC_HTTP_NETWORK, false,
    "the host name is unknown: check the URL's host and the name server" },
  { CURLE_COULDNT_CONNECT, PAC_HTTP_NETWORK, false,
    "no connection: check the URL's host and port, the firewall and the proxy" },
  { CURLE_SSL_CONNECT_ERROR, PAC_HTTP_NETWORK, true,
    "the TLS handshake failed: check that the port speaks TLS 1.2 or newer" },
  { CURLE_PEER_FAILED_VERIFICATION, PAC_HTTP_NETWORK, true,
    "the server's certificate is refused: check the URL's host, the clock and ca_file" },
  { CURLE_SSL_CACERT_BADFILE, PAC_HTTP_NETWORK, false, "the trusted certificates cannot be read: check ca_file" },
  { CURLE_GOT_NOTHING, PAC_HTTP_NETWORK, false, "the server closed the connection without an answer" },
  { CURLE_SEND_ERROR, PAC_HTTP_NETWORK, false, "the connection broke while the request was sent" },
  { CURLE_RECV_ERROR, PAC_HTTP_NETWORK, false, "the connection broke before the answer" },
  { CURLE_OPERATION_TIMEDOUT, PAC_HTTP_TIMEOUT, false, "no complete answer in time: check timeout_ms" },
  { CURLE_UNSUPPORTED_PROTOCOL, PAC_HTTP_PROTOCOL, false, "the answer is not HTTP" },
  { CURLE_WEIRD_SERVER_REPLY, PAC_HTTP_PROTOCOL, false, "the answer is not proper HTTP" },
  { CURLE_PARTIAL_FILE, PAC_HTTP_NETWORK, false, "the connection broke before the answer was complete" },
  { CURLE_BAD_CONTENT_ENCODING, PAC_HTTP_PROTOCOL, false, "the compressed answer cannot be decoded" },
  { CURLE_WRITE_ERROR, PAC_HTTP_PROTOCOL, false, "the answer could not be taken" },
  /* How libcurl tells of an HTTP/2 connection that ended under its requests. */
  { CURLE_HTTP2, PAC_HTTP_NETWORK, false, "the HTTP/2 connection ended with an error" },
  { CURLE_HTTP2_STREAM, PAC_HTTP_NETWORK, false, "the server ended the HTTP/2 stream" },
};

static const struct verdict *find_verdict(CURLcode code) {
  for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
    if (verdicts[i].code == code) {
      return &verdicts[i];
    }
  }
  return NULL;
}

/* libcurl's text as one line of ASCII: TLS texts hold line ends and names from
** the server's certificate. */
static void add_detail(pac_http_answer *answer, const char *detail) {
  size_t used = strlen(answer->message);
  (void)snprintf(answer->message + used, sizeof answer->message - used, " (%s)", detail);
  for (char *c = answer->message + used; *c != '\0'; c++) {
    if (*c < ' ' || *c > '~') {
      *c = ' ';
    }
  }
}

static void say(pac_http_answer *answer, pac_http_kind kind, const char *text) {
  answer->kind = kind;
  (void)snprintf(answer->message, sizeof answer->message, "%s", text);
}

static void judge_unsent(pac_http_answer *answer, const char *curl_text) {
  CURLcode code = (CURLcode)answer->code;
  const struct verdict *verdict = find_verdict(code);
  if (code == CURLE_OPERATION_TIMEDOUT) {
    say(answer, PAC_HTTP_TIMEOUT,
        "no connection in time, nothing was sent: check the URL's host, the firewall and connect_timeout_ms");
  } else if (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING) {
    say(answer, PAC_HTTP_NETWORK, "the connection was not completed: check the proxy and the URL's port");
  } else if (verdict == NULL || verdict->kind != PAC_HTTP_NETWORK) {
    say(answer, PAC_HTTP_NETWORK, "the request could not be started");
    add_detail(answer, curl_easy_strerror(code));
  } else {
    say(answer, verdict->kind, verdict->text);
    if (verdict->with_detail && curl_text[0] != '\0') {
      add_detail(answer, curl_text);
    }
  }
}

/* A chunk without a proper size has the code of a broken connection, and only
** its text is different. */
static bool is_bad_chunk(const pac_http_answer *answer, const char *curl_text) {
  return answer->code == CURLE_RECV_ERROR && answer->head_complete && strstr(curl_text, "chunk") != NULL;
}

/* Nothing of libcurl's text is shown from here on: it may quote the server. */
static void judge_sent(pac_http_answer *answer, const pac_http_stop *stop, const char *curl_text) {
  CURLcode code = (CURLcode)answer->code;
  const struct verdict *verdict = find_verdict(code);
  bool broke = verdict != NULL && verdict->kind == PAC_HTTP_NETWORK;
  if (stop->text != NULL) {
    say(answer, stop->kind, stop->text);
  } else if (is_bad_chunk(answer, curl_text)) {
    say(answer, PAC_HTTP_PROTOCOL, "the answer is not proper HTTP");
  } else if (code == CURLE_OK || (broke && answer->received_lines > 0)) {
    say(answer, PAC_HTTP_NETWORK, "the connection broke before the answer was complete");
  } else if (verdict != NULL) {
    say(answer, verdict->kind, verdict->text);
  } else {
    say(answer, PAC_HTTP_PROTOCOL, "the answer could not be read");
    add_detail(answer, curl_easy_strerror(code));
  }
}

/* libcurl calls a connection that ends within the headers a success. */
static bool is_complete(const pac_http_answer *answer) {
  return answer->code == CURLE_OK && answer->head_complete && answer->status >= 200;
}

void pac_http_judge(pac_http_answer *answer, const pac_http_stop *stop, const char *curl_text) {
  if (is_complete(answer)) {
    answer->kind = PAC_HTTP_ANSWERED;
  } else if (stop->text != NULL && stop->kind == PAC_HTTP_CANCELED) {
    say(answer, PAC_HTTP_CANCELED, stop->text);
  } else if (answer->phase == PAC_HTTP_UNKNOWN) {
    judge_sent(answer, stop, curl_text);
  } else {
    judge_unsent(answer, curl_text);
  }
}
