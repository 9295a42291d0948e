/* sqlite_items.h: what a store does with its keys and values. Pure C: no Lua
** here. Every function is one transaction, or a part of the open group.
**
** Times are unix milliseconds. An item whose time is over counts as absent. */
#ifndef SQLITE_ITEMS_H
#define SQLITE_ITEMS_H

#include "sqlite_file.h"

#include <stddef.h>

#define SQLITE_NEVER INT64_MAX /* an expires_at_ms: it stays, or keeps the end it has */

/* Borrowed bytes; `data` is NULL where there are none, and not for an empty text. */
typedef struct sqlite_text {
  const char *data;
  size_t length;
} sqlite_text;

/* Texts that were read, one behind the other. Owned by the caller, who frees them. */
typedef struct sqlite_texts {
  char *data;
  size_t length, capacity;
} sqlite_texts;

/* Where a text ends up: takes the next one from position `*at` and moves it on. 0 at the end. */
int sqlite_texts_next(const sqlite_texts *texts, size_t *at, sqlite_text *out);

void sqlite_texts_free(sqlite_texts *texts);

/* One write. Which of its fields are read depends on the function. */
typedef struct sqlite_write {
  sqlite_text key, value;
  sqlite_text expected; /* data is NULL: whatever it is */
  int64_t expires_at_ms;
  int64_t now_ms;
  int durable; /* wait until the disk has it */
} sqlite_write;

/* Puts the value into `out` and returns 1; 0 when there is none; -1 on failure. */
int sqlite_items_get(sqlite_file *f, sqlite_text key, int64_t now_ms, sqlite_texts *out);

/* 1 when it was done, 0 when the condition did not hold, -1 on failure. `put` has no condition. */
int sqlite_items_put(sqlite_file *f, const sqlite_write *w);
int sqlite_items_add(sqlite_file *f, const sqlite_write *w);
int sqlite_items_replace(sqlite_file *f, const sqlite_write *w);
int sqlite_items_remove(sqlite_file *f, const sqlite_write *w);

/* Puts the keys that begin with `prefix` into `out`, each followed by its value, in the order of their bytes: those
** behind `after` when that is not NULL, and at most `limit`, or all for -1. 0, or -1 on failure. */
int sqlite_items_list(sqlite_file *f, sqlite_text prefix, sqlite_text after, int64_t limit, int64_t now_ms,
                      sqlite_texts *out);

/* Deletes some expired items if enough was written since the last time. To be called behind the writes of a group;
** other writes do it themselves. A failure is of no interest. */
void sqlite_items_sweep(sqlite_file *f, int64_t now_ms);

#endif
