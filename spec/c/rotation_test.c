/* pac_rotation: the whole table of decisions, the edges of the windows, and the
** pause after failures. */
#include "unit.h"

#include <limits.h>
#include <math.h>

#include "pac_rotation.h"

#define NOW  INT64_C(1767225600000)
#define HOUR INT64_C(3600000)

/* Where the access token stands in its life. */
enum { UNKNOWN = 'u', BORN_EXPIRED = 'b', FRESH = 'f', ADVISORY = 'a', MANDATORY = 'm', EXPIRED = 'x' };
static const char phases[] = { UNKNOWN, BORN_EXPIRED, FRESH, ADVISORY, MANDATORY, EXPIRED };

#define FLAGS 5 /* access, rejected, cooling, refresh, code */

/* flags: one character per flag in that order, '*' for either. */
static const struct {
  const char *flags;
  const char *phases;
  pac_rotation_step step;
} table[] = {
  /* no access token */
  { "0*1**", "ubfamx", PAC_ROTATION_FAIL },
  { "0*01*", "ubfamx", PAC_ROTATION_REFRESH },
  { "0*001", "ubfamx", PAC_ROTATION_EXCHANGE },
  { "0*000", "ubfamx", PAC_ROTATION_FAIL },
  /* the server said 401 */
  { "111**", "ubfamx", PAC_ROTATION_FAIL },
  { "1101*", "ubfamx", PAC_ROTATION_REFRESH },
  { "11001", "ubfamx", PAC_ROTATION_EXCHANGE },
  { "11000", "ubfamx", PAC_ROTATION_FAIL },
  /* expired */
  { "101**", "x", PAC_ROTATION_FAIL },
  { "1001*", "x", PAC_ROTATION_REFRESH },
  { "10001", "x", PAC_ROTATION_EXCHANGE },
  { "10000", "x", PAC_ROTATION_FAIL },
  /* good for now */
  { "10***", "ubf", PAC_ROTATION_USE },
  { "1001*", "a", PAC_ROTATION_USE_AND_REFRESH },
  { "1001*", "m", PAC_ROTATION_REFRESH },
  { "1000*", "am", PAC_ROTATION_USE },
  { "101**", "am", PAC_ROTATION_USE },
};

static int row_fits(size_t row, unsigned flags, char phase) {
  for (int i = 0; i < FLAGS; i++) {
    char wanted = table[row].flags[i];
    if (wanted != '*' && (wanted == '1') != ((flags >> i & 1U) != 0)) {
      return 0;
    }
  }
  return strchr(table[row].phases, phase) != NULL;
}

static pac_rotation_state state_of(unsigned flags, char phase) {
  pac_rotation_state state = {
    .has_access = (int)(flags & 1U),
    .rejected = (int)(flags >> 1 & 1U),
    .retry_not_before_ms = (flags >> 2 & 1U) ? NOW + 1 : 0,
    .has_refresh = (int)(flags >> 3 & 1U),
    .has_code = (int)(flags >> 4 & 1U),
    .issued_at_ms = NOW - HOUR,
  };
  switch (phase) {
  case UNKNOWN:
    state.expires_at_ms = 0;
    break;
  case BORN_EXPIRED:
    state.expires_at_ms = state.issued_at_ms;
    break;
  case FRESH:
    state.expires_at_ms = NOW + HOUR;
    break;
  case ADVISORY:
    state.expires_at_ms = NOW + 2 * PAC_ROTATION_MANDATORY_MS;
    break;
  case MANDATORY:
    state.expires_at_ms = NOW + PAC_ROTATION_MANDATORY_MS / 2;
    break;
  default:
    state.expires_at_ms = NOW - 1;
    break;
  }
  return state;
}

static void test_every_combination_has_its_one_row(void **unused) {
  (void)unused;
  pac_rotation_policy policy = pac_rotation_default_policy(0.0);
  for (unsigned flags = 0; flags < 1U << FLAGS; flags++) {
    for (size_t p = 0; p < COUNT(phases); p++) {
      pac_rotation_state state = state_of(flags, phases[p]);
      int fitting = 0;
      for (size_t row = 0; row < COUNT(table); row++) {
        if (row_fits(row, flags, phases[p])) {
          fitting++;
          if (pac_rotation_decide(&state, &policy, NOW) != table[row].step) {
            fail_msg("flags %s, phase %c", table[row].flags, phases[p]);
          }
        }
      }
      assert_int_equal(fitting, 1);
    }
  }
}

