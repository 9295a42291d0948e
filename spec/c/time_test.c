/* pac_time: every form, its limits, and what is refused. */
#include "unit.h"

#include <stdio.h>
#include <time.h>

#include "pac_time.h"

#define DAY_MS    INT64_C(86400000)
#define FIRST_MS  INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define LAST_MS   INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */
#define NOV_1994  INT64_C(784111777000)    /* the example of RFC 9110 */
#define NOW_2026  INT64_C(1767225600000)   /* 2026-01-01T00:00:00Z */
#define UNTOUCHED INT64_C(-77)

static pac_status parse(const char *text, size_t length, pac_instant *out) {
  char *copy = exact_copy(text, length);
  pac_status status = pac_time_parse(copy, length, out);
  free(copy);
  return status;
}

static int is_time(const char *text, size_t length) {
  pac_instant got = { UNTOUCHED, -7 };
  pac_status status = parse(text, length, &got);
  if (status != PAC_OK) {
    assert_int_equal(status, PAC_INVALID);
    assert_int_equal(got.unix_ms, UNTOUCHED);
    assert_int_equal(got.has_zone, -7);
  }
  return status == PAC_OK;
}

static const struct {
  const char *text;
  int64_t unix_ms;
  int has_zone;
} good_times[] = {
  { "1970-01-01T00:00:00Z", 0, 1 },
  { "1969-12-31T23:59:59.999Z", -1, 1 },
  { "2000-02-29T12:00:00Z", INT64_C(951825600000), 1 },
  { "2038-01-19T03:14:08Z", INT64_C(2147483648000), 1 },
  { "1994-11-06T08:49:37.000000000Z", NOV_1994, 1 },
  { "1994-11-06T08:49:37.1Z", NOV_1994 + 100, 1 },
  { "1994-11-06T08:49:37.12Z", NOV_1994 + 120, 1 },
  { "1994-11-06T08:49:37.123Z", NOV_1994 + 123, 1 },
  { "1994-11-06T08:49:37.123999999Z", NOV_1994 + 123, 1 },
  { "1994-11-06T08:49:37.999999999Z", NOV_1994 + 999, 1 },
  { "1994-11-06T08:49:37.00099999999999999999Z", NOV_1994, 1 },
  { "1969-12-31T23:59:59.9999Z", -1, 1 },
  { "1994-11-06T08:49:37.123+0000", NOV_1994 + 123, 1 },
  { "1994-11-06T08:49:37+00:00", NOV_1994, 1 },
  { "1994-11-06T08:49:37-00:00", NOV_1994, 1 },
  { "1994-11-06T09:49:37+01:00", NOV_1994, 1 },
  { "1994-11-06T01:19:37-0730", NOV_1994, 1 },
  { "1994-11-07T08:48:37+23:59", NOV_1994, 1 },
  { "0000-01-01T00:00:00Z", FIRST_MS, 1 },
  { "9999-12-31T23:59:59.999Z", LAST_MS, 1 },
  { "11/06/1994 08:49:37", NOV_1994, 0 },
  { "02/29/2024 23:59:59", INT64_C(1709251199000), 0 },
};

static void test_reads_the_forms_of_the_api(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(good_times); i++) {
    pac_instant got = { UNTOUCHED, -7 };
    assert_int_equal(parse(good_times[i].text, strlen(good_times[i].text), &got), PAC_OK);
    assert_int_equal(got.unix_ms, good_times[i].unix_ms);
    assert_int_equal(got.has_zone, good_times[i].has_zone);
  }
}

