/* pac_outcome.h: what an answer, or its absence, means: done, worth repeating,
** or an error, and for a write what is known of its fate.
**
** Sources: contract 4 and the error tables of the operations; the transfer
** phase comes from the transport. The rule behind all of it: a write counts as
** rejected only when an answer says so, and as not sent only when not a byte
** left; everything else is unknown. */
#ifndef PAC_OUTCOME_H
#define PAC_OUTCOME_H

#include "pac_operation.h"

typedef enum pac_phase {
  PAC_PHASE_ANSWERED, /* a status line and a whole body arrived */
  PAC_PHASE_NOT_SENT, /* certain: not one byte of the request left */
  PAC_PHASE_UNKNOWN   /* some of it may have */
} pac_phase;

typedef enum pac_kind {
  PAC_KIND_NONE,
  PAC_KIND_AUTH,
  PAC_KIND_NETWORK,
  PAC_KIND_TIMEOUT,
  PAC_KIND_HTTP,
  PAC_KIND_RATE_LIMIT,
  PAC_KIND_PARTIAL,
  PAC_KIND_PROTOCOL,
  PAC_KIND_CANCELED
} pac_kind;

typedef enum pac_fate {
  PAC_FATE_NONE, /* a read, a success, or told per token (partial) */
  PAC_FATE_NOT_SENT,
  PAC_FATE_REJECTED,
  PAC_FATE_UNKNOWN
} pac_fate;

typedef enum pac_next {
  PAC_NEXT_DONE,
  PAC_NEXT_RETRY,   /* after retry_after_ms, or the caller's backoff when that is -1 */
  PAC_NEXT_REFRESH, /* rotate the token, then repeat once */
  PAC_NEXT_FAIL
} pac_next;

typedef struct pac_facts {
  pac_phase phase;
  pac_kind failure;       /* of the transport, when there was no answer */
  int status;             /* HTTP, when there was one */
  int is_json;            /* the body decoded to an object or a list */
  int has_error;          /* the body carries an error */
  const char *error_type; /* its type; NULL for none */
  size_t error_type_length;
  const char *error_code; /* its appErrorCode; NULL for none */
  size_t error_code_length;
  int has_failure;   /* a failure list with something in it */
  int has_success;   /* a list of what was done with something in it */
  const char *state; /* the operation's state field; NULL for none, empty when it is no string */
  size_t state_length;
  int64_t retry_after_ms; /* -1: not given */
  int retries;            /* the caller's limit; 0: nothing is ever sent twice */
  int repeats;            /* repetitions made so far in this call */
  int rotated;            /* a 401 was answered by a rotation in this call */
} pac_facts;

typedef struct pac_verdict {
  pac_next next;
  pac_kind kind;
  pac_fate fate;
  int retryable;          /* may the caller send it again? By the tables, not by guess */
  const char *action;     /* analyze, inform_provider or NULL: who must act */
  int64_t retry_after_ms; /* -1: not given */
} pac_verdict;

/* Judges one attempt. Pure: no clock, no randomness.
** Args: op and facts are borrowed. Returns: the verdict by value. */
pac_verdict pac_outcome_judge(const pac_operation *op, const pac_facts *facts);

/* The names that scripts see: "http", "not_sent", "retry"; NULL for the first
** value of kind and fate. */
const char *pac_kind_name(pac_kind kind);
const char *pac_fate_name(pac_fate fate);
const char *pac_next_name(pac_next next);

#endif
