/* sqlite_test.c: what of the sqlite store cannot be seen from Lua: which writes
** wait for the disk, a disk and a memory that fail at any moment, forked
** processes, and users who may not write. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sqlite_items.h"

#define NOW_MS     INT64_C(1700000000000)
#define TIMEOUT_MS 100
#define NOBODY     65534

/* ---- a disk that is watched, and that fails ------------------------------- */

static struct {
  int syncs;
  int sync_error;  /* an errno; 0: syncs succeed */
  int write_error; /* an errno, from that write on; 0: never */
  int writes_left; /* that succeed before */
  int pieces_left; /* of memory that are given before there is no more; -1: no limit */
  int pauses;      /* made while another had the file */
} disk;

int fsync(int fd);
int fdatasync(int fd);

/* In the place of those of the C library, for SQLite as well. */
static int sync_or_fail(long number, int fd) {
  disk.syncs++;
  if (disk.sync_error) {
    errno = disk.sync_error;
    return -1;
  }
  return (int)syscall(number, fd);
}

int fsync(int fd) {
  return sync_or_fail(SYS_fsync, fd);
}

int fdatasync(int fd) {
  return sync_or_fail(SYS_fdatasync, fd);
}

int nanosleep(const struct timespec *pause, struct timespec *left) {
  disk.pauses++;
  return (int)syscall(SYS_nanosleep, pause, left);
}

static int is_write_refused(void) {
  if (disk.write_error && disk.writes_left-- <= 0) {
    errno = disk.write_error;
    return 1;
  }
  return 0;
}

static ssize_t pwrite_or_fail(int fd, const void *bytes, size_t length, off_t at) {
  return is_write_refused() ? -1 : pwrite(fd, bytes, length, at);
}

static int ftruncate_or_fail(int fd, off_t length) {
  return is_write_refused() ? -1 : ftruncate(fd, length);
}

static int is_memory_refused(void) {
  return disk.pieces_left >= 0 && disk.pieces_left-- <= 0;
}

static sqlite3_mem_methods memory;

static void *malloc_or_fail(int size) {
  return is_memory_refused() ? NULL : memory.xMalloc(size);
}

static void *realloc_or_fail(void *piece, int size) {
  return is_memory_refused() ? NULL : memory.xRealloc(piece, size);
}

static int watch_disk(void **state) {
  (void)state;
  disk.pieces_left = -1;
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory);
  sqlite3_mem_methods failing = memory;
  failing.xMalloc = malloc_or_fail;
  failing.xRealloc = realloc_or_fail;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &failing);
  sqlite3_initialize();
  sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
  vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)pwrite_or_fail);
  vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)pwrite_or_fail);
  vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)ftruncate_or_fail);
  return 0;
}

/* ---- a store in a folder of its own ---------------------------------------- */

typedef struct fixture {
  char folder[64], path[80];
  sqlite_handles handles;
  sqlite_file file;
} fixture;

static sqlite_text text(const char *bytes) {
  return (sqlite_text){ bytes, strlen(bytes) };
}

static void open_store(fixture *x) {
  memset(&x->file, 0, sizeof x->file);
  if (sqlite_file_open(&x->file, &x->handles, x->path, TIMEOUT_MS) != 0) {
    fail_msg("%s", x->file.failure);
  }
}

static int set_up(void **state) {
  fixture *x = calloc(1, sizeof *x);
  assert_non_null(x);
  snprintf(x->folder, sizeof x->folder, "/tmp/sqlite_test.XXXXXX");
  assert_non_null(mkdtemp(x->folder));
  snprintf(x->path, sizeof x->path, "%s/store.db", x->folder);
  open_store(x);
  *state = x;
  return 0;
}

static int tear_down(void **state) {
  static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
  fixture *x = *state;
  char path[96];
  disk.write_error = disk.sync_error = 0;
  disk.pieces_left = -1;
  sqlite_file_close(&x->file);
  assert_null(x->handles.first);
  sqlite_handles_free(&x->handles);
  for (size_t i = 0; i < COUNT(ends); i++) {
    snprintf(path, sizeof path, "%s%s", x->path, ends[i]);
    unlink(path);
  }
  rmdir(x->folder);
  free(x);
  return 0;
}

