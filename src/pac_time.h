/* pac_time.h: the written forms of time that the Link API and HTTP use, read
** strictly and turned into unix milliseconds, and back. Pure arithmetic on the
** Gregorian calendar: no locale, no TZ, no allocation. Input is (pointer,
** length); NUL is data like any other byte. Years 0000 to 9999. */
#ifndef PAC_TIME_H
#define PAC_TIME_H

#include "pac.h"

/* Room for a formatted time and its NUL. */
#define PAC_TIME_ISO_SIZE   25 /* YYYY-MM-DDTHH:MM:SS.mmmZ */
#define PAC_TIME_SLASH_SIZE 20 /* MM/dd/yyyy HH:mm:ss */

/* The longest wait that a Retry-After is believed: thirty days. More than that
** is a mistake of the sender, and no deadline in this library reaches so far. */
#define PAC_TIME_RETRY_AFTER_MAX_MS (INT64_C(30) * 24 * 60 * 60 * 1000)

/* A point in time as a document wrote it. */
typedef struct pac_instant {
  int64_t unix_ms; /* digits beyond the millisecond are cut, never rounded */
  int has_zone;    /* 0: the text named no zone and was read as UTC */
} pac_instant;

/* The wall clock. Returns: unix milliseconds. Use it for expiry, never to
** measure how long something took. */
int64_t pac_time_now_ms(void);

/* A clock that only goes forward. Returns: milliseconds since an arbitrary
** start. Use it for timeouts and elapsed time. */
int64_t pac_time_monotonic_ms(void);

/* Reads a date with time, in one of two forms:
**   YYYY-MM-DDTHH:MM:SS[.digits]ZONE   ZONE: Z, +hhmm or +hh:mm, also with '-'
**   MM/dd/yyyy HH:mm:ss                no zone: read as UTC, has_zone = 0
** Args: text, length (bytes, all of them must be used); out, written on success only.
** Errors: PAC_INVALID for every other form, for a date or a time of day that
** does not exist, for second 60, and for a result outside years 0000 to 9999.
** Source: RFC 3339 section 5.6 (capital T and Z only); Link API documents of
** authToken (nine fraction digits), transfer history (+0000) and transfers. */
pac_status pac_time_parse(const char *text, size_t length, pac_instant *out) PAC_WARN_UNUSED;

/* Reads YYYY-MM-DD, a real calendar date.
** Args: out, unix milliseconds of its midnight in UTC; may be NULL to check only.
** Errors: PAC_INVALID. */
pac_status pac_time_parse_date(const char *text, size_t length, int64_t *out) PAC_WARN_UNUSED;

/* Reads a time of day, HH:MM:SS[.digits]Z, as events messages carry it beside
** a date ("TBD" is for the caller to know).
** Args: out, milliseconds since midnight; add it to what pac_time_parse_date
** gave to have the instant. May be NULL to check only.
** Errors: PAC_INVALID. */
pac_status pac_time_parse_clock(const char *text, size_t length, int64_t *out) PAC_WARN_UNUSED;

/* Reads an HTTP date in any of its three forms: IMF-fixdate, RFC 850, asctime.
** The day name must be the day of that date.
** Args: now_ms, unix milliseconds: it settles the century of the two-digit year
** of RFC 850 (a date over 50 years ahead is the past one); out, unix milliseconds.
** Errors: PAC_INVALID, also for a now_ms outside years 0000 to 9999.
** Source: RFC 9110 section 5.6.7. */
pac_status pac_time_parse_http(const char *text, size_t length, int64_t now_ms, int64_t *out) PAC_WARN_UNUSED;

/* Reads a whole Retry-After value: seconds in digits, or an HTTP date.
** Args: text, without white space around it; now_ms, unix milliseconds;
** out, milliseconds to wait: 0 for a date that has passed, at most
** PAC_TIME_RETRY_AFTER_MAX_MS.
** Errors: PAC_INVALID for anything else, a signed number included.
** Source: RFC 9110 section 10.2.3. */
pac_status pac_time_parse_retry_after(const char *text, size_t length, int64_t now_ms, int64_t *out) PAC_WARN_UNUSED;

/* Writes YYYY-MM-DDTHH:MM:SS.mmmZ and a NUL.
** Errors: PAC_INVALID outside years 0000 to 9999; out is then an empty string. */
pac_status pac_time_format_iso(int64_t unix_ms, char out[PAC_TIME_ISO_SIZE]) PAC_WARN_UNUSED;

/* Writes MM/dd/yyyy HH:mm:ss in UTC and a NUL; milliseconds are cut.
** Errors: as pac_time_format_iso. */
pac_status pac_time_format_slash(int64_t unix_ms, char out[PAC_TIME_SLASH_SIZE]) PAC_WARN_UNUSED;

#endif
