/* pac_http1.h: HTTP/1.1 as bytes, for a transport whose host owns the sockets:
** the head of a request, and a reader that an answer is fed to as it comes. The
** reader is strict where leniency has let two readers see two different
** answers (RFC 9112, 11.2). Opens nothing and waits for nothing. */
#ifndef PAC_HTTP1_H
#define PAC_HTTP1_H

#include "pac_http.h"
#include "pac_uri.h"

/* Where a request goes. */
typedef struct pac_http1_place {
  char host[PAC_URI_HOST_MAX + 1]; /* an IPv6 address stands here without its brackets */
  int port;
  bool is_tls;
  bool is_ipv6;
  bool is_loopback;
} pac_http1_place;

/* Writes everything of a request up to its body: the request line, Host, what
** frames the body, and the caller's headers in their order. The body follows as
** it is.
** Args: request; place and head, written on success only (head is appended to).
** Returns PAC_INVALID for a request that breaks a rule, the same ones as for
** pac_http_send (err names the place and the rule); PAC_NO_MEMORY.
** Owns: the caller frees head. */
pac_status pac_http1_write(const pac_http_request *request, pac_http1_place *place, pac_buf *head,
                           pac_err *err) PAC_WARN_UNUSED;

/* What the next byte of an answer belongs to. */
typedef enum pac_http1_state {
  PAC_HTTP1_STATUS_LINE = 0,
  PAC_HTTP1_HEADER_LINE,
  PAC_HTTP1_BODY,       /* of a known length, or of a chunk */
  PAC_HTTP1_UNTIL_END,  /* a body that the end of the connection ends */
  PAC_HTTP1_CHUNK_LINE, /* the size of a chunk */
  PAC_HTTP1_CHUNK_END,  /* the empty line behind a chunk */
  PAC_HTTP1_TRAILER_LINE,
  PAC_HTTP1_DONE,
  PAC_HTTP1_FAILED
} pac_http1_state;

/* Reads one answer, interim ones before it included. Begins with
** pac_http1_reader_init; pac_http1_reader_free gives its memory back. */
typedef struct pac_http1_reader {
  pac_http1_state state;
  bool is_head_request; /* its answer has no body, whatever the headers say */
  bool wants_gzip;      /* a compressed body was asked for: decode it, refuse other encodings */
  size_t max_body_bytes;

  pac_http_answer answer; /* status, headers and body; complete when state is DONE */
  bool may_keep;          /* once DONE: the answer lets the connection be used again */

  pac_buf line;  /* of the line under way */
  uint64_t left; /* of the body, or of the chunk, in bytes */
  bool is_chunked;
  bool is_gzip;
  bool has_length; /* a Content-Length was read; it stands in left */
  bool has_coding; /* a Transfer-Encoding was read: chunked */
  bool has_content_coding;
  bool is_old; /* HTTP/1.0 */
} pac_http1_reader;

/* Readies a reader; acquires nothing. */
void pac_http1_reader_init(pac_http1_reader *reader, bool is_head_request, bool wants_gzip, size_t max_body_bytes);

/* Frees what the reader holds; safe on one that is all zero. */
void pac_http1_reader_free(pac_http1_reader *reader);

/* Takes bytes as they came, in pieces of any size.
** Returns PAC_OK, and state tells whether the answer is complete; bytes behind a
** complete answer are dropped, and may_keep is false then. PAC_INVALID for what is
** no proper answer, PAC_TOO_LONG over a limit, PAC_NO_MEMORY; err names the rule and
** quotes nothing, and the reader takes nothing any more.
** Limits: PAC_HTTP_MAX_HEADER_BYTES and PAC_HTTP_MAX_HEADER_LINES for all lines
** together, those of interim answers, trailers and chunk extensions included;
** max_body_bytes for the body, before and after decoding. */
pac_status pac_http1_reader_feed(pac_http1_reader *reader, const char *data, size_t length,
                                 pac_err *err) PAC_WARN_UNUSED;

/* Says that the connection was closed in an orderly way.
** Returns PAC_OK when the answer is complete with that; PAC_FAILED when it broke
** off; otherwise as pac_http1_reader_feed. */
pac_status pac_http1_reader_end(pac_http1_reader *reader, pac_err *err) PAC_WARN_UNUSED;

#endif
