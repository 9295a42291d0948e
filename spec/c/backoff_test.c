/* pac_backoff: the ceiling of each attempt, and numbers nobody should pass. */
#include "unit.h"

#include <limits.h>
#include <math.h>

#include "pac_backoff.h"

static int64_t highest(int attempt) {
  return pac_backoff_full_jitter_ms(attempt, PAC_BACKOFF_BASE_MS, PAC_BACKOFF_CAP_MS, 1.0);
}

static void test_the_ceiling_doubles_up_to_the_cap(void **state) {
  (void)state;
  static const int64_t ceilings[] = { 200, 400, 800, 1600, 3200, 5000, 5000 };
  for (int i = 0; i < (int)COUNT(ceilings); i++) {
    assert_int_equal(highest(i + 1), ceilings[i]);
  }
}

static void test_jitter_is_full(void **state) {
  (void)state;
  assert_int_equal(pac_backoff_full_jitter_ms(3, 200, 5000, 0.0), 0);
  assert_int_equal(pac_backoff_full_jitter_ms(3, 200, 5000, 0.25), 200);
  assert_int_equal(pac_backoff_full_jitter_ms(3, 200, 5000, 0.5), 400);
  assert_int_equal(pac_backoff_full_jitter_ms(3, 200, 5000, 0.9999999), 799);
}

static void test_no_attempt_overflows(void **state) {
  (void)state;
  assert_int_equal(highest(INT_MAX), PAC_BACKOFF_CAP_MS);
  for (int attempt = 1; attempt <= 200; attempt++) {
    int64_t wait = pac_backoff_full_jitter_ms(attempt, 1, INT64_MAX, 1.0);
    assert_int_equal(wait, attempt <= 63 ? INT64_C(1) << (attempt - 1) : INT64_MAX);
  }
  assert_int_equal(pac_backoff_full_jitter_ms(2, INT64_MAX, INT64_MAX, 1.0), INT64_MAX);
  assert_int_equal(pac_backoff_full_jitter_ms(9, 7, 50, 1.0), 50);
}

static void test_a_base_above_the_cap_is_the_cap(void **state) {
  (void)state;
  assert_int_equal(pac_backoff_full_jitter_ms(1, 9000, 5000, 1.0), 5000);
}

static void test_odd_arguments_never_wait_wrongly(void **state) {
  (void)state;
  assert_int_equal(highest(0), 0);
  assert_int_equal(highest(INT_MIN), 0);
  assert_int_equal(pac_backoff_full_jitter_ms(1, 0, 5000, 1.0), 0);
  assert_int_equal(pac_backoff_full_jitter_ms(1, -1, 5000, 1.0), 0);
  assert_int_equal(pac_backoff_full_jitter_ms(1, 200, -1, 1.0), 0);
  assert_int_equal(pac_backoff_full_jitter_ms(1, 200, 5000, -3.0), 0);
  assert_int_equal(pac_backoff_full_jitter_ms(1, 200, 5000, 3.0), 200);
  assert_int_equal(pac_backoff_full_jitter_ms(1, 200, 5000, (double)NAN), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_the_ceiling_doubles_up_to_the_cap),
    cmocka_unit_test(test_jitter_is_full),
    cmocka_unit_test(test_no_attempt_overflows),
    cmocka_unit_test(test_a_base_above_the_cap_is_the_cap),
    cmocka_unit_test(test_odd_arguments_never_wait_wrongly),
  };
  return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
