/* pac_uuid.h: random UUIDs (version 4), the shape of every request id. */
#ifndef PAC_UUID_H
#define PAC_UUID_H

#include "pac.h"

#define PAC_UUID_SIZE 37 /* 36 characters and a NUL */

/* Makes a UUID in lower case from the system's generator.
** Errors: PAC_FAILED when that has nothing to give; out is then an empty string.
** Source: RFC 9562 section 5.4. */
pac_status pac_uuid_v4(char out[PAC_UUID_SIZE]) PAC_WARN_UNUSED;

/* Says whether text is a version 4 UUID: 8-4-4-4-12 hex digits of any letter
** case, version nibble 4, variant nibble 8, 9, a or b. Returns: 1 or 0. */
int pac_uuid_is_v4(const char *text, size_t length);

#endif
