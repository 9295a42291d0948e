/* pac_base64.h: base64 (RFC 4648 section 4), read strictly. */
#ifndef PAC_BASE64_H
#define PAC_BASE64_H

#include "pac.h"

/* Room for what that many characters decode to. */
#define PAC_BASE64_DECODED_MAX(length) (((length) / 4) * 3)

/* Decodes the one canonical form: the standard alphabet, padded to a multiple of
** four, no white space, and zero in the bits that the last character does not
** use. So each sequence of bytes has one text only.
** Args: text, of any bytes; out, with room for PAC_BASE64_DECODED_MAX(length);
** *size, written on success only.
** Errors: PAC_INVALID; what out holds then means nothing. */
pac_status pac_base64_decode(const char *text, size_t length, unsigned char *out, size_t *size) PAC_WARN_UNUSED;

#endif
