/* pac_sns: the grammar, the clock, and a string to sign that decodes to one
** message only. */
#include "unit.h"

#include "pac_buf.h"
#include "pac_sns.h"
#include "pac_time.h"

#define TOPIC     "arn:aws:sns:us-west-2:123456789012:seats"
#define ID        "c0e5a280-53c9-5a98-93bb-c0a560b3d192"
#define URL       "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed8.pem"
#define TIMESTAMP "2026-03-06T19:55:38.903Z"

/* The fields of a body, in the order in which they are written. NULL: absent. */
typedef struct fields {
  const char *type, *message_id, *topic, *message, *timestamp, *version, *signature, *url, *subject, *token, *subscribe;
  size_t message_length; /* 0: to the NUL */
} fields;

static const fields notification = { .type = "Notification",
                                     .message_id = ID,
                                     .topic = TOPIC,
                                     .message = "hello",
                                     .timestamp = TIMESTAMP,
                                     .version = "2",
                                     .signature = "AAAA",
                                     .url = URL };
static const fields confirmation = { .type = "SubscriptionConfirmation",
                                     .message_id = ID,
                                     .topic = TOPIC,
                                     .message = "hello",
                                     .timestamp = TIMESTAMP,
                                     .version = "1",
                                     .signature = "AAAA",
                                     .url = URL,
                                     .token = "abc123",
                                     .subscribe = "https://example.com/?a=b" };

static void add(pac_buf *buf, const char *name, const char *value, size_t length) {
  if (value != NULL) {
    pac_buf_append_text(buf, buf->length == 0 ? "{" : ",");
    pac_buf_append_json_string(buf, name, strlen(name));
    pac_buf_append_text(buf, ":");
    pac_buf_append_json_string(buf, value, length > 0 ? length : strlen(value));
  }
}

static void write_body(const fields *f, pac_buf *buf) {
  pac_buf_init(buf);
  add(buf, "Type", f->type, 0);
  add(buf, "MessageId", f->message_id, 0);
  add(buf, "TopicArn", f->topic, 0);
  add(buf, "Message", f->message, f->message_length);
  add(buf, "Timestamp", f->timestamp, 0);
  add(buf, "SignatureVersion", f->version, 0);
  add(buf, "Signature", f->signature, 0);
  add(buf, "SigningCertURL", f->url, 0);
  add(buf, "Subject", f->subject, 0);
  add(buf, "Token", f->token, 0);
  add(buf, "SubscribeURL", f->subscribe, 0);
  pac_buf_append_text(buf, "}");
  assert_int_equal(pac_buf_ok(buf), 1);
}

/* A message and what its views look into. */
typedef struct reading {
  char *body, *arena;
  size_t length;
  pac_sns_message message;
  pac_err err;
  const char *reason;
} reading;

static void open_reading(reading *r, const fields *f) {
  pac_buf buf;
  write_body(f, &buf);
  r->length = buf.length;
  r->body = exact_copy(buf.data, buf.length);
  r->arena = malloc(buf.length);
  assert_non_null(r->arena);
  pac_buf_free(&buf);
  r->reason = pac_sns_read(r->body, r->length, r->arena, &r->message, &r->err);
}

static void close_reading(reading *r) {
  free(r->body);
  free(r->arena);
}

static void expect(const fields *f, const char *reason) {
  reading r;
  open_reading(&r, f);
  if (reason == NULL) {
    assert_null(r.reason);
  } else {
    assert_non_null(r.reason);
    assert_string_equal(r.reason, reason);
    assert_int_equal(r.err.message[0], '/');
  }
  close_reading(&r);
}

/* ---- the grammar --------------------------------------------------------- */

static void test_reads_each_type(void **state) {
  (void)state;
  static const char *const types[] = { "SubscriptionConfirmation", "UnsubscribeConfirmation" };
  expect(&notification, NULL);
  for (size_t i = 0; i < COUNT(types); i++) {
    fields f = confirmation;
    f.type = types[i];
    expect(&f, NULL);
  }
}

static void expect_each(size_t offset, const fields *base, const char *const *values, size_t count,
                        const char *reason) {
  for (size_t i = 0; i < count; i++) {
    fields f = *base;
    memcpy((char *)&f + offset, &values[i], sizeof values[i]);
    expect(&f, reason);
  }
}

#define EXPECT_EACH(base, field, values, reason)                                                                       \
  expect_each(offsetof(fields, field), (base), (values), COUNT(values), (reason))

