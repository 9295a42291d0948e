/* sqlite_file.c: opens, checks and closes the file of a store. */
#include "sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define APPLICATION_ID 0x7061636f /* "paco" */
#define SCHEMA_VERSION 1

#define FIRST_PAUSE_US   100
#define LONGEST_PAUSE_US 10000

/* When the log is merged into the file, in pages; and when that may wait for the other processes, and for how long. A
** log that is merged early is used again and seldom grows: on a disk that is nearly full, the write that must not fail
** then finds room where those before it had theirs. */
#define LOG_PAGES      64
#define LONG_LOG_PAGES 4000
#define LONG_LOG_BYTES "16384000" /* what is kept of a log that was longer */
#define MERGE_WAIT_MS  50

#define FORKED_TEXT                                                                                                    \
  "this process was forked while the store was open: close the store before the fork, and open it anew on both sides"

/* A rowid table with an index is three times as fast as WITHOUT ROWID here. */
static const char schema[] =
    "CREATE TABLE items (id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL, expires_at_ms INTEGER);"
    "CREATE UNIQUE INDEX items_key ON items (key);"
    "CREATE INDEX items_expiry ON items (expires_at_ms) WHERE expires_at_ms IS NOT NULL;"
    "PRAGMA application_id = 0x7061636f; PRAGMA user_version = 1;";

#define LIVE "(expires_at_ms IS NULL OR expires_at_ms > ?9)"

/* ?1 key, ?2 value, ?3 expires_at_ms, ?4 expected value, ?5 end of the keys, ?6 limit, ?9 now. */
static const char *const sql[SQL_COUNT] = {
  [SQL_GET] = "SELECT value FROM items WHERE key = ?1 AND " LIVE,
  [SQL_PUT] = "INSERT INTO items (key, value, expires_at_ms) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE "
              "SET value = excluded.value, expires_at_ms = excluded.expires_at_ms",
  [SQL_ADD] = "INSERT INTO items (key, value, expires_at_ms) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE "
              "SET value = excluded.value, expires_at_ms = excluded.expires_at_ms WHERE items.expires_at_ms <= ?9",
  [SQL_REPLACE] = "UPDATE items SET value = ?2, expires_at_ms = ifnull(?3, expires_at_ms) "
                  "WHERE key = ?1 AND value = ?4 AND " LIVE,
  [SQL_REMOVE] = "DELETE FROM items WHERE key = ?1 AND (?4 IS NULL OR value = ?4) AND " LIVE,
  [SQL_LIST] = "SELECT key, value FROM items WHERE key >= ?1 AND key < ?5 AND " LIVE " ORDER BY key LIMIT ?6",
  [SQL_LIST_TO_END] = "SELECT key, value FROM items WHERE key >= ?1 AND " LIVE " ORDER BY key LIMIT ?6",
  [SQL_SWEEP] = "DELETE FROM items WHERE id IN (SELECT id FROM items WHERE expires_at_ms <= ?9 LIMIT ?6)",
};

static int64_t monotonic_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- failures ---- */

static int fail_with(sqlite_file *f, const char *text) {
  snprintf(f->failure, sizeof f->failure, "%s", text);
  return -1;
}

/* Only what a program can meet has a text of its own. */
static const char *text_of(int code) {
  switch (code & 0xff) {
  case SQLITE_FULL:
    return "there is no room left for the store: free space on its disk or raise the quota, then try again";
  case SQLITE_READONLY:
  case SQLITE_PERM:
  case SQLITE_CANTOPEN:
    return "the store cannot be opened or written: let this user read and write the file, its folder, and the -wal and "
           "-shm files beside it";
  case SQLITE_CORRUPT:
    return "the store is damaged: end its programs, remove it with its -wal and -shm files and put a copy there, or "
           "save "
           "what is left with the .recover command of the sqlite3 program";
  case SQLITE_NOTADB:
    return "the file is no SQLite database, or its beginning is damaged: choose another path, or remove it with its "
           "-wal "
           "and -shm files and put a copy there";
  case SQLITE_NOMEM:
    return "there is not enough memory";
  case SQLITE_TOOBIG:
    return "the key or the value is longer than SQLite can keep";
  default:
    return NULL;
  }
}

