#include "unit.h"

#include "pac_inflate.h"

#include <stdbool.h>
#include <zlib.h>

/* Compresses; window_bits 31 makes gzip. The caller frees *out. */
static size_t deflate_text(const char *text, size_t length, int window_bits, char **out) {
  z_stream stream;
  memset(&stream, 0, sizeof stream);
  assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  size_t capacity = deflateBound(&stream, (uLong)length);
  *out = malloc(capacity);
  assert_non_null(*out);
  char *source = exact_copy(text, length);
  stream.next_in = (Bytef *)source;
  stream.avail_in = (uInt)length;
  stream.next_out = (Bytef *)*out;
  stream.avail_out = (uInt)capacity;
  assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
  size_t written = capacity - stream.avail_out;
  deflateEnd(&stream);
  free(source);
  return written;
}

static pac_status inflate_exact(const char *data, size_t length, size_t max_bytes, pac_buf *out) {
  pac_err err;
  char *copy = exact_copy(data, length);
  pac_buf_init(out);
  pac_status status = pac_inflate_gzip(copy, length, max_bytes, out, &err);
  if (status != PAC_OK) {
    assert_int_equal(err.status, status);
    assert_true(strlen(err.message) > 0);
  }
  free(copy);
  return status;
}

static char *zeros(size_t length) {
  char *text = calloc(length, 1);
  assert_non_null(text);
  return text;
}

static void test_round_trip(void **state) {
  (void)state;
  const size_t sizes[] = { 0, 1, 100, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 300 * 1000 };
  for (size_t i = 0; i < COUNT(sizes); i++) {
    char *text = zeros(sizes[i] + 1);
    for (size_t k = 0; k < sizes[i]; k++) {
      text[k] = (char)((k * 2654435761u) >> 13);
    }
    char *zipped = NULL;
    pac_buf out;
    size_t length = deflate_text(text, sizes[i], 31, &zipped);
    assert_int_equal(inflate_exact(zipped, length, sizes[i], &out), PAC_OK);
    assert_int_equal(out.length, sizes[i]);
    assert_true(sizes[i] == 0 || memcmp(out.data, text, sizes[i]) == 0);
    pac_buf_free(&out);
    free(zipped);
    free(text);
  }
}

static void test_cap(void **state) {
  (void)state;
  char *text = zeros(4 * 1024 * 1024);
  char *zipped = NULL;
  pac_buf out;
  size_t length = deflate_text(text, 4 * 1024 * 1024, 31, &zipped);
  const size_t caps[] = { 0, 1, 1000, 100 * 1000 };
  for (size_t i = 0; i < COUNT(caps); i++) {
    assert_int_equal(inflate_exact(zipped, length, caps[i], &out), PAC_TOO_LONG);
    assert_true(out.length <= caps[i]);
    pac_buf_free(&out);
  }
  free(zipped);
  length = deflate_text(text, 1001, 31, &zipped);
  assert_int_equal(inflate_exact(zipped, length, 1000, &out), PAC_TOO_LONG);
  pac_buf_free(&out);
  assert_int_equal(inflate_exact(zipped, length, 1001, &out), PAC_OK);
  pac_buf_free(&out);
  free(zipped);
  free(text);
}

static void test_truncated(void **state) {
  (void)state;
  const char text[] = "a text that is cut at every place, a text that is cut at every place";
  char *zipped = NULL;
  pac_buf out;
  size_t length = deflate_text(text, sizeof text, 31, &zipped);
  for (size_t cut = 0; cut < length; cut++) {
    assert_int_equal(inflate_exact(zipped, cut, 1000, &out), PAC_INVALID);
    pac_buf_free(&out);
  }
  free(zipped);
}

static void test_damaged(void **state) {
  (void)state;
  const char text[] = "a text with one byte changed";
  char *zipped = NULL;
  pac_buf out;
  size_t length = deflate_text(text, sizeof text, 31, &zipped);
  for (size_t at = 10; at < length; at++) { /* behind the header, whose time and system mean nothing */
    zipped[at] = (char)(zipped[at] ^ 0x10);
    pac_status status = inflate_exact(zipped, length, 1000, &out);
    bool is_same = out.length == sizeof text && memcmp(out.data, text, sizeof text) == 0; /* bits that fill up a byte */
    assert_true(status != PAC_OK || is_same);
    zipped[at] = (char)(zipped[at] ^ 0x10);
    pac_buf_free(&out);
  }
  free(zipped);
}

static void test_more_than_one_member(void **state) {
  (void)state;
  char *zipped = NULL;
  pac_buf out;
  size_t length = deflate_text("abc", 3, 31, &zipped);
  char *twice = malloc(2 * length);
  assert_non_null(twice);
  memcpy(twice, zipped, length);
  memcpy(twice + length, zipped, length);
  for (size_t extra = 1; extra <= length; extra++) {
    assert_int_equal(inflate_exact(twice, length + extra, 1000, &out), PAC_INVALID);
    pac_buf_free(&out);
  }
  free(twice);
  free(zipped);
}

static void test_other_formats(void **state) {
  (void)state;
  const int window_bits[] = { 15, -15 };
  pac_buf out;
  for (size_t i = 0; i < COUNT(window_bits); i++) {
    char *zipped = NULL;
    size_t length = deflate_text("abc", 3, window_bits[i], &zipped);
    assert_int_equal(inflate_exact(zipped, length, 1000, &out), PAC_INVALID);
    pac_buf_free(&out);
    free(zipped);
  }
  assert_int_equal(inflate_exact("plain text", 10, 1000, &out), PAC_INVALID);
  pac_buf_free(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_round_trip),
    cmocka_unit_test(test_cap),
    cmocka_unit_test(test_truncated),
    cmocka_unit_test(test_damaged),
    cmocka_unit_test(test_more_than_one_member),
    cmocka_unit_test(test_other_formats),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
