#include "unit.h"

#include "pac_http1.h"

#include <stdio.h>

#define OK_LINE "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK_LINE "Transfer-Encoding: chunked\r\n\r\n"

/* ---- requests ------------------------------------------------------------ */

static void assert_head(const pac_http_request *request, const char *expected) {
  pac_http1_place place;
  pac_err err;
  pac_buf head;
  pac_buf_init(&head);
  assert_int_equal(pac_http1_write(request, &place, &head, &err), PAC_OK);
  pac_buf_append(&head, "", 1);
  assert_string_equal(head.data, expected);
  pac_buf_free(&head);
}

static void test_head(void **state) {
  (void)state;
  const pac_http_header headers[] = { { "X-One", "1" }, { "X-Empty", "" }, { "X-Blank", " \t" } };
  pac_http_request request = { .method = "GET", .url = "https://link.example/a/../b?c=d#e", .headers = headers };
  assert_head(&request, "GET /a/../b?c=d HTTP/1.1\r\nHost: link.example\r\n\r\n");
  request.header_count = COUNT(headers);
  request.gzip = true;
  request.single_use = true;
  assert_head(&request, "GET /a/../b?c=d HTTP/1.1\r\nHost: link.example\r\nAccept-Encoding: gzip\r\n"
                        "Connection: close\r\nX-One: 1\r\nX-Empty:\r\nX-Blank:\r\n\r\n");
}

static void test_length(void **state) {
  (void)state;
  pac_http_request request = { .method = "POST", .url = "http://localhost:81" };
  assert_head(&request, "POST / HTTP/1.1\r\nHost: localhost:81\r\nContent-Length: 0\r\n\r\n");
  request.method = "DELETE";
  assert_head(&request, "DELETE / HTTP/1.1\r\nHost: localhost:81\r\n\r\n");
  request.body = "abc";
  request.body_bytes = 3;
  assert_head(&request, "DELETE / HTTP/1.1\r\nHost: localhost:81\r\nContent-Length: 3\r\n\r\n");
}

static void assert_place(const char *url, const char *host, int port, bool is_tls, bool is_ipv6, bool is_loopback) {
  pac_http_request request = { .method = "GET", .url = url };
  pac_http1_place place;
  pac_err err;
  pac_buf head;
  pac_buf_init(&head);
  assert_int_equal(pac_http1_write(&request, &place, &head, &err), PAC_OK);
  assert_string_equal(place.host, host);
  assert_int_equal(place.port, port);
  assert_int_equal(place.is_tls, is_tls);
  assert_int_equal(place.is_ipv6, is_ipv6);
  assert_int_equal(place.is_loopback, is_loopback);
  pac_buf_free(&head);
}

static void test_place(void **state) {
  (void)state;
  assert_place("https://link.example/", "link.example", 443, true, false, false);
  assert_place("HTTPS://link.example:8443/", "link.example", 8443, true, false, false);
  assert_place("http://127.0.0.1/", "127.0.0.1", 80, false, false, true);
  assert_place("http://[::1]:81/", "::1", 81, false, true, true);
  assert_place("https://[2001:db8::1]/", "2001:db8::1", 443, true, true, false);
}

static void assert_refused(const pac_http_request *request, const char *rule) {
  pac_http1_place place;
  pac_err err;
  pac_buf head;
  pac_buf_init(&head);
  assert_int_equal(pac_http1_write(request, &place, &head, &err), PAC_INVALID);
  assert_non_null(strstr(err.message, rule));
  assert_int_equal(head.length, 0);
  pac_buf_free(&head);
}

static void test_refused_requests(void **state) {
  (void)state;
  char long_url[400] = "https://";
  for (int i = 0; i < 127; i++) {
    memcpy(long_url + 8 + 2 * i, "a.", 3);
  }
  const pac_http_header length = { "Content-Length", "3" };
  const pac_http_request requests[] = {
    { .method = "GET", .url = "http://link.example/" },
    { .method = "GET", .url = "https://user@link.example/" },
    { .method = "GET", .url = long_url },
    { .method = "TRACE", .url = "https://link.example/" },
    { .method = "PUT", .url = "https://link.example/", .headers = &length, .header_count = 1 },
  };
  const char *const rules[] = { "loopback", "user name", "253", "request.method", "content-length" };
  for (size_t i = 0; i < COUNT(requests); i++) {
    assert_refused(&requests[i], rules[i]);
  }
}

