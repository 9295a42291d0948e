/* pac_buf: growth, JSON text and numbers, UTF-8 and JSON numbers judged. */
#include "unit.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>

#include "pac_buf.h"

static void expect_bytes(const pac_buf *buf, const char *wanted, size_t length) {
  assert_true(pac_buf_ok(buf));
  assert_int_equal(buf->length, length);
  if (length > 0) {
    assert_memory_equal(buf->data, wanted, length);
  }
}

static void test_an_empty_buffer_holds_nothing(void **state) {
  (void)state;
  pac_buf buf;
  pac_buf_init(&buf);
  expect_bytes(&buf, "", 0);
  assert_null(buf.data);
  pac_buf_append(&buf, NULL, 0);
  pac_buf_append_text(&buf, "");
  assert_null(buf.data);
  pac_buf_free(&buf);
  pac_buf_free(&buf);
}

static void test_it_grows_by_single_bytes(void **state) {
  (void)state;
  enum { BYTES = 100000 };
  pac_buf buf;
  pac_buf_init(&buf);
  for (int i = 0; i < BYTES; i++) {
    char c = (char)(i % 251);
    pac_buf_append(&buf, &c, 1);
  }
  assert_true(pac_buf_ok(&buf));
  assert_int_equal(buf.length, BYTES);
  assert_true(buf.capacity >= BYTES);
  for (int i = 0; i < BYTES; i++) {
    assert_int_equal(buf.data[i], (char)(i % 251));
  }
  pac_buf_free(&buf);
  assert_null(buf.data);
  assert_int_equal(buf.length, 0);
}

static void test_it_grows_at_once_beyond_any_doubling(void **state) {
  (void)state;
  static const size_t sizes[] = { 1, 255, 256, 257, 511, 513, 1000000 };
  for (size_t i = 0; i < COUNT(sizes); i++) {
    char *bytes = malloc(sizes[i]);
    pac_buf buf;
    assert_non_null(bytes);
    memset(bytes, 'x', sizes[i]);
    pac_buf_init(&buf);
    pac_buf_append_text(&buf, "ab");
    pac_buf_append(&buf, bytes, sizes[i]);
    pac_buf_append_text(&buf, "cd");
    assert_true(pac_buf_ok(&buf));
    assert_int_equal(buf.length, sizes[i] + 4);
    assert_memory_equal(buf.data, "abx", 3);
    assert_memory_equal(buf.data + sizes[i] + 1, "xcd", 3);
    pac_buf_free(&buf);
    free(bytes);
  }
}

static void test_a_size_that_no_memory_holds_fails_once_and_for_all(void **state) {
  (void)state;
  pac_buf buf;
  pac_buf_init(&buf);
  pac_buf_append_text(&buf, "ab");
  pac_buf_append(&buf, "x", SIZE_MAX);
  assert_false(pac_buf_ok(&buf));
  pac_buf_append_text(&buf, "cd");
  assert_false(pac_buf_ok(&buf));
  assert_int_equal(buf.length, 2);
  pac_buf_free(&buf);
  assert_true(pac_buf_ok(&buf));
}

typedef struct text_row {
  const char *text;
  size_t length;
  const char *json;
} text_row;

#define TEXT(literal, json)                                                                                            \
  { literal, sizeof(literal) - 1, json }

static void test_strings_are_escaped_where_json_demands_it(void **state) {
  (void)state;
  static const text_row rows[] = {
    TEXT("", "\"\""),
    TEXT("abc", "\"abc\""),
    TEXT("\"", "\"\\\"\""),
    TEXT("\\", "\"\\\\\""),
    TEXT("/", "\"/\""),
    TEXT("\n\r\t", "\"\\n\\r\\t\""),
    TEXT("\b\f", "\"\\u0008\\u000c\""),
    TEXT("a\0b", "\"a\\u0000b\""),
    TEXT("\x1f\x20\x7f", "\"\\u001f \x7f\""),
    TEXT("\"\"", "\"\\\"\\\"\""),
    TEXT("tail\"", "\"tail\\\"\""),
    TEXT("\xc3\xb1\xe5\xb1\xb1\xf0\x9f\x8e\x9f", "\"\xc3\xb1\xe5\xb1\xb1\xf0\x9f\x8e\x9f\""),
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    char *copy = exact_copy(rows[i].text, rows[i].length);
    pac_buf buf;
    pac_buf_init(&buf);
    pac_buf_append_json_string(&buf, copy, rows[i].length);
    expect_bytes(&buf, rows[i].json, strlen(rows[i].json));
    pac_buf_free(&buf);
    free(copy);
  }
}

