/* unit.h: what the C unit tests share. cmocka wants these headers before its
** own. */
#ifndef PAC_UNIT_H
#define PAC_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A copy with not one byte to spare, so that a sanitizer sees any read behind
** the end. The caller frees it. */
static inline char *exact_copy(const char *text, size_t length) {
  char *copy = malloc(length > 0 ? length : 1);
  assert_non_null(copy);
  memcpy(copy, text, length);
  return copy;
}

#endif