static const char *const bad_times[] = {
  "1994-11-06T08:49:37",  /* no zone */
  "1994-11-06T08:49:37z", /* lower case */
  "1994-11-06t08:49:37Z",
  "1994-11-06 08:49:37Z",
  "1994-11-06T08:49:37.Z",
  "1994-11-06T08:49:37,5Z",
  "1994-11-06T08:49Z",
  "1994-11-06T08:49:60Z",
  "1998-12-31T23:59:60Z",
  "1994-11-06T08:60:37Z",
  "1994-11-06T24:00:00Z",
  "1994-00-06T08:49:37Z",
  "1994-13-06T08:49:37Z",
  "1994-11-00T08:49:37Z",
  "1994-11-31T08:49:37Z",
  "2026-02-30T00:00:00Z",
  "2025-02-29T00:00:00Z",
  "1900-02-29T00:00:00Z",
  "94-11-06T08:49:37Z",
  "1994-11-6T08:49:37Z",
  "+1994-11-06T08:49:37Z",
  "-994-11-06T08:49:37Z",
  "1994-11-06T08:49:37+24:00",
  "1994-11-06T08:49:37+00:60",
  "1994-11-06T08:49:37+00",
  "1994-11-06T08:49:37+0:00",
  "1994-11-06T08:49:37+00:0",
  "1994-11-06T08:49:37Z+0000",
  "1994-11-06T08:49:37 +0000",
  "0000-01-01T00:00:00+00:01",
  "9999-12-31T23:59:59-00:01",
  "11/06/1994 08:49:37Z",
  "11/06/94 08:49:37",
  "11/06/1994T08:49:37",
  "11/06/1994  08:49:37",
  "11/06/1994 08:49:37.5",
  "11/06/1994 08:49",
  "13/06/1994 08:49:37",
  "02/30/2024 00:00:00",
  "02/29/2023 00:00:00",
  "11/06/1994 08:49:60",
  "1/6/1994 08:49:37",
  "11-06-1994 08:49:37",
  " 1994-11-06T08:49:37Z",
  "Sun, 06 Nov 1994 08:49:37 GMT",
  "784111777",
  "",
};

static void test_refuses_what_is_no_time(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(bad_times); i++) {
    if (is_time(bad_times[i], strlen(bad_times[i]))) {
      fail_msg("accepted: %s", bad_times[i]);
    }
  }
  pac_instant got = { 0, 0 };
  assert_int_equal(pac_time_parse(NULL, 0, &got), PAC_INVALID);
}

static void test_refuses_every_cut_and_every_byte_more(void **state) {
  (void)state;
  char text[64];
  for (size_t i = 0; i < COUNT(good_times); i++) {
    size_t length = strlen(good_times[i].text);
    memcpy(text, good_times[i].text, length);
    for (size_t cut = 0; cut < length; cut++) {
      assert_false(is_time(text, cut));
    }
    for (int byte = 0; byte < 256; byte++) {
      text[length] = (char)byte;
      assert_false(is_time(text, length + 1));
    }
  }
}

/* Four centuries, day by day, against the C library's calendar. */
static void test_agrees_with_the_calendar_of_the_system(void **state) {
  (void)state;
  for (int64_t day = -150000; day < 150000; day++) {
    char expected[64];
    char got[PAC_TIME_ISO_SIZE];
    char slash[PAC_TIME_SLASH_SIZE];
    pac_instant back = { 0, 0 };
    int64_t ms = day * DAY_MS + (day * 7919 % DAY_MS + DAY_MS) % DAY_MS;
    int64_t rest_ms = (ms % 1000 + 1000) % 1000;
    time_t seconds = (time_t)((ms - rest_ms) / 1000);
    struct tm tm;
    assert_non_null(gmtime_r(&seconds, &tm));
    snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)rest_ms);
    assert_int_equal(pac_time_format_iso(ms, got), PAC_OK);
    assert_string_equal(got, expected);
    assert_int_equal(pac_time_parse(got, strlen(got), &back), PAC_OK);
    assert_int_equal(back.unix_ms, ms);
    assert_int_equal(pac_time_format_slash(ms, slash), PAC_OK);
    assert_int_equal(pac_time_parse(slash, strlen(slash), &back), PAC_OK);
    assert_int_equal(back.unix_ms, ms - rest_ms);
  }
}

