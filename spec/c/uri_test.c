/* pac_uri: what is taken apart, what is refused and with which words, and the
** encoders against a decoder written here. */
#include "unit.h"

#include <stdio.h>

#include "pac_uri.h"

static pac_status parse(const char *text, size_t length, pac_uri *out) {
  char *copy = exact_copy(text, length);
  pac_status status = pac_uri_parse(copy, length, out);
  free(copy);
  return status;
}

static void assert_view(const char *at, size_t length, const char *expected) {
  assert_int_equal(length, strlen(expected));
  assert_memory_equal(at, expected, length);
}

static void test_takes_urls_apart(void **state) {
  (void)state;
  static const struct {
    const char *text, *scheme, *host, *path;
    int port, is_https, is_ipv6;
  } rows[] = {
    { "https://example.com", "https", "example.com", "", 0, 1, 0 },
    { "http://example.com/", "http", "example.com", "/", 0, 0, 0 },
    { "HTTPS://Example.COM:8443/a/b%20c", "HTTPS", "Example.COM", "/a/b%20c", 8443, 1, 0 },
    { "https://link-sandbox.paciolan.info/v1:x@y;z=1,2", "https", "link-sandbox.paciolan.info", "/v1:x@y;z=1,2", 0, 1,
      0 },
    { "http://127.0.0.1:65535", "http", "127.0.0.1", "", 65535, 0, 0 },
    { "http://h:1/", "http", "h", "/", 1, 0, 0 },
    { "https://[::1]:9/p", "https", "::1", "/p", 9, 1, 1 },
    { "https://[2001:db8::ffff:192.0.2.1]", "https", "2001:db8::ffff:192.0.2.1", "", 0, 1, 1 },
    { "https://under_score.a-b/", "https", "under_score.a-b", "/", 0, 1, 0 },
    { "https://1.2.3.example/", "https", "1.2.3.example", "/", 0, 1, 0 },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    pac_uri uri;
    assert_int_equal(pac_uri_parse(rows[i].text, strlen(rows[i].text), &uri), PAC_OK);
    assert_view(uri.scheme, uri.scheme_length, rows[i].scheme);
    assert_view(uri.host, uri.host_length, rows[i].host);
    assert_view(uri.path, uri.path_length, rows[i].path);
    assert_int_equal(uri.port, rows[i].port);
    assert_int_equal(uri.is_https, rows[i].is_https);
    assert_int_equal(uri.host_is_ipv6, rows[i].is_ipv6);
  }
}