/* ---- answers ------------------------------------------------------------- */

/* Feeds in pieces of that many bytes, each a copy of its own. */
static pac_status feed(pac_http1_reader *reader, const char *text, size_t length, size_t piece, pac_err *err) {
  pac_status status = PAC_OK;
  for (size_t at = 0; status == PAC_OK && at < length; at += piece) {
    size_t part = length - at < piece ? length - at : piece;
    char *copy = exact_copy(text + at, part);
    status = pac_http1_reader_feed(reader, copy, part, err);
    free(copy);
  }
  return status;
}

typedef struct row {
  const char *text;
  const char *body; /* NULL: refused */
  int status;
  bool may_keep;
  bool is_head;
} row;

static void check_row(const row *expected, size_t piece) {
  pac_http1_reader reader;
  pac_err err = { PAC_OK, "" };
  pac_http1_reader_init(&reader, expected->is_head, true, 1000);
  pac_status status = feed(&reader, expected->text, strlen(expected->text), piece, &err);
  if (expected->body == NULL) {
    assert_int_equal(status, PAC_INVALID);
    assert_int_equal(reader.state, PAC_HTTP1_FAILED);
    assert_int_equal(pac_http1_reader_feed(&reader, "x", 1, NULL), PAC_INVALID);
    assert_int_equal(pac_http1_reader_end(&reader, NULL), PAC_INVALID);
  } else {
    assert_int_equal(status, PAC_OK);
    assert_int_equal(reader.state, PAC_HTTP1_DONE);
    assert_int_equal(reader.answer.status, expected->status);
    assert_int_equal(reader.answer.body.length, strlen(expected->body));
    assert_true(reader.answer.body.length == 0 ||
                memcmp(reader.answer.body.data, expected->body, strlen(expected->body)) == 0);
    assert_int_equal(reader.may_keep, expected->may_keep);
  }
  pac_http1_reader_free(&reader);
}

