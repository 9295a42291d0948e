/* pac_redact: what goes, what stays, and that no text upsets it. */
#include "unit.h"

#include "pac_operation.h"
#include "pac_redact.h"

typedef struct row {
  const char *text;
  const char *redacted; /* NULL: stays as it is */
} row;

/* The copy as a string; a NUL stands behind it. The caller frees it. */
static char *redacted(const char *text, size_t length, size_t *size) {
  char *exact = exact_copy(text, length);
  pac_buf out;
  pac_buf_init(&out);
  pac_redact_text(&out, exact, length);
  assert_true(pac_buf_ok(&out));
  char *copy = malloc(out.length + 1);
  assert_non_null(copy);
  memcpy(copy, out.length > 0 ? out.data : "", out.length);
  copy[out.length] = '\0';
  if (size != NULL) {
    *size = out.length;
  }
  pac_buf_free(&out);
  free(exact);
  return copy;
}

static void check_rows(const row *rows, size_t count) {
  for (size_t i = 0; i < count; i++) {
    char *once = redacted(rows[i].text, strlen(rows[i].text), NULL);
    char *twice = redacted(once, strlen(once), NULL);
    assert_string_equal(once, rows[i].redacted != NULL ? rows[i].redacted : rows[i].text);
    assert_string_equal(twice, once);
    free(once);
    free(twice);
  }
}

static void test_takes_values_of_private_names(void **state) {
  (void)state;
  static const row rows[] = {
    { "Authorization: Bearer abc, def", "Authorization: [redacted]" },
    { "PAC-API-Key: k k\nAccept: x", "PAC-API-Key: [redacted]\nAccept: x" },
    { "proxy-authorization:Basic eA", "proxy-authorization:[redacted]" },
    { "Set-Cookie: a=b; Path=/; c=d", "Set-Cookie: [redacted]" },
    { "X-Auth-Token: z", "X-Auth-Token: [redacted]" },
    { "{\"accessToken\":\"a b\",\"tokenType\":\"Bearer\"}",
      "{\"accessToken\":\"[redacted]\",\"tokenType\":\"Bearer\"}" },
    { "{\"first_name\" : \"Ma\\\"ry\"}", "{\"first_name\" : \"[redacted]\"}" },
    { "{\\\"refreshToken\\\":\\\"a\\\\\\\"b\\\",\\\"status\\\":422}",
      "{\\\"refreshToken\\\":\\\"[redacted]\\\",\\\"status\\\":422}" },
    { "\"token\":\"never closed, x", "\"token\":\"[redacted]" },
    { "\"tokens\":[\"a\",[\"]\"],\"b\"],\"x\":1", "\"tokens\":[redacted],\"x\":1" },
    { "tokens = { \"a\", { 1 } }, x", "tokens = [redacted], x" },
    { "barcodes: [1, 2", "barcodes: [redacted]" },
    { "[\"token\"] = 'a', token => b", "[\"token\"] = '[redacted]', token => [redacted]" },
    { "<token>ab</token>", "<token>[redacted]</token>" },
    { "lastName: van der Berg, status: 422", "lastName: [redacted], status: 422" },
    { "lastName=van der Berg status=422", "lastName=[redacted] status=422" },
    { "email:; phone:\nx", NULL },
    { "PACIOLAN_REFRESH_TOKEN='x y'", "PACIOLAN_REFRESH_TOKEN='[redacted]'" },
    { "grantType=authorization_code&code=abc", "grantType=authorization_code&code=[redacted]" },
    { "grantType: authorization_code, code: MS-1", "grantType: authorization_code, code: [redacted]" },
    { "code=\"abc\" code=x1 y", "code=\"[redacted]\" code=[redacted] y" },
  };
  check_rows(rows, COUNT(rows));
}

