#include "pac_random.h"

#include <unistd.h>

#define MAX_BYTES 256 /* what getentropy gives in one call */

pac_status pac_random_bytes(void *out, size_t length) {
  if (length > MAX_BYTES) {
    return PAC_TOO_LONG;
  }
  return getentropy(out, length) == 0 ? PAC_OK : PAC_FAILED;
}

pac_status pac_random_double(double *out) {
  uint64_t bits = 0;
  pac_status status = pac_random_bytes(&bits, sizeof bits);
  if (status == PAC_OK) {
    *out = (double)(bits >> 11) * 0x1p-53; /* 53 bits are what a double can hold */
  }
  return status;
}
