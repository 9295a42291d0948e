/* pac_digest: SHA-256 in hex. */
#include "unit.h"

#include <openssl/err.h>

#include "pac_digest.h"

static void expect(const char *text, size_t length, const char *hex) {
  char out[PAC_FINGERPRINT_SIZE];
  assert_int_equal(pac_digest_fingerprint(text, length, out), PAC_OK);
  assert_string_equal(out, hex);
  assert_int_equal(ERR_peek_error(), 0);
}

/* The examples of FIPS 180-4, and the digest of nothing. */
static void test_gives_the_known_digests(void **state) {
  (void)state;
  expect("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  expect("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_sees_every_byte(void **state) {
  (void)state;
  char first[PAC_FINGERPRINT_SIZE];
  char second[PAC_FINGERPRINT_SIZE];
  assert_int_equal(pac_digest_fingerprint("a\0b", 3, first), PAC_OK);
  assert_int_equal(pac_digest_fingerprint("a\0c", 3, second), PAC_OK);
  assert_string_not_equal(first, second);
  assert_int_equal(strlen(first), PAC_FINGERPRINT_SIZE - 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_gives_the_known_digests),
    cmocka_unit_test(test_sees_every_byte),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
