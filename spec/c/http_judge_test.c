/* http_judge_test.c: what libcurl's codes mean, before and after a request was
** written, and that nothing of the server's bytes gets into the words. */
#include "unit.h"

#include "pac_http_parts.h"

#define QUOTED "HIDDEN chunk"

typedef struct row {
  const char *label;
  CURLcode code;
  pac_http_phase phase;
  size_t lines; /* header lines that had come */
  bool head_complete;
  int status;
  pac_http_kind kind;
} row;

static const row rows[] = {
  { "a whole answer", CURLE_OK, PAC_HTTP_UNKNOWN, 3, true, 200, PAC_HTTP_ANSWERED },
  { "the largest status", CURLE_OK, PAC_HTTP_UNKNOWN, 3, true, 999, PAC_HTTP_ANSWERED },
  { "an interim answer, then the end", CURLE_OK, PAC_HTTP_UNKNOWN, 2, true, 103, PAC_HTTP_NETWORK },
  { "half a head", CURLE_OK, PAC_HTTP_UNKNOWN, 2, false, 200, PAC_HTTP_NETWORK },
  { "half a body", CURLE_PARTIAL_FILE, PAC_HTTP_UNKNOWN, 3, true, 200, PAC_HTTP_NETWORK },
  { "a reset before the answer", CURLE_RECV_ERROR, PAC_HTTP_UNKNOWN, 0, false, 0, PAC_HTTP_NETWORK },
  { "a reset within the head", CURLE_RECV_ERROR, PAC_HTTP_UNKNOWN, 2, false, 200, PAC_HTTP_NETWORK },
  { "a reset while sending", CURLE_SEND_ERROR, PAC_HTTP_UNKNOWN, 0, false, 0, PAC_HTTP_NETWORK },
  { "no answer", CURLE_GOT_NOTHING, PAC_HTTP_UNKNOWN, 0, false, 0, PAC_HTTP_NETWORK },
  { "a stream that was reset", CURLE_HTTP2_STREAM, PAC_HTTP_UNKNOWN, 3, true, 200, PAC_HTTP_NETWORK },
  { "an HTTP/2 connection that ended", CURLE_HTTP2, PAC_HTTP_UNKNOWN, 0, false, 0, PAC_HTTP_NETWORK },
  { "a bad chunk", CURLE_RECV_ERROR, PAC_HTTP_UNKNOWN, 3, true, 200, PAC_HTTP_PROTOCOL },
  { "no HTTP", CURLE_UNSUPPORTED_PROTOCOL, PAC_HTTP_UNKNOWN, 0, false, 0, PAC_HTTP_PROTOCOL },
  { "wrong HTTP", CURLE_WEIRD_SERVER_REPLY, PAC_HTTP_UNKNOWN, 1, false, 0, PAC_HTTP_PROTOCOL },
  { "wrong compression", CURLE_BAD_CONTENT_ENCODING, PAC_HTTP_UNKNOWN, 3, true, 200, PAC_HTTP_PROTOCOL },
  { "a code of its own", CURLE_OUT_OF_MEMORY, PAC_HTTP_UNKNOWN, 3, true, 200, PAC_HTTP_PROTOCOL },
  { "no answer in time", CURLE_OPERATION_TIMEDOUT, PAC_HTTP_UNKNOWN, 0, false, 0, PAC_HTTP_TIMEOUT },
  { "no connection in time", CURLE_OPERATION_TIMEDOUT, PAC_HTTP_NOT_SENT, 0, false, 0, PAC_HTTP_TIMEOUT },
  { "an unknown host", CURLE_COULDNT_RESOLVE_HOST, PAC_HTTP_NOT_SENT, 0, false, 0, PAC_HTTP_NETWORK },
  { "a closed port", CURLE_COULDNT_CONNECT, PAC_HTTP_NOT_SENT, 0, false, 0, PAC_HTTP_NETWORK },
  { "a proxy that hung up", CURLE_RECV_ERROR, PAC_HTTP_NOT_SENT, 0, false, 0, PAC_HTTP_NETWORK },
  { "nothing begun", CURLE_OUT_OF_MEMORY, PAC_HTTP_NOT_SENT, 0, false, 0, PAC_HTTP_NETWORK },
};

static pac_http_answer judge(const row *given, const pac_http_stop *stop) {
  pac_http_answer answer = { .code = (int)given->code,
                             .phase = given->phase,
                             .received_lines = given->lines,
                             .head_complete = given->head_complete,
                             .status = given->status };
  pac_http_judge(&answer, stop, QUOTED);
  return answer;
}

static void test_kinds(void **state) {
  (void)state;
  const pac_http_stop none = { PAC_HTTP_ANSWERED, NULL };
  for (size_t i = 0; i < COUNT(rows); i++) {
    pac_http_answer answer = judge(&rows[i], &none);
    if (answer.kind != rows[i].kind) {
      fail_msg("%s: kind %d instead of %d", rows[i].label, (int)answer.kind, (int)rows[i].kind);
    }
    assert_int_equal(answer.message[0] == '\0', answer.kind == PAC_HTTP_ANSWERED);
    assert_null(strstr(answer.message, QUOTED));
  }
}

static void test_tls_says_what_is_wrong_with_a_certificate(void **state) {
  (void)state;
  const pac_http_stop none = { PAC_HTTP_ANSWERED, NULL };
  const row refused = { "", CURLE_PEER_FAILED_VERIFICATION, PAC_HTTP_NOT_SENT, 0, false, 0, PAC_HTTP_NETWORK };
  pac_http_answer answer = judge(&refused, &none);
  assert_int_equal(answer.kind, PAC_HTTP_NETWORK);
  assert_non_null(strstr(answer.message, QUOTED));
}

static void test_our_own_stop_comes_first(void **state) {
  (void)state;
  const pac_http_stop limit = { PAC_HTTP_PROTOCOL, "too large" };
  const pac_http_stop canceled = { PAC_HTTP_CANCELED, "canceled" };
  row stopped = { "", CURLE_WRITE_ERROR, PAC_HTTP_UNKNOWN, 3, true, 200, PAC_HTTP_PROTOCOL };
  pac_http_answer answer = judge(&stopped, &limit);
  assert_int_equal(answer.kind, PAC_HTTP_PROTOCOL);
  assert_string_equal(answer.message, "too large");
  for (int phase = PAC_HTTP_NOT_SENT; phase <= PAC_HTTP_UNKNOWN; phase++) {
    stopped.code = CURLE_ABORTED_BY_CALLBACK;
    stopped.phase = (pac_http_phase)phase;
    answer = judge(&stopped, &canceled);
    assert_int_equal(answer.kind, PAC_HTTP_CANCELED);
    assert_int_equal(answer.phase, phase);
    assert_string_equal(answer.message, "canceled");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_kinds),
    cmocka_unit_test(test_tls_says_what_is_wrong_with_a_certificate),
    cmocka_unit_test(test_our_own_stop_comes_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
