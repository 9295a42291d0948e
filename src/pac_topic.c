#include "pac_topic.h"

#include <stdio.h>
#include <string.h>

#define ACCOUNT_DIGITS 12u
#define NAME_MAX_CHARS 256u
#define HASH_DIGITS    32u

/* How hosts end in each partition. */
static const struct partition {
  const char *name;
  const char *region_prefix; /* what its regions begin with; "" for any */
  const char *domain;
} partitions[] = {
  { "aws", "", "amazonaws.com" },
  { "aws-cn", "cn-", "amazonaws.com.cn" },
  { "aws-us-gov", "us-gov-", "amazonaws.com" },
  { "aws-eusc", "eusc-", "amazonaws.eu" },
};
#define PARTITION_COUNT (sizeof partitions / sizeof partitions[0])

/* The regions that every account has. Their leaf is issued to one name, that of
** any other region of the partition to a name of its own; no new region will be
** one of these. */
static const char *const shared_name_regions[] = {
  "us-east-1",      "us-east-2",  "us-west-1",    "us-west-2",    "ap-northeast-1", "ap-northeast-2",
  "ap-northeast-3", "ap-south-1", "ca-central-1", "eu-central-1", "ap-southeast-1", "ap-southeast-2",
  "eu-north-1",     "eu-west-1",  "eu-west-2",    "eu-west-3",    "sa-east-1",
};
#define SHARED_COUNT (sizeof shared_name_regions / sizeof shared_name_regions[0])

static int is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

static int is_region_char(char c) {
  return is_lower(c) || is_digit(c) || c == '-';
}

static int is_name_char(char c) {
  return is_lower(c) || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
}

/* A part of the text that is being read, up to the next colon. */
typedef struct part {
  const char *data;
  size_t length;
} part;

static int is(part p, const char *word) {
  return p.length == strlen(word) && memcmp(p.data, word, p.length) == 0;
}

static int all(part p, int (*allowed)(char)) {
  for (size_t i = 0; i < p.length; i++) {
    if (!allowed(p.data[i])) {
      return 0;
    }
  }
  return 1;
}

/* Splits into exactly count parts. */
static int split(const char *text, size_t length, part *parts, size_t count) {
  const char *end = text + length;
  for (size_t i = 0; i < count; i++) {
    const char *colon = text == NULL ? NULL : memchr(text, ':', (size_t)(end - text));
    if ((colon == NULL) != (i + 1 == count)) {
      return 0;
    }
    const char *stop = colon == NULL ? end : colon;
    parts[i] = (part){ text, (size_t)(stop - text) };
    text = colon == NULL ? end : colon + 1;
  }
  return 1;
}

static const struct partition *partition_of(part name) {
  for (size_t i = 0; i < PARTITION_COUNT; i++) {
    if (is(name, partitions[i].name)) {
      return &partitions[i];
    }
  }
  return NULL;
}

static int is_region(part region, const struct partition *partition) {
  size_t prefix = strlen(partition->region_prefix);
  return region.length > prefix && memcmp(region.data, partition->region_prefix, prefix) == 0 &&
         all(region, is_region_char) && is_lower(region.data[0]) && region.data[region.length - 1] != '-';
}

static int has_shared_name(const char *region) {
  for (size_t i = 0; i < SHARED_COUNT; i++) {
    if (strcmp(region, shared_name_regions[i]) == 0) {
      return 1;
    }
  }
  return 0;
}

/* The names by region; the one of the European partition is not documented, so
** that its host's own name is taken as well as one in the form of others. */
static void name_certificate(pac_topic *topic, const struct partition *partition) {
  char *name = topic->names[0];
  topic->names[1][0] = '\0';
  if (strcmp(partition->name, "aws-cn") == 0) {
    snprintf(name, PAC_TOPIC_HOST_SIZE, "sns-%s.%s", topic->region, partition->domain);
  } else if (strcmp(partition->name, "aws-us-gov") == 0) {
    snprintf(name, PAC_TOPIC_HOST_SIZE, "sns-us-gov-west-1.%s", partition->domain);
  } else if (has_shared_name(topic->region)) {
    snprintf(name, PAC_TOPIC_HOST_SIZE, "sns.%s", partition->domain);
  } else {
    snprintf(name, PAC_TOPIC_HOST_SIZE, "sns-signing.%s.%s", topic->region, partition->domain);
    if (strcmp(partition->name, "aws-eusc") == 0) {
      snprintf(topic->names[1], PAC_TOPIC_HOST_SIZE, "%s", topic->host);
    }
  }
}

pac_status pac_topic_read(const char *text, size_t length, pac_topic *out) {
  enum { ARN, PARTITION, SERVICE, REGION, ACCOUNT, NAME, PART_COUNT };
  part parts[PART_COUNT];
  if (length > PAC_TOPIC_MAX || !split(text, length, parts, PART_COUNT)) {
    return PAC_INVALID;
  }
  const struct partition *partition = partition_of(parts[PARTITION]);
  part region = parts[REGION], account = parts[ACCOUNT], name = parts[NAME];
  if (!is(parts[ARN], "arn") || !is(parts[SERVICE], "sns") || partition == NULL || !is_region(region, partition) ||
      region.length >= sizeof out->region || account.length != ACCOUNT_DIGITS || !all(account, is_digit) ||
      name.length < 1 || name.length > NAME_MAX_CHARS || !all(name, is_name_char)) {
    return PAC_INVALID;
  }
  memcpy(out->region, region.data, region.length);
  out->region[region.length] = '\0';
  snprintf(out->host, sizeof out->host, "sns.%s.%s", out->region, partition->domain);
  name_certificate(out, partition);
  return PAC_OK;
}

/* Moves past the word, or returns 0. */
static int skip(const char **at, const char *end, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(end - *at) < length || memcmp(*at, word, length) != 0) {
    return 0;
  }
  *at += length;
  return 1;
}

static int skip_hash(const char **at, const char *end) {
  for (unsigned i = 0; i < HASH_DIGITS; i++, (*at)++) {
    if (*at == end || !(is_digit(**at) || (**at >= 'a' && **at <= 'f'))) {
      return 0;
    }
  }
  return 1;
}

int pac_topic_has_certificate_url(const pac_topic *topic, const char *text, size_t length) {
  const char *at = text, *end = text + length;
  return length <= PAC_CERTIFICATE_URL_MAX && skip(&at, end, "https://") && skip(&at, end, topic->host) &&
         skip(&at, end, "/SimpleNotificationService-") && skip_hash(&at, end) && skip(&at, end, ".pem") && at == end;
}

pac_status pac_topic_write_confirm_url(const pac_topic *topic, const char *arn, size_t arn_length, const char *token,
                                       size_t token_length, char *out, size_t size) {
  int length = snprintf(out, size, "https://%s/?Action=ConfirmSubscription&TopicArn=%.*s&Token=%.*s", topic->host,
                        (int)arn_length, arn, (int)token_length, token);
  if (length < 0 || (size_t)length >= size) {
    out[0] = '\0';
    return PAC_TOO_LONG;
  }
  return PAC_OK;
}