static void test_takes_what_looks_private(void **state) {
  (void)state;
  static const row rows[] = {
    { "sent Bearer abc and basic eDp5, too", "sent Bearer [redacted] and basic [redacted], too" },
    { "Bearer%20abc Basic+Zm9v", "Bearer%20[redacted] Basic+[redacted]" },
    { "see eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.abc-def_g.", "see [redacted]." },
    { "Ab3dEf9hIj2kLm5n", "[redacted]" },
    { "id a1b2c3d4e5f60718293a4b5c6d7e8f90!", "id [redacted]!" },
    { "Ab3d-Ef9h_Ij2k-Lm5n_Op7q", "[redacted]" },
    { "QmFz/ZTY0/dGVzdA+abc12XYZ9/QQ==", "[redacted]" },
    { "Qm9zdG9uL1BhcmlzL0xvbmRvbg==", "[redacted]" },
    { "abcdefghijklmnopqrstuvwxyzab", "[redacted]" },
    { "T123456789012", "[redacted]" },
    { "john@smith.example, <a+b@c.example>.", "[redacted], <[redacted]>." },
    { "j\xC3\xB6rg@m\xC3\xBCller.example", "[redacted]" },
    { "\xC3\xB6zg\xC3\xBCr@x.example", "[redacted]" },
    { "mailto:j@x.example to=j@x.example j%40x.example", "mailto:[redacted] to=[redacted] [redacted]" },
    { "/a/b/j@x.example/c", "/a/b/[redacted]/c" },
    { "https://u:p,w@h.example/v1?a=b&c=d). x", "https://[redacted]@h.example/v1?a=[redacted]&c=[redacted]). x" },
    { "/v1/tickets?distributorCode=D#x", "/v1/tickets?distributorCode=[redacted]#x" },
    { "(949) 823-4548, 949.823.4548 9498234548", "[redacted], [redacted] [redacted]" },
    { "+49 151 23456789; 020 7946 0958", "[redacted]; [redacted]" },
    { "4111 1111 1111 1111 and 378282246310005", "[redacted] and [redacted]" },
    { "token 56789983390560", "token [redacted]" },
  };
  check_rows(rows, COUNT(rows));
}

static void test_keeps_what_people_need(void **state) {
  (void)state;
  static const row rows[] = {
    { "", NULL },
    { "orders.complete: nothing came (timeout, unknown) [request 6f1c2a34-1111-4abc-8def-0123456789ab]", NULL },
    { "id=6f1c2a34-1111-4abc-8def-0123456789ab, r-6F1C2A34-1111-4ABC-8DEF-0123456789AB", NULL },
    { "auth.token: nothing to authorise with: configure auth.code, auth.refresh_token or auth.access_token", NULL },
    { "token call: the service answered 422 INVALID_PARAMETER_VALUE MS-422", NULL },
    { "exit code: 28, code=28 code=\"MS-422\"", NULL },
    { "3785222-AMTX:10237, 3785222123-AMTX:10237", NULL },
    { "processId 5f6d4e, accessId 129:FB30:FB01, listing A3qnemZ, seat ES:9", NULL },
    { "127.0.0.1:45678 192.168.100.200 port 8480", NULL },
    { "at 1763784904 or 1763784904123, 2026-11-22, 2026-11-22 04:15:04, 2099-01-01T00:00:00.000000000Z", NULL },
    { "2023-06-14T07:23:05.281+0000; Sun, 22 Nov 2026 04:15:04 +0000", NULL },
    { "0.33333333333333 1700000000.25", NULL },
    { "Bearer token refused; basic information", NULL },
    { "the header PAC-API-Key is required and not configured", NULL },
    { "/listing/tokens/3/token is required; did you mean recipientFirstName?", NULL },
    { "https://link-sandbox.paciolan.info/v1/tickets/transfer/complete/{processId}", NULL },
    { "libcurl-7.88.1-10+deb12u14 com.mycompany.myapp paciolan.transport.curl UNPROCESSABLE_ENTITY", NULL },
    { "5@, @x a@!", NULL },
  };
  check_rows(rows, COUNT(rows));
}

