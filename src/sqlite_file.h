/* sqlite_file.h: one open store file, as src/sqlite_file.c keeps it and
** src/sqlite_items.c reads and writes it. Pure C: no Lua here.
**
** Functions that can fail return 0, or -1 with a text in `failure` that says
** what to do. The text names no key and no value. */
#ifndef SQLITE_FILE_H
#define SQLITE_FILE_H

#include "sqlite_handles.h"

#include <sqlite3.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#if SQLITE_VERSION_NUMBER < 3031000
#error "SQLite 3.31 or newer is needed (sqlite3_filename_wal)"
#endif

typedef enum sqlite_sql {
  SQL_GET,
  SQL_PUT,
  SQL_ADD,
  SQL_REPLACE,
  SQL_REMOVE,
  SQL_LIST,        /* between two keys */
  SQL_LIST_TO_END, /* from one key on */
  SQL_SWEEP,
  SQL_COUNT
} sqlite_sql;

typedef enum sqlite_group { GROUP_NONE, GROUP_OPEN, GROUP_FAILED } sqlite_group;

typedef struct sqlite_file {
  sqlite3 *db; /* owned; NULL: closed */
  sqlite3_stmt *statements[SQL_COUNT];
  pid_t opened_by;       /* SQLite's locks and buffers are of no use after a fork */
  sqlite_handle *handle; /* owned; that it is open */
  struct stat wal;       /* which file its log is */
  int busy_log_pages;    /* how long the log was when the others did not let it be merged; 0: not lately */
  int busy_timeout_ms;   /* for all waits of one call together */
  int64_t deadline_ms;   /* monotonic; the busy handler gives up there */
  sqlite_group group;    /* several writes in one transaction */
  int group_is_durable;  /* a write of the group asked for it */
  uint64_t writes;       /* made so far */
  uint64_t next_sweep;   /* when to look for expired items: at this many */
  char failure[320];
} sqlite_file;

/* Opens a store file, and makes it (mode 0600) if it is missing. A database of
** another program is refused and left as it is, and so is a file that was open
** when this process was forked. `f` must be zeroed. `handles` are borrowed,
** until the file is closed or they are freed. */
int sqlite_file_open(sqlite_file *f, sqlite_handles *handles, const char *path, int busy_timeout_ms);

/* Idempotent. After a fork the child's copy is given up and not closed, for
** closing it would end what the parent has open; its handle stays known. */
void sqlite_file_close(sqlite_file *f);

/* To be called first by whatever touches the file: begins the time for waiting,
** and refuses a file that was removed or replaced, a process that was forked,
** and a group that has failed. */
int sqlite_file_enter(sqlite_file *f);

/* Keeps a text for a result code of SQLite. A group it happened in has failed. Returns -1. */
int sqlite_file_fail(sqlite_file *f, int code);

/* Begins a transaction of several writes. `durable`: its commit is to wait for the disk. */
int sqlite_file_begin(sqlite_file *f, int durable);

/* Ends it. After a failure all its writes are undone, except when only the
** disk did not confirm them, as `failure` then says. */
int sqlite_file_commit(sqlite_file *f);

/* Undoes it. Without a group there is nothing to do. */
void sqlite_file_rollback(sqlite_file *f);

/* Waits until the disk has everything that was committed so far. */
int sqlite_file_sync(sqlite_file *f);

#endif
