/* pac_envelope: which bodies are an envelope, what stands in it, and why others
** are refused. */
#include "unit.h"

#include "pac_envelope.h"

#include <stdio.h>

#define LONGEST 4096

/* A whole envelope, in which a row replaces, adds or removes one member. */
static const struct {
  const char *name;
  const char *value; /* JSON */
} members[] = {
  { "Type", "\"Notification\"" },
  { "MessageId", "\"9d2c5580-b61d-550c-8583-37a582870907\"" },
  { "TopicArn", "\"arn:aws:sns:us-west-2:123456789012:seats\"" },
  { "Message", "\"{\\\"a\\\":\\u0000\\n\\ud83d\\ude00}\"" },
  { "Timestamp", "\"2026-03-06T20:00:26.893Z\"" },
  { "SignatureVersion", "\"2\"" },
  { "Signature", "\"AAAA\"" },
  { "SigningCertURL", "\"https:\\/\\/x\"" },
};

/* Text and arena without a byte to spare. */
typedef struct body {
  char *text;
  size_t length;
  char *arena;
} body;

static body body_of(const char *text, size_t length) {
  return (body){ exact_copy(text, length), length, exact_copy(text, length) };
}

static void body_free(body *b) {
  free(b->text);
  free(b->arena);
}

/* name: the member that gets this value (NULL: that goes), or a new one. */
static body body_with(const char *name, const char *value) {
  char text[LONGEST] = "";
  int is_known = 0;
  size_t length = 0;
  for (size_t i = 0; i < COUNT(members); i++) {
    int is_same = name != NULL && strcmp(name, members[i].name) == 0;
    const char *put = is_same ? value : members[i].value;
    is_known |= is_same;
    if (put != NULL) {
      length += (size_t)snprintf(text + length, sizeof text - length, "%s\"%s\" : %s", length > 0 ? ",\n" : "{",
                                 members[i].name, put);
    }
  }
  if (name != NULL && !is_known) {
    length += (size_t)snprintf(text + length, sizeof text - length, ",\"%s\":%s", name, value);
  }
  length += (size_t)snprintf(text + length, sizeof text - length, "}");
  return body_of(text, length);
}

static void expect_reason(body b, const char *reason, const char *message) {
  pac_envelope envelope;
  pac_err err = { 0 };
  const char *found = pac_envelope_read(b.text, b.length, b.arena, &envelope, &err);
  assert_non_null(found);
  assert_string_equal(found, reason);
  if (message != NULL) {
    assert_string_equal(err.message, message);
  }
  assert_string_equal(pac_envelope_read(b.text, b.length, b.arena, &envelope, NULL), reason);
  body_free(&b);
}

static void assert_text(pac_text text, const char *expected, size_t length) {
  assert_non_null(text.data);
  assert_int_equal(text.length, length);
  assert_memory_equal(text.data, expected, length);
}

static int is_in(pac_text text, const char *start, size_t length) {
  return text.data >= start && text.data + text.length <= start + length;
}

static void test_reads_the_fields(void **state) {
  (void)state;
  body b = body_with(NULL, NULL);
  pac_envelope e;
  assert_null(pac_envelope_read(b.text, b.length, b.arena, &e, NULL));
  assert_text(e.type, "Notification", 12);
  assert_text(e.message_id, "9d2c5580-b61d-550c-8583-37a582870907", 36);
  assert_text(e.topic_arn, "arn:aws:sns:us-west-2:123456789012:seats", 40);
  assert_text(e.message, "{\"a\":\0\n\xF0\x9F\x98\x80}", 12);
  assert_text(e.timestamp, "2026-03-06T20:00:26.893Z", 24);
  assert_text(e.signature_version, "2", 1);
  assert_text(e.signature, "AAAA", 4);
  assert_text(e.signing_cert_url, "https://x", 9);
  assert_null(e.subject.data);
  assert_null(e.token.data);
  assert_null(e.subscribe_url.data);
  assert_null(e.unsubscribe_url.data);
  assert_null(e.attributes.data);
  /* What has escapes is in the arena, the rest stays where it was. */
  assert_true(is_in(e.message, b.arena, b.length));
  assert_true(is_in(e.signing_cert_url, b.arena, b.length));
  assert_true(is_in(e.topic_arn, b.text, b.length));
  body_free(&b);
}

