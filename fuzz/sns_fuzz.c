/* The string to sign. Whatever message is accepted, its string can be read in one
** way only, from its end, and that way gives the message back. */
#include "fuzz.h"

#include "pac_sns.h"

#define MAX_FIELDS 7

/* The fields of a string, from its last to its first. */
static const char *const notification[] = { "Type", "TopicArn", "Timestamp", "Subject", "MessageId", "Message", NULL };
static const char *const confirmation[] = { "Type",         "TopicArn",  "Token",   "Timestamp",
                                            "SubscribeURL", "MessageId", "Message", NULL };

/* A string to sign that is being read backwards. */
typedef struct reader {
  const char *start;
  const char *end;
} reader;

static int is(pac_text text, const char *word) {
  return text.length == strlen(word) && memcmp(text.data, word, text.length) == 0;
}

static int is_same(pac_text a, pac_text b) {
  return a.length == b.length && memcmp(a.data, b.data, a.length) == 0;
}

/* Takes the last line, which ends with a line feed. */
static pac_text take_line(reader *r) {
  DEMAND(r->end > r->start && r->end[-1] == '\n');
  const char *end = r->end - 1;
  const char *start = end;
  while (start > r->start && start[-1] != '\n') {
    start--;
  }
  r->end = start;
  return (pac_text){ start, (size_t)(end - start) };
}

/* Message is what remains: its own lines are no lines of the string. */
static pac_text take_message(const reader *r) {
  static const char name[] = "Message\n";
  size_t length = (size_t)(r->end - r->start);
  DEMAND(length > sizeof name - 1 && memcmp(r->start, name, sizeof name - 1) == 0 && r->end[-1] == '\n');
  return (pac_text){ r->start + sizeof name - 1, length - sizeof name };
}

static const pac_text *field(const pac_envelope *e, const char *name) {
  const struct {
    const char *name;
    const pac_text *text;
  } fields[] = { { "Type", &e->type },
                 { "TopicArn", &e->topic_arn },
                 { "Timestamp", &e->timestamp },
                 { "Subject", &e->subject },
                 { "MessageId", &e->message_id },
                 { "Token", &e->token },
                 { "SubscribeURL", &e->subscribe_url } };
  for (size_t i = 0; i < COUNT(fields); i++) {
    if (strcmp(fields[i].name, name) == 0) {
      return fields[i].text;
    }
  }
  return NULL;
}

/* Reads the string without knowing the message, and compares. */
static void demand_same(const pac_envelope *e, const char *string, size_t length) {
  reader r = { string, string + length };
  const char *const *name = NULL;
  do {
    pac_text value = take_line(&r);
    if (name == NULL) {
      name = is(value, "Notification") ? notification : confirmation;
    }
    pac_text found = take_line(&r);
    if (strcmp(*name, "Subject") == 0 && !is(found, "Subject")) {
      DEMAND(e->subject.data == NULL);
      name++;
    }
    DEMAND(is(found, *name));
    DEMAND(is_same(value, *field(e, *name)));
    name++;
  } while (strcmp(*name, "Message") != 0);
  DEMAND(is_same(take_message(&r), e->message));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *arena = exact_memory(size);
  pac_sns_message *message = malloc(sizeof *message);
  pac_err err = { 0 };
  DEMAND(message != NULL);
  const char *reason = pac_sns_read((const char *)data, size, arena, message, &err);
  if (reason != NULL) {
    DEMAND(reason[0] != '\0' && err.message[0] != '\0');
  } else {
    char *string = exact_memory(PAC_SNS_STRING_SIZE(size));
    size_t length = pac_sns_write_string(message, string);
    DEMAND(length <= PAC_SNS_STRING_SIZE(size));
    demand_same(&message->envelope, string, length);
    DEMAND(message->signature_size <= sizeof message->signature);
    DEMAND(pac_sns_judge_time(message, message->timestamp_ms, 0, 0) == NULL);
    free(string);
  }
  free(message);
  free(arena);
  return 0;
}
