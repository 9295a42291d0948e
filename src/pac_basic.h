/* pac_basic.h: whether an Authorization header holds the user and the password
** of HTTP Basic that are wanted (RFC 7617). */
#ifndef PAC_BASIC_H
#define PAC_BASIC_H

#include <stdbool.h>

#include "pac.h"

#define PAC_BASIC_DIGEST_BYTES 32  /* SHA-256 */
#define PAC_BASIC_MAX_PAIRS    2   /* the old and the new one while a password changes */
#define PAC_BASIC_MAX_BYTES    512 /* of a user and of a password */

typedef struct pac_basic_pair {
  unsigned char user[PAC_BASIC_DIGEST_BYTES];
  unsigned char password[PAC_BASIC_DIGEST_BYTES];
} pac_basic_pair;

/* The pairs that are accepted, as digests only. All zero: none, so that nothing matches. */
typedef struct pac_basic {
  pac_basic_pair pairs[PAC_BASIC_MAX_PAIRS];
  size_t count;
} pac_basic;

/* Accepts one more pair.
** Args: basic; user and password, borrowed, 1..PAC_BASIC_MAX_BYTES bytes without control characters, the user without a
** colon; err names the one that breaks this.
** Returns: PAC_INVALID for such a text and for a pair too many, PAC_FAILED where OpenSSL gives no SHA-256; nothing is
** accepted then. Leaves OpenSSL's error queue empty.
** Source: RFC 7617, section 2. */
pac_status pac_basic_add(pac_basic *basic, const char *user, size_t user_length, const char *password,
                         size_t password_length, pac_err *err) PAC_WARN_UNUSED;

/* Says whether the value of an Authorization header names one of the pairs: the word Basic in any letter case, blanks,
** and canonical base64 of user, colon, password, parted at the first colon. How long that takes depends on the header
** alone, and not on what is accepted: digests of equal length are compared, whole, with every pair.
** Args: header, borrowed, of any bytes; NULL when there is none; *is_match, written always. Leaves OpenSSL's error
** queue empty.
** Returns: PAC_FAILED where OpenSSL gives no SHA-256, so that nothing can be said of the header.
** Source: RFC 7617, section 2; RFC 9110, section 11.4. */
pac_status pac_basic_match(const pac_basic *basic, const char *header, size_t length, bool *is_match) PAC_WARN_UNUSED;

/* Forgets the pairs. */
void pac_basic_clear(pac_basic *basic);

#endif