static int is_busy(int code) {
  int kind = code & 0xff;
  return kind == SQLITE_BUSY || kind == SQLITE_LOCKED || kind == SQLITE_PROTOCOL;
}

/* The log of the file, as SQLite has it open; NULL before that. */
static sqlite3_file *log_of(const sqlite_file *f) {
  sqlite3_file *file = NULL;
  int code = sqlite3_file_control(f->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);
  return code == SQLITE_OK && file && file->pMethods ? file : NULL;
}

/* What the system said when SQLite met an error of the disk; 0: unknown. The files remember it best, for what was done
** since may have changed what sqlite3_system_errno tells. */
static int system_error_of(const sqlite_file *f, int code) {
  int of_log = 0, of_file = 0;
  if (!f->db || (code & 0xff) != SQLITE_IOERR) {
    return f->db && (code & 0xff) == SQLITE_CANTOPEN ? sqlite3_system_errno(f->db) : 0;
  }
  sqlite3_file *log = log_of(f);
  if (log) {
    log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &of_log);
  }
  sqlite3_file_control(f->db, "main", SQLITE_FCNTL_LAST_ERRNO, &of_file);
  of_file = of_log ? of_log : of_file;
  return of_file ? of_file : sqlite3_system_errno(f->db);
}

/* SQLite takes a limit of the system for an error of the disk. */
static int is_no_room(int system_error) {
  return system_error == EFBIG || system_error == EDQUOT || system_error == ENOSPC;
}

static int fail_to_open(sqlite_file *f, int system_error) {
  switch (system_error) {
  case ENOENT:
  case ENOTDIR:
    return fail_with(f, "the folder of the store does not exist: make it first");
  case EACCES:
  case EPERM:
  case EROFS:
    return fail_with(f, text_of(SQLITE_READONLY));
  case ENOSPC:
  case EDQUOT:
    return fail_with(f, text_of(SQLITE_FULL));
  default:
    snprintf(f->failure, sizeof f->failure, "the store cannot be opened (%s)", strerror(system_error));
    return -1;
  }
}

static int tell(sqlite_file *f, int code) {
  int system_error = system_error_of(f, code);
  if (system_error == EMFILE || system_error == ENFILE) {
    return fail_to_open(f, system_error);
  }
  const char *text = text_of(is_no_room(system_error) ? SQLITE_FULL : code);
  if (text) {
    return fail_with(f, text);
  }
  if (is_busy(code)) {
    snprintf(
        f->failure, sizeof f->failure,
        "another process, or another store of this one, has kept the file locked for more than %d ms: try again, or "
        "end what keeps it",
        f->busy_timeout_ms);
  } else if ((code & 0xff) == SQLITE_IOERR) {
    snprintf(f->failure, sizeof f->failure, "the store cannot be read or written (%s): check its disk",
             system_error ? strerror(system_error) : sqlite3_errstr(code));
  } else {
    snprintf(f->failure, sizeof f->failure, "the store does not work (SQLite: %s)", sqlite3_errstr(code));
  }
  return -1;
}

int sqlite_file_fail(sqlite_file *f, int code) {
  if (f->group == GROUP_OPEN) {
    f->group = GROUP_FAILED;
  }
  return tell(f, code);
}

/* ---- waiting ---- */

/* The busy handler. SQLite's own timeout would begin anew with each statement. */
static int wait_for_lock(void *context, int tries) {
  const sqlite_file *f = context;
  int64_t left_us = (f->deadline_ms - monotonic_ms()) * 1000;
  if (left_us <= 0) {
    return 0;
  }
  int64_t pause_us = tries < 7 ? FIRST_PAUSE_US << tries : LONGEST_PAUSE_US;
  pause_us = pause_us < left_us ? pause_us : left_us;
  struct timespec pause = { .tv_sec = 0, .tv_nsec = (long)pause_us * 1000 };
  nanosleep(&pause, NULL);
  return 1;
}

