/* pac_json.c: the structure of a JSON text, read with a stack of its own. */
#include "pac_json_parts.h"

#include "pac_buf.h"

#include <string.h>

/* Honest names of one text do not share hashes this often, so whoever sends
** such ones wants comparing them to take long. */
#define MAX_COLLISIONS 64

/* Names are compared this many at a time, without a branch for each. */
#define STRIDE 8

/* A name of an object that is open. */
typedef struct open_name {
  uint32_t at; /* from the start of the text */
  unsigned length : 31;
  unsigned has_escapes : 1;
} open_name;

/* A container that is open. */
typedef struct level {
  char closer; /* } or ] */
  unsigned first_name;
} level;

/* Where what is open is remembered. It needs no initial value: the scanner counts
** what is in use. */
typedef struct storage {
  level levels[PAC_JSON_MAX_DEPTH];
  uint32_t hashes[PAC_JSON_MAX_MEMBERS]; /* of the names below */
  open_name names[PAC_JSON_MAX_MEMBERS];
} storage;

typedef struct scanner {
  const char *text;
  const char *at;
  const char *end;
  int max_depth;
  int depth;       /* how many levels are open */
  int is_complete; /* 1: a value was read, 0: one must come */
  unsigned names;  /* how many are open */
  unsigned collisions;
  const char *rule; /* what was broken; NULL when the visitor has told */
  pac_json_visit visit;
  void *context;
  pac_err *err;
  pac_json_string string; /* the last one that was read, names apart */
  pac_json_member member; /* the one of the outermost object that is being read */
  const char *value;      /* where its value begins */
  storage *open;
} scanner;

static const char *fail(scanner *s, const char *reason, const char *rule) {
  s->rule = rule;
  return reason;
}

/* A byte that must not stand where it stands; bytes that are no UTF-8 are named
** as such wherever they are. */
static const char *unexpected(scanner *s, const char *rule) {
  if (s->at < s->end && pac_utf8_sequence(s->at, (size_t)(s->end - s->at)) == 0) {
    return fail(s, "bad_utf8", "this is not UTF-8");
  }
  return fail(s, "bad_json", rule);
}

static void skip_space(scanner *s) {
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t')) {
    s->at++;
  }
}

static int is_next(const scanner *s, char byte) {
  return s->at < s->end && *s->at == byte;
}

static char closer(const scanner *s) {
  return s->open->levels[s->depth - 1].closer;
}

static int is_outermost_member(const scanner *s) {
  return s->depth == 1 && closer(s) == '}';
}

/* Reads the string at a quote. */
static const char *read_string(scanner *s, pac_json_string *out) {
  const char *reason = NULL;
  s->at++;
  const char *behind = pac_json_string_scan(&s->at, s->end, out, &reason, &s->rule);
  if (behind == NULL) {
    return reason;
  }
  s->at = behind;
  return NULL;
}

/* ---- names ---- */

/* 1 when one of the STRIDE hashes is this one. */
static int has_hash(const uint32_t *hashes, uint32_t hash) {
  int found = 0;
  for (int i = 0; i < STRIDE; i++) {
    found |= hashes[i] == hash;
  }
  return found;
}

/* Compares a name with the open one at index, whose hash is the same. */
static const char *compare_name(scanner *s, unsigned index, const pac_json_string *name) {
  const open_name *open = &s->open->names[index];
  pac_json_string other = { { s->text + open->at, open->length }, (int)open->has_escapes };
  if (pac_json_string_same(&other, name)) {
    return fail(s, "duplicate_key", "this name stands twice in its object");
  }
  if (++s->collisions > MAX_COLLISIONS) {
    return fail(s, "too_many_members", "too many names are like one another");
  }
  return NULL;
}

static const char *compare_names(scanner *s, uint32_t hash, const pac_json_string *name) {
  const char *reason = NULL;
  unsigned i = s->open->levels[s->depth - 1].first_name;
  while (i < s->names && reason == NULL) {
    if (s->names - i >= STRIDE && !has_hash(&s->open->hashes[i], hash)) {
      i += STRIDE;
      continue;
    }
    if (s->open->hashes[i] == hash) {
      reason = compare_name(s, i, name);
    }
    i++;
  }
  return reason;
}

/* Remembers the name for as long as its object is open. */
static const char *add_name(scanner *s, const pac_json_string *name) {
  uint32_t hash = pac_json_string_hash(name);
  const char *reason = compare_names(s, hash, name);
  if (reason != NULL) {
    return reason;
  }
  if (s->names == PAC_JSON_MAX_MEMBERS) {
    return fail(s, "too_many_members", "an object and those around it have too many members");
  }
  s->open->hashes[s->names] = hash;
  s->open->names[s->names] = (open_name){ .at = (uint32_t)(name->raw.data - s->text),
                                          .length = (unsigned)(name->raw.length & 0x7FFFFFFF),
                                          .has_escapes = name->has_escapes != 0 };
  s->names++;
  return NULL;
}