static void test_does_not_depend_on_the_time_zone(void **state) {
  (void)state;
  static const char text[] = "11/06/1994 08:49:37";
  pac_instant got = { 0, 0 };
  assert_int_equal(setenv("TZ", "America/Los_Angeles", 1), 0);
  tzset();
  assert_int_equal(pac_time_parse(text, strlen(text), &got), PAC_OK);
  assert_int_equal(unsetenv("TZ"), 0);
  tzset();
  assert_int_equal(got.unix_ms, NOV_1994);
}

static void test_formats_the_whole_range_and_nothing_more(void **state) {
  (void)state;
  char iso[PAC_TIME_ISO_SIZE];
  char slash[PAC_TIME_SLASH_SIZE];
  assert_int_equal(pac_time_format_iso(FIRST_MS, iso), PAC_OK);
  assert_string_equal(iso, "0000-01-01T00:00:00.000Z");
  assert_int_equal(pac_time_format_iso(LAST_MS, iso), PAC_OK);
  assert_string_equal(iso, "9999-12-31T23:59:59.999Z");
  assert_int_equal(pac_time_format_slash(LAST_MS, slash), PAC_OK);
  assert_string_equal(slash, "12/31/9999 23:59:59");
  static const int64_t outside[] = { FIRST_MS - 1, LAST_MS + 1, INT64_MIN, INT64_MAX };
  for (size_t i = 0; i < COUNT(outside); i++) {
    assert_int_equal(pac_time_format_iso(outside[i], iso), PAC_INVALID);
    assert_string_equal(iso, "");
    assert_int_equal(pac_time_format_slash(outside[i], slash), PAC_INVALID);
    assert_string_equal(slash, "");
  }
}

static void test_checks_dates(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int is_good;
  } rows[] = {
    { "1970-01-01", 1 }, { "2024-02-29", 1 },  { "2000-02-29", 1 },  { "0000-02-29", 1 }, { "9999-12-31", 1 },
    { "2023-02-29", 0 }, { "1900-02-29", 0 },  { "2026-02-30", 0 },  { "2026-04-31", 0 }, { "2026-00-10", 0 },
    { "2026-13-10", 0 }, { "2026-01-00", 0 },  { "2026-01-32", 0 },  { "2026-1-1", 0 },   { "20260101", 0 },
    { "2026/01/01", 0 }, { "2026-01-01Z", 0 }, { "2026-01-01 ", 0 }, { "TBD", 0 },        { "", 0 },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    pac_status status = pac_time_parse_date(rows[i].text, strlen(rows[i].text), NULL);
    assert_int_equal(status, rows[i].is_good ? PAC_OK : PAC_INVALID);
  }
  assert_int_equal(pac_time_parse_date("1970-01-02\0", 11, NULL), PAC_INVALID);
}

static void test_date_and_clock_add_up_to_the_instant(void **state) {
  (void)state;
  int64_t date_ms = UNTOUCHED;
  int64_t clock_ms = UNTOUCHED;
  assert_int_equal(pac_time_parse_date("1994-11-06", 10, &date_ms), PAC_OK);
  assert_int_equal(pac_time_parse_clock("08:49:37Z", 9, &clock_ms), PAC_OK);
  assert_int_equal(date_ms + clock_ms, NOV_1994);
  assert_int_equal(pac_time_parse_clock("23:59:59.9999Z", 14, &clock_ms), PAC_OK);
  assert_int_equal(clock_ms, DAY_MS - 1);
  static const char *const bad[] = { "TBD",       "",          "08:49:37", "08:49Z",     "24:00:00Z",
                                     "08:60:00Z", "08:00:60Z", "8:49:37Z", "08:49:37.Z", "08:49:37+00:00" };
  for (size_t i = 0; i < COUNT(bad); i++) {
    clock_ms = UNTOUCHED;
    assert_int_equal(pac_time_parse_clock(bad[i], strlen(bad[i]), &clock_ms), PAC_INVALID);
    assert_int_equal(clock_ms, UNTOUCHED);
    assert_int_equal(pac_time_parse_clock(bad[i], strlen(bad[i]), NULL), PAC_INVALID);
  }
}

