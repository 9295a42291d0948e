/* pac_random.h: random numbers from the system's generator. No state of our
** own, so threads and forked workers never share a sequence. */
#ifndef PAC_RANDOM_H
#define PAC_RANDOM_H

#include "pac.h"

/* Fills out with random bytes fit for keys. Args: length (bytes), at most 256.
** Errors: PAC_TOO_LONG beyond 256; PAC_FAILED when the system has none to give. */
pac_status pac_random_bytes(void *out, size_t length) PAC_WARN_UNUSED;

/* Draws a number in [0,1), each multiple of 2^-53 equally likely.
** Errors: PAC_FAILED; *out is untouched. */
pac_status pac_random_double(double *out) PAC_WARN_UNUSED;

/* Brings a draw that came from outside into [0,1]; not-a-number becomes 0. */
static inline double pac_random_clamp(double draw) {
  if (!(draw > 0.0)) {
    return 0.0;
  }
  return draw < 1.0 ? draw : 1.0;
}

#endif
