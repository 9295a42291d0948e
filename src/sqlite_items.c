/* sqlite_items.c: reads and writes the items of a store file. */
#include "sqlite_items.h"

#include <stdlib.h>
#include <string.h>

/* At most this many expired items go at every so many writes: more than are written meanwhile, so that a file in which
** everything expires stays small, and few enough not to be noticed. */
#define SWEEP_ITEMS 128
#define SWEEP_EVERY 64

/* ---- texts ---- */

static int texts_reserve(sqlite_texts *t, size_t more) {
  if (more <= t->capacity - t->length) {
    return 0;
  }
  size_t capacity = t->capacity ? t->capacity : 256;
  while (capacity - t->length < more) {
    if (capacity > SIZE_MAX / 2) {
      return -1;
    }
    capacity *= 2;
  }
  char *grown = realloc(t->data, capacity);
  if (!grown) {
    return -1;
  }
  t->data = grown;
  t->capacity = capacity;
  return 0;
}

/* Adds the value of a column, with its length before it. */
static int texts_add_column(sqlite_texts *t, sqlite3_stmt *s, int column) {
  const void *bytes = sqlite3_column_blob(s, column);
  size_t length = (size_t)sqlite3_column_bytes(s, column);
  if ((!bytes && length > 0) || texts_reserve(t, sizeof length + length) != 0) {
    return SQLITE_NOMEM;
  }
  memcpy(t->data + t->length, &length, sizeof length);
  t->length += sizeof length;
  if (length > 0) {
    memcpy(t->data + t->length, bytes, length);
    t->length += length;
  }
  return SQLITE_OK;
}

int sqlite_texts_next(const sqlite_texts *texts, size_t *at, sqlite_text *out) {
  if (*at >= texts->length) {
    return 0;
  }
  memcpy(&out->length, texts->data + *at, sizeof out->length);
  out->data = texts->data + *at + sizeof out->length;
  *at += sizeof out->length + out->length;
  return 1;
}

void sqlite_texts_free(sqlite_texts *texts) {
  free(texts->data);
  memset(texts, 0, sizeof *texts);
}

/* ---- statements ---- */

/* The bytes must stay until the statement is reset. No bytes are NULL to SQL, and an empty text is a blob. */
static int bind_text(sqlite3_stmt *s, int at, sqlite_text text) {
  return text.data ? sqlite3_bind_blob64(s, at, text.data, text.length, SQLITE_STATIC) : sqlite3_bind_null(s, at);
}

static int bind_end(sqlite3_stmt *s, int at, int64_t expires_at_ms) {
  return expires_at_ms == SQLITE_NEVER ? sqlite3_bind_null(s, at) : sqlite3_bind_int64(s, at, expires_at_ms);
}

/* Runs a statement to its end and adds what it finds to `out`. A result code of SQLite; the statement is reset. */
static int run(sqlite3_stmt *s, sqlite_texts *out) {
  int code = sqlite3_step(s);
  while (code == SQLITE_ROW) {
    int added = SQLITE_OK;
    for (int i = 0; out && i < sqlite3_column_count(s) && added == SQLITE_OK; i++) {
      added = texts_add_column(out, s, i);
    }
    code = added == SQLITE_OK ? sqlite3_step(s) : added;
  }
  int reset = sqlite3_reset(s);
  sqlite3_clear_bindings(s);
  return code == SQLITE_DONE ? reset : code;
}

/* ---- reading ---- */

int sqlite_items_get(sqlite_file *f, sqlite_text key, int64_t now_ms, sqlite_texts *out) {
  if (sqlite_file_enter(f) != 0) {
    return -1;
  }
  sqlite3_stmt *s = f->statements[SQL_GET];
  int code = bind_text(s, 1, key);
  code = code == SQLITE_OK ? sqlite3_bind_int64(s, 9, now_ms) : code;
  code = code == SQLITE_OK ? run(s, out) : code;
  return code == SQLITE_OK ? out->length > 0 : sqlite_file_fail(f, code);
}

static int is_before(sqlite_text a, sqlite_text b) {
  size_t common = a.length < b.length ? a.length : b.length;
  int order = common ? memcmp(a.data, b.data, common) : 0;
  return order != 0 ? order < 0 : a.length < b.length;
}