static void test_answers(void **state) {
  (void)state;
  const row rows[] = {
    { OK_LINE "Content-Length: 2\r\n\r\nab", "ab", 200, true, false },
    { OK_LINE "Content-Length: \t 02 \t\r\n\r\nab", "ab", 200, true, false },
    { OK_LINE "Content-Length: 0\r\n\r\n", "", 200, true, false },
    { OK_LINE "content-length: 2\r\nCONNECTION: a,\tCLOSE ,b\r\n\r\nab", "ab", 200, false, false },
    { OK_LINE "Connection: closed, not-close\r\nContent-Length: 2\r\n\r\nab", "ab", 200, true, false },
    { "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab", "ab", 200, false, false },
    { "HTTP/1.1 422\r\nContent-Length: 0\r\n\r\n", "", 422, true, false },
    { "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "", 200, true, false },
    { OK_LINE "Content-Length: 2\r\n\r\nabc", "ab", 200, false, false },
    { OK_LINE "Content-Length: 500\r\nTransfer-Encoding: identity\r\n\r\n", NULL, 0, false, true },
    { OK_LINE "Content-Length: 500\r\n\r\n", "", 200, true, true },
    { OK_LINE "Transfer-Encoding: chunked\r\n\r\n", "", 200, true, true },
    { OK_LINE "\r\n", "", 200, true, true },
    { "HTTP/1.1 304 Same\r\nContent-Length: 500\r\n\r\n", "", 304, true, false },
    { "HTTP/1.1 204 None\r\n\r\n", "", 204, true, false },
    { "HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n", "", 204, true, false },
    { "HTTP/1.1 204 None\r\nContent-Length: 1\r\n\r\n", "", 204, false, false },
    { "HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n", "", 204, false, false },
    { "HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" OK_LINE "Content-Length: 1\r\n\r\na", "a", 200, true,
      false },
    { "HTTP/1.1 101 Other\r\n\r\n", NULL, 0, false, false },
    { "HTTP/1.1 103 Hint\r\nContent-Length: 1\r\n\r\n", NULL, 0, false, false },
    { CHUNKED "1\r\na\r\n00a;x=\"y\"\r\n0123456789\r\n0\r\n\r\n", "a0123456789", 200, true, false },
    { CHUNKED "2 ;x\r\nab\r\nA\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\n", "ab0123456789", 200, true, false },
    { CHUNKED "0\r\n\r\nHTTP", "", 200, false, false },
    { CHUNKED "0\r\n X: y\r\n\r\n", NULL, 0, false, false },
    { CHUNKED "2\r\nab0\r\n\r\n", NULL, 0, false, false },
    { CHUNKED "g\r\n", NULL, 0, false, false },
    { CHUNKED ";\r\n", NULL, 0, false, false },
    { CHUNKED "1 2\r\n", NULL, 0, false, false },
    { CHUNKED "0000000000000001\r\n", NULL, 0, false, false },
    { OK_LINE "Content-Length: 0000000000000001\r\n\r\n", NULL, 0, false, false },
    { OK_LINE "Content-Encoding: br\r\n\r\n", NULL, 0, false, false },
    { OK_LINE "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n\r\n", NULL, 0, false, false },
    { OK_LINE "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab", NULL, 0, false, false },
    { OK_LINE "Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", "", 200, true, false },
    { OK_LINE "Content-Encoding: identity\r\nContent-Length: 1\r\n\r\na", "a", 200, true, false },
    { "HTTP/1.1 200OK\r\n", NULL, 0, false, false },
    { "HTTP/1.1 099 No\r\n", NULL, 0, false, false },
    { "ICY 200 OK\r\n", NULL, 0, false, false },
    { OK_LINE "X: a\rb\r\n", NULL, 0, false, false },
    { OK_LINE "X: \x7f\r\n", NULL, 0, false, false },
    { OK_LINE "X:\x01\r\n", NULL, 0, false, false },
    { OK_LINE "X\n", NULL, 0, false, false },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    check_row(&rows[i], 1);
    check_row(&rows[i], 7);
    check_row(&rows[i], 100000);
  }
}

static void test_headers(void **state) {
  (void)state;
  const char text[] = "HTTP/1.1 103 Hint\r\nX-Early: 1\r\n\r\n" OK_LINE
                      "X-Two: a\r\nx-two:\tb \r\nX-None:\r\nContent-Length: 0\r\n\r\n";
  const char *const expected[] = { "x-two", "a", "x-two", "b", "x-none", "", "content-length", "0" };
  pac_http1_reader reader;
  const char *name;
  const char *value;
  size_t cursor = 0;
  pac_http1_reader_init(&reader, false, false, 1);
  assert_int_equal(feed(&reader, text, strlen(text), 3, NULL), PAC_OK);
  for (size_t i = 0; i < COUNT(expected); i += 2) {
    assert_true(pac_http_answer_next(&reader.answer, &cursor, &name, &value));
    assert_string_equal(name, expected[i]);
    assert_string_equal(value, expected[i + 1]);
  }
  assert_false(pac_http_answer_next(&reader.answer, &cursor, &name, &value));
  pac_http1_reader_free(&reader);
}

/* An answer that is cut anywhere is never taken for a whole one. */
static void test_ends(void **state) {
  (void)state;
  const char *const texts[] = { OK_LINE "Content-Length: 2\r\n\r\nab", CHUNKED "2;x\r\nab\r\n0\r\nX: y\r\n\r\n" };
  for (size_t i = 0; i < COUNT(texts); i++) {
    for (size_t cut = 0; cut <= strlen(texts[i]); cut++) {
      pac_http1_reader reader;
      pac_err err;
      pac_http1_reader_init(&reader, false, false, 1000);
      assert_int_equal(feed(&reader, texts[i], cut, 1000, &err), PAC_OK);
      assert_int_equal(reader.state == PAC_HTTP1_DONE, cut == strlen(texts[i]));
      assert_int_equal(pac_http1_reader_end(&reader, &err), cut == strlen(texts[i]) ? PAC_OK : PAC_FAILED);
      assert_false(reader.may_keep);
      pac_http1_reader_free(&reader);
    }
  }
}

static void test_body_until_end(void **state) {
  (void)state;
  const char text[] = OK_LINE "\r\nall of it";
  pac_http1_reader reader;
  pac_err err;
  pac_http1_reader_init(&reader, false, false, 9);
  assert_int_equal(feed(&reader, text, strlen(text), 4, &err), PAC_OK);
  assert_int_equal(reader.state, PAC_HTTP1_UNTIL_END);
  assert_int_equal(pac_http1_reader_end(&reader, &err), PAC_OK);
  assert_int_equal(reader.state, PAC_HTTP1_DONE);
  assert_int_equal(reader.answer.body.length, 9);
  assert_false(reader.may_keep);
  pac_http1_reader_free(&reader);
}

/* ---- limits -------------------------------------------------------------- */

/* Begins with start and repeats more until the reader refuses or it was said often enough. */
static pac_status repeat(const char *start, const char *more, size_t times, bool gzip) {
  pac_http1_reader reader;
  pac_http1_reader_init(&reader, false, gzip, 1000);
  pac_status status = feed(&reader, start, strlen(start), 4096, NULL);
  for (size_t i = 0; status == PAC_OK && i < times; i++) {
    status = pac_http1_reader_feed(&reader, more, strlen(more), NULL);
  }
  pac_http1_reader_free(&reader);
  return status;
}

static void test_limits(void **state) {
  (void)state;
  assert_int_equal(repeat(OK_LINE, "X: y\r\n", PAC_HTTP_MAX_HEADER_LINES - 1, false), PAC_OK);
  assert_int_equal(repeat(OK_LINE, "X: y\r\n", PAC_HTTP_MAX_HEADER_LINES, false), PAC_TOO_LONG);
  assert_int_equal(repeat(CHUNKED "0\r\n", "X: y\r\n", PAC_HTTP_MAX_HEADER_LINES, false), PAC_TOO_LONG);
  assert_int_equal(repeat("", "HTTP/1.1 100 Go on\r\n\r\n", PAC_HTTP_MAX_HEADER_LINES / 2 + 1, false), PAC_TOO_LONG);
  assert_int_equal(repeat(OK_LINE "X: ", "0123456789abcdef", PAC_HTTP_MAX_HEADER_BYTES / 16 - 1, false), PAC_OK);
  assert_int_equal(repeat(OK_LINE "X: ", "0123456789abcdef", PAC_HTTP_MAX_HEADER_BYTES / 16 + 1, false), PAC_TOO_LONG);
  assert_int_equal(repeat(CHUNKED "1;", "0123456789abcdef", PAC_HTTP_MAX_HEADER_BYTES / 16 + 1, false), PAC_TOO_LONG);
  assert_int_equal(repeat(CHUNKED, "1\r\na\r\n", 1000, false), PAC_OK);
  assert_int_equal(repeat(CHUNKED, "1\r\na\r\n", 1001, false), PAC_TOO_LONG);
  assert_int_equal(repeat(OK_LINE "\r\n", "a", 1000, false), PAC_OK);
  assert_int_equal(repeat(OK_LINE "\r\n", "a", 1001, false), PAC_TOO_LONG);
  assert_int_equal(repeat(OK_LINE "Content-Length: 1000\r\n\r\n", "", 0, false), PAC_OK);
  assert_int_equal(repeat(OK_LINE "Content-Length: 1001\r\n\r\n", "", 0, false), PAC_TOO_LONG);
  assert_int_equal(repeat(OK_LINE "Content-Encoding: gzip\r\n\r\n", "a", 5000, true), PAC_TOO_LONG);
}

/* Chunk extensions count, however little each of them is. */
static void test_extensions_add_up(void **state) {
  (void)state;
  char chunk[1100];
  memset(chunk, 'x', sizeof chunk);
  memcpy(chunk, "1;", 2);
  memcpy(chunk + 1000, "\r\na\r\n", 6);
  assert_int_equal(repeat(CHUNKED, chunk, 200, false), PAC_OK);
  assert_int_equal(repeat(CHUNKED, chunk, 300, false), PAC_TOO_LONG);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_head),    cmocka_unit_test(test_length),
    cmocka_unit_test(test_place),   cmocka_unit_test(test_refused_requests),
    cmocka_unit_test(test_answers), cmocka_unit_test(test_headers),
    cmocka_unit_test(test_ends),    cmocka_unit_test(test_body_until_end),
    cmocka_unit_test(test_limits),  cmocka_unit_test(test_extensions_add_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
