#include "pac_rotation.h"

#include "pac_random.h"

/* Longer windows and lifetimes than a year are cut, which keeps the arithmetic
** exact in a double. */
#define LONGEST_MS (INT64_C(366) * 24 * 60 * 60 * 1000)

static int64_t subtract(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (__builtin_sub_overflow(a, b, &difference)) {
    return b < 0 ? INT64_MAX : INT64_MIN;
  }
  return difference;
}

static int is_expiry_known(const pac_rotation_state *state) {
  return state->expires_at_ms != 0 && (state->issued_at_ms == 0 || state->expires_at_ms > state->issued_at_ms);
}

/* A window cut to its share of the lifetime where that is known, then stretched. */
static int64_t window_ms(const pac_rotation_state *state, int64_t length_ms, int64_t share, double jitter) {
  int64_t length = length_ms < LONGEST_MS ? length_ms : LONGEST_MS;
  if (state->issued_at_ms != 0) {
    int64_t most = subtract(state->expires_at_ms, state->issued_at_ms) / share;
    length = length < most ? length : most;
  }
  if (length <= 0) {
    return 0;
  }
  return (int64_t)((double)length * (1.0 + PAC_ROTATION_JITTER_SHARE * pac_random_clamp(jitter)));
}

/* The skew, but no more than half of a lifetime that is known: a longer one would
** end every token at its birth, and each call would ask for another. */
static int64_t skew_ms(const pac_rotation_state *state, int64_t length_ms) {
  if (state->issued_at_ms == 0) {
    return length_ms;
  }
  int64_t most = subtract(state->expires_at_ms, state->issued_at_ms) / 2;
  return length_ms < most ? length_ms : most;
}

static int is_cooling(const pac_rotation_state *state, int64_t now_ms) {
  return state->retry_not_before_ms != 0 && now_ms < state->retry_not_before_ms;
}

/* There is no token to send with. */
static pac_rotation_step obtain(const pac_rotation_state *state, int64_t now_ms) {
  if (is_cooling(state, now_ms)) {
    return PAC_ROTATION_FAIL;
  }
  if (state->has_refresh) {
    return PAC_ROTATION_REFRESH;
  }
  return state->has_code ? PAC_ROTATION_EXCHANGE : PAC_ROTATION_FAIL;
}

pac_rotation_step pac_rotation_decide(const pac_rotation_state *state, const pac_rotation_policy *policy,
                                      int64_t now_ms) {
  if (!state->has_access || state->rejected) {
    return obtain(state, now_ms);
  }
  if (!is_expiry_known(state)) {
    return PAC_ROTATION_USE;
  }
  int64_t left_ms = subtract(subtract(state->expires_at_ms, skew_ms(state, policy->clock_skew_ms)), now_ms);
  if (left_ms <= 0) {
    return obtain(state, now_ms);
  }
  if (!state->has_refresh || is_cooling(state, now_ms)) {
    return PAC_ROTATION_USE;
  }
  if (left_ms <= window_ms(state, policy->mandatory_ms, PAC_ROTATION_MANDATORY_SHARE, policy->jitter)) {
    return PAC_ROTATION_REFRESH;
  }
  if (left_ms <= window_ms(state, policy->advisory_ms, PAC_ROTATION_ADVISORY_SHARE, policy->jitter)) {
    return PAC_ROTATION_USE_AND_REFRESH;
  }
  return PAC_ROTATION_USE;
}

pac_rotation_policy pac_rotation_default_policy(double jitter) {
  pac_rotation_policy policy = {
    .advisory_ms = PAC_ROTATION_ADVISORY_MS,
    .mandatory_ms = PAC_ROTATION_MANDATORY_MS,
    .clock_skew_ms = PAC_ROTATION_CLOCK_SKEW_MS,
    .jitter = jitter,
  };
  return policy;
}

const char *pac_rotation_name(pac_rotation_step step) {
  switch (step) {
  case PAC_ROTATION_USE:
    return "use";
  case PAC_ROTATION_USE_AND_REFRESH:
    return "use_and_refresh";
  case PAC_ROTATION_REFRESH:
    return "refresh";
  case PAC_ROTATION_EXCHANGE:
    return "exchange";
  case PAC_ROTATION_FAIL:
    break;
  }
  return "fail";
}

int64_t pac_rotation_cool_off_ms(int failures, double random) {
  if (failures < 1) {
    return 0;
  }
  int64_t pause = PAC_ROTATION_COOL_OFF_BASE_MS;
  for (int i = 1; i < failures && pause < PAC_ROTATION_COOL_OFF_CAP_MS; i++) {
    pause *= 2;
  }
  pause = pause < PAC_ROTATION_COOL_OFF_CAP_MS ? pause : PAC_ROTATION_COOL_OFF_CAP_MS;
  return (int64_t)((double)pause * (0.5 + 0.5 * pac_random_clamp(random)));
}
