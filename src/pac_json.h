/* pac_json.h: JSON read strictly: RFC 8259 to the letter in strict UTF-8, with
** no name twice in an object. It is for texts that strangers send: what two
** readers could understand differently is refused. Nothing is built: the text
** is checked in one pass, and the members of the outermost object can be seen
** on the way. No allocation, no recursion; time grows with the length only.
** Input is (pointer, length); NUL is data like any other byte. */
#ifndef PAC_JSON_H
#define PAC_JSON_H

#include "pac.h"

/* The most that a caller can allow. The outermost value stands at level 1. */
#define PAC_JSON_MAX_DEPTH 64

/* How many members the objects that are open at one place may have in all: the
** inner one and those around it. Documented messages need less than a hundred. */
#define PAC_JSON_MAX_MEMBERS 1000

/* A longer text is never read; its places would not fit the scanner. */
#define PAC_JSON_MAX_BYTES ((size_t)256 * 1024 * 1024)

/* Text that belongs to somebody else. data NULL: absent. */
typedef struct pac_text {
  const char *data;
  size_t length;
} pac_text;

/* A string as it stands in a text, between its quotes. */
typedef struct pac_json_string {
  pac_text raw;
  int has_escapes; /* 0: the raw text is the value */
} pac_json_string;

typedef enum pac_json_kind {
  PAC_JSON_OBJECT,
  PAC_JSON_ARRAY,
  PAC_JSON_STRING,
  PAC_JSON_NUMBER,
  PAC_JSON_WORD /* true, false or null */
} pac_json_kind;

/* A member of the outermost object. */
typedef struct pac_json_member {
  pac_json_string name;
  pac_json_kind kind;
  pac_json_string value; /* a string: between its quotes; all else: the whole of it, without escapes */
} pac_json_member;

/* Sees a member once its value has been read; what follows in the text has not.
** Returns NULL to go on, or the reason with which reading ends. err as in
** pac_json_read: the visitor fills it when it ends the reading. */
typedef const char *(*pac_json_visit)(void *context, const pac_json_member *member, pac_err *err);

/* Reads a whole text.
** Args: max_depth, 1 to PAC_JSON_MAX_DEPTH; visit, called for each member of the
** outermost object in the order of the text, or NULL; err, may be NULL.
** Returns: NULL when the text is well-formed, else a fixed reason (a static
** string): too_large, bad_utf8, bad_json, too_deep, too_many_members,
** duplicate_key, or what visit returned. err then names the place (a byte,
** counted from 0) and the rule.
** Source: RFC 8259; sns.md 5 (duty 5). Names are compared after their escapes
** have been read. Lone surrogates, a low one before a high one included, and a
** byte order mark are refused. */
const char *pac_json_read(const char *text, size_t length, int max_depth, pac_json_visit visit, void *context,
                          pac_err *err) PAC_WARN_UNUSED;

/* Writes the value of a string that pac_json_read has accepted, in UTF-8.
** Args: out, at least string->raw.length bytes; no NUL is added.
** Returns: how many bytes were written. */
size_t pac_json_decode(const pac_json_string *string, char *out);

#endif
