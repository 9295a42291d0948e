/* pac_http1.c: the reader of an answer. Whatever two readers could understand in
** two ways is refused, so that nobody can put a second answer into the first. */
#include "pac_http1.h"
#include "pac_inflate.h"
#include "pac_request.h"

#include <string.h>
#include <strings.h>

/* 15 digits, decimal or hexadecimal, stay far from the end of 64 bits. */
#define MAX_LENGTH_DIGITS 15
/* "HTTP/1.1 200", and a space if a reason follows. */
#define STATUS_START_BYTES 12
/* What deflate may add to bytes that it cannot compress, generously. */
#define GZIP_SLACK(bytes) ((bytes) / 256 + 1024)

#define NOT_HTTP      "the answer is not HTTP"
#define TOO_MANY_HEAD "the headers of the answer pass 256 KiB or 512 lines"

/* A line, or a part of one; no NUL at its end. */
typedef struct text {
  const char *at;
  size_t length;
} text;

void pac_http1_reader_init(pac_http1_reader *reader, bool is_head_request, bool wants_gzip, size_t max_body_bytes) {
  memset(reader, 0, sizeof *reader);
  reader->is_head_request = is_head_request;
  reader->wants_gzip = wants_gzip;
  reader->max_body_bytes = max_body_bytes;
}

void pac_http1_reader_free(pac_http1_reader *reader) {
  pac_buf_free(&reader->line);
  pac_http_answer_reset(&reader->answer);
}

static pac_status fail(pac_http1_reader *reader, pac_status status, pac_err *err, const char *rule) {
  reader->state = PAC_HTTP1_FAILED;
  (void)pac_fail(err, status, "%s", rule);
  return status;
}

static pac_status invalid(pac_http1_reader *reader, pac_err *err, const char *rule) {
  return fail(reader, PAC_INVALID, err, rule);
}

static pac_status no_memory(pac_http1_reader *reader, pac_err *err) {
  return fail(reader, PAC_NO_MEMORY, err, "out of memory while the answer was read");
}

static pac_status too_large(pac_http1_reader *reader, pac_err *err) {
  return fail(reader, PAC_TOO_LONG, err,
              "the body of the answer is larger than allowed (max_answer_bytes of the transport)");
}

/* ---- words --------------------------------------------------------------- */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

static text trim(text value) {
  while (value.length > 0 && is_blank(value.at[0])) {
    value.at++;
    value.length--;
  }
  while (value.length > 0 && is_blank(value.at[value.length - 1])) {
    value.length--;
  }
  return value;
}

/* Without regard to letter case; word is in lower case. */
static bool equals(text value, const char *word) {
  return value.length == strlen(word) && strncasecmp(value.at, word, value.length) == 0;
}

/* Is the word one of a list with commas? */
static bool lists(text value, const char *word) {
  while (value.length > 0) {
    const char *comma = memchr(value.at, ',', value.length);
    text item = { value.at, comma != NULL ? (size_t)(comma - value.at) : value.length };
    if (equals(trim(item), word)) {
      return true;
    }
    size_t used = comma != NULL ? item.length + 1 : item.length;
    value.at += used;
    value.length -= used;
  }
  return false;
}

/* Visible characters, blanks and what is beyond ASCII (RFC 9110, 5.5). */
static bool has_controls(text value) {
  for (size_t i = 0; i < value.length; i++) {
    unsigned char c = (unsigned char)value.at[i];
    if ((c < ' ' && c != '\t') || c == 0x7f) {
      return true;
    }
  }
  return false;
}

static int digit_of(char c, int base) {
  int value = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : base;
  return value < base ? value : -1;
}

/* Reads digits only. Returns how many there are, 0 also for too many. */
static size_t read_digits(text value, int base, uint64_t *out) {
  size_t count = 0;
  *out = 0;
  while (count < value.length && digit_of(value.at[count], base) >= 0) {
    if (count == MAX_LENGTH_DIGITS) {
      return 0;
    }
    *out = *out * (uint64_t)base + (uint64_t)digit_of(value.at[count], base);
    count++;
  }
  return count;
}

/* ---- the status line ----------------------------------------------------- */