static int put(fixture *x, const char *key, const char *value, int durable) {
  sqlite_write w = {
    .key = text(key), .value = text(value), .expires_at_ms = SQLITE_NEVER, .now_ms = NOW_MS, .durable = durable
  };
  return sqlite_items_put(&x->file, &w);
}

static int replace(fixture *x, const char *key, const char *expected, const char *value, int durable) {
  sqlite_write w = { .key = text(key),
                     .expected = text(expected),
                     .value = text(value),
                     .expires_at_ms = SQLITE_NEVER,
                     .now_ms = NOW_MS,
                     .durable = durable };
  return sqlite_items_replace(&x->file, &w);
}

/* 1 if that is the value, 0 if there is another or none, -1 on failure. */
static int has(fixture *x, const char *key, const char *value) {
  sqlite_texts found = { NULL, 0, 0 };
  sqlite_text one = { NULL, 0 };
  size_t at = 0;
  int status = sqlite_items_get(&x->file, text(key), NOW_MS, &found);
  if (status == 1) {
    status =
        sqlite_texts_next(&found, &at, &one) && one.length == strlen(value) && memcmp(one.data, value, one.length) == 0;
  }
  sqlite_texts_free(&found);
  return status;
}

static int list(fixture *x) {
  sqlite_texts found = { NULL, 0, 0 };
  sqlite_text none = { NULL, 0 };
  int status = sqlite_items_list(&x->file, text(""), none, -1, NOW_MS, &found);
  sqlite_texts_free(&found);
  return status;
}

static void assert_failure(const fixture *x, const char *wanted) {
  if (!strstr(x->file.failure, wanted)) {
    fail_msg("wanted \"%s\", got \"%s\"", wanted, x->file.failure);
  }
}

/* ---- what waits for the disk ------------------------------------------------ */

static void test_only_durable_writes_wait_for_the_disk(void **state) {
  fixture *x = *state;
  disk.syncs = 0;
  assert_int_equal(put(x, "a", "1", 0), 1);
  assert_int_equal(replace(x, "a", "1", "2", 0), 1);
  assert_int_equal(disk.syncs, 0);
  assert_int_equal(put(x, "a", "3", 1), 1);
  assert_int_equal(disk.syncs, 1);
  assert_int_equal(replace(x, "a", "3", "4", 1), 1);
  assert_int_equal(disk.syncs, 2);
  assert_int_equal(replace(x, "a", "3", "4", 1), 0); /* nothing was written */
  assert_int_equal(disk.syncs, 2);
}

static void test_a_durable_write_of_what_is_there_waits_for_it(void **state) {
  fixture *x = *state;
  assert_int_equal(put(x, "a", "1", 0), 1);
  disk.syncs = 0;
  assert_int_equal(put(x, "a", "1", 1), 1);
  assert_int_equal(disk.syncs, 1);
}

static void test_a_group_waits_once(void **state) {
  fixture *x = *state;
  static const struct { int group, write, syncs; } rows[] = { { 0, 0, 0 }, { 1, 0, 1 }, { 0, 1, 1 }, { 1, 1, 1 } };
  for (size_t i = 0; i < COUNT(rows); i++) {
    char value[] = { (char)('a' + i), '\0' };
    disk.syncs = 0;
    assert_int_equal(sqlite_file_begin(&x->file, rows[i].group), 0);
    assert_int_equal(put(x, "a", value, 0), 1);
    assert_int_equal(put(x, "b", value, rows[i].write), 1);
    assert_int_equal(put(x, "c", value, 0), 1);
    assert_int_equal(disk.syncs, 0);
    assert_int_equal(sqlite_file_commit(&x->file), 0);
    assert_int_equal(disk.syncs, rows[i].syncs);
    assert_int_equal(has(x, "c", value), 1);
  }
}