/* Makes the range of keys: from `*first` on and before `*end`, which has no data when there is no end. The two hold
** memory of their own, for the caller to free. */
static int make_range(sqlite_text prefix, sqlite_text after, char **memory, sqlite_text *first, sqlite_text *end) {
  int follows = after.data && !is_before(after, prefix);
  size_t length = follows ? after.length + 1 : prefix.length; /* the key that follows has a NUL more */
  char *bytes = malloc(length + prefix.length + 1);
  if (!bytes) {
    return SQLITE_NOMEM;
  }
  memcpy(bytes, follows ? after.data : prefix.data, follows ? after.length : prefix.length);
  if (follows) {
    bytes[length - 1] = '\0';
  }
  *memory = bytes;
  *first = (sqlite_text){ bytes, length };

  /* Behind all keys of a prefix comes the prefix with its last byte one higher. */
  size_t kept = prefix.length;
  while (kept > 0 && (unsigned char)prefix.data[kept - 1] == 0xff) {
    kept--;
  }
  memcpy(bytes + length, prefix.data, kept);
  *end = (sqlite_text){ kept > 0 ? bytes + length : NULL, kept };
  if (kept > 0) {
    bytes[length + kept - 1]++;
  }
  return SQLITE_OK;
}

int sqlite_items_list(sqlite_file *f, sqlite_text prefix, sqlite_text after, int64_t limit, int64_t now_ms,
                      sqlite_texts *out) {
  if (sqlite_file_enter(f) != 0) {
    return -1;
  }
  char *memory = NULL;
  sqlite_text first = { NULL, 0 }, end = { NULL, 0 };
  int code = make_range(prefix, after, &memory, &first, &end);
  if (code == SQLITE_OK) {
    sqlite3_stmt *s = f->statements[end.data ? SQL_LIST : SQL_LIST_TO_END];
    code = bind_text(s, 1, first);
    code = code == SQLITE_OK && end.data ? bind_text(s, 5, end) : code;
    code = code == SQLITE_OK ? sqlite3_bind_int64(s, 6, limit) : code;
    code = code == SQLITE_OK ? sqlite3_bind_int64(s, 9, now_ms) : code;
    code = code == SQLITE_OK ? run(s, out) : code;
  }
  free(memory);
  return code == SQLITE_OK ? 0 : sqlite_file_fail(f, code);
}

/* ---- writing ---- */

/* Another process may be in the way, or the disk full: what was written is written anyway, and the next sweep follows.
 */
void sqlite_items_sweep(sqlite_file *f, int64_t now_ms) {
  if (f->writes < f->next_sweep) {
    return;
  }
  f->next_sweep = f->writes + SWEEP_EVERY;
  f->deadline_ms = 0;
  sqlite3_stmt *s = f->statements[SQL_SWEEP];
  if (sqlite3_bind_int64(s, 6, SWEEP_ITEMS) == SQLITE_OK && sqlite3_bind_int64(s, 9, now_ms) == SQLITE_OK) {
    run(s, NULL);
  }
}

/* Parameters are numbered: a statement that lacks one may still have a slot for it, up to its highest. */
static int bind_write(sqlite3_stmt *s, const sqlite_write *w) {
  int slots = sqlite3_bind_parameter_count(s);
  int code = bind_text(s, 1, w->key);
  code = code == SQLITE_OK && slots >= 2 ? bind_text(s, 2, w->value) : code;
  code = code == SQLITE_OK && slots >= 3 ? bind_end(s, 3, w->expires_at_ms) : code;
  code = code == SQLITE_OK && slots >= 4 ? bind_text(s, 4, w->expected) : code;
  return code == SQLITE_OK && slots >= 9 ? sqlite3_bind_int64(s, 9, w->now_ms) : code;
}

/* What a write leaves behind it: the group ends it, or the disk has to. */
static int end_write(sqlite_file *f, const sqlite_write *w) {
  f->writes++;
  if (f->group == GROUP_OPEN) {
    f->group_is_durable |= w->durable;
    return 0;
  }
  int status = w->durable ? sqlite_file_sync(f) : 0;
  sqlite_items_sweep(f, w->now_ms);
  return status;
}

static int run_write(sqlite_file *f, sqlite_sql which, const sqlite_write *w) {
  if (sqlite_file_enter(f) != 0) {
    return -1;
  }
  sqlite3_stmt *s = f->statements[which];
  int code = bind_write(s, w);
  if (code == SQLITE_OK) {
    code = run(s, NULL);
  }
  if (code != SQLITE_OK) {
    sqlite3_clear_bindings(s);
    return sqlite_file_fail(f, code);
  }
  if (sqlite3_changes(f->db) == 0) {
    return 0;
  }
  return end_write(f, w) == 0 ? 1 : -1;
}

int sqlite_items_put(sqlite_file *f, const sqlite_write *w) {
  return run_write(f, SQL_PUT, w);
}

int sqlite_items_add(sqlite_file *f, const sqlite_write *w) {
  return run_write(f, SQL_ADD, w);
}

int sqlite_items_replace(sqlite_file *f, const sqlite_write *w) {
  return run_write(f, SQL_REPLACE, w);
}

int sqlite_items_remove(sqlite_file *f, const sqlite_write *w) {
  return run_write(f, SQL_REMOVE, w);
}