/* Whether a status line may go on from what there is of it. */
static bool may_begin(text line) {
  static const char pattern[STATUS_START_BYTES + 1] = "HTTP/1.v ddd";
  for (size_t i = 0; i < line.length && i < STATUS_START_BYTES; i++) {
    char c = line.at[i];
    bool fits = pattern[i] == 'v' ? c == '0' || c == '1' : pattern[i] == 'd' ? is_digit(c) : c == pattern[i];
    if (!fits) {
      return false;
    }
  }
  return true;
}

/* A new block: interim answers leave nothing behind. */
static void begin_block(pac_http1_reader *reader) {
  reader->answer.headers.length = 0;
  reader->left = 0;
  reader->has_length = reader->has_coding = reader->has_content_coding = false;
  reader->is_chunked = reader->is_gzip = false;
}

static pac_status take_status_line(pac_http1_reader *reader, text line, pac_err *err) {
  bool is_whole = line.length == STATUS_START_BYTES || (line.length > STATUS_START_BYTES && line.at[12] == ' ');
  if (!may_begin(line) || !is_whole || has_controls(line)) {
    return invalid(reader, err, NOT_HTTP);
  }
  begin_block(reader);
  reader->is_old = line.at[7] == '0';
  reader->may_keep = !reader->is_old;
  reader->answer.status = (line.at[9] - '0') * 100 + (line.at[10] - '0') * 10 + (line.at[11] - '0');
  if (reader->answer.status < 100 || reader->answer.status > 999) {
    return invalid(reader, err, "the answer has no proper status");
  }
  reader->state = PAC_HTTP1_HEADER_LINE;
  return PAC_OK;
}

/* ---- header lines -------------------------------------------------------- */

static pac_status take_length(pac_http1_reader *reader, text value, pac_err *err) {
  size_t digits = read_digits(value, 10, &reader->left);
  if (reader->has_length) {
    return invalid(reader, err, "the answer has more than one Content-Length");
  }
  if (digits == 0 || digits != value.length) {
    return invalid(reader, err, "the answer's Content-Length is not a number");
  }
  reader->has_length = true;
  return PAC_OK;
}

static pac_status take_coding(pac_http1_reader *reader, text value, pac_err *err) {
  if (reader->has_coding || !equals(value, "chunked")) {
    return invalid(reader, err, "the answer's Transfer-Encoding is not chunked alone");
  }
  reader->has_coding = true;
  return PAC_OK;
}

static pac_status take_content_coding(pac_http1_reader *reader, text value, pac_err *err) {
  if (!reader->wants_gzip) {
    return PAC_OK;
  }
  bool is_gzip = equals(value, "gzip") || equals(value, "x-gzip");
  if (reader->has_content_coding || !(is_gzip || equals(value, "identity"))) {
    return invalid(reader, err, "the answer is encoded with something else than gzip");
  }
  reader->has_content_coding = true;
  reader->is_gzip = is_gzip;
  return PAC_OK;
}

/* What a header says of the framing. */
static pac_status take_meaning(pac_http1_reader *reader, text name, text value, pac_err *err) {
  if (equals(name, "content-length")) {
    return take_length(reader, value, err);
  }
  if (equals(name, "transfer-encoding")) {
    return take_coding(reader, value, err);
  }
  if (equals(name, "content-encoding")) {
    return take_content_coding(reader, value, err);
  }
  if (equals(name, "connection") && lists(value, "close")) {
    reader->may_keep = false;
  }
  return PAC_OK;
}