/* The number as JSON text; the caller frees it. */
static char *number_text(double value) {
  pac_buf buf;
  pac_buf_init(&buf);
  pac_buf_append_json_number(&buf, value);
  pac_buf_append(&buf, "", 1);
  assert_true(pac_buf_ok(&buf));
  return buf.data;
}

static void test_numbers_are_written_short_and_exact(void **state) {
  (void)state;
  static const struct {
    double value;
    const char *text;
  } rows[] = {
    { 0, "0" },
    { -0.0, "0" },
    { 1, "1" },
    { -1, "-1" },
    { 14, "14" },
    { 100, "100" },
    { 13.13, "13.13" },
    { 0.1, "0.1" },
    { -0.5, "-0.5" },
    { 0.1 + 0.2, "0.30000000000000004" },
    { 1.0 / 3, "0.3333333333333333" },
    { 1e15, "1000000000000000" },
    { 9007199254740992.0, "9007199254740992" },
    { -9007199254740992.0, "-9007199254740992" },
    { 9007199254740994.0, "9007199254740994" },
    { 1e300, "1e+300" },
    { 1e-7, "1e-07" },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    char *text = number_text(rows[i].value);
    assert_string_equal(text, rows[i].text);
    free(text);
  }
}

static void expect_round_trip(double value) {
  char *text = number_text(value);
  if (!pac_json_number_valid(text, strlen(text)) || strtod(text, NULL) != value) {
    fail_msg("%a is written as %s", value, text);
  }
  free(text);
}

static void test_numbers_read_back_the_same(void **state) {
  (void)state;
  static const double values[] = { DBL_MAX, -DBL_MAX, DBL_MIN, DBL_TRUE_MIN, DBL_EPSILON, 1 + DBL_EPSILON, 1e22, 1e23 };
  uint64_t bits = UINT64_C(0x9E3779B97F4A7C15);
  for (size_t i = 0; i < COUNT(values); i++) {
    expect_round_trip(values[i]);
  }
  for (int cents = 0; cents < 20000; cents++) {
    expect_round_trip(cents / 100.0);
  }
  for (int i = 0; i < 20000; i++) {
    double value;
    bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    memcpy(&value, &bits, sizeof value);
    if (isfinite(value)) {
      expect_round_trip(value);
    }
  }
}

/* Whatever locales this machine has; buf_comma_test shows a comma everywhere. */
static void test_numbers_do_not_depend_on_the_locale(void **state) {
  (void)state;
  static const char *const locales[] = { "C", "C.UTF-8", "de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8" };
  for (size_t i = 0; i < COUNT(locales); i++) {
    if (setlocale(LC_ALL, locales[i]) != NULL) {
      char *text = number_text(-1234.5e-9);
      assert_string_equal(text, "-1.2345e-06");
      free(text);
    }
  }
  assert_non_null(setlocale(LC_ALL, "C"));
}

typedef struct byte_row {
  const char *bytes;
  size_t length;
  int valid;
} byte_row;

#define ROW(literal, valid)                                                                                            \
  { literal, sizeof(literal) - 1, valid }

static void expect_each(const byte_row *rows, size_t count, int (*test)(const char *, size_t)) {
  for (size_t i = 0; i < count; i++) {
    char *copy = exact_copy(rows[i].bytes, rows[i].length);
    if (test(copy, rows[i].length) != rows[i].valid) {
      fail_msg("row %zu: %s", i, rows[i].bytes);
    }
    free(copy);
  }
}

