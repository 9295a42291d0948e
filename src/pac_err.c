/* pac_err.c: filling the error record. */
#include "pac.h"

#include <stdarg.h>
#include <stdio.h>

pac_status pac_fail(pac_err *err, pac_status status, const char *format, ...) {
  if (err != NULL) {
    va_list args;
    va_start(args, format);
    err->status = status;
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
  }
  return status;
}