static void test_a_failed_sync_is_told(void **state) {
  fixture *x = *state;
  disk.sync_error = EIO;
  assert_int_equal(put(x, "a", "1", 0), 1);
  assert_int_equal(put(x, "b", "1", 1), -1);
  assert_failure(x, "the disk did not confirm what was written");
  assert_int_equal(sqlite_file_begin(&x->file, 1), 0);
  assert_int_equal(put(x, "c", "1", 0), 1);
  assert_int_equal(sqlite_file_commit(&x->file), -1);
  assert_failure(x, "the disk did not confirm what was written");
  disk.sync_error = 0;
  assert_int_equal(put(x, "b", "1", 1), 1);
}

/* ---- a disk that fails ------------------------------------------------------- */

/* Writes after that many have succeeded fail. Whatever was answered must be true then and later. */
static void fail_writes(fixture *x, int error, const char *wanted) {
  for (int count = 0; count < 12; count++) {
    assert_int_equal(put(x, "a", "old", 0), 1);
    assert_int_equal(put(x, "b", "old", 0), 1);
    disk.writes_left = count;
    disk.write_error = error;
    int status = put(x, "a", "new", count % 2);
    if (status < 0) {
      assert_failure(x, wanted);
    }
    assert_int_equal(has(x, "a", status == 1 ? "new" : "old"), 1);
    int group = sqlite_file_begin(&x->file, 0);
    assert_int_equal(group, 0);
    int first = put(x, "a", "group", 0), second = put(x, "b", "group", 0);
    group = sqlite_file_commit(&x->file);
    if (group < 0) {
      assert_failure(x, wanted);
    }
    assert_true(group == 0 ? first == 1 && second == 1 : group == -1);
    assert_int_equal(has(x, "b", group == 0 ? "group" : "old"), 1);
    disk.write_error = 0;
    assert_int_equal(has(x, "b", group == 0 ? "group" : "old"), 1);
    assert_int_equal(list(x), 0);
  }
}

static void test_a_full_disk_is_told_and_outlived(void **state) {
  fail_writes(*state, ENOSPC, "there is no room left for the store");
  fail_writes(*state, EDQUOT, "there is no room left for the store");
  fail_writes(*state, EFBIG, "there is no room left for the store");
}

static void test_a_broken_disk_is_told_and_outlived(void **state) {
  fail_writes(*state, EIO, "the store cannot be read or written (Input/output error): check its disk");
}

static void test_what_was_written_before_survives_a_full_disk(void **state) {
  fixture *x = *state;
  assert_int_equal(put(x, "a", "1", 0), 1);
  disk.writes_left = 1;
  disk.write_error = ENOSPC;
  assert_int_equal(put(x, "a", "2", 0), -1);
  sqlite_file_close(&x->file); /* its log cannot be merged now */
  disk.write_error = 0;
  open_store(x);
  assert_int_equal(has(x, "a", "1"), 1);
}

static void test_a_store_is_closed_to_user_on_a_full_disk(void **state) {
  fixture *x = *state;
  sqlite_file_close(&x->file);
  for (int count = 0; count < 20; count++) {
    unlink(x->path);
    disk.writes_left = count;
    disk.write_error = ENOSPC;
    memset(&x->file, 0, sizeof x->file);
    if (sqlite_file_open(&x->file, &x->handles, x->path, TIMEOUT_MS) != 0) {
      assert_failure(x, "there is no room left for the store");
      assert_null(x->file.db);
      disk.write_error = 0;
      open_store(x); /* what is left of the attempt is no obstacle */
    }
    disk.write_error = 0;
    assert_int_equal(put(x, "a", "1", 1), 1);
    sqlite_file_close(&x->file);
  }
}

/* ---- a memory that fails ------------------------------------------------------ */

/* Everything once, with that many pieces of memory. Returns how many answers were failures. */
static int use_with_little_memory(fixture *x, int pieces) {
  int failures = 0;
  disk.pieces_left = pieces;
  memset(&x->file, 0, sizeof x->file);
  if (sqlite_file_open(&x->file, &x->handles, x->path, TIMEOUT_MS) != 0) {
    disk.pieces_left = -1;
    assert_failure(x, "there is not enough memory");
    return 1;
  }
  failures += put(x, "a", "new", 1) < 0;
  failures += has(x, "a", "new") < 0;
  failures += list(x) < 0;
  failures += replace(x, "b", "no", "new", 0) < 0;
  if (sqlite_file_begin(&x->file, 0) == 0) {
    failures += put(x, "c", "new", 0) < 0;
    failures += sqlite_file_commit(&x->file) < 0;
  } else {
    failures++;
  }
  disk.pieces_left = -1;
  if (failures > 0) {
    assert_failure(x, "there is not enough memory");
  }
  assert_int_equal(put(x, "c", "last", 0), 1);
  assert_int_equal(has(x, "c", "last"), 1);
  sqlite_file_close(&x->file);
  return failures;
}