/* The step of a token with a refresh token and left_ms to live. */
static pac_rotation_step at(int64_t lifetime_ms, int64_t left_ms, const pac_rotation_policy *policy) {
  pac_rotation_state state = {
    .has_access = 1,
    .has_refresh = 1,
    .issued_at_ms = lifetime_ms ? NOW + left_ms - lifetime_ms : 0,
    .expires_at_ms = NOW + left_ms,
  };
  return pac_rotation_decide(&state, policy, NOW);
}

/* The three edges: a millisecond more than each window, and the window itself. */
static void check_edges(int64_t lifetime_ms, int64_t advisory_ms, int64_t mandatory_ms,
                        const pac_rotation_policy *policy) {
  int64_t skew = policy->clock_skew_ms;
  assert_int_equal(at(lifetime_ms, skew + advisory_ms + 1, policy), PAC_ROTATION_USE);
  assert_int_equal(at(lifetime_ms, skew + advisory_ms, policy), PAC_ROTATION_USE_AND_REFRESH);
  assert_int_equal(at(lifetime_ms, skew + mandatory_ms + 1, policy), PAC_ROTATION_USE_AND_REFRESH);
  assert_int_equal(at(lifetime_ms, skew + mandatory_ms, policy), PAC_ROTATION_REFRESH);
  assert_int_equal(at(lifetime_ms, skew + 1, policy), PAC_ROTATION_REFRESH);
  assert_int_equal(at(lifetime_ms, skew, policy), PAC_ROTATION_REFRESH);
}

static void test_windows_end_where_they_should(void **unused) {
  (void)unused;
  pac_rotation_policy policy = pac_rotation_default_policy(0.0);
  check_edges(HOUR, 300000, 60000, &policy);
  check_edges(0, 300000, 60000, &policy);          /* lifetime unknown: nothing is shrunk */
  check_edges(20 * 60000, 300000, 60000, &policy); /* a quarter is just the window */
  check_edges(10 * 60000, 150000, 60000, &policy); /* a tenth is just the window */
  check_edges(4000, 1000, 400, &policy);
}

static void test_jitter_stretches_both_windows(void **unused) {
  (void)unused;
  pac_rotation_policy policy = pac_rotation_default_policy(1.0);
  check_edges(HOUR, 360000, 72000, &policy);
  check_edges(4000, 1200, 480, &policy);
  policy.jitter = 0.5;
  check_edges(HOUR, 330000, 66000, &policy);
  policy.jitter = 17.0; /* counts as 1 */
  check_edges(HOUR, 360000, 72000, &policy);
  policy.jitter = -1.0; /* counts as 0 */
  check_edges(HOUR, 300000, 60000, &policy);
  policy.jitter = (double)NAN;
  check_edges(HOUR, 300000, 60000, &policy);
}

static void test_clock_skew_moves_the_end(void **unused) {
  (void)unused;
  pac_rotation_policy policy = pac_rotation_default_policy(0.0);
  policy.clock_skew_ms = 30000;
  check_edges(HOUR, 300000, 60000, &policy);
  policy.clock_skew_ms = -30000; /* our clock is ahead of the server's */
  check_edges(HOUR, 300000, 60000, &policy);
}

static void test_a_skew_takes_half_of_a_life_at_most(void **unused) {
  (void)unused;
  pac_rotation_policy policy = pac_rotation_default_policy(0.0);
  policy.clock_skew_ms = 24 * HOUR;
  assert_int_equal(at(HOUR, HOUR, &policy), PAC_ROTATION_USE);
  assert_int_equal(at(HOUR, HOUR / 2 + 1, &policy), PAC_ROTATION_REFRESH);
  assert_int_equal(at(0, HOUR, &policy), PAC_ROTATION_REFRESH); /* configured: how long it lived is not known */
}

static void test_a_token_of_seconds_is_used_for_most_of_its_life(void **unused) {
  (void)unused;
  pac_rotation_policy policy = pac_rotation_default_policy(1.0);
  for (int64_t left = 3000; left > 900; left--) {
    assert_int_equal(at(3000, left, &policy), PAC_ROTATION_USE);
  }
}

static void test_windows_of_no_length_never_open(void **unused) {
  (void)unused;
  pac_rotation_policy policy = { 0, -5, 0, 1.0 };
  assert_int_equal(at(HOUR, 1, &policy), PAC_ROTATION_USE);
  assert_int_equal(at(HOUR, 0, &policy), PAC_ROTATION_REFRESH);
}

