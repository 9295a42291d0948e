/* pac_digest.h: fingerprints of texts that must not be shown or kept. */
#ifndef PAC_DIGEST_H
#define PAC_DIGEST_H

#include <stddef.h>

#include "pac.h"

#define PAC_FINGERPRINT_SIZE 65 /* 64 hex digits and a NUL */

/* SHA-256 of a text, in lower-case hex (FIPS 180-4). It can be compared, and a
** text of high entropy, such as a token, cannot be found from it.
** Args: text, borrowed, of any bytes. Leaves OpenSSL's error queue empty.
** Errors: PAC_FAILED when OpenSSL cannot do it; out is then an empty string. */
pac_status pac_digest_fingerprint(const char *text, size_t length, char out[PAC_FINGERPRINT_SIZE]) PAC_WARN_UNUSED;

#endif