/* What must stand in the message when the text is given as base_url. */
static const struct {
  const char *text;
  const char *rule;
} bad_urls[] = {
  { "", "begin with https://" },
  { "example.com", "begin with https://" },
  { "//example.com", "begin with https://" },
  { "https:/example.com", "begin with https://" },
  { "https:example.com", "begin with https://" },
  { "ftp://example.com", "begin with https://" },
  { "file:///etc/passwd", "begin with https://" },
  { "httpss://example.com", "begin with https://" },
  { " https://example.com", "spaces" },
  { "https://", "must have a host" },
  { "https:///path", "must have a host" },
  { "https://:443/", "must have a host" },
  { "https://user@example.com", "user name" },
  { "https://user:pw@example.com/", "user name" },
  { "https://@example.com/", "user name" },
  { "https://example.com?x=1", "query" },
  { "https://example.com/?", "query" },
  { "https://example.com/a#b", "fragment" },
  { "https://example.com#", "fragment" },
  { "https://exam ple.com/", "spaces" },
  { "https://example.com/a b", "spaces" },
  { "https://example.com/\r\nX: y", "control" },
  { "https://example.com/\t", "control" },
  { "https://example.com/\x7f", "control" },
  { "https://ex\xc3\xa4mple.com/", "ASCII" },
  { "https://example.com/\xff", "ASCII" },
  { "https:\\\\example.com", "backslashes" },
  { "https://example.com\\@evil.example", "backslashes" },
  { "https://example.com:0/", "port" },
  { "https://example.com:65536/", "port" },
  { "https://example.com:99999999999999999999/", "port" },
  { "https://example.com:/", "port" },
  { "https://example.com:080/", "port" },
  { "https://example.com:+80/", "port" },
  { "https://example.com:8o/", "port" },
  { "https://example.com:80:80/", "port" },
  { "https://::1/", "must have a host" },
  { "https://[::1", "IPv6" },
  { "https://[]/", "IPv6" },
  { "https://[::1%25lo]/", "IPv6" },
  { "https://[127.0.0.1]/", "IPv6" },
  { "https://[1:2:3:4:5:6:7:8:9]/", "IPv6" },
  { "https://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]/", "IPv6" },
  { "https://[::1]x/", "after the host" },
  { "https://[::1]:/", "port" },
  { "https://example..com/", "1 to 63" },
  { "https://.example.com/", "1 to 63" },
  { "https://example.com./", "1 to 63" },
  { "https://exa%6dple.com/", "host of letters" },
  { "https://exa!mple.com/", "host of letters" },
  { "https://2130706433/", "four decimal octets" },
  { "https://127.1/", "four decimal octets" },
  { "https://0177.0.0.1/", "four decimal octets" },
  { "https://127.0.0.01/", "four decimal octets" },
  { "https://127.0.0.256/", "four decimal octets" },
  { "https://127.0.0.0x1/", "four decimal octets" },
  { "https://0x7f000001/", "four decimal octets" },
  { "https://1.2.3.4.5/", "four decimal octets" },
  { "https://example.com/%", "hex digits" },
  { "https://example.com/%4", "hex digits" },
  { "https://example.com/%zz", "hex digits" },
  { "https://example.com/{id}", "percent-encode" },
  { "https://example.com/a|b", "percent-encode" },
  { "https://example.com/\"", "percent-encode" },
};

static void test_refuses_what_is_no_plain_url(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(bad_urls); i++) {
    pac_err err = { PAC_OK, "" };
    pac_uri uri = { .port = 4711 };
    size_t length = strlen(bad_urls[i].text);
    if (parse(bad_urls[i].text, length, &uri) != PAC_INVALID) {
      fail_msg("accepted: %s", bad_urls[i].text);
    }
    assert_int_equal(uri.port, 4711);
    assert_int_equal(pac_uri_check_base(bad_urls[i].text, length, &err), PAC_INVALID);
    assert_int_equal(err.status, PAC_INVALID);
    assert_int_equal(strncmp(err.message, "base_url must ", 14), 0);
    if (!strstr(err.message, bad_urls[i].rule)) {
      fail_msg("%s: %s", bad_urls[i].text, err.message);
    }
    assert_int_equal(pac_uri_check_base(bad_urls[i].text, length, NULL), PAC_INVALID);
  }
  pac_uri uri;
  assert_int_equal(pac_uri_parse(NULL, 0, &uri), PAC_INVALID);
}

static void test_nul_is_data(void **state) {
  (void)state;
  static const char inside[] = "https://example.com\0.evil.example/";
  static const char behind[] = "https://example.com/\0";
  pac_uri uri;
  assert_int_equal(parse(inside, sizeof inside - 1, &uri), PAC_INVALID);
  assert_int_equal(parse(behind, sizeof behind - 1, &uri), PAC_INVALID);
  assert_int_equal(parse("https://[::1\0]/", 15, &uri), PAC_INVALID);
  assert_int_equal(pac_uri_check_callback(inside, sizeof inside - 1, 0, NULL), PAC_INVALID);
}

static void test_paths_hold_only_what_a_path_may(void **state) {
  (void)state;
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~!$&'()*+,;=:@/";
  char text[] = "https://h/x";
  for (int byte = 0; byte < 256; byte++) {
    pac_uri uri;
    text[sizeof text - 2] = (char)byte;
    int is_allowed = byte != 0 && strchr(allowed, byte) != NULL;
    assert_int_equal(parse(text, sizeof text - 1, &uri), is_allowed ? PAC_OK : PAC_INVALID);
  }
}

