/* pac_redact.h: taking out of names and texts what nobody may read in a log.
**
** Two ways. By field: a value is private when its name says so, in whatever
** spelling: letter case, '_' and '-' do not count. The names are those that
** the tables of src/contract mark PAC_SECRET or PAC_PERSONAL, the headers that
** carry credentials, the fields that are as good as a ticket, and the usual
** spellings of other programs. By shape: credentials, JSON Web Tokens, e-mail
** addresses, user names and query values of URLs, telephone and card numbers,
** and runs of letters and digits that look like keys.
**
** What survives, and how it is told apart, is told at pac_redact_kept. What no
** rule can know: a person's name without its field, and a key of fewer than 16
** characters that stands alone. */
#ifndef PAC_REDACT_H
#define PAC_REDACT_H

#include "pac_buf.h"

#define PAC_REDACT_MARK "[redacted]"

/* Longer names are no field names; an open one. */
#define PAC_REDACT_MAX_NAME 64

/* What stands under a name. */
typedef enum pac_redact_class {
  PAC_REDACT_OPEN,   /* to be read by its shape */
  PAC_REDACT_LEAVES, /* texts and numbers are private; an object below is read by its own names */
  PAC_REDACT_CODE,   /* an authorization code, or the code of an error: pac_redact_code_open tells */
  PAC_REDACT_CLOSED  /* all of it is private */
} pac_redact_class;

/* The known names as a set, for lookups in constant time. About 2 KB, without
** resources: it may live on the stack and is never freed. */
#define PAC_REDACT_SLOTS 256
typedef struct pac_redact_names {
  const char *slots[PAC_REDACT_SLOTS]; /* constants; NULL where empty */
  size_t count;
} pac_redact_names;

/* Fills the set from the tables. */
void pac_redact_names_init(pac_redact_names *names);

/* What stands under that name. Any bytes, of any length. */
pac_redact_class pac_redact_name(const pac_redact_names *names, const char *name, size_t length);

/* 1 when the value of a field named "code" is the code of an error, such as
** MS-422 or 28, and no authorization code. */
int pac_redact_code_open(const char *value, size_t length);

/* Appends a copy of the text in which what looks private is replaced by
** PAC_REDACT_MARK; the text around it stays. Any bytes: NUL and invalid UTF-8
** are copied. Time is linear, and the copy at most a small multiple of the
** text. An ordinary text that was redacted stays as it is when it is redacted
** again. Failure of an allocation is told by pac_buf_ok. */
void pac_redact_text(pac_buf *out, const char *text, size_t length);

/* The length of an id at the start of the text that people need and that is
** never taken for a key or a telephone number, 0 for none: a UUID, a day or a
** time of ISO 8601, an IPv4 address, a confirmation code such as
** 3785222-AMTX:10237 (row 55), the name of an operation. It must end there. */
size_t pac_redact_kept(const char *text, size_t length);

#endif