static void begin_waiting(sqlite_file *f) {
  f->deadline_ms = monotonic_ms() + f->busy_timeout_ms;
}

/* ---- the log ---- */

/* Waits for the others for a while, so that the log can begin anew. One that reads on and on is in the way of every
** writer meanwhile: it is waited for again only when the log has become longer by as much. */
static void merge_long_log(sqlite_file *f, const char *name, int pages) {
  int64_t deadline_ms = f->deadline_ms, soon_ms = monotonic_ms() + MERGE_WAIT_MS;
  f->deadline_ms = soon_ms < deadline_ms ? soon_ms : deadline_ms;
  int code = sqlite3_wal_checkpoint_v2(f->db, name, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
  f->deadline_ms = deadline_ms;
  f->busy_log_pages = code == SQLITE_OK ? 0 : pages;
}

/* Called after each commit. What waits for nobody never ends while several processes write without a pause, and so the
** log would grow for ever. Nothing is lost when it fails: the next commit tries again. */
static int merge_log(void *context, sqlite3 *db, const char *name, int pages) {
  sqlite_file *f = context;
  if (pages < f->busy_log_pages) {
    f->busy_log_pages = 0; /* it has begun anew */
  }
  if (pages >= f->busy_log_pages + LONG_LOG_PAGES) {
    merge_long_log(f, name, pages);
  } else if (pages >= LOG_PAGES) {
    sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  }
  return SQLITE_OK;
}

/* ---- opening ---- */

static int exec(sqlite_file *f, const char *text) {
  return sqlite3_exec(f->db, text, NULL, NULL, NULL);
}

/* SQLite would make the file with the mode that the umask leaves. Only a file that is made here is ever opened by hand:
** closing a second descriptor of a file that is in use would give up every lock that this process has on it. */
static int create_if_missing(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
  if (fd >= 0) {
    close(fd);
    return 0;
  }
  return errno == EEXIST ? 0 : errno;
}

/* SQLite would open what can only be read, and leave files beside it. It also has names that mean no file. */
static int check_path(sqlite_file *f, const char *path, struct stat *found) {
  if (path[0] == '\0' || strcmp(path, ":memory:") == 0 || strncmp(path, "file:", 5) == 0) {
    return fail_with(f, "the path of the store must be that of a file; paciolan.store.memory keeps nothing on disk");
  }
  int system_error = create_if_missing(path);
  if (system_error == 0 && stat(path, found) != 0) {
    system_error = errno;
  }
  if (system_error == 0 && !S_ISREG(found->st_mode)) {
    return fail_with(f, "the path of the store is that of a folder or a device: it must be that of a file");
  }
  if (system_error == 0 && faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) != 0) {
    system_error = errno;
  }
  return system_error == 0 ? 0 : fail_to_open(f, system_error);
}

/* Whose database it is: `is_new` becomes 1 if it is nobody's. 0, or a result code of SQLite, or -1 with a text if it is
** somebody else's. */
static int identify(sqlite_file *f, int *is_new) {
  sqlite3_stmt *s = NULL;
  int code = sqlite3_prepare_v2(f->db,
                                "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master) "
                                "FROM pragma_application_id, pragma_user_version",
                                -1, &s, NULL);
  if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
    int application = sqlite3_column_int(s, 0), version = sqlite3_column_int(s, 1), tables = sqlite3_column_int(s, 2);
    *is_new = application == 0 && version == 0 && tables == 0;
    code = SQLITE_OK;
    if (application != APPLICATION_ID && !*is_new) {
      code = fail_with(f, "the file is a database of another program: choose another path");
    } else if (!*is_new && version != SCHEMA_VERSION) {
      code = fail_with(f, "the store was made by a newer version of paciolan: update this one");
    }
  }
  sqlite3_finalize(s);
  return code;
}