static int64_t http_date(const char *text, size_t length, int64_t now_ms) {
  int64_t got = UNTOUCHED;
  char *copy = exact_copy(text, length);
  pac_status status = pac_time_parse_http(copy, length, now_ms, &got);
  free(copy);
  assert_int_equal(status, got == UNTOUCHED ? PAC_INVALID : PAC_OK);
  return got;
}

static const char *const http_forms[] = {
  "Sun, 06 Nov 1994 08:49:37 GMT",
  "Sunday, 06-Nov-94 08:49:37 GMT",
  "Sun Nov  6 08:49:37 1994",
};

static void test_reads_the_three_http_dates(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(http_forms); i++) {
    char text[64];
    size_t length = strlen(http_forms[i]);
    memcpy(text, http_forms[i], length);
    assert_int_equal(http_date(text, length, NOW_2026), NOV_1994);
    for (size_t cut = 0; cut < length; cut++) {
      assert_int_equal(http_date(text, cut, NOW_2026), UNTOUCHED);
    }
    for (int byte = 0; byte < 256; byte++) {
      text[length] = (char)byte;
      assert_int_equal(http_date(text, length + 1, NOW_2026), UNTOUCHED);
    }
  }
  assert_int_equal(http_date("Wed Nov 16 08:49:37 1994", 24, NOW_2026), NOV_1994 + 10 * DAY_MS);
}

static void test_refuses_broken_http_dates(void **state) {
  (void)state;
  static const char *const bad[] = {
    "Mon, 06 Nov 1994 08:49:37 GMT", /* it was a Sunday */
    "Monday, 06-Nov-94 08:49:37 GMT", "Mon Nov  6 08:49:37 1994",         "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",  "sun, 06 Nov 1994 08:49:37 GMT",    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 gmt",  "Sun, 06 Nov 1994 08:49:37 +0000",  "Sun, 06 Nov 94 08:49:37 GMT",
    "Sun, 06-Nov-94 08:49:37 GMT",    "Sunday, 06 Nov 1994 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:49:37 GMT",  "Sat, 31 Dec 2016 23:59:60 GMT",    "Mon, 30 Feb 2026 00:00:00 GMT",
    "Sun Nov 6 08:49:37 1994",        "Sun Nov 06 08:49:37 1994 ",        "Sun Nov 006 08:49:37 1994",
    "Xyz, 06 Nov 1994 08:49:37 GMT",  "Sun, 06 Xyz 1994 08:49:37 GMT",    "1994-11-06T08:49:37Z",
    "Sun Nov  0 08:49:37 1994",       "Sun Nov 31 08:49:37 1994",         "",
  };
  for (size_t i = 0; i < COUNT(bad); i++) {
    if (http_date(bad[i], strlen(bad[i]), NOW_2026) != UNTOUCHED) {
      fail_msg("accepted: %s", bad[i]);
    }
  }
  assert_int_equal(http_date(http_forms[0], strlen(http_forms[0]), INT64_MAX), UNTOUCHED);
  assert_int_equal(http_date(http_forms[1], strlen(http_forms[1]), INT64_MIN), UNTOUCHED);
}

/* The day names tell the centuries apart: 1 January was a Thursday in 1976 and
** will be a Wednesday in 2076. */
static void test_settles_the_century_of_two_digit_years(void **state) {
  (void)state;
  static const char at_50_years[] = "Wednesday, 01-Jan-76 00:00:00 GMT";
  static const char a_second_more[] = "Thursday, 01-Jan-76 00:00:01 GMT";
  static const char next_century[] = "Friday, 01-Jan-10 00:00:00 GMT";
  assert_int_equal(http_date(at_50_years, strlen(at_50_years), NOW_2026), INT64_C(3345062400000));
  assert_int_equal(http_date(a_second_more, strlen(a_second_more), NOW_2026), INT64_C(189302401000));
  assert_int_equal(http_date(next_century, strlen(next_century), NOW_2026), INT64_C(1262304000000));
  /* From 2099 the year 05 is 2105, a Thursday. */
  static const char over_the_turn[] = "Thursday, 01-Jan-05 00:00:00 GMT";
  assert_int_equal(http_date(over_the_turn, strlen(over_the_turn), INT64_C(4070908800000)), INT64_C(4260211200000));
}