static void test_refuses_what_breaks_the_grammar(void **state) {
  (void)state;
  static const char *const types[] = { "", "notification", "Notification\n", " Notification", "Notification2" };
  static const char *const ids[] = { "",
                                     "C0E5A280-53C9-5A98-93BB-C0A560B3D192",
                                     ID "\n",
                                     "c0e5a28053c95a9893bbc0a560b3d192",
                                     "c0e5a280-53c9-5a98-93bb-c0a560b3d19",
                                     "g0e5a280-53c9-5a98-93bb-c0a560b3d192",
                                     "c0e5a280053c9-5a98-93bb-c0a560b3d192" };
  static const char *const topics[] = { "", TOPIC "\n", "arn:aws:sns:us-west-2:123456789012:seats:x" };
  static const char *const times[] = { "",
                                       "2026-03-06T19:55:38Z",
                                       "2026-03-06T19:55:38.903+00:00",
                                       "2026-03-06T19:55:38.9030000Z",
                                       "2026-03-06T19:55:38.903z",
                                       "2026-03-06 19:55:38.903Z",
                                       "2026-02-30T19:55:38.903Z",
                                       "2026-03-06T19:55:60.903Z",
                                       "2026-03-06T24:00:00.000Z",
                                       "yesterday",
                                       "12026-03-06T19:55:38.903Z",
                                       "1772827300",
                                       TIMESTAMP "\n",
                                       "2026-13-06T19:55:38.903Z",
                                       "03/06/2026 19:55:38.903",
                                       "2026-03-06T19:55:38,903Z",
                                       "2026-03-06T19:55:3\xc2\xb2.90Z" };
  static const char *const versions[] = { "", "0", "3", "1 ", "01", "2.0" };
  static const char *const signatures[] = { "", "AAA", "AAAA\n", "AA==AAAA", "AAB=", "-_-_" };
  static const char *const subjects[] = { "", "a\nb", "a\rb", "\x01", "\x7f" };
  static const char *const tokens[] = { "", "abc\n", "abc-", "abc&Action=x", "a b" };
  static const char *const urls[] = { "", "https://example.com/\n", "https://example.com/ x",
                                      "https://ex\xc3\xa4mple.com" };
  static const char *const certificates[] = { "", URL "\n", "http://sns.us-west-2.amazonaws.com/x.pem" };
  EXPECT_EACH(&notification, type, types, "bad_type");
  EXPECT_EACH(&notification, message_id, ids, "bad_message_id");
  EXPECT_EACH(&notification, topic, topics, "bad_topic");
  EXPECT_EACH(&notification, timestamp, times, "bad_timestamp");
  EXPECT_EACH(&notification, version, versions, "bad_signature_version");
  EXPECT_EACH(&notification, signature, signatures, "bad_signature_form");
  EXPECT_EACH(&notification, subject, subjects, "bad_subject");
  EXPECT_EACH(&notification, url, certificates, "bad_certificate_url");
  EXPECT_EACH(&confirmation, token, tokens, "bad_token");
  EXPECT_EACH(&confirmation, subscribe, urls, "bad_subscribe_url");
}

static void test_wants_what_a_confirmation_is_made_of(void **state) {
  (void)state;
  fields f = confirmation;
  f.token = NULL;
  expect(&f, "missing_field");
  f = confirmation;
  f.subscribe = NULL;
  expect(&f, "missing_field");
}

/* A subject counts characters and not bytes. */
static void test_counts_the_characters_of_a_subject(void **state) {
  (void)state;
  char subject[256];
  for (size_t i = 0; i < 101; i++) {
    memcpy(subject + 2 * i, "\xc3\xa9", 2);
  }
  subject[200] = '\0';
  fields f = notification;
  f.subject = subject;
  expect(&f, NULL);
  subject[200] = 'a';
  subject[201] = '\0';
  expect(&f, "bad_subject");
}

/* In a notification they are not signed, so that nobody looks at them. */
static void test_ignores_unsigned_fields_of_the_other_type(void **state) {
  (void)state;
  fields f = notification;
  f.token = "not a token\n";
  f.subscribe = "https://169.254.169.254/\n";
  expect(&f, NULL);
  f = confirmation;
  f.subject = "a\nb";
  expect(&f, NULL);
}

