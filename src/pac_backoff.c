#include "pac_backoff.h"

#include "pac_random.h"

/* min(cap, base * 2^(attempt - 1)); stops doubling before it could overflow. */
static int64_t ceiling_ms(int attempt, int64_t base_ms, int64_t cap_ms) {
  int64_t ceiling = base_ms;
  for (int i = 1; i < attempt && ceiling < cap_ms; i++) {
    ceiling = ceiling > cap_ms / 2 ? cap_ms : ceiling * 2;
  }
  return ceiling < cap_ms ? ceiling : cap_ms;
}

int64_t pac_backoff_full_jitter_ms(int attempt, int64_t base_ms, int64_t cap_ms, double random) {
  if (attempt < 1 || base_ms < 1 || cap_ms < 1) {
    return 0;
  }
  int64_t ceiling = ceiling_ms(attempt, base_ms, cap_ms);
  double wait = pac_random_clamp(random) * (double)ceiling;
  /* (double)ceiling may round up to 2^63, which no int64_t holds. */
  return wait >= (double)ceiling ? ceiling : (int64_t)wait;
}