static int64_t retry_after(const char *text) {
  int64_t got = UNTOUCHED;
  size_t length = strlen(text);
  char *copy = exact_copy(text, length);
  pac_status status = pac_time_parse_retry_after(copy, length, NOV_1994 - 1500, &got);
  free(copy);
  assert_int_equal(status, got == UNTOUCHED ? PAC_INVALID : PAC_OK);
  return got;
}

static void test_reads_retry_after(void **state) {
  (void)state;
  assert_int_equal(retry_after("0"), 0);
  assert_int_equal(retry_after("120"), 120000);
  assert_int_equal(retry_after("007"), 7000);
  assert_int_equal(retry_after("2592000"), PAC_TIME_RETRY_AFTER_MAX_MS);
  assert_int_equal(retry_after("2591999"), PAC_TIME_RETRY_AFTER_MAX_MS - 1000);
  assert_int_equal(retry_after("2592001"), PAC_TIME_RETRY_AFTER_MAX_MS);
  assert_int_equal(retry_after("99999999999999999999999999999999"), PAC_TIME_RETRY_AFTER_MAX_MS);
  for (size_t i = 0; i < COUNT(http_forms); i++) {
    assert_int_equal(retry_after(http_forms[i]), 1500);
  }
  assert_int_equal(retry_after("Sat, 05 Nov 1994 08:49:37 GMT"), 0);
  assert_int_equal(retry_after("Fri, 31 Dec 9999 23:59:59 GMT"), PAC_TIME_RETRY_AFTER_MAX_MS);
}

static void test_refuses_broken_retry_after(void **state) {
  (void)state;
  static const char *const bad[] = { "", "-1", "+1", "1.5", "1 ", " 1", "1s", "soon", "0x10", "1e3" };
  for (size_t i = 0; i < COUNT(bad); i++) {
    assert_int_equal(retry_after(bad[i]), UNTOUCHED);
  }
  int64_t got = UNTOUCHED;
  assert_int_equal(pac_time_parse_retry_after("12\0", 3, 0, &got), PAC_INVALID);
  assert_int_equal(pac_time_parse_retry_after(NULL, 0, 0, &got), PAC_INVALID);
}

static void test_clocks_run(void **state) {
  (void)state;
  int64_t before = pac_time_monotonic_ms();
  assert_true(pac_time_monotonic_ms() >= before);
  int64_t seconds = (int64_t)time(NULL);
  assert_true(pac_time_now_ms() >= (seconds - 1) * 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_reads_the_forms_of_the_api),
    cmocka_unit_test(test_refuses_what_is_no_time),
    cmocka_unit_test(test_refuses_every_cut_and_every_byte_more),
    cmocka_unit_test(test_agrees_with_the_calendar_of_the_system),
    cmocka_unit_test(test_does_not_depend_on_the_time_zone),
    cmocka_unit_test(test_formats_the_whole_range_and_nothing_more),
    cmocka_unit_test(test_checks_dates),
    cmocka_unit_test(test_date_and_clock_add_up_to_the_instant),
    cmocka_unit_test(test_reads_the_three_http_dates),
    cmocka_unit_test(test_refuses_broken_http_dates),
    cmocka_unit_test(test_settles_the_century_of_two_digit_years),
    cmocka_unit_test(test_reads_retry_after),
    cmocka_unit_test(test_refuses_broken_retry_after),
    cmocka_unit_test(test_clocks_run),
  };
  return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
