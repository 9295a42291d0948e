/* pac_request: the headers of each column, and what may stand in a header. */
#include "unit.h"

#include <stdio.h>

#include "pac_request.h"

#define TEXT(literal)                                                                                                  \
  { literal, sizeof(literal) - 1 }

static const pac_identity full = {
  .user_agent = TEXT("MyApplication/1.0.0"),
  .application_id = TEXT("com.mycompany.myapp"),
  .api_key = TEXT("key"),
  .channel_code = TEXT("channel"),
  .organization_id = TEXT("999"),
  .authorization = TEXT("Bearer token"),
  .request_id = TEXT("3f0e8a52-7c1d-4b6e-9a3f-0d5b8c7e6a41"),
};

static const pac_operation *find(const char *name) {
  return pac_operation_find(name, strlen(name));
}

/* The names of the headers of contract 1.1, in its order. */
#define COMMON "User-Agent Accept Content-Type Request-ID "
#define BEARER COMMON "Authorization PAC-Application-ID PAC-API-Key PAC-Channel-Code "

static void expect_names(const char *operation, const pac_identity *identity, const char *wanted) {
  pac_header headers[PAC_REQUEST_MAX_HEADERS];
  size_t count = 0, length = 0;
  char names[512] = "";
  pac_err err = { 0 };
  assert_int_equal(pac_request_headers(find(operation), identity, headers, &count, &err), PAC_OK);
  for (size_t i = 0; i < count; i++) {
    length += (size_t)snprintf(names + length, sizeof names - length, "%s ", headers[i].name);
  }
  assert_string_equal(names, wanted);
}

static void test_each_column_has_its_headers(void **state) {
  (void)state;
  static const char *const without[] = {
    "listings.get",     "tickets.lock",  "tickets.unlock",   "tickets.verify",     "tickets.print",
    "orders.complete",  "orders.status", "transfers.accept", "transfers.complete", "transfers.complete_status",
    "transfers.pending"
  };
  static const char *const with[] = { "catalog.events", "transfers.cancel", "transfers.history", "transfers.initiate",
                                      "transfers.initiate_v1" };
  expect_names("auth.token", &full, COMMON "PAC-Application-ID ");
  for (size_t i = 0; i < COUNT(without); i++) {
    expect_names(without[i], &full, BEARER);
  }
  for (size_t i = 0; i < COUNT(with); i++) {
    expect_names(with[i], &full, BEARER "PAC-Organization-ID ");
  }
}

static void test_an_offered_organisation_may_be_absent(void **state) {
  (void)state;
  pac_identity identity = full;
  identity.organization_id.data = NULL;
  expect_names("transfers.initiate", &identity, BEARER);
  expect_names("transfers.initiate_v1", &identity, BEARER);
  expect_names("transfers.history", &identity, BEARER);
}

static void test_values_are_borrowed(void **state) {
  (void)state;
  pac_header headers[PAC_REQUEST_MAX_HEADERS];
  size_t count = 0;
  assert_int_equal(pac_request_headers(find("tickets.lock"), &full, headers, &count, NULL), PAC_OK);
  assert_ptr_equal(headers[0].value.data, full.user_agent.data);
  assert_memory_equal(headers[1].value.data, "application/json", headers[1].value.length);
  assert_ptr_equal(headers[4].value.data, full.authorization.data);
}

/* One field of the identity made wrong, and the header that must be named. */
static void expect_refusal(size_t offset, pac_text value, const char *operation, const char *header) {
  pac_header headers[PAC_REQUEST_MAX_HEADERS];
  size_t count = 0;
  pac_err err = { 0 };
  pac_identity identity = full;
  memcpy((char *)&identity + offset, &value, sizeof value);
  assert_int_equal(pac_request_headers(find(operation), &identity, headers, &count, &err), PAC_INVALID);
  assert_non_null(strstr(err.message, header));
  assert_null(strstr(err.message, "MARKED"));
}

static void test_what_is_demanded_must_be_there_and_fit(void **state) {
  (void)state;
  static const struct {
    size_t offset;
    const char *header;
  } rows[] = {
    { offsetof(pac_identity, user_agent), "User-Agent" },
    { offsetof(pac_identity, application_id), "PAC-Application-ID" },
    { offsetof(pac_identity, api_key), "PAC-API-Key" },
    { offsetof(pac_identity, channel_code), "PAC-Channel-Code" },
    { offsetof(pac_identity, organization_id), "PAC-Organization-ID" },
    { offsetof(pac_identity, authorization), "Authorization" },
    { offsetof(pac_identity, request_id), "Request-ID" },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    expect_refusal(rows[i].offset, (pac_text){ NULL, 0 }, "catalog.events", rows[i].header);
    expect_refusal(rows[i].offset, (pac_text)TEXT(""), "catalog.events", rows[i].header);
    expect_refusal(rows[i].offset, (pac_text)TEXT("MARKED\r\nX: y"), "catalog.events", rows[i].header);
    expect_refusal(rows[i].offset, (pac_text)TEXT("MARKED\0"), "catalog.events", rows[i].header);
  }
}