static void test_a_token_is_used_to_its_last_millisecond(void **unused) {
  (void)unused;
  pac_rotation_policy policy = pac_rotation_default_policy(0.0);
  pac_rotation_state state = { .has_access = 1, .has_code = 1, .expires_at_ms = NOW };
  assert_int_equal(pac_rotation_decide(&state, &policy, NOW - 1), PAC_ROTATION_USE);
  assert_int_equal(pac_rotation_decide(&state, &policy, NOW), PAC_ROTATION_EXCHANGE);
}

static void test_cool_off_ends_on_time(void **unused) {
  (void)unused;
  pac_rotation_policy policy = pac_rotation_default_policy(0.0);
  pac_rotation_state state = { .has_refresh = 1, .retry_not_before_ms = NOW };
  assert_int_equal(pac_rotation_decide(&state, &policy, NOW - 1), PAC_ROTATION_FAIL);
  assert_int_equal(pac_rotation_decide(&state, &policy, NOW), PAC_ROTATION_REFRESH);
}

static void test_extreme_times_do_not_overflow(void **unused) {
  (void)unused;
  pac_rotation_policy policy = { INT64_MAX, INT64_MAX, INT64_MIN, 1.0 };
  pac_rotation_state state = {
    .has_access = 1, .has_refresh = 1, .issued_at_ms = INT64_MIN, .expires_at_ms = INT64_MAX
  };
  assert_int_equal(pac_rotation_decide(&state, &policy, INT64_MIN), PAC_ROTATION_USE);
  policy.clock_skew_ms = INT64_MAX;
  assert_int_equal(pac_rotation_decide(&state, &policy, INT64_MAX), PAC_ROTATION_REFRESH);
  state.expires_at_ms = INT64_MIN + 1;
  assert_int_equal(pac_rotation_decide(&state, &policy, INT64_MAX), PAC_ROTATION_REFRESH);
}

static void test_steps_have_names(void **unused) {
  (void)unused;
  assert_string_equal(pac_rotation_name(PAC_ROTATION_USE), "use");
  assert_string_equal(pac_rotation_name(PAC_ROTATION_USE_AND_REFRESH), "use_and_refresh");
  assert_string_equal(pac_rotation_name(PAC_ROTATION_REFRESH), "refresh");
  assert_string_equal(pac_rotation_name(PAC_ROTATION_EXCHANGE), "exchange");
  assert_string_equal(pac_rotation_name(PAC_ROTATION_FAIL), "fail");
}

static void test_the_pause_doubles_to_a_minute(void **unused) {
  (void)unused;
  static const int64_t full[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
  for (int i = 0; i < (int)COUNT(full); i++) {
    assert_int_equal(pac_rotation_cool_off_ms(i + 1, 0.0), full[i] / 2);
    assert_int_equal(pac_rotation_cool_off_ms(i + 1, 0.5), full[i] * 3 / 4);
    assert_int_equal(pac_rotation_cool_off_ms(i + 1, 1.0), full[i]);
  }
  assert_int_equal(pac_rotation_cool_off_ms(INT_MAX, 9.0), 60000);
  assert_int_equal(pac_rotation_cool_off_ms(1, (double)NAN), 500);
  assert_int_equal(pac_rotation_cool_off_ms(0, 1.0), 0);
  assert_int_equal(pac_rotation_cool_off_ms(INT_MIN, 1.0), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_every_combination_has_its_one_row),
    cmocka_unit_test(test_windows_end_where_they_should),
    cmocka_unit_test(test_jitter_stretches_both_windows),
    cmocka_unit_test(test_clock_skew_moves_the_end),
    cmocka_unit_test(test_a_skew_takes_half_of_a_life_at_most),
    cmocka_unit_test(test_a_token_of_seconds_is_used_for_most_of_its_life),
    cmocka_unit_test(test_windows_of_no_length_never_open),
    cmocka_unit_test(test_a_token_is_used_to_its_last_millisecond),
    cmocka_unit_test(test_cool_off_ends_on_time),
    cmocka_unit_test(test_extreme_times_do_not_overflow),
    cmocka_unit_test(test_steps_have_names),
    cmocka_unit_test(test_the_pause_doubles_to_a_minute),
  };
  return cmocka_run_group_tests_name("rotation", tests, NULL, NULL);
}