static void test_want_of_memory_is_told_and_outlived(void **state) {
  fixture *x = *state;
  int pieces = 0, failures = 0, last = 1;
  assert_int_equal(put(x, "a", "old", 0), 1);
  sqlite_file_close(&x->file);
  while (last > 0) {
    last = use_with_little_memory(x, pieces++);
    failures += last;
  }
  assert_true(failures > 20);
  open_store(x);
  assert_int_equal(has(x, "a", "new"), 1);
}

/* ---- processes ----------------------------------------------------------------- */

/* Runs a function in a child, as another user if this one is almighty. It returns 1 for good. */
static void assert_in_child(fixture *x, int (*run)(fixture *), int as_nobody) {
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    int is_ready = !as_nobody || geteuid() != 0 || (setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    int status = is_ready && run(x) ? 0 : 1;
    if (status != 0) {
      fprintf(stderr, "# in the child: \"%s\"\n", x->file.failure);
    }
    _exit(status);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* Forks while the store is closed: `run` then has what a process of its own has, and not a part of what is open here.
** `before` is run here first. */
static void assert_in_other_process(fixture *x, void (*before)(fixture *), int (*run)(fixture *)) {
  int go[2], status = -1;
  char byte = 0;
  sqlite_file_close(&x->file);
  assert_int_equal(pipe(go), 0);
  pid_t other = fork();
  assert_true(other >= 0);
  if (other == 0) {
    close(go[1]);
    _exit(read(go[0], &byte, 1) == 1 && run(x) ? 0 : 1);
  }
  open_store(x);
  before(x);
  assert_int_equal(write(go[1], &byte, 1), 1);
  close(go[0]);
  close(go[1]);
  assert_int_equal(waitpid(other, &status, 0), other);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* A child gives up what it cannot close; a leak checker is to find it here. */
static sqlite3 *volatile left_behind;

static const char forked[] = "this process was forked while the store was open: close the store before the fork, and "
                             "open it anew on both sides";

static int is_refused_after_fork(fixture *x) {
  int is_refused = put(x, "a", "child", 0) == -1 && has(x, "a", "parent") == -1 && list(x) == -1 &&
                   sqlite_file_commit(&x->file) == -1 && sqlite_file_begin(&x->file, 0) == -1;
  is_refused = is_refused && strcmp(x->file.failure, forked) == 0;
  left_behind = x->file.db;
  sqlite_file_close(&x->file);
  return is_refused && x->file.db == NULL && left_behind != NULL;
}

/* Opens the store with another handle. */
static int opens_anew(fixture *x, sqlite_file *other) {
  memset(other, 0, sizeof *other);
  return sqlite_file_open(other, &x->handles, x->path, TIMEOUT_MS) == 0;
}

static int is_not_opened_after_fork(fixture *x) {
  sqlite_file other;
  left_behind = x->file.db ? x->file.db : left_behind;
  int is_refused = !opens_anew(x, &other) && strcmp(other.failure, forked) == 0 && other.db == NULL;
  sqlite_file_close(&x->file); /* which does not give back what was inherited */
  return is_refused && !opens_anew(x, &other) && strcmp(other.failure, forked) == 0;
}

static int is_not_opened_by_grandchild(fixture *x) {
  int status = -1;
  left_behind = x->file.db;
  sqlite_file_close(&x->file);
  pid_t child = fork();
  if (child == 0) {
    _exit(is_not_opened_after_fork(x) ? 0 : 1);
  }
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int opens_another_file(fixture *x) {
  static const char *const ends[] = { "", "-wal", "-shm" };
  char path[96], name[112];
  sqlite_file other;
  memset(&other, 0, sizeof other);
  snprintf(path, sizeof path, "%s.other", x->path);
  int is_open = sqlite_file_open(&other, &x->handles, path, TIMEOUT_MS) == 0;
  sqlite_file_close(&other);
  for (size_t i = 0; i < COUNT(ends); i++) {
    snprintf(name, sizeof name, "%s%s", path, ends[i]);
    unlink(name);
  }
  left_behind = x->file.db;
  return is_open;
}

static int writes_anew(fixture *x) {
  int is_done = opens_anew(x, &x->file) && put(x, "b", "child", 1) == 1;
  sqlite_file_close(&x->file);
  return is_done;
}

static int is_locked(fixture *x) {
  int is_refused = opens_anew(x, &x->file) && put(x, "a", "other", 0) == -1 &&
                   strstr(x->file.failure, "another process, or another store of this one, has kept the file locked");
  sqlite_file_close(&x->file);
  return is_refused;
}

static void begin_and_fork(fixture *x) {
  assert_int_equal(put(x, "a", "parent", 0), 1);
  assert_int_equal(sqlite_file_begin(&x->file, 0), 0);
  assert_int_equal(put(x, "a", "group", 0), 1);
  assert_in_child(x, is_refused_after_fork, 0);
  assert_in_child(x, is_not_opened_after_fork, 0);
}

static void test_a_child_leaves_the_parents_store_alone(void **state) {
  fixture *x = *state;
  assert_in_other_process(x, begin_and_fork, is_locked); /* still */
  assert_int_equal(sqlite_file_commit(&x->file), 0);
  assert_int_equal(has(x, "a", "group"), 1);
}

static void test_a_file_that_was_open_at_a_fork_is_not_opened_in_the_child(void **state) {
  fixture *x = *state;
  sqlite_file second;
  assert_in_child(x, is_not_opened_after_fork, 0);
  assert_in_child(x, is_not_opened_by_grandchild, 0);
  assert_in_child(x, opens_another_file, 0);
  assert_true(opens_anew(x, &second)); /* here it is */
  sqlite_file_close(&x->file);
  memset(&x->file, 0, sizeof x->file);
  assert_in_child(x, is_not_opened_after_fork, 0); /* for the second */
  sqlite_file_close(&second);
  assert_in_child(x, writes_anew, 0);
  open_store(x);
  assert_int_equal(has(x, "b", "child"), 1);
}

static void test_a_list_may_end_before_its_files(void **state) {
  fixture *x = *state;
  sqlite_handles_free(&x->handles);
  assert_int_equal(put(x, "a", "1", 0), 1);
  sqlite_file_close(&x->file);
  assert_null(x->handles.first);
}

static void test_another_store_of_the_process_is_told_of(void **state) {
  fixture *x = *state;
  sqlite_file first = { 0 };
  assert_int_equal(sqlite_file_open(&first, &x->handles, x->path, TIMEOUT_MS), 0);
  assert_int_equal(sqlite_file_begin(&first, 0), 0);
  assert_int_equal(put(x, "a", "1", 0), -1);
  assert_failure(x, "another process, or another store of this one, has kept the file locked for more than 100 ms");
  sqlite_file_close(&first);
  assert_int_equal(put(x, "a", "1", 0), 1);
}

/* ---- a reader that stays ---------------------------------------------------------- */

#define LONG_LOG_BYTES (4000 * 4096)

static long log_length(const fixture *x) {
  char path[96];
  struct stat found;
  snprintf(path, sizeof path, "%s-wal", x->path);
  assert_int_equal(stat(path, &found), 0);
  return (long)found.st_size;
}

/* Writes until somebody was waited for, or the log is that long. */
static void write_until_pause(fixture *x, char *value, size_t length, long longest) {
  memset(value, 'x', length);
  value[length] = '\0';
  disk.pauses = 0;
  while (disk.pauses == 0 && log_length(x) < longest) {
    value[0] ^= 1;
    assert_int_equal(put(x, "a", value, 0), 1);
  }
}

static sqlite3 *begin_reading(const fixture *x) {
  sqlite3 *reader = NULL;
  assert_int_equal(sqlite3_open(x->path, &reader), SQLITE_OK);
  assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM items", NULL, NULL, NULL), SQLITE_OK);
  return reader;
}

static void test_a_reader_that_stays_is_seldom_waited_for(void **state) {
  fixture *x = *state;
  size_t length = 1 << 20;
  char *value = malloc(length + 1);
  assert_non_null(value);
  assert_int_equal(put(x, "a", "1", 0), 1);
  sqlite3 *reader = begin_reading(x);

  write_until_pause(x, value, length, 2L * LONG_LOG_BYTES);
  assert_true(disk.pauses > 0);
  disk.pauses = 0;
  for (int i = 0; i < 30; i++) {
    assert_int_equal(put(x, "b", i % 2 ? "1" : "2", 0), 1);
  }
  assert_int_equal(disk.pauses, 0);
  write_until_pause(x, value, length, 4L * LONG_LOG_BYTES);
  assert_true(disk.pauses > 0);
  assert_true(log_length(x) >= 2L * LONG_LOG_BYTES);

  sqlite3_close(reader);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(put(x, "b", i % 2 ? "1" : "2", 0), 1);
  }
  assert_true(log_length(x) <= LONG_LOG_BYTES);
  write_until_pause(x, value, length, LONG_LOG_BYTES / 2);
  assert_int_equal(disk.pauses, 0);
  free(value);
}

/* ---- users ---------------------------------------------------------------------- */

static int is_not_opened(fixture *x, const char *wanted) {
  memset(&x->file, 0, sizeof x->file);
  return sqlite_file_open(&x->file, &x->handles, x->path, TIMEOUT_MS) == -1 && x->file.db == NULL &&
         strstr(x->file.failure, wanted) != NULL;
}

static int is_closed_to_user(fixture *x) {
  return is_not_opened(x, "let this user read and write the file, its folder");
}

static int is_open_to_user(fixture *x) {
  return writes_anew(x);
}

static void test_a_user_who_may_not_write_is_told(void **state) {
  fixture *x = *state;
  static const struct {
    unsigned folder, file;
    int (*check)(fixture *);
  } rows[] = {
    { 0555, 0444, is_closed_to_user }, { 0777, 0444, is_closed_to_user }, { 0555, 0666, is_closed_to_user },
    { 0777, 0000, is_closed_to_user }, { 0777, 0666, is_open_to_user },
  };
  sqlite_file_close(&x->file);
  for (size_t i = 0; i < COUNT(rows); i++) {
    assert_int_equal(chmod(x->path, (mode_t)rows[i].file), 0);
    assert_int_equal(chmod(x->folder, (mode_t)rows[i].folder), 0);
    assert_in_child(x, rows[i].check, 1);
    assert_int_equal(chmod(x->folder, 0700), 0);
  }
  assert_int_equal(unlink(x->path), 0);
  assert_int_equal(chmod(x->folder, 0555), 0);
  assert_in_child(x, is_closed_to_user, 1);
  assert_int_equal(chmod(x->folder, 0700), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
    TEST(test_only_durable_writes_wait_for_the_disk),
    TEST(test_a_durable_write_of_what_is_there_waits_for_it),
    TEST(test_a_group_waits_once),
    TEST(test_a_failed_sync_is_told),
    TEST(test_a_full_disk_is_told_and_outlived),
    TEST(test_a_broken_disk_is_told_and_outlived),
    TEST(test_what_was_written_before_survives_a_full_disk),
    TEST(test_a_store_is_closed_to_user_on_a_full_disk),
    TEST(test_want_of_memory_is_told_and_outlived),
    TEST(test_a_child_leaves_the_parents_store_alone),
    TEST(test_a_file_that_was_open_at_a_fork_is_not_opened_in_the_child),
    TEST(test_a_list_may_end_before_its_files),
    TEST(test_another_store_of_the_process_is_told_of),
    TEST(test_a_reader_that_stays_is_seldom_waited_for),
    TEST(test_a_user_who_may_not_write_is_told),
  };
  return cmocka_run_group_tests(tests, watch_disk, NULL);
}
