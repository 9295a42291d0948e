/* pac_buf where numbers are printed and read with another separator than the
** point, as in half the locales of the world. Few machines have one of those
** installed, so a copy of pac_buf.c is built here over a printf and a strtod
** that behave as theirs do. */
#include "unit.h"

#include <math.h>
#include <stdio.h>

static const char *separator = ",";

/* Puts the separator in the place of the point. */
static void localise(char *out, size_t size, const char *text) {
  size_t length = 0;
  for (; *text != '\0'; text++) {
    const char *piece = *text == '.' ? separator : text;
    size_t bytes = *text == '.' ? strlen(separator) : 1;
    assert_true(length + bytes < size);
    memcpy(out + length, piece, bytes);
    length += bytes;
  }
  out[length] = '\0';
}

static int local_snprintf(char *out, size_t size, const char *format, ...) {
  char text[64];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  localise(out, size, text);
  return (int)strlen(out);
}

static double local_strtod(const char *text, char **end) {
  char plain[64];
  const char *at = strstr(text, separator);
  assert_null(end);
  if (at == NULL) {
    return strtod(text, NULL);
  }
  snprintf(plain, sizeof plain, "%.*s.%s", (int)(at - text), text, at + strlen(separator));
  return strtod(plain, NULL);
}

/* The copy under names of its own, since the real one is linked too. */
#define pac_buf_init               local_buf_init
#define pac_buf_free               local_buf_free
#define pac_buf_ok                 local_buf_ok
#define pac_buf_append             local_buf_append
#define pac_buf_append_text        local_buf_append_text
#define pac_buf_append_json_string local_buf_append_json_string
#define pac_buf_append_json_number local_buf_append_json_number
#define pac_utf8_sequence          local_utf8_sequence
#define pac_utf8_valid             local_utf8_valid
#define pac_json_number_valid      local_json_number_valid
#define snprintf                   local_snprintf
#define strtod                     local_strtod
#include "../../src/pac_buf.c"
#undef snprintf
#undef strtod

static void expect_text(double value, const char *wanted) {
  pac_buf buf;
  pac_buf_init(&buf);
  pac_buf_append_json_number(&buf, value);
  assert_true(pac_buf_ok(&buf));
  assert_int_equal(buf.length, strlen(wanted));
  assert_memory_equal(buf.data, wanted, buf.length);
  pac_buf_free(&buf);
}

static void expect_points(void) {
  expect_text(13.13, "13.13");
  expect_text(-0.5, "-0.5");
  expect_text(0.1 + 0.2, "0.30000000000000004");
  expect_text(1.5e300, "1.5e+300");
  expect_text(-1.25e-9, "-1.25e-09");
  expect_text(14, "14");
  expect_text(1e300, "1e+300");
}

static void test_a_comma_becomes_a_point(void **state) {
  (void)state;
  char text[8];
  separator = ",";
  local_snprintf(text, sizeof text, "%.1f", 1.5);
  assert_string_equal(text, "1,5");
  expect_points();
}

static void test_a_separator_of_two_bytes_becomes_a_point(void **state) {
  (void)state;
  separator = "\xd9\xab"; /* U+066B, as in Pashto */
  expect_points();
}

static void test_a_point_stays(void **state) {
  (void)state;
  separator = ".";
  expect_points();
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_comma_becomes_a_point),
    cmocka_unit_test(test_a_separator_of_two_bytes_becomes_a_point),
    cmocka_unit_test(test_a_point_stays),
  };
  return cmocka_run_group_tests_name("buf_comma", tests, NULL, NULL);
}