static void test_reads_what_need_not_be_there(void **state) {
  (void)state;
  static const struct {
    const char *name;
    const char *value;
    const char *text;
    size_t offset;
  } rows[] = {
    { "Subject", "\"s\"", "s", offsetof(pac_envelope, subject) },
    { "Subject", "\"\"", "", offsetof(pac_envelope, subject) },
    { "Subj\\u0065ct", "\"\\u0073\"", "s", offsetof(pac_envelope, subject) },
    { "Token", "\"t\"", "t", offsetof(pac_envelope, token) },
    { "SubscribeURL", "\"u\"", "u", offsetof(pac_envelope, subscribe_url) },
    { "UnsubscribeURL", "\"u\"", "u", offsetof(pac_envelope, unsubscribe_url) },
    { "MessageAttributes", "{ \"a\" : {\"Type\":\"\\u0053\"}}", "{ \"a\" : {\"Type\":\"\\u0053\"}}",
      offsetof(pac_envelope, attributes) },
    { "MessageAttributes", "{}", "{}", offsetof(pac_envelope, attributes) },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    body b = body_with(rows[i].name, rows[i].value);
    pac_envelope e;
    assert_null(pac_envelope_read(b.text, b.length, b.arena, &e, NULL));
    assert_text(*(pac_text *)(void *)((char *)&e + rows[i].offset), rows[i].text, strlen(rows[i].text));
    body_free(&b);
  }
}

static void test_ignores_fields_of_other_names(void **state) {
  (void)state;
  static const char *const names[] = { "type",
                                       "Types",
                                       "Messag",
                                       "",
                                       "\\u0000",
                                       "SigningCertURLs",
                                       "SigningCertUR",
                                       "SubscribeURI",
                                       "A name that is longer than any that an envelope has" };
  static const char *const values[] = { "1", "null", "[{}]", "\"\\n\"", "{\"Type\":1,\"SigningCertUrl\":2}" };
  for (size_t i = 0; i < COUNT(names); i++) {
    for (size_t k = 0; k < COUNT(values); k++) {
      body b = body_with(names[i], values[k]);
      pac_envelope e;
      assert_null(pac_envelope_read(b.text, b.length, b.arena, &e, NULL));
      assert_text(e.type, "Notification", 12);
      body_free(&b);
    }
  }
}

static void test_refuses_known_fields_of_another_type(void **state) {
  (void)state;
  static const char *const names[] = { "Type",      "MessageId",      "TopicArn",       "Message",
                                       "Timestamp", "Signature",      "SigningCertURL", "SignatureVersion",
                                       "Subject",   "UnsubscribeURL", "SubscribeURL",   "Token" };
  static const char *const values[] = { "null", "2", "true", "{}", "[\"x\"]" };
  char message[60];
  for (size_t i = 0; i < COUNT(names); i++) {
    snprintf(message, sizeof message, "%s must be a string", names[i]);
    for (size_t k = 0; k < COUNT(values); k++) {
      expect_reason(body_with(names[i], values[k]), "not_string", message);
    }
  }
  static const char *const no_objects[] = { "null", "2", "\"{}\"", "[]" };
  for (size_t k = 0; k < COUNT(no_objects); k++) {
    expect_reason(body_with("MessageAttributes", no_objects[k]), "not_object", "MessageAttributes must be an object");
  }
}

static void test_requires_the_fields_of_every_type(void **state) {
  (void)state;
  char message[60];
  for (size_t i = 0; i < COUNT(members); i++) {
    snprintf(message, sizeof message, "%s is required", members[i].name);
    expect_reason(body_with(members[i].name, NULL), "missing_field", message);
  }
}

static void test_refuses_other_spellings_of_the_urls(void **state) {
  (void)state;
  static const struct {
    const char *name;
    const char *known;
  } rows[] = {
    { "SigningCertUrl", "SigningCertURL" }, { "signingcerturl", "SigningCertURL" },
    { "SIGNINGCERTURL", "SigningCertURL" }, { "SigningCertU\\u0072l", "SigningCertURL" },
    { "SubscribeUrl", "SubscribeURL" },     { "subscribeURL", "SubscribeURL" },
    { "UnsubscribeUrl", "UnsubscribeURL" }, { "UnSubscribeURL", "UnsubscribeURL" },
  };
  char message[80];
  for (size_t i = 0; i < COUNT(rows); i++) {
    snprintf(message, sizeof message, "%s must be spelled so, in these letters", rows[i].known);
    expect_reason(body_with(rows[i].name, "\"https://x\""), "wrong_spelling", message);
    expect_reason(body_with(rows[i].name, "null"), "wrong_spelling", message);
  }
}

static void test_refuses_names_that_stand_twice(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(members); i++) {
    char value[200];
    snprintf(value, sizeof value, "%s,\"%s\":%s", members[i].value, members[i].name, members[i].value);
    expect_reason(body_with(members[i].name, value), "duplicate_key", NULL);
  }
  expect_reason(body_with("T\\u0079pe", "\"Notification\""), "duplicate_key", NULL);
  expect_reason(body_with("other", "1,\"other\":1"), "duplicate_key", NULL);
  expect_reason(body_with("MessageAttributes", "{\"a\":1,\"a\":1}"), "duplicate_key", NULL);
}