/* Reads a name, its colon, and the space in front of the value. */
static const char *read_name(scanner *s) {
  pac_json_string name;
  if (!is_next(s, '"')) {
    return unexpected(s, "a name must stand here");
  }
  const char *start = s->at;
  const char *reason = read_string(s, &name);
  if (reason != NULL) {
    return reason;
  }
  const char *behind = s->at;
  s->at = start; /* where a name that may not be there is reported */
  reason = add_name(s, &name);
  if (reason != NULL) {
    return reason;
  }
  s->at = behind;
  if (s->depth == 1) {
    s->member.name = name;
  }
  skip_space(s);
  if (!is_next(s, ':')) {
    return unexpected(s, "a colon must stand here");
  }
  s->at++;
  skip_space(s);
  return NULL;
}

/* ---- values ---- */

static const char *begin_container(scanner *s, char closing) {
  if (s->depth == s->max_depth) {
    return fail(s, "too_deep", "this is nested too deeply");
  }
  s->at++;
  skip_space(s);
  if (is_next(s, closing)) {
    s->at++;
    return NULL;
  }
  s->open->levels[s->depth].closer = closing;
  s->open->levels[s->depth].first_name = s->names;
  s->depth++;
  s->is_complete = 0;
  return closing == '}' ? read_name(s) : NULL;
}

static int is_of_number(char byte) {
  return (byte >= '0' && byte <= '9') || byte == '-' || byte == '+' || byte == '.' || byte == 'e' || byte == 'E';
}

static const char *read_number(scanner *s) {
  const char *end = s->at;
  while (end < s->end && is_of_number(*end)) {
    end++;
  }
  if (!pac_json_number_valid(s->at, (size_t)(end - s->at))) {
    return fail(s, "bad_json", "this is no number of JSON");
  }
  s->at = end;
  return NULL;
}

static const char *read_word(scanner *s) {
  static const pac_text words[] = { { "true", 4 }, { "false", 5 }, { "null", 4 } };
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if ((size_t)(s->end - s->at) >= words[i].length && memcmp(s->at, words[i].data, words[i].length) == 0) {
      s->at += words[i].length;
      return NULL;
    }
  }
  return unexpected(s, "a value must stand here");
}

static pac_json_kind kind_at(const char *at) {
  switch (*at) {
  case '{':
    return PAC_JSON_OBJECT;
  case '[':
    return PAC_JSON_ARRAY;
  case '"':
    return PAC_JSON_STRING;
  case 't':
  case 'f':
  case 'n':
    return PAC_JSON_WORD;
  default:
    return PAC_JSON_NUMBER;
  }
}

/* Reads a value, or the beginning of a container that is not empty. */
static const char *begin_value(scanner *s) {
  s->is_complete = 1;
  if (is_outermost_member(s)) {
    s->value = s->at;
  }
  if (is_next(s, '"')) {
    return read_string(s, &s->string);
  }
  if (is_next(s, '{')) {
    return begin_container(s, '}');
  }
  if (is_next(s, '[')) {
    return begin_container(s, ']');
  }
  return s->at < s->end && (*s->at == '-' || (*s->at >= '0' && *s->at <= '9')) ? read_number(s) : read_word(s);
}

static const char *show_member(scanner *s) {
  pac_json_member *member = &s->member;
  member->kind = kind_at(s->value);
  member->value =
      member->kind == PAC_JSON_STRING ? s->string : (pac_json_string){ { s->value, (size_t)(s->at - s->value) }, 0 };
  return s->visit(s->context, member, s->err);
}

/* Behind a value that stands in a container: a comma, so that another value must
** come, or the end of the container, which completes a value once more. */
static const char *end_value(scanner *s) {
  const char *reason = is_outermost_member(s) && s->visit != NULL ? show_member(s) : NULL;
  if (reason != NULL) {
    return reason;
  }
  char closing = closer(s);
  skip_space(s);
  if (is_next(s, closing)) {
    s->at++;
    s->depth--;
    s->names = s->open->levels[s->depth].first_name;
    return NULL;
  }
  if (!is_next(s, ',')) {
    return unexpected(s, "a comma or the end must stand here");
  }
  s->at++;
  s->is_complete = 0;
  skip_space(s);
  return closing == '}' ? read_name(s) : NULL;
}

static const char *read_text(scanner *s) {
  const char *reason = NULL;
  skip_space(s);
  while (reason == NULL && !s->is_complete) {
    reason = begin_value(s);
    while (reason == NULL && s->is_complete && s->depth > 0) {
      reason = end_value(s);
    }
  }
  if (reason != NULL) {
    return reason;
  }
  skip_space(s);
  return s->at == s->end ? NULL : unexpected(s, "nothing may stand behind the value");
}

const char *pac_json_read(const char *text, size_t length, int max_depth, pac_json_visit visit, void *context,
                          pac_err *err) {
  storage open;
  scanner s = { .text = text,
                .at = text,
                .end = text + length,
                .max_depth = max_depth < PAC_JSON_MAX_DEPTH ? max_depth : PAC_JSON_MAX_DEPTH,
                .visit = visit,
                .context = context,
                .err = err,
                .open = &open };
  if (length > PAC_JSON_MAX_BYTES) {
    (void)pac_fail(err, PAC_TOO_LONG, "the text is larger than %zu MiB", PAC_JSON_MAX_BYTES >> 20);
    return "too_large";
  }
  const char *reason = read_text(&s);
  if (reason != NULL && s.rule != NULL) {
    (void)pac_fail(err, PAC_INVALID, "at byte %zu: %s", (size_t)(s.at - text), s.rule);
  }
  return reason;
}
