/* lpac_violation.h: where a check stands in a payload, and the list of what it
** found there. Shared by lpac_check.c (the walk) and lpac_rules.c (the rules
** between fields). */
#ifndef LPAC_VIOLATION_H
#define LPAC_VIOLATION_H

#include "lpac.h"

#define LPAC_MAX_DEPTH 12

typedef struct lpac_step {
  const char *name; /* NULL: a list item */
  size_t length;
  int index; /* from 0 */
} lpac_step;

typedef struct lpac_checker {
  lua_State *L;
  const lpac_options *options;
  int list; /* stack index of the violations */
  int count;
  int as_given; /* names and types only */
  int depth;
  lpac_step path[LPAC_MAX_DEPTH];
} lpac_checker;

/* Steps into a field or, with a NULL name, a list item; every step is left
** again. The name is borrowed until then. */
void lpac_enter(lpac_checker *ck, const char *name, size_t length, int index);
void lpac_enter_field(lpac_checker *ck, const char *name);
void lpac_leave(lpac_checker *ck);

/* Appends { path, rule, message } for the place where the check stands; past
** the limit it does nothing. The message names the rule, never a value. */
void lpac_report(lpac_checker *ck, const char *rule, const char *format, ...) PAC_PRINTF(3, 4);

/* The same at a field of the object that is being checked. */
void lpac_report_at(lpac_checker *ck, const char *field, const char *rule, const char *message);

/* "must be a string, not nil" */
void lpac_report_type(lpac_checker *ck, const char *wanted, int index);

/* "A, B or C" */
void lpac_join_values(const char *const *values, char *out, size_t size);

/* Is the text one of the values? */
int lpac_holds_one_of(const char *const *values, const char *text, size_t length);

/* Applies the rules of the object to the table at index (lpac_rules.c). */
void lpac_rules_check(lpac_checker *ck, const pac_object *object, int index);

/* 1 when a rule lets the field pass with names and types alone. */
int lpac_rules_as_given(lpac_checker *ck, const pac_object *object, int index, const pac_field *field);

#endif