static void test_hosts_have_the_length_limits_of_dns(void **state) {
  (void)state;
  char text[400];
  pac_uri uri;
  for (int label = 62; label <= 65; label++) {
    int length = snprintf(text, sizeof text, "https://%0*d.x/", label, 0);
    assert_int_equal(parse(text, (size_t)length, &uri), label <= 63 ? PAC_OK : PAC_INVALID);
  }
  for (int last = 60; last <= 63; last++) { /* 3 * 64 + last */
    int length = snprintf(text, sizeof text, "https://%063d.%063d.%063d.%0*d", 0, 0, 0, last, 0);
    text[length - 1] = 'x'; /* a name, not a number */
    assert_int_equal(parse(text, (size_t)length, &uri), last <= 61 ? PAC_OK : PAC_INVALID);
  }
}

static void test_knows_loopback_by_its_spelling(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int is_loopback;
  } rows[] = {
    { "http://localhost", 1 },
    { "http://LocalHost:80/x", 1 },
    { "http://127.0.0.1", 1 },
    { "http://127.255.255.254/", 1 },
    { "http://[::1]", 1 },
    { "http://[0:0:0:0:0:0:0:1]:8080", 1 },
    { "http://localhost.example", 0 },
    { "http://xlocalhost", 0 },
    { "http://127.0.0.1.example", 0 },
    { "http://128.0.0.1", 0 },
    { "http://12.7.0.1", 0 },
    { "http://[::2]", 0 },
    { "http://[::]", 0 },
    { "http://[::ffff:127.0.0.1]", 0 },
    { "http://0.0.0.0", 0 },
    { "http://example.com/127.0.0.1", 0 },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    pac_uri uri;
    pac_err err = { PAC_OK, "" };
    size_t length = strlen(rows[i].text);
    assert_int_equal(pac_uri_parse(rows[i].text, length, &uri), PAC_OK);
    assert_int_equal(pac_uri_is_loopback(&uri), rows[i].is_loopback);
    assert_int_equal(pac_uri_check_base(rows[i].text, length, &err), rows[i].is_loopback ? PAC_OK : PAC_INVALID);
    assert_int_equal(strstr(err.message, "loopback") != NULL, !rows[i].is_loopback);
  }
}

static void test_base_urls_may_have_a_prefix_without_dot_segments(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int is_good;
  } rows[] = {
    { "https://example.com", 1 },       { "https://example.com/", 1 },       { "https://example.com:8443/api/v1/", 1 },
    { "https://example.com/v1.2/", 1 }, { "https://example.com/...", 1 },    { "https://example.com/.x", 1 },
    { "https://example.com/%2ex", 1 },  { "http://localhost:8080/link", 1 }, { "https://example.com/.", 0 },
    { "https://example.com/..", 0 },    { "https://example.com/a/../b", 0 }, { "https://example.com/a/./", 0 },
    { "https://example.com/%2e", 0 },   { "https://example.com/.%2E/x", 0 }, { "https://example.com/%2e%2e", 0 },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    pac_err err = { PAC_OK, "" };
    assert_int_equal(pac_uri_check_base(rows[i].text, strlen(rows[i].text), &err),
                     rows[i].is_good ? PAC_OK : PAC_INVALID);
    assert_int_equal(strstr(err.message, "'..'") != NULL, !rows[i].is_good);
  }
}

static pac_status callback(const char *text, int https_only, pac_err *err) {
  size_t length = strlen(text);
  char *copy = exact_copy(text, length);
  pac_status status = pac_uri_check_callback(copy, length, https_only, err);
  free(copy);
  return status;
}

static void test_callbacks_may_have_more_parts(void **state) {
  (void)state;
  static const char *const good[] = {
    "https://example.com",
    "https://example.com/cb?order=1&x=a/b?c@d",
    "https://example.com?x=1",
    "https://user:pa%40ss@example.com:8443/cb",
    "https://user@[2001:db8::1]:8443/cb",
    "https://example.com/{order}|x",
  };
  for (size_t i = 0; i < COUNT(good); i++) {
    assert_int_equal(callback(good[i], 0, NULL), PAC_OK);
    assert_int_equal(callback(good[i], 1, NULL), PAC_OK);
  }
}