typedef struct text_row {
  const char *text;
  size_t length;
  int valid;
} text_row;

#define ROW(literal, valid)                                                                                            \
  { literal, sizeof(literal) - 1, valid }

static void expect_each(const text_row *rows, size_t count, int (*test)(const char *, size_t)) {
  for (size_t i = 0; i < count; i++) {
    char *copy = exact_copy(rows[i].text, rows[i].length);
    if (test(copy, rows[i].length) != rows[i].valid) {
      fail_msg("row %zu: %s", i, rows[i].text);
    }
    free(copy);
  }
}

static void test_header_values(void **state) {
  (void)state;
  static const text_row rows[] = {
    ROW("a", 1),
    ROW("a b\tc", 1),
    ROW("~!\"#", 1),
    ROW("", 0),
    ROW(" a", 0),
    ROW("a ", 0),
    ROW("\ta", 0),
    ROW("a\t", 0),
    ROW(" ", 0),
    ROW("a\nb", 0),
    ROW("a\rb", 0),
    ROW("a\r\nb", 0),
    ROW("a\0b", 0),
    ROW("a\x7f", 0),
    ROW("\xc3\xb1", 0),
    ROW("a\x01", 0),
    ROW("a\x80"
        "b",
        0),
  };
  expect_each(rows, COUNT(rows), pac_request_value_valid);
}

static void test_header_names(void **state) {
  (void)state;
  static const text_row rows[] = {
    ROW("X-A", 1),      ROW("traceparent", 1), ROW("!#$%&'*+-.^_`|~09", 1),
    ROW("", 0),         ROW("X A", 0),         ROW("X:", 0),
    ROW("X\n", 0),      ROW("X\0", 0),         ROW("X\"", 0),
    ROW("\xc3\x84", 0), ROW("(X)", 0),         ROW("a/b", 0),
  };
  expect_each(rows, COUNT(rows), pac_request_name_valid);
}

static void test_reserved_names(void **state) {
  (void)state;
  static const text_row rows[] = {
    ROW("Authorization", 1),
    ROW("authorization", 1),
    ROW("PAC-API-KEY", 1),
    ROW("Host", 1),
    ROW("TE", 1),
    ROW("Content-Length", 1),
    ROW("Request-Id", 1),
    ROW("pac-organization-id", 1),
    ROW("Expect", 1),
    ROW("Accept-Encoding", 1),
    ROW("Authorizatio", 0),
    ROW("Authorizations", 0),
    ROW("X-Host", 0),
    ROW("Host\0", 0),
    ROW("", 0),
    ROW("traceparent", 0),
  };
  expect_each(rows, COUNT(rows), pac_request_name_reserved);
}

static void test_user_agents(void **state) {
  (void)state;
  static const text_row rows[] = {
    ROW("MyApplication/1.0.0", 1),
    ROW("MyApplication/1.0", 1),
    ROW("a/10.20.30", 1),
    ROW("a/1.2.3-rc.1+b5", 1),
    ROW("a/1.0+x", 1),
    ROW("a/1.0.0 (b; c)", 1),
    ROW("a/1.0.0 b/2.0", 1),
    ROW("", 0),
    ROW("a", 0),
    ROW("a/", 0),
    ROW("/1.0.0", 0),
    ROW("a/1", 0),
    ROW("a/1.", 0),
    ROW("a/1.0.", 0),
    ROW("a/1.0.0.0", 0),
    ROW("a/v1.0", 0),
    ROW("a/1.0x", 0),
    ROW("a b/1.0", 0),
    ROW("a/1.0\n", 0),
    ROW("a/1.0\r\nX: y", 0),
    ROW("a//1.0", 0),
    ROW("a/1..0", 0),
    ROW("a/1.0 ", 0),
  };
  expect_each(rows, COUNT(rows), pac_request_user_agent_valid);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_each_column_has_its_headers),
    cmocka_unit_test(test_an_offered_organisation_may_be_absent),
    cmocka_unit_test(test_values_are_borrowed),
    cmocka_unit_test(test_what_is_demanded_must_be_there_and_fit),
    cmocka_unit_test(test_header_values),
    cmocka_unit_test(test_header_names),
    cmocka_unit_test(test_reserved_names),
    cmocka_unit_test(test_user_agents),
  };
  return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