static void test_tells_ids_from_what_only_begins_like_one(void **state) {
  (void)state;
  static const row rows[] = {
    { "6f1c2a34-1111-4abc-8def-0123456789ab7f", "[redacted]" },
    { "6f1c2a34-1111-4abc-8def-0123456789ab@x.example", "[redacted]" },
    { "2026-11-22@x.example", "[redacted]" },
    { "1763784904@x.example", "[redacted]" },
    { "auth.token=abc", "auth.token=[redacted]" },
  };
  for (size_t i = 0; i + 1 < COUNT(rows); i++) {
    check_rows(&rows[i], 1);
  }
  assert_int_equal(pac_redact_kept("auth.token: x", 13), 10);
  assert_int_equal(pac_redact_kept("auth.tokens: x", 14), 0);
  assert_int_equal(pac_redact_kept("", 0), 0);
}

/* The same name in every spelling, and no other. */
static void test_knows_names(void **state) {
  (void)state;
  static const struct {
    const char *name;
    pac_redact_class class;
  } names_of[] = {
    { "accessToken", PAC_REDACT_CLOSED },
    { "ACCESS_TOKEN", PAC_REDACT_CLOSED },
    { "access-token", PAC_REDACT_CLOSED },
    { "Authorization", PAC_REDACT_CLOSED },
    { "PAC-API-Key", PAC_REDACT_CLOSED },
    { "api_key", PAC_REDACT_CLOSED },
    { "Cookie", PAC_REDACT_CLOSED },
    { "Set-Cookie", PAC_REDACT_CLOSED },
    { "password", PAC_REDACT_CLOSED },
    { "client_secret", PAC_REDACT_CLOSED },
    { "tokens", PAC_REDACT_LEAVES },
    { "barcodes", PAC_REDACT_LEAVES },
    { "emailAddress", PAC_REDACT_LEAVES },
    { "code", PAC_REDACT_CODE },
    { "statusCode", PAC_REDACT_OPEN },
    { "status", PAC_REDACT_OPEN },
    { "tokenType", PAC_REDACT_OPEN },
    { "processId", PAC_REDACT_OPEN },
    { "request_id", PAC_REDACT_OPEN },
    { "confirmationCd", PAC_REDACT_OPEN },
    { "appErrorCode", PAC_REDACT_OPEN },
    { "", PAC_REDACT_OPEN },
    { "__", PAC_REDACT_OPEN },
  };
  pac_redact_names names;
  pac_redact_names_init(&names);
  for (size_t i = 0; i < COUNT(names_of); i++) {
    size_t length = strlen(names_of[i].name);
    char *name = exact_copy(names_of[i].name, length);
    assert_int_equal(pac_redact_name(&names, name, length), names_of[i].class);
    free(name);
  }
  char longest[PAC_REDACT_MAX_NAME + 2];
  memset(longest, '_', sizeof longest);
  memcpy(longest, "token", 5);
  assert_int_equal(pac_redact_name(&names, longest, PAC_REDACT_MAX_NAME), PAC_REDACT_CLOSED);
  assert_int_equal(pac_redact_name(&names, longest, PAC_REDACT_MAX_NAME + 1), PAC_REDACT_OPEN);
}

static size_t check_fields(const pac_redact_names *names, const pac_field *fields) {
  size_t count = 0;
  for (const pac_field *field = fields; field != NULL && field->name != NULL; field++) {
    if ((field->flags & (PAC_SECRET | PAC_PERSONAL)) != 0) {
      assert_int_not_equal(pac_redact_name(names, field->name, strlen(field->name)), PAC_REDACT_OPEN);
      count++;
    }
    count += field->object != NULL ? check_fields(names, field->object->fields) : 0;
  }
  return count;
}

static void test_knows_every_marked_field_of_the_contract(void **state) {
  (void)state;
  pac_redact_names names;
  pac_redact_names_init(&names);
  size_t count = 0;
  const pac_operation *op;
  for (size_t i = 0; (op = pac_operation_at(i)) != NULL; i++) {
    count += check_fields(&names, op->path_fields) + check_fields(&names, op->query);
    count += op->body != NULL ? check_fields(&names, op->body->fields) : 0;
    count += op->answer != NULL ? check_fields(&names, op->answer->fields) : 0;
  }
  assert_true(count > 40);
  assert_true(names.count > 15 && names.count < PAC_REDACT_SLOTS / 2); /* lookups stay short */
}