static void test_callbacks_are_refused_by_rule_and_without_their_value(void **state) {
  (void)state;
  static const struct {
    const char *text, *rule;
  } bad[] = {
    { "/secret", "begin with" },
    { "mailto:secret@example.com", "begin with" },
    { "https://u:secret@example.com/#f", "fragment" },
    { "https://u:secret@example.com/a b", "spaces" },
    { "https://u:secret@example.com/\n", "control" },
    { "https://u:secret@example.com:0/", "port" },
    { "https://u:secret@/", "must have a host" },
    { "https://u@secret@example.com/", "one '@'" },
    { "https://u:secret@127.1/", "four decimal octets" },
    { "https://u:secret@ex\xc3\xa4mple.com/", "ASCII" },
  };
  for (size_t i = 0; i < COUNT(bad); i++) {
    pac_err err = { PAC_OK, "" };
    assert_int_equal(callback(bad[i].text, 0, &err), PAC_INVALID);
    assert_int_equal(strncmp(err.message, "callback URL must ", 18), 0);
    assert_non_null(strstr(err.message, bad[i].rule));
    assert_null(strstr(err.message, "secret"));
  }
}

static void test_callbacks_can_be_held_to_https(void **state) {
  (void)state;
  pac_err err = { PAC_OK, "" };
  assert_int_equal(callback("http://example.com/cb", 0, &err), PAC_OK);
  assert_int_equal(callback("http://example.com/cb", 1, &err), PAC_INVALID);
  assert_string_equal(err.message, "callback URL must be https");
}

/* ---- the encoders ---- */

typedef pac_status (*append_function)(char *, size_t, size_t *, const char *, size_t);

static void assert_appends(append_function append, const char *text, const char *expected) {
  char out[64] = "x/";
  size_t length = 2;
  assert_int_equal(append(out, sizeof out, &length, text, strlen(text)), PAC_OK);
  assert_int_equal(strncmp(out, "x/", 2), 0);
  assert_view(out + 2, length - 2, expected);
}

static void test_segments_keep_what_a_path_may_hold(void **state) {
  (void)state;
  assert_appends(pac_uri_append_segment, "3785222-AMTX:10555", "3785222-AMTX:10555");
  assert_appends(pac_uri_append_segment, "aZ09-._~!$&'()*+,;=:@", "aZ09-._~!$&'()*+,;=:@");
  assert_appends(pac_uri_append_segment, "a/b?c#d e%f", "a%2Fb%3Fc%23d%20e%25f");
  assert_appends(pac_uri_append_segment, "\xc3\xa4\\|", "%C3%A4%5C%7C");
  assert_appends(pac_uri_append_segment, "...", "...");
  assert_appends(pac_uri_append_segment, ".a", ".a");
}

static void test_query_values_keep_only_unreserved(void **state) {
  (void)state;
  assert_appends(pac_uri_append_query, "aZ09-._~", "aZ09-._~");
  assert_appends(pac_uri_append_query, "a&b=c+d /:@", "a%26b%3Dc%2Bd%20%2F%3A%40");
  assert_appends(pac_uri_append_query, "", "");
  assert_appends(pac_uri_append_query, "..", "..");
}

static void test_encoders_refuse_what_must_not_travel(void **state) {
  (void)state;
  static const append_function both[] = { pac_uri_append_segment, pac_uri_append_query };
  char out[16] = "keep";
  size_t length = 4;
  for (size_t i = 0; i < COUNT(both); i++) {
    for (int byte = 0; byte < 256; byte++) {
      char text[3] = { 'a', (char)byte, 'b' };
      size_t used = 0;
      pac_status expected = byte < 0x20 || byte == 0x7f ? PAC_INVALID : PAC_OK;
      assert_int_equal(both[i](out + 4, 12, &used, text, 3), expected);
    }
  }
  static const char *const segments[] = { "", ".", ".." };
  for (size_t i = 0; i < COUNT(segments); i++) {
    assert_int_equal(pac_uri_append_segment(out, sizeof out, &length, segments[i], strlen(segments[i])), PAC_INVALID);
  }
  assert_int_equal(pac_uri_append_segment(out, sizeof out, &length, NULL, 0), PAC_INVALID);
  assert_int_equal(pac_uri_append_query(NULL, 0, &(size_t){ 0 }, NULL, 0), PAC_OK);
  assert_int_equal(length, 4);
  assert_memory_equal(out, "keep", 4);
}

