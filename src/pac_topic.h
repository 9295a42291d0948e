/* pac_topic.h: the name of an SNS topic, and what follows from it: the host of
** its region, the URL of a signing certificate there, the name in it, and the
** URL that confirms a subscription. Everything is built from the topic that the
** operator named, so that no URL of a message ever has to be interpreted. */
#ifndef PAC_TOPIC_H
#define PAC_TOPIC_H

#include "pac.h"

/* Longer than any name of a topic can be: the parts before the topic's own name
** of at most 256 characters are short. */
#define PAC_TOPIC_MAX 400

/* A signing certificate's URL is shorter (sns.md 5, duty 11). */
#define PAC_CERTIFICATE_URL_MAX 120

/* Two names at most, a NUL behind each. */
#define PAC_TOPIC_HOST_SIZE 64

typedef struct pac_topic {
  char region[32];
  char host[PAC_TOPIC_HOST_SIZE];     /* sns.us-west-2.amazonaws.com */
  char names[2][PAC_TOPIC_HOST_SIZE]; /* what the certificate may be issued to; the second may be "" */
} pac_topic;

/* Reads arn:<partition>:sns:<region>:<12 digits>:<name>, with a name of 1 to 256
** of [A-Za-z0-9_-], and a partition whose host is known: aws, aws-cn,
** aws-us-gov, aws-eusc. A FIFO topic, whose name ends in .fifo, does not deliver
** over HTTP and is none.
** Args: text, of any bytes; out, written on success only.
** Errors: PAC_INVALID.
** Source: AWS, "Amazon Resource Names", CreateTopic; the names by region are
** those of the AWS SDK for Java v2. */
pac_status pac_topic_read(const char *text, size_t length, pac_topic *out) PAC_WARN_UNUSED;

/* Is the text, as it stands, the URL of a signing certificate at the topic's
** host: https://<host>/SimpleNotificationService-<32 lower-case hex>.pem and
** nothing else? Returns: 1 or 0. */
int pac_topic_has_certificate_url(const pac_topic *topic, const char *text, size_t length);

/* Writes the URL that confirms a subscription to the topic, in the very form in
** which SNS puts it into its SubscribeURL, and a NUL.
** Args: arn and token, already checked against their grammar.
** Errors: PAC_TOO_LONG; out is then an empty string.
** Source: AWS, ConfirmSubscription. */
pac_status pac_topic_write_confirm_url(const pac_topic *topic, const char *arn, size_t arn_length, const char *token,
                                       size_t token_length, char *out, size_t size) PAC_WARN_UNUSED;

#endif
