/* fuzz.h: what the fuzzers share. Each fuzz/<noun>_fuzz.c is a libFuzzer
** program: it is given texts, and dies where a text shows a property broken. */
#ifndef PAC_FUZZ_H
#define PAC_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Ends the program when the condition does not hold; libFuzzer keeps the text. */
#define DEMAND(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                          \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

/* The program's one function. libFuzzer hands over a copy of exactly size bytes,
** so that the address sanitizer sees any access beside it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Memory of exactly so many bytes, at least one. The caller frees it. */
static inline char *exact_memory(size_t size) {
  char *memory = malloc(size > 0 ? size : 1);
  DEMAND(memory != NULL);
  return memory;
}

#endif