static void test_judges_the_time_to_the_millisecond(void **state) {
  (void)state;
  reading r;
  open_reading(&r, &notification);
  assert_null(r.reason);
  int64_t sent = r.message.timestamp_ms, age = 3600000, skew = 300000;
  pac_instant instant;
  assert_int_equal(pac_time_parse(TIMESTAMP, strlen(TIMESTAMP), &instant), PAC_OK);
  assert_int_equal(sent, instant.unix_ms);
  assert_null(pac_sns_judge_time(&r.message, sent, age, skew));
  assert_null(pac_sns_judge_time(&r.message, sent + age + skew, age, skew));
  assert_string_equal(pac_sns_judge_time(&r.message, sent + age + skew + 1, age, skew), "stale");
  assert_null(pac_sns_judge_time(&r.message, sent - skew, age, skew));
  assert_string_equal(pac_sns_judge_time(&r.message, sent - skew - 1, age, skew), "early");
  close_reading(&r);
}

/* ---- the string to sign -------------------------------------------------- */

static void expect_to_sign(const fields *f, const char *wanted, size_t length) {
  reading r;
  open_reading(&r, f);
  assert_null(r.reason);
  char *out = malloc(PAC_SNS_STRING_SIZE(r.length));
  assert_non_null(out);
  assert_int_equal(pac_sns_write_string(&r.message, out), length);
  assert_memory_equal(out, wanted, length);
  free(out);
  close_reading(&r);
}

static void test_writes_the_signed_fields_in_their_order(void **state) {
  (void)state;
  static const char plain[] =
      "Message\nhello\nMessageId\n" ID "\nTimestamp\n" TIMESTAMP "\nTopicArn\n" TOPIC "\nType\nNotification\n";
  static const char with_subject[] = "Message\nhello\nMessageId\n" ID "\nSubject\nnews\nTimestamp\n" TIMESTAMP
                                     "\nTopicArn\n" TOPIC "\nType\nNotification\n";
  static const char confirms[] =
      "Message\nhello\nMessageId\n" ID "\nSubscribeURL\nhttps://example.com/?a=b\nTimestamp\n" TIMESTAMP
      "\nToken\nabc123\nTopicArn\n" TOPIC "\nType\nSubscriptionConfirmation\n";
  static const char with_nul[] =
      "Message\na\0\r\nb\nMessageId\n" ID "\nTimestamp\n" TIMESTAMP "\nTopicArn\n" TOPIC "\nType\nNotification\n";
  expect_to_sign(&notification, plain, sizeof plain - 1);
  fields f = notification;
  f.subject = "news";
  expect_to_sign(&f, with_subject, sizeof with_subject - 1);
  expect_to_sign(&confirmation, confirms, sizeof confirms - 1);
  f = notification;
  f.message = "a\0\r\nb";
  f.message_length = 5;
  expect_to_sign(&f, with_nul, sizeof with_nul - 1);
}

/* Reads the string from its end, as the top of pac_sns.h argues, and knows
** nothing else of the message. */
typedef struct decoded {
  pac_text type, topic, token, timestamp, subject, subscribe, message_id, message;
} decoded;

/* Cuts the last line off. */
static pac_text last_line(pac_text *rest) {
  assert_true(rest->length > 0 && rest->data[rest->length - 1] == '\n');
  size_t end = rest->length - 1, start = end;
  while (start > 0 && rest->data[start - 1] != '\n') {
    start--;
  }
  rest->length = start;
  return (pac_text){ rest->data + start, end - start };
}

static int is(pac_text text, const char *word) {
  return text.length == strlen(word) && memcmp(text.data, word, text.length) == 0;
}

static pac_text value_of(pac_text *rest, const char *name) {
  pac_text value = last_line(rest);
  assert_true(is(last_line(rest), name));
  return value;
}

static decoded decode(const char *string, size_t length) {
  pac_text rest = { string, length };
  decoded d = { 0 };
  d.type = value_of(&rest, "Type");
  d.topic = value_of(&rest, "TopicArn");
  int confirms = !is(d.type, "Notification");
  if (confirms) {
    d.token = value_of(&rest, "Token");
  }
  d.timestamp = value_of(&rest, "Timestamp");
  if (confirms) {
    d.subscribe = value_of(&rest, "SubscribeURL");
  }
  pac_text value = last_line(&rest), name = last_line(&rest);
  if (!confirms && is(name, "Subject")) {
    d.subject = value;
    value = last_line(&rest);
    name = last_line(&rest);
  }
  assert_true(is(name, "MessageId"));
  d.message_id = value;
  assert_true(rest.length >= sizeof "Message\n" && memcmp(rest.data, "Message\n", 8) == 0);
  d.message = (pac_text){ rest.data + 8, rest.length - 9 };
  return d;
}

