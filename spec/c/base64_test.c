/* pac_base64: one text for each sequence of bytes, and no other. */
#include "unit.h"

#include "pac_base64.h"

/* Decodes from and into memory with not one byte to spare. */
static pac_status decode(const char *text, size_t length, unsigned char *bytes, size_t *size) {
  char *in = exact_copy(text, length);
  unsigned char *out = malloc(PAC_BASE64_DECODED_MAX(length) > 0 ? PAC_BASE64_DECODED_MAX(length) : 1);
  assert_non_null(out);
  pac_status status = pac_base64_decode(in, length, out, size);
  if (status == PAC_OK) {
    memcpy(bytes, out, *size);
  }
  free(in);
  free(out);
  return status;
}

/* RFC 4648 section 10, and the two last characters of the alphabet. */
static void test_decodes_the_known_texts(void **state) {
  (void)state;
  static const struct {
    const char *text, *bytes;
  } rows[] = { { "", "" },
               { "Zg==", "f" },
               { "Zm8=", "fo" },
               { "Zm9v", "foo" },
               { "Zm9vYg==", "foob" },
               { "Zm9vYmE=", "fooba" },
               { "Zm9vYmFy", "foobar" },
               { "+/+/", "\xfb\xff\xbf" } };
  for (size_t i = 0; i < COUNT(rows); i++) {
    unsigned char bytes[16];
    size_t size = 99;
    assert_int_equal(decode(rows[i].text, strlen(rows[i].text), bytes, &size), PAC_OK);
    assert_int_equal(size, strlen(rows[i].bytes));
    assert_memory_equal(bytes, rows[i].bytes, size);
  }
}

static void test_refuses_every_other_form(void **state) {
  (void)state;
  static const char *const rows[] = {
    "Zg",   "Zg=",  "Zm9",  "Zm9v=",  "Zg==Zm9v", "Zm9v\n", " Zm9v",    "Zm 9v",   "Zm9v====",
    "====", "=",    "Z===", "Zg==\n", "Zm\n9v",   "-_-_",   "Zm9v!A==", "Zm9\x80", "Zh==",
    "Zm9=", "Zn==", "Zm-=", "Z=9v",   "=m9v",     "Zm=v",   "Zg=A",     "Zg=\n",   "Zm9vYg=\r",
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    unsigned char bytes[16];
    size_t size = 99;
    assert_int_equal(decode(rows[i], strlen(rows[i]), bytes, &size), PAC_INVALID);
    assert_int_equal(size, 99);
  }
  unsigned char bytes[16];
  size_t size = 99;
  assert_int_equal(decode("Zm\0v", 4, bytes, &size), PAC_INVALID);
}

static void test_gives_back_every_byte_value(void **state) {
  (void)state;
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (unsigned value = 0; value < 256; value++) {
    char text[4] = { alphabet[value >> 2], alphabet[(value & 3) << 4], '=', '=' };
    unsigned char byte = 0;
    size_t size = 0;
    assert_int_equal(decode(text, 4, &byte, &size), PAC_OK);
    assert_int_equal(size, 1);
    assert_int_equal(byte, value);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_decodes_the_known_texts),
    cmocka_unit_test(test_refuses_every_other_form),
    cmocka_unit_test(test_gives_back_every_byte_value),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