/* As pac_http_answer_next reads it: name NUL value NUL. */
static pac_status keep_header(pac_http1_reader *reader, text name, text value, pac_err *err) {
  pac_buf *headers = &reader->answer.headers;
  size_t start = headers->length;
  pac_buf_append(headers, name.at, name.length);
  pac_buf_append(headers, "", 1);
  pac_buf_append(headers, value.at, value.length);
  pac_buf_append(headers, "", 1);
  if (!pac_buf_ok(headers)) {
    headers->length = start; /* never half a header */
    return no_memory(reader, err);
  }
  for (size_t i = start; i < start + name.length; i++) {
    char c = headers->data[i];
    headers->data[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
  }
  return PAC_OK;
}

/* Takes "Name: value" apart. Folded lines begin with a blank, and a blank before
** the colon is in the name: neither has a name that is a token. */
static pac_status split_header(pac_http1_reader *reader, text line, text *name, text *value, pac_err *err) {
  const char *colon = memchr(line.at, ':', line.length);
  name->at = line.at;
  name->length = colon != NULL ? (size_t)(colon - line.at) : 0;
  if (colon == NULL || !pac_request_name_valid(name->at, name->length)) {
    return invalid(reader, err, "a header of the answer has no proper name");
  }
  text rest = { colon + 1, line.length - name->length - 1 };
  *value = trim(rest);
  if (has_controls(*value)) {
    return invalid(reader, err, "a header of the answer holds control characters");
  }
  return PAC_OK;
}

static pac_status take_header(pac_http1_reader *reader, text line, pac_err *err) {
  text name;
  text value;
  pac_status status = split_header(reader, line, &name, &value, err);
  if (status == PAC_OK) {
    status = take_meaning(reader, name, value, err);
  }
  return status == PAC_OK ? keep_header(reader, name, value, err) : status;
}

/* ---- the end of a head --------------------------------------------------- */

/* The body is complete as it came; the answer is, once that is decoded. */
static pac_status finish(pac_http1_reader *reader, pac_err *err) {
  pac_http_answer *answer = &reader->answer;
  reader->state = PAC_HTTP1_DONE;
  if (!reader->is_gzip || answer->body.length == 0) {
    return PAC_OK;
  }
  pac_buf decoded;
  pac_buf_init(&decoded);
  pac_status status = pac_inflate_gzip(answer->body.data, answer->body.length, reader->max_body_bytes, &decoded, NULL);
  pac_buf_free(&answer->body);
  answer->body = decoded;
  if (status == PAC_INVALID) {
    return invalid(reader, err, "the compressed answer cannot be decoded");
  }
  if (status == PAC_TOO_LONG) {
    return too_large(reader, err);
  }
  return status == PAC_OK ? PAC_OK : no_memory(reader, err);
}

static size_t body_limit(const pac_http1_reader *reader) {
  return reader->is_gzip ? reader->max_body_bytes + GZIP_SLACK(reader->max_body_bytes) : reader->max_body_bytes;
}

static pac_status begin_body(pac_http1_reader *reader, pac_err *err) {
  if (reader->left > body_limit(reader) - reader->answer.body.length) {
    return too_large(reader, err);
  }
  reader->state = PAC_HTTP1_BODY;
  return PAC_OK;
}

/* An interim answer is none; the switch to another protocol was not asked for. */
static pac_status end_interim(pac_http1_reader *reader, pac_err *err) {
  if (reader->answer.status == 101) {
    return invalid(reader, err, "the answer changes the protocol, which was not asked for");
  }
  if (reader->has_coding || (reader->has_length && reader->left > 0)) {
    return invalid(reader, err, "an interim answer has a body");
  }
  reader->state = PAC_HTTP1_STATUS_LINE;
  return PAC_OK;
}

/* No body follows, whatever the headers say (RFC 9112, 6.3, 1). They may tell the
** length of another answer for HEAD and 304; a 204 must not, and one that does
** may be followed by bytes that belong to nobody. */
static pac_status end_bare(pac_http1_reader *reader, pac_err *err) {
  if (!reader->is_head_request && reader->answer.status == 204 &&
      (reader->has_coding || (reader->has_length && reader->left > 0))) {
    reader->may_keep = false;
  }
  return finish(reader, err);
}

/* RFC 9112, 6.3: how long the body is. */
static pac_status end_head(pac_http1_reader *reader, pac_err *err) {
  int status = reader->answer.status;
  if (reader->has_coding && (reader->has_length || reader->is_old)) {
    return invalid(reader, err,
                   reader->is_old ? "an answer of HTTP/1.0 has a Transfer-Encoding"
                                  : "the answer has both a Content-Length and a Transfer-Encoding");
  }
  if (status < 200) {
    return end_interim(reader, err);
  }
  reader->answer.head_complete = true;
  if (reader->is_head_request || status == 204 || status == 304) {
    return end_bare(reader, err);
  }
  if (reader->has_coding) {
    reader->is_chunked = true;
    reader->state = PAC_HTTP1_CHUNK_LINE;
    return PAC_OK;
  }
  if (!reader->has_length) {
    reader->may_keep = false;
    reader->state = PAC_HTTP1_UNTIL_END;
    return PAC_OK;
  }
  return reader->left > 0 ? begin_body(reader, err) : finish(reader, err);
}

/* ---- chunks -------------------------------------------------------------- */

/* Hexadecimal digits, and an extension, which is dropped (RFC 9112, 7.1.1). */
static pac_status take_chunk_line(pac_http1_reader *reader, text line, pac_err *err) {
  size_t digits = read_digits(line, 16, &reader->left);
  text rest = { line.at + digits, line.length - digits };
  bool is_bare = rest.length == 0;
  rest = trim(rest);
  if (digits == 0 || (!is_bare && (rest.length == 0 || rest.at[0] != ';')) || has_controls(rest)) {
    return invalid(reader, err, "the answer has a chunk without a proper size");
  }
  if (reader->left == 0) {
    reader->state = PAC_HTTP1_TRAILER_LINE;
    return PAC_OK;
  }
  return begin_body(reader, err);
}

static pac_status take_trailer(pac_http1_reader *reader, text line, pac_err *err) {
  text name;
  text value;
  return line.length == 0 ? finish(reader, err) : split_header(reader, line, &name, &value, err);
}

/* ---- lines --------------------------------------------------------------- */

static pac_status take_line(pac_http1_reader *reader, text line, pac_err *err) {
  switch (reader->state) {
  case PAC_HTTP1_STATUS_LINE:
    return take_status_line(reader, line, err);
  case PAC_HTTP1_HEADER_LINE:
    return line.length == 0 ? end_head(reader, err) : take_header(reader, line, err);
  case PAC_HTTP1_CHUNK_LINE:
    return take_chunk_line(reader, line, err);
  case PAC_HTTP1_TRAILER_LINE:
    return take_trailer(reader, line, err);
  default: /* PAC_HTTP1_CHUNK_END */
    if (line.length > 0) {
      return invalid(reader, err, "the answer has a chunk longer than its size");
    }
    reader->state = PAC_HTTP1_CHUNK_LINE;
    return PAC_OK;
  }
}

/* Looks at a line before its end has come: what is wrong already shows. What
** stands before known was looked at, but for a CR that was its last byte. */
static pac_status check_part(pac_http1_reader *reader, size_t known, pac_err *err) {
  text line = { reader->line.data, reader->line.length };
  bool ends_in_cr = line.length > 0 && line.at[line.length - 1] == '\r';
  size_t inner = ends_in_cr ? line.length - 1 : line.length;
  if (reader->state == PAC_HTTP1_STATUS_LINE && !may_begin(line)) {
    return invalid(reader, err, NOT_HTTP);
  }
  if (reader->state == PAC_HTTP1_CHUNK_END && inner > 0) {
    return invalid(reader, err, "the answer has a chunk longer than its size");
  }
  size_t from = known > 0 ? known - 1 : 0;
  if (inner > from && (memchr(line.at + from, '\r', inner - from) || memchr(line.at + from, '\0', inner - from))) {
    return invalid(reader, err, "a line of the answer holds a NUL or a lone CR");
  }
  return PAC_OK;
}

/* Only what could go on for ever counts: a chunk's size and its line ends come
** with bytes of a body, which has a limit of its own. */
static bool passes_limits(pac_http1_reader *reader, size_t bytes) {
  pac_http_answer *answer = &reader->answer;
  bool is_chunk = reader->state == PAC_HTTP1_CHUNK_LINE || reader->state == PAC_HTTP1_CHUNK_END;
  size_t free_bytes = is_chunk ? MAX_LENGTH_DIGITS + 2 : 0;
  answer->received_head_size += bytes > free_bytes ? bytes - free_bytes : 0;
  answer->received_lines += is_chunk ? 0 : 1;
  return answer->received_head_size > PAC_HTTP_MAX_HEADER_BYTES || answer->received_lines > PAC_HTTP_MAX_HEADER_LINES;
}

/* The line is whole, its LF left out. */
static pac_status end_line(pac_http1_reader *reader, pac_err *err) {
  text line = { reader->line.data, reader->line.length };
  if (passes_limits(reader, line.length + 1)) {
    return fail(reader, PAC_TOO_LONG, err, TOO_MANY_HEAD);
  }
  if (line.length == 0 || line.at[line.length - 1] != '\r') {
    return invalid(reader, err, "a line of the answer does not end in CR LF");
  }
  line.length--;
  pac_status status = take_line(reader, line, err);
  reader->line.length = 0;
  return status;
}

/* Takes bytes up to the end of the line. Sets *used. */
static pac_status feed_line(pac_http1_reader *reader, text data, size_t *used, pac_err *err) {
  const char *end = memchr(data.at, '\n', data.length);
  size_t part = end != NULL ? (size_t)(end - data.at) : data.length;
  *used = end != NULL ? part + 1 : part;
  if (part > PAC_HTTP_MAX_HEADER_BYTES - reader->line.length) {
    return fail(reader, PAC_TOO_LONG, err, TOO_MANY_HEAD);
  }
  size_t known = reader->line.length;
  pac_buf_append(&reader->line, data.at, part);
  if (!pac_buf_ok(&reader->line)) {
    return no_memory(reader, err);
  }
  pac_status status = check_part(reader, known, err);
  return status == PAC_OK && end != NULL ? end_line(reader, err) : status;
}

/* ---- bodies -------------------------------------------------------------- */

static pac_status keep_body(pac_http1_reader *reader, text data, pac_err *err) {
  pac_status status = pac_http_answer_take_body(&reader->answer, data.at, data.length, body_limit(reader));
  if (status == PAC_TOO_LONG) {
    return too_large(reader, err);
  }
  return status == PAC_OK ? PAC_OK : no_memory(reader, err);
}

static pac_status feed_body(pac_http1_reader *reader, text data, size_t *used, pac_err *err) {
  text part = { data.at, reader->left < data.length ? (size_t)reader->left : data.length };
  pac_status status = keep_body(reader, part, err);
  *used = part.length;
  reader->left -= part.length;
  if (status != PAC_OK || reader->left > 0) {
    return status;
  }
  if (reader->is_chunked) {
    reader->state = PAC_HTTP1_CHUNK_END;
    return PAC_OK;
  }
  return finish(reader, err);
}

/* ---- public -------------------------------------------------------------- */

static pac_status feed_some(pac_http1_reader *reader, text data, size_t *used, pac_err *err) {
  switch (reader->state) {
  case PAC_HTTP1_BODY:
    return feed_body(reader, data, used, err);
  case PAC_HTTP1_UNTIL_END:
    *used = data.length;
    return keep_body(reader, data, err);
  case PAC_HTTP1_DONE:
    reader->may_keep = false; /* nobody knows whose these are */
    *used = data.length;
    return PAC_OK;
  case PAC_HTTP1_FAILED:
    return invalid(reader, err, "the answer was refused before");
  default:
    return feed_line(reader, data, used, err);
  }
}

pac_status pac_http1_reader_feed(pac_http1_reader *reader, const char *data, size_t length, pac_err *err) {
  while (length > 0) {
    size_t used = 0;
    text rest = { data, length };
    pac_status status = feed_some(reader, rest, &used, err);
    if (status != PAC_OK) {
      return status;
    }
    data += used;
    length -= used;
  }
  return PAC_OK;
}

pac_status pac_http1_reader_end(pac_http1_reader *reader, pac_err *err) {
  reader->may_keep = false;
  if (reader->state == PAC_HTTP1_DONE) {
    return PAC_OK;
  }
  if (reader->state == PAC_HTTP1_UNTIL_END) {
    return finish(reader, err);
  }
  if (reader->state == PAC_HTTP1_FAILED) {
    return invalid(reader, err, "the answer was refused before");
  }
  bool has_nothing = reader->answer.received_lines == 0 && reader->line.length == 0;
  return fail(reader, PAC_FAILED, err,
              has_nothing ? "the server closed the connection without an answer"
                          : "the connection broke before the answer was complete");
}