static int use_log(sqlite_file *f) {
  sqlite3_stmt *s = NULL;
  int code = sqlite3_prepare_v2(f->db, "PRAGMA journal_mode = WAL", -1, &s, NULL);
  if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
    const char *mode = (const char *)sqlite3_column_text(s, 0);
    code = mode && strcmp(mode, "wal") == 0
               ? SQLITE_OK
               : fail_with(f, "the file system cannot share a store between processes: put it on a local disk");
  }
  sqlite3_finalize(s);
  return code;
}

/* Several processes may be at it: the first to have the lock makes the tables. */
static int create_schema(sqlite_file *f) {
  int is_new = 0;
  int code = exec(f, "BEGIN IMMEDIATE");
  code = code == SQLITE_OK ? identify(f, &is_new) : code;
  code = code == SQLITE_OK && is_new ? exec(f, schema) : code;
  code = code == SQLITE_OK ? exec(f, "COMMIT") : code;
  if (!sqlite3_get_autocommit(f->db)) {
    exec(f, "ROLLBACK");
  }
  return code;
}

static int prepare(sqlite_file *f) {
  for (int i = 0; i < SQL_COUNT; i++) {
    sqlite3_finalize(f->statements[i]);
    f->statements[i] = NULL;
    int code = sqlite3_prepare_v3(f->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &f->statements[i], NULL);
    if (code != SQLITE_OK) {
      /* Without its table the file is ours and yet is not. */
      return code == SQLITE_ERROR ? SQLITE_CORRUPT : code;
    }
  }
  return SQLITE_OK;
}

/* 0, or a result code of SQLite, or -1 with a text. May be repeated. */
static int set_up(sqlite_file *f) {
  int is_new = 0;
  int code = identify(f, &is_new);
  code = code == SQLITE_OK && sqlite3_db_readonly(f->db, "main") ? SQLITE_READONLY : code;
  code = code == SQLITE_OK ? use_log(f) : code;
  code = code == SQLITE_OK && is_new ? create_schema(f) : code;
  code = code == SQLITE_OK ? exec(f, "PRAGMA synchronous = NORMAL") : code;
  return code == SQLITE_OK ? prepare(f) : code;
}

/* What SQLite answers at once, without asking the busy handler, is tried again here: the change to a log, for one. */
static int set_up_in_time(sqlite_file *f) {
  int code = set_up(f);
  for (int tries = 0; is_busy(code) && wait_for_lock(f, tries); tries++) {
    code = set_up(f);
  }
  return code;
}

/* The entry of a new log in its folder must survive a loss of power too; the system syncs it only for the process that
** made the log. */
static void sync_folder(const char *path) {
  char folder[4096];
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) + 1 : 0;
  if (length == 0 || length >= sizeof folder) {
    return;
  }
  memcpy(folder, path, length);
  folder[length] = '\0';
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
}

