/* pac_request.h: the headers of a request, by the columns of contract 1.1. */
#ifndef PAC_REQUEST_H
#define PAC_REQUEST_H

#include "pac_operation.h"

#define PAC_REQUEST_MAX_HEADERS 10

typedef struct pac_text {
  const char *data; /* NULL: not given */
  size_t length;
} pac_text;

typedef struct pac_header {
  const char *name;
  pac_text value;
} pac_header;

/* Who calls. All text is borrowed. */
typedef struct pac_identity {
  pac_text user_agent;
  pac_text application_id;
  pac_text api_key;
  pac_text channel_code;
  pac_text organization_id; /* may be absent, see pac_organization */
  pac_text authorization;   /* "Bearer ...", absent on the token call */
  pac_text request_id;
} pac_identity;

/* Lists the headers that the operation's column demands, in the order
** of contract 1.1.
** Args: headers has room for PAC_REQUEST_MAX_HEADERS; *count gets how many.
** Returns: PAC_OK, or PAC_INVALID when one that is demanded is absent or a
** value cannot stand in a header; err names the header, never its value.
** Owns: nothing; the values point into identity. */
pac_status pac_request_headers(const pac_operation *op, const pac_identity *identity, pac_header *headers,
                               size_t *count, pac_err *err) PAC_WARN_UNUSED;

/* May the bytes be the value of a header? Printable ASCII, inner spaces and
** tabs, not empty: what RFC 9110 section 5.5 allows without obs-text. */
int pac_request_value_valid(const char *value, size_t length);

/* May the bytes be the name of a header (RFC 9110 section 5.1, a token)? */
int pac_request_name_valid(const char *name, size_t length);

/* Is it a header that the library itself writes, or one that frames the
** message, so that a caller may not set it? Letter case does not matter. */
int pac_request_name_reserved(const char *name, size_t length);

/* Product/Version with a version of two or three numbers and an optional SemVer
** tail (contract 1.1, row 31). Further products and comments may follow after a
** space. */
int pac_request_user_agent_valid(const char *text, size_t length);

#endif