static void test_utf8_is_judged_by_the_table_of_rfc_3629(void **state) {
  (void)state;
  static const byte_row rows[] = {
    ROW("", 1),
    ROW("abc", 1),
    ROW("a\0b", 1),
    ROW("\x7f", 1),
    ROW("\xc2\x80", 1),
    ROW("\xdf\xbf", 1),
    ROW("\xe0\xa0\x80", 1),
    ROW("\xed\x9f\xbf", 1),
    ROW("\xee\x80\x80", 1),
    ROW("\xef\xbf\xbf", 1),
    ROW("\xf0\x90\x80\x80", 1),
    ROW("\xf4\x8f\xbf\xbf", 1),
    /* a lone continuation, bytes that never occur */
    ROW("\x80", 0),
    ROW("\xbf", 0),
    ROW("\xc0\x80", 0),
    ROW("\xc1\xbf", 0),
    ROW("\xf5\x80\x80\x80", 0),
    ROW("\xfe", 0),
    ROW("\xff", 0),
    /* overlong, surrogates, beyond U+10FFFF */
    ROW("\xc0\xaf", 0),
    ROW("\xe0\x9f\xbf", 0),
    ROW("\xe0\x80\xaf", 0),
    ROW("\xf0\x8f\xbf\xbf", 0),
    ROW("\xed\xa0\x80", 0),
    ROW("\xed\xbf\xbf", 0),
    ROW("\xf4\x90\x80\x80", 0),
    /* cut off, at the end and in the middle */
    ROW("\xc3", 0),
    ROW("\xe5\xb1", 0),
    ROW("\xf0\x9f\x8e", 0),
    ROW("\xc3"
        "a",
        0),
    ROW("\xe5\xb1"
        "a",
        0),
    ROW("\xf0\x9f\x8e"
        "a",
        0),
    ROW("a\xc3\xb1\xff", 0),
    ROW("\xc3\xb1\xb1", 0),
  };
  expect_each(rows, COUNT(rows), pac_utf8_valid);
}

static void test_json_numbers_are_judged_by_rfc_8259(void **state) {
  (void)state;
  static const byte_row rows[] = {
    ROW("0", 1),      ROW("-0", 1),    ROW("13.13", 1), ROW("10", 1),  ROW("0.5", 1), ROW("1e5", 1), ROW("1E+05", 1),
    ROW("1.5e-7", 1), ROW("-12.0", 1), ROW("", 0),      ROW("-", 0),   ROW("+1", 0),  ROW("01", 0),  ROW("-01", 0),
    ROW(".5", 0),     ROW("5.", 0),    ROW("1.e5", 0),  ROW("1e", 0),  ROW("1e+", 0), ROW("1,5", 0), ROW(" 1", 0),
    ROW("1 ", 0),     ROW("0x10", 0),  ROW("1.5.5", 0), ROW("NaN", 0), ROW("inf", 0), ROW("1\0", 0), ROW("--1", 0),
    ROW("1e5.5", 0),  ROW("\"1\"", 0), ROW("1_000", 0),
  };
  expect_each(rows, COUNT(rows), pac_json_number_valid);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_an_empty_buffer_holds_nothing),
    cmocka_unit_test(test_it_grows_by_single_bytes),
    cmocka_unit_test(test_it_grows_at_once_beyond_any_doubling),
    cmocka_unit_test(test_a_size_that_no_memory_holds_fails_once_and_for_all),
    cmocka_unit_test(test_strings_are_escaped_where_json_demands_it),
    cmocka_unit_test(test_numbers_are_written_short_and_exact),
    cmocka_unit_test(test_numbers_read_back_the_same),
    cmocka_unit_test(test_numbers_do_not_depend_on_the_locale),
    cmocka_unit_test(test_utf8_is_judged_by_the_table_of_rfc_3629),
    cmocka_unit_test(test_json_numbers_are_judged_by_rfc_8259),
  };
  return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
