/* pac_topic: ARNs of topics, and the hosts, names and URLs that follow from them. */
#include "unit.h"

#include "pac_topic.h"

#define SEATS     "arn:aws:sns:us-west-2:123456789012:seats"
#define HASH      "7506a1e35b36ef5a444dd1a8e7cc3ed8"
#define HOST      "https://sns.us-west-2.amazonaws.com"
#define FILE_NAME "/SimpleNotificationService-" HASH ".pem"

static pac_status read_exactly(const char *text, size_t length, pac_topic *topic) {
  char *copy = exact_copy(text, length);
  pac_status status = pac_topic_read(copy, length, topic);
  free(copy);
  return status;
}

static pac_topic topic_of(const char *arn) {
  pac_topic topic;
  assert_int_equal(read_exactly(arn, strlen(arn), &topic), PAC_OK);
  return topic;
}

static void test_knows_host_and_name_of_each_region(void **state) {
  (void)state;
  static const struct {
    const char *arn, *host, *name, *other_name;
  } rows[] = {
    { SEATS, "sns.us-west-2.amazonaws.com", "sns.amazonaws.com", "" },
    { "arn:aws:sns:eu-central-1:123456789012:a", "sns.eu-central-1.amazonaws.com", "sns.amazonaws.com", "" },
    { "arn:aws:sns:eu-central-2:123456789012:a", "sns.eu-central-2.amazonaws.com",
      "sns-signing.eu-central-2.amazonaws.com", "" },
    { "arn:aws:sns:af-south-1:123456789012:a", "sns.af-south-1.amazonaws.com", "sns-signing.af-south-1.amazonaws.com",
      "" },
    { "arn:aws-cn:sns:cn-north-1:123456789012:a", "sns.cn-north-1.amazonaws.com.cn", "sns-cn-north-1.amazonaws.com.cn",
      "" },
    { "arn:aws-cn:sns:cn-northwest-1:123456789012:a", "sns.cn-northwest-1.amazonaws.com.cn",
      "sns-cn-northwest-1.amazonaws.com.cn", "" },
    { "arn:aws-us-gov:sns:us-gov-east-1:123456789012:a", "sns.us-gov-east-1.amazonaws.com",
      "sns-us-gov-west-1.amazonaws.com", "" },
    { "arn:aws-eusc:sns:eusc-de-east-1:123456789012:a", "sns.eusc-de-east-1.amazonaws.eu",
      "sns-signing.eusc-de-east-1.amazonaws.eu", "sns.eusc-de-east-1.amazonaws.eu" },
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    pac_topic topic = topic_of(rows[i].arn);
    assert_string_equal(topic.host, rows[i].host);
    assert_string_equal(topic.names[0], rows[i].name);
    assert_string_equal(topic.names[1], rows[i].other_name);
  }
}

static void test_refuses_what_is_no_topic(void **state) {
  (void)state;
  static const char *const rows[] = {
    "",
    "arn",
    "arn:aws:sns:us-west-2:123456789012",
    "arn:aws:sns:us-west-2:123456789012:",
    SEATS ":b24e11a2-06bd-4e73-aa29-0ed2de3b41b5",
    SEATS "\n",
    " " SEATS,
    SEATS ".fifo",
    "ARN:aws:sns:us-west-2:123456789012:seats",
    "arn:aws:SNS:us-west-2:123456789012:seats",
    "arn:aws:sqs:us-west-2:123456789012:seats",
    "arn:AWS:sns:us-west-2:123456789012:seats",
    "arn:aws-iso:sns:us-iso-east-1:123456789012:seats",
    "arn:aws-cn:sns:us-west-2:123456789012:seats",
    "arn:aws-us-gov:sns:us-west-2:123456789012:seats",
    "arn:aws:sns:US-WEST-2:123456789012:seats",
    "arn:aws:sns:us-west-2-:123456789012:seats",
    "arn:aws:sns:-us-west-2:123456789012:seats",
    "arn:aws:sns:us.west.2:123456789012:seats",
    "arn:aws:sns:evil/:123456789012:seats",
    "arn:aws:sns::123456789012:seats",
    "arn:aws:sns:us-west-2:12345678901:seats",
    "arn:aws:sns:us-west-2:1234567890123:seats",
    "arn:aws:sns:us-west-2:12345678901a:seats",
    "arn:aws:sns:us-west-2:123456789012:se ats",
    "arn:aws:sns:us-west-2:123456789012:s\xc3\xa9"
    "ats",
    "arn:aws:sns:a-region-with-more-letters-than-any-has:123456789012:seats",
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    pac_topic topic;
    assert_int_equal(read_exactly(rows[i], strlen(rows[i]), &topic), PAC_INVALID);
  }
  pac_topic topic;
  assert_int_equal(read_exactly(SEATS "\0", sizeof SEATS, &topic), PAC_INVALID);
}