static void test_tells_codes_of_errors(void **state) {
  (void)state;
  static const char *const open[] = { "MS-422", "28", "UNPROCESSABLE_ENTITY", "E1234" };
  static const char *const closed[] = { "", "abc", "MS-422x", "123456", "E12345", "4-4" };
  for (size_t i = 0; i < COUNT(open); i++) {
    assert_true(pac_redact_code_open(open[i], strlen(open[i])));
  }
  for (size_t i = 0; i < COUNT(closed); i++) {
    assert_false(pac_redact_code_open(closed[i], strlen(closed[i])));
  }
}

/* Bytes of all kinds around a secret: they are copied, and the secret goes. */
static void test_bears_any_byte(void **state) {
  (void)state;
  for (int byte = 0; byte < 256; byte++) {
    char text[] = "?,token=\"abc\" Bearer qqq\n?";
    text[0] = (char)byte;
    text[sizeof text - 2] = (char)byte;
    size_t size;
    char *copy = redacted(text, sizeof text - 1, &size);
    assert_int_equal((unsigned char)copy[0], byte);
    assert_int_equal((unsigned char)copy[size - 1], byte);
    assert_null(strstr(copy + 1, "abc"));
    assert_null(strstr(copy + 1, "qqq"));
    free(copy);
  }
}

/* A seeded generator, so that a failure can be repeated. */
static unsigned next_random(unsigned *seed) {
  *seed = *seed * 1103515245U + 12345U;
  return *seed >> 16;
}

/* Texts put together from the very signs that the scanner looks for. */
static void test_bears_any_text(void **state) {
  (void)state;
  static const char *const parts[] = { "token",   "code",  "Bearer ", "Basic+", "=",   ":",   "\"", "\\",   "[",
                                       "]",       "{",     "}",       "@",      "%40", "://", "?",  "&",    "/",
                                       "+49 ",    "(949)", "123 ",    "-",      ".",   " ",   "\n", "\xC3", "eyJ",
                                       "Ab3dEf9", "a",     "2026-",   "grant",  "<",   ">",   "'",  ",",    "#" };
  unsigned seed = 7;
  for (int round = 0; round < 2000; round++) {
    char text[256];
    size_t length = 0;
    while (length < 200) {
      const char *part = parts[next_random(&seed) % COUNT(parts)];
      memcpy(text + length, part, strlen(part));
      length += strlen(part);
    }
    size_t size;
    char *once = redacted(text, length, &size);
    assert_true(size <= length * 10 + 10);
    free(redacted(once, size, NULL));
    free(once);
  }
}

/* A megabyte of what each rule would look far ahead for. */
static void test_is_linear(void **state) {
  (void)state;
  static const char *const parts[] = { "code=A .",   "code=[ ", "code=A\n.",      "code=\"A .", "code=\\\"A ",
                                       "code='[A\n", "code:",   "code: [",        "token=",     "a@!",
                                       "@",          "a://",    "\"code\":\"A\"", "basic ",     "a b ",
                                       "[",          "eyJ.",    "1 2 3 ",         "+1-",        "a/",
                                       "x=",         "\\\"",    "<token>",        "?a=&",       "_",
                                       "\xFF",       "%40" };
  size_t length = 1 << 20;
  char *text = malloc(length);
  assert_non_null(text);
  for (size_t p = 0; p < COUNT(parts); p++) {
    size_t size = strlen(parts[p]);
    for (size_t i = 0; i < length; i++) {
      text[i] = parts[p][i % size];
    }
    free(redacted(text, length, NULL));
  }
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_takes_values_of_private_names),
    cmocka_unit_test(test_takes_what_looks_private),
    cmocka_unit_test(test_keeps_what_people_need),
    cmocka_unit_test(test_tells_ids_from_what_only_begins_like_one),
    cmocka_unit_test(test_knows_names),
    cmocka_unit_test(test_knows_every_marked_field_of_the_contract),
    cmocka_unit_test(test_tells_codes_of_errors),
    cmocka_unit_test(test_bears_any_byte),
    cmocka_unit_test(test_bears_any_text),
    cmocka_unit_test(test_is_linear),
  };
  return cmocka_run_group_tests_name("redact", tests, NULL, NULL);
}
