/* lpac_violation.c: the place of a check and the list of what it found. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lpac_violation.h"

#define MAX_VIOLATIONS 1000 /* a payload that is wrong in more places is no typing mistake */
#define MAX_SHOWN_NAME 40   /* twice the longest field name */

void lpac_enter(lpac_checker *ck, const char *name, size_t length, int index) {
  if (ck->depth < LPAC_MAX_DEPTH) {
    ck->path[ck->depth] = (lpac_step){ name, length, index };
  }
  ck->depth++;
}

void lpac_enter_field(lpac_checker *ck, const char *name) {
  lpac_enter(ck, name, strlen(name), 0);
}

void lpac_leave(lpac_checker *ck) {
  ck->depth--;
}

/* A key that a caller wrote is shown only when it looks like a field name: a
** table keyed by tokens or addresses must not end up in an error text. Letters
** and at most one digit at the end ("address4") make a name; tokens mix them. */
static int is_plain_name(const char *name, size_t length) {
  size_t letters = 0;
  while (letters < length && ((name[letters] >= 'a' && name[letters] <= 'z') ||
                              (name[letters] >= 'A' && name[letters] <= 'Z') || name[letters] == '_')) {
    letters++;
  }
  int has_counter = letters + 1 == length && name[letters] >= '0' && name[letters] <= '9';
  return letters > 0 && length <= MAX_SHOWN_NAME && (letters == length || has_counter);
}

static void push_path(const lpac_checker *ck) {
  char text[LPAC_MAX_DEPTH * (MAX_SHOWN_NAME + 4)];
  size_t length = 0;
  for (int i = 0; i < ck->depth && i < LPAC_MAX_DEPTH; i++) {
    const lpac_step *s = &ck->path[i];
    int written;
    if (s->name == NULL) {
      written = snprintf(text + length, sizeof text - length, "/%d", s->index);
    } else if (is_plain_name(s->name, s->length)) {
      written = snprintf(text + length, sizeof text - length, "/%.*s", (int)s->length, s->name);
    } else {
      written = snprintf(text + length, sizeof text - length, "/?");
    }
    length += (size_t)written;
  }
  lua_pushlstring(ck->L, text, length);
}

void lpac_report(lpac_checker *ck, const char *rule, const char *format, ...) {
  lua_State *L = ck->L;
  char message[256];
  va_list args;
  if (ck->count >= MAX_VIOLATIONS) {
    return;
  }
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  lua_createtable(L, 0, 3);
  push_path(ck);
  lua_setfield(L, -2, "path");
  lua_pushstring(L, rule);
  lua_setfield(L, -2, "rule");
  lua_pushstring(L, message);
  lua_setfield(L, -2, "message");
  lua_rawseti(L, ck->list, ++ck->count);
}

/* Reports at a field of the object that is being checked. */
void lpac_report_at(lpac_checker *ck, const char *field, const char *rule, const char *message) {
  lpac_enter_field(ck, field);
  lpac_report(ck, rule, "%s", message);
  lpac_leave(ck);
}

static const char *type_of(lua_State *L, int index) {
  return lpac_is_null(L, index) ? "null" : luaL_typename(L, index);
}

static const char *article(const char *noun) {
  return *noun == 'i' || *noun == 'o' ? "an" : "a";
}

void lpac_report_type(lpac_checker *ck, const char *wanted, int index) {
  lpac_report(ck, "type", "must be %s %s, not %s", article(wanted), wanted, type_of(ck->L, index));
}

/* "A, B or C" */
void lpac_join_values(const char *const *values, char *out, size_t size) {
  size_t length = 0;
  out[0] = '\0';
  for (size_t i = 0; values[i] != NULL && length < size; i++) {
    const char *glue = i == 0 ? "" : values[i + 1] == NULL ? " or " : ", ";
    int written = snprintf(out + length, size - length, "%s%s", glue, values[i]);
    length += (size_t)written;
  }
}

int lpac_holds_one_of(const char *const *values, const char *text, size_t length) {
  for (size_t i = 0; values[i] != NULL; i++) {
    if (strlen(values[i]) == length && memcmp(values[i], text, length) == 0) {
      return 1;
    }
  }
  return 0;
}