static void test_takes_names_of_up_to_256_characters(void **state) {
  (void)state;
  char arn[512] = "arn:aws:sns:us-west-2:123456789012:";
  size_t head = strlen(arn);
  memset(arn + head, 'a', 257);
  pac_topic topic;
  assert_int_equal(read_exactly(arn, head + 1, &topic), PAC_OK);
  assert_int_equal(read_exactly(arn, head + 256, &topic), PAC_OK);
  assert_int_equal(read_exactly(arn, head + 257, &topic), PAC_INVALID);
}

static int has_url(const pac_topic *topic, const char *url, size_t length) {
  char *copy = exact_copy(url, length);
  int is = pac_topic_has_certificate_url(topic, copy, length);
  free(copy);
  return is;
}

static void test_takes_one_form_of_url_only(void **state) {
  (void)state;
  pac_topic topic = topic_of(SEATS);
  assert_int_equal(has_url(&topic, HOST FILE_NAME, sizeof(HOST FILE_NAME) - 1), 1);
  static const char *const rows[] = {
    "",
    HOST,
    HOST "/",
    "http://sns.us-west-2.amazonaws.com" FILE_NAME,
    "HTTPS://sns.us-west-2.amazonaws.com" FILE_NAME,
    "//sns.us-west-2.amazonaws.com" FILE_NAME,
    "file:///etc/passwd",
    "https://sns.us-east-1.amazonaws.com" FILE_NAME,
    "https://sns.us-west-2.amazonaws.com.cn" FILE_NAME,
    "https://sns.us-west-2.amazonaws.com." FILE_NAME,
    "https://sns.us-west-2.amazonaws.com:443" FILE_NAME,
    "https://user@sns.us-west-2.amazonaws.com" FILE_NAME,
    "https://sns.us-west-2.amazonaws.com@evil.example" FILE_NAME,
    "https://SNS.us-west-2.amazonaws.com" FILE_NAME,
    "https://sns.s3-us-west-2.amazonaws.com" FILE_NAME,
    "https://evil.example/sns.us-west-2.amazonaws.com" FILE_NAME,
    HOST "//SimpleNotificationService-" HASH ".pem",
    HOST "/x/SimpleNotificationService-" HASH ".pem",
    HOST "/./SimpleNotificationService-" HASH ".pem",
    HOST "/%53impleNotificationService-" HASH ".pem",
    HOST "/SimpleNotificationService-7506A1E35B36EF5A444DD1A8E7CC3ED8.pem",
    HOST "/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed.pem",
    HOST "/SimpleNotificationService-7506a1e35b36ef5a444dd1a8e7cc3ed88.pem",
    HOST "/SimpleNotificationService-.pem",
    HOST FILE_NAME "?",
    HOST FILE_NAME "?a=b",
    HOST FILE_NAME "#",
    HOST FILE_NAME "\n",
    HOST FILE_NAME " ",
    HOST FILE_NAME "/",
    " " HOST FILE_NAME,
    "https:\\\\sns.us-west-2.amazonaws.com" FILE_NAME,
  };
  for (size_t i = 0; i < COUNT(rows); i++) {
    assert_int_equal(has_url(&topic, rows[i], strlen(rows[i])), 0);
  }
  assert_int_equal(has_url(&topic, HOST FILE_NAME "\0", sizeof(HOST FILE_NAME)), 0);
}

static void test_writes_the_url_that_confirms(void **state) {
  (void)state;
  static const char wanted[] = HOST "/?Action=ConfirmSubscription&TopicArn=" SEATS "&Token=2336abc";
  pac_topic topic = topic_of(SEATS);
  char out[256];
  assert_int_equal(pac_topic_write_confirm_url(&topic, SEATS, strlen(SEATS), "2336abcX", 7, out, sizeof out), PAC_OK);
  assert_string_equal(out, wanted);
  assert_int_equal(pac_topic_write_confirm_url(&topic, SEATS, strlen(SEATS), "2336abcX", 7, out, sizeof wanted),
                   PAC_OK);
  assert_int_equal(pac_topic_write_confirm_url(&topic, SEATS, strlen(SEATS), "2336abcX", 7, out, sizeof wanted - 1),
                   PAC_TOO_LONG);
  assert_string_equal(out, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_knows_host_and_name_of_each_region),  cmocka_unit_test(test_refuses_what_is_no_topic),
    cmocka_unit_test(test_takes_names_of_up_to_256_characters), cmocka_unit_test(test_takes_one_form_of_url_only),
    cmocka_unit_test(test_writes_the_url_that_confirms),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
