/* pac.h: what every room of the C core shares: the version, the status codes,
** the error record and two attributes. Pure C; no file named pac_* may
** include lua.h. */
#ifndef PAC_H
#define PAC_H

#include <stddef.h>
#include <stdint.h>

/* The one place where the version stands; everything else reads it here. */
#define PAC_VERSION "0.1.0"

#define PAC_WARN_UNUSED                 __attribute__((warn_unused_result))
#define PAC_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))

/* What a fallible function of the core answers. 0 is success. */
typedef enum pac_status {
  PAC_OK = 0,
  PAC_INVALID,   /* an argument breaks a rule; pac_err.message names it */
  PAC_TOO_LONG,  /* the result does not fit its documented limit */
  PAC_NO_MEMORY, /* an allocation failed; nothing is half done */
  PAC_FAILED     /* the system below failed; pac_err.message says how */
} pac_status;

/* Details of a failure, owned by the caller. The message names the place and
** the rule, never a value that was given. */
typedef struct pac_err {
  pac_status status;
  char message[192];
} pac_err;

/* Fills *err (which may be NULL) and returns status, so that a failing
** function can end in one line: return pac_fail(err, PAC_INVALID, "..."). */
pac_status pac_fail(pac_err *err, pac_status status, const char *format, ...) PAC_PRINTF(3, 4);

#endif
