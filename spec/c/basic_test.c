/* pac_basic: reading an Authorization header and comparing what it names. */
#include "unit.h"

#include <openssl/err.h>

#include "pac_basic.h"

/* How many digests were compared, which the linker's wrapper below counts. */
static size_t comparisons, compared_bytes;

int __real_CRYPTO_memcmp(const void *a, const void *b, size_t length);
int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t length);
int __wrap_CRYPTO_memcmp(const void *a, const void *b, size_t length) {
  comparisons++;
  compared_bytes += length;
  return __real_CRYPTO_memcmp(a, b, length);
}

static pac_basic one_pair(const char *user, const char *password) {
  pac_basic basic;
  memset(&basic, 0, sizeof basic);
  assert_int_equal(pac_basic_add(&basic, user, strlen(user), password, strlen(password), NULL), PAC_OK);
  return basic;
}

/* From memory without a byte to spare. */
static bool matches_bytes(const pac_basic *basic, const char *header, size_t length) {
  char *copy = exact_copy(header, length);
  bool is_match = true;
  assert_int_equal(pac_basic_match(basic, copy, length, &is_match), PAC_OK);
  free(copy);
  assert_int_equal(ERR_peek_error(), 0);
  return is_match;
}

static bool matches(const pac_basic *basic, const char *header) {
  return matches_bytes(basic, header, strlen(header));
}

/* RFC 7617, section 2. */
static void test_accepts_the_example(void **state) {
  (void)state;
  pac_basic basic = one_pair("Aladdin", "open sesame");
  assert_true(matches(&basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
  assert_true(matches(&basic, "bASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
}

static void test_refuses_every_change_of_the_text(void **state) {
  (void)state;
  static const char right[] = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
  pac_basic basic = one_pair("Aladdin", "open sesame");
  for (size_t i = 0; i < sizeof right - 1; i++) {
    char header[sizeof right];
    memcpy(header, right, sizeof right);
    header[i] = header[i] == '!' ? '?' : '!';
    assert_false(matches(&basic, header));
  }
  for (size_t length = 0; length < sizeof right - 1; length++) {
    assert_false(matches_bytes(&basic, right, length));
  }
}

static void test_takes_nothing_for_no_header_and_no_pair(void **state) {
  (void)state;
  pac_basic basic = one_pair("u", "p");
  pac_basic none;
  memset(&none, 0, sizeof none);
  bool is_match = true;
  assert_int_equal(pac_basic_match(&basic, NULL, 0, &is_match), PAC_OK);
  assert_false(is_match);
  assert_false(matches(&none, "Basic dTpw"));
  assert_true(matches(&basic, "Basic dTpw"));
  pac_basic_clear(&basic);
  assert_int_equal(basic.count, 0);
  assert_false(matches(&basic, "Basic dTpw"));
}

/* The digests of nothing and of a cleared pair must not be taken for a pair. */
static void test_refuses_empty_parts(void **state) {
  (void)state;
  pac_basic basic = one_pair("u", "p");
  assert_false(matches(&basic, "Basic Og==")); /* a colon alone */
  assert_false(matches(&basic, "Basic dTo=")); /* no password */
  assert_false(matches(&basic, "Basic OnA=")); /* no user */
}

static void test_accepts_two_pairs_and_no_third(void **state) {
  (void)state;
  pac_err err;
  pac_basic basic = one_pair("u", "p");
  assert_int_equal(pac_basic_add(&basic, "v", 1, "q", 1, &err), PAC_OK);
  assert_true(matches(&basic, "Basic dTpw"));
  assert_true(matches(&basic, "Basic djpx"));
  assert_false(matches(&basic, "Basic dTpx"));
  assert_int_equal(pac_basic_add(&basic, "w", 1, "r", 1, &err), PAC_INVALID);
  assert_string_equal(err.message, "at most 2 pairs are accepted");
  assert_int_equal(basic.count, 2);
}

/* User and password of both pairs, whole digests, whatever is equal: the time
** tells nothing of how much was right. */
static void test_always_compares_both_pairs(void **state) {
  (void)state;
  pac_basic basic = one_pair("Aladdin", "open sesame");
  assert_int_equal(pac_basic_add(&basic, "Sinbad", 6, "open sesamf", 11, NULL), PAC_OK);
  static const struct {
    const char *header;
    bool is_match;
  } rows[] = {
    { "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", true },  /* the first pair */
    { "Basic U2luYmFkOm9wZW4gc2VzYW1m", true },      /* the second */
    { "Basic QWxhZGRpbjpvcGVuIHNlc2FtZg==", false }, /* the user of one, the password of the other */
    { "Basic QWxhZGRpbjpvcGVuIHNlc2FtYQ==", false }, /* only the last character is wrong */
    { "Basic QWxhZGRpbjp4", false },                 /* a right user */
    { "Basic eDpvcGVuIHNlc2FtZQ==", false },         /* a right password */
    { "Basic eDp5", false },                         /* nothing right */
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    comparisons = compared_bytes = 0;
    assert_int_equal(matches(&basic, rows[i].header), rows[i].is_match);
    assert_int_equal(comparisons, 4);
    assert_int_equal(compared_bytes, (size_t)4 * PAC_BASIC_DIGEST_BYTES);
  }
}

static void test_says_what_is_wrong_with_a_pair(void **state) {
  (void)state;
  static const struct {
    const char *user, *password, *message;
  } rows[] = {
    { "", "p", "user: 1 to 512 bytes are expected" },
    { "u", "", "password: 1 to 512 bytes are expected" },
    { "u:v", "p", "user: a colon is not allowed" },
    { "u\x1f", "p", "user: control characters are not allowed" },
    { "u", "\x7fp", "password: control characters are not allowed" },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    pac_err err;
    pac_basic basic;
    memset(&basic, 0, sizeof basic);
    assert_int_equal(
        pac_basic_add(&basic, rows[i].user, strlen(rows[i].user), rows[i].password, strlen(rows[i].password), &err),
        PAC_INVALID);
    assert_string_equal(err.message, rows[i].message);
    assert_int_equal(basic.count, 0);
  }
}

static void test_has_room_for_the_longest_pair(void **state) {
  (void)state;
  char text[PAC_BASIC_MAX_BYTES + 1];
  memset(text, 'x', sizeof text);
  pac_basic basic;
  memset(&basic, 0, sizeof basic);
  assert_int_equal(pac_basic_add(&basic, text, PAC_BASIC_MAX_BYTES, text, PAC_BASIC_MAX_BYTES, NULL), PAC_OK);
  assert_int_equal(pac_basic_add(&basic, text, PAC_BASIC_MAX_BYTES + 1, "p", 1, NULL), PAC_INVALID);
  char *header = malloc(4000);
  assert_non_null(header);
  for (size_t length = 0; length < 4000; length++) {
    memset(header, 'A', length);
    memcpy(header, "Basic ", length < 6 ? length : 6);
    assert_false(matches_bytes(&basic, header, length));
  }
  free(header);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_accepts_the_example),
    cmocka_unit_test(test_refuses_every_change_of_the_text),
    cmocka_unit_test(test_takes_nothing_for_no_header_and_no_pair),
    cmocka_unit_test(test_refuses_empty_parts),
    cmocka_unit_test(test_accepts_two_pairs_and_no_third),
    cmocka_unit_test(test_always_compares_both_pairs),
    cmocka_unit_test(test_says_what_is_wrong_with_a_pair),
    cmocka_unit_test(test_has_room_for_the_longest_pair),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
