/* pac_inflate.h: undoes gzip within a limit. */
#ifndef PAC_INFLATE_H
#define PAC_INFLATE_H

#include "pac_buf.h"

/* Decodes one gzip member that is the whole text (RFC 1952).
** Args: data, length (bytes); max_bytes, cap on what comes out; out, to which it
** is appended, and which may hold a part of it after a failure.
** Returns PAC_TOO_LONG as soon as the result would pass max_bytes, however small
** the text is; PAC_INVALID for other bytes, a wrong checksum, an end before the
** end of the member, and anything behind it; PAC_NO_MEMORY. *err (may be NULL)
** names the rule.
** Owns: the caller frees out. */
pac_status pac_inflate_gzip(const char *data, size_t length, size_t max_bytes, pac_buf *out,
                            pac_err *err) PAC_WARN_UNUSED;

#endif