static void assert_same(pac_text a, pac_text b) {
  assert_int_equal(a.data == NULL, b.data == NULL);
  assert_int_equal(a.length, b.length);
  if (a.length > 0) {
    assert_memory_equal(a.data, b.data, a.length);
  }
}

/* Park and Miller's generator: the same numbers everywhere. */
static uint32_t draw(uint32_t *seed, uint32_t below) {
  *seed = (uint32_t)((uint64_t)*seed * 48271 % 2147483647);
  return *seed % below;
}

/* Texts of a publisher who wants his string to be read in another way. */
static size_t hostile_message(uint32_t *seed, char *out, size_t size) {
  static const char *const pieces[] = { "\n",
                                        "MessageId",
                                        "Subject",
                                        "Timestamp",
                                        "TopicArn",
                                        "Type",
                                        "Notification",
                                        "SubscriptionConfirmation",
                                        "Token",
                                        "SubscribeURL",
                                        "Message",
                                        ID,
                                        TIMESTAMP,
                                        TOPIC,
                                        "\r\n",
                                        "abc",
                                        " ",
                                        "\xf0\x9f\x8e\xab",
                                        "{\"a\":\"b\\n\"}" };
  size_t length = 0;
  for (uint32_t i = draw(seed, 24); i > 0; i--) {
    const char *piece = pieces[draw(seed, 2) ? 0 : draw(seed, COUNT(pieces))];
    size_t bytes = strlen(piece);
    if (length + bytes > size) {
      break;
    }
    memcpy(out + length, piece, bytes);
    length += bytes;
  }
  return length;
}

static fields random_fields(uint32_t *seed, char *message, size_t size) {
  static const char *const subjects[] = { NULL, "news", "MessageId", "Subject", "Type Notification", "x" };
  static const char *const tokens[] = { "abc", "Type", "TopicArn", "2336" };
  fields f = draw(seed, 3) ? notification : confirmation;
  if (f.token == NULL) {
    f.subject = subjects[draw(seed, COUNT(subjects))];
  } else {
    f.token = tokens[draw(seed, COUNT(tokens))];
    f.type = draw(seed, 2) ? "SubscriptionConfirmation" : "UnsubscribeConfirmation";
  }
  size_t length = hostile_message(seed, message, size - 1);
  message[length] = '\0';
  f.message = message;
  return f;
}

/* decode(string(m)) = m. Two accepted messages with the same string are therefore
** the same in every signed field. */
static void test_decodes_to_the_message_it_was_made_of(void **state) {
  (void)state;
  uint32_t seed = 20260306;
  for (int i = 0; i < 3000; i++) {
    char message[512];
    fields f = random_fields(&seed, message, sizeof message);
    reading r;
    open_reading(&r, &f);
    assert_null(r.reason);
    char *string = malloc(PAC_SNS_STRING_SIZE(r.length));
    assert_non_null(string);
    decoded d = decode(string, pac_sns_write_string(&r.message, string));
    const pac_envelope *e = &r.message.envelope;
    int confirms = r.message.type != PAC_SNS_NOTIFICATION;
    assert_same(d.type, e->type);
    assert_same(d.topic, e->topic_arn);
    assert_same(d.timestamp, e->timestamp);
    assert_same(d.message_id, e->message_id);
    assert_same(d.message, e->message);
    assert_same(d.subject, confirms ? (pac_text){ NULL, 0 } : e->subject);
    assert_same(d.token, confirms ? e->token : (pac_text){ NULL, 0 });
    assert_same(d.subscribe, confirms ? e->subscribe_url : (pac_text){ NULL, 0 });
    free(string);
    close_reading(&r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_reads_each_type),
    cmocka_unit_test(test_refuses_what_breaks_the_grammar),
    cmocka_unit_test(test_wants_what_a_confirmation_is_made_of),
    cmocka_unit_test(test_counts_the_characters_of_a_subject),
    cmocka_unit_test(test_ignores_unsigned_fields_of_the_other_type),
    cmocka_unit_test(test_judges_the_time_to_the_millisecond),
    cmocka_unit_test(test_writes_the_signed_fields_in_their_order),
    cmocka_unit_test(test_decodes_to_the_message_it_was_made_of),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