static void test_encoders_fill_the_buffer_and_no_more(void **state) {
  (void)state;
  for (size_t capacity = 0; capacity <= 9; capacity++) {
    char *out = exact_copy("#########", capacity);
    size_t used = capacity > 0 ? 1 : 0; /* one byte is taken, and nine are needed: a%2Fb%20c */
    size_t length = used;
    assert_int_equal(pac_uri_append_segment(out, capacity, &length, "a/b c", 5), PAC_TOO_LONG);
    assert_int_equal(length, used);
    assert_memory_equal(out, "#########", capacity);
    free(out);
  }
  char out[9];
  size_t length = 0;
  assert_int_equal(pac_uri_append_segment(out, sizeof out, &length, "a/b c", 5), PAC_OK);
  assert_view(out, length, "a%2Fb%20c");
  length = 10; /* more than there is */
  assert_int_equal(pac_uri_append_query(out, sizeof out, &length, "", 0), PAC_TOO_LONG);
}

static int nibble(char digit) {
  const char *at = strchr("0123456789ABCDEF", digit);
  assert_true(at != NULL && digit != '\0');
  return (int)(at - strchr("0123456789ABCDEF", '0'));
}

static size_t decode(const char *text, size_t length, char *out) {
  size_t used = 0;
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '%') {
      out[used++] = (char)(nibble(text[i + 1]) * 16 + nibble(text[i + 2]));
      i += 2;
    } else {
      out[used++] = text[i];
    }
  }
  return used;
}

/* Five thousand texts from a fixed seed; what comes back must be what went in,
** and what travels must be a path that the parser takes. */
static void test_decoding_gives_back_what_was_encoded(void **state) {
  (void)state;
  static const append_function both[] = { pac_uri_append_segment, pac_uri_append_query };
  uint32_t seed = 12345;
  for (int round = 0; round < 5000; round++) {
    char text[40];
    char url[10 + 3 * sizeof text] = "https://h/";
    char back[sizeof text * 3];
    seed = seed * 1664525U + 1013904223U;
    size_t count = 3 + (seed >> 8) % (sizeof text - 2);
    for (size_t i = 0; i < count; i++) {
      seed = seed * 1664525U + 1013904223U;
      char byte = (char)(seed >> 24);
      text[i] = (unsigned char)byte < 0x20 || byte == 0x7f ? '/' : byte;
    }
    size_t length = 10;
    pac_uri uri;
    assert_int_equal(both[round % 2](url, sizeof url, &length, text, count), PAC_OK);
    assert_int_equal(pac_uri_parse(url, length, &uri), PAC_OK);
    assert_int_equal(uri.path_length, length - 9);
    assert_null(memchr(uri.path + 1, '/', uri.path_length - 1));
    assert_int_equal(decode(url + 10, length - 10, back), count);
    assert_memory_equal(back, text, count);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_takes_urls_apart),
    cmocka_unit_test(test_refuses_what_is_no_plain_url),
    cmocka_unit_test(test_nul_is_data),
    cmocka_unit_test(test_paths_hold_only_what_a_path_may),
    cmocka_unit_test(test_hosts_have_the_length_limits_of_dns),
    cmocka_unit_test(test_knows_loopback_by_its_spelling),
    cmocka_unit_test(test_base_urls_may_have_a_prefix_without_dot_segments),
    cmocka_unit_test(test_callbacks_may_have_more_parts),
    cmocka_unit_test(test_callbacks_are_refused_by_rule_and_without_their_value),
    cmocka_unit_test(test_callbacks_can_be_held_to_https),
    cmocka_unit_test(test_segments_keep_what_a_path_may_hold),
    cmocka_unit_test(test_query_values_keep_only_unreserved),
    cmocka_unit_test(test_encoders_refuse_what_must_not_travel),
    cmocka_unit_test(test_encoders_fill_the_buffer_and_no_more),
    cmocka_unit_test(test_decoding_gives_back_what_was_encoded),
  };
  return cmocka_run_group_tests_name("uri", tests, NULL, NULL);
}
