/* sqlite_handles.c: remembers which store files are open across a fork. */
#include "sqlite_handles.h"

#include <stdlib.h>
#include <unistd.h>

int sqlite_handles_is_inherited(const sqlite_handles *handles, const struct stat *file) {
  for (const sqlite_handle *h = handles->first; h; h = h->next) {
    if (h->opened_by != getpid() && h->device == file->st_dev && h->inode == file->st_ino) {
      return 1;
    }
  }
  return 0;
}

sqlite_handle *sqlite_handles_add(sqlite_handles *handles, const struct stat *file) {
  sqlite_handle *h = calloc(1, sizeof *h);
  if (!h) {
    return NULL;
  }
  h->list = handles;
  h->device = file->st_dev;
  h->inode = file->st_ino;
  h->opened_by = getpid();
  h->next = handles->first;
  handles->first = h;
  return h;
}

static void unlink_handle(const sqlite_handle *handle) {
  sqlite_handle **at = &handle->list->first;
  while (*at != handle) {
    at = &(*at)->next;
  }
  *at = handle->next;
}

void sqlite_handle_remove(sqlite_handle *handle) {
  if (!handle) {
    return;
  }
  if (handle->list && handle->opened_by != getpid()) {
    handle->is_left_behind = 1;
    return;
  }
  if (handle->list) {
    unlink_handle(handle);
  }
  free(handle);
}

void sqlite_handles_free(sqlite_handles *handles) {
  while (handles->first) {
    sqlite_handle *h = handles->first;
    handles->first = h->next;
    h->next = NULL;
    h->list = NULL;
    if (h->is_left_behind) {
      free(h);
    }
  }
}
