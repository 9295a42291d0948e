/* The policy of URLs. A text is the name of a topic, a line feed, and a URL: the
** one that is accepted is built from the topic alone, byte by byte. */
#include "fuzz.h"

#include "pac_topic.h"

#define HEX_DIGITS 32

static const char *const hosts[] = { ".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu" };

static int ends_with(const char *text, const char *end) {
  size_t length = strlen(text);
  return length > strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* A host of SNS is made of a region, and of nothing that a URL could hide in. */
static void demand_host(const pac_topic *topic) {
  int known = 0;
  DEMAND(strncmp(topic->host, "sns.", 4) == 0);
  DEMAND(strspn(topic->host, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(topic->host));
  for (size_t i = 0; i < COUNT(hosts); i++) {
    known |= ends_with(topic->host, hosts[i]);
  }
  DEMAND(known);
  DEMAND(topic->region[0] != '\0' && strchr(topic->region, '.') == NULL);
  DEMAND(strncmp(topic->host + 4, topic->region, strlen(topic->region)) == 0);
  DEMAND(topic->names[0][0] != '\0');
}

/* The text is exactly the URL that its own 32 digits give. */
static void demand_url(const pac_topic *topic, const char *text, size_t length) {
  char expected[PAC_CERTIFICATE_URL_MAX + 1];
  int before = snprintf(expected, sizeof expected, "https://%s/SimpleNotificationService-", topic->host);
  DEMAND(length == (size_t)before + HEX_DIGITS + 4 && length <= PAC_CERTIFICATE_URL_MAX);
  for (size_t i = (size_t)before; i < (size_t)before + HEX_DIGITS; i++) {
    DEMAND(text[i] != '\0' && strchr("0123456789abcdef", text[i]) != NULL);
    expected[i] = text[i];
  }
  memcpy(expected + before + HEX_DIGITS, ".pem", 4);
  DEMAND(memcmp(text, expected, length) == 0);
}

static void demand_confirm_url(const pac_topic *topic, const char *arn, size_t arn_length) {
  char url[1024];
  char start[PAC_TOPIC_HOST_SIZE + 16];
  DEMAND(pac_topic_write_confirm_url(topic, arn, arn_length, "0123abcd", 8, url, sizeof url) == PAC_OK);
  size_t length = (size_t)snprintf(start, sizeof start, "https://%s/?", topic->host);
  DEMAND(strncmp(url, start, length) == 0);
  DEMAND(pac_topic_write_confirm_url(topic, arn, arn_length, "0123abcd", 8, url, 40) == PAC_TOO_LONG);
  DEMAND(url[0] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  const char *end = size > 0 ? memchr(text, '\n', size) : NULL;
  size_t length = end != NULL ? (size_t)(end - text) : size;
  char *arn = exact_memory(length);
  pac_topic topic;
  memcpy(arn, text, length);
  if (pac_topic_read(arn, length, &topic) == PAC_OK) {
    DEMAND(length < PAC_TOPIC_MAX && memcmp(arn, "arn:aws", 7) == 0);
    demand_host(&topic);
    demand_confirm_url(&topic, arn, length);
    size_t rest = end != NULL ? size - length - 1 : 0;
    char *url = exact_memory(rest);
    memcpy(url, text + size - rest, rest);
    if (pac_topic_has_certificate_url(&topic, url, rest)) {
      demand_url(&topic, url, rest);
    }
    free(url);
  }
  free(arn);
  return 0;
}
