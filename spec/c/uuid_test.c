/* pac_uuid and the random source below it. */
#include "unit.h"

#include "pac_random.h"
#include "pac_uuid.h"

#define SAMPLE "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"
#define LENGTH ((size_t)PAC_UUID_SIZE - 1)
#define MANY   2000

static int compare(const void *a, const void *b) {
  return memcmp(a, b, PAC_UUID_SIZE);
}

static void test_makes_distinct_version_4_uuids(void **state) {
  (void)state;
  static char made[MANY][PAC_UUID_SIZE];
  for (size_t i = 0; i < MANY; i++) {
    assert_int_equal(pac_uuid_v4(made[i]), PAC_OK);
    assert_int_equal(strlen(made[i]), LENGTH);
    assert_true(pac_uuid_is_v4(made[i], LENGTH));
    assert_int_equal(strspn(made[i], "0123456789abcdef-"), LENGTH);
  }
  qsort(made, MANY, PAC_UUID_SIZE, compare);
  for (size_t i = 1; i < MANY; i++) {
    assert_int_not_equal(compare(made[i - 1], made[i]), 0);
  }
}

/* Each free nibble shows all sixteen digits, so no bits are lost on the way. */
static void test_uses_every_digit_in_every_place(void **state) {
  (void)state;
  unsigned seen[PAC_UUID_SIZE] = { 0 };
  char uuid[PAC_UUID_SIZE];
  for (int n = 0; n < MANY; n++) {
    assert_int_equal(pac_uuid_v4(uuid), PAC_OK);
    for (size_t i = 0; i < LENGTH; i++) {
      const char *digit = strchr("0123456789abcdef", uuid[i]);
      seen[i] |= digit ? 1U << (digit - strchr("0123456789abcdef", '0')) : 0U;
    }
  }
  for (size_t i = 0; i < LENGTH; i++) {
    unsigned expected = SAMPLE[i] == '-' ? 0U : i == 14 ? 1U << 4 : i == 19 ? 0xf00U : 0xffffU;
    assert_int_equal(seen[i], expected);
  }
}

static int may_stand_at(size_t i, int byte) {
  const char *allowed = SAMPLE[i] == '-' ? "-" : i == 14 ? "4" : i == 19 ? "89abAB" : "0123456789abcdefABCDEF";
  return byte != 0 && strchr(allowed, byte) != NULL;
}

static void test_judges_every_byte_in_every_place(void **state) {
  (void)state;
  for (size_t i = 0; i < LENGTH; i++) {
    char *text = exact_copy(SAMPLE, LENGTH);
    for (int byte = 0; byte < 256; byte++) {
      text[i] = (char)byte;
      assert_int_equal(pac_uuid_is_v4(text, LENGTH), may_stand_at(i, byte));
    }
    free(text);
  }
}

static void test_judges_the_length(void **state) {
  (void)state;
  static const char longer[] = SAMPLE "\0\0";
  assert_true(pac_uuid_is_v4("F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6", LENGTH));
  for (size_t length = 0; length < sizeof longer; length++) {
    char *text = exact_copy(longer, length);
    assert_int_equal(pac_uuid_is_v4(text, length), length == LENGTH);
    free(text);
  }
  assert_false(pac_uuid_is_v4(NULL, 0));
}

static void test_draws_lie_in_the_unit_interval(void **state) {
  (void)state;
  int low = 0;
  int high = 0;
  for (int i = 0; i < MANY; i++) {
    double draw = -1.0;
    assert_int_equal(pac_random_double(&draw), PAC_OK);
    assert_true(draw >= 0.0 && draw < 1.0);
    low += draw < 0.25;
    high += draw >= 0.75;
  }
  assert_true(low > 0);
  assert_true(high > 0);
}

static void test_random_bytes_have_a_limit(void **state) {
  (void)state;
  unsigned char bytes[257] = { 0 };
  assert_int_equal(pac_random_bytes(bytes, 257), PAC_TOO_LONG);
  assert_int_equal(bytes[0] | bytes[256], 0);
  assert_int_equal(pac_random_bytes(bytes, 256), PAC_OK);
  assert_int_equal(bytes[256], 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_makes_distinct_version_4_uuids),   cmocka_unit_test(test_uses_every_digit_in_every_place),
    cmocka_unit_test(test_judges_every_byte_in_every_place), cmocka_unit_test(test_judges_the_length),
    cmocka_unit_test(test_draws_lie_in_the_unit_interval),   cmocka_unit_test(test_random_bytes_have_a_limit),
  };
  return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