static void test_refuses_what_is_no_object(void **state) {
  (void)state;
  static const char *const texts[] = { "null", "[]", "[{\"Type\":1}]", "\"{}\"", " 7 ", "true" };
  for (size_t i = 0; i < COUNT(texts); i++) {
    expect_reason(body_of(texts[i], strlen(texts[i])), "not_object", "the body must be an object");
  }
}

static void test_refuses_what_is_no_json(void **state) {
  (void)state;
  static const struct {
    const char *text;
    const char *reason;
    const char *message;
  } rows[] = {
    { "", "bad_json", "at byte 0: a value must stand here" },
    { "{\"Type\":\"a\"", "bad_json", "at byte 11: a comma or the end must stand here" },
    { "\xEF\xBB\xBF{}", "bad_json", "at byte 0: a value must stand here" },
    { "{\"Message\":\"\xED\xA0\x80\"}", "bad_utf8", "at byte 12: this is not UTF-8" },
    { "{\"Message\":\"\\ud800\"}", "bad_json", "at byte 12: a surrogate must stand in a pair" },
    { "[[[[[[[[1]]]]]]]]", "not_object", "the body must be an object" },
    { "[[[[[[[[[1]]]]]]]]]", "too_deep", "at byte 8: this is nested too deeply" },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    expect_reason(body_of(rows[i].text, strlen(rows[i].text)), rows[i].reason, rows[i].message);
  }
  expect_reason(body_with("MessageAttributes", "{\"a\":[[[[[[[]]]]]]]}"), "too_deep", NULL);
}

static void test_reads_two_mebibytes_and_no_more(void **state) {
  (void)state;
  body small = body_with(NULL, NULL);
  size_t length = PAC_ENVELOPE_MAX_BYTES + 1;
  char *text = malloc(length);
  char *arena = malloc(length);
  assert_non_null(text);
  assert_non_null(arena);
  memset(text, ' ', length);
  memcpy(text, small.text, small.length);
  pac_envelope e;
  pac_err err;
  assert_null(pac_envelope_read(text, PAC_ENVELOPE_MAX_BYTES, arena, &e, NULL));
  assert_string_equal(pac_envelope_read(text, length, arena, &e, &err), "too_large");
  assert_string_equal(err.message, "the body is larger than 2 MiB");
  free(text);
  free(arena);
  body_free(&small);
}

static void test_takes_a_message_of_escapes_only(void **state) {
  (void)state;
  enum { TIMES = 300 };
  char value[TIMES * 6 + 3] = "\"";
  for (int i = 0; i < TIMES; i++) {
    memcpy(value + 1 + i * 6, "\\u0000", 6);
  }
  memcpy(value + 1 + TIMES * 6, "\"", 2);
  body b = body_with("Message", value);
  pac_envelope e;
  assert_null(pac_envelope_read(b.text, b.length, b.arena, &e, NULL));
  assert_int_equal(e.message.length, TIMES);
  for (size_t i = 0; i < TIMES; i++) {
    assert_int_equal(e.message.data[i], 0);
  }
  body_free(&b);
}

static void test_never_reads_behind_any_end(void **state) {
  (void)state;
  body whole = body_with("MessageAttributes", "{\"\\u0061\":[true,false,null,-1.5e3]}");
  for (size_t length = 0; length < whole.length; length++) {
    body part = body_of(whole.text, length);
    pac_envelope e;
    const char *reason = pac_envelope_read(part.text, length, part.arena, &e, NULL);
    assert_non_null(reason);
    assert_string_equal(reason, "bad_json");
    body_free(&part);
  }
  body_free(&whole);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_reads_the_fields),
    cmocka_unit_test(test_reads_what_need_not_be_there),
    cmocka_unit_test(test_ignores_fields_of_other_names),
    cmocka_unit_test(test_refuses_known_fields_of_another_type),
    cmocka_unit_test(test_requires_the_fields_of_every_type),
    cmocka_unit_test(test_refuses_other_spellings_of_the_urls),
    cmocka_unit_test(test_refuses_names_that_stand_twice),
    cmocka_unit_test(test_refuses_what_is_no_object),
    cmocka_unit_test(test_refuses_what_is_no_json),
    cmocka_unit_test(test_reads_two_mebibytes_and_no_more),
    cmocka_unit_test(test_takes_a_message_of_escapes_only),
    cmocka_unit_test(test_never_reads_behind_any_end),
  };
  return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
