/* pac_inflate.c: gzip through zlib, a piece at a time, so that a small text that
** would become a huge one ends at the cap. */
#include "pac_inflate.h"

#include <string.h>
#include <zlib.h>

#define PIECE_BYTES (16u * 1024u)
/* The largest window, and 16 more: gzip only, neither zlib's own format nor a guess. */
#define GZIP_WINDOW_BITS (15 + 16)

static pac_status too_long(pac_err *err) {
  return pac_fail(err, PAC_TOO_LONG, "the decoded body is larger than allowed");
}

static pac_status not_gzip(pac_err *err) {
  return pac_fail(err, PAC_INVALID, "the compressed body cannot be decoded");
}

/* Takes over one piece that zlib has filled. */
static pac_status keep_piece(const char *piece, size_t bytes, size_t *left, pac_buf *out, pac_err *err) {
  if (bytes > *left) {
    return too_long(err);
  }
  *left -= bytes;
  pac_buf_append(out, piece, bytes);
  return pac_buf_ok(out) ? PAC_OK : pac_fail(err, PAC_NO_MEMORY, "out of memory");
}

/* zlib counts its input in an int, so a long text goes in by parts. */
static void refill(z_stream *stream, size_t *rest) {
  if (stream->avail_in == 0) {
    uInt part = *rest > PIECE_BYTES ? PIECE_BYTES : (uInt)*rest;
    stream->avail_in = part;
    *rest -= part;
  }
}

static pac_status run(z_stream *stream, size_t rest, size_t left, pac_buf *out, pac_err *err) {
  char piece[PIECE_BYTES];
  int result = Z_OK;
  while (result == Z_OK) {
    refill(stream, &rest);
    stream->next_out = (Bytef *)piece;
    stream->avail_out = sizeof piece;
    result = inflate(stream, Z_NO_FLUSH);
    pac_status status = keep_piece(piece, sizeof piece - stream->avail_out, &left, out, err);
    if (status != PAC_OK) {
      return status;
    }
  }
  if (result == Z_MEM_ERROR) {
    return pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  return result == Z_STREAM_END && stream->avail_in == 0 && rest == 0 ? PAC_OK : not_gzip(err);
}

pac_status pac_inflate_gzip(const char *data, size_t length, size_t max_bytes, pac_buf *out, pac_err *err) {
  z_stream stream;
  memset(&stream, 0, sizeof stream);
  if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK) {
    return pac_fail(err, PAC_NO_MEMORY, "out of memory");
  }
  stream.next_in = (Bytef *)(uintptr_t)data; /* zlib's type has no const; it only reads */
  pac_status status = run(&stream, length, max_bytes, out, err);
  (void)inflateEnd(&stream);
  return status;
}