static int open_db(sqlite_file *f, const char *path) {
  int code =
      sqlite3_open_v2(path, &f->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
  if (code != SQLITE_OK) {
    return code;
  }
  sqlite3_extended_result_codes(f->db, 1);
  sqlite3_busy_handler(f->db, wait_for_lock, f);
  sqlite3_wal_hook(f->db, merge_log, f);
  /* Until it is known that the file is ours, its log is not for us to tidy up. */
  sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  /* A file that somebody prepared must run nothing; a damaged one is to be noticed; Apple's fsync does not sync. */
  return exec(f, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                 "PRAGMA checkpoint_fullfsync = ON; PRAGMA journal_size_limit = " LONG_LOG_BYTES ";");
}

static const char *log_path(const sqlite_file *f) {
  const char *path = sqlite3_db_filename(f->db, "main");
  return path ? sqlite3_filename_wal(path) : NULL;
}

/* A log with something in it stays for its owner; an empty one was made here. */
static void close_unused(sqlite_file *f) {
  struct stat log;
  const char *path = f->db ? log_path(f) : NULL;
  if (path && stat(path, &log) == 0 && log.st_size == 0) {
    sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
  }
  sqlite_file_close(f);
}

int sqlite_file_open(sqlite_file *f, sqlite_handles *handles, const char *path, int busy_timeout_ms) {
  struct stat found;
  f->opened_by = getpid();
  f->busy_timeout_ms = busy_timeout_ms;
  begin_waiting(f);
  if (check_path(f, path, &found) != 0) {
    return -1;
  }
  if (sqlite_handles_is_inherited(handles, &found)) {
    return fail_with(f, FORKED_TEXT);
  }
  f->handle = sqlite_handles_add(handles, &found);
  int code = f->handle ? open_db(f, path) : SQLITE_NOMEM;
  code = code == SQLITE_OK ? set_up_in_time(f) : code;
  if (code == SQLITE_OK && stat(log_path(f), &f->wal) != 0) {
    code = SQLITE_CANTOPEN;
  }
  if (code != SQLITE_OK) {
    if (code != -1) {
      tell(f, code);
    }
    close_unused(f);
    return -1;
  }
  sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
  sync_folder(log_path(f));
  return 0;
}

/* ---- using and closing ---- */

/* What is written to a removed file is lost, and the log beside another file is not that file's. */
static int has_moved(const sqlite_file *f) {
  int is_moved = 0;
  struct stat now;
  sqlite3_file_control(f->db, "main", SQLITE_FCNTL_HAS_MOVED, &is_moved);
  return is_moved || stat(log_path(f), &now) != 0 || now.st_ino != f->wal.st_ino || now.st_dev != f->wal.st_dev;
}

void sqlite_file_close(sqlite_file *f) {
  if (f->db && f->opened_by == getpid()) {
    f->deadline_ms = 0;
    if (f->wal.st_ino != 0 && has_moved(f)) {
      sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    for (int i = 0; i < SQL_COUNT; i++) {
      sqlite3_finalize(f->statements[i]);
    }
    sqlite3_close(f->db);
  }
  sqlite_handle_remove(f->handle);
  memset(f->statements, 0, sizeof f->statements);
  f->handle = NULL;
  f->db = NULL;
  f->group = GROUP_NONE;
}

int sqlite_file_enter(sqlite_file *f) {
  if (f->opened_by != getpid()) {
    return fail_with(f, FORKED_TEXT);
  }
  if (f->group == GROUP_FAILED) {
    return -1; /* for the reason that is told already */
  }
  if (has_moved(f)) {
    f->group = f->group == GROUP_OPEN ? GROUP_FAILED : f->group;
    return fail_with(f, "the file of the store, or its -wal file, was removed or replaced while it was open: "
                        "open the store again");
  }
  begin_waiting(f);
  return 0;
}

/* The sync of a commit (PRAGMA synchronous = FULL) would not do. It is left out when a value is written that is there
** already, and that may not be on the disk yet; and every other writer would wait for it, where so they share it. */
int sqlite_file_sync(sqlite_file *f) {
  sqlite3_file *log = log_of(f);
  if (!log || log->pMethods->xSync(log, SQLITE_SYNC_FULL) != SQLITE_OK) {
    return fail_with(f, "the disk did not confirm what was written: it may not survive a loss of power");
  }
  return 0;
}

/* ---- groups ---- */

int sqlite_file_begin(sqlite_file *f, int durable) {
  if (sqlite_file_enter(f) != 0) {
    return -1;
  }
  int code = exec(f, "BEGIN IMMEDIATE");
  if (code != SQLITE_OK) {
    return tell(f, code);
  }
  f->group = GROUP_OPEN;
  f->group_is_durable = durable;
  return 0;
}

void sqlite_file_rollback(sqlite_file *f) {
  f->group = GROUP_NONE;
  if (f->opened_by == getpid() && !sqlite3_get_autocommit(f->db)) {
    exec(f, "ROLLBACK");
  }
}

int sqlite_file_commit(sqlite_file *f) {
  int code = SQLITE_OK;
  if (sqlite_file_enter(f) != 0 || (code = exec(f, "COMMIT")) != SQLITE_OK) {
    if (code != SQLITE_OK) {
      tell(f, code);
    }
    sqlite_file_rollback(f);
    return -1;
  }
  f->group = GROUP_NONE;
  return f->group_is_durable ? sqlite_file_sync(f) : 0;
}
