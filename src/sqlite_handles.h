/* sqlite_handles.h: which store files one Lua state has opened, so that none of
** them is opened again behind a fork. Pure C: no Lua here.
**
** The locks of a file belong to the process that took them. A fork copies the
** memory in which SQLite keeps what it holds, and with it every handle of the
** file, but not the locks: the child takes itself for their owner, whatever it
** opens anew, and what it writes may be lost. SQLite offers no way to forget a
** file, so a handle that was open at the fork counts for as long as the child
** lives, even if it is closed there. Other Lua states of the process have
** lists of their own. */
#ifndef SQLITE_HANDLES_H
#define SQLITE_HANDLES_H

#include <sys/stat.h>
#include <sys/types.h>

typedef struct sqlite_handle {
  struct sqlite_handles *list; /* borrowed; NULL: it is gone, and the handle stands alone */
  struct sqlite_handle *next;
  dev_t device;
  ino_t inode;
  pid_t opened_by;
  int is_left_behind; /* given up in a child; the list owns it now */
} sqlite_handle;

/* Zeroed at first. */
typedef struct sqlite_handles {
  sqlite_handle *first;
} sqlite_handles;

/* 1 if this process was forked while that file was open, otherwise 0. */
int sqlite_handles_is_inherited(const sqlite_handles *handles, const struct stat *file);

/* Notes that this process opens the file. The caller owns the result and gives it to sqlite_handle_remove when the file
** is closed. NULL: there is not enough memory. */
sqlite_handle *sqlite_handles_add(sqlite_handles *handles, const struct stat *file);

/* Frees the handle of a closed file. In a child of the process that opened it it stays in its list. NULL does nothing.
 */
void sqlite_handle_remove(sqlite_handle *handle);

/* Empties the list. Handles of files that are still open stay with their owners. */
void sqlite_handles_free(sqlite_handles *handles);

#endif
